"""How well pose models find the joints of people in flight, boxes given.

`people` measures on gymnasts and jumpers of the Leeds Sports Pose Extended set and on the frames of
one platform dive: the share of the annotated joints within .2 torso lengths, by the tilt of the
torso, by size and by joint, with left and right as labelled and free, with 95 % intervals, the
reliability of the scores, and the crops that it costs. Boxes are the extents of the annotated
joints, widened on each side by 12 % of the longer side; people of whom a shoulder or a hip is not
annotated, or with a torso under 15 pixels, are not scored. The frames of the dive are one diver's:
their interval says nothing of other divers. `--numbers check` is for one last check of what was
chosen by `dev`; neither is trained on. Beside them, with `rotation.py`: people on the ground, in
COCO images and in YouTube Pose, upright and rotated. `sheet` draws the people with the worst poses.
`clips` measures athletes in whole clips, without given boxes (`flight_clips.py`).

    python benchmarks/flight.py people ../shared
    python benchmarks/flight.py people ../shared --pose litehrnet18-coco-256x192 \\
        --pose work_dirs/distill/pose.json --effort fast --effort balanced
    python benchmarks/flight.py sheet ../shared --out worst.png
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import click
import cv2
import numpy as np
from flight_clips import clips_command
from flight_figures import Column, Errors, figures_of, reliabilities_of
from flight_options import DEFAULT_POSES, SHARED, measure_options, network_options, with_options
from flight_people import (
    WAYS,
    Numbers,
    Poses,
    Way,
    estimate,
    load_divers,
    load_lspet,
    scored,
)
from flight_rotated import ROTATED_SETS, RotatedFigures, load_rotated, measure_rotated
from flight_sheet import draw_sheet, worst_first
from flight_tables import (
    as_json,
    figure_table,
    gain_table,
    reliability_table,
    rotated_table,
    write_json,
)
from png_option import PngPath
from rich.console import Console
from rich.progress import Progress
from rotation import Person

from skelact import SkelactError
from skelact.pipeline.pose_training.people import AnnotatedPeople, Corrections, read_corrections
from skelact.pose_extract.common.device import Precision
from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.pose.estimator import PoseEstimator

FLIGHT_SETS = ("lspet", "divers")
SETS = (*FLIGHT_SETS, *ROTATED_SETS)


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
        """Return a pose model that is not loaded yet, by its name or file."""
        return PoseEstimator(
            name,
            # Models that have weights of their own take no others.
            checkpoint=self.checkpoint if name.endswith(".py") else None,
            trust_config=self.trust_config,
            device=self.device,
            precision=self.precision,
            num_threads=self.threads,
        )


def short_names(poses: Sequence[str]) -> dict[str, str]:
    """Return what models are called in tables: files by their name and folder, others as given."""
    names = {
        pose: "/".join(Path(pose).with_suffix("").parts[-2:]) if Path(pose).is_file() else pose
        for pose in poses
    }
    return names if len(set(names.values())) == len(names) else {pose: pose for pose in poses}


@dataclass(frozen=True, eq=False)
class Sets:
    """Who is measured.

    Attributes:
        flight: AnnotatedPeople in flight who can be scored, by set.
        not_scored: How many others there are, by set.
        rotated: AnnotatedPeople on the ground, by set.
    """

    flight: dict[str, AnnotatedPeople] = field(default_factory=dict)
    not_scored: dict[str, int] = field(default_factory=dict)
    rotated: dict[str, list[Person]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Results:
    """What is measured.

    Attributes:
        flight: By set, then by model and effort.
        rotated: By set, then by model.
    """

    flight: dict[str, dict[str, Column]]
    rotated: dict[str, dict[str, RotatedFigures]]


def measure(
    sets: Sets, poses: Sequence[str], ways: Sequence[Way], options: PoseOptions, seed: int
) -> Results:
    """Measure each model, one after the other, on all sets."""
    results = Results({name: {} for name in sets.flight}, {name: {} for name in sets.rotated})
    firsts: dict[str, Errors] = {}
    # All of them first: a wrong name is an error before anything is measured.
    estimators = {title: options.build(pose) for pose, title in short_names(poses).items()}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for title, estimator in estimators.items():
            estimator.load()
            for name, people in sets.flight.items():
                for way in ways:
                    found = _estimate_shown(
                        progress, f"{title}, {way}: {name}", estimator, people, way, options
                    )
                    errors = Errors.of(people, found)
                    results.flight[name][f"{title}, {way}"] = Column(
                        figures_of(errors, firsts.get(name), seed),
                        reliabilities_of(errors),
                        found.num_crops / max(len(people), 1),
                    )
                    firsts.setdefault(name, errors)
            for name, grounded in sets.rotated.items():
                task = progress.add_task(f"{title}: {name}", total=None)
                results.rotated[name][title] = measure_rotated(grounded, estimator)
                progress.remove_task(task)
    return results


def _estimate_shown(
    progress: Progress,
    title: str,
    pose: PoseEstimator,
    people: AnnotatedPeople,
    way: Way,
    options: PoseOptions,
) -> Poses:
    """Estimate poses with a line of progress."""
    task = progress.add_task(title, total=len(people))

    def show(done: int) -> None:
        progress.update(task, completed=done)

    found = estimate(pose, people, way, options.batch_size, show)
    progress.remove_task(task)
    return found


def load_sets(
    shared: Path,
    names: Sequence[str],
    numbers: Numbers,
    corrections: Corrections,
    limit: int | None,
) -> Sets:
    """Return the people of the named sets, at most ``limit`` of each."""
    sets = Sets()
    for name in names:
        if name in ROTATED_SETS:
            sets.rotated[name] = load_rotated(shared, name, limit)
            continue
        everyone = load_flight(shared, name, numbers, corrections)
        people = scored(everyone)
        sets.not_scored[name] = len(everyone) - len(people)
        sets.flight[name] = people.take(np.arange(min(len(people), limit or len(people))))
    return sets


def load_flight(
    shared: Path, name: str, numbers: Numbers, corrections: Corrections
) -> AnnotatedPeople:
    """Return all people of a set of people in flight."""
    return load_lspet(shared, numbers, corrections) if name == "lspet" else load_divers(shared)


def choose_corrections(mended: bool, name: str) -> tuple[Corrections, str]:
    """Return which labels are corrected, and in words what was done."""
    if not mended:
        return Corrections(), "labels as published"
    return read_corrections(name), f"labels corrected by {name}"


# The options of :class:`PoseOptions` but ``network_options``, and those of the labels.
label_options = with_options(
    click.option(
        "--precision", type=click.Choice(get_args(Precision)), default="fp32", show_default=True
    ),
    click.option("--batch-size", default=16, show_default=True),
    click.option(
        "--mended/--as-published",
        default=True,
        help="Correct the labels that are known to be wrong, and leave left and right free "
        "where nobody knows them.  [default: mended]",
    ),
    click.option(
        "--corrections",
        "labels",
        default="lspet",
        show_default=True,
        help="The wrong labels: a name in configs/people, or a YAML file.",
    ),
)


def pose_options(values: Mapping[str, Any]) -> PoseOptions:
    """Return the options of ``network_options`` and ``label_options``, and set OpenCV's threads."""
    cv2.setNumThreads(values["threads"])
    return PoseOptions(
        values["pose_checkpoint"],
        values["trust_config"],
        values["device"],
        values["precision"],
        values["threads"],
        values["batch_size"],
    )


