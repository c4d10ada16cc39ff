"""Labels of Penn Action under what videos do: pans, zooms, another person, other frame rates.

The clips are dev_val's, which the classifier must not have been trained on, as skeleton sequences
with annotated joints; they go through ``Predictor.predict_sequence``, which gets no path of the
camera. A body is the median over a clip of the longer side of the athlete's box. Conditions:

    pan: the camera passes two bodies to one side, evenly.
    zoom: the picture grows to 1.6 times its size, or shrinks to 1 / 1.6, evenly.
    switched: for one span of 20 % of the frames the athlete is another clip's, two bodies aside.
    beside: another clip's athlete, 1.5 times as large, is seen two bodies aside as a second person.
    15, 60, 120 fps: the clip, taken as one of 30 fps, with every other frame or frames between.

Below the table: clips of more than twice the median length, which are cut into windows unless all
of them at once is surer, and pairs of clips of two actions joined in time; how many have the right
segments, one or two.

    skelact pretrain penn_action_video --work-dir work_dirs/copy_pretrain
    skelact finetune penn_action_video --pretrained work_dirs/copy_pretrain --work-dir \\
        work_dirs/copy
    python benchmarks/robustness.py work_dirs/copy

``--numbers odd`` takes the other half of the clips: even ones were looked at while the recipe was
chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
from unknown import interval

from skelact.pipeline.data.annotations import Annotation, load_annotations
from skelact.pipeline.inference.predict import Predictor
from skelact.pose_extract.skeleton import SkeletonSequence

_FPS = 30
_PAN, _ZOOM, _SWITCHED, _ASIDE, _LARGER = 2.0, 1.6, 0.2, 2.0, 1.5

# Keypoints (M, T, V, 2), scores (M, T, V) and frames per second.
Clip = tuple[np.ndarray, np.ndarray, float]
Condition = Callable[[Clip, Clip, np.random.Generator], Clip]


def body(clip: Clip) -> float:
    """Return the median over frames of the longer side of the athlete's box, pixels."""
    seen = clip[1][0] > 0
    sides = [
        np.ptp(points[row], axis=0).max() for points, row in zip(clip[0][0], seen) if row.any()
    ]
    return float(np.median(sides))


def middle(clip: Clip) -> np.ndarray:
    """Return the middle of the athlete over the clip (2,), pixels."""
    middle: np.ndarray = np.median(clip[0][0][clip[1][0] > 0], axis=0)
    return middle


def beside(clip: Clip, other: Clip, size: float, rng: np.random.Generator) -> Clip:
    """Return another athlete as long as a clip, of a size in bodies, on one side of its own."""
    rows = np.arange(clip[0].shape[1]) % other[0].shape[1]
    scale = size * body(clip) / body(other)
    place = middle(clip) + np.array([rng.choice([-1, 1]) * _ASIDE * body(clip), 0])
    points = (other[0][:, rows] - middle(other)) * scale + place
    return points.astype(np.float32), other[1][:, rows], clip[2]


def pan(clip: Clip, other: Clip, rng: np.random.Generator) -> Clip:
    """Move a clip evenly to one side."""
    way = np.linspace(0, rng.choice([-1, 1]) * _PAN * body(clip), clip[0].shape[1])
    return clip[0] + np.stack([way, 0 * way], axis=-1)[:, None], *clip[1:]


def zoom(clip: Clip, other: Clip, rng: np.random.Generator) -> Clip:
    """Let a clip grow or shrink evenly."""
    size = _ZOOM ** (rng.choice([-1, 1]) * np.linspace(0, 1, clip[0].shape[1]))
    at = middle(clip)
    return (clip[0] - at) * size[:, None, None] + at, *clip[1:]


def switched(clip: Clip, other: Clip, rng: np.random.Generator) -> Clip:
    """Show another athlete for one span."""
    points, scores, _ = beside(clip, other, 1.0, rng)
    total = clip[0].shape[1]
    length = round(_SWITCHED * total)
    start = int(rng.integers(0, total - length + 1))
    inside = (np.arange(total) >= start) & (np.arange(total) < start + length)
    return (
        np.where(inside[:, None, None], points, clip[0]),
        np.where(inside[:, None], scores, clip[1]),
        clip[2],
    )


def two_people(clip: Clip, other: Clip, rng: np.random.Generator) -> Clip:
    """Show another athlete as a second person."""
    points, scores, _ = beside(clip, other, _LARGER, rng)
    return np.concatenate([clip[0], points]), np.concatenate([clip[1], scores]), clip[2]


