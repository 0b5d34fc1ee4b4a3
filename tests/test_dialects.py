"""Any table, written in any dialect, unit system, encoding, shape and row order, comes back the same.

What should come back is worked out here, row by row and in plain Python, from the table before it was written.
"""

import csv
import gzip
import io
import os
import random
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ircohort as ic
from ircohort.errors import IrcohortError
from ircohort.export import TableSpec
from ircohort.intake import delimited, read_table

OUTCOMES = ("used", "rejected", "merged", "set_aside", "not_asked_for")

# --- the table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assay:
    """An analyte here: its column of visits, spellings, SI and conventional unit, and how one becomes the other."""

    column: str
    spellings: tuple[str, ...]
    si: str
    us: str
    scale: Decimal
    offset: Decimal = Decimal(0)


TESTS = {
    "glucose": Assay("glucose_mg_dl", ("Glucose", "FPG", "fasting_glucose"), "mmol/L", "mg/dL", Decimal("18.016")),
    "insulin": Assay("insulin_uiu_ml", ("INSULIN", "fasting insulin"), "pmol/L", "uIU/mL", 1 / Decimal(6)),
    "triglycerides": Assay("triglycerides_mg_dl", ("TG", "Triglycerides"), "mmol/L", "mg/dL", Decimal("88.57")),
    "hdl": Assay("hdl_mg_dl", ("HDL", "HDL-Cholesterol"), "mmol/L", "mg/dL", Decimal("38.67")),
    "hba1c": Assay("hba1c_pct", ("HbA1c", "A1C"), "mmol/mol", "%", Decimal("0.0915"), Decimal("2.15")),
}
NEED_FASTING = ("glucose", "insulin", "triglycerides")


@dataclass(frozen=True)
class Cell:
    """A result: a number in the SI unit, perhaps beyond a limit; or text that is none (then ``number`` is None)."""

    number: Decimal | None = None
    sign: str = ""
    text: str = ""
    plausible: bool = True

    def canonical(self, test: Assay) -> Decimal:
        return self.number * test.scale + test.offset

    def written(self, test: Assay, unit: str, dialect: "Dialect") -> str:
        if self.number is None:
            return self.text
        number = self.number if unit == test.si or not self.plausible else self.canonical(test)
        return self.sign + dialect.number(number)


@dataclass(frozen=True)
class Row:
    """One draw."""

    person: str | None
    day: date
    fasting: bool | None
    cells: dict[str, Cell]


def decimals(low, high, step):
    return st.integers(round(low / step), round(high / step)).map(lambda n: n * Decimal(str(step)))


NUMBERS = {
    "glucose": decimals(1.5, 50, 0.1),  # one decimal, so that both units lie on the same side of the cut-offs
    "insulin": decimals(0.6, 3000, 0.6),
    "triglycerides": decimals(0.2, 60, 0.01),
    "hdl": decimals(0.1, 5, 0.01),
    "hba1c": st.integers(20, 130).filter(lambda n: n != 47).map(Decimal),  # 47 mmol/mol is 6.45 %: the one exception
}
UNREADABLE = st.sampled_from(["haemolysed", "++5", "5 mg", "1.2.3", "<", "0x1F", "1e999"]).map(
    lambda text: Cell(text=text)
)
IMPLAUSIBLE = st.just(Cell(Decimal(999999), plausible=False))


def cells_of(name):
    number = NUMBERS[name]
    censored = st.builds(Cell, number, st.sampled_from(["<", ">", "<=", ">="]))
    return st.one_of(st.builds(Cell, number), st.builds(Cell, number), st.none(), censored, UNREADABLE, IMPLAUSIBLE)


WORDS = {"", "na", "n/a", "nan", "null", "none", ".", "-", "n.d."}
LETTERS = st.one_of(
    st.sampled_from(list("01a ,;\t|\"'\nZ-éß")),
    st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn", "Zs", "Zl", "Zp")),
)
IDENTIFIERS = st.one_of(
    st.sampled_from(
        ["001", "1", "01", "1.0", "a b", "Zoë", 'the "one"', "x,y;z", "two\nlines", "=1+1", "-5", "1e3", "İ", "李"]
    ),
    st.text(LETTERS, min_size=1, max_size=6).map(str.strip).filter(lambda text: text.lower() not in WORDS),
)


