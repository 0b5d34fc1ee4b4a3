"""Landmarks of curves: onset of a difference, the hidden window, the lead. Arrays in, arrays out.

A set of curves is an array (m, k): m curves (the estimate, or its refits) on k times from the earliest supported
year to the event. Times beyond the edge of the data are -inf (before the earliest year) and +inf (not before the
event).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Windows:
    """The hidden window of m pairs of curves: ``years`` (m,) its length within the data, ``open_at_event`` (m,)."""

    years: Floats
    open_at_event: NDArray[np.bool_]


def find_onsets(times: Floats, difference: Floats, size: float) -> Floats:
    """Find the earliest time from which each curve stays at or above ``size`` until the last time.

    Between two times the curve is taken as straight. A curve with NaN has a NaN onset.

    Parameters
    ----------
    times
        (k,) increasing, the last the event.
    difference
        (m, k).
    size
        What counts as raised.

    Returns
    -------
    numpy.ndarray
        (m,) times; -inf where the curve is raised throughout, +inf where it is not raised at the event.

    Examples
    --------
    >>> find_onsets(np.array([-2.0, -1.0, 0.0]), np.array([[0.0, 0.2, 0.4], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0]]), 0.3)
    array([-0.5, -inf,  inf])
    """
    curves = np.atleast_2d(difference)
    raised = curves >= size
    raised_at_end = np.argmax(~raised[:, ::-1], axis=1)  # how many of the last times
    throughout = raised.all(axis=1)
    last = curves.shape[1] - 1
    after = np.clip(last - raised_at_end + 1, min(1, last), last)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(curves))
    low, high = curves[rows, before], curves[rows, after]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((size - low) / (high - low), 0.0, 1.0)
    onset = times[before] + share * (times[after] - times[before])
    onset = np.where(raised_at_end == 0, np.inf, onset)
    onset = np.where(throughout, -np.inf, onset)
    result: Floats = np.where(np.isnan(curves).any(axis=1), np.nan, onset)
    return result


def find_windows(times: Floats, onsets: Floats, glucose: Floats, cut_off: float) -> Windows:
    """Measure from each onset to the first time at which glucose reaches the cut-off, else to the event.

    Parameters
    ----------
    times
        (k,) increasing, the last the event.
    onsets
        (m,) from :func:`find_onsets`; one before the data is measured from the earliest time.
    glucose
        (m, k) fitted glucose of the cases, in the unit of ``cut_off``.

    Returns
    -------
    Windows
        Zero years where there is no onset, or where glucose is at the cut-off by then; NaN for a NaN curve.

    Examples
    --------
    >>> find_windows(np.array([-2.0, -1.0, 0.0]), np.array([-2.0]), np.array([[90.0, 95.0, 105.0]]), 100.0).years
    array([1.5])
    """
    starts = np.clip(onsets, times[0], times[-1])
    ends = np.array([_first_reach(times, curve, start, cut_off) for curve, start in zip(glucose, starts, strict=True)])
    years = np.where(np.isposinf(onsets), 0.0, np.where(np.isposinf(ends), times[-1], ends) - starts)
    bad = np.isnan(onsets) | np.isnan(glucose).any(axis=1)
    return Windows(np.where(bad, np.nan, years), np.isposinf(ends))


def _first_reach(times: Floats, curve: Floats, start: float, level: float) -> float:
    """First time from ``start`` at which the curve is at or above ``level``; +inf if never."""
    if np.isnan(start) or np.isnan(curve).any():
        return float("nan")
    if np.interp(start, times, curve) >= level:
        return start
    reached = np.flatnonzero((times > start) & (curve >= level))
    if not len(reached):
        return float("inf")
    k = int(reached[0])
    share = (level - curve[k - 1]) / (curve[k] - curve[k - 1])
    return float(max(start, times[k - 1] + share * (times[k] - times[k - 1])))


def leads(marker: Floats, glucose: Floats) -> Floats:
    """Years by which each marker onset precedes glucose's (m,); ±inf where one is censored, NaN where both are."""
    with np.errstate(invalid="ignore"):
        difference: Floats = glucose - marker
    return np.where(np.isinf(marker) & np.isinf(glucose), np.nan, difference)


def simultaneous_limits(curves: Floats, level: float = 0.95) -> Floats:
    """Give limits (2, k) that hold whole curves in ``level`` of the refits: symmetric, as many SDs wide everywhere.

    Parameters
    ----------
    curves
        (1 + m, k): the estimate, then its refits. With fewer than two refits the limits are NaN.

    Source
    ------
    Davison and Hinkley 1997, Bootstrap Methods, section 4.2.4, doi:10.1017/CBO9780511802843.

    Examples
    --------
    >>> simultaneous_limits(np.array([[0.0], [-1.0], [1.0]]))
    array([[-1.],
           [ 1.]])
    """
    estimate, refits = curves[0], curves[1:]
    if len(refits) < 2:
        return np.full((2, len(estimate)), np.nan)
    away = np.abs(refits - estimate)
    sd = np.sqrt((away**2).mean(axis=0))
    with np.errstate(invalid="ignore"):
        largest = np.nanmax(np.where(sd > 0, away / sd, 0.0), axis=1)
    reach = np.quantile(largest, level, method="higher") * sd
    return np.stack([estimate - reach, estimate + reach])


def interval(draws: Floats) -> tuple[float | None, float | None]:
    """Give the 95 % percentile interval of draws in which ±inf lies beyond the edge of the data.

    NaN draws could lie anywhere and widen both ends. An end beyond the edge is None. Ends are order statistics,
    because nothing can be interpolated towards infinity.

    Examples
    --------
    >>> interval(np.array([-np.inf] * 10 + [-3.0] * 90))
    (None, -3.0)
    """
    if not len(draws):
        return None, None
    low = float(np.quantile(np.where(np.isnan(draws), -np.inf, draws), INTERVAL[0], method="lower"))
    high = float(np.quantile(np.where(np.isnan(draws), np.inf, draws), INTERVAL[1], method="higher"))
    return (low if np.isfinite(low) else None, high if np.isfinite(high) else None)
