"""How often real dives are done: 4,412 of FineDiving and MTL-AQA, by their numbers."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from .element import Element

_PRIORS = Path(__file__).with_name("dive_priors.json")


@lru_cache(maxsize=1)
def dive_counts() -> dict[Element, int]:
    """Return how many there are of each dive (``benchmarks/dive_priors.py``).

    Those without a half somersault are labels such as 300D, which are no dives.
    """
    counts = json.loads(_PRIORS.read_text(encoding="utf-8"))["dives"]
    return {Element.from_dive_number(number): count for number, count in counts.items()}
