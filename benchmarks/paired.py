"""Paired comparisons of two arms over the same draws, for tables with many of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from scipy import stats

# Chance to see a difference that is there, as is usual (Cohen 1988).
POWER = 0.8
_LEVEL = 0.05
# A comparison inside the text of a table: its p-value and the difference that it would see.
_MARK = re.compile(r"\{p=([^;]+);sees=([^}]+)\}")


@dataclass(frozen=True)
class Paired:
    """Mean of two - one over the draws that both have.

    Attributes:
        mean: In points.
        half: Half of the 95 % interval (paired t).
        p: Two-sided p-value of the same test.
        sees: The difference that is found at 5 % with a probability of 80 %.
        count: Number of draws.
    """

    mean: float
    half: float
    p: float
    sees: float
    count: int

    def text(self) -> str:
        """Return mean and interval, and a mark that :func:`corrected` takes away."""
        low, high = self.mean - self.half, self.mean + self.half
        return f"{self.mean:+.2f} [{low:+.2f}, {high:+.2f}]{{p={self.p!r};sees={self.sees!r}}}"


def paired(one: Mapping[int, float], two: Mapping[int, float]) -> Paired | None:
    """Compare two arms, figures by draw; None with fewer than two draws in both."""
    shared = sorted(set(one) & set(two))
    if len(shared) < 2:
        return None
    gaps = [two[draw] - one[draw] for draw in shared]
    freedom, error = len(gaps) - 1, stdev(gaps) / len(gaps) ** 0.5
    quantile = float(stats.t.ppf(1 - _LEVEL / 2, freedom))
    middle = mean(gaps)
    # Equal gaps in a few draws, which scores of few clips can have, say nothing of their spread.
    p = float(2 * stats.t.sf(abs(middle) / error, freedom)) if error > 0 else 1.0
    sees = (quantile + float(stats.t.ppf(POWER, freedom))) * error
    return Paired(middle, quantile * error, p, sees, len(gaps))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    for rank, i in enumerate(order):
        greatest = max(greatest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = greatest
    return adjusted


def corrected(table: str) -> str:
    """Return a table with ``**`` at what stands after Holm's correction, and a note on power."""
    marks = _MARK.findall(table)
    if not marks:
        return table
    adjusted = iter(holm([float(p) for p, _ in marks]))
    table = _MARK.sub(lambda _: " **" if next(adjusted) < _LEVEL else "", table)
    sees = median(float(value) for _, value in marks)
    return (
        f"{table}\n\nComparisons: {len(marks)}. Uncorrected, their median would find a difference "
        f"of {sees:.1f} points with a probability of {POWER:.0%}."
    )
