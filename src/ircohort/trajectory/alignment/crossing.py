"""Each person's fitted fasting glucose, when it reaches a cut-off, and how sure that time is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import normals
from ircohort.lmm import Fit, design_matrix, random_design_matrix
from ircohort.lmm.prediction.posterior import PersonTerms, doubt, scaled_covariance, terms_of_fit
from ircohort.trajectory.alignment.clocks import ROUNDING
from ircohort.trajectory.alignment.glucose import fit_glucose, glucose_until
from ircohort.trajectory.alignment.rules import EventRule

Floats = NDArray[np.float64]

_PER_YEAR = 12
_LEVELS = (0.025, 0.975)
_NUMBERS_AT_ONCE = 1 << 23


@dataclass(frozen=True, eq=False)
class _Courses:
    """The curves of n people of a fit, as sums of what is common and what is theirs, at k times of a ``grid``.

    ``fixed`` (k, p) and ``random`` (k, q) are designs in the scaled basis of the fit, ``mean`` (k,) the fitted mean;
    ``first`` and ``last`` (n,) bound the follow-up of each of ``people``.
    """

    fit: Fit
    grid: Floats
    mean: Floats
    fixed: Floats
    random: Floats
    terms: PersonTerms
    spread: Floats
    people: list[str]
    first: Floats
    last: Floats


def find_crossings(
    visits: pl.DataFrame, confirming: pl.DataFrame, rule: EventRule
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find when the fitted glucose of each person first reaches the cut-off within the own follow-up.

    log glucose (the variation of one reading is in proportion to it) gets a natural spline in the time since the
    first visit, and a random level and slope for each person. It is fitted to the :func:`usual_glucose` of everyone,
    of those with a confirmed event up to the confirming visit: what comes later is treated, or chosen. Who leaves the
    model then leaves it by readings that are in it, so that the likelihood is not misled.

    The interval is that of the crossing of curves drawn from the person's posterior, which holds the doubt about
    fixed effects and variances. Between months of the grid a curve is taken as straight.

    Parameters
    ----------
    visits
        With ``glucose_mg_dl``.
    confirming
        ``participant_id`` and ``confirmed_years``, in whom there is an event by readings.
    rule
        Cut-off, spline, draws and seed.

    Returns
    -------
    tuple
        The events, with the columns of :func:`events.find_events` but ``judged`` and ``last_years``; and the visits
        whose glucose was used.

    Raises
    ------
    ModelError
        If there is glucose, but too little of it for the model.
    """
    used = glucose_until(visits, confirming.select("participant_id", until="confirmed_years"))
    if used.is_empty():
        return _table([], np.empty(0), np.empty((2, 0))), used
    record = fit_glucose(used, rule.spline_df)
    limit = float(np.log(rule.glucose_cut_off))
    courses = _courses(record, used)
    curves = courses.mean + courses.terms.modes @ courses.random.T
    crossing = first_crossing(courses.grid, curves, courses.first, courses.last, limit)
    crossed = np.flatnonzero(crossing < np.inf)
    at = np.where(np.isneginf(crossing), courses.first, crossing)[crossed]
    ends = _intervals(courses, crossed, limit, rule) if rule.n_draws else np.full((2, len(crossed)), np.nan)
    people = [courses.people[i] for i in crossed]
    return _table(people, at, ends, np.isneginf(crossing[crossed])), used


def first_crossing(grid: Floats, curves: Floats, first: Floats, last: Floats, limit: float) -> Floats:
    """Give the first time, from ``first`` to ``last``, at which each curve is at or above ``limit``.

    Parameters
    ----------
    grid
        (k,) increasing times, k at least 2; between them curves are straight.
    curves
        (..., k).
    first, last
        (...), within the grid.

    Returns
    -------
    numpy.ndarray
        (...), minus infinity where the curve is there at ``first``, infinity where it does not come by ``last``.

    Examples
    --------
    >>> curves = np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> first_crossing(np.array([0.0, 1.0, 2.0]), curves, np.zeros(3), np.array([2.0, 2.0, 1.5]), 1.0).tolist()
    [0.5, -inf, inf]
    """
    place = np.clip(np.searchsorted(grid, first, side="right") - 1, 0, len(grid) - 2)
    share = (first - grid[place]) / (grid[place + 1] - grid[place])
    start, after = (np.take_along_axis(curves, (place + step)[..., None], -1)[..., 0] for step in (0, 1))
    there_at_first = start + share * (after - start) >= limit
    high = (curves >= limit) & (grid > first[..., None])
    k = np.maximum(high.argmax(axis=-1), 1)
    before, at = (np.take_along_axis(curves, (k - step)[..., None], -1)[..., 0] for step in (1, 0))
    found = high.any(axis=-1)
    rise = np.where(found & (at > before), at - before, 1.0)
    times = grid[k - 1] + np.clip((limit - before) / rise, 0.0, 1.0) * (grid[k] - grid[k - 1])
    reached = np.where(found & (times <= last + ROUNDING), np.minimum(times, last), np.inf)
    return np.where(there_at_first, -np.inf, reached)


