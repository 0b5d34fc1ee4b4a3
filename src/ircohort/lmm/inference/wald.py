"""Joint tests of the fixed effects, and of each term of the formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, fdtrc

from ircohort.errors import UsageError
from ircohort.frames import kind_of
from ircohort.lmm.inference.knowledge import Knowledge, Named, knowledge_of, named_rows
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit

if TYPE_CHECKING:
    from ircohort.lmm.censored.record import CensoredFit
    from ircohort.lmm.joint.record import JointFit

Floats = NDArray[np.float64]

SAME_DIRECTION = 1e-10
"""An eigenvalue of the correlation of contrasts below this, relative to the largest, says that one repeats others."""


def wald_test(
    fit: Fit | CensoredFit | JointFit,
    C: ArrayLike | Named,
    *,
    covariance: str = "model",
    freedom: str | None = None,
) -> Any:
    """Test that all contrasts are zero at once.

    The denominator degrees of freedom are Fai and Cornelius' (as lmerTest) with the covariance of the model, those of
    the approximate Hotelling T2 test (as clubSandwich's HTZ) with a robust one, and infinite with ``normal``.
    Contrasts that repeat others are left out of the count.

    Parameters
    ----------
    fit, C, covariance, freedom
        As for :func:`contrasts`.

    Returns
    -------
    data frame
        One row, of the kind that was fitted: ``F``, ``df1``, ``df2``, ``p_value``, ``df_method``; null where
        participants are too few for the test.

    Raises
    ------
    UsageError
        As for :func:`contrasts`, and if all contrasts are zero throughout.

    Source
    ------
    Fai and Cornelius 1996, J Stat Comput Simul 54:363, doi:10.1080/00949659608811740; Pustejovsky and Tipton 2018,
    J Bus Econ Stat 36:672, doi:10.1080/07350015.2016.1247004.
    """
    require_fit(fit, "wald_test", takes=("Fit", "CensoredFit", "JointFit"))
    rows, _ = named_rows(fit, C, None)
    known = knowledge_of(fit, covariance, freedom)
    return kind_of(fit.fixed)(_tests([_joint_test(known, rows)], known.method))


def term_tests(fit: Fit, *, covariance: str = "model", freedom: str | None = None) -> Any:
    """Test each term of the fixed part, its columns as they are coded (type III), the intercept left out.

    Parameters
    ----------
    fit, covariance, freedom
        As for :func:`wald_test`.

    Returns
    -------
    data frame
        One row per term, of the kind that was fitted: ``term``, ``F``, ``df1``, ``df2``, ``p_value``, ``df_method``.
        A main effect beside its interaction is tested where the other variable is zero, or at its first level.
    """
    require_fit(fit, "term_tests")
    known = knowledge_of(fit, covariance, freedom)
    slices = {str(term): part for term, part in fit.basis.fixed_spec.term_slices.items() if str(term) != "1"}
    identity = np.eye(len(fit.fixed_names))
    tests = _tests([_joint_test(known, identity[part]) for part in slices.values()], known.method)
    return kind_of(fit.fixed)(tests.select(pl.Series("term", list(slices), dtype=pl.String), pl.all()))


def _joint_test(known: Knowledge, C: Floats) -> dict[str, float]:
    rows = _independent(known, C)
    df1 = float(len(rows))
    nothing = {"F": np.nan, "df1": df1, "df2": np.nan, "p_value": np.nan}
    # Each contrast in standard errors, so that units do not decide whether the covariance is singular.
    scaled = rows / np.sqrt(np.einsum("kp,pr,kr->k", rows, known.working, rows))[:, None]
    values, vectors = np.linalg.eigh(scaled @ known.covariance @ scaled.T)
    if values[0] <= SAME_DIRECTION * values[-1]:
        return nothing
    squares = float(((vectors.T @ scaled @ known.estimates) ** 2 / values).sum())
    F, df2 = known.joint(rows, squares)
    if not df2 > 0:
        return nothing
    p_value = float(chdtrc(df1, squares) if np.isinf(df2) else fdtrc(df1, df2, F))
    return {"F": F, "df1": df1, "df2": df2, "p_value": p_value}


def _independent(known: Knowledge, C: Floats) -> Floats:
    """Give the contrasts, or as many of full rank that say the same."""
    error = np.sqrt(np.einsum("kp,pr,kr->k", C, known.working, C))
    if not error.any():
        raise UsageError("The contrasts to be tested are zero throughout.")
    scaled = C[error > 0] / error[error > 0, None]
    values, vectors = np.linalg.eigh(scaled @ known.working @ scaled.T)
    kept = values > SAME_DIRECTION * values[-1]
    independent: Floats = C if len(scaled) == len(C) and kept.all() else vectors[:, kept].T @ scaled
    return independent


def _tests(rows: list[dict[str, float]], method: str) -> pl.DataFrame:
    schema = dict.fromkeys(("F", "df1", "df2", "p_value"), pl.Float64)
    return pl.DataFrame(rows, schema=schema).fill_nan(None).with_columns(df_method=pl.lit(method))
