"""A bound on the memory that a file may take to read, for files that lie about their size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GIB = 1 << 30
# A pickle of small Python objects takes up to 64 times its size in memory (an empty dictionary is
# one byte there and 64 here), arrays and strings take 1 to 4 times.
_TIMES_FILE = 64
_STATM = Path("/proc/self/statm")  # pages of the address space come first, see proc(5)

# The bound is the process's: two threads must not put each other's back.
_lock = threading.RLock()


@contextmanager
def memory_for_file(path: str | Path) -> Iterator[None]:
    """Bound what the block may allocate beyond now: 1 GiB and 64 times the size of a file.

    An allocation beyond it raises ``MemoryError`` in place of filling the machine. The bound is
    that of the process's address space, so it holds for all its threads while the block runs; where
    the system has none (anything but Linux) the block runs without.

    Raises:
        OSError: if there is no such file.
    """
    size = Path(path).stat().st_size
    if not _STATM.exists():
        yield
        return
    import resource

    with _lock:
        before = resource.getrlimit(resource.RLIMIT_AS)
        used = int(_STATM.read_text().split()[0]) * resource.getpagesize()
        bound = used + _GIB + _TIMES_FILE * size
        lower = [limit for limit in before if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([bound, *lower]), before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