@st.composite
def tables(draw):
    people = draw(st.lists(IDENTIFIERS, min_size=1, max_size=3, unique=True))
    first = date(1999, 12, 30)
    row = st.builds(
        Row,
        st.one_of(st.sampled_from(people), st.sampled_from(people), st.sampled_from([*people, None])),
        st.sampled_from([first, first + timedelta(3), first + timedelta(800), date(2024, 2, 29)]),
        st.sampled_from([True, None, True, False]),
        st.fixed_dictionaries({name: cells_of(name) for name in TESTS}),
    )
    rows = draw(st.lists(row, min_size=1, max_size=6))
    return rows + draw(st.lists(st.sampled_from(rows), max_size=2))


# --- what should come back ------------------------------------------------------------------------------------------


@dataclass
class Expected:
    visits: list[dict]
    values: dict[str, dict[str, int]]
    rules: dict[str, int]
    rows: dict[str, int]


def expected_of(rows):
    """Judge each value, then each visit, then each row."""
    draws = {(row.person, row.day): said_of_draw(rows, row.person, row.day) for row in rows}
    rules = {
        (n, name): rule_of(row, name, draws[row.person, row.day])
        for n, row in enumerate(rows)
        for name in TESTS
        if row.cells[name]
    }
    groups = defaultdict(list)
    for (n, name), rule in rules.items():
        if not rule:
            groups[rows[n].person, rows[n].day, name].append(n)
    used = {}
    for (person, day, name), members in groups.items():
        cells = {rows[n].cells[name] for n in members}
        same = len({(cell.sign[:1], cell.number) for cell in cells}) == 1
        for position, n in enumerate(members):
            rules[n, name] = ("identical_duplicate" if position else "") if same else "conflicting_duplicate"
        if same:
            used[person, day, name] = rows[members[0]].cells[name]
    outcomes = {place: outcome_of(rule) for place, rule in rules.items()}
    values = {
        name: counted(outcome for (_, own), outcome in outcomes.items() if own == name)
        for name in TESTS
        if any(own == name for _, own in outcomes)
    }
    by_row = [
        row_outcome(row, [outcomes[n, name] for name in TESTS if (n, name) in outcomes]) for n, row in enumerate(rows)
    ]
    spoken = Counter(rule for rule in rules.values() if rule and rule != "no_participant")
    return Expected(visits_of(rows, by_row, used), values, spoken, counted(by_row))


def said_of_draw(rows, person, day):
    said = {row.fasting for row in rows if (row.person, row.day) == (person, day)} - {None}
    return all(said) if said else None


def rule_of(row, name, draw_fasting):
    cell = row.cells[name]
    if row.person is None:
        return "no_participant"
    if cell.number is None:
        return "unreadable_value"
    if not cell.plausible:
        return "implausible_value"
    fasting = draw_fasting if row.fasting is None else row.fasting
    return "not_fasting" if fasting is False and name in NEED_FASTING else ""


def outcome_of(rule):
    return {"": "used", "identical_duplicate": "merged", "not_fasting": "set_aside"}.get(rule, "rejected")


def row_outcome(row, outcomes):
    if row.person is None:
        return "rejected"
    return next((kind for kind in ("used", "merged", "set_aside", "rejected") if kind in outcomes), "not_asked_for")


def counted(outcomes):
    counts = Counter(outcomes)
    return {"read": counts.total(), **{outcome: counts[outcome] for outcome in OUTCOMES}}


