"""What a detector learns from its teacher's outputs and from labels: scores and boxes per cell.

The teacher sees an image upright. Where the image is rotated for the network that learns, the
teacher's boxes rotate with it. No record says how the thresholds here were chosen, where none is
given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pose_extract.nets.rtmdet import STRIDES, cell_boxes, level_boxes
from .losses import box_areas, generalised_iou, shared_areas
from .warp import rotation_matrices

# Cells whose target score is higher learn boxes too.
_BOX_SCORE = 0.1
# The teacher has seen a labelled person if one of its boxes has this score and this IoU with them.
_SEEN_SCORE = 0.25
_SEEN_IOU = 0.5
# Least target score of labelled people whom the teacher has seen.
_LABEL_SCORE = 0.7
# Target score in the middle of labelled people whom the teacher has missed, who may be hidden. It
# is half of that at a distance of so many cells, and nothing is asked of cells beyond.
_MISSED_SCORE = 0.5
_HALF_DISTANCE = 1.5
# People smaller than this (square root of the box's area, pixels) belong to the first levels, as do
# most of those whom RTMDet-nano sees.
_LEVEL_SIZES = (48.0, 90.0)
# A box with this share of its area inside a missed person's box is a part of that person.
_PART_SHARE = 0.8
# A cell of a rotated image takes the best score of the cells that lay this near, in cells: with
# more than half of a cell's diagonal none is lost between the cells.
_NEAR = 0.75


def rotate_images(x: Tensor, degrees: Tensor, fill: Tensor) -> Tensor:
    """Return images (N, 3, S, S) rotated clockwise about their middles.

    Args:
        x: In units of 0 to 255.
        degrees: (N,).
        fill: (N,) brightness of the corners that come into view.
    """
    theta = F.pad(rotation_matrices(-degrees), (0, 1))
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    fill = fill[:, None, None, None]
    return F.grid_sample(x - fill, grid, align_corners=True) + fill


def unrotated_cells(size: int, stride: int, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the cells of a rotated image lie in the image before rotation.

    Args:
        size: Cells along a side.
        stride: Pixels from cell to cell.
        degrees: (N,) by which the image is rotated, clockwise.

    Returns:
        Columns and rows (N, size, size, 2) in cells, and which of them lie inside (N, size, size).
    """
    middle = (size * stride - 1) / 2
    steps = torch.arange(size, device=degrees.device, dtype=torch.float32) * stride - middle
    cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
    where = (
        cells.reshape(1, -1, 2) @ rotation_matrices(-degrees).transpose(1, 2) + middle
    ) / stride
    where = where.unflatten(1, (size, size))
    return where, ((where > -0.5) & (where < size - 0.5)).all(dim=-1)


