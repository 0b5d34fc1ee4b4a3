"""The free parameters of a joint model: triangular factors of G and R, with zeros where the data say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.joint.likelihood import Slopes
from ircohort.lmm.joint.sums import JointSums

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Pairs = frozenset[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Parameters:
    """How a vector theta (t,) fills L (q, q) with G = L L' and C (K, K) with R = C C'.

    The rows of L and C, taken in the orders ``random_order`` (q,) and ``outcome_order`` (K,), are lower triangular;
    ``L_at`` and ``C_at`` are the positions of the free elements in them. The diagonal of C is held as logarithms.
    """

    random_order: Integers
    outcome_order: Integers
    L_at: tuple[Integers, Integers]
    C_at: tuple[Integers, Integers]

    @property
    def size(self) -> int:
        """The number of free parameters, t."""
        return len(self.L_at[0]) + len(self.C_at[0])

    @property
    def logarithms(self) -> NDArray[np.bool_]:
        """Which elements of theta are logarithms, (t,)."""
        found: NDArray[np.bool_] = np.r_[np.zeros(len(self.L_at[0]), dtype=bool), self.C_at[0] == self.C_at[1]]
        return found

    @property
    def diagonal(self) -> NDArray[np.bool_]:
        """Which elements of theta are diagonal in L, (t,)."""
        found: NDArray[np.bool_] = np.r_[self.L_at[0] == self.L_at[1], np.zeros(len(self.C_at[0]), dtype=bool)]
        return found


def lay_out(of_random: Integers, outcomes: int, *, no_person: Pairs, no_row: Pairs) -> Parameters:
    """Arrange the parameters so that the covariances of the held pairs of outcomes stay zero.

    ``no_person`` are pairs of outcomes that no participant has both, ``no_row`` (a superset) those that no row has.
    """
    order = next(
        order for order in permutations(range(outcomes)) if _stays_zero(order, no_person) and _stays_zero(order, no_row)
    )
    random_order = np.concatenate([np.flatnonzero(of_random == k) for k in order])
    return Parameters(
        random_order=random_order,
        outcome_order=np.array(order),
        L_at=_free(of_random[random_order], no_person),
        C_at=_free(np.array(order), no_row),
    )


def _stays_zero(order: tuple[int, ...], held: Pairs) -> bool:
    """Tell whether zeros in a triangular factor in this order make exactly the held covariances zero."""

    def is_held(a: int, b: int) -> bool:
        return (min(a, b), max(a, b)) in held

    return all(
        not is_held(a, b) or all(is_held(c, a) or is_held(c, b) for c in order[: order.index(a)])
        for a, b in combinations(order, 2)
    )


def _free(of: Integers, held: Pairs) -> tuple[Integers, Integers]:
    rows, columns = np.tril_indices(len(of))
    free = np.array(
        [(min(of[r], of[c]), max(of[r], of[c])) not in held for r, c in zip(rows, columns, strict=True)], dtype=bool
    )
    return rows[free], columns[free]


def never_together(sums: JointSums) -> tuple[Pairs, Pairs]:
    """Give the pairs of outcomes that no participant has both, and those that no row has both."""
    K = sums.patterns.shape[1]
    seen = np.stack([_people_with(sums, k) for k in range(K)])
    pairs = list(combinations(range(K), 2))
    no_person = frozenset((a, b) for a, b in pairs if not (seen[a] & seen[b]).any())
    no_row = frozenset((a, b) for a, b in pairs if not (sums.patterns[:, a] & sums.patterns[:, b]).any())
    return no_person, no_row


def _people_with(sums: JointSums, outcome: int) -> NDArray[np.bool_]:
    """Tell who has the outcome, (n,): the products of whose columns are not all zero."""
    left, right = sums.of_random == outcome, sums.of_column == outcome
    products = sums.Zw[:, :, left][:, :, :, right]
    return np.asarray((products != 0).any(axis=(0, 2, 3)))


def unpack(parameters: Parameters, theta: Floats) -> tuple[Floats, Floats]:
    """Give L (q, q) and C (K, K)."""
    split = len(parameters.L_at[0])
    values = np.where(parameters.logarithms, np.exp(np.where(parameters.logarithms, theta, 0.0)), theta)
    L = np.zeros((len(parameters.random_order),) * 2)
    C = np.zeros((len(parameters.outcome_order),) * 2)
    L[parameters.random_order[parameters.L_at[0]], parameters.L_at[1]] = values[:split]
    C[parameters.outcome_order[parameters.C_at[0]], parameters.C_at[1]] = values[split:]
    return L, C


def gather_slopes(parameters: Parameters, C: Floats, slopes: Slopes) -> Floats:
    """Give the derivative by theta (t,)."""
    by_C = 2.0 * slopes.residual @ C
    at = parameters.outcome_order[parameters.C_at[0]], parameters.C_at[1]
    by = np.concatenate([slopes.factor[parameters.random_order[parameters.L_at[0]], parameters.L_at[1]], by_C[at]])
    logarithms = parameters.logarithms
    by[logarithms] *= C[at][parameters.C_at[0] == parameters.C_at[1]]
    return by
