"""Parquet files as text, piece by piece, read by Arrow: on damaged ones polars can end the process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import polars as pl

from ircohort.errors import ColumnError, FileError
from ircohort.export import TableSpec
from ircohort.intake.delimited import Piece, header_of

ROWS_AT_A_TIME = 1 << 20
_POLARS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def parquet_pieces(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:  # noqa: ARG001
    """Read a Parquet file piece by piece.

    Raises
    ------
    FileError
        If it is not one.
    ColumnError
        If a column is nested.
    """
    from pyarrow import ArrowException  # heavy, and only Parquet needs it
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(io.BytesIO(stream.read()))
        header = header_of(file.schema_arrow.names, name, 1)
        nested = [field.name for field in file.schema_arrow if not _is_plain(field.type)]
        if nested:
            raise ColumnError(f"{name} holds the nested column {nested[0]!r}.", expected="Plain columns are read.")
        yield Piece(header, pl.DataFrame(schema=dict.fromkeys(header, pl.String())), pl.Series(dtype=pl.UInt32))
        first = 1
        for batch in file.iter_batches(ROWS_AT_A_TIME):
            batch.validate(full=True)  # polars takes texts for valid UTF-8
            columns = (pl.Series(pl.from_arrow(column)) for column in batch.columns)
            cells = pl.DataFrame([_as_text(column) for column in columns], schema=header)
            lines = pl.int_range(first, first + batch.num_rows, dtype=pl.UInt32, eager=True)
            first += batch.num_rows
            yield Piece(header, cells, lines)
    except (ArrowException, UnicodeDecodeError, OSError, *_POLARS) as error:
        raise FileError(f"{name} is not a Parquet file that can be read.") from error


def _is_plain(dtype: Any) -> bool:
    from pyarrow import types

    binary = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return not any(is_such(dtype) for is_such in (types.is_nested, *binary))


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        text = column.dt.strftime("%Y-%m-%dT%H:%M:%S")
    elif column.dtype == pl.Duration:
        text = column.dt.total_microseconds().cast(pl.String)
    else:
        text = column.cast(pl.String)
    return text.fill_null("")
