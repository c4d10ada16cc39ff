"""Roots of many small systems of equations at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Residual = Callable[[np.ndarray, np.ndarray], np.ndarray]


def find_roots(
    residual: Residual,
    rows: np.ndarray,
    x: np.ndarray,
    jacobian: np.ndarray | None,
    steps: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    tolerance: float,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best x (M, U) that Broyden's method finds, and their residuals (M, U).

    Args:
        residual: Takes rows (R,) int and their x (R, U), returns (R, U).
        rows: (L,) int, ascending, those of the M systems that are looked at.
        x: (M, U), where to begin.
        jacobian: (M, U, U) at the beginning; by differences without it.
        steps: (M, U), the most that a round may change.
        bounds: Least and most, (M, U) each.
        tolerance: A system whose residuals are all below is done.
        rounds: The most calls of ``residual`` for each system, the first and differences left out.
    """
    x = x.copy()
    best_x, best = x.copy(), np.zeros(x.shape)
    now = best[rows] = residual(rows, x[rows])
    if jacobian is None:
        jacobian = np.zeros((*x.shape, x.shape[1]))
        far = np.abs(now).max(axis=1) > tolerance
        jacobian[rows[far]] = _differences(residual, rows[far], x, now[far], steps)
    slopes = jacobian.copy()
    for _ in range(rounds):
        on = np.abs(now).max(axis=1) > tolerance
        rows, now = rows[on], now[on]
        if not len(rows):
            break
        step = -(np.linalg.pinv(slopes[rows]) @ now[..., None])[..., 0]
        step *= np.minimum(1, (steps[rows] / np.abs(step).clip(1e-12)).min(axis=1))[:, None]
        new = np.clip(x[rows] + step, bounds[0][rows], bounds[1][rows])
        step = new - x[rows]
        x[rows] = new
        after = residual(rows, new)
        surprise = after - now - (slopes[rows] @ step[..., None])[..., 0]
        scaled = step / np.maximum(steps[rows], 1e-12) ** 2
        size = (step * scaled).sum(axis=1).clip(1e-12)
        slopes[rows] += surprise[..., None] * (scaled / size[:, None])[:, None, :]
        now = after
        better = np.abs(now).max(axis=1) < np.abs(best[rows]).max(axis=1)
        best_x[rows[better]], best[rows[better]] = new[better], now[better]
    return best_x, best


def _differences(
    residual: Residual, rows: np.ndarray, x: np.ndarray, now: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the Jacobian (R, U, U) of rows by differences of a twentieth of the steps."""
    out = np.zeros((len(rows), x.shape[1], x.shape[1]))
    for k in range(x.shape[1] if len(rows) else 0):
        other, change = x[rows], 0.05 * steps[rows, k]
        other[:, k] += change
        out[:, :, k] = (residual(rows, other) - now) / change[:, None]
    return out
