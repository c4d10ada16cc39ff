"""The packet table of a video file: which frames it holds, in which order, and when each is shown.

One pass over the packets, without decoding, tells more than a header does: headers announce what
was planned, and seeks land where a container's index says. Everything that counts, orders or times
frames in skelact goes by this table.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from .containers import is_broken
from .formats import open_input
from .frames import VideoError, do_nothing
from .times import trusted_times, with_holes

# A file that lost its frame rate plays at this one in common players.
FALLBACK_FPS = Fraction(25)
# Rates outside are damaged headers: time lapses have a frame per minute, high-speed cameras in
# sports laboratories 1000 frames per second.
_FPS_RANGE = Fraction(1, 60), Fraction(1000)
# Pixel aspects outside are damaged headers; anamorphic video has 1/2 to 2.
_ASPECT_RANGE = Fraction(1, 4), Fraction(4)
# Encoders round the pixel aspect: 224/225 is meant to be square.
_ASPECT_TOLERANCE = Fraction(1, 100)
# Containers without an index, in which a recording may begin anywhere.
_STREAMS = ("mpegts", "mpeg")
# No announced length beyond this is believed (a day).
_MAX_ANNOUNCED_SECONDS = 86_400
# Of fewer packets FFmpeg has no frame rate that is sure.
_FEW_PACKETS = 8


@dataclass(frozen=True, eq=False)
class PacketTable:
    """What one pass over the packets tells; N frames.

    Attributes:
        path: The file.
        container: FFmpeg's name of the container format, the first of its aliases.
        codec: Name of the codec.
        fps: Nominal frame rate.
        time_base: Seconds per unit of ``pts``.
        pts: (N,) int64, presentation times in the order of showing, a few maybe equal; None where
            the file stores none that can be trusted, and its frames are counted.
        key_pts: (K,) int64, presentation times of the key frames, ascending.
        num_frames: N.
        num_missing: Frames that the file announces and does not hold.
        is_sound: Whether nothing hints at damage, every packet is to be shown, and there is no
            other video stream.
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

    @cached_property
    def pts_seconds(self) -> np.ndarray:
        """(N,) float64, times from the first frame on; by ``fps`` where none are stored."""
        if self.pts is None:
            even: np.ndarray = np.arange(self.num_frames) / float(self.fps)
            return even
        # Of frames with one time, each stands a unit behind the one before.
        pts = np.maximum.accumulate(self.pts - np.arange(len(self.pts))) + np.arange(len(self.pts))
        seconds: np.ndarray = (pts - pts[0]) * float(self.time_base)
        return seconds


def without_leading(table: PacketTable, first_pts: int | None) -> PacketTable:
    """Return a table without the frames before the first key frame, if decoding starts there.

    They refer to what is not in the file: a recording that was joined midway, or a part that was
    cut out. ``first_pts`` is the time of the first frame that can be decoded.
    """
    if table.pts is None or not len(table.key_pts) or first_pts != table.key_pts[0]:
        return table
    pts = table.pts[table.pts >= first_pts]
    return replace(table, pts=pts, num_frames=len(pts)) if len(pts) else table


def read_packets(path: str | Path, on_progress: Callable[[], None] = do_nothing) -> PacketTable:
    """Read the packet table of a file.

    Args:
        path: The file.
        on_progress: Called for each packet: a long file takes its time.

    Raises:
        VideoError: if it is no video, or holds no key frame.
    """
    path = Path(path)
    try:
        with _errors_logged() as messages, open_input(path) as container:
            stream = video_stream(container)
            packets, is_whole = _packets(container, stream, on_progress)
            num_indexed = _num_indexed(container, stream)
            if not packets:
                raise VideoError("the file holds no frame")
            is_damaged = (
                not is_whole
                or bool(messages)
                or any(packet.is_corrupt for packet in packets)
                or is_broken(path, _name(container))
                or num_indexed > len(packets)
            )
            return _table(path, container, stream, packets, num_indexed, is_damaged)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) == errno.EINVAL:
            reason = "its format is none of a video (what names other files is not followed)"
        raise VideoError(f"expected a video file, FFmpeg cannot read it: {reason}") from None


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the first video stream that is no cover image.

    Raises:
        VideoError: if there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
    if container.streams.video:
        kinds += " (a cover image)"
    raise VideoError(f"expected a video stream, the file has: {kinds}")


