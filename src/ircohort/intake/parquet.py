"""Parquet files as text, piece by piece."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

import polars as pl

from ircohort.errors import ColumnError, FileError
from ircohort.export import TableSpec
from ircohort.intake.delimited import Piece, header_of

ROWS_AT_A_TIME = 1 << 20


def parquet_pieces(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:  # noqa: ARG001
    """Read a Parquet file piece by piece.

    Raises
    ------
    FileError
        If it is not one.
    ColumnError
        If a column is nested.
    """
    try:
        rows = pl.scan_parquet(io.BytesIO(stream.read()))
        schema = rows.collect_schema()
        header = header_of(schema.names(), name, 1)
        nested = [column for column, dtype in schema.items() if dtype.is_nested() or dtype == pl.Binary]
        if nested:
            raise ColumnError(f"{name} holds the nested column {nested[0]!r}.", expected="Plain columns are read.")
        yield Piece(header, pl.DataFrame(schema=dict.fromkeys(header, pl.String())), pl.Series(dtype=pl.UInt32))
        first = 1
        for batch in rows.collect_batches(chunk_size=ROWS_AT_A_TIME, maintain_order=True):
            cells = pl.DataFrame([_as_text(column) for column in batch], schema=header)
            lines = pl.int_range(first, first + batch.height, dtype=pl.UInt32, eager=True)
            first += batch.height
            yield Piece(header, cells, lines)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise FileError(f"{name} is not a Parquet file that can be read.") from error


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        text = column.dt.strftime("%Y-%m-%dT%H:%M:%S")
    elif column.dtype == pl.Duration:
        text = column.dt.total_microseconds().cast(pl.String)
    else:
        text = column.cast(pl.String)
    return text.fill_null("")
