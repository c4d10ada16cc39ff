"""A user's labelled clips: class folders, or a CSV list."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from ... import SkelactError
from ...pose_extract.lists import LIST_SUFFIXES
from ...pose_extract.sources import ClipSource, find_sources

# Names of splits, in a list and as folders above the class folders.
SPLITS = ("train", "val", "test")

_EXPECTED = (
    "expected a folder with a folder of clips per class (dataset/CLASS/clip.mp4), or a CSV list "
    "with the columns path,label"
)


def read_dataset(
    path: str | Path, on_note: Callable[[str], None], work_dir: str | Path | None = None
) -> list[ClipSource]:
    """Return the labelled clips of a data set.

    A folder has a folder per class, or ``train``, ``val`` and ``test`` with a folder per class
    each. A list has the columns of ``find_sources``.

    Args:
        path: The folder, or the list.
        on_note: Called with a sentence for what is left out.
        work_dir: Folder of results, which is no class folder if it lies in the data set.

    Raises:
        SkelactError: if it is neither, a class folder holds no clip, there are fewer than two
            classes, or some clips have a split and others none.
    """
    path = Path(path)
    if path.is_dir():
        clips = _clips_of_folders(path, on_note)
        _check_no_empty_folder(path, clips, work_dir)
    elif path.suffix.lower() in LIST_SUFFIXES:
        clips = _clips_of_list(path, on_note)
    else:
        is_there = "got a file of another kind" if path.exists() else "there is nothing"
        raise SkelactError(f"{path}: {_EXPECTED}; {is_there}")
    check_classes(path, clips)
    _check_splits(path, clips)
    return clips


def check_classes(path: str | Path, clips: Iterable[ClipSource]) -> None:
    """Check that clips are of two classes at least.

    Raises:
        SkelactError: if they are not.
    """
    found = sorted({clip.label for clip in clips if clip.label})
    if len(found) < 2:
        raise SkelactError(
            f"{path}: expected clips of two classes or more, got {', '.join(found) or 'none'}; a "
            "classifier tells classes apart: add clips of something else as a second class"
        )


def _clips_of_folders(root: Path, on_note: Callable[[str], None]) -> list[ClipSource]:
    found: list[ClipSource] = []
    beside = 0
    for clip in find_sources(root, on_note):
        parts = Path(clip.clip_id).parts
        split = parts[0] if parts[0] in SPLITS and len(parts) > 2 else None
        if len(parts) < 2:
            beside += 1
            continue
        found.append(replace(clip, label=parts[1] if split else parts[0], split=split))
    if not found:
        raise SkelactError(f"{root}: {_EXPECTED}; got {beside} clips without a class folder")
    if beside:
        on_note(f"{beside} clips beside the class folders of {root} are left out")
    return found


def _check_no_empty_folder(
    root: Path, clips: Iterable[ClipSource], work_dir: str | Path | None
) -> None:
    """Check that each class folder holds a clip; the one with skelact's own results is none."""
    work = Path(os.path.realpath(work_dir)) if work_dir is not None else None
    used = {Path(clip.clip_id).parts[: 2 if clip.split else 1] for clip in clips}
    with os.scandir(root) as listed:
        folders: list[tuple[str, ...]] = [(entry.name,) for entry in listed if entry.is_dir()]
    for split in SPLITS:
        if (split,) in folders and not any(parts == (split,) for parts in used):
            folders.remove((split,))
            with os.scandir(root / split) as listed:
                folders += [(split, entry.name) for entry in listed if entry.is_dir()]
    empty = [
        os.path.join(*parts)
        for parts in sorted(folders)
        if parts not in used
        and not parts[-1].startswith(".")
        and not (work and work.is_relative_to(os.path.realpath(root.joinpath(*parts))))
    ]
    if empty:
        raise SkelactError(
            f"{root}: no clip in {', '.join(empty)}; expected clips in each class folder: fill or "
            "remove it"
        )


def _clips_of_list(path: Path, on_note: Callable[[str], None]) -> list[ClipSource]:
    clips = find_sources(path, on_note)
    labelled = [clip for clip in clips if clip.label]
    if not labelled:
        raise SkelactError(f"{path}: no row has a label; {_EXPECTED}")
    if len(labelled) < len(clips):
        on_note(f"{len(clips) - len(labelled)} rows of {path} without a label are left out")
    return labelled


def _check_splits(path: Path, clips: list[ClipSource]) -> None:
    counts = Counter(clip.split for clip in clips)
    if set(counts) == {None}:
        return
    unknown = sorted(split for split in counts if split and split not in SPLITS)
    if unknown:
        raise SkelactError(
            f"{path}: expected the splits {', '.join(SPLITS)}, got {', '.join(unknown)}"
        )
    if counts[None]:
        raise SkelactError(
            f"{path}: expected a split for all clips or for none, got {counts[None]} of "
            f"{len(clips)} without one"
        )
    if not counts["train"]:
        raise SkelactError(f"{path}: no clip is in the split 'train'")
    if not counts["val"] and not counts["test"]:
        raise SkelactError(
            f"{path}: all clips are in the split 'train'; leave the splits out, and clips to "
            "measure on are chosen, or add a split 'test'"
        )
