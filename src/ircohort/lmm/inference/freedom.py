"""Satterthwaite's degrees of freedom: how well a standard error of the fixed effects is itself known.

With G = s2 D and V = s2 (I + Z D Z'), the deviance and the covariance of the fixed effects are smooth in D and log s2,
and V / s2 is linear in D, so that their derivatives are short sums over participants and need no differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ircohort.errors import UsageError
from ircohort.lmm.boundary import INDISTINGUISHABLE
from ircohort.lmm.inference.weighting import require_model_covariance
from ircohort.lmm.likelihood import profile
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit, require_random_part
from ircohort.lmm.sums import ParticipantSums

if TYPE_CHECKING:
    from ircohort.lmm.censored.record import CensoredFit
    from ircohort.lmm.joint.record import JointFit

Floats = NDArray[np.float64]

FLAT = 1e-8
"""An eigenvalue of the curvature (unit diagonal) at or below this is no information; lmerTest's limit."""


@dataclass(frozen=True, eq=False)
class VarianceInformation:
    """What the data say of the t variance parameters: those of D that are not at the boundary, and log s2.

    Attributes
    ----------
    covariance
        Asymptotic covariance of the variance parameters, twice the inverse curvature of the deviance, (t, t).
    sensitivity
        Derivative of the covariance of the p fixed effects by each of them, natural basis, (t, p, p).
    null_directions
        How many directions of the random effects have no variance and were taken out.
    method
        ``Satterthwaite``, or the same with what was taken out.
    """

    covariance: Floats
    sensitivity: Floats
    null_directions: int
    method: str


def satterthwaite(fit: Fit, C: ArrayLike) -> Floats:
    """Give Satterthwaite's degrees of freedom of the contrasts ``C``, from the model.

    2 v^2 / Var(v), v being the estimated variance of a contrast and Var(v) its asymptotic variance, as in lmerTest.
    Where a variance is estimated as zero, or a correlation as one, the derivatives are those of the reduced model:
    D keeps its rank (with ``||``: the variances at zero are left out); :func:`variance_information` says so.

    Parameters
    ----------
    fit
        A fitted model, without sampling weights.
    C
        (k, p) or (p,), columns in the order of ``fit.fixed``.

    Returns
    -------
    numpy.ndarray
        (k,); NaN for a contrast that is zero throughout.

    Raises
    ------
    UsageError
        If ``C`` does not have p columns, or the fit has sampling weights or no random part.

    Source
    ------
    Kuznetsova, Brockhoff and Christensen 2017, J Stat Softw 82(13), doi:10.18637/jss.v082.i13.

    Examples
    --------
    >>> import polars as pl
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "glucose_mg_dl": [90.0, 94, 95, 101, 101, 104, 95, 93, 99]})
    >>> result = fit("glucose_mg_dl ~ years + (1 | participant_id)", visits)
    >>> [round(float(df), 2) for df in satterthwaite(result, [[0.0, 1.0], [1.0, 1.0]])]
    [5.0, 2.0]
    """
    require_fit(fit, "satterthwaite")
    require_random_part(fit, "satterthwaite")
    return contrast_freedom(variance_information(fit), fit.fixed_covariance, contrast_rows(fit, C))


def contrast_rows(fit: Fit | CensoredFit | JointFit, C: ArrayLike) -> Floats:
    """Give contrasts as an array (k, p), refusing texts, other shapes and what is not finite."""
    try:
        rows = np.atleast_2d(np.asarray(C, dtype=float))
    except (TypeError, ValueError):
        raise UsageError(
            f"The contrasts are given as {type(C).__name__}, and not as numbers.",
            expected=f"An array with a column for each of: {', '.join(map(str, fit.fixed_names))}.",
            next_step='Or name them: {"slope of cases": {"years": 1, "years:case": 1}}.',
        ) from None
    if rows.ndim != 2 or rows.shape[1] != len(fit.fixed_names) or not np.isfinite(rows).all():
        raise UsageError(
            f"The contrasts have the shape {np.shape(C)}, or hold a missing or infinite weight.",
            expected=f"{len(fit.fixed_names)} finite columns: {', '.join(map(str, fit.fixed_names))}.",
        )
    return rows


