"""What goes wrong in a batch costs one clip, or ends the run in words: never a result or a night.

Sources that the operating system does not give, files that change, entries that are damaged, names
that two videos have, disks that are full.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import BrightnessPose, OneWalker, write_clip

from skelact import SkelactError
from skelact.pose_extract.batch import extract_clips, load_done
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.store.manifest import read_manifests
from skelact.pose_extract.store.npz import CacheError, load_sequence
from skelact.pose_extract.store.results import NameTakenError, OutputError


def make_extractor(pose=None):
    return Extractor(
        ExtractConfig(effort="fast"), detector=OneWalker(), pose=pose or BrightnessPose()
    )


def extract(sources, out, pose=None, **options):
    return extract_clips(find_sources(sources), out, make_extractor(pose), **options)


def contents(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def lines(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()]


@pytest.fixture
def videos(tmp_path):
    """Two clips that differ: a.mp4 of 6 frames, b.mp4 of 5."""
    folder = tmp_path / "videos"
    folder.mkdir()
    write_clip(folder / "a.mp4", 6)
    write_clip(folder / "b.mp4", 5)
    return folder


class PoseThatActs(BrightnessPose):
    """Does something in the middle of each clip."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def predict(self, crops):
        self.act()
        return super().predict(crops)


def test_a_source_that_the_system_does_not_give_is_one_failed_clip(videos, tmp_path):
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    os.mkfifo(tmp_path / "pipe.mp4")
    good = ClipSource(videos / "a.mp4", "a.mp4")
    bad = {
        "missing.mp4": (tmp_path / "missing.mp4", "no file at "),
        "folder.mp4": (videos, "expected a video file, got a folder"),
        "nul.mp4": (f"{tmp_path}/a\0.mp4", "got one with a NUL"),
        "long.mp4": (tmp_path / f"{'x' * 300}.mp4", "File name too long"),
        "loop.mp4": (loop, "symbolic links"),
        "pipe.mp4": (tmp_path / "pipe.mp4", "got a device, socket or pipe"),
        "../up.mp4": (videos / "a.mp4", "inside of the output folder"),
        "nul\0.mp4": (videos / "a.mp4", "inside of the output folder"),
        "\ud800.mp4": (videos / "a.mp4", "must be that of a file"),
        f"{'y' * 248}.mp4": (videos / "a.mp4", "256 bytes and a file may have 255"),
    }
    clips = [ClipSource(path, name) for name, (path, _) in bad.items()]
    out = tmp_path / "out"
    summary = extract_clips([*clips, good], out, make_extractor())
    for entry, (_, expected) in zip(summary.entries, bad.values()):
        assert entry.status == "failed"
        assert expected in entry.error
    assert summary.entries[-1].status == "done"
    assert {path.name for path in out.iterdir()} == {"a.mp4.npz", "manifest.jsonl"}
    # They may be there the next time, so they are tried again; what is done is not.
    assert extract_clips([*clips, good], out, make_extractor()).num_new == len(bad)


@pytest.mark.parametrize("name", ["é" * 120 + "x.mp4", "z" * 247 + ".mp4", "[a]*.{b} ?.mp4"])
def test_a_long_or_odd_name_that_fits_is_done(videos, tmp_path, name):
    (videos / "a.mp4").rename(videos / name)
    summary = extract([videos], tmp_path / "out")
    assert summary.failed == []
    assert (tmp_path / "out" / f"{name}.npz").is_file()
    assert extract([videos], tmp_path / "out").num_new == 0


def test_a_name_that_is_not_utf8_goes_through_all_of_it(videos, tmp_path):
    name = os.fsdecode(b"vault\xff\xe9.mp4")
    (videos / "a.mp4").rename(videos / name)
    out = tmp_path / "out"
    summary = extract([videos], out)
    assert summary.failed == []
    text = (out / "manifest.jsonl").read_bytes().decode("utf-8")
    assert json.loads(text.splitlines()[1])["video"] == name
    assert {sequence.video_id for _, sequence in load_done(summary, out)} == {name, "b.mp4"}
    assert name in read_manifests(out)
    assert extract([videos], out).num_new == 0


def test_a_disk_that_fails_is_not_taken_for_a_damaged_video(videos, tmp_path, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("skelact.pose_extract.store.source_file.sha256_of", fail)
        summary = extract([videos], tmp_path / "out")
    assert [entry.error_kind for entry in summary.entries] == ["SourceError"] * 2
    assert "cannot be read: Input/output error" in summary.entries[0].error
    assert extract([videos], tmp_path / "out").failed == []


def grow(path):
    with path.open("ab") as stream:
        stream.write(b"more")


def exchange(path):
    """Put another file of the same size and time in its place."""
    stat, content = path.stat(), path.read_bytes()
    other = path.with_name("other")
    other.write_bytes(content[:-1] + b"x")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [grow, exchange, Path.unlink])
