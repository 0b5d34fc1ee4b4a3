"""Visits that read normal, and what is known of the person so many years later."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ircohort.schema import GLYCAEMIA
from ircohort.trajectory.alignment import EventRule
from ircohort.trajectory.alignment.clocks import ROUNDING
from ircohort.trajectory.alignment.events import events_of, with_class
from ircohort.trajectory.alignment.glucose import is_usual
from ircohort.trajectory.alignment.record import observed


def normal_visits(visits: pl.DataFrame, rule: EventRule, markers: Sequence[str]) -> pl.DataFrame:
    """Give the visits that read normal of people not yet with the event, and what dates what followed.

    Rows of one time are one visit: it reads normal if one of them does and none reads otherwise, and has the mean of
    their glucose and of the logs of their markers. Only rows count whose glucose is the person's usual one
    (:func:`glucose.is_usual`). A marker at or below 0 is missing.

    Parameters
    ----------
    visits
        VISITS with ``glucose_mg_dl`` and ``markers``.
    rule
        What the event is; also by which quantity a visit reads normal.
    markers
        Columns of numbers.

    Returns
    -------
    polars.DataFrame
        One row per visit, sorted: ``participant_id``, ``years``, ``glucose_mg_dl``, the log of each marker under its
        own name prefixed ``log ``, ``event_years`` (null without an event), ``free_until`` (the last visit that judges
        the person free of the event), ``pending`` (the last visit that judges shows an event that was not confirmed).
    """
    events = events_of(visits, rule)
    classed = with_class(visits, rule)
    known = events.filter(~pl.col("prevalent")).select("participant_id", "event_years")
    known = known.join(_last_judged(classed, observed(visits, events, rule), rule), on="participant_id")
    times = _times(classed, markers).join(known, on="participant_id")
    before = pl.col("event_years").is_null() | (pl.col("years") < pl.col("event_years"))
    return times.filter(before).sort("participant_id", "years")


def _last_judged(classed: pl.DataFrame, dated: pl.DataFrame, rule: EventRule) -> pl.DataFrame:
    """Give each person the last visit that judges, and whether it shows an event that awaits confirmation."""
    judged = dated.filter("judged_visit").select("participant_id", "years").unique()
    last = judged.group_by("participant_id").agg(pl.col("years").max().alias("last_judged"))
    beyond = classed.filter(pl.col("glycaemia").is_in(GLYCAEMIA[GLYCAEMIA.index(rule.to) :]))
    beyond = beyond.select("participant_id", pl.col("years").alias("last_judged"), pending=pl.lit(True)).unique()
    if rule.dated != "confirmed":
        return last.with_columns(pl.lit(False).alias("pending"))
    return last.join(beyond, on=["participant_id", "last_judged"], how="left").with_columns(
        pl.col("pending").fill_null(False)
    )


def _times(classed: pl.DataFrame, markers: Sequence[str]) -> pl.DataFrame:
    """Give one row per person and time that reads normal, with glucose and the log of each marker."""
    usual = is_usual(classed)
    logs = [
        pl.when(usual & pl.col(name).is_finite() & (pl.col(name) > 0)).then(pl.col(name).log()).alias(f"log {name}")
        for name in markers
    ]
    reads = classed.filter(pl.col("years").is_not_null()).select(
        "participant_id",
        "years",
        (pl.col("glycaemia") == "normal").alias("normal"),
        pl.when(usual & pl.col("glucose_mg_dl").is_finite()).then("glucose_mg_dl").alias("glucose_mg_dl"),
        *logs,
    )
    values = ["glucose_mg_dl", *(f"log {name}" for name in markers)]
    return (
        reads.sort("participant_id", "years", *values)
        .group_by("participant_id", "years", maintain_order=True)
        .agg(pl.col("normal").all(), pl.col("normal").count().alias("judging"), pl.col(values).mean())
        .filter(pl.col("normal") & (pl.col("judging") > 0) & pl.col("glucose_mg_dl").is_not_null())
        .drop("normal", "judging")
    )


def event_within(lag_years: float) -> pl.Expr:
    """Tell whether the event came within ``lag_years`` of a visit; null where it is not known.

    It did not where the person was judged at or after that time and the event had not come. A last reading that
    shows the event and was never confirmed judges only times before it.
    """
    then = pl.col("years") + lag_years
    came = (pl.col("event_years") <= then + ROUNDING).fill_null(False)
    reach = pl.when("pending").then(pl.col("last_judged") - 2 * ROUNDING).otherwise("last_judged")
    known = pl.col("event_years").is_not_null() | (reach >= then - ROUNDING)
    return pl.when(known).then(came)