def contrast_freedom(information: VarianceInformation, fixed_covariance: Floats, C: Floats) -> Floats:
    """Give the degrees of freedom of contrasts (k, p) from a :class:`VarianceInformation`: (k,)."""
    variance = np.einsum("kp,pr,kr->k", C, fixed_covariance, C)
    slope = np.einsum("kp,tpr,kr->kt", C, information.sensitivity, C, optimize=True)
    spread = np.einsum("kt,tu,ku->k", slope, information.covariance, slope)
    found: Floats = np.divide(2 * variance**2, spread, out=np.full(len(C), np.nan), where=spread > 0)
    return found


def variance_information(fit: Fit) -> VarianceInformation:
    """Differentiate the deviance and the covariance of the fixed effects at the estimates of ``fit``."""
    require_model_covariance(fit)
    axes = find_axes(fit)
    L = axes.directions * axes.roots
    found = profile(fit.sums, L, reml=fit.reml)
    C, variance = found.covariance_over_variance, found.residual_variance
    moments = _moments(fit.sums, L, found.coefficients, C, fit.reml)
    pairs = pairs_of(axes, diagonal=fit.basis.formula.diagonal)
    E = turned(axes, pairs)
    inside = _curvature(moments, E, C, variance, fit.reml) + _bending(moments, axes, pairs, variance)
    across = np.einsum("xab,ab->x", E, moments.cc)[:, None] / variance
    freedom = moments.visits - (len(fit.fixed_names) if fit.reml else 0)
    inverse, flat = _inverse(np.block([[inside, across], [across.T, np.array([[freedom]])]]))
    slopes = np.concatenate([C @ np.einsum("xab,apbs->xps", E, moments.BB) @ C, C[None]])
    back = fit.scaling.to_fixed
    return VarianceInformation(2 * inverse, variance * back @ slopes @ back.T, axes.nulls, _method(axes.nulls, flat))


def _method(nulls: int, flat: int) -> str:
    words = {1: "one direction", 2: "two directions", 3: "three directions"}
    taken = f", {words.get(nulls, f'{nulls} directions')} without variance taken out" if nulls else ""
    return f"Satterthwaite{taken}{', likelihood flat' if flat else ''}"


@dataclass(frozen=True, eq=False)
class Axes:
    """The axes of D: orthonormal columns (q, q), and the root of the variance along each (q,), the ``nulls`` last."""

    directions: Floats
    roots: Floats
    nulls: int


