"""Time to the event, backwards; and the same visits on age."""

from __future__ import annotations

from typing import Any

import polars as pl

from ircohort.frames import kind_of, to_polars
from ircohort.schema import VISITS, require
from ircohort.trajectory.alignment.clocks import clocks_of
from ircohort.trajectory.alignment.comparison import Chosen
from ircohort.trajectory.alignment.events import events_of
from ircohort.trajectory.alignment.record import (
    ROW,
    Alignment,
    choose_series,
    entering,
    observed,
    people_in,
    with_added,
)
from ircohort.trajectory.alignment.rules import Comparison, EventRule

_FLAGS = ("at_event", "before_event", "after_event")


def align(
    visits: Any,
    *,
    to: str = "prediabetes",
    rule: EventRule | None = None,
    comparison: Comparison | None = None,
    keep_visit_after: bool = False,
) -> Any:
    """Set visits on the time to the event, backwards.

    Cases are people with an event, by default a confirmed one, dated by the first of the two readings. The comparison
    group are people without one, by default anchored at their last visit. Left out are people whose event is there at
    the first visit that can judge it (nothing was seen before), people whom no visit judges, visits after the event,
    and visits without ``years``.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia``, pandas or polars; for a matched comparison group also ``age``, ``sex`` and
        ``visit_date`` where known.
    to
        ``prediabetes`` (or worse) or ``diabetes``.
    rule
        What the event is, in full; takes the place of ``to``.
    comparison
        Whom cases are compared with, and at which visit.
    keep_visit_after
        Keep the visits of cases up to the first that judges after the event.

    Returns
    -------
    frame
        Of the kind given, in the same row order, all columns kept, with ``years_to_event`` (years; zero at the event
        or the visit chosen, negative before), ``progressor`` (true for cases), and, for cases, ``at_event`` (the
        reading that dates the event), ``before_event`` (the last judged visit before it) and ``after_event`` (the
        first judged visit after it; only with ``keep_visit_after``). Where readings date the event these are selected
        for their glucose: high at the event, low before it, and high again at the visit that confirms it. A model
        gives them terms of their own. At a fitted event nothing is selected, and all three are false. With a matched
        comparison group, also ``match_id``: the identifier of the case (null for a case kept without match).

    Raises
    ------
    ColumnError
        If ``participant_id``, ``years`` or ``glycaemia`` is absent, or what the rule needs.
    UsageError
        If there is no such event.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 4 + ["b"] * 2, "years": [0.0, 1.0, 2.0, 3.0, 0.0, 2.0],
    ...                        "glycaemia": ["normal", "normal", "prediabetes", "prediabetes", "normal", "normal"]})
    >>> align(visits).select("participant_id", "years_to_event", "progressor").rows()
    [('a', -2.0, True), ('a', -1.0, True), ('a', 0.0, True), ('b', -2.0, False), ('b', 0.0, False)]
    """
    aligned = align_to_event(to_polars(visits), rule or EventRule(to=to), comparison, keep_visit_after=keep_visit_after)
    return kind_of(visits)(aligned.visits)


def align_visits(visits: pl.DataFrame, *, to: str) -> Alignment:
    """Do the work of :func:`align` as it is by default, and count who was left out."""
    return align_to_event(visits, EventRule(to=to))


