"""``skelact export``: cached skeletons as tables and as files of other tools."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...pose_extract.common.text import printable
from .outputs import check_folder, check_outputs
from .terminal import SOME_FAILED, ProgressDisplay, note, quiet_option, say

if TYPE_CHECKING:
    from ..export.run import ExportOptions, ExportSummary
    from ..export.sources import Skeletons

# The names of ``export.run`` and ``export.tables``, which are not imported for --help.
_FORMATS = ("csv", "xlsx", "parquet", "dlc", "openpose", "trc", "c3d")
_TABLES = "keypoints, angles, elements, segments"
# Files that are named after the run; the others are counted.
_MAX_NAMED = 4


class _Export(click.Command):
    """Tells those who type the command of earlier versions where it went."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(arg == "--onnx" or arg.startswith("--onnx=") for arg in args):
            raise click.UsageError(
                "`skelact export` writes skeletons; a classifier becomes ONNX by "
                "`skelact export-onnx CHECKPOINT FILE`",
                ctx,
            )
        return super().parse_args(ctx, args)


@click.command(cls=_Export)
@click.argument("skeletons", type=click.Path(path_type=Path))
@click.option(
    "--to", "to", required=True, type=click.Choice(_FORMATS), help="What to write; see above."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of what is written, or the file of one table or workbook [SKELETONS/export].",
)
@click.option(
    "--tables",
    default="keypoints",
    show_default=True,
    metavar="NAME,NAME",
    help=f"Tables of csv, xlsx and parquet: some of {_TABLES}.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Classifier for elements and segments [the shipped one].",
)
@click.option(
    "--metres-per-pixel",
    type=float,
    help="Write trc and c3d in metres, y up [pixels, y down].",
)
@quiet_option
def export(
    skeletons: Path,
    to: str,
    out: Path | None,
    tables: str,
    checkpoint: Path | None,
    metres_per_pixel: float | None,
) -> None:
    """Write SKELETONS as tables, or as files of other tools.

    SKELETONS is the --out of `skelact extract`, or one of its .npz files.

    \b
    csv, parquet  a file per table, all clips in it
    xlsx          one workbook, a sheet per table
    dlc           DeepLabCut's CSV, a file per clip
    openpose      a folder of JSON per clip, BODY_25
    trc, c3d      markers, a file per clip and person

    Files of the same names are replaced. A clip that cannot be read or written is listed, stops no
    other, and makes the exit code 3.
    """
    from ..export.run import ExportOptions, export_skeletons, require_packages
    from ..export.sources import find_skeletons

    names = tuple(name.strip() for name in tables.split(","))
    try:
        options = ExportOptions(to, names, metres_per_pixel)
    except ValueError as error:
        raise click.UsageError(f"--{str(error).replace('_', '-')}") from None
    if checkpoint is not None and not options.needs_labels:
        raise click.UsageError("--checkpoint: labels are in the tables elements and segments alone")
    require_packages(options)
    found = find_skeletons(skeletons)
    out = out or found.folder / "export"
    _check_places(options, out, found, checkpoint)
    labeller: Any = None
    if options.needs_labels:
        from ..inference.predict import Predictor

        labeller = Predictor(checkpoint)
    with ProgressDisplay() as display:
        done = count(1)
        summary = export_skeletons(
            found,
            out,
            options,
            labeller=labeller,
            on_clip=lambda clip: display.clips(next(done), len(found.clips), "exported"),
        )
    _report(summary, found, out)


def _check_places(
    options: ExportOptions, out: Path, found: Skeletons, checkpoint: Path | None
) -> None:
    files = list(dict.fromkeys(options.places(out).values()))
    if not files:
        check_folder("--out", out)
    inputs = [*(found.folder / clip.entry for clip in found.clips), checkpoint]
    check_outputs([("--out", path) for path in files], inputs)


def _report(summary: ExportSummary, found: Skeletons, out: Path) -> None:
    rows = ", ".join(f"{name} {count} rows" for name, count in summary.num_rows.items())
    clips = f"{summary.num_clips} of {len(found.clips)} clips"
    if len(summary.paths) <= _MAX_NAMED:
        for path in summary.paths:
            say(printable(path))
    else:
        say(f"{printable(out)}: {len(summary.paths)} files or folders")
    say(f"{clips}: {rows}" if rows else clips)
    for name in summary.empty:
        say(f"  no people in it, no file: {printable(name)}")
    if found.num_without:
        note(f"  {found.num_without} more clips have no skeletons: `skelact inspect` says why")
    for name, error in summary.failed.items():
        click.echo(f"  failed: {printable(name)}: {printable(error)}", err=True)
    if summary.failed:
        raise click.exceptions.Exit(SOME_FAILED)
