"""Delimited text in pieces: encoding, line ends, header, and rows of cells with the line on which each begins.

A piece without quotation marks is split by polars, and its separators are counted: only if every line has as many as
the header was polars right to fill no cell and drop none. Any other piece is split by Python's `csv`, strictly.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO

import numpy as np
import polars as pl

from ircohort.errors import ColumnError, ConfigurationError, FileError
from ircohort.export import Malformed, TableSpec
from ircohort.parallel import ahead

DELIMITERS = (",", "\t", ";", "|")
BLOCK_BYTES = 1 << 24
"""How much text is split at a time."""
HEADER_BYTES = 1 << 16
"""How far to look for the header at first."""
ROWS_AT_A_TIME = 1 << 17
"""How many rows that are not text are taken at a time."""

_DATA = re.compile(r"\d{4}-\d\d-\d\d.*|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}.*|[+-]?\d*\.\d+|[<>]\s*\d.*")
_SEPARATOR_LINE = re.compile(r"\s*sep=(?P<delimiter>.)\n", re.IGNORECASE)  # how spreadsheets state the delimiter
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Piece:
    """Some rows of a file: its header, their cells, the line on which each begins, and the rows of another width."""

    header: tuple[str, ...]
    cells: pl.DataFrame
    lines: pl.Series
    malformed: tuple[Malformed, ...] = ()


def delimited_pieces(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:
    """Read delimited text piece by piece; the first piece may have no rows, so that the header is known.

    Raises
    ------
    FileError
        If the bytes are not of the encoding, or a row cannot be split into cells.
    ColumnError
        If a header repeats, or the first line holds data.
    ConfigurationError
        If the stated encoding or delimiter cannot be.
    """
    return ahead(_pieces(ahead(_whole_lines(_unix_line_ends(_utf8(stream, name, spec)))), name, spec))


def _pieces(blocks: Iterator[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:
    splitter, blocks = _begin(next(blocks, b""), blocks, name, spec)
    yield piece_of_rows([], splitter.header, name)
    pending, enough = b"", 1
    for block in blocks:
        if len(pending) >= enough:
            if piece := splitter.split(pending, final=False):
                yield piece
                pending, enough = b"", 1
            else:  # it ends inside a quoted cell
                enough = 2 * len(pending)
        pending += block
    if pending and (piece := splitter.split(pending, final=True)):
        yield piece


def _utf8(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[bytes]:
    """Give the text in UTF-8, without its mark."""
    chunk = stream.read(BLOCK_BYTES)
    start = chunk if len(chunk) >= 4 else chunk + stream.read(BLOCK_BYTES)
    encoding = spec.encoding or next((codec for mark, codec in _MARKS.items() if start.startswith(mark)), "utf-8")
    try:
        codec = codecs.lookup(encoding)
        decoder = codec.incrementaldecoder() if codec._is_text_encoding else None
    except (LookupError, ValueError, TypeError):
        decoder = None
    if decoder is None:
        raise _no_encoding(encoding, spec)
    if codec.name in ("utf-8", "utf-8-sig"):
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from iter(lambda: stream.read(BLOCK_BYTES), b"")
        return
    lines, chunk = 1, start
    while True:
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise _not_of(encoding, lines + chunk[: error.start].count(b"\n"), name, spec) from error
        except UnicodeError as error:
            raise _no_encoding(encoding, spec) from error
        lines += text.count("\n")
        yield text.removeprefix("\ufeff").encode() if chunk is start else text.encode()
        if not chunk:
            return
        chunk = stream.read(BLOCK_BYTES)


def _no_encoding(encoding: str, spec: TableSpec) -> ConfigurationError:
    return ConfigurationError(
        f"There is no encoding {encoding!r} (table {spec.name}).", expected="A name that Python knows, as latin-1."
    )


def _not_of(encoding: str, line: int, name: str, spec: TableSpec) -> FileError:
    return FileError(
        f"{name} is not {encoding} (line {line}).",
        next_step="State its encoding: --encoding latin-1, or in the configuration: "
        f'[tables.{spec.name}] encoding = "latin-1"',
    )


def _unix_line_ends(chunks: Iterator[bytes]) -> Iterator[bytes]:
    r"""Turn CRLF and CR into LF; a CR at the end of a chunk waits for what follows it."""
    held = b""
    for chunk in chunks:
        text = held + chunk
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        yield text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text
    if held:
        yield b"\n"


def _whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut the text where lines end; the last line gets an end if it has none."""
    rest = b""
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
    if rest:
        yield rest + b"\n"


