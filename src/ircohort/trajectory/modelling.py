"""The model of one outcome on time to the event: which visits, which terms, on which times its curves are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import FormulaError, ModelError
from ircohort.lmm import Fit, collinear_columns, design_matrix, fit, random_design_matrix
from ircohort.trajectory.alignment import Alignment, supported_years
from ircohort.trajectory.readings import measured
from ircohort.trajectory.record import OUTCOMES, ModelSettings, Outcome

Floats = NDArray[np.float64]

COVARIATE_KNOWN = 0.9
"""A covariate enters if it is known at this share of the visits; below, it would cost too many of them."""

SMALLEST_SPREAD = 0.1
"""Between-person SD over measurement SD, below which a difference in between-person SDs means nothing. An editorial
choice; in the sample data it is above 0.7 for every outcome."""

SELECTED = ("at_event", "before_event", "after_event")
"""Readings selected for their value where readings date the event."""

SEEN = {True: ("seen_cases", "seen_cases_slope"), False: ("seen_others", "seen_others_slope")}
"""When a person is seen (mean time, less that of the group), on level and on slope of the cases and of the others; zero
along curves."""

SMALLEST_SEEN_SD = 0.25
"""Years: where the people of a group differ less in when they are seen, it can explain nothing."""

_RANDOM = "(1 + years_to_event | participant_id)"


@dataclass(frozen=True, eq=False)
class Model:
    """The model of one outcome.

    ``readings`` says what became of the selected ones; ``fit`` of both groups, ``others`` of the comparison group
    alone, from which ``spread`` (k,), the between-person SD, is taken; ``times`` (k,) of the curves; ``person`` the
    values of the covariates of the standard person, age that at the event; ``needed`` the columns that a row must
    have; ``earliest`` the first supported year.
    """

    outcome: Outcome
    readings: str
    fit: Fit
    others: Fit
    times: Floats
    spread: Floats
    person: Mapping[str, float]
    needed: tuple[str, ...]
    earliest: int
    notes: tuple[str, ...]

    def rows_of(self, aligned: pl.DataFrame) -> pl.DataFrame:
        """Take the rows that the model is fitted to."""
        return modelled(measured(aligned, self.outcome)[0], self.readings).drop_nulls(self.needed)


def prepared(aligned: Alignment) -> pl.DataFrame:
    """Add ``male`` (1, 0, null), the columns :data:`SEEN`, and absent columns as nulls."""
    names = ("age", "sex", *OUTCOMES)
    visits = aligned.visits.drop("seen", strict=False)  # a caller's column of that name is another thing
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in visits.columns]
    sex = pl.col("sex").cast(pl.String)
    male = pl.when(sex == "male").then(1.0).when(sex == "female").then(0.0)
    own, time, case = pl.col("seen"), pl.col("years_to_event"), pl.col("progressor")
    return (
        visits.with_columns(absent)
        .with_columns(male.alias("male"))
        .join(_seen(visits), on=["participant_id", "progressor"], how="left", maintain_order="left")
        .with_columns((own * case).alias("seen_cases"), (own * ~case).alias("seen_others"))
        .with_columns((pl.col(level) * time).alias(slope) for level, slope in SEEN.values())
    )


def _seen(visits: pl.DataFrame) -> pl.DataFrame:
    """Give each person's mean time up to the event, less the mean of the group's people."""
    mean = (
        visits.filter(pl.col("years_to_event") <= 0)
        .sort("participant_id", "years_to_event")
        .group_by("participant_id", "progressor", maintain_order=True)
        .agg(pl.col("years_to_event").mean().alias("mean"))
    )
    case, own = mean["progressor"].to_numpy().astype(np.intp), mean["mean"].to_numpy()
    # Added up one after the other: in a large group the sums of polars depend on the number of threads.
    centre = np.bincount(case, weights=own, minlength=2) / np.maximum(np.bincount(case, minlength=2), 1)
    return mean.select("participant_id", "progressor", pl.Series("seen", own - centre[case]))


def modelled(rows: pl.DataFrame, readings: str) -> pl.DataFrame:
    """Take the visits that a model sees: the one after the event only where it has a term of its own."""
    if readings == "own_terms":
        return rows
    return rows.filter(~pl.any_horizontal(*(SELECTED if readings == "dropped" else ("after_event",))))


def model_all(table: pl.DataFrame, settings: ModelSettings) -> tuple[dict[str, Model], list[str]]:
    """Model each outcome that the data hold; give the models, and why the others were left out."""
    models: dict[str, Model] = {}
    refusals: list[str] = []
    for name in settings.outcomes:
        outcome = OUTCOMES[name]
        try:
            models[name] = model_outcome(table, outcome, settings)
        except (ModelError, FormulaError) as error:
            refusals.append(f"{outcome.label} was left out: {' '.join(str(error).split())}")
    return models, refusals


def model_outcome(table: pl.DataFrame, outcome: Outcome, settings: ModelSettings) -> Model:
    """Model one outcome of visits from :func:`prepared`.

    Raises
    ------
    ModelError
        If the data do not hold it; the sentence says why.
    """
    rows, slips = measured(table, outcome)
    if rows.is_empty():
        raise ModelError("it was not measured at any dated visit of these people.")
    earliest = supported_years(rows.filter(~pl.col("after_event")), settings.min_people_per_year)
    if earliest is None or earliest == 0:
        raise ModelError(
            f"fewer than {settings.min_people_per_year} cases or people of the comparison group have it at the event "
            "and in the year before."
        )
    rows = modelled(rows, settings.selected_readings)
    covariates, notes = _usable_covariates(rows, outcome, settings)
    complete = rows.drop_nulls(covariates) if covariates else rows
    terms, more = _independent_terms(complete, outcome, covariates, settings)
    record = fit(_formula(outcome, terms, settings), complete)
    kept = tuple(name for name in covariates if name in terms)
    times = time_grid(complete, earliest, settings.grid_per_year)
    shared = tuple(name for name in kept if name not in SEEN[True])
    others = fit(_formula_of_comparison(outcome, shared, settings), complete.filter(~pl.col("progressor")))
    spread = between_person_sd(others, times)
    person = _standard_person(complete, tuple(name for name in kept if not name.startswith("seen_")))
    model = Model(
        outcome,
        settings.selected_readings,
        record,
        others,
        times,
        spread,
        person,
        covariates,
        earliest,
        (*slips, *notes, *more),
    )
    require_possible(model)
    return model


def _formula(outcome: Outcome, terms: tuple[str, ...], settings: ModelSettings) -> str:
    return f"{outcome.response} ~ " + " + ".join([f"{_time(settings)} * progressor", *terms, _RANDOM])


def _formula_of_comparison(outcome: Outcome, covariates: tuple[str, ...], settings: ModelSettings) -> str:
    """Write the model of the comparison group alone, from which the SD between people is taken."""
    return f"{outcome.response} ~ " + " + ".join([_time(settings), *covariates, _RANDOM])


def _time(settings: ModelSettings) -> str:
    """Write the course in time; its knots lie before the event, and a reading after it is on the line from there."""
    return f"cr(years_to_event, df={settings.spline_df}, upper_bound=0)" if settings.spline_df > 1 else "years_to_event"


def _usable_covariates(
    rows: pl.DataFrame, outcome: Outcome, settings: ModelSettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    usable, notes = _seen_terms(rows) if settings.by_time_seen else [], []
    for name, words in (("age", "Age"), ("male", "Sex")):
        known = 1 - rows[name].null_count() / rows.height
        if known >= COVARIATE_KNOWN:
            usable.append(name)
        elif known > 0:
            notes.append(f"{words} is known at too few visits and was left out of the model of {outcome.label}.")
    if settings.adjust_bmi and outcome.column != "bmi":
        if 1 - rows["bmi"].null_count() / rows.height < COVARIATE_KNOWN:
            raise ModelError("BMI is known at too few visits to adjust for it.")
        usable.append("bmi")
    return tuple(usable), tuple(notes)


def _seen_terms(rows: pl.DataFrame) -> list[str]:
    """Name the terms of when people are seen, for each group whose people differ in it."""
    spread = dict(rows.unique(["participant_id", "progressor"]).group_by("progressor").agg(pl.col("seen").std()).rows())
    return [name for case, names in SEEN.items() if (spread[case] or 0.0) >= SMALLEST_SEEN_SD for name in names]


def _independent_terms(
    rows: pl.DataFrame, outcome: Outcome, covariates: tuple[str, ...], settings: ModelSettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Leave out, and name, the terms that do not vary or follow from the other terms."""
    own = SELECTED if settings.selected_readings == "own_terms" and settings.rule.by_readings else ()
    terms = (*own, *covariates)
    dependent = set(collinear_columns(_formula(outcome, terms, settings), rows)) & set(terms)
    notes = tuple(
        f"In the model of {outcome.label}, {name} does not vary apart from the other terms and was left out."
        for name in terms
        if name in dependent
    )
    return tuple(name for name in terms if name not in dependent), notes


