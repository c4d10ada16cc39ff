"""Find people at any orientation: a detector sees rotated copies of each frame, at several sizes.

Detectors are trained on upright people. In one of four copies, rotated by quarters, an athlete in
flight is close enough to upright to be detected, if with a low score; boxes on which several copies
agree score higher. Low scores are kept: which box is the athlete is decided over the whole clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from ..common.geometry import pairwise_iou, scaled_size
from ..decode.frames import FrameBatch
from .base import Detections, PersonDetector

_ROTATE_CODES = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}
# Boxes of different views with at least this IoU are one person.
_MERGE_IOU = 0.55
# What a larger input adds to a score counts half: people in the crowd gain most by it. Chosen with
# benchmarks/athlete.py (docs/design.md).
_LARGER_SHARE = 0.5


class RotatedViewsDetector:
    """Candidates for people at any orientation.

    Args:
        detectors: What looks at each view; one per size of the detector's input, its own first.
        rotations: Degrees counter-clockwise by which the views are rotated: of 0, 90, 180, 270.
        max_candidates: At most this many boxes per frame, best first.
    """

    def __init__(
        self,
        detectors: Sequence[PersonDetector],
        rotations: Sequence[int] = (0, 90, 180, 270),
        max_candidates: int = 15,
    ) -> None:
        self._detectors = list(detectors)
        self._rotations = tuple(rotations)
        self._max_candidates = max_candidates

    def identity(self) -> dict[str, Any]:
        """See ``PersonDetector``."""
        return {
            "name": "rotated-views",
            "detectors": [detector.identity() for detector in self._detectors],
            "rotations": list(self._rotations),
            "max_candidates": self._max_candidates,
        }

    def load(self) -> None:
        """Load the detectors."""
        for detector in self._detectors:
            detector.load()

    def detect(self, batch: FrameBatch, clip_id: str) -> list[Detections]:
        """Return the candidates of each frame.

        With four rotations a score is half the sum of the best scores in them: boxes on which
        views agree score higher. It lies between 0 and 2. What further sizes add to a view's score
        counts half.
        """
        by_detector = [self._views(detector, batch, clip_id) for detector in self._detectors]
        views = [view for of_rotation in zip(*by_detector) for view in of_rotation]
        return [self._merge([view[i] for view in views]) for i in range(len(batch.frames))]

    def _views(
        self, detector: PersonDetector, batch: FrameBatch, clip_id: str
    ) -> list[list[Detections]]:
        """Return what a detector finds by rotation and frame, in pixels of the frame."""
        height, width = batch.frames.shape[1:3]
        # Small frames are cheaper to rotate; the detector would make them as small anyway.
        small, ratio = _shrunk(batch.frames, getattr(detector, "input_side", None))
        # One buffer for all rotations: the system is slow to give memory.
        buffer = np.empty(small.size, small.dtype)
        views = []
        for degrees in self._rotations:
            most = (width, height) * 2 if degrees % 180 == 0 else (height, width) * 2
            rotated = replace(batch, frames=_rotate(small, degrees, buffer))
            found = []
            for view in detector.detect(rotated, clip_id):
                bboxes = np.minimum(view.bboxes / ratio, np.array(most, np.float32))
                found.append(Detections(_rotate_back(bboxes, degrees, height, width), view.scores))
            views.append(found)
        return views

    def _merge(self, views: Sequence[Detections]) -> Detections:
        """Merge boxes of all views that are of one person: their mean, weighted by score."""
        bboxes = np.concatenate([view.bboxes for view in views])
        scores = np.concatenate([view.scores for view in views])
        view_of = np.repeat(np.arange(len(views)), [len(view.scores) for view in views])
        same = pairwise_iou(bboxes, bboxes) >= _MERGE_IOU
        free = np.ones(len(scores), bool)
        group_of, count = np.zeros(len(scores), int), 0
        for i in np.argsort(-scores, kind="stable").tolist():
            if free[i]:
                members = same[i] & free
                members[i] = True  # a box without an area, of a detector of the user's
                group_of[members] = count
                free ^= members
                count += 1
        best = np.zeros((count, len(views)), np.float32)
        np.maximum.at(best, (group_of, view_of), scores)
        sizes = best.reshape(count, len(self._rotations), len(self._detectors))
        own = sizes[..., 0]
        totals = (own + _LARGER_SHARE * (sizes.max(axis=2) - own)).sum(axis=1)
        # With one view the detector's own scores are kept.
        final = totals / max(1.0, len(self._rotations) / 2)
        best_first = np.argsort(-final, kind="stable")[: self._max_candidates]
        weights = scores**2
        weighted = bboxes * weights[:, None]
        members_of = [np.flatnonzero(group_of == group) for group in best_first]
        merged = [weighted[rows].sum(axis=0) / weights[rows].sum() for rows in members_of]
        return Detections(np.array(merged, np.float32).reshape(-1, 4), final[best_first])


def _shrunk(frames: np.ndarray, side: int | None) -> tuple[np.ndarray, float]:
    """Return frames (B, H, W, 3), their longer side ``side`` if it was more, and the scale."""
    _, height, width, _ = frames.shape
    if side is None or side >= max(height, width):
        return frames, 1.0
    ratio = side / max(height, width)
    size = scaled_size((height, width), ratio)
    small = np.empty((len(frames), size[1], size[0], 3), frames.dtype)
    for frame, out in zip(frames, small):
        cv2.resize(frame, size, out, interpolation=cv2.INTER_LINEAR)
    return small, ratio


def _rotate(frames: np.ndarray, degrees: int, buffer: np.ndarray) -> np.ndarray:
    """Return frames (B, H, W, 3) rotated counter-clockwise, in the flat ``buffer``."""
    if degrees == 0:
        return frames
    count, height, width, channels = frames.shape
    shape = (height, width) if degrees == 180 else (width, height)
    rotated = buffer.reshape(count, *shape, channels)
    for frame, out in zip(frames, rotated):  # faster than numpy's strided copy
        cv2.rotate(frame, _ROTATE_CODES[degrees], out)
    return rotated


def _rotate_back(bboxes: np.ndarray, degrees: int, height: int, width: int) -> np.ndarray:
    """Map boxes (N, 4) found in a view, rotated counter-clockwise, to the frame."""
    x1, y1, x2, y2 = bboxes.T
    if degrees == 90:
        corners = (width - y2, x1, width - y1, x2)
    elif degrees == 180:
        corners = (width - x2, height - y2, width - x1, height - y1)
    elif degrees == 270:
        corners = (y1, height - x2, y2, height - x1)
    else:
        corners = (x1, y1, x2, y2)
    result: np.ndarray = np.stack(corners, axis=1)
    return result
