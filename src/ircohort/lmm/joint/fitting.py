"""Fit two or three outcomes jointly, and write the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from ircohort.errors import ModelError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.boundary import Boundary, find_boundary, in_words
from ircohort.lmm.identification import require_variation_within
from ircohort.lmm.joint.likelihood import solve
from ircohort.lmm.joint.parameters import Pairs, lay_out, never_together, unpack
from ircohort.lmm.joint.record import ChangeOfBasis, JointFit
from ircohort.lmm.joint.residuals import describe_residuals
from ircohort.lmm.joint.search import SMALLEST, Peak, Surface, climb_alone, search, start_at
from ircohort.lmm.joint.stacking import Stack, exact, parse_all, stack
from ircohort.lmm.joint.sums import joint_sums, single
from ircohort.lmm.joint.tables import fixed_table, pattern_table, people_table, random_table, residual_table
from ircohort.lmm.search import lower_factor

Floats = NDArray[np.float64]

_UNDETERMINED = 1e-3


def fit_joint(formulas: Mapping[str, str] | Sequence[str], frame: Any, *, reml: bool = True) -> JointFit:
    """Fit a linear mixed model of two or three outcomes, correlated across people and within a draw.

    Each outcome has its own formula. The random effects of all outcomes have one unstructured covariance, and so have
    the residuals of one row. A row may miss any outcome; if it misses a covariate, it misses the outcomes whose
    formulas use it. Start: separate fits of the outcomes.

    Parameters
    ----------
    formulas
        By name of the outcome, or in a sequence (the names are then the responses):
        ``{"insulin": "log(insulin) ~ years + (1 + years | participant_id)", "glucose": ...}``. The same grouping
        column in all; up to nine random effects in all; ``||`` is refused.
    frame
        pandas or polars, one row per draw.
    reml
        Restricted maximum likelihood (else full).

    Returns
    -------
    JointFit
        The record; its tables are of the kind of ``frame``.

    Raises
    ------
    UsageError
        If there are not two or three formulas, or two outcomes have one name.
    FormulaError
        If a formula is malformed, has ``||``, or another grouping column.
    ColumnError
        If a formula names a column that the table does not have.
    ModelError
        If the data cannot show what the formulas ask for: one participant, one visit each, a constant or collinear
        column, no variation left, or more than nine random effects.

    Notes
    -----
    Where no row has two outcomes, their residual covariance is held at zero, and where no participant has both, so
    are the covariances of their random effects; both are said in ``held``.

    Source
    ------
    Fieuws and Verbeke 2004, Stat Med 23:3093, doi:10.1002/sim.1885. The residual correlation is needed with it, or
    correlation within a draw is taken for correlation between people.

    Examples
    --------
    >>> import polars as pl
    >>> random = np.random.default_rng(1)
    >>> level, noise = random.normal(size=(40, 1, 2)), random.normal(size=(40, 5, 2))
    >>> both = (5 + level @ [[1.0, 0.8], [0.0, 0.6]] + 0.5 * noise).reshape(200, 2)
    >>> draws = pl.DataFrame({"id": np.repeat(np.arange(40), 5), "insulin": both[:, 0], "glucose": both[:, 1]})
    >>> result = fit_joint(["insulin ~ 1 + (1 | id)", "glucose ~ 1 + (1 | id)"], draws)
    >>> result.converged, result.participants, result.visits, result.observations
    (True, 40, 200, {'insulin': 200, 'glucose': 200})
    """
    parsed = parse_all(formulas)
    stacked = stack(parsed, to_polars(frame))
    sums = joint_sums(
        stacked.columns,
        stacked.person,
        stacked.observed,
        of_random=_of(len(part.random_names) for part in stacked.outcomes),
        of_fixed=_of(len(part.fixed_names) for part in stacked.outcomes),
    )
    for k, part in enumerate(stacked.outcomes):
        ZZ = single(sums, k).Zw[0, :, :, : len(part.random_names)]
        require_variation_within(_visits(stacked, k), ZZ, part.random_names, part.name)
    no_person, no_row = never_together(sums)
    parameters = lay_out(sums.of_random, len(parsed), no_person=no_person, no_row=no_row)
    alone = [climb_alone(sums, k, reml=reml) for k in range(len(parsed))]
    for part, (_, residual, _) in zip(stacked.outcomes, alone, strict=True):
        if np.log(residual) < SMALLEST + 1:
            raise exact(part.name)
    start, floor = start_at(parameters, alone)
    surface = Surface(sums, parameters, reml, floor, evaluations=sum(taken for _, _, taken in alone))
    peak = search(surface, start)
    if peak.unbounded:
        raise ModelError(
            f"Within a draw, the readings of {' and '.join(parsed)} follow exactly from one another.",
            expected="Each outcome has measurement variation of its own.",
            next_step="Look for an outcome that is computed from another, and leave it out.",
        )
    return _record(stacked, surface, peak, _Held(no_person, no_row), kind_of(frame))


@dataclass(frozen=True)
class _Held:
    """Pairs of outcomes that no participant, and that no row, has both."""

    no_person: Pairs
    no_row: Pairs


def _of(counts: Any) -> NDArray[np.int64]:
    sizes = list(counts)
    return np.repeat(np.arange(len(sizes)), sizes)


def _visits(stacked: Stack, outcome: int) -> NDArray[np.int64]:
    return np.bincount(stacked.person[stacked.observed[:, outcome]], minlength=len(stacked.participant_ids))


def _record(stacked: Stack, surface: Surface, peak: Peak, held: _Held, kind: Any) -> JointFit:
    sums, parts, reml = surface.sums, stacked.outcomes, surface.reml
    names = tuple(part.name for part in parts)
    fixed_names = tuple((part.name, term) for part in parts for term in part.fixed_names)
    random_names = tuple((part.name, effect) for part in parts for effect in part.random_names)
    change = _change_of_basis(stacked)
    L, C = unpack(surface.parameters, peak.theta)
    best = solve(sums, L, C @ C.T, reml=reml)
    G = change.random @ L @ L.T @ change.random.T
    R = np.outer(change.units, change.units) * (C @ C.T)
    coefficients = change.offset + change.fixed @ best.coefficients
    fixed_covariance = change.fixed @ best.covariance @ change.fixed.T
    modes = (best.spread @ best.residual[:, :, None])[:, :, 0] @ change.random.T
    boundary = _boundary(surface, change, random_names, L, C)
    direction = " ".join(filter(None, (boundary.sentence, describe_residuals(R, names))))
    unknown = _held_pairs(sums.of_random, held.no_person)
    unknown[boundary.flat, :] = unknown[:, boundary.flat] = True
    sentences = _held_sentences(names, held)
    messages = (*sentences, *peak.messages, *_undetermined(peak, at_boundary=bool(direction)))
    return JointFit(
        outcomes=names,
        formulas={part.name: part.basis.formula.text for part in parts},
        fixed=kind(fixed_table(fixed_names, coefficients, fixed_covariance)),
        random=kind(random_table(random_names, G, unknown)),
        residual=kind(residual_table(names, R, _held_pairs(np.arange(len(names)), held.no_row))),
        people=kind(people_table(stacked.group, stacked.participant_ids, random_names, modes)),
        patterns=kind(pattern_table(names, sums.patterns, sums.rows)),
        log_likelihood=best.log_likelihood - _volume(surface, change),
        converged=peak.converged,
        at_boundary=bool(direction),
        boundary_direction=direction,
        without_variance=tuple(random_names[k] for k in boundary.flat),
        held=sentences,
        evaluations=surface.evaluations,
        messages=messages,
        participants=len(stacked.participant_ids),
        visits=len(stacked.person),
        observations={name: int(count) for name, count in zip(names, sums.observations, strict=True)},
        dropped={part.name: part.dropped for part in parts},
        unused_visits=stacked.unused,
        reml=reml,
        coefficients=coefficients,
        fixed_covariance=fixed_covariance,
        random_covariance=G,
        residual_covariance=R,
        fixed_names=fixed_names,
        random_names=random_names,
        participant_ids=stacked.participant_ids,
        parts=parts,
        group=stacked.group,
        change=change,
        sums=sums,
        parameters=surface.parameters,
        theta=peak.theta,
        information=peak.information,
    )


def _boundary(
    surface: Surface, change: ChangeOfBasis, names: Sequence[tuple[str, str]], L: Floats, C: Floats
) -> Boundary:
    def log_likelihood(covariance: Floats) -> float:
        return solve(surface.sums, lower_factor(covariance), C @ C.T, reml=surface.reml).log_likelihood

    scaling: Floats = np.asarray(np.linalg.inv(change.random), dtype=float)
    effects = [in_words(effect, outcome) for outcome, effect in names]
    return find_boundary(L @ L.T, log_likelihood(L @ L.T), scaling, effects, log_likelihood)


def _change_of_basis(stacked: Stack) -> ChangeOfBasis:
    parts = stacked.outcomes
    return ChangeOfBasis(
        random=block_diag(*(part.unit * part.scaling.to_random for part in parts)),
        fixed=block_diag(*(part.unit * part.scaling.to_fixed for part in parts)),
        offset=np.concatenate([part.scaling.offset for part in parts]),
        units=np.array([part.unit for part in parts]),
    )


def _volume(surface: Surface, change: ChangeOfBasis) -> float:
    """Give what the units add to the log-likelihood, and under REML the change of basis of X."""
    volume = float(surface.sums.observations @ np.log(change.units))
    return volume - float(np.linalg.slogdet(change.fixed)[1]) if surface.reml else volume


def _held_pairs(of: NDArray[np.int64], pairs: Pairs) -> NDArray[np.bool_]:
    held = np.zeros((len(of), len(of)), dtype=bool)
    for a, b in pairs:
        held |= np.outer(of == a, of == b) | np.outer(of == b, of == a)
    return held


def _held_sentences(names: tuple[str, ...], held: _Held) -> tuple[str, ...]:
    rows = [
        f"No visit has both {names[a]} and {names[b]}: the correlation of their measurement variation is not known, "
        "and was held at zero."
        for a, b in sorted(held.no_row)
    ]
    people = [
        f"No participant has both {names[a]} and {names[b]}: the correlation of their differences between people is "
        "not known, and was held at zero."
        for a, b in sorted(held.no_person)
    ]
    return (*rows, *people)


def _undetermined(peak: Peak, *, at_boundary: bool) -> tuple[str, ...]:
    """Say so if, away from the boundary, the likelihood is all but flat in some direction of the variances."""
    if at_boundary or np.linalg.eigvalsh(peak.information)[0] > _UNDETERMINED:
        return ()
    return (
        "The data hardly determine some covariance: the likelihood is flat in one direction. The outcomes may be "
        "observed together in too few people or visits.",
    )
