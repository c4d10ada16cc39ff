"""Read video: batches of upright RGB frames in constant memory, by decord or PyAV.

decord is the faster one and seeks exactly. PyAV reads what decord refuses, gets past damaged
packets, and tells the facts about the file: decord rounds the frame rate and gives no usable times
for AVI and MPEG files.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np

from .frames import DecodeError, Frame, FrameBatch, VideoError, VideoInfo

T = TypeVar("T")


class VideoReader:
    """A video opened for reading; use it in a ``with`` block.

    Attributes:
        info: The facts about the file.
        num_lost: Frames of the range read that could not be decoded; known when the range is read.
    """

    def __init__(self, info: VideoInfo, allow_other: bool, num_threads: int) -> None:
        self.info = info
        self.num_lost = 0
        self._allow_other = allow_other
        self._num_threads = num_threads

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; the decoder's handles live in the iterators of :meth:`batches`."""

    def batches(
        self, batch_size: int, start_frame: int = 0, stop_frame: int | None = None
    ) -> Iterator[FrameBatch]:
        """Yield the frames ``start_frame <= index < stop_frame``, the last batch maybe shorter.

        A damaged file gives the frames that can be decoded; ``num_lost`` then counts the others.

        Raises:
            VideoError: if not one frame of the range can be decoded.
        """
        if batch_size < 1 or start_frame < 0:
            raise ValueError(
                f"expected batch_size >= 1 and start_frame >= 0, got {batch_size}, {start_frame}"
            )
        pending: list[Frame] = []
        count, last = 0, start_frame - 1
        for frame in self._frames(start_frame, stop_frame):
            pending.append(frame)
            count, last = count + 1, frame.index
            if len(pending) == batch_size:
                yield _stack(pending)
                pending = []
        if pending:
            yield _stack(pending)
        end = self._expected_end(last, stop_frame)
        self.num_lost = max(end - start_frame - count, 0)
        if count == 0:
            raise VideoError(
                f"{self.info.path}: expected frames from {start_frame} on, none could be decoded "
                f"(the file announces {self.info.num_frames})"
            )

    def _expected_end(self, last: int, stop_frame: int | None) -> int:
        announced = self.info.num_frames
        if announced is None:
            return last + 1
        return announced if stop_frame is None else min(stop_frame, announced)

    def _frames(self, start: int, stop: int | None) -> Iterator[Frame]:
        """Yield frames; where decord breaks off, PyAV goes on from there if that is allowed."""
        position = start
        if self.info.decoder == "decord":
            from .decord_adapter import read_frames as read_with_decord

            try:
                for frame in read_with_decord(self.info, start, stop, self._num_threads):
                    yield frame
                    position = frame.index + 1
                return
            except DecodeError:
                if not self._allow_other:
                    return
        from .pyav_adapter import read_frames

        yield from read_frames(self.info, position, stop, self._num_threads)


def open_video(
    path: str | Path,
    decoder: Literal["auto", "decord", "pyav"] = "auto",
    num_threads: int = 0,
) -> VideoReader:
    """Open a video.

    Args:
        path: The file.
        decoder: "auto" takes decord, and PyAV where decord refuses the file or breaks off.
        num_threads: Threads of the decoder; 0 lets it choose.

    Raises:
        VideoError: if the file is missing, is no video, or has no frame that can be decoded.
    """
    from .pyav_adapter import probe

    if decoder not in ("auto", "decord", "pyav"):
        raise ValueError(f"decoder: expected 'auto', 'decord' or 'pyav', got {decoder!r}")
    path = Path(path)
    if not path.exists():
        raise VideoError(f"no video at {path}")
    if path.is_dir():
        raise VideoError(f"{path}: expected a video file, got a folder")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    info = probe(path)
    if decoder != "pyav":
        from .decord_adapter import check

        try:
            info = check(info)
        except DecodeError as error:
            if decoder == "decord":
                raise VideoError(f"{path}: decord cannot read it ({error}); try pyav") from None
    return VideoReader(info, decoder == "auto", num_threads)


def _stack(frames: list[Frame]) -> FrameBatch:
    return FrameBatch(
        frames=np.stack([frame.rgb for frame in frames]),
        frame_inds=np.array([frame.index for frame in frames], dtype=np.int64),
        pts_seconds=np.array([frame.seconds for frame in frames], dtype=np.float64),
    )


def prefetch(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Yield from ``items``, read ahead by a thread: decoding runs beside the networks."""
    buffer: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                buffer.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=read, name="skelact-decode", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = buffer.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        # The reader is closed by the caller next: the thread must be out of it before.
        stop.set()
        thread.join()
