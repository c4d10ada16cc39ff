"""``skelact export`` as a user types it, and every command and example of its page."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from clips import write_clip
from flying_bodies import somersault
from scenes import make_sequence

import skelact
from skelact.pipeline.cli.export import _FORMATS, _TABLES
from skelact.pipeline.cli.main import main
from skelact.pipeline.export.run import CLIP_FORMATS, TABLE_FORMATS
from skelact.pipeline.export.sources import find_skeletons
from skelact.pipeline.export.tables import TABLES
from skelact.pose_extract.store.manifest import ManifestEntry, write_manifest
from skelact.pose_extract.store.npz import load_sequence, save_sequence

pandas = pytest.importorskip("pandas", reason="needs pandas (pip install 'skelact[pandas]')")
EXTRA = ("openpyxl", "pyarrow", "c3d")


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def flight():
    """Return a body that turns twice in the air and lands on its feet."""
    keypoints, scores, seconds = somersault(4, hip=120, knee=120)
    return make_sequence(
        1, len(keypoints), keypoints=keypoints[None].astype(np.float32),
        keypoint_scores=scores[None].astype(np.float32), pts_seconds=seconds.astype(np.float64),
        frame_inds=np.arange(len(keypoints)), fps=Fraction(25), img_shape=(800, 800),
        video_id="dive.mp4",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as `skelact extract` leaves it: two clips, and one that could not be read."""
    monkeypatch.chdir(tmp_path)
    root = Path("skeletons")
    for name, sequence in {"dive.mp4": flight(), "deep/b.mp4": make_sequence(2, 3)}.items():
        save_sequence(root / f"{name}.npz", sequence, {})
    entries = [
        ManifestEntry("broken.mp4", "failed", error="no video"),
        ManifestEntry("deep/b.mp4", "done", output="deep/b.mp4.npz"),
        ManifestEntry("dive.mp4", "done", output="dive.mp4.npz"),
    ]
    write_manifest(root / "manifest.jsonl", entries)
    return root


def test_the_help_names_what_there_is():
    assert (*TABLE_FORMATS, *CLIP_FORMATS) == _FORMATS
    assert ", ".join(TABLES) == _TABLES


def test_results_lie_in_the_folder_and_are_told(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    result = run("export", folder, "--to", "csv", "--tables", "keypoints,angles")
    assert result.exit_code == 0, result.output
    assert "skeletons/export/keypoints.csv\nskeletons/export/angles.csv\n" in result.output
    count = len(flight())
    assert f"2 of 2 clips: keypoints {17 * (count + 6)} rows" in result.output
    assert "1 more clips have no skeletons" in result.output
    table = pandas.read_csv(folder / "export" / "keypoints.csv")
    assert table["clip"].unique().tolist() == ["deep/b.mp4", "dive.mp4"]
    assert {path: path.read_bytes() for path in before} == before


def test_it_shows_how_many_clips_are_done_and_quiet_shows_nothing(folder, monkeypatch):
    told = []
    monkeypatch.setattr(
        "skelact.pipeline.cli.terminal.ProgressDisplay.clips",
        lambda display, done, total, what: told.append((done, total, what)),
    )
    result = run("export", folder, "--to", "csv", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert told == [(1, 2, "exported"), (2, 2, "exported")]


def test_elements_and_segments_are_those_of_predict(folder, tmp_path):
    """The shipped classifier, on skeletons from the cache and given from Python."""
    result = run("export", folder, "--to", "csv", "--tables", "elements,segments", "--out", "out")
    assert result.exit_code == 0, result.output
    model = skelact.Pipeline()
    expected = {"elements": [], "segments": []}
    for name in ("deep/b.mp4", "dive.mp4"):
        skeletons = skelact.ClipSkeletons(name, load_sequence(folder / f"{name}.npz"))
        timeline = pandas.DataFrame(model(skeletons).timeline())
        expected["elements"].append(timeline[timeline.kind != "segment"])
        expected["segments"].append(timeline[timeline.kind == "segment"])
    for table, parts in expected.items():
        found = pandas.read_csv(f"out/{table}.csv")
        wanted = pandas.concat(parts, ignore_index=True)
        assert found.start_seconds.tolist() == wanted.start_seconds.tolist()
        assert found.label.tolist() == wanted.label.tolist()
        assert found.score.tolist() == wanted.score.tolist()
    elements = pandas.read_csv("out/elements.csv")
    assert elements[["kind", "half_somersaults"]].values.tolist() == [["salto", 4]]


def test_broken_entries_stop_no_other_and_make_the_exit_code_3(folder):
    (folder / "deep" / "b.mp4.npz").write_bytes(b"no")
    for to in ("csv", "trc", "dlc", "openpose"):
        result = run("export", folder, "--to", to)
        assert result.exit_code == 3, result.output
        assert "  failed: deep/b.mp4: " in result.output
        assert "1 of 2 clips" in result.output
    assert (folder / "export" / "dive.mp4_px_person00.trc").is_file()


def test_a_manifest_leads_to_no_other_place(folder, tmp_path):
    save_sequence(tmp_path / "secret.npz", make_sequence(), {})
    lines = [
        ManifestEntry("a", "done", output="../secret.npz"),
        ManifestEntry("b", "done", output=str(tmp_path / "secret.npz")),
        ManifestEntry("c", "done", output="a\0b.npz"),
        ManifestEntry("dive.mp4", "done", output="dive.mp4.npz"),
    ]
    write_manifest(folder / "manifest.jsonl", lines)
    for to in ("csv", "openpose"):
        result = run("export", folder, "--to", to, "--out", "out")
        assert result.exit_code == 3, result.output
        assert result.output.count("expected a path below skeletons") == 3
        assert "1 of 4 clips" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "secret.npz", "skeletons"]


def test_folders_without_a_manifest_and_single_entries(tmp_path):
    save_sequence(tmp_path / "in" / "b" / "a.npz", make_sequence(1, 1), {})
    save_sequence(tmp_path / "in" / ".hidden" / "a.npz", make_sequence(1, 1), {})
    (tmp_path / "in" / ".a.npz.x1y2z3ab.npz").write_bytes(b"half")
    assert [clip.name for clip in find_skeletons(tmp_path / "in").clips] == ["b/a"]
    (one,) = find_skeletons(tmp_path / "in" / "b" / "a.npz").clips
    assert (one.name, one.load().num_person) == ("a", 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("export nowhere --to csv", 1, "no such folder; run `skelact extract` first"),
        ("export empty --to csv", 1, "no skeletons in it"),
        ("export clip.mp4 --to csv", 1, "expected a folder of skeletons or a .npz entry"),
        ("export skeletons --to pdf", 2, "'pdf' is not one of 'csv'"),
        ("export skeletons --to csv --tables angle", 2, "--tables: expected some of keypoints"),
        ("export skeletons --to dlc --tables angles", 2, "dlc holds keypoints alone"),
        ("export skeletons --to csv --metres-per-pixel 1", 2, "--metres-per-pixel: trc and c3d"),
        ("export skeletons --to csv --checkpoint net.json", 2, "elements and segments alone"),
        ("export skeletons --to csv --out clip.mp4", 1, "clip.mp4 is no folder"),
        ("export skeletons --to csv --out a.xlsx", 1, "a.xlsx: expected a folder for csv"),
        ("export skeletons --to dlc --out a.CSV", 1, "a.CSV: expected a folder for dlc"),
        ("export skeletons --to trc --out clip.mp4", 1, "clip.mp4 is no folder"),
        ("export net.json --onnx a.onnx", 2, "`skelact export-onnx CHECKPOINT FILE`"),
        ("export --onnx=a.onnx --ann-file a.pkl", 2, "`skelact export-onnx CHECKPOINT FILE`"),
        ("export-onnx clip.mp4", 2, "clip.mp4 is there: give CHECKPOINT FILE"),
        ("export-onnx a b c.onnx", 2, "expected [CHECKPOINT] FILE, got 3 paths"),
    ],
)
def test_what_cannot_be_is_said_and_writes_nothing(folder, arguments, code, said):
    Path("clip.mp4").write_text("a clip")
    Path("empty").mkdir()
    before = sorted(Path().rglob("*"))
    result = run(*arguments.split())
    assert result.exit_code == code, result.output
    assert said in re.sub(r"\s+", " ", result.output)
    assert sorted(Path().rglob("*")) == before
    assert Path("clip.mp4").read_text() == "a clip"


