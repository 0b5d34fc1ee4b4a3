"""Curves of each person, drawn from the posterior."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ircohort.detection.growth import fit_population, refit
from ircohort.detection.population import Population, Posterior, membership, posteriors
from ircohort.detection.settings import DetectSettings
from ircohort.detection.spread import SlopeSpread, slope_spread
from ircohort.detection.sums import Sums, make_sums

Floats = NDArray[np.float64]

MIN_PEOPLE = 20
"""With fewer people no population is fitted: the spread of slopes would be a guess."""

FIT_UP_TO = 5000
"""Of more people this many, chosen by hash, set the population; everyone is judged. A matter of speed only."""


@dataclass(frozen=True)
class MarkerFit:
    """A marker's population and the sums of its people.

    ``ids`` the participants in the fit, in the order of ``sums``; ``spread`` the slopes of a single normal; ``chosen``
    the mixture; ``refits`` the populations over which the posterior is averaged (``chosen`` alone where the population
    is taken as known).
    """

    marker: str
    ids: tuple[str, ...]
    n_visits: int
    sums: Sums
    spread: SlopeSpread
    chosen: Population
    refits: tuple[Population, ...]

    @property
    def mean_slope(self) -> float:
        """Mean slope of the log marker per year."""
        return float(self.chosen.mean[1] * self.sums.sd[0] / self.sums.unit)


def hashed_uniforms(seed: int, participant_id: str, count: int) -> Floats:
    """Uniform numbers (count,) in (0, 1) that depend on the seed and the participant alone.

    Examples
    --------
    >>> bool((hashed_uniforms(0, "001", 3) == hashed_uniforms(0, "001", 5)[:3]).all())
    True
    """
    blocks = [
        hashlib.blake2b(f"{seed}\x1f{block}\x1f{participant_id}".encode()).digest() for block in range(-(-count // 8))
    ]
    whole = np.frombuffer(b"".join(blocks), dtype="<u8")[:count]
    return np.asarray((whole >> np.uint64(11)).astype(float) + 0.5) / 2.0**53


def fit_marker(
    marker: str,
    ids: tuple[str, ...],
    person: NDArray[np.intp],
    years: Floats,
    outcomes: Floats,
    settings: DetectSettings,
    seed: int,
) -> MarkerFit:
    """Fit the population of one marker and glucose.

    Parameters
    ----------
    ids
        (n,) participants.
    person
        (m,) index into ``ids`` of each visit, non-decreasing.
    years, outcomes
        (m,) times; (m, 2) log marker and log glucose, NaN where not measured.
    """
    sums = make_sums(person, len(ids), years, outcomes)
    has = np.isfinite(outcomes[:, 0])
    spread = slope_spread(person[has], years[has], outcomes[has, 0])
    n_weights = settings.refits if len(ids) <= settings.refit_up_to and spread.identifiable else 0
    uniforms = np.stack([hashed_uniforms(seed, name, 1 + n_weights) for name in ids])
    chosen_people = np.sort(np.argsort(uniforms[:, 0], kind="stable")[:FIT_UP_TO])
    part = sums.take(chosen_people)
    chosen = fit_population(part, mixed=spread.identifiable)
    counts = -np.log(uniforms[chosen_people, 1:])
    refits = tuple(refit(chosen, part, counts[:, r] * part.n / counts[:, r].sum()) for r in range(n_weights))
    return MarkerFit(marker, ids, int(has.sum()), sums, spread, chosen, refits or (chosen,))


@dataclass(frozen=True)
class Noise:
    """The fixed random numbers from which every person's curves are made: ``normal`` (4, d), ``choice`` (d,)."""

    normal: Floats
    choice: Floats


def make_noise(draws: int, seed: int) -> Noise:
    """Scrambled Sobol points, at least ``draws`` of them: the same for everybody, so that position plays no part."""
    from scipy.stats import qmc  # the heaviest import of all, and only detection needs it

    points = qmc.Sobol(5, scramble=True, rng=np.random.default_rng(seed)).random_base2(int(np.ceil(np.log2(draws))))
    points = np.clip(points, 1e-9, 1 - 1e-9)
    return Noise(ndtri(points[:, :4].T), points[:, 4].copy())


def natural(lines: Floats, sums: Sums) -> Floats:
    """Turn standardised lines (4, ...) into log marker and log glucose at year 0, and their change per year."""
    result = np.empty_like(lines)
    for outcome in (0, 1):
        level, slope = lines[2 * outcome], lines[2 * outcome + 1]
        result[2 * outcome] = sums.mean[outcome] + sums.sd[outcome] * (level - slope * sums.centre / sums.unit)
        result[2 * outcome + 1] = sums.sd[outcome] * slope / sums.unit
    return result


def draw_lines(fit: MarkerFit, people: NDArray[np.intp], noise: Noise) -> Floats:
    """Draw the lines of some people from their posterior: (4, n, d), on natural axes.

    Each refit of the population gives its share of the draws: uncertainty about the population is averaged over.
    """
    sums = fit.sums.take(people)
    blocks = np.array_split(np.arange(len(noise.choice)), len(fit.refits))
    drawn = [
        _draw_block(population, sums, noise.normal[:, block], noise.choice[block])
        for population, block in zip(fit.refits, blocks, strict=True)
    ]
    return natural(np.concatenate(drawn, axis=2), sums)


def _draw_block(population: Population, sums: Sums, normal: Floats, choice: Floats) -> Floats:
    parts = posteriors(population, sums)
    share, _ = membership(population, parts)
    upper = np.cumsum(share, axis=0)
    component = (choice[None, None, :] > upper[:-1, :, None]).sum(axis=0)
    lines = np.empty((4, sums.n, len(choice)))
    for k, part in enumerate(parts):
        who = component == k
        if who.any():
            candidate = _lines_of(population.means[k], population.roots[k], part, normal)
            lines[:, who] = candidate[:, who]
    return lines


def _lines_of(mean: Floats, root: Floats, part: Posterior, normal: Floats) -> Floats:
    centre = mean[:, None] + np.einsum("ab,bn->an", root, part.shift)
    spread = np.einsum("ab,cbn->acn", root, part.inverse_root)
    lines = np.repeat(centre[:, :, None], normal.shape[1], axis=2)
    for a in range(4):
        for c in range(4):
            lines[a] += spread[a, c][:, None] * normal[c]
    return lines


def draw_prior(fit: MarkerFit, noise: Noise) -> Floats:
    """Draw the lines (4, d) of people of whom nothing is known but that they belong to the cohort."""
    population = fit.chosen
    component = (noise.choice[None, :] > np.cumsum(population.weights)[:-1, None]).sum(axis=0)
    lines = population.means[component].T + np.einsum("dab,bd->ad", population.roots[component], noise.normal)
    return natural(lines, fit.sums)
