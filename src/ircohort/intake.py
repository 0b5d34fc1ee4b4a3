"""Read exports as they are: every cell as text, every row with its file and line, other tables joined by key.

Nothing is interpreted here but the dialect of a file (encoding mark, delimiter, header line) and the tokens that
stand for a missing cell. What a column means is decided in normalisation.
"""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

import polars as pl

from ircohort.errors import ColumnError, ConfigurationError, FileError, RefusedError, UsageError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export, FileRead, Malformed, RawTable, TableSpec

DELIMITERS = (",", "\t", ";", "|")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
STANDARD_INPUT = "-"


def read_export(labs: TableSpec, joined: Sequence[TableSpec] = ()) -> Export:
    """Read the laboratory files and join the other tables to them.

    Parameters
    ----------
    labs
        The laboratory table: files, globs, directories, or ``-`` for standard input.
    joined
        The other tables. A row without a partner is kept, with nulls.

    Raises
    ------
    UsageError
        If a file is not there, or is of a format that is not read.
    FileError
        If a file cannot be read or decoded.
    RefusedError
        If headers repeat or differ between files, or a key is missing or not unique.
    """
    table = read_table(labs)
    others = {spec.name: read_table(spec) for spec in joined}
    rows = table.frame
    for name, other in others.items():
        rows = _join(rows, other, name)
    return Export(table, others, rows)


def read_table(spec: TableSpec) -> RawTable:
    """Read all files of one table, which must share one header."""
    paths = list(_paths(spec))
    names = _short_names(paths)
    parts = [_read_file(path, name, spec) for path, name in zip(paths, names, strict=True)]
    first = parts[0]
    for other in parts[1:]:
        if set(other.headers) != set(first.headers):
            raise RefusedError(
                f"{other.files[0].name} and {first.files[0].name} do not have the same columns.",
                expected="All files of one table have the same shape.",
                next_step="Run them apart, or name a second kind of table with --table NAME=FILE --key NAME=COLUMN.",
            )
    frame = pl.concat([part.frame.select(first.frame.columns) for part in parts])
    return RawTable(
        spec,
        frame,
        tuple(file for part in parts for file in part.files),
        tuple(row for part in parts for row in part.malformed),
    )


def _paths(spec: TableSpec) -> Iterator[str]:
    if not spec.files:
        raise UsageError(f"No file was given for the table {spec.name!r}.")
    for given in spec.files:
        found = _expand(given)
        if not found:
            raise UsageError(
                f"There is no file {given} (table {spec.name}).",
                next_step="Check the path; a path in a configuration is relative to the configuration.",
            )
        yield from found


def _expand(given: str) -> list[str]:
    path = Path(given)
    if given == STANDARD_INPUT or path.is_file():
        return [given]
    if path.is_dir():
        return sorted(str(entry) for entry in path.iterdir() if entry.is_file() and _format(entry.name) in SUFFIXES)
    return sorted(entry for entry in glob.glob(given) if Path(entry).is_file())


def _format(name: str) -> str:
    """Give the suffix that tells the format, inside ``.gz`` and ``.zip``."""
    path = PurePath(name)
    if path.suffix.lower() == ".gz":
        return PurePath(path.stem).suffix.lower()
    return ".csv" if path.suffix.lower() == ".zip" else path.suffix.lower()


def _short_names(paths: Sequence[str]) -> list[str]:
    """Name files by what tells them apart, so that results do not depend on where they lie."""
    real = [PurePath(os.path.abspath(path)) for path in paths if path != STANDARD_INPUT]
    root = os.path.commonpath([path.parent for path in real]) if real else ""
    return [
        "<stdin>" if path == STANDARD_INPUT else PurePath(os.path.relpath(os.path.abspath(path), root)).as_posix()
        for path in paths
    ]


def _read_file(path: str, name: str, spec: TableSpec) -> RawTable:
    try:
        content = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path} could not be read: {error.strerror}.") from error
    suffix = ".csv" if path == STANDARD_INPUT else _format(path)
    if suffix == ".parquet":
        columns = _parquet_cells(content, name)
        lines = list(range(1, len(next(iter(columns.values()), [])) + 1))
        malformed: tuple[Malformed, ...] = ()
    elif suffix in TEXT_SUFFIXES:
        columns, lines, malformed = _text_cells(_decode(_unpack(content, path), name, spec), name, spec)
    else:
        raise UsageError(
            f"{path} is of a format that is not read.",
            expected=f"Read are {', '.join(SUFFIXES)}, also as .gz, and .zip of one text file.",
            next_step="Save the table as CSV.",
        )
    frame = _text_frame(columns, spec.missing)
    numbers = pl.Series(SOURCE_ROW, lines, dtype=pl.Int64)
    frame = frame.select(pl.lit(name).alias(SOURCE_FILE), numbers, pl.all())
    read = FileRead(name, path, hashlib.sha256(content).hexdigest(), frame.height + len(malformed))
    return RawTable(spec, frame, (read,), malformed)


