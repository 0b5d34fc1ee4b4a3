"""Nodes for the integrals over random effects, placed about what is likely for each participant."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import shake_256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from ircohort.lmm.censored.expectation import Cohort, GivenExact, Nodes, Parameters, expect, given_exact
from ircohort.lmm.censored.truncated import truncated_moments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POINTS = {1: 41, 2: 25}
"""Points for each random effect of a grid, by the number of random effects."""

SOBOL_POINTS = 1024
"""Points in all, where there are too many random effects for a grid."""

_REACH = 8.0
_CORNER = 8.5
_WIDER = 1.25
_CLIMBS, _REFINEMENTS = 30, 2


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes in standard deviations about the mean, ``t`` (q, m or 1, K), and the log of their weights (m or 1, K)."""

    t: Floats
    log_weight: Floats


def rule_for(q: int, points: int, people: Ints, ids: tuple[Any, ...], seed: int) -> Rule:
    """Give the rule for q random effects: a grid of ``points`` each for one or two, else ``points`` of a Sobol set.

    The grid is the trapezoidal rule after t = sinh(x), which is dense in the middle and reaches 8 standard deviations.
    The Sobol set is the same for all, shifted for each participant by a hash of the seed and the identifier, so that
    errors do not add up, and neither order nor company of a participant matters.

    Source
    ------
    Takahasi and Mori 1974, Publ RIMS 9:721, doi:10.2977/prims/1195192451; Cranley and Patterson 1976, SIAM J Numer
    Anal 13:904, doi:10.1137/0713071.
    """
    return _grid(q, points) if q in POINTS else _sobol(q, points, [ids[person] for person in people], seed)


def _grid(q: int, points: int) -> Rule:
    x = np.linspace(-1.0, 1.0, points) * np.arcsinh(_REACH)
    log_weight = np.log(np.cosh(x) * (x[1] - x[0]))
    t = np.stack(np.meshgrid(*[np.sinh(x)] * q, indexing="ij")).reshape(q, -1)
    weights = np.sum(np.meshgrid(*[log_weight] * q, indexing="ij"), axis=0).ravel()
    inside = (t**2).sum(axis=0) <= _CORNER**2
    return Rule(t[:, None, inside], weights[None, inside])


def _sobol(q: int, points: int, ids: list[Any], seed: int) -> Rule:
    base = qmc.Sobol(q, scramble=True, rng=np.random.default_rng(seed)).random_base2(int(np.log2(points)))
    shifts = np.array([_shift(q, seed, identifier) for identifier in ids]).reshape(len(ids), 1, q)
    uniform = np.clip((base[None] + shifts) % 1.0, 1e-12, 1 - 1e-12)
    normal = ndtri(uniform).transpose(2, 0, 1)
    log_weight = 0.5 * (normal**2).sum(axis=0) + q * (0.5 * np.log(2 * np.pi) + np.log(_WIDER)) - np.log(len(base))
    return Rule(_WIDER * normal, log_weight)


def _shift(q: int, seed: int, identifier: Any) -> Floats:
    digest = shake_256(f"{seed}|{identifier}".encode()).digest(8 * q)
    return np.frombuffer(digest, dtype=">u8").astype(np.float64) / 2.0**64


def place_nodes(cohort: Cohort, at: Parameters, people: Ints, rule: Rule) -> Nodes:
    """Lay the rule about the conditional mean of v of each of ``people``, (m,), with its conditional covariance."""
    if len(people) == 0:
        return Nodes(people, np.empty((len(at.A), 0, 1)), np.empty((0, 1)))
    mean, C = _mode(cohort, at, people)
    for _ in range(_REFINEMENTS):
        found = expect(cohort, at, _laid(mean, C, people, rule))
        mean = found.v[people]
        # A touch of the first covariance keeps the spread from collapsing where few nodes carry the weight.
        C = found.vv[people] - mean[:, :, None] * mean[:, None, :] + 1e-3 * C
    return _laid(mean, C, people, rule)


def _laid(mean: Floats, C: Floats, people: Ints, rule: Rule) -> Nodes:
    root = np.linalg.cholesky(C)
    v = np.einsum("mab,bmk->amk", root, np.broadcast_to(rule.t, (rule.t.shape[0], len(people), rule.t.shape[2])))
    log_root = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return Nodes(people, v + mean.T[:, :, None], rule.log_weight + log_root[:, None])


def _mode(cohort: Cohort, at: Parameters, people: Ints) -> tuple[Floats, Floats]:
    """Climb to the mode of v, and give the inverse curvature there.

    Each step puts the mean within its bounds for a censored reading; it never overshoots, because bounds tell less
    than a reading.
    """
    given: GivenExact = given_exact(cohort.exact, at)
    rows = cohort.censored.take(np.isin(cohort.censored.person, people))
    local = np.searchsorted(people, rows.person)
    starts = np.searchsorted(local, np.arange(len(people)))
    z = rows.Z @ at.A
    outer = z[:, :, None] * z[:, None, :] / at.s**2
    M = np.linalg.inv(given.C[people])
    m, level = given.m[people], rows.X @ at.b
    step = np.linalg.inv(M + np.add.reduceat(outer, starts, axis=0))
    v = m.copy()
    for _ in range(_CLIMBS):
        middle = level + (z * v[local]).sum(axis=1)
        inside = truncated_moments((rows.low - middle) / at.s, (rows.high - middle) / at.s)
        slope = np.add.reduceat(z * (inside.mean / at.s)[:, None], starts, axis=0)
        slope -= (M @ (v - m)[:, :, None])[:, :, 0]
        v = v + (step @ slope[:, :, None])[:, :, 0]
    told = 1.0 - np.clip(inside.square - inside.mean**2, 0.0, 1.0)
    return v, np.linalg.inv(M + np.add.reduceat(outer * told[:, None, None], starts, axis=0))
