"""Folders of videos: what is taken once, and what is passed over."""

from __future__ import annotations

import os

import pytest
from clips import FPS, write_clip
from scenes import make_sequence
from touch import touch

from skelact import SkelactError
from skelact.pipeline.drawing.overlay import write_overlay
from skelact.pose_extract import folders
from skelact.pose_extract.folders import files_below
from skelact.pose_extract.sources import ClipSource, find_sources

SUFFIXES = {".mp4", ".mov"}


def names(folder):
    found = files_below(folder, SUFFIXES)
    return [path.relative_to(folder).as_posix() for path in found.taken]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    touch(tmp_path, "a.mp4", "._a.mp4", ".a.mp4.x1y2.mp4", ".Trashes/b.mp4", "c/d.MOV", "c/._d.MOV")
    found = files_below(tmp_path, SUFFIXES)
    assert [path.name for path in found.taken] == ["a.mp4", "d.MOV"]
    # The hidden folder counts as one.
    assert found.passed_over == {"hidden": 4}


def test_a_hidden_folder_that_is_given_is_read(tmp_path):
    touch(tmp_path, ".cache/a.mp4")
    assert names(tmp_path / ".cache") == ["a.mp4"]


def test_linked_folders_are_followed_once_and_circles_end(tmp_path):
    touch(tmp_path, "in/z/a.mp4", "out/b.mp4", "out/deep/c.mp4")
    top = tmp_path / "in"
    # The first in the alphabet is a link to a real folder of the tree, whose own name counts.
    (top / "again").symlink_to(top / "z")
    (top / "round").symlink_to(top)
    (top / "z" / "up").symlink_to(tmp_path)
    (top / "other").symlink_to(tmp_path / "out")
    (top / "other2").symlink_to(tmp_path / "out")
    (top / "part").symlink_to(tmp_path / "out" / "deep")
    assert names(top) == ["other/b.mp4", "other/deep/c.mp4", "z/a.mp4"]


def test_a_folder_that_is_a_link_and_links_to_files_are_read(tmp_path):
    touch(tmp_path, "store/blob", "real/a.mp4")
    (tmp_path / "real" / "b.mp4").symlink_to(tmp_path / "store" / "blob")
    (tmp_path / "real" / "gone.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "real" / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = files_below(tmp_path / "link", SUFFIXES)
    assert [path.name for path in found.taken] == ["a.mp4", "b.mp4"]
    assert found.passed_over == {"broken links": 2}


def test_a_pipe_is_not_opened(tmp_path):
    touch(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = files_below(tmp_path, SUFFIXES)
    assert [path.name for path in found.taken] == ["a.mp4"]
    assert found.passed_over_line() == "1 special files"


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "locked/b.mp4")
    scandir = os.scandir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    found = files_below(tmp_path, SUFFIXES)
    assert [path.name for path in found.taken] == ["a.mp4"]
    assert found.passed_over_line() == "1 unreadable folders"


def test_what_is_passed_over_is_one_line_the_most_frequent_first(tmp_path):
    touch(tmp_path, "a.mp4", *(f"{i}.txt" for i in range(9)), *(f"{i}.jpg" for i in range(5)))
    touch(tmp_path, "b.rm", "c.RM", "d.rm", "e.rm", "a.srt", "b.srt", "c.srt", "README", "LICENSE")
    touch(tmp_path, "one.json", "two.dat")
    told = []
    (clip,) = find_sources(tmp_path, told.append)
    assert clip.clip_id == "a.mp4"
    others = "9 .txt, 5 .jpg, 4 .rm, 3 .srt, 2 without a suffix, 2 others"
    assert told == [f"{tmp_path}: passed over {others}"]


def test_nothing_passed_over_is_no_line(tmp_path):
    touch(tmp_path, "a.mp4")
    told = []
    find_sources([tmp_path, tmp_path / "a.mp4"], told.append)
    assert told == []


def test_overlays_of_ours_are_no_input_of_a_folder(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", num_frames=4)
    write_overlay(
        make_sequence(1, 4, img_shape=(96, 128), fps=FPS),
        ClipSource(clip, "a"),
        tmp_path / "a_overlay.mp4",
    )
    found = files_below(tmp_path, SUFFIXES)
    assert [path.name for path in found.taken] == ["a.mp4"]
    assert found.passed_over_line() == "1 overlays by skelact"
    # Whoever names the file means it.
    assert [clip.clip_id for clip in find_sources(tmp_path / "a_overlay.mp4")] == ["a_overlay.mp4"]


def test_a_folder_with_nothing_but_others_says_what_they_are(tmp_path):
    touch(tmp_path, "a.rm", "._a.mp4")
    with pytest.raises(SkelactError, match=r"no video among 2 files \(1 .rm, 1 hidden\)"):
        find_sources(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SkelactError, match=r"no video among 0 files \(empty\)"):
        find_sources(tmp_path / "empty")


def test_names_that_are_not_utf_8_are_found(tmp_path):
    name = os.fsdecode(b"\xfcber.mp4")
    touch(tmp_path, name)
    assert names(tmp_path) == [name]
