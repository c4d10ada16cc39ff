"""Labelled skeletons: in memory, and as PYSKL annotation files, which are read and written here."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, shared_folder
from ...pose_extract.common.safe_pickle import load_pickle
from ...pose_extract.layout import COCO_17
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.manifest import ManifestEntry

NO_LABEL = -1

# JHMDB's 15 joints in the order of its files, by their COCO names; COCO has no neck and no belly.
_JHMDB_15 = (
    None, None, "nose", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow",
    "left_elbow", "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle",
    "left_ankle",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Annotation:
    """The skeletons of one clip, with its label.

    Attributes:
        frame_dir: Name of the clip, unique in a file (PYSKL's word).
        label: Class index, or -1 where it is not known.
        keypoints: (M, T, V, 2) float32, pixels, x then y.
        keypoint_scores: (M, T, V) float32; 0 where a joint is missing.
        img_shape: (height, width) of the frames in pixels, or None where it is not known.
    """

    frame_dir: str
    label: int
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    img_shape: tuple[int, int] | None

    @classmethod
    def from_sequence(cls, sequence: SkeletonSequence, label: int = NO_LABEL) -> Annotation:
        """Return the annotation of a sequence from extraction or its cache."""
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
        path: The file that was read.
        annotations: The clips, by ``frame_dir``.
        splits: ``frame_dir`` of the clips in each split.
        label_names: Class names, or None where the file has none.
    """

    path: Path
    annotations: Mapping[str, Annotation]
    splits: Mapping[str, Sequence[str]]
    label_names: tuple[str, ...] | None = None

    def select(self, split: str) -> list[Annotation]:
        """Return the clips of a split.

        Raises:
            SkelactError: if the file has no such split, the split is empty, or it names clips
                that the file lacks.
        """
        if split not in self.splits:
            raise SkelactError(
                f"{self.path} has no split {split!r}; it has: {', '.join(sorted(self.splits))}"
            )
        names = self.splits[split]
        missing = [name for name in names if name not in self.annotations]
        if missing or not names:
            what = f"clips that it lacks, such as {missing[0]}" if missing else "no clip"
            raise SkelactError(f"{self.path}: split {split!r} names {what}; is the file complete?")
        return [self.annotations[name] for name in names]


def annotation_path(ann_file: str) -> Path:
    """Return the file that a config names, with environment variables and ``~`` expanded.

    Raises:
        SkelactError: if there is no such file.
    """
    # SKELACT_SHARED has a default, which os.path.expandvars does not know.
    text = ann_file.replace("${SKELACT_SHARED}", str(shared_folder()))
    path = Path(os.path.expandvars(text)).expanduser()
    if not path.is_file():
        raise SkelactError(
            f"no annotation file at {path}; give its place with --ann-file, see docs/data.md for "
            "where the public ones come from"
        )
    return path


def load_annotations(path: str | Path) -> AnnotationFile:
    """Read a PYSKL annotation file: ``{"split": ..., "annotations": [...]}``.

    float16 keypoints become float32; finite keypoints without scores get score 1. JHMDB's 15
    joints become COCO-17 with the centre of the face as the nose; joints that JHMDB lacks have
    score 0.

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


def write_annotations(
    path: str | Path,
    annotations: Iterable[Annotation],
    splits: Mapping[str, Sequence[str]],
    label_names: Sequence[str] | None = None,
    *,
    notes: Mapping[str, str] | None = None,
) -> int:
    """Write a PYSKL annotation file, which MMAction2 reads too; complete or not at all.

    A record has ``keypoint`` (M, T, V, 2) in pixels and ``keypoint_score`` (M, T, V) in the dtype
    of the annotation, ``frame_dir``, ``label``, ``img_shape``, ``original_shape`` (the same) and
    ``total_frames`` T.

    Args:
        path: Target.
        annotations: The clips, in the order in which they are written.
        splits: ``frame_dir`` of the clips in each split.
        label_names: Class names by class index; None leaves the entry out.
        notes: Further entries of the dictionary, which readers ignore.

    Returns:
        The number of annotations.
    """
    records = [_record(annotation) for annotation in annotations]
    data: dict[str, Any] = {
        "split": {name: list(clips) for name, clips in splits.items()},
        "annotations": records,
    }
    if label_names is not None:
        data["label_names"] = list(label_names)
    data.update(notes or {})
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as stream:
        pickle.dump(data, stream, protocol=4)
    return len(records)


def _record(annotation: Annotation) -> dict[str, Any]:
    return {
        "frame_dir": annotation.frame_dir,
        "label": annotation.label,
        "img_shape": annotation.img_shape,
        "original_shape": annotation.img_shape,
        "total_frames": annotation.keypoints.shape[1],
        "keypoint": annotation.keypoints,
        "keypoint_score": annotation.keypoint_scores,
    }


def write_sequences(
    path: str | Path,
    items: Iterable[tuple[ManifestEntry, SkeletonSequence]],
    labels: Mapping[str, int],
) -> int:
    """Write extracted sequences as an annotation file; see :func:`write_annotations`.

    ``frame_dir`` is the id of the clip with its suffix, so that ``a.b.mp4`` and ``a.c.mp4`` stay
    two clips. A clip without a label has label -1; clips without a split form the split "all"; a
    clip without people holds one person whose scores are all 0, because readers expect at least
    one. Class names are written where labels are words.

    Args:
        path: Target.
        items: Clips with their line of the manifest.
        labels: Class index of each label; see :func:`label_index`.

    Returns:
        The number of annotations.
    """
    annotations: list[Annotation] = []
    splits: dict[str, list[str]] = {}
    for entry, sequence in items:
        annotation = Annotation.from_sequence(
            sequence, labels[entry.label] if entry.label else NO_LABEL
        )
        if sequence.num_person == 0:
            annotation = replace(
                annotation,
                keypoints=np.zeros((1, *sequence.keypoints.shape[1:]), np.float32),
                keypoint_scores=np.zeros((1, *sequence.keypoint_scores.shape[1:]), np.float32),
            )
        annotations.append(replace(annotation, frame_dir=entry.video))
        splits.setdefault(entry.split or "all", []).append(entry.video)
    words = any(name != str(index) for name, index in labels.items())
    names = sorted(labels, key=lambda name: labels[name]) if words else None
    return write_annotations(path, annotations, splits, names)


def label_index(labels: Iterable[str | None]) -> dict[str, int]:
    """Return the class index of each label text.

    Labels that are all whole numbers keep their value; others are numbered in sorted order.
    """
    names = sorted({label for label in labels if label})
    if all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: i for i, name in enumerate(names)}


def label_fraction(clips: list[Annotation], share: float, seed: int) -> list[Annotation]:
    """Return a share of the clips of each class, at least one, drawn by ``seed``."""
    if not 0 < share <= 1:
        raise SkelactError(f"data.label_fraction: expected above 0 to 1, got {share}")
    if share == 1:
        return clips
    order = np.random.default_rng(seed).permutation(len(clips))
    kept: list[int] = []
    for label in sorted({clip.label for clip in clips}):
        members = [i for i in order.tolist() if clips[i].label == label]
        kept += members[: max(1, round(share * len(members)))]
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
    for joint, name in enumerate(_JHMDB_15):
        if name is not None:
            coco[..., COCO_17.index(name), :] = keypoints[..., joint, :]
            coco_scores[..., COCO_17.index(name)] = scores[..., joint]
    return coco, coco_scores
