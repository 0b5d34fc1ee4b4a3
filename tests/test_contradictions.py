"""A stated unit held against the values: what is asked about, what is not, and what the question may show."""

import csv
import re
import tomllib

import polars as pl
import pytest

import ircohort as ic
from ircohort.configuration import settings_from
from ircohort.errors import RefusedError, UnitError

SPREAD = [0.8, 0.84, 0.88, 0.92, 0.96, 1.0, 1.0, 1.04, 1.08, 1.12, 1.16, 1.2]
"""Twelve people around their median."""


def people(site, median, prefix, **more):
    return [
        {"id": f"{prefix}{n}", "site": site, "value": f"{median * factor:.6g}", **more}
        for n, factor in enumerate(SPREAD)
    ]


@pytest.fixture
def read(tmp_path):
    def of_rows(rows, header="insulin (uIU/mL)", **config):
        path = tmp_path / "labs.csv"
        names = {"value": header, "unit": f"{header}_unit"}
        with path.open("w", newline="", encoding="utf-8") as file:
            written = csv.writer(file)
            written.writerow(["date", *(names.get(name, name) for name in rows[0])])
            written.writerows([f"2020-01-{n % 28 + 1:02}", *row.values()] for n, row in enumerate(rows))
        return ic.read(path, config={"config": 1, **config})

    return of_rows


def question(read, rows, header="insulin (uIU/mL)", **config):
    with pytest.raises(RefusedError) as raised:
        read(rows, header, **config)
    return str(raised.value)


def two_sites(north, south, **more):
    return [*people("North", north, "n", **more), *people("South", south, "s", **more)]


def advised(said):
    """Give the line of a configuration that a question advises."""
    line = re.search(r"state \[units\] (.*?)\. If ", said).group(1)
    return tomllib.loads(f"[units]\n{line}")


# --- what is shown ----------------------------------------------------------------------------------------------


def test_the_median_of_the_rest_is_not_shown_where_the_rest_is_one_person(read):
    rest = [{**row, "id": "only"} for row in people("North", 10, "n")]
    said = question(read, [*rest, *people("South", 60, "s")])
    assert "60 uIU/mL, unlike the rest" in said
    assert "10 uIU/mL" not in said


def test_the_median_of_the_rest_is_shown_for_ten_people(read):
    assert "60 uIU/mL, and 10 uIU/mL in the rest; it looks like pmol/L" in question(read, two_sites(10, 60))


def test_rows_of_nobody_count_as_no_person(read):
    nine = [{**row, "id": f"s{n}" if n < 9 else ""} for n, row in enumerate(people("South", 60, "s"))]
    read([*people("North", 10, "n"), *nine])


def test_rows_of_nobody_are_no_part_of_a_median_that_is_shown(read):
    nobody = [{"id": "", "site": "South", "value": "75"}] * 5
    assert "60 uIU/mL, and" in question(read, [*two_sites(10, 60), *nobody])


def test_people_whose_cells_hold_no_number_are_not_people_of_a_median(read):
    unread = [{**row, "id": f"u{n}", "value": "lost"} for n, row in enumerate(people("South", 60, "s"))]
    one = [{**row, "id": "only"} for row in people("South", 60, "s")]
    read([*people("North", 10, "n"), *unread, *one])


def test_an_identifier_that_is_packed_with_a_count_is_one_person_where_no_unit_is_stated(read):
    rows = [{"id": f"only-{n}", "site": "North", "value": row["value"]} for n, row in enumerate(people("", 95, ""))]
    packed = {"participant_id": {"column": "id", "pattern": "(.*)-.*"}}
    said = question(read, rows, "glucose", columns=packed)
    assert "has no stated unit" in said
    assert "Its median" not in said


