"""What `skelact extract --ray` gives and costs, on clusters of this machine alone.

Two nodes against one, each with one CPU and one thread of the networks, on the first frames of the
same videos, in turn:

python benchmarks/ray_cluster.py nodes ../shared/videos/ucf101_train

What handing out a clip costs: clips with fixed skeletons in the place of decoder and networks,
through a node with one CPU and in a plain loop, in turn; the best of all rounds counts:

python benchmarks/ray_cluster.py scheduler

What a million clips take, from the core seconds and bytes of some:

python benchmarks/ray_cluster.py plan ../shared/videos/ucf101_train

Time of the first two counts from the first results on, without the start of the cluster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
from interleave import report
from workers import first_clips, seconds_a_clip, work_options

from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.decode.process import WORKERS
from skelact.pose_extract.effort import EFFORTS
from skelact.pose_extract.extract import ClipResult, ExtractConfig, Extractor, Progress
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import ClipSource, find_sources
from skelact.pose_extract.store.manifest import manifest_path

# Frames of the fixed skeletons: a clip of three seconds.
_STUB_FRAMES = 75


class FixedSkeletons(Extractor):
    """Gives each clip the same skeletons of two people, and reads no video."""

    def run(
        self,
        clips: Iterable[ClipSource],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[ClipResult]:
        """See ``Extractor.run``."""
        rng = np.random.default_rng(0)
        shape = (2, _STUB_FRAMES, 17)
        sequence = SkeletonSequence(
            keypoints=rng.uniform(0, 300, (*shape, 2)).astype(np.float32),
            keypoint_scores=np.full(shape, 0.9, np.float32),
            bboxes=np.full((*shape[:2], 4), [40, 40, 60, 60], np.float32),
            track_ids=np.arange(2),
            frame_inds=np.arange(_STUB_FRAMES),
            img_shape=(360, 480),
            fps=Fraction(25),
            layout="coco_17",
            video_id="fixed",
        )
        for clip in clips:
            yield ClipResult(clip, sequence, None, 0)


def on_nodes(count: int, clips: list[ClipSource], extractor: Extractor) -> float:
    """Return the seconds a clip on so many nodes of this machine with one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(count - 1):
            cluster.add_node(num_cpus=1)
        # The first clip of each node waits for its networks to be loaded.
        return seconds_a_clip(clips, extractor, count, ray=cluster.address)
    finally:
        cluster.shutdown()


@click.group()
def main() -> None:
    """Measure the extraction on a Ray cluster."""


@main.command()
@work_options
def nodes(folder: Path, rounds: int, frames: int, num_clips: int, effort: str) -> None:
    """Time one and two nodes on videos of FOLDER."""
    clips = first_clips(folder, num_clips, frames)
    extractor = Extractor(ExtractConfig(effort=effort, num_threads=1, device="cpu"))  # type: ignore[arg-type]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for i in range(rounds):
        for number in (1, 2) if i % 2 == 0 else (2, 1):
            seconds[number].append(on_nodes(number, clips, extractor))
    ways = {"one node": seconds[1], "two nodes": seconds[2]}
    report(f"{len(clips)} clips of {frames} frames, {effort}", ways, frames, "frames")


@main.command()
@click.option("--clips", "num_clips", default=10_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def scheduler(num_clips: int, rounds: int) -> None:
    """Time a clip through the cluster against a plain loop, without networks."""
    loop, cluster = [], []
    extractor = FixedSkeletons(ExtractConfig(device="cpu", num_threads=1))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        video.write_bytes(bytes(1000))
        clips = [ClipSource(video, f"{i:07d}.mp4") for i in range(num_clips)]
        for _ in range(rounds):
            loop.append(seconds_a_clip(clips, extractor, 1))
            cluster.append(on_nodes(1, clips, extractor))
    click.echo(
        f"{num_clips} clips, best of {rounds}: plain loop {1e3 * min(loop):.2f} ms a clip, through "
        f"Ray {1e3 * min(cluster):.2f} ms, {1e3 * (min(cluster) - min(loop)):.2f} ms more"
    )


def core_seconds() -> float:
    """Return the processor time of this process and of those that it started and that ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clips", "num_clips", default=10, show_default=True, help="Spread over the folder.")
@click.option("--effort", type=click.Choice(list(EFFORTS)), default="balanced", show_default=True)
def plan(folder: Path, num_clips: int, effort: str) -> None:
    """Say what a million clips like those of FOLDER take."""
    clips = find_sources([folder])
    clips = clips[:: max(1, len(clips) // num_clips)][:num_clips]
    extractor = Extractor(ExtractConfig(effort=effort, num_threads=1, device="cpu"))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as work:
        # Loading the networks is not in it.
        extract_clips(clips[:1], Path(work) / "first", extractor)
        WORKERS.close()
        start = core_seconds()
        summary = extract_clips(clips, Path(work) / "all", extractor)
        WORKERS.close()
        core = core_seconds() - start
        entries = sum(path.stat().st_size for path in Path(work).glob("all/**/*.npz"))
        lines = manifest_path(Path(work) / "all").stat().st_size
    frames = sum(entry.frames for entry in summary.entries)
    video = sum(entry.seconds for entry in summary.entries)
    # KB a clip, and GB a million clips.
    entry, line = entries / len(clips) / 1e3, lines / len(clips) / 1e3
    hours = 1e6 / len(clips) / 3600
    click.echo(
        f"{len(clips)} clips, {frames} frames, {video:.1f} s, {effort}: {core / frames:.3f} core "
        f"seconds a frame, {core / video:.1f} core hours an hour of video; {entry:.1f} KB a cache "
        f"entry, {line:.2f} KB a line of the manifest\n"
        f"a million such clips: {video * hours:.0f} hours of video, {core * hours:.0f} core hours, "
        f"{entry:.0f} GB of entries, {line:.1f} GB of manifest"
    )


if __name__ == "__main__":
    main()
