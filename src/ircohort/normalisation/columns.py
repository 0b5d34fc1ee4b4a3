"""Which column is what: by option, by configuration, or by an explicit list of spellings; never by likeness.

Two candidates for one name are a question to the user, and so is a unit that nobody stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ircohort.errors import ColumnError, RefusedError, UnitError
from ircohort.export import Export
from ircohort.layouts import LabLayout, lab_layout, table_layout
from ircohort.normalisation.aliases import ALIAS_VALUES
from ircohort.normalisation.headers import NAMES, TIMES, is_alias, own_header, states_strange_unit
from ircohort.normalisation.readings import ISO
from ircohort.schema import VISITS
from ircohort.units import ANALYTES, fold

CONSTANTS = tuple(name for name, analyte in ANALYTES.items() if analyte.dimension == "measurement")
"""Measurements that may be taken as constant."""

LONG_ROLES = ("test", "value", "unit", "sign")


@dataclass(frozen=True)
class Choice:
    """A column named by the user: its header, and which of its values mean what.

    ``pattern`` has one group, which takes out of a cell what counts. In a long table an analyte is named by its
    ``tests``.
    """

    header: str = ""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pattern: str = ""
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitSaid:
    """A unit as it is stated: one ``unit`` for all, or one that varies.

    It varies ``by`` a ``column``, the ``file`` or the calendar ``year``; ``units`` says what the cells of that column
    (names of files, years) stand for; empty, they are units themselves. ``unit`` then holds where nothing is said.
    """

    unit: str = ""
    by: str = ""
    column: str = ""
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Columns:
    """What the user says of columns and units. Empty means: recognise by the listed spellings."""

    named: Mapping[str, Choice] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    units: Mapping[str, UnitSaid] = field(default_factory=dict)
    constant: tuple[str, ...] = ()
    date_format: tuple[str, ...] = (ISO,)
    long: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recognised:
    """One column that is read: what it is, by which rule, its unit, and where that was stated.

    ``table`` is the joined table that it stands in, empty for the laboratory table. ``tests``: in a long table, the
    tests of this analyte. ``varying``: statements of a unit that varies from row to row, the first that says one
    counts; ``unit`` holds where none does.
    """

    name: str
    header: str
    rule: str
    table: str = ""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pattern: str = ""
    tests: tuple[str, ...] = ()
    unit: str = ""
    unit_from: str = ""
    varying: tuple[UnitSaid, ...] = ()


@dataclass(frozen=True)
class Recognition:
    """All columns that are read, and the questions that are open. Nothing is read while one is.

    ``kept``: headers that are carried through. ``keys``: headers that lead to joined
    tables, with their names. ``long``: the columns of a long table by their role, empty for a wide
    one. ``signs``: what stands for a sign in
    its column of signs. ``layout``: the name of the layout, if the table has a known one.
    """

    columns: tuple[Recognised, ...]
    questions: tuple[RefusedError, ...] = ()
    kept: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    long: Mapping[str, str] = field(default_factory=dict)
    signs: Mapping[str, str] = field(default_factory=dict)
    layout: str = ""

    def __getitem__(self, name: str) -> Recognised | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def analytes(self) -> tuple[Recognised, ...]:
        """The columns that hold results."""
        return tuple(column for column in self.columns if column.name in ANALYTES)

    @property
    def read(self) -> frozenset[str]:
        """The headers of everything that is read."""
        by_row = {stated.column for column in self.columns for stated in column.varying if stated.by == "column"}
        return frozenset(
            {column.header for column in self.columns}
            | by_row
            | set(self.long.values())
            | set(self.kept)
            | set(self.keys)
        )

    @property
    def has_time(self) -> bool:
        """Whether visits have a time at all."""
        return any(self[name] is not None for name in TIMES)


def find_columns(export: Export, said: Columns) -> Recognition:
    """Say what each column of an export is; units are looked for later.

    Raises
    ------
    ColumnError
        If the user names a column that is not there.
    """
    headers = {header: export.table_of(header) for header in export.columns}
    layout = _layout(export, said)
    long = _long_columns(headers, said, layout)
    for name, choice in said.named.items():
        if not (long and names_tests(name, choice, headers)):
            _present(choice.header, headers, f"columns.{name}")
    _check_kept(said.keep, headers)
    found = list(_of_layouts(export, said, layout))
    ambiguous: dict[str, RefusedError] = {}
    for name in _wanted(said, {column.name for column in found}):
        if name in said.named:
            choice = said.named[name]
            if long and names_tests(name, choice, headers):
                continue
            table = headers[choice.header]
            found.append(Recognised(name, choice.header, "named", table, choice.values, choice.pattern))
            continue
        matches = _candidates(name, headers, export, said, long)
        if len(matches) > 1:
            ambiguous[name] = _two_candidates(name, matches)
        elif matches:
            table = headers[matches[0]]
            values = ALIAS_VALUES.get(fold(own_header(matches[0], table)), {})
            found.append(Recognised(name, matches[0], "spelling", table, values))
    found.sort(key=lambda column: NAMES.index(column.name))
    missing = _missing({column.name for column in found} | set(ambiguous), headers, long)
    missing += _calendar_day(found, headers)
    missing += _strange_units({column.name for column in found} | set(ambiguous), headers, said, long)
    keys = {raw.spec.via or raw.spec.key: table for table, raw in export.joined.items()}
    keys |= {f"{table}.{raw.spec.key}": table for table, raw in export.joined.items()}
    signs = layout.signs if layout and not said.long else {}
    name = layout.name if layout and not said.long else ""
    return Recognition(tuple(found), (*ambiguous.values(), *missing), said.keep, keys, long, signs, name)


def _layout(export: Export, said: Columns) -> LabLayout | None:
    return None if said.long else lab_layout(export.labs.headers)


def _long_columns(headers: Mapping[str, str], said: Columns, layout: LabLayout | None) -> dict[str, str]:
    """Give the columns of a long table by their role."""
    long = dict(said.long) or {
        role: header for role, header in (layout.long if layout else {}).items() if header in headers
    }
    for role in ("test", "value", *long) if long else ():
        if long.get(role, "") not in headers:
            raise ColumnError(
                f"The long table has no column for its {role}.",
                expected=f"There are: {', '.join(headers)}.",
                next_step='State [long] test = "HEADER", value = "HEADER", and unit = "HEADER" where there is one.',
            )
    return long


def _of_layouts(export: Export, said: Columns, layout: LabLayout | None) -> Iterable[Recognised]:
    """Take what known layouts say of their headers, where the user names nothing else."""
    known: dict[str, tuple[str, str, str, dict[str, tuple[str, ...]]]] = {}
    if layout:
        known = {name: (layout.name, header, "", {}) for name, header in layout.columns.items()}
    for table, raw in export.joined.items():
        if (of_table := table_layout(raw.headers)) is not None:
            for name, header in of_table.columns.items():
                if header in raw.columns:
                    known[name] = (of_table.name, f"{table}.{header}", table, dict(of_table.values.get(name, {})))
    time_is_named = any(name in said.named for name in TIMES)
    for name, (rule, header, table, values) in known.items():
        if name not in said.named and not (name in TIMES and time_is_named):
            yield Recognised(name, header, rule, table, values)


def _wanted(said: Columns, known: set[str]) -> list[str]:
    """List the names to look for: a stated time settles the time."""
    time_is_known = any(name in said.named or name in known for name in TIMES)
    return [
        name for name in NAMES if name not in known and (name in said.named or not (name in TIMES and time_is_known))
    ]


def _candidates(
    name: str, headers: Mapping[str, str], export: Export, said: Columns, long: Mapping[str, str]
) -> list[str]:
    claimed = {choice.header for choice in said.named.values()} | set(long.values()) | set(said.keep)
    matches = [header for header in headers if header not in claimed and is_alias(name, header, headers[header])]
    # The key of a joined table says the same as the column that leads to it.
    same = {
        f"{table}.{raw.spec.key}" for table, raw in export.joined.items() if (raw.spec.via or raw.spec.key) in matches
    }
    return [header for header in matches if header not in same]


def names_tests(name: str, choice: Choice, headers: Mapping[str, object]) -> bool:
    """Say whether an analyte of a long table is named by its tests, and not by a column."""
    return name in ANALYTES and choice.header not in headers


def _present(header: str, headers: Mapping[str, str], where: str) -> None:
    if header not in headers:
        raise ColumnError(
            f"There is no column {header!r} (named by {where}).",
            expected=f"There are: {', '.join(headers)}.",
            next_step="Write the header as it stands in the file, for a joined table as table.Header.",
        )


def _check_kept(kept: Iterable[str], headers: Mapping[str, str]) -> None:
    """Refuse a kept column that is not there, or whose name is taken in the table of visits."""
    bounds = {f"{name}{end}" for name in VISITS.names for end in ("_lower", "_upper")}
    seen: set[str] = set()
    for header in kept:
        _present(header, headers, "columns.keep")
        name = own_header(header, headers[header])
        if name in {*VISITS.names, *bounds, *seen}:
            raise ColumnError(
                f"The column {header!r} cannot be kept: the table of visits has a column {name!r} already.",
                next_step="Rename it in the file, or leave it out of [columns] keep.",
            )
        seen.add(name)


def _two_candidates(name: str, matches: Iterable[str]) -> ColumnError:
    listed = list(matches)
    return ColumnError(
        f"{len(listed)} columns could be {name}: {', '.join(listed)}.",
        expected="ircohort does not choose between two candidates.",
        next_step=f'Name one: --column {name}="{listed[0]}", or in the configuration: [columns] {name} = "{listed[0]}"',
    )


def _missing(names: set[str], headers: Mapping[str, str], long: Mapping[str, str]) -> list[RefusedError]:
    listed = ", ".join(headers)
    missing: list[RefusedError] = []
    if "participant_id" not in names:
        missing.append(
            ColumnError(
                "No column is recognised as the participant identifier.",
                expected=f"There are: {listed}.",
                next_step='Name it: --column participant_id="HEADER", or in the configuration: '
                '[columns] participant_id = "HEADER"',
            )
        )
    if not long and not names & set(ANALYTES):
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


def _calendar_day(found: Iterable[Recognised], headers: Mapping[str, str]) -> list[RefusedError]:
    """Ask what a day is that stands beside a month or a year: a day of the calendar is no offset."""
    questions: list[RefusedError] = []
    for column in found:
        beside = [
            header
            for header, table in headers.items()
            if table == column.table and fold(own_header(header, table)) in ("month", "year")
        ]
        is_day = (column.name, column.rule) == ("day", "spelling")
        if is_day and fold(own_header(column.header, column.table)) == "day" and beside:
            questions.append(
                ColumnError(
                    f"The column {column.header} stands beside {' and '.join(beside)}: a day of the calendar?",
                    expected="A day is read as an offset in days.",
                    next_step='Name the offset with --column day="HEADER", or put the date in one column.',
                )
            )
    return questions


def _strange_units(
    names: set[str], headers: Mapping[str, str], said: Columns, long: Mapping[str, str]
) -> list[RefusedError]:
    """Ask for the unit of headers that would be an analyte, but state a unit in brackets that is not read."""
    aside = {*said.keep, *long.values(), *(choice.header for choice in said.named.values())}
    return [
        UnitError(
            f"The column {header} states a unit that ircohort does not read for {name}.",
            expected=f"Read are: {', '.join(entry.unit for entry in analyte.conversions)}.",
            next_step=f'If it is {analyte.unit}: --column {name}="{header}" --unit {name}="{analyte.unit}". If it is '
            f'something else, [columns] keep = ["{header}"] carries it through unread.',
        )
        for name, analyte in ANALYTES.items()
        for header, table in headers.items()
        if name not in names and header not in aside and states_strange_unit(own_header(header, table), name)
    ]


def with_columns(
    recognition: Recognition, columns: Iterable[Recognised], questions: Iterable[RefusedError]
) -> Recognition:
    """Give a recognition other columns, and more questions."""
    return replace(recognition, columns=tuple(columns), questions=(*recognition.questions, *questions))
