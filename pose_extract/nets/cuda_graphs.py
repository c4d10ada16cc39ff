"""CUDA graphs of a network: all of its kernels in one launch.

    images (n, h, w, 3) -> the first n of a graph's images -> replay
        -> the first n of its outputs, copied

The processor needs some microseconds to launch a kernel. A small network has a thousand of them,
most of which take the GPU less, so that it waits. A graph is captured for one shape of images;
batches are run with the next larger one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..common.text import one_line

LOG = logging.getLogger(__name__)

Run = Callable[[Tensor], list[Tensor]]

# Images of graphs: of small batches at most half is computed in vain, of large ones, which keep
# a GPU busy, 15 images.
BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 80, 96, 112, 128)
# Detectors take images of as many shapes as there are videos; further ones are run as they come.
MOST_GRAPHS = 64
# Outputs of a graph may differ by this share of the largest value: some roundings of fp16, in
# case that other kernels are chosen than beside it.
_TOLERANCE = 1e-2
# Libraries choose their kernels and allocate what they need before a capture begins.
_WARM_UPS = 3


@dataclass(frozen=True, eq=False)
class CapturedGraph:
    """The kernels of a network, for one shape of images.

    Attributes:
        images: (N, h, w, 3) uint8, which ``replay`` reads.
        outputs: (N, ...) each, which it writes.
        replay: Launches the kernels.
    """

    images: Tensor
    outputs: list[Tensor]
    replay: Callable[[], None]


# Captures a network on images; the outputs are valid after a replay.
Capture = Callable[[Run, Tensor], CapturedGraph]


# PyTorch captures one graph of a process at a time.
_capture_lock = threading.Lock()


class CUDAGraphCapture:
    """Captures CUDA graphs that share their memory, since only one is replayed at a time."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._stream: Any = None

    def __call__(self, run: Run, images: Tensor) -> CapturedGraph:
        """Capture a network on images (N, h, w, 3) of a CUDA device; see :data:`Capture`."""
        device = images.device
        with _capture_lock, torch.cuda.device(device):
            if self._pool is None:
                # Memory is shared by graphs of one pool and one stream.
                self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(device)
            before = torch.cuda.current_stream(device)
            held = images.clone()
            self._stream.wait_stream(before)
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.stream(self._stream):
                    for _ in range(_WARM_UPS):
                        run(held)
                before.wait_stream(self._stream)
                # Other threads may use the device meanwhile.
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ):
                    outputs = run(held)
            finally:
                torch.cuda.set_stream(before)  # a capture that fails may leave another one
        return CapturedGraph(held, outputs, graph.replay)


class GraphedNetwork:
    """Runs a network by graphs of it.

    A shape that comes for the first time is run as it is; when it comes again, it is captured. A
    graph that fails, or whose outputs are not the network's, is never used, and the network is run
    as it is from then on.

    Args:
        run: The network: images (N, h, w, 3) uint8 on a device to outputs (N, ...).
        capture: Makes the graphs.
    """

    def __init__(self, run: Run, capture: Capture) -> None:
        self._run = run
        self._capture = capture
        self._seen: set[torch.Size] = set()
        self._graphs: dict[torch.Size, CapturedGraph] = {}
        self._fails = False
        # Between the copy of the images and that of the outputs no other replay may come.
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of images (n, h, w, 3)."""
        with self._lock:
            graph = self._graph_for(images)
            if graph is None:
                return self._run_as_it_is(images)
            return _replayed(graph, images)

    def _run_as_it_is(self, images: Tensor) -> list[Tensor]:
        try:
            return self._run(images)
        except torch.cuda.OutOfMemoryError:
            if not self._graphs:
                raise
        # Not in the handler: the frames of the error hold what the network had computed.
        self._give_up("memory is short", images.device)
        return self._run(images)

    def _graph_for(self, images: Tensor) -> CapturedGraph | None:
        count = len(images)
        size = next((size for size in BATCH_SIZES if size >= count), 0)
        shape = torch.Size((size, *images.shape[1:]))
        if shape in self._graphs:
            return self._graphs[shape]
        if self._fails or not (size and count) or len(self._graphs) == MOST_GRAPHS:
            return None
        if shape not in self._seen:
            self._seen.add(shape)
            return None
        try:
            graph = self._capture(self._run, images[torch.arange(size) % count])
            reason = "" if self._is_right(graph) else "its outputs are others"
        except RuntimeError as error:  # PyTorch's own, such as for want of memory
            reason = one_line(error)
        if reason:
            self._give_up(reason, images.device)
            return None
        self._graphs[shape] = graph
        return graph

    def _give_up(self, reason: str, device: torch.device) -> None:
        """Use graphs no more, and free their memory."""
        LOG.warning("the network runs without CUDA graphs from now on: %s", reason)
        self._fails = True
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # none is freed that still runs
        self._graphs.clear()

    def _is_right(self, graph: CapturedGraph) -> bool:
        expected = self._run(graph.images)
        for output in graph.outputs:
            output.fill_(torch.nan)
        graph.replay()
        return len(expected) == len(graph.outputs) and all(map(_are_near, expected, graph.outputs))


def _replayed(graph: CapturedGraph, images: Tensor) -> list[Tensor]:
    count = len(images)
    graph.images[:count].copy_(images)
    graph.replay()
    return [output[:count].clone() for output in graph.outputs]


def _are_near(expected: Tensor, found: Tensor) -> bool:
    if expected.shape != found.shape:
        return False
    # Half precision may overflow; what is no number is so in both.
    largest = float(torch.where(expected.isfinite(), expected, 0.0).abs().max())
    return torch.allclose(found, expected, rtol=0.0, atol=_TOLERANCE * largest, equal_nan=True)
