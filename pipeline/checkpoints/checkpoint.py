"""Checkpoints: NAME.safetensors with the weights and NAME.json with all else.

Nothing is executed when they are read. The JSON names the hash of its weights, so that a pair that
does not belong together is noticed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ... import SkelactError, __version__
from ...pose_extract.common.files import PACKAGE_FOLDER, atomic_write, sha256_of
from ..config import (
    NETWORKS,
    ClassifierConfig,
    MaskConfig,
    ModelName,
    NetworkConfig,
    build_config,
)
from ..data.preprocess import PreprocessConfig
from .networks import build_classifier, build_mae

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...models.classifier import SkeletonClassifier
    from ...models.skeleton_mae import SkeletonMAE
    from ...models.tube import TubeMAE
    from .onnx_classifier import OnnxClassifier


FORMAT_VERSION = 1


_SHIPPED_FOLDER = PACKAGE_FOLDER / "models" / "pretrained"


DEFAULT_CLASSIFIER = "penn_action_video"


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
        skelact_version: Version that wrote it.
        weights_sha256: Hash of the weights file.
        format_version: Version of this form.
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
    skelact_version: str = __version__
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION


def save_checkpoint(
    path: Path, module: nn.Module, meta: CheckpointMeta, *, half: bool = False
) -> Path:
    """Write the pair; the JSON comes last, so that a pair is whole or does not count.

    Args:
        path: Path of either file of the pair.
        module: Whose weights to write.
        meta: What to write beside them.
        half: Write floating-point weights in half precision.

    Returns:
        Path of the JSON.
    """
    from safetensors.torch import save_file

    weights, info = _pair(path)
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        small = tensor.half() if half and tensor.is_floating_point() else tensor
        tensors[name] = small.detach().cpu().contiguous().clone()
    info.unlink(missing_ok=True)
    with atomic_write(weights) as temporary:
        save_file(tensors, temporary)
    values = dataclasses.asdict(dataclasses.replace(meta, weights_sha256=sha256_of(weights)))
    with atomic_write(info) as temporary:
        temporary.write_text(
            json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return info


def find_checkpoint(path: Path | None) -> Path:
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
    weights, info = _pair(path)
    for needed in (weights, info):
        if not needed.is_file():
            raise SkelactError(
                f"checkpoint {path}: expected the pair {weights.name} and {info.name}, "
                f"{needed} is missing"
            )
    return info


def load_meta(path: Path | None) -> CheckpointMeta:
    """Read what stands beside the weights; needs no torch.

    Raises:
        SkelactError: if it is missing, damaged or of another format.
    """
    info = find_checkpoint(path)
    try:
        values = json.loads(_meta_text(info))
        version = values["format_version"]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise SkelactError(f"{info}: expected a checkpoint's JSON, got {error!r}") from None
    if version != FORMAT_VERSION:
        raise SkelactError(f"{info}: expected format_version {FORMAT_VERSION}, got {version}")
    values["preprocess"] = build_config(
        PreprocessConfig, values.get("preprocess"), f"{info}: preprocess"
    )
    values["label_names"] = tuple(values["label_names"])
    return CheckpointMeta(**values)


def _meta_text(info: Path) -> str:
    if info.suffix != ".onnx":
        return info.read_text(encoding="utf-8")
    from .onnx_classifier import read_onnx_meta

    return read_onnx_meta(info)


def _pair(path: Path) -> tuple[Path, Path]:
    # Not with_suffix on any path: a name such as run.1 has no suffix to replace.
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    return stem.with_name(f"{stem.name}.safetensors"), stem.with_name(f"{stem.name}.json")


def _load_weights(module: nn.Module, info: Path, meta: CheckpointMeta) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, _ = _pair(info)
    found = sha256_of(weights)
    if found != meta.weights_sha256:
        raise SkelactError(
            f"{weights}: expected the weights with sha256 {meta.weights_sha256[:12]} that "
            f"{info.name} names, got {found[:12]}; the two files do not belong together"
        )
    try:
        # Weights kept in half precision widen to the module's own type here.
        module.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise SkelactError(f"{weights}: the weights do not fit their JSON: {error}") from None


def load_mae(path: Path) -> tuple[SkeletonMAE | TubeMAE, CheckpointMeta]:
    """Load a pre-trained masked autoencoder, in eval mode on the CPU.

    Raises:
        SkelactError: if the checkpoint is missing, damaged, or a classifier.
    """
    info, meta = _load_kind(path, "pretrain")
    mask = build_config(MaskConfig, meta.head, f"{info}: head")
    module = build_mae(meta.preprocess, _network(info, meta), mask)
    _load_weights(module, info, meta)
    return module.eval(), meta


def load_classifier(
    path: Path | None = None,
) -> tuple[SkeletonClassifier | OnnxClassifier, CheckpointMeta]:
    """Load a classifier, in eval mode on the CPU; the shipped one if ``path`` is None.

    Raises:
        SkelactError: if the checkpoint is missing, damaged, or no classifier.
    """
    info, meta = _load_kind(path, "classifier")
    if info.suffix == ".onnx":
        from .onnx_classifier import OnnxClassifier

        return OnnxClassifier(info).eval(), meta
    head = build_config(ClassifierConfig, meta.head, f"{info}: head")
    network = _network(info, meta)
    module = build_classifier(meta.preprocess, network, head, len(meta.label_names))
    _load_weights(module, info, meta)
    return module.eval(), meta


def _network(info: Path, meta: CheckpointMeta) -> NetworkConfig:
    if meta.model not in NETWORKS:
        raise SkelactError(
            f"{info}: expected model {', '.join(NETWORKS)}, got {meta.model!r}; is it from a later "
            "version?"
        )
    return build_config(NETWORKS[meta.model], meta.encoder, f"{info}: encoder")


def _load_kind(path: Path | None, kind: str) -> tuple[Path, CheckpointMeta]:
    info = find_checkpoint(path)
    meta = load_meta(info)
    if meta.kind != kind:
        raise SkelactError(f"{info}: expected a {kind} checkpoint, got one of kind {meta.kind!r}")
    return info, meta
