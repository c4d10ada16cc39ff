"""What a training begins with: its clips and their labels, its network, and a record of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ... import SkelactError
from ...models.classifier import SkeletonClassifier
from ...pose_extract.common.files import sha256_of
from ..checkpoints.checkpoint import load_start
from ..checkpoints.networks import build_classifier
from ..config import FinetuneConfig, PretrainConfig, load_label_names
from ..data.annotations import (
    Annotation,
    AnnotationFile,
    annotation_path,
    check_disjoint,
    expanded_path,
    label_fraction,
    load_annotations,
)
from ..data.clip_store import ClipStore
from ..data.labels import check_labelled, match_labels
from ..data.pairs import ClipPairs
from ..evaluation.trained_on import training_record
from ..inference.classify import TestProtocol
from .head_start import fit_head
from .objectives import FinetuneModule
from .simulated import PairStore
from .spread import spread_to


@dataclass(frozen=True)
class Prepared:
    """A fine-tuning before its first step.

    Attributes:
        module: The classifier, with its clips.
        label_names: Class names in order.
        record: What the checkpoint says of the data.
        said: A sentence on how many labels are used.
    """

    module: FinetuneModule
    label_names: tuple[str, ...]
    record: dict[str, Any]
    said: str


def prepare_pretrain(
    config: PretrainConfig,
) -> tuple[ClipStore, PairStore | None, dict[str, Any]]:
    """Return the clips of a pre-training, the simulated ones, and what its checkpoint says of them.

    Raises:
        SkelactError: if the data cannot be used.
    """
    pairs, pairs_file = None, expanded_path(config.simulated.file)
    if config.simulated.file:
        pairs = PairStore(ClipPairs.load(pairs_file), config.preprocess)
    data = load_annotations(annotation_path(config.data.ann_file))
    clips = data.select(config.data.train_split)
    more = {}
    for text in config.more_files:
        name, _, split = text.partition("#")
        other = load_annotations(annotation_path(name, "--set more_files"))
        clips += other.select(split) if split else other.annotations.values()
        more[other.path.name + text[len(name) :]] = sha256_of(other.path)
    store = training_store(data, clips, config)
    record = data_record(config, data, store)
    if more:
        record["more_files"] = more
    if pairs is not None:
        record["simulated_sha256"] = sha256_of(pairs_file)
    return store, pairs, record


def prepare_finetune(
    config: FinetuneConfig, seed: int, pretrained: str | Path | None = None
) -> Prepared:
    """Read the clips of a fine-tuning and build its classifier.

    Args:
        config: What to do.
        seed: Seed of the random weights, and of the labels that are used if ``data.label_draw`` is
            None.
        pretrained: A checkpoint of pre-training, or a classifier of any classes, whose head is left
            out; None starts from random weights.

    Raises:
        SkelactError: if the config, the data or ``pretrained`` cannot be used.
    """
    data = load_annotations(annotation_path(config.data.ann_file))
    names, all_clips, val_clips = labelled_clips(config, data)
    drawn, clips = training_clips(config, all_clips, seed)
    store = training_store(data, clips, config)
    record = data_record(config, data, store) | {
        "of_clips": len(all_clips),
        "labelled_clips": len(drawn),
        "label_draw": seed if config.data.label_draw is None else config.data.label_draw,
    }
    torch.manual_seed(seed)
    classifier = build_classifier(config.preprocess, config.network, config.classifier, len(names))
    origin: dict[str, Any] | None = None
    if pretrained is not None:
        start, meta = load_start(Path(pretrained))
        if isinstance(start, SkeletonClassifier):
            classifier.load_body(start)
            origin = meta.data | {"seed": meta.seed, "kind": meta.kind}
        else:
            classifier.load_pretrained(start)
            origin = meta.data | {"seed": meta.seed, "mask": meta.head}
    said = f"learns from the labels of {len(drawn)} of {len(all_clips)} clips"
    if len(drawn) < len(all_clips):
        said += f" ({len(drawn) / len(all_clips):.1%}, draw {record['label_draw']})"
    if len(drawn) < len(clips):
        said += f", which spread to {len(clips) - len(drawn)} others"
    module = finetune_module(config, classifier, store, val_clips)
    if config.optim.head_start == "probe":
        fit_head(module, seed)
    return Prepared(module, names, record | {"pretrained_on": origin}, said)


def training_clips(
    config: FinetuneConfig, clips: list[Annotation], seed: int
) -> tuple[list[Annotation], list[Annotation]]:
    """Return the training clips whose labels are used, and all that are learned from.

    They are the same unless labels spread, as ``data.spread_from`` says.

    Raises:
        SkelactError: if ``data.spread_from`` cannot be used.
    """
    draw = config.data.label_draw
    drawn = label_fraction(clips, config.data.label_fraction, seed if draw is None else draw)
    if not config.data.spread_from or len(drawn) == len(clips):
        return drawn, drawn
    spread = spread_to(clips, drawn, config.data.spread_from, config.data.spread_share)
    return drawn, spread


def unknown_store(config: FinetuneConfig) -> ClipStore | None:
    """Return the clips of other actions; read before a long run, so that a fault is told early."""
    if not config.data.unknown_file:
        return None
    data = load_annotations(annotation_path(config.data.unknown_file))
    store = ClipStore(list(data.annotations.values()), config.preprocess)
    if store.num_empty == len(store):
        raise SkelactError(f"{data.path}: none of its {len(store)} clips has a joint to learn from")
    return store


def finetune_module(
    config: FinetuneConfig,
    classifier: SkeletonClassifier,
    store: ClipStore,
    val_clips: Sequence[Annotation],
) -> FinetuneModule:
    """Return what a step of fine-tuning runs; no ``val_clips`` measures nothing."""
    return FinetuneModule(
        classifier,
        store,
        config.augment,
        ClipStore(val_clips, config.preprocess) if val_clips else None,
        config.optim.label_smoothing,
        TestProtocol(config.runtime.num_test_clips, config.runtime.flip_test),
    )


def labelled_clips(
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


def training_store(
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


def data_record(
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
