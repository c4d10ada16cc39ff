"""Geometry of boxes and keypoints: overlap, keypoint similarity and rotation."""

from __future__ import annotations

import numpy as np

from ..layout import KeypointLayout

# Shorter ones, in the points' unit, have no direction.
_TINY = 1e-6
# Sigma of each keypoint in COCO's object keypoint similarity (OKS; cocodataset.org, keypoints
# eval, and COCOeval's ``kpt_oks_sigmas``).
COCO_SIGMAS = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
     0.087, 0.087, 0.089, 0.089],
    np.float32,
)  # fmt: skip


def scaled_size(shape: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Return width and height, at least a pixel each, of an image (height, width) at a scale."""
    height, width = shape
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def box_areas(bboxes: np.ndarray) -> np.ndarray:
    """Return (...,) areas in square pixels of (..., 4) xyxy boxes."""
    sides = np.clip(bboxes[..., 2:] - bboxes[..., :2], 0, None)
    areas: np.ndarray = sides[..., 0] * sides[..., 1]
    return areas


def pairwise_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (A, B) intersection over union of (A, 4) and (B, 4) xyxy boxes."""
    # Axis by axis: numpy is slow where the last dimension is 2.
    left, top, right, bottom = first.T[:, :, None]
    other_left, other_top, other_right, other_bottom = second.T[:, None]
    width = np.minimum(right, other_right) - np.maximum(left, other_left)
    height = np.minimum(bottom, other_bottom) - np.maximum(top, other_top)
    both = np.clip(width, 0, None) * np.clip(height, 0, None)
    union = box_areas(first)[:, None] + box_areas(second)[None] - both
    iou: np.ndarray = both / np.maximum(union, 1e-6)
    return iou


def blend_boxes_with_keypoints(
    bboxes: np.ndarray, keypoints: np.ndarray, share: float, margin: float
) -> np.ndarray:
    """Return boxes (..., 4) xyxy between the given ones and the extent of their keypoints.

    Args:
        bboxes: (..., 4) xyxy in pixels.
        keypoints: (..., V, 2) in the same pixels.
        share: Weight of the keypoints' extent, 0 (the given boxes) to 1 (the extent alone).
        margin: How far a body reaches beyond its keypoints on each side, over their extent.
    """
    low, high = keypoints.min(axis=-2), keypoints.max(axis=-2)
    reach = margin * (high - low)
    extents = np.concatenate([low - reach, high + reach], axis=-1)
    blended: np.ndarray = bboxes + share * (extents - bboxes)
    return blended


def pairwise_oks(
    first: np.ndarray,
    second: np.ndarray,
    weights_first: np.ndarray,
    weights_second: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray = COCO_SIGMAS,
) -> np.ndarray:
    """Return (A, B) object keypoint similarity (OKS) of poses, 1 for equal ones.

    ``sum_v w_v exp(-d_v^2 / (2 area (2 sigma_v)^2)) / sum_v w_v`` over the keypoints v, where
    ``w_v`` is the product of both poses' weights for the keypoint.

    Args:
        first: (A, V, 2) keypoints in pixels.
        second: (B, V, 2) keypoints in pixels.
        weights_first: (A, V) scores or visibility.
        weights_second: (B, V) scores or visibility.
        areas: (A,) or (A, B) area of the person in square pixels.
        sigmas: (V,) OKS sigmas.
    """
    squared = ((first[:, None] - second[None]) ** 2).sum(axis=-1)  # (A, B, V)
    areas = areas[:, None] if areas.ndim == 1 else areas
    weight = weights_first[:, None] * weights_second[None]
    similarity = (weight * keypoint_similarity(squared, areas, sigmas)).sum(axis=-1)
    oks: np.ndarray = similarity / np.maximum(weight.sum(axis=-1), 1e-6)
    return oks


def keypoint_similarity(
    squared: np.ndarray, areas: np.ndarray, sigmas: np.ndarray = COCO_SIGMAS
) -> np.ndarray:
    """Return (..., V) similarity of keypoints, 1 for equal ones: COCO's OKS before it is averaged.

    ``exp(-d^2 / (2 area (2 sigma)^2))``, as pycocotools computes it.

    Args:
        squared: (..., V) squared distances in pixels.
        areas: (...) area of the person in square pixels.
        sigmas: (V,) OKS sigmas.
    """
    variance = 2 * np.maximum(areas, 1.0)[..., None] * (2 * sigmas) ** 2
    similarity: np.ndarray = np.exp(-squared / variance)
    return similarity


def rotate_points(points: np.ndarray, degrees: np.ndarray | float) -> np.ndarray:
    """Rotate points (..., 2) about the origin, clockwise as seen in an image (y points down)."""
    radians = np.deg2rad(np.asarray(degrees, np.float32))
    cos, sin = np.cos(radians), np.sin(radians)
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def body_angles(keypoints: np.ndarray, layout: KeypointLayout) -> np.ndarray:
    """Return the rotation (N,) float32, in degrees, of bodies (N, V, 2): clockwise from standing.

    It is the angle of the line from the middle of the shoulders to the middle of the hips: 0 for a
    person who stands, 180 in a handstand, -180 to 180.
    """
    down = _trunks(keypoints, layout)
    angles: np.ndarray = np.degrees(np.arctan2(-down[:, 0], down[:, 1])).astype(np.float32)
    return angles


def flexion_degrees(upper: np.ndarray, joint: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Return by how many degrees joints are bent: 0 where the three points lie in line, up to 180.

    Args:
        upper, joint, lower: (..., 2) points, such as hips, knees and ankles.

    Returns:
        (...,), NaN where the joint lies on one of the others.
    """
    one, two = joint - upper, lower - joint
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(two, axis=-1)
    cosine = (one * two).sum(-1) / np.maximum(norms, _TINY)
    degrees: np.ndarray = np.degrees(np.arccos(cosine.clip(-1, 1)))
    return np.where(norms > _TINY, degrees, np.nan)


def torso_lengths(keypoints: np.ndarray, layout: KeypointLayout) -> np.ndarray:
    """Return (N,) lengths from mid-shoulder to mid-hip of bodies (N, V, 2), in their unit."""
    return np.asarray(np.linalg.norm(_trunks(keypoints, layout), axis=-1))


def _trunks(keypoints: np.ndarray, layout: KeypointLayout) -> np.ndarray:
    """Return (N, 2), the way from mid-shoulder to mid-hip."""
    left, right = layout.index("left_shoulder"), layout.index("right_shoulder")
    shoulders = (keypoints[:, left] + keypoints[:, right]) / 2
    left, right = layout.index("left_hip"), layout.index("right_hip")
    return np.asarray((keypoints[:, left] + keypoints[:, right]) / 2 - shoulders)
