"""Skeleton sequences and keypoint layouts."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scenes import make_sequence

from skelact import SkelactError
from skelact.pose_extract import skeleton
from skelact.pose_extract.layout import COCO_17, KeypointLayout, get_layout


def test_presence_is_read_from_the_scores():
    scores = np.zeros((2, 3, 17), dtype=np.float32)
    scores[0, 1:, 4] = 0.5
    sequence = make_sequence(keypoint_scores=scores)
    assert sequence.is_present().tolist() == [[False, True, True], [False, False, False]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"keypoints": np.zeros((2, 3, 16, 2), np.float32)},
            r"keypoints: expected \(2, 3, 17, 2\)",
        ),
        ({"keypoint_scores": np.zeros((2, 3, 17))}, "float32, got .* float64"),
        ({"track_ids": np.array([4, 4])}, "unique ids"),
        ({"frame_inds": np.array([0, 2, 2])}, "strictly increasing"),
        ({"frame_inds": np.array([-1, 0, 2])}, "indices from 0, the file's first frame, got -1"),
        (
            {"pts_seconds": np.array([-0.04, 0.0, 0.04])},
            "times from that of the file's first frame, which is 0, got -0.04",
        ),
        ({"fps": 0}, "positive fraction"),
        ({"keypoints": np.full((2, 3, 17, 2), np.nan, np.float32)}, "keypoints: expected finite"),
        ({"bboxes": np.full((2, 3, 4), np.inf, np.float32)}, "bboxes: expected finite"),
        ({"img_shape": (0, 320)}, r"\(height, width\) above 0, got \(0, 320\)"),
    ],
)
def test_a_sequence_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_sequence(**changes)


def test_a_slice_holds_some_frames_of_the_same_people():
    sequence = make_sequence(num_frames=6)
    part = sequence[1:6:2]
    assert part.frame_inds.tolist() == [2, 6, 10]
    assert part.track_ids.tolist() == sequence.track_ids.tolist()
    for name in ("keypoints", "keypoint_scores", "bboxes"):
        np.testing.assert_array_equal(getattr(part, name), getattr(sequence, name)[:, [1, 3, 5]])
    assert (len(sequence[-2:]), len(sequence[9:])) == (2, 0)


def test_what_is_no_slice_of_frames_is_refused():
    with pytest.raises(TypeError, match=r"a slice of frames such as \[5:6\], got 3"):
        make_sequence()[3]
    with pytest.raises(ValueError, match="strictly increasing"):
        make_sequence()[::-1]


def test_the_examples_in_the_docstring_run():
    result = doctest.testmod(skeleton)
    assert (result.attempted, result.failed) == (4, 0)


def test_coco_adjacency_by_hand():
    adjacency = COCO_17.adjacency()
    assert adjacency.shape == (17, 17)
    np.testing.assert_array_equal(adjacency, adjacency.T)
    assert adjacency.sum() == 2 * 16
    left_knee = COCO_17.index("left_knee")
    joined = {COCO_17.keypoint_names[i] for i in np.flatnonzero(adjacency[left_knee])}
    assert joined == {"left_hip", "left_ankle"}


def test_flip_swaps_left_and_right_and_is_its_own_inverse():
    inds = COCO_17.flip_inds()
    assert COCO_17.keypoint_names[inds[COCO_17.index("left_wrist")]] == "right_wrist"
    assert inds[0] == 0
    np.testing.assert_array_equal(inds[inds], np.arange(17))


def test_parts_must_cover_each_keypoint_once():
    with pytest.raises(ValueError, match="cover each of 2 keypoints once"):
        KeypointLayout("two", ("a", "b"), ((0, 1),), (), {"all": (0, 0)})


def test_unknown_names_list_the_known_ones():
    with pytest.raises(SkelactError, match="coco_17"):
        get_layout("coco_133")
    with pytest.raises(SkelactError, match="left_knee"):
        COCO_17.index("knee")


def test_parents_lead_to_the_nose():
    parents = COCO_17.parents()
    assert parents[[0, 9, 7, 5, 16, 14]].tolist() == [0, 7, 5, 0, 14, 12]
    joints = np.arange(17)
    for _ in range(5):
        joints = parents[joints]
    assert (joints == 0).all()
