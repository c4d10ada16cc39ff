"""PyAV: the facts about a file, and its frames where decord cannot read them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .frames import Frame, VideoError, VideoInfo

# A file that lost its frame rate plays at this one in common players.
_FALLBACK_FPS = Fraction(25)
# A decoder may still hold this many earlier frames when it meets a damaged packet: the largest
# reorder buffer of H.264 and H.265.
_MOST_REORDERED = 16


def probe(path: str | Path) -> VideoInfo:
    """Read the facts about a file; its first decodable frame is decoded for them.

    Raises:
        VideoError: if it is no video, or no frame of it can be decoded.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
                raise VideoError(f"{path}: expected a video stream, the file has: {kinds}")
            stream = container.streams.video[0]
            first = next(_decode(container, stream), None)
            if first is None:
                raise VideoError(f"{path}: not one frame can be decoded")
            quarter = round(first.rotation / 90) % 4
            height, width = first.height, first.width
            if quarter % 2:
                height, width = width, height
            # The guessed rate is the one the frames are timed at; the average rate is off where
            # the file's announced duration is.
            fps = stream.guessed_rate or stream.average_rate or _FALLBACK_FPS
            duration = stream.duration
            base = stream.time_base
            return VideoInfo(
                path=Path(path),
                fps=Fraction(fps.numerator, fps.denominator),
                num_frames=stream.frames or None,
                height=height,
                width=width,
                start_seconds=float(first.time or 0.0),
                duration_seconds=float(duration * base) if duration and base else None,
                rotation_degrees=90 * quarter,
                codec=stream.codec_context.codec.canonical_name,
                decoder="pyav",
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: expected a video file, FFmpeg cannot read it: {error}") from None


def read_frames(info: VideoInfo, start: int, stop: int | None, num_threads: int) -> Iterator[Frame]:
    """Yield frames ``start <= index < stop``, upright RGB.

    Frames before ``start`` are decoded and dropped: their numbers are then exact in every file.
    After a damaged packet the number comes from the frame's time, so that what follows stays in
    its place.
    """
    with av.open(str(info.path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if num_threads:
            stream.codec_context.thread_count = num_threads
        index, seconds, doubtful = -1, -1.0, 0
        damage: list[str] = []
        for frame in _decode(container, stream, damage):
            time = None if frame.time is None else float(frame.time) - info.start_seconds
            index += 1
            if damage:
                doubtful = _MOST_REORDERED
                damage.clear()
            if doubtful and time is not None:
                index = max(index, round(time * info.fps))
            doubtful = max(doubtful - 1, 0)
            if time is None or time <= seconds:
                time = max(index / float(info.fps), seconds + 0.5 / float(info.fps))
            seconds = time
            if stop is not None and index >= stop:
                return
            if index >= start:
                yield Frame(index, seconds, _upright(frame, info.rotation_degrees))


def _decode(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    damage: list[str] | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode packet by packet, so that a damaged one costs its own frames alone."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            if damage is not None:
                damage.append(str(error))
            continue
        yield from frames


def _upright(frame: av.VideoFrame, rotation_degrees: int) -> np.ndarray:
    rgb = frame.to_ndarray(format="rgb24")
    if rotation_degrees:
        rgb = np.rot90(rgb, rotation_degrees // 90)
    return np.ascontiguousarray(rgb)
