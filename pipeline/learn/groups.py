"""Which clips belong together: those of one recording are never both learned from and measured on.

Clips of a group are as alike as frames of one video. A classifier that has learned from some knows
the others by the person, the camera and the place, and its figures say nothing of new recordings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...pose_extract.sources import ClipSource

# Ends of names that number the cuts of one recording: UCF101's v_Class_g03_c02 and the like; and
# the times of Kinetics (ID_000012_000022) and FineGym (ID_E_000123_000130_A_0003_0005).
_CUT = re.compile(r"[ _.-]+(?:c|p|clip|part|cut|seg|segment|shot|scene)[ _.-]?\d+$", re.IGNORECASE)
_TIMES = re.compile(r"(?:[_-][A-Z])?[_-]\d{4,}[_-]\d{4,}$")
# A number at the end may be that of a cut, or just a number: see ``_series``.
_NUMBER = re.compile(r"[ _.-]*\(?\d+\)?$")
# What cameras and people put before a number or a date names no recording.
_CAMERA = re.compile(
    r"[\W\d_]*(?:img|vid|pxl|mvi|mov|dsc|gopr|gh|gx|dji|video|movie|clip|film)?[\W\d_]*",
    re.IGNORECASE,
)


def find_groups(
    clips: Sequence[ClipSource],
    contents: Sequence[str | None],
    on_note: Callable[[str], None] = lambda note: None,
) -> np.ndarray:
    """Return the group of each clip, as numbers.

    Clips share a group if they are cuts of one file, files of the same content, of one ``group``
    in the list, or, where the list says none, if their names are those of one series:
    ``v_Dive_g03_c01`` and ``v_Dive_g03_c02``, ``anna_1`` and ``anna_2``. Where all clips of a class
    differ in a number alone, it is no series: they are taken for recordings of their own.

    Args:
        clips: Labelled clips.
        contents: Hash of each clip's file, None where it is not known.
        on_note: Called with a sentence for each class whose clips are merely numbered.

    Returns:
        (N,) int, from 0.
    """
    names = _series(clips, on_note)
    keys: dict[tuple[str, str], int] = {}
    pairs = []
    for i, (clip, name, content) in enumerate(zip(clips, names, contents, strict=True)):
        for kind, key in (
            ("file", os.path.realpath(clip.path)),
            ("content", content),
            ("name", clip.group or name),
        ):
            if key:
                pairs.append((i, keys.setdefault((kind, key), len(keys))))
    rows, columns = np.array(pairs).T
    # A graph between clips and their keys.
    count = len(clips) + len(keys)
    links = coo_array((np.ones(len(rows)), (rows, len(clips) + columns)), shape=(count, count))
    found = connected_components(links, directed=False)[1][: len(clips)]
    groups: np.ndarray = np.unique(found, return_inverse=True)[1]
    return groups


def _series(clips: Sequence[ClipSource], on_note: Callable[[str], None]) -> list[str]:
    """Return the name of each clip's series."""
    sure = [_without_cut(clip.path.stem) for clip in clips]
    guessed = [
        _NUMBER.sub("", name) if name == c.path.stem else name for c, name in zip(clips, sure)
    ]
    names = [""] * len(clips)
    for label in sorted({clip.label or "" for clip in clips}):
        mine = [i for i, clip in enumerate(clips) if (clip.label or "") == label]
        is_numbered = len({guessed[i] for i in mine}) == 1 and len({sure[i] for i in mine}) > 1
        if is_numbered and not any(clips[i].group for i in mine):
            on_note(
                f"the names of class {label!r} differ in a number alone: each clip is taken for a "
                "recording of its own; if some are cuts of one video, say so in the column group "
                "of a list"
            )
        for i in mine:
            chosen = sure[i] if is_numbered or not _says_something(guessed[i]) else guessed[i]
            # A mere number in two folders is no one recording.
            is_name = _says_something(chosen) and not is_numbered
            names[i] = chosen if is_name else os.path.realpath(clips[i].path)
    return names


def _without_cut(stem: str) -> str:
    name = _CUT.sub("", stem)
    while (shorter := _TIMES.sub("", name)) != name:
        name = shorter
    return name if _says_something(name) else stem


def _says_something(name: str) -> bool:
    return _CAMERA.fullmatch(name) is None
