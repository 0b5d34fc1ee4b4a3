"""What the fixed effects say: contrasts, bands over new rows, and % per unit of a log outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from ircohort.errors import UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.inference.knowledge import Knowledge, Named, knowledge_of, named_rows
from ircohort.lmm.inference.simultaneous import simultaneous_quantile
from ircohort.lmm.level import require_level
from ircohort.lmm.prediction.rows import design_matrix, refuse_overwriting, require_log
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit
from ircohort.lmm.search import lower_factor

if TYPE_CHECKING:
    from ircohort.lmm.censored.record import CensoredFit
    from ircohort.lmm.joint.record import JointFit

Floats = NDArray[np.float64]

CURVES = ("bs(", "cr(", "poly(")
"""Transforms whose coefficients are no change per unit."""


def contrasts(
    fit: Fit | CensoredFit | JointFit,
    C: ArrayLike | Named,
    *,
    names: Sequence[str] | None = None,
    covariance: str = "model",
    freedom: str | None = None,
    level: float = 0.95,
    simultaneous: bool = False,
    seed: int = 0,
) -> Any:
    """Estimate linear combinations of the fixed effects.

    Parameters
    ----------
    fit
        A fitted model, also with censored readings or of several outcomes.
    C
        (k, p), columns in the order of ``fit.fixed``; or for each contrast by name the weights of terms,
        ``{"slope of cases": {"years": 1, "years:case": 1}}``. In a fit by ``fit_joint`` a term is an outcome and a
        name, ``("insulin", "years")``.
    names
        Of the rows of an array.
    covariance
        ``model``, or cluster-robust: ``CR0``, ``CR1``, ``CR2`` (see :func:`ircohort.lmm.robust_covariance`). That of
        a fit by least squares is CR1.
    freedom
        ``satterthwaite`` (of the covariance that is used), or ``normal``: infinite degrees of freedom. By default the
        first; with censored readings or several outcomes the second, which is then the only one, as ``model`` is.
    level
        Of the intervals.
    simultaneous
        Whether to add limits that hold for all contrasts at once: those of the largest t. Degrees of freedom
        that differ enter by the largest, which makes the limits wider, and then each contrast has its own quantile.
    seed
        Of the quasi-Monte-Carlo points of the simultaneous limits, whose quantile is known to about 0.001.

    Returns
    -------
    data frame
        Of the kind that was fitted: ``contrast``, ``estimate``, ``standard_error``, ``df``, ``low``, ``high``, ``t``,
        ``p_value`` (two-sided, of zero), ``df_method``, and if asked for ``low_simultaneous``,
        ``high_simultaneous``. Unit: that of the response after its transform, times that of the weights. ``df``,
        ``t`` and ``p_value`` are null where a contrast has no variance.

    Raises
    ------
    UsageError
        If an argument is not one of the above, or the fit has sampling weights and the covariance is the model's.

    Source
    ------
    Hothorn, Bretz and Westfall 2008, Biometrical J 50:346, doi:10.1002/bimj.200810425 (simultaneous limits).

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "glucose_mg_dl": [90.0, 94, 95, 101, 101, 104, 95, 93, 99]})
    >>> result = fit("glucose_mg_dl ~ years + (1 | participant_id)", visits)
    >>> table = contrasts(result, {"after 5 years": {"years": 5}})
    >>> [round(table[name].item(), 3) for name in ("estimate", "standard_error", "df", "low", "high")]
    [10.0, 3.496, 5.0, 1.013, 18.987]
    """
    require_fit(fit, "contrasts", takes=("Fit", "CensoredFit", "JointFit"))
    rows, labels = named_rows(fit, C, names)
    known = knowledge_of(fit, covariance, freedom)
    numbers = _intervals(known, rows, level=level, simultaneous=simultaneous, seed=seed)
    t = pl.col("estimate") / pl.col("standard_error")
    table = numbers.with_columns(
        contrast=pl.Series(labels, dtype=pl.String),
        t=pl.when(pl.col("standard_error") > 0).then(t),
        df_method=pl.lit(known.method),
    )
    p_values = pl.Series(2 * stdtr(table["df"].to_numpy(), -np.abs(table["t"].to_numpy())), dtype=pl.Float64)
    table = table.with_columns(p_value=p_values.fill_nan(None))
    extra = [name for name in table.columns if name.endswith("_simultaneous")]
    first = ["contrast", "estimate", "standard_error", "df", "low", "high", "t", "p_value", "df_method"]
    return kind_of(fit.fixed)(table.select(*first, *extra))


def band(
    fit: Fit | CensoredFit,
    frame: Any,
    *,
    minus: Any = None,
    covariance: str = "model",
    freedom: str | None = None,
    level: float = 0.95,
    simultaneous: bool = True,
    exponentiate: bool = False,
    seed: int = 0,
) -> Any:
    """Estimate the population mean at rows of one's own choice, with pointwise and simultaneous limits.

    Parameters
    ----------
    fit
        A fitted model.
    frame
        pandas or polars, with the columns that the fixed part names, and any others.
    minus
        A second such table, row for row, whose means are subtracted.
    covariance, freedom, level, seed
        As for :func:`contrasts`.
    simultaneous
        Whether to add limits that hold over all rows at once.
    exponentiate
        For a log outcome: geometric means, or with ``minus`` their ratios, and their limits. The standard error
        stays that of the logarithm.

    Returns
    -------
    data frame
        Of the kind of ``frame``, with its columns and row order, and ``estimate``, ``standard_error``, ``df``,
        ``low``, ``high``, and if asked for ``low_simultaneous``, ``high_simultaneous``; null in rows with a missing
        value.

    Raises
    ------
    UsageError
        If the two tables differ in length.
    ColumnError
        If a column is absent, would be overwritten, or holds a level that the fit has not seen.
    ModelError
        If ``exponentiate`` is asked for and the outcome is not a logarithm.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "insulin_uiu_ml": [5.0, 6.1, 6.9, 9.0, 9.9, 11.8, 7.0, 7.9, 8.4]})
    >>> result = fit("log(insulin_uiu_ml) ~ years + (1 | participant_id)", visits)
    >>> ratio = band(result, pl.DataFrame({"years": [2.0]}), minus=pl.DataFrame({"years": [0.0]}), exponentiate=True)
    >>> [round(ratio[name].item(), 2) for name in ("estimate", "low", "high")]
    [1.29, 1.19, 1.41]
    """
    require_fit(fit, "band", takes=("Fit", "CensoredFit"))
    if exponentiate:
        require_log(fit)
    given = to_polars(frame)
    rows = design_matrix(fit, given)
    if minus is not None:
        rows = rows - _other_rows(fit, minus, len(rows))
    known = knowledge_of(fit, covariance, freedom)
    complete = np.asarray(np.isfinite(rows).all(axis=1))
    found = _intervals(known, rows[complete], level=level, simultaneous=simultaneous, seed=seed)
    if exponentiate:
        found = found.with_columns(pl.exclude("standard_error", "df").exp())
    refuse_overwriting(given, tuple(found.columns))
    return kind_of(frame)(given.hstack(_in_place(found, complete).get_columns()))


def percent_per_unit(
    fit: Fit | CensoredFit,
    term: str | Mapping[str, Mapping[str, float]],
    *,
    units: float = 1.0,
    covariance: str = "model",
    freedom: str | None = None,
    level: float = 0.95,
) -> Any:
    """Give 100 (exp(b) - 1): the change of a log outcome in % per unit of a term, per year for ``years``.

    Parameters
    ----------
    fit
        A fitted model of a logarithm.
    term
        A fixed effect by its name in ``fit.fixed``; of an interaction, by how many % the change itself differs. In a
        model with interactions the change is that where the other variables are zero, or at their first level. Or
        changes by name, as the contrasts of :func:`contrasts`: ``{"men": {"years": 1, "years:sex[T.male]": 1}}``.
    units
        How many units: 10 for the change per 10 years.
    covariance, freedom, level
        As for :func:`contrasts`.

    Returns
    -------
    data frame
        A row for each change, of the kind that was fitted: ``term``, ``units``, ``percent``, ``low``, ``high``,
        ``df``, ``p_value``.

    Raises
    ------
    ModelError
        If the outcome is not a logarithm.
    UsageError
        If the term is not a fixed effect, or has no unit: the intercept, and columns of ``bs``, ``cr`` and ``poly``.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "insulin_uiu_ml": [5.0, 6.1, 6.9, 9.0, 9.9, 11.8, 7.0, 7.9, 8.4]})
    >>> result = fit("log(insulin_uiu_ml) ~ years + (1 | participant_id)", visits)
    >>> change = percent_per_unit(result, "years")
    >>> [round(change[name].item(), 1) for name in ("percent", "low", "high")]
    [13.8, 9.2, 18.6]
    """
    require_fit(fit, "percent_per_unit", takes=("Fit", "CensoredFit"))
    require_log(fit)
    changes = term if isinstance(term, Mapping) else {term: {term: 1.0}}
    rows, names = named_rows(fit, changes, None)
    used = [name for name, column in zip(fit.fixed_names, rows.T, strict=True) if column.any()]
    without_unit = [name for name in used if name == "Intercept" or any(curve in name for curve in CURVES)]
    if without_unit:
        raise UsageError(
            f"The coefficient of {without_unit[0]} is no change per unit.",
            next_step="Compare two rows of data with band(fit, frame, minus=other, exponentiate=True).",
        )
    scaled = float(units) * rows
    table = to_polars(contrasts(fit, scaled, names=names, covariance=covariance, freedom=freedom, level=level))
    percent = (pl.col("estimate", "low", "high").exp() - 1) * 100
    shown = table.with_columns(percent).rename({"contrast": "term", "estimate": "percent"})
    shown = shown.with_columns(units=pl.lit(float(units)))
    return kind_of(fit.fixed)(shown.select("term", "units", "percent", "low", "high", "df", "p_value"))


def _intervals(known: Knowledge, C: Floats, *, level: float, simultaneous: bool, seed: int) -> pl.DataFrame:
    """Lay out estimates, standard errors, degrees of freedom and limits of contrasts (k, p)."""
    require_level(level)
    estimate = C @ known.estimates
    error = known.errors(C)
    freedom = np.where(error > 0, known.freedom(C), np.nan)
    reach = {"": stdtrit(freedom, 0.5 + level / 2)}
    if simultaneous:
        reach["_simultaneous"] = _joint_reach(known, C, error, freedom, level, seed)
    columns = {"estimate": estimate, "standard_error": error, "df": freedom}
    for suffix, quantile in reach.items():
        half = np.where(error > 0, quantile, 0.0) * error
        columns |= {f"low{suffix}": estimate - half, f"high{suffix}": estimate + half}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).fill_nan(None)


def _joint_reach(known: Knowledge, C: Floats, error: Floats, freedom: Floats, level: float, seed: int) -> Floats:
    """Give for each contrast the standard errors by which its simultaneous limits stand off, (k,)."""
    varies = (error > 0) & ~np.isnan(freedom)
    if not varies.any():
        return np.full(len(C), np.nan)
    root = C[varies] @ lower_factor(known.covariance) / error[varies, None]
    largest = float(freedom[varies].max())
    quantile, _ = simultaneous_quantile(root, freedom=largest, level=level, seed=seed)
    return np.asarray(-stdtrit(freedom, stdtr(largest, -quantile)), dtype=float)


def _in_place(found: pl.DataFrame, complete: NDArray[np.bool_]) -> pl.DataFrame:
    """Spread results over the rows they belong to; null elsewhere."""
    columns = {}
    for name in found.columns:
        spread = np.full(len(complete), np.nan)
        spread[complete] = found[name].to_numpy()
        columns[name] = spread
    return pl.DataFrame(columns).fill_nan(None)


def _other_rows(fit: Fit | CensoredFit, minus: Any, n_rows: int) -> Floats:
    other = design_matrix(fit, minus)
    if len(other) != n_rows:
        raise UsageError(
            f"The two tables have {n_rows} and {len(other)} rows.", expected="They are compared row for row."
        )
    return other
