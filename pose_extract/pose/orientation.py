"""Poses of people at any angle.

A pose net taught on people who stand loses those who do not: turned by 180 degrees, its OKS falls
from .89 to .30. So a person is looked at along quarter turns, from upright or from where an aligner
puts them, the view with the highest mean heatmap peak is taken, and the person is cut out once more
along the axis of the body found in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.geometry import body_angles, rotate_points
from .estimator import Crops, PoseEstimator


@dataclass(frozen=True)
class OrientationConfig:
    """How much is done for a person.

    Attributes:
        sure_score: Mean keypoint score of a view above which no further one is tried; infinity
            tries all views, 0 the first one alone.
        aligned_degrees: The body's axis may be this far off a view's before it is cut out again.
        seen_score: Keypoints with at least this score tell how large the body is.
        margin: The body's size over that of its keypoints.
        fill_weight: What it is worth, beside the mean score, that a pose fills its box.
        keep_share: The last view is taken if it is worth at least this share of the best.
    """

    sure_score: float = 0.65
    aligned_degrees: float = 20.0
    seen_score: float = 0.2
    margin: float = 1.15
    fill_weight: float = 0.5
    keep_share: float = 0.85


def estimate_oriented(
    pose: PoseEstimator,
    frames: Sequence[np.ndarray],
    bboxes: np.ndarray,
    batch_size: int,
    config: OrientationConfig | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Estimate the pose of one person per frame, however they are turned.

    Args:
        pose: The pose net.
        frames: N frames (H, W, 3) uint8 RGB; the same one may come several times.
        bboxes: (N, 4) xyxy in pixels.
        batch_size: At most this many crops per batch.
        config: How much is done.

    Returns:
        keypoints (N, V, 2) float32 in pixels, scores (N, V) float32, and the number of crops that
        went through the net.
    """
    config = config or OrientationConfig()
    count = len(frames)
    views = _Views(pose, frames, batch_size)
    centers, sizes, first = pose.align(frames, bboxes)
    everyone = np.arange(count)
    keypoints, scores = views.look(everyone, centers, sizes, first)
    angles = first.copy()

    worth = _worth(keypoints, scores, bboxes, config)
    tried = unsure = np.flatnonzero(scores.mean(axis=1) < config.sure_score)
    # On the hands is the likeliest way not to be on the feet.
    for quarter in (2, 1, 3):
        across = sizes[unsure, ::-1] if quarter % 2 else sizes[unsure]
        turned = first[unsure] + np.float32(90.0 * quarter)
        found, found_scores = views.look(unsure, centers[unsure], across, turned)
        found_worth = _worth(found, found_scores, bboxes[unsure], config)
        better = found_worth > worth[unsure]
        rows = unsure[better]
        worth[rows] = found_worth[better]
        keypoints[rows], scores[rows] = found[better], found_scores[better]
        angles[rows] = turned[better]
        unsure = unsure[scores[unsure].mean(axis=1) < config.sure_score]

    axes = body_angles(keypoints, pose.layout)
    off = np.abs((axes - angles + 180) % 360 - 180)
    again = np.flatnonzero((off > config.aligned_degrees) | np.isin(everyone, tried))
    body_centers, body_sizes = body_extents(keypoints[again], scores[again], axes[again], config)
    found, found_scores = views.look(again, body_centers, body_sizes, axes[again])
    good = _worth(found, found_scores, bboxes[again], config) >= config.keep_share * worth[again]
    rows = again[good]
    keypoints[rows], scores[rows] = found[good], found_scores[good]
    return keypoints, scores, views.num_crops


def _worth(
    keypoints: np.ndarray, scores: np.ndarray, bboxes: np.ndarray, config: OrientationConfig
) -> np.ndarray:
    """Return how good poses (N, V, 2) are: how sure, and how well they fill their boxes."""
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    overlap = np.maximum(np.minimum(high, bboxes[:, 2:]) - np.maximum(low, bboxes[:, :2]), 0)
    shared = np.prod(overlap, axis=1)
    either = np.prod(high - low, axis=1) + np.prod(bboxes[:, 2:] - bboxes[:, :2], axis=1) - shared
    worth: np.ndarray = scores.mean(axis=1) + config.fill_weight * shared / np.maximum(either, 1.0)
    return worth


def estimate_carried(
    pose: PoseEstimator,
    frames: Sequence[np.ndarray],
    bboxes: np.ndarray,
    near_keypoints: np.ndarray,
    near_scores: np.ndarray,
    batch_size: int,
    config: OrientationConfig | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Estimate poses with one view each, along the body's axis in a frame just before.

    Args:
        pose: The pose net.
        frames: N frames (H, W, 3) uint8 RGB.
        bboxes: (N, 4) xyxy in pixels; their middles are looked at.
        near_keypoints: (N, V, 2) the same people a moment before.
        near_scores: (N, V) their scores.
        batch_size: Crops per batch.
        config: How large a body is taken to be.

    Returns:
        As :func:`estimate_oriented`.
    """
    angles = body_angles(near_keypoints, pose.layout)
    _, sizes = body_extents(near_keypoints, near_scores, angles, config or OrientationConfig())
    views = _Views(pose, frames, batch_size)
    centers = (bboxes[:, :2] + bboxes[:, 2:]) / 2
    keypoints, scores = views.look(np.arange(len(frames)), centers, sizes, angles)
    return keypoints, scores, views.num_crops


class _Views:
    """Cuts people out of their frames and sends them through the net in batches."""

    def __init__(self, pose: PoseEstimator, frames: Sequence[np.ndarray], batch_size: int) -> None:
        self._pose = pose
        self._frames = frames
        self._batch_size = batch_size
        self.num_crops = 0

    def look(
        self, people: np.ndarray, centers: np.ndarray, sizes: np.ndarray, angles: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        num_keypoints = self._pose.layout.num_keypoints
        points = np.zeros((len(people), num_keypoints, 2), np.float32)
        scores = np.zeros((len(people), num_keypoints), np.float32)
        for start in range(0, len(people), self._batch_size):
            chosen = np.arange(start, min(start + self._batch_size, len(people)))
            parts = [
                self._pose.crop_rotated(
                    self._frames[people[i]],
                    centers[i : i + 1],
                    sizes[i : i + 1],
                    angles[i : i + 1],
                )
                for i in chosen
            ]
            points[chosen], scores[chosen] = self._pose.predict(Crops.concatenate(parts))
        self.num_crops += len(people)
        return points, scores


def body_extents(
    keypoints: np.ndarray, scores: np.ndarray, angles: np.ndarray, config: OrientationConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return centers (N, 2) and sizes (N, 2) in pixels of bodies along their own axes.

    Args:
        keypoints: (N, V, 2) in pixels.
        scores: (N, V).
        angles: (N,) degrees by which the bodies are turned, as :func:`body_angles` gives them.
        config: Which keypoints count, and the margin.
    """
    centers = np.zeros((len(keypoints), 2), np.float32)
    sizes = np.zeros((len(keypoints), 2), np.float32)
    for i, (points, point_scores, angle) in enumerate(zip(keypoints, scores, angles)):
        seen = point_scores >= config.seen_score
        if seen.sum() < 6:
            seen[:] = True
        upright = rotate_points(points[seen], -angle)
        low, high = upright.min(axis=0), upright.max(axis=0)
        centers[i] = rotate_points((low + high) / 2, angle)
        # A body seen from its side is thin; a crop of it still has to hold arms that are guessed.
        sizes[i] = np.maximum((high - low) * config.margin, 0.3 * (high - low).max() + 1.0)
    return centers, sizes
