"""``skelact inspect``: how good extracted skeletons are, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...pose_extract.common.text import printable
from .terminal import ProgressDisplay, quiet_option, say

# Of names the table shows as much side by side; longer ones go on in the next line.
_NAME_WIDTH = 16

if TYPE_CHECKING:
    from ...pose_extract.store.manifest import ManifestEntry


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--videos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that the videos were extracted from: skeletons are then drawn on their frames.",
)
@click.option("--page", is_flag=True, help="Also write FOLDER/inspect/index.html with images.")
@click.option("--predict", is_flag=True, help="Also label the clips, for the page.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Classifier of --predict [the shipped one].",
)
@quiet_option
def inspect(
    folder: Path, videos: Path | None, page: bool, predict: bool, checkpoint: Path | None
) -> None:
    """Show how good the skeletons in FOLDER are, the worst first.

    FOLDER is the --out of `skelact extract`. With --page (or --videos, or --predict) an image per
    clip, some of its frames with skeletons, is written beside a page on which clips are sorted and
    searched, with their labels; a click on a frame opens the video there.
    """
    from ..drawing.sheet import worst_first

    if checkpoint is not None and not predict:
        raise click.UsageError("--checkpoint is for predictions: give --predict, too")
    entries = worst_first(folder)
    _print(entries)
    if not (page or predict or videos is not None):
        return
    from ..report.inspection import write_inspection

    labeller: Any = None
    if predict:
        from ..inference.predict import Predictor

        labeller = Predictor(checkpoint)
    with ProgressDisplay() as display:
        written = write_inspection(
            folder,
            entries,
            videos,
            with_frames=videos is not None,
            labeller=labeller,
            on_clip=lambda done, total: display.clips(done, total, "drawn"),
        )
    say(f"page: {printable(written)}")


def _print(entries: Sequence[ManifestEntry]) -> None:
    """Print the failed clips with their errors, a line each, then a table of the others."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..drawing.sheet import FIGURES
    from .terminal import has_text

    if not has_text():
        return
    console = Console()
    table = Table(box=None, padding=(0, 1, 0, 0))
    # A name is what one looks for.
    table.add_column("video", overflow="fold", min_width=_NAME_WIDTH)
    for title, _ in FIGURES.values():
        # Two words in two lines: eight figures and a name fit into 80 columns.
        table.add_column("\n".join(title.split()), justify="right", no_wrap=True)
    for entry in entries:
        video = printable(entry.video)
        if entry.status == "done":
            figures = (getattr(entry, column) for column in FIGURES)
            cells = (f"{one:.2f}" if isinstance(one, float) else str(one) for one in figures)
            table.add_row(Text(video), *cells)
        else:
            line = Text(f"failed: {video}: {printable(entry.error or '')}", style="red")
            console.print(line, soft_wrap=True)
    if table.row_count:
        console.print(table)