def visits_of(rows, by_row, used):
    seen = [
        row
        for row, outcome in zip(rows, by_row, strict=True)
        if outcome in ("used", "merged", "set_aside") and row.person
    ]
    visits = []
    for person, day in sorted({(row.person, row.day) for row in seen}):
        first = min(row.day for row in seen if row.person == person)
        visit = {"participant_id": person, "visit_date": day, "years": (day - first).days / 365.25}
        visit["fasting"] = said_of_draw(rows, person, day)
        own = {name: used.get((person, day, name)) for name in TESTS}
        for name, cell in own.items():
            visit |= reading_of(TESTS[name], cell)
        visits.append(visit | {"glycaemia": glycaemia_of(own["glucose"], own["hba1c"])})
    return visits


def reading_of(test, cell):
    value = lower = upper = None
    if cell:
        limit = float(cell.canonical(test))
        below = cell.sign[:1] == "<"
        value = limit / 2 if below else limit
        lower, upper = (0.0, limit) if below else (limit, None) if cell.sign else (None, None)
    return {test.column: value, f"{test.column}_lower": lower, f"{test.column}_upper": upper}


def glycaemia_of(*cells):
    """Take the worse of the classes; a value beyond a limit has one only where all values beyond it have the same."""
    worst = -1
    for cell, limits in zip(cells, ((Decimal("5.6"), Decimal("7.0")), (39, 48)), strict=True):
        if cell:
            level = sum(cell.number >= limit for limit in limits)
            sure = not cell.sign or (cell.sign[0], level) in (("<", 0), (">", 2))
            worst = max(worst, level if sure else -1)
    return (None, "normal", "prediabetes", "diabetes")[worst + 1]


# --- how it is written ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quoting: str = "needed"
    line_end: str = "\n"
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str = ""
    missing: str = ""
    dates: str = "%Y-%m-%d"
    leading: int = 0
    separator_line: bool = False
    last_line_end: bool = True
    packing: str = ""

    def number(self, number: Decimal) -> str:
        """Write a number, exact to more digits than a float holds."""
        plain = f"{number:,f}" if self.thousands else f"{number:f}"
        plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
        return plain.translate({ord("."): self.decimal, ord(","): self.thousands})

    def day(self, day: date) -> str:
        return str((day - date(1899, 12, 30)).days) if self.dates == "excel" else day.strftime(self.dates)

    def cell(self, text: str) -> str:
        plain = self.quoting == "needed" and not any(mark in text for mark in (self.delimiter, '"', "\n", "\r"))
        return text if plain else '"' + text.replace('"', '""') + '"'

    def content(self, header, rows) -> bytes:
        """Write a table; null is missing."""
        texts = [[self.missing if cell is None else cell for cell in row] for row in rows]
        lines = [self.delimiter.join(map(self.cell, row)) for row in (header, *texts)]
        first = [f"sep={self.delimiter}"] if self.separator_line else [""] * self.leading
        text = self.line_end.join([*first, *lines]) + self.line_end * self.last_line_end
        encoded = text.encode({"utf-16-be": "utf-16-be", "latin-1": "latin-1"}.get(self.encoding, self.encoding))
        return (b"\xfe\xff" if self.encoding == "utf-16-be" else b"") + encoded

    def write(self, directory, name, header, rows) -> str:
        content, path = self.content(header, rows), Path(directory, name + ".csv")
        if self.packing == "gz":
            content, path = gzip.compress(content, 1), path.with_suffix(".csv.gz")
        elif self.packing == "zip":
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("inner.csv", content)
            content, path = buffer.getvalue(), path.with_suffix(".zip")
        path.write_bytes(content)
        return str(path)

    def said(self) -> dict:
        """Say in a configuration what has to be said of this dialect."""
        said = {"encoding": "latin-1"} if self.encoding == "latin-1" else {}
        said |= {"delimiter": self.delimiter} if self.delimiter in ":^~ " else {}
        said |= {"decimal": self.decimal} if self.decimal != "." else {}
        said |= {"thousands": self.thousands.replace("\xa0", " ")} if self.thousands else {}
        return said | ({"missing": ["", self.missing]} if self.missing == "n.d." else {})


DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from([",", ";", "\t", "|", ":", "^"]),
    quoting=st.sampled_from(["needed", "all"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"]),
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", ".", ",", " ", "\xa0", "'"]),
    missing=st.sampled_from(["", "NA", "n/a", "NaN", "null", ".", "-", "n.d.", "  "]),
    dates=st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "excel"]),
    leading=st.integers(0, 3),
    separator_line=st.booleans(),
    last_line_end=st.booleans(),
    packing=st.sampled_from(["", "gz", "zip"]),
).filter(lambda dialect: dialect.decimal != dialect.thousands)


@dataclass(frozen=True)
class Layout:
    """The shape of the files, the unit system, and where units are stated."""

    shape: str = "wide"
    units: str = "us"
    stated: str = "configuration"
    seed: int = 0

    def unit(self, name: str, person: str | None) -> str:
        test = TESTS[name]
        if self.units == "mixed":
            return test.si if len(person or "") % 2 else test.us
        return getattr(test, self.units)


@st.composite
def layouts(draw):
    shape = draw(st.sampled_from(["wide", "files", "joined", "long"]))
    stated = draw(
        st.sampled_from(["unit column", "test name"] if shape == "long" else ["configuration", "header", "unit column"])
    )
    units = draw(st.sampled_from(["us", "si", *(["mixed"] if stated == "unit column" else [])]))
    return Layout(shape, units, stated, draw(st.integers(0, 99)))


FIRST = ("Patient ID", "Collection Date", "fasting")


class Writer:
    """Writes one table into a directory, and says what a configuration must say of it."""

    def __init__(self, directory, dialect: Dialect, layout: Layout) -> None:
        self.directory, self.dialect, self.layout = directory, dialect, layout
        self.random = random.Random(layout.seed)
        self.spelling = {name: self.random.choice(test.spellings) for name, test in TESTS.items()}

    def write(self, rows) -> tuple[list[str], dict]:
        said = {"tables": {"labs": self.dialect.said()}, "columns": {}}
        if self.dialect.dates != "%Y-%m-%d":
            said["columns"]["date_format"] = self.dialect.dates
        if self.layout.stated == "configuration":
            said["units"] = {name: self.layout.unit(name, None) for name in TESTS}
        return getattr(self, self.layout.shape)(rows, said)

    def wide(self, rows, said):
        header, lines = self.all_columns(rows)
        return [self.dialect.write(self.directory, "labs", header, lines)], said

    def files(self, rows, said):
        """Split the table over files whose columns stand in different orders."""
        header, lines = self.all_columns(rows)
        parts = [lines[:1], lines[1:3], lines[3:]]
        paths = []
        for number, part in enumerate(parts):
            order = self.random.sample(range(len(header)), len(header))
            columns = [[line[place] for place in order] for line in part]
            paths.append(self.dialect.write(self.directory, f"{number}", [header[place] for place in order], columns))
        return paths, said

    def joined(self, rows, said):
        """Put who and when into a table of visits, with a line that no laboratory row leads to."""
        header, lines = self.results(rows)
        keys = [f"v {number}" for number in range(len(rows))]
        visits = [[key, *self.first(row)] for key, row in zip(keys, rows, strict=True)] + [["unused", None, None, None]]
        self.random.shuffle(visits)
        other = self.dialect.write(self.directory, "visits", ["Key", *FIRST], visits)
        said["tables"]["visits"] = {"files": [other], "key": "Key", "via": "Visit key", **self.dialect.said()}
        lines = [[key, *line] for key, line in zip(keys, lines, strict=True)]
        return [self.dialect.write(self.directory, "labs", ["Visit key", *header], lines)], said

    def long(self, rows, said):
        named = self.layout.stated == "test name"
        lines = []
        for row in rows:
            for name, cell in row.cells.items():
                unit = self.layout.unit(name, row.person)
                test = f"{self.spelling[name]} ({unit})" if named else self.spelling[name]
                text = cell.written(TESTS[name], unit, self.dialect) if cell else None
                lines.append([*self.first(row), test, text, *([] if named else [unit])])
        self.random.shuffle(lines)
        header = [*FIRST, "TEST", "RESULT", *([] if named else ["UNIT"])]
        said["long"] = {"test": "TEST", "value": "RESULT"} | ({} if named else {"unit": "UNIT"})
        return [self.dialect.write(self.directory, "labs", header, lines)], said

    def first(self, row) -> list[str | None]:
        fasting = None if row.fasting is None else "Yes" if row.fasting else "no"
        return [row.person, self.dialect.day(row.day), fasting]

    def all_columns(self, rows):
        header, lines = self.results(rows)
        return [*FIRST, *header], [[*self.first(row), *line] for row, line in zip(rows, lines, strict=True)]

    def results(self, rows):
        """Lay out the columns of results, and one that nobody reads."""
        header, columns = ["Remark"], [[f'row {n}, "it\'s"\n' for n in range(len(rows))]]
        for name, test in TESTS.items():
            units = [self.layout.unit(name, row.person) for row in rows]
            in_header = self.layout.stated == "header"
            header.append(f"{self.spelling[name]} ({units[0]})" if in_header else self.spelling[name])
            cells = [(row.cells[name], unit) for row, unit in zip(rows, units, strict=True)]
            columns.append([cell.written(test, unit, self.dialect) if cell else None for cell, unit in cells])
            if self.layout.stated == "unit column":
                header.append(f"{self.spelling[name]} Units")
                columns.append(units)
        return header, [list(line) for line in zip(*columns, strict=True)]


