"""Random processes over time, of many clips at once."""

from __future__ import annotations

import numpy as np


def red_noise(shape: tuple[int, ...], correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Return first-order autoregressive noise of variance 1, (N, T, ...) float32.

    Args:
        shape: (N, T, ...).
        correlation: Correlation of a step with the one before, 0 to below 1.
        rng: Random state.
    """
    out = rng.standard_normal(shape, dtype=np.float32)
    fresh = np.float32(np.sqrt(1 - correlation**2))
    for step in range(1, shape[1]):
        out[:, step] *= fresh
        out[:, step] += np.float32(correlation) * out[:, step - 1]
    return out


def bursts(
    starts: np.ndarray, mean_frames: float, rng: np.random.Generator, max_frames: int = 12
) -> np.ndarray:
    """Return (N, T) bool: runs of random length from each start.

    Args:
        starts: (N, T) bool, True where a run starts.
        mean_frames: Mean length of a run; lengths have a geometric distribution.
        rng: Random state.
        max_frames: Maximum length of a run.
    """
    lengths = np.minimum(rng.geometric(1 / mean_frames, starts.shape), max_frames)
    remaining = np.where(starts, lengths, 0)
    out = remaining > 0
    for _ in range(max_frames - 1):
        remaining = np.maximum(remaining - 1, 0)
        remaining[:, 1:] = np.maximum(remaining[:, :-1], 0)
        remaining[:, 0] = 0
        out |= remaining > 0
    return out
