"""What processes that work for another one have in common: how they start, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

# A process that has not ended so many seconds after it was asked to is killed.
_END_SECONDS = 10.0


def start_child(target: Callable[..., None], *args: Any) -> tuple[BaseProcess, Connection]:
    """Start a process; return it, and a connection whose other end is its first argument.

    Args:
        target: A function of a module, which calls :func:`end_with_parent`.
        args: What it is given besides.
    """
    # A fresh interpreter: forked ones share the locks of threads that they do not have.
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    with _ignoring_ctrl_c():
        process.start()
    theirs.close()
    return process, mine


def end_children(processes: Iterable[BaseProcess]) -> None:
    """End processes, all at once."""
    children = list(processes)
    for process in children:
        process.terminate()
    for process in children:
        process.join(_END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def end_with_parent() -> None:
    """Have this process end where the one that started it is killed, and raise on SIGTERM.

    What it raises is KeyboardInterrupt.
    """
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Have a process that is started ignore Ctrl-C, which reaches all processes of a terminal.

    The first one ends the others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
