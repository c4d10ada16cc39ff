"""Segments: what a long clip shows when, from the windows that are classified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["Segment", "merge_windows"]

# Cost of a change of the label, in units of log probability of a part of a clip. Parts are half a
# window long: another label has to hold for two of them with a probability of .9 against .1, or for
# longer with less. Set so by reasoning and not by a measurement.
_CHANGE_COST = 4.0
_LEAST_PROBABILITY = 1e-3


@dataclass(frozen=True)
class Segment:
    """A part of a clip with one label.

    Attributes:
        start_seconds, end_seconds: From the first frame of the source file; 0 or later.
        label: The label.
        score: Its mean probability over the part, 0 to 1.
    """

    start_seconds: float
    end_seconds: float
    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "label": self.label,
            "score": round(self.score, 4),
        }


def merge_windows(
    windows: Sequence[slice],
    scores: np.ndarray,
    seconds: np.ndarray,
    frame_seconds: float,
    label_names: Sequence[str],
) -> tuple[Segment, ...]:
    """Merge classified windows into segments: the cheapest sequence of labels (Viterbi).

    Args:
        windows: Frames of each window, W of them, in order; they may overlap and leave gaps.
        scores: (W, num_classes) class probabilities.
        seconds: (T,) times of the clip's frames, increasing.
        frame_seconds: How long a frame is shown.
        label_names: Names of the classes.
    """
    bounds = sorted({edge for window in windows for edge in (window.start, window.stop)})
    parts = []
    for start, stop in pairwise(bounds):
        covers = [window.start <= start and stop <= window.stop for window in windows]
        if any(covers):
            parts.append((start, stop, scores[covers].mean(axis=0)))
    if not parts:
        return ()
    chances = np.stack([part[2] for part in parts])
    labels = _cheapest(-np.log(np.maximum(chances, _LEAST_PROBABILITY)))
    ends = np.append(seconds[1:], seconds[-1] + frame_seconds)
    segments: list[Segment] = []
    first = 0
    for i in range(1, len(parts) + 1):
        goes_on = i < len(parts) and labels[i] == labels[first] and parts[i][0] == parts[i - 1][1]
        if not goes_on:
            segments.append(
                Segment(
                    float(seconds[parts[first][0]]),
                    float(ends[parts[i - 1][1] - 1]),
                    label_names[labels[first]],
                    float(chances[first:i, labels[first]].mean()),
                )
            )
            first = i
    return tuple(segments)


def _cheapest(costs: np.ndarray) -> list[int]:
    """Return the label of each of P parts: the least sum of costs (P, C) and of changes."""
    total = costs[0].copy()
    back_pointers = np.zeros(costs.shape, int)
    stay = np.arange(costs.shape[1])
    for i in range(1, len(costs)):
        best = int(total.argmin())
        changes = total > total[best] + _CHANGE_COST
        back_pointers[i] = np.where(changes, best, stay)
        total = np.minimum(total, total[best] + _CHANGE_COST) + costs[i]
    labels = [int(total.argmin())]
    for i in range(len(costs) - 1, 0, -1):
        labels.append(int(back_pointers[i, labels[-1]]))
    return labels[::-1]
