"""The tables of a fit: fixed effects, variances and correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from ircohort.lmm.level import normal_quantile

Floats = NDArray[np.float64]


def fixed_table(names: Sequence[str], coefficients: Floats, covariance: Floats) -> pl.DataFrame:
    """Lay out fixed effects (p,) with their covariance (p, p): normal 95 % limits, z and p-value."""
    errors = np.sqrt(np.diagonal(covariance))
    z = coefficients / errors
    half = normal_quantile(0.95) * errors
    return pl.DataFrame(
        {
            "term": names,
            "estimate": coefficients,
            "standard_error": errors,
            "low": coefficients - half,
            "high": coefficients + half,
            "z": z,
            "p_value": 2 * ndtr(-np.abs(z)),
        }
    )


def random_table(names: Sequence[str], G: Floats, residual_variance: float, *, diagonal: bool) -> pl.DataFrame:
    """Lay out the variances of ``G`` (q, q), its covariances unless ``diagonal``, and the residual variance."""
    sds = np.sqrt(np.diagonal(G))
    rows: list[dict[str, Any]] = []
    for j, name in enumerate(names):
        rows.append({"effect": name, "sd": sds[j], "covariance": G[j, j]})
        for k in range(0 if diagonal else j):
            product = sds[j] * sds[k]
            correlation = float(np.clip(G[j, k] / product, -1, 1)) if product > 0 else None
            rows.append({"effect": names[k], "effect_2": name, "covariance": G[j, k], "correlation": correlation})
    rows.append({"effect": "Residual", "sd": np.sqrt(residual_variance), "covariance": residual_variance})
    schema = {"effect": pl.String, "effect_2": pl.String, "sd": pl.Float64, "covariance": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, "correlation": pl.Float64})
