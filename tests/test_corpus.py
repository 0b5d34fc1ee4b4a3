"""A corpus of small exports, one for each trait of the input side, each with the answer that it must get.

``tests/corpus/<case>/case.toml`` says what is read, how, and what must come of it: exit code, fragments of messages,
visits, rejected cells, ledger. A case with an open question holds the answer that settles it too. All values are
invented. ``tests/corpus/make.py`` makes the files that an editor cannot write.
"""

import csv
import datetime
import io
import shutil
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest

import ircohort
from ircohort import cli
from ircohort.analysis import visits_of
from ircohort.cli.cohort import markers
from ircohort.cli.options import settings_for

CORPUS = Path(__file__).parent / "corpus"
CASES = {path.parent.name: tomllib.loads(path.read_text("utf-8")) for path in sorted(CORPUS.glob("*/case.toml"))}
KEYS = {
    "about", "inputs", "stdin", "options", "config", "exit", "says", "never_says", "check_says", "csv_has", "lines",
    "answer", "answer_config", "visits", "rejected", "columns", "ledger",
}  # fmt: skip
REJECTED = ("source_file", "source_row", "column", "raw_value", "rule")
CLASSES = ("used", "rejected", "merged", "set_aside", "not_asked_for")

HAS_ANSWER = [name for name, case in CASES.items() if "visits" in case]


class Place:
    """A copy of one case in a directory of its own, and the command line in it."""

    def __init__(self, name, directory, monkeypatch, capsys):
        self.case, self.directory, self.monkeypatch, self.capsys = CASES[name], directory, monkeypatch, capsys
        shutil.copytree(CORPUS / name, directory, dirs_exist_ok=True)
        monkeypatch.chdir(directory)
        if "answer_config" in self.case:
            Path("answer.toml").write_text(self.case["answer_config"], encoding="utf-8")

    def asked(self):
        """Give the arguments of the case as it stands."""
        config = ["--config", self.case["config"]] if "config" in self.case else []
        return [*self.case["inputs"], *self.case.get("options", []), *config]

    def answered(self):
        """Give the arguments with which its questions are answered."""
        if "answer_config" in self.case:
            return [*self.case["inputs"], *self.case.get("options", []), "--config", "answer.toml"]
        return [*self.asked(), *self.case.get("answer", [])]

    def call(self, *arguments):
        """Run a command; give its exit code and all that it said."""
        self.give_standard_input()
        code = cli.exit_code(arguments)
        captured = self.capsys.readouterr()
        return code, captured.out + captured.err

    def give_standard_input(self):
        content = Path(self.case["stdin"]).read_bytes() if "stdin" in self.case else b""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    def cohort(self):
        """Read the answered case with the settings that the command line would make of its arguments."""
        self.give_standard_input()
        said = dict(markers.make_context("markers", self.answered()).params)
        return visits_of(settings_for(said.pop("inputs"), said))[0]


@pytest.fixture
def place(request, tmp_path, monkeypatch, capsys):
    return Place(request.param, tmp_path / "case", monkeypatch, capsys)


def every_case(names):
    return pytest.mark.parametrize("place", names, indirect=True, ids=list(names))


def rows_of(text):
    """Read an expected table: its columns, and each row as text."""
    header, *rows = list(csv.reader(io.StringIO(text)))
    return header, rows


def as_text(cell):
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell.isoformat() if isinstance(cell, datetime.date) else cell


def same(cell, expected):
    """Compare a cell with the text that is expected; numbers to nine digits."""
    if isinstance(cell, float | int) and not isinstance(cell, bool):
        return expected != "" and cell == pytest.approx(float(expected), rel=1e-9, abs=1e-12)
    return as_text(cell) == expected


def assert_table(frame, text):
    header, expected = rows_of(text)
    absent = [name for name in header if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None).alias(name) for name in absent)  # a column that holds nothing may be absent
    actual = frame.select(header).rows()
    shown = [[as_text(cell) for cell in row] for row in actual]
    assert len(actual) == len(expected), shown
    for row, wanted in zip(actual, expected, strict=True):
        pairs = zip(header, row, wanted, strict=True)
        wrong = {name: (cell, want) for name, cell, want in pairs if not same(cell, want)}
        assert not wrong, (wanted[0], wrong)


def plain(account):
    """Leave out of an account what is zero, but for what was read."""
    return {name: {key: n for key, n in counts.items() if n or key == "read"} for name, counts in account.items()}


def assert_says(said, fragments, never=()):
    folded = " ".join(said.lower().split())
    assert not [fragment for fragment in fragments if " ".join(fragment.lower().split()) not in folded], said
    assert not [fragment for fragment in never if fragment.lower() in folded], said


