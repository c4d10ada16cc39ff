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
