"""Training configs: YAML files, checked against frozen dataclasses.

Defaults are written once, in the dataclasses, and so are the checks of values and of their
combinations: each dataclass raises a ValueError that names the field. A key that no dataclass knows
is an error that names the closest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from .. import SkelactError
from ..pose_extract.common.files import PACKAGE_FOLDER
from ..pose_extract.common.plain import build_config
from .data.augment import AugmentConfig
from .data.preprocess import PreprocessConfig
from .data.record import MAX_CLASSES
from .network_config import (
    NETWORKS,
    PRETRAINED_MODELS,
    ClassifierConfig,
    EncoderConfig,
    MaskConfig,
    ModelName,
    NetworkConfig,
    ProtogcnConfig,
    StgcnConfig,
    TubeConfig,
    expect,
)
from .optim_config import OptimConfig, RuntimeConfig
from .pretext_config import ContrastConfig, SimulatedConfig, TeacherConfig
from .yaml_file import merge, parse_override, read_yaml

__all__ = [
    "NETWORKS",
    "ClassifierConfig",
    "ConfigKind",
    "ContrastConfig",
    "DataConfig",
    "EncoderConfig",
    "FinetuneConfig",
    "MaskConfig",
    "ModelName",
    "NetworkConfig",
    "OptimConfig",
    "PretrainConfig",
    "ProtogcnConfig",
    "RuntimeConfig",
    "SimulatedConfig",
    "StgcnConfig",
    "TeacherConfig",
    "TubeConfig",
    "build_config",
    "check_seed",
    "load_config",
    "load_label_names",
    "shipped_configs",
]

_CONFIG_FOLDER = PACKAGE_FOLDER / "configs"

# Configs of earlier versions, and those that do their work now.
_RENAMED_CONFIGS = {
    "distill_finder": "detector_rtmdet",
    "distill_finder_rtmdet": "detector_rtmdet",
    "distill_finder_rtmdet_whole": "detector_rtmdet_whole",
}
# Configs of the pose models and the aligner that `skelact distill` trained in earlier versions.
_POSE_CONFIGS = (
    "distill_aligner",
    "distill_pose_128x96",
    "distill_pose_256x192",
    "distill_pose_lite_256x192",
    "distill_pose_lite_256x192_whole",
)

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
        label_draw: Which of the clips of each class these are: a seed of this draw alone, so that
            several seeds can learn from the same labels. None takes the seed of the run.
        spread_from: Checkpoint of a network, pre-trained or fine-tuned: labels spread over clips
            that are near in its features to the training clips whose labels are not used, and all
            are learned from. Empty learns from the labelled ones alone.
        spread_share: Share of the clips that labels spread to, of each class the surest; the others
            are left out.
        metric: The figure that the data set is judged by.
        fps: Frames per second of the clips, if all have about the same: what a long video is cut
            into when it is predicted then lasts as long as they do. 0 where it is not known, and
            has as many frames.
        unknown_file: Annotation file of clips of other actions, which the gate of a classifier
            learns to tell; their labels are not read. Empty for none.
    """

    dataset: str
    ann_file: str
    train_split: str = "train"
    val_split: str = ""
    labels: str = ""
    num_classes: int = 0
    label_fraction: float = 1.0
    label_draw: int | None = None
    spread_from: str = ""
    spread_share: float = 1.0
    metric: Literal["top1", "mean_class_accuracy"] = "top1"
    fps: float = 0.0
    unknown_file: str = ""

    def __post_init__(self) -> None:
        for name in ("dataset", "ann_file", "train_split"):
            expect(self, name, bool(getattr(self, name)), "a name")
        lists = ["", *_label_lists()]
        expect(self, "labels", self.labels in lists, f"one of {', '.join(lists[1:])}")
        expect(
            self, "val_split", self.val_split != self.train_split, "another split than train_split"
        )
        expect(self, "num_classes", 0 <= self.num_classes <= MAX_CLASSES, f"0 to {MAX_CLASSES}")
        for name in ("label_fraction", "spread_share"):
            expect(self, name, 0 < getattr(self, name) <= 1, "above 0 to 1")
        if self.label_draw is not None:
            check_seed(self.label_draw, "label_draw")
        expect(self, "fps", 0 <= self.fps <= 1000, "0 to 1000")


