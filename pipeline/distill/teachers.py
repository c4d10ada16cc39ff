"""The teacher networks that label people.

video -> candidates at any angle -> tracks -> every n-th frame
image -> candidates
    -> both pose teachers, on upright crops and their flipped copies -> kept where they agree
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from ...pose_extract.common.geometry import (
    body_angles,
    box_areas,
    keypoint_similarity,
    pairwise_iou,
    pairwise_oks,
)
from ...pose_extract.decode.frames import FrameBatch
from ...pose_extract.decode.video import open_video
from ...pose_extract.extract import ExtractConfig, candidate_detector
from ...pose_extract.pose.estimator import PoseEstimator
from ...pose_extract.pose.orientation import OrientationConfig, body_extents, estimate_oriented
from ...pose_extract.sources import ClipSource
from ...pose_extract.track.path_search import find_tracks
from ...pose_extract.track.scan import find_candidates
from .label_sources import LabelJob
from .labelled_frames import LabelBuilder, LabelledFrames

_BATCH_SIZE = 16
# No benchmark chose the numbers below.
# A detection that overlaps a track's box by this IoU is that person.
_TRACK_IOU = 0.4
# Two poses with this OKS are one person.
_SAME_OKS = 0.5
# A box is a part of a person from this share of its area, and known from this IoU or share.
_PART_SHARE, _KNOWN_SHARE = 0.7, 0.5
# OKS of one keypoint from which the teachers agree on it.
_KEYPOINT_OKS = 0.5
# A box reaches beyond the keypoints by this share of the person's size.
_KEYPOINT_MARGIN = 0.04

# Box (4,), keypoints (17, 2), peaks (17,) and weights (17,), see ``LabelledFrames``.
Person = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LabelConfig:
    """How people are labelled.

    No benchmark chose the thresholds. What the shipped networks were labelled with stands in their
    JSON.

    Attributes:
        detector: Name of the detector.
        poses: Names of the pose teachers, which have to agree.
        orientation_pose: Name of the pose model that finds how a person is rotated.
        candidates_per_second: Candidates are detected and tracked in about as many frames a second.
        keep_every: Every n-th of these frames is labelled.
        num_person: At most this many people are tracked through a video.
        score_thr: Detection score, over all rotated views, of a box that is labelled without a
            track.
        ignore_thr: Detection score from which a box without a label is neither person nor
            background.
        min_side: A box is labelled if its longer side has at least this many pixels.
        min_oks: The teachers agree on a person from this OKS on, over the keypoints that any of
            them sees.
        min_keypoints: The teachers have to agree on at least this many keypoints.
        keypoint_thr: Heatmap peak from which a teacher counts as seeing a keypoint.
        max_bboxes: At most this many boxes per frame are labelled, the best scores first.
        max_side: Frames are stored with at most this many pixels on their longer side.
    """

    detector: str = "rtmdet-nano"
    poses: tuple[str, ...] = ("litehrnet18-coco-256x192", "litehrnet18-coco-256x192-b")
    orientation_pose: str = "litehrnet18-coco-128x96"
    candidates_per_second: float = 12.5
    keep_every: int = 6
    num_person: int = 4
    score_thr: float = 0.2
    ignore_thr: float = 0.15
    min_side: float = 28.0
    min_oks: float = 0.55
    min_keypoints: int = 7
    keypoint_thr: float = 0.25
    max_bboxes: int = 12
    max_side: int = 448

    RENAMED: ClassVar[dict[str, str]] = {
        "scout": "orientation_pose",
        "keys_per_second": "candidates_per_second",
        "paths": "num_person",
        "sure_score": "score_thr",
        "maybe_score": "ignore_thr",
        "seen_score": "keypoint_thr",
        "max_people": "max_bboxes",
    }


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame to label.

    Attributes:
        name: See ``LabelledFrames.names``.
        image: (H, W, 3) uint8 RGB.
        bboxes: (N, 4) float32 xyxy, pixels: those of tracks, then detections, best first.
        scores: (N,) detection scores, infinity for boxes of tracks.
    """

    name: str
    image: np.ndarray
    bboxes: np.ndarray
    scores: np.ndarray


