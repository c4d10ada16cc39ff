"""CUDA graphs of a network: all of its kernels in one launch.

    images (n, h, w, 3) -> the first n of a recording's images -> replay
        -> the first n of its outputs, copied

The processor needs some microseconds to launch a kernel. A small network has a thousand of them,
most of which take the GPU less, so that it waits. A recording holds the kernels for one shape of
images; batches are run with the next larger one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Run = Callable[[Tensor], list[Tensor]]

# Images of recordings: at most half of a batch more is computed than is asked for.
BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
# Detectors take images of as many shapes as there are videos; further ones are run as they come.
MOST_RECORDINGS = 64
# Outputs of a recording may differ by this share of the largest value: some roundings of fp16.
_TOLERANCE = 1e-2
# Libraries choose their kernels and allocate what they need before a recording begins.
_WARM_UPS = 3


@dataclass(frozen=True, eq=False)
class Recording:
    """The kernels of a network, for one shape of images.

    Attributes:
        images: (N, h, w, 3) uint8, which ``replay`` reads.
        outputs: (N, ...) each, which it writes.
        replay: Launches the kernels.
    """

    images: Tensor
    outputs: list[Tensor]
    replay: Callable[[], None]


# Makes a recording of a network on images; its outputs are valid after a replay.
Record = Callable[[Run, Tensor], Recording]


class CUDAGraphRecorder:
    """Records CUDA graphs that share their memory, since only one is replayed at a time."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, run: Run, images: Tensor) -> Recording:
        """Record a network on images (N, h, w, 3) of a CUDA device; see :data:`Record`."""
        device = images.device
        with torch.cuda.device(device):
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            held = images.clone()
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    run(held)
            torch.cuda.current_stream(device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                outputs = run(held)
        return Recording(held, outputs, graph.replay)


class RecordedNetwork:
    """Runs a network by recordings of it.

    A shape that comes for the first time is run as it is; when it comes again, it is recorded. A
    recording that fails, or whose outputs are not the network's, is never used, and the network
    is run as it is from then on.

    Args:
        run: The network: images (N, h, w, 3) uint8 on a device to outputs (N, ...).
        record: Makes the recordings.
    """

    def __init__(self, run: Run, record: Record) -> None:
        self._run = run
        self._record = record
        self._seen: set[torch.Size] = set()
        self._recordings: dict[torch.Size, Recording] = {}
        self._fails = False
        # Between the copy of the images and that of the outputs no other replay may come.
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of images (n, h, w, 3)."""
        with self._lock:
            recording = self._recording(images)
            if recording is None:
                return self._run(images)
            return _replayed(recording, images)

    def _recording(self, images: Tensor) -> Recording | None:
        count = len(images)
        size = next((size for size in BATCH_SIZES if size >= count), 0)
        shape = torch.Size((size, *images.shape[1:]))
        if shape in self._recordings:
            return self._recordings[shape]
        if self._fails or not (size and count) or len(self._recordings) == MOST_RECORDINGS:
            return None
        if shape not in self._seen:
            self._seen.add(shape)
            return None
        try:
            recording = self._record(self._run, images[torch.arange(size) % count])
            is_right = _agree(self._run(images), _replayed(recording, images))
        except RuntimeError:  # PyTorch's own, such as for want of memory
            is_right = False
        if not is_right:
            self._fails = True
            return None
        self._recordings[shape] = recording
        return recording


def _replayed(recording: Recording, images: Tensor) -> list[Tensor]:
    count = len(images)
    recording.images[:count].copy_(images)
    recording.replay()
    return [output[:count].clone() for output in recording.outputs]


def _agree(expected: list[Tensor], found: list[Tensor]) -> bool:
    return len(expected) == len(found) and all(map(_are_near, expected, found))


def _are_near(expected: Tensor, found: Tensor) -> bool:
    if expected.shape != found.shape:
        return False
    # Half precision may overflow; what is no number is so in both.
    largest = float(torch.where(expected.isfinite(), expected, 0.0).abs().max())
    return torch.allclose(found, expected, rtol=0.0, atol=_TOLERANCE * largest, equal_nan=True)