def rotated_targets(heads: Sequence[Tensor], degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return a detector's scores and boxes as they are after its image was rotated.

    Args:
        heads: Per level (N, 5, h, h), as ``RTMDetNano`` gives them for the image before.
        degrees: (N,) by which the image is rotated, clockwise.

    Returns:
        The score of each cell of the rotated image (N, K), NaN where nothing is known, and its box
        (N, K, 4) xyxy in pixels: the one around the rotated ellipse of the box.
    """
    scores, boxes = [], []
    side = heads[0].shape[-1] * STRIDES[0]
    middle = (side - 1) / 2
    back = rotation_matrices(-degrees)
    forth = back.transpose(1, 2)
    for stride, level in zip(STRIDES, heads):
        score, cell = _best_near(torch.sigmoid(level[:, 0].float()), stride, degrees)
        scores.append(score)
        before = cell_boxes(level.float(), stride)
        low, high = before.gather(1, cell[..., None].expand(-1, -1, 4)).split(2, dim=-1)
        center = ((low + high) / 2 - middle) @ back + middle
        reach = ((forth[:, None] * ((high - low) / 2)[:, :, None]) ** 2).sum(-1).sqrt()
        boxes.append(torch.cat([center - reach, center + reach], -1).clamp(0, side))
    return torch.cat(scores, 1), torch.cat(boxes, 1)


def _best_near(scores: Tensor, stride: int, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each cell of a rotated image the best score of the cells that lay near.

    Args:
        scores: (N, h, h) of the image before rotation; NaN where nothing is known.
        stride: Pixels from cell to cell.
        degrees: (N,) by which the image is rotated, clockwise.

    Returns:
        The score (N, h h): NaN where nothing is known and no person is seen near, 0 outside the
        image; and the cell that has it, (N, h h).
    """
    size = scores.shape[-1]
    where, inside = unrotated_cells(size, stride, degrees)
    steps = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=where.device)
    corners = where.flatten(1, 2).floor()[:, :, None] + steps  # (N, h h, 4, 2)
    distance = torch.linalg.vector_norm(corners - where.flatten(1, 2)[:, :, None], dim=-1)
    column, row = corners.long().clamp(0, size - 1).unbind(-1)
    cells = row * size + column
    found = scores.flatten(1).gather(1, cells.flatten(1)).view(cells.shape)
    best, corner = found.nan_to_num(0.0).masked_fill(distance > _NEAR, -1.0).max(dim=-1)
    nearest = found.gather(2, distance.argmin(dim=-1, keepdim=True))[..., 0]
    best = torch.where(nearest.isnan() & (best < _SEEN_SCORE), torch.nan, best)
    best = torch.where(inside.flatten(1), best, 0.0)
    return best, cells.gather(2, corner[..., None])[..., 0]


def join_labels(heads: Sequence[Tensor], people: Tensor, ignored: Tensor) -> list[Tensor]:
    """Return a teacher's outputs corrected by labels.

    The teacher sees an image once, the labels come of several views along a track. A person whom
    both have is one. An athlete in flight may be missed by the teacher, or be half a body to it,
    and a person to the labels.

    Args:
        heads: Per level (N, 5, h, h), as ``RTMDetNano`` gives them.
        people: (N, P, 4) xyxy in pixels, zeros where there is none; P is at least 1.
        ignored: (N, I, 4), boxes that may hold a person.

    Returns:
        The same, with logits of at least ``_LABEL_SCORE`` for the best cell of each of the people
        who were seen, and higher ones around it; with ``_MISSED_SCORE`` in the middle of those who
        were missed; with their boxes there, and where a part of them was seen; with NaN for the
        other logits in their boxes, and in those ignored.
    """
    heads = [head.float() for head in heads]
    boxes, logits = level_boxes(heads)
    scores = torch.sigmoid(logits)
    cells, strides = _cells(heads)
    is_person = people.any(dim=-1)
    shared, areas = shared_areas(people[:, :, None], boxes[:, None]), box_areas(boxes)
    either = box_areas(people)[..., None] + areas[:, None] - shared
    own = (shared >= _SEEN_IOU * either) & is_person[..., None]  # (N, P, K)
    peak = (own * scores[:, None]).amax(dim=2)
    missed = is_person & (peak < _SEEN_SCORE)
    factor = torch.where(is_person & ~missed, (_LABEL_SCORE / peak).clamp(min=1.0), 1.0)
    raised = scores * torch.where(own, factor[..., None], 1.0).amax(dim=1)
    logit = torch.where(raised > scores + 1e-3, torch.logit(raised.clamp(max=1 - 1e-6)), logits)
    unknown = _inside(cells, people, missed) | _inside(cells, ignored, ignored.any(dim=-1))
    logit = torch.where(unknown & (raised < _SEEN_SCORE), torch.nan, logit)

    share, person = (shared * missed[..., None]).max(dim=1)
    is_part = (share > 0) & (share >= _PART_SHARE * areas)
    changed = (raised >= _SEEN_SCORE) & ~own.any(dim=1) & is_part
    middle, nearest = (_middle_scores(people, cells, strides) * missed[..., None]).max(dim=1)
    is_middle = (middle > 0) & ~(torch.sigmoid(logit) >= middle)
    logit = torch.where(is_middle, torch.logit(middle), logit)
    person, changed = torch.where(is_middle, nearest, person), changed | is_middle
    box = people.gather(1, person[..., None].expand(-1, -1, 4))
    sides = torch.cat([cells - box[..., :2], box[..., 2:] - cells], -1) / strides[:, None]
    return _with(heads, logit, sides, changed)


