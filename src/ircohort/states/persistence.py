"""Who stays high: quarters of a marker at both ends of follow-up, and how ranks are kept.

As in the Bogalusa study (Bao 1996, Circulation 93:54): the top quarter at both ends, against the bottom one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import binomtest, norm, ttest_ind

MEASURES = ("bmi", "waist_cm", "glucose_mg_dl", "hba1c_pct", "triglycerides_mg_dl", "hdl_mg_dl")
"""What those always in the top quarter are compared in."""

_FEWEST_PAIRS = 4  # the interval of a rank correlation needs n - 3 above 0
_HALF_YEAR = 0.5


def pick_ends(table: pl.DataFrame, min_years_apart: float, within: Sequence[str]) -> pl.DataFrame:
    """Give one row per participant measured twice far enough apart: both values and times, and their quarters.

    ``first_quarter`` and ``last_quarter`` run from 1 to 4 by mid-rank within the groups, so that ties share a quarter.
    """
    measured = table.drop_nulls("value").unique(["participant_id", "years"], keep="first", maintain_order=True)
    ends = measured.group_by("participant_id", maintain_order=True).agg(
        *(pl.col(name).first() for name in within),
        *(pl.col(name).first().alias(f"first_{name}") for name in ("years", "value")),
        *(pl.col(name).last().alias(f"last_{name}") for name in ("years", "value")),
    )
    ends = ends.filter(pl.col("last_years") - pl.col("first_years") >= min_years_apart - 1e-9)
    return ends.with_columns(_quarter(f"{end}_value", within).alias(f"{end}_quarter") for end in ("first", "last"))


def _quarter(name: str, within: Sequence[str]) -> pl.Expr:
    share = (pl.col(name).rank("average") - 0.5) / pl.len()
    quarter = (share * 4).floor().cast(pl.Int64) + 1
    return quarter.over(list(within)) if within else quarter


def persist(ends: pl.DataFrame) -> pl.DataFrame:
    """Say how many of the top and of the bottom quarter are there at both ends: 25 % where ranks are not kept."""
    rows = []
    for end, quarter in (("top", 4), ("bottom", 1)):
        first = ends.filter(pl.col("first_quarter") == quarter)
        both = first.filter(pl.col("last_quarter") == quarter)
        share, low, high = _share(both.height, first.height)
        apart = (ends["last_years"] - ends["first_years"]).median()
        rows.append((end, ends.height, first.height, both.height, share, low, high, apart))
    floats = ("share_staying", "share_low", "share_high", "years_between")
    counts = ("n_participants", "n_first", "n_both")
    columns = {"quarter": pl.String, **dict.fromkeys(counts, pl.Int64), **dict.fromkeys(floats, pl.Float64)}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _share(count: int, of: int) -> tuple[float | None, float | None, float | None]:
    """Give a share with the interval of Wilson (1927, doi:10.1080/01621459.1927.10502953)."""
    if not of:
        return None, None, None
    interval = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return count / of, float(interval.low), float(interval.high)


def contrast_ends(ends: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Compare those always in the top quarter with those always in the bottom one, at the last visit with a value."""
    always = ends.filter((pl.col("first_quarter") == pl.col("last_quarter")) & pl.col("first_quarter").is_in([1, 4]))
    last = table.join(always.select("participant_id", "last_years", "last_quarter"), on="participant_id")
    last = last.filter(pl.col("years") == pl.col("last_years"))
    last = last.unique("participant_id", keep="first", maintain_order=True).sort("participant_id")
    rows = []
    for measure in MEASURES:
        top, bottom = (last.filter(pl.col("last_quarter") == quarter)[measure].drop_nulls() for quarter in (4, 1))
        mean_top, mean_bottom = top.mean(), bottom.mean()
        rows.append((measure, len(top), len(bottom), mean_top, mean_bottom, *_difference(top, bottom)))
    floats = ("mean_top", "mean_bottom", "difference", "difference_low", "difference_high")
    columns = {"measure": pl.String, "n_top": pl.Int64, "n_bottom": pl.Int64, **dict.fromkeys(floats, pl.Float64)}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _difference(top: pl.Series, bottom: pl.Series) -> tuple[float | None, float | None, float | None]:
    """Difference of means with the interval of Welch; no interval where a group is alone or does not vary."""
    if not len(top) or not len(bottom):
        return None, None, None
    a, b = top.to_numpy().astype(float), bottom.to_numpy().astype(float)
    difference = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2 or np.ptp(a) + np.ptp(b) == 0:
        return difference, None, None
    interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return difference, float(interval.low), float(interval.high)


def track(ends: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Correlate the ranks of the first visit with those of the last, and of each year after the first."""
    first = ends.select("participant_id", "first_years", "first_value")
    later = table.drop_nulls("value").join(first, on="participant_id")
    later = later.with_columns((pl.col("years") - pl.col("first_years")).alias("apart")).filter(pl.col("apart") > 0)
    whole = pl.col("apart").round(0)
    yearly = (
        later.with_columns(whole.alias("year"), (pl.col("apart") - whole).abs().alias("off"))
        .filter(pl.col("year") >= 1)
        .sort("participant_id", "year", "off", "years", "value")
        .unique(["participant_id", "year"], keep="first", maintain_order=True)
    )
    whole_span = ends.select(
        (pl.col("last_years") - pl.col("first_years")).alias("apart"), "first_value", value="last_value"
    )
    rows = [("first_to_last", *_rank_correlation(whole_span))] if ends.height else []
    for (year,), pairs in yearly.sort("year", "participant_id").group_by("year", maintain_order=True):
        rows.append((f"first_to_year_{int(year)}", *_rank_correlation(pairs)))
    floats = ("spearman", "spearman_low", "spearman_high")
    columns = {"pairs": pl.String, "years_between": pl.Float64, "n_participants": pl.Int64}
    return pl.DataFrame(rows, schema={**columns, **dict.fromkeys(floats, pl.Float64)}, orient="row")


def _rank_correlation(pairs: pl.DataFrame) -> tuple[float | None, int, float | None, float | None, float | None]:
    """Spearman's correlation with the interval of Bonett and Wright (2000, doi:10.1007/BF02294183)."""
    apart, n = pairs.select(pl.col("apart").median()).item(), pairs.height
    found = pairs.select(pl.corr("first_value", "value", method="spearman")).item()
    if n < _FEWEST_PAIRS or found is None or not math.isfinite(found):
        return apart, n, None, None, None
    if abs(found) >= 1:
        return apart, n, found, None, None
    error = math.sqrt((1 + found**2 / 2) / (n - 3)) * float(norm.ppf(0.975))
    low, high = (math.tanh(math.atanh(found) + sign * error) for sign in (-1, 1))
    return apart, n, found, low, high
