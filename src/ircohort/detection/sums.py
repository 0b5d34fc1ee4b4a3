"""What the likelihood needs of the data: sums per series, whatever the number of visits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.curves import Axes

Floats = NDArray[np.float64]

BLOCK = 1024
"""Series worked on at once: their arrays fit the cache. A sum over all takes a quarter less time than with 2,048."""

ONE_BLOCK = 1536
"""Up to so many series are worked on at once: a small rest takes much longer than its share."""


@dataclass(frozen=True)
class Sums:
    """Sums per series on standardised axes; ``n`` series, on the last axis.

    For each pattern of measured outcomes, ``seen`` (p, q): ``design`` (p, k, k, n) sums of b b' of the polynomials b
    at the visits; ``cross`` (p, q, k, n) sums of y b'; ``squares`` (p, q, q, n) sums of y y', 0 where not measured.
    """

    axes: Axes
    seen: NDArray[np.bool_]
    design: Floats
    cross: Floats
    squares: Floats

    @property
    def n(self) -> int:
        """Number of series."""
        return int(self.design.shape[-1])

    @cached_property
    def blocks(self) -> tuple[tuple[slice, Sums], ...]:
        """The same in pieces, each with its place."""
        size = BLOCK if self.n > ONE_BLOCK else ONE_BLOCK
        places = [slice(begin, begin + size) for begin in range(0, self.n, size)]
        return tuple((place, self.take(place)) for place in places)

    def take(self, series: slice | NDArray[np.intp]) -> Sums:
        """Keep some of the series."""
        parts = (np.ascontiguousarray(part[..., series]) for part in (self.design, self.cross, self.squares))
        design, cross, squares = parts
        return replace(self, design=design, cross=cross, squares=squares)

    def in_order(self) -> NDArray[np.intp]:
        """Give the series in an order of their readings, so that names and rows play no part."""
        return np.lexsort(self.cross[:, :, 0].sum(axis=0))

    def without(self, outcome: str) -> Sums:
        """Take an outcome for not measured, so that what it adds can be told."""
        j = self.axes.outcomes.index(outcome)
        seen, cross, squares = self.seen.copy(), self.cross.copy(), self.squares.copy()
        seen[:, j], cross[:, j], squares[:, j], squares[:, :, j] = False, 0.0, 0.0, 0.0
        kept = seen.any(axis=1)
        return replace(self, seen=seen[kept], design=self.design[kept], cross=cross[kept], squares=squares[kept])


@dataclass(frozen=True)
class Readings:
    """Readings of a cohort: ``m`` rows, each a visit or a part of one.

    ``series`` (m,) index of the series, non-decreasing; ``years`` (m,) since its beginning; ``values`` (m, q) natural
    logs, NaN where not measured; ``weight`` (m,) how much a row counts, 1 for a reading as it stands.
    """

    series: NDArray[np.intp]
    years: Floats
    values: Floats
    weight: Floats

    def take(self, series: NDArray[np.intp]) -> Readings:
        """Keep some of the series, in the order given."""
        rank = np.full(int(self.series[-1]) + 1, -1)
        rank[series] = np.arange(len(series))
        now = rank[self.series]
        rows = np.flatnonzero(now >= 0)
        rows = rows[np.argsort(now[rows], kind="stable")]
        return Readings(now[rows], self.years[rows], self.values[rows], self.weight[rows])


def make_sums(readings: Readings, n: int, axes: Axes) -> Sums:
    """Sum the readings of each of ``n`` series. Rows without any reading are ignored."""
    values = (readings.values - axes.mean) / axes.sd
    measured = np.isfinite(values)
    values = np.where(measured, values, 0.0)
    basis = axes.basis(readings.years)
    code = measured @ (1 << np.arange(measured.shape[1]))
    patterns = [int(pattern) for pattern in np.unique(code) if pattern]
    k, q = basis.shape[1], values.shape[1]
    design, cross, squares = (np.zeros((len(patterns), *shape, n)) for shape in ((k, k), (q, k), (q, q)))
    for p, pattern in enumerate(patterns):
        rows = code == pattern
        who, weight = readings.series[rows], readings.weight[rows]
        b, y = basis[rows].T, values[rows].T

        def total(left: Floats, right: Floats, who: NDArray[np.intp] = who, weight: Floats = weight) -> Floats:
            return np.bincount(who, weights=left * right * weight, minlength=n).astype(float)

        for i in range(k):
            for j in range(i + 1):
                design[p, i, j] = design[p, j, i] = total(b[i], b[j])
        for a in range(q):
            for j in range(k):
                cross[p, a, j] = total(y[a], b[j])
            for c in range(a + 1):
                squares[p, a, c] = squares[p, c, a] = total(y[a], y[c])
    seen = np.array([[bool(pattern >> j & 1) for j in range(q)] for pattern in patterns]).reshape(-1, q)
    return Sums(axes, seen, design, cross, squares)
