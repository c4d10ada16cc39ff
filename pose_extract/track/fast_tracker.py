"""Join the people of single frames into tracks, and choose those who matter.

The tracker is offline: it sees all detections of a clip at once, so it does not depend on how the
frames were batched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..common.geometry import COCO_SIGMAS, box_areas, pairwise_iou, pairwise_oks
from ..layout import KeypointLayout

DROPPED = -1


@dataclass(frozen=True, eq=False)
class PoseDetections:
    """All people found in a clip, one row each, in the order of the frames.

    Attributes:
        steps: (D,) int64, frame of the clip, 0 to T - 1, not falling.
        bboxes: (D, 4) float32, xyxy in pixels.
        bbox_scores: (D,) float32.
        keypoints: (D, V, 2) float32, pixels.
        keypoint_scores: (D, V) float32.
    """

    steps: np.ndarray
    bboxes: np.ndarray
    bbox_scores: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray


@dataclass(frozen=True)
class TrackConfig:
    """How detections are joined.

    Attributes:
        match_thr: Least likeness, 0 to 1, of a detection to a track's expected place and pose.
        new_thr: Least detector score that starts a track; weaker ones only carry a track on.
        duplicate_iou_thr: Two boxes in a frame that overlap this much ...
        duplicate_oks_thr: ... and whose poses are this alike are one person boxed twice.
        max_gap: Frames a track may be unseen and still be carried on.
        min_length: Tracks with fewer detections are dropped where a clip has longer ones.
    """

    match_thr: float = 0.25
    new_thr: float = 0.4
    duplicate_iou_thr: float = 0.6
    duplicate_oks_thr: float = 0.7
    max_gap: int = 15
    min_length: int = 3

    def __post_init__(self) -> None:
        for name in ("match_thr", "new_thr", "duplicate_iou_thr", "duplicate_oks_thr"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"track.{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.max_gap < 0:
            raise ValueError(f"track.max_gap: expected at least 0, got {self.max_gap}")


class _Track:
    """A track while the clip is gone through: where its person was last, and how it moved."""

    def __init__(self, row: int, found: PoseDetections) -> None:
        self.rows = [row]
        self.velocity = np.zeros(2, np.float32)
        self._found = found

    @property
    def last(self) -> int:
        return self.rows[-1]

    def expected_shift(self, step: int) -> np.ndarray:
        """Return how far (2,) the person is expected to have moved since last seen."""
        gap = step - int(self._found.steps[self.last])
        # Beyond a few frames a constant velocity is worth less than no guess at all.
        return self.velocity * min(gap, 3)

    def add(self, row: int) -> None:
        bboxes, steps = self._found.bboxes, self._found.steps
        gap = max(int(steps[row] - steps[self.last]), 1)
        moved = (_center(bboxes[row]) - _center(bboxes[self.last])) / gap
        self.velocity = 0.5 * self.velocity + 0.5 * moved
        self.rows.append(row)


def track_persons(
    detections: PoseDetections, layout: KeypointLayout, config: TrackConfig | None = None
) -> np.ndarray:
    """Give each detection the id of its track.

    Frame by frame, the detections are assigned to the tracks so that the sum of their likeness
    (overlap of boxes, and of poses, at the place where the track's motion puts it) is greatest.

    Args:
        detections: All people of the clip.
        layout: Its keypoints; falloffs of COCO are used where it has 17 of them.
        config: Thresholds.

    Returns:
        (D,) int64 track ids from 0 in order of appearance; -1 for dropped detections.
    """
    config = config or TrackConfig()
    falloff = COCO_SIGMAS if layout.num_keypoints == 17 else np.full(layout.num_keypoints, 0.07)
    found = detections
    tracks: list[_Track] = []
    live: list[_Track] = []
    for step in np.unique(found.steps).tolist():
        rows = np.flatnonzero(found.steps == step)
        rows = _without_duplicates(rows, found, config, falloff)
        live = [t for t in live if step - found.steps[t.last] <= config.max_gap + 1]
        taken = _assign(live, rows, step, found, config, falloff)
        for row in rows.tolist():
            if row not in taken and found.bbox_scores[row] >= config.new_thr:
                track = _Track(row, found)
                tracks.append(track)
                live.append(track)
    return _ids(tracks, len(found.steps), config.min_length)


def _center(bbox: np.ndarray) -> np.ndarray:
    center: np.ndarray = (bbox[:2] + bbox[2:]) / 2
    return center


def _without_duplicates(
    rows: np.ndarray, found: PoseDetections, config: TrackConfig, falloff: np.ndarray
) -> np.ndarray:
    """Drop the weaker of two detections that are one person; order does not matter."""
    # Equal scores are told apart by place, so that the order in the frame plays no part.
    keys = [(-float(found.bbox_scores[row]), *found.bboxes[row].tolist()) for row in rows]
    rows = rows[sorted(range(len(rows)), key=keys.__getitem__)]
    bboxes, points = found.bboxes[rows], found.keypoints[rows]
    scores = found.keypoint_scores[rows]
    same = (pairwise_iou(bboxes, bboxes) >= config.duplicate_iou_thr) & (
        pairwise_oks(points, points, scores, scores, box_areas(bboxes), falloff)
        >= config.duplicate_oks_thr
    )
    kept: list[int] = []
    for i in range(len(rows)):
        if not same[i, kept].any():
            kept.append(i)
    return rows[kept]


def _assign(
    live: list[_Track],
    rows: np.ndarray,
    step: int,
    found: PoseDetections,
    config: TrackConfig,
    falloff: np.ndarray,
) -> set[int]:
    """Carry live tracks on with the detections of a frame; return the rows that were taken."""
    if not live or not len(rows):
        return set()
    last = np.array([track.last for track in live])
    shifts = np.stack([track.expected_shift(step) for track in live])
    bboxes = found.bboxes[last] + np.tile(shifts, 2)
    overlap = np.maximum(
        pairwise_iou(bboxes, found.bboxes[rows]),
        pairwise_iou(found.bboxes[last], found.bboxes[rows]),
    )
    areas = np.maximum(box_areas(found.bboxes[last])[:, None], box_areas(found.bboxes[rows])[None])
    pose = pairwise_oks(
        found.keypoints[last] + shifts[:, None],
        found.keypoints[rows],
        found.keypoint_scores[last],
        found.keypoint_scores[rows],
        areas,
        falloff,
    )
    likeness = 0.5 * overlap + 0.5 * pose
    # A person seen again after a gap may have moved on: near and of like size is likeness too.
    gaps = step - found.steps[last]
    near = _nearness(bboxes, found.bboxes[rows])
    likeness = np.where((gaps > 1)[:, None], np.maximum(likeness, 0.6 * near), likeness)
    taken: set[int] = set()
    for i, j in zip(*linear_sum_assignment(-likeness)):
        if likeness[i, j] >= config.match_thr:
            live[i].add(int(rows[j]))
            taken.add(int(rows[j]))
    return taken


def _nearness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (A, B) in [0, 1]: 1 for boxes of one size at one place, 0 a body length apart."""
    height = np.sqrt(np.maximum(box_areas(first), 1.0))[:, None]
    other = np.sqrt(np.maximum(box_areas(second), 1.0))[None]
    center_first = (first[:, :2] + first[:, 2:]) / 2
    center_second = (second[:, :2] + second[:, 2:]) / 2
    distance = np.linalg.norm(center_first[:, None] - center_second[None], axis=-1)
    size = np.minimum(height, other) / np.maximum(height, other)
    near: np.ndarray = size * np.clip(1 - distance / np.maximum(height, other), 0, 1)
    return near


def _ids(tracks: list[_Track], count: int, min_length: int) -> np.ndarray:
    ids = np.full(count, DROPPED, np.int64)
    longest = max((len(track.rows) for track in tracks), default=0)
    kept = [track for track in tracks if len(track.rows) >= min(min_length, longest)]
    for number, track in enumerate(kept):
        ids[track.rows] = number
    return ids


def select_persons(
    detections: PoseDetections,
    track_ids: np.ndarray,
    num_frames: int,
    img_shape: tuple[int, int],
    num_person: int,
) -> list[int]:
    """Return the ids of the people who matter, the athlete first.

    A track's weight is ``presence * size * surety * (1 + motion) * (1 + centrality)``:

    - presence: share of the clip's frames in which the person is seen;
    - size: square root of the median box area over the frame's area;
    - surety: mean keypoint score, which judges and crowd cut off by the picture's edge lack;
    - motion: path of the box centre over the frame's diagonal, at most 1;
    - centrality: 1 in the middle of the frame, 0 in its corners.

    Args:
        detections: All people of the clip.
        track_ids: (D,) their tracks.
        num_frames: T, frames of the clip.
        img_shape: (height, width) of the frame.
        num_person: How many to return at most.
    """
    height, width = img_shape
    diagonal = float(np.hypot(height, width))
    middle = np.array([width, height]) / 2
    weights: dict[int, float] = {}
    for track_id in np.unique(track_ids[track_ids != DROPPED]).tolist():
        mine = track_ids == track_id
        bboxes = detections.bboxes[mine]
        centers = (bboxes[:, :2] + bboxes[:, 2:]) / 2
        presence = mine.sum() / max(num_frames, 1)
        size = np.sqrt(np.median(box_areas(bboxes)) / (height * width))
        surety = detections.keypoint_scores[mine].mean()
        path = float(np.linalg.norm(np.diff(centers, axis=0), axis=1).sum()) / diagonal
        off_center = float(np.linalg.norm(np.median(centers, axis=0) - middle)) / (diagonal / 2)
        weights[track_id] = float(
            presence * size * surety * (1 + min(path, 1.0)) * (2 - min(off_center, 1.0))
        )
    order = sorted(weights, key=lambda track_id: (-weights[track_id], track_id))
    return order[:num_person]