class Teachers:
    """The networks that label.

    Args:
        config: How people are labelled.
        num_threads: Threads of the networks.
    """

    def __init__(self, config: LabelConfig, num_threads: int) -> None:
        self.config = config
        # Everybody is labelled, not those alone who move most.
        self._detector = candidate_detector(
            ExtractConfig(detector=config.detector, num_threads=num_threads), all_views=True
        )
        self._orientation_pose = PoseEstimator(config.orientation_pose, num_threads=num_threads)
        self._poses = [
            PoseEstimator(name, flip_test=True, num_threads=num_threads) for name in config.poses
        ]

    def identity(self) -> dict[str, Any]:
        """Return everything that shapes the labels, JSON-able, without loading a network."""
        identity: dict[str, Any] = {
            "detector": self._detector.identity(),
            "orientation_pose": self._orientation_pose.identity(),
            "poses": [pose.identity() for pose in self._poses],
            "config": asdict(self.config),
        }
        return json.loads(json.dumps(identity))

    def label(self, job: LabelJob) -> LabelledFrames:
        """Label a video or a group of images."""
        config = self.config
        builder = LabelBuilder(config.max_side)
        for frame in self._video(job) if job.is_video else self._images(job):
            chosen = frame.bboxes[frame.scores >= config.score_thr][: config.max_bboxes]
            people = different_people(self._people(frame.image, chosen))
            if people:
                rest = frame.bboxes[frame.scores >= config.ignore_thr]
                ignored = unexplained(rest, np.stack([person[0] for person in people]))
                builder.add(frame.name, frame.image, people, ignored)
        return builder.build()

    def _video(self, job: LabelJob) -> Iterator[_Frame]:
        """Yield the frames of a video to label."""
        clip = ClipSource(job.paths[0], job.name)
        with open_video(clip.path) as reader:
            every = max(1, round(float(reader.info.fps) / self.config.candidates_per_second))
            scanned = find_candidates(clip, reader, self._detector, every, _BATCH_SIZE)
            img_shape = reader.info.height, reader.info.width
        tracked: dict[int, list[np.ndarray]] = {}
        candidates = scanned.candidates
        for track in find_tracks(candidates, img_shape, self.config.num_person):
            for step, box, is_found in zip(track.steps, track.bboxes, track.is_found):
                if is_found:
                    tracked.setdefault(int(step), []).append(box)
        step_of = dict(zip(scanned.new_inds[::every].tolist(), range(len(candidates))))
        with open_video(clip.path) as reader:
            for batch in reader.batches(_BATCH_SIZE):
                for image, index in zip(batch.frames, batch.frame_inds.tolist()):
                    step = step_of.get(index)
                    if step is None or step % self.config.keep_every:
                        continue
                    tracks = np.array(tracked.get(step, []), np.float32).reshape(-1, 4)
                    others, scores = candidates[step].bboxes, candidates[step].scores
                    if len(tracks) and len(others):
                        is_new = pairwise_iou(others, tracks).max(axis=1) < _TRACK_IOU
                        others, scores = others[is_new], scores[is_new]
                    yield _Frame(
                        f"{job.name}#{index}",
                        image,
                        np.concatenate([tracks, others]),
                        np.concatenate([np.full(len(tracks), np.inf), scores]),
                    )

    def _images(self, job: LabelJob) -> Iterator[_Frame]:
        """Yield the images that can be read."""
        folder = Path(job.name).parent
        for path in job.paths:
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr is None:
                continue
            image = np.ascontiguousarray(bgr[..., ::-1])
            batch = FrameBatch(image[None], np.zeros(1, np.int64), np.zeros(1))
            found = self._detector.detect(batch, job.name)[0]
            yield _Frame((folder / path.name).as_posix(), image, found.bboxes, found.scores)

    def _people(self, image: np.ndarray, bboxes: np.ndarray) -> list[Person]:
        """Return the people in boxes (N, 4) on whom the teachers agree."""
        sides = (bboxes[:, 2:] - bboxes[:, :2]).max(axis=1, initial=0)
        bboxes = bboxes[sides >= self.config.min_side]
        if not len(bboxes):
            return []
        orientation = OrientationConfig()
        keypoints, scores, _ = estimate_oriented(
            self._orientation_pose, [image] * len(bboxes), bboxes, _BATCH_SIZE, orientation
        )
        angles = body_angles(keypoints, self._orientation_pose.layout)
        centers, sizes = body_extents(keypoints, scores, angles, orientation)
        crops = self._poses[0].crop_rotated(image, centers, sizes, angles)
        answers = [pose.predict_with_peaks(crops) for pose in self._poses]
        people: list[Person] = []
        for i, box in enumerate(bboxes):
            area = float(np.prod(sizes[i]))
            keypoints, scores = (
                np.stack(part) for part in zip(*((k[i], s[i]) for k, s in answers))
            )
            label = agree(keypoints, scores, area, self.config)
            if label is not None:
                people.append((self._widened(box, label, area, image.shape), *label))
        return people

    def _widened(
        self,
        box: np.ndarray,
        label: tuple[np.ndarray, np.ndarray, np.ndarray],
        area: float,
        img_shape: tuple[int, ...],
    ) -> np.ndarray:
        """Return a box (4,) widened to the labelled keypoints, inside the image."""
        keypoints, peaks, weights = label
        seen = keypoints[(peaks >= self.config.keypoint_thr) & (weights > 0)]
        margin = _KEYPOINT_MARGIN * float(np.sqrt(area))
        low = np.minimum(box[:2], seen.min(axis=0) - margin)
        high = np.maximum(box[2:], seen.max(axis=0) + margin)
        limit = np.array([img_shape[1], img_shape[0]] * 2, np.float32)
        return np.clip(np.concatenate([low, high]), 0, limit).astype(np.float32)


