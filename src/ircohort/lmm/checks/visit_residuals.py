"""Fitted values and residuals of a fit, visit by visit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm.checks.serial import Visits, whiten
from ircohort.lmm.likelihood import profile
from ircohort.lmm.prediction.posterior import find_positions, known_ids, terms_of_fit
from ircohort.lmm.prediction.predicting import carry_to_rows
from ircohort.lmm.prediction.rows import design_matrix, random_design_matrix, refuse_overwriting, response_rows
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit

Floats = NDArray[np.float64]

RESIDUAL_COLUMNS = (
    "fitted_population",
    "fitted_personal",
    "residual",
    "standardised_residual",
    "whitened_residual",
)
"""What :func:`residuals` adds to the rows of the fit."""

_NO_VARIANCE = 1e-10


def residuals(fit: Fit, frame: Any = None, *, time: str | None = None) -> Any:
    """Tabulate fitted values and residuals by visit.

    Parameters
    ----------
    fit
        A fitted model.
    frame
        The table that was fitted; needed only where the fit does not hold its rows (made from partial sums).
    time
        The column that puts a person's visits in order; by default the first of the random part, or, if that has
        none, the first number in the fixed part that changes within people.

    Returns
    -------
    data frame
        One row per visit of the fit, sorted by participant and time, of the kind of frame of the fit: its variables
        and :data:`RESIDUAL_COLUMNS`. Fitted values and ``residual`` (response minus personal fitted value) are in the
        unit of the response (after its transform). ``standardised_residual``: over its own SD, null if that is zero.
        ``whitened_residual``: what the visit differs from what the person's earlier visits foretell, in SDs;
        independent with variance one if the model holds.

    Raises
    ------
    UsageError
        If the rows are not at hand, or ``frame`` is another table than the one fitted.

    Source
    ------
    Fitzmaurice, Laird and Ware 2011, Applied Longitudinal Analysis, 2nd edition, chapter 10.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> table = residuals(fit("log(homa_ir) ~ years + (1 | participant_id)", visits), visits)
    >>> table.height, round(abs(table["residual"].sum()), 9)
    (9, 0.0)
    """
    require_fit(fit, "residuals")
    return kind_of(fit.fixed)(fitted_rows(fit, frame, time).table())


@dataclass(frozen=True, eq=False)
class FittedRows:
    """The rows of a fit with their residuals, sorted by person and time."""

    frame: pl.DataFrame
    time: str
    visits: Visits
    fixed: Floats
    population: Floats
    personal: Floats
    residual: Floats
    standardised: Floats
    whitened: Floats

    def table(self) -> pl.DataFrame:
        """Lay them out as :func:`residuals` gives them."""
        refuse_overwriting(self.frame, RESIDUAL_COLUMNS)
        columns = (self.population, self.personal, self.residual, self.standardised, self.whitened)
        added = pl.DataFrame(dict(zip(RESIDUAL_COLUMNS, columns, strict=True)))
        return self.frame.hstack(added.with_columns(pl.col("standardised_residual").fill_nan(None)))


def fitted_rows(fit: Fit, frame: Any, time: str | None) -> FittedRows:
    """Work out the residuals of every row of the fit; arguments as for :func:`residuals`."""
    name, table = _sorted_rows(fit, _complete_rows(fit, frame), time)
    X, Z, y = _arrays(fit, table)
    person = find_positions(known_ids(fit), table[fit.basis.formula.group])
    terms = terms_of_fit(fit, np.arange(fit.participants))
    Xs, Zs = X @ fit.scaling.to_fixed, Z @ fit.scaling.to_random
    here = terms.of(person)
    carried, spread = carry_to_rows(Xs, Zs, here)
    fixed = profile(fit.sums, fit.relative_factor, reml=fit.reml).covariance_over_variance
    population = X @ fit.coefficients
    personal = population + np.einsum("ij,ij->i", Zs, here.modes)
    s = np.sqrt(fit.residual_variance)
    share = 1.0 - spread - np.einsum("ij,ij->i", carried @ fixed, carried)
    share = np.where(share > _NO_VARIANCE, share, np.nan)
    times = table[name].to_numpy().astype(np.float64) if name else None
    visits = Visits(person, times, Zs, carried, terms.spread)
    return FittedRows(
        frame=table,
        time=name,
        visits=visits,
        fixed=fixed,
        population=population,
        personal=personal,
        residual=y - personal,
        standardised=(y - personal) / (s * np.sqrt(share)),
        whitened=whiten(visits, fit.relative_factor, (y - population) / s),
    )


def _complete_rows(fit: Fit, frame: Any) -> pl.DataFrame:
    formula = fit.basis.formula
    held = fit.rows
    if held is None and frame is None:
        raise UsageError(
            "This fit does not hold the rows it was made from.", next_step="Give the table that was fitted as frame."
        )
    table = to_polars(held if held is not None else frame)
    table = table.select(list(dict.fromkeys((formula.group, *formula.variables))))
    known = find_positions(known_ids(fit), table[formula.group]) >= 0
    table = table.filter(known)
    complete = ~np.isnan(np.column_stack(_arrays(fit, table))).any(axis=1)
    table = table.filter(complete & table.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy())
    if table.height != fit.visits:
        raise UsageError(
            f"The table has {table.height} complete visits of participants of the fit, and the fit had {fit.visits}.",
            next_step="Give the table that was fitted.",
        )
    return table


def _arrays(fit: Fit, table: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    return design_matrix(fit, table), random_design_matrix(fit, table), response_rows(fit, table)


def _sorted_rows(fit: Fit, table: pl.DataFrame, time: str | None) -> tuple[str, pl.DataFrame]:
    formula = fit.basis.formula
    if time is not None and (time not in table.columns or not table.schema[time].is_numeric()):
        raise UsageError(
            f"time is {time!r}.", expected="A column of numbers in the formula.", next_step="Leave it out, or name one."
        )
    name = time if time is not None else _find_time(fit, table)
    keys = [key for key in dict.fromkeys((formula.group, name, *formula.variables)) if key]
    return name, table.sort(keys)


def _find_time(fit: Fit, table: pl.DataFrame) -> str:
    formula = fit.basis.formula
    for part in (formula.random, formula.fixed):
        for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", part)):
            if name in formula.variables and table.schema[name].is_numeric():
                within = table.group_by(formula.group).agg(pl.col(name).n_unique())[name]
                if int(within.max() or 0) > 1:
                    return str(name)
    return ""
