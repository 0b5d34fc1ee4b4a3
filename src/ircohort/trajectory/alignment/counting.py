"""How many people, visits and person-years each year of an axis rests on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import polars as pl

GROUPS = ("cases", "comparison")

_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"progressor": GROUPS, "intervened": ("intervention", "comparison")}
)


def count_people_by_year(
    aligned: pl.DataFrame, *, time: str = "years_to_event", group: str = "progressor"
) -> pl.DataFrame:
    """Count people, visits and person-years in each whole year of an axis (nearest; halves towards the later).

    Parameters
    ----------
    aligned
        The visits of an alignment.
    time, group
        Its ``time`` and ``group``: the column of the axis, and the column that is true for one group.

    Returns
    -------
    polars.DataFrame
        ``time`` (whole years), ``group`` (``cases`` or ``intervention``, and ``comparison``), ``n_participants`` and
        ``n_visits`` in the year, ``person_years``: time within the year between a person's first and last visit in
        the group, so that people count there between two visits, too. Sorted.

    Examples
    --------
    >>> aligned = pl.DataFrame({"participant_id": ["a", "a"], "years_to_event": [-1.75, 0.0], "progressor": [True] * 2})
    >>> count_people_by_year(aligned).rows()
    [(-2, 'cases', 1, 1, 0.25), (-1, 'cases', 0, 0, 1.0), (0, 'cases', 1, 1, 0.5)]
    """
    names = _NAMES.get(group, (group, f"not {group}"))
    label = pl.when(pl.col(group)).then(pl.lit(names[0])).otherwise(pl.lit(names[1]))
    rows = aligned.select("participant_id", pl.col(time).alias("t"), label.alias("group")).drop_nulls("t")
    counts = rows.group_by(_nearest("t").alias(time), "group").agg(
        pl.col("participant_id").n_unique().cast(pl.Int64).alias("n_participants"),
        pl.len().cast(pl.Int64).alias("n_visits"),
    )
    return (
        _person_years(rows, time)
        .join(counts, on=[time, "group"], how="left")
        .select(time, "group", pl.col("n_participants", "n_visits").fill_null(0), "person_years")
        .sort(time, "group")
    )


def _nearest(name: str) -> pl.Expr:
    return (pl.col(name) + 0.5).floor().cast(pl.Int64)


def _person_years(rows: pl.DataFrame, time: str) -> pl.DataFrame:
    """Divide the span of each person in each group among whole years."""
    spans = rows.group_by("participant_id", "group").agg(
        pl.col("t").min().alias("start"), pl.col("t").max().alias("end")
    )
    years = pl.int_ranges(_nearest("start"), _nearest("end") + 1).alias(time)
    within = pl.min_horizontal("end", pl.col(time) + 0.5) - pl.max_horizontal("start", pl.col(time) - 0.5)
    parts = (
        spans.with_columns(years)
        .explode(time)
        .with_columns(within.alias("within"))
        .sort(time, "group", "participant_id")
        .with_columns(pl.struct(time, "group").rle_id().alias("place"))
    )
    # Added up one after the other: in a large group the sums of polars depend on the number of threads.
    sums = np.bincount(parts["place"].to_numpy(), weights=parts["within"].to_numpy())
    return parts.unique("place", keep="first", maintain_order=True).select(
        time, "group", pl.Series("person_years", sums)
    )


def supported_years(aligned: pl.DataFrame, min_people: int) -> int | None:
    """Give the earliest year from which, up to the event, both groups have ``min_people``; None if year 0 has not."""
    counts = count_people_by_year(aligned).filter(pl.col("n_participants") >= min_people)
    both = {year for (year,), rows in counts.group_by("years_to_event") if rows.height == len(GROUPS)}
    if 0 not in both:
        return None
    earliest = 0
    while earliest - 1 in both:
        earliest -= 1
    return earliest
