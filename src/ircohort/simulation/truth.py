"""What is true of a simulated cohort: noise-free values at visits, hidden windows, and how insulin went."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import Floats
from ircohort.estimand import COURSES, HiddenWindow, Windows, find_windows
from ircohort.glycaemia import CUT_OFFS
from ircohort.simulation.people import BETA_CELLS, DECLINERS, WEIGHT_COURSES, Drawn
from ircohort.simulation.physiology import Course, People, bmi_at, states_at
from ircohort.simulation.population import Population
from ircohort.simulation.schedule import Schedule

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

TRAIT_DIGITS: Mapping[str, int] = MappingProxyType(
    {
        "age_at_entry": 3,
        "puberty_from_age": 3,
        "puberty_to_age": 3,
        "weight_lost_pct": 2,
        "assay_change_years": 3,
        "treated_from_years": 3,
    }
)
"""The same of ``traits``."""


def usual_lipids(population: Population, people: People, person: NDArray[np.int64], sensitivity: Floats) -> Floats:
    """Give true triglycerides and HDL (2, ...) in mg/dL of given people, by their sensitivity (mL/uIU per day)."""
    lost = -np.log(sensitivity / population.sensitivity_median)
    shape = person.shape + (1,) * (sensitivity.ndim - 1)
    own = people.triglycerides_offset[person].reshape(shape), people.hdl_offset[person].reshape(shape)
    triglycerides = population.triglycerides_log_level + population.triglycerides_log_slope * lost + own[0]
    hdl = population.hdl_log_level + population.hdl_log_slope * lost + own[1]
    return np.exp(np.stack([triglycerides, hdl]))


def true_visits(people: People, course: Course, schedule: Schedule, population: Population) -> pl.DataFrame:
    """Give the noise-free values at each visit, the first part of ``Simulated.truth_visits``."""
    person, years = schedule.person, schedule.years
    state = states_at(course, people, person, years)
    triglycerides, hdl = usual_lipids(population, people, person, state.sensitivity)
    return pl.DataFrame(
        {
            "participant_id": np.array(schedule.participants, dtype=object)[person],
            "visit_date": schedule.date,
            "years": years,
            "glucose_mg_dl": state.glucose,
            "insulin_uiu_ml": state.insulin,
            "triglycerides_mg_dl": triglycerides,
            "hdl_mg_dl": hdl,
            "bmi": bmi_at(people, person, years),
            "sensitivity": state.sensitivity,
            "beta": np.exp(state.log_beta),
        },
        schema_overrides={"participant_id": pl.String, "visit_date": pl.Date},
    )


def with_states(
    true: pl.DataFrame, windows: Windows, schedule: Schedule, drawn: Drawn, treated: NDArray[np.bool_]
) -> pl.DataFrame:
    """Add to the values at each visit what they mean, the second part of ``Simulated.truth_visits``."""
    person, years = schedule.person, schedule.years
    inside = (years >= windows.start[person] - 1e-9) & (years <= windows.end[person] + 1e-9)
    puberty = drawn.kinds.puberty[person]
    pubertal = (schedule.age >= puberty[:, 0]) & (schedule.age <= puberty[:, 1])
    glucose, homa_ir = pl.col("glucose_mg_dl"), pl.col("glucose_mg_dl") * pl.col("insulin_uiu_ml") / 405
    names = ("ada_glucose_diabetes", "ada_glucose_prediabetes", "homa_ir_early")
    diabetes, prediabetes, compensated = (float(CUT_OFFS[name].value) for name in names)
    return true.with_columns(
        pl.when(glucose >= diabetes)
        .then(pl.lit("diabetes"))
        .when(glucose >= prediabetes)
        .then(pl.lit("prediabetes"))
        .when(homa_ir >= compensated)
        .then(pl.lit("compensated"))
        .otherwise(pl.lit("sensitive"))
        .alias("state"),
        pl.Series("in_window", inside),
        pl.Series("pubertal", pubertal),
        pl.Series("treated", treated),
    )


def windows_of(course: Course, last: Floats, rule: HiddenWindow) -> Windows:
    """Judge each noise-free monthly course from the first to the last visit."""
    seen = course.years <= last[:, None] + 1e-9
    return find_windows(
        course.years, np.where(seen, np.log(course.insulin), np.nan), np.where(seen, course.glucose, np.nan), rule
    )


def findings(
    course: Course, windows: Windows, schedule: Schedule, true: pl.DataFrame, kappa: Floats, rule: HiddenWindow
) -> pl.DataFrame:
    """Say what each course held, as ``Simulated.truth``."""
    last = schedule.last
    high = (course.years <= last[:, None] + 1e-9) & (course.glucose >= rule.glucose_cut_off_mg_dl)
    visits = true.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_visits"),
        *(
            getattr(pl.col(f"{name}_{unit}"), which)().alias(f"{name}_{which}_{unit}")
            for name, unit in (("glucose", "mg_dl"), ("insulin", "uiu_ml"))
            for which in ("first", "last")
        ),
    )
    found = visits.with_columns(
        pl.Series("follow_up_years", last),
        pl.Series("hidden_window", windows.present),
        pl.Series("window_start_years", windows.start),
        pl.Series("window_end_years", windows.end),
        pl.Series("rise_pct", 100 * np.expm1(windows.log_rise)),
        pl.Series("years_to_glucose_100", np.where(high.any(axis=1), course.years[high.argmax(axis=1)], np.nan)),
        pl.Series("kappa_per_year", kappa),
    )
    numbers = list(TRUTH_DIGITS)
    order = ["participant_id", "n_visits", numbers[0], "hidden_window", *numbers[1:]]
    return _to_digits(found, TRUTH_DIGITS).select(order)


def traits_of(
    drawn: Drawn,
    schedule: Schedule,
    courses: NDArray[np.int64],
    assay_changes: Floats,
    treated_from: Floats,
    left: NDArray[np.bool_],
) -> pl.DataFrame:
    """Say what sort of person each is and what happened to each, as ``Simulated.traits``."""
    kinds, last = drawn.kinds, schedule.last
    found = pl.DataFrame(
        {
            "participant_id": schedule.participants,
            "sex": np.where(drawn.entry.woman, "female", "male"),
            "age_at_entry": drawn.entry.age,
            "decliner": np.array(DECLINERS)[kinds.decliner],
            "beta_cells": np.array(BETA_CELLS)[kinds.beta_cells],
            "puberty_from_age": kinds.puberty[:, 0],
            "puberty_to_age": kinds.puberty[:, 1],
            "weight": np.array(WEIGHT_COURSES)[kinds.weight],
            "weight_lost_pct": 100 * kinds.weight_loss,
            "assay_change_years": _within(assay_changes, last),
            "treated_from_years": _within(treated_from, last),
            "dropped_out": left,
            "course": np.array(COURSES)[courses],
        }
    )
    return _to_digits(found, TRAIT_DIGITS)


def _within(years: Floats, last: Floats) -> Floats:
    """Blank what lies before the first or after the last visit."""
    return np.where((years > 0) & (years <= last), years, np.nan)


def _to_digits(found: pl.DataFrame, digits: Mapping[str, int]) -> pl.DataFrame:
    return found.with_columns(pl.col(name).fill_nan(None).round(places) for name, places in digits.items())
