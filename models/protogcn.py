"""ProtoGCN (Liu et al., CVPR 2025): the stronger supervised baseline.

    joints -> ten blocks as in ST-GCN++, with a topology of each clip's own, and the mean of the
              joints beside them over time -> classes
              topology of the last block -> prototypes -> contrast of the classes, in training

Our own code, after the paper and what public copies of its authors' release compute; its three
parts are named where they stand. The mean over time is taken before the convolutions of a topology,
which gives the same and costs less.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pose_extract.layout import KeypointLayout
from .classifier import SkeletonClassifier
from .stgcn import Block, TemporalBranches, as_channels, ten_blocks

# Of public copies of the authors' release: groups of channels with an adjacency each, how their
# random adjacencies are drawn, width of the contrast, its temperature, and the share of a class's
# memory that stays; and the dropout of rebuilt topologies.
_GROUPS = 8
_ADJACENCY_MEAN, _ADJACENCY_STD = 0.04, 0.02
_CONTRAST_WIDTH, _TEMPERATURE, _MOMENTUM = 256, 0.125, 0.9
_DROPOUT = 0.1


class _MotionTopology(nn.Module):
    """Graph convolution whose adjacency is in part the clip's own: Motion Topology Enhancement.

    To a learnt adjacency (8, V, V) are added differences of joints, for each channel, and their
    similarity, for each group of channels; both start at 0.
    """

    def __init__(self, num_joints: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        shape = (_GROUPS, num_joints, num_joints)
        self.adjacency = nn.Parameter(torch.randn(shape) * _ADJACENCY_STD + _ADJACENCY_MEAN)
        self.before = nn.Sequential(
            nn.Conv2d(in_dim, out_dim, 1), nn.BatchNorm2d(out_dim), nn.ReLU(inplace=True)
        )
        self.after = nn.Conv2d(out_dim, out_dim, 1)
        self.query = nn.Linear(in_dim, out_dim)
        self.key = nn.Linear(in_dim, out_dim)
        self.of_differences = nn.Parameter(torch.zeros(()))
        self.of_similarity = nn.Parameter(torch.zeros(()))
        self.norm = nn.BatchNorm2d(out_dim)
        self.down: nn.Module = (
            nn.Identity()
            if in_dim == out_dim
            else nn.Sequential(nn.Conv2d(in_dim, out_dim, 1), nn.BatchNorm2d(out_dim))
        )

    def topology(self, x: Tensor) -> Tensor:
        """Return the clip's own part of the adjacency, (B, 8, D / 8, V, V)."""
        joints = x.mean(dim=2).transpose(1, 2)  # (B, V, D_in)
        query, key = (
            layer(joints).transpose(1, 2).unflatten(1, (_GROUPS, -1))
            for layer in (self.query, self.key)
        )  # (B, 8, D / 8, V)
        differences = torch.tanh(query.unsqueeze(-1) - key.unsqueeze(-2))
        similarity = torch.softmax(query.transpose(2, 3) @ key, dim=-2)  # (B, 8, V, V)
        return self.of_differences * differences + self.of_similarity * similarity.unsqueeze(2)

    def with_topology(self, x: Tensor, topology: Tensor) -> Tensor:
        """Map (B, D_in, T, V) to (B, D_out, T, V)."""
        adjacency = self.adjacency[None, :, None] + topology
        groups = self.before(x).unflatten(1, (_GROUPS, -1))
        summed = (groups @ adjacency.to(groups.dtype)).flatten(1, 2)
        return F.relu(self.norm(self.after(summed)) + self.down(x), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D_in, T, V) to (B, D_out, T, V)."""
        return self.with_topology(x, self.topology(x))


class _WithMeanJoint(TemporalBranches):
    """The branches of ST-GCN++ over time, which see the mean of the joints beside them.

    What they give for it is added to each joint with a weight, which starts at 0.
    """

    def __init__(self, num_joints: int, dim: int, stride: int) -> None:
        super().__init__(dim, stride)
        self.of_mean = nn.Parameter(torch.zeros(num_joints))

    def joined(self, x: Tensor) -> Tensor:
        """See the base class."""
        joined = super().joined(torch.cat([x, x.mean(dim=-1, keepdim=True)], dim=-1))
        return joined[..., :-1] + joined[..., -1:] * self.of_mean


class _Prototypes(nn.Module):
    """A topology rebuilt from prototypes: the Prototype Reconstruction Network.

    Args:
        dim: D.
        count: Number of prototypes.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, count, bias=False)
        self.memory = nn.Linear(count, dim, bias=False)
        self.dropout = nn.Dropout(_DROPOUT)
        self.mix = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.BatchNorm2d(dim), nn.ReLU(inplace=True))

    def forward(self, topology: Tensor) -> Tensor:
        """Map (B, D, V, V) to (B, V * V)."""
        parts = torch.softmax(self.query(topology.permute(0, 2, 3, 1)), dim=-1)
        rebuilt = self.dropout(self.memory(parts)).permute(0, 3, 1, 2)
        described: Tensor = self.mix(rebuilt).mean(dim=1).flatten(1)
        return described


