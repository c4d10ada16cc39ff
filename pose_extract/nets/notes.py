"""What was found out about a network on a machine once, kept in the user's cache."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..common.files import atomic_write


class MachineNotes:
    """A JSON file with a note per machine.

    Args:
        path: The file.
        required: Key that each note has, and the values that it may have.
    """

    def __init__(self, path: Path, required: tuple[str, tuple[str, ...]]) -> None:
        self._path = path
        self._key, self._values = required

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the notes by machine; none where the file is damaged."""
        try:
            notes = json.loads(self._path.read_text(encoding="utf-8"))
            return {name: note for name, note in notes.items() if note[self._key] in self._values}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def add(self, machine: str, note: Mapping[str, Any]) -> None:
        """Keep a note. Of two that are added at the same time one may be lost.

        Raises:
            OSError: if the file cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as temporary:
            text = json.dumps(self.read() | {machine: dict(note)}, indent=1) + "\n"
            temporary.write_text(text, encoding="utf-8")


def releases(*names: str) -> str:
    """Return packages that are installed, with their versions."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def processor_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
