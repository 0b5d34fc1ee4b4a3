"""The profiled likelihood of a linear mixed model on per-participant sums, with its slope and information.

With G = s2 L L', the marginal covariance of a participant is s2 (I + Z L L' Z'), and
(I + Z L L' Z')^-1 = I - Z L M^-1 L' Z' with M = I + L' Z'Z L: only q-by-q matrices are ever factored, and L may
have zero columns. Everything that depends on a participant is gone through once, and leaves totals that add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.lmm.sums import Block, ParticipantSums

Floats = NDArray[np.float64]


EXACT = 1e-13
"""Less than this share of the squared response (beside its least-squares fit) is rounding."""


def explains_all() -> ModelError:
    """Refuse a model that leaves nothing to judge it by."""
    return ModelError(
        "The model explains the response exactly; no variation is left to judge it by.",
        next_step="Look for a column that is computed from the response, or a response that is the same at all visits "
        "of a participant.",
    )


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood at one L, maximised over fixed effects and s2: estimates (p,), their covariance over s2 (p, p)."""

    log_likelihood: float
    coefficients: Floats
    covariance_over_variance: Floats
    residual_variance: float


@dataclass(frozen=True, eq=False)
class Slope:
    """How the profiled log-likelihood changes with L, beside its value.

    ``by_product`` (q, q), symmetric, is its derivative by L L'; that by L is twice it times L. ``QQ`` (q, q, q, q) is
    the sum over participants of the products of the elements of Q = Z'V^-1Z (V over s2), and ``Q`` (q, q) the sum of
    Q: together they are the expected information about L L'. ``freedom`` is n - p or n.
    """

    profile: Profile
    by_product: Floats
    QQ: Floats
    Q: Floats
    freedom: float


@dataclass(frozen=True, eq=False)
class GlsTerms:
    """Per-participant X'V^-1X (n, p, p) and X'V^-1y (n, p), with V over s2."""

    XVX: Floats
    XVy: Floats


@dataclass(frozen=True, eq=False)
class _Totals:
    """What the participants of a block add to the likelihood; with U = [X y], K = C^-1 L'Z'U and M = C C'.

    ``KK`` (p+1, p+1); ``log_determinant``; and for the slope ``HH`` (q, p+1, q, p+1), the products of Z'V^-1U with
    itself; ``QQ`` and ``Q`` as in :class:`Slope`.
    """

    KK: Floats
    log_determinant: float
    HH: Floats
    QQ: Floats
    Q: Floats

    def __add__(self, other: _Totals) -> _Totals:
        return _Totals(
            self.KK + other.KK,
            self.log_determinant + other.log_determinant,
            self.HH + other.HH,
            self.QQ + other.QQ,
            self.Q + other.Q,
        )


def profile(sums: ParticipantSums, L: Floats, *, reml: bool) -> Profile:
    """Evaluate the profiled log-likelihood at the relative factor ``L`` (q, q).

    Source
    ------
    Bates 2015, J Stat Softw 67(1), doi:10.18637/jss.v067.i01, equations 34 and 42.
    """
    return _profile(sums, _totals(sums, L, slopes=False), reml)


def profile_with_slope(sums: ParticipantSums, L: Floats, *, reml: bool) -> Slope:
    """Evaluate the profiled log-likelihood at ``L`` (q, q), its derivative, and the expected information.

    d log|V| = tr(Z'V^-1Z d(L L')), and d(c'V^-1c) = -c'V^-1Z d(L L') Z'V^-1c for any c.
    """
    totals = _totals(sums, L, slopes=True)
    found = _profile(sums, totals, reml)
    freedom = sums.observations - (sums.p if reml else 0)
    weight = np.zeros((sums.p + 1, sums.p + 1))
    if reml:
        weight[:-1, :-1] = found.covariance_over_variance
    residual = np.append(-found.coefficients, 1.0)
    weight += np.outer(residual, residual) / found.residual_variance
    by_product = 0.5 * (np.einsum("akcl,kl->ac", totals.HH, weight) - totals.Q)
    return Slope(found, by_product, totals.QQ, totals.Q, freedom)


def information(at: Slope, changes: Floats) -> Floats:
    """Give the expected information about k directions of change of L L', with s2 profiled out, (k, k).

    Parameters
    ----------
    at
        The likelihood at some L.
    changes
        (k, q, q), each symmetric.

    Source
    ------
    Harville 1977, J Am Stat Assoc 72:320, doi:10.1080/01621459.1977.10480998, section 5.
    """
    passed = np.einsum("abcd,kbc->kad", at.QQ, changes)
    traces = np.einsum("ab,kab->k", at.Q, changes)
    expected: Floats = 0.5 * np.einsum("kad,lda->kl", passed, changes) - 0.5 * np.outer(traces, traces) / at.freedom
    return expected


