"""An export as it was read: what intake hands on and normalisation understands. Records only, every cell as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "none", ".", "-")
"""Cells that stand for "not measured" unless the configuration lists others."""

SOURCE_FILE, SOURCE_ROW = "source_file", "source_row"


@dataclass(frozen=True)
class TableSpec:
    """Where a table is and how it hangs together with the others.

    ``key`` is the header of its key column, unique in it; ``via`` the header that holds the same key in the
    laboratory table, or ``table.Header`` where it stands in another joined table (default: ``key`` itself).
    """

    name: str
    files: tuple[str, ...] = ()
    key: str = ""
    via: str = ""
    missing: tuple[str, ...] = MISSING
    encoding: str = ""
    delimiter: str = ""


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
class RawTable:
    """A table as text, a missing cell null.

    ``frame`` has the columns of the file; ``places``, row by row, ``source_file`` and ``source_row``.
    """

    spec: TableSpec
    frame: pl.DataFrame
    places: pl.DataFrame
    files: tuple[FileRead, ...]
    malformed: tuple[Malformed, ...] = ()

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of the file, in their order."""
        return tuple(self.frame.columns)


@dataclass(frozen=True)
class Export:
    """Laboratory rows with what was joined to them.

    ``rows`` holds the laboratory columns, and those of joined tables as ``table.Header``; ``positions``, for each
    joined table, the row of it that each laboratory row led to (null where none fits).
    """

    labs: RawTable
    joined: Mapping[str, RawTable]
    rows: pl.DataFrame
    positions: Mapping[str, pl.Series]

    @property
    def files(self) -> tuple[FileRead, ...]:
        """All files that were read, laboratory files first."""
        return (*self.labs.files, *(file for table in self.joined.values() for file in table.files))
