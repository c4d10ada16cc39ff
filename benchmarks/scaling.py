"""Time and memory of `skelact extract` as clips get longer, and of a second run over a folder.

    python benchmarks/scaling.py length ../shared/videos/gym/example_fx_01_normal.mp4
    python benchmarks/scaling.py again

A run is a process of its own, with one worker. Memory is the greatest resident set of the process
and of the decoding process beside it, each by itself, as the system counts it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import click
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.decode.video import open_video

_RUN = "from skelact.pipeline.cli.main import main; main()"


def extract(source: Path, out: Path) -> tuple[float, float]:
    """Extract a file or folder; return the seconds and the MiB of the largest process."""
    command = [sys.executable, "-c", _RUN, "extract", str(source), "--out", str(out), "--quiet",
               "--effort", "fast", "--workers", "1"]  # fmt: skip
    # A process in between: the system tells the greatest of all children that have ended.
    measured = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    start = time.perf_counter()
    found = subprocess.run(
        [sys.executable, "-c", measured, *command], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, int(found.stdout.split()[-1]) / 1024


def repeat(frames: np.ndarray, fps: Fraction, times: int, path: Path) -> None:
    """Write frames (T, H, W, 3) uint8 RGB so many times, one after another."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.height, stream.width = (side // 2 * 2 for side in frames.shape[1:3])
        for _ in range(times):
            for image in frames:
                cut = np.ascontiguousarray(image[: stream.height, : stream.width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(cut, "rgb24")))
        container.mux(stream.encode())


@click.group()
def main() -> None:
    """Length of clips, and a second run."""


@main.command()
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--times", "factors", multiple=True, type=int, default=(1, 4, 16), show_default=True)
def length(video: Path, factors: tuple[int, ...]) -> None:
    """Extract VIDEO, and videos that show it so many times."""
    rows = Table(title=video.name, title_justify="left")
    for column in ("times as long", "frames", "seconds", "frames/s", "MiB"):
        rows.add_column(column)
    with open_video(video) as reader:
        info = reader.info
        frames = np.concatenate([batch.frames for batch in reader.batches(16)])
    with tempfile.TemporaryDirectory() as work:
        for factor in factors:
            path = Path(work) / f"{factor}.mp4"
            repeat(frames, info.fps, factor, path)
            seconds, memory = extract(path, Path(work) / f"out_{factor}")
            count = factor * len(frames)
            rows.add_row(*(f"{value:.0f}" for value in (factor, count)), f"{seconds:.1f}",
                         f"{count / seconds:.1f}", f"{memory:.0f}")  # fmt: skip
    Console().print(rows)


@main.command()
@click.option("--clips", default=1000, show_default=True)
def again(clips: int) -> None:
    """Extract clips of two frames each, and then the same folder again."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "clips"
        folder.mkdir()
        for i in range(clips):
            writer = cv2.VideoWriter(
                str(folder / f"{i:04d}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48)
            )
            for shade in (i % 200, 40 + i % 200):
                writer.write(np.full((48, 64, 3), shade, np.uint8))
            writer.release()
        for name in ("first", "second"):
            seconds, _ = extract(folder, Path(work) / "out")
            click.echo(f"{name} run over {clips} clips: {seconds:.1f} s")


if __name__ == "__main__":
    main()