class _ClassContrast(nn.Module):
    """Topologies near those of their class: Class-Specific Contrastive Learning.

    Args:
        dim: V * V.
        num_classes: Number of actions.
    """

    memory: Tensor

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, _CONTRAST_WIDTH)
        self.register_buffer("memory", torch.randn(num_classes, _CONTRAST_WIDTH))

    def forward(self, topologies: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of a batch, and remember the topologies of clips classified rightly.

        Args:
            topologies: (N, V * V).
            labels: (N,) classes.
            logits: (N, num_classes).
        """
        features = self.project(topologies).float()
        right = F.one_hot(labels, len(self.memory)) * (logits.argmax(dim=1) == labels)[:, None]
        counts = right.sum(dim=0).unsqueeze(1)
        means = right.to(features.dtype).T @ features / counts.clamp(min=1)
        moved = _MOMENTUM * self.memory + (1 - _MOMENTUM) * means
        memory = torch.where(counts > 0, moved, self.memory)
        self.memory = memory.detach()
        scores = F.normalize(features, dim=1) @ F.normalize(memory, dim=1).T
        return F.cross_entropy(scores / _TEMPERATURE, labels)


class ProtoGCNClassifier(SkeletonClassifier):
    """ProtoGCN and a linear classifier.

    Args:
        layout: Keypoints and bones.
        num_classes: Number of actions.
        in_channels: C.
        num_person: M; people share the network.
        clip_len: T.
        base_width: Channels of the first blocks, a multiple of 8, see :func:`ten_blocks`.
        num_prototypes: Prototypes of the topology.
        contrast_weight: Weight of the contrast of the classes.
    """

    name = "protogcn"

    def __init__(
        self,
        layout: KeypointLayout,
        num_classes: int,
        *,
        in_channels: int = 2,
        num_person: int = 2,
        clip_len: int = 64,
        base_width: int = 96,
        num_prototypes: int = 100,
        contrast_weight: float = 0.2,
    ) -> None:
        num_joints = layout.num_keypoints
        super().__init__(layout, (num_person, clip_len, num_joints, in_channels), 4 * base_width)
        self.norm = nn.BatchNorm1d(in_channels * num_joints)
        graph = partial(_MotionTopology, num_joints)
        time = partial(_WithMeanJoint, num_joints)
        self.blocks = nn.ModuleList(ten_blocks(graph, in_channels, base_width, time))
        self.head = nn.Linear(4 * base_width, num_classes)
        self.prototypes = _Prototypes(4 * base_width, num_prototypes)
        self.contrast = _ClassContrast(num_joints**2, num_classes)
        self.contrast_weight = contrast_weight

    def pool_person(self, x: Tensor, person: int) -> Tensor:
        """Map one person of each clip, (B, T, V, C), to (B, D')."""
        pooled, _ = self._run(x)
        return pooled

    def loss(self, x: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the cross-entropy and the contrast of a batch; see the base class."""
        present = (x != 0).flatten(2).any(dim=-1)  # (N, M)
        pooled = x.new_zeros(len(x), self.feature_dim, dtype=torch.float32)
        topologies = x.new_zeros(len(x), self.contrast.project.in_features, dtype=torch.float32)
        # Zeros of absent people would bias the batch statistics.
        clips, people = present.nonzero(as_tuple=True)
        if len(clips):
            of_person, topology = self._run(x[clips, people])
            share = (1.0 / present.sum(dim=1))[clips, None]
            pooled = pooled.index_add(0, clips, share * of_person.float())
            described = self.prototypes(topology).float()
            topologies = topologies.index_add(0, clips, share * described)
        logits = self.head(pooled).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return loss + self.contrast_weight * self.contrast(topologies, labels, logits)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D') and the last block's own topology (B, D, V, V)."""
        h = as_channels(self.norm, x)
        for block in self.blocks:
            graph = cast(_MotionTopology, block.graph)
            topology = graph.topology(h)
            h = cast(Block, block).over_time(graph.with_topology(h, topology), h)
        return h.mean(dim=(2, 3)), topology.flatten(1, 2)
