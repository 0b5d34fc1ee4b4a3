"""What a cell says: a number, a number beyond a limit, or nothing that can be read. One answer per distinct cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import polars as pl

from ircohort.errors import UnitError
from ircohort.glycaemia import class_of_reading
from ircohort.schema import VISITS
from ircohort.units import ANALYTES, INSULIN_PMOL_PER_UIU, conversion

CENSORED = ("half", "bounds", "drop")
DUPLICATES = ("reject", "mean", "first")

_FIRST_YEAR, _LAST_YEAR = 1850, 2150  # outside, a date is a typing error

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"
_CELL = re.compile(rf"^\s*(?P<sign><=|>=|<|>|≤|≥)?\s*(?P<number>{_NUMBER})\s*$")


@dataclass(frozen=True)
class Policy:
    """How cells are judged where opinions differ. Each is a setting, printed in manifest and report.

    ``censored``: what stands in the column for ``<x``: ``half`` of the limit (for ``>x`` the limit), nothing but the
    ``bounds`` beside it, or ``drop``. ``duplicates``: ``reject`` all conflicting values, take their ``mean``, or the
    ``first`` by line. ``insulin_factor``: pmol per uIU. ``criteria``: ``ada`` or ``who``.
    """

    duplicates: str = "reject"
    censored: str = "half"
    insulin_factor: Decimal = INSULIN_PMOL_PER_UIU
    criteria: str = "ada"
    cut_offs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What a cell says, in canonical units; ``rule`` names the rule that keeps it out, if one does.

    ``reported`` and ``unit`` are the number in the unit of its report, for classification.
    """

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    censored: bool = False
    glycaemia: str | None = None
    reported: str | None = None
    unit: str | None = None
    rule: str | None = None


_READING_SCHEMA = {
    "value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "censored": pl.Boolean,
    "glycaemia": pl.String,
    "reported": pl.String,
    "unit": pl.String,
    "rule": pl.String,
}


def read_cells(cells: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add what each cell says to a frame with ``analyte``, ``value_text`` and ``unit_text``."""
    keys = ["analyte", "value_text", "unit_text"]
    distinct = cells.select(keys).unique(maintain_order=True)
    readings = [read_cell(analyte, value, unit, policy) for analyte, value, unit in distinct.iter_rows()]
    columns = {name: [getattr(reading, name) for reading in readings] for name in _READING_SCHEMA}
    answers = distinct.hstack(pl.DataFrame(columns, schema=_READING_SCHEMA))
    return cells.join(answers, on=keys, how="left", nulls_equal=True, maintain_order="left")


def read_cell(analyte: str, value_text: str, unit_text: str | None, policy: Policy) -> Reading:
    """Read one cell.

    Examples
    --------
    >>> read_cell("insulin", "<1", "uIU/mL", Policy()).value
    0.5
    >>> read_cell("glucose", "5.55", "mmol/L", Policy()).glycaemia
    'prediabetes'
    >>> read_cell("glucose", "5,2", "mmol/L", Policy()).rule
    'unreadable_value'
    """
    match = _CELL.match(value_text)
    if match is None:
        return Reading(rule="unreadable_value")
    try:
        convert = conversion(analyte, unit_text or "", insulin_factor=policy.insulin_factor)
    except UnitError:
        return Reading(rule="unknown_unit")
    number = Decimal(match["number"])
    canonical = convert.apply(number)
    sign = (match["sign"] or "").replace("≤", "<").replace("≥", ">")[:1]
    if not _plausible(analyte, canonical, sign):
        return Reading(rule="implausible_value")
    if sign:
        return _censored(analyte, number, canonical, convert.unit, sign, policy)
    return Reading(
        value=float(canonical),
        glycaemia=_class(analyte, number, convert.unit, policy),
        reported=match["number"],
        unit=convert.unit,
    )


def _plausible(analyte: str, canonical: Decimal, sign: str) -> bool:
    """Hold a value against the range of its column; a limit of detection may lie below it, but not below zero."""
    column = VISITS[ANALYTES[analyte].column]
    high = column.high if column.high is not None else float("inf")
    if sign == "<":
        return 0.0 < float(canonical) <= high
    return (column.low or 0.0) <= float(canonical) <= high


def _censored(analyte: str, number: Decimal, canonical: Decimal, unit: str, sign: str, policy: Policy) -> Reading:
    if policy.censored == "drop":
        return Reading(rule="dropped_censored")
    limit = float(canonical)
    below = sign == "<"
    substitute = limit / 2 if below else limit
    edge = _class(analyte, number, unit, policy)
    sure = edge == ("normal" if below else "diabetes")
    return Reading(
        value=substitute if policy.censored == "half" else None,
        lower=0.0 if below else limit,
        upper=limit if below else None,
        censored=True,
        glycaemia=edge if sure else None,
    )


def _class(analyte: str, number: Decimal, unit: str, policy: Policy) -> str | None:
    """Classify a glucose or HbA1c in the unit of its report; JDS is converted to NGSP first."""
    if analyte not in ("glucose", "hba1c"):
        return None
    if unit == "JDS %":
        number, unit = conversion(analyte, unit).apply(number), "NGSP %"
    return class_of_reading(analyte, number, unit, criteria=policy.criteria, overrides=policy.cut_offs)


def mean_reading(analyte: str, numbers: Iterable[str], unit: str, policy: Policy) -> Reading:
    """Read the mean of conflicting duplicates of one unit, which is classified like a reading."""
    listed = [Decimal(number) for number in numbers]
    return read_cell(analyte, str(sum(listed, Decimal(0)) / len(listed)), unit, policy)


def read_dates(texts: pl.Series, date_format: str) -> pl.Series:
    """Read dates of the stated format (``strptime`` directives); null where the text is not of that form.

    Examples
    --------
    >>> read_dates(pl.Series(["2019-03-01", "2019-02-30", "1.3.2019"]), "%Y-%m-%d").null_count()
    2
    """
    return texts.map_elements(lambda text: _date(text, date_format), return_dtype=pl.Date, skip_nulls=True)


def is_date_format(date_format: str) -> bool:
    """Say whether a format reads back the day that it writes."""
    day = datetime(2001, 2, 3)
    try:
        return datetime.strptime(day.strftime(date_format), date_format).date() == day.date()
    except (ValueError, re.error):
        return False


def _date(text: str, date_format: str) -> object:
    times = ("",) if "%H" in date_format else ("", " %H:%M:%S", "T%H:%M:%S", " %H:%M")
    for time in times:
        try:
            read = datetime.strptime(text, f"{date_format}{time}").date()
        except ValueError:
            continue
        return read if _FIRST_YEAR <= read.year <= _LAST_YEAR else None
    return None


def read_number(text: str) -> float | None:
    """Read a plain number, as for an age or an offset; null where it is none."""
    match = _CELL.match(text)
    return float(match["number"]) if match and not match["sign"] else None
