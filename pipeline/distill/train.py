"""``skelact distill train``: from labelled frames to an exported bundle."""

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
from ...pose_extract.detect.torch_detector import detector_network
from ...pose_extract.nets.aligner_net import AlignerNet
from ...pose_extract.nets.lite_hrnet import LiteHRNet
from ...pose_extract.nets.mmpose_adapter import build_pose_model
from ...pose_extract.nets.shapes import SlimHRNet
from ...pose_extract.weights.bundle import (
    BundleKind,
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
from .measure import measure_aligner, measure_detector, measure_pose
from .modules import AlignerTraining, DetectorDistillation, DistillConfig, PoseDistillation
from .pose_samples import PoseSamples

_VAL_SHARE = 20  # one source in so many is held out


def _pose_samples(
    labelled: LabelledFrames, rows: Sequence[int], input_wh: tuple[int, int], side: int | None
) -> PoseSamples:
    # The square around a person reaches half as far again as the crop.
    return PoseSamples(labelled, rows, stored_side=side or round(1.5 * max(input_wh)))


def _detector_samples(
    labelled: LabelledFrames, rows: Sequence[int], input_wh: tuple[int, int], side: int | None
) -> DetectorSamples:
    return DetectorSamples(labelled, rows, side or input_wh[0])


# Of each kind: what is trained, what it learns from, and how it is measured.
_KINDS: dict[BundleKind, tuple[Any, Any, Any]] = {
    "pose": (PoseDistillation, _pose_samples, measure_pose),
    "detector": (DetectorDistillation, _detector_samples, measure_detector),
    "aligner": (AlignerTraining, _pose_samples, measure_aligner),
}


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


def split_labels(labelled: LabelledFrames, kind: BundleKind) -> tuple[list[int], list[int]]:
    """Return :func:`split_sources` of frames for a detector, of people for the others."""
    names = labelled.names if kind == "detector" else labelled.names[labelled.person_frames]
    return split_sources([str(name) for name in names])


def measure_held_out(
    net: Any,
    kind: BundleKind,
    input_wh: tuple[int, int],
    labelled: LabelledFrames,
    rows: Sequence[int],
) -> dict[str, float]:
    """Return how near a network comes to the labels of some frames or people.

    Args:
        net: As ``build_network`` gives it, or a teacher's.
        kind: Its kind.
        input_wh: Width and height of its input.
        labelled: Frames and people.
        rows: Which; see :func:`split_labels`.
    """
    _, samples_of, measure = _KINDS[kind]
    return dict(measure(net, samples_of(labelled, rows, input_wh, None), input_wh)) if rows else {}


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
    """Train a network and export it; the moving average of its weights is kept.

    Args:
        config: What to do.
        labels: Folder of labelled frames.
        work_dir: Gets the bundle, named as its kind, the resume state and logs.
        init: An exported bundle of the same kind and shape to start from; None starts from random
            weights.
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
    train_rows, val_rows = split_labels(labelled, config.kind)
    if not train_rows:
        raise SkelactError(f"{labels}: nothing to learn from")
    torch.manual_seed(seed)
    training, samples_of, _ = _KINDS[config.kind]
    samples = samples_of(labelled, train_rows, config.input_wh, config.stored_side)
    module = training(samples, config)
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
        return work_dir / f"{config.kind}.json"
    _mix_weights(module.net, start_weights, config.ensemble_weight)
    data = {
        "frames": len(labelled),
        "people": len(labelled.person_frames),
        "learned_from": len(train_rows),
        "teachers": read_teachers(labels),
        "started_from": _identity(init) if init else None,
        **({"follows": module.teacher.identity()} if config.teacher else {}),
    }
    if config.kind == "detector" and config.blockwise_epochs < config.optim.epochs:
        teacher = module.teacher.as_detector()
        shift = calibrate_scores(module.net, teacher, samples, config.input_wh[0])
        data["score_shift"] = round(shift, 4)
    meta = BundleMeta(
        kind=config.kind,
        input_wh=config.input_wh,
        network=config.shape,
        config=json.loads(json.dumps(dataclasses.asdict(config))),
        data=data,
        seed=seed,
        figures=measure_held_out(module.net, config.kind, config.input_wh, labelled, val_rows),
    )
    return save_bundle(work_dir / config.kind, module.net, meta)


def _mix_weights(net: nn.Module, start_weights: dict[str, Tensor], share: float) -> None:
    """Move a network's weights in place by a share of the way to those that it started from."""
    weights = net.state_dict()
    for name, start in start_weights.items():
        if start.is_floating_point():
            weights[name].lerp_(start, share)


def _identity(bundle: Path) -> dict[str, str]:
    return {"name": bundle.stem, "sha256": read_bundle(bundle).weights_sha256}


def _start_from(module: Any, init: Path) -> None:
    """Load the weights of a bundle of the same kind and shape; norm_epochs=0 folds them."""
    meta = read_bundle(init, module.config.kind)
    if meta.network != module.config.shape:
        raise SkelactError(f"{init}: expected {module.config.shape}, got {meta.network}")
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


def build_network(meta: BundleMeta) -> Any:
    """Return the network of an exported bundle, with any weights."""
    if meta.kind == "detector":
        return detector_network(meta)
    if meta.kind == "aligner":
        return AlignerNet(meta.shape(SlimHRNet), meta.input_wh[0])
    shape = meta.shape(LiteHRNet)
    return build_pose_model(shape.pose_config(meta.input_wh)["model"])
