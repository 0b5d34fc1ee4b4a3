"""Whether a marker fell and rose again, or rose and fell: excursions from a line, person by person.

A course of level, trend and bend is too stiff for somebody who loses weight in a year and regains it in two. So each
series is also held against excursions: the marker leaves its line for another level and comes back, each in a year, the
begin and the end at one of several times. Trends and excursions are normal around zero with a wide SD, the scatter is
the cohort's, and the evidence for each pair of times, and for the line alone, is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ircohort.detection.population import inverse_root

Floats = NDArray[np.float64]

EDGES = np.linspace(0.1, 0.9, 7)
"""Times at which an excursion may begin or end, as shares of the follow-up."""

SLOPE_SD = 0.15
"""SD of the slopes of log marker per year that are thought possible: 15 % per year up or down."""

LEVEL_SD = 2.0
EXCURSION_SD = 0.5
"""SD of the height of an excursion on the log scale."""

TURNING = 0.25
"""Probability of an excursion in somebody of whom nothing is known; the pairs of times share it evenly."""

FEWEST = 5
"""Readings of the marker below which no turn is looked for."""


def turn_shares(
    series: NDArray[np.intp], years: Floats, log_marker: Floats, n: int, residual_sd: float, least: float
) -> list[Floats]:
    """Give the probability (n,) that each series rose and fell back, and that it fell and rose again.

    Parameters
    ----------
    series
        (m,) index of the series, 0 to n - 1.
    years, log_marker
        (m,) time since the beginning of the series and reading; no NaN.
    residual_sd
        Of one reading.
    least
        The smallest swing on either side of the turn, on the log scale.
    """
    last = np.zeros(n)
    np.maximum.at(last, series, years)
    count = np.bincount(series, minlength=n)
    mean = np.bincount(series, log_marker, n) / np.maximum(count, 1)
    rest = (log_marker - mean[series]) / residual_sd
    line = [np.ones_like(years), years]
    evidence, down_up, up_down = [np.log(1 - TURNING) + _evidence(_sums(series, line, rest, n), residual_sd)[0]], [], []
    pairs = [(a, b) for a in EDGES for b in EDGES if a < b]
    for begin, end in pairs:
        away = np.clip(years - begin * last[series], 0.0, 1.0) - np.clip(years - end * last[series], 0.0, 1.0)
        own, height, error = _evidence(_sums(series, [*line, away], rest, n), residual_sd)
        evidence.append(np.log(TURNING / len(pairs)) + own)
        middle, sd = height * residual_sd, error * residual_sd
        up_down.append(1 - ndtr((least - middle) / sd))
        down_up.append(ndtr((-least - middle) / sd))
    weights = np.array(evidence)
    weights = np.exp(weights - weights.max(axis=0))
    weights /= weights.sum(axis=0)
    enough = count >= FEWEST
    return [np.where(enough, (weights[1:] * np.array(part)).sum(axis=0), 0.0) for part in (up_down, down_up)]


def _sums(series: NDArray[np.intp], columns: list[Floats], rest: Floats, n: int) -> tuple[Floats, Floats]:
    """Give the sums (k, k, n) of products of the columns, and (k, n) of the columns with what is to be explained."""
    k = len(columns)
    design, cross = np.empty((k, k, n)), np.empty((k, n))
    for i in range(k):
        cross[i] = np.bincount(series, columns[i] * rest, n)
        for j in range(i + 1):
            design[i, j] = design[j, i] = np.bincount(series, columns[i] * columns[j], n)
    return design, cross


def _evidence(sums: tuple[Floats, Floats], residual_sd: float) -> tuple[Floats, Floats, Floats]:
    """Log evidence (n,) up to a constant, and mean and SD (n,) of the last coefficient, in units of the scatter."""
    design, cross = sums
    prior = np.array([LEVEL_SD, SLOPE_SD, EXCURSION_SD][: len(cross)]) / residual_sd
    root, log_det = inverse_root(design + np.diag(prior**-2)[:, :, None])
    own = np.einsum("abn,bn->an", root, cross)
    # The last row of the lower triangular factor alone has the last coefficient.
    return 0.5 * ((own * own).sum(axis=0) - log_det) - np.log(prior).sum(), root[-1, -1] * own[-1], root[-1, -1]
