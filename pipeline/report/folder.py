"""The folder of a report: whole or absent, and never in the place of anything of the user's."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ... import SkelactError
from ...pose_extract.common.files import lock
from ...pose_extract.common.text import printable

# Names what a report consists of: by it a report that is there is known, and may be replaced.
FILE_LIST = "report-files.json"
# Locked while a report is written: by it a leftover of a killed run is known.
_LOCK_NAME = "in-work"


def check_report_folder(
    folder: str | Path, others: Iterable[str | Path] = (), option: str = "--html"
) -> None:
    """Check that a folder is not there, is empty or holds a report alone, which is replaced.

    Args:
        folder: Where a report is to be.
        others: Files that are read or written beside it: none may lie in the folder.
        option: What names the folder, for the message.

    Raises:
        SkelactError: if it holds anything else, or one of the others.
    """
    path = _resolved(folder)
    for other in others:
        if path in Path(os.path.realpath(other)).parents:
            raise SkelactError(
                f"{option}: expected a folder of its own, got {printable(path)}, in which "
                f"{printable(other)} is"
            )
    if not path.exists():
        return
    if not path.is_dir():
        raise SkelactError(f"{option}: expected a folder, got the file {printable(path)}")
    known = _listed_files(path)
    for found in _files(path):
        if found not in known:
            raise SkelactError(
                f"{option}: expected a new folder or one that holds a report alone, got "
                f"{printable(path)} with {printable(found)}; name another folder"
            )


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """Give a new folder that takes the place of ``folder`` when the block ends without an error.

    Whatever goes wrong inside, ``folder`` is left as it was. The new one may be left empty: then
    nothing is changed, either.

    Raises:
        SkelactError: if there is anything but a report in ``folder``, see ``check_report_folder``.
    """
    path = _resolved(folder)
    check_report_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _discard_leftovers(path)
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    lock_file = new / _LOCK_NAME
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(descriptor, wait=True)
        inside = new / "report"
        inside.mkdir()
        yield inside
        files = _files(inside)
        if files:
            text = json.dumps({"files": sorted([*files, FILE_LIST])}, indent=1)
            (inside / FILE_LIST).write_text(text, encoding="utf-8")
            # What has come into the folder meanwhile is the user's.
            check_report_folder(path)
            _exchange(path, inside, new / "old")
    finally:
        os.close(descriptor)
        shutil.rmtree(new, ignore_errors=True)


def _resolved(folder: str | Path) -> Path:
    # A link stays a link: the folder that it names is exchanged.
    return Path(os.path.realpath(folder))


def _exchange(path: Path, new: Path, old: Path) -> None:
    is_there = path.exists()
    if is_there:
        os.rename(path, old)
    try:
        os.rename(new, path)
    except OSError:
        if is_there:
            os.rename(old, path)
        raise


def _files(folder: Path) -> list[str]:
    """Return everything below a folder but folders, as relative names with slashes."""
    found = []
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in [*names, *links]:
            found.append(Path(parent, name).relative_to(folder).as_posix())
    return found


def _listed_files(folder: Path) -> set[str]:
    try:
        listed = json.loads((folder / FILE_LIST).read_text(encoding="utf-8"))["files"]
        return {name for name in listed if isinstance(name, str)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _discard_leftovers(path: Path) -> None:
    """Remove what killed runs left beside a report; that of a run that lives is locked."""
    name = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}")
    for leftover in path.parent.iterdir():
        lock_file = leftover / _LOCK_NAME
        if not name.fullmatch(leftover.name) or not lock_file.is_file():
            continue
        # A run that was killed while it exchanged the folders leaves the only copy there.
        if (leftover / "old").exists() and not path.exists():
            continue
        descriptor = os.open(lock_file, os.O_RDWR)
        try:
            if lock(descriptor, wait=False):
                shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(descriptor)
