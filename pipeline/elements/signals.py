"""What a skeleton shows of a rotating body in each frame, with how far it can be trusted.

Image axes: x to the right, y down. Angles are clockwise from upright as seen in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...pose_extract.common.geometry import flexion_degrees
from ...pose_extract.layout import COCO_17

_LEFT_SHOULDER, _RIGHT_SHOULDER = (COCO_17.index(f"{side}_shoulder") for side in ("left", "right"))
_LEFT_HIP, _RIGHT_HIP = (COCO_17.index(f"{side}_hip") for side in ("left", "right"))
_HEAD = np.arange(5)
_NOSE, _EARS = 0, np.array([3, 4])
_KNEES, _ANKLES = np.array([13, 14]), np.array([15, 16])
HIPS, SHOULDERS = np.array([11, 12]), np.array([5, 6])
TRUNK = np.concatenate([SHOULDERS, HIPS])
# Breadth of shoulders and hips in torso lengths: biacromial and between the hip joints over the
# length from the hips to the shoulders (Winter 2009, Fig. 4.1).
_SHOULDER_BREADTH, _HIP_BREADTH = 0.259 / 0.288, 0.191 / 0.288
# Share of the body's mass near each joint (Winter 2009, Tab. 4.1, halves of adjoining segments).
_MASSES = np.array(
    [0.04, 0, 0, 0, 0, 0.15, 0.15, 0.025, 0.025, 0.012, 0.012, 0.17, 0.17, 0.08, 0.08, 0.03, 0.03]
)
# A torso of which less is seen than this share of its length points to the camera.
_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class BodySignals:
    """Measurements of one body in T frames; weights are 0 where nothing is known.

    Attributes:
        torso: Length of the torso in pixels.
        points: (T, 17, 2) float64, joints in torso lengths, the camera's motion taken out.
        scores: (T, 17) float64, 0 to 1.
        seen: (T,) float64, 0 to 1: mean score of the joints below the head.
        center: (T, 2) float64, centre of mass in torso lengths, the camera's motion taken out.
        center_weight: (T,) float64, 0 to 1.
        axes: (T, S) float64, radians: hypotheses of the trunk's angle.
        axis_weight: (T, S) float64, score of each times the share of the torso's length seen.
        across: (T, 2) float64, right minus left of shoulders and hips in breadths of them: a
            vector of length 1 where the trunk is seen broadside.
        across_weight: (T,) float64.
        hip, knee: (T, 2) float64, flexion of the left and right hip and knee in degrees as seen, 0
            straight.
        hip_weight, knee_weight: (T, 2) float64.
        front: (T,) float64, side of the trunk on which the front of the body is, in torso lengths;
            positive is clockwise of the trunk.
        front_weight: (T,) float64.
    """

    torso: float
    points: np.ndarray
    scores: np.ndarray
    seen: np.ndarray
    center: np.ndarray
    center_weight: np.ndarray
    axes: np.ndarray
    axis_weight: np.ndarray
    across: np.ndarray
    across_weight: np.ndarray
    hip: np.ndarray
    hip_weight: np.ndarray
    knee: np.ndarray
    knee_weight: np.ndarray
    front: np.ndarray
    front_weight: np.ndarray


def measure_body(
    keypoints: np.ndarray, scores: np.ndarray, camera_maps: np.ndarray | None
) -> BodySignals | None:
    """Measure a body; None if its torso is seen in no frame.

    Args:
        keypoints: (T, 17, 2) pixels.
        scores: (T, 17), 0 to 1.
        camera_maps: (T, 2, 3) affine maps from each frame's pixels to those of one picture of the
            scene; None if the camera stands.
    """
    points = keypoints.astype(np.float64)
    if camera_maps is not None:
        maps = camera_maps.astype(np.float64)
        points = np.einsum("tij,tvj->tvi", maps[:, :, :2], points) + maps[:, None, :, 2]
    scores = scores.astype(np.float64)
    shoulders, shoulder_score = _middle(points, scores, SHOULDERS)
    hips, hip_score = _middle(points, scores, HIPS)
    trunk = shoulders - hips
    trunk_score = np.minimum(shoulder_score, hip_score)
    lengths = np.linalg.norm(trunk, axis=-1)
    if not (trunk_score * lengths > 0).any():
        return None
    # The length of a torso in the plane of the image: it is seen so in some frames of a somersault.
    torso = float(np.quantile(lengths[trunk_score > 0.5 * trunk_score.max()], 0.7)) + _TINY
    along = trunk / np.maximum(lengths, _TINY)[:, None]

    head, head_score = _middle(points, scores, _HEAD)
    segments = (
        (trunk, trunk_score),
        (points[:, 5] - points[:, 11], np.minimum(scores[:, 5], scores[:, 11])),
        (points[:, 6] - points[:, 12], np.minimum(scores[:, 6], scores[:, 12])),
        ((head - hips) / 1.35, 0.5 * np.minimum(head_score, hip_score)),
    )
    vectors = np.stack([vector for vector, _ in segments], 1)
    weights = np.stack([weight for _, weight in segments], 1)
    seen = np.linalg.norm(vectors, axis=-1) / torso
    center, center_weight = _center_of_mass(points, scores, torso)
    across, across_weight = _across(points, scores, torso)
    hip, hip_weight = _flexion(points, scores, SHOULDERS, HIPS, _KNEES)
    knee, knee_weight = _flexion(points, scores, HIPS, _KNEES, _ANKLES)
    front, front_weight = _front(points, scores, hips, head, head_score, along, torso)
    return BodySignals(
        torso=torso,
        points=points / torso,
        scores=scores,
        seen=scores[:, len(_HEAD) :].mean(axis=1),
        center=center,
        center_weight=center_weight,
        axes=np.arctan2(vectors[..., 0], -vectors[..., 1]),
        axis_weight=weights * seen.clip(0, 1),
        across=across,
        across_weight=across_weight,
        hip=hip,
        hip_weight=hip_weight,
        knee=knee,
        knee_weight=knee_weight,
        front=front,
        front_weight=front_weight * trunk_score,
    )


def _middle(
    points: np.ndarray, scores: np.ndarray, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (T, 2) of joints by their scores, and the mean of their scores (T,)."""
    weight = scores[:, joints]
    total = weight.sum(axis=1)
    mean = (points[:, joints] * weight[..., None]).sum(axis=1) / np.maximum(total, _TINY)[:, None]
    return mean, total / len(joints)


