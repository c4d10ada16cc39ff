"""The options that the commands of ``flight.py`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEFAULT_POSES = ("litehrnet18-coco-256x192", "skelact-litehrnet18-256x192")
F = TypeVar("F", bound=Callable[..., Any])

SHARED = click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds options in the order in which help lists them."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


# How a pose model is run.
network_options = with_options(
    click.option("--pose-checkpoint", help="Weights for MMPose config files."),
    click.option("--trust-config", is_flag=True, help="Run MMPose config files, which are code."),
    click.option("--device", default="cpu", show_default=True),
    click.option("--threads", default=1, show_default=True),
)

# What pose models are measured on, and how.
measure_options = with_options(
    SHARED,
    click.option(
        "--pose",
        "poses",
        multiple=True,
        default=DEFAULT_POSES,
        show_default=True,
        help="Pose models as of `skelact extract`.",
    ),
    click.option(
        "--limit", type=click.IntRange(1), help="Only the first people, or clips, of each set."
    ),
    click.option("--seed", default=0, show_default=True, help="Of bootstrap and camera fits."),
    click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures."),
    network_options,
)
