"""``benchmarks/pose_errors.py``: its fit finds the table that errors were drawn from."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from skelact.pipeline.synth import pose_error_table as tables
from skelact.pipeline.synth.pose_errors import draw_pose_errors

# Close errors that are drawn larger than the bound of wide ones count as wide: with factors of up
# to 1.2 few do, and the fit can tell them apart, whatever table ships.
TABLE = replace(
    tables.shipped_table(), moving_close=tables.shipped_table().moving_close.clip(max=1.2)
)


@pytest.fixture
def fit(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("pose_errors_fit")


@pytest.fixture
def bench(fit):
    return importlib.import_module("pose_errors")


@pytest.fixture
def measured(fit):
    return importlib.import_module("pose_errors_people").Measured


def body(degrees):
    """Return people (P, 17, 2) with a torso of 60 pixels, limbs far apart, each rotated."""
    points = np.zeros((17, 2))
    for joint in range(5, 17):
        points[joint] = [45 * (1 if joint % 2 else -1), 14 * joint - 130]
    points[[5, 6], 1], points[[11, 12], 1] = -60, 0
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    return points @ rotation


def clip_of(measured, points, found, scores, **values):
    count = len(points)
    visible = np.broadcast_to(np.arange(17) >= 5, (count, 17)).copy()
    plain = {
        "sides_known": np.ones(count, bool),
        "moving": np.zeros(count, bool),
        "hidden": np.zeros((count, 17), bool),
        "tells_hidden": np.zeros(count, bool),
        "half": np.arange(count) % 2,
        "clip": np.full(count, -1),
        "seconds": np.zeros(count),
    }
    return measured(points, visible, found, scores, torsos=np.full(count, 60.0), **(plain | values))


def drawn_people(measured, table):
    """Return people whose errors are drawn from a table."""
    rng = np.random.default_rng(0)
    count = 6000
    moving = rng.random(count) < 0.5
    hidden = rng.random((count, 17)) < table.hidden_share
    points = body(rng.choice([0.0, 90.0, 180.0], count))
    found, scores = draw_pose_errors(
        points[:, None].astype(np.float32), hidden[:, None], moving[:, None],
        np.full(count, 25.0), 1.0, rng, table,
    )  # fmt: skip
    return clip_of(
        measured, points, found[:, 0].astype(float), scores[:, 0],
        moving=moving, hidden=hidden, tells_hidden=np.ones(count, bool),
    )  # fmt: skip


@pytest.fixture
def drawn(measured):
    """People and clips whose errors are drawn from the table that ships."""
    rng = np.random.default_rng(1)
    count, num_frames = 40, 30
    plain = replace(TABLE, exchanged=np.zeros_like(TABLE.exchanged))
    still = np.repeat(body(np.zeros(count))[:, None], num_frames, axis=1)
    found, scores = draw_pose_errors(
        still.astype(np.float32), np.zeros((count, num_frames, 17), bool),
        np.zeros((count, num_frames), bool), np.full(count, 25.0), 1.0, rng, plain,
    )  # fmt: skip
    turning = np.tile(np.degrees(3.0 / 25) * np.arange(num_frames), count)
    away = found.astype(float) - still
    clips = clip_of(
        measured, body(turning), body(turning) + away.reshape(-1, 17, 2), scores.reshape(-1, 17),
        clip=np.repeat(np.arange(count), num_frames),
        seconds=np.tile(np.arange(num_frames) / 25, count),
    )  # fmt: skip
    return drawn_people(measured, TABLE), clips


def test_the_fit_finds_the_table_that_errors_were_drawn_from(fit, drawn):
    people, clips = drawn
    lost = clips.found.copy()
    lost[:120] = np.nan  # a tenth of the frames
    lost[120:360] += 300  # and another person in two tenths
    table = fit.fit_table(people, replace(clips, found=lost), "drawn")
    levels = slice(2, 19)
    np.testing.assert_allclose(table.close[..., levels], TABLE.close[..., levels], atol=0.03)
    np.testing.assert_allclose(table.wide, TABLE.wide, atol=0.035)
    np.testing.assert_allclose(table.moving_wide, TABLE.moving_wide, atol=0.05)
    np.testing.assert_allclose(table.moving_close, TABLE.moving_close, rtol=0.15)
    # Joints far from their place hide some exchanges, and look like some.
    np.testing.assert_allclose(table.exchanged, TABLE.exchanged, atol=0.05)
    # Quantiles of the middle of the scores, where there are many of them.
    np.testing.assert_allclose(
        table.scores[:, :, :3, 5:16], TABLE.scores[:, :, :3, 5:16], atol=0.05
    )
    assert table.lost == pytest.approx(0.1, abs=0.001)
    assert table.other_person == pytest.approx(0.2, abs=0.001)
    assert table.moving_speed == pytest.approx(3.0, rel=1e-3)
    assert table.hidden_shift == pytest.approx(TABLE.hidden_shift, abs=0.08)
    assert table.hidden_share == pytest.approx(TABLE.hidden_share, abs=0.01)
    for name in ("body", "limb", "frame", "direction", "score_body", "score_frame"):
        expected = getattr(TABLE, f"{name}_correlation")
        assert getattr(table, f"{name}_correlation") == pytest.approx(expected, abs=0.07), name


def test_exchanges_are_counted_where_joints_are_close(fit, measured, drawn):
    none = np.zeros_like(TABLE.wide)
    people = drawn_people(measured, replace(TABLE, wide=none, moving_wide=none))
    table = fit.fit_table(people, drawn[1], "drawn")
    # Of about 1,000 people each: four deviations of a share of .05 are .028, of .4 .062.
    spread = 4 * np.sqrt(TABLE.exchanged * (1 - TABLE.exchanged) / 1000) + 0.003
    assert (np.abs(table.exchanged - TABLE.exchanged) < spread).all()


def test_an_exchange_of_the_body_the_arms_or_the_legs_is_told(fit, measured):
    points = body(np.zeros(4))
    found = fit.exchange_sides(points[:, None], np.arange(4)[:, None])[:, 0]
    people = clip_of(measured, points, found, np.ones((4, 17)))
    assert fit.exchanges_of(people).tolist() == [0, 1, 2, 3]
    assert np.nanmax(fit.errors_of(people, np.arange(4))) == 0


def test_where_nobody_knows_the_sides_no_exchange_is_an_error(fit, measured):
    points = body(np.zeros(2))
    found = fit.exchange_sides(points[:, None], np.ones((2, 1), int))[:, 0]
    known = np.array([True, False])
    people = clip_of(measured, points, found, np.ones((2, 17)), sides_known=known)
    errors = fit.found_errors(people)[:, 5:]
    # Limbs are 90 pixels apart, and right joints 14 lower than left ones.
    assert errors[0].max() == pytest.approx(np.hypot(90, 14) / 60)
    assert errors[1].max() == 0


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_the_mean_cosine_of_correlated_vectors(fit, correlation):
    rng = np.random.default_rng(0)
    first, fresh = rng.standard_normal((2, 200_000, 2))
    second = correlation * first + np.sqrt(1 - correlation**2) * fresh
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine = (first * second).sum(axis=1) / lengths
    assert cosine.mean() == pytest.approx(float(fit._mean_cosine(correlation)), abs=0.005)


def test_the_fit_is_shown_beside_both_halves(bench, drawn, monkeypatch):
    people, clips = drawn
    people = people.take(np.arange(800))
    monkeypatch.setattr(bench, "measure_people", lambda *_: people)
    monkeypatch.setattr(bench, "measure_clips", lambda *_: clips)
    result = CliRunner().invoke(bench.main, ["compare", ".", "--draws", "2"])
    assert result.exit_code == 0, result.output
    for word in ("moving inverted", "ankle", "whole", "expected calibration error"):
        assert word in result.output


def test_measuring_writes_a_table_that_can_be_read(bench, drawn, monkeypatch, tmp_path):
    people, clips = drawn
    monkeypatch.setattr(bench, "measure_people", lambda *_: people)
    monkeypatch.setattr(bench, "measure_clips", lambda *_: clips)
    out = tmp_path / "table.json"
    result = CliRunner().invoke(bench.main, ["measure", ".", "--out", str(out)])
    assert result.exit_code == 0, result.output
    table = tables.read_table(out)
    assert f"{int(people.moving.sum())} frames of athletes" in table.fitted_from


def test_people_of_posetrack_are_read_without_the_face(bench, shared):
    loaded = importlib.import_module("pose_errors_people")
    people = loaded.load_posetrack(shared / "data" / "pose_gt" / "posetrack18")
    assert len(people) == 14
    assert not people.visible[:, :5].any()
    row = people.names.index("1012834000000")
    assert people.keypoints[row, 5].tolist() == [377, 560]


def test_people_annotated_by_eye_are_in_frames_of_theirs(bench, shared):
    loaded = importlib.import_module("pose_errors_people")
    people, hidden, torsos = loaded.load_hand_people(shared)
    assert len(people) == len(hidden) == len(torsos) == 40
    assert (torsos > 5).all()
    assert not (hidden & ~people.visible).any()
    assert hidden.any()
    image = people.image(0)
    points = people.keypoints[0][people.visible[0]]
    assert (points < image.shape[1::-1]).all()
