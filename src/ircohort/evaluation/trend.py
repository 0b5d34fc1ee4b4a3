"""Mann-Kendall: whether readings rise, without a straight line; exact for short series, ties and all."""

from __future__ import annotations

from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT_UP_TO = 40
"""Readings up to which the null distribution is exact; beyond, normal with the variance for ties."""


def rising_trend(table: Floats) -> tuple[Floats, Floats]:
    """Test rows of readings for a rising trend.

    Parameters
    ----------
    table
        (n, k) readings in the order of time, none missing.

    Returns
    -------
    tuple
        (n,) Kendall's S over its SD under no trend, 0 where all readings are equal; (n,) one-sided p-value.

    Examples
    --------
    Five rising readings: one order in 120.

    >>> score, p = rising_trend(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    >>> round(float(p[0] * 120), 9)
    1.0
    """
    n, size = table.shape
    statistic = np.zeros(n, dtype=np.int64)
    for later in range(1, size):
        statistic += np.sign(table[:, later, None] - table[:, :later]).astype(np.int64).sum(axis=1)
    ordered = np.sort(table, axis=1)
    tied = ordered[:, 1:] == ordered[:, :-1]
    pattern, which = np.unique(_runs(tied), axis=0, return_inverse=True)
    score, p = np.empty(n), np.empty(n)
    for i, runs in enumerate(pattern):
        rows = which.ravel() == i
        sizes = tuple(int(run) for run in runs if run)
        sd = np.sqrt(_trend_variance(sizes))
        score[rows] = statistic[rows] / sd if sd > 0 else 0.0
        p[rows] = _trend_p(statistic[rows], sizes, sd)
    return score, p


def _runs(tied: NDArray[np.bool_]) -> Ints:
    """Sizes of the groups of equal values of each row, largest first, then zeros: (n, k) from (n, k - 1)."""
    n, size = tied.shape[0], tied.shape[1] + 1
    group = np.concatenate([np.zeros((n, 1), dtype=np.int64), np.cumsum(~tied, axis=1)], axis=1)
    counts = np.bincount((group + size * np.arange(n)[:, None]).ravel(), minlength=n * size).reshape(n, size)
    return -np.sort(-counts, axis=1)


def _trend_variance(sizes: tuple[int, ...]) -> float:
    def term(k: int) -> int:
        return k * (k - 1) * (2 * k + 5)

    return (term(sum(sizes)) - sum(term(size) for size in sizes)) / 18


def _trend_p(statistic: Ints, sizes: tuple[int, ...], sd: float) -> Floats:
    if sum(sizes) <= EXACT_UP_TO:
        pairs = comb(sum(sizes), 2) - sum(comb(size, 2) for size in sizes)
        inversions = (pairs - statistic) // 2
        return _at_most(sizes)[inversions]
    if sd == 0:
        return np.ones(statistic.size)
    return np.asarray(norm.sf((statistic - 1) / sd))  # continuity: S moves in steps of two without ties


@cache
def _at_most(sizes: tuple[int, ...]) -> Floats:
    """Probability of at most 0, 1, ... inversions in a random order of values with these group sizes.

    The number of inversions of a multiset has the Gaussian multinomial coefficient as its generating function
    (MacMahon 1916); the arithmetic is in whole numbers.
    """
    coefficients = [1]
    for k in range(1, sum(sizes) + 1):
        coefficients = _times(coefficients, k)
    for size in sizes:
        for k in range(1, size + 1):
            coefficients = _over(coefficients, k)
    total, reached, shares = sum(coefficients), 0, []
    for value in coefficients:
        reached += value
        shares.append(reached / total)
    return np.array(shares)


def _times(coefficients: list[int], k: int) -> list[int]:
    """Multiply a polynomial in q by 1 + q + ... + q^(k-1)."""
    padded = [*coefficients, *[0] * (k - 1)]
    result, window = [], 0
    for i, value in enumerate(padded):
        window += value - (padded[i - k] if i >= k else 0)
        result.append(window)
    return result


def _over(coefficients: list[int], k: int) -> list[int]:
    """Divide a polynomial in q by 1 + q + ... + q^(k-1), a factor of it."""
    result: list[int] = []
    for i in range(len(coefficients) - k + 1):
        result.append(coefficients[i] - sum(result[max(0, i - k + 1) : i]))
    return result
