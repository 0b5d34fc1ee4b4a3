"""From aligned visits to the rows that a specification is fitted to, and to the rows at which its curves are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, ModelError
from ircohort.lmm import collinear_columns, design_matrix
from ircohort.trajectory.alignment import count_people_by_year
from ircohort.trajectory.readings import measured
from ircohort.trajectory.record import Outcome
from ircohort.trajectory.specifications.record import BACKWARD, SELECTED, TIME, Specification

Floats = NDArray[np.float64]

COVARIATE_KNOWN = 0.9
"""A covariate enters if it is known at this share of the visits; below, it would cost too many of them."""

GRID_PER_YEAR = 10
MOST_LEVELS = 10
"""A covariate in words with more levels than this is a text that was meant otherwise."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows to fit, and what it takes to read a curve.

    ``rows`` are the visits with ``case``, ``lag``, ``visit_time`` and the columns of covariates; ``first`` and
    ``last`` the whole years between which both groups have enough people; ``covariates`` and ``own_terms`` (of
    selected readings, zero along a curve) the columns in the formula; ``person`` the cases' mean of each covariate, of
    age that at time zero; ``power`` and ``knots`` of the bends.
    """

    outcome: Outcome
    specification: Specification
    rows: pl.DataFrame
    first: int
    last: int
    covariates: tuple[str, ...]
    own_terms: tuple[str, ...]
    person: Mapping[str, float]
    notes: tuple[str, ...]
    power: int = 1
    knots: tuple[float, ...] = ()

    @property
    def formula(self) -> str:
        """The formula for :func:`ircohort.lmm.fit`."""
        bends = [f"bend_{number}" for number in range(1, len(self.knots) + 1)]
        terms = [self.specification.fixed, *bends, *self.own_terms, *self.covariates, self.specification.random]
        return f"{self.outcome.response} ~ " + " + ".join(terms)

    def bent_at(self, knots: Sequence[float]) -> Layout:
        """Give the same rows with the columns of bends at ``knots``."""
        return replace(self, rows=_with_bends(self.rows, knots, self.power), knots=tuple(knots))

    def times(self) -> Floats:
        """Give the times of the curves: whole years, or tenths of them between the first and last year supported."""
        if self.specification.yearly:
            return np.arange(self.first, self.last + 1, dtype=float)
        seen = self.rows.group_by("case").agg(
            pl.col(self.specification.axis).min().alias("low"), pl.col(self.specification.axis).max().alias("high")
        )
        low, high = max(self.first, float(seen["low"].max())), min(self.last, float(seen["high"].min()))  # type: ignore[arg-type]
        steps = np.arange(np.ceil(low * GRID_PER_YEAR - 1e-9), np.floor(high * GRID_PER_YEAR + 1e-9) + 1)
        return np.asarray(steps / GRID_PER_YEAR + 0.0, dtype=float)  # + 0.0: no negative zero

    def standard_rows(self, times: Floats, *, case: bool) -> pl.DataFrame:
        """Give rows of the standard person at ``times``, ageing along them, outside the selected readings."""
        columns: dict[str, Any] = {self.specification.axis: times, "case": [float(case)] * len(times)}
        columns["lag"] = np.floor(times + 0.5)
        columns |= {name: [0.0] * len(times) for name in self.own_terms}
        columns |= {n: value + times if n == "age" else [value] * len(times) for n, value in self.person.items()}
        rows = pl.DataFrame(columns)
        return _with_bends(rows, self.knots, self.power) if self.knots else rows

    def design(self, fit: Any, times: Floats, *, case: bool) -> Floats:
        """Build the fixed design (k, p) of the standard person."""
        return design_matrix(fit, self.standard_rows(times, case=case))


def lay_out(
    aligned: pl.DataFrame,
    outcome: Outcome,
    specification: Specification,
    *,
    covariates: Sequence[str],
    adjust_bmi: bool,
    own_terms: Sequence[str] | None,
    min_people: int,
) -> Layout:
    """Choose the visits and covariates of a specification.

    Raises
    ------
    ColumnError
        If a column that is needed or named is absent.
    ModelError
        If the outcome was not measured, a group is missing, or no years are supported.
    """
    terms = _selected(aligned, specification) if own_terms is None else tuple(dict.fromkeys(own_terms))
    _require(aligned, ("participant_id", specification.axis, "progressor", outcome.column, *terms))
    rows, slips = _measured(aligned, outcome, specification, terms)
    first, last = _supported(rows, specification, min_people, outcome)
    if specification.yearly:
        rows = rows.filter(pl.col("lag").is_between(first, last))
    power = specification.bends[outcome.column].power if outcome.column in specification.bends else 1
    rows, names, notes = _covariates(rows, outcome, covariates, adjust_bmi)
    kept = tuple(dict.fromkeys(names))
    complete = rows.drop_nulls(kept) if kept else rows
    layout = Layout(outcome, specification, complete, first, last, kept, terms, {}, (*slips, *notes), power)
    layout = _without_dependent(layout)
    return replace(layout, person=_standard_person(layout.rows, layout.covariates, specification.axis))


def _require(aligned: pl.DataFrame, names: Sequence[str]) -> None:
    absent = [name for name in dict.fromkeys(names) if name not in aligned.columns]
    if absent:
        raise ColumnError(
            f"The aligned visits have no column {', '.join(absent)}.",
            expected="Visits as align gives them, with the outcome.",
            next_step="Markers are added by ircohort.markers, the time to an event by ircohort.align, the time from "
            "the first visit by align_from_start.",
        )
    for name in dict.fromkeys(names[1:]):
        if not _counts(aligned[name]):
            raise ColumnError(f"The column {name} does not hold numbers, nor true and false.")


def _counts(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)


def _selected(aligned: pl.DataFrame, specification: Specification) -> tuple[str, ...]:
    """Give the flags that a specification has terms for, where readings date the event; else none was selected."""
    if not reads_selected(aligned):
        return ()
    return tuple(name for name in specification.own_terms if name in aligned.columns)


def reads_selected(rows: pl.DataFrame) -> bool | None:
    """Say whether readings date the event; None where the visits do not tell."""
    flags = [rows[name] for name in SELECTED if name in rows.columns and _counts(rows[name])]
    return any(flag.cast(pl.Boolean).any() for flag in flags) if flags else None


def _measured(
    aligned: pl.DataFrame, outcome: Outcome, specification: Specification, own_terms: tuple[str, ...]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Take the visits with the outcome, up to the event and those after it with own terms; add what models name."""
    time = pl.col(specification.axis).cast(pl.Float64)
    marked = pl.any_horizontal(pl.lit(False), *(pl.col(name).cast(pl.Boolean) for name in own_terms))
    on_curve = time <= 0 if specification.axis == BACKWARD else time >= 0
    placed = aligned.filter(pl.col("progressor").is_not_null() & time.is_finite() & (on_curve | marked))
    rows, slips = measured(placed, outcome)
    rows = rows.with_columns(time.alias(TIME), time.clip(upper_bound=0) if specification.axis == BACKWARD else time)
    rows = rows.with_columns((time + 0.5).floor().alias("lag"), pl.col("progressor").cast(pl.Float64).alias("case"))
    if specification.earliest is not None:
        rows = rows.filter(pl.col("lag") >= specification.earliest)
    if rows.is_empty():
        raise ModelError(f"{outcome.label} was not measured at any of the aligned visits.")
    if rows["case"].n_unique() < 2:
        raise ModelError(f"{outcome.label} was measured in one of the two groups only.")
    return rows, slips


