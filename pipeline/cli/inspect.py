"""``skelact inspect``: how good extracted skeletons are, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...pose_extract.common.text import printable

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
def inspect(folder: Path, videos: Path | None, page: bool) -> None:
    """Show how good the skeletons in FOLDER are, the worst first.

    FOLDER is the --out of `skelact extract`. With --page (or --videos) an image per clip, some of
    its frames with skeletons, is written beside a page that lists the worst first.
    """
    from ..drawing.sheet import worst_first, write_page

    entries = worst_first(folder)
    _print(entries)
    if page or videos is not None:
        click.echo(f"page: {printable(write_page(folder, entries, videos))}")


def _print(entries: Sequence[ManifestEntry]) -> None:
    """Print the failed clips with their errors, a line each, then a table of the others."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..drawing.sheet import COLUMNS

    console = Console()
    table = Table()
    table.add_column("video", overflow="fold")
    for title in COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for entry in entries:
        video = printable(entry.video)
        if entry.status == "done":
            figures = (str(getattr(entry, column)) for column in COLUMNS)
            table.add_row(Text(video), *figures)
        else:
            line = Text(f"failed: {video}: {printable(entry.error or '')}", style="red")
            console.print(line, soft_wrap=True)
    if table.row_count:
        console.print(table)
