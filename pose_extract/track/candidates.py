"""The boxes of a clip that may hold a person, frame by frame, with what is needed to link them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.geometry import pairwise_iou
from .camera_motion import FrameCues

# Candidates that overlap a tracked person's box by at least this IoU are that person.
_SAME_PERSON_IOU = 0.3


@dataclass(frozen=True, eq=False)
class FrameCandidates:
    """The candidates of one frame; a row of each array is one of N boxes.

    Attributes:
        bboxes: (N, 4) float32 xyxy, pixels, widened to what moves around them.
        detected_bboxes: (N, 4) float32, the same boxes as they were detected.
        scores: (N,) float32 detection scores; 0 for a moving region that no detector gave.
        motion: (N,) float32, change inside the box over the frame's mean change.
        colors: (N, NUM_COLORS) float16, square roots of the shares of colours.
        from_previous: (2, 3) float64, affine map from the previous frame's pixels to this one's.
        is_cut: Whether another scene begins with this frame.
    """

    bboxes: np.ndarray
    detected_bboxes: np.ndarray
    scores: np.ndarray
    motion: np.ndarray
    colors: np.ndarray
    from_previous: np.ndarray
    is_cut: bool

    @classmethod
    def from_cues(
        cls, bboxes: np.ndarray, scores: np.ndarray, cues: FrameCues, *, use_motion: bool = True
    ) -> FrameCandidates:
        """Join a frame's detections with its motion and colours.

        Args:
            bboxes: (N, 4) float32 xyxy, pixels.
            scores: (N,) float32.
            cues: Motion and colours of the frame.
            use_motion: Widen the boxes to what moves around them, and add the region in which most
                moves as a further candidate. Off for boxes that were given: they are right, and
                all there are.
        """
        detected = bboxes
        if use_motion:
            region = cues.moving_region
            bboxes = np.concatenate([cues.widened(bboxes), region])
            detected = np.concatenate([detected, region])
            scores = np.concatenate([scores, np.zeros(len(region), np.float32)])
        return cls(
            bboxes=bboxes,
            detected_bboxes=detected,
            scores=scores,
            motion=cues.motion_in(bboxes).astype(np.float32),
            # Half precision: an hour of video has half a million candidates.
            colors=cues.colors_in(bboxes).astype(np.float16),
            from_previous=cues.from_previous,
            is_cut=cues.is_cut,
        )

    def __len__(self) -> int:
        return len(self.bboxes)

    def without_person(self, bbox: np.ndarray | None) -> FrameCandidates:
        """Return the candidates that are left when a person's are removed.

        Those left stand beside the person who moves: their boxes are as detected.

        Args:
            bbox: (4,) xyxy of the person who is tracked already, or None if not in this frame.
        """
        keep = np.ones(len(self), bool)
        if bbox is not None and len(self):
            keep = pairwise_iou(bbox[None], self.bboxes)[0] < _SAME_PERSON_IOU
        return FrameCandidates(
            bboxes=self.detected_bboxes[keep],
            detected_bboxes=self.detected_bboxes[keep],
            scores=self.scores[keep],
            motion=self.motion[keep],
            colors=self.colors[keep],
            from_previous=self.from_previous,
            is_cut=self.is_cut,
        )


def scene_ranges(candidates: Sequence[FrameCandidates]) -> list[range]:
    """Return the frames of each scene: from a cut, or the first frame, to the next cut."""
    starts = [step for step, frame in enumerate(candidates) if step == 0 or frame.is_cut]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(candidates)])]
