"""What to work on: video files, folders of them, and CSV lists of clips."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil, isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from .. import SkelactError
from .decode.frames import VideoError, VideoInfo
from .folders import files_below
from .lists import LIST_SUFFIXES, ListColumns, read_frame, read_list, read_seconds

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "3gp", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg",
        "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv",
    )
)  # fmt: skip

_START = "is 'start_seconds' meant, or 'start_frame'?"
_END = "is 'end_seconds' meant, or 'end_frame'?"
_COLUMNS = ListColumns(
    names=(
        "path", "label", "split", "group", "start_seconds", "end_seconds", "start_frame",
        "end_frame",
    ),
    meant={
        **dict.fromkeys(("start", "begin", "from"), _START),
        **dict.fromkeys(("end", "stop", "to"), _END),
        **dict.fromkeys(("start_time", "start_sec", "t_start"), "is 'start_seconds' meant?"),
        **dict.fromkeys(("end_time", "end_sec", "t_end"), "is 'end_seconds' meant?"),
        **dict.fromkeys(
            ("duration", "duration_seconds", "length"),
            "give the end in 'end_seconds', the start plus the duration",
        ),
        **dict.fromkeys(
            ("file", "filename", "file_name", "name", "video", "video_path", "clip"),
            "is 'path' meant?",
        ),
        **dict.fromkeys(("action", "class", "class_name", "label_name"), "is 'label' meant?"),
        **dict.fromkeys(("subset", "set", "fold"), "is 'split' meant?"),
        **dict.fromkeys(("series", "video_id", "athlete", "groups"), "is 'group' meant?"),
    },
)  # fmt: skip

# A time printed with three decimals that falls on a frame means that frame: it is off by half a
# millisecond, and by what floats add. A twentieth of a frame also takes up rounding at usual rates;
# a quarter at most, so that it is still nearer to this frame than to the next.
_SECONDS_ROUNDING, _FRAME_ROUNDING, _MOST_ROUNDING = 0.000501, 1 / 20, 1 / 4


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
        group: What it shares with other clips, such as an athlete or a recording: clips of a group
            are never both learned from and measured on. None where it is not said.
        row: Where it was asked for, such as "clips.csv, line 3"; None outside of lists.
    """

    path: Path
    clip_id: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    row: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not os.fspath(self.path):
            raise SkelactError(f"{self.clip_id}: expected a video file, got an empty path")
        object.__setattr__(self, "path", Path(self.path))
        for name in ("start_seconds", "end_seconds", "start_frame", "end_frame"):
            self._check_number(name, Integral if name.endswith("frame") else Real)
        for unit, start, end in (
            ("seconds", self.start_seconds, self.end_seconds),
            ("frames", self.start_frame, self.end_frame),
        ):
            if (start or 0) < 0 or (end is not None and end <= (start or 0)):
                raise SkelactError(
                    f"{self.clip_id}: expected 0 <= start < end in {unit}, got {start} to {end}"
                )
        seconds = self.start_seconds is not None or self.end_seconds is not None
        frames = self.start_frame is not None or self.end_frame is not None
        if seconds and frames:
            raise SkelactError(f"{self.clip_id}: expected a cut in seconds or in frames, got both")

    def _check_number(self, name: str, kind: type) -> None:
        value: Any = getattr(self, name)
        if value is None:
            return
        is_finite = isinstance(value, Integral) or (isinstance(value, Real) and isfinite(value))
        if not (isinstance(value, kind) and is_finite) or isinstance(value, bool):
            what = "a whole number" if kind is Integral else "a finite number"
            raise SkelactError(f"{self.clip_id}: expected {what} as {name}, got {value!r}")

    @property
    def is_cut(self) -> bool:
        """Whether it is a part of its file."""
        limits = (self.start_seconds, self.end_seconds, self.start_frame, self.end_frame)
        return any(limit is not None for limit in limits)

    def frame_range(self, info: VideoInfo) -> tuple[int, int | None]:
        """Return the frames [start, stop) of the cut; stop is None for the file's end.

        A cut in seconds holds the frames whose presentation time lies in it. A cut may hold frames
        that the file announces and does not have: the reader counts them as lost.

        Raises:
            VideoError: if the cut holds no frame or reaches beyond the file's end: in seconds by
                more than a frame, since times and lengths of files are rounded.
        """
        if not self.is_cut:
            return 0, None
        count = info.num_frames + info.num_missing
        if self.start_seconds is None and self.end_seconds is None:
            start, stop = self.start_frame or 0, self.end_frame
            if start >= count or (stop is not None and stop > count):
                raise self._beyond(start, stop, f"{count} frames")
            return start, stop
        end = float(info.pts_seconds[-1] + (1 + info.num_missing) / info.fps)
        start, stop = _first_at(self.start_seconds or 0.0, info), None
        if self.end_seconds is not None:
            # The last frame is shown as long as any.
            longest = max(float(1 / info.fps), np.diff(info.pts_seconds).max(initial=0.0))
            if self.end_seconds > end + longest:
                raise self._beyond(self.start_seconds or 0, self.end_seconds, f"{end:.3f} s")
            stop = min(_first_at(self.end_seconds, info), count)
        if start >= count:
            raise self._beyond(self.start_seconds or 0, self.end_seconds, f"{end:.3f} s")
        if stop is not None and stop <= start:
            raise VideoError(
                f"{self.row or self.clip_id}: no frame is shown in it; the next one is shown at "
                f"{info.pts_seconds[min(start, info.num_frames - 1)]:.3f} s"
            )
        return start, stop

    def _beyond(self, start: float, stop: float | None, length: str) -> VideoError:
        asked = f"{start:g} to {'the end' if stop is None else f'{stop:g}'}"
        return VideoError(
            f"{self.row or self.clip_id}: expected a cut within the file's {length}, got {asked}"
        )