@dataclass(frozen=True)
class PretrainConfig:
    """``skelact pretrain``: a masked autoencoder on the training split, labels unused.

    ``model`` says which network: "ssl" is the paper's and is described by ``encoder``, "tube" by
    ``tube``. ``contrast``, ``teacher`` and ``simulated`` are for model "tube", off by default.
    ``more_files`` are annotation files whose clips are learned from, too: all of them, or those of
    a split that is named behind a "#".
    """

    data: DataConfig
    optim: OptimConfig
    model: ModelName = "ssl"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    tube: TubeConfig = field(default_factory=TubeConfig)
    stgcn: StgcnConfig = field(default_factory=StgcnConfig)
    protogcn: ProtogcnConfig = field(default_factory=ProtogcnConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)
    more_files: tuple[str, ...] = ()
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        if self.model not in PRETRAINED_MODELS:
            raise ValueError(f"model: {self.model!r} has no pre-training; expected 'ssl' or 'tube'")
        self.optim.expect_no_head()
        if self.contrast.weight and (self.model != "tube" or self.optim.batch_size < 2):
            raise ValueError(
                "contrast.weight: expected model 'tube' and an optim.batch_size of 2 or more, got "
                f"{self.model!r} and {self.optim.batch_size}"
            )
        for section, is_on in (("teacher.weight", self.teacher.weight),
                               ("simulated.file", self.simulated.file)):  # fmt: skip
            if is_on and self.model != "tube":
                raise ValueError(f"{section}: expected model 'tube' with it, got {self.model!r}")
        if self.teacher.weight and not self.contrast.reconstruct:
            raise ValueError(
                "teacher.weight: expected contrast.reconstruct true with it, got false: what is "
                "predicted are the tubes that are hidden there"
            )
        if not (self.mask.position_weight or self.mask.motion_weight or self.teacher.weight):
            raise ValueError(
                "mask.position_weight: expected a loss for what is hidden, got 0 for positions, "
                "motion and teacher.weight"
            )
        if self.simulated.file and self.preprocess.layout != "coco_17":
            raise ValueError(
                "simulated.file: expected preprocess.layout 'coco_17' with it, got "
                f"{self.preprocess.layout!r}"
            )
        parts = self.preprocess.keypoint_layout.parts
        if not set(self.mask.parts) < set(parts):
            raise ValueError(
                f"mask.parts: expected some of {', '.join(parts)}, not all, got "
                f"{', '.join(self.mask.parts)}"
            )
        if self.mask.max_parts >= len(parts):
            raise ValueError(
                f"mask.max_parts: expected at most {len(parts) - 1}, of {len(parts)} parts one "
                f"stays, got {self.mask.max_parts}"
            )
        step = math.prod(self.tube.strides)
        if self.model == "tube" and self.preprocess.clip_len % step:
            raise ValueError(
                f"preprocess.clip_len: expected a multiple of {step}, the product of tube.strides, "
                f"got {self.preprocess.clip_len}"
            )

    @property
    def network(self) -> NetworkConfig:
        """The section that describes the network."""
        return _network(self)


@dataclass(frozen=True)
class FinetuneConfig:
    """``skelact finetune``: a classifier, from a pre-trained encoder or random weights.

    ``model`` says which network: "ssl" is the paper's and is described by ``encoder`` and
    ``classifier``, the others by the section of their name.
    """

    data: DataConfig
    optim: OptimConfig
    model: ModelName = "ssl"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    tube: TubeConfig = field(default_factory=TubeConfig)
    stgcn: StgcnConfig = field(default_factory=StgcnConfig)
    protogcn: ProtogcnConfig = field(default_factory=ProtogcnConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    @property
    def network(self) -> NetworkConfig:
        """The section that describes the network."""
        return _network(self)


def _network(config: PretrainConfig | FinetuneConfig) -> NetworkConfig:
    section = "encoder" if config.model == "ssl" else config.model
    network: NetworkConfig = getattr(config, section)
    return network


ConfigKind = Literal["pretrain", "finetune", "distill", "train_pose", "train_flight"]


def check_seed(seed: int, name: str = "seed") -> None:
    """Check a seed of random numbers, which an error calls ``name``.

    Raises:
        SkelactError: if it is no whole number from 0 to 2^32 - 1, which NumPy and PyTorch both
            take.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise SkelactError(f"{name}: expected a whole number from 0 to {2**32 - 1}, got {seed!r}")


def shipped_configs(kind: ConfigKind) -> dict[str, Path]:
    """Return the shipped configs of a kind, by name."""
    return {
        path.stem.removeprefix(f"{kind}_"): path
        for path in sorted(_CONFIG_FOLDER.glob(f"{kind}_*.yaml"))
    }


def shipped_corrections() -> dict[str, Path]:
    """Return the shipped corrections of hand labels, by name."""
    return {path.stem: path for path in sorted((_CONFIG_FOLDER / "people").glob("*.yaml"))}


def load_config(
    cls: type[C],
    name: str | Path,
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
    shipped = shipped_configs(kind)
    path = shipped.get(str(name), Path(name))
    if not path.is_file():
        if new := _RENAMED_CONFIGS.get(f"{kind}_{name}"):
            raise SkelactError(f"the {kind} config {str(name)!r} is superseded by {new!r}")
        if f"{kind}_{name}" in _POSE_CONFIGS:
            raise SkelactError(
                f"the distill config {str(name)!r} is gone: pose models are trained with `skelact "
                f"train-pose`, and `skelact distill` trains {', '.join(shipped)}"
            )
        raise SkelactError(
            f"no {kind} config {str(name)!r}: expected a YAML file or one of {', '.join(shipped)}"
        )
    values = read_yaml(path)
    for text in overrides:
        values = merge(values, parse_override(text))
    where = f"{path} with --set {' '.join(overrides)}" if overrides else str(path)
    return build_config(cls, values, where)


def load_label_names(name: str) -> tuple[str, ...]:
    """Return the class names of a shipped list (configs/labels).

    Raises:
        SkelactError: for an unknown list.
    """
    lists = _label_lists()
    if name not in lists:
        raise SkelactError(f"no list of labels called {name!r}; known: {', '.join(lists)}")
    return tuple(map(str, read_yaml(lists[name])["names"]))


def _label_lists() -> dict[str, Path]:
    """Return the shipped lists of class names, by name."""
    return {path.stem: path for path in sorted((_CONFIG_FOLDER / "labels").glob("*.yaml"))}
