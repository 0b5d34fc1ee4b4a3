"""How much of the variation a model explains: R2 of Nakagawa and Schielzeth, and the intraclass correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.prediction.rows import design_matrix, random_design_matrix, refuse_overwriting
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RSquared:
    """Shares of the variance of the response, and the variances they are made of (unit of the response squared).

    Attributes
    ----------
    marginal
        Share explained by the fixed effects: ``fixed_variance`` over the sum of the three.
    conditional
        Share explained by fixed and random effects together.
    fixed_variance
        Variance, over the visits, of the fixed part X b (divisor: visits - 1).
    random_variance
        Mean over the visits of the variance z'Gz of the random part.
    residual_variance
        s2.
    """

    marginal: float
    conditional: float
    fixed_variance: float
    random_variance: float
    residual_variance: float


def r_squared(fit: Fit) -> RSquared:
    """Give the marginal and the conditional R2 of a fit.

    Computed from the participants' sums; participants count as often as their weight says.

    Raises
    ------
    ModelError
        If the model has no intercept and the rows were not kept, so that the mean of X b is not known.

    Source
    ------
    Nakagawa and Schielzeth 2013, Methods Ecol Evol 4:133, doi:10.1111/j.2041-210x.2012.00261.x; with random slopes
    Johnson 2014, Methods Ecol Evol 5:944, doi:10.1111/2041-210X.12225.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> found = r_squared(fit("homa_ir ~ years + (1 | participant_id)", visits))
    >>> 0 < found.marginal < found.conditional < 1
    True
    """
    require_fit(fit, "r_squared")
    fixed, random, residual = _fixed_variance(fit), _random_variance(fit), fit.residual_variance
    total = fixed + random + residual
    return RSquared(fixed / total, (fixed + random) / total, fixed, random, residual)


def icc(fit: Fit, frame: Any = None) -> Any:
    """Give the intraclass correlation: the share of people in the variation that the fixed effects leave.

    It is z'Gz / (z'Gz + s2), z being the row of the random design: with a random intercept alone the correlation of
    two visits of a person, with random slopes a function of the columns of the random part.

    Parameters
    ----------
    fit
        A fitted model.
    frame
        pandas or polars, with the columns that the random part names. By default, the variances are averaged over
        the visits of the fit.

    Returns
    -------
    float or data frame
        One number from 0 to 1; or ``frame`` with a column ``icc``, null where a column of the random part is missing.

    Raises
    ------
    ColumnError
        If a column is absent, or ``frame`` has a column ``icc`` already.

    Source
    ------
    Nakagawa, Johnson and Schielzeth 2017, J R Soc Interface 14:20170213, doi:10.1098/rsif.2017.0213; with random
    slopes Goldstein, Browne and Rasbash 2002, Underst Stat 1:223, doi:10.1207/S15328031US0104_02.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> icc(fit("homa_ir ~ years + (1 | participant_id)", visits)) > 0.9
    True
    """
    require_fit(fit, "icc")
    if frame is None:
        between = _random_variance(fit)
        return between / (between + fit.residual_variance)
    given = to_polars(frame)
    refuse_overwriting(given, ("icc",))
    Z = random_design_matrix(fit, given)
    spread = ((Z @ fit.random_covariance) * Z).sum(axis=1)
    share = pl.Series("icc", spread / (spread + fit.residual_variance)).fill_nan(None)
    return kind_of(frame)(given.with_columns(share))


def _random_variance(fit: Fit) -> float:
    """Give the mean of z'Gz over the visits, as the trace of G times the mean of zz'."""
    weights = fit.sums.multiplicity
    scaled = fit.scaling.random @ fit.random_covariance @ fit.scaling.random.T
    ZZ = np.tensordot(weights, fit.sums.ZZ, axes=1)
    return float(np.sum(scaled * ZZ) / (weights @ fit.sums.visits))


def _fixed_variance(fit: Fit) -> float:
    weights = fit.sums.multiplicity
    visits = float(weights @ fit.sums.visits)
    g = fit.scaling.fixed @ fit.coefficients
    squares = float(g @ np.tensordot(weights, fit.sums.XX, axes=1) @ g)
    total = _sum_of_ones(fit, weights) @ g
    return max(float(squares - total**2 / visits), 0.0) / (visits - 1.0)


def _sum_of_ones(fit: Fit, weights: Floats) -> Floats:
    """Give 1'X (p,) in the scaled basis, from the column of ones in X or Z, or from the rows."""
    if "Intercept" in fit.fixed_names:
        # X'X in the natural basis is S' XX S; the row of the intercept, brought back, is 1'Xs.
        ones = fit.scaling.fixed[:, fit.fixed_names.index("Intercept")]
        return np.asarray(np.tensordot(weights, fit.sums.XX, axes=1) @ ones)
    if "Intercept" in fit.random_names:
        ones = fit.scaling.random[:, fit.random_names.index("Intercept")]
        return np.asarray(np.tensordot(weights, fit.sums.ZX, axes=1).T @ ones)
    if fit.rows is None:
        raise ModelError(
            f"{fit.formula} has no intercept, and its rows were not kept: the variance of its fixed part is not known.",
            next_step="Fit it from a table, or with an intercept.",
        )
    each = np.repeat(weights, fit.sums.visits)
    return np.asarray((each @ design_matrix(fit, fit.rows)) @ fit.scaling.to_fixed)
