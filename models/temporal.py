"""Multi-scale temporal convolution (MS-G3D, Liu et al. 2020; CTR-GCN, Chen et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .channels_first import ChannelNorm, TimeConv, TimeMax


def _reduce(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(TimeConv(in_dim, out_dim), ChannelNorm(out_dim), nn.ReLU())


class MultiScaleTemporalConv(nn.Module):
    """Branches with different receptive fields in time, concatenated along the channels.

    One branch per dilation, one max-pooling branch and one 1x1 branch have equal shares of the
    output width; the input is added as a residual, through a 1x1 convolution if the widths differ.

    Args:
        in_dim: D_in.
        out_dim: D_out, a multiple of the number of branches.
        kernel_size: Kernel over time of the dilated branches.
        dilations: Dilations, one branch each.

    Raises:
        ValueError: if ``out_dim`` is no multiple of the number of branches.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel_size: int = 5,
        dilations: Sequence[int] = (1, 2),
    ) -> None:
        super().__init__()
        num_branches = len(dilations) + 2
        if out_dim % num_branches:
            raise ValueError(
                f"out_dim: expected a multiple of {num_branches} branches, got {out_dim}"
            )
        width = out_dim // num_branches
        branches: list[nn.Module] = []
        for dilation in dilations:
            conv = TimeConv(width, width, kernel_size, dilation=dilation)
            branches.append(nn.Sequential(_reduce(in_dim, width), conv, ChannelNorm(width)))
        branches.append(nn.Sequential(_reduce(in_dim, width), TimeMax(), ChannelNorm(width)))
        branches.append(nn.Sequential(TimeConv(in_dim, width), ChannelNorm(width)))
        self.branches = nn.ModuleList(branches)
        self.residual: nn.Module = (
            nn.Identity()
            if in_dim == out_dim
            else nn.Sequential(TimeConv(in_dim, out_dim), ChannelNorm(out_dim))
        )

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, T, B, V) to (D_out, T, B, V)."""
        joined = torch.cat([branch(h) for branch in self.branches])
        return torch.relu(joined + self.residual(h))
