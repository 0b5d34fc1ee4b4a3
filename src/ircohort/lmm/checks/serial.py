"""Serial correlation of a person's readings beyond what the random effects explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LONGEST_LAG = 60
"""Visits. Pairs further apart are not compared: a person with thousands of visits would have millions of them."""

SEMIVARIOGRAM_BINS = 10

_UNKNOWABLE = 1e-9


@dataclass(frozen=True, eq=False)
class Visits:
    """N rows of n people in the scaled basis of a fit, sorted by person and time.

    ``person`` (N,), 0 to n - 1 and without gaps; ``time`` (N,) or None; ``Z`` (N, q); ``carried`` (N, p), x - X'Z T z;
    ``spread`` (n, q, q), T.
    """

    person: Counts
    time: Floats | None
    Z: Floats
    carried: Floats
    spread: Floats

    @property
    def starts(self) -> Counts:
        """The first row of each person."""
        return np.flatnonzero(np.diff(self.person, prepend=-1))


@dataclass(frozen=True)
class SerialTest:
    """Score test for first-order serial correlation.

    ``pairs`` of successive visits; ``statistic`` is chi-squared with one degree of freedom under no correlation;
    ``correlation`` is a one-step estimate, near the truth when that is small. All but ``pairs`` are None where the
    random effects leave nothing to tell it by.
    """

    pairs: int
    statistic: float | None
    correlation: float | None


def whiten(visits: Visits, L: Floats, residual: Floats) -> Floats:
    """Turn marginal residuals y - X b over the residual SD (N,) into independent ones of variance one.

    Each is what a visit differs from what the same person's earlier visits foretell, over the SD of that difference:
    C^-1 (y - X b) with C C' the covariance of the person's readings, computed visit by visit.

    Source
    ------
    Fitzmaurice, Laird and Ware 2011, Applied Longitudinal Analysis, 2nd edition, chapter 10.
    """
    starts = visits.starts
    counts = np.diff(np.append(starts, len(residual)))
    mean = np.zeros((len(starts), len(L)))
    covariance = np.broadcast_to(L @ L.T, (len(starts), *L.shape)).copy()
    white = np.empty_like(residual)
    for visit in range(int(counts.max(initial=0))):
        who = np.flatnonzero(counts > visit)
        rows = starts[who] + visit
        z = visits.Z[rows]
        gain = (covariance[who] @ z[:, :, None])[:, :, 0]
        variance = 1.0 + np.einsum("ij,ij->i", z, gain)
        surprise = residual[rows] - np.einsum("ij,ij->i", z, mean[who])
        white[rows] = surprise / np.sqrt(variance)
        mean[who] += gain * (surprise / variance)[:, None]
        covariance[who] -= gain[:, :, None] * (gain / variance[:, None])[:, None, :]
    return white


def correlation_by_lag(visits: Visits, white: Floats) -> pl.DataFrame:
    """Correlate whitened residuals of one person so many visits apart, over all people.

    Columns: ``lag`` (visits), ``pairs``, ``participants``, ``time_apart`` (mean; null without a time),
    ``correlation``.
    """
    total = float(np.mean(white**2)) if len(white) else 0.0
    rows = []
    for lag, first, second in _pairs(visits):
        products = white[first] * white[second]
        apart = None if visits.time is None else float(np.mean(visits.time[second] - visits.time[first]))
        rows.append((lag, len(first), len(np.unique(visits.person[first])), apart, float(products.mean()) / total))
    schema = {"lag": pl.Int64, "pairs": pl.Int64, "participants": pl.Int64}
    return pl.DataFrame(rows, schema={**schema, "time_apart": pl.Float64, "correlation": pl.Float64}, orient="row")


def semivariogram(visits: Visits, white: Floats) -> pl.DataFrame:
    """Average half the squared difference of two whitened residuals of a person, by the time between them.

    Columns: ``apart_from``, ``apart_to`` (unit of the time), ``pairs``, ``semivariance`` (about one throughout if
    nothing is left to explain; small at small distances under serial correlation). No rows without a time.

    Source
    ------
    Diggle 1988, Biometrics 44:959.
    """
    schema = {"apart_from": pl.Float64, "apart_to": pl.Float64, "pairs": pl.Int64, "semivariance": pl.Float64}
    time = visits.time
    if time is None:
        return pl.DataFrame(schema=schema)
    longest = max((float((time[second] - time[first]).max()) for _, first, second in _pairs(visits)), default=0.0)
    if longest <= 0:
        return pl.DataFrame(schema=schema)
    counts, squares = np.zeros(SEMIVARIOGRAM_BINS, dtype=np.int64), np.zeros(SEMIVARIOGRAM_BINS)
    for _, first, second in _pairs(visits):
        share = (time[second] - time[first]) / longest
        # Whole steps of a regular schedule fall on an edge, where rounding would send them to either side.
        into = np.clip(np.ceil(share * SEMIVARIOGRAM_BINS - 1e-9).astype(np.int64) - 1, 0, SEMIVARIOGRAM_BINS - 1)
        counts += np.bincount(into, minlength=SEMIVARIOGRAM_BINS)
        squares += np.bincount(into, 0.5 * (white[first] - white[second]) ** 2, minlength=SEMIVARIOGRAM_BINS)
    edges = np.linspace(0.0, longest, SEMIVARIOGRAM_BINS + 1)
    some = counts > 0
    values = (edges[:-1][some], edges[1:][some], counts[some], squares[some] / counts[some])
    return pl.DataFrame(dict(zip(schema, values, strict=True)), schema=schema)


def score_test(
    visits: Visits, L: Floats, residual: Floats, fixed: Floats, weights: Floats, *, diagonal: bool
) -> SerialTest:
    """Test whether the errors of successive visits of a person are correlated, the random effects being in the model.

    The score of the restricted likelihood for an AR(1) correlation by visit (whatever the time between them) at no
    correlation, over its information after that of the variance parameters is taken out. Variances estimated as
    zero are held there.

    Parameters
    ----------
    visits, L
        The rows and the relative factor (q, q).
    residual
        (N,) conditional residuals over the residual SD.
    fixed
        (p, p), the covariance of the fixed effects over the residual variance.
    weights
        (n,) how often each person counts.
    diagonal
        Whether the random effects have no correlations.

    Source
    ------
    Chi and Reinsel 1989, Journal of the American Statistical Association 84:452.
    """
    same = np.flatnonzero(visits.person[1:] == visits.person[:-1])
    after, person = same + 1, visits.person[same]
    n = len(visits.spread)
    Z, carried = visits.Z, visits.carried
    products = residual[same] * residual[after] + np.einsum("ij,ij->i", carried[same] @ fixed, carried[after])
    products += np.einsum("ij,ijk,ik->i", Z[same], visits.spread[person], Z[after])
    score = float(weights[person] @ products)
    T, ZZ = visits.spread, _outer_sums(Z, Z, visits.person, n)
    W = Z - np.einsum("ij,ijk->ik", Z, (T @ ZZ)[visits.person])
    B = _neighbour_sums(Z, same, visits.person, n)
    near = np.zeros_like(Z)
    np.add.at(near, same, Z[after])
    np.add.at(near, after, Z[same])
    TB = T @ B
    traces = 2.0 * np.bincount(person, minlength=n) - 2.0 * _traces(T, _outer_sums(near, near, visits.person, n))
    own = 0.5 * float(weights @ (traces + _traces(TB, TB)))
    shared = _Shared(
        cross=np.tensordot(weights, _neighbour_sums(W, same, visits.person, n), axes=1),
        with_residual=-0.5 * float(weights @ _traces(T, B)),
        visits=float(weights @ np.bincount(visits.person, minlength=n)),
        S=ZZ - ZZ @ T @ ZZ,
    )
    information = own - shared.taken(L, weights, diagonal=diagonal)
    if information <= _UNKNOWABLE * max(len(same), 1):
        return SerialTest(len(same), None, None)
    return SerialTest(len(same), score**2 / information, score / information)


@dataclass(frozen=True, eq=False)
class _Shared:
    """What the correlation shares with the variance parameters: ``cross`` (q, q), Z'V^-1 D V^-1 Z over all people."""

    cross: Floats
    with_residual: float
    visits: float
    S: Floats

    def taken(self, L: Floats, weights: Floats, *, diagonal: bool) -> float:
        """Give the information on the correlation that estimating G and s2 takes away."""
        q = len(L)
        unit = np.eye(q)
        pairs = [(j, c) for j in range(q) for c in range(q) if not diagonal or j == c]
        # The directions in which G = L L' can move from where it is; some of them are the same.
        E = np.array([np.outer(unit[j], L[:, c]) + np.outer(L[:, c], unit[j]) for j, c in pairs])
        flat = self.S.reshape(-1, q * q)
        SS = ((flat * weights[:, None]).T @ flat).reshape(q, q, q, q)
        total = np.tensordot(weights, self.S, axes=1)
        k = len(pairs)
        information = np.empty((k + 1, k + 1))
        information[:k, :k] = 0.5 * np.einsum("kab,bcda,lcd->kl", E, SS, E)
        information[:k, k] = information[k, :k] = 0.5 * np.einsum("kab,ab->k", E, total)
        information[k, k] = 0.5 * self.visits
        shared = np.append(0.5 * np.einsum("kab,ab->k", E, self.cross), self.with_residual)
        return float(shared @ np.linalg.pinv(information, rcond=1e-10, hermitian=True) @ shared)


def _pairs(visits: Visits) -> list[tuple[int, Counts, Counts]]:
    """List, for each lag, the rows of one person that are so many visits apart."""
    found = []
    for lag in range(1, LONGEST_LAG + 1):
        first = np.flatnonzero(visits.person[lag:] == visits.person[:-lag])
        if not len(first):
            break
        found.append((lag, first, first + lag))
    return found


def _outer_sums(left: Floats, right: Floats, person: Counts, n: int) -> Floats:
    """Sum left' right over the rows of each person, (n, q, q)."""
    q = left.shape[1]
    sums = np.empty((n, q, q))
    for j in range(q):
        for k in range(q):
            sums[:, j, k] = np.bincount(person, left[:, j] * right[:, k], minlength=n)
    return sums


def _neighbour_sums(Z: Floats, same: Counts, person: Counts, n: int) -> Floats:
    """Give Z'D Z of each person, (n, q, q), where D is one for successive visits and else zero."""
    half = _outer_sums(Z[same], Z[same + 1], person[same], n)
    return half + half.transpose(0, 2, 1)


def _traces(A: Floats, B: Floats) -> Floats:
    traces: Floats = np.einsum("ijk,ikj->i", A, B)
    return traces
