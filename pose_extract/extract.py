"""From clips to skeleton sequences: decode, detect, estimate poses, track, choose.

Everything streams. At effort "fast", a clip's frames are read in small batches, and the crops of
its people wait in one queue with those of other clips until a batch of the pose net is full;
batches always have the same shape, so a person's keypoints do not depend on who shares the batch,
nor on where a stopped run was taken up again. Beyond it, ``athlete.py`` goes clip by clip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .decode.frames import FrameBatch, VideoInfo
from .decode.video import open_video, prefetch
from .detect.base import PersonDetector
from .detect.build import build_detector
from .detect.rotated_views import RotatedViewsDetector
from .pose.estimator import Crops, PoseEstimator
from .pose.orientation import OrientationConfig
from .skeleton import SkeletonSequence
from .sources import ClipSource
from .track.athlete import POSE_BOXES, AthleteTracker
from .track.fast_tracker import PoseDetections, TrackConfig, select_persons, track_persons
from .track.left_right import LeftRightConfig
from .track.path_search import PathConfig
from .track.smooth import smooth_sequence
from .weights.download import choose_weights

Effort = Literal["fast", "balanced", "thorough"]
EFFORTS: tuple[Effort, ...] = ("fast", "balanced", "thorough")

# Beyond "fast": sizes of the detector's input, over its own; and how poses are looked for.
_SIZE_FACTORS = {"balanced": (1.0,), "thorough": (1.0, 1.5)}
_ORIENT = {"balanced": OrientationConfig(), "thorough": OrientationConfig(sure_score=float("inf"))}
_KEYS_PER_SECOND = 12.5
_VIEWS_PER_SECOND = {"balanced": 12.5, "thorough": float("inf")}
_ORIENT_OTHERS = {"balanced": OrientationConfig(sure_score=0.0), "thorough": OrientationConfig()}

# Which box is the athlete is decided over the clip: weak ones are kept until then.
_CANDIDATE_THR = 0.08
_MAX_CANDIDATES = 100
# How many people "all" stands for.
_EVERYBODY = 16

# Frames decoded and detected at a time: 16 frames of 1080p are 100 MB.
_FRAMES_PER_BATCH = 16


@dataclass(frozen=True)
class ExtractConfig:
    """What shapes the skeletons, and how the work is run.

    Attributes:
        effort: "fast" looks at each frame once, upright, and tracks whom it finds. "balanced" and
            "thorough" look for people at any angle, follow the athlete over the whole clip and
            turn the crops to the body; see ``athlete.py``. "thorough" looks at two sizes and tries
            all views of each person.
        subject: Who is person 0, beyond "fast": "athlete", "largest", "most-motion", "centre", or
            who is in a box "x1,y1,x2,y2" of the first frame; "all" keeps everybody.
        decoder: "auto" (decord, PyAV where decord cannot), "decord" or "pyav".
        detector: "auto" (the best on this machine), a name or a file; see ``build_detector``.
        boxes: File with ground-truth boxes, used in place of the detector.
        det_score_thr: Detections with a lower score are left out.
        max_det: At most this many people per frame, best score first.
        pose: "auto" (the best on this machine), a name or a file; see ``PoseEstimator``.
        pose_checkpoint: Weights for an MMPose config given by path.
        aligner: Turns people upright for the pose net: "auto" (ours, for our own pose net), "none",
            a name or a file.
        flip_test: Average the heatmaps of each crop and its mirror image.
        precision: Arithmetic of the pose net: "auto", "fp32", "bf16" or "fp16".
        num_person: Keep at most this many people, the athlete first.
        track: How detections are joined over time.
        smooth: Smooth the keypoints over time.
        device: "auto", "cpu", "cuda" or "cuda:N".
        batch_size: Crops per batch of the pose net; 0 takes 16 on the CPU and 128 elsewhere.
        num_threads: Threads of the networks; 0 takes the free cores.
    """

    effort: Effort = "balanced"
    subject: str = "athlete"
    decoder: Literal["auto", "decord", "pyav"] = "auto"
    detector: str = "auto"
    boxes: Path | None = None
    det_score_thr: float = 0.3
    max_det: int = 8
    pose: str = "auto"
    pose_checkpoint: str | None = None
    aligner: str = "auto"
    flip_test: bool = False
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    num_person: int = 2
    track: TrackConfig = field(default_factory=TrackConfig)
    smooth: bool = False
    device: str = "auto"
    batch_size: int = 0
    num_threads: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_person", 1), ("max_det", 1), ("batch_size", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if self.effort not in EFFORTS:
            raise ValueError(f"effort: expected one of {', '.join(EFFORTS)}, got {self.effort!r}")
        PathConfig.for_subject(self.subject)
        if self.effort == "fast" and self.subject != "athlete":
            raise ValueError("subject: expected effort balanced or thorough with it, got fast")
        if not 0 <= self.det_score_thr <= 1:
            raise ValueError(f"det_score_thr: expected 0 to 1, got {self.det_score_thr}")


@dataclass(frozen=True, eq=False)
class ClipResult:
    """What came of one clip: a sequence, or the error that stopped it.

    Attributes:
        clip: The clip asked for.
        sequence: Its skeletons, or None.
        error: Why there are none, or None.
        num_lost: Frames that could not be decoded.
        facts: What the manifest says besides: ``swaps_mended`` and ``subject_worth``.
    """

    clip: ClipSource
    sequence: SkeletonSequence | None
    error: Exception | None
    num_lost: int
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far the clip being read has come; given to ``on_progress`` after each frame batch.

    Attributes:
        clip: The clip being read.
        frames_done: Frames of it read so far.
        frames_total: Frames it is expected to have, or None where its file does not say.
        people_done: Person crops that went through the pose net since the run began.
    """

    clip: ClipSource
    frames_done: int
    frames_total: int | None
    people_done: int


