"""Engines that run in another process, which several processes share.

    images -> InferenceServer in the process that holds the networks -> outputs

What is asked and answered: ``inference_server.py``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from multiprocessing.connection import Client
from typing import TYPE_CHECKING

import numpy as np

from ... import SkelactError
from ..common.array_channel import ArrayChannel

if TYPE_CHECKING:
    import torch

    from .engines import Engine, EngineOptions, ImageNetwork


class InferenceLostError(SkelactError):
    """The process that runs the networks has ended, or its GPU fails: no clip's fault."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server of networks listens.

    Attributes:
        path: Of its socket on this machine.
        key: What it is told to let a process in.
    """

    path: str
    key: bytes


class RemoteEngines:
    """Engines of a server, as ``EngineSource``.

    Args:
        address: Where it listens.

    Raises:
        InferenceLostError: if nothing listens there.
    """

    is_local = False

    def __init__(self, address: ServerAddress) -> None:
        self._lock = threading.Lock()
        try:
            self._channel = ArrayChannel(Client(address.path, authkey=address.key))
            about, _ = self._channel.receive()
        except (EOFError, OSError) as error:
            raise _lost() from error
        self._names: dict[str, str] = about["engines"]
        self._device: str = about["device"]
        self._device_name: str = about["device_name"]

    def device(self, options: EngineOptions) -> torch.device:
        """See ``EngineSource``."""
        import torch

        return torch.device(self._device)

    def device_name(self, options: EngineOptions) -> str:
        """See ``EngineSource``."""
        return self._device_name

    def engine(self, network: ImageNetwork, options: EngineOptions) -> Engine:
        """Return what runs a network on the server.

        Raises:
            SkelactError: if the server has another one.
        """
        from .engine_choice import engine_key

        key = engine_key(network, options)
        if key not in self._names:
            raise SkelactError(
                "workers: the process that runs the networks has read other weights than this "
                "one; leave weights as they are while clips are extracted"
            )
        return _RemoteEngine(self, key, self._names[key])

    def run(self, key: str, images: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of the network of a key; see ``Engine``.

        Raises:
            InferenceLostError: if the server has ended.
            SkelactError: if the network fails.
        """
        with self._lock:
            try:
                self._channel.send({"engine": key}, [images])
                answer, outputs = self._channel.receive()
                # The memory is used again.
                copies = [output.copy() for output in outputs]
            except (EOFError, OSError) as error:
                raise _lost() from error
        if "error" in answer:
            raise SkelactError(f"the network fails: {answer['error']}")
        return copies


class _RemoteEngine:
    """A network of a server, as ``Engine``."""

    def __init__(self, source: RemoteEngines, key: str, name: str) -> None:
        self.name = name
        self._source = source
        self._key = key

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """See ``Engine``."""
        return self._source.run(self._key, images)


def _lost() -> InferenceLostError:
    return InferenceLostError(
        "the process that runs the networks has ended, as for want of memory; the clips that are "
        "done are kept, and the same command goes on"
    )
