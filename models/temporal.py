"""Multi-scale temporal convolution (MS-G3D, Liu et al. 2020; CTR-GCN, Chen et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _reduce(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_dim, out_dim, 1), nn.BatchNorm2d(out_dim), nn.ReLU(inplace=True)
    )


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
            padding = (kernel_size - 1) * dilation // 2
            conv = nn.Conv2d(
                width, width, (kernel_size, 1), padding=(padding, 0), dilation=(dilation, 1)
            )
            branches.append(nn.Sequential(_reduce(in_dim, width), conv, nn.BatchNorm2d(width)))
        pool = nn.MaxPool2d((3, 1), stride=1, padding=(1, 0))
        branches.append(nn.Sequential(_reduce(in_dim, width), pool, nn.BatchNorm2d(width)))
        branches.append(nn.Sequential(nn.Conv2d(in_dim, width, 1), nn.BatchNorm2d(width)))
        self.branches = nn.ModuleList(branches)
        self.residual: nn.Module = (
            nn.Identity()
            if in_dim == out_dim
            else nn.Sequential(nn.Conv2d(in_dim, out_dim, 1), nn.BatchNorm2d(out_dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D_in, T, V) to (B, D_out, T, V)."""
        joined = torch.cat([branch(x) for branch in self.branches], dim=1)
        return torch.relu(joined + self.residual(x))
