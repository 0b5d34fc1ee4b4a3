"""From drawn curves to numbers about each person: probability, rise, dates, yearly changes, course and stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.estimand import HiddenWindow, Windows, find_windows

Floats = NDArray[np.float64]

CURVE_POINTS = 17
"""Times at which a person's fitted curves are given, evenly from the first to the last visit used."""

_STEP_YEARS = 0.25  # widest step of the grid on which drawn curves are judged
_LEVELS = (0.025, 0.5, 0.975)
_HOMA_B_POLE_MG_DL = 63.0


@dataclass(frozen=True)
class Findings:
    """What the draws of ``n`` people say. Triples (n, 3) are 2.5 %, 50 % and 97.5 % points, NaN where no draw has it.

    ``probability`` (n,) of a hidden window; ``beyond`` (n,) of one in the marker less the cohort's mean course, NaN
    where not asked for; ``rising`` (n,) probability that the marker rises enough over the whole follow-up, glucose
    aside; ``log_rise``, ``start``, ``end`` (n, 3) of the draws that hold a window; ``step`` (n,) years of the grid.
    """

    probability: Floats
    beyond: Floats
    rising: Floats
    log_rise: Floats
    start: Floats
    end: Floats
    step: Floats


def grid(first: float, last: float) -> Floats:
    """Give times from the first to the last visit, at most a quarter of a year apart, at least nine."""
    return np.linspace(first, last, max(9, int(np.ceil((last - first) / _STEP_YEARS - 1e-9)) + 1))


def windows_of(lines: Floats, years: Floats, rule: HiddenWindow, expected_slope: float = 0.0) -> tuple[float, Windows]:
    """Judge the drawn lines (4, d) of one person at ``years``: share with a window, and those windows.

    ``expected_slope`` (log per year) is taken off the marker first. Lines that cannot rise enough over the whole
    follow-up, or whose glucose is never normal, hold no window and are not put to the test.
    """
    level, slope, glucose_level, glucose_slope = lines
    ends = np.minimum(glucose_level + glucose_slope * years[0], glucose_level + glucose_slope * years[-1])
    rise = (slope - expected_slope) * (years[-1] - years[0])
    able = (rise >= np.log1p(rule.min_rise) - 1e-9) & (ends < np.log(rule.glucose_cut_off_mg_dl) + 1e-9)
    marker = level[able, None] + (slope[able, None] - expected_slope) * years
    glucose = np.exp(glucose_level[able, None] + glucose_slope[able, None] * years)
    windows = find_windows(years, marker, glucose, rule)
    return float(windows.present.sum()) / lines.shape[1], windows


def _spread(values: Floats) -> Floats:
    return np.quantile(values, _LEVELS) if len(values) else np.full(3, np.nan)


def judge(
    lines: Floats, first: Floats, last: Floats, rule: HiddenWindow, expected_slope: float | None = None
) -> Findings:
    """Judge the drawn lines (4, n, d) of n people over their follow-up, ``first`` to ``last`` (n,) in years."""
    n = lines.shape[1]
    probability, beyond, step = np.zeros(n), np.full(n, np.nan), np.zeros(n)
    log_rise, start, end = (np.full((n, 3), np.nan) for _ in range(3))
    for i in range(n):
        years = grid(first[i], last[i])
        own = np.ascontiguousarray(lines[:, i])
        probability[i], windows = windows_of(own, years, rule)
        step[i] = years[1] - years[0]
        there = windows.present
        log_rise[i], start[i], end[i] = (
            _spread(field[there]) for field in (windows.log_rise, windows.start, windows.end)
        )
        if expected_slope is not None:
            beyond[i] = windows_of(own, years, rule, expected_slope)[0]
    rising = (lines[1] * (last - first)[:, None] >= np.log1p(rule.min_rise)).mean(axis=1)
    return Findings(probability, beyond, rising, log_rise, start, end, step)


def quantiles(values: Floats) -> Floats:
    """2.5 %, 50 % and 97.5 % points over the last axis, as the first axis of the result."""
    return np.asarray(np.quantile(values, _LEVELS, axis=-1))


def glucose_change(lines: Floats, first: Floats, last: Floats) -> Floats:
    """Yearly change of glucose in mg/dL (n, d), at the level in the middle of the follow-up."""
    middle = 0.5 * (first + last)[:, None]
    return np.asarray(np.exp(lines[2] + lines[3] * middle) * lines[3])


def direction(slope: Floats, sure_from: float) -> list[str]:
    """``rising``, ``falling`` or ``steady`` (n,) by the share of drawn slopes (n, d) on either side of zero."""
    up, down = (slope > 0).mean(axis=1), (slope < 0).mean(axis=1)
    words: list[str] = np.where(up >= sure_from, "rising", np.where(down >= sure_from, "falling", "steady")).tolist()
    return words


def stage(lines: Floats, first: Floats, last: Floats, sure_from: float, cut_off_mg_dl: float) -> list[str | None]:
    """``compensating``, ``failing`` or None (n,), by insulin, HOMA-%B and glucose together.

    Compensating: insulin and HOMA-%B rise. Failing: HOMA-%B falls while glucose rises. Both only where the median of
    fitted glucose at the last visit is still normal. HOMA-%B = 360 insulin / (glucose - 63), so its log changes by the
    change of log insulin less that of log(glucose - 63); where fitted glucose is at or below 63 mg/dL it is not
    defined, and the draw counts for neither. Never HOMA-%B times %S: insulin cancels in it.
    """
    at_first, at_last = (np.exp(lines[2] + lines[3] * t[:, None]) for t in (first, last))
    defined = (at_first > _HOMA_B_POLE_MG_DL) & (at_last > _HOMA_B_POLE_MG_DL)
    above = [np.log(np.where(defined, g - _HOMA_B_POLE_MG_DL, 1.0)) for g in (at_first, at_last)]
    beta = lines[1] * (last - first)[:, None] - (above[1] - above[0])
    compensating = (defined & (lines[1] > 0) & (beta > 0)).mean(axis=1) >= sure_from
    failing = (defined & (beta < 0) & (lines[3] > 0)).mean(axis=1) >= sure_from
    normal = np.median(at_last, axis=1) < cut_off_mg_dl
    return [
        "compensating" if good and up else "failing" if good and down else None
        for good, up, down in zip(normal, compensating, failing, strict=True)
    ]


def curves(lines: Floats, outcome: int, first: Floats, last: Floats) -> tuple[Floats, Floats]:
    """Give times (n, p) and low, middle and high fit (3, n, p) of the marker (outcome 0) or glucose (outcome 1)."""
    share = np.linspace(0.0, 1.0, CURVE_POINTS)
    years = first[:, None] + (last - first)[:, None] * share
    level, slope = lines[2 * outcome], lines[2 * outcome + 1]
    fitted = [quantiles(level + slope * years[:, p, None]) for p in range(CURVE_POINTS)]
    return years, np.exp(np.stack(fitted, axis=2))


def in_blocks(total: int, size: int) -> list[slice]:
    """Cut ``total`` people into blocks of ``size``, to bound the memory."""
    return [slice(begin, min(begin + size, total)) for begin in range(0, total, size)]