def test_an_entry_is_never_written_over(folder):
    entry = folder / "dive.mp4.npz"
    before = entry.read_bytes()
    Path("hard.csv").hardlink_to(entry)
    Path("soft.csv").symlink_to(entry)
    for name in ("hard.csv", "soft.csv"):
        result = run("export", entry, "--to", "csv", "--out", name)
        assert (result.exit_code, "would be lost" in result.output) == (1, True)
    assert entry.read_bytes() == before


def page(repository):
    return (repository / "docs" / "export.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run(folder, repository):
    for package in EXTRA:
        pytest.importorskip(package, reason="needs skelact[export]")
    commands = re.findall(r"^    skelact (.*)$", page(repository), re.M)
    assert {shlex.split(line)[3] for line in commands} == set(_FORMATS)
    for line in commands:
        result = run(*shlex.split(line))
        assert result.exit_code == 0, f"{line}: {result.output}"
    names = {path.as_posix() for path in Path().rglob("*") if "skeletons/deep" not in str(path)}
    assert names >= {
        "skeletons/export/keypoints.csv", "skeletons/export/skeletons.xlsx", "dive.csv",
        "tables/angles.parquet", "skeletons/export/deep/b.mp4_dlc.csv",
        "skeletons/export/dive.mp4_json", "skeletons/export/dive.mp4_m_person00.trc",
        "skeletons/export/deep/b.mp4_px_person01.c3d",
    }  # fmt: skip


def test_the_examples_of_the_page_run(folder, repository, monkeypatch):
    for package in (*EXTRA, "supervision"):
        pytest.importorskip(package, reason="needs skelact[export] and supervision")
    write_clip("clip.mp4", num_frames=8)
    run("export", folder, "--to", "csv")
    run("export", folder, "--to", "parquet", "--tables", "angles", "--out", "tables")
    run("export", folder, "--to", "xlsx", "--tables", "elements")
    # The people of the clip are not what is tested, and it shows none.
    found = skelact.ClipSkeletons("clip.mp4", flight())
    monkeypatch.setattr(skelact, "extract", lambda source, **options: found)
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", page(repository), re.M | re.S):
        exec(compile(block, "docs/export.md", "exec"), names)
    assert set(names["knee"]["angle"]) == {"left_knee"}
    assert names["book"]["elements"]["kind"].tolist() == ["salto"]
    assert len(names["again"]) == len(names["back"]) == len(flight())
    assert names["back"].sequence.is_present().all()
    assert names["summary"].num_rows["angles"] == 10 * (len(flight()) + 6)
