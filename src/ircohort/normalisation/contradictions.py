"""Stated units held against the values: a factor of 18, 88, 38 or 6 does not come from biology."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UnitError
from ircohort.export import SOURCE_FILE, Export
from ircohort.normalisation.columns import Recognised, Recognition
from ircohort.normalisation.order import Rows
from ircohort.normalisation.readings import Policy
from ircohort.normalisation.recognition import PEOPLE_FOR_EVIDENCE, USUAL_MEDIAN
from ircohort.normalisation.results import Results, counts_of_readings
from ircohort.parallel import each
from ircohort.units import ANALYTES, Conversion, conversion

USUAL: Mapping[str, tuple[float, float]] = {**USUAL_MEDIAN, "insulin": (1.5, 40)}
"""Medians beyond which values are held against another unit. Lean children have medians of fasting insulin about
2 uIU/mL (11 pmol/L), so that only below 1.5 it is the unit and not the cohort that is asked about."""

FACTOR_OF_WHOLE, FACTOR_OF_GROUPS = 2.5, 5.0
"""The smallest factors between units that are looked for in all values and between groups. All values are held against
:data:`USUAL`, which tells inches from cm (2.54) and nmol/L of C-peptide from ng/mL (3.02), not g/L of triglycerides
from mmol/L (1.13). Groups of a cohort may be apart by such factors, and be of children and of adults."""

FACTOR_BEYOND_PEOPLE = 10.0
"""By so much no two groups of people differ, but by the 6 of insulin they nearly may."""

SHORT_OF_FACTOR, POPULATIONS_APART = math.log(1.35), math.log(2.0)
"""How far from the rest a group may be once read in the other unit, on the log scale. Populations differ up to
two-fold; where people may differ by nearly the factor itself, a group that falls short of it must be closer."""

SAME_POPULATION = math.log(1.05)
"""Where a group is usual as stated, it and the rest must be apart by the very factor: insulin of 28 against 5 uIU/mL is
of obese and lean people, as 22 against 4 is."""

BIN = math.log(1.01)
"""Medians of groups are taken from values counted in bins of this width on the log scale, exact to 1 %: the work is one
pass over the results, whatever the number of groups."""

LEAST, MOST = 1e-6, 1e9
"""Numbers beyond these are counted as these, so that a slip of the keyboard does not make bins by the million."""

Groups = Mapping[str, tuple[pl.Series, list[str]]]


def contradictions(
    results: Iterable[Results], rows: Rows, export: Export, recognition: Recognition, policy: Policy
) -> Iterator[tuple[str, UnitError]]:
    """Find analytes whose values contradict the stated unit: in a file, a site or a year, else as a whole.

    Yields
    ------
    analyte, question
        With the evidence, for groups of ten people or more.
    """
    groups = _groups(rows, export)

    def found(one: Results) -> UnitError | None:
        low, bins = _bins(one)
        of_groups = next(_of_groups(one, rows, groups, recognition, policy, low, bins), None)
        return of_groups or next(_of_whole(one, rows, recognition, policy, low, bins), None)

    concerned = [one for one in results if one.analyte in USUAL_MEDIAN and len(ANALYTES[one.analyte].conversions) > 1]
    for one, question in zip(concerned, each(found, concerned, export.height), strict=True):
        if question:
            yield one.analyte, question


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
        name: (_codes(of_rows, listed[name]), [str(group) for group in listed[name]])
        for name, of_rows in by.items()
        if len(listed[name]) > 1
    }


def _codes(of_rows: pl.Series, groups: pl.Series) -> pl.Series:
    """Give each row the place of its group; a row of none has the place after all others."""
    if groups.dtype == pl.String:
        return of_rows.cast(pl.Enum(groups)).to_physical().cast(pl.Int32).fill_null(len(groups))
    place = pl.int_range(len(groups), dtype=pl.Int32, eager=True)
    return of_rows.replace_strict(groups, place, default=len(groups), return_dtype=pl.Int32)


def _of_whole(
    one: Results, rows: Rows, recognition: Recognition, policy: Policy, low: float, bins: NDArray[np.int32]
) -> Iterator[UnitError]:
    n = counts_of_readings(one).to_numpy()
    units = one.readings["unit"].unique().drop_nulls().sort()
    for unit in units:
        of_unit = (one.readings["unit"] == unit).fill_null(False).to_numpy()
        median = _median(np.bincount(bins[of_unit], n[of_unit])[1:], low)
        if not (other := _other_unit(one.analyte, unit, median, policy) if median else ""):
            continue
        if shown := _shown(one, rows, pl.Series(of_unit).gather(one.found["reading"])):
            usual = USUAL[one.analyte]
            evidence = f"{shown}, usual is {usual[0]:g} to {usual[1]:g}; it looks like {other}."
            shared = len(units) == 1 and not _without_unit(one).any()
            answer = f"state --unit {one.analyte}={other!r}"
            if not shared:  # one unit for all would override rows that are rightly stated in another one
                answer = f"correct it in the rows that are stated in {unit}{_source(recognition[one.analyte])}"
            yield _question(one, "all values", unit, other, evidence, answer)


def _of_groups(
    one: Results,
    rows: Rows,
    groups: Groups,
    recognition: Recognition,
    policy: Policy,
    low: float,
    bins: NDArray[np.int32],
) -> Iterator[UnitError]:
    for by, (group_of_row, names) in groups.items():
        group = group_of_row if one.is_of_every_row(rows) else group_of_row.gather(one.found["at"])
        counts = _counted(group, bins, one, len(names))[:, 1:]
        units, uniform = _stated_units(group, one, len(names))
        of_all = counts.sum(axis=0)
        suspects: dict[str, tuple[str, str]] = {}
        for place, name in enumerate(names):
            inside, rest = _median(counts[place], low), _median(of_all - counts[place], low)
            if inside is None or rest is None:
                continue
            other = _suspect(one.analyte, units[place], inside, rest, policy)
            if other and (shown := _shown(one, rows, group == place)):
                of_rest = _shown(one, rows, group != place)
                against = f"and {of_rest} in the rest" if of_rest else "unlike the rest"
                suspects[name] = (other, f"{shown}, {against}; it looks like {other}.")
        right = dict(zip(names, units, strict=True)) | {name: other for name, (other, _) in suspects.items()}
        for name, (other, evidence) in suspects.items():
            if uniform:
                answer = _settled(one.analyte, by, right, recognition)
            else:  # a unit for each group would override rows that are rightly stated in another one
                source = _source(recognition[one.analyte])
                answer = f"correct it in the rows of {by} {name}{source}, or state the unit of that {by} alone"
            yield _question(one, f"{by} {name}", units[names.index(name)], other, evidence, answer)


def _counted(group: pl.Series, codes: NDArray[np.int32], one: Results, n_groups: int) -> NDArray[np.int64]:
    """Count results by their group and the code of their reading; the last row is of no group."""
    n_codes = int(codes.max(initial=0)) + 1
    key = group.to_numpy() * np.int64(n_codes) + codes[one.found["reading"].to_numpy()]
    counts: NDArray[np.int64] = np.bincount(key, minlength=(n_groups + 1) * n_codes).reshape(-1, n_codes)
    return counts


def _stated_units(group: pl.Series, one: Results, n_groups: int) -> tuple[list[str], bool]:
    """Give the unit that most results of each group are stated in, and whether that is so of all of them."""
    known = one.readings["unit"].unique().drop_nulls().sort().to_list()
    without = _without_unit(one).to_numpy()
    if len(known) < 2 and not without.any():
        return [*known, ""][:1] * n_groups, True
    place: dict[str | None, int] = {unit: code for code, unit in enumerate(known)}
    of_readings = np.array([place.get(unit, len(known) + 1) for unit in one.readings["unit"]], dtype=np.int32)
    codes = np.append(np.where(without, len(known), of_readings), len(known) + 1).astype(np.int32)
    counts = _counted(group, codes, one, n_groups)[:n_groups, : len(known) + 1]
    uniform = bool(((counts > 0).sum(axis=1) <= 1).all())
    of_known = counts[:, : len(known)]
    return [known[int(row.argmax())] if row.any() else "" for row in of_known], uniform


def _without_unit(one: Results) -> pl.Series:
    """Say which readings would be a result if their unit were known."""
    return (one.readings["rule"] == "unknown_unit").fill_null(False)


def _shown(one: Results, rows: Rows, members: pl.Series) -> str:
    """Write the median of results that are of ten people or more; empty for fewer, rows of nobody left out."""
    counted = one.found.filter(members & (one.found["at"] < rows.n_known))
    stated = one.readings["stated"].gather(counted["reading"])
    number = (stated.is_finite() & (stated > 0)).fill_null(False)
    if rows.context["person"].gather(counted["at"].filter(number)).n_unique() < PEOPLE_FOR_EVIDENCE:
        return ""
    return f"{float(stated.filter(number).median()):.4g} {ANALYTES[one.analyte].unit}"  # type: ignore[arg-type]


def _source(column: Recognised | None) -> str:
    return f" ({column.unit_from})" if column is not None and column.unit_from else ""


def _settled(analyte: str, by: str, units: Mapping[str, str], recognition: Recognition) -> str:
    """Write the line of a configuration that states the units of all groups."""
    site = recognition["site"] if by == "site" else None
    if site is not None and site.pattern:  # units are looked up by the cell, before its pattern
        return f"state the unit of each cell of the column {site.header}, as it is written in the file, pattern aside"
    listed = "{ " + ", ".join(f"{_quoted(name)} = {_quoted(unit)}" for name, unit in units.items() if unit) + " }"
    if site is not None:
        return f"state [units] {analyte} = {{ column = {_quoted(site.header)}, units = {listed} }}"
    return f"state [units] {analyte} = {{ {by} = {listed} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bins(one: Results) -> tuple[float, NDArray[np.int32]]:
    """Give each reading a bin of its logarithm, from 1; 0 is for those without a number above zero."""
    stated = one.readings["stated"].fill_null(0.0).to_numpy()
    stated = np.where(np.isfinite(stated), stated, 0.0)
    logs = np.log(np.where(stated > 0, np.clip(stated, LEAST, MOST), np.nan))
    low = float(np.nanmin(logs)) if (stated > 0).any() else 0.0
    return low, np.where(stated > 0, np.nan_to_num(logs - low) // BIN + 1, 0).astype(np.int32)


def _median(counts: NDArray[np.int64], low: float) -> float | None:
    """Give the middle of the bin that holds the median of ten values or more."""
    if counts.sum() < PEOPLE_FOR_EVIDENCE:
        return None
    return math.exp(low + BIN * (int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 0.5))


def _suspect(analyte: str, unit: str, inside: float, rest: float, policy: Policy) -> str:
    """Name the unit in which the values of a group would be like those of the rest, as they are not so far."""
    for stated, other in _others(analyte, unit, policy, FACTOR_OF_GROUPS) if unit else ():
        would_be = _as_other(stated, other, inside)
        if would_be > 0 and _is_explained(analyte, inside, would_be, rest, _factor(stated, other)):
            return other.unit
    return ""


def _is_explained(analyte: str, inside: float, would_be: float, rest: float, factor: float) -> bool:
    """Say whether the other unit explains why a group is apart from the rest."""
    now, then = math.log(inside / rest), math.log(would_be / rest)
    if _is_usual(analyte, inside):
        middle = math.sqrt(math.prod(USUAL[analyte]))
        less_usual = abs(math.log(inside / middle)) > abs(math.log(would_be / middle))
        return less_usual and _is_usual(analyte, rest) and abs(then) < SAME_POPULATION
    short = SHORT_OF_FACTOR if factor < FACTOR_BEYOND_PEOPLE else POPULATIONS_APART
    beyond = then if inside > would_be else -then  # above 0 if the group is apart by more than the factor
    return abs(then) < abs(now) and -short < beyond < POPULATIONS_APART


def _is_usual(analyte: str, median: float) -> bool:
    low, high = USUAL[analyte]
    return low <= median <= high


def _others(analyte: str, unit: str, policy: Policy, at_least: float) -> Iterator[tuple[Conversion, Conversion]]:
    """List the units that values may be in instead, with the stated one, a factor away from it."""
    stated = conversion(analyte, unit, insulin_factor=policy.insulin_factor)
    for entry in ANALYTES[analyte].conversions:
        other = conversion(analyte, entry.unit, insulin_factor=policy.insulin_factor)
        if entry.unit != "JDS %" and _factor(stated, other) >= at_least:
            yield stated, other


def _factor(stated: Conversion, other: Conversion) -> float:
    ratio = float(stated.scale / other.scale)
    return max(ratio, 1 / ratio)


def _as_other(stated: Conversion, other: Conversion, median: float) -> float:
    """Say what a canonical median would be if the numbers were in the other unit."""
    number = (median - float(stated.offset)) / float(stated.scale)
    return float(other.scale) * number + float(other.offset)


def _other_unit(analyte: str, unit: str, median: float, policy: Policy) -> str:
    """Name the unit in which a median would be as usual that is not so in the stated one."""
    if _is_usual(analyte, median):
        return ""
    others = _others(analyte, unit, policy, FACTOR_OF_WHOLE)
    return next((other.unit for stated, other in others if _is_usual(analyte, _as_other(stated, other, median))), "")


def _question(one: Results, where: str, unit: str, other: str, evidence: str, answer: str) -> UnitError:
    return UnitError(
        f"The values of {one.analyte} contradict the stated unit {unit} ({where}, column {one.column}).",
        expected=f"Read so, their median is {evidence}",
        next_step=f"If it is {other}, {answer}. If {unit} is right, state so: "
        f'[policy] trust_units = ["{one.analyte}"].',
    )
