"""Checkpoints of classifiers and masked autoencoders: what stands in them, and the network inside.

Their files are pairs of the format that ``pose_extract.weights.bundle`` describes, or an exported
.onnx file that holds the same JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ... import SkelactError, __version__
from ...pose_extract.common.files import PACKAGE_FOLDER
from ...pose_extract.common.plain import shown
from ...pose_extract.weights.bundle import (
    FORMAT_VERSION,
    bundle_pair,
    check_weights,
    load_bundle_weights,
    read_meta,
    save_pair,
    weight_names,
)
from ..config import (
    NETWORKS,
    ClassifierConfig,
    MaskConfig,
    ModelName,
    NetworkConfig,
    build_config,
)
from ..data.preprocess import PreprocessConfig
from .gate import Gate
from .networks import build_classifier, build_mae

if TYPE_CHECKING:
    from torch import nn

    from ...models.classifier import SkeletonClassifier
    from ...models.skeleton_mae import SkeletonMAE
    from ...models.tube import TubeMAE
    from .onnx_classifier import OnnxClassifier


_SHIPPED_FOLDER = PACKAGE_FOLDER / "models" / "pretrained"


# More than any data set of actions has, and than a protocol averages.
_MAX_LABELS = 10_000
_MAX_TEST_CLIPS = 1000

DEFAULT_CLASSIFIER = "penn_action_video"

# How the names of the weights begin by which the novelty of a clip is measured.
_NOVELTY = "novelty."


@dataclass(frozen=True)
class CheckpointMeta:
    """What stands beside the weights.

    Attributes:
        kind: "pretrain" (SkeletonMAE) or "classifier".
        preprocess: How skeletons become model input; prediction takes it from here.
        model: Which network; see ``config.ModelName``.
        encoder: Shape of the network: the config's section that ``model`` names, as a dictionary.
        head: Shape of the rest: ClassifierConfig or MaskConfig as a dictionary.
        label_names: Class names in order; empty for "pretrain".
        config: The whole resolved training config.
        data: What it was trained on: data set, split, number of clips, and what its encoder was
            pre-trained on.
        seed: Seed of the run.
        figures: What was measured on the val split; empty if nothing was.
        gate: When a clip shows none of the actions; None for a classifier that cannot tell, as
            those of earlier versions.
        skelact_version: Version that wrote it.
        weights_sha256: Hash of the weights file.
        format_version: Version of this format.
    """

    kind: Literal["pretrain", "classifier"]
    preprocess: PreprocessConfig
    encoder: dict[str, Any]
    head: dict[str, Any]
    label_names: tuple[str, ...]
    config: dict[str, Any]
    data: dict[str, Any]
    seed: int
    figures: dict[str, Any]
    model: ModelName = "ssl"
    gate: Gate | None = None
    skelact_version: str = __version__
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        least = 1 if self.kind == "classifier" else 0
        if not least <= len(self.label_names) <= _MAX_LABELS:
            raise ValueError(
                f"label_names: expected {least} to {_MAX_LABELS}, got {len(self.label_names)}"
            )
        # What is read of the records when the network runs.
        runtime = self.config.get("runtime", {})
        if not isinstance(runtime, Mapping):
            raise ValueError(f"config.runtime: expected a mapping, got {shown(runtime)}")
        for name, value, most in (
            ("config.runtime.num_test_clips", runtime.get("num_test_clips", 1), _MAX_TEST_CLIPS),
            ("data.median_frames", self.data.get("median_frames", 0), 1 << 32),
            ("data.max_frames", self.data.get("max_frames", 0), 1 << 32),
            ("data.fps", self.data.get("fps", 0), 1000),
        ):
            if type(value) not in (int, float) or not 0 <= value <= most:
                raise ValueError(f"{name}: expected 0 to {most}, got {shown(value)}")


def save_checkpoint(
    path: str | Path, module: nn.Module, meta: CheckpointMeta, *, half: bool = False
) -> Path:
    """Write the pair of files; see ``weights.bundle`` for the format.

    Args:
        path: Path of either file of the pair.
        module: Whose weights to write.
        meta: What to write beside them.
        half: Write floating-point weights in half precision.

    Returns:
        Path of the JSON.
    """
    # Distances are differences of large numbers: novelty stays exact.
    return save_pair(
        path, module, dataclasses.asdict(meta), "all" if half else "none", exact=_NOVELTY
    )


def find_checkpoint(path: str | Path | None) -> Path:
    """Return the JSON of a checkpoint.

    Args:
        path: The JSON, the weights, or a folder with one pair; an exported .onnx file, which is
            returned itself; None for the shipped classifier.

    Raises:
        SkelactError: if there is none, or a folder holds several.
    """
    if path is None:
        path = _SHIPPED_FOLDER / f"{DEFAULT_CLASSIFIER}.json"
    path = Path(path)
    if path.is_dir():
        pairs = [p for p in sorted(path.glob("*.json")) if p.with_suffix(".safetensors").is_file()]
        if len(pairs) != 1:
            names = ", ".join(p.name for p in pairs) or "none"
            raise SkelactError(f"{path}: expected one checkpoint in the folder, got {names}")
        return pairs[0]
    if path.suffix == ".onnx" and path.is_file():
        return path
    weights, info = bundle_pair(path)
    for needed in (weights, info):
        if not needed.is_file():
            raise SkelactError(
                f"checkpoint {path}: expected the pair {weights.name} and {info.name}, "
                f"{needed} is missing"
            )
    return info


def load_meta(path: str | Path | None) -> CheckpointMeta:
    """Read what stands beside the weights; needs no torch.

    Raises:
        SkelactError: if it is missing, damaged or of another format.
    """
    info = find_checkpoint(path)

    def build(values: dict[str, Any]) -> CheckpointMeta:
        # Version 1 says the same things under the same names.
        values["format_version"] = FORMAT_VERSION
        return build_config(CheckpointMeta, values, "top level")

    if info.suffix == ".onnx":
        from .onnx_classifier import read_onnx_meta

        return read_meta(info, build, read_onnx_meta(info))
    return read_meta(info, build)


def load_mae(path: str | Path) -> tuple[SkeletonMAE | TubeMAE, CheckpointMeta]:
    """Load a pre-trained masked autoencoder, in eval mode on the CPU.

    Raises:
        SkelactError: if the checkpoint is missing, damaged, or a classifier.
    """
    info, meta = _load_kind(path, "pretrain")
    mask = build_config(MaskConfig, meta.head, f"{info}: head")
    module = build_mae(meta.preprocess, _network(info, meta), mask)
    load_bundle_weights(info, module)
    return module.eval(), meta


def load_start(
    path: str | Path | None,
) -> tuple[SkeletonMAE | TubeMAE | SkeletonClassifier, CheckpointMeta]:
    """Load what a training may start from: a masked autoencoder, or a classifier of any classes.

    Raises:
        SkelactError: if the checkpoint is missing, damaged, or an exported ONNX file.
    """
    info = find_checkpoint(path)
    if info.suffix == ".onnx":
        raise SkelactError(f"{info}: expected a checkpoint to start from, got an ONNX file")
    if load_meta(info).kind == "pretrain":
        return load_mae(info)
    module, meta = load_classifier(info)
    return cast("SkeletonClassifier", module), meta


def load_classifier(
    path: str | Path | None = None,
) -> tuple[SkeletonClassifier | OnnxClassifier, CheckpointMeta]:
    """Load a classifier, in eval mode on the CPU; the shipped one if ``path`` is None.

    Raises:
        SkelactError: if the checkpoint is missing, damaged, no classifier, or has a half of a gate.
    """
    info, meta = _load_kind(path, "classifier")
    if info.suffix == ".onnx":
        from .onnx_classifier import OnnxClassifier

        shape, count = meta.preprocess.tensor_shape, len(meta.label_names)
        return OnnxClassifier(info, shape, count, meta.gate is not None).eval(), meta
    _check_gate(info, meta)
    head = build_config(ClassifierConfig, meta.head, f"{info}: head")
    network = _network(info, meta)
    module = build_classifier(meta.preprocess, network, head, len(meta.label_names))
    if meta.gate is not None:
        from ...models.novelty import Novelty

        module.novelty = Novelty(len(meta.label_names), module.feature_dim)
    load_bundle_weights(info, module)
    return module.eval(), meta


def _check_gate(info: Path, meta: CheckpointMeta) -> None:
    """Check that a checkpoint has both parts of a gate, its numbers and its weights, or none."""
    check_weights(info, meta.weights_sha256)
    has_weights = any(name.startswith(_NOVELTY) for name in weight_names(info))
    if has_weights and meta.gate is None:
        raise SkelactError(
            f"{info}: gate is null, and its weights hold one ({_NOVELTY}*): the JSON is not as it "
            "was written; take the one that was"
        )
    if meta.gate is not None and not has_weights:
        raise SkelactError(
            f"{info}: it has a gate, and its weights hold none ({_NOVELTY}*); set gate to null, "
            "and fit one with `skelact gate`"
        )


def _network(info: Path, meta: CheckpointMeta) -> NetworkConfig:
    return build_config(NETWORKS[meta.model], meta.encoder, f"{info}: encoder")


def _load_kind(path: str | Path | None, kind: str) -> tuple[Path, CheckpointMeta]:
    info = find_checkpoint(path)
    meta = load_meta(info)
    if meta.kind != kind:
        raise SkelactError(f"{info}: expected a {kind} checkpoint, got one of kind {meta.kind!r}")
    return info, meta
