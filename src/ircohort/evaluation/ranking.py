"""How well a rating ranks people: the area under the curve, and who is right among the highest rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.evaluation.resampling import Floats, Resampling, Triple, percentiles

Bools = NDArray[np.bool_]

TOP_SHARES = (0.02, 0.05)
"""Shares of the assessable who are called cases, from the top of a rating; a third share is the prevalence."""


@dataclass(frozen=True)
class Ranks:
    """People ordered by a rating: ``rank`` (n,) from 0, the lowest, ties alike; ``case`` (n,) as 0 and 1."""

    rank: NDArray[np.intp]
    case: Floats

    def sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Sum the weights (n,) of cases and of others at each rank, from the lowest."""
        count = int(self.rank.max(initial=-1)) + 1
        cases = np.bincount(self.rank, weights * self.case, count).astype(np.float64)
        everyone = np.bincount(self.rank, weights, count).astype(np.float64)
        return cases, everyone - cases


def ranks_of(truth: Bools, rating: Floats) -> Ranks:
    """Order people by a rating once, for many weightings; a rating of minus infinity is the lowest."""
    _, rank = np.unique(rating, return_inverse=True)
    return Ranks(rank, truth.astype(float))


def _area(cases: Floats, others: Floats) -> float | None:
    pairs = cases.sum() * others.sum()
    if pairs <= 0:
        return None
    below = np.cumsum(others) - others
    return float(np.sum(cases * (below + others / 2)) / pairs)


def _precision(cases: Floats, others: Floats, share: float | None) -> float | None:
    """Give the share of cases among the highest ranks that hold a share of the weight; None: that of all cases."""
    reached, true = np.cumsum((cases + others)[::-1]), np.cumsum(cases[::-1])
    if not reached.size or true[-1] <= 0:
        return None
    wanted = true[-1] if share is None else share * reached[-1]
    at = int(np.searchsorted(reached, wanted))  # the rank in which the edge lies: of its people only a part is taken
    before, true_before = (reached[at - 1], true[at - 1]) if at else (0.0, 0.0)
    part = (wanted - before) / (reached[at] - before)
    return float((true_before + part * (true[at] - true_before)) / wanted)


def area_under_curve(truth: Bools, stated: Floats, weights: Floats | None = None) -> float | None:
    """Give the probability that a case is rated above a non-case, ties counted half; None without both.

    Parameters
    ----------
    truth, stated
        (n,) who is a case, and the rating.
    weights
        (n,) times each person counts; default once.

    Examples
    --------
    >>> area_under_curve(np.array([True, False, False]), np.array([0.4, 0.4, 0.1]))
    0.75
    """
    return _area(*ranks_of(truth, stated).sums(np.ones(truth.size) if weights is None else weights))


def precision_at_top(truth: Bools, rating: Floats, share: float | None = None) -> float | None:
    """Give the share of cases among the highest rated; people tied at the edge count in part.

    Parameters
    ----------
    truth, rating
        (n,) who is a case, and the rating.
    share
        Of all people, how many are taken from the top; default as many as there are cases.

    Examples
    --------
    >>> precision_at_top(np.array([True, False, False, False]), np.array([0.9, 0.9, 0.1, 0.0]), 0.25)
    0.5
    """
    return _precision(*ranks_of(truth, rating).sums(np.ones(truth.size)), share)


def ranking(truth: Bools, ratings: Sequence[Floats], sample: Resampling) -> list[dict[str, Triple]]:
    """Judge several ratings of the same people by the same resamples.

    Returns
    -------
    list of dict
        For each rating ``auc``, ``ppv_top_2pct``, ``ppv_top_5pct`` and ``ppv_top_prevalence``, each as estimate, low
        and high (95 % percentile interval over the resamples that have both kinds of people), all None without both.
    """
    everyone = [ranks_of(truth, rating) for rating in ratings]
    if not truth.any() or truth.all():
        return [dict.fromkeys(MEASURES, (None, None, None)) for _ in ratings]
    once = [measures(ranks, np.ones(truth.size)) for ranks in everyone]
    drawn = np.array([[measures(ranks, weights) for ranks in everyone] for weights in sample.weights()], dtype=float)
    return [
        {name: (once[i][j], *percentiles(drawn[:, i, j])) for j, name in enumerate(MEASURES)}
        for i in range(len(everyone))
    ]


MEASURES = ("auc", *(f"ppv_top_{round(100 * share)}pct" for share in TOP_SHARES), "ppv_top_prevalence")
"""What is said of a rating."""


def measures(ranks: Ranks, weights: Floats) -> list[float | None]:
    """Give each of :data:`MEASURES` for one weighting of the people (n,)."""
    cases, others = ranks.sums(weights)
    return [_area(cases, others), *(_precision(cases, others, share) for share in (*TOP_SHARES, None))]
