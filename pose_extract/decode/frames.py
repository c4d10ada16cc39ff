"""Frames and the facts about the files that they come from: what decoders hand over."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from ... import SkelactError


class VideoError(SkelactError):
    """A file of which no frame can be decoded."""


class DecodeError(Exception):
    """A decoder cannot read on in a file; another one may."""


@dataclass(frozen=True)
class VideoInfo:
    """The facts about a video file.

    Attributes:
        path: The file.
        fps: Frame rate, a fraction, in frames per second.
        num_frames: Frames that the file announces, or None where it does not say.
        height: Rows of an upright frame.
        width: Columns of an upright frame.
        start_seconds: Presentation time of the first frame in the file.
        duration_seconds: Length that the file announces, or None.
        rotation_degrees: Counter-clockwise rotation that makes the stored frame upright: 0, 90, 180
            or 270. Frames are given upright.
        codec: Name of the codec.
        decoder: Which decoder was taken.
    """

    path: Path
    fps: Fraction
    num_frames: int | None
    height: int
    width: int
    start_seconds: float
    duration_seconds: float | None
    rotation_degrees: int
    codec: str
    decoder: Literal["decord", "pyav"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        index: Its number, counted from the file's start.
        seconds: Its presentation time, from the file's first frame.
        rgb: (H, W, 3) uint8, RGB, upright.
    """

    index: int
    seconds: float
    rgb: np.ndarray


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Successive frames.

    Attributes:
        frames: (B, H, W, 3) uint8, RGB, upright.
        frame_inds: (B,) int64, counted from the file's start; a lost frame leaves a gap.
        pts_seconds: (B,) float64, presentation time from the file's first frame.
    """

    frames: np.ndarray
    frame_inds: np.ndarray
    pts_seconds: np.ndarray

    def take(self, chosen: slice) -> FrameBatch:
        """Return some of the frames."""
        return FrameBatch(self.frames[chosen], self.frame_inds[chosen], self.pts_seconds[chosen])
