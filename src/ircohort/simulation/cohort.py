"""A cohort with known truth: people followed by the model, seen at visits, measured with error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.estimand import HiddenWindow, find_windows
from ircohort.glycaemia import CUT_OFFS
from ircohort.simulation.design import SAMPLE_SEED, Design
from ircohort.simulation.draws import normals, uniforms
from ircohort.simulation.people import SENSITIVITY_MEDIAN, Schedule, draw_people, identifiers, plan_visits
from ircohort.simulation.physiology import Course, People, bmi_after, evolve, states_at
from ircohort.units import conversion

# Usual lipids by lost sensitivity x = -ln(S / median): ln TG = 4.45 + 0.35 x, ln HDL = 4.10 - 0.14 x, in mg/dL.
TRIGLYCERIDES_LOG_LEVEL, TRIGLYCERIDES_LOG_SLOPE = 4.45, 0.35
HDL_LOG_LEVEL, HDL_LOG_SLOPE = 4.10, -0.14

_BLOCK = 4096  # people simulated at once: bounds the memory, has no bearing on any number


@dataclass(frozen=True)
class Reported:
    """A column of the export: its header, what stands in it, in which unit, and to how many decimals."""

    header: str
    column: str
    analyte: str
    unit: str
    digits: int


EXPORTS: Mapping[str, tuple[Reported, ...]] = MappingProxyType(
    {
        "us": (
            Reported("Glucose (mg/dL)", "glucose_mg_dl", "glucose", "mg/dL", 0),
            Reported("Insulin (uIU/mL)", "insulin_uiu_ml", "insulin", "uIU/mL", 1),
            Reported("Triglycerides (mg/dL)", "triglycerides_mg_dl", "triglycerides", "mg/dL", 0),
            Reported("HDL (mg/dL)", "hdl_mg_dl", "hdl", "mg/dL", 0),
            Reported("BMI (kg/m2)", "bmi", "bmi", "kg/m2", 1),
        ),
        "si": (
            Reported("Glucose (mmol/L)", "glucose_mg_dl", "glucose", "mmol/L", 1),
            Reported("Insulin (pmol/L)", "insulin_uiu_ml", "insulin", "pmol/L", 0),
            Reported("Triglycerides (mmol/L)", "triglycerides_mg_dl", "triglycerides", "mmol/L", 2),
            Reported("HDL (mmol/L)", "hdl_mg_dl", "hdl", "mmol/L", 2),
            Reported("BMI (kg/m2)", "bmi", "bmi", "kg/m2", 1),
        ),
    }
)
"""How a laboratory reports: the measured columns of ``labs``, by units."""

TRUTH_DIGITS: Mapping[str, int] = MappingProxyType(
    {
        "follow_up_years": 3,
        "window_start_years": 3,
        "window_end_years": 3,
        "rise_pct": 2,
        "years_to_glucose_100": 3,
        "kappa_per_year": 5,
        "glucose_first_mg_dl": 2,
        "glucose_last_mg_dl": 2,
        "insulin_first_uiu_ml": 3,
        "insulin_last_uiu_ml": 3,
    }
)
"""Decimals to which ``truth`` holds its numbers: coarse enough to be the same on every kind of processor."""


@dataclass(frozen=True)
class Simulated:
    """A simulated cohort.

    ``labs``: one row per visit, an export as an analyst gets it: ``participant_id``, ``visit_date``, ``sex``, ``age``
    (completed years), and the columns of :data:`EXPORTS`, rounded as a laboratory does, null where not measured.

    ``truth``: one row per participant: ``participant_id``, ``n_visits``, ``follow_up_years``, ``hidden_window`` (the
    noise-free monthly course up to the last visit holds one), ``window_start_years`` and ``window_end_years`` (since
    the first visit, null where there is none), ``rise_pct`` of insulin between them, ``years_to_glucose_100`` (first
    month at 100 mg/dL or more, null if none), ``kappa_per_year``, and true glucose and insulin at the first and last
    visit; to the decimals of :data:`TRUTH_DIGITS`.

    ``truth_visits``: one row per visit, unrounded: ``participant_id``, ``visit_date``, ``years``, true
    ``glucose_mg_dl``, ``insulin_uiu_ml``, ``triglycerides_mg_dl``, ``hdl_mg_dl``, ``bmi``, ``sensitivity``
    (mL/uIU per day), ``beta`` (uIU/mL).
    """

    labs: pl.DataFrame
    truth: pl.DataFrame
    truth_visits: pl.DataFrame


def simulate(design: Design, *, seed: int = SAMPLE_SEED, definition: HiddenWindow | None = None) -> Simulated:
    """Simulate a cohort whose hidden windows come from physiology.

    Parameters
    ----------
    design
        Who is seen when; :data:`DESIGNS` names two.
    seed
        A whole number from 0. A person depends on it and on the own name only: ``P0001`` is the same in a cohort of
        ten and of a thousand, and has the same course under another schedule of visits.
    definition
        What counts as a hidden window in ``truth``.

    Returns
    -------
    Simulated
        Tables in the order of participant and visit.

    Raises
    ------
    UsageError
        If the seed is not a whole number from 0.

    Examples
    --------
    >>> cohort = simulate(Design(n_participants=3, n_visits=4, share_visits_missed=0.0), seed=1)
    >>> cohort.labs.height, cohort.truth["participant_id"].to_list()
    (12, ['P0001', 'P0002', 'P0003'])
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"The seed is {seed!r}.", expected="Expected is a whole number from 0.")
    names = identifiers(design.n_participants)
    blocks = [
        _simulate_block(design, names[first : first + _BLOCK], seed, definition)
        for first in range(0, len(names), _BLOCK)
    ]
    return Simulated(
        labs=pl.concat([block.labs for block in blocks]),
        truth=pl.concat([block.truth for block in blocks]),
        truth_visits=pl.concat([block.truth_visits for block in blocks]),
    )


