"""One cell of the table of exactness: a clip, a decoder and a way of reading, held to the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numbered_clips import Recipe, number_of, sequential

from skelact.pose_extract.decode.frames import VideoError, VideoInfo
from skelact.pose_extract.decode.video import VideoReader, open_video
from skelact.pose_extract.sources import ClipSource

DECODERS = ("auto", "decord", "pyav")
WAYS = ("whole", "frames", "seconds")
# Containers store times in steps of a millisecond or less; GIF's hundredths hold 25 Hz exactly.
_SECONDS_TOLERANCE = 1.1e-3
# The loss of a damaged file is known within one frame: a frame may be there in part.
_LOST_TOLERANCE = 1


class WrongFrameError(AssertionError):
    """A reader gave another frame, time or count than the file holds."""


@dataclass(frozen=True)
class Truth:
    """What a clip holds, by construction and by PyAV's sequential decode.

    Attributes:
        numbers: The numbers shown, frame by frame.
        seconds: Presentation times from the first frame; None where the file holds none.
        num_lost: Frames that are announced, or missing between two others.
        is_damaged: Whether frames may be lost, so that their numbers have gaps.
    """

    numbers: list[int | None]
    seconds: list[float] | None
    num_lost: int
    is_damaged: bool

    @classmethod
    def of(cls, recipe: Recipe, path: Path) -> Truth:
        """Return the truth about a clip that was made.

        Times come from the recipe: decoders make up those of AVI files with B-frames.
        """
        numbers, _ = sequential(path)
        times = None
        if recipe.times_known:
            first = next(number for number in numbers if number is not None)
            start = recipe.seconds[first]
            times = [float(recipe.seconds[n or 0] - start) for n in numbers]
        if not recipe.is_damaged:
            return cls(numbers, times, 0, False)
        shown = {number for number in numbers if number is not None}
        end = recipe.announced or max(shown) + 1
        return cls(numbers, times, end - min(shown) - len(shown), True)


def ranges(truth: Truth) -> list[tuple[int, int | None]]:
    """Return cuts (first frame, frame after the last): around key frames and at the ends."""
    count = len(truth.numbers)
    wanted = [(0, 5), (count // 4, count // 4 + 6), (20, 28), (count - 12, None)]
    return [(start, stop) for start, stop in wanted if start < count and (stop or 0) < count]


def check(path: Path, truth: Truth, decoder: str, way: str) -> str:
    """Read a clip in one way and return which decoder read it.

    Raises:
        WrongFrameError: if a frame, a time or a count is not what the file holds.
        VideoError: if the reader refuses the file.
    """
    with open_video(path, decoder) as reader:
        if way == "whole":
            _check_info(reader.info, truth)
            _check_range(reader, truth, 0, None)
            _expect_lost(reader.num_lost, truth)
        else:
            for start, stop in ranges(truth):
                given = (start, stop) if way == "frames" else _by_seconds(reader.info, start, stop)
                if given != (start, stop):
                    raise WrongFrameError(f"seconds of frames {start}..{stop} gave {given}")
                _check_range(reader, truth, start, stop)
        return reader.info.decoder


def result(path: Path, truth: Truth, decoder: str, way: str) -> tuple[str, str]:
    """Return ("exact", decoder taken), ("refused", why) or ("WRONG", how)."""
    try:
        return "exact", check(path, truth, decoder, way)
    except VideoError as error:
        return "refused", str(error)
    except WrongFrameError as error:
        return "WRONG", str(error)


def _by_seconds(info: VideoInfo, start: int, stop: int | None) -> tuple[int, int | None]:
    """Return the range of the cut from the middle of a step to the middle of another."""
    times = info.pts_seconds
    source = ClipSource(
        info.path,
        "cut",
        start_seconds=float(times[start - 1] + times[start]) / 2 if start else 0.0,
        end_seconds=None if stop is None else float(times[stop - 1] + times[stop]) / 2,
    )
    return source.frame_range(info)


def _check_info(info: VideoInfo, truth: Truth) -> None:
    if not (np.diff(info.pts_seconds) > 0).all():
        raise WrongFrameError("info.pts_seconds does not increase")
    if truth.is_damaged:
        return
    _expect("info.num_frames", info.num_frames, len(truth.numbers))
    _expect("info.num_missing", info.num_missing, 0)
    if truth.seconds is not None:
        off = np.abs(info.pts_seconds - truth.seconds).max()
        if off > _SECONDS_TOLERANCE:
            raise WrongFrameError(f"info.pts_seconds is off by {off:.4f} s")


def _check_range(reader: VideoReader, truth: Truth, start: int, stop: int | None) -> None:
    batches = list(reader.batches(7, start, stop))
    inds = np.concatenate([batch.frame_inds for batch in batches]).tolist()
    seconds = np.concatenate([batch.pts_seconds for batch in batches])
    shown = [number_of(frame) for batch in batches for frame in batch.frames]
    if truth.is_damaged:
        _expect("frame_inds", [i for i in inds if i < start or i >= (stop or i + 1)], [])
        _check_damaged(inds, seconds, shown, truth)
        return
    count = len(truth.numbers)
    _expect("frame_inds", inds, list(range(start, count if stop is None else stop)))
    _expect("frames", shown, [truth.numbers[i] for i in inds])
    _expect("num_lost", reader.num_lost, 0)
    if truth.seconds is not None:
        off = np.abs(seconds - np.array(truth.seconds)[inds]).max()
        if off > _SECONDS_TOLERANCE:
            raise WrongFrameError(f"pts_seconds is off by {off:.4f} s")


def _check_damaged(
    inds: list[int], seconds: np.ndarray, shown: list[int | None], truth: Truth
) -> None:
    """Frames are those of the sequential decode, and stand at their own times, in order."""
    if sorted(set(inds)) != inds:
        raise WrongFrameError(f"frame_inds {inds} do not increase")
    first = truth.numbers[0] or 0
    misplaced = []
    for index, time, number in zip(inds, seconds.tolist(), shown):
        if number is None:
            continue
        if number not in truth.numbers:
            raise WrongFrameError(f"frame {index} shows {number}, which the file does not hold")
        if abs(time - (number - first) / 25) > _SECONDS_TOLERANCE:
            misplaced.append(f"frame {index} at {time:.3f} s shows {number}")
    # One frame may be there in part, and show the one before.
    if len(misplaced) > _LOST_TOLERANCE:
        raise WrongFrameError("; ".join(misplaced))


def _expect_lost(num_lost: int, truth: Truth) -> None:
    if abs(num_lost - truth.num_lost) > (_LOST_TOLERANCE if truth.is_damaged else 0):
        raise WrongFrameError(f"num_lost is {num_lost}, not {truth.num_lost}")


def _expect(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise WrongFrameError(f"{what}: expected {expected}, got {got}")
