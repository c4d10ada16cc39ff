"""Our own small networks, and the pairs of files that hold them: NAME.safetensors and NAME.json.

Slim HRNets (Sun et al., CVPR 2019), built by MMPose: plain convolutions at an eighth of the
published width run several times as fast on a processor as Lite-HRNet's many small operations.
Those that follow a teacher's features have its shape. Nothing is executed when a pair is read.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ... import SkelactError, __version__
from ..common.device import choose_device, default_threads, fastest_dtype
from ..common.files import atomic_write, sha256_of
from ..nets.lite_hrnet import LiteHRNet
from ..nets.shapes import PIXEL_MEAN, PIXEL_STD, NetworkShape, RTMDetShape, SlimHRNet
from .table import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


FORMAT_VERSION = 1


BundleKind = Literal["pose", "finder", "aligner"]


# A setting by which a shape is told from the others; a slim HRNet has none of them.
_SHAPES: dict[str, type[LiteHRNet | RTMDetShape]] = {
    "lite_depth": LiteHRNet,
    "rtmdet_width": RTMDetShape,
}


@dataclass(frozen=True)
class BundleMeta:
    """What stands beside a student's weights.

    Attributes:
        kind: "pose", "finder" or "aligner".
        input_wh: Width and height of the input.
        network: Shape of the backbone.
        config: The whole resolved training config.
        data: What it was taught from: frames, people, teachers.
        seed: Seed of the run.
        figures: What was measured on frames that it was not taught on, against the teachers.
        skelact_version: Version that wrote it.
        weights_sha256: Hash of the weights file.
        format_version: Version of this form.
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

    def shape(self, *expected: type) -> Any:
        """Return the network's shape.

        Raises:
            WeightsError: if it is none of those expected.
        """
        if not isinstance(self.network, expected):
            names = " or ".join(cls.__name__ for cls in expected)
            raise WeightsError(f"a {self.kind}: expected {names}, got {self.network}")
        return self.network


def is_bundle(name: str) -> bool:
    """Return whether a name on the command line, or of a file, is one of a student's pair."""
    return name.endswith((".safetensors", ".json"))


def bundle_weights(name: str) -> str:
    """Return a name on the command line with a pair's JSON replaced by its weights."""
    return str(Path(name).with_suffix(".safetensors")) if name.endswith(".json") else name


def save_bundle(path: Path, module: nn.Module, meta: BundleMeta) -> Path:
    """Write the pair, kernels in half precision; the JSON comes last.

    Args:
        path: Path of either file of the pair.
        module: Whose weights to write.
        meta: What to write beside them.

    Returns:
        Path of the JSON.
    """
    from safetensors.torch import save_file

    weights, info = path.with_suffix(".safetensors"), path.with_suffix(".json")
    tensors = {}
    for name, tensor in module.state_dict().items():
        # Statistics of the normalisation stay exact: they are few, and variances may be tiny.
        small = tensor.half() if tensor.dim() == 4 else tensor
        tensors[name] = small.detach().cpu().contiguous().clone()
    info.unlink(missing_ok=True)
    with atomic_write(weights) as temporary:
        save_file(tensors, temporary)
    values = dataclasses.asdict(dataclasses.replace(meta, weights_sha256=sha256_of(weights)))
    with atomic_write(info) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return info


def read_bundle(path: Path, kind: BundleKind | None = None) -> BundleMeta:
    """Read what stands beside a student's weights.

    Args:
        path: Path of either file of the pair.
        kind: What it has to be; None takes any.

    Raises:
        WeightsError: if the pair is missing, of another kind or form, or does not belong together.
    """
    weights, info = path.with_suffix(".safetensors"), path.with_suffix(".json")
    for file in (weights, info):
        if not file.is_file():
            raise WeightsError(f"no file {file}; a network is a pair of .safetensors and .json")
    try:
        values = json.loads(info.read_text(encoding="utf-8"))
        found, version = values["kind"], values["format_version"]
        if version != FORMAT_VERSION:
            raise WeightsError(f"{info}: expected format_version {FORMAT_VERSION}, got {version}")
        if found != (kind or found):
            raise WeightsError(f"{info}: expected a network of kind {kind!r}, got {found!r}")
        shape: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else int(value)
            for name, value in values.pop("network").items()
        }
        width, height = map(int, values.pop("input_wh"))
        network = next((cls for key, cls in _SHAPES.items() if key in shape), SlimHRNet)(**shape)
        meta = BundleMeta(network=network, input_wh=(width, height), **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{info}: expected a network's description, got {error!r}") from None
    if sha256_of(weights) != meta.weights_sha256:
        raise WeightsError(f"{weights} does not belong to {info}: its hash is another")
    return meta


def load_bundle_weights(path: Path, module: nn.Module) -> None:
    """Load a student's weights into its network.

    Raises:
        SkelactError: if they do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path.with_suffix(".safetensors")))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise SkelactError(f"{path}: the weights do not fit their description: {error}") from None


class BundleNetwork:
    """A student's network, ready to be fed pictures.

    Args:
        path: Path of either file of the pair, for its weights.
        module: Its network.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads on the CPU; 0 takes the free cores.
    """

    def __init__(self, path: Path, module: nn.Module, device: str, num_threads: int) -> None:
        import torch
        from mmcv.cnn.utils import fuse_conv_bn

        load_bundle_weights(path, module)
        self.device = choose_device(device)
        self._dtype = fastest_dtype(self.device)
        torch.set_num_threads(num_threads or default_threads())
        self._mean = torch.tensor(PIXEL_MEAN, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(PIXEL_STD, device=self.device).view(1, 3, 1, 1)
        self._net = fuse_conv_bn(module.eval()).to(self.device, memory_format=torch.channels_last)

    def __call__(self, pictures: np.ndarray) -> Any:
        """Return what the network says of pictures (N, h, w, 3) uint8 RGB.

        In half precision where the device is fast with it, which moves boxes by less than a pixel.
        """
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float()
            x = ((x - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self._dtype, self._dtype != torch.float32):
                return self._net(x)
