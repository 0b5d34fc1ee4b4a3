"""Cumulative incidence of several kinds of end, each only known to lie between two times (nonparametric)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.turnbull import innermost

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_GAP = 1e-7
"""The search ends where no redistribution of mass can raise the mean log-likelihood by more than this."""
_GAP_AGAIN = 1e-5
"""The same for a refit that starts from an estimate: far less than such weights move it."""
_EVEN = 0.1
"""Share of the start of a refit that is spread evenly, so that no mass begins at 0."""
_ROUNDS = 2000
_LEAST_SHARE = 0.1
"""Of a mass that a long step would make vanish, so much is left: an EM step cannot bring back what is gone."""


@dataclass(frozen=True, eq=False)
class Incidence:
    """A nonparametric maximum-likelihood estimate of when a time ends, and of what kind its end is.

    ``left``, ``right``, ``kind``, ``mass`` (m,): the intervals (left, right] that can hold mass, of which kind, and how
    much each holds; the masses sum to 1. Kind -1 is what comes after the last time somebody was seen without an end,
    of any kind; its ``right`` is inf. ``gap`` bounds what the mean log-likelihood could still gain.
    """

    left: Floats
    right: Floats
    kind: Indices
    mass: Floats
    log_likelihood: float
    gap: float


@dataclass(frozen=True, eq=False)
class _Ranges:
    """Which masses each of n people can have: one range first <= j < beyond or several, with their ``owner``."""

    first: Indices
    beyond: Indices
    owner: Indices
    n: int

    def inside(self, mass: Floats) -> Floats:
        """Probability of what was seen of each person (n,)."""
        total = np.concatenate([[0.0], np.cumsum(mass)])
        return np.asarray(np.bincount(self.owner, total[self.beyond] - total[self.first], self.n), dtype=np.float64)

    def gain(self, mass: Floats, w: Floats) -> Floats:
        """Give what the EM algorithm multiplies each mass by (m,)."""
        ratio = (w / self.inside(mass))[self.owner]
        size = len(mass) + 1
        steps = np.bincount(self.first, ratio, size) - np.bincount(self.beyond, ratio, size)
        return np.asarray(np.cumsum(steps)[:-1])


def estimate(
    low: Floats, high: Floats, kind: Indices, weights: Floats | None = None, start: Incidence | None = None
) -> Incidence:
    """Estimate the masses of ends of each kind, known to lie in (low, high].

    The support of a kind are the intervals between an end ``high`` of that kind and the nearest ``low`` before it, of
    that kind or of somebody whose end was not seen. The masses come from the EM algorithm with squared extrapolation;
    the gap to the maximum is checked, not assumed. Where the intervals do not settle all masses, the maximum found is
    one of several.

    Parameters
    ----------
    low, high
        (n,) years, 0 <= low < high; ``high`` is inf where the end was not seen.
    kind
        (n,) kind of the end, from 0; -1 where it was not seen.
    weights
        (n,) weights above 0, 1 each where None.
    start
        An estimate from the same people with other weights, from which the search starts; it then ends sooner.

    Source
    ------
    Hudgens, Satten and Longini 2001, Biometrics 57:74, doi:10.1111/j.0006-341X.2001.00074.x; squared extrapolation:
    Varadhan and Roland 2008, Scand J Stat 35:335, doi:10.1111/j.1467-9469.2007.00585.x.

    Examples
    --------
    >>> found = estimate(np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, np.inf]), np.array([0, 1, -1]))
    >>> found.kind.tolist(), found.mass.round(6).tolist()
    ([0, 1, -1], [0.333333, 0.333333, 0.333333])
    """
    left, right, of, ranges = _support(low, high, kind)
    w = np.ones(len(low)) if weights is None else weights
    even = np.full(len(left), 1.0 / len(left))
    begin = even if start is None else (1.0 - _EVEN) * start.mass + _EVEN * even
    mass, gap = _climb(ranges, w / w.sum(), begin, _GAP if start is None else _GAP_AGAIN)
    return Incidence(left, right, of, mass, float((w * np.log(ranges.inside(mass))).sum()), gap)


def _support(low: Floats, high: Floats, kind: Indices) -> tuple[Floats, Floats, Indices, _Ranges]:
    unseen, kinds = np.flatnonzero(kind < 0), range(int(kind.max()) + 1)
    blocks = [innermost(low[(kind == k) | (kind < 0)], high[kind == k]) for k in kinds]
    if len(unseen):
        blocks.append((low[unseen].max(keepdims=True), np.array([np.inf])))
    begins = np.cumsum([0] + [len(left) for left, _ in blocks])
    first, beyond, owner = [], [], []
    for k, (left, right) in enumerate(blocks):
        own = np.flatnonzero(kind == k)
        first += [begins[k] + np.searchsorted(left, low[who], side="left") for who in (own, unseen)]
        beyond += [begins[k] + np.searchsorted(right, high[own], side="right"), np.full(len(unseen), begins[k + 1])]
        owner += [own, unseen]
    joined = [np.concatenate(part).astype(np.intp) for part in (first, beyond, owner)]
    ranges = _Ranges(joined[0], joined[1], joined[2], len(low))
    of = np.repeat([*kinds, -1][: len(blocks)], np.diff(begins)).astype(np.intp)
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks]), of, ranges


def _climb(ranges: _Ranges, w: Floats, mass: Floats, enough: float) -> tuple[Floats, float]:
    gain = ranges.gain(mass, w)
    for _ in range(_ROUNDS):
        once = mass * gain
        twice = once * ranges.gain(once, w)
        mass = _extrapolated(ranges, w, mass, once, twice)
        gain = ranges.gain(mass, w)
        # Mean log-likelihood is concave in the masses: the maximum is at most max(gain) - 1 higher.
        if gain.max() - 1.0 <= enough:
            break
    return mass, max(float(gain.max() - 1.0), 0.0)


def _extrapolated(ranges: _Ranges, w: Floats, mass: Floats, once: Floats, twice: Floats) -> Floats:
    """Go on in the direction of two EM steps, if that climbs at least as high as they do."""
    step, bend = once - mass, twice - 2.0 * once + mass
    size = float(np.sqrt((bend**2).sum()))
    if size == 0.0:
        return twice
    length = float(np.sqrt((step**2).sum())) / size
    far = np.maximum(mass + 2.0 * length * step + length**2 * bend, _LEAST_SHARE * twice)
    far /= far.sum()
    height = (w * np.log(ranges.inside(twice))).sum()
    return far if (w * np.log(ranges.inside(far))).sum() >= height else twice


def incidence_by(found: Incidence, kind: int, years: Floats) -> tuple[Floats, Floats, Floats]:
    """Read the share that has ended in a way by some times: drawn straight within intervals, at least, at most.

    NaN after the last time somebody was seen without an end, if mass is left there.

    Examples
    --------
    >>> found = estimate(np.array([0.0, 1.0]), np.array([2.0, np.inf]), np.array([0, -1]))
    >>> [part.tolist() for part in incidence_by(found, 0, np.array([1.5]))]
    [[nan], [nan], [nan]]
    """
    own = found.kind == kind
    left, right, mass = found.left[own], found.right[own], found.mass[own]
    t = years[:, None]
    share = np.clip((t - left) / (right - left), 0.0, 1.0)
    straight, least, most = ((part * mass).sum(axis=1) for part in (share, right <= t, left < t))
    later = found.kind < 0
    known = np.full(len(years), True)
    if later.any() and found.mass[later][0] > _GAP:
        known = years <= found.left[later][0]
    return np.where(known, straight, np.nan), np.where(known, least, np.nan), np.where(known, most, np.nan)
