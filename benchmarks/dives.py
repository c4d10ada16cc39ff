"""What `skelact predict` says of real dives and saltos, and of sports on the ground.

    python benchmarks/dives.py clips ../shared
    python benchmarks/dives.py sports ../shared
    python benchmarks/dives.py cost ../shared

`clips` extracts the clips of `../shared/videos/aerial` at the default effort, once, and shows what
is recognised beside what is known of them. They were looked at while `pipeline/elements` was made,
so that they are no held-out set. `sports` counts the clips of Penn Action's dev_val, annotated by
hand, in which an element is seen: none has any. `cost` compares the processor time of a dive's
extraction with that of its labels.
"""

from __future__ import annotations

import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
from flight_clips import extract_all
from rich.console import Console
from rich.table import Table

from skelact.pipeline.data.annotations import Annotation, load_annotations
from skelact.pipeline.elements.recognise import RecognisedElement, recognise_elements
from skelact.pipeline.inference.predict import Predictor, extract_skeletons
from skelact.pose_extract.extract import ExtractConfig
from skelact.pose_extract.skeleton import SkeletonSequence
from skelact.pose_extract.sources import find_sources

# What is known of each clip, from its name and by eye.
KNOWN = {
    "dive_207C.avi": "207C, in flight .57 to 2.13 s",
    "back_somersault_standing.mp4": "backward salto, in flight 4.1 to 4.9 s",
    "back_somersault_off_rock.mp4": "back, 1 somersault, in flight 2.6 to 3.7 s",
    "cliff_dive_small.mp4": "a dive; the athlete is 20 px tall",
    "handstand_walkover.mp4": "handstand, walkover",
}
_SHARED = click.argument("shared", type=click.Path(exists=True, path_type=Path))


@click.group()
def main() -> None:
    """Measure the recognition of elements."""


@main.command()
@_SHARED
@click.option(
    "--cache",
    default=Path("work_dirs/dives"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the skeletons.",
)
def clips(shared: Path, cache: Path) -> None:
    """Show what is recognised in real clips."""
    sources = find_sources([shared / "videos" / "aerial"])
    table = Table("clip", "known of it", "recognised")
    for name, sequence in extract_all(sources, ExtractConfig(), cache).items():
        lines = [describe(element) for element in recognise_elements(sequence)]
        table.add_row(name, KNOWN.get(name, ""), "\n".join(lines) or "nothing")
    Console().print(table)


@main.command()
@_SHARED
def sports(shared: Path) -> None:
    """Count elements that are seen in sports on the ground."""
    file = load_annotations(shared / "data" / "penn_action_train.pkl")
    annotations = file.select("dev_val")
    kinds: Counter[str] = Counter()
    wrong = 0
    for annotation in annotations:
        elements = recognise_elements(sequence_of(annotation))
        kinds.update(element.element.kind for element in elements)
        wrong += bool(elements)
    seen = ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "none"
    click.echo(f"{wrong} of {len(annotations)} clips of sports with an element: {seen}")


@main.command()
@_SHARED
def cost(shared: Path) -> None:
    """Compare what extracting a dive costs with what labelling it costs; each once and again."""
    (source,) = find_sources([shared / "videos" / "aerial" / "dive_207C.avi"])
    predictor = Predictor()
    for which in ("first", "again"):
        begun = time.process_time()
        (skeletons,) = (found for _, found in extract_skeletons(predictor.extractor, [source]))
        extracted = time.process_time()
        predictor.predict_skeletons(skeletons)
        labelled = time.process_time()
        seconds = extracted - begun
        click.echo(
            f"{which}: {len(skeletons)} frames extracted in {seconds:.1f} s, labelled in "
            f"{labelled - extracted:.2f} s, {100 * (labelled - extracted) / seconds:.1f} %"
        )


def sequence_of(annotation: Annotation) -> SkeletonSequence:
    """Return annotated people as a sequence at 30 fps, filmed by a camera that stands."""
    people, frames = annotation.keypoints.shape[:2]
    return SkeletonSequence(
        keypoints=annotation.keypoints.astype(np.float32),
        keypoint_scores=annotation.keypoint_scores.astype(np.float32),
        bboxes=np.zeros((people, frames, 4), np.float32),
        track_ids=np.arange(people),
        frame_inds=np.arange(frames),
        img_shape=annotation.img_shape or (1, 1),
        fps=Fraction(30),
        layout="coco_17",
        video_id=annotation.frame_dir,
    )


def describe(found: RecognisedElement) -> str:
    """Return what is said of an element, in a line."""
    code = f"{found.element.code}, " if found.element.code else ""
    times = f"{found.start_seconds:.2f} to {found.end_seconds:.2f} s"
    return f"{code}{found.element.words}, {times}, {100 * found.confidence:.0f} %"


if __name__ == "__main__":
    main()
