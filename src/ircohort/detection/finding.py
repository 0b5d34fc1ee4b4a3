"""Who in a cohort has insulin markers that rise while glucose stays normal, since when, and how sure is that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort import frames, schema
from ircohort.detection.posterior import MIN_PEOPLE, MarkerFit, fit_marker, make_noise
from ircohort.detection.series import Series, select_series
from ircohort.detection.settings import Detection, DetectSettings
from ircohort.detection.verdict import CURVE_SCHEMA, decide, judge_people, participants_table, windows_table

MARKERS = ("insulin", "tg_hdl")

_SAME_SLOPES = "the spread of slopes between people cannot be told from zero in this cohort"
_TOO_FEW = f"fewer than {MIN_PEOPLE} people have readings from which to learn how slopes differ"


def detect(visits: Any, settings: DetectSettings | None = None, *, seed: int = 0) -> Detection:
    """Judge every participant: whether there is a hidden window, when, and how sure that is.

    A hidden window is defined by :func:`ircohort.estimand.find_windows`. The probability is the share of curves with
    one among curves of (log marker, log glucose) drawn from the participant's posterior, over the own follow-up. The
    population is a mixture of normals of straight lines, a single one where the data support no more; results of one
    draw share errors. Reference: ``docs/detection.md``.

    Parameters
    ----------
    visits
        VISITS (pandas or polars) with ``participant_id``, ``years`` and the markers; insulin in uIU/mL, glucose in
        mg/dL. Missing values are null.
    settings
        Thresholds; the defaults of the project where None.
    seed
        A whole number. The same visits and seed give the same result, in whatever order the rows stand.

    Returns
    -------
    Detection
        Every participant stands once in ``participants``; frames of the kind that was given.

    Raises
    ------
    ColumnError
        If a column is missing or holds another type.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["001", "001"], "years": [0.0, 1.0],
    ...                        "insulin_uiu_ml": [6.0, 9.0], "glucose_mg_dl": [90.0, 91.0]})
    >>> detect(visits).participants.select("verdict", "reason").row(0)
    ('not_assessable', 'only 2 visits with insulin')
    """
    rules = settings or DetectSettings()
    back = frames.kind_of(visits)
    series = select_series(frames.to_polars(visits), rules)
    fits = {marker: fit for marker in MARKERS if (fit := _fit(series, marker, rules, seed)) is not None}
    people = series.people.with_columns(_refusal(fits).alias("refused")).with_columns(
        pl.coalesce("obstacle", "refused").alias("obstacle")
    )
    noise = make_noise(rules.draws, seed)
    groups = [
        (group, marker)
        for marker in fits
        if (group := people.filter(pl.col("obstacle").is_null() & (pl.col("marker") == marker))).height
    ]
    judged = [judge_people(group, fits, marker, rules, noise) for group, marker in groups]
    rows = _complete(people, [part.people for part in judged])
    rows = decide(rows, rules, {marker: fit.spread.serially_correlated for marker, fit in fits.items()})
    curves = pl.concat([pl.DataFrame(schema=CURVE_SCHEMA), *(part.curves for part in judged)])
    flagged = rows.filter(pl.col("verdict") == "hidden_window")["probability"]
    return Detection(
        participants=back(participants_table(rows)),
        windows=back(windows_table(rows)),
        curves=back(curves.sort("participant_id", "marker", "years", maintain_order=True)),
        population=back(_population(fits)),
        n_flagged=len(flagged),
        expected_false=float((1 - flagged).sum()) if len(flagged) else None,
        settings=rules,
        notes=(*series.notes, *_notes(fits, people, rules)),
    )


def _fit(series: Series, marker: str, settings: DetectSettings, seed: int) -> MarkerFit | None:
    """Fit a marker's population to the adults in whom it was measured; None where they are too few."""
    adults = series.people.filter(pl.col("adult"))["participant_id"]
    seen = series.readings.filter(pl.col("participant_id").is_in(adults.to_list()))
    seen = seen.filter(pl.col(marker).is_not_null().any().over("participant_id"))
    seen = seen.filter(pl.col(marker).is_not_null() | pl.col("glucose").is_not_null())
    ids = seen["participant_id"].unique(maintain_order=True)
    several = seen.filter(pl.col(marker).is_not_null().sum().over("participant_id") > 1)["participant_id"].n_unique()
    if several < MIN_PEOPLE or seen["glucose"].null_count() == seen.height:
        return None
    judged = series.people.filter(pl.col("obstacle").is_null() & (pl.col("marker") == marker)).height
    rules = settings if judged else replace(settings, refits=0)
    person: NDArray[np.intp] = (seen["participant_id"].rle_id().to_numpy()).astype(np.intp)
    outcomes = seen.select(marker, "glucose").to_numpy().astype(float)
    return fit_marker(marker, tuple(ids), person, seen["years"].to_numpy(), outcomes, rules, seed)


