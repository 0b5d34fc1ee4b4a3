"""Cluster bootstrap: participants drawn again, as integer weights on their sums."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.frames import kind_of
from ircohort.lmm.inference.robust import robust_covariance
from ircohort.lmm.likelihood import gls_terms, profile
from ircohort.lmm.prediction.posterior import find_positions
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit
from ircohort.lmm.search import maximise
from ircohort.lmm.summary import bootstrap_text
from ircohort.lmm.sums import ParticipantSums
from ircohort.parallel import each, on_one_blas_thread

Floats = NDArray[np.float64]

SMALLEST_EIGENVALUE = 1e-10
"""A refit whose normal equations are worse conditioned than this (relative to the largest) has no solution."""

KINDS = ("percentile", "studentized")

_SETTLED = 1e-10
_SINGULAR = 1e-4
_AT_ONCE = 32


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Refits of a model to resampled participants; each is the fit of the resampled rows.

    A participant who was drawn twice is two. The knots, means and scales of the terms are those of the fit.

    Attributes
    ----------
    coefficients, standard_errors
        (n_refits, p), in the order of ``fixed_names``; a refit that failed is NaN throughout.
    random_covariance, residual_variance
        (n_refits, q, q) and (n_refits,).
    failed
        How many refits had a term that the drawn participants cannot show.
    not_converged, at_boundary
        How many of the others ended before nothing was left to gain, and how many have a direction of the random
        effects whose sd is below 1e-4 residual sd. Both are kept.
    """

    coefficients: Floats
    standard_errors: Floats
    random_covariance: Floats
    residual_variance: Floats
    failed: int
    not_converged: int
    at_boundary: int
    n_refits: int
    seed: int

    def __repr__(self) -> str:
        """Say how the refits went."""
        return bootstrap_text(self)


