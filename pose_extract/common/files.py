"""Files: atomic writes, locks, hashes, and the folders that skelact uses."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import NamedTuple

from ... import SkelactError

try:
    import fcntl
except ImportError:  # Windows: there, only one run at a time may write to a folder
    fcntl = None  # type: ignore[assignment]

# Longest name of a file in bytes, on all file systems in common use.
MAX_NAME_BYTES = 255
# mkstemp puts eight letters between the prefix and the suffix of a name.
_RANDOM_BYTES = 8
_TEMPORARY_NAME = re.compile(rf"(\..*\.)[a-z0-9_]{{{_RANDOM_BYTES}}}(\.[^.]*)?", re.DOTALL)
# Longer "suffixes" are no format's: the name merely holds a dot.
_MAX_SUFFIX_BYTES = 16


class FileState(NamedTuple):
    """What tells, without reading it, that a file is the same as before."""

    num_bytes: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileState:
        """Return the state that the operating system tells of a file."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


def lock(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
    """Lock an open file until it is closed, also by the death of the process.

    Several may hold a ``shared`` lock, as long as there is none that is not.

    Returns:
        Whether the file is locked now; without ``wait`` False where another holder lives.
    """
    if fcntl is None:
        return True
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def is_at(descriptor: int, path: str | Path) -> bool:
    """Return whether an open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold the lock file ``path``, which is made, and removed at the end; waits for its holder."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        lock(descriptor, wait=True)
        if is_at(descriptor, path):
            break
        os.close(descriptor)  # its holder removed it while we waited
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def discard_leftovers(*paths: str | Path) -> None:
    """Remove the temporary files of killed writes to ``paths``.

    Those of a process that is writing now are locked, and stay.
    """
    folders: dict[Path, set[tuple[str, str]]] = {}
    for path in map(Path, paths):
        folders.setdefault(path.parent, set()).add(_temporary_affixes(path))
    for folder, affixes in folders.items():
        try:
            names = [name for name in os.listdir(folder) if name.startswith(".")]
        except OSError:
            continue  # not made yet, or no folder
        for name in names:
            # ".a.mp4.npz.x1y2z3ab.npz" belongs to a.mp4.npz; ".a.mp4.npz.bak" is the user's.
            match = _TEMPORARY_NAME.fullmatch(name)
            if match and match.groups(default="") in affixes:
                _discard(folder / name)


def _discard(leftover: Path) -> None:
    try:
        descriptor = os.open(leftover, os.O_RDWR)
    except OSError:
        return
    try:
        if lock(descriptor, wait=False):
            leftover.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _temporary_affixes(path: Path) -> tuple[str, str]:
    """Return how the names of the temporary files of writes to ``path`` begin and end."""
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _MAX_SUFFIX_BYTES else ""
    prefix = f".{path.name}."
    if len(os.fsencode(prefix + suffix)) + _RANDOM_BYTES > MAX_NAME_BYTES:
        # The name itself fits and this one would not.
        prefix = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}."
    return prefix, suffix


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


def below(folder: Path, name: str) -> Path:
    """Return a path below a folder.

    Raises:
        SkelactError: if the name, which a manifest or an entry says, leads elsewhere.
    """
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise SkelactError(f"{name}: expected a path below {folder}")
    return folder / path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends without an error.

    Whatever goes wrong inside, ``path`` is left as it was and the temporary file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = _temporary_affixes(path)
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
        lock(handle, wait=True)  # tells it from a leftover, which has no living writer
        if is_at(handle, name):
            break
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
        os.close(handle)
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
