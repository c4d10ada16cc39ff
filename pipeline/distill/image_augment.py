"""Image augmentation: light, colour, motion blur, low resolution, noise, cutout and mixup.

Everything works on whole batches on their device. Each costly augmentation is applied to a fixed
share of the batch, so that a step costs the same every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pose_extract.nets.shapes import PIXEL_MEAN, PIXEL_STD
from ..network_config import expect


@dataclass(frozen=True)
class ImageAugmentConfig:
    """How images are augmented.

    No benchmark chose the default ranges. What each shipped network learned with stands in its
    JSON.

    Attributes:
        brightness: Greatest shift, in units of 0 to 255.
        contrast: The greatest contrast factor is one plus this, the least its inverse.
        color: The greatest gain of a colour channel is one plus this, the least one minus this.
        grayscale_prob: Chance that an image loses its colour.
        motion_blur_prob: Share of images with motion blur.
        motion_blur_length: Length of the blur's kernel, pixels of the network's input.
        downscale_prob: Share of images that lose resolution.
        downscale_factor: How many times fewer pixels at most, along a side.
        noise_prob: Share of images with noise.
        noise: Greatest amplitude of the noise, in units of 0 to 255.
        cutout_prob: Chance that a rectangle is covered with one colour (DeVries and Taylor, Cutout,
            2017).
        cutout_size: Greatest side of that rectangle over the image's.
        channel_shuffle_prob: Chance that colour channels change places.
        mixup_prob: Chance that another image of the batch is blended in (Zhang et al., mixup,
            ICLR 2018), without its labels: no video shows such images, and a teacher network says
            what it sees in them.
        mixup_share: Greatest share of the other image.
    """

    brightness: float = 40.0
    contrast: float = 0.4
    color: float = 0.15
    grayscale_prob: float = 0.1
    motion_blur_prob: float = 0.25
    motion_blur_length: int = 9
    downscale_prob: float = 0.25
    downscale_factor: float = 4.0
    noise_prob: float = 0.3
    noise: float = 25.0
    cutout_prob: float = 0.3
    cutout_size: float = 0.35
    channel_shuffle_prob: float = 0.0
    mixup_prob: float = 0.0
    mixup_share: float = 0.5

    RENAMED: ClassVar[dict[str, str]] = {
        "gray_prob": "grayscale_prob",
        "blur_prob": "motion_blur_prob",
        "blur_length": "motion_blur_length",
        "coarse_prob": "downscale_prob",
        "coarse_factor": "downscale_factor",
        "hide_prob": "cutout_prob",
        "hide_share": "cutout_size",
        "swap_prob": "channel_shuffle_prob",
        "mix_prob": "mixup_prob",
        "mix_share": "mixup_share",
    }

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name.endswith(("_prob", "_share", "_size")):
                expect(self, field.name, 0 <= getattr(self, field.name) <= 1, "0 to 1")
        expect(self, "brightness", 0 <= self.brightness <= 255, "0 to 255")
        expect(self, "noise", 0 <= self.noise <= 255, "0 to 255")
        expect(self, "contrast", 0 <= self.contrast <= 10, "0 to 10")
        expect(self, "color", 0 <= self.color <= 1, "0 to 1")
        expect(self, "motion_blur_length", 1 <= self.motion_blur_length <= 64, "1 to 64")
        expect(self, "downscale_factor", 1 <= self.downscale_factor <= 32, "1 to 32")


def normalised(images: Tensor) -> Tensor:
    """Return images (N, 3, H, W) in units of 0 to 255 as the networks expect them.

    The mean and standard deviation of each channel are ImageNet's; the memory is channels-last.
    """
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def augment_images(x: Tensor, config: ImageAugmentConfig, generator: torch.Generator) -> Tensor:
    """Return images augmented at random.

    Args:
        x: (N, 3, H, W) float32 RGB in units of 0 to 255.
        config: How they are augmented.
        generator: Source of randomness, on the device of the images.

    Returns:
        (N, 3, H, W) float32 in units of 0 to 255, clamped to that range.
    """

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=x.device)

    n = len(x)
    order = torch.randperm(n, generator=generator, device=x.device)
    x = x.clone()
    if config.channel_shuffle_prob:
        places = rand(n, 3).argsort(dim=1)[:, :, None, None].expand_as(x)
        x = torch.where(rand(n, 1, 1, 1) < config.channel_shuffle_prob, x.gather(1, places), x)
    if config.mixup_prob:
        share = config.mixup_share * rand(n, 1, 1, 1) * (rand(n, 1, 1, 1) < config.mixup_prob)
        x = x + share * (x.roll(1, 0) - x)
    downscaled = order[: round(config.downscale_prob * n)]
    if len(downscaled):
        factor = 1 + float(rand(1)) * (config.downscale_factor - 1)
        x[downscaled] = _downscale(x[downscaled], factor)
    blurred = order.flip(0)[: round(config.motion_blur_prob * n)]
    if len(blurred):
        angle = float(rand(1)) * torch.pi
        x[blurred] = _motion_blur(x[blurred], angle, config.motion_blur_length)
    gray = rand(n, 1, 1, 1) < config.grayscale_prob
    x = torch.where(gray, x.mean(dim=1, keepdim=True), x)
    x = x * (1 + config.color * (2 * rand(n, 3, 1, 1) - 1))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    contrast = (1 + config.contrast) ** (2 * rand(n, 1, 1, 1) - 1)
    x = (x - mean) * contrast + mean + config.brightness * (2 * rand(n, 1, 1, 1) - 1)
    noisy = order.roll(n // 2)[: round(config.noise_prob * n)]
    if len(noisy):
        noise = 2 * rand(len(noisy), *x.shape[1:]) - 1
        x[noisy] += noise * (config.noise * rand(len(noisy), 1, 1, 1))
    return _cut_out(x, config, rand).clamp(0, 255)


def _downscale(x: Tensor, factor: float) -> Tensor:
    """Return images of the same size with ``factor`` times fewer pixels along a side."""
    small = F.interpolate(x, scale_factor=1 / factor, mode="area")
    return F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def _motion_blur(x: Tensor, angle: float, length: int) -> Tensor:
    """Blur all images along one direction, in radians; each step draws another direction."""
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


def _cut_out(x: Tensor, config: ImageAugmentConfig, rand: Callable[..., Tensor]) -> Tensor:
    """Cover a rectangle of some images with one random colour."""
    n, _, h, w = x.shape
    chosen = rand(n) < config.cutout_prob
    # Sides from .3 of the greatest to the greatest.
    sizes = config.cutout_size * (0.3 + 0.7 * rand(n, 2))
    low = rand(n, 2) * (1 - sizes)
    rows = torch.arange(h, device=x.device) / h
    columns = torch.arange(w, device=x.device) / w
    in_rows = (rows >= low[:, :1]) & (rows < low[:, :1] + sizes[:, :1])
    in_columns = (columns >= low[:, 1:]) & (columns < low[:, 1:] + sizes[:, 1:])
    inside = in_rows[:, None, :, None] & in_columns[:, None, None, :] & chosen[:, None, None, None]
    return torch.where(inside, 255 * rand(n, 3, 1, 1), x)
