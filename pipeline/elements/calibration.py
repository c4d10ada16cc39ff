"""Chances that answers of the counter are right, by logistic regression on simulated dives.

They hold for a flight that is whole and in the picture: of what is not shown nobody can know.

The coefficients are what `benchmarks/counter.py fit --clips 192` prints; `benchmarks/counter.py
simulated` reports their reliability on others. The first of a row is the constant; the others are
of the features of ``flight_answers.flight_features`` in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "half_somersaults": (-4.97, -11.17, 8.61, 1.90),
    "half_twists": (6.71, 0.13, 0.22, -3.45, -9.10, 1.35, -0.43),
    "forward": (-1.09, 0.92, 1.33, 0.19),
    "travel": (0.22, 1.26, 3.13),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (4.01, -2.03, -1.79, -0.61, -2.80, -2.01),
    "pike": (0.67, 1.85, 0.16, -2.49, 1.41, 0.93),
    "tuck": (-5.05, 1.18, 2.64, 4.29, -0.45, -2.12),
    "free": (0.37, -0.99, -1.01, -1.19, 1.84, 3.20),
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
