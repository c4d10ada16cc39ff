"""Hidden tubes predicted in the features of a teacher: the moving average of the encoder itself.

data2vec (Baevski et al., ICML 2022) for skeletons: the teacher sees the whole clip, and its
features are what the network predicts of what it does not see.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .channels_first import ChannelLinear
from .losses import mean_where
from .tube import TubeEncoder


class FeatureTeacher(nn.Module):
    """The teacher, the predictor of its features, and the loss.

    Args:
        encoder: The encoder that learns; the teacher begins as a copy of it.
        momentum: Share of the teacher's weights that stays in a step.
    """

    def __init__(self, encoder: TubeEncoder, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        dim = encoder.out_dim
        self.predict = nn.Sequential(ChannelLinear(dim, dim), nn.ReLU(), ChannelLinear(dim, dim))

    @torch.no_grad()
    def follow(self, encoder: TubeEncoder) -> None:
        """Move the teacher's weights and running statistics towards the encoder's."""
        own, theirs = self.encoder.state_dict(), encoder.state_dict()
        names = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [own[name] for name in names], [theirs[name] for name in names], 1 - self.momentum
        )

    def forward(self, encoded: Tensor, people: Tensor, hidden: Tensor) -> Tensor:
        """Return the loss where the tubes are: the smooth L1 distance of normalised features.

        Args:
            encoded: (D, T', B, V) what the encoder makes of the visible joints.
            people: (B, T, V, C) the whole clips; (0, 0) is a missing joint.
            hidden: (B, T, V) bool, True where hidden.

        Returns:
            The loss; 0 if all hidden joints are missing.
        """
        with torch.no_grad():
            features = self.encoder.channels_first(people).float()
            target = F.layer_norm(features.movedim(0, -1), features.shape[:1]).movedim(-1, 0)
        predicted = self.predict(encoded).float()
        error = F.smooth_l1_loss(predicted, target, reduction="none").mean(dim=0)  # (T', B, V)
        scored = hidden & (people[..., :2] != 0).any(dim=-1)
        # A step of the encoder counts as far as its frames are hidden.
        share = scored.float().unflatten(1, (len(error), -1)).mean(dim=2).transpose(0, 1)
        return mean_where(error, share)
