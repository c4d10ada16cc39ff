"""The tables of a clip: keypoints, angles, and with a classifier elements and segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ...pose_extract.skeleton import SkeletonSequence
from ..inference.tables import ANGLE_COLUMNS, KEYPOINT_COLUMNS, angle_table, keypoint_table
from ..inference.timeline import TIMELINE_COLUMNS, timeline_table

if TYPE_CHECKING:
    from ..inference.results import ActionPrediction

__all__ = ["LABEL_TABLES", "TABLES", "Labeller", "TableFormat", "WriteRows", "clip_tables"]

# Columns of equal length, by name.
Columns: TypeAlias = Mapping[str, Any]
# Appends rows to a table, given by its name.
WriteRows: TypeAlias = Callable[[str, Columns], None]

_TIMELINE_TYPES: dict[str, Any] = {
    "start_seconds": np.float64,
    "end_seconds": np.float64,
    "person": np.int64,
    "score": np.float64,
    "half_somersaults": np.int64,
    "half_twists": np.int64,
}
_SEGMENT_COLUMNS = ("clip", "start_seconds", "end_seconds", "label", "score")


def _typed(names: Sequence[str]) -> dict[str, Any]:
    return {name: _TIMELINE_TYPES.get(name, np.str_) for name in names}


# Table: its columns and their dtypes.
TABLES: dict[str, dict[str, Any]] = {
    "keypoints": KEYPOINT_COLUMNS,
    "angles": ANGLE_COLUMNS,
    "elements": _typed(TIMELINE_COLUMNS),
    "segments": _typed(_SEGMENT_COLUMNS),
}
# Tables that need a classifier.
LABEL_TABLES = ("elements", "segments")


class Labeller(Protocol):
    """Labels skeletons, as ``inference.predict.Predictor`` does."""

    def predict_sequence(self, sequence: SkeletonSequence) -> ActionPrediction:
        """Label a skeleton sequence."""


class TableFormat(Protocol):
    """A format of tables: opens files that rows are appended to."""

    def __call__(self, places: Mapping[str, Path]) -> AbstractContextManager[WriteRows]:
        """Open tables, by name, at their places.

        The files are there, whole, when the context ends without an error; else what was there
        stays. Memory does not grow with the number of rows.
        """


def clip_tables(
    sequence: SkeletonSequence, tables: Sequence[str], labeller: Labeller | None
) -> dict[str, Columns]:
    """Return tables of a clip, by name.

    Args:
        sequence: The clip's skeletons.
        tables: Names of :data:`TABLES`.
        labeller: Not needed without :data:`LABEL_TABLES`.
    """
    found: dict[str, Columns] = {}
    if "keypoints" in tables:
        found["keypoints"] = keypoint_table(sequence)
    if "angles" in tables:
        found["angles"] = angle_table(sequence)
    if labeller is not None:
        prediction = labeller.predict_sequence(sequence)
        if "elements" in tables:
            found["elements"] = timeline_table(sequence.video_id, prediction.elements)
        if "segments" in tables:
            rows = timeline_table(sequence.video_id, prediction.segments)
            found["segments"] = {name: rows[name] for name in _SEGMENT_COLUMNS}
    return found
