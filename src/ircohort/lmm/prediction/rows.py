"""Rows of the design of a fit, for people and times of one's own choice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, ModelError
from ircohort.lmm.design import rows_for
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit

if TYPE_CHECKING:
    from ircohort.lmm.censored.record import CensoredFit

Floats = NDArray[np.float64]

_LOG_OF_COLUMN = re.compile(r"log\s*\(\s*[A-Za-z_]\w*\s*\)")


def design_matrix(fit: Fit | CensoredFit, frame: Any) -> Floats:
    """Build rows of the fixed design for new data, with the knots of the fit.

    Parameters
    ----------
    fit
        A fitted model.
    frame
        pandas or polars, with the columns that the fixed part names.

    Returns
    -------
    numpy.ndarray
        (rows, p), columns in the order of ``fit.fixed``; a row with a missing value is NaN throughout.

    Raises
    ------
    ColumnError
        If a column is absent, or a text column holds a level that the fit has not seen.
    """
    require_fit(fit, "design_matrix", takes=("Fit", "CensoredFit"))
    return rows_for(fit.basis, fit.basis.fixed_spec, frame)


def random_design_matrix(fit: Fit | CensoredFit, frame: Any) -> Floats:
    """Build rows of the random design for new data: (rows, q), columns in the order of ``fit.random_names``."""
    require_fit(fit, "random_design_matrix", takes=("Fit", "CensoredFit"))
    return rows_for(fit.basis, fit.basis.random_spec, frame)


def response_rows(fit: Fit, frame: Any) -> Floats:
    """Evaluate the response (N,) on new rows, as the fit did; NaN where it is missing."""
    values: Floats = rows_for(fit.basis, fit.basis.response_spec, frame)[:, 0]
    return values


def refuse_overwriting(frame: pl.DataFrame, added: tuple[str, ...]) -> None:
    """Raise ColumnError if ``frame`` has one of the columns to be ``added``."""
    taken = [name for name in added if name in frame.columns]
    if taken:
        raise ColumnError(f"The table already has a column {', '.join(taken)}.", next_step="Rename or drop it first.")


def require_log(fit: Fit | CensoredFit) -> None:
    """Raise ModelError unless the response is the logarithm of a column, whose exponential is in that column's unit."""
    response = fit.basis.formula.response
    if _LOG_OF_COLUMN.fullmatch(response):
        return
    column = response.isidentifier()
    raise ModelError(
        f"The outcome of the model is {response}, which is not {'a logarithm' if column else 'the log of a column'}.",
        expected="Only differences of logarithms are ratios and percentages, and of what the logarithm is taken.",
        next_step=f"Fit log({response}), if it is positive, or take the estimates as they are."
        if column
        else "Make what is meant a column of the table, and fit its log; or take the estimates as they are.",
    )
