"""The visits of one outcome set in phases: which of them the design lets one tell apart, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from ircohort.errors import ModelError
from ircohort.lmm import collinear_columns
from ircohort.trajectory.record import Outcome
from ircohort.trajectory.responding.record import AS_OTHERS, OWN_TERM, ResponseSettings

LEVEL = "(1 | participant_id)"

LATENESS = 1.1
"""A visit planned for the end of the early phase is often somewhat late: up to this multiple it is an early one."""

NEAR_YEARS = 0.5
"""A change at a year is supported by readings within this distance of it."""

_EARLY = "fewer than {n} people have a reading within {early:g} years after the start ({found} have)"
_TOGETHER = ": with visits this far apart an early and a late change cannot be told apart"


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows of one outcome with the columns of the model, and what the design can tell.

    ``rows`` have ``participant_id``, the outcome, ``since`` (years since the start), ``before`` (the same up to the
    start, zero after), ``response`` (from 0 at the start to 1 at ``bend``), ``later`` (years after ``bend``),
    ``reading_before`` (1 at readings with a term of their own). ``bend`` is the end of the early phase where that
    was seen (``early``), else the usual time of the first reading after the start. ``terms`` are those in the model;
    ``absent`` says of the others why not. ``near`` is the number of people with a reading about each year asked for.
    """

    outcome: Outcome
    rows: pl.DataFrame
    bend: float
    early: bool
    own: bool
    terms: tuple[str, ...]
    absent: dict[str, str]
    near: dict[float, int]
    counts: dict[str, int]

    @property
    def reading_before(self) -> str:
        """How the last readings before the start enter."""
        return OWN_TERM if self.own else AS_OTHERS

    @property
    def fixed(self) -> str:
        """The left side and the fixed part of the formula."""
        return f"{self.outcome.response} ~ " + " + ".join(self.terms)


def lay_out(table: pl.DataFrame, outcome: Outcome, settings: ResponseSettings, *, own: bool) -> Plan:
    """Set the readings of an outcome in phases.

    Parameters
    ----------
    table
        ``participant_id``, ``since``, ``intervened``, and the outcome; both groups, or one.
    own
        Whether the last readings before the start get a term of their own.

    Raises
    ------
    ModelError
        If too few people have readings on both sides of the start, or such a term cannot be told from the others.
    """
    rows = _flagged(table, outcome, settings.own_readings if own else 0)
    least = settings.min_people
    counts = _support(rows, settings.early_years)
    if counts["n_both_sides"] < least:
        raise ModelError(
            f"fewer than {least} people{_in_each(rows)} have readings both before and after the start "
            f"({counts['n_both_sides']} have)."
        )
    if own and counts["n_other_before"] < least:
        raise ModelError(
            f"fewer than {least} people{_in_each(rows)} have another reading before the start beside the last "
            f"{settings.own_readings}, so that it can have no term of its own, and regression to the mean stays in."
        )
    absent: dict[str, str] = {}
    if counts["n_slope_before"] < least:
        absent["before"] = (
            f"fewer than {least} people have two readings before the start to take a slope from "
            f"({counts['n_slope_before']} have); the last one stands for the start"
        )
        rows = _last_before(rows)
    early, late = counts["n_early"] >= least, counts["n_late"] >= least
    if not early and not late:
        raise ModelError(f"fewer than {least} people have readings in any one phase after the start.")
    if not early:
        absent["early"] = _EARLY.format(n=least, early=settings.early_years, found=counts["n_early"]) + _TOGETHER
    if not late:
        absent["later"] = f"fewer than {least} people have a reading after the early phase ({counts['n_late']} have)"
        rows = rows.filter(pl.col("since") <= settings.early_years * LATENESS)
    bend = settings.early_years if early else _first_after(rows)
    near = people_near(rows, settings)
    wanted = ("before", "response", "later", *(["reading_before"] if own else []))
    plan = Plan(outcome, in_phases(rows, bend), bend, early, own, wanted, absent, near, counts)
    return _with_terms(plan)


