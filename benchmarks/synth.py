"""Simulated dives per second: in batches, as `skelact synth diving` makes them, and one at a time.

python benchmarks/synth.py
"""

from __future__ import annotations

import click
import numpy as np
from interleave import interleave, report

from skelact.pipeline.elements.element import diving48_elements
from skelact.pipeline.synth.dataset import film_dives, make_dives


def simulate_singly(count: int) -> None:
    """Simulate and film dives one at a time."""
    _, dives = diving48_elements()
    rng = np.random.default_rng(0)
    for i in range(count):
        list(film_dives([dives[i % len(dives)]], rng))


@click.command()
@click.option("--count", default=512, show_default=True, help="Dives per round.")
@click.option("--rounds", default=5, show_default=True)
def main(count: int, rounds: int) -> None:
    """Measure the simulator."""
    variants = {
        "one at a time": lambda: simulate_singly(count),
        "in batches": lambda: list(make_dives("train", count)),
    }
    report("Simulated dives", interleave(variants, rounds), count, "dives")


if __name__ == "__main__":
    main()
