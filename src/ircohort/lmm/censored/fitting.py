"""Fit a model with censored readings: read the bounds, climb, and write the record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError, UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.boundary import find_boundary, in_words
from ircohort.lmm.censored.climb import Summit, climb, covariance_of_fixed
from ircohort.lmm.censored.expectation import Cohort, Nodes, Parameters, Rows, expect, replaced_sums
from ircohort.lmm.censored.outcome import CensoredDesign, read_outcome
from ircohort.lmm.censored.quadrature import POINTS, SOBOL_POINTS, place_nodes, rule_for
from ircohort.lmm.censored.record import CensoredFit
from ircohort.lmm.cohort import plan_of, sums_of
from ircohort.lmm.fitting import fit_sums
from ircohort.lmm.formula import parse_formula
from ircohort.lmm.prediction.posterior import scaled_coefficients
from ircohort.lmm.record import Fit
from ircohort.lmm.search import lower_factor
from ircohort.lmm.sums import ParticipantSums, participant_sums
from ircohort.lmm.tables import fixed_table, random_table

Floats = NDArray[np.float64]

_FEWEST, _MOST = 5, 2**14
_SMALLEST_FACTOR = 0.1


def fit_censored(
    formula: str,
    frame: Any,
    *,
    lower: str,
    upper: str,
    points: int | None = None,
    seed: int = 0,
    reml: bool = False,
) -> CensoredFit:
    """Fit a linear mixed model in which some readings are known only to lie between two bounds.

    A visit with a bound at either end is censored, whatever the response column says (a half of the limit, say);
    with two equal bounds it is exact; without bounds its reading counts; without either it is missing, and is dropped
    and counted like a row with another gap. Half a limit in place of a reading below it biases level and variances;
    the likelihood of the bounds does not.

    Parameters
    ----------
    formula
        As for :func:`ircohort.lmm.fit`. The response is a column, or ``log`` or ``sqrt`` of it.
    frame
        pandas or polars, one row per visit.
    lower, upper
        Columns of bounds in the unit of the response column, transformed with it. Null: none at this end. The
        logarithm of a lower bound of 0 is no bound; on the natural or the square root scale 0 is one.
    points
        Points of the integration over random effects, needed for people with several censored visits: for each of
        one (41) or two (25) random effects, or of more in all (1024; a power of two). One censored visit needs none.
    seed
        For the points where there are more than two random effects.
    reml
        Only False: restricted maximum likelihood averages over the fixed effects, which for the probability of a
        range has no closed form.

    Returns
    -------
    CensoredFit
        The record; its tables are of the kind of ``frame``.

    Raises
    ------
    UsageError
        If ``reml`` is asked for, if a lower bound lies above the upper one, or if ``points`` cannot be used.
    FormulaError, ColumnError
        As :func:`ircohort.lmm.fit`; also if the response has another transform.
    ModelError
        As :func:`ircohort.lmm.fit`; also if no visit is exact and the bounds hold no scale.

    Source
    ------
    Hughes 1999, Biometrics 55:625, doi:10.1111/j.0006-341X.1999.00625.x; Vaida and Liu 2009, J Comput Graph Stat
    18:797, doi:10.1198/jcgs.2009.07130.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "insulin": [None, 2.3, 2.9, 4.0, 4.3, 6.1, 2.5, None, 2.7], "low": [None] * 9,
    ...                        "high": [2.0, *[None] * 6, 2.0, None]})
    >>> result = fit_censored("log(insulin) ~ years + (1 | participant_id)", visits, lower="low", upper="high")
    >>> result.converged, result.visits, result.censored["visits"]
    (True, 9, 2)
    """
    if reml:
        raise UsageError(
            "Censored readings cannot be fitted by restricted maximum likelihood.",
            expected="It averages over the fixed effects, which for the probability of a range has no closed form.",
            next_step="Use reml=False, and compare it with fit(..., reml=False).",
        )
    parsed = parse_formula(formula)
    outcome = read_outcome(parsed, to_polars(frame), lower, upper)
    _require_scale(outcome)
    start = fit_sums(sums_of(outcome.design, plan_of(outcome.design, "", "")), reml=False)
    points = _points(points, start.sums.q)
    problem = _problem(outcome, start)
    summit = climb(
        problem.cohort,
        problem.start,
        lambda at: _nodes(problem, at, points, seed),
        diagonal=parsed.diagonal,
        first_guess=problem.filled,
    )
    finer = expect(problem.cohort, summit.at, _nodes(problem, summit.at, _finer(points, start.sums.q), seed))
    error = abs(float((finer.log_likelihood - summit.found.log_likelihood).sum()))
    record = _record(outcome, start, problem, summit, _Asked(lower, upper, points), error)
    kind = kind_of(frame)
    return replace(record, fixed=kind(record.fixed), random=kind(record.random), people=kind(record.people))


@dataclass(frozen=True)
class _Asked:
    """What the record repeats of the arguments: the columns of bounds, and the points of the integration."""

    lower: str
    upper: str
    points: int


@dataclass(frozen=True, eq=False)
class _Problem:
    """The cohort in units of ``unit``, near the residual SD; ``several`` people have more than one censored visit.

    ``filled`` is the cohort with a value within its bounds for each censored reading, from which ``start`` comes.
    """

    cohort: Cohort
    filled: Cohort
    start: Parameters
    unit: float
    several: NDArray[np.int64]
    ids: tuple[Any, ...]


def _require_scale(outcome: CensoredDesign) -> None:
    """Refuse bounds alone that fit the better the further away, or the wider, the readings are."""
    low, high = outcome.low[outcome.censored], outcome.high[outcome.censored]
    ends = np.concatenate([low, high])
    one_sided = np.isneginf(low).all() or np.isposinf(high).all()
    if outcome.censored.all() and (one_sided or len(np.unique(ends[np.isfinite(ends)])) < 2):
        raise ModelError(
            f"No visit has an exact {outcome.design.basis.formula.response}, and the bounds hold no scale.",
            expected="Exact readings, or bounds on both sides at different values.",
        )


def _points(points: int | None, q: int) -> int:
    given = POINTS.get(q, SOBOL_POINTS) if points is None else points
    fits = _FEWEST <= given <= _MOST and (q in POINTS or given & (given - 1) == 0)
    if not fits:
        raise UsageError(
            f"The integration cannot use {given} points.",
            expected=f"From {_FEWEST} to {_MOST}; with more than two random effects a power of two.",
        )
    return given


def _finer(points: int, q: int) -> int:
    return 2 * points - 1 if q in POINTS else 2 * points


def _nodes(problem: _Problem, at: Parameters, points: int, seed: int) -> Nodes:
    rule = rule_for(len(at.A), points, problem.several, problem.ids, seed)
    return place_nodes(problem.cohort, at, problem.several, rule)


def _problem(outcome: CensoredDesign, start: Fit) -> _Problem:
    design, scaling, censored = outcome.design, start.scaling, outcome.censored
    unit = float(np.sqrt(start.residual_variance))
    seen = (~censored).astype(np.float64)
    person = np.repeat(np.arange(len(design.starts)), start.sums.visits)
    exact = participant_sums(
        design.y * seen, design.X * seen[:, None], design.Z * seen[:, None], design.starts, scaling
    )
    counts = np.bincount(person, weights=seen, minlength=len(design.starts)).astype(np.int64)
    every = _in_units(start.sums, unit)
    level = design.X[censored] @ scaling.offset
    rows = Rows(
        X=design.X[censored] @ scaling.to_fixed,
        Z=design.Z[censored] @ scaling.to_random,
        low=(outcome.low[censored] - level) / unit,
        high=(outcome.high[censored] - level) / unit,
        person=person[censored],
    )
    cohort = Cohort(ParticipantSums(counts, _in_units(exact, unit).cross, exact.q), every, rows)
    # A variance that starts at zero would stay there, because the slope vanishes.
    L = start.relative_factor.copy()
    np.fill_diagonal(L, np.maximum(np.diagonal(L), _SMALLEST_FACTOR))
    b = scaled_coefficients(start) / unit
    several = np.flatnonzero(np.bincount(rows.person, minlength=len(counts)) > 1)
    return _Problem(
        cohort=cohort,
        filled=Cohort(every, every, rows.take(np.zeros(0, dtype=np.int64))),
        start=Parameters(b, L, 1.0),
        unit=unit,
        several=several,
        ids=tuple(design.participant_ids.to_list()),
    )


def _in_units(sums: ParticipantSums, unit: float) -> ParticipantSums:
    factors = np.append(np.ones(sums.cross.shape[1] - 1), 1.0 / unit)
    return ParticipantSums(sums.visits, sums.cross * np.outer(factors, factors), sums.q)


def _observed_at(cohort: Cohort, summit: Summit, factor: Floats) -> float:
    """Give the observed log-likelihood with another covariance of the effects, all else as it is."""
    without = Parameters(summit.at.b, factor, summit.at.s)
    return float(expect(cohort, without, summit.nodes).log_likelihood.sum())


def _record(
    outcome: CensoredDesign, start: Fit, problem: _Problem, summit: Summit, asked: _Asked, error: float
) -> CensoredFit:
    basis, scaling, unit, at = start.basis, start.scaling, problem.unit, summit.at
    to_fixed, to_random = scaling.to_fixed, scaling.to_random
    coefficients = scaling.offset + unit * to_fixed @ at.b
    covariance = unit**2 * to_fixed @ covariance_of_fixed(summit.information, len(at.b)) @ to_fixed.T
    A = unit * to_random @ at.A
    variance = (unit * at.s) ** 2
    boundary = find_boundary(
        at.A @ at.A.T,
        float(summit.found.log_likelihood.sum()),
        scaling.random,
        [in_words(name) for name in basis.random_names],
        lambda covariance: _observed_at(problem.cohort, summit, lower_factor(covariance)),
    )
    modes = summit.found.v @ A.T
    people = {basis.formula.group: start.participant_ids, **dict(zip(basis.random_names, modes.T, strict=True))}
    exact = int(problem.cohort.exact.visits.sum())
    return CensoredFit(
        formula=basis.formula.text,
        lower=asked.lower,
        upper=asked.upper,
        fixed=fixed_table(basis.fixed_names, coefficients, covariance),
        random=random_table(basis.random_names, A @ A.T, variance, diagonal=basis.formula.diagonal),
        people=pl.DataFrame(people),
        log_likelihood=float(summit.found.log_likelihood.sum()) - exact * float(np.log(unit)),
        integration_error=error,
        points=asked.points,
        converged=summit.settled,
        at_boundary=bool(boundary.sentence),
        boundary_direction=boundary.sentence,
        evaluations=summit.evaluations,
        messages=summit.messages,
        participants=start.participants,
        visits=start.visits,
        censored=_counts(outcome, problem),
        dropped=outcome.design.dropped,
        reml=False,
        engine=start.engine,
        coefficients=coefficients,
        fixed_covariance=covariance,
        random_covariance=A @ A.T,
        residual_variance=variance,
        fixed_names=basis.fixed_names,
        random_names=basis.random_names,
        participant_ids=start.participant_ids,
        basis=basis,
        sums=_in_units(replaced_sums(problem.cohort, summit.found), 1.0 / unit),
        scaling=scaling,
        relative_factor=at.A / at.s * np.where(np.diagonal(at.A) < 0, -1.0, 1.0),
    )


def _counts(outcome: CensoredDesign, problem: _Problem) -> dict[str, int]:
    low, high = outcome.low[outcome.censored], outcome.high[outcome.censored]
    above, below = np.isneginf(low), np.isposinf(high)
    return {
        "visits": len(low),
        "above": int(above.sum()),
        "below": int(below.sum()),
        "both": int((~above & ~below).sum()),
        "participants": len(np.unique(problem.cohort.censored.person)),
        "participants_throughout": int((problem.cohort.exact.visits == 0).sum()),
    }
