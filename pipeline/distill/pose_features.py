"""Features of a Lite-HRNet teacher, which a network of its shape learns block by block.

That network starts from random weights and sees the teacher's outputs alone, never its weights.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import SkelactError
from ...pose_extract.nets.lite_hrnet import LiteHRNet
from ...pose_extract.nets.mmpose_adapter import build_pose_model
from ...pose_extract.pose.estimator import PoseEstimator
from .feature_hooks import Output, feature_hooks

Features = list[list[Tensor]]
# Weight of one batch in the statistics of batch normalisation: less than PyTorch's 0.1, since the
# batches are small. No record says how it was chosen.
_MOMENTUM = 0.03


class _DepthwiseHalf(nn.Conv2d):
    """A depthwise convolution of stride 2, as every other pixel of one of stride 1.

    The numbers are the same; on processors its gradient is computed several times as fast.
    """

    def forward(self, x: Tensor) -> Tensor:
        full = F.conv2d(x, self.weight, self.bias, 1, self.padding, 1, self.groups)
        return full[:, :, ::2, ::2]


def new_lite_hrnet(input_wh: tuple[int, int]) -> Any:
    """Return a Lite-HRNet pose model with random weights, made for training."""
    net = build_pose_model(LiteHRNet().pose_config(input_wh)["model"])
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.groups > 1 and module.stride == (2, 2):
                module.__class__ = _DepthwiseHalf
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = _MOMENTUM
    for module in net.backbone.modules():
        for row in getattr(module, "fuse_layers", None) or ():
            for norm in row[0].modules() if row[0] is not None else ():
                if isinstance(norm, nn.BatchNorm2d):
                    # MMPose computes these layers twice in each step.
                    norm.momentum = 1 - (1 - _MOMENTUM) ** 0.5
    nn.init.normal_(net.head.final_layer.weight, std=0.001)
    nn.init.zeros_(net.head.final_layer.bias)
    return net


class FeatureTeacher:
    """A pose model whose features a network of its shape learns.

    Args:
        name: A Lite-HRNet pose model, as ``PoseEstimator`` takes it.

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
        # The moving average of a network shares its teacher.
        return self

    def identity(self) -> dict[str, Any]:
        """Return what it is, JSON-able."""
        return self._estimator.identity()

    def __call__(self, x: Tensor) -> Features:
        """Return the features of normalised images (N, 3, H, W); see :func:`features_of`."""
        if next(self.net.parameters()).device != x.device:
            self.net.to(x.device)
        with torch.no_grad():
            return features_of(self.net, x)


def features_of(net: Any, x: Tensor, given: Features | None = None) -> Features:
    """Return the features inside a Lite-HRNet pose model, block by block.

    A block is no deeper than one shuffle unit, so its output can be learned from its input: the
    stem's convolution and the rest of the stem; per stage the transition; per module of a stage its
    two shuffle units and the fusion of the branches; the projections of the neck, the last of them
    with the head: the features between these two vary too little to be learned.

    Args:
        net: MMPose's network.
        x: (N, 3, H, W) float32, normalised.
        given: What each block receives in place of what the blocks before it gave: the features of
            another network.

    Returns:
        Per block, features (N, C, h, w) of each of its branches; the last are the heatmaps
        (N, V, H / 4, W / 4).
    """
    blocks = _blocks(net)
    names = chain.from_iterable([block] if isinstance(block, str) else block for block in blocks)
    modules = {name: net.get_submodule(name) for name in names if name}
    fed = None if given is None else _by_module(blocks, given)
    with feature_hooks(modules, fed, changed=_changed_in_place(net)) as outputs:
        # In this memory order MMPose's blocks are as fast as they can be; see mmpose_adapter.
        net.head(net.extract_feat(x.contiguous(memory_format=torch.channels_last)))
    found: Features = []
    for block in blocks:
        if isinstance(block, str):
            found.append(cast(list[Tensor], outputs[block]))
            continue
        # A branch that a transition does not change comes from the block before.
        before = (found if given is None else given)[len(found) - 1] if found else []
        found.append(
            [
                cast(Tensor, outputs[name]) if name else before[branch]
                for branch, name in enumerate(block)
            ]
        )
    return found


# Names of the modules that give a block's branches: one each, or one that gives all of them. None
# stands where a transition leaves a branch as it is.
_Block = str | list[str | None]


def _by_module(blocks: list[_Block], features: Features) -> dict[str, Output]:
    """Return features of blocks by the name of the module that gives them."""
    named: dict[str, Output] = {}
    for block, branches in zip(blocks, features):
        if isinstance(block, str):
            named[block] = branches
        else:
            named.update((name, branch) for name, branch in zip(block, branches) if name)
    return named


def _blocks(net: Any) -> list[_Block]:
    """Return the blocks of a Lite-HRNet, in order."""
    backbone = net.backbone
    blocks: list[_Block] = [["backbone.stem.conv1"], ["backbone.stem"]]
    for stage in range(backbone.num_stages):
        transition = f"backbone.transition{stage}"
        changes = enumerate(getattr(backbone, f"transition{stage}"))
        blocks.append([f"{transition}.{number}" if layer else None for number, layer in changes])
        for number, module in enumerate(getattr(backbone, f"stage{stage}")):
            name = f"backbone.stage{stage}.{number}"
            branches = range(len(module.layers))
            for unit in range(len(module.layers[0])):
                blocks.append([f"{name}.layers.{branch}.{unit}" for branch in branches])
            blocks.append(name)
    projects = range(len(backbone.head_layer.projects) - 1)
    blocks += [[f"backbone.head_layer.projects.{number}"] for number in projects]
    return [*blocks, ["head.final_layer"]]


def _changed_in_place(net: Any) -> set[str]:
    """Return the modules to whose output MMPose's fusion adds in place: of the finest branches."""
    return {
        f"backbone.stage{stage}.{number}.layers.0.{len(module.layers[0]) - 1}"
        for stage in range(net.backbone.num_stages)
        for number, module in enumerate(getattr(net.backbone, f"stage{stage}"))
    }


def feature_losses(features: Features, teacher: Features) -> list[Tensor]:
    """Return per block the squared error over the variance of the teacher's features.

    It is 1 for a network that gives each channel's mean. Channels that hardly vary count less.
    """
    losses = []
    for mine, theirs in zip(features, teacher):
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
