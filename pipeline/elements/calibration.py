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
    "half_somersaults": (-3.81, -4.42, 7.25, 1.31),
    "half_twists": (6.35, 0.36, 0.14, -2.92, -9.15, 1.09, -0.26),
    "forward": (-1.45, 1.10, 1.70, 0.03),
    "travel": (5.74, 0.46, 4.03),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (3.88, -1.03, -3.68, -0.60, -2.73, 0.22, -1.92),
    "pike": (-0.31, 1.89, 1.23, -4.19, -0.94, 3.79, 4.30),
    "tuck": (-6.03, -0.31, 5.28, 5.08, 1.91, -4.59, 2.65),
    "free": (2.45, -0.55, -2.84, -0.29, 1.76, 0.58, -5.03),
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
