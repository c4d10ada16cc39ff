"""What a pose model learns from its samples: the settings and the loss of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...pose_extract.common.geometry import body_angles, torso_lengths
from ...pose_extract.layout import COCO_17
from ..config import OptimConfig, RuntimeConfig
from ..distill.image_augment import ImageAugmentConfig, augment_images
from ..training.runner import SeededModule
from .pose_samples import PoseSamples, PoseSampling

# Angles of a trunk from upright that part upright, sideways and inverted people, degrees.
TILTS = {"upright": (0, 45), "sideways": (45, 135), "inverted": (135, 181)}
# A joint counts as found within this many torso lengths, and a torso is measured from so many
# pixels of the crop on, 15 of the image at the published sizes.
FOUND_TORSOS, _MIN_TORSO = 0.2, 15.0
_MEASURE_BATCH = 32
_BODY = slice(5, COCO_17.num_keypoints)
_TRUNK = [
    COCO_17.index(f"{side}_{part}") for side in ("left", "right") for part in ("shoulder", "hip")
]


@dataclass(frozen=True)
class TrainPoseConfig:
    """``skelact train-pose``: a top-down pose model that learns from annotated people.

    Attributes:
        optim: Optimiser and schedule; a batch is of people.
        start: The pose model to start from, as ``--pose`` of `skelact extract` names it. Joints of
            the face that are not annotated are learned from it.
        corrections: Corrections of the labels: a name of configs/people or a YAML file; empty
            corrects nothing.
        excluded: People never looked at: [5, 4] are those whose number leaves 4 over 5; empty
            excludes nobody.
        held_out: People to measure on, in the same way.
        labelled_share: People of labelled frames per annotated person, drawn anew for each seed.
        start_weight: Weight of the model that the training started from in the finished weights: a
            weight-space ensemble, which keeps more of what it knew beyond the annotated people
            (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
        sigma: Standard deviation of the heatmap targets in pixels of the heatmap; 2 is MMPose's.
        images: How images are augmented.
        pose: How people are cropped.
        runtime: How training runs.
    """

    optim: OptimConfig
    start: str = "litehrnet18-coco-256x192"
    corrections: str = ""
    excluded: tuple[int, ...] = ()
    held_out: tuple[int, ...] = ()
    labelled_share: float = 0.3
    start_weight: float = 0.0
    sigma: float = 2.0
    images: ImageAugmentConfig = field(default_factory=ImageAugmentConfig)
    pose: PoseSampling = field(default_factory=lambda: PoseSampling(rotated_prob=0.5))
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))

    def __post_init__(self) -> None:
        self.optim.expect_no_head()
        for name in ("excluded", "held_out"):
            value = getattr(self, name)
            if value and (len(value) != 2 or not 0 <= value[1] < value[0]):
                raise ValueError(f"{name}: expected [divisor, remainder], got {list(value)}")
        if not 0 <= self.start_weight < 1:
            raise ValueError(f"start_weight: expected 0 to below 1, got {self.start_weight}")
        if self.labelled_share < 0 or self.sigma <= 0:
            raise ValueError("labelled_share: expected 0 or more; sigma: expected above 0")


@dataclass(frozen=True)
class InputFormat:
    """How a pose model takes crops and gives heatmaps.

    Attributes:
        input_wh: Width and height of the crops, pixels.
        heatmap_wh: Width and height of the heatmaps, pixels.
        mean: Mean of each colour channel of the crops, in the network's order, 0 to 255.
        std: Standard deviations, the same.
        is_bgr: Whether the network takes BGR.
        use_udp: Whether pixels are aligned as UDP does (Huang et al., CVPR 2020).
    """

    input_wh: tuple[int, int]
    heatmap_wh: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_bgr: bool
    use_udp: bool

    @classmethod
    def of(cls, config: dict[str, Any]) -> InputFormat:
        """Return that of a config as ``PoseEstimator.build`` gives it."""
        codec, normalise = config["codec"], config["model"]["data_preprocessor"]
        return cls(
            input_wh=tuple(codec["input_size"]),
            heatmap_wh=tuple(codec["heatmap_size"]),
            mean=tuple(normalise["mean"]),
            std=tuple(normalise["std"]),
            is_bgr=not normalise.get("bgr_to_rgb", False),
            use_udp=config["use_udp"],
        )

    def scale(self) -> Tensor:
        """Return pixels of the heatmap in one of the crop (2,), x then y."""
        minus = 1 if self.use_udp else 0
        return torch.tensor(
            [(h - minus) / (i - minus) for h, i in zip(self.heatmap_wh, self.input_wh)]
        )

    def normalised(self, images: Tensor) -> Tensor:
        """Return RGB images (N, 3, H, W), 0 to 255, as the network takes them, channels last."""
        if self.is_bgr:
            images = images.flip(1)
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def heatmap_errors(
    heatmaps: Tensor, keypoints: Tensor, peaks: Tensor, weights: Tensor, sigma: float
) -> Tensor:
    """Return each joint's squared error, (N, V): 1 where a target of peak 1 is missed altogether.

    The targets are Gaussians around the unrounded joints; a joint outside the crop has a target of
    zeros.

    Args:
        heatmaps: (N, V, h, w) float32.
        keypoints: (N, V, 2) in pixels of the heatmap.
        peaks: (N, V) height of each target.
        weights: (N, V) weight of each joint, 0 where nothing is known.
        sigma: Standard deviation of the targets, pixels of the heatmap.
    """
    height, width = heatmaps.shape[2:]

    def gaussian(places: Tensor, size: int) -> Tensor:
        pixels = torch.arange(size, device=places.device, dtype=places.dtype)
        return torch.exp(-((pixels - places[..., None]) ** 2) / (2 * sigma**2))

    columns, rows = gaussian(keypoints[..., 0], width), gaussian(keypoints[..., 1], height)
    targets = peaks[..., None, None] * rows[..., :, None] * columns[..., None, :]
    # The integral of a squared Gaussian of height 1 is pi sigma^2.
    errors = (heatmaps - targets).square().sum(dim=(2, 3)) / (math.pi * sigma**2)
    return errors * weights


class PoseTraining(SeededModule):
    """A pose model that learns heatmaps of annotated and labelled people.

    Args:
        store: People to learn from.
        sides_unknown: (len(store),) bool, whose left and right may be exchanged as a whole: the
            loss is that of the nearer side.
        held_out: People to measure on.
        net: MMPose's pose model with its normalisation folded.
        format: Its input and output.
        config: How it learns.
    """

    store: PoseSamples

    def __init__(
        self,
        store: PoseSamples,
        sides_unknown: np.ndarray,
        held_out: PoseSamples | None,
        net: Any,
        format: InputFormat,
        config: TrainPoseConfig,
    ) -> None:
        super().__init__(store)
        self.net = net.to(memory_format=torch.channels_last)
        self.config, self.format = config, format
        self._sides_unknown = torch.from_numpy(sides_unknown)
        self._held_out = held_out
        self._flip_inds = COCO_17.flip_inds().tolist()

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the loss of a batch of people."""
        generator = self.generator()
        device = generator.device
        if self.store.images.device != device:
            self.store.to(device)
        rows = torch.as_tensor(inds)
        with torch.autocast(device.type, enabled=False):
            images, keypoints, peaks, weights = self.store.batch(
                rows, self.format.input_wh, self.config.pose, generator
            )
            images = augment_images(images, self.config.images, generator)
            x = self.format.normalised(images)
        heatmaps = self._heatmaps(x).float()
        with torch.autocast(device.type, enabled=False):
            places = keypoints * self.format.scale().to(device)
            loss = self._errors(heatmaps, places, peaks, weights)
            unknown = self._sides_unknown[rows].to(device)
            if unknown.any():
                flip = self._flip_inds
                other = self._errors(
                    heatmaps[unknown],
                    places[unknown][:, flip],
                    peaks[unknown][:, flip],
                    weights[unknown][:, flip],
                )
                loss = loss.masked_scatter(unknown, torch.minimum(loss[unknown], other))
            return {"loss_heatmaps": self.checked(loss.mean(), inds)}

    def _heatmaps(self, x: Tensor) -> Tensor:
        heatmaps: Tensor = self.net.head.forward(self.net.extract_feat(x))
        return heatmaps

    def _errors(self, heatmaps: Tensor, places: Tensor, peaks: Tensor, weights: Tensor) -> Tensor:
        errors = heatmap_errors(heatmaps, places, peaks, weights, self.config.sigma)
        return errors.sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)

    def figures(self) -> dict[str, Any]:
        """Measure on the held-out people, each in one crop as the image shows them."""
        if self._held_out is None:
            return {}
        return measure(self.net, self.format, self._held_out)


