"""The students' trainings, on the Runner of ``pipeline.runner``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from torch import Tensor

from ... import SkelactError
from ...pose_extract.boxes import keypoint_likeness, pairwise_iou
from ...pose_extract.finder import STRIDE, FinderNet, box_sides, find_peaks
from ...pose_extract.mmpose_compat import build_pose_model
from ...pose_extract.student import (
    PIXEL_MEAN,
    PIXEL_STD,
    SlimHRNet,
    StudentMeta,
    heatmap_sigma,
    load_weights,
    read_student,
    save_student,
)
from ..config import OptimConfig, RuntimeConfig
from ..runner import SeededModule, train_module
from .labelled_frames import LabelledFrames, read_teachers
from .pictures import PictureConfig, spoil_pictures
from .samples import FinderSamples, FinderSampling, PoseSamples, PoseSampling

_VAL_SHARE = 20  # one source in so many is measured on
_VAL_BATCH = 32


@dataclass(frozen=True)
class DistillConfig:
    """``skelact distill train``: a student taught by labelled frames.

    Attributes:
        kind: "pose" or "finder".
        optim: Optimiser and schedule; a batch is of people or of frames.
        input_wh: Width and height of the student's input.
        network: Shape of the backbone.
        pictures: How pictures are spoilt.
        bell_weight: What an error under a keypoint's bell counts beside one far from it, less one,
            for "pose": most of a heatmap is empty.
        pose: How people are cut out, for "pose".
        finder: How frames are shown, for "finder".
        runtime: How training runs.
    """

    kind: Literal["pose", "finder"]
    optim: OptimConfig
    input_wh: tuple[int, int] = (192, 256)
    network: SlimHRNet = field(default_factory=SlimHRNet)
    pictures: PictureConfig = field(default_factory=PictureConfig)
    bell_weight: float = 0.0
    pose: PoseSampling = field(default_factory=PoseSampling)
    finder: FinderSampling = field(default_factory=FinderSampling)
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))


class _Student(SeededModule):
    def __init__(self, store: Any, config: DistillConfig) -> None:
        super().__init__(store)
        self.config = config
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Keep the weights: the Runner would draw them anew, also those of another student."""

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
        generator = self.generator()
        if self.store.pictures.device != generator.device:
            self.store.to(generator.device)
        with torch.autocast(generator.device.type, enabled=False):
            pictures, keypoints, peaks, weights = self.store.batch(
                torch.as_tensor(inds), self.config.input_wh, self.config.pose, generator
            )
            pictures = spoil_pictures(pictures, self.config.pictures, generator)
            target = heatmap_targets(keypoints, peaks, self.config.input_wh, self.sigma)
        error = (self.heatmaps(pictures) - target).square()
        error = (error * (1 + self.config.bell_weight * target)).sum(dim=(2, 3))
        loss = (error * weights).sum() / weights.sum().clamp(min=1.0)
        return {"loss": self.checked(loss, inds)}


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
        generator = self.generator()
        if self.store.pictures.device != generator.device:
            self.store.to(generator.device)
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


