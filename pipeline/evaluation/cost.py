"""What a classifier costs: parameters, and multiply-adds per clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..checkpoints.networks import build_classifier
from ..config import FinetuneConfig


@dataclass(frozen=True)
class Cost:
    """Size and work of a classifier.

    Attributes:
        parameters: Number of weights.
        gflops: Billions of multiply-adds for one clip, as the field counts its GFLOPs (products of
            matrices and convolutions).
    """

    parameters: int
    gflops: float


def measure_cost(config: FinetuneConfig, num_classes: int, num_person: int = 2) -> Cost:
    """Build a classifier and count.

    Args:
        config: Which; the clip has its number of frames.
        num_classes: Number of classes.
        num_person: People in the clip.
    """
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
