"""``skelact synth``: synthetic data sets."""

from __future__ import annotations

from pathlib import Path

import click

from ...pose_extract.common.text import printable
from .outputs import check_outputs

_SEED = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed."
)


@click.group()
def synth() -> None:
    """Make synthetic data sets."""


# The dives of the sheet: the take-offs, positions and twists of Diving48.
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
@_SEED
@click.option(
    "--noise",
    type=float,
    default=1.0,
    show_default=True,
    help="Size and rate of pose errors: 1 is like a light pose model, 0 exact.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw some dives, without noise, to this image.",
)
def diving(
    out: Path, train: int, val: int, test: int, seed: int, noise: float, sheet: Path | None
) -> None:
    """Simulate dives of the 48 classes of Diving48: SYNTHETIC skeletons with labels.

    A body of random proportions dives by the rules that the class names, seen by a panning camera,
    with the errors of a pose model. The same seed gives the same clips.
    """
    from ..synth.dataset import SynthConfig, write_diving
    from ..synth.sheet import check_image_path, draw_sheet

    check_outputs([("--out", out), ("--sheet", sheet)], [])
    if sheet:
        check_image_path(sheet)
    splits = {"train": train, "val": val, "test": test}
    count = write_diving(out, splits, seed=seed, config=SynthConfig(noise=noise))
    click.echo(f"{printable(out)}: {count} synthetic dives of 48 classes")
    if sheet:
        draw_sheet(sheet, _SHEET, seed=seed)
        click.echo(printable(sheet))


@synth.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, .npz.",
)
@click.option("--clips", type=click.IntRange(min=1), default=1024, show_default=True)
@_SEED
@click.option(
    "--noise",
    type=click.FloatRange(min=0, max=5),
    default=1.0,
    show_default=True,
    help="Size and rate of pose errors: 1 is like a light pose model, 0 exact.",
)
def pairs(out: Path, clips: int, seed: int, noise: float) -> None:
    """Simulate dives and saltos seen twice: with the errors of a pose model, and exact.

    For `skelact pretrain`, as its config's simulated.file. The same seed gives the same clips.
    """
    from ..synth.pairs import write_pairs

    check_outputs([("--out", out)], [])
    write_pairs(out, clips, seed=seed, noise=noise)
    click.echo(printable(out))