def assert_whole(ledger):
    for counts in (*ledger.rows.values(), *ledger.values.values()):
        assert counts["read"] == sum(counts[name] for name in CLASSES)


@every_case(CASES)
def test_markers_ends_and_speaks_as_stated(place):
    code, said = place.call("markers", *place.asked(), "-o", "visits.parquet")
    assert code == place.case["exit"], said
    assert_says(said, place.case.get("says", ()), place.case.get("never_says", ()))
    assert [line for line in place.case.get("lines", ()) if line not in said] == [], said  # as they are to be added
    assert Path("visits.parquet").exists() == (code == 0)


@every_case(HAS_ANSWER)
def test_visits_are_those_that_are_expected(place):
    code, said = place.call("markers", *place.answered(), "-o", "visits.parquet")
    assert code == 0, said
    assert_table(pl.read_parquet("visits.parquet"), place.case["visits"])


@every_case(HAS_ANSWER)
def test_every_cell_and_row_is_accounted_for(place):
    cohort, ledger = place.cohort(), place.case["ledger"]
    listed = [[str(as_text(cell)) for cell in row] for row in cohort.rejected.select(REJECTED).rows()]
    assert listed == rows_of(place.case["rejected"])[1]
    assert_whole(cohort.ledger)
    assert plain(cohort.ledger.rows) == ledger["rows"]
    values = {name: counts for name, counts in plain(cohort.ledger.values).items() if counts["read"]}
    assert values == ledger.get("values", {})
    rules = {name: counts for name, counts in plain(cohort.ledger.rules).items() if counts}
    assert rules == ledger.get("rules", {})
    assert {name: n for name, n in cohort.ledger.not_read.items() if n} == ledger.get("not_read", {})
    assert {name: n for name, n in cohort.ledger.censored.items() if n} == ledger.get("censored", {})


@every_case([name for name, case in CASES.items() if "columns" in case])
def test_columns_are_described(place):
    header, expected = rows_of(place.case["columns"])
    described = place.cohort().columns.select(header).rows()
    listed = [[str(as_text(cell)) for cell in row] for row in described]
    assert [row for row in expected if row not in listed] == [], listed


@every_case([name for name in HAS_ANSWER if "options" not in CASES[name] and CASES[name]["exit"] == 0])
def test_the_library_reads_what_the_command_reads(place):
    place.give_standard_input()
    cohort = ircohort.read(place.case["inputs"], config=place.case.get("config"))
    assert cohort.visits.equals(place.cohort().visits)


@every_case(CASES)
def test_check_ends_as_markers_does(place):
    code, said = place.call("check", *place.asked())
    assert code == place.case["exit"], said
    assert_says(said, place.case.get("check_says", ()), place.case.get("never_says", ()))
    if "visits" in place.case:
        code, said = place.call("check", *place.answered())
        assert code == 0, said


@every_case(CASES)
def test_init_writes_what_is_accepted_once_the_questions_are_answered(place):
    code, said = place.call("init", *place.asked(), "-o", "draft.toml")
    assert code == place.case["exit"] or (code, place.case["exit"]) == (0, 3), said
    assert_says(said, (), place.case.get("never_says", ()))
    if code == 0:
        assert place.call("markers", "--config", "draft.toml", "-o", "drafted.parquet")[0] == place.case["exit"]
    if "visits" in place.case:
        code, said = place.call("init", *place.answered(), "-o", "reviewed.toml")
        assert code == 0, said
        code, said = place.call("markers", "--config", "reviewed.toml", "-o", "reviewed.parquet")
        assert code == 0, said + Path("reviewed.toml").read_text(encoding="utf-8")
        assert_table(pl.read_parquet("reviewed.parquet"), place.case["visits"])


@every_case([name for name, case in CASES.items() if "csv_has" in case])
def test_written_csv_holds_what_is_stated(place):
    code, said = place.call("markers", *place.answered(), "-o", "visits.csv")
    assert code == 0, said
    written = Path("visits.csv").read_text(encoding="utf-8")
    assert [fragment for fragment in place.case["csv_has"] if fragment not in written] == [], written


def test_every_case_is_complete_and_says_what_it_is_about():
    assert {path.name for path in CORPUS.iterdir() if path.is_dir() and path.name[0].isdigit()} == set(CASES)
    assert not {name: set(case) - KEYS for name, case in CASES.items() if set(case) - KEYS}
    assert not [name for name, case in CASES.items() if not case["about"] or "exit" not in case]
    asked = {name for name, case in CASES.items() if "answer" in case or "answer_config" in case}
    assert not [name for name in asked if CASES[name]["exit"] != 3 or "visits" not in CASES[name]]
    assert not [name for name, case in CASES.items() if case["exit"] == 0 and "visits" not in case]
