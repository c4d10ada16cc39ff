"""Frames of a file by the decoder that is exact in it: decord where that is known, else PyAV."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from ..common.files import FileState
from .decord_adapter import DamageError, DecordError, why_inexact
from .decord_adapter import read_frames as read_with_decord
from .frames import Frame, InexactError, VideoError, VideoInfo, do_nothing
from .packets import PacketTable, read_packets, without_leading
from .pyav_adapter import Geometry, WaitingDecoder, read_geometry
from .pyav_adapter import read_frames as read_with_pyav

Decoder = Literal["auto", "decord", "pyav"]

# Mean difference, in levels of 255, up to which two decoders show one frame: those of one release
# of FFmpeg give the same bytes, those of two round in other ways.
_SAME_LEVELS = 3.0
# Files whose facts are kept: many clips may be cuts of one long video.
_MAX_KNOWN = 8
# Frames that are kept for the second pass, as the file stores them: 6 s of 720p at 30 Hz are
# 249 MB.
_MOST_KEPT_BYTES = 256 << 20
# Frames of a whole file that decord may hold. Where they are asked for more slowly than it decodes
# it goes on to the file's end and keeps them all: a minute of 1080p is 11 GB.
_MOST_AHEAD_BYTES = 256 << 20


@dataclass(eq=False)
class VideoFile:
    """What is known about a file that was opened.

    Attributes:
        table: Its packets.
        geometry: How its frames become upright.
        waiting: The decoder that the last range read left behind, of this file or another.
    """

    table: PacketTable
    geometry: Geometry
    waiting: WaitingDecoder = field(default_factory=WaitingDecoder)

    def info(self, decoder: Decoder) -> VideoInfo:
        """Return the facts that a reader is given."""
        height, width = self.geometry.img_shape
        return VideoInfo(
            path=self.table.path,
            fps=self.table.fps,
            pts_seconds=self.table.pts_seconds,
            num_missing=self.table.num_missing,
            height=height,
            width=width,
            pixel_aspect=self.table.pixel_aspect,
            codec=self.table.codec,
            container=self.table.container,
            decoder="pyav" if self.why_not_decord(decoder) else "decord",
        )

    def why_not_decord(self, decoder: Decoder) -> str | None:
        """Return why PyAV has to read the file; None if decord is exact, and holds few frames."""
        if decoder == "pyav":
            return "PyAV is asked for"
        if decoder == "auto" and self._decoded_bytes > _MOST_AHEAD_BYTES:
            return "decord would hold too many frames"
        return self._why_inexact

    @property
    def _decoded_bytes(self) -> int:
        height, width = self.geometry.img_shape
        return 3 * height * width * self.table.num_frames

    @cached_property
    def _why_inexact(self) -> str | None:
        return why_inexact(self.table, self.geometry)

    def frames(
        self,
        start: int,
        stop: int | None,
        decoder: Decoder,
        num_threads: int,
        on_progress: Callable[[], None] = do_nothing,
    ) -> Iterator[Frame]:
        """Yield frames ``start <= index < stop``; tell of each frame decoded, also before them.

        Raises:
            InexactError: if decord turns out to have given other frames than it should.
            VideoError: if decord alone is asked for and is not exact.
        """
        why = self.why_not_decord(decoder)
        if why and decoder == "decord":
            raise VideoError(f"decord is not exact here: {why}; take auto or pyav")
        # decord decodes all frames before a cut, PyAV those from the nearest key frame on.
        if why is None and (start == 0 or decoder == "decord"):
            last: Frame | None = None
            what = self.table, self.geometry, start, stop
            self.waiting.end()
            try:
                for frame in read_with_decord(*what, num_threads, on_progress):
                    last = frame
                    yield frame
                return
            except DecordError as error:
                self._check(last, error)
            start = start if last is None else last.index + 1
        yield from read_with_pyav(
            self.table, self.geometry, start, stop, num_threads, on_progress, self.waiting
        )

    def _check(self, last: Frame | None, reason: DecordError) -> None:
        """Check that the last frame by decord is the one that it should be.

        decord numbers frames by counting: one that it lost moves all later ones. Its threads decode
        ahead, and what they show near damage is chance.
        """
        if last is None:
            return
        if isinstance(reason, DamageError):
            raise InexactError(
                f"{reason}; opened again, the file is read by PyAV with decoder auto or pyav"
            )
        start = max(last.index - 1, 0)
        near = list(islice(read_with_pyav(self.table, self.geometry, start, None, 1), 3))
        rgb = last.to_rgb().astype(np.int16)
        errors = {frame.index: np.abs(rgb - frame.to_rgb()).mean() for frame in near}
        if errors.get(last.index, np.inf) > min(_SAME_LEVELS, *errors.values()):
            raise InexactError(
                f"decord lost frames before frame {last.index} ({reason}); "
                "opened again, the file is read by PyAV with decoder auto or pyav"
            )


class LastRange:
    """The frames of the range read last, if they are few: a clip is read in two passes."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._what: tuple[object, ...] | None = None

    def read(self, frames: Iterator[Frame], *what: object) -> Iterator[Frame]:
        """Return the frames of a range, those that are kept in place of ``frames``.

        Args:
            frames: The range as its file gives it.
            what: The file and all else that the frames depend on.
        """
        if what == self._what:
            return iter(self._frames)
        self._frames, self._what = [], None
        return self._keeping(frames, what)

    def _keeping(self, frames: Iterator[Frame], what: tuple[object, ...]) -> Iterator[Frame]:
        kept: list[Frame] = []
        num_bytes = 0
        for frame in frames:
            num_bytes += frame.num_bytes
            if num_bytes <= _MOST_KEPT_BYTES:
                kept.append(frame)
            else:
                kept.clear()
            yield frame
        if num_bytes <= _MOST_KEPT_BYTES:
            self._frames, self._what = kept, what


class KnownFiles:
    """The facts about the files opened last, while they stay as they are."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, FileState], VideoFile] = OrderedDict()
        self._waiting = WaitingDecoder()

    def open(self, path: str | Path, on_progress: Callable[[], None] = do_nothing) -> VideoFile:
        """Return the facts about a file.

        Raises:
            VideoError: if it is no video, or no frame of it can be decoded.
        """
        key = os.fspath(path), FileState.of(os.stat(path))
        if key not in self._files:
            table = read_packets(path, on_progress)
            geometry = read_geometry(table)
            table = without_leading(table, geometry.first_pts)
            self._files[key] = VideoFile(table, geometry, self._waiting)
            if len(self._files) > _MAX_KNOWN:
                self._files.popitem(last=False)
        self._files.move_to_end(key)
        return self._files[key]
