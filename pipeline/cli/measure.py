"""``skelact evaluate``, ``skelact probe`` and ``skelact cost``: accuracy and cost of networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...pose_extract.common.text import printable
from .outputs import check_outputs
from .terminal import (
    STDOUT,
    ProgressDisplay,
    file_of,
    keep_stdout_for_data,
    note,
    quiet_option,
    say,
    write_stdout,
)

FILE = click.Path(dir_okay=False, path_type=Path)

LABEL_MAP = click.option(
    "--label-map",
    type=FILE,
    help="YAML or JSON file for class names that differ: {name in the annotation file: name in the "
    "checkpoint}, or a list of the file's class names in order.",
)


@click.command()
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Classifier [the shipped one].")
@click.option("--ann-file", required=True, type=FILE, help="PYSKL annotation file.")
@click.option("--split", required=True, help="Split of the file to measure on.")
@LABEL_MAP
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Write the figures to this file; - is standard output.",
)
@click.option("--num-clips", type=int, help="Test clips per video [as in the checkpoint].")
@click.option(
    "--joint-noise",
    type=float,
    default=0.0,
    help="Add Gaussian noise to joints: standard deviation as a share of the clip's box [0].",
)
@click.option(
    "--lost-frames",
    type=float,
    default=0.0,
    help="Remove the skeletons of this share of the frames [0].",
)
@click.option("--seed", type=int, default=0, help="Seed of noise and removed frames [0].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@quiet_option
def evaluate(
    checkpoint: Path | None,
    ann_file: Path,
    split: str,
    label_map: Path | None,
    json_path: Path | None,
    num_clips: int | None,
    joint_noise: float,
    lost_frames: float,
    seed: int,
    device: str,
) -> None:
    """Measure a classifier: top-1, top-5 and mean-class accuracy, and the confusion matrix.

    The classes of the file and of the checkpoint are matched by name.
    """
    from ..evaluation.evaluate import evaluate_checkpoint

    check_outputs([("--json", file_of(json_path))], [checkpoint, ann_file, label_map])
    if json_path == STDOUT:
        keep_stdout_for_data()
    with ProgressDisplay() as display:
        result = evaluate_checkpoint(
            checkpoint,
            ann_file,
            split,
            label_map=label_map,
            device=device,
            num_clips=num_clips,
            joint_noise=joint_noise,
            lost_frames=lost_frames,
            seed=seed,
            on_progress=lambda done, total: display.clips(done, total, "measured"),
        )
    _print_notes(result.notes)
    say(f"{result.num_clips} clips of split {split!r}")
    print_figures([result.to_json()], "")
    write_figures(json_path, result.to_json())


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--ann-file", required=True, type=FILE, help="PYSKL annotation file.")
@click.option("--train-split", required=True, help="Split to fit the linear classifier on.")
@click.option("--val-split", required=True, help="Split to measure on.")
@LABEL_MAP
@click.option("--label-fraction", type=float, default=1.0, help="Share of the labels used [1].")
@click.option("--seed", type=int, default=0, help="Seed of the draw of these labels [0].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def probe(
    checkpoint: Path,
    ann_file: Path,
    train_split: str,
    val_split: str,
    label_map: Path | None,
    label_fraction: float,
    seed: int,
    device: str,
) -> None:
    """Measure the features of CHECKPOINT without training it: linear probe and 1-NN."""
    from ..evaluation.probe import probe as run

    result = run(
        checkpoint,
        ann_file,
        train_split,
        val_split,
        label_map=label_map,
        share=label_fraction,
        seed=seed,
        device=device,
    )
    _print_notes(result.notes)
    click.echo(f"{result.num_train} labelled clips, {result.num_val} measured")
    click.echo(f"linear probe: {result.linear:.2f} %")
    click.echo(f"nearest neighbour: {result.knn:.2f} %")


@click.command()
@click.argument("configs", nargs=-1, required=True)
@click.option("--num-person", type=int, default=2, show_default=True, help="People in the clip.")
@click.option("--num-classes", type=int, default=99, show_default=True, help="Number of classes.")
def cost(configs: tuple[str, ...], num_person: int, num_classes: int) -> None:
    """Count parameters and multiply-adds of the classifiers of finetune CONFIGS."""
    from ..config import FinetuneConfig, load_config
    from ..evaluation.cost import measure_cost

    for name in configs:
        config = load_config(FinetuneConfig, name, "finetune")
        found = measure_cost(config, num_classes, num_person)
        click.echo(
            f"{printable(name)}: {found.parameters / 1e6:.2f} M parameters, "
            f"{found.gflops:.2f} GFLOPs (multiply-adds) for {num_person} people over "
            f"{config.preprocess.clip_len} frames"
        )


def write_figures(path: Path | None, figures: Any) -> None:
    """Write figures as JSON to the file that ``--json`` names, or to standard output."""
    from ..inference.tables import json_text, write_json

    if path == STDOUT:
        write_stdout(json_text(figures))
    elif path is not None:
        write_json(path, figures)


def _print_notes(notes: Sequence[str]) -> None:
    for sentence in notes:
        note(printable(f"skelact: note: {sentence}"))


def print_figures(figures: list[dict[str, Any]], metric: str) -> None:
    """Print the mean and, over several seeds, the spread of the figures; mark ``metric``."""
    from statistics import mean, stdev

    for name in ("top1", "top5", "mean_class_accuracy"):
        values = [figure[name] for figure in figures]
        spread = f" +- {stdev(values):.2f} over {len(values)} seeds" if len(values) > 1 else ""
        mark = "  <- the figure of this data set" if name == metric else ""
        say(f"{name}: {mean(values):.2f} %{spread}{mark}")
