"""What is said of a cohort: why nobody is judged, what was checked, and how far probabilities can be trusted."""

from __future__ import annotations

import numpy as np
import polars as pl

from ircohort.detection.cohort import GROW_FROM, MARKERS, READINGS_FOR_A_BEND, SERIES_FOR_A_BEND, Cohort
from ircohort.detection.expected import TERMS, ExpectedChange
from ircohort.detection.noise_only import NOISE_UP_TO, NoiseOnly
from ircohort.detection.settings import DetectSettings
from ircohort.detection.steps import Step

_NAMES = {"insulin": "insulin", "tg_hdl": "TG:HDL"}

CALIBRATED_FROM = 800
"""People judged in the smallest cohorts in which stated probabilities were held against true shares
(benchmarks/detection_calibration_small.md)."""


def cohort_obstacle(cohort: Cohort | None, marker: str, settings: DetectSettings) -> str | None:
    """Say why nobody can be judged by a marker, or None."""
    spread = cohort.spread.get(marker) if cohort else None
    if spread is None:
        return (
            f"fewer than {settings.judge_from} people have two readings of it in one series, and two of glucose: too "
            "few to learn how slopes differ"
        )
    return spread.obstacle


def population_table(cohort: Cohort | None, settings: DetectSettings) -> pl.DataFrame:
    """Give one row per marker: what the cohort's model says of it."""
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
    return pl.DataFrame([_population_row(marker, cohort, settings) for marker in MARKERS], schema=columns, orient="row")


def _population_row(marker: str, cohort: Cohort | None, settings: DetectSettings) -> tuple[object, ...]:
    spread = cohort.spread.get(marker) if cohort else None
    note = cohort_obstacle(cohort, marker, settings) or ""
    if cohort is None or spread is None:
        return (marker, None, None, None, None, None, None, None, None, False, note)
    slopes = [100 * float(np.expm1(value)) for value in (spread.mean, spread.sd, spread.low, spread.high)]
    scatter = 100 * float(np.sqrt(np.expm1(spread.residual_sd**2)))
    if not note and spread.serially_correlated:
        note = "neighbouring readings go together more than the model expects"
    counts = (cohort.n_people[marker], cohort.n_readings[marker], cohort.populations[0].components)
    return (marker, *counts, *slopes, scatter, spread.identifiable, note)


def cohort_notes(
    cohort: Cohort | None,
    rows: pl.DataFrame,
    settings: DetectSettings,
    steps: dict[str, Step | None],
    expected: dict[str, ExpectedChange | None],
    noise: NoiseOnly | None,
) -> list[str]:
    """Give the sentences about a cohort; ``rows`` are the participants with their verdict."""
    notes = []
    for marker in MARKERS:
        obstacle = cohort_obstacle(cohort, marker, settings)
        if obstacle and rows.filter((pl.col("marker") == marker) & (pl.col("obstacle") == obstacle)).height:
            notes.append(
                f"Nobody is judged by {_NAMES[marker]}: {obstacle}. Markers, states and the cohort's own curves do not "
                "depend on this."
            )
    judged = rows.filter(pl.col("probability").is_not_null())
    if cohort is None or not judged.height:
        return notes
    notes += _about_model(cohort, judged, settings)
    for marker in judged["marker"].unique(maintain_order=True):
        notes += _about_checks(cohort, marker, steps.get(marker))
        notes += _about_expected(_NAMES[marker], rows.height, expected.get(marker), settings)
    return [*notes, *_about_flags(judged), *_about_noise(settings, noise)]


def _about_model(cohort: Cohort, judged: pl.DataFrame, settings: DetectSettings) -> list[str]:
    notes = []
    if cohort.straight:
        notes.append(
            "Courses of the marker are straight lines: bends take at least "
            f"{SERIES_FOR_A_BEND} series that can be judged, half of them with {READINGS_FOR_A_BEND} readings or more."
        )
    elif all(population.straight.all() for population in cohort.populations):
        notes.append("Courses of the marker are straight lines: that they bend does not show in this cohort.")
    if len({population.upward for population in cohort.populations}) > 1:
        notes.append(
            "Readings hardly tell whether slopes of the marker spread to both sides or upwards only; both kinds of "
            "population are averaged over."
        )
    if judged.height < CALIBRATED_FROM:
        notes.append(
            "Probabilities from 0.3 to 0.7 may be off by up to 0.15: that they can be taken at their word was shown in "
            f"simulation for {CALIBRATED_FROM} people or more."
        )
    if cohort.refitted:
        notes.append(
            "Refits and correction have a seed: with another one a person's probability moves by 0.02 to 0.06 (SD), "
            "and somewhat other people are flagged (docs/detection.md)."
        )
    if cohort.keys.height > settings.refit_up_to and not cohort.refitted:
        notes.append(
            f"The population was learned from {GROW_FROM:,} of {cohort.keys.height:,} series and is taken for known: "
            "probabilities may be too high by up to 0.1 (docs/detection.md)."
        )
    unsettled = sum(not population.converged for population in cohort.populations)
    if unsettled and not cohort.refitted:
        notes.append("The climb to the population stopped before it had settled.")
    return notes


def _about_checks(cohort: Cohort, marker: str, step: Step | None) -> list[str]:
    name, notes = _NAMES[marker], []
    if cohort.spread[marker].serially_correlated:
        notes.append(
            f"Neighbouring readings of {name} go together more than independent scatter allows; a slow swing looks "
            "like a rise, and no window is given as more than possible."
        )
    if step and step.reported:
        notes.append(
            f"Readings of {name} of the whole cohort step by {100 * step.size:+.0f} % in {step.date:.1f}, as at "
            "a change of assay that was not recorded; no window is given as more than possible. Name the assay in a "
            "column, and series are cut there."
        )
    return notes


def _about_expected(name: str, n_people: int, expected: ExpectedChange | None, settings: DetectSettings) -> list[str]:
    if n_people < settings.expected_from:
        return [
            f"The rise beyond the expected course is not given: that takes {settings.expected_from} people or more."
        ]
    if expected is None:
        return [f"The rise of {name} beyond the expected course is not given: its model could not be fitted."]
    notes = []
    for term, count in expected.unknown.items():
        what = TERMS[term]
        if count and term in expected.terms:
            notes.append(f"In {count:,} series {what} is not known: the average is expected of {name} there.")
        elif count:
            notes.append(f"The expected course of {name} takes no account of {what}: it is not known of enough people.")
    return notes


def _about_flags(judged: pl.DataFrame) -> list[str]:
    never = judged.filter(~pl.col("event").fill_null(False))
    if not never.height:
        return []
    flagged = never.filter(pl.col("verdict") == "hidden_window").height
    return [
        f"Of {never.height:,} people judged in whom no event was confirmed, {flagged:,} "
        f"({100 * flagged / never.height:.1f} %) are flagged too."
    ]


def _about_noise(settings: DetectSettings, noise: NoiseOnly | None) -> list[str]:
    if noise is None:
        if not settings.noise_check:
            return []
        return [f"Noise only is not counted in a cohort of more than {NOISE_UP_TO:,} series."]
    found = (
        f"{noise.n_flagged:,} of {noise.n_judged:,} judged would be flagged"
        if noise.n_judged
        else "nobody would be judged, as slopes would not differ beyond chance"
    )
    return [
        f"Noise only: with each person's visits dealt out anew at random, {found}. That is no estimate of false flags."
    ]
