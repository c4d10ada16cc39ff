"""Labelled skeletons: in memory, and as PYSKL annotation files, which are read and written here."""

from __future__ import annotations

import os
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, shared_folder
from ...pose_extract.common.safe_pickle import load_pickle
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.manifest import ManifestEntry
from .record import MAX_CLASSES, NO_LABEL, name_of, read_record, shown


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

    @property
    def num_classes(self) -> int:
        """Number of label names, or of the class indices up to the highest that occurs."""
        highest = max((clip.label for clip in self.annotations.values()), default=NO_LABEL)
        return len(self.label_names) if self.label_names else highest + 1

    def select(self, split: str) -> list[Annotation]:
        """Return the clips of a split.

        Raises:
            SkelactError: if the file has no such split, the split is empty, or it names clips
                that the file lacks, or one of them twice.
        """
        if split not in self.splits:
            raise SkelactError(
                f"{self.path} has no split {split!r}; it has: {', '.join(sorted(self.splits))}"
            )
        names = self.splits[split]
        if not names:
            raise SkelactError(f"{self.path}: split {split!r} names no clip; is the file complete?")
        missing = [name for name in names if name not in self.annotations]
        if missing:
            raise SkelactError(
                f"{self.path}: split {split!r} names {len(missing)} clip(s) that the file lacks, "
                f"such as {missing[0]}; is the file complete?"
            )
        if len(set(names)) < len(names):
            raise SkelactError(
                f"{self.path}: split {split!r} names {_repeated(names)} twice; expected each "
                "clip once"
            )
        return [self.annotations[name] for name in names]


def expanded_path(text: str) -> Path:
    """Return the path that a config names, with environment variables and ``~`` expanded."""
    # SKELACT_SHARED has a default, which os.path.expandvars does not know.
    text = text.replace("${SKELACT_SHARED}", str(shared_folder()))
    return Path(os.path.expandvars(text)).expanduser()


def annotation_path(ann_file: str, setting: str = "--ann-file") -> Path:
    """Return the annotation file that a config names, as :func:`expanded_path` expands it.

    Args:
        ann_file: What it names.
        setting: What names it, for the message.

    Raises:
        SkelactError: if there is no such file.
    """
    path = expanded_path(ann_file)
    if not path.is_file():
        raise SkelactError(
            f"no annotation file at {path}; give its place with {setting}, see docs/data.md for "
            "where the public ones come from"
        )
    return path


def load_annotations(path: str | Path) -> AnnotationFile:
    """Read a PYSKL annotation file: ``{"split": ..., "annotations": [...]}``.

    float16 keypoints become float32; finite keypoints without scores get score 1. Frames beyond a
    clip's ``total_frames`` are padding and left out. JHMDB's 15 joints become COCO-17 with the
    centre of the face as the nose; joints that JHMDB lacks have score 0. Class names are read from
    ``label_names`` or, where that is missing, ``classes``.

    Raises:
        SkelactError: if the file cannot be read safely or is not of that form; it names the
            annotation, what was expected and what came.
    """
    path = Path(path)
    data = load_pickle(path)
    if not isinstance(data, dict) or not {"split", "annotations"} <= set(data):
        found = ", ".join(sorted(map(str, data))) if isinstance(data, dict) else type(data).__name__
        raise SkelactError(
            f"{path}: expected PYSKL's dictionary with 'split' and 'annotations', got {found}"
        )
    try:
        annotations = _read_annotations(data["annotations"])
        splits = _read_splits(data["split"])
        names = _read_label_names(data, annotations)
    except ValueError as error:
        raise SkelactError(f"{path}: {error}") from None
    return AnnotationFile(path, annotations, splits, names)


def _read_annotations(records: object) -> dict[str, Annotation]:
    if not isinstance(records, (list, tuple)):
        raise ValueError(f"annotations: expected a list, got {shown(records)}")
    annotations: dict[str, Annotation] = {}
    for i, record in enumerate(records):
        if isinstance(records, list):
            records[i] = None  # or a large file would be in memory twice
        try:
            annotation = Annotation(**read_record(record))
        except ValueError as error:
            name = record.get("frame_dir") if isinstance(record, Mapping) else None
            called = f" ({shown(name)})" if isinstance(name, str) else ""
            raise ValueError(f"annotation {i}{called}: {error}") from None
        if annotation.frame_dir in annotations:
            raise ValueError(
                f"two annotations are called {annotation.frame_dir!r}; expected unique frame_dir"
            )
        annotations[annotation.frame_dir] = annotation
    return annotations