# --- the properties -------------------------------------------------------------------------------------------------


def read_back(rows, dialect, layout):
    with TemporaryDirectory() as directory:
        paths, said = Writer(directory, dialect, layout).write(rows)
        return ic.read(paths, config=said)


def fits(rows, dialect, layout):
    """Take UTF-8 where the encoding has not all the letters; a serial day holds from 1900 on."""
    try:
        Writer("", dialect, layout)
        "".join(row.person or "" for row in rows).encode(dialect.encoding)
    except UnicodeEncodeError:
        return replace(dialect, encoding="utf-8")
    return dialect


def assert_same_visits(cohort, expected):
    visits = cohort.visits
    assert visits.height == len(expected)
    for column in ("participant_id", "visit_date", "years", "fasting", "glycaemia"):
        assert visits[column].to_list() == [visit[column] for visit in expected], column
    for test in TESTS.values():
        for column in (test.column, f"{test.column}_lower", f"{test.column}_upper"):
            found = visits[column].to_list() if column in visits.columns else [None] * visits.height
            wanted = [visit[column] for visit in expected]
            assert [value is None for value in found] == [value is None for value in wanted], column
            assert [value or 0.0 for value in found] == pytest.approx([value or 0.0 for value in wanted], rel=1e-12), (
                column
            )


def assert_adds_up(ledger):
    for counts in (*ledger.rows.values(), *ledger.values.values()):
        assert counts["read"] == sum(counts[outcome] for outcome in OUTCOMES)


def assert_as_expected(cohort, expected, layout):
    assert_adds_up(cohort.ledger)
    assert_same_visits(cohort, expected.visits)
    assert dict(cohort.ledger.values) == expected.values
    spoken = Counter({rule: n for counted in cohort.ledger.rules.values() for rule, n in counted.items()})
    assert {rule: spoken[rule] for rule in expected.rules} == expected.rules
    if layout.shape != "long":
        labs = [cohort.ledger.rows[name] for name in cohort.lab_files]
        assert {key: sum(counts[key] for counts in labs) for key in expected.rows} == expected.rows


QUICK = settings(deadline=None, derandomize=True, report_multiple_bugs=False, suppress_health_check=list(HealthCheck))


@settings(QUICK, max_examples=120)
@given(tables(), DIALECTS)
def test_a_table_in_any_dialect_comes_back_the_same(rows, dialect):
    layout = Layout()
    cohort = read_back(rows, fits(rows, dialect, layout), layout)
    assert_as_expected(cohort, expected_of(rows), layout)


