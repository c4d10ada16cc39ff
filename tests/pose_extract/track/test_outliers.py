"""Joints that jump away without confidence are put back; all others stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from walker import walk

from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.track.outliers import replace_outliers

WRIST = COCO_17.index("left_wrist")
# The walker's trunk is 45 pixels long.


def lost(frames, offset=60.0, score=0.1):
    """Return a walker whose left wrist is found ``offset`` pixels too low in some frames."""
    points, scores = walk()
    points, scores = points.copy(), scores.copy()
    points[frames, WRIST, 1] += offset
    scores[frames, WRIST] = score
    return points, scores


@pytest.mark.parametrize("frames", [[12], [12, 13, 14]])
def test_a_lost_joint_lies_on_the_line_between_its_neighbours(frames):
    points, scores = lost(frames)
    out, replaced = replace_outliers(points, scores, COCO_17)
    assert np.argwhere(replaced).tolist() == [[frame, WRIST] for frame in frames]
    before, after = points[11, WRIST], points[frames[-1] + 1, WRIST]
    for i, frame in enumerate(frames, start=1):
        expected = before + (after - before) * i / (len(frames) + 1)
        assert out[frame, WRIST] == pytest.approx(expected, abs=1e-3)
    assert np.array_equal(out[~replaced], points[~replaced])


@pytest.mark.parametrize(
    "scene",
    [
        lost([12], score=0.5),  # confident
        lost([12], offset=10.0),  # hardly off
        lost(list(range(10, 24))),  # too long
        lost([0, 1]),  # nothing before
        lost([38, 39]),  # nothing after
    ],
)
def test_joints_of_which_too_little_is_known_stay(scene):
    out, replaced = replace_outliers(*scene, COCO_17)
    assert not replaced.any()
    assert np.array_equal(out, scene[0])


def test_a_joint_that_moves_far_in_between_stays():
    points, scores = lost([12])
    points[13:, WRIST, 0] += 60
    assert not replace_outliers(points, scores, COCO_17)[1].any()


def test_frames_without_the_person_stay_empty():
    points, scores = walk()
    points, scores = points.copy(), scores.copy()
    points[12:14], scores[12:14] = 0, 0
    out, replaced = replace_outliers(points, scores, COCO_17)
    assert not replaced.any()
    assert not out[12:14].any()
    nobody = replace_outliers(np.zeros_like(points), np.zeros_like(scores), COCO_17)
    assert not nobody[1].any()
