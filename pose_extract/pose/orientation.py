"""Poses of people at any orientation, by rotated crops.

A pose model trained on upright people fails on rotated ones: at 180 degrees its OKS falls from .89
to .30 (``benchmarks/rotation.py``). So crops of a person are tried at quarter rotations, the
one with the highest mean heatmap peak is taken, the person is cropped once more along the axis of
the body found in it, and the heatmaps of the two crops are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.geometry import body_angles, rotate_points, torso_lengths
from ..layout import COCO_17
from .crops import Crops, PeopleFrames, boxes_to_centers, joined, resample_heatmaps
from .estimator import PoseEstimator

if TYPE_CHECKING:
    from .crops import Array

# A body reaches beyond its keypoints by about this share of their extent, at each side; used to
# compare a pose with its box.
_REACH = 0.06
# With fewer confident keypoints than this, all of them give the body's extent.
_MIN_KEYPOINTS = 6
# A body seen from its side is thin; a crop of it still has to hold arms that are guessed.
_MIN_ASPECT = 0.3


@dataclass(frozen=True)
class OrientationConfig:
    """How rotated crops of a person are chosen; tuned with ``benchmarks/rotation.py``.

    Attributes:
        view_thr: A crop whose mean keypoint score is at least this is accepted; below it further
            rotations are tried. Infinity tries all of them, 0 takes the first.
        max_axis_degrees: If the body's axis is further than this from a crop's, it is cropped
            again along its own axis.
        keypoint_thr: Keypoints with at least this score give the body's extent.
        margin: The body's size over the extent of its keypoints.
        min_torsos: The body's least size along its axis, in lengths of its torso: people in a tuck
            or a pike are cropped at the scale of standing ones, at which the network learned.
        fill_weight: Weight of the IoU of pose and box beside the mean keypoint score, when views
            are compared.
        keep_share: The heatmaps of the crop along the body's axis and of the best view are averaged
            if the score of the former is at least this share of the latter's.
    """

    view_thr: float = 0.78
    max_axis_degrees: float = 20.0
    keypoint_thr: float = 0.3
    margin: float = 1.15
    min_torsos: float = 3.2
    fill_weight: float = 0.5
    keep_share: float = 0.85


def estimate_oriented(
    pose: PoseEstimator,
    frames: Sequence[np.ndarray] | PeopleFrames,
    bboxes: np.ndarray,
    batch_size: int,
    config: OrientationConfig | None = None,
    side_margins: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Estimate the pose of one person per frame, at any orientation.

    Args:
        pose: The pose model.
        frames: N frames (H, W, 3) uint8 RGB; the same one may come several times. Or where they are
            held, and the frame of each person.
        bboxes: (N, 4) xyxy in pixels; N is at least 1.
        batch_size: At most this many crops per batch.
        config: How rotated crops are chosen.
        side_margins: (N, P) float32, is filled with the side margins of the poses; see
            ``PoseEstimator.predict_with_sides``.

    Returns:
        keypoints (N, V, 2) float32 in pixels, scores (N, V) float32, and the number of crops that
        went through the pose model.
    """
    config = config or OrientationConfig()
    crops = _RotatedCrops(pose, frames, batch_size)
    centers, sizes, upright = boxes_to_centers(bboxes)
    best = crops.look(np.arange(len(frames)), centers, sizes, upright)
    view_scores = _view_scores(best.keypoints, best.scores, bboxes, config)
    tried = rejected = np.flatnonzero(best.scores.mean(axis=1) < config.view_thr)
    # Upside down is the likeliest orientation of a person who is not upright.
    for quarter in (2, 1, 3):
        if not len(rejected):
            break
        across = sizes[rejected, ::-1] if quarter % 2 else sizes[rejected]
        rotated = np.full(len(rejected), 90.0 * quarter, np.float32)
        found = crops.look(rejected, centers[rejected], across, rotated)
        found_view_scores = _view_scores(found.keypoints, found.scores, bboxes[rejected], config)
        better = found_view_scores > view_scores[rejected]
        rows = rejected[better]
        view_scores[rows] = found_view_scores[better]
        best.put(rows, found.take(better))
        rejected = rejected[best.scores[rejected].mean(axis=1) < config.view_thr]

    axes = body_angles(best.keypoints, pose.layout)
    off = np.abs((axes - best.crops.rotations + 180) % 360 - 180)
    again = np.flatnonzero((off > config.max_axis_degrees) | np.isin(np.arange(len(off)), tried))
    if len(again):
        body_centers, body_sizes = body_extents(
            best.keypoints[again], best.scores[again], axes[again], config
        )
        along = crops.look(again, body_centers, body_sizes, axes[again])
        along_scores = _view_scores(along.keypoints, along.scores, bboxes[again], config)
        good = along_scores >= config.keep_share * view_scores[again]
        if good.any():
            rows = again[good]
            best.put(rows, crops.merged(best.take(rows), along.take(good)))
    if side_margins is not None:
        side_margins[:] = best.side_margins
    return best.keypoints, best.scores, crops.num_crops


