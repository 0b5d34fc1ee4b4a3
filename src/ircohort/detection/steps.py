"""An unrecorded change of assay in the whole cohort: a step of a marker at one calendar date.

A change of one person's assay cannot be told from a rise. A change of everybody's can, for it falls on one date,
whatever the time since a person's first visit. The readings are taken as a line for each person (level fixed, slope
random), a smooth curve of follow-up, a smooth curve of calendar time, and a step at a date; each of a row of dates is
tried by the score of the step. The variance of the scores is taken between people, so that neither a memory of the
readings nor a wrong variance makes a step, and the greatest is held against the greatest of equally correlated ones.
What is found must stand when both curves are let bend more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

REPORTED_BELOW = 0.001
"""Family-wise p-value below which a step is reported."""

SMALLEST_STEP = 0.05
"""Smallest step, as a share, that is reported: the bias between two lots of one assay is of that order."""

FEWEST_PEOPLE = 30
"""People with readings on both sides of a date below which that date is not tried."""

_MOST_PEOPLE = 20_000  # a step of 5 % has a z beyond 15 in as many, with ten visits each
_DEGREE, _FREER_DEGREE = 2, 4  # of the smooth curves: in the search, and when what it found is held against freer ones
_STANDS_FROM = 2.5758  # |z| there, a two-sided p of 0.01 at one date
_ENDS = 0.05  # share of the visits before the first date tried, and after the last
_DRAWS, _DRAWN_AT_ONCE, _BEYOND = 200_000, 5_000, 200
_BLOCK = 1 << 15  # visits whose steps are held at once
_SEPARABLE_FROM = 1.0  # SD of dates of entry in years
_NO_SCATTER = 1e-9  # natural log
_QUANTILE = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Step:
    """The most likely step of a marker at one calendar date.

    ``date`` as years (2015.5: the middle of 2015). ``z``: the score over its standard error, as a standard normal;
    ``p_value``: its family-wise p-value over the ``n_dates`` tried. ``size`` of the step as a share (0.1: readings are
    10 % higher from then on), ``size_low`` and ``size_high`` its 95 % interval, NaN where the readings do not bound it;
    ``z_freer``: at that date, with curves that bend more. ``separable``: whether people entered at times different
    enough (SD of a year) to tell a date from a time of follow-up; where not, a sharp bend of everybody's course at one
    time of follow-up is not told from a step. ``reported``: p below 0.001, |z_freer| from 2.58 in the same direction,
    and a size of at least 5 %.
    """

    date: float
    z: float
    p_value: float
    size: float
    size_low: float
    size_high: float
    z_freer: float
    n_people: int
    n_visits: int
    n_dates: int
    separable: bool
    reported: bool


@dataclass(frozen=True)
class _Readings:
    """N readings of n people, sorted by person: (N,) each; ``starts`` and ``slope_weight`` (n,)."""

    person: Ints
    starts: Ints
    years: Floats
    calendar: Floats
    y: Floats
    slope_weight: Floats


def calendar_step(
    person: Ints, years: Floats, calendar: Floats, log_marker: Floats, *, n_dates: int = 40, seed: int = 0
) -> Step | None:
    """Find the calendar date at which the marker of the whole cohort most likely makes a step.

    Parameters
    ----------
    person
        (N,) number, from 0, of the series (participant and segment) of each reading; a recorded change begins another.
    years
        (N,) time of follow-up, in years.
    calendar
        (N,) date of the visit as years; NaN where unknown.
    log_marker
        (N,) natural log of the marker; NaN where not measured.
    n_dates
        Dates to try: quantiles of ``calendar`` between 5 % and 95 %.
    seed
        Of the simulation of the greatest score where there is no step.

    Returns
    -------
    Step or None
        None where no date can be tried: visits without dates, fewer than 30 people with readings on both sides, or
        readings that never change within a person.

    Notes
    -----
    In cohorts of more than 20,000 series with two or more readings, evenly spaced ones are taken.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> person, years = np.repeat(np.arange(300), 11), np.tile(np.arange(11.0), 300)
    >>> calendar = rng.uniform(2000, 2010, 300)[person] + years
    >>> y = rng.normal(2, 0.5, 300)[person] + rng.normal(0.01, 0.02, 300)[person] * years
    >>> y = y + rng.normal(0, 0.26, 3300) + np.log(1.2) * (calendar >= 2009.0)
    >>> step = calendar_step(person, years, calendar, y)
    >>> step.reported, abs(step.date - 2009.0) < 0.5, abs(step.size - 0.2) < 0.1
    (True, True, True)
    """
    readings = _prepare(person, years, calendar, log_marker)
    dates = _dates(readings, n_dates) if readings else np.empty(0)
    found = _score(readings, dates, _DEGREE) if readings and len(dates) else None
    if readings is None or found is None:
        return None
    dates, best = dates[found.informative], int(np.argmax(np.abs(found.z)))
    freer = _score(readings, dates[[best]], _FREER_DEGREE)
    entry = readings.calendar[readings.starts] - readings.years[readings.starts]
    z = float(found.z[best])
    p_value = _family_wise(abs(z), found.correlation, seed)
    stands = freer is not None and abs(freer.z[0]) >= _STANDS_FROM and np.sign(freer.z[0]) == np.sign(z)
    log_size, error = (float(part[0]) for part in (freer.log_size, freer.error)) if freer else (np.nan, np.nan)
    size, low, high = (_share(log_size + k * error) for k in (0.0, -_QUANTILE, _QUANTILE))
    return Step(
        date=float(dates[best]),
        z=z,
        p_value=p_value,
        size=size,
        size_low=low,
        size_high=high,
        z_freer=float(freer.z[0]) if freer else np.nan,
        n_people=len(readings.starts),
        n_visits=len(readings.y),
        n_dates=len(dates),
        separable=bool(np.std(entry) >= _SEPARABLE_FROM),
        reported=bool(p_value < REPORTED_BELOW and stands and abs(size) >= SMALLEST_STEP),
    )


def _share(log_size: float) -> float:
    """Give a step as a share; NaN where the readings do not bound it."""
    with np.errstate(over="ignore"):
        share = float(np.expm1(log_size))
    return share if np.isfinite(share) else np.nan


def _prepare(person: Ints, years: Floats, calendar: Floats, log_marker: Floats) -> _Readings | None:
    """Keep complete readings of people with two times or more, in an order that does not depend on the rows."""
    known = np.isfinite(years) & np.isfinite(calendar) & np.isfinite(log_marker)
    several = np.flatnonzero(np.bincount(person[known]) > 1)
    if len(several) > _MOST_PEOPLE:
        several = several[np.linspace(0, len(several) - 1, _MOST_PEOPLE).astype(np.intp)]
    rows = np.flatnonzero(known & np.isin(person, several))
    order = rows[np.lexsort((log_marker[rows], calendar[rows], years[rows], person[rows]))]
    _, starts, count = np.unique(person[order], return_index=True, return_counts=True)
    apart = years[order][starts + count - 1] > years[order][starts]
    if apart.sum() < FEWEST_PEOPLE:
        return None
    order, count = order[np.repeat(apart, count)], count[apart]
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    index = np.repeat(np.arange(len(count)), count)
    t, date, y = years[order], calendar[order], log_marker[order]
    if np.max(np.abs(y - y[starts][index])) < _NO_SCATTER:
        return None
    return _Readings(index, starts, t, date, y, _working_weights(index, t, y))


def _working_weights(index: Ints, years: Floats, y: Floats) -> Floats:
    """Weight with which each person's own slope is taken out: 1 / (Sxx + residual variance / variance of slopes).

    The variance of slopes is that of DerSimonian and Laird (1986, doi:10.1016/0197-2456(86)90046-2) for the slopes of
    people. The weights need not be right, for the variance of the scores does not rest on them.
    """
    count = np.bincount(index)
    t = years - (np.bincount(index, years) / count)[index]
    centred = y - (np.bincount(index, y) / count)[index]
    sxx, sxy = np.bincount(index, t * t), np.bincount(index, t * centred)
    slope = sxy / sxx
    freedom = max(int((count - 2).sum()), 1)
    residual = max(float(np.sum((centred - slope[index] * t) ** 2)) / freedom, 1e-12)
    weight = sxx / residual
    excess = np.sum(weight * (slope - np.average(slope, weights=weight)) ** 2) - (len(count) - 1)
    variance = max(float(excess / (weight.sum() - np.sum(weight**2) / weight.sum())), 0.0) if len(count) > 1 else 0.0
    return 1 / (sxx + residual / variance) if variance > 0 else np.zeros(len(count))


def _dates(readings: _Readings, n_dates: int) -> Floats:
    """Give the dates to try, each in the middle between two visits, with enough people seen on both sides."""
    times = np.unique(readings.calendar)
    quantiles = np.quantile(readings.calendar, np.linspace(_ENDS, 1 - _ENDS, n_dates))
    places = np.unique(np.searchsorted(times, quantiles))
    places = places[(places > 0) & (places < len(times))]
    dates: Floats = (times[places - 1] + times[places]) / 2
    first = np.minimum.reduceat(readings.calendar, readings.starts)
    last = np.maximum.reduceat(readings.calendar, readings.starts)
    across = np.searchsorted(np.sort(first), dates) - np.searchsorted(np.sort(last), dates)
    return dates[across >= FEWEST_PEOPLE]


@dataclass(frozen=True)
class _Scored:
    """What K dates say: ``informative`` (all dates tried,) names those K; the rest (K,), ``correlation`` (K, K)."""

    informative: NDArray[np.bool_]
    z: Floats
    log_size: Floats
    error: Floats
    correlation: Floats


def _score(readings: _Readings, dates: Floats, degree: int) -> _Scored | None:
    """Try a step at each date beside curves of a degree; None where too few people would have a say in each."""
    scores, shares = _parts(readings, dates, degree)
    people = shares.sum(axis=0) ** 2 / np.maximum(np.sum(shares**2, axis=0), 1e-300)
    informative = people >= FEWEST_PEOPLE
    if not informative.any():
        return None
    scores, information, people = scores[:, informative], shares.sum(axis=0)[informative], people[informative]
    # Who has much of a say bends the fit towards the own score: each is set right by it, as in a jackknife.
    own = scores / (1 - shares[:, informative] / information)
    covariance = np.atleast_2d(np.cov(own, rowvar=False)) * len(scores)
    error = np.sqrt(np.diag(covariance))
    score = scores.sum(axis=0)
    z = _normal_of_student(score / error, people - 1)
    return _Scored(informative, z, score / information, error / information, covariance / np.outer(error, error))


def _normal_of_student(t: Floats, freedom: Floats) -> Floats:
    """Put scores whose variance was taken from so many people on the scale of a normal.

    By the approximation of Wallace (1959, Ann Math Stat 30:1121), which no score is too large for.
    """
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    z: Floats = scale * np.sqrt(freedom * np.log1p(t**2 / freedom)) * np.sign(t)
    return z


def _parts(readings: _Readings, dates: Floats, degree: int) -> tuple[Floats, Floats]:
    """Give each person's part (n, K) of the score of a step at each of K dates, and of the information about it."""
    k, p = len(dates), 2 * degree - 1
    cross = np.zeros((k + p + 1, k + p + 1))
    for block in _blocks(readings):
        columns, slopes, weight, _ = _within(readings, dates, degree, block)
        cross += columns.T @ columns - (slopes * weight[:, None]).T @ slopes
    step, smooth, y = slice(0, k), slice(k, k + p), k + p
    # With one date of entry for all, the curves of calendar time are those of follow-up: hence the pseudo-inverse.
    inverse = np.linalg.pinv(cross[smooth, smooth], rcond=1e-9, hermitian=True)
    of_step, of_y = inverse @ cross[smooth, step], inverse @ cross[smooth, y]
    scores, shares = [], []
    for block in _blocks(readings):
        columns, slopes, weight, starts = _within(readings, dates, degree, block)
        rest = columns[:, y] - columns[:, smooth] @ of_y
        own = columns[:, step] - columns[:, smooth] @ of_step
        slope_rest = (slopes[:, y] - slopes[:, smooth] @ of_y) * weight
        slope_own = slopes[:, step] - slopes[:, smooth] @ of_step
        scores.append(np.add.reduceat(own * rest[:, None], starts) - slope_own * slope_rest[:, None])
        shares.append(np.add.reduceat(own * own, starts) - slope_own**2 * weight[:, None])
    return np.concatenate(scores), np.concatenate(shares)


