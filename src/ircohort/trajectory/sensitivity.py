"""What becomes of onset and window when one choice of the analysis is made otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import polars as pl

from ircohort.errors import IrcohortError
from ircohort.trajectory.measuring import Measured, measure
from ircohort.trajectory.record import ModelSettings
from ircohort.trajectory.tables import ONSET_SCHEMA, WINDOW_SCHEMA, onset_row

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "anchored at a random visit": {"comparison": "random_visit"},
        "matched comparison group": {"comparison": "matched"},
        "event by a single reading": {"event_dated": "single", "longest_gap_years": None},
        "event by fitted glucose": {"event_dated": "fitted", "longest_gap_years": None},
        "event by glucose alone": {"event_by": "glucose"},
        "selected readings kept": {"selected_readings": "kept"},
        "selected readings dropped": {"selected_readings": "dropped"},
        "adjusted for BMI": {"adjust_bmi": True},
        "within and between people together": {"by_time_seen": False},
    }
)
"""The choices that are made otherwise, one at a time."""

MAIN = "as analysed"

SENSITIVITY_SCHEMA: Mapping[str, pl.DataType] = {
    "variant": pl.String(),
    "outcome": pl.String(),
    **dict.fromkeys(("n_cases", "n_comparison"), pl.Int64()),
    "onset_years": pl.Float64(),
    "onset_status": pl.String(),
    **WINDOW_SCHEMA,
    "note": pl.String(),
}
"""Columns of the table of sensitivity."""


def sensitivity_table(visits: pl.DataFrame, main: Measured, settings: ModelSettings, seed: int) -> pl.DataFrame:
    """Measure the cohort again with each choice of :data:`VARIANTS`.

    Left out are choices that are made already, and glucose alone where HbA1c was never measured.
    """
    rows = _rows(MAIN, main, settings)
    hba1c = "hba1c_pct" in visits.columns and visits["hba1c_pct"].null_count() < visits.height
    for variant, choice in VARIANTS.items() if settings.sensitivity else ():
        made = all(getattr(settings, name) == value for name, value in choice.items())
        if not made and (hba1c or "event_by" not in choice):
            rows += _variant(variant, choice, visits, settings, seed)
    return pl.DataFrame(rows, schema=SENSITIVITY_SCHEMA)


def _variant(
    variant: str, choice: Mapping[str, Any], visits: pl.DataFrame, settings: ModelSettings, seed: int
) -> list[dict[str, Any]]:
    try:
        other = replace(settings, **choice, n_refits=settings.sensitivity_refits)
        return _rows(variant, measure(visits, other, seed), other)
    except IrcohortError as error:
        return [{"variant": variant, "note": " ".join(str(error).split())}]


def _rows(variant: str, measured: Measured, settings: ModelSettings) -> list[dict[str, Any]]:
    kept = [name for name in SENSITIVITY_SCHEMA if name in ONSET_SCHEMA]
    counts = {f"n_{group}": measured.aligned.counts[group] for group in ("cases", "comparison")}
    rows = []
    for course in measured.courses.values():
        row = onset_row(course, None, settings)
        rows.append({"variant": variant, **counts, **{name: row[name] for name in kept}})
    return rows