def test_rows_of_nobody_are_no_person_where_no_unit_is_stated(read):
    nine = [{**row, "id": f"n{n}" if n < 9 else ""} for n, row in enumerate(people("North", 95, "n"))]
    assert "Its median" not in question(read, nine, "glucose")
    assert "Its median is 95" in question(read, people("North", 95, "n"), "glucose")


# --- what is advised --------------------------------------------------------------------------------------------


def test_the_advised_line_settles_the_question(read):
    visits = read(two_sites(10, 60), units=advised(question(read, two_sites(10, 60)))["units"]).visits
    assert pl.DataFrame(visits)["insulin_uiu_ml"].max() == pytest.approx(12)


def test_units_by_row_are_not_overridden_by_the_advice(read):
    mixed = [
        {**row, "value": str(float(row["value"]) / 18.016), "unit": "mmol/L"} if n % 2 else row
        for n, row in enumerate(people("North", 95, "n", unit="mg/dL"))
    ]
    said = question(read, [*mixed, *people("South", 5.3, "s", unit="mg/dL")], "glucose")
    assert "[units]" not in said
    assert "correct it in the rows of site South (column glucose_unit)" in said


def test_rows_without_a_known_unit_are_not_given_one_by_the_advice(read):
    north = [*people("North", 95, "n", unit="mg/dL"), *people("North", 95, "m", unit="units")]
    said = question(read, [*north, *people("South", 5.3, "s", unit="mg/dL")], "glucose")
    assert "[units]" not in said


def test_units_by_row_that_each_site_shares_are_settled_by_site(read):
    north = [{**row, "unit": "mmol/L"} for row in people("North", 5.3, "n")]
    said = question(read, [*north, *people("South", 5.3, "s", unit="mg/dL")], "glucose")
    assert advised(said)["units"]["glucose"]["units"] == {"North": "mmol/L", "South": "mmol/L"}


def test_a_site_without_any_known_unit_gets_none_by_the_advice(read):
    rows = [
        *people("East", 5.3, "e", unit="mmol/L"),
        *people("North", 95, "n", unit="units"),
        *people("South", 5.3, "s", unit="mg/dL"),
    ]
    assert set(advised(question(read, rows, "glucose"))["units"]["glucose"]["units"]) == {"East", "South"}


def test_one_unit_for_all_is_not_advised_where_two_are_stated(read):
    rows = [*people("", 5.3, "a", unit="mg/dL"), *people("", 5.3, "b", unit="mmol/L")]
    said = question(read, rows, "glucose")
    assert "--unit" not in said
    assert "correct it in the rows that are stated in mg/dL (column glucose_unit)" in said


def test_a_site_that_is_taken_by_a_pattern_gets_no_line_that_could_not_work(read):
    rows = [{**row, "site": f"{row['site']}/{n}"} for n, row in enumerate(two_sites(10, 60))]
    said = question(read, rows, columns={"site": {"column": "site", "pattern": "(.*)/.*"}})
    assert "[units]" not in said
    assert "state the unit of each cell of the column site" in said


@pytest.mark.parametrize("name", ['The "Old" Clinic', "back\\slash", "Zürich", "two\nlines", "bell\x7f"])
def test_a_site_of_any_name_is_written_as_toml(read, name):
    rows = [{**row, "site": name if row["site"] == "South" else "North"} for row in two_sites(10, 60)]
    unit = advised(question(read, rows))["units"]
    assert unit["insulin"]["units"] == {"North": "uIU/mL", name: "pmol/L"}
    assert settings_from({"units": unit}).columns.units["insulin"].units[name] == "pmol/L"
    read(rows, units=unit)


# --- groups -----------------------------------------------------------------------------------------------------

HEADERS = {
    "insulin": "insulin (uIU/mL)",
    "insulin_si": "insulin (pmol/L)",
    "c_peptide": "C-peptide (ng/mL)",
    "waist": "waist (cm)",
    "glucose": "glucose (mg/dL)",
    "triglycerides": "TG (mg/dL)",
    "triglycerides_g": "TG (g/L)",
    "hdl": "HDL (mg/dL)",
    "hba1c": "HbA1c (%)",
    "hba1c_si": "HbA1c (mmol/mol)",
}


