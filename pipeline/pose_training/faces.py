"""What the start model says of people's faces, which few annotations hold; kept in a file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

from ... import __version__
from ...pose_extract.common.files import atomic_write, discard_leftovers
from ...pose_extract.common.geometry import body_angles, torso_lengths
from ...pose_extract.layout import COCO_17
from ...pose_extract.pose.estimator import PoseEstimator
from ...pose_extract.pose.orientation import OrientationConfig, body_extents
from .module import FOUND_TORSOS
from .people import AnnotatedPeople

# In the work_dir.
FACES_NAME = "faces.npz"

_BODY = slice(5, COCO_17.num_keypoints)
# A face is learned from the start model where it finds this share of the annotated joints of the
# body; no benchmark chose it.
_AGREED_SHARE = 0.7
_BATCH_SIZE = 32


def find_faces(
    start: str, people: AnnotatedPeople, device: str, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the start model's keypoints (N, 17, 2) and scores (N, 17) of people upright, float32.

    Each person is cropped along the axis of the annotated trunk. The scores are 0 where the model
    does not find the annotated body.

    Args:
        start: The start model, as ``PoseEstimator`` takes it.
        people: Whom it looks at.
        device: "auto", "cpu", "cuda" or "cuda:N".
        path: A ``.npz`` that keeps the answers: minutes of work for thousands of people. They are
            read back for the same model and people.
    """
    pose = PoseEstimator(start, device=device)
    key = _key(pose, people)
    kept = _read(path, key)
    if kept is not None:
        return kept
    keypoints, scores = _answers(pose, people)
    # Several processes write the same.
    discard_leftovers(path)
    with atomic_write(path) as temporary:
        np.savez(temporary, key=key, keypoints=keypoints, scores=scores)
    return keypoints, scores


def _key(pose: PoseEstimator, people: AnnotatedPeople) -> str:
    """Return a hash of all that the answers depend on: the model, the images and the labels."""
    digest = hashlib.sha256(json.dumps([__version__, pose.identity()], sort_keys=True).encode())
    for image in people.images:
        digest.update(hashlib.sha256(image).digest())
    for values in (people.keypoints, people.visible):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read(path: Path, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the answers that a file keeps; None if it is missing, damaged or of another key."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return (kept["keypoints"], kept["scores"]) if str(kept["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None


def _answers(pose: PoseEstimator, people: AnnotatedPeople) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.zeros_like(people.keypoints)
    scores = np.zeros(people.visible.shape, np.float32)
    trunk = [
        COCO_17.index(f"{side}_{part}")
        for side in ("left", "right")
        for part in ("shoulder", "hip")
    ]
    rows = np.flatnonzero(people.visible[:, trunk].all(axis=1))
    angles = body_angles(people.keypoints, COCO_17)
    centers, sizes = body_extents(
        people.keypoints, people.visible.astype(np.float32), angles, OrientationConfig()
    )
    for first in range(0, len(rows), _BATCH_SIZE):
        chosen = rows[first : first + _BATCH_SIZE]
        crops = [
            pose.crop_rotated(people.image(i), centers[[i]], sizes[[i]], angles[[i]])
            for i in chosen
        ]
        keypoints[chosen], scores[chosen] = pose.predict_with_peaks(
            type(crops[0]).concatenate(crops)
        )
    torsos = np.maximum(torso_lengths(people.keypoints, COCO_17), 1.0)
    distance = np.linalg.norm(keypoints - people.keypoints, axis=-1) / torsos[:, None]
    found = ((distance <= FOUND_TORSOS) & people.visible)[:, _BODY].sum(axis=1)
    share = found / np.maximum(people.visible[:, _BODY].sum(axis=1), 1)
    scores[share < _AGREED_SHARE] = 0.0
    return keypoints, scores