def test_a_video_that_changes_while_it_is_read_is_failed(videos, tmp_path, change):
    out = tmp_path / "out"
    copy = tmp_path / "copy.mp4"
    shutil.copy(videos / "a.mp4", copy)
    todo = [videos / "a.mp4"]
    pose = PoseThatActs(lambda: change(todo.pop()) if todo else None)
    summary = extract([videos], out, pose)
    assert [entry.status for entry in summary.entries] == ["failed", "done"]
    expected = "no file at" if change is Path.unlink else "changed while it was read"
    assert expected in summary.entries[0].error
    assert not (out / "a.mp4.npz").exists()
    shutil.copy(copy, videos / "a.mp4")
    again = extract([videos], out)
    assert (again.num_new, again.failed) == (1, [])


def test_a_broken_video_that_was_still_being_copied_is_tried_again(videos, tmp_path):
    """Its decoder gives up on half a file; it is whole when that is written down."""
    whole = (videos / "a.mp4").read_bytes()
    (videos / "a.mp4").write_bytes(whole[:100])

    class Detector(OneWalker):
        def load(self):
            self.opened = False

    extractor = make_extractor()
    run = extractor.run

    def run_while_copying(clips, on_progress):
        for result in run(clips, on_progress):
            (videos / "a.mp4").write_bytes(whole)
            yield result

    extractor.run = run_while_copying
    summary = extract_clips(find_sources([videos]), tmp_path / "out", extractor)
    assert summary.entries[0].error_kind == "SourceChangedError"
    assert extract([videos], tmp_path / "out").failed == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def overwrite(path):
    shutil.copy(path.with_name("b.mp4.npz"), path)


def other_fields(path):
    np.savez_compressed(path, x=np.arange(5000))


@pytest.mark.parametrize("damage", [cut, empty, overwrite, other_fields, Path.unlink])
def test_a_damaged_entry_is_seen_without_being_read_and_made_again(videos, tmp_path, damage):
    out = tmp_path / "out"
    extract([videos], out)
    whole = contents(out)
    damage(out / "a.mp4.npz")
    plans = []
    assert extract([videos], out, on_plan=plans.append).num_new == 1
    assert contents(out) == whole
    if damage is not Path.unlink:
        assert plans[0].why_again() is not None


def test_flipped_bytes_are_found_where_entries_are_read(videos, tmp_path, monkeypatch):
    # As in an entry of a clip of some seconds, where the arrays lie before the end that is hashed.
    monkeypatch.setattr("skelact.pose_extract.store.npz._DIGEST_BYTES", 1200)
    out = tmp_path / "out"
    summary = extract([videos], out)
    path = out / "a.mp4.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:150] + bytes([whole[150] ^ 255]) + whole[151:])
    assert extract([videos], out).num_new == 0  # its size and end are those that were written
    with pytest.raises(CacheError):
        list(load_done(summary, out))
    plans = []
    assert extract([videos], out, read_entries=True, on_plan=plans.append).num_new == 1
    assert plans[0].why_again() == "1 of 2 clips are made again: damaged"
    assert path.read_bytes() == whole


def test_damaged_entries_that_no_manifest_knows_are_made_again(shared, videos, tmp_path):
    """Each of them ended the run at planning."""
    out = tmp_path / "out"
    extract([videos], out)
    for damaged in sorted((shared / "faults" / "cache").glob("*.npz")):
        (out / "manifest.jsonl").unlink()
        shutil.copyfile(damaged, out / "a.mp4.npz")
        assert extract([videos], out).failed == []
        assert load_sequence(out / "a.mp4.npz").num_frames == 6


