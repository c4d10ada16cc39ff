"""``skelact distill train``: from labelled frames to an exported detector."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ... import SkelactError
from ...pose_extract.nets.shapes import RTMDetShape
from ...pose_extract.weights.bundle import (
    BundleMeta,
    load_bundle_weights,
    read_bundle,
    save_bundle,
)
from ..training.processes import is_main_process
from ..training.runner import train_module
from .calibrate import calibrate_scores
from .detector_samples import DetectorSamples
from .labelled_frames import LabelledFrames, read_teachers
from .measure import measure_detector
from .modules import DetectorDistillation, DistillConfig

_VAL_SHARE = 20  # one source in so many is held out


def split_sources(names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return rows to learn from and rows to measure on; all frames of a source go together.

    A source is a video, or all images whose names differ by what follows the last underscore.
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
    labels: str | Path,
    work_dir: str | Path,
    *,
    init: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a detector and export it; the moving average of its weights is kept.

    Args:
        config: What to do.
        labels: Folder of labelled frames.
        work_dir: Gets the bundle ``detector``, the resume state and logs.
        init: An exported detector of the same shape to start from; None starts from random weights.
        seed: Seed of weights, order and samples.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.

    Returns:
        Path of the JSON.
    """
    labels, work_dir = Path(labels), Path(work_dir)
    init = Path(init) if init else None
    if config.norm_epochs == 0 and init is None:
        raise SkelactError(
            "norm_epochs=0: there are no statistics to keep yet; name a bundle with --init, or set"
            " norm_epochs=1"
        )
    labelled = LabelledFrames.load(labels)
    train_rows, val_rows = split_sources(labelled.names.tolist())
    if not train_rows:
        raise SkelactError(f"{labels}: nothing to learn from")
    torch.manual_seed(seed)
    samples = DetectorSamples(labelled, train_rows, config.stored_side or config.input_wh[0])
    module = DetectorDistillation(samples, config)
    if init is not None:
        _start_from(module, init)
    start_weights = copy.deepcopy(module.net.state_dict()) if config.ensemble_weight else {}
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
    if not is_main_process():
        # The first of several processes writes for all.
        return work_dir / "detector.json"
    _mix_weights(module.net, start_weights, config.ensemble_weight)
    data: dict[str, Any] = {
        "frames": len(labelled),
        "people": len(labelled.person_frames),
        "learned_from": len(train_rows),
        "teachers": read_teachers(labels),
        "started_from": _identity(init) if init else None,
        "follows": module.teacher.identity(),
    }
    if config.blockwise_epochs < config.optim.epochs:
        teacher = module.teacher.as_detector()
        shift = calibrate_scores(module.net, teacher, samples, config.input_wh[0])
        data["score_shift"] = round(shift, 4)
    figures: dict[str, float] = {}
    if val_rows:
        held_out = DetectorSamples(labelled, val_rows, config.input_wh[0])
        figures = measure_detector(module.net, held_out, config.input_wh)
    meta = BundleMeta(
        kind="detector",
        input_wh=config.input_wh,
        network=RTMDetShape(),
        config=json.loads(json.dumps(dataclasses.asdict(config))),
        data=data,
        seed=seed,
        figures=figures,
    )
    return save_bundle(work_dir / "detector", module.net, meta)


def _mix_weights(net: nn.Module, start_weights: dict[str, Tensor], share: float) -> None:
    """Move a network's weights in place by a share of the way to those that it started from."""
    weights = net.state_dict()
    for name, start in start_weights.items():
        if start.is_floating_point():
            weights[name].lerp_(start, share)


def _identity(bundle: Path) -> dict[str, str]:
    return {"name": bundle.stem, "sha256": read_bundle(bundle).weights_sha256}


def _start_from(module: DetectorDistillation, init: Path) -> None:
    """Load the weights of an exported detector of the same shape; norm_epochs=0 folds them."""
    meta = read_bundle(init, "detector")
    if meta.network != RTMDetShape():
        raise SkelactError(f"{init}: expected {RTMDetShape()}, got {meta.network}")
    load_bundle_weights(init, module.net)
    if module.config.norm_epochs == 0:
        fold_batch_norm(module.net)


def fold_batch_norm(net: nn.Module) -> None:
    """Fold the statistics of batch normalisation into the kernels before it.

    In inference the network computes what it did before. A channel that hardly varies is no longer
    multiplied after its kernel, so a step of the kernel changes the output as much as the numbers.
    Convolutions that are followed by normalisation have no bias of their own.
    """
    conv: nn.Module | None = None
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
            _move_statistics(conv, module)
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            conv = module


@torch.no_grad()
def _move_statistics(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    weight, shift = fuse_conv_bn_weights(conv.weight, None, mean, variance, norm.eps, None, None)
    conv.weight.copy_(weight)
    norm.bias.add_(norm.weight * shift)
    mean.zero_()
    variance.fill_(1 - norm.eps)
