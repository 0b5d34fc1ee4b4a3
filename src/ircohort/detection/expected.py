"""The course of the marker that is expected at somebody's age and sex, from within-person change alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.lmm import fit, fit_censored

Floats = NDArray[np.float64]

TERMS: Mapping[str, str] = {"age_first": "age", "woman": "sex"}
"""What the expected change may depend on, and what it is called."""

_BOUNDS = ("insulin_low", "insulin_high")

SHARE_KNOWN = 0.5
"""Share of series in which age or sex must be known for the expected change to depend on it."""


@dataclass(frozen=True)
class ExpectedChange:
    """Change of the log marker per year that is expected of each series (n,); ``terms`` it depends on.

    ``unknown``: in how many series each of :data:`TERMS` is not known.
    """

    per_year: Floats
    terms: tuple[str, ...]
    unknown: Mapping[str, int]


def expected_change(
    readings: pl.DataFrame, marker: str, learn_from: NDArray[np.intp] | None = None
) -> ExpectedChange | None:
    """Model how the log marker changes with time since the first visit, by age at that visit and sex.

    A linear mixed model with a level and a slope of each series. Only the products with time enter the expected change,
    so that how old people differ from young ones, men from women, plays no part. Who is of unknown age or sex is taken
    for average; what is unknown of more than half, or the same for everybody, leaves the model.

    Parameters
    ----------
    readings
        ``series`` (numbered from 0, in order), ``since`` (years), the log marker, ``age_first`` (at the first visit of
        the series) and ``sex``; ``insulin_low`` and ``insulin_high``, the logs of the bounds of readings of insulin
        beyond a limit, null for others.
    learn_from
        Series that are enough to learn from where readings lie beyond a limit, for speed; None for all.

    Returns
    -------
    ExpectedChange
        None where the model cannot be fitted.
    """
    people = readings.group_by("series", maintain_order=True).agg(
        pl.col("age_first").first(), (pl.col("sex").first() == "female").cast(pl.Float64).alias("woman")
    )
    unknown = {name: people[name].null_count() for name in TERMS}
    terms = [
        name
        for name, count in unknown.items()
        if count <= (1 - SHARE_KNOWN) * people.height and people[name].drop_nulls().n_unique() > 1
    ]
    centred = people.select((pl.col(name).cast(pl.Float64) - pl.col(name).mean()).fill_null(0.0) for name in terms)
    bounds = _BOUNDS if marker == "insulin" else ()
    table = readings.select("series", "since", marker, *bounds).with_columns(
        centred[name].gather(readings["series"]) for name in terms
    )
    among = f"since * ({' + '.join(terms)})" if terms else "since"
    try:
        estimate = _estimate(f"{marker} ~ {among} + (since | series)", table, marker, learn_from)
    except ModelError:
        return None
    per_year = np.full(people.height, estimate["since"])
    for name in terms:
        per_year += estimate[f"since:{name}"] * centred[name].to_numpy()
    return ExpectedChange(per_year, tuple(terms), unknown)


def _estimate(formula: str, table: pl.DataFrame, marker: str, learn_from: NDArray[np.intp] | None) -> dict[str, float]:
    """Fit the model: readings beyond a limit of detection count as the intervals in which they lie."""
    if "insulin_low" not in table.columns or not table["insulin_low"].count():
        fixed = fit(formula, table.filter(pl.col(marker).is_not_null())).fixed
    else:
        if learn_from is not None:
            table = table.filter(pl.col("series").is_in(pl.Series(learn_from).implode()))
        beyond = pl.col("insulin_low").is_not_null()
        ends = [pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in _BOUNDS]
        known = table.filter(beyond | pl.col(marker).is_not_null()).with_columns(ends)
        fixed = fit_censored(formula, known, lower="insulin_low", upper="insulin_high").fixed
    return dict(zip(fixed["term"].to_list(), fixed["estimate"].to_list(), strict=True))
