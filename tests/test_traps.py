"""Exports in which something could go to the wrong place without a word: each must be read right, or asked about."""

import pytest

import ircohort
from ircohort.errors import ColumnError, RefusedError, UnitError

LONG = {"long": {"test": "t", "value": "v", "unit": "u"}}


@pytest.fixture
def read(tmp_path):
    def reading(text, config=None, **more):
        for name, content in {"labs": text, **more}.items():
            (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
        tables = {name: {"files": [str(tmp_path / f"{name}.csv")], "key": "key"} for name in more}
        return ircohort.read(tmp_path / "labs.csv", config={**(config or {}), "tables": tables})

    return reading


def column(cohort, name):
    return cohort.visits[name].to_list()


def test_a_table_of_nothing_but_identifiers_and_values_has_markers(read):
    cohort = read("id,glucose_mg_dl,insulin_uiu_ml\nA,95,5\nB,99,6\n")
    assert column(cohort, "glucose_mg_dl") == [95.0, 99.0]


@pytest.mark.parametrize(("sign", "value"), [("", 95.0), ("0", 95.0), ("=", 95.0), ("1", None), ("L", None)])
def test_what_is_no_sign_does_not_become_part_of_a_number(read, sign, value):
    cohort = read(f"id,date,t,v,s,u\nA,2020-01-01,glucose,95,{sign},mg/dL\n", {"long": {**LONG["long"], "sign": "s"}})
    assert column(cohort, "glucose_mg_dl") == ([value] if value else [])
    assert cohort.rejected["raw_value"].to_list() == ([] if value else ["95"])


def test_a_long_table_may_hold_measurements_in_columns_of_their_own(read):
    text = "id,date,t,v,u,bmi\nA,2020-01-01,glucose,95,mg/dL,25\nA,2020-01-01,insulin,5,uIU/mL,25\n"
    cohort = read(text, LONG)
    assert (column(cohort, "bmi"), column(cohort, "insulin_uiu_ml")) == ([25.0], [5.0])


def test_a_test_beside_a_column_of_the_same_analyte_is_a_question(read):
    with pytest.raises(ColumnError, match="the test BMI or the column bmi"):
        read("id,date,t,v,u,bmi\nA,2020-01-01,BMI,24,kg/m2,25\n", LONG)


def test_a_day_without_a_result_that_is_read_opens_no_draw(read):
    text = (
        "id,date,t,v,u\nA,2020-01-01,Sodium,140,mmol/L\nA,2020-01-03,Glucose,95,mg/dL\nA,2020-01-05,Insulin,5,uIU/mL\n"
    )
    cohort = read(text, {**LONG, "policy": {"draw_window_days": 3}})
    assert [str(day) for day in column(cohort, "visit_date")] == ["2020-01-03"]
    assert column(cohort, "insulin_uiu_ml") == [5.0]


@pytest.mark.parametrize("start", [0, 7, 113, 365, 4000])
def test_days_within_a_window_are_counted_as_written(read, start):
    text = f"id,day,t,v,u\nA,{start},Glucose,95,mg/dL\nA,{start + 3},Insulin,5,uIU/mL\n"
    assert read(text, {**LONG, "policy": {"draw_window_days": 3}}).visits.height == 1


def test_a_flag_of_a_draw_holds_for_the_results_that_do_not_state_it(read):
    text = "id,date,t,v,u,fasting\nA,2020-01-01,Glucose,95,mg/dL,no\nA,2020-01-01,Insulin,60,uIU/mL,\n"
    assert read(text, LONG).ledger.rules["set_aside"] == {"not_fasting": 2}


def test_a_value_whose_flag_cannot_be_read_is_not_used_as_if_there_were_none(read):
    cohort = read("id,date,fasting,glucose_mg_dl,hdl_mg_dl\nA,2020-01-01,yes,95,50\nB,2020-01-01,perhaps,180,50\n")
    assert column(cohort, "glucose_mg_dl") == [95.0, None]
    assert column(cohort, "hdl_mg_dl") == [50.0, 50.0]
    assert cohort.ledger.rules["set_aside"] == {"unreadable_flag": 1}


def test_codes_of_mass_and_moles_without_units_are_a_question(read):
    with pytest.raises(ColumnError, match="2 tests could be insulin"):
        read("id,date,t,v\nA,2020-01-01,20448-7,10\nA,2020-01-02,14796-7,60\n", {"long": {"test": "t", "value": "v"}})


def test_a_unit_for_all_is_not_laid_over_rows_that_state_another(read):
    text = "id,date,insulin,insulin_unit\nA,2020-01-01,60,pmol/L\nA,2021-01-01,10,\n"
    with pytest.raises(UnitError, match="as uIU/mL, and in rows of the column insulin_unit as pmol/L"):
        read(text, {"units": {"insulin": "uIU/mL"}})
    cohort = read(text, {"units": {"insulin": {"column": "insulin_unit", "otherwise": "uIU/mL"}}})
    assert column(cohort, "insulin_uiu_ml") == [10.0, 10.0]


@pytest.mark.parametrize(
    ("units", "says"),
    [
        ({"file": {"typo.csv": "pmol/L"}}, "'typo.csv', which no file is"),
        ({"column": "site", "units": {"Z": "pmol/L"}}, "'Z', which no cell of site is"),
        ({"year": {"2020": "pmol/L"}}, "no column gives the date"),
    ],
)
def test_a_statement_of_units_that_meets_nothing_is_refused(read, units, says):
    with pytest.raises(ColumnError, match=says):
        read("id,day,site,insulin_uiu_ml\nA,1,X,60\n", {"units": {"insulin": units}})


def test_a_group_that_a_map_of_units_leaves_out_has_no_unit(read):
    units = {"insulin": {"column": "site", "units": {"X": "pmol/L"}}}
    cohort = read("id,site,insulin_uiu_ml\nA,X,60\nB,Z,10\n", {"units": units})
    assert cohort.ledger.rules["rejected"] == {"unknown_unit": 1}


@pytest.mark.parametrize("line", ["P001,03/04/2020,95,10", "P001,95,95,10", "7,03.04.20,95,10"])
def test_a_first_line_of_data_is_refused_without_a_word_of_it(read, line):
    with pytest.raises(ColumnError, match="holds data, not column names") as refusal:
        read(f"{line}\nP002,03/05/2020,96,11\n")
    assert not any(cell in str(refusal.value).replace("labs.csv", "") for cell in ("P001", "95", "03"))


def test_a_second_form_of_dates_is_asked_for_beside_the_first(read):
    text = "id,date,dob,glucose_mg_dl\nA,2020-01-01,13/04/1960,95\n"
    with pytest.raises(ColumnError, match="--date-format '%Y-%m-%d' --date-format '%d/%m/%Y'"):
        read(text)
    cohort = read(text, {"columns": {"date_format": ["%Y-%m-%d", "%d/%m/%Y"]}})
    assert column(cohort, "age") == pytest.approx([59.7], abs=0.05)


def test_identical_values_are_merged_before_a_mean_is_taken(read):
    text = "id,date,glucose_mg_dl\n" + "".join(f"A,2020-01-01,{value}\n" for value in (90, 90, 100))
    cohort = read(text, {"policy": {"duplicates": "mean"}})
    assert column(cohort, "glucose_mg_dl") == [95.0]
    assert cohort.ledger.rules["merged"] == {"averaged_duplicate": 1, "identical_duplicate": 1}


def test_a_measurement_that_two_people_lead_to_is_refused(read):
    text = "id,key,date,glucose_mg_dl\nA,1,2020-01-01,90\nB,1,2020-01-01,91\n"
    with pytest.raises(RefusedError, match="Several participants lead to one row of the table w"):
        read(text, w="key,waist_cm\n1,80\n")


def test_an_age_of_a_table_of_persons_advances_whatever_its_key(read):
    text = "id,key,date,glucose_mg_dl\nA,7,2020-01-01,90\nA,7,2025-01-01,91\n"
    assert column(read(text, people="key,age\n7,40\n"), "age") == pytest.approx([40.0, 45.0], abs=0.01)
