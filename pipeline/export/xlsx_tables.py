"""Tables as one Excel workbook, a sheet per table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...pose_extract.common.files import atomic_write
from ...pose_extract.common.text import printable
from ..inference.tables import FORMULA_STARTS, table_rows
from .tables import TABLES, Columns, WriteRows

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook

__all__ = ["MAX_ROWS", "open_xlsx"]

# Rows of a sheet, header included ("Excel specifications and limits", support.microsoft.com).
MAX_ROWS = 1_048_576


@contextmanager
def open_xlsx(places: Mapping[str, Path]) -> Iterator[WriteRows]:
    """Open a workbook to append rows to; see ``TableFormat``.

    All places are the same file. Rows that do not fit the sheet of a table go on in "NAME 2". Cells
    that hold no value are empty; characters that a workbook cannot hold are written as escapes.
    """
    from openpyxl import Workbook

    (path,) = set(places.values())
    # Rows go to a temporary file at once.
    workbook = Workbook(write_only=True)
    sheets = {name: _Sheets(workbook, name) for name in places}

    def write(name: str, columns: Columns) -> None:
        for row in table_rows(columns):
            sheets[name].append(row)

    with atomic_write(path) as temporary:
        try:
            yield write
        except BaseException:
            # Else they would be closed where their files are gone.
            for sheet in workbook.worksheets:
                sheet.close()
            raise
        workbook.save(temporary)


class _Sheets:
    """The sheets of one table."""

    def __init__(self, workbook: Workbook, name: str) -> None:
        self._workbook, self._name = workbook, name
        self._num_sheets = 0
        self._begin()

    def _begin(self) -> None:
        self._num_sheets += 1
        title = self._name if self._num_sheets == 1 else f"{self._name} {self._num_sheets}"
        self._sheet = self._workbook.create_sheet(title)
        self._sheet.append(list(TABLES[self._name]))
        self._num_rows = 1

    def append(self, row: list[Any]) -> None:
        if self._num_rows == MAX_ROWS:
            self._begin()
        self._sheet.append([self._cell(value) for value in row])
        self._num_rows += 1

    def _cell(self, value: Any) -> Any:
        from openpyxl.cell import WriteOnlyCell

        if not isinstance(value, str):
            return value
        if value == "":
            return None
        text = printable(value)
        if not text.startswith(FORMULA_STARTS):
            return text
        cell = WriteOnlyCell(self._sheet, text)
        cell.data_type = "s"  # a name and no formula
        cell.quotePrefix = True  # nor one when it is edited
        return cell
