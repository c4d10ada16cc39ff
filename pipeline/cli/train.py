"""``skelact pretrain``, ``skelact finetune`` and ``skelact evaluate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)

_TRAIN_OPTIONS = [
    click.option(
        "--work-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of checkpoint, resume states and logs [work_dirs/COMMAND_CONFIG_SEED].",
    ),
    click.option("--ann-file", type=_FILE, help="PYSKL annotation file, in place of the config's."),
    click.option("--seed", "seeds", multiple=True, type=int, help="Seed [0]; may be repeated."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--resume", is_flag=True, help="Go on from the last saved state."),
    click.option("--quiet", is_flag=True, help="Log warnings alone."),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a setting of the config, such as optim.epochs=20; may be repeated.",
    ),
]


def _train_options(command: F) -> F:
    for option in reversed(_TRAIN_OPTIONS):
        command = option(command)
    return command


def _overrides(overrides: tuple[str, ...], ann_file: Path | None) -> list[str]:
    if ann_file is None:
        return list(overrides)
    return [*overrides, f"data.ann_file={json.dumps(str(ann_file))}"]


def _work_dir(chosen: Path | None, command: str, config: str, seed: int, alone: bool) -> Path:
    if chosen is None:
        return Path("work_dirs") / f"{command}_{Path(config).stem}_{seed}"
    return chosen if alone else chosen / f"seed_{seed}"


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
    for seed in seeds or (0,):
        folder = _work_dir(work_dir, "pretrain", config, seed, len(seeds) < 2)
        path = run(settings, folder, seed=seed, device=device, resume=resume, quiet=quiet)
        click.echo(path)


@click.command()
@click.argument("config")
@click.option(
    "--pretrained",
    type=click.Path(path_type=Path),
    help="SkeletonMAE checkpoint to start from; {seed} in it stands for the seed.",
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
    for seed in seeds or (0,):
        folder = _work_dir(work_dir, "finetune", config, seed, len(seeds) < 2)
        encoder = Path(str(pretrained).format(seed=seed)) if pretrained else None
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
        click.echo(path)
        figures.append(load_meta(path).figures)
    if settings.data.val_split:
        _print_figures(figures, settings.data.metric)


def _print_figures(figures: list[dict[str, Any]], metric: str) -> None:
    from statistics import mean, stdev

    for name in ("top1", "top5", "mean_class_accuracy"):
        values = [figure[name] for figure in figures]
        spread = f" +- {stdev(values):.2f} over {len(values)} seeds" if len(values) > 1 else ""
        note = "  <- the figure of this data set" if name == metric else ""
        click.echo(f"{name}: {mean(values):.2f} %{spread}{note}")


@click.command()
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Classifier [the shipped one].")
@click.option("--ann-file", required=True, type=_FILE, help="PYSKL annotation file.")
@click.option("--split", required=True, help="Split of the file to measure on.")
@click.option("--json", "json_path", type=_FILE, help="Write the figures to this file.")
@click.option("--num-clips", type=int, help="Test clips per video [as in training].")
@click.option(
    "--joint-noise",
    type=float,
    default=0.0,
    help="Add noise to joints: standard deviation as a share of the clip's box [0].",
)
@click.option("--lost-frames", type=float, default=0.0, help="Lose this share of the frames [0].")
@click.option("--seed", type=int, default=0, help="Seed of noise and losses [0].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def evaluate(
    checkpoint: Path | None,
    ann_file: Path,
    split: str,
    json_path: Path | None,
    num_clips: int | None,
    joint_noise: float,
    lost_frames: float,
    seed: int,
    device: str,
) -> None:
    """Measure a classifier: top-1, top-5 and mean-class accuracy, and the confusion matrix."""
    from ...pose_extract.common.files import atomic_write
    from ..evaluation.evaluate import evaluate_checkpoint

    result = evaluate_checkpoint(
        checkpoint,
        ann_file,
        split,
        device=device,
        num_clips=num_clips,
        joint_noise=joint_noise,
        lost_frames=lost_frames,
        seed=seed,
    )
    click.echo(f"{result.num_clips} clips of split {split!r}")
    _print_figures([result.to_json()], "")
    if json_path:
        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--ann-file", required=True, type=_FILE, help="PYSKL annotation file.")
@click.option("--train-split", required=True, help="Split to fit the linear classifier on.")
@click.option("--val-split", required=True, help="Split to measure on.")
@click.option("--label-fraction", type=float, default=1.0, help="Share of the labels used [1].")
@click.option("--seed", type=int, default=0, help="Which labels these are [0].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def probe(
    checkpoint: Path,
    ann_file: Path,
    train_split: str,
    val_split: str,
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
        share=label_fraction,
        seed=seed,
        device=device,
    )
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
            f"{name}: {found.parameters / 1e6:.2f} M parameters, {found.gflops:.2f} GFLOPs "
            f"(multiply-adds) for {num_person} people over {config.preprocess.clip_len} frames"
        )


@click.command()
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@click.option("--onnx", "out", required=True, type=_FILE, help="ONNX file to write.")
@click.option("--ann-file", type=_FILE, help="Check on clips of this file [simulated dives].")
@click.option("--split", help="Split of the file to check on; with --ann-file.")
def export(checkpoint: Path | None, out: Path, ann_file: Path | None, split: str | None) -> None:
    """Write the classifier CHECKPOINT (the shipped one by default) as ONNX.

    The batch is dynamic, and the outputs are checked against torch. `skelact predict` and
    `skelact evaluate` take the file as a checkpoint.
    """
    from ..data.annotations import load_annotations
    from ..inference.export_onnx import export_onnx, simulated_clips

    if (ann_file is None) != (split is None):
        raise click.UsageError("--ann-file and --split belong together")
    if ann_file is None or split is None:
        clips = simulated_clips(32)
    else:
        clips = load_annotations(ann_file).select(split)[:32]
    worst = export_onnx(checkpoint, out, clips)
    click.echo(f"{out}: differs from torch by at most {worst:.1e} on {len(clips)} clips")