def in_phases(rows: pl.DataFrame, bend: float) -> pl.DataFrame:
    """Add the columns of the phases to rows with ``since``.

    Examples
    --------
    >>> in_phases(pl.DataFrame({"since": [-1.0, 0.25, 2.0]}), 0.5).rows()
    [(-1.0, -1.0, 0.0, 0.0), (0.25, 0.0, 0.5, 0.0), (2.0, 0.0, 1.0, 1.5)]
    """
    since = pl.col("since")
    return rows.with_columns(
        since.clip(upper_bound=0.0).alias("before"),
        (since / bend).clip(0.0, 1.0).alias("response"),
        (since - bend).clip(lower_bound=0.0).alias("later"),
    )


def _flagged(table: pl.DataFrame, outcome: Outcome, own_readings: int) -> pl.DataFrame:
    value = pl.col(outcome.column)
    read = table.filter(value.is_finite() & (value > 0))
    time_before = pl.when(pl.col("since") <= 0).then("since")
    place = time_before.rank("dense", descending=True).over("participant_id")
    return read.with_columns((place <= own_readings).fill_null(False).cast(pl.Float64).alias("reading_before"))


def _support(rows: pl.DataFrame, early_years: float) -> dict[str, int]:
    """Count people with readings in each phase; with two groups, in the one that has fewer."""
    since, other = pl.col("since"), (pl.col("since") <= 0) & (pl.col("reading_before") == 0)
    people = rows.group_by("intervened", "participant_id").agg(
        ((since <= 0).any() & (since > 0).any()).alias("n_both_sides"),
        (since.filter(other).n_unique() >= 2).alias("n_slope_before"),
        other.any().alias("n_other_before"),
        ((since > 0) & (since <= early_years * LATENESS)).any().alias("n_early"),
        (since > early_years * LATENESS).any().alias("n_late"),
    )
    names = [name for name in people.columns if name.startswith("n_")]
    groups = people.group_by("intervened").agg(pl.col(names).sum().cast(pl.Int64))
    counted = groups.select(pl.col(names).min().fill_null(0)).row(0, named=True) if groups.height else {}
    return {"n_participants": people.height, "n_visits": rows.height, **{name: counted.get(name, 0) for name in names}}


def _in_each(rows: pl.DataFrame) -> str:
    return " of each group" if rows["intervened"].n_unique() > 1 else ""


def _last_before(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep, of the readings before the start, those with a term of their own and the last of the others."""
    other = pl.when((pl.col("since") <= 0) & (pl.col("reading_before") == 0)).then("since")
    last = other.max().over("participant_id")
    return rows.filter(other.is_null() | (pl.col("since") == last))


def _first_after(rows: pl.DataFrame) -> float:
    first = rows.filter(pl.col("since") > 0).group_by("participant_id").agg(pl.col("since").min())
    return float(first.select(pl.col("since").median()).item())


def people_near(rows: pl.DataFrame, settings: ResponseSettings) -> dict[float, int]:
    """Count people with a reading about each year asked for; with two groups, in the one that has fewer."""
    return {year: _people_near(rows, year) for year in settings.at_years}


def _people_near(rows: pl.DataFrame, year: float) -> int:
    near = rows.filter((pl.col("since") > 0) & ((pl.col("since") - year).abs() <= NEAR_YEARS))
    found = near.group_by("intervened").agg(pl.col("participant_id").n_unique())["participant_id"]
    return int(found.min()) if len(found) == rows["intervened"].n_unique() else 0  # type: ignore[arg-type]


def _with_terms(plan: Plan) -> Plan:
    """Leave out the terms that the design does not hold, and those that visits cannot tell from the others."""
    terms = tuple(name for name in plan.terms if name not in plan.absent)
    probe = f"{plan.outcome.response} ~ {' + '.join(terms)} + {LEVEL}"
    dependent = [name for name in terms if name in collinear_columns(probe, plan.rows)]
    if "reading_before" in dependent:
        raise ModelError(
            "the last readings before the start cannot be told from the slope before it, so that they can have no "
            "term of their own, and regression to the mean stays in."
        )
    if "response" in dependent:
        raise ModelError("the visits do not show a change after the start.")
    why = dict.fromkeys(dependent, "the visits lie at too few different times to show it")
    kept = tuple(name for name in terms if name not in dependent)
    return replace(plan, terms=kept, absent={**plan.absent, **why})
