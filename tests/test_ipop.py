"""The main job on a real cohort that may not be published; see docs/ipop.toml. No value of it stands here."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from ircohort import cli
from ircohort.analysis import read, settings_of, visits_of
from wanted import ipop

CONFIG = Path(__file__).parents[1] / "docs" / "ipop.toml"
LABS = "clinical_tests.txt"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The configuration beside copies of the three tables, as its first lines say."""
    here = tmp_path_factory.mktemp("ipop")
    for name in (LABS, "visits.txt", "subjects.txt"):
        shutil.copy(ipop() / name, here / name)
    shutil.copy(CONFIG, here / "ipop.toml")
    return here


@pytest.fixture(scope="module")
def cohort(directory):
    return read(config=directory / "ipop.toml")


def test_each_laboratory_row_falls_in_exactly_one_class(cohort):
    counts = cohort.ledger.rows[LABS]
    assert counts["read"] == 969
    assert counts["read"] == sum(counts[key] for key in ("used", "rejected", "merged", "set_aside", "not_asked_for"))
    assert counts["rejected"] == 15
    assert all(
        values["read"] == sum(value for key, value in values.items() if key != "read")
        for values in cohort.ledger.values.values()
    )


def test_the_rows_whose_keys_lead_nowhere_are_listed_with_line_and_reason(cohort, directory):
    rejected = cohort.rejected
    assert rejected["rule"].unique().to_list() == ["no_participant"]
    assert rejected["source_row"].n_unique() == 15
    lines = (directory / LABS).read_text(encoding="utf-8").split("\n")
    keys = {line.split("\t")[0] for line in (directory / "visits.txt").read_text(encoding="utf-8").split("\n")}
    assert not {lines[number - 1].split("\t")[0] for number in rejected["source_row"]} & keys


def test_the_person_is_taken_from_the_visit_table(cohort):
    assert cohort.visits["participant_id"].n_unique() == 104
    assert (cohort.visits["years"] >= 0).all()


def test_insulin_is_counted_with_its_one_censored_cell(cohort):
    values = cohort.ledger.values["insulin"]
    assert values["read"] == 229
    assert cohort.ledger.censored == {"insulin": 1}
    bounds = cohort.visits.filter(pl.col("insulin_uiu_ml_upper").is_not_null())
    assert bounds.height == 1
    assert bounds["insulin_uiu_ml"].item() * 2 == bounds["insulin_uiu_ml_upper"].item()


def test_values_drawn_in_infection_are_set_aside_and_hba1c_is_not(cohort):
    assert cohort.ledger.rules["set_aside"]["ill"] > 100
    assert cohort.ledger.values["hba1c"]["set_aside"] == 0
    assert cohort.visits.filter(pl.col("ill"))["glucose_mg_dl"].count() == 0


def test_the_body_mass_index_of_a_person_stands_at_the_first_visit_only(cohort):
    later = cohort.visits.filter(pl.col("years") > 0)
    assert later["bmi"].count() == 0


def test_markers_follow_where_insulin_was_measured(directory):
    cohort, visits = visits_of(settings_of(directory / "ipop.toml"))
    both = pl.col("insulin_uiu_ml").is_not_null() & pl.col("glucose_mg_dl").is_not_null()
    assert visits["homa_ir"].count() == cohort.visits.filter(both).height
    assert set(visits["state"]) <= {"sensitive", "compensated", "prediabetes", "diabetes", "unknown"}


def test_the_main_job_runs_through_and_says_what_it_cannot_show(directory, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.exit_code(["run", "--config", str(directory / "ipop.toml"), "-o", str(out)]) == 0
    participants = pl.read_csv(out / "participants.csv", infer_schema_length=None)
    assert participants["participant_id"].n_unique() == participants.height
    assert participants["reason"].null_count() == 0
    shown = (out / "report.html").read_text(encoding="utf-8") + capsys.readouterr().err
    assert not [person for person in participants["participant_id"] if person in shown]


def test_without_the_configuration_the_open_questions_are_asked(directory, capsys):
    assert cli.exit_code(["check", str(directory / LABS)]) == 3
    told = capsys.readouterr().err
    assert "glucose has no stated unit" in told
    assert "HDL" in told
