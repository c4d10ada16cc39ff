"""Our own detector and pose model beside what they learned from: accuracy at any angle, and cost.

On annotated COCO people, on whom nothing was trained. Poses are of one crop per person around the
rotated outline, as stock top-down models see it; a box is a hit from an IoU of .5. Each detector
runs once, and on four rotated views as in `--effort balanced`.

    python benchmarks/detector_pose.py ../shared/data/pose_gt/coco
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
from rotation import ANGLES, Person, load_coco, rotated

from skelact.pose_extract.common.geometry import pairwise_iou
from skelact.pose_extract.decode.frames import FrameBatch
from skelact.pose_extract.detect.base import Detections, PersonDetector
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.extract import ExtractConfig, candidate_detector
from skelact.pose_extract.pose.estimator import PoseEstimator


class Balanced:
    """A detector on the rotated views of ``--effort balanced``, with the others' threshold."""

    def __init__(self, name: str, score_thr: float, threads: int) -> None:
        config = ExtractConfig(detector=name, device="cpu", num_threads=threads)
        self._detector, self._score_thr = candidate_detector(config), score_thr

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """See ``PersonDetector``."""
        return [
            Detections(found.bboxes[keep], found.scores[keep])
            for found in self._detector.detect(batch, clip_id)
            for keep in [found.scores >= self._score_thr]
        ]


def pose_figures(people: list[Person], pose: PoseEstimator) -> list[float]:
    """Return the mean OKS at each angle."""
    figures = []
    for degrees in ANGLES:
        values = []
        for person in people:
            image, box, truth = rotated(person, degrees)
            points = pose.predict(pose.crop(image, box[None]))[0][0]
            values.append(person.score(np.linalg.norm(points[person.joints] - truth, axis=1)))
        figures.append(float(np.mean(values)))
    return figures


def detector_figures(
    people: list[Person], detector: PersonDetector | Balanced
) -> tuple[list[int], list[int]]:
    """Return the numbers of people found and of false positives at each angle."""
    images: dict[int, list[Person]] = {}
    for person in people:
        images.setdefault(id(person.image), []).append(person)
    found, false = [], []
    for degrees in ANGLES:
        hits = false_positives = 0
        for group in images.values():
            views = [rotated(person, degrees) for person in group]
            truth = np.stack([box for _, box, _ in views])
            batch = FrameBatch(views[0][0][None], np.zeros(1, np.int64), np.zeros(1))
            boxes = detector.detect(batch, "image")[0].bboxes
            overlap = pairwise_iou(truth, boxes)
            hits += int((overlap.max(axis=1, initial=0.0) >= 0.5).sum())
            false_positives += int((overlap.max(axis=0, initial=0.0) < 0.5).sum())
        found.append(hits)
        false.append(false_positives)
    return found, false


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--pose",
    "poses",
    multiple=True,
    default=("litehrnet18-coco-256x192", "skelact-litehrnet18-256x192"),
    show_default=True,
    help="Pose models; the first is the peer.",
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
    """Measure on the people of FOLDER, which holds COCO's test_coco.json and images."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    people = load_coco(folder)
    results: dict[str, dict[str, object]] = {}
    table = Table(title=f"{len(people)} COCO people", title_justify="left")
    for column in ("network", "upright", "mean over 12 angles", "least", "false positives"):
        table.add_column(column)
    models = {name: PoseEstimator(name, device="cpu", num_threads=threads) for name in poses}
    for name, pose in models.items():
        figures = pose_figures(people, pose)
        results[name] = {"oks": figures}
        cells = (f"{v:.3f}" for v in (figures[0], np.mean(figures), min(figures)))
        table.add_row(f"{name}, OKS", *cells, "")
    detectors_by_name: dict[str, PersonDetector | Balanced] = {}
    for name in detectors:
        detectors_by_name[name] = build_detector(
            name, score_thr=score_thr, device="cpu", num_threads=threads
        )
        detectors_by_name[f"{name} balanced"] = Balanced(name, score_thr, threads)
    for name, detector in detectors_by_name.items():
        found, false = detector_figures(people, detector)
        results[name] = {"found": found, "false": false}
        cells = (f"{v:.1f}" for v in (found[0], np.mean(found), min(found)))
        table.add_row(f"{name}, found", *cells, f"{false[0]} upright, {np.mean(false):.1f} mean")
    Console(width=120).print(table)
    crop = people[0].image
    box = np.array([[0, 0, *crop.shape[1::-1]]] * 16, np.float32)
    if models:
        runs = {
            name: lambda model=model: model.predict(model.crop(crop, box))
            for name, model in models.items()
        }
        report("Poses", interleave(runs, rounds), 16, "people")
    if detectors_by_name:
        batch = FrameBatch(np.stack([crop] * 8), np.arange(8), np.arange(8.0))
        runs = {
            name: lambda detector=detector: detector.detect(batch, "a")
            for name, detector in detectors_by_name.items()
        }
        report("Detection", interleave(runs, rounds), 8, "frames")
    if json_path:
        json_path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
