"""Stated units held against the values: a factor of 18, 88, 38 or 6 does not come from biology."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UnitError
from ircohort.export import SOURCE_FILE, Export
from ircohort.normalisation.order import Rows
from ircohort.normalisation.readings import Policy
from ircohort.normalisation.recognition import PEOPLE_FOR_EVIDENCE, USUAL_MEDIAN
from ircohort.normalisation.results import Results, counts_of_readings
from ircohort.units import ANALYTES, Conversion, conversion

CLOSE_TO_FACTOR = math.log(1.35)
"""How near the ratio of two medians must be to a factor between units to be taken for it, on the log scale. Medians of
groups of ten differ by chance by 20 % or so, cohorts by up to two-fold; the smallest factor is 6."""

BIN = math.log(1.01)
"""Medians of groups are taken from values counted in bins of this width on the log scale, exact to 1 %: the work is one
pass over the results, whatever the number of groups."""

Groups = Mapping[str, tuple[pl.Series, list[str]]]


def contradictions(
    results: Iterable[Results], rows: Rows, export: Export, policy: Policy
) -> Iterator[tuple[str, UnitError]]:
    """Find analytes whose values contradict the stated unit, as a whole or in a file, a site or a year.

    Yields
    ------
    analyte, question
        With the evidence, for groups of ten people or more.
    """
    groups = _groups(rows, export)
    for one in results:
        if one.analyte in USUAL_MEDIAN and len(ANALYTES[one.analyte].conversions) > 1:
            found = next(_of_whole(one, rows, policy), None) or next(_of_groups(one, rows, groups, policy), None)
            if found:
                yield one.analyte, found


def _groups(rows: Rows, export: Export) -> Groups:
    """Say for each row which file, site and year it is of, as codes, and what the codes stand for."""
    by: dict[str, pl.Series] = {}
    if len(export.labs.files) > 1:
        by["file"] = export.labs.places[SOURCE_FILE].gather(rows.order).cast(pl.String)
    if "site" in rows.context.columns:
        by["site"] = rows.context["site"]
    if "date" in rows.context.columns:
        by["year"] = rows.context["date"].dt.year()
    listed = {name: of_rows.unique().drop_nulls().sort() for name, of_rows in by.items()}
    return {
        name: ((of_rows.rank("dense") - 1).cast(pl.UInt32), [str(group) for group in listed[name]])
        for name, of_rows in by.items()
        if len(listed[name]) > 1
    }


def _of_whole(one: Results, rows: Rows, policy: Policy) -> Iterator[UnitError]:
    counted = one.readings.with_columns(counts_of_readings(one).alias("n"))
    for unit in one.readings["unit"].unique().drop_nulls().sort():
        of_unit = counted.filter((pl.col("unit") == unit) & (pl.col("stated") > 0)).sort("stated")
        if of_unit.is_empty() or not of_unit["n"].sum():
            continue
        median = of_unit.filter(pl.col("n").cum_sum() >= of_unit["n"].sum() / 2)["stated"][0]
        other = _other_unit(one.analyte, unit, median, policy)
        if other and _enough_people(rows, one.found.filter((one.of_readings("unit") == unit).fill_null(False))["at"]):
            yield _question(one, "", unit, other, median, USUAL_MEDIAN[one.analyte])


def _of_groups(one: Results, rows: Rows, groups: Groups, policy: Policy) -> Iterator[UnitError]:
    low, bins = _bins(one)
    n_bins = int(bins.max(initial=0)) + 1
    for by, (group_of_row, names) in groups.items():
        group = group_of_row.gather(one.found["at"]).fill_null(len(names))
        key = group.to_numpy().astype(np.int64) * n_bins + bins[one.found["reading"].to_numpy()]
        counts = np.bincount(key, minlength=(len(names) + 1) * n_bins).reshape(-1, n_bins)[:, 1:]
        for place, name in enumerate(names):
            inside, outside = _median(counts[place], low), _median(counts.sum(axis=0) - counts[place], low)
            members = group == place
            if inside is None or outside is None:
                continue
            other = next(_suspects(one, inside, outside, policy), None)
            if other is None:
                continue
            unit = one.of_readings("unit").filter(members).drop_nulls().mode().sort()[0]
            if unit != other and _enough_people(rows, one.found["at"].filter(members)):
                yield _question(one, f"{by} {name}", unit, other, inside, (outside, outside))


def _bins(one: Results) -> tuple[float, NDArray[np.int64]]:
    """Give each reading a bin of its logarithm, from 1; 0 is for those without a number above zero."""
    stated = one.readings["stated"].fill_null(0.0).to_numpy()
    logs = np.log(np.where(stated > 0, stated, np.nan))
    low = float(np.nanmin(logs)) if (stated > 0).any() else 0.0
    return low, np.where(stated > 0, np.nan_to_num(logs - low) // BIN + 1, 0).astype(np.int64)


def _median(counts: NDArray[np.int64], low: float) -> float | None:
    """Give the middle of the bin that holds the median of ten values or more."""
    if counts.sum() < PEOPLE_FOR_EVIDENCE:
        return None
    return math.exp(low + BIN * (int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 0.5))


def _enough_people(rows: Rows, at: pl.Series) -> bool:
    return rows.context["person"].gather(at).n_unique() >= PEOPLE_FOR_EVIDENCE


def _suspects(one: Results, inside: float, outside: float, policy: Policy) -> Iterator[str]:
    """Name units that the values of a group look like, beside the rest of the values."""
    for unit in one.readings["unit"].unique().drop_nulls().sort():
        if other := _other_unit(one.analyte, unit, inside, policy) or _off_by_factor(
            one.analyte, unit, inside, outside, policy
        ):
            yield other


def _others(analyte: str, unit: str, policy: Policy) -> Iterator[tuple[Conversion, Conversion]]:
    stated = conversion(analyte, unit, insulin_factor=policy.insulin_factor)
    for entry in ANALYTES[analyte].conversions:
        if entry.unit not in (unit, "JDS %"):
            yield stated, conversion(analyte, entry.unit, insulin_factor=policy.insulin_factor)


def _as_other(stated: Conversion, other: Conversion, median: float) -> float:
    """Say what a canonical median would be if the numbers were in the other unit."""
    number = (median - float(stated.offset)) / float(stated.scale)
    return float(other.scale) * number + float(other.offset)


def _other_unit(analyte: str, unit: str, median: float, policy: Policy) -> str:
    """Name the unit in which a median would be as usual that is not so in the stated one."""
    low, high = USUAL_MEDIAN[analyte]
    if low <= median <= high:
        return ""
    others = _others(analyte, unit, policy)
    return next((other.unit for stated, other in others if low <= _as_other(stated, other, median) <= high), "")


def _off_by_factor(analyte: str, unit: str, inside: float, outside: float, policy: Policy) -> str:
    """Name the unit whose factor lies between a group and the rest."""
    for stated, other in _others(analyte, unit, policy):
        would_be = _as_other(stated, other, inside)
        if would_be > 0 and abs(math.log(would_be / outside)) < CLOSE_TO_FACTOR < abs(math.log(inside / outside)) / 2:
            return other.unit
    return ""


def _question(one: Results, where: str, unit: str, other: str, median: float, usual: tuple[float, float]) -> UnitError:
    canonical = ANALYTES[one.analyte].unit
    expected = f"{usual[0]:.3g} in the rest" if usual[0] == usual[1] else f"usual is {usual[0]:g} to {usual[1]:g}"
    by, _, group = where.partition(" ")
    settle = {
        "": f"--unit {one.analyte}={other!r}",
        "file": f'[units] {one.analyte} = {{ file = {{ "{group}" = "{other}", … }} }}',
        "site": f'[units] {one.analyte} = {{ column = "SITE", units = {{ "{group}" = "{other}", … }} }}',
        "year": f'[units] {one.analyte} = {{ year = {{ "{group}" = "{other}", … }} }}',
    }[by]
    return UnitError(
        f"The values of {one.analyte} contradict the stated unit {unit} "
        f"({where or 'all values'}, column {one.column}).",
        expected=f"Read so, their median is {median:.3g} {canonical}, {expected}; it looks like {other}.",
        next_step=f"If it is {other}, state {settle}. If {unit} is right, state so: "
        f'[policy] trust_units = ["{one.analyte}"].',
    )
