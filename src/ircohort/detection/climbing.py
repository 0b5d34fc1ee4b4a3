"""From a population to a better one: expectation and maximisation, with steps stretched where they creep."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ircohort.detection.population import (
    LEAST_VARIANCE,
    NODE_WEIGHTS,
    NODES,
    Expected,
    Population,
    expect,
    marker_bend,
    residual_covariance,
)
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]

_PRIOR_PEOPLE = 5.0  # weight, in people, of the pull of a component's covariance towards the common one
_PRIOR_WEIGHT = 2.0  # people added to each component, so that none dies out
_TAIL_PRIOR = 1.0  # people with z = 1 and no tail
_FURTHEST = 30.0  # longest stretch of a step
_SLACK = 1.0  # log likelihood that a stretched step may lose before the plain one is taken instead
_LEAST_OF_COURSES = 1e-8  # variance added to the covariances of courses, so that they can be inverted
_SETTLED = 1e-6  # gain in log likelihood per series and cycle below which a climb has arrived


@dataclass(frozen=True)
class Pull:
    """The covariance (d, d) towards which components are pulled, and how many people the pull is worth.

    ``z_people`` is what the lognormal of z is worth; where it is infinite, z stays as it is.
    """

    towards: Floats
    people: float = _PRIOR_PEOPLE
    z_people: float = np.inf


def better(population: Population, sums: Sums, weight: Floats, pull: Pull | None) -> Population:
    """Take one step of expectation and maximisation; ``log_likelihood`` is that of the population given."""
    found = expect(population, sums, weight)
    bend = marker_bend(sums)
    centre, tail, rest = (np.empty_like(part) for part in (population.centre, population.tail, population.covariance))
    for k in range(population.components):
        straight = bend if population.straight[k] else None
        centre[k], tail[k], rest[k] = _component(found, k, straight)
    covariance = _covariances(rest, found.count + _TAIL_PRIOR, pull, tied=population.tied)
    weights = found.count + _PRIOR_WEIGHT * (population.components > 1)
    residual = residual_covariance(found, sums.seen, population.residual)
    z_weights = population.z_weights
    if pull is not None and np.isfinite(pull.z_people):
        nodes = found.nodes + pull.z_people * NODE_WEIGHTS
        z_weights = nodes / nodes.sum()
    new = replace(
        population,
        weights=weights / weights.sum(),
        centre=centre,
        tail=tail,
        covariance=covariance,
        residual=residual,
        z_weights=z_weights,
        log_likelihood=found.log_likelihood,
    )
    return new.constrained(bend)


def _component(found: Expected, k: int, straight: int | None) -> tuple[Floats, Floats, Floats]:
    """Regress a component's courses on z, and give the sums of squares that are left; ``straight`` has no tail.

    The tail is pulled to nothing by as much as the component's own covariance and so many people say.
    """
    moments = np.array([[found.count[k], found.z[k]], [found.z[k], found.zz[k] + _TAIL_PRIOR]])
    products = np.column_stack([found.u[k], found.uz[k]])
    lines = np.linalg.solve(moments + 1e-9 * np.eye(2), products.T).T
    if straight is not None:
        lines[straight] = found.u[k][straight] / max(found.count[k], 1e-9), 0.0
    rest = found.uu[k] - lines @ products.T - products @ lines.T + lines @ moments @ lines.T
    return lines[:, 0], lines[:, 1], rest


def _covariances(rest: Floats, people: Floats, pull: Pull | None, *, tied: bool) -> Floats:
    """Give covariances (K, d, d) from sums of squares about the components, pulled; one and the same if ``tied``."""
    k, d, _ = rest.shape
    if tied:
        rest, people = rest.sum(axis=0, keepdims=True), people.sum(keepdims=True)
    if pull is not None:
        rest, people = rest + pull.people * pull.towards, people + pull.people
    covariance = 0.5 * (rest + rest.transpose(0, 2, 1)) / people[:, None, None] + _LEAST_OF_COURSES * np.eye(d)
    return np.broadcast_to(covariance, (k, d, d)).copy()


def _pack(population: Population) -> Floats:
    """Write a population as one vector without bounds."""
    roots = [_log_diagonal(np.linalg.cholesky(part)) for part in (*population.covariance, population.residual)]
    lower = [root[np.tril_indices(len(root))] for root in roots]
    logs = np.log(population.weights), np.log(population.z_weights)
    return np.concatenate([*logs, population.centre.ravel(), population.tail.ravel(), *lower])


def _log_diagonal(root: Floats) -> Floats:
    np.fill_diagonal(root, np.log(np.diag(root)))
    return root


def _unpack(vector: Floats, like: Population) -> Population:
    k, d = like.centre.shape
    logs, z_logs, centre, tail, rest = np.split(vector, np.cumsum([k, len(NODES), k * d, k * d]))
    size = d * (d + 1) // 2
    covariance = np.stack([_from_root(rest[i * size : (i + 1) * size], d) for i in range(k)])
    residual = _from_root(rest[k * size :], len(like.residual))
    return replace(
        like,
        weights=softmax(logs),
        z_weights=softmax(z_logs),
        centre=centre.reshape(k, d),
        tail=tail.reshape(k, d),
        covariance=covariance,
        residual=residual,
    )


def _from_root(lower: Floats, size: int) -> Floats:
    root = np.zeros((size, size))
    root[np.tril_indices(size)] = lower
    np.fill_diagonal(root, np.exp(np.clip(np.diag(root), -15.0, 15.0)))
    return root @ root.T


def climb(
    population: Population, sums: Sums, cycles: int, *, weight: Floats | None = None, pull: Pull | None = None
) -> Population:
    """Climb until the log likelihood has settled, or for so many cycles.

    Two plain steps show where a third would lead (SQUAREM); where that one fails, the plain ones are kept.

    Source
    ------
    Varadhan and Roland 2008, Scand J Stat 35:335, doi:10.1111/j.1467-9469.2007.00585.x.
    """
    counts = np.ones(sums.n) if weight is None else weight
    before, settled = -np.inf, False
    for _ in range(cycles):
        once = better(population, sums, counts, pull)
        now = once.log_likelihood
        settled = abs(now - before) < _SETTLED * sums.n
        twice = better(once, sums, counts, pull)
        population = _stretched(population, once, twice, sums, counts, pull)
        if settled:
            break
        before = now
    final = expect(population, sums, counts).log_likelihood
    return replace(population, log_likelihood=final, converged=bool(settled))


def _stretched(
    start: Population, once: Population, twice: Population, sums: Sums, counts: Floats, pull: Pull | None
) -> Population:
    begun, first, second = (_pack(part) for part in (start, once, twice))
    step, turn = first - begun, second - 2 * first + begun
    length = float(np.clip(np.sqrt((step @ step) / np.maximum(turn @ turn, 1e-300)), 1.0, _FURTHEST))
    try:
        ahead = _unpack(begun + 2 * length * step + length**2 * turn, start)
        if not _within_bounds(ahead):
            return twice
        far = better(ahead, sums, counts, pull)
    except np.linalg.LinAlgError:
        return twice
    good = np.isfinite(far.log_likelihood) and far.log_likelihood >= twice.log_likelihood - _SLACK
    return far if good else twice


def _within_bounds(population: Population) -> bool:
    """Whether no variance is less than plain steps leave: with less, likelihoods of exact readings are void."""
    residual, courses = np.linalg.eigvalsh(population.residual), np.linalg.eigvalsh(population.covariance)
    return bool(residual.min() >= LEAST_VARIANCE and courses.min() >= _LEAST_OF_COURSES)
