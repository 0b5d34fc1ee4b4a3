"""Where a person stands on age and on the calendar, at any time of the own follow-up."""

from __future__ import annotations

import polars as pl

DAYS_PER_YEAR = 365.25

ROUNDING = 1e-9
"""Years: far below a day. A gap of two years is one of two years after rounding."""


def calendar_years(date: str) -> pl.Expr:
    """Give a date as years of 365.25 days since 1970."""
    return pl.col(date).cast(pl.Date).to_physical().cast(pl.Float64) / DAYS_PER_YEAR


def clocks_of(visits: pl.DataFrame) -> pl.DataFrame:
    """Give what adds up with ``years`` to age and to the calendar, and sex: one row per participant, sorted.

    ``age_at_zero`` is the median of age less ``years`` over the dated visits, ``calendar_at_zero`` that of the date.
    So a visit without age has one, ages in completed years grow evenly, and a mistyped age moves nobody. ``sex`` is
    null where it is not known or contradicts itself. Ages in completed years stay too low by half a year on average.

    Examples
    --------
    >>> clocks_of(pl.DataFrame({"participant_id": ["a"] * 3, "years": [0.0, 1.0, 2.0], "age": [40.5, None, 42.5]}))[
    ...     "age_at_zero"].item()
    40.5
    """
    absent = {"age": pl.Float64, "visit_date": pl.Date, "sex": pl.String}
    filled = visits.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in absent.items() if name not in visits.columns
    )
    sex = pl.col("sex").cast(pl.String).drop_nulls()
    return (
        filled.filter(pl.col("years").is_not_null())
        .group_by("participant_id")
        .agg(
            (pl.col("age") - pl.col("years")).median().alias("age_at_zero"),
            (calendar_years("visit_date") - pl.col("years")).median().alias("calendar_at_zero"),
            pl.when(sex.n_unique() == 1).then(sex.min()).alias("sex"),
        )
        .sort("participant_id")
    )
