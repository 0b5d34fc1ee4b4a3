"""What a hidden window is: the one function that simulated truth and posterior draws are judged by.

A curve holds a hidden window if there are two times, at least ``min_years`` apart, with all glucose between them
below the cut-off, from the first to the second of which the marker rises by at least ``min_rise`` (a share). Whether
prediabetes follows does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HiddenWindow:
    """The definition of a hidden window. Defaults are those of the project; each is a setting."""

    min_rise: float = 0.25
    min_years: float = 2.0
    glucose_cut_off_mg_dl: float = 100.0


@dataclass(frozen=True)
class Windows:
    """The window of each of ``n`` curves; where there is none, the times and the rise are NaN.

    ``present`` (n,) bool; ``start``, ``end`` (n,) times of the lowest and the highest marker of the pair with the
    largest rise; ``log_rise`` (n,) the rise between them on the natural log scale; ``run_start``, ``run_end`` (n,)
    first and last time of the stretch of normal glucose they lie in.
    """

    present: NDArray[np.bool_]
    start: Floats
    end: Floats
    log_rise: Floats
    run_start: Floats
    run_end: Floats


def find_windows(
    years: Floats, log_marker: Floats, glucose_mg_dl: Floats, definition: HiddenWindow | None = None
) -> Windows:
    """Judge noise-free curves by the definition of a hidden window.

    Parameters
    ----------
    years
        (k,) increasing times. The curves are known at these times only: choose them dense enough.
    log_marker
        (n, k) natural log of the marker (insulin or TG:HDL); NaN where it is not defined breaks a stretch.
    glucose_mg_dl
        (n, k) fasting glucose in mg/dL, on the same times; NaN breaks a stretch.
    definition
        The thresholds.

    Returns
    -------
    Windows
        Fields of shape (n,).

    Examples
    --------
    >>> years = np.array([0.0, 1.0, 2.0, 3.0])
    >>> insulin = np.log(np.array([[6.0, 7.0, 8.0, 9.0], [6.0, 6.0, 6.0, 6.0]]))
    >>> find_windows(years, insulin, np.full((2, 4), 92.0)).present.tolist()
    [True, False]
    """
    rule = definition or HiddenWindow()
    marker = np.atleast_2d(np.asarray(log_marker, dtype=float)).T
    normal = (rule.glucose_cut_off_mg_dl > np.atleast_2d(glucose_mg_dl).T) & np.isfinite(marker)
    least = float(np.log1p(rule.min_rise))
    found = search_windows(np.where(normal, marker, 0.0), normal, partners(years, rule.min_years), least)
    present = found.present

    def dated(at: NDArray[np.intp]) -> Floats:
        return np.where(present, years[np.minimum(at, len(years) - 1)], np.nan)

    return Windows(
        present,
        dated(found.start),
        dated(found.end),
        np.where(present, found.log_rise, np.nan),
        dated(found.run_start),
        dated(last_of_run(normal, found.end)),
    )


def partners(years: Floats, min_years: float) -> NDArray[np.intp]:
    """Give for each of the times (k,) the row of the latest one that lies ``min_years`` before it; -1 if none does."""
    return np.searchsorted(years, years - min_years + 1e-9, side="right").astype(np.intp) - 1


_FAR = 16.0
"""More than any log marker rises. Exact in binary, so that little is lost by adding it."""


@dataclass(frozen=True)
class Search:
    """The largest rise (N,) of each curve, and the rows that it lies between.

    ``present`` (N,) where it is large enough; elsewhere ``log_rise`` is no less than it, and the rows mean nothing.
    ``run_start`` is the first row of the stretch of normal glucose they lie in.
    """

    present: NDArray[np.bool_]
    log_rise: Floats
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    run_start: NDArray[np.intp]


def search_windows(
    marker: Floats, normal: NDArray[np.bool_], partner: NDArray[np.intp], least: float, *, dated: bool = True
) -> Search:
    """Find the largest rise of each curve over pairs of times with nothing but normal glucose between them.

    Parameters
    ----------
    marker, normal
        (k, N) log marker, finite, and whether the time counts, times first.
    partner
        (k,) from :func:`partners`.
    least
        The smallest rise that counts, on the log scale.
    dated
        Whether the rows are asked for too; they are 0 otherwise.
    """
    # Most curves rise too little whatever glucose does, and glucose is always normal in most others.
    log_rise = _largest_rise(marker, partner)
    open_ = log_rise >= least - _ROUNDING
    if not dated:
        open_ &= ~normal.all(axis=0)
    searched = np.flatnonzero(open_)
    rows = np.zeros((3, marker.shape[1] if dated else 0), dtype=np.intp)
    some, normal = marker.take(searched, axis=1), normal.take(searched, axis=1)
    log_rise[searched], *found = _search(some, normal, partner, dated=dated)
    if dated:
        rows[:, searched] = found
    return Search(log_rise >= least - 1e-12, log_rise, *rows)


_ROUNDING = 1e-3
"""More than what 32 bits lose of a rise where ``_FAR`` was added a few hundred times."""


def _largest_rise(marker: Floats, partner: NDArray[np.intp]) -> Floats:
    """Give the largest rise (N,) of each curve over pairs of times that lie far enough apart."""
    best, lowest = np.full(marker.shape[1], -np.inf, marker.dtype), np.full(marker.shape[1], np.inf, marker.dtype)
    rise, entered = np.empty_like(best), 0
    for j, far_back in enumerate(partner):
        for e in range(entered, int(far_back) + 1):
            np.minimum(lowest, marker[e], out=lowest)
            entered = e + 1
        if entered:
            np.subtract(marker[j], lowest, out=rise)
            np.maximum(best, rise, out=best)
    return best


def _search(
    marker: Floats, normal: NDArray[np.bool_], partner: NDArray[np.intp], *, dated: bool
) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Give the largest rise of each curve, and the rows ``start``, ``end`` and ``run_start``, empty unless ``dated``.

    Every time that does not count puts all later ones far below all earlier ones: no rise reaches across.
    """
    k, n = marker.shape
    far, broken = marker.dtype.type(_FAR), ~normal
    best, lowest = np.full(n, -np.inf, marker.dtype), np.full(n, np.inf, marker.dtype)
    sunk, values, value = np.zeros_like(best), np.empty_like(marker), np.empty_like(best)
    start, end, run_start, begin, lowest_at = (np.zeros(n if dated else 0, dtype=np.intp) for _ in range(5))
    entered = 0
    for j in range(k):
        np.subtract(marker[j], sunk, out=values[j])
        np.multiply(broken[j], far, out=value)
        np.add(sunk, value, out=sunk)
        if dated:
            begin[broken[j]] = j + 1
        # The lowest marker of the times that lie far enough back.
        for e in range(entered, int(partner[j]) + 1):
            if dated:
                lowest_at[values[e] < lowest] = e
            np.minimum(lowest, values[e], out=lowest)
            entered = e + 1
        if not entered:
            continue
        np.subtract(values[j], value, out=value)
        np.subtract(value, lowest, out=value)
        if dated:
            better = value > best
            start[better], end[better], run_start[better] = lowest_at[better], j, begin[better]
        np.maximum(best, value, out=best)
    return best, start, end, run_start


