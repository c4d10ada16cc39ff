"""Changes to training clips, made to a whole batch at once on its device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import SkelactError
from ..pose_extract.layout import KeypointLayout


@dataclass(frozen=True)
class AugmentConfig:
    """How training clips are changed; 0 is off everywhere. Lengths are in normalised units.

    Attributes:
        noise_std: Standard deviation of the noise added to each joint in each frame. The paper adds
            pixel noise and does not give its size.
        flip_prob: Chance of mirroring a clip, left and right joints exchanged.
        rotate_degrees: Greatest rotation in the picture, to either side.
        scale: Greatest relative change of size, to either side.
        shear: Greatest shear of either axis.
        shift: Greatest shift along either axis.
        drop_prob: Chance that a joint is missing in a whole clip.
        frame_drop_prob: Chance that a joint is missing in one frame.
        random_steps: Take a random frame from each span rather than its middle one.
    """

    noise_std: float = 0.01
    flip_prob: float = 0.0
    rotate_degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    drop_prob: float = 0.0
    frame_drop_prob: float = 0.0
    random_steps: bool = True

    def __post_init__(self) -> None:
        for name in ("flip_prob", "drop_prob", "frame_drop_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise SkelactError(f"augment.{name}: expected 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.scale < 1:
            raise SkelactError(f"augment.scale: expected 0 to 1, got {self.scale}")


def augment(
    x: Tensor, layout: KeypointLayout, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    """Return a changed copy of a batch; what was missing stays missing.

    Args:
        x: (N, M, T, V, C) normalised clips; the first two channels are x and y.
        layout: Gives the mirror pairs.
        config: What to do.
        generator: Random state on the device of ``x``.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=x.device)

    n, m, t, v, _ = x.shape
    points, rest = x[..., :2], x[..., 2:]
    observed = (points != 0).any(dim=-1, keepdim=True)
    if config.flip_prob:
        flipped = points[..., torch.as_tensor(layout.flip_inds(), device=x.device), :]
        flipped = flipped * flipped.new_tensor([-1.0, 1.0])
        chosen = uniform(n, 1, 1, 1, 1) < config.flip_prob
        swapped = torch.as_tensor(layout.flip_inds(), device=x.device)
        rest = torch.where(chosen, rest[..., swapped, :], rest)
        observed = torch.where(chosen, observed[..., swapped, :], observed)
        points = torch.where(chosen, flipped, points)
    points = points @ _affine(n, config, uniform).view(n, 1, 1, 2, 2)
    if config.shift:
        points = points + (uniform(n, 1, 1, 1, 2) * 2 - 1) * config.shift
    if config.noise_std:
        noise = torch.randn(points.shape, generator=generator, device=x.device)
        points = points + config.noise_std * noise
    if config.drop_prob:
        observed = observed & (uniform(n, m, 1, v, 1) >= config.drop_prob)
    if config.frame_drop_prob:
        observed = observed & (uniform(n, m, t, v, 1) >= config.frame_drop_prob)
    return torch.cat([points, rest], dim=-1) * observed


def _affine(n: int, config: AugmentConfig, uniform: Callable[..., Tensor]) -> Tensor:
    """Return (N, 2, 2) matrices to multiply row vectors (x, y) with."""
    draws = uniform(n, 4) * 2 - 1
    angle = draws[:, 0] * math.radians(config.rotate_degrees)
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([cos, sin, -sin, cos], dim=-1).view(n, 2, 2)
    shear = torch.eye(2, device=draws.device).repeat(n, 1, 1)
    shear[:, 0, 1] = draws[:, 1] * config.shear
    shear[:, 1, 0] = draws[:, 2] * config.shear
    scale = (1 + draws[:, 3] * config.scale).view(n, 1, 1)
    return rotation @ shear * scale
