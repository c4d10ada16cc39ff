"""Networks of one process for several others: dynamic batching.

    a thread per client: request -> images of all clients that wait -> engine, one batch at a time
        -> outputs, to each client its own

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
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from queue import Empty, SimpleQueue

import numpy as np

from ..common.array_channel import ArrayChannel
from ..common.text import one_line
from .engines import Engine

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
        while True:
            self.run_batch()

    def run_batch(self) -> None:
        """Wait for a request, and run it with those that have come by then and go with it."""
        if not self._waiting:
            self._waiting.append(self._arrived.get())
        with suppress(Empty):
            while True:
                self._waiting.append(self._arrived.get_nowait())
        self._run(self._next_batch())

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

    def _run(self, batch: list[_Request]) -> None:
        images = [request.images for request in batch]
        try:
            joined = images[0] if len(images) == 1 else np.concatenate(images)
            outputs = self._engines[batch[0].key](joined)
        except Exception as error:
            if len(batch) == 1:
                batch[0].outputs.set_exception(error)
                return
            for request in batch:  # a GPU may have memory for each
                self._run([request])
            return
        ends = np.cumsum([len(part) for part in images])[:-1]
        for request, parts in zip(batch, zip(*(np.split(output, ends) for output in outputs))):
            request.outputs.set_result(list(parts))

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
