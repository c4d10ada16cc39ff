"""``skelact predict``."""

from __future__ import annotations

from collections.abc import Sequence
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
    A file that --json or --overlay names is replaced; one of CLIPS never is. A run that is
    interrupted writes the entries of the clips that are done.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..inference.pipeline import Pipeline
    from ..inference.tables import write_json

    sources = find_clips(clips)
    overlays = _overlay_paths(overlay, [source.clip_id for source in sources])
    check_outputs(
        [("--json", json_path), *(("--overlay", path) for path in overlays.values())],
        [*clips, *(source.path for source in sources), checkpoint, *files_of(options)],
    )
    model = Pipeline(checkpoint, extractor=make_extractor(options), top_k=top_k)
    entries: list[dict[str, Any]] = []
    is_whole = True
    try:
        for prediction in model.stream(sources):
            _print(prediction)
            entries.append(prediction.to_dict())
            is_whole &= prediction.error is None
            if prediction.video in overlays and prediction.skeletons.error is None:
                is_whole &= _save_overlay(prediction, overlays[prediction.video])
    finally:
        # A run that is interrupted keeps what it has done.
        if json_path and entries:
            write_json(json_path, entries)
    if not is_whole:
        raise click.exceptions.Exit(1)


def _overlay_paths(overlay: Path | None, clip_ids: Sequence[str]) -> dict[str, Path]:
    """Return where the overlay of each clip goes; ``overlay`` is a folder, or one clip's file."""
    from ... import SkelactError

    if overlay is None:
        return {}
    if overlay.suffix == "" or overlay.is_dir():
        return {clip_id: overlay / f"{clip_id}.mp4" for clip_id in clip_ids}
    if overlay.suffix.lower() != ".mp4" or len(clip_ids) > 1:
        what = "a folder" if len(clip_ids) > 1 else "an .mp4 file or a folder"
        raise SkelactError(f"--overlay: expected {what} for {len(clip_ids)} clips, got {overlay}")
    return dict.fromkeys(clip_ids, overlay)


def _print(prediction: ActionPrediction) -> None:
    from ...pose_extract.common.text import printable

    click.echo(printable(prediction.video))
    if prediction.error:
        click.echo(f"  {printable(prediction.error)}")
    elif prediction.skeletons.num_lost:
        click.echo(
            f"  {prediction.skeletons.num_lost} frames are lost, {len(prediction.skeletons)} read"
        )
    if prediction.unknown:
        click.echo(f"  {printable(prediction.words)}")
    for item in () if prediction.unknown else prediction.top_k:
        bar = "#" * round(30 * item.score)
        click.echo(f"  {100 * item.score:5.1f} %  {printable(item.label):<24} {bar}")
    for element in prediction.elements:
        times = f"{element.start_seconds:.2f} to {element.end_seconds:.2f} s"
        code = f"{element.element.code}: " if element.element.code else ""
        click.echo(f"  {times}: {code}{element.element.words}")
    if len(prediction.segments) > 1:
        for segment in prediction.segments:
            times = f"{segment.start_seconds:.1f} to {segment.end_seconds:.1f} s"
            click.echo(f"  {times}: {printable(segment.label)} {100 * segment.score:.0f} %")


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
