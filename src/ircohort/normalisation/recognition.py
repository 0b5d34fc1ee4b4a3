"""What is known of an export before its values are read: columns, tests, units; and the questions that are open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import polars as pl

from ircohort.errors import ColumnError, RefusedError, UnitError
from ircohort.export import Export
from ircohort.layouts import lab_layout
from ircohort.normalisation.aliases import ALIAS_UNITS, ALIASES, LOINC
from ircohort.normalisation.cells import cells_of, dialect_of, value_cells
from ircohort.normalisation.columns import (
    Choice,
    Columns,
    Recognised,
    Recognition,
    UnitSaid,
    find_columns,
    names_tests,
    with_columns,
)
from ircohort.normalisation.context import unreadable_flags
from ircohort.normalisation.headers import own_header, split_unit
from ircohort.normalisation.readings import Dialect, date_shares, read_dates, read_numbers
from ircohort.units import ANALYTES, Analyte, conversion, fold

PEOPLE_FOR_EVIDENCE = 10
"""A median is shown for this many people or more, so that no one's value can be read from a message."""

SHARE_OF_ANOTHER_DIALECT, CELLS_OF_ANOTHER_DIALECT = 0.05, 3
"""From so many cells that another decimal mark would make numbers, above this share, the mark is a question."""

LEAST_FOR_QUESTION = 10
"""Of fewer cells that are not read, beside some that are, the rejected lines say enough."""

# A value whose canonical median lies here is "as usual" for its unit: evidence in a question, never a decision.
USUAL_MEDIAN: Mapping[str, tuple[float, float]] = {
    "glucose": (70, 180),
    "insulin": (2, 40),
    "triglycerides": (40, 300),
    "hdl": (25, 100),
    "hba1c": (4, 10),
    "c_peptide": (0.3, 8),
    "waist": (55, 140),
}


def recognise(export: Export, said: Columns) -> Recognition:
    """Say what each column of an export is, in which unit, and what is an open question.

    Raises
    ------
    ColumnError
        If the user names a column that is not there.
    """
    recognition = find_columns(export, said)
    tests, questions = _tests(export, recognition, said) if recognition.long else ([], [])
    with_tests = with_columns(recognition, (*recognition.columns, *tests), questions)
    known = [_with_unit(column, with_tests, said, export) for column in with_tests.columns]
    recognition = with_columns(with_tests, (column for column, _ in known), (asked for _, asked in known if asked))
    return with_columns(
        recognition,
        recognition.columns,
        (
            *_dialect_questions(export, recognition),
            *_date_questions(export, recognition, said),
            *unreadable_flags(export, recognition),
        ),
    )


def _tests(export: Export, recognition: Recognition, said: Columns) -> tuple[list[Recognised], list[RefusedError]]:
    """Find the tests of a long table that are analytes: by the user's word, else by spelling or LOINC code."""
    layout = lab_layout(export.labs.headers) if recognition.layout else None
    codes = layout.tests if layout else {}
    known = export.columns[recognition.long["test"]].texts.to_list()
    named = {
        name: tuple(test for test in known if fold(test) in {fold(word) for word in choice.tests or (choice.header,)})
        for name, choice in said.named.items()
        if names_tests(name, choice, export.columns)
    }
    claimed = {test for tests in named.values() for test in tests}
    kinds: dict[str, dict[str, list[str]]] = {}
    for test in known:
        code = codes.get(test, test)
        analyte, kind = _kind(code)
        if code in LOINC and "unit" not in recognition.long:
            kind = f"LOINC {code}"  # a code of mass and one of moles need a unit each
        if analyte and test not in claimed:
            kinds.setdefault(analyte, {}).setdefault(kind, []).append(test)
    columns: list[Recognised] = []
    questions: list[RefusedError] = []
    for name in ANALYTES:
        beside = recognition[name]
        if beside is not None:
            if name in kinds:
                questions.append(_test_and_column(name, next(iter(kinds[name].values())), beside.header))
            continue
        header = recognition.long["value"]
        if name in named:
            if not named[name]:
                questions.append(_no_such_test(name, said.named[name], recognition.long["test"]))
            columns.append(Recognised(name, header, "named", "", {}, said.named[name].pattern, named[name]))
        elif len(kinds.get(name, {})) > 1:
            questions.append(_several_tests(name, [tests[0] for tests in kinds[name].values()]))
        elif name in kinds:
            kind, tests = next(iter(kinds[name].items()))
            rule = "LOINC" if kind.startswith("LOINC") else "spelling"
            columns.append(Recognised(name, header, recognition.layout or rule, tests=tuple(tests)))
    return columns, questions


