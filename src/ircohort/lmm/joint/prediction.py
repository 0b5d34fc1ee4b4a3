"""Personal curves of every outcome, given all that a participant's outcomes say."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.design import rows_for
from ircohort.lmm.joint.likelihood import Solution, solve
from ircohort.lmm.joint.parameters import unpack
from ircohort.lmm.joint.record import JointFit
from ircohort.lmm.joint.tables import HALF_WIDTH

Floats = NDArray[np.float64]


def predict_joint(fit: JointFit, frame: Any) -> Any:
    """Predict the true curve of every outcome for participants of the fit, at rows of one's own choice.

    A participant's level and change in one outcome are judged from all outcomes, so that an outcome without a single
    reading has a curve too. The standard deviation holds what is not known of the participant and of the fixed
    effects; the variances are taken as known. For a new reading add the outcome's residual variance.

    Parameters
    ----------
    fit
        A joint fit.
    frame
        pandas or polars, with the grouping column and the columns that the terms of all formulas name (not the
        responses).

    Returns
    -------
    table
        Of the kind of ``frame``, one row per outcome and row of it, outcomes in turn: the grouping column, ``row``
        (position in ``frame``, from 0), ``outcome``, ``fitted``, ``sd``, ``low``, ``high`` (95 %), in the unit of the
        response after its transform. Null where a covariate is missing.

    Raises
    ------
    ColumnError
        If a column is absent, or a text column holds a level that the fit has not seen.
    UsageError
        If a row belongs to nobody in the fit.

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
    given = to_polars(frame)
    person = _positions(fit, given)
    L, C = unpack(fit.parameters, fit.theta)
    solution = solve(fit.sums, L, C @ C.T, reml=fit.reml)
    tables = [_curves(fit, solution, k, given, person) for k in range(len(fit.outcomes))]
    return kind_of(frame)(pl.concat(tables))


def _positions(fit: JointFit, given: pl.DataFrame) -> NDArray[np.int64]:
    """Find each row's participant in the fit."""
    if fit.group not in given.columns:
        raise ColumnError(
            f"The table has no column {fit.group}, the grouping column of the fit.",
            expected=f"It has: {', '.join(given.columns)}.",
        )
    ids = given[fit.group].cast(fit.participant_ids.dtype, strict=False)
    known = pl.DataFrame({"id": fit.participant_ids, "at": np.arange(fit.participants)})
    found = pl.DataFrame({"id": ids}).join(known, on="id", how="left", maintain_order="left")["at"]
    strangers = found.null_count()
    if strangers:
        raise UsageError(
            f"{strangers} rows belong to nobody in the fit.",
            expected="Personal curves need people whose readings were fitted.",
        )
    positions: NDArray[np.int64] = found.to_numpy()
    return positions


def _curves(
    fit: JointFit, solution: Solution, outcome: int, given: pl.DataFrame, person: NDArray[np.int64]
) -> pl.DataFrame:
    """Predict one outcome. With b known, u is normal with covariance ``spread``; it follows b by -spread Z'R^-1X."""
    part = fit.parts[outcome]
    X, Z = rows_for(part.basis, part.basis.fixed_spec, given), rows_for(part.basis, part.basis.random_spec, given)
    mine_b, mine_u = fit.sums.of_fixed == outcome, fit.sums.of_random == outcome
    Xs, Zs = X @ fit.basis.fixed[mine_b], Z @ fit.basis.random[mine_u]
    modes = (solution.spread @ solution.residual[:, :, None])[:, :, 0]
    fitted = X @ fit.coefficients[mine_b] + (Zs * modes[person]).sum(axis=1)
    conditional = (Zs[:, None, :] @ solution.spread[person])[:, 0]
    by_b = Xs - (conditional[:, None, :] @ solution.ZRX[person])[:, 0]
    sd = np.sqrt((conditional * Zs).sum(axis=1) + (by_b @ solution.covariance * by_b).sum(axis=1))
    return pl.DataFrame(
        {
            fit.group: given[fit.group],
            "row": np.arange(given.height),
            "outcome": [part.name] * given.height,
            "fitted": fitted,
            "sd": sd,
            "low": fitted - HALF_WIDTH * sd,
            "high": fitted + HALF_WIDTH * sd,
        },
        schema_overrides={"outcome": pl.String},
    ).with_columns(pl.col("fitted", "sd", "low", "high").fill_nan(None))