@click.group()
def main() -> None:
    """Measure poses of people in flight."""


@main.command("people")
@click.option(
    "--effort",
    "ways",
    multiple=True,
    type=click.Choice(WAYS),
    default=("balanced",),
    show_default=True,
    help="Efforts of `skelact extract`, or one crop of each person.",
)
@click.option(
    "--set", "names", multiple=True, type=click.Choice(SETS), default=SETS, show_default=True
)
@click.option(
    "--numbers",
    type=click.Choice(get_args(Numbers)),
    default="dev",
    show_default=True,
    help="Part of the Leeds set; `check` is for the last check alone.",
)
@measure_options
@label_options
def people_command(
    shared: Path,
    poses: tuple[str, ...],
    ways: tuple[Way, ...],
    names: tuple[str, ...],
    numbers: Numbers,
    limit: int | None,
    seed: int,
    json_path: Path | None,
    mended: bool,
    labels: str,
    **model: Any,
) -> None:
    """Measure on annotated people of the folder SHARED."""
    try:
        corrections, words = choose_corrections(mended, labels)
        sets = load_sets(shared, names, numbers, corrections, limit)
        results = measure(sets, poses, ways, pose_options(model), seed)
    except SkelactError as error:
        raise click.ClickException(str(error)) from error
    console = Console(width=max(120, 45 + 32 * len(poses) * len(ways)))
    for name, columns in results.flight.items():
        title = f"{name} {numbers}, {words}" if name == "lspet" else name
        title += f" ({len(sets.flight[name])} people, {sets.not_scored[name]} not scored)"
        console.print(figure_table(title, columns))
        if len(columns) > 1:
            console.print(gain_table(title, columns))
        console.print(reliability_table(title, columns))
    for name, models in results.rotated.items():
        console.print(rotated_table(name, models))
    if json_path:
        settings = {"numbers": numbers, "labels": words, "limit": limit, "seed": seed}
        figures = as_json(results.flight, results.rotated)
        write_json(json_path, {"settings": settings, "not_scored": sets.not_scored, **figures})


