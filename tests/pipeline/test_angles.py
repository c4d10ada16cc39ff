"""Angles of bodies whose pose is put together by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import make_sequence

from skelact.pipeline.angles import angle_names, measure_angles
from skelact.pose_extract.common.geometry import rotate_points
from skelact.pose_extract.layout import COCO_17

# Standing straight, seen from the side and looking to the right; y points down. All joints of a
# side lie on one line, and the ears above the shoulders.
STANDING = {
    "ear": (0, -120), "shoulder": (0, -100), "elbow": (0, -70), "wrist": (0, -45), "hip": (0, -50),
    "knee": (0, -25), "ankle": (0, 0),
}  # fmt: skip
PIKE = {"knee": (25, -50), "ankle": (50, -50)}
TUCK = {"knee": (25, -50), "ankle": (25, -25)}
# Elbows bent by 90 degrees, upper arms to the front.
ARMS = {"elbow": (30, -100), "wrist": (30, -130)}
OVERHEAD = {"elbow": (0, -130), "wrist": (0, -155)}


def body(rotation=0.0, **changes):
    """Return (17, 2) float32; both sides alike."""
    places = {**STANDING, **changes}
    points = np.zeros((17, 2), np.float32)
    for joint, place in places.items():
        for side in ("left", "right"):
            points[COCO_17.index(f"{side}_{joint}")] = place
    return rotate_points(points, rotation) + np.float32(300)


def angles_of(*bodies, scores=None):
    """Return the angles of one person over frames: name to list, and the scores likewise."""
    keypoints = np.stack(bodies)[None].astype(np.float32)
    if scores is None:
        scores = np.full(keypoints.shape[:3], 0.9, np.float32)
    sequence = make_sequence(
        1, len(bodies), keypoints=keypoints, keypoint_scores=scores,
        frame_inds=np.arange(len(bodies)),
    )  # fmt: skip
    degrees, found = measure_angles(sequence)
    assert degrees.shape == found.shape == (1, len(bodies), len(angle_names()))
    assert degrees.dtype == found.dtype == np.float32
    return dict(zip(angle_names(), degrees[0].T)), dict(zip(angle_names(), found[0].T))


@pytest.mark.parametrize("side", ["left", "right"])
def test_joints_of_standing_piked_and_tucked_bodies(side):
    degrees, _ = angles_of(body(), body(**PIKE), body(**TUCK), body(**ARMS), body(**OVERHEAD))
    assert degrees[f"{side}_knee"] == pytest.approx([0, 0, 90, 0, 0], abs=0.1)
    assert degrees[f"{side}_hip"] == pytest.approx([0, 90, 90, 0, 0], abs=0.1)
    assert degrees[f"{side}_elbow"] == pytest.approx([0, 0, 0, 90, 0], abs=0.1)
    assert degrees[f"{side}_shoulder"] == pytest.approx([0, 0, 0, 90, 180], abs=0.1)
    assert degrees["trunk"] == pytest.approx(np.zeros(5), abs=0.1)


def test_a_side_of_its_own():
    one = body()
    one[COCO_17.index("left_ankle")] = one[COCO_17.index("left_knee")] + [20, 0]
    degrees, _ = angles_of(one)
    assert degrees["left_knee"] == pytest.approx([90], abs=0.1)
    assert degrees["right_knee"] == pytest.approx([0], abs=0.1)


def test_the_neck_is_bent_where_the_head_leaves_the_line_of_the_trunk():
    degrees, _ = angles_of(body(), body(ear=(20, -120)), body(ear=(20, -100)))
    assert degrees["neck"] == pytest.approx([0, 45, 90], abs=0.1)


def test_rotation_turns_the_trunk_clockwise_and_changes_no_joint():
    turned = [body(rotation, **TUCK) for rotation in (0, 90, 179, -90)]
    degrees, _ = angles_of(*turned)
    assert degrees["trunk"] == pytest.approx([0, 90, 179, -90], abs=0.1)
    for name in ("left_knee", "left_hip", "right_knee", "neck"):
        assert degrees[name] == pytest.approx(degrees[name][:1].repeat(4), abs=0.1)


def test_an_angle_has_the_lowest_score_of_its_joints_and_none_where_one_is_not_seen():
    scores = np.full((1, 2, 17), 0.9, np.float32)
    scores[0, 0, COCO_17.index("left_ankle")] = 0.2
    scores[0, 1, COCO_17.index("left_hip")] = 0
    degrees, found = angles_of(body(), body(), scores=scores)
    assert found["left_knee"] == pytest.approx([0.2, 0])
    assert np.isnan(degrees["left_knee"]).tolist() == [False, True]
    # The trunk and the neck need both hips.
    for name in ("left_hip", "left_shoulder", "trunk", "neck"):
        assert np.isnan(degrees[name]).tolist() == [False, True]
        assert found[name] == pytest.approx([0.9, 0])
    for name in ("right_knee", "right_hip", "left_elbow"):
        assert not np.isnan(degrees[name]).any()


def test_joints_on_each_other_have_no_angle():
    degrees, found = angles_of(body(knee=STANDING["hip"]), body(shoulder=STANDING["hip"]))
    assert np.isnan(degrees["left_knee"]).tolist() == [True, False]
    assert np.isnan(degrees["trunk"]).tolist() == [False, True]
    assert found["left_knee"][0] == found["trunk"][1] == 0


def test_no_person_and_coordinates_that_are_far_away():
    degrees, _ = measure_angles(make_sequence(0, 3))
    assert degrees.shape == (0, 3, len(angle_names()))
    far = body() * np.float32(1e30)
    with np.errstate(all="raise"):
        degrees, _ = angles_of(far.astype(np.float32))
    assert degrees["left_knee"] == pytest.approx([0], abs=1)
