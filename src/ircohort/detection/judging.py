"""From drawn courses to numbers about each series: probability, rise, dates, yearly changes, course and stage."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.curves import Axes
from ircohort.estimand import COURSES, HiddenWindow, Search, course_of, last_of_run, search_windows

Floats = NDArray[np.float64]
Draws = NDArray[np.float32]

STEP_YEARS = 0.25
"""Widest step of the grid on which drawn courses are judged."""

LEAST_STEPS = 8
"""A follow-up has at least so many steps."""

CURVE_POINTS = 17
"""Times at which a fitted curve is given, evenly from the first to the last visit used."""

LEVELS = (0.025, 0.5, 0.975)
_HOMA_B_POLE_MG_DL = 63.0
_EVERY = 2  # courses turn slowly: every second step of the grid shows them


@dataclass(frozen=True)
class Drawn:
    """Drawn courses of n series: ``courses`` (d, n, draws) on ``axes``, and the ``follow_up`` (n,) of each in years."""

    axes: Axes
    courses: Floats | Draws
    follow_up: Floats

    def at(self, outcome: str, years: Floats) -> Floats:
        """Natural log of an outcome (p, n, draws) at ``years`` (p, n) since the beginning of the series."""
        rows = self.axes.place(outcome)
        basis = self.axes.basis(years)[..., : rows.stop - rows.start]
        j = self.axes.outcomes.index(outcome)
        # One matrix product per series: (p, k) by (k, draws); the first polynomial is 1 and carries the mean.
        kind = self.courses.dtype.type
        scaled = kind(self.axes.sd[j]) * self.courses[rows]
        scaled[0] += kind(self.axes.mean[j])
        values = np.empty((len(basis), *scaled.shape[1:]), dtype=kind)
        np.matmul(basis.astype(kind).transpose(1, 0, 2), scaled.transpose(1, 0, 2), out=values.transpose(1, 0, 2))
        return values

    def take(self, series: NDArray[np.intp]) -> Drawn:
        """Keep some of the series."""
        return replace(self, courses=self.courses[:, series], follow_up=self.follow_up[series])


@dataclass(frozen=True)
class Grid:
    """The times on which series are judged together: ``years`` (k, n), and the rows that ``min_years`` are wide."""

    years: Floats
    lag: int

    @property
    def partner(self) -> NDArray[np.intp]:
        """The row that lies ``min_years`` before each row, below zero where none does."""
        return np.arange(len(self.years)) - self.lag


def grids(follow_up: Floats, min_years: float) -> list[tuple[NDArray[np.intp], Grid]]:
    """Group series (n,) by the shape of their grid, which runs evenly over the own follow-up in years.

    The width in rows is that which covers ``min_years``: up to one step more, never less.
    """
    steps = np.maximum(LEAST_STEPS, np.ceil(follow_up / STEP_YEARS - 1e-9)).astype(np.intp)
    step = np.maximum(follow_up, 1e-9) / steps
    lag = np.minimum(np.ceil(min_years / step - 1e-6), steps + 1).astype(np.intp)
    shapes = np.unique(np.column_stack([steps, lag]), axis=0)
    groups = []
    for count, width in shapes:
        who = np.flatnonzero((steps == count) & (lag == width))
        groups.append((who, Grid(np.linspace(0.0, 1.0, count + 1)[:, None] * follow_up[who], int(width))))
    return groups


@dataclass(frozen=True)
class _Curves:
    """Drawn curves of series on one grid: ``marker`` (k, N) log, ``normal`` (k, N) whether glucose is."""

    marker: Floats
    normal: NDArray[np.bool_]


def _curves(drawn: Drawn, marker: str, grid: Grid, rule: HiddenWindow) -> _Curves:
    k = len(grid.years)
    normal = drawn.at("glucose", grid.years) < np.log(rule.glucose_cut_off_mg_dl)
    return _Curves(drawn.at(marker, grid.years).reshape(k, -1), normal.reshape(k, -1))


def _searched(curves: _Curves, grid: Grid, rule: HiddenWindow, *, dated: bool = False) -> Search:
    """Search curves on one grid."""
    return search_windows(curves.marker, curves.normal, grid.partner, float(np.log1p(rule.min_rise)), dated=dated)


def window_draws(drawn: Drawn, marker: str, rule: HiddenWindow) -> NDArray[np.bool_]:
    """Say which draws (n, draws) hold a hidden window."""
    return window_draws_beyond(drawn, marker, rule, None)[0]


def window_draws_beyond(
    drawn: Drawn, marker: str, rule: HiddenWindow, expected: Floats | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Say which draws (n, draws) hold a hidden window, and which do once an expected change is taken off.

    ``expected`` (n,) change of the log marker per year; where None, so is the second answer.
    """
    present = np.empty(drawn.courses.shape[1:], dtype=bool)
    beyond = None if expected is None else np.zeros_like(present)
    for who, grid in grids(drawn.follow_up, rule.min_years):
        curves = _curves(drawn.take(who), marker, grid, rule)
        found = _searched(curves, grid, rule).present
        present[who] = found.reshape(len(who), -1)
        if expected is not None and beyond is not None:
            # Less of a rise is no window where all of it was none: such draws need not be searched again.
            draws = drawn.courses.shape[2]
            open_ = np.flatnonzero(found | np.repeat(expected[who] < 0, draws))
            course = (expected[who] * grid.years).astype(curves.marker.dtype).take(open_ // draws, axis=1)
            less = _Curves(curves.marker.take(open_, axis=1) - course, curves.normal.take(open_, axis=1))
            answer = np.zeros(found.size, dtype=bool)
            answer[open_] = _searched(less, grid, rule).present
            beyond[who] = answer.reshape(len(who), -1)
    return present, beyond


@dataclass(frozen=True)
class Dated:
    """The windows of n series, over the draws that hold one; NaN where no draw does.

    ``log_rise``, ``start``, ``end`` (n, 3): 2.5 %, 50 % and 97.5 % points, times in years since the beginning of the
    series. Shares (n,) of those draws: ``opens_late``, glucose was not normal at the beginning or the marker turned up
    only later; ``crosses``, glucose leaves the normal range; ``falls_back``, the marker loses half of its rise.
    """

    log_rise: Floats
    start: Floats
    end: Floats
    opens_late: Floats
    crosses: Floats
    falls_back: Floats


def date_windows(drawn: Drawn, marker: str, rule: HiddenWindow) -> Dated:
    """Date the windows of each series."""
    n = len(drawn.follow_up)
    triples, shares = np.full((3, n, 3), np.nan), np.full((3, n), np.nan)
    for who, grid in grids(drawn.follow_up, rule.min_years):
        curves = _curves(drawn.take(who), marker, grid, rule)
        log_marker, normal = curves.marker, curves.normal
        found = _searched(curves, grid, rule, dated=True)
        k, shape = len(grid.years), (len(who), -1)
        there, column = found.present.reshape(shape), np.arange(found.present.size)
        falls_back = log_marker[found.end, column] - log_marker[-1] >= 0.5 * found.log_rise
        last = last_of_run(normal, found.end)
        step = grid.years[1][:, None]
        values = (found.log_rise.reshape(shape), found.start.reshape(shape) * step, found.end.reshape(shape) * step)
        triples[:, who] = [quantiles_where(value, there) for value in values]
        seen: list[NDArray[np.bool_]] = [found.start > 0, last < k - 1, falls_back & (last == k - 1)]
        with np.errstate(invalid="ignore"):
            shares[:, who] = [(flag.reshape(shape) & there).sum(axis=1) / there.sum(axis=1) for flag in seen]
    return Dated(triples[0], triples[1], triples[2], shares[0], shares[1], shares[2])


def quantiles_where(values: Floats, there: NDArray[np.bool_]) -> Floats:
    """2.5 %, 50 % and 97.5 % points (n, 3) of each row of values (n, draws) where they are there; NaN where none is."""
    ordered = np.sort(np.where(there, values, np.inf), axis=1)
    top = np.maximum(there.sum(axis=1) - 1, 0)
    place = top[:, None] * np.array(LEVELS)
    below = np.floor(place).astype(np.intp)
    low, high = (np.take_along_axis(ordered, at, axis=1) for at in (below, np.minimum(below + 1, top[:, None])))
    with np.errstate(invalid="ignore"):
        points = low + (place - below) * (high - low)
    return np.where(np.any(there, axis=1, keepdims=True), points, np.nan)


def quantiles(values: Floats) -> Floats:
    """2.5 %, 50 % and 97.5 % points over the last axis, as the first axis of the result."""
    ordered = np.sort(values, axis=-1)
    place = (values.shape[-1] - 1) * np.array(LEVELS)
    below = np.floor(place).astype(np.intp)
    low, high = ordered[..., below], ordered[..., np.minimum(below + 1, values.shape[-1] - 1)]
    return np.moveaxis(low + (place - below) * (high - low), -1, 0)


@dataclass(frozen=True)
class Ends:
    """Drawn values at both ends of the follow-up of n series: ``change`` of log outcomes and glucose, (n, draws).

    ``marker`` is the change of the log marker over the follow-up, ``glucose`` that of log glucose; ``first_mg_dl`` and
    ``last_mg_dl`` glucose.
    """

    marker: Floats
    glucose: Floats
    first_mg_dl: Floats
    last_mg_dl: Floats


def ends_of(drawn: Drawn, marker: str) -> Ends:
    """Read off both ends of the drawn courses."""
    years = np.stack([np.zeros_like(drawn.follow_up), drawn.follow_up])
    log_marker, log_glucose = drawn.at(marker, years), drawn.at("glucose", years)
    first, last = np.exp(log_glucose)
    return Ends(log_marker[1] - log_marker[0], log_glucose[1] - log_glucose[0], first, last)


def course(drawn: Drawn, marker: str, ends: Ends, rule: HiddenWindow, sure_from: float, turns: Floats) -> list[str]:
    """Name the course of the marker of each series.

    ``recovered`` or ``relapsed`` where it probably turned by as much as a window must rise, by the share of the draws
    (:func:`ircohort.estimand.course_of`) or by the excursions from a line, ``turns`` (2, n); else ``rising`` or
    ``falling`` where a share ``sure_from`` of the draws ends higher, or lower, than it began; else ``steady``.
    """
    turned = turns.copy()
    for who, grid in grids(drawn.follow_up, rule.min_years):
        log_marker = drawn.take(who).at(marker, grid.years[::_EVERY])
        went = course_of(log_marker.reshape(len(log_marker), -1), np.log1p(rule.min_rise)).reshape(len(who), -1)
        own = [(went == COURSES.index(name)).mean(axis=1) for name in ("recovered", "relapsed")]
        turned[:, who] = np.maximum(turned[:, who], own)
    up, down = (ends.marker > 0).mean(axis=1), (ends.marker < 0).mean(axis=1)
    words = np.select(
        [turned[0] >= 0.5, turned[1] >= 0.5, up >= sure_from, down >= sure_from],
        ["recovered", "relapsed", "rising", "falling"],
        "steady",
    )
    return [str(word) for word in words]


def stage(ends: Ends, sure_from: float, cut_off_mg_dl: float) -> list[str | None]:
    """Name the stage of each series judged by insulin: ``compensating``, ``failing`` or None.

    Compensating: insulin and HOMA-%B rise. Failing: HOMA-%B falls while glucose rises. Both only where the median of
    fitted glucose at the last visit is still normal. HOMA-%B = 360 insulin / (glucose - 63), so its log changes by the
    change of log insulin less that of log(glucose - 63); where fitted glucose is at or below 63 mg/dL it is not
    defined, and the draw counts for neither. Never HOMA-%B times %S: insulin cancels in it.
    """
    defined = (ends.first_mg_dl > _HOMA_B_POLE_MG_DL) & (ends.last_mg_dl > _HOMA_B_POLE_MG_DL)
    above = [np.log(np.where(defined, g - _HOMA_B_POLE_MG_DL, 1.0)) for g in (ends.first_mg_dl, ends.last_mg_dl)]
    beta = ends.marker - (above[1] - above[0])
    compensating = (defined & (ends.marker > 0) & (beta > 0)).mean(axis=1) >= sure_from
    failing = (defined & (beta < 0) & (ends.glucose > 0)).mean(axis=1) >= sure_from
    normal = np.median(ends.last_mg_dl, axis=1) < cut_off_mg_dl
    return [
        "compensating" if good and up else "failing" if good and down else None
        for good, up, down in zip(normal, compensating, failing, strict=True)
    ]


def fitted_curve(drawn: Drawn, outcome: str) -> tuple[Floats, Floats]:
    """Give times (p, n) since the beginning of the series, and low, middle and high fit (3, p, n) of an outcome."""
    years = np.linspace(0.0, 1.0, CURVE_POINTS)[:, None] * drawn.follow_up
    return years, np.exp(quantiles(drawn.at(outcome, years)))
