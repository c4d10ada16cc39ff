"""What a detector learns from its samples: the settings and the losses of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...pose_extract.nets.rtmdet import RTMDetNano
from ...pose_extract.nets.shapes import RTMDetShape
from ..config import OptimConfig, RuntimeConfig
from ..training.runner import SeededModule
from . import detector_features, detector_targets
from .detector_features import CLASSIFICATION_FEATURES, HEADS, DetectorTeacher
from .detector_samples import DetectorSamples, DetectorSampling
from .feature_hooks import Features
from .image_augment import ImageAugmentConfig, augment_images, normalised

# Weight of the loss of the few features that are learned on rotated images beside that of all
# features on the others. No benchmark chose these weights.
_ROTATED_WEIGHT = 3.0
# Weights of the teacher's boxes and of its scores beside features: they come last in the network.
_BOX_WEIGHT, _SCORE_WEIGHT = 5.0, 15.0


@dataclass(frozen=True)
class DistillConfig:
    """``skelact distill train``: a detector that learns from labelled frames.

    Attributes:
        optim: Optimiser and schedule; a batch is of frames.
        input_wh: Width and height of the network's input.
        stored_side: Side in pixels of what is stored of each frame; None stores as many as an input
            shows.
        teacher: RTMDet-nano: the network has its shape and learns its features and boxes.
        blockwise_epochs: First epochs, of block-wise feature distillation: each block receives the
            teacher's features, and so learns on its own. Afterwards it receives those of the blocks
            before it.
        answer_weight: Weight of the loss of the teacher's scores and boxes beside that of a
            block's features.
        norm_epochs: First epochs in which batch normalisation takes each batch's statistics;
            afterwards it keeps those gathered by then, as in inference. None keeps taking the
            batch's. With 0 the statistics are those of the bundle that the training started from,
            folded into its kernels.
        ensemble_weight: Weight of the network that the training started from in the finished
            weights: a weight-space ensemble, which keeps more of what it knew beyond the training
            frames (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022; WiSE-FT).
        images: How images are augmented.
        detector: How frames are sampled.
        runtime: How training runs.
    """

    optim: OptimConfig
    input_wh: tuple[int, int] = (320, 320)
    stored_side: int | None = None
    teacher: str = "rtmdet-nano"
    blockwise_epochs: int = 0
    answer_weight: float = 1.0
    norm_epochs: int | None = None
    ensemble_weight: float = 0.0
    images: ImageAugmentConfig = field(default_factory=ImageAugmentConfig)
    detector: DetectorSampling = field(default_factory=DetectorSampling)
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))

    RENAMED: ClassVar[dict[str, str]] = {
        "apart_epochs": "blockwise_epochs",
        "init_share": "ensemble_weight",
        "pictures": "images",
        "finder": "detector",
    }

    def __post_init__(self) -> None:
        self.optim.expect_no_head()
        if self.ensemble_weight and self.norm_epochs != 0:
            raise ValueError(
                "ensemble_weight: expected norm_epochs=0 with it, so that both networks have their "
                f"statistics in their kernels, got norm_epochs={self.norm_epochs}"
            )


class DetectorDistillation(SeededModule):
    """A detector that learns its teacher's features, boxes and scores, on rotated images too.

    The teacher knows upright people, and sees each image upright. Some images are rotated
    afterwards, and its boxes and scores with them.

    Args:
        store: Frames.
        config: How it learns.

    Attributes:
        net: The network that learns.
    """

    store: DetectorSamples

    def __init__(self, store: DetectorSamples, config: DistillConfig) -> None:
        super().__init__(store)
        self.config = config
        self.teacher = DetectorTeacher(config.teacher)
        net: Any = RTMDetNano(RTMDetShape())
        self.net = net.to(memory_format=torch.channels_last)

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

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the losses of a batch of frames."""
        generator = self.generator()
        if self.store.images.device != generator.device:
            self.store.to(generator.device)
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
