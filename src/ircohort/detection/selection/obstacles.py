"""Why a segment, or a person, cannot be judged, in words."""

from __future__ import annotations

import polars as pl

from ircohort.detection.selection.entering import ASIDE
from ircohort.detection.settings import DetectSettings

_NAMES = {"insulin": "insulin", "tg_hdl": "TG:HDL"}
_SPAN_TOLERANCE = 1e-9  # years; dates make 2 years 1.9999999
MOST_CENSORED = 0.5
"""Share of a segment's insulin beyond a limit of detection above which it is not judged."""


def segment_obstacle(settings: DetectSettings) -> pl.Expr:
    """Say why a segment cannot be judged by its ``marker``, or null."""
    by_insulin = pl.col("marker") == "insulin"
    count = pl.when(by_insulin).then("n_insulin").otherwise("n_tg_hdl")
    span = pl.when(by_insulin).then("span_insulin").otherwise("span_tg_hdl")
    mostly_censored = pl.col("n_censored") > MOST_CENSORED * pl.col("n_insulin_recorded")
    up_to_event = (
        pl.when(pl.col("closed").is_in(["prediabetes", "diabetes"]))
        .then(pl.format(" up to confirmed {}", "closed"))
        .otherwise(pl.lit(""))
    )
    return (
        pl.when(pl.col("marker").is_null())
        .then(pl.lit("no fasting insulin, and no TG:HDL"))
        .when(by_insulin & mostly_censored)
        .then(pl.lit("more than half of insulin beyond the limit of detection"))
        .when(count < settings.min_visits)
        .then(pl.concat_str(_only(count), pl.col("marker").replace_strict(_NAMES), up_to_event))
        .when(pl.col("n_glucose") < settings.min_visits)
        .then(pl.concat_str(_only(pl.col("n_glucose")), pl.lit("glucose"), up_to_event))
        .when(span < settings.min_years - _SPAN_TOLERANCE)
        .then(pl.concat_str(pl.lit(f"follow-up shorter than {settings.min_years:g} years"), up_to_event))
    )


def _only(count: pl.Expr) -> pl.Expr:
    visits = pl.when(count == 1).then(pl.lit(" visit with ")).otherwise(pl.lit(" visits with "))
    start = pl.when(count == 0).then(pl.lit("no")).otherwise(pl.format("only {}", count))
    return pl.concat_str(start, visits)


def best_segments(segments: pl.DataFrame) -> pl.DataFrame:
    """Give one row per participant: ``n_segments``, whether one is ``judgeable``, and the ``best_obstacle`` otherwise.

    The best segment is the one with the longest span of the marker, then the longest at all, then the first.
    """
    span = pl.when(pl.col("marker") == "insulin").then("span_insulin").otherwise("span_tg_hdl")
    ranked = segments.with_columns(
        span.fill_null(-1.0).alias("span"), (pl.col("last") - pl.col("first")).alias("whole")
    ).sort(["participant_id", "span", "whole", "segment"], descending=[False, True, True, False])
    broken = (pl.col("opened") == "break_in_series") | (pl.col("closed") == "break_in_series")
    return ranked.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_segments"),
        pl.col("obstacle").is_null().any().alias("judgeable"),
        pl.col("obstacle").first().alias("best_obstacle"),
        broken.any().alias("broken"),
    )


def person_obstacle() -> pl.Expr:
    """Say why none of a person's segments can be judged, or null."""
    causes = pl.concat_str(
        [pl.when(pl.col(f"any_{name}")).then(pl.lit(words)) for name, words in ASIDE.items()],
        separator=", ",
        ignore_nulls=True,
    )
    aside = pl.col("n_aside")
    reason = pl.concat_str(
        _where(pl.col("any_child"), pl.lit("under 18 at first, then ")),
        pl.coalesce("best_obstacle", pl.format("no visits with {}", pl.col("marker").replace_strict(_NAMES))),
        _where(pl.col("broken"), pl.lit(" in the longest series with one assay and specimen")),
        _where(aside == 1, pl.format("; 1 visit was set aside ({})", causes)),
        _where(aside > 1, pl.format("; {} visits were set aside ({})", aside, causes)),
    )
    return (
        pl.when(~pl.col("any_dated"))
        .then(pl.lit("no dated visits"))
        .when(~pl.col("any_usable") & pl.col("any_child"))
        .then(pl.lit("under 18"))
        .when(~pl.col("any_usable"))
        .then(pl.format("every dated visit was set aside ({})", causes))
        .when(pl.col("marker").is_null())
        .then(pl.lit("no fasting insulin, and no TG:HDL"))
        .when(~pl.col("judgeable").fill_null(False))
        .then(reason)
    )


def _where(condition: pl.Expr, words: pl.Expr) -> pl.Expr:
    return pl.when(condition.fill_null(False)).then(words).otherwise(pl.lit(""))
