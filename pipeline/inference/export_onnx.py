"""Write a classifier as ONNX, and check its logits against torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ... import SkelactError
from ...models.classifier import SkeletonClassifier
from ...pose_extract.common.files import atomic_write
from ...pose_extract.nets.onnx_files import write_onnx
from ..checkpoints.checkpoint import CheckpointMeta, load_classifier
from ..checkpoints.onnx_classifier import META_KEY, OnnxClassifier
from ..data.annotations import Annotation
from ..data.clip_store import ClipStore

# Largest difference of a logit between torch and ONNX Runtime, both in fp32.
TOLERANCE = 1e-4


def check_onnx_path(path: Path) -> None:
    """Check that a path is that of an ONNX file, as it is told when it is read.

    Raises:
        SkelactError: if it ends otherwise.
    """
    if path.suffix != ".onnx":
        raise SkelactError(f"expected a target ending in .onnx, got {path}")


def export_onnx(
    checkpoint: str | Path | None, out: str | Path, clips: Sequence[Annotation]
) -> float:
    """Write a classifier as ONNX with a dynamic batch, and check it against torch.

    Args:
        checkpoint: The classifier; None for the shipped one.
        out: Target, ending in .onnx.
        clips: Clips to check on, as one batch and as batches of one.

    Returns:
        The largest absolute difference of a logit, or of the novelty.

    Raises:
        SkelactError: if the checkpoint cannot be used, the package onnx is missing, or the two
            differ by more than 1e-4; then nothing is written.
    """
    out = Path(out)
    check_onnx_path(out)
    if not clips:
        raise SkelactError(f"{out}: expected clips to check it on, got none")
    model, meta = load_classifier(Path(checkpoint) if checkpoint is not None else None)
    if isinstance(model, OnnxClassifier):
        raise SkelactError(f"{checkpoint} is an ONNX file already")
    store = ClipStore(clips, meta.preprocess)
    x = store.batch(torch.arange(len(store)), torch.device("cpu"))
    with atomic_write(out) as temporary:
        _write(model, meta, x[:2], temporary)
        shape, count = meta.preprocess.tensor_shape, len(meta.label_names)
        exported = OnnxClassifier(temporary, shape, count, meta.gate is not None)
        with torch.inference_mode():
            expected = _outputs(model, x)
            together = _outputs(exported, x)
            singly = torch.cat([_outputs(exported, clip[None]) for clip in x])
        differences = [(found - expected).abs().max() for found in (together, singly)]
        worst = float(torch.stack(differences).max())
        if not worst <= TOLERANCE:
            raise SkelactError(
                f"the exported classifier differs from torch by {worst:.2g} on {len(x)} clips, "
                f"expected at most {TOLERANCE}; nothing was written"
            )
    return worst


class _WithNovelty(nn.Module):
    """A classifier whose forward gives its novelty, too, as the exporter needs it."""

    def __init__(self, model: SkeletonClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.model.with_novelty(x)


def _outputs(model: SkeletonClassifier | OnnxClassifier, x: Tensor) -> Tensor:
    """Return logits and novelty side by side, (N, num_classes) or one column more."""
    logits, novelty = model.with_novelty(x)
    return logits if novelty is None else torch.cat([logits, novelty.unsqueeze(1)], dim=1)


def _write(model: SkeletonClassifier, meta: CheckpointMeta, x: Tensor, path: Path) -> None:
    outputs = ["logits"] if meta.gate is None else ["logits", "novelty"]
    network = model if meta.gate is None else _WithNovelty(model).eval()
    write_onnx(network, {"clips": x}, outputs, path, {0: "batch"})
    import onnx

    file = onnx.load(path)
    entry = file.metadata_props.add()
    entry.key, entry.value = META_KEY, json.dumps(dataclasses.asdict(meta))
    onnx.save(file, path)
