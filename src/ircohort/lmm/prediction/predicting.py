"""Predictions of a fit: the curve of the population or of a person, or a new reading, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.level import normal_quantile, require_level
from ircohort.lmm.prediction.posterior import (
    PersonTerms,
    Positions,
    doubt,
    find_positions,
    ids_of,
    known_ids,
    person_terms,
    scaled_covariance,
    terms_of_fit,
)
from ircohort.lmm.prediction.rows import (
    design_matrix,
    random_design_matrix,
    refuse_overwriting,
    require_log,
    response_rows,
)
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit

Floats = NDArray[np.float64]

ADDED_COLUMNS = ("estimate", "standard_error", "low", "high", "known_person")
"""What :func:`predict` adds to a table."""

_ROWS_AT_ONCE = 50_000


def predict(
    fit: Fit,
    frame: Any,
    *,
    level: float = 0.95,
    target: Literal["curve", "reading"] = "curve",
    personal: bool = True,
    new_people: Literal["population", "refuse"] = "population",
    history: Any = None,
    exponentiate: bool = False,
    variances: Literal["estimated", "known"] = "estimated",
) -> Any:
    """Predict for the people and times of a table, with intervals.

    With b the fixed and u the random effects, the variance of x'(b^ - b) + z'(u^ - u) is taken from the inverse of
    Henderson's mixed model equations, so that it holds the uncertainty of both and their covariance. Somebody whom
    the fit has not seen is given u^ = 0 with the covariance G, or, with a ``history``, the conditional modes of these
    visits under the parameters of the fit.

    That variance takes G as known. Personal predictions are therefore given what the estimation of G adds
    (``variances="estimated"``); where a variance is estimated as zero, what it adds in the model without it. In
    simulated cohorts of 50 people with three or four visits, 95 % intervals of personal curves held the true one in
    94 to 95 % of cases, and three years ahead in 93.5 to 96 %; with the variances taken as known, in 92 to 93 % and
    90 to 93.5 %. With 20 people it was 92.5 to 95 %; where people do not differ at all, 97 %, and 99 % with three
    random effects. Quantiles are normal. All this is on average over people: an extreme true curve is held less
    often. With sampling weights the addition is an approximation. A fit by least squares has no random effects: its
    personal curve is that of the population.

    Parameters
    ----------
    fit
        A fitted model.
    frame
        pandas or polars, with the columns of the formula but the response; for personal predictions the grouping
        column too. People of the fit need no history.
    level
        Share of the cases that the interval is to hold.
    target
        ``curve``: the true curve of the person (``personal``) or the mean of the population. ``reading``: one new
        reading, of the person, or of somebody of the population of whom nothing is known.
    personal
        Use what is known of the person.
    new_people
        What to do with people of whom the fit has no visit and ``history`` neither: ``population`` predicts from the
        fixed effects with the variation of people, ``refuse`` raises.
    history
        Visits, with the response, of people who were not in the fit. Incomplete rows are left out.
    exponentiate
        For a response ``log(...)``: give ``estimate``, ``low`` and ``high`` in its own unit. The prediction is then a
        median, not a mean. ``standard_error`` stays that of the logarithm.
    variances
        ``known`` leaves out what the estimation of G adds; the standard errors are then those of Henderson's equations.

    Returns
    -------
    data frame
        The rows and columns of ``frame`` in their order, of its kind, and :data:`ADDED_COLUMNS`: ``estimate``,
        ``standard_error``, ``low``, ``high`` in the unit of the response (after its transform), null where a
        covariate (or, for personal predictions, the grouping column) is missing; ``known_person``, true where visits
        of the person, in the fit or in ``history``, have been used.

    Raises
    ------
    ColumnError
        If a column is absent, would be overwritten, or holds a level that the fit has not seen.
    UsageError
        If an argument cannot be meant, if people of ``history`` were in the fit (their visits would count twice), or
        if people are new and ``new_people`` is ``refuse``.
    ModelError
        If ``exponentiate`` is asked for and the response is not a logarithm, or if a transform of the history has no
        finite value, such as the logarithm of zero.

    Source
    ------
    Henderson 1975, Biometrics 31:423, doi:10.2307/2529430; Robinson 1991, Statistical Science 6:15,
    doi:10.1214/ss/1177011926.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> found = fit("log(homa_ir) ~ years + (1 | participant_id)", visits)
    >>> ahead = pl.DataFrame({"participant_id": ["a", "new"], "years": [3.0, 3.0]})
    >>> answer = predict(found, ahead, exponentiate=True)
    >>> answer["known_person"].to_list(), bool(answer["estimate"][0] < answer["estimate"][1])
    ([True, False], True)
    """
    require_fit(fit, "predict")
    given = to_polars(frame)
    require_level(level)
    _check_choices(target=target, new_people=new_people, variances=variances)
    refuse_overwriting(given, ADDED_COLUMNS)
    if exponentiate:
        require_log(fit)
    if history is not None and not personal:
        raise UsageError("A history was given for a prediction of the population.", next_step="Set personal=True.")
    people = _people(fit, given, history) if personal else _nobody(fit, given)
    strangers = people.rows == people.stranger
    if personal and new_people == "refuse" and strangers.any():
        number = given[fit.basis.formula.group].gather(np.flatnonzero(strangers)).n_unique()
        raise UsageError(
            f"{number} people of the table are not in the fit, nor in a history.",
            next_step='Give their visits as history, or set new_people="population".',
        )
    if personal and variances == "estimated":
        people = replace(people, terms=replace(people.terms, spread=people.terms.spread + doubt(fit, people.terms)))
    predicted, variance = _moments(fit, given, people, of_people=personal or target == "reading")
    error = np.sqrt(variance + (fit.residual_variance if target == "reading" else 0.0))
    half = normal_quantile(level) * error
    back = np.exp if exponentiate else np.asarray
    with np.errstate(over="ignore"):
        limits = {"low": back(predicted - half), "high": back(predicted + half)}
        added = pl.DataFrame({"estimate": back(predicted), "standard_error": error, **limits}).fill_nan(None)
    known = pl.Series("known_person", (people.rows >= 0) & (people.rows < people.stranger))
    return kind_of(frame)(given.with_columns(*added, known))


@dataclass(frozen=True, eq=False)
class _People:
    """Terms of those who occur, the last of them ``stranger``; ``rows`` (N,) points at them, -1 for a missing id."""

    terms: PersonTerms
    rows: Positions

    @property
    def stranger(self) -> int:
        return len(self.terms.modes) - 1


_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"target": ("curve", "reading"), "new_people": ("population", "refuse"), "variances": ("estimated", "known")}
)


def _check_choices(**given: str) -> None:
    for name, choice in given.items():
        if choice not in _CHOICES[name]:
            raise UsageError(f"{name} is {choice!r}.", expected=" or ".join(f'"{one}"' for one in _CHOICES[name]) + ".")


def _nobody(fit: Fit, frame: pl.DataFrame) -> _People:
    return _People(_stranger(fit), np.zeros(frame.height, dtype=np.int64))


def _people(fit: Fit, frame: pl.DataFrame, history: Any) -> _People:
    """Gather the terms of the people of ``frame``: of the fit, of the history, and of somebody unseen."""
    given = ids_of(frame, fit.basis.formula.group, next_step="Add it, or set personal=False.")
    in_fit = find_positions(known_ids(fit), given)
    occurring = np.unique(in_fit[in_fit >= 0])
    together = terms_of_fit(fit, occurring)
    rows = np.where(in_fit >= 0, np.searchsorted(occurring, in_fit), in_fit)
    if history is not None:
        ids, terms = _terms_of_history(fit, to_polars(history))
        in_history = find_positions(ids, given)
        together += terms
        rows = np.where((rows < 0) & (in_history >= 0), len(occurring) + in_history, rows)
    together += _stranger(fit)
    rows = np.where(rows == -1, len(together.modes) - 1, np.maximum(rows, -1))
    return _People(together, rows)


def _stranger(fit: Fit) -> PersonTerms:
    p, q = len(fit.coefficients), len(fit.relative_factor)
    return person_terms(fit.relative_factor, np.zeros((1, q, q)), np.zeros((1, q, p)), np.zeros((1, q)))


def _terms_of_history(fit: Fit, history: pl.DataFrame) -> tuple[pl.Series, PersonTerms]:
    """Sum up the visits of people who were not in the fit; each is taken with the parameters as they stand."""
    group = fit.basis.formula.group
    _require(history, (group, *fit.basis.formula.variables))
    positions = find_positions(known_ids(fit), history[group])
    if (positions >= 0).any():
        raise UsageError(
            f"{len(np.unique(positions[positions >= 0]))} people of the history were in the fit.",
            expected="Their visits would count twice.",
            next_step="Leave them out of the history, or fit again with their new visits.",
        )
    kept = history.filter(pl.Series(positions == -1)).sort(group, *fit.basis.formula.variables)
    X, Z, y = design_matrix(fit, kept), random_design_matrix(fit, kept), response_rows(fit, kept)
    complete = ~np.isnan(np.column_stack([X, Z, y])).any(axis=1)
    Xs, Zs = (X @ fit.scaling.to_fixed)[complete], (Z @ fit.scaling.to_random)[complete]
    residual = (y - X @ fit.coefficients)[complete]
    groups = kept[group].gather(np.flatnonzero(complete))
    starts = np.flatnonzero(np.diff(groups.rle_id().to_numpy().astype(np.int64), prepend=-1))
    ZZ, ZX, Zr = (
        np.add.reduceat(Zs[:, :, None] * right[:, None, :], starts, axis=0) for right in (Zs, Xs, residual[:, None])
    )
    return groups.gather(starts), person_terms(fit.relative_factor, ZZ, ZX, Zr[:, :, 0])


def _require(history: pl.DataFrame, names: tuple[str, ...]) -> None:
    absent = [name for name in names if name not in history.columns]
    if absent:
        raise ColumnError(f"The history has no column {', '.join(absent)}.")


def _moments(fit: Fit, frame: pl.DataFrame, people: _People, *, of_people: bool) -> tuple[Floats, Floats]:
    """Give the prediction (N,) and the variance of its error; NaN for rows that are not complete.

    Without ``of_people`` it is that of the mean of the population, and the random part of the formula has no say.
    """
    predicted, variance = np.full(frame.height, np.nan), np.full(frame.height, np.nan)
    covariance = scaled_covariance(fit)
    to_fixed, to_random = fit.scaling.to_fixed, fit.scaling.to_random
    for first in range(0, frame.height, _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        X, whom = design_matrix(fit, frame[part]), people.rows[part]
        Z = random_design_matrix(fit, frame[part]) if of_people else np.zeros((len(X), len(to_random)))
        Z[whom < 0] = np.nan
        terms = people.terms.of(whom)
        carried, spread = carry_to_rows(X @ to_fixed, Z @ to_random, terms)
        predicted[part] = X @ fit.coefficients + np.einsum("ij,ij->i", Z @ to_random, terms.modes)
        variance[part] = np.einsum("ij,ij->i", carried @ covariance, carried) + fit.residual_variance * spread
    return predicted, np.maximum(variance, 0.0)


def carry_to_rows(Xs: Floats, Zs: Floats, terms: PersonTerms) -> tuple[Floats, Floats]:
    """Give, for rows in the scaled basis, x - X'Z T z (N, p) and z'T z (N,) with the terms of each row's person.

    The error of a row's prediction is (x - X'Z T z)'(b^ - b) plus an independent part of variance s2 z'T z.
    """
    return Xs - np.einsum("ipq,iq->ip", terms.carry, Zs), np.einsum("iq,iqr,ir->i", Zs, terms.spread, Zs)