def at_rate(fps: float) -> Condition:
    """Return a condition of another frame rate; joints move in straight lines between frames."""

    def resampled(clip: Clip, other: Clip, rng: np.random.Generator) -> Clip:
        total = clip[0].shape[1]
        at = np.arange(0, total - 1 + 1e-9, _FPS / fps)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, total - 1), (at - low)[:, None]
        points = (1 - part[..., None]) * clip[0][:, low] + part[..., None] * clip[0][:, high]
        # A joint that is seen on one side alone stays where it is.
        one = (clip[1] > 0)[:, low] != (clip[1] > 0)[:, high]
        nearest = np.where((clip[1] > 0)[:, low][..., None], clip[0][:, low], clip[0][:, high])
        points = np.where(one[..., None], nearest, points)
        return points, np.maximum(clip[1][:, low], clip[1][:, high]), fps

    return resampled


CONDITIONS: dict[str, Condition] = {
    "as it is": lambda clip, other, rng: clip,
    "pan": pan,
    "zoom": zoom,
    "switched": switched,
    "beside": two_people,
    **{f"{fps} fps": at_rate(fps) for fps in (15, 60, 120)},
}


def as_sequence(clip: Clip, name: str, img_shape: tuple[int, int]) -> SkeletonSequence:
    """Return a clip as extraction would give it."""
    points, scores = (np.ascontiguousarray(part, np.float32) for part in clip[:2])
    low, high = points.min(axis=2), points.max(axis=2)
    return SkeletonSequence(
        keypoints=points,
        keypoint_scores=scores,
        bboxes=np.concatenate([low, high], axis=-1),
        track_ids=np.arange(len(points)),
        frame_inds=np.arange(points.shape[1]),
        img_shape=img_shape,
        fps=Fraction(clip[2]),
        layout="coco_17",
        video_id=name,
    )


@click.command(help=__doc__)
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--shared", default=Path("../shared"), envvar="SKELACT_SHARED", type=click.Path(path_type=Path)
)
@click.option("--numbers", default="even", type=click.Choice(["even", "odd", "all"]))
@click.option("--seed", default=0, help="Of sides, spans and other clips.")
def main(checkpoint: Path, shared: Path, numbers: str, seed: int) -> None:
    """Print a table of the accuracy under each condition."""
    data = load_annotations(shared / "data" / "penn_action_train.pkl")
    # Of one clip no joint is annotated.
    names = [
        name
        for name in data.splits["dev_val"]
        if (data.annotations[name].keypoint_scores > 0).any()
    ]
    chosen = {"even": names[::2], "odd": names[1::2], "all": names}[numbers]
    predictor = Predictor(checkpoint, device="cpu")
    labels = predictor.meta.label_names
    click.echo("| | top-1 | accepted as one of its actions |\n|---|---|---|")
    for condition, change in CONDITIONS.items():
        hits, accepted = [], []
        for number, name in enumerate(chosen):
            rng = np.random.default_rng([seed, number])
            annotation = data.annotations[name]
            other = _of_another_class(annotation, [data.annotations[n] for n in names], rng)
            clip = change(_clip(annotation), _clip(other), rng)
            said = predictor.predict_sequence(as_sequence(clip, name, (480, 640)))
            hits.append([best.label for best in said.top_k[:1]] == [labels[annotation.label]])
            accepted.append(not said.unknown)
        rates = [interval(np.mean, np.array(values, float)) for values in (hits, accepted)]
        click.echo(f"| {condition} | {rates[0]} | {rates[1]} |")
    _print_long(predictor, [data.annotations[name] for name in chosen], seed)


def _print_long(predictor: Predictor, annotations: list[Annotation], seed: int) -> None:
    """Print how many long clips have the right segments."""
    labels, rng = predictor.meta.label_names, np.random.default_rng(seed)
    usual = predictor.meta.data["median_frames"]

    def segments(clip: Clip) -> list[str]:
        sequence = as_sequence(clip, "long", (480, 640))
        return [segment.label for segment in predictor.predict_sequence(sequence).segments]

    long = [clip for clip in annotations if clip.keypoints.shape[1] > 2 * usual]
    right = [segments(_clip(clip)) == [labels[clip.label]] for clip in long]
    click.echo(f"\nlong clips: one right segment in {sum(right)} of {len(long)}")
    middle = [clip for clip in annotations if usual <= clip.keypoints.shape[1] <= 2 * usual]
    right = []
    for first in middle:
        second = _of_another_class(first, middle, rng)
        parts = zip(_clip(first)[:2], _clip(second)[:2])
        points, scores = (np.concatenate(part, axis=1) for part in parts)
        wanted = [labels[first.label], labels[second.label]]
        right.append(segments((points, scores, _FPS)) == wanted)
    click.echo(f"two clips in turn: two right segments in {sum(right)} of {len(middle)}")


def _clip(annotation: Annotation) -> Clip:
    return annotation.keypoints[:1], annotation.keypoint_scores[:1], _FPS


def _of_another_class(
    annotation: Annotation, others: list[Annotation], rng: np.random.Generator
) -> Annotation:
    candidates = [other for other in others if other.label != annotation.label]
    return candidates[int(rng.integers(len(candidates)))]


if __name__ == "__main__":
    main()
