"""Simulated clips as pre-training sees them: with a pose model's errors, and exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..config import SimulatedConfig
from ..data.annotations import Annotation
from ..data.clip_store import ClipStore
from ..data.preprocess import PreprocessConfig
from ..data.record import NO_LABEL
from ..elements.element import diving48_elements
from ..synth.choices import saltos
from ..synth.clips import ClipConfig, SynthClip, draw_clips
from ..synth.pose_errors import add_pose_errors

# Clips that are simulated at once; the draws of a clip depend on it.
_CHUNK = 128
# Left and right hip of COCO-17.
_HIPS = [11, 12]


class SimulatedClips:
    """Clips of dives (the classes of Diving48) and saltos in equal shares.

    Each is shown as two people: the first with errors, the second exact, both in the frame of
    reference that they share.

    Args:
        config: How many, and with what errors.
        preprocess: How they are normalised and sampled.
    """

    def __init__(self, config: SimulatedConfig, preprocess: PreprocessConfig) -> None:
        self.batch_size = config.batch_size
        clips = _simulate(config.clips, config.seed)
        rng = np.random.default_rng([config.seed, config.clips])
        pairs = [_pair(clip, config.noise, rng) for clip in clips]
        self._store = ClipStore(pairs, replace(preprocess, num_person=2))
        depth = np.concatenate([clip.depth for clip in clips])
        self._depth = torch.from_numpy(depth - depth[:, _HIPS].mean(axis=1, keepdims=True))
        self._phase = torch.from_numpy(np.concatenate([clip.phase for clip in clips])).long()

    def __len__(self) -> int:
        return len(self._store)

    def batch(
        self, inds: Tensor, device: torch.device, position: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Return clips (N, 2, T, V, C + 1) with the depth as their last channel, and phases (N, T).

        Args:
            inds, device, position: See :meth:`ClipStore.batch`.

        Returns:
            Normalised coordinates and metres behind the hips, float32; int64 as in
            ``synth.motion.Motion.phase``.
        """
        rows = self._store.rows(inds, position)
        x = self._store.batch(inds, device, position)
        depth = self._depth[rows].to(device)[:, None, ..., None].expand(-1, 2, -1, -1, -1)
        return torch.cat([x, depth], dim=-1), self._phase[rows].to(device)


def _simulate(count: int, seed: int) -> list[SynthClip]:
    pools = diving48_elements()[1], saltos()
    clips: list[SynthClip] = []
    for chunk in range(2 * count):
        rng = np.random.default_rng([seed, chunk])
        kinds = rng.integers(len(pools), size=_CHUNK)
        elements = [pools[kind][int(rng.integers(len(pools[kind])))] for kind in kinds]
        exact = ClipConfig(0.0, lead_seconds=(0.1, 2.0), tail_seconds=(0.1, 1.0), cut_chance=0)
        clips += [clip for clip in draw_clips(elements, rng, exact) if clip is not None]
        if len(clips) >= count:
            break
    return clips[:count]


def _pair(clip: SynthClip, noise: float, rng: np.random.Generator) -> Annotation:
    """Return a clip of two people: what a pose model would see, and what was there."""
    keypoints, scores = add_pose_errors(
        clip.keypoints[None],
        clip.keypoint_scores[None],
        clip.depth[None],
        np.array([clip.fps * clip.slow_motion]),
        noise,
        rng,
    )
    return Annotation(
        "simulated clip",
        NO_LABEL,
        np.concatenate([keypoints * (scores > 0)[..., None], clip.keypoints[None]]),
        np.concatenate([scores, clip.keypoint_scores[None]]),
        clip.img_shape,
    )