def align_to_event(
    visits: pl.DataFrame,
    rule: EventRule | None = None,
    comparison: Comparison | None = None,
    *,
    keep_visit_after: bool = False,
    events: pl.DataFrame | None = None,
) -> Alignment:
    """Do the work of :func:`align`, and count who was left out.

    ``events`` are those of :func:`events.find_events` by the same rule, if they were found before.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3, "years": [0.0, 1.0, 2.0] * 2,
    ...                        "glycaemia": ["normal", "prediabetes", "prediabetes"] + ["normal"] * 3})
    >>> unaged = Comparison("matched", age_caliper_years=None)
    >>> aligned = align_to_event(visits, comparison=unaged, keep_visit_after=True)
    >>> aligned.visits.select("participant_id", "years_to_event", "match_id").rows()[2:]
    [('a', 1.0, 'a'), ('b', -1.0, 'a'), ('b', 0.0, 'a')]
    """
    asked, settings = rule or EventRule(), comparison or Comparison()
    found = events_of(visits, asked) if events is None else events
    dated = observed(visits, found, asked)
    chosen = choose_series(dated, found.filter(pl.col("judged") & ~pl.col("prevalent")), settings)
    flagged = _flag(entering(dated, chosen), asked)
    end = pl.when(pl.lit(keep_visit_after) & pl.col("index")).then(pl.coalesce("next_judged", "zero")).otherwise("zero")
    kept = flagged.filter(pl.col("years") <= end)
    added = ["years_to_event", "progressor", *_FLAGS, *(["match_id"] if settings.anchor == "matched" else [])]
    counts = {
        **_people_counts(visits, found, chosen),
        "visits_used": kept.height,
        "visits_undated": int(visits["years"].null_count()),
        "visits_after_event": flagged[ROW].n_unique() - kept.height,
        **chosen.counts,
    }
    return Alignment(with_added(visits, kept, added), counts, events=found)


def align_on_age(
    visits: pl.DataFrame,
    rule: EventRule | None = None,
    comparison: Comparison | None = None,
    *,
    keep_visit_after: bool = False,
    events: pl.DataFrame | None = None,
) -> Alignment:
    """Set visits on age; people and visits are those of :func:`align_to_event`, and so are its columns.

    ``age`` (years) is made one clock per person, :func:`clocks.clocks_of`: it grows as ``years`` do, also where ages
    are stated in completed years. Left out, and counted as ``no_age``, are people without any age.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3, "years": [0.0, 1.0, 2.0], "age": [50.5, None, 52.5],
    ...                        "glycaemia": ["normal"] * 3})
    >>> align_on_age(visits).visits["age"].to_list()
    [50.5, 51.5, 52.5]
    """
    aligned = align_to_event(visits, rule, comparison, keep_visit_after=keep_visit_after, events=events)
    clocks = clocks_of(require(visits, VISITS)).select("participant_id", "age_at_zero")
    zero = aligned.visits.select("participant_id").join(clocks, on="participant_id", maintain_order="left")
    on_age = aligned.visits.with_columns((zero["age_at_zero"] + pl.col("years")).alias("age"))
    kept = on_age.filter(pl.col("age").is_not_null())
    lost = on_age.filter(pl.col("age").is_null())["participant_id"].n_unique()
    counts = aligned.counts | {
        "cases": people_in(kept, "progressor", True),
        "comparison": people_in(kept, "progressor", False),
        "visits_used": kept.height,
        "no_age": lost,
    }
    return Alignment(kept, counts, time="age", events=aligned.events)


def _flag(joined: pl.DataFrame, rule: EventRule) -> pl.DataFrame:
    """Add the axis and mark, of cases, the visit of the event and the judged ones next to it."""
    years, zero, case, judged = (pl.col(name) for name in ("years", "zero", "index", "judged_visit"))
    before = pl.when(judged & (years < zero)).then(years).max().over("participant_id", "index")
    after = pl.when(judged & (years > zero)).then(years).min().over("participant_id", "index")
    selected = case & pl.lit(rule.by_readings)
    return joined.with_columns(before.alias("previous"), after.alias("next_judged")).with_columns(
        (years - zero).alias("years_to_event"),
        case.alias("progressor"),
        (selected & (years == zero)).alias("at_event"),
        (selected & (years == pl.col("previous"))).fill_null(False).alias("before_event"),
        (selected & (years == pl.col("next_judged"))).fill_null(False).alias("after_event"),
    )


def _people_counts(visits: pl.DataFrame, found: pl.DataFrame, chosen: Chosen) -> dict[str, int]:
    undated = found.height - visits.filter(pl.col("years").is_not_null())["participant_id"].n_unique()
    return {
        "cases": int(chosen.series["index"].sum()),
        "comparison": int((~chosen.series["index"]).sum()),
        "prevalent": int(found["prevalent"].sum()),
        "never_judged": int((~found["judged"]).sum()) - undated,
        "no_dated_visit": undated,
    }
