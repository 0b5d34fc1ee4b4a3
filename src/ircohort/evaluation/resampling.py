"""How sure a number over simulated people is: resampling that respects that people of one cohort go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
WHOLE_COHORTS_FROM = 10
"""From so many cohorts on, cohorts are resampled whole; from two on, cohorts and the people in them; else people."""

_Z = float(ndtri(0.5 + CONFIDENCE / 2))
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
_REPLICATES = (200, 1000)
_WORK = 5e7  # people times replicates that are drawn without second thoughts

Triple = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Resampling:
    """A bootstrap over ``n`` people in cohorts.

    ``cohort`` (n,) the cohort of each person, 0 to ``n_cohorts`` - 1, non-decreasing. People of one cohort share what
    the detector learned from it, so that they are not independent. With :data:`WHOLE_COHORTS_FROM` cohorts or more
    they are drawn whole (Davison and Hinkley 1997, section 3.8); with fewer, cohorts are drawn and people within them,
    which errs on the wide side; with one, people alone, and what differs from cohort to cohort is not in the interval.
    """

    cohort: NDArray[np.int64]
    n_cohorts: int
    seed: int

    @property
    def of(self) -> str:
        """What is resampled, in words."""
        if self.n_cohorts >= WHOLE_COHORTS_FROM:
            return "cohorts"
        return "cohorts and people" if self.n_cohorts > 1 else "people"

    @property
    def replicates(self) -> int:
        """How often: a thousand times, less with very many people."""
        return int(np.clip(_WORK / max(1, self.cohort.size), *_REPLICATES))

    def weights(self) -> Iterator[Floats]:
        """Draw how often each person counts (n,), once for each replicate."""
        generator = np.random.default_rng(self.seed)
        size = np.bincount(self.cohort, minlength=self.n_cohorts)
        begin = np.cumsum(size) - size
        for _ in range(self.replicates):
            drawn = np.bincount(generator.integers(self.n_cohorts, size=self.n_cohorts), minlength=self.n_cohorts)
            if self.of == "cohorts":
                yield drawn[self.cohort].astype(float)
                continue
            taken = np.repeat(np.arange(self.n_cohorts), drawn * size)
            rows = begin[taken] + (generator.random(taken.size) * size[taken]).astype(np.int64)
            yield np.bincount(rows, minlength=self.cohort.size).astype(float)

    def totals(self, columns: Floats) -> Floats:
        """Sum columns (n, k) over the people of each replicate: (replicates, k)."""
        if not self.cohort.size:
            return np.zeros((1, columns.shape[1]))
        return np.stack([weights @ columns for weights in self.weights()])


def resampling_of(cohort: NDArray[np.int64], seed: int) -> Resampling:
    """Prepare the bootstrap of people, whose cohorts are named by any non-decreasing whole numbers (n,)."""
    names, row = np.unique(cohort, return_inverse=True)
    return Resampling(row.astype(np.int64), max(1, names.size), seed)


def percentiles(values: Floats) -> tuple[float | None, float | None]:
    """Give the 2.5 % and 97.5 % points of replicates, leaving out those without a value (NaN); None without any.

    Examples
    --------
    >>> percentiles(np.array([np.nan, 1.0, 1.0]))
    (1.0, 1.0)
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return None, None
    low, high = np.quantile(known, _TAILS, method="inverted_cdf")  # no mean of finite and infinite values
    return float(low), float(high)


def wilson(successes: float, n: float) -> Triple:
    """Give a share with its 95 % Wilson interval; all None where ``n`` is 0.

    Source
    ------
    Wilson 1927, J Am Stat Assoc 22:209, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(value, 4) for value in wilson(81, 263)]
    [0.308, 0.2553, 0.3662]
    """
    if n == 0:
        return None, None, None
    share, weight = successes / n, _Z**2 / n
    centre = (share + weight / 2) / (1 + weight)
    half = _Z * float(np.sqrt(share * (1 - share) / n + weight / (4 * n))) / (1 + weight)
    return share, max(0.0, centre - half), min(1.0, centre + half)


def poisson_rate(events: float, time: float) -> Triple:
    """Give events per unit of time with the exact 95 % interval of a Poisson count; all None where ``time`` is 0.

    Source
    ------
    Garwood 1936, Biometrika 28:437, doi:10.1093/biomet/28.3-4.437.

    Examples
    --------
    >>> [round(value, 3) for value in poisson_rate(10, 100)]
    [0.1, 0.048, 0.184]
    """
    if time <= 0:
        return None, None, None
    low = chi2.ppf(_TAILS[0], 2 * events) / 2 if events else 0.0
    return events / time, float(low) / time, float(chi2.ppf(_TAILS[1], 2 * events + 2)) / 2 / time


def ratio(
    above: float, below: float, replicated: tuple[Floats, Floats], alone: Callable[[float, float], Triple] = wilson
) -> Triple:
    """Give a ratio of two totals with the wider, on each side, of two intervals.

    Parameters
    ----------
    above, below
        The totals.
    replicated
        (replicates,) each, the totals in the bootstrap.
    alone
        The interval for independent people: :func:`wilson` for a share, :func:`poisson_rate` for a rate. It keeps the
        interval open where the bootstrap cannot see any variation, as with three of three.
    """
    estimate, low, high = alone(above, below)
    if estimate is None or low is None or high is None:
        return None, None, None
    numerator, denominator = replicated
    values = np.divide(numerator, denominator, out=np.full(numerator.size, np.nan), where=denominator > 0)
    least, most = percentiles(values)
    return estimate, min(low, estimate if least is None else least), max(high, estimate if most is None else most)
