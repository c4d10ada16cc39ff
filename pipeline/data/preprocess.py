"""From the skeletons of a clip to the tensor a model sees; the same for training and prediction.

Two steps: :func:`normalize` works on all frames of a clip once, :func:`sample_steps` samples from
them. The config is saved in each checkpoint, and prediction reads it from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ... import SkelactError
from ...pose_extract.layout import KeypointLayout, get_layout
from .annotations import Annotation


@dataclass(frozen=True)
class PreprocessConfig:
    """How skeletons become model input.

    Attributes:
        layout: Keypoint layout that the skeletons must have.
        clip_len: T, frames of the model's input, sampled evenly over the clip (PYSKL's uniform
            sampling).
        num_person: M, people of the model's input: the first M, the athlete first.
        in_channels: 2 for x and y, the paper's; 3 adds the keypoint score.
        normalization: "clip_box" puts the origin at the centre of the box around all people over
            all frames and takes half its longer side as 1, so that position and size in the image
            do not matter. "body" lets it follow the first person from side to side, leaves it at
            the median height of that person, and takes half the longer side of the person's median
            box as 1: a camera that pans and other people do not matter either, nor how far the
            person goes; jumps and squats stay. "image" maps the image to -1..1 on both axes, as
            PYSKL does.
        score_thr: A joint with a score at or below it counts as missing.
        fill_missing: Coordinates of a missing joint: "zero", or "interpolate" over time between
            the frames in which it is present; a joint that is never present stays zero.
        ignore_keypoints: Names of joints that always count as missing, because the training data
            lacks them.
    """

    layout: str = "coco_17"
    clip_len: int = 64
    num_person: int = 2
    in_channels: int = 2
    normalization: Literal["clip_box", "body", "image"] = "clip_box"
    score_thr: float = 0.0
    fill_missing: Literal["zero", "interpolate"] = "interpolate"
    ignore_keypoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, low, high in (
            ("clip_len", 1, 4096),
            ("num_person", 1, 64),
            ("in_channels", 2, 3),
        ):
            if not low <= getattr(self, name) <= high:
                raise SkelactError(
                    f"preprocess.{name}: expected {low} to {high}, got {getattr(self, name)}"
                )
        if not math.isfinite(self.score_thr):
            raise SkelactError(
                f"preprocess.score_thr: expected a finite number, got {self.score_thr}"
            )
        for keypoint in self.ignore_keypoints:
            self.keypoint_layout.index(keypoint)

    @property
    def keypoint_layout(self) -> KeypointLayout:
        """The layout object that ``layout`` names."""
        return get_layout(self.layout)

    @property
    def tensor_shape(self) -> tuple[int, int, int, int]:
        """(M, T, V, C) of one clip."""
        num_keypoints = self.keypoint_layout.num_keypoints
        return self.num_person, self.clip_len, num_keypoints, self.in_channels


def normalize(annotation: Annotation, config: PreprocessConfig) -> np.ndarray:
    """Return all T' frames of a clip as (M, T', V, C) float32, normalised coordinates.

    Absent people and missing joints are zeros; a clip without people is all zeros.

    Raises:
        SkelactError: if the skeletons have another layout, or normalization is "image" and the
            annotation has no ``img_shape``.
    """
    num_keypoints = config.keypoint_layout.num_keypoints
    if annotation.keypoints.shape[2] != num_keypoints:
        raise SkelactError(
            f"{annotation.frame_dir}: expected {num_keypoints} keypoints ({config.layout}), "
            f"got {annotation.keypoints.shape[2]}"
        )
    keypoints = annotation.keypoints[: config.num_person].astype(np.float32)
    scores = annotation.keypoint_scores[: config.num_person].astype(np.float32)
    # PYSKL's files of NTU mark an absent person by zero coordinates and not by the score.
    present = (scores > config.score_thr) & (keypoints != 0).any(axis=-1)
    for keypoint in config.ignore_keypoints:
        present[:, :, config.keypoint_layout.index(keypoint)] = False

    out = np.zeros((config.num_person, *keypoints.shape[1:3], config.in_channels), np.float32)
    if not present.any():
        return out
    center, scale = _frame_of_reference(annotation, keypoints, present, config)
    points = np.where(present[..., None], (keypoints - center) / scale, 0).astype(np.float32)
    if config.fill_missing == "interpolate":
        points = _interpolate(points, present)
    out[: len(points), ..., :2] = points
    if config.in_channels == 3:
        out[: len(points), ..., 2] = np.where(present, scores, 0)
    return out


def _frame_of_reference(
    annotation: Annotation, keypoints: np.ndarray, present: np.ndarray, config: PreprocessConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return the origin and the unit of the normalised coordinates, in pixels.

    Returns:
        Both broadcast to the (M, T, V, 2) keypoints.
    """
    if config.normalization == "image":
        if annotation.img_shape is None:
            raise SkelactError(
                f"{annotation.frame_dir} has no img_shape, which normalization 'image' needs; use "
                "'clip_box'"
            )
        half = np.array(annotation.img_shape[::-1], np.float32) / 2
        return half, half
    if config.normalization == "body":
        first = int(present.any(axis=(1, 2)).argmax())
        return _body_of_reference(keypoints[first], present[first])
    # Quantiles and not the extremes: one outlier must not set the scale of a clip.
    low, high = np.quantile(keypoints[present], [0.01, 0.99], axis=0)
    side = max(float((high - low).max()), 1e-6)
    return (low + high) / 2, np.full(2, side / 2, np.float32)


