"""Chances that answers of the counter are right, by logistic regression on simulated dives.

The coefficients are what `benchmarks/counter.py fit --clips 96` prints; `benchmarks/counter.py
simulated` reports their reliability on others. The first of a row is the constant; the others are
of the features of ``counter.flight_features`` in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "half_somersaults": (2.98, -7.40, 2.62, -2.25),
    "half_twists": (6.92, 0.39, 0.34, -3.37, -4.72, -2.71, -0.88),
    "forward": (5.20, 0.79, -4.39, -0.79),
    "travel": (0.40, 2.81, 1.83),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (3.30, -1.54, -2.50, -1.62, -4.43, 2.44),
    "pike": (0.46, 5.47, 3.02, -6.35, 0.82, -4.94),
    "tuck": (-2.60, 0.33, 2.33, 6.28, -1.42, -3.98),
    "free": (-1.15, -4.26, -2.85, 1.69, 5.03, 6.48),
}


def right_chance(name: str, features: Sequence[float]) -> float:
    """Return the chance, 0 to 1, that an answer is right.

    Args:
        name: "half_somersaults", "half_twists", "forward" or "travel".
        features: As many as its row has coefficients after the constant.
    """
    constant, *weights = _COEFFICIENTS[name]
    return float(1 / (1 + np.exp(-(constant + np.dot(weights, features)))))


def position_chances(features: Sequence[float]) -> dict[str, float]:
    """Return the chance of each position; they sum to 1."""
    rows = np.array(list(_POSITIONS.values()))
    logits = rows[:, 0] + rows[:, 1:] @ np.asarray(features)
    chances = np.exp(logits - logits.max())
    return dict(zip(_POSITIONS, (chances / chances.sum()).tolist()))
