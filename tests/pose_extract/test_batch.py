"""Many clips into a folder: resume, failures, manifest, shards, annotation files."""

import json
import shutil

import numpy as np
import pytest
from clips import BrightnessPose, OneWalker, write_clip

from skelact import SkelactError
from skelact.pose_extract.batch import Shard, extract_clips, load_done
from skelact.pose_extract.common.files import sha256_of
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.store.export import write_coco
from skelact.pose_extract.store.manifest import ManifestEntry
from skelact.pose_extract.store.npz import load_sequence, read_config, save_sequence
from skelact.pose_extract.store.plan import BatchPlan, find_renamed


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    (folder / "day1").mkdir(parents=True)
    (folder / "day2").mkdir()
    write_clip(folder / "day1" / "vault.mp4", 12)
    write_clip(folder / "day2" / "vault.mp4", 9)
    write_clip(folder / "day2" / "a.b.mp4", 5)
    (folder / "day1" / "broken.mp4").write_bytes(b"not a video")
    return folder


def make_extractor(**changes):
    detector = changes.pop("detector", None) or OneWalker()
    return Extractor(
        ExtractConfig(**({"effort": "fast"} | changes)), detector=detector, pose=BrightnessPose()
    )


def extract(videos, out, extractor=None, **options):
    return extract_clips(find_sources([videos]), out, extractor or make_extractor(), **options)


def contents(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_every_clip_has_a_line_and_a_file(videos, tmp_path):
    out = tmp_path / "out"
    summary = extract(videos, out)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["video"] for line in lines] == [
        "day1/broken.mp4", "day1/vault.mp4", "day2/a.b.mp4", "day2/vault.mp4",
    ]  # fmt: skip
    assert [line["status"] for line in lines] == ["failed", "done", "done", "done"]
    vault = lines[1]
    assert vault["frames"] == 12
    assert vault["people"] == 1
    assert vault["seconds"] == round(12 * 1001 / 24000, 3)
    assert vault["athlete_share"] == 1.0
    assert vault["mean_score"] == pytest.approx(0.8, abs=1e-4)
    assert (out / vault["output"]).is_file()
    assert [entry.video for entry in summary.failed] == ["day1/broken.mp4"]
    assert summary.num_new == 4


def test_a_second_run_does_nothing(videos, tmp_path):
    out = tmp_path / "out"
    extract(videos, out)
    before = contents(out)
    extractor = make_extractor()
    extractor.run = None  # any work would call it
    summary = extract(videos, out, extractor)
    assert summary.num_new == 0
    assert len(summary.failed) == 1
    assert contents(out) == before


@pytest.mark.parametrize("killed_in", ["manifest line", "cache entry", "before the line"])
def test_a_killed_run_resumes_to_the_same_bytes(videos, tmp_path, killed_in):
    extract(videos, tmp_path / "whole")
    out = tmp_path / "killed"
    shutil.copytree(tmp_path / "whole", out)
    lines = (out / "manifest.jsonl").read_text().splitlines(keepends=True)
    if killed_in == "manifest line":
        (out / "manifest.jsonl").write_text("".join(lines[:2]) + lines[2][:40])
    elif killed_in == "cache entry":
        (out / "manifest.jsonl").write_text("".join(lines[:2]))
        entry = out / "day2" / "vault.mp4.npz"
        entry.write_bytes(entry.read_bytes()[:100])
        (out / "day2" / "a.b.mp4.npz").unlink()
    else:
        (out / "manifest.jsonl").unlink()
    extract(videos, out)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_changed_video_is_done_again(videos, tmp_path):
    out = tmp_path / "out"
    extract(videos, out)
    write_clip(videos / "day1" / "vault.mp4", 7)
    summary = extract(videos, out)
    assert summary.num_new == 1
    assert {e.video: e.frames for e in summary.entries}["day1/vault.mp4"] == 7


def test_a_touched_video_is_not(videos, tmp_path):
    out = tmp_path / "out"
    extract(videos, out)
    (videos / "day1" / "vault.mp4").touch()
    assert extract(videos, out).num_new == 0


def test_another_chain_does_all_again(videos, tmp_path):
    out = tmp_path / "out"
    extract(videos, out)
    assert extract(videos, out, make_extractor(detector=OneWalker({3}))).num_new == 4
    assert extract(videos, out, make_extractor(num_person=1)).num_new == 4


