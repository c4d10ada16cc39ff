"""Augmentation of training clips, of a batch at once on its device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ... import SkelactError
from ...models.masking import tube_mask
from ...pose_extract.layout import KeypointLayout


@dataclass(frozen=True)
class AugmentConfig:
    """How training clips are augmented; 0 is off. Lengths are in normalised units.

    Attributes:
        noise_std: Standard deviation of the noise added to each joint in each frame. The paper adds
            pixel noise and does not give its size.
        noise_max: If above ``noise_std``, the standard deviation of each clip is drawn uniformly
            between the two.
        flip_prob: Probability of mirroring a clip, with left and right joints swapped.
        rotate_degrees: Maximum rotation in the image plane, in either direction.
        scale: Maximum relative change of size, up or down.
        shear: Maximum shear of either axis.
        shift: Maximum shift along either axis.
        tilt: Maximum distance by which a clip sinks or rises evenly from its start to its end: a
            camera that tilts.
        drop_prob: Probability that a joint is missing in all frames of a clip.
        frame_drop_prob: Probability that a joint is missing in one frame.
        lost_frames: Maximum share of frames without a skeleton; drawn uniformly for each clip.
        tube_prob: Probability that tubes are missing in a clip, as in pre-training with tubes: body
            parts over spans of frames.
        tube_ratio: Probability of each body part and span, in such a clip.
        tube_frames: Frames of a span.
        switch_prob: Probability that a clip shows another clip's people for a span of frames, of
            another size and height: a tracker that follows somebody else for a while.
        switch_frames: Maximum share of that span; drawn uniformly.
        random_steps: Sample a random frame from each span instead of its middle one.
        min_length: Minimum share of a clip's length that is used; length and start are drawn.
    """

    noise_std: float = 0.01
    noise_max: float = 0.0
    flip_prob: float = 0.0
    rotate_degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    tilt: float = 0.0
    drop_prob: float = 0.0
    frame_drop_prob: float = 0.0
    lost_frames: float = 0.0
    tube_prob: float = 0.0
    tube_ratio: float = 0.3
    tube_frames: int = 8
    switch_prob: float = 0.0
    switch_frames: float = 0.3
    random_steps: bool = True
    min_length: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.min_length <= 1:
            raise SkelactError(f"augment.min_length: expected above 0 to 1, got {self.min_length}")
        for name in ("noise_std", "noise_max", "rotate_degrees", "shear", "shift", "tilt"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SkelactError(f"augment.{name}: expected 0 or more, got {getattr(self, name)}")
        for name in ("tube_prob", "tube_ratio", "switch_prob", "switch_frames"):
            if not 0 <= getattr(self, name) <= 1:
                raise SkelactError(f"augment.{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.tube_frames < 1:
            raise SkelactError(f"augment.tube_frames: expected at least 1, got {self.tube_frames}")
        for name in ("flip_prob", "drop_prob", "frame_drop_prob", "lost_frames"):
            if not 0 <= getattr(self, name) < 1:
                raise SkelactError(f"augment.{name}: expected 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.scale < 1:
            raise SkelactError(f"augment.scale: expected 0 to 1, got {self.scale}")


def augment(
    x: Tensor, layout: KeypointLayout, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    """Return an augmented copy of a batch; missing joints stay missing.

    Args:
        x: (N, M, T, V, C) normalised clips; the first two channels are x and y.
        layout: Gives the pairs of left and right joints.
        config: The augmentations.
        generator: Random state on the device of ``x``.

    Returns:
        The same shape and dtype as ``x``.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=x.device)

    n, m, t, v, _ = x.shape
    if config.flip_prob:
        chosen = uniform(n, 1, 1, 1, 1) < config.flip_prob
        x = torch.where(chosen, mirrored(x, layout), x)
    if config.switch_prob:
        x = _with_switches(x, config, uniform)
    points, rest = x[..., :2], x[..., 2:]
    observed = (points != 0).any(dim=-1, keepdim=True)
    points = points @ _affine(n, config, uniform).view(n, 1, 1, 2, 2)
    if config.shift:
        points = points + (uniform(n, 1, 1, 1, 2) * 2 - 1) * config.shift
    if config.tilt:
        way = (uniform(n, 1, 1, 1) * 2 - 1) * config.tilt
        evenly = (torch.linspace(-0.5, 0.5, t, device=x.device)).view(t, 1)
        points = points + torch.stack([0 * evenly, evenly], dim=-1) * way[..., None]
    if config.noise_std or config.noise_max:
        noise = torch.randn(points.shape, generator=generator, device=x.device)
        deviation: Tensor | float = config.noise_std
        if config.noise_max > config.noise_std:
            more = config.noise_max - config.noise_std
            deviation = config.noise_std + more * uniform(n, 1, 1, 1, 1)
        points = points + deviation * noise
    if config.drop_prob:
        observed = observed & (uniform(n, m, 1, v, 1) >= config.drop_prob)
    if config.frame_drop_prob:
        observed = observed & (uniform(n, m, t, v, 1) >= config.frame_drop_prob)
    if config.lost_frames:
        share = config.lost_frames * uniform(n, 1, 1, 1, 1)
        observed = observed & (uniform(n, m, t, 1, 1) >= share)
    if config.tube_prob:
        hidden = tube_mask(
            n * m,
            t,
            layout,
            config.tube_ratio,
            tube_frames=config.tube_frames,
            generator=generator,
            device=x.device,
        ).view(n, m, t, v, 1)
        observed = observed & ~(hidden & (uniform(n, 1, 1, 1, 1) < config.tube_prob))
    return torch.cat([points, rest], dim=-1) * observed