def _supported(rows: pl.DataFrame, specification: Specification, min_people: int, outcome: Outcome) -> tuple[int, int]:
    """Give the whole years, without a hole from time zero, in which both groups have ``min_people``."""
    counts = people_by_year(rows, specification.axis).filter(pl.col("n_participants") >= min_people)
    both = {year for (year,), found in counts.group_by(specification.axis) if found.height == 2}
    step = -1 if specification.axis == BACKWARD else 1
    end = 0
    while end + step in both:
        end += step
    if 0 not in both or end == 0:
        where = "at the event and in the year before" if step < 0 else "at the first visit and a year later"
        raise ModelError(
            f"Fewer than {min_people} cases or people of the comparison group have {outcome.label} {where}."
        )
    return (end, 0) if step < 0 else (0, end)


def people_by_year(rows: pl.DataFrame, axis: str) -> pl.DataFrame:
    """Count people and visits of each group in each whole year of an axis; visits after the event are not on it."""
    on_axis = rows.filter(pl.col(axis) == pl.col(TIME)).with_columns(
        pl.col("case").cast(pl.Boolean).alias("progressor")
    )
    counts = count_people_by_year(on_axis, time=axis)
    return counts.filter(pl.col("n_visits") > 0).select("group", axis, "n_participants", "n_visits").sort("group", axis)


