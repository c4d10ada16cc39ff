"""Model files: NAME.safetensors with the weights and NAME.json with everything else.

All our networks are written and read here: exported bundles (detector, pose model), and the
checkpoints of classifiers and masked autoencoders. The JSON names the hash of its weights, so
that two files which do not belong together are noticed. Nothing is executed when they are read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ... import SkelactError, __version__
from ..common.files import atomic_write, sha256_of
from ..common.plain import build_config, parse_json, read_text, shown
from ..common.text import one_line
from ..nets.lite_hrnet import LiteHRNet
from ..nets.shapes import NetworkShape, RTMDetShape
from .table import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn


FORMAT_VERSION = 2

# Which weights are stored in half precision. "kernels" are those of convolutions: statistics of the
# batch normalisation stay exact, they are few and variances may be tiny.
Half = Literal["none", "kernels", "all"]

BundleKind = Literal["pose", "detector"]

M = TypeVar("M")

_SHAPES: dict[str, type[NetworkShape]] = {
    "rtmdet": RTMDetShape,
    "lite_hrnet": LiteHRNet,
}
# Kinds and networks of bundles that earlier versions ran.
_RUN_NO_MORE = ("aligner", "slim_hrnet")
# Sides of a network's input in pixels: the coarsest stride of the detector, and more than any
# published pose model or detector takes.
_LEAST_SIDE, _MOST_SIDE = 32, 2048
_TYPES = {shape: name for name, shape in _SHAPES.items()}


def bundle_pair(path: str | Path) -> tuple[Path, Path]:
    """Return the paths of the weights and of the JSON, from either of them or their common stem."""
    path = Path(path)
    # Not with_suffix on any path: a name such as run.1 has no suffix to replace.
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    return stem.with_name(f"{stem.name}.safetensors"), stem.with_name(f"{stem.name}.json")


def save_pair(
    path: str | Path,
    module: nn.Module,
    values: Mapping[str, Any],
    half: Half = "none",
    exact: str = "",
) -> Path:
    """Write weights and JSON. The JSON comes last, so that a pair is whole or does not count.

    Args:
        path: Path of either file.
        module: The network whose weights are written.
        values: What the JSON says; ``weights_sha256`` and ``format_version`` are filled in.
        half: Which weights are stored in half precision.
        exact: Start of the names of weights that are stored as they are; "" for none.

    Returns:
        Path of the JSON.
    """
    from safetensors.torch import save_file

    weights, info = bundle_pair(path)
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        is_half = half == "all" or (half == "kernels" and tensor.dim() == 4)
        is_half &= not (exact and name.startswith(exact))
        stored = tensor.half() if is_half and tensor.is_floating_point() else tensor
        tensors[name] = stored.detach().cpu().contiguous().clone()
    info.unlink(missing_ok=True)
    with atomic_write(weights) as temporary:
        save_file(tensors, temporary)
    known = {"weights_sha256": sha256_of(weights), "format_version": FORMAT_VERSION}
    text = json.dumps({**values, **known}, indent=1, ensure_ascii=False)
    with atomic_write(info) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")
    return info


def read_meta(info: Path, build: Callable[[dict[str, Any]], M], text: str | None = None) -> M:
    """Return what a model file's JSON says.

    Args:
        info: Path of the JSON, or of the file that holds ``text``.
        build: Makes the result of the JSON's values, whose ``format_version`` is 1 or the present
            one.
        text: The JSON, where it does not lie at ``info``.

    Raises:
        WeightsError: if the JSON is missing, damaged, of a later version or does not fit ``build``.
    """
    try:
        values = parse_json(read_text(info) if text is None else text, "text")
        version = values["format_version"]
        if type(version) is not int or version not in range(1, FORMAT_VERSION + 1):
            raise WeightsError(
                f"{info}: expected format_version 1 to {FORMAT_VERSION}, got {shown(version)}; is "
                "it from a later version?"
            )
        return build(values)
    except WeightsError:
        raise
    except (SkelactError, ValueError, TypeError, KeyError, AttributeError) as error:
        found = str(error) if isinstance(error, SkelactError) else one_line(repr(error))
        raise WeightsError(
            f"{info}: expected the JSON of a model file of skelact {__version__} or earlier; "
            f"{found}"
        ) from None


def check_weights(info: Path, sha256: str) -> None:
    """Check that the weights beside a JSON are those whose hash it names.

    Raises:
        WeightsError: if they are missing or others.
    """
    weights, _ = bundle_pair(info)
    if not weights.is_file():
        raise WeightsError(f"{info}: its weights {weights} are missing")
    found = sha256_of(weights)
    if found != sha256:
        raise WeightsError(
            f"{weights}: expected the weights with sha256 {sha256[:12]} that {info.name} names, "
            f"got {found[:12]}; the two files do not belong together"
        )


def weight_names(path: str | Path) -> tuple[str, ...]:
    """Return the names of the weights of a pair; reads the header of their file alone.

    Raises:
        WeightsError: if they are missing or damaged.
    """
    from safetensors import safe_open

    weights, _ = bundle_pair(path)
    try:
        with safe_open(weights, framework="pt") as file:
            return tuple(file.keys())
    # Damaged headers raise errors of safetensors and of Rust's conversions.
    except Exception as error:
        raise WeightsError(f"{weights}: the weights cannot be read: {one_line(error)}") from None


def load_bundle_weights(path: str | Path, module: nn.Module) -> None:
    """Load the weights of a pair into their network; half precision widens to the network's own.

    Raises:
        WeightsError: if the pair does not belong together, or its weights do not fit the network.
    """
    from safetensors.torch import load_file

    weights, info = bundle_pair(path)
    check_weights(info, read_meta(info, lambda values: str(values["weights_sha256"])))
    try:
        module.load_state_dict(load_file(weights))
    # Damaged headers raise errors of safetensors, of Rust's conversions and of torch.
    except Exception as error:
        raise WeightsError(
            f"{weights}: the weights do not fit their JSON: {one_line(error)}"
        ) from None
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{weights}: expected finite weights, {name} has NaN or inf")


@dataclass(frozen=True)
class BundleMeta:
    """What an exported bundle's JSON says.

    Attributes:
        kind: "pose" or "detector".
        input_wh: Width and height of the input.
        network: Shape of the network; in the JSON with its ``type``: "rtmdet" or "lite_hrnet".
        config: The whole resolved training config.
        data: What it was trained on: frames, people, teachers.
        seed: Seed of the run.
        figures: What was measured on held-out frames.
        skelact_version: Version that wrote it.
        weights_sha256: Hash of the weights file.
        format_version: Version of this format.
    """

    kind: BundleKind
    input_wh: tuple[int, int]
    network: NetworkShape
    config: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    skelact_version: str = __version__
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not all(_LEAST_SIDE <= side <= _MOST_SIDE for side in self.input_wh):
            raise ValueError(
                f"input_wh: expected sides of {_LEAST_SIDE} to {_MOST_SIDE}, got {self.input_wh}"
            )

    def shape(self, *expected: type) -> Any:
        """Return the network's shape.

        Raises:
            WeightsError: if it is none of those expected.
        """
        if not isinstance(self.network, expected):
            names = " or ".join(cls.__name__ for cls in expected)
            raise WeightsError(f"a {self.kind}: expected {names}, got {self.network}")
        return self.network


def is_bundle(name: str | Path) -> bool:
    """Return whether a name on the command line, or of a file, is one of a bundle's pair."""
    return str(name).endswith((".safetensors", ".json"))


