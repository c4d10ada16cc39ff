"""One record of a PYSKL annotation file, checked: each fault is said in words.

Records come from other people's programs. A label that is text, an array of the wrong shape or
frames that are padding would otherwise be learned from without a word.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...pose_extract.layout import COCO_17

NO_LABEL = -1

# Above any list of actions (Kinetics has 700), and far below what a class index in 64 bits would
# make a network's last layer.
MAX_CLASSES = 100_000

# No frame is a million pixels wide; beyond it the arithmetic of float32 would give infinities.
_MAX_PIXELS = 1e6

# Names of clips are paths, and those have at most 4096 bytes on Linux.
_MAX_NAME = 4096

# JHMDB's 15 joints in the order of its files, by their COCO names; COCO has no neck and no belly.
_JHMDB_15 = (
    None, None, "nose", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow",
    "left_elbow", "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle",
    "left_ankle",
)  # fmt: skip


def read_record(record: object) -> dict[str, Any]:
    """Return the fields of an :class:`Annotation` from a record of an annotation file.

    Frames from ``total_frames`` on are padding and left out. Joints whose coordinates or score are
    not finite count as missing; without scores all other joints have score 1.

    Raises:
        ValueError: naming the entry, what was expected and what came.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"expected a dictionary, got {shown(record)}")
    frame_dir = _frame_dir(record)
    label = _label(record.get("label", NO_LABEL))
    keypoints, scores = _skeletons(record)
    num_frames = _total_frames(record.get("total_frames"), keypoints.shape[1])
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, which is missing
        keypoints = keypoints[:, :num_frames, :, :2].astype(np.float32, copy=False)
        scores = scores[:, :num_frames].astype(np.float32, copy=False)
    if keypoints.shape[2] == len(_JHMDB_15):
        keypoints, scores = _jhmdb_to_coco(keypoints, scores)
    if keypoints.shape[2] != COCO_17.num_keypoints:
        raise ValueError(f"keypoint: expected 17 COCO keypoints, got {keypoints.shape[2]}")
    seen = np.asarray(np.isfinite(keypoints).all(axis=-1) & np.isfinite(scores))
    far = np.abs(keypoints).max(initial=0, where=(seen & (scores > 0))[..., None])
    if far > _MAX_PIXELS:
        raise ValueError(f"keypoint: expected pixels of a frame, got a coordinate of {far:.3g}")
    return {
        "frame_dir": frame_dir,
        "label": label,
        "keypoints": np.where(seen[..., None], keypoints, np.float32(0)),
        "keypoint_scores": np.where(seen, scores, np.float32(0)),
        "img_shape": _img_shape(record.get("img_shape")),
    }


def whole_number(value: object) -> int | None:
    """Return a whole number as int, also numpy's and 2.0; None for anything else, text too."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return int(value)
    return None


def name_of(value: object) -> str | None:
    """Return a name as text, also a whole number's; None for anything else, or an absurd length."""
    number = whole_number(value)
    if number is not None:
        return str(number)
    is_name = isinstance(value, str) and 0 < len(value) <= _MAX_NAME
    return str(value) if is_name else None


def shown(value: object) -> str:
    """Return a value as an error shows it: short, however long it is."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return reprlib.repr(value)


def _frame_dir(record: Mapping[str, Any]) -> str:
    if "frame_dir" not in record:
        raise ValueError("it has no 'frame_dir'; expected the name of the clip")
    name = name_of(record["frame_dir"])
    if name is None:
        raise ValueError(
            f"frame_dir: expected the name of the clip, got {shown(record['frame_dir'])}"
        )
    return name


def _label(value: object) -> int:
    label = whole_number(value)
    if label is None or not NO_LABEL <= label < MAX_CLASSES:
        raise ValueError(
            f"label: expected a class index, a whole number from 0 to {MAX_CLASSES - 1}, or -1 for "
            f"a clip without a label, got {shown(value)}; a name belongs in 'label_names' of the "
            "file, and a clip has one label"
        )
    return label


def _skeletons(record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (M, T, V, 2 or 3) and scores (M, T, V) as they stand in the record."""
    if record.get("keypoint") is None:
        raise ValueError(
            "it has no 'keypoint'; expected an array (M, T, V, 2) of pixels, x then y; skeletons "
            "that lie in files of their own are not read"
        )
    keypoints = _numbers("keypoint", record["keypoint"])
    if keypoints.ndim != 4 or keypoints.shape[-1] not in (2, 3):
        raise ValueError(f"keypoint: expected (M, T, V, 2), got {keypoints.shape}")
    if record.get("keypoint_score") is None:
        return keypoints, np.ones(keypoints.shape[:3], np.float32)
    scores = _numbers("keypoint_score", record["keypoint_score"])
    if scores.shape != keypoints.shape[:3]:
        raise ValueError(f"keypoint_score: expected {keypoints.shape[:3]}, got {scores.shape}")
    return keypoints, scores


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{name}: expected an array of numbers, got {shown(value)}") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected an array of numbers, got {shown(value)}")
    return array


def _total_frames(value: object, num_frames: int) -> int:
    if value is None:
        return num_frames
    total = whole_number(value)
    if total is None or not 0 <= total <= num_frames:
        raise ValueError(
            f"total_frames: expected 0 to {num_frames}, the frames of 'keypoint', got "
            f"{shown(value)}; frames beyond total_frames are padding"
        )
    return total


def _img_shape(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        height, width = (whole_number(side) for side in value)
    except (TypeError, ValueError):
        height = width = None
    if height is None or width is None or min(height, width) < 1:
        raise ValueError(f"img_shape: expected (height, width) in pixels, got {shown(value)}")
    return height, width


def _jhmdb_to_coco(keypoints: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shape = (*keypoints.shape[:2], COCO_17.num_keypoints)
    coco, coco_scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    for joint, name in enumerate(_JHMDB_15):
        if name is not None:
            coco[..., COCO_17.index(name), :] = keypoints[..., joint, :]
            coco_scores[..., COCO_17.index(name)] = scores[..., joint]
    return coco, coco_scores
