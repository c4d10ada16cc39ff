"""How well pose models find the joints of people in flight, boxes given.

`people` measures on gymnasts and jumpers of the Leeds Sports Pose Extended set and on the frames of
one platform dive: the share of the annotated joints within .2 torso lengths, by the tilt of the
torso, by size and by joint, with left and right as labelled and free, with 95 % intervals, the
reliability of the scores, and the crops that it costs. Boxes are the extents of the annotated
joints, widened on each side by 12 % of the longer side. `--numbers check` is for one last check of
what was chosen by `dev`; neither is trained on.

    python benchmarks/flight.py people ../shared
    python benchmarks/flight.py people ../shared --pose litehrnet18-coco-256x192 \\
        --pose work_dirs/distill/pose.json --effort fast --effort balanced
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import click
import cv2
import numpy as np
from flight_figures import (
    NEAR_TORSOS,
    NUM_BINS,
    TILTS,
    Column,
    Errors,
    Figure,
    Reliability,
    Share,
    figures_of,
    reliabilities_of,
)
from flight_people import (
    EXCHANGES,
    WAYS,
    Mending,
    Numbers,
    People,
    Way,
    estimate,
    load_divers,
    load_lspet,
    read_mending,
)
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from skelact import SkelactError
from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.pose.estimator import PoseEstimator, Precision

DEFAULT_POSES = ("litehrnet18-coco-256x192", "skelact-pose-256x192")
SETS = ("lspet", "divers")


@dataclass(frozen=True)
class PoseOptions:
    """How the pose models are run; see ``PoseEstimator``."""

    checkpoint: str | None
    trust_config: bool
    device: str
    precision: Precision
    threads: int
    batch_size: int

    def build(self, name: str) -> PoseEstimator:
        """Return a loaded pose model, by its name, NAME+ALIGNER, or file."""
        model, aligner = name, ""
        if not Path(name).exists():
            model, _, aligner = name.partition("+")
        estimator = PoseEstimator(
            model,
            # Models that have weights of their own take no others.
            checkpoint=self.checkpoint if model.endswith(".py") else None,
            trust_config=self.trust_config,
            device=self.device,
            precision=self.precision,
            num_threads=self.threads,
            aligner=aligner or "auto",
        )
        estimator.load()
        return estimator


def column_names(poses: Sequence[str], ways: Sequence[Way]) -> dict[tuple[str, Way], str]:
    """Return a short name for each model in each way: a file's name without its folder."""
    short = {pose: Path(pose).stem if pose.endswith((".json", ".py")) else pose for pose in poses}
    if len(set(short.values())) < len(poses):
        short = {pose: pose for pose in poses}
    return {(pose, way): f"{short[pose]}, {way}" for pose in poses for way in ways}


def measure(
    sets: Mapping[str, People],
    poses: Sequence[str],
    ways: Sequence[Way],
    options: PoseOptions,
    seed: int,
) -> dict[str, dict[str, Column]]:
    """Return the columns of each set, by its name and theirs."""
    names = column_names(poses, ways)
    results: dict[str, dict[str, Column]] = {name: {} for name in sets}
    firsts: dict[str, Errors] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for pose in poses:
            estimator = options.build(pose)
            for set_name, people in sets.items():
                for way in ways:
                    title = names[pose, way]
                    task = progress.add_task(f"{set_name}, {title}", total=len(people))
                    found = estimate(
                        estimator,
                        people,
                        way,
                        options.batch_size,
                        lambda done, task=task: progress.update(task, completed=done),
                    )
                    progress.remove_task(task)
                    errors = Errors.of(people, found)
                    results[set_name][title] = Column(
                        figures_of(errors, firsts.get(set_name), seed),
                        reliabilities_of(errors),
                        found.num_crops / max(len(people), 1),
                    )
                    firsts.setdefault(set_name, errors)
    return results


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


