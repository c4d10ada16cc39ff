"""Tables as Apache Parquet, one file per table, a row group per clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...pose_extract.common.files import atomic_write
from ..inference.tables import ESCAPED
from .tables import TABLES, Columns, WriteRows

__all__ = ["open_parquet"]


@contextmanager
def open_parquet(places: Mapping[str, Path]) -> Iterator[WriteRows]:
    """Open Parquet files to append rows to; see ``TableFormat``.

    What is not known is null, an unseen joint's x and y NaN.
    """
    import pyarrow
    from pyarrow import parquet

    types = {
        np.str_: pyarrow.string(),
        np.int64: pyarrow.int64(),
        np.float64: pyarrow.float64(),
        np.float32: pyarrow.float32(),
    }
    schemas = {
        name: pyarrow.schema([(column, types[dtype]) for column, dtype in TABLES[name].items()])
        for name in places
    }
    with ExitStack() as stack:
        writers = {}
        for name, path in places.items():
            temporary = stack.enter_context(atomic_write(path))
            writers[name] = stack.enter_context(parquet.ParquetWriter(temporary, schemas[name]))

        def write(name: str, columns: Columns) -> None:
            text = [column for column, dtype in TABLES[name].items() if dtype is np.str_]
            values = {**columns, **{column: _unicode(columns[column]) for column in text}}
            writers[name].write_table(pyarrow.table(values, schema=schemas[name]))

        yield write


def _unicode(values: Any) -> list[str | None]:
    """Return text that UTF-8 can hold; repeated names, most of a column, are looked at once."""
    known: dict[str | None, str | None] = {None: None}
    found = np.asarray(values).tolist()
    for value in set(found) - {None}:
        known[value] = value.encode("utf-8", ESCAPED).decode("utf-8")
    return [known[value] for value in found]