@dataclass(eq=False)
class _ClipWork:
    """The detections of one clip while its poses are still being estimated."""

    clip: ClipSource
    info: VideoInfo | None = None
    num_lost: int = 0
    error: Exception | None = None
    read: bool = False
    waiting: int = 0
    frame_inds: list[np.ndarray] = field(default_factory=list)
    num_frames: int = 0
    steps: list[int] = field(default_factory=list)
    bboxes: list[np.ndarray] = field(default_factory=list)
    bbox_scores: list[float] = field(default_factory=list)
    keypoints: list[np.ndarray] = field(default_factory=list)
    keypoint_scores: list[np.ndarray] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.error is not None or (self.read and self.waiting == 0)

    def detections(self, num_keypoints: int) -> PoseDetections:
        count = len(self.steps)
        return PoseDetections(
            steps=np.array(self.steps, dtype=np.int64),
            bboxes=np.array(self.bboxes, dtype=np.float32).reshape(count, 4),
            bbox_scores=np.array(self.bbox_scores, dtype=np.float32),
            keypoints=np.array(self.keypoints, np.float32).reshape(count, num_keypoints, 2),
            keypoint_scores=np.array(self.keypoint_scores, np.float32).reshape(
                count, num_keypoints
            ),
        )


class _PoseQueue:
    """Holds the crops of any clips and sends them through the net in batches of one shape."""

    def __init__(self, pose: PoseEstimator, batch_size: int) -> None:
        self._pose = pose
        self._batch_size = batch_size
        self._items: deque[tuple[_ClipWork, Crops]] = deque()
        self.people_done = 0

    def add(self, work: _ClipWork, frame: np.ndarray, bboxes: np.ndarray) -> None:
        work.waiting += len(bboxes)
        crops = self._pose.crop(frame, bboxes)
        self._items.extend((work, crops.take([i])) for i in range(len(crops)))
        while len(self._items) >= self._batch_size:
            self._run(self._batch_size)

    def flush(self) -> None:
        while self._items:
            self._run(min(len(self._items), self._batch_size))

    def _run(self, count: int) -> None:
        items = [self._items.popleft() for _ in range(count)]
        # The last batch is filled up with its first crop: its shape, and with it the order of the
        # net's sums, stays the same.
        filled = items + items[:1] * (self._batch_size - count)
        try:
            keypoints, scores = self._pose.predict(
                Crops.concatenate([crops for _, crops in filled])
            )
        except Exception as error:
            for work, _ in items:
                work.error = error
            return
        self.people_done += count
        for (work, _), points, point_scores in zip(items, keypoints, scores):
            work.keypoints.append(points)
            work.keypoint_scores.append(point_scores)
            work.waiting -= 1


