"""Track the athlete: candidates over the whole clip, one path per person, poses at any orientation.

Two passes over the file, each in constant memory: the first collects candidates and what moves,
the second estimates the poses of the chosen people alone. This is the one chain from clip to
skeletons; what an effort changes in it is data (``EffortConfig``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from ..common.geometry import blend_boxes_with_keypoints
from ..decode.frames import FrameBatch, InexactError, VideoInfo
from ..decode.video import open_video, prefetch
from ..detect.base import PersonDetector
from ..effort import EffortConfig
from ..layout import KeypointLayout
from ..pose.crops import PeopleFrames
from ..pose.estimator import PoseEstimator
from ..pose.orientation import OrientationConfig, estimate_from_previous, estimate_oriented
from ..skeleton import SkeletonSequence
from ..sources import ClipSource
from .camera_path import camera_path
from .left_right import LeftRightConfig, repair_left_right
from .outliers import OutlierConfig, replace_outliers
from .path_search import PathConfig, PersonTrack, find_tracks
from .repeats import SAME
from .scan import FRAMES_PER_BATCH, ScannedClip, find_candidates

# A detected box moves towards the extent of the keypoints found in it by this share; a body reaches
# beyond its keypoints by the margin (COCO's annotated people: .10 to .15 of their extent, a side).
# Chosen with benchmarks/athlete.py.
KEYPOINT_BOXES = {"share": 0.2, "margin": 0.125}
# Scores of poses in interpolated boxes are lowered to this share.
_INTERPOLATED_SHARE = 0.5

# Called with the frames done, the frames expected or None, and the person crops done.
OnFrames = Callable[[int, int | None, int], None]


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """The people of a clip.

    Attributes:
        sequence: Their skeletons, the athlete first.
        num_lost: Frames that could not be decoded.
        facts: ``swaps_mended``, the frames in which left and right of the athlete's arms, plus
            those in which those of the legs, were exchanged; ``subject_score``, the score of the
            athlete's path per candidate frame (see ``PathConfig``); ``repeated_frames``, those that
            repeat the one before and have its skeletons; ``size_changes_at``, the first
            frame that is stored in another size than the file's first one, where there is one.
    """

    sequence: SkeletonSequence
    num_lost: int
    facts: dict[str, float]


class AthleteTracker:
    """Turns a clip into the skeletons of the people who matter.

    Args:
        detector: Gives the candidates; usually a ``RotatedViewsDetector``.
        pose: The pose model.
        effort: How much is done.
        num_person: At most this many people, the athlete first.
        decoder: See ``open_video``.
        use_motion: Let motion propose candidates and widen boxes, and let keypoints move boxes; off
            where the boxes were given.
        path_config: The weights of a path's score.
    """

    def __init__(
        self,
        detector: PersonDetector,
        pose: PoseEstimator,
        effort: EffortConfig,
        *,
        num_person: int,
        decoder: Literal["auto", "decord", "pyav"] = "auto",
        use_motion: bool = True,
        path_config: PathConfig | None = None,
    ) -> None:
        self._detector = detector
        self._pose = pose
        self._effort = effort
        self._num_person = num_person
        self._decoder = decoder
        self._use_motion = use_motion
        self._path_config = path_config or PathConfig()
        self._athlete_config = OrientationConfig(view_thr=effort.athlete_view_thr)
        self._others_config = OrientationConfig(view_thr=effort.others_view_thr)
        self._num_crops = 0

    def identity(self) -> dict[str, Any]:
        """Return what shapes the tracks beside detector and pose model, JSON-able."""
        orientation = {"athlete": asdict(self._athlete_config)}
        if self._num_person > 1:
            orientation["others"] = asdict(self._others_config)
        return {
            "num_person": self._num_person,
            "path": asdict(self._path_config),
            "path_distance": "in the scene or in the image",
            "same_frame": SAME if self._use_motion else None,
            "orientation": orientation,
            "left_right": asdict(LeftRightConfig()),
            "outliers": asdict(OutlierConfig()),
            "keypoint_boxes": KEYPOINT_BOXES if self._use_motion else None,
            "candidates_per_second": str(self._effort.candidates_per_second),
            "views_per_second": str(self._effort.views_per_second),
        }

    def run(
        self, clip: ClipSource, batch_size: int, on_frames: OnFrames | None = None
    ) -> TrackedClip:
        """Return the people of a clip.

        Args:
            clip: The clip.
            batch_size: Crops per batch of the pose model.
            on_frames: Reports progress.

        Raises:
            VideoError: if no frame can be decoded.
        """
        try:
            return self._run(clip, batch_size, on_frames)
        except InexactError:
            # Read again, by PyAV.
            return self._run(clip, batch_size, on_frames)

    def _run(self, clip: ClipSource, batch_size: int, on_frames: OnFrames | None) -> TrackedClip:
        scan = self._scan(clip, on_frames)
        scanned, every, info = scan.found, scan.every, scan.info
        img_shape = (info.height, info.width)
        # From here to the sequence, frames are those that show something new.
        candidates, num_new = scanned.candidates, len(scanned.new_inds)
        tracks = find_tracks(
            candidates,
            img_shape,
            self._num_person,
            self._path_config,
            every=every,
            num_frames=num_new,
        )
        poses = self._estimate_poses(clip, scanned, tracks, info, batch_size, on_frames)
        num_swaps = poses.repair_left_right(self._pose)
        poses.replace_outliers(self._pose)
        if self._use_motion:
            poses.move_boxes(img_shape)
        camera_maps, scene_ids = camera_path(candidates, every, num_new)
        shown = scanned.shown_inds
        sequence = SkeletonSequence(
            keypoints=poses.keypoints[:, shown],
            keypoint_scores=poses.scores[:, shown],
            bboxes=poses.bboxes[:, shown],
            track_ids=np.arange(len(tracks), dtype=np.int64),
            frame_inds=scanned.frame_inds,
            img_shape=img_shape,
            fps=info.fps,
            layout=self._pose.layout.name,
            video_id=clip.clip_id,
            pts_seconds=info.pts_seconds[scanned.frame_inds],
            pixel_aspect=info.pixel_aspect,
            camera_maps=camera_maps[shown],
            scene_ids=scene_ids[shown],
        )
        score = tracks[0].path_score / len(candidates) if tracks else 0.0
        facts: dict[str, float] = {
            "swaps_mended": num_swaps,
            "subject_score": round(score, 3),
            "repeated_frames": int(scanned.is_repeat.sum()),
        }
        if scan.first_scaled is not None:
            facts["size_changes_at"] = scan.first_scaled
        return TrackedClip(sequence, scan.num_lost, facts)

    def _scan(self, clip: ClipSource, on_frames: OnFrames | None, share_new: float = 1.0) -> _Scan:
        """Read a clip a first time; ``share_new`` of its frames are taken to show something new."""
        with open_video(clip.path, self._decoder) as reader:
            every = _every(reader.info, share_new, self._effort.candidates_per_second)

            def report(done: int) -> None:
                if on_frames:
                    on_frames(done // 2, _expected(clip, reader.info), self._num_crops)

            found = find_candidates(
                clip, reader, self._detector, every, use_motion=self._use_motion, on_frames=report
            )
            scan = _Scan(found, every, reader.info, reader.num_lost, reader.first_scaled)
        if _every(scan.info, found.share_new, self._effort.candidates_per_second) < every:
            # Of what is shown so often too little was looked at.
            return self._scan(clip, on_frames, found.share_new)
        return scan

    def _estimate_poses(
        self,
        clip: ClipSource,
        scanned: ScannedClip,
        tracks: Sequence[PersonTrack],
        info: VideoInfo,
        batch_size: int,
        on_frames: OnFrames | None,
    ) -> _Poses:
        """Estimate the poses of all tracks in a second pass over the file."""
        num_frames = len(scanned.frame_inds)
        poses = _Poses.of(tracks, len(scanned.new_inds), self._pose.layout)
        if not poses.on_track.any():
            return poses
        every = _every(info, scanned.share_new, self._effort.views_per_second)
        step_of = {int(index): step for step, index in enumerate(scanned.new_inds)}
        start, stop = clip.frame_range(info)
        with open_video(clip.path, self._decoder) as reader:
            done = 0
            for batch in prefetch(reader.batches(FRAMES_PER_BATCH, start, stop)):
                groups = _groups(batch, step_of, poses.on_track, every)
                held = self._pose.hold(batch.frames) if groups else batch.frames
                for group in groups:
                    frames = PeopleFrames(held, group.frames)
                    self._estimate_group(frames, group, poses, every, batch_size)
                done += len(batch.frames)
                if on_frames:
                    on_frames((num_frames + done) // 2, num_frames, self._num_crops)
        poses.scores[~poses.is_found] *= _INTERPOLATED_SHARE
        return poses

    def _estimate_group(
        self, frames: PeopleFrames, group: _Group, poses: _Poses, every: int, batch_size: int
    ) -> None:
        """Estimate the poses of people of a batch of frames who are cropped in the same way."""
        people, steps = group.people, group.steps
        bboxes = poses.bboxes[people, steps]
        margins = np.zeros((len(people), poses.side_margins.shape[-1]), np.float32)
        if group.views == "previous":
            before = people, steps - steps % every
            keypoints, scores, num_crops = estimate_from_previous(
                self._pose,
                frames,
                bboxes,
                poses.keypoints[before],
                poses.scores[before],
                batch_size,
                side_margins=margins,
            )
        else:
            config = self._athlete_config if group.views == "athlete" else self._others_config
            keypoints, scores, num_crops = estimate_oriented(
                self._pose, frames, bboxes, batch_size, config, margins
            )
        poses.keypoints[people, steps] = keypoints
        poses.scores[people, steps] = scores
        poses.side_margins[people, steps] = margins
        self._num_crops += num_crops


@dataclass(frozen=True, eq=False)
class _Scan:
    """A clip that was read a first time: what was found, in every n-th new frame, and its file."""

    found: ScannedClip
    every: int
    info: VideoInfo
    num_lost: int
    first_scaled: int | None


@dataclass(frozen=True, eq=False)
class _Poses:
    """The boxes and poses of M people over T frames, filled in place.

    Attributes:
        keypoints: (M, T, V, 2) float32, pixels.
        scores: (M, T, V) float32.
        side_margins: (M, T, P) float32, how well left and right of pairs are told apart.
        bboxes: (M, T, 4) float32 xyxy, pixels; zeros where a person is not tracked.
        is_found: (M, T) bool; False where a box is interpolated.
        on_track: (M, T) bool, where there is a box.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    side_margins: np.ndarray
    bboxes: np.ndarray
    is_found: np.ndarray
    on_track: np.ndarray

    @classmethod
    def of(cls, tracks: Sequence[PersonTrack], num_frames: int, layout: KeypointLayout) -> _Poses:
        shape = (len(tracks), num_frames)
        bboxes = np.zeros((*shape, 4), np.float32)
        is_found = np.zeros(shape, bool)
        for person, track in enumerate(tracks):
            bboxes[person, track.steps] = track.bboxes
            is_found[person, track.steps] = track.is_found
        return cls(
            keypoints=np.zeros((*shape, layout.num_keypoints, 2), np.float32),
            scores=np.zeros((*shape, layout.num_keypoints), np.float32),
            side_margins=np.zeros((*shape, len(layout.swap_pairs)), np.float32),
            bboxes=bboxes,
            is_found=is_found,
            on_track=np.asarray(bboxes.any(axis=-1)),
        )

    def repair_left_right(self, pose: PoseEstimator) -> int:
        """Put left and right in order; return in how many frames the athlete's were exchanged."""
        num_swaps = 0
        for person in range(len(self.keypoints)):
            self.keypoints[person], self.scores[person], exchanged = repair_left_right(
                self.keypoints[person],
                self.scores[person],
                pose.layout,
                side_margins=self.side_margins[person],
            )
            num_swaps += int(exchanged.sum()) if person == 0 else 0
        return num_swaps

    def replace_outliers(self, pose: PoseEstimator) -> None:
        """Put joints that are lost for some frames where their neighbours in time say they are."""
        for person in range(len(self.keypoints)):
            self.keypoints[person], _ = replace_outliers(
                self.keypoints[person], self.scores[person], pose.layout
            )

    def move_boxes(self, img_shape: tuple[int, int]) -> None:
        """Move the boxes towards the extents of the keypoints found in them."""
        height, width = img_shape
        moved = blend_boxes_with_keypoints(
            self.bboxes[self.on_track], self.keypoints[self.on_track], **KEYPOINT_BOXES
        )
        self.bboxes[self.on_track] = moved.clip(0, [width, height] * 2)


