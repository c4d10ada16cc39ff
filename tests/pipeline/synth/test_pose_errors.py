"""Pose errors and the random processes behind them, each against what it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.synth.noise import bursts, red_noise
from skelact.pipeline.synth.pose_errors import _difficulty, _swap_sides, add_pose_errors
from skelact.pose_extract.layout import COCO_17

LEFT_WRIST, RIGHT_WRIST = COCO_17.index("left_wrist"), COCO_17.index("right_wrist")
LEFT_ANKLE, RIGHT_ANKLE = COCO_17.index("left_ankle"), COCO_17.index("right_ankle")


def upright(count=1, num_frames=20):
    """Return people (N, T, 17, 2) whose joints lie one below the other, 10 pixels apart."""
    points = np.zeros((count, num_frames, 17, 2), np.float32)
    points[..., 1] = 10 * np.arange(17)
    points[..., 0] = 5 * (np.arange(17) % 2)
    return points


def test_red_noise_has_its_variance_and_its_correlation():
    noise = red_noise((2000, 50), 0.8, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert (noise[:, 10] * noise[:, 11]).mean() == pytest.approx(0.8, abs=0.08)
    assert (noise[:, 10] * noise[:, 12]).mean() == pytest.approx(0.64, abs=0.08)


def test_bursts_start_where_they_are_asked_to_and_last_as_long():
    starts = np.zeros((5000, 30), bool)
    starts[:, 5] = True
    runs = bursts(starts, 4, np.random.default_rng(0), max_frames=8)
    assert not runs[:, :5].any()
    assert runs[:, 5].all()
    lengths = runs.sum(axis=1)
    assert (runs[:, 5:13].sum(axis=1) == lengths).all()
    assert lengths.max() == 8
    # A geometric distribution of mean 4, cut at 8: 4 (1 - 0.75^8).
    assert lengths.mean() == pytest.approx(4 * (1 - 0.75**8), abs=0.1)


def test_arms_legs_or_both_are_swapped_in_the_chosen_frames():
    points = upright(300)
    where = np.zeros(points.shape[:2], bool)
    where[:, 7] = True
    out = _swap_sides(points, where, np.random.default_rng(0))
    np.testing.assert_array_equal(out[:, :7], points[:, :7])
    np.testing.assert_array_equal(out[:, 8:], points[:, 8:])
    arms = (out[:, 7, LEFT_WRIST] == points[:, 7, RIGHT_WRIST]).all(axis=-1)
    legs = (out[:, 7, LEFT_ANKLE] == points[:, 7, RIGHT_ANKLE]).all(axis=-1)
    assert (arms | legs).all()
    for share in ((arms & legs).mean(), (arms & ~legs).mean(), (legs & ~arms).mean()):
        assert share == pytest.approx(1 / 3, abs=0.1)


def test_an_inverted_and_a_rotating_body_are_more_difficult():
    still = upright()
    fps = np.array([25.0])
    assert _difficulty(still, fps)[0] == pytest.approx(np.ones(20))
    assert _difficulty(-still, fps)[0] == pytest.approx(np.full(20, 2.0), abs=1e-3)
    angle = np.arange(20) * 12 / 25  # 12 radians per second
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    rotating = still @ rotation[None].astype(np.float32)
    inverted = (1 - np.cos(angle)) / 2
    trunk = still[0, 0, [5, 6]].sum(axis=0) - still[0, 0, [11, 12]].sum(axis=0)
    assert trunk[0] == 0  # so the angle of the trunk is that of the rotation
    assert _difficulty(rotating, fps)[0] == pytest.approx(2 + inverted, abs=1e-3)


def test_missing_joints_stay_missing_and_scores_are_scores():
    keypoints = upright(50)
    scores = np.ones(keypoints.shape[:3], np.float32)
    scores[:, 10:, 3] = 0
    out, found = add_pose_errors(
        keypoints, scores, np.ones_like(scores), np.full(50, 25.0), 1.0, np.random.default_rng(0)
    )
    assert (found[:, 10:, 3] == 0).all()
    assert found.max() <= 1
    assert ((found == 0) | (found >= 0.03)).all()
    assert out.shape == keypoints.shape
    assert (out != keypoints).any(axis=-1).all()
