"""Conditional expectations of what was not seen: random effects, and readings known by bounds only.

With u = A v, v ~ N(0, I) and A A' = G, exact readings leave v normal, N(m, C). One censored visit adds a truncated
normal, known in closed form. With several, the visits are independent given v, and what is left is an integral over
v, taken by the fixed nodes of :mod:`ircohort.lmm.censored.quadrature`. The slope of the log-likelihood is that of the
complete data, averaged over what was not seen (Fisher's identity); over fixed nodes it is exact for the sum as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.censored.truncated import truncated_moments
from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOG_2PI = float(np.log(2 * np.pi))
_CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class Parameters:
    """Fixed effects ``b`` (p,), factor ``A`` (q, q) of the random covariance A A', residual SD ``s``."""

    b: Floats
    A: Floats
    s: float


@dataclass(frozen=True, eq=False)
class Rows:
    """Censored visits, sorted by participant: ``X`` (R, p), ``Z`` (R, q), bounds (R,), ``person`` (R,) of n."""

    X: Floats
    Z: Floats
    low: Floats
    high: Floats
    person: Ints

    def take(self, rows: Ints | NDArray[np.bool_]) -> Rows:
        """Keep some of the visits."""
        return Rows(self.X[rows], self.Z[rows], self.low[rows], self.high[rows], self.person[rows])


@dataclass(frozen=True, eq=False)
class Cohort:
    """Sums of the ``exact`` visits of n participants, the products of ``every`` visit, and the ``censored`` ones."""

    exact: ParticipantSums
    every: ParticipantSums
    censored: Rows


@dataclass(frozen=True, eq=False)
class Nodes:
    """Where the integrals over v are evaluated: ``people`` (m,) have K nodes ``v`` (q, m, K), ``log_weight`` (m, K)."""

    people: Ints
    v: Floats
    log_weight: Floats


@dataclass(frozen=True, eq=False)
class Expected:
    """``log_likelihood`` (n,) and expectations given exact readings and bounds.

    ``v`` (n, q) and ``vv`` (n, q, q) of the standardised random effects; for each censored visit ``y`` (R,), its
    square ``yy`` (R,), and its products with the random effects ``yv`` (R, q).
    """

    log_likelihood: Floats
    v: Floats
    vv: Floats
    y: Floats
    yy: Floats
    yv: Floats


@dataclass(frozen=True, eq=False)
class GivenExact:
    """v given the exact readings: mean ``m`` (n, q), covariance ``C`` (n, q, q), ``log_likelihood`` (n,) of these."""

    m: Floats
    C: Floats
    log_likelihood: Floats


def given_exact(sums: ParticipantSums, at: Parameters) -> GivenExact:
    """Condition the random effects on the exact readings; without any they stay N(0, I)."""
    variance = at.s**2
    M = np.eye(len(at.A)) + at.A.T @ sums.ZZ @ at.A / variance
    C: Floats = np.asarray(np.linalg.inv(M), dtype=np.float64)
    score = (sums.Zy - sums.ZX @ at.b) @ at.A / variance
    m = (C @ score[:, :, None])[:, :, 0]
    squares = sums.yy - 2 * sums.Xy @ at.b + (sums.XX @ at.b) @ at.b
    log_determinant = np.linalg.slogdet(M)[1]
    height = (
        sums.visits * (_LOG_2PI + np.log(variance)) + log_determinant + squares / variance - (score * m).sum(axis=1)
    )
    return GivenExact(m, C, -0.5 * height)


def expect(cohort: Cohort, at: Parameters, nodes: Nodes) -> Expected:
    """Take all expectations at the parameters ``at``.

    Source
    ------
    Vaida and Liu 2009, J Comput Graph Stat 18:797, doi:10.1198/jcgs.2009.07130.
    """
    given = given_exact(cohort.exact, at)
    R, q = len(cohort.censored.low), len(at.A)
    found = Expected(
        log_likelihood=given.log_likelihood.copy(),
        v=given.m.copy(),
        vv=given.C + given.m[:, :, None] * given.m[:, None, :],
        y=np.empty(R),
        yy=np.empty(R),
        yv=np.empty((R, q)),
    )
    several = np.isin(cohort.censored.person, nodes.people)
    _expect_single(found, cohort.censored, np.flatnonzero(~several), given, at)
    rows = np.flatnonzero(several)
    per_chunk = max(1, int(_CHUNK * len(nodes.people) / max(1, len(rows) * nodes.log_weight.shape[1])))
    for begin in range(0, len(nodes.people), per_chunk):
        part = slice(begin, begin + per_chunk)
        people = nodes.people[part]
        here = rows[np.searchsorted(cohort.censored.person[rows], people[0]) :]
        here = here[: np.searchsorted(cohort.censored.person[here], people[-1], side="right")]
        piece = Nodes(people, nodes.v[:, part], nodes.log_weight[part])
        _expect_several(found, cohort.censored, here, piece, given, at)
    return found