class Extractor:
    """Turns clips into skeleton sequences; the networks are loaded at the first clip.

    Args:
        config: What to run and how.
        detector: A detector of your own, in place of the one that ``config`` names.
        pose: A pose estimator that is already there, in place of the one that ``config`` names.
    """

    def __init__(
        self,
        config: ExtractConfig | None = None,
        *,
        detector: PersonDetector | None = None,
        pose: PoseEstimator | None = None,
    ) -> None:
        self.config = config or ExtractConfig()
        self._detector = detector or detector_for(self.config)
        self._pose = pose or _build_pose(self.config)

    def identity(self) -> dict[str, Any]:
        """Return all that shapes the skeletons, JSON-able, without loading a network.

        Batch size, device and threads are left out: they change nothing but rounding.
        """
        identity: dict[str, Any] = {
            "decoder": self.config.decoder,
            "detector": self._detector.identity(),
            "pose": self._pose.identity(),
            "num_person": self.config.num_person,
            "smooth": self.config.smooth,
        }
        if self.config.effort == "fast":
            return identity | {"track": asdict(self.config.track)}
        return identity | {
            "follow": asdict(PathConfig.for_subject(self.config.subject)),
            "subject": self.config.subject,
            "swaps": asdict(LeftRightConfig()),
            **({"pose_boxes": POSE_BOXES} if _is_searching(self.config) else {}),
            "orient": asdict(_ORIENT[self.config.effort]),
            "orient_others": asdict(_ORIENT_OTHERS[self.config.effort]),
            "keys_per_second": _KEYS_PER_SECOND,
            "views_per_second": str(_VIEWS_PER_SECOND[self.config.effort]),
        }

    def run(
        self,
        clips: Iterable[ClipSource],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[ClipResult]:
        """Yield one result per clip, in order; a broken clip gives a result with its error.

        Raises:
            SkelactError: if a network cannot be loaded, before any clip is read.
        """
        self._pose.load()
        self._detector.load()
        batch_size = self.config.batch_size or (16 if self._pose.device.type == "cpu" else 128)
        if self.config.effort != "fast":
            yield from self._run_following(clips, batch_size, on_progress)
            return
        poses = _PoseQueue(self._pose, batch_size)
        open_works: deque[_ClipWork] = deque()
        for clip in clips:
            work = _ClipWork(clip)
            open_works.append(work)
            try:
                self._read(work, poses, on_progress)
            except Exception as error:
                work.error = error
            while open_works and open_works[0].finished:
                yield self._result(open_works.popleft())
        poses.flush()
        yield from map(self._result, open_works)

    def _run_following(
        self,
        clips: Iterable[ClipSource],
        batch_size: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> Iterator[ClipResult]:
        """Go through the clips one by one, each over its whole length."""
        follower = AthleteTracker(
            self._detector,
            self._pose,
            num_person=_EVERYBODY if self.config.subject == "all" else self.config.num_person,
            batch_size=batch_size,
            frames_per_batch=_FRAMES_PER_BATCH,
            decoder=self.config.decoder,
            use_motion=_is_searching(self.config),
            follow_config=PathConfig.for_subject(self.config.subject),
            orient_config=_ORIENT[self.config.effort],
            others_config=_ORIENT_OTHERS[self.config.effort],
            keys_per_second=_KEYS_PER_SECOND,
            views_per_second=_VIEWS_PER_SECOND[self.config.effort],
        )
        for clip in clips:

            def report(done: int, total: int | None, people: int, clip: ClipSource = clip) -> None:
                if on_progress:
                    on_progress(Progress(clip, done, total, people))

            try:
                followed = follower.run(clip, report)
            except Exception as error:
                yield ClipResult(clip, None, error, 0)
            else:
                sequence = self._finish(followed.sequence)
                yield ClipResult(clip, sequence, None, followed.num_lost, followed.facts)

    def _read(
        self,
        work: _ClipWork,
        poses: _PoseQueue,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        with open_video(work.clip.path, self.config.decoder) as reader:
            work.info = reader.info
            start, stop = work.clip.frame_range(reader.info)
            end = reader.info.num_frames if stop is None else stop
            batches = prefetch(reader.batches(_FRAMES_PER_BATCH, start, stop))
            for batch in batches:
                self._find_people(work, batch, poses)
                if work.error is not None:
                    return
                if on_progress:
                    total = None if end is None else max(end - start, work.num_frames)
                    on_progress(Progress(work.clip, work.num_frames, total, poses.people_done))
            work.num_lost = reader.num_lost
        work.read = True

    def _find_people(self, work: _ClipWork, batch: FrameBatch, poses: _PoseQueue) -> None:
        detections = self._detector.detect(batch, work.clip.clip_id)
        for i, (frame, found) in enumerate(zip(batch.frames, detections)):
            # No box means no person: nothing is asked of the pose net, nothing is invented.
            if len(found.bboxes) == 0:
                continue
            work.steps.extend([work.num_frames + i] * len(found.bboxes))
            work.bboxes.extend(found.bboxes)
            work.bbox_scores.extend(found.scores)
            poses.add(work, frame, found.bboxes)
        work.frame_inds.append(batch.frame_inds)
        work.num_frames += len(batch.frames)

    def _result(self, work: _ClipWork) -> ClipResult:
        sequence = None
        if work.error is None:
            try:
                sequence = self._finish(self._assemble(work))
            except Exception as error:
                work.error = error
        return ClipResult(work.clip, sequence, work.error, work.num_lost)

    def _finish(self, sequence: SkeletonSequence) -> SkeletonSequence:
        return smooth_sequence(sequence) if self.config.smooth else sequence

    def _assemble(self, work: _ClipWork) -> SkeletonSequence:
        """Track the clip's people and lay the chosen ones out over its frames."""
        assert work.info is not None  # set before the first frame was read
        layout = self._pose.layout
        found = work.detections(layout.num_keypoints)
        img_shape = (work.info.height, work.info.width)
        track_ids = track_persons(found, layout, self.config.track)
        chosen = select_persons(
            found, track_ids, work.num_frames, img_shape, self.config.num_person
        )
        m, t, v = len(chosen), work.num_frames, layout.num_keypoints
        keypoints = np.zeros((m, t, v, 2), dtype=np.float32)
        keypoint_scores = np.zeros((m, t, v), dtype=np.float32)
        bboxes = np.zeros((m, t, 4), dtype=np.float32)
        for person, track_id in enumerate(chosen):
            mine = track_ids == track_id
            steps = found.steps[mine]
            keypoints[person, steps] = found.keypoints[mine]
            keypoint_scores[person, steps] = found.keypoint_scores[mine]
            bboxes[person, steps] = found.bboxes[mine]
        return SkeletonSequence(
            keypoints=keypoints,
            keypoint_scores=keypoint_scores,
            bboxes=bboxes,
            track_ids=np.array(chosen, dtype=np.int64),
            frame_inds=np.concatenate([*work.frame_inds, np.zeros(0, np.int64)]).astype(np.int64),
            img_shape=img_shape,
            fps=work.info.fps,
            layout=layout.name,
            video_id=work.clip.clip_id,
        )


def orient_config(effort: Effort) -> OrientationConfig:
    """Return how much is done for the athlete's pose at an effort beyond "fast"."""
    return _ORIENT[effort]


def _is_searching(config: ExtractConfig) -> bool:
    """Return whether people are searched for: given boxes, and whole frames, are what they are."""
    return config.boxes is None and config.detector != "whole-frame"


def detector_for(config: ExtractConfig) -> PersonDetector:
    """Return the detector of an extraction; beyond "fast" it looks for people at any angle."""

    name = config.detector
    if name == "auto" and config.boxes is None:
        name = choose_weights("detector")

    def build(score_thr: float, max_det: int, size_factor: float = 1.0) -> PersonDetector:
        return build_detector(
            name,
            boxes=config.boxes,
            score_thr=score_thr,
            max_det=max_det,
            device=config.device,
            num_threads=config.num_threads,
            size_factor=size_factor,
        )

    if config.effort == "fast" or not _is_searching(config):
        return build(config.det_score_thr, config.max_det)
    factors = _SIZE_FACTORS[config.effort]
    detectors = [build(_CANDIDATE_THR, _MAX_CANDIDATES, factor) for factor in factors]
    return RotatedViewsDetector(detectors)


def _build_pose(config: ExtractConfig) -> PoseEstimator:
    return PoseEstimator(
        choose_weights("pose") if config.pose == "auto" else config.pose,
        checkpoint=config.pose_checkpoint,
        device=config.device,
        precision=config.precision,
        flip_test=config.flip_test,
        num_threads=config.num_threads,
        aligner=config.aligner,
    )
