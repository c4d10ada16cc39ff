"""The reconstruction error of SkeletonMAE (Eq. 2), in both of its written forms."""

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
        target: (B, V, D) features x to be rebuilt.
        mask: (B, V) bool, True where hidden; each sample has at least one.
        beta: Power; above 1 it lowers the weight of joints that are nearly right.
        form: "paper" or "mean".

    Raises:
        ValueError: if a sample hides no joint, or ``form`` is another.
    """
    if form not in ("paper", "mean"):
        raise ValueError(f"form: expected 'paper' or 'mean', got {form!r}")
    hidden = mask.sum(dim=1)  # (B,)
    if bool((hidden == 0).any()):
        raise ValueError("mask: expected at least one hidden joint per sample, got a sample with 0")
    cosine = F.cosine_similarity(reconstruction.float(), target.float(), dim=-1)  # (B, V)
    # Rounding can put the cosine above 1; a negative base has no real power.
    error = (1.0 - cosine).clamp(min=0.0) ** beta * mask
    power = beta if form == "paper" else 1.0
    return (error.sum(dim=1) / hidden.float() ** power).mean()
