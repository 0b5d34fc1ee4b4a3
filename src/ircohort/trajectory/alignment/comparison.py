"""Whom cases are compared with, and which time of theirs is year 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ircohort.chance import uniforms
from ircohort.errors import ColumnError
from ircohort.trajectory.alignment.matching import match
from ircohort.trajectory.alignment.rules import Comparison

SERIES_SCHEMA = {
    "participant_id": pl.String,
    "index": pl.Boolean,
    "zero": pl.Float64,
    "after": pl.Float64,
    "match_id": pl.String,
}
"""Columns of the series of visits that enter: whose, whether of a case, year 0, the time (exclusive) from which
visits count (null: all), and the case that it belongs to (null without matching)."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Series of visits, with columns :data:`SERIES_SCHEMA`, and people who have none, counted."""

    series: pl.DataFrame
    counts: dict[str, int]


def choose(index: pl.DataFrame, others: pl.DataFrame, eligible: pl.DataFrame, settings: Comparison) -> Chosen:
    """Choose the comparison group.

    Parameters
    ----------
    index
        Those with an event (or an intervention): ``participant_id``, ``years`` of it, and ``age``, ``sex``,
        ``calendar`` at it.
    others
        Those who may be compared: ``participant_id``, ``first``, ``last``, ``event_years`` (null without one),
        ``calendar_at_zero``, ``sex``. People with an event are used where ``future_cases`` allows it.
    eligible
        Their visits that can be year 0: ``participant_id``, ``years``, ``age``; one row per time.
    settings
        How to choose.
    """
    cases = _series(index.select("participant_id", pl.lit(True).alias("index"), zero="years"))
    if settings.anchor == "matched":
        return _matched(index, cases, others, eligible, settings)
    free = others.filter(pl.col("event_years").is_null())
    if settings.anchor == "last_visit":
        return Chosen(pl.concat([cases, _series(free.select("participant_id", zero="last"))]), {})
    drawn = _draw_visit(eligible.join(free, on="participant_id", how="semi"), settings)
    return Chosen(pl.concat([cases, _series(drawn)]), {"no_eligible_visit": free.height - drawn.height})


def _require_age(index: pl.DataFrame, settings: Comparison) -> None:
    if settings.age_caliper_years is not None and index.height and index["age"].null_count() == index.height:
        raise ColumnError(
            "Cases are to be matched on age, and the age of none of them is known.",
            next_step="Bring a column age, or set age_caliper_years=None.",
        )


def _series(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill in what a series need not say: it is of the comparison group, and has no start and no match."""
    usual = {"index": pl.lit(False)}
    absent = [
        usual.get(name, pl.lit(None, dtype=dtype)).alias(name)
        for name, dtype in SERIES_SCHEMA.items()
        if name not in rows.columns
    ]
    return rows.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in SERIES_SCHEMA.items())


def _draw_visit(eligible: pl.DataFrame, settings: Comparison) -> pl.DataFrame:
    """Draw one visit per person, each with the same probability."""
    times = eligible.group_by("participant_id").agg(pl.col("years").sort()).sort("participant_id")
    drawn = uniforms("random visit", settings.seed, times["participant_id"].to_list())[:, 0]
    place = np.floor(drawn * times["years"].list.len().to_numpy()).astype(np.int64)
    return times.select("participant_id", pl.col("years").list.get(pl.lit(pl.Series(place))).alias("zero"))


def _matched(
    index: pl.DataFrame, cases: pl.DataFrame, others: pl.DataFrame, eligible: pl.DataFrame, settings: Comparison
) -> Chosen:
    """Match, and give a person who serves before becoming a case two series, one after the other."""
    _require_age(index, settings)
    serving = others if settings.future_cases else others.filter(pl.col("event_years").is_null())
    pairs = match(index, serving, eligible.join(serving, on="participant_id", how="semi"), settings)
    found = pairs.group_by("match_id").len()
    has_match = cases.join(found, left_on="participant_id", right_on="match_id", how="left").with_columns(
        pl.when(pl.col("len").is_not_null()).then("participant_id").alias("match_id")
    )
    served = pairs.select("participant_id", served="zero")
    own = has_match.join(served, on="participant_id", how="left").with_columns(after="served")
    kept = own if settings.unmatched == "kept" else own.filter(pl.col("match_id").is_not_null())
    return Chosen(
        pl.concat([_series(kept.select(*SERIES_SCHEMA)), _series(pairs)]),
        {
            "cases_unmatched": own["match_id"].null_count(),
            "cases_with_fewer": int((found["len"] < settings.per_case).sum()),
            "cases_without_age": 0 if settings.age_caliper_years is None else index["age"].null_count(),
            "cases_without_date": 0 if settings.time_caliper_years is None else index["calendar"].null_count(),
            "not_chosen": int(
                others.filter(pl.col("event_years").is_null()).join(pairs, on="participant_id", how="anti").height
            ),
        },
    )
