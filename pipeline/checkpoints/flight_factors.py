"""The network that reads flights as a model file: what stands in it, and the network inside."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import SkelactError, __version__
from ...pose_extract.common.plain import build_config
from ...pose_extract.layout import COCO_17
from ...pose_extract.weights.bundle import (
    FORMAT_VERSION,
    bundle_pair,
    load_bundle_weights,
    read_meta,
    save_pair,
)
from ..network_config import FlightNetConfig

if TYPE_CHECKING:
    from ...models.flight import FlightFactorNet

_KIND = "flight_factors"
# The same numbers in the windows of ``elements.flight_window``: more would fill the memory.
_MAX_CHANNELS = 64


@dataclass(frozen=True)
class FlightFactorsMeta:
    """What stands beside the weights.

    Attributes:
        network: Shape of the network.
        channels, num_facts: What its windows hold: numbers of each joint, and of the flight.
        config: The whole resolved training config.
        data: What it was trained on.
        seed: Seed of the run.
        figures: What was measured on simulated flights that it was not trained on.
        kind: "flight_factors".
        skelact_version: Version that wrote it.
        weights_sha256: Hash of the weights file.
        format_version: Version of this format.
    """

    network: FlightNetConfig
    channels: int
    num_facts: int
    config: dict[str, Any]
    data: dict[str, Any]
    seed: int
    figures: dict[str, Any]
    kind: str = _KIND
    skelact_version: str = __version__
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.kind != _KIND:
            raise ValueError(f"expected a network of kind {_KIND!r}, got {self.kind!r}")
        for name in ("channels", "num_facts"):
            if not 1 <= getattr(self, name) <= _MAX_CHANNELS:
                raise ValueError(f"{name}: expected 1 to {_MAX_CHANNELS}")


def build_flight_net(network: FlightNetConfig, channels: int, num_facts: int) -> FlightFactorNet:
    """Build the network with random weights."""
    from ...models.flight import FlightFactorNet

    shape = dataclasses.asdict(network)
    return FlightFactorNet(COCO_17, in_channels=channels, num_facts=num_facts, **shape)


def save_flight_net(path: str | Path, net: FlightFactorNet, meta: FlightFactorsMeta) -> Path:
    """Write the pair of files, weights in half precision, and return the path of the JSON."""
    return save_pair(path, net, dataclasses.asdict(meta), "all")


def load_flight_net(path: str | Path) -> tuple[FlightFactorNet, FlightFactorsMeta]:
    """Load the network, in eval mode on the CPU.

    Raises:
        SkelactError: if it is missing, damaged, or of another kind.
    """
    _, info = bundle_pair(path)

    if not info.is_file():
        raise SkelactError(f"no network of flights at {info}: expected a .json and .safetensors")
    meta = read_meta(info, lambda values: build_config(FlightFactorsMeta, values, "top level"))
    net = build_flight_net(meta.network, meta.channels, meta.num_facts)
    load_bundle_weights(info, net)
    return net.eval(), meta
