"""How often real dives are done."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from ... import SkelactError
from ..elements.element import Element

_PRIORS = Path(__file__).with_name("dive_priors.json")


@lru_cache(maxsize=1)
def dive_shares() -> tuple[tuple[Element, ...], np.ndarray]:
    """Return dives of real competitions and their shares (``benchmarks/dive_priors.py``)."""
    counts = json.loads(_PRIORS.read_text(encoding="utf-8"))["dives"]
    dives, amounts = [], []
    for number, amount in counts.items():
        try:
            dive = Element.from_dive_number(number)
        except SkelactError:
            continue  # labels such as 300D, no dive
        if dive.half_somersaults:
            dives.append(dive)
            amounts.append(amount)
    return tuple(dives), np.array(amounts) / sum(amounts)
