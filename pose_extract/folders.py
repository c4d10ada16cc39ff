"""Folders of videos: which files in them are taken, and what is passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from .common.own_output import is_own_output

# Suffixes that are told by name; the others are counted together.
_MOST_TOLD = 5


@dataclass
class FolderFiles:
    """The files below a folder.

    Attributes:
        taken: Those with a wanted suffix, sorted.
        passed_over: How many others there are, by what they are.
    """

    taken: list[Path] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    def passed_over_line(self) -> str | None:
        """Return one phrase, such as "10 .txt, 2 .rm, 1 hidden"; None where nothing was."""
        if not self.passed_over:
            return None
        told = self.passed_over.most_common(_MOST_TOLD)
        rest = self.passed_over.total() - sum(count for _, count in told)
        parts = [f"{count} {kind}" for kind, count in told]
        return ", ".join(parts + ([f"{rest} others"] if rest else []))


def files_below(folder: str | Path, suffixes: Collection[str]) -> FolderFiles:
    """Return the files with one of some suffixes, from the bottom of a folder up to it.

    Hidden files and folders are passed over: macOS writes a hidden ``._a.mp4`` beside ``a.mp4`` on
    foreign disks. So are overlays that skelact wrote. Links to files are taken; links to folders
    are followed once, and no folder is read twice, so that links in circles end. A file keeps the
    name that it has without links where it has one below the folder.

    Args:
        folder: Where to look; may itself be hidden, or a link.
        suffixes: In lower case, with their dots.
    """
    found = FolderFiles()
    seen: set[tuple[int, int]] = set()
    # Real folders come before links: "linked -> real" would take the names of real's files.
    links = [Path(folder)]
    while links:
        links.sort(reverse=True)
        _read_tree(links.pop(), suffixes, found, links, seen)
    found.taken.sort()
    return found


def _read_tree(
    top: Path,
    suffixes: Collection[str],
    found: FolderFiles,
    links: list[Path],
    seen: set[tuple[int, int]],
) -> None:
    """Add the files below ``top`` to ``found``, and the links to folders to ``links``."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            stat = os.stat(folder)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError:
            found.passed_over["unreadable folders"] += 1
            continue
        for entry in listed:
            path = folder / entry.name
            if entry.name.startswith("."):
                found.passed_over["hidden"] += 1
            elif not _is_folder(entry):
                _add_file(path, suffixes, found)
            elif entry.is_symlink():
                links.append(path)
            else:
                waiting.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _add_file(path: Path, suffixes: Collection[str], found: FolderFiles) -> None:
    try:
        is_file = path.is_file()
    except OSError:
        is_file = False
    suffix = path.suffix.lower()
    if not is_file:
        found.passed_over["broken links" if path.is_symlink() else "special files"] += 1
    elif suffix not in suffixes:
        found.passed_over[suffix or "without a suffix"] += 1
    elif is_own_output(path):
        found.passed_over["overlays by skelact"] += 1
    else:
        found.taken.append(path)
