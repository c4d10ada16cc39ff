"""Which clip a run is working on, written down before the work: a run that dies tells the next one.

Each run has a file in the output folder, ``.in-work-*.jsonl``, locked while the run lives and
removed when it ends. Its first line is the manifest's line of the clip in work, as it would be if
the process crashed in it; the trace of a crash (a segmentation fault or an abort in a library) is
written behind it by ``faulthandler``. A process that is killed leaves no trace.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from ... import SkelactError
from ..common.files import is_at, lock
from .manifest import ManifestEntry, entry_from_fields

_PREFIX, _SUFFIX = ".in-work-", ".jsonl"
# A crash of many threads leaves some 100 KB; what it says first is what counts.
_MAX_BYTES = 1 << 20
_TRACE_START = "Fatal Python error: "


class ProcessCrashError(SkelactError):
    """A clip in which the process crashed; it is tried again on request alone."""


class InWork:
    """The file of a run; a context that writes the trace of a crash of this process to it.

    Args:
        out: The output folder.
        set_aside: Clips in which earlier runs were killed, for a run after this one.
    """

    def __init__(self, out: str | Path, set_aside: Iterable[str] = ()) -> None:
        self._set_aside = dict.fromkeys(set_aside)
        self._path, self._descriptor = _make_locked(Path(out))
        self._was_enabled = faulthandler.is_enabled()

    def __enter__(self) -> InWork:
        self.end()
        faulthandler.enable(self._descriptor)
        return self

    def begin(self, entry: ManifestEntry) -> None:
        """Note that work on a clip begins; ``entry`` is its line where the process crashes."""
        self._set_aside.pop(entry.video, None)
        self._write(entry)

    def end(self) -> None:
        """Note that no clip is in work."""
        self._write(None)

    def _write(self, entry: ManifestEntry | None) -> None:
        note = {"entry": asdict(entry) if entry else None, "set_aside": list(self._set_aside)}
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps(note).encode() + b"\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        faulthandler.disable()
        if self._was_enabled and sys.__stderr__ is not None:
            faulthandler.enable(sys.__stderr__)
        if error is not None and self._set_aside:
            self.end()  # clips that were not tried again: the next run is to know them too
        else:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _make_locked(out: Path) -> tuple[Path, int]:
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=out)
        os.close(handle)
        try:
            # Appending: faulthandler writes behind the line.
            descriptor = os.open(name, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            continue  # taken for a dead run's before it was locked
        lock(descriptor, wait=True)
        if is_at(descriptor, name):
            return Path(name), descriptor
        os.close(descriptor)


@dataclass(frozen=True)
class DeadRun:
    """What a run that died left behind.

    Attributes:
        entry: The failed entry of the clip that it was in, or None.
        is_crash: Whether the process crashed; it was killed otherwise.
        set_aside: Clips in which runs before it were killed.
    """

    entry: ManifestEntry | None
    is_crash: bool
    set_aside: tuple[str, ...]
    path: Path

    @property
    def killed_in(self) -> tuple[str, ...]:
        """The clips in which a process was killed and that were not tried again since."""
        last = (self.entry.video,) if self.entry and not self.is_crash else ()
        return (*self.set_aside, *last)

    def remove(self) -> None:
        """Remove its file: all that it says stands elsewhere now."""
        self.path.unlink(missing_ok=True)


def find_dead_runs(out: str | Path) -> list[DeadRun]:
    """Return the runs over a folder that died; those that live are left alone."""
    found = []
    for path in sorted(Path(out).glob(f"{_PREFIX}*{_SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue  # it ended just now
        try:
            # Shared: two runs that start at once read the notes of both that died, and each must
            # find its own.
            if lock(descriptor, wait=False, shared=True) and is_at(descriptor, path):
                found.append(_read(path, descriptor))
        finally:
            os.close(descriptor)
    return found


def _read(path: Path, descriptor: int) -> DeadRun:
    line, _, trace = os.pread(descriptor, _MAX_BYTES, 0).partition(b"\n")
    try:
        note = json.loads(line)
        entry = None if note["entry"] is None else entry_from_fields(note["entry"])
        set_aside = tuple(map(str, note["set_aside"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        # The process died between the two steps of a write: no clip was in work.
        entry, set_aside = None, ()
    if entry and trace:
        # "Fatal Python error: Segmentation fault" and then where each thread was.
        said = trace.splitlines()[0].decode("utf-8", "replace").removeprefix(_TRACE_START)
        error = f"the process crashed in this clip ({said}); --retry-failed tries it again"
        entry = replace(entry, error=error)
    return DeadRun(entry, bool(trace), set_aside, path)
