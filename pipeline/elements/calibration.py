"""Chances that answers of the counter are right, by logistic regression on simulated dives.

The coefficients are what `benchmarks/counter.py fit --clips 96` prints; `benchmarks/counter.py
simulated` reports their reliability on others. The first of a row is the constant; the others are
of the features of ``counter.flight_features`` in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "half_somersaults": (-2.57, -4.58, 6.51, -1.43),
    "half_twists": (4.82, 0.53, 0.16, -1.99, -3.92, -1.61, -0.23),
    "forward": (-0.96, 1.03, 1.79, -0.27),
    "travel": (2.05, 2.70, -0.33),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (2.65, -2.18, -1.99, -0.73, -4.92, 3.38),
    "pike": (0.61, 2.06, 0.85, -3.98, 3.13, 0.27),
    "tuck": (-3.05, -0.19, 1.84, 6.14, -2.76, -4.60),
    "free": (-0.21, 0.32, -0.70, -1.43, 4.55, 0.96),
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
