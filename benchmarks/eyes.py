"""Our own pose nets and finder beside their teachers: accuracy at any angle, and cost.

On annotated COCO people, on whom nothing was trained. Poses are one crop per person around the
turned outline, as stock top-down nets see it; a finder's box counts at IoU .5. Each detector looks
once, and as `--effort balanced` has it look, at four turned copies.

    python benchmarks/eyes.py ../shared/data/pose_gt/coco
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from interleave import interleave, report
from rich.console import Console
from rich.table import Table
from rotation import ANGLES, Person, load_coco, turned

from skelact.pose_extract.common.geometry import pairwise_iou
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.base import Detections, PersonDetector
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.extract import ExtractConfig, candidate_detector
from skelact.pose_extract.pose.estimator import PoseEstimator


class Balanced:
    """A detector as ``--effort balanced`` has it look; from a score on, as others are measured."""

    def __init__(self, name: str, score_thr: float, threads: int) -> None:
        config = ExtractConfig(detector=name, device="cpu", num_threads=threads)
        self._detector, self._score_thr = candidate_detector(config), score_thr

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """See ``PersonDetector``."""
        return [
            Detections(found.bboxes[sure], found.scores[sure])
            for found in self._detector.detect(batch, clip_id)
            for sure in [found.scores >= self._score_thr]
        ]


def pose_figures(people: list[Person], pose: PoseEstimator) -> list[float]:
    """Return the mean OKS at each angle."""
    figures = []
    for degrees in ANGLES:
        values = []
        for person in people:
            picture, box, truth = turned(person, degrees)
            points = pose.predict(pose.crop(picture, box[None]))[0][0]
            values.append(person.score(np.linalg.norm(points[person.joints] - truth, axis=1)))
        figures.append(float(np.mean(values)))
    return figures


def finder_figures(
    people: list[Person], detector: PersonDetector | Balanced
) -> tuple[list[int], list[int]]:
    """Return how many people are found, and how many boxes are nobody's, at each angle."""
    pictures: dict[int, list[Person]] = {}
    for person in people:
        pictures.setdefault(id(person.picture), []).append(person)
    found, false = [], []
    for degrees in ANGLES:
        hits = wrong = 0
        for group in pictures.values():
            views = [turned(person, degrees) for person in group]
            truth = np.stack([box for _, box, _ in views])
            batch = FrameBatch(views[0][0][None], np.zeros(1, np.int64), np.zeros(1))
            boxes = detector.detect(batch, "picture")[0].bboxes
            overlap = pairwise_iou(truth, boxes)
            hits += int((overlap.max(axis=1, initial=0.0) >= 0.5).sum())
            wrong += int((overlap.max(axis=0, initial=0.0) < 0.5).sum())
        found.append(hits)
        false.append(wrong)
    return found, false


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--pose",
    "poses",
    multiple=True,
    default=("litehrnet18-coco-256x192", "litehrnet18-coco-128x96", "skelact-pose-256x192"),
    show_default=True,
    help="Pose nets; the first is the peer. NAME+ALIGNER turns people upright first.",
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    default=("rtmdet-nano", "skelact-detector-320"),
    show_default=True,
    help="Detectors; the first is the peer.",
)
@click.option("--score-thr", default=0.3, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def main(
    folder: Path,
    poses: tuple[str, ...],
    detectors: tuple[str, ...],
    score_thr: float,
    threads: int,
    rounds: int,
    json_path: Path | None,
) -> None:
    """Measure on the people of FOLDER, which holds COCO's test_coco.json and pictures."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    people = load_coco(folder)
    results: dict[str, dict[str, object]] = {}
    table = Table(title=f"{len(people)} COCO people", title_justify="left")
    for column in ("network", "upright", "mean over 12 angles", "least", "nobody's boxes"):
        table.add_column(column)
    nets = {}
    for name in poses:
        net, _, aligner = name.partition("+")
        nets[name] = PoseEstimator(
            net, device="cpu", num_threads=threads, aligner=aligner or "auto"
        )
    for name, pose in nets.items():
        figures = pose_figures(people, pose)
        results[name] = {"oks": figures}
        cells = (f"{v:.3f}" for v in (figures[0], np.mean(figures), min(figures)))
        table.add_row(f"{name}, OKS", *cells, "")
    finders: dict[str, PersonDetector | Balanced] = {}
    for name in detectors:
        finders[name] = build_detector(name, score_thr=score_thr, device="cpu", num_threads=threads)
        finders[f"{name} balanced"] = Balanced(name, score_thr, threads)
    for name, finder in finders.items():
        found, false = finder_figures(people, finder)
        results[name] = {"found": found, "false": false}
        cells = (f"{v:.1f}" for v in (found[0], np.mean(found), min(found)))
        table.add_row(f"{name}, found", *cells, f"{false[0]} upright, {np.mean(false):.1f} mean")
    Console(width=120).print(table)
    crop = people[0].picture
    box = np.array([[0, 0, *crop.shape[1::-1]]] * 16, np.float32)
    if nets:
        ways = {
            name: lambda net=net: net.predict(net.crop(crop, box)) for name, net in nets.items()
        }
        report("Poses", interleave(ways, rounds), 16, "people")
    if finders:
        batch = FrameBatch(np.stack([crop] * 8), np.arange(8), np.arange(8.0))
        ways = {name: lambda net=net: net.detect(batch, "a") for name, net in finders.items()}
        report("Detection", interleave(ways, rounds), 8, "frames")
    if json_path:
        json_path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
