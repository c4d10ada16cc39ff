"""Features of a Lite-HRNet teacher, which a student of its shape learns part by part.

The student starts from random weights and sees the teacher's answers alone, never its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.nets.lite_hrnet import LiteHRNet
from ...pose_extract.nets.mmpose_adapter import build_pose_model, mixed_halves
from ...pose_extract.pose.estimator import PoseEstimator

Features = list[list[Tensor]]


class _DepthwiseHalf(nn.Conv2d):
    """A depthwise convolution of stride 2, as every other pixel of one of stride 1.

    The numbers are the same; on processors its gradient is computed several times as fast.
    """

    def forward(self, x: Tensor) -> Tensor:
        full = F.conv2d(x, self.weight, self.bias, 1, self.padding, 1, self.groups)
        return full[:, :, ::2, ::2]


def new_lite_hrnet(input_wh: tuple[int, int]) -> Any:
    """Return a pose net with weights drawn at random, made for learning."""
    net = build_pose_model(LiteHRNet().pose_config(input_wh)["model"])
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.groups > 1 and module.stride == (2, 2):
                module.__class__ = _DepthwiseHalf
        elif isinstance(module, nn.BatchNorm2d):
            # Batches are small.
            module.momentum = 0.03
    nn.init.normal_(net.head.final_layer.weight, std=0.001)
    nn.init.zeros_(net.head.final_layer.bias)
    return net


class FeatureTeacher:
    """A pose net whose features a student learns.

    Args:
        name: A Lite-HRNet pose net, as ``PoseEstimator`` takes it.

    Attributes:
        net: MMPose's network.
        input_wh: Width and height of its crops.

    Raises:
        SkelactError: if it is another kind of network.
    """

    def __init__(self, name: str) -> None:
        self._estimator = PoseEstimator(name, aligner="none")
        self.net, config = self._estimator.build()
        kind = config["model"]["backbone"]["type"]
        if kind != "LiteHRNet":
            raise SkelactError(f"teacher {name}: expected a Lite-HRNet, got {kind}")
        self.input_wh: tuple[int, int] = tuple(config["codec"]["input_size"])
        self.net.eval().requires_grad_(False)
        self.net.to(memory_format=torch.channels_last)

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureTeacher:
        # An averaged copy of a student shares its teacher.
        return self

    def identity(self) -> dict[str, Any]:
        """Return what it is, JSON-able."""
        return self._estimator.identity()

    def __call__(self, x: Tensor) -> Features:
        """Return the features of normalised pictures (N, 3, H, W); see :func:`features_of`."""
        if next(self.net.parameters()).device != x.device:
            self.net.to(x.device)
        with torch.no_grad():
            return features_of(self.net, x)


def features_of(net: Any, x: Tensor, given: Features | None = None) -> Features:
    """Return what each part of a Lite-HRNet pose net gives.

    A part is no deeper than one shuffle unit, so what it computes can be learned from what it is
    fed with and what it gives: the stem's convolution and the rest of it; per stage the transition;
    per module of a stage its two shuffle units and the fusion; the neck's projections, the last of
    them with the head: what lies between these two is too faint to be learned.

    Args:
        net: MMPose's network.
        x: (N, 3, H, W), normalised.
        given: What each part is fed with, where it would have been fed with what the parts before
            it gave: another net's answer of this function.

    Returns:
        Per part, features (N, C, h, w) of each branch that it has; the last are the heatmaps
        (N, V, H / 4, W / 4).
    """
    backbone = net.backbone
    found: Features = []

    def passed_on(branches: Sequence[Tensor]) -> list[Tensor]:
        found.append(list(branches))
        return list(branches if given is None else given[len(found) - 1])

    stem = backbone.stem
    first, second = passed_on([stem.conv1(x)])[0].chunk(2, dim=1)
    second = stem.linear_conv(stem.depthwise_conv(stem.expand_conv(second)))
    branches = passed_on([mixed_halves(stem.branch1(first), second)])
    for stage in range(backbone.num_stages):
        entered = []
        for number, transition in enumerate(getattr(backbone, f"transition{stage}")):
            before = branches[min(number, len(branches) - 1)]
            entered.append(transition(before) if transition is not None else before)
        branches = passed_on(entered)
        for module in getattr(backbone, f"stage{stage}"):
            for units in zip(*module.layers):
                branches = passed_on([unit(branch) for unit, branch in zip(units, branches)])
            branches = passed_on(_fused(module, branches))
    *projects, last = backbone.head_layer.projects
    branch = branches.pop()
    for project in projects:
        coarser = passed_on([project(branch)])[0]
        branch = branches.pop()
        size = branch.shape[2:]
        branch = branch + F.interpolate(coarser, size, mode="bilinear", align_corners=True)
    found.append([net.head.final_layer(last(branch))])
    return found


def _fused(module: Any, branches: Sequence[Tensor]) -> list[Tensor]:
    """Return what a module's branches are after they were brought together.

    MMPose adds in place: the finest branch counts twice, the coarser ones are made from its sum,
    and what comes to them from it counts twice too.
    """
    finest, *coarser = branches
    fused = []
    for number, row in enumerate(module.fuse_layers):
        total = 2 * (finest if number == 0 else row[0](finest))
        for other, branch in enumerate(coarser, start=1):
            total = total + (branch if other == number else row[other](branch))
        if number == 0:
            finest = total
        fused.append(F.relu(total))
    return fused


def feature_losses(student: Features, teacher: Features) -> list[Tensor]:
    """Return per part the student's squared error over the variance of the teacher's features.

    It is 1 for a student that gives each channel's mean. Channels that hardly vary count less.
    """
    losses = []
    for mine, theirs in zip(student, teacher):
        branches = [scaled_error(guess, truth) for guess, truth in zip(mine, theirs)]
        losses.append(torch.stack(branches).mean())
    return losses


def scaled_error(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over channels of the squared error over the variance of the truth.

    Args:
        guess: (N, C, h, w).
        truth: (N, C, h, w).
    """
    truth = truth.float()
    error = (guess.float() - truth).square().mean(dim=(0, 2, 3))
    variance = truth.var(dim=(0, 2, 3), correction=0)
    return (error / (variance + 0.05 * variance.mean() + 1e-8)).mean()
