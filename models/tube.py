"""Masked autoencoding over time: body parts are hidden over spans of frames and reconstructed.

SkeletonMAE masks single frames, so that it learns nothing of motion. Here the mask is a set of
tubes, body parts over spans of frames (VideoMAE's tubes, Tong et al. 2022, of body parts instead of
patches), and the encoder over joints and time is pre-trained. Targets are the positions, and the
motion from frame to frame (as in Mao et al. 2023, "Masked motion predictors").
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from .. import SkelactError
from ..pose_extract.layout import KeypointLayout
from .channels_first import (
    ChannelLinear,
    ChannelNorm,
    TimeConv,
    every_frame,
    linear,
    mix_joints,
    time_max,
)
from .classifier import SkeletonClassifier, bones_and_motion

# Motion from frame to frame is about a tenth of the positions in size; this scale brings the two
# closer. Set when the network was designed; no measurement of it is recorded.
_MOTION_SCALE = 4.0

# Keeps the gradient of a standard deviation finite where a feature never changes.
_VARIANCE_EPS = 1e-5


class GraphMixing(nn.Module):
    """Mixes the joints by learnt weights initialised as the bones: ReLU(BN(W mix(W' h)) + h).

    Each head has an equal share of the channels and a (V, V) matrix, initialised in turn as the
    joint itself, its parent, its children, and the mean of its neighbours.

    Args:
        layout: Keypoints and bones.
        in_dim: D_in.
        out_dim: D_out, a multiple of ``num_heads``.
        num_heads: Number of heads.

    Raises:
        ValueError: if ``out_dim`` is no multiple of ``num_heads``.
    """

    def __init__(self, layout: KeypointLayout, in_dim: int, out_dim: int, num_heads: int) -> None:
        super().__init__()
        if out_dim % num_heads:
            raise ValueError(f"widths: expected multiples of {num_heads} heads, got {out_dim}")
        self.num_heads = num_heads
        count = layout.num_keypoints
        adjacency = torch.from_numpy(layout.adjacency())
        parent = torch.zeros(count, count)
        for joint, other in enumerate(layout.parents().tolist()):
            if joint != other:
                parent[joint, other] = 1.0
        neighbours = adjacency / adjacency.sum(dim=1, keepdim=True).clamp(min=1)
        kinds = [torch.eye(count), parent, parent.T, neighbours]
        start = torch.stack([kinds[k % len(kinds)] for k in range(num_heads)])
        self.weight = nn.Parameter(start + 0.02 * torch.randn(start.shape))
        self.value = ChannelLinear(in_dim, out_dim, bias=False)
        self.value_norm = ChannelNorm(out_dim)
        self.out = ChannelLinear(out_dim, out_dim, bias=False)
        self.norm = ChannelNorm(out_dim)
        self.residual: nn.Module = (
            nn.Identity()
            if in_dim == out_dim
            else nn.Sequential(ChannelLinear(in_dim, out_dim, bias=False), ChannelNorm(out_dim))
        )

    def forward(self, h: Tensor) -> Tensor:
        """Map (D_in, T, B, V) to (D_out, T, B, V)."""
        value = self.value_norm(self.value(h), relu=True)
        mixed = self.out(mix_joints(value, self.weight))
        out: Tensor = self.norm(mixed, self.residual(h), relu=True)
        return out


class TemporalMixing(nn.Module):
    """Mixes frames at several receptive fields (after MS-G3D, Liu et al. 2020).

    Two dilated convolutions, max pooling and the identity each have a quarter of the channels.

    Args:
        dim: D, a multiple of 4.
        stride: Stride over time.
    """

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        if dim % 4:
            raise ValueError(f"widths: expected multiples of 4, got {dim}")
        self.stride = stride
        self.value = ChannelLinear(dim, dim, bias=False)
        self.value_norm = ChannelNorm(dim)
        self.convs = nn.ModuleList(
            TimeConv(dim // 4, dim // 4, 5, stride=stride, dilation=dilation, bias=False)
            for dilation in (1, 2)
        )
        self.norm = ChannelNorm(dim)

    def forward(self, h: Tensor) -> Tensor:
        """Map (D, T, B, V) to (D, ceil(T / stride), B, V)."""
        value = self.value_norm(self.value(h), relu=True)
        near, far, peak, same = value.chunk(4)
        parts = [
            self.convs[0](near),
            self.convs[1](far),
            time_max(peak, self.stride),
            every_frame(same, self.stride),
        ]
        out: Tensor = self.norm(torch.cat(parts), every_frame(h, self.stride), relu=True)
        return out


class TubeEncoder(nn.Module):
    """Encodes one person over time; the vector [MASK] is added to missing joints.

    The input of a joint is its position, bone, motion and presence; a joint at (0, 0) is missing.

    Args:
        layout: Keypoints and bones.
        in_channels: C, 2 for x and y, 3 with the score.
        widths: D of each layer.
        strides: Stride over time of each layer.
        num_heads: Number of heads of each layer.

    Raises:
        ValueError: if there are not as many strides as widths.
    """

    parents: Tensor

    def __init__(
        self,
        layout: KeypointLayout,
        in_channels: int,
        widths: Sequence[int],
        strides: Sequence[int],
        num_heads: int,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or not widths:
            raise ValueError(
                f"strides: expected one per width, got {len(strides)} for {len(widths)} widths"
            )
        self.register_buffer("parents", torch.from_numpy(layout.parents()), persistent=False)
        self.embed = nn.Linear(7 + in_channels - 2, widths[0])
        self.joint_token = nn.Parameter(0.02 * torch.randn(layout.num_keypoints, widths[0]))
        self.mask_token = nn.Parameter(0.02 * torch.randn(widths[0]))
        before = [widths[0], *widths[:-1]]
        self.layers = nn.ModuleList(
            nn.Sequential(GraphMixing(layout, w_in, w, num_heads), TemporalMixing(w, stride))
            for w_in, w, stride in zip(before, widths, strides)
        )
        self.out_dim = widths[-1]
        self.time_step = prod(strides)

    def load_pretrained(self, mae: nn.Module, network: str) -> None:
        """Copy the weights of a masked autoencoder's encoder.

        Args:
            mae: The masked autoencoder.
            network: What this is the encoder of, for the message.

        Raises:
            SkelactError: if it is no TubeMAE of the same channels, widths and heads.
        """
        if not isinstance(mae, TubeMAE):
            raise SkelactError(
                f"expected a network pre-trained as model 'tube', got {type(mae).__name__}"
            )
        try:
            self.load_state_dict(mae.encoder.state_dict())
        except RuntimeError as error:
            raise SkelactError(
                f"the pre-trained encoder does not fit {network}: expected the same channels, "
                f"widths and heads in both configs; {error}"
            ) from None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, V, C) to (B, T / time_step, V, D)."""
        return self.channels_first(x).permute(2, 1, 3, 0)

    def channels_first(self, x: Tensor) -> Tensor:
        """Map (B, T, V, C) to (D, T / time_step, B, V)."""
        h = self._embedded(x)
        for layer in self.layers:
            h = layer(h)
        return h

    def _embedded(self, x: Tensor) -> Tensor:
        """Map (B, T, V, C) to (D, T, B, V): a linear map, a vector per joint, and [MASK]."""
        points = x[..., :2]
        present = (points != 0).any(dim=-1, keepdim=True).to(x.dtype)
        bone, motion = bones_and_motion(points, self.parents)
        # Which joint it is and whether it is missing are inputs of the same product.
        joints = torch.eye(x.shape[2], dtype=x.dtype, device=x.device).expand(*x.shape[:2], -1, -1)
        inputs = [points, bone, _MOTION_SCALE * motion, present, x[..., 2:], 1 - present, joints]
        rows = torch.cat([part.permute(3, 1, 0, 2) for part in inputs])
        token = self.joint_token + self.embed.bias
        weight = torch.cat([self.embed.weight, self.mask_token[:, None], token.T], dim=1)
        return linear(rows, weight)


class TubeMAE(nn.Module):
    """Reconstructs hidden tubes: positions, and motion in units of its root mean square.

    Args:
        layout: Keypoints, bones and body parts.
        in_channels: C.
        widths: See :class:`TubeEncoder`.
        strides: See :class:`TubeEncoder`.
        num_heads: See :class:`TubeEncoder`.
    """

    def __init__(
        self,
        layout: KeypointLayout,
        *,
        in_channels: int = 2,
        widths: Sequence[int] = (64, 64, 96, 96, 128, 128),
        strides: Sequence[int] = (2, 1, 2, 1, 1, 1),
        num_heads: int = 8,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.encoder = TubeEncoder(layout, in_channels, widths, strides, num_heads)
        dim = self.encoder.out_dim
        self.decoder = nn.Sequential(
            ChannelLinear(dim, dim), nn.ReLU(), ChannelLinear(dim, 4 * self.encoder.time_step)
        )

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct the clip of a person from its visible joints.

        Args:
            x: (B, T, V, C) normalised coordinates, T a multiple of the encoder's time step.
            hidden: (B, T, V) bool, True where hidden.

        Returns:
            Positions and motion from the frame before, each (B, T, V, 2).
        """
        return self.decode(self.encode(x, hidden))

    def encode(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return features (D, T / time_step, B, V) of the visible joints; see :meth:`forward`."""
        return self.encoder.channels_first(x * ~hidden.unsqueeze(-1))

    def decode(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions and motion of features that :meth:`encode` gave."""
        frames = every_step_as_frames(self.decoder(encoded), self.encoder.time_step)
        return frames[..., :2], frames[..., 2:]


def every_step_as_frames(h: Tensor, time_step: int) -> Tensor:
    """Map (r K, T / r, B, V) to (B, T, V, K): each step of the encoder holds r frames."""
    return h.unflatten(0, (time_step, -1)).permute(3, 2, 0, 4, 1).flatten(1, 2)


class TubeClassifier(SkeletonClassifier):
    """The encoder, pooling over joints and time, and a linear classifier.

    Args:
        layout: Keypoints and bones.
        num_classes: Number of actions.
        in_channels: C.
        num_person: M; people share the encoder.
        clip_len: T.
        widths: See :class:`TubeEncoder`.
        strides: See :class:`TubeEncoder`.
        num_heads: See :class:`TubeEncoder`.
        dropout: Share of pooled features dropped while training.
        pooling: "mean" over joints and time, or "mean_std": beside it, the standard deviation over
            time of the mean over joints, which tells how much of the clip a feature holds for.

    Raises:
        ValueError: for another pooling.
    """

    name = "tube"

    def __init__(
        self,
        layout: KeypointLayout,
        num_classes: int,
        *,
        in_channels: int = 2,
        num_person: int = 2,
        clip_len: int = 64,
        widths: Sequence[int] = (64, 64, 96, 96, 128, 128),
        strides: Sequence[int] = (2, 1, 2, 1, 1, 1),
        num_heads: int = 8,
        dropout: float = 0.2,
        pooling: Literal["mean", "mean_std"] = "mean",
    ) -> None:
        if pooling not in ("mean", "mean_std"):
            raise ValueError(f"pooling: expected 'mean' or 'mean_std', got {pooling!r}")
        feature_dim = widths[-1] * (2 if pooling == "mean_std" else 1)
        shape = (num_person, clip_len, layout.num_keypoints, in_channels)
        super().__init__(layout, shape, feature_dim)
        self.pooling = pooling
        self.encoder = TubeEncoder(layout, in_channels, widths, strides, num_heads)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(feature_dim, num_classes))

    def load_pretrained(self, mae: nn.Module) -> None:
        """Copy the encoder; see :meth:`TubeEncoder.load_pretrained`."""
        self.encoder.load_pretrained(mae, "this classifier")

    def pool_person(self, x: Tensor, person: int) -> Tensor:
        """Map one person of each clip, (B, T, V, C), to (B, D')."""
        h = self.encoder.channels_first(x)  # (D, T', B, V)
        if self.pooling == "mean":
            return h.mean(dim=(1, 3)).T
        steps = h.mean(dim=3)
        return mean_and_std(steps.to(torch.promote_types(steps.dtype, torch.float32))).T


def mean_and_std(steps: Tensor) -> Tensor:
    """Map (D, T, B) to (2 D, B): mean and standard deviation over T, which may be 1."""
    mean = steps.mean(dim=1, keepdim=True)
    variance = (steps - mean).square().mean(dim=1)
    return torch.cat([mean.squeeze(1), (variance + _VARIANCE_EPS).sqrt()])
