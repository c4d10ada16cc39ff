"""Simulated dives and saltos in pairs: with a pose model's errors, and exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ... import SkelactError
from ..data.pairs import ClipPairs
from ..elements.element import diving48_elements
from .choices import saltos
from .clips import ClipConfig, SynthClip, draw_clips
from .pose_errors import add_pose_errors

# Clips that are simulated at once; the draws of a clip depend on it.
_CHUNK = 128
# Left and right hip of COCO-17.
_HIPS = [11, 12]


def write_pairs(path: str | Path, count: int, *, seed: int = 0, noise: float = 1.0) -> None:
    """Write a file of pairs: dives of the classes of Diving48 and saltos, in equal shares.

    Args:
        path: Target.
        count: Number of clips.
        seed: Seed.
        noise: Size and rate of the errors, 1 as measured; see ``synth.pose_errors``.

    Raises:
        SkelactError: for fewer than one clip.
    """
    if count < 1:
        raise SkelactError(f"pairs: expected at least 1 clip, got {count}")
    clips = _simulate(count, seed)
    rng = np.random.default_rng([seed, count])
    seen = [_with_errors(clip, noise, rng) for clip in clips]
    depth = np.concatenate([clip.depth for clip in clips])
    ClipPairs(
        keypoints=np.concatenate([keypoints for keypoints, _ in seen]),
        scores=np.concatenate([scores for _, scores in seen]),
        exact=np.concatenate([clip.keypoints for clip in clips]),
        shown=np.concatenate([clip.keypoint_scores > 0 for clip in clips]),
        depth=depth - depth[:, _HIPS].mean(axis=1, keepdims=True),
        phase=np.concatenate([clip.phase for clip in clips]),
        lengths=np.array([len(clip.phase) for clip in clips]),
        img_shapes=np.array([clip.img_shape for clip in clips]),
    ).save(path)


def _simulate(count: int, seed: int) -> list[SynthClip]:
    pools = diving48_elements()[1], saltos()
    clips: list[SynthClip] = []
    chunk = 0
    while len(clips) < count:
        rng = np.random.default_rng([seed, chunk])
        kinds = rng.integers(len(pools), size=_CHUNK)
        elements = [pools[kind][int(rng.integers(len(pools[kind])))] for kind in kinds]
        exact = ClipConfig(0.0, lead_seconds=(0.1, 2.0), tail_seconds=(0.1, 1.0), cut_chance=0)
        clips += [clip for clip in draw_clips(elements, rng, exact) if clip is not None]
        chunk += 1
    return clips[:count]


def _with_errors(
    clip: SynthClip, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    keypoints, scores = add_pose_errors(
        clip.keypoints[None],
        clip.keypoint_scores[None],
        clip.depth[None],
        np.array([clip.fps * clip.slow_motion]),
        noise,
        rng,
    )
    return keypoints[0] * (scores[0] > 0)[..., None], scores[0]
