"""Which column is what: by option, by configuration, or by an explicit list of spellings; never by likeness.

Two candidates for one name are a question to the user, and so is a unit that nobody stated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import polars as pl

from ircohort.errors import ColumnError, RefusedError, UnitError
from ircohort.export import Export
from ircohort.normalisation.readings import read_dates
from ircohort.schema import VISITS
from ircohort.units import ANALYTES, Analyte, conversion, fold

TIMES = ("visit_date", "day", "year")
FLAGS = ("fasting", "glucose_lowering_drug", "pregnant", "ill")
TEXTS = ("assay", "site")
PERSON = ("participant_id", "sex", "age", "birth_date", "birth_year")
NAMES = (*PERSON, *TIMES, *ANALYTES, *FLAGS, *TEXTS)
"""Every name that a column can be given."""

CONSTANTS = tuple(name for name, analyte in ANALYTES.items() if analyte.dimension == "measurement")
"""Measurements that may be taken as constant."""

PEOPLE_FOR_EVIDENCE = 10
"""A median is shown for this many people or more, so that no one's value can be read from a message."""


def _folded(**listed: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(fold(word) for word in words.split("|")) for name, words in listed.items()})


ALIASES = _folded(
    participant_id="participant_id|participant|patient_id|patient|subject_id|subject|person_id|person|study_id|id|SEQN",
    visit_date="visit_date|date|collection_date|sample_date|draw_date|test_date|exam_date|date_of_visit|date_of_draw",
    day="day|study_day|day_offset|days_since_baseline",
    year="years|year_offset|years_since_baseline",
    birth_date="birth_date|date_of_birth|dob",
    birth_year="birth_year|year_of_birth|yob",
    age="age|age_years|age_at_visit|RIDAGEYR",
    sex="sex|gender",
    glucose="glucose|fasting_glucose|fasting_plasma_glucose|plasma_glucose|fpg|fbg|glu|gluc|LBXGLU|LBDGLUSI",
    insulin="insulin|fasting_insulin|serum_insulin|plasma_insulin|ins|LBXIN|LBDINSI",
    triglycerides="triglycerides|triglyceride|tg|trig|trigs|tgl|LBXTR|LBDTRSI",
    hdl="hdl|hdl_cholesterol|hdl_c|hdl_chol|LBDHDD|LBDHDDSI",
    hba1c="hba1c|hb_a1c|a1c|glycated_haemoglobin|glycated_hemoglobin|LBXGH",
    c_peptide="c_peptide|cpeptide|LBXCPSI",
    bmi="bmi|body_mass_index|BMXBMI",
    waist="waist|waist_circumference|BMXWAIST",
    fasting="fasting|fasted|is_fasting",
    glucose_lowering_drug="glucose_lowering_drug|glucose_lowering_treatment|diabetes_drug|diabetes_medication",
    pregnant="pregnant|pregnancy",
    ill="ill|acute_illness|acutely_ill",
    assay="assay|insulin_assay|method",
    site="site|laboratory|lab|centre|center",
)
"""Spellings by which a column is recognised; case, spaces and punctuation do not count."""

ALIAS_UNITS: Mapping[str, str] = MappingProxyType(
    {
        fold(header): unit
        for header, unit in {
            "LBXGLU": "mg/dL",
            "LBDGLUSI": "mmol/L",
            "LBXIN": "uIU/mL",
            "LBDINSI": "pmol/L",
            "LBXTR": "mg/dL",
            "LBDTRSI": "mmol/L",
            "LBDHDD": "mg/dL",
            "LBDHDDSI": "mmol/L",
            "LBXGH": "NGSP %",
            "LBXCPSI": "nmol/L",
            "BMXWAIST": "cm",
        }.items()
    }
)
"""Headers whose unit is part of their definition (NHANES laboratory documentation)."""

# A value whose canonical median lies here is "as usual" for its unit: evidence in a question, never a decision.
USUAL_MEDIAN: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "glucose": (70, 180),
        "insulin": (2, 40),
        "triglycerides": (40, 300),
        "hdl": (25, 100),
        "hba1c": (4, 10),
        "c_peptide": (0.3, 8),
        "waist": (55, 140),
    }
)

_BRACKETED = re.compile(r"^(?P<name>.*?)[\s_.,-]*[(\[](?P<unit>[^()\[\]]+)[)\]]\s*$")


@dataclass(frozen=True)
class Choice:
    """A column named by the user: its header, and which of its values mean what."""

    header: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Columns:
    """What the user says of columns and units. Empty means: recognise by the listed spellings."""

    named: Mapping[str, Choice] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    constant: tuple[str, ...] = ()
    date_format: str = "%Y-%m-%d"
    long: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recognised:
    """One column that is read: what it is, by which rule, its unit, and where that was stated.

    ``table`` is the joined table that it stands in, empty for the laboratory table.
    """

    name: str
    header: str
    rule: str
    table: str = ""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unit: str = ""
    unit_from: str = ""