def _expect_single(found: Expected, censored: Rows, rows: Ints, given: GivenExact, at: Parameters) -> None:
    """Fill in the people with one censored visit: a truncated normal, and v follows it linearly."""
    visits = censored.take(rows)
    m, C = given.m[visits.person], given.C[visits.person]
    z = visits.Z @ at.A
    Cz = (C @ z[:, :, None])[:, :, 0]
    middle = visits.X @ at.b + (z * m).sum(axis=1)
    spread = np.sqrt(at.s**2 + (z * Cz).sum(axis=1))
    inside = truncated_moments((visits.low - middle) / spread, (visits.high - middle) / spread)
    shift = spread * inside.mean
    along = Cz / spread[:, None]
    found.log_likelihood[visits.person] += inside.log_probability
    v = m + along * inside.mean[:, None]
    found.v[visits.person] = v
    freed = (inside.square - inside.mean**2 - 1.0)[:, None, None]
    found.vv[visits.person] = C + freed * along[:, :, None] * along[:, None, :] + v[:, :, None] * v[:, None, :]
    found.y[rows] = middle + shift
    found.yy[rows] = middle**2 + 2 * middle * shift + spread**2 * inside.square
    found.yv[rows] = (middle + shift)[:, None] * m + along * (middle * inside.mean + spread * inside.square)[:, None]


def _expect_several(
    found: Expected, censored: Rows, rows: Ints, nodes: Nodes, given: GivenExact, at: Parameters
) -> None:
    """Fill in the people with several censored visits: sums over the nodes."""
    visits = censored.take(rows)
    local = np.searchsorted(nodes.people, visits.person)
    starts = np.searchsorted(local, np.arange(len(nodes.people)))
    z = visits.Z @ at.A
    middle = np.repeat((visits.X @ at.b)[:, None], nodes.log_weight.shape[1], axis=1)
    for k, v in enumerate(nodes.v):
        middle += z[:, [k]] * v[local]
    inside = truncated_moments((visits.low[:, None] - middle) / at.s, (visits.high[:, None] - middle) / at.s)
    log_density = nodes.log_weight + _log_prior(nodes, given)
    log_density += np.add.reduceat(inside.log_probability, starts, axis=0)
    highest = log_density.max(axis=1, keepdims=True)
    share = np.exp(log_density - highest)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    found.log_likelihood[nodes.people] += (highest + np.log(total))[:, 0]
    weighted = nodes.v * share
    found.v[nodes.people] = weighted.sum(axis=2).T
    found.vv[nodes.people] = np.einsum("amk,bmk->mab", weighted, nodes.v)
    mean = middle + at.s * inside.mean
    share_of_row = share[local]
    found.y[rows] = (share_of_row * mean).sum(axis=1)
    found.yy[rows] = (share_of_row * (middle**2 + 2 * at.s * middle * inside.mean + at.s**2 * inside.square)).sum(
        axis=1
    )
    for k, part in enumerate(weighted):
        found.yv[rows, k] = (part[local] * mean).sum(axis=1)


def _log_prior(nodes: Nodes, given: GivenExact) -> Floats:
    """Give log N(v; m, C) at the nodes, (m, K)."""
    C = given.C[nodes.people]
    root = np.linalg.inv(np.linalg.cholesky(C))
    away = nodes.v.transpose(1, 0, 2) - given.m[nodes.people][:, :, None]
    squares = ((root @ away) ** 2).sum(axis=1)
    log_root = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    prior: Floats = log_root[:, None] - 0.5 * squares - 0.5 * len(nodes.v) * _LOG_2PI
    return prior


def replaced_sums(cohort: Cohort, found: Expected) -> ParticipantSums:
    """Give the sums of all visits, those that need a censored reading by their expectations: E[Z'y], E[X'y], E[y'y]."""
    rows, cross = cohort.censored, cohort.every.cross.copy()
    with_y = cohort.exact.cross[:, :, -1].copy()
    columns = np.column_stack([rows.Z * found.y[:, None], rows.X * found.y[:, None], found.yy])
    np.add.at(with_y, rows.person, columns)
    cross[:, :, -1] = cross[:, -1, :] = with_y
    return ParticipantSums(cohort.every.visits, cross, cohort.every.q)


def score(cohort: Cohort, at: Parameters, found: Expected) -> Parameters:
    """Give the slope of the observed-data log-likelihood by ``b``, ``A`` and log ``s``.

    Source
    ------
    Fisher's identity: Louis 1982, J R Stat Soc B 44:226, doi:10.1111/j.2517-6161.1982.tb01203.x.
    """
    every, rows, variance = cohort.every, cohort.censored, at.s**2
    Xy = cohort.exact.Xy.sum(axis=0) + rows.X.T @ found.y
    yy = float(cohort.exact.yy.sum() + found.yy.sum())
    Zyv = np.einsum("na,nb->ab", cohort.exact.Zy, found.v) + rows.Z.T @ found.yv
    XX = every.XX.sum(axis=0) @ at.b
    XZu = np.einsum("nap,na->p", every.ZX, found.v @ at.A.T)
    ZXv = np.einsum("na,nb->ab", every.ZX @ at.b, found.v)
    ZZv = np.einsum("nab,nbc->ac", every.ZZ, at.A @ found.vv)
    # The residual Z'(y - X b - Z u) times v' holds all that depends on A.
    squares = yy - 2 * at.b @ Xy + at.b @ XX - 2 * float((at.A * Zyv).sum()) + 2 * float(at.b @ XZu)
    squares += float((at.A * ZZv).sum())
    by_log_s = squares / variance - float(every.visits.sum())
    return Parameters((Xy - XX - XZu) / variance, (Zyv - ZXv - ZZv) / variance, by_log_s)
