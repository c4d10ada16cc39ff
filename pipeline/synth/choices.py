"""What athletes do: the dives of real competitions with their shares, and saltos."""

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


def saltos() -> tuple[Element, ...]:
    """Return saltos of the Code of Points (FIG): what of them athletes do."""
    shapes, ways = ("tuck", "pike", "straight"), ("forward", "back")
    rows = [(way, 2, 0, shape) for way in ways for shape in shapes]
    rows += [("back", 2, twists, "straight") for twists in range(1, 8)]
    rows += [("forward", 2, twists, "straight") for twists in range(1, 6)]
    rows += [("back", 4, twists, shape) for twists in (0, 2) for shape in shapes]
    rows += [("back", 4, 4, "tuck"), ("back", 4, 4, "straight"), ("back", 6, 0, "tuck")]
    rows += [("forward", 4, 0, "tuck"), ("forward", 4, 1, "tuck")]
    return tuple(Element("salto", *row) for row in rows)  # type: ignore[arg-type]
