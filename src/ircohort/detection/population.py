"""The population: how log marker and log glucose run in a cohort.

One marker (insulin or TG:HDL) and glucose at a visit are ``y = (1, t) u + e`` with the person's line
``u = (marker level, marker slope, glucose level, glucose slope)`` and a 2 x 2 residual covariance, because results of
one draw share errors. The marker slope and the glucose slope come from mixtures of one to three normals each (people
who stay, people who climb); each level follows its own slope by a linear regression, and the levels go together. The
two slopes are independent: glucose decides whether a rise counts, it is no evidence of a rise. (Where the marker slope
was let depend on the glucose slope by a line, probabilities came out too high by 0.1 and more in simulation: who fails
without compensating was taken to rise.) Visits with only one of the two outcomes enter by that one. The likelihood
needs the data only through sums per person and pattern of missingness, so that its cost does not grow with the number
of visits. People stand on the last axis of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]
_LOWER = np.tril_indices(2)
_LEVELS, SLOPES, _OWN = np.array([0, 2]), np.array([1, 3]), np.array([0, 1])
_PRIOR_PEOPLE = 3.0  # weight, in people, of the pull that keeps a component alive
PRIOR_SD = 0.05  # SD of slopes towards which that pull leads, on the standardised axes
_REGRESSION_SD = 5.0  # weak pull of the regression of levels on slopes to zero; without it a flat direction runs off
_ROUNDS = 300


@dataclass(frozen=True)
class Population:
    """A population of lines on standardised axes: two independent mixtures of normals, and what hangs on them.

    The marker slope comes from ``marker_weights`` (K,), ``marker_means`` (K,), ``marker_sds`` (K,), the glucose slope
    from ``glucose_weights`` (L,), ``glucose_means`` (L,), ``glucose_sds`` (L,); levels = ``level_mean`` (2,) +
    ``level_on_slope`` (2,) times the own slope + ``level_root`` (2, 2), lower, times normal; ``residual_root`` (2, 2)
    lower root of the residual covariance. ``log_likelihood`` without the penalties; ``converged`` and ``evaluations``
    as the optimiser reports them; ``curvature`` its last inverse Hessian.
    """

    marker_weights: Floats
    marker_means: Floats
    marker_sds: Floats
    glucose_weights: Floats
    glucose_means: Floats
    glucose_sds: Floats
    level_mean: Floats
    level_on_slope: Floats
    level_root: Floats
    residual_root: Floats
    log_likelihood: float = np.nan
    converged: bool = False
    evaluations: int = 0
    curvature: Floats | None = None

    @property
    def components(self) -> int:
        """Number of normals in the mixture of marker slopes."""
        return len(self.marker_weights)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of normals of the marker slope, K, and of the glucose slope, L."""
        return len(self.marker_weights), len(self.glucose_weights)

    @property
    def weights(self) -> Floats:
        """(K L,) weight of each pair of components, marker first."""
        return np.outer(self.marker_weights, self.glucose_weights).ravel()

    @property
    def slope_means(self) -> Floats:
        """(K L, 2) mean slopes of each pair."""
        marker, glucose = np.repeat(self.marker_means, self.shape[1]), np.tile(self.glucose_means, self.shape[0])
        return np.column_stack([marker, glucose])

    @property
    def slope_sds(self) -> Floats:
        """(K L, 2) standard deviations of the slopes of each pair; the sign does not matter."""
        marker, glucose = np.repeat(self.marker_sds, self.shape[1]), np.tile(self.glucose_sds, self.shape[0])
        return np.column_stack([marker, glucose])

    @property
    def means(self) -> Floats:
        """(K L, 4) mean line of each pair."""
        slopes = self.slope_means
        lines = np.empty((len(slopes), 4))
        lines[:, SLOPES] = slopes
        lines[:, _LEVELS] = self.level_mean + slopes * self.level_on_slope
        return lines

    @property
    def roots(self) -> Floats:
        """(K L, 4, 4) square roots of the pairs' covariances; the first two columns are the slopes' own."""
        sds = self.slope_sds
        roots = np.zeros((len(sds), 4, 4))
        roots[:, SLOPES, _OWN] = sds
        roots[:, _LEVELS, _OWN] = self.level_on_slope * sds
        roots[:, _LEVELS, 2:] = self.level_root
        return roots

    @property
    def mean(self) -> Floats:
        """(4,) mean line."""
        return np.asarray((self.weights[:, None] * self.means).sum(axis=0))


