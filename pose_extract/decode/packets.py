"""The packet table of a video file: which frames it holds, in which order, and when each is shown.

One pass over the packets, without decoding, tells more than a header does: headers announce what
was planned, and seeks land where a container's index says. Everything that counts, orders or times
frames in skelact goes by this table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .frames import VideoError

# A file that lost its frame rate plays at this one in common players.
FALLBACK_FPS = Fraction(25)
# Rates outside are damaged headers: time lapses have a frame per minute, high-speed cameras in
# sports laboratories 1000 frames per second.
_FPS_RANGE = Fraction(1, 60), Fraction(1000)
# Pixel aspects outside are damaged headers; anamorphic video has 1/2 to 2.
_ASPECT_RANGE = Fraction(1, 4), Fraction(4)
# Encoders round the pixel aspect: 224/225 is meant to be square.
_ASPECT_TOLERANCE = Fraction(1, 100)
# The largest reorder buffer of H.264 and HEVC: no packet is further from its place in time.
_MOST_REORDERED = 16
# A last frame this many times further off than all others span has a damaged time.
_OUTLIER_SPANS = 10
# A damaged file is of constant rate where at least this share of its steps are equal; a hole of
# more seconds is a damaged time, or a break of the recording.
_CONSTANT_SHARE, _MAX_HOLE_SECONDS = 0.7, 10
# No announced length beyond this is believed (a day).
_MAX_ANNOUNCED_SECONDS = 86_400
# Containers that store a presentation time for every frame. AVI and raw streams store none, MPEG
# program streams store a few.
_TIMED_CONTAINERS = frozenset(
    ("mov", "matroska", "mpegts", "flv", "asf", "gif", "ogg", "mxf", "apng", "nut")
)


@dataclass(frozen=True, eq=False)
class PacketTable:
    """What one pass over the packets tells; N frames.

    Attributes:
        path: The file.
        container: FFmpeg's name of the container format, the first of its aliases.
        codec: Name of the codec.
        fps: Nominal frame rate.
        time_base: Seconds per unit of ``pts``.
        pts: (N,) int64, presentation times in the order of showing; None where the file stores
            none that can be trusted, and its frames are counted.
        key_pts: (K,) int64, presentation times of the key frames, ascending.
        num_frames: N.
        num_missing: Frames that the file announces and does not hold.
        is_sound: Whether nothing hints at damage, and every packet is to be shown.
        pixel_aspect: Width over height of a stored pixel.
    """

    path: Path
    container: str
    codec: str
    fps: Fraction
    time_base: Fraction
    pts: np.ndarray | None
    key_pts: np.ndarray
    num_frames: int
    num_missing: int
    is_sound: bool
    pixel_aspect: Fraction

    @property
    def pts_seconds(self) -> np.ndarray:
        """(N,) float64, times from the first frame on; by ``fps`` where none are stored."""
        if self.pts is None:
            even: np.ndarray = np.arange(self.num_frames) / float(self.fps)
            return even
        seconds: np.ndarray = (self.pts - self.pts[0]) * float(self.time_base)
        return seconds


def read_packets(path: str | Path) -> PacketTable:
    """Read the packet table of a file.

    Raises:
        VideoError: if it is no video, or holds no key frame.
    """
    path = Path(path)
    try:
        with _errors_logged() as messages, av.open(str(path)) as container:
            if not container.streams.video:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
                raise VideoError(f"expected a video stream, the file has: {kinds}")
            stream = container.streams.video[0]
            packets, is_whole = _packets(container, stream)
            if not packets:
                raise VideoError("the file holds no frame")
            is_sound = is_whole and not messages and not any(p.is_corrupt for p in packets)
            return _table(path, container, stream, packets, is_sound)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"expected a video file, FFmpeg cannot read it: {error}") from None


@contextmanager
def _errors_logged() -> Iterator[list[Any]]:
    """Give the list of what FFmpeg logs as errors: most damage is told nowhere else."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=False) as messages:
            yield messages
    finally:
        av.logging.set_level(level)


@dataclass(frozen=True)
class _Packet:
    pts: int | None
    is_key: bool
    is_corrupt: bool
    is_discard: bool


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream
) -> tuple[list[_Packet], bool]:
    """Return the packets that hold a frame, from the first key frame on; whether all were read."""
    packets: list[_Packet] = []
    demuxed = container.demux(stream)
    is_vp8 = stream.codec_context.name == "vp8"
    while True:
        try:
            packet = next(demuxed, None)
        except av.FFmpegError:
            return packets, False
        if packet is None:
            return packets, True
        # What stands before the first key frame can be decoded by nobody: a recording that was
        # joined midway. The last packet of a demuxer is an empty one.
        if packet.size == 0 or not (packets or packet.is_keyframe):
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:
            # RFC 6386, 9.1: a frame with show_frame 0 is a reference for others alone.
            continue
        packets.append(
            _Packet(packet.pts, packet.is_keyframe, packet.is_corrupt, packet.is_discard)
        )


