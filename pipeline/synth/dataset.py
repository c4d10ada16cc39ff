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
from ..elements.element import Element, diving48_elements
from .clips import ClipConfig, make_clips

# Clips that are simulated at once; the draws of a clip depend on it, so it is part of the data set.
_CHUNK = 256


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
        self.clips  # noqa: B018 - checks the values

    @property
    def clips(self) -> ClipConfig:
        """The same for :func:`clips.make_clips`: no cut and no slow motion."""
        return ClipConfig(self.noise, None, self.lead_seconds, self.tail_seconds, 0.0, 0.0)


def film_dives(
    dives: Sequence[Element],
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
    return [
        Annotation("", NO_LABEL, clip.keypoints[None], clip.keypoint_scores[None], clip.img_shape)
        for clip in make_clips(dives, rng, (config or SynthConfig()).clips)
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
    names, _ = diving48_elements()
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
    _, dives = diving48_elements()
    for start in range(0, count, _CHUNK):
        rng = np.random.default_rng([seed, start, *split.encode()])
        # Every class once per round, in an order drawn for each round.
        rounds = [rng.permutation(len(dives)) for _ in range(-(-_CHUNK // len(dives)))]
        labels = np.concatenate(rounds)[:_CHUNK]
        clips = film_dives([dives[label] for label in labels], rng, config)
        for i, (clip, label) in enumerate(zip(clips[: count - start], labels.tolist())):
            yield replace(clip, frame_dir=f"{split}_{start + i:06d}", label=label)