def bundle_weights(name: str) -> str:
    """Return a name on the command line with a bundle's JSON replaced by its weights."""
    return str(Path(name).with_suffix(".safetensors")) if name.endswith(".json") else name


def save_bundle(path: str | Path, module: nn.Module, meta: BundleMeta) -> Path:
    """Write an exported bundle, kernels in half precision, and return the path of its JSON."""
    values = dataclasses.asdict(meta)
    values["network"] = {"type": _TYPES[type(meta.network)], **values["network"]}
    return save_pair(path, module, values, half="kernels")


def read_bundle(path: str | Path, kind: BundleKind | None = None) -> BundleMeta:
    """Read an exported bundle's JSON.

    Args:
        path: Path of either file of the pair.
        kind: Kind that it has to be; None takes any.

    Raises:
        WeightsError: if the pair is missing, damaged, does not belong together or is of another
            kind.
    """
    _, info = bundle_pair(path)
    if not info.is_file():
        raise WeightsError(f"no file {info}: a bundle is a pair of .safetensors and .json")

    def build(values: dict[str, Any]) -> BundleMeta:
        values = _upgrade(values)
        network = dict(values["network"])
        kind_of_network = network.pop("type")
        for found in (values["kind"], kind_of_network):
            if found in _RUN_NO_MORE:
                raise WeightsError(f"{info}: this version no longer runs {found!r} networks")
        if kind_of_network not in _SHAPES:
            raise SkelactError(
                f"network: expected {', '.join(_SHAPES)}, got {shown(kind_of_network)}"
            )
        shape = build_config(_SHAPES[kind_of_network], network, "network")
        return build_config(BundleMeta, values | {"network": shape}, "top level")

    meta = read_meta(info, build)
    if kind not in (None, meta.kind):
        raise WeightsError(f"{info}: expected a network of kind {kind!r}, got {meta.kind!r}")
    check_weights(info, meta.weights_sha256)
    return meta


def _upgrade(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a bundle's JSON of version 1 as version 2 says them."""
    if values["format_version"] != 1:
        return dict(values)
    network = dict(values["network"])
    if "rtmdet_width" in network:
        network = {"type": "rtmdet", "width": network["rtmdet_width"]}
    elif "lite_depth" in network:
        network = {"type": "lite_hrnet", "depth": network["lite_depth"]}
    else:
        network = {"type": "slim_hrnet", **network}
    kind = "detector" if values["kind"] == "finder" else values["kind"]
    # The record of the training stays as it was written.
    return {**values, "kind": kind, "network": network, "format_version": FORMAT_VERSION}
