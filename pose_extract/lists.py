"""Lists in CSV files, as spreadsheets and pandas write them: their encoding, columns and rows."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from .. import SkelactError

LIST_SUFFIXES = frozenset((".csv", ".tsv"))

# Spreadsheets write semicolons where the decimal sign is a comma.
_DELIMITERS = ",;\t"
# The longer mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A million rows of a hundred letters are 100 MB; a video that was named .csv is refused unread.
_MOST_BYTES = 256 << 20
# Wrong rows that are told; the others are counted.
_MOST_TOLD = 10
# Whole numbers up to here are exact as float.
_MOST_WHOLE = 2**53

T = TypeVar("T")


@dataclass(frozen=True)
class ListColumns:
    """The columns that a list may have.

    Attributes:
        names: Their names; the first one has to be there.
        meant: What is meant by other names that lists in the wild have: an end of the sentence
            "unknown column NAME: ...".
    """

    names: tuple[str, ...]
    meant: Mapping[str, str]

    def check(self, given: Sequence[str]) -> None:
        """Check a header.

        Raises:
            SkelactError: if a column is unknown, without a name, given twice, or missing.
        """
        unknown = [name for name in given if name not in self.names]
        if unknown:
            told = "; ".join(f"unknown column {self._hint(name)}" for name in unknown[:_MOST_TOLD])
            raise SkelactError(f"{told}; the known ones are {', '.join(self.names)}")
        twice = [name for name in self.names if given.count(name) > 1]
        if twice:
            raise SkelactError(f"expected each column once, got {twice[0]!r} twice")
        if self.names[0] not in given:
            raise SkelactError(f"expected a column {self.names[0]!r}, got {list(given)}")

    def _hint(self, name: str) -> str:
        if not name:
            return "without a name (pandas writes one: to_csv(..., index=False) leaves it off)"
        meant = self.meant.get(name.lower().replace(" ", "_"))
        if meant is None:
            close = difflib.get_close_matches(name.lower(), self.names, n=1, cutoff=0.7)
            meant = f"is {close[0]!r} meant?" if close else None
        return f"{name!r}: {meant}" if meant else repr(name)


def read_list(
    path: str | Path, columns: ListColumns, make: Callable[[Mapping[str, str], int], T]
) -> list[T]:
    """Return what ``make`` makes of each row of a list.

    The list is UTF-8, or UTF-16 or UTF-32 with a byte order mark; its cells are separated by
    commas, semicolons or tabs. Rows without content are passed over.

    Args:
        path: The list.
        columns: The columns that it may have.
        make: Called with a row, its stripped cells by column (a column that the list does not have
            is empty), and the row's line; it raises SkelactError for a row that cannot be.

    Raises:
        SkelactError: if the list cannot be read, has other columns, no row, or rows that cannot
            be: all of them are told, up to ten.
    """
    path = Path(path)
    made: list[T] = []
    wrong: list[str] = []
    try:
        rows = _rows(_decoded(path))
        given = _header(next(rows, (0, []))[1], columns)
    except SkelactError as error:
        raise SkelactError(f"{path}: {error}") from None
    try:
        for line, cells in rows:
            try:
                made.append(make(_by_column(cells, given, columns), line))
            except SkelactError as error:
                wrong.append(f"line {line}: {error}")
    except SkelactError as error:
        wrong.append(str(error))
    _raise_wrong(path, wrong)
    if not made:
        raise SkelactError(f"{path}: the list has no line after its header")
    return made


def read_seconds(column: str, text: str) -> float | None:
    """Return a cell as seconds, None where it is empty.

    Raises:
        SkelactError: if it is no finite number.
    """
    if not text:
        return None
    value = _float(text)
    if value is None:
        comma = _float(text.replace(",", ".", 1)) is not None
        hint = " (with a decimal point, not a comma)" if comma else " such as 90.5"
        raise SkelactError(f"{column}: expected a number of seconds{hint}, got {text!r}")
    if not math.isfinite(value):
        raise SkelactError(
            f"{column}: expected a finite number of seconds, got {text!r}; leave the cell empty "
            "for the file's start or end"
        )
    return value


def read_frame(column: str, text: str) -> int | None:
    """Return a cell as a frame number, None where it is empty.

    pandas writes columns with empty cells as 12.0: a fraction of 0 is taken.

    Raises:
        SkelactError: if it is no whole number.
    """
    if not text:
        return None
    value = _float(text)
    if value is None or not math.isfinite(value) or value != int(value):
        raise SkelactError(
            f"{column}: expected a whole number, got {text!r}"
            + ("; leave the cell empty for the file's start or end" if value is not None else "")
        )
    if abs(value) > _MOST_WHOLE:
        raise SkelactError(f"{column}: expected at most {_MOST_WHOLE}, got {text!r}")
    return int(value)


def _float(text: str) -> float | None:
    # Python's own numbers may hold underscores.
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _decoded(path: Path) -> str:
    """Return the text of a list."""
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise SkelactError(f"expected a list of at most {_MOST_BYTES >> 20} MiB, got {size} B")
        data = path.read_bytes()
    except OSError as error:
        raise SkelactError(f"the list cannot be read: {error.strerror}") from None
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise SkelactError(_not_decoded(data[len(mark) :], error, path)) from None
    if "\0" in text:
        nul = text.count("\n", 0, text.index("\0")) + 1
        raise SkelactError(
            f"line {nul} holds a NUL byte: the list is damaged, or UTF-16 without a byte order "
            "mark; save it as UTF-8"
        )
    return text


def _not_decoded(data: bytes, error: UnicodeDecodeError, path: Path) -> str:
    if error.encoding != "utf-8":
        return f"expected text in {error.encoding.upper()} as its byte order mark says: {error}"
    line = data.count(b"\n", 0, error.start) + 1
    # Which of the old encodings it is cannot be told, and a guess would rename labels and files
    # without a word; the line as it would read lets the user see.
    shown = data.splitlines()[line - 1].decode("cp1252", "replace")[:80]
    target = shlex.quote(f"{path.stem}_utf8{path.suffix}")
    return (
        f"expected text in UTF-8, got byte 0x{data[error.start]:02x} in line {line}; save it as "
        f"'CSV UTF-8', or, if that line should read {shown!r}, which is Windows-1252: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {shlex.quote(path.name)} > {target}"
    )


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that have content, with the line that each begins in."""
    lines = io.StringIO(text, newline="")
    first, num_before = lines.readline(), 0
    if re.fullmatch(r"sep=[,;\t|]\r?\n?", first, re.IGNORECASE):  # told to spreadsheets
        delimiter, num_before = first[4], 1
    else:
        while first and not first.strip():
            first = lines.readline()
        # Whichever separates the header into most cells: names of columns hold none of them.
        delimiter = max(_DELIMITERS, key=first.count)
        lines.seek(0)
    # Strict: a quotation mark left open would swallow all rows after it.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = num_before + 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield line, cells
            line = num_before + reader.line_num + 1
    except csv.Error as error:
        raise SkelactError(f"line {line}: {error}; is a quotation mark left open?") from None


def _header(cells: list[str], columns: ListColumns) -> list[str]:
    while cells and not cells[-1]:  # separators at the ends of the lines
        cells = cells[:-1]
    columns.check(cells)
    return cells


def _by_column(cells: list[str], given: list[str], columns: ListColumns) -> dict[str, str]:
    if len(cells) < len(given) or any(cells[len(given) :]):
        raise SkelactError(
            f"expected {len(given)} cells as in the header, got {len(cells)}"
            + ("; a cell that holds the separator is quoted" if len(cells) > len(given) else "")
        )
    return dict.fromkeys(columns.names, "") | dict(zip(given, cells))


def _raise_wrong(path: Path, wrong: list[str]) -> None:
    if len(wrong) == 1:
        raise SkelactError(f"{path}, {wrong[0]}")
    if wrong:
        told = "".join(f"\n  {message}" for message in islice(wrong, _MOST_TOLD))
        more = len(wrong) - _MOST_TOLD
        rest = f"\n  and {more} more" if more > 0 else ""
        raise SkelactError(f"{path}: {len(wrong)} rows cannot be used:{told}{rest}")
