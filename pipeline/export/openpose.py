"""OpenPose's output: a folder per clip, one JSON file per frame, keypoints as BODY_25.

The files are those of its ``--write_json`` (doc/02_output.md of OpenPose, "JSON Output Format" and
"Pose Output Format (BODY_25)", its default model). Pose2Sim looks for them in folders whose names
hold "json", and takes the last number of a file's name for the frame; its skeleton is BODY_25.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import below
from ...pose_extract.skeleton import SkeletonSequence
from .motion import Scale, every_frame

__all__ = ["BODY_25", "write_openpose"]

# Each of BODY_25's keypoints as the middle of ours; COCO has no feet.
BODY_25: dict[str, tuple[str, ...]] = {
    "Nose": ("nose",),
    "Neck": ("left_shoulder", "right_shoulder"),
    "RShoulder": ("right_shoulder",),
    "RElbow": ("right_elbow",),
    "RWrist": ("right_wrist",),
    "LShoulder": ("left_shoulder",),
    "LElbow": ("left_elbow",),
    "LWrist": ("left_wrist",),
    "MidHip": ("left_hip", "right_hip"),
    "RHip": ("right_hip",),
    "RKnee": ("right_knee",),
    "RAnkle": ("right_ankle",),
    "LHip": ("left_hip",),
    "LKnee": ("left_knee",),
    "LAnkle": ("left_ankle",),
    "REye": ("right_eye",),
    "LEye": ("left_eye",),
    "REar": ("right_ear",),
    "LEar": ("left_ear",),
    "LBigToe": (),
    "LSmallToe": (),
    "LHeel": (),
    "RBigToe": (),
    "RSmallToe": (),
    "RHeel": (),
}
_EMPTY = (
    "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d",
    "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
)  # fmt: skip
_OURS = re.compile(r"_\d{12,}_keypoints\.json\Z")


def write_openpose(sequence: SkeletonSequence, folder: Path, name: str, scale: Scale) -> list[Path]:
    """Write the folder NAME_json; see ``ClipFormat``. A frame without people has an empty list.

    Files are numbered by the frames' numbers in the video's file. ``person_id`` is the index of
    the person, 0 the athlete; who is not seen in a frame is not in its list. A keypoint that is not
    seen is 0, 0, 0; neck and hips' middle have the lower score of their two sides.

    Raises:
        SkelactError: if the folder is there and holds other files.
    """
    whole = every_frame(sequence)
    target = below(folder, f"{name}_json")
    _check_ours(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    triples = _body_25(whole, scale.points(whole))
    present = whole.is_present()
    with tempfile.TemporaryDirectory(prefix=".openpose-", dir=target.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        stem = target.name.removesuffix("_json")
        for step, frame in enumerate(whole.frame_inds.tolist()):
            people = [
                {"person_id": [person], "pose_keypoints_2d": triples[person, step].tolist()}
                | {part: [] for part in _EMPTY}
                for person in np.flatnonzero(present[:, step]).tolist()
            ]
            path = made / f"{stem}_{frame:012d}_keypoints.json"
            path.write_text(json.dumps({"version": 1.3, "people": people}), encoding="utf-8")
        if target.exists():
            os.replace(target, Path(temporary) / "before")
        os.replace(made, target)
    return [target]


def _check_ours(target: Path) -> None:
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise SkelactError(f"{target}: expected a place for a folder, and a file is there")
    others = [entry.name for entry in os.scandir(target) if not _OURS.search(entry.name)]
    if others:
        raise SkelactError(
            f"{target} is to be replaced and holds {others[0]!r}, which is none of OpenPose's "
            "files; move it away or take another --out"
        )


def _body_25(sequence: SkeletonSequence, points: np.ndarray) -> np.ndarray:
    """Return (M, T, 75): x, y, score of each keypoint, rounded."""
    layout = sequence.keypoint_layout
    found = np.zeros((*points.shape[:2], len(BODY_25), 3))
    for i, names in enumerate(BODY_25.values()):
        if not names:
            continue
        inds = [layout.index(name) for name in names]
        scores = sequence.keypoint_scores[:, :, inds].min(axis=2)
        seen = scores > 0
        found[:, :, i, :2] = np.where(seen[..., None], points[:, :, inds].mean(axis=2).round(3), 0)
        found[:, :, i, 2] = scores.round(4)
    return found.reshape(*points.shape[:2], 3 * len(BODY_25))