@dataclass(frozen=True)
class Recognition:
    """All columns that are read, and the questions that are open. Nothing is read while one is."""

    columns: tuple[Recognised, ...]
    questions: tuple[RefusedError, ...]

    def __getitem__(self, name: str) -> Recognised | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def analytes(self) -> tuple[Recognised, ...]:
        """The columns that hold results."""
        return tuple(column for column in self.columns if column.name in ANALYTES)


def recognise(export: Export, said: Columns) -> Recognition:
    """Say what each column of an export is.

    Raises
    ------
    ColumnError
        If the user names a column that is not there.
    """
    headers = _headers(export)
    for name, choice in said.named.items():
        if not (said.long and name in ANALYTES):  # there it names a test, not a column
            _present(choice.header, headers, f"columns.{name}")
    _check_kept(said.keep, headers)
    found: list[Recognised] = []
    ambiguous: dict[str, RefusedError] = {}
    for name in _wanted(said):
        if name in said.named:
            choice = said.named[name]
            found.append(Recognised(name, choice.header, "named", headers[choice.header], choice.values))
            continue
        matches = _candidates(name, headers, said)
        if len(matches) > 1:
            ambiguous[name] = _two_candidates(name, matches)
        elif matches:
            found.append(Recognised(name, matches[0], "spelling", headers[matches[0]]))
    missing = _missing({column.name for column in found} | set(ambiguous), headers, said)
    units = [_with_unit(column, said, export, found) for column in found]
    return Recognition(
        tuple(column for column, _ in units),
        (
            *ambiguous.values(),
            *missing,
            *(question for _, question in units if question),
            *_date_questions(found, said, export),
        ),
    )


def _date_questions(found: Iterable[Recognised], said: Columns, export: Export) -> list[RefusedError]:
    """Ask for the form of dates where no cell of a column has the one that is taken."""
    dates = [column for column in found if column.name in ("visit_date", "birth_date")]
    unread = [
        column.header
        for column in dates
        if export.rows[column.header].count() and not read_dates(export.rows[column.header], said.date_format).count()
    ]
    return [
        ColumnError(
            f"No cell of the column {header} is a date of the form {said.date_format}.",
            expected="ircohort does not guess whether 03/04 is in March or in April.",
            next_step='State the form: --date-format "%d/%m/%Y", or in the configuration: '
            '[columns] date_format = "%d/%m/%Y"',
        )
        for header in unread
    ]


def _wanted(said: Columns) -> list[str]:
    """List the names to look for: a stated time settles the time, a long table holds its analytes in rows."""
    time_is_named = any(name in said.named for name in TIMES)
    return [
        name
        for name in NAMES
        if not (name in ANALYTES and said.long) and (name in said.named or not (name in TIMES and time_is_named))
    ]


def _candidates(name: str, headers: Mapping[str, str], said: Columns) -> list[str]:
    claimed = {choice.header for choice in said.named.values()} | set(said.long.values())
    return [header for header in headers if header not in claimed and _is_alias(name, header, headers[header])]


def _headers(export: Export) -> dict[str, str]:
    """List every header with the name of its joined table (empty for the laboratory table)."""
    listed = dict.fromkeys(export.labs.headers, "")
    for name, table in export.joined.items():
        listed |= {f"{name}.{header}": name for header in table.headers}
    return listed


def _present(header: str, headers: Mapping[str, str], where: str) -> None:
    if header not in headers:
        raise ColumnError(
            f"There is no column {header!r} (named by {where}).",
            expected=f"There are: {', '.join(headers)}.",
            next_step="Write the header as it stands in the file, for a joined table as table.Header.",
        )


def kept_name(header: str) -> str:
    """Name a kept column: its header, without the table it comes from."""
    return header.rsplit(".", 1)[-1]


def _check_kept(kept: Iterable[str], headers: Mapping[str, str]) -> None:
    """Refuse a kept column that is not there, or whose name is taken in the table of visits."""
    bounds = {f"{name}{end}" for name in VISITS.names for end in ("_lower", "_upper")}
    seen: set[str] = set()
    for header in kept:
        _present(header, headers, "columns.keep")
        name = kept_name(header)
        if name in {*VISITS.names, *bounds, *seen}:
            raise ColumnError(
                f"The column {header!r} cannot be kept: the table of visits has a column {name!r} already.",
                next_step="Rename it in the file, or leave it out of [columns] keep.",
            )
        seen.add(name)


def only_unit(analyte: str) -> str:
    """Give the unit of an analyte that has only one; empty for all others."""
    row = ANALYTES[analyte]
    return row.unit if len(row.conversions) == 1 else ""


def _is_alias(name: str, header: str, table: str) -> bool:
    stem, unit = split_unit(_own(header, table), ANALYTES.get(name))
    return fold(stem) in ALIASES[name] and (not unit or name in ANALYTES or name == "age")


