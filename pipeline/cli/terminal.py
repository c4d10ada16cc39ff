"""What commands show while they work: text, progress with the time left, and their exit codes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...pose_extract.common.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from ...pose_extract.extract import Progress as ClipProgress

# 0: all done; 1: the run failed; 2: wrong usage, click's own. See docs/terminal.md.
SOME_FAILED = 3

# As a name of a file: standard output.
STDOUT = Path("-")

_QUIET, _NO_TEXT = "skelact.quiet", "skelact.no_text"
# Of a longer name the end is shown: the figures beside it have to fit into 80 columns.
_NAME_CHARS = 24
# A log shows no bars: it gets a line now and then.
_SECONDS_PER_LINE = 10.0


def _set_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_QUIET] = value


quiet_option = click.option(
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="Print errors alone, and no progress.",
)


def _is_set(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(name))


def keep_stdout_for_data() -> None:
    """Print no more text for people to standard output: JSON goes there."""
    click.get_current_context().meta[_NO_TEXT] = True


def has_text() -> bool:
    """Return whether text for people is printed to standard output."""
    return not _is_set(_QUIET) and not _is_set(_NO_TEXT)


def say(text: str) -> None:
    """Print a line for people, unless they want none or standard output is for data."""
    if has_text():
        click.echo(text)


def note(text: str) -> None:
    """Print a line that is no error to standard error, unless people want none."""
    if not _is_set(_QUIET):
        click.echo(text, err=True)


def file_of(path: Path | None) -> Path | None:
    """Return the file that an option names; None where it is standard output."""
    return None if path == STDOUT else path


def write_stdout(text: str) -> None:
    """Write text to standard output as it is, in UTF-8, at once."""
    from ..inference.tables import ESCAPED

    click.echo(text.encode("utf-8", ESCAPED), nl=False)


def short_name(name: str) -> str:
    """Return the end of a name, which tells clips of one folder apart."""
    shown = printable(name)
    return shown if len(shown) <= _NAME_CHARS else f"…{shown[1 - _NAME_CHARS :]}"


def time_left(seconds: float) -> str:
    """Return a time in words, as exact as a guess of it is.

    >>> time_left(42.4), time_left(200), time_left(5400)
    ('42 s', '3 min', '1 h 30 min')
    """
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def progress_bars(console: Console) -> Progress:
    """Return bars with the time left that fit into 80 columns; each task has a field ``unit``."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    def text(template: str) -> TextColumn:
        return TextColumn(template, markup=False, table_column=Column(no_wrap=True))

    return Progress(
        text("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        text("{task.fields[count]}"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        text("left"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=console,
        expand=True,
        transient=True,
        # It is paused where text is printed: standard output may be another file.
        redirect_stdout=False,
        # A clip may take minutes: the rate of clips is that of the last hour.
        speed_estimate_period=3600,
    )


def count_text(done: int, total: int | None, unit: str) -> str:
    """Return how much is done: "3/40 clips"; nothing where nothing is counted."""
    if not unit:
        return ""
    return f"{done} {unit}" if total is None else f"{done}/{total} {unit}"


class ProgressDisplay:
    """How far work is, on standard error; use it in a ``with`` block.

    In a terminal a bar for each kind of work; elsewhere a line every ten seconds, and none of what
    is done before. Nothing with ``--quiet``.

    Args:
        console: Where it goes; None for standard error.
        clock: Seconds, for the lines.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._clock = console, clock
        self._is_quiet = _is_set(_QUIET)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        # Of each kind of work its name, and when how much of it was done first.
        self._begun: dict[str, tuple[str, float, int]] = {}
        self._last_line = clock()

    def __enter__(self) -> ProgressDisplay:
        if not self._is_quiet:
            from rich.console import Console

            self._console = self._console or Console(stderr=True)
            if self._console.is_terminal:
                self._bars = progress_bars(self._console)
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    @property
    def has_bars(self) -> bool:
        """Whether there are bars, and so no need of lines."""
        return self._bars is not None

    def pause(self) -> None:
        """Take the bars away, so that text can be printed; the next step shows them again."""
        if self._bars is not None:
            self._bars.stop()

    def show(self, kind: str, name: str, done: int, total: int | None, unit: str) -> None:
        """Show how far a piece of work is.

        Args:
            kind: Where it is shown: of one kind there is one piece at a time.
            name: What is worked on; another name begins anew.
            done, total: How much is done, and of how much, None where that is not known.
            unit: Of what.
        """
        if kind not in self._begun or self._begun[kind][0] != name:
            self.end(kind)
            self._begun[kind] = name, self._clock(), done
        if self._bars is not None:
            self._show_bar(kind, name, done, total, unit)
        elif not self._is_quiet and self._clock() - self._last_line >= _SECONDS_PER_LINE:
            self._last_line = self._clock()
            note(self._line(kind, name, done, total, unit))

    def end(self, kind: str) -> None:
        """Take away what is shown of a kind of work."""
        self._begun.pop(kind, None)
        if kind in self._tasks and self._bars is not None:
            self._bars.remove_task(self._tasks.pop(kind))

    def _show_bar(self, kind: str, name: str, done: int, total: int | None, unit: str) -> None:
        assert self._bars is not None
        fields: dict[str, Any] = {"count": count_text(done, total, unit)}
        if kind not in self._tasks:
            self._tasks[kind] = self._bars.add_task(short_name(name), total=total, **fields)
        self._bars.update(self._tasks[kind], completed=done, total=total, **fields)
        self._bars.start()

    def _line(self, kind: str, name: str, done: int, total: int | None, unit: str) -> str:
        text = f"{printable(name)}: {count_text(done, total, unit)}".removesuffix(": ")
        _, began, first = self._begun[kind]
        if total is None or not first < done < total:
            return text
        seconds = (self._clock() - began) * (total - done) / (done - first)
        return f"{text}, about {time_left(seconds)} left"

    def start(self, what: str) -> None:
        """Show what is done before anything can be counted."""
        self.show("one", what, 0, None, "")

    def clips(self, done: int, total: int, what: str = "clips") -> None:
        """Show how many of several clips are done; of one alone nothing."""
        if total > 1:
            self.show("all", what, done, total, "clips")

    def frames(self, progress: ClipProgress) -> None:
        """Show how far the clip that is read is."""
        done, total = progress.frames_done, progress.frames_total
        self.show("one", progress.clip.clip_id, done, total, "frames")
