"""The course of the marker that is expected at somebody's age and sex, from within-person change alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.lmm import fit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExpectedChange:
    """Change of the log marker per year that is expected of each series (n,); ``terms`` it depends on."""

    per_year: Floats
    terms: tuple[str, ...]


def expected_change(readings: pl.DataFrame, marker: str) -> ExpectedChange | None:
    """Model how the log marker changes with time since the first visit, by age at that visit and sex.

    A linear mixed model with a level and a slope of each series. Only the products with time enter the expected change,
    so that how old people differ from young ones, men from women, plays no part.

    Parameters
    ----------
    readings
        ``series`` (numbered from 0, in order), ``since`` (years), the log marker, ``age_first`` (at the first visit of
        the series) and ``sex``; age or sex leave the model where unknown of somebody or the same for everybody.

    Returns
    -------
    ExpectedChange
        None where the model cannot be fitted.
    """
    known = readings.filter(pl.col(marker).is_not_null()).select(
        "series", "since", marker, "age_first", (pl.col("sex") == "female").cast(pl.Float64).alias("woman")
    )
    people = readings.group_by("series", maintain_order=True).agg(
        pl.col("age_first").first(), (pl.col("sex").first() == "female").cast(pl.Float64).alias("woman")
    )
    varying = [name for name in ("age_first", "woman") if not people[name].null_count() and people[name].n_unique() > 1]
    centres = {name: float(people[name].mean()) for name in varying}  # type: ignore[arg-type]
    centred = known.with_columns(pl.col(name) - centre for name, centre in centres.items())
    terms = " + ".join([marker, *varying][1:])
    formula = f"{marker} ~ since * ({terms}) + (since | series)" if varying else f"{marker} ~ since + (since | series)"
    try:
        fixed = fit(formula, centred).fixed
    except ModelError:
        return None
    estimate = dict(zip(fixed["term"].to_list(), fixed["estimate"].to_list(), strict=True))
    per_year = np.full(people.height, estimate["since"])
    for name, centre in centres.items():
        per_year += estimate[f"since:{name}"] * (people[name].to_numpy() - centre)
    return ExpectedChange(per_year, tuple(varying))
