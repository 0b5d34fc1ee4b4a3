"""Per-participant sums: all that the likelihood of a linear mixed model needs of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 16
"""How many numbers of a kind a block of participants holds, so that the work on it stays in the cache."""
_ILL_CONDITIONED = 1e-8


@dataclass(frozen=True, eq=False)
class Scaling:
    """The change of basis in which a fit is computed: X = Xs @ fixed, Z = Zs @ random, y = ys + X @ offset.

    Xs has orthogonal columns of mean square one, and so has Zs (or, for random effects without correlation, only
    the mean square), so that the optimiser sees the same problem whatever the units of the columns.
    """

    fixed: Floats
    random: Floats
    offset: Floats

    @cached_property
    def to_fixed(self) -> Floats:
        """What takes fixed effects of the basis to the columns as written: b = offset + to_fixed @ bs, (p, p)."""
        return np.asarray(np.linalg.inv(self.fixed), dtype=float)

    @cached_property
    def to_random(self) -> Floats:
        """What takes random effects of the basis to the columns as written: u = to_random @ us, (q, q)."""
        return np.asarray(np.linalg.inv(self.random), dtype=float)

    @cached_property
    def inverse(self) -> Floats:
        """What takes rows of [Z X y] to the basis: [Z X y] @ inverse = [Zs Xs ys], (m, m)."""
        q, p = len(self.random), len(self.fixed)
        change = np.eye(q + p + 1)
        change[:q, :q], change[q:-1, q:-1], change[q:-1, -1] = self.to_random, self.to_fixed, -self.offset
        return change

    def coefficients(self, scaled: Floats) -> Floats:
        """Give fixed effects (p,) of the columns as written."""
        written: Floats = self.offset + self.to_fixed @ scaled
        return written

    def fixed_covariance(self, scaled: Floats) -> Floats:
        """Give the covariance (p, p) of the fixed effects of the columns as written."""
        written: Floats = self.to_fixed @ scaled @ self.to_fixed.T
        return written


@dataclass(frozen=True, eq=False)
class Block:
    """Some participants, laid out for vector arithmetic: the participant is the last axis.

    ``Z`` (q, m, k): Z'[Z X y]; ``weights`` (k,) or None.
    """

    Z: Floats
    weights: Floats | None


@dataclass(frozen=True, eq=False)
class ParticipantSums:
    """Products of the columns [Z | X | y], summed over the visits of each of n participants, in a common basis.

    ``visits`` (n,); ``cross`` (n, m, m) with m = q + p + 1; ``q``; ``weights`` (n,) by which participants count, or
    None. Sums of the same participant over different visits add up.
    """

    visits: NDArray[np.int64]
    cross: Floats
    q: int
    weights: Floats | None = None

    @property
    def p(self) -> int:
        """The number of fixed effects."""
        return int(self.cross.shape[1]) - self.q - 1

    @property
    def observations(self) -> float:
        """The number of visits, each as often as its participant counts."""
        return float(self.visits.sum() if self.weights is None else self.weights @ self.visits)

    @property
    def multiplicity(self) -> Floats:
        """How often each participant counts, (n,)."""
        return np.ones(len(self.visits)) if self.weights is None else self.weights

    @property
    def ZZ(self) -> Floats:
        """Z'Z, (n, q, q)."""
        return self.cross[:, : self.q, : self.q]

    @property
    def ZX(self) -> Floats:
        """Z'X, (n, q, p)."""
        return self.cross[:, : self.q, self.q : -1]

    @property
    def Zy(self) -> Floats:
        """Z'y, (n, q)."""
        return self.cross[:, : self.q, -1]

    @property
    def XX(self) -> Floats:
        """X'X, (n, p, p)."""
        return self.cross[:, self.q : -1, self.q : -1]

    @property
    def Xy(self) -> Floats:
        """X'y, (n, p)."""
        return self.cross[:, self.q : -1, -1]

    @property
    def yy(self) -> Floats:
        """y'y, (n,)."""
        return self.cross[:, -1, -1]

    @cached_property
    def total(self) -> Floats:
        """[X y]'[X y] over all participants, (p + 1, p + 1)."""
        if self.weights is None:
            return np.asarray(self.cross[:, self.q :, self.q :].sum(axis=0))
        return (self.weights @ self.flat).reshape(self.p + 1, -1)

    @cached_property
    def flat(self) -> Floats:
        """[X y]'[X y] of each participant in a row, (n, (p + 1)^2)."""
        return np.ascontiguousarray(self.cross[:, self.q :, self.q :]).reshape(len(self.cross), -1)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The participants in blocks; how many there are depends on the sizes of the problem only."""
        n, m = self.cross.shape[:2]
        size = max(_BLOCK_NUMBERS // (self.q * m), 64)
        return tuple(self._block(slice(first, first + size)) for first in range(0, n, size))

    def _block(self, of: slice) -> Block:
        Z = np.ascontiguousarray(self.cross[of, : self.q].transpose(1, 2, 0))
        return Block(Z, None if self.weights is None else self.weights[of])

    def every(self, step: int) -> ParticipantSums:
        """Take every ``step``-th participant."""
        weights = None if self.weights is None else self.weights[::step]
        return ParticipantSums(self.visits[::step], self.cross[::step], self.q, weights)

    def weighted(self, weights: Floats) -> ParticipantSums:
        """Let each participant count as often as ``weights`` (n,) says; what does not depend on that is shared."""
        other = replace(self, weights=weights)
        ends = np.cumsum([block.Z.shape[2] for block in self.blocks])[:-1]
        parts = np.split(weights, ends)
        shared = tuple(Block(block.Z, part) for block, part in zip(self.blocks, parts, strict=True))
        vars(other).update(blocks=shared, flat=self.flat)
        return other


def scaling_of(y: Floats, X: Floats, Z: Floats, *, diagonal: bool) -> Scaling:
    """Find the :class:`Scaling` of some rows; ``X`` (N, p) and ``Z`` (N, q) have full rank."""
    fixed = _triangle(X)
    random = np.diag(np.sqrt((Z**2).mean(axis=0))) if diagonal else _triangle(Z)
    projected = np.linalg.solve(fixed.T, X.T @ y / len(y))
    return Scaling(fixed, random, np.linalg.solve(fixed, projected))


def _triangle(columns: Floats) -> Floats:
    """Give the upper triangle R with columns = Q R and Q'Q / N the identity."""
    gram = columns.T @ columns
    if _keeps_digits(gram):
        return np.ascontiguousarray(np.linalg.cholesky(gram / len(columns)).T)
    R: Floats = np.asarray(np.linalg.qr(columns, mode="r"), dtype=float) / np.sqrt(len(columns))
    return R


