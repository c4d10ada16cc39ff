"""Random draws of many clips at once: noise and states over time, values by rank, categories."""

from __future__ import annotations

import numpy as np

# All states together have at most this share of the frames.
MAX_SHARE = 0.9


def correlated_noise(
    shape: tuple[int, int, int], correlation: float, steps: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return normal first-order autoregressive noise (N, T, K) float32 of variance 1.

    Args:
        shape: (N, T, K).
        correlation: Of values that are one unit of time apart.
        steps: (N,) time between frames in that unit.
        rng: Random state.
    """
    kept = np.asarray(correlation**steps, np.float32)[:, None]
    fresh = np.sqrt(1 - kept**2)
    out = rng.standard_normal(shape, dtype=np.float32)
    out[:, 1:] *= fresh[:, None]
    for step in range(1, shape[1]):
        out[:, step] += kept * out[:, step - 1]
    return out


def state_runs(
    shares: np.ndarray, run_seconds: np.ndarray, seconds: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return states (N, T) int, 0 or one of S that last for a while, a Markov chain.

    Args:
        shares: (N, T, S) share of the frames that a state has.
        run_seconds: (S,) mean time that a state lasts.
        seconds: (N,) between frames.
        rng: Random state.
    """
    count, num_frames, _ = shares.shape
    total = shares.sum(axis=-1, keepdims=True)
    shares = shares * np.minimum(1, MAX_SHARE / np.maximum(total, 1e-9))
    ends = -np.expm1(-seconds[:, None] / run_seconds)  # (N, S)
    # As many frames enter a state as leave it.
    rest = 1 - shares.sum(axis=-1, keepdims=True)
    enters = np.cumsum(shares * ends[:, None] / rest, axis=-1)
    enters /= np.maximum(enters[..., -1:], 1)
    enters[:, 0] = np.cumsum(shares[:, 0], axis=-1)
    drawn = rng.random((count, num_frames, 1), dtype=np.float32)
    # What follows each state: none or one of the others after none, itself or none after others.
    after = np.where(drawn >= ends[:, None], np.arange(1, shares.shape[2] + 1), 0)
    entered = (drawn >= enters).sum(axis=-1, keepdims=True) + 1
    after = np.concatenate([entered % (shares.shape[2] + 1), after], axis=-1)
    states = np.zeros((count, num_frames), int)
    states[:, 0] = after[:, 0, 0]
    rows = np.arange(count)
    for step in range(1, num_frames):
        states[:, step] = after[rows, step, states[:, step - 1]]
    return states


def values_at(table: np.ndarray, cell: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return float32 values at ranks (...), cut at 1, from the quantiles of their cells.

    Args:
        table: (..., Q) quantiles at equal steps from 0 to 1.
        cell: (...) int32 numbers of rows of the table as (-1, Q).
        ranks: (...) float32.
    """
    size = table.shape[-1]
    place = np.minimum(ranks, np.float32(1 - 1e-6)) * np.float32(size - 1)
    low = place.astype(np.int32)
    place -= low
    low += cell * np.int32(size)
    flat = table.astype(np.float32).ravel()
    place *= np.append(np.diff(flat), np.float32(0)).take(low)
    place += flat.take(low)
    return np.asarray(place)


def pick(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (K,) a column drawn by each row of shares (K, C)."""
    total = np.cumsum(shares, axis=1)
    drawn = rng.random((len(shares), 1)) * total[:, -1:]
    return np.asarray((drawn > total[:, :-1]).sum(axis=1))
