"""Sums per participant and per pattern of observed outcomes: all that the joint likelihood needs of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class JointSums:
    """Products of the stacked columns w = [Z | X | y], added up over the rows of each pattern of observed outcomes.

    ``n`` participants, ``K`` outcomes, ``m`` patterns, ``q`` random and ``p`` fixed effects of all outcomes.

    Attributes
    ----------
    patterns
        (m, K): which outcomes the rows of a pattern have.
    rows
        (m,): how many rows.
    Zw
        (m, n, q, q + p + K): each participant's sum of Z w'.
    ww
        (m, p + K, p + K): the sum of [X | y] [X | y]' over all rows; by participant it is never needed.
    of_random, of_fixed
        (q,) and (p,): the outcome to which an effect belongs.
    """

    patterns: NDArray[np.bool_]
    rows: Integers
    Zw: Floats
    ww: Floats
    of_random: Integers
    of_fixed: Integers

    @property
    def of_column(self) -> Integers:
        """The outcome of each of the q + p + K columns."""
        return np.concatenate([self.of_random, self.of_fixed, np.arange(self.patterns.shape[1])])

    @property
    def observations(self) -> Integers:
        """How many rows have each outcome, (K,)."""
        counts: Integers = self.rows @ self.patterns.astype(np.int64)
        return counts


def joint_sums(
    columns: Floats, person: Integers, observed: NDArray[np.bool_], of_random: Integers, of_fixed: Integers
) -> JointSums:
    """Add up the products of ``columns`` (N, q + p + K) over rows, which are sorted by ``person`` (N,).

    A row's columns of outcomes that it misses hold zeros.
    """
    q = len(of_random)
    # The pattern with most outcomes first; a fixed order, so that the sums below are added in a fixed order.
    code = observed @ (1 << np.arange(observed.shape[1])[::-1])
    codes = np.unique(code)[::-1]
    n = int(person[-1]) + 1
    Zw = np.zeros((len(codes), n, q, columns.shape[1]))
    ww = np.zeros((len(codes), columns.shape[1] - q, columns.shape[1] - q))
    for at, wanted in enumerate(codes):
        inside = np.flatnonzero(code == wanted)
        here, whose = columns[inside], person[inside]
        starts = np.flatnonzero(np.r_[True, whose[1:] != whose[:-1]])
        for j in range(q):  # one left column at a time: all at once would hold N x q x (q + p + K) numbers
            Zw[at, whose[starts], j] = np.add.reduceat(here * here[:, [j]], starts, axis=0)
        ww[at] = here[:, q:].T @ here[:, q:]
    first = np.array([np.flatnonzero(code == wanted)[0] for wanted in codes])
    rows = np.array([int((code == wanted).sum()) for wanted in codes])
    return JointSums(observed[first], rows, Zw, ww, of_random, of_fixed)


def single(sums: JointSums, outcome: int) -> JointSums:
    """Give the sums of one outcome by itself."""
    have = sums.patterns[:, outcome]
    left = sums.of_random == outcome
    right = sums.of_column == outcome
    fixed = right[len(left) :]
    Zw = sums.Zw[have][:, :, left][:, :, :, right].sum(axis=0, keepdims=True)
    ww = sums.ww[have][:, fixed][:, :, fixed].sum(axis=0, keepdims=True)
    return JointSums(
        patterns=np.ones((1, 1), dtype=bool),
        rows=np.array([int(sums.rows[have].sum())]),
        Zw=Zw,
        ww=ww,
        of_random=np.zeros(int(left.sum()), dtype=np.int64),
        of_fixed=np.zeros(int((sums.of_fixed == outcome).sum()), dtype=np.int64),
    )
