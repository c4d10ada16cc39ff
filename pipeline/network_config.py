"""What a training config says of networks and masks; each section checks its own values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ..pose_extract.common.plain import shown


def expect(config: Any, name: str, holds: bool, expected: str) -> None:
    """Raise a ValueError that names a field of a config, unless something holds."""
    if not holds:
        raise ValueError(f"{name}: expected {expected}, got {shown(getattr(config, name))}")


def expect_at_least(config: Any, least: int, *names: str) -> None:
    """Raise a ValueError unless the fields are finite numbers and at least ``least``."""
    for name in names:
        expect(config, name, least <= getattr(config, name) < math.inf, f"at least {least}")


# The JSON of a checkpoint may say any numbers. A network within both bounds has at most 20 weights
# per layer and squared width (measured over all kinds), 1.3 GiB in float32; the largest of ours has
# six layers of 128 channels.
_MAX_LAYERS = 64
_MAX_LAYERS_TIMES_SQUARED_WIDTH = 1 << 24
# As wide as the widest layer may be.
_MOST_PROTOTYPES = math.isqrt(_MAX_LAYERS_TIMES_SQUARED_WIDTH)


def expect_room(layers: int, width: int) -> None:
    """Raise a ValueError if so many layers of so many channels would fill the memory."""
    if layers > _MAX_LAYERS or layers * width**2 > _MAX_LAYERS_TIMES_SQUARED_WIDTH:
        raise ValueError(
            f"expected at most {_MAX_LAYERS} layers, and layers x channels^2 of at most "
            f"{_MAX_LAYERS_TIMES_SQUARED_WIDTH}, got {layers} layers of {width} channels"
        )


@dataclass(frozen=True)
class EncoderConfig:
    """Model "ssl": the encoder that pre-training and classifier share; see ``SkeletonMAE``."""

    embed_dim: int = 64
    hidden_dim: int = 64
    encoder_depth: int = 3
    gnn: Literal["gin", "gcn", "gat"] = "gin"

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "embed_dim", "hidden_dim", "encoder_depth")
        expect_room(self.encoder_depth, max(self.embed_dim, self.hidden_dim))
        if self.gnn == "gat":  # a layer has four heads, see ``GATLayer``
            for name in ("embed_dim", "hidden_dim"):
                expect(self, name, getattr(self, name) % 4 == 0, "a multiple of 4 for gnn 'gat'")


@dataclass(frozen=True)
class TubeConfig:
    """Model "tube": the encoder that pre-training and classifier share; see ``TubeEncoder``."""

    widths: tuple[int, ...] = (64, 64, 96, 96, 128, 128)
    strides: tuple[int, ...] = (2, 1, 2, 1, 1, 1)
    num_heads: int = 8

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "num_heads")
        # Four branches over time and the heads share the channels.
        unit = math.lcm(4, self.num_heads)
        fits = bool(self.widths) and all(width > 0 and width % unit == 0 for width in self.widths)
        expect(self, "widths", fits, f"multiples of 4 and of num_heads={self.num_heads}")
        fits = len(self.strides) == len(self.widths) and min(self.strides) >= 1
        expect(self, "strides", fits, f"{len(self.widths)} whole numbers, one per width")
        expect_room(len(self.widths), max(self.widths))


@dataclass(frozen=True)
class StgcnConfig:
    """Model "stgcn", the supervised peer; see ``STGCNClassifier``."""

    base_width: int = 64

    def __post_init__(self) -> None:
        expect_at_least(self, 6, "base_width")  # six branches over time share the channels
        expect_room(10, 2 * self.base_width)  # ten layers, twice and four times as wide at the end


@dataclass(frozen=True)
class ProtogcnConfig:
    """Model "protogcn", the stronger supervised peer; see ``ProtoGCNClassifier``."""

    base_width: int = 96
    num_prototypes: int = 100
    contrast_weight: float = 0.2

    def __post_init__(self) -> None:
        # Eight groups of channels have an adjacency each.
        fits = self.base_width > 0 and self.base_width % 8 == 0
        expect(self, "base_width", fits, "a positive multiple of 8")
        fits = 1 <= self.num_prototypes <= _MOST_PROTOTYPES
        expect(self, "num_prototypes", fits, f"1 to {_MOST_PROTOTYPES}")
        # The cross-entropy begins near the logarithm of the number of classes, 2.7 for 15: with
        # more, the contrast alone would be learned.
        fits = 0 <= self.contrast_weight <= 100
        expect(self, "contrast_weight", fits, "0 to 100")
        expect_room(10, 2 * self.base_width)  # as in StgcnConfig


@dataclass(frozen=True)
class FlightNetConfig:
    """The network that reads flights; see ``FlightFactorNet``."""

    fold: int = 4
    widths: tuple[int, ...] = (64, 96, 128)
    strides: tuple[int, ...] = (1, 1, 1)
    num_heads: int = 8
    hidden: int = 128
    dropout: float = 0.1

    def __post_init__(self) -> None:
        TubeConfig(self.widths, self.strides, self.num_heads)
        expect_at_least(self, 1, "fold", "hidden")
        expect_room(1, self.hidden)
        expect(self, "dropout", 0 <= self.dropout < 1, "0 to below 1")


ModelName = Literal["ssl", "tube", "stgcn", "protogcn"]
NetworkConfig = EncoderConfig | TubeConfig | StgcnConfig | ProtogcnConfig
NETWORKS: dict[str, type[NetworkConfig]] = {
    "ssl": EncoderConfig,
    "tube": TubeConfig,
    "stgcn": StgcnConfig,
    "protogcn": ProtogcnConfig,
}
# Those that a masked autoencoder pre-trains.
PRETRAINED_MODELS = ("ssl", "tube")


@dataclass(frozen=True)
class MaskConfig:
    """What pre-training hides and how it is judged; see ``masking`` and ``losses`` in models.

    Attributes:
        kind: "part" hides whole body parts, "joint" random joints.
        tube_ratio: For model "tube": chance that a part (or joint) is hidden in a span of time.
        tube_frames: For model "tube": frames of a span.
        position_weight: For model "tube": weight of the positions' error.
        motion_weight: For model "tube": weight of the motion's error.
        by_motion: For model "tube": whether parts that move much are hidden rather than others; of
            each span ``tube_ratio`` of the parts then are.
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
    position_weight: float = 1.0
    motion_weight: float = 1.0
    by_motion: bool = False
    parts: tuple[str, ...] = ()
    min_parts: int = 1
    max_parts: int = 3
    joint_ratio: float = 0.5
    beta: float = 2.0
    loss_form: Literal["paper", "mean"] = "paper"
    detach_target: bool = True
    remask: bool = False
    decoder_depth: int = 1

    def __post_init__(self) -> None:
        for name in ("tube_ratio", "joint_ratio"):
            expect(self, name, 0 < getattr(self, name) < 1, "a share between 0 and 1")
        expect_at_least(self, 1, "tube_frames", "min_parts", "decoder_depth")
        expect_at_least(self, self.min_parts, "max_parts")
        expect_at_least(self, 0, "position_weight", "motion_weight")
        expect(self, "beta", 0 < self.beta < math.inf, "above 0")
        expect_room(self.decoder_depth, 1)


@dataclass(frozen=True)
class ClassifierConfig:
    """What the classifier adds to the encoder; see ``SSLClassifier``.

    ``missing`` says what a joint that was not seen is: "embedded" as the point (0, 0), or "mask" as
    the vector [MASK] that hid it in pre-training. Model "tube" takes ``dropout`` and ``pooling`` of
    it, see ``TubeClassifier``, the others nothing.
    """

    num_layers: int = 3
    combine: Literal["concat", "add"] = "concat"
    temporal: Literal["last", "every"] = "last"
    temporal_dim: int = 128
    dropout: float = 0.0
    streams: tuple[Literal["bone", "motion"], ...] = ()
    missing: Literal["embedded", "mask"] = "embedded"
    pooling: Literal["mean", "mean_std"] = "mean"

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "num_layers", "temporal_dim")
        expect_room(self.num_layers, self.temporal_dim)
        # Four branches over time share the channels, see ``MultiScaleTemporalConv``.
        expect(self, "temporal_dim", self.temporal_dim % 4 == 0, "a multiple of 4")
        expect(self, "dropout", 0 <= self.dropout < 1, "0 to below 1")
