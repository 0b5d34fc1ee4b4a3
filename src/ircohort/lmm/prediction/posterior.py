"""What a fit knows of each person: conditional modes (BLUPs) of the random effects and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, UsageError
from ircohort.frames import kind_of
from ircohort.lmm.inference.freedom import Axes, find_axes, pairs_of, turned
from ircohort.lmm.likelihood import information, profile_with_slope
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit
from ircohort.lmm.summary import posterior_text

Floats = NDArray[np.float64]

Positions = NDArray[np.int64]

_FLAT = 1e-8
"""A direction of G that the data tell less of than this (relative to the best known) adds no doubt."""


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Conditional modes of n people and their covariances, for q random effects in the order of ``effects``.

    Attributes
    ----------
    participant_ids
        (n,), the order of the arrays.
    modes
        (n, q), in the unit of the response per unit of the column.
    covariance
        (n, q, q), of the effects given the person's data and the fixed effects: ``condVar`` of lme4.
    prediction_error
        (n, q, q), of mode minus effect, with the uncertainty of the fixed effects. Both hold G and s2 as estimated.
    """

    effects: tuple[str, ...]
    modes: Floats
    covariance: Floats
    prediction_error: Floats
    participant_ids: pl.Series = field(repr=False)

    def __repr__(self) -> str:
        """Say what there is."""
        return posterior_text(self)


@dataclass(frozen=True, eq=False)
class PersonTerms:
    """What predictions for n people need, in the scaled basis of the fit.

    ``modes`` (n, q); ``spread`` (n, q, q) is T = L (I + L'Z'Z L)^-1 L', the posterior covariance over s2; ``carry``
    (n, p, q) is X'Z T: what an error of the fixed effects takes away from the modes. For :func:`doubt`, ``passed``
    (n, q, q) is Q = Z'V^-1 Z and ``drawn`` (n, q) is Z'V^-1(y - X b), with V over s2.
    """

    modes: Floats
    spread: Floats
    carry: Floats
    passed: Floats
    drawn: Floats

    def of(self, positions: Positions) -> PersonTerms:
        """Give the terms of some of the people."""
        return PersonTerms(*(getattr(self, name)[positions] for name in _TERMS))

    def __add__(self, other: PersonTerms) -> PersonTerms:
        return PersonTerms(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in _TERMS))


_TERMS = tuple(PersonTerms.__dataclass_fields__)


def random_effects(fit: Fit, *, participants: Sequence[Any] | None = None) -> Any:
    """Tabulate the conditional modes (BLUPs) of the random effects with their uncertainty.

    Parameters
    ----------
    fit
        A fitted model.
    participants
        The people wanted, in the order wanted; by default all, sorted.

    Returns
    -------
    data frame
        One row per person and effect, of the kind of frame of the fit: the grouping column, ``effect``, ``mode``,
        ``sd`` (posterior, given the fixed effects, as lme4's ``condVar``), ``prediction_error_sd`` (with the
        uncertainty of the fixed effects). Units: the response (after its transform) per unit of the column. A person
        with few visits has modes near zero and an ``sd`` near that of the population; on the boundary both are zero.

    Raises
    ------
    UsageError
        If a participant was not in the fit.

    Source
    ------
    Laird and Ware 1982, Biometrics 38:963, doi:10.2307/2529876; Robinson 1991, Statistical Science 6:15,
    doi:10.1214/ss/1177011926.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> people = random_effects(fit("log(homa_ir) ~ years + (1 | participant_id)", visits), participants=["b"])
    >>> people["effect"].to_list(), bool(people["mode"][0] > 0)
    (['Intercept'], True)
    """
    require_fit(fit, "random_effects")
    found = posterior(fit, participants=participants)
    n, q = found.modes.shape
    return kind_of(fit.fixed)(
        pl.DataFrame(
            {
                fit.basis.formula.group: found.participant_ids.gather(np.repeat(np.arange(n), q)),
                "effect": list(found.effects) * n,
                "mode": found.modes.ravel(),
                "sd": _sds(found.covariance).ravel(),
                "prediction_error_sd": _sds(found.prediction_error).ravel(),
            },
            schema_overrides={"effect": pl.String},
        )
    )


