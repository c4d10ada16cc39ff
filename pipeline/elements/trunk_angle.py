"""The trunk's unwrapped angle: a steady path that agrees with most frames (Viterbi)."""

from __future__ import annotations

import numpy as np

# Bins of the angle and their size, and the greatest step per frame in bins. Simulated
# divers of 109C rotate at up to 1400 degrees per second, 58 degrees per frame at 24 fps.
_NUM_BINS = 48
_BIN = 2 * np.pi / _NUM_BINS
_MAX_STEP = 9
# Sharpness of a hypothesis (von Mises): its errors are about 25 degrees. Rewards are bounded, so
# that a wrong frame costs the path no more than a missing one.
_KAPPA = 5.0
# Costs of a change of speed by bins per frame, and of the square of what is beyond one bin, which
# is rounding: where nothing is seen a body turns on as it did. Speed itself costs little, so that
# of equal paths the still one is taken. Chosen on simulated dives and dive_207C, whose trunk is
# lost for a while.
_CHANGE_COST, _ACCELERATION_COST = 0.08, 0.12
_SPEED_COST = 0.002


def trunk_path(axes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unwrapped angle of the trunk and how well each frame agrees with it.

    Args:
        axes: (T, S) radians, hypotheses of the angle in each frame.
        weights: (T, S), 0 where there is none.

    Returns:
        Angles (T,) float64 in radians, the first within -pi to pi; agreement (T,) float64, -1 to 1:
        mean cosine between the path and the hypotheses, times their weight.
    """
    path, _ = _best_path(axes, weights, np.arange(-_MAX_STEP, _MAX_STEP + 1))
    return _refined(path, axes, weights)


def one_way_path(axes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same as ``trunk_path`` for a body that does not change its sense of rotation.

    In flight the angular momentum is constant.
    """
    steps = np.arange(_MAX_STEP + 1)
    candidates = [_best_path(axes, weights, sense * steps) for sense in (1, -1)]
    path, _ = max(candidates, key=lambda candidate: candidate[1])
    return _refined(path, axes, weights)


def _best_path(
    axes: np.ndarray, weights: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the path (T,) with the greatest sum of rewards less costs, and that sum.

    Args:
        axes, weights: See ``trunk_path``.
        steps: (K,) int, steps per frame that are allowed, in bins.
    """
    bins = np.arange(_NUM_BINS) * _BIN
    close = np.cos(bins[None, :, None] - axes[:, None, :])
    reward = (np.exp(_KAPPA * (close - 1)) * weights[:, None, :]).sum(axis=2)
    change = np.abs(steps[:, None] - steps[None, :])
    cost = _CHANGE_COST * change + _ACCELERATION_COST * np.maximum(change - 1, 0) ** 2
    cost = cost + _SPEED_COST * np.abs(steps)[:, None]
    # best[v, a]: the best path that arrives at bin a with step v.
    source = (np.arange(_NUM_BINS)[None, :] - steps[:, None]) % _NUM_BINS
    best = np.zeros((len(steps), _NUM_BINS)) + reward[0] - _SPEED_COST * np.abs(steps)[:, None]
    back = np.zeros((len(axes), len(steps), _NUM_BINS), np.int8)
    rows = np.arange(len(steps))[:, None]
    for t in range(1, len(axes)):
        # (new step, old step, bin before)
        options = best[None] - cost[:, :, None]
        arrived = options.argmax(axis=1)
        value = np.take_along_axis(options, arrived[:, None], axis=1)[:, 0]
        best = value[rows, source] + reward[t]
        back[t] = arrived[rows, source]
    total = float(best.max())
    step, place = np.unravel_index(int(best.argmax()), best.shape)
    moves = np.zeros(len(axes))
    for t in range(len(axes) - 1, 0, -1):
        moves[t] = steps[step]
        step, place = back[t, step, place], (place - steps[step]) % _NUM_BINS
    path = (place + moves.cumsum()) * _BIN
    return path - 2 * np.pi * np.round(path[0] / (2 * np.pi)), total


def _refined(
    path: np.ndarray, axes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move the path from bins to the hypotheses near it."""
    away = np.angle(np.exp(1j * (axes - path[:, None])))
    near = weights * (np.abs(away) < 3 * _BIN)
    total = near.sum(axis=1)
    shift = (near * away).sum(axis=1) / np.maximum(total, 1e-6)
    agreement = (weights * np.cos(away)).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-6)
    weight = (weights.sum(axis=1)).clip(0, 1)
    return path + np.where(total > 0.1, shift, 0.0), agreement * weight
