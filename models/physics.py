"""What a simulator knows of each frame, as targets of pre-training: where joints are in depth, how
the trunk points and turns, how the body moves, and whether it touches something.

The depth of the joints says how far the body is twisted away from the camera.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pose_extract.layout import KeypointLayout
from .channels_first import ChannelLinear
from .losses import differences, mean_where
from .tube import every_step_as_frames

# Numbers per frame: the trunk's direction (2), its turn from the frame before, the body's velocity
# (2), and a logit for each phase: other, on the board or apparatus, flight, entry or landing.
_PHASES = 4
_PER_FRAME = 5 + _PHASES
# Units per metre of depth, set by hand: half a shoulder's width is 1, as large as other targets.
_DEPTH_SCALE = 5.0


class PhysicsHeads(nn.Module):
    """Linear heads on an encoder's features, and the loss.

    Args:
        layout: Keypoints, which have shoulders and hips.
        dim: D, width of the features.
        time_step: Frames of a step of the encoder.
    """

    def __init__(self, layout: KeypointLayout, dim: int, time_step: int) -> None:
        super().__init__()
        self.time_step = time_step
        self.shoulders = [layout.index(f"{side}_shoulder") for side in ("left", "right")]
        self.hips = [layout.index(f"{side}_hip") for side in ("left", "right")]
        self.depth = ChannelLinear(dim, time_step)
        self.per_frame = ChannelLinear(dim, time_step * _PER_FRAME)

    def forward(self, encoded: Tensor, points: Tensor, depth: Tensor, phase: Tensor) -> Tensor:
        """Return the sum of the losses of all targets, each a mean over where it is known.

        Args:
            encoded: (D, T / time_step, B, V) features.
            points: (B, T, V, 2) exact coordinates; (0, 0) is a missing joint.
            depth: (B, T, V) metres behind the middle of the hips.
            phase: (B, T) int64, 0 to 3.
        """
        present = (points != 0).any(dim=-1)
        depths = every_step_as_frames(self.depth(encoded), self.time_step)[..., 0].float()
        pooled = self.per_frame(encoded.mean(dim=3, keepdim=True))
        frames = every_step_as_frames(pooled, self.time_step)[:, :, 0].float()  # (B, T, 9)
        trunk, turn, velocity, phases = frames.split([2, 1, 2, _PHASES], dim=-1)

        hips = points[:, :, self.hips].mean(dim=2)
        direction = points[:, :, self.shoulders].mean(dim=2) - hips
        has_hips = present[:, :, self.hips].all(dim=2)
        has_trunk = has_hips & present[:, :, self.shoulders].all(dim=2)
        true_trunk = F.normalize(direction, dim=-1)
        true_turn, has_turn = _turns(true_trunk, has_trunk)
        moved, has_moved = differences(hips, has_hips)
        count = has_moved.sum(dim=1).clamp(min=1).view(-1, 1, 1)
        unit = (moved.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()

        losses = [
            mean_where((depths - _DEPTH_SCALE * depth).square(), present),
            mean_where((trunk - true_trunk).square().sum(dim=-1), has_trunk),
            mean_where((turn.squeeze(-1) - true_turn).square(), has_turn),
            mean_where((velocity - moved / (unit + 1e-3)).square().sum(dim=-1), has_moved),
            F.cross_entropy(phases.flatten(0, 1), phase.flatten()),
        ]
        return torch.stack(losses).sum()


def _turns(directions: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return by how many radians (B, T) directions (B, T, 2) turn, within a half turn, and where
    it is known.
    """
    _, both = differences(directions, known)
    before = directions.roll(1, dims=1)
    sine = before[..., 0] * directions[..., 1] - before[..., 1] * directions[..., 0]
    cosine = (before * directions).sum(dim=-1)
    return torch.atan2(sine, cosine) * both, both