def test_one_line_says_why_old_results_are_made_again(videos, tmp_path):
    out = tmp_path / "out"
    plans = []
    extract(videos, out, on_plan=plans.append)
    extract(videos, out, make_extractor(effort="balanced"), on_plan=plans.append)
    write_clip(videos / "day1" / "vault.mp4", 7)
    extract(videos, out, make_extractor(effort="balanced"), on_plan=plans.append)
    first, other_effort, other_video = plans
    assert first.why_again() is None
    assert other_effort.num_todo == 4
    assert other_effort.why_again() == (
        "3 of 4 clips are made again: made with other settings: "
        "tracker.orientation.athlete.view_thr was 0.0, is now 0.7"
    )
    assert other_video.why_again() == (
        "1 of 4 clips are made again: made from another version of the video"
    )


def test_cuts_of_a_video_come_together_and_it_is_hashed_once(tmp_path, monkeypatch):
    read = []

    def counting(path):
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr("skelact.pose_extract.store.source_file.sha256_of", counting)
    for name in ("a", "b"):
        write_clip(tmp_path / f"{name}.mp4")
    rows = ["b,20,25", "a,9,14", "b,0,5", "a,14,20", "a,0,9", "b,30,35", "b,25,30", "b,5,12"]
    (tmp_path / "l.csv").write_text(
        "path,start_frame,end_frame\n"
        + "".join(row.replace(",", ".mp4,", 1) + "\n" for row in rows)
    )
    clips, begun = find_sources(tmp_path / "l.csv"), []
    summary = extract_clips(
        clips,
        tmp_path / "out",
        make_extractor(),
        on_entry=lambda entry: begun.append(entry.video),
    )
    starts = [*((name, start) for name in "b" for start in (0, 5, 20, 25, 30)),
              *((name, start) for name in "a" for start in (0, 9, 14))]  # fmt: skip
    assert [(name[0], int(name.split("@f")[1].split("-")[0])) for name in begun] == starts
    assert read == ["b.mp4", "a.mp4"]
    assert [entry.video for entry in summary.entries] == [clip.clip_id for clip in clips]
    assert not summary.failed
    # Each alone, and in the order of the list, gives the same bytes.
    for clip in clips:
        extract_clips([clip], tmp_path / "alone", make_extractor())
    assert contents(tmp_path / "alone") == contents(tmp_path / "out")


def test_a_video_that_is_replaced_between_two_cuts(tmp_path):
    """The cut before it keeps its line, and is done again by the next run."""
    path = write_clip(tmp_path / "a.mp4", 40)
    other = write_clip(tmp_path / "b.mp4", 30)
    clips = [ClipSource(path, f"{i}", start_frame=i, end_frame=i + 10) for i in (0, 10, 25)]

    def replace_it(entry):
        if entry.video == "0":
            other.replace(path)

    first = extract_clips(clips, tmp_path / "out", make_extractor(), on_entry=replace_it)
    assert [entry.status for entry in first.entries] == ["done", "done", "failed"]
    assert "expected a cut within the file's 30 frames" in first.entries[2].error
    assert first.entries[0].video_sha256 != first.entries[1].video_sha256
    assert first.entries[1].video_bytes == path.stat().st_size
    again = extract_clips(clips, tmp_path / "out", make_extractor())
    assert (again.num_new, again.entries[1]) == (1, first.entries[1])
    assert again.entries[0].video_sha256 == again.entries[1].video_sha256