@dataclass(frozen=True, eq=False)
class _Group:
    """People of a batch of frames who are cropped in the same way; P of them.

    Attributes:
        views: How their crops are chosen: rotated ones as for the "athlete" or the "others", or
            one along the body's axis in a "previous" frame.
        frames: (P,) rows of the batch.
        people: (P,) numbers of the people.
        steps: (P,) frames of the clip.
    """

    views: Literal["athlete", "others", "previous"]
    frames: np.ndarray
    people: np.ndarray
    steps: np.ndarray

    def take(self, chosen: np.ndarray) -> _Group:
        return replace(
            self,
            frames=self.frames[chosen],
            people=self.people[chosen],
            steps=self.steps[chosen],
        )


def _groups(
    batch: FrameBatch, step_of: dict[int, int], on_track: np.ndarray, every: int
) -> list[_Group]:
    """Return the tracked people of a batch; those whose crops need an earlier pose come last."""
    places = [
        (i, person, step_of[index])
        for i, index in enumerate(batch.frame_inds.tolist())
        if index in step_of
        for person in np.flatnonzero(on_track[:, step_of[index]]).tolist()
    ]
    frames, people, steps = np.array(places, int).reshape(-1, 3).T
    everyone = _Group("athlete", frames, people, steps)
    is_key, is_first = steps % every == 0, people == 0
    groups = [
        everyone.take(is_key & is_first),
        replace(everyone.take(is_key & ~is_first), views="others"),
        replace(everyone.take(~is_key), views="previous"),
    ]
    return [group for group in groups if len(group.frames)]


def _expected(clip: ClipSource, info: VideoInfo) -> int:
    start, stop = clip.frame_range(info)
    return max((info.num_frames if stop is None else min(stop, info.num_frames)) - start, 0)


def _every(info: VideoInfo, share_new: float, per_second: float) -> int:
    """Return which n-th of the new frames are so many a second."""
    return max(1, round(float(info.fps) * share_new / per_second))