def _courses(record: Fit, used: pl.DataFrame) -> _Courses:
    ends = used.group_by("participant_id").agg(first=pl.col("years").min(), last=pl.col("years").max())
    people = pl.DataFrame({"participant_id": record.participant_ids})
    spans = people.join(ends, on="participant_id", how="left", maintain_order="left")
    low, high = (float(used.select(getattr(pl.col("years"), end)()).item()) for end in ("min", "max"))
    grid = np.linspace(low, high, int(np.ceil((high - low) * _PER_YEAR)) + 2)
    rows = pl.DataFrame({"years": grid})
    X, Z = design_matrix(record, rows), random_design_matrix(record, rows)
    terms = terms_of_fit(record, np.arange(len(record.participant_ids)))
    return _Courses(
        fit=record,
        grid=grid,
        mean=X @ record.coefficients,
        fixed=X @ record.scaling.to_fixed,
        random=Z @ record.scaling.to_random,
        terms=terms,
        spread=record.residual_variance * (terms.spread + doubt(record, terms)),
        people=spans["participant_id"].to_list(),
        first=spans["first"].to_numpy(),
        last=spans["last"].to_numpy(),
    )


def _intervals(courses: _Courses, chosen: NDArray[np.int64], limit: float, rule: EventRule) -> Floats:
    """Give the ends (2, m) of the interval of the crossing of ``chosen`` people, NaN beyond the follow-up."""
    at_once = max(1, _NUMBERS_AT_ONCE // (rule.n_draws * len(courses.grid)))
    ends = [np.empty((2, 0))]
    for start in range(0, len(chosen), at_once):
        block = chosen[start : start + at_once]
        bounds = [np.repeat(end[block, None], rule.n_draws, axis=1) for end in (courses.first, courses.last)]
        times = first_crossing(courses.grid, _draw_curves(courses, block, rule), bounds[0], bounds[1], limit)
        ends.append(np.stack([_order_statistic(times, level) for level in _LEVELS]))
    together = np.concatenate(ends, axis=1)
    return np.where(np.isfinite(together), together, np.nan)


def _order_statistic(times: Floats, level: float) -> Floats:
    """Give a quantile over the last axis that is one of the draws, because nothing lies between a time and infinity."""
    quantile: Floats = np.quantile(times, level, axis=-1, method="lower" if level < 0.5 else "higher")
    return quantile


def _draw_curves(courses: _Courses, block: NDArray[np.int64], rule: EventRule) -> Floats:
    """Draw curves (m, n_draws, k) of people from their posterior: x'b + z'u with an error of b that u takes back."""
    p, q = courses.fixed.shape[1], courses.random.shape[1]
    people = [courses.people[i] for i in block]
    drawn = normals("crossing", rule.seed, people, rule.n_draws * (p + q)).reshape(len(block), rule.n_draws, p + q)
    b = drawn[:, :, :p] @ _root(scaled_covariance(courses.fit)).T
    u = drawn[:, :, p:] @ _root(courses.spread[block]).transpose(0, 2, 1)
    u += courses.terms.modes[block, None, :] - b @ courses.terms.carry[block]
    return courses.mean + b @ courses.fixed.T + u @ courses.random.T


def _root(covariance: Floats) -> Floats:
    """Give R with R R' = covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return root


def _table(people: list[str], at: Floats, ends: Floats, prevalent: NDArray[np.bool_] | None = None) -> pl.DataFrame:
    columns = {"event_years": at, "event_low": ends[0], "event_high": ends[1]}
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).fill_nan(None)
    return table.with_columns(
        pl.Series("participant_id", people, dtype=pl.String),
        pl.lit("glucose").alias("event_by"),
        pl.Series("prevalent", np.zeros(len(at), dtype=bool) if prevalent is None else prevalent),
    )
