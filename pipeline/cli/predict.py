"""``skelact predict``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...pose_extract.common.collector import collector_paused
from ...pose_extract.common.text import printable
from .extract import find_clips, make_extractor, pose_options
from .outputs import check_folder, check_outputs, files_of
from .predict_outputs import overlay_paths, timeline_paths
from .terminal import (
    SOME_FAILED,
    STDOUT,
    ProgressDisplay,
    file_of,
    has_text,
    keep_stdout_for_data,
    quiet_option,
    say,
    write_stdout,
)

if TYPE_CHECKING:
    from ..inference.results import ActionPrediction
    from ..report.write import ReportWriter

# What does not shape the labels, and who is the athlete.
_NO_LABEL_OPTIONS = (
    "subject", "html", "json_path", "lines_path", "overlay", "slow", "angles", "crop", "timelines",
)  # fmt: skip
_OVERLAY_OPTIONS = ("slow", "angles", "crop")
_JSON = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


class _Slower(click.FloatRange):
    """A range without NaN, which is in all of click's."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("expected a number, got nan", param, ctx)
        return number


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path())
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Classifier [the shipped one].")
@click.option(
    "--json",
    "json_path",
    type=_JSON,
    help="Write a list with one entry per clip; - is standard output.",
)
@click.option(
    "--json-lines",
    "lines_path",
    type=_JSON,
    help="Write an entry per clip, each as a line as soon as it is known; - is standard output.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    help="Write the clip with skeletons, label and time: an .mp4, or a folder for several clips.",
)
@click.option(
    "--slow",
    type=_Slower(1, 100),
    help="The overlay runs so many times slower, without sound [1].",
)
@click.option("--angles", is_flag=True, help="The overlay has the athlete's angles, in degrees.")
@click.option(
    "--crop",
    type=click.Choice(["athlete"]),
    help="The overlay shows a window that follows the athlete.",
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
@quiet_option
@pose_options
def predict(
    clips: tuple[str, ...],
    checkpoint: Path | None,
    json_path: Path | None,
    lines_path: Path | None,
    overlay: Path | None,
    slow: float | None,
    angles: bool,
    crop: str | None,
    timelines: tuple[Path, ...],
    html: Path | None,
    top_k: int,
    **options: Any,
) -> None:
    """Label the action in video CLIPS.

    CLIPS are video files, folders of them, or CSV lists as for `skelact extract`. A clip that
    cannot be read, or whose overlay, .srt or page cannot be written, stops no other; it makes the
    exit code 3. A file that --json, --json-lines, --overlay or --timeline names is replaced, and a
    report that --html names; one of CLIPS never is. A run that is interrupted writes the entries of
    the clips that are done.
    """
    from ...pose_extract.nets.mmpose_adapter import require_mmpose

    style = _overlay_style(overlay, slow, angles, crop)
    if STDOUT in (json_path, lines_path):
        _check_one_on_stdout(json_path, lines_path)
        keep_stdout_for_data()
    require_mmpose()
    with collector_paused():
        from ..inference.pipeline import Pipeline

    sources = find_clips(clips)
    clip_ids = [source.clip_id for source in sources]
    tables, subtitles = timeline_paths(timelines, clip_ids)
    overlays = overlay_paths(overlay, clip_ids)
    results = _Results(json_path, lines_path, tables, subtitles, overlays, style)
    inputs = [*clips, *(source.path for source in sources), checkpoint, *files_of(options)]
    _check_outputs(results, inputs, html)
    model = Pipeline(checkpoint, extractor=make_extractor(options), top_k=top_k)
    with ExitStack() as stack:
        results.report = _open_report(stack, html, is_one=len(clip_ids) == 1)
        stack.enter_context(results.kept())
        display = stack.enter_context(ProgressDisplay())
        display.start("loading the networks")
        for number, prediction in enumerate(model.stream(sources, on_progress=display.frames), 1):
            display.pause()
            results.add(prediction, display)
            display.clips(number, len(sources), "labelled")
    if not results.is_whole:
        raise click.exceptions.Exit(SOME_FAILED)


def _overlay_style(
    overlay: Path | None, slow: float | None, angles: bool, crop: str | None
) -> dict[str, Any]:
    """Return the options of ``ActionPrediction.save_overlay``."""
    given = {"slow": slow, "angles": angles or None, "crop": crop}
    style = {name: value for name, value in given.items() if value is not None}
    if style and overlay is None:
        raise click.UsageError(f"--{next(iter(style))} is for an overlay: give --overlay, too")
    return style


def _check_one_on_stdout(json_path: Path | None, lines_path: Path | None) -> None:
    if json_path == lines_path:
        raise click.UsageError("--json and --json-lines: one of them can be standard output")


def _check_outputs(
    results: _Results, inputs: Sequence[str | Path | None], html: Path | None
) -> None:
    """Check, before any work, that all can be written and nothing is written over."""
    outputs = [
        ("--json", file_of(results.json_path)),
        ("--json-lines", file_of(results.lines_path)),
        *(("--timeline", path) for path in results.tables),
    ]
    per_clip = [
        *(("--overlay", path) for path in results.overlays.values()),
        *(("--timeline", path) for paths in results.subtitles.values() for path in paths),
    ]
    check_outputs(outputs, inputs, per_clip)
    _check_html(html, [*inputs, *(path for _, path in [*outputs, *per_clip])])


@dataclass
class _Results:
    """What is written of the clips: some of it clip by clip, the rest at the end.

    Attributes:
        json_path, lines_path: Where the entries go, a list and a line each.
        tables: Tables of all clips.
        subtitles, overlays: Files of each clip, by its id.
        style: Options of the overlays.
        report: Writes their pages.
        is_whole: Whether all went well until now.
    """

    json_path: Path | None
    lines_path: Path | None
    tables: Sequence[Path]
    subtitles: dict[str, list[Path]]
    overlays: dict[str, Path]
    style: dict[str, Any]
    report: ReportWriter | None = None
    is_whole: bool = True
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _timeline: dict[str, list[Any]] = field(default_factory=dict)
    _has_lines: bool = False

    def add(self, prediction: ActionPrediction, display: ProgressDisplay) -> None:
        """Print a clip's answer, and write its files."""
        _print(prediction)
        entry = prediction.to_dict()
        self._write_line(entry)
        if self.json_path is not None:
            self._entries.append(entry)
        for name, values in prediction.timeline().items():
            self._timeline.setdefault(name, []).extend(values)
        self.is_whole &= prediction.error is None
        if self.report is not None:
            self.is_whole &= _add_page(self.report, prediction)
        if prediction.skeletons.error is not None:
            return
        if prediction.video in self.overlays:
            self.is_whole &= self._save_overlay(prediction, display)
        for path in self.subtitles.get(prediction.video, ()):
            self.is_whole &= _save("subtitles", prediction, partial(prediction.save, path))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write at the end what is of all clips, also where the run is interrupted."""
        from ..inference.tables import json_text, write_csv, write_json

        try:
            yield
        finally:
            if self._entries and self.json_path == STDOUT:
                write_stdout(json_text(self._entries))
            elif self._entries and self.json_path is not None:
                write_json(self.json_path, self._entries)
            for path in self.tables if self._timeline else ():
                write_csv(path, self._timeline)

    def _write_line(self, entry: dict[str, Any]) -> None:
        from ..inference.tables import ESCAPED, json_line

        if self.lines_path == STDOUT:
            write_stdout(json_line(entry))
        elif self.lines_path is not None:
            # The first line replaces what was there.
            mode = "a" if self._has_lines else "w"
            self.lines_path.parent.mkdir(parents=True, exist_ok=True)
            with self.lines_path.open(mode, encoding="utf-8", errors=ESCAPED) as file:
                file.write(json_line(entry))
            self._has_lines = True

    def _save_overlay(self, prediction: ActionPrediction, display: ProgressDisplay) -> bool:
        def show(done: int, total: int) -> None:
            display.show("one", f"overlay of {prediction.video}", done, total, "frames")

        path = self.overlays[prediction.video]
        save = partial(prediction.save_overlay, path, **self.style, on_frame=show)
        return _save("overlay", prediction, save, display)


def _check_html(html: Path | None, others: Iterable[str | Path | None]) -> None:
    """Check, before any work, that a report can be in a folder; see ``check_report_folder``."""
    from ..report.folder import check_report_folder

    if html is not None:
        check_folder("--html", html.absolute().parent, html)
        check_report_folder(html, [other for other in others if other is not None])


def _open_report(stack: ExitStack, html: Path | None, *, is_one: bool) -> ReportWriter | None:
    if html is None:
        return None
    from ..report.write import report_writer

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

    try:
        page = report.add(prediction)
    except (SkelactError, OSError) as error:
        # Why a clip has no skeletons is said already.
        if prediction.skeletons.error is None:
            click.echo(f"  no page: {printable(error)}", err=True)
        return False
    say(f"  page: {printable(page)}")
    return True


def _print(prediction: ActionPrediction) -> None:
    from ..inference.timeline import element_text

    if prediction.error and not has_text():
        click.echo(f"{printable(prediction.video)}: {printable(prediction.error)}", err=True)
    say(printable(prediction.video))
    if prediction.error:
        say(f"  {printable(prediction.error)}")
    elif prediction.skeletons.num_lost:
        say(f"  {prediction.skeletons.num_lost} frames are lost, {len(prediction.skeletons)} read")
    if prediction.unknown:
        say(f"  {printable(prediction.words)}")
    for item in () if prediction.unknown else prediction.top_k:
        bar = "#" * round(30 * item.score)
        say(f"  {100 * item.score:5.1f} %  {printable(item.label):<24} {bar}")
    for element in prediction.elements:
        times = f"{element.start_seconds:.2f} to {element.end_seconds:.2f} s"
        say(f"  {times}: {element_text(element)}")
    if len(prediction.segments) > 1:
        for segment in prediction.segments:
            times = f"{segment.start_seconds:.1f} to {segment.end_seconds:.1f} s"
            say(f"  {times}: {printable(segment.label)} {100 * segment.score:.0f} %")


def _save(
    what: str,
    prediction: ActionPrediction,
    save: Callable[[], Path],
    display: ProgressDisplay | None = None,
) -> bool:
    """Write a clip's file, and return whether that went well; the other clips go on without it."""
    from ... import SkelactError

    try:
        saved = printable(save())
    except (SkelactError, OSError) as error:
        if display is not None:
            display.pause()
        click.echo(f"  no {what}: {printable(error)}", err=True)
        return False
    if display is not None:
        display.pause()
    is_empty = what == "subtitles" and not (prediction.segments or prediction.elements)
    say(f"  {what}: {saved}{' (empty: no segment and no element)' if is_empty else ''}")
    return True
