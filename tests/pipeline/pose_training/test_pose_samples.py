"""Crops of people at any angle: their keypoints stay on their pixels."""

from __future__ import annotations

import numpy as np
import torch
from distill_scenes import labelled_frames

from skelact.pipeline.pose_training.pose_samples import PoseSamples, PoseSampling, known_axes
from skelact.pose_extract.layout import COCO_17


def test_crops_at_any_angle_keep_keypoints_on_their_pixels():
    samples = PoseSamples(labelled_frames())
    sampling = PoseSampling(half_body_prob=0.0, shift=0.0)
    generator = torch.Generator().manual_seed(0)
    inds = torch.arange(24) % len(samples)
    images, keypoints, _, weights = samples.batch(inds, (192, 256), sampling, generator)
    assert images.shape == (24, 3, 256, 192)
    assert weights.all()
    flip = COCO_17.flip_inds()
    flipped = 0
    for image, points in zip(images, keypoints):
        names = []
        for x, y in points.round().int().tolist():
            assert 0 <= x < 192
            assert 0 <= y < 256
            around = image[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(3, -1)
            red, green, _ = around[:, around[0].argmax()].tolist()
            assert red > 120  # a dot is there
            names.append((green / red * 255 - 20) / 12)
        straight = np.abs(np.array(names) - np.arange(17)).mean()
        swapped = np.abs(np.array(names) - flip).mean()
        assert min(straight, swapped) < 0.5  # and it is this keypoint's
        flipped += swapped < straight
    assert 4 < flipped < 20


def test_a_fixed_angle_rotates_every_crop_and_changes_nothing_else():
    samples = PoseSamples(labelled_frames(1), [0])
    inds = torch.zeros(1, dtype=torch.long)
    _, upright, _, _ = samples.batch(inds, (192, 256), PoseSampling(), torch.Generator(), 0.0)
    _, rotated, _, _ = samples.batch(inds, (192, 256), PoseSampling(), torch.Generator(), 180.0)
    around = torch.tensor([191.0, 255.0])
    assert torch.allclose(around - rotated[0], upright[0], atol=0.5)


def test_an_axis_is_known_from_the_hips_the_head_or_not_at_all():
    names = COCO_17.keypoint_names
    keypoints = np.zeros((3, 17, 2), np.float32)
    keypoints[:, [names.index("left_shoulder"), names.index("right_shoulder")]] = (50, 50)
    keypoints[:, [names.index("left_hip"), names.index("right_hip")]] = (20, 50)
    keypoints[:, names.index("nose")] = (50, 80)
    scores = np.ones((3, 17))
    scores[1:, names.index("left_hip")] = scores[1:, names.index("right_hip")] = 0
    scores[1, 1:5] = scores[2, :5] = 0
    axes = known_axes(keypoints, scores)
    assert (axes[:2] % 360).tolist() == [90, 180]
    assert np.isnan(axes[2])
