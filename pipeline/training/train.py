"""Pre-training and fine-tuning: a config and its data to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import nn

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, discard_leftovers
from ..checkpoints.checkpoint import CheckpointMeta, load_classifier, save_checkpoint
from ..checkpoints.gate import Gate
from ..checkpoints.networks import build_mae
from ..checkpoints.onnx_classifier import OnnxClassifier
from ..config import FinetuneConfig, PretrainConfig, build_config, check_seed
from ..data.annotations import annotation_path, load_annotations
from ..data.clip_store import ClipStore
from .gate import fit_gate
from .log import LOG, console_log
from .objectives import FinetuneModule, PretrainModule
from .prepare import (
    finetune_module,
    labelled_clips,
    prepare_finetune,
    prepare_pretrain,
    training_clips,
    training_store,
    unknown_store,
)
from .processes import barrier, is_main_process
from .runner import train_module


def pretrain(
    config: PretrainConfig,
    work_dir: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Pre-train a masked autoencoder on the training split; labels are not used.

    Args:
        config: What to do.
        work_dir: Gets the checkpoint ``skeleton_mae``, resume states and logs.
        seed: Seed of weights, order, augmentation and masks.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.

    Returns:
        The checkpoint's JSON.

    Raises:
        SkelactError: if the config, the data or the state to resume from cannot be used.
    """
    check_seed(seed)
    work_dir = Path(work_dir)
    store, pairs, record = prepare_pretrain(config)
    torch.manual_seed(seed)
    mae = build_mae(config.preprocess, config.network, config.mask)
    module = PretrainModule(mae, config, store, pairs)
    best = train_module(
        module,
        config.optim,
        config.runtime,
        work_dir,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
    )
    meta = CheckpointMeta(
        kind="pretrain",
        preprocess=config.preprocess,
        model=config.model,
        encoder=dataclasses.asdict(config.network),
        head=dataclasses.asdict(config.mask),
        label_names=(),
        config=dataclasses.asdict(config),
        data=record,
        seed=seed,
        figures={},
    )
    return _save_once(work_dir / "skeleton_mae", best.mae, meta)


def finetune(
    config: FinetuneConfig,
    work_dir: str | Path,
    *,
    pretrained: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    half: bool = False,
    gate: bool = True,
) -> Path:
    """Train the classifier; the weights of the last epoch are kept.

    Only with ``optim.patience`` are those of the lowest loss on the val split kept, whose figures
    are then a little too good.

    Args:
        config: What to do.
        work_dir: Gets the checkpoint ``classifier``, ``metrics.json``, resume states and logs.
        pretrained: A SkeletonMAE checkpoint, or a classifier of any classes, whose head is left
            out; None starts from random weights.
        seed: Seed of weights, order and augmentation.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.
        half: Keep the weights in half precision.
        gate: Fit a gate at the end, without which the classifier never says "unknown".

    Returns:
        The checkpoint's JSON.

    Raises:
        SkelactError: if the config, the data, ``pretrained`` or the state to resume from cannot be
            used; what can be known before the first step is told before it.
    """
    check_seed(seed)
    work_dir = Path(work_dir)
    unknown = unknown_store(config)
    prepared = prepare_finetune(config, seed, pretrained)
    module = prepared.module
    with console_log(quiet):
        LOG.info("%s", prepared.said)
    best = train_module(
        module,
        config.optim,
        config.runtime,
        work_dir,
        seed=seed,
        device=device,
        resume=resume,
        quiet=quiet,
    )
    measured = best.figures() if is_main_process() else {}
    if best.best_epoch is not None:
        measured["best_epoch"] = best.best_epoch
    fitted = _gate(config, best, unknown, seed) if gate and is_main_process() else None
    meta = CheckpointMeta(
        kind="classifier",
        preprocess=config.preprocess,
        model=config.model,
        encoder=dataclasses.asdict(config.network),
        head=dataclasses.asdict(config.classifier),
        label_names=prepared.label_names,
        config=dataclasses.asdict(config),
        data=prepared.record,
        seed=seed,
        figures={k: v for k, v in measured.items() if k != "confusion_matrix"},
        gate=fitted,
    )
    if measured:
        with atomic_write(work_dir / "metrics.json") as temporary:
            temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return _save_once(work_dir / "classifier", best.classifier, meta, half)


def add_gate(
    checkpoint: str | Path | None,
    work_dir: str | Path,
    *,
    ann_file: str = "",
    unknown_file: str = "",
    half: bool = False,
) -> Path:
    """Give a classifier of an earlier version the gate that :func:`finetune` makes at its end.

    Args:
        checkpoint: The classifier, whose weights stay; None for the shipped one.
        work_dir: Gets the checkpoint ``classifier``.
        ann_file: The annotation file it was trained on; "" for the one that its config names.
        unknown_file: Annotation file of clips of other actions; "" for that of its config, if any.
        half: Keep the weights in half precision.

    Returns:
        The new checkpoint's JSON.

    Raises:
        SkelactError: if it is no classifier with its network, or its data are not there or others.
    """
    classifier, meta = load_classifier(checkpoint)
    if isinstance(classifier, OnnxClassifier):
        raise SkelactError(
            f"{checkpoint}: expected a checkpoint to fit a gate to, got an ONNX file"
        )
    config = build_config(FinetuneConfig, meta.config, "config of the checkpoint")
    if unknown_file:
        config = dataclasses.replace(
            config, data=dataclasses.replace(config.data, unknown_file=unknown_file)
        )
    data = load_annotations(annotation_path(ann_file or config.data.ann_file))
    names, train_clips, val_clips = labelled_clips(config, data)
    _, train_clips = training_clips(config, train_clips, meta.seed)
    expected = meta.label_names, meta.data.get("num_clips")
    if (names, len(train_clips)) != expected:
        raise SkelactError(
            f"{data.path}: expected the {expected[1]} clips of {len(expected[0])} classes that the "
            f"checkpoint was trained on, got {len(train_clips)} of {len(names)}"
        )
    store = training_store(data, train_clips, config)
    classifier.novelty = None  # of a gate that is replaced
    module = finetune_module(config, classifier, store, val_clips)
    gate = _gate(config, module, unknown_store(config), meta.seed)
    meta = dataclasses.replace(meta, gate=gate, config=dataclasses.asdict(config))
    return _save_once(Path(work_dir) / "classifier", classifier, meta, half)


def _gate(
    config: FinetuneConfig, module: FinetuneModule, unknown: ClipStore | None, seed: int
) -> Gate | None:
    if unknown is None:
        return fit_gate(module, seed)
    return fit_gate(module, seed, finetune_module(config, module.classifier, unknown, ()))


def _save_once(path: Path, module: nn.Module, meta: CheckpointMeta, half: bool = False) -> Path:
    """Save by the first process alone; the others wait until the pair is there."""
    if is_main_process():
        written = (f"{path.name}.json", f"{path.name}.safetensors", "metrics.json")
        discard_leftovers(*(path.with_name(name) for name in written))
        save_checkpoint(path, module, meta, half=half)
    barrier()
    return path.with_name(f"{path.name}.json")