def last_of_run(normal: NDArray[np.bool_], end: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give the last row of the stretch of normal glucose that row ``end`` (N,) lies in; ``normal`` (k, N)."""
    last = end.copy()
    for j in range(1, len(normal)):
        last[normal[j] & (last == j - 1)] = j
    return last


COURSES = ("steady", "rising", "falling", "recovered", "relapsed")
"""How a course can go."""


def course_of(log_marker: Floats, least: float) -> NDArray[np.intp]:
    """Say how each course went, as rows of :data:`COURSES`.

    A swing is a rise or a fall of at least ``least`` from one turning point to the next, whatever smaller ones lie
    between. No swing: ``steady``. One: ``rising`` or ``falling``. More: ``recovered`` if the last one is a fall,
    ``relapsed`` if it is a rise; what came before it went the other way.

    Parameters
    ----------
    log_marker
        (k, n) natural log of the marker, times first; NaN after the end of a follow-up.
    least
        The smallest swing; a fall counts from the same size as a rise, on the log scale.

    Returns
    -------
    numpy.ndarray
        (n,) row of :data:`COURSES`.

    Examples
    --------
    >>> up_and_down = np.log([[6.0, 9.0, 6.0], [6.0, 6.5, 6.0], [9.0, 6.0, 9.0], [6.0, 7.0, 9.0]]).T
    >>> [COURSES[row] for row in course_of(up_and_down, np.log(1.25))]
    ['recovered', 'steady', 'relapsed', 'rising']
    """
    swing = np.fmax.reduce(log_marker) - np.fmin.reduce(log_marker)
    went = np.zeros(log_marker.shape[1], dtype=np.intp)
    swings = np.flatnonzero(swing >= least - 1e-12)
    went[swings] = _course_of(log_marker.take(swings, axis=1), least)
    return went


def _course_of(log_marker: Floats, least: float) -> NDArray[np.intp]:
    n = log_marker.shape[1]
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    direction, swings = np.zeros(n, dtype=np.int8), np.zeros(n, dtype=np.int8)
    for now in log_marker:
        # Since the last turning point: the highest while rising, the lowest while falling, both before any swing.
        low, high = np.fmin(low, now), np.fmax(high, now)
        rises = (direction <= 0) & (now - low >= least - 1e-12)
        falls = (direction >= 0) & (high - now >= least - 1e-12)
        direction[rises], direction[falls] = 1, -1
        swings = np.minimum(swings + (rises | falls), 2)
        low[falls], high[rises] = now[falls], now[rises]
    ends_high = np.where(swings > 1, 4, 1)
    return np.where(swings == 0, 0, np.where(direction > 0, ends_high, np.where(swings > 1, 3, 2))).astype(np.intp)