def _read_splits(splits: object) -> dict[str, list[str]]:
    if not isinstance(splits, Mapping):
        raise ValueError(f"split: expected a dictionary of lists of clips, got {shown(splits)}")
    found = {}
    for split, clips in splits.items():
        name = name_of(split)
        if name is None:
            raise ValueError(f"split: expected names of splits, got {shown(split)}")
        if isinstance(clips, np.ndarray) and clips.ndim == 1:
            clips = clips.tolist()
        if isinstance(clips, (set, frozenset)):
            clips = sorted(clips, key=str)
        if not isinstance(clips, (list, tuple)):
            raise ValueError(f"split {shown(split)}: expected a list of clips, got {shown(clips)}")
        names = [name_of(clip) for clip in clips]
        if None in names:
            bad = shown(clips[names.index(None)])
            raise ValueError(f"split {shown(split)}: expected names of clips, got {bad}")
        found[name] = [str(clip) for clip in names]
    return found


def _read_label_names(
    data: Mapping[str, Any], annotations: Mapping[str, Annotation]
) -> tuple[str, ...] | None:
    """Return the class names, or None.

    Raises:
        ValueError: if ``label_names`` is no list of names that differ, one for each label.
    """
    if data.get("label_names") is None:
        try:
            return _checked_names("classes", data.get("classes"), annotations)
        except ValueError:
            return None  # not an entry of ours: it may hold anything
    return _checked_names("label_names", data["label_names"], annotations)


def _checked_names(
    key: str, names: Any, annotations: Mapping[str, Annotation]
) -> tuple[str, ...] | None:
    if isinstance(names, np.ndarray) and names.ndim == 1:
        names = names.tolist()
    if not isinstance(names, (list, tuple)) or any(name_of(name) is None for name in names):
        raise ValueError(f"{key}: expected a list of class names, got {shown(names)}")
    texts = tuple(str(name_of(name)) for name in names)
    if len(set(texts)) < len(texts):
        raise ValueError(f"{key}: expected each class name once, got {_repeated(texts)!r} twice")
    for clip in annotations.values():
        if texts and clip.label >= len(texts):
            raise ValueError(
                f"{clip.frame_dir}: label {clip.label} has no name: {key} has {len(texts)} (0 to "
                f"{len(texts) - 1})"
            )
    return texts or None


def _repeated(names: Iterable[str]) -> str:
    """Return the first of the names that occur several times."""
    return next(name for name, count in Counter(names).items() if count > 1)


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

    Raises:
        SkelactError: if two clips have one name, which no reader could tell apart.
    """
    records = [_record(annotation) for annotation in annotations]
    names = [record["frame_dir"] for record in records]
    if len(set(names)) < len(names):
        raise SkelactError(f"{path}: two clips are called {_repeated(names)}; nothing was written")
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

    Labels that are all whole numbers, also as "2.0", keep their value; others are numbered in
    sorted order.

    Raises:
        SkelactError: for a negative number, which would become a class of its own, or a number
            too large for a class index.
    """
    names = sorted({label for label in labels if label})
    for name in names:
        if re.fullmatch(r"\s*-\s*\d+(\.0*)?\s*", name):
            raise SkelactError(
                f"label {name!r}: expected a class name or a whole number from 0; leave the label "
                "empty for clips without one"
            )
    # Where a cell is empty, pandas writes whole numbers as "2.0".
    if names and all(re.fullmatch(r"\d+\.0", name) for name in names):
        return {name: label_index([name[:-2]])[name[:-2]] for name in names}
    # "07" and "7" are two names of one number: such labels are words.
    if all(re.fullmatch("0|[1-9][0-9]{,8}", name) for name in names):
        if names and max(map(int, names)) >= MAX_CLASSES:
            raise SkelactError(
                f"label {max(names, key=int)}: expected class indices below {MAX_CLASSES}; give "
                "names to your classes instead"
            )
        return {name: int(name) for name in names}
    return {name: i for i, name in enumerate(names)}


def check_disjoint(
    path: Path, train: tuple[str, Sequence[Annotation]], val: tuple[str, Sequence[Annotation]]
) -> None:
    """Check that two splits, each its name and its clips, share no clip.

    Raises:
        SkelactError: if they do; figures on clips that were learned from say nothing.
    """
    names = {clip.frame_dir for clip in train[1]}
    shared = [clip.frame_dir for clip in val[1] if clip.frame_dir in names]
    if shared:
        raise SkelactError(
            f"{path}: expected splits without common clips to learn from and to measure on, got "
            f"{train[0]!r} and {val[0]!r}, which share {len(shared)}, such as {shared[0]}"
        )


def label_fraction(clips: list[Annotation], share: float, draw: int) -> list[Annotation]:
    """Return a share of the clips of each class, at least one; ``draw`` seeds which."""
    if not 0 < share <= 1:
        raise SkelactError(f"data.label_fraction: expected above 0 to 1, got {share}")
    if share == 1:
        return clips
    order = np.random.default_rng(draw).permutation(len(clips))
    kept: list[int] = []
    for label in sorted({clip.label for clip in clips}):
        members = [i for i in order.tolist() if clips[i].label == label]
        kept += members[: max(1, round(share * len(members)))]
    return [clips[i] for i in sorted(kept)]
