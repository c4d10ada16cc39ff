"""PyAV: the frames of a file, each known by its presentation time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from .formats import open_input
from .frames import Frame, VideoError, do_nothing
from .packets import PacketTable, video_stream

# Called with what a decoder says of a damaged packet.
OnError = Callable[[av.FFmpegError], None]


@dataclass(frozen=True)
class Geometry:
    """How a stored frame becomes an upright one with square pixels.

    Attributes:
        height: Rows of a stored frame.
        stored_width: Columns of a stored frame.
        width: Its columns with square pixels.
        transpose: Whether rows become columns.
        flip_x: Whether left and right are exchanged, after that.
        flip_y: Whether top and bottom are exchanged, after that.
        first_pts: Presentation time of the first frame that can be decoded, or None.
    """

    height: int
    stored_width: int
    width: int
    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False
    first_pts: int | None = None

    @property
    def img_shape(self) -> tuple[int, int]:
        """(height, width) of the upright frame."""
        return (self.width, self.height) if self.transpose else (self.height, self.width)

    @property
    def is_stored(self) -> bool:
        """Whether the frame is stored as it is shown."""
        return not (self.transpose or self.flip_x or self.flip_y)


def read_geometry(table: PacketTable) -> Geometry:
    """Decode the first frame of a file for its size and its display matrix.

    Raises:
        VideoError: if no frame can be decoded.
    """
    with open_input(table.path) as container:
        frame = next(_decode(container, video_stream(container), _pass_over), None)
        if frame is None:
            raise VideoError("not one frame can be decoded")
        width = max(1, round(frame.width * table.pixel_aspect))
        upright = Geometry(frame.height, frame.width, width, first_pts=frame.pts)
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return upright
        # ISO 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y; here as 3x3 of 16.16 fixed point.
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        if abs(b) > abs(a):
            return replace(upright, transpose=True, flip_x=c < 0, flip_y=b < 0)
        return replace(upright, flip_x=a < 0, flip_y=d < 0)


@dataclass(frozen=True, eq=False)
class _Decoding:
    """A file that is being decoded.

    Attributes:
        table: Its packets.
        key_pts: Time of the key frame at which decoding began; None for the file's start.
        num_threads: Threads of the decoder.
        next_index: No frame before this one comes.
        frames: Frames with their numbers, ascending.
    """

    table: PacketTable
    key_pts: int | None
    num_threads: int
    next_index: int
    frames: Iterator[tuple[int, av.VideoFrame]]


class WaitingDecoder:
    """The decoder that read the last range, which waits behind it.

    Cuts of one video may follow each other closer than its key frames do. A range that a new
    decoder would begin at the same key frame is read on by this one, with the same frames. It is
    not set to another key frame: where a packet is damaged, what it shows of it is left over from
    what it decoded before. There is one for all files: decoders of large frames hold many.
    """

    def __init__(self) -> None:
        self._decoding: _Decoding | None = None

    def take(self, table: PacketTable, start: int, num_threads: int) -> _Decoding | None:
        """Return what can be read on for a range, or None; it waits no longer in either case."""
        waiting, self._decoding = self._decoding, None
        if (
            waiting is None
            or waiting.table is not table
            or waiting.num_threads != num_threads
            or waiting.next_index > start
            or waiting.key_pts != _first_key(table, start)
        ):
            return None
        return waiting

    def end(self) -> None:
        """End the decoder that waits, before one that is none of PyAV's takes its memory."""
        self._decoding = None

    def keep(self, decoding: _Decoding, index: int, frame: av.VideoFrame) -> None:
        """Let a decoder wait that has given one frame too many.

        Where a file is damaged, frames may depend on where a range begins.
        """
        if decoding.table.is_sound and decoding.table.pts is not None:
            frames = chain([(index, frame)], decoding.frames)
            self._decoding = replace(decoding, next_index=index, frames=frames)


def read_frames(
    table: PacketTable,
    geometry: Geometry,
    start: int,
    stop: int | None,
    num_threads: int,
    on_progress: Callable[[], None] = do_nothing,
    waiting: WaitingDecoder | None = None,
) -> Iterator[Frame]:
    """Yield frames ``start <= index < stop``, upright RGB with square pixels.

    Decoding starts at a key frame at or before ``start``, or goes on with the decoder that is
    ``waiting``. Frames whose size changes midway are scaled to the first frame's, as FFmpeg does.
    ``on_progress`` is called for each frame decoded.
    """
    stop = table.num_frames if stop is None else min(stop, table.num_frames)
    if start >= stop:
        return
    waiting = waiting or WaitingDecoder()
    decoding = waiting.take(table, start, num_threads)
    if decoding is None:
        numbered = _numbered(table, start, num_threads, on_progress)
        decoding = _Decoding(table, _first_key(table, start), num_threads, start, numbered)
    seconds = table.pts_seconds
    reformatter = VideoReformatter()
    for index, frame in decoding.frames:
        if index >= stop:
            waiting.keep(decoding, index, frame)
            return
        if index < start:
            continue
        to_rgb = partial(_upright, frame, geometry, reformatter)
        num_bytes = sum(plane.buffer_size for plane in frame.planes)
        is_scaled = (frame.height, frame.width) != (geometry.height, geometry.stored_width)
        yield Frame(index, float(seconds[index]), to_rgb, num_bytes, is_scaled)