def posterior(fit: Fit, *, participants: Sequence[Any] | None = None) -> Posterior:
    """Give the conditional modes and both covariances as arrays.

    Parameters
    ----------
    fit
        A fitted model.
    participants
        The people wanted, in the order wanted; by default all, sorted.

    Raises
    ------
    UsageError
        If a participant was not in the fit.

    Source
    ------
    Henderson 1975, Biometrics 31:423, doi:10.2307/2529430: with C the inverse of the mixed model equations, C22 is
    ``prediction_error``.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> posterior(fit("log(homa_ir) ~ years + (1 | participant_id)", visits)).covariance.shape
    (3, 1, 1)
    """
    require_fit(fit, "posterior")
    ids = known_ids(fit)
    chosen = np.arange(len(ids)) if participants is None else _chosen(fit, ids, participants)
    terms = terms_of_fit(fit, chosen)
    to_random = fit.scaling.to_random
    given = fit.residual_variance * terms.spread
    added = terms.carry.transpose(0, 2, 1) @ scaled_covariance(fit) @ terms.carry
    return Posterior(
        effects=fit.random_names,
        modes=terms.modes @ to_random.T,
        covariance=to_random @ given @ to_random.T,
        prediction_error=to_random @ (given + added) @ to_random.T,
        participant_ids=ids.gather(chosen),
    )


def known_ids(fit: Fit) -> pl.Series:
    """Give the participants of a fit, sorted, as a column named as the grouping column."""
    return pl.Series(fit.basis.formula.group, fit.participant_ids)


def ids_of(frame: pl.DataFrame, group: str, *, next_step: str = "Add it.") -> pl.Series:
    """Give the participants of a table, which personal predictions need."""
    if group not in frame.columns:
        raise ColumnError(
            f"The table has no column {group}, which personal predictions need.",
            expected=f"It has: {', '.join(frame.columns)}.",
            next_step=next_step,
        )
    return frame[group]


def find_positions(known: pl.Series, given: pl.Series) -> Positions:
    """Find each of ``given`` among the ids ``known``: its position, -1 for a stranger, -2 for a missing id.

    Raises
    ------
    ColumnError
        If one holds numbers and the other text, so that nobody could be found.
    """
    column = _as_known(known, given)
    book = pl.DataFrame({"id": known, "position": np.arange(len(known))})
    found = pl.DataFrame({"id": column}).join(book, on="id", how="left", maintain_order="left")
    stranger = pl.when(pl.col("id").is_null()).then(-2).otherwise(-1)
    # A float that is no whole number becomes null on the way to integers; it is a stranger, not a missing id.
    missing = pl.Series(given).is_null()
    positions = found.select(pl.col("position").fill_null(stranger)).to_series().to_numpy().astype(np.int64)
    return np.where(positions == -2, np.where(missing.to_numpy(), -2, -1), positions)


def _as_known(known: pl.Series, given: pl.Series) -> pl.Series:
    texts = (pl.String, pl.Categorical, pl.Enum)
    column = given.fill_nan(None) if given.dtype.is_float() else given
    if given.dtype == pl.Null:
        return column.cast(known.dtype)
    if (known.dtype in texts) != (given.dtype in texts):
        raise ColumnError(
            f"Column {known.name} holds {given.dtype} here, and {known.dtype} in the data of the fit.",
            expected="Nobody would be found.",
            next_step="Convert the column to the same type.",
        )
    if column.dtype.is_float() and known.dtype.is_integer():
        column = column.set(column != column.round(), None)
    return column.cast(known.dtype, strict=False)


def _chosen(fit: Fit, ids: pl.Series, participants: Sequence[Any]) -> Positions:
    wanted = pl.Series(ids.name, participants, dtype=None if len(participants) else ids.dtype)
    positions = find_positions(ids, wanted)
    strangers = int((positions < 0).sum())
    if strangers:
        raise UsageError(
            f"{strangers} of the participants asked for were not in the fit.",
            expected=f"The fit knows {fit.participants} participants.",
            next_step="For new people, give their visits to predict(..., history=...).",
        )
    return positions


