"""How much of the time of whole clips, from file to skeletons on one core, the networks take.

python benchmarks/networks.py ../shared/videos/people/mmaction2_demo_skeleton.mp4

The rest is decoding, crops, the athlete's path and the motion of the camera. With `--hrnet` the
pose network is HRNet-W32 with random weights, as in `peers.py`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import click
from effort import extract, first_frames, one_core
from peers import loaded_pose
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.detect.onnx_runners import SessionRunner
from skelact.pose_extract.effort import EFFORTS
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.nets.engines import ONNXRuntimeEngine, OpenVINOEngine, PyTorchEngine
from skelact.pose_extract.sources import find_sources

# Where networks are run.
_CALLS = (
    (SessionRunner, "_run"),
    (ONNXRuntimeEngine, "__call__"),
    (OpenVINOEngine, "__call__"),
    (PyTorchEngine, "__call__"),
)


@contextmanager
def network_seconds() -> Iterator[list[float]]:
    """Give a list to which each run of a network adds the seconds that it took."""
    seconds: list[float] = []
    with ExitStack() as stack:
        for owner, name in _CALLS:
            timed = _timed(getattr(owner, name), seconds)
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield seconds


def _timed(run: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    @wraps(run)
    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        result = run(*args)
        seconds.append(time.perf_counter() - start)
        return result

    return timed


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
@click.option("--frames", default=32, show_default=True, help="Frames of each clip to use.")
@click.option("--hrnet", is_flag=True, help="HRNet-W32 in place of our pose network.")
def main(videos: tuple[Path, ...], rounds: int, frames: int, hrnet: bool) -> None:
    """Time VIDEOS, and the networks in it."""
    one_core()
    clips = [first_frames(clip, frames) for clip in find_sources(videos)]
    table = Table(title=f"{len(clips)} clips, {frames} frames of each", title_justify="left")
    for column in ("effort", "seconds", "in networks", "whole over networks", "range over rounds"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder:
        pose = loaded_pose(Path(folder), hrnet)
        for effort in EFFORTS:
            config = ExtractConfig(effort=effort, num_threads=1)
            work = partial(extract, Extractor(config, pose=pose), clips)
            work()
            found = [_measure(work) for _ in range(rounds)]
            ratios = [whole / networks for whole, networks in found]
            table.add_row(
                effort,
                *(f"{statistics.median(column):.1f}" for column in zip(*found)),
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
            )
    Console().print(table)


def _measure(work: Callable[[], None]) -> tuple[float, float]:
    with network_seconds() as seconds:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start, sum(seconds)


if __name__ == "__main__":
    main()
