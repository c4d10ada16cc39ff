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
    "half_somersaults": (-3.22, -6.01, 6.83, 4.02),
    "half_twists": (6.49, 0.30, 0.15, -2.82, -9.12, 1.11, -0.56),
    "forward": (-0.24, 1.02, 0.65, -0.24),
    "travel": (5.75, 0.45, 4.04),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (3.93, -1.21, -3.70, -0.67, -3.46, 0.33),
    "pike": (0.88, 2.02, 0.33, -3.72, 0.55, 1.98),
    "tuck": (-6.01, -0.32, 5.42, 5.06, 1.86, -5.01),
    "free": (1.20, -0.50, -2.06, -0.66, 1.05, 2.70),
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
