"""Time to the event: who is a case, who is in the comparison group, and how long before zero each visit lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ircohort.frames import kind_of, to_polars
from ircohort.glycaemia import confirmed_events
from ircohort.schema import VISITS, require

GROUPS = ("cases", "comparison")
_ROW = "ircohort_row"


@dataclass(frozen=True, eq=False)
class Alignment:
    """Visits on time to the event, in the caller's row order, and who was left out."""

    visits: pl.DataFrame
    counts: dict[str, int]


def align(visits: Any, *, to: str = "prediabetes") -> Any:
    """Set visits on the time to the event, backwards.

    Cases are people with a confirmed event, dated by the first of the two readings. The comparison group are people
    without one, anchored at their last visit. Left out are people whose event is there at the first visit that can
    judge it (nothing was seen before), people whom no visit judges, visits after the event, and visits without
    ``years``.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia``, pandas or polars.
    to
        ``prediabetes`` (or worse) or ``diabetes``.

    Returns
    -------
    frame
        Of the kind given, in the same row order, all columns kept, with ``years_to_event`` (years; zero at the
        event or the last visit, negative before), ``progressor`` (true for cases), ``at_event`` (the reading that
        dates the event) and ``before_event`` (the last judged visit before it). The event was found by readings, so
        these two readings are selected for their glucose: high at the event, low before it. A model gives them
        terms of their own.

    Raises
    ------
    ColumnError
        If ``participant_id``, ``years`` or ``glycaemia`` is absent.
    UsageError
        If there is no such event.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 4 + ["b"] * 2, "years": [0.0, 1.0, 2.0, 3.0, 0.0, 2.0],
    ...                        "glycaemia": ["normal", "normal", "prediabetes", "prediabetes", "normal", "normal"]})
    >>> align(visits).select("participant_id", "years_to_event", "progressor").rows()
    [('a', -2.0, True), ('a', -1.0, True), ('a', 0.0, True), ('b', -2.0, False), ('b', 0.0, False)]
    """
    return kind_of(visits)(align_visits(to_polars(visits), to=to).visits)


def align_visits(visits: pl.DataFrame, *, to: str) -> Alignment:
    """Do the work of :func:`align`, and count who was left out."""
    table = require(visits, VISITS, "glycaemia")
    if "glycaemia_by" not in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.String).alias("glycaemia_by"))
    events = confirmed_events(table, to=to)
    dated = table.with_row_index(_ROW).filter(pl.col("years").is_not_null())
    judged = pl.col("glycaemia").is_not_null()
    people = (
        dated.group_by("participant_id")
        .agg(pl.col("years").max().alias("last_years"), judged.any().alias("judged"))
        .join(events.select("participant_id", "event_years", "prevalent"), on="participant_id", how="left")
        .with_columns(pl.col("prevalent").fill_null(False))
    )
    chosen = people.filter(pl.col("judged") & ~pl.col("prevalent")).with_columns(
        pl.col("event_years").is_not_null().alias("progressor"),
        pl.coalesce("event_years", "last_years").alias("zero"),
    )
    joined = dated.join(chosen.select("participant_id", "progressor", "zero"), on="participant_id")
    before = (
        joined.filter(judged & (pl.col("years") < pl.col("zero")))
        .group_by("participant_id")
        .agg(pl.col("years").max().alias("previous"))
    )
    kept = joined.filter(pl.col("years") <= pl.col("zero")).join(before, on="participant_id", how="left").sort(_ROW)
    aligned = kept.with_columns(
        (pl.col("years") - pl.col("zero")).alias("years_to_event"),
        (pl.col("progressor") & (pl.col("years") == pl.col("zero"))).alias("at_event"),
        (pl.col("progressor") & (pl.col("years") == pl.col("previous"))).fill_null(False).alias("before_event"),
    )
    added = ["years_to_event", "progressor", "at_event", "before_event"]
    own = [name for name in visits.columns if name not in added]
    counts = {
        "cases": int(chosen["progressor"].sum()),
        "comparison": int((~chosen["progressor"]).sum()),
        "prevalent": int(people["prevalent"].sum()),
        "never_judged": int((~people["judged"]).sum()),
        "no_dated_visit": visits["participant_id"].n_unique() - people.height,
        "visits_used": aligned.height,
        "visits_undated": visits.height - dated.height,
        "visits_after_event": joined.height - kept.height,
    }
    return Alignment(aligned.select(*own, *added), counts)


def count_people_by_year(aligned: pl.DataFrame) -> pl.DataFrame:
    """Count people and visits in each whole year before the event (nearest; halves towards the event).

    Examples
    --------
    >>> aligned = pl.DataFrame({"participant_id": ["a", "a"], "years_to_event": [-1.5, 0.0], "progressor": [True] * 2})
    >>> count_people_by_year(aligned).rows()
    [(-1, 'cases', 1, 1), (0, 'cases', 1, 1)]
    """
    year = (pl.col("years_to_event") + 0.5).floor().cast(pl.Int64)
    group = pl.when("progressor").then(pl.lit(GROUPS[0])).otherwise(pl.lit(GROUPS[1]))
    return (
        aligned.select("participant_id", year.alias("years_to_event"), group.alias("group"))
        .group_by("years_to_event", "group")
        .agg(
            pl.col("participant_id").n_unique().cast(pl.Int64).alias("n_participants"),
            pl.len().cast(pl.Int64).alias("n_visits"),
        )
        .sort("years_to_event", "group")
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
