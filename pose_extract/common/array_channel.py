"""Arrays from one process to another and back, through shared memory where the system has it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .shared_memory import SharedMemory, SharedView


class ArrayChannel:
    """One end of a connection over which messages and arrays go, in turn.

    What is received is JSON and numbers: nothing of it is executed.

    Args:
        connection: A connection to the other process, which makes an end of its own.

    Raises:
        EOFError: if the other process has ended.
        OSError: likewise.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._memory = SharedMemory.create()
        self._sent: list[np.ndarray] = []
        self._say({"is_shared": self._memory is not None})
        if self._memory is not None:
            reduction.send_handle(connection, self._memory.fd, os.getpid())
        self._view: SharedView | None = None
        self._view_fd: int | None = None
        if self._hear()["is_shared"]:
            self._view_fd = reduction.recv_handle(connection)
            self._view = SharedView(self._view_fd)

    def close(self) -> None:
        """End the connection, and give its memory back; arrays that were received stay."""
        self._connection.close()
        if self._memory is not None:
            self._memory.close()
        if self._view_fd is not None:
            os.close(self._view_fd)
            self._view_fd = None

    def send(self, message: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
        """Send a message, JSON-able, and arrays.

        Raises:
            EOFError: if the other process has ended.
            OSError: likewise.
        """
        packed = [np.asarray(array, order="C") for array in arrays]
        places = [self._share(array) for array in packed]
        about = [
            {"shape": array.shape, "dtype": array.dtype.str, "place": place}
            for array, place in zip(packed, places)
        ]
        self._say({"message": message, "arrays": about})
        for array, place in zip(packed, places):
            if place is None and array.nbytes:
                self._connection.send_bytes(array.data.cast("B"))

    def receive(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Return the next message and its arrays, which hold until the next :meth:`send`.

        Raises:
            EOFError: if the other process has ended.
            OSError: likewise.
        """
        said = self._hear()
        # It has read what was sent to it before.
        self._sent.clear()
        return said["message"], [self._take(**about) for about in said["arrays"]]

    def _share(self, array: np.ndarray) -> int | None:
        """Write an array into shared memory; return its place, or None where there is none."""
        if self._memory is None:
            return None
        try:
            place, shared = self._memory.take((array.nbytes,))
        except (OSError, ValueError):  # no memory, or nothing to write
            return None
        shared[:] = array.reshape(-1).view(np.uint8)
        self._sent.append(shared)
        return place

    def _take(self, shape: list[int], dtype: str, place: int | None) -> np.ndarray:
        kind = np.dtype(dtype)
        num_bytes = kind.itemsize * math.prod(shape)
        if place is not None and self._view is not None:
            values = self._view.read(place, num_bytes)
        elif num_bytes:
            values = np.empty(num_bytes, np.uint8)
            self._connection.recv_bytes_into(values.data)
        else:
            values = np.zeros(0, np.uint8)
        return values.view(kind).reshape(shape)

    def _say(self, value: dict[str, Any]) -> None:
        self._connection.send_bytes(json.dumps(value).encode())

    def _hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return heard
