"""Quality of features without fine-tuning: linear probe and nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ... import SkelactError
from ...models.skeleton_mae import SkeletonMAE
from ...models.tube import TubeMAE
from ...pose_extract.common.device import choose_device
from ..checkpoints.checkpoint import CheckpointMeta, load_classifier, load_mae, load_meta
from ..checkpoints.onnx_classifier import OnnxClassifier
from ..config import check_seed
from ..data.annotations import (
    Annotation,
    AnnotationFile,
    check_disjoint,
    label_fraction,
    load_annotations,
)
from ..data.clip_store import ClipStore
from ..data.labels import LabelMap, check_labelled, match_labels, read_label_map
from .metrics import check_finite
from .trained_on import training_note

_BATCH = 64


@dataclass(frozen=True)
class ProbeResult:
    """Top-1 accuracy on the val split, in per cent.

    Attributes:
        linear: Of a linear classifier on the features.
        knn: Of the label of the nearest training clip by cosine similarity (1-NN).
        num_train: Number of labelled training clips.
        num_val: Number of clips of the val split.
        notes: What a reader of the figures has to know, in sentences; see :class:`Evaluation`.
    """

    linear: float
    knn: float
    num_train: int
    num_val: int
    notes: tuple[str, ...] = ()


def probe(
    checkpoint: str | Path,
    ann_file: str | Path,
    train_split: str,
    val_split: str,
    *,
    label_map: LabelMap | str | Path | None = None,
    share: float = 1.0,
    seed: int = 0,
    device: str = "auto",
) -> ProbeResult:
    """Measure the features of a pre-trained or fine-tuned network, whose weights are frozen.

    The linear classifier is fitted on the file's own labels, so that features of one data set can
    be measured on another. Where all classes are the checkpoint's by name, they take its numbers;
    otherwise a sentence in ``notes`` says so.

    Args:
        checkpoint: A pre-training or classifier checkpoint.
        ann_file: PYSKL annotation file.
        train_split: Split that the linear classifier is fitted on.
        val_split: Split to measure on.
        label_map: See :func:`evaluate_checkpoint`; with it all classes have to be the checkpoint's.
        share: Share of the training labels that is used, as in fine-tuning.
        seed: Seed of the draw of these labels.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        SkelactError: if the checkpoint, the file or a split cannot be used, the two splits share
            clips, a clip has no label, or a feature is not finite.
    """
    check_seed(seed)
    checkpoint = Path(checkpoint)
    meta = load_meta(checkpoint)
    data = load_annotations(ann_file)
    train, val = data.select(train_split), data.select(val_split)
    check_disjoint(data.path, (train_split, train), (val_split, val))
    notes = [training_note(meta, data, val)]
    both, note = _labels_of_checkpoint(meta, data, [*train, *val], label_map)
    train, val = label_fraction(both[: len(train)], share, seed), both[len(train) :]
    fitted, labels = clip_features(checkpoint, train, choose_device(device))
    measured, true_labels = clip_features(checkpoint, val, choose_device(device))
    # Standardised by the training clips, so that no feature counts by its scale.
    mean, std = fitted.mean(dim=0), fitted.std(dim=0).clamp(min=1e-6)
    fitted, measured = (fitted - mean) / std, (measured - mean) / std

    def top1(predicted: Tensor) -> float:
        return 100 * float((predicted == true_labels).float().mean())

    cosine = nn.functional.normalize(measured) @ nn.functional.normalize(fitted).T
    return ProbeResult(
        linear=top1(fit_linear(fitted, labels)(measured).argmax(dim=1)),
        knn=top1(labels[cosine.argmax(dim=1)]),
        num_train=len(train),
        num_val=len(val),
        notes=tuple(sentence for sentence in (*notes, note) if sentence),
    )


def _labels_of_checkpoint(
    meta: CheckpointMeta,
    data: AnnotationFile,
    clips: Sequence[Annotation],
    label_map: LabelMap | str | Path | None,
) -> tuple[list[Annotation], str]:
    """Return clips with the class indices of the checkpoint, or their own and a note that says so.

    A probe may measure features on classes that the checkpoint does not know: they are no error,
    unless a map says which of the checkpoint's they are.
    """
    check_labelled(data.path, clips)
    renamed = read_label_map(label_map) if isinstance(label_map, (str, Path)) else label_map
    if meta.kind == "pretrain":
        if renamed is not None:
            raise SkelactError("label map: a pre-training checkpoint has no classes; leave it out")
        return list(clips), ""
    try:
        return match_labels(data, clips, meta.label_names, renamed)
    except SkelactError:
        if renamed is not None:
            raise
        return list(clips), (
            f"the classes of {data.path.name} are not those of the checkpoint; the probe was "
            "fitted on the file's own"
        )


def clip_features(
    checkpoint: Path, clips: Sequence[Annotation], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return features (N, D) and labels (N,) on the CPU.

    Features of a pre-trained network are its encoding, averaged over joints, as mean and standard
    deviation over time, averaged over people. Those of a classifier are the input of its head.

    Raises:
        SkelactError: for an exported classifier, whose features cannot be read.
    """
    meta = load_meta(checkpoint)
    if meta.kind == "pretrain":
        model: nn.Module = _MaeFeatures(load_mae(checkpoint)[0])
    else:
        classifier, _ = load_classifier(checkpoint)
        if isinstance(classifier, OnnxClassifier):
            raise SkelactError(
                f"{checkpoint}: an ONNX classifier gives logits alone; probe the checkpoint that "
                "it was exported from"
            )
        model = _ClipFeatures(classifier)
    model = model.to(device).eval()
    store = ClipStore(clips, meta.preprocess)
    features = []
    with torch.inference_mode():
        for start in range(0, len(store), _BATCH):
            inds = torch.arange(start, min(start + _BATCH, len(store)))
            features.append(model(store.batch(inds, device)).float().cpu())
    # A copy, because tensors of inference mode cannot be saved for a backward pass.
    found = torch.cat(features).clone()
    check_finite(found.numpy(), store.names, "features of the checkpoint")
    return found, store.labels


