"""Times of frames as a container stores them: which can be trusted, and where frames are lost."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# The largest reorder buffer of H.264 and HEVC: no packet is further from its place in time.
_MOST_REORDERED = 16
# A last frame this many times further off than all others span has a damaged time.
_OUTLIER_SPANS = 10
# A damaged file is of constant rate where at least this share of its steps are one frame.
_CONSTANT_SHARE = 0.5
# A longer hole is a damaged time, or a break of the recording.
_MAX_HOLE_SECONDS = 10
# Of fewer steps no share can be told.
_FEW_STEPS = 4
# Containers that store a presentation time for every frame. AVI and raw streams store none, MPEG
# program streams store a few.
_TIMED_CONTAINERS = frozenset(
    ("mov", "matroska", "mpegts", "flv", "asf", "gif", "ogg", "mxf", "apng", "nut")
)
# A stream in which fewer of the packets have a time stores none that can be trusted.
_TIMED_SHARE = 0.9


def trusted_times(
    container: str, is_reordered: bool, stored: list[int | None]
) -> np.ndarray | None:
    """Return the times of a file's frames, ascending; None where those stored mean nothing.

    Args:
        container: FFmpeg's name of the container.
        is_reordered: Whether frames are stored in another order than they are shown in.
        stored: Times of the packets, in the order of the file.
    """
    if is_reordered and container not in _TIMED_CONTAINERS:
        return None
    times = np.array([time for time in stored if time is not None], dtype=np.int64)
    order = np.argsort(times, kind="stable")
    moved = np.abs(order - np.arange(len(order)))
    # A packet at a seam of a damaged stream may have none.
    least = len(stored) * (_TIMED_SHARE if container == "mpegts" else 1)
    if not len(times) or len(times) < least or moved.max() > _MOST_REORDERED:
        return None
    times = times[order]
    steps = np.diff(times)
    if (steps == 0).any():
        return None
    if len(steps) > 2 and steps[-1] > _OUTLIER_SPANS * (times[-2] - times[0]):
        return None
    return times


def with_holes(times: np.ndarray, fps: Fraction, time_base: Fraction) -> np.ndarray:
    """Return the times of a damaged file, with those of lost frames where its rate is constant.

    Args:
        times: (N,) int64, ascending.
        fps: Nominal frame rate.
        time_base: Seconds per unit of ``times``.
    """
    step = float(1 / (fps * time_base))
    steps = np.diff(times)
    counts = np.rint(steps / step).astype(int)
    # Times are rounded to units of the container, at both ends of a step.
    is_even = (np.abs(steps - counts * step) <= 1) & (counts >= 1)
    is_constant = (counts == 1).sum() >= _CONSTANT_SHARE * len(counts) or len(counts) < _FEW_STEPS
    if is_even.sum() < _CONSTANT_SHARE * len(counts) or not is_constant:
        return times
    is_hole = is_even & (steps * float(time_base) <= _MAX_HOLE_SECONDS)
    counts = np.where(is_hole, counts, 1)
    pieces = [before + np.rint(step * np.arange(count)) for before, count in zip(times, counts)]
    filled: np.ndarray = np.concatenate([*pieces, times[-1:]]).astype(np.int64)
    return filled
