"""Memory that two processes share: frames, and what networks take and give, are not sent.

Through a pipe the system copies a frame twice, in pieces of a megabyte.
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from collections import deque

import numpy as np

# What is kept for the next file: four batches of 16 frames of 1080p, as many as are read ahead.
_MOST_KEPT_BYTES = 400 << 20


class SharedMemory:
    """Arrays in memory that another process, which is given its number, sees as well.

    The place of an array is free again once the array, and all that looks into it, are gone. One
    thread at a time may use it.

    Attributes:
        fd: Number of the file that stands for it.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("skelact-arrays")
        self._finalizer = weakref.finalize(self, os.close, self.fd)
        self._map: mmap.mmap | None = None
        self._num_bytes = 0
        self._free: list[tuple[int, int]] = []
        self._num_taken = 0
        # Arrays may die in any thread, and in the middle of anything.
        self._given_back: deque[tuple[int, int]] = deque()

    @staticmethod
    def create() -> SharedMemory | None:
        """Return some, or None where the system has none, or forbids it: Linux has."""
        try:
            return SharedMemory()
        except (AttributeError, OSError):
            return None

    def take(self, shape: tuple[int, ...]) -> tuple[int, np.ndarray]:
        """Return a place, in bytes from the start, and the uint8 array there.

        Raises:
            OSError: if the system has no memory.
        """
        num_bytes = math.prod(shape)
        self._collect()
        fitting = [place for place in self._free if place[1] >= num_bytes]
        if fitting:
            place = min(fitting, key=lambda place: place[1])
            self._free.remove(place)
        else:
            if not self._num_taken:
                self._clear()
            place = self._num_bytes, -(-num_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
            os.ftruncate(self.fd, sum(place))
            self._num_bytes = sum(place)
        offset = place[0]
        if self._map is None or len(self._map) < self._num_bytes:
            # What looks into the old one keeps it.
            self._map = mmap.mmap(self.fd, self._num_bytes)
        array = np.frombuffer(self._map, np.uint8, num_bytes, offset)
        weakref.finalize(array, self._given_back.append, place).atexit = False
        self._num_taken += 1
        return offset, array.reshape(shape)

    def trim(self) -> None:
        """Give large memory back to the system, if no array is in use."""
        self._collect()
        if not self._num_taken and self._num_bytes > _MOST_KEPT_BYTES:
            self._clear()

    def close(self) -> None:
        """Take no more; arrays that were given stay."""
        self._map = None
        self._finalizer()

    def _collect(self) -> None:
        while self._given_back:
            self._free.append(self._given_back.popleft())
            self._num_taken -= 1

    def _clear(self) -> None:
        """Free all memory; the other process writes to what it is told of alone."""
        self._free, self._num_bytes, self._map = [], 0, None
        os.ftruncate(self.fd, 0)


class SharedView:
    """What the other process sees of it.

    Args:
        fd: Number of the file that stands for it.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None

    def write(self, offset: int, arrays: list[np.ndarray]) -> None:
        """Write arrays to a place, one behind the other.

        Raises:
            OSError: if the system has no memory, or not so much was shared.
        """
        shared = self._up_to(offset + sum(array.nbytes for array in arrays))
        for array in arrays:
            shared[offset : offset + array.nbytes] = array.data.cast("B")
            offset += array.nbytes

    def read(self, offset: int, num_bytes: int) -> np.ndarray:
        """Return the uint8 array at a place; the other process may write to it again.

        Raises:
            OSError: if the system has no memory, or not so much was shared.
        """
        return np.frombuffer(self._up_to(offset + num_bytes), np.uint8, num_bytes, offset)

    def _up_to(self, stop: int) -> mmap.mmap:
        if self._map is None or len(self._map) < stop:
            self._map = mmap.mmap(self._fd, os.fstat(self._fd).st_size)
        return self._map
