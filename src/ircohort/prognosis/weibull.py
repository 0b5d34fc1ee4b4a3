"""Proportional hazards with a Weibull baseline, for events that are only known to lie between two visits.

Cumulative hazard H(t | x) = exp(a + x b) t^k. A person with the event in (low, high] adds
log(exp(-H(low)) - exp(-H(high))) to the log-likelihood. Gradient and Hessian are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri

Floats = NDArray[np.float64]

_STEPS = 60
_SETTLED = 1e-12
"""A Newton step that promises less than this much log-likelihood ends the search."""
_FARTHEST = 12.0
"""A coefficient per SD, or the log of the shape, beyond this is on its way to infinity: one group has no event, or
all events fall before the first visit."""
_LARGEST_LOG_HAZARD = 500.0


@dataclass(frozen=True)
class Weibull:
    """A fit. ``coefficients`` (p,) log hazard ratios per unit; ``log_shape`` is log k, ``intercept`` a.

    ``converged`` is false where the search stopped elsewhere than at a maximum, as under separation.
    """

    coefficients: Floats
    intercept: float
    log_shape: float
    log_likelihood: float
    converged: bool
    steps: int


@dataclass(frozen=True)
class _Data:
    """Logs of the bounds (0 where there is none, with a mask), covariates in SDs, weights."""

    low: Floats
    high: Floats
    has_low: NDArray[np.bool_]
    has_high: NDArray[np.bool_]
    Z: Floats
    w: Floats


def fit_weibull(
    low: Floats, high: Floats, X: Floats, weights: Floats | None = None, start: Weibull | None = None
) -> Weibull:
    """Fit by maximum likelihood with Newton's method.

    Parameters
    ----------
    low, high
        (n,) years, 0 <= low < high; ``high`` is inf where the event was not seen.
    X
        (n, p) covariates; p may be 0.
    weights
        (n,) weights of the people, 1 each where None.
    start
        A fit with the same columns, to begin from.

    Examples
    --------
    >>> low, high = np.array([0.0, 1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0, np.inf])
    >>> found = fit_weibull(low, high, np.empty((4, 0)))
    >>> found.converged, found.log_shape > 0
    (True, True)
    """
    w = np.ones(len(low)) if weights is None else weights
    centre, scale = X.mean(axis=0), np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    data = _data(low, high, (X - centre) / scale, w)
    theta = _start(data) if start is None else _standardised(start, centre, scale)
    theta, height, converged, steps = _newton(theta, data)
    beta = theta[1:-1] / scale
    return Weibull(beta, float(theta[0] - centre @ beta), float(theta[-1]), height, converged, steps)


def _data(low: Floats, high: Floats, Z: Floats, w: Floats) -> _Data:
    has_low, has_high = low > 0, np.isfinite(high)
    log_low = np.log(np.where(has_low, low, 1.0))
    log_high = np.log(np.where(has_high, high, 1.0))
    return _Data(log_low, log_high, has_low, has_high, Z, w)


def _start(data: _Data) -> Floats:
    """No effects, shape 1, and the rate of events over the time in which they were looked for."""
    events = float(data.w @ data.has_high)
    ends = np.where(data.has_high, np.exp(data.high), np.where(data.has_low, np.exp(data.low), 0.0))
    theta = np.zeros(data.Z.shape[1] + 2)
    theta[0] = np.log(max(events, 0.5) / max(float(data.w @ ends), 1e-9))
    return theta


def _standardised(fit: Weibull, centre: Floats, scale: Floats) -> Floats:
    return np.concatenate([[fit.intercept + centre @ fit.coefficients], fit.coefficients * scale, [fit.log_shape]])


def _hazards(theta: Floats, data: _Data) -> tuple[Floats, Floats, Floats, Floats]:
    """Cumulative hazards at both ends, and the log-times times the shape that they move by."""
    k = np.exp(np.clip(theta[-1], -50, 50))
    base = theta[0] + data.Z @ theta[1:-1]
    t_low, t_high = k * data.low, k * data.high
    H_low = np.where(data.has_low, np.exp(np.minimum(base + t_low, _LARGEST_LOG_HAZARD)), 0.0)
    H_high = np.where(data.has_high, np.exp(np.minimum(base + t_high, _LARGEST_LOG_HAZARD)), np.inf)
    return H_low, H_high, t_low, t_high


def _height(theta: Floats, data: _Data) -> float:
    """Log-likelihood; -inf where it underflows."""
    H_low, H_high, _, _ = _hazards(theta, data)
    with np.errstate(divide="ignore"):
        event = np.where(data.has_high, np.log(-np.expm1(-np.where(data.has_high, H_high - H_low, 1.0))), 0.0)
    total = float(data.w @ (event - H_low))
    return total if np.isfinite(total) else -np.inf


def _slopes(theta: Floats, data: _Data) -> tuple[Floats, Floats]:
    """Gradient and Hessian by (a, b, log k)."""
    H_low, H_high, t_low, t_high = _hazards(theta, data)
    there = data.has_high
    width = np.where(there, np.maximum(H_high - H_low, 1e-300), 1.0)
    # S(low) and S(high) over their difference.
    A = np.where(there, -1.0 / np.expm1(-width), 1.0)
    B = np.where(there, np.exp(-width) * A, 0.0)
    R = np.where(there, H_high, 0.0)
    g_low, g_high = -H_low * A, R * B
    # The squares of large hazards cancel; combined they do not.
    h_low, h_high = H_low * A * (H_low - 1.0) - g_low**2, -R * B * (R - 1.0) - g_high**2
    h_both = -g_low * g_high
    design = np.column_stack([np.ones(len(data.w)), data.Z])
    Z_low, Z_high = np.column_stack([design, t_low]), np.column_stack([design, t_high])
    gradient = Z_low.T @ (data.w * g_low) + Z_high.T @ (data.w * g_high)
    cross = Z_low.T @ ((data.w * h_both)[:, None] * Z_high)
    hessian = Z_low.T @ ((data.w * h_low)[:, None] * Z_low) + Z_high.T @ ((data.w * h_high)[:, None] * Z_high)
    hessian += cross + cross.T
    hessian[-1, -1] += data.w @ (g_low * t_low + g_high * t_high)
    return gradient, hessian


def _newton(theta: Floats, data: _Data, held: int | None = None) -> tuple[Floats, float, bool, int]:
    """Climb; the parameter number ``held`` stays where it is."""
    free = np.array([i for i in range(len(theta)) if i != held])
    theta, height = theta.copy(), _height(theta, data)
    for step in range(_STEPS):
        gradient, hessian = _slopes(theta, data)
        move = _uphill(gradient[free], hessian[np.ix_(free, free)])
        promise = float(gradient[free] @ move)
        if promise < _SETTLED:
            return theta, height, True, step
        moved, reached = _line_search(theta, move, free, data, height)
        if reached <= height or np.abs(moved[1:]).max() > _FARTHEST:
            # At rounding, no step climbs; farther out, there is no maximum.
            return moved, max(reached, height), reached <= height and promise < 1e-6, step
        theta, height = moved, reached
    return theta, height, False, _STEPS


def _uphill(gradient: Floats, hessian: Floats) -> Floats:
    """Newton's step, with curvature that points the wrong way turned round and none below a millionth."""
    values, vectors = np.linalg.eigh(-hessian)
    size = np.abs(values)
    size = np.maximum(size, max(1e-8 * size.max(), 1e-12))
    return np.asarray(vectors @ ((vectors.T @ gradient) / size))


