"""The truth that a stated probability is held against: a window within the series that was judged.

A probability speaks of the visits that were judged: up to the event that was confirmed, and within one assay. So does
the truth: the noise-free monthly course of a person holds a window between the first and the last visit of one of the
person's series. What a course did after its series ended is another question, and is counted beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.detection import DetectSettings
from ircohort.detection.selection import select_series
from ircohort.estimand import HiddenWindow, Windows, find_windows
from ircohort.simulation import Design, TrueCourses, VisitPattern, true_courses
from ircohort.simulation.physiology import STEPS_PER_YEAR

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_BLOCK = 8192  # people whose monthly courses are held at once
_TINY = 1e-9  # years


@dataclass(frozen=True)
class Stretches:
    """``s`` series in which a window is looked for.

    ``person`` (s,) row of the person, non-decreasing; ``first`` and ``last`` (s,) visit, in years since the person's
    first visit; ``by_tg_hdl`` (s,) whether it is TG:HDL that must rise, insulin never having been measured.
    """

    person: Ints
    first: Floats
    last: Floats
    by_tg_hdl: NDArray[np.bool_]

    def of(self, people: NDArray[np.bool_]) -> Stretches:
        """Give the series of some people (n,), numbered as before."""
        kept = people[self.person]
        return Stretches(self.person[kept], self.first[kept], self.last[kept], self.by_tg_hdl[kept])

    def among(self, people: Ints) -> Stretches:
        """Give the series of some people, rows in increasing order, who are numbered anew in it."""
        low, high = np.searchsorted(self.person, people, "left"), np.searchsorted(self.person, people, "right")
        rows = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)] or [np.empty(0, dtype=np.intp)])
        person = np.repeat(np.arange(people.size), high - low)
        return Stretches(person, self.first[rows], self.last[rows], self.by_tg_hdl[rows])

    def log_marker(self, courses: TrueCourses) -> Floats:
        """Give the natural log of the marker of each series (s, months) over the whole follow-up."""
        marker = courses.insulin_uiu_ml[self.person]
        marker[self.by_tg_hdl] = courses.tg_hdl_mg[self.person[self.by_tg_hdl]]
        return np.asarray(np.log(marker))


def judged_stretches(visits: pl.DataFrame, settings: DetectSettings, participants: pl.Series) -> Stretches:
    """Give the series that detection can judge; of a person without any of these, all there are.

    Parameters
    ----------
    visits
        VISITS.
    settings
        Which visits enter.
    participants
        The people in the order in which their rows are numbered; no one twice.
    """
    segments = select_series(visits, settings).segments
    able = pl.col("obstacle").is_null()
    numbered = pl.DataFrame({"participant_id": participants}).with_row_index("person")
    kept = (
        segments.filter(able | ~able.any().over("participant_id"))
        .join(numbered, on="participant_id", how="inner")
        .sort("person", "segment")
    )
    first, last = (kept[name].to_numpy() for name in ("first", "last"))
    by_tg_hdl = (kept["marker"] == "tg_hdl").fill_null(value=False).to_numpy()
    return Stretches(kept["person"].cast(pl.Int64).to_numpy().astype(np.intp), first, last, by_tg_hdl)


@dataclass(frozen=True)
class Truth:
    """Of ``n`` people (n,): whether a series held a window, since when, and when that became true.

    ``start`` of the window with the largest rise and ``completed``, the first month by which the series so far held a
    window, in years since the first visit; NaN without one, ``completed`` also where it was not asked for.
    """

    present: NDArray[np.bool_]
    start: Floats
    completed: Floats


def truth_within(
    planned: pl.DataFrame,
    stretches: Stretches,
    design: Design,
    *,
    seed: int,
    pattern: VisitPattern | None,
    definition: HiddenWindow,
    over_time: bool,
) -> Truth:
    """Judge each course within the series of its person.

    Parameters
    ----------
    planned
        ``Simulated.truth`` of the same cohort: of insulin over the whole follow-up. Whose course holds no window there
        has none in a part of it, and where the largest rise lies within a series there is one, so that the monthly
        courses are made anew only of the others, and of those judged by TG:HDL, or, ``over_time``, of all who have one.
    stretches
        The series, people numbered by the rows of ``planned``.
    """
    n = planned.height
    ever = planned["hidden_window"].to_numpy().astype(bool)
    start, end = (_on_months(planned[f"window_{name}_years"]) for name in ("start", "end"))
    person = stretches.person
    by_tg_hdl = np.bincount(person, stretches.by_tg_hdl, n) > 0
    ever &= ~by_tg_hdl
    inside = ever[person] & (start[person] >= stretches.first - _TINY) & (end[person] <= stretches.last + _TINY)
    present = np.bincount(person, inside, n) > 0
    start, completed = np.where(present, start, np.nan), np.full(n, np.nan)
    open_still = np.flatnonzero(by_tg_hdl | (ever if over_time else ever & ~present))
    open_still = open_still[np.isin(open_still, person)]
    names = planned["participant_id"]
    for begin in range(0, open_still.size, _BLOCK):
        people = open_still[begin : begin + _BLOCK]
        courses = true_courses(design, seed=seed, participants=names.gather(people).to_list(), pattern=pattern)
        own = stretches.among(people)
        found = windows_within(courses, own, definition)
        present[people], start[people] = _any_of(own.person, found, people.size)
        if over_time:
            completed[people] = completed_at(courses, definition, own)
    return Truth(present, start, completed)


def _on_months(years: pl.Series) -> Floats:
    """Undo the rounding of times that lie on months (n,); NaN without one."""
    exact: Floats = np.round(years.fill_null(np.nan).to_numpy() * STEPS_PER_YEAR) / STEPS_PER_YEAR
    return exact


def windows_within(courses: TrueCourses, stretches: Stretches, definition: HiddenWindow) -> Windows:
    """Judge the course of each series (s,): nothing before its first and after its last visit counts."""
    years, person = courses.years, stretches.person
    seen = (years >= stretches.first[:, None] - _TINY) & (years <= stretches.last[:, None] + _TINY)
    marker = np.where(seen, stretches.log_marker(courses), np.nan)
    return find_windows(years, marker, courses.glucose_mg_dl[person], definition)


def _any_of(person: Ints, found: Windows, n: int) -> tuple[NDArray[np.bool_], Floats]:
    """Say of each person (n,) whether a series holds a window, and when the one with the largest rise starts."""
    start = np.full(n, np.nan)
    order = np.argsort(np.where(found.present, found.log_rise, -np.inf), kind="stable")
    start[person[order]] = found.start[order]  # the last assignment stands
    return np.bincount(person, found.present, n) > 0, start


def completed_at(courses: TrueCourses, definition: HiddenWindow, stretches: Stretches | None = None) -> Floats:
    """Give the first month (n,) by which a series so far holds a window; NaN where none does.

    A course that holds a window holds it for good, so the month is found by halving. Without ``stretches`` each course
    is one series, from the first to the last visit.
    """
    years, n = courses.years, len(courses.participants)
    own = stretches or Stretches(np.arange(n), np.zeros(n), courses.follow_up_years, np.zeros(n, dtype=bool))
    last = np.searchsorted(years, own.last + _TINY, side="right") - 1
    begun = years >= own.first[:, None] - _TINY
    marker, glucose = own.log_marker(courses), courses.glucose_mg_dl[own.person]

    def holds(rows: Ints, month: Ints) -> NDArray[np.bool_]:
        seen = begun[rows] & (np.arange(years.size) <= month[:, None])
        return find_windows(years, np.where(seen, marker[rows], np.nan), glucose[rows], definition).present

    everything = np.arange(last.size)
    rows = everything[holds(everything, last)]
    low, high = np.zeros(rows.size, dtype=np.intp), last[rows]  # never at the first month, always at the last
    while bool((high - low > 1).any()):
        middle = (low + high) // 2
        there = holds(rows, middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    result = np.full(n, np.inf)
    np.minimum.at(result, own.person[rows], years[high])
    return np.where(np.isfinite(result), result, np.nan)
