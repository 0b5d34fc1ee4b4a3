"""Personal curves of every outcome, given all that a participant's outcomes say."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.design import rows_for
from ircohort.lmm.joint.likelihood import Solution, solve
from ircohort.lmm.joint.parameters import unpack
from ircohort.lmm.joint.record import JointFit
from ircohort.lmm.level import normal_quantile
from ircohort.lmm.prediction.posterior import find_positions, ids_of
from ircohort.lmm.require import require_fit

Floats = NDArray[np.float64]


def predict_joint(fit: JointFit, frame: Any, *, level: float = 0.95) -> Any:
    """Predict the true curve of every outcome for participants of the fit, at rows of one's own choice.

    A participant's level and change in one outcome are judged from all outcomes, so that an outcome without a single
    reading has a curve too. The standard error holds what is not known of the participant and of the fixed
    effects; the variances are taken as known. For a new reading add the outcome's residual variance.

    Parameters
    ----------
    fit
        A joint fit.
    frame
        pandas or polars, with the grouping column and the columns that the terms of all formulas name (not the
        responses).
    level
        Of the intervals, whose quantiles are normal.

    Returns
    -------
    data frame
        Of the kind of ``frame``, one row per outcome and row of it, outcomes in turn: the grouping column, ``row``
        (position in ``frame``, from 0), ``outcome``, ``estimate``, ``standard_error``, ``low``, ``high``, in the unit
        of the response after its transform. Null where a covariate or the participant is missing.

    Raises
    ------
    ColumnError
        If a column is absent, a text column holds a level that the fit has not seen, or the grouping column is of
        another type than in the fit.
    UsageError
        If a row belongs to nobody in the fit, or the level is not between 0 and 1.

    Source
    ------
    Robinson 1991, Stat Sci 6:15, doi:10.1214/ss/1177011926.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> level, noise = random.normal(size=(40, 1, 2)), random.normal(size=(40, 5, 2))
    >>> both = (5 + level @ [[1.0, 0.8], [0.0, 0.6]] + 0.5 * noise).reshape(200, 2)
    >>> draws = pl.DataFrame({"id": np.repeat(np.arange(40), 5), "insulin": both[:, 0], "glucose": both[:, 1]})
    >>> from ircohort.lmm.joint import fit_joint
    >>> result = fit_joint(["insulin ~ 1 + (1 | id)", "glucose ~ 1 + (1 | id)"], draws)
    >>> predict_joint(result, pl.DataFrame({"id": [3]}))["outcome"].to_list()
    ['insulin', 'glucose']
    """
    require_fit(fit, "predict_joint", takes=("JointFit",))
    given, quantile = to_polars(frame), normal_quantile(level)
    person = _positions(fit, given)
    L, C = unpack(fit.parameters, fit.theta)
    solution = solve(fit.sums, L, C @ C.T, reml=fit.reml)
    tables = [_curves(fit, solution, k, given, person, quantile) for k in range(len(fit.outcomes))]
    return kind_of(frame)(pl.concat(tables))


def _positions(fit: JointFit, given: pl.DataFrame) -> NDArray[np.int64]:
    """Find each row's participant in the fit; negative where the id is missing."""
    found = find_positions(pl.Series(fit.group, fit.participant_ids), ids_of(given, fit.group))
    strangers = int((found == -1).sum())
    if strangers:
        raise UsageError(
            f"{strangers} rows belong to nobody in the fit.",
            expected="Personal curves need people whose readings were fitted.",
        )
    return found


def _curves(
    fit: JointFit, solution: Solution, outcome: int, given: pl.DataFrame, person: NDArray[np.int64], quantile: float
) -> pl.DataFrame:
    """Predict one outcome. With b known, u is normal with covariance ``spread``; it follows b by -spread Z'R^-1X."""
    part = fit.parts[outcome]
    X, Z = rows_for(part.basis, part.basis.fixed_spec, given), rows_for(part.basis, part.basis.random_spec, given)
    Z[person < 0] = np.nan
    mine_b, mine_u = fit.sums.of_fixed == outcome, fit.sums.of_random == outcome
    Xs, Zs = X @ fit.change.fixed[mine_b], Z @ fit.change.random[mine_u]
    modes = (solution.spread @ solution.residual[:, :, None])[:, :, 0]
    estimate = X @ fit.coefficients[mine_b] + (Zs * modes[person]).sum(axis=1)
    conditional = (Zs[:, None, :] @ solution.spread[person])[:, 0]
    by_b = Xs - (conditional[:, None, :] @ solution.ZRX[person])[:, 0]
    error = np.sqrt((conditional * Zs).sum(axis=1) + (by_b @ solution.covariance * by_b).sum(axis=1))
    limits = {"low": estimate - quantile * error, "high": estimate + quantile * error}
    numbers = pl.DataFrame({"estimate": estimate, "standard_error": error, **limits}).fill_nan(None)
    rows = {fit.group: given[fit.group], "row": np.arange(given.height), "outcome": [part.name] * given.height}
    return pl.DataFrame(rows, schema_overrides={"outcome": pl.String}).hstack(numbers)
