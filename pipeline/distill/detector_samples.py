"""Training samples of the detector: frames at any angle and scale, alone or as mosaics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...pose_extract.layout import COCO_17
from .labelled_frames import LabelledFrames
from .warp import SEEN_SCORE, rotation_matrices, sample_images

# Grey value of the letterbox padding, as in YOLOX and RTMDet.
_PAD_VALUE = 114
# A box reaches beyond its seen keypoints by this share of its longer side, and a box that the
# border cuts is kept from this share of its area and this side in pixels. No benchmark chose them.
_KEYPOINT_MARGIN = 0.03
_MIN_VISIBLE_SHARE = 0.4
_MIN_SIDE = 6


@dataclass(frozen=True)
class DetectorSampling:
    """How frames are sampled for the detector.

    Attributes:
        rotated_prob: Chance that a frame is rotated by any angle; the others stay near upright.
        upright_degrees: Standard deviation of the angle of frames near upright.
        min_zoom: Least scale of a frame; at 1 its longer side fills the network's input.
        max_zoom: Greatest scale.
        mosaic_prob: Share of samples that are mosaics of four frames (Bochkovskiy et al., YOLOv4,
            2020).
        flip_prob: Chance of a horizontal flip.
        stretch: The greatest change of the aspect ratio is a factor of one plus this.
        side: Side of the training samples in pixels, crops of the network's input; None takes the
            whole input.
        person_prob: Chance that such a crop is drawn around one of the people.
    """

    rotated_prob: float = 0.6
    upright_degrees: float = 10.0
    min_zoom: float = 0.6
    max_zoom: float = 2.0
    mosaic_prob: float = 0.4
    flip_prob: float = 0.5
    stretch: float = 0.0
    side: int | None = None
    person_prob: float = 0.0

    RENAMED: ClassVar[dict[str, str]] = {"turned_prob": "rotated_prob"}


@dataclass(frozen=True, eq=False)
class _View:
    """Which part of N stored frames the samples show.

    Attributes:
        rotation: (N, 2, 2) rotates axes of the sample into axes of the stored frame.
        step: (N, 2) pixels of the stored frame per pixel of the sample along the sample's axes,
            negative along a flipped one.
        middle: (N, 2) point of the stored frame in the middle of the sample.
        side: Side of the samples in pixels.
    """

    rotation: Tensor
    step: Tensor
    middle: Tensor
    side: int

    def sample(self, images: Tensor) -> Tensor:
        """Return samples (N, 3, side, side) of images (N, 3, S, S); outside they are padded."""
        matrices = self.rotation * self.step[:, None]
        offsets = self.middle - matrices @ self._half
        size_wh = (self.side, self.side)
        shifted = images.float() - _PAD_VALUE  # sample_images pads with zeros
        return sample_images(shifted, matrices, offsets, size_wh) + _PAD_VALUE

    def to_sample(self, points: Tensor) -> Tensor:
        """Return points (N, ..., 2) of the stored frames in pixels of the samples."""
        n = len(points)
        flat = points.reshape(n, -1, 2) - self.middle[:, None]
        flat = (flat @ self.rotation) / self.step[:, None] + self._half
        return flat.reshape(points.shape)

    def rotate_boxes(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return low and high corners (N, P, 2) around the ellipses in boxes (N, P, 2, 2).

        The ellipse of a box rotates with the body; its corners are empty.
        """
        center = self.to_sample(boxes.mean(dim=2))
        axes = (boxes[:, :, 1] - boxes[:, :, 0]) / 2
        reach = ((self.rotation.transpose(1, 2)[:, None] * axes[:, :, None]) ** 2).sum(-1).sqrt()
        reach = reach / self.step.abs()[:, None]
        return center - reach, center + reach

    @property
    def _half(self) -> Tensor:
        return torch.full((2,), (self.side - 1) / 2, device=self.step.device)


