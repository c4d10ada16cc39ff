"""Frames and the facts about the files that they come from: what decoders hand over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from ... import SkelactError


class VideoError(SkelactError):
    """A file of which no frame can be decoded."""


class DecoderKilledError(VideoError):
    """The decoding process was killed from outside, which is no fault of the file's."""


class InexactError(VideoError):
    """decord lost frames of a file without a word; opened again, the file is read by PyAV."""


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """The facts about a video file, from its packets; N frames.

    Attributes:
        path: The file.
        fps: Nominal frame rate, a fraction, in frames per second.
        pts_seconds: (N,) float64, presentation time of every frame, from the first one; strictly
            increasing.
        num_missing: Frames that the file announces and does not hold: it was cut short.
        height: Rows of an upright frame in square pixels.
        width: Columns of an upright frame in square pixels.
        pixel_aspect: Width over height of a stored pixel.
        codec: Name of the codec.
        container: Name of the container format.
        decoder: Which decoder was taken.
    """

    path: Path
    fps: Fraction
    pts_seconds: np.ndarray
    num_missing: int
    height: int
    width: int
    pixel_aspect: Fraction
    codec: str
    container: str
    decoder: Literal["decord", "pyav"]

    @property
    def num_frames(self) -> int:
        """N, the frames that the file holds."""
        return len(self.pts_seconds)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        index: Its number, counted from the file's start.
        seconds: Its presentation time, from the file's first frame.
        to_rgb: Returns the frame as (H, W, 3) uint8, RGB, upright.
        num_bytes: What it takes as it is held; as a video stores it, that is half of RGB.
        is_scaled: Whether it is stored in another size than the file's first frame, and is scaled
            to that.
    """

    index: int
    seconds: float
    to_rgb: Callable[[], np.ndarray]
    num_bytes: int
    is_scaled: bool = False

    @staticmethod
    def of_rgb(index: int, seconds: float, rgb: np.ndarray) -> Frame:
        """Return a frame that is held as RGB."""
        return Frame(index, seconds, lambda: rgb, rgb.nbytes)


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Successive frames.

    Attributes:
        frames: (B, H, W, 3) uint8, RGB, upright.
        frame_inds: (B,) int64, counted from the file's start; a lost frame leaves a gap.
        pts_seconds: (B,) float64, presentation time from the file's first frame.
        first_scaled: Number of the first frame that was scaled to the size of the file's first one,
            or None.
    """

    frames: np.ndarray
    frame_inds: np.ndarray
    pts_seconds: np.ndarray
    first_scaled: int | None = None

    def take(self, chosen: slice | np.ndarray) -> FrameBatch:
        """Return some of the frames; rows at equal distances share the memory of this batch."""
        if isinstance(chosen, np.ndarray) and chosen.dtype != bool and len(chosen):
            step = int(chosen[1] - chosen[0]) if len(chosen) > 1 else 1
            if step > 0 and (np.diff(chosen) == step).all():
                # 16 frames of 1080p are 100 MB.
                chosen = slice(int(chosen[0]), int(chosen[-1]) + 1, step)
        return FrameBatch(self.frames[chosen], self.frame_inds[chosen], self.pts_seconds[chosen])


def do_nothing() -> None:
    """Stand in where no progress of a long read is asked for."""
