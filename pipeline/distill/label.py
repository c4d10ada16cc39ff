"""Teachers label people in any videos and pictures.

video -> candidates at any angle -> paths that hold together in time -> every n-th frame
picture -> candidates
    -> both pose teachers, along the body's own axis, mirrored too -> kept where they agree
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
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
from ...pose_extract.sources import VIDEO_SUFFIXES, ClipSource
from ...pose_extract.track.athlete import find_candidates
from ...pose_extract.track.path_search import find_tracks
from .labelled_frames import TEACHERS_FILE, LabelBuilder, LabelledFrames, read_teachers

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))
_PICTURES_PER_FILE = 50
_FRAMES_PER_BATCH = 16


# Box (4,), keypoints (17, 2), peaks (17,) and weights (17,).
Person = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LabelConfig:
    """How people are labelled.

    Attributes:
        detector: Detector teacher.
        poses: Pose teachers; they have to agree.
        scout: Pose net that looks for the view of a person.
        keys_per_second: Frames a second in which candidates are looked for and followed.
        keep_every: Every n-th of these frames is kept.
        paths: At most this many people are followed through a video.
        sure_score: Score, over all turned views, of a box that is looked at without a path.
        maybe_score: Score from which a box that gave no person is neither person nor background.
        min_side: Shortest longer side of a box, pixels.
        min_oks: How far the teachers agree on a person: OKS over the keypoints either sees.
        min_keypoints: Keypoints that both have to see, in nearly the same place.
        seen_score: Peak from which a teacher counts as seeing a keypoint.
        max_people: At most this many boxes per frame are looked at, best first.
        max_side: Frames are kept with at most this many pixels on their longer side.
    """

    detector: str = "rtmdet-nano"
    poses: tuple[str, ...] = ("litehrnet18-coco-256x192", "litehrnet18-coco-256x192-b")
    scout: str = "litehrnet18-coco-128x96"
    keys_per_second: float = 12.5
    keep_every: int = 6
    paths: int = 4
    sure_score: float = 0.2
    maybe_score: float = 0.15
    min_side: float = 28.0
    min_oks: float = 0.55
    min_keypoints: int = 7
    seen_score: float = 0.25
    max_people: int = 12
    max_side: int = 448


@dataclass(frozen=True)
class LabelJob:
    """A video, or a run of pictures.

    Attributes:
        name: What it is called; its file of labels goes by it.
        paths: The video, or the pictures.
    """

    name: str
    paths: tuple[Path, ...]

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.paths[0].suffix.lower() in VIDEO_SUFFIXES

    def target(self, folder: Path) -> Path:
        """Return where its labels go."""
        names = "\n".join([self.name, *(path.name for path in self.paths[1:])])
        digest = hashlib.sha256(names.encode()).hexdigest()[:8]
        return folder / f"{Path(self.name).name}-{digest}.npz"


def find_jobs(folders: Sequence[Path]) -> list[LabelJob]:
    """Return the videos and runs of pictures in folders, searched to the bottom.

    Raises:
        SkelactError: if a folder is missing, there is neither video nor picture, or two have one
            name.
    """
    jobs: list[LabelJob] = []
    for folder in folders:
        if not folder.exists():
            raise SkelactError(f"no file or folder at {folder}")
        root = folder if folder.is_dir() else folder.parent
        files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        names = {path: f"{root.name}/{path.relative_to(root).as_posix()}" for path in files}
        jobs += [LabelJob(names[p], (p,)) for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
        pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
        for start in range(0, len(pictures), _PICTURES_PER_FILE):
            chosen = tuple(pictures[start : start + _PICTURES_PER_FILE])
            jobs.append(LabelJob(names[chosen[0]], chosen))
    paths: dict[str, Path] = {}
    for job in jobs:
        other = paths.setdefault(job.name, job.paths[0])
        if other.absolute() != job.paths[0].absolute():
            raise SkelactError(
                f"{other} and {job.paths[0]} are both called {job.name}; give one folder above both"
            )
    if not jobs:
        raise SkelactError(f"no video and no picture in {', '.join(map(str, folders))}")
    return jobs


class Teachers:
    """The networks that label.

    Args:
        config: How people are labelled.
        num_threads: Threads of the networks.
    """

    def __init__(self, config: LabelConfig, num_threads: int) -> None:
        self.config = config
        self._detector = candidate_detector(
            ExtractConfig(detector=config.detector, num_threads=num_threads)
        )
        self._scout = PoseEstimator(config.scout, num_threads=num_threads)
        self._poses = [
            PoseEstimator(name, flip_test=True, num_threads=num_threads) for name in config.poses
        ]

    def identity(self) -> dict[str, Any]:
        """Return all that shapes the labels, JSON-able, without loading a network."""
        identity: dict[str, Any] = {
            "detector": self._detector.identity(),
            "scout": self._scout.identity(),
            "poses": [pose.identity() for pose in self._poses],
            "config": asdict(self.config),
        }
        return json.loads(json.dumps(identity))

    def label(self, job: LabelJob) -> LabelledFrames:
        """Label a video or a run of pictures."""
        builder = LabelBuilder(self.config.max_side)
        frames = self._video(job) if job.is_video else self._pictures(job)
        for name, frame, bboxes, scores, followed in frames:
            # Paths come first, then boxes by their scores.
            sure = bboxes[followed | (scores >= self.config.sure_score)][: self.config.max_people]
            people = different_people(self._people(frame, sure))
            if people:
                rest = bboxes[scores >= self.config.maybe_score]
                builder.add(
                    name, frame, people, unexplained(rest, np.stack([p[0] for p in people]))
                )
        return builder.build()

    def _video(
        self, job: LabelJob
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield name, frame, boxes, their scores, and which are on a path, of kept frames."""
        clip = ClipSource(job.paths[0], job.name)
        with open_video(clip.path) as reader:
            every = max(1, round(float(reader.info.fps) / self.config.keys_per_second))
            frame_inds, candidates = find_candidates(
                clip, reader, self._detector, every, _FRAMES_PER_BATCH
            )
            img_shape = reader.info.height, reader.info.width
        on_path: dict[int, list[np.ndarray]] = {}
        for track in find_tracks(candidates, img_shape, self.config.paths):
            for step, box, found in zip(track.steps, track.bboxes, track.is_found):
                if found:
                    on_path.setdefault(int(step), []).append(box)
        with open_video(clip.path) as reader:
            for batch in reader.batches(_FRAMES_PER_BATCH):
                for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                    step, rest = divmod(int(np.searchsorted(frame_inds, index)), every)
                    if rest or step % self.config.keep_every:
                        continue
                    paths = np.array(on_path.get(step, []), np.float32).reshape(-1, 4)
                    others, scores = candidates[step].bboxes, candidates[step].scores
                    if len(paths) and len(others):
                        apart = pairwise_iou(others, paths).max(axis=1) < 0.4
                        others, scores = others[apart], scores[apart]
                    yield (
                        f"{job.name}#{index}",
                        frame,
                        np.concatenate([paths, others]),
                        np.concatenate([np.full(len(paths), np.inf), scores]),
                        np.arange(len(paths) + len(others)) < len(paths),
                    )

    def _pictures(
        self, job: LabelJob
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        folder = Path(job.name).parent
        for path in job.paths:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                continue
            frame = np.ascontiguousarray(picture[..., ::-1])
            batch = FrameBatch(frame[None], np.zeros(1, np.int64), np.zeros(1))
            found = self._detector.detect(batch, job.name)[0]
            nobody = np.zeros(len(found.scores), bool)
            yield (folder / path.name).as_posix(), frame, found.bboxes, found.scores, nobody

    def _people(self, frame: np.ndarray, bboxes: np.ndarray) -> list[Person]:
        """Return the people on whom the teachers agree."""
        config = self.config
        bboxes = bboxes[(bboxes[:, 2:] - bboxes[:, :2]).max(axis=1, initial=0) >= config.min_side]
        if not len(bboxes):
            return []
        points, scores, _ = estimate_oriented(
            self._scout, [frame] * len(bboxes), bboxes, 16, OrientationConfig()
        )
        angles = body_angles(points, self._scout.layout)
        centers, sizes = body_extents(points, scores, angles, OrientationConfig())
        crops = self._poses[0].crop_rotated(frame, centers, sizes, angles)
        answers = [pose.predict(crops) for pose in self._poses]
        people = []
        for i, box in enumerate(bboxes):
            label = agree(
                np.stack([points[i] for points, _ in answers]),
                np.stack([scores[i] for _, scores in answers]),
                float(np.prod(sizes[i])),
                config,
            )
            if label is None:
                continue
            keypoints, peaks, weights = label
            sure = keypoints[(peaks >= config.seen_score) & (weights > 0)]
            margin = 0.04 * float(np.sqrt(np.prod(sizes[i])))
            whole = np.concatenate(
                [
                    np.minimum(box[:2], sure.min(axis=0) - margin),
                    np.maximum(box[2:], sure.max(axis=0) + margin),
                ]
            )
            limit = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
            people.append((np.clip(whole, 0, limit).astype(np.float32), keypoints, peaks, weights))
        return people


def different_people(people: Sequence[Person]) -> list[Person]:
    """Leave out whoever was found before, in another box: nearly the same pose."""
    kept: list[Person] = []
    for person in people:
        box, keypoints, peaks, weights = person
        likeness = [
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
        if max(likeness, default=0.0) < 0.5:
            kept.append(person)
    return kept


def unexplained(bboxes: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the boxes (N, 4) that are neither one of the people (P, 4) nor a part of one."""
    low = np.maximum(bboxes[:, None, :2], people[None, :, :2])
    high = np.minimum(bboxes[:, None, 2:], people[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    part = shared / np.maximum(box_areas(bboxes), 1e-6)[:, None]
    known = np.maximum(part * (part > 0.7), pairwise_iou(bboxes, people)).max(axis=1, initial=0.0)
    return bboxes[known < 0.5]


def agree(
    keypoints: np.ndarray, scores: np.ndarray, area: float, config: LabelConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return what teachers agree on.

    Args:
        keypoints: (K, V, 2) a person's keypoints by each teacher, pixels.
        scores: (K, V) their peaks.
        area: Size of the person, square pixels.
        config: How far they have to agree.

    Returns:
        keypoints (V, 2), their mean; peaks (V,), the mean score, 0 where no teacher sees it;
        weights (V,), 0 where one sees what another does not, or elsewhere. None where they do not
        agree on the person.
    """
    scores = np.clip(scores, 0.0, 1.0)
    share = scores / np.maximum(scores.sum(axis=0), 1e-6)
    mean = (keypoints * share[..., None]).sum(axis=0)
    spread = ((keypoints[:, None] - keypoints[None]) ** 2).sum(axis=-1).max(axis=(0, 1))
    likeness = keypoint_similarity(spread, np.asarray(area))
    low, high = scores.min(axis=0), scores.max(axis=0)
    seen = low >= config.seen_score
    unseen = high < config.seen_score
    together = seen & (likeness >= 0.5)
    if together.sum() < config.min_keypoints:
        return None
    if likeness[~unseen].mean() < config.min_oks:
        return None
    peaks = np.where(unseen, 0.0, scores.mean(axis=0))
    weights = (together | unseen).astype(np.float32)
    return mean.astype(np.float32), peaks.astype(np.float32), weights


_teachers: Teachers | None = None


def _start(config: LabelConfig) -> None:
    global _teachers
    cv2.setNumThreads(1)
    _teachers = Teachers(config, num_threads=1)


def _label(job: LabelJob, target: Path) -> int:
    assert _teachers is not None  # made by _start in this process
    labelled = _teachers.label(job)
    labelled.save(target)
    return len(labelled.person_frames)


def _record_teachers(out: Path, identity: dict[str, Any]) -> None:
    """Write down who labels; labels of different teachers must not come to lie side by side."""
    known = read_teachers(out)
    if known is None:
        with atomic_write(out / TEACHERS_FILE) as temporary:
            temporary.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
    elif known != identity:
        differing = ", ".join(key for key in identity if known.get(key) != identity[key])
        raise SkelactError(
            f"{out / TEACHERS_FILE}: the labels there are by other teachers ({differing}); "
            "give another folder"
        )


def label_folders(
    folders: Sequence[Path],
    out: Path,
    config: LabelConfig,
    *,
    jobs: int,
) -> Iterator[tuple[LabelJob, int | Exception]]:
    """Label all videos and pictures in folders; what has its labels is not done again.

    Yields each job, as it ends, and its number of people, or the error that stopped it. Who labels
    stands in ``teachers.json``, and later in the students' JSON.

    Args:
        folders: Where to look.
        out: Gets a file of labels per video or run of pictures.
        config: How people are labelled.
        jobs: Processes.

    Raises:
        SkelactError: if there is nothing to label, or the folder has labels by other teachers.
    """
    found = find_jobs(folders)
    _record_teachers(out, Teachers(config, num_threads=1).identity())
    todo = []
    for job in found:
        target = job.target(out)
        if target.exists():
            yield job, len(LabelledFrames.load(target).person_frames)
        else:
            todo.append(job)
    # A forked child would inherit locks of the parent's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start, initargs=(config,)
    ) as pool:
        running = {pool.submit(_label, job, job.target(out)): job for job in todo}
        for future in as_completed(running):
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield running[future], future.result() if error is None else error
