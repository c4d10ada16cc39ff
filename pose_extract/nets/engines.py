"""What runs a network: PyTorch, ONNX Runtime or OpenVINO, behind one protocol.

Each takes images as they are and gives the network's outputs. On a processor all compute in
float32 unless another precision is asked for, so that they differ in rounding alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ... import SkelactError
from ..common.device import (
    EngineName,
    Precision,
    choose_device,
    default_threads,
    fastest_dtype,
)
from .cuda_graphs import CUDAGraphCapture, GraphedNetwork, Run
from .onnx_files import open_session

# Images that ONNX Runtime is given at a time: the features of more do not fit the processor's
# cache. Chosen with ``benchmarks/engines.py speed``.
MOST_AT_ONCE = 4


class Engine(Protocol):
    """Runs a network; what it gives for an image does not depend on the images beside it."""

    name: str

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the network's outputs, each (N, ...) float32.

        Args:
            images: (N, h, w, 3) uint8 RGB.
        """
        ...


@runtime_checkable
class StartingEngine(Engine, Protocol):
    """An engine that need not be waited for."""

    def start(self, images: np.ndarray) -> Callable[[], list[np.ndarray]]:
        """Begin to run images (N, h, w, 3) uint8; return what waits for the outputs."""
        ...


class EngineSource(Protocol):
    """Where the engines of networks come from.

    Attributes:
        is_local: Whether they run in this process, on whose device frames can be held then.
    """

    is_local: bool

    def engine(self, network: ImageNetwork, options: EngineOptions) -> Engine:
        """Return the engine that runs a network; see ``choose_engine``."""
        ...

    def device(self, options: EngineOptions) -> torch.device:
        """Return the device that networks run on; this process need not have it."""
        ...

    def device_name(self, options: EngineOptions) -> str:
        """Return what networks run on, as its maker calls it."""
        ...


@dataclass(frozen=True)
class EngineOptions:
    """How networks are run.

    Attributes:
        engine: "pytorch", "onnxruntime", "openvino", or "auto": on a processor the fastest, else
            PyTorch with CUDA graphs.
        precision: "fp32", "bf16", "fp16", or "auto": fp16 on CUDA, fp32 on a processor, where bf16
            moves keypoints (``benchmarks/engines.py precision``).
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: Threads on a processor; 0 takes the free cores.
    """

    engine: EngineName = "auto"
    precision: Precision = "auto"
    device: str = "auto"
    num_threads: int = 0

    @property
    def threads(self) -> int:
        """Threads on a processor."""
        return self.num_threads or default_threads()

    def chosen_device(self) -> torch.device:
        """Return the device.

        Raises:
            SkelactError: if the machine does not have it, or the engine does not run there.
        """
        device = choose_device(self.device)
        if device.type != "cpu" and self.engine not in ("auto", "pytorch"):
            raise SkelactError(
                f"engine: expected auto or pytorch on {device}, got {self.engine}; the others run "
                "on processors, with --device cpu"
            )
        return device

    def dtype(self, device: torch.device | None = None) -> torch.dtype:
        """Return the number format of the arithmetic, on the chosen device or another one."""
        if self.precision == "auto":
            return fastest_dtype(device or self.chosen_device())
        formats = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        return formats[self.precision]


class ImageNetwork(nn.Module):
    """A network that takes images as they are: what engines run.

    Args:
        network: Takes (N, 3, h, w) float32, normalised, and gives a tensor or several.
        mean: Of the three channels, in the network's order, of values 0 to 255.
        std: Their standard deviation.
        reverse: The network takes BGR.
        input_hw: Height and width of the images, multiples of which ``any_size`` lets through.
        any_size: Images may have other sizes.

    Attributes:
        dtype: The number format of the weights; see :meth:`with_dtype`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: Callable[[Tensor], Tensor | Sequence[Tensor]],
        mean: Sequence[float],
        std: Sequence[float],
        *,
        input_hw: tuple[int, int],
        reverse: bool = False,
        any_size: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.dtype = torch.float32
        self.reverse = reverse
        self.input_hw = input_hw
        self.any_size = any_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for images (N, h, w, 3) uint8 RGB."""
        x = images.permute(0, 3, 1, 2).float()
        if self.reverse:
            x = x.flip(1)
        x = ((x - self.mean) / self.std).to(self.dtype)
        out = self.network(x.contiguous(memory_format=torch.channels_last))
        return (out,) if isinstance(out, Tensor) else tuple(out)

    def with_dtype(self, dtype: torch.dtype) -> ImageNetwork:
        """Return this network with weights of a number format; images are normalised in float32.

        Another format is that of a copy: autocast would cast the weights at each call.
        """
        if dtype == self.dtype:
            return self
        result = copy.deepcopy(self)
        cast(nn.Module, result.network).to(dtype)
        result.dtype = dtype
        return result

    def example(self, count: int) -> np.ndarray:
        """Return images (count, h, w, 3) uint8 of noise, always the same."""
        shape = (count, *self.input_hw, 3)
        return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