@pytest.mark.parametrize(
    ("test", "north", "south"),
    [
        ("insulin", 20, 43),
        ("insulin", 12, 43),
        ("insulin", 5, 28),
        ("insulin", 4, 22),
        ("insulin", 1.8, 12),
        ("insulin_si", 10.8, 72),
        ("c_peptide", 3.3, 1.1),
        ("waist", 110, 54),
        ("glucose", 92, 178),
        ("triglycerides", 70, 290),
        ("triglycerides_g", 3.2, 3.1),
        ("hba1c", 5.4, 9.8),
    ],
)
def test_groups_that_people_can_make_contradict_nothing(read, test, north, south):
    read(two_sites(north, south), HEADERS[test])


@pytest.mark.parametrize(
    ("test", "north", "south", "other"),
    [
        ("insulin", 10, 60, "pmol/L"),
        ("insulin", 6, 60, "pmol/L"),
        ("insulin", 4.6, 27.6, "pmol/L"),
        ("insulin_si", 60, 8, "uIU/mL"),
        ("glucose", 95, 5.3, "mmol/L"),
        ("glucose", 95, 0.95, "g/L"),
        ("triglycerides", 180, 1.3, "mmol/L"),
        ("hdl", 50, 1.4, "mmol/L"),
        ("hba1c", 5.5, 38, "mmol/mol"),
        ("hba1c_si", 38, 5.5, "NGSP %"),
    ],
)
def test_only_the_group_that_another_unit_makes_like_the_rest_is_asked_about(read, test, north, south, other):
    said = question(read, two_sites(north, south), HEADERS[test])
    assert "(site South, column" in said
    assert f"it looks like {other}." in said
    assert "site North" not in said
    assert other in advised(said)["units"][test.removesuffix("_g").removesuffix("_si")]["units"]["South"]


def test_of_two_groups_that_state_two_units_the_less_usual_is_asked_about(read):
    rows = [*people("North", 30, "n", unit="pmol/L"), *people("South", 30, "s", unit="uIU/mL")]
    assert "(site South, column" in question(read, rows, "insulin")


def test_a_group_in_another_unit_is_found_under_the_older_factor_of_insulin(read):
    assert "pmol/L" in question(read, two_sites(10, 69.45), policy={"insulin_factor": 6.945})


# --- all values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "median"), [("insulin_si", 11), ("insulin", 1.98), ("triglycerides_g", 3.1), ("c_peptide", 1.1)]
)
def test_values_that_a_cohort_can_have_contradict_nothing(read, test, median):
    read(people("", median, "p"), HEADERS[test])


@pytest.mark.parametrize(
    ("test", "median", "other"),
    [("insulin_si", 8, "uIU/mL"), ("insulin", 60, "pmol/L"), ("waist", 36, "in"), ("c_peptide", 600, "pmol/L")],
)
def test_values_that_no_cohort_has_and_another_unit_explains_are_asked_about(read, test, median, other):
    assert f"it looks like {other}." in question(read, people("", median, "p"), HEADERS[test])


def test_a_whole_median_is_of_ten_people(read):
    rows = [{**row, "id": f"p{n % 9}"} for n, row in enumerate(people("", 60, "p"))]
    read(rows, policy={"duplicates": "mean"})


@pytest.mark.parametrize("cell", ["0", "9" * 400, "1" + "0" * 308, "0." + "0" * 300 + "1", "lost", ""])
def test_numbers_beyond_all_measure_do_not_crash(read, cell):
    read(two_sites(10, 12) + [{"id": f"x{n}", "site": "South", "value": cell} for n in range(30)])


def test_a_question_of_units_is_a_unit_error(read):
    with pytest.raises(UnitError):
        read(two_sites(10, 60))
