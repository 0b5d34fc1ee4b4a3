"""Probability and first two moments of a standard normal between two bounds, also far out in a tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Floats = NDArray[np.float64]

_LOG_ROOT_2PI = 0.5 * float(np.log(2 * np.pi))
_NARROW = 1e-5


@dataclass(frozen=True, eq=False)
class Truncated:
    """Log-probability of the interval, and mean and mean square of the standard normal within it."""

    log_probability: Floats
    mean: Floats
    square: Floats


def truncated_moments(low: Floats, high: Floats) -> Truncated:
    """Give log-probability, mean and mean square of a standard normal that lies in ``[low, high]``.

    Parameters
    ----------
    low, high
        Bounds of one shape, (R,) or (R, K), ``low < high``; each row is of one kind: bounded below,
        above (the other end infinite), or on both sides.

    Source
    ------
    Johnson, Kotz and Balakrishnan 1994, Continuous Univariate Distributions 1, section 13.10.1.

    Examples
    --------
    >>> found = truncated_moments(np.array([-np.inf]), np.array([0.0]))
    >>> bool(np.isclose(np.exp(found.log_probability[0]), 0.5)), bool(np.isclose(found.square[0], 1.0))
    (True, True)
    """
    below = np.asarray(np.isneginf(low if low.ndim == 1 else low[:, 0]))
    above = np.asarray(np.isposinf(high if high.ndim == 1 else high[:, 0]))
    if below.all():
        return _below(high)
    found = Truncated(np.empty_like(low), np.empty_like(low), np.empty_like(low))
    _put(found, below, _below(high[below]))
    _put(found, above & ~below, _mirrored(_below(-low[above & ~below])))
    both = ~below & ~above
    _put(found, both, _between(low[both], high[both]))
    return found


def _put(found: Truncated, rows: NDArray[np.bool_], part: Truncated) -> None:
    for name in ("log_probability", "mean", "square"):
        getattr(found, name)[rows] = getattr(part, name)


def _mirrored(part: Truncated) -> Truncated:
    return Truncated(part.log_probability, -part.mean, part.square)


def _below(high: Floats) -> Truncated:
    log_probability = log_ndtr(high)
    hazard = np.exp(-0.5 * high * high - _LOG_ROOT_2PI - log_probability)
    return Truncated(log_probability, -hazard, 1.0 - high * hazard)


def _between(low: Floats, high: Floats) -> Truncated:
    # Towards the lower tail, where the distribution function has all its digits.
    turned = low + high > 0
    a, b = np.where(turned, -high, low), np.where(turned, -low, high)
    width = b - a
    log_b = log_ndtr(b)
    with np.errstate(divide="ignore"):
        log_probability = log_b + np.log1p(-np.exp(np.minimum(log_ndtr(a) - log_b, 0.0)))
        at_a = np.exp(-0.5 * a * a - _LOG_ROOT_2PI - log_probability)
        at_b = np.exp(-0.5 * b * b - _LOG_ROOT_2PI - log_probability)
    with np.errstate(invalid="ignore"):
        mean, square = at_a - at_b, 1.0 + a * at_a - b * at_b
    # In a very narrow interval the density is even, to second order in the width.
    narrow, middle = width < _NARROW, 0.5 * (a + b)
    log_probability = np.where(narrow, np.log(width) - 0.5 * middle**2 - _LOG_ROOT_2PI, log_probability)
    mean = np.where(narrow, middle, mean)
    square = np.where(narrow, middle**2 + width**2 / 12, square)
    return Truncated(log_probability, np.where(turned, -mean, mean), square)
