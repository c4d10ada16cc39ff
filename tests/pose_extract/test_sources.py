"""What to work on: files, folders, lists."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest

from skelact import SkelactError
from skelact.pose_extract.sources import ClipSource, find_sources


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def ids(sources):
    return [clip.clip_id for clip in find_sources(sources)]


def write_list(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_folder_is_searched_to_the_bottom_for_videos(tmp_path):
    touch(tmp_path, "b.mp4", "a/c.MOV", "a/notes.txt", "a/d/e.webm")
    assert ids([tmp_path]) == ["a/c.MOV", "a/d/e.webm", "b.mp4"]


def test_equal_names_stay_apart(tmp_path):
    touch(tmp_path, "x/a.mp4", "y/a.mp4", "y/a.avi", "y/a.b.mp4", "y/a.c.mp4")
    assert ids([tmp_path / "x", tmp_path / "y"]) == [
        "x/a.mp4",
        "y/a.avi",
        "y/a.b.mp4",
        "y/a.c.mp4",
        "y/a.mp4",
    ]


def test_a_file_given_twice_is_one_clip(tmp_path):
    touch(tmp_path, "a.mp4")
    assert ids([tmp_path / "a.mp4", tmp_path / "a.mp4", tmp_path]) == ["a.mp4"]


def test_one_path_alone_as_text_or_path(tmp_path):
    touch(tmp_path, "a.mp4")
    assert ids(tmp_path) == ids(str(tmp_path)) == ids([str(tmp_path / "a.mp4")]) == ["a.mp4"]
    assert ClipSource(str(tmp_path / "a.mp4"), "a").path == tmp_path / "a.mp4"


def test_a_list_of_cuts(tmp_path):
    touch(tmp_path, "v/a.mp4")
    path = write_list(
        tmp_path / "list.csv",
        "path,label,split,start_seconds,end_seconds,start_frame,end_frame",
        "v/a.mp4,vault,train,1.5,2.25,,",
        "v/a.mp4,beam,val,,,10,20",
        "v/a.mp4,,,,,,",
    )
    first, second, third = find_sources([path])
    info = SimpleNamespace(fps=Fraction(30000, 1001))
    # Frame 45 is the first at or after 1.5 s (1.5015 s), frame 68 the first after 2.25 s.
    assert first.frame_range(info) == (45, 68)
    assert (first.label, first.split) == ("vault", "train")
    assert second.frame_range(info) == (10, 20)
    assert third.frame_range(info) == (0, None)
    assert len({first.clip_id, second.clip_id, third.clip_id}) == 3


def test_a_time_that_is_a_frame_means_that_frame(tmp_path):
    touch(tmp_path, "a.mp4")
    path = write_list(tmp_path / "l.csv", "path,start_seconds,end_seconds", "a.mp4,0.033,0.067")
    info = SimpleNamespace(fps=Fraction(30))
    assert find_sources([path])[0].frame_range(info) == (1, 2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,label", "a.mp4,x"], "expected a column 'path'"),
        (["path,lable", "a.mp4,x"], "unknown column 'lable'; is 'label' meant"),
        (["path,start_seconds", "a.mp4,soon"], "line 2: start_seconds: expected a number"),
        (["path,start_frame", "a.mp4,1.5"], "start_frame: expected a whole number"),
        (["path,start_frame,end_frame", "a.mp4,9,3"], "0 <= start < end"),
        (["path,start_frame,end_seconds", "a.mp4,9,3"], "seconds or in frames, got both"),
        (["path", ""], "no line after its header"),
    ],
)
def test_lists_that_cannot_be(tmp_path, lines, message):
    touch(tmp_path, "a.mp4")
    with pytest.raises(SkelactError, match=message):
        find_sources([write_list(tmp_path / "list.csv", *lines)])


def test_nothing_there(tmp_path):
    with pytest.raises(SkelactError, match="no file or folder at"):
        find_sources([tmp_path / "nowhere"])
    touch(tmp_path, "notes.txt")
    with pytest.raises(SkelactError, match="no video among 1 files"):
        find_sources([tmp_path])


def test_one_name_for_two_clips_is_refused(tmp_path):
    touch(tmp_path, "out/a.mp4", "in/a.mp4")
    path = write_list(
        tmp_path / "in" / "list.csv", "path", "a.mp4", str(tmp_path / "out" / "a.mp4")
    )
    found = ids([path])
    assert len(set(found)) == 2
