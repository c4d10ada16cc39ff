"""``skelact inspect``: how good extracted skeletons are, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

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
        click.echo(f"page: {write_page(folder, entries, videos)}")


def _print(entries: Sequence[ManifestEntry]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..drawing.sheet import COLUMNS

    table = Table()
    table.add_column("video", overflow="fold")
    for title in COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for entry in entries:
        if entry.status == "done":
            table.add_row(entry.video, *(str(getattr(entry, column)) for column in COLUMNS))
        else:
            table.add_row(entry.video, f"[red]{entry.error}[/]")
    Console().print(table)
