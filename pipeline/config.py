"""Training configs: YAML read by MMEngine's Config, then checked against frozen dataclasses.

Defaults are written once, in the dataclasses. A key that no dataclass knows is an error that names
the closest one.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from .. import SkelactError
from ..pose_extract.common.files import PACKAGE_FOLDER
from .data.augment import AugmentConfig
from .data.preprocess import PreprocessConfig

_CONFIG_FOLDER = PACKAGE_FOLDER / "configs"

C = TypeVar("C")


@dataclass(frozen=True)
class DataConfig:
    """Which skeletons to learn from.

    Attributes:
        dataset: Name of the data set, for the checkpoint and its card.
        ann_file: PYSKL annotation file; "${SKELACT_SHARED}" and other environment variables are
            filled in.
        train_split: Split to learn from.
        val_split: Split to measure on; empty measures nothing.
        labels: Name of a shipped list of class names (configs/labels); empty numbers the classes.
        num_classes: Number of classes; 0 takes it from the labels list or the file.
        label_fraction: Share of the training clips whose labels are used, at least one per class.
        metric: The figure that the data set is judged by.
    """

    dataset: str
    ann_file: str
    train_split: str = "train"
    val_split: str = ""
    labels: str = ""
    num_classes: int = 0
    label_fraction: float = 1.0
    metric: Literal["top1", "mean_class_accuracy"] = "top1"


@dataclass(frozen=True)
class EncoderConfig:
    """Model "ssl": the encoder that pre-training and classifier share; see ``SkeletonMAE``."""

    embed_dim: int = 64
    hidden_dim: int = 64
    encoder_depth: int = 3
    gnn: Literal["gin", "gcn", "gat"] = "gin"


@dataclass(frozen=True)
class TubeConfig:
    """Model "tube": the encoder that pre-training and classifier share; see ``TubeEncoder``."""

    widths: tuple[int, ...] = (64, 64, 96, 96, 128, 128)
    strides: tuple[int, ...] = (2, 1, 2, 1, 1, 1)
    num_heads: int = 8


@dataclass(frozen=True)
class StgcnConfig:
    """Model "stgcn", the supervised peer; see ``STGCNClassifier``."""

    base_width: int = 64


ModelName = Literal["ssl", "tube", "stgcn"]
NetworkConfig = EncoderConfig | TubeConfig | StgcnConfig
NETWORKS: dict[str, type[EncoderConfig] | type[TubeConfig] | type[StgcnConfig]] = {
    "ssl": EncoderConfig,
    "tube": TubeConfig,
    "stgcn": StgcnConfig,
}


@dataclass(frozen=True)
class MaskConfig:
    """What pre-training hides and how it is judged; see ``masking`` and ``losses`` in models.

    Attributes:
        kind: "part" hides whole body parts, "joint" random joints.
        tube_ratio: For model "tube": chance that a part (or joint) is hidden in a span of time.
        tube_frames: For model "tube": frames of a span.
        motion_weight: For model "tube": weight of the motion's error beside the positions'.
        parts: Parts hidden in every skeleton; empty draws them at random.
        min_parts: Least number of parts drawn.
        max_parts: Greatest number of parts drawn.
        joint_ratio: Share of joints hidden, for kind "joint".
        beta: Power of the loss.
        loss_form: "paper" or "mean".
        detach_target: No gradient through the target.
        remask: Hide the joints again before the decoder.
        decoder_depth: Layers of the decoder.
    """

    kind: Literal["part", "joint"] = "part"
    tube_ratio: float = 0.6
    tube_frames: int = 16
    motion_weight: float = 1.0
    parts: tuple[str, ...] = ()
    min_parts: int = 1
    max_parts: int = 3
    joint_ratio: float = 0.5
    beta: float = 2.0
    loss_form: Literal["paper", "mean"] = "paper"
    detach_target: bool = True
    remask: bool = False
    decoder_depth: int = 1


@dataclass(frozen=True)
class ClassifierConfig:
    """What the classifier adds to the encoder; see ``SSLClassifier``.

    Model "tube" takes ``dropout`` of it, "stgcn" nothing.
    """

    num_layers: int = 3
    combine: Literal["concat", "add"] = "concat"
    temporal: Literal["last", "every"] = "last"
    temporal_dim: int = 128
    dropout: float = 0.0
    streams: tuple[Literal["bone", "motion"], ...] = ()


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule.

    Attributes:
        kind: "sgd" (momentum 0.9), "adam", "adamw" or "muon".
        lr: Learning rate at the top of the schedule.
        weight_decay: Weight decay (the paper does not give it).
        nesterov: Nesterov momentum, for "sgd".
        batch_size: Clips per batch.
        epochs: Passes over the data.
        warmup_epochs: Epochs of linear warm-up; at most all but the last.
        schedule: "step" divides by ten at ``milestones``, "cosine" falls to zero, "constant" stays.
        milestones: Epochs at which "step" divides.
        clip_grad_norm: Greatest norm of the gradient; 0 is off.
        label_smoothing: Of the cross-entropy.
        ema_momentum: Weight of a new value in the moving average of the weights; 0 is off.
    """

    kind: Literal["sgd", "adam", "adamw", "muon"]
    lr: float
    batch_size: int
    epochs: int
    weight_decay: float = 0.0
    nesterov: bool = False
    warmup_epochs: int = 0
    schedule: Literal["step", "cosine", "constant"] = "constant"
    milestones: tuple[int, ...] = ()
    clip_grad_norm: float = 0.0
    label_smoothing: float = 0.0
    ema_momentum: float = 0.0


