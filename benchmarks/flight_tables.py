"""The figures of flight.py as tables and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flight_figures import NEAR_TORSOS, NUM_BINS, TILTS, Column, Figure, Reliability, Share
from flight_rotated import ROTATED_SETS, RotatedFigures
from rich.table import Table
from rotation import ANGLES

from skelact.pose_extract.common.files import atomic_write


def figure_table(title: str, columns: Mapping[str, Column]) -> Table:
    """Return the shares of each group and joint, per column, and the crops."""
    table = Table(
        title=f"{title}: joints within {NEAR_TORSOS} torsos, % [95 % interval] "
        "/ left and right free",
        title_justify="left",
    )
    for name in ("", "people", "joints", *columns):
        table.add_column(name)
    for group, figure in next(iter(columns.values())).figures.items():
        cells = [_cell(column.figures[group]) for column in columns.values()]
        table.add_row(group, str(figure.num_people), str(figure.num_joints), *cells)
    crops = (f"{column.crops_per_person:.2f}" for column in columns.values())
    table.add_row("crops per person", "", "", *crops)
    return table


def _cell(figure: Figure) -> str:
    if not figure.num_joints:
        return "-"
    return f"{_percent(figure.share)} / {100 * figure.free.value:.1f}"


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def gain_table(title: str, columns: Mapping[str, Column]) -> Table:
    """Return what each column gains over the first, by tilt."""
    first, *others = columns
    table = Table(title=f"{title}: gain over {first}, points [95 % interval]", title_justify="left")
    for name in ("", *others):
        table.add_column(name)
    for group in ("all", *TILTS):
        gains = [columns[name].figures[group].gain for name in others]
        table.add_row(group, *("-" if g is None or math.isnan(g.value) else _percent(g)
                               for g in gains))  # fmt: skip
    return table


def reliability_table(title: str, columns: Mapping[str, Column]) -> Table:
    """Return how often joints of a score are found, and the calibration errors."""
    table = Table(
        title=f"{title}: % of the joints of a score that are found (joints); "
        "expected calibration error",
        title_justify="left",
    )
    for name in ("score", *columns):
        table.add_column(name)
    for index in range(NUM_BINS):
        cells = [_bin(column.reliability["all"], index) for column in columns.values()]
        bound = "up" if index == NUM_BINS - 1 else f"{(index + 1) / NUM_BINS:.1f}"
        table.add_row(f"{index / NUM_BINS:.1f} - {bound}", *cells)
    for group in next(iter(columns.values())).reliability:
        values = [column.reliability[group].calibration_error for column in columns.values()]
        table.add_row(f"error, {group}", *(f"{value:.3f}" for value in values))
    return table


def _bin(reliability: Reliability, index: int) -> str:
    count = reliability.counts[index]
    return f"{100 * reliability.found[index]:.0f} ({count})" if count else "-"


def rotated_table(name: str, models: Mapping[str, RotatedFigures]) -> Table:
    """Return the figures of people on the ground, per model."""
    num_people = next(iter(models.values())).num_people
    title = f"{name}: mean {ROTATED_SETS[name]} of {num_people} people"
    table = Table(title=title, title_justify="left")
    for column in ("", *models):
        table.add_column(column)
    summaries = [figures.summary() for figures in models.values()]
    for row in summaries[0]:
        table.add_row(row, *(f"{summary[row]:.3f}" for summary in summaries))
    return table


def as_json(
    flight: Mapping[str, Mapping[str, Column]], rotated: Mapping[str, Mapping[str, RotatedFigures]]
) -> dict[str, Any]:
    """Return all figures as plain values, NaN where there are none."""
    return {
        "flight": {
            set_name: {name: _column(column) for name, column in columns.items()}
            for set_name, columns in flight.items()
        },
        "rotated": {
            set_name: {
                name: {"metric": ROTATED_SETS[set_name], "angles": list(ANGLES), **asdict(figures)}
                for name, figures in models.items()
            }
            for set_name, models in rotated.items()
        },
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "crops_per_person": column.crops_per_person,
        "figures": {group: asdict(figure) for group, figure in column.figures.items()},
        "reliability": {
            group: {
                "counts": value.counts.tolist(),
                "scores": value.scores.tolist(),
                "found": value.found.tolist(),
                "calibration_error": value.calibration_error,
            }
            for group, value in column.reliability.items()
        },
    }


def _plain(value: Any) -> Any:
    """Return a value of JSON with rounded numbers, and null for NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 5)
    return value


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values to a file, whole or not at all."""
    with atomic_write(path) as temporary:
        text = json.dumps(_plain(dict(values)), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
