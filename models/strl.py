"""SSL: the pre-trained encoder inside STRL and a classifier (Yan et al. 2023, Sec. 3.3).

STRL is the paper's Spatial-Temporal Representation Learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .. import SkelactError
from ..pose_extract.layout import KeypointLayout
from .channels_first import ChannelLinear, ChannelNorm
from .classifier import SkeletonClassifier, bones_and_motion
from .gnn import GNNName, GraphStack
from .skeleton_mae import SkeletonMAE
from .temporal import MultiScaleTemporalConv


class STRLLayer(nn.Module):
    """One layer of STRL: H' = ReLU(SM(H) W) (Eq. 4), with SM of Eq. 3.

    SM sums the encoded joints and joins the sum, repeated for every joint, to the layer's input;
    the input is added to the output as a residual. Each person has an encoder; W is shared.

    Args:
        layout: Keypoints and bones.
        dim: D, width of input and output.
        hidden_dim: D_h, width inside the encoders.
        encoder_depth: L_D.
        num_person: P, number of encoders.
        gnn: Type of the graph layers.
        combine: How Eq. 3 joins the pooled encoding to the input: "concat" along the channels, or
            "add" after a 1x1 convolution of the input. The paper leaves it open.
    """

    def __init__(
        self,
        layout: KeypointLayout,
        dim: int,
        hidden_dim: int,
        encoder_depth: int,
        num_person: int,
        gnn: GNNName,
        combine: Literal["concat", "add"],
    ) -> None:
        super().__init__()
        if combine not in ("concat", "add"):
            raise ValueError(f"combine: expected 'concat' or 'add', got {combine!r}")
        self.combine = combine
        self.encoders = nn.ModuleList(
            GraphStack(layout, dim, hidden_dim, dim, encoder_depth, gnn) for _ in range(num_person)
        )
        # A linear layer over the channels is a 1x1 convolution over time and joints.
        self.input_weight = ChannelLinear(dim, dim, bias=False)
        self.pooled_weight = ChannelLinear(dim, dim, bias=False)
        self.norm = ChannelNorm(dim)

    def forward(self, h: Tensor, person: int) -> Tensor:
        """Map (D, ..., V), frames of one person, to (D, ..., V).

        Args:
            h: Features of the joints.
            person: Index of the person, 0 to P - 1, which selects the encoder.
        """
        # A mean in place of the paper's sum: the same up to the constant 1/V, which W can absorb,
        # and of the scale of the input that it is joined to.
        pooled = self.encoders[person](h).mean(dim=-1, keepdim=True)  # (D, ..., 1)
        if self.combine == "concat":
            # [H, Repeat(S)] W, without writing the repetition out: H W_1 + S W_2.
            mixed = self.input_weight(h) + self.pooled_weight(pooled)
        else:
            mixed = self.pooled_weight(self.input_weight(h) + pooled)
        out: Tensor = self.norm(mixed, h, relu=True)
        return out


class SSLClassifier(SkeletonClassifier):
    """Skeleton sequence to action: embedding, M STRL layers, temporal pooling, classifier.

    Args:
        layout: Keypoints and bones.
        num_classes: Number of actions.
        in_channels: C, 2 for x and y, 3 with the score.
        embed_dim: D, width of the embedding and of all STRL layers.
        hidden_dim: D_h, width inside the encoders.
        num_person: P, people per clip, each with encoders of their own.
        clip_len: T, frames per clip; each has a vector in the temporal position embedding.
        num_layers: M, number of STRL layers; 3 is the paper's best.
        encoder_depth: L_D, layers of each encoder.
        gnn: Type of the graph layers.
        combine: See :class:`STRLLayer`.
        temporal: "last" puts a multi-scale temporal convolution after the last layer (the text of
            the paper), "every" after each layer.
        temporal_dim: Width of the last temporal convolution (the paper does not give it).
        dropout: Share of pooled features dropped while training.
        streams: Further inputs, embedded and added to the coordinates, the paper's only input:
            "bone", the vector from the parent joint, and "motion", the one from the frame before.
        missing: What a joint at (0, 0), which was not seen, is: "embedded" as that point, or "mask"
            as the vector [MASK], which is what pre-training shows there. The paper does not say.

    Raises:
        ValueError: for an unknown stream.
    """

    name = "ssl"
    parents: Tensor

    def __init__(
        self,
        layout: KeypointLayout,
        num_classes: int,
        *,
        in_channels: int = 2,
        embed_dim: int = 64,
        hidden_dim: int = 64,
        num_person: int = 2,
        clip_len: int = 64,
        num_layers: int = 3,
        encoder_depth: int = 3,
        gnn: GNNName = "gin",
        combine: Literal["concat", "add"] = "concat",
        temporal: Literal["last", "every"] = "last",
        temporal_dim: int = 128,
        dropout: float = 0.0,
        streams: Sequence[Literal["bone", "motion"]] = (),
        missing: Literal["embedded", "mask"] = "embedded",
    ) -> None:
        shape = (num_person, clip_len, layout.num_keypoints, in_channels)
        super().__init__(layout, shape, temporal_dim)
        if not set(streams) <= {"bone", "motion"}:
            raise ValueError(f"streams: expected 'bone' and 'motion', got {tuple(streams)}")
        if missing not in ("embedded", "mask"):
            raise ValueError(f"missing: expected 'embedded' or 'mask', got {missing!r}")
        if temporal not in ("last", "every"):
            raise ValueError(f"temporal: expected 'last' or 'every', got {temporal!r}")
        self.embed = ChannelLinear(in_channels, embed_dim)
        self.mask_token: nn.Parameter | None = None
        if missing == "mask":
            self.mask_token = nn.Parameter(0.02 * torch.randn(embed_dim))
        self.stream_embeds = nn.ModuleDict(
            {name: ChannelLinear(2, embed_dim, bias=False) for name in streams}
        )
        parents = torch.from_numpy(layout.parents())
        self.register_buffer("parents", parents, persistent=False)
        self.position = nn.Parameter(torch.zeros(clip_len, 1, embed_dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.layers = nn.ModuleList(
            STRLLayer(layout, embed_dim, hidden_dim, encoder_depth, num_person, gnn, combine)
            for _ in range(num_layers)
        )
        # temporal[i] follows layer i; the last one maps D to the temporal width.
        self.temporal = nn.ModuleList(
            MultiScaleTemporalConv(embed_dim, temporal_dim if i == num_layers - 1 else embed_dim)
            if temporal == "every" or i == num_layers - 1
            else nn.Identity()
            for i in range(num_layers)
        )
        self.head = nn.Sequential(
            nn.Linear(temporal_dim, temporal_dim),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(temporal_dim, num_classes),
        )

    def load_pretrained(self, mae: nn.Module) -> None:
        """Copy a SkeletonMAE's embedding, and its encoder into every layer and person.

        Raises:
            SkelactError: if it is no SkeletonMAE, or its shapes differ.
        """
        if not isinstance(mae, SkeletonMAE):
            raise SkelactError(f"expected a pre-trained SkeletonMAE, got {type(mae).__name__}")
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.embed, mae.embed)]
        for layer in self.layers:
            assert isinstance(layer, STRLLayer)
            pairs += [(encoder, mae.encoder) for encoder in layer.encoders]
        for module, source in pairs:
            try:
                module.load_state_dict(source.state_dict())
            except RuntimeError as error:
                raise SkelactError(
                    "the pre-trained encoder does not fit this classifier: expected the same "
                    "in_channels, embed_dim, hidden_dim, encoder_depth and gnn in both configs; "
                    f"{error}"
                ) from None
        if self.mask_token is not None:
            with torch.no_grad():
                self.mask_token.copy_(mae.mask_token)

    def pool_person(self, x: Tensor, person: int) -> Tensor:
        """Map one person of each clip, (B, T, V, C), to (B, D')."""
        position = self.position.permute(2, 0, 1).unsqueeze(2)  # (D, T, 1, 1)
        h = self.embed(_channels_first(x))  # (D, T, B, V)
        if self.mask_token is not None:
            missing = (x[..., :2] == 0).all(dim=-1).transpose(0, 1)  # (T, B, V)
            h = torch.where(missing, self.mask_token.view(-1, 1, 1, 1).to(h.dtype), h)
        h = h + position.to(x.dtype)
        if self.stream_embeds:
            bone, motion = bones_and_motion(x[..., :2], self.parents)
            for name, embed in self.stream_embeds.items():
                h = h + embed(_channels_first(bone if name == "bone" else motion))
        for layer, temporal in zip(self.layers, self.temporal):
            h = temporal(layer(h, person))
        return h.mean(dim=(1, 3)).T


def _channels_first(x: Tensor) -> Tensor:
    """Return (B, T, V, C) as (C, T, B, V)."""
    return x.permute(3, 1, 0, 2)
