"""Training samples of the finder: frames at any angle and size, alone or four together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...pose_extract.layout import COCO_17
from .labelled_frames import LabelledFrames
from .warp import SEEN, rotation_matrices, sample_images


@dataclass(frozen=True)
class DetectorSampling:
    """How frames are shown to the finder.

    Attributes:
        turned_prob: Chance of any angle; else it is near upright.
        upright_degrees: Standard deviation of the angle near upright.
        min_zoom: Least size of a frame, over filling what is looked at in use.
        max_zoom: Greatest size.
        mosaic_prob: Share of samples made of four frames.
        flip_prob: Chance of the mirror picture.
        stretch: How much wider for its height a sample may be, or higher, as a factor over one.
        side: Pixels of a side of the samples in training, pieces of what is looked at in use;
            None for all of it.
        person_prob: Chance that such a piece is looked for around one of the people.
    """

    turned_prob: float = 0.6
    upright_degrees: float = 10.0
    min_zoom: float = 0.6
    max_zoom: float = 2.0
    mosaic_prob: float = 0.4
    flip_prob: float = 0.5
    stretch: float = 0.0
    side: int | None = None
    person_prob: float = 0.0


class DetectorSamples:
    """Frames for the finder, letter-boxed.

    Args:
        labelled: Frames and people.
        frames: Which frames; empty takes all.
        side: Pixels of a side of the stored squares.
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
        pictures = np.full((n, side, side, 3), 114, np.uint8)
        self.extents = torch.zeros(n, 2)
        boxes = np.zeros((n, max_people, 2, 2), np.float32)
        points = np.zeros((n, max_people, COCO_17.num_keypoints, 2), np.float32)
        sure = np.zeros((n, max_people, COCO_17.num_keypoints), np.float32)
        ignored = np.zeros((n, max_ignored, 2, 2), np.float32)
        for row, index in enumerate(chosen):
            frame = labelled.frame(int(index))
            factor = side / max(frame.shape[:2])
            size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
            flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            pictures[row, : size[1], : size[0]] = cv2.resize(frame, size, interpolation=flags)
            self.extents[row] = torch.tensor(size)
            people = np.flatnonzero(labelled.person_frames == index)
            boxes[row, : len(people)] = labelled.bboxes[people].reshape(-1, 2, 2) * factor
            points[row, : len(people)] = labelled.keypoints[people] * factor
            sure[row, : len(people)] = labelled.peaks[people] * labelled.weights[people]
            others = np.flatnonzero(labelled.ignored_frames == index)
            ignored[row, : len(others)] = labelled.ignored[others].reshape(-1, 2, 2) * factor
        self.pictures = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
        self.bboxes, self.keypoints = torch.from_numpy(boxes), torch.from_numpy(points)
        self.sure, self.ignored = torch.from_numpy(sure), torch.from_numpy(ignored)

    def __len__(self) -> int:
        return len(self.pictures)

    def __deepcopy__(self, memo: dict[int, Any]) -> DetectorSamples:
        # An averaged copy of a student shares what it learns from.
        return self

    def to(self, device: torch.device) -> DetectorSamples:
        """Move everything to a device."""
        for name in ("pictures", "extents", "bboxes", "keypoints", "sure", "ignored"):
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
            inds: (N,) which frames.
            side: Pixels of a side of what is looked at in use.
            sampling: How they are shown.
            generator: Source of chance; also draws the other frames of mosaics.
            degrees: A fixed angle and nothing else at random, for measuring; None for training.

        Returns:
            Samples (N, 3, s, s) in units of 0 to 255, where s is ``side`` or, for training,
            ``sampling.side``; boxes of people (N, P, 4) and boxes to
            ignore (N, K, 4), xyxy in their pixels, zeros where there is none.
        """
        device = self.pictures.device
        inds = inds.to(device)
        if degrees is not None:
            return self._shown(inds, side, side, sampling, generator, degrees)
        out = sampling.side or side
        count = round(sampling.mosaic_prob * len(inds))
        whole, whole_boxes, whole_ignored = self._shown(
            inds[count:], side, out, sampling, generator, None
        )
        if not count:
            return whole, whole_boxes, whole_ignored
        others = torch.randint(len(self), (3 * count,), generator=generator, device=device)
        # Four frames at half size; a frame in a quarter is seen as far as the quarter goes.
        quarter, boxes, ignored = self._shown(
            torch.cat([inds[:count], others]), side // 2, out // 2, sampling, generator, None
        )
        tiles = quarter.unflatten(0, (4, count))
        rows = [torch.cat([tiles[0], tiles[1]], -1), torch.cat([tiles[2], tiles[3]], -1)]
        shift = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=device) * (out // 2)

        def joined(found: Tensor) -> Tensor:
            at = shift.repeat(1, 2)[:, None, None]
            moved = torch.where(found.any(-1, keepdim=True).unflatten(0, (4, count)),
                                found.unflatten(0, (4, count)) + at, 0.0)  # fmt: skip
            return moved.transpose(0, 1).flatten(1, 2)

        def padded(found: Tensor, length: int) -> Tensor:
            return F.pad(found, (0, 0, 0, length - found.shape[1]))

        boxes, ignored = joined(boxes), joined(ignored)
        return (
            torch.cat([torch.cat(rows, -2), whole]),
            torch.cat([boxes, padded(whole_boxes, boxes.shape[1])]),
            torch.cat([ignored, padded(whole_ignored, ignored.shape[1])]),
        )

    def _shown(
        self,
        inds: Tensor,
        side: int,
        out: int,
        sampling: DetectorSampling,
        generator: torch.Generator,
        degrees: float | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return :meth:`batch` without mosaics, samples of ``out`` pixels a side."""
        device, n = self.pictures.device, len(inds)

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        extents = self.extents[inds]
        stored = self.pictures.shape[-1]
        middle = extents / 2
        mirror = torch.ones(n, 2, device=device)
        if degrees is None:
            near = torch.randn(n, generator=generator, device=device) * sampling.upright_degrees
            angles = torch.where(rand(n) < sampling.turned_prob, 360 * rand(n), near)
            zoom = sampling.min_zoom * (sampling.max_zoom / sampling.min_zoom) ** rand(n)
            # Where a frame is larger, another part of it is looked at each time.
            room = (extents - out * stored / (side * zoom[:, None])).clamp(min=0) / 2
            away = room * (2 * rand(n, 2) - 1)
            if sampling.person_prob:
                person = self._any_person(inds, generator)
                near_person = person - middle + room / 2 * (2 * rand(n, 2) - 1)
                chosen = ~person.isnan() & (rand(n, 1) < sampling.person_prob)
                away = torch.where(chosen, near_person.clamp(-room, room), away)
            middle = middle + away
            mirror[:, 0] = torch.where(rand(n) < sampling.flip_prob, -1.0, 1.0)
            if sampling.stretch:
                wider = (1 + sampling.stretch) ** (rand(n) - 0.5)
                mirror = mirror * torch.stack([1 / wider, wider], -1)
        else:
            angles = torch.full((n,), degrees, device=device)
            turned = rotation_matrices(angles).abs() @ extents[..., None]
            zoom = stored / turned[..., 0].amax(dim=1)
        turn = rotation_matrices(angles)
        # What a step to the next pixel is in the stored picture.
        step = (stored / (side * zoom))[:, None] * mirror
        matrices = turn * step[:, None]
        half = torch.full((2,), (out - 1) / 2, device=device)
        offsets = middle - matrices @ half
        pictures = (
            sample_images(self.pictures[inds].float() - 114, matrices, offsets, (out, out)) + 114
        )

        def local(points: Tensor) -> Tensor:  # (N, ..., 2)
            flat = points.reshape(n, -1, 2) - middle[:, None]
            flat = (flat @ turn) / step[:, None] + half
            return flat.reshape(points.shape)

        def turned_boxes(boxes: Tensor) -> tuple[Tensor, Tensor]:
            center = local(boxes.mean(dim=2))
            axes = (boxes[:, :, 1] - boxes[:, :, 0]) / 2
            reach = ((turn.transpose(1, 2)[:, None] * axes[:, :, None]) ** 2).sum(-1).sqrt()
            reach = reach / step.abs()[:, None]
            return center - reach, center + reach

        low, high = turned_boxes(self.bboxes[inds])
        points, seen = local(self.keypoints[inds]), self.sure[inds] >= SEEN
        far = torch.tensor(1e6, device=device)
        margin = 0.03 * (high - low).amax(dim=-1, keepdim=True)
        low = torch.minimum(low, torch.where(seen[..., None], points, far).amin(2) - margin)
        high = torch.maximum(high, torch.where(seen[..., None], points, -far).amax(2) + margin)
        people = self._clipped(low, high, self.bboxes[inds], out)
        ignored = self._clipped(*turned_boxes(self.ignored[inds]), self.ignored[inds], out)
        return pictures, people, ignored

    def _any_person(self, inds: Tensor, generator: torch.Generator) -> Tensor:
        """Return the middle (N, 2) of one person per frame, NaN where there is none."""
        boxes = self.bboxes[inds]
        there = boxes.flatten(2).any(dim=-1)
        chance = torch.rand(there.shape, generator=generator, device=boxes.device)
        one = torch.where(there, chance, -1.0).argmax(dim=1)
        middles = boxes.mean(dim=2)[torch.arange(len(one), device=one.device), one]
        return torch.where(there.any(dim=1, keepdim=True), middles, torch.nan)

    @staticmethod
    def _clipped(low: Tensor, high: Tensor, original: Tensor, side: int) -> Tensor:
        """Return boxes (N, P, 4) inside the sample; zeros where little of one is left."""
        before = (high - low).prod(dim=-1)
        low, high = low.clamp(0, side), high.clamp(0, side)
        after = (high - low).prod(dim=-1)
        there = (original[:, :, 1] > original[:, :, 0]).all(-1)
        keep = there & (after >= 0.4 * before) & (high - low >= 6).all(-1)
        return torch.where(keep[..., None], torch.cat([low, high], -1), 0.0)
