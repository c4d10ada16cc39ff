"""Which errors a pose model makes, as a table for simulated poses, and how well it fits.

`measure` runs the pose model that ships on annotated people whom it was not trained on, and writes
``pipeline/synth/pose_errors.json``. `compare` fits the table to one half of them and shows the
errors of the other half, those that ``pipeline/synth/pose_errors.py`` draws for its exact joints,
and those of the half that was fitted: the halves differ by as much as so few people can tell.

    python benchmarks/pose_errors.py measure ../shared
    python benchmarks/pose_errors.py compare ../shared --cache work_dirs/pose_errors
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from flight_figures import NEAR_TORSOS, reliability_of
from pose_errors_fit import exchanges_of, fit_table, found_errors, tilts_of
from pose_errors_people import Measured, measure_clips, measure_people, simulated
from rich.console import Console
from rich.table import Table

from skelact import SkelactError
from skelact.pipeline.synth.pose_error_table import (
    EXCHANGES,
    KIND,
    KINDS,
    TABLE_FILE,
    PoseErrorTable,
)
from skelact.pipeline.synth.pose_errors import draw_pose_errors
from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.effort import DEFAULT_EFFORT

POSE = "skelact-litehrnet18-256x192"
QUANTILES = (0.5, 0.75, 0.9)
# Joints with a lower score are taken for missing.
_LOW_SCORE = 0.3
_TILTS = ("upright", "sideways", "inverted")
F = TypeVar("F", bound=Callable[..., Any])
# People compared with, simulated poses of theirs, and people fitted to.
Groups = tuple[Measured, Measured, Measured]


def sources(command: F) -> F:
    """Add what both commands read."""
    for option in reversed((
        click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.option("--pose", default=POSE, show_default=True, help="As of `skelact extract`."),
        click.option("--cache", type=click.Path(file_okay=False, path_type=Path),
                     help="Keep poses here, so that a second run estimates none."),
        click.option("--limit", type=click.IntRange(1), help="Only the first people of each set."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.group()
def main() -> None:
    """Measure the errors of a pose model."""


@main.command("measure")
@sources
@click.option("--out", default=TABLE_FILE, type=click.Path(dir_okay=False, path_type=Path))
def measure_command(
    shared: Path, pose: str, cache: Path | None, limit: int | None, out: Path
) -> None:
    """Fit the table to all people of the folder SHARED and write it."""
    people, clips = _measured(shared, pose, cache, limit)
    table = fit_table(people, clips, describe(pose, people, clips))
    with atomic_write(out) as temporary:
        temporary.write_text(table.as_json(), encoding="utf-8")
    click.echo(f"{out}: {table.fitted_from}")


@main.command("compare")
@sources
@click.option("--draws", default=50, show_default=True, help="Simulated poses of each person.")
@click.option("--seed", default=0, show_default=True)
def compare_command(
    shared: Path, pose: str, cache: Path | None, limit: int | None, draws: int, seed: int
) -> None:
    """Compare errors of one half of the people with simulated ones, fitted to the other half."""
    people, clips = _measured(shared, pose, cache, limit)
    fitted, others = (people.take(people.half == half) for half in (0, 1))
    drawn = draw(others, fit_table(fitted, clips, "half of the people"), draws, seed)
    console = Console(width=150)
    for table_of in (size_table, exchange_table, score_table):
        console.print(table_of((others, drawn, fitted)))


def _measured(
    shared: Path, pose: str, cache: Path | None, limit: int | None
) -> tuple[Measured, Measured]:
    try:
        with nullcontext(cache) if cache else tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / Path(pose).stem
            place.mkdir(parents=True, exist_ok=True)
            return measure_people(shared, pose, place, limit), measure_clips(shared, pose, place)
    except SkelactError as error:
        raise click.ClickException(str(error)) from error


def describe(pose: str, people: Measured, clips: Measured) -> str:
    """Return in words what a table was fitted from."""
    return (
        f"{Path(pose).stem}, {DEFAULT_EFFORT}, boxes given: {int((~people.moving).sum())} people "
        "of LSPET (numbers 3, 23, 43, ...) and PoseTrack18 at rest, "
        f"{int(people.moving.sum())} frames of athletes in flight; over time: "
        f"{len(clips)} frames of {len(np.unique(clips.clip))} clips, end to end"
    )


def draw(people: Measured, table: PoseErrorTable, draws: int, seed: int) -> Measured:
    """Return ``draws`` simulated poses of each person."""
    rng = np.random.default_rng(seed)

    def errors(
        keypoints: np.ndarray, hidden: np.ndarray, moving: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        # The table holds what hidden and visible joints have together.
        everything = np.zeros_like(hidden)
        fps = np.full(len(keypoints), 25.0)
        return draw_pose_errors(keypoints, everything, moving, fps, 1.0, rng, table)

    return simulated(people.take(np.repeat(np.arange(len(people)), draws)), errors)


def size_table(groups: Groups) -> Table:
    """Return errors by joint and tilt, at rest and moving."""
    table = _table(
        "errors in torsos, left and right as found",
        ("", "people", "joint", *(f"{q:.0%} below" for q in QUANTILES),
         f"within {NEAR_TORSOS}, %", f"score below {_LOW_SCORE}, %"),
    )  # fmt: skip
    places = (2,) * len(QUANTILES) + (0, 1)
    for moving in (False, True):
        for tilt, word in enumerate(_TILTS):
            some = [p.take((p.moving == moving) & (tilts_of(p) == tilt)) for p in groups]
            for kind, name in (*enumerate(KINDS), (-1, "all")):
                figures = [_sizes(p, kind) for p in some]
                head = ("moving " if moving else "") + word, f"{len(some[0])}, {len(some[2])}"
                cells = (
                    _beside(f"{v:.{d}f}" for v in row) for row, d in zip(zip(*figures), places)
                )
                table.add_row(*(head if not kind else ("", "")), name, *cells)
            table.add_section()
    return table


def _sizes(people: Measured, kind: int) -> list[float]:
    errors = found_errors(people)
    joints = (np.arange(17) >= 5) & ((kind == KIND) | (kind < 0))
    known = ~np.isnan(errors) & joints
    if not known.any():
        return [float("nan")] * (len(QUANTILES) + 2)
    return [
        *np.quantile(errors[known], QUANTILES),
        100 * float((errors[known] <= NEAR_TORSOS).mean()),
        100 * float((people.scores[known] < _LOW_SCORE).mean()),
    ]


def exchange_table(groups: Groups) -> Table:
    """Return how often left and right are exchanged, by tilt, as the fit tells: in %."""
    table = _table("left and right exchanged, %", ("", *EXCHANGES))
    for tilt, word in enumerate(_TILTS):
        shares = []
        for people in groups:
            some = people.take(people.sides_known & (tilts_of(people) == tilt))
            counts = np.bincount(exchanges_of(some), minlength=len(EXCHANGES) + 1)
            shares.append(100 * counts[1:] / max(len(some), 1))
        table.add_row(word, *(_beside(f"{v:.1f}" for v in row) for row in zip(*shares)))
    return table


def score_table(groups: Groups) -> Table:
    """Return which share of the joints of a score is found: reliability, in %."""
    motions = {"at rest": False, "moving": True}
    table = _table(
        f"joints within {NEAR_TORSOS} torsos by score, % (share of the joints, %)",
        ("score", *motions),
    )
    columns, ends = [], []
    for moving in motions.values():
        cells, gaps = [], []
        for people in groups:
            some = people.take(people.moving == moving)
            found = reliability_of(found_errors(some), some.scores)
            shares = 100 * found.counts / max(found.counts.sum(), 1)
            cells.append([f"{100 * f:.0f} ({s:.0f})" for f, s in zip(found.found, shares)])
            gaps.append(f"{found.calibration_error:.3f}")
        columns.append([_beside(row) for row in zip(*cells)])
        ends.append(_beside(gaps))
    for band, row in enumerate(zip(*columns)):
        table.add_row(f"{band / 10:.1f} - {(band + 1) / 10:.1f}", *row)
    table.add_section()
    table.add_row("expected calibration error", *ends)
    return table


def _beside(values: Iterable[str]) -> str:
    return " / ".join(values)


def _table(title: str, columns: tuple[str, ...]) -> Table:
    title += ": measured in the other half / simulated / measured in the fitted half"
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


if __name__ == "__main__":
    main()
