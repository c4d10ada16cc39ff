"""ST-GCN++ (Duan et al. 2022, "PYSKL", Sec. 3): the supervised baseline.

Written from the paper: ten blocks, three partitions of the bones with a learnt adjacency, a
residual around the spatial part, and six branches over time. Equal operations are joined:
neighbours are summed before the convolution, and the branches share their first convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pose_extract.layout import KeypointLayout
from .classifier import SkeletonClassifier


def _partitions(layout: KeypointLayout) -> Tensor:
    """Return (3, V, V): itself, inward and outward bones, columns normalised (ST-GCN, Yan 2018)."""
    count = layout.num_keypoints
    inward = torch.zeros(count, count)
    for joint, parent in enumerate(layout.parents().tolist()):
        if joint != parent:
            inward[parent, joint] = 1.0
    kinds = [torch.eye(count), inward, inward.T]
    return torch.stack([kind / kind.sum(dim=0, keepdim=True).clamp(min=1) for kind in kinds])


def _subsample(x: Tensor, stride: int) -> Tensor:
    """Keep every ``stride``-th frame of (B, D, T, V).

    In place of a strided convolution: torch 2.13 writes past its memory in the backward pass of a
    1x1 convolution with a stride, channels last, on a CPU.
    """
    return x[:, :, ::stride] if stride > 1 else x


class _SpatialGraph(nn.Module):
    """Graph convolution with a learnt adjacency, started as the bones, and a residual."""

    def __init__(self, layout: KeypointLayout, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(_partitions(layout))
        self.conv = nn.Conv2d(3 * in_dim, out_dim, 1)
        self.norm = nn.BatchNorm2d(out_dim)
        self.down: nn.Module = (
            nn.Identity()
            if in_dim == out_dim
            else nn.Sequential(nn.Conv2d(in_dim, out_dim, 1), nn.BatchNorm2d(out_dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D_in, T, V) to (B, D_out, T, V)."""
        rows = x.permute(0, 2, 3, 1)  # (B, T, V, D_in)
        # The sums over neighbours of the three partitions. Both sides have four axes: otherwise
        # matmul would transpose the larger one, which costs a copy.
        adjacency = self.adjacency.permute(2, 0, 1).flatten(0, 1).to(x.dtype)
        sums = adjacency[None, None] @ rows  # (1, 1, 3V, V) @ (B, T, V, D_in)
        sums = sums.unflatten(2, (-1, 3)).flatten(3).permute(0, 3, 1, 2)  # (B, 3 D_in, T, V)
        return F.relu(self.norm(self.conv(sums)) + self.down(x), inplace=True)


class TemporalBranches(nn.Module):
    """Six branches over time: kernel 3 at dilations 1 to 4, max pooling, and a 1x1 convolution.

    The first five share the 1x1 convolution that reduces their width.
    """

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        width = dim // 6
        self.widths = [dim - 5 * width, *[width] * 4]
        self.narrow = nn.Sequential(
            nn.Conv2d(dim, dim - width, 1), nn.BatchNorm2d(dim - width), nn.ReLU(inplace=True)
        )
        self.over_time = nn.ModuleList(
            nn.Conv2d(out, out, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))
            for dilation, out in zip((1, 2, 3, 4), self.widths)
        )
        self.over_time.append(nn.MaxPool2d((3, 1), (stride, 1), (1, 0)))
        self.stride = stride
        self.frame = nn.Conv2d(dim, width, 1)
        self.transform = nn.Sequential(
            nn.BatchNorm2d(dim), nn.ReLU(inplace=True), nn.Conv2d(dim, dim, 1)
        )
        self.norm = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, T, V) to (B, D, T / stride, V)."""
        out: Tensor = self.norm(self.transform(self.joined(x)))
        return out

    def joined(self, x: Tensor) -> Tensor:
        """Return what the branches give side by side, (B, D, T / stride, V)."""
        parts = self.narrow(x).split(self.widths, dim=1)
        branches = [layer(part) for layer, part in zip(self.over_time, parts)]
        branches.append(self.frame(_subsample(x, self.stride)))
        return torch.cat(branches, dim=1)


class Block(nn.Module):
    """One block: graph, time, and a residual around both.

    Args:
        graph: Maps (B, D_in, T, V) to (B, D_out, T, V).
        time: Maps (B, D_out, T, V) to (B, D_out, T / stride, V).
        in_dim: D_in.
        out_dim: D_out.
        stride: Of each so many frames one is left.
        residual: Whether there is one.
    """

    def __init__(
        self,
        graph: nn.Module,
        time: nn.Module,
        in_dim: int,
        out_dim: int,
        stride: int,
        residual: bool,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.time = time
        self.has_residual = residual
        self.stride = stride
        self.residual: nn.Module = (
            nn.Identity()
            if (in_dim == out_dim and stride == 1) or not residual
            else nn.Sequential(nn.Conv2d(in_dim, out_dim, 1), nn.BatchNorm2d(out_dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D_in, T, V) to (B, D_out, T / stride, V)."""
        return self.over_time(self.graph(x), x)

    def over_time(self, h: Tensor, x: Tensor) -> Tensor:
        """Map what the graph gave for ``x``, (B, D_out, T, V), to (B, D_out, T / stride, V)."""
        out: Tensor = self.time(h)
        return F.relu(out + self.residual(_subsample(x, self.stride)) if self.has_residual else out)


