"""Share of people still free of an event that is only known to lie between two visits (Turnbull's estimate)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_GAP = 1e-10
"""The search ends where no redistribution of mass can raise the mean log-likelihood by more than this."""
_ROUNDS = 5000
_HALVINGS = 30
_CANCELLED = 1e-9  # a probability below which a difference of sums has lost most of its digits


@dataclass(frozen=True)
class Turnbull:
    """A nonparametric maximum-likelihood estimate.

    ``left``, ``right`` (m,) bound the only intervals (left, right] that can hold mass, in years; ``mass`` (m,) is
    that of each, summing to 1. The last ``right`` is inf where somebody was last seen free of the event. Within an
    interval the data say nothing about where the mass lies. ``gap`` bounds what the mean log-likelihood could still
    gain.
    """

    left: Floats
    right: Floats
    mass: Floats
    log_likelihood: float
    gap: float
    rounds: int


def turnbull(low: Floats, high: Floats, weights: Floats | None = None) -> Turnbull:
    """Estimate the distribution of event times known to lie in (low, high].

    The support is Turnbull's innermost intervals. The masses come from the iterative convex minorant, each step
    followed by one of the EM algorithm, until the gap to the maximum is closed; the gap is checked, not assumed.

    Parameters
    ----------
    low, high
        (n,) years, 0 <= low < high; ``high`` is inf where the event was not seen.
    weights
        (n,) weights above 0 of the people, 1 each where None.

    Source
    ------
    Turnbull 1976, J R Stat Soc B 38:290, doi:10.1111/j.2517-6161.1976.tb01597.x; Wellner and Zhan 1997, J Am Stat
    Assoc 92:945, doi:10.1080/01621459.1997.10474049.

    Examples
    --------
    >>> found = turnbull(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, np.inf]))
    >>> found.right.tolist(), found.mass.round(6).tolist()
    ([1.0, 2.0, inf], [0.333333, 0.333333, 0.333333])
    """
    left, right = innermost(low, high)
    first = np.searchsorted(left, low, side="left")
    beyond = np.searchsorted(right, high, side="right")
    w = np.ones(len(low)) if weights is None else weights
    mass, gap, rounds = _climb(first, beyond, w / w.sum(), len(left))
    inside = _inside(mass, first, beyond)
    return Turnbull(left, right, mass, float(w @ np.log(inside)), gap, rounds)


def innermost(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Find the intervals (l, r] with l among ``low``, r among ``high``, and no other end between them.

    Examples
    --------
    >>> [ends.tolist() for ends in innermost(np.array([0.0, 1.0]), np.array([2.0, 3.0]))]
    [[1.0], [2.0]]
    """
    ends = np.concatenate([high, low])
    # An interval that ends at a time holds it, one that begins there does not: of equal times the end comes first.
    opens = np.concatenate([np.zeros(len(high), bool), np.ones(len(low), bool)])
    order = np.lexsort((opens, ends))
    ends, opens = ends[order], opens[order]
    at = np.flatnonzero(opens[:-1] & ~opens[1:])
    return ends[at], ends[at + 1]


def _inside(mass: Floats, first: Indices, beyond: Indices) -> Floats:
    """Probability of each person's own interval, never below 0; the smallest are not differences of larger ones."""
    total = np.concatenate([[0.0], np.cumsum(mass)])
    inside = np.asarray(total[beyond] - total[first])
    for i in np.flatnonzero(inside < _CANCELLED):
        inside[i] = mass[first[i] : beyond[i]].sum()
    return inside


def _climb(first: Indices, beyond: Indices, w: Floats, m: int) -> tuple[Floats, float, int]:
    mass = np.full(m, 1.0 / m)
    rounds = 0
    while rounds < _ROUNDS:
        rounds += 1
        mass = _convex_minorant_step(mass, first, beyond, w)
        gain = _gain(mass, first, beyond, w)
        # Mean log-likelihood is concave in the masses: the maximum is at most max(gain) - 1 higher.
        gap = float(gain.max() - 1.0)
        if gap <= _GAP:
            break
        mass = mass * gain
        mass /= mass.sum()
    return mass, max(gap, 0.0), rounds


def _gain(mass: Floats, first: Indices, beyond: Indices, w: Floats) -> Floats:
    """Give the derivative of the mean log-likelihood by each mass: what the EM algorithm multiplies the mass by."""
    ratio = w / _inside(mass, first, beyond)
    m = len(mass)
    steps = np.bincount(first, ratio, m + 1) - np.bincount(beyond, ratio, m + 1)
    return np.asarray(np.cumsum(steps)[:m])


def _convex_minorant_step(mass: Floats, first: Indices, beyond: Indices, w: Floats) -> Floats:
    """Move the distribution function to the weighted isotonic fit of a Newton step, halved until it climbs."""
    m = len(mass)
    if m == 1:
        return mass
    inside = _inside(mass, first, beyond)
    slope = _at_inner_ends(w / inside, beyond, m) - _at_inner_ends(w / inside, first, m)
    curvature = _at_inner_ends(w / inside**2, beyond, m) + _at_inner_ends(w / inside**2, first, m)
    start = np.cumsum(mass)[:-1]
    target = np.clip(isotonic_regression(start + slope / curvature, weights=curvature).x, 0.0, 1.0)
    height, share = w @ np.log(inside), 1.0
    for _ in range(_HALVINGS):
        moved = np.diff(np.concatenate([[0.0], start + share * (target - start), [1.0]])).clip(min=0.0)
        inside = _inside(moved, first, beyond)
        if (inside > 0).all() and w @ np.log(inside) >= height:
            return moved
        share /= 2
    return mass


def _at_inner_ends(values: Floats, place: Indices, m: int) -> Floats:
    """Sum ``values`` over the people whose interval begins or ends behind each mass but the last."""
    return np.asarray(np.bincount(place, values, m + 1)[1:m])


def event_free(found: Turnbull, years: Floats) -> Floats:
    """Read the share free of the event off an estimate, straight within the intervals that hold mass.

    Beyond the last time at which the data say anything it is NaN, unless nobody is left.

    Examples
    --------
    >>> found = turnbull(np.array([0.0, 1.0]), np.array([1.0, np.inf]))
    >>> event_free(found, np.array([0.0, 0.5, 1.0, 2.0])).tolist()
    [1.0, 0.75, 0.5, nan]
    """
    knots = np.column_stack([found.left, found.right]).ravel()
    after = 1.0 - np.cumsum(found.mass)
    heights = np.column_stack([np.concatenate([[1.0], after[:-1]]), after]).ravel()
    open_end = np.isinf(found.right[-1])
    if open_end:
        knots, heights = knots[:-1], heights[:-1]
    read = np.interp(years, knots, np.clip(heights, 0.0, 1.0))
    return np.where(open_end & (years > knots[-1]), np.nan, read)
