"""Time several ways of doing the same work against each other.

The ways run alternately in one process, so that a noisy machine disturbs them alike; what counts is
the ratio, not the time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table


def interleave(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run each way once to warm up, then alternately; return the seconds of each round.

    The order rotates from round to round, so that none always follows the same one.
    """
    for work in ways.values():
        work()
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(title: str, seconds: Mapping[str, list[float]], amount: float, unit: str) -> None:
    """Print the median rate of each way, and its ratio to the first with its range over rounds."""
    table = Table(title=title, title_justify="left")
    for column in ("way", f"{unit}/s", "times the first", "range over rounds"):
        table.add_column(column)
    base = next(iter(seconds.values()))
    for name, mine in seconds.items():
        ratios = [first / own for first, own in zip(base, mine)]
        table.add_row(
            name,
            f"{amount / statistics.median(mine):.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
        )
    Console().print(table)
