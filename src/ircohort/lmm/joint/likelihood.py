"""The likelihood of a joint model on its sums, and its derivatives.

In a row with the outcomes P observed the residuals have covariance R_P, a part of R (K, K). For each participant
A = Z'R^-1Z and B = Z'R^-1[X y] are sums over patterns of blocks of products, each times an element of R_P^-1. With
G = L L' and M = I + L'A L, log|V| = sum log|R_P| + log|M|, and V^-1 = R^-1 - R^-1 Z L M^-1 L' Z' R^-1: no matrix is
larger than the number of random effects, whatever the number of visits, and L may have zero columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.joint.sums import JointSums

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """The likelihood at one (L, R), maximised over fixed effects, and what its derivatives need.

    Attributes
    ----------
    log_likelihood
        With all constants, in the basis of the sums.
    coefficients, covariance
        (p,) and (p, p).
    A, ZRX, residual
        Z'R^-1Z (n, q, q), Z'R^-1X (n, q, p) and Z'R^-1(y - X b) (n, q).
    spread
        (n, q, q): L M^-1 L', the covariance of a participant's random effects given the data and b.
    inverses
        (m, K, K): R_P^-1, zero for outcomes that a pattern misses.
    """

    log_likelihood: float
    coefficients: Floats
    covariance: Floats
    A: Floats
    ZRX: Floats
    residual: Floats
    spread: Floats
    inverses: Floats


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of the log-likelihood: ``factor`` (q, q) by L, and ``residual`` (K, K), symmetric, by R."""

    factor: Floats
    residual: Floats


def solve(sums: JointSums, L: Floats, R: Floats, *, reml: bool) -> Solution:
    """Evaluate the log-likelihood at G = L L' and R, both in the basis of the sums.

    Source
    ------
    Laird and Ware 1982, Biometrics 38:963, doi:10.2307/2529876.
    """
    q, p = len(sums.of_random), len(sums.of_fixed)
    inverses, log_determinants = _pattern_inverses(R, sums.patterns)
    weights = inverses[:, sums.of_column][:, :, sums.of_column]
    products = np.zeros(sums.Zw.shape[1:])
    for weight, one in zip(weights, sums.Zw, strict=True):
        products += weight[:q] * one
    total = (weights[:, q:, q:] * sums.ww).sum(axis=0)
    A, ZRX, ZRy = products[:, :, :q], products[:, :, q : q + p], products[:, :, q + p :].sum(axis=2)
    C = np.linalg.cholesky(np.eye(q) + L.T @ A @ L)
    half = np.linalg.solve(C, np.broadcast_to(L.T, A.shape))
    spread = half.transpose(0, 2, 1) @ half
    B = np.concatenate([ZRX, ZRy[:, :, None]], axis=2)
    flat = (half @ B).reshape(-1, p + 1)
    cross = flat.T @ flat
    normal = total[:p, :p] - cross[:p, :p]
    right = total[:p, p:].sum(axis=1) - cross[:p, p]
    covariance = np.linalg.inv(normal)
    coefficients = covariance @ right
    squares = float(total[p:, p:].sum() - cross[p, p] - right @ coefficients)
    log_determinant = float(sums.rows @ log_determinants) + 2.0 * float(np.log(np.diagonal(C, axis1=1, axis2=2)).sum())
    freedom = int(sums.observations.sum())
    if reml:
        freedom -= p
        log_determinant += float(np.linalg.slogdet(normal)[1])
    return Solution(
        log_likelihood=-0.5 * (freedom * float(np.log(2 * np.pi)) + log_determinant + squares),
        coefficients=coefficients,
        covariance=covariance,
        A=A,
        ZRX=ZRX,
        residual=ZRy - ZRX @ coefficients,
        spread=spread,
        inverses=inverses,
    )


def slopes(sums: JointSums, L: Floats, solution: Solution, *, reml: bool) -> Slopes:
    """Give the derivatives at ``solution``: by L directly, by R as the expected slope of the complete data.

    Given the data, the random effects and (under REML) b are normal; by Fisher's identity the derivative by R_P is
    that of a normal sample whose squares and products of residuals are their expectations.

    Source
    ------
    Fisher's identity: Dempster, Laird and Rubin 1977, J R Stat Soc B 39:1, doi:10.1111/j.2517-6161.1977.tb01600.x.
    """
    s = solution
    passed = np.eye(len(L)) - s.A @ s.spread
    score = (passed @ s.residual[:, :, None])[:, :, 0]
    by_G = score.T @ score - (passed @ s.A).sum(axis=0)
    if reml:
        through = passed @ s.ZRX
        by_G += (through @ s.covariance @ through.transpose(0, 2, 1)).sum(axis=0)
    by_R = np.zeros(s.inverses.shape[1:])
    for inverse, rows, squares in zip(s.inverses, sums.rows, _expected_squares(sums, s, reml=reml), strict=True):
        by_R -= 0.5 * (rows * inverse - inverse @ squares @ inverse)
    return Slopes(factor=by_G @ L, residual=by_R)


def _expected_squares(sums: JointSums, s: Solution, *, reml: bool) -> Floats:
    """Give for each pattern the expected sum of e e' given the data, (m, K, K)."""
    q, p = s.ZRX.shape[1:]
    K = sums.patterns.shape[1]
    pull = s.spread @ s.ZRX
    C = s.covariance if reml else np.zeros_like(s.covariance)
    mean = (s.spread @ s.residual[:, :, None])[:, :, 0]
    # e = y - X b - Z u is w' a with a = (-u, -b, 1); u follows b by -pull.
    uu = s.spread + pull @ C @ pull.transpose(0, 2, 1) + mean[:, :, None] * mean[:, None, :]
    ub = mean[:, :, None] * s.coefficients - pull @ C
    uy = -np.broadcast_to(mean[:, :, None], (len(mean), q, K))
    u = np.concatenate([uu, ub, uy], axis=2)
    b = np.ones((p + K, p + K))
    b[:p, :p] = np.outer(s.coefficients, s.coefficients) + C
    b[:p, p:], b[p:, :p] = -s.coefficients[:, None], -s.coefficients
    of = np.equal.outer(sums.of_column, np.arange(K)).astype(float)
    squares = []
    for Zw, ww in zip(sums.Zw, sums.ww, strict=True):
        left = (Zw * u).sum(axis=0)
        twice = of[:q].T @ left[:, q:] @ of[q:]
        squares.append(of[:q].T @ left[:, :q] @ of[:q] + twice + twice.T + of[q:].T @ (ww * b) @ of[q:])
    return np.array(squares)


def _pattern_inverses(R: Floats, patterns: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    inverses, log_determinants = np.zeros((len(patterns), *R.shape)), np.zeros(len(patterns))
    for at, have in enumerate(patterns):
        part = R[np.ix_(have, have)]
        inverses[at][np.ix_(have, have)] = np.linalg.inv(part)
        log_determinants[at] = np.linalg.slogdet(part)[1]
    return inverses, log_determinants
