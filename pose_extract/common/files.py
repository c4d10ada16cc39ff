"""Files: atomic writes, hashes, and the folders that skelact uses."""

from __future__ import annotations

import glob
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ... import SkelactError


def discard_leftovers(path: str | Path) -> None:
    """Remove the temporary files of killed writes to ``path``; no process may be writing to it."""
    path = Path(path)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        leftover.unlink(missing_ok=True)


def check_is_no_source(target: str | Path, sources: Iterable[str | Path]) -> None:
    """Check that a file to be written is none of the files that are read.

    Raises:
        SkelactError: if it is, also by another name of the same file.
    """
    target = Path(target)
    if not target.exists():
        return
    for source in sources:
        if Path(source).exists() and target.samefile(source):
            raise SkelactError(
                f"{target} is one of the sources and would be lost; write to another file"
            )


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends without an error.

    Whatever goes wrong inside, ``path`` is left as it was and the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; a result gets the permissions any new file would get.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# The folder of the package ``skelact``, which is the root of a source tree.
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the user's folder for downloads: $SKELACT_CACHE, else ~/.cache/skelact."""
    if chosen := os.environ.get("SKELACT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "skelact"


def shared_folder() -> Path:
    """Return the folder of shared data: $SKELACT_SHARED, else ``shared`` beside the source tree."""
    return Path(os.environ.get("SKELACT_SHARED", PACKAGE_FOLDER.parent / "shared"))
