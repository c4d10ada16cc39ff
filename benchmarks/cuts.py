"""Seconds that a cut of a long video costs to read, as `skelact extract` reads it.

A video is made, and cuts of it are read in order: twice each, as the two passes over a clip do, and
with the hash of its file. What that takes is set against decoding the frames of the cut once, by a
decoder that has come to its start already.

python benchmarks/cuts.py
python benchmarks/cuts.py --minutes 10 --cuts 33
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import av
import click
import numpy as np
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.common.files import sha256_of
from skelact.pose_extract.decode.formats import open_input
from skelact.pose_extract.decode.packets import read_packets
from skelact.pose_extract.decode.pyav_adapter import read_frames, read_geometry
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.store.source_file import source_state, video_sha256

_FPS, _WIDTH, _HEIGHT = 25, 320, 240


def write_video(path: Path, minutes: float, gop: int) -> int:
    """Write a H.264 video in which all moves; return its frames."""
    rng = np.random.default_rng(0)
    # A crowd: blocks of 4 pixels, which pass behind one another at two speeds.
    blocks = rng.integers(0, 255, (2, _HEIGHT // 4, _WIDTH // 4, 3)).astype(np.uint8)
    far, near = (np.kron(block, np.ones((4, 4, 1), np.uint8)) for block in blocks)
    count = round(minutes * 60 * _FPS)
    with av.open(str(path), "w") as container:
        options = {"g": str(gop), "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for index in range(count):
            image = np.roll(far, index, 1)
            image[80:200] = np.roll(near[80:200], -2 * index, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return count


def make_cuts(path: Path, num_frames: int, count: int, together: int) -> list[ClipSource]:
    """Return cuts of 2 to 3 s; of every ``together`` of them, each begins half a second on."""
    lengths = np.random.default_rng(1).integers(2 * _FPS, 3 * _FPS + 1, count)
    found = []
    for first in range(0, count, together):
        # Not on a key frame but by chance.
        start = round((first + 0.37) / count * num_frames)
        for length in lengths[first : first + together].tolist():
            stop = min(start + length, num_frames)
            name = f"{path.name}@f{start}-{stop}"
            found.append(ClipSource(path, name, start_frame=start, end_frame=stop))
            start = stop + _FPS // 2
    return found


def read_cut(clip: ClipSource) -> None:
    """Read a cut as extraction does."""
    source_state(clip.path)
    for _ in range(2):
        with open_video(clip.path) as reader:
            for _ in reader.batches(16, *clip.frame_range(reader.info)):
                pass
    video_sha256(clip.path)
    source_state(clip.path)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def file_seconds(path: Path) -> dict[str, float]:
    """Return the seconds of what is done once for a file."""
    table = read_packets(path)
    return {
        "open the file": _timed(lambda: open_input(path).close()),
        "index its packets": _timed(lambda: read_packets(path)),
        "decode its first frame": _timed(lambda: read_geometry(table)),
        "hash it": _timed(lambda: sha256_of(path)),
    }


def cut_seconds(path: Path, clips: list[ClipSource]) -> dict[str, float]:
    """Return the mean seconds of reading a cut, in all and in parts.

    Each cut is measured in all ways before the next one: what else the machine does disturbs them
    alike.
    """
    table = read_packets(path)
    geometry = read_geometry(table)
    seconds: dict[str, list[float]] = {"frames": [], "up to": [], "extract": []}
    for clip in clips:
        frames = read_frames(table, geometry, clip.start_frame or 0, clip.end_frame, 0)
        seconds["up to"].append(_timed(lambda frames=frames: next(frames)))
        seconds["frames"].append(_timed(lambda frames=frames: deque(frames, maxlen=0)))
        seconds["extract"].append(_timed(lambda clip=clip: read_cut(clip)))
    return {name: statistics.mean(values) for name, values in seconds.items()}


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="Length of the video.")
@click.option("--cuts", default=200, show_default=True)
@click.option("--together", default=1, show_default=True, help="Cuts that follow one another.")
@click.option("--gop", default=250, show_default=True, help="Frames from key frame to key frame.")
@click.option(
    "--video", type=click.Path(path_type=Path), help="Keep it here, or take it from here."
)
def main(minutes: float, cuts: int, together: int, gop: int, video: Path | None) -> None:
    """Time the reading of cuts of a long video."""
    with tempfile.TemporaryDirectory() as folder:
        path = video or Path(folder) / "long.mp4"
        if not path.exists():
            write_video(path, minutes, gop)
        with av.open(str(path)) as container:
            num_frames = container.streams.video[0].frames
        clips = make_cuts(path, num_frames, cuts, together)
        with open_video(path):
            pass  # the decoding process runs, and has the index
        parts = cut_seconds(path, clips)
        of_file = file_seconds(path)
    table = Table(
        title=f"{cuts} cuts of {num_frames / _FPS / 60:.0f} min, {together} together, "
        f"a key frame every {gop} frames",
        title_justify="left",
    )
    for column in ("what", "ms", "times the frames"):
        table.add_column(column)

    def add(name: str, seconds: float) -> None:
        table.add_row(name, f"{seconds * 1e3:.1f}", f"{seconds / parts['frames']:.2f}")

    add("decode the frames of a cut once", parts["frames"])
    add("seek, and decode up to the cut", parts["up to"])
    add("read the cut as extract does", parts["extract"])
    for name, seconds in of_file.items():
        add(f"{name}, once a file", seconds)
    Console().print(table)


if __name__ == "__main__":
    main()
