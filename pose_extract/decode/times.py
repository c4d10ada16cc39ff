"""Times of frames as a container stores them: which can be trusted, and where frames are lost."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# The largest reorder buffer of H.264 and HEVC: no packet is further from its place in time.
_MOST_REORDERED = 16
# A last frame this many times further off than all others span has a damaged time.
_OUTLIER_SPANS = 10
# The frame that is shown last may be stored a few packets before the end.
_LAST_PACKETS = 4
# A damaged file is of constant rate where at least this share of its steps are one frame.
_CONSTANT_SHARE = 0.5
# A longer hole is a damaged time, or a break of the recording.
_MAX_HOLE_SECONDS = 10
# Of fewer steps no share can be told.
_FEW_STEPS = 4
# Containers that store a presentation time for every frame. AVI, ASF and raw streams store the
# order of decoding, MPEG program streams a few times.
_TIMED_CONTAINERS = frozenset(
    ("mov", "matroska", "mpegts", "flv", "gif", "ogg", "mxf", "apng", "nut")
)
# A stream in which fewer of the packets have a time stores none that can be trusted.
_TIMED_SHARE = 0.9
# Where as many of the times are repeated, a recording was appended to itself, or they mean nothing.
_DOUBLED_SHARE = 0.5
# Where more of the times are repeated, they mean nothing: a muxer that rounds has a few.
_REPEATED_SHARE = 0.1
# Where bytes are in a file twice, most packets with a repeated time are the same; at each of the
# two seams two may be cut.
_SAME_SHARE, _SEAM_PACKETS = 0.5, 4
# Containers with an index of all frames, not of places to seek to.
_INDEXED_CONTAINERS = frozenset(("mov", "avi"))


def trusted_times(
    container: str,
    is_reordered: bool,
    stored: list[int | None],
    packet_bytes: list[int],
    *,
    is_damaged: bool = False,
) -> np.ndarray | None:
    """Return the times of a file's frames, ascending; None where those stored mean nothing.

    A few frames may have one time.

    Args:
        container: FFmpeg's name of the container.
        is_reordered: Whether frames are stored in another order than they are shown in.
        stored: Times of the packets, in the order of the file.
        packet_bytes: Sizes of the packets.
        is_damaged: Whether anything hints at damage.
    """
    if is_reordered and container not in _TIMED_CONTAINERS:
        return None
    times = np.array([time for time in stored if time is not None], dtype=np.int64)
    sizes = np.array([size for time, size in zip(stored, packet_bytes) if time is not None])
    # A packet at a seam of a damaged stream may have no time; an index lists each frame.
    is_indexed = container in _INDEXED_CONTAINERS
    if not len(times) or len(times) < (1 if is_indexed else _TIMED_SHARE) * len(stored):
        return None
    first = np.sort(np.unique(times, return_index=True)[1])
    if is_damaged and not is_indexed and _is_doubled(times, sizes):
        times = times[first]
    elif len(times) - len(first) > _REPEATED_SHARE * len(times):
        return None
    elif len(first) < len(times) and is_indexed and is_reordered:
        # A damaged table of times moves all frames behind.
        return None
    times = _without_outliers(times, is_damaged)
    order = np.argsort(times, kind="stable")
    if np.abs(order - np.arange(len(order))).max() > _MOST_REORDERED:
        return None
    return times[order]


def _is_doubled(times: np.ndarray, sizes: np.ndarray) -> bool:
    """Return whether times that repeat are those of the same packets once more.

    Bytes that are in a damaged file twice give such; the packets at their seams are cut. A clock
    that starts anew gives the same times to other packets.
    """
    _, first, inverse = np.unique(times, return_index=True, return_inverse=True)
    again = first[inverse] != np.arange(len(times))
    is_same = sizes[first[inverse]] == sizes
    if again.mean() >= _DOUBLED_SHARE:
        return False
    return bool((again & ~is_same).sum() <= _SEAM_PACKETS or is_same[again].mean() > _SAME_SHARE)


def _without_outliers(times: np.ndarray, is_damaged: bool) -> np.ndarray:
    """Return times without damaged ones: those far behind all others.

    A recording of a screen may end with a frame that comes late; it is stored at the end.
    """
    rest = times
    while len(rest) > 3:
        ordered = np.sort(rest)
        is_last = int(rest.argmax()) >= len(rest) - _LAST_PACKETS
        spans = (ordered[-1] - ordered[-2]) / max(ordered[-2] - ordered[0], 1)
        if spans <= _OUTLIER_SPANS or (is_last and not is_damaged):
            break
        rest = np.delete(rest, rest.argmax())
    return rest


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
