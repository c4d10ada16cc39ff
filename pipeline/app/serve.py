"""Run the app until it is stopped."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn

from ... import SkelactError
from .connections import ImpatientConnection
from .queue import JobQueue
from .security import Access, is_loopback
from .server import make_app
from .store import JobStore
from .uploads import UploadLimits
from .work import work_command

# 256 bits.
_TOKEN_BYTES = 32
# Connections at once: a browser opens six to a host.
_MAX_CONNECTIONS = 100
# How long answers may go on when the app is stopped: a video may be half sent.
_SECONDS_TO_END = 3


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    with_token: bool,
    limits: UploadLimits,
    max_hours: float,
    options: Mapping[str, Any],
    say: Callable[[str], None] = print,
) -> None:
    """Serve the jobs of a folder until the process is interrupted.

    Args:
        folder: Where jobs are kept; it is made.
        host: The address to listen at.
        port: Its port; 0 takes a free one.
        with_token: Ask this machine's users for a token, too; others are always asked.
        limits: What uploads may be.
        max_hours: How long the labelling of a clip may take.
        options: Arguments of ``Pipeline``, by name, all of which JSON can hold.
        say: Takes what the user is told, line by line; first the address.

    Raises:
        SkelactError: if the address or the folder cannot be had.
    """
    store = JobStore(folder)
    try:
        queue = JobQueue(store, work_command(options), max_hours)
        with listening(host, port) as listener:
            needs_token = with_token or not is_loopback(host)
            token = secrets.token_urlsafe(_TOKEN_BYTES) if needs_token else None
            access = Access(host, listener.getsockname()[1], token)
            for complaint in queue.complaints:
                say(f"passed over: {complaint}")
            say(f"Open {access.address} in a browser; Ctrl+C ends the app.")
            app = make_app(queue, access, limits)
            # uvicorn ends in order at Ctrl+C, and then raises what it caught.
            with suppress(KeyboardInterrupt):
                uvicorn.Server(server_config(app)).run([listener])
    finally:
        store.close()


def server_config(app: Any) -> uvicorn.Config:
    """Return how uvicorn serves the app."""
    return uvicorn.Config(
        app, http=ImpatientConnection, ws="none", lifespan="on", log_level="error",
        access_log=False, server_header=False, proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS, timeout_graceful_shutdown=_SECONDS_TO_END,
    )  # fmt: skip


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        SkelactError: if the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        raise SkelactError(
            f"{host}, port {port}: {error}; another app may run there: --port 0 takes a free port"
        ) from None