def _standard_person(rows: pl.DataFrame, covariates: tuple[str, ...]) -> dict[str, float]:
    """Give the cases' mean of each covariate, each case counted once; of age, that at the event."""
    values = [pl.col(name) - pl.col("years_to_event") if name == "age" else pl.col(name) for name in covariates]
    cases = (
        rows.filter("progressor")
        .sort("participant_id", "years_to_event")
        .group_by("participant_id", maintain_order=True)
        .agg(value.mean().alias(name) for name, value in zip(covariates, values, strict=True))
    )
    return {name: float(cases[name].drop_nulls().to_numpy().mean()) for name in covariates}


def time_grid(rows: pl.DataFrame, earliest: int, per_year: int) -> Floats:
    """Give times (k,) from the earliest supported year, or the first visit of the group seen later, to the event."""
    first_visits = rows.group_by("progressor").agg(pl.col("years_to_event").min())["years_to_event"]
    start = max(float(earliest), float(first_visits.max()))  # type: ignore[arg-type]
    steps = int(np.floor(-start * per_year + 1e-9))
    return -np.arange(steps, -1, -1) / per_year


def standard_rows(record: Fit, model: Model, progressor: bool) -> Floats:
    """Build the fixed design (k, p) of the standard person, ageing along the curve, outside the selected readings."""
    times = model.times
    columns: dict[str, Any] = {"years_to_event": times, "progressor": [progressor] * len(times)}
    columns |= {name: [False] * len(times) for name in SELECTED}
    columns |= {name: [0.0] * len(times) for names in SEEN.values() for name in names}
    columns |= {name: value + times if name == "age" else [value] * len(times) for name, value in model.person.items()}
    return design_matrix(record, pl.DataFrame(columns))


