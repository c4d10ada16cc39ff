"""Build networks with random weights from the sections of a config."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ... import SkelactError
from ..config import (
    NETWORKS,
    ClassifierConfig,
    EncoderConfig,
    MaskConfig,
    NetworkConfig,
    StgcnConfig,
    TubeConfig,
)
from ..data.preprocess import PreprocessConfig

if TYPE_CHECKING:
    from ...models.classifier import SkeletonClassifier
    from ...models.skeleton_mae import SkeletonMAE
    from ...models.tube import TubeMAE


def build_mae(
    preprocess: PreprocessConfig, network: NetworkConfig, mask: MaskConfig
) -> SkeletonMAE | TubeMAE:
    """Build a masked autoencoder with random weights.

    Raises:
        SkelactError: if the network has no pre-training.
    """
    from ...models.skeleton_mae import SkeletonMAE
    from ...models.tube import TubeMAE

    layout, in_channels = preprocess.keypoint_layout, preprocess.in_channels
    shape = dataclasses.asdict(network)
    if isinstance(network, EncoderConfig):
        return SkeletonMAE(
            layout,
            in_channels=in_channels,
            decoder_depth=mask.decoder_depth,
            detach_target=mask.detach_target,
            remask=mask.remask,
            **shape,
        )
    if isinstance(network, TubeConfig):
        return TubeMAE(layout, in_channels=in_channels, **shape)
    name = next(name for name, kind in NETWORKS.items() if isinstance(network, kind))
    raise SkelactError(f"model {name!r} has no pre-training; expected model 'ssl' or 'tube'")


def build_classifier(
    preprocess: PreprocessConfig,
    network: NetworkConfig,
    classifier: ClassifierConfig,
    num_classes: int,
) -> SkeletonClassifier:
    """Build a classifier with random weights."""
    from ...models.protogcn import ProtoGCNClassifier
    from ...models.stgcn import STGCNClassifier
    from ...models.strl import SSLClassifier
    from ...models.tube import TubeClassifier

    layout = preprocess.keypoint_layout
    shape: dict[str, Any] = dataclasses.asdict(network) | {
        "in_channels": preprocess.in_channels,
        "num_person": preprocess.num_person,
        "clip_len": preprocess.clip_len,
    }
    if isinstance(network, EncoderConfig):
        head = dataclasses.asdict(classifier)
        del head["pooling"]  # of "tube" alone
        return SSLClassifier(layout, num_classes, **shape, **head)
    if isinstance(network, TubeConfig):
        head = {"dropout": classifier.dropout, "pooling": classifier.pooling}
        return TubeClassifier(layout, num_classes, **head, **shape)
    if isinstance(network, StgcnConfig):
        return STGCNClassifier(layout, num_classes, **shape)
    return ProtoGCNClassifier(layout, num_classes, **shape)
