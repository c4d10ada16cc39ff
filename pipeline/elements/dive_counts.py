"""How often real dives are done: 4,412 of FineDiving and MTL-AQA, by their numbers."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from .element import MAX_HALF_SOMERSAULTS, Element

_PRIORS = Path(__file__).with_name("dive_priors.json")


@lru_cache(maxsize=1)
def dive_counts() -> dict[Element, int]:
    """Return how many there are of each dive (``benchmarks/dive_priors.py``).

    Those without a half somersault are labels such as 300D, which are no dives.
    """
    counts = json.loads(_PRIORS.read_text(encoding="utf-8"))["dives"]
    return {Element.from_dive_number(number): count for number, count in counts.items()}


@lru_cache(maxsize=2)
def half_somersault_shares(from_hands: bool) -> np.ndarray:
    """Return how common 0 to 11 half somersaults are in dives, (12,), from the feet or the hands.

    Who stands on the feet enters head first: of 3,974 such dives one has an even number. Half of
    the weight is alike for all numbers, since others dive than those who compete: they jump from
    cliffs, and enter feet first.
    """
    counts = np.zeros(MAX_HALF_SOMERSAULTS + 1)
    for dive, count in dive_counts().items():
        if (dive.takeoff or "").startswith("armstand") == from_hands:
            counts[dive.half_somersaults or 0] += count
    counts[0] = 0
    shares: np.ndarray = (counts / counts.sum() + 1 / len(counts)) / 2
    return shares
