"""Time from the first visit up to a landmark; groups are what comes after it."""

from __future__ import annotations

import polars as pl

from ircohort.errors import UsageError
from ircohort.trajectory.alignment.clocks import ROUNDING
from ircohort.trajectory.alignment.events import events_of
from ircohort.trajectory.alignment.record import Alignment, observed, with_added
from ircohort.trajectory.alignment.rules import EventRule


def align_from_start(
    visits: pl.DataFrame,
    rule: EventRule | None = None,
    *,
    landmark_years: float,
    horizon_years: float | None = None,
    events: pl.DataFrame | None = None,
) -> Alignment:
    """Set visits on the time since the first one, up to a landmark; groups are what comes after it.

    People count who were judged by the landmark, had no event by then, and were judged after it. Cases are those with
    an event after it, within the horizon; the comparison group are those without one whose last judged visit is at or
    after the end of the horizon, or, without a horizon, after the landmark. The future names the groups, but no visit
    after the landmark enters, and everyone's clock starts alike: the view forward beside the one backward.

    Parameters
    ----------
    visits
        VISITS, polars.
    rule
        What the event is.
    landmark_years
        Years since the first visit.
    horizon_years
        How long after the landmark events are looked for; None: to the end of the follow-up.
    events
        Those of :func:`events.find_events` by the same rule, if they were found before.

    Returns
    -------
    Alignment
        With ``years_from_start`` (years, from zero to the landmark) and ``progressor``.

    Raises
    ------
    UsageError
        If the landmark or the horizon is not a positive time.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 4 + ["b"] * 4, "years": [0.0, 1.0, 2.0, 3.0] * 2,
    ...                        "glycaemia": ["normal"] * 2 + ["prediabetes"] * 2 + ["normal"] * 4})
    >>> align_from_start(visits, landmark_years=1.0).visits.select("years_from_start", "progressor").rows()
    [(0.0, True), (1.0, True), (0.0, False), (1.0, False)]
    """
    _require_positive(landmark_years=landmark_years, horizon_years=horizon_years)
    asked = rule or EventRule()
    found = events_of(visits, asked) if events is None else events
    dated = observed(visits, found, asked).with_columns(
        (pl.col("years") - pl.col("years").min().over("participant_id")).alias("years_from_start")
    )
    early = dated.filter(pl.col("years_from_start") <= landmark_years + ROUNDING)
    standing = _standing(found, dated, landmark_years, horizon_years)
    groups = standing.filter(pl.col("standing").is_in(["cases", "comparison"])).select(
        "participant_id", (pl.col("standing") == "cases").alias("progressor")
    )
    kept = early.join(groups, on="participant_id")
    tally = dict(standing.group_by("standing").len().iter_rows())
    counts = {name: int(tally.get(name, 0)) for name in LANDMARK_STANDINGS}
    counts |= {"visits_used": kept.height, "visits_undated": int(visits["years"].null_count())}
    added = ["years_from_start", "progressor"]
    return Alignment(with_added(visits, kept, added), counts, time="years_from_start", events=found)


LANDMARK_STANDINGS = (
    "cases", "comparison", "prevalent", "no_dated_visit", "never_judged", "not_judged_by_landmark",
    "event_by_landmark", "not_followed",
)  # fmt: skip
"""Where a landmark finds a person; one each."""


def _standing(found: pl.DataFrame, dated: pl.DataFrame, landmark: float, horizon: float | None) -> pl.DataFrame:
    judged = pl.col("years_from_start").filter("judged_visit")
    seen = dated.group_by("participant_id").agg(
        start=pl.col("years").min(), first_judged=judged.min(), last_judged=judged.max()
    )
    latest, end = landmark + ROUNDING, float("inf") if horizon is None else landmark + horizon
    event, last = pl.col("event_years") - pl.col("start"), pl.col("last_judged")
    followed = last > latest if horizon is None else last >= end - ROUNDING
    ladder = (
        pl.when(pl.col("start").is_null())
        .then(pl.lit("no_dated_visit"))
        .when(~pl.col("judged"))
        .then(pl.lit("never_judged"))
        .when("prevalent")
        .then(pl.lit("prevalent"))
        .when(event <= latest)
        .then(pl.lit("event_by_landmark"))
        .when(pl.col("first_judged").is_null() | (pl.col("first_judged") > latest))
        .then(pl.lit("not_judged_by_landmark"))
        .when(event <= end + ROUNDING)
        .then(pl.lit("cases"))
        .when(followed)
        .then(pl.lit("comparison"))
        .otherwise(pl.lit("not_followed"))
    )
    return found.join(seen, on="participant_id", how="left").select("participant_id", ladder.alias("standing"))


def _require_positive(**times: float | None) -> None:
    for name, value in times.items():
        if value is not None and not (isinstance(value, int | float) and 0 < value < float("inf")):
            raise UsageError(f"The setting {name} is {value!r}.", expected="It is a time in years above zero.")
