"""Which visits of whom are judged: everything that is decided before any model is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ircohort import schema
from ircohort.detection.settings import DetectSettings
from ircohort.glycaemia import confirmed_events, cut_off

ADULT_AGE = 18.0
"""Insulin rises and falls again in puberty (Goran and Gower 2001, doi:10.2337/diabetes.50.11.2444)."""

GLUCOSE_CAP = 1.4
"""Glucose enters the model as at most this many times the cut-off (140 mg/dL): beyond it, a reading says nothing more
about when glucose left the normal range, and a steep climb into diabetes would bend the line before it."""

_ASIDE = {
    "ill": "ill",
    "pregnant": "pregnant",
    "glucose_lowering_drug": "on a glucose-lowering drug",
    "insulin_therapy": "on insulin therapy",
    "fasting": "not fasting",
}
_MARKER_NAMES = {"insulin": "insulin", "tg_hdl": "TG:HDL"}


@dataclass(frozen=True)
class Series:
    """The judged part of each participant's visits.

    ``readings``: one row per visit used, sorted by participant and time: ``participant_id``, ``years``, ``insulin``,
    ``tg_hdl``, ``glucose`` (natural logs, null where not measured). ``people``: one row per participant, sorted:
    counts, ``first`` and ``last`` used visit in years, ``marker``, ``obstacle`` (why the participant cannot be judged,
    or null), ``adult``, ``broken_before``, ``broken_after``, ``event`` (class of the confirmed event, or null),
    ``last_state``. ``notes``: sentences.
    """

    readings: pl.DataFrame
    people: pl.DataFrame
    notes: tuple[str, ...]


def select_series(visits: pl.DataFrame, settings: DetectSettings) -> Series:
    """Choose the visits that enter detection, and say who cannot be judged, and why.

    Visits that were not fasting, during illness or pregnancy, or on a glucose-lowering drug do not enter; nor do visits
    after those that confirm dysglycaemia. A change of assay or specimen breaks the series; the part with the
    longest span of the marker is judged.
    """
    table, notes = _prepare(visits, GLUCOSE_CAP * settings.glucose_cut_off_mg_dl)
    events = confirmed_events(table.filter("usable"))
    usable = _up_to_the_event(table.filter("usable"), events)
    kept = _longest_segment(_segments(usable))
    people = _people(table, usable, kept, events)
    aside = int(table["aside"].sum())
    if aside:
        notes.append(
            f"{aside} visits were set aside: not fasting, ill, pregnant, on a glucose-lowering drug or insulin."
        )
    readings = kept.select("participant_id", "years", "insulin", "tg_hdl", "glucose")
    obstacle = _obstacle(settings).alias("obstacle")
    return Series(readings, people.with_columns(obstacle), tuple(notes))


def _positive_log(value: pl.Expr) -> pl.Expr:
    return pl.when((value > 0) & value.is_finite()).then(value).log()


def _prepare(visits: pl.DataFrame, cap: float) -> tuple[pl.DataFrame, list[str]]:
    table = schema.arrange(schema.require(visits, schema.VISITS), schema.VISITS)
    notes = []
    if table.height and table["glycaemia"].null_count() == table.height:
        notes.append("The visits have no glycaemia: it was read off glucose in mg/dL, and HbA1c was not looked at.")
        table = table.with_columns(_glycaemia_of_glucose(), pl.lit("glucose").alias("glycaemia_by"))
    ratio = pl.coalesce("tg_hdl_mg", pl.col("triglycerides_mg_dl") / pl.col("hdl_mg_dl"))
    aside = [pl.col(name).fill_null(False) for name in _ASIDE if name != "fasting"]
    dated = pl.col("years").is_finite().fill_null(False)
    named = pl.col("participant_id").is_not_null()
    table = table.filter(named).with_columns(
        _positive_log(pl.col("insulin_uiu_ml")).alias("insulin"),
        _positive_log(ratio).alias("tg_hdl"),
        _positive_log(pl.col("glucose_mg_dl").clip(upper_bound=cap)).alias("glucose"),
        pl.any_horizontal(*aside, ~pl.col("fasting").fill_null(True)).alias("aside"),
        dated.alias("dated"),
    )
    order = ["participant_id", "years", "visit_date", "glucose", "insulin", "tg_hdl"]
    return table.with_columns((pl.col("dated") & ~pl.col("aside")).alias("usable")).sort(order), notes


def _glycaemia_of_glucose() -> pl.Expr:
    glucose = pl.col("glucose_mg_dl")
    return (
        pl.when(glucose >= cut_off("ada_glucose_diabetes"))
        .then(pl.lit("diabetes"))
        .when(glucose >= cut_off("ada_glucose_prediabetes"))
        .then(pl.lit("prediabetes"))
        .when(glucose.is_not_null())
        .then(pl.lit("normal"))
        .alias("glycaemia")
    )


def _up_to_the_event(usable: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Keep the visits up to and including those that confirm: leaving them out would flatten glucose."""
    confirmed = events.select("participant_id", "confirmed_years")
    joined = usable.join(confirmed, on="participant_id", how="left", maintain_order="left")
    return joined.filter(pl.col("confirmed_years").is_null() | (pl.col("years") <= pl.col("confirmed_years")))


