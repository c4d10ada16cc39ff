"""The camera's path: where frames lie in their scene, on motions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pose_extract.track.camera_path import camera_path
from skelact.pose_extract.track.candidates import FrameCandidates

NONE = np.zeros((0, 4), np.float32)


def frame(from_previous, is_cut=False):
    empty = np.zeros(0, np.float32)
    return FrameCandidates(NONE, NONE, empty, empty, empty, np.asarray(from_previous), is_cut)


def pan(x, y=0.0, zoom=1.0):
    return np.array([[zoom, 0, x], [0, zoom, y]])


STILL = pan(0)


def test_a_point_of_the_scene_stays_where_it_is():
    # The hall goes 6 px to the left from one candidate frame to the next, then the camera zooms in.
    motions = [STILL, pan(-6), pan(-6), pan(-20, -10, zoom=1.25)]
    maps, scene_ids = camera_path([frame(motion) for motion in motions], 2, 8)
    assert scene_ids.tolist() == [0] * 8
    point = np.array([100.0, 80.0])
    for step, motion in zip((2, 4, 6), motions[1:]):
        point = motion @ [*point, 1]
        assert maps[step] @ [*point, 1] == pytest.approx([100, 80], abs=1e-4)
    # Frames between are interpolated, and the last one is like the candidate frame before it.
    assert maps[1] == pytest.approx(pan(3))
    assert (maps[7] == maps[6]).all()
    assert maps.dtype == np.float32


def test_a_cut_begins_another_scene():
    motions = [frame(STILL), frame(pan(-6)), frame(STILL, is_cut=True), frame(pan(4))]
    maps, scene_ids = camera_path(motions, 3, 11)
    assert scene_ids.tolist() == [0] * 6 + [1] * 5
    assert maps[5] == pytest.approx(pan(6))
    assert maps[6] == pytest.approx(STILL)
    assert maps[10] == pytest.approx(pan(-4))


def test_a_motion_that_cannot_be_undone_is_left_out():
    motions = [frame(STILL), frame(np.zeros((2, 3))), frame(pan(-6))]
    maps, _ = camera_path(motions, 1, 3)
    assert maps[1] == pytest.approx(STILL)
    assert maps[2] == pytest.approx(pan(6))


def test_a_clip_shorter_than_the_step_between_candidates():
    maps, scene_ids = camera_path([frame(STILL)], 5, 3)
    assert maps.shape == (3, 2, 3)
    assert scene_ids.tolist() == [0, 0, 0]
