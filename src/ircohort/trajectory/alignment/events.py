"""Who has an event, when, and between which times it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ircohort.errors import ColumnError
from ircohort.frames import kind_of, to_polars
from ircohort.glycaemia import with_glycaemia
from ircohort.schema import GLYCAEMIA, VISITS, require
from ircohort.trajectory.alignment.clocks import ROUNDING
from ircohort.trajectory.alignment.crossing import find_crossings
from ircohort.trajectory.alignment.rules import EventRule

EVENT_SCHEMA: Mapping[str, pl.DataType] = {
    "participant_id": pl.String(),
    **dict.fromkeys(("event_years", "event_low", "event_high"), pl.Float64()),
    "event_by": pl.String(),
    "prevalent": pl.Boolean(),
    "judged": pl.Boolean(),
    "last_years": pl.Float64(),
}
"""Columns of the table of events."""

_COLUMNS = {"glucose": "glucose_mg_dl", "hba1c": "hba1c_pct"}


def find_events(visits: Any, rule: EventRule | None = None, *, cut_offs: Mapping[str, float] | None = None) -> Any:
    """Find each participant's event: whether, when, and between which times.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia``, pandas or polars; with ``glycaemia_by`` where it is known. Rows without ``years``
        judge nothing; rows of one time are one visit, judged by the worst of them. For ``by`` glucose or HbA1c, and
        for fitted glucose, also the column of that quantity.
    rule
        What the event is; by default confirmed prediabetes by either reading.
    cut_offs
        Other values for named cut-offs, for classes that are decided here.

    Returns
    -------
    frame
        Of the kind given, one row per participant, sorted: ``participant_id``; ``event_years``, on the axis
        ``years``, null without an event; ``event_low`` and ``event_high``; ``event_by`` (``glucose`` or ``hba1c``,
        null where it is not known); ``prevalent``: nothing was seen before the event; ``judged``: some visit can
        judge; ``last_years``: the end of observation, null without a dated visit.

        For an event dated by readings it lies after ``event_low``, the last visit that judged the person free of
        it, and by ``event_high``, the reading that dates it; ``last_years`` is the last dated visit. For a fitted
        one they are the ends of the 95 % interval of the crossing, null where an end lies beyond the follow-up;
        ``last_years`` is the last visit whose glucose was used (:func:`crossing.find_crossings`).

    Raises
    ------
    ColumnError
        If a column that the rule needs is absent.
    ModelError
        If the event is fitted and there is glucose, but too little of it for a model.

    Notes
    -----
    A class by one quantity is the stated one where ``glycaemia_by`` says that this quantity decided it, in the unit
    in which it was reported. Where the other quantity decided, the value in canonical units is classified again.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 5, "years": [0.0, 1.0, 2.0, 5.0, 6.0],
    ...                        "glycaemia": ["normal", "normal", "prediabetes", "prediabetes", "prediabetes"]})
    >>> find_events(visits).select("event_low", "event_years").row(0)
    (1.0, 2.0)
    >>> find_events(visits, EventRule(longest_gap_years=2)).select("event_low", "event_years").row(0)
    (1.0, 5.0)
    """
    chosen = rule or EventRule()
    return kind_of(visits)(events_of(to_polars(visits), chosen, cut_offs))


def events_of(visits: pl.DataFrame, rule: EventRule, cut_offs: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Do the work of :func:`find_events` on a polars frame."""
    table = with_class(visits, rule, cut_offs)
    if rule.by_readings:
        found, dated = _by_readings(table, rule), table.filter(pl.col("years").is_not_null())
    else:
        confirming = _by_readings(table, EventRule(to=rule.to, by=rule.by, criteria=rule.criteria))
        found, dated = find_crossings(table, confirming, rule)
    seen = (
        table.select(pl.col("participant_id").unique().sort())
        .join(
            dated.group_by("participant_id").agg(
                pl.col("glycaemia" if rule.by_readings else "glucose_mg_dl").is_not_null().any().alias("judged"),
                pl.col("years").max().alias("last_years"),
            ),
            on="participant_id",
            how="left",
        )
        .join(found, on="participant_id", how="left")
        .with_columns(pl.col("judged", "prevalent").fill_null(False))
    )
    return seen.select(pl.col(name).cast(dtype) for name, dtype in EVENT_SCHEMA.items()).sort("participant_id")


