"""The order of rows (participant, time, line), and the visits that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.export import TextColumn

DAYS_PER_YEAR = 365.25

Whole = NDArray[np.uint32]


@dataclass(frozen=True)
class Rows:
    """The laboratory rows in the order of participant, time and line; those without a participant come last.

    ``order``: at each position, the laboratory row. ``context``: what was read of each row, in this order:
    ``person`` (its place in ``participants``), ``date`` and ``offset`` (years), flags and texts by their names, kept
    columns as ``keep:<name>``; names that no column has are absent. ``visit``: the visit of each row, numbered in
    order, null without a participant. ``time``: the time of each row as a rank, to tell days within a visit.
    """

    order: pl.Series
    context: pl.DataFrame
    visit: pl.Series
    time: pl.Series
    participants: pl.Series

    @property
    def n_visits(self) -> int:
        """The number of visits."""
        return int(self.visit.max()) + 1 if self.visit.count() else 0  # type: ignore[arg-type]

    @property
    def n_known(self) -> int:
        """The number of rows that have a participant; they come first."""
        return self.visit.count()


def in_order(participant: TextColumn, context: Mapping[str, pl.Series]) -> Rows:
    """Put rows in their order, and number the visits; a row without a time is a visit of its own.

    Parameters
    ----------
    participant
        Whose each row is.
    context
        What was read of the rows, ``date`` or ``offset`` (in years) among it where there is a time.
    """
    days = _days(context, len(participant.codes))
    ranks = days.rank("dense") if days.dtype.is_float() else days - days.min()
    nobody, never = len(participant.texts), int(ranks.max() or 0) + 1  # type: ignore[arg-type]
    order, persons, times = _sorted(participant.codes.fill_null(nobody), ranks.fill_null(never))
    n_known = int(np.searchsorted(persons, nobody))
    opens = np.ones(len(order), dtype=bool)
    opens[1:] = (persons[1:] != persons[:-1]) | (times[1:] != times[:-1]) | (times[1:] == never)
    visit = np.cumsum(opens[:n_known], dtype=np.uint32) - np.uint32(1)
    order_of_rows = pl.Series(order, dtype=pl.UInt32)
    of_nobody = pl.repeat(None, len(order) - visit.size, dtype=pl.UInt32, eager=True)
    read = [series.gather(order_of_rows).alias(name) for name, series in context.items()]
    return Rows(
        order_of_rows,
        pl.DataFrame([*read, pl.Series("person", persons, dtype=pl.UInt32)]),
        pl.Series(visit, dtype=pl.UInt32).append(of_nobody),
        pl.Series(times, dtype=pl.UInt32),
        participant.texts,
    )


def runs(persons: pl.Series) -> NDArray[np.int64]:
    """Find where each participant begins, in rows sorted by participant."""
    codes = persons.to_numpy()
    return np.concatenate(([0], np.flatnonzero(codes[1:] != codes[:-1]) + 1))[: len(codes)]


def _days(context: Mapping[str, pl.Series] | pl.DataFrame, n_rows: int) -> pl.Series:
    """Give the time of each row in days from some day."""
    named = context.columns if isinstance(context, pl.DataFrame) else context
    if "date" in named:
        return context["date"].to_physical()
    if "offset" in named:
        return (context["offset"] * DAYS_PER_YEAR).round(6)  # days as they were written
    return pl.repeat(None, n_rows, dtype=pl.Int32, eager=True)


def _sorted(persons: pl.Series, times: pl.Series) -> tuple[Whole, Whole, Whole]:
    """Sort rows by participant, time and line: the order, and both in it.

    All three are packed into one number where they fit in 64 bits, for that sorts several times as fast.
    """
    n_rows = len(persons)
    highest = (persons.max() or 0, times.max() or 0, n_rows)
    bits = [int(each).bit_length() for each in highest]  # type: ignore[arg-type]
    table = pl.DataFrame({"person": persons, "time": times})
    if sum(bits) > 64:
        table = table.with_row_index("row").sort("person", "time", "row")
    else:
        per_person, per_time = 1 << (bits[1] + bits[2]), 1 << bits[2]
        person, time, key = pl.col("person").cast(pl.UInt64), pl.col("time").cast(pl.UInt64), pl.col("packed")
        packed = person * per_person + time * per_time + pl.int_range(pl.len(), dtype=pl.UInt64)
        table = table.select(packed.alias("packed").sort()).select(
            (key % per_time).cast(pl.UInt32).alias("row"),
            (key // per_person).cast(pl.UInt32).alias("person"),
            (key // per_time % (1 << bits[1])).cast(pl.UInt32).alias("time"),
        )
    row, person_of, time_of = (table[name].cast(pl.UInt32).to_numpy() for name in ("row", "person", "time"))
    return row, person_of, time_of


def with_draws(rows: Rows, has_result: NDArray[np.bool_], window_days: int) -> Rows:
    """Make the days within a window of the first day of a draw one visit.

    Only days that hold a result open a window or belong to one; any other day stays a visit of its own.

    Parameters
    ----------
    rows
        The rows in their order.
    has_result
        Whether each row holds a result that is used.
    window_days
        How many days after its first day a draw may last.
    """
    known = rows.n_known
    visit = rows.visit.head(known).to_numpy()
    first = np.flatnonzero(np.diff(visit.astype(np.int64), prepend=-1))
    holds = np.logical_or.reduceat(has_result[:known], first) if known else has_result[:0]
    day = _days(rows.context, len(rows.order)).cast(pl.Float64).fill_null(np.nan).to_numpy()[first]
    person = rows.context["person"].to_numpy()[first]
    opened_by = np.arange(len(first))
    of_draws = np.flatnonzero(holds & np.isfinite(day))
    near = (np.diff(person[of_draws].astype(np.int64)) == 0) & (np.diff(day[of_draws]) <= window_days)
    for place in np.flatnonzero(near):
        opener, later = opened_by[of_draws[place]], of_draws[place + 1]
        if day[later] - day[opener] <= window_days:
            opened_by[later] = opener
    numbered = np.cumsum(opened_by == np.arange(len(first)), dtype=np.uint32) - np.uint32(1)
    draws = pl.Series(numbered[opened_by][visit], dtype=pl.UInt32)
    return replace(rows, visit=draws.append(rows.visit.slice(known)))