class PyTorchEngine:
    """PyTorch, on a processor; see :class:`CUDAEngine`.

    Args:
        network: The network, on the CPU and in evaluation.
        options: How it is run.
    """

    name = "pytorch"

    def __init__(self, network: ImageNetwork, options: EngineOptions) -> None:
        self._device = options.chosen_device()
        torch.set_num_threads(options.threads)
        # torch does not declare the memory format.
        module: Any = network.with_dtype(options.dtype())
        self._network = module.to(self._device, memory_format=torch.channels_last)
        self._run: Run = self._outputs

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See :class:`Engine`."""
        return [output.numpy() for output in self.on_device(torch.from_numpy(images))]

    def on_device(self, images: Tensor) -> list[Tensor]:
        """Return the outputs, each (N, ...) float32, of images (N, h, w, 3) uint8 on the device."""
        with torch.inference_mode():
            return self._run(images)

    def _outputs(self, images: Tensor) -> list[Tensor]:
        return [output.float() for output in self._network(images)]


class CUDAEngine(PyTorchEngine):
    """PyTorch, on a GPU.

    The engine "auto" launches the network's kernels as CUDA graphs, "pytorch" one by one.

    Args:
        network: The network, in evaluation.
        options: How it is run.
    """

    def __init__(self, network: ImageNetwork, options: EngineOptions) -> None:
        super().__init__(network, options)
        if options.engine == "auto":
            self._run = GraphedNetwork(self._outputs, CUDAGraphCapture())

    def _outputs(self, images: Tensor) -> list[Tensor]:
        # A GPU turns channels_last memory around sooner than the processor would.
        return [output.contiguous() for output in super()._outputs(images)]

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See :class:`Engine`."""
        return self.start(images)()

    def start(self, images: np.ndarray) -> Callable[[], list[np.ndarray]]:
        """Let the GPU begin, and return what waits for the outputs.

        Args:
            images: (N, h, w, 3) uint8 RGB; they may be written to again at once.
        """
        # Copies from and to pinned memory do not wait for the GPU. PyTorch keeps what is freed of
        # it, and knows which copies still read it.
        sent = torch.empty(images.shape, dtype=torch.uint8, pin_memory=True)
        sent.copy_(torch.from_numpy(images))
        found = self.on_device(sent.to(self._device, non_blocking=True))
        received = [torch.empty_like(output, device="cpu", pin_memory=True) for output in found]
        for copied, output in zip(received, found):
            copied.copy_(output, non_blocking=True)
        done = torch.cuda.Event(blocking=True)  # others need the core that waits
        done.record(torch.cuda.current_stream(self._device))

        def outputs() -> list[np.ndarray]:
            done.synchronize()
            return [copied.numpy() for copied in received]

        return outputs


def pytorch_engine(network: ImageNetwork, options: EngineOptions) -> PyTorchEngine:
    """Return PyTorch on the chosen device."""
    is_on_gpu = options.chosen_device().type == "cuda"
    return (CUDAEngine if is_on_gpu else PyTorchEngine)(network, options)


class ONNXRuntimeEngine:
    """ONNX Runtime, on a processor, in float32.

    Args:
        path: The ONNX file.
        options: How it is run.

    Raises:
        SkelactError: if the file cannot be read, or another precision is asked for.
    """

    name = "onnxruntime"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        if options.dtype() != torch.float32:
            raise SkelactError(
                f"engine: onnxruntime computes in fp32, got the precision {options.precision}; "
                "take another engine, or --precision fp32"
            )
        self._session = open_session(path, options.threads)

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See :class:`Engine`."""
        parts = [
            self._session.run(None, {"images": images[start : start + MOST_AT_ONCE]})
            for start in range(0, len(images), MOST_AT_ONCE)
        ]
        return [np.concatenate(outputs) for outputs in zip(*parts)]


class OpenVINOEngine:
    """OpenVINO, on a processor.

    Args:
        path: The ONNX file.
        options: How it is run.

    Raises:
        SkelactError: if OpenVINO is missing, or fp16 is asked for.
    """

    name = "openvino"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        try:
            import openvino
        except ImportError:
            raise SkelactError(
                "engine: openvino is not installed; install it with: pip install openvino"
            ) from None
        dtype = options.dtype()
        if dtype == torch.float16:
            raise SkelactError("engine: openvino computes in fp32 or bf16, got the precision fp16")
        self._network = openvino.Core().compile_model(
            str(path),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": options.threads,
                "INFERENCE_PRECISION_HINT": "f32" if dtype == torch.float32 else "bf16",
            },
        )

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See :class:`Engine`."""
        # The arrays of one call are filled anew by the next.
        return [np.array(output) for output in self._network(images).values()]
