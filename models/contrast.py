"""Contrast of clips, without labels: two views of a clip are alike, those of other clips are not.

At first the positive of a view is the other view of its clip (SimCLR, Chen et al., ICML 2020),
later also a near neighbour of it in a memory of all training clips (NNCLR, Dwibedi et al., ICCV
2021), so that clips of one action come together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# NNCLR's projection head for a million images is 2048 and 256 wide. Set for a thousand clips before
# the first measurement, and not compared.
_HIDDEN, _EMBEDDED = 256, 128


class ClipContrast(nn.Module):
    """The projection head, the memory of embeddings, and the loss.

    Args:
        feature_dim: D, width of a clip's vector.
        num_clips: Training clips that the memory holds.
        temperature: Of the softmax over similarities.
        num_neighbours: K; the positive is drawn from the K nearest clips of the memory.
    """

    memory: Tensor

    def __init__(
        self, feature_dim: int, num_clips: int, *, temperature: float, num_neighbours: int
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.num_neighbours = num_neighbours
        self.project = nn.Sequential(
            nn.Linear(feature_dim, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _EMBEDDED),
        )
        # Zeros, which are like nothing, until a clip is seen. Each process has a memory of its own.
        self.register_buffer("memory", torch.zeros(num_clips, _EMBEDDED))

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        inds: Tensor,
        *,
        neighbours: bool,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the loss of a batch, and keep the first views' embeddings.

        Args:
            first: (N, D) vectors of one view of each clip; N is at least 2.
            second: (N, D) vectors of another.
            inds: (N,) int64, number of each clip in the memory, each once.
            neighbours: Whether near clips of the memory are positives, too.
            generator: Random state on the device of the vectors.
        """
        both = F.normalize(self.project(torch.cat([first, second]).float()).float(), dim=1)
        one, other = both.chunk(2)
        loss = info_nce(one, other, self.temperature)
        if neighbours:
            pairs = (self._neighbours(one, inds, generator), other), (
                self._neighbours(other, inds, generator), one
            )  # fmt: skip
            loss = loss + sum(_cross_entropy(*pair, self.temperature) for pair in pairs) / 2
        with torch.no_grad():
            self.memory[inds] = one.to(self.memory.dtype)
        return loss

    @torch.no_grad()
    def _neighbours(self, queries: Tensor, inds: Tensor, generator: torch.Generator) -> Tensor:
        """Return for each query (N, E) one of the nearest embeddings of other clips, (N, E)."""
        similarity = queries @ self.memory.T
        similarity.scatter_(1, inds[:, None], -2.0)  # its own: below any cosine
        count = min(self.num_neighbours, similarity.shape[1] - 1)
        nearest = similarity.topk(count, dim=1).indices
        pick = torch.randint(count, (len(inds), 1), generator=generator, device=inds.device)
        return self.memory[nearest.gather(1, pick).squeeze(1)]


def info_nce(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return SimCLR's loss (NT-Xent): each view against the other views of the batch.

    Args:
        one: (N, E) embeddings of unit length.
        other: (N, E) those of another view of the same clips.
        temperature: Of the softmax.
    """
    count = len(one)
    both = torch.cat([one, other])
    similarity = both @ both.T / temperature
    similarity = similarity.masked_fill(
        torch.eye(2 * count, dtype=torch.bool, device=one.device), float("-inf")
    )
    positive = torch.arange(2 * count, device=one.device).roll(count)
    return F.cross_entropy(similarity, positive)


def _cross_entropy(anchors: Tensor, views: Tensor, temperature: float) -> Tensor:
    """Return NNCLR's loss of anchors (N, E) with the views (N, E) that are their positives."""
    similarity = anchors @ views.T / temperature
    return F.cross_entropy(similarity, torch.arange(len(anchors), device=anchors.device))
