"""SkeletonMAE: a graph masked autoencoder over single skeletons (Yan et al. 2023, Sec. 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..pose_extract.layout import KeypointLayout
from .channels_first import ChannelLinear
from .gnn import GNNName, GraphStack


class SkeletonMAE(nn.Module):
    """Masks joints of a skeleton and reconstructs their embedded features.

    Args:
        layout: Keypoints, bones and body parts.
        in_channels: C, 2 for x and y, 3 with the score.
        embed_dim: D, width of the embedded joints and of the encoder's output.
        hidden_dim: D_h, width inside encoder and decoder (the paper does not give it).
        encoder_depth: L_D, number of encoder layers; 3 is the paper's best.
        decoder_depth: Number of decoder layers; the paper has 1.
        gnn: Kind of graph layer; the paper has "gin".
        detach_target: Stop the gradient at the target. The embedding is both input and target:
            with a gradient through both, the loss falls when the features of all joints become
            equal. The paper does not say.
        remask: Set hidden joints to zero again between encoder and decoder, as GraphMAE does; the
            paper does not mention it.
    """

    def __init__(
        self,
        layout: KeypointLayout,
        *,
        in_channels: int = 2,
        embed_dim: int = 64,
        hidden_dim: int = 64,
        encoder_depth: int = 3,
        decoder_depth: int = 1,
        gnn: GNNName = "gin",
        detach_target: bool = True,
        remask: bool = False,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.detach_target = detach_target
        self.remask = remask
        self.embed = ChannelLinear(in_channels, embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(embed_dim))
        nn.init.normal_(self.mask_token, std=0.02)
        self.encoder = GraphStack(layout, embed_dim, hidden_dim, embed_dim, encoder_depth, gnn)
        self.decoder = GraphStack(
            layout, embed_dim, hidden_dim, embed_dim, decoder_depth, gnn, last_activation=False
        )

    def embedded(self, x: Tensor) -> Tensor:
        """Embed the joints: coordinates (B, V, C) to features (D, B, V), channels first."""
        out: Tensor = self.embed(x.movedim(-1, 0))
        return out

    def encode(self, features: Tensor, mask: Tensor) -> Tensor:
        """H = G_E(A, Xbar): replace hidden features by [MASK], then encode.

        Args:
            features: (D, B, V) embedded joints X.
            mask: (B, V) bool, True where hidden.

        Returns:
            (D, B, V) encoding H.
        """
        token = self.mask_token.to(features.dtype).view(-1, 1, 1)
        out: Tensor = self.encoder(torch.where(mask, token, features))
        return out

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct the features of the hidden joints.

        Args:
            x: (B, V, C) coordinates of single-frame skeletons.
            mask: (B, V) bool, True where hidden.

        Returns:
            Reconstruction Y = G_D(A, H) and target X, each (B, V, D).
        """
        features = self.embedded(x)
        encoded = self.encode(features, mask)
        if self.remask:
            encoded = encoded.masked_fill(mask, 0.0)
        reconstruction: Tensor = self.decoder(encoded)
        target = features.detach() if self.detach_target else features
        return reconstruction.movedim(0, -1), target.movedim(0, -1)
