"""Figures of a sequence, smoothing, and the page that shows them."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from scenes import make_sequence
from walker import walk

from skelact.pipeline.cli.main import main
from skelact.pose_extract.pose.orientation import rotate_points
from skelact.pose_extract.store.quality import measure_quality
from skelact.pose_extract.track.smooth import smooth_sequence


def sequence_of(points, present=None):
    scores = np.full(points.shape[:2], 0.8, np.float32)
    if present is not None:
        scores[~present] = 0
    return make_sequence(
        1, len(points), keypoints=points[None], keypoint_scores=scores[None], fps=Fraction(25)
    )


def test_gaps_by_hand():
    present = np.ones(40, bool)
    present[[5, 20, 21, 22, 39]] = False
    quality = measure_quality(sequence_of(walk()[0], present))
    # What follows the last sighting is no gap between sightings.
    assert (quality.gaps, quality.longest_gap) == (2, 3)
    assert quality.athlete_share == 35 / 40
    assert quality.mean_score == pytest.approx(0.8)


def test_a_somersault_is_one_turn():
    body = walk(1)[0][0]
    body[[5, 6], 0] = 0
    points = np.stack([rotate_points(body, angle) for angle in np.linspace(0, 360, 25)])
    quality = measure_quality(sequence_of(points.astype(np.float32)))
    assert quality.turns == 1
    assert 0.2 < quality.inverted_share < 0.45


def test_jitter_grows_with_noise_and_smoothing_takes_it_away():
    points = walk()[0]
    noisy = points + np.random.default_rng(0).normal(0, 4, points.shape).astype(np.float32)
    calm, jumpy = (measure_quality(sequence_of(p)) for p in (points, noisy))
    smooth = smooth_sequence(sequence_of(noisy))
    assert calm.jitter < 0.02 < jumpy.jitter
    assert measure_quality(smooth).jitter < 0.5 * jumpy.jitter
    assert np.abs(smooth.keypoints[0] - points).mean() < np.abs(noisy - points).mean()
    assert calm.score > jumpy.score


def test_smoothing_does_not_reach_over_gaps_and_keeps_short_runs():
    points = walk()[0]
    points[:20] += 500
    present = np.ones(40, bool)
    present[20] = False
    present[37] = False
    smooth = smooth_sequence(sequence_of(points, present)).keypoints[0]
    assert np.abs(smooth - points).max() < 15
    assert np.array_equal(smooth[38:], points[38:])


def test_a_sequence_without_people():
    assert measure_quality(make_sequence(0, 4)).athlete_share == 0
    assert smooth_sequence(make_sequence(0, 4)).num_person == 0


def test_inspect_lists_the_worst_first_and_draws_them(shared, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("torchcodec_test_non_zero_start.mp4", "decord_video_90.mov"):
        (videos / name).symlink_to(shared / "videos" / "odd" / name)
    (videos / "broken.mp4").write_text("no video")
    out = tmp_path / "out"
    CliRunner().invoke(main, ["extract", str(videos), "--out", str(out), "--effort", "fast"])
    result = CliRunner().invoke(main, ["inspect", str(out), "--videos", str(videos)])
    assert result.exit_code == 0, result.output
    clips = (out / "inspect" / "data" / "clips.js").read_text()
    assert clips.index("broken.mp4") < clips.index("decord_video_90.mov")
    assert f"{(videos / 'decord_video_90.mov').as_uri()}#t=" in clips
    assert (out / "inspect" / "decord_video_90.mov.jpg").stat().st_size > 1000
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert {"jitter", "gaps", "turns", "swaps_mended"} <= set(entries[0])


def test_inspect_without_a_manifest(tmp_path):
    result = CliRunner().invoke(main, ["inspect", str(tmp_path)])
    assert result.exit_code == 1
    assert "expected manifest.jsonl" in result.output
