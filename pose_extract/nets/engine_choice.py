"""Choose what runs a network on this machine, once, and remember it.

    ImageNetwork -> ONNX file in the user's cache -> engines that give what PyTorch gives
        -> the fastest of them, noted beside the file

A note holds for a processor and the releases of the engines, whatever the number of threads: how
many processes share a folder of clips must not change their skeletons.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ... import SkelactError
from ..common.files import atomic_write, cache_folder, locked
from ..common.text import one_line
from .engines import (
    Engine,
    EngineOptions,
    ImageNetwork,
    ONNXRuntimeEngine,
    OpenVINOEngine,
    PyTorchEngine,
    pytorch_engine,
)
from .notes import MachineNotes, processor_name, releases
from .onnx_files import write_onnx

# Outputs may differ from PyTorch's by this share of the largest one: what float32 adds up in
# another order differs by some 1e-6.
_TOLERANCE = 1e-4
# Goes up when networks are written as other files, so that those of earlier versions are not read.
_WRITTEN = 2
# Images that engines are compared on, and how often.
_COUNT, _ROUNDS = 8, 3
_OTHERS: dict[str, Callable[[Path, EngineOptions], Engine]] = {
    "onnxruntime": ONNXRuntimeEngine,
    "openvino": OpenVINOEngine,
}
_NAMES = ("pytorch", *_OTHERS)


@dataclass(frozen=True)
class EngineNote:
    """Which engine a machine takes for a network.

    Attributes:
        engine: The fastest.
        milliseconds: Of an image, by engine.
        left_out: Why the others were not measured, by engine.
    """

    engine: str
    milliseconds: dict[str, float]
    left_out: dict[str, str]


class LocalEngines:
    """Engines of this process, as ``EngineSource``."""

    is_local = True

    def engine(self, network: ImageNetwork, options: EngineOptions) -> Engine:
        """See ``EngineSource``."""
        return choose_engine(network, options)

    def device(self, options: EngineOptions) -> torch.device:
        """See ``EngineSource``."""
        return options.chosen_device()

    def device_name(self, options: EngineOptions) -> str:
        """See ``EngineSource``."""
        device = options.chosen_device()
        is_gpu = device.type == "cuda"
        return torch.cuda.get_device_name(device) if is_gpu else processor_name()


class ServedEngines(LocalEngines):
    """Engines of this process, kept by key for an ``InferenceServer``.

    Attributes:
        engines: What was asked for so far.
    """

    is_local = False  # what asks runs no network itself

    def __init__(self) -> None:
        self.engines: dict[str, Engine] = {}

    def engine(self, network: ImageNetwork, options: EngineOptions) -> Engine:
        """See ``EngineSource``."""
        key = engine_key(network, options)
        if key not in self.engines:
            self.engines[key] = choose_engine(network, options)
        return self.engines[key]


def engine_key(network: ImageNetwork, options: EngineOptions) -> str:
    """Return the same text for the same network and options in each process of a machine."""
    return f"{fingerprint(network)} {options.engine} {options.precision}"


def choose_engine(network: ImageNetwork, options: EngineOptions) -> Engine:
    """Return the engine that runs a network.

    What is not PyTorch reads an ONNX file in the user's cache, which is written when it is needed
    first; with "auto" engines are measured then, too. In another precision than fp32, and where
    the cache cannot be written to, "auto" is PyTorch.

    Args:
        network: The network, on the CPU and in evaluation.
        options: How it is run.

    Raises:
        SkelactError: if the engine that is asked for is missing, cannot run the network, or gives
            something else than PyTorch.
    """
    is_on_cpu = options.chosen_device().type == "cpu"
    is_usual = is_on_cpu and options.dtype() == torch.float32
    if options.engine == "pytorch" or (options.engine == "auto" and not is_usual):
        return pytorch_engine(network, options)
    cached = _CachedNetwork(network, options)
    try:
        if options.engine == "auto":
            return cached.engine(cached.fastest())
        return cached.engine(options.engine)
    except OSError as error:
        if options.engine == "auto":
            return PyTorchEngine(network, options)
        raise SkelactError(
            f"engine: {options.engine} needs a file in {cached.path.parent}: {one_line(error)}; "
            "the environment variable SKELACT_CACHE names another folder"
        ) from None


class _CachedNetwork:
    """A network, its ONNX file, and what is noted of it."""

    def __init__(self, network: ImageNetwork, options: EngineOptions) -> None:
        self._network = network
        self._options = options
        self.path = cache_folder() / "engines" / f"{fingerprint(network)}.onnx"
        self._notes = MachineNotes(self.path.with_suffix(".json"), ("engine", _NAMES))
        packages = releases("torch", "onnx", "onnxruntime", "openvino")
        # What the speed of engines depends on.
        self._machine = f"{processor_name()}, {packages}"

    def engine(self, name: str) -> Engine:
        """Return an engine; only one whose outputs were those of PyTorch."""
        if name == "pytorch":
            return PyTorchEngine(self._network, self._options)
        if self.path.is_file():
            with suppress(SkelactError):  # a damaged file is written anew
                return _OTHERS[name](self.path, self._options)
        with self._held():
            self._write()
            return self._checked(name)

    def fastest(self) -> str:
        """Return the name of the fastest engine, measured if it is not known."""
        if (note := self._notes.read().get(self._machine)) is not None:
            return str(note["engine"])
        with self._held():
            note = self._notes.read().get(self._machine)  # of a process beside this one, meanwhile
            if note is None:
                note = vars(self._measured())
                self._notes.add(self._machine, note)
            return str(note["engine"])

    def _held(self) -> AbstractContextManager[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return locked(self.path.with_suffix(".lock"))

    def _measured(self) -> EngineNote:
        engines: list[Engine] = [PyTorchEngine(self._network, self._options)]
        left_out = {}
        try:
            self._write()
            for name in _OTHERS:
                try:
                    engines.append(self._checked(name))
                except SkelactError as error:
                    left_out[name] = str(error)
        except SkelactError as error:
            left_out |= dict.fromkeys(_OTHERS, str(error))
        if len(engines) == 1:
            return EngineNote(engines[0].name, {}, left_out)
        images = self._network.example(_COUNT)
        seconds = {engine.name: float("inf") for engine in engines}
        for _ in range(_ROUNDS):
            for engine in engines:
                start = time.perf_counter()
                engine(images)
                seconds[engine.name] = min(seconds[engine.name], time.perf_counter() - start)
        milliseconds = {name: round(1e3 * best / _COUNT, 2) for name, best in seconds.items()}
        return EngineNote(min(seconds, key=lambda name: seconds[name]), milliseconds, left_out)

    def _checked(self, name: str) -> Engine:
        """Return an engine that gives what PyTorch gives.

        Raises:
            SkelactError: if it cannot run the network, or gives something else.
        """
        images = self._network.example(2)
        try:
            engine = _OTHERS[name](self.path, self._options)
            found = engine(images)
        except SkelactError:
            raise
        except Exception as error:  # engines have classes of their own
            raise SkelactError(
                f"engine: {name} does not run this network: {one_line(error)}"
            ) from None
        worst = _difference(PyTorchEngine(self._network, self._options)(images), found)
        # bf16 and fp16 differ by what is lost in them, which is asked for.
        if worst > _TOLERANCE and self._options.dtype() == torch.float32:
            raise SkelactError(
                f"engine: with {name} this network's outputs differ from PyTorch's by {worst:.2g} "
                f"of the largest one, expected at most {_TOLERANCE}"
            )
        return engine

    def _write(self) -> None:
        images = torch.from_numpy(self._network.example(2))
        with torch.inference_mode():
            names = [f"output{i}" for i, _ in enumerate(self._network(images))]
        sizes = {0: "batch"} | ({1: "height", 2: "width"} if self._network.any_size else {})
        try:
            with atomic_write(self.path) as temporary:
                write_onnx(self._network, {"images": images}, names, temporary, sizes)
        except OSError:
            raise
        except Exception as error:  # the exporter's, of many kinds
            raise SkelactError(
                f"engine: the network cannot be written as ONNX: {one_line(error)}"
            ) from None


def fingerprint(network: ImageNetwork) -> str:
    """Return a hash of a network's structure and weights."""
    digest = hashlib.sha256()
    shape = (str(network), network.reverse, network.input_hw, network.any_size)
    about = (*shape, version("torch"), _WRITTEN)
    digest.update(repr(about).encode())
    for name, values in network.state_dict().items():
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _difference(expected: list[np.ndarray], found: list[np.ndarray]) -> float:
    """Return the largest difference of two lists of outputs, over the largest value of each."""
    if [array.shape for array in expected] != [array.shape for array in found]:
        return float("inf")
    worst = [
        float(np.abs(mine - theirs).max()) / max(float(np.abs(mine).max()), 1e-12)
        for mine, theirs in zip(expected, found)
    ]
    return max(worst) if np.isfinite(worst).all() else float("inf")
