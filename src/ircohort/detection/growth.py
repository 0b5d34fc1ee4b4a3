"""How rich the population may be: components are added, and straightened, while the data support it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.climbing import Pull, climb
from ircohort.detection.curves import TREND
from ircohort.detection.population import Population, evidence, marker_bend, posteriors
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]

MAX_COMPONENTS = 4
"""Components of the population, at most."""

FEWEST_COMPONENTS = 2
"""Components where there are people enough: with one, its tail goes to the few whose glucose climbs away, and the
insulin of all others is taken to spread evenly upwards and downwards."""

SERIES_PER_COMPONENT = 60
"""Series that each of them takes."""

AS_GOOD = 6.0
"""Populations whose Akaike criterion lies within this of the best one are averaged over."""

_CYCLES = 40
_FURTHER_CYCLES = 20  # from a fit that differs in the straightness of one component
_TAIL_SHARE = 0.8  # of the SD of the marker's trend, with which a tail begins
_COMMON_SHARE = 0.3  # of the common covariance, towards which components are pulled


def single(sums: Sums) -> Population:
    """Fit one component without a tail: where every fit begins."""
    d, q = sums.axes.size, len(sums.axes.outcomes)
    start = Population(
        weights=np.ones(1),
        centre=np.zeros((1, d)),
        tail=np.zeros((1, d)),
        covariance=0.5 * np.eye(d)[None],
        residual=0.4 * np.eye(q),
        straight=np.zeros(1, dtype=bool),
    )
    return climb(start, sums, _CYCLES)


def grow(sums: Sums, seed: int) -> tuple[Population, ...]:
    """Fit populations of growing richness, and give those that the data support, best first.

    A further component enters while Akaike's criterion improves. In each population the largest components are then
    made straight, one after the other, while the criterion improves: a marker bends where the data ask for it.
    """
    common = single(sums)
    most = min(MAX_COMPONENTS, max(1, sums.n // SERIES_PER_COMPONENT))
    found: list[Population] = []
    for k in range(min(FEWEST_COMPONENTS, most), most + 1):
        fits = _straightening(_start(common, sums, k, seed), sums, common)
        best = min(fits, key=lambda fit: fit.criterion)
        richer = not found or best.criterion < min(fit.criterion for fit in found)
        found += fits
        if not richer:
            break
    found.sort(key=lambda fit: fit.criterion)
    return tuple(fit for fit in found if fit.criterion <= found[0].criterion + AS_GOOD)


def pull_of(common: Population) -> Pull:
    """Give the pull of components towards a share of the common covariance."""
    return Pull(_COMMON_SHARE * common.covariance[0])


def _straightening(start: Population, sums: Sums, common: Population) -> list[Population]:
    fits = [climb(start, sums, _CYCLES, pull=pull_of(common))]
    if marker_bend(sums) is None:
        return fits
    for k in np.argsort(-fits[0].weights, kind="stable"):
        straight = fits[-1].straight.copy()
        straight[k] = True
        fits.append(climb(replace(fits[-1], straight=straight), sums, _FURTHER_CYCLES, pull=pull_of(common)))
        if fits[-1].criterion > fits[-2].criterion:
            break
    return fits


def _start(common: Population, sums: Sums, k: int, seed: int) -> Population:
    """Divide draws of everybody's course into ``k`` clusters, and give each a tail along the marker's trend."""
    if k == 1:
        return _with_tails(common)
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng([seed, k])
    drawn = _draw(common, sums, rng)
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(drawn)), drawn - drawn.mean(axis=1, keepdims=True))
    _, label = kmeans2(whitened.T, k, minit="++", rng=rng)
    counts = np.bincount(label, minlength=k)
    means = [drawn[:, label == j].mean(axis=1) if counts[j] else common.mean for j in range(k)]
    divided = Population(
        weights=(counts + 1.0) / (counts + 1.0).sum(),
        centre=np.array(means),
        tail=np.zeros((k, sums.axes.size)),
        covariance=np.repeat(0.5 * common.covariance, k, axis=0),
        residual=common.residual,
        straight=np.zeros(k, dtype=bool),
    )
    return _with_tails(climb(divided, sums, 10, pull=Pull(common.covariance[0])))


def _draw(common: Population, sums: Sums, rng: np.random.Generator) -> Floats:
    """Draw a course (d, n) of each series from its posterior under the common component."""
    part = posteriors(common, evidence(sums, common.residual))[0]
    return np.asarray(part.centre + np.einsum("abn,an->bn", part.root, rng.standard_normal(part.centre.shape)))


def _with_tails(population: Population) -> Population:
    """Turn part of each component's spread of the marker's trend into a tail upwards."""
    covariance, tail = population.covariance.copy(), population.tail.copy()
    for k, own in enumerate(covariance):
        tail[k] = _TAIL_SHARE * own[:, TREND] / np.sqrt(own[TREND, TREND])
        own -= np.outer(tail[k], tail[k])
    return replace(population, covariance=covariance, tail=tail)


def refit(chosen: Population, sums: Sums, weight: Floats, pull: Pull) -> Population:
    """Fit the same population again with other counts (n,) of the series, from where it stands."""
    return climb(chosen, sums, _REFIT_CYCLES, weight=weight, pull=pull)


_REFIT_CYCLES = 12
