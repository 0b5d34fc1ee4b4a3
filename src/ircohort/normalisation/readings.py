"""What a cell says: a number, a number beyond a limit, a date, or nothing that can be read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

import polars as pl

from ircohort.errors import UnitError
from ircohort.glycaemia import class_of_reading
from ircohort.normalisation.rules import RULES
from ircohort.schema import GLYCAEMIA, VISITS
from ircohort.units import ANALYTES, INSULIN_PMOL_PER_UIU, conversion

CENSORED = ("half", "bounds", "drop")
DUPLICATES = ("reject", "mean", "first")

THOUSANDS = {"": "", ".": r"\.", ",": ",", " ": r"[\s\u00a0\u202f\u2009]", "'": "['\u2019]"}
"""How thousands may be set apart, as the part of a pattern; the blank stands for any kind of it."""

EXCEL_SERIALS: Mapping[str, date] = {"excel": date(1899, 12, 30), "excel-1904": date(1904, 1, 1)}
"""Days counted by a spreadsheet, from which day. The 1900 system counts a 29 February 1900 that was none, so that its
count is right from 1 March 1900 on (Microsoft, "Excel incorrectly assumes that the year 1900 is a leap year")."""

ISO = "%Y-%m-%d"
_FIRST_YEAR, _LAST_YEAR = 1850, 2150  # outside, a date is a typing error
_ZONE = r"([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
_TIMES = ("T%H:%M:%S%.f", " %H:%M:%S%.f", "T%H:%M", " %H:%M")

_SIGNS: Mapping[str, str] = {"<": "<", "≤": "<", "<=": "<", ">": ">", "≥": ">", ">=": ">", "": "", "=": ""}


@dataclass(frozen=True)
class Policy:
    """How cells are judged where opinions differ. Each is a setting, printed in manifest and report.

    ``censored``: what stands in the column for ``<x``: ``half`` of the limit (for ``>x`` the limit), nothing but the
    ``bounds`` beside it, or ``drop``. ``duplicates``: ``reject`` all conflicting values, take their ``mean``, or the
    ``first`` by line. ``insulin_factor``: pmol per uIU. ``criteria``: ``ada`` or ``who``. ``draw_window_days``: results
    within so many days are of one draw. ``as_of``: the last day that a visit can have (None: today).
    ``trust_units``: analytes whose stated unit stands, even if the values contradict it.
    """

    duplicates: str = "reject"
    censored: str = "half"
    insulin_factor: Decimal = INSULIN_PMOL_PER_UIU
    criteria: str = "ada"
    cut_offs: Mapping[str, float] = field(default_factory=dict)
    draw_window_days: int = 0
    as_of: date | None = None
    trust_units: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """How the numbers of a table are written: the decimal mark, and what sets thousands apart, in groups of three."""

    decimal: str = "."
    thousands: str = ""

    @property
    def number(self) -> str:
        """The pattern of a number."""
        mark = re.escape(self.decimal)
        plain = rf"\d+(?:{mark}\d*)?|{mark}\d+"
        grouped = rf"\d{{1,3}}(?:{THOUSANDS[self.thousands]}\d{{3}})+(?:{mark}\d*)?|" if self.thousands else ""
        return rf"[+-]?(?:{grouped}{plain})(?:[eE][+-]?\d{{1,2}})?"

    def plain(self, number: str) -> str:
        """Write a number of this dialect with a decimal point and nothing else."""
        if self.thousands:
            number = re.sub(THOUSANDS[self.thousands], "", number)
        return number.replace(self.decimal, ".")


@dataclass(frozen=True)
class Reading:
    """What a cell says, in canonical units; ``rule`` names the rule that keeps it out, if one does.

    ``stated`` is its number as converted, plausible or not. ``reported`` and ``unit`` are the number in the unit of
    its report, for classification.
    """

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    censored: bool = False
    glycaemia: str | None = None
    stated: float | None = None
    reported: str | None = None
    unit: str | None = None
    rule: str | None = None


READING = pl.Schema(
    {
        "value": pl.Float64(),
        "lower": pl.Float64(),
        "upper": pl.Float64(),
        "censored": pl.Boolean(),
        "glycaemia": pl.Enum(GLYCAEMIA),
        "stated": pl.Float64(),
        "reported": pl.String(),
        "unit": pl.String(),
        "rule": pl.Enum(list(RULES)),
    }
)


def as_frame(readings: Sequence[Reading]) -> pl.DataFrame:
    """Lay out readings as a table."""
    columns = {name: [getattr(reading, name) for reading in readings] for name in READING}
    return pl.DataFrame(columns, schema=READING)


class CellReader:
    """Reads the cells of one table, by its dialect and the policy.

    Examples
    --------
    >>> CellReader(Policy(), Dialect()).read("insulin", "<1", "uIU/mL").value
    0.5
    >>> CellReader(Policy(), Dialect()).read("glucose", "5.55", "mmol/L").glycaemia
    'prediabetes'
    >>> CellReader(Policy(), Dialect()).read("glucose", "5,2", "mmol/L").rule
    'unreadable_value'
    >>> CellReader(Policy(), Dialect(",")).read("glucose", "5,2", "mmol/L").reported
    '5.2'
    """

    def __init__(self, policy: Policy, dialect: Dialect) -> None:
        self.policy = policy
        self.dialect = dialect
        self._cell = re.compile(rf"\s*(?P<sign><=|>=|[<>≤≥])?\s*(?P<number>{dialect.number})\s*", re.ASCII)

    def read(self, analyte: str, value_text: str, unit_text: str | None) -> Reading:
        """Read one cell."""
        match = self._cell.fullmatch(value_text)
        if match is None:
            return Reading(rule="unreadable_value")
        try:
            convert = conversion(analyte, unit_text or "", insulin_factor=self.policy.insulin_factor)
        except UnitError:
            return Reading(rule="unknown_unit")
        reported = self.dialect.plain(match["number"])
        number = Decimal(reported)
        canonical = convert.apply(number)
        sign = _SIGNS[match["sign"] or ""]
        known = Reading(stated=float(canonical), reported=reported, unit=convert.unit, censored=bool(sign))
        if not _plausible(analyte, canonical, sign):
            return replace(known, rule="implausible_value")
        if sign:
            return _censored(known, analyte, number, canonical, sign, self.policy)
        return replace(known, value=float(canonical), glycaemia=_class(analyte, number, convert.unit, self.policy))


def _plausible(analyte: str, canonical: Decimal, sign: str) -> bool:
    """Hold a value against the range of its column; a limit of detection may lie below it, but not below zero."""
    column = VISITS[ANALYTES[analyte].column]
    high = column.high if column.high is not None else float("inf")
    if sign == "<":
        return 0.0 < float(canonical) <= high
    return (column.low or 0.0) <= float(canonical) <= high


def _censored(known: Reading, analyte: str, number: Decimal, canonical: Decimal, sign: str, policy: Policy) -> Reading:
    if policy.censored == "drop":
        return replace(known, rule="dropped_censored")
    limit = float(canonical)
    below = sign == "<"
    substitute = limit / 2 if below else limit
    edge = _class(analyte, number.next_minus() if below else number, known.unit or "", policy)
    sure = edge == ("normal" if below else "diabetes")
    return replace(
        known,
        value=substitute if policy.censored == "half" else None,
        lower=0.0 if below else limit,
        upper=limit if below else None,
        glycaemia=edge if sure else None,
    )


def _class(analyte: str, number: Decimal, unit: str, policy: Policy) -> str | None:
    """Classify a glucose or HbA1c in the unit of its report; JDS is converted to NGSP first, g/L to mg/dL."""
    if analyte not in ("glucose", "hba1c"):
        return None
    if unit in ("JDS %", "g/L"):
        number, unit = conversion(analyte, unit).apply(number), ANALYTES[analyte].unit
    return class_of_reading(analyte, number, unit, criteria=policy.criteria, overrides=policy.cut_offs)


def mean_reading(analyte: str, numbers: Iterable[str], unit: str, policy: Policy) -> Reading:
    """Read the mean of conflicting duplicates of one unit, which is classified like a reading."""
    listed = [Decimal(number) for number in numbers]
    mean = sum(listed, Decimal(0)) / len(listed)
    return CellReader(policy, Dialect()).read(analyte, f"{mean:f}", unit)


def read_numbers(texts: pl.Series, dialect: Dialect) -> pl.Series:
    """Read plain numbers, as of an age or an offset; null where a cell holds none.

    Examples
    --------
    >>> read_numbers(pl.Series(["41", "41,5", "<3"]), Dialect()).to_list()
    [41.0, None, None]
    """
    number = re.compile(dialect.number, re.ASCII)
    answers = [float(dialect.plain(text)) if number.fullmatch(text) else None for text in texts]
    return pl.Series(answers, dtype=pl.Float64)


def read_dates(texts: pl.Series, formats: Iterable[str]) -> pl.DataFrame:
    """Read dates of the stated forms (``strptime`` directives, or the names of :data:`EXCEL_SERIALS`).

    Returns
    -------
    polars.DataFrame
        ``date``, null where the text is of none of the forms; ``ambiguous``, where two of them read different days.

    Examples
    --------
    >>> read_dates(pl.Series(["2019-03-01", "2019-02-30", "1.3.2019"]), [ISO])["date"].null_count()
    2
    """
    each = pl.DataFrame([_dates(texts, form).alias(form) for form in dict.fromkeys(formats)])
    earliest, latest = pl.min_horizontal(pl.all()), pl.max_horizontal(pl.all())
    return each.select(
        pl.when(earliest == latest).then(earliest).alias("date"),
        (earliest != latest).fill_null(False).alias("ambiguous"),
    )


def _dates(texts: pl.Series, form: str) -> pl.Series:
    text = pl.col("text")
    if form in EXCEL_SERIALS:
        days = text.str.extract(r"^([0-9]{1,6})(?:\.[0-9]*)?$", 1).cast(pl.Int32)
        found = pl.lit(EXCEL_SERIALS[form]) + pl.duration(days=days)
    else:
        local = text if "%z" in form else text.str.replace(_ZONE, "$1")
        times = () if "%H" in form else _TIMES
        with_time = [local.str.to_datetime(form + time, strict=False, time_unit="us").dt.date() for time in times]
        found = pl.coalesce(text.str.to_date(form, strict=False), *with_time)
    credible = found.dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)
    return pl.DataFrame({"text": texts}).select(pl.when(credible).then(found)).to_series()


def is_date_format(form: str) -> bool:
    """Say whether a form reads back the day that it writes."""
    if form in EXCEL_SERIALS:
        return True
    day = datetime(2001, 2, 3, 4, 5, 6)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # polars warns of forms that have no day
            read = _dates(pl.Series([day.strftime(form)]), form)[0]
    except (ValueError, re.error, pl.exceptions.PolarsError, Warning):
        return False
    return bool(read == day.date())


COMMON_DATES = (
    ISO,
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d%b%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "excel",
)
"""Forms of dates that a question looks for. Nothing is read by them unless it is stated."""


def date_shares(texts: pl.Series, counts: pl.Series) -> dict[str, int]:
    """Count the cells that each of the common forms would read, most first.

    Examples
    --------
    >>> date_shares(pl.Series(["03/04/2020", "31/12/2020"]), pl.Series([1, 1]))
    {'%d/%m/%Y': 2, '%m/%d/%Y': 1}
    """
    fits = {form: int(counts.filter(_dates(texts, form).is_not_null()).sum()) for form in COMMON_DATES}
    return {form: n for form, n in sorted(fits.items(), key=lambda pair: -pair[1]) if n}
