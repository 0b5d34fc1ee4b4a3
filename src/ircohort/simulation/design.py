"""What a simulated cohort looks like: who is in it, when they are seen, and how exactly they are measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from ircohort.errors import UsageError

UNITS = ("us", "si")

SAMPLE_SEED = 14
"""Seed of ``data/sample``."""

_MOST_PARTICIPANTS = 1_000_000
_LONGEST_YEARS = 60.0
_FIRST_YEARS = (1900, 2100)


@dataclass(frozen=True)
class Design:
    """The design of a simulated cohort. Defaults describe a general population seen once a year.

    Parameters
    ----------
    n_participants
        People; each has at least the first visit.
    n_visits
        Visits planned for each person, the first at entry.
    years_between_visits
        Planned time between visits, in years.
    visit_jitter_years
        Every later visit falls uniformly within this time of its plan; below half of ``years_between_visits``.
    share_visits_missed
        Probability that a visit after the first does not take place.
    share_insulin_missing
        Probability that insulin was not measured at a visit.
    until_diabetes
        Whether follow-up ends with the visit that confirms diabetes (glucose readings of 126 mg/dL or more at two
        visits in a row), from which on a person would be treated.
    age_low, age_high
        Range of age at entry in years, drawn uniformly. Age and sex have no bearing on the physiology.
    share_women
        Probability of being a woman.
    years_before_entry_low, years_before_entry_high
        For how long the loss of sensitivity had gone on at entry, in years, drawn uniformly. At 0 everyone enters at
        the very beginning, with glucose at its set-point.
    kappa_median, kappa_log_sd
        Yearly loss of ln(insulin sensitivity), lognormal with this median and SD of the log; above 0.12 it is 0.12.
    glucose_log_sd, insulin_log_sd, triglycerides_log_sd, hdl_log_sd, bmi_log_sd
        Within-person variation of one reading: SD of its natural log (about the CV), independent between readings.
    first_year_low, first_year_high
        Calendar years of entry, both included, drawn uniformly by day.
    units
        Units of the export: ``us`` (mg/dL, uIU/mL) or ``si`` (mmol/L, pmol/L).

    Raises
    ------
    UsageError
        If a parameter is outside its range, or is not of its type.

    Examples
    --------
    >>> Design(n_participants=0)
    Traceback (most recent call last):
    ...
    ircohort.errors.UsageError: The design has n_participants = 0.
    Expected is a whole number from 1 to 1000000.
    """

    n_participants: int = 500
    n_visits: int = 12
    years_between_visits: float = 1.0
    visit_jitter_years: float = 0.1
    share_visits_missed: float = 0.08
    share_insulin_missing: float = 0.03
    until_diabetes: bool = False
    age_low: float = 35.0
    age_high: float = 60.0
    share_women: float = 0.5
    years_before_entry_low: float = 0.0
    years_before_entry_high: float = 0.0
    kappa_median: float = 0.012
    kappa_log_sd: float = 0.8
    glucose_log_sd: float = 0.05
    insulin_log_sd: float = 0.26
    triglycerides_log_sd: float = 0.20
    hdl_log_sd: float = 0.075
    bmi_log_sd: float = 0.01
    first_year_low: int = 2004
    first_year_high: int = 2006
    units: str = "us"

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("units", "until_diabetes"):
                _check_number(field.name, getattr(self, field.name))
        _check_order(self)
        if not isinstance(self.until_diabetes, bool):
            raise _refusal("until_diabetes", self.until_diabetes, "True or False")
        if self.units not in UNITS:
            raise _refusal("units", self.units, f"one of {', '.join(UNITS)}")


_WHOLE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "n_participants": (1, _MOST_PARTICIPANTS),
        "n_visits": (1, 1000),
        "first_year_low": _FIRST_YEARS,
        "first_year_high": _FIRST_YEARS,
    }
)

_REAL: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "years_between_visits": (1 / 12, 20.0),
        "visit_jitter_years": (0.0, 10.0),
        "share_visits_missed": (0.0, 1.0),
        "share_insulin_missing": (0.0, 1.0),
        "age_low": (0.0, 110.0),
        "age_high": (0.0, 110.0),
        "share_women": (0.0, 1.0),
        "years_before_entry_low": (0.0, 40.0),
        "years_before_entry_high": (0.0, 40.0),
        "kappa_median": (0.0, 0.12),
        "kappa_log_sd": (0.0, 3.0),
        "glucose_log_sd": (0.0, 1.0),
        "insulin_log_sd": (0.0, 1.0),
        "triglycerides_log_sd": (0.0, 1.0),
        "hdl_log_sd": (0.0, 1.0),
        "bmi_log_sd": (0.0, 1.0),
    }
)


def _refusal(name: str, value: Any, expected: str) -> UsageError:
    return UsageError(f"The design has {name} = {value!r}.", expected=f"Expected is {expected}.")


def _check_number(name: str, value: Any) -> None:
    if name in _WHOLE:
        low, high = _WHOLE[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _refusal(name, value, f"a whole number from {low} to {high}")
        return
    smallest, largest = _REAL[name]
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not real or not smallest <= value <= largest:
        raise _refusal(name, value, f"a number from {smallest:.4g} to {largest:.4g}")


def _check_order(design: Design) -> None:
    if design.age_high < design.age_low:
        raise _refusal("age_high", design.age_high, f"an age from age_low = {design.age_low} on")
    if design.years_before_entry_high < design.years_before_entry_low:
        low = design.years_before_entry_low
        raise _refusal("years_before_entry_high", design.years_before_entry_high, f"a time from {low} years on")
    if design.first_year_high < design.first_year_low:
        raise _refusal("first_year_high", design.first_year_high, f"a year from {design.first_year_low} on")
    # Below half of the spacing, less the day that rounding to whole days can move a visit: no two visits coincide.
    room = design.years_between_visits / 2 - 1 / 365.25
    if design.visit_jitter_years > room:
        raise _refusal(
            "visit_jitter_years", design.visit_jitter_years, f"at most {room:.4g}, so that visits keep order"
        )
    if (design.n_visits - 1) * design.years_between_visits > _LONGEST_YEARS:
        raise _refusal("n_visits", design.n_visits, f"a follow-up of at most {_LONGEST_YEARS:.0f} years in all")


DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "clinic": Design(kappa_median=0.03, kappa_log_sd=1.0, years_before_entry_high=10.0, until_diabetes=True),
        "population": Design(years_before_entry_high=10.0, until_diabetes=True),
    }
)
"""Named designs: ``clinic``, people at risk (the sample), and ``population``, people at large; kappa alone differs."""
