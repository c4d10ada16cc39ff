"""``skelact models``: which models there are, for what, and where they are on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the table.")
def models(as_json: bool) -> None:
    """List the models: names, what they are for, licence, size, origin, and where they are.

    Names of detectors and pose models are those of --detector and --pose; `skelact doctor` says
    how to get those that are missing.
    """
    from ..checkpoints.catalogue import list_models

    found = list_models()
    if as_json:
        click.echo(json.dumps([asdict(model) for model in found], indent=1))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ...pose_extract.common.text import printable

    console = Console()
    table = Table()
    # A name that is broken over two lines cannot be copied.
    table.add_column("name", no_wrap=True)
    for title in ("kind", "MB", "where", "licence"):
        table.add_column(title, overflow="fold", justify="right" if title == "MB" else "left")
    for model in found:
        where = model.place or "not on this machine"
        # The rest of the terms stands below.
        licence = model.licence.partition(";")[0]
        cells = (model.name, model.kind, f"{model.num_bytes / 1e6:.1f}", where, licence)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)
    for model in found:
        text = f"{model.name}: {model.what}; from {model.source}; {model.licence}"
        if model.classes:
            text += f"; classes: {', '.join(model.classes)}"
        console.print(Text(printable(text)))
