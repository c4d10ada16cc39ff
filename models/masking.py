"""Masks of masked autoencoders: body parts (Yan et al. 2023), random joints, tubes over time."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .. import SkelactError
from ..pose_extract.layout import KeypointLayout

# Of the softmax over the motion of parts; that of Mao et al. 2023.
_TEMPERATURE = 0.8


def _part_matrix(layout: KeypointLayout, device: torch.device | str) -> Tensor:
    """Return (R, V) bool: the keypoints of each of the R body parts."""
    matrix = torch.zeros(len(layout.parts), layout.num_keypoints, dtype=torch.bool, device=device)
    for row, inds in enumerate(layout.parts.values()):
        matrix[row, list(inds)] = True
    return matrix


def _part_rows(layout: KeypointLayout, parts: Sequence[str]) -> list[int]:
    names = list(layout.parts)
    for part in parts:
        if part not in names:
            close = difflib.get_close_matches(part, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SkelactError(f"unknown body part {part!r}; known: {', '.join(names)}{hint}")
    if not 0 < len(set(parts)) < len(names):
        raise SkelactError(
            f"masked parts: expected 1 to {len(names) - 1} of {', '.join(names)}, "
            f"got {', '.join(parts) or 'none'}"
        )
    return [names.index(part) for part in parts]


def part_mask(
    batch_size: int,
    layout: KeypointLayout,
    *,
    parts: Sequence[str] = (),
    num_parts: tuple[int, int] = (1, 3),
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Hide body parts; never all of them.

    Args:
        batch_size: B, number of masks.
        layout: Its ``parts`` are V0..V5 of the paper.
        parts: Names of the parts to hide in every sample; empty draws them at random.
        num_parts: Minimum and maximum number of parts drawn per sample, if ``parts`` is empty.
        generator: Random state on ``device``.
        device: Device of the mask.

    Returns:
        (B, V) bool, True where hidden.

    Raises:
        SkelactError: for an unknown part, or if no part or all parts would be hidden.
    """
    matrix = _part_matrix(layout, device)
    total = len(matrix)
    if parts:
        hidden = matrix[_part_rows(layout, parts)].any(dim=0)
        return hidden.expand(batch_size, -1).clone()
    low, high = num_parts
    if not 1 <= low <= high < total:
        raise SkelactError(
            f"num_parts: expected 1 <= minimum <= maximum < {total}, got {low} to {high}"
        )
    count = torch.randint(low, high + 1, (batch_size, 1), generator=generator, device=device)
    order = torch.rand(batch_size, total, generator=generator, device=device).argsort(dim=1)
    chosen = order.argsort(dim=1) < count  # (B, R): ranks below the count
    return (chosen.float() @ matrix.float()) > 0


def joint_mask(
    batch_size: int,
    num_keypoints: int,
    ratio: float,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Hide ``round(ratio * V)`` random joints, at least one and never all.

    Returns:
        (B, V) bool, True where hidden.

    Raises:
        SkelactError: unless 0 < ratio < 1.
    """
    if not 0 < ratio < 1:
        raise SkelactError(f"mask ratio: expected a share between 0 and 1, got {ratio}")
    count = min(max(round(ratio * num_keypoints), 1), num_keypoints - 1)
    noise = torch.rand(batch_size, num_keypoints, generator=generator, device=device)
    return noise.argsort(dim=1).argsort(dim=1) < count


def tube_mask(
    batch_size: int,
    num_frames: int,
    layout: KeypointLayout,
    ratio: float,
    *,
    tube_frames: int = 16,
    kind: Literal["part", "joint"] = "part",
    moved: Tensor | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Hide body parts, or joints, over spans of frames.

    With ``moved``, ``ratio`` of the parts are hidden in each span, rather those that move much
    (motion-aware masking of Mao et al., ICCV 2023, "Masked motion predictors").

    Args:
        batch_size: B, number of masks.
        num_frames: T.
        layout: Keypoints and body parts.
        ratio: Probability that a part (or joint) is hidden in a span.
        tube_frames: Frames of a span; the first span may begin before the clip.
        kind: Whether body parts or joints are hidden.
        moved: (B, T, V) float32, how far each joint moves from the frame before; None takes no
            notice of it.
        generator: Random state on ``device``.
        device: Device of the mask.

    Returns:
        (B, T, V) bool, True where hidden.

    Raises:
        SkelactError: unless 0 < ratio < 1 and ``tube_frames`` is at least 1.
    """
    if not 0 < ratio < 1 or tube_frames < 1:
        raise SkelactError(
            "tubes: expected a ratio between 0 and 1 and at least 1 frame, got "
            f"{ratio} and {tube_frames}"
        )
    matrix = (
        _part_matrix(layout, device)
        if kind == "part"
        else torch.eye(layout.num_keypoints, dtype=torch.bool, device=device)
    )
    # One span more than fits, so that the grid of spans can begin anywhere.
    spans = -(-num_frames // tube_frames) + 1
    shape = (batch_size, spans, len(matrix))
    drawn = torch.rand(shape, generator=generator, device=device)
    start = torch.randint(tube_frames, (batch_size, 1), generator=generator, device=device)
    span = (start + torch.arange(num_frames, device=device)) // tube_frames  # (B, T)
    if moved is None:
        hidden = drawn < ratio
    else:
        amounts = _motion_of_spans(moved @ matrix.T.float() / matrix.sum(dim=1), span, spans)
        # The greatest sums of a logit and Gumbel noise: draws without replacement by softmax.
        gumbel = -(-drawn.clamp(min=1e-20).log()).log()
        rank = (amounts / _TEMPERATURE + gumbel).argsort(dim=-1, descending=True).argsort(dim=-1)
        hidden = rank < min(max(round(ratio * len(matrix)), 1), len(matrix) - 1)
    per_span = (hidden.float() @ matrix.float()) > 0  # (B, S, V)
    return torch.take_along_dim(per_span, span.unsqueeze(-1), dim=1)


def _motion_of_spans(moved: Tensor, span: Tensor, spans: int) -> Tensor:
    """Return the mean motion (B, S, R) of parts (B, T, R) in spans, in units of the clip's mean."""
    index = span.unsqueeze(-1).expand_as(moved)
    total = moved.new_zeros(len(moved), spans, moved.shape[2]).scatter_add(1, index, moved)
    frames = torch.nn.functional.one_hot(span, spans).sum(dim=1).clamp(min=1)  # (B, S)
    usual = moved.mean(dim=(1, 2)).clamp(min=1e-6)
    return total / frames.unsqueeze(-1) / usual.view(-1, 1, 1)
