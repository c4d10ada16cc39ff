"""Find people at any orientation: a detector sees rotated copies of each frame, at several sizes.

Detectors are trained on upright people. In one of four copies, rotated by quarters, an athlete in
flight is close enough to upright to be detected, if with a low score; boxes on which several copies
agree score higher. Low scores are kept: which box is the athlete is decided over the whole clip.
Where the first copy shows what moves most, the others are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
# Where one of several views was looked at, the score of a box over the one that it has there: such
# boxes are to score about as much as after all views. On the boxes of benchmarks/athlete.py .5, .75
# and .8 were tried, with the same coverage.
_FIRST_SHARE = 0.8

# Told a row of a batch and boxes (N, 4) of its frame: whether one of them holds what moves most.
HoldsMotion = Callable[[int, np.ndarray], bool]


class RotatedViewsDetector:
    """Candidates for people at any orientation.

    Args:
        detectors: What looks at each view; one per size of the detector's input, its own first.
        rotations: Degrees counter-clockwise by which the views are rotated: of 0, 90, 180, 270.
        max_candidates: At most this many boxes per frame, best first.
        view_thr: A box of what moves most stands for all views if its score in the first one is at
            least this.
    """

    def __init__(
        self,
        detectors: Sequence[PersonDetector],
        rotations: Sequence[int] = (0, 90, 180, 270),
        max_candidates: int = 15,
        view_thr: float = float("inf"),
    ) -> None:
        self._detectors = list(detectors)
        self._rotations = tuple(rotations)
        self._max_candidates = max_candidates
        self._view_thr = view_thr

    def identity(self) -> dict[str, Any]:
        """See ``PersonDetector``."""
        identity: dict[str, Any] = {
            "name": "rotated-views",
            "detectors": [detector.identity() for detector in self._detectors],
            "rotations": list(self._rotations),
            "max_candidates": self._max_candidates,
        }
        if self._may_leave_out:
            identity["view_thr"] = self._view_thr
        return identity

    @property
    def _may_leave_out(self) -> bool:
        """Whether there are views that are not looked at in every frame."""
        return len(self._rotations) > 1 and self._view_thr < float("inf")

    def load(self) -> None:
        """Load the detectors."""
        for detector in self._detectors:
            detector.load()

    def detect(
        self, batch: FrameBatch, clip_id: str, holds_motion: HoldsMotion | None = None
    ) -> list[Detections]:
        """Return the candidates of each frame.

        With four rotations a score is half the sum of the best scores in them: boxes on which
        views agree score higher. It lies between 0 and 2. What further sizes add to a view's score
        counts half.

        Args:
            batch: Successive frames of a clip.
            clip_id: What the clip is called.
            holds_motion: Tells in which frames one view is enough; None looks at all.
        """
        sized = [_SizedFrames(detector, batch) for detector in self._detectors]
        views: list[list[Detections]] = [[] for _ in batch.frames]

        def look(degrees: int, rows: np.ndarray) -> None:
            for frames in sized:
                for row, found in zip(rows.tolist(), frames.look(degrees, rows, clip_id)):
                    views[row].append(found)

        first, *others = self._rotations
        rows = np.arange(len(batch.frames))
        look(first, rows)
        if holds_motion is not None and self._may_leave_out:
            is_clear = [self._is_clear(views[row][0], row, holds_motion) for row in rows.tolist()]
            rows = rows[~np.array(is_clear, bool)]
        if len(rows):
            for degrees in others:
                look(degrees, rows)
        return [self._merge(of_frame) for of_frame in views]

    def _is_clear(self, found: Detections, row: int, holds_motion: HoldsMotion) -> bool:
        """Return whether further views of a frame are left out."""
        likely = found.bboxes[found.scores >= self._view_thr]
        return len(likely) > 0 and holds_motion(row, likely)

    def _merge(self, views: Sequence[Detections]) -> Detections:
        """Merge boxes of all views of a frame that are of one person: their mean by score."""
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
        num_rotations = len(views) // len(self._detectors)
        sizes = best.reshape(count, num_rotations, len(self._detectors))
        own = sizes[..., 0]
        totals = (own + _LARGER_SHARE * (sizes.max(axis=2) - own)).sum(axis=1)
        # With one rotation the detector's own scores are kept.
        share = 1 / max(1.0, num_rotations / 2)
        final = totals * (share if num_rotations == len(self._rotations) else _FIRST_SHARE)
        best_first = np.argsort(-final, kind="stable")[: self._max_candidates]
        weights = scores**2
        weighted = bboxes * weights[:, None]
        members_of = [np.flatnonzero(group_of == group) for group in best_first]
        merged = [weighted[rows].sum(axis=0) / weights[rows].sum() for rows in members_of]
        return Detections(np.array(merged, np.float32).reshape(-1, 4), final[best_first])


class _SizedFrames:
    """A batch of frames as a detector looks at them, no larger than it needs, in any rotation."""

    def __init__(self, detector: PersonDetector, batch: FrameBatch) -> None:
        self._detector = detector
        self._height, self._width = batch.frames.shape[1:3]
        # Small frames are cheaper to rotate; the detector would make them as small anyway.
        small, self._ratio = _shrunk(batch.frames, getattr(detector, "input_side", None))
        self._batch = replace(batch, frames=small)
        # One buffer for all rotations: the system is slow to give memory.
        self._buffer = np.empty(small.size, small.dtype)

    def look(self, degrees: int, rows: np.ndarray, clip_id: str) -> list[Detections]:
        """Return what the detector finds in some of the frames, in pixels of the batch's."""
        height, width = self._height, self._width
        chosen = self._batch.take(rows)
        rotated = replace(chosen, frames=_rotate(chosen.frames, degrees, self._buffer))
        sides = (width, height) if degrees % 180 == 0 else (height, width)
        most = np.array(sides * 2, np.float32)
        found = []
        for view in self._detector.detect(rotated, clip_id):
            bboxes = np.minimum(view.bboxes / self._ratio, most)
            found.append(Detections(_rotate_back(bboxes, degrees, height, width), view.scores))
        return found


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
    rotated = buffer[: frames.size].reshape(count, *shape, channels)
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
