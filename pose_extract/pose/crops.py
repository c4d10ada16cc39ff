"""Affine crops of people: what a top-down pose network is given, and the way back to the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.geometry import rotate_points

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import TypeIs

    # In memory, or on the device of the network.
    Array = np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class PeopleFrames:
    """N people, each in a frame.

    Attributes:
        frames: F frames as ``PoseEstimator.hold`` gives them.
        rows: (N,) the frame of each person.
    """

    frames: Sequence[np.ndarray] | Array
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Crops:
    """Affine crops of people, each with its center, scale and rotation as MMPose has them.

    Attributes:
        images: (N, h, w, 3) uint8, RGB; a tensor where the network's device holds them.
        centers: (N, 2) float32, centers of the crops in pixels of the frame, x then y.
        scales: (N, 2) float32, width and height of the crops in pixels of the frame.
        rotations: (N,) float32, degrees by which the crops' axes are rotated in the frame,
            clockwise as seen.
    """

    images: Array
    centers: np.ndarray
    scales: np.ndarray
    rotations: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, inds: Sequence[int] | slice | np.ndarray) -> Crops:
        """Return some of the crops."""
        return Crops(*(getattr(self, field.name)[inds] for field in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Crops]) -> Crops:
        """Return the crops of all parts as one."""
        return Crops(*(joined([getattr(part, f.name) for part in parts]) for f in fields(Crops)))

    def to_frame(self, keypoints: np.ndarray) -> np.ndarray:
        """Return keypoints in pixels of the frame, (N, V, 2) float32.

        Args:
            keypoints: (N, V, 2) float32, in pixels of the crops.
        """
        size_wh = np.asarray(self.images.shape[2:0:-1], np.float32)
        offsets = (keypoints / size_wh - 0.5) * self.scales[:, None]
        in_frame = rotate_points(offsets, self.rotations[:, None]) + self.centers[:, None]
        return in_frame.astype(np.float32)


def is_held(values: object) -> TypeIs[Tensor]:
    """Return whether frames, crops or heatmaps are on the device of the network."""
    return not isinstance(values, (np.ndarray, Sequence))


def joined(parts: Sequence[Any]) -> Any:
    """Return the rows of all parts, arrays or tensors, as one."""
    if not is_held(parts[0]):
        return np.concatenate(parts)
    import torch

    return torch.cat(list(parts))


def maps_to_frame(
    centers: np.ndarray, scales: np.ndarray, rotations: np.ndarray, size_wh: tuple[int, int]
) -> np.ndarray:
    """Return affine maps (N, 2, 3) float64 from pixels of crops to those of their frames.

    Args:
        centers, scales, rotations: As those of :class:`Crops`.
        size_wh: Width and height of the crops, pixels.
    """
    radians = np.deg2rad(np.asarray(rotations, np.float64))
    cos, sin = np.cos(radians), np.sin(radians)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=-2)
    linear = rotation * (np.asarray(scales, np.float64) / size_wh)[:, None]
    offset = centers - linear @ (np.array(size_wh) / 2)
    return np.concatenate([linear, offset[..., None]], axis=-1)


def resample_heatmaps(
    heatmaps: Array,
    source: Crops,
    target: Crops,
    pixels_per_cell: tuple[float, float],
) -> Array:
    """Return the heatmaps of crops as other crops of the same people show them.

    Args:
        heatmaps: (N, V, h, w) float32, of ``source``.
        source: N crops.
        target: N crops of the same size, of the same frames.
        pixels_per_cell: Pixels of a crop from one cell of a heatmap to the next, along x and y.

    Returns:
        (N, V, h, w) float32, bilinear; 0 where ``source`` shows nothing.
    """
    if is_held(heatmaps):
        from .on_device import resample_maps

        return resample_maps(heatmaps, _cells_to_cells(source, target, pixels_per_cell))
    import cv2

    height, width = heatmaps.shape[2:]
    corners = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    in_crop = np.tile(corners * np.array(pixels_per_cell, np.float32), (len(heatmaps), 1, 1))
    result = np.empty_like(heatmaps)
    for row, (there, here) in enumerate(zip(source.to_frame(in_crop), target.to_frame(in_crop))):
        to_frame = np.vstack([cv2.getAffineTransform(corners, there), [0, 0, 1]])
        to_target = cv2.getAffineTransform(here, corners)
        stacked = np.ascontiguousarray(heatmaps[row].transpose(1, 2, 0))
        moved = cv2.warpAffine(stacked, to_target @ to_frame, (width, height))
        result[row] = moved.reshape(height, width, -1).transpose(2, 0, 1)
    return result


def _cells_to_cells(
    source: Crops, target: Crops, pixels_per_cell: tuple[float, float]
) -> np.ndarray:
    """Return affine maps (N, 2, 3) from cells of the heatmaps of ``target`` to ``source``'s."""
    square = np.tile(np.eye(3), (2, len(source), 1, 1))
    for maps, crops in zip(square, (source, target)):
        size_wh = crops.images.shape[2], crops.images.shape[1]
        maps[:, :2] = maps_to_frame(crops.centers, crops.scales, crops.rotations, size_wh)
        maps[:, :2, :2] *= np.array(pixels_per_cell)
    cells: np.ndarray = (np.linalg.inv(square[0]) @ square[1])[:, :2]
    return cells


