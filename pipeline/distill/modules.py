"""What the small networks learn from their samples: the settings and the losses of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...pose_extract.nets.aligner_net import AlignerNet
from ...pose_extract.nets.lite_hrnet import LiteHRNet
from ...pose_extract.nets.rtmdet import RTMDetNano
from ...pose_extract.nets.shapes import NetworkShape, RTMDetShape, SlimHRNet
from ...pose_extract.weights.bundle import BundleKind
from ..config import OptimConfig, RuntimeConfig
from ..training.runner import SeededModule
from . import detector_features, detector_targets, pose_features
from .detector_features import CLASSIFICATION_FEATURES, HEADS, DetectorTeacher, Features
from .detector_samples import DetectorSamples, DetectorSampling
from .image_augment import ImageAugmentConfig, augment_images, normalised
from .pose_features import FeatureTeacher
from .pose_samples import PoseSamples, PoseSampling

# Weight of the loss of the few features that are learned on rotated images beside that of all
# features on the others. No benchmark chose these weights.
_ROTATED_WEIGHT = 3.0
# Weights of the teacher's boxes and of its scores beside features: they come last in the network.
_BOX_WEIGHT, _SCORE_WEIGHT = 5.0, 15.0
# Weight of the aligner's middle and size beside its axis.
_EXTENT_WEIGHT = 4.0


@dataclass(frozen=True)
class DistillConfig:
    """``skelact distill train``: a small network that learns from labelled frames.

    Attributes:
        kind: "pose", "detector" or "aligner".
        optim: Optimiser and schedule; a batch is of people or of frames.
        input_wh: Width and height of the network's input.
        stored_side: Side in pixels of what is stored of each frame or person; None stores as many
            as an input shows.
        network: Shape of the aligner's backbone.
        teacher: A Lite-HRNet pose model for "pose", RTMDet-nano for "detector": the network has its
            shape and learns its features and outputs. An aligner learns from labels and has none.
        blockwise_epochs: First epochs, of block-wise feature distillation: each block receives the
            teacher's features, and so learns on its own. Afterwards it receives those of the blocks
            before it.
        answer_weight: Weight of the loss of the teacher's outputs, heatmaps or boxes, beside that
            of a block's features.
        norm_epochs: First epochs in which batch normalisation takes each batch's statistics;
            afterwards it keeps those gathered by then, as in inference. None keeps taking the
            batch's. With 0 the statistics are those of the bundle that the training started from,
            folded into its kernels.
        ensemble_weight: Weight of the network that the training started from in the finished
            weights: a weight-space ensemble, which keeps more of what it knew beyond the training
            frames (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022; WiSE-FT).
        images: How images are augmented.
        pose: How people are cropped, for "pose" and "aligner".
        detector: How frames are sampled, for "detector".
        runtime: How training runs.
    """

    kind: BundleKind
    optim: OptimConfig
    input_wh: tuple[int, int] = (192, 256)
    stored_side: int | None = None
    network: SlimHRNet = field(default_factory=SlimHRNet)
    teacher: str | None = None
    blockwise_epochs: int = 0
    answer_weight: float = 1.0
    norm_epochs: int | None = None
    ensemble_weight: float = 0.0
    images: ImageAugmentConfig = field(default_factory=ImageAugmentConfig)
    pose: PoseSampling = field(default_factory=PoseSampling)
    detector: DetectorSampling = field(default_factory=DetectorSampling)
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))

    RENAMED: ClassVar[dict[str, str]] = {
        "apart_epochs": "blockwise_epochs",
        "init_share": "ensemble_weight",
        "pictures": "images",
        "finder": "detector",
    }

    def __post_init__(self) -> None:
        if self.kind == "aligner" and self.teacher:
            raise ValueError("teacher: an aligner learns from labels alone")
        if self.kind != "aligner" and not self.teacher:
            example = "litehrnet18-coco-256x192" if self.kind == "pose" else "rtmdet-nano"
            raise ValueError(f"teacher: kind {self.kind!r} needs one, such as {example}")
        if self.ensemble_weight and self.norm_epochs != 0:
            raise ValueError(
                "ensemble_weight: expected norm_epochs=0 with it, so that both networks have their "
                f"statistics in their kernels, got norm_epochs={self.norm_epochs}"
            )

    @property
    def shape(self) -> NetworkShape:
        """Shape of the network."""
        if self.kind == "aligner":
            return self.network
        return LiteHRNet() if self.kind == "pose" else RTMDetShape()


class _Distillation(SeededModule):
    """What the trainings of all kinds share.

    Attributes:
        net: The network that learns.
    """

    net: Any

    def __init__(self, store: Any, config: DistillConfig) -> None:
        super().__init__(store)
        self.config = config

    def set_step(self, *key: int) -> None:
        """See ``SeededModule``; from ``norm_epochs`` on normalisation keeps its statistics."""
        super().set_step(*key)
        until = self.config.norm_epochs
        if until is not None and self.epoch >= until:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    @property
    def _is_blockwise(self) -> bool:
        return self.epoch < self.config.blockwise_epochs

    def _generator_and_store(self) -> torch.Generator:
        """Return the step's random state, once the samples are on its device."""
        generator = self.generator()
        store: Any = self.store
        if store.images.device != generator.device:
            store.to(generator.device)
        return generator


