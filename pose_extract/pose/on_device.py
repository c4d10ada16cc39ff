"""What surrounds a pose network, on the device that it runs on: crops, and what heatmaps say.

The same arithmetic as ``crops.py``, ``heatmaps.py`` and MMPose's codecs, for all people of a batch
at once, in PyTorch. Frames go up once; what comes back are keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import COCO_17, KeypointLayout
from .heatmaps import BLUR_SIGMAS, MIN_TORSO_CELLS, NEAR_TORSOS, REACH_SIGMAS

# OpenCV rounds the places that it samples to this share of a pixel.
_STEPS = 32
# Pixels; outside of every frame.
_NOWHERE = -1e6


def sample_crops(
    frames: Tensor, rows: np.ndarray, to_frame: np.ndarray, size_wh: tuple[int, int]
) -> Tensor:
    """Sample crops out of frames as ``cv2.warpAffine`` does, black outside.

    Args:
        frames: (F, H, W, 3) uint8.
        rows: (N,) the frame of each crop.
        to_frame: (N, 2, 3) affine maps from pixels of the crops to those of the frames.
        size_wh: Width and height of the crops.

    Returns:
        (N, h, w, 3) uint8 on the device of the frames; grey levels differ by rounding.
    """
    device = frames.device
    height, width = frames.shape[1:3]
    x, y = _places(to_frame, size_wh, device)
    left, top = x.floor(), y.floor()
    across, down = (x - left).unsqueeze(-1), (y - top).unsqueeze(-1)
    first = torch.as_tensor(rows, device=device).view(-1, 1, 1) * (height * width)
    pixels = frames.reshape(-1, 3)

    def at(column: Tensor, row: Tensor) -> Tensor:
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
        return pixels[first + place].float() * inside.unsqueeze(-1)

    upper = at(left, top) * (1 - across) + at(left + 1, top) * across
    lower = at(left, top + 1) * (1 - across) + at(left + 1, top + 1) * across
    return (upper * (1 - down) + lower * down + 0.5).clamp(0, 255).to(torch.uint8)


def resample_maps(heatmaps: Tensor, to_source: np.ndarray) -> Tensor:
    """Sample heatmaps (N, V, h, w) through affine maps (N, 2, 3) of their cells; 0 outside."""
    height, width = heatmaps.shape[2:]
    x, y = _places(to_source, (width, height), heatmaps.device)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return F.grid_sample(heatmaps, grid, padding_mode="zeros", align_corners=True)


def _places(
    maps: np.ndarray, size_wh: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return x and y (N, h, w) of the images of all pixels, rounded as OpenCV rounds them."""
    width, height = size_wh
    a = torch.from_numpy(maps.astype(np.float32)).to(device)[..., None, None]  # (N, 2, 3, 1, 1)
    column = torch.arange(width, device=device, dtype=torch.float32)
    row = torch.arange(height, device=device, dtype=torch.float32).unsqueeze(1)
    places = a[:, :, 0] * column + a[:, :, 1] * row + a[:, :, 2]
    # A place that is no number would be an index outside of the frame, which no GPU recovers from.
    places = torch.nan_to_num(places, nan=_NOWHERE, posinf=_NOWHERE, neginf=_NOWHERE)
    x, y = ((places * _STEPS).round() / _STEPS).unbind(dim=1)
    return x, y


