"""Networks of one process for several others: dynamic batching.

    a thread per client: request -> images of all clients that wait -> engine, one batch at a time
        -> outputs, to each client its own

On a GPU the next batch is sent while one runs, if it is full by then.

A client asks with ``{"engine": key}`` and images, and is answered with outputs, or with ``{"error":
text}``; before that it is told which engines there are. While a batch runs, the images of the next
ones are read, and those that have come by then go together: the more clients there are, the fewer
calls an image takes. A GPU spends them, on small networks, waiting for its kernels to be launched.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from queue import Empty, SimpleQueue

import numpy as np

from ..common.array_channel import ArrayChannel
from ..common.device import is_gpu_lost
from ..common.text import one_line
from .engines import Engine, StartingEngine

# Where a client cannot be let in for want of what others hold, it is tried again so often.
_RETRY_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class _Request:
    """Images (N, h, w, 3) uint8 for an engine, and the outputs to come."""

    key: str
    images: np.ndarray
    outputs: Future[list[np.ndarray]] = field(default_factory=Future)

    def goes_with(self, other: _Request) -> bool:
        """Return whether both can be one batch."""
        return self.key == other.key and self.images.shape[1:] == other.images.shape[1:]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Requests whose images an engine runs; ``outputs`` waits for those of all of them."""

    requests: list[_Request]
    outputs: Callable[[], list[np.ndarray]]


class InferenceServer:
    """Runs the networks of several clients, each batch in the thread that calls :meth:`serve`.

    Args:
        engines: By the key that clients name.
        device: What ``EngineSource.device`` tells clients.
        device_name: Likewise.
        batch_size: Images of several clients that are run at once; those of one are not parted.
    """

    def __init__(
        self, engines: Mapping[str, Engine], device: str, device_name: str, batch_size: int
    ) -> None:
        self._engines = engines
        self._device = {"device": device, "device_name": device_name}
        self._batch_size = batch_size
        self._arrived: SimpleQueue[_Request] = SimpleQueue()
        self._waiting: deque[_Request] = deque()

    def serve(self, listener: Listener) -> None:
        """Let clients in, and run what they ask for; it does not return."""
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        running: _Batch | None = None
        while True:
            running = self.step(running)

    def run_batch(self) -> None:
        """Wait for a request, and run it with those that have come by then and go with it."""
        if (running := self.step(None)) is not None:
            self._finish(running)

    def step(self, running: _Batch | None) -> _Batch | None:
        """Start a batch, finish the one that runs, or both; return the one that runs then.

        Args:
            running: What the last step returned; without it a request is waited for.
        """
        if running is None and not self._waiting:
            self._waiting.append(self._arrived.get())
        with suppress(Empty):
            while True:
                self._waiting.append(self._arrived.get_nowait())
        started = None
        # While one runs, more may come that would go with the next one: it waits until it is full.
        if running is None or self._is_full():
            started = self._start(self._next_batch())
        if running is not None:
            self._finish(running)
        return started

    def submit(self, key: str, images: np.ndarray) -> Future[list[np.ndarray]]:
        """Ask for the outputs of an engine; they come from a later :meth:`run_batch`.

        Args:
            key: Of the engine.
            images: (N, h, w, 3) uint8 RGB; they are read until the outputs are there.
        """
        request = _Request(key, images)
        self._arrived.put(request)
        return request.outputs

    def _next_batch(self) -> list[_Request]:
        """Take the request that has waited longest, and those that go with it, from the queue."""
        first = self._waiting.popleft()
        batch, left, count = [first], deque[_Request](), len(first.images)
        for request in self._waiting:
            if request.goes_with(first) and count + len(request.images) <= self._batch_size:
                batch.append(request)
                count += len(request.images)
            else:
                left.append(request)
        self._waiting = left
        return batch

    def _is_full(self) -> bool:
        """Return whether the next batch has all images that it may have."""
        if not self._waiting:
            return False
        first = self._waiting[0]
        counts = [len(request.images) for request in self._waiting if request.goes_with(first)]
        return sum(counts) >= self._batch_size

    def _start(self, requests: list[_Request]) -> _Batch | None:
        """Return a batch that runs; None where its outputs, or errors, are there already."""
        images = [request.images for request in requests]
        try:
            joined = images[0] if len(images) == 1 else np.concatenate(images)
            engine = self._engines[requests[0].key]
            if isinstance(engine, StartingEngine):
                return _Batch(requests, engine.start(joined))
            outputs = engine(joined)
        except Exception as error:
            failure = _without_frames(error)
        else:
            _answer(requests, outputs)
            return None
        self._fail(requests, failure)
        return None

    def _finish(self, batch: _Batch) -> None:
        try:
            outputs = batch.outputs()
        except Exception as error:
            failure = _without_frames(error)
        else:
            _answer(batch.requests, outputs)
            return
        self._fail(batch.requests, failure)

    def _fail(self, requests: list[_Request], error: Exception) -> None:
        """Tell a request of an error; of several, run each alone."""
        if len(requests) == 1:
            requests[0].outputs.set_exception(error)
            return
        for request in requests:  # a GPU may have memory for each
            if (batch := self._start([request])) is not None:
                self._finish(batch)

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except (AuthenticationError, EOFError, ConnectionError):
                continue  # it does not know the key, or has ended meanwhile
            except OSError as error:
                if error.errno in (None, errno.EBADF):
                    return  # the listener is closed
                time.sleep(_RETRY_SECONDS)  # such as for want of a file number
            else:
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: Connection) -> None:
        """Answer one client until it ends."""
        with suppress(EOFError, OSError), closing(ArrayChannel(connection)) as channel:
            names = {key: engine.name for key, engine in self._engines.items()}
            channel.send({"engines": names, **self._device})
            while True:
                request, (images,) = channel.receive()
                try:
                    outputs = self.submit(request["engine"], images).result()
                except Exception as error:  # the engine's, of many kinds
                    channel.send({"error": one_line(error)})
                else:
                    channel.send({}, outputs)


def _without_frames(error: Exception) -> Exception:
    """Return an error without the frames that raised it, which hold the memory of their tensors.

    Raises:
        Exception: the error, if no process that has met it can use its GPU any more.
    """
    if is_gpu_lost(error):
        raise error
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _answer(requests: list[_Request], outputs: list[np.ndarray]) -> None:
    """Give each request its part of the outputs of a batch."""
    ends = np.cumsum([len(request.images) for request in requests])[:-1]
    for request, parts in zip(requests, zip(*(np.split(output, ends) for output in outputs))):
        request.outputs.set_result(list(parts))