def with_class(visits: pl.DataFrame, rule: EventRule, cut_offs: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Give VISITS in which ``glycaemia`` and ``glycaemia_by`` are those of the quantity that the rule names.

    Raises
    ------
    ColumnError
        If neither a class nor a reading of it is there.
    """
    table = require(visits, VISITS)
    if not rule.by_readings:
        table = require(table, VISITS, "glucose_mg_dl")
        if "glycaemia" not in table.columns:
            table = with_glycaemia(table, criteria=rule.criteria, overrides=cut_offs)
    if rule.by == "either":
        table = require(table, VISITS, "glycaemia")
    if "glycaemia_by" not in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.String).alias("glycaemia_by"))
    return table if rule.by == "either" else _class_by(table, rule, cut_offs)


def _class_by(table: pl.DataFrame, rule: EventRule, cut_offs: Mapping[str, float] | None) -> pl.DataFrame:
    """Classify the visits by one quantity alone."""
    column, stated = _COLUMNS[rule.by], "glycaemia" in table.columns
    if column not in table.columns and not (stated and (table["glycaemia_by"] == rule.by).any()):
        raise ColumnError(
            f"The event is asked for by {rule.by}, and the table of visits has no column {column}.",
            expected=f"It has: {', '.join(table.columns)}.",
        )
    again = pl.lit(None, dtype=pl.String)
    if column in table.columns:
        readings = with_glycaemia(table.select(column), criteria=rule.criteria, overrides=cut_offs)
        again = pl.lit(readings["glycaemia"])
    known = pl.when(pl.col("glycaemia_by") == rule.by).then("glycaemia").otherwise(again) if stated else again
    own = table.with_columns(known.alias("glycaemia"))
    return own.with_columns(pl.when(pl.col("glycaemia").is_not_null()).then(pl.lit(rule.by)).alias("glycaemia_by"))


def _by_readings(table: pl.DataFrame, rule: EventRule) -> pl.DataFrame:
    """Find events that readings date, in a table from :func:`with_class`, with ``confirmed_years``.

    Without a longest gap a confirmed event is that of :func:`ircohort.glycaemia.confirmed_events`.
    """
    reached = pl.col("glycaemia").is_in(GLYCAEMIA[GLYCAEMIA.index(rule.to) :])
    judged = (
        table.filter(pl.col("glycaemia").is_not_null() & pl.col("years").is_not_null())
        .select("participant_id", "years", "glycaemia_by", reached.alias("reached"))
        .sort("participant_id", "years", "reached", "glycaemia_by")
        .unique(["participant_id", "years"], keep="last", maintain_order=True)
        .with_columns(
            pl.col("reached").shift(-1).over("participant_id").alias("again"),
            pl.col("years").shift(-1).over("participant_id").alias("next_years"),
            pl.when(~pl.col("reached")).then("years").forward_fill().over("participant_id").alias("last_free"),
        )
    )
    return (
        judged.filter(_dates_event(rule))
        .group_by("participant_id", maintain_order=True)
        .first()
        .select(
            "participant_id",
            pl.col("years").alias("event_years"),
            pl.col("last_free").alias("event_low"),
            pl.col("years").alias("event_high"),
            pl.col("glycaemia_by").alias("event_by"),
            pl.col("last_free").is_null().alias("prevalent"),
            (pl.col("next_years") if rule.dated == "confirmed" else pl.col("years")).alias("confirmed_years"),
        )
    )


def _dates_event(rule: EventRule) -> pl.Expr:
    if rule.dated == "single":
        return pl.col("reached")
    confirmed = pl.col("reached") & pl.col("again").fill_null(False)
    if rule.longest_gap_years is None:
        return confirmed
    return confirmed & (pl.col("next_years") - pl.col("years") <= rule.longest_gap_years + ROUNDING)
