"""Python's collector of reference cycles, paused while much is made that stays."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
# Blocks that have begun and not ended. The collector is the process's, and blocks may overlap.
_num_open = 0


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector in the block, unless it is off.

    Imports and networks make objects that stay, and the collector looks through all of them again
    and again (``benchmarks/startup.py``).
    """
    global _num_open
    with _lock:
        is_ours = _num_open > 0 or gc.isenabled()
        _num_open += is_ours
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _num_open -= is_ours
            if is_ours and not _num_open:
                _count_as_old()
                gc.enable()


def _count_as_old() -> None:
    """Move all objects to the oldest generation, which is looked through least.

    They are young otherwise, and the collector's next turn would look through all of them.
    """
    if not gc.get_freeze_count():  # else what the program froze would thaw
        gc.freeze()
        gc.unfreeze()
