"""What happens to a picture between a person and a network: light, colour, blur, few pixels, noise.

All works on whole batches on their device; each fault strikes a share of the batch, so that a step
costs the same every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pose_extract.nets.shapes import PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True)
class ImageAugmentConfig:
    """How pictures are spoilt.

    Attributes:
        brightness: Greatest shift, in units of 0 to 255.
        contrast: Greatest factor is one plus this, least one over it.
        color: Greatest factor of a colour channel is one plus this.
        gray_prob: Chance of a picture without colour.
        blur_prob: Chance of motion blur.
        blur_length: Longest smear, pixels of the network's input.
        coarse_prob: Chance that a picture has few pixels.
        coarse_factor: How many times fewer at most, along a side.
        noise_prob: Chance of noise.
        noise: Greatest noise, in units of 0 to 255.
        hide_prob: Chance that a rectangle is hidden.
        hide_share: Greatest side of it over the picture's.
        swap_prob: Chance that colour channels change places.
        mix_prob: Chance that another picture of the batch shines through: things that no video
            shows, of which a teacher still says what it takes them for.
        mix_share: Greatest share of the other picture.
    """

    brightness: float = 40.0
    contrast: float = 0.4
    color: float = 0.15
    gray_prob: float = 0.1
    blur_prob: float = 0.25
    blur_length: int = 9
    coarse_prob: float = 0.25
    coarse_factor: float = 4.0
    noise_prob: float = 0.3
    noise: float = 25.0
    hide_prob: float = 0.3
    hide_share: float = 0.35
    swap_prob: float = 0.0
    mix_prob: float = 0.0
    mix_share: float = 0.5


def normalised(pictures: Tensor) -> Tensor:
    """Return pictures (N, 3, H, W) in units of 0 to 255 as our networks want them."""
    mean, std = (pictures.new_tensor(values).view(1, 3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)


def augment_images(x: Tensor, config: ImageAugmentConfig, generator: torch.Generator) -> Tensor:
    """Return pictures (N, 3, H, W) in units of 0 to 255, spoilt at random."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=x.device)

    n = len(x)
    order = torch.randperm(n, generator=generator, device=x.device)
    x = x.clone()
    if config.swap_prob:
        places = rand(n, 3).argsort(dim=1)[:, :, None, None].expand_as(x)
        x = torch.where(rand(n, 1, 1, 1) < config.swap_prob, x.gather(1, places), x)
    if config.mix_prob:
        share = config.mix_share * rand(n, 1, 1, 1) * (rand(n, 1, 1, 1) < config.mix_prob)
        x = x + share * (x.roll(1, 0) - x)
    coarse = order[: round(config.coarse_prob * n)]
    if len(coarse):
        factor = 1 + float(rand(1)) * (config.coarse_factor - 1)
        x[coarse] = _coarse(x[coarse], factor)
    blurred = order.flip(0)[: round(config.blur_prob * n)]
    if len(blurred):
        x[blurred] = _motion_blur(x[blurred], float(rand(1)) * torch.pi, config.blur_length)
    gray = rand(n, 1, 1, 1) < config.gray_prob
    x = torch.where(gray, x.mean(dim=1, keepdim=True), x)
    x = x * (1 + config.color * (2 * rand(n, 3, 1, 1) - 1))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    contrast = (1 + config.contrast) ** (2 * rand(n, 1, 1, 1) - 1)
    x = (x - mean) * contrast + mean + config.brightness * (2 * rand(n, 1, 1, 1) - 1)
    noisy = order.roll(n // 2)[: round(config.noise_prob * n)]
    if len(noisy):
        noise = 2 * rand(len(noisy), *x.shape[1:]) - 1
        x[noisy] += noise * (config.noise * rand(len(noisy), 1, 1, 1))
    return _hide(x, config, rand).clamp(0, 255)


def _coarse(x: Tensor, factor: float) -> Tensor:
    small = F.interpolate(x, scale_factor=1 / factor, mode="area")
    return F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def _motion_blur(x: Tensor, angle: float, length: int) -> Tensor:
    """Smear all pictures along one direction: each step's batch has another."""
    steps = torch.linspace(-0.5, 0.5, length, device=x.device) * (length - 1)
    kernel = torch.zeros(length, length, device=x.device)
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    middle = (length - 1) / 2
    columns = (middle + steps * cos).round().long()
    rows = (middle + steps * sin).round().long()
    kernel[rows, columns] = 1.0
    kernel = (kernel / kernel.sum())[None, None]
    n, c, h, w = x.shape
    flat = F.pad(x.reshape(n * c, 1, h, w), (length // 2,) * 4, mode="replicate")
    return F.conv2d(flat, kernel)[:, :, :h, :w].reshape(n, c, h, w)


def _hide(x: Tensor, config: ImageAugmentConfig, rand: Callable[..., Tensor]) -> Tensor:
    """Put a rectangle of one colour over some pictures."""
    n, _, h, w = x.shape
    hidden = rand(n) < config.hide_prob
    sizes = config.hide_share * (0.3 + 0.7 * rand(n, 2))
    low = rand(n, 2) * (1 - sizes)
    rows = torch.arange(h, device=x.device) / h
    columns = torch.arange(w, device=x.device) / w
    in_rows = (rows >= low[:, :1]) & (rows < low[:, :1] + sizes[:, :1])
    in_columns = (columns >= low[:, 1:]) & (columns < low[:, 1:] + sizes[:, 1:])
    inside = in_rows[:, None, :, None] & in_columns[:, None, None, :] & hidden[:, None, None, None]
    return torch.where(inside, 255 * rand(n, 3, 1, 1), x)
