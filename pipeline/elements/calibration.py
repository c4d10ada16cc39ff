"""Chances that answers of the counter are right, by logistic regression on simulated dives.

The coefficients are what `benchmarks/counter.py fit --clips 96` prints; `benchmarks/counter.py
simulated` reports their reliability on others. The first of a row is the constant; the others are
of the features of ``flight_answers.flight_features`` in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "half_somersaults": (-3.19, -6.44, 7.47, -1.39),
    "half_twists": (5.01, 0.41, 0.15, -2.51, -3.53, -1.36, -0.24),
    "forward": (-0.72, 1.59, 0.85, -0.58),
    "travel": (-0.24, 3.00, 2.43),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (2.97, -2.18, -2.44, 0.58, -5.49, 3.32),
    "pike": (2.83, 1.94, -0.42, -3.82, 1.53, -0.45),
    "tuck": (-4.43, 0.53, 3.67, 4.67, -1.88, -3.91),
    "free": (-1.37, -0.29, -0.80, -1.43, 5.84, 1.04),
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
