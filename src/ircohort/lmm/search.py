"""The optimum of the profiled likelihood: scored steps that are damped where they fail, and a look off the boundary."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.likelihood import Slope, changes_with, information, profile_with_slope
from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]

SETTLED = 1e-20
"""A search ends where the next step promises less log-likelihood than this: estimates are then within 1e-10 standard
errors of the optimum, so that they do not depend on the processor's rounding in any digit that is shown."""
_ROUNDING = 1e-13
"""This share of the log-likelihood is rounding."""
_WORTH_LEAVING = 1e-10
"""A boundary is left where a step off it promises more log-likelihood than this."""
_INSIDE = 1e-3
"""Scoring in L L' ends where a between-person variance comes below this share of the residual variance."""
_MANY = 3
_LARGE, _PART, _SHOWN, _NEAR_ENOUGH = 5_000, 16, 1e-4, 1e-4
_STEPS = 100
_PATIENCE = 20
"""After so many steps the curvature is measured instead of expected."""
_SHIFT = 1e-4
_LONGEST = 10.0
"""A longer step, against the size of L, leads nowhere that the curvature knows of."""
_DAMPINGS = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e6, 1e8)
_FLAT = 1e-11
"""Directions with less than this share of the largest curvature are rotations of L, which change nothing."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where a search came to: the lower triangular L (q, q), with no diagonal entry below zero, and the slope there.

    ``settled``: whether it ended because there was nothing left to gain.
    """

    L: Floats
    at: Slope
    settled: bool
    evaluations: int


def maximise(sums: ParticipantSums, start: Floats, *, reml: bool, diagonal: bool, settled: float = SETTLED) -> Optimum:
    """Climb from ``start`` (q, q) to the optimum of the profiled likelihood over all covariances L L'.

    First by Fisher scoring in L L', which needs few steps, as long as it stays inside the boundary and gains. Then in
    L, where each step solves the curvature for the slope (the information, with the bend of L L' in L), damped until
    it gains. All elements of L are free, though a triangle would do: a triangle has narrow bent valleys where a
    variance comes to zero, the full square has none. Where the slope vanishes the point is the optimum unless more
    variance in some direction gains; then it is added, and the climb goes on.

    Source
    ------
    Damped steps: Levenberg 1944, doi:10.1090/qam/10666. Square factors of positive semidefinite matrices: Burer and
    Monteiro 2003, doi:10.1007/s10107-002-0352-8.
    """
    # With many effects there can be several optima, and without correlations too.
    starts = [start]
    starts += [10.0 * start] if sums.q >= _MANY else []
    starts += [np.zeros_like(start)] if diagonal and sums.q > 1 else []
    found = [_search(sums, one, reml, diagonal, settled) for one in starts]
    best = max(found, key=lambda one: one.at.profile.log_likelihood)
    evaluations = sum(one.evaluations for one in found)
    return replace(best, L=lower_factor(best.L @ best.L.T), evaluations=evaluations)


def good_start(sums: ParticipantSums, *, reml: bool, diagonal: bool) -> Floats:
    """Give a factor (q, q) to start from: the optimum of a part of a large cohort, else the identity."""
    start = np.eye(sums.q)
    if len(sums.visits) < _LARGE:
        return start
    part = sums.every(_PART)
    values = np.linalg.eigvalsh(part.total[:-1, :-1])
    if values[0] < _SHOWN * values[-1]:  # a rare column may be the same for all of the part
        return start
    found = maximise(part, start, reml=reml, diagonal=diagonal, settled=_NEAR_ENOUGH)
    return found.L if np.linalg.svd(found.L, compute_uv=False)[-1] ** 2 > _INSIDE else start


def _search(sums: ParticipantSums, start: Floats, reml: bool, diagonal: bool, settled: float) -> Optimum:
    state = _score(sums, start, reml, diagonal, settled)
    if not state.settled:
        further = _climb(sums, state.L, reml, diagonal, settled)
        state = replace(further, evaluations=state.evaluations + further.evaluations)
    for _ in range(2 * sums.q):
        off = _off_boundary(state, diagonal)
        if off is None:
            break
        further = _climb(sums, off, reml, diagonal, settled)
        if further.at.profile.log_likelihood <= state.at.profile.log_likelihood:
            break
        state = replace(further, evaluations=state.evaluations + further.evaluations)
    return state


def _score(sums: ParticipantSums, L: Floats, reml: bool, diagonal: bool, settled: float) -> Optimum:
    """Take scoring steps in L L' as far as they lead up, and stay well inside the boundary."""
    rows, columns = np.diag_indices(sums.q) if diagonal else np.tril_indices(sums.q)
    units = np.zeros((len(rows), sums.q, sums.q))
    units[np.arange(len(rows)), rows, columns] = units[np.arange(len(rows)), columns, rows] = 1.0
    at, evaluations, before = profile_with_slope(sums, L, reml=reml), 1, np.inf
    while evaluations < _STEPS:
        slope = np.einsum("ab,kab->k", at.by_product, units)
        values, vectors = np.linalg.eigh(information(at, units))
        if values[0] <= _FLAT * values[-1]:
            break
        step = vectors @ ((vectors.T @ slope) / values)
        promise = float(slope @ step)
        if _is_done(promise, before, settled, _allowed(at, sums)):
            return Optimum(L, at, True, evaluations)
        before = promise
        covariance = L @ L.T + np.einsum("k,kab->ab", step, units)
        if np.linalg.eigvalsh(covariance)[0] < _INSIDE:
            break
        moved = np.linalg.cholesky(covariance)
        there = profile_with_slope(sums, moved, reml=reml)
        evaluations += 1
        if there.profile.log_likelihood < at.profile.log_likelihood - _allowed(at, sums):
            break
        L, at = moved, there
    return Optimum(L, at, False, evaluations)


