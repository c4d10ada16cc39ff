"""How often real dives are done."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..elements.dive_counts import dive_counts
from ..elements.element import Element


@lru_cache(maxsize=1)
def dive_shares() -> tuple[tuple[Element, ...], np.ndarray]:
    """Return dives of real competitions and their shares."""
    counts = {dive: count for dive, count in dive_counts().items() if dive.half_somersaults}
    amounts = np.array(list(counts.values()))
    return tuple(counts), amounts / amounts.sum()