def _table(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    packets: list[_Packet],
    is_sound: bool,
) -> PacketTable:
    time_base = stream.time_base or Fraction(1, 90_000)
    name = container.format.name.split(",")[0]
    shown = [packet for packet in packets if not packet.is_discard]
    times = _trusted_times(name, bool(stream.codec_context.has_b_frames), shown)
    if times is not None and name in _TIMED_CONTAINERS:
        # Leading frames of the first key frame refer to what is not there; but a trimmed file
        # holds the key frame, marked as not to be shown.
        first_key = packets[0].pts
        times = times[times >= first_key] if first_key is not None else times
        if not is_sound:
            times = _with_holes(times, _MAX_HOLE_SECONDS / time_base)
    fps = _frame_rate(stream, times, time_base)
    num_frames = len(shown) if times is None else len(times)
    num_held = num_frames + len(packets) - len(shown)
    return PacketTable(
        path=path,
        container=name,
        codec=stream.codec_context.codec.canonical_name,
        fps=fps,
        time_base=time_base,
        pts=times,
        key_pts=np.array(
            sorted(packet.pts for packet in packets if packet.is_key and packet.pts is not None),
            dtype=np.int64,
        ),
        num_frames=num_frames,
        num_missing=0 if is_sound else max(_announced(container, stream, fps) - num_held, 0),
        # A header with another count than the packets is damaged, or its writer crashed.
        is_sound=is_sound and len(shown) == len(packets) and stream.frames in (0, len(packets)),
        pixel_aspect=_pixel_aspect(stream),
    )


def _trusted_times(container: str, is_reordered: bool, packets: list[_Packet]) -> np.ndarray | None:
    """Return the times in order, or None where they are missing, repeated or run back."""
    if is_reordered and container not in _TIMED_CONTAINERS:
        return None
    stored = [packet.pts for packet in packets if packet.pts is not None]
    times = np.array(stored, dtype=np.int64)
    order = np.argsort(times, kind="stable")
    moved = np.abs(order - np.arange(len(order)))
    if len(stored) < len(packets) or not len(stored) or moved.max() > _MOST_REORDERED:
        return None
    times = times[order]
    steps = np.diff(times)
    if (steps == 0).any():
        return None
    if len(steps) > 2 and steps[-1] > _OUTLIER_SPANS * (times[-2] - times[0]):
        return None
    return times


def _with_holes(times: np.ndarray, most: Fraction) -> np.ndarray:
    """Return the times of a damaged file, with those of lost frames where its rate is constant."""
    steps = np.diff(times)
    if not len(steps):
        return times
    step = int(np.median(steps))
    counts = np.rint(steps / step).astype(int)
    # Times in units of the container are rounded by one at most.
    is_even = (np.abs(steps - counts * step) <= np.maximum(counts, 1)) & (counts >= 1)
    if not is_even.all() or (counts == 1).mean() < _CONSTANT_SHARE:
        return times
    pieces = [
        before + step * np.arange(count if count * step <= most else 1)
        for before, count in zip(times, counts)
    ]
    return np.concatenate([*pieces, times[-1:]])


def _frame_rate(stream: av.VideoStream, times: np.ndarray | None, time_base: Fraction) -> Fraction:
    # The guessed rate is the one the frames are timed at; the average rate is off where the file's
    # announced duration is.
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and _FPS_RANGE[0] <= rate <= _FPS_RANGE[1]:
            return Fraction(rate.numerator, rate.denominator)
    if times is not None and len(times) > 1:
        step = Fraction(int(np.median(np.diff(times)))) * time_base
        if step and _FPS_RANGE[0] <= 1 / step <= _FPS_RANGE[1]:
            return (1 / step).limit_denominator(1001)
    return FALLBACK_FPS


def _announced(
    container: av.container.InputContainer, stream: av.VideoStream, fps: Fraction
) -> int:
    """Return how many frames the headers announce, 0 where they do not say or cannot be right."""
    count = stream.frames
    if not count:
        if container.format.name.startswith(("mpegts", "mpeg")):
            # Their duration is no announcement: FFmpeg takes it from the last packet.
            return 0
        count = round((container.duration or 0) / av.time_base * fps)
    return count if count <= _MAX_ANNOUNCED_SECONDS * fps else 0


def _pixel_aspect(stream: av.VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio
    if not aspect or not _ASPECT_RANGE[0] <= aspect <= _ASPECT_RANGE[1]:
        return Fraction(1)
    if abs(aspect - 1) <= _ASPECT_TOLERANCE:
        return Fraction(1)
    return Fraction(aspect.numerator, aspect.denominator)
