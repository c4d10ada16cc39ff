"""How fast the page of a long clip opens and jumps, in headless Chromium.

    python benchmarks/report_page.py

A video of ten minutes and skeletons of two people in all its frames are made, and a report of
them written. It is opened in turn with that of a clip of a second, from the disk, each time until
the video and the skeletons of its first frame are drawn; then the long one jumps to places all
over it, until the frame that was asked for is there.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
from rich.console import Console
from rich.table import Table

from skelact import write_report
from skelact.pipeline.inference.results import (
    ActionPrediction,
    ClipSkeletons,
    LabelScore,
    PersonPrediction,
)
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import ClipSource

_FPS, _HEIGHT, _WIDTH = 30, 360, 640
_READY = "return Boolean(window.skelact?.page?.player.video.readyState >= 2)"
_ARRIVED = "const p = skelact.page.player; return p.wanted === null && p.next === null"


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--jumps", default=40, show_default=True)
def main(minutes: float, rounds: int, jumps: int) -> None:
    """Print medians, and the slowest of each."""
    with tempfile.TemporaryDirectory() as folder:
        pages = {}
        for name, seconds in (("a clip of 1 s", 1.0), (f"a clip of {minutes:g} min", 60 * minutes)):
            target = Path(folder) / f"{seconds:.0f}"
            write_report(_prediction(Path(folder) / f"{seconds:.0f}.mp4", seconds), target)
            pages[name] = f"file://{target}/index.html"
        times: dict[str, list[float]] = {name: [] for name in pages}
        with _browser() as driver:
            for _ in range(rounds):
                for name, address in pages.items():
                    driver.get("about:blank")
                    begun = time.perf_counter()
                    driver.get(address)
                    _wait(driver, _READY)
                    times[name].append(time.perf_counter() - begun)
            times["a jump in the long one"] = list(_jump(driver, round(60 * minutes * _FPS), jumps))
    table = Table("what", "median, s", "slowest, s")
    for name, values in times.items():
        table.add_row(name, f"{np.median(values):.2f}", f"{max(values):.2f}")
    Console().print(table)


def _prediction(path: Path, seconds: float) -> ActionPrediction:
    """Write a video in which a bar goes to and fro, and return a prediction of two people."""
    count = round(seconds * _FPS)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=_FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for number in range(count):
            image = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
            x = number * 4 % (_WIDTH - 40)
            image[:, x : x + 40] = 200
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(stream.encode())
    rng = np.random.default_rng(0)
    middle = np.array([_WIDTH, _HEIGHT]) / 2
    keypoints = (middle + 60 * rng.standard_normal((2, count, 17, 2))).astype(np.float32)
    sequence = SkeletonSequence(
        keypoints=keypoints,
        keypoint_scores=np.full((2, count, 17), 0.9, np.float32),
        bboxes=np.concatenate([keypoints.min(axis=2), keypoints.max(axis=2)], axis=-1),
        track_ids=np.arange(2),
        frame_inds=np.arange(count),
        img_shape=(_HEIGHT, _WIDTH),
        fps=Fraction(_FPS),
        layout="coco_17",
        video_id=path.name,
        pts_seconds=np.arange(count) / _FPS,
    )
    best = (LabelScore("bowl", 0.9),)
    skeletons = ClipSkeletons(path.name, sequence, source=ClipSource(path, path.name))
    persons = tuple(PersonPrediction(number, best) for number in range(2))
    return ActionPrediction(
        path.name, "bowl", 0.9, best, persons, "none", skeletons=skeletons, family="sport"
    )


def _browser() -> Any:
    try:
        from selenium import webdriver
    except ModuleNotFoundError:
        raise click.ClickException("needs: pip install -r requirements-dev.txt") from None
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        raise click.ClickException("needs: apt-get install -y chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1100"):
        options.add_argument(argument)
    return webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )


def _jump(driver: Any, count: int, jumps: int) -> list[float]:
    """Return the seconds of each jump to frames all over a clip of so many."""
    seconds = []
    for frame in np.random.default_rng(1).integers(count, size=jumps).tolist():
        begun = time.perf_counter()
        driver.execute_script("skelact.page.player.goTo(arguments[0])", frame)
        _wait(driver, _ARRIVED)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _wait(driver: Any, script: str) -> None:
    while not driver.execute_script(script):
        time.sleep(0.005)


if __name__ == "__main__":
    main()
