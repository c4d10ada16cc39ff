"""Copies of clips as H.264 in MP4, which every browser plays, at the clip's own times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ... import SkelactError
from ...pose_extract.common.own_output import OVERLAY_COMMENT
from ...pose_extract.decode.formats import open_input

# A browser starts to play when the head of the file is there. x264's quality of 20 hides its
# artefacts; its own default is 23.
_MUXER_OPTIONS, _ENCODER_OPTIONS = {"movflags": "+faststart"}, {"crf": "20"}
# Matroska stores times in whole milliseconds: at a constant rate they are off by up to half of one.
_LEAST_STEP_SECONDS = 1e-3
# FFmpeg keeps rates as two numbers of 32 bits; for any other rate the encoder plans with this one.
_FALLBACK_FPS = Fraction(25)
# The clock in which MPEG counts times.
_MPEG_CLOCK_HZ = 90_000


def copy_clock(pts_seconds: np.ndarray, fps: Fraction) -> tuple[Fraction, np.ndarray]:
    """Return the time base in seconds, and the frames' times in it, of a copy of a clip.

    A clip at a constant rate, maybe with frames left out, gets the length of a frame as its time
    base, so that players tell its exact rate; any other one gets the clock of MPEG.

    Args:
        pts_seconds: (T,) float64, presentation times of the clip's frames, increasing.
        fps: The clip's nominal frame rate.

    Returns:
        The time base, and (T,) int64 times from the first frame, increasing.
    """
    fps = _writable(fps)
    seconds = pts_seconds - pts_seconds[:1]
    on_grid = np.rint(seconds * float(fps))
    is_even = np.abs(on_grid / float(fps) - seconds) < _LEAST_STEP_SECONDS
    if is_even.all() and (np.diff(on_grid) > 0).all():
        return 1 / fps, on_grid.astype(np.int64)
    order = np.arange(len(seconds))
    # Two times that fall on one tick are one tick apart.
    ticks = np.maximum.accumulate(np.rint(seconds * _MPEG_CLOCK_HZ) - order) + order
    return Fraction(1, _MPEG_CLOCK_HZ), ticks.astype(np.int64)


def _writable(fps: Fraction) -> Fraction:
    return fps if max(fps.as_integer_ratio()) < 1 << 31 else _FALLBACK_FPS


class H264Writer:
    """Writes RGB frames as H.264 in MP4, marked as ours; use it in a ``with`` block.

    Args:
        path: Target.
        img_shape: (height, width) of the frames; an odd one loses its last row or column, since
            browsers play even sizes alone.
        fps: Nominal frame rate.
        time_base: Seconds of a tick; see ``copy_clock``.
        what: What is written, for messages: "out.mp4: the overlay".
        max_gop: Most frames from a key frame to the next; None lets the encoder choose.
        sound: A file whose packets of sound are taken as they are, at its times; None for none.
    """

    def __init__(
        self,
        path: Path,
        img_shape: tuple[int, int],
        fps: Fraction,
        time_base: Fraction,
        what: str,
        *,
        max_gop: int | None = None,
        sound: Path | None = None,
    ) -> None:
        self._what, self._time_base = what, time_base
        self._open = ExitStack()
        with self._errors():
            self._file = av.open(str(path), "w", format="mp4", options=_MUXER_OPTIONS)
            self._file.metadata["comment"] = OVERLAY_COMMENT
            self._stream = self._file.add_stream(
                "libx264", rate=_writable(fps), options=_ENCODER_OPTIONS
            )
            self._stream.height, self._stream.width = (side // 2 * 2 for side in img_shape)
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = time_base
            if max_gop is not None:
                self._stream.codec_context.gop_size = max_gop
            self._sound = iter(()) if sound is None else self._packets(sound)
            self._next_sound = next(self._sound, None)

    def __enter__(self) -> H264Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._errors(), self._open, self._file:
            if kind is None:
                self._file.mux(self._stream.encode())
                self._mux_sound()

    def add(self, rgb: np.ndarray, ticks: int) -> None:
        """Write a frame (H, W, 3) uint8 RGB, which loses an odd last row or column."""
        cut = np.ascontiguousarray(rgb[: self._stream.height, : self._stream.width])
        frame = av.VideoFrame.from_ndarray(cut, "rgb24")
        frame.pts, frame.time_base = ticks, self._time_base
        with self._errors():
            self._file.mux(self._stream.encode(frame))
            self._mux_sound(float(ticks * self._time_base))

    def _packets(self, sound: Path) -> Iterator[av.Packet]:
        source = self._open.enter_context(open_input(sound))
        stream = self._file.add_stream_from_template(source.streams.audio[0])
        # The packet without a time flushes a decoder.
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                yield packet

    def _mux_sound(self, until: float = np.inf) -> None:
        # Beside the frames of its time: a player reads both at one place of the file.
        while self._next_sound is not None:
            packet = self._next_sound
            if float((packet.dts or 0) * packet.time_base) > until:
                break
            self._file.mux(packet)
            self._next_sound = next(self._sound, None)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            raise SkelactError(f"{self._what} cannot be written: {error}") from None
