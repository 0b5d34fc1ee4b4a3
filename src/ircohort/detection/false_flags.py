"""How many of the flags are expected to be false."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm, poisson_binom

_EXACT_UP_TO = 2000


@dataclass(frozen=True)
class FalseFlags:
    """Expected number of false flags with a 95 % interval; None where nobody is flagged."""

    expected: float | None
    low: float | None
    high: float | None


def expected_false(flagged: pl.DataFrame, series: pl.DataFrame) -> FalseFlags:
    """Sum (1 - probability) over the flagged.

    Each flag is false or not, independently given the population; the interval is that of the number of false flags,
    averaged over the populations that the data allow.

    Parameters
    ----------
    flagged
        ``participant_id`` and ``probability``.
    series
        One row per series with ``probability`` and ``by_population``, the probability under each population.
    """
    if not flagged.height:
        return FalseFlags(None, None, None)
    rows = series.join(flagged, on="participant_id", how="semi").filter(pl.col("by_population").is_not_null())
    shares = np.array(rows["by_population"].to_list())
    _, person = np.unique(rows["participant_id"].to_numpy(), return_inverse=True)
    none = np.ones((person.max() + 1, shares.shape[1]))
    np.multiply.at(none, person, 1 - shares)
    expected = float((1 - flagged["probability"]).sum())
    counts = np.arange(len(none) + 1)
    reached = np.mean([_reached(column, counts) for column in none.T], axis=0)
    low, high = (float(counts[np.searchsorted(reached, level - 1e-12)]) for level in (0.025, 0.975))
    return FalseFlags(expected, min(low, expected), max(high, expected))


def _reached(chances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Give the distribution function of the number of false flags."""
    if len(chances) <= _EXACT_UP_TO:
        return np.asarray(poisson_binom.cdf(counts, np.clip(chances, 0.0, 1.0)))
    sd = np.sqrt((chances * (1 - chances)).sum())
    return np.asarray(norm.cdf((counts + 0.5 - chances.sum()) / max(sd, 1e-9)))
