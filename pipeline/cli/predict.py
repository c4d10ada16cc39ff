"""``skelact predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .extract import find_clips, make_extractor, pose_options
from .outputs import check_outputs, files_of

if TYPE_CHECKING:
    from ..inference.results import ActionPrediction


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path())
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Classifier [the shipped one].")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a list with one entry per clip.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    help="Write the clip with skeletons and label: an .mp4, or a folder for several clips.",
)
@click.option(
    "--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Labels to give."
)
@pose_options
def predict(
    clips: tuple[str, ...],
    checkpoint: Path | None,
    json_path: Path | None,
    overlay: Path | None,
    top_k: int,
    **options: Any,
) -> None:
    """Label the action in video CLIPS.

    CLIPS are video files, folders of them, or CSV lists as for `skelact extract`. A clip that
    cannot be read, or whose overlay cannot be written, stops no other; it makes the exit code 1.
    A file that --json or --overlay names is replaced; one of CLIPS never is.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ... import SkelactError
    from ..inference.pipeline import Pipeline
    from ..inference.tables import write_json

    sources = find_clips(clips)
    is_file = overlay is not None and overlay.suffix != "" and not overlay.is_dir()
    if is_file and overlay and (overlay.suffix.lower() != ".mp4" or len(sources) > 1):
        raise SkelactError(
            f"--overlay: expected {'a folder' if len(sources) > 1 else 'an .mp4 file or a folder'} "
            f"for {len(sources)} clips, got {overlay}"
        )
    overlays = {
        source.clip_id: overlay if is_file else overlay / f"{source.clip_id}.mp4"
        for source in sources
        if overlay
    }
    check_outputs(
        [("--json", json_path), *(("--overlay", path) for path in overlays.values())],
        [*clips, *(source.path for source in sources), checkpoint, *files_of(options)],
    )
    model = Pipeline(checkpoint, extractor=make_extractor(options), top_k=top_k)
    entries, is_whole = [], True
    for prediction in model.stream(sources):
        _print(prediction)
        entries.append(prediction.to_dict())
        is_whole &= prediction.error is None
        if prediction.video in overlays and prediction.skeletons.error is None:
            is_whole &= _save_overlay(prediction, overlays[prediction.video])
    if json_path:
        write_json(json_path, entries)
    if not is_whole:
        raise click.exceptions.Exit(1)


def _print(prediction: ActionPrediction) -> None:
    from ...pose_extract.common.text import printable

    click.echo(printable(prediction.video))
    if prediction.error:
        click.echo(f"  {printable(prediction.error)}")
    elif prediction.skeletons.num_lost:
        click.echo(
            f"  {prediction.skeletons.num_lost} frames are lost, {len(prediction.skeletons)} read"
        )
    for item in prediction.top_k:
        bar = "#" * round(30 * item.score)
        click.echo(f"  {100 * item.score:5.1f} %  {printable(item.label):<24} {bar}")


def _save_overlay(prediction: ActionPrediction, path: Path) -> bool:
    """Write an overlay, and return whether that went well; the other clips go on without it."""
    from ... import SkelactError
    from ...pose_extract.common.text import printable

    try:
        click.echo(f"  overlay: {printable(prediction.save(path))}")
    except (SkelactError, OSError) as error:
        click.echo(f"  no overlay: {printable(error)}", err=True)
        return False
    return True
