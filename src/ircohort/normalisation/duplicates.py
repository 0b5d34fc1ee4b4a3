"""Several values of one participant, time and analyte: identical ones are merged, conflicting ones judged by policy."""

from __future__ import annotations

import polars as pl

from ircohort.export import SOURCE_FILE, SOURCE_ROW
from ircohort.normalisation.readings import Policy, mean_reading

# The class of a reading belongs to what it says: 5.55 mmol/L and the same in mg/dL may fall on two sides of a cut-off.
_READ = ["value", "lower", "upper", "glycaemia"]


def settle(labs: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Leave one result per visit and analyte; the others get the rule that merged or rejected them.

    Parameters
    ----------
    labs
        Results with ``visit`` (null rules only are looked at), ``analyte`` and what each cell says.
    policy
        Which conflicting value stands.
    """
    labs = labs.sort(SOURCE_FILE, SOURCE_ROW, "column", maintain_order=True).with_row_index("#order")
    alive = labs.filter(pl.col("rule").is_null())
    key = ["visit", "analyte"]
    groups = alive.group_by(key, maintain_order=True).agg(
        pl.len().alias("#n"), pl.struct(_READ).n_unique().alias("#values"), pl.col("#order").min().alias("#first")
    )
    alive = alive.join(groups, on=key, how="left", maintain_order="left")
    is_first, conflict = pl.col("#order") == pl.col("#first"), pl.col("#values") > 1
    conflicting = {
        "reject": pl.lit("conflicting_duplicate"),
        "first": pl.when(~is_first).then(pl.lit("later_duplicate")),
        "mean": pl.when(~is_first).then(pl.lit("averaged_duplicate")),
    }[policy.duplicates]
    identical = pl.when(~is_first).then(pl.lit("identical_duplicate"))
    ruled = alive.with_columns(pl.when(conflict).then(conflicting).otherwise(identical).alias("rule"))
    if policy.duplicates == "mean":
        ruled = _average(ruled, policy)
    rest = labs.filter(pl.col("rule").is_not_null())
    return pl.concat([ruled.select(labs.columns), rest]).sort("#order").drop("#order")


def _average(alive: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Put the mean on the first of conflicting values; censored values, and values in two units, have none."""
    means = []
    for (visit, analyte), group in alive.filter(pl.col("#values") > 1).group_by(
        ["visit", "analyte"], maintain_order=True
    ):
        unit = group["unit"].unique().to_list()
        if group["censored"].any() or len(unit) > 1:
            continue
        reading = mean_reading(str(analyte), group["reported"].sort().to_list(), unit[0], policy)
        means.append({"visit": visit, "analyte": analyte, "#mean": reading.value, "#class": reading.glycaemia})
    schema = pl.Schema(
        {"visit": alive.schema["visit"], "analyte": pl.String(), "#mean": pl.Float64(), "#class": pl.String()}
    )
    averaged = alive.join(
        pl.DataFrame(means, schema=schema), on=["visit", "analyte"], how="left", maintain_order="left"
    )
    conflict, has_mean = pl.col("#values") > 1, pl.col("#mean").is_not_null()
    return averaged.with_columns(
        pl.when(conflict & has_mean).then(pl.col("#mean")).otherwise(pl.col("value")).alias("value"),
        pl.when(conflict & has_mean).then(pl.col("#class")).otherwise(pl.col("glycaemia")).alias("glycaemia"),
        pl.when(conflict & ~has_mean).then(pl.lit("conflicting_duplicate")).otherwise(pl.col("rule")).alias("rule"),
    )
