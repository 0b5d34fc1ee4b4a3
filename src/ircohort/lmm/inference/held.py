"""The deviance with one standard deviation or correlation held, everything else at its best.

The covariance of the random effects is written as G = Gamma Gamma', Gamma lower triangular, in a basis whose first
effects are those of the parameter: a standard deviation is then the corner of Gamma, and a correlation the sine of an
angle in its second row. So one coordinate is held and the others are free, and no constraint is left to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ircohort.lmm.likelihood import profile_with_slope
from ircohort.lmm.search import lower_factor
from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]

_SHIFT, _FLAT = 1e-4, 1e-8
_NUDGE, _NEAR_ZERO = 0.1, 1e-2
_RESTARTS, _SETTLED = 4, 1e-7


@dataclass(frozen=True, eq=False)
class Chart:
    """Coordinates of the variance parameters, of which one, ``held``, is the parameter of interest.

    They are the elements ``rows``, ``columns`` of Gamma, in the basis of the random effects of which ``back`` (q, q)
    is the inverse, and last the logarithm of the residual standard deviation. With ``turned``, the first two elements
    of the second row are given by the arc sine of the correlation and by their length, which is not negative, as is
    the first element. ``start`` is the optimum and ``units`` the sizes to expect, or, once known, half-widths of the
    valley there.
    """

    sums: ParticipantSums
    back: Floats
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    turned: bool
    held: int
    start: Floats
    units: Floats


@dataclass(frozen=True, eq=False)
class Descent:
    """Where a descent came to: coordinates, deviance, and the slope by the coordinate held."""

    point: Floats
    deviance: float
    slope: float


def chart_sd(
    sums: ParticipantSums, to_natural: Floats, G: Floats, log_s: float, effect: int, *, diagonal: bool
) -> Chart:
    """Make the coordinates in which the standard deviation of one effect is held.

    ``to_natural`` (q, q) takes the random effects from the basis of the sums to their own; ``G`` (q, q) is their
    covariance at the optimum, in the basis of the sums.
    """
    if diagonal:
        return _chart(sums, to_natural, G, log_s, effect, diagonal=True)
    return _chart(sums, _basis(to_natural[[effect]]), G, log_s, 0)


def chart_correlation(
    sums: ParticipantSums, to_natural: Floats, G: Floats, log_s: float, effects: tuple[int, int]
) -> Chart:
    """Make the coordinates in which the arc sine of the correlation of two effects is held."""
    plain = _chart(sums, _basis(to_natural[list(effects)]), G, log_s, 1)
    start, units = plain.start.copy(), plain.units.copy()
    start[1:3] = np.arctan2(start[1], start[2]), np.hypot(start[1], start[2])
    units[1] = 1.0
    return Chart(sums, plain.back, plain.rows, plain.columns, True, 1, start, units)


def chart_residual(sums: ParticipantSums, G: Floats, log_s: float, *, diagonal: bool) -> Chart:
    """Make the coordinates in which the logarithm of the residual standard deviation is held."""
    return _chart(sums, np.eye(len(G)), G, log_s, -1, diagonal=diagonal)


def _basis(chosen: Floats) -> Floats:
    """Give a basis (q, q), in rows: those given first, as they are, then what is orthogonal to them."""
    Q, _ = np.linalg.qr(chosen.T, mode="complete")
    return np.vstack([chosen, Q[:, len(chosen) :].T])


def _chart(
    sums: ParticipantSums, basis: Floats, G: Floats, log_s: float, held: int, *, diagonal: bool = False
) -> Chart:
    rows, columns = np.diag_indices(len(G)) if diagonal else np.tril_indices(len(G))
    start = np.append(lower_factor(basis @ G @ basis.T)[rows, columns], log_s)
    units = np.append(np.exp(log_s) * np.linalg.norm(basis, axis=1)[rows], 1.0)
    back: Floats = np.asarray(np.linalg.inv(basis), dtype=float)
    return Chart(sums, back, np.asarray(rows), np.asarray(columns), False, held % len(start), start, units)


def evaluate(chart: Chart, at: Floats) -> tuple[float, Floats]:
    """Give -2 log-likelihood, maximised over the fixed effects, and its slope by the coordinates ``at``."""
    Gamma, log_s = np.zeros_like(chart.back), float(at[-1])
    Gamma[chart.rows, chart.columns] = at[:-1]
    sine, cosine, length = np.sin(at[1]), np.cos(at[1]), float(at[2]) if chart.turned else 0.0
    if chart.turned:
        Gamma[1, :2] = length * sine, length * cosine
    L = chart.back @ Gamma * np.exp(-log_s)
    found = profile_with_slope(chart.sums, L, reml=False)
    # The core has the residual variance at its best; here it is a coordinate, and counts by the ratio of the two.
    N, best = chart.sums.observations, found.profile.residual_variance
    ratio = best * np.exp(-2.0 * log_s)
    deviance = -2.0 * found.profile.log_likelihood + N * (ratio - 1.0 - np.log(ratio))
    by_L = 2.0 * (found.Q - ratio * (2.0 * found.by_product + found.Q)) @ L
    by_log_s = 2.0 * N * (1.0 - ratio) - float((by_L * L).sum())
    by_Gamma = chart.back.T @ by_L * np.exp(-log_s)
    slope = np.append(by_Gamma[chart.rows, chart.columns], by_log_s)
    if chart.turned:
        down, across = by_Gamma[1, 0], by_Gamma[1, 1]
        slope[1:3] = length * (down * cosine - across * sine), down * sine + across * cosine
    return float(deviance), slope


def descend(chart: Chart, start: Floats) -> Descent:
    """Go down from ``start`` to the lowest deviance, with the coordinate held as it is there."""
    free = np.flatnonzero(np.arange(len(start)) != chart.held)
    point = _nudged(chart, start)
    units = chart.units[free]

    def loss(moved: Floats) -> tuple[float, Floats]:
        at = point.copy()
        at[free] = moved * units
        deviance, slope = evaluate(chart, at)
        return deviance, slope[free] * units

    bounds = [(0.0 if chart.turned and k in (0, 2) else None, None) for k in free]
    moved, before = point[free] / units, np.inf
    for _ in range(_RESTARTS):
        found = minimize(loss, moved, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-6})
        moved = found.x
        if before - float(found.fun) < _SETTLED:
            break
        before = float(found.fun)
    point[free] = moved * units
    deviance, slope = evaluate(chart, point)
    return Descent(point, deviance, float(slope[chart.held]))


def _nudged(chart: Chart, start: Floats) -> Floats:
    """Move diagonal elements away from zero: there, the slope vanishes whether or not the deviance is lowest."""
    point = start.copy()
    for k in np.flatnonzero(chart.rows == chart.columns):
        size = float(np.exp(point[-1])) * float(np.linalg.norm(np.linalg.inv(chart.back)[chart.rows[k]]))
        if k != chart.held and abs(point[k]) < _NEAR_ZERO * size:
            point[k] = _NUDGE * size
    return point


def valley(chart: Chart) -> tuple[Floats, Floats, float]:
    """Look at the curvature at the optimum.

    Returns
    -------
    tuple
        Units for the search, (k,); how the coordinates move with the one held, (k,); the standard error of that.
    """
    shifts = np.diag(_SHIFT * chart.units)
    slopes = [evaluate(chart, chart.start + shift)[1] - evaluate(chart, chart.start - shift)[1] for shift in shifts]
    H = np.array(slopes) * chart.units / (2 * _SHIFT)
    H = 0.5 * (H + H.T)
    # Where the deviance is flat, as at a variance of zero, the coordinate keeps its first unit.
    units = chart.units / np.sqrt(np.clip(np.diagonal(H) / 2.0, 1.0, None))
    k, tangent = chart.held, np.zeros(len(H))
    if np.linalg.eigvalsh(H)[0] <= _FLAT * np.abs(H).max():
        return units, tangent, float(units[k])
    free = np.flatnonzero(np.arange(len(H)) != k)
    tangent[free] = -np.linalg.solve(H[np.ix_(free, free)], H[free, k])
    tangent[k] = 1.0
    left = float(H[k] @ tangent)
    return units, tangent * chart.units / chart.units[k], float(chart.units[k] * np.sqrt(2.0 / left))
