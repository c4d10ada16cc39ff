"""Synthetic data sets: simulated dives, filmed by a moving camera, with the errors of a pose model.

Everything here is synthetic: no athlete and no video. It serves to test methods without a data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import SkelactError
from ..data.annotations import Annotation, write_annotations
from ..data.record import NO_LABEL
from .camera import film
from .dive import Dive, diving_labels
from .motion import simulate_dives
from .pose_errors import add_pose_errors

# Clips that are simulated at once; the draws of a clip depend on it, so it is part of the data set.
_CHUNK = 256
# Common sizes of images, (height, width), and frame rates in fps.
_IMG_SHAPES = np.array([(360, 640), (480, 640), (540, 960), (720, 1280)])
_RATES = np.array([24.0, 25.0, 30000 / 1001, 30.0])
# The longest flight is from ten metres with a strong jump.
_MAX_FLIGHT_SECONDS = 2.0


@dataclass(frozen=True)
class SynthConfig:
    """How dives are filmed.

    Attributes:
        noise: Size and rate of the errors of the poses: 1 is like a light pose model, 0 exact. It
            scales the noise of joints and the rates of outliers, swapped sides and lost frames.
        lead_seconds: Minimum and maximum time before the take-off.
        tail_seconds: Minimum and maximum time after the entry.
    """

    noise: float = 1.0
    lead_seconds: tuple[float, float] = (0.1, 0.7)
    tail_seconds: tuple[float, float] = (0.05, 0.3)

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 5:
            raise SkelactError(f"noise: expected 0 to 5, got {self.noise}")


def film_dives(
    dives: Sequence[Dive],
    rng: np.random.Generator,
    config: SynthConfig | None = None,
) -> list[Annotation]:
    """Simulate and film dives.

    Args:
        dives: One dive per clip.
        rng: Random state; equal states give equal clips.
        config: How to film.

    Returns:
        One clip of one person per dive, without name and label; joints under water have score 0.
    """
    config = config or SynthConfig()
    count = len(dives)
    fps = rng.choice(_RATES, count)
    lead = rng.uniform(*config.lead_seconds, count)
    tail = rng.uniform(*config.tail_seconds, count)
    num_frames = int(np.ceil((lead + _MAX_FLIGHT_SECONDS + tail).max() * _RATES.max()))
    motion = simulate_dives(dives, fps, num_frames, lead, rng)
    lengths = np.ceil((lead + motion.flight_seconds + tail) * fps).astype(int)
    longest = int(lengths.max())
    img_shapes = _IMG_SHAPES[rng.integers(len(_IMG_SHAPES), size=count)]
    joints, center = motion.joints[:, :longest], motion.center[:, :longest]
    keypoints, depth = film(joints, center, motion.height, img_shapes, rng)
    scores = (joints[..., 1] > 0).astype(np.float32)
    if config.noise:
        keypoints, scores = add_pose_errors(keypoints, scores, depth, fps, config.noise, rng)
    keypoints = np.where((scores > 0)[..., None], keypoints, 0).astype(np.float32)
    return [
        Annotation(
            frame_dir="",
            label=NO_LABEL,
            keypoints=keypoints[i : i + 1, :n],
            keypoint_scores=scores[i : i + 1, :n],
            img_shape=(int(img_shapes[i, 0]), int(img_shapes[i, 1])),
        )
        for i, n in enumerate(lengths)
    ]


def write_diving(
    path: str | Path,
    splits: Mapping[str, int],
    *,
    seed: int = 0,
    config: SynthConfig | None = None,
) -> int:
    """Write a PYSKL annotation file of dives, all 48 classes of Diving48 equally often.

    A clip depends on the seed, the name of the split and its number alone, so that a larger split
    begins with the clips of a smaller one.

    Args:
        path: Target.
        splits: Number of clips of each split.
        seed: Seed.
        config: How to film.

    Returns:
        The number of clips.

    Raises:
        SkelactError: for a split without a clip.
    """
    for name, count in splits.items():
        if count < 1:
            raise SkelactError(f"split {name!r}: expected at least 1 clip, got {count}")
    names, _ = diving_labels()
    members: dict[str, list[str]] = {}
    annotations = []
    for split, count in splits.items():
        clips = list(make_dives(split, count, seed=seed, config=config))
        members[split] = [clip.frame_dir for clip in clips]
        annotations += [_in_half_precision(clip) for clip in clips]
    notes = {"synthetic": "simulated dives; no video, no athlete"}
    return write_annotations(path, annotations, members, names, notes=notes)


def _in_half_precision(clip: Annotation) -> Annotation:
    """Return the clip with float16 arrays, as the public files of PYSKL have."""
    return replace(
        clip,
        keypoints=clip.keypoints.astype(np.float16),
        keypoint_scores=clip.keypoint_scores.astype(np.float16),
    )


def make_dives(
    split: str, count: int, *, seed: int = 0, config: SynthConfig | None = None
) -> Iterator[Annotation]:
    """Yield the first ``count`` labelled dives of a split; see :func:`write_diving`."""
    _, dives = diving_labels()
    for start in range(0, count, _CHUNK):
        rng = np.random.default_rng([seed, start, *split.encode()])
        # Every class once per round, in an order drawn for each round.
        rounds = [rng.permutation(len(dives)) for _ in range(-(-_CHUNK // len(dives)))]
        labels = np.concatenate(rounds)[:_CHUNK]
        clips = film_dives([dives[label] for label in labels], rng, config)
        for i, (clip, label) in enumerate(zip(clips[: count - start], labels.tolist())):
            yield replace(clip, frame_dir=f"{split}_{start + i:06d}", label=label)
