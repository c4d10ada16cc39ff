"""Pose errors, against what the table that they are drawn from says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from skelact import SkelactError
from skelact.pipeline.elements.element import diving48_elements
from skelact.pipeline.synth import pose_error_table as tables
from skelact.pipeline.synth import pose_errors
from skelact.pipeline.synth.clips import ClipConfig, make_clips
from skelact.pipeline.synth.noise import red_noise
from skelact.pipeline.synth.pose_error_draws import correlated_noise
from skelact.pipeline.synth.pose_errors import add_pose_errors, draw_pose_errors
from skelact.pose_extract.layout import COCO_17

TABLE = tables.shipped_table()
# Errors alone: no exchange, nobody lost or taken for another.
PLAIN = replace(TABLE, exchanged=np.zeros_like(TABLE.exchanged), lost=0.0, other_person=0.0)
# As if the pose model were exact but for that.
EXACT = replace(
    PLAIN,
    close=np.zeros_like(TABLE.close),
    wide=np.zeros_like(TABLE.wide),
    moving_wide=np.zeros_like(TABLE.wide),
)
FLIP = COCO_17.flip_inds()


def people(count=1, num_frames=1, degrees=0.0):
    """Return people (N, T, 17, 2) with a torso of 60 pixels and limbs far apart, rotated."""
    points = np.zeros((17, 2))
    points[:5] = [0, -90]
    for joint in range(5, 17):
        side = 1 if joint % 2 else -1
        points[joint] = [40 * side, 10 * joint - 110]
    points[[5, 6], 1], points[[11, 12], 1] = -60, 0
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = points @ np.array([[cos, sin], [-sin, cos]])
    return np.broadcast_to(points, (count, num_frames, 17, 2)).astype(np.float32) + 500


def drawn(points, table=PLAIN, *, noise=1.0, moving=False, hidden=False, seed=0, fps=25.0):
    shape = points.shape[:3]
    hidden = np.broadcast_to(hidden, shape)
    moving = np.full(shape[:2], moving)
    rng = np.random.default_rng(seed)
    return draw_pose_errors(points, hidden, moving, np.full(len(points), fps), noise, rng, table)


def added(points, table=None, noise=1.0, seed=0, scores=None):
    scores = np.ones(points.shape[:3], np.float32) if scores is None else scores
    depth, fps = np.zeros_like(scores), np.full(len(points), 25.0)
    rng = np.random.default_rng(seed)
    return add_pose_errors(points, scores, depth, fps, noise, rng, table)


def torsos_off(points, moved):
    return np.linalg.norm(moved - points, axis=-1) / 60


def test_no_noise_changes_nothing():
    points = people(3, 9)
    scores = np.random.default_rng(0).random(points.shape[:3], dtype=np.float32)
    moved, found = added(points, noise=0.0, scores=scores)
    np.testing.assert_array_equal(moved, points)
    np.testing.assert_array_equal(found, scores)


def test_equal_seeds_give_equal_errors():
    points = people(4, 30)
    for one, two in zip(added(points), added(points)):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(added(points)[0], added(points, seed=1)[0])


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize(("tilt", "degrees"), [(0, 10.0), (1, 90.0), (2, 180.0)])
def test_errors_have_the_quantiles_of_their_joint_and_tilt(tilt, degrees, moving):
    count = 8000
    points = people(count, degrees=degrees)
    moved, _ = drawn(points, moving=moving)
    errors = torsos_off(points, moved)[:, 0]
    wide = TABLE.moving_wide if moving else TABLE.wide
    factor = TABLE.moving_close[tilt] if moving else np.ones(6)
    for joint in (5, 8, 10, 11, 14, 16):
        kind = tables.KIND[joint]
        mine = np.sort(errors[:, joint])
        # Each person is drawn alone, so that shares spread as binomial ones: four deviations.
        spread = 4 * np.sqrt(0.25 / count)
        limit = 1 - wide[tilt, kind]
        for level in (0.25, 0.5, 0.75, 0.9):
            expected = factor[kind] * TABLE.close[tilt, kind, round(level * 20)]
            assert (mine <= expected).mean() == pytest.approx(limit * level, abs=spread)
        # All wide joints are further off than any close one, unless that is scaled.
        largest = max(tables.WIDE_TORSOS, factor[kind] * TABLE.close[tilt, kind, -1])
        if largest == tables.WIDE_TORSOS:
            assert (mine > largest).mean() == pytest.approx(wide[tilt, kind], abs=spread)


@pytest.mark.parametrize("moving", [False, True])
def test_scores_have_the_quantiles_of_their_errors(moving):
    points = people(6000)
    moved, scores = drawn(points, moving=moving)
    bands = np.searchsorted(tables.SCORE_BOUNDS, torsos_off(points, moved))
    for part, band in np.ndindex(3, len(tables.SCORE_BOUNDS) + 1):
        joints = (part == tables.PART) & (np.arange(17) >= 5)
        mine = scores[:, 0, joints][bands[:, 0, joints] == band]
        if len(mine) < 200:
            continue
        # Joints of a body share a part of their score: as many as people count.
        spread = 5 * np.sqrt(0.25 / len(mine) * joints.sum())
        for level in (0.25, 0.5, 0.75):
            expected = TABLE.scores[int(moving), part, band, round(20 * level)]
            assert (mine <= expected).mean() == pytest.approx(level, abs=spread)


def test_scores_can_be_believed_as_far_as_the_table_says():
    """The chance to be near given a high score, by Bayes' rule from the table, and as drawn."""
    points = people(8000)
    moved, scores = drawn(points)
    joints = (tables.PART == 2) & (tables.KIND == 5)
    high = scores[:, 0, joints] > 0.7
    near = torsos_off(points, moved)[:, 0, joints] <= 0.2
    bands = np.searchsorted(tables.SCORE_BOUNDS, torsos_off(points, moved)[:, 0, joints])
    shares = np.bincount(bands.ravel(), minlength=6) / bands.size
    levels = np.linspace(0, 1, tables.NUM_QUANTILES)
    chance = np.array([1 - np.interp(0.7, TABLE.scores[0, 2, band], levels) for band in range(6)])
    expected = (shares * chance)[:3].sum() / (shares * chance).sum()
    assert near[high].mean() == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize(("tilt", "degrees"), [(0, 0.0), (1, 90.0), (2, 180.0)])