def _num_indexed(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Return how many frames an AVI or MP4 file lists in its index; 0 of other files.

    Samples that an edit list cuts off are not among them; headers count those too.
    """
    # PyAV before 15 does not give the index.
    index = getattr(stream, "index_entries", None)
    name = _name(container)
    if name == "mov":
        return stream.frames if index is None else len(index)
    return sum(entry.size > 0 for entry in index or ()) if name == "avi" else 0


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
    size: int
    is_key: bool
    is_corrupt: bool
    is_discard: bool


def _packets(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    on_progress: Callable[[], None],
) -> tuple[list[_Packet], bool]:
    """Return the packets that hold a frame, from the first key frame on; whether all were read."""
    packets: list[_Packet] = []
    demuxed = container.demux(stream)
    is_stream = _name(container) in _STREAMS
    is_vp8 = stream.codec_context.name == "vp8"
    is_whole = False
    # The last packet of a demuxer is None, or empty.
    with suppress(av.FFmpegError):
        while packet := next(demuxed, None):
            on_progress()
            # RFC 6386, 9.1: a VP8 frame with show_frame 0 is a reference for others alone.
            if not packet.size or (is_vp8 and not bytes(packet)[0] & 0x10):
                continue
            packets.append(
                _Packet(
                    packet.pts,
                    packet.size,
                    packet.is_keyframe,
                    packet.is_corrupt,
                    packet.is_discard,
                )
            )
        is_whole = True
    if not is_stream:
        return packets, is_whole
    # What stands before the first key frame cannot be decoded: a recording that was joined midway.
    first_key = next((i for i, packet in enumerate(packets) if packet.is_key), 0)
    return packets[first_key:], is_whole


def _table(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    packets: list[_Packet],
    num_indexed: int,
    is_damaged: bool,
) -> PacketTable:
    time_base = stream.time_base or Fraction(1, 90_000)
    name = _name(container)
    shown = [packet for packet in packets if not packet.is_discard]
    times = trusted_times(
        name,
        bool(stream.codec_context.has_b_frames),
        [packet.pts for packet in shown],
        [packet.size for packet in shown],
        is_damaged=is_damaged,
    )
    if times is not None and name == "avi" and len(packets) <= stream.frames:
        # Times count the frames; one beyond them all is damaged.
        times = times[times - times[0] < stream.frames]
    fps = _frame_rate(stream, times, len(packets), time_base)
    if times is not None and is_damaged:
        times = with_holes(times, fps, time_base)
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
        num_missing=_num_missing(container, stream, fps, times, num_held, num_indexed)
        if is_damaged
        else 0,
        # A header with another count than the packets is damaged, or its writer crashed. Of several
        # streams decord may choose another.
        is_sound=not is_damaged
        and len(shown) == len(packets)
        and stream.frames in (0, len(packets))
        and (times is None or bool((np.diff(times) > 0).all()))
        and len(container.streams.video) == 1,
        pixel_aspect=_pixel_aspect(stream),
    )


def _frame_rate(
    stream: av.VideoStream, times: np.ndarray | None, num_packets: int, time_base: Fraction
) -> Fraction:
    # The guessed rate is the one the frames are timed at; the average rate is off where the file's
    # announced duration is.
    coded = stream.codec_context.framerate
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and rate == 2 * (coded or 0) and num_packets < _FEW_PACKETS:
            # Of a few packets FFmpeg guesses the rate of their fields.
            rate = coded
        if rate and _FPS_RANGE[0] <= rate <= _FPS_RANGE[1]:
            return Fraction(rate.numerator, rate.denominator)
    if times is not None and len(times) > 1:
        step = Fraction(int(np.median(np.diff(times)))) * time_base
        if step and _FPS_RANGE[0] <= 1 / step <= _FPS_RANGE[1]:
            return (1 / step).limit_denominator(1001)
    return FALLBACK_FPS


def _num_missing(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    fps: Fraction,
    times: np.ndarray | None,
    num_held: int,
    num_indexed: int,
) -> int:
    """Return how many frames more the headers of a damaged file announce than it holds."""
    most = _MAX_ANNOUNCED_SECONDS * fps
    if _name(container) == "mov" and num_indexed:
        return max(num_indexed - num_held, 0) if num_indexed <= most else 0
    if stream.frames:
        return max(stream.frames - num_held, 0) if stream.frames <= most else 0
    # The duration of MPEG streams is no announcement: FFmpeg takes it from the last packet. The
    # duration of a file may be that of its sound.
    if _name(container) in ("mpegts", "mpeg") or not container.duration:
        return 0
    end = Fraction(container.duration, av.time_base)
    last = (
        Fraction(int(times[-1])) * (stream.time_base or 0)
        if times is not None
        else Fraction(num_held - 1) / fps
    )
    missing = round((end - last) * fps) - 1
    return missing if 1 < missing <= most else 0


def _name(container: av.container.InputContainer) -> str:
    return container.format.name.split(",")[0]


def _pixel_aspect(stream: av.VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio
    if not aspect or not _ASPECT_RANGE[0] <= aspect <= _ASPECT_RANGE[1]:
        return Fraction(1)
    if abs(aspect - 1) <= _ASPECT_TOLERANCE:
        return Fraction(1)
    return Fraction(aspect.numerator, aspect.denominator)
