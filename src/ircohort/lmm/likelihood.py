"""The profiled likelihood of a linear mixed model on per-participant sums, and its optimum near a start.

With G = s2 L L', the marginal covariance of a participant is s2 (I + Z L L' Z'), and
(I + Z L L' Z')^-1 = I - Z L M^-1 L' Z' with M = I + L' Z'Z L: only q-by-q matrices are ever factored, and L may
have zero columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]

_NUDGES = (0.01, 0.1, 0.5)
_NEAR_ZERO = 1e-2
_RESTARTS = 5
_SETTLED = 1e-7
_START_SIZES = (1.0, 0.3, 0.1, 0.03)
_NEWTON_STEPS, _SHIFT, _LARGEST_STEP = 4, 1e-4, 1e-2


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood at one L, maximised over fixed effects and s2: estimates (p,), their covariance over s2 (p, p)."""

    log_likelihood: float
    coefficients: Floats
    covariance_over_variance: Floats
    residual_variance: float


@dataclass(frozen=True, eq=False)
class GlsTerms:
    """Per-participant X'V^-1X (n, p, p) and X'V^-1y (n, p), with V over s2."""

    XVX: Floats
    XVy: Floats


def profile(sums: ParticipantSums, L: Floats, *, reml: bool) -> Profile:
    """Evaluate the profiled log-likelihood at the relative factor ``L`` (q, q).

    Source
    ------
    Bates 2015, J Stat Softw 67(1), doi:10.18637/jss.v067.i01, equations 34 and 42.
    """
    p = sums.XX.shape[1]
    n = int(sums.visits.sum())
    C = np.linalg.cholesky(np.eye(L.shape[1]) + L.T @ sums.ZZ @ L)
    K = np.linalg.solve(C, L.T @ np.concatenate([sums.ZX, sums.Zy[:, :, None]], axis=2))
    flat = K.reshape(-1, p + 1)
    cross = flat.T @ flat
    A = sums.XX.sum(axis=0) - cross[:p, :p]
    b = sums.Xy.sum(axis=0) - cross[:p, p]
    coefficients = np.linalg.solve(A, b)
    squares = max(float(sums.yy.sum() - cross[p, p] - b @ coefficients), np.finfo(float).tiny)
    freedom = n - p if reml else n
    log_determinant = 2.0 * float(np.log(np.diagonal(C, axis1=1, axis2=2)).sum())
    if reml:
        log_determinant += float(np.linalg.slogdet(A)[1])
    variance = squares / freedom
    log_likelihood = -0.5 * (freedom * (np.log(2 * np.pi * variance) + 1) + log_determinant)
    return Profile(float(log_likelihood), coefficients, np.linalg.inv(A), variance)


def profile_slope(sums: ParticipantSums, L: Floats, *, reml: bool) -> Floats:
    """Give the derivative of the profiled log-likelihood by each element of ``L``, (q, q).

    With W = L M^-1 L' and u = Z'(y - X b): d log|M| = 2 tr(M^-1 L' Z'Z dL), and for any c and d the form
    c' Z'(I - Z W Z') Z d changes by the product of what P = I - W Z'Z lets through of dL.
    """
    found = profile(sums, L, reml=reml)
    freedom = int(sums.visits.sum()) - (len(found.coefficients) if reml else 0)
    M = np.eye(L.shape[1]) + L.T @ sums.ZZ @ L
    inverse = np.linalg.inv(M)
    passed = np.eye(len(L)) - sums.ZZ @ (L @ inverse @ L.T)
    residual = (sums.Zy - sums.ZX @ found.coefficients)[:, :, None]
    by_squares = -2.0 * (passed @ residual @ residual.transpose(0, 2, 1) @ L @ inverse).sum(axis=0)
    by_determinant = 2.0 * (sums.ZZ @ L @ inverse).sum(axis=0)
    if reml:
        spread = sums.ZX @ found.covariance_over_variance @ sums.ZX.transpose(0, 2, 1)
        by_determinant = by_determinant - 2.0 * (passed @ spread @ L @ inverse).sum(axis=0)
    squares = found.residual_variance * freedom
    slope: Floats = -0.5 * (freedom / squares * by_squares + by_determinant)
    return slope


