"""decord, through its maintained fork decord2: the faster decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import decord
import numpy as np

from ..common.device import free_cores
from .frames import DecodeError, Frame, VideoInfo

# More threads do not decode faster, and each holds frames.
_MOST_THREADS = 4

# What decord logs comes as an exception too.
decord.logging.set_level(decord.logging.QUIET)


def _open(info: VideoInfo, num_threads: int) -> Any:
    # Never 0 threads: left to choose, decord breaks off in VP9 files with hidden frames.
    threads = num_threads or min(free_cores(), _MOST_THREADS)
    try:
        return decord.VideoReader(str(info.path), ctx=decord.cpu(0), num_threads=threads)
    except (decord.DECORDError, RuntimeError, OSError) as error:
        raise DecodeError(_reason(error)) from None


def check(info: VideoInfo) -> VideoInfo:
    """Return ``info`` as decord reads the file.

    Raises:
        DecodeError: if decord refuses the file, or may rotate its frames another way than its
            rotation flag says.
    """
    reader = _open(info, 1)
    try:
        shape = reader.next().shape
    except (decord.DECORDError, StopIteration) as error:
        raise DecodeError(_reason(error)) from None
    if shape != (info.height, info.width, 3):
        raise DecodeError(f"its frames are {shape[1]}x{shape[0]}, not {info.width}x{info.height}")
    if info.rotation_degrees == 180:
        # Upside down has the same shape: whether decord rotates the frames cannot be seen, so the
        # file is left to PyAV.
        raise DecodeError("its frames are stored upside down")
    return replace(info, num_frames=len(reader), decoder="decord")


def read_frames(info: VideoInfo, start: int, stop: int | None, num_threads: int) -> Iterator[Frame]:
    """Yield frames ``start <= index < stop``, upright RGB.

    One by one: ``next`` is faster than ``get_batch``, and a batch is lost whole where one of its
    frames is damaged.

    Raises:
        DecodeError: at the first frame that cannot be decoded.
    """
    reader = _open(info, num_threads)
    end = len(reader) if stop is None else min(stop, len(reader))
    if start >= end:
        return
    seconds = _times(reader, info)
    try:
        if start:
            reader.seek_accurate(start)
        for index in range(start, end):
            yield Frame(index, float(seconds[index]), reader.next().asnumpy())
    except (decord.DECORDError, RuntimeError, StopIteration) as error:
        raise DecodeError(_reason(error)) from None


def _times(reader: Any, info: VideoInfo) -> np.ndarray:
    """Return (N,) seconds from the first frame.

    Files that store no presentation times (AVI, MPEG) give meaningless numbers; their frames
    then follow each other at the frame rate.
    """
    count = len(reader)
    seconds = np.asarray(reader.get_frame_timestamp(np.arange(count)))[:, 0].astype(np.float64)
    steps = np.diff(seconds)
    if count and abs(seconds[0]) < 1e6 and (steps > 0).all() and np.isfinite(seconds).all():
        return seconds - seconds[0]
    even: np.ndarray = np.arange(count) / float(info.fps)
    return even


def _reason(error: BaseException) -> str:
    # decord's messages carry a stack trace after the first line.
    return (str(error).splitlines() or [type(error).__name__])[0][-120:]
