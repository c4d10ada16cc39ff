"""The students and what they are judged by while they learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from torch import Tensor

from ...pose_extract.align import AlignerNet
from ...pose_extract.finder import STRIDE, FinderNet, box_sides
from ...pose_extract.lite_hrnet import LiteHRNet
from ...pose_extract.mmpose_compat import build_pose_model
from ...pose_extract.student import (
    PIXEL_MEAN,
    PIXEL_STD,
    SlimHRNet,
    StudentKind,
    heatmap_sigma,
)
from ..config import OptimConfig, RuntimeConfig
from ..runner import SeededModule
from .features import FeatureTeacher, feature_losses, features_of, new_lite_hrnet
from .finder_samples import FinderSamples, FinderSampling
from .pictures import PictureConfig, spoil_pictures
from .pose_samples import PoseSamples, PoseSampling


@dataclass(frozen=True)
class DistillConfig:
    """``skelact distill train``: a student taught by labelled frames.

    Attributes:
        kind: "pose", "finder" or "aligner".
        optim: Optimiser and schedule; a batch is of people or of frames.
        input_wh: Width and height of the student's input.
        network: Shape of the backbone.
        teacher: A Lite-HRNet pose net, for "pose": the student has its shape, not ``network``'s,
            and learns its features and heatmaps on every crop, not the labels.
        apart_epochs: First epochs in which each module is fed with the teacher's features, and so
            learns on its own; afterwards with those of the modules before it.
        pictures: How pictures are spoilt.
        bell_weight: What an error under a keypoint's bell counts beside one far from it, less one,
            for "pose": most of a heatmap is empty.
        pose: How people are cut out, for "pose" and "aligner".
        finder: How frames are shown, for "finder".
        runtime: How training runs.
    """

    kind: StudentKind
    optim: OptimConfig
    input_wh: tuple[int, int] = (192, 256)
    network: SlimHRNet = field(default_factory=SlimHRNet)
    teacher: str | None = None
    apart_epochs: int = 0
    pictures: PictureConfig = field(default_factory=PictureConfig)
    bell_weight: float = 0.0
    pose: PoseSampling = field(default_factory=PoseSampling)
    finder: FinderSampling = field(default_factory=FinderSampling)
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))

    @property
    def backbone(self) -> SlimHRNet | LiteHRNet:
        """Shape of the student's backbone."""
        return LiteHRNet() if self.teacher else self.network


class _Student(SeededModule):
    def __init__(self, store: Any, config: DistillConfig) -> None:
        super().__init__(store)
        self.config = config
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Keep the weights: the Runner would draw them anew, also those of another student."""

    def chance(self) -> torch.Generator:
        """Return the step's source of chance; what is learned from moves to its device."""
        generator = self.generator()
        store: Any = self.store
        if store.pictures.device != generator.device:
            store.to(generator.device)
        return generator

    def normalised(self, pictures: Tensor) -> Tensor:
        """Return pictures (N, 3, H, W) in units of 0 to 255 as the network wants them."""
        x = (pictures - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)


class PoseStudent(_Student):
    """A pose net that learns the teachers' keypoints, at any angle.

    Args:
        store: People.
        config: How it learns.
    """

    store: PoseSamples

    def __init__(self, store: PoseSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        self.teacher: FeatureTeacher | None = None
        if config.teacher:
            self.teacher = FeatureTeacher(config.teacher)
            model = new_lite_hrnet(config.input_wh)
        else:
            model = build_pose_model(config.network.pose_config(config.input_wh)["model"])
            _draw_weights(model)
        self.net = model.to(memory_format=torch.channels_last)
        self.sigma = heatmap_sigma(config.input_wh)

    def heatmaps(self, pictures: Tensor) -> Tensor:
        """Return heatmaps (N, 17, h / 4, w / 4) of pictures (N, 3, h, w) in units of 0 to 255."""
        heatmaps: Tensor = self.net.head(self.net.extract_feat(self.normalised(pictures)))
        return heatmaps.float()

    def forward(self, inds: Sequence[int], mode: str = "loss") -> dict[str, Tensor]:
        """Return the loss of a batch of people."""
        generator = self.chance()
        with torch.autocast(generator.device.type, enabled=False):
            pictures, keypoints, peaks, weights = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh, self.config.pose, generator
            )
            pictures = spoil_pictures(pictures, self.config.pictures, generator)
        if self.teacher is not None:
            return self._followed(self.teacher, self.normalised(pictures), inds)
        with torch.autocast(generator.device.type, enabled=False):
            target = heatmap_targets(keypoints, peaks, self.config.input_wh, self.sigma)
        error = (self.heatmaps(pictures) - target).square()
        error = (error * (1 + self.config.bell_weight * target)).sum(dim=(2, 3))
        loss = (error * weights).sum() / weights.sum().clamp(min=1.0)
        return {"loss": self.checked(loss, inds)}

    def _followed(
        self, teacher: FeatureTeacher, x: Tensor, inds: Sequence[int]
    ) -> dict[str, Tensor]:
        """Return the losses of following a teacher on pictures."""
        theirs = teacher(x)
        apart = self.epoch < self.config.apart_epochs
        losses = feature_losses(features_of(self.net, x, theirs if apart else None), theirs)
        return {f"loss_{number}": self.checked(loss, inds) for number, loss in enumerate(losses)}


