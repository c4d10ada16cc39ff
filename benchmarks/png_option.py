"""How benchmarks are told which image to write: what cannot be written ends them at once."""

from __future__ import annotations

from pathlib import Path

import click


class PngPath(click.ParamType):
    """The name of a .png in a folder that exists."""

    name = "png"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the path, or end the command with a line that says what was expected."""
        path = Path(value)
        if path.suffix != ".png" or path.is_dir() or not path.parent.is_dir():
            self.fail(f"expected a .png in a folder that exists, got {path}", param, ctx)
        return path