def bootstrap(
    fit: Fit,
    *,
    n_refits: int = 1000,
    seed: int = 0,
    weights: NDArray[Any] | None = None,
    participant_ids: Sequence[Any] | pl.Series | None = None,
    progress: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Bootstrap:
    """Refit the whole model, variances and all, to resampled participants; a fit by least squares by least squares.

    Parameters
    ----------
    fit
        The fitted model; each refit starts from it.
    n_refits
        How many.
    seed
        Of the draws; the first ``k`` refits are the same whatever ``n_refits``.
    weights, participant_ids
        Draws made before, as :func:`gls_bootstrap` takes them: several fits with the same ones are refitted jointly.
        They take the place of ``n_refits`` and ``seed``.
    progress
        Whether to show a bar on standard error.
    on_progress
        Is told how many refits of how many are done.

    Raises
    ------
    UsageError
        If the fit has weights: participants who stand for unequal numbers are not exchangeable.

    Source
    ------
    Cluster (cases) bootstrap: Davison and Hinkley 1997, Bootstrap Methods, section 3.8,
    doi:10.1017/CBO9780511802843.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": np.repeat(np.arange(20), 4), "years": np.tile(np.arange(4.0), 20),
    ...                        "y": np.random.default_rng(1).normal(size=80)})
    >>> bootstrap(fit("y ~ years + (1 | participant_id)", visits), n_refits=5).coefficients.shape
    (5, 2)
    """
    require_fit(fit, "bootstrap")
    if fit.sums.weights is not None:
        raise UsageError(
            "A fit with weights cannot be resampled.",
            expected="Participants must be exchangeable.",
            next_step="Take the cluster-robust intervals of `contrasts` instead.",
        )
    if weights is None:
        drawn = draw_weights(fit.participants, n_refits, seed).astype(float)
    else:
        drawn = np.asarray(weights, dtype=float)[:, _columns_of(fit, weights, participant_ids)]
        n_refits = len(drawn)
    refit = _refit_least_squares if fit.engine == "ols" else _refit
    with _bar(n_refits, progress) as bar:
        done = _refit_each(fit, refit, drawn, bar, on_progress)
    failed = sum(one.failed for one in done)
    p, q = len(fit.fixed_names), len(fit.random_names)
    return Bootstrap(
        coefficients=np.array([one.coefficients for one in done]).reshape(-1, p),
        standard_errors=np.array([one.standard_errors for one in done]).reshape(-1, p),
        random_covariance=np.array([one.random_covariance for one in done]).reshape(-1, q, q),
        residual_variance=np.array([one.residual_variance for one in done]),
        failed=failed,
        not_converged=sum(not one.converged and not one.failed for one in done),
        at_boundary=sum(one.at_boundary for one in done),
        n_refits=n_refits,
        seed=seed,
    )


@on_one_blas_thread
def _refit_each(
    fit: Fit,
    refit: Callable[[Fit, Floats], _Refit],
    drawn: Floats,
    bar: Any,
    on_progress: Callable[[int, int], None] | None,
) -> list[_Refit]:
    done: list[_Refit] = []
    for first in range(0, len(drawn), _AT_ONCE):
        some = each(lambda row: refit(fit, row), drawn[first : first + _AT_ONCE], fit.sums.cross.size)
        done += some
        bar.update(len(some))
        if on_progress:
            on_progress(len(done), len(drawn))
    return done


@dataclass(frozen=True, eq=False)
class _Refit:
    coefficients: Floats
    standard_errors: Floats
    random_covariance: Floats
    residual_variance: float
    converged: bool
    at_boundary: bool
    failed: bool = False


def _bar(n_refits: int, shown: bool) -> Any:
    """Make the bar that is shown on standard error, or not at all."""
    return click.progressbar(length=n_refits, label="refits", file=sys.stderr, hidden=not shown)


def _refit(fit: Fit, weights: Floats) -> _Refit:
    sums = fit.sums.weighted(weights)
    if _is_singular(sums):
        return _failed(sums)
    diagonal = fit.basis.formula.diagonal
    found = maximise(sums, fit.relative_factor, reml=fit.reml, diagonal=diagonal, settled=_SETTLED)
    best = found.at.profile
    factor = fit.scaling.to_random @ found.L
    covariance = fit.scaling.fixed_covariance(best.residual_variance * best.covariance_over_variance)
    return _Refit(
        fit.scaling.coefficients(best.coefficients),
        np.sqrt(np.diagonal(covariance)),
        best.residual_variance * factor @ factor.T,
        best.residual_variance,
        found.settled,
        bool(np.linalg.svd(found.L, compute_uv=False)[-1] < _SINGULAR),
    )


def _refit_least_squares(fit: Fit, weights: Floats) -> _Refit:
    sums = fit.sums.weighted(weights)
    if _is_singular(sums):
        return _failed(sums)
    best = profile(sums, fit.relative_factor, reml=fit.reml)
    # Somebody who was drawn twice is two people, as with frequency weights.
    resampled = replace(fit, sums=sums, weights_kind="frequency")
    return _Refit(
        fit.scaling.coefficients(best.coefficients),
        np.sqrt(np.diagonal(robust_covariance(resampled))),
        np.zeros((sums.q, sums.q)),
        best.residual_variance,
        converged=True,
        at_boundary=False,
    )


def _is_singular(sums: ParticipantSums) -> bool:
    values = np.linalg.eigvalsh(sums.total[: sums.p, : sums.p])
    return bool(values[0] <= SMALLEST_EIGENVALUE * values[-1])


def _failed(sums: ParticipantSums) -> _Refit:
    nothing = np.full(sums.p, np.nan)
    return _Refit(nothing, nothing, np.full((sums.q, sums.q), np.nan), float("nan"), False, False, failed=True)


def bootstrap_intervals(fit: Fit, refits: Bootstrap, *, kind: str = "studentized", level: float = 0.95) -> Any:
    """Turn refits into intervals of the fixed effects.

    Parameters
    ----------
    fit, refits
        The fit and its :func:`bootstrap`.
    kind
        ``percentile``: quantiles of the refitted estimates. ``studentized`` (bootstrap-t): quantiles of their
        distance from the estimate in their own standard errors, turned round the estimate.
    level
        Between 0 and 1.

    Returns
    -------
    data frame
        ``term``, ``estimate``, ``low``, ``high``, ``n_refits`` (those that did not fail), of the kind of the fit's
        tables. Null where fewer than 2 refits are left.

    Raises
    ------
    UsageError
        If the kind is another, or the level is not between 0 and 1.

    Source
    ------
    Davison and Hinkley 1997, Bootstrap Methods, sections 5.2 and 5.3, doi:10.1017/CBO9780511802843.
    """
    require_fit(fit, "bootstrap_intervals")
    if kind not in KINDS or not 0 < level < 1:
        raise UsageError(
            f"Bootstrap intervals of kind {kind!r} and level {level} cannot be made.",
            expected=f"The kind is one of {', '.join(KINDS)}; the level lies between 0 and 1.",
        )
    kept = np.isfinite(refits.coefficients).all(axis=1)
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    estimates, errors = fit.coefficients, np.sqrt(np.diagonal(fit.fixed_covariance))
    if kept.sum() < 2:
        low = high = [None] * len(estimates)
    elif kind == "percentile":
        low, high = np.quantile(refits.coefficients[kept], ends, axis=0)
    else:
        distance = (refits.coefficients[kept] - estimates) / refits.standard_errors[kept]
        upper, lower = np.quantile(distance, ends, axis=0)
        low, high = estimates - lower * errors, estimates - upper * errors
    table = {"term": fit.fixed_names, "estimate": estimates, "low": low, "high": high, "n_refits": int(kept.sum())}
    return kind_of(fit.fixed)(pl.DataFrame(table, schema_overrides={"low": pl.Float64, "high": pl.Float64}))


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


@on_one_blas_thread
def gls_bootstrap(
    fit: Fit, weights: NDArray[Any], *, participant_ids: Sequence[Any] | pl.Series | None = None
) -> Floats:
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
    require_fit(fit, "gls_bootstrap")
    columns = _columns_of(fit, weights, participant_ids)
    chosen = np.asarray(weights, dtype=float)[:, columns]
    terms = gls_terms(fit.sums, fit.relative_factor)
    n, p = terms.XVy.shape
    A = (chosen @ terms.XVX.reshape(n, p * p)).reshape(-1, p, p)
    b = chosen @ terms.XVy
    scaled = _solve_each(A, b)
    back: Floats = fit.scaling.offset + np.linalg.solve(fit.scaling.fixed, scaled.T).T
    return back


def _columns_of(
    fit: Fit, weights: NDArray[Any], participant_ids: Sequence[Any] | pl.Series | None
) -> NDArray[np.int64]:
    ids = (
        fit.participant_ids if participant_ids is None else pl.Series(participant_ids, dtype=fit.participant_ids.dtype)
    )
    asked = find_positions(ids, fit.participant_ids)
    absent = int((asked < 0).sum())
    if weights.ndim != 2 or weights.shape[1] != len(ids) or absent:
        raise UsageError(
            f"The weights have the shape {weights.shape}, for {len(ids)} participants.",
            expected=f"One column for each; {absent} participants of the fit have none.",
        )
    return asked


def _solve_each(A: Floats, b: Floats) -> Floats:
    """Solve every system (n_refits, p, p); NaN where it is singular."""
    solution = np.full_like(b, np.nan)
    values = np.linalg.eigvalsh(A)
    sound = values[:, 0] > SMALLEST_EIGENVALUE * values[:, -1]
    solution[sound] = np.linalg.solve(A[sound], b[sound][:, :, None])[:, :, 0]
    return solution
