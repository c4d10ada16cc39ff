"""What pose models get wrong, added to exact keypoints."""

from __future__ import annotations

import numpy as np

from ...pose_extract.layout import COCO_17
from .noise import bursts, red_noise

# How far apart people place a joint, of the square root of the person's area (COCO's OKS).
_SPREAD = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float32)
    / 1000
)
_LIMBS = ("elbow", "wrist"), ("knee", "ankle")


def add_pose_errors(
    keypoints: np.ndarray,
    scores: np.ndarray,
    depth: np.ndarray,
    fps: np.ndarray,
    noise: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Add what pose nets get wrong, more of it when the body is upside down, fast or turned away.

    Returns:
        Pixels (N, T, 17, 2) and scores (N, T, 17).
    """
    count, steps = keypoints.shape[:2]
    trouble = _trouble(keypoints, fps)
    extent = keypoints.max(axis=2) - keypoints.min(axis=2)
    size = np.maximum(extent[..., :1], extent[..., 1:])  # (N, T, 1)
    # Limbs on the far side of the body are hidden by it.
    hidden = depth > (depth[:, :, 11] + depth[:, :, 12])[..., None] / 2 + 0.06
    hidden = hidden.astype(np.float32)
    spread = (noise * 0.2 * _SPREAD) * (size * trouble[..., None]) * (1 + 0.5 * hidden)
    # Half of the noise's power comes and goes slowly.
    moved = rng.standard_normal(keypoints.shape, dtype=np.float32)
    moved += red_noise(keypoints.shape, 0.8, rng)
    moved *= spread[..., None]
    moved += keypoints
    certainty = 0.97 - 0.1 * trouble[..., None] - 0.08 * hidden
    certainty += 0.05 * rng.standard_normal(scores.shape, dtype=np.float32)

    sides = bursts(rng.random((count, steps), dtype=np.float32) < noise * 0.008 * trouble, 4, rng)
    moved = _exchange(moved, sides, rng)

    jumps = rng.random(scores.shape, dtype=np.float32) < noise * 0.012 * trouble[..., None]
    clip, step, _ = place = np.nonzero(jumps)
    wild = 0.3 * rng.standard_normal((len(clip), 2), dtype=np.float32) * size[clip, step]
    moved[place] = keypoints.mean(axis=2)[clip, step] + wild
    certainty[place] = rng.uniform(0.03, 0.4, len(clip))

    lost = bursts(rng.random((count, steps), dtype=np.float32) < noise * 0.006 * trouble, 3, rng)
    seen = (scores > 0) & ~lost[..., None]
    return moved, np.where(seen, certainty.clip(0.03, 1.0), 0).astype(np.float32)


def _trouble(keypoints: np.ndarray, fps: np.ndarray) -> np.ndarray:
    """Return (N, T): 1 for a body at rest upright, more where it is inverted or turns fast."""
    trunk = keypoints[:, :, 5] + keypoints[:, :, 6] - keypoints[:, :, 11] - keypoints[:, :, 12]
    angle = np.unwrap(np.arctan2(trunk[..., 0], -trunk[..., 1]), axis=1)
    inverted = (1 - np.cos(angle)) / 2
    speed = np.abs(np.gradient(angle, axis=1)) * fps[:, None]  # radians per second
    return (1 + inverted + (speed / 12).clip(0, 1.5)).astype(np.float32)


def _exchange(points: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchange left and right arms, legs or both in the chosen frames (N, T)."""
    kind = rng.integers(3, size=(len(points), 1))
    out = points.copy()
    for limb, names in enumerate(_LIMBS):
        clip, step = np.nonzero(where & (kind != limb))
        for name in names:
            left, right = COCO_17.index(f"left_{name}"), COCO_17.index(f"right_{name}")
            out[clip, step, left] = points[clip, step, right]
            out[clip, step, right] = points[clip, step, left]
    return out
