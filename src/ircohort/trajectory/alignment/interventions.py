"""Time since a stated intervention, before and after it."""

from __future__ import annotations

import polars as pl

from ircohort.errors import ColumnError, UsageError
from ircohort.schema import VISITS, require
from ircohort.trajectory.alignment.clocks import calendar_years, clocks_of
from ircohort.trajectory.alignment.record import (
    Alignment,
    choose_series,
    dated_visits,
    entering,
    people_in,
    with_added,
)
from ircohort.trajectory.alignment.rules import Comparison


def align_to_intervention(visits: pl.DataFrame, intervention: str, comparison: Comparison | None = None) -> Alignment:
    """Set visits on the years since an intervention, before and after it.

    Parameters
    ----------
    visits
        VISITS, polars.
    intervention
        A column with one date, or one time on the axis ``years``, per participant; null for people without.
    comparison
        Whom they are compared with, and which visit of theirs is year 0; None: with nobody, people without the
        intervention are left out. The last visit cannot serve, as nothing comes after it; the first and the last are
        not drawn.

    Returns
    -------
    Alignment
        With ``years_since_intervention`` (years, negative before) and ``intervened``; ``match_id`` where matched. All
        visits enter, also those after an event: recovery and relapse are what is looked at.

    Raises
    ------
    ColumnError
        If the column is absent, is neither date nor number, or differs within a participant.
    UsageError
        If the comparison group is anchored at the last visit, or people with the intervention are to serve in it.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"], "years": [0.0, 1.0, 2.0, 0.0],
    ...                        "programme": [0.5] * 3 + [None]})
    >>> align_to_intervention(visits, "programme").visits["years_since_intervention"].to_list()
    [-0.5, 0.5, 1.5]
    """
    _require_usable(comparison)
    table = require(visits, VISITS)
    given = intervention_years(table, intervention)
    not_last = pl.col("years") < pl.col("years").max().over("participant_id")
    dated = dated_visits(table, not_last.fill_null(False))
    ends = dated.group_by("participant_id").agg(last_years=pl.col("years").max())
    people = ends.join(given, on="participant_id", how="left")
    undated = people.filter(pl.col("stated") & pl.col("event_years").is_null()).height
    usable = people.filter(~pl.col("stated") | pl.col("event_years").is_not_null()).drop("stated")
    if comparison is None:
        usable = usable.filter(pl.col("event_years").is_not_null())
    chosen = choose_series(dated, usable, comparison or Comparison())
    kept = entering(dated, chosen).with_columns(
        (pl.col("years") - pl.col("zero")).alias("years_since_intervention"), pl.col("index").alias("intervened")
    )
    matched = comparison is not None and comparison.anchor == "matched"
    counts = {
        "intervention": people_in(kept, "intervened", True),
        "comparison": people_in(kept, "intervened", False),
        "intervention_undated": undated,
        "without_intervention": people.height - int(people["stated"].sum()),
        "visits_used": kept.height,
        "visits_undated": int(visits["years"].null_count()),
        **chosen.counts,
    }
    added = ["years_since_intervention", "intervened", *(["match_id"] if matched else [])]
    return Alignment(with_added(visits, kept, added), counts, time="years_since_intervention", group="intervened")


def _require_usable(comparison: Comparison | None) -> None:
    if comparison is None:
        return
    if comparison.anchor == "last_visit":
        raise UsageError(
            "People without the intervention cannot be anchored at their last visit.",
            expected="Nothing comes after it.",
            next_step='Take anchor="random_visit" or "matched", or no comparison group.',
        )
    if comparison.future_cases:
        raise UsageError(
            "People with the intervention cannot serve before it in the comparison group.",
            expected="Visits after year 0 enter here, and would enter twice.",
            next_step="Set future_cases=False.",
        )


def intervention_years(visits: pl.DataFrame, column: str) -> pl.DataFrame:
    """Give the time of each participant's intervention on the axis ``years``, one row per participant.

    ``event_years`` is null without one, and where its date cannot be set on the axis, because no visit of the person
    has both a date and ``years``; ``stated`` tells the two apart.

    Raises
    ------
    ColumnError
        If the column is absent, is neither date nor number, or differs within a participant.
    """
    if column not in visits.columns:
        raise ColumnError(
            f"The table of visits has no column {column}.", expected=f"It has: {', '.join(visits.columns)}."
        )
    kind = visits.schema[column]
    if not (kind.is_numeric() or kind in (pl.Date, pl.Datetime) or kind == pl.Null):
        raise ColumnError(
            f"Column {column} of the table of visits holds {kind}.",
            expected="Expected are dates, or times in years since the first visit.",
            next_step="Convert it first.",
        )
    on_calendar = kind in (pl.Date, pl.Datetime)
    number = calendar_years(column) if on_calendar else pl.col(column).cast(pl.Float64)
    own = visits.select("participant_id", number.alias("time")).group_by("participant_id")
    stated = own.agg(pl.col("time").drop_nulls().first(), pl.col("time").drop_nulls().n_unique().alias("n"))
    several = int((stated["n"] > 1).sum())
    if several:
        raise ColumnError(
            f"Column {column} of the table of visits differs between visits of {several} participants.",
            expected="One date per participant, the same at every visit.",
        )
    zero = clocks_of(visits).select("participant_id", "calendar_at_zero")
    time = pl.col("time") - pl.col("calendar_at_zero") if on_calendar else pl.col("time")
    return stated.join(zero, on="participant_id", how="left").select(
        "participant_id", time.alias("event_years"), pl.col("time").is_not_null().alias("stated")
    )
