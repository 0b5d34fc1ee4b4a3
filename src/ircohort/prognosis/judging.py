"""How well a score ranks and predicts, where events are only known to lie between two visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.turnbull import event_free, turnbull

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_BLOCK = 64


def concordance(low: Floats, high: Floats, score: Floats, weights: Floats) -> float:
    """Harrell's C over the pairs whose order is certain: one had the event before the other was last seen without it.

    A pair counts by the product of the weights; equal scores count half. NaN where no pair can be compared.

    Examples
    --------
    >>> low, high = np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, np.inf])
    >>> concordance(low, high, np.array([3.0, 2.0, 1.0]), np.ones(3))
    1.0
    """
    cases = np.flatnonzero(np.isfinite(high))
    order = np.argsort(-low, kind="stable")
    # The people with whom a case can be compared are the first so many by the time they were last known to be free.
    reach = np.searchsorted(-low[order], -high[cases], side="right")
    total = float(weights[cases] @ np.concatenate([[0.0], np.cumsum(weights[order])])[reach])
    if total <= 0:
        return float("nan")
    _, rank = np.unique(score, return_inverse=True)
    return float(weights[cases] @ _weight_below(rank, weights, order, cases, reach)) / total


def _weight_below(rank: Indices, weights: Floats, order: Indices, cases: Indices, reach: Indices) -> Floats:
    """Weight of those among the first ``reach`` of ``order`` who rank below each case, ties by half.

    Full blocks of people are summed up by rank; the block in which a reach ends is compared one by one.
    """
    below, mass = np.zeros(len(cases)), np.zeros(int(rank.max()) + 1)
    for begin in range(0, len(order) + 1, _BLOCK):
        members = order[begin : begin + _BLOCK]
        here = np.flatnonzero((reach >= begin) & (reach < begin + _BLOCK))
        if len(here):
            own = rank[cases[here]]
            within = np.arange(begin, begin + len(members)) < reach[here, None]
            ahead = np.sign(own[:, None] - rank[members]) / 2 + 0.5
            below[here] = (np.cumsum(mass) - mass / 2)[own] + (within * ahead) @ weights[members]
        mass += np.bincount(rank[members], weights[members], len(mass))
    return below


@dataclass(frozen=True)
class Status:
    """What is known at a horizon: ``chance`` (n,) that the event came by then, 0 or 1 where it is certain."""

    years: float
    chance: Floats
    n_event: int
    n_free: int
    n_unknown: int


def status_at(low: Floats, high: Floats, years: float) -> Status:
    """Say who had the event by ``years``; where the visits leave it open, by Turnbull's estimate of everybody.

    The chance of those left open takes no account of their covariates, which pulls the AUC towards one half. Whoever
    was lost before the curve ends has the chance of all who were followed longer; beyond the curve it is NaN.
    """
    event, free = high <= years, low >= years
    curve = turnbull(low, high)
    at_low = event_free(curve, low)
    at_high = np.where(np.isfinite(high), event_free(curve, np.where(np.isfinite(high), high, 0.0)), 0.0)
    there = event_free(curve, np.array([years]))[0]
    room = at_low - at_high
    shared = np.divide(at_low - there, room, out=np.full(len(low), np.nan), where=room > 0)
    chance = np.where(event, 1.0, np.where(free, 0.0, shared))
    return Status(years, chance, int(event.sum()), int(free.sum()), int((~event & ~free).sum()))


def auc(status: Status, score: Floats, weights: Floats) -> float:
    """Probability that of two people, one with the event by then and one without, the former has the higher score.

    Examples
    --------
    >>> status = Status(1.0, np.array([1.0, 0.0, 1.0]), 2, 1, 0)
    >>> auc(status, np.array([0.9, 0.1, 0.1]), np.ones(3))
    0.75
    """
    _, place = np.unique(score, return_inverse=True)
    cases = np.bincount(place, weights * status.chance)
    others = np.bincount(place, weights * (1.0 - status.chance))
    below = np.cumsum(others) - others
    pairs = float(cases.sum() * others.sum())
    return float(cases @ (below + others / 2)) / pairs if pairs > 0 else float("nan")


def brier(status: Status, risk: Floats, weights: Floats) -> float:
    """Mean squared distance of a predicted risk (0 to 1) from what happened."""
    squares = status.chance * (1.0 - risk) ** 2 + (1.0 - status.chance) * risk**2
    return float(weights @ squares / weights.sum())