def test_videos_are_not_read_to_find_that_settings_changed(videos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    extract(videos, out)
    read = []
    monkeypatch.setattr("skelact.pose_extract.store.source_file.sha256_of", read.append)
    with pytest.raises(StopIteration):
        extract(videos, out, make_extractor(num_person=1), on_plan=lambda plan: next(iter(())))
    assert read == []


def test_a_cache_of_the_first_chain_is_made_again(videos, tmp_path):
    """Entries whose config has the sections of the tracker that there was before."""
    out = tmp_path / "out"
    extract(videos, out)
    path = out / "day1" / "vault.mp4.npz"
    config = read_config(path)
    tracker = config["extraction"].pop("tracker")
    config["extraction"] |= {"follow": tracker["path"], "track": {"match_thr": 0.25}}
    save_sequence(path, load_sequence(path), config)
    (out / "manifest.jsonl").unlink()
    plans = []
    summary = extract(videos, out, on_plan=plans.append)
    assert summary.num_new == 2  # and the broken one, which no manifest knows any more
    assert "1 of 4 clips are made again: made with other settings: tracker is new" in (
        plans[0].why_again()
    )


def test_a_mended_video_is_tried_again_and_a_broken_one_on_request(videos, tmp_path):
    out = tmp_path / "out"
    extract(videos, out)
    assert extract(videos, out, retry_failed=True).num_new == 1
    write_clip(videos / "day1" / "broken.mp4", 3)
    assert extract(videos, out).failed == []


def test_a_missing_file_is_that_clips_failure(videos, tmp_path):
    clips = [
        ClipSource(videos / "none.mp4", "none.mp4"),
        ClipSource(videos / "day1" / "vault.mp4", "v.mp4"),
    ]
    summary = extract_clips(clips, tmp_path / "out", make_extractor())
    assert [entry.status for entry in summary.entries] == ["failed", "done"]
    assert "none.mp4" in summary.failed[0].error


def test_shards_share_the_work_and_a_last_run_joins_them(videos, tmp_path):
    out = tmp_path / "out"
    parts = [extract(videos, out, shard=Shard.parse(f"{i}/3")) for i in (1, 2, 3)]
    assert [len(part.entries) for part in parts] == [2, 1, 1]
    joined = extract(videos, out)
    assert joined.num_new == 0
    assert len(joined.entries) == 4


def test_cuts_of_a_video_go_to_one_shard_where_they_can():
    cuts = [("a", 0), ("b", 5), ("a", 9), ("b", 1), ("c", 0), ("a", 4), ("b", 8)]
    clips = [
        ClipSource(f"{name}.mp4", f"{name}{start}", start_frame=start, end_frame=start + 1)
        for name, start in cuts
    ]
    parts = [[clip.clip_id for clip in Shard(i, 3).take(clips)] for i in (1, 2, 3)]
    # By file a0 a4, a9 b1, b5 b8 c0; each part in the order of the list.
    assert parts == [["a0", "a4"], ["a9", "b1"], ["b5", "c0", "b8"]]
    assert Shard().take(clips) == clips


@pytest.mark.parametrize("text", ["0/2", "3/2", "two", "1-2"])
def test_a_shard_that_cannot_be(text):
    with pytest.raises(SkelactError, match="i/n"):
        Shard.parse(text)


def test_coco_json(videos, tmp_path):
    from pycocotools.coco import COCO

    out = tmp_path / "out"
    summary = extract(videos, out, make_extractor(detector=OneWalker({0, 1})))
    path = tmp_path / "coco.json"
    # 12 + 9 + 5 frames, the first two of each clip without anyone.
    assert write_coco(path, load_done(summary, out)) == 20
    coco = COCO(str(path))
    assert len(coco.getImgIds()) == 20
    annotation = coco.loadAnns(1)[0]
    assert annotation["num_keypoints"] == 17
    assert np.array(annotation["keypoints"]).reshape(17, 3)[:, 2].tolist() == [2] * 17
    # The box (22, 10, 62, 90), moved by a fifth to keypoints at x = 10, y = 37 to 47.
    low, high = np.array([19.6, 15.15]), np.array([51.6, 81.65])
    assert annotation["bbox"] == pytest.approx([*low, *(high - low)], abs=1e-3)
    assert coco.loadImgs(1)[0]["frame_id"] == 2


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\n", b'{"video": ["a"], "status": "done"}\n', b"[" * 10000 + b"\n"]
)
def test_lines_of_a_damaged_manifest_are_judged_by_the_entries(videos, tmp_path, damage):
    out = tmp_path / "out"
    extract(videos, out)
    (out / "manifest.jsonl").write_bytes(damage)
    summary = extract(videos, out)
    assert summary.num_new == 1  # the broken clip alone has no entry
    assert [entry.status for entry in summary.entries] == ["failed", "done", "done", "done"]


def test_a_plan_says_what_is_there_failed_and_named_otherwise():
    plan = BatchPlan(9, 3, {}, num_failed=2, renamed=("b.mp4", "c.mp4"))
    there, failed, renamed = plan.lines()
    assert there == "4 of 9 clips are there already"
    assert failed == "2 of 9 clips failed before; --retry-failed tries them again"
    assert renamed.startswith("2 of 9 clips have results under other names, such as b.mp4: ")
    assert BatchPlan(9, 9, {}).lines() == []


def test_results_under_other_names_are_found():
    known = {
        "b.mp4": ManifestEntry("b.mp4", "done", source="/v/a/b.mp4"),
        "l.mp4@f0-5": ManifestEntry("l.mp4@f0-5", "done", source="/v/a/l.mp4"),
    }
    clips = [
        ClipSource("/v/a/b.mp4", "a/b.mp4"),
        ClipSource("/v/c/b.mp4", "c/b.mp4"),
        ClipSource("/v/a/l.mp4", "a/l.mp4@f0-5", start_frame=0, end_frame=5),
        ClipSource("/v/a/l.mp4", "a/l.mp4@f5-9", start_frame=5, end_frame=9),
    ]
    assert find_renamed(clips, known) == ["b.mp4", "l.mp4@f0-5"]
