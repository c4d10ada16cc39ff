"""The table of what is exact: numbered clips x decoders x whole, cut by frames, cut by seconds.

Prints the table of docs/extract.md: in which containers ``auto`` takes decord, and in which PyAV.

python benchmarks/exactness.py
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import av
import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from exactness_cells import DECODERS, WAYS, Truth, result
from numbered_clips import Recipe, make, missing
from numbered_recipes import DAMAGED, INTACT, KINDS

# What a cell says, in the order of badness.
WRONG, EXACT, REFUSED = "WRONG", "exact", "refused"


def cells(recipe: Recipe, path: Path) -> dict[str, tuple[str, str]]:
    """Return each decoder's result over all ways of reading: the worst one, and what it says."""
    truth = Truth.of(recipe, path)
    found = {}
    for decoder in DECODERS:
        results = [result(path, truth, decoder, way) for way in WAYS]
        found[decoder] = next(
            (each for kind in (WRONG, REFUSED) for each in results if each[0] == kind), results[0]
        )
    return found


def word(cell: tuple[str, str]) -> str:
    """Return what the table says of a cell: the decoder taken, or that it is refused or wrong."""
    names = {"decord": "decord", "pyav": "PyAV"}
    return names[cell[1]] if cell[0] == EXACT else cell[0]


@click.command()
@click.option("--only", default="", help="Clips whose names hold this.")
def main(only: str) -> None:
    """Make the clips, read each in all ways and print the table; exit code 1 if a cell is wrong."""
    av.logging.set_level(av.logging.PANIC)
    # By kind and by the word for each decoder: the containers.
    rows: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    wrong, count = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for recipe in [r for r in INTACT + DAMAGED if only in r.name]:
            kind, suffix = recipe.name.rsplit(".", 1)
            why = missing(recipe)
            if why:
                click.echo(f"{recipe.name}: skipped, {why}", err=True)
                continue
            found = cells(recipe, make(recipe, Path(folder)))
            count += len(DECODERS) * len(WAYS)
            for decoder, (verdict, what) in found.items():
                if verdict == WRONG:
                    wrong += 1
                    click.echo(f"{recipe.name}, {decoder}: {what}", err=True)
            taken = rows[KINDS[kind]][word(found["auto"])]
            if suffix not in taken:
                taken.append(suffix)
    columns = ["decord", "PyAV", *([WRONG] if wrong else [])]
    click.echo(f"| what | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for what, taken_in in rows.items():
        click.echo(f"| {what} | {' | '.join(', '.join(taken_in[name]) for name in columns)} |")
    click.echo(f"{count} cells, {wrong} decoders wrong in a clip", err=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
