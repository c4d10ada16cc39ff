"""Areas and overlaps of boxes in PyTorch, for the losses of detectors."""

from __future__ import annotations

import torch
from torch import Tensor


def box_areas(boxes: Tensor) -> Tensor:
    """Return the areas (...) of boxes (..., 4) xyxy, 0 for those whose sides have crossed."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def shared_areas(first: Tensor, second: Tensor) -> Tensor:
    """Return the areas (...) that boxes (..., 4) xyxy have in common."""
    low = torch.maximum(first[..., :2], second[..., :2])
    return box_areas(torch.cat([low, torch.minimum(first[..., 2:], second[..., 2:])], -1))


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return (A,) generalised IoU (Rezatofighi et al., CVPR 2019) of boxes (A, 4) xyxy."""
    both = shared_areas(first, second)
    either = box_areas(first) + box_areas(second) - both
    low = torch.minimum(first[:, :2], second[:, :2])
    hull = box_areas(torch.cat([low, torch.maximum(first[:, 2:], second[:, 2:])], -1))
    return both / either.clamp(min=1e-6) - (hull - either) / hull.clamp(min=1e-6)
