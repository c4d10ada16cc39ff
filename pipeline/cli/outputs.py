"""What a command writes: never what it reads, and told before the work where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Options of ``pose_options`` that may name files.
_FILE_OPTIONS = ("boxes", "detector", "pose", "pose_checkpoint")
_BUNDLE_SUFFIXES = (".json", ".safetensors")


def check_outputs(
    outputs: Iterable[tuple[str, Path | None]],
    inputs: Iterable[str | Path | None],
    per_clip: Iterable[tuple[str, Path]] = (),
) -> None:
    """Check, before any work, that files can be written, and that none is read or written twice.

    Any other file that is named as an output is replaced, as users of command lines expect.

    Args:
        outputs: Options and the files that they name, None where they are not given.
        inputs: What the command reads: files, None, and names that are maybe no files; of an
            exported bundle one of its two files.
        per_clip: Outputs of one clip each. One that cannot be written costs its clip alone, so that
            their places are not looked at; ``check_folder`` is for the folder of all.

    Raises:
        SkelactError: if an output is one of the inputs, also by another name of the same file, or
            two options name one file; if an output is a folder, or lies where none can be made.
    """
    from ... import SkelactError
    from ...pose_extract.common.files import check_is_no_source

    read = [Path(name) for name in inputs if name is not None]
    read += [
        path.with_suffix(suffix)
        for path in read
        if path.suffix in _BUNDLE_SUFFIXES
        for suffix in _BUNDLE_SUFFIXES
    ]
    # One look at each file: a folder has thousands of clips, and an overlay for each.
    known = {identity for path in read if (identity := _identity(path))}
    options: dict[str, str] = {}
    given = [(option, path) for option, path in outputs if path is not None]
    for option, path in [*given, *per_clip]:
        if _identity(path) in known:
            check_is_no_source(path, read)
        other = options.setdefault(os.path.realpath(path), option)
        if other != option:
            raise SkelactError(f"{other} and {option}: expected two files, got {path} for both")
    for option, path in given:
        check_place(option, path)


def check_place(option: str, path: Path) -> None:
    """Check that a file can be at a path: no folder is, and its own is there or can be made.

    Raises:
        SkelactError: if it cannot.
    """
    from ... import SkelactError

    if os.path.isdir(path):
        raise SkelactError(f"{option}: expected a place for a file, got the folder {path}")
    check_folder(option, path.parent, path)


def check_folder(option: str, folder: Path, written: Path | None = None) -> None:
    """Check that files can be written to a folder, which is there or can be made.

    Args:
        option: The option that names it.
        folder: The folder.
        written: What is to be written, for the message; None for the folder.

    Raises:
        SkelactError: if a file is in its way, or permission is missing.
    """
    from ... import SkelactError

    nearest = folder
    while not os.path.exists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.path.isdir(nearest):
        reason = f"{nearest} is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        reason = f"no permission in {nearest}"
    else:
        return
    raise SkelactError(f"{option}: {written or folder} cannot be written: {reason}")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what all names of one file have in common, or None where there is no file."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def files_of(options: Mapping[str, Any]) -> list[str | Path]:
    """Return the values of ``pose_options`` that may be files."""
    return [options[name] for name in _FILE_OPTIONS if options.get(name) is not None]