class _ClipFeatures(nn.Module):
    """A classifier without its head: clips (N, M, T, V, C) to (N, D)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier.pool_clip(x)  # type: ignore[operator]
        return out


class _MaeFeatures(nn.Module):
    """A masked autoencoder's encoding: clips (N, M, T, V, C) to (N, 2 D)."""

    def __init__(self, mae: SkeletonMAE | TubeMAE) -> None:
        super().__init__()
        self.mae = mae

    def forward(self, x: Tensor) -> Tensor:
        people = x.flatten(0, 1)  # (B, T, V, C)
        present = (people != 0).flatten(1).any(dim=1)
        if isinstance(self.mae, TubeMAE):
            steps = self.mae.encoder(people).mean(dim=2)  # (B, T', D)
        else:
            frames = people.flatten(0, 1)
            missing = (frames == 0).all(dim=-1)
            encoded = self.mae.encode(self.mae.embedded(frames), missing)  # (D, B T, V)
            steps = encoded.mean(dim=2).T.unflatten(0, (-1, people.shape[1]))
        pooled = torch.cat([steps.mean(dim=1), steps.std(dim=1)], dim=-1)
        weight = present.to(pooled.dtype).unflatten(0, x.shape[:2]).unsqueeze(-1)
        total = (pooled.unflatten(0, x.shape[:2]) * weight).sum(dim=1)
        return total / weight.sum(dim=1).clamp(min=1)


def fit_linear(features: Tensor, labels: Tensor, penalty: float = 1e-3) -> nn.Linear:
    """Fit multinomial logistic regression; deterministic.

    Args:
        features: (N, D) float32, standardised.
        labels: (N,) int64; the classes are those up to the greatest.
        penalty: Weight of the squared coefficients beside the mean cross entropy.

    Returns:
        The linear classifier, D to classes.
    """
    linear = nn.Linear(features.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(linear(features), labels)
        loss = loss + penalty * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return linear
