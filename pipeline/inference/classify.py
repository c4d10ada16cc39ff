"""Class probabilities of clips under a test protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints.checkpoint import CheckpointMeta
from ..data.annotations import Annotation

__all__ = ["TestProtocol", "classify", "predict_scores"]

if TYPE_CHECKING:
    import torch

    from ..data.clip_store import ClipStore

    # Normalised clips (N, M, T, V, C) to logits (N, num_classes).
    Model = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TestProtocol:
    """Which views of a clip are classified.

    Attributes:
        num_clips: Test clips per video whose scores are averaged.
        flip: Average with the scores of the mirror image.
    """

    num_clips: int = 1
    flip: bool = False

    @classmethod
    def of(cls, meta: CheckpointMeta, num_clips: int | None = None) -> TestProtocol:
        """Return what a classifier was measured with; ``num_clips`` wins if it is given."""
        runtime = meta.config.get("runtime", {})
        chosen = runtime.get("num_test_clips", 1) if num_clips is None else num_clips
        return cls(int(chosen), bool(runtime.get("flip_test", False)))


def predict_scores(
    model: Model,
    store: ClipStore,
    inds: Sequence[int],
    device: torch.device,
    protocol: TestProtocol,
) -> torch.Tensor:
    """Return class probabilities (N, num_classes), averaged over the protocol's views."""
    import torch

    from ..data.augment import mirrored

    x = store.test_batch(torch.as_tensor(inds), device, protocol.num_clips)
    if protocol.flip:
        layout = store.config.keypoint_layout
        x = torch.cat([x, mirrored(x, layout)], dim=1)
    scores: torch.Tensor = model(x.flatten(0, 1)).float().softmax(dim=1)
    return scores.unflatten(0, x.shape[:2]).mean(dim=1)


def classify(
    model: Model,
    meta: CheckpointMeta,
    annotations: Sequence[Annotation],
    *,
    device: torch.device,
    batch_size: int = 64,
    protocol: TestProtocol | None = None,
) -> np.ndarray:
    """Return class probabilities of each clip, (N, num_classes) float32.

    Args:
        model: Classifier on ``device``, in eval mode.
        meta: Its checkpoint's JSON: gives the preprocessing.
        annotations: The clips.
        device: Where to compute.
        batch_size: Clips per batch.
        protocol: Which views of each clip are averaged; None for those that the classifier was
            measured with.
    """
    import torch

    from ..data.clip_store import ClipStore

    protocol = protocol or TestProtocol.of(meta)
    store = ClipStore(annotations, meta.preprocess)
    scores = []
    with torch.inference_mode():
        for start in range(0, len(store), batch_size):
            inds = range(start, min(start + batch_size, len(store)))
            scores.append(predict_scores(model, store, inds, device, protocol).cpu())
    result: np.ndarray = torch.cat(scores).numpy()
    return result
