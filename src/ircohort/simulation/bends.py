"""What bends the course of a person's sensitivity or weight: straight lines between knots, in logarithms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bend:
    """A change of each of ``n`` people, linear between ``k`` knots and flat outside them.

    ``years`` (n, k) since entry, increasing; ``log_change`` (n, k) added to a natural logarithm.
    """

    years: Floats
    log_change: Floats

    def of(self, rows: NDArray[np.int64]) -> Bend:
        """Give the bend of some of the people."""
        return replace(self, years=self.years[rows], log_change=self.log_change[rows])

    def scaled(self, factor: float) -> Bend:
        """Give the bend times a factor."""
        return replace(self, log_change=self.log_change * factor)


def bend_at(bend: Bend, years: Floats) -> Floats:
    """Give the change of each of ``n`` people at times of shape (n, ...).

    Examples
    --------
    Five per cent of weight lost in half a year, then kept.

    >>> bend = Bend(np.array([[1.0, 1.5]]), np.log([[1.0, 0.95]]))
    >>> np.exp(bend_at(bend, np.array([[0.0, 1.25, 9.0]]))).round(4).tolist()
    [[1.0, 0.9747, 0.95]]
    """
    shape = (bend.years.shape[0],) + (1,) * (years.ndim - 1)
    change = np.zeros(years.shape) + bend.log_change[:, 0].reshape(shape)
    for j in range(bend.years.shape[1] - 1):
        begins, ends = bend.years[:, j].reshape(shape), bend.years[:, j + 1].reshape(shape)
        step = (bend.log_change[:, j + 1] - bend.log_change[:, j]).reshape(shape)
        change += step * np.clip((years - begins) / np.maximum(ends - begins, 1e-9), 0.0, 1.0)
    return change


def total_at(bends: tuple[Bend, ...], years: Floats) -> Floats:
    """Give the sum of several bends at times of shape (n, ...)."""
    total = np.zeros(years.shape)
    for bend in bends:
        total += bend_at(bend, years)
    return total
