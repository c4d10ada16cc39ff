"""What a clip shows when: its segments and elements as rows of one table, and as subtitles."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from ...pose_extract.common.files import atomic_write
from ...pose_extract.common.text import one_line
from ..elements.recognise import RecognisedElement
from .segments import Segment

__all__ = ["TIMELINE_COLUMNS", "element_text", "subtitles", "timeline_table", "write_subtitles"]

Entry: TypeAlias = "Segment | RecognisedElement"

# Segments have no value from takeoff on, and no person: all people are classified together.
TIMELINE_COLUMNS = (
    "clip", "start_seconds", "end_seconds", "person", "kind", "label", "score", "takeoff",
    "half_somersaults", "half_twists", "position", "code", "diving48_class",
)  # fmt: skip


def timeline_table(clip: str, entries: Iterable[Entry]) -> dict[str, list[Any]]:
    """Return one row per segment and element, in the order of time, as columns of equal length.

    ``kind`` is "segment" or the kind of an element, ``label`` the label of a segment or an element
    in words, and ``score`` the segment's score or the element's confidence. None stands for what a
    segment does not have and for what is not known of an element.

    Args:
        clip: The clip's id.
        entries: Its segments and elements, in any order.
    """
    rows = [_row(clip, entry) for entry in _in_order(entries)]
    return {name: [row[i] for row in rows] for i, name in enumerate(TIMELINE_COLUMNS)}


def subtitles(entries: Iterable[Entry]) -> str:
    """Return segments and elements as SubRip (.srt) text; "" where there are none.

    Cues never overlap, which players show in different ways: what is there at one time has a line
    each in one cue, and a segment goes on in the next cue where an element in it ends. Times are
    those of the source file from its first frame, in whole milliseconds.

    Args:
        entries: Segments and elements of one clip, in any order.
    """
    shown = [(*_milliseconds(entry), _line(entry)) for entry in _in_order(entries)]
    edges = sorted({edge for start, end, _ in shown for edge in (start, end)})
    cues: list[str] = []
    for start, end in pairwise(edges):
        lines = [line for first, last, line in shown if first <= start and end <= last]
        if lines:
            times = f"{_clock(start)} --> {_clock(end)}"
            cues.append("\n".join((str(len(cues) + 1), times, *lines, "", "")))
    return "".join(cues)


def write_subtitles(path: Path, entries: Iterable[Entry]) -> None:
    """Write the subtitles of a clip, whole or not at all; an empty file where it has no entry."""
    with atomic_write(path) as temporary:
        temporary.write_text(subtitles(entries), encoding="utf-8", newline="\n")


def element_text(found: RecognisedElement) -> str:
    """Return an element in words, with its dive number if it has one."""
    element = found.element
    return f"{element.code}: {element.words}" if element.code else element.words


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    # Of those that begin at one time, what lasts longer stands above what is a part of it.
    return sorted(entries, key=lambda entry: (entry.start_seconds, -entry.end_seconds))


def _row(clip: str, entry: Entry) -> list[Any]:
    values = {"clip": clip, **entry.to_dict()}
    if isinstance(entry, Segment):
        values["kind"] = "segment"
    else:
        values |= {"label": entry.element.words, "score": values["confidence"]}
    return [values.get(name) for name in TIMELINE_COLUMNS]


def _line(entry: Entry) -> str:
    # In one printable line: a blank one would end the cue.
    if isinstance(entry, Segment):
        return one_line(f"{entry.label} {100 * entry.score:.0f} %")
    whose = f"person {entry.person}: " if entry.person else ""
    return one_line(f"{whose}{element_text(entry)} {100 * entry.confidence:.0f} %")


def _milliseconds(entry: Entry) -> tuple[int, int]:
    """Return start and end in the numbers that SubRip has: whole, from 0, and never equal."""
    start = max(0, round(1000 * entry.start_seconds))
    return start, max(start + 1, round(1000 * entry.end_seconds))


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02},{rest:03}"