def test_sides_are_exchanged_as_often_as_in_the_table(tilt, degrees, moving):
    table = replace(EXACT, exchanged=TABLE.exchanged)
    points = people(6000, degrees=degrees)
    moved, _ = drawn(points, table, moving=moving)
    for state, joints in enumerate(tables.EXCHANGED_JOINTS):
        order = np.where(joints, FLIP, np.arange(17))
        share = np.isclose(moved, points[:, :, order], atol=0.1).all(axis=(2, 3)).mean()
        expected = TABLE.exchanged[int(moving), tilt, state]
        assert share == pytest.approx(expected, abs=4 * np.sqrt(0.25 / len(points)))


def test_scores_go_with_the_joints_that_are_exchanged():
    values = np.arange(17.0)[None, None]
    out = pose_errors.exchange_sides(values, np.array([[2]]))[0, 0]
    assert out[[7, 8, 9, 10]].tolist() == [8, 7, 10, 9]
    np.testing.assert_array_equal(np.delete(out, [7, 8, 9, 10]), np.delete(values, [7, 8, 9, 10]))


def test_people_are_lost_and_taken_for_others_as_often_as_in_the_table():
    table = replace(EXACT, lost=0.1, other_person=0.2)
    points = people(400, 200)
    moved, scores = added(points, table)
    lost = (scores == 0).all(axis=-1)
    other = np.abs(moved - points).max(axis=(2, 3)) > 1
    assert lost.mean() == pytest.approx(0.1, abs=0.01)
    assert other.mean() == pytest.approx(0.2, abs=0.02)
    # Mean length of a run: frames over beginnings, but for runs that the clip's ends cut.
    for state, seconds in ((lost, pose_errors.LOST_SECONDS), (other, pose_errors.OTHER_SECONDS)):
        starts = (state[:, 1:] & ~state[:, :-1]).sum() / state[:, 1:].size
        expected = 1 / (1 - np.exp(-0.04 / seconds))
        assert state.mean() / starts == pytest.approx(expected, rel=0.1)


def test_another_person_stands_beside_the_athlete():
    table = replace(EXACT, other_person=0.5)
    points = people(200, 3)
    moved, _ = added(points, table)
    away = np.linalg.norm((moved - points).mean(axis=2), axis=-1) / 60
    away = away[away > 0.1]
    low, high = pose_errors.OTHER_TORSOS
    assert low - 0.01 <= away.min() < away.max() <= high + 0.01


