"""Targets and losses of networks that learn from labels."""

from __future__ import annotations

import numpy as np
import torch

from skelact.pipeline.distill.losses import box_loss, centre_loss, heatmap_targets
from skelact.pose_extract.detect.torch_detector import STRIDE, find_peaks
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model
from skelact.pose_extract.nets.shapes import SlimHRNet


def test_targets_are_what_mmpose_decodes():
    model = build_pose_model(SlimHRNet().pose_config((192, 256))["model"])
    keypoints = torch.rand(1, 17, 2) * torch.tensor([150.0, 210.0]) + 20
    peaks = torch.linspace(0.3, 1.0, 17)[None]
    heatmaps = heatmap_targets(keypoints, peaks, (192, 256), 2.0)
    points, scores = model.head.decoder.decode(heatmaps[0].numpy())
    # MMPose stretches the pixels' middles to the crop's width; PoseEstimator takes it back.
    expected = keypoints[0].numpy() * (192 / 191, 256 / 255)
    assert np.abs(points[0] - expected).max() < 0.3
    assert np.allclose(scores[0], peaks[0], atol=0.08)


def test_losses_are_least_for_the_truth():
    people = torch.tensor([[[40.0, 40.0, 120.0, 200.0], [200.0, 100.0, 260.0, 160.0]]])
    ignored = torch.zeros(1, 1, 4)
    logits = torch.full((1, 80, 80), -9.0)
    sides = torch.ones(1, 4, 80, 80)
    for x1, y1, x2, y2 in people[0].tolist():
        column, row = round((x1 + x2) / 8 - 0.5), round((y1 + y2) / 8 - 0.5)
        logits[0, row, column] = 9.0
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            x, y = (column + dx + 0.5) * STRIDE, (row + dy + 0.5) * STRIDE
            sides[0, :, row + dy, column + dx] = torch.tensor([x - x1, y - y1, x2 - x, y2 - y])
    assert box_loss(sides, people) < 1e-5
    assert centre_loss(logits, people, ignored) < 1e-3
    assert centre_loss(logits.roll(20, 2), people, ignored) > 5
    # A wrong centre costs nothing where somebody may be.
    wrong = logits.clone()
    wrong[0, 60, 10] = 9.0
    assert centre_loss(wrong, people, ignored) > 1
    assert centre_loss(wrong, people, torch.tensor([[[20.0, 220.0, 60.0, 260.0]]])) < 1e-3
    boxes, scores = find_peaks(logits, sides)
    assert (scores[0] > 0.5).sum() == 2
    assert sorted(boxes[0, :2].tolist()) == sorted(people[0].tolist())
