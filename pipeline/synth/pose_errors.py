"""Errors of a pose model, added to exact keypoints: noise, swaps, outliers and lost frames.

Rates and sizes are set by hand for a light pose model at ``noise`` 1; no measurement of a model
stands behind them, and the tests of the synthetic set hold the resulting rates.
"""

from __future__ import annotations

import numpy as np

from ...pose_extract.layout import COCO_17
from .noise import bursts, red_noise

# Standard deviation of human annotation of each joint, in square roots of the person's area (COCO's
# OKS: https://cocodataset.org/#keypoints-eval).
_OKS_SIGMAS = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float32)
    / 1000
)
_LIMBS = ("elbow", "wrist"), ("knee", "ankle")
# Standard deviation of the noise of a joint, in its sigmas times the longer side of the box.
_JOINT_NOISE = 0.2
# Chances per frame: of a run of swapped sides, of an outlier of a joint, of a run of lost frames;
# and mean lengths of the runs in frames.
_SWAP_PROB, _OUTLIER_PROB, _LOSS_PROB = 0.008, 0.012, 0.006
_SWAP_FRAMES, _LOSS_FRAMES = 4, 3
# Standard deviation of an outlier from the middle of the body, of the longer side of its box.
_OUTLIER_DISTANCE = 0.3
# A joint further from the camera than the hips by more, in metres, is hidden by the body.
_HIDDEN_DEPTH = 0.06
# Angular speed of the trunk, radians per second, that doubles the errors.
_FAST = 12


def add_pose_errors(
    keypoints: np.ndarray,
    scores: np.ndarray,
    depth: np.ndarray,
    fps: np.ndarray,
    noise: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints and scores as a pose model would give them.

    Errors are larger and more frequent where the body is inverted or rotates fast, and larger at
    joints that the body hides.

    Args:
        keypoints: (N, T, 17, 2) float32 pixels, exact.
        scores: (N, T, 17) float32, 0 where a joint is missing.
        depth: (N, T, 17) float32 metres from the camera.
        fps: (N,) frames per second.
        noise: Scales the noise and the rates of all errors; 1 is a light pose model.
        rng: Random state.

    Returns:
        Keypoints (N, T, 17, 2) float32 in pixels and scores (N, T, 17) float32.
    """
    count, steps = keypoints.shape[:2]
    difficulty = _difficulty(keypoints, fps)
    extent = keypoints.max(axis=2) - keypoints.min(axis=2)
    size = np.maximum(extent[..., :1], extent[..., 1:])  # (N, T, 1)
    hidden = depth > (depth[:, :, 11] + depth[:, :, 12])[..., None] / 2 + _HIDDEN_DEPTH
    hidden = hidden.astype(np.float32)
    spread = (
        (noise * _JOINT_NOISE * _OKS_SIGMAS) * (size * difficulty[..., None]) * (1 + 0.5 * hidden)
    )
    # Half of the variance is independent per frame, half is correlated over time.
    moved = rng.standard_normal(keypoints.shape, dtype=np.float32)
    moved += red_noise(keypoints.shape, 0.8, rng)
    moved *= spread[..., None]
    moved += keypoints
    confidence = 0.97 - 0.1 * difficulty[..., None] - 0.08 * hidden
    confidence += 0.05 * rng.standard_normal(scores.shape, dtype=np.float32)

    swapped = rng.random((count, steps), dtype=np.float32) < noise * _SWAP_PROB * difficulty
    moved = _swap_sides(moved, bursts(swapped, _SWAP_FRAMES, rng), rng)

    chance = noise * _OUTLIER_PROB * difficulty[..., None]
    clip, step, _ = outliers = np.nonzero(rng.random(scores.shape, dtype=np.float32) < chance)
    offset = (
        _OUTLIER_DISTANCE * rng.standard_normal((len(clip), 2), dtype=np.float32) * size[clip, step]
    )
    moved[outliers] = keypoints.mean(axis=2)[clip, step] + offset
    confidence[outliers] = rng.uniform(0.03, 0.4, len(clip))

    lost = rng.random((count, steps), dtype=np.float32) < noise * _LOSS_PROB * difficulty
    present = (scores > 0) & ~bursts(lost, _LOSS_FRAMES, rng)[..., None]
    return moved, np.where(present, confidence.clip(0.03, 1.0), 0).astype(np.float32)


def _difficulty(keypoints: np.ndarray, fps: np.ndarray) -> np.ndarray:
    """Return a factor of the errors (N, T): 1 for a body upright at rest, up to 3.5.

    It grows by up to 1 where the trunk is inverted and by up to 1.5 where it rotates fast.
    """
    trunk = keypoints[:, :, 5] + keypoints[:, :, 6] - keypoints[:, :, 11] - keypoints[:, :, 12]
    angle = np.unwrap(np.arctan2(trunk[..., 0], -trunk[..., 1]), axis=1)
    inverted = (1 - np.cos(angle)) / 2
    speed = np.abs(np.gradient(angle, axis=1)) * fps[:, None]  # radians per second
    return (1 + inverted + (speed / _FAST).clip(0, 1.5)).astype(np.float32)


def _swap_sides(points: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Swap left and right arms, legs or both in the frames ``where`` (N, T) is True."""
    kind = rng.integers(3, size=(len(points), 1))
    out = points.copy()
    for limb, names in enumerate(_LIMBS):
        clip, step = np.nonzero(where & (kind != limb))
        for name in names:
            left, right = COCO_17.index(f"left_{name}"), COCO_17.index(f"right_{name}")
            out[clip, step, left] = points[clip, step, right]
            out[clip, step, right] = points[clip, step, left]
    return out
