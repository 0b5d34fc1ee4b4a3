"""Courses of each series, drawn from the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ircohort.detection.population import NODES, Population, evidence, memberships, posteriors
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]
Draws = NDArray[np.float32]


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


def draw_courses(populations: tuple[Population, ...], sums: Sums, noise: Noise) -> Draws:
    """Draw courses (d, n, draws) of the series of ``sums``, on standardised axes.

    Each population gives its share of the draws: uncertainty about the population is averaged over.
    """
    drawn = [
        _draw(population, sums, noise.normal[:, block], noise.choice[block])
        for population, block in zip(populations, noise.blocks(len(populations)), strict=True)
    ]
    return np.concatenate(drawn, axis=2)


def _draw(population: Population, sums: Sums, normal: Floats, choice: Floats) -> Draws:
    parts = posteriors(population, evidence(sums, population.residual))
    share, _ = memberships(parts)
    upper = np.cumsum(share.reshape(-1, sums.n), axis=0)
    picked = np.zeros((sums.n, len(choice)), dtype=np.int8)
    for edge in upper[:-1, :, None]:
        picked += choice > edge
    component, node = np.divmod(picked, len(NODES))
    # Room for the courses under one component, used anew for each.
    courses, own, rest = (np.empty((sums.axes.size, *picked.shape), dtype=np.float32) for _ in range(3))
    z, scatter = NODES.astype(np.float32)[node], normal.astype(np.float32)
    for k, part in enumerate(parts):
        centre, lean, root = (values.astype(np.float32) for values in (part.centre, part.lean, part.root))
        np.multiply(z, lean[:, :, None], out=own)
        own += centre[:, :, None]
        np.matmul(root.transpose(2, 1, 0), scatter, out=rest.transpose(1, 0, 2))
        own += rest
        np.copyto(courses, own, where=component == k)
    return courses


def draw_prior(populations: tuple[Population, ...], noise: Noise) -> Floats:
    """Draw courses (d, 1, draws) of somebody of whom nothing is known but that they belong to the cohort."""
    drawn = []
    for population, block in zip(populations, noise.blocks(len(populations)), strict=True):
        weights = np.outer(population.weights, population.z_weights).ravel()
        picked = (noise.choice[None, block] > np.cumsum(weights)[:-1, None]).sum(axis=0)
        component, node = np.divmod(picked, len(NODES))
        roots = np.linalg.cholesky(population.covariance)[component]
        spread = np.einsum("dab,bd->ad", roots, noise.normal[:, block])
        drawn.append(population.centre[component].T + NODES[node] * population.tail[component].T + spread)
    return np.concatenate(drawn, axis=1)[:, None, :]
