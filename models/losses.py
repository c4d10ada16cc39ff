"""Reconstruction losses: of SkeletonMAE (Yan et al. 2023, Eq. 2) and of tubes."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(
    reconstruction: Tensor,
    target: Tensor,
    mask: Tensor,
    *,
    beta: float = 2.0,
    form: Literal["paper", "mean"] = "paper",
) -> Tensor:
    """Return the mean over samples of the re-weighted cosine error on the hidden joints.

    Eq. 2 as printed, "paper", has 1/|V| inside the power:
    ``sum_i (1/|V| - cos_i/|V|)**beta``; this is ``|V|**(1 - beta)`` times "mean", GraphMAE's
    scaled cosine error ``1/|V| sum_i (1 - cos_i)**beta``. |V| counts the hidden joints of the
    sample.

    Args:
        reconstruction: (B, V, D) decoder output y.
        target: (B, V, D) features x to reconstruct.
        mask: (B, V) bool, True where hidden; each sample has at least one.
        beta: Power; above 1 it lowers the weight of joints with a small error.
        form: "paper" or "mean".

    Raises:
        ValueError: if a sample hides no joint, or for another ``form``.
    """
    if form not in ("paper", "mean"):
        raise ValueError(f"form: expected 'paper' or 'mean', got {form!r}")
    hidden = mask.sum(dim=1)  # (B,)
    if bool((hidden == 0).any()):
        raise ValueError("mask: expected at least one hidden joint per sample, got a sample with 0")
    cosine = F.cosine_similarity(reconstruction[mask].float(), target[mask].float(), dim=-1)
    # Rounding can put the cosine above 1; a negative base has no real power.
    error = (1.0 - cosine).clamp(min=0.0) ** beta
    power = beta if form == "paper" else 1.0
    weight = (hidden.float() ** -power).unsqueeze(1).expand_as(mask)[mask]
    return (error * weight).sum() / len(mask)


def tube_loss(
    positions: Tensor,
    motion: Tensor,
    target: Tensor,
    hidden: Tensor,
    *,
    position_weight: float = 1.0,
    motion_weight: float = 1.0,
) -> Tensor:
    """Return the reconstruction loss of tubes: mean squared distance of positions and of motion.

    Motion is divided by its root mean square over the clip, so that slow and fast clips weigh
    alike. Missing joints do not count.

    Args:
        positions: (B, T, V, 2) reconstructed coordinates.
        motion: (B, T, V, 2) reconstructed motion from the frame before, in units of that root mean
            square.
        target: (B, T, V, 2) true coordinates; (0, 0) is a missing joint.
        hidden: (B, T, V) bool, True where hidden.
        position_weight: Weight of the positions' loss.
        motion_weight: Weight of the motion's loss.

    Returns:
        The loss; 0 if all hidden joints are missing.
    """
    positions, motion, target = positions.float(), motion.float(), target.float()
    present = (target != 0).any(dim=-1)
    true_motion, moved = differences(target, present)
    count = moved.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    unit = (true_motion.square().sum(dim=(1, 2, 3), keepdim=True) / count.unsqueeze(-1)).sqrt()
    distance = (positions - target).square().sum(dim=-1)
    motion_error = (motion - true_motion / (unit + 1e-3)).square().sum(dim=-1)

    return position_weight * mean_where(distance, hidden & present) + motion_weight * mean_where(
        motion_error, hidden & moved
    )


def differences(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return changes from the frame before, and where they are known.

    Args:
        values: (B, T, ..., K).
        known: (B, T, ...) bool.

    Returns:
        (B, T, ..., K), zeros where one of the two is not known, and (B, T, ...) bool.
    """
    both = known.clone()
    both[:, 1:] &= known[:, :-1]
    both[:, 0] = False
    return (values - values.roll(1, dims=1)) * both.unsqueeze(-1), both


def mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of values with weights of the same shape, or where a mask is; 0 of none."""
    return (values * where).sum() / where.sum().clamp(min=1)
