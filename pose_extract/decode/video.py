"""Read video: batches of upright RGB frames with square pixels, exact, in constant memory.

What a file holds is told by its packets (``packets.py``). decord reads the files in which it is
known to be exact, PyAV all others (``reading.py``), in a process of its own (``process.py``).
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from ..common.files import FileState
from .frames import FrameBatch, InexactError, VideoError, VideoInfo
from .process import WORKERS, DecodeProcess

T = TypeVar("T")

# Files of which decord lost frames in this process; see ``_file_key``.
_INEXACT: set[tuple[str, FileState]] = set()


class VideoReader:
    """A video opened for reading; use it in a ``with`` block.

    Attributes:
        info: The facts about the file.
        num_lost: Frames of the range read that could not be decoded; known when the range is read.
        first_scaled: The first frame of the range read so far whose size is another than that of
            the file's first frame, to which it was scaled; None where there is none.
    """

    def __init__(
        self, worker: DecodeProcess, info: VideoInfo, decoder: str, num_threads: int
    ) -> None:
        self.info = info
        self.num_lost = 0
        self.first_scaled: int | None = None
        self._worker = worker
        self._decoder = decoder
        self._num_threads = num_threads
        self._num_reads = 0
        # A reader that is never closed must not leave its process behind.
        self._finalizer = weakref.finalize(self, WORKERS.give_back, worker)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the reader; what it reads ends."""
        self._num_reads += 1
        self._finalizer()

    def batches(
        self, batch_size: int, start_frame: int = 0, stop_frame: int | None = None
    ) -> Iterator[FrameBatch]:
        """Yield the frames ``start_frame <= index < stop_frame``, the last batch maybe shorter.

        Batches of frames larger than 4K are shorter too.

        A damaged file gives the frames that can be decoded; ``num_lost`` then counts the others.
        Another call ends what an earlier one reads.

        Raises:
            VideoError: if not one frame of the range can be decoded.
        """
        if batch_size < 1 or start_frame < 0:
            raise ValueError(
                f"expected batch_size >= 1 and start_frame >= 0, got {batch_size}, {start_frame}"
            )
        return self._batches(batch_size, start_frame, stop_frame)

    def _batches(self, batch_size: int, start: int, stop: int | None) -> Iterator[FrameBatch]:
        path = self.info.path
        self._num_reads += 1
        number = self._num_reads
        self.first_scaled = None
        self._worker.read(path, self._decoder, start, stop, self._num_threads)
        count, last = 0, start - 1
        while batch := self._next_batch(batch_size):
            first = int(batch.frame_inds[0])
            if first <= last or (stop is not None and batch.frame_inds[-1] >= stop):
                raise VideoError(f"{path}: expected frames after {last}, the decoder gave {first}")
            count, last = count + len(batch.frames), int(batch.frame_inds[-1])
            if self.first_scaled is None:
                self.first_scaled = batch.first_scaled
            yield batch
            if number != self._num_reads:
                raise RuntimeError("this reader was closed, or reads another range since")
        num_frames = self.info.num_frames + self.info.num_missing
        end = num_frames if stop is None else min(stop, num_frames)
        self.num_lost = max(end - start - count, 0)
        if count == 0:
            raise VideoError(
                f"{path}: expected frames from {start} on, none could be decoded "
                f"(the file holds {self.info.num_frames})"
            )

    def _next_batch(self, batch_size: int) -> FrameBatch | None:
        try:
            return self._worker.next_batch(self.info.path, batch_size)
        except InexactError:
            _INEXACT.add(_file_key(self.info.path))
            raise


def open_video(
    path: str | Path,
    decoder: Literal["auto", "decord", "pyav"] = "auto",
    num_threads: int = 0,
) -> VideoReader:
    """Open a video.

    Args:
        path: The file.
        decoder: "auto" takes decord where it is known to be exact, and PyAV elsewhere; "decord"
            refuses the files in which decord is not.
        num_threads: Threads of the decoder; 0 lets it choose.

    Raises:
        VideoError: if the file is missing, is no video, or has no frame that can be decoded.
    """
    if decoder not in ("auto", "decord", "pyav"):
        raise ValueError(f"decoder: expected 'auto', 'decord' or 'pyav', got {decoder!r}")
    path = Path(path)
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise VideoError(f"no video at {path}") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{path}: the file cannot be read: {error}") from None
    if path.is_dir():
        raise VideoError(f"{path}: expected a video file, got a folder")
    if stat.st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    if decoder == "auto" and _file_key(path) in _INEXACT:
        decoder = "pyav"
    worker = WORKERS.take()
    try:
        return VideoReader(worker, worker.open(path, decoder), decoder, num_threads)
    except BaseException:
        WORKERS.give_back(worker)
        raise


def _file_key(path: Path) -> tuple[str, FileState]:
    return os.path.abspath(path), FileState.of(path.stat())


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