def _first_at(seconds: float, info: VideoInfo) -> int:
    """Return the first frame at or after a time; after the last one they go on evenly."""
    pts, frame = info.pts_seconds, float(1 / info.fps)
    before = int(np.searchsorted(pts, seconds)) - 1
    if before < 0:
        return 0
    late = float(seconds - pts[before])
    step = min(float(pts[before + 1] - pts[before]), frame) if before + 1 < len(pts) else frame
    tolerance = min(max(_FRAME_ROUNDING * step, _SECONDS_ROUNDING), _MOST_ROUNDING * step)
    if before + 1 < len(pts):
        return before + (late > tolerance)
    return before + ceil((late - tolerance) / frame)


def find_sources(
    sources: str | Path | Iterable[str | Path],
    on_passed_over: Callable[[str], None] | None = None,
) -> list[ClipSource]:
    """Return the clips that files, folders (searched to the bottom) and CSV lists name.

    In folders, hidden files and overlays that skelact wrote are passed over, and links to folders
    are followed once; see ``files_below``. A row of a list is not asked whether its file is there:
    a missing one is a clip that fails.

    A clip is called by its path relative to the one folder given, or to the folder that all given
    sources have in common, with its suffix: equal names in two folders, ``a.b.mp4`` and
    ``a.c.mp4``, or ``a.mp4`` and ``a.avi`` stay apart.

    Args:
        sources: One path or several.
        on_passed_over: Called with a line for each folder that holds more than videos.

    Raises:
        SkelactError: if a source is missing, a folder holds no video, a list cannot be read, or
            two clips would have one name.
    """
    paths = [_existing(source) for source in _several(sources)]
    roots = [os.path.abspath(path if path.is_dir() else path.parent) for path in paths]
    root = Path(os.path.commonpath(roots)) if roots else Path()
    clips: list[ClipSource] = []
    for path in paths:
        if path.is_dir():
            videos = _videos_in(path, on_passed_over)
            clips += [ClipSource(file, _name(file, root)) for file in videos]
        elif path.suffix.lower() in LIST_SUFFIXES:
            clips += _clips_of_list(path, root)
        else:
            clips.append(ClipSource(path, _name(path, root)))
    return _once(clips)


