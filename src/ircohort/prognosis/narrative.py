"""The sentences that go with a landmark analysis: what it says, and what it does not."""

from __future__ import annotations

import polars as pl

from ircohort.prognosis.models import MODELS, TERMS, Cases
from ircohort.prognosis.record import Landmark

LARGE_GAP = 0.05
"""Distance between the Weibull curve and Turnbull's from which the reader is told."""

_NAMES = {
    "bmi": "BMI",
    "flag": "the flag",
    "fitted_glucose": "fitted glucose",
    "probability": "the probability",
    "latest_homa_ir": "the latest HOMA-IR",
    "latest_tg_hdl": "the latest TG:HDL",
    "latest_glucose": "the latest glucose",
}


def sentences(found: Landmark, cases: Cases) -> tuple[str, ...]:
    """Write the notes of a record whose tables are made."""
    return (
        f"Flags, the population they rest on, and all that was known of a person come from visits up to "
        f"{found.at:g} years; {_event(found)} after it was looked for between visits.",
        _people(found),
        *_models(found, cases),
        *_baseline(found),
        "This describes a cohort. People with a higher probability differ from the others in much besides, first of "
        "all in how near their glucose already was to the cut-off; a hazard ratio adjusted for fitted glucose and "
        "BMI is still no effect of insulin resistance, and no forecast for one person.",
    )


def _event(found: Landmark) -> str:
    return "confirmed diabetes" if found.settings.event == "diabetes" else "confirmed prediabetes or diabetes"


def _people(found: Landmark) -> str:
    counts, people = found.counts, found.people.filter(pl.col("standing") == "followed")
    events, readings = people["high"].count(), people.filter(pl.col("normal_by") == "last_reading").height
    return (
        f"{counts['followed']} people were free of it at the landmark, had normal glucose then ({readings} of them by "
        f"their last reading, having no fitted course) and were seen often enough afterwards; {events} of them had "
        f"the event. Not counted: {counts['event_by_landmark']} with the event before, {counts['not_normal']} whose "
        f"glucose was not normal, {counts['glucose_unknown']} without a glucose, {counts['not_followed']} without two "
        "visits after the landmark (the last visit of a person only confirms)."
    )


def _models(found: Landmark, cases: Cases) -> list[str]:
    settings, notes = found.settings, []
    if cases.table.height == 0:
        return [
            "No model is fitted: nobody who was followed has a probability. Up to the landmark detection asks for "
            f"{settings.detection.asks_for}."
        ]
    if cases.n_events < settings.min_events:
        return [
            f"No model is fitted: it takes {settings.min_events} events among the assessable, and there are "
            f"{cases.n_events}."
        ]
    used = {name for model in MODELS.values() for name in model.terms} - {"latest_tg_hdl"}
    missing = [f"{_NAMES[name]} ({cases.left_out[name]})" for name in TERMS if name in cases.left_out and name in used]
    if missing:
        notes.append(f"Left out of the models: {', '.join(missing)}.")
    if cases.table.height > settings.resample_up_to:
        notes.append(f"Concordance has no intervals: they are made for up to {settings.resample_up_to} people.")
    skipped = [years for years in settings.horizons if years not in set(found.horizons["years"].to_list())]
    if skipped:
        notes.append(
            f"Follow-up does not allow predictions to be judged at {_listed(skipped)} years after the landmark."
        )
    apart = found.models.filter(~pl.col("converged"))["model"].to_list()
    if apart:
        notes.append(
            f"The likelihood of {_listed(apart)} has no maximum, as where nobody of a group had the event; intervals "
            "are open at one end, and the ratio itself is not given."
        )
    return notes


def _baseline(found: Landmark) -> list[str]:
    if found.baseline_gap is None or found.baseline_gap <= LARGE_GAP:
        return []
    return [
        f"The Weibull curve of everybody differs from Turnbull's by up to {100 * found.baseline_gap:.0f} points; "
        "hazard ratios and predictions rest on a baseline that fits poorly."
    ]


def _listed(items: list[float] | list[str]) -> str:
    return ", ".join(item if isinstance(item, str) else f"{item:g}" for item in items)
