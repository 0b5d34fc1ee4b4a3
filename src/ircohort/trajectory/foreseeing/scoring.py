"""How well a marker, glucose, and both together rank visits that an event followed above those that none followed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

_STEPS = 40
_TOLERANCE = 1e-9
_SQUARE = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
"""Where the entries of a symmetric matrix stand among its six different ones."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Visits (n,) of one lag and marker, sorted by fold.

    ``event``: it followed within the lag; ``person``: whose visit, as a number; ``fold``: the part of the
    cross-validation, one per person; ``weight``: 1 over the visits of the person; ``glucose`` and ``marker``: scores
    of which a higher one speaks for the event.
    """

    event: Flags
    person: Indices
    fold: Indices
    weight: Floats
    glucose: Floats
    marker: Floats

    @cached_property
    def starts(self) -> Indices:
        """Where each fold begins."""
        return np.flatnonzero(np.concatenate([[True], self.fold[1:] != self.fold[:-1]]))

    @cached_property
    def place(self) -> Indices:
        """The fold of each visit, counted from 0 without gaps."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(self.fold))))

    @cached_property
    def columns(self) -> Floats:
        """The design (3, n) of the logistic model: 1, glucose, marker, the latter two centred and scaled."""
        return np.stack([np.ones(len(self.event)), _scaled(self.glucose), _scaled(self.marker)])

    @cached_property
    def products(self) -> Floats:
        """The six different products of two columns (6, n)."""
        return np.stack([self.columns[i] * self.columns[j] for i in range(3) for j in range(i, 3)])

    @cached_property
    def ranks(self) -> tuple[Indices, Indices]:
        """Places of marker and glucose in their orders; ties share one."""
        return _places(self.marker), _places(self.glucose)


def _scaled(values: Floats) -> Floats:
    centred = values - values.mean()
    spread = float(np.sqrt((centred**2).mean()))
    scaled: Floats = centred / spread if spread > 0 else centred
    return scaled


def _places(scores: Floats) -> Indices:
    return np.asarray(np.unique(scores, return_inverse=True)[1], dtype=np.intp)


def weighted_auc(place: Indices, event: Flags, weights: Floats) -> float:
    """Probability that of two visits, one followed by the event and one not, the former has the higher score.

    Both are drawn by their weights; ties count half. NaN where there is no pair.

    Parameters
    ----------
    place
        (n,) places of the scores in their order, from 0; ties share one.
    event, weights
        (n,).

    Examples
    --------
    >>> weighted_auc(np.array([2, 0, 0]), np.array([True, False, True]), np.ones(3))
    0.75
    """
    size = int(place.max()) + 1 if len(place) else 0
    cases = np.bincount(place[event], weights[event], size)
    others = np.bincount(place[~event], weights[~event], size)
    pairs = float(cases.sum() * others.sum())
    below = np.cumsum(others) - others / 2
    return float((cases * below).sum()) / pairs if pairs > 0 else float("nan")


def _sums(sample: Sample, weights: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """Give gradient (folds, 3) and information (folds, 3, 3) of the log-likelihood, fold by fold."""
    X = sample.columns
    chance = expit(beta[0] + beta[1] * X[1] + beta[2] * X[2])
    gradient = np.add.reduceat(X * (weights * (sample.event - chance)), sample.starts, axis=1)
    information = np.add.reduceat(sample.products * (weights * chance * (1.0 - chance)), sample.starts, axis=1)
    return gradient.T, information.T[:, _SQUARE]


def fit_logistic(sample: Sample, weights: Floats, start: Floats | None = None) -> Floats:
    """Fit the event on glucose and marker by Newton steps: (3,) coefficients of ``sample.columns``.

    NaN where there is no maximum: one group is empty, the columns are collinear, or they separate the groups.
    """
    share = float(weights[sample.event].sum() / weights.sum())
    if not 0.0 < share < 1.0:
        return np.full(3, np.nan)
    beta = np.array([logit(share), 0.0, 0.0]) if start is None else start
    scaled = weights / weights.sum()
    for _ in range(_STEPS):
        gradient, information = _sums(sample, scaled, beta)
        step = _solved(information.sum(axis=0), gradient.sum(axis=0))
        beta = beta + step
        if not np.abs(step).max() > _TOLERANCE:
            return beta
    return np.full(3, np.nan)


def _solved(information: Floats, gradient: Floats) -> Floats:
    if not np.isfinite(information).all() or np.linalg.cond(information) > 1e12:
        return np.full(3, np.nan)
    return np.asarray(np.linalg.solve(information, gradient))


def left_out_exactly(sample: Sample, weights: Floats, beta: Floats) -> Floats:
    """Give the coefficients (folds, 3) of the model fitted without each fold."""
    return np.stack([fit_logistic(sample, weights * (sample.place != k), beta) for k in range(len(sample.starts))])


def left_out_nearly(sample: Sample, weights: Floats, beta: Floats) -> Floats:
    """Give them after one Newton step from the fit to all folds: a tenth of the people moves the fit little."""
    if np.isnan(beta).any():
        return np.full((len(sample.starts), 3), np.nan)
    gradient, information = _sums(sample, weights / weights.sum(), beta)
    rest = information.sum(axis=0) - information, gradient.sum(axis=0) - gradient
    return beta + np.stack([_solved(*pair) for pair in zip(*rest, strict=True)])


def combined_auc(sample: Sample, weights: Floats, left_out: Floats) -> float:
    """AUC of the combined score, each fold scored by the model that did not see it.

    The score has slopes only, on columns centred once for all: intercepts differ between folds because a fold with
    many events leaves few behind, and would pull the pooled AUC down.
    """
    if np.isnan(left_out).any():
        return float("nan")
    slopes = left_out[sample.place]
    score = slopes[:, 1] * sample.columns[1] + slopes[:, 2] * sample.columns[2]
    return weighted_auc(_places(score), sample.event, weights)


def score(sample: Sample) -> tuple[Floats, Floats]:
    """Give the AUC (3,) of marker, glucose and both, and the coefficients (3,) of the model of both."""
    beta = fit_logistic(sample, sample.weight)
    both = float("nan")
    if not np.isnan(beta).any():
        both = combined_auc(sample, sample.weight, left_out_exactly(sample, sample.weight, beta))
    alone = [weighted_auc(place, sample.event, sample.weight) for place in sample.ranks]
    return np.array([*alone, both]), beta


def score_again(sample: Sample, beta: Floats, people: Floats) -> Floats:
    """Score with other weights of the people (refits, people): AUC (refits, 3) as :func:`score` gives it."""
    drawn = np.empty((len(people), 3))
    for row, weights in enumerate(people):
        own = sample.weight * weights[sample.person]
        drawn[row, :2] = [weighted_auc(place, sample.event, own) for place in sample.ranks]
        refitted = beta if np.isnan(beta).any() else fit_logistic(sample, own, beta)
        drawn[row, 2] = combined_auc(sample, own, left_out_nearly(sample, own, refitted))
    return drawn
