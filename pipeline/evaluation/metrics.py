"""Accuracy figures from scores and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
            of FineGym (Shao et al., CVPR 2020). PYSKL's function counts a class that is predicted
            and does not occur as 0; where all occur, as in Gym99's val split, the two are one.
        confusion_matrix: Clips by true class (row) and predicted class (column).
        notes: What a reader of the figures has to know, in sentences: clips that the classifier was
            trained on, names of classes that could not be compared.
    """

    num_clips: int
    top1: float
    top5: float
    mean_class_accuracy: float
    confusion_matrix: list[list[int]]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the figures as values that JSON can hold; ``notes`` is there if there are any."""
        values = asdict(self)
        notes = list(values.pop("notes"))
        return values | ({"notes": notes} if notes else {})


def measure(
    scores: np.ndarray, labels: np.ndarray, names: Sequence[str] | None = None
) -> Evaluation:
    """Compute the accuracy of scores.

    Args:
        scores: (N, num_classes) float, a higher score is a more likely class; of equal scores the
            lower class comes first.
        labels: (N,) int, class indices.
        names: Names of the clips, for messages; None numbers them.

    Raises:
        SkelactError: if there is no clip, a label outside 0 to num_classes - 1, or a score that is
            not finite, which would be counted as the first class.
    """
    num_classes = scores.shape[1]
    if len(labels) == 0:
        raise SkelactError("nothing to measure: expected labelled clips, got none")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise SkelactError(
            f"labels: expected 0 to {num_classes - 1}, the classes of this classifier, got "
            f"{labels.min()} to {labels.max()}; was it trained on another data set?"
        )
    check_finite(scores, names, "scores of the classifier")
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


def check_finite(values: np.ndarray, names: Sequence[str] | None, what: str) -> None:
    """Check that all values of all clips are finite.

    Args:
        values: (N, ...) float, one row per clip.
        names: Names of the clips; None numbers them from 0.
        what: What the values are, for the message.

    Raises:
        SkelactError: naming the number of clips whose values are not, and one of them.
    """
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if len(bad):
        first = names[bad[0]] if names is not None else f"clip {bad[0]}"
        raise SkelactError(
            f"{what}: expected finite numbers, got nan or inf for {len(bad)} of {len(values)} "
            f"clips, such as {first}; is the checkpoint damaged, or its training diverged?"
        )
