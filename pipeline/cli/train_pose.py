"""``skelact train-pose``: pose models that learn from annotated people."""

from __future__ import annotations

from pathlib import Path

import click

from ...pose_extract.common.text import printable
from .outputs import check_outputs
from .training_options import chosen_seeds, run_options, seeds_option

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("train-pose")
@click.argument("config")
@click.argument("annotations", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--labels", type=_FOLDER, help="Folder of frames from `skelact distill label` to mix in."
)
@click.option("--work-dir", type=_FOLDER, help="Folder of results [work_dirs/train_pose_CONFIG].")
@seeds_option
@run_options
def train_pose(
    config: str,
    annotations: tuple[Path, ...],
    labels: Path | None,
    work_dir: Path | None,
    seeds: tuple[int, ...],
    device: str,
    resume: bool,
    quiet: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the pose model of CONFIG (own, lspet, or a YAML file) on ANNOTATIONS.

    ANNOTATIONS are files of people annotated by hand: .npz with the images in a .zip or folder
    beside it, or COCO-style .json. Each seed is a run; the mean of their weights is exported, for
    --pose of `skelact extract`: a bundle, or for an MMPose model named by `start` a checkpoint for
    --pose-checkpoint.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..config import load_config
    from ..pose_training.module import TrainPoseConfig
    from ..pose_training.train import train_pose as run

    settings = load_config(TrainPoseConfig, config, "train_pose", overrides)
    folder = work_dir or Path("work_dirs") / f"train_pose_{Path(config).stem}"
    written = ("pose.json", "pose.safetensors", "pose.pth", "faces.npz", "runs.json")
    check_outputs([("--work-dir", folder / name) for name in written], annotations)
    path = run(
        settings,
        annotations,
        folder,
        labels=labels,
        seeds=chosen_seeds(seeds),
        device=device,
        resume=resume,
        quiet=quiet,
    )
    click.echo(printable(path))
