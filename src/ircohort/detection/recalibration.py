"""How far probabilities from a population learned from few people can be taken at their word, and what to do about it.

A population that was learned from a few hundred people fits them better than it fits the truth, and probabilities lie
too far from the middle. By how much is found by doing the same again where the truth is known: cohorts with the same
visits are drawn from the fitted population, a population is learned from each, and stated probabilities are held
against the windows that the drawn courses have. A logistic curve between the two then corrects what is stated of the
real cohort (a calibration by parametric bootstrap).

Source: Beran 1987, Biometrika 74:457, doi:10.1093/biomet/74.3.457 (prepivoting: a bootstrap corrects a bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from ircohort.detection.curves import Axes
from ircohort.detection.judging import Drawn, window_draws
from ircohort.detection.population import NODES, Population
from ircohort.detection.posterior import Noise, draw_courses
from ircohort.detection.sums import Readings, Sums, make_sums
from ircohort.estimand import HiddenWindow

Floats = NDArray[np.float64]

_FEWEST = 20  # windows, and courses without one, below which no curve is fitted
_STEEPEST = 1.0  # stated probabilities are drawn together, never apart


@dataclass(frozen=True)
class Correction:
    """The log odds of a window are ``shift + slope`` times the stated ones."""

    shift: float = 0.0
    slope: float = 1.0

    def __call__(self, probability: Floats) -> Floats:
        """Correct stated probabilities of any shape; NaN stays."""
        if self.shift == 0.0 and self.slope == 1.0:
            return probability
        with np.errstate(invalid="ignore"):
            return np.asarray(expit(self.shift + self.slope * logit(np.clip(probability, _LEAST, 1 - _LEAST))))


_LEAST = 1e-3
NO_CORRECTION = Correction()


def learn_correction(
    readings: Readings,
    judged: NDArray[np.bool_],
    axes: Axes,
    sources: tuple[Population, ...],
    learn: Callable[[Sums], tuple[Population, ...]],
    rule: HiddenWindow,
    cohorts: int,
    seed: int,
) -> Correction:
    """Draw cohorts with the visits of ``readings``, learn a population from each, and compare.

    Parameters
    ----------
    readings
        Those of the cohort, series in an order in which names play no part; only their times, weights and what is
        missing count.
    judged
        (n,) which series can be judged. All are learned from, but only these are compared: the others, too short to
        hold a window, would be found right whatever is stated of those that are not.
    sources
        Populations from which cohorts are drawn in turn.
    learn
        Learns populations from a drawn cohort, each of which has as much say.
    cohorts
        Number of cohorts to draw; 0 for no correction.
    """
    if not cohorts or not judged.any():
        return NO_CORRECTION
    stated, true = [], []
    n, compared = len(judged), np.flatnonzero(judged)
    follow_up = np.zeros(n)
    np.maximum.at(follow_up, readings.series, readings.years)
    follow_up = follow_up[compared]
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        source = sources[number % len(sources)]
        courses = _courses(source, n, rng)
        scatter = rng.standard_normal(readings.values.shape) @ np.linalg.cholesky(source.residual).T
        again = make_sums(_readings(readings, courses, axes, scatter), n, axes)
        learned = learn(again)
        noise = Noise(rng.standard_normal((axes.size, _DRAWS)), rng.random(_DRAWS))
        marker = axes.outcomes[0]
        for place, block in again.take(compared).blocks:
            drawn = Drawn(axes, draw_courses(learned, block, noise), follow_up[place])
            stated.append(window_draws(drawn, marker, rule).mean(axis=1))
        true.append(window_draws(Drawn(axes, courses[:, compared, None], follow_up), marker, rule)[:, 0])
    return _curve(np.concatenate(stated), np.concatenate(true))


_DRAWS = 128


def _courses(population: Population, n: int, rng: np.random.Generator) -> Floats:
    """Draw a course (d, n) for each series."""
    weights = np.outer(population.weights, population.z_weights).ravel()
    component, node = np.divmod(rng.choice(weights.size, n, p=weights / weights.sum()), len(NODES))
    roots = np.linalg.cholesky(population.covariance)[component]
    spread = np.einsum("nab,nb->an", roots, rng.standard_normal((n, population.centre.shape[1])))
    return np.asarray(population.centre[component].T + NODES[node] * population.tail[component].T + spread)


def _readings(readings: Readings, courses: Floats, axes: Axes, scatter: Floats) -> Readings:
    """Read drawn courses at the times of the real readings, with ``scatter`` (m, q), and with the same gaps."""
    basis = axes.basis(readings.years)
    values = np.empty_like(readings.values)
    scatter = scatter / np.sqrt(readings.weight)[:, None]
    for j, rows in enumerate(axes.places):
        level = (basis[:, : axes.columns[j]] * courses[rows][:, readings.series].T).sum(axis=1)
        values[:, j] = axes.mean[j] + axes.sd[j] * (level + scatter[:, j])
    values[~np.isfinite(readings.values)] = np.nan
    return Readings(readings.series, readings.years, values, readings.weight)


def _curve(stated: Floats, true: NDArray[np.bool_]) -> Correction:
    """Fit the logistic curve by maximum likelihood."""
    if min(true.sum(), (~true).sum()) < _FEWEST:
        return NO_CORRECTION
    odds = logit(np.clip(stated, _LEAST, 1 - _LEAST))

    def deviance(values: Floats) -> tuple[float, Floats]:
        linear = values[0] + values[1] * odds
        rest = expit(linear) - true
        return float((np.logaddexp(0.0, linear) - true * linear).sum()), np.array([rest.sum(), (rest * odds).sum()])

    found = minimize(deviance, np.array([0.0, 1.0]), jac=True, bounds=[(None, None), (0.0, _STEEPEST)])
    return Correction(float(found.x[0]), float(found.x[1]))
