"""Training samples of pose models: crops of people at any angle and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ...pose_extract.layout import COCO_17
from ..distill.labelled_frames import LabelledFrames
from ..distill.warp import SEEN_SCORE, rotation_matrices, sample_images
from ..network_config import expect

# A person reaches beyond the seen keypoints by this share of their longer side, and half of a body
# is cropped from this number of seen keypoints on. No benchmark chose them.
_KEYPOINT_MARGIN = 0.06
_MIN_HALF_BODY_KEYPOINTS = 4
# Shortest side of a person, pixels of the stored image: a box of no size has no scale.
_MIN_SIDE = 4.0

_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_ARMS = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip


@dataclass(frozen=True)
class PoseSampling:
    """How people are cropped for a pose model.

    Attributes:
        rotated_prob: Chance of a crop at any angle, 0 to 360 degrees.
        aligned_prob: Chance, among the other crops, of one along the body's own axis; else the crop
            is along the image's axes.
        upright_degrees: Standard deviation of the angle from those axes.
        scale: The greatest factor of the crop's size is one plus this, the least its inverse.
        shift: Greatest shift of the crop's middle, over the person's size.
        half_body_prob: Chance of a crop around the upper or the lower half of the body.
        flip_prob: Chance of a horizontal flip.
        padding: The crop's size over the person's; 1.25 is MMPose's for top-down pose models.
    """

    rotated_prob: float = 0.7
    aligned_prob: float = 0.0
    upright_degrees: float = 15.0
    scale: float = 0.35
    shift: float = 0.12
    half_body_prob: float = 0.1
    flip_prob: float = 0.5
    padding: float = 1.25

    def __post_init__(self) -> None:
        for name in ("rotated_prob", "aligned_prob", "half_body_prob", "flip_prob"):
            expect(self, name, 0 <= getattr(self, name) <= 1, "0 to 1")
        expect(self, "upright_degrees", 0 <= self.upright_degrees <= 180, "0 to 180")
        for name in ("scale", "shift"):
            expect(self, name, 0 <= getattr(self, name) <= 1, "0 to 1")
        expect(self, "padding", 0.5 <= self.padding <= 4, "0.5 to 4")


@dataclass(frozen=True, eq=False)
class _Crop:
    """Where N people are cropped from their stored images.

    Attributes:
        matrices: (N, 2, 2); pixel p of a crop is pixel ``matrix @ p + offset`` of the image.
        offsets: (N, 2).
        pixels: (N,) pixels of the image per pixel of the crop.
        is_flipped: (N,) which crops are flipped horizontally.
    """

    matrices: Tensor
    offsets: Tensor
    pixels: Tensor
    is_flipped: Tensor

    def to_crop(self, points: Tensor) -> Tensor:
        """Return points (N, K, 2) of the images in pixels of the crops."""
        back = self.matrices / self.pixels[:, None, None] ** 2
        return (points - self.offsets[:, None]) @ back


def known_axes(keypoints: np.ndarray, keypoint_scores: np.ndarray) -> np.ndarray:
    """Return by how many degrees bodies are rotated clockwise from standing.

    The axis runs from the shoulders to the hips, or from the head to the shoulders where no hips
    are seen.

    Args:
        keypoints: (N, 17, 2) float32, pixels.
        keypoint_scores: (N, 17), 0 to 1.

    Returns:
        (N,) float32, -180 to 180; NaN where the axis is unknown.
    """
    is_seen = keypoint_scores >= SEEN_SCORE

    def middle(*names: str) -> np.ndarray:
        """Return the middle (N, 2) of the seen keypoints, NaN where there is none."""
        inds = [COCO_17.index(name) for name in names]
        weights = is_seen[:, inds, None].astype(np.float32)
        total = (keypoints[:, inds] * weights).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / weights.sum(axis=1))

    shoulders = middle("left_shoulder", "right_shoulder")
    down = middle("left_hip", "right_hip") - shoulders
    down = np.where(np.isnan(down), shoulders - middle(*_HEAD), down)
    return np.degrees(np.arctan2(-down[:, 0], down[:, 1])).astype(np.float32)


def _crop_around(
    frame: np.ndarray, box: np.ndarray, side: int, reach: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Crop a square around a person that leaves room to rotate and shift.

    Args:
        frame: (H, W, 3) uint8.
        box: (4,) float32 xyxy, pixels.
        side: Side of the square in pixels of the crop.
        reach: Side of the square over the longer side of the box.

    Returns:
        The crop (side, side, 3) uint8, and the factor and the shift (2,) of the map from pixels of
        the frame to pixels of the crop.
    """
    factor = side / (reach * max(float((box[2:] - box[:2]).max()), 1.0))
    shift = (side - 1) / 2 - factor * (box[:2] + box[2:]) / 2
    matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]], np.float32)
    flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(frame, matrix, (side, side), flags=flags), factor, shift