def _begin(first: bytes, blocks: Iterator[bytes], name: str, spec: TableSpec) -> tuple[_Splitter, Iterator[bytes]]:
    """Read the header, and give what splits the rows and the text that follows the header."""
    end = first.find(b"\n", HEADER_BYTES) + 1 or len(first)
    first, blocks = first[:end], chain([first[end:]] if end < len(first) else [], blocks)
    while True:
        text = _decoded(first, 1, name, spec)
        if "\0" in text[:1000]:
            raise FileError(
                f"{name} holds NUL bytes, as UTF-16 does.",
                next_step="If it is UTF-16 without its mark, add --encoding utf-16-le, or in the configuration: "
                f'[tables.{spec.name}] encoding = "utf-16-le"',
            )
        stated = _SEPARATOR_LINE.match(text)
        leading = stated.end() if stated else len(text) - len(text.lstrip("\n"))
        delimiter = spec.delimiter or (stated["delimiter"] if stated else _delimiter(text))
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ConfigurationError(
                f"The delimiter of the table {spec.name} cannot be used.", expected="One character."
            )
        before = text[:leading].count("\n")
        lines = io.StringIO(text[leading:], newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            with _cells_of_any_length():
                cells = next((row for row in reader if any(map(str.strip, row))), None)
        except csv.Error as error:
            if more := next(blocks, b""):
                first += more
                continue
            raise _unsplit(error, 1 + before, name) from error
        if cells is None:
            if more := next(blocks, b""):
                first += more
                continue
            raise FileError(f"{name} is empty.", expected="The first line that is not empty holds the column names.")
        header = header_of([cell.strip() for cell in cells], name, 1 + before)
        splitter = _Splitter(name, spec, header, delimiter, 1 + before + reader.line_num)
        return splitter, chain([lines.read().encode()], blocks)


def _delimiter(text: str) -> str:
    """Take the delimiter that stands most often in the header line."""
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(DELIMITERS, key=header.count)


def header_of(cells: Sequence[str], name: str, line: int) -> tuple[str, ...]:
    """Make names of the cells of a header line; a column without a name gets its number.

    Raises
    ------
    ColumnError
        If a name repeats, or the line holds data.
    """
    data = [number for number, cell in enumerate(cells, start=1) if _DATA.fullmatch(cell)]
    numbers = [number for number, cell in enumerate(cells, start=1) if cell.isdecimal()]
    if data := data or (numbers if len(numbers) > max(1, len(cells) / 2) else []):
        raise ColumnError(
            f"The first line of {name} holds data, not column names (line {line}, cell {data[0]}).",
            expected="The first line that is not empty names the columns.",
            next_step="Add a line with their names.",
        )
    header = tuple(cell or f"column {number}" for number, cell in enumerate(cells, start=1))
    places: dict[str, int] = {}
    for place, cell in enumerate(header, start=1):
        if places.setdefault(cell, place) != place:
            called = f" {cell!r}" if any(map(str.isalpha, cell)) else ""  # what has no letter may be somebody's value
            raise ColumnError(
                f"{name} names the column{called} more than once (line {line}, cells {places[cell]} and {place}).",
                next_step="Rename one of them, so that it is clear which one is meant.",
            )
    return header


@dataclass
class _Splitter:
    """Splits block after block of one file, and knows on which line the next one begins."""

    name: str
    spec: TableSpec
    header: tuple[str, ...]
    delimiter: str
    line: int

    @property
    def schema(self) -> pl.Schema:
        return pl.Schema(dict.fromkeys(self.header, pl.String()))

    def split(self, block: bytes, *, final: bool) -> Piece | None:
        """Split a block; None where it ends inside a quoted cell, and more is to come."""
        cells = self._split_plain(block)
        if cells is None:
            return self._split_any(block, final=final)
        first, self.line = self.line, self.line + cells.height
        return Piece(self.header, cells, pl.int_range(first, self.line, dtype=pl.UInt32, eager=True))

    def _split_plain(self, block: bytes) -> pl.DataFrame | None:
        """Split a block by polars if nothing in it is out of the ordinary."""
        separator = self.delimiter.encode()
        if b'"' in block or len(separator) > 1 or (len(self.header) == 1 and (b"\n\n" in block or block[:1] == b"\n")):
            return None
        try:
            cells = pl.read_csv(
                block,
                has_header=False,
                schema=self.schema,
                separator=self.delimiter,
                quote_char=None,
                empty_string_is_null=False,
            )
        except (pl.exceptions.PolarsError, OSError):
            return None
        lines, separators = _counted(block, b"\n"), _counted(block, separator)
        whole = cells.height == lines and separators == (len(self.header) - 1) * lines
        return cells if whole else None

    def _split_any(self, block: bytes, *, final: bool) -> Piece | None:
        """Split a block by `csv`."""
        text = _decoded(block, self.line, self.name, self.spec)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter, strict=True)
        rows = []
        begins = 1
        try:
            with _cells_of_any_length():
                for cells in reader:
                    line, begins = self.line + begins - 1, reader.line_num + 1
                    if cells:
                        rows.append((line, cells))
        except csv.Error as error:
            if not final and "unexpected end of data" in str(error):
                return None
            raise _unsplit(error, self.line + begins - 1, self.name) from error
        self.line += text.count("\n")
        return piece_of_rows(rows, self.header, self.name, self.delimiter)