def gls_terms(sums: ParticipantSums, L: Floats) -> GlsTerms:
    """Give each participant's share of the normal equations at the relative factor ``L``."""
    C = np.linalg.cholesky(np.eye(L.shape[1]) + L.T @ sums.ZZ @ L)
    KX = np.linalg.solve(C, L.T @ sums.ZX)
    Ky = np.linalg.solve(C, L.T @ sums.Zy[:, :, None])
    XVX = sums.XX - KX.transpose(0, 2, 1) @ KX
    XVy = sums.Xy - (KX.transpose(0, 2, 1) @ Ky)[:, :, 0]
    return GlsTerms(XVX, XVy)


def conditional_modes(sums: ParticipantSums, L: Floats, coefficients: Floats) -> Floats:
    """Give the conditional modes (BLUPs) of the random effects, (n, q), in the basis of the sums."""
    residual = sums.Zy - sums.ZX @ coefficients
    M = np.eye(L.shape[1]) + L.T @ sums.ZZ @ L
    modes: Floats = (L @ np.linalg.solve(M, (L.T @ residual[:, :, None])))[:, :, 0]
    return modes


def rank_starts(sums: ParticipantSums, *, reml: bool) -> list[Floats]:
    """Give a few multiples of the identity (q, q) as starts for :func:`polish`, the best first."""
    starts = [size * np.eye(sums.ZZ.shape[1]) for size in _START_SIZES]
    return sorted(starts, key=lambda L: -profile(sums, L, reml=reml).log_likelihood)


def polish(sums: ParticipantSums, L: Floats, *, reml: bool, diagonal: bool) -> Floats:
    """Climb from ``L`` to the nearest optimum of the profiled likelihood; never comes back with a worse one.

    Where a diagonal entry of L is zero its derivative vanishes, optimum or not, and the signs below it do not matter.
    Such entries are nudged inwards, with either sign, and the climb goes on from there if that is better.
    """
    rows, columns = np.diag_indices(len(L)) if diagonal else np.tril_indices(len(L))
    bounds = [(0.0, None) if row == column else (None, None) for row, column in zip(rows, columns, strict=True)]

    def factor(theta: Floats) -> Floats:
        full = np.zeros_like(L)
        full[rows, columns] = theta
        return full

    def loss(theta: Floats) -> float:
        return -profile(sums, factor(theta), reml=reml).log_likelihood

    def slope(theta: Floats) -> Floats:
        return -profile_slope(sums, factor(theta), reml=reml)[rows, columns]

    def climb(theta: Floats) -> Floats:
        # Again from where it stopped, with a fresh idea of the curvature: at a bound it tends to stop short.
        for _ in range(_RESTARTS):
            before = loss(theta)
            found = minimize(loss, theta, method="L-BFGS-B", jac=slope, bounds=bounds, options={"ftol": 1e-14})
            theta = found.x if loss(found.x) <= before else theta
            if before - loss(theta) < _SETTLED:
                break
        return theta

    theta = climb(L[rows, columns])
    for position in np.flatnonzero((rows == columns) & (theta < _NEAR_ZERO)):
        below = (columns == columns[position]) & (rows != columns)
        for nudge, sign in product(_NUDGES, (1.0, -1.0)):
            moved = np.where(below, sign * theta, theta)
            moved[position] = nudge
            if loss(moved) < loss(theta):
                theta = climb(moved)
                break
    return factor(_settle(theta, loss, slope, inside=(rows != columns) | (theta > _NEAR_ZERO)))


def _settle(
    theta: Floats, loss: Callable[[Floats], float], slope: Callable[[Floats], Floats], *, inside: NDArray[np.bool_]
) -> Floats:
    """Take Newton steps to the optimum, as far as rounding lets it be known, among the elements that are ``inside``.

    A search by the likelihood alone knows it to the root of rounding only, and stops elsewhere on another processor.
    """
    free = np.flatnonzero(inside)
    shifts = _SHIFT * np.eye(len(theta))[free]
    for _ in range(_NEWTON_STEPS):
        curvature = np.array([(slope(theta + shift) - slope(theta - shift))[free] / (2 * _SHIFT) for shift in shifts])
        if free.size == 0 or np.linalg.eigvalsh(0.5 * (curvature + curvature.T))[0] <= 0:
            break
        step = np.zeros_like(theta)
        step[free] = np.linalg.solve(curvature, slope(theta)[free])
        if np.abs(step).max() > _LARGEST_STEP or loss(theta - step) > loss(theta) + _SETTLED:
            break
        theta = theta - step
    return theta
