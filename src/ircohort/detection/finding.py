"""Who in a cohort has insulin markers that rise while glucose stays normal, since when, and how sure is that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from ircohort import frames
from ircohort.detection.cohort import GROW_FROM, MARKERS, Cohort, evenly, fit_cohort, permuted_cohort
from ircohort.detection.expected import ExpectedChange, expected_change
from ircohort.detection.false_flags import expected_false
from ircohort.detection.findings import CURVE_SCHEMA, KEY, Judged, judge_series
from ircohort.detection.narrative import cohort_notes, cohort_obstacle, population_table
from ircohort.detection.noise_only import NOISE_UP_TO, NoiseOnly
from ircohort.detection.selection import Series, select_series
from ircohort.detection.settings import Detection, DetectSettings
from ircohort.detection.steps import Step, calendar_step
from ircohort.detection.verdict import (
    SERIAL,
    STEP,
    decide,
    participants_table,
    people_of,
    windows_table,
    with_numbers,
)
from ircohort.parallel import on_one_blas_thread


def detect(visits: Any, settings: DetectSettings | None = None, *, seed: int = 0) -> Detection:
    """Judge every participant: whether there is a hidden window, when, and how sure that is.

    A hidden window is defined by :func:`ircohort.estimand.find_windows`. The probability is the share of curves with
    one among curves drawn from the participant's posterior, over the own follow-up, under a joint model of log insulin,
    log glucose and log TG:HDL, in which each course may bend and results of one draw share errors. Reference:
    ``docs/detection.md``.

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
    cohort = fit_cohort(series, rules, seed)
    findings = _judge(series, cohort, rules, seed)
    lowered = {marker: _held(cohort, marker, findings.steps) for marker in MARKERS}
    refused = pl.coalesce("obstacle", _refusal(cohort, rules)).alias("obstacle")
    people = people_of(series.people.with_columns(refused), findings.series)
    rows = decide(people, rules, lowered)
    flagged = rows.filter(pl.col("verdict") == "hidden_window")
    false = expected_false(flagged, findings.series)
    noise = _noise_only(series, cohort, rules, seed)
    return Detection(
        participants=back(participants_table(rows)),
        windows=back(windows_table(rows, findings.series, rules)),
        curves=back(findings.curves.sort("participant_id", "marker", "years", maintain_order=True)),
        population=back(population_table(cohort, rules)),
        n_flagged=flagged.height,
        expected_false=false.expected,
        expected_false_low=false.low,
        expected_false_high=false.high,
        flagged_by_noise=noise.n_flagged if noise else None,
        settings=rules,
        notes=(*series.notes, *cohort_notes(cohort, rows, rules, findings.steps, findings.expected, noise)),
    )


@dataclass(frozen=True)
class _Findings:
    """What was found of all series: ``series`` (one row each), ``curves``, and the checks of each marker."""

    series: pl.DataFrame
    curves: pl.DataFrame
    steps: dict[str, Step | None]
    expected: dict[str, ExpectedChange | None]


@on_one_blas_thread
def _judge(series: Series, cohort: Cohort | None, settings: DetectSettings, seed: int) -> _Findings:
    """Judge every series that can be judged, by the marker of its participant."""
    parts: list[Judged] = []
    steps: dict[str, Step | None] = {}
    expected: dict[str, ExpectedChange | None] = {}
    judgeable = series.segments.filter(pl.col("obstacle").is_null())
    for marker in MARKERS:
        segments = judgeable.filter(pl.col("marker") == marker)
        if cohort is None or not segments.height or cohort_obstacle(cohort, marker, settings):
            continue
        segments = segments.join(cohort.keys.with_row_index("place"), on=KEY, how="left", maintain_order="left")
        numbered = _numbered(series, cohort)
        steps[marker] = _step(numbered, marker, seed)
        enough = series.people.height >= settings.expected_from
        learn_from = evenly(cohort.sums, GROW_FROM) if cohort.limits.rows.size else None
        change = expected_change(numbered, marker, learn_from) if enough else None
        expected[marker] = change
        parts.append(judge_series(segments, cohort, marker, settings, change.per_year if change else None, seed))
    return _Findings(
        with_numbers(series.segments, [part.series for part in parts]),
        pl.concat([pl.DataFrame(schema=CURVE_SCHEMA), *(part.curves for part in parts)]),
        steps,
        expected,
    )


def _numbered(series: Series, cohort: Cohort) -> pl.DataFrame:
    """Give the readings in the model with the number of their series, the time since it began, age and sex."""
    keys = cohort.keys.with_row_index("series")
    people = series.people.select("participant_id", "sex")
    joined = series.readings.join(keys, on=KEY, maintain_order="left").join(
        people, on="participant_id", how="left", maintain_order="left"
    )
    return joined.with_columns(
        (pl.col("years") - pl.col("years").min().over("series")).alias("since"),
        pl.col("age").first().over("series").alias("age_first"),
    )


def _step(readings: pl.DataFrame, marker: str, seed: int) -> Step | None:
    dated = readings.filter(pl.col(marker).is_not_null() & pl.col("calendar").is_not_null())
    if not dated.height:
        return None
    columns = (dated[name].to_numpy() for name in ("since", "calendar", marker))
    return calendar_step(dated["series"].to_numpy().astype(np.intp), *columns, seed=seed)


def _held(cohort: Cohort | None, marker: str, steps: dict[str, Step | None]) -> tuple[str, ...]:
    """Why nobody is flagged by a marker in this cohort, although probabilities are given."""
    spread = cohort.spread.get(marker) if cohort else None
    step = steps.get(marker)
    return (
        *((SERIAL,) if spread and spread.serially_correlated else ()),
        *((STEP,) if step and step.reported else ()),
    )


def _refusal(cohort: Cohort | None, settings: DetectSettings) -> pl.Expr:
    """Why nobody can be judged by a marker in this cohort, or null."""
    reasons = {marker: cohort_obstacle(cohort, marker, settings) for marker in MARKERS}
    return pl.col("marker").replace_strict(reasons, default=None, return_dtype=pl.String)


def _noise_only(series: Series, cohort: Cohort | None, settings: DetectSettings, seed: int) -> NoiseOnly | None:
    """Count who would be flagged if each person's visits were dealt out anew; None where that was not asked."""
    if cohort is None or not settings.noise_check or cohort.keys.height > NOISE_UP_TO:
        return None
    rules = replace(settings, refits=0, whole_up_to=0)
    dealt = permuted_cohort(cohort, rules, seed)
    n_judged, n_flagged = 0, 0
    for marker in MARKERS:
        segments = series.segments.filter(pl.col("obstacle").is_null() & (pl.col("marker") == marker))
        if not segments.height or cohort_obstacle(cohort, marker, settings):
            continue
        if cohort_obstacle(dealt, marker, rules):
            continue
        placed = segments.join(dealt.keys.with_row_index("place"), on=KEY, how="left", maintain_order="left")
        found = judge_series(placed, dealt, marker, rules, None, seed).series
        flagged = (pl.col("probability") >= settings.flag_from) & (pl.col("probability") > pl.col("prior"))
        n_judged += found["participant_id"].n_unique()
        n_flagged += found.filter(flagged)["participant_id"].n_unique()
    return NoiseOnly(n_judged, n_flagged)
