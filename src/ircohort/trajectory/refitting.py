"""Curves of the two groups in the estimate and in each refit to resampled participants.

A refit is made from weighted sums where whom to compare and when the event is do not depend on who else was drawn:
then each person's rows stay the same. Fixed effects are those of generalised least squares with the variances of the
estimate (to fit these again moves the ends of a window by less than 0.1 years and takes five times as long), and the
comparison group's variances, from which the SD between people comes, are fitted again. Where it does depend (people
matched to cases, events dated by a model of everybody's glucose) the resampled people go through alignment and models
anew, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import IrcohortError
from ircohort.lmm import Fit, bootstrap, draw_weights, fit, gls_bootstrap, random_design_matrix
from ircohort.parallel import each
from ircohort.trajectory.alignment import align_to_event
from ircohort.trajectory.modelling import Model, between_person_sd, prepared, standard_rows
from ircohort.trajectory.record import ModelSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves on the scale of the model, (1 + m, k): the estimate, then m refits; ``spread``: between-person SD."""

    cases: Floats
    comparison: Floats
    spread: Floats

    def take(self, rows: NDArray[np.bool_]) -> Curves:
        """Keep some of the rows."""
        return Curves(self.cases[rows], self.comparison[rows], self.spread[rows])


def is_redone(settings: ModelSettings) -> bool:
    """Tell whether refits go through the alignment anew."""
    return settings.comparison == "matched" or settings.event_dated == "fitted"


def curves_of(
    visits: pl.DataFrame, table: pl.DataFrame, models: Mapping[str, Model], settings: ModelSettings, seed: int
) -> tuple[dict[str, Curves], int]:
    """Give the curves of every outcome, and how many refits failed; a refit that fails for one is dropped for all.

    Parameters
    ----------
    visits
        VISITS before alignment.
    table
        The aligned visits that ``models`` were fitted to.
    """
    if is_redone(settings):
        ids = visits["participant_id"].unique().sort()
        weights = draw_weights(len(ids), settings.n_refits, seed)
        drawn = each(lambda row: _again(visits, ids, row, models, settings, seed), weights, visits.height)
        found = {name: _stack([_estimate(model), *(one[name] for one in drawn)]) for name, model in models.items()}
    else:
        ids = table["participant_id"].unique().sort()
        weights = draw_weights(len(ids), settings.n_refits, seed)
        found = {name: _from_sums(model, weights, ids) for name, model in models.items()}
    sound = np.logical_and.reduce([np.isfinite(c.cases + c.comparison + c.spread).all(axis=1) for c in found.values()])
    return {name: curves.take(sound) for name, curves in found.items()}, int((~sound).sum())


def _stack(rows: list[Curves]) -> Curves:
    return Curves(*(np.vstack([getattr(row, name) for row in rows]) for name in ("cases", "comparison", "spread")))


def _estimate(model: Model) -> Curves:
    rows = (standard_rows(model.fit, model, group) @ model.fit.coefficients for group in (True, False))
    cases, comparison = (row[None, :] for row in rows)
    return Curves(cases, comparison, model.spread[None, :])


def _from_sums(model: Model, weights: NDArray[np.int64], ids: pl.Series) -> Curves:
    refits = gls_bootstrap(model.fit, weights, participant_ids=ids)
    cases, comparison = (refits @ standard_rows(model.fit, model, group).T for group in (True, False))
    others = bootstrap(model.others, weights=weights, participant_ids=ids)
    Z = random_design_matrix(model.others, pl.DataFrame({"years_to_event": model.times}))
    variance = np.einsum("kq,mqr,kr->mk", Z, others.random_covariance, Z)
    drawn = Curves(cases, comparison, np.sqrt(np.where(variance > 0, variance, np.nan)))
    return _stack([_estimate(model), drawn])


def _again(
    visits: pl.DataFrame,
    ids: pl.Series,
    counts: NDArray[np.int64],
    models: Mapping[str, Model],
    settings: ModelSettings,
    seed: int,
) -> dict[str, Curves]:
    """Align and fit the resampled people anew; the times, terms and standard person stay those of the estimate.

    Somebody who was drawn twice is two people. A model that cannot be fitted gives NaN.
    """
    copies = pl.DataFrame({"participant_id": ids, "copy": [list(range(n)) for n in counts.tolist()]}).explode("copy")
    drawn = visits.join(copies.drop_nulls(), on="participant_id").with_columns(
        pl.format("{}#{}", "participant_id", "copy").alias("participant_id")
    )
    nothing = {name: _nothing(len(model.times)) for name, model in models.items()}
    try:
        aligned = prepared(align_to_event(drawn, settings.rule, settings.anchor(seed), keep_visit_after=True))
    except IrcohortError:
        return nothing
    return {name: _fitted_again(model, aligned) or nothing[name] for name, model in models.items()}


def _fitted_again(model: Model, aligned: pl.DataFrame) -> Curves | None:
    rows = model.rows_of(aligned)
    try:
        record: Fit = fit(model.fit.formula, rows)
        others = fit(model.others.formula, rows.filter(~pl.col("progressor")))
        spread = between_person_sd(others, model.times)
    except IrcohortError:
        return None
    curves = (standard_rows(record, model, group) @ record.coefficients for group in (True, False))
    cases, comparison = (row[None, :] for row in curves)
    return Curves(cases, comparison, spread[None, :])


def _nothing(k: int) -> Curves:
    return Curves(*(np.full((1, k), np.nan) for _ in range(3)))