def split_sources(names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return rows to learn from and rows to measure on; all frames of a source go together.

    A source is a video, or all pictures whose names differ by what follows the last underscore.
    """
    train: list[int] = []
    val: list[int] = []
    for row, name in enumerate(names):
        source = name.partition("#")[0] if "#" in name else name.rpartition("_")[0]
        digest = int(hashlib.sha256(source.encode()).hexdigest()[:8], 16)
        (val if digest % _VAL_SHARE == 0 else train).append(row)
    return train, val


def distill(
    config: DistillConfig,
    labels: Path,
    work_dir: Path,
    *,
    init: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a student; the weights' moving average after the last epoch is kept.

    Args:
        config: What to do.
        labels: Folder of labelled frames.
        work_dir: Gets the pair ``pose`` or ``finder``, resume states and logs.
        init: A student of the same backbone to start from, of either kind; None starts from random
            weights.
        seed: Seed of weights, order and samples.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.

    Returns:
        Path of the JSON.
    """
    labelled = LabelledFrames.load(labels)
    is_pose = config.kind == "pose"
    names = labelled.names[labelled.person_frames] if is_pose else labelled.names
    train_rows, val_rows = split_sources([str(name) for name in names])
    if not train_rows:
        raise SkelactError(f"{labels}: nothing to learn from")
    torch.manual_seed(seed)
    module: Any
    if is_pose:
        module = PoseStudent(_pose_samples(labelled, train_rows, config), config)
    else:
        module = FinderStudent(FinderSamples(labelled, train_rows, config.input_wh[0]), config)
    if init is not None:
        _start_from(module, init)
    module = train_module(
        module,
        config.optim,
        config.runtime,
        work_dir,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
    ).eval()
    figures = {}
    if val_rows and is_pose:
        figures = measure_pose(module, _pose_samples(labelled, val_rows, config))
    elif val_rows:
        figures = measure_finder(module, FinderSamples(labelled, val_rows, config.input_wh[0]))
    meta = StudentMeta(
        kind=config.kind,
        input_wh=config.input_wh,
        network=config.network,
        config=json.loads(json.dumps(dataclasses.asdict(config))),
        data={
            "frames": len(labelled),
            "people": len(labelled.person_frames),
            "learned_from": len(train_rows),
            "teachers": read_teachers(labels),
            "started_from": _identity(init) if init else None,
        },
        seed=seed,
        figures=figures,
    )
    return save_student(work_dir / config.kind, module.net, meta)


def _identity(student: Path) -> dict[str, str]:
    return {"name": student.stem, "sha256": read_student(student).weights_sha256}


def _pose_samples(
    labelled: LabelledFrames, rows: Sequence[int], config: DistillConfig
) -> PoseSamples:
    # The square around a person reaches half as far again as the crop.
    return PoseSamples(labelled, rows, stored_side=round(1.5 * max(config.input_wh)))


def _start_from(module: Any, init: Path) -> None:
    """Take the weights of another student: all from one of the same kind, else the backbone's."""
    meta = read_student(init)
    if meta.network != module.config.network:
        raise SkelactError(f"{init}: expected backbone {module.config.network}, got {meta.network}")
    if meta.kind == module.config.kind:
        load_weights(init, module.net)
        return
    other = (
        FinderNet(meta.network)
        if meta.kind == "finder"
        else build_pose_model(meta.network.pose_config(meta.input_wh)["model"])
    )
    load_weights(init, other)
    module.net.backbone.load_state_dict(other.backbone.state_dict())


def measure_pose(
    student: PoseStudent, samples: PoseSamples, angles: Sequence[int] = range(0, 360, 30)
) -> dict[str, float]:
    """Return how near a student comes to its teachers: OKS upright, and the mean over angles.

    OKS is over the keypoints that the teachers see, in boxes around the turned people.
    """
    width, height = student.config.input_wh
    figures = []
    for degrees in angles:
        values = []
        for start in range(0, len(samples), _VAL_BATCH):
            inds = torch.arange(start, min(start + _VAL_BATCH, len(samples)))
            pictures, keypoints, peaks, weights = samples.batch(
                inds, (width, height), student.config.pose, torch.Generator(), float(degrees)
            )
            with torch.inference_mode():
                heatmaps = student.heatmaps(pictures).numpy()
            decoded = [student.net.head.decoder.decode(heatmap)[0][0] for heatmap in heatmaps]
            truth = keypoints.numpy()
            seen = ((peaks > 0.25) & (weights > 0)).numpy()
            low = np.where(seen[..., None], truth, 1e6).min(axis=1)
            high = np.where(seen[..., None], truth, -1e6).max(axis=1)
            # COCO's area is that of the outline: about half of the box.
            areas = 0.53 * np.maximum(high - low, 8.0).prod(axis=1)
            squared = ((np.stack(decoded) - truth) ** 2).sum(axis=-1)
            likeness = keypoint_likeness(squared, areas)
            values.append((likeness * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))
        figures.append(float(np.concatenate(values).mean()))
    upright = figures[list(angles).index(0)]
    return {"oks_upright": round(upright, 4), "oks_all_angles": round(float(np.mean(figures)), 4)}


def measure_finder(
    student: FinderStudent, samples: FinderSamples, angles: Sequence[int] = range(0, 360, 30)
) -> dict[str, float]:
    """Return the share of the teachers' people found (IoU .5, score .3), upright and turned."""
    figures = []
    for degrees in angles:
        found = total = 0
        for start in range(0, len(samples), _VAL_BATCH):
            inds = torch.arange(start, min(start + _VAL_BATCH, len(samples)))
            pictures, people, _ = samples.batch(
                inds,
                student.config.input_wh[0],
                student.config.finder,
                torch.Generator(),
                float(degrees),
            )
            with torch.inference_mode():
                boxes, scores = find_peaks(*student.net(student.normalised(pictures)))
            for mine, sure, truth in zip(boxes.numpy(), scores.numpy(), people.numpy()):
                truth = truth[truth.any(axis=-1)]
                overlap = pairwise_iou(truth, mine[sure >= 0.3])
                found += int((overlap.max(axis=1, initial=0.0) >= 0.5).sum())
                total += len(truth)
        figures.append(found / max(total, 1))
    upright = figures[list(angles).index(0)]
    return {
        "recall_upright": round(upright, 4),
        "recall_all_angles": round(float(np.mean(figures)), 4),
    }
