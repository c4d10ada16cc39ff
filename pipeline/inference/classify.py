"""Class probabilities of clips, and their novelty, under a test protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints.checkpoint import CheckpointMeta
from ..data.annotations import Annotation

__all__ = ["TestProtocol", "classify", "clip_views", "predict_scores", "score_clips"]

if TYPE_CHECKING:
    import torch

    from ...models.classifier import SkeletonClassifier
    from ..checkpoints.onnx_classifier import OnnxClassifier
    from ..data.clip_store import ClipStore

    ScoringModel = SkeletonClassifier | OnnxClassifier
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

    @property
    def num_views(self) -> int:
        """Views of each clip."""
        return self.num_clips * (2 if self.flip else 1)

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
    x = clip_views(store, inds, device, protocol)
    scores: torch.Tensor = model(x.flatten(0, 1)).float().softmax(dim=1)
    return scores.unflatten(0, x.shape[:2]).mean(dim=1)


def clip_views(
    store: ClipStore, inds: Sequence[int], device: torch.device, protocol: TestProtocol
) -> torch.Tensor:
    """Return the protocol's views of clips, (N, P, M, T, V, C)."""
    import torch

    from ..data.augment import mirrored

    x = store.test_batch(torch.as_tensor(inds), device, protocol.num_clips)
    if protocol.flip:
        x = torch.cat([x, mirrored(x, store.config.keypoint_layout)], dim=1)
    return x


def score_clips(
    model: ScoringModel,
    store: ClipStore,
    *,
    device: torch.device,
    protocol: TestProtocol,
    batch_size: int = 64,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return class probabilities and novelty of each clip, both averaged over its views.

    Args:
        model: Classifier on ``device``, in eval mode.
        store: The clips.
        device: Where to compute.
        protocol: Which views of each clip are averaged.
        batch_size: Views per batch, of one clip at least.
        on_progress: Told after each batch how many clips are done, and of how many.

    Returns:
        (N, num_classes) float32, and (N,) float32, None where the classifier does not measure it.
    """
    import torch

    scores, novelty = [], []
    step = max(1, batch_size // protocol.num_views)
    with torch.inference_mode():
        for start in range(0, len(store), step):
            inds = range(start, min(start + step, len(store)))
            x = clip_views(store, inds, device, protocol)
            logits, distance = model.with_novelty(x.flatten(0, 1))
            shape = x.shape[:2]
            scores.append(logits.float().softmax(dim=1).unflatten(0, shape).mean(dim=1).cpu())
            if distance is not None:
                novelty.append(distance.float().unflatten(0, shape).mean(dim=1).cpu())
            if on_progress is not None:
                on_progress(inds.stop, len(store))
    return torch.cat(scores).numpy(), torch.cat(novelty).numpy() if novelty else None


def classify(
    model: ScoringModel,
    meta: CheckpointMeta,
    annotations: Sequence[Annotation],
    *,
    device: torch.device,
    batch_size: int = 64,
    protocol: TestProtocol | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Return class probabilities of each clip, (N, num_classes) float32, not calibrated.

    Args:
        model: Classifier on ``device``, in eval mode.
        meta: Its checkpoint's JSON: gives the preprocessing.
        annotations: The clips.
        device: Where to compute.
        batch_size: Views per batch, of one clip at least.
        protocol: Which views of each clip are averaged; None for those that the classifier was
            measured with.
        on_progress: See :func:`score_clips`.
    """
    from ..data.clip_store import ClipStore

    store = ClipStore(annotations, meta.preprocess)
    chosen = protocol or TestProtocol.of(meta)
    return score_clips(
        model,
        store,
        device=device,
        protocol=chosen,
        batch_size=batch_size,
        on_progress=on_progress,
    )[0]
