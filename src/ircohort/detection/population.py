"""The population: how the courses of log marker and log glucose differ between the people of a cohort.

The readings of one draw are ``y = B(t) u + e``: a person's course ``u`` holds level, trend and bend of each outcome,
``e`` has a full covariance because results of one draw share errors. Courses come from a mixture of components. In a
component, ``u = centre + z tail + normal``: ``z`` has a long upper tail, because a few people change much faster than
the others (with normal components alone, the share of people who rise enough came out too high by a fifth in
simulation). It is a lognormal with mean 0 and variance 1 at nine nodes; large cohorts learn other probabilities of the
nodes. In a ``straight`` component nobody's marker bends otherwise than the component's mean. In an ``upward``
population the marker's trend spreads in the tails only. The components of a ``tied`` population share one covariance.
Series stand on the last axis of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ircohort.detection.curves import BEND, TREND
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]

TAIL_LOG_SD = 0.9
"""SD of the log of the lognormal tail: of 0.6, 0.9, 1.2 and an exponential, the one of highest likelihood on average
in simulated cohorts that lose sensitivity at lognormal speeds with SDs of 0.8 and 1.0."""

LEAST_VARIANCE = 1e-6
"""Added to variances of residuals, on standardised axes, so that readings without scatter have a likelihood."""

ABSENT_VARIANCE = 1e-4
"""Variance of a coefficient that does not vary, on standardised axes: small, so that covariances stay invertible."""


def _nodes(count: int) -> tuple[Floats, Floats]:
    """Cut the lognormal at nodes that grow with the square, from 0 to its 99.8 % point; standardise it."""
    node = np.linspace(0.0, 1.0, count) ** 2 * np.exp(TAIL_LOG_SD * ndtri(0.998))
    edges = 0.5 * (node[1:] + node[:-1])
    weight = np.diff(ndtr(np.log(edges) / TAIL_LOG_SD), prepend=0.0, append=1.0)
    mean = weight @ node
    return (node - mean) / np.sqrt(weight @ (node - mean) ** 2), weight


NODES, NODE_WEIGHTS = _nodes(9)
"""The nodes of z, and their probabilities if z is lognormal."""


@dataclass(frozen=True)
class Population:
    """A mixture of K components of courses with d coefficients, on standardised axes.

    ``weights`` (K,); ``centre``, ``tail`` (K, d); ``covariance`` (K, d, d); ``residual`` (q, q) covariance of the
    outcomes of one draw; ``straight`` (K,), all alike if ``tied``; ``upward``; ``z_weights`` (nodes,) probabilities of
    the nodes of z. ``log_likelihood`` of the data it was fitted to, ``converged``.
    """

    weights: Floats
    centre: Floats
    tail: Floats
    covariance: Floats
    residual: Floats
    straight: NDArray[np.bool_]
    upward: bool = False
    tied: bool = False
    z_weights: Floats = field(default_factory=NODE_WEIGHTS.copy)
    log_likelihood: float = np.nan
    converged: bool = False

    @property
    def components(self) -> int:
        """Number of components, K."""
        return len(self.weights)

    @property
    def mean(self) -> Floats:
        """(d,) mean course."""
        return np.asarray(self.weights @ (self.centre + (NODES @ self.z_weights) * self.tail))

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, the residual covariance and the probabilities of z aside."""
        d = self.centre.shape[1]
        covariances = 1 if self.tied else self.components
        straight = min(self.straight.sum(), covariances)
        lost = straight * d + self.straight.sum() + self.upward * (covariances * d - straight)
        return int(covariances * (d * (d + 1) // 2) + self.components * (2 * d + 1) - lost)

    @property
    def criterion(self) -> float:
        """Akaike's information criterion; smaller is better."""
        return -2 * self.log_likelihood + 2 * self.n_parameters

    def constrained(self, bend: int | None) -> Self:
        """Leave out what the components do not have; ``bend`` is the place of the marker's bend, if it has one."""
        covariance, tail = self.covariance.copy(), self.tail.copy()
        absent = [] if bend is None else [(self.straight, bend)]
        if self.upward:
            absent.append((np.ones(self.components, dtype=bool), TREND))
        for who, place in absent:
            covariance[who, place, :] = covariance[who, :, place] = 0.0
            covariance[who, place, place] = ABSENT_VARIANCE
        if bend is not None:
            tail[self.straight, bend] = 0.0
        return replace(self, covariance=covariance, tail=tail)


def marker_bend(sums: Sums) -> int | None:
    """Place of the bend of the first outcome, the marker; None if it has none."""
    return BEND if sums.axes.columns[0] > BEND else None


@dataclass(frozen=True)
class Evidence:
    """What the readings of n series say of their courses: ``information`` (d, d, n), ``score`` (d, n), ``constant``."""

    information: Floats
    score: Floats
    constant: Floats


def evidence(sums: Sums, residual: Floats) -> Evidence:
    """Weigh the sums of the readings by the residual covariance."""
    axes, q = sums.axes, len(sums.axes.outcomes)
    precision, log_det = np.zeros((len(sums.seen), q, q)), np.zeros(len(sums.seen))
    for p, seen in enumerate(sums.seen):
        own = residual[np.ix_(seen, seen)]
        precision[p][np.ix_(seen, seen)] = np.linalg.inv(own)
        log_det[p] = np.linalg.slogdet(own)[1] + seen.sum() * np.log(2 * np.pi)
    information, score = np.empty((axes.size, axes.size, sums.n)), np.empty((axes.size, sums.n))
    for i, rows in enumerate(axes.places):
        k = axes.columns[i]
        score[rows] = np.einsum("po,pokn->kn", precision[:, i], sums.cross[:, :, :k])
        for j, columns in enumerate(axes.places[: i + 1]):
            block = np.einsum("p,prsn->rsn", precision[:, i, j], sums.design[:, :k, : axes.columns[j]])
            information[rows, columns], information[columns, rows] = block, block.transpose(1, 0, 2)
    constant = np.einsum("pab,pabn->n", precision, sums.squares) + np.einsum("p,pn->n", log_det, sums.design[:, 0, 0])
    return Evidence(information, score, constant)


def inverse_root(matrix: Floats) -> tuple[Floats, Floats]:
    """Inverse of the lower Cholesky factor (d, d, n) of symmetric matrices (d, d, n), and their log determinants."""
    size = matrix.shape[0]
    lower, inverse = np.zeros_like(matrix), np.zeros_like(matrix)
    for j in range(size):
        rest = matrix[j:, j] - np.einsum("ikn,kn->in", lower[j:, :j], lower[j, :j])
        lower[j, j] = np.sqrt(rest[0])
        inverse[j, j] = 1 / lower[j, j]
        lower[j + 1 :, j] = rest[1:] * inverse[j, j]
        inverse[j, :j] = -np.einsum("kn,kjn->jn", lower[j, :j], inverse[:j, :j]) * inverse[j, j]
    return inverse, 2 * np.log(np.stack([lower[i, i] for i in range(size)])).sum(axis=0)


@dataclass(frozen=True)
class Posterior:
    """The courses of n series under one component: normal given z, with mean ``centre + z lean``.

    ``centre``, ``lean`` (d, n); ``root`` (d, d, n) with ``root' root`` the covariance; ``log_joint`` (nodes, n) log of
    the probability of component, node and readings together.
    """

    centre: Floats
    lean: Floats
    root: Floats
    log_joint: Floats


def posteriors(population: Population, found: Evidence) -> tuple[Posterior, ...]:
    """Give each series' course under each component."""
    return tuple(_posterior(population, k, found) for k in range(population.components))


def _posterior(population: Population, k: int, found: Evidence) -> Posterior:
    centre, tail, covariance = population.centre[k], population.tail[k], population.covariance[k]
    precision = np.linalg.inv(covariance)
    root, log_det = inverse_root(found.information + precision[:, :, None])
    own = np.einsum("abn,bn->an", root, found.score + (precision @ centre)[:, None])
    towards = np.einsum("abn,b->an", root, precision @ tail)
    at_centre, across = (own * own).sum(axis=0), (own * towards).sum(axis=0)
    along = (towards * towards).sum(axis=0)
    prior = centre @ precision @ centre + 2 * NODES * (centre @ precision @ tail) + NODES**2 * (tail @ precision @ tail)
    fit = at_centre + 2 * NODES[:, None] * across + NODES[:, None] ** 2 * along
    spread = found.constant + np.linalg.slogdet(covariance)[1] + log_det
    log_joint = np.log(population.weights[k] * population.z_weights)[:, None] - 0.5 * (spread + prior[:, None] - fit)
    return Posterior(np.einsum("abn,an->bn", root, own), np.einsum("abn,an->bn", root, towards), root, log_joint)


def memberships(parts: tuple[Posterior, ...]) -> tuple[Floats, Floats]:
    """Probability (K, nodes, n) of each component and node for each series, and each series' log likelihood (n,)."""
    joint = np.stack([part.log_joint for part in parts])
    top = joint.max(axis=(0, 1))
    share = np.exp(joint - top)
    total = share.sum(axis=(0, 1))
    return share / total, top + np.log(total)


def log_likelihoods(population: Population, sums: Sums) -> Floats:
    """Give the log likelihood (n,) of each series' readings."""
    own = [memberships(posteriors(population, evidence(block, population.residual)))[1] for _, block in sums.blocks]
    return np.concatenate(own)


@dataclass(frozen=True)
class Expected:
    """Expected sums over series, given a population: all that the next population is made of.

    Per component: ``count``, ``z``, ``zz`` (K,), ``u``, ``uz`` (K, d), ``uu`` (K, d, d). ``nodes`` (nodes,) series at
    each node of z, ``residual`` (p, q, q) sums of squared residuals by pattern, ``visits`` (p,), ``log_likelihood``.
    """

    count: Floats
    z: Floats
    zz: Floats
    u: Floats
    uz: Floats
    uu: Floats
    nodes: Floats
    residual: Floats
    visits: Floats
    log_likelihood: float

    def __add__(self, other: Expected) -> Expected:
        """Join the sums of two groups of series."""
        names = ("count", "z", "zz", "u", "uz", "uu", "nodes", "residual", "visits", "log_likelihood")
        return Expected(*(getattr(self, name) + getattr(other, name) for name in names))


def expect(population: Population, sums: Sums, weight: Floats) -> Expected:
    """Sum over all series, block by block; ``weight`` (n,) counts each series."""
    parts = [_expect(population, block, weight[place]) for place, block in sums.blocks]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _expect(population: Population, sums: Sums, weight: Floats) -> Expected:
    parts = posteriors(population, evidence(sums, population.residual))
    share, log_likelihood = memberships(parts)
    d, n = parts[0].centre.shape
    first, second = np.zeros((d, n)), np.zeros((d, d, n))
    rows = []
    share *= weight
    for part, own in zip(parts, share, strict=True):
        s0, s1, s2 = own.sum(axis=0), NODES @ own, NODES**2 @ own
        u, v = part.centre, part.lean
        scaled = (part.root * np.sqrt(s0)).transpose(1, 0, 2).reshape(d, -1)
        mixed = (u * s1) @ v.T
        uu = scaled @ scaled.T + (u * s0) @ u.T + mixed + mixed.T + (v * s2) @ v.T
        rows.append((s0.sum(), s1.sum(), s2.sum(), u @ s0 + v @ s1, u @ s1 + v @ s2, uu))
        first += s0 * u + s1 * v
        _add_second(second, part, s0, s1, s2)
    count, z, zz, us, uz, uu = (np.array(values) for values in zip(*rows, strict=True))
    visits = np.asarray(sums.design[:, 0, 0] @ weight)
    residual = _residual_sums(sums, first, second, weight)
    nodes = share.sum(axis=(0, 2))
    return Expected(count, z, zz, us, uz, uu, nodes, residual, visits, float(log_likelihood @ weight))


def _add_second(second: Floats, part: Posterior, s0: Floats, s1: Floats, s2: Floats) -> None:
    """Add a component's share of the second moments of the courses, in place; the root is lower triangular."""
    u, v, root = part.centre, part.lean, part.root
    su, sv = s0 * u + s1 * v, s1 * u + s2 * v
    for a in range(len(u)):
        term = np.einsum("kn,kbn->bn", root[a:, a], root[a:, : a + 1])
        term *= s0
        term += su[a] * u[: a + 1] + sv[a] * v[: a + 1]
        second[a, : a + 1] += term
        second[:a, a] += term[:-1]


def _residual_sums(sums: Sums, first: Floats, second: Floats, weight: Floats) -> Floats:
    """Give the expected sums (p, q, q) of squared residuals of the measured outcomes."""
    axes = sums.axes
    result = np.asarray(sums.squares @ weight)
    for a, rows in enumerate(axes.places):
        for b, columns in enumerate(axes.places):
            fitted = sums.design[:, : axes.columns[a], : axes.columns[b]] * second[rows, columns]
            crossed = sums.cross[:, a, : axes.columns[b]] * first[columns]
            result[:, a, b] += fitted.sum(axis=(1, 2, 3)) - crossed.sum(axis=(1, 2))
            result[:, b, a] -= crossed.sum(axis=(1, 2))
    return result * (sums.seen[:, :, None] & sums.seen[:, None, :])


def residual_covariance(expected: Expected, seen: NDArray[np.bool_], before: Floats) -> Floats:
    """Give the residual covariance that the expected sums call for.

    Outcomes that a visit lacks enter by what the measured ones say of them under the covariance ``before``.
    """
    total = np.zeros_like(before)
    for squares, visits, own in zip(expected.residual, expected.visits, seen, strict=True):
        onto = before[:, own] @ np.linalg.inv(before[np.ix_(own, own)])
        total += onto @ squares[np.ix_(own, own)] @ onto.T + visits * (before - onto @ before[own])
    return np.asarray(total / expected.visits.sum() + LEAST_VARIANCE * np.eye(len(total)))
