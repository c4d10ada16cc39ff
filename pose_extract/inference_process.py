"""The process that runs the networks of all workers, where they share a device."""

from __future__ import annotations

import secrets
from contextlib import suppress
from multiprocessing.connection import Connection, Listener

from .. import SkelactError
from .common.child_process import end_children, end_with_parent, start_child
from .extract import ExtractConfig, Extractor
from .nets.inference_client import ServerAddress
from .tasks import sendable

# Images of several clips that are run at once, as many as a clip's own on a GPU.
_BATCH_SIZE = 128
# Clients that wait to be let in; more are refused.
_BACKLOG = 256


class InferenceProcess:
    """A process with the networks of a config, which others ask; a context that ends it.

    Args:
        config: Names the networks, and where they run.

    Raises:
        SkelactError: on entering, if a network cannot be loaded.
    """

    def __init__(self, config: ExtractConfig) -> None:
        self._config = config

    def __enter__(self) -> InferenceProcess:
        key = secrets.token_bytes(32)
        self._process, connection = start_child(_serve, self._config, key)
        try:
            said = connection.recv()
        except EOFError:
            self._process.join()
            said = SkelactError(
                f"the process that runs the networks ended with {self._process.exitcode} before "
                "it had loaded them (-9: killed, as for want of memory)"
            )
        finally:
            connection.close()
        if isinstance(said, Exception):
            end_children([self._process])
            raise said
        self.address = ServerAddress(said, key)
        return self

    def __exit__(self, *_: object) -> None:
        end_children([self._process])


def serve(config: ExtractConfig, key: bytes, connection: Connection) -> None:
    """Load the networks of a config, say where they listen, and run them for all that ask.

    Args:
        config: Names the networks, and where they run.
        key: What clients have to know.
        connection: It is told the path of the socket, or the error.
    """
    from .nets.engine_choice import ServedEngines
    from .nets.engines import EngineOptions
    from .nets.inference_server import InferenceServer

    engines = ServedEngines()
    try:
        Extractor(config, engines=engines).load()
        options = EngineOptions(device=config.device)
        device, name = str(engines.device(options)), engines.device_name(options)
    except (SkelactError, OSError) as error:
        connection.send(sendable(error))
        return
    server = InferenceServer(engines.engines, device, name, config.batch_size or _BATCH_SIZE)
    with Listener(backlog=_BACKLOG, authkey=key) as listener:
        connection.send(listener.address)
        server.serve(listener)


def _serve(connection: Connection, config: ExtractConfig, key: bytes) -> None:
    end_with_parent()
    with suppress(KeyboardInterrupt, BrokenPipeError):
        serve(config, key, connection)