def _body_of_reference(keypoints: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of a person (T, 1, 2), at its median height, and the unit (2,).

    Args:
        keypoints: (T, V, 2) of the person.
        present: (T, V) bool.
    """
    seen = present.any(axis=1)
    points = np.where(present[seen][..., None], keypoints[seen], np.nan)
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    side = max(float(np.median((high - low).max(axis=1))), 1e-6)
    middle = np.nanquantile(points, [0.25, 0.75], axis=1).mean(axis=0)
    # A frame in which the legs are hidden has its middle where it would be with them.
    ever = present.any(axis=0)
    usual = np.nanmedian((points - middle[:, None])[:, ever], axis=0)
    middle = np.nanmedian(points[:, ever] - usual, axis=1)
    steps, known = np.arange(len(present)), np.flatnonzero(seen)
    center = np.stack([np.interp(steps, known, middle[:, axis]) for axis in range(2)], axis=-1)
    center[:, 1] = np.median(middle[:, 1])
    return center[:, None].astype(np.float32), np.full(2, side / 2, np.float32)


def _interpolate(points: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Fill missing joints (M, T, V, 2) linearly over time; ends are held."""
    out = points.copy()
    steps = np.arange(points.shape[1])
    gaps = present.any(axis=1) & ~present.all(axis=1)  # (M, V): in some frames
    for person, joint in np.argwhere(gaps):
        known = present[person, :, joint]
        for axis in range(2):
            out[person, ~known, joint, axis] = np.interp(
                steps[~known], steps[known], points[person, known, joint, axis]
            )
    return out


def sample_steps(
    num_frames: np.ndarray, clip_len: int, position: np.ndarray | float = 0.5
) -> np.ndarray:
    """Sample ``clip_len`` frames: the clip is cut into as many equal spans, one frame from each.

    Frame i is ``floor((i + position) * num_frames / clip_len)``. A clip shorter than ``clip_len``
    repeats frames in place: time is stretched, where PYSKL loops such clips.

    Args:
        num_frames: (N,) int, frames of each clip, at least 1.
        clip_len: T.
        position: Position of a frame in its span, in [0, 1): a number, or (N, T) values. Random
            values give PYSKL's training samples, 0.5 is used for prediction.

    Returns:
        (N, T) int64 frame numbers, non-decreasing.
    """
    num_frames = np.asarray(num_frames)
    spans = np.arange(clip_len) + position
    steps = np.floor(spans * (num_frames[:, None] / clip_len)).astype(np.int64)
    clipped: np.ndarray = np.clip(steps, 0, num_frames[:, None] - 1)
    return clipped


def clip_positions(num_clips: int) -> list[float]:
    """Return the position in its span at which each of the test clips takes its frames."""
    return [(i + 0.5) / num_clips for i in range(num_clips)]


def preprocess(annotation: Annotation, config: PreprocessConfig, num_clips: int = 1) -> np.ndarray:
    """Return the input of a model for one clip at prediction.

    Returns:
        (num_clips, M, T, V, C) float32; zeros where the clip has no frame or no people.
    """
    frames = normalize(annotation, config)
    if frames.shape[1] == 0:
        return np.zeros((num_clips, *config.tensor_shape), np.float32)
    length = np.array([frames.shape[1]])
    clips = [
        frames[:, sample_steps(length, config.clip_len, position)[0]]
        for position in clip_positions(num_clips)
    ]
    return np.stack(clips)