def _kind(test: str) -> tuple[str, str]:
    """Name the analyte of a test, and what tells it from other tests of the analyte."""
    if test in LOINC:
        analyte, fasting = LOINC[test]
        return analyte, "LOINC, fasting" if fasting else "LOINC"
    for name in ANALYTES:
        stem = fold(split_unit(test, ANALYTES[name])[0])
        if stem in ALIASES[name]:
            return name, stem
    return "", ""


def _no_such_test(name: str, choice: Choice, header: str) -> ColumnError:
    listed = ", ".join(choice.tests or (choice.header,))
    return ColumnError(
        f"No row of the long table is of the test {listed} (named by columns.{name}).",
        next_step=f"Write it as it stands in the column {header}.",
    )


def _test_and_column(name: str, tests: list[str], header: str) -> ColumnError:
    return ColumnError(
        f"{name} could be the test {tests[0]} or the column {header}.",
        expected="ircohort does not choose between two candidates.",
        next_step=f'Name one: --column {name}="{tests[0]}" or --column {name}="{header}"',
    )


def _several_tests(name: str, tests: list[str]) -> ColumnError:
    listed = ", ".join(f'"{test}"' for test in tests)
    return ColumnError(
        f"{len(tests)} tests could be {name}: {listed}.",
        expected="ircohort does not choose between two candidates, and puts tests together only by your word.",
        next_step=f"Name one or more in the configuration: [columns] {name} = [{listed}]",
    )


def _with_unit(
    column: Recognised, recognition: Recognition, said: Columns, export: Export
) -> tuple[Recognised, RefusedError | None]:
    """Find where the unit of a column is stated: option or configuration, column of units, header, definition."""
    if column.name not in ANALYTES:
        return column, None
    stated = said.units.get(column.name, UnitSaid())
    by_row = tuple(_by_row(column, stated, recognition, export))
    if stated.unit and not stated.by and (contrary := _contrary_units(column, stated.unit, by_row, export)):
        return column, _two_statements(column, stated.unit, contrary, by_row[0].column)
    by_row = () if stated.unit and not stated.by else by_row
    fixed = [(stated.unit, "option or configuration")]
    if not (stated.by and stated.units):  # a map that the user states says all
        fixed += [
            (_in_name(column), "name of the test" if column.tests else "header"),
            (ALIAS_UNITS.get(fold(own_header(column.header, column.table)), ""), "definition of the column"),
            (only_unit(column.name), "only one is in use"),
        ]
    unit, where = next(((unit, where) for unit, where in fixed if unit), ("", ""))
    if by_row:
        where = f"column {by_row[0].column}" if by_row[0].by == "column" else f"configuration, by {by_row[0].by}"
    if not unit and not by_row:
        return column, _unit_question(column, ANALYTES[column.name], export, recognition)
    try:
        known = conversion(column.name, unit).unit if unit else ""
    except UnitError as question:
        return column, question
    return replace(column, unit=known, unit_from=where, varying=by_row), None


def _contrary_units(column: Recognised, unit: str, by_row: Iterable[UnitSaid], export: Export) -> list[str]:
    """List other units of the analyte that a column of units states for some of its rows."""
    analyte = ANALYTES[column.name]
    words: set[str] = set()
    for stated in by_row:
        cells = export.columns[stated.column]
        at_values = cells.codes.filter(export.columns[column.header].codes.is_not_null()).drop_nulls().unique()
        met = [] if column.tests else cells.texts.gather(at_values.sort()).to_list()
        words |= {analyte.spellings.get(fold(stated.units.get(word, word)), "") for word in met}
    return sorted(words - {"", conversion(column.name, unit).unit})


def _two_statements(column: Recognised, unit: str, contrary: list[str], header: str) -> UnitError:
    return UnitError(
        f"The unit of {column.name} is stated as {unit}, and in rows of the column {header} as {', '.join(contrary)}.",
        expected="A unit for all rows would be laid over those that state their own.",
        next_step="For the rows that state none: "
        f'[units] {column.name} = {{ column = "{header}", otherwise = "{unit}" }}',
    )


