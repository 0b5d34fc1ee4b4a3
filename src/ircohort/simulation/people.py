"""Who is in a cohort: the physiology, age and sex of each person, and the visits of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.simulation.design import Design
from ircohort.simulation.draws import Floats, normals, uniforms
from ircohort.simulation.physiology import BMI_EXPONENT, People, mature, steady_beta

DAYS_PER_YEAR = 365.25

# The person parameters of the cohort model; medians and SDs (of the natural log, where the unit is not mg/dL).
BMI_MEDIAN, BMI_LOG_SD = 22.3, 0.125
SENSITIVITY_MEDIAN, SENSITIVITY_LOG_SD = 1.55, 0.42
SET_POINT_MEAN, SET_POINT_SD = 90.5, 4.5
TOXIC_LEVEL_MEAN, TOXIC_LEVEL_SD, TOXIC_LEVEL_MARGIN = 122.0, 8.0, 15.0
KAPPA_HIGHEST = 0.12
RESERVE_MEDIAN, RESERVE_LOG_SD, RESERVE_LEAST, RESERVE_EXPONENT = 2.0, 0.4, 1.05, 0.6
TRIGLYCERIDES_BETWEEN_SD, HDL_BETWEEN_SD = 0.40, 0.20

TYPICAL_BETA = float(steady_beta(np.array(SENSITIVITY_MEDIAN), np.array(SET_POINT_MEAN)))
"""Beta-cell function of the median person, uIU/mL. A constant, so that no person depends on the others."""


@dataclass(frozen=True)
class Schedule:
    """The visits that took place: ``m`` of them, of ``n`` people, by person and time.

    ``participants`` (n,) identifiers; ``woman`` (n,); ``person`` (m,) row of the person; ``number`` (m,) which of the
    planned visits; ``years`` (m,) since the first visit, a whole number of days; ``date`` (m,); ``age`` (m,) in years.
    """

    participants: tuple[str, ...]
    woman: NDArray[np.bool_]
    person: NDArray[np.int64]
    number: NDArray[np.int64]
    years: Floats
    date: NDArray[np.datetime64]
    age: Floats

    @property
    def last(self) -> Floats:
        """(n,) years from each person's first to last visit."""
        follow_up = np.zeros(len(self.participants))
        np.maximum.at(follow_up, self.person, self.years)
        return follow_up

    def only(self, kept: NDArray[np.bool_]) -> Schedule:
        """Give the schedule with some of its visits (m,)."""
        visits = {name: getattr(self, name)[kept] for name in ("person", "number", "years", "date", "age")}
        return replace(self, **visits)


def identifiers(count: int) -> tuple[str, ...]:
    """Name participants ``P0001``, ``P0002`` and on; a name does not depend on how many there are."""
    return tuple(f"P{number:04d}" for number in range(1, count + 1))


def draw_people(design: Design, participants: tuple[str, ...], *, seed: int) -> People:
    """Draw the physiology of people as they are at entry.

    Each process began with glucose at its set-point and some reserve of the beta cell, and had gone on for the time
    that the design states.
    """
    z = normals("physiology", seed, participants, 8).T
    bmi = BMI_MEDIAN * np.exp(BMI_LOG_SD * z[0])
    sensitivity = SENSITIVITY_MEDIAN * (bmi / BMI_MEDIAN) ** -BMI_EXPONENT * np.exp(SENSITIVITY_LOG_SD * z[1])
    set_point = SET_POINT_MEAN + SET_POINT_SD * z[2]
    beta = steady_beta(sensitivity, set_point)
    reserve = RESERVE_MEDIAN * np.exp(RESERVE_LOG_SD * z[5])
    capacity = reserve * TYPICAL_BETA * (beta / TYPICAL_BETA) ** RESERVE_EXPONENT
    begun = People(
        bmi=bmi,
        sensitivity=sensitivity,
        set_point=set_point,
        toxic_level=np.maximum(TOXIC_LEVEL_MEAN + TOXIC_LEVEL_SD * z[3], set_point + TOXIC_LEVEL_MARGIN),
        kappa=np.minimum(design.kappa_median * np.exp(design.kappa_log_sd * z[4]), KAPPA_HIGHEST),
        beta=beta,
        capacity=np.maximum(capacity, RESERVE_LEAST * beta),
        triglycerides_offset=TRIGLYCERIDES_BETWEEN_SD * z[6],
        hdl_offset=HDL_BETWEEN_SD * z[7],
    )
    share = uniforms("time before entry", seed, participants, 1)[:, 0]
    low, high = design.years_before_entry_low, design.years_before_entry_high
    return mature(begun, low + (high - low) * share)


def plan_visits(design: Design, participants: tuple[str, ...], *, seed: int) -> Schedule:
    """Draw entry (age, sex, day) and the visits that took place; the first visit is never missed."""
    entry = uniforms("entry", seed, participants, 3)
    chances = uniforms("visits", seed, participants, 2 * design.n_visits).reshape(len(participants), -1, 2)
    planned = np.arange(design.n_visits) * design.years_between_visits
    moved = np.where(planned > 0, design.visit_jitter_years * (2 * chances[:, :, 0] - 1), 0.0)
    days = np.rint((planned + moved) * DAYS_PER_YEAR).astype(np.int64)
    person, number = np.nonzero((planned == 0) | (chances[:, :, 1] >= design.share_visits_missed))
    years = days[person, number] / DAYS_PER_YEAR
    opens = np.datetime64(f"{design.first_year_low:04d}-01-01")
    room = (np.datetime64(f"{design.first_year_high + 1:04d}-01-01") - opens).astype(np.int64)
    first_day = opens + np.floor(entry[:, 2] * room).astype(np.int64)
    age = design.age_low + (design.age_high - design.age_low) * entry[:, 0]
    return Schedule(
        participants=participants,
        woman=entry[:, 1] < design.share_women,
        person=person,
        number=number,
        years=years,
        date=first_day[person] + days[person, number],
        age=age[person] + years,
    )
