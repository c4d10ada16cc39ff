"""Crops of people at any angle: their keypoints stay on their pixels."""

from __future__ import annotations

import numpy as np
import torch
from distill_scenes import labelled_frames

from skelact.pipeline.distill.pose_samples import PoseSamples, PoseSampling, known_axes
from skelact.pose_extract.common.geometry import rotate_points
from skelact.pose_extract.layout import COCO_17


def test_crops_at_any_angle_keep_keypoints_on_their_pixels():
    samples = PoseSamples(labelled_frames())
    sampling = PoseSampling(half_prob=0.0, shift=0.0)
    generator = torch.Generator().manual_seed(0)
    inds = torch.arange(24) % len(samples)
    pictures, keypoints, _, weights = samples.batch(inds, (192, 256), sampling, generator)
    assert pictures.shape == (24, 3, 256, 192)
    assert weights.all()
    flip = COCO_17.flip_inds()
    mirrored = 0
    for picture, points in zip(pictures, keypoints):
        names = []
        for x, y in points.round().int().tolist():
            assert 0 <= x < 192
            assert 0 <= y < 256
            around = picture[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(3, -1)
            red, green, _ = around[:, around[0].argmax()].tolist()
            assert red > 120  # a dot is there
            names.append((green / red * 255 - 20) / 12)
        straight = np.abs(np.array(names) - np.arange(17)).mean()
        swapped = np.abs(np.array(names) - flip).mean()
        assert min(straight, swapped) < 0.5  # and it is this keypoint's
        mirrored += swapped < straight
    assert 4 < mirrored < 20


def test_a_fixed_angle_turns_all_alike_and_nothing_else():
    samples = PoseSamples(labelled_frames(1), [0])
    inds = torch.zeros(1, dtype=torch.long)
    _, upright, _, _ = samples.batch(inds, (192, 256), PoseSampling(), torch.Generator(), 0.0)
    _, turned, _, _ = samples.batch(inds, (192, 256), PoseSampling(), torch.Generator(), 180.0)
    around = torch.tensor([191.0, 255.0])
    assert torch.allclose(around - turned[0], upright[0], atol=0.5)


def test_the_aligner_is_told_how_bodies_lie_in_its_crops():
    samples = PoseSamples(labelled_frames(), [0, 1, 2])
    assert (samples.axes.abs() < 90).all()
    inds = torch.arange(60) % 3
    sampling = PoseSampling(turned_prob=1.0, half_prob=0.0)

    def chance():
        return torch.Generator().manual_seed(5)

    pictures, target = samples.aligner_batch(inds, 96, sampling, chance())
    same_pictures, keypoints, _, _ = samples.batch(inds, (96, 96), sampling, chance())
    assert torch.equal(pictures, same_pictures)
    angles = torch.rad2deg(torch.atan2(target[:, 1], target[:, 0])).numpy()
    assert len(set((angles // 90).tolist())) == 4
    # The keypoints' own axis is the angle; turned back by it, they fill the middle and the size.
    axes = known_axes(keypoints.numpy(), np.ones((60, 17)))
    assert np.abs((axes - angles + 180) % 360 - 180).max() < 0.1
    middles = 95 / 2 + 96 * target[:, 2:4].numpy()
    upright = rotate_points(keypoints.numpy() - middles[:, None], -angles[:, None])
    sizes = 96 * np.exp(target[:, None, 4:].numpy())
    reach = np.abs(upright) / (sizes / 2)
    assert reach.max() < 1
    assert reach.max(axis=(1, 2)).min() > 0.85


def test_an_axis_is_known_from_the_hips_the_head_or_not_at_all():
    names = COCO_17.keypoint_names
    keypoints = np.zeros((3, 17, 2), np.float32)
    keypoints[:, [names.index("left_shoulder"), names.index("right_shoulder")]] = (50, 50)
    keypoints[:, [names.index("left_hip"), names.index("right_hip")]] = (20, 50)
    keypoints[:, names.index("nose")] = (50, 80)
    sure = np.ones((3, 17))
    sure[1:, names.index("left_hip")] = sure[1:, names.index("right_hip")] = 0
    sure[1, 1:5] = sure[2, :5] = 0
    axes = known_axes(keypoints, sure)
    assert (axes[:2] % 360).tolist() == [90, 180]
    assert np.isnan(axes[2])
