"""Flags from the visits up to a landmark, against what became of the people after it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort import schema
from ircohort.chance import exponentials
from ircohort.detection import Detection, detect
from ircohort.errors import UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.prognosis import tables
from ircohort.prognosis.judging import Status, status_at
from ircohort.prognosis.models import (
    Cases,
    Fitted,
    bounds,
    coefficient_rows,
    complete_cases,
    fit_groups,
    fit_models,
    model_row,
)
from ircohort.prognosis.narrative import sentences
from ircohort.prognosis.people import STANDINGS, classified, stand_at, up_to
from ircohort.prognosis.record import Landmark, LandmarkSettings
from ircohort.prognosis.resampling import Scores, difference_rows, score_models
from ircohort.prognosis.weibull import fit_weibull, risk
from ircohort.turnbull import event_free, turnbull

Floats = NDArray[np.float64]

FITTED_UP_TO = 200_000
"""Series for which detection gives fitted courses here: who had normal glucose is told by them."""


def landmark(visits: Any, at: float, settings: LandmarkSettings | None = None, *, seed: int = 0) -> Landmark:
    """Judge everybody by the visits up to a landmark, and see who had the event after it.

    Parameters
    ----------
    visits
        VISITS (pandas or polars).
    at
        The landmark: years since each person's first visit. Visits at it count as before it.
    settings
        The defaults where None.
    seed
        A whole number; of the detection, and of the resamples.

    Returns
    -------
    Landmark
        Frames of the kind that was given.

    Raises
    ------
    UsageError
        If ``at`` is not a time after the first visit.
    ColumnError
        If a column is missing or holds another type.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 5, "years": [0.0, 1.0, 2.0, 3.0, 4.0],
    ...                        "glucose_mg_dl": [90.0, 91.0, 92.0, 104.0, 105.0]})
    >>> landmark(visits, 2.0).groups.select("group", "n", "n_events").row(3)
    ('not_assessable', 1, 1)
    """
    rules, back = settings or LandmarkSettings(), kind_of(visits)
    table = schema.require(to_polars(visits), schema.VISITS)
    _require_time(at)
    whole = max(rules.detection.whole_up_to, FITTED_UP_TO)
    detection = detect(back(classified(up_to(table, at))), replace(rules.detection, whole_up_to=whole), seed=seed)
    return follow(visits, at, detection, rules, seed=seed)


def follow(
    visits: Any, at: float, detection: Detection, settings: LandmarkSettings | None = None, *, seed: int = 0
) -> Landmark:
    """See who had the event after a landmark, by a detection made before it.

    Parameters
    ----------
    visits
        All VISITS (pandas or polars).
    at
        The landmark in years.
    detection
        Made from the visits up to the landmark, and from no others: this function cannot check that.
    settings, seed
        As for :func:`landmark`.
    """
    rules, back = settings or LandmarkSettings(), kind_of(visits)
    _require_time(at)
    people = stand_at(to_polars(visits), at, detection, rules)
    followed = people.filter(pl.col("standing") == "followed")
    cases, models, scores, statuses = _modelled(people, rules, seed)
    rows, coefficients = _said(people, cases, models, scores, rules)
    weights = {name: _weights(followed.filter(pl.col("verdict") == name), rules, seed) for name in schema.VERDICTS}
    counts = {name: people.filter(pl.col("standing") == name).height for name in STANDINGS}
    found = Landmark(
        at=at,
        people=people,
        counts=counts,
        groups=tables.groups(followed),
        curves=tables.curves(followed, weights),
        at_risk=tables.at_risk(followed),
        models=pl.DataFrame(rows, schema=tables.MODELS_SCHEMA),
        coefficients=pl.DataFrame(coefficients, schema=tables.COEFFICIENTS_SCHEMA),
        differences=pl.DataFrame(difference_rows(scores), schema=tables.DIFFERENCES_SCHEMA),
        horizons=pl.DataFrame(tables.horizon_rows(scores, statuses), schema=tables.HORIZONS_SCHEMA),
        baseline_gap=_baseline_gap(followed, rules),
        detection=detection,
        settings=rules,
        notes=(),
    )
    return tables.handed_back(found, sentences(found, cases), back)


def _require_time(at: float) -> None:
    if not isinstance(at, int | float) or isinstance(at, bool) or not math.isfinite(at) or at <= 0:
        raise UsageError("The landmark cannot be used.", expected="Expected is a number of years above 0.")


def _weights(people: pl.DataFrame, settings: LandmarkSettings, seed: int) -> Floats:
    return exponentials("landmark", seed, people["participant_id"].to_list(), settings.resamples)


def _modelled(
    people: pl.DataFrame, settings: LandmarkSettings, seed: int
) -> tuple[Cases, dict[str, Fitted], Scores, tuple[Status, ...]]:
    """Fit and judge the models, where there are events enough."""
    cases = complete_cases(people)
    if cases.n_events < settings.min_events:
        return cases, {}, Scores({}, {}, {}, {}, {}), ()
    models = fit_models(cases)
    statuses = tuple(status_at(cases.low, cases.high, years) for years in settings.horizons)
    usable = tuple(status for status in statuses if tables.reached(status, settings.min_events))
    weights = _weights(cases.table, settings, seed)
    if cases.table.height > settings.resample_up_to:
        weights = weights[:0]
    return cases, models, score_models(models, cases, usable, weights), usable


def _said(
    people: pl.DataFrame, cases: Cases, models: dict[str, Fitted], scores: Scores, settings: LandmarkSettings
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows of ``models`` and of ``coefficients``, the verdicts last."""
    rows, coefficients = [], []
    for name, model in models.items():
        smaller = models.get(model.against) if model.against else None
        rows.append({**model_row(model, smaller, cases.n_events), **tables.concordance_cells(scores, name)})
        coefficients += coefficient_rows(model, cases.low, cases.high)
    followed = people.filter(pl.col("standing") == "followed")
    low, high = bounds(followed)
    n_events = int(np.isfinite(high).sum())
    groups = fit_groups(people, schema.VERDICTS) if n_events >= settings.min_events else None
    if groups:
        rows.append(model_row(groups[0], groups[1], n_events))
        coefficients += coefficient_rows(groups[0], low, high)
    return rows, coefficients


def _baseline_gap(followed: pl.DataFrame, settings: LandmarkSettings) -> float | None:
    """Hold the Weibull curve of everybody against Turnbull's, at the ends of the intervals that hold mass."""
    low, high = bounds(followed)
    if np.isfinite(high).sum() < settings.min_events:
        return None
    curve, fit = turnbull(low, high), fit_weibull(low, high, np.empty((len(low), 0)))
    ends = np.unique(np.concatenate([curve.left, curve.right[np.isfinite(curve.right)]]))
    ends = ends[ends > 0]
    smooth = np.array([1.0 - risk(fit, np.empty((1, 0)), years)[0] for years in ends])
    return float(np.abs(event_free(curve, ends) - smooth).max())
