"""Accuracy figures from scores and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import SkelactError

if TYPE_CHECKING:
    import torch

    # Normalised clips (N, M, T, V, C) to logits (N, num_classes).
    Model = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of a classifier on a set of clips.

    Attributes:
        num_clips: Number of clips.
        top1: Share of clips whose label has the highest score, in per cent.
        top5: Share of clips whose label is among the five highest scores, in per cent.
        mean_class_accuracy: Mean of the recalls of the classes that occur, in per cent: the figure
            of FineGym (Shao et al., CVPR 2020).
        confusion_matrix: Clips by true class (row) and predicted class (column).
    """

    num_clips: int
    top1: float
    top5: float
    mean_class_accuracy: float
    confusion_matrix: list[list[int]]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as values that JSON can hold."""
        return asdict(self)


def measure(scores: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compute the accuracy of scores.

    Args:
        scores: (N, num_classes) float, a higher score is a more likely class; of equal scores the
            lower class comes first.
        labels: (N,) int, class indices.

    Raises:
        SkelactError: if there is no clip, or a label outside 0 to num_classes - 1.
    """
    num_classes = scores.shape[1]
    if len(labels) == 0:
        raise SkelactError("nothing to measure: expected labelled clips, got none")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise SkelactError(
            f"labels: expected 0 to {num_classes - 1}, the classes of this classifier, got "
            f"{labels.min()} to {labels.max()}; was it trained on another data set?"
        )
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = order == labels[:, None]
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, order[:, 0]), 1)
    totals = confusion.sum(axis=1)
    recalls = np.diag(confusion)[totals > 0] / totals[totals > 0]
    return Evaluation(
        num_clips=len(labels),
        top1=100 * float(hits[:, 0].mean()),
        top5=100 * float(hits[:, :5].any(axis=1).mean()),
        mean_class_accuracy=100 * float(recalls.mean()),
        confusion_matrix=confusion.tolist(),
    )