@pytest.mark.parametrize(("fps", "expected"), [(25.0, 0.8), (50.0, 0.8**0.5), (12.5, 0.64)])
def test_correlation_over_time_is_that_of_seconds_not_frames(fps, expected):
    steps = np.full(3000, 25 / fps)
    noise = correlated_noise((3000, 12, 2), 0.8, steps, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert (noise[:, 5] * noise[:, 6]).mean() == pytest.approx(expected, abs=0.05)


def test_joints_of_a_body_and_of_a_limb_have_errors_in_common():
    ranks = pose_errors._size_ranks(
        np.zeros((20000, 1, 17), bool), TABLE, np.ones(20000), np.random.default_rng(0)
    )
    normal = ndtri(ranks[:, 0].astype(float).clip(1e-6, 1 - 1e-6))
    found = np.corrcoef(normal.T)
    left_elbow, left_wrist, right_ankle = 7, 9, 16
    body, limb = TABLE.body_correlation, TABLE.limb_correlation
    assert found[left_elbow, right_ankle] == pytest.approx(body, abs=0.03)
    assert found[left_elbow, left_wrist] == pytest.approx(body + limb, abs=0.03)


def test_hidden_joints_are_further_off():
    points = people(4000)
    hidden = np.zeros((4000, 1, 17), bool)
    hidden[:, :, 9] = True
    moved, _ = drawn(points, hidden=hidden)
    errors = torsos_off(points, moved)[:, 0]
    # The shift in standard deviations is the distance of the medians' normal scores.
    order = np.concatenate([errors[:, 9], errors[:, 10]]).argsort().argsort()
    normal = ndtri((order + 0.5) / len(order))
    assert normal[:4000].mean() - normal[4000:].mean() == pytest.approx(TABLE.hidden_shift, rel=0.2)


def test_as_many_joints_of_dives_are_hidden_as_annotated_ones():
    dives = list(diving48_elements()[1])
    clips = make_clips(dives, np.random.default_rng(0), ClipConfig(noise=0.0))
    depth = np.concatenate([clip.depth[clip.phase == 2] for clip in clips])
    behind = depth[:, 5:] - depth[:, [11, 12]].mean(axis=1, keepdims=True)
    share = (behind > pose_errors.HIDDEN_DEPTH).mean()
    assert share == pytest.approx(TABLE.hidden_share, abs=0.03)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_wide_joints_lie_on_what_they_are_taken_for_through_a_run(target):
    targets = np.zeros_like(TABLE.targets)
    targets[..., target] = 1
    others = np.zeros_like(TABLE.other_joints)
    others[..., 1, 5] = 1  # the ankle of the other side
    table = replace(PLAIN, targets=targets, other_joints=others)
    points = people(300, 20)
    moved, _ = drawn(points, table)
    wide = torsos_off(points, moved)[:, :, 9] > tables.WIDE_TORSOS
    left_wrist = moved[:, :, 9]
    if target < 2:
        place = points[:, :, (10, 16)[target]]
        away = np.linalg.norm(left_wrist - place, axis=-1)[wide] / 60
        assert np.median(away) == pytest.approx(TABLE.close[:, 2, 10].mean(), rel=0.2)
    else:
        run = wide[:, 1:] & wide[:, :-1]
        assert np.abs(np.diff(left_wrist, axis=1))[run].max() < 1e-2
        longest = TABLE.off_torsos[1, -1]
        assert torsos_off(points, moved)[:, :, 9][wide].max() <= longest + 1e-4


def test_a_body_that_rotates_fast_enough_moves_and_one_at_rest_does_not():
    rng = np.random.default_rng(0)
    fps = np.full(4000, 25.0)
    for share in (0.0, 0.5, 1.5):
        degrees = np.degrees(share * 3.0 / 25) * np.arange(4)
        turns = np.concatenate([people(4000, 1, d) for d in degrees], axis=1)
        moving = pose_errors._moving(turns, fps, 3.0, rng)
        assert moving.mean() == pytest.approx(min(share, 1.0), abs=0.03)


def test_twice_the_noise_is_twice_as_large_and_as_often_wide():
    points = people(8000)
    plain = replace(PLAIN, wide=np.full_like(TABLE.wide, 0.1))
    once, twice = (
        torsos_off(points, drawn(points, plain, noise=noise)[0])[:, 0, 5:] for noise in (1.0, 2.0)
    )
    # Of those close by, 0.8 instead of 0.9, each twice as far.
    expected = (once <= 0.1).mean() * 0.8 / 0.9
    assert (twice <= 0.2).mean() == pytest.approx(expected, abs=0.01)


def test_missing_joints_stay_missing_and_scores_are_scores():
    points = people(50, 20)
    scores = np.ones(points.shape[:3], np.float32)
    scores[:, 10:, 3] = 0
    moved, found = added(points, replace(TABLE, other_person=0.0), scores=scores)
    assert (found[:, 10:, 3] == 0).all()
    assert ((found == 0) | ((found >= 0.01) & (found <= 1))).all()
    assert moved.shape == points.shape
    assert moved.dtype == found.dtype == np.float32


def test_a_table_is_the_same_after_writing_and_reading(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(TABLE.as_json())
    assert tables.read_table(path).as_json() == TABLE.as_json()
    assert TABLE.fitted_from.startswith("skelact-litehrnet18-256x192")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wide": [1, 2]}, "wide: expected shape"),
        ({"lost": 2}, "lost: expected 0 to 1"),
        ({"lost": "x"}, "expected numbers"),
        ({"more": 1}, "missing or unknown more"),
        ({"moving_speed": 0}, "moving_speed"),
        ({"off_torsos": np.ones((3, 21)).cumsum(axis=1)[:, ::-1].tolist()}, "in order"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(json.loads(TABLE.as_json()) | change))
    with pytest.raises(SkelactError, match=words):
        tables.read_table(path)


@pytest.mark.parametrize("text", ["[1]", "{", "1"])
def test_no_table_at_all_says_so(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(SkelactError, match="expected a table of pose errors"):
        tables.read_table(path)


def test_red_noise_has_its_variance_and_its_correlation():
    noise = red_noise((2000, 50), 0.8, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert (noise[:, 10] * noise[:, 11]).mean() == pytest.approx(0.8, abs=0.08)
    assert (noise[:, 10] * noise[:, 12]).mean() == pytest.approx(0.64, abs=0.08)
