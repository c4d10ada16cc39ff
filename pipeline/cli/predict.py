"""``skelact predict``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .extract import find_clips, make_extractor, pose_options
from .outputs import check_folder, check_outputs, check_place, files_of

if TYPE_CHECKING:
    from ..inference.results import ActionPrediction
    from ..report.write import ReportWriter

# What does not shape the labels, and who is the athlete.
_NO_LABEL_OPTIONS = ("subject", "html", "json_path", "overlay", "timelines")


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
    "--timeline",
    "timelines",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write segments and elements with their times: a .csv of all clips, an .srt of one clip, "
    "or a folder for an .srt per clip. May be given several times.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write a page for browsers: the video with skeletons, a timeline, curves and numbers. A "
    "folder, whose index.html opens from the disk; of several clips it lists their pages.",
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
    timelines: tuple[Path, ...],
    html: Path | None,
    top_k: int,
    **options: Any,
) -> None:
    """Label the action in video CLIPS.

    CLIPS are video files, folders of them, or CSV lists as for `skelact extract`. A clip that
    cannot be read, or whose overlay, .srt or page cannot be written, stops no other; it makes the
    exit code 1. A file that --json, --overlay or --timeline names is replaced, and a report that
    --html names; one of CLIPS never is. A run that is interrupted writes the entries of the clips
    that are done.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    require_mmpose()
    from ..inference.pipeline import Pipeline
    from ..inference.tables import write_csv, write_json
    from ..inference.timeline import TIMELINE_COLUMNS

    sources = find_clips(clips)
    clip_ids = [source.clip_id for source in sources]
    overlays = _overlay_paths(overlay, clip_ids)
    tables, subtitles = _timeline_paths(timelines, clip_ids)
    inputs = [*clips, *(source.path for source in sources), checkpoint, *files_of(options)]
    outputs = [("--json", json_path), *(("--timeline", path) for path in tables)]
    per_clip = [
        *(("--overlay", path) for path in overlays.values()),
        *(("--timeline", path) for paths in subtitles.values() for path in paths),
    ]
    check_outputs(outputs, inputs, per_clip)
    _check_html(html, [*inputs, *(path for _, path in [*outputs, *per_clip])])
    model = Pipeline(checkpoint, extractor=make_extractor(options), top_k=top_k)
    entries: list[dict[str, Any]] = []
    timeline: dict[str, list[Any]] = {name: [] for name in TIMELINE_COLUMNS}
    is_whole = True
    with ExitStack() as stack:
        report = _open_report(stack, html, is_one=len(clip_ids) == 1)
        try:
            for prediction in model.stream(sources):
                _print(prediction)
                entries.append(prediction.to_dict())
                for name, values in prediction.timeline().items():
                    timeline[name] += values
                is_whole &= prediction.error is None
                if report is not None:
                    is_whole &= _add_page(report, prediction)
                if prediction.skeletons.error is not None:
                    continue
                if prediction.video in overlays:
                    is_whole &= _save("overlay", prediction, overlays[prediction.video])
                for path in subtitles.get(prediction.video, ()):
                    is_whole &= _save("subtitles", prediction, path)
        finally:
            # A run that is interrupted keeps what it has done.
            if json_path and entries:
                write_json(json_path, entries)
            for path in tables if entries else ():
                write_csv(path, timeline)
    if not is_whole:
        raise click.exceptions.Exit(1)


def _check_html(html: Path | None, others: Iterable[str | Path | None]) -> None:
    """Check, before any work, that a report can be in a folder; see ``check_report_folder``."""
    from ..report.folder import check_report_folder

    if html is not None:
        check_folder("--html", html.absolute().parent, html)
        check_report_folder(html, [other for other in others if other is not None])


def _open_report(stack: ExitStack, html: Path | None, *, is_one: bool) -> ReportWriter | None:
    from ..report.write import report_writer

    if html is None:
        return None
    return stack.enter_context(report_writer(html, is_one=is_one, options=_options_given()))


def _options_given() -> list[str]:
    """Return the options that shape the labels, with which another athlete is labelled, too."""
    context = click.get_current_context()
    words: list[str] = []
    for option in context.command.params:
        is_given = context.get_parameter_source(option.name or "") == ParameterSource.COMMANDLINE
        if is_given and isinstance(option, click.Option) and option.name not in _NO_LABEL_OPTIONS:
            words.append(option.opts[0])
            words += [] if option.is_flag else [str(context.params[option.name or ""])]
    return words


