"""What to work on: video files, folders of them, and CSV lists of clips."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TypeVar

from .. import SkelactError
from .decode.frames import VideoInfo

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "3gp", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg",
        "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv",
    )
)  # fmt: skip

N = TypeVar("N", int, float)

_COLUMNS = (
    "path", "label", "split", "start_seconds", "end_seconds", "start_frame", "end_frame",
)  # fmt: skip


@dataclass(frozen=True)
class ClipSource:
    """A clip: a video file, or a cut of one. A cut holds its start and not its end.

    Attributes:
        path: The video file; a string becomes a ``Path``.
        clip_id: What it is called: the file's relative path, plus the cut if it is one.
        start_seconds: Start of the cut, from the file's first frame.
        end_seconds: End of the cut.
        start_frame: First frame of the cut.
        end_frame: Frame after its last one.
        label: Its action, as text; None where unknown.
        split: Its split, such as "train"; None where there is none.
    """

    path: Path
    clip_id: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    label: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        for name, start, end in (
            ("seconds", self.start_seconds, self.end_seconds),
            ("frames", self.start_frame, self.end_frame),
        ):
            if (start or 0) < 0 or (end is not None and end <= (start or 0)):
                raise SkelactError(
                    f"{self.clip_id}: expected 0 <= start < end in {name}, got {start} to {end}"
                )
        seconds = self.start_seconds is not None or self.end_seconds is not None
        frames = self.start_frame is not None or self.end_frame is not None
        if seconds and frames:
            raise SkelactError(f"{self.clip_id}: expected a cut in seconds or in frames, got both")

    def frame_range(self, info: VideoInfo) -> tuple[int, int | None]:
        """Return the frames [start, stop) of the cut; stop is None for the file's end.

        A cut in seconds holds the frames whose time, frame number over frame rate, lies in it.
        """
        if self.start_seconds is None and self.end_seconds is None:
            return self.start_frame or 0, self.end_frame
        stop = None if self.end_seconds is None else _first_at(self.end_seconds, info.fps)
        return _first_at(self.start_seconds or 0.0, info.fps), stop


def _first_at(seconds: float, fps: Fraction) -> int:
    """Return the first frame at or after a time."""
    # A time printed with three decimals that falls on a frame means that frame.
    return ceil(Fraction(str(seconds)) * fps - Fraction(1, 20))


def find_sources(sources: str | Path | Iterable[str | Path]) -> list[ClipSource]:
    """Return the clips that files, folders (searched to the bottom) and CSV lists name.

    ``sources`` is one path or several.

    A clip is called by its path relative to the one folder given, or to the folder that all given
    sources have in common, with its suffix: equal names in two folders, ``a.b.mp4`` and
    ``a.c.mp4``, or ``a.mp4`` and ``a.avi`` stay apart.

    Raises:
        SkelactError: if a source is missing, a folder holds no video, a list cannot be read, or
            two clips would have one name.
    """
    given = [sources] if isinstance(sources, str | Path) else sources
    paths = [Path(source) for source in given]
    for path in paths:
        if not path.exists():
            raise SkelactError(f"no file or folder at {path}")
    roots = [os.path.abspath(path if path.is_dir() else path.parent) for path in paths]
    root = Path(os.path.commonpath(roots)) if roots else Path()
    clips: list[ClipSource] = []
    for path in paths:
        if path.is_dir():
            clips += [ClipSource(file, _name(file, root)) for file in _videos_in(path)]
        elif path.suffix.lower() == ".csv":
            clips += _read_list(path, root)
        else:
            clips.append(ClipSource(path, _name(path, root)))
    seen: dict[str, ClipSource] = {}
    for clip in clips:
        other = seen.setdefault(clip.clip_id, clip)
        if other is not clip and other != clip:
            raise SkelactError(
                f"two clips are called {clip.clip_id!r}: {other.path} and {clip.path}; give them "
                "different names, or cuts"
            )
    return list(seen.values())


def _videos_in(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        raise SkelactError(
            f"{folder}: no video among {len(files)} files; looked for "
            f"{' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return videos


def _name(path: Path, root: Path) -> str:
    relative = os.path.relpath(os.path.abspath(path), root)
    # A list may name videos outside of its folder; a name never climbs out of the output folder.
    parts = [part for part in Path(relative).parts if part not in ("..", os.sep)]
    return Path(*parts).as_posix()


def _read_list(path: Path, root: Path) -> list[ClipSource]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns = [column.strip() for column in reader.fieldnames or []]
        if "path" not in columns:
            close = difflib.get_close_matches("path", columns, n=1)
            hint = f"; is {close[0]!r} meant?" if close else ""
            raise SkelactError(f"{path}: expected a column 'path', got {columns}{hint}")
        for column in columns:
            close = difflib.get_close_matches(column, _COLUMNS, n=1, cutoff=0.8)
            if column not in _COLUMNS and close:
                raise SkelactError(f"{path}: unknown column {column!r}; is {close[0]!r} meant?")
        reader.fieldnames = columns
        clips = []
        for row in reader:
            try:
                clips.append(_clip_of_row(row, path, root))
            except (ValueError, SkelactError) as error:
                raise SkelactError(f"{path}, line {reader.line_num}: {error}") from None
    if not clips:
        raise SkelactError(f"{path}: the list has no line after its header")
    return clips


def _clip_of_row(row: dict[str, str | None], path: Path, root: Path) -> ClipSource:
    values = {name: (row.get(name) or "").strip() for name in _COLUMNS}
    if not values["path"]:
        raise SkelactError("expected a path, got nothing")
    video = path.parent / values["path"]
    seconds = [_number(float, column, values[column]) for column in _COLUMNS[3:5]]
    frames = [_number(int, column, values[column]) for column in _COLUMNS[5:7]]
    name = _name(video, root)
    if any(value is not None for value in seconds):
        end = "end" if seconds[1] is None else f"{seconds[1]:.3f}s"
        name += f"@{seconds[0] or 0:.3f}-{end}"
    if any(value is not None for value in frames):
        name += f"@f{frames[0] or 0}-{'end' if frames[1] is None else frames[1]}"
    return ClipSource(
        video,
        name,
        start_seconds=seconds[0],
        end_seconds=seconds[1],
        start_frame=frames[0],
        end_frame=frames[1],
        label=values["label"] or None,
        split=values["split"] or None,
    )


def _number(kind: Callable[[str], N], name: str, text: str) -> N | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise SkelactError(f"{name}: expected {what}, got {text!r}") from None
