"""Targets that a simulator gives: right answers have no loss, and each wrong one has its own."""

from __future__ import annotations

import math

import pytest
import torch

from skelact.models.physics import PhysicsHeads
from skelact.pose_extract.layout import COCO_17


class Answers(torch.nn.Module):
    """A head that answers what it is given."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, _):
        return self.values


STEPS, FRAMES = 3, 6


def points_of_a_turning_body():
    """A trunk that turns by 30 degrees a frame about hips that move evenly to the right."""
    points = torch.zeros(1, FRAMES, 17, 2)
    for frame in range(FRAMES):
        hips = torch.tensor([1.0 + frame, 2.0])
        angle = math.radians(30 * frame)
        up = torch.tensor([math.cos(angle), math.sin(angle)])
        points[0, frame, [11, 12]] = hips
        points[0, frame, [5, 6]] = hips + 2 * up
    return points


def answers(frames):
    """Return (1, T, K) per frame as a head gives it: (2 K, T/2, 1, 1)."""
    return frames[0].unflatten(0, (STEPS, 2)).flatten(1).T[:, :, None, None]


def loss_with(change=None):
    heads = PhysicsHeads(COCO_17, 4, 2)
    frames = torch.zeros(1, FRAMES, 9)
    for frame in range(FRAMES):
        angle = math.radians(30 * frame)
        frames[0, frame, :2] = torch.tensor([math.cos(angle), math.sin(angle)])
    frames[0, 1:, 2] = math.radians(30)
    frames[0, 1:, 3] = 1 / 1.001
    frames[0, :, 5 + 2] = 50.0
    if change is not None:
        frames[0, 3, change] += 1.0 if change < 5 else 100.0
    heads.per_frame = Answers(answers(frames))
    depth = torch.linspace(-0.2, 0.2, 17).expand(1, FRAMES, 17)
    heads.depth = Answers((5 * depth).reshape(STEPS, 2, 1, 17).transpose(0, 1))
    phase = torch.full((1, FRAMES), 2)
    return heads(torch.zeros(4, STEPS, 1, 17), points_of_a_turning_body(), depth, phase).item()


def test_right_answers_have_no_loss():
    assert loss_with() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("change", range(9))
def test_each_wrong_answer_has_a_loss(change):
    if change == 5 + 2:
        assert loss_with(change) == pytest.approx(0, abs=1e-6)  # surer of the true phase
    else:
        assert loss_with(change) > 0.1


def test_joints_that_are_missing_have_no_loss():
    torch.manual_seed(0)
    heads = PhysicsHeads(COCO_17, 4, 2)
    points, phase = torch.zeros(1, FRAMES, 17, 2), torch.zeros(1, FRAMES, dtype=torch.int64)
    encoded, depth = torch.randn(4, STEPS, 1, 17), torch.randn(1, FRAMES, 17)
    near = heads(encoded, points, depth, phase)
    assert near.item() == heads(encoded, points, depth + 1, phase).item()