def _unpack(content: bytes, path: str) -> bytes:
    suffix = PurePath(path).suffix.lower()
    try:
        if suffix == ".gz":
            return gzip.decompress(content)
        if suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [member for member in archive.namelist() if not member.endswith("/")]
                if len(members) != 1:
                    raise UsageError(f"{path} holds {len(members)} files.", expected="A zip of one file is read.")
                return archive.read(members[0])
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise FileError(
            f"{path} could not be unpacked.", next_step="Unpack it first, and look whether it is whole."
        ) from error
    return content


def _decode(content: bytes, name: str, spec: TableSpec) -> str:
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = spec.encoding or next((codec for mark, codec in marks.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(
            f"{name} is not {encoding} (line {line}).",
            next_step=f'State its encoding in the configuration: [tables.{spec.name}] encoding = "latin-1"',
        ) from error
    except LookupError as error:
        raise ConfigurationError(f"There is no encoding {encoding!r} (table {spec.name}).") from error


Cells = tuple[dict[str, list[str]], list[int], tuple[Malformed, ...]]


def _text_cells(text: str, name: str, spec: TableSpec) -> Cells:
    """Split delimited text into columns of cells, with the line on which each row begins."""
    delimiter = spec.delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    header: list[str] | None = None
    malformed = []
    begins = 1
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = _header([cell.strip() for cell in cells], name, line)
            elif len(cells) == len(header):
                rows.append(cells)
                lines.append(line)
            else:
                malformed.append(Malformed(name, line, delimiter.join(cells), len(cells), len(header)))
    except csv.Error as error:
        raise FileError(
            f"{name} cannot be split into cells at line {begins}: {error}.",
            expected="A quotation mark inside a quoted cell is doubled.",
            next_step="Mend that line, or export the file anew.",
        ) from error
    if header is None:
        raise FileError(f"{name} is empty.", expected="The first line that is not empty holds the column names.")
    columns = (
        dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)) if rows else {key: [] for key in header}
    )
    return columns, lines, tuple(malformed)


def _delimiter(text: str) -> str:
    """Take the delimiter that stands most often in the header line."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(DELIMITERS, key=header.count)


def _header(cells: list[str], name: str, line: int) -> list[str]:
    repeated = sorted({cell for cell in cells if cell and cells.count(cell) > 1})
    if repeated:
        raise ColumnError(
            f"{name} names the column {repeated[0]!r} more than once (line {line}).",
            next_step="Rename one of them, so that it is clear which one is meant.",
        )
    return [cell or f"column {number}" for number, cell in enumerate(cells, start=1)]


def _parquet_cells(content: bytes, name: str) -> dict[str, list[str]]:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise FileError(f"{name} is not a Parquet file that can be read.") from error
    nested = [column for column, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
    if nested:
        raise ColumnError(f"{name} holds the nested column {nested[0]!r}.", expected="Plain columns are read.")
    text = frame.select(pl.all().cast(pl.String).fill_null(""))
    return {column: text[column].to_list() for column in text.columns}


def _text_frame(columns: dict[str, list[str]], missing: Iterable[str]) -> pl.DataFrame:
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    stripped = pl.all().str.strip_chars()
    return frame.select(pl.when(~stripped.is_in(list(missing))).then(stripped))


def _join(rows: pl.DataFrame, other: RawTable, name: str) -> pl.DataFrame:
    """Join one table to the laboratory rows by exact text; its key must be unique."""
    spec = other.spec
    via = spec.via or spec.key
    if spec.key not in other.headers:
        raise ColumnError(
            f"The table {name} has no column {spec.key!r} to join it by.",
            expected=f"It has: {', '.join(other.headers)}.",
            next_step=f"State its key with --key {name}=COLUMN.",
        )
    if via not in rows.columns:
        raise ColumnError(
            f"No column {via!r} leads to the table {name}.",
            expected=f"There are: {', '.join(column for column in rows.columns if not column.endswith('.#'))}.",
            next_step=f'State it in the configuration: [tables.{name}] via = "COLUMN" or "table.COLUMN"',
        )
    keyed = other.frame.filter(pl.col(spec.key).is_not_null())
    twice = keyed.filter(pl.col(spec.key).is_duplicated()).sort(spec.key, maintain_order=True)
    if twice.height:
        first = twice.head(2)
        raise RefusedError(
            f"The key {spec.key} of the table {name} is not unique "
            f"({first[SOURCE_FILE][0]}, lines {first[SOURCE_ROW][0]} and {first[SOURCE_ROW][1]}).",
            expected=f"A key names one row of the joined table; here {twice.height} rows share theirs with another.",
            next_step="Mend the table, or join it by another column.",
        )
    right = (
        other.frame.with_row_index("#")
        .filter(pl.col(spec.key).is_not_null())
        .select(
            pl.col(spec.key).alias("#key"),
            pl.col("#").cast(pl.Int64).alias(f"{name}.#"),
            *(pl.col(header).alias(f"{name}.{header}") for header in other.headers),
        )
    )
    return rows.join(right, left_on=via, right_on="#key", how="left", maintain_order="left")
