"""Find people at any angle: a detector looks at turned copies of each frame, at several sizes.

Detectors are taught on people who stand. In one of four copies, turned by quarters, an athlete in
flight is close enough to upright to be found, if weakly; boxes that several copies agree on count
for more. Low scores are kept: which box is the athlete is decided over the whole clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from ..common.geometry import pairwise_iou
from ..decode.frames import FrameBatch
from .base import Detections, PersonDetector

_ROTATE_CODES = {
    1: cv2.ROTATE_90_COUNTERCLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_CLOCKWISE,
}
_MERGE_IOU = 0.55
# What a larger picture adds to a score counts half: people in the crowd gain most by it.
_LARGER_SHARE = 0.5


class RotatedViewsDetector:
    """Candidates for people at any angle.

    Args:
        detectors: What looks at each copy; one per size of the network's input, its own first.
        quarters: By how many quarter turns against the clock the copies are turned.
        max_candidates: At most this many boxes per frame, best first.
    """

    def __init__(
        self,
        detectors: Sequence[PersonDetector],
        quarters: Sequence[int] = (0, 1, 2, 3),
        max_candidates: int = 15,
    ) -> None:
        self._detectors = list(detectors)
        self._quarters = tuple(quarters)
        self._max_candidates = max_candidates

    def identity(self) -> dict[str, Any]:
        """See ``PersonDetector``."""
        return {
            "name": "turned",
            "detectors": [detector.identity() for detector in self._detectors],
            "quarters": list(self._quarters),
            "max_candidates": self._max_candidates,
        }

    def load(self) -> None:
        """Load the detectors."""
        for detector in self._detectors:
            detector.load()

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the candidates of each frame.

        With four quarters a score is half the sum of the best scores in them: boxes on which views
        agree count for more. It lies between 0 and 2. What further sizes add to a view's score
        counts half.
        """
        height, width = batch.frames.shape[1:3]
        views: list[list[Detections]] = []
        # One piece for all turns: the system is slow to give memory.
        room = np.empty(batch.frames.size, batch.frames.dtype)
        for quarter in self._quarters:
            turned = replace(batch, frames=_turn(batch.frames, quarter, room))
            for detector in self._detectors:
                found = detector.detect(turned, clip_id)
                views.append(
                    [
                        Detections(_turn_back(f.bboxes, quarter, height, width), f.scores)
                        for f in found
                    ]
                )
        return [self._merge([view[i] for view in views]) for i in range(len(batch.frames))]

    def _merge(self, views: Sequence[Detections]) -> Detections:
        """Join boxes of all views that are of one person: the mean of them, weighted by score."""
        bboxes = np.concatenate([view.bboxes for view in views])
        scores = np.concatenate([view.scores for view in views])
        view_of = np.repeat(np.arange(len(views)), [len(view.scores) for view in views])
        order = np.argsort(-scores, kind="stable")
        overlap = pairwise_iou(bboxes, bboxes)
        free = np.ones(len(scores), bool)
        merged, worth = [], []
        for i in order.tolist():
            if not free[i]:
                continue
            group = np.flatnonzero((overlap[i] >= _MERGE_IOU) & free)
            free[group] = False
            best = np.zeros(len(views), np.float32)
            np.maximum.at(best, view_of[group], scores[group])
            weights = scores[group] ** 2
            merged.append((bboxes[group] * weights[:, None]).sum(axis=0) / weights.sum())
            sizes = best.reshape(len(self._quarters), len(self._detectors))
            own = sizes[:, 0]
            total = (own + _LARGER_SHARE * (sizes.max(axis=1) - own)).sum()
            # Of a detector that looks once, its own scores are kept.
            worth.append(total / max(1.0, len(self._quarters) / 2))
        best_first = np.argsort(-np.array(worth, np.float32), kind="stable")[: self._max_candidates]
        return Detections(
            np.array(merged, np.float32).reshape(-1, 4)[best_first],
            np.array(worth, np.float32)[best_first],
        )


def _turn(frames: np.ndarray, quarter: int, room: np.ndarray) -> np.ndarray:
    """Return frames (B, H, W, 3) turned ``quarter`` times against the clock, in flat ``room``."""
    if quarter % 4 == 0:
        return frames
    count, height, width, channels = frames.shape
    shape = (height, width) if quarter % 2 == 0 else (width, height)
    turned = room.reshape(count, *shape, channels)
    for frame, out in zip(frames, turned):  # faster than numpy's strided copy
        cv2.rotate(frame, _ROTATE_CODES[quarter % 4], out)
    return turned


def _turn_back(bboxes: np.ndarray, quarter: int, height: int, width: int) -> np.ndarray:
    """Map boxes found in a copy, turned ``quarter`` times against the clock, to the frame."""
    x1, y1, x2, y2 = bboxes.T
    if quarter % 4 == 1:
        turned = (width - y2, x1, width - y1, x2)
    elif quarter % 4 == 2:
        turned = (width - x2, height - y2, width - x1, height - y1)
    elif quarter % 4 == 3:
        turned = (y1, height - x2, y2, height - x1)
    else:
        turned = (x1, y1, x2, y2)
    result: np.ndarray = np.stack(turned, axis=1)
    return result
