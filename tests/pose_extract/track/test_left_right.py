"""Left and right: exchanged frames are mended, right ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from walker import walk

from skelact.pipeline.data.annotations import load_annotations
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.track.left_right import (
    LeftRightConfig,
    limb_groups,
    repair_left_right,
)


def exchange(points, scores, exchanged):
    """Exchange left and right where ``exchanged`` (T, 2: arms, legs) says so."""
    points, scores = points.copy(), scores.copy()
    for number, pairs in enumerate(limb_groups(COCO_17)):
        rows = np.flatnonzero(exchanged[:, number])
        for left, right in pairs:
            for array in (points, scores):
                kept = array[rows, left].copy()
                array[rows, left] = array[rows, right]
                array[rows, right] = kept
    return points, scores


def test_crossing_legs_are_no_exchange():
    points, scores = walk()
    mended_points, _, mended = repair_left_right(points, scores, COCO_17)
    assert not mended.any()
    assert np.array_equal(mended_points, points)


def test_exchanged_frames_are_put_right():
    points, scores = walk()
    exchanged = np.zeros((40, 2), bool)
    exchanged[[5, 16, 17, 30], 1] = True
    exchanged[[8, 28], 0] = True
    broken = exchange(points, scores, exchanged)
    mended_points, mended_scores, mended = repair_left_right(*broken, COCO_17)
    assert np.array_equal(mended, exchanged)
    assert np.array_equal(mended_points, points)
    assert np.array_equal(mended_scores, scores)


def front_view(num_frames=40):
    """Return a person seen from the front, who walks to the right."""
    points, scores = walk(num_frames)
    points[:, [5, 7, 9, 11, 13, 15], 0] += 20
    return points, scores


def margins_of(exchanged):
    """Return (T, 8) margins of a model that knows the sides where they are right."""
    return np.repeat(np.where(exchanged[:, :1], 0.1, 0.4), 8, axis=1).astype(np.float32)


def test_the_side_that_the_model_knows_wins_over_the_longer_one():
    points, scores = front_view()
    exchanged = np.zeros((40, 2), bool)
    exchanged[:24] = True
    broken = exchange(points, scores, exchanged)
    known = repair_left_right(*broken, COCO_17, side_margins=margins_of(exchanged))
    assert np.array_equal(known[2], exchanged)
    assert np.array_equal(known[0], points)
    # Without margins the longer part is taken to be right.
    assert np.array_equal(repair_left_right(*broken, COCO_17)[2], ~exchanged)


def test_low_margins_alone_exchange_nothing():
    """They tell that the model does not know the sides, not that they are wrong."""
    points, scores = front_view()
    margins = np.zeros((40, 8), np.float32)
    assert not repair_left_right(points, scores, COCO_17, side_margins=margins)[2].any()


def test_arms_and_legs_that_part_at_the_trunk_are_brought_together():
    """Legs that are exchanged for more than half of the clip: the model knows the arms alone."""
    points, scores = front_view()
    exchanged = np.zeros((40, 2), bool)
    exchanged[:24, 1] = True
    broken = exchange(points, scores, exchanged)
    margins = np.full((40, 8), 0.1, np.float32)
    margins[:, 2:5] = 0.4
    mended = repair_left_right(*broken, COCO_17, side_margins=margins)[2]
    assert np.array_equal(mended, exchanged)
    no_twist = LeftRightConfig(twist_cost=0.0, part_cost=0.0)
    mended = repair_left_right(*broken, COCO_17, no_twist, margins)[2]
    assert not np.array_equal(mended, exchanged)


def test_frames_without_the_person_are_left_alone():
    points, scores = walk()
    scores[10:20] = 0
    exchanged = np.zeros((40, 2), bool)
    exchanged[30, 1] = True
    _, _, mended = repair_left_right(*exchange(points, scores, exchanged), COCO_17)
    assert np.array_equal(mended, exchanged)


@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_short_clips(num_frames):
    points, scores = walk(40)
    out, _, mended = repair_left_right(points[:num_frames], scores[:num_frames], COCO_17)
    assert out.shape == (num_frames, 17, 2)
    assert not mended.any()


def test_real_sequences(shared):
    """Penn Action, a tenth of all frames exchanged at random: what is mended, what is broken."""
    clips = load_annotations(shared / "data" / "penn_action_train.pkl").select("train")[::40]
    rng = np.random.default_rng(0)
    found = lost = kept = broken = untouched = 0
    for clip in clips:
        points, scores = clip.keypoints[0], clip.keypoint_scores[0]
        untouched += int(repair_left_right(points, scores, COCO_17)[2].sum())
        exchanged = rng.random((len(points), 2)) < 0.1
        # Where a pair is not seen whole, or lies on one spot, there is nothing to tell.
        for number, pairs in enumerate(limb_groups(COCO_17)):
            seen = [(scores[:, pair] > 0).all(axis=1) for pair in map(list, pairs)]
            exchanged[:, number] &= np.any(seen, axis=0)
        mended = repair_left_right(*exchange(points, scores, exchanged), COCO_17)[2]
        found += int((mended & exchanged).sum())
        lost += int((~mended & exchanged).sum())
        broken += int((mended & ~exchanged).sum())
        kept += int((~mended & ~exchanged).sum())
    assert found / (found + lost) > 0.85
    assert broken / (broken + kept) < 0.005
    assert untouched == 0