def well_conditioned(columns: Floats) -> bool:
    """Tell whether the products of the columns, each of length one, keep enough digits to tell them apart."""
    return _keeps_digits(columns.T @ columns)


def _keeps_digits(gram: Floats) -> bool:
    size = np.sqrt(np.diagonal(gram))
    return bool(size.all()) and bool(np.linalg.eigvalsh(gram / np.outer(size, size))[0] > _ILL_CONDITIONED)


def participant_sums(
    y: Floats, X: Floats, Z: Floats, starts: NDArray[np.int64], scaling: Scaling, weights: Floats | None = None
) -> ParticipantSums:
    """Add up the products of the scaled columns over each participant's rows, which begin at ``starts`` (n,)."""
    q = Z.shape[1]
    m = q + X.shape[1] + 1
    visits = np.diff(np.append(starts, len(y)))
    cross = np.empty((len(starts), m, m))
    for rows, people in _by_visits(visits, starts, max(_BLOCK_NUMBERS // m, 1)):
        first, last = rows[0, 0], rows[-1, -1] + 1
        at = slice(first, last) if last - first == rows.size else rows.ravel()
        taken = np.empty((rows.size, m))
        taken[:, :q], taken[:, q:-1], taken[:, -1] = Z[at], X[at], y[at]
        scaled = (taken @ scaling.inverse).reshape(*rows.shape, m)
        if people[-1] - people[0] + 1 == len(people):
            np.matmul(scaled.transpose(0, 2, 1), scaled, out=cross[people[0] : people[-1] + 1])
        else:
            cross[people] = scaled.transpose(0, 2, 1) @ scaled
    return ParticipantSums(visits, cross, q, weights)


def _by_visits(
    visits: NDArray[np.int64], starts: NDArray[np.int64], rows_at_once: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give the rows (k, v) of k participants who have v visits each, and who they are, until all had their turn."""
    order = np.argsort(visits, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(visits[order])) + 1):
        count = visits[same[0]]
        for people in np.array_split(same, -(-len(same) * count // rows_at_once)):
            yield starts[people, None] + np.arange(count), people
