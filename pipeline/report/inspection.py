"""The page of ``skelact inspect``: the clips of a folder with frames, to sort and search."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import below
from ...pose_extract.common.text import printable
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.manifest import ManifestEntry
from ...pose_extract.store.npz import load_sequence
from ..drawing.sheet import FIGURES, TILES_PER_ROW, video_of, write_sheet
from ..inference.results import ActionPrediction
from .words import in_words
from .write import PAGE_NAME, copy_page, write_data

__all__ = ["write_inspection"]

_PAGE = "inspect.html"
# A time is rounded down to a millisecond; the frame before it would be shown.
_INTO_FRAME_SECONDS = 0.001


class Labeller(Protocol):
    """What labels skeletons: ``Predictor``."""

    def predict_sequence(self, sequence: SkeletonSequence) -> ActionPrediction:
        """Label a skeleton sequence."""


def write_inspection(
    folder: Path,
    entries: Sequence[ManifestEntry],
    videos: Path | None,
    *,
    with_frames: bool = True,
    labeller: Labeller | None = None,
    on_clip: Callable[[int, int], None] | None = None,
) -> Path:
    """Write ``inspect/index.html`` in an output folder, with a sheet of frames for each clip.

    Args:
        folder: The ``--out`` of ``skelact extract``.
        entries: The clips in the order in which the page shows them at first.
        videos: Folder of the videos; None for those that the manifest names.
        with_frames: Draw skeletons on the frames of the videos; else on a dark ground.
        labeller: Labels the clips; None shows no predictions.
        on_clip: Told after each clip how many are done, and of how many.

    Returns:
        The page.

    Raises:
        SkelactError: if ``inspect/`` holds another page.
    """
    target = folder / "inspect"
    data = target / "data" / "clips.js"
    if (target / PAGE_NAME).exists() and not data.exists():
        raise SkelactError(
            f"{target}: expected the page of an earlier skelact inspect or nothing, got another "
            f"{PAGE_NAME}; move it away"
        )
    clips = []
    for number, entry in enumerate(entries, 1):
        clips.append(_clip(folder, entry, videos, with_frames, labeller))
        if on_clip is not None:
            on_clip(number, len(entries))
    figures = [
        {"key": key, "title": title, "about": about} for key, (title, about) in FIGURES.items()
    ]
    content = {"clips": clips, "figures": figures, "tiles_per_row": TILES_PER_ROW}
    write_data(data, "clips", content)
    copy_page(target, _PAGE)
    return target / PAGE_NAME


def _clip(
    folder: Path,
    entry: ManifestEntry,
    videos: Path | None,
    with_frames: bool,
    labeller: Labeller | None,
) -> dict[str, Any]:
    """Return what the page says of a clip, and write its sheet."""
    known: dict[str, Any] = {
        "name": printable(entry.video),
        "label": None if entry.label is None else printable(entry.label),
        "error": None if entry.error is None else printable(entry.error),
        "figures": None,
    }
    if entry.status != "done" or entry.output is None:
        return {**known, "error": known["error"] or "not extracted"}
    known["figures"] = {key: getattr(entry, key) for key in FIGURES}
    try:
        sequence = load_sequence(below(folder, entry.output))
        predicted = {} if labeller is None else _predicted(labeller, sequence, entry.label)
        video = video_of(entry, videos)
        name = f"{entry.video}.jpg"
        steps = write_sheet(
            below(folder / "inspect", name), sequence, video if with_frames else None
        )
    # Whatever is wrong with one clip's skeletons, the page shows the others.
    except Exception as error:
        return {**known, "no_image": printable(error)}
    sheet = quote(os.fsencode(name))
    return {**known, **predicted, "sheet": sheet, "tiles": _tiles(sequence, steps, video)}


def _tiles(
    sequence: SkeletonSequence, steps: np.ndarray, video: Path | None
) -> list[dict[str, Any]]:
    """Return number, time and address of each frame on a sheet."""
    address = None if video is None else video.as_uri()
    tiles = []
    for step in steps.tolist():
        seconds = float(sequence.pts_seconds[step])
        place = None if address is None else f"{address}#t={seconds + _INTO_FRAME_SECONDS:.3f}"
        tiles.append({"frame": int(sequence.frame_inds[step]), "seconds": seconds, "href": place})
    return tiles


def _predicted(labeller: Labeller, sequence: SkeletonSequence, label: str | None) -> dict[str, Any]:
    found = labeller.predict_sequence(sequence)
    score = found.score
    return {
        "predicted": printable(found.words),
        "confidence_words": None if score is None else in_words(score),
        # Of labels that the classifier does not know it cannot be told.
        "is_other": label in found.label_names and found.label != label,
    }
