"""Tables joined to the laboratory rows by the exact text of a unique key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from ircohort.errors import ColumnError, ConfigurationError, RefusedError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export, RawTable, TextColumn
from ircohort.layouts import table_layout


def join(labs: RawTable, tables: Mapping[str, RawTable]) -> Export:
    """Join all tables, in whatever order they are listed; a row without a partner is kept, with nulls.

    Raises
    ------
    ColumnError
        If a key is not there.
    RefusedError
        If a key is not unique.
    """
    columns, positions = dict(labs.columns), {}
    tables = {name: _with_key(table, columns) for name, table in tables.items()}
    for name in _in_order_of_keys(tables, columns):
        positions[name] = _positions(columns, tables[name])
        columns |= {f"{name}.{header}": column.at(positions[name]) for header, column in tables[name].columns.items()}
    return Export(labs, tables, columns, positions)


def _with_key(table: RawTable, columns: Mapping[str, TextColumn]) -> RawTable:
    """Give a table of a known layout its key, where none was stated."""
    if table.spec.key:
        return table
    layout = table_layout(table.headers)
    if layout is None:
        raise ConfigurationError(
            f"The table {table.spec.name} has no key.",
            next_step=f"State the column that names its rows: --key {table.spec.name}=COLUMN",
        )
    via = table.spec.via or (layout.via if layout.via in columns else "")
    return replace(table, spec=replace(table.spec, key=layout.key, via=via))


def _in_order_of_keys(tables: Mapping[str, RawTable], headers: Iterable[str]) -> Iterator[str]:
    """Order joined tables so that each comes after the one that holds its key."""
    known, waiting = set(headers), dict(tables)
    while waiting:
        ready = [name for name, table in waiting.items() if (table.spec.via or table.spec.key) in known]
        name = (ready or list(waiting))[0]
        known |= {f"{name}.{header}" for header in waiting.pop(name).headers}
        yield name


def _positions(columns: Mapping[str, TextColumn], other: RawTable) -> pl.Series:
    """Say which row of the other table each row leads to."""
    spec = other.spec
    name, via = spec.name, spec.via or spec.key
    if spec.key not in other.columns:
        raise ColumnError(
            f"The table {name} has no column {spec.key!r} to join it by.",
            expected=f"It has: {', '.join(other.headers)}.",
            next_step=f"State its key with --key {name}=COLUMN.",
        )
    if via not in columns:
        raise ColumnError(
            f"No column {via!r} leads to the table {name}.",
            expected=f"There are: {', '.join(columns)}.",
            next_step=f'State it in the configuration: [tables.{name}] via = "COLUMN" or "table.COLUMN"',
        )
    taken = [header for header in other.headers if f"{name}.{header}" in columns]
    if taken:
        raise ColumnError(
            f"The laboratory table has a column {name}.{taken[0]}, as the joined table {name} would.",
            next_step="Give the joined table another name with --table NAME=FILE.",
        )
    key = other.columns[spec.key]
    _require_unique(key.codes, other)
    rows = pl.DataFrame({"key": key.text(), "row": pl.int_range(len(key.codes), dtype=pl.UInt32, eager=True)})
    found = pl.DataFrame({"key": columns[via].texts}).join(
        rows.drop_nulls("key"), on="key", how="left", maintain_order="left"
    )
    return columns[via].of(found["row"])


def _require_unique(keys: pl.Series, table: RawTable) -> None:
    repeated = keys.is_not_null() & keys.is_duplicated()
    if repeated.any():
        twice = table.places.filter(repeated)
        first, second = twice.filter(keys.filter(repeated) == keys.filter(repeated)[0]).head(2).rows(named=True)
        raise RefusedError(
            f"The key {table.spec.key} of the table {table.spec.name} is not unique "
            f"({_place(first)}, and {_place(second)}).",
            expected=f"A key names one row of the joined table; here {twice.height} rows share theirs with another.",
            next_step="Mend the table, or join it by another column.",
        )


def _place(row: Mapping[str, Any]) -> str:
    return f"line {row[SOURCE_ROW]} of {row[SOURCE_FILE]}"