def estimate_from_previous(
    pose: PoseEstimator,
    frames: Sequence[np.ndarray] | PeopleFrames,
    bboxes: np.ndarray,
    previous_keypoints: np.ndarray,
    previous_scores: np.ndarray,
    batch_size: int,
    config: OrientationConfig | None = None,
    side_margins: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Estimate poses from one crop each, along the body's axis in a frame just before.

    Args:
        pose: The pose model.
        frames: As for :func:`estimate_oriented`.
        bboxes: (N, 4) xyxy in pixels; the crops have their centres.
        previous_keypoints: (N, V, 2) the same people in a frame just before, pixels.
        previous_scores: (N, V) their scores.
        batch_size: At most this many crops per batch.
        config: How large a body is taken to be.
        side_margins: As for :func:`estimate_oriented`.

    Returns:
        As :func:`estimate_oriented`.
    """
    angles = body_angles(previous_keypoints, pose.layout)
    config = config or OrientationConfig()
    _, sizes = body_extents(previous_keypoints, previous_scores, angles, config)
    crops = _RotatedCrops(pose, frames, batch_size)
    centers = (bboxes[:, :2] + bboxes[:, 2:]) / 2
    found = crops.look(np.arange(len(frames)), centers, sizes, angles)
    if side_margins is not None:
        side_margins[:] = found.side_margins
    return found.keypoints, found.scores, crops.num_crops


def body_extents(
    keypoints: np.ndarray,
    scores: np.ndarray,
    angles: np.ndarray,
    config: OrientationConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Return centers (N, 2) and sizes (N, 2) in pixels of bodies along their own axes.

    Args:
        keypoints: (N, V, 2) in pixels.
        scores: (N, V).
        angles: (N,) rotations of the bodies in degrees, as :func:`body_angles` gives them.
        config: Which keypoints count, the margin and the least size.
    """
    centers = np.zeros((len(keypoints), 2), np.float32)
    sizes = np.zeros((len(keypoints), 2), np.float32)
    torsos = torso_lengths(keypoints, COCO_17)
    for i, (points, point_scores, angle) in enumerate(zip(keypoints, scores, angles)):
        confident = point_scores >= config.keypoint_thr
        if confident.sum() < _MIN_KEYPOINTS:
            confident[:] = True
        upright = rotate_points(points[confident], -angle)
        low, high = upright.min(axis=0), upright.max(axis=0)
        centers[i] = rotate_points((low + high) / 2, angle)
        longest = (high - low).max()
        sizes[i] = np.maximum((high - low) * config.margin, _MIN_ASPECT * longest + 1.0)
        # A torso that is longer than the body was not found.
        sizes[i, 1] = max(sizes[i, 1], config.min_torsos * min(torsos[i], longest))
    return centers, sizes


def _view_scores(
    keypoints: np.ndarray, scores: np.ndarray, bboxes: np.ndarray, config: OrientationConfig
) -> np.ndarray:
    """Return (N,) mean keypoint scores of poses (N, V, 2) plus the weighted IoU with the boxes."""
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    low, high = low - _REACH * (high - low), high + _REACH * (high - low)
    overlap = np.maximum(np.minimum(high, bboxes[:, 2:]) - np.maximum(low, bboxes[:, :2]), 0)
    shared = np.prod(overlap, axis=1)
    either = np.prod(high - low, axis=1) + np.prod(bboxes[:, 2:] - bboxes[:, :2], axis=1) - shared
    iou = config.fill_weight * shared / np.maximum(either, 1.0)
    view_scores: np.ndarray = scores.mean(axis=1) + iou
    return view_scores


@dataclass(frozen=True, eq=False)
class _Looks:
    """What the pose model finds in crops of N people.

    Attributes:
        heatmaps: (N, V, h, w) float32, where the crops are.
        crops: The crops.
        keypoints: (N, V, 2) float32, pixels of the frames.
        scores: (N, V) float32.
        side_margins: (N, P) float32.
    """

    heatmaps: Array
    crops: Crops
    keypoints: np.ndarray
    scores: np.ndarray
    side_margins: np.ndarray

    def _arrays(self) -> tuple[Any, ...]:
        crops = (getattr(self.crops, field.name) for field in fields(Crops))
        return (self.heatmaps, self.keypoints, self.scores, self.side_margins, *crops)

    def take(self, rows: np.ndarray) -> _Looks:
        """Return those of some people."""
        return _Looks(
            self.heatmaps[rows],
            self.crops.take(rows),
            self.keypoints[rows],
            self.scores[rows],
            self.side_margins[rows],
        )

    @staticmethod
    def concatenate(parts: Sequence[_Looks]) -> _Looks:
        """Return those of all parts as one."""
        return _Looks(
            joined([part.heatmaps for part in parts]),
            Crops.concatenate([part.crops for part in parts]),
            np.concatenate([part.keypoints for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.side_margins for part in parts]),
        )

    def put(self, rows: np.ndarray, others: _Looks) -> None:
        """Replace those of some people in place."""
        for mine, theirs in zip(self._arrays(), others._arrays()):
            mine[rows] = theirs


class _RotatedCrops:
    """Crops people out of their frames and sends them through the pose model in batches."""

    def __init__(
        self, pose: PoseEstimator, frames: Sequence[np.ndarray] | PeopleFrames, batch_size: int
    ) -> None:
        if not isinstance(frames, PeopleFrames):
            frames = PeopleFrames(pose.hold(frames), np.arange(len(frames)))
        self._pose = pose
        self._frames, self._rows = frames.frames, frames.rows
        self._batch_size = batch_size
        self.num_crops = 0

    def look(
        self, people: np.ndarray, centers: np.ndarray, sizes: np.ndarray, angles: np.ndarray
    ) -> _Looks:
        """Return what is found in one crop of each of K people.

        Args:
            people: (K,) numbers of their frames.
            centers: (K, 2) as ``PoseEstimator.crop_rotated`` takes them.
            sizes: (K, 2).
            angles: (K,).
        """
        parts: list[_Looks] = []
        for start in range(0, len(people), self._batch_size):
            chosen = slice(start, start + self._batch_size)
            crops = self._pose.crop_each(
                self._frames, self._rows[people[chosen]], centers[chosen], sizes[chosen],
                angles[chosen],
            )  # fmt: skip
            parts.append(self._decoded(self._pose.heatmaps(crops), crops))
        self.num_crops += len(people)
        return _Looks.concatenate(parts)

    def merged(self, first: _Looks, second: _Looks) -> _Looks:
        """Return what two looks at the same people show together, in the crops of the second.

        The errors of a network in two crops of a person differ; the mean of its heatmaps has fewer.
        """
        moved = resample_heatmaps(
            first.heatmaps, first.crops, second.crops, self._pose.pixels_per_cell
        )
        return self._decoded(0.5 * (moved + second.heatmaps), second.crops)

    def _decoded(self, heatmaps: Array, crops: Crops) -> _Looks:
        return _Looks(heatmaps, crops, *self._pose.decode(heatmaps, crops))
