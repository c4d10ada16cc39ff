"""``skelact synth``: data sets that are simulated."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def synth() -> None:
    """Make synthetic data sets."""


# One dive of each take-off, position and kind of twist, for the sheet.
_SHEET = (
    "Forward 25som NoTwis TUCK",
    "Back 35som NoTwis PIKE",
    "Reverse Dive NoTwis PIKE",
    "Inward 15som NoTwis PIKE",
    "Forward 15som 2Twis FREE",
    "Back 25som 15Twis PIKE",
)


@synth.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="PYSKL annotation file to write.",
)
@click.option("--train", type=int, default=4800, show_default=True, help="Clips of split train.")
@click.option("--val", type=int, default=960, show_default=True, help="Clips of split val.")
@click.option("--test", type=int, default=960, show_default=True, help="Clips of split test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed.")
@click.option(
    "--noise",
    type=float,
    default=1.0,
    show_default=True,
    help="How faulty the poses are: 1 like a light pose net's, 0 exact.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw some dives, without noise, to this picture too.",
)
def diving(
    out: Path, train: int, val: int, test: int, seed: int, noise: float, sheet: Path | None
) -> None:
    """Simulate dives of the 48 classes of Diving48: SYNTHETIC skeletons with labels.

    A body of random proportions dives by the rules that the class names, seen by a panning camera,
    with the faults of a pose net. The same seed gives the same clips.
    """
    from ..synth.dataset import SynthConfig, write_diving
    from ..synth.sheet import draw_sheet

    splits = {"train": train, "val": val, "test": test}
    count = write_diving(out, splits, seed=seed, config=SynthConfig(noise=noise))
    click.echo(f"{out}: {count} synthetic dives of 48 classes")
    if sheet:
        draw_sheet(sheet, _SHEET, seed=seed)
        click.echo(sheet)
