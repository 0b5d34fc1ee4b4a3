"""Fit the outcomes on time to the event, refit them jointly, and put the finding together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import FormulaError, ModelError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm import Fit, collinear_columns, draw_weights, fit, gls_bootstrap
from ircohort.trajectory.alignment import align_visits, count_people_by_year, supported_years
from ircohort.trajectory.finding import (
    ONSET_SCHEMA,
    Course,
    between_person_sd,
    follow,
    onset_row,
    require_possible,
    time_grid,
)
from ircohort.trajectory.narrative import general_notes, outcome_notes
from ircohort.trajectory.record import GLUCOSE, OUTCOMES, ModelSettings, Outcome, Trajectory

Floats = NDArray[np.float64]

COVARIATE_KNOWN = 0.9
"""A covariate enters if it is known at this share of the visits; below, it would cost too many of them."""

_RANDOM = "(1 + years_to_event | participant_id)"


@dataclass(frozen=True, eq=False)
class _Modelled:
    outcome: Outcome
    fit: Fit
    times: Floats
    spread: Floats
    standard_person: dict[str, float]
    earliest: int
    notes: tuple[str, ...]


def hidden_window(visits: Any, settings: ModelSettings | None = None, *, seed: int = 0) -> Trajectory:
    """Measure how long the insulin marker of future cases is raised while their glucose still reads normal.

    log HOMA-IR, log TG:HDL and glucose each get a linear mixed model: random level and slope per participant;
    a natural spline in years to the event for each group; terms for the two readings by which events are found;
    age at the visit and sex where they are known. Curves of both groups are those of people with the cases' mean
    age at the event and share of men, growing older along the curve.

    - The **difference** is in between-person SDs: sqrt(z'Gz) at each time, with z = (1, time) and G the covariance
      of the random effects. It leaves out measurement variation, and what age, sex and group explain; G is
      estimated over both groups.
    - **Onset** is the earliest time from which the difference stays at or above ``onset_sd`` until the event.
    - The **hidden window** lasts from the marker's onset until the cases' fitted glucose reaches the cut-off, else
      until the event.
    - The **lead** is glucose's own onset minus the marker's, so positive where the marker is first.

    Intervals are percentiles of a cluster bootstrap: participants are drawn with replacement, the same ones for all
    outcomes; variance parameters, knots and supported years are held at their estimates.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia`` and at least one of ``homa_ir``, ``tg_hdl_mg``, ``glucose_mg_dl``; pandas or polars.
    settings
        Event, spline, thresholds and number of refits.
    seed
        Of the bootstrap.

    Returns
    -------
    Trajectory
        The record; an outcome that cannot be fitted is left out, and a note says why.

    Raises
    ------
    ModelError
        If no outcome can be fitted.
    ColumnError
        If ``participant_id``, ``years`` or ``glycaemia`` is absent.

    Source
    ------
    Backward time and comparison group: Tabak 2009, Lancet 373:2215, doi:10.1016/S0140-6736(09)60619-X, and Sagesaka
    2018, J Endocr Soc 2:476, doi:10.1210/js.2018-00071. The hidden window itself is this project's definition.
    """
    chosen = settings or ModelSettings()
    kind = kind_of(visits)
    aligned = align_visits(to_polars(visits), to=chosen.event)
    table = _with_model_columns(aligned.visits)
    models, refusals = _fit_all(table, chosen)
    if not models:
        reasons = " ".join(refusals)
        raise ModelError(
            f"No outcome can be modelled on the time to {chosen.event}.",
            expected=reasons,
            next_step="A cohort finding needs people followed from normal glycaemia to a confirmed event, and others.",
        )
    courses = _follow_all(models, table, chosen, seed)
    rows = [onset_row(name, course, courses.get(GLUCOSE), chosen) for name, course in courses.items()]
    notes = general_notes(aligned, chosen, {name: model.earliest for name, model in models.items()}, table)
    own = [
        sentence for model in models.values() for sentence in (*model.notes, *outcome_notes(model.outcome, model.fit))
    ]
    return Trajectory(
        curves=kind(pl.concat([course.table for course in courses.values()])),
        onset=kind(pl.DataFrame(rows, schema=ONSET_SCHEMA)),
        people_by_year=kind(count_people_by_year(aligned.visits)),
        fixed=kind(_stack(models, lambda record: record.fixed)),
        random=kind(_stack(models, lambda record: record.random)),
        fits={name: _of_kind(model.fit, kind) for name, model in models.items()},
        counts=aligned.counts,
        settings=chosen,
        notes=(*notes, *refusals, *own),
    )


def _with_model_columns(aligned: pl.DataFrame) -> pl.DataFrame:
    """Add ``male`` (1, 0, null) and absent columns as nulls."""
    names = ("age", "sex", *OUTCOMES)
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in aligned.columns]
    sex = pl.col("sex").cast(pl.String)
    male = pl.when(sex == "male").then(1.0).when(sex == "female").then(0.0)
    return aligned.with_columns(absent).with_columns(male.alias("male"))


def _fit_all(table: pl.DataFrame, settings: ModelSettings) -> tuple[dict[str, _Modelled], list[str]]:
    models: dict[str, _Modelled] = {}
    refusals: list[str] = []
    for name, outcome in OUTCOMES.items():
        try:
            models[name] = _fit_outcome(table, outcome, settings)
        except (ModelError, FormulaError) as error:
            refusals.append(f"{outcome.label} was left out: {' '.join(str(error).split())}")
    return models, refusals


def _fit_outcome(table: pl.DataFrame, outcome: Outcome, settings: ModelSettings) -> _Modelled:
    value = pl.col(outcome.column)
    rows = table.filter(value.is_not_null() & (value > 0))
    if rows.is_empty():
        raise ModelError("it was not measured at any dated visit of these people.")
    earliest = supported_years(rows, settings.min_people_per_year)
    if earliest is None or earliest == 0:
        raise ModelError(
            f"fewer than {settings.min_people_per_year} cases or people of the comparison group have it at the event "
            "and in the year before."
        )
    covariates, notes = _usable_covariates(rows, outcome)
    complete = rows.drop_nulls(covariates) if covariates else rows
    terms, more = _independent_terms(complete, outcome, ("at_event", "before_event", *covariates), settings)
    record = fit(_formula(outcome, terms, settings), complete)
    kept = tuple(name for name in covariates if name in terms)
    times = time_grid(complete, earliest, settings.grid_per_year)
    others = fit(_formula_of_comparison(outcome, kept, settings), complete.filter(~pl.col("progressor")))
    spread = between_person_sd(others, times)
    person = _standard_person(complete, kept)
    require_possible(outcome, record, person, times)
    return _Modelled(outcome, record, times, spread, person, earliest, (*notes, *more))


def _formula(outcome: Outcome, terms: tuple[str, ...], settings: ModelSettings) -> str:
    return f"{outcome.response} ~ " + " + ".join([f"{_time(settings)} * progressor", *terms, _RANDOM])


def _formula_of_comparison(outcome: Outcome, covariates: tuple[str, ...], settings: ModelSettings) -> str:
    """Write the model of the comparison group alone, from which the SD between people is taken."""
    return f"{outcome.response} ~ " + " + ".join([_time(settings), *covariates, _RANDOM])


def _time(settings: ModelSettings) -> str:
    return f"cr(years_to_event, df={settings.spline_df})" if settings.spline_df > 1 else "years_to_event"


def _usable_covariates(rows: pl.DataFrame, outcome: Outcome) -> tuple[tuple[str, ...], tuple[str, ...]]:
    usable, notes = [], []
    for name, words in (("age", "Age"), ("male", "Sex")):
        known = 1 - rows[name].null_count() / rows.height
        if known >= COVARIATE_KNOWN:
            usable.append(name)
        elif known > 0:
            notes.append(f"{words} is known at too few visits and was left out of the model of {outcome.label}.")
    return tuple(usable), tuple(notes)


def _independent_terms(
    rows: pl.DataFrame, outcome: Outcome, terms: tuple[str, ...], settings: ModelSettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Leave out, and name, the covariates that do not vary or follow from the other terms."""
    dependent = set(collinear_columns(_formula(outcome, terms, settings), rows)) & set(terms)
    notes = tuple(
        f"In the model of {outcome.label}, {name} does not vary apart from the other terms and was left out."
        for name in terms
        if name in dependent
    )
    return tuple(name for name in terms if name not in dependent), notes


def _follow_all(
    models: Mapping[str, _Modelled], table: pl.DataFrame, settings: ModelSettings, seed: int
) -> dict[str, Course]:
    ids = table["participant_id"].unique().sort().to_list()
    weights = draw_weights(len(ids), settings.n_refits, seed)
    refits = {name: gls_bootstrap(model.fit, weights, participant_ids=ids) for name, model in models.items()}
    # The refits are joint: one that fails for an outcome is dropped for all.
    sound = np.logical_and.reduce([np.isfinite(draws).all(axis=1) for draws in refits.values()])
    glucose = models.get(GLUCOSE)
    return {
        name: follow(
            model.outcome,
            model.fit,
            refits[name][sound],
            model.standard_person,
            model.times,
            model.spread,
            onset_sd=settings.onset_sd,
            glucose=None if glucose is None else (glucose.fit, refits[GLUCOSE][sound], glucose.standard_person),
        )
        for name, model in models.items()
    }


def _standard_person(rows: pl.DataFrame, covariates: tuple[str, ...]) -> dict[str, float]:
    """Give the mean age at the event and the share of men among the cases, each case counted once."""
    cases = (
        rows.filter("progressor")
        .sort("participant_id", "years_to_event")
        .group_by("participant_id", maintain_order=True)
        .agg((pl.col("age") - pl.col("years_to_event")).mean().alias("age"), pl.col("male").mean())
    )
    return {name: float(cases.select(pl.col(name).mean()).item()) for name in covariates}


def _stack(models: Mapping[str, _Modelled], pick: Callable[[Fit], pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(
        [pick(model.fit).select(pl.lit(name).alias("outcome"), pl.all()) for name, model in models.items()]
    )


def _of_kind(record: Fit, kind: Callable[[pl.DataFrame], Any]) -> Fit:
    return replace(record, fixed=kind(record.fixed), random=kind(record.random), people=kind(record.people))
