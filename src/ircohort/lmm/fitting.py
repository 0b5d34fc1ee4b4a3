"""Fit a model: check that it can be, find the optimum, verify it, and write the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ircohort.errors import ModelError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.boundary import describe_boundary
from ircohort.lmm.design import Design, build_design, dependent_columns
from ircohort.lmm.formula import parse_formula
from ircohort.lmm.likelihood import Profile, conditional_modes, polish, profile, rank_starts
from ircohort.lmm.record import Fit
from ircohort.lmm.reference import OPTIMISERS, OPTIMISERS_DIAGONAL, climb_rung
from ircohort.lmm.sums import ParticipantSums, Scaled, participant_sums, scale_design

Floats = NDArray[np.float64]

AGREEMENT = 1e-4
"""Largest difference in log-likelihood between two optimisers at a converged fit."""

_PERFECT = 1e-12


def fit(formula: str, frame: Any, *, reml: bool = True) -> Fit:
    """Fit a linear mixed model with one grouping column by statsmodels, and check the result independently.

    Rows with a missing value are dropped and counted. The columns are scaled for the optimiser and the estimates
    scaled back. Each optimiser of :data:`ircohort.lmm.reference.OPTIMISERS` is tried in turn until one of them, its
    last steps finished on an independently computed likelihood, meets what a second optimiser found; the better of
    the two is reported.

    Parameters
    ----------
    formula
        As in lme4: ``log(homa_ir) ~ years * progressor + age + (1 + years | participant_id)``.
    frame
        pandas or polars, one row per visit.
    reml
        Restricted maximum likelihood (else full).

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
    Laird and Ware 1982, Biometrics 38:963, doi:10.2307/2529876.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> result = fit("log(homa_ir) ~ years + (1 | participant_id)", visits)
    >>> result.converged, result.at_boundary, result.participants, result.visits
    (True, False, 3, 9)
    """
    parsed = parse_formula(formula)
    design = build_design(parsed, to_polars(frame))
    _check_design(design)
    scaled = scale_design(design.y, design.X, design.Z, diagonal=parsed.diagonal)
    sums = participant_sums(scaled.y, scaled.X, scaled.Z, design.starts)
    _check_identified(design, sums)
    search = _search(scaled, sums, design.starts, reml=reml, diagonal=parsed.diagonal)
    best = profile(sums, search.L, reml=reml)
    if best.residual_variance <= _PERFECT * float(np.var(design.y)):
        raise ModelError(
            f"The model explains {parsed.response} exactly; no variation is left to judge it by.",
            next_step="Look for a column that is computed from the response.",
        )
    return _record(design, scaled, sums, search, best, reml=reml, kind=kind_of(frame))


@dataclass(frozen=True, eq=False)
class _Search:
    L: Floats
    converged: bool
    messages: tuple[str, ...]


def _search(scaled: Scaled, sums: ParticipantSums, starts: NDArray[np.int64], *, reml: bool, diagonal: bool) -> _Search:
    messages: list[str] = []

    def height(L: Floats) -> float:
        return profile(sums, L, reml=reml).log_likelihood

    def route(L: Floats) -> Floats:
        return polish(sums, L, reml=reml, diagonal=diagonal)

    # The second opinion comes first, because it is quick: another optimiser, another way to compute the likelihood.
    found = [route(start) for start in rank_starts(sums, reml=reml)[:1]]
    # The engine starts elsewhere, so that it has to find its own way to the same place.
    start = np.eye(scaled.Z.shape[1])
    for optimiser in OPTIMISERS_DIAGONAL if diagonal else OPTIMISERS:
        rung = climb_rung(scaled, starts, optimiser, start, reml=reml, diagonal=diagonal)
        messages.extend(rung.messages)
        if rung.L is None:
            continue
        found.append(route(rung.L))
        start = max(found, key=height)
        short = height(start) - height(rung.L)
        if short > AGREEMENT:
            messages.append(f"{optimiser}: stopped {short:.3g} below the log-likelihood of the optimum")
        if _agree([height(L) for L in found]):
            return _Search(start, True, tuple(messages))
    messages.append("The optimisers disagreed, and further starts were tried")
    found.extend(route(L) for L in rank_starts(sums, reml=reml)[1:])
    return _Search(max(found, key=height), _agree([height(L) for L in found]), tuple(messages))


def _agree(heights: list[float]) -> bool:
    """Tell whether two routes came to the highest point."""
    return len(heights) > 1 and max(heights) - sorted(heights)[-2] <= AGREEMENT


def _check_design(design: Design) -> None:
    text = design.basis.formula.text
    if len(design.participant_ids) < 2:
        raise ModelError(
            "The model has one participant.",
            expected="Differences between people need at least two.",
            next_step="Check the grouping column of the formula, or the filter before it.",
        )
    if np.ptp(design.y) == 0:
        raise ModelError(f"The response {design.basis.formula.response} has the same value at every visit.")
    for part, X, names in (("fixed", design.X, design.fixed_names), ("random", design.Z, design.random_names)):
        dependent = dependent_columns(X, names)
        if dependent:
            raise ModelError(
                f"In the {part} part, {', '.join(dependent)} cannot be told apart from the other terms.",
                expected=f"It is constant, or a combination of the terms before it, over the {len(design.y)} visits.",
                next_step=f"Leave it out of the formula: {text}",
            )
    if len(design.y) <= design.X.shape[1]:
        raise ModelError(
            f"The model has {design.X.shape[1]} fixed effects and {len(design.y)} visits.",
            expected="There must be more visits than fixed effects.",
        )


def _check_identified(design: Design, sums: ParticipantSums) -> None:
    """Ask for at least one visit more than the random effects of all participants together can follow."""
    ranks = np.linalg.matrix_rank(sums.ZZ, hermitian=True, tol=1e-10)
    if int((sums.visits - ranks).sum()) < 1:
        effects = ", ".join(design.random_names)
        raise ModelError(
            f"No participant has more visits than the random part ({effects}) has effects.",
            expected="Measurement variation cannot be told apart from differences between people.",
            next_step="Use fewer random effects, such as (1 | participant_id), or people with more visits.",
        )
    if int(ranks.max()) < len(design.random_names):
        raise ModelError(
            f"Within no participant do the terms of the random part ({', '.join(design.random_names)}) vary.",
            next_step="Use (1 | participant_id), or people with visits at different times.",
        )


def _record(
    design: Design,
    scaled: Scaled,
    sums: ParticipantSums,
    search: _Search,
    best: Profile,
    *,
    reml: bool,
    kind: Any,
) -> Fit:
    to_fixed, to_random = np.linalg.inv(scaled.scaling.fixed), np.linalg.inv(scaled.scaling.random)
    coefficients = scaled.scaling.offset + to_fixed @ best.coefficients
    fixed_covariance = best.residual_variance * to_fixed @ best.covariance_over_variance @ to_fixed.T
    G = best.residual_variance * (to_random @ search.L) @ (to_random @ search.L).T
    modes = conditional_modes(sums, search.L, best.coefficients) @ to_random.T
    # The restricted likelihood counts the volume of X, which the scaling changed.
    shift = float(np.log(np.abs(np.diagonal(scaled.scaling.fixed))).sum()) if reml else 0.0
    direction = describe_boundary(sums, scaled.scaling.random, search.L, design.random_names, reml=reml)
    group = design.basis.formula.group
    return Fit(
        formula=design.basis.formula.text,
        fixed=kind(_fixed_table(design.fixed_names, coefficients, fixed_covariance)),
        random=kind(_random_table(design.random_names, G, best.residual_variance, design.basis.formula.diagonal)),
        people=kind(
            pl.DataFrame({group: design.participant_ids, **dict(zip(design.random_names, modes.T, strict=True))})
        ),
        log_likelihood=best.log_likelihood - shift,
        converged=search.converged,
        at_boundary=bool(direction),
        boundary_direction=direction,
        evaluations=None,
        messages=search.messages,
        participants=len(design.participant_ids),
        visits=len(design.y),
        dropped=design.dropped,
        reml=reml,
        engine="statsmodels",
        coefficients=coefficients,
        fixed_covariance=fixed_covariance,
        random_covariance=G,
        residual_variance=best.residual_variance,
        fixed_names=design.fixed_names,
        random_names=design.random_names,
        participant_ids=design.participant_ids,
        basis=design.basis,
        sums=sums,
        scaling=scaled.scaling,
        relative_factor=search.L,
    )


def _fixed_table(names: tuple[str, ...], coefficients: Floats, covariance: Floats) -> pl.DataFrame:
    errors = np.sqrt(np.diagonal(covariance))
    z = coefficients / errors
    half = float(ndtri(0.975)) * errors
    return pl.DataFrame(
        {
            "term": names,
            "estimate": coefficients,
            "standard_error": errors,
            "low": coefficients - half,
            "high": coefficients + half,
            "z": z,
            "p_value": 2 * ndtr(-np.abs(z)),
        }
    )


def _random_table(names: tuple[str, ...], G: Floats, residual_variance: float, diagonal: bool) -> pl.DataFrame:
    sds = np.sqrt(np.diagonal(G))
    rows: list[dict[str, Any]] = []
    for j, name in enumerate(names):
        rows.append({"effect": name, "sd": sds[j], "covariance": G[j, j]})
        for k in range(0 if diagonal else j):
            product = sds[j] * sds[k]
            correlation = float(np.clip(G[j, k] / product, -1, 1)) if product > 0 else None
            rows.append({"effect": names[k], "effect_2": name, "covariance": G[j, k], "correlation": correlation})
    rows.append({"effect": "Residual", "sd": np.sqrt(residual_variance), "covariance": residual_variance})
    schema = {"effect": pl.String, "effect_2": pl.String, "sd": pl.Float64, "covariance": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, "correlation": pl.Float64})
