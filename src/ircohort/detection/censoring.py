"""Readings of insulin beyond a limit of detection: what is known of them, as readings of lesser weight.

A reading below 2 uIU/mL says only in which interval log insulin lies. Given the person's other readings it is a normal
distribution cut off at the limit. The normal reading that, added to the others, gives that distribution's mean and
variance stands in for it (one round of expectation propagation: each limit is weighed against the person's measured
readings under a population of one component). It keeps no correlation with the glucose of the same draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.population import Population, evidence, posteriors
from ircohort.detection.sums import Readings, Sums
from ircohort.lmm.censored.truncated import truncated_moments

Floats = NDArray[np.float64]

_LEAST_WEIGHT = 1e-3  # of a reading; a limit far above everything measured says next to nothing


@dataclass(frozen=True)
class Limits:
    """Readings beyond a limit: ``rows`` of the readings, natural log of insulin from ``low`` to ``high``."""

    rows: NDArray[np.intp]
    low: Floats
    high: Floats


def with_sites(readings: Readings, limits: Limits, sums: Sums, common: Population) -> Readings:
    """Add a reading of lesser weight for each that lies beyond a limit.

    Parameters
    ----------
    readings
        Insulin first; NaN where it lies beyond a limit.
    sums
        Their sums, without what lies beyond limits.
    common
        A population of one component without a tail.
    """
    axes, noise = sums.axes, float(common.residual[0, 0])
    who = readings.series[limits.rows]
    people, place = np.unique(who, return_inverse=True)
    part = posteriors(common, evidence(sums.take(people), common.residual))[0]
    rows = axes.places[0]
    basis = axes.basis(readings.years[limits.rows])[:, : axes.columns[0]]
    expected = (basis * part.centre[rows][:, place].T).sum(axis=1)
    spread = np.einsum("abm,mb->am", part.root[:, rows][:, :, place], basis)
    variance = noise + (spread * spread).sum(axis=0)
    sd = np.sqrt(variance)
    low, high = (((bound - axes.mean[0]) / axes.sd[0] - expected) / sd for bound in (limits.low, limits.high))
    found = truncated_moments(low, high)
    left = np.clip(found.square - found.mean**2, 1e-6, 1 - 1e-9)
    # The site is the normal that turns the one (0, 1) into the one (mean, left); on the scale of one reading.
    site_variance = variance * left / (1 - left)
    site_mean = expected + sd * found.mean / (1 - left)
    weight = np.maximum(noise / (site_variance + noise), _LEAST_WEIGHT)
    values = np.full((limits.rows.size, readings.values.shape[1]), np.nan)
    values[:, 0] = axes.mean[0] + axes.sd[0] * site_mean
    order = np.argsort(np.append(readings.series, who), kind="stable")
    return Readings(
        np.append(readings.series, who)[order],
        np.append(readings.years, readings.years[limits.rows])[order],
        np.concatenate([readings.values, values])[order],
        np.append(readings.weight, weight)[order],
    )
