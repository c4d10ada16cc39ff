"""SkeletonSequence: the one type handed from pose extraction to everything after it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .layout import KeypointLayout, get_layout


def _check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"SkeletonSequence.{name}: expected {shape} {np.dtype(dtype)}, "
            f"got {array.shape} {array.dtype}"
        )


@dataclass(frozen=True, eq=False)
class SkeletonSequence:
    """The people of one clip, person 0 the athlete.

    A person who is not seen in a frame has zero keypoints, zero scores and a zero box there. A clip
    without people has M = 0; that is data, not an error.

    Attributes:
        keypoints: (M, T, V, 2) float32, pixels of the upright source frame, x then y.
        keypoint_scores: (M, T, V) float32, 0 and up, about 1 for a sure joint; 0 where not seen.
        bboxes: (M, T, 4) float32, xyxy in pixels; zeros where not seen.
        track_ids: (M,) int64, unique within the clip.
        frame_inds: (T,) int64, source frame of each step, counted from the file's start.
        img_shape: (height, width) of the source frame in pixels, after rotation flags.
        fps: Frame rate of the source, a fraction, in frames per second.
        layout: Name of the keypoint layout, such as ``"coco_17"``.
        video_id: What the clip is called: its relative path, with the cut if it is one.
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    bboxes: np.ndarray
    track_ids: np.ndarray
    frame_inds: np.ndarray
    img_shape: tuple[int, int]
    fps: Fraction
    layout: str
    video_id: str

    def __post_init__(self) -> None:
        num_keypoints = get_layout(self.layout).num_keypoints
        m, t = len(self.track_ids), len(self.frame_inds)
        _check("keypoints", self.keypoints, (m, t, num_keypoints, 2), np.float32)
        _check("keypoint_scores", self.keypoint_scores, (m, t, num_keypoints), np.float32)
        _check("bboxes", self.bboxes, (m, t, 4), np.float32)
        _check("track_ids", self.track_ids, (m,), np.int64)
        _check("frame_inds", self.frame_inds, (t,), np.int64)
        if self.fps <= 0:
            raise ValueError(f"SkeletonSequence.fps: expected a positive fraction, got {self.fps}")
        if len(set(self.track_ids.tolist())) != m:
            raise ValueError(
                f"SkeletonSequence.track_ids: expected unique ids, got {self.track_ids}"
            )
        if t > 1 and not (np.diff(self.frame_inds) > 0).all():
            raise ValueError("SkeletonSequence.frame_inds: expected strictly increasing indices")
        if not (np.isfinite(self.keypoints).all() and np.isfinite(self.keypoint_scores).all()):
            raise ValueError(
                "SkeletonSequence: expected finite keypoints and scores, got NaN or inf"
            )

    @property
    def num_person(self) -> int:
        """M, the number of people kept."""
        return len(self.track_ids)

    @property
    def num_frames(self) -> int:
        """T, the number of frames."""
        return len(self.frame_inds)

    @property
    def keypoint_layout(self) -> KeypointLayout:
        """The layout object that ``layout`` names."""
        return get_layout(self.layout)

    def is_present(self) -> np.ndarray:
        """Return (M, T) bool: whether each person is seen in each frame."""
        return np.asarray((self.keypoint_scores > 0).any(axis=-1))
