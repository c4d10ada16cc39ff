"""The video of a report: a copy that every browser plays, frame for frame that of the skeletons."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from ...pose_extract.decode.formats import open_input
from ...pose_extract.decode.frames import VideoError, VideoInfo
from ...pose_extract.decode.video import VideoReader, open_video
from ...pose_extract.sources import ClipSource
from ..drawing.h264 import H264Writer, copy_clock
from ..drawing.streams import copy_sound, copy_streams
from ..inference.clip_skeletons import ClipSkeletons

# Longer side of a copy that is encoded: phones decode full HD in hardware.
_LONGEST_SIDE = 1920
# A step back decodes from the key frame before it: half a second of frames takes no time.
_SECONDS_PER_KEY_FRAME = 0.5
_FRAMES_PER_BATCH = 16
# Copied times are equal but for the rounding of Matroska's milliseconds.
_SAME_SECONDS = 1e-3


@dataclass(frozen=True, eq=False)
class VideoCopy:
    """What a copy shows.

    Attributes:
        seconds: (T,) float64, when each step of the skeletons is shown, from the copy's start.
        covers_wh: (width, height) in pixels of the skeletons that its frames cover.
        is_encoded: Whether its video was encoded anew.
        has_sound: Whether there is sound.
    """

    seconds: np.ndarray
    covers_wh: tuple[int, int]
    is_encoded: bool
    has_sound: bool


def write_video_copy(skeletons: ClipSkeletons, path: Path) -> VideoCopy:
    """Write the clip for browsers, whole or not at all: H.264 in MP4, with its sound.

    A whole file in H.264 is copied without loss where the copy proves to have the same frames at
    the same times. All else is encoded: other codecs, cuts, rotated and damaged files.

    Raises:
        SkelactError: if the clip's file cannot be read, or the copy cannot be written.
    """
    source = skeletons.source
    if source is None:
        raise SkelactError(
            f"{skeletons.video}: a report shows the clip's file, and these frames were in memory; "
            "draw them with plot(frame, image)"
        )
    frame_inds = skeletons.sequence.frame_inds
    with open_video(source.path) as reader, atomic_write(path) as temporary:
        is_whole = not source.is_cut and not skeletons.num_lost and not reader.info.num_missing
        is_plain = is_whole and "size_changes_at" not in skeletons.facts
        if is_plain and (copy := _copied(reader.info, temporary, frame_inds)):
            return copy
        return _encoded(skeletons, source, reader, temporary)


def _copied(info: VideoInfo, path: Path, frame_inds: np.ndarray) -> VideoCopy | None:
    """Copy the packets; None where that is not the same clip."""
    if not copy_streams(info.path, path, video=True):
        return None
    with suppress(VideoError), open_video(path) as reader:
        copy = reader.info
        if (
            (copy.height, copy.width) == (info.height, info.width)
            and len(copy.pts_seconds) == len(info.pts_seconds)
            and np.allclose(copy.pts_seconds, info.pts_seconds, atol=_SAME_SECONDS, rtol=0)
            and _same_first_frame(info.path, path)
        ):
            seconds = copy.pts_seconds[frame_inds]
            return VideoCopy(seconds, (info.width, info.height), False, _has_sound(path))
    return None


def _same_first_frame(one: Path, other: Path) -> bool:
    """Return whether two files begin with the same frame, which a lost rotation would change."""
    frames = []
    for path in (one, other):
        with open_video(path) as reader:
            frames.append(next(reader.batches(1, 0, 1)).frames[0])
    return np.array_equal(*frames)


def _encoded(
    skeletons: ClipSkeletons, source: ClipSource, reader: VideoReader, path: Path
) -> VideoCopy:
    sequence, info = skeletons.sequence, reader.info
    start, stop = source.frame_range(info)
    time_base, ticks = copy_clock(info.pts_seconds[start:stop], sequence.fps)
    height, width = sequence.img_shape
    factor = min(1.0, _LONGEST_SIDE / max(height, width))
    size_wh = (_even(width * factor), _even(height * factor))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        sound = copy_sound(source, info.pts_seconds[start:stop], sequence.fps, Path(folder))
        with H264Writer(
            path, (size_wh[1], size_wh[0]), sequence.fps, time_base, f"{path}: the video",
            max_gop=max(round(float(sequence.fps) * _SECONDS_PER_KEY_FRAME), 1),
            sound=sound,
        ) as writer:  # fmt: skip
            for batch in reader.batches(_FRAMES_PER_BATCH, start, stop):
                for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                    if index - start >= len(ticks):
                        break
                    if factor < 1:
                        frame = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA)
                    writer.add(frame, int(ticks[index - start]))
    seconds = ticks[sequence.frame_inds - start] * float(time_base)
    covers = size_wh if factor == 1 else (width, height)
    return VideoCopy(seconds, covers, True, sound is not None)


def _even(side: float) -> int:
    return max(round(side) // 2 * 2, 2)


def _has_sound(path: Path) -> bool:
    with open_input(path) as file:
        return bool(file.streams.audio)
