"""Which clips belong together: by file, content, name and the user's word."""

from __future__ import annotations

import pytest

from skelact.pipeline.learn.groups import find_groups
from skelact.pose_extract.sources import ClipSource


def clips(names, **changes):
    """Return clips "CLASS/name"; "name@1" is a cut of one file."""
    return [
        ClipSource(f"/videos/{name.partition('@')[0]}", name, label=name.split("/")[0], **changes)
        for name in names
    ]


def grouped(names, contents=None):
    """Return the groups as sets of names."""
    groups = find_groups(clips(names), contents or [None] * len(names))
    return {frozenset(n for n, g in zip(names, groups) if g == group) for group in set(groups)}


@pytest.mark.parametrize(
    "series",
    [
        ["a/v_Dive_g03_c01.avi", "a/v_Dive_g03_c02.avi"],
        ["a/salto part 1.mp4", "a/salto part 2.mp4"],
        ["a/0LtLS9wROrk_E_002407_002435_A_0003_0005.mp4", "a/0LtLS9wROrk_E_000123_000130.mp4"],
        ["a/anna_1.mp4", "a/anna_2.mp4"],
        ["a/long.mp4@0.000-1.000s", "a/long.mp4@1.000s-end"],
        ["a/final.mp4", "b/final.mp4"],  # one video under two classes
    ],
)
def test_names_of_one_series_are_a_group(series):
    others = ["a/v_Dive_g04_c01.avi", "b/berta_1.mp4", "b/carla_1.mp4"]
    assert grouped([*series, *others]) == {frozenset(series), *(frozenset([o]) for o in others)}


def test_names_that_differ_in_a_number_alone_are_no_series():
    """Each clip is a group, and the user is told, once per class."""
    notes = []
    names = ["a/clip_1.mp4", "a/clip_2.mp4", "b/IMG_20240101_101010.mp4", "b/IMG_20240102_1111.mp4"]
    assert len(set(find_groups(clips(names), [None] * 4, notes.append))) == 4
    names = ["a/jump_1.mp4", "a/jump_2.mp4", "b/walk.mp4"]
    assert len(set(find_groups(clips(names), [None] * 3, notes.append))) == 3
    assert [note.split(":")[0] for note in notes][-1] == (
        "the names of class 'a' differ in a number alone"
    )
    assert "column group" in notes[-1]


def test_numbers_in_two_folders_are_not_one_recording():
    assert len(grouped(["a/001.mp4", "a/002.mp4", "b/001.mp4", "b/002.mp4"])) == 4


def test_copies_of_a_file_are_a_group_whatever_they_are_called():
    names = ["a/anna.mp4", "a/berta.mp4", "b/carla.mp4"]
    assert grouped(names, ["x", "y", "x"]) == {
        frozenset(["a/anna.mp4", "b/carla.mp4"]),
        frozenset(["a/berta.mp4"]),
    }


def test_the_list_has_the_last_word_on_names():
    named = [
        ClipSource("/v/anna_1.mp4", "anna_1", label="a", group="monday"),
        ClipSource("/v/anna_2.mp4", "anna_2", label="a", group="tuesday"),
        ClipSource("/v/berta.mp4", "berta", label="b", group="monday"),
    ]
    assert find_groups(named, [None] * 3).tolist() == [0, 1, 0]
