"""Keep hold of the athlete: candidates over the whole clip, one path each, poses at any angle.

Two passes over the file, each in constant memory: the first collects candidates and what moves,
the second looks at the chosen people alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..common.geometry import boxes_by_poses
from ..decode.frames import FrameBatch, VideoInfo
from ..decode.video import VideoReader, open_video, prefetch
from ..detect.base import Detections, PersonDetector
from ..pose.estimator import PoseEstimator
from ..pose.orientation import OrientationConfig, estimate_carried, estimate_oriented
from ..skeleton import SkeletonSequence
from ..sources import ClipSource
from .camera_motion import CueReader
from .left_right import repair_left_right
from .path_search import Candidates, Path, PathConfig, follow

# A box that was searched for moves towards the pose found in it: what the pose counts, and how far
# a body reaches beyond its keypoints (COCO's annotated people: .10 to .15 of their extent, a side).
POSE_BOXES = {"share": 0.2, "margin": 0.125}
# Scores of poses in boxes that were filled in between are lowered to this share.
_FILLED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class FollowedClip:
    """The people of a clip.

    Attributes:
        sequence: Their skeletons, the athlete first.
        num_lost: Frames that could not be decoded.
        facts: ``swaps_mended``, the frames in which the athlete's arms, plus those in which the
            legs, had left and right exchanged; ``subject_worth``, what the athlete's path is worth
            per frame that was looked at (see ``PathConfig``).
    """

    sequence: SkeletonSequence
    num_lost: int
    facts: dict[str, float]


class AthleteTracker:
    """Turns a clip into the skeletons of the people who matter.

    Args:
        detector: Gives the candidates; usually a ``RotatedViewsDetector``.
        pose: The pose net.
        num_person: At most this many people, the athlete first.
        batch_size: Crops per batch of the pose net.
        frames_per_batch: Frames decoded at a time.
        decoder: See ``open_video``.
        use_motion: Let what moves propose and widen boxes, see ``Candidates``, and poses move them.
        follow_config: What a path is worth.
        orient_config: How much is done for the athlete's pose.
        others_config: How much is done for the poses of the others.
        keys_per_second: Candidates are looked for in about as many frames a second; in between,
            boxes are filled in. From each to the next enough moves to tell the athlete.
        views_per_second: Views of a person are tried in about as many frames a second; in between,
            bodies are looked at along their last axis.
    """

    def __init__(
        self,
        detector: PersonDetector,
        pose: PoseEstimator,
        *,
        num_person: int,
        batch_size: int,
        frames_per_batch: int,
        decoder: Literal["auto", "decord", "pyav"] = "auto",
        use_motion: bool = True,
        follow_config: PathConfig | None = None,
        orient_config: OrientationConfig | None = None,
        others_config: OrientationConfig | None = None,
        keys_per_second: float = float("inf"),
        views_per_second: float = float("inf"),
    ) -> None:
        self._detector = detector
        self._pose = pose
        self._num_person = num_person
        self._batch_size = batch_size
        self._frames_per_batch = frames_per_batch
        self._decoder = decoder
        self._use_motion = use_motion
        self._follow_config = follow_config
        self._orient_configs = (orient_config, others_config)
        self._keys_per_second = keys_per_second
        self._views_per_second = views_per_second
        self.people_done = 0

    def run(
        self,
        clip: ClipSource,
        on_progress: Callable[[int, int | None, int], None] | None = None,
    ) -> FollowedClip:
        """Return the people of a clip.

        Args:
            clip: The clip.
            on_progress: Called with the frames done, the frames expected, and the people done.

        Raises:
            VideoError: if no frame can be decoded.
        """
        with open_video(clip.path, self._decoder) as reader:
            fps = float(reader.info.fps)
            every = max(1, round(fps / self._keys_per_second))
            views_every = max(1, round(fps / self._views_per_second))

            def report(done: int) -> None:
                if on_progress:
                    on_progress(done // 2, _expected(clip, reader.info), self.people_done)

            frame_inds, candidates = find_candidates(
                clip,
                reader,
                self._detector,
                every,
                self._frames_per_batch,
                use_motion=self._use_motion,
                on_progress=report,
            )
            info, num_lost = reader.info, reader.num_lost
        paths = [
            path.spread(every, len(frame_inds))
            for path in follow(candidates, self._num_person, self._follow_config)
        ]
        keypoints, scores, bboxes = self._pose_paths(
            clip, frame_inds, paths, info, views_every, on_progress
        )
        swaps_mended = 0
        for person in range(len(paths)):
            keypoints[person], scores[person], mended = repair_left_right(
                keypoints[person], scores[person], self._pose.layout
            )
            swaps_mended += int(mended.sum()) if person == 0 else 0
        if self._use_motion:
            there = bboxes.any(axis=-1)
            moved = boxes_by_poses(bboxes[there], keypoints[there], **POSE_BOXES)
            bboxes[there] = moved.clip(0, [info.width, info.height] * 2)
        sequence = SkeletonSequence(
            keypoints=keypoints,
            keypoint_scores=scores,
            bboxes=bboxes,
            track_ids=np.arange(len(paths), dtype=np.int64),
            frame_inds=frame_inds,
            img_shape=(info.height, info.width),
            fps=info.fps,
            layout=self._pose.layout.name,
            video_id=clip.clip_id,
        )
        worth = paths[0].worth / len(candidates) if paths else 0.0
        facts = {"swaps_mended": swaps_mended, "subject_worth": round(worth, 3)}
        return FollowedClip(sequence, num_lost, facts)

    def _pose_paths(
        self,
        clip: ClipSource,
        frame_inds: np.ndarray,
        paths: list[Path],
        info: VideoInfo,
        every: int,
        on_progress: Callable[[int, int | None, int], None] | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return keypoints (M, T, V, 2), scores (M, T, V) and bboxes (M, T, 4) of the paths."""
        m, t, v = len(paths), len(frame_inds), self._pose.layout.num_keypoints
        keypoints = np.zeros((m, t, v, 2), np.float32)
        scores = np.zeros((m, t, v), np.float32)
        bboxes = np.zeros((m, t, 4), np.float32)
        found = np.zeros((m, t), bool)
        for person, path in enumerate(paths):
            bboxes[person, path.steps] = path.bboxes
            found[person, path.steps] = path.found
        on_path = np.asarray(bboxes.any(axis=-1))
        if not on_path.any():
            return keypoints, scores, bboxes
        step_of = {int(index): step for step, index in enumerate(frame_inds)}
        start, stop = clip.frame_range(info)
        with open_video(clip.path, self._decoder) as reader:
            done = 0
            for batch in prefetch(reader.batches(self._frames_per_batch, start, stop)):
                places = self._places(batch, step_of, on_path)
                keys = [place for place in places if place[2] % every == 0]
                rest = [place for place in places if place[2] % every]
                for group, config in (
                    ([place for place in keys if place[1] == 0], self._orient_configs[0]),
                    ([place for place in keys if place[1] != 0], self._orient_configs[1]),
                    (rest, None),
                ):
                    if not group:
                        continue
                    people = np.array([person for _, person, _ in group])
                    steps = np.array([step for _, _, step in group])
                    frames = [batch.frames[i] for i, _, _ in group]
                    boxes = bboxes[people, steps]
                    if group is rest:
                        before = people, steps - steps % every
                        points, point_scores, num_crops = estimate_carried(
                            self._pose,
                            frames,
                            boxes,
                            keypoints[before],
                            scores[before],
                            self._batch_size,
                        )
                    else:
                        points, point_scores, num_crops = estimate_oriented(
                            self._pose, frames, boxes, self._batch_size, config
                        )
                    keypoints[people, steps] = points
                    scores[people, steps] = point_scores
                    self.people_done += num_crops
                done += len(batch.frames)
                if on_progress:
                    on_progress((t + done) // 2, t, self.people_done)
        scores[~found] *= _FILLED_SHARE
        return keypoints, scores, bboxes

    @staticmethod
    def _places(
        batch: FrameBatch, step_of: dict[int, int], on_path: np.ndarray
    ) -> list[tuple[int, int, int]]:
        """Return (frame of the batch, person, step) of all people in a batch of frames."""
        return [
            (i, person, step_of[index])
            for i, index in enumerate(batch.frame_inds.tolist())
            if index in step_of
            for person in np.flatnonzero(on_path[:, step_of[index]]).tolist()
        ]


def find_candidates(
    clip: ClipSource,
    reader: VideoReader,
    detector: PersonDetector,
    every: int,
    frames_per_batch: int,
    *,
    use_motion: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, Candidates]:
    """Return the numbers of a clip's frames, and the candidates of every n-th with what moves.

    Args:
        clip: The clip.
        reader: Its file, opened.
        detector: Gives the boxes.
        every: Look at every n-th frame.
        frames_per_batch: Frames decoded at a time.
        use_motion: Let what moves propose and widen boxes.
        on_progress: Called with the number of frames read.
    """
    start, stop = clip.frame_range(reader.info)
    candidates = Candidates((reader.info.height, reader.info.width), use_motion=use_motion)
    cue_reader = CueReader()
    waiting: deque[Detections] = deque()
    frame_inds: list[np.ndarray] = []
    done = 0
    for batch in prefetch(reader.batches(frames_per_batch, start, stop)):
        keys = batch.take(slice(-done % every, None, every))
        if len(keys.frames):
            waiting.extend(detector.detect(keys, clip.clip_id))
        for frame in keys.frames:
            cues = cue_reader.add(frame)
            if cues is not None:
                found = waiting.popleft()
                candidates.add(found.bboxes, found.scores, cues)
        frame_inds.append(batch.frame_inds)
        done += len(batch.frames)
        if on_progress:
            on_progress(done)
    cues = cue_reader.finish()
    if cues is not None:
        found = waiting.popleft()
        candidates.add(found.bboxes, found.scores, cues)
    return np.concatenate(frame_inds).astype(np.int64), candidates


def _expected(clip: ClipSource, info: VideoInfo) -> int | None:
    start, stop = clip.frame_range(info)
    end = info.num_frames if stop is None else stop
    return None if end is None else max(end - start, 0)