def _by_row(column: Recognised, stated: UnitSaid, recognition: Recognition, export: Export) -> Iterator[UnitSaid]:
    """List the statements of units that vary from row to row, in the order in which they count."""
    if stated.by:
        _check_map(column, stated, recognition, export)
        yield stated
        return
    if column.tests:
        layout = lab_layout(export.labs.headers) if recognition.layout else None
        if "unit" in recognition.long:
            yield UnitSaid(by="column", column=recognition.long["unit"], units=layout.units if layout else {})
        if layout and layout.other_unit in export.columns:
            yield UnitSaid(by="column", column=layout.other_unit)
        named = {test: split_unit(test, ANALYTES[column.name])[1] for test in column.tests}
        if len(set(named.values())) > 1:
            yield UnitSaid(by="column", column=recognition.long["test"], units={t: u for t, u in named.items() if u})
    elif (header := _unit_header(column, export)) is not None:
        yield UnitSaid(by="column", column=header)


def _check_map(column: Recognised, stated: UnitSaid, recognition: Recognition, export: Export) -> None:
    """Refuse a statement of units whose column, files or years are not there."""
    where = f"units.{column.name}"
    if stated.by == "column" and stated.column not in export.columns:
        raise ColumnError(
            f"There is no column {stated.column!r} (named by {where}).",
            expected=f"There are: {', '.join(export.columns)}.",
        )
    if stated.by == "year" and recognition["visit_date"] is None:
        raise ColumnError(
            f"The unit of {column.name} is stated by year, and no column gives the date of a visit.",
            next_step='Name it: --column visit_date="HEADER"',
        )
    if stated.by == "year":
        return
    table = export.joined[column.table] if column.table else export.labs
    known = export.columns[stated.column].texts.to_list() if stated.by == "column" else [f.name for f in table.files]
    unknown = [word for word in stated.units if word not in known]
    if unknown:
        kind = f"cell of {stated.column}" if stated.column else "file"
        raise ColumnError(
            f"{where} names {', '.join(map(repr, unknown))}, which no {kind} is.",
            next_step="Write each as it stands there.",
        )


def _unit_header(column: Recognised, export: Export) -> str | None:
    """Find the column of units that goes with a column of values: its header is the analyte's, and ``unit``."""
    own = split_unit(own_header(column.header, column.table), None)[0]
    spellings = {f"{stem}{word}" for stem in (*ALIASES[column.name], fold(own)) for word in ("unit", "units")}
    same_table = (header for header in export.columns if export.table_of(header) == column.table)
    found = [header for header in same_table if fold(own_header(header, column.table)) in spellings]
    if len(found) > 1:
        raise ColumnError(
            f"{len(found)} columns could hold the unit of {column.name}: {', '.join(found)}.",
            expected="ircohort does not choose between two candidates.",
            next_step=f'Name one in the configuration: [units] {column.name} = {{ column = "{found[0]}" }}',
        )
    return next(iter(found), None)


def _in_name(column: Recognised) -> str:
    if not column.tests:
        return split_unit(own_header(column.header, column.table), ANALYTES[column.name])[1]
    stated = {split_unit(test, ANALYTES[column.name])[1] for test in column.tests}
    return stated.pop() if len(stated) == 1 else ""


def only_unit(analyte: str) -> str:
    """Give the unit of an analyte that has only one; empty for all others."""
    row = ANALYTES[analyte]
    return row.unit if len(row.conversions) == 1 else ""


