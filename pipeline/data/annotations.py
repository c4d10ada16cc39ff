"""Labelled skeletons in memory: PYSKL annotation files, and skeletons fresh from extraction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import shared_folder
from ...pose_extract.common.safe_pickle import load_pickle
from ...pose_extract.layout import COCO_17
from ...pose_extract.skeleton import SkeletonSequence

NO_LABEL = -1

# JHMDB's 15 joints in its files' order, by their COCO names; neck and belly have none.
_JHMDB_15 = (
    None, None, "nose", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow",
    "left_elbow", "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle",
    "left_ankle",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Annotation:
    """The skeletons of one clip, with its label.

    Attributes:
        frame_dir: What the clip is called.
        label: Class index, or -1 where unknown.
        keypoints: (M, T, V, 2) float32, pixels, x then y.
        keypoint_scores: (M, T, V) float32; 0 where a joint is missing.
        img_shape: (height, width) in pixels, or None where the file does not say.
    """

    frame_dir: str
    label: int
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    img_shape: tuple[int, int] | None

    @classmethod
    def from_sequence(cls, sequence: SkeletonSequence, label: int = NO_LABEL) -> Annotation:
        """Take a sequence from extraction or its cache."""
        return cls(
            sequence.video_id,
            label,
            sequence.keypoints,
            sequence.keypoint_scores,
            sequence.img_shape,
        )


@dataclass(frozen=True, eq=False)
class AnnotationFile:
    """All clips of an annotation file and its splits.

    Attributes:
        path: Where it was read from.
        annotations: The clips, by name.
        splits: Names of the clips in each split.
        label_names: Class names, where the file has them.
    """

    path: Path
    annotations: Mapping[str, Annotation]
    splits: Mapping[str, Sequence[str]]
    label_names: tuple[str, ...] | None = None

    def select(self, split: str) -> list[Annotation]:
        """Return the clips of a split.

        Raises:
            SkelactError: if there is no such split, it is empty, or it names clips that are not
                there.
        """
        if split not in self.splits:
            raise SkelactError(
                f"{self.path} has no split {split!r}; it has: {', '.join(sorted(self.splits))}"
            )
        names = self.splits[split]
        missing = [name for name in names if name not in self.annotations]
        if missing or not names:
            what = f"clips that it lacks, such as {missing[0]}" if missing else "no clip"
            raise SkelactError(f"{self.path}: split {split!r} names {what}; is the file whole?")
        return [self.annotations[name] for name in names]


def annotation_path(ann_file: str) -> Path:
    """Return the file that a config names, its variables filled in.

    Raises:
        SkelactError: if it is not there.
    """
    # The one variable that has a default when it is not set.
    text = ann_file.replace("${SKELACT_SHARED}", str(shared_folder()))
    path = Path(os.path.expandvars(text)).expanduser()
    if not path.is_file():
        raise SkelactError(
            f"no annotation file at {path}; give its place with --ann-file, see docs/data.md for "
            "where the public ones come from"
        )
    return path


def load_annotations(path: Path) -> AnnotationFile:
    """Read a PYSKL annotation file: ``{"split": ..., "annotations": [...]}``.

    float16 keypoints become float32; keypoints without scores count as seen. JHMDB's 15 joints
    become COCO-17 with the face's centre as the nose; the joints it lacks have score 0.

    Raises:
        SkelactError: if the file cannot be read safely or is not of that form.
    """
    path = Path(path)
    data = load_pickle(path)
    if not isinstance(data, dict) or not {"split", "annotations"} <= set(data):
        raise SkelactError(
            f"{path}: expected PYSKL's dictionary with 'split' and 'annotations', got "
            f"{sorted(data) if isinstance(data, dict) else type(data).__name__}"
        )
    annotations = {}
    for i, record in enumerate(data["annotations"]):
        try:
            annotation = _annotation(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SkelactError(f"{path}: annotation {i}: {error!r}") from None
        if annotation.frame_dir in annotations:
            raise SkelactError(
                f"{path}: two annotations are called {annotation.frame_dir!r}; expected unique "
                "frame_dir"
            )
        annotations[annotation.frame_dir] = annotation
    splits = {str(name): [str(clip) for clip in clips] for name, clips in data["split"].items()}
    names = data.get("label_names")
    return AnnotationFile(path, annotations, splits, tuple(map(str, names)) if names else None)


def label_fraction(clips: list[Annotation], share: float, seed: int) -> list[Annotation]:
    """Keep a share of the clips of each class, at least one, drawn by ``seed``."""
    if not 0 < share <= 1:
        raise SkelactError(f"data.label_fraction: expected above 0 to 1, got {share}")
    if share == 1:
        return clips
    order = np.random.default_rng(seed).permutation(len(clips))
    kept: list[int] = []
    for label in sorted({clip.label for clip in clips}):
        mine = [i for i in order.tolist() if clips[i].label == label]
        kept += mine[: max(1, round(share * len(mine)))]
    return [clips[i] for i in sorted(kept)]


def _annotation(record: Mapping[str, Any]) -> Annotation:
    keypoints = np.asarray(record["keypoint"], dtype=np.float32)
    if keypoints.ndim != 4 or keypoints.shape[-1] < 2:
        raise ValueError(f"keypoint: expected (M, T, V, 2), got {keypoints.shape}")
    keypoints = keypoints[..., :2]
    scores = record.get("keypoint_score")
    if scores is None:
        scores = np.ones(keypoints.shape[:3], np.float32)
    scores = np.asarray(scores, dtype=np.float32)
    if scores.shape != keypoints.shape[:3]:
        raise ValueError(f"keypoint_score: expected {keypoints.shape[:3]}, got {scores.shape}")
    if keypoints.shape[2] == len(_JHMDB_15):
        keypoints, scores = _jhmdb_to_coco(keypoints, scores)
    if keypoints.shape[2] != COCO_17.num_keypoints:
        raise ValueError(f"keypoint: expected 17 COCO keypoints, got {keypoints.shape[2]}")
    seen = np.asarray(np.isfinite(keypoints).all(axis=-1))
    img_shape = record.get("img_shape")
    return Annotation(
        frame_dir=str(record["frame_dir"]),
        label=int(record.get("label", NO_LABEL)),
        keypoints=np.where(seen[..., None], keypoints, 0).astype(np.float32),
        keypoint_scores=np.where(seen, scores, 0).astype(np.float32),
        img_shape=(int(img_shape[0]), int(img_shape[1])) if img_shape is not None else None,
    )


def _jhmdb_to_coco(keypoints: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shape = (*keypoints.shape[:2], COCO_17.num_keypoints)
    coco, coco_scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    for theirs, name in enumerate(_JHMDB_15):
        if name is not None:
            coco[..., COCO_17.index(name), :] = keypoints[..., theirs, :]
            coco_scores[..., COCO_17.index(name)] = scores[..., theirs]
    return coco, coco_scores
