"""Stated units held against the values: a factor of 18, 88, 38 or 6 does not come from biology."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import UnitError
from ircohort.export import SOURCE_FILE, Export
from ircohort.normalisation.columns import Recognition
from ircohort.normalisation.order import Rows
from ircohort.normalisation.readings import Policy
from ircohort.normalisation.recognition import PEOPLE_FOR_EVIDENCE, USUAL_MEDIAN
from ircohort.normalisation.results import Results, counts_of_readings
from ircohort.parallel import each
from ircohort.units import ANALYTES, Conversion, conversion

CLOSE_TO_FACTOR = math.log(1.35)
"""How near the ratio of two medians must be to a factor between units to be taken for it, on the log scale. Medians of
groups of ten differ by chance by 20 % or so, cohorts by up to two-fold; the smallest factor is 6."""

BIN = math.log(1.01)
"""Medians of groups are taken from values counted in bins of this width on the log scale, exact to 1 %: the work is one
pass over the results, whatever the number of groups."""

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
        return of_groups or next(_of_whole(one, rows, policy, low, bins), None)

    concerned = [one for one in results if one.analyte in USUAL_MEDIAN and len(ANALYTES[one.analyte].conversions) > 1]
    for one, question in zip(concerned, each(found, concerned), strict=True):
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


def _of_whole(one: Results, rows: Rows, policy: Policy, low: float, bins: NDArray[np.int32]) -> Iterator[UnitError]:
    n = counts_of_readings(one).to_numpy()
    for unit in one.readings["unit"].unique().drop_nulls().sort():
        of_unit = (one.readings["unit"] == unit).fill_null(False).to_numpy()
        median = _median(np.bincount(bins[of_unit], n[of_unit])[1:], low)
        other = _other_unit(one.analyte, unit, median, policy) if median else ""
        members = pl.Series(of_unit).gather(one.found["reading"]) if other else None
        if members is not None and _enough_people(rows, one.found["at"].filter(members)):
            usual = USUAL_MEDIAN[one.analyte]
            evidence = f"{_exact(one, members)}, usual is {usual[0]:g} to {usual[1]:g}; it looks like {other}."
            yield _question(one, "all values", unit, other, evidence, f"--unit {one.analyte}={other!r}")


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
        units = _usual_units(group, one, len(names))
        suspects: dict[str, tuple[str, str]] = {}
        for place, name in enumerate(names):
            inside, outside = _median(counts[place], low), _median(counts.sum(axis=0) - counts[place], low)
            if inside is None or outside is None:
                continue
            other = _suspect(one.analyte, units[place], inside, outside, policy)
            if other and _enough_people(rows, one.found["at"].filter(group == place)):
                members = group == place
                evidence = f"{_exact(one, members)}, and {_exact(one, ~members)} in the rest; it looks like {other}."
                suspects[name] = (other, evidence)
        right = dict(zip(names, units, strict=True)) | {name: other for name, (other, _) in suspects.items()}
        for name, (other, evidence) in suspects.items():
            stated = units[names.index(name)]
            yield _question(one, f"{by} {name}", stated, other, evidence, _settled(one.analyte, by, right, recognition))


def _counted(group: pl.Series, codes: NDArray[np.int32], one: Results, n_groups: int) -> NDArray[np.int64]:
    """Count results by their group and the code of their reading; the last row is of no group."""
    n_codes = int(codes.max(initial=0)) + 1
    key = group.to_numpy() * np.int32(n_codes) + codes[one.found["reading"].to_numpy()]
    counts: NDArray[np.int64] = np.bincount(key, minlength=(n_groups + 1) * n_codes).reshape(-1, n_codes)
    return counts


def _usual_units(group: pl.Series, one: Results, n_groups: int) -> list[str]:
    """Give the unit that most results of each group are stated in."""
    known = one.readings["unit"].unique().drop_nulls().sort().to_list()
    if len(known) < 2:
        return [*known, ""][:1] * n_groups
    place = {unit: code for code, unit in enumerate(known)}
    codes = np.array([place.get(unit, len(known)) for unit in one.readings["unit"]], dtype=np.int32)
    counts = _counted(group, np.append(codes, len(known)).astype(np.int32), one, n_groups)[:n_groups, : len(known)]
    return [known[int(most)] for most in counts.argmax(axis=1)]


def _exact(one: Results, members: pl.Series) -> str:
    stated = one.readings["stated"].gather(one.found["reading"].filter(members)).drop_nulls()
    median = float(stated.filter(stated > 0).median() or 0.0)  # type: ignore[arg-type]
    return f"{median:.4g} {ANALYTES[one.analyte].unit}"


def _settled(analyte: str, by: str, units: Mapping[str, str], recognition: Recognition) -> str:
    """Write the line of a configuration that states the units of all groups."""
    listed = "{ " + ", ".join(f'"{name}" = "{unit}"' for name, unit in units.items() if unit) + " }"
    site = recognition["site"]
    if by == "site" and site is not None:
        return f'[units] {analyte} = {{ column = "{site.header}", units = {listed} }}'
    return f"[units] {analyte} = {{ {by} = {listed} }}"


def _bins(one: Results) -> tuple[float, NDArray[np.int32]]:
    """Give each reading a bin of its logarithm, from 1; 0 is for those without a number above zero."""
    stated = one.readings["stated"].fill_null(0.0).to_numpy()
    stated = np.where(np.isfinite(stated), stated, 0.0)
    logs = np.log(np.where(stated > 0, stated, np.nan))
    low = float(np.nanmin(logs)) if (stated > 0).any() else 0.0
    return low, np.where(stated > 0, np.nan_to_num(logs - low) // BIN + 1, 0).astype(np.int32)


def _median(counts: NDArray[np.int64], low: float) -> float | None:
    """Give the middle of the bin that holds the median of ten values or more."""
    if counts.sum() < PEOPLE_FOR_EVIDENCE:
        return None
    return math.exp(low + BIN * (int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 0.5))


def _enough_people(rows: Rows, at: pl.Series) -> bool:
    return rows.context["person"].gather(at).n_unique() >= PEOPLE_FOR_EVIDENCE


def _suspect(analyte: str, unit: str, inside: float, outside: float, policy: Policy) -> str:
    """Name the unit that the values of a group look like, and those of the rest do not."""
    if not unit:
        return ""
    if (other := _other_unit(analyte, unit, inside, policy)) and not _other_unit(analyte, unit, outside, policy):
        return other
    return _off_by_factor(analyte, unit, inside, outside, policy)


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


def _question(one: Results, where: str, unit: str, other: str, evidence: str, settled: str) -> UnitError:
    return UnitError(
        f"The values of {one.analyte} contradict the stated unit {unit} ({where}, column {one.column}).",
        expected=f"Read so, their median is {evidence}",
        next_step=f"If it is {other}, state {settled}. If {unit} is right, state so: "
        f'[policy] trust_units = ["{one.analyte}"].',
    )
