"""What the trainings of own clips came to: a row per measured clip, and figures of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np

from ..checkpoints.checkpoint import CheckpointMeta
from ..checkpoints.gate import Gate
from ..evaluation.metrics import Evaluation, measure

# Quantile of the normal distribution: an interval of 95 %.
_Z = 1.96


@dataclass(frozen=True)
class ClipOutcome:
    """A clip that was measured.

    Attributes:
        clip: Its id.
        path: Its video.
        group: Number of its group.
        fold: Number of the training that it was measured on, from 1.
        label: Its class.
        predicted: The most probable class.
        score: Probability of ``predicted``, calibrated.
        unknown: Whether the gate takes it for none of the classes.
    """

    clip: str
    path: str
    group: int
    fold: int
    label: int
    predicted: int
    score: float
    unknown: bool


@dataclass(frozen=True)
class Outcome:
    """Figures of the clips that were measured, in per cent.

    Attributes:
        label_names: Class names.
        clips: The clips.
        evaluation: Figures over all of them.
        top1_low, top1_high: 95 % interval of top-1 (Wilson 1927) with the groups as its samples,
            since clips of one group are alike.
        fold_top1: Top-1 of each fold.
        num_unknown: Clips that the gate took for none of the classes, though they are of one; None
            where the classifiers have no gate.
    """

    label_names: tuple[str, ...]
    clips: tuple[ClipOutcome, ...]
    evaluation: Evaluation
    top1_low: float
    top1_high: float
    fold_top1: tuple[float, ...]
    num_unknown: int | None

    @property
    def spread(self) -> str:
        """Top-1 with its spread, in words."""
        text = (
            f"{self.evaluation.top1:.1f} % top-1 [{self.top1_low:.1f}, {self.top1_high:.1f}] of "
            f"{len(self.clips)} clips"
        )
        if len(self.fold_top1) > 1:
            text += (
                f"; over {len(self.fold_top1)} folds {mean(self.fold_top1):.1f} ± "
                f"{stdev(self.fold_top1):.1f} %"
            )
        return text

    @property
    def confusions(self) -> list[tuple[int, str, str]]:
        """Pairs of classes that were confused: clips, true class, predicted class."""
        found = [
            (count, self.label_names[i], self.label_names[j])
            for i, row in enumerate(self.evaluation.confusion_matrix)
            for j, count in enumerate(row)
            if i != j and count
        ]
        return sorted(found, key=lambda pair: (-pair[0], pair[1:]))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "label_names": list(self.label_names),
            **self.evaluation.to_json(),
            "top1_interval": [self.top1_low, self.top1_high],
            "fold_top1": list(self.fold_top1),
            "num_unknown": self.num_unknown,
            "clips": [asdict(clip) for clip in self.clips],
        }


@dataclass(frozen=True)
class Scored:
    """Clips that one training was measured on.

    Attributes:
        names, paths, groups: Of the clips.
        labels: (N,) int.
        scores: (N, K) class probabilities, not calibrated.
        novelty: (N,) float, or None where the classifier does not measure it.
        meta: The classifier's.
    """

    names: Sequence[str]
    paths: Sequence[str]
    groups: Sequence[int]
    labels: np.ndarray
    scores: np.ndarray
    novelty: np.ndarray | None
    meta: CheckpointMeta

    def outcomes(self, fold: int) -> list[ClipOutcome]:
        """Return a row per clip."""
        gate = self.meta.gate or Gate()
        rows = []
        for i, name in enumerate(self.names):
            novelty = None if self.novelty is None else float(self.novelty[i])
            judged = gate.judge(self.scores[i], novelty)
            best = int(self.scores[i].argmax())
            rows.append(
                ClipOutcome(
                    name,
                    self.paths[i],
                    int(self.groups[i]),
                    fold,
                    int(self.labels[i]),
                    best,
                    float(judged.probabilities[best]),
                    bool(judged.unknown),
                )
            )
        return rows


def sum_up(scored: Sequence[Scored], label_names: Sequence[str]) -> Outcome:
    """Return the figures of all folds together."""
    clips = tuple(row for i, part in enumerate(scored) for row in part.outcomes(i + 1))
    scores = np.concatenate([part.scores for part in scored])
    labels = np.concatenate([part.labels for part in scored])
    evaluation = measure(scores, labels, [clip.clip for clip in clips])
    num_groups = len({clip.group for clip in clips})
    low, high = wilson(evaluation.top1 / 100, num_groups)
    has_gate = all(part.meta.gate is not None for part in scored)
    return Outcome(
        tuple(label_names),
        clips,
        evaluation,
        100 * low,
        100 * high,
        tuple(measure(part.scores, part.labels).top1 for part in scored),
        sum(clip.unknown for clip in clips) if has_gate else None,
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of ``count`` samples.

    >>> [round(end, 3) for end in wilson(0.9, 10)]
    [0.596, 0.982]
    """
    wide = _Z**2 / count
    middle = (share + wide / 2) / (1 + wide)
    half = math.sqrt(wide * share * (1 - share) + wide**2 / 4) / (1 + wide)
    return max(0.0, middle - half), min(1.0, middle + half)
