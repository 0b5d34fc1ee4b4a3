"""Correlations across outcomes with their intervals, as of two outcomes that rise together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from ircohort.frames import kind_of
from ircohort.lmm.joint.parameters import Pairs, never_together, unpack
from ircohort.lmm.joint.record import JointFit
from ircohort.lmm.level import normal_quantile
from ircohort.lmm.require import require_fit

Floats = NDArray[np.float64]

_SHIFT = 1e-5
_KNOWN = 1e-7
_LOST = 1e-3
_ONE = 1 - 1e-5
_AT_BOUNDARY = "the fit is at a boundary, which the interval takes as given"


def correlations(fit: JointFit, *, level: float = 0.95) -> Any:
    """Give the correlations between effects of different outcomes, and between their residuals, with intervals.

    The interval is normal on Fisher's scale, z = atanh(correlation), with the standard error by the delta method from
    the observed information of the variance parameters.

    Parameters
    ----------
    fit
        A joint fit.
    level
        Of the intervals.

    Returns
    -------
    data frame
        Of the kind of the fit's tables. ``part`` ("people" for random effects, "draw" for residuals), ``outcome``,
        ``effect``, ``outcome_2``, ``effect_2`` (effects null for residuals), ``correlation``, ``standard_error_z`` (of
        Fisher's z), ``low``, ``high``, ``z``, ``p_value`` (Wald, on Fisher's scale), ``note``. Where a variance is
        zero, the correlation is 1 or -1, or it was held, the interval is null and ``note`` says why. At another
        boundary the interval takes the boundary as given, and ``note`` says so.

    Raises
    ------
    UsageError
        If the level is not between 0 and 1.

    Source
    ------
    Fisher 1921, Metron 1:3.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> level, noise = random.normal(size=(40, 1, 2)), random.normal(size=(40, 5, 2))
    >>> both = (5 + level @ [[1.0, 0.8], [0.0, 0.6]] + 0.5 * noise).reshape(200, 2)
    >>> draws = pl.DataFrame({"id": np.repeat(np.arange(40), 5), "insulin": both[:, 0], "glucose": both[:, 1]})
    >>> from ircohort.lmm.joint import fit_joint
    >>> table = correlations(fit_joint(["insulin ~ 1 + (1 | id)", "glucose ~ 1 + (1 | id)"], draws))
    >>> table.filter(table["part"] == "people")["low"].item() > 0.5
    True
    """
    require_fit(fit, "correlations", takes=("JointFit",))
    quantile = normal_quantile(level)
    parts = (_correlations_of_people(fit), _correlations_of_draws(fit))
    rows = [row for part in parts for row in _rows(fit, part, quantile)]
    texts = dict.fromkeys(("part", "outcome", "effect", "outcome_2", "effect_2"), pl.String)
    numbers = dict.fromkeys(("correlation", "standard_error_z", "low", "high", "z", "p_value"), pl.Float64)
    return kind_of(fit.fixed)(pl.DataFrame(rows, schema={**texts, **numbers, "note": pl.String}))


@dataclass(frozen=True, eq=False)
class _Correlations:
    """Pairs of effects of different outcomes: their labels, and correlations (c,) with derivatives by theta (c, t)."""

    part: str
    names: tuple[tuple[str, str | None], ...]
    pairs: tuple[tuple[int, int], ...]
    values: Floats
    slopes: Floats
    unknown: tuple[bool, ...]


def _correlations_of_people(fit: JointFit) -> _Correlations:
    def covariance(theta: Floats) -> Floats:
        root = fit.change.random @ unpack(fit.parameters, theta)[0]
        return root @ root.T

    no_person, _ = never_together(fit.sums)
    return _with_slopes(fit, "people", fit.random_names, covariance, no_person)


def _correlations_of_draws(fit: JointFit) -> _Correlations:
    def covariance(theta: Floats) -> Floats:
        C = unpack(fit.parameters, theta)[1]
        return C @ C.T

    _, no_row = never_together(fit.sums)
    return _with_slopes(fit, "draw", tuple((name, None) for name in fit.outcomes), covariance, no_row)


def _with_slopes(
    fit: JointFit,
    part: str,
    names: tuple[tuple[str, str | None], ...],
    covariance: Callable[[Floats], Floats],
    held: Pairs,
) -> _Correlations:
    outcome = [fit.outcomes.index(name) for name, _ in names]
    pairs = tuple((j, k) for j, k in combinations(range(len(names)), 2) if outcome[j] != outcome[k])

    def values(theta: Floats) -> Floats:
        S = covariance(theta)
        sizes = np.sqrt(np.outer(np.diagonal(S), np.diagonal(S)))
        R = np.divide(S, sizes, out=np.zeros_like(S), where=sizes > 0)
        return np.array([R[pair] for pair in pairs])

    shifts = _SHIFT * np.eye(len(fit.theta))
    slopes = np.array([(values(fit.theta + shift) - values(fit.theta - shift)) / (2 * _SHIFT) for shift in shifts])
    unknown = tuple((outcome[j], outcome[k]) in held for j, k in pairs)
    return _Correlations(part, names, pairs, values(fit.theta), slopes.T, unknown)


def _rows(fit: JointFit, found: _Correlations, quantile: float) -> list[dict[str, Any]]:
    eigenvalues, vectors = np.linalg.eigh(fit.information)
    known = eigenvalues > _KNOWN * eigenvalues[-1]
    spread = (vectors[:, known] / eigenvalues[known]) @ vectors[:, known].T
    rows = []
    for (j, k), r, slope, unknown in zip(found.pairs, found.values, found.slopes, found.unknown, strict=True):
        row: dict[str, Any] = {"part": found.part, "outcome": found.names[j][0], "effect": found.names[j][1]}
        row |= {"outcome_2": found.names[k][0], "effect_2": found.names[k][1]}
        lost = float(np.linalg.norm(vectors[:, ~known].T @ slope)) > _LOST * float(np.linalg.norm(slope))
        flat = found.part == "people" and not {found.names[j], found.names[k]}.isdisjoint(fit.without_variance)
        why = _why_no_interval(float(r), unknown=unknown, flat=flat, lost=lost)
        row["correlation"] = None if unknown or flat else float(np.clip(r, -1, 1))
        row["note"] = why or (_AT_BOUNDARY if fit.at_boundary else None)
        rows.append(row if why else row | _interval(float(r), slope, spread, quantile))
    return rows


def _why_no_interval(r: float, *, unknown: bool, flat: bool, lost: bool) -> str:
    if unknown:
        return "held at zero: the two outcomes were never observed together"
    if flat:
        return "a variance is estimated as zero"
    if abs(r) > _ONE:
        return "the correlation is at its limit"
    return "the data do not determine it" if lost else ""


def _interval(r: float, slope: Floats, spread: Floats, quantile: float) -> dict[str, float]:
    fisher = float(np.arctanh(r))
    error = float(np.sqrt(slope @ spread @ slope)) / (1 - r * r)
    z = fisher / error
    return {
        "standard_error_z": error,
        "low": float(np.tanh(fisher - quantile * error)),
        "high": float(np.tanh(fisher + quantile * error)),
        "z": z,
        "p_value": float(2 * ndtr(-abs(z))),
    }