def _is_done(promise: float, before: float, settled: float, allowed: float) -> bool:
    """Tell whether the next step promises nothing, or no more than rounding and no less than the step before it."""
    return promise < settled or (promise < allowed and promise > 0.5 * before)


def _allowed(at: Slope, sums: ParticipantSums) -> float:
    """Give how much log-likelihood a step may lose, because it is not known better.

    The squared residuals are what the squared response leaves when all that is explained is taken off.
    """
    cancelled = np.finfo(float).eps * float(sums.total[-1, -1]) / at.profile.residual_variance
    return _ROUNDING * max(abs(at.profile.log_likelihood), 1.0) + cancelled


def _climb(sums: ParticipantSums, L: Floats, reml: bool, diagonal: bool, settled: float) -> Optimum:
    free = np.diag_indices(sums.q) if diagonal else np.nonzero(np.ones((sums.q, sums.q)))
    at = profile_with_slope(sums, L, reml=reml)
    evaluations, damping, before = 1, 0, np.inf
    for tried in range(_STEPS):
        by_product = _by_product(at, diagonal)
        slope = (2.0 * by_product @ L)[free]
        if tried < _PATIENCE:
            curvature = information(at, changes_with(L, *free)) + _bend(by_product, *free)
        else:
            curvature = _observed(sums, L, free, reml)
            evaluations += 2 * len(slope)
        values, vectors = np.linalg.eigh(curvature)
        promise = float(slope @ _step(values, vectors, slope, 0.0))
        if _is_done(promise, before, settled, _allowed(at, sums)):
            return Optimum(L, at, True, evaluations)
        before = promise
        while damping < len(_DAMPINGS):
            step = _step(values, vectors, slope, _DAMPINGS[damping])
            if np.linalg.norm(step) > _LONGEST * (1.0 + np.linalg.norm(L)):
                damping += 1
                continue
            moved = L.copy()
            moved[free] += step
            there = profile_with_slope(sums, moved, reml=reml)
            evaluations += 1
            if there.profile.log_likelihood >= at.profile.log_likelihood - _allowed(at, sums):
                L, at, damping = moved, there, max(damping - 2, 0)
                break
            damping += 1
        else:  # no step gains: the optimum, if even the longest promises no more than rounding
            return Optimum(L, at, promise < _allowed(at, sums), evaluations)
    return Optimum(L, at, False, evaluations)


def _by_product(at: Slope, diagonal: bool) -> Floats:
    return np.diag(np.diagonal(at.by_product)) if diagonal else at.by_product


def _bend(by_product: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """Give what the bend of L L' in L adds to the information, as far as it is convex.

    It vanishes with the slope by L L'; at the boundary that does not vanish, and there it is all that holds.
    """
    values, vectors = np.linalg.eigh(-2.0 * by_product)
    convex = (vectors * np.clip(values, 0.0, None)) @ vectors.T
    return np.where(columns[:, None] == columns, convex[np.ix_(rows, rows)], 0.0)


def _observed(sums: ParticipantSums, L: Floats, free: tuple[NDArray[np.intp], ...], reml: bool) -> Floats:
    """Measure the curvature where the expected one leads on too slowly, as it may in small cohorts."""
    curvature = []
    for place in zip(*free, strict=True):
        ends = []
        for sign in (-1.0, 1.0):
            moved = L.copy()
            moved[place] += sign * _SHIFT
            ends.append((2.0 * profile_with_slope(sums, moved, reml=reml).by_product @ moved)[free])
        curvature.append((ends[0] - ends[1]) / (2.0 * _SHIFT))
    measured = np.array(curvature)
    return 0.5 * (measured + measured.T)


def _step(values: Floats, vectors: Floats, slope: Floats, damping: float) -> Floats:
    size = np.abs(values)  # where the likelihood bends upwards, as far as where it bends as much downwards
    largest = max(float(size.max()), np.finfo(float).tiny)
    known = size > _FLAT * largest
    along = vectors[:, known]
    step: Floats = along @ ((along.T @ slope) / (size[known] + damping * largest))
    return step


def _off_boundary(state: Optimum, diagonal: bool) -> Floats | None:
    """Give a factor with variance added in the direction that gains most; None if none gains.

    A covariance is optimal if the slope by it vanishes on what it spans and is nowhere positive beside it.
    """
    values, vectors = np.linalg.eigh(_by_product(state.at, diagonal))
    steepest = vectors[:, -1]
    along = np.outer(steepest, steepest)
    bend = 0.5 * float(np.einsum("ab,abcd,cd->", along, state.at.QQ, along))
    if values[-1] <= 0 or 0.5 * values[-1] ** 2 / bend < _WORTH_LEAVING:
        return None
    covariance = state.L @ state.L.T + values[-1] / bend * along
    return np.diag(np.sqrt(np.diagonal(covariance))) if diagonal else lower_factor(covariance)


def lower_factor(covariance: Floats) -> Floats:
    """Give the lower triangular L with L L' = ``covariance`` (q, q), which may be singular."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    R: Floats = np.asarray(np.linalg.qr((vectors * np.sqrt(np.clip(values, 0, None))).T, mode="r"), dtype=float)
    L: Floats = R.T * np.where(np.diagonal(R) < 0, -1.0, 1.0)
    return L