class PoseSamples:
    """Crops of people for a pose model.

    Args:
        labelled: Frames and people.
        people: Rows of the people to take; empty takes all.
        stored_side: Side in pixels of the square that is kept around each person.
        reach: Side of that square over the person's longer side.
    """

    def __init__(
        self,
        labelled: LabelledFrames,
        people: Sequence[int] = (),
        stored_side: int = 288,
        reach: float = 1.9,
    ) -> None:
        chosen = np.asarray(people if len(people) else range(len(labelled.person_frames)), int)
        self.names = [str(name) for name in labelled.names[labelled.person_frames[chosen]]]
        images = np.empty((len(chosen), 3, stored_side, stored_side), np.uint8)
        factors = np.empty((len(chosen), 1, 1), np.float32)
        shifts = np.empty((len(chosen), 1, 2), np.float32)
        frame, at = np.zeros(0), -1
        for row in np.argsort(labelled.person_frames[chosen], kind="stable"):
            person = chosen[row]
            if labelled.person_frames[person] != at:
                at = int(labelled.person_frames[person])
                frame = labelled.frame(at)
            crop, factors[row], shifts[row] = _crop_around(
                frame, labelled.bboxes[person], stored_side, reach
            )
            images[row] = crop.transpose(2, 0, 1)
        boxes = labelled.bboxes[chosen].reshape(-1, 2, 2)
        keypoints, peaks = labelled.keypoints[chosen], labelled.peaks[chosen]
        weights = labelled.weights[chosen]
        self.images = torch.from_numpy(images)
        self.bboxes = torch.from_numpy(boxes * factors + shifts)
        self.keypoints = torch.from_numpy(keypoints * factors + shifts)
        self.peaks, self.weights = torch.from_numpy(peaks), torch.from_numpy(weights)
        self.axes = torch.from_numpy(known_axes(keypoints, peaks * weights))
        self._flip_inds = torch.tensor(COCO_17.flip_inds().tolist())
        self._is_upper = torch.tensor([name in _HEAD + _ARMS for name in COCO_17.keypoint_names])

    def __len__(self) -> int:
        return len(self.images)

    def __deepcopy__(self, memo: dict[int, Any]) -> PoseSamples:
        # The moving average of a network shares what the network learns from.
        return self

    def to(self, device: torch.device) -> PoseSamples:
        """Move everything to a device."""
        for name in ("images", "bboxes", "keypoints", "peaks", "weights", "axes", "_flip_inds"):
            setattr(self, name, getattr(self, name).to(device))
        self._is_upper = self._is_upper.to(device)
        return self

    def batch(
        self,
        inds: Tensor,
        size_wh: tuple[int, int],
        sampling: PoseSampling,
        generator: torch.Generator,
        degrees: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a batch.

        Args:
            inds: (N,) int64 rows of the people.
            size_wh: Width and height of the crops in pixels.
            sampling: How people are cropped.
            generator: Source of randomness.
            degrees: A fixed clockwise angle and nothing else at random, for measuring; None for
                training.

        Returns:
            Crops (N, 3, h, w) float32 in units of 0 to 255, keypoints (N, 17, 2) in their pixels,
            and peaks and weights (N, 17) as in ``LabelledFrames``.
        """
        inds = inds.to(self.images.device)
        crop = self._crop(inds, size_wh, sampling, generator, degrees)
        images = sample_images(self.images[inds], crop.matrices, crop.offsets, size_wh)
        local = crop.to_crop(self.keypoints[inds])
        peaks, weights = self.peaks[inds].clone(), self.weights[inds].clone()
        for values in (local, peaks, weights):
            values[crop.is_flipped] = values[crop.is_flipped][:, self._flip_inds]
        return images, local, peaks, weights

    def _crop(
        self,
        inds: Tensor,
        size_wh: tuple[int, int],
        sampling: PoseSampling,
        generator: torch.Generator,
        degrees: float | None,
    ) -> _Crop:
        """Return where people are cropped; see :meth:`batch`."""
        device = self.images.device
        n, is_training = len(inds), degrees is None

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        if degrees is None:
            angles = self._draw_angles(inds, sampling, generator)
        else:
            angles = torch.full((n,), degrees, device=device)
        rotation = rotation_matrices(angles)  # from axes of the crop to axes of the image
        is_half = rand(n) < (sampling.half_body_prob if is_training else 0.0)
        low, high = self._extents(inds, rotation, is_half, rand(n) < 0.5)
        middle, size = (low + high) / 2, (high - low).clamp(min=_MIN_SIDE)
        scale = torch.full((n,), sampling.padding, device=device)
        is_flipped = torch.zeros(n, dtype=torch.bool, device=device)
        if is_training:
            scale = scale * (1 + sampling.scale) ** (2 * rand(n) - 1)
            middle = middle + size * sampling.shift * (2 * rand(n, 2) - 1)
            is_flipped = rand(n) < sampling.flip_prob
        width, height = size_wh
        # As in MMPose the box is widened to the aspect ratio of the input.
        pixels = torch.maximum(size[:, 0] / width, size[:, 1] / height) * scale
        flip = torch.stack([torch.where(is_flipped, -1.0, 1.0), torch.ones_like(pixels)], -1)
        matrices = rotation * (pixels[:, None] * flip)[:, None]
        center = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=device)
        offsets = (rotation @ middle[..., None])[..., 0] - (matrices @ center)
        return _Crop(matrices, offsets, pixels, is_flipped)

    def _draw_angles(
        self, inds: Tensor, sampling: PoseSampling, generator: torch.Generator
    ) -> Tensor:
        """Draw by how many degrees (N,) the axes of training crops are rotated, clockwise."""
        device, n = self.images.device, len(inds)

        def rand() -> Tensor:
            return torch.rand(n, generator=generator, device=device)

        near = torch.randn(n, generator=generator, device=device) * sampling.upright_degrees
        if sampling.aligned_prob:
            is_aligned = rand() < sampling.aligned_prob
            near = near + torch.where(is_aligned, self.axes[inds].nan_to_num(), 0.0)
        is_rotated = rand() < sampling.rotated_prob
        return torch.where(is_rotated, 360 * rand(), near)

    def _extents(
        self, inds: Tensor, rotation: Tensor, is_half: Tensor, is_upper: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return low and high corners (N, 2) of people along rotated axes.

        Args:
            inds: (N,) rows of the people.
            rotation: (N, 2, 2) rotates those axes into axes of the image.
            is_half: (N,) whom to show by half, if enough of that half is seen.
            is_upper: (N,) whether that is the upper half.
        """
        keypoints, bboxes = self.keypoints[inds], self.bboxes[inds]
        is_seen = self.peaks[inds] * self.weights[inds] >= SEEN_SCORE
        half = is_seen & torch.where(is_upper[:, None], self._is_upper, ~self._is_upper)
        is_half = is_half & (half.sum(dim=1) >= _MIN_HALF_BODY_KEYPOINTS)
        is_seen = torch.where(is_half[:, None], half, is_seen)
        local = keypoints @ rotation
        far = torch.tensor(1e6, device=keypoints.device)  # farther than any pixel
        low = torch.where(is_seen[..., None], local, far).amin(dim=1)
        high = torch.where(is_seen[..., None], local, -far).amax(dim=1)
        margin = _KEYPOINT_MARGIN * (high - low).amax(dim=1, keepdim=True)
        low, high = low - margin, high + margin
        # The ellipse of the box rotates with the body; the corners of the box are empty.
        axes = (bboxes[:, 1] - bboxes[:, 0]) / 2
        center = ((bboxes[:, 0] + bboxes[:, 1]) / 2)[:, None] @ rotation
        reach = ((rotation.transpose(1, 2) * axes[:, None]) ** 2).sum(dim=-1).sqrt()
        is_whole = ~is_half[:, None]
        low = torch.where(is_whole, torch.minimum(low, center[:, 0] - reach), low)
        high = torch.where(is_whole, torch.maximum(high, center[:, 0] + reach), high)
        return low, high