def _add_page(report: ReportWriter, prediction: ActionPrediction) -> bool:
    """Write a clip's page, and return whether that went well; the other clips go on without it."""
    from ... import SkelactError
    from ...pose_extract.common.text import printable

    try:
        page = report.add(prediction)
    except (SkelactError, OSError) as error:
        # Why a clip has no skeletons is said already.
        if prediction.skeletons.error is None:
            click.echo(f"  no page: {printable(error)}", err=True)
        return False
    click.echo(f"  page: {printable(page)}")
    return True


def _overlay_paths(overlay: Path | None, clip_ids: Sequence[str]) -> dict[str, Path]:
    """Return where the overlay of each clip goes; ``overlay`` is a folder, or one clip's file."""
    from ... import SkelactError

    if overlay is None:
        return {}
    if overlay.suffix == "" or overlay.is_dir():
        check_folder("--overlay", overlay)
        return {clip_id: overlay / f"{clip_id}.mp4" for clip_id in clip_ids}
    if overlay.suffix.lower() != ".mp4" or len(clip_ids) > 1:
        what = "a folder" if len(clip_ids) > 1 else "an .mp4 file or a folder"
        raise SkelactError(f"--overlay: expected {what} for {len(clip_ids)} clips, got {overlay}")
    check_place("--overlay", overlay)
    return dict.fromkeys(clip_ids, overlay)


def _timeline_paths(
    places: Sequence[Path], clip_ids: Sequence[str]
) -> tuple[list[Path], dict[str, list[Path]]]:
    """Return the tables of all clips, and where the subtitles of each clip go."""
    from ... import SkelactError

    tables: list[Path] = []
    subtitles: dict[str, list[Path]] = {clip_id: [] for clip_id in clip_ids}
    for place in places:
        suffix = "" if place.is_dir() else place.suffix.lower()
        if suffix == ".csv":
            tables.append(place)
        elif suffix == "":
            check_folder("--timeline", place)
            for clip_id, name in _subtitle_names(clip_ids).items():
                subtitles[clip_id].append(place / name)
        elif suffix == ".srt" and len(clip_ids) == 1:
            check_place("--timeline", place)
            subtitles[clip_ids[0]].append(place)
        else:
            what = "a .csv, an .srt" if len(clip_ids) == 1 else "a .csv"
            raise SkelactError(
                f"--timeline: expected {what} or a folder for {len(clip_ids)} clips, got {place}"
            )
    return tables, subtitles


def _subtitle_names(clip_ids: Sequence[str]) -> dict[str, str]:
    """Return the .srt of each clip: by the video's name without its suffix, as players look for it.

    Clips that would have one name, as a.mp4 and a.avi, keep their suffixes.
    """
    from ...pose_extract.sources import VIDEO_SUFFIXES

    stems = {}
    for clip_id in clip_ids:
        stem, suffix = os.path.splitext(clip_id)
        stems[clip_id] = stem if suffix.lower() in VIDEO_SUFFIXES else clip_id
    counts = Counter([*stems.values(), *(name for name in clip_ids if stems[name] != name)])
    return {
        clip_id: f"{stem if counts[stem] == 1 else clip_id}.srt" for clip_id, stem in stems.items()
    }


def _print(prediction: ActionPrediction) -> None:
    from ...pose_extract.common.text import printable
    from ..inference.timeline import element_text

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
        click.echo(f"  {times}: {element_text(element)}")
    if len(prediction.segments) > 1:
        for segment in prediction.segments:
            times = f"{segment.start_seconds:.1f} to {segment.end_seconds:.1f} s"
            click.echo(f"  {times}: {printable(segment.label)} {100 * segment.score:.0f} %")


def _save(what: str, prediction: ActionPrediction, path: Path) -> bool:
    """Write a clip's file, and return whether that went well; the other clips go on without it."""
    from ... import SkelactError
    from ...pose_extract.common.text import printable

    try:
        saved = printable(prediction.save(path))
    except (SkelactError, OSError) as error:
        click.echo(f"  no {what}: {printable(error)}", err=True)
        return False
    is_empty = what == "subtitles" and not (prediction.segments or prediction.elements)
    click.echo(f"  {what}: {saved}{' (empty: no segment and no element)' if is_empty else ''}")
    return True
