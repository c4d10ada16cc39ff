"""Clips that are seen twice, as pre-training takes them: with errors, and exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data.annotations import Annotation
from ..data.clip_store import ClipStore
from ..data.pairs import ClipPairs
from ..data.preprocess import PreprocessConfig
from ..data.record import NO_LABEL


class PairStore:
    """Clips as two people each: the first with errors, the second exact.

    Both are in the frame of reference that they share.

    Args:
        pairs: The clips.
        preprocess: How they are normalised and sampled.
    """

    def __init__(self, pairs: ClipPairs, preprocess: PreprocessConfig) -> None:
        ends = np.cumsum(pairs.lengths)
        clips = []
        for i, (start, end) in enumerate(zip(ends - pairs.lengths, ends)):
            part = slice(start, end)
            height, width = pairs.img_shapes[i].tolist()
            clips.append(
                Annotation(
                    f"pair {i}",
                    NO_LABEL,
                    np.stack([pairs.keypoints[part], pairs.exact[part]]),
                    np.stack([pairs.scores[part], pairs.shown[part].astype(np.float32)]),
                    (height, width),
                )
            )
        self._store = ClipStore(clips, replace(preprocess, num_person=2))
        self._depth = torch.from_numpy(pairs.depth)
        self._phase = torch.from_numpy(pairs.phase).long()

    def __len__(self) -> int:
        return len(self._store)

    def batch(
        self, inds: Tensor, device: torch.device, position: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Return clips (N, 2, T, V, C + 1) with the depth as their last channel, and phases (N, T).

        Args:
            inds, device, position: See :meth:`ClipStore.batch`.

        Returns:
            Normalised coordinates and metres behind the hips, float32; int64 as in ``ClipPairs``.
        """
        rows = self._store.rows(inds, position)
        x = self._store.batch(inds, device, position)
        depth = self._depth[rows].to(device)[:, None, ..., None].expand(-1, 2, -1, -1, -1)
        return torch.cat([x, depth], dim=-1), self._phase[rows].to(device)
