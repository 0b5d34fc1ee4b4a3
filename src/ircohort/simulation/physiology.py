"""Slow loss of insulin sensitivity against a compensating beta cell: the glucose-insulin model behind a cohort.

Glucose and insulin settle within hours, so they stand at their steady state at every moment; insulin sensitivity,
beta-cell function and its capacity move over years. Glucose is steered towards a person's set-point by the beta cell,
until the capacity is used up or glucose passes the level at which it harms the beta cell itself.

Source: Topp 2000, J Theor Biol 206:605, doi:10.1006/jtbi.2000.2150 (glucose, insulin, and the growth of the beta
cell between a set-point and a toxic level).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.simulation.bends import Bend, total_at

Floats = NDArray[np.float64]

GLUCOSE_PRODUCTION = 864.0
"""R0, mg/dL per day (Topp 2000)."""

GLUCOSE_EFFECTIVENESS = 1.44
"""EG0, per day: glucose uptake that needs no insulin (Topp 2000)."""

SECRETION_HALF_SATURATION = 20_000.0
"""alpha, (mg/dL)^2: secretion is half of its maximum at its square root, 141 mg/dL (Topp 2000)."""

STEPS_PER_YEAR = 12
"""The slow state moves in steps of a month, along straight lines in ln(beta-cell function)."""

NEWTON_STEPS = 8
"""Five reach 1e-9 from the month before; eight also from any start between 40 and 600 mg/dL."""

# The slow rates are set so that the cohort meets the trajectories of Sagesaka 2018 (doi:10.1210/js.2018-00071).
ADAPTATION_PER_YEAR = 0.05
"""Growth of beta-cell function, per year and mg/dL of glucose above the set-point."""

ADAPTATION_LIMITS = (-0.8, 1.0)
"""Lowest and highest growth of beta-cell function, per year; growth is then weighed by the capacity still free."""

TOXICITY_FACTOR = 3.0
"""How much faster beta-cell function is lost above the toxic level."""

WEAR_PER_YEAR = 0.008
"""Loss of capacity per year; also loss of beta-cell function per year at full use of the capacity."""

BMI_SHARE = 0.3
"""Share of the lost sensitivity that comes with weight."""

BMI_EXPONENT = 1.9
"""Sensitivity goes with BMI to the power of minus this."""


@dataclass(frozen=True)
class People:
    """The parameters of ``n`` people; every field has shape (n,).

    ``bmi`` at entry, kg/m2; ``sensitivity`` at entry, mL/uIU per day; ``set_point`` and ``toxic_level``, mg/dL;
    ``kappa``, loss of ln(sensitivity) per year; ``beta`` and ``capacity``, beta-cell function at entry and its
    limit, uIU/mL at saturating glucose; ``triglycerides_offset`` and ``hdl_offset``, natural log; ``bends`` of ln
    sensitivity, ``beta_bends`` of ln beta-cell function and its capacity, ``weight_bends`` of ln BMI: by years since
    entry, over what ``sensitivity``, ``beta`` and ``bmi`` say.
    """

    bmi: Floats
    sensitivity: Floats
    set_point: Floats
    toxic_level: Floats
    kappa: Floats
    beta: Floats
    capacity: Floats
    triglycerides_offset: Floats
    hdl_offset: Floats
    bends: tuple[Bend, ...] = ()
    beta_bends: tuple[Bend, ...] = ()
    weight_bends: tuple[Bend, ...] = ()


@dataclass(frozen=True)
class Course:
    """The noise-free course of ``n`` people at ``k`` times: ``years`` (k,) since entry, all others (n, k).

    ``log_beta`` is ln of beta-cell function; ``glucose`` mg/dL; ``insulin`` uIU/mL; ``sensitivity`` mL/uIU per day.
    """

    years: Floats
    log_beta: Floats
    sensitivity: Floats
    glucose: Floats
    insulin: Floats


def secretion(glucose: Floats) -> Floats:
    """Give secretion as a share of its maximum, by glucose in mg/dL (Topp 2000).

    Examples
    --------
    >>> round(float(secretion(np.array(100.0))), 4)
    0.3333
    """
    squared = np.square(glucose)
    share: Floats = squared / (SECRETION_HALF_SATURATION + squared)
    return share


def steady_glucose(sensitivity: Floats, beta: Floats, start: Floats) -> Floats:
    """Solve R0 - (EG0 + S b s(G)) G = 0 for glucose in mg/dL by Newton's method.

    Parameters
    ----------
    sensitivity, beta
        Insulin sensitivity S (mL/uIU per day) and beta-cell function b (uIU/mL), of one shape.
    start
        A first guess in mg/dL.

    Examples
    --------
    The fixed point of Topp 2000: 100 mg/dL, where insulin is 30 * s(100) = 10 uIU/mL.

    >>> glucose = steady_glucose(np.array([0.72]), np.array([30.0]), np.array([90.0]))
    >>> round(glucose.item(), 6), round((30.0 * secretion(glucose)).item(), 6)
    (100.0, 10.0)
    """
    glucose = np.asarray(start, dtype=float)
    uptake = sensitivity * beta
    for _ in range(NEWTON_STEPS):
        share = secretion(glucose)
        imbalance = GLUCOSE_PRODUCTION - (GLUCOSE_EFFECTIVENESS + uptake * share) * glucose
        # d/dG of s(G) G is s (3 - 2 s)
        glucose = glucose + imbalance / (GLUCOSE_EFFECTIVENESS + uptake * share * (3 - 2 * share))
    return glucose


def steady_beta(sensitivity: Floats, glucose: Floats) -> Floats:
    """Give the beta-cell function (uIU/mL) that holds glucose (mg/dL) at this sensitivity (mL/uIU per day).

    Examples
    --------
    >>> round(float(steady_beta(np.array(0.72), np.array(100.0))), 9)
    30.0
    """
    beta: Floats = (GLUCOSE_PRODUCTION / glucose - GLUCOSE_EFFECTIVENESS) / (sensitivity * secretion(glucose))
    return beta


def beta_growth(glucose: Floats, beta: Floats, capacity: Floats, people: People) -> Floats:
    """Give d ln(b) / dt per year: growth above the set-point, loss below it and above the toxic level, and wear."""
    width = people.toxic_level - people.set_point
    drive = ADAPTATION_PER_YEAR * (glucose - people.set_point) * (people.toxic_level - glucose) / width
    growth = np.clip(np.where(glucose > people.toxic_level, TOXICITY_FACTOR * drive, drive), *ADAPTATION_LIMITS)
    used = beta / capacity
    change: Floats = np.where(growth > 0, growth * (1 - used), growth) - WEAR_PER_YEAR * used
    return change


def evolve(people: People, years: float, before_entry: Floats | None = None) -> Course:
    """Follow people month by month.

    Parameters
    ----------
    people
        Their parameters.
    years
        How long; the course ends at the first month at or after it.
    before_entry
        (n,) years before entry at which each course begins; default: at entry.

    Returns
    -------
    Course
        At months 0, 1, ..., as years.
    """
    months = int(np.ceil(years * STEPS_PER_YEAR - 1e-9))
    times = np.arange(months + 1) / STEPS_PER_YEAR
    sensitivity = people.sensitivity[:, None] * np.exp(-people.kappa[:, None] * times)
    begins = np.zeros(people.kappa.size) if before_entry is None else -before_entry
    if people.bends:
        sensitivity *= np.exp(total_at(people.bends, begins[:, None] + times))
    helped = total_at(people.beta_bends, begins[:, None] + times) if people.beta_bends else np.zeros_like(sensitivity)
    log_beta, glucose = np.empty_like(sensitivity), np.empty_like(sensitivity)
    now, level = np.log(people.beta), people.set_point
    for j, time in enumerate(times):
        log_beta[:, j] = now + helped[:, j]
        level = steady_glucose(sensitivity[:, j], np.exp(log_beta[:, j]), level)
        glucose[:, j] = level
        capacity = people.capacity * np.exp(-WEAR_PER_YEAR * time)
        now = now + beta_growth(level, np.exp(now), capacity, people) / STEPS_PER_YEAR
    return Course(times, log_beta, sensitivity, glucose, np.exp(log_beta) * secretion(glucose))


def mature(people: People, years: Floats) -> People:
    """Give people as they are after some time of their course, to be followed from there.

    Parameters
    ----------
    people
        Their parameters at the beginning of the process.
    years
        (n,) time of each person, taken to the nearest month.

    Returns
    -------
    People
        With BMI, sensitivity, beta-cell function and capacity as reached; what does not change stays.
    """
    months = np.rint(years * STEPS_PER_YEAR).astype(np.int64)
    elapsed, row = months / STEPS_PER_YEAR, np.arange(months.size)
    if people.bends:
        begun = people.sensitivity * np.exp(total_at(people.bends, -elapsed))
        helped = np.exp(total_at(people.beta_bends, -elapsed))
        people = replace(people, beta=steady_beta(begun, people.set_point) / helped)
    course = evolve(people, float(elapsed.max(initial=0.0)), elapsed)
    return replace(
        people,
        bmi=bmi_after(people.bmi, people.kappa, elapsed),
        sensitivity=people.sensitivity * np.exp(-people.kappa * elapsed),
        beta=np.exp(course.log_beta[row, months] - total_at(people.beta_bends, np.zeros(months.size))),
        capacity=people.capacity * np.exp(-WEAR_PER_YEAR * elapsed),
    )


def bmi_after(bmi: Floats, kappa: Floats, years: Floats) -> Floats:
    """Let BMI (kg/m2) grow for some years: the share of the lost sensitivity that comes with weight."""
    grown: Floats = bmi * np.exp(kappa * BMI_SHARE / BMI_EXPONENT * years)
    return grown


def bmi_at(people: People, person: NDArray[np.int64], years: Floats) -> Floats:
    """Give the BMI (kg/m2) of given people (m,) at times since entry (m,), with loss and regain of weight."""
    bmi = bmi_after(people.bmi[person], people.kappa[person], years)
    if people.weight_bends:
        bmi *= np.exp(total_at(tuple(bend.of(person) for bend in people.weight_bends), years))
    return bmi


def states_at(course: Course, people: People, person: NDArray[np.int64], years: Floats) -> Course:
    """Give the noise-free state of given people at any times within the course.

    Parameters
    ----------
    course, people
        As from :func:`evolve`.
    person
        (m,) row of each person in ``people``.
    years
        (m,) time since entry, not beyond the end of the course.

    Returns
    -------
    Course
        Every field of shape (m,). Exact: ln(beta-cell function) moves along straight lines between months.
    """
    left = np.minimum((years * STEPS_PER_YEAR).astype(np.int64), max(course.years.size - 2, 0))
    right = np.minimum(left + 1, course.years.size - 1)
    share = (years - course.years[left]) * STEPS_PER_YEAR
    log_beta = course.log_beta[person, left] * (1 - share) + course.log_beta[person, right] * share
    sensitivity = people.sensitivity[person] * np.exp(-people.kappa[person] * years)
    if people.bends:
        sensitivity *= np.exp(total_at(tuple(bend.of(person) for bend in people.bends), years))
    glucose = steady_glucose(sensitivity, np.exp(log_beta), course.glucose[person, left])
    return Course(years, log_beta, sensitivity, glucose, np.exp(log_beta) * secretion(glucose))