def _line_search(
    theta: Floats, move: Floats, free: NDArray[np.intp], data: _Data, height: float
) -> tuple[Floats, float]:
    share = min(1.0, 3.0 / max(float(np.abs(move).max()), 1e-300))
    for _ in range(40):
        moved = theta.copy()
        moved[free] += share * move
        reached = _height(moved, data)
        if reached > height:
            return moved, reached
        share /= 2
    return theta, height


def profile_interval(
    fit: Weibull, low: Floats, high: Floats, X: Floats, term: int, level: float = 0.95
) -> tuple[float, float]:
    """Give the profile-likelihood interval of one coefficient; an end that the likelihood leaves open is infinite.

    Parameters
    ----------
    fit
        What :func:`fit_weibull` gave for the same data without weights.
    term
        The column of ``X``.

    Examples
    --------
    >>> low, high = np.array([0.0, 1, 2, 0, 1, 2]), np.array([1.0, 2, 3, 1, np.inf, np.inf])
    >>> X = np.array([[0.0], [0], [0], [1], [1], [1]])
    >>> bottom, top = profile_interval(fit_weibull(low, high, X), low, high, X, 0)
    >>> bool(bottom < 0 < top)
    True
    """
    centre, scale = X.mean(axis=0), np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    data = _data(low, high, (X - centre) / scale, np.ones(len(low)))
    theta = _standardised(fit, centre, scale)
    floor = fit.log_likelihood - float(chdtri(1, 1 - level)) / 2
    ends = [_profile_end(theta, data, term + 1, floor, side) / scale[term] for side in (-1.0, 1.0)]
    return ends[0], ends[1]


def _profile_end(theta: Floats, data: _Data, place: int, floor: float, side: float) -> float:
    """Walk outwards in growing steps until the profile falls below the floor, then find where it crosses."""

    def profile(value: float, start: Floats) -> tuple[Floats, float]:
        held = start.copy()
        held[place] = value
        found, height, _, _ = _newton(held, data, place)
        return found, height - floor

    def above(value: float, start: Floats) -> float:
        return profile(value, start)[1]

    inner, at_inner, step = float(np.clip(theta[place], -_FARTHEST, _FARTHEST)), theta, 0.25
    while abs(inner) <= _FARTHEST:
        outer = inner + side * step
        at_outer, height = profile(outer, at_inner)
        if height < 0:
            # All begin at the same place: what is found must not depend on where the search has been.
            found = above(inner, at_inner) > 0
            return float(brentq(above, inner, outer, args=(at_inner,), xtol=1e-7)) if found else inner
        inner, at_inner, step = outer, at_outer, 2 * step
    return side * float("inf")


def risk(fit: Weibull, X: Floats, years: float) -> Floats:
    """Probability of the event within ``years``, for each row of ``X`` (n, p)."""
    log_hazard = fit.intercept + X @ fit.coefficients + np.exp(fit.log_shape) * np.log(years)
    return np.asarray(-np.expm1(-np.exp(np.minimum(log_hazard, _LARGEST_LOG_HAZARD))))
