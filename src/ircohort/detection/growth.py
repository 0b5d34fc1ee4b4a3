"""How rich the population may be: normals are added to its mixtures of slopes while the data support them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.population import PRIOR_SD, SLOPES, Population, maximise, membership, posteriors
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]

MAX_COMPONENTS = 3
"""Normals in the mixture of slopes of one outcome, at most."""

PEOPLE_PER_COMPONENT = 30
"""People that each of those normals takes."""

SINGLE_START = Population(
    marker_weights=np.ones(1),
    marker_means=np.zeros(1),
    marker_sds=np.array([0.3]),
    glucose_weights=np.ones(1),
    glucose_means=np.zeros(1),
    glucose_sds=np.array([0.3]),
    level_mean=np.zeros(2),
    level_on_slope=np.zeros(2),
    level_root=0.8 * np.eye(2),
    residual_root=0.5 * np.eye(2),
)
"""One normal for each slope, on standardised axes: where every fit begins."""


def _divided(weights: Floats, means: Floats, sds: Floats, side: float) -> tuple[Floats, Floats, Floats]:
    """Divide the largest normal of a mixture: a quarter of it moves 1.2 SDs to the ``side``."""
    j, share = int(np.argmax(weights)), 0.25
    step = 1.2 * side * max(abs(sds[j]), PRIOR_SD)
    new_weights, new_means, new_sds = np.append(weights, share * weights[j]), np.append(means, means[j] + step), sds
    new_weights[j] *= 1 - share
    new_means[j] -= step * share / (1 - share)
    new_sds = 0.9 * np.maximum(np.abs(np.append(sds, sds[j])), PRIOR_SD)
    return new_weights, new_means, new_sds


def split(population: Population, outcome: int, side: float) -> Population:
    """Add a normal to the marker slopes (outcome 0) or the glucose slopes (1): a start for a richer mixture."""
    if outcome == 0:
        new = _divided(population.marker_weights, population.marker_means, population.marker_sds, side)
        return replace(population, marker_weights=new[0], marker_means=new[1], marker_sds=new[2], curvature=None)
    new = _divided(population.glucose_weights, population.glucose_means, population.glucose_sds, side)
    return replace(population, glucose_weights=new[0], glucose_means=new[1], glucose_sds=new[2], curvature=None)


def criterion(population: Population) -> float:
    """Akaike's information criterion; smaller is better.

    Not the stricter BIC: in cohorts of 500, to leave out a skew that is there cost more calibration than to estimate
    one that is not.
    """
    return -2 * population.log_likelihood + 2 * (3 * sum(population.shape) + 8)


def _side(population: Population, sums: Sums, outcome: int) -> float:
    """Tell to which side people's expected slopes have the longer tail: 1 up, -1 down."""
    people = posteriors(population, sums)
    share, _ = membership(population, people)
    slope, place = np.zeros(sums.n), SLOPES[outcome]
    for j, part in enumerate(people):
        slope += share[j] * (population.means[j, place] + population.roots[j, place] @ part.shift)
    return 1.0 if ((slope - slope.mean()) ** 3).sum() >= 0 else -1.0


def fit_population(sums: Sums, *, mixed: bool = True) -> Population:
    """Fit one normal for each slope and, if ``mixed``, add normals where the data support them.

    A further normal enters if the fit with it has settled and Akaike's criterion is better. Glucose slopes come first,
    as they are measured more exactly.
    """
    chosen = maximise(SINGLE_START, sums)
    grown = mixed
    while grown:
        grown = False
        for outcome in (1, 0):
            if chosen.shape[outcome] >= min(MAX_COMPONENTS, sums.n // PEOPLE_PER_COMPONENT):
                continue
            richer = maximise(split(chosen, outcome, _side(chosen, sums, outcome)), sums)
            if richer.converged and criterion(richer) < criterion(chosen):
                chosen, grown = richer, True
    return chosen


def refit(chosen: Population, sums: Sums, weight: Floats) -> Population:
    """Fit the same mixture again with other counts (n,) of the people, from where it stands."""
    return maximise(chosen, sums, weight)
