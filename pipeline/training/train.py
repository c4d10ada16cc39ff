"""Pre-training and fine-tuning: a config and its data to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ... import SkelactError
from ...models.classifier import SkeletonClassifier
from ...pose_extract.common.files import atomic_write, discard_leftovers
from ..checkpoints.checkpoint import CheckpointMeta, load_classifier, load_mae, save_checkpoint
from ..checkpoints.gate import Gate
from ..checkpoints.networks import build_classifier, build_mae
from ..checkpoints.onnx_classifier import OnnxClassifier
from ..config import FinetuneConfig, PretrainConfig, build_config, check_seed, load_label_names
from ..data.annotations import (
    Annotation,
    AnnotationFile,
    annotation_path,
    check_disjoint,
    label_fraction,
    load_annotations,
)
from ..data.clip_store import ClipStore
from ..data.labels import check_labelled, match_labels
from ..evaluation.trained_on import training_record
from ..inference.classify import TestProtocol
from .gate import fit_gate
from .objectives import FinetuneModule, PretrainModule
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
    data = load_annotations(annotation_path(config.data.ann_file))
    store = _training_store(data, data.select(config.data.train_split), config)
    record = _data_record(config, data, store)
    torch.manual_seed(seed)
    mae = build_mae(config.preprocess, config.network, config.mask)
    module = PretrainModule(mae, config.mask, store, config.augment)
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
) -> Path:
    """Train the classifier; the weights of the last epoch are kept, none is picked by its figures.

    Args:
        config: What to do.
        work_dir: Gets the checkpoint ``classifier``, ``metrics.json``, resume states and logs.
        pretrained: A SkeletonMAE checkpoint; None starts from random weights.
        seed: Seed of weights, order and augmentation.
        device: "auto", "cpu", "cuda" or "cuda:N".
        resume: Go on from the last state in ``work_dir`` if there is one.
        quiet: Log warnings alone.
        half: Keep the weights in half precision.

    Returns:
        The checkpoint's JSON.

    Raises:
        SkelactError: if the config, the data, ``pretrained`` or the state to resume from cannot be
            used; what can be known before the first step is told before it.
    """
    check_seed(seed)
    work_dir = Path(work_dir)
    data = load_annotations(annotation_path(config.data.ann_file))
    names, train_clips, val_clips = _labelled_clips(config, data)
    train_clips = label_fraction(train_clips, config.data.label_fraction, seed)
    store = _training_store(data, train_clips, config)
    record = _data_record(config, data, store)
    unknown = _unknown_store(config)
    torch.manual_seed(seed)
    classifier = build_classifier(config.preprocess, config.network, config.classifier, len(names))
    origin: dict[str, Any] | None = None
    if pretrained is not None:
        mae, pretrain_meta = load_mae(Path(pretrained))
        classifier.load_pretrained(mae)
        origin = pretrain_meta.data | {"seed": pretrain_meta.seed, "mask": pretrain_meta.head}
    module = _finetune_module(config, classifier, store, val_clips)
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
    gate = _gate(config, best, unknown, seed) if is_main_process() else None
    meta = CheckpointMeta(
        kind="classifier",
        preprocess=config.preprocess,
        model=config.model,
        encoder=dataclasses.asdict(config.network),
        head=dataclasses.asdict(config.classifier),
        label_names=names,
        config=dataclasses.asdict(config),
        data=record | {"pretrained_on": origin},
        seed=seed,
        figures={k: v for k, v in measured.items() if k != "confusion_matrix"},
        gate=gate,
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
    names, train_clips, val_clips = _labelled_clips(config, data)
    train_clips = label_fraction(train_clips, config.data.label_fraction, meta.seed)
    expected = meta.label_names, meta.data.get("num_clips")
    if (names, len(train_clips)) != expected:
        raise SkelactError(
            f"{data.path}: expected the {expected[1]} clips of {len(expected[0])} classes that the "
            f"checkpoint was trained on, got {len(train_clips)} of {len(names)}"
        )
    store = _training_store(data, train_clips, config)
    classifier.novelty = None  # of a gate that is replaced
    module = _finetune_module(config, classifier, store, val_clips)
    gate = _gate(config, module, _unknown_store(config), meta.seed)
    meta = dataclasses.replace(meta, gate=gate, config=dataclasses.asdict(config))
    return _save_once(Path(work_dir) / "classifier", classifier, meta, half)


def _unknown_store(config: FinetuneConfig) -> ClipStore | None:
    """Return the clips of other actions; read before a long run, so that a fault is told early."""
    if not config.data.unknown_file:
        return None
    data = load_annotations(annotation_path(config.data.unknown_file))
    store = ClipStore(list(data.annotations.values()), config.preprocess)
    if store.num_empty == len(store):
        raise SkelactError(f"{data.path}: none of its {len(store)} clips has a joint to learn from")
    return store


def _gate(
    config: FinetuneConfig, module: FinetuneModule, unknown: ClipStore | None, seed: int
) -> Gate | None:
    if unknown is None:
        return fit_gate(module, seed)
    return fit_gate(module, seed, _finetune_module(config, module.classifier, unknown, ()))


def _finetune_module(
    config: FinetuneConfig,
    classifier: SkeletonClassifier,
    store: ClipStore,
    val_clips: Sequence[Annotation],
) -> FinetuneModule:
    return FinetuneModule(
        classifier,
        store,
        config.augment,
        ClipStore(val_clips, config.preprocess) if val_clips else None,
        config.optim.label_smoothing,
        TestProtocol(config.runtime.num_test_clips, config.runtime.flip_test),
    )


def _labelled_clips(
    config: FinetuneConfig, data: AnnotationFile
) -> tuple[tuple[str, ...], list[Annotation], list[Annotation]]:
    """Return the class names, and the clips to learn from and to measure on with their indices."""
    train = data.select(config.data.train_split)
    val = data.select(config.data.val_split) if config.data.val_split else []
    check_disjoint(data.path, (config.data.train_split, train), (config.data.val_split, val))
    check_labelled(data.path, [*train, *val])
    names = _label_names(config, data, [*train, *val])
    if config.data.labels and data.label_names:
        clips, _ = match_labels(
            data,
            [*train, *val],
            names,
            whose=f"the list data.labels={config.data.labels}",
            advice="leave data.labels empty to take the names of the file",
        )
        train, val = clips[: len(train)], clips[len(train) :]
    _check_labels([*train, *val], len(names), data.path)
    return names, train, val


def _label_names(
    config: FinetuneConfig, data: AnnotationFile, clips: Sequence[Annotation]
) -> tuple[str, ...]:
    count = config.data.num_classes
    names = load_label_names(config.data.labels) if config.data.labels else data.label_names
    if not names:
        return tuple(str(i) for i in range(count or 1 + max(clip.label for clip in clips)))
    if count not in (0, len(names)):
        raise SkelactError(f"data.num_classes: there are {len(names)} class names, got {count}")
    return tuple(names)


def _check_labels(clips: Sequence[Annotation], num_classes: int, path: Path) -> None:
    for clip in clips:
        if not 0 <= clip.label < num_classes:
            raise SkelactError(
                f"{path}: {clip.frame_dir}: expected a label from 0 to {num_classes - 1}, "
                f"got {clip.label}"
            )


def _training_store(
    data: AnnotationFile, clips: Sequence[Annotation], config: PretrainConfig | FinetuneConfig
) -> ClipStore:
    """Return the clips to learn from; a set without a single joint is an error, not a training."""
    store = ClipStore(clips, config.preprocess)
    if store.num_empty == len(store):
        raise SkelactError(
            f"{data.path}: none of the {len(store)} clips of split {config.data.train_split!r} has "
            "a joint to learn from: all keypoints are nan or zero, or their scores are at or below "
            f"preprocess.score_thr={config.preprocess.score_thr}"
        )
    return store


def _data_record(
    config: PretrainConfig | FinetuneConfig, data: AnnotationFile, store: ClipStore
) -> dict[str, Any]:
    """Return what the checkpoint says of its data; made before a long run, as the file is read."""
    return {
        "dataset": config.data.dataset,
        **training_record(data, config.data.train_split),
        "num_clips": len(store),
        # What a long video is cut into when its action is predicted, and what is not long.
        "median_frames": store.median_frames,
        "max_frames": store.max_frames,
        "fps": config.data.fps,
    }


def _save_once(path: Path, module: nn.Module, meta: CheckpointMeta, half: bool = False) -> Path:
    """Save by the first process alone; the others wait until the pair is there."""
    if is_main_process():
        written = (f"{path.name}.json", f"{path.name}.safetensors", "metrics.json")
        discard_leftovers(*(path.with_name(name) for name in written))
        save_checkpoint(path, module, meta, half=half)
    barrier()
    return path.with_name(f"{path.name}.json")