def _refusal(fits: dict[str, MarkerFit]) -> pl.Expr:
    """Why nobody can be judged by a marker in this cohort, or null."""
    reasons = {marker: _cohort_obstacle(fits.get(marker)) for marker in MARKERS}
    return pl.col("marker").replace_strict(reasons, default=None, return_dtype=pl.String)


def _cohort_obstacle(fit: MarkerFit | None) -> str | None:
    if fit is None:
        return _TOO_FEW
    if not fit.spread.identifiable:
        return _SAME_SLOPES
    return None if fit.chosen.converged else "the model of the cohort did not converge"


def _complete(people: pl.DataFrame, parts: list[pl.DataFrame]) -> pl.DataFrame:
    if not parts:
        floats = [column.name for column in schema.PARTICIPANTS.columns if column.dtype == pl.Float64]
        floats += [column.name for column in schema.WINDOWS.columns if column.dtype == pl.Float64]
        missing = [name for name in dict.fromkeys([*floats, "rising", "prior", "step"]) if name not in people.columns]
        return people.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
    return people.join(pl.concat(parts), on="participant_id", how="left", maintain_order="left")


def _population(fits: dict[str, MarkerFit]) -> pl.DataFrame:
    columns = {
        "marker": pl.String,
        "n_participants": pl.Int64,
        "n_visits": pl.Int64,
        "components": pl.Int64,
        "slope_mean_pct_per_year": pl.Float64,
        "slope_sd_pct_per_year": pl.Float64,
        "slope_sd_low": pl.Float64,
        "slope_sd_high": pl.Float64,
        "residual_cv_pct": pl.Float64,
        "identifiable": pl.Boolean,
        "note": pl.String,
    }
    rows = [_population_row(marker, fits.get(marker)) for marker in MARKERS]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _population_row(marker: str, fit: MarkerFit | None) -> tuple[object, ...]:
    if fit is None:
        return (marker, 0, 0, None, None, None, None, None, None, False, _TOO_FEW)
    spread = fit.spread
    slopes = [100 * float(np.expm1(value)) for value in (spread.mean, spread.sd, spread.low, spread.high)]
    scatter = 100 * float(np.sqrt(np.expm1(spread.residual_sd**2)))
    note = _cohort_obstacle(fit) or ""
    if not note and spread.serially_correlated:
        note = "neighbouring readings go together more than the model expects"
    counts = (len(fit.ids), fit.n_visits, fit.chosen.components)
    return (marker, *counts, *slopes, scatter, spread.identifiable, note)


CALIBRATED_FROM_PEOPLE, CALIBRATED_FROM_VISITS = 400, 8
"""Smallest cohort, and mean visits of its people, at which stated probabilities were near the observed shares
(docs/detection.md): measured at 500 people with 12 planned visits, of whom some are missed or follow an event."""


def _notes(fits: dict[str, MarkerFit], people: pl.DataFrame, settings: DetectSettings) -> list[str]:
    words = {"insulin": "insulin", "tg_hdl": "TG:HDL"}
    notes = []
    for marker in MARKERS:
        concerned = people.filter((pl.col("marker") == marker) & (pl.col("obstacle") == pl.col("refused"))).height
        reason = _cohort_obstacle(fits.get(marker))
        if concerned and reason:
            notes.append(f"Nobody is judged by {words[marker]}: {reason}.")
        elif marker in fits:
            notes += _fit_notes(fits[marker], words[marker])
    if any(len(fit.ids) < settings.expected_from for fit in fits.values()):
        notes.append(
            f"The rise beyond the expected course is not given: that takes {settings.expected_from} people or more."
        )
    return notes


def _fit_notes(fit: MarkerFit, name: str) -> list[str]:
    notes = []
    if len(fit.ids) < CALIBRATED_FROM_PEOPLE or fit.n_visits < CALIBRATED_FROM_VISITS * len(fit.ids):
        notes.append(
            f"Probabilities by {name} are probably too high, by 0.1 to 0.2 in simulation: that they can be taken at "
            f"their word was shown for 500 people with about ten visits each."
        )
    if fit.spread.serially_correlated:
        notes.append(
            f"Neighbouring readings of {name} go together more than independent scatter allows; a slow swing looks "
            "like a rise, and no window is given as more than possible."
        )
    failed = sum(not population.converged for population in fit.refits)
    if failed and len(fit.refits) > 1:
        notes.append(f"{failed} of {len(fit.refits)} refits of the {name} population stopped before they had settled.")
    return notes