def _with_switches(x: Tensor, config: AugmentConfig, uniform: Callable[..., Tensor]) -> Tensor:
    """Return clips of which some show the people of another clip of the batch for a span."""
    n, t = len(x), x.shape[2]
    share = config.switch_frames * uniform(n, 1, 1, 1, 1)
    share = share * (uniform(n, 1, 1, 1, 1) < config.switch_prob)
    start = uniform(n, 1, 1, 1, 1) * (1 - share)
    steps = ((torch.arange(t, device=x.device) + 0.5) / t).view(t, 1, 1)
    size = torch.exp2(uniform(n, 1, 1, 1, 1) * 2 - 1)
    observed = (x[..., :2] != 0).any(dim=-1, keepdim=True)
    height = (uniform(n, 1, 1, 1, 1) * 2 - 1) * x.new_tensor([0.0, 1.0])
    points = (x[..., :2] * size + height) * observed
    other = torch.cat([points, x[..., 2:]], dim=-1).roll(1, dims=0)
    return torch.where((steps >= start) & (steps < start + share), other, x)


def mirrored(x: Tensor, layout: KeypointLayout) -> Tensor:
    """Return clips (..., V, C) mirrored: x negated, left and right joints swapped."""
    sides = x[..., torch.as_tensor(layout.flip_inds(), device=x.device), :]
    return torch.cat([-sides[..., :1], sides[..., 1:]], dim=-1)


def draw_positions(
    count: int, clip_len: int, config: AugmentConfig, generator: torch.Generator
) -> Tensor | float:
    """Return the position of each frame of a training clip in its span; see ``sample_steps``.

    Args:
        count: N, number of clips.
        clip_len: T.
        config: Which positions are random.
        generator: Random state of the CPU.

    Returns:
        (N, T), or 0.5 for all.
    """
    if not config.random_steps and config.min_length == 1:
        return 0.5
    steps = torch.arange(clip_len)
    within: Tensor | float = 0.5
    if config.random_steps:
        within = torch.rand((count, clip_len), generator=generator)
    if config.min_length == 1:
        return within
    length, start = torch.rand((2, count, 1), generator=generator)
    length = config.min_length + (1 - config.min_length) * length
    start = start * (1 - length) * clip_len
    # Positions in spans of the part that is used, as positions in spans of the clip.
    return start + length * (steps + within) - steps


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