def _blocks(readings: _Readings) -> list[slice]:
    """Cut the people into runs of about so many visits."""
    ends = np.append(readings.starts[1:], len(readings.y))
    cuts = np.unique(np.searchsorted(ends, np.arange(0, len(readings.y) + _BLOCK, _BLOCK), side="left"))
    cuts = np.unique(np.append(np.minimum(cuts, len(ends)), [0, len(ends)]))
    return [slice(low, high) for low, high in pairwise(cuts)]


def _within(readings: _Readings, dates: Floats, degree: int, people: slice) -> tuple[Floats, Floats, Floats, Ints]:
    """Give steps, curves and marker less each person's means, their sums with time, weights, and where people start."""
    starts = readings.starts[people]
    end = readings.starts[people.stop] if people.stop < len(readings.starts) else len(readings.y)
    rows, starts = slice(starts[0], end), starts - starts[0]
    steps = (readings.calendar[rows, None] >= dates).astype(float)
    # Calendar time is follow-up but for a person's level, so that its curve has no line of its own.
    follow_up, calendar = _powers(readings.years, rows, degree), _powers(readings.calendar, rows, degree)[:, 1:]
    columns = np.column_stack([steps, follow_up, calendar, readings.y[rows], readings.years[rows]])
    count = np.diff(np.append(starts, len(columns)))
    columns -= np.repeat(np.add.reduceat(columns, starts) / count[:, None], count, axis=0)
    slopes = np.add.reduceat(columns[:, :-1] * columns[:, -1:], starts)
    return columns[:, :-1], slopes, readings.slope_weight[people], starts


def _powers(values: Floats, rows: slice, degree: int) -> Floats:
    """Legendre polynomials from the line on, over the range of all values, at some of them."""
    middle, half = (values.max() + values.min()) / 2, max((values.max() - values.min()) / 2, 1e-9)
    powers: Floats = np.polynomial.legendre.legvander((values[rows] - middle) / half, degree)[:, 1:]
    return powers


def _family_wise(greatest: float, correlation: Floats, seed: int) -> float:
    """Give the chance of a greatest score as great among normal ones so correlated: simulated, at most Bonferroni's."""
    bound = min(1.0, 2 * len(correlation) * float(norm.sf(greatest)))
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    rng = np.random.default_rng(seed)
    beyond = drawn = 0
    # Once so many lie beyond, the p-value is known well enough (Besag and Clifford 1991, doi:10.1093/biomet/78.2.301).
    while drawn < _DRAWS and beyond < _BEYOND:
        scores = rng.standard_normal((_DRAWN_AT_ONCE, len(correlation))) @ root.T
        beyond += int(np.sum(np.abs(scores).max(axis=1) >= greatest))
        drawn += _DRAWN_AT_ONCE
    return min(bound, (beyond + 1) / (drawn + 1))
