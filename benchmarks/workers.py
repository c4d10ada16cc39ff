"""Frames per second of `skelact extract` with two workers against one, each with one thread.

The same cuts of the gymnastics clips are extracted into a new folder, in turn by one process and by
two. Time counts from the first frame on: how long processes take to start is told by
benchmarks/startup.py.

python benchmarks/workers.py ../shared
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
from interleave import report

from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.effort import EFFORTS
from skelact.pose_extract.extract import ExtractConfig, Extractor, Progress
from skelact.pose_extract.sources import ClipSource, find_sources


def cuts(folder: Path, count: int, frames: int) -> list[ClipSource]:
    """Return the first ``count`` cuts of so many frames of each video of a folder."""
    found = []
    for clip in find_sources([folder]):
        with open_video(clip.path) as reader:
            stop = reader.info.num_frames
        starts = range(0, min(stop - frames + 1, count * frames), frames)
        found += [
            ClipSource(
                clip.path, f"{clip.clip_id}@{start}", start_frame=start, end_frame=start + frames
            )
            for start in starts
        ]
    return found


def seconds_a_frame(clips: list[ClipSource], num_frames: int, workers: int, effort: str) -> float:
    """Extract clips, ``num_frames`` in all, into a new folder; return the seconds a frame."""
    first: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        if not first:
            # By then each worker has done about as much.
            first.append((time.perf_counter(), workers * progress.frames_done))

    # The threads are shared among the workers.
    config = ExtractConfig(effort=effort, num_threads=workers, device="cpu")  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as out:
        summary = extract_clips(clips, out, Extractor(config), workers=workers, on_progress=note)
    if summary.failed:
        raise click.ClickException(f"{summary.failed[0].video}: {summary.failed[0].error}")
    start, done_before = first[0]
    return (time.perf_counter() - start) / (num_frames - done_before)


@click.command()
@click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
@click.option("--frames", default=32, show_default=True, help="Frames of each cut.")
@click.option("--count", default=2, show_default=True, help="Cuts of each clip.")
@click.option("--effort", type=click.Choice(list(EFFORTS)), default="balanced", show_default=True)
def main(shared: Path, rounds: int, frames: int, count: int, effort: str) -> None:
    """Time workers on the clips of SHARED/videos/gym."""
    clips = cuts(shared / "videos" / "gym", count, frames)
    total = len(clips) * frames
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for i in range(rounds):
        for workers in (1, 2) if i % 2 == 0 else (2, 1):
            seconds[workers].append(seconds_a_frame(clips, total, workers, effort))
    ways = {"one worker": seconds[1], "two workers": seconds[2]}
    report(f"{len(clips)} cuts, {total} frames, {effort}", ways, 1, "frames")


if __name__ == "__main__":
    main()
