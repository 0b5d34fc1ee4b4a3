"""How a course over the years is written down: as a level, a trend and bends, on standardised axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL, TREND, BEND = 0, 1, 2
"""Place of a coefficient among those of its outcome."""


@dataclass(frozen=True)
class Axes:
    """The axes of a model of ``q`` outcomes.

    ``outcomes`` (q) their names; ``columns`` (q) coefficients of each: 2 for a straight line, 3 with a bend;
    ``mean``, ``sd`` (q,) standardise the natural logs; ``span_years`` the longest series. A course over the years
    since the beginning of the series is a sum of Legendre polynomials on 0 to ``span_years``.
    """

    outcomes: tuple[str, ...]
    columns: tuple[int, ...]
    mean: Floats
    sd: Floats
    span_years: float

    @property
    def size(self) -> int:
        """Number of coefficients of all outcomes together, d."""
        return sum(self.columns)

    def place(self, outcome: str) -> slice:
        """Where the coefficients of an outcome stand."""
        j = self.outcomes.index(outcome)
        begin = sum(self.columns[:j])
        return slice(begin, begin + self.columns[j])

    @property
    def places(self) -> tuple[slice, ...]:
        """Where the coefficients of each outcome stand."""
        return tuple(self.place(name) for name in self.outcomes)

    def basis(self, years: Floats) -> Floats:
        """Give the polynomials (..., k) at ``years`` (...) since the beginning of the series."""
        return np.asarray(legvander(2 * years / self.span_years - 1, max(self.columns) - 1))
