"""Affine sampling of stored images, which lie on the device as uint8.

Matrices map pixels of the sample to pixels of the stored image, as ``grid_sample`` expects them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Score from which a keypoint counts as seen. It equals ``LabelConfig.seen_score``, the heatmap peak
# from which a teacher counts as seeing a keypoint; no benchmark chose it.
SEEN_SCORE = 0.25


def rotation_matrices(degrees: Tensor) -> Tensor:
    """Return matrices (N, 2, 2) that rotate points (x, y) of an image clockwise.

    Args:
        degrees: (N,) float32 angles.
    """
    radians = torch.deg2rad(degrees)
    cos, sin = torch.cos(radians), torch.sin(radians)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def sample_images(
    images: Tensor, matrices: Tensor, offsets: Tensor, size_wh: tuple[int, int]
) -> Tensor:
    """Sample images bilinearly through affine maps; what lies outside an image is 0.

    Args:
        images: (N, 3, H, W) in units of 0 to 255.
        matrices: (N, 2, 2) float32; pixel p of the sample is pixel ``matrix @ p + offset`` of the
            image.
        offsets: (N, 2) float32 x and y, pixels of the image.
        size_wh: Width and height of the samples.

    Returns:
        (N, 3, h, w) float32 in units of 0 to 255.
    """
    width, height = size_wh
    xs = torch.arange(width, device=images.device, dtype=torch.float32)
    ys = torch.arange(height, device=images.device, dtype=torch.float32)
    points = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(1, -1, 2)
    where = points @ matrices.transpose(1, 2) + offsets[:, None]
    stored = torch.tensor(images.shape[:1:-1], device=images.device, dtype=torch.float32)
    grid = 2 * where / (stored - 1) - 1
    grid = grid.reshape(len(matrices), height, width, 2)
    return F.grid_sample(images.float(), grid, mode="bilinear", align_corners=True)