def _simulate_block(design: Design, names: tuple[str, ...], seed: int, definition: HiddenWindow | None) -> Simulated:
    people = draw_people(design, names, seed=seed)
    schedule = plan_visits(design, names, seed=seed)
    course = evolve(people, float(schedule.last.max()))
    true = true_visits(people, course, schedule)
    read = measure(true, schedule, design, seed=seed)
    if design.until_diabetes:
        kept = until_diabetes(read["glucose_mg_dl"], schedule.person)
        schedule, true, read = schedule.only(kept.to_numpy()), true.filter(kept), read.filter(kept)
    return Simulated(
        labs=report(read, schedule, design),
        truth=true_findings(people, course, schedule, true, definition),
        truth_visits=true,
    )


def true_visits(people: People, course: Course, schedule: Schedule) -> pl.DataFrame:
    """Give the noise-free values at each visit, as ``Simulated.truth_visits``."""
    person, years = schedule.person, schedule.years
    state = states_at(course, people, person, years)
    lost = -np.log(state.sensitivity / SENSITIVITY_MEDIAN)
    triglycerides = TRIGLYCERIDES_LOG_LEVEL + TRIGLYCERIDES_LOG_SLOPE * lost + people.triglycerides_offset[person]
    hdl = HDL_LOG_LEVEL + HDL_LOG_SLOPE * lost + people.hdl_offset[person]
    return pl.DataFrame(
        {
            "participant_id": np.array(schedule.participants, dtype=object)[person],
            "visit_date": schedule.date,
            "years": years,
            "glucose_mg_dl": state.glucose,
            "insulin_uiu_ml": state.insulin,
            "triglycerides_mg_dl": np.exp(triglycerides),
            "hdl_mg_dl": np.exp(hdl),
            "bmi": bmi_after(people.bmi[person], people.kappa[person], years),
            "sensitivity": state.sensitivity,
            "beta": np.exp(state.log_beta),
        },
        schema_overrides={"participant_id": pl.String, "visit_date": pl.Date},
    )


