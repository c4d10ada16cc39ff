"""What each effort costs on whole clips, against `fast`, in one interleaved run.

python benchmarks/effort.py ../shared/videos/people/mmaction2_demo_skeleton.mp4
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import cv2
import torch
from interleave import interleave, report

from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.effort import EFFORTS
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource, find_sources


def extract(extractor: Extractor, clips: list[ClipSource]) -> None:
    """Extract the clips and keep nothing."""
    for result in extractor.run(clips):
        if result.error is not None:
            raise click.ClickException(f"{result.clip.clip_id}: {result.error}")


def first_frames(clip: ClipSource, frames: int) -> ClipSource:
    """Return the first frames of a clip, or all that it has."""
    with open_video(clip.path) as reader:
        stop = min(frames, reader.info.num_frames)
    return ClipSource(clip.path, clip.clip_id, start_frame=0, end_frame=stop)


def one_core() -> None:
    """Let this process, and those that it starts, such as that which decodes, have one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=0, help="Threads of the networks [the free cores].")
@click.option("--frames", default=64, show_default=True, help="Frames of each clip to use.")
def main(videos: tuple[Path, ...], rounds: int, threads: int, frames: int) -> None:
    """Time the efforts on VIDEOS."""
    clips = [first_frames(clip, frames) for clip in find_sources(videos)]
    ways = {}
    for effort in EFFORTS:
        extractor = Extractor(ExtractConfig(effort=effort, num_threads=threads))
        ways[effort] = lambda extractor=extractor: extract(extractor, clips)
    seconds = interleave(ways, rounds)
    total = sum(len(r.sequence.frame_inds) for r in extractor.run(clips) if r.sequence is not None)
    report(f"{len(clips)} clips, {total} frames", seconds, total, "frames")


if __name__ == "__main__":
    main()