def boxes_to_centers(bboxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centers (N, 2), sizes (N, 2) and rotations (N,), all 0, of (N, 4) xyxy boxes.

    As MMPose's GetBBoxCenterScale computes them, before padding.
    """
    bboxes = np.asarray(bboxes, np.float32)
    centers = (bboxes[:, 2:] + bboxes[:, :2]) * 0.5
    return centers, bboxes[:, 2:] - bboxes[:, :2], np.zeros(len(bboxes), np.float32)


def affine_crops(
    frame: np.ndarray,
    centers: np.ndarray,
    sizes: np.ndarray,
    rotations: np.ndarray,
    *,
    size_wh: tuple[int, int],
    padding: float,
    use_udp: bool,
) -> Crops:
    """Crop people out of a frame along axes of their own, as MMPose's TopdownAffine does.

    Its warp matrices are MMPose's own, which ``import_mmpose`` has to have imported.

    Args:
        frame: (H, W, 3) uint8, RGB.
        centers: (N, 2) centers of the people, pixels of the frame.
        sizes: (N, 2) width and height of the people along their own axes, pixels of the frame.
        rotations: (N,) degrees by which those axes are rotated, clockwise as seen.
        size_wh: Width and height of the crops, pixels.
        padding: Size of a crop over that of the person in it; 1.25 in MMPose.
        use_udp: Align pixels as UDP does (Huang et al., CVPR 2020).
    """
    import cv2
    from mmpose.structures.bbox import get_udp_warp_matrix, get_warp_matrix

    scales = crop_scales(sizes, size_wh, padding)
    # UDP's matrix rotates the frame, the other one the crop.
    warp_matrix, sign = (get_udp_warp_matrix, -1) if use_udp else (get_warp_matrix, 1)
    images = [
        cv2.warpAffine(
            frame,
            warp_matrix(center, scale, sign * float(rotation), output_size=size_wh),
            size_wh,
            flags=cv2.INTER_LINEAR,
        )
        for center, scale, rotation in zip(centers, scales, rotations)
    ]
    return Crops(np.stack(images), np.asarray(centers, np.float32), scales, np.asarray(rotations))


def crop_scales(sizes: np.ndarray, size_wh: tuple[int, int], padding: float) -> np.ndarray:
    """Return width and height (N, 2) float32 of crops, in pixels of the frame, for people's sizes.

    Args:
        sizes, size_wh, padding: As for :func:`affine_crops`.
    """
    scales = np.asarray(sizes, np.float32) * padding
    aspect = size_wh[0] / size_wh[1]
    wide = scales[:, 0] > scales[:, 1] * aspect
    scales[wide, 1] = scales[wide, 0] / aspect
    scales[~wide, 0] = scales[~wide, 1] * aspect
    return scales
