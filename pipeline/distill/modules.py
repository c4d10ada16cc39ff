"""The students and what they are judged by while they learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ...pose_extract.detect.torch_detector import FinderNet
from ...pose_extract.nets.aligner_net import AlignerNet
from ...pose_extract.nets.lite_hrnet import LiteHRNet
from ...pose_extract.nets.mmpose_adapter import build_pose_model
from ...pose_extract.nets.rtmdet import RTMDetNano
from ...pose_extract.nets.shapes import NetworkShape, RTMDetShape, SlimHRNet, heatmap_sigma
from ...pose_extract.weights.bundle import BundleKind
from ..config import OptimConfig, RuntimeConfig
from ..training.runner import SeededModule
from .detector_features import (
    CLASSIFICATION_FEATURES,
    HEADS,
    DetectorTeacher,
    Features,
    block_losses,
    detection_losses,
    join_labels,
    rotate_images,
    rotated_feature_losses,
    rotated_targets,
)
from .detector_features import features_of as detector_features_of
from .detector_samples import DetectorSamples, DetectorSampling
from .image_augment import ImageAugmentConfig, augment_images, normalised
from .losses import box_loss, centre_loss, heatmap_targets
from .pose_features import FeatureTeacher, feature_losses, features_of, new_lite_hrnet
from .pose_samples import PoseSamples, PoseSampling

# What a loss of the few features that turn with the picture counts beside one of all the others.
_TURNED_WEIGHT = 3.0
# What the teacher's boxes count beside features, and what its scores do: they come late.
_BOX_WEIGHT, _SCORE_WEIGHT = 5.0, 15.0


@dataclass(frozen=True)
class DistillConfig:
    """``skelact distill train``: a student taught by labelled frames.

    Attributes:
        kind: "pose", "finder" or "aligner".
        optim: Optimiser and schedule; a batch is of people or of frames.
        input_wh: Width and height of the student's input.
        stored_side: Pixels of a side of what is kept of each frame or person; None keeps as many as
            an input shows.
        network: Shape of the backbone.
        teacher: A Lite-HRNet pose net for "pose", RTMDet-nano for "finder": the student has its
            shape, not ``network``'s, and learns its features and answers, not the labels'.
        apart_epochs: First epochs in which each part is fed with the teacher's features, and so
            learns on its own; afterwards with those of the parts before it.
        answer_weight: What a loss of the teacher's answers, heatmaps or boxes, counts beside that
            of a part's features.
        norm_epochs: First epochs in which normalisation takes each batch's own statistics;
            afterwards those gathered by then, as it does in use. None keeps the batch's. With 0
            they are those of the student that was started from, moved into its kernels.
        init_share: Share that the student that was started from has in the finished weights: so it
            keeps more of what it knew beyond the scenes learned from (Wortsman et al., Robust
            fine-tuning of zero-shot models, CVPR 2022).
        pictures: How pictures are spoilt.
        bell_weight: What an error under a keypoint's bell counts beside one far from it, less one,
            for "pose": most of a heatmap is empty.
        pose: How people are cut out, for "pose" and "aligner".
        finder: How frames are shown, for "finder".
        runtime: How training runs.
    """

    kind: BundleKind
    optim: OptimConfig
    input_wh: tuple[int, int] = (192, 256)
    stored_side: int | None = None
    network: SlimHRNet = field(default_factory=SlimHRNet)
    teacher: str | None = None
    apart_epochs: int = 0
    answer_weight: float = 1.0
    norm_epochs: int | None = None
    init_share: float = 0.0
    pictures: ImageAugmentConfig = field(default_factory=ImageAugmentConfig)
    bell_weight: float = 0.0
    pose: PoseSampling = field(default_factory=PoseSampling)
    finder: DetectorSampling = field(default_factory=DetectorSampling)
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))

    @property
    def shape(self) -> NetworkShape:
        """Shape of the student."""
        if not self.teacher:
            return self.network
        return LiteHRNet() if self.kind == "pose" else RTMDetShape()


class _Student(SeededModule):
    def __init__(self, store: Any, config: DistillConfig) -> None:
        super().__init__(store)
        self.config = config

    def init_weights(self) -> None:
        """Keep the weights: the Runner would draw them anew, also those of another student."""

    def set_step(self, *key: int) -> None:
        """See ``SeededModule``; from ``norm_epochs`` on normalisation keeps its statistics."""
        super().set_step(*key)
        until = self.config.norm_epochs
        if until is not None and self.epoch >= until:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    @property
    def _apart(self) -> bool:
        return self.epoch < self.config.apart_epochs

    def chance(self) -> torch.Generator:
        """Return the step's source of chance; what is learned from moves to its device."""
        generator = self.generator()
        store: Any = self.store
        if store.images.device != generator.device:
            store.to(generator.device)
        return generator


