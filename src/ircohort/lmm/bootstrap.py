"""Cluster bootstrap of the fixed effects: weights on participants, variance parameters held at their estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.lmm.likelihood import gls_terms
from ircohort.lmm.record import Fit

Floats = NDArray[np.float64]

SMALLEST_EIGENVALUE = 1e-10
"""A refit whose normal equations are worse conditioned than this (relative to the largest) has no solution."""


def draw_weights(n_participants: int, n_refits: int, seed: int) -> NDArray[np.int64]:
    """Draw bootstrap weights: how often each participant stands in each resample.

    The columns belong to the participants in sorted order, so that the order of rows does not matter. The first
    ``k`` refits are the same whatever ``n_refits``.

    Returns
    -------
    numpy.ndarray
        (n_refits, n_participants), each row summing to ``n_participants``.

    Source
    ------
    Cluster (cases) bootstrap: Davison and Hinkley 1997, Bootstrap Methods, section 3.8,
    doi:10.1017/CBO9780511802843.

    Examples
    --------
    >>> draw_weights(4, 2, seed=1).sum(axis=1)
    array([4, 4])
    """
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, n_participants, size=(n_refits, n_participants))
    return np.stack([np.bincount(row, minlength=n_participants) for row in drawn]) if n_refits else drawn


def gls_bootstrap(fit: Fit, weights: NDArray[Any], *, participant_ids: Sequence[Any] | None = None) -> Floats:
    """Refit the fixed effects with participants weighted, holding the variance parameters of ``fit``.

    Each refit is generalised least squares on the resampled participants: one solve of p equations.

    Parameters
    ----------
    fit
        The fitted model.
    weights
        (n_refits, k), at least zero: how often each participant stands in each refit.
    participant_ids
        The k participants that the columns of ``weights`` belong to; by default those of the fit, sorted. Giving
        the same ids and weights to several fits makes their refits joint, whoever is missing in one of them.

    Returns
    -------
    numpy.ndarray
        (n_refits, p), in the order of ``fit.fixed``; a refit in which a term cannot be estimated is NaN.

    Raises
    ------
    UsageError
        If the weights do not fit the participants.
    """
    columns = _columns_of(fit, weights, participant_ids)
    chosen = np.asarray(weights, dtype=float)[:, columns]
    terms = gls_terms(fit.sums, fit.relative_factor)
    n, p = terms.XVy.shape
    A = (chosen @ terms.XVX.reshape(n, p * p)).reshape(-1, p, p)
    b = chosen @ terms.XVy
    scaled = _solve_each(A, b)
    back: Floats = fit.scaling.offset + np.linalg.solve(fit.scaling.fixed, scaled.T).T
    return back


def _columns_of(fit: Fit, weights: NDArray[Any], participant_ids: Sequence[Any] | None) -> list[int]:
    ids = fit.participant_ids if participant_ids is None else participant_ids
    position = {identifier: k for k, identifier in enumerate(ids)}
    absent = sum(identifier not in position for identifier in fit.participant_ids)
    if weights.ndim != 2 or weights.shape[1] != len(position) or absent:
        raise UsageError(
            f"The weights have the shape {weights.shape}, for {len(position)} participants.",
            expected=f"One column for each; {absent} participants of the fit have none.",
        )
    return [position[identifier] for identifier in fit.participant_ids]


def _solve_each(A: Floats, b: Floats) -> Floats:
    """Solve every system (n_refits, p, p); NaN where it is singular."""
    solution = np.full_like(b, np.nan)
    values = np.linalg.eigvalsh(A)
    sound = values[:, 0] > SMALLEST_EIGENVALUE * values[:, -1]
    solution[sound] = np.linalg.solve(A[sound], b[sound][:, :, None])[:, :, 0]
    return solution
