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

from .. import SkelactError, __version__
from .cache import atomic_write
from .device import choose_device, default_threads, fastest_dtype
from .lite_hrnet import LiteHRNet
from .weights import WeightsError, sha256_of

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

FORMAT_VERSION = 1
StudentKind = Literal["pose", "finder", "aligner"]
# Mean and standard deviation of the input, RGB.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SlimHRNet:
    """Shape of the backbone.

    Attributes:
        width: Channels of the finest branch; each coarser one has twice as many.
        blocks: Basic blocks per branch and module.
        modules: Modules of stages 2, 3 and 4.
        bottleneck: Channels inside the one bottleneck block of stage 1.
    """

    width: int = 16
    blocks: int = 2
    modules: tuple[int, int, int] = (1, 2, 1)
    bottleneck: int = 16

    def backbone(self) -> dict[str, Any]:
        """Return MMPose's config of the backbone; it gives (N, width, H / 4, W / 4)."""
        stages: dict[str, Any] = {
            "stage1": {
                "num_modules": 1,
                "num_branches": 1,
                "block": "BOTTLENECK",
                "num_blocks": (1,),
                "num_channels": (self.bottleneck,),
            }
        }
        for stage, modules in enumerate(self.modules, start=2):
            stages[f"stage{stage}"] = {
                "num_modules": modules,
                "num_branches": stage,
                "block": "BASIC",
                "num_blocks": (self.blocks,) * stage,
                "num_channels": tuple(self.width * 2**branch for branch in range(stage)),
            }
        # MMPose's own start, tiny weights everywhere, learns more slowly from nothing.
        init = [
            {"type": "Kaiming", "layer": ["Conv2d"]},
            {"type": "Constant", "val": 1, "layer": ["_BatchNorm"]},
        ]
        return {"type": "HRNet", "in_channels": 3, "extra": stages, "init_cfg": init}

    def pose_config(self, input_wh: tuple[int, int]) -> dict[str, Any]:
        """Return the config of a top-down pose net on this backbone, as ``PoseEstimator`` reads it.

        Args:
            input_wh: Width and height of the crops, multiples of 32.
        """
        width, height = input_wh
        codec = {
            "type": "UDPHeatmap",
            "input_size": (width, height),
            "heatmap_size": (width // 4, height // 4),
            "sigma": heatmap_sigma(input_wh),
        }
        model = {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {
                "type": "PoseDataPreprocessor",
                "mean": list(PIXEL_MEAN),
                "std": list(PIXEL_STD),
                "bgr_to_rgb": True,
            },
            "backbone": self.backbone(),
            "head": {
                "type": "HeatmapHead",
                "in_channels": self.width,
                "out_channels": 17,
                "deconv_out_channels": None,
                "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
                "decoder": codec,
            },
            "test_cfg": {"flip_mode": "heatmap", "shift_heatmap": False},
        }
        return {"model": model, "codec": codec, "padding": 1.25, "use_udp": True}


@dataclass(frozen=True)
class RTMDetShape:
    """Shape of an ``RTMDetNano``.

    Attributes:
        rtmdet_width: Channels after the stem; every later number follows from it.
    """

    rtmdet_width: int = 16


NetworkShape = SlimHRNet | LiteHRNet | RTMDetShape
# A setting by which a shape is told from the others; a slim HRNet has none of them.
_SHAPES: dict[str, type[LiteHRNet | RTMDetShape]] = {
    "lite_depth": LiteHRNet,
    "rtmdet_width": RTMDetShape,
}


def heatmap_sigma(input_wh: tuple[int, int]) -> float:
    """Return the spread of a keypoint's heatmap, in its pixels: 2 at 256x192, less below."""
    return 2.0 if input_wh[1] >= 256 else 1.5


@dataclass(frozen=True)
class StudentMeta:
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

    kind: StudentKind
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


def is_student(name: str) -> bool:
    """Return whether a name on the command line, or of a file, is one of a student's pair."""
    return name.endswith((".safetensors", ".json"))


def weights_name(name: str) -> str:
    """Return a name on the command line with a pair's JSON replaced by its weights."""
    return str(Path(name).with_suffix(".safetensors")) if name.endswith(".json") else name


def save_student(path: Path, module: nn.Module, meta: StudentMeta) -> Path:
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


def read_student(path: Path, kind: StudentKind | None = None) -> StudentMeta:
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
        meta = StudentMeta(network=network, input_wh=(width, height), **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{info}: expected a network's description, got {error!r}") from None
    if sha256_of(weights) != meta.weights_sha256:
        raise WeightsError(f"{weights} does not belong to {info}: its hash is another")
    return meta


def load_weights(path: Path, module: nn.Module) -> None:
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


class StudentRunner:
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

        load_weights(path, module)
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
