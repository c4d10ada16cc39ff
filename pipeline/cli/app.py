"""``skelact app``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import click

from ...pose_extract.effort import DEFAULT_EFFORT, EFFORTS

_PACKAGES = ("starlette", "uvicorn")
_DEFAULT_PORT = 8765


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. Any but this machine's own asks for a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULT_PORT,
    show_default=True,
    help="Port to listen at; 0 takes a free one.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where clips and reports are kept [~/.local/share/skelact/app].",
)
@click.option("--token", "with_token", is_flag=True, help="Ask for a token on this machine, too.")
@click.option(
    "--max-upload",
    type=click.FloatRange(0, min_open=True),
    default=4.0,
    show_default=True,
    metavar="GB",
    help="Size of the largest clip.",
)
@click.option(
    "--max-hours",
    type=click.FloatRange(0, min_open=True),
    default=12.0,
    show_default=True,
    help="How long the labelling of a clip may take: others wait for it.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Classifier [the shipped one].")
@click.option(
    "--effort",
    type=click.Choice(list(EFFORTS)),
    help=f"How much is done to find and pose the athlete [{DEFAULT_EFFORT}].",
)
@click.option("--device", help="auto [default], cpu, cuda or cuda:N.")
def app(
    host: str,
    port: int,
    folder: Path | None,
    with_token: bool,
    max_upload: float,
    max_hours: float,
    checkpoint: Path | None,
    effort: str | None,
    device: str | None,
) -> None:
    """Label clips in a browser.

    Open the address that it says: clips are uploaded there, labelled one after the other, and each
    has the page that `skelact predict --html` writes. Ctrl+C ends it; a clip that is being labelled
    then is labelled anew at the next start, and what is done stays until it is deleted.
    """
    from ... import SkelactError
    from ...pose_extract.common.text import printable
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SkelactError(
            f"the app needs {' and '.join(missing)}, which is not installed: "
            "pip install 'skelact[app]'"
        )
    from ..app.serve import serve
    from ..app.uploads import UploadLimits
    from ..checkpoints.checkpoint import find_checkpoint

    if checkpoint is not None:
        find_checkpoint(checkpoint)  # told now, and not by each job
        checkpoint = checkpoint.absolute()
    options = {
        "checkpoint": None if checkpoint is None else os.fspath(checkpoint),
        "effort": effort,
        "device": device,
    }
    serve(
        (folder or _data_folder()).absolute(),
        host=host,
        port=port,
        with_token=with_token,
        limits=UploadLimits(max_bytes=round(max_upload * 1e9)),
        max_hours=max_hours,
        options={name: value for name, value in options.items() if value is not None},
        say=lambda line: click.echo(printable(line)),
    )


def _data_folder() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "skelact" / "app"
