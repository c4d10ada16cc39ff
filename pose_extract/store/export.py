"""Write skeleton sequences as COCO keypoint JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..common.files import atomic_write
from ..layout import COCO_17
from ..skeleton import SkeletonSequence
from .manifest import ManifestEntry


def write_coco(path: str | Path, items: Iterable[tuple[ManifestEntry, SkeletonSequence]]) -> int:
    """Write COCO keypoint JSON: an image per frame with people, an annotation per person in it.

    ``keypoints`` holds x, y in pixels and v = 2 where the score is above 0, else 0;
    ``keypoint_scores`` and ``track_id`` are added, which tools for video read. Boxes are xywh in
    pixels (https://cocodataset.org/#format-data).

    Args:
        path: Target; written complete or not at all.
        items: Clips with their line of the manifest.

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
    with atomic_write(Path(path)) as temporary:
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
