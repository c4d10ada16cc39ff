"""What to work on: files, folders, lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from touch import touch

from skelact import SkelactError
from skelact.pose_extract.sources import ClipSource, find_sources


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


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4")
    monkeypatch.chdir(tmp_path)
    for sources in ("", [""], ["a.mp4", ""]):
        with pytest.raises(SkelactError, match="got an empty path"):
            find_sources(sources)
    with pytest.raises(SkelactError, match="expected a video file, got an empty path"):
        ClipSource("", "a")
    assert ids(".") == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\0b.mp4", "null byte"),
        ("n" * 300 + ".mp4", "File name too long"),
        ("a.mp4/b.mp4", "Not a directory"),
        ("nowhere.mp4", "no file or folder at"),
    ],
)
def test_paths_that_no_file_can_have_are_errors_with_words(tmp_path, name, message):
    touch(tmp_path, "a.mp4")
    with pytest.raises(SkelactError, match=message):
        find_sources(tmp_path / name)


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
    assert (first.clip_id, first.label, first.split) == ("v/a.mp4@1.500-2.250s", "vault", "train")
    assert (first.start_seconds, first.end_seconds, first.start_frame) == (1.5, 2.25, None)
    assert (second.clip_id, second.start_frame, second.end_frame) == ("v/a.mp4@f10-20", 10, 20)
    assert (third.clip_id, third.label, third.split) == ("v/a.mp4", None, None)
    assert [clip.is_cut for clip in (first, second, third)] == [True, True, False]
    assert [clip.row for clip in (first, third)] == [f"{path}, line 2", f"{path}, line 4"]
    # Where a clip was asked for is no part of what it is.
    assert third == ClipSource(tmp_path / "v" / "a.mp4", "v/a.mp4")


def test_a_list_with_tabs_is_known_by_its_suffix(tmp_path):
    path = write_list(tmp_path / "list.TSV", "path\tlabel", "a.mp4\tvault")
    assert [(clip.clip_id, clip.label) for clip in find_sources(path)] == [("a.mp4", "vault")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,label", "a.mp4,x"], "unknown column 'file': is 'path' meant"),
        (["label", "x"], "expected a column 'path'"),
        (["path,lable", "a.mp4,x"], "unknown column 'lable': is 'label' meant"),
        (
            ["path,start,end", "a.mp4,0,1"],
            "'start': is 'start_seconds' meant, or 'start_frame'.; unknown column 'end': is 'end_s",
        ),
        (["path,Start Time", "a.mp4,0"], "unknown column 'Start Time': is 'start_seconds' meant"),
        (["path,end_time", "a.mp4,0"], "unknown column 'end_time': is 'end_seconds' meant"),
        (["path,duration", "a.mp4,0"], "'duration': give the end in 'end_seconds', the start plus"),
        (["path,camera", "a.mp4,0"], "unknown column 'camera'; the known ones are path, label, "),
        (["path,start_seconds", "a.mp4,soon"], "line 2: start_seconds: expected a number"),
        (["path,start_frame", "a.mp4,1.5"], "start_frame: expected a whole number"),
        (["path,start_frame,end_frame", "a.mp4,9,3"], "0 <= start < end"),
        (["path,start_frame,end_seconds", "a.mp4,9,3"], "seconds or in frames, got both"),
        (["path,label", ",x"], "line 2: expected a path, got nothing"),
        (["path", ""], "no line after its header"),
    ],
)
def test_lists_that_cannot_be(tmp_path, lines, message):
    touch(tmp_path, "a.mp4")
    with pytest.raises(SkelactError, match=message):
        find_sources([write_list(tmp_path / "list.csv", *lines)])


def test_rows_without_a_usable_file_are_clips_that_fail_later(tmp_path):
    touch(tmp_path, "a.mp4", "folder/b.mp4")
    long = "n" * 300
    path = write_list(tmp_path / "l.csv", "path", "none.mp4", "folder", f"{long}.mp4", "a.mp4")
    assert ids(path) == ["none.mp4", "folder", f"{long}.mp4", "a.mp4"]


def test_a_row_twice_is_one_clip_and_with_two_labels_an_error(tmp_path):
    path = write_list(tmp_path / "l.csv", "path,label", "a.mp4,x", "a.mp4,x")
    assert ids(path) == ["a.mp4"]
    write_list(path, "path,label", "a.mp4,x", "b.mp4,x", "a.mp4,y")
    with pytest.raises(
        SkelactError,
        match="line 2 .label x, split None. and .*line 4 .label y, .*; expected one label",
    ):
        find_sources(path)


def test_nothing_there(tmp_path):
    with pytest.raises(SkelactError, match="no file or folder at"):
        find_sources([tmp_path / "nowhere"])
    touch(tmp_path, "notes.txt")
    with pytest.raises(SkelactError, match="no video among 1 file"):
        find_sources([tmp_path])


def test_files_outside_of_a_list_s_folder_keep_apart(tmp_path):
    touch(tmp_path, "out/a.mp4", "in/a.mp4")
    path = write_list(
        tmp_path / "in" / "list.csv", "path", "a.mp4", str(tmp_path / "out" / "a.mp4")
    )
    found = ids([path])
    assert len(set(found)) == 2


def test_one_name_for_two_files_is_refused(tmp_path):
    # A name never climbs out of the output folder, so ".." is left off.
    path = write_list(tmp_path / "in.csv", "path", "x/a.mp4", "../x/a.mp4")
    with pytest.raises(SkelactError, match="two clips are called 'x/a.mp4': .*in.csv, line 2 is"):
        find_sources(path)


@pytest.fixture
def lists(shared):
    folder = shared / "faults" / "csv"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("duration", "unknown column 'duration': give the end in 'end_seconds'"),
        ("start_end_names", "unknown column 'start': is 'start_seconds' meant"),
        ("start_time_names", "unknown column 'start_time': is 'start_seconds' meant"),
        ("nan", "line 2: start_seconds: expected a finite number of seconds, got 'nan'"),
        ("latin1", "expected text in UTF-8.*if that line should read 'a.mp4,Sprünge'"),
    ],
)
def test_lists_of_others_that_are_refused(lists, name, message):
    with pytest.raises(SkelactError, match=message):
        find_sources(lists / f"{name}.csv")


def test_lists_of_others_that_are_read(lists):
    first, second = find_sources(lists / "pandas_float.csv")
    assert (first.label, first.start_frame, first.end_frame) == ("v", 0, 4)
    assert (second.label, second.is_cut) == ("w", False)
    (clip,) = find_sources(lists / "utf16.csv")
    assert (clip.path, clip.label) == (Path(lists / "a.mp4"), "vault")
