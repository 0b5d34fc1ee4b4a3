"""What a fitted specification says at times of one's own choice: curves, differences, slopes and turning points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError, UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm import Fit, contrasts, robust_covariance
from ircohort.trajectory.alignment import GROUPS
from ircohort.trajectory.specifications.layout import Layout
from ircohort.trajectory.specifications.record import BACKWARD, SpecificationFit

Floats = NDArray[np.float64]

LIMITS = ("low", "high", "low_simultaneous", "high_simultaneous")
_DRAWS = 2000


@dataclass(frozen=True)
class TurningPoint:
    """Where a curve is highest.

    ``status``: ``inside`` the supported years, or ``at_start`` or ``at_end`` of them: then the curve only falls or
    only rises there, and ``years`` is None. ``low`` and ``high`` (95 %) are None where they lie beyond an edge;
    ``share_inside`` is the share of draws that have the highest value inside.
    """

    status: str
    years: float | None
    low: float | None
    high: float | None
    share_inside: float


def curves_of(layout: Layout, record: Fit, *, covariance: str, simultaneous: bool) -> pl.DataFrame:
    """Read the curves of both groups in natural units, of a log outcome as geometric means."""
    times = layout.times()
    tables = []
    for group, case in zip(GROUPS, (True, False), strict=True):
        found = _estimates(record, layout.design(record, times, case=case), covariance, simultaneous)
        if layout.outcome.log:
            found = found.with_columns(pl.all().exp())
        tables.append(
            found.select(
                pl.lit(group).alias("group"),
                pl.Series(layout.specification.axis, times),
                pl.col("estimate").alias("fitted"),
                *LIMITS,
                pl.lit(layout.outcome.unit).alias("unit"),
            )
        )
    return pl.concat(tables)


def differences_of(layout: Layout, record: Fit, *, covariance: str, simultaneous: bool) -> pl.DataFrame:
    """Subtract the comparison group from the cases: in natural units, and for log outcomes as a ratio too."""
    times = layout.times()
    cases, others = (layout.design(record, times, case=case) for case in (True, False))
    apart = _estimates(record, cases - others, covariance, simultaneous)
    if not layout.outcome.log:
        return _difference_table(layout, times, "difference", apart)
    ratio = apart.with_columns(pl.all().exp())
    # The delta method: exp(a) - exp(b) changes with the coefficients by exp(a) x_a - exp(b) x_b.
    means = [np.exp(rows @ record.coefficients)[:, None] for rows in (cases, others)]
    linear = _estimates(record, means[0] * cases - means[1] * others, covariance, simultaneous)
    shift = pl.Series((means[0] - means[1])[:, 0]) - linear["estimate"]
    natural = linear.with_columns(pl.all() + shift)
    return pl.concat(
        [_difference_table(layout, times, "difference", natural), _difference_table(layout, times, "ratio", ratio)]
    )


def slope_between(found: SpecificationFit, start: float, end: float, *, group: str = "cases") -> Any:
    """Give the mean change per year of one group between two times, in natural units.

    Parameters
    ----------
    found
        A fitted specification of an outcome that is not on the log scale.
    start, end
        Times on its axis, years.
    group
        ``cases`` or ``comparison``.

    Returns
    -------
    data frame
        Of the kind that was fitted; one row: ``estimate``, ``low``, ``high`` (95 %), per year.

    Raises
    ------
    UsageError
        If there is no such group or the two times are the same.
    ModelError
        If the outcome is on the log scale, or a time lies outside the curves.
    """
    if group not in GROUPS or start == end:
        raise UsageError("A slope needs a group, cases or comparison, and two times.")
    if found.outcome.log:
        raise ModelError(f"{found.outcome.label} is modelled on the log scale and has no slope in natural units.")
    times = found.layout.times()
    if min(start, end) < times[0] - 1e-9 or max(start, end) > times[-1] + 1e-9:
        raise ModelError(f"The curves reach from {times[0]:g} to {times[-1]:g} years only.")
    rows = found.layout.design(found.fit, np.array([start, end]), case=group == "cases")
    slope = _estimates(found.fit, (rows[1:] - rows[:1]) / (end - start), found.covariance, False)
    return kind_of(found.curves)(slope.select("estimate", "low", "high"))


def turning_point(found: SpecificationFit, *, group: str = "cases", seed: int = 0) -> TurningPoint:
    """Find where the curve of a group is highest, with an interval from normal draws of the fixed effects.

    Parameters
    ----------
    found
        A fitted specification.
    group
        ``cases`` or ``comparison``.
    seed
        Of the draws.

    Raises
    ------
    UsageError
        If there is no such group.
    """
    if group not in GROUPS:
        raise UsageError(f"There is no group {group!r}.", expected=f"Known are: {', '.join(GROUPS)}.")
    times = found.layout.times()
    rows = found.layout.design(found.fit, times, case=group == "cases")
    robust = found.covariance != "model"
    values, vectors = np.linalg.eigh(
        robust_covariance(found.fit, found.covariance) if robust else found.fit.fixed_covariance
    )
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    draws = np.random.default_rng(seed).standard_normal((_DRAWS, len(values))) @ root.T
    highest = _highest(times, np.vstack([found.fit.coefficients, found.fit.coefficients + draws]) @ rows.T)
    low, high = np.quantile(highest[1:], (0.025, 0.975), method="inverted_cdf")
    inside = np.isfinite(highest)
    return TurningPoint(
        "inside" if inside[0] else "at_start" if highest[0] < 0 else "at_end",
        float(highest[0]) if inside[0] else None,
        float(low) if np.isfinite(low) else None,
        float(high) if np.isfinite(high) else None,
        float(inside[1:].mean()),
    )


def require_possible(layout: Layout, curves: pl.DataFrame) -> None:
    """Refuse curves outside of what groups of living people show; single false readings bend them so.

    Raises
    ------
    ModelError
        If a fitted mean leaves ``outcome.possible``.
    """
    low, high = layout.outcome.possible
    if not curves["fitted"].is_between(low, high).all():
        raise ModelError(
            f"The fitted curve of {layout.outcome.label} leaves {low:g} to {high:g} {layout.outcome.unit}, where no "
            "group of people is.",
            next_step="Look for typing errors among the readings.",
        )


def _highest(times: Floats, curves: Floats) -> Floats:
    """Give the time of the highest value of each curve (m, k); infinite where it is at an edge."""
    at = curves.argmax(axis=1)
    found = times[at]
    found = np.where(at == 0, -np.inf, found)
    return np.where(at == len(times) - 1, np.inf, found)


def _estimates(record: Fit, rows: Floats, covariance: str, simultaneous: bool) -> pl.DataFrame:
    """Estimate the means of rows (k, p) with limits; those of the whole curve are null unless asked for."""
    table = to_polars(contrasts(record, rows, covariance=covariance, simultaneous=simultaneous))
    absent = [pl.lit(None, pl.Float64).alias(name) for name in LIMITS if name not in table.columns]
    return table.with_columns(absent).select("estimate", *LIMITS)


def _difference_table(layout: Layout, times: Floats, measure: str, found: pl.DataFrame) -> pl.DataFrame:
    unit = "1" if measure == "ratio" else layout.outcome.unit
    axis = pl.Series(layout.specification.axis, times)
    return found.select(axis, pl.lit(measure).alias("measure"), pl.all(), pl.lit(unit).alias("unit"))


def at_time(table: pl.DataFrame, time: float, axis: str = BACKWARD) -> pl.DataFrame:
    """Give the rows of a table of curves at one time."""
    return table.filter((pl.col(axis) - time).abs() < 1e-9)
