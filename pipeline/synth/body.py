"""Bodies of divers: lengths, masses, and joints in a posture.

The body's own axes: x to the chest, y to the head, z to its right; metres.
"""

from __future__ import annotations

import numpy as np

from ...pose_extract.layout import COCO_17
from .postures import ANGLES

# Segments: the body points at both ends, and the share of the body's mass (Winter 2009, Tab. 4.1).
SEGMENTS = (
    ("shoulder", "hip", 0.497),
    ("shoulder", "head", 0.081),
    ("shoulder_l", "elbow_l", 0.028),
    ("shoulder_r", "elbow_r", 0.028),
    ("elbow_l", "wrist_l", 0.022),
    ("elbow_r", "wrist_r", 0.022),
    ("hip", "knee", 0.2),
    ("knee", "ankle", 0.122),
)


class Body:
    """Bodies of N divers: lengths in metres, drawn around shares of the height (Winter 2009).

    Args:
        count: N.
        rng: Random state.
    """

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.height = rng.uniform(1.48, 1.85, count).astype(np.float32)

        def part(share: float) -> np.ndarray:
            varied = share * rng.normal(1, 0.05, count).clip(0.85, 1.15)
            return (varied * self.height).astype(np.float32)[:, None]

        self.trunk, self.neck = part(0.288), part(0.105)
        self.upper_arm, self.forearm = part(0.186), part(0.146)
        self.thigh, self.shank = part(0.245), part(0.246)
        self.shoulder, self.hip = part(0.115), part(0.058)
        self.head = part(0.07)

    def pose(self, postures: np.ndarray) -> dict[str, np.ndarray]:
        """Return body points by name, each (N, T, 3) float32 metres, from the centre of the hips.

        Args:
            postures: (N, T, 9) degrees, the angles ``ANGLES``.
        """
        angle = {name: np.radians(postures[..., i]) for i, name in enumerate(ANGLES)}
        zero = np.zeros_like(angle["hip"])
        points = {
            "hip": np.stack([zero, zero, zero], -1),
            "shoulder": np.stack([zero, zero + self.trunk, zero], -1),
        }
        thigh, shank = angle["hip"], angle["hip"] - angle["knee"]
        points["knee"] = _swing(thigh, self.thigh)
        points["ankle"] = points["knee"] + _swing(shank, self.shank)
        nod = np.pi - angle["neck"]
        points["head"] = points["shoulder"] + _swing(nod, self.neck)
        points["face"] = points["head"] + _swing(np.pi / 2 - angle["neck"], self.head)
        for side, sign in (("l", -1.0), ("r", 1.0)):
            lift, out = angle[f"lift_{side}"], sign * angle[f"out_{side}"]
            shoulder = points["shoulder"] + np.stack([zero, zero, zero + sign * self.shoulder], -1)
            elbow = shoulder + _swing(lift, self.upper_arm, out)
            bend = angle[f"elbow_{side}"]
            # A bent arm closes towards the chest; one that is raised closes over the head.
            wrist = elbow + _swing(
                lift + bend * np.cos(lift), self.forearm, out - sign * 0.3 * bend
            )
            points |= {f"shoulder_{side}": shoulder, f"elbow_{side}": elbow, f"wrist_{side}": wrist}
        return points

    def center(self, points: dict[str, np.ndarray]) -> np.ndarray:
        """Return the centre of mass (N, T, 3), metres, from body points."""
        total: np.ndarray = sum(
            mass * (points[one] + points[two]) / 2 for one, two, mass in SEGMENTS
        )
        return total

    def coco(self, points: dict[str, np.ndarray]) -> np.ndarray:
        """Return the 17 joints of COCO, (N, T, 17, 3) float32 metres, from body points."""
        right = np.zeros((*points["hip"].shape[:2], 3), np.float32)
        right[..., 2] = self.hip
        forward = points["face"] - points["head"]
        nod = np.stack([-forward[..., 1], forward[..., 0], forward[..., 2]], -1)
        half_head = right / self.hip[..., None] * self.head[..., None]
        eye, ear = points["head"] + 0.85 * forward + 0.3 * nod, points["head"] + 0.2 * nod
        named = {
            "nose": points["face"],
            "left_eye": eye - 0.45 * half_head,
            "right_eye": eye + 0.45 * half_head,
            "left_ear": ear - half_head,
            "right_ear": ear + half_head,
        }
        for side, sign in (("left", -1.0), ("right", 1.0)):
            for joint in ("shoulder", "elbow", "wrist"):
                named[f"{side}_{joint}"] = points[f"{joint}_{side[0]}"]
            for joint in ("hip", "knee", "ankle"):
                named[f"{side}_{joint}"] = points[joint] + sign * right
        return np.stack([named[name] for name in COCO_17.keypoint_names], axis=2)


def _swing(angle: np.ndarray, length: np.ndarray, out: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the vector of a limb (N, T, 3).

    It hangs down at angle 0 and points to the chest at 90 degrees; ``out`` moves it sideways. Both
    angles are in radians.
    """
    near = length * np.cos(out)
    limb = np.empty((*angle.shape, 3), np.float32)
    limb[..., 0] = near * np.sin(angle)
    limb[..., 1] = -near * np.cos(angle)
    limb[..., 2] = length * np.sin(out)
    return limb