def check_cuts(clips: Iterable[ClipSource], max_seconds: float = 10.0) -> list[str]:
    """Return what is wrong with the cuts of some clips, a line for each, before they are worked on.

    Every file that is cut is opened once, which reads its packets and decodes nothing. Files that
    cannot be opened are left to the run.

    Args:
        clips: The clips.
        max_seconds: No file is opened after this time: hours of video are read for minutes, and a
            wrong cut among them fails when its turn comes.
    """
    from .decode.video import open_video

    cuts: dict[Path, list[ClipSource]] = {}
    for clip in clips:
        if clip.is_cut:
            cuts.setdefault(clip.path, []).append(clip)
    wrong: list[str] = []
    deadline = time.monotonic() + max_seconds
    for path, of_file in cuts.items():
        if time.monotonic() > deadline:
            break
        try:
            with open_video(path) as reader:
                info = reader.info
        except (SkelactError, OSError, ValueError):
            continue
        for clip in of_file:
            try:
                clip.frame_range(info)
            except VideoError as error:
                wrong.append(str(error))
    return wrong


def _several(sources: str | Path | Iterable[str | Path]) -> list[str | Path]:
    return [sources] if isinstance(sources, str | os.PathLike) else list(sources)


def _existing(source: str | Path) -> Path:
    if not os.fspath(source):
        raise SkelactError("expected a video, a folder or a list, got an empty path")
    path = Path(source)
    try:
        os.stat(path)
    except FileNotFoundError:
        raise SkelactError(f"no file or folder at {path}") from None
    except (OSError, ValueError) as error:
        # Too long, through a file, with a NUL, or not permitted.
        reason = getattr(error, "strerror", None) or error
        raise SkelactError(f"{path}: expected a video, a folder or a list: {reason}") from None
    return path


def _once(clips: Iterable[ClipSource]) -> list[ClipSource]:
    """Return the clips without repetitions."""
    seen: dict[str, ClipSource] = {}
    for clip in clips:
        other = seen.setdefault(clip.clip_id, clip)
        if other != clip:
            pair = (other, clip)
            if other.path == clip.path:
                places = [f"{c.row or c.path} (label {c.label}, split {c.split})" for c in pair]
                what = "expected one label and split"
            else:
                places = [f"{c.row} is {c.path}" if c.row else str(c.path) for c in pair]
                what = "give them different names, or cuts"
            raise SkelactError(
                f"two clips are called {clip.clip_id!r}: {' and '.join(places)}; {what}"
            )
    return list(seen.values())


def _videos_in(folder: Path, on_passed_over: Callable[[str], None] | None) -> list[Path]:
    found = files_below(folder, VIDEO_SUFFIXES)
    others = found.passed_over_line()
    if not found.taken:
        raise SkelactError(
            f"{folder}: no video among {found.passed_over.total()} files ({others or 'empty'}); "
            f"looked for {' '.join(sorted(VIDEO_SUFFIXES))}"
        )
    if others and on_passed_over:
        on_passed_over(f"{folder}: passed over {others}")
    return found.taken


def _name(path: Path, root: Path) -> str:
    relative = os.path.relpath(os.path.abspath(path), root)
    # A list may name videos outside of its folder; a name never climbs out of the output folder.
    parts = [part for part in Path(relative).parts if part not in ("..", os.sep)]
    return Path(*parts).as_posix()


def _clips_of_list(path: Path, root: Path) -> list[ClipSource]:
    return read_list(
        path, _COLUMNS, lambda row, line: _clip_of_row(row, path, root, f"{path}, line {line}")
    )


def _clip_of_row(row: Mapping[str, str], path: Path, root: Path, where: str) -> ClipSource:
    if not row["path"]:
        raise SkelactError("expected a path, got nothing")
    video = path.parent / row["path"]
    seconds = [read_seconds(column, row[column]) for column in ("start_seconds", "end_seconds")]
    frames = [read_frame(column, row[column]) for column in ("start_frame", "end_frame")]
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
        label=row["label"] or None,
        split=row["split"] or None,
        group=row["group"] or None,
        row=where,
    )
