"""Noise over time, of many clips at once."""

from __future__ import annotations

import numpy as np


def red_noise(shape: tuple[int, ...], keep: float, rng: np.random.Generator) -> np.ndarray:
    """Return unit noise (N, T, ...) in which a step keeps the share ``keep`` of the last."""
    out = rng.standard_normal(shape, dtype=np.float32)
    fresh = np.float32(np.sqrt(1 - keep**2))
    for step in range(1, shape[1]):
        out[:, step] *= fresh
        out[:, step] += np.float32(keep) * out[:, step - 1]
    return out


def bursts(
    starts: np.ndarray, mean_frames: float, rng: np.random.Generator, most: int = 12
) -> np.ndarray:
    """Return (N, T) bool: runs of random length from each start (N, T)."""
    last = np.minimum(rng.geometric(1 / mean_frames, starts.shape), most)
    left = np.where(starts, last, 0)
    out = left > 0
    for _ in range(most - 1):
        left = np.maximum(left - 1, 0)
        left[:, 1:] = np.maximum(left[:, :-1], 0)
        left[:, 0] = 0
        out |= left > 0
    return out
