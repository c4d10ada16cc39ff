"""Training samples of the pose student and the aligner: people cut out at any angle and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ...pose_extract.layout import COCO_17
from .labelled_frames import LabelledFrames
from .warp import SEEN, rotation_matrices, sample_images


@dataclass(frozen=True)
class PoseSampling:
    """How people are cut out for the pose student.

    Attributes:
        turned_prob: Chance of any angle, 0 to 360 degrees.
        aligned_prob: Chance of a crop along the body's own axis, among the others; else along the
            picture's.
        upright_degrees: Standard deviation of the angle from those axes.
        scale: Greatest factor of the crop's size is one plus this, least one over it.
        shift: Greatest shift of the crop's middle, over the box.
        half_prob: Chance of a crop around the upper or the lower half of the body.
        flip_prob: Chance of the mirror picture.
        padding: The crop over the box.
    """

    turned_prob: float = 0.7
    aligned_prob: float = 0.0
    upright_degrees: float = 15.0
    scale: float = 0.35
    shift: float = 0.12
    half_prob: float = 0.1
    flip_prob: float = 0.5
    padding: float = 1.25


@dataclass(frozen=True, eq=False)
class _Cut:
    """Where N people are cut out of their stored pictures.

    Attributes:
        matrices: (N, 2, 2); a crop's pixel p is the picture's ``matrix @ p + offset``.
        offsets: (N, 2).
        pixels: (N,) pixels of the picture in one of the crop.
        angles: (N,) degrees by which the crop's axes are turned in the picture, clockwise.
        mirrored: (N,) which are mirror pictures.
    """

    matrices: Tensor
    offsets: Tensor
    pixels: Tensor
    angles: Tensor
    mirrored: Tensor

    def to_crop(self, points: Tensor) -> Tensor:
        """Return points (N, K, 2) of the pictures in pixels of the crops."""
        back = self.matrices / self.pixels[:, None, None] ** 2
        return (points - self.offsets[:, None]) @ back


def known_axes(keypoints: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Return by how many degrees (N,) bodies are turned clockwise from standing; NaN if unknown.

    The axis runs from the shoulders to the hips, or from the head to the shoulders where no hips
    are seen.

    Args:
        keypoints: (N, 17, 2) in pixels.
        sure: (N, 17) how sure they are.
    """
    seen = sure >= SEEN

    def middle(*names: str) -> np.ndarray:
        """Return the middle (N, 2) of the keypoints that are seen, NaN where there is none."""
        inds = [COCO_17.index(name) for name in names]
        weights = seen[:, inds, None].astype(np.float32)
        total = (keypoints[:, inds] * weights).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / weights.sum(axis=1))

    shoulders = middle("left_shoulder", "right_shoulder")
    down = middle("left_hip", "right_hip") - shoulders
    head = middle("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    down = np.where(np.isnan(down), shoulders - head, down)
    return np.degrees(np.arctan2(-down[:, 0], down[:, 1])).astype(np.float32)


class PoseSamples:
    """People for the pose student.

    Args:
        labelled: Frames and people.
        people: Which people; empty takes all.
        stored_side: Pixels of a side of the square that is kept around each person.
        reach: That square over the person's longer side.
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
        pictures = np.empty((len(chosen), 3, stored_side, stored_side), np.uint8)
        maps = np.empty((len(chosen), 2, 3), np.float32)
        frame, at = np.zeros(0), -1
        for row in np.argsort(labelled.person_frames[chosen], kind="stable"):
            person = chosen[row]
            if labelled.person_frames[person] != at:
                at = int(labelled.person_frames[person])
                frame = labelled.frame(at)
            box = labelled.bboxes[person]
            middle = (box[:2] + box[2:]) / 2
            factor = stored_side / (reach * max(float((box[2:] - box[:2]).max()), 1.0))
            maps[row] = [
                [factor, 0, (stored_side - 1) / 2 - factor * middle[0]],
                [0, factor, (stored_side - 1) / 2 - factor * middle[1]],
            ]
            flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            cut = cv2.warpAffine(frame, maps[row], (stored_side, stored_side), flags=flags)
            pictures[row] = cut.transpose(2, 0, 1)
        factors, shifts = maps[:, 0, 0], maps[:, :, 2]
        boxes = labelled.bboxes[chosen].reshape(-1, 2, 2)
        keypoints = labelled.keypoints[chosen]
        self.pictures = torch.from_numpy(pictures)
        self.bboxes = torch.from_numpy(boxes * factors[:, None, None] + shifts[:, None])
        self.keypoints = torch.from_numpy(keypoints * factors[:, None, None] + shifts[:, None])
        self.peaks = torch.from_numpy(labelled.peaks[chosen])
        self.weights = torch.from_numpy(labelled.weights[chosen])
        sure = labelled.peaks[chosen] * labelled.weights[chosen]
        self.axes = torch.from_numpy(known_axes(keypoints, sure))
        self._flip_inds = torch.tensor(COCO_17.flip_inds().tolist())
        head = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
        arms = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
        upper = (*head, *arms, "left_wrist", "right_wrist")
        self._is_upper = torch.tensor([name in upper for name in COCO_17.keypoint_names])

    def __len__(self) -> int:
        return len(self.pictures)

    def __deepcopy__(self, memo: dict[int, Any]) -> PoseSamples:
        # An averaged copy of a student shares what it learns from.
        return self

    def to(self, device: torch.device) -> PoseSamples:
        """Move everything to a device."""
        for name in ("pictures", "bboxes", "keypoints", "peaks", "weights", "axes", "_flip_inds"):
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
            inds: (N,) which people.
            size_wh: Width and height of the crops.
            sampling: How they are cut out.
            generator: Source of chance.
            degrees: A fixed angle and nothing else at random, for measuring; None for training.

        Returns:
            Crops (N, 3, h, w) in units of 0 to 255, keypoints (N, 17, 2) in their pixels, peaks and
            weights (N, 17).
        """
        inds = inds.to(self.pictures.device)
        cut = self._cut(inds, size_wh, sampling, generator, degrees)
        pictures = sample_images(self.pictures[inds], cut.matrices, cut.offsets, size_wh)
        local = cut.to_crop(self.keypoints[inds])
        peaks, weights = self.peaks[inds].clone(), self.weights[inds].clone()
        mirrored, for_flip = cut.mirrored, self._flip_inds
        local[mirrored] = local[mirrored][:, for_flip]
        peaks[mirrored] = peaks[mirrored][:, for_flip]
        weights[mirrored] = weights[mirrored][:, for_flip]
        return pictures, local, peaks, weights

    def aligner_batch(
        self,
        inds: Tensor,
        side: int,
        sampling: PoseSampling,
        generator: torch.Generator,
        degrees: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return a batch for the aligner.

        Args:
            inds: (N,) which people.
            side: Pixels of a side of the crops.
            sampling: How they are cut out.
            generator: Source of chance.
            degrees: As of :meth:`batch`.

        Returns:
            Crops (N, 3, side, side) in units of 0 to 255, and where the bodies lie in them, (N, 6),
            see ``AlignerNet``; NaN for a body whose axis is not known.
        """
        inds = inds.to(self.pictures.device)
        cut = self._cut(inds, (side, side), sampling, generator, degrees)
        pictures = sample_images(self.pictures[inds], cut.matrices, cut.offsets, (side, side))
        axes = self.axes[inds]
        turn = rotation_matrices(axes)
        sure = self.peaks[inds] * self.weights[inds]
        no_chance = torch.zeros(len(inds), dtype=torch.bool, device=inds.device)
        low, high = self._extents(
            self.keypoints[inds], sure, self.bboxes[inds], turn.nan_to_num(), no_chance, no_chance
        )
        middles = (turn @ ((low + high) / 2)[..., None]).transpose(1, 2)
        where = (cut.to_crop(middles)[:, 0] - (side - 1) / 2) / side
        sizes = torch.log((high - low) / (cut.pixels[:, None] * side))
        in_crop = torch.deg2rad(torch.where(cut.mirrored, cut.angles - axes, axes - cut.angles))
        direction = torch.stack([torch.cos(in_crop), torch.sin(in_crop)], -1)
        return pictures, torch.cat([direction, where, sizes + 0 * axes[:, None]], -1)

    def _cut(
        self,
        inds: Tensor,
        size_wh: tuple[int, int],
        sampling: PoseSampling,
        generator: torch.Generator,
        degrees: float | None,
    ) -> _Cut:
        """Return where people are cut out; see :meth:`batch`."""
        device = self.pictures.device
        n, train = len(inds), degrees is None

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        if degrees is None:
            near = torch.randn(n, generator=generator, device=device) * sampling.upright_degrees
            if sampling.aligned_prob:
                aligned = rand(n) < sampling.aligned_prob
                near = near + torch.where(aligned, self.axes[inds].nan_to_num(), 0.0)
            turned = rand(n) < sampling.turned_prob
            angles = torch.where(turned, 360 * rand(n), near)
        else:
            angles = torch.full((n,), degrees, device=device)
        turn = rotation_matrices(angles)  # from crop axes to picture axes
        half = rand(n) < (sampling.half_prob if train else 0.0)
        is_upper = rand(n) < 0.5
        sure = self.peaks[inds] * self.weights[inds]
        low, high = self._extents(
            self.keypoints[inds], sure, self.bboxes[inds], turn, half, is_upper
        )
        middle, size = (low + high) / 2, (high - low).clamp(min=4.0)
        scale = torch.full((n,), sampling.padding, device=device)
        if train:
            scale = scale * (1 + sampling.scale) ** (2 * rand(n) - 1)
            middle = middle + size * sampling.shift * (2 * rand(n, 2) - 1)
        width, height = size_wh
        # As MMPose's crops: the box is widened to the input's aspect.
        pixels = torch.maximum(size[:, 0] / width, size[:, 1] / height) * scale
        mirrored = torch.zeros(n, dtype=torch.bool, device=device)
        if train:
            mirrored = rand(n) < sampling.flip_prob
        mirror = torch.where(mirrored, -1.0, 1.0)
        flip = torch.stack([mirror, torch.ones_like(mirror)], -1)
        matrices = turn * (pixels[:, None] * flip)[:, None]
        center = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=device)
        offsets = (turn @ middle[..., None])[..., 0] - (matrices @ center)
        return _Cut(matrices, offsets, pixels, angles, mirrored)

    def _extents(
        self,
        keypoints: Tensor,
        sure: Tensor,
        bboxes: Tensor,
        turn: Tensor,
        half: Tensor,
        is_upper: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return low and high (N, 2) corners of people along turned axes.

        Those with ``half`` (N,) lose the lower or, without ``is_upper`` (N,), the upper half, if
        enough of the other is seen.
        """
        seen = sure >= SEEN
        which = torch.where(is_upper[:, None], self._is_upper, ~self._is_upper)
        half = half & ((seen & which).sum(dim=1) >= 4)
        seen = torch.where(half[:, None], seen & which, seen)
        local = keypoints @ turn
        far = torch.tensor(1e6, device=keypoints.device)
        low = torch.where(seen[..., None], local, far).amin(dim=1)
        high = torch.where(seen[..., None], local, -far).amax(dim=1)
        margin = 0.06 * (high - low).amax(dim=1, keepdim=True)
        low, high = low - margin, high + margin
        # The ellipse inside the box turns with the body; its corners do not.
        axes = (bboxes[:, 1] - bboxes[:, 0]) / 2
        center = ((bboxes[:, 0] + bboxes[:, 1]) / 2)[:, None] @ turn
        reach = ((turn.transpose(1, 2) * axes[:, None]) ** 2).sum(dim=-1).sqrt()
        whole = ~half[:, None]
        low = torch.where(whole, torch.minimum(low, center[:, 0] - reach), low)
        high = torch.where(whole, torch.maximum(high, center[:, 0] + reach), high)
        return low, high