def different_people(people: Sequence[Person]) -> list[Person]:
    """Return the people without duplicates: of poses that are nearly the same the first stays."""
    kept: list[Person] = []
    for person in people:
        box, keypoints, peaks, weights = person
        oks = [
            float(
                pairwise_oks(
                    keypoints[None],
                    other[1][None],
                    (peaks * weights)[None],
                    (other[2] * other[3])[None],
                    np.maximum(box_areas(box[None]), box_areas(other[0][None])),
                )[0, 0]
            )
            for other in kept
        ]
        if max(oks, default=0.0) < _SAME_OKS:
            kept.append(person)
    return kept


def unexplained(bboxes: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the boxes (N, 4) xyxy that are neither a person (P, 4) nor a part of one."""
    low = np.maximum(bboxes[:, None, :2], people[None, :, :2])
    high = np.minimum(bboxes[:, None, 2:], people[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    part = shared / np.maximum(box_areas(bboxes), 1e-6)[:, None]
    known = np.maximum(part * (part > _PART_SHARE), pairwise_iou(bboxes, people))
    return bboxes[known.max(axis=1, initial=0.0) < _KNOWN_SHARE]


def agree(
    keypoints: np.ndarray, scores: np.ndarray, area: float, config: LabelConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return the keypoints on which the teachers agree.

    Args:
        keypoints: (K, V, 2) keypoints of one person by each of K teachers, pixels.
        scores: (K, V) their heatmap peaks.
        area: Area of the person, square pixels.
        config: How far they have to agree.

    Returns:
        keypoints (V, 2) float32, the mean weighted by the scores; peaks (V,) float32, the mean
        score, 0 where no teacher sees the keypoint; weights (V,) float32, 0 where only some
        teachers see it or they place it differently, else 1. None where they do not agree on the
        person.
    """
    scores = np.clip(scores, 0.0, 1.0)
    share = scores / np.maximum(scores.sum(axis=0), 1e-6)
    mean = (keypoints * share[..., None]).sum(axis=0)
    spread = ((keypoints[:, None] - keypoints[None]) ** 2).sum(axis=-1).max(axis=(0, 1))
    similarity = keypoint_similarity(spread, np.asarray(area))
    low, high = scores.min(axis=0), scores.max(axis=0)
    is_seen, is_unseen = low >= config.keypoint_thr, high < config.keypoint_thr
    is_agreed = is_seen & (similarity >= _KEYPOINT_OKS)
    if is_agreed.sum() < config.min_keypoints:
        return None
    if similarity[~is_unseen].mean() < config.min_oks:
        return None
    peaks = np.where(is_unseen, 0.0, scores.mean(axis=0))
    weights = (is_agreed | is_unseen).astype(np.float32)
    return mean.astype(np.float32), peaks.astype(np.float32), weights
