"""Affine sampling of stored pictures, which lie on the device as uint8.

Maps go from the sample's pixels to the stored picture's, as ``grid_sample`` wants them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# How sure a keypoint must be to count as seen.
SEEN = 0.25


def rotation_matrices(degrees: Tensor) -> Tensor:
    """Return matrices (N, 2, 2) that turn clockwise as seen in a picture."""
    radians = torch.deg2rad(degrees)
    cos, sin = torch.cos(radians), torch.sin(radians)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def sample_images(
    pictures: Tensor, matrices: Tensor, offsets: Tensor, size_wh: tuple[int, int]
) -> Tensor:
    """Return (N, 3, h, w) float: sample pixel p is picture pixel ``matrix @ p + offset``."""
    width, height = size_wh
    xs = torch.arange(width, device=pictures.device, dtype=torch.float32)
    ys = torch.arange(height, device=pictures.device, dtype=torch.float32)
    points = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(1, -1, 2)
    where = points @ matrices.transpose(1, 2) + offsets[:, None]
    stored = torch.tensor(pictures.shape[:1:-1], device=pictures.device, dtype=torch.float32)
    grid = 2 * where / (stored - 1) - 1
    grid = grid.reshape(len(matrices), height, width, 2)
    return F.grid_sample(pictures.float(), grid, mode="bilinear", align_corners=True)
