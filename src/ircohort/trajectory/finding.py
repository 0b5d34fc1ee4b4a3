"""From fitted models and their refits to curves, onset, hidden window and lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.lmm import Fit, design_matrix, random_design_matrix
from ircohort.trajectory.landmarks import INTERVAL, find_onsets, find_windows, interval, leads
from ircohort.trajectory.record import ModelSettings, Outcome

Floats = NDArray[np.float64]

Predicted = tuple[Fit, Floats, Mapping[str, float]]
"""A fit, its refits (m, p) and the standard person."""


SMALLEST_SPREAD = 0.1
"""Between-person SD over measurement SD, below which a difference in between-person SDs means nothing. An editorial
choice; in the sample data it is above 0.7 for every outcome."""

ONSET_SCHEMA: Mapping[str, pl.DataType] = {
    "outcome": pl.String(),
    **dict.fromkeys(("onset_years", "onset_low", "onset_high"), pl.Float64()),
    "onset_status": pl.String(),
    **dict.fromkeys(("hidden_window_years", "hidden_window_low", "hidden_window_high"), pl.Float64()),
    "hidden_window_status": pl.String(),
    **dict.fromkeys(("lead_years", "lead_low", "lead_high"), pl.Float64()),
    **dict.fromkeys(("n_refits", "n_refits_without_onset"), pl.Int64()),
}
"""Columns of the onset table."""


@dataclass(frozen=True, eq=False)
class Course:
    """The course of one outcome: its table of curves, and its onset in the estimate (1,) and the m refits.

    ``glucose`` (1 + m, k) is the fitted glucose of the cases on the same ``times`` (k,), or None.
    """

    outcome: Outcome
    times: Floats
    table: pl.DataFrame
    onsets: Floats
    glucose: Floats | None


def follow(
    outcome: Outcome,
    record: Fit,
    refits: Floats,
    person: Mapping[str, float],
    times: Floats,
    spread: Floats,
    *,
    onset_sd: float,
    glucose: Predicted | None,
) -> Course:
    """Evaluate the curves of both groups at ``times`` (k,), and find the onset of their difference.

    ``spread`` (k,) is the between-person SD of the comparison group.
    """
    estimates = np.vstack([record.coefficients, refits])
    rows_of = {group: _design_rows(record, times, group, person) for group in (True, False)}
    cases, comparison = (estimates @ rows_of[group].T for group in (True, False))
    difference = (cases - comparison) / spread
    natural = np.exp if outcome.log else np.asarray
    table = pl.concat(
        [
            _curve(outcome, "cases", times, natural(cases), outcome.unit),
            _curve(outcome, "comparison", times, natural(comparison), outcome.unit),
            _curve(outcome, "difference", times, difference, "SD"),
        ]
    )
    fitted = None
    if glucose is not None:
        fit, draws, standard = glucose
        fitted = np.vstack([fit.coefficients, draws]) @ _design_rows(fit, times, True, standard).T
    return Course(outcome, times, table, find_onsets(times, difference, onset_sd), fitted)


def onset_row(name: str, course: Course, glucose: Course | None, settings: ModelSettings) -> dict[str, Any]:
    """Write the row of the onset table for one outcome."""
    draws = course.onsets[1:]
    low, high = interval(draws)
    return {
        "outcome": name,
        "onset_years": _within(course.onsets[0], course.times),
        "onset_low": low,
        "onset_high": high,
        "onset_status": _onset_status(course.onsets[0]),
        **_window(course, settings, is_glucose=course is glucose),
        **_lead(course, glucose),
        "n_refits": len(draws),
        "n_refits_without_onset": int(np.isposinf(draws).sum()),
    }


def time_grid(rows: pl.DataFrame, earliest: int, per_year: int) -> Floats:
    """Give times (k,) from the earliest supported year, or the first visit of the group seen later, to the event."""
    first_visits = rows.group_by("progressor").agg(pl.col("years_to_event").min())["years_to_event"]
    start = max(float(earliest), float(first_visits.max()))  # type: ignore[arg-type]
    steps = int(np.floor(-start * per_year + 1e-9))
    return -np.arange(steps, -1, -1) / per_year


def _design_rows(record: Fit, times: Floats, progressor: bool, person: Mapping[str, float]) -> Floats:
    """Build the fixed design (k, p) of the standard person, ageing along the curve, outside the selected readings."""
    columns: dict[str, Any] = {"years_to_event": times, "progressor": [progressor] * len(times)}
    columns |= {"at_event": [False] * len(times), "before_event": [False] * len(times)}
    columns |= {name: value + times if name == "age" else [value] * len(times) for name, value in person.items()}
    return design_matrix(record, pl.DataFrame(columns))


def require_possible(outcome: Outcome, record: Fit, person: Mapping[str, float], times: Floats) -> None:
    """Refuse a model whose curves leave what groups of living people show; single false readings bend them so.

    Raises
    ------
    ModelError
        If the fitted mean of a group leaves ``outcome.possible``.
    """
    rows = np.vstack([_design_rows(record, times, group, person) for group in (True, False)])
    fitted = rows @ record.coefficients
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
        raise ModelError("people do not differ beyond measurement variation, so there is no SD to measure in.")
    sd: Floats = np.sqrt(variance)
    return sd


def _curve(outcome: Outcome, group: str, times: Floats, values: Floats, unit: str) -> pl.DataFrame:
    """Make the rows of one curve from the estimate and its refits, (1 + m, k)."""
    ends: Any = (None, None)
    if len(values) > 1:
        ends = np.quantile(values[1:], INTERVAL, axis=0)
    columns = {"years_to_event": times, "fitted": values[0], "fitted_low": ends[0], "fitted_high": ends[1]}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).select(
        pl.lit(outcome.column).alias("outcome"), pl.lit(group).alias("group"), pl.all(), pl.lit(unit).alias("unit")
    )


def _onset_status(onset: float) -> str:
    return "dated" if np.isfinite(onset) else "before_support" if onset < 0 else "none"


def _within(onset: float, times: Floats) -> float | None:
    return None if np.isposinf(onset) else float(max(onset, times[0]))


def _window(course: Course, settings: ModelSettings, *, is_glucose: bool) -> dict[str, Any]:
    names = ("hidden_window_years", "hidden_window_low", "hidden_window_high", "hidden_window_status")
    if is_glucose or course.glucose is None:
        return dict(zip(names, (None, None, None, None if is_glucose else "none"), strict=True))
    windows = find_windows(course.times, course.onsets, course.glucose, settings.glucose_cut_off_mg_dl)
    years = float(windows.years[0])
    draws = np.where(np.isneginf(course.onsets[1:]), np.inf, windows.years[1:])
    status = "open_at_event" if windows.open_at_event[0] else "closed"
    if np.isneginf(course.onsets[0]):
        status = "at_least"
    if years <= 0:
        return dict(zip(names, (0.0, None, None, "none"), strict=True))
    return dict(zip(names, (years, *interval(draws), status), strict=True))


def _lead(course: Course, glucose: Course | None) -> dict[str, float | None]:
    names = ("lead_years", "lead_low", "lead_high")
    if glucose is None or course is glucose or (np.isinf(course.onsets[0]) and np.isinf(glucose.onsets[0])):
        return dict.fromkeys(names)
    edges = [np.clip(each.onsets[0], each.times[0], each.times[-1]) for each in (course, glucose)]
    return dict(
        zip(names, (float(edges[1] - edges[0]), *interval(leads(course.onsets[1:], glucose.onsets[1:]))), strict=True)
    )
