"""The commands as a user types them, on real data."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from skeletons import ACTIONS, make_annotations, write_annotations

from skelact.pipeline.cli.main import main


def run(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_help_lists_the_commands():
    code, output = run("--help")
    assert code == 0
    for command in ("extract", "pretrain", "finetune", "evaluate", "predict", "doctor"):
        assert command in output
        assert run(command, "--help")[0] == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("skelact pre", {"pretrain", "predict"}),
        ("skelact predict --js", {"--json", "--json-lines"}),
        ("skelact predict --effort t", {"thorough"}),
    ],
)
def test_shells_complete_commands_options_and_choices(words, found):
    """As the line in docs/terminal.md sets bash up."""
    env = {"_SKELACT_COMPLETE": "bash_complete", "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    result = CliRunner().invoke(main, prog_name="skelact", env=env)
    assert {line.partition(",")[2] for line in result.output.split()} == found


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from skelact.pipeline.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'mmpose', 'mmengine', 'cv2', 'decord', 'av', 'numpy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_prediction_imports_nothing_heavy_that_it_does_not_use(tmp_path):
    """All networks are loaded before the first clip, here one that is no video, is opened."""
    clip = tmp_path / "clip.mp4"
    clip.write_text("no video")
    code = (
        "import sys\n"
        "from skelact.pipeline.cli.main import main\n"
        f"try:\n    main(['predict', {str(clip)!r}])\n"
        "except SystemExit as end:\n    print(end.code)\n"
        "heavy = {'av', 'decord', 'scipy.signal', 'scipy.stats', 'sympy', 'pandas',"
        " 'matplotlib', 'torch._dynamo', 'torch.distributed.optim', 'torch.distributed.fsdp'}\n"
        "print('mmpose.models' in sys.modules, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["3", "True []"]


def test_an_unknown_command_is_an_error_with_the_closest_ones():
    code, output = run("extrakt")
    assert code == 2
    assert "No such command 'extrakt'. Did you mean 'extract' or 'export'?" in output
    code, output = run("xyz")
    assert (code, output.endswith("Error: No such command 'xyz'.\n")) == (2, True)
    assert "Did you mean '--overlay'?" in run("predict", "a.mp4", "--ovrelay", "b")[1]


def test_doctor_finds_this_environment_whole(shared):
    code, output = run("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(output)}
    missing = [name for name, finding in findings.items() if finding["status"] == "missing"]
    assert (code, missing) == (0, [])
    assert findings["decoder decord"]["found"].startswith("decoded 8 frames")
    code, output = run("doctor")
    assert code == 0
    assert "mmpose" in output


def test_doctor_says_what_is_missing_and_how_to_mend_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SKELACT_SHARED", str(tmp_path))
    monkeypatch.setenv("SKELACT_CACHE", str(tmp_path))
    monkeypatch.delenv("SKELACT_WEIGHTS", raising=False)
    code, output = run("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(output)}
    lost = findings["weights rtmdet-nano"]
    assert "rtmdet_nano_person_320.onnx" in lost["mend"]
    # The networks of the package take their place.
    assert (code, lost["status"]) == (0, "note")
    assert findings["weights skelact-detector-320"]["status"] == "ok"
    taken = findings["detector"]
    assert taken["status"] == "note"
    assert taken["found"].startswith("skelact-detector-320, which ships, is taken: rtmdet-nano is")
    assert "`--detector https://download.openmmlab.com/" in taken["mend"]
    assert "fetches a larger one" in findings["pose model"]["found"]
    monkeypatch.setattr("skelact.pose_extract.weights.download.locate_weights", lambda name: None)
    code, output = run("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(output)}
    assert (code, findings["weights rtmdet-nano"]["status"]) == (1, "missing")


def test_extract_people_and_odd_files(shared, tmp_path):
    """A real folder: every good file done, a bad one listed, a second run without work."""
    source = tmp_path / "videos"
    source.mkdir()
    for path in sorted((shared / "videos" / "odd").iterdir()):
        (source / path.name).symlink_to(path)
    (source / "broken.mp4").write_text("not a video")
    (source / "silent.mp4").touch()
    out = tmp_path / "out"
    arguments = ("extract", source, "--out", out, "--effort", "fast")
    arguments += ("--annotations", tmp_path / "a.pkl")
    code, output = run(*arguments)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    by_status = {status: [x["video"] for x in lines if x["status"] == status] for status in
                 {x["status"] for x in lines}}  # fmt: skip
    assert code == 3
    assert sorted(by_status["failed"]) == ["broken.mp4", "silent.mp4"]
    assert len(by_status["done"]) == len(lines) - 2 == 12
    for name in by_status["failed"]:
        assert name in output
    lost = {x["video"]: x["lost_frames"] for x in lines if x["status"] == "done"}
    assert lost.pop("decord_corrupted.mp4") == 1
    assert set(lost.values()) == {0}
    assert len(pickle.loads((tmp_path / "a.pkl").read_bytes())["annotations"]) == 12
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    assert run(*arguments)[0] == 3
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.npz"))}


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_gives_the_same_bytes(shared, tmp_path):
    source = tmp_path / "videos"
    source.mkdir()
    for name in ("unordered.mov", "video_0.mov", "video_90.mov", "video_180.mov"):
        (source / name).symlink_to(shared / "videos" / "odd" / f"decord_{name}")
    for name in ("bb", "fx", "ub"):
        clip = f"example_{name}_01_normal.mp4"
        (source / clip).symlink_to(shared / "videos" / "gym" / clip)
    command = [sys.executable, "-m", "skelact.pipeline.cli.main", "extract", str(source)]
    command += ["--effort", "fast", "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    broken = tmp_path / "broken"
    with subprocess.Popen(
        [*command, str(broken)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        deadline = time.time() + 600
        while len(list(broken.rglob("*.npz"))) < 3 and time.time() < deadline:
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    done = len(list(broken.rglob("*.npz")))
    assert 3 <= done < 7
    subprocess.run([*command, str(broken)], check=True, capture_output=True)
    assert contents(tmp_path / "whole") == contents(broken)
    lines = [
        sorted((folder / "manifest.jsonl").read_text().splitlines())
        for folder in (tmp_path / "whole", broken)
    ]
    assert len(lines[0]) == len(lines[1])


def test_from_skeletons_to_figures(tmp_path, monkeypatch):
    """pretrain, finetune with two seeds, evaluate: a new set with labels of its own."""
    monkeypatch.chdir(tmp_path)
    write_annotations(
        tmp_path / "actions.pkl",
        make_annotations(6),
        make_annotations(3, seed=1),
        label_names=list(ACTIONS),
    )
    common = (
        "data: {dataset: mine, ann_file: actions.pkl%s}\n"
        "preprocess: {clip_len: 16, num_person: 1}\n"
        "encoder: {embed_dim: 16, hidden_dim: 16}\n"
    )
    Path("pre.yaml").write_text(
        common % "" + "optim: {kind: adam, lr: 3.0e-3, batch_size: 8, epochs: 3}\n"
    )
    Path("fin.yaml").write_text(
        common % ", val_split: val"
        + "classifier: {temporal_dim: 32}\n"
        + "optim: {kind: adam, lr: 3.0e-3, batch_size: 8, epochs: 20, ema_momentum: 0.05}\n"
    )
    assert run("pretrain", "pre.yaml", "--seed", 0, "--seed", 1, "--quiet")[0] == 0
    encoder = "work_dirs/pretrain_pre_{seed}/skeleton_mae.json"
    code, output = run(
        "finetune", "fin.yaml", "--pretrained", encoder, "--seed", 0, "--seed", 1, "--quiet"
    )
    assert code == 0, output
    assert "over 2 seeds" in output
    checkpoint = "work_dirs/finetune_fin_1/classifier.json"
    meta = json.loads(Path(checkpoint).read_text())
    assert meta["data"]["pretrained_on"]["seed"] == 1
    code, output = run(
        "evaluate", "--checkpoint", checkpoint, "--ann-file", "actions.pkl", "--split", "val"
    )
    assert code == 0
    assert "9 clips" in output


@pytest.mark.slow
def test_a_newcomer_s_path_with_clips_of_their_own(shared, repository, tmp_path, monkeypatch):
    """The commands of docs/data.md on real clips of two sports, cut short."""
    monkeypatch.chdir(tmp_path)
    lines = ["path,label,split,start_seconds,end_seconds"]
    for sport in ("BaseballPitch", "Archery"):
        clips = sorted((shared / "videos" / "ucf101_train").glob(f"v_{sport}_*"))[:3]
        for clip, split in zip(clips, ("train", "train", "val")):
            lines.append(f"{clip},{sport},{split},0,0.3")
    Path("clips.csv").write_text("\n".join(lines) + "\n")
    Path("clip.mp4").symlink_to(clips[2])
    text = (repository / "docs" / "data.md").read_text()
    section = text.split("## Your own clips")[1].split("A config of your own")[0]
    commands = [line.split()[1:] for line in section.splitlines() if line.startswith("    skelact")]
    assert [command[0] for command in commands] == [
        "extract", "pretrain", "finetune", "evaluate", "predict",
    ]  # fmt: skip
    extra = {
        "extract": ["--effort", "fast"],
        "pretrain": ["--set", "optim.epochs=2", "--quiet"],
        "finetune": ["--set", "optim.epochs=8", "--quiet"],
        "predict": ["--effort", "fast", "--json", "out.json"],
    }
    for command in commands:
        code, output = run(*command, *extra.get(command[0], []))
        assert code == 0, output
        if command[0] == "evaluate":
            assert "2 clips of split 'val'" in output
    assert json.loads(Path("out.json").read_text())[0]["label"] in ("BaseballPitch", "Archery")


def test_penn_action_for_an_epoch(shared, tmp_path):
    """The shipped configs on their real data, cut short."""
    frames = ("--set", "preprocess.clip_len=16")
    short = ("--set", "optim.epochs=1", *frames, "--quiet", "--work-dir")
    code, output = run("pretrain", "penn_action", *short, tmp_path / "pre")
    assert code == 0, output
    code, output = run(
        "finetune", "penn_action", "--pretrained", tmp_path / "pre",
        "--set", "data.label_fraction=0.1", *short, tmp_path / "fin",
    )  # fmt: skip
    assert code == 0, output
    assert "top1" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extract", "nowhere", "--out", "out"), "no file or folder at nowhere"),
        (("pretrain", "gym98"), "no pretrain config 'gym98'"),
        (("finetune", "gym99"), "no annotation file"),
        (("evaluate", "--ann-file", "none.pkl", "--split", "val", "--checkpoint", "c"), "missing"),
    ],
)
def test_mistakes_end_with_a_line_and_not_with_a_trace(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, output = run(*arguments)
    assert code == 1
    assert "skelact: " in output
    assert message in output
    assert "Traceback" not in output


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ["synth", "diving", "--train", "48", "--val", "48", "--test", "48"]
    code, output = run(*arguments, "--out", tmp_path / "file" / "dives.pkl")
    assert code == 1
    assert output.startswith("skelact: ")
    assert str(tmp_path / "file") in output