class PoseDistillation(_Distillation):
    """A pose model that learns its teacher's features and heatmaps.

    Args:
        store: People.
        config: How it learns.
    """

    store: PoseSamples

    def __init__(self, store: PoseSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        assert config.teacher is not None
        self.teacher = FeatureTeacher(config.teacher)
        model = pose_features.new_lite_hrnet(config.input_wh)
        self.net = model.to(memory_format=torch.channels_last)

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the losses of a batch of people."""
        generator = self._generator_and_store()
        with torch.autocast(generator.device.type, enabled=False):
            images, _, _, _ = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh, self.config.pose, generator
            )
            images = augment_images(images, self.config.images, generator)
        x = normalised(images)
        theirs = self.teacher(x)
        mine = pose_features.features_of(self.net, x, theirs if self._is_blockwise else None)
        *features, heatmaps = pose_features.feature_losses(mine, theirs)
        return {
            "loss_features": self.checked(torch.stack(features).sum(), inds),
            "loss_heatmaps": self.checked(self.config.answer_weight * heatmaps, inds),
        }


class DetectorDistillation(_Distillation):
    """A detector that learns its teacher's features, boxes and scores, on rotated images too.

    The teacher knows upright people, and sees each image upright. Some images are rotated
    afterwards, and its boxes and scores with them.

    Args:
        store: Frames.
        config: How it learns.
    """

    store: DetectorSamples

    def __init__(self, store: DetectorSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        assert config.teacher is not None
        self.teacher = DetectorTeacher(config.teacher)
        net: Any = RTMDetNano(RTMDetShape())
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the losses of a batch of frames."""
        generator = self._generator_and_store()
        sampling = self.config.detector
        if not self._is_blockwise:
            sampling = replace(sampling, rotated_prob=0.0)
        with torch.autocast(generator.device.type, enabled=False):
            images, people, ignored = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh[0], sampling, generator
            )
            images = augment_images(images, self.config.images, generator)
        # Mosaics come first in a batch; any image may be rotated.
        order = torch.randperm(len(images), generator=generator, device=images.device)
        images, people, ignored = images[order], people[order], ignored[order]
        theirs = self.teacher(normalised(images))
        count = 0 if self._is_blockwise else round(self.config.detector.rotated_prob * len(images))
        with torch.autocast(images.device.type, enabled=False):
            degrees = _rotate_last(images, count, generator)
            heads = [theirs[name] for name in HEADS]
            if not self._is_blockwise:
                heads = detector_targets.join_labels(heads, people, ignored)
            scores, boxes = detector_targets.rotated_targets(heads, degrees)
        losses, mine = self._feature_losses(normalised(images), theirs, degrees, count)
        loss_score, loss_box = detector_targets.detection_losses(mine, scores, boxes)
        weight = self.config.answer_weight
        losses["loss_score"] = weight * _SCORE_WEIGHT * loss_score
        losses["loss_box"] = weight * _BOX_WEIGHT * loss_box
        return {name: self.checked(loss, inds) for name, loss in losses.items()}

    def _feature_losses(
        self, x: Tensor, theirs: Features, degrees: Tensor, count: int
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the losses of features, and the network's output for each level.

        Args:
            x: (N, 3, S, S) normalised images.
            theirs: The teacher's features of the images before some were rotated.
            degrees: (N,) by which they are rotated, clockwise.
            count: How many of them are rotated: the last ones.
        """
        upright = len(x) - count
        losses: dict[str, Tensor] = {}
        found: list[Features] = []
        # One after the other: on rotated images few features have a loss of their own.
        if upright:
            truth = {name: features[:upright] for name, features in theirs.items()}
            given = truth if self._is_blockwise else None
            mine = detector_features.features_of(self.net, x[:upright], given)
            parts = detector_features.block_losses(mine, truth).values()
            losses["loss_features"] = torch.stack(list(parts)).sum()
            found.append(mine)
        if count:
            truth = {name: theirs[name][upright:] for name in CLASSIFICATION_FEATURES}
            mine = detector_features.features_of(self.net, x[upright:])
            rotated = detector_features.rotated_feature_losses(mine, truth, degrees[upright:])
            losses["loss_rotated"] = _ROTATED_WEIGHT * torch.stack(list(rotated.values())).sum()
            found.append(mine)
        return losses, [torch.cat([mine[name].float() for mine in found]) for name in HEADS]


def _rotate_last(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rotate the last of some images (N, 3, S, S) in place, and return all angles (N,) in degrees.

    The corners that come into view are black, as in most rotated images, or of any brightness.
    """
    degrees = torch.zeros(len(images), device=images.device)
    if count:

        def rand() -> Tensor:
            return torch.rand(count, generator=generator, device=images.device)

        degrees[-count:] = 360 * rand()
        fill = 255 * rand() * (rand() < 0.5)
        images[-count:] = detector_targets.rotate_images(images[-count:], degrees[-count:], fill)
    return degrees


class AlignerTraining(_Distillation):
    """An aligner that learns the axes and extents of the labelled people.

    Args:
        store: People.
        config: How it learns.
    """

    store: PoseSamples

    def __init__(self, store: PoseSamples, config: DistillConfig) -> None:
        super().__init__(store, config)
        net: Any = AlignerNet(config.network, config.input_wh[0])
        _init_weights(net.backbone)
        self.net = net.to(memory_format=torch.channels_last)

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the losses of a batch of people."""
        generator = self._generator_and_store()
        with torch.autocast(generator.device.type, enabled=False):
            images, target = self.store.aligner_batch(
                torch.as_tensor(inds), self.config.input_wh[0], self.config.pose, generator
            )
            images = augment_images(images, self.config.images, generator)
        out = self.net(normalised(images))
        known = ~target.isnan().any(dim=1)
        error = (out - target.nan_to_num()).square()[known]
        loss_axis = error[:, :2].sum() / max(1, len(error))
        loss_extent = _EXTENT_WEIGHT * error[:, 2:].sum() / max(1, len(error))
        return {
            "loss_axis": self.checked(loss_axis, inds),
            "loss_extent": self.checked(loss_extent, inds),
        }


def _init_weights(network: Any) -> None:
    """Initialise a network's weights at random; MMEngine would log a line for each of them."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    network.init_weights()
    logger.setLevel(level)
