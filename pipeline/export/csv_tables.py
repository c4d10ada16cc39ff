"""Tables as CSV: RFC 4180, UTF-8, a header, one file per table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ...pose_extract.common.files import atomic_write
from ..inference.tables import ESCAPED, csv_rows
from .tables import TABLES, Columns, WriteRows

__all__ = ["open_csv"]


@contextmanager
def open_csv(places: Mapping[str, Path]) -> Iterator[WriteRows]:
    """Open CSV files to append rows to; see ``TableFormat``. An empty cell is NaN, or not known."""
    with ExitStack() as stack:
        writers = {}
        for name, path in places.items():
            temporary = stack.enter_context(atomic_write(path))
            file = stack.enter_context(
                temporary.open("w", newline="", encoding="utf-8", errors=ESCAPED)
            )
            writers[name] = csv.writer(file)
            writers[name].writerow(TABLES[name])

        def write(name: str, columns: Columns) -> None:
            writers[name].writerows(csv_rows(columns))

        yield write
