"""The tables of a joint fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Names = Sequence[tuple[str, str]]

HALF_WIDTH = float(ndtri(0.975))
"""Of a 95 % interval, in standard errors."""


def fixed_table(names: Names, coefficients: Floats, covariance: Floats) -> pl.DataFrame:
    """Make the table of fixed effects."""
    errors = np.sqrt(np.diagonal(covariance))
    z = coefficients / errors
    return pl.DataFrame(
        {
            "outcome": [outcome for outcome, _ in names],
            "term": [term for _, term in names],
            "estimate": coefficients,
            "standard_error": errors,
            "low": coefficients - HALF_WIDTH * errors,
            "high": coefficients + HALF_WIDTH * errors,
            "z": z,
            "p_value": 2 * ndtr(-np.abs(z)),
        }
    )


def random_table(names: Names, G: Floats, unknown: NDArray[np.bool_]) -> pl.DataFrame:
    """Make the table of the random effects; ``unknown`` (q, q) tells which pairs have no correlation."""
    rows: list[dict[str, Any]] = []
    for j, (outcome, effect) in enumerate(names):
        rows.append({"outcome": outcome, "effect": effect, "sd": np.sqrt(G[j, j]), "covariance": G[j, j]})
        for k in range(j):
            pair = {"outcome": names[k][0], "effect": names[k][1], "outcome_2": outcome, "effect_2": effect}
            rows.append({**pair, "covariance": G[j, k], "correlation": _correlation(G, unknown, j, k)})
    texts = ("outcome", "effect", "outcome_2", "effect_2")
    return _frame(rows, texts)


def residual_table(outcomes: Sequence[str], R: Floats, unknown: NDArray[np.bool_]) -> pl.DataFrame:
    """Make the table of variances and covariances of the residuals of one draw."""
    rows: list[dict[str, Any]] = []
    for j, outcome in enumerate(outcomes):
        rows.append({"outcome": outcome, "sd": np.sqrt(R[j, j]), "covariance": R[j, j]})
        rows.extend(
            {
                "outcome": outcomes[k],
                "outcome_2": outcome,
                "covariance": R[j, k],
                "correlation": _correlation(R, unknown, j, k),
            }
            for k in range(j)
        )
    return _frame(rows, ("outcome", "outcome_2"))


def _frame(rows: list[dict[str, Any]], texts: tuple[str, ...]) -> pl.DataFrame:
    numbers = ("sd", "covariance", "correlation")
    return pl.DataFrame(rows, schema={**dict.fromkeys(texts, pl.String), **dict.fromkeys(numbers, pl.Float64)})


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