@dataclass(frozen=True)
class Posterior:
    """The people's lines under one component.

    ``log_density`` (n,) of the readings; ``shift`` (4, n) and ``inverse_root`` (4, 4, n) of the whitened line;
    ``information`` (4, 4, n) and ``score`` (4, n) of the readings about the line.
    """

    log_density: Floats
    shift: Floats
    inverse_root: Floats
    information: Floats
    score: Floats


def _information(sums: Sums, root: Floats) -> tuple[Floats, Floats, Floats]:
    """Information (4, 4, n) about each line, its score at zero (4, n), and -2 log density of the readings at zero."""
    covariance = root @ root.T
    precision = np.zeros((3, 2, 2))
    precision[0] = np.linalg.inv(covariance)
    precision[1, 0, 0], precision[2, 1, 1] = 1 / covariance[0, 0], 1 / covariance[1, 1]
    information = np.einsum("pac,pijn->aicjn", precision, sums.design).reshape(4, 4, sums.n)
    score = np.einsum("pac,pcin->ain", precision, sums.cross).reshape(4, sums.n)
    log_det = np.array([2 * np.log(np.diag(root)).sum(), np.log(covariance[0, 0]), np.log(covariance[1, 1])])
    visits = sums.design[:, 0, 0]
    constant = np.einsum("pac,pacn->n", precision, sums.squares) + np.einsum("p,pn->n", log_det, visits)
    return information, score, constant + np.log(2 * np.pi) * (2 * visits[0] + visits[1] + visits[2])


def _inverse_root(matrix: Floats) -> tuple[Floats, Floats]:
    """Inverse of the lower Cholesky factor (4, 4, n) of symmetric matrices (4, 4, n), and their log determinants."""
    size = matrix.shape[0]
    lower, inverse = np.zeros_like(matrix), np.zeros_like(matrix)
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i, j] - (lower[i, :j] * lower[j, :j]).sum(axis=0)
            lower[i, j] = np.sqrt(rest) if i == j else rest / lower[j, j]
        inverse[i, i] = 1 / lower[i, i]
        for j in range(i):
            inverse[i, j] = -(lower[i, j:i] * inverse[j:i, j]).sum(axis=0) * inverse[i, i]
    return inverse, 2 * np.log(np.stack([lower[i, i] for i in range(size)])).sum(axis=0)


def posteriors(population: Population, sums: Sums) -> tuple[Posterior, ...]:
    """Give each person's line under each component.

    With ``w = inverse_root`` the line is ``mean + root (shift + w' z)``, z standard normal.
    """
    information, score, constant = _information(sums, population.residual_root)
    return tuple(
        _posterior(mean, root, information, score, constant)
        for mean, root in zip(population.means, population.roots, strict=True)
    )


def _posterior(mean: Floats, root: Floats, information: Floats, score: Floats, constant: Floats) -> Posterior:
    whitened = np.einsum("ba,bcn->acn", root, information)
    whitened = np.einsum("acn,cd->adn", whitened, root) + np.eye(4)[:, :, None]
    inverse_root, log_det = _inverse_root(whitened)
    pull = np.einsum("abn,b->an", information, mean)
    centred = np.einsum("ba,bn->an", root, score - pull)
    half = np.einsum("abn,bn->an", inverse_root, centred)
    shift = np.einsum("ban,bn->an", inverse_root, half)
    quadratic = constant - np.einsum("a,an->n", mean, 2 * score - pull) - (half * half).sum(axis=0)
    return Posterior(-0.5 * (quadratic + log_det), shift, inverse_root, information, score)


def membership(population: Population, people: tuple[Posterior, ...]) -> tuple[Floats, Floats]:
    """Probability (K, n) of each component for each person, and each person's log likelihood (n,)."""
    joint = np.log(population.weights)[:, None] + np.stack([part.log_density for part in people])
    top = joint.max(axis=0)
    total = top + np.log(np.exp(joint - top).sum(axis=0))
    return np.exp(joint - total), total


