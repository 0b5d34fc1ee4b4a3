"""Tables gathered piece by piece, each distinct cell held once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

from ircohort.errors import RefusedError, UsageError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, FileRead, Malformed, RawTable, TableSpec, TextColumn
from ircohort.intake.delimited import Piece, delimited_pieces
from ircohort.intake.files import SUFFIXES, TEXT_SUFFIXES, WORKBOOK_SUFFIXES, Tell, format_of, opened
from ircohort.intake.parquet import parquet_pieces
from ircohort.intake.transport import transport_pieces
from ircohort.intake.workbooks import workbook_pieces
from ircohort.parallel import each


def gather(spec: TableSpec, paths: Sequence[str], names: Mapping[str, str], tell: Tell) -> RawTable:
    """Read all files of one table, which must share one set of columns.

    Parameters
    ----------
    paths, names
        The files, and what each is called.
    tell
        Is told of each number of bytes read.

    Raises
    ------
    RefusedError
        If the files have not the same columns.
    """
    in_order = sorted(paths, key=lambda path: names[path])
    header: tuple[str, ...] = ()
    dictionaries: dict[str, pl.Categories] = {}
    parts, files, places = [], [], []
    malformed: list[Malformed] = []
    file_names = pl.Enum([names[path] for path in in_order])
    for path in in_order:
        rows = 0
        with opened(path, tell) as file:
            for piece in _pieces(file.stream, path, names[path], spec):
                if not header:
                    header = piece.header
                    dictionaries = {name: pl.Categories.random() for name in header}
                _require_same(header, piece.header, names[in_order[0]], names[path])
                parts.append(piece.cells.select(_encoded(name, dictionaries[name]) for name in header))
                places.append(_places(names[path], file_names, piece.lines))
                malformed += piece.malformed
                rows += piece.cells.height + len(piece.malformed)
            files.append(FileRead(names[path], path, file.digest(), rows))
    whole = pl.concat(parts)
    columns = each(lambda name: _column(whole[name], dictionaries[name], spec.missing), header, whole.height)
    return RawTable(spec, dict(zip(header, columns, strict=True)), pl.concat(places), tuple(files), tuple(malformed))


def _encoded(name: str, dictionary: pl.Categories) -> pl.Expr:
    return pl.col(name).cast(pl.Categorical(dictionary))


def _pieces(stream: object, path: str, name: str, spec: TableSpec) -> Iterator[Piece]:
    suffix = format_of(path)
    readers = {
        **dict.fromkeys(TEXT_SUFFIXES, delimited_pieces),
        **dict.fromkeys(WORKBOOK_SUFFIXES, workbook_pieces),
        ".parquet": parquet_pieces,
        ".xpt": transport_pieces,
    }
    if suffix not in readers:
        raise UsageError(
            f"{path} is of a format that is not read.",
            expected=f"Read are {', '.join(SUFFIXES)}; text also as .gz, and .zip of one text file.",
            next_step="Save the table as CSV or .xlsx.",
        )
    return readers[suffix](stream, name, spec)  # type: ignore[arg-type]


def _require_same(expected: Iterable[str], header: Iterable[str], first: str, name: str) -> None:
    if set(header) != set(expected):
        raise RefusedError(
            f"{name} and {first} do not have the same columns.",
            expected="All files of one table have the same shape.",
            next_step="Run them apart, or name a second kind of table with --table NAME=FILE --key NAME=COLUMN.",
        )


def _places(name: str, names: pl.Enum, lines: pl.Series) -> pl.DataFrame:
    return pl.select(pl.lit(name, dtype=names).alias(SOURCE_FILE), lines.alias(SOURCE_ROW))


def _column(cells: pl.Series, dictionary: pl.Categories, missing: Iterable[str]) -> TextColumn:
    """Take the cells of a column without the blanks around them, and without those that stand for a missing one."""
    said = [word.strip().lower() for word in missing]
    stripped = dictionary.to_series().str.strip_chars()
    known = stripped.set(stripped.str.to_lowercase().is_in(said), None)
    return TextColumn(stripped, cells.to_physical()).rewritten(known)