def measure(net: Any, format: InputFormat, people: PoseSamples) -> dict[str, float]:
    """Return the share of the body's joints within .2 torso lengths, by the tilt of the trunk.

    A tilt that nobody has is left out. Each person is seen in one crop along the axes of the image.

    Args:
        net: Pose model with a backbone and a heatmap head.
        format: Its input and output.
        people: People annotated by hand.
    """
    device = next(net.parameters()).device
    found: list[np.ndarray] = []
    known: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    with torch.inference_mode():
        for inds in torch.arange(len(people)).split(_MEASURE_BATCH):
            images, keypoints, _, weights = people.batch(
                inds, format.input_wh, PoseSampling(), torch.Generator(people.images.device), 0.0
            )
            x = format.normalised(images.to(device))
            heatmaps = net.head.forward(net.extract_feat(x)).float().cpu().numpy()
            found.append(np.stack([net.head.decoder.decode(one)[0][0] for one in heatmaps]))
            known.append(weights.cpu().numpy() > 0)
            truths.append(keypoints.cpu().numpy())
    answers, knowns, truth = map(np.concatenate, (found, known, truths))
    torsos = torso_lengths(truth, COCO_17)
    tilts = np.abs(body_angles(truth, COCO_17))
    has_trunk = knowns[:, _TRUNK].all(axis=1) & (torsos >= _MIN_TORSO)
    distance = np.linalg.norm(answers - truth, axis=-1) / np.maximum(torsos, 1e-6)[:, None]
    hits, knowns = (distance <= FOUND_TORSOS)[:, _BODY], knowns[:, _BODY]
    figures = {}
    for name, (least, most) in TILTS.items():
        rows = has_trunk & (tilts >= least) & (tilts < most)
        if not rows.any():
            continue
        share = (hits & knowns)[rows].sum() / knowns[rows].sum()
        figures[f"found_{name}"] = round(float(share), 4)
    return figures
