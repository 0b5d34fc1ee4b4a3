"""Cluster-robust covariance of the fixed effects over participants, with its own degrees of freedom.

The working model is that of the fit: V_i, and W_i = w_i V_i^-1. The sandwich is M (sum of s_i s_i') M, with
M = (sum of X_i' W_i X_i)^-1, s_i = X_i' W_i A_i e_i, and A_i what adjusts the residuals e_i of a participant. A_i acts
on the span of the columns of X_i and Z_i only, so that per-participant sums suffice, whatever the number of visits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.lmm.likelihood import gls_terms
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit
from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]

KINDS = ("CR0", "CR1", "CR2")

BLOCK = 8192
"""Participants adjusted at a time, to bound the memory."""

NO_LENGTH = 1e-10
"""A squared length below this, relative to the longest, is rounding."""


def robust_covariance(fit: Fit, kind: str = "CR1") -> Floats:
    """Give the cluster-robust covariance of the fixed effects, participants being the clusters.

    Parameters
    ----------
    fit
        A fitted model; its weights are respected. With frequency weights, each participant counts as so many.
    kind
        ``CR0``: residuals as they are. ``CR1``: the same times n / (n - 1), n participants. ``CR2``: residuals of
        each participant adjusted such that the covariance is unbiased where the fitted V is right.

    Returns
    -------
    numpy.ndarray
        (p, p), in the order of ``fit.fixed``; unit: products of those of the estimates.

    Raises
    ------
    UsageError
        If ``kind`` is another.

    Source
    ------
    CR0: Liang and Zeger 1986, Biometrika 73:13, doi:10.1093/biomet/73.1.13. CR2: Pustejovsky and Tipton 2018,
    J Bus Econ Stat 36:672, doi:10.1080/07350015.2016.1247004, as in clubSandwich, with the fitted V for target.

    Examples
    --------
    >>> import polars as pl
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "glucose_mg_dl": [90.0, 94, 95, 101, 101, 104, 95, 93, 99]})
    >>> result = fit("glucose_mg_dl ~ years + (1 | participant_id)", visits)
    >>> [round(float(np.sqrt(robust_covariance(result, kind)[1, 1])), 4) for kind in ("CR0", "CR1", "CR2")]
    [0.2357, 0.2887, 0.2887]
    """
    require_fit(fit, "robust_covariance")
    return sandwich(fit, kind).covariance


@dataclass(frozen=True, eq=False)
class Sandwich:
    """The parts of a sandwich, in the scaled basis of the fit, with V over s2.

    ``covariance`` (p, p) is in the natural basis, as ``to_scaled`` (p, p) is the change of basis of contrasts.
    ``M`` and ``Q`` (p, p) are the bread and the sum of X' W V W X. For each participant, ``E`` (n, p, p) is
    X' A W X, ``F`` (n, p, p) is X' W A V A W X, and ``weights`` and ``counts`` (n,) are w and how many they stand for.
    """

    covariance: Floats
    to_scaled: Floats
    M: Floats
    Q: Floats
    E: Floats
    F: Floats
    weights: Floats
    counts: Floats


def sandwich(fit: Fit, kind: str) -> Sandwich:
    """Make the parts of the sandwich ``kind``."""
    if kind not in KINDS:
        raise UsageError(f"The robust covariance {kind} is not known.", expected=f"One of {', '.join(KINDS)}.")
    terms = gls_terms(fit.sums, fit.relative_factor)
    given, ones = fit.sums.multiplicity, np.ones(len(fit.sums.visits))
    weights, counts = (given, ones) if fit.weights_kind == "sampling" else (ones, given)
    M = np.asarray(np.linalg.inv(np.tensordot(weights * counts, terms.XVX, axes=1)), dtype=float)
    Q: Floats = np.tensordot(weights**2 * counts, terms.XVX, axes=1)
    b = M @ ((weights * counts) @ terms.XVy)
    if kind == "CR2":
        score, E, F = _adjust_all(fit.sums, fit.relative_factor, b, weights, M, M @ Q @ M)
    else:
        score, E, F = terms.XVy - terms.XVX @ b, terms.XVX, terms.XVX
    n = float(counts.sum())
    meat = (score * (weights**2 * counts)[:, None]).T @ score * (n / (n - 1) if kind == "CR1" else 1.0)
    back = fit.scaling.to_fixed
    by_weight = weights[:, None, None]
    return Sandwich(back @ M @ meat @ M @ back.T, back, M, Q, by_weight * E, by_weight**2 * F, weights, counts)


def robust_freedom(found: Sandwich, C: Floats) -> Floats:
    """Give Satterthwaite's degrees of freedom of contrasts (k, p), one by one: (k,); NaN for one that is zero.

    Source
    ------
    Bell and McCaffrey 2002, Survey Methodology 28:169; Pustejovsky and Tipton 2018, J Bus Econ Stat 36:672,
    doi:10.1080/07350015.2016.1247004.
    """
    return np.array([hotelling_freedom(found, row[None, :]) for row in C])


def hotelling_freedom(found: Sandwich, C: Floats) -> float:
    """Give the degrees of freedom of the joint test of contrasts (k, p) of full rank; Satterthwaite's where k is 1.

    The robust covariance of the contrasts is likened to a Wishart matrix of these degrees of freedom, by the variances
    of its elements under the working model; NaN where it has no variance.

    Source
    ------
    Approximate Hotelling's T2: Pustejovsky and Tipton 2018, J Bus Econ Stat 36:672,
    doi:10.1080/07350015.2016.1247004, section 3.2.
    """
    rows = C @ found.to_scaled @ found.M
    values, vectors = np.linalg.eigh(_expected_and_variance(found, rows)[0])
    if values[0] <= NO_LENGTH * abs(values[-1]) or values[-1] <= 0:
        return float("nan")
    whitened = (vectors / np.sqrt(values)).T @ rows
    k = len(C)
    return float(k * (k + 1) / _expected_and_variance(found, whitened)[1].sum())


def _expected_and_variance(found: Sandwich, rows: Floats) -> tuple[Floats, Floats]:
    """Give mean and variance of the elements of the robust covariance of contrasts under the working model, (k, k).

    It is the sum over participants of t_s t_t, where t_s of i and t_t of j covary by (i = j) d_st - x_s' J x_t.
    """
    p = len(found.M)
    J = np.block([[-found.M @ found.Q @ found.M, found.M], [found.M, np.zeros((p, p))]])
    h = (found.E @ rows.T).transpose(0, 2, 1)
    x = np.concatenate([h, h * found.weights[:, None, None]], axis=2)
    d = rows @ found.F @ rows.T
    a = x @ J @ x.transpose(0, 2, 1)
    diagonal_d, diagonal_a = np.diagonal(d, axis1=1, axis2=2), np.diagonal(a, axis1=1, axis2=2)
    expected = np.tensordot(found.counts, d - a, axes=1)
    n, k, width = x.shape
    flat = x.reshape(n, k * width)
    B = ((flat * found.counts[:, None]).T @ flat).reshape(k, width, k, width)
    within = (diagonal_d * found.counts[:, None]).T @ (diagonal_d - diagonal_a)
    within -= (diagonal_a * found.counts[:, None]).T @ diagonal_d
    within += np.tensordot(found.counts, d * (d - 2 * a), axes=1)
    straight = np.einsum("satb,ac,sctd,bd->st", B, J, B, J, optimize=True)
    crossed = np.einsum("satb,ac,sdtc,bd->st", B, J, B, J, optimize=True)
    return expected, within + straight + crossed


def _adjust_all(
    sums: ParticipantSums, L: Floats, b: Floats, weights: Floats, M: Floats, N: Floats
) -> tuple[Floats, Floats, Floats]:
    """Give X' V^-1 A e (n, p), X' A V^-1 X and X' V^-1 A V A V^-1 X (n, p, p) for the A of CR2."""
    pieces = []
    for start in range(0, len(sums.visits), BLOCK):
        block = slice(start, start + BLOCK)
        ZX, XX = sums.ZX[block], sums.XX[block]
        gram = np.block([[sums.ZZ[block], ZX], [ZX.transpose(0, 2, 1), XX]])
        residual = np.concatenate([sums.Zy[block] - ZX @ b, sums.Xy[block] - XX @ b], axis=1)
        pieces.append(_adjust(gram, residual, L, 2 * weights[block, None, None] * M - N))
    score, E, F = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return score, E, F


