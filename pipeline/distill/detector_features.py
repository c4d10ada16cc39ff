"""Features of an RTMDet teacher, which a detector of its shape learns block by block.

The teacher knows upright people. What it knows of them before it computes scores has no up and
down: a network that sees the rotated image is to have the same features, rotated with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...pose_extract.nets.rtmdet import STRIDES, RTMDetNano
from ...pose_extract.nets.rtmdet_file import read_rtmdet
from ...pose_extract.weights.download import fetch_weights, identify_weights
from .detector_targets import unrotated_cells
from .feature_hooks import Features, feature_hooks

# The heads give the network's outputs, one for each stride.
HEADS = tuple(f"heads.{number}" for number in range(len(STRIDES)))
# Features that are the same for a rotated person: those from which the heads compute scores.
CLASSIFICATION_FEATURES = tuple(
    f"{head}.cls_convs.{number}" for head in HEADS for number in range(2)
)
# Modules that are no deeper than one separable convolution behind those before them, so that what
# they give can be learned from what they receive. In order: the stem; of each of the four stages
# the convolution that halves the resolution, the pooling of the last and the CSP layer; the neck's
# layers down to finer levels and up again; its outputs; the towers of the heads.
_MODULES = re.compile(
    r"(stem|stage\d|outs|heads(\.\d\.(cls|reg)_convs)?)\.\d|(reduce|down|shrink|up)\d|"
    r".+\.(short_conv|main_conv|blocks\.\d)|(.+\.blocks\.\d|stage\d\.\d)\.conv1"
)


def features_of(net: nn.Module, x: Tensor, given: Features | None = None) -> Features:
    """Return the features inside an ``RTMDetNano``, in the order in which they are computed.

    Args:
        net: The network.
        x: (N, 3, H, W) float32, normalised RGB; H and W multiples of 32.
        given: What the modules after each of these receive in place of its output: the features of
            another network.

    Returns:
        Features (N, C, h, w) by the path of the module that gives them; those of ``HEADS`` are
        (N, 5, H / stride, W / stride).
    """
    modules = {name: module for name, module in net.named_modules() if _MODULES.fullmatch(name)}
    with feature_hooks(modules, given) as found:
        # Not net(x), which may be compiled: the hooks are there for this call alone.
        net.forward(x)
    return found


class DetectorTeacher:
    """RTMDet-nano, whose features and boxes a detector learns.

    Args:
        name: Name in the weights table, a path or an address of its ONNX file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        net: Any = read_rtmdet(fetch_weights(name)).requires_grad_(False)
        self.net = net.to(memory_format=torch.channels_last)

    def __deepcopy__(self, memo: dict[int, Any]) -> DetectorTeacher:
        # The moving average of a network shares its teacher.
        return self

    def identity(self) -> dict[str, Any]:
        """Return what it is, JSON-able."""
        return {"name": Path(self._name).name, "sha256": identify_weights(self._name)}

    def as_detector(self) -> nn.Module:
        """Return its network with the input of our own detectors: images (N, 3, H, W), RGB."""
        return _RGBInput(self.net)

    def __call__(self, x: Tensor) -> Features:
        """Return the features of normalised images (N, 3, H, W), RGB."""
        if next(self.net.parameters()).device != x.device:
            self.net.to(x.device)
        with torch.no_grad():
            # RTMDet was trained on BGR.
            return features_of(self.net, x.flip(1))


class _RGBInput(nn.Module):
    people = staticmethod(RTMDetNano.people)

    def __init__(self, net: RTMDetNano) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = self.net(x.flip(1))
        return found


def rotated_feature_losses(
    features: Features, teacher: Features, degrees: Tensor
) -> dict[str, Tensor]:
    """Return the losses of ``CLASSIFICATION_FEATURES`` for images that were rotated.

    Args:
        features: Those of the rotated images.
        teacher: The teacher's, of the images before rotation.
        degrees: (N,) by which they are rotated, clockwise.

    Returns:
        As of ``block_losses``, over the cells that lie inside the image before rotation.
    """
    losses = {}
    for name in CLASSIFICATION_FEATURES:
        truth, stride = teacher[name].float(), STRIDES[HEADS.index(name.partition(".cls_convs")[0])]
        size = truth.shape[-1]
        where, inside = unrotated_cells(size, stride, degrees)
        truth = F.grid_sample(truth, 2 * where / (size - 1) - 1, align_corners=True,
                              padding_mode="border")  # fmt: skip
        mine, theirs = (
            part.movedim(1, -1)[inside].T[None, :, :, None] for part in (features[name], truth)
        )
        losses[name] = _scaled_error(mine, theirs)
    return losses


def block_losses(features: Features, teacher: Features) -> dict[str, Tensor]:
    """Return the losses of all features but the heads' outputs, by name.

    A loss is the squared error over the variance of the teacher's features: 1 for a network that
    gives each channel's mean. Channels that hardly vary count less.
    """
    return {
        name: _scaled_error(part, teacher[name])
        for name, part in features.items()
        if name not in HEADS
    }


def _scaled_error(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over channels of the squared error over the variance of the truth.

    Args:
        guess: (N, C, h, w).
        truth: (N, C, h, w).
    """
    truth = truth.float()
    error = (guess.float() - truth).square().mean(dim=(0, 2, 3))
    variance = truth.var(dim=(0, 2, 3), correction=0)
    return (error / (variance + 0.05 * variance.mean() + 1e-8)).mean()
