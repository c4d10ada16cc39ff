"""SkeletonSequence: the one type handed from pose extraction to everything after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    without people has M = 0; that is data, not an error. A slice gives a part of the frames:

    >>> from fractions import Fraction
    >>> sequence = SkeletonSequence(
    ...     keypoints=np.full((1, 72, 17, 2), 50, np.float32),
    ...     keypoint_scores=np.full((1, 72, 17), 0.9, np.float32),
    ...     bboxes=np.full((1, 72, 4), [40, 40, 60, 60], np.float32),
    ...     track_ids=np.array([0]),
    ...     frame_inds=np.arange(72),
    ...     img_shape=(1080, 1920),
    ...     fps=Fraction(25),
    ...     layout="coco_17",
    ...     video_id="a.mp4",
    ... )
    >>> sequence[10:20]  # doctest: +NORMALIZE_WHITESPACE
    SkeletonSequence(video_id='a.mp4', num_person=1, num_frames=10, img_shape=(1080, 1920),
                     fps=25, layout='coco_17')
    >>> sequence[10:20].frame_inds.tolist()[:3], len(sequence[::2])
    ([10, 11, 12], 36)

    Attributes:
        keypoints: (M, T, V, 2) float32, square pixels of the upright source frame, x then y.
        keypoint_scores: (M, T, V) float32, confidence, 0 and up, about 1 for a clearly seen
            joint; 0 where not seen.
        bboxes: (M, T, 4) float32, xyxy in pixels; zeros where not seen.
        track_ids: (M,) int64, unique within the clip.
        frame_inds: (T,) int64, source frame of each step, counted from 0 at the file's start.
        img_shape: (height, width) of the upright source frame in square pixels.
        fps: Nominal frame rate of the source, a fraction, in frames per second.
        layout: Name of the keypoint layout, such as ``"coco_17"``.
        video_id: What the clip is called: its relative path, with the cut if it is one.
        pts_seconds: (T,) float64, presentation time of each step, from the file's first frame;
            ``frame_inds / fps`` where none is given.
        pixel_aspect: Width over height of the pixels that the file stores. Other than 1, the
            frames were stretched to square pixels before the poses: the stored columns times
            ``pixel_aspect``, on the stored rows.
        camera_maps: (T, 2, 3) float32, the affine map from each step's pixels to those of the first
            frame of its scene: with it, the camera's motion is taken out. Identity where none is
            given.
        scene_ids: (T,) int64, number of the scene of each step, which never falls; a cut of the
            picture begins another one. 0 where none is given.
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
    pts_seconds: np.ndarray = None  # type: ignore[assignment]  # filled in by __post_init__
    pixel_aspect: Fraction = Fraction(1)
    camera_maps: np.ndarray = None  # type: ignore[assignment]  # filled in by __post_init__
    scene_ids: np.ndarray = None  # type: ignore[assignment]  # filled in by __post_init__

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
        if self.pixel_aspect <= 0:
            raise ValueError(
                "SkeletonSequence.pixel_aspect: expected a positive fraction, "
                f"got {self.pixel_aspect}"
            )
        if self.pts_seconds is None:
            object.__setattr__(self, "pts_seconds", self.frame_inds / float(self.fps))
        _check("pts_seconds", self.pts_seconds, (t,), np.float64)
        if self.camera_maps is None:
            unmoved = np.tile(np.eye(2, 3, dtype=np.float32), (t, 1, 1))
            object.__setattr__(self, "camera_maps", unmoved)
        _check("camera_maps", self.camera_maps, (t, 2, 3), np.float32)
        if self.scene_ids is None:
            object.__setattr__(self, "scene_ids", np.zeros(t, np.int64))
        _check("scene_ids", self.scene_ids, (t,), np.int64)
        if len(self.img_shape) != 2 or min(self.img_shape) <= 0:
            raise ValueError(
                "SkeletonSequence.img_shape: expected (height, width) above 0, "
                f"got {self.img_shape}"
            )
        if len(set(self.track_ids.tolist())) != m:
            raise ValueError(
                f"SkeletonSequence.track_ids: expected unique ids, got {self.track_ids}"
            )
        if t > 1 and not (np.diff(self.frame_inds) > 0).all():
            raise ValueError("SkeletonSequence.frame_inds: expected strictly increasing indices")
        if t and self.frame_inds[0] < 0:
            raise ValueError(
                "SkeletonSequence.frame_inds: expected indices from 0, the file's first frame, "
                f"got {self.frame_inds[0]}"
            )
        if t and self.pts_seconds[0] < 0:
            raise ValueError(
                "SkeletonSequence.pts_seconds: expected times from that of the file's first frame, "
                f"which is 0, got {self.pts_seconds[0]:g}"
            )
        if t > 1 and not (np.diff(self.pts_seconds) > 0).all():
            raise ValueError("SkeletonSequence.pts_seconds: expected strictly increasing times")
        if t > 1 and (np.diff(self.scene_ids) < 0).any():
            raise ValueError("SkeletonSequence.scene_ids: expected numbers that never fall")
        for name in ("keypoints", "keypoint_scores", "bboxes", "pts_seconds", "camera_maps"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"SkeletonSequence.{name}: expected finite values, got NaN or inf")

    def __repr__(self) -> str:
        height, width = map(int, self.img_shape)
        return (
            f"SkeletonSequence(video_id={self.video_id!r}, num_person={self.num_person}, "
            f"num_frames={self.num_frames}, img_shape=({height}, {width}), fps={self.fps}, "
            f"layout={self.layout!r})"
        )

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, frames: slice) -> SkeletonSequence:
        """Return the same people over some of the frames, such as ``sequence[10:20]``.

        The arrays are views of this sequence's. ``fps`` stays that of the source.

        Raises:
            TypeError: if ``frames`` is no slice; ``sequence[5:6]`` is frame 5 alone.
            ValueError: if the slice runs backwards.
        """
        if not isinstance(frames, slice):
            raise TypeError(
                f"SkeletonSequence: expected a slice of frames such as [5:6], got {frames!r}"
            )
        return replace(
            self,
            keypoints=self.keypoints[:, frames],
            keypoint_scores=self.keypoint_scores[:, frames],
            bboxes=self.bboxes[:, frames],
            frame_inds=self.frame_inds[frames],
            pts_seconds=self.pts_seconds[frames],
            camera_maps=self.camera_maps[frames],
            scene_ids=self.scene_ids[frames],
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
    def duration_seconds(self) -> float:
        """Length of the clip in real time: from its first frame to the end of its last one."""
        if self.num_frames == 0:
            return 0.0
        return float(self.pts_seconds[-1] - self.pts_seconds[0] + 1 / self.fps)

    @property
    def keypoint_layout(self) -> KeypointLayout:
        """The layout object that ``layout`` names."""
        return get_layout(self.layout)

    def is_present(self) -> np.ndarray:
        """Return (M, T) bool: whether each person is seen in each frame."""
        return np.asarray((self.keypoint_scores > 0).any(axis=-1))