@settings(QUICK, max_examples=120)
@given(tables(), layouts())
def test_a_table_of_any_shape_and_unit_system_comes_back_the_same(rows, layout):
    assert_as_expected(read_back(rows, Dialect(), layout), expected_of(rows), layout)


@settings(QUICK, max_examples=160)
@given(tables(), DIALECTS, layouts())
def test_any_shape_in_any_dialect_comes_back_the_same(rows, dialect, layout):
    cohort = read_back(rows, fits(rows, dialect, layout), layout)
    assert_as_expected(cohort, expected_of(rows), layout)


@settings(QUICK, max_examples=60)
@given(tables(), layouts(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, layout, source):
    shuffled = source.sample(rows, len(rows))
    one, other = (read_back(listed, Dialect(), layout) for listed in (rows, shuffled))
    assert one.visits.equals(other.visits)
    assert one.ledger.values == other.ledger.values
    assert one.ledger.rules == other.ledger.rules
    cells = ["column", "raw_value", "rule", "reason"]
    assert one.rejected.select(cells).sort(cells).equals(other.rejected.select(cells).sort(cells))


@settings(QUICK, max_examples=40)
@given(tables(), layouts())
def test_every_rejected_cell_names_a_line_that_holds_it(rows, layout):
    with TemporaryDirectory() as directory:
        paths, said = Writer(directory, Dialect(), layout).write(rows)
        cohort = ic.read(paths, config=said)
        for file, line, column, raw, rule, _ in cohort.rejected.rows():
            if rule == "no_participant" and layout.shape == "joined":
                continue  # it names the laboratory row, and the column of another table that should say who it is
            text = Path(directory, file).read_text(encoding="utf-8")
            begun = "\n".join(text.split("\n")[line - 1 :])
            header, cells = (next(csv.reader(io.StringIO(part))) for part in (text, begun))
            own = cells[header.index(column.removeprefix("visits."))]
            assert own == ("" if raw is None else raw)


SCRIPT = """
import hashlib, json, sys
import ircohort as ic
cohort = ic.read(sys.argv[1])
said = cohort.visits.write_csv() + cohort.rejected.write_csv() + cohort.columns.write_csv()
print(hashlib.sha256((said + json.dumps([cohort.ledger.as_dict(), cohort.notes])).encode()).hexdigest())
"""


def test_one_thread_and_two_give_the_same_bytes_of_the_same_rows_in_any_order(tmp_path):
    source = random.Random(7)
    rows = [
        f"p{source.randrange(900):03},20{source.randrange(10, 24)}-0{source.randrange(1, 9)}-11,"
        f"{source.choice(['', '<40', 'x', source.randrange(70, 140)])},{source.randrange(20, 200) / 10},,50"
        for _ in range(6000)
    ]
    path = tmp_path / "labs.csv"
    path.write_text("\n".join(["id,date,glucose (mg/dL),insulin (uIU/mL),tg (mg/dL),hdl (mg/dL)", *rows]) + "\n")
    digests = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)],
            env=os.environ | {"POLARS_MAX_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


# --- reading in pieces ----------------------------------------------------------------------------------------------


def raw_of(path, size=None, **said):
    """Give what intake makes of a file that it reads in blocks of this size: a table, or an error."""
    with mock.patch.object(delimited, "BLOCK_BYTES", size or delimited.BLOCK_BYTES):
        try:
            table = read_table(TableSpec("labs", (str(path),), **said))
        except IrcohortError as error:
            return type(error).__name__, str(error)
    malformed = [(row.source_row, row.text, row.cells, row.expected) for row in table.malformed]
    return table.headers, table.frame.rows(), table.places["source_row"].to_list(), malformed, table.files[0].rows


def by_hand(text):
    """Split text as `csv` does: the rows as wide as the header with their lines, and the lines of the others."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    reader = csv.reader(io.StringIO(unix, newline=""), strict=True)
    header, rows, lines, others = None, [], [], []
    begins = 1
    for cells in reader:
        line, begins = begins, reader.line_num + 1
        cells = [cell.strip() for cell in cells]
        if header is None:
            header = tuple(cells) if any(cells) else None
        elif len(cells) == len(header):
            rows.append(tuple(cell or None for cell in cells))
            lines.append(line)
        elif cells:
            others.append(line)
    return header, rows, lines, others


FRAGMENTS = [
    "a",
    "b1",
    ",",
    ",",
    ",",
    "\n",
    "\n",
    "\r\n",
    "\r",
    '"',
    '""',
    '"x\ny"',
    '"\r\n"',
    '"q""r"',
    "é",
    "😀",
    "\u2028",
    " ",
]
BODIES = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
ROWS = st.lists(
    st.sampled_from(
        ["u,v\n", "1,é😀\r\n", '"a\r\nb",2\n', "only\n", "\n", "1,2,3\n", '"",""\r', ",\n", '" x ""y""",\n']
    ),
    max_size=8,
)
SIZES = st.sampled_from([2, 3, 5, 7, 13, 64])


