"""Chances that answers of the counter are right, by logistic regression on simulated dives.

They hold for a flight that is whole and in the picture: of what is not shown nobody can know.

The coefficients are what `benchmarks/counter.py fit` prints, with L2 penalties that
cross-validation chooses; `benchmarks/counter.py simulated` reports their reliability on others. The
first of a row is the constant; the others are of the features of
``flight_answers.flight_features`` in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .dive_counts import dive_counts

_COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "half_somersaults": (-6.02, -7.42, 9.97, 2.22),
    "forward": (-2.82, 0.98, 3.03, -0.20),
    "travel": (5.81, 0.13, -0.35),
}
_POSITIONS: dict[str, tuple[float, ...]] = {
    "straight": (5.42, -1.29, -3.47, 0.80, -3.11, -4.38, -0.79),
    "pike": (-0.12, 2.25, 0.90, -4.88, 0.05, 3.32, 4.03),
    "tuck": (-5.58, 0.81, 4.10, 4.79, 0.70, -4.56, 1.69),
    "free": (0.28, -1.77, -1.53, -0.70, 2.36, 5.62, -4.93),
}
POSITIONS = tuple(_POSITIONS)
# A number that no dive has is as rare as this share of its row, and one dive more.
_UNSEEN = 0.02
# Weights of what is seen and of how common it is.
_TWIST_WEIGHTS = (0.49, 1.09)


def twist_chances(values: np.ndarray, half_somersaults: int) -> np.ndarray:
    """Return the chance of each number of half twists, (10,).

    Args:
        values: (10,) how well each explains what is seen; see ``TwistCount``.
        half_somersaults: Half somersaults of the flight.
    """
    logits = _TWIST_WEIGHTS[0] * values + _TWIST_WEIGHTS[1] * twist_priors(half_somersaults)
    chances: np.ndarray = np.exp(logits - logits.max())
    return chances / chances.sum()


@lru_cache(maxsize=16)
def twist_priors(half_somersaults: int) -> np.ndarray:
    """Return the log of how common each number of half twists is in real dives, (10,)."""
    counts = np.zeros(10)
    for dive, count in dive_counts().items():
        if dive.half_somersaults == half_somersaults:
            counts[dive.half_twists or 0] += count
    if not counts.any():
        counts[0] = 1  # somersaults that no dive has
    shares = counts + _UNSEEN * counts.sum() + 1
    logs: np.ndarray = np.log(shares / shares.sum())
    logs.setflags(write=False)  # it is kept
    return logs


def right_chance(name: str, features: Sequence[float]) -> float:
    """Return the chance, 0 to 1, that an answer is right.

    Args:
        name: "half_somersaults", "forward" or "travel".
        features: As many as its row has coefficients after the constant.
    """
    constant, *weights = _COEFFICIENTS[name]
    return float(1 / (1 + np.exp(-(constant + np.dot(weights, features)))))


def position_chances(features: Sequence[float]) -> np.ndarray:
    """Return the chances (4,) of ``POSITIONS``; they sum to 1."""
    rows = np.array(list(_POSITIONS.values()))
    logits = rows[:, 0] + rows[:, 1:] @ np.asarray(features)
    chances: np.ndarray = np.exp(logits - logits.max())
    return chances / chances.sum()
