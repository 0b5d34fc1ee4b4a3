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
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import polars as pl

from ircohort.errors import ColumnError, ConfigurationError, FileError, RefusedError, UsageError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export, FileRead, Malformed, RawTable, TableSpec

DELIMITERS = (",", "\t", ";", "|")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
STANDARD_INPUT = "-"

_PLACES = pl.Schema({SOURCE_FILE: pl.String(), SOURCE_ROW: pl.Int64()})
_DATA = re.compile(r"\d{4}-\d\d-\d\d.*|[+-]?\d*\.\d+|[<>]\s*\d.*")


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
    paths = {spec.name: list(_paths(spec)) for spec in (labs, *joined)}
    names = _short_names([path for listed in paths.values() for path in listed])
    tables = {spec.name: _read_table(spec, paths[spec.name], names) for spec in (labs, *joined)}
    table = tables.pop(labs.name)
    rows, positions = table.frame, {}
    for name in _in_order_of_keys(tables, rows.columns):
        rows, positions[name] = _join(rows, tables[name])
    return Export(table, tables, rows, positions)


def read_table(spec: TableSpec) -> RawTable:
    """Read all files of one table, which must share one header."""
    paths = list(_paths(spec))
    return _read_table(spec, paths, _short_names(paths))


def _read_table(spec: TableSpec, paths: Sequence[str], names: Mapping[str, str]) -> RawTable:
    parts = [_read_file(path, names[path], spec) for path in paths]
    first = parts[0]
    for other in parts[1:]:
        if set(other.headers) != set(first.headers):
            raise RefusedError(
                f"{other.files[0].name} and {first.files[0].name} do not have the same columns.",
                expected="All files of one table have the same shape.",
                next_step="Run them apart, or name a second kind of table with --table NAME=FILE --key NAME=COLUMN.",
            )
    return RawTable(
        spec,
        pl.concat([part.frame.select(first.frame.columns) for part in parts]),
        pl.concat([part.places for part in parts]),
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
        visible = [entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")]
        return sorted(str(entry) for entry in visible if _format(entry.name) in SUFFIXES)
    return sorted(entry for entry in glob.glob(given) if Path(entry).is_file())


def _format(name: str) -> str:
    """Give the suffix that tells the format, inside ``.gz`` and ``.zip``."""
    path = PurePath(name)
    if path.suffix.lower() == ".gz":
        return PurePath(path.stem).suffix.lower()
    return ".csv" if path.suffix.lower() == ".zip" else path.suffix.lower()


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Name files by what tells them apart, so that results do not depend on where they lie."""
    whole = {path: path if path == STANDARD_INPUT else os.path.realpath(path) for path in paths}
    if len(set(whole.values())) < len(paths):
        twice = next(path for path in paths if [whole[other] for other in paths].count(whole[path]) > 1)
        raise UsageError(f"{twice} is named twice.", next_step="Name each file once; a glob may name it already.")
    real = [PurePath(os.path.abspath(path)) for path in paths if path != STANDARD_INPUT]
    root = os.path.commonpath([path.parent for path in real]) if real else ""
    return {
        path: "<stdin>" if path == STANDARD_INPUT else PurePath(os.path.relpath(path, root or None)).as_posix()
        for path in paths
    }


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
    places = pl.DataFrame({SOURCE_FILE: [name] * frame.height, SOURCE_ROW: lines}, schema=_PLACES)
    read = FileRead(name, path, hashlib.sha256(content).hexdigest(), frame.height + len(malformed))
    return RawTable(spec, frame, places, (read,), malformed)


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
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise FileError(
            f"{path} could not be unpacked.", next_step="Unpack it first, and look whether it is whole."
        ) from error
    return content


def _decode(content: bytes, name: str, spec: TableSpec) -> str:
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = spec.encoding or next((codec for mark, codec in marks.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(
            f"{name} is not {encoding} (line {line}).",
            next_step=f'State its encoding in the configuration: [tables.{spec.name}] encoding = "latin-1"',
        ) from error
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigurationError(f"There is no encoding {encoding!r} (table {spec.name}).") from error


Cells = tuple[dict[str, list[str]], list[int], tuple[Malformed, ...]]


def _text_cells(text: str, name: str, spec: TableSpec) -> Cells:
    """Split delimited text into columns of cells, with the line on which each row begins."""
    delimiter = spec.delimiter or _delimiter(text)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigurationError(f"The delimiter of the table {spec.name} cannot be used.", expected="One character.")
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
    data = [number for number, cell in enumerate(cells, start=1) if _DATA.fullmatch(cell)]
    if data:
        raise ColumnError(
            f"The first line of {name} holds data, not column names (line {line}, cell {data[0]}).",
            expected="The first line that is not empty names the columns.",
            next_step="Add a line with their names.",
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
    return {column: _as_text(frame[column]).fill_null("").to_list() for column in frame.columns}


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S")
    if column.dtype == pl.Duration:
        return column.dt.total_microseconds().cast(pl.String)
    return column.cast(pl.String)


def _text_frame(columns: dict[str, list[str]], missing: Iterable[str]) -> pl.DataFrame:
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    stripped = pl.all().str.strip_chars()
    return frame.select(pl.when(~stripped.is_in(list(missing))).then(stripped))


def _in_order_of_keys(tables: Mapping[str, RawTable], headers: Iterable[str]) -> Iterator[str]:
    """Order joined tables so that each comes after the one that holds its key, in whatever order they are listed."""
    known, waiting = set(headers), dict(tables)
    while waiting:
        ready = [name for name, table in waiting.items() if (table.spec.via or table.spec.key) in known]
        name = (ready or list(waiting))[0]
        known |= {f"{name}.{header}" for header in waiting.pop(name).headers}
        yield name


def _join(rows: pl.DataFrame, other: RawTable) -> tuple[pl.DataFrame, pl.Series]:
    """Join one table to the laboratory rows by exact text; its key must be unique."""
    spec = other.spec
    name, via = spec.name, spec.via or spec.key
    if spec.key not in other.headers:
        raise ColumnError(
            f"The table {name} has no column {spec.key!r} to join it by.",
            expected=f"It has: {', '.join(other.headers)}.",
            next_step=f"State its key with --key {name}=COLUMN.",
        )
    if via not in rows.columns:
        raise ColumnError(
            f"No column {via!r} leads to the table {name}.",
            expected=f"There are: {', '.join(rows.columns)}.",
            next_step=f'State it in the configuration: [tables.{name}] via = "COLUMN" or "table.COLUMN"',
        )
    taken = [header for header in other.headers if f"{name}.{header}" in rows.columns]
    if taken:
        raise ColumnError(
            f"The laboratory table has a column {name}.{taken[0]}, as the joined table {name} would.",
            next_step="Give the joined table another name with --table NAME=FILE.",
        )
    keys = other.frame[spec.key]
    _require_unique(keys, other)
    lookup = {key: position for position, key in enumerate(keys.to_list()) if key is not None}
    positions = rows[via].replace_strict(lookup, default=None, return_dtype=pl.Int64)
    columns = [other.frame[header].gather(positions).alias(f"{name}.{header}") for header in other.headers]
    return rows.hstack(columns), positions


def _require_unique(keys: pl.Series, table: RawTable) -> None:
    twice = table.places.filter(keys.is_not_null() & keys.is_duplicated())
    if twice.height:
        known = keys.filter(keys.is_not_null() & keys.is_duplicated())
        first, second = twice.filter(known == known[0])[SOURCE_ROW].head(2)
        raise RefusedError(
            f"The key {table.spec.key} of the table {table.spec.name} is not unique "
            f"({twice[SOURCE_FILE][0]}, lines {first} and {second}).",
            expected=f"A key names one row of the joined table; here {twice.height} rows share theirs with another.",
            next_step="Mend the table, or join it by another column.",
        )