@dataclass(frozen=True)
class HeatmapReader:
    """Reads the heatmaps of a batch as MMPose's codecs "MSRAHeatmap" and "UDPHeatmap" do.

    Attributes:
        codec: Which of the two.
        unbiased: DARK's refinement, in the first; the second always has it.
        kernel_size: Of DARK's blur, an odd number.
        sigma: Deviation of the Gaussians that the network was trained on, cells.
        input_wh: Width and height of the crops, pixels.
        pixels_per_cell: Of a crop, along x and y.
    """

    codec: str
    unbiased: bool
    kernel_size: int
    sigma: float
    input_wh: tuple[int, int]
    pixels_per_cell: tuple[float, float]

    @classmethod
    def of(cls, codec: Any, sigma: float, input_wh: tuple[int, int]) -> HeatmapReader | None:
        """Return the reader for a codec of MMPose; None for others."""
        name = type(codec).__name__
        usual = name == "MSRAHeatmap" or (name == "UDPHeatmap" and codec.heatmap_type == "gaussian")
        if not usual:
            return None
        across, down = codec.scale_factor
        unbiased = name == "UDPHeatmap" or codec.unbiased
        return cls(
            name, unbiased, codec.blur_kernel_size, sigma, input_wh, (float(across), float(down))
        )

    def read(
        self, heatmaps: Tensor, layout: KeypointLayout
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return keypoints, scores and side margins as ``PoseEstimator.decode`` does.

        Args:
            heatmaps: (N, V, h, w) float32.
            layout: Gives the pairs of left and right.

        Returns:
            Keypoints (N, V, 2) in pixels of the crops, scores (N, V), margins (N, P); float32.
        """
        cells = self._refined(_reflected_blur(heatmaps, BLUR_SIGMAS * self.sigma))
        size_wh = heatmaps.shape[:1:-1]
        if self.codec == "UDPHeatmap":
            scale = [side / (size - 1) for side, size in zip(self.input_wh, size_wh)]
        else:
            scale = list(self.pixels_per_cell)
        device = heatmaps.device
        keypoints = cells * _constant(tuple(scale), device)
        spots = keypoints / _constant(self.pixels_per_cell, device)
        scores = self._chances(heatmaps, spots)
        on_map = keypoints * _constant(
            tuple(size / side for side, size in zip(self.input_wh, size_wh)), device
        )
        margins = _side_margins(heatmaps, on_map, layout)
        found = torch.cat([keypoints.flatten(1), scores, margins], dim=1).cpu().numpy()
        points, chances, sides = np.split(found, [2 * scores.shape[1], 3 * scores.shape[1]], axis=1)
        return points.reshape(len(found), -1, 2), chances, sides

    def _refined(self, heatmaps: Tensor) -> Tensor:
        """Return the highest points (N, V, 2) of heatmaps, cells, between the cells."""
        width = heatmaps.shape[3]
        highest, place = heatmaps.flatten(2).max(dim=2)
        cells = torch.stack([place % width, place // width], dim=-1)
        cells = torch.where(highest[..., None] > 0, cells, -1)
        if not self.unbiased:
            return cells + 0.25 * _slope_signs(heatmaps, cells)
        soft = _blur(heatmaps, _kernel(self.kernel_size, 0.0))
        before, after = (maps.amax(dim=(2, 3), keepdim=True) for maps in (heatmaps, soft))
        soft = soft * (before / after.clamp(min=torch.finfo(soft.dtype).tiny))
        refine = _udp_offsets if self.codec == "UDPHeatmap" else _dark_offsets
        return cells + refine(soft, cells)

    def _chances(self, heatmaps: Tensor, spots: Tensor) -> Tensor:
        """See ``heatmaps.found_chances``."""
        height, width = heatmaps.shape[2:]
        trunk = _middle(spots, "hip") - _middle(spots, "shoulder")
        torsos = trunk.norm(dim=-1).clamp(min=MIN_TORSO_CELLS)
        reach = NEAR_TORSOS * torsos + REACH_SIGMAS * self.sigma
        columns = torch.arange(width, device=spots.device)
        lines = torch.arange(height, device=spots.device)
        across = (columns - spots[..., :1]).square()
        down = (lines - spots[..., 1:]).square()
        limit = reach.square().view(-1, 1, 1, 1)
        near = (across.unsqueeze(-2) + down.unsqueeze(-1) <= limit).float()
        sums = (heatmaps.clamp(min=0) * near).sum(dim=(2, 3))
        weight = -1 / (2 * self.sigma**2)
        inner = (near @ (across * weight).exp().unsqueeze(-1)).squeeze(-1)  # (N, V, h)
        sure = (inner * (down * weight).exp()).sum(dim=-1)
        return (sums / sure).clamp(max=1.0)


def _middle(points: Tensor, part: str) -> Tensor:
    left, right = (COCO_17.index(f"{side}_{part}") for side in ("left", "right"))
    return (points[:, left] + points[:, right]) / 2


@lru_cache(maxsize=64)
def _constant(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return a tensor that stays on a device: sending it there would wait for all before it."""
    return torch.tensor(values, dtype=dtype, device=device)


def _kernel(size: int, sigma: float) -> np.ndarray:
    return np.asarray(cv2.getGaussianKernel(size, sigma, cv2.CV_32F)).ravel()


def _reflected_blur(heatmaps: Tensor, sigma: float) -> Tensor:
    """Blur as ``cv2.GaussianBlur`` does with a deviation alone: borders are reflected."""
    kernel = _kernel(round(8 * sigma + 1) | 1, sigma)
    side = len(kernel) // 2
    padded = F.pad(heatmaps, (side, side, side, side), mode="reflect")
    cut = slice(side, -side or None)
    return _blur(padded, kernel)[:, :, cut, cut]


def _blur(heatmaps: Tensor, kernel: np.ndarray) -> Tensor:
    """Convolve (N, V, h, w) with a kernel along both axes, zeros outside."""
    side = len(kernel) // 2
    weight = _constant(tuple(kernel.tolist()), heatmaps.device)
    maps = heatmaps.flatten(0, 1).unsqueeze(1)
    maps = F.conv2d(maps, weight.view(1, 1, 1, -1), padding=(0, side))
    maps = F.conv2d(maps, weight.view(1, 1, -1, 1), padding=(side, 0))
    return maps.view(heatmaps.shape)


def _at(heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the values (N, V) of heatmaps at cells (N, V); outside those of the border."""
    height, width = heatmaps.shape[2:]
    place = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return heatmaps.flatten(2).gather(2, place.unsqueeze(-1)).squeeze(-1)


def _slope_signs(heatmaps: Tensor, cells: Tensor) -> Tensor:
    """Return the signs (N, V, 2) of the slopes at cells, 0 at the borders that MMPose omits."""
    height, width = heatmaps.shape[2:]
    x, y = cells.unbind(dim=-1)
    slope_x = _at(heatmaps, x + 1, y) - _at(heatmaps, x - 1, y)
    slope_y = _at(heatmaps, x, y + 1) - _at(heatmaps, x, y - 1)
    has_x = (x > 1) & (x < width - 1) & (y > 0) & (y < height)
    has_y = (y > 1) & (y < height - 1) & (x > 0) & (x < width)
    return torch.stack([slope_x.sign() * has_x, slope_y.sign() * has_y], dim=-1)


def _dark_offsets(soft: Tensor, cells: Tensor) -> Tensor:
    """Return ``refine_keypoints_dark``'s offsets (N, V, 2) from blurred heatmaps."""
    height, width = soft.shape[2:]
    logs = soft.clamp(min=1e-10).log()
    x, y = cells.unbind(dim=-1)

    def at(right: int, down: int) -> Tensor:
        return _at(logs, x + right, y + down)

    here = at(0, 0)
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx = 0.25 * (at(2, 0) - 2 * here + at(-2, 0))
    dyy = 0.25 * (at(0, 2) - 2 * here + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return _newton_step(dx, dy, dxx, dxy, dyy, inside)


def _udp_offsets(soft: Tensor, cells: Tensor) -> Tensor:
    """Return ``refine_keypoints_dark_udp``'s offsets (N, V, 2) from blurred heatmaps."""
    logs = soft.clamp(1e-3, 50.0).log()
    x, y = cells.unbind(dim=-1)

    def at(right: int, down: int) -> Tensor:
        return _at(logs, x + right, y + down)

    here, right, left, below, above = at(0, 0), at(1, 0), at(-1, 0), at(0, 1), at(0, -1)
    tiny = float(np.finfo(np.float32).eps)
    dxx, dyy = right - 2 * here + left + tiny, below - 2 * here + above + tiny
    dxy = 0.5 * (at(1, 1) - right - below + 2 * here - left - above + at(-1, -1))
    everywhere = torch.ones_like(x, dtype=torch.bool)
    return _newton_step(0.5 * (right - left), 0.5 * (below - above), dxx, dxy, dyy, everywhere)


def _newton_step(
    dx: Tensor, dy: Tensor, dxx: Tensor, dxy: Tensor, dyy: Tensor, where: Tensor
) -> Tensor:
    """Return minus the inverse Hessian times the gradient, (N, V, 2); 0 elsewhere."""
    determinant = dxx * dyy - dxy.square()
    usable = where & (determinant != 0)
    safe = torch.where(usable, determinant, 1.0)
    step_x, step_y = (dxy * dy - dyy * dx) / safe, (dxy * dx - dxx * dy) / safe
    return torch.stack([step_x * usable, step_y * usable], dim=-1)


def _side_margins(heatmaps: Tensor, on_map: Tensor, layout: KeypointLayout) -> Tensor:
    """Return (N, P) margins of heatmaps at keypoints (N, V, 2), cells."""
    pairs = zip(*layout.swap_pairs)
    left, right = (_constant(side, heatmaps.device, torch.int64) for side in pairs)
    x, y = on_map.round().long().unbind(dim=-1)

    def at(channel: Tensor, keypoint: Tensor) -> Tensor:
        return _at(heatmaps[:, channel], x[:, keypoint], y[:, keypoint])

    found = at(left, left) + at(right, right)
    return (found - at(left, right) - at(right, left)) / 2
