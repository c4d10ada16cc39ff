"""Frames per second of the decoders, against OpenCV's VideoCapture, on one file.

python benchmarks/decode.py ../shared/videos/people/mmpose_demo.mp4
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
from interleave import interleave, report

from skelact.pose_extract.decode.video import open_video


def read_with_opencv(path: Path) -> int:
    """Read all frames as RGB, as most scripts do."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while True:
        good, frame = capture.read()
        if not good:
            return count
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        count += 1


def read_with_ours(path: Path, decoder: str) -> int:
    """Read all frames through the reader that extraction uses."""
    with open_video(path, decoder) as reader:  # type: ignore[arg-type]
        return sum(len(batch.frames) for batch in reader.batches(16))


@click.command()
@click.argument("video", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=5, show_default=True)
def main(video: Path, rounds: int) -> None:
    """Time the decoders on VIDEO."""
    frames = read_with_ours(video, "auto")
    ways = {
        "OpenCV": lambda: read_with_opencv(video),
        "decord": lambda: read_with_ours(video, "decord"),
        "PyAV": lambda: read_with_ours(video, "pyav"),
    }
    seconds = interleave(ways, rounds)
    report(f"{video.name}: {frames} frames", seconds, frames, "frames")


if __name__ == "__main__":
    main()