def find_axes(fit: Fit) -> Axes:
    """Set to zero, smallest first, the variances along the axes of D that cost no log-likelihood."""
    L = fit.relative_factor
    diagonal = fit.basis.formula.diagonal
    values, vectors = (np.diagonal(L) ** 2, np.eye(len(L))) if diagonal else np.linalg.eigh(L @ L.T)
    order = np.argsort(-values, kind="stable")
    roots, directions = np.sqrt(np.maximum(values[order], 0.0)), vectors[:, order]
    here = profile(fit.sums, L, reml=fit.reml).log_likelihood
    nulls = 0
    for k in reversed(range(len(roots))):
        fewer = np.where(np.arange(len(roots)) < k, roots, 0.0)
        if here - profile(fit.sums, directions * fewer, reml=fit.reml).log_likelihood >= INDISTINGUISHABLE:
            break
        roots, nulls = fewer, nulls + 1
    return Axes(directions, roots, nulls)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over participants of products of A = Z'V^-1Z (q, q), B = Z'V^-1X (q, p), c = Z'V^-1r (q,), V over s2.

    ``AA``, ``AR``, ``AS`` (q, q, q, q): A with itself, with R = B C B' and with c c'; ``BB`` (q, p, q, p);
    ``Bc`` (q, p, q); ``A``, ``R`` and ``cc`` (q, q).
    """

    visits: float
    AA: Floats
    AR: Floats
    AS: Floats
    BB: Floats
    Bc: Floats
    A: Floats
    R: Floats
    cc: Floats


def _moments(sums: ParticipantSums, L: Floats, coefficients: Floats, C: Floats, reml: bool) -> _Moments:
    n, q, p = sums.ZX.shape
    weights = sums.multiplicity
    M = np.eye(q) + L.T @ sums.ZZ @ L
    passed = np.eye(q) - sums.ZZ @ L @ np.linalg.solve(M, np.broadcast_to(L.T, (n, q, q)))
    A, B = passed @ sums.ZZ, passed @ sums.ZX
    c = (passed @ (sums.Zy - sums.ZX @ coefficients)[:, :, None])[:, :, 0]
    R = B @ C @ B.transpose(0, 2, 1) if reml else np.zeros_like(A)
    S = c[:, :, None] * c[:, None, :]
    weighted, flat = (A * weights[:, None, None]).reshape(n, q * q), B.reshape(n, q * p)
    return _Moments(
        visits=float(weights @ sums.visits),
        AA=(weighted.T @ A.reshape(n, q * q)).reshape(q, q, q, q),
        AR=(weighted.T @ R.reshape(n, q * q)).reshape(q, q, q, q),
        AS=(weighted.T @ S.reshape(n, q * q)).reshape(q, q, q, q),
        BB=((flat * weights[:, None]).T @ flat).reshape(q, p, q, p),
        Bc=((flat * weights[:, None]).T @ c).reshape(q, p, q),
        A=weighted.sum(axis=0).reshape(q, q),
        R=np.tensordot(weights, R, axes=1),
        cc=np.tensordot(weights, S, axes=1),
    )


def pairs_of(axes: Axes, *, diagonal: bool) -> list[tuple[int, int]]:
    """Name the t elements of D, on its axes, that are free: D keeps its rank, but its range may turn."""
    q = len(axes.roots)
    return [(j, k) for j in range(q - axes.nulls) for k in range(j, j + 1 if diagonal else q)]


def turned(axes: Axes, pairs: list[tuple[int, int]]) -> Floats:
    """Give the symmetric matrices, (t, q, q), along which D may move."""
    U = axes.directions
    E = [0.5 * (np.outer(U[:, j], U[:, k]) + np.outer(U[:, k], U[:, j])) for j, k in pairs]
    return np.array(E).reshape(len(pairs), len(U), len(U))


def _curvature(moments: _Moments, E: Floats, C: Floats, variance: float, reml: bool) -> Floats:
    """Give the second derivatives of the deviance, profiled over the fixed effects, along the directions ``E``."""
    T = -moments.AA + 2 * reml * moments.AR + 2 / variance * moments.AS
    H = np.einsum("xab,bcda,ycd->xy", E, T, E, optimize=True)
    along = np.einsum("xab,apb->xp", E, moments.Bc)
    H -= 2 / variance * along @ C @ along.T
    if reml:
        J = C @ np.einsum("xab,apbs->xps", E, moments.BB)
        H -= np.einsum("xps,ysp->xy", J, J)
    symmetric: Floats = 0.5 * (H + H.T)
    return symmetric


def _bending(moments: _Moments, axes: Axes, pairs: list[tuple[int, int]], variance: float) -> Floats:
    """Give the second derivatives that come from D's bending into the null directions as its range turns.

    There the deviance still slopes upwards, so that D = F F' of fixed rank is curved even where it is linear in D.
    """
    slope = axes.directions.T @ (moments.A - moments.R - moments.cc / variance) @ axes.directions
    first = len(axes.roots) - axes.nulls
    H = np.zeros((len(pairs), len(pairs)))
    for x, (j, k) in enumerate(pairs):
        for y, (i, m) in enumerate(pairs):
            if i == j and min(k, m) >= first:
                H[x, y] = 0.5 * slope[k, m] / axes.roots[j] ** 2
    return H


def _inverse(H: Floats) -> tuple[Floats, bool]:
    """Invert a curvature, leaving out directions in which it is flat; tell whether there were any."""
    size = np.sqrt(np.where(np.diagonal(H) > 0, np.diagonal(H), 1.0))
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    sound = values > FLAT
    vectors = vectors[:, sound] / size[:, None]
    inverse: Floats = (vectors / values[sound]) @ vectors.T
    return inverse, not bool(sound.all())