def test_results_of_another_format_version_are_made_again(videos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        for module in ("npz", "results"):
            patch.setattr(f"skelact.pose_extract.store.{module}.FORMAT_VERSION", 1)
        extract([videos], out)
    plans = []
    extract([videos], out, on_plan=plans.append)
    assert plans[0].why_again() == "2 of 2 clips are made again: made by format version 1"


def other_videos(tmp_path):
    """A folder with an a.mp4 of other content."""
    other = tmp_path / "other"
    other.mkdir()
    write_clip(other / "a.mp4", 9)
    return other


def test_a_result_is_never_replaced_by_another_video_of_its_name(videos, tmp_path):
    out = tmp_path / "out"
    extract([videos / "a.mp4"], out)
    before = contents(out)
    other = other_videos(tmp_path)
    with pytest.raises(NameTakenError) as error:
        extract([other / "a.mp4"], out)
    for part in (str(videos / "a.mp4"), str(other / "a.mp4"), "--out", "in common"):
        assert part in str(error.value)
    # Also with other settings, and where the manifest is lost.
    clips = find_sources([other / "a.mp4"])
    thorough = Extractor(
        ExtractConfig(effort="thorough"), detector=OneWalker(), pose=BrightnessPose()
    )
    with pytest.raises(NameTakenError):
        extract_clips(clips, out, thorough)
    assert contents(out) == before
    (out / "manifest.jsonl").unlink()
    with pytest.raises(NameTakenError):
        extract([other / "a.mp4"], out)


def test_two_videos_of_one_name_by_runs_at_the_same_time(videos, tmp_path):
    """The second run has planned, and is in its clip, when the first one writes its result."""
    out = tmp_path / "out"
    other = other_videos(tmp_path)
    todo = [lambda: extract([videos / "a.mp4"], out)]
    summary = extract([other / "a.mp4"], out, PoseThatActs(lambda: todo.pop()() if todo else None))
    assert [entry.error_kind for entry in summary.entries] == ["NameTakenError"]
    assert [(line["status"], line["source"]) for line in lines(out)] == [
        ("done", str(videos / "a.mp4"))
    ]
    assert load_sequence(out / "a.mp4.npz").num_frames == 6


def test_videos_that_moved_are_the_same_videos(videos, tmp_path):
    out = tmp_path / "out"
    extract([videos], out)
    moved = tmp_path / "moved"
    videos.rename(moved)
    compared = []
    summary = extract([moved], out, on_compare=lambda clip: compared.append(clip.clip_id))
    assert summary.num_new == 0
    assert compared == ["a.mp4", "b.mp4"]
    assert [line["source"] for line in lines(out)] == [
        str(moved / "a.mp4"), str(moved / "b.mp4")
    ]  # fmt: skip


def test_a_missing_file_elsewhere_does_not_hide_a_result(videos, tmp_path):
    out = tmp_path / "out"
    extract([videos], out)
    before = contents(out)
    summary = extract_clips([ClipSource(tmp_path / "a.mp4", "a.mp4")], out, make_extractor())
    assert [entry.status for entry in summary.entries] == ["failed"]
    assert contents(out) == before


def test_the_manifest_keeps_the_clips_of_other_runs_in_the_order_of_names(videos, tmp_path):
    out = tmp_path / "out"
    extract([videos / "b.mp4"], out)
    assert len(extract([videos / "a.mp4"], out).entries) == 1
    assert [line["video"] for line in lines(out)] == ["a.mp4", "b.mp4"]


def test_two_clips_of_one_name_in_one_call(videos, tmp_path):
    clips = [ClipSource(videos / "a.mp4", "x"), ClipSource(videos / "b.mp4", "x")]
    with pytest.raises(SkelactError, match="two clips are called 'x'"):
        extract_clips(clips, tmp_path / "out", make_extractor())


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("place", ["entry", "line"])
def test_a_full_disk_ends_the_run_with_all_that_is_done(
    videos, tmp_path, monkeypatch, place, fault
):
    """The disk is full in the second of three clips."""
    write_clip(videos / "c.mp4", 4)
    extract([videos], tmp_path / "whole")
    out = tmp_path / "out"
    write_bytes, write = Path.write_bytes, os.write
    num_lines = []

    def full_entry(path, data):
        if "b.mp4" in path.name:
            write_bytes(path, bytes(data)[:50])
            raise OSError(fault, os.strerror(fault))
        return write_bytes(path, data)

    def full_line(descriptor, data):
        if bytes(data[:10]) == b'{"video": ':
            num_lines.append(1)
            if len(num_lines) == 2:
                return write(descriptor, data[:30])
            if len(num_lines) > 2:
                raise OSError(fault, os.strerror(fault))
        elif len(num_lines) == 2:
            raise OSError(fault, os.strerror(fault))
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        if place == "entry":
            patch.setattr(Path, "write_bytes", full_entry)
        else:
            patch.setattr(os, "write", full_line)
        with pytest.raises(OutputError) as error:
            extract([videos], out)
    assert os.strerror(fault) in str(error.value)
    assert "the same command goes on from here" in str(error.value)
    assert [line["video"] for line in lines(out)] == ["a.mp4"]
    assert {path.name for path in out.iterdir()} <= {"a.mp4.npz", "b.mp4.npz", "manifest.jsonl"}
    assert extract([videos], out).failed == []
    assert contents(out) == contents(tmp_path / "whole")


def test_an_entry_that_cannot_be_written_for_its_own_sake_is_one_failed_clip(videos, tmp_path):
    out = tmp_path / "out"
    (out / "a.mp4.npz").mkdir(parents=True)
    summary = extract([videos], out)
    assert [entry.status for entry in summary.entries] == ["failed", "done"]
    assert "Is a directory" in summary.entries[0].error


def test_new_videos_are_not_read_before_the_first_clip(videos, tmp_path, monkeypatch):
    events = []
    from skelact.pose_extract.store import source_file

    def record(path, sha256_of=source_file.sha256_of):
        events.append(f"read {path.name}")
        return sha256_of(path)

    monkeypatch.setattr(source_file, "sha256_of", record)
    extract(
        [videos],
        tmp_path / "out",
        on_plan=lambda plan: events.append("plan"),
        on_entry=lambda entry: events.append(f"done {entry.video}"),
    )
    assert events == ["plan", "read a.mp4", "done a.mp4", "read b.mp4", "done b.mp4"]


def test_only_videos_that_look_changed_are_compared(videos, tmp_path):
    out = tmp_path / "out"
    extract([videos], out)
    (videos / "b.mp4").touch()
    compared = []
    extract([videos], out, on_compare=lambda clip: compared.append(clip.clip_id))
    assert compared == ["b.mp4"]
