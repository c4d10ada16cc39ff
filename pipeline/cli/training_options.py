"""Options that the commands that train share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_RUN_OPTIONS = [
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue from the last saved state; without one, begin and say so.",
    ),
    click.option("--quiet", is_flag=True, help="Log warnings and errors only."),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a setting of the config, such as optim.epochs=20; may be repeated.",
    ),
]

seeds_option = click.option(
    "--seed", "seeds", multiple=True, type=int, help="Seed [0]; may be repeated."
)


def run_options(command: F) -> F:
    """Add ``--device``, ``--resume``, ``--quiet`` and ``--set`` to a command."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


def chosen_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Return the seeds to train with; the same one twice would replace its own results.

    Raises:
        click.UsageError: if one is named twice.
    """
    if len(set(seeds)) < len(seeds):
        raise click.UsageError(f"--seed: expected each seed once, got {', '.join(map(str, seeds))}")
    return seeds or (0,)
