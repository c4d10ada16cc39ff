"""A flight to its factors: one encoder, and a head for each factor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..pose_extract.layout import KeypointLayout
from .tube import TubeEncoder

# The factors of a flight and how many values each has: half somersaults and half twists from 0 on;
# straight, pike, tuck, free; yes or no: rotates towards the chest, with the head first to where it
# flies, and whether the flight is seen as a whole.
FACTORS = {
    "half_somersaults": 10, "half_twists": 10, "position": 4, "forward": 2, "travel": 2, "whole": 2
}  # fmt: skip


class FlightFactorNet(nn.Module):
    """The tube encoder, its mean over joints and time, and a linear head for each factor.

    Args:
        layout: Keypoints and bones.
        in_channels: C of each joint.
        fold: Steps of time that the encoder takes as one, their channels side by side.
        num_facts: S, numbers about the flight as a whole.
        widths, strides, num_heads: See :class:`TubeEncoder`.
        hidden: Width of the layer that the heads share.
        dropout: Share of the pooled features dropped while training.
    """

    def __init__(
        self,
        layout: KeypointLayout,
        *,
        in_channels: int,
        num_facts: int,
        fold: int,
        widths: Sequence[int],
        strides: Sequence[int],
        num_heads: int,
        hidden: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.fold = fold
        self.encoder = TubeEncoder(layout, fold * in_channels, widths, strides, num_heads)
        self.shared = nn.Sequential(
            nn.Linear(widths[-1] + num_facts, hidden), nn.ReLU(), nn.Dropout(dropout)
        )
        self.heads = nn.ModuleList(nn.Linear(hidden, count) for count in FACTORS.values())

    def load_pretrained(self, mae: nn.Module) -> None:
        """Copy the encoder; see :meth:`TubeEncoder.load_pretrained`."""
        self.encoder.load_pretrained(mae, "the network of flights")

    def forward(self, joints: Tensor, facts: Tensor) -> dict[str, Tensor]:
        """Read flights.

        Args:
            joints: (N, T, V, C), T a multiple of ``fold``; a joint at (0, 0) is missing.
            facts: (N, S).

        Returns:
            Logits (N, K) of each of ``FACTORS``.
        """
        # (N, T, V, C) -> (N, T/f, V, fC)
        folded = joints.unflatten(1, (-1, self.fold)).transpose(2, 3).flatten(3)
        pooled = self.encoder(folded).mean(dim=(1, 2))
        features = self.shared(torch.cat([pooled, facts], dim=1))
        return {name: head(features) for name, head in zip(FACTORS, self.heads)}
