"""All clips of a split in memory, and batches of them made at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .annotations import Annotation
from .preprocess import PreprocessConfig, clip_positions, normalize, sample_steps


class ClipStore:
    """The normalised frames of many clips in one tensor.

    A batch is one gather; no Python runs per clip. The frames move to the device of the first
    batch asked for and stay there.

    Args:
        annotations: The clips; those without a frame become one frame of zeros.
        config: How they are normalised and sampled.
    """

    def __init__(self, annotations: Sequence[Annotation], config: PreprocessConfig) -> None:
        self.config = config
        self.names = [annotation.frame_dir for annotation in annotations]
        self.labels = torch.tensor([annotation.label for annotation in annotations])
        self._lengths = np.array([max(1, clip.keypoints.shape[1]) for clip in annotations])
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)[:-1]])
        # (total frames, M, V, C): a clip's frames lie together. Filled clip by clip, because large
        # data sets do not fit into memory several times.
        num_person, _, num_keypoints, channels = config.tensor_shape
        shape = (self._lengths.sum(), num_person, num_keypoints, channels)
        frames = np.zeros(shape, np.float32)
        # Clips without a joint to learn from: all are missing or ignored.
        self.num_empty = 0
        for start, annotation in zip(self._starts, annotations, strict=True):
            clip = normalize(annotation, config)
            frames[start : start + clip.shape[1]] = clip.swapaxes(0, 1)
            self.num_empty += not clip.any()
        self._frames = torch.from_numpy(frames)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def median_frames(self) -> int:
        """Middle length of the clips, in frames."""
        return int(np.median(self._lengths))

    @property
    def max_frames(self) -> int:
        """Length of the longest clip, in frames."""
        return int(self._lengths.max())

    def __deepcopy__(self, memo: dict[int, Any]) -> ClipStore:
        # Read-only data: an averaged copy of a model shares it.
        return self

    def batch(
        self,
        inds: Tensor,
        device: torch.device,
        position: Tensor | float = 0.5,
    ) -> Tensor:
        """Return (N, M, T, V, C) float32 on ``device``.

        Args:
            inds: (N,) clip numbers, on the CPU.
            device: Where the batch is wanted.
            position: See :func:`sample_steps`; a tensor (N, T) gives each frame its own.
        """
        if self._frames.device != device:
            self._frames = self._frames.to(device)
        rows = self.rows(inds, position).to(device)
        return self._frames[rows].transpose(1, 2)  # (N, T, M, V, C) -> (N, M, T, V, C)

    def rows(self, inds: Tensor, position: Tensor | float = 0.5) -> Tensor:
        """Return (N, T) int64, on the CPU: the frames of :meth:`batch` among those of all clips.

        Args:
            inds, position: See :meth:`batch`.
        """
        chosen = inds.numpy()
        where = position.cpu().numpy() if isinstance(position, Tensor) else position
        steps = sample_steps(self._lengths[chosen], self.config.clip_len, where)
        return torch.from_numpy(self._starts[chosen][:, None] + steps)

    def test_batch(self, inds: Tensor, device: torch.device, num_clips: int) -> Tensor:
        """Return (N, num_clips, M, T, V, C): what :func:`preprocess` gives for each clip."""
        clips = [self.batch(inds, device, position) for position in clip_positions(num_clips)]
        return torch.stack(clips, dim=1)