def _draw_weights(network: Any) -> None:
    """Draw a network's weights at random; MMEngine would log a line for each of them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    network.init_weights()
    logger.setLevel(level)


def heatmap_targets(
    keypoints: Tensor, peaks: Tensor, input_wh: tuple[int, int], sigma: float
) -> Tensor:
    """Return heatmaps (N, V, h / 4, w / 4) with a bell at each keypoint (UDP, Huang et al. 2020).

    Args:
        keypoints: (N, V, 2) in pixels of the crop.
        peaks: (N, V) heights of the bells.
        input_wh: Width and height of the crop.
        sigma: Spread of the bells, in pixels of the heatmap.
    """
    width, height = input_wh[0] // 4, input_wh[1] // 4
    device = keypoints.device
    scale = torch.tensor(
        [(width - 1) / (input_wh[0] - 1), (height - 1) / (input_wh[1] - 1)], device=device
    )
    middles = keypoints * scale
    xs = torch.arange(width, device=device) - middles[..., :1]
    ys = torch.arange(height, device=device) - middles[..., 1:]
    bells_x = torch.exp(-(xs**2) / (2 * sigma**2))
    bells_y = torch.exp(-(ys**2) / (2 * sigma**2)) * peaks[..., None]
    return bells_y[..., :, None] * bells_x[..., None, :]


class FinderStudent(_Student):
    """A finder that learns the teachers' people, at any angle.

    Args:
        store: Frames.
        config: How it learns.
    """

    store: FinderSamples

    def __init__(self, store: FinderSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        net: Any = FinderNet(config.network)
        _draw_weights(net.backbone)
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, inds: Sequence[int], mode: str = "loss") -> dict[str, Tensor]:
        """Return the losses of a batch of frames."""
        generator = self.chance()
        with torch.autocast(generator.device.type, enabled=False):
            pictures, people, ignored = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh[0], self.config.finder, generator
            )
            pictures = spoil_pictures(pictures, self.config.pictures, generator)
        logits, sides = self.net(self.normalised(pictures))
        return {
            "loss_centre": self.checked(centre_loss(logits, people, ignored), inds),
            "loss_box": self.checked(2.0 * box_loss(sides, people), inds),
        }


class AlignerStudent(_Student):
    """An aligner that learns the axes and extents of the teachers' people.

    Args:
        store: People.
        config: How it learns.
    """

    store: PoseSamples

    def __init__(self, store: PoseSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        net: Any = AlignerNet(config.network, config.input_wh[0])
        _draw_weights(net.backbone)
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, inds: Sequence[int], mode: str = "loss") -> dict[str, Tensor]:
        """Return the loss of a batch of people."""
        generator = self.chance()
        with torch.autocast(generator.device.type, enabled=False):
            pictures, target = self.store.aligner_batch(
                torch.as_tensor(inds), self.config.input_wh[0], self.config.pose, generator
            )
            pictures = spoil_pictures(pictures, self.config.pictures, generator)
        out = self.net(self.normalised(pictures))
        known = ~target.isnan().any(dim=1)
        error = (out - target.nan_to_num()).square()[known]
        loss_axis = error[:, :2].sum() / max(1, len(error))
        loss_box = 4.0 * error[:, 2:].sum() / max(1, len(error))
        return {
            "loss_axis": self.checked(loss_axis, inds),
            "loss_box": self.checked(loss_box, inds),
        }


def _middles(people: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which boxes (N, P) are there, their middles (N, P, 2) and sizes, in cells."""
    there = people.any(dim=-1)
    middles = (people[..., :2] + people[..., 2:]) / 2 / STRIDE - 0.5
    return there, middles, (people[..., 2:] - people[..., :2]) / STRIDE


