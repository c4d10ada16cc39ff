"""Boxes, keypoint similarity and rotation, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pose_extract.common.geometry import (
    COCO_SIGMAS,
    blend_boxes_with_keypoints,
    body_angles,
    box_areas,
    keypoint_similarity,
    pairwise_iou,
    rotate_points,
)
from skelact.pose_extract.layout import COCO_17


def test_iou_by_hand():
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32)
    assert pairwise_iou(first, second)[0].tolist() == pytest.approx([1 / 3, 0, 1])


def test_an_inverted_box_has_no_area():
    assert box_areas(np.array([[0, 0, 4, 5], [4, 5, 0, 0], [3, 0, 3, 9]])).tolist() == [20, 0, 0]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, [0, 0, 10, 10]), (1.0, [3, 3, 9, 9]), (0.5, [1.5, 1.5, 9.5, 9.5])],
)
def test_boxes_move_towards_the_extent_of_their_keypoints(share, expected):
    """Keypoints from 4 to 8: with a quarter of that on each side, 3 to 9."""
    keypoints = np.array([[[4, 4], [8, 8], [5, 6]]], np.float32)
    moved = blend_boxes_with_keypoints(np.array([[0, 0, 10, 10]]), keypoints, share, margin=0.25)
    assert moved[0].tolist() == pytest.approx(expected)


def test_keypoint_similarity_falls_with_distance_over_size():
    """At a distance of 2 sigma times the square root of the area it is exp(-1/2)."""
    areas = np.array([100.0, 400.0])
    distances = 2 * COCO_SIGMAS * np.sqrt(areas)[:, None]
    similarity = keypoint_similarity(distances**2, areas)
    assert similarity == pytest.approx(np.full((2, 17), np.exp(-0.5)), rel=1e-5)
    assert (keypoint_similarity(np.zeros((1, 17)), areas[:1]) == 1).all()


def test_points_rotate_clockwise_as_seen():
    """In an image y points down: right goes to below, below to left."""
    rotated = rotate_points(np.array([[1.0, 0], [0, 1]]), 90)
    assert np.allclose(rotated, [[0, 1], [-1, 0]], atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 90, -45, 170])
def test_the_angle_of_a_body_is_that_by_which_it_was_rotated(degrees):
    body = np.zeros((17, 2), np.float32)
    for side, x in (("left", 10), ("right", -10)):
        body[COCO_17.index(f"{side}_shoulder")] = x, -20
        body[COCO_17.index(f"{side}_hip")] = x, 20
    angle = body_angles(rotate_points(body, degrees)[None], COCO_17)
    assert angle == pytest.approx([degrees], abs=0.01)
