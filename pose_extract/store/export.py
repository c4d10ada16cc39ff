"""Write skeleton sequences in the forms of other tools: PYSKL's dictionary, COCO keypoint JSON."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..common.files import atomic_write
from ..layout import COCO_17
from ..skeleton import SkeletonSequence
from .manifest import ManifestEntry

NO_LABEL = -1


def label_index(labels: Iterable[str | None]) -> dict[str, int]:
    """Return a class index per label text.

    Labels that are all whole numbers keep their value; others are numbered in sorted order.
    """
    names = sorted({label for label in labels if label})
    if all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: i for i, name in enumerate(names)}


def write_pyskl(
    path: Path, items: Iterable[tuple[ManifestEntry, SkeletonSequence]], labels: dict[str, int]
) -> int:
    """Write PYSKL's annotation dictionary, which MMAction2 reads too.

    ``{"split": {name: [frame_dir]}, "annotations": [...]}`` with ``keypoint`` (M,T,V,2) float32
    pixels and ``keypoint_score`` (M,T,V) float32. ``frame_dir`` is the clip's whole id, so that
    ``a.b.mp4`` and ``a.c.mp4`` stay two clips. A clip without a label has label -1; clips without
    a split form the split "all"; a clip without people holds one person never seen, since the
    readers expect at least one. ``label_names`` is added where labels are words.

    Returns:
        The number of annotations.
    """
    splits: dict[str, list[str]] = {}
    annotations = []
    for entry, sequence in items:
        splits.setdefault(entry.split or "all", []).append(entry.video)
        annotations.append(_pyskl_annotation(entry, sequence, labels))
    data: dict[str, Any] = {"split": splits, "annotations": annotations}
    if any(name != str(index) for name, index in labels.items()):
        data["label_names"] = sorted(labels, key=lambda name: labels[name])
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        pickle.dump(data, stream, protocol=4)
    return len(annotations)


def _pyskl_annotation(
    entry: ManifestEntry, sequence: SkeletonSequence, labels: dict[str, int]
) -> dict[str, Any]:
    keypoints, scores = sequence.keypoints, sequence.keypoint_scores
    if sequence.num_person == 0:
        keypoints = np.zeros((1, *keypoints.shape[1:]), np.float32)
        scores = np.zeros((1, *scores.shape[1:]), np.float32)
    label = labels[entry.label] if entry.label else NO_LABEL
    return pyskl_record(entry.video, label, sequence.img_shape, keypoints, scores)


def pyskl_record(
    frame_dir: str,
    label: int,
    img_shape: tuple[int, int] | None,
    keypoints: np.ndarray,
    scores: np.ndarray,
) -> dict[str, Any]:
    """Return a clip as PYSKL writes it.

    Args:
        frame_dir: What the clip is called.
        label: Number of its class.
        img_shape: (height, width) of its pictures, or None where they are unknown.
        keypoints: (M, T, V, 2), pixels.
        scores: (M, T, V).
    """
    return {
        "frame_dir": frame_dir,
        "label": label,
        "img_shape": img_shape,
        "original_shape": img_shape,
        "total_frames": keypoints.shape[1],
        "keypoint": keypoints,
        "keypoint_score": scores,
    }


def write_coco(path: Path, items: Iterable[tuple[ManifestEntry, SkeletonSequence]]) -> int:
    """Write COCO keypoint JSON: an image per frame with people, an annotation per person in it.

    ``keypoints`` holds x, y in pixels and v = 2 where the score is above 0; ``keypoint_scores``
    and ``track_id`` are added as video tools expect them. Boxes are xywh.

    Returns:
        The number of annotations.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for entry, sequence in items:
        present = sequence.is_present()
        for step in np.flatnonzero(present.any(axis=0)).tolist():
            image_id = len(images) + 1
            images.append(_coco_image(entry, sequence, image_id, int(sequence.frame_inds[step])))
            for person in np.flatnonzero(present[:, step]).tolist():
                annotations.append(
                    _coco_annotation(sequence, person, step, image_id, len(annotations) + 1)
                )
    data = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "person",
                "keypoints": list(COCO_17.keypoint_names),
                # COCO counts keypoints from 1.
                "skeleton": [[i + 1, j + 1] for i, j in COCO_17.edges],
            }
        ],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")
    return len(annotations)


def _coco_image(
    entry: ManifestEntry, sequence: SkeletonSequence, image_id: int, frame: int
) -> dict[str, Any]:
    height, width = sequence.img_shape
    return {
        "id": image_id,
        "file_name": f"{entry.video}/{frame:06d}",
        "video": entry.video,
        "frame_id": frame,
        "height": height,
        "width": width,
    }


def _coco_annotation(
    sequence: SkeletonSequence, person: int, step: int, image_id: int, annotation_id: int
) -> dict[str, Any]:
    scores = sequence.keypoint_scores[person, step]
    seen = scores > 0
    x1, y1, x2, y2 = sequence.bboxes[person, step].tolist()
    triples = np.column_stack([sequence.keypoints[person, step], np.where(seen, 2, 0)])
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "track_id": int(sequence.track_ids[person]),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "num_keypoints": int(seen.sum()),
        "keypoints": [round(value, 3) for value in triples.ravel().tolist()],
        "keypoint_scores": [round(value, 4) for value in scores.tolist()],
        "score": round(float(scores[seen].mean()), 4),
    }