def _pack(population: Population) -> Floats:
    residual = population.residual_root
    return np.concatenate(
        [
            np.log(population.marker_weights[1:] / population.marker_weights[0]),
            population.marker_means,
            population.marker_sds,
            np.log(population.glucose_weights[1:] / population.glucose_weights[0]),
            population.glucose_means,
            population.glucose_sds,
            population.level_mean,
            population.level_on_slope,
            population.level_root[_LOWER],
            [np.log(residual[0, 0]), residual[1, 0], np.log(residual[1, 1])],
        ]
    )


def _unpack(vector: Floats, shape: tuple[int, int]) -> Population:
    k, m = shape
    sizes = [k - 1, k, k, m - 1, m, m, 2, 2, 3]
    logits, means, sds, more, glucose_means, glucose_sds, level, on_slope, level_root, residual = np.split(
        vector, np.cumsum(sizes)
    )
    return Population(
        _weights(logits),
        means,
        sds,
        _weights(more),
        glucose_means,
        glucose_sds,
        level,
        on_slope,
        _lower(level_root),
        _lower(np.array([_positive(residual[0]), residual[1], _positive(residual[2])])),
    )


def _weights(logits: Floats) -> Floats:
    weights = np.exp(np.append(0.0, logits) - max(0.0, logits.max(initial=0.0)))
    return np.asarray(weights / weights.sum())


def _positive(log_sd: float) -> float:
    """Give a residual SD that neither vanishes nor overflows, so that readings without scatter end in a refusal."""
    return float(np.exp(np.clip(log_sd, -8.0, 8.0)))


def _lower(three: Floats) -> Floats:
    return np.array([[three[0], 0.0], [three[1], three[2]]])


def _residual_sums(sums: Sums, line: Floats, second: Floats, weight: Floats) -> Floats:
    """Give the expected sums (3, 2, 2) of squares and products of the residuals, given the lines' first two moments."""
    lines = line.reshape(2, 2, -1) * weight
    cross = np.einsum("ain,pcin->pac", lines, sums.cross)
    fitted = np.einsum("pijn,aicjn->pac", sums.design * weight, second.reshape(2, 2, 2, 2, -1))
    return np.asarray(np.einsum("pacn,n->pac", sums.squares, weight) - cross - cross.transpose(0, 2, 1) + fitted)


def _residual_gradient(root: Floats, expected: Floats, visits: Floats) -> Floats:
    covariance = root @ root.T
    precision = np.linalg.inv(covariance)
    slope = 0.5 * (precision @ expected[0] @ precision - visits[0] * precision)
    for pattern in (1, 2):
        variance = covariance[pattern - 1, pattern - 1]
        own = expected[pattern, pattern - 1, pattern - 1]
        slope[pattern - 1, pattern - 1] += 0.5 * (own / variance - visits[pattern]) / variance
    full = 2 * slope @ root
    return np.array([full[0, 0] * root[0, 0], full[1, 0], full[1, 1] * root[1, 1]])


def _objective(vector: Floats, shape: tuple[int, int], sums: Sums, weight: Floats) -> tuple[float, Floats, float]:
    """Give the penalised log likelihood, its gradient (Fisher's identity), and the log likelihood itself."""
    population = _unpack(vector, shape)
    means, roots = population.means, population.roots
    people = posteriors(population, sums)
    share, log_likelihood = membership(population, people)
    mean_gradient, root_gradient = np.zeros_like(means), np.zeros_like(roots)
    expected = np.zeros((3, 2, 2))
    for j, part in enumerate(people):
        r, root = weight * share[j], roots[j]
        spread = np.einsum("ab,cbn->acn", root, part.inverse_root)
        line = means[j][:, None] + np.einsum("ab,bn->an", root, part.shift)
        rest = part.score - np.einsum("abn,bn->an", part.information, line)
        mean_gradient[j] = (r * rest).sum(axis=-1)
        inner = np.einsum("acn,cbn->abn", spread, part.inverse_root)
        curvature = np.einsum("abn,bcn->ac", part.information, inner * r)
        root_gradient[j] = np.einsum("an,bn->ab", rest * r, part.shift) - curvature
        second = np.einsum("acn,bcn->abn", spread, spread) + line[:, None] * line[None]
        expected += _residual_sums(sums, line, second, r)
    visits = (sums.design[:, 0, 0] * weight).sum(axis=-1)
    plain = float((weight * log_likelihood).sum())
    penalty, push = _penalty(population)
    parts = _line_gradient(population, (weight * share).sum(axis=-1), mean_gradient, root_gradient)
    gradient = np.concatenate([*parts, _residual_gradient(population.residual_root, expected, visits)])
    return plain - penalty, gradient - push, plain