class PoseDistillation(_Student):
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
        heatmaps: Tensor = self.net.head(self.net.extract_feat(normalised(pictures)))
        return heatmaps.float()

    def forward(self, inds: Sequence[int], mode: str = "loss") -> dict[str, Tensor]:
        """Return the loss of a batch of people."""
        generator = self.chance()
        with torch.autocast(generator.device.type, enabled=False):
            pictures, keypoints, peaks, weights = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh, self.config.pose, generator
            )
            pictures = augment_images(pictures, self.config.pictures, generator)
        if self.teacher is not None:
            return self._followed(self.teacher, normalised(pictures), inds)
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
        losses = feature_losses(features_of(self.net, x, theirs if self._apart else None), theirs)
        *parts, heatmaps = losses
        return {
            "loss_parts": self.checked(torch.stack(parts).sum(), inds),
            "loss_heatmaps": self.checked(self.config.answer_weight * heatmaps, inds),
        }


def _draw_weights(network: Any) -> None:
    """Draw a network's weights at random; MMEngine would log a line for each of them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    network.init_weights()
    logger.setLevel(level)


class DetectorDistillation(_Student):
    """A finder that learns the teachers' people, at any angle.

    Args:
        store: Frames.
        config: How it learns.
    """

    store: DetectorSamples

    def __init__(self, store: DetectorSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        self.teacher: DetectorTeacher | None = None
        net: Any
        if config.teacher:
            self.teacher = DetectorTeacher(config.teacher)
            net = RTMDetNano(RTMDetShape())
        else:
            net = FinderNet(config.network)
            _draw_weights(net.backbone)
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, inds: Sequence[int], mode: str = "loss") -> dict[str, Tensor]:
        """Return the losses of a batch of frames."""
        generator = self.chance()
        sampling = self.config.finder
        if self.teacher is not None and not self._apart:
            # The teacher is to see people who stand.
            sampling = replace(sampling, rotated_prob=0.0)
        with torch.autocast(generator.device.type, enabled=False):
            pictures, people, ignored = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh[0], sampling, generator
            )
            pictures = augment_images(pictures, self.config.pictures, generator)
        if self.teacher is not None:
            return self._followed(self.teacher, pictures, people, ignored, inds, generator)
        logits, sides = self.net(normalised(pictures))
        return {
            "loss_centre": self.checked(centre_loss(logits, people, ignored), inds),
            "loss_box": self.checked(2.0 * box_loss(sides, people), inds),
        }

    def _followed(
        self,
        teacher: DetectorTeacher,
        pictures: Tensor,
        people: Tensor,
        ignored: Tensor,
        inds: Sequence[int],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the losses of following a teacher on pictures, some of which turn afterwards."""

        def rand(count: int) -> Tensor:
            return torch.rand(count, generator=generator, device=pictures.device)

        # Mosaics come first in a batch; any picture may turn.
        order = torch.randperm(len(pictures), generator=generator, device=pictures.device)
        pictures, people, ignored = pictures[order], people[order], ignored[order]
        theirs = teacher(normalised(pictures))
        count = 0 if self._apart else round(self.config.finder.rotated_prob * len(pictures))
        still = len(pictures) - count
        degrees = torch.zeros(len(pictures), device=pictures.device)
        degrees[still:] = 360 * rand(count)
        with torch.autocast(pictures.device.type, enabled=False):
            if count:
                # Black, as turned pictures often come, or anything.
                fill = 255 * rand(count) * (rand(count) < 0.5)
                pictures[still:] = rotate_images(pictures[still:], degrees[still:], fill)
            heads = [theirs[name] for name in HEADS]
            if not self._apart:
                heads = join_labels(heads, people, ignored)
            chances, boxes = rotated_targets(heads, degrees)
        stood, turned = normalised(pictures).split([still, count])
        losses: dict[str, Tensor] = {}
        found: list[Features] = []
        # One after the other: few features have a loss of their own in turned pictures.
        if still:
            truth = {name: part[:still] for name, part in theirs.items()}
            mine = detector_features_of(self.net, stood, truth if self._apart else None)
            losses["loss_parts"] = torch.stack(list(block_losses(mine, truth).values())).sum()
            found.append(mine)
        if count:
            truth = {name: theirs[name][still:] for name in CLASSIFICATION_FEATURES}
            mine = detector_features_of(self.net, turned)
            turned_parts = rotated_feature_losses(mine, truth, degrees[still:]).values()
            losses["loss_turned"] = _TURNED_WEIGHT * torch.stack(list(turned_parts)).sum()
            found.append(mine)
        heads = [torch.cat([part[name].float() for part in found]) for name in HEADS]
        loss_score, loss_box = detection_losses(heads, chances, boxes)
        weight = self.config.answer_weight
        losses["loss_score"] = weight * _SCORE_WEIGHT * loss_score
        losses["loss_box"] = weight * _BOX_WEIGHT * loss_box
        return {name: self.checked(loss, inds) for name, loss in losses.items()}


class AlignerTraining(_Student):
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
            pictures = augment_images(pictures, self.config.pictures, generator)
        out = self.net(normalised(pictures))
        known = ~target.isnan().any(dim=1)
        error = (out - target.nan_to_num()).square()[known]
        loss_axis = error[:, :2].sum() / max(1, len(error))
        loss_box = 4.0 * error[:, 2:].sum() / max(1, len(error))
        return {
            "loss_axis": self.checked(loss_axis, inds),
            "loss_box": self.checked(loss_box, inds),
        }