def _covariates(
    rows: pl.DataFrame, outcome: Outcome, covariates: Sequence[str], adjust_bmi: bool
) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """Make columns of numbers of the covariates; give the rows, the names of the columns, and what was left out."""
    names: list[str] = []
    notes: list[str] = []
    for name in covariates:
        if name not in rows.columns and name not in ("age", "sex"):
            raise ColumnError(f"The aligned visits have no column {name}, which was named as a covariate.")
        rows, made = _as_numbers(rows, name) if name in rows.columns else (rows, [])
        known = 1 - rows[made[0]].null_count() / rows.height if made else 0.0
        if known >= COVARIATE_KNOWN:
            names.extend(made)
        else:
            why = "is known at too few visits" if known else "is not known, or does not vary,"
            notes.append(f"{name} {why} and was left out of the model.")
    if adjust_bmi:
        _require_bmi(rows, outcome)
        names.append("bmi")
    return rows, tuple(names), tuple(notes)


def _require_bmi(rows: pl.DataFrame, outcome: Outcome) -> None:
    if outcome.column == "bmi":
        raise ModelError("BMI cannot be adjusted for BMI.", next_step="Fit it without adjust_bmi.")
    known = 1 - rows["bmi"].null_count() / rows.height if "bmi" in rows.columns else 0.0
    if known < COVARIATE_KNOWN:
        raise ModelError(
            f"BMI is known at too few of the visits with {outcome.label} to adjust for it.",
            expected=f"At {COVARIATE_KNOWN:.0%} of them or more.",
        )


def _as_numbers(rows: pl.DataFrame, name: str) -> tuple[pl.DataFrame, list[str]]:
    """Turn words into columns of 0 and 1: ``male`` for sex, else one for each level but the first."""
    column = rows[name]
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return rows.with_columns(pl.col(name).cast(pl.Float64)), [name]
    text = pl.col(name).cast(pl.String)
    if name == "sex":
        male = pl.when(text == "male").then(1.0).when(text == "female").then(0.0)
        return rows.with_columns(male.alias("male")), ["male"]
    levels = sorted(column.drop_nulls().cast(pl.String).unique().to_list())
    if len(levels) > MOST_LEVELS:
        raise ColumnError(
            f"The covariate {name} holds {len(levels)} different words.", expected=f"Up to {MOST_LEVELS}."
        )
    made = {f"{name}_{k}_{re.sub(r'[^0-9A-Za-z]', '_', level)}": level for k, level in enumerate(levels) if k}
    return rows.with_columns((text == level).cast(pl.Float64).alias(new) for new, level in made.items()), list(made)


def _without_dependent(layout: Layout) -> Layout:
    """Leave out, and name, covariates and terms that do not vary or follow from time, group and those before them."""
    if not collinear_columns(layout.formula, layout.rows):
        return layout
    kept = replace(layout, covariates=(), own_terms=())
    gone = []
    for name in (*layout.covariates, *layout.own_terms):
        if name in layout.covariates:
            larger = replace(kept, covariates=(*kept.covariates, name))
        else:
            larger = replace(kept, own_terms=(*kept.own_terms, name))
        if collinear_columns(larger.formula, larger.rows):
            gone.append(name)
        else:
            kept = larger
    notes = tuple(f"{name} does not vary apart from the other terms and was left out of the model." for name in gone)
    return replace(kept, notes=(*layout.notes, *notes))


def _standard_person(rows: pl.DataFrame, covariates: tuple[str, ...], axis: str) -> dict[str, float]:
    """Give the mean of each covariate among the cases, each case counted once; of age, that at time zero."""
    cases = rows.filter(pl.col("case") == 1).sort("participant_id", axis, *covariates)
    values = [pl.col(name) - pl.col(TIME) if name == "age" else pl.col(name) for name in covariates]
    means = cases.group_by("participant_id", maintain_order=True).agg(
        value.mean().alias(name) for name, value in zip(covariates, values, strict=True)
    )
    return {name: float(means[name].mean()) for name in covariates}  # type: ignore[arg-type]


def _with_bends(rows: pl.DataFrame, knots: Sequence[float], power: int) -> pl.DataFrame:
    time, case = pl.col(BACKWARD), pl.col("case")
    return rows.with_columns(
        (case * (time - knot).clip(lower_bound=0).pow(power)).alias(f"bend_{number}")
        for number, knot in enumerate(knots, 1)
    )
