"""The best that can be known: the posterior over simulated trajectories, given the same readings.

    python benchmarks/oracle.py [--people 2000] [--library 60000]

A library of trajectories is drawn from the very population from which the people come. For each person every
trajectory is weighted by the likelihood of that person's readings (log insulin, log glucose, log TG:HDL) with the true
within-person SDs; the probability of a window is the weighted share of trajectories that hold one within a series of
the person that is judged. Where a series ends is decided by the readings, which are given. What no trajectory needs to
match by chance is integrated exactly: the constant deviation of a person's TG:HDL is normal, and independent of all
else. The effective sample size, (sum w)^2 / sum w^2, says how far the answer can be trusted. Ignored: that readings are
rounded, and what being followed up to the visit confirming diabetes says beyond the readings themselves (nothing: the
visits depend on nothing else).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.detection import DetectSettings
from ircohort.estimand import HiddenWindow
from ircohort.evaluation import area_under_curve
from ircohort.evaluation.cohorts import draw_cohort
from ircohort.evaluation.truth import Stretches, judged_stretches
from ircohort.simulation import DESIGNS, Design, Population, true_courses
from ircohort.simulation.people import identifiers
from ircohort.simulation.physiology import GLUCOSE_EFFECTIVENESS, GLUCOSE_PRODUCTION

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Months = NDArray[np.int16]

OUTCOMES = ("insulin", "glucose", "tg_hdl")
LIBRARY_SEED = 20_260_101  # no cohort of a benchmark has it
_DRAWN_AT_ONCE = 8192
_WEIGHTS_AT_ONCE = 2.0e7  # people times trajectories
_HALF_STEP = 0.125  # years to either side, for the change at a planned visit


@dataclass(frozen=True)
class Library:
    """``m`` trajectories at ``v`` planned visits.

    ``planned`` (v,) years; ``level`` and ``change`` (3, m, v): log outcomes and their change per year, TG:HDL without
    the person's own constant deviation, less ``middle`` (3,); ``deviation_sd`` of that deviation; ``months`` (k,)
    years; ``opened`` (k, m) the last month from which a window has been completed by each month, -1 without one: the
    stretch from month f to month l holds a window if ``opened[l] >= f``; ``sd`` (3,) of a reading.
    """

    planned: Floats
    level: Singles
    change: Singles
    middle: Floats
    deviation_sd: float
    months: Floats
    opened: Months
    sd: Floats


@dataclass(frozen=True)
class Answer:
    """For each of ``n`` people the probability of a window and the effective number of trajectories behind it."""

    participants: tuple[str, ...]
    probability: Floats
    effective: Floats


def make_library(design: Design, size: int, *, seed: int = LIBRARY_SEED, rule: HiddenWindow | None = None) -> Library:
    """Draw trajectories from the population of a design; every one is followed to the last planned visit."""
    if design.population != Population():
        raise ValueError("the deviation of TG:HDL is known to be independent in the usual population only")
    # A visit beyond the last planned one, as visits may come later than planned.
    seen = {"n_visits": design.n_visits + 1, "visit_jitter_years": 0.0, "share_visits_missed": 0.0}
    whole = replace(design, n_participants=size, until_diabetes=False, **seen)
    planned = np.arange(design.n_visits) * design.years_between_visits
    people = design.population
    slope = people.triglycerides_log_slope - people.hdl_log_slope
    constant = people.triglycerides_log_level - people.hdl_log_level
    levels, changes, opened = [], [], []
    names = identifiers(size)
    for first in range(0, size, _DRAWN_AT_ONCE):
        courses = true_courses(whole, seed=seed, participants=names[first : first + _DRAWN_AT_ONCE])
        sensitivity = (GLUCOSE_PRODUCTION / courses.glucose_mg_dl - GLUCOSE_EFFECTIVENESS) / courses.insulin_uiu_ml
        lipids = constant - slope * np.log(sensitivity / people.sensitivity_median)
        logs = np.stack([np.log(courses.insulin_uiu_ml), np.log(courses.glucose_mg_dl), lipids])
        levels.append(_at(logs, courses.years, planned))
        before, after = (np.clip(planned + step, 0, courses.years[-1]) for step in (-_HALF_STEP, _HALF_STEP))
        changes.append((_at(logs, courses.years, after) - _at(logs, courses.years, before)) / (after - before))
        opened.append(last_openings(courses.years, logs[0], courses.glucose_mg_dl, rule or HiddenWindow()))
        months = courses.years
    level = np.concatenate(levels, axis=1)
    middle = level.mean(axis=(1, 2))
    return Library(
        planned=planned,
        level=(level - middle[:, None, None]).astype(np.float32),
        change=np.concatenate(changes, axis=1).astype(np.float32),
        middle=middle,
        deviation_sd=float(np.hypot(people.triglycerides_between_sd, people.hdl_between_sd)),
        months=months,
        opened=np.concatenate(opened, axis=1),
        sd=np.array(
            [design.insulin_log_sd, design.glucose_log_sd, np.hypot(design.triglycerides_log_sd, design.hdl_log_sd)]
        ),
    )


def last_openings(years: Floats, log_marker: Floats, glucose_mg_dl: Floats, rule: HiddenWindow) -> Months:
    """Give for each month (k, n) the last month from which a window has been completed by then; -1 without one.

    One table for all stretches of a course that may be asked about. It says what :func:`ircohort.estimand.find_windows`
    says of each of them (``tests/test_evaluation_truth.py``), which judges one stretch at a time.
    """
    marker, normal = log_marker.T, (glucose_mg_dl < rule.glucose_cut_off_mg_dl).T
    least = np.log1p(rule.min_rise) - 1e-12
    latest = np.searchsorted(years, years - rule.min_years + 1e-9, side="right") - 1
    opened = np.full(marker.shape, -1, dtype=np.int16)
    run = np.zeros(marker.shape[1], dtype=np.int16)  # first month of the stretch of normal glucose
    for j in range(len(years)):
        run[~normal[j]] = j + 1
        if j:
            opened[j] = opened[j - 1]
        low = marker[j] - least
        for i in range(latest[j], -1, -1):
            possible = np.flatnonzero((run <= i) & (opened[j] < i))
            if not possible.size:
                break
            found = possible[marker[i, possible] <= low[possible]]
            opened[j, found] = i
    return opened


def _at(values: Floats, years: Floats, times: Floats) -> Floats:
    """Interpolate (3, n, k) monthly values at times (v,): (3, n, v)."""
    left = np.clip(np.searchsorted(years, times + 1e-9, side="right") - 1, 0, years.size - 2)
    share = (times - years[left]) / (years[left + 1] - years[left])
    return values[..., left] * (1 - share) + values[..., left + 1] * share


@dataclass(frozen=True)
class Readings:
    """Readings of ``n`` people at ``v`` planned visits.

    ``value`` (3, n, v) natural logs, NaN where there is none; ``moved`` (n, v) years by which the visit came later than
    planned; ``stretches`` in which a window is asked for.
    """

    participants: tuple[str, ...]
    value: Floats
    moved: Floats
    stretches: Stretches


def readings_of(visits: pl.DataFrame, planned: Floats, of: Readings | None = None) -> Readings:
    """Lay visits out by the planned visit that they are nearest to.

    ``of`` names the people where not all of them have visits here, and says which series of each are asked about.
    """
    table = visits.sort("participant_id", "years")
    names = table["participant_id"].unique(maintain_order=True).to_list() if of is None else list(of.participants)
    place = {name: row for row, name in enumerate(names)}
    person = np.array([place[name] for name in table["participant_id"]], dtype=np.int64)
    years = table["years"].to_numpy()
    number = np.abs(years[:, None] - planned).argmin(axis=1)
    shape = (len(names), planned.size)
    moved, value = np.zeros(shape), np.full((3, *shape), np.nan)
    moved[person, number] = years - planned[number]
    columns = ("insulin_uiu_ml", "glucose_mg_dl", "tg_hdl_mg")
    for outcome, column in enumerate(columns):
        value[outcome, person, number] = table[column].cast(pl.Float64).log().fill_null(np.nan).to_numpy()
    if of is not None:
        return Readings(of.participants, value, moved, of.stretches)
    people = pl.Series(names, dtype=pl.String)
    return Readings(tuple(names), value, moved, judged_stretches(visits, DetectSettings(), people))


def ask(library: Library, readings: Readings) -> Answer:
    """Give each person's posterior probability of a window within the own series; 0 without a series."""
    n, m = len(readings.participants), library.opened.shape[1]
    probability, effective = np.zeros(n), np.empty(n)
    features = _features(library)
    asked = readings.stretches
    begins, ends = (
        np.searchsorted(asked.person, np.arange(n), "left"),
        np.searchsorted(asked.person, np.arange(n), "right"),
    )
    first = np.searchsorted(library.months, asked.first - 1e-9, side="left")
    last = np.searchsorted(library.months, asked.last + 1e-9, side="right") - 1
    size = max(1, int(_WEIGHTS_AT_ONCE / m))
    for begin in range(0, n, size):
        rows = slice(begin, min(begin + size, n))
        weights = _log_weights(library, features, readings, rows)
        weights -= weights.max(axis=1, keepdims=True)
        np.exp(weights, out=weights)
        total = weights.sum(axis=1, dtype=np.float64)
        effective[rows] = total**2 / np.einsum("ij,ij->i", weights, weights, dtype=np.float64)
        for i, weight in zip(range(rows.start, rows.stop), weights, strict=True):
            holds = np.zeros(m, dtype=bool)
            for j in range(begins[i], ends[i]):
                holds |= library.opened[last[j]] >= first[j]
            probability[i] = weight[holds].sum(dtype=np.float64) / total[i - begin]
    return Answer(readings.participants, probability, effective)


