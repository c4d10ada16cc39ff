"""Graph layers over the joints of skeletons, with a dense adjacency; channels come first.

GIN is the layer of SkeletonMAE (Yan et al. 2023); GCN and attention (GAT) of the same width are
its comparison (docs/ablations.md, "Graph layer").
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pose_extract.layout import KeypointLayout
from .channels_first import ChannelLinear, ChannelNorm, mix_joints

GNNName = Literal["gin", "gcn", "gat"]


class _SharedSlopePReLU(torch.autograd.Function):
    """PReLU with one slope by the kernels of leaky ReLU, which are vectorised on CPUs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.slope = float(slope)
        ctx.save_for_backward(x)
        return F.leaky_relu(x, ctx.slope)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        grad = grads[0]
        below = x.clamp_max(0)
        # torch accumulates the sum in float32 for bfloat16 too; dtype=float32 would cost a copy.
        if grad.dtype == torch.bfloat16:
            slope_grad = (grad * below).sum().float().reshape(1)
        else:
            slope_grad = torch.dot(grad.flatten(), below.flatten()).reshape(1)
        return torch.ops.aten.leaky_relu_backward(grad, x, ctx.slope, False), slope_grad


class _PReLU(nn.PReLU):
    """PReLU with another backward pass on CPUs, where torch's own is slow in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        is_plain = not (torch.compiler.is_compiling() or torch._C._functorch.is_batchedtensor(x))
        if self.training and x.device.type == "cpu" and is_plain:
            out: Tensor = _SharedSlopePReLU.apply(x, self.weight)
            return out
        return super().forward(x)


class GINLayer(nn.Module):
    """Graph isomorphism layer: MLP((1 + eps) h + A h) (Xu et al. 2019, Eq. 4.1) with a learnt eps.

    Args:
        layout: Its bones are the adjacency A.
        in_dim: D_in.
        out_dim: D_out, also the hidden width of the MLP.
    """

    adjacency: Tensor

    def __init__(self, layout: KeypointLayout, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.register_buffer("adjacency", torch.from_numpy(layout.adjacency()), persistent=False)
        self.eps = nn.Parameter(torch.zeros(()))
        self.mlp = nn.Sequential(
            ChannelLinear(in_dim, out_dim),
            ChannelNorm(out_dim),
            _PReLU(),
            ChannelLinear(out_dim, out_dim),
        )

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, ..., V) to (D_out, ..., V)."""
        # (1 + eps) h + A h as one product with A + (1 + eps) I over the joints.
        identity = torch.eye(len(self.adjacency), dtype=h.dtype, device=h.device)
        mix = self.adjacency.to(h.dtype) + (1 + self.eps) * identity
        out: Tensor = self.mlp(mix_joints(h, mix.unsqueeze(0)))
        return out


class GCNLayer(nn.Module):
    """Graph convolution: D^-1/2 (A + I) D^-1/2 h W (Kipf and Welling 2017)."""

    adjacency: Tensor

    def __init__(self, layout: KeypointLayout, in_dim: int, out_dim: int) -> None:
        super().__init__()
        with_self = torch.from_numpy(layout.adjacency()) + torch.eye(layout.num_keypoints)
        scale = with_self.sum(dim=1).rsqrt()
        normalised = scale[:, None] * with_self * scale
        self.register_buffer("adjacency", normalised, persistent=False)
        self.linear = ChannelLinear(in_dim, out_dim)

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, ..., V) to (D_out, ..., V)."""
        value: Tensor = self.linear(h)
        return mix_joints(value, self.adjacency.to(value.dtype).unsqueeze(0))


class GATLayer(nn.Module):
    """Graph attention over bones and self with additive scores (Velickovic et al. 2018)."""

    blocked: Tensor

    def __init__(
        self, layout: KeypointLayout, in_dim: int, out_dim: int, num_heads: int = 4
    ) -> None:
        super().__init__()
        if out_dim % num_heads:
            raise ValueError(f"out_dim: expected a multiple of {num_heads} heads, got {out_dim}")
        joined = torch.from_numpy(layout.adjacency()) + torch.eye(layout.num_keypoints)
        self.register_buffer("blocked", joined == 0, persistent=False)
        self.num_heads = num_heads
        self.linear = ChannelLinear(in_dim, out_dim)
        self.source = nn.Parameter(torch.randn(num_heads, out_dim // num_heads) * 0.1)
        self.target = nn.Parameter(torch.randn(num_heads, out_dim // num_heads) * 0.1)

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, ..., V) to (D_out, ..., V)."""
        value = (
            self.linear(h).movedim(0, -1).unflatten(-1, (self.num_heads, -1))
        )  # (..., V, K, D/K)
        target = (value * self.target).sum(-1).transpose(-1, -2)  # (..., K, V)
        source = (value * self.source).sum(-1).transpose(-1, -2)
        # 0.2 is the slope of the paper, Sec. 2.1.
        score = F.leaky_relu(target.unsqueeze(-1) + source.unsqueeze(-2), 0.2)  # (..., K, V, V)
        weight = score.masked_fill(self.blocked, float("-inf")).softmax(dim=-1)
        mixed = torch.matmul(weight, value.transpose(-2, -3))  # (..., K, V, D/K)
        return mixed.transpose(-2, -3).flatten(-2).movedim(-1, 0)


_LAYERS: dict[str, type[nn.Module]] = {"gin": GINLayer, "gcn": GCNLayer, "gat": GATLayer}


class GraphStack(nn.Module):
    """Graph layers of one type, each followed by batch norm and PReLU.

    The encoder G_E is a stack of L_D layers, the decoder G_D one layer without norm and activation.

    Args:
        layout: Keypoints and bones.
        in_dim: Width of the input.
        hidden_dim: Width between the layers.
        out_dim: Width of the output.
        depth: Number of layers.
        gnn: Type of the layers.
        last_activation: Whether batch norm and PReLU follow the last layer too.

    Raises:
        ValueError: for an unknown type of layer, or a depth below 1.
    """

    def __init__(
        self,
        layout: KeypointLayout,
        in_dim: int,
        hidden_dim: int,
        out_dim: int,
        depth: int,
        gnn: GNNName = "gin",
        last_activation: bool = True,
    ) -> None:
        super().__init__()
        if gnn not in _LAYERS:
            raise ValueError(f"gnn: expected one of {', '.join(_LAYERS)}, got {gnn!r}")
        if depth < 1:
            raise ValueError(f"depth: expected at least 1 layer, got {depth}")
        widths = [in_dim] + [hidden_dim] * (depth - 1) + [out_dim]
        layers: list[nn.Module] = []
        for i, (width_in, width_out) in enumerate(pairwise(widths)):
            layers.append(_LAYERS[gnn](layout, width_in, width_out))
            if last_activation or i < depth - 1:
                layers += [ChannelNorm(width_out), _PReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, ..., V) to (D_out, ..., V)."""
        out: Tensor = self.layers(h)
        return out
