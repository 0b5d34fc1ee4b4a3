"""Who is in a cohort: age and sex, the physiology of each person, and what bends it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ircohort.chance import Floats, normals, uniforms
from ircohort.simulation.bends import Bend
from ircohort.simulation.design import STEEPEST, Design
from ircohort.simulation.physiology import BMI_EXPONENT, People, mature, steady_beta
from ircohort.simulation.population import REFERENCE_AGE, Effect, Population

TOXIC_LEVEL_MARGIN = 15.0
"""The level above which glucose harms the beta cell lies at least this far above the set-point, mg/dL."""

RESERVE_LEAST, RESERVE_EXPONENT = 1.05, 0.6
"""Least capacity, in multiples of the start; and by which power of the start it grows."""

_LARGEST_LOSS = 0.4  # share of BMI

DECLINERS = ("stable", "slow", "fast")
BETA_CELLS = ("failing", "usual", "robust")
WEIGHT_COURSES = ("as it comes", "lost and kept", "lost and regained")


@dataclass(frozen=True)
class Entry:
    """Entry of ``n`` people: ``age`` in years, ``woman``, ``first_day`` (datetime64[D])."""

    age: Floats
    woman: NDArray[np.bool_]
    first_day: NDArray[np.datetime64]


@dataclass(frozen=True)
class Kinds:
    """What sort of person each of ``n`` is, as rows of :data:`DECLINERS`, :data:`BETA_CELLS`, :data:`WEIGHT_COURSES`.

    ``puberty`` (n, 2) ages at which puberty begins and ends, NaN without; ``weight_loss`` (n,) share of BMI lost at
    the lowest, 0 without.
    """

    decliner: NDArray[np.int64]
    beta_cells: NDArray[np.int64]
    weight: NDArray[np.int64]
    weight_loss: Floats
    puberty: Floats


@dataclass(frozen=True)
class Drawn:
    """The people of a cohort at entry."""

    entry: Entry
    kinds: Kinds
    people: People


def identifiers(count: int) -> tuple[str, ...]:
    """Name participants ``P0001``, ``P0002`` and on; a name does not depend on how many there are."""
    return tuple(f"P{number:04d}" for number in range(1, count + 1))


def draw_entry(design: Design, participants: tuple[str, ...], *, seed: int) -> Entry:
    """Draw age, sex and the day of the first visit."""
    drawn = uniforms("entry", seed, participants, 3)
    opens = np.datetime64(f"{design.first_year_low:04d}-01-01")
    room = (np.datetime64(f"{design.first_year_high + 1:04d}-01-01") - opens).astype(np.int64)
    return Entry(
        age=design.age_low + (design.age_high - design.age_low) * drawn[:, 0],
        woman=drawn[:, 1] < design.share_women,
        first_day=opens + np.floor(drawn[:, 2] * room).astype(np.int64),
    )


def draw_people(design: Design, participants: tuple[str, ...], *, seed: int) -> Drawn:
    """Draw people as they are at entry.

    Each process began with glucose at its set-point and some reserve of the beta cell, and had gone on for the time
    that the design states.
    """
    entry = draw_entry(design, participants, seed=seed)
    kinds, bends = draw_kinds(design, participants, entry, seed=seed)
    drawn = uniforms("time before entry", seed, participants, 1)[:, 0]
    low, high = design.years_before_entry_low, design.years_before_entry_high
    begun = _begun(design, normals("physiology", seed, participants, 8).T, entry, kinds)
    people = mature(replace(begun, **bends), low + (high - low) * drawn)
    return Drawn(entry, kinds, people)


def _begun(design: Design, z: Floats, entry: Entry, kinds: Kinds) -> People:
    """Draw people at the beginning of the process, glucose at the set-point."""
    given = design.population
    bmi_deviation = given.bmi_log_sd * _spread(given.bmi_spread, entry) * z[0]
    relative_bmi = np.exp(bmi_deviation + _effect(given.bmi, entry))
    bmi = given.bmi_median * relative_bmi
    spread = given.sensitivity_log_sd * z[1] + _effect(given.sensitivity, entry)
    sensitivity = given.sensitivity_median * (bmi / given.bmi_median) ** -BMI_EXPONENT * np.exp(spread)
    set_point = given.set_point_mean + given.set_point_sd * z[2]
    set_point = set_point + (
        given.set_point_by_sensitivity * np.log(sensitivity / given.sensitivity_median)
        + _effect(given.set_point, entry)
    )
    beta = steady_beta(sensitivity, set_point)
    triglycerides, hdl = _lipids(given, z[6], z[7], np.log(relative_bmi), entry)
    return People(
        bmi=bmi,
        sensitivity=sensitivity,
        set_point=set_point,
        toxic_level=np.maximum(given.toxic_level_mean + given.toxic_level_sd * z[3], set_point + TOXIC_LEVEL_MARGIN),
        kappa=_kappa(design, z[4], kinds.decliner),
        beta=beta,
        capacity=_capacity(design, z[5], beta, kinds.beta_cells),
        triglycerides_offset=triglycerides,
        hdl_offset=hdl,
    )


def _effect(effect: Effect, entry: Entry) -> Floats | float:
    """Give what age and sex add; exactly nothing where an effect is nil."""
    if effect == Effect():
        return 0.0
    years = entry.age - REFERENCE_AGE
    change: Floats = effect.per_year * years + entry.woman * (effect.women + effect.per_year_women * years)
    return change


def _spread(effect: Effect, entry: Entry) -> Floats | float:
    if effect == Effect():
        return 1.0
    factor: Floats = np.exp(_effect(effect, entry))
    return factor


def _kappa(design: Design, z: Floats, decliner: NDArray[np.int64]) -> Floats:
    factor = np.array([0.0, 1.0, design.decliners.fast_factor])[decliner]
    kappa: Floats = np.minimum(design.kappa_median * np.exp(design.kappa_log_sd * z) * factor, STEEPEST)
    return kappa


def _capacity(design: Design, z: Floats, beta: Floats, kind: NDArray[np.int64]) -> Floats:
    """Draw the capacity; it is set against the beta cell of the median person, so that nobody depends on others."""
    given = design.population
    typical = float(steady_beta(np.array(given.sensitivity_median), np.array(given.set_point_mean)))
    reserve = given.reserve_median * np.exp(given.reserve_log_sd * z)
    factor = np.array([design.beta_cells.failing_factor, 1.0, design.beta_cells.robust_factor])[kind]
    capacity = reserve * typical * (beta / typical) ** RESERVE_EXPONENT * factor
    limit: Floats = np.maximum(capacity, RESERVE_LEAST * beta)
    return limit


def _lipids(given: Population, z: Floats, other: Floats, log_bmi: Floats, entry: Entry) -> tuple[Floats, Floats]:
    """Draw the deviations of ln triglycerides and ln HDL from what sensitivity says."""
    together = given.lipids_correlation
    own = together * z + np.sqrt(1 - together**2) * other if together else other
    spread = given.triglycerides_between_sd * _spread(given.triglycerides_spread, entry)
    triglycerides = spread * z + (given.triglycerides_log_bmi * log_bmi + _effect(given.triglycerides, entry))
    hdl = given.hdl_between_sd * own + (given.hdl_log_bmi * log_bmi + _effect(given.hdl, entry))
    return triglycerides, hdl


def draw_kinds(
    design: Design, participants: tuple[str, ...], entry: Entry, *, seed: int
) -> tuple[Kinds, dict[str, Any]]:
    """Draw what sort of people they are, with what bends their course, by the names of the fields of ``People``.

    Every trait has streams of its own: one that is switched on leaves all other numbers as they were.
    """
    n = len(participants)
    classes = uniforms("classes", seed, participants, 2)
    decliner = _parted(classes[:, 0], design.decliners.share_stable, design.decliners.share_fast)
    cells = _parted(classes[:, 1], design.beta_cells.share_failing, design.beta_cells.share_robust)
    sensitivity: tuple[Bend, ...] = ()
    beta: tuple[Bend, ...] = ()
    weight: tuple[Bend, ...] = ()
    puberty, courses, loss = np.full((n, 2), np.nan), np.zeros(n, dtype=np.int64), np.zeros(n)
    if design.puberty.present:
        bend, puberty = _puberty(design, participants, entry, seed)
        sensitivity, beta = (bend,), (bend.scaled(-design.puberty.share_met),)
    if design.weight.share_losing > 0:
        courses, loss, bend = _weight(design, participants, seed)
        sensitivity, weight = (*sensitivity, bend.scaled(-BMI_EXPONENT)), (bend,)
    kinds = Kinds(decliner, cells, courses, loss, puberty)
    return kinds, {"bends": sensitivity, "beta_bends": beta, "weight_bends": weight}


def _parted(drawn: Floats, first: float, last: float) -> NDArray[np.int64]:
    """Part people into three kinds, by the shares of the first and the last."""
    return np.where(drawn < first, 0, np.where(drawn >= 1 - last, 2, 1))


def _puberty(design: Design, participants: tuple[str, ...], entry: Entry, seed: int) -> tuple[Bend, Floats]:
    given = design.puberty
    begins = np.where(entry.woman, given.girls_from, given.boys_from)
    begins = begins + given.from_sd * normals("puberty", seed, participants, 1)[:, 0]
    lasts = np.cumsum([0.0, given.years_falling, given.years_low, given.years_rising])
    ages = begins[:, None] + lasts
    change = np.log1p(-given.depth) * np.array([0.0, 1.0, 1.0, 0.0])
    bend = Bend(ages - entry.age[:, None], np.broadcast_to(change, ages.shape))
    return bend, ages[:, [0, -1]]


def _weight(design: Design, participants: tuple[str, ...], seed: int) -> tuple[NDArray[np.int64], Floats, Bend]:
    given = design.weight
    who = uniforms("weight", seed, participants, 3).T
    loses, regains = who[0] < given.share_losing, who[1] < given.share_regaining
    begins = given.begins_low + (given.begins_high - given.begins_low) * who[2]
    depth = given.loss_mean + given.loss_sd * normals("weight lost", seed, participants, 1)[:, 0]
    loss = np.where(loses, np.clip(depth, 0.0, _LARGEST_LOSS), 0.0)
    knots = begins[:, None] + np.cumsum([0.0, given.years_losing, given.years_kept, given.years_regaining])
    lowest = np.log1p(-loss)
    end = np.where(regains, np.log1p(-loss * (1 - given.share_regained)), lowest)
    bend = Bend(knots, np.stack([np.zeros_like(loss), lowest, lowest, end], axis=1))
    return np.where(loses, np.where(regains, 2, 1), 0), loss, bend
