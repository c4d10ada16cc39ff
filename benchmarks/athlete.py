"""How well the athlete is held, and what it costs, at each effort.

Scores the box of the first skeleton against athletes' boxes drawn by hand, with the scorer that
comes with them, beside the stock way: the detector's best-scored box, frame by frame. The efforts
take turns on each clip, so that a noisy machine disturbs them alike.

    python benchmarks/athlete.py ../shared/videos/gym
    python benchmarks/athlete.py ../shared/videos/gym --boxes benchmarks/beam_boxes.json \\
        --clips ../shared/videos/ucf101_train
"""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.detect.build import build_detector
from skelact.pose_extract.effort import EFFORTS, Effort
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import ClipSource, find_sources

STOCK = "stock, per frame"
Boxes = dict[str, list[list[float]]]


def boxes_of(sequence: SkeletonSequence, of_keypoints: bool) -> Boxes:
    """Return the box of the first skeleton in each frame in which there is one."""
    result: Boxes = {}
    present = sequence.is_present()[:1].any(axis=0)
    for step in np.flatnonzero(present):
        if of_keypoints:
            points = sequence.keypoints[0, step]
            box = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
        else:
            box = sequence.bboxes[0, step].tolist()
        result[str(int(sequence.frame_inds[step]))] = [box]
    return result


def stock_boxes(clip: ClipSource, score_thr: float) -> Boxes:
    """Return RTMDet-nano's best box in each frame."""
    detector = build_detector("rtmdet-nano", score_thr=score_thr)
    detector.load()
    result: Boxes = {}
    with open_video(clip.path) as reader:
        for batch in reader.batches(16):
            for index, found in zip(batch.frame_inds, detector.detect(batch, clip.clip_id)):
                if len(found.bboxes):
                    result[str(int(index))] = [found.bboxes[0].tolist()]
    return result


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--boxes", type=click.Path(exists=True, path_type=Path), help="Other boxes.")
@click.option(
    "--clips", "videos", type=click.Path(exists=True, path_type=Path), help="Their clips."
)
@click.option("--detector", default=ExtractConfig.detector, show_default=True)
@click.option("--pose", default=ExtractConfig.pose, show_default=True)
@click.option(
    "--effort", "efforts", multiple=True, type=click.Choice(list(EFFORTS)), default=list(EFFORTS)
)
@click.option("--threads", default=0, help="Threads of the networks [the free cores].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def main(
    folder: Path,
    boxes: Path | None,
    videos: Path | None,
    detector: str,
    pose: str,
    efforts: tuple[Effort, ...],
    threads: int,
    json_path: Path | None,
) -> None:
    """Score the clips of FOLDER, which holds athlete_gt.json and score.py."""
    truth = json.loads((boxes or folder / "athlete_gt.json").read_text())
    score = runpy.run_path(str(folder / "score.py"))["score"]
    clips = [c for c in find_sources([videos or folder]) if c.path.name in truth["clips"]]
    predictions: dict[str, dict[str, Boxes]] = {
        f"{STOCK}, score {thr}": {clip.clip_id: stock_boxes(clip, thr) for clip in clips}
        for thr in (0.3, 0.4)
    }
    extractors = {
        effort: Extractor(
            ExtractConfig(effort=effort, detector=detector, pose=pose, num_threads=threads)
        )
        for effort in efforts
    }
    seconds = dict.fromkeys(efforts, 0.0)
    for extractor in extractors.values():  # load the networks outside of the times
        list(extractor.run(clips[:1]))
    for i, clip in enumerate(clips):
        first = i % len(efforts)
        for effort in efforts[first:] + efforts[:first]:
            start = time.perf_counter()
            result = next(iter(extractors[effort].run([clip])))
            seconds[effort] += time.perf_counter() - start
            if result.sequence is None:
                raise click.ClickException(f"{clip.clip_id}: {result.error}")
            for name, of_keypoints in ((effort, False), (f"{effort}, box of keypoints", True)):
                found = boxes_of(result.sequence, of_keypoints)
                predictions.setdefault(name, {})[clip.clip_id] = found
    _report(truth, score, predictions, seconds, json_path)


def _report(
    truth: dict[str, Any],
    score: Any,
    predictions: dict[str, dict[str, Boxes]],
    seconds: dict[str, float],
    json_path: Path | None,
) -> None:
    poses = ("overall", "upright", "sideways", "inverted", "tucked")
    table = Table(title="coverage of the athlete, first box, at IoU .3 / .5", title_justify="left")
    for column in ("way", *poses, f"time over {next(iter(seconds))}"):
        table.add_column(column)
    figures: dict[str, Any] = {}
    for name, boxes in predictions.items():
        row = figures[name] = {
            str(thr): {
                pose: values["coverage"]
                for pose, values in score(truth, boxes, thr, first=1)["coverage"].items()
            }
            for thr in (0.3, 0.5)
        }
        cells = [f"{row['0.3'].get(pose, 0):.2f} / {row['0.5'].get(pose, 0):.2f}" for pose in poses]
        cost = f"{seconds[name] / next(iter(seconds.values())):.2f}" if name in seconds else ""
        table.add_row(name, *cells, cost)
        if name in seconds:
            row["seconds"] = round(seconds[name], 3)
    Console(width=110).print(table)
    if json_path:
        json_path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