def _inside(cells: Tensor, boxes: Tensor, counted: Tensor) -> Tensor:
    """Return which cells (K, 2) lie in any of the boxes (N, P, 4) that count (N, P): (N, K)."""
    low, high = boxes[:, :, None].split(2, dim=-1)
    inside = ((cells >= low) & (cells <= high)).all(dim=-1)
    return (inside & counted[..., None]).any(dim=1)


def _with(heads: Sequence[Tensor], logits: Tensor, sides: Tensor, changed: Tensor) -> list[Tensor]:
    """Return levels with other logits (N, K), and other sides (N, K, 4) where changed (N, K)."""
    levels = [head[0, 0].numel() for head in heads]
    joined = []
    for head, logit, new, is_new in zip(
        heads, logits.split(levels, 1), sides.split(levels, 1), changed.split(levels, 1)
    ):
        distances = torch.where(is_new[:, None], new.transpose(1, 2), head[:, 1:].flatten(2))
        joined.append(torch.cat([logit[:, None], distances], 1).view(head.shape))
    return joined


def _cells(heads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the corners (K, 2) xy in pixels of the cells of all levels, and their strides (K,)."""
    cells, strides = [], []
    for stride, head in zip(STRIDES, heads):
        steps = torch.arange(head.shape[-1], device=head.device) * float(stride)
        cells.append(torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).flatten(0, 1))
        strides.append(torch.full((len(cells[-1]),), float(stride), device=head.device))
    return torch.cat(cells), torch.cat(strides)


def _middle_scores(people: Tensor, cells: Tensor, strides: Tensor) -> Tensor:
    """Return target scores of cells (K, 2) for people (N, P, 4) xyxy who were missed: (N, P, K)."""
    low, high = people.split(2, dim=-1)
    sizes = (high - low).prod(dim=-1).sqrt()
    level = torch.bucketize(sizes, torch.tensor(_LEVEL_SIZES, device=sizes.device))
    steps = cells - (low + high)[:, :, None] / 2
    distance = torch.linalg.vector_norm(steps, dim=-1) / strides
    score = _MISSED_SCORE * 0.5 ** ((distance / _HALF_DISTANCE) ** 2)
    is_level = strides == torch.tensor(STRIDES, device=strides.device)[level][..., None]
    return torch.where(is_level & (distance <= _HALF_DISTANCE), score, 0.0)


def detection_losses(
    heads: Sequence[Tensor], scores: Tensor, boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the losses of scores and boxes.

    Scores have the quality focal loss (Li et al., Generalized Focal Loss, NeurIPS 2020), with some
    weight for every cell on a person; boxes have the generalised IoU and the error of their sides
    over the box's size.

    Args:
        heads: As ``RTMDetNano`` gives them.
        scores: (N, K), target scores; NaN where nothing is known.
        boxes: (N, K, 4), target boxes xyxy in pixels.
    """
    found, logits = level_boxes(heads)
    known = ~scores.isnan()
    scores = scores.nan_to_num()
    weight = (torch.sigmoid(logits) - scores).square().detach() + 0.02 * scores
    error = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    loss_score = (weight * error * known).sum() / scores.sum().clamp(min=1.0)
    on_person = scores > _BOX_SCORE
    if not on_person.any():
        return loss_score, found.sum() * 0.0
    guess, truth = found[on_person], boxes[on_person]
    sides = (truth[:, 2:] - truth[:, :2]).clamp(min=4.0).repeat(1, 2)
    # The overlap alone cannot mend a box whose right side lies left of its left one.
    unlike = 1 - generalised_iou(guess, truth) + ((guess - truth) / sides).abs().mean(dim=1)
    return loss_score, (unlike * scores[on_person]).sum() / scores[on_person].sum()