def measure(true: pl.DataFrame, schedule: Schedule, design: Design, *, seed: int) -> pl.DataFrame:
    """Measure each visit with the within-person variation of the design: ``true`` with readings, not yet rounded."""
    variation = {
        "glucose_mg_dl": design.glucose_log_sd,
        "insulin_uiu_ml": design.insulin_log_sd,
        "triglycerides_mg_dl": design.triglycerides_log_sd,
        "hdl_mg_dl": design.hdl_log_sd,
        "bmi": design.bmi_log_sd,
    }
    z = normals("readings", seed, schedule.participants, len(variation) * design.n_visits)
    noise = z.reshape(-1, design.n_visits, len(variation))[schedule.person, schedule.number]
    drawn = uniforms("insulin", seed, schedule.participants, design.n_visits)[schedule.person, schedule.number]
    readings = true.with_columns(
        pl.Series(column, true[column].to_numpy() * np.exp(sd * noise[:, j]))
        for j, (column, sd) in enumerate(variation.items())
    )
    taken = pl.Series(drawn >= design.share_insulin_missing)
    return readings.with_columns(pl.when(taken).then(pl.col("insulin_uiu_ml")))


def until_diabetes(glucose_mg_dl: pl.Series, person: NDArray[np.int64]) -> pl.Series:
    """Say which visits (m,) take place if follow-up ends with the visit that confirms diabetes."""
    high = glucose_mg_dl.round() >= float(CUT_OFFS["ada_glucose_diabetes"].value)
    visits = pl.DataFrame({"person": person, "high": high})
    confirms = (pl.col("high") & pl.col("high").shift(1).fill_null(False)).over("person")
    return visits.select((confirms.cum_sum().over("person") - confirms.cast(pl.Int64)) == 0).to_series()


def report(read: pl.DataFrame, schedule: Schedule, design: Design) -> pl.DataFrame:
    """Report readings as a laboratory does, as ``Simulated.labs``."""
    return read.select(
        "participant_id",
        "visit_date",
        pl.Series("sex", np.where(schedule.woman, "female", "male")[schedule.person], dtype=pl.String),
        pl.Series("age", np.floor(schedule.age).astype(np.int64)),
        *(_report(read[row.column], row) for row in EXPORTS[design.units]),
    )


def _report(canonical: pl.Series, row: Reported) -> pl.Series:
    """Write values as a laboratory does; none is reported as zero."""
    scale = float(conversion(row.analyte, row.unit).apply(Decimal(1)))
    values = (canonical / scale).alias(row.header).round(row.digits).clip(lower_bound=10.0**-row.digits)
    return values.cast(pl.Int64) if row.digits == 0 else values


def true_findings(
    people: People, course: Course, schedule: Schedule, true: pl.DataFrame, definition: HiddenWindow | None = None
) -> pl.DataFrame:
    """Judge each noise-free monthly course from the first to the last visit, as ``Simulated.truth``."""
    rule = definition or HiddenWindow()
    seen = course.years <= schedule.last[:, None] + 1e-9
    windows = find_windows(
        course.years, np.where(seen, np.log(course.insulin), np.nan), np.where(seen, course.glucose, np.nan), rule
    )
    high = seen & (course.glucose >= rule.glucose_cut_off_mg_dl)
    visits = true.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_visits"),
        *(
            getattr(pl.col(f"{name}_{unit}"), which)().alias(f"{name}_{which}_{unit}")
            for name, unit in (("glucose", "mg_dl"), ("insulin", "uiu_ml"))
            for which in ("first", "last")
        ),
    )
    findings = visits.with_columns(
        pl.Series("follow_up_years", schedule.last),
        pl.Series("hidden_window", windows.present),
        pl.Series("window_start_years", windows.start),
        pl.Series("window_end_years", windows.end),
        pl.Series("rise_pct", 100 * np.expm1(windows.log_rise)),
        pl.Series("years_to_glucose_100", np.where(high.any(axis=1), course.years[high.argmax(axis=1)], np.nan)),
        pl.Series("kappa_per_year", people.kappa),
    )
    rounded = [pl.col(name).fill_nan(None).round(digits) for name, digits in TRUTH_DIGITS.items()]
    numbers = list(TRUTH_DIGITS)
    return findings.with_columns(rounded).select(
        "participant_id", "n_visits", numbers[0], "hidden_window", *numbers[1:]
    )
