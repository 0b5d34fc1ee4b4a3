"""From courses to tables: curves with their bands, onset, hidden window and lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.trajectory.landmarks import (
    INTERVAL,
    find_onsets,
    find_windows,
    interval,
    leads,
    simultaneous_limits,
)
from ircohort.trajectory.measuring import Course
from ircohort.trajectory.record import GLUCOSE, ModelSettings

Floats = NDArray[np.float64]

WINDOW_SCHEMA: Mapping[str, pl.DataType] = {
    **dict.fromkeys(("hidden_window_years", "hidden_window_low", "hidden_window_high"), pl.Float64()),
    "hidden_window_status": pl.String(),
}

ONSET_SCHEMA: Mapping[str, pl.DataType] = {
    "outcome": pl.String(),
    **dict.fromkeys(("onset_years", "onset_low", "onset_high"), pl.Float64()),
    "onset_status": pl.String(),
    "onset_claimed": pl.Boolean(),
    "detectable_years": pl.Float64(),
    **WINDOW_SCHEMA,
    **dict.fromkeys(("lead_years", "lead_low", "lead_high"), pl.Float64()),
    **dict.fromkeys(("n_refits", "n_refits_without_onset"), pl.Int64()),
}
"""Columns of the onset table."""

LIMITS = ("fitted_low", "fitted_high", "fitted_low_simultaneous", "fitted_high_simultaneous")


def curve_table(course: Course) -> pl.DataFrame:
    """Lay the curves of one outcome out: cases, comparison, their excess in natural units, the difference in SDs."""
    natural = np.exp if course.outcome.log else np.asarray
    cases, comparison, unit = course.curves.cases, course.curves.comparison, course.outcome.unit
    return pl.concat(
        [
            _group(course, "cases", natural(cases), natural(simultaneous_limits(cases)), unit),
            _group(course, "comparison", natural(comparison), natural(simultaneous_limits(comparison)), unit),
            _of_difference(course, "excess", natural(cases) - natural(comparison), unit),
            _of_difference(course, "difference", course.difference, "SD"),
        ]
    )


def _of_difference(course: Course, group: str, values: Floats, unit: str) -> pl.DataFrame:
    return _group(course, group, values, simultaneous_limits(values), unit)


def _group(course: Course, group: str, values: Floats, limits: Floats, unit: str) -> pl.DataFrame:
    """Make the rows of one curve from the estimate and its refits, (1 + m, k), and its simultaneous limits (2, k)."""
    ends: Any = (None, None, None, None)
    if len(values) > 1:
        ends = (*np.quantile(values[1:], INTERVAL, axis=0), *limits)
    columns = {"years_to_event": course.times, "fitted": values[0], **dict(zip(LIMITS, ends, strict=True))}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).select(
        pl.lit(course.outcome.column).alias("outcome"),
        pl.lit(group).alias("group"),
        pl.all(),
        pl.lit(unit).alias("unit"),
    )


def onset_row(course: Course, glucose: Course | None, settings: ModelSettings) -> dict[str, Any]:
    """Write the row of the onset table for one outcome."""
    draws = course.onsets[1:]
    low, high = interval(draws)
    return {
        "outcome": course.outcome.column,
        "onset_years": _within(course.onsets[0], course.times),
        "onset_low": low,
        "onset_high": high,
        "onset_status": _onset_status(course.onsets[0]),
        "onset_claimed": None
        if not len(draws)
        else bool(np.isfinite(course.onsets[0]) or course.onsets[0] < 0) and high is not None,
        "detectable_years": _detectable(course),
        **window_of(course, settings),
        **_lead(course, glucose),
        "n_refits": len(draws),
        "n_refits_without_onset": int(np.isposinf(draws).sum()),
    }


def _onset_status(onset: float) -> str:
    return "dated" if np.isfinite(onset) else "before_support" if onset < 0 else "none"


def _within(onset: float, times: Floats) -> float | None:
    return None if np.isposinf(onset) else float(max(onset, times[0]))


def _detectable(course: Course) -> float | None:
    """Give the earliest time from which the simultaneous limits of the difference leave out zero until the event."""
    if len(course.difference) < 2:
        return None
    lower = simultaneous_limits(course.difference)[0]
    return _within(find_onsets(course.times, lower, 0.0)[0], course.times)


def window_of(course: Course, settings: ModelSettings) -> dict[str, Any]:
    """Write the hidden window of one outcome; null for glucose itself."""
    names = tuple(WINDOW_SCHEMA)
    if course.outcome.column == GLUCOSE:
        return dict.fromkeys(names)
    if course.glucose is None or course.glucose_times is None:
        return dict(zip(names, (None, None, None, "none"), strict=True))
    cut_off = settings.glucose_cut_off_mg_dl
    windows = find_windows(course.glucose_times, np.maximum(course.onsets, course.times[0]), course.glucose, cut_off)
    years = float(windows.years[0])
    draws = np.where(np.isneginf(course.onsets[1:]), np.inf, windows.years[1:])
    status = "open_at_event" if windows.open_at_event[0] else "closed"
    if np.isneginf(course.onsets[0]):
        status = "at_least"
    if years <= 0:
        status = "none"
    return dict(zip(names, (max(years, 0.0), *interval(draws), status), strict=True))


def _lead(course: Course, glucose: Course | None) -> dict[str, float | None]:
    names = ("lead_years", "lead_low", "lead_high")
    if glucose is None or course is glucose or (np.isinf(course.onsets[0]) and np.isinf(glucose.onsets[0])):
        return dict.fromkeys(names)
    edges = [np.clip(each.onsets[0], each.times[0], each.times[-1]) for each in (course, glucose)]
    return dict(
        zip(names, (float(edges[1] - edges[0]), *interval(leads(course.onsets[1:], glucose.onsets[1:]))), strict=True)
    )