def _segments(usable: pl.DataFrame) -> pl.DataFrame:
    """Give each stretch with one assay and one specimen a number; what is not stated continues the one before."""
    kinds = [
        pl.col(name).forward_fill().backward_fill().over("participant_id").fill_null("")
        for name in ("assay", "specimen")
    ]
    return (
        usable.with_columns(pl.struct(*kinds).alias("kind"))
        .with_columns(pl.col("kind").rle_id().over("participant_id").alias("segment"))
        .with_columns(pl.col("segment").max().over("participant_id").alias("last_segment"))
    )


def _longest_segment(segmented: pl.DataFrame) -> pl.DataFrame:
    has_insulin = pl.col("insulin").is_not_null().any().over("participant_id")
    marked = pl.when(has_insulin).then(pl.col("insulin")).otherwise(pl.col("tg_hdl"))
    seen = segmented.filter(pl.any_horizontal(pl.col("insulin", "tg_hdl", "glucose").is_not_null()))
    spans = (
        seen.with_columns(pl.when(marked.is_not_null()).then("years").alias("marked"))
        .group_by("participant_id", "segment", maintain_order=True)
        .agg(
            (pl.col("marked").max() - pl.col("marked").min()).fill_null(-1.0).alias("span"),
            (pl.col("years").max() - pl.col("years").min()).alias("whole"),
        )
        .sort(["participant_id", "span", "whole", "segment"], descending=[False, True, True, False])
        .unique("participant_id", keep="first", maintain_order=True)
    )
    return seen.join(
        spans.select("participant_id", "segment"), on=["participant_id", "segment"], how="inner", maintain_order="left"
    )