def terms_of_fit(fit: Fit, positions: Positions) -> PersonTerms:
    """Give the terms of people of the fit, from their sums."""
    sums = fit.sums
    ZX = sums.ZX[positions]
    residual = sums.Zy[positions] - ZX @ scaled_coefficients(fit)
    return person_terms(fit.relative_factor, sums.ZZ[positions], ZX, residual)


def person_terms(L: Floats, ZZ: Floats, ZX: Floats, Zr: Floats) -> PersonTerms:
    """Compute the terms from Z'Z (n, q, q), Z'X (n, q, p) and Z'(y - X b) (n, q), all zero for somebody unseen."""
    M = np.eye(L.shape[1]) + L.T @ ZZ @ L
    spread = L @ np.linalg.solve(M, np.broadcast_to(L.T, (len(ZZ), *L.T.shape)))
    spread = 0.5 * (spread + spread.transpose(0, 2, 1))
    modes = (spread @ Zr[:, :, None])[:, :, 0]
    drawn = Zr - (ZZ @ modes[:, :, None])[:, :, 0]
    return PersonTerms(modes, spread, ZX.transpose(0, 2, 1) @ spread, ZZ - ZZ @ spread @ ZZ, drawn)


def doubt(fit: Fit, terms: PersonTerms) -> Floats:
    """Give what the estimation of G adds to the variance of people's curves, over s2: (n, q, q).

    The modes would move by (I - L L'Q) E Z'V^-1(y - X b) if L L' moved by E. Under the covariance of the estimated
    L L' (the inverse of its expected information, on a scale where a variance of zero is a point like another) this
    gives them a variance; as much again is what ``spread`` is too small on average, being computed from estimates.
    The first is taken at the readings of the person, the second at what readings are expected to be.

    Where variances are estimated as zero the moves are those of the reduced model, as for the degrees of freedom:
    L L' keeps its rank, but its range may turn. It bends upwards as it turns, so that then only the first is added.

    Source
    ------
    Prasad and Rao 1990, Journal of the American Statistical Association 85:163; Booth and Hobert 1998, the same
    93:262.
    """
    if fit.engine == "ols":
        return np.zeros_like(terms.spread)
    L, axes = fit.relative_factor, find_axes(fit)
    left = np.eye(len(L)) - L @ L.T @ terms.passed
    observed = terms.drawn[:, :, None] * terms.drawn[:, None, :] / fit.residual_variance
    pairs = pairs_of(axes, diagonal=fit.basis.formula.diagonal)
    within = [(j, k) for j, k in pairs if k < len(L) - axes.nulls]
    added = np.zeros_like(terms.spread)
    for free, variance in ((pairs, observed), (within, terms.passed)):
        for E in _moves_of_product(fit, axes, free):
            change = left @ E
            added += change @ variance @ change.transpose(0, 2, 1)
    return added


def _moves_of_product(fit: Fit, axes: Axes, pairs: list[tuple[int, int]]) -> Floats:
    """Give independent standard deviations of the estimated L L', as symmetric matrices (k, q, q).

    ``pairs`` are its elements, on its axes, that are free to move.
    """
    if not pairs:
        return np.empty((0, *fit.relative_factor.shape))
    E = turned(axes, pairs)
    at = profile_with_slope(fit.sums, axes.directions * axes.roots, reml=fit.reml)
    values, vectors = np.linalg.eigh(information(at, E))
    known = values > _FLAT * values[-1]
    return np.tensordot((vectors[:, known] / np.sqrt(values[known])).T, E, axes=1)


def scaled_coefficients(fit: Fit) -> Floats:
    """Give the fixed effects (p,) in the basis of the sums."""
    scaled: Floats = fit.scaling.fixed @ (fit.coefficients - fit.scaling.offset)
    return scaled


def scaled_covariance(fit: Fit) -> Floats:
    """Give the covariance (p, p) of the fixed effects in the basis of the sums."""
    scaled: Floats = fit.scaling.fixed @ fit.fixed_covariance @ fit.scaling.fixed.T
    return scaled


def _sds(covariances: Floats) -> Floats:
    return np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0))
