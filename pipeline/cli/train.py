"""``skelact pretrain`` and ``skelact finetune``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ...pose_extract.common.text import printable
from .measure import FILE, print_figures
from .outputs import check_outputs
from .training_options import chosen_seeds, run_options, seeds_option

F = TypeVar("F", bound=Callable[..., Any])

_DATA_OPTIONS = [
    click.option(
        "--work-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of checkpoint, resume states and logs [work_dirs/COMMAND_CONFIG_SEED].",
    ),
    click.option("--ann-file", type=FILE, help="PYSKL annotation file, in place of the config's."),
    seeds_option,
]


def _train_options(command: F) -> F:
    command = run_options(command)
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


def _overrides(overrides: tuple[str, ...], ann_file: Path | None) -> list[str]:
    if ann_file is None:
        return list(overrides)
    return [*overrides, f"data.ann_file={json.dumps(str(ann_file))}"]


def _work_dir(chosen: Path | None, command: str, config: str, seed: int, single: bool) -> Path:
    if chosen is None:
        return Path("work_dirs") / f"{command}_{Path(config).stem}_{seed}"
    return chosen if single else chosen / f"seed_{seed}"


@click.command()
@click.argument("config")
@_train_options
def pretrain(
    config: str,
    work_dir: Path | None,
    ann_file: Path | None,
    seeds: tuple[int, ...],
    device: str,
    resume: bool,
    quiet: bool,
    overrides: tuple[str, ...],
) -> None:
    """Pre-train SkeletonMAE on the skeletons of CONFIG; labels are not used.

    CONFIG is the name of a shipped config, such as gym99 or penn_action, or a YAML file.
    """
    from ..config import PretrainConfig, load_config
    from ..training.train import pretrain as run

    settings = load_config(PretrainConfig, config, "pretrain", _overrides(overrides, ann_file))
    for seed in chosen_seeds(seeds):
        folder = _work_dir(work_dir, "pretrain", config, seed, len(seeds) < 2)
        path = run(settings, folder, seed=seed, device=device, resume=resume, quiet=quiet)
        click.echo(printable(path))


@click.command()
@click.argument("config")
@click.option(
    "--pretrained",
    type=click.Path(path_type=Path),
    help="SkeletonMAE or classifier checkpoint to start from; {seed} in it stands for the seed.",
)
@click.option("--half", is_flag=True, help="Keep the weights in half precision.")
@_train_options
def finetune(
    config: str,
    pretrained: Path | None,
    half: bool,
    work_dir: Path | None,
    ann_file: Path | None,
    seeds: tuple[int, ...],
    device: str,
    resume: bool,
    quiet: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the SSL classifier on the labelled skeletons of CONFIG.

    CONFIG is the name of a shipped config, such as gym99 or penn_action, or a YAML file. Without
    --pretrained the weights start at random. With several seeds the mean and spread are printed.
    """
    from ..checkpoints.checkpoint import load_meta
    from ..config import FinetuneConfig, load_config
    from ..training.train import finetune as run

    settings = load_config(FinetuneConfig, config, "finetune", _overrides(overrides, ann_file))
    figures = []
    for seed in chosen_seeds(seeds):
        folder = _work_dir(work_dir, "finetune", config, seed, len(seeds) < 2)
        encoder = Path(str(pretrained).replace("{seed}", str(seed))) if pretrained else None
        path = run(
            settings,
            folder,
            pretrained=encoder,
            seed=seed,
            device=device,
            resume=resume,
            quiet=quiet,
            half=half,
        )
        click.echo(printable(path))
        figures.append(load_meta(path).figures)
    if settings.data.val_split:
        print_figures(figures, settings.data.metric)


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the new checkpoint.",
)
@click.option("--ann-file", type=FILE, help="What it was trained on, in place of its config's.")
@click.option("--unknown", type=FILE, help="Annotation file of clips of other actions.")
@click.option("--half", is_flag=True, help="Keep the weights in half precision.")
def gate(
    checkpoint: Path, work_dir: Path, ann_file: Path | None, unknown: Path | None, half: bool
) -> None:
    """Fit the gate of a CHECKPOINT that an earlier version trained.

    The gate tells clips that show none of the classifier's actions. `skelact finetune` fits it at
    its end; the weights of the classifier stay as they are.
    """
    from ..checkpoints.checkpoint import find_checkpoint
    from ..training.train import add_gate

    inputs = [find_checkpoint(checkpoint), ann_file, unknown]
    check_outputs([("--work-dir", work_dir / "classifier.json")], inputs)
    path = add_gate(
        checkpoint,
        work_dir,
        ann_file=str(ann_file or ""),
        unknown_file=str(unknown or ""),
        half=half,
    )
    click.echo(printable(path))
