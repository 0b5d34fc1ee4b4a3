"""An export as it was read: what intake hands on and normalisation understands. Records only, every cell as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "NULL", "None", ".", "-")
"""Cells that stand for "not measured" unless the configuration lists others; case does not count."""

SOURCE_FILE, SOURCE_ROW = "source_file", "source_row"


@dataclass(frozen=True)
class TableSpec:
    """Where a table is, how it is written, and how it hangs together with the others.

    ``key`` is the header of its key column, unique in it; ``via`` the header that holds the same key in the
    laboratory table, or ``table.Header`` where it stands in another joined table (default: ``key`` itself).
    ``decimal`` (a point unless stated) and ``thousands`` say how its numbers are written, ``sheet`` which sheet of a
    workbook it is.
    """

    name: str
    files: tuple[str, ...] = ()
    key: str = ""
    via: str = ""
    missing: tuple[str, ...] = MISSING
    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    thousands: str = ""
    sheet: str = ""


@dataclass(frozen=True)
class FileRead:
    """One file that was read: its short name, its path as given, SHA-256 of its bytes, and its count of rows."""

    name: str
    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Malformed:
    """A row that has another number of cells than the header, kept as text."""

    source_file: str
    source_row: int
    text: str
    cells: int
    expected: int


@dataclass(frozen=True)
class TextColumn:
    """A column of text in which each distinct cell is held once, so that memory and work grow with what differs.

    ``texts``: the distinct cells, sorted, none missing. ``codes``: for each row the place of its cell in ``texts``,
    null where it is missing. So the order of codes is the order of texts, whatever the order of rows.
    """

    texts: pl.Series
    codes: pl.Series

    def of(self, answers: pl.Series) -> pl.Series:
        """Give each row the answer for its cell: ``answers`` has one for each of ``texts``."""
        return answers.gather(self.codes)

    def text(self) -> pl.Series:
        """Give the column row by row."""
        return self.of(self.texts)

    def rewritten(self, answers: pl.Series) -> TextColumn:
        """Give the column with each cell replaced by the answer for it; cells whose answer is null are missing."""
        known = pl.DataFrame({"text": answers}).with_row_index("place").drop_nulls().sort("text")
        code = known["text"].rle_id()
        code_of_answer = pl.repeat(None, len(answers), dtype=pl.UInt32, eager=True).scatter(known["place"], code)
        is_first = (code != code.shift(1)).fill_null(True)
        return TextColumn(known["text"].filter(is_first), self.of(code_of_answer))

    def at(self, rows: pl.Series) -> TextColumn:
        """Take the given rows, which may repeat or be null."""
        return TextColumn(self.texts, self.codes.gather(rows))


@dataclass(frozen=True)
class RawTable:
    """A table as text.

    ``columns`` by header, in the order of the file; ``places``, row by row, ``source_file`` and ``source_row``.
    """

    spec: TableSpec
    columns: Mapping[str, TextColumn]
    places: pl.DataFrame
    files: tuple[FileRead, ...]
    malformed: tuple[Malformed, ...] = ()

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of the file, in their order."""
        return tuple(self.columns)

    @property
    def frame(self) -> pl.DataFrame:
        """The table as text, row by row, a missing cell null."""
        return pl.DataFrame([column.text().alias(header) for header, column in self.columns.items()])


@dataclass(frozen=True)
class Export:
    """Laboratory rows with what was joined to them.

    ``columns`` holds the laboratory columns, and those of joined tables as ``table.Header``; ``positions``, for each
    joined table, the row of it that each laboratory row led to (null where none fits).
    """

    labs: RawTable
    joined: Mapping[str, RawTable]
    columns: Mapping[str, TextColumn]
    positions: Mapping[str, pl.Series]

    @property
    def height(self) -> int:
        """The number of laboratory rows."""
        return self.labs.places.height

    @property
    def files(self) -> tuple[FileRead, ...]:
        """All files that were read, laboratory files first."""
        return (*self.labs.files, *(file for table in self.joined.values() for file in table.files))

    def table_of(self, header: str) -> str:
        """Name the joined table that a column stands in; empty for the laboratory table."""
        if header in self.labs.columns:
            return ""
        return next(name for name in self.joined if header.startswith(f"{name}."))