@dataclass(frozen=True)
class RuntimeConfig:
    """How training runs; changes no result but by rounding.

    Attributes:
        precision: "fp32", or "bf16" / "fp16" mixed precision; processors without bf16 take fp32.
        compile: Compile the network with torch.compile: minutes at the start, meant for long runs
            on CUDA.
        save_every: Epochs between the states that a stopped run resumes from.
        val_every: Epochs between measurements on the val split; the last epoch is always measured.
        num_test_clips: Clips per video whose scores are averaged when measuring.
        flip_test: Average each clip's scores with those of its mirror picture. Not for classes that
            tell left from right.
        tensorboard: Write TensorBoard events.
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    save_every: int = 5
    val_every: int = 10
    num_test_clips: int = 1
    flip_test: bool = False
    tensorboard: bool = False


@dataclass(frozen=True)
class PretrainConfig:
    """``skelact pretrain``: a masked autoencoder on the training split, labels unused.

    ``model`` says which network: "ssl" is the paper's and is described by ``encoder``, "tube" by
    ``tube``.
    """

    data: DataConfig
    optim: OptimConfig
    model: ModelName = "ssl"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    tube: TubeConfig = field(default_factory=TubeConfig)
    stgcn: StgcnConfig = field(default_factory=StgcnConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    @property
    def network(self) -> NetworkConfig:
        """The section that describes the network."""
        return _network(self)


@dataclass(frozen=True)
class FinetuneConfig:
    """``skelact finetune``: a classifier, from a pre-trained encoder or random weights.

    ``model`` says which network: "ssl" is the paper's and is described by ``encoder`` and
    ``classifier``, "tube" by ``tube``, "stgcn" by ``stgcn``.
    """

    data: DataConfig
    optim: OptimConfig
    model: ModelName = "ssl"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    tube: TubeConfig = field(default_factory=TubeConfig)
    stgcn: StgcnConfig = field(default_factory=StgcnConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    @property
    def network(self) -> NetworkConfig:
        """The section that describes the network."""
        return _network(self)


def _network(config: PretrainConfig | FinetuneConfig) -> NetworkConfig:
    if config.model == "ssl":
        return config.encoder
    return config.tube if config.model == "tube" else config.stgcn


ConfigKind = Literal["pretrain", "finetune", "distill"]


def shipped_configs(kind: ConfigKind) -> dict[str, Path]:
    """Return the shipped configs of a kind, by name."""
    return {
        path.stem.removeprefix(f"{kind}_"): path
        for path in sorted(_CONFIG_FOLDER.glob(f"{kind}_*.yaml"))
    }


def load_config(
    cls: type[C],
    name: str,
    kind: ConfigKind,
    overrides: Sequence[str] = (),
) -> C:
    """Read a config by shipped name or path.

    Args:
        cls: Dataclass of the config, such as PretrainConfig.
        name: Name of a shipped config, or path of a YAML file.
        kind: Which shipped configs to look among.
        overrides: ``key.subkey=value`` settings that win over the file.

    Raises:
        SkelactError: for an unknown name, key or value.
    """
    from mmengine.config import Config

    shipped = shipped_configs(kind)
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise SkelactError(
            f"no {kind} config {name!r}: expected a YAML file or one of {', '.join(shipped)}"
        )
    try:
        config = Config.fromfile(path)
        config.merge_from_dict(dict(_parse_override(text) for text in overrides))
    except SkelactError:
        raise
    except Exception as error:
        raise SkelactError(f"{path}: cannot read it as YAML config: {error}") from None
    return build_config(cls, config.to_dict(), str(path))


def _parse_override(text: str) -> tuple[str, Any]:
    import yaml

    key, sign, value = text.partition("=")
    if not sign or not key:
        raise SkelactError(f"--set: expected key=value such as optim.epochs=20, got {text!r}")
    return key, yaml.safe_load(value)


def build_config(cls: type[C], values: Any, where: str) -> C:
    """Build a config dataclass from plain values, checking names and types.

    Raises:
        SkelactError: naming the key, what was expected and what came.
    """
    if not isinstance(values, Mapping):
        raise SkelactError(f"{where}: expected a mapping, got {values!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            close = difflib.get_close_matches(str(key), list(fields), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SkelactError(f"{where}: unknown key {key!r}{hint} Known: {', '.join(fields)}")
    missing = [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SkelactError(f"{where}: missing key(s) {', '.join(missing)}")
    return cls(
        **{key: _check(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    )


def _check(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` as the type ``hint`` says, or raise."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build_config(typing.cast(type, hint), value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _check(next(arg for arg in args if arg is not type(None)), value, where)
    if origin is Literal:
        if value in args:
            return value
        expected = "one of " + ", ".join(map(str, args))
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
            if len(inner) == len(value):
                return tuple(_check(a, v, where) for a, v in zip(inner, value))
        expected = "a list"
    elif hint is float:
        # YAML reads 1e-4 as text.
        try:
            if not isinstance(value, bool):
                return float(value)
        except (TypeError, ValueError):
            pass
        expected = "a number"
    else:
        if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
            return value
        expected = {int: "a whole number", str: "text", bool: "true or false"}.get(hint, str(hint))
    raise SkelactError(f"{where}: expected {expected}, got {value!r}")


def load_label_names(name: str) -> tuple[str, ...]:
    """Return the class names of a shipped list (configs/labels).

    Raises:
        SkelactError: for an unknown list.
    """
    import yaml

    path = _CONFIG_FOLDER / "labels" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise SkelactError(f"no list of labels called {name!r}; known: {known}")
    names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
    return tuple(map(str, names))
