"""The pose stage on a GPU: crops and heatmaps in memory or on its device, and CUDA graphs.

    python benchmarks/gpu.py stage --hrnet
    python benchmarks/gpu.py whole ../shared/videos/gym --hrnet

On a processor, `--device cpu`, the first two ways run with PyTorch, which shows that the script
works and says nothing of a GPU. HRNet-W32 has random weights, which change no speed of the stage;
of whole clips they change how many crops a person takes, so that counts stand beside.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
from engines import random_hrnet
from interleave import interleave, report

from skelact.pose_extract.common.device import EngineName, Precision
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.pose.estimator import PoseEstimator
from skelact.pose_extract.sources import find_sources
from skelact.pose_extract.weights.table import DEFAULT_POSE

# The engine, and whether frames are held on the device.
_WAYS: dict[str, tuple[EngineName, bool]] = {
    "in memory": ("pytorch", False),
    "on the device": ("pytorch", True),
    "there, with CUDA graphs": ("auto", True),
}


@click.group()
def main() -> None:
    """Crops and heatmaps in memory, on the device of the network, and with CUDA graphs."""


def estimators(device: str, hrnet: bool, folder: Path) -> dict[str, dict[str, PoseEstimator]]:
    """Return by network and way what estimates poses, loaded."""
    networks: dict[str, tuple[str | Path, Path | None]] = {DEFAULT_POSE: (DEFAULT_POSE, None)}
    if hrnet:
        networks["HRNet-W32"] = random_hrnet(folder)
    found: dict[str, dict[str, PoseEstimator]] = {}
    for network, (name, checkpoint) in networks.items():
        found[network] = {}
        for way, (engine, holds) in _WAYS.items():
            if engine == "auto" and device == "cpu":
                continue
            # With "auto" the first thousand keypoints would be estimated in fp32, too.
            precision: Precision = "fp32" if device == "cpu" else "fp16"
            pose = PoseEstimator(
                name, checkpoint=checkpoint, device=device, engine=engine, precision=precision
            )
            pose._holds_frames = holds
            pose.load()
            found[network][way] = pose
    return found


@main.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--hrnet", is_flag=True, help="Also HRNet-W32.")
@click.option("--frames", default=16, show_default=True, help="Frames of 1280 x 720 held at once.")
@click.option("--people", default=128, show_default=True, help="People in them: one batch.")
@click.option("--rounds", default=10, show_default=True)
def stage(device: str, hrnet: bool, frames: int, people: int, rounds: int) -> None:
    """Time frames in memory to keypoints, on noise."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(frames, 720, 1280, 3), dtype=np.uint8)
    places = (
        rng.integers(frames, size=people),
        rng.uniform([200, 200], [1080, 520], (people, 2)).astype(np.float32),
        rng.uniform(100, 400, (people, 2)).astype(np.float32),
        rng.uniform(-180, 180, people).astype(np.float32),
    )
    with tempfile.TemporaryDirectory() as folder:
        for network, ways in estimators(device, hrnet, Path(folder)).items():
            work: dict[str, Callable[[], object]] = {
                way: partial(_poses, pose, images, places) for way, pose in ways.items()
            }
            for way in work.values():  # graphs are captured at the second call
                way()
                way()
            seconds = interleave(work, rounds)
            report(f"{network} on {device}, {people} at a time", seconds, people, "people")


def _poses(pose: PoseEstimator, images: np.ndarray, places: tuple[np.ndarray, ...]) -> None:
    crops = pose.crop_each(pose.hold(images), *places)
    pose.decode(pose.heatmaps(crops), crops)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--device", default="cuda", show_default=True)
@click.option("--hrnet", is_flag=True, help="Also HRNet-W32.")
@click.option("--clips", default=4, show_default=True)
@click.option("--effort", default="balanced", show_default=True)
def whole(folder: Path, device: str, hrnet: bool, clips: int, effort: str) -> None:
    """Extract the first clips of FOLDER, in turn, after one that warms up."""
    config = ExtractConfig(effort=effort, device=device, engine="auto")  # type: ignore[arg-type]
    sources = find_sources([folder])[:clips]
    with tempfile.TemporaryDirectory() as work:
        for network, ways in estimators(device, hrnet, Path(work)).items():
            extractors = {way: Extractor(config, pose=pose) for way, pose in ways.items()}
            spent = dict.fromkeys(ways, 0.0)
            for i, clip in enumerate([sources[0], *sources]):
                for way, extractor in extractors.items():
                    start, crops = time.perf_counter(), 0

                    def count(progress: object) -> None:
                        nonlocal crops
                        crops = progress.people_done  # type: ignore[attr-defined]

                    (result,) = extractor.run([clip], count)
                    if result.sequence is None:
                        raise click.ClickException(f"{clip.path}: {result.error}")
                    seconds = time.perf_counter() - start
                    if i:
                        spent[way] += seconds
                        frames = result.sequence.num_frames
                        click.echo(
                            f"{network}, {way}: {clip.path.name}, {frames} frames, {crops} crops "
                            f"since the start, {frames / seconds:.1f} frames/s"
                        )
            first = spent["in memory"]
            for way, seconds in spent.items():
                click.echo(f"{network} on {device}, {way}: {first / seconds:.2f} times the first")


if __name__ == "__main__":
    main()
