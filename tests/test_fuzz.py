"""Mutated exports end in a result that adds up or in a documented error; `fuzzing.py` says what is judged, and how."""

from dataclasses import replace

import pytest

from fuzz_mutations import Case, case_of, corpus
from fuzz_values import CANARY_PERSON, CANARY_VALUE
from fuzzing import faults, fuzz, replay, run

CASES, CHUNK = 2000, 250
PLAIN = b"id,date,glucose (mg/dL)\na,2020-01-01,95\n=b,2020-01-01,%s\n"


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_a_mutated_export_ends_in_a_result_or_in_a_documented_error(first):
    tally = fuzz(range(first, first + CHUNK))
    assert not tally.failures, "\n\n".join(tally.failures.values())
    assert tally.codes[0] > CHUNK / 10  # enough of them are read


def test_a_seed_makes_the_same_case_again():
    cases = corpus()
    for seed in range(200):
        one, other = (case_of(seed, cases)[0] for _ in range(2))
        assert one == other


def test_a_case_is_replayed_by_its_seed():
    assert replay(0).startswith("seed 0: nothing is wrong")


@pytest.fixture
def plain():
    files = {"labs.csv": PLAIN % CANARY_VALUE.encode()}
    return Case("plain", "markers", ["labs.csv"], [], None, None, files, headers=frozenset({PLAIN.split(b"\n")[0]}))


@pytest.fixture
def ran(plain, tmp_path):
    return run(plain, tmp_path)


def test_a_plain_case_has_no_fault(plain, ran, tmp_path):
    assert ran.code == 0
    assert ran.cohorts[0].rejected["rule"].to_list() == ["implausible_value"]
    assert faults(plain, ran, tmp_path) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"code": 70}, "exit code 70"),
        ({"code": 130}, "exit code 130"),
        ({"code": None, "trace": "Traceback\nValueError: no"}, "an exception, ValueError: no"),
        ({"code": 3, "err": ""}, "does not begin with the error"),
        ({"code": 3, "err": "Error: x"}, "a file was left behind"),
        ({"err": "Traceback (most recent call last)"}, "a traceback"),
        ({"err": f"Note: {CANARY_VALUE}"}, "in a message"),
        ({"err": f"Note: {CANARY_PERSON}"}, "in a message"),
        ({"seconds": 60.0}, "it took 60.0 s"),
    ],
)
def test_what_must_not_happen_is_seen(plain, ran, tmp_path, change, fault):
    assert fault in "; ".join(faults(plain, replace(ran, **change), tmp_path))


def test_a_ledger_that_does_not_add_up_is_seen(plain, ran, tmp_path):
    ran.cohorts[0].ledger.rows["labs.csv"]["used"] += 1
    ran.cohorts[0].ledger.values["glucose"]["used"] += 1
    told = faults(plain, ran, tmp_path)
    assert "the ledger of labs.csv does not add up" in told
    assert "2 values of glucose are used, and 1 visits have one" in told


def test_a_formula_in_a_written_table_is_seen(plain, ran, tmp_path):
    (tmp_path / "out.csv").write_text("participant_id,x\n-5.5,=1+1\n")
    assert faults(plain, ran, tmp_path) == ["a written cell begins as a formula does"]