def changes_with(L: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """Give the change of L L' with each of the elements (``rows``, ``columns``) of ``L``, (k, q, q)."""
    k, q = len(rows), len(L)
    changes = np.zeros((k, q, q))
    changes[np.arange(k), rows] = L[:, columns].T
    return changes + changes.transpose(0, 2, 1)


def _profile(sums: ParticipantSums, totals: _Totals, reml: bool) -> Profile:
    p = sums.p
    left: Floats = sums.total - totals.KK
    A, b = left[:p, :p], left[:p, p]
    coefficients = np.asarray(np.linalg.solve(A, b), dtype=float)
    inverse = np.asarray(np.linalg.inv(A), dtype=float)
    squares = float(left[p, p] - b @ coefficients)
    if squares <= EXACT * sums.total[p, p]:
        raise explains_all()
    freedom = sums.observations - (p if reml else 0)
    log_determinant = totals.log_determinant + (float(np.linalg.slogdet(A)[1]) if reml else 0.0)
    variance = squares / freedom
    log_likelihood = -0.5 * (freedom * (np.log(2 * np.pi * variance) + 1) + log_determinant)
    return Profile(float(log_likelihood), coefficients, inverse, variance)


def _totals(sums: ParticipantSums, L: Floats, *, slopes: bool) -> _Totals:
    return reduce(lambda left, right: left + right, (_totals_of(block, L, slopes) for block in sums.blocks))


def _totals_of(block: Block, L: Floats, slopes: bool) -> _Totals:
    q, m, n = block.Z.shape
    diagonal, R = _factored(block.Z, L)
    K = _mixed(R, block.Z[:, q:])
    weighted = K if block.weights is None else K * block.weights
    KK = np.matmul(weighted, K.transpose(0, 2, 1)).sum(axis=0)
    logs = np.log(diagonal)
    log_determinant = 2.0 * float(logs.sum() if block.weights is None else (logs @ block.weights).sum())
    if not slopes:
        nothing = np.zeros(())
        return _Totals(KK, log_determinant, nothing, nothing, nothing)
    H = _mixed(_passing(block.Z, R), block.Z)
    heavy = H if block.weights is None else H * block.weights
    HU, heavy_HU = H[:, q:].reshape(-1, n), heavy[:, q:].reshape(-1, n)
    Q, heavy_Q = H[:, :q].reshape(-1, n), heavy[:, :q].reshape(-1, n)
    return _Totals(
        KK,
        log_determinant,
        (heavy_HU @ HU.T).reshape(q, m - q, q, m - q),
        (heavy_Q @ Q.T).reshape(q, q, q, q),
        heavy_Q.sum(axis=1).reshape(q, q),
    )


def _factored(Z: Floats, L: Floats) -> tuple[Floats, Floats]:
    """Factor M = I + L'Z'Z L = C C', participant by participant; give the diagonal of C (q, k) and C^-1 L' (q, q, k).

    The loops go over the q effects; the arithmetic goes over all participants at once.
    """
    q, _, n = Z.shape
    M = np.matmul(L.T, (L.T @ Z[:, :q].reshape(q, q * n)).reshape(q, q, n))
    C: list[list[Floats]] = []
    R = np.empty((q, q, n))
    for j in range(q):
        row: list[Floats] = []
        for k in range(j):
            row.append((M[j, k] - sum(row[i] * C[k][i] for i in range(k))) / C[k][k])
        C.append([*row, np.sqrt(1.0 + M[j, j] - sum(one * one for one in row))])
        R[j] = (L.T[j, :, None] - sum(C[j][k] * R[k] for k in range(j))) / C[j][j]
    return np.stack([C[j][j] for j in range(q)]), R


def _weighing(R: Floats) -> Floats:
    """Give W = L M^-1 L', (q, q, k), by which (I + Z L L' Z')^-1 = I - Z W Z'."""
    W: Floats = np.einsum("jak,jbk->abk", R, R)
    return W


def _passing(Z: Floats, R: Floats) -> Floats:
    """Give P = I - Z'Z W, (q, q, k), by which Z'V^-1 = P Z'."""
    q = len(R)
    P = -_mixed(Z[:, :q], _weighing(R))
    P[np.arange(q), np.arange(q)] += 1.0
    return P


def _mixed(left: Floats, right: Floats) -> Floats:
    """Multiply (r, q, k) and (q, m, k), participant by participant: (r, m, k)."""
    product = np.empty((len(left), *right.shape[1:]))
    scratch = np.empty(right.shape[1:])
    for row, into in zip(left, product, strict=True):
        np.multiply(row[0], right[0], out=into)
        for factor, other in zip(row[1:], right[1:], strict=True):
            np.multiply(factor, other, out=scratch)
            into += scratch
    return product


def gls_terms(sums: ParticipantSums, L: Floats) -> GlsTerms:
    """Give each participant's share of the normal equations at the relative factor ``L``."""
    q = sums.q
    parts = [_mixed(_factored(block.Z, L)[1], block.Z[:, q:]) for block in sums.blocks]
    K = np.concatenate([part.transpose(2, 0, 1) for part in parts])
    left = sums.cross[:, q:, q:] - K.transpose(0, 2, 1) @ K
    return GlsTerms(left[:, :-1, :-1], left[:, :-1, -1])


def conditional_modes(sums: ParticipantSums, L: Floats, coefficients: Floats) -> Floats:
    """Give the conditional modes (BLUPs) of the random effects, (n, q), in the basis of the sums."""
    residual = np.append(-coefficients, 1.0)
    parts = []
    for block in sums.blocks:
        left = np.einsum("amk,m->ak", block.Z[:, sums.q :], residual)
        parts.append(np.einsum("abk,bk->ka", _weighing(_factored(block.Z, L)[1]), left))
    return np.concatenate(parts)
