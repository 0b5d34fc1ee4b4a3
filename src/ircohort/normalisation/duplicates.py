"""Several values of one visit and analyte: identical ones are merged, conflicting ones judged by policy."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from ircohort.normalisation.order import Rows
from ircohort.normalisation.readings import READING, Policy, as_frame, mean_reading
from ircohort.normalisation.results import RULE, Results

# The class of a reading belongs to what it says: 5.55 mmol/L and the same in mg/dL may fall on two sides of a cut-off.
_READ = ["value", "lower", "upper", "glycaemia"]


def settle(results: Results, rows: Rows, policy: Policy) -> Results:
    """Leave one result per visit; the others get the rule that set aside, merged or rejected them.

    Parameters
    ----------
    results
        Results of one analyte; only those without a rule are looked at.
    rows
        The visit of each row, and its time within a draw of several days.
    policy
        Which conflicting value stands.
    """
    if policy.draw_window_days:
        results = _earliest_day(results, rows)
    alive = results.found.with_row_index("#").filter(pl.col("rule").is_null())
    visit = rows.visit.gather(alive["at"])
    shared = ((visit == visit.shift(1)) | (visit == visit.shift(-1))).fill_null(False)
    if not shared.any():
        return results
    several = alive.with_columns(visit.alias("visit")).filter(shared)
    several = several.hstack(results.readings.select(pl.all().exclude("rule").gather(several["reading"])))
    several = several.with_columns(
        (pl.col("#") == pl.col("#").min().over("visit")).alias("first"),
        (pl.struct(_READ).n_unique().over("visit") > 1).alias("conflict"),
        (pl.col("#") > pl.col("#").min().over("visit", *_READ)).alias("copy"),
    )
    if policy.duplicates == "mean":
        return _averaged(results, several, policy)
    conflicting = {
        "reject": _rule("conflicting_duplicate"),
        "first": pl.when(~pl.col("first")).then(_rule("later_duplicate")),
    }[policy.duplicates]
    return _ruled(results, several.select("#", _where_conflict(conflicting)))


def _rule(name: str) -> pl.Expr:
    return pl.lit(name, dtype=RULE)


def _where_conflict(conflicting: pl.Expr) -> pl.Expr:
    identical = pl.when(~pl.col("first")).then(_rule("identical_duplicate"))
    return pl.when(pl.col("conflict")).then(conflicting).otherwise(identical).alias("rule")


def _ruled(results: Results, ruled: pl.DataFrame) -> Results:
    return results.with_rules(results.found["rule"].scatter(ruled["#"], ruled["rule"]))


def _earliest_day(results: Results, rows: Rows) -> Results:
    """Set aside, within a draw of several days, all values but those of the earliest day."""
    at = results.found["at"]
    timed = results.found.select("rule", rows.visit.gather(at).alias("visit"), rows.time.gather(at).alias("time"))
    earliest = pl.col("time").filter(pl.col("rule").is_null()).min().over("visit")
    later = pl.col("rule").is_null() & (pl.col("time") > earliest)
    return results.with_rules(
        timed.select(pl.when(later).then(_rule("later_in_window")).otherwise("rule").alias("rule")).to_series()
    )


def _averaged(results: Results, several: pl.DataFrame, policy: Policy) -> Results:
    """Put the mean on the first of conflicting values; censored values, and values in two units, have none."""
    conflicts = several.filter(pl.col("conflict") & ~pl.col("copy")).group_by("visit", maintain_order=True)
    groups = conflicts.agg("reported", pl.col("unit").unique().sort(), pl.col("censored").any())
    can = groups.filter((pl.col("unit").list.len() == 1) & ~pl.col("censored"))
    means = [
        mean_reading(results.analyte, sorted(numbers), unit[0], policy)
        for numbers, unit in can.select("reported", "unit").iter_rows()
    ]
    texts = pl.repeat(None, len(means), dtype=pl.String, eager=True)
    more = as_frame(means).with_columns(texts.alias("value_text"), texts.alias("unit_text"))
    known = results.readings.height
    mean_of = can.select("visit", (pl.int_range(pl.len(), dtype=pl.UInt32) + known).alias("mean"))
    several = several.join(mean_of, on="visit", how="left", maintain_order="left")
    conflicting = (
        pl.when(pl.col("mean").is_null())
        .then(_rule("conflicting_duplicate"))
        .when(pl.col("copy"))
        .then(_rule("identical_duplicate"))
        .otherwise(pl.when(~pl.col("first")).then(_rule("averaged_duplicate")))
    )
    ruled = _ruled(results, several.select("#", _where_conflict(conflicting)))
    firsts = several.filter(pl.col("first") & pl.col("mean").is_not_null())
    reading = ruled.found["reading"].cast(pl.UInt32).scatter(firsts["#"], firsts["mean"])
    columns = [*READING, "value_text", "unit_text"]
    return replace(
        ruled,
        found=ruled.found.with_columns(reading.alias("reading")),
        readings=pl.concat([results.readings.select(columns), more.select(columns)]),
    )