def _line_gradient(population: Population, totals: Floats, mean: Floats, root: Floats) -> list[Floats]:
    """Turn the gradients by each pair's mean (K L, 4) and root (K L, 4, 4) into those by the free parameters."""
    on_slope, shape, counts = population.level_on_slope, population.shape, totals.reshape(population.shape)
    own = root[:, _LEVELS, _OWN]
    means = (mean[:, SLOPES] + mean[:, _LEVELS] * on_slope).reshape(*shape, 2)
    sds = (root[:, SLOPES, _OWN] + own * on_slope).reshape(*shape, 2)
    return [
        (counts.sum(axis=1) - population.marker_weights * counts.sum())[1:],
        means[..., 0].sum(axis=1),
        sds[..., 0].sum(axis=1),
        (counts.sum(axis=0) - population.glucose_weights * counts.sum())[1:],
        means[..., 1].sum(axis=0),
        sds[..., 1].sum(axis=0),
        mean[:, _LEVELS].sum(axis=0),
        (mean[:, _LEVELS] * population.slope_means + own * population.slope_sds).sum(axis=0),
        root[:, _LEVELS, 2:].sum(axis=0)[_LOWER],
    ]


def _penalty(population: Population) -> tuple[float, Floats]:
    """Keep a component from dying out or collapsing on a few people, and a flat regression from running off."""
    strength = population.level_on_slope / _REGRESSION_SD**2
    value = 0.5 * float((population.level_on_slope * strength).sum())
    parts = []
    for weights, means, sds in (
        (population.marker_weights, population.marker_means, population.marker_sds),
        (population.glucose_weights, population.glucose_means, population.glucose_sds),
    ):
        k, people = len(weights), _PRIOR_PEOPLE if len(weights) > 1 else 0.0
        value -= people * float(np.log(weights).sum() - (np.log(np.abs(sds)) + 0.5 * (PRIOR_SD / sds) ** 2).sum())
        parts += [
            -people * (1 - weights * k)[1:],
            np.zeros_like(means),
            people * (1 / sds - PRIOR_SD**2 / sds**3),
        ]
    return value, np.concatenate([*parts, np.zeros(2), strength, np.zeros(6)])


def maximise(start: Population, sums: Sums, weight: Floats | None = None) -> Population:
    """Climb from ``start`` to the (penalised) maximum of the likelihood; ``weight`` (n,) counts each person."""
    counts = np.ones(sums.n) if weight is None else weight

    def negative(vector: Floats) -> tuple[float, Floats]:
        value, gradient, _ = _objective(vector, start.shape, sums, counts)
        return -value / sums.n, -gradient / sums.n

    options: Any = {"maxiter": _ROUNDS, "gtol": 1e-4}
    if start.curvature is not None:
        options["hess_inv0"] = start.curvature
    # A step of the line search may overshoot; the optimiser takes the infinity for what it is and steps back.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = minimize(negative, _pack(start), jac=True, method="BFGS", options=options)
    return replace(
        _unpack(found.x, start.shape),
        log_likelihood=_objective(found.x, start.shape, sums, counts)[2],
        converged=bool(found.success),
        evaluations=int(found.nfev),
        curvature=_symmetric(np.asarray(found.hess_inv)),
    )


def _symmetric(matrix: Floats) -> Floats | None:
    """Give the optimiser's inverse Hessian, if it can start another climb; None if rounding spoilt it."""
    middle = 0.5 * (matrix + matrix.T)
    smallest = np.linalg.eigvalsh(middle)[0]
    return np.asarray(middle) if smallest > 1e-10 else None