def ten_blocks(
    graph: Callable[[int, int], nn.Module],
    in_channels: int,
    base_width: int,
    time: Callable[[int, int], nn.Module] = TemporalBranches,
) -> list[Block]:
    """Return the ten blocks of ST-GCN++ and of what is built like it.

    The first four have ``base_width`` channels, the next three twice as many at half of the frames,
    the last three four times as many at a quarter of the frames.

    Args:
        graph: Makes the part over the joints, for D_in and D_out channels.
        in_channels: Of the first block.
        base_width: Channels of the first blocks.
        time: Makes the part over time, for D_out channels and a stride.
    """
    blocks, width_in = [], in_channels
    for i in range(10):
        width = base_width * (1 if i < 4 else 2 if i < 7 else 4)
        stride = 2 if i in (4, 7) else 1
        blocks.append(
            Block(
                graph(width_in, width),
                time(width, stride),
                width_in,
                width,
                stride,
                residual=i > 0,
            )
        )
        width_in = width
    return blocks


def as_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """Return clips (B, T, V, C) as (B, C, T, V), normalised over each (V, C) channel.

    In channels-last memory, which is faster on CPUs.
    """
    flat = norm(x.flatten(2).transpose(1, 2)).transpose(1, 2)
    channels: Tensor = flat.unflatten(2, x.shape[2:]).contiguous().permute(0, 3, 1, 2)
    return channels


class STGCNClassifier(SkeletonClassifier):
    """ST-GCN++ and a linear classifier.

    Args:
        layout: Keypoints and bones.
        num_classes: Number of actions.
        in_channels: C.
        num_person: M; people share the network.
        clip_len: T.
        base_width: See :func:`ten_blocks`.
    """

    name = "stgcn"

    def __init__(
        self,
        layout: KeypointLayout,
        num_classes: int,
        *,
        in_channels: int = 2,
        num_person: int = 2,
        clip_len: int = 64,
        base_width: int = 64,
    ) -> None:
        shape = (num_person, clip_len, layout.num_keypoints, in_channels)
        super().__init__(layout, shape, 4 * base_width)
        self.norm = nn.BatchNorm1d(in_channels * layout.num_keypoints)
        self.blocks = nn.Sequential(
            *ten_blocks(partial(_SpatialGraph, layout), in_channels, base_width)
        )
        self.head = nn.Linear(4 * base_width, num_classes)

    def pool_person(self, x: Tensor, person: int) -> Tensor:
        """Map one person of each clip, (B, T, V, C), to (B, D')."""
        pooled: Tensor = self.blocks(as_channels(self.norm, x)).mean(dim=(2, 3))
        return pooled
