"""Chances that answers of the counter are right, by logistic regression on simulated dives.

The coefficients are what `benchmarks/counter.py fit` prints; `benchmarks/counter.py simulated`
reports their reliability on others. The first of a row is the constant; the others are of the
features of ``counter.flight_features`` in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "half_somersaults": (2.0, 0.0, 0.0, 0.0),
    "half_twists": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "forward": (2.0, 0.0, 0.0, 0.0),
    "travel": (2.0, 0.0, 0.0),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (0.0, -5.0, 0.0, 0.0, -1.0, 0.0),
    "pike": (0.0, 0.0, 0.0, -3.0, 0.0, 0.0),
    "tuck": (-2.0, 0.0, 0.0, 3.0, -3.0, 0.0),
    "free": (-3.0, 0.0, -3.0, 0.0, 5.0, 0.0),
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
