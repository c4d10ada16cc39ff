"""Results as tables, columns of equal length (a pandas DataFrame, CSV), and as files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, check_is_no_source
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from ..angles import angle_names, measure_angles

if TYPE_CHECKING:
    import pandas

# Column: dtype.
KEYPOINT_COLUMNS = {
    "clip": np.str_,
    "person": np.int64,
    "frame": np.int64,
    "seconds": np.float64,
    "joint": np.str_,
    "x": np.float32,
    "y": np.float32,
    "score": np.float32,
}
ANGLE_COLUMNS = {
    "clip": np.str_,
    "person": np.int64,
    "frame": np.int64,
    "seconds": np.float64,
    "angle": np.str_,
    "degrees": np.float32,
    "score": np.float32,
}

_ROWS_AT_ONCE = 1 << 14
# A list of numbers as json indents it. No text has a line end: there it is an escape.
_NUMBERS = re.compile(r"\[\n[-+0-9.eE,\s]*\]")
_UNSEEN = np.float32(np.nan)
# Python holds the bytes of a file name that are not UTF-8 as lone surrogates. This writes them as
# \udcff, which readers of JSON turn back.
ESCAPED = "backslashreplace"
# Text that begins so is a formula for spreadsheets, whatever quotes are around it; after an
# apostrophe it is none (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def keypoint_table(sequence: SkeletonSequence | None) -> dict[str, np.ndarray]:
    """Return one row per person, frame and keypoint, in this order; none without a sequence.

    ``person`` is the index of the person, as in segments and elements: 0 is the athlete. ``frame``
    counts from the file's start and ``seconds`` is its presentation time from there; ``x`` and
    ``y`` are square pixels of the upright frame, NaN where the joint is not seen (score 0).
    """
    if sequence is None:
        return {name: np.empty(0, dtype) for name, dtype in KEYPOINT_COLUMNS.items()}
    seen = sequence.keypoint_scores > 0
    columns = (
        *_keys(sequence, sequence.keypoint_layout.keypoint_names),
        np.where(seen, sequence.keypoints[..., 0], _UNSEEN).ravel(),
        np.where(seen, sequence.keypoints[..., 1], _UNSEEN).ravel(),
        sequence.keypoint_scores.ravel(),
    )
    return dict(zip(KEYPOINT_COLUMNS, columns))


def angle_table(sequence: SkeletonSequence) -> dict[str, np.ndarray]:
    """Return one row per person, frame and angle of ``pipeline/angles.py``, in this order.

    ``degrees`` is NaN, and ``score`` 0, where a joint of the angle is not seen; ``score`` is the
    lowest of the angle's joints. The other columns are those of :func:`keypoint_table`.
    """
    degrees, scores = measure_angles(sequence)
    columns = (*_keys(sequence, angle_names()), degrees.ravel(), scores.ravel())
    return dict(zip(ANGLE_COLUMNS, columns))


def _keys(sequence: SkeletonSequence, names: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Return what tells rows apart, columns of M * T * len(names): clip, person, frame, ..."""
    shape = (sequence.num_person, sequence.num_frames, len(names))

    def spread(values: np.ndarray, axis: int) -> np.ndarray:
        aligned = np.expand_dims(values, [other for other in range(3) if other != axis])
        return np.broadcast_to(aligned, shape).ravel()

    return (
        np.broadcast_to(np.array(sequence.video_id), int(np.prod(shape))),
        spread(np.arange(sequence.num_person), 0),
        spread(sequence.frame_inds, 1),
        spread(sequence.pts_seconds, 1),
        spread(np.array(names), 2),
    )


def data_frame(columns: Mapping[str, Any]) -> pandas.DataFrame:
    """Return columns as a DataFrame.

    Raises:
        SkelactError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise SkelactError(
            "to_df needs pandas, which is not installed: pip install 'skelact[pandas]'"
        ) from None
    return pandas.DataFrame(dict(columns))


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as CSV, whole or not at all; NaN is an empty cell."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors=ESCAPED) as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(csv_rows(columns))


def csv_rows(columns: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the rows of columns as a CSV writer takes them; see ``table_rows``.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    for row in table_rows(columns):
        yield [
            f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
            for cell in row
        ]


def table_rows(columns: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the rows of columns as Python's values; NaN and None are empty cells."""
    arrays = [np.asarray(column) for column in columns.values()]
    for start in range(0, max(map(len, arrays), default=0), _ROWS_AT_ONCE):
        # As Python's numbers a long clip would take ten times the memory.
        part = (array[start : start + _ROWS_AT_ONCE].tolist() for array in arrays)
        for row in zip(*part):
            # NaN alone is unlike itself.
            yield ["" if value != value else value for value in row]


def json_text(values: Any) -> str:
    """Return plain values as JSON for people, too: indented, lists of numbers in one line each."""
    text = json.dumps(values, indent=1, ensure_ascii=False)
    return _NUMBERS.sub(lambda found: " ".join(found.group().split()), text) + "\n"


def json_line(values: Any) -> str:
    """Return plain values as one line of JSON, with its end."""
    return json.dumps(values, ensure_ascii=False) + "\n"


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json_text(values), encoding="utf-8", errors=ESCAPED)


def save_by_suffix(
    path: Path, writers: Mapping[str, Callable[[Path], None]], source: ClipSource | None
) -> Path:
    """Write a result with the writer that a path's suffix names, and return the path.

    Raises:
        SkelactError: if the suffix is none of the writers', or the path is that of the clip.
    """
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise SkelactError(
            f"{path}: expected a file ending in {', '.join(sorted(writers))}, got {suffix!r}"
        )
    check_is_no_source(path, [source.path] if source is not None else [])
    writers[suffix](path)
    return path
