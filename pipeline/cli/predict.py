"""``skelact predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .extract import make_extractor, pose_options

if TYPE_CHECKING:
    from ..inference.results import ActionPrediction


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
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
    clips: tuple[Path, ...],
    checkpoint: Path | None,
    json_path: Path | None,
    overlay: Path | None,
    top_k: int,
    **options: Any,
) -> None:
    """Label the action in video CLIPS.

    CLIPS are video files, folders of them, or CSV lists as for `skelact extract`. A clip that
    cannot be read gets an entry with its error, and makes the exit code 1.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ... import SkelactError
    from ...pose_extract.common.files import check_is_no_source
    from ...pose_extract.sources import find_sources
    from ..inference.pipeline import Pipeline

    sources = find_sources(clips)
    if overlay is not None and overlay.suffix and (overlay.suffix != ".mp4" or len(sources) > 1):
        raise SkelactError(
            f"--overlay: expected {'a folder' if len(sources) > 1 else 'an .mp4 file or a folder'} "
            f"for {len(sources)} clips, got {overlay}"
        )
    targets = [json_path] if json_path else []
    if overlay is not None:
        targets += [_overlay_path(overlay, source.clip_id) for source in sources]
    for target in targets:
        check_is_no_source(target, [*clips, *(source.path for source in sources)])
    model = Pipeline(checkpoint, extractor=make_extractor(options), top_k=top_k)
    predictions = []
    for prediction in model.stream(sources):
        predictions.append(prediction)
        _print(prediction)
        if overlay is not None and prediction.skeletons.error is None:
            click.echo(f"  overlay: {prediction.save(_overlay_path(overlay, prediction.video))}")
    if json_path:
        _write_json(json_path, predictions)
    if any(prediction.error for prediction in predictions):
        raise click.exceptions.Exit(1)


def _print(prediction: ActionPrediction) -> None:
    click.echo(prediction.video)
    if prediction.error:
        click.echo(f"  {prediction.error}")
    for item in prediction.top_k:
        bar = "#" * round(30 * item.score)
        click.echo(f"  {100 * item.score:5.1f} %  {item.label:<24} {bar}")


def _overlay_path(overlay: Path, clip_id: str) -> Path:
    if overlay.suffix:
        return overlay
    return overlay / f"{clip_id}.mp4"


def _write_json(path: Path, predictions: list[ActionPrediction]) -> None:
    from ...pose_extract.common.files import atomic_write

    values = [prediction.to_dict() for prediction in predictions]
    with atomic_write(path) as temporary:
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8")