def _unit_question(column: Recognised, analyte: Analyte, export: Export, recognition: Recognition) -> UnitError:
    participant = recognition["participant_id"]
    cells = value_cells(export, recognition, column)
    numbers = cells.of(read_numbers(cells.texts, dialect_of(export, column)))
    person = cells_of(export, participant).codes if participant else pl.repeat(None, len(numbers), eager=True)
    numbers = numbers.filter(person.is_not_null())  # a number of nobody is no evidence, and counts for no one
    people = person.drop_nulls().filter(numbers.is_not_null()).n_unique()
    if people >= PEOPLE_FOR_EVIDENCE:
        evidence, likely = _evidence(analyte, float(numbers.median() or 0.0))  # type: ignore[arg-type]
    else:
        low, high = USUAL_MEDIAN[analyte.name]
        others = ", ".join(entry.unit for entry in analyte.conversions)
        evidence = f"A usual median lies between {low:g} and {high:g} {analyte.unit}. Read are: {others}."
        likely = analyte.unit
    where = f"{'tests' if column.tests else 'column'} {_title(column)}"
    return UnitError(
        f"{analyte.name} has no stated unit ({export.labs.files[0].name}, {where}).",
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


def _dialect_questions(export: Export, recognition: Recognition) -> Iterator[RefusedError]:
    """Ask for the decimal mark of a table where many cells could be read with another one."""
    concerned: dict[str, list[str]] = {}
    for column in recognition.analytes:
        if (export.joined[column.table] if column.table else export.labs).spec.decimal:
            continue  # what is stated is final
        cells = value_cells(export, recognition, column)
        other = _other_dialect(export, column)
        now, then = (
            read_numbers(cells.texts, dialect).is_not_null() for dialect in (dialect_of(export, column), other)
        )
        n, whole = cells.of(then & ~now).sum(), cells.codes.count()
        if n >= CELLS_OF_ANOTHER_DIALECT and n > SHARE_OF_ANOTHER_DIALECT * whole:
            concerned.setdefault(column.table, []).append(f"{n} of {whole} cells of {_title(column)}")
    for table, listed in concerned.items():
        column = next(column for column in recognition.analytes if column.table == table)
        mark = _other_dialect(export, column).decimal
        where = f"[tables.{table or export.labs.spec.name}]"
        yield ColumnError(
            f"{', '.join(listed)} would be numbers with {mark!r} as decimal mark, and are none as stated.",
            expected="ircohort does not guess whether 1,234 is one thousand or a little more than one.",
            next_step=f'State the decimal mark: --decimal "{mark}", or in the configuration: {where} decimal = '
            f'"{mark}"; or what sets thousands apart: thousands = "{mark}"',
        )


def _other_dialect(export: Export, column: Recognised) -> Dialect:
    return Dialect("." if dialect_of(export, column).decimal == "," else ",")


def _title(column: Recognised) -> str:
    return ", ".join(column.tests) or column.header


def _date_questions(export: Export, recognition: Recognition, said: Columns) -> Iterator[RefusedError]:
    """Ask for the form of dates where no cell has the one that is taken, or most have another one."""
    for name in ("visit_date", "birth_date"):
        column = recognition[name]
        if column is None:
            continue
        cells = cells_of(export, column)
        counts, whole = counts_of(cells.codes, len(cells.texts)), cells.codes.count()
        readable = read_dates(cells.texts, said.date_format)["date"].is_not_null()
        n_read = int(counts.filter(readable).sum())
        shares = date_shares(cells.texts.filter(~readable), counts.filter(~readable))
        another = max(shares.values(), default=0)
        if not len(cells.texts) or (n_read and (another < LEAST_FOR_QUESTION or another <= whole / 2)):
            continue
        forms = " or ".join(said.date_format)
        in_use = [form for form in said.date_format if n_read or _reads_another(form, name, export, recognition)]
        seen = "; ".join(f"{count} of {whole} are of the form {form}" for form, count in shares.items())
        likely = [*in_use, next(iter(shares), "%d/%m/%Y")]
        yield ColumnError(
            f"{f'Only {n_read} of {whole} cells' if n_read else 'No cell'} of the column {column.header} "
            f"{'are dates' if n_read else 'is a date'} of the form {forms}.",
            expected=f"{seen + '. ' if seen else ''}ircohort does not guess whether 03/04 is in March or in April.",
            next_step=f"State the form: {' '.join(f'--date-format {form!r}' for form in likely)}, or in the "
            f"configuration: [columns] date_format = {json.dumps(likely if in_use else likely[0])}",
        )


def _reads_another(form: str, name: str, export: Export, recognition: Recognition) -> bool:
    """Say whether a form reads the dates of another column, and so has to stay."""
    other = recognition["birth_date" if name == "visit_date" else "visit_date"]
    return other is not None and bool(read_dates(cells_of(export, other).texts, [form])["date"].count())


def counts_of(codes: pl.Series, n: int) -> pl.Series:
    """Count how often each code stands."""
    counted = codes.drop_nulls().value_counts(name="n")
    return pl.zeros(n, pl.UInt32, eager=True).scatter(counted[counted.columns[0]], counted["n"])