@settings(QUICK, max_examples=250)
@given(st.one_of(BODIES, ROWS.map("".join)), SIZES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]))
def test_a_file_read_in_pieces_is_the_file_read_at_once(body, size, encoding):
    with TemporaryDirectory() as directory:
        path = Path(directory, "labs.csv")
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        path.write_bytes(mark + ("one,two\n" + body).encode(encoding))
        assert raw_of(path, size) == raw_of(path)


@settings(QUICK, max_examples=250)
@given(st.one_of(BODIES, ROWS.map("".join)), st.sampled_from([5, 1000]))
def test_rows_are_split_as_csv_splits_them(body, size):
    text = "\n\none,two\n" + body
    try:
        header, rows, lines, others = by_hand(text)
    except csv.Error:
        header = None
    with TemporaryDirectory() as directory:
        path = Path(directory, "labs.csv")
        path.write_bytes(text.encode())
        found = raw_of(path, size, missing=("",))
    if header is None:
        assert found[0] == "FileError"
    else:
        assert found[:3] == (header, rows, lines)
        assert [row[0] for row in found[3]] == others


@settings(QUICK, max_examples=40)
@given(tables(), DIALECTS, layouts(), st.sampled_from([7, 64, 997]))
def test_visits_do_not_depend_on_the_size_of_the_pieces(rows, dialect, layout, size):
    with mock.patch.object(delimited, "BLOCK_BYTES", size):
        cohort = read_back(rows, fits(rows, dialect, layout), layout)
    assert_as_expected(cohort, expected_of(rows), layout)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 64, 1000])
@pytest.mark.parametrize(
    "content",
    [
        b'id,note\n1,"first\r\nsecond"\r\n2,"a ""quoted"" word"\r\n3\r\n4,x,y\r\n5,last',
        "id,note\r\n1,é😀é\r\n2,\u2028\r\n".encode("utf-16"),
        b"\xef\xbb\xbf\r\r\rid,note\r1,a\r\r2,b\r",
        b"id,note\n" + b"".join(b'%d,"%s"\n' % (n, b"line\n" * (n % 5)) for n in range(40)),
        b"id,note\n1," + b"x" * 5000 + b"\n2,y\n",
    ],
    ids=["quoted and ragged", "utf-16", "carriage returns", "many quoted line breaks", "a long cell"],
)
def test_the_ends_of_pieces_fall_anywhere(tmp_path, content, size):
    path = tmp_path / "labs.csv"
    path.write_bytes(content)
    whole = raw_of(path)
    assert not isinstance(whole[1], str)
    assert raw_of(path, size) == whole


@pytest.mark.parametrize("size", [2, 5, 64])
def test_an_error_names_the_same_line_whatever_the_pieces(tmp_path, size):
    for content in (b'id,note\n1,a\n2,"open\n3,b\n', b"id,note\n1,a\n2,\xff\n", b'id,note\n1,"a"b\n', b"id,no\xffte\n"):
        path = tmp_path / "labs.csv"
        path.write_bytes(content)
        assert raw_of(path, size) == raw_of(path)
        assert raw_of(path)[0] == "FileError"
