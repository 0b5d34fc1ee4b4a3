"""What the likelihood needs of the data: sums per person, whatever the number of visits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sums per person on standardised axes; ``n`` people.

    For the patterns both, marker only, glucose only (axis 0): ``design`` (3, 2, 2, n) sums of (1, t)'(1, t);
    ``cross`` (3, 2, 2, n) sums of y (1, t), outcome first; ``squares`` (3, 2, 2, n) sums of y y'. ``centre`` and
    ``unit`` (years) standardise time, ``mean`` and ``sd`` (2,) the outcomes.
    """

    design: Floats
    cross: Floats
    squares: Floats
    centre: float
    unit: float
    mean: Floats
    sd: Floats

    @property
    def n(self) -> int:
        """Number of people."""
        return int(self.design.shape[-1])

    def take(self, people: slice | NDArray[np.intp]) -> Sums:
        """Keep some of the people."""
        design, cross, squares = (
            np.ascontiguousarray(part[..., people]) for part in (self.design, self.cross, self.squares)
        )
        return replace(self, design=design, cross=cross, squares=squares)


def make_sums(person: NDArray[np.intp], n: int, years: Floats, outcomes: Floats) -> Sums:
    """Sum the visits per person.

    Parameters
    ----------
    person
        (m,) index of the person, 0 to n - 1, non-decreasing.
    n
        Number of people.
    years
        (m,) time of the visit.
    outcomes
        (m, 2) log marker and log glucose; NaN where not measured. Rows without either are ignored.
    """
    centre, unit = float(np.mean(years)), max(float(np.std(years)), 0.25)
    mean = np.nanmean(outcomes, axis=0)
    sd = np.maximum(np.nanstd(outcomes, axis=0), 1e-3)
    t = (years - centre) / unit
    y = (outcomes - mean) / sd
    seen = np.isfinite(y)
    filled = np.where(seen, y, 0.0)
    patterns = (seen.all(axis=1), seen[:, 0] & ~seen[:, 1], seen[:, 1] & ~seen[:, 0])
    z = np.stack([np.ones_like(t), t])

    def total(values: Floats, pattern: NDArray[np.bool_]) -> Floats:
        return np.asarray(np.bincount(person[pattern], weights=values[pattern], minlength=n), dtype=float)

    def table(left: Floats, right: Floats) -> Floats:
        return np.array([[[total(a * b, p) for b in right] for a in left] for p in patterns])

    return Sums(table(z, z), table(filled.T, z), table(filled.T, filled.T), centre, unit, mean, sd)
