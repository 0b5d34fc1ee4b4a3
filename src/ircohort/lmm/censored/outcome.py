"""From a frame with readings and bounds to arrays: which visits are exact, censored or missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, FormulaError, ModelError, UsageError
from ircohort.lmm.censored.truncated import truncated_moments
from ircohort.lmm.design import Design, build_design, rows_for
from ircohort.lmm.formula import ModelFormula

Floats = NDArray[np.float64]

SCALES: Mapping[str, Callable[[Floats], Floats]] = {"": np.asarray, "log": np.log, "sqrt": np.sqrt}
"""Transforms of the response that carry bounds over: each is increasing and looks at one value only."""

_Y, _LOW, _HIGH, _CENSORED = "__y", "__low", "__high", "__censored"  # no name that a formula can hold


@dataclass(frozen=True, eq=False)
class CensoredDesign:
    """The arrays of a model with N visits, and what is known of the censored ones.

    In ``design``, ``y`` (N,) holds the exact reading, or for a censored visit a value within its bounds to start
    from. ``low`` and ``high`` (N,) are the bounds on the scale of the model, where ``censored`` (N,).
    """

    design: Design
    low: Floats
    high: Floats
    censored: NDArray[np.bool_]


def read_outcome(formula: ModelFormula, frame: pl.DataFrame, lower: str, upper: str) -> CensoredDesign:
    """Make the arrays of a model with a censored response.

    A visit with a bound at either end is censored, whatever its reading says; with both bounds equal it is exact;
    without bounds its reading counts; without reading and bounds it is missing.

    Raises
    ------
    UsageError
        If a lower bound lies above the upper one.
    ColumnError
        If a column is absent or holds no numbers.
    FormulaError
        If the response is transformed by anything but log or sqrt, or is used as a term as well.
    ModelError
        If no visit is complete, or a reading or a bound has no finite transform.
    """
    scale, name = _scale_of(formula.response)
    table = _with_bounds(frame, name, lower, upper, scale)
    # Knots and means are those of all visits with a reading or a bound; what it says is not needed for them.
    table = table.with_columns(pl.when(pl.col(_CENSORED).is_not_null()).then(1.0).alias(name))
    design = build_design(formula, table)
    specs = (design.basis.fixed_spec, design.basis.random_spec)
    if name in {str(variable) for spec in specs for variable in spec.required_variables}:
        raise FormulaError(f"The response {name} is also a term of the formula.")
    table = table.sort(formula.group, *formula.variables, _Y, _LOW, _HIGH)
    X, Z = (rows_for(design.basis, spec, table) for spec in specs)
    usable = table.select(pl.col(_CENSORED, formula.group).is_not_null()).to_numpy().all(axis=1)
    keep = usable & np.isfinite(X).all(axis=1) & np.isfinite(Z).all(axis=1)
    table = table.filter(pl.Series(keep))
    groups = table[formula.group]
    starts = np.flatnonzero(np.r_[True, (groups != groups.shift(1)).to_numpy()[1:]])
    y, low, high, censored = (table[column].to_numpy().copy() for column in (_Y, _LOW, _HIGH, _CENSORED))
    y[censored] = within(y[~censored], low[censored], high[censored])
    ids = groups.gather(starts)
    design = replace(design, y=y, X=X[keep], Z=Z[keep], starts=starts, participant_ids=ids)
    return CensoredDesign(design, low, high, censored)


def within(exact: Floats, low: Floats, high: Floats) -> Floats:
    """Give for each interval the mean, within it, of a normal distribution that roughly fits all readings."""
    ends = np.concatenate([exact, low, high])
    ends = ends[np.isfinite(ends)]
    spread = float(np.std(ends)) or 1.0
    found = truncated_moments((low - ends.mean()) / spread, (high - ends.mean()) / spread)
    values: Floats = ends.mean() + spread * found.mean
    return values


def _scale_of(response: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\w+)|(\w+) ?\( ?(\w+) ?\)", response)
    scale, name = ("", "") if match is None else (match[2] or "", match[1] or match[3])
    if not name or scale not in SCALES:
        raise FormulaError(
            f"The response {response} cannot carry bounds over.",
            expected="A censored response is a column, or log or sqrt of it.",
        )
    return scale, name


def _with_bounds(frame: pl.DataFrame, name: str, lower: str, upper: str, scale: str) -> pl.DataFrame:
    """Add reading and bounds on the scale of the model, and whether a visit is censored (null: missing)."""
    value, low, high = (_numbers(frame, column) for column in (name, lower, upper))
    crossed = int((low > high).sum())
    if crossed:
        raise UsageError(
            f"In {crossed} visits {lower} lies above {upper}.",
            expected="The first bound is the lower one.",
            next_step="Exchange the two columns, or correct these visits.",
        )
    transform = SCALES[scale]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Below the range of a transform there is nothing: a lower bound there is none.
        low = np.where(np.isnan(low), -np.inf, transform(np.maximum(low, 0.0) if scale else low))
        high = np.where(np.isnan(high), np.inf, transform(high))
        y = transform(value)
    equal = np.isfinite(low) & (low == high)
    y = np.where(equal, low, y)
    censored = ~equal & (np.isfinite(low) | np.isfinite(high))
    known = censored | equal | ~np.isnan(value)
    _refuse_endless(name, known & ~censored & ~np.isfinite(y))
    _refuse_endless(lower, np.isposinf(low))
    _refuse_endless(upper, ~(high > -np.inf))
    return frame.with_columns(
        pl.Series(_Y, np.where(known & ~censored, y, 0.0)),
        pl.Series(_LOW, np.where(censored, low, 0.0)),
        pl.Series(_HIGH, np.where(censored, high, 0.0)),
        pl.Series(_CENSORED, censored),
    ).with_columns(pl.when(pl.Series(known)).then(pl.col(_CENSORED)).alias(_CENSORED))


def _numbers(frame: pl.DataFrame, name: str) -> Floats:
    """Give a column as floats, NaN where it is null."""
    if name not in frame.columns:
        raise ColumnError(f"The table has no column {name}.", expected=f"It has: {', '.join(frame.columns)}.")
    dtype = frame.schema[name]
    if not (dtype.is_numeric() or dtype == pl.Null):
        raise ColumnError(f"Column {name} holds {dtype}.", expected="Readings and their bounds are numbers.")
    return frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)


def _refuse_endless(name: str, wrong: NDArray[np.bool_]) -> None:
    if wrong.any():
        raise ModelError(
            f"{name} has no finite value on the scale of the model in {int(wrong.sum())} visits.",
            expected="A logarithm needs readings and upper bounds above zero, a square root from zero.",
            next_step="Set such values to missing.",
        )
