"""Clips that carry their frames' numbers: one of each codec, container and structure in use.

A frame shows its number in Gray code as 4 x 2 black or white blocks, seven bits and a parity bit,
row by row, the highest bit first, over a moving wave. Blocks are large enough for any codec; two of
them change from frame to frame, so that encoders still predict. A mix of two frames has a grey
block or a wrong parity, and a clip shown mirrored or rotated has other numbers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec import Codec

NUM_FRAMES = 60
# (rows, columns) of a frame in square pixels.
SIZE = (96, 128)
GOP = 24
_ROWS, _COLUMNS = 2, 4
# The blocks fill the upper part of the frame; more of it, and Xvid finds no B-frames.
_BLOCKS_SHARE = 1 / 3
# A smaller frame, as damaged headers announce them, has no blocks to read.
_LEAST_SIDE = 32
# Between these a block is neither black nor white.
_DARK, _BRIGHT = 90, 165

EVEN = tuple(Fraction(i, 25) for i in range(NUM_FRAMES))


@dataclass(frozen=True)
class Recipe:
    """How a clip is made.

    Attributes:
        name: File name.
        codec: FFmpeg's name of the encoder, or "libxvid", which only FFmpeg's program has.
        options: Options of the encoder.
        container: Format of the container where the suffix does not say it.
        mux_options: Options of the container.
        pix_fmt: Pixel format.
        size: (rows, columns) of the frame in square pixels.
        pixel_aspect: Width over height of a stored pixel.
        seconds: Presentation time of each frame.
        gop: Frames from a key frame to the next; encoders that have their own option take that.
        offset: Seconds added to all presentation times.
        display: (degrees counter-clockwise, mirrored left to right, mirrored top to bottom) by
            which a player shows the stored frames.
        sound_seconds: Length of a sound track beside it; 0 for none.
        change: What is done to the finished file.
        times_known: Whether the finished file still holds its times.
        is_damaged: Whether the finished file lacks frames.
        announced: Frames that it then still says to have; None where it does not say.
    """

    name: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    mux_options: dict[str, str] = field(default_factory=dict)
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = SIZE
    pixel_aspect: Fraction = Fraction(1)
    seconds: tuple[Fraction, ...] = EVEN
    gop: int = GOP
    offset: Fraction = Fraction(0)
    display: tuple[int, bool, bool] = (0, False, False)
    sound_seconds: int = 0
    change: Callable[[Path], None] | None = None
    times_known: bool = True
    is_damaged: bool = False
    announced: int | None = None


def drawn(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return the frame with this number, (rows, columns, 3) uint8."""
    height, width = size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    wave = 128 + 60 * np.sin((columns + number) / 15) + 40 * np.sin(rows / 9)
    frame = np.repeat(wave.astype(np.uint8)[..., None], 3, axis=2)
    bits = _bits(number)
    for i, bit in enumerate([*bits, sum(bits) % 2]):
        top, bottom, left, right = _block(i, size)
        frame[top:bottom, left:right] = 235 * bit + 10
    return frame


def number_of(frame: np.ndarray) -> int | None:
    """Return the number that a frame shows, or None where it cannot be read.

    Args:
        frame: (H, W, 3) uint8 of any size.
    """
    if min(frame.shape[:2]) < _LEAST_SIDE:
        return None
    bits = []
    for i in range(_ROWS * _COLUMNS):
        top, bottom, left, right = _block(i, frame.shape[:2])
        high, wide = (bottom - top) // 4, (right - left) // 4
        level = frame[top + high : bottom - high, left + wide : right - wide].mean()
        if _DARK < level < _BRIGHT:
            return None
        bits.append(int(level >= _BRIGHT))
    if sum(bits[:-1]) % 2 != bits[-1]:
        return None
    return _NUMBERS[tuple(bits[:-1])]


def _bits(number: int) -> tuple[int, ...]:
    gray = number ^ number >> 1
    return tuple(gray >> i & 1 for i in range(6, -1, -1))


_NUMBERS = {_bits(number): number for number in range(128)}


