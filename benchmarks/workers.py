"""Frames per second of `skelact extract` with several workers against one, each with one thread.

The first frames of videos of a folder are extracted into a new folder, in turn by one process on
one core, by one on all, which decodes beside its networks, and by several. Time counts from the
first results on: how long processes take to start is told by benchmarks/startup.py.

python benchmarks/workers.py ../shared/videos/ucf101_train
python benchmarks/workers.py ../shared/videos/ucf101_train --device cuda --workers 4 --workers 16
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
from effort import first_frames
from interleave import report

from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.decode.process import WORKERS
from skelact.pose_extract.effort import EFFORTS
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource, find_sources


def work_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what is extracted."""
    options = (
        click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.option("--rounds", default=2, show_default=True),
        click.option("--frames", default=16, show_default=True, help="Frames of each video."),
        click.option("--clips", "num_clips", default=32, show_default=True, help="Videos."),
        click.option("--effort", type=click.Choice(list(EFFORTS)), default="balanced"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def first_clips(folder: Path, num_clips: int, frames: int) -> list[ClipSource]:
    """Return the first frames of so many videos that are spread over a folder."""
    found = find_sources([folder])
    chosen = found[:: max(1, len(found) // num_clips)][:num_clips]
    return [first_frames(clip, frames) for clip in chosen]


def seconds_a_clip(
    clips: list[ClipSource],
    extractor: Extractor,
    num_first: int,
    *,
    workers: int | None = None,
    ray: str | None = None,
) -> float:
    """Extract clips into a new folder; return the seconds a clip after the first ones."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        summary = extract_clips(
            clips,
            out,
            extractor,
            workers=workers,
            ray=ray,
            on_entry=lambda entry: times.append(time.perf_counter()),
        )
    if summary.failed:
        raise click.ClickException(f"{summary.failed[0].video}: {summary.failed[0].error}")
    return (times[-1] - times[num_first - 1]) / (len(times) - num_first)


@contextmanager
def on_one_core() -> Iterator[None]:
    """Let this process, and those that it starts, have one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def on_workers(count: int, clips: list[ClipSource], effort: str, device: str) -> float:
    """Return the seconds a clip of so many workers with a thread each."""
    WORKERS.close()  # those that decode keep the cores that they were started on
    config = ExtractConfig(effort=effort, num_threads=count, device=device)  # type: ignore[arg-type]
    return seconds_a_clip(clips, Extractor(config), count, workers=count)


@click.command()
@work_options
@click.option("--device", default="cpu", show_default=True)
@click.option("--workers", "counts", multiple=True, default=(2,), show_default=True)
def main(
    folder: Path,
    rounds: int,
    frames: int,
    num_clips: int,
    effort: str,
    device: str,
    counts: tuple[int, ...],
) -> None:
    """Time workers on videos of FOLDER."""
    clips = first_clips(folder, num_clips, frames)
    one_core = "one worker, one core"
    ways = {one_core: 1, "one worker": 1} | {f"{count} workers": count for count in counts}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds):
        for name in ways if i % 2 == 0 else reversed(ways):
            with on_one_core() if name == one_core else nullcontext():
                seconds[name].append(on_workers(ways[name], clips, effort, device))
    report(f"{len(clips)} clips of {frames} frames, {effort}, {device}", seconds, frames, "frames")


if __name__ == "__main__":
    main()
