"""Rows of the design of a fit, for people and times of one's own choice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.design import rows_for
from ircohort.lmm.record import Fit

Floats = NDArray[np.float64]


def design_matrix(fit: Fit, frame: Any) -> Floats:
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
    return rows_for(fit.basis, fit.basis.fixed_spec, frame)


def random_design_matrix(fit: Fit, frame: Any) -> Floats:
    """Build rows of the random design for new data: (rows, q), columns in the order of ``fit.random_names``."""
    return rows_for(fit.basis, fit.basis.random_spec, frame)