def _own(header: str, table: str) -> str:
    """Give the header as it stands in its own table."""
    return header.removeprefix(f"{table}.") if table else header


def split_unit(header: str, analyte: Analyte | None) -> tuple[str, str]:
    """Split ``Glucose (mg/dL)`` and ``glucose_mg_dl`` into the name and its unit."""
    bracketed = _BRACKETED.match(header)
    if bracketed:
        return bracketed["name"], bracketed["unit"]
    if analyte is None:
        return header, ""
    folded = fold(header).replace("/", "")
    for spelling in sorted(analyte.spellings, key=len, reverse=True):
        stem = folded.removesuffix(spelling.replace("/", ""))
        if stem != folded and stem in ALIASES[analyte.name]:
            return stem, spelling
    return header, ""


def _two_candidates(name: str, matches: Iterable[str]) -> ColumnError:
    listed = list(matches)
    return ColumnError(
        f"{len(listed)} columns could be {name}: {', '.join(listed)}.",
        expected="ircohort does not choose between two candidates.",
        next_step=f'Name one: --column {name}="{listed[0]}", or in the configuration: [columns] {name} = "{listed[0]}"',
    )


def _missing(names: set[str], headers: Mapping[str, str], said: Columns) -> list[RefusedError]:
    listed = ", ".join(headers)
    missing: list[RefusedError] = []
    if "participant_id" not in names:
        missing.append(
            ColumnError(
                "No column is recognised as the participant identifier.",
                expected=f"There are: {listed}.",
                next_step='Name it: --column participant_id="HEADER"',
            )
        )
    if not said.long and not names & set(ANALYTES):
        missing.append(
            ColumnError(
                f"No column is recognised as one of {', '.join(ANALYTES)}.",
                expected=f"There are: {listed}.",
                next_step='Name them, for example --column glucose="HEADER", or state [long] test, value, unit.',
            )
        )
    times = sorted(names & set(TIMES), key=TIMES.index)
    if len(times) > 1:
        missing.append(
            ColumnError(
                f"{len(times)} columns could be the time of a visit: {', '.join(times)}.",
                next_step=f'Name the one to use, for example --column {times[0]}="HEADER"',
            )
        )
    return missing


def _with_unit(
    column: Recognised, said: Columns, export: Export, found: Iterable[Recognised]
) -> tuple[Recognised, RefusedError | None]:
    if column.name not in ANALYTES:
        return column, None
    analyte = ANALYTES[column.name]
    own = _own(column.header, column.table)
    stated = [
        (said.units.get(column.name, ""), "option or configuration"),
        (split_unit(own, analyte)[1], "header"),
        (ALIAS_UNITS.get(fold(own), ""), "definition of the column"),
        (only_unit(column.name), "only one is in use"),
    ]
    unit, where = next(((unit, where) for unit, where in stated if unit), ("", ""))
    if not unit:
        return column, _unit_question(column, analyte, export, found)
    try:
        known = conversion(column.name, unit)
    except UnitError as question:
        return column, question
    return replace(column, unit=known.unit, unit_from=where), None


def _unit_question(column: Recognised, analyte: Analyte, export: Export, found: Iterable[Recognised]) -> UnitError:
    participant = next((entry.header for entry in found if entry.name == "participant_id"), None)
    numbers = export.rows.select(
        pl.col(column.header).cast(pl.Float64, strict=False).alias("value"),
        pl.col(participant or column.header).alias("person"),
    ).drop_nulls()
    if participant and numbers["person"].n_unique() >= PEOPLE_FOR_EVIDENCE:
        evidence, likely = _evidence(analyte, float(numbers["value"].median() or 0.0))  # type: ignore[arg-type]
    else:
        low, high = USUAL_MEDIAN[analyte.name]
        others = ", ".join(entry.unit for entry in analyte.conversions)
        evidence = f"A usual median lies between {low:g} and {high:g} {analyte.unit}. Read are: {others}."
        likely = analyte.unit
    return UnitError(
        f"{analyte.name} has no stated unit ({export.labs.files[0].name}, column {column.header}).",
        expected=evidence,
        next_step=f"If it is {likely}, add --unit {analyte.name}={likely!r}, "
        f'or to the configuration: units.{analyte.name} = "{likely}".',
    )


def _evidence(analyte: Analyte, median: float) -> tuple[str, str]:
    """Say what the median would be under each unit; the reader decides."""
    low, high = USUAL_MEDIAN[analyte.name]
    canonical = {entry.unit: float(entry.scale) * median + float(entry.offset) for entry in analyte.conversions}
    usual = [unit for unit, value in canonical.items() if low <= value <= high]
    others = "; ".join(
        f"as {unit} it would be {value:.4g} {analyte.unit}" for unit, value in canonical.items() if unit != analyte.unit
    )
    as_usual = f", as usual for {' or '.join(usual)}" if usual else ", as usual for none of the units read"
    return f"Its median is {median:.4g}{as_usual}; {others}.", (usual or [analyte.unit])[0]