def _block(i: int, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    row, column = divmod(i, _COLUMNS)
    height, width = size[0] * _BLOCKS_SHARE / _ROWS, size[1] / _COLUMNS
    return (
        round(row * height),
        round((row + 1) * height),
        round(column * width),
        round((column + 1) * width),
    )


def missing(recipe: Recipe) -> str | None:
    """Return why the clip cannot be made on this machine, or None if it can."""
    if recipe.codec == "libxvid":
        if shutil.which("ffmpeg") is None:
            return "needs the ffmpeg program for Xvid: apt-get install ffmpeg"
        return None
    try:
        Codec(recipe.codec, "w")
    except av.codec.codec.UnknownCodecError:
        return f"needs PyAV with the encoder {recipe.codec}"
    return None


def make(recipe: Recipe, folder: Path) -> Path:
    """Write the clip into a folder and return its path; a clip that is there already is kept."""
    path = folder / recipe.name
    if path.exists():
        return path
    # Finished under another name first: two test processes may share the folder.
    draft = folder / f"{os.getpid()}-{recipe.name}"
    if recipe.codec == "libxvid":
        _encode_with_the_program(recipe, draft)
    else:
        _encode(recipe, draft)
    if recipe.change is not None:
        recipe.change(draft)
    draft.replace(path)
    return path


def _stored(recipe: Recipe, number: int) -> np.ndarray:
    """Return a frame as it is stored: what the display undoes is done to it first."""
    height, width = recipe.size
    degrees, left_right, top_bottom = recipe.display
    shape = (width, height) if degrees % 180 else (height, width)
    frame = drawn(number, shape)
    if left_right:
        frame = frame[:, ::-1]
    if top_bottom:
        frame = frame[::-1]
    return np.ascontiguousarray(np.rot90(frame, -degrees // 90))


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Give this thread back the priority that it has.

    SVT-AV1 makes a thread of root's a real-time one, beside which nothing else runs on its core.
    """
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@_usual_priority()
def _encode(recipe: Recipe, path: Path) -> None:
    height, width = recipe.size
    base = Fraction(1, 100) if recipe.name.endswith(".gif") else Fraction(1, 1000)
    if len(set(np.diff([float(t) for t in recipe.seconds]).round(6))) == 1:
        base = recipe.seconds[1] - recipe.seconds[0]
    with av.open(str(path), "w", format=recipe.container, options=dict(recipe.mux_options)) as file:
        stream = file.add_stream(recipe.codec, rate=25, options=_quiet(recipe))
        stream.width, stream.height = round(width / recipe.pixel_aspect), height
        stream.pix_fmt = recipe.pix_fmt
        if recipe.codec != "libsvtav1":
            stream.bit_rate = 1_000_000
        stream.gop_size = recipe.gop
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = base
        if recipe.pixel_aspect != 1:
            stream.codec_context.sample_aspect_ratio = recipe.pixel_aspect
        degrees, left_right, top_bottom = recipe.display
        if recipe.display != (0, False, False):
            stream.set_display_rotation(degrees, hflip=left_right, vflip=top_bottom)
        if recipe.sound_seconds:
            sound = file.add_stream("mp2" if recipe.name.endswith(".avi") else "aac", rate=44100)
            # Written first, as recorders do whose camera starts after their microphone.
            file.mux([*_silence(sound, recipe.sound_seconds), *sound.encode()])
        for number, seconds in enumerate(recipe.seconds):
            frame = av.VideoFrame.from_ndarray(_stored(recipe, number), "rgb24")
            frame = frame.reformat(stream.width, height, recipe.pix_fmt)
            frame.pts, frame.time_base = round((seconds + recipe.offset) / base), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _silence(stream: av.AudioStream, seconds: int) -> list[av.Packet]:
    # MP2 has 1152 samples in a packet, AAC 1024.
    kind, size = ("s16", 1152) if stream.codec_context.name == "mp2" else ("fltp", 1024)
    packets = []
    for start in range(0, 44100 * seconds, size):
        silence = np.zeros((1, size), np.int16 if kind == "s16" else np.float32)
        frame = av.AudioFrame.from_ndarray(silence, kind, "mono")
        frame.rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        packets += stream.encode(frame)
    return packets


def _quiet(recipe: Recipe) -> dict[str, str]:
    options = dict(recipe.options)
    if recipe.codec == "libx264":
        # Key frames where GOP says, not where the blocks look like a cut.
        x264 = options.get("x264-params", "")
        options["x264-params"] = f"scenecut=0:b-adapt=0:{x264}".rstrip(":")
        options.setdefault("preset", "veryfast")
    if recipe.codec == "libx265":
        x265 = options.get("x265-params", "")
        options["x265-params"] = f"log-level=none:pools=1:frame-threads=1:{x265}".rstrip(":")
        options.setdefault("preset", "veryfast")
    if recipe.codec == "libsvtav1":
        # It writes its settings to the terminal.
        os.environ.setdefault("SVT_LOG", "0")
        options.setdefault("preset", "8")
        options.setdefault("crf", "20")
    return options


def _encode_with_the_program(recipe: Recipe, path: Path) -> None:
    height, width = recipe.size
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", "25", "-i", "-", "-c:v", recipe.codec]
    command += ["-b:v", "1M", "-g", str(recipe.gop), "-threads", "1"]
    for name, value in recipe.options.items():
        command += [f"-{name}", value]
    frames = b"".join(_stored(recipe, i).tobytes() for i in range(len(recipe.seconds)))
    subprocess.run([*command, str(path)], input=frames, check=True, timeout=60)


def keep(share: float) -> Callable[[Path], None]:
    """Cut a file short: keep this share of its bytes."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return change


def joined_midway(path: Path) -> None:
    """Cut the packets off that come before the middle of the first group of pictures (TS)."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        position = packets[GOP // 2].pos
    # A TS packet has 188 bytes.
    path.write_bytes(path.read_bytes()[position // 188 * 188 :])


def trimmed_without_encoding(path: Path) -> None:
    """Cut the first 17 frames off as ``ffmpeg -ss -c copy`` does: with an edit list."""
    _copy(path, -Fraction(17, 25))


def _copy(path: Path, offset: Fraction) -> None:
    other = path.with_name(f"copy-{path.name}")
    with av.open(str(path)) as source, av.open(str(other), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                moved = round(offset / packet.time_base)
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
                packet.stream = copied
                target.mux(packet)
    other.replace(path)


def same_times(path: Path) -> None:
    """Write a step of 0 between all frames into an MP4 file's time table."""
    data = bytearray(path.read_bytes())
    # Size, "stts", version, number of entries, then (count, step), each of 4 bytes.
    at = data.index(b"stts")
    entries = int.from_bytes(data[at + 8 : at + 12], "big")
    for i in range(entries):
        data[at + 16 + 8 * i : at + 20 + 8 * i] = bytes(4)
    path.write_bytes(data)


def grown_midway(path: Path) -> None:
    """Join a clip of another frame size to a TS file."""
    other = path.with_name(f"more-{path.name}")
    # The muxer moved the first clip by a frame: its first decoding time would have been negative.
    offset = Fraction(NUM_FRAMES + 1, 25)
    _encode(Recipe(other.name, "libx264", size=(72, 96), offset=offset), other)
    path.write_bytes(path.read_bytes() + other.read_bytes())
    other.unlink()


def sequential(path: Path) -> tuple[list[int | None], list[float | None]]:
    """Return what PyAV's sequential decode gives: numbers shown, and seconds from the first frame.

    This is the truth that readers are held to. A damaged packet costs what the decoder makes of it.
    """
    numbers: list[int | None] = []
    times: list[float | None] = []
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        # With more threads a decoder throws good frames beside a damaged packet away.
        stream.codec_context.thread_count = 1
        packets = file.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                frames = packet.decode()
            except av.error.EOFError:
                break
            except av.FFmpegError:
                continue
            for frame in frames:
                numbers.append(number_of(shown(frame)))
                times.append(None if frame.pts is None else float(frame.pts * frame.time_base))
    start = next((time for time in times if time is not None), 0.0)
    return numbers, [None if time is None else time - start for time in times]


def shown(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame as its display matrix has it, (H, W, 3) uint8.

    The matrix (9 int32, FFmpeg's libavutil/display.h) maps the columns and rows of the stored frame
    to those of the shown one.
    """
    rgb = frame.to_ndarray(format="rgb24")
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
            if abs(b) > abs(a):
                rgb = rgb.transpose(1, 0, 2)
                a, d = c, b
            rgb = rgb[:: int(np.sign(d)), :: int(np.sign(a))]
    return np.ascontiguousarray(rgb)
