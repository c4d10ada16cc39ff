"""Video files as the operating system gives them: there or not, readable, the same as before."""

from __future__ import annotations

import errno
import os
import stat
from functools import lru_cache
from pathlib import Path

from ... import SkelactError
from ..common.files import MAX_NAME_BYTES, FileState, sha256_of
from ..sources import ClipSource


class SourceError(SkelactError):
    """A video file that the operating system does not give, or a result that cannot be named."""


class SourceChangedError(SourceError):
    """A video that was written to or replaced while it was read."""


def source_state(path: str | Path) -> FileState:
    """Return the state of a video file.

    Raises:
        SourceError: if there is no regular file at ``path``.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise read_error(path, error) from None
    except ValueError:
        raise SourceError(f"expected the path of a file, got one with a NUL: {path}") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a device, socket or pipe"
        raise SourceError(f"{path}: expected a video file, got {what}")
    return FileState.of(found)


def read_error(path: str | Path, error: OSError) -> SourceError:
    """Return the error of a video that the operating system fails to read.

    A disk that fails, or a file that may not be read, is not the video's own fault.
    """
    if error.errno == errno.ENOENT:
        return SourceError(f"no file at {path}")
    return SourceError(f"cannot be read: {error.strerror or error}: {path}")


def check_name(name: str) -> None:
    """Check that a file in the output folder can have a clip's name.

    Raises:
        SourceError: if it cannot.
    """
    parts = Path(f"{name}.npz").parts
    if "\0" in name or Path(name).is_absolute() or ".." in parts:
        raise SourceError(f"a clip's name must be a path inside of the output folder, got {name!r}")
    try:
        longest = max(len(os.fsencode(part)) for part in parts)
    except UnicodeEncodeError:
        raise SourceError(f"a clip's name must be that of a file, got {name!r}") from None
    if longest > MAX_NAME_BYTES:
        raise SourceError(
            f"its result would have a name of {longest} bytes and a file may have "
            f"{MAX_NAME_BYTES}; shorten the video's name"
        )


def check_can_be_read(clip: ClipSource) -> FileState:
    """Return the state of a clip's video, which can be read and whose result can be named.

    Raises:
        SourceError: otherwise.
    """
    check_name(clip.clip_id)
    state = source_state(clip.path)
    try:
        with clip.path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        raise read_error(clip.path, error) from None
    return state


def video_sha256(path: Path) -> str:
    """Return the hash of a video's content; it is read once while the file stays the same.

    Raises:
        SourceError: if there is no regular file at ``path``.
        OSError: if it cannot be read.
    """
    return _hash_file(path, source_state(path))


@lru_cache(maxsize=1024)
def _hash_file(path: Path, state: FileState) -> str:
    # The state is part of the cache's key: many clips may be cuts of one long video.
    return sha256_of(path)
