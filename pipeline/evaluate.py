"""How well a classifier does on labelled skeletons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import SkelactError
from .annotations import Annotation, load_annotations
from .checkpoint import CheckpointMeta, load_classifier

if TYPE_CHECKING:
    import torch

    from .dataset import ClipStore

    # Normalised clips (N, M, T, V, C) to logits (N, num_classes).
    Model = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Evaluation:
    """Figures of a classifier on a set of clips.

    Attributes:
        num_clips: Clips measured.
        top1: Share of clips whose label scores highest, in per cent.
        top5: Share of clips whose label is among the five highest, in per cent.
        mean_class_accuracy: Mean over the classes that occur of their share of right answers, in
            per cent: FineGym's figure.
        confusion_matrix: Clips by true class (row) and predicted class (column).
    """

    num_clips: int
    top1: float
    top5: float
    mean_class_accuracy: float
    confusion_matrix: list[list[int]]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def measure(scores: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compute the figures.

    Args:
        scores: (N, num_classes), higher is likelier; ties go to the lower class.
        labels: (N,) int, class indices.

    Raises:
        SkelactError: if there is no clip, or a label is none of the classes.
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


@dataclass(frozen=True)
class TestProtocol:
    """How a clip is looked at when it is classified.

    Attributes:
        num_clips: Test clips per video whose scores are averaged.
        flip: Average with the scores of the mirror picture.
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

    from .augment import mirrored

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
        protocol: How each clip is looked at; None for what the classifier was measured with.
    """
    import torch

    from .dataset import ClipStore

    protocol = protocol or TestProtocol.of(meta)
    store = ClipStore(annotations, meta.preprocess)
    scores = []
    with torch.inference_mode():
        for start in range(0, len(store), batch_size):
            inds = range(start, min(start + batch_size, len(store)))
            scores.append(predict_scores(model, store, inds, device, protocol).cpu())
    result: np.ndarray = torch.cat(scores).numpy()
    return result


def corrupt(
    clips: Sequence[Annotation], joint_noise: float, lost_frames: float, seed: int
) -> list[Annotation]:
    """Return clips with worse skeletons, to see how much a classifier bears.

    Args:
        clips: The clips.
        joint_noise: Standard deviation of noise on each joint and frame, as a share of the longer
            side of the box around all people of the clip.
        lost_frames: Share of frames without a skeleton, drawn at random.
        seed: Seed; a clip's draws do not depend on the others.

    Raises:
        SkelactError: for negative noise, or a share that is not from 0 to below 1.
    """
    if joint_noise < 0 or not 0 <= lost_frames < 1:
        raise SkelactError(
            "expected joint noise of 0 or more and a share of lost frames from 0 to below 1, got "
            f"{joint_noise} and {lost_frames}"
        )
    out = []
    for i, clip in enumerate(clips):
        rng = np.random.default_rng([seed, i])
        seen = np.asarray(clip.keypoint_scores > 0)
        lost = np.asarray(rng.random(clip.keypoints.shape[1]) < lost_frames)
        noise = rng.standard_normal(clip.keypoints.shape, dtype=np.float32)
        extent = np.ptp(clip.keypoints[seen], axis=0).max() if seen.any() else 0.0
        seen = seen & ~lost[None, :, None]
        noisy = clip.keypoints + np.float32(joint_noise * extent) * noise
        keypoints = np.where(seen[..., None], noisy, 0)
        scores = np.where(seen, clip.keypoint_scores, 0)
        out.append(replace(clip, keypoints=keypoints, keypoint_scores=scores))
    return out


def evaluate_checkpoint(
    checkpoint: Path | None,
    ann_file: Path,
    split: str,
    *,
    device: str = "auto",
    num_clips: int | None = None,
    joint_noise: float = 0.0,
    lost_frames: float = 0.0,
    seed: int = 0,
) -> Evaluation:
    """Measure a classifier on a split of an annotation file.

    Args:
        checkpoint: The classifier; None for the shipped one.
        ann_file: PYSKL annotation file.
        split: Split of it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_clips: Test clips per video; None takes what the classifier was measured with.
        joint_noise: See :func:`corrupt`.
        lost_frames: See :func:`corrupt`.
        seed: Seed of the noise and the losses.

    Raises:
        SkelactError: if the checkpoint, the file or the split cannot be used.
    """
    from ..pose_extract.device import choose_device

    model, meta = load_classifier(checkpoint)
    annotations = load_annotations(ann_file).select(split)
    annotations = corrupt(annotations, joint_noise, lost_frames, seed)
    chosen = choose_device(device)
    protocol = TestProtocol.of(meta, num_clips)
    scores = classify(model.to(chosen), meta, annotations, device=chosen, protocol=protocol)
    return measure(scores, np.array([annotation.label for annotation in annotations]))
