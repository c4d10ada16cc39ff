"""Cost of a classifier: parameters, and multiply-adds per clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from ... import SkelactError
from ..checkpoints.networks import build_classifier
from ..config import FinetuneConfig


@dataclass(frozen=True)
class Cost:
    """Cost of a classifier.

    Attributes:
        parameters: Number of parameters.
        gflops: Billions of multiply-adds of matrix products and convolutions for one clip: what
            papers of skeleton-based action recognition call GFLOPs.
    """

    parameters: int
    gflops: float


def measure_cost(config: FinetuneConfig, num_classes: int, num_person: int = 2) -> Cost:
    """Build a classifier with random weights and count.

    Args:
        config: The classifier, and the number of frames of a clip.
        num_classes: Number of classes.
        num_person: Number of people in the clip.

    Raises:
        SkelactError: if there are no classes, or no people.
    """
    if num_classes < 1:
        raise SkelactError(f"num_classes: expected at least 1, got {num_classes}")
    preprocess = replace(config.preprocess, num_person=num_person)
    model = build_classifier(preprocess, config.network, config.classifier, num_classes).eval()
    clip = torch.randn(1, *preprocess.tensor_shape)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(clip)
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        gflops=counter.get_total_flops() / 2e9,
    )
