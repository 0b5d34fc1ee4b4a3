"""The record of an alignment, and what every axis needs of the visits."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ircohort.schema import VISITS, require
from ircohort.trajectory.alignment.clocks import clocks_of
from ircohort.trajectory.alignment.comparison import Chosen, choose
from ircohort.trajectory.alignment.events import with_class
from ircohort.trajectory.alignment.glucose import is_usual
from ircohort.trajectory.alignment.rules import Comparison, EventRule

ROW = "ircohort_row"


@dataclass(frozen=True, eq=False)
class Alignment:
    """Visits on an axis of time, in the caller's row order, and who was left out.

    Attributes
    ----------
    visits
        The visits that enter, with the columns that the axis adds.
    counts
        People in each group, people and visits left out, by reason.
    time, group
        The column of the axis (years), and the column that is true for one group.
    events
        The table of events that the groups rest on, as :func:`events.find_events` gives it; None without events.
    """

    visits: pl.DataFrame
    counts: dict[str, int]
    time: str = "years_to_event"
    group: str = "progressor"
    events: pl.DataFrame | None = None


def observed(visits: pl.DataFrame, events: pl.DataFrame, rule: EventRule) -> pl.DataFrame:
    """Give the dated visits, numbered as they stand, with ``judged_visit``: whether one tells if the event is there."""
    table = with_class(visits, rule)
    if rule.by_readings:
        return dated_visits(table, pl.col("glycaemia").is_not_null())
    dated = dated_visits(table, is_usual(table))
    ends = dated.select("participant_id").join(events, on="participant_id", how="left", maintain_order="left")
    in_model = pl.col("judged_visit") & (pl.col("years") <= ends["last_years"]).fill_null(False)
    return dated.with_columns(in_model)


def dated_visits(table: pl.DataFrame, judged: pl.Expr) -> pl.DataFrame:
    """Give what an axis needs of the dated visits, and nothing else that a caller's column could stand in for."""
    needed = [name for name in ("age", "sex", "visit_date") if name in table.columns]
    numbered = table.with_row_index(ROW).with_columns(judged.alias("judged_visit"))
    dated = numbered.filter(pl.col("years").is_not_null())
    return dated.select(ROW, "participant_id", "years", "judged_visit", *needed)


def choose_series(dated: pl.DataFrame, people: pl.DataFrame, settings: Comparison) -> Chosen:
    """Choose whose visits enter, on which year 0.

    Parameters
    ----------
    dated
        Dated visits with ``judged_visit``.
    people
        ``participant_id``, ``event_years`` (null for those without), ``last_years``.
    settings
        Whom to compare with.
    """
    stretches = dated.group_by("participant_id").agg(first=pl.col("years").min())
    known = people.join(clocks_of(dated), on="participant_id").join(stretches, on="participant_id")
    at_event = {
        "years": pl.col("event_years"),
        "age": pl.col("age_at_zero") + pl.col("event_years"),
        "calendar": pl.col("calendar_at_zero") + pl.col("event_years"),
    }
    index = known.filter(pl.col("event_years").is_not_null()).select("participant_id", "sex", **at_event)
    others = known.select("participant_id", "first", "event_years", "calendar_at_zero", "sex", last="last_years")
    return choose(index.sort("participant_id"), others.sort("participant_id"), _eligible(dated, known), settings)


def _eligible(dated: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Give the visits that can be year 0 of a comparison person, one row per time.

    They judge, are not the first, and of people with an event lie before the last judged visit before it, which is
    selected for being free of it.
    """
    judged = dated.filter("judged_visit").select("participant_id", "years").unique()
    own = judged.join(known, on="participant_id").filter(pl.col("years") <= pl.col("last_years"))
    before = pl.col("years").filter(pl.col("years") < pl.col("event_years")).max().over("participant_id")
    free = pl.col("event_years").is_null() | (pl.col("years") < before)
    return (
        own.filter((pl.col("years") > pl.col("first")) & free.fill_null(False))
        .select("participant_id", "years", (pl.col("age_at_zero") + pl.col("years")).alias("age"))
        .sort("participant_id", "years")
    )


def entering(dated: pl.DataFrame, chosen: Chosen) -> pl.DataFrame:
    """Give each series its visits; those of one person in two series are apart."""
    joined = dated.join(chosen.series, on="participant_id")
    return joined.filter(pl.col("after").is_null() | (pl.col("years") > pl.col("after")))


def with_added(visits: pl.DataFrame, kept: pl.DataFrame, added: list[str]) -> pl.DataFrame:
    """Give the caller's columns of the rows kept, in the caller's order, and what the axis ``added`` after them."""
    own = [name for name in visits.columns if name not in added]
    rows = kept.sort(ROW)
    return require(visits, VISITS).select(pl.col(own).gather(rows[ROW])).hstack(rows.select(added))


def people_in(rows: pl.DataFrame, group: str, member: bool) -> int:
    """Count the people of one group."""
    return rows.filter(pl.col(group) == member)["participant_id"].n_unique()
