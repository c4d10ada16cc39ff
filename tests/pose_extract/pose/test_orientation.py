"""Poses at any orientation: real people, rotated."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from coco_people import NET

from skelact.pose_extract.common.geometry import COCO_SIGMAS, body_angles, rotate_points
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.pose.orientation import (
    OrientationConfig,
    body_extents,
    estimate_oriented,
)

# Upright: mean OKS .89. Rotated by 180 degrees, with an upright crop alone: about .3.
LEAST_OKS = 0.86


@pytest.fixture(scope="module")
def estimator(shared):
    pose = PoseEstimator(NET, device="cpu", precision="fp32")
    pose.load()
    return pose


def rotated_people(people, degrees):
    """Return (images, boxes, true keypoints, seen, areas), one row per person."""
    rows = []
    for image, anns in people:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (int(height * sin + width * cos), int(height * cos + width * sin))
        matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
        rotated = cv2.warpAffine(image, matrix, size)
        for ann in anns:
            outline = [np.reshape(part, (-1, 2)) for part in ann["segmentation"]]
            outline = np.concatenate(outline) @ matrix[:, :2].T + matrix[:, 2]
            points = np.reshape(ann["keypoints"], (17, 3)).astype(float)
            truth = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
            bbox = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
            rows.append((rotated, bbox, truth, points[:, 2] > 0, ann["area"]))
    return rows


def mean_oks(rows, keypoints):
    values = []
    for (_, _, truth, seen, area), points in zip(rows, keypoints):
        distance = ((points - truth) ** 2).sum(axis=1)
        similarity = np.exp(-distance / (2 * area * (2 * COCO_SIGMAS) ** 2))
        values.append(similarity[seen].mean())
    return float(np.mean(values))


def estimate(estimator, rows, config=None):
    frames, boxes = [row[0] for row in rows], np.array([row[1] for row in rows], np.float32)
    return estimate_oriented(estimator, frames, boxes, 8, config)


@pytest.mark.parametrize("degrees", [0, 45, 90, 180, 250])
def test_people_are_found_at_any_angle(coco, estimator, degrees):
    rows = rotated_people(coco[1], degrees)
    keypoints, _, _ = estimate(estimator, rows, OrientationConfig(view_thr=float("inf")))
    assert mean_oks(rows, keypoints) >= LEAST_OKS


def test_an_upright_crop_alone_loses_people_upside_down(coco, estimator):
    """What the other views are for."""
    rows = rotated_people(coco[1], 180)
    keypoints, _, _ = estimate(estimator, rows, OrientationConfig(view_thr=0.0, keep_share=99.0))
    assert mean_oks(rows, keypoints) < 0.5


def test_side_margins_are_those_of_the_poses_returned(coco, estimator):
    """Of the crop that was kept, not of an upright one in which nothing is known."""
    margins = {}
    for degrees in (0, 180):
        rows = rotated_people(coco[1], degrees)
        frames, boxes = [row[0] for row in rows], np.array([row[1] for row in rows], np.float32)
        margins[degrees] = np.full((len(rows), len(COCO_17.swap_pairs)), np.nan, np.float32)
        estimate_oriented(
            estimator, frames, boxes, 8, OrientationConfig(view_thr=np.inf), margins[degrees]
        )
    assert np.isfinite(margins[180]).all()
    # Shoulders to ankles.
    upright, rotated = (margins[degrees][:, 2:].mean(axis=1) for degrees in (0, 180))
    assert np.median(upright) > 0.3
    assert np.median(np.abs(rotated - upright)) < 0.1


def test_confident_poses_cost_one_view_and_others_more(coco, estimator):
    rows = rotated_people(coco[1], 0)
    upright = estimate(estimator, rows)[2]
    rotated = estimate(estimator, rotated_people(coco[1], 180))[2]
    everything = estimate(estimator, rows, OrientationConfig(view_thr=float("inf")))[2]
    assert upright < 2 * len(rows)
    assert upright < rotated <= everything == 5 * len(rows)


def test_the_batch_changes_nothing_but_rounding(coco, estimator):
    rows = rotated_people(coco[1], 120)
    together, scores, _ = estimate(estimator, rows)
    for i in (0, 5):
        alone, alone_scores, _ = estimate(estimator, rows[i : i + 1])
        assert np.abs(alone[0] - together[i]).max() < 0.5
        assert np.abs(alone_scores[0] - scores[i]).max() < 1e-3


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, -90])
def test_the_bodys_angle_by_hand(degrees):
    body = np.zeros((1, 17, 2), np.float32)
    body[0, [5, 6]] = [[-10, 0], [10, 0]]
    body[0, [11, 12]] = [[-5, 40], [5, 40]]
    angle = body_angles(rotate_points(body, degrees), COCO_17)[0]
    assert abs((angle - degrees + 180) % 360 - 180) < 1e-3


@pytest.mark.parametrize("degrees", [0.0, 135.0])
def test_a_tuck_is_cropped_at_the_scale_of_a_standing_person(degrees):
    standing = np.zeros((17, 2), np.float32)
    tuck = np.zeros((17, 2), np.float32)
    for number, name in enumerate(COCO_17.keypoint_names):
        side = -10 if name.startswith("left") else 10
        part = name.split("_")[-1]
        down = {"shoulder": 0, "hip": 60, "elbow": 30, "wrist": 60, "knee": 110, "ankle": 160}
        standing[number] = side, down.get(part, -30)
        # Knees at the chest, heels at the hips.
        tuck[number] = side + (40 if part == "knee" else 0), min(down.get(part, -30), 60)
    points = rotate_points(np.stack([standing, tuck]), degrees)
    config = OrientationConfig(margin=1.0, min_torsos=3.0)
    _, sizes = body_extents(points, np.ones((2, 17)), np.full(2, degrees), config)
    assert sizes[0, 1] == pytest.approx(190, abs=1)  # its own extent is more than 3 torsos
    assert sizes[1, 1] == pytest.approx(180, abs=1)  # its own is 90
    assert sizes[:, 0] == pytest.approx([58, 60], abs=2)


def test_a_torso_that_is_longer_than_the_body_does_not_size_its_crop():
    points = np.tile(np.array([100.0, 100.0], np.float32), (1, 17, 1))
    points[0, 0] = 120, 130
    points[0, [11, 12]] = 100, 900  # guessed, with no score
    scores = np.ones((1, 17))
    scores[0, [11, 12]] = 0.0
    _, sizes = body_extents(points, scores, np.zeros(1), OrientationConfig(min_torsos=3.0))
    assert sizes[0, 1] == pytest.approx(90, abs=1)