@main.command("sheet")
@SHARED
@click.option("--out", required=True, type=PngPath(), help="PNG to write.")
@click.option("--pose", default=DEFAULT_POSES[0], show_default=True, help="As in `people`.")
@click.option("--effort", "way", type=click.Choice(WAYS), default="balanced", show_default=True)
@click.option("--set", "name", type=click.Choice(FLIGHT_SETS), default="lspet", show_default=True)
@click.option("--numbers", type=click.Choice(["dev", "train"]), default="dev", show_default=True)
@click.option("--count", type=click.IntRange(1), default=24, show_default=True)
@click.option(
    "--free", is_flag=True, help="Leave left and right of the whole body free in the errors."
)
@click.option("--bare", is_flag=True, help="Draw the poses without the images.")
@click.option("--limit", type=click.IntRange(1), help="Only the first people of the set.")
@network_options
@label_options
def sheet_command(
    shared: Path,
    out: Path,
    pose: str,
    way: Way,
    name: str,
    numbers: Numbers,
    count: int,
    free: bool,
    bare: bool,
    limit: int | None,
    mended: bool,
    labels: str,
    **model: Any,
) -> None:
    """Draw the people of SHARED with the largest mean errors: the label, and the pose beside it."""
    try:
        corrections, words = choose_corrections(mended, labels)
        people = load_sets(shared, [name], numbers, corrections, limit).flight[name]
        options = pose_options(model)
        estimator = options.build(pose)
        estimator.load()
        found = estimate(estimator, people, way, options.batch_size)
    except SkelactError as error:
        raise click.ClickException(str(error)) from error
    errors = Errors.of(people, found)
    order, means = worst_first(errors.free if free else errors.torsos, count)
    with atomic_write(out) as temporary:
        page = draw_sheet(people.take(order), found.keypoints[order], means, not bare)
        if not cv2.imwrite(str(temporary), page[..., ::-1]):
            raise click.ClickException(f"{out}: the image cannot be written")
    click.echo(f"{out}: the worst {len(order)} of {len(people)} people, {words}")


# Subcommands of other files.
main.add_command(clips_command)


if __name__ == "__main__":
    main()