def as_json(results: Mapping[str, Mapping[str, Column]]) -> dict[str, Any]:
    """Return all figures as plain values; those of empty groups are null."""
    return {
        set_name: {
            name: {
                "crops_per_person": round(column.crops_per_person, 4),
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
            for name, column in columns.items()
        }
        for set_name, columns in results.items()
    }


def _plain(value: Any) -> Any:
    """Return a value of JSON with rounded numbers, and null for NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 5)
    return value


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values to a file, whole or not at all."""
    with atomic_write(path) as temporary:
        text = json.dumps(_plain(dict(values)), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_sets(
    shared: Path, names: Sequence[str], numbers: Numbers, mending: Mending, limit: int | None
) -> tuple[dict[str, People], dict[str, int]]:
    """Return the people of each set who are scored, and how many cannot be."""
    sets, left_out = {}, {}
    for name in names:
        everyone = load_lspet(shared, numbers, mending) if name == "lspet" else load_divers(shared)
        people = everyone.scored()
        left_out[name] = len(everyone) - len(people)
        sets[name] = people.take(np.arange(min(len(people), limit or len(people))))
    return sets, left_out


def choose_mending(mended: bool, path: Path) -> tuple[Mending, str]:
    """Return which labels are mended, and in words what was done."""
    if not mended:
        return Mending(), "labels as published"
    if not path.exists():
        return Mending(), f"labels as published, there is no {path.name}"
    return read_mending(path), f"labels mended by {path.name}"


@click.group()
def main() -> None:
    """Measure poses of people in flight."""


@main.command("people")
@click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--pose",
    "poses",
    multiple=True,
    default=DEFAULT_POSES,
    show_default=True,
    help="Pose models as of `skelact extract`; NAME+ALIGNER rotates people upright first.",
)
@click.option("--pose-checkpoint", help="Weights for MMPose config files.")
@click.option("--trust-config", is_flag=True, help="Run MMPose config files, which are code.")
@click.option(
    "--effort",
    "ways",
    multiple=True,
    type=click.Choice(WAYS),
    default=("balanced",),
    show_default=True,
    help="Efforts of `skelact extract`, or one crop of each person.",
)
@click.option("--set", "names", multiple=True, type=click.Choice(SETS), default=SETS)
@click.option(
    "--numbers",
    type=click.Choice(get_args(Numbers)),
    default="dev",
    show_default=True,
    help="Part of the Leeds set; `check` is for the last check alone.",
)
@click.option(
    "--mended/--as-published", default=True, help="Put exchanged labels right [if listed]."
)
@click.option("--labels", default=EXCHANGES, type=click.Path(path_type=Path), help="Their list.")
@click.option("--limit", type=click.IntRange(1), help="Only the first people of each set.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(get_args(Precision)), default="fp32")
@click.option("--threads", default=1, show_default=True)
@click.option("--batch-size", default=16, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def people_command(
    shared: Path,
    poses: tuple[str, ...],
    pose_checkpoint: str | None,
    trust_config: bool,
    ways: tuple[Way, ...],
    names: tuple[str, ...],
    numbers: Numbers,
    mended: bool,
    labels: Path,
    limit: int | None,
    device: str,
    precision: Precision,
    threads: int,
    batch_size: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Measure on annotated people of the folder SHARED."""
    cv2.setNumThreads(threads)
    options = PoseOptions(pose_checkpoint, trust_config, device, precision, threads, batch_size)
    try:
        mending, words = choose_mending(mended, labels)
        sets, left_out = load_sets(shared, names, numbers, mending, limit)
        results = measure(sets, poses, ways, options, seed)
    except SkelactError as error:
        raise click.ClickException(str(error)) from error
    console = Console(width=max(120, 45 + 32 * len(poses) * len(ways)))
    for name, columns in results.items():
        title = f"{name} {numbers}, {words}" if name == "lspet" else name
        title += f" ({len(sets[name])} people, {left_out[name]} not scored)"
        console.print(figure_table(title, columns))
        if len(columns) > 1:
            console.print(gain_table(title, columns))
        console.print(reliability_table(title, columns))
    if json_path:
        settings = {"numbers": numbers, "labels": words, "limit": limit, "seed": seed}
        values = {"settings": settings, "left_out": left_out, "sets": as_json(results)}
        write_json(json_path, values)


if __name__ == "__main__":
    main()