def _counted(block: bytes, character: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == ord(character)))


def piece_of_rows(
    rows: Sequence[tuple[int, Sequence[str]]], header: tuple[str, ...], name: str, delimiter: str = ","
) -> Piece:
    """Make a piece of rows of cells, each with its line; those of another width are kept apart."""
    whole = [(line, cells) for line, cells in rows if len(cells) == len(header)]
    columns = zip(*(cells for _, cells in whole), strict=True) if whole else ([] for _ in header)
    schema = dict.fromkeys(header, pl.String())
    return Piece(
        header,
        pl.DataFrame(dict(zip(header, columns, strict=True)), schema=schema),
        pl.Series([line for line, _ in whole], dtype=pl.UInt32),
        tuple(
            Malformed(name, line, delimiter.join(cells), len(cells), len(header))
            for line, cells in rows
            if len(cells) != len(header)
        ),
    )


def pieces_of_rows(rows: Iterable[tuple[int, Sequence[str]]], header: tuple[str, ...], name: str) -> Iterator[Piece]:
    """Make pieces of many rows; the first has none, so that the header is known."""
    yield piece_of_rows([], header, name)
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_AT_A_TIME)):
        yield piece_of_rows(batch, header, name)


def _decoded(block: bytes, line: int, name: str, spec: TableSpec) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        raise _not_of("utf-8", line + block[: error.start].count(b"\n"), name, spec) from error


def _unsplit(error: csv.Error, line: int, name: str) -> FileError:
    return FileError(
        f"{name} cannot be split into cells at line {line}: {error}.",
        expected="A quotation mark inside a quoted cell is doubled.",
        next_step="Mend that line, or export the file anew.",
    )


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift the limit that `csv` sets to a cell, as the other way of splitting has none."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
