"""How another person of a clip is labelled as the athlete: the command that does it."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...pose_extract.common.text import printable
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource

_LIST_NAME = "clips.csv"


def relabel_command(
    sequence: SkeletonSequence,
    person: int,
    source: ClipSource,
    folder: str | os.PathLike[str],
    options: Sequence[str] = (),
) -> dict[str, Any] | None:
    """Return how a clip is labelled with another person as the athlete.

    ``--subject`` takes a box of the first frame. Of a cut, and of a person who is first seen later,
    the clip is named in a list, which says where it begins.

    Args:
        sequence: The people of the clip.
        person: Index of the person.
        source: The clip.
        folder: Where the report of the new labels goes.
        options: Further options of the command.

    Returns:
        ``command``; ``subject``, the person's box; ``list_name`` and ``list_text``, None where no
        list is needed; and ``first_frame``, the source frame at which the clip then begins, None
        where it begins as it did. None for a person who is in no frame.
    """
    steps = np.flatnonzero(sequence.is_present()[person])
    if not len(steps):
        return None
    first = int(steps[0])
    box = ",".join(str(round(float(side))) for side in sequence.bboxes[person, first])
    is_later = first > 0
    clip, text = os.fspath(source.path), None
    if is_later or source.is_cut:
        clip = os.path.join(os.path.dirname(clip), _LIST_NAME)
        text = _list(sequence, source, int(sequence.frame_inds[first]) if is_later else None)
    words = ["skelact", "predict", clip, "--subject", box, *options, "--html", os.fspath(folder)]
    return {
        "command": printable(shlex.join(words)),
        "subject": box,
        "list_name": None if text is None else _LIST_NAME,
        "list_text": text,
        "first_frame": int(sequence.frame_inds[first]) if is_later else None,
    }


def _list(sequence: SkeletonSequence, source: ClipSource, first_frame: int | None) -> str:
    """Return a list, as ``skelact predict`` reads it, with the clip from a frame on."""
    row: dict[str, Any] = {"path": printable(source.path.name)}
    if first_frame is None:
        for name in ("start_seconds", "end_seconds", "start_frame", "end_frame"):
            if getattr(source, name) is not None:
                row[name] = getattr(source, name)
    else:
        row["start_frame"] = first_frame
        if source.is_cut:
            row["end_frame"] = int(sequence.frame_inds[-1]) + 1
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), lineterminator="\n")
    writer.writeheader()
    writer.writerow(row)
    return text.getvalue()
