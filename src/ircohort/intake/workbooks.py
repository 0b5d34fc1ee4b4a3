"""Workbooks as text: each cell as a person would write it, with the row of the sheet on which it stands."""

from __future__ import annotations

import datetime as dt
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ircohort.errors import ColumnError, FileError
from ircohort.export import TableSpec
from ircohort.intake.delimited import Piece, header_of, pieces_of_rows

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

Rows = Iterator[Sequence[Any]]

_ENCRYPTED = b"\xd0\xcf\x11\xe0"
"""How a compound file begins: an old workbook, or a new one that a password protects."""


def workbook_pieces(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:
    """Read one sheet of a workbook piece by piece; the first row that is not empty is its header.

    Whole numbers lose their ``.0``, dates become ISO dates, and error cells (``#N/A``) keep their text, so that a rule
    can reject them; in .xls, .xlsb and .ods the reader gives an error cell as an empty one.

    Raises
    ------
    FileError
        If the file is protected, damaged or empty.
    ColumnError
        If several sheets have cells and none is named, or the named one is not there.
    """
    file = io.BytesIO(stream.read())
    with _reading(name, file):
        sheets = _sheets_of_xlsx(file) if name.lower().endswith(".xlsx") else _sheets_of_others(file)
        filled = {title: _filled(rows) for title, rows in sheets.items()}
        firsts = {title: first for title, rows in filled.items() if (first := next(rows, None))}
    title = _chosen(list(sheets), list(firsts), name, spec)
    line, cells = firsts[title]
    header = header_of([cell.strip() for cell in _trimmed(cells, 0)], name, line)
    rows = ((line, _trimmed(cells, len(header))) for line, cells in filled[title])
    with _reading(name, file):
        yield from pieces_of_rows(rows, header, name)


def _filled(rows: Rows) -> Iterator[tuple[int, list[str]]]:
    """Give the rows that are not empty as text, each with its row of the sheet."""
    numbered = ((line, [_text(cell) for cell in cells]) for line, cells in enumerate(rows, start=1))
    return ((line, cells) for line, cells in numbered if any(cell.strip() for cell in cells))


@contextmanager
def _reading(name: str, stream: IO[bytes]) -> Iterator[None]:
    """Turn what the readers raise on a damaged file, which can be anything, into one error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that no cell depends on
            yield
    except Exception as error:
        stream.seek(0)
        protected = name.lower().endswith(".xlsx") and stream.read(4) == _ENCRYPTED
        raise FileError(
            f"{name} is not a workbook that can be read.",
            expected="It is protected by a password." if protected else "",
            next_step="Open it in a spreadsheet program, and save it as .xlsx without a password, or as CSV.",
        ) from error


def _sheets_of_xlsx(stream: IO[bytes]) -> Mapping[str, Rows]:
    from openpyxl import load_workbook

    book = load_workbook(stream, read_only=True, data_only=True)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what a file says of its size may be wrong
    return {sheet.title: sheet.iter_rows(values_only=True) for sheet in book.worksheets}


def _sheets_of_others(stream: IO[bytes]) -> Mapping[str, Rows]:
    from python_calamine import CalamineWorkbook, SheetTypeEnum

    book = CalamineWorkbook.from_filelike(stream)
    titles = [sheet.name for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    return {title: _rows_of(book, title) for title in titles}


def _rows_of(book: CalamineWorkbook, title: str) -> Rows:
    yield from book.get_sheet_by_name(title).iter_rows()


def _chosen(sheets: list[str], filled: list[str], name: str, spec: TableSpec) -> str:
    """Name the sheet to read: the one that is stated, or the only one with cells."""
    if spec.sheet and spec.sheet not in sheets:
        raise _sheet_question(f"{name} has no sheet {spec.sheet!r}.", sheets, spec)
    if not filled or (spec.sheet and spec.sheet not in filled):
        raise FileError(f"{name} is empty.", expected="The first row that is not empty holds the column names.")
    if not spec.sheet and len(filled) > 1:
        raise _sheet_question(f"{name} has {len(filled)} sheets with cells.", filled, spec)
    return spec.sheet or filled[0]


def _sheet_question(what: str, sheets: list[str], spec: TableSpec) -> ColumnError:
    return ColumnError(
        what,
        expected=f"Its sheets: {', '.join(map(repr, sheets))}.",
        next_step="State the one to read in the configuration: "
        f"[tables.{spec.name}] sheet = {json.dumps(sheets[0], ensure_ascii=False)}",
    )


def _trimmed(cells: list[str], width: int) -> list[str]:
    """Leave out the empty cells at the end, and fill up to the width of the header."""
    end = len(cells)
    while end > width and not cells[end - 1].strip():
        end -= 1
    return cells[:end] + [""] * (width - end)


def _text(value: Any) -> str:
    """Write a cell as text.

    Examples
    --------
    >>> _text(93.0), _text(5.2), _text("001"), _text(dt.datetime(2020, 1, 31)), _text(None)
    ('93', '5.2', '001', '2020-01-31', '')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return moment(value)
    if isinstance(value, int | float):
        return number(value)
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def number(value: float) -> str:
    """Write a number in the shortest way that is read as the same number; a whole one without decimals."""
    return str(int(value)) if value == value // 1 and abs(value) < 2**53 else repr(value)


def moment(value: dt.datetime) -> str:
    """Write a date, and the time of day if it is not midnight."""
    return value.date().isoformat() if value.time() == dt.time() else value.isoformat()
