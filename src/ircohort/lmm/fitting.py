"""Fit a model: check that it can be, find the optimum, say honestly how it went, and write the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.boundary import find_boundary, in_words
from ircohort.lmm.cohort import CohortSums, plan_of, sums_of
from ircohort.lmm.design import Design, build_design
from ircohort.lmm.formula import parse_formula
from ircohort.lmm.identification import (
    require_participants,
    require_response,
    require_variation_within,
    require_visits,
)
from ircohort.lmm.inference.robust import robust_covariance
from ircohort.lmm.likelihood import Profile, conditional_modes, explains_all, profile
from ircohort.lmm.record import Fit
from ircohort.lmm.reference import climb_ladder
from ircohort.lmm.search import good_start, lower_factor, maximise
from ircohort.lmm.sums import ParticipantSums
from ircohort.lmm.tables import fixed_table, random_table
from ircohort.parallel import on_one_blas_thread

Floats = NDArray[np.float64]

ENGINES = ("ircohort", "statsmodels")

_PERFECT = 1e-12
_ROUNDING = 1e-24


@dataclass(frozen=True, eq=False)
class _Found:
    """What an engine came to: L (q, q), the likelihood there, and what it says of itself."""

    L: Floats
    best: Profile
    converged: bool
    evaluations: int | None
    messages: tuple[str, ...]


def fit(
    formula: str, frame: Any, *, reml: bool = True, weights: str = "", weights_kind: str = "", engine: str = "ircohort"
) -> Fit:
    """Fit a linear mixed model with one grouping column.

    Rows with a missing value are dropped and counted. The likelihood is computed from sums over each participant's
    visits, and climbed with its exact slope and expected information until a further step promises nothing.

    Parameters
    ----------
    formula
        As in lme4: ``log(homa_ir) ~ years * progressor + age + (1 + years | participant_id)``; one to nine random
        effects, ``||`` for random effects without correlation.
    frame
        pandas or polars, one row per visit.
    reml
        Restricted maximum likelihood (else full).
    weights
        A column that says how often a participant counts, the same at all visits of the participant.
    weights_kind
        ``frequency``: so many participants are exactly alike; the fit is that of the replicated rows. ``sampling``:
        a participant stands for so many of a population; the pseudo-likelihood is maximised with weights of mean one,
        the covariance of the fixed effects is the cluster-robust CR1, and there is no log-likelihood to compare.
    engine
        ``ircohort``, or ``statsmodels`` as a reference: its optimisers in turn, each held against a second search,
        which has to meet it.

    Returns
    -------
    Fit
        The record; its tables are of the kind of ``frame``.

    Raises
    ------
    FormulaError
        If the formula asks for more than the named transforms, or is malformed.
    ColumnError
        If it names a column that the table does not have.
    ModelError
        If the data cannot show what the formula asks for: one participant, one visit each, a constant or collinear
        column, no variation left.

    Source
    ------
    Laird and Ware 1982, Biometrics 38:963, doi:10.2307/2529876. Pseudo-likelihood with sampling weights:
    Rabe-Hesketh and Skrondal 2006, J R Stat Soc A 169:805, doi:10.1111/j.1467-985X.2006.00426.x.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> result = fit("log(homa_ir) ~ years + (1 | participant_id)", visits)
    >>> result.converged, result.at_boundary, result.participants, result.visits
    (True, False, 3, 9)
    """
    if engine not in ENGINES:
        raise UsageError(f"There is no engine {engine!r}.", expected=f"Engines: {', '.join(ENGINES)}.")
    design = build_design(parse_formula(formula), to_polars(frame), weights=weights)
    require_response(design)
    cohort = sums_of(design, plan_of(design, weights, weights_kind))
    if engine == "statsmodels" and weights:
        raise UsageError("statsmodels' mixed model has no weights.", next_step='Use engine="ircohort".')
    find = _climb if engine == "ircohort" else _reference(design)
    return _fitted(cohort, find, reml=reml, engine=engine, kind=kind_of(frame))


def fit_sums(cohort: CohortSums, *, reml: bool = True) -> Fit:
    """Fit from sums that were made in pieces and added; equal to the fit of all rows, to rounding.

    Parameters
    ----------
    cohort
        From :func:`ircohort.lmm.sum_up`.
    reml
        Restricted maximum likelihood (else full).

    Returns
    -------
    Fit
        With polars tables; without ``rows``, so that residuals of visits cannot be had from it.

    Raises
    ------
    ModelError
        As :func:`fit`.
    """
    return _fitted(cohort, _climb, reml=reml, engine="ircohort", kind=lambda table: table)


Find = Callable[[ParticipantSums, bool, bool], _Found]


@on_one_blas_thread
def _fitted(cohort: CohortSums, find: Find, *, reml: bool, engine: str, kind: Callable[[pl.DataFrame], Any]) -> Fit:
    formula, sums = cohort.plan.basis.formula, cohort.sums
    if cohort.plan.weights_kind == "sampling" and sums.weights is not None:
        sums = sums.weighted(sums.weights / sums.weights.mean())
    _check_visits(cohort)
    require_variation_within(sums.visits, sums.ZZ, cohort.plan.basis.random_names)
    found = find(sums, reml, formula.diagonal)
    if _explains_all(cohort, found.best.residual_variance):
        raise explains_all()
    record = _record(cohort, sums, found, reml=reml, engine=engine)
    if cohort.plan.weights_kind == "sampling":
        record = replace(_with_robust_covariance(record), log_likelihood=float("nan"))
    return _of_kind(record, kind)


@on_one_blas_thread
def fit_without_random(formula: str, frame: Any, *, reml: bool) -> Fit:
    """Fit the fixed part by ordinary least squares, with the cluster-robust covariance CR1; ``engine`` is ``ols``."""
    design = build_design(parse_formula(formula), to_polars(frame))
    require_response(design)
    cohort = sums_of(design, plan_of(design, "", ""))
    _check_visits(cohort)
    nothing = np.zeros((cohort.sums.q, cohort.sums.q))
    best = profile(cohort.sums, nothing, reml=reml)
    found = _Found(nothing, best, True, 1, ())
    record = _with_robust_covariance(_record(cohort, cohort.sums, found, reml=reml, engine="ols"))
    formula_text = f"{design.basis.formula.response} ~ {design.basis.formula.fixed}"
    record = replace(record, formula=formula_text, at_boundary=False, boundary_direction="")
    return _of_kind(record, kind_of(frame))


def _with_robust_covariance(record: Fit) -> Fit:
    covariance = robust_covariance(record)
    table = fixed_table(record.fixed_names, record.coefficients, covariance)
    return replace(record, fixed=table, fixed_covariance=covariance)


def _of_kind(record: Fit, kind: Callable[[pl.DataFrame], Any]) -> Fit:
    return replace(record, fixed=kind(record.fixed), random=kind(record.random), people=kind(record.people))


def _climb(sums: ParticipantSums, reml: bool, diagonal: bool) -> _Found:
    start = good_start(sums, reml=reml, diagonal=diagonal)
    optimum = maximise(sums, start, reml=reml, diagonal=diagonal)
    return _Found(optimum.L, optimum.at.profile, optimum.settled, optimum.evaluations, ())


def _reference(design: Design) -> Find:
    def find(sums: ParticipantSums, reml: bool, diagonal: bool) -> _Found:
        L, converged, messages = climb_ladder(design, sums, reml=reml, diagonal=diagonal)
        return _Found(L, profile(sums, L, reml=reml), converged, None, messages)

    return find


def _check_visits(cohort: CohortSums) -> None:
    require_participants(len(cohort.sums.visits))
    require_visits(int(cohort.sums.visits.sum()), cohort.sums.p)


def _explains_all(cohort: CohortSums, residual_variance: float) -> bool:
    """Tell whether what is left is rounding: of the response beside its fixed part, or of the response itself."""
    total = cohort.sums.total
    left = float(total[-1, -1])
    fixed = cohort.plan.scaling.fixed @ cohort.plan.scaling.offset
    whole = left + float(2 * fixed @ total[:-1, -1] + fixed @ total[:-1, :-1] @ fixed)
    return left <= _ROUNDING * whole or residual_variance <= _PERFECT * left / cohort.sums.observations


def _record(cohort: CohortSums, sums: ParticipantSums, found: _Found, *, reml: bool, engine: str) -> Fit:
    basis, scaling, best = cohort.plan.basis, cohort.plan.scaling, found.best
    coefficients = scaling.coefficients(best.coefficients)
    fixed_covariance = scaling.fixed_covariance(best.residual_variance * best.covariance_over_variance)
    factor = scaling.to_random @ found.L
    G = best.residual_variance * factor @ factor.T
    modes = conditional_modes(sums, found.L, best.coefficients) @ scaling.to_random.T
    # The restricted likelihood counts the volume of X, which the scaling changed.
    shift = float(np.log(np.abs(np.diagonal(scaling.fixed))).sum()) if reml else 0.0
    effects = [in_words(name) for name in basis.random_names]
    boundary = find_boundary(
        found.L @ found.L.T,
        best.log_likelihood,
        scaling.random,
        effects,
        lambda covariance: profile(sums, lower_factor(covariance), reml=reml).log_likelihood,
    )
    people = {basis.formula.group: cohort.participant_ids, **dict(zip(basis.random_names, modes.T, strict=True))}
    return Fit(
        formula=basis.formula.text,
        fixed=fixed_table(basis.fixed_names, coefficients, fixed_covariance),
        random=random_table(basis.random_names, G, best.residual_variance, diagonal=basis.formula.diagonal),
        people=pl.DataFrame(people),
        log_likelihood=best.log_likelihood - shift,
        converged=found.converged,
        at_boundary=bool(boundary.sentence),
        boundary_direction=boundary.sentence,
        evaluations=found.evaluations,
        messages=found.messages,
        participants=len(sums.visits),
        visits=int(sums.visits.sum()),
        dropped=cohort.dropped,
        reml=reml,
        engine=engine,
        weights_kind=cohort.plan.weights_kind,
        coefficients=coefficients,
        fixed_covariance=fixed_covariance,
        random_covariance=G,
        residual_variance=best.residual_variance,
        fixed_names=basis.fixed_names,
        random_names=basis.random_names,
        participant_ids=cohort.participant_ids,
        basis=basis,
        sums=sums,
        scaling=scaling,
        relative_factor=found.L,
        rows=cohort.rows,
    )