def require_possible(model: Model) -> None:
    """Refuse a model whose curves leave what groups of living people show; single false readings bend them so.

    Raises
    ------
    ModelError
        If the fitted mean of a group leaves ``outcome.possible``.
    """
    outcome = model.outcome
    rows = np.vstack([standard_rows(model.fit, model, group) for group in (True, False)])
    fitted = rows @ model.fit.coefficients
    values = np.exp(fitted) if outcome.log else fitted
    low, high = outcome.possible
    if not ((values >= low) & (values <= high)).all():
        raise ModelError(
            f"its fitted curve leaves {low:g} to {high:g} {outcome.unit}, where no group of people is; look for typing "
            "errors among the readings."
        )


def between_person_sd(record: Fit, times: Floats) -> Floats:
    """Give sqrt(z'Gz) at each time, (k,); refuse if it is nothing beside the measurement variation.

    Raises
    ------
    ModelError
        If people do not differ.
    """
    Z = random_design_matrix(record, pl.DataFrame({"years_to_event": times}))
    variance = np.einsum("kq,qr,kr->k", Z, record.random_covariance, Z)
    if not (variance > SMALLEST_SPREAD**2 * record.residual_variance).all():
        raise ModelError(
            "people do not differ beyond measurement variation, so there is no SD to measure in; a "
            "single false reading can hide it: look for typing errors."
        )
    sd: Floats = np.sqrt(variance)
    return sd
