"""Frames in memory as a file, which the chain can read more than once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import isfinite
from numbers import Rational, Real
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ...pose_extract.sources import ClipSource

# Matroska's times are whole milliseconds: at a higher rate two frames would have one time.
MAX_FPS = 1000
# 29.97002997 is meant as 30000/1001: the rates of television have this denominator.
_MAX_DENOMINATOR = 1001


def parse_fps(fps: float | Fraction | None) -> Fraction:
    """Return a frame rate as a fraction; a float as the nearest one of denominator 1001 or less.

    Raises:
        ValueError: if it is missing, no number, or not above 0 and at most 1000.
    """
    if fps is None:
        raise ValueError("fps: frames in memory need their frame rate, such as fps=25, got none")
    if not isinstance(fps, Real) or not isfinite(fps) or not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps: expected a number above 0 and at most {MAX_FPS}, got {fps!r}")
    if isinstance(fps, Rational):
        return Fraction(int(fps.numerator), int(fps.denominator))
    rate = Fraction(float(fps)).limit_denominator(_MAX_DENOMINATOR)
    if rate == 0:
        raise ValueError(f"fps: expected at least 1/{_MAX_DENOMINATOR}, got {fps!r}")
    return rate


@contextmanager
def spool_frames(frames: Any, fps: Fraction) -> Iterator[ClipSource]:
    """Write frames to a temporary file without loss, and remove it at the end.

    The default effort reads a clip twice, which an iterator of frames cannot give. The file is FFV1
    in Matroska, in the folder that ``TMPDIR`` names; one frame at a time is in memory.

    Args:
        frames: (T, H, W, 3) uint8 RGB, or an iterable of (H, W, 3) uint8 RGB of one size.
        fps: Their frame rate.

    Yields:
        The clip, called "frames".

    Raises:
        ValueError: if the frames are none, or have another shape or dtype.
        SkelactError: if the temporary file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="skelact-") as folder:
        path = Path(folder) / "frames.mkv"
        write_frames(path, check_frames(frames), fps)
        yield ClipSource(path, "frames")


def check_frames(frames: Any) -> Iterator[np.ndarray]:
    """Yield (H, W, 3) uint8 RGB frames, checked one by one; see :func:`spool_frames`."""
    # numpy arrays, torch tensors on the CPU and the like.
    if hasattr(frames, "__array__"):
        frames = np.asarray(frames)
        if frames.ndim != 4:
            raise ValueError(
                f"frames: expected (T, H, W, 3) uint8 RGB, got {frames.shape} {frames.dtype}"
            )
    if not isinstance(frames, Iterable):
        raise TypeError(
            "frames: expected an array (T, H, W, 3) or an iterable of (H, W, 3), got "
            f"{type(frames).__name__}"
        )
    first: np.ndarray | None = None
    for index, item in enumerate(frames):
        frame = np.asarray(item)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            hint = "; move the channels to the end" if frame.shape[:1] == (3,) else ""
            raise ValueError(
                f"frame {index}: expected (H, W, 3) uint8 RGB, got {frame.shape} "
                f"{frame.dtype}{hint}"
            )
        first = frame if first is None else first
        if frame.shape != first.shape:
            raise ValueError(
                f"frame {index}: expected {first.shape} as of the first frame, got {frame.shape}"
            )
        yield frame
    if first is None:
        raise ValueError("frames: expected at least one frame, got none")


def write_frames(path: Path, frames: Iterator[np.ndarray], fps: Fraction) -> None:
    """Write checked frames as FFV1 in Matroska; see :func:`spool_frames`."""
    import av

    with _disk_errors(path):
        file = av.open(str(path), "w", format="matroska")
    try:
        # The file's own rate has 32 bits; the exact one is set again in the result.
        stream = file.add_stream("ffv1", rate=fps.limit_denominator(1_000_000))
        # Eight bits per channel of RGB: FFV1's own colour transform loses nothing.
        stream.pix_fmt = "bgr0"
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            image.pts, image.time_base = index, 1 / fps
            with _disk_errors(path):
                file.mux(stream.encode(image))
        with _disk_errors(path):
            file.mux(stream.encode())
    finally:
        with _disk_errors(path):
            file.close()


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    # Not around the frames: theirs may come from a video that PyAV is reading, with its own errors.
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise SkelactError(
            f"the frames cannot be written to {path}: {error}; is the disk full? TMPDIR names "
            "another folder"
        ) from None
