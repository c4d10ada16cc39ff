"""``skelact train-flight``: the network that reads flights."""

from __future__ import annotations

from pathlib import Path

import click

from ...pose_extract.common.text import printable
from .training_options import run_options


@click.command("train-flight")
@click.argument("config", default="factors")
@click.option(
    "--pretrained",
    type=click.Path(path_type=Path),
    help="Checkpoint of `skelact pretrain`, model tube, to take the encoder from.",
)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of results [work_dirs/train_flight_CONFIG].",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed.")
@run_options
def train_flight(
    config: str,
    pretrained: Path | None,
    work_dir: Path | None,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the network that reads what is done in a flight, on simulated dives and saltos.

    CONFIG is `factors`, the one that ships, or a YAML file. Flights are simulated first; a second
    run into the same folder takes them again.
    """
    from ..config import load_config
    from ..flight_training.module import TrainFlightConfig
    from ..flight_training.train import train_flight as run

    settings = load_config(TrainFlightConfig, config, "train_flight", overrides)
    folder = work_dir or Path("work_dirs") / f"train_flight_{Path(config).stem}"
    path = run(
        settings,
        folder,
        pretrained=pretrained,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
    )
    click.echo(printable(path))
