"""Simple rules that people use on serial readings, to be held against the same truth as detection.

Each rule takes :class:`Readings` and rates everyone (higher: more like a rise; minus infinity where the readings do not
allow it), and most of them flag. They take seconds for half a million people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import t

from ircohort import frames
from ircohort.detection import DetectSettings
from ircohort.detection.selection import select_series
from ircohort.evaluation.trend import rising_trend
from ircohort.glycaemia import cut_off

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

RISE = 0.25
"""Last against first: a rise of more than 25 %, as in the definition of a window."""

LEVEL = 0.05
"""Of the tests, one-sided."""

INSULIN_CV = 0.288
"""Total within-person CV of fasting insulin over six weeks in 102 adults (ARIC; Poon 2018)."""

MANN_KENDALL_FROM = 5
_HOMA_LOG_CONSTANT = float(np.log(405.0))
_BLOCK = 50_000


@dataclass(frozen=True)
class Readings:
    """Serial readings of ``n`` people, ``m`` in all, sorted by person and time.

    ``participants`` (n,) identifiers; ``person`` (m,) row of the person, non-decreasing; ``years`` (m,); ``insulin``
    and ``glucose`` (m,) natural logs of uIU/mL and mg/dL, NaN where not measured; ``bmi`` (m,) kg/m2, NaN likewise.
    """

    participants: tuple[str, ...]
    person: Ints
    years: Floats
    insulin: Floats
    glucose: Floats
    bmi: Floats

    @property
    def n(self) -> int:
        """How many people."""
        return len(self.participants)

    @property
    def homa_ir(self) -> Floats:
        """(m,) log HOMA-IR: ln(insulin x glucose / 405)."""
        return self.insulin + self.glucose - _HOMA_LOG_CONSTANT


Rated = tuple[Floats, Bools | None]
"""Rating (n,) and, of a rule that flags, who is flagged (n,)."""


def readings_of(visits: Any, settings: DetectSettings | None = None) -> Readings:
    """Take the readings that enter detection; a value beyond a detection limit counts as half of it.

    Several visits at one time are one, with the mean of the logs.
    """
    table = frames.to_polars(visits)
    rules = replace(settings or DetectSettings(), censored="half_limit")
    series = select_series(table, rules)
    bmi = pl.col("bmi") if "bmi" in table.columns else pl.lit(None, pl.Float64).alias("bmi")
    weighed = table.group_by("participant_id", "years").agg(bmi.mean().cast(pl.Float64))
    seen = (
        series.readings.group_by("participant_id", "years", maintain_order=True)
        .agg(pl.col("insulin", "glucose").mean())
        .join(weighed, on=["participant_id", "years"], how="left", maintain_order="left")
    )
    names = series.people["participant_id"]
    row = pl.DataFrame({"participant_id": names}).with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    placed = seen.join(row, on="participant_id", how="left", maintain_order="left")
    columns = {name: placed[name].fill_null(np.nan).to_numpy() for name in ("years", "insulin", "glucose", "bmi")}
    return Readings(tuple(names), placed["row"].to_numpy(), **columns)


def _ends(person: Ints, values: Floats, n: int) -> tuple[Floats, Floats, Ints]:
    """First and last known value of each person (n,), NaN without any, and how many are known."""
    known = np.isfinite(values)
    who, what = person[known], values[known]
    first, last = np.full(n, np.nan), np.full(n, np.nan)
    last[who] = what  # the last assignment stands
    first[who[::-1]] = what[::-1]
    return first, last, np.bincount(who, minlength=n)


def _rise(values: Floats, readings: Readings) -> Floats:
    """Last less first, minus infinity with fewer than two."""
    first, last, count = _ends(readings.person, values, readings.n)
    return np.where(count >= 2, last - first, -np.inf)


def last_against_first(readings: Readings) -> Rated:
    """Flag a last insulin more than 25 % above the first."""
    rise = _rise(readings.insulin, readings)
    return rise, rise > np.log1p(RISE) + 1e-12


def reference_change(readings: Readings) -> Rated:
    """Flag a last insulin above the first by the one-sided 95 % reference change value.

    exp(z sqrt(2) sigma) - 1, sigma = sqrt(ln(1 + CV^2)): 93 % at a within-person CV of 28.8 %. The log-normal form:
    the usual one, z sqrt(2) CV, is too small for a CV of this size.
    """
    rise = _rise(readings.insulin, readings)
    sigma = np.sqrt(np.log1p(INSULIN_CV**2))
    return rise, rise > float(ndtri(1 - LEVEL)) * np.sqrt(2.0) * sigma


@dataclass(frozen=True)
class _Lines:
    """Least-squares lines of ``n`` people; every field has shape (n,).

    ``slope``; ``middle``, mean time; ``mean`` of the values; ``sxx``; ``count``; ``squares`` of what is left over.
    """

    slope: Floats
    middle: Floats
    mean: Floats
    sxx: Floats
    count: Ints
    squares: Floats


def _sums(person: Ints, values: Floats, n: int) -> Floats:
    return np.bincount(person, values, n).astype(np.float64)


def _lines(values: Floats, readings: Readings) -> _Lines:
    known = np.isfinite(values)
    who, x, y, n = readings.person[known], readings.years[known], values[known], readings.n
    count = np.bincount(who, minlength=n)
    some = np.maximum(count, 1)
    middle, mean = _sums(who, x, n) / some, _sums(who, y, n) / some
    dx, dy = x - middle[who], y - mean[who]
    sxx, sxy = _sums(who, dx * dx, n), _sums(who, dx * dy, n)
    slope = np.divide(sxy, sxx, out=np.zeros(n), where=sxx > 0)
    squares = _sums(who, np.square(dy - slope[who] * dx), n)
    return _Lines(slope, middle, mean, sxx, count, squares)


def ols_slope(readings: Readings) -> Rated:
    """Flag a slope of log insulin above zero, one-sided p < 0.05, with the residual SD pooled over the cohort."""
    lines = _lines(readings.insulin, readings)
    several = lines.count >= 3
    freedom = float(np.sum(lines.count[several] - 2))
    if freedom == 0:
        return np.full(readings.n, -np.inf), np.zeros(readings.n, dtype=bool)
    sd = np.sqrt(lines.squares[several].sum() / freedom)
    usable = several & (lines.sxx > 0) & (sd > 0)
    score = np.full(readings.n, -np.inf)
    score[usable] = lines.slope[usable] * np.sqrt(lines.sxx[usable]) / sd
    return score, score > t.isf(LEVEL, freedom)


def mann_kendall(readings: Readings) -> Rated:
    """Flag a rising trend of insulin by Mann-Kendall, one-sided p < 0.05, from five readings.

    The null distribution is exact for up to 40 readings, ties included (inversions of a multiset), then normal. The
    rating is S over its SD.

    Source
    ------
    Mann 1945, Econometrica 13:245, doi:10.2307/1907187.
    """
    score, p = np.full(readings.n, -np.inf), np.ones(readings.n)
    known = np.isfinite(readings.insulin)
    who, values = readings.person[known], readings.insulin[known]
    count = np.bincount(who, minlength=readings.n)
    begin = np.cumsum(count) - count
    for size in np.unique(count[count >= MANN_KENDALL_FROM]):
        people = np.flatnonzero(count == size)
        for block in np.array_split(people, -(-people.size // _BLOCK)):
            table = values[begin[block][:, None] + np.arange(size)]
            score[block], p[block] = rising_trend(table)
    return score, p < LEVEL


def crossing(readings: Readings) -> Rated:
    """Flag a first HOMA-IR below 1.9 and a last one of 1.9 or more.

    The rating is the smaller of the two distances from 1.9, on the log scale: not negative where the line is crossed.
    """
    first, last, count = _ends(readings.person, readings.homa_ir, readings.n)
    line = np.log(cut_off("homa_ir_early"))
    below, above = line - first, last - line
    rating = np.where(count >= 2, np.fmin(below, above), -np.inf)
    return rating, (count >= 2) & (below > 1e-12) & (above >= -1e-12)


def _latest(values: Floats, readings: Readings) -> Rated:
    last = _ends(readings.person, values, readings.n)[1]
    return np.where(np.isfinite(last), last, -np.inf), None


def latest_homa_ir(readings: Readings) -> Rated:
    """Rate by the last HOMA-IR."""
    return _latest(readings.homa_ir, readings)


def latest_glucose(readings: Readings) -> Rated:
    """Rate by the last fasting glucose."""
    return _latest(readings.glucose, readings)


def latest_bmi(readings: Readings) -> Rated:
    """Rate by the last BMI."""
    return _latest(readings.bmi, readings)


RULES: Mapping[str, Callable[[Readings], Rated]] = MappingProxyType(
    {
        "last_against_first": last_against_first,
        "ols_slope": ols_slope,
        "reference_change": reference_change,
        "mann_kendall": mann_kendall,
        "crossing_1_9": crossing,
        "latest_homa_ir": latest_homa_ir,
        "latest_glucose": latest_glucose,
        "latest_bmi": latest_bmi,
    }
)
"""The rules; the last three only rate."""


def no_gate(readings: Readings, _cut_off_mg_dl: float) -> Bools:
    """Let everyone pass."""
    return np.ones(readings.n, dtype=bool)


def all_readings_normal(readings: Readings, cut_off_mg_dl: float) -> Bools:
    """Let pass whose every glucose reading is below the cut-off; nobody without a reading."""
    known = np.isfinite(readings.glucose)
    high = known & (readings.glucose >= np.log(cut_off_mg_dl) - 1e-12)
    count, highs = (np.bincount(readings.person[rows], minlength=readings.n) for rows in (known, high))
    passes: Bools = (count > 0) & (highs == 0)
    return passes


def fitted_glucose_normal(readings: Readings, cut_off_mg_dl: float) -> Bools:
    """Let pass whose straight line through log glucose is below the cut-off at the last visit.

    With two readings their mean stands for it, and a single one for itself.
    """
    lines = _lines(readings.glucose, readings)
    last = _ends(readings.person, readings.years, readings.n)[1]
    sloped = (lines.count >= 3) & (lines.sxx > 0)
    fitted = lines.mean + np.where(sloped, lines.slope * (np.nan_to_num(last) - lines.middle), 0.0)
    passes: Bools = (lines.count > 0) & (fitted < np.log(cut_off_mg_dl))
    return passes


GATES: Mapping[str, Callable[[Readings, float], Bools]] = MappingProxyType(
    {"none": no_gate, "all_readings": all_readings_normal, "fitted_glucose": fitted_glucose_normal}
)
"""Who may be flagged, by glucose."""


def apply_rules(visits: Any, settings: DetectSettings | None = None) -> pl.DataFrame:
    """Rate everyone by every rule.

    Parameters
    ----------
    visits
        VISITS (pandas or polars).
    settings
        Which visits enter, and the glucose cut-off of the gates.

    Returns
    -------
    polars.DataFrame
        One row per participant, sorted: ``participant_id``; for each of :data:`RULES` ``<rule>`` (the rating, null
        where the readings do not allow one) and ``<rule>_flagged`` (not for those that only rate); for each of
        :data:`GATES` ``gate_<gate>``, whether the participant passes.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3, "years": [0.0, 1.0, 2.0],
    ...                        "insulin_uiu_ml": [6.0, 7.0, 9.0], "glucose_mg_dl": [90.0, 101.0, 92.0]})
    >>> apply_rules(visits).select("last_against_first_flagged", "gate_all_readings", "gate_fitted_glucose").row(0)
    (True, False, True)
    """
    rules = settings or DetectSettings()
    readings = readings_of(visits, rules)
    columns: dict[str, Any] = {"participant_id": pl.Series(list(readings.participants), dtype=pl.String)}
    for name, rule in RULES.items():
        rating, flagged = rule(readings)
        columns[name] = pl.Series(np.where(np.isfinite(rating), rating, np.nan)).fill_nan(None)
        if flagged is not None:
            columns[f"{name}_flagged"] = flagged
    for name, gate in GATES.items():
        columns[f"gate_{name}"] = gate(readings, rules.glucose_cut_off_mg_dl)
    return pl.DataFrame(columns)
