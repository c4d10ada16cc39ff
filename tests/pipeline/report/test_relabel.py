"""The command that labels another person as the athlete means that person and that clip."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from scenes import make_sequence
from touch import touch

from skelact.pipeline.report.relabel import relabel_command
from skelact.pose_extract.sources import ClipSource, find_sources


def sequence(seen_from):
    """Two people; person 1 is in a box of its own from a step on."""
    scores = np.ones((2, 9, 17), np.float32)
    scores[1, :seen_from] = 0
    boxes = np.tile(np.array([10.4, 20, 30.6, 40], np.float32), (2, 9, 1))
    boxes[1] = [[50 + step, 60, 70, 80] for step in range(9)]
    return make_sequence(
        2, 9, keypoint_scores=scores, bboxes=boxes, frame_inds=np.arange(100, 109)
    )  # fmt: skip


def test_a_person_of_the_first_frame_is_named_by_the_box(tmp_path):
    clip = ClipSource(tmp_path / "it's a clip.mp4", "a")
    found = relabel_command(sequence(0), 1, clip, "out dir", ["--effort", "fast"])
    assert shlex.split(found["command"]) == [
        "skelact", "predict", str(clip.path), "--subject", "50,60,70,80", "--effort", "fast",
        "--html", "out dir",
    ]  # fmt: skip
    assert found["list_text"] is None
    assert found["first_frame"] is None
    assert "10,20,31,40" in relabel_command(sequence(0), 0, clip, "r")["command"]


@pytest.mark.parametrize(
    ("limits", "seen_from", "start", "end"),
    [
        ({}, 4, 104, None),
        ({"start_frame": 100, "end_frame": 109}, 0, 100, 109),
        ({"start_frame": 100, "end_frame": 109}, 4, 104, 109),
        ({"start_seconds": 4.0}, 4, 104, 109),
    ],
)
def test_a_cut_and_who_comes_later_are_named_in_a_list_that_is_read(
    tmp_path, limits, seen_from, start, end
):
    touch(tmp_path, "a, b.mp4")
    clip = ClipSource(tmp_path / "a, b.mp4", "a", **limits)
    found = relabel_command(sequence(seen_from), 1, clip, "r")
    words = shlex.split(found["command"])
    assert words[3:5] == ["--subject", f"{50 + seen_from},60,70,80"]
    (tmp_path / found["list_name"]).write_text(found["list_text"])
    assert words[2] == str(tmp_path / found["list_name"])
    (again,) = find_sources([words[2]])
    assert again.path.name == "a, b.mp4"
    assert (again.start_frame, again.end_frame) == (start, end)
    assert found["first_frame"] == (104 if seen_from else None)


def test_a_cut_in_seconds_stays_one(tmp_path):
    touch(tmp_path, "a.mp4")
    clip = ClipSource(tmp_path / "a.mp4", "a", start_seconds=1.5, end_seconds=3.25)
    found = relabel_command(sequence(0), 1, clip, "r")
    (tmp_path / found["list_name"]).write_text(found["list_text"])
    (again,) = find_sources([tmp_path / found["list_name"]])
    assert (again.start_seconds, again.end_seconds) == (1.5, 3.25)


def test_nobody_has_no_command(tmp_path):
    assert relabel_command(sequence(9), 1, ClipSource(tmp_path / "a.mp4", "a"), "r") is None
