"""Take video and sound of a file as they are, in a process of its own: it may be damaged.

The process is this module; ``copy_streams`` is the other side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ...pose_extract.common.own_output import OVERLAY_COMMENT
from ...pose_extract.decode.formats import open_input
from ...pose_extract.sources import ClipSource

# What each browser plays in MP4: H.264 with 8 bits and 4:2:0, within level 5.1 (4096 x 2304).
_VIDEO_CODECS, _PIX_FMTS, _LONGEST_SIDE = ("h264",), ("yuv420p", "yuvj420p"), 4096
_SOUNDS = ("aac", "mp3")
# Any browser has it; encoders of AAC take no more channels without a layout.
_SOUND_CODEC, _SOUND_HZ, _SOUND_LAYOUT = "aac", 48_000, "stereo"
# How long a file may take: what opens it, and the slowest disk that is waited for.
_LEAST_SECONDS, _BYTES_PER_SECOND = 60.0, 2e6
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from skelact.pipeline.drawing.streams import main; main()"
)


def copy_streams(
    source: Path, target: Path, *, video: bool, start: float = 0.0, end: float | None = None
) -> bool:
    """Copy streams of a file to an MP4 file that browsers play; tell whether there is one now.

    Sound of a codec that browsers do not have is encoded as AAC. Times count from the first frame
    of the video, or from the start asked for.

    Args:
        source: The file.
        target: What is written; ending in .mp4.
        video: Copy the video stream, and the sound if there is any; else the sound alone. There is
            no target where the video is not such as every browser plays, or there is no sound.
        start, end: Seconds from the first frame between which sound is taken.
    """
    search_path = json.dumps([os.path.abspath(folder) for folder in sys.path])
    names = [os.fsencode(name).hex() for name in (source, target)]
    request = json.dumps({"video": video, "start": start, "end": end})
    limit = _LEAST_SECONDS + source.stat().st_size / _BYTES_PER_SECOND
    command = [sys.executable, "-c", _START, search_path, *names, request]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit, check=False)
        copied = done.returncode == 0 and json.loads(done.stdout or b"false") is True
    except (OSError, ValueError, subprocess.TimeoutExpired):
        copied = False
    if not copied:
        target.unlink(missing_ok=True)
    return copied


def copy_sound(
    source: ClipSource, pts_seconds: np.ndarray, fps: Fraction, folder: Path
) -> Path | None:
    """Copy the sound of a clip to a new file in ``folder``; None where there is none.

    Args:
        source: The clip.
        pts_seconds: (T,) float64, times of its frames in its file.
        fps: Its nominal frame rate.
        folder: Where the file goes.
    """
    sound = folder / "sound.mp4"
    start, end = float(pts_seconds[0]), float(pts_seconds[-1] + 1 / fps)
    has_sound = copy_streams(
        source.path, sound, video=False, start=start, end=end if source.is_cut else None
    )
    return sound if has_sound else None


def main() -> None:
    """Answer one request: names in hexadecimal, and the rest of the arguments as JSON."""
    source, target, request = sys.argv[1:]
    source, target = (os.fsdecode(bytes.fromhex(name)) for name in (source, target))
    print(json.dumps(_copy(source, target, **json.loads(request))))


def _copy(source: str, target: str, video: bool, start: float, end: float | None) -> bool:
    with open_input(source) as file:
        if not file.streams.video or not (video or file.streams.audio):
            return False
        if video and not _is_playable(file):
            return False
    with open_input(source) as file:
        times = [packet.pts for packet in _shown_packets(file)]
        time_base = file.streams.video[0].time_base
    if not times or None in times:
        return False
    origin = min(times) * time_base
    options = {"movflags": "+faststart"}
    with open_input(source) as file, av.open(target, "w", format="mp4", options=options) as out:
        out.metadata["comment"] = OVERLAY_COMMENT
        copies: dict[int, Any] = {}
        if video:
            copies[file.streams.video[0].index] = _VideoPackets(out, file.streams.video[0], times)
        if file.streams.audio:
            sound = file.streams.audio[0]
            kind = _Sound if sound.codec_context.name in _SOUNDS else _EncodedSound
            last = None if end is None else Fraction(end) + origin
            copies[sound.index] = kind(out, sound, origin + Fraction(start), last)
        for packet in file.demux([file.streams[index] for index in copies]):
            copies[packet.stream.index].take(packet)
        for one in copies.values():
            one.finish()
    return True


def _is_playable(file: Any) -> bool:
    context = file.streams.video[0].codec_context
    if (
        context.name not in _VIDEO_CODECS
        or context.pix_fmt not in _PIX_FMTS
        or max(context.width, context.height) > _LONGEST_SIDE
    ):
        return False
    # Browsers rotate as a display matrix says, and do not mirror.
    matrix = next(file.decode(video=0)).side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return True
    # ISO 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return bool(a * d - b * c > 0)


def _shown_packets(file: Any) -> Iterator[Any]:
    """Yield the packets of the video; the last one, which flushes a decoder, has no content."""
    for packet in file.demux(file.streams.video[0]):
        if packet.size and not packet.is_discard:
            yield packet


class _VideoPackets:
    """A video stream whose packets are taken as they are.

    Args:
        out: The target.
        stream: The stream of the source.
        times: (N,) presentation times of its packets, in the order in which they are decoded.
    """

    def __init__(self, out: Any, stream: Any, times: Sequence[int]) -> None:
        self._out, self._copy = out, out.add_stream_from_template(stream)
        self._first = min(times)
        # Matroska has no decoding times. The k-th packet is decoded when the k-th frame is shown,
        # less as much as makes it early enough for all.
        in_order = sorted(times)
        delay = max(shown - own for shown, own in zip(in_order, times))
        self._decoding_times = iter([shown - delay - self._first for shown in in_order])

    def take(self, packet: Any) -> None:
        if not packet.size or packet.is_discard:
            return
        packet.pts, packet.dts = packet.pts - self._first, next(self._decoding_times)
        packet.stream = self._copy
        self._out.mux(packet)

    def finish(self) -> None:
        """Nothing is kept back."""


class _Sound:
    """Sound whose packets are taken as they are, within times of the source."""

    def __init__(self, out: Any, stream: Any, start: Fraction, end: Fraction | None) -> None:
        self._out, self._start, self._end = out, start, end
        self._copy = out.add_stream_from_template(stream)

    def take(self, packet: Any) -> None:
        if packet.dts is None or packet.pts is None:
            return
        seconds = packet.pts * packet.time_base
        if seconds < self._start or (self._end is not None and seconds >= self._end):
            return
        shift = round(self._start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self._copy
        self._out.mux(packet)

    def finish(self) -> None:
        """Nothing is kept back."""


class _EncodedSound:
    """A stream of sound that is encoded anew, within times of the source."""

    def __init__(self, out: Any, stream: Any, start: Fraction, end: Fraction | None) -> None:
        self._out, self._start, self._end = out, start, end
        self._copy = out.add_stream(_SOUND_CODEC, rate=_SOUND_HZ, layout=_SOUND_LAYOUT)
        self._resampler = av.AudioResampler("fltp", _SOUND_LAYOUT, _SOUND_HZ)

    def take(self, packet: Any) -> None:
        for frame in packet.decode():
            if frame.pts is None:
                continue
            seconds = frame.pts * frame.time_base
            if seconds < self._start or (self._end is not None and seconds >= self._end):
                continue
            for part in self._resampler.resample(frame):
                self._encode(part)

    def finish(self) -> None:
        """Write what the resampler and the encoder hold."""
        for part in self._resampler.resample(None):
            self._encode(part)
        self._out.mux(self._copy.encode())

    def _encode(self, part: Any) -> None:
        part.pts -= round(self._start / part.time_base)
        self._out.mux(self._copy.encode(part))