def _center_of_mass(
    points: np.ndarray, scores: np.ndarray, torso: float
) -> tuple[np.ndarray, np.ndarray]:
    weight = scores * _MASSES
    share = weight.sum(axis=1) / _MASSES.sum()
    center = (points * weight[..., None]).sum(axis=1) / np.maximum(weight.sum(axis=1), _TINY)[
        :, None
    ]
    # With less than half of the mass, the mean of what is seen is not the centre.
    return center / torso, np.where(share > 0.4, share.clip(0, 1), 0.0)


def _across(points: np.ndarray, scores: np.ndarray, torso: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit one vector in breadths to shoulders and hips: least squares with equal errors of both."""
    total, weights = np.zeros((len(points), 2)), np.zeros(len(points))
    for left, right, breadth in (
        (_LEFT_SHOULDER, _RIGHT_SHOULDER, _SHOULDER_BREADTH),
        (_LEFT_HIP, _RIGHT_HIP, _HIP_BREADTH),
    ):
        weight = scores[:, left] * scores[:, right]
        total += (weight * breadth)[:, None] * (points[:, right] - points[:, left]) / torso
        weights += weight * breadth**2
    return total / np.maximum(weights, _TINY)[:, None], weights


def _flexion(
    points: np.ndarray, scores: np.ndarray, upper: np.ndarray, joint: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return degrees (T, 2) by which the left and right joint are bent, and their scores."""
    degrees = flexion_degrees(points[:, upper], points[:, joint], points[:, lower])
    weight = np.minimum(np.minimum(scores[:, upper], scores[:, joint]), scores[:, lower])
    return np.nan_to_num(degrees, nan=90.0), np.where(np.isnan(degrees), 0.0, weight)


def _front(
    points: np.ndarray,
    scores: np.ndarray,
    hips: np.ndarray,
    head: np.ndarray,
    head_score: np.ndarray,
    along: np.ndarray,
    torso: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the front of the body is, across the trunk, and a weight.

    Thighs bend to the front of the trunk, shanks to its back, and the nose is before the ears.
    """
    across = np.stack([-along[:, 1], along[:, 0]], -1)  # clockwise of the trunk
    knees, knee_score = _middle(points, scores, _KNEES)
    ankles, ankle_score = _middle(points, scores, _ANKLES)
    ears, ear_score = _middle(points, scores, _EARS)
    thigh = ((knees - hips) * across).sum(-1) / torso
    line = ankles - hips
    length = np.maximum(np.linalg.norm(line, axis=-1), _TINY)
    # The knee lies before the line from hip to ankle; that line's clockwise side is turned over.
    normal = np.stack([line[:, 1], -line[:, 0]], -1) / length[:, None]
    bend = ((knees - hips) * normal).sum(-1) / torso
    nose = ((points[:, _NOSE] - ears) * across).sum(-1) / torso
    values = np.stack([thigh, bend, 3.0 * nose], 1).clip(-1, 1)
    weights = np.stack(
        [
            knee_score,
            np.minimum(knee_score, ankle_score),
            0.6 * np.minimum(scores[:, _NOSE], ear_score),
        ],
        1,
    )
    total = weights.sum(axis=1)
    return (values * weights).sum(axis=1) / np.maximum(total, _TINY), total / 2.6
