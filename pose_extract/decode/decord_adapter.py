"""decord, through its maintained fork decord2: the first choice where it is exact."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import decord
import numpy as np

from ..common.device import free_cores
from .formats import absolute, is_unmistakable
from .frames import Frame, do_nothing
from .packets import PacketTable
from .pyav_adapter import Geometry

# More threads do not decode faster, and each holds frames.
_MOST_THREADS = 4
# Containers and codecs of which decord gives every frame in its place, from the first one on; the
# table of ``benchmarks/exactness.py``.
_EXACT = frozenset(
    (container, codec)
    for container in ("mov", "matroska")
    for codec in ("h264", "hevc", "mpeg4", "vp8", "vp9")
)
# decord rounds its times to 32-bit floats.
_TIME_TOLERANCE = 1e-3

# What the decoder logs as an error is damage that decord itself says nothing of; see
# ``_num_logged``.
decord.logging.set_level(decord.logging.ERROR)


class DecordError(Exception):
    """decord cannot read a file, or not exactly; PyAV can."""


class DamageError(DecordError):
    """The decoder logged an error: what it gave shortly before is not sure either."""


def why_inexact(table: PacketTable, geometry: Geometry) -> str | None:
    """Return why decord may give other frames than those asked for; None where it is exact."""
    if (table.container, table.codec) not in _EXACT and not _is_plain_avi(table):
        return f"it is not exact in {table.container} with {table.codec}"
    if not table.is_sound or table.pts is None:
        return "the file is damaged, trimmed, stores no times or has several video streams"
    if geometry.first_pts != table.pts[0]:
        return "its first frames cannot be decoded"
    if table.pixel_aspect != 1 or not geometry.is_stored:
        return "the frames are not stored as they are shown"
    if not is_unmistakable(table.path, table.container):
        return "its first bytes are not those of that container alone"
    try:
        str(table.path).encode()
    except UnicodeEncodeError:
        return "it takes names in UTF-8 alone"
    return None


def _is_plain_avi(table: PacketTable) -> bool:
    return table.container == "avi" and table.codec in ("mpeg4", "mjpeg") and table.pts is not None


def read_frames(
    table: PacketTable,
    geometry: Geometry,
    start: int,
    stop: int | None,
    num_threads: int,
    on_progress: Callable[[], None] = do_nothing,
) -> Iterator[Frame]:
    """Yield frames ``start <= index < stop``, RGB.

    Its seeks are not exact: all frames from the first one on are decoded. One by one: ``next`` is
    faster than ``get_batch``, and a batch is lost whole where one of its frames is damaged.

    Raises:
        DecordError: if decord refuses the file or counts or times its frames in another way than
            the packets do; at the first frame that cannot be decoded, that the decoder logs an
            error of, or that is the one before once more, which is what decord gives in place of a
            lost one.
    """
    # Never 0 threads: left to choose, decord breaks off in VP9 files with hidden frames.
    threads = num_threads or min(free_cores(), _MOST_THREADS)
    if table.codec == "mpeg4":
        # With more, damage that the decoder does not log is concealed by whatever its threads hold
        # just then: 3 in 150 readings of a file with doubled bytes (``benchmarks/fuzz_videos.py
        # --seed 11``) showed frames that one thread never shows.
        threads = 1
    seconds = table.pts_seconds
    num_logged = _num_logged()
    try:
        reader = decord.VideoReader(absolute(table.path), ctx=decord.cpu(0), num_threads=threads)
        _check_times(reader, table, seconds)
        before: np.ndarray | None = None
        for index in range(table.num_frames if stop is None else min(stop, table.num_frames)):
            rgb = reader.next().asnumpy()
            on_progress()
            if _num_logged() != num_logged:
                raise DamageError(f"the decoder found damage at frame {index}")
            if rgb.shape != (*geometry.img_shape, 3):
                raise DecordError(f"frame {index} is of shape {rgb.shape}")
            if before is not None and _is_equal(rgb, before):
                raise DecordError(f"frame {index} is the one before once more")
            before = rgb
            if index >= start:
                yield Frame.of_rgb(index, float(seconds[index]), rgb)
    except (decord.DECORDError, RuntimeError, OSError, StopIteration) as error:
        # decord's messages carry a stack trace after the first line.
        reason = (str(error).splitlines() or [type(error).__name__])[0][-120:]
        raise DecordError(reason) from None


def _check_times(reader: Any, table: PacketTable, seconds: np.ndarray) -> None:
    if len(reader) != table.num_frames:
        raise DecordError(f"it counts {len(reader)} frames, the file holds {table.num_frames}")
    if table.container == "avi":
        # AVI stores no times; decord makes up meaningless ones.
        return
    times = np.asarray(reader.get_frame_timestamp(np.arange(len(reader))), np.float64)[:, 0]
    if not np.allclose(times - times[0], seconds, rtol=1e-6, atol=_TIME_TOLERANCE):
        raise DecordError("it times the frames in another way than the file does")


def _num_logged() -> int:
    """Return the bytes that were logged, where the process logs to a file: a worker does."""
    return os.fstat(2).st_size


def _is_equal(first: np.ndarray, second: np.ndarray) -> bool:
    # Frames that differ do so nearly everywhere: a few rows tell most of them apart.
    return np.array_equal(first[::64], second[::64]) and np.array_equal(first, second)