def _features(library: Library) -> Singles:
    """What the squared distances are linear in (15 v, m): level, change, and their three products, by outcome."""
    level, change = library.level, library.change
    parts = np.concatenate([level, change, level * level, level * change, change * change], axis=0)
    return np.ascontiguousarray(parts.transpose(0, 2, 1).reshape(-1, level.shape[1]))


def _log_weights(library: Library, features: Singles, readings: Readings, rows: slice) -> Singles:
    """Log-likelihood (n, m) of the readings of some people under each trajectory, but for constants of a person.

    A reading y at a visit moved by d is judged against level + d change. The squares are expanded, so that the work is
    one matrix product; TG:HDL gets back what its integrated deviation explains: the square of a sum of residuals.
    """
    value = readings.value[:, rows] - library.middle[:, None, None]
    known = np.isfinite(value)
    y, moved = np.where(known, value, 0.0), np.where(known, readings.moved[rows], 0.0)
    precision = known / np.square(library.sd)[:, None, None]
    terms = [
        y * precision,
        y * moved * precision,
        -precision / 2,
        -moved * precision,
        -np.square(moved) * precision / 2,
    ]
    coefficients = np.concatenate(terms, axis=0).transpose(1, 0, 2).reshape(y.shape[1], -1).astype(np.float32)
    weights = coefficients @ features
    variance, own = library.sd[2] ** 2, library.deviation_sd**2
    count = known[2].sum(axis=1)
    gain = own / (2 * variance * (variance + count * own))
    v = library.planned.size
    sums = np.concatenate([known[2], moved[2]], axis=1).astype(np.float32)
    residual = sums @ np.concatenate([features[2 * v : 3 * v], features[5 * v : 6 * v]])
    residual -= y[2].sum(axis=1, dtype=np.float64)[:, None].astype(np.float32)
    np.square(residual, out=residual)
    residual *= gain[:, None].astype(np.float32)
    weights += residual
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", default="clinic")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--library", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    design = replace(DESIGNS[given.design], n_participants=given.people)
    begun = time.perf_counter()
    library = make_library(design, given.library)
    drawn = time.perf_counter()
    cohort = draw_cohort(design, seed=given.seed, pattern=None, settings=DetectSettings())
    readings = readings_of(cohort.visits, library.planned)
    asked = time.perf_counter()
    answer = ask(library, readings)
    done = time.perf_counter()
    answered = pl.DataFrame({"participant_id": answer.participants})
    truth = answered.join(cohort.truth, on="participant_id", maintain_order="left")["hidden_window"].to_numpy()
    print(f"library {drawn - begun:.1f} s, answers {done - asked:.1f} s for {given.people} x {given.library}")
    print(f"true share {truth.mean():.3f}, mean probability {answer.probability.mean():.3f}")
    print(f"AUC {area_under_curve(truth, answer.probability):.3f}")
    print("effective trajectories, 1 %, 10 %, 50 %: ", np.quantile(answer.effective, [0.01, 0.1, 0.5]).round(1))
    edges = np.linspace(0, 1, 11)
    which = np.clip(np.digitize(answer.probability, edges) - 1, 0, 9)
    for j in range(10):
        inside = which == j
        if inside.any():
            print(f"{edges[j]:.1f}: n {inside.sum():5d} stated {answer.probability[inside].mean():.3f}", end=" ")
            print(f"observed {truth[inside].mean():.3f}")


if __name__ == "__main__":
    main()