def _adjust(gram: Floats, residual: Floats, L: Floats, lost: Floats) -> tuple[Floats, Floats, Floats]:
    """Adjust within the span of Z and X, whose products are ``gram``, and those with the residuals ``residual``.

    The residuals have the variance S = V - X ``lost`` X'; A = V^1/2 (V^1/2 S V^1/2)^(-1/2) V^1/2 gives A S A' = V.
    """
    q = len(L)
    lengths, vectors = np.linalg.eigh(gram)
    kept = lengths > NO_LENGTH * lengths[:, -1:]
    root = np.sqrt(np.where(kept, lengths, 0.0))
    # Z and X, and the residuals, in an orthonormal basis of the span; a direction without length stays empty.
    columns = root[:, :, None] * vectors.transpose(0, 2, 1)
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=kept)
    e = inverse * (vectors.transpose(0, 2, 1) @ residual[:, :, None])[:, :, 0]
    X, ZL = columns[:, :, q:], columns[:, :, :q] @ L
    V = np.eye(gram.shape[1]) + ZL @ ZL.transpose(0, 2, 1)
    S = V - X @ lost @ X.transpose(0, 2, 1)
    half = _root(V, inverse=False)
    left = half @ _root(half @ S @ half, inverse=True) @ half @ np.linalg.solve(V, X)
    E = X.transpose(0, 2, 1) @ left
    return (left.transpose(0, 2, 1) @ e[:, :, None])[:, :, 0], E, left.transpose(0, 2, 1) @ V @ left


def _root(matrices: Floats, *, inverse: bool) -> Floats:
    """Give the symmetric square roots of matrices (n, k, k), or the generalised inverses of these."""
    values, vectors = np.linalg.eigh(matrices)
    kept = values > NO_LENGTH * values[:, -1:]
    roots = np.where(kept, np.where(kept, values, 1.0) ** (-0.5 if inverse else 0.5), 0.0)
    found: Floats = (vectors * roots[:, None, :]) @ vectors.transpose(0, 2, 1)
    return found
