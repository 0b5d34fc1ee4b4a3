"""From rows and results to visits: one row per participant and time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ircohort.glycaemia import worse_of
from ircohort.normalisation.context import SEX
from ircohort.normalisation.headers import FLAGS, SET_FLAGS, TEXTS
from ircohort.normalisation.order import DAYS_PER_YEAR, Rows, runs
from ircohort.normalisation.results import Results
from ircohort.parallel import each
from ircohort.schema import COMPUTED, VISITS, arrange
from ircohort.units import ANALYTES

_NEITHER = 255


def assemble(
    rows: Rows, results: Sequence[Results], *, age_at_first_visit: bool, constant: Sequence[str] = ()
) -> pl.DataFrame:
    """Build VISITS (without markers) from the rows and the settled results.

    Parameters
    ----------
    rows
        Laboratory rows with ``visit`` and their context.
    results
        What became of each result; only used values fill cells, but a visit whose values were all set aside is
        still a visit.
    age_at_first_visit
        The age came from a table of persons, and holds at the first visit.
    constant
        Measurements to carry to the visits of a participant that have none of their own.
    """
    visits = _context(rows).rename({"date": "visit_date"}, strict=False)
    columns = {
        name: series
        for of_one in each(lambda one: _columns(one, rows), results, len(rows.order))
        for name, series in of_one.items()
    }
    visits = visits.with_columns(series.alias(name) for name, series in columns.items())
    visits = visits.filter(_seen(rows, results))
    visits = _times(visits)
    visits = visits.with_columns(_age(visits, at_first_visit=age_at_first_visit))
    visits = visits.with_columns(
        pl.coalesce(column, pl.col(column).drop_nulls().first().over("person"))
        for column in (ANALYTES[name].column for name in constant)
        if column in visits.columns
    )
    classes = [pl.col(name) if name in columns else pl.lit(None, pl.String) for name in ("#glucose", "#hba1c")]
    glycaemia, decider = worse_of(classes[0], classes[1])
    visits = visits.with_columns(
        rows.participants.gather(visits["person"]).alias("participant_id"),
        glycaemia.alias("glycaemia").cast(pl.String),
        decider.alias("glycaemia_by"),
    )
    return _canonical_order(
        visits.drop("person", "offset", "stated_age", "age_by_birth", "#glucose", "#hba1c", strict=False)
    )


def _seen(rows: Rows, results: Sequence[Results]) -> pl.Series:
    """Say which visits hold a value that was used, merged or set aside."""
    seen = np.zeros(rows.n_visits, dtype=bool)
    for one in results:
        good = one.found["at"] if not one.found["rule"].count() else one.found.filter(_not_rejected(one))["at"]
        seen[rows.visit.gather(good).to_numpy()] = True
        if seen.all():
            break
    return pl.Series(seen)


def _not_rejected(one: Results) -> pl.Series:
    return one.outcome.is_in(["used", "merged", "set_aside"])


def _context(rows: Rows) -> pl.DataFrame:
    """Combine the context of the rows of a visit: any yes counts, a text counts where all rows agree."""
    context = rows.context.head(rows.n_known)
    if "sex" in context.columns:
        context = context.with_columns(_one_sex(context["person"], context["sex"]).alias("sex"))
    if rows.n_visits < rows.n_known:
        context = _combined(context.with_columns(rows.visit.head(rows.n_known).alias("visit")))
    return context


def _combined(context: pl.DataFrame) -> pl.DataFrame:
    """Combine the rows of each visit."""
    texts = [name for name in context.columns if name in TEXTS or name.startswith("keep:")]
    flags = [name for name in context.columns if name in (*FLAGS, *SET_FLAGS)]
    lowest = [name for name in context.columns if name in ("stated_age", "age_by_birth", "fasting")]
    each: dict[str, pl.Expr] = {
        **{name: pl.col(name).first() for name in ("person", "date", "offset", "sex") if name in context.columns},
        **{name: pl.col(name).max() for name in flags},
        **{name: pl.col(name).min() for name in lowest},
        **{name: _agreed(name) for name in texts},
    }
    combined = context.group_by("visit", maintain_order=True).agg(one.alias(name) for name, one in each.items())
    return combined.drop("visit")


def _agreed(name: str) -> pl.Expr:
    values = pl.col(name).drop_nulls()
    return pl.when(values.n_unique() == 1).then(values.first())


def _one_sex(persons: pl.Series, sexes: pl.Series) -> pl.Series:
    """Give a participant the sex that all their rows which state one agree on."""
    if sexes.is_empty():
        return sexes
    codes = sexes.to_physical()
    starts = runs(persons)
    low = np.minimum.reduceat(codes.fill_null(_NEITHER).to_numpy(), starts)
    high = np.maximum.reduceat(codes.fill_null(0).to_numpy(), starts)
    agreed = np.where(low == high, low, _NEITHER).astype(np.uint8)
    lengths = np.diff(np.append(starts, len(persons)))
    whole = pl.Series(np.repeat(agreed, lengths))
    return pl.Series(SEX.categories, dtype=SEX).gather(whole.set(whole == _NEITHER, None))


def _times(visits: pl.DataFrame) -> pl.DataFrame:
    """Count years from the first visit of the participant that has a time."""
    if "visit_date" in visits.columns:
        days = visits["visit_date"].to_physical().cast(pl.Float64)
        per_year = DAYS_PER_YEAR
    elif "offset" in visits.columns:
        days, per_year = visits["offset"], 1.0
    else:
        return visits.with_columns(pl.lit(None, dtype=pl.Float64).alias("years"))
    starts = runs(visits["person"])
    lengths = np.diff(np.append(starts, visits.height))
    first = pl.Series(np.repeat(days.gather(starts).fill_null(np.nan).to_numpy(), lengths))
    return visits.with_columns(((days - first) / per_year).fill_nan(None).alias("years"))


def _age(visits: pl.DataFrame, *, at_first_visit: bool) -> pl.Expr:
    stated = pl.col("stated_age") + (pl.col("years") if at_first_visit else 0.0)
    known = [stated] if "stated_age" in visits.columns else []
    by_birth = [pl.col("age_by_birth")] if "age_by_birth" in visits.columns else []
    return pl.coalesce(*known, *by_birth, pl.lit(None, dtype=pl.Float64)).alias("age")


def _columns(results: Results, rows: Rows) -> dict[str, pl.Series]:
    """Lay the used results of one analyte out by visit, with their bounds where a cell was censored."""
    used = results.used
    column = ANALYTES[results.analyte].column
    reading = used["reading"]
    if used.height < rows.n_visits:
        whole = pl.repeat(None, rows.n_visits, dtype=pl.UInt32, eager=True)
        reading = whole.scatter(rows.visit.gather(used["at"]), reading.cast(pl.UInt32))
    readings = results.readings
    taken = {column: readings["value"].gather(reading)}
    if results.analyte in ("glucose", "hba1c"):
        taken[f"#{results.analyte}"] = readings["glycaemia"].gather(reading)
    if results.any_censored:
        taken |= {f"{column}_{end}": readings[end].gather(reading) for end in ("lower", "upper")}
    return taken


def _canonical_order(visits: pl.DataFrame) -> pl.DataFrame:
    """Order the columns as the contract does; bounds, then kept columns, follow last."""
    known = [column for column in VISITS.columns if column.name not in COMPUTED]
    bounds = [f"{column.name}_{end}" for column in known for end in ("lower", "upper")]
    return arrange(visits, VISITS).select(
        *(pl.col(column.name).cast(column.dtype) for column in known),
        *(name for name in bounds if name in visits.columns),
        *(pl.col(name).alias(name.removeprefix("keep:")) for name in visits.columns if name.startswith("keep:")),
    )
