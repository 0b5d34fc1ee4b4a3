"""Per-participant sums: all that the likelihood of a linear mixed model needs of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaling:
    """The change of basis in which a fit is computed: X = Xs @ fixed, Z = Zs @ random, y = ys + X @ offset.

    Xs has orthogonal columns of mean square one, and so has Zs (or, for random effects without correlation, only
    the mean square), so that the optimiser sees the same problem whatever the units of the columns.
    """

    fixed: Floats
    random: Floats
    offset: Floats


@dataclass(frozen=True, eq=False)
class ParticipantSums:
    """Sums over the visits of each of n participants, in the basis of a :class:`Scaling`.

    ``visits`` (n,), ``ZZ`` (n, q, q), ``ZX`` (n, q, p), ``Zy`` (n, q), ``XX`` (n, p, p), ``Xy`` (n, p), ``yy`` (n,).
    """

    visits: NDArray[np.int64]
    ZZ: Floats
    ZX: Floats
    Zy: Floats
    XX: Floats
    Xy: Floats
    yy: Floats


@dataclass(frozen=True, eq=False)
class Scaled:
    """The arrays of a design in its own basis."""

    y: Floats
    X: Floats
    Z: Floats
    scaling: Scaling


def scale_design(y: Floats, X: Floats, Z: Floats, *, diagonal: bool) -> Scaled:
    """Change to the basis of :class:`Scaling`. ``X`` (N, p) and ``Z`` (N, q) have full rank."""
    root = np.sqrt(len(y))
    Q, R = np.linalg.qr(X)
    if diagonal:
        T = np.diag(np.linalg.norm(Z, axis=0) / root)
        Zs = Z @ np.linalg.inv(T)
    else:
        U, T = np.linalg.qr(Z)
        Zs, T = U * root, T / root
    offset = np.linalg.solve(R, Q.T @ y)
    return Scaled(y - X @ offset, Q * root, Zs, Scaling(R / root, T, offset))


def participant_sums(y: Floats, X: Floats, Z: Floats, starts: NDArray[np.int64]) -> ParticipantSums:
    """Add up the products of the columns over each participant's rows, which begin at ``starts`` (n,)."""

    def products(left: Floats, right: Floats) -> Floats:
        # One left column at a time: all at once would hold N x p x p numbers.
        return np.stack([np.add.reduceat(right * left[:, [k]], starts, axis=0) for k in range(left.shape[1])], axis=1)

    column = y[:, None]
    return ParticipantSums(
        visits=np.diff(np.append(starts, len(y))),
        ZZ=products(Z, Z),
        ZX=products(Z, X),
        Zy=products(Z, column)[:, :, 0],
        XX=products(X, X),
        Xy=products(X, column)[:, :, 0],
        yy=products(column, column)[:, 0, 0],
    )