def _people(table: pl.DataFrame, usable: pl.DataFrame, kept: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Give one row per participant: what there is of them, what is judged of it, and the event that ends it."""
    joined = _everyone(table)
    for more in (_judged(kept), _classes_at_event(usable, events)):
        joined = joined.join(more, on="participant_id", how="left", maintain_order="left")
    counts = [pl.col(name).fill_null(0) for name in ("n_visits_used", "n_insulin", "n_tg_hdl", "n_glucose")]
    flags = [pl.col(name).fill_null(False) for name in ("broken_before", "broken_after")]
    return joined.with_columns(
        *counts,
        *flags,
        (pl.col("last") - pl.col("first")).alias("span_years"),
        (pl.col("age") >= ADULT_AGE).fill_null(True).alias("adult"),
    )


def _everyone(table: pl.DataFrame) -> pl.DataFrame:
    """Say of each participant what the whole table holds, the marker to judge by among it."""
    flagged = [(pl.col(name) if name != "fasting" else ~pl.col(name)).fill_null(False) for name in _ASIDE]
    known_state = pl.col("state").is_not_null() & (pl.col("state") != "unknown")
    return table.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_visits"),
        pl.col("dated").any().alias("any_dated"),
        pl.col("usable").any().alias("any_usable"),
        *(flag.any().alias(f"any_{name}") for name, flag in zip(_ASIDE, flagged, strict=True)),
        pl.when(pl.col("insulin").is_not_null().any())
        .then(pl.lit("insulin"))
        .when(pl.col("tg_hdl").is_not_null().any())
        .then(pl.lit("tg_hdl"))
        .alias("marker"),
        pl.col("state").filter(known_state).last().alias("last_state"),
    )


def _judged(kept: pl.DataFrame) -> pl.DataFrame:
    """Count and span the visits that are judged."""
    markers = [pl.col(name).count().cast(pl.Int64).alias(f"n_{name}") for name in ("insulin", "tg_hdl", "glucose")]
    measured = {name: pl.col("years").filter(pl.col(name).is_not_null()) for name in ("insulin", "tg_hdl")}
    return kept.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_visits_used"),
        pl.col("years").min().alias("first"),
        pl.col("years").max().alias("last"),
        pl.col("age").drop_nulls().last().alias("age"),
        (pl.col("segment").first() > 0).alias("broken_before"),
        (pl.col("segment").first() < pl.col("last_segment").first()).alias("broken_after"),
        *markers,
        *((years.max() - years.min()).alias(f"span_{name}") for name, years in measured.items()),
    )


def _classes_at_event(usable: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Give the class of the reading that dates each participant's event."""
    at_event = usable.join(events.select("participant_id", "event_years"), on="participant_id").filter(
        (pl.col("years") == pl.col("event_years")) & pl.col("glycaemia").is_in(["prediabetes", "diabetes"])
    )
    return at_event.group_by("participant_id", maintain_order=True).agg(pl.col("glycaemia").first().alias("event"))


def _obstacle(settings: DetectSettings) -> pl.Expr:
    insulin = pl.col("marker") == "insulin"
    count = pl.when(insulin).then("n_insulin").otherwise("n_tg_hdl")
    span = pl.when(insulin).then("span_insulin").otherwise("span_tg_hdl")
    causes = pl.concat_str(
        [pl.when(pl.col(f"any_{name}")).then(pl.lit(words)) for name, words in _ASIDE.items()],
        separator=", ",
        ignore_nulls=True,
    )
    where = pl.concat_str(
        pl.when(pl.col("event").is_not_null()).then(pl.format(" up to confirmed {}", "event")).otherwise(pl.lit("")),
        pl.when(pl.col("broken_before") | pl.col("broken_after"))
        .then(pl.lit(" in the longest series with one assay and specimen"))
        .otherwise(pl.lit("")),
    )
    return (
        pl.when(~pl.col("any_dated"))
        .then(pl.lit("no dated visits"))
        .when(~pl.col("any_usable"))
        .then(pl.format("every dated visit was set aside ({})", causes))
        .when(~pl.col("adult"))
        .then(pl.lit("under 18"))
        .when(pl.col("marker").is_null())
        .then(pl.lit("no fasting insulin, and no TG:HDL"))
        .when(count < settings.min_visits)
        .then(pl.concat_str(_only(count), pl.col("marker").replace_strict(_MARKER_NAMES), where))
        .when(pl.col("n_glucose") < settings.min_visits)
        .then(pl.concat_str(_only(pl.col("n_glucose")), pl.lit("glucose"), where))
        .when(span < settings.min_years - 1e-9)
        .then(pl.concat_str(pl.lit(f"follow-up shorter than {settings.min_years:g} years"), where))
    )


def _only(count: pl.Expr) -> pl.Expr:
    visits = pl.when(count == 1).then(pl.lit(" visit with ")).otherwise(pl.lit(" visits with "))
    start = pl.when(count == 0).then(pl.lit("no")).otherwise(pl.format("only {}", count))
    return pl.concat_str(start, visits)
