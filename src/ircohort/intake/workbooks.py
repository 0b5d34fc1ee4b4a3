"""Workbooks as text: each cell as a person would write it, with the row of the sheet on which it stands."""

from __future__ import annotations

import datetime as dt
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from ircohort.errors import ColumnError, FileError
from ircohort.export import TableSpec
from ircohort.intake.delimited import Piece, header_of, pieces_of_rows

Rows = Iterator[tuple[int, Sequence[Any]]]
"""Rows of cells as Python values, each with its row of the sheet, from 1; the first cell is that of column A."""

MOST_ROWS = 1 << 20
"""The rows of a sheet; a damaged file may name one far beyond."""

_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How a compound file begins: an .xls, or an .xlsx that a password protects."""
_PROTECTED = "EncryptedPackage".encode("utf-16-le")
"""What a compound file holds that is a protected .xlsx."""
_DATE, _TRUTH, _ERROR = 3, 4, 5  # kinds of cells in an .xls, as xlrd counts them


def workbook_pieces(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:
    """Read one sheet of a workbook piece by piece; the first row that is not empty is its header.

    Whole numbers lose their ``.0``, dates become ISO dates, times and durations ``08:30:00`` and ``36:00:00``. Error
    cells (``#N/A``) keep their text, and so do formulas that no program has calculated (``=A2*2``), so that a rule can
    reject them. Which of the two forms a workbook has is told by its first bytes, not by its name. Of an .xls no
    format of a cell is read but whether it shows a date: a duration beyond a day is a date of 1900 there.

    Raises
    ------
    FileError
        If the file is protected, damaged or empty.
    ColumnError
        If several sheets have cells and none is named, or the named one is not there.
    """
    content = stream.read()
    with _reading(name, content):
        sheets = _sheets_of_xls(content) if content.startswith(_COMPOUND) else _sheets_of_xlsx(content)
        filled = {title: _filled(rows) for title, rows in sheets.items()}
        firsts = {title: first for title, rows in filled.items() if (first := next(rows, None))}
    title = _chosen(list(sheets), list(firsts), name, spec)
    line, cells = firsts[title]
    header = header_of([cell.strip() for cell in _trimmed(cells, 0)], name, line)
    rows = ((line, _trimmed(cells, len(header))) for line, cells in filled[title])
    with _reading(name, content):
        yield from pieces_of_rows(rows, header, name)


def _filled(rows: Rows) -> Iterator[tuple[int, list[str]]]:
    """Give the rows that are not empty as text, each with its row of the sheet."""
    texts = ((line, [_text(cell) for cell in cells]) for line, cells in rows)
    return ((line, cells) for line, cells in texts if any(cell.strip() for cell in cells))


@contextmanager
def _reading(name: str, content: bytes) -> Iterator[None]:
    """Turn what the readers raise on a damaged file, which can be anything, into one error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that no cell depends on
            yield
    except Exception as error:
        protected = content.startswith(_COMPOUND) and (_PROTECTED in content or "encrypted" in str(error))
        raise FileError(
            f"{name} is protected by a password." if protected else f"{name} is not a workbook that can be read.",
            expected="" if protected else "An undamaged .xlsx, .xlsm or .xls; text under such a name is none.",
            next_step="Open it in a spreadsheet program, and save it as .xlsx without a password, or as CSV.",
        ) from error


def _sheets_of_xlsx(content: bytes) -> Mapping[str, Rows]:
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    return {sheet.title: _rows_of_xlsx(sheet) for sheet in book.worksheets}


def _rows_of_xlsx(sheet: Any) -> Rows:
    """Give the rows as they stand in the file.

    ``iter_rows`` of the sheet would fill gaps without an end, drop rows out of order, and give a formula that no
    program has calculated as an empty cell.
    """
    from openpyxl.worksheet._reader import FORMULA_TAG, WorkSheetParser

    class Parser(WorkSheetParser):
        def parse_cell(self, element: Any) -> dict[str, Any]:
            cell: dict[str, Any] = super().parse_cell(element)
            if cell["value"] is None and cell["data_type"] != "str":  # which is a text, here the empty one
                formula = element.find(FORMULA_TAG)
                cell["value"] = None if formula is None else f"={formula.text or ''}"
            return cell

    book = sheet.parent
    with sheet._get_source() as source:
        parser = Parser(source, sheet._shared_strings, True, book.epoch, book._date_formats, book._timedelta_formats)
        for line, cells in parser.parse():
            if not 1 <= line <= MOST_ROWS:
                raise ValueError("a row beyond the sheet")
            values = {cell["column"]: cell["value"] for cell in cells}
            yield line, [values.get(column) for column in range(1, max(values, default=0) + 1)]


def _sheets_of_xls(content: bytes) -> Mapping[str, Rows]:
    import xlrd

    log = io.StringIO()
    _require_an_end(xlrd.compdoc.CompDoc(content, log))
    book = xlrd.open_workbook(file_contents=content, logfile=log, on_demand=True, ragged_rows=True)
    return {title: _rows_of_xls(book, title) for title in book.sheet_names()}


def _require_an_end(document: Any) -> None:
    """Raise on a chain of short sectors that runs in a circle, which xlrd would follow for ever."""
    for entry in document.dirlist:
        sector = entry.first_SID
        if entry.name.lower() in ("workbook", "book") and entry.tot_size < document.min_size_std_stream:
            seen = set[int]()
            while sector >= 0:
                if sector in seen:
                    raise ValueError("a chain without an end")
                seen.add(sector)
                sector = document.SSAT[sector]


def _rows_of_xls(book: Any, title: str) -> Rows:
    sheet = book.sheet_by_name(title)
    for row in range(sheet.nrows):
        cells = zip(sheet.row_types(row), sheet.row_values(row), strict=True)
        yield row + 1, [_value_of_xls(kind, value, book.datemode) for kind, value in cells]


def _value_of_xls(kind: int, value: Any, datemode: int) -> Any:
    if kind == _DATE:
        return _date_of_xls(value, datemode)
    if kind == _ERROR:
        from xlrd import error_text_from_code

        return error_text_from_code.get(value, "#ERROR!")
    return bool(value) if kind == _TRUTH else value


def _date_of_xls(value: float, datemode: int) -> dt.datetime | dt.time | float:
    """Give a date, or the time of a day that is not stated; beyond the year 9999 the number as it is stored."""
    from xlrd.xldate import xldate_as_datetime

    try:
        date: dt.datetime = xldate_as_datetime(value, datemode)
    except (OverflowError, ValueError):
        return value
    return date.time() if 0 <= value < 1 else date


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
    >>> _text(93.0), _text(5.2), _text("001"), _text(dt.datetime(2020, 1, 31)), _text(True), _text(None)
    ('93', '5.2', '001', '2020-01-31', 'true', '')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return moment(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dt.timedelta):
        return clock(value)
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def number(value: float) -> str:
    """Write a number in the shortest way that is read as the same number; a whole one without decimals."""
    return str(int(value)) if value == value // 1 and abs(value) < 2**53 else repr(value)


def moment(value: dt.datetime) -> str:
    """Write a date, and the time of day if it is not midnight."""
    return value.date().isoformat() if value.time() == dt.time() else value.isoformat()


def clock(value: dt.timedelta) -> str:
    """Write a time of day or a duration in hours, minutes and seconds.

    Examples
    --------
    >>> clock(dt.timedelta(hours=8, minutes=30)), clock(dt.timedelta(days=1, hours=12))
    ('08:30:00', '36:00:00')
    """
    hours, rest = divmod(abs(value), dt.timedelta(hours=1))
    sign = "-" if value < dt.timedelta() else ""
    return f"{sign}{hours:02}{(dt.datetime.min + rest).time().isoformat()[2:]}"
