"""The tables of a joint fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.lmm import tables

Floats = NDArray[np.float64]
Names = Sequence[tuple[str, str]]


def fixed_table(names: Names, coefficients: Floats, covariance: Floats) -> pl.DataFrame:
    """Make the table of fixed effects: that of a fit, with the outcome before the term."""
    table = tables.fixed_table([term for _, term in names], coefficients, covariance)
    return table.insert_column(0, pl.Series("outcome", [outcome for outcome, _ in names]))


def random_table(names: Names, G: Floats, unknown: NDArray[np.bool_]) -> pl.DataFrame:
    """Make the table of the random effects; ``unknown`` (q, q) tells which pairs have no correlation."""
    return _covariance_table(("outcome", "effect"), names, G, unknown)


def residual_table(outcomes: Sequence[str], R: Floats, unknown: NDArray[np.bool_]) -> pl.DataFrame:
    """Make the table of variances and covariances of the residuals of one draw."""
    return _covariance_table(("outcome",), [(name,) for name in outcomes], R, unknown)


def _covariance_table(
    keys: Sequence[str], names: Sequence[tuple[str, ...]], S: Floats, unknown: NDArray[np.bool_]
) -> pl.DataFrame:
    """Lay out the lower triangle of ``S``; each of ``names`` has a part for each of ``keys``."""
    seconds = [f"{key}_2" for key in keys]
    rows: list[dict[str, Any]] = []
    for j, name in enumerate(names):
        rows.append({**dict(zip(keys, name, strict=True)), "sd": np.sqrt(S[j, j]), "covariance": S[j, j]})
        for k in range(j):
            pair = dict(zip((*keys, *seconds), (*names[k], *name), strict=True))
            rows.append({**pair, "covariance": S[j, k], "correlation": _correlation(S, unknown, j, k)})
    numbers = ("sd", "covariance", "correlation")
    schema = {**dict.fromkeys((*keys, *seconds), pl.String), **dict.fromkeys(numbers, pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def _correlation(S: Floats, unknown: NDArray[np.bool_], j: int, k: int) -> float | None:
    product = np.sqrt(S[j, j] * S[k, k])
    return float(np.clip(S[j, k] / product, -1, 1)) if product > 0 and not unknown[j, k] else None


def people_table(group: str, ids: pl.Series, names: Names, modes: Floats) -> pl.DataFrame:
    """Make the table of conditional modes."""
    columns = {f"{outcome}:{effect}": mode for (outcome, effect), mode in zip(names, modes.T, strict=True)}
    return pl.DataFrame({group: ids, **columns})


def pattern_table(outcomes: Sequence[str], patterns: NDArray[np.bool_], rows: NDArray[np.int64]) -> pl.DataFrame:
    """Make the table of patterns of observed outcomes."""
    return pl.DataFrame({**dict(zip(outcomes, patterns.T, strict=True)), "visits": rows})
