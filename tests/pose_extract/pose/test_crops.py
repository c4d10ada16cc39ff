"""Crops of people, and heatmaps that move from one crop to another."""

from __future__ import annotations

import numpy as np

from skelact.pose_extract.pose.crops import Crops, resample_heatmaps


def looks_at(rotation, center=(50.0, 60.0), scale=(96.0, 128.0)):
    images = np.zeros((1, 256, 192, 3), np.uint8)
    return Crops(
        images,
        np.array([center], np.float32),
        np.array([scale], np.float32),
        np.array([rotation], np.float32),
    )


def test_heatmaps_of_one_crop_are_what_another_crop_shows():
    """A peak stays on its place in the frame, whatever the crop's rotation, size and middle."""
    source = looks_at(0.0)
    heatmaps = np.zeros((1, 2, 64, 48), np.float32)
    heatmaps[0, 0, 20, 30] = heatmaps[0, 1, 40, 10] = 1.0
    for target in (looks_at(90.0), looks_at(-30.0, (55.0, 64.0), (120.0, 160.0))):
        moved = resample_heatmaps(heatmaps, source, target, (4.0, 4.0))
        for joint, (x, y) in enumerate([(30, 20), (10, 40)]):
            row, column = np.unravel_index(moved[0, joint].argmax(), (64, 48))
            before = source.to_frame(np.array([[[4 * x, 4 * y]]], np.float32))
            after = target.to_frame(np.array([[[4 * column, 4 * row]]], np.float32))
            assert np.abs(after - before).max() < 2.5  # a cell of the larger crop, in pixels


def test_heatmaps_of_the_same_crop_stay_and_what_was_not_seen_is_zero():
    heatmaps = np.random.default_rng(0).random((1, 17, 64, 48)).astype(np.float32)
    same = resample_heatmaps(heatmaps, looks_at(0.0), looks_at(0.0), (4.0, 4.0))
    np.testing.assert_allclose(same, heatmaps, atol=1e-4)
    elsewhere = resample_heatmaps(heatmaps, looks_at(0.0), looks_at(0.0, (900, 900)), (4.0, 4.0))
    assert not elsewhere.any()