def _numbered(
    table: PacketTable, start: int, num_threads: int, on_progress: Callable[[], None]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield frames from number ``start`` on with their numbers in the file, ascending.

    Beside a damaged packet, and at the end of a damaged file, a decoder with several threads drops
    good frames, and what it shows in damaged ones is chance: from there on it has one.
    """
    last = start - 1
    for threads, on_error in ((num_threads, _raise), (1, _pass_over)):
        with suppress(av.FFmpegError):
            frames = _decoded(table, last + 1, threads, on_error)
            held: tuple[int, av.VideoFrame] | None = None
            for count, frame in enumerate(frames):
                on_progress()
                if frame.is_corrupt and threads != 1:
                    break
                after = held[0] if held is not None else last
                index = count if table.pts is None else _index_of(table.pts, frame.pts, after)
                # Frames that are not in the table are not to be shown. Of two whose times run back,
                # the one that is ahead of its place is damaged.
                if index is None or index <= last:
                    continue
                if held is not None and held[0] < index:
                    last = held[0]
                    yield held
                held = index, frame
            if held is not None:
                last = held[0]
                yield held
        if last + 1 >= table.num_frames:
            return


def _index_of(pts: np.ndarray, value: int | None, after: int) -> int | None:
    """Return the number of the frame with a time; of several, the first one behind ``after``."""
    if value is None:
        return None
    index = int(np.searchsorted(pts, value))
    if index <= after < len(pts) - 1 and pts[after + 1] == value:
        return after + 1
    return index if index < len(pts) and pts[index] == value else None


def _first_key(table: PacketTable, start: int) -> int | None:
    """Return the time of the last key frame at or before frame ``start``.

    None where that is the first one, to which a seek saves nothing, or where times are not known.
    """
    if table.pts is None or start >= table.num_frames:
        return None
    num_keys = int(np.searchsorted(table.key_pts, table.pts[start], side="right"))
    return int(table.key_pts[num_keys - 1]) if num_keys > 1 else None


def _decoded(
    table: PacketTable, start: int, num_threads: int, on_error: OnError
) -> Iterator[av.VideoFrame]:
    """Yield frames from the last safe key frame at or before frame ``start`` on.

    A key frame is safe where a seek leads to it and it decodes to an intra-coded frame: those that
    an encoder marks during an intra refresh are none, and a container's index may be wrong. Without
    a safe one, decoding starts at the beginning.
    """
    key = _first_key(table, start)
    # Where a container seeks by times of decoding, one to a key frame leads behind it, and one to a
    # second before does not.
    second = round(1 / table.time_base)
    for key_pts, target in [] if key is None else [(key, key), (key, key - second)]:
        with open_input(table.path) as container:
            stream = _video_stream(container, num_threads)
            with suppress(av.FFmpegError):
                container.seek(target, stream=stream, backward=True)
            frames = _decode(container, stream, on_error)
            first = next((f for f in frames if f.pts is not None and f.pts >= key_pts), None)
            if first is not None and first.pts == key_pts and first.pict_type == PictureType.I:
                yield first
                yield from frames
                return
    with open_input(table.path) as container:
        yield from _decode(container, _video_stream(container, num_threads), on_error)


def _video_stream(container: av.container.InputContainer, num_threads: int) -> av.VideoStream:
    stream = video_stream(container)
    stream.thread_type = "AUTO"
    if num_threads:
        stream.codec_context.thread_count = num_threads
    return stream


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, on_error: OnError
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
            on_error(error)
            continue
        yield from frames


def _raise(error: av.FFmpegError) -> None:
    raise error


def _pass_over(error: av.FFmpegError) -> None:
    """Go on with the next packet; the frames that are lost are counted."""


def _upright(frame: av.VideoFrame, geometry: Geometry, reformatter: VideoReformatter) -> np.ndarray:
    rgb = reformatter.reformat(
        frame, width=geometry.width, height=geometry.height, format="rgb24"
    ).to_ndarray()
    if geometry.transpose:
        rgb = rgb.transpose(1, 0, 2)
    rgb = rgb[:: -1 if geometry.flip_y else 1, :: -1 if geometry.flip_x else 1]
    return np.ascontiguousarray(rgb)
