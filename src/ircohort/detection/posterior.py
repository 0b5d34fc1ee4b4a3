"""Courses of each series, drawn from the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ircohort.detection.population import NODE_WEIGHTS, NODES, Population, evidence, memberships, posteriors
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """The fixed random numbers from which everybody's courses are made: ``normal`` (d, draws), ``choice`` (draws,)."""

    normal: Floats
    choice: Floats

    def blocks(self, count: int) -> Iterator[NDArray[np.intp]]:
        """Share the draws out over ``count`` populations."""
        yield from np.array_split(np.arange(len(self.choice)), count)


def make_noise(size: int, draws: int, seed: int) -> Noise:
    """Scrambled Sobol points, at least ``draws`` of them: the same for everybody, so that position plays no part."""
    from scipy.stats import qmc  # the heaviest import of all, and only detection needs it

    points = qmc.Sobol(size + 1, scramble=True, rng=np.random.default_rng(seed)).random_base2((draws - 1).bit_length())
    points = np.clip(points, 1e-9, 1 - 1e-9)
    return Noise(ndtri(points[:, :size].T), points[:, size].copy())


def draw_courses(populations: tuple[Population, ...], sums: Sums, noise: Noise) -> Floats:
    """Draw courses (d, n, draws) of the series of ``sums``, on standardised axes.

    Each population gives its share of the draws: uncertainty about the population is averaged over.
    """
    drawn = [
        _draw(population, sums, noise.normal[:, block], noise.choice[block])
        for population, block in zip(populations, noise.blocks(len(populations)), strict=True)
    ]
    return np.concatenate(drawn, axis=2)


def _draw(population: Population, sums: Sums, normal: Floats, choice: Floats) -> Floats:
    parts = posteriors(population, evidence(sums, population.residual))
    share, _ = memberships(parts)
    upper = np.cumsum(share.reshape(-1, sums.n), axis=0)
    picked = (choice[None, None, :] > upper[:-1, :, None]).sum(axis=0)
    component, node = np.divmod(picked, len(NODES))
    courses = np.empty((sums.axes.size, sums.n, len(choice)))
    for k, part in enumerate(parts):
        who, draw = np.nonzero(component == k)
        spread = np.einsum("abm,am->bm", part.root[:, :, who], normal[:, draw])
        courses[:, who, draw] = part.centre[:, who] + NODES[node[who, draw]] * part.lean[:, who] + spread
    return courses


def draw_prior(populations: tuple[Population, ...], noise: Noise) -> Floats:
    """Draw courses (d, 1, draws) of somebody of whom nothing is known but that they belong to the cohort."""
    drawn = []
    for population, block in zip(populations, noise.blocks(len(populations)), strict=True):
        weights = np.outer(population.weights, NODE_WEIGHTS).ravel()
        picked = (noise.choice[None, block] > np.cumsum(weights)[:-1, None]).sum(axis=0)
        component, node = np.divmod(picked, len(NODES))
        roots = np.linalg.cholesky(population.covariance)[component]
        spread = np.einsum("dab,bd->ad", roots, noise.normal[:, block])
        drawn.append(population.centre[component].T + NODES[node] * population.tail[component].T + spread)
    return np.concatenate(drawn, axis=1)[:, None, :]