class DetectorSamples:
    """Letterboxed frames for the detector, with their people.

    Args:
        labelled: Frames and people.
        frames: Rows of the frames to take; empty takes all.
        side: Side of the stored squares in pixels.
    """

    def __init__(
        self,
        labelled: LabelledFrames,
        frames: Sequence[int] = (),
        side: int = 320,
    ) -> None:
        chosen = np.asarray(frames if len(frames) else range(len(labelled)), int)
        self.names = [str(name) for name in labelled.names[chosen]]
        n = len(chosen)
        max_people = int(np.bincount(labelled.person_frames).max(initial=1))
        max_ignored = int(np.bincount(labelled.ignored_frames).max(initial=1))
        images = np.full((n, side, side, 3), _PAD_VALUE, np.uint8)
        self.extents = torch.zeros(n, 2)
        boxes = np.zeros((n, max_people, 2, 2), np.float32)
        points = np.zeros((n, max_people, COCO_17.num_keypoints, 2), np.float32)
        scores = np.zeros((n, max_people, COCO_17.num_keypoints), np.float32)
        ignored = np.zeros((n, max_ignored, 2, 2), np.float32)
        for row, index in enumerate(chosen):
            frame = labelled.frame(int(index))
            factor = side / max(frame.shape[:2])
            size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
            flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            images[row, : size[1], : size[0]] = cv2.resize(frame, size, interpolation=flags)
            self.extents[row] = torch.tensor(size)
            people = np.flatnonzero(labelled.person_frames == index)
            boxes[row, : len(people)] = labelled.bboxes[people].reshape(-1, 2, 2) * factor
            points[row, : len(people)] = labelled.keypoints[people] * factor
            scores[row, : len(people)] = labelled.peaks[people] * labelled.weights[people]
            others = np.flatnonzero(labelled.ignored_frames == index)
            ignored[row, : len(others)] = labelled.ignored[others].reshape(-1, 2, 2) * factor
        self.images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        self.bboxes, self.keypoints = torch.from_numpy(boxes), torch.from_numpy(points)
        self.keypoint_scores, self.ignored = torch.from_numpy(scores), torch.from_numpy(ignored)

    def __len__(self) -> int:
        return len(self.images)

    def __deepcopy__(self, memo: dict[int, Any]) -> DetectorSamples:
        # The moving average of a network shares what the network learns from.
        return self

    def to(self, device: torch.device) -> DetectorSamples:
        """Move everything to a device."""
        for name in ("images", "extents", "bboxes", "keypoints", "keypoint_scores", "ignored"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def batch(
        self,
        inds: Tensor,
        side: int,
        sampling: DetectorSampling,
        generator: torch.Generator,
        degrees: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch.

        Args:
            inds: (N,) int64 rows of the frames.
            side: Side of the network's input in pixels.
            sampling: How frames are sampled.
            generator: Source of randomness; it also draws the other frames of mosaics.
            degrees: A fixed clockwise angle and nothing at random, for measuring; None for
                training.

        Returns:
            Samples (N, 3, s, s) float32 in units of 0 to 255, where s is ``side`` or, for training,
            ``sampling.side``; boxes of people (N, P, 4) and boxes to ignore (N, K, 4) float32 xyxy
            in pixels of the sample, zeros where there is none. Mosaics come first.
        """
        device = self.images.device
        inds = inds.to(device)
        if degrees is not None:
            return self._view(inds, self._fixed_view(inds, side, degrees))
        out = sampling.side or side
        count = round(sampling.mosaic_prob * len(inds))
        single = self._view(
            inds[count:], self._draw_view(inds[count:], side, out, sampling, generator)
        )
        if not count:
            return single
        others = torch.randint(len(self), (3 * count,), generator=generator, device=device)
        inds = torch.cat([inds[:count], others])
        # Four frames at half scale; each tile shows as much of its frame as it can hold.
        view = self._draw_view(inds, side // 2, out // 2, sampling, generator)
        images, people, ignored = _join_mosaics(self._view(inds, view), out // 2)
        return (
            torch.cat([images, single[0]]),
            torch.cat([people, _pad_boxes(single[1], people.shape[1])]),
            torch.cat([ignored, _pad_boxes(single[2], ignored.shape[1])]),
        )

    def _view(self, inds: Tensor, view: _View) -> tuple[Tensor, Tensor, Tensor]:
        """Return the samples that a view shows and their boxes; see :meth:`batch`."""
        images = view.sample(self.images[inds])
        low, high = view.rotate_boxes(self.bboxes[inds])
        points = view.to_sample(self.keypoints[inds])
        is_seen = (self.keypoint_scores[inds] >= SEEN_SCORE)[..., None]
        margin = _KEYPOINT_MARGIN * (high - low).amax(dim=-1, keepdim=True)
        far = torch.tensor(1e6, device=points.device)  # farther than any pixel
        low = torch.minimum(low, torch.where(is_seen, points, far).amin(2) - margin)
        high = torch.maximum(high, torch.where(is_seen, points, -far).amax(2) + margin)
        people = _clip_boxes(low, high, self.bboxes[inds], view.side)
        low, high = view.rotate_boxes(self.ignored[inds])
        return images, people, _clip_boxes(low, high, self.ignored[inds], view.side)

    def _fixed_view(self, inds: Tensor, side: int, degrees: float) -> _View:
        """Return a view of whole frames, rotated and scaled to fill the sample."""
        extents = self.extents[inds]
        rotation = rotation_matrices(torch.full((len(inds),), degrees, device=extents.device))
        rotated = rotation.abs() @ extents[..., None]
        zoom = self.images.shape[-1] / rotated[..., 0].amax(dim=1)
        step = self.images.shape[-1] / (side * zoom)
        return _View(rotation, step[:, None].expand(-1, 2), extents / 2, side)

    def _draw_view(
        self,
        inds: Tensor,
        side: int,
        out: int,
        sampling: DetectorSampling,
        generator: torch.Generator,
    ) -> _View:
        """Draw a view at random for samples of ``out`` pixels a side; see :meth:`batch`."""
        device, n = self.images.device, len(inds)

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        extents, stored = self.extents[inds], self.images.shape[-1]
        near = torch.randn(n, generator=generator, device=device) * sampling.upright_degrees
        angles = torch.where(rand(n) < sampling.rotated_prob, 360 * rand(n), near)
        zoom = sampling.min_zoom * (sampling.max_zoom / sampling.min_zoom) ** rand(n)
        # Of a frame larger than the sample another part is shown each time.
        room = (extents - out * stored / (side * zoom[:, None])).clamp(min=0) / 2
        shift = room * (2 * rand(n, 2) - 1)
        if sampling.person_prob:
            person = self._any_person(inds, generator)
            to_person = person - extents / 2 + room / 2 * (2 * rand(n, 2) - 1)
            chosen = ~person.isnan() & (rand(n, 1) < sampling.person_prob)
            shift = torch.where(chosen, to_person.clamp(-room, room), shift)
        flip = torch.ones(n, 2, device=device)
        flip[:, 0] = torch.where(rand(n) < sampling.flip_prob, -1.0, 1.0)
        if sampling.stretch:
            wider = (1 + sampling.stretch) ** (rand(n) - 0.5)
            flip = flip * torch.stack([1 / wider, wider], -1)
        step = (stored / (side * zoom))[:, None] * flip
        return _View(rotation_matrices(angles), step, extents / 2 + shift, out)

    def _any_person(self, inds: Tensor, generator: torch.Generator) -> Tensor:
        """Return the middle (N, 2) of one random person per frame, NaN where there is none."""
        boxes = self.bboxes[inds]
        is_person = boxes.flatten(2).any(dim=-1)
        draw = torch.rand(is_person.shape, generator=generator, device=boxes.device)
        one = torch.where(is_person, draw, -1.0).argmax(dim=1)
        middles = boxes.mean(dim=2)[torch.arange(len(one), device=one.device), one]
        return torch.where(is_person.any(dim=1, keepdim=True), middles, torch.nan)


def _join_mosaics(tiles: tuple[Tensor, Tensor, Tensor], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mosaics of four tiles each, as :meth:`DetectorSamples.batch` does.

    Args:
        tiles: Images (4 N, 3, side, side), boxes of people (4 N, P, 4) and boxes to ignore
            (4 N, K, 4): the upper left tiles of all mosaics, then the upper right, lower left and
            lower right ones.
        side: Side of a tile in pixels.
    """
    images, people, ignored = (part.unflatten(0, (4, -1)) for part in tiles)
    rows = [torch.cat([images[0], images[1]], -1), torch.cat([images[2], images[3]], -1)]
    corners = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=images.device) * side

    def joined(boxes: Tensor) -> Tensor:
        shifted = boxes + corners.repeat(1, 2)[:, None, None]
        shifted = torch.where(boxes.any(-1, keepdim=True), shifted, 0.0)
        return shifted.transpose(0, 1).flatten(1, 2)

    return torch.cat(rows, -2), joined(people), joined(ignored)


def _pad_boxes(boxes: Tensor, length: int) -> Tensor:
    """Return boxes (N, P, 4) with rows of zeros up to (N, length, 4)."""
    return F.pad(boxes, (0, 0, 0, length - boxes.shape[1]))


def _clip_boxes(low: Tensor, high: Tensor, original: Tensor, side: int) -> Tensor:
    """Return boxes (N, P, 4) inside the sample; zeros where too little of one is left."""
    before = (high - low).prod(dim=-1)
    low, high = low.clamp(0, side), high.clamp(0, side)
    after = (high - low).prod(dim=-1)
    is_box = (original[:, :, 1] > original[:, :, 0]).all(-1)
    keep = is_box & (after >= _MIN_VISIBLE_SHARE * before) & (high - low >= _MIN_SIDE).all(-1)
    return torch.where(keep[..., None], torch.cat([low, high], -1), 0.0)