def centre_loss(logits: Tensor, people: Tensor, ignored: Tensor) -> Tensor:
    """Return the focal loss of centres (Zhou et al., Objects as Points, 2019), per person.

    Args:
        logits: (N, h, w).
        people: (N, P, 4) xyxy in pixels of the input, zeros where there is none.
        ignored: (N, K, 4) boxes in which nothing is wrong.
    """
    there, middles, sizes = _middles(people)
    height, width = logits.shape[1:]
    xs = torch.arange(width, device=logits.device, dtype=torch.float32)
    ys = torch.arange(height, device=logits.device, dtype=torch.float32)
    # As wide as the person: an eighth of the side.
    spread = (sizes / 8).clamp(min=0.7)
    bells_x = torch.exp(-((xs - middles[..., :1]) ** 2) / (2 * spread[..., :1] ** 2))
    bells_y = torch.exp(-((ys - middles[..., 1:]) ** 2) / (2 * spread[..., 1:] ** 2))
    bells = bells_y[..., :, None] * bells_x[..., None, :] * there[..., None, None]
    target = bells.amax(dim=1)
    cells = middles.round().long()
    rows, persons = there.nonzero(as_tuple=True)
    x = cells[rows, persons, 0].clamp(0, width - 1)
    y = cells[rows, persons, 1].clamp(0, height - 1)
    is_centre = torch.zeros_like(target, dtype=torch.bool)
    is_centre[rows, y, x] = True
    low, high = ignored[..., :2] / STRIDE, ignored[..., 2:] / STRIDE
    in_x = (xs >= low[..., :1] - 0.5) & (xs <= high[..., :1] - 0.5)
    in_y = (ys >= low[..., 1:] - 0.5) & (ys <= high[..., 1:] - 0.5)
    free = (in_y[..., :, None] & in_x[..., None, :]).any(dim=1) & ~is_centre
    chance = torch.sigmoid(logits)
    positive = (1 - chance) ** 2 * F.logsigmoid(logits)
    negative = (1 - target) ** 4 * chance**2 * F.logsigmoid(-logits)
    total = torch.where(is_centre, positive, torch.where(free, 0.0, negative))
    return -total.sum() / max(1, len(rows))


def box_loss(sides: Tensor, people: Tensor) -> Tensor:
    """Return one minus the generalised IoU of boxes at the cells around each centre.

    Args:
        sides: (N, 4, h, w), see ``FinderNet``.
        people: (N, P, 4) xyxy in pixels of the input, zeros where there is none.
    """
    there, middles, _ = _middles(people)
    rows, persons = there.nonzero(as_tuple=True)
    if not len(rows):
        return sides.sum() * 0.0
    height, width = sides.shape[2:]
    boxes, truth, cells = box_sides(sides), people[rows, persons], middles.round().long()
    losses = []
    for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        x = (cells[rows, persons, 0] + dx).clamp(0, width - 1)
        y = (cells[rows, persons, 1] + dy).clamp(0, height - 1)
        losses.append(1 - _generalised_iou(boxes[rows, :, y, x], truth))
    return torch.stack(losses).mean()


def _generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return (A,) generalised IoU of boxes (A, 4)."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(dim=-1)

    (low, high), (other_low, other_high) = first.split(2, dim=1), second.split(2, dim=1)
    both = area(torch.maximum(low, other_low), torch.minimum(high, other_high))
    either = area(low, high) + area(other_low, other_high) - both
    hull = area(torch.minimum(low, other_low), torch.maximum(high, other_high))
    return both / either.clamp(min=1e-6) - (hull - either) / hull.clamp(min=1e-6)
