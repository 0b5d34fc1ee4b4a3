"""From results to visits: one row per participant and time, with the class of its readings."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ircohort.glycaemia import worse_of
from ircohort.normalisation.columns import FLAGS, TEXTS
from ircohort.normalisation.labs import DAYS_PER_YEAR, ROW
from ircohort.schema import VISITS, arrange
from ircohort.units import ANALYTES

_TIME = ["our:participant_id", "our:date", "our:offset", "#alone"]


def number_visits(rows: pl.DataFrame) -> pl.DataFrame:
    """Give visits a number by participant and time; a row without a time is a visit of its own."""
    has_no_time = pl.col("our:date").is_null() & pl.col("our:offset").is_null()
    rows = rows.with_columns(pl.when(has_no_time).then(pl.col(ROW)).alias("#alone"))
    numbered = (
        rows.filter(pl.col("our:participant_id").is_not_null())
        .select(_TIME)
        .unique()
        .sort(_TIME, nulls_last=True)
        .with_row_index("visit")
    )
    return rows.join(numbered, on=_TIME, how="left", nulls_equal=True, maintain_order="left").drop("#alone")


def assemble(
    rows: pl.DataFrame, results: pl.DataFrame, *, age_at_first_visit: bool, constant: Sequence[str] = ()
) -> pl.DataFrame:
    """Build VISITS (without markers) from the rows and the settled results.

    Parameters
    ----------
    rows
        Laboratory rows with ``visit`` and their context.
    results
        Results with ``visit``, what each says, and ``outcome``; only used values fill cells, but a visit whose
        values were all set aside is still a visit.
    age_at_first_visit
        The age came from a table of persons, and holds at the first visit.
    constant
        Measurements to carry to the visits of a participant that have none of their own.
    """
    seen = results.filter(pl.col("outcome").is_in(["used", "merged", "set_aside"])).select(ROW).unique()
    visits = _context(rows.join(seen, on=ROW, how="semi"))
    visits = _times(visits)
    stated = pl.col("stated_age") + pl.col("years") if age_at_first_visit else pl.col("stated_age")
    visits = visits.with_columns(pl.coalesce(stated, pl.col("age_by_birth")).alias("age"))
    visits = visits.drop("stated_age", "age_by_birth")
    used = results.filter(pl.col("outcome") == "used")
    for analyte in ANALYTES:
        visits = visits.join(_column(used, analyte), on="visit", how="left", maintain_order="left")
    visits = visits.with_columns(
        pl.coalesce(
            pl.col(ANALYTES[name].column), pl.col(ANALYTES[name].column).drop_nulls().first().over("participant_id")
        )
        for name in constant
    )
    glycaemia, decider = worse_of(pl.col("#glucose"), pl.col("#hba1c"))
    visits = visits.with_columns(glycaemia.alias("glycaemia"), decider.alias("glycaemia_by"))
    visits = visits.drop("visit", "#offset", pl.selectors.starts_with("#"), strict=False)
    return _canonical_order(visits)


def _context(rows: pl.DataFrame) -> pl.DataFrame:
    """Combine the context of the rows of a visit: any yes counts, a text counts where all rows agree."""
    kept = [name for name in rows.columns if name.startswith("our:keep:")]
    agreed = [*(f"our:{name}" for name in TEXTS), *kept]
    visits = (
        rows.sort("visit", ROW)
        .group_by("visit", maintain_order=True)
        .agg(
            pl.col("our:participant_id").first(),
            pl.col("our:date").first().alias("visit_date"),
            pl.col("our:offset").first().alias("#offset"),
            pl.col("our:stated_age", "our:age_by_birth").min(),
            pl.col("our:sex").drop_nulls().unique(maintain_order=True),
            *(pl.col(f"our:{name}").min() if name == "fasting" else pl.col(f"our:{name}").max() for name in FLAGS),
            *(_agreed(name) for name in agreed),
        )
    )
    sexes = pl.col("our:sex").list.explode().drop_nulls().over("participant_id", mapping_strategy="join").list.unique()
    visits = visits.rename({"our:participant_id": "participant_id"})
    visits = visits.with_columns(pl.when(sexes.list.len() == 1).then(sexes.list.first()).alias("our:sex"))
    return visits.rename(lambda name: name.removeprefix("our:").removeprefix("keep:"))


def _agreed(name: str) -> pl.Expr:
    values = pl.col(name).drop_nulls()
    return pl.when(values.n_unique() == 1).then(values.first()).alias(name)


def _times(visits: pl.DataFrame) -> pl.DataFrame:
    first_date = pl.col("visit_date").min().over("participant_id")
    first_offset = pl.col("#offset").min().over("participant_id")
    by_date = (pl.col("visit_date") - first_date).dt.total_days() / DAYS_PER_YEAR
    return visits.with_columns(pl.coalesce(by_date, pl.col("#offset") - first_offset).alias("years"))


def _column(used: pl.DataFrame, analyte: str) -> pl.DataFrame:
    """Take one analyte out of the results, with its bounds where a cell was censored."""
    column = ANALYTES[analyte].column
    own = used.filter(pl.col("analyte") == analyte)
    picked = own.select("visit", pl.col("value").alias(column), pl.col("glycaemia").alias(f"#{analyte}"))
    if not own["censored"].any():
        return picked
    bounds = own.select(pl.col("lower").alias(f"{column}_lower"), pl.col("upper").alias(f"{column}_upper"))
    return picked.hstack(bounds)


def _canonical_order(visits: pl.DataFrame) -> pl.DataFrame:
    """Order the columns as the contract does; bounds, then kept columns, follow last."""
    marker_free = [column.name for column in VISITS.columns if column.name in visits.columns or column.required]
    absent = [name for name in VISITS.names if name not in visits.columns]
    ordered = arrange(visits, VISITS).drop([name for name in absent if name not in marker_free])
    bounds = [name for name in ordered.columns if name.endswith(("_lower", "_upper"))]
    kept = [name for name in ordered.columns if name not in VISITS.names and name not in bounds]
    return ordered.select(*(name for name in ordered.columns if name in VISITS.names), *bounds, *kept)
