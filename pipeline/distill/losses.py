"""What students are taught by their labels: heatmaps, centres and boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pose_extract.detect.torch_detector import STRIDE, box_sides


def heatmap_targets(
    keypoints: Tensor, peaks: Tensor, input_wh: tuple[int, int], sigma: float
) -> Tensor:
    """Return heatmaps (N, V, h / 4, w / 4) with a bell at each keypoint (UDP, Huang et al. 2020).

    Args:
        keypoints: (N, V, 2) in pixels of the crop.
        peaks: (N, V) heights of the bells.
        input_wh: Width and height of the crop.
        sigma: Spread of the bells, in pixels of the heatmap.
    """
    width, height = input_wh[0] // 4, input_wh[1] // 4
    device = keypoints.device
    scale = torch.tensor(
        [(width - 1) / (input_wh[0] - 1), (height - 1) / (input_wh[1] - 1)], device=device
    )
    middles = keypoints * scale
    xs = torch.arange(width, device=device) - middles[..., :1]
    ys = torch.arange(height, device=device) - middles[..., 1:]
    bells_x = torch.exp(-(xs**2) / (2 * sigma**2))
    bells_y = torch.exp(-(ys**2) / (2 * sigma**2)) * peaks[..., None]
    return bells_y[..., :, None] * bells_x[..., None, :]


def _middles(people: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which boxes (N, P) are there, their middles (N, P, 2) and sizes, in cells."""
    there = people.any(dim=-1)
    middles = (people[..., :2] + people[..., 2:]) / 2 / STRIDE - 0.5
    return there, middles, (people[..., 2:] - people[..., :2]) / STRIDE


def centre_loss(logits: Tensor, people: Tensor, ignored: Tensor) -> Tensor:
    """Return the focal loss of centres (Zhou et al., Objects as Points, 2019), per person.

    Args:
        logits: (N, h, w).
        people: (N, P, 4) xyxy in pixels of the input, zeros where there is none.
        ignored: (N, K, 4) boxes in which nothing is wrong.
    """
    there, middles, sizes = _middles(people)
    height, width = logits.shape[1:]
    xs = torch.arange(width, device=logits.device, dtype=torch.float32)
    ys = torch.arange(height, device=logits.device, dtype=torch.float32)
    # As wide as the person: an eighth of the side.
    spread = (sizes / 8).clamp(min=0.7)
    bells_x = torch.exp(-((xs - middles[..., :1]) ** 2) / (2 * spread[..., :1] ** 2))
    bells_y = torch.exp(-((ys - middles[..., 1:]) ** 2) / (2 * spread[..., 1:] ** 2))
    bells = bells_y[..., :, None] * bells_x[..., None, :] * there[..., None, None]
    target = bells.amax(dim=1)
    cells = middles.round().long()
    rows, persons = there.nonzero(as_tuple=True)
    x = cells[rows, persons, 0].clamp(0, width - 1)
    y = cells[rows, persons, 1].clamp(0, height - 1)
    is_centre = torch.zeros_like(target, dtype=torch.bool)
    is_centre[rows, y, x] = True
    low, high = ignored[..., :2] / STRIDE, ignored[..., 2:] / STRIDE
    in_x = (xs >= low[..., :1] - 0.5) & (xs <= high[..., :1] - 0.5)
    in_y = (ys >= low[..., 1:] - 0.5) & (ys <= high[..., 1:] - 0.5)
    free = (in_y[..., :, None] & in_x[..., None, :]).any(dim=1) & ~is_centre
    chance = torch.sigmoid(logits)
    positive = (1 - chance) ** 2 * F.logsigmoid(logits)
    negative = (1 - target) ** 4 * chance**2 * F.logsigmoid(-logits)
    total = torch.where(is_centre, positive, torch.where(free, 0.0, negative))
    return -total.sum() / max(1, len(rows))


def box_loss(sides: Tensor, people: Tensor) -> Tensor:
    """Return one minus the generalised IoU of boxes at the cells around each centre.

    Args:
        sides: (N, 4, h, w), see ``FinderNet``.
        people: (N, P, 4) xyxy in pixels of the input, zeros where there is none.
    """
    there, middles, _ = _middles(people)
    rows, persons = there.nonzero(as_tuple=True)
    if not len(rows):
        return sides.sum() * 0.0
    height, width = sides.shape[2:]
    boxes, truth, cells = box_sides(sides), people[rows, persons], middles.round().long()
    losses = []
    for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        x = (cells[rows, persons, 0] + dx).clamp(0, width - 1)
        y = (cells[rows, persons, 1] + dy).clamp(0, height - 1)
        losses.append(1 - generalised_iou(boxes[rows, :, y, x], truth))
    return torch.stack(losses).mean()


def box_areas(boxes: Tensor) -> Tensor:
    """Return the areas (...) of boxes (..., 4) xyxy, 0 for those whose sides have crossed."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def shared_areas(first: Tensor, second: Tensor) -> Tensor:
    """Return the areas (...) that boxes (..., 4) xyxy have in common."""
    low = torch.maximum(first[..., :2], second[..., :2])
    return box_areas(torch.cat([low, torch.minimum(first[..., 2:], second[..., 2:])], -1))


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return (A,) generalised IoU of boxes (A, 4)."""
    both = shared_areas(first, second)
    either = box_areas(first) + box_areas(second) - both
    low = torch.minimum(first[:, :2], second[:, :2])
    hull = box_areas(torch.cat([low, torch.maximum(first[:, 2:], second[:, 2:])], -1))
    return both / either.clamp(min=1e-6) - (hull - either) / hull.clamp(min=1e-6)
