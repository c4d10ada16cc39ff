"""Angles of a body in the plane of the image, in degrees, by name.

Joint angles follow Sports2D's conventions (https://github.com/davidpagnon/Sports2D, "Angle
conventions"), without their sign: it says to which side a joint bends, and which side is the front
cannot be told from each frame of an athlete who turns. So an arched hip counts as bent. The trunk
is given as everywhere in skelact, clockwise from upright; Sports2D's, anticlockwise from the
horizontal, is 90 minus it.

Angles of the image are those of the body only where it moves in a plane that faces the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..pose_extract.common.geometry import body_angles, flexion_degrees, torso_lengths
from ..pose_extract.skeleton import SkeletonSequence

__all__ = ["ANGLES", "JointAngle", "angle_names", "measure_angles"]

_SHOULDERS, _HIPS = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
_TRUNK = "trunk"


@dataclass(frozen=True)
class JointAngle:
    """The angle at a joint between two neighbours, 0 to 180 degrees.

    Attributes:
        upper, joint, lower: Keypoints; of several, the point in their middle.
        zero: Where the angle is 0: "straight", the three points in line, or "folded", upper and
            lower in the same direction from the joint.
    """

    upper: tuple[str, ...]
    joint: tuple[str, ...]
    lower: tuple[str, ...]
    zero: Literal["straight", "folded"] = "straight"


def _of_side(side: str) -> dict[str, JointAngle]:
    shoulder, elbow, wrist, hip, knee, ankle = (
        (f"{side}_{joint}",) for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    )
    return {
        f"{side}_knee": JointAngle(hip, knee, ankle),
        f"{side}_hip": JointAngle(shoulder, hip, knee),
        f"{side}_elbow": JointAngle(shoulder, elbow, wrist),
        # 0 with the arm along the trunk, 180 with the arm overhead.
        f"{side}_shoulder": JointAngle(hip, shoulder, elbow, "folded"),
    }


# Name: the joint. The line of the neck ends between the ears: COCO has no top of the head.
ANGLES = {
    **_of_side("left"),
    **_of_side("right"),
    "neck": JointAngle(_HIPS, _SHOULDERS, ("left_ear", "right_ear")),
}


def angle_names() -> tuple[str, ...]:
    """Return the names of all angles, A of them, in the order of :func:`measure_angles`."""
    return (*ANGLES, _TRUNK)


def measure_angles(sequence: SkeletonSequence) -> tuple[np.ndarray, np.ndarray]:
    """Measure all angles of all people in all frames.

    Joint angles are 0 to 180 degrees; see :class:`JointAngle`. The trunk, from mid-hip to
    mid-shoulder, is -180 to 180 degrees, clockwise from upright in the image: 0 standing, 180 or
    -180 upside down. The camera is taken to be level.

    Returns:
        Degrees (M, T, A) float32, NaN where a joint of the angle is not seen or two lie on each
        other; and scores (M, T, A) float32, the lowest score of the angle's joints, 0 where NaN.
    """
    layout = sequence.keypoint_layout
    # Products of far coordinates do not fit float32.
    keypoints = sequence.keypoints.astype(np.float64)

    def middle(names: tuple[str, ...]) -> np.ndarray:
        return np.asarray(keypoints[:, :, [layout.index(name) for name in names]].mean(axis=2))

    degrees, joints = [], []
    for angle in ANGLES.values():
        bent = flexion_degrees(middle(angle.upper), middle(angle.joint), middle(angle.lower))
        degrees.append(bent if angle.zero == "straight" else 180 - bent)
        joints.append((*angle.upper, *angle.joint, *angle.lower))
    flat = keypoints.reshape(-1, *keypoints.shape[2:])
    trunk = np.where(torso_lengths(flat, layout) > 0, body_angles(flat, layout), np.nan)
    degrees.append(trunk.reshape(keypoints.shape[:2]))
    joints.append((*_HIPS, *_SHOULDERS))
    scores = np.stack(
        [
            sequence.keypoint_scores[:, :, [layout.index(name) for name in names]].min(axis=2)
            for names in joints
        ],
        axis=-1,
    )
    found = np.where(scores > 0, np.stack(degrees, axis=-1), np.nan).astype(np.float32)
    return found, np.where(np.isnan(found), np.float32(0), scores)
