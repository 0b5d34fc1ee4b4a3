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
    marker = np.atleast_2d(np.asarray(log_marker, dtype=float))
    normal = (np.atleast_2d(glucose_mg_dl) < rule.glucose_cut_off_mg_dl) & np.isfinite(marker)
    n, k = marker.shape
    best = np.full(n, -np.inf)
    start, end, run_start, run_end = (np.full(n, np.nan) for _ in range(4))
    lowest, lowest_at, opened = np.full(n, np.inf), np.full(n, np.nan), np.full(n, np.nan)
    entered = np.zeros(n, dtype=int)  # first time index of the current stretch not yet offered as a low point
    in_best_run = np.zeros(n, dtype=bool)
    for j in range(k):
        begins = normal[:, j] & np.isnan(opened)
        opened[begins], entered[begins] = years[j], j
        ended = ~normal[:, j]
        opened[ended], lowest[ended], lowest_at[ended], in_best_run[ended] = np.nan, np.inf, np.nan, False
        while True:
            offer = normal[:, j] & (entered <= j) & (years[np.minimum(entered, j)] <= years[j] - rule.min_years + 1e-9)
            if not offer.any():
                break
            rows = np.flatnonzero(offer)
            candidate = marker[rows, entered[rows]]
            lower = candidate < lowest[rows]
            lowest[rows[lower]] = candidate[lower]
            lowest_at[rows[lower]] = years[entered[rows[lower]]]
            entered[rows] += 1
        rise = np.where(normal[:, j], marker[:, j] - lowest, -np.inf)
        better = rise > best
        best[better], start[better], end[better] = rise[better], lowest_at[better], years[j]
        run_start[better], in_best_run[better] = opened[better], True
        run_end[in_best_run] = years[j]
    present = best >= np.log1p(rule.min_rise) - 1e-12
    blank = ~present
    for field in (start, end, run_start, run_end):
        field[blank] = np.nan
    return Windows(present, start, end, np.where(present, best, np.nan), run_start, run_end)
