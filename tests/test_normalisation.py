import datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircohort.errors import ColumnError, RefusedError, UnitError
from ircohort.export import TableSpec
from ircohort.indices import markers
from ircohort.intake import read_export
from ircohort.normalisation import RULES, Choice, Columns, Policy, UnitSaid, normalise
from ircohort.normalisation.readings import CellReader, Dialect
from ircohort.normalisation.rules import OUTCOMES

READ = CellReader(Policy(), Dialect())


def units(**stated):
    return {name: UnitSaid(unit) for name, unit in stated.items()}


UNITS = units(glucose="mg/dL", insulin="uIU/mL", triglycerides="mg/dL", hdl="mg/dL")


@pytest.fixture
def cohort(tmp_path):
    def read(text, said=None, policy=None, **tables):
        path = tmp_path / "labs.csv"
        path.write_text(text, encoding="utf-8")
        specs = []
        for name, (content, key, via) in tables.items():
            other = tmp_path / f"{name}.csv"
            other.write_text(content, encoding="utf-8")
            specs.append(TableSpec(name, (str(other),), key=key, via=via))
        return normalise(read_export(TableSpec("labs", (str(path),)), specs), said or Columns(units=UNITS), policy)

    return read


def only(result):
    return result.visits.row(0, named=True)


def adds_up(ledger):
    return all(
        counts["read"] == sum(counts[outcome] for outcome in OUTCOMES)
        for counts in (*ledger.rows.values(), *ledger.values.values())
    )


# --- the same person in two unit systems --------------------------------------------------------------------------


def test_us_and_si_units_give_the_same_markers(cohort):
    us = cohort("id,date,glucose,insulin,tg,hdl,bmi\na,2020-01-01,95,10,120,50,27\n")
    si_units = units(glucose="mmol/L", insulin="pmol/L", triglycerides="mmol/L", hdl="mmol/L")
    values = ",".join(str(value) for value in (95 / 18.016, 60, 120 / 88.57, 50 / 38.67, 27))
    si = cohort(f"id,date,glucose,insulin,tg,hdl,bmi\na,2020-01-01,{values}\n", Columns(units=si_units))
    for column in ("homa_ir", "homa_b_pct", "quicki", "tg_hdl_mg", "tyg", "spise", "mets_ir", "mcauley"):
        assert markers(us.visits)[column].item() == pytest.approx(markers(si.visits)[column].item(), rel=1e-9)


def test_a_glucose_of_5_55_mmol_is_not_normal_though_99_99_mg_would_be(cohort):
    result = cohort("id,date,glucose (mmol/L)\na,2020-01-01,5.55\nb,2020-01-01,5.54\n", Columns())
    assert result.visits["glycaemia"].to_list() == ["prediabetes", "normal"]


def test_the_old_insulin_factor_is_a_policy(cohort):
    text = "id,date,insulin (pmol/L)\na,2020-01-01,69.45\n"
    old = cohort(text, Columns(), Policy(insulin_factor=Decimal("6.945")))
    assert only(old)["insulin_uiu_ml"] == pytest.approx(10.0)
    assert any("6.945" in note for note in old.notes)
    assert any("6.00" in note for note in cohort(text, Columns()).notes)


# --- columns and units are recognised by rule, or asked for -------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("Glucose (mg/dL)", "mg/dL"),
        ("glucose [mmol/L]", "mmol/L"),
        ("glucose_mg_dl", "mg/dL"),
        ("Fasting Plasma Glucose, (MMOL/L)", "mmol/L"),
        ("LBXGLU", "mg/dL"),
        ("LBDGLUSI", "mmol/L"),
    ],
)
def test_a_header_may_state_the_unit(cohort, header, unit):
    result = cohort(f'id,date,"{header}"\na,2020-01-01,6\n', Columns())
    row = result.columns.filter(pl.col("recognised_as") == "glucose").row(0, named=True)
    assert (row["column"], row["unit"]) == (header, unit)


def test_a_column_is_never_recognised_by_likeness(cohort):
    with pytest.raises(ColumnError, match="No column is recognised as one of"):
        cohort("id,date,glucoze,insulinn\na,2020-01-01,95,10\n")


def test_two_candidates_are_a_question(cohort):
    with pytest.raises(ColumnError, match="2 columns could be glucose: glucose, FPG") as refusal:
        cohort("id,date,glucose,FPG\na,2020-01-01,95,96\n")
    assert "--column glucose=" in refusal.value.next_step


def test_a_named_column_settles_it(cohort):
    said = Columns(named={"glucose": Choice("FPG")}, units=UNITS)
    result = cohort("id,date,glucose,FPG\na,2020-01-01,95,96\n", said)
    assert only(result)["glucose_mg_dl"] == 96.0
    assert result.ledger.not_read == {"glucose": 1}


def test_a_named_column_that_is_not_there_is_refused(cohort):
    with pytest.raises(ColumnError, match="no column 'GLX'"):
        cohort("id,date,glucose\na,2020-01-01,95\n", Columns(named={"glucose": Choice("GLX")}))


def test_an_unstated_unit_is_asked_for_without_a_median_of_few(cohort):
    with pytest.raises(UnitError) as refusal:
        cohort("id,date,glucose\na,2020-01-01,93\n", Columns())
    assert "93" not in str(refusal.value)
    assert "usual median" in refusal.value.expected


def test_an_unstated_unit_is_asked_for_with_the_median_of_ten_people(cohort):
    rows = "".join(f"p{n},2020-01-01,{88 + n}\n" for n in range(10))
    with pytest.raises(UnitError) as refusal:
        cohort(f"id,date,GLU\n{rows}", Columns())
    assert str(refusal.value) == (
        "glucose has no stated unit (labs.csv, column GLU).\n"
        "Its median is 92.5, as usual for mg/dL; as mmol/L it would be 1666 mg/dL; as g/L it would be 9250 mg/dL.\n"
        "If it is mg/dL, add --unit glucose='mg/dL', or to the configuration: units.glucose = \"mg/dL\"."
    )


def test_all_open_questions_are_asked_at_once(cohort):
    with pytest.raises(RefusedError, match="3 questions") as refusal:
        cohort("date,glucose,insulin\n2020-01-01,95,10\n", Columns())
    assert all(word in str(refusal.value) for word in ("participant", "glucose has no", "insulin has no"))
    assert refusal.value.exit_code == 3


def test_what_the_user_states_wins_over_the_header(cohort):
    result = cohort("id,date,glucose (mg/dL)\na,2020-01-01,5\n", Columns(units={"glucose": UnitSaid("mmol/L")}))
    assert only(result)["glucose_mg_dl"] == pytest.approx(90.08)


# --- values: missing, unreadable, implausible and censored are four things ----------------------------------------


def test_each_bad_cell_stands_in_rejected_with_its_line_and_reason(cohort):
    result = cohort('id,date,glucose,insulin\na,2020-01-01,95,10\na,2021-01-01,"9,5",11\na,2022-01-01,9500,NA\n')
    assert result.rejected.select("source_row", "column", "raw_value", "rule").rows() == [
        (3, "glucose", "9,5", "unreadable_value"),
        (4, "glucose", "9500", "implausible_value"),
    ]
    assert result.ledger.rows["labs.csv"] == {
        "read": 3, "used": 2, "rejected": 1, "merged": 0, "set_aside": 0, "not_asked_for": 0,
    }  # fmt: skip
    assert result.ledger.values["glucose"]["rejected"] == 2


def test_a_decimal_comma_is_not_read_as_a_thousands_separator(cohort):
    assert READ.read("glucose", "5,2", "mmol/L").rule == "unreadable_value"


@pytest.mark.parametrize("text", ["1e400", "inf", "nan", "0x10", "--5", "1_000", "٩٥ mg", "95 mg/dL"])
def test_what_is_no_plain_number_is_not_read(text):
    assert READ.read("glucose", text, "mg/dL").value is None


@pytest.mark.parametrize(
    ("text", "policy", "value", "lower", "upper"),
    [
        ("<2", "half", 1.0, 0.0, 2.0),
        ("<2", "bounds", None, 0.0, 2.0),
        (">300", "half", 300.0, 300.0, None),
        ("≤2.0", "half", 1.0, 0.0, 2.0),
    ],
)
def test_a_censored_cell_keeps_its_bounds(cohort, text, policy, value, lower, upper):
    result = only(cohort(f"id,date,glucose,insulin\na,2020-01-01,95,{text}\n", policy=Policy(censored=policy)))
    assert result["insulin_uiu_ml"] == value
    assert (result["insulin_uiu_ml_lower"], result["insulin_uiu_ml_upper"]) == (lower, upper)


def test_a_censored_cell_can_be_dropped_and_is_counted(cohort):
    result = cohort("id,date,glucose,insulin\na,2020-01-01,95,<2\n", policy=Policy(censored="drop"))
    assert only(result)["insulin_uiu_ml"] is None
    assert result.ledger.rules["set_aside"] == {"dropped_censored": 1}


def test_bounds_are_converted_with_the_value(cohort):
    result = only(cohort("id,date,insulin (pmol/L)\na,2020-01-01,<12\n", Columns()))
    assert (result["insulin_uiu_ml"], result["insulin_uiu_ml_upper"]) == (1.0, 2.0)


def test_a_censored_reading_is_classified_only_where_it_is_sure(cohort):
    cells = ("<40,", ">110,", ",>14", "<100,", "<100.1,", ">126,")
    rows = "".join(f"{person},2020-01-01,{cell}\n" for person, cell in zip("abcdef", cells, strict=True))
    result = cohort("id,date,glucose,hba1c (%)\n" + rows)
    assert result.visits["glycaemia"].to_list() == ["normal", None, "diabetes", "normal", None, "diabetes"]


def test_an_accepted_value_far_from_the_others_of_its_person_is_pointed_to_without_showing_it(cohort):
    rows = "".join(f"a,{2010 + year}-01-01,{value}\n" for year, value in enumerate((93, 95, 950, 97)))
    result = cohort("id,date,glucose\n" + rows)
    told = [note for note in result.notes if "typing errors" in note]
    assert told
    assert "labs.csv, line 4, glucose" in told[0]
    assert "950" not in told[0]
    assert not any("typing" in note for note in cohort("id,date,glucose\n" + rows.replace("950", "105")).notes)


# --- time -----------------------------------------------------------------------------------------------------------


def test_years_count_from_the_first_visit_of_each_participant(cohort):
    result = cohort("id,date,glucose\na,2021-01-01,95\na,2020-01-01,95\nb,2019-06-01,95\n")
    assert result.visits["participant_id"].to_list() == ["a", "a", "b"]
    assert result.visits["years"].to_list() == [0.0, pytest.approx(366 / 365.25), 0.0]
    assert result.visits["visit_date"][0] == datetime.date(2020, 1, 1)


def test_day_and_year_offsets_may_be_negative(cohort):
    by_day = cohort("id,day,glucose\na,-100,95\na,265.25,95\n")
    by_year = cohort("id,years,glucose\na,-1,95\na,0,95\n")
    assert by_day.visits["years"].to_list() == by_year.visits["years"].to_list() == [0.0, 1.0]


def test_a_date_of_a_stated_form_is_read(cohort):
    result = cohort("id,date,glucose\na,31/12/2020,95\n", Columns(units=UNITS, date_format=("%d/%m/%Y",)))
    assert only(result)["visit_date"] == datetime.date(2020, 12, 31)


def test_dates_of_another_form_are_a_question(cohort):
    with pytest.raises(ColumnError, match=r"form %Y-%m-%d") as refusal:
        cohort("id,date,glucose\na,03/04/2020,95\nb,05/06/2020,95\n")
    assert "--date-format" in refusal.value.next_step


def test_one_unreadable_date_is_rejected_and_its_values_stay_without_a_time(cohort):
    result = cohort("id,date,glucose\na,2020-01-01,95\na,2020-02-30,96\na,,97\n")
    assert result.visits["years"].to_list() == [0.0, None, None]
    assert result.rejected.select("source_row", "raw_value", "rule").rows() == [(3, "2020-02-30", "unreadable_date")]
    assert any("2 visits have no time" in note for note in result.notes)


def test_two_candidates_for_the_time_are_a_question(cohort):
    with pytest.raises(ColumnError, match="time of a visit"):
        cohort("id,date,day,glucose\na,2020-01-01,0,95\n")


# --- people and context -----------------------------------------------------------------------------------------


def test_age_comes_from_the_date_of_birth_where_it_is_not_stated(cohort):
    result = cohort("id,date,birth_date,sex,glucose\na,2020-01-01,1970-01-01,F,95\n")
    assert only(result)["age"] == pytest.approx(50.0, abs=0.01)
    assert only(result)["sex"] == "female"


def test_a_sex_that_contradicts_itself_is_left_open(cohort):
    result = cohort("id,date,sex,glucose\na,2020-01-01,F,95\na,2021-01-01,M,95\nb,2021-01-01,m,95\nb,2022-01-01,,95\n")
    assert result.visits["sex"].to_list() == [None, None, "male", "male"]


def test_codes_of_sex_are_stated_by_the_user(cohort):
    said = Columns(named={"sex": Choice("SEX", {"female": ("2",), "male": ("1",)})}, units=UNITS)
    assert only(cohort("id,date,SEX,glucose\na,2020-01-01,2,95\n", said))["sex"] == "female"
    unread = cohort("id,date,SEX,glucose\na,2020-01-01,2,95\n", Columns(named={"sex": Choice("SEX")}, units=UNITS))
    assert unread.rejected["rule"].to_list() == ["unreadable_context"]


def test_what_is_stated_as_not_fasting_is_set_aside(cohort):
    result = cohort("id,date,fasting,glucose,insulin,hdl\na,2020-01-01,no,95,10,50\na,2021-01-01,yes,96,11,51\n")
    assert result.visits["glucose_mg_dl"].to_list() == [None, 96.0]
    assert result.visits["hdl_mg_dl"].to_list() == [50.0, 51.0]
    assert result.ledger.rules["set_aside"] == {"not_fasting": 2}
    assert adds_up(result.ledger)


def test_what_was_drawn_in_illness_is_set_aside_by_the_values_that_mean_it(cohort):
    said = Columns(named={"ill": Choice("event", {"yes": ("Infection",)})}, units=UNITS)
    result = cohort("id,date,event,glucose\na,2020-01-01,Infection,95\na,2021-01-01,Other,96\n", said)
    assert result.visits.select("ill", "glucose_mg_dl").rows() == [(True, None), (False, 96.0)]
    assert result.ledger.rows["labs.csv"]["set_aside"] == 1


def test_without_a_fasting_column_it_is_said_once_that_all_count_as_fasting(cohort):
    assert sum("fasted" in note for note in cohort("id,date,glucose\na,2020-01-01,95\n").notes) == 1


def test_kept_columns_follow_last(cohort):
    result = cohort("id,date,centre_note,glucose\na,2020-01-01,x,95\n", Columns(keep=("centre_note",), units=UNITS))
    assert result.visits.columns[-1] == "centre_note"


@pytest.mark.parametrize("name", ["visit", "row", "outcome", "rule", "our:sex", "source_file", "value", "#order"])
def test_a_column_of_any_name_changes_nothing(cohort, name):
    plain = cohort("id,date,glucose\na,2020-01-01,95\nb,2020-01-01,96\n")
    other = cohort(f"id,date,glucose,{name}\na,2020-01-01,95,1\nb,2020-01-01,96,1\n")
    assert other.visits.equals(plain.visits)


@pytest.mark.parametrize("kept", [("age",), ("years",), ("homa_ir",), ("x", "people.x"), ("glucose_mg_dl_lower",)])
def test_a_kept_column_whose_name_is_taken_is_refused(cohort, kept):
    text = "id,date,glucose,x,age,years,homa_ir,glucose_mg_dl_lower\na,2020-01-01,95,1,50,0,2,3\n"
    said = Columns(named={"visit_date": Choice("date"), "participant_id": Choice("id")}, keep=kept, units=UNITS)
    with pytest.raises(ColumnError, match="cannot be kept"):
        cohort(text, said, people=("pid,x\na,2\n", "pid", "id"))


def test_an_age_by_birth_is_not_counted_forward_twice(cohort):
    said = Columns(named={"participant_id": Choice("id")}, units=UNITS)
    people = ("pid,age,birth_date\na,,1980-01-01\nb,30,\n", "pid", "id")
    text = "id,date,glucose\na,2020-01-01,95\na,2022-01-01,95\nb,2020-01-01,95\nb,2021-01-01,95\n"
    result = cohort(text, said, people=people)
    assert result.visits["age"].to_list() == pytest.approx([40, 42, 30, 31], abs=0.01)


def test_a_table_of_persons_is_known_by_its_own_key_too(cohort):
    said = Columns(named={"participant_id": Choice("people.pid")}, units=UNITS)
    result = cohort("id,date,glucose\na,2020-01-01,95\na,2022-01-01,95\n", said, people=PEOPLE)
    assert result.visits["age"].to_list() == pytest.approx([40, 42], abs=0.01)


@pytest.mark.parametrize("year", ["1", "soon"])
def test_a_birth_that_nobody_has_is_rejected(cohort, year):
    result = cohort(f"id,date,birth_year,glucose\na,2020-01-01,{year},95\n")
    assert only(result)["age"] is None
    assert result.rejected.select("column", "raw_value", "rule").rows() == [("birth_year", year, "unreadable_context")]


def test_what_the_user_says_of_sex_beats_the_built_in_words(cohort):
    said = Columns(named={"sex": Choice("G", {"female": ("M",)})}, units=UNITS)
    assert only(cohort("id,date,G,glucose\na,2020-01-01,M,95\n", said))["sex"] == "female"


def test_the_words_for_no_may_be_listed_alone(cohort):
    said = Columns(named={"fasting": Choice("F", {"no": ("nf",)})}, units=UNITS)
    result = cohort("id,date,F,glucose,hdl\na,2020-01-01,nf,95,50\na,2021-01-01,8h,96,50\n", said)
    assert result.visits.select("fasting", "glucose_mg_dl").rows() == [(False, None), (True, 96.0)]


def test_a_constant_measurement_does_not_overwrite_what_was_measured(cohort):
    text = "id,date,glucose,bmi\na,2020-01-01,95,25\na,2021-01-01,95,30\na,2022-01-01,95,\n"
    result = cohort(text, Columns(units=UNITS, constant=("bmi",)))
    assert result.visits["bmi"].to_list() == [25.0, 30.0, 25.0]


def test_a_bad_cell_of_a_joined_table_is_listed_once_where_it_stands(cohort):
    said = Columns(named={"participant_id": Choice("id")}, units=UNITS)
    text = "id,date,glucose\na,2020-01-01,95\na,2021-01-01,95\n"
    result = cohort(text, said, people=("pid,sex\nz,f\na,?\n", "pid", "id"))
    assert result.rejected.select("source_file", "source_row", "column", "raw_value").rows() == [
        ("people.csv", 3, "people.sex", "?")
    ]
    assert result.ledger.rules["rejected"] == {"unreadable_context": 1}
    assert any(note.startswith("1 cell rejected (people.sex): not one of the values") for note in result.notes)
    assert "`ircohort run` lists every rejected cell in rejected.csv." in result.notes


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31"])
def test_a_date_that_cannot_be_is_rejected(cohort, text):
    assert cohort(f"id,date,glucose\na,2020-01-01,95\na,{text},96\n").rejected["raw_value"].to_list() == [text]


def test_a_time_may_be_part_of_the_stated_form(cohort):
    said = Columns(units=UNITS, date_format=("%Y-%m-%d %H:%M",))
    result = cohort("id,date,glucose\na,2020-01-01 08:00,95\na,bad,96\n", said)
    assert result.rejected["rule"].to_list() == ["unreadable_date"]


# --- duplicates -------------------------------------------------------------------------------------------------


TWICE = "id,date,glucose\na,2020-01-01,98\na,2020-01-01,102\n"


@pytest.mark.parametrize(
    ("policy", "glucose", "glycaemia", "counts"),
    [
        ("reject", [], [], {"rejected": 2}),
        ("mean", [100.0], ["prediabetes"], {"used": 1, "merged": 1}),
        ("first", [98.0], ["normal"], {"used": 1, "rejected": 1}),
    ],
)
def test_conflicting_duplicates_follow_the_policy(cohort, policy, glucose, glycaemia, counts):
    result = cohort(TWICE, policy=Policy(duplicates=policy))
    assert result.visits["glucose_mg_dl"].to_list() == glucose
    assert result.visits["glycaemia"].to_list() == glycaemia
    assert {key: value for key, value in result.ledger.rows["labs.csv"].items() if value and key != "read"} == counts


def test_identical_duplicates_are_merged_and_counted(cohort):
    result = cohort("id,date,glucose\na,2020-01-01,98\na,2020-01-01,98.0\n")
    assert result.visits["glucose_mg_dl"].to_list() == [98.0]
    assert result.ledger.rules["merged"] == {"identical_duplicate": 1}


def test_two_rows_of_one_draw_make_one_visit(cohort):
    result = cohort("id,date,glucose,insulin\na,2020-01-01,95,\na,2020-01-01,,10\n")
    assert result.visits.select("glucose_mg_dl", "insulin_uiu_ml").rows() == [(95.0, 10.0)]


# --- the long shape -------------------------------------------------------------------------------------------------


LONG = Columns(long={"test": "test", "value": "value", "unit": "unit"})


def test_a_long_table_states_units_per_row(cohort):
    result = cohort(
        "id,date,test,value,unit\na,2020-01-01,Glucose,95,mg/dL\na,2020-01-01,Insulin,60,pmol/L\n"
        "b,2020-01-01,glucose,5.0,mmol/L\nb,2020-01-01,Ferritin,90,ug/L\nb,2020-01-01,insulin,10,furlong\n",
        LONG,
    )
    assert result.visits["glucose_mg_dl"].to_list() == [95.0, pytest.approx(90.08)]
    assert result.visits["insulin_uiu_ml"].to_list() == [10.0, None]
    assert result.ledger.not_read == {"Ferritin": 1}
    assert result.ledger.rows["labs.csv"]["not_asked_for"] == 1
    assert result.rejected["rule"].to_list() == ["unknown_unit"]


@pytest.mark.parametrize("born", ["birth_year,glucose\na,2020-01-01,2045", "dob,glucose\na,2020-01-01,2020-02-01"])
def test_a_visit_before_birth_has_no_time(cohort, born):
    result = cohort(f"id,date,{born},95\n")
    assert (only(result)["visit_date"], only(result)["years"], only(result)["age"]) == (None, None, None)
    assert result.rejected.select("column", "raw_value", "rule").rows() == [("date", "2020-01-01", "before_birth")]


def test_visits_decades_apart_and_ages_at_odds_with_dates_are_pointed_to(cohort):
    text = (
        "id,date,age,glucose\n"
        "a,1900-01-01,50,95\na,2020-01-01,50,95\n"  # a placeholder
        "b,2019-01-01,49,95\nb,2020-01-01,50,95\n"
        "c,2000-01-01,30,95\nc,2020-01-01,50,95\n"  # twenty years to the day: not more
        "d,2018-01-01,47,95\nd,2020-01-01,52,95\n"
    )
    found = [note for note in cohort(text).notes if "apart" in note or "contradict" in note]
    assert found[0].startswith("Visits of 1 participant lie more than 20 years apart")
    assert found[1].startswith("Age and date contradict each other in 2 participants")
    assert len(found) == 2
    plain = cohort("id,date,age,glucose\na,2019-01-01,49,95\na,2020-06-01,51,95\nb,1980-01-01,60,95\n").notes
    assert not any("apart" in note or "contradict" in note for note in plain)


def test_a_test_may_state_its_unit_or_be_named_by_the_user(cohort):
    said = Columns(
        named={"insulin": Choice("INS-7")}, units=units(insulin="pmol/L"), long={"test": "test", "value": "value"}
    )
    text = "id,date,test,value\na,2020-01-01,Glucose (mg/dL),95\na,2020-01-01,INS-7,60\na,2020-01-01,BMI,25\n"
    row = only(cohort(text, said))
    assert (row["glucose_mg_dl"], row["insulin_uiu_ml"], row["bmi"]) == (95.0, 10.0, 25.0)


def test_a_role_of_a_long_table_that_is_not_there_is_refused(cohort):
    said = Columns(long={"test": "test", "value": "value", "unit": "UNTI"})
    with pytest.raises(ColumnError, match="no column for its unit"):
        cohort("id,date,test,value,unit\na,2020-01-01,glucose,95,mg/dL\n", said)


def test_a_long_table_without_units_is_asked_for_them(cohort):
    with pytest.raises(RefusedError, match="glucose has no stated unit"):
        cohort("id,date,test,value\na,2020-01-01,glucose,95\n", Columns(long={"test": "test", "value": "value"}))


# --- joined tables ------------------------------------------------------------------------------------------------


PEOPLE = ("pid,sex,age,bmi\na,f,40,22\nb,m,50,25\nz,f,60,29\n", "pid", "id")


def test_a_table_of_persons_fills_sex_and_age_everywhere_but_bmi_at_the_first_visit_only(cohort):
    text = "id,date,glucose\na,2022-01-01,95\na,2020-01-01,94\nc,2020-01-01,93\n"
    said = Columns(named={"participant_id": Choice("id")}, units=UNITS)
    result = cohort(text, said, people=PEOPLE)
    assert result.visits["bmi"].to_list() == [22.0, None, None]
    assert result.visits["age"].to_list() == [40.0, pytest.approx(42.0, abs=0.01), None]
    assert result.visits["sex"].to_list() == ["female", "female", None]
    assert result.ledger.rows["people.csv"] == {
        "read": 3, "used": 1, "rejected": 0, "merged": 0, "set_aside": 0, "not_asked_for": 2,
    }  # fmt: skip
    constant = cohort(text, Columns(named=said.named, units=UNITS, constant=("bmi",)), people=PEOPLE)
    assert constant.visits["bmi"].to_list() == [22.0, 22.0, None]


def test_a_row_whose_key_leads_nowhere_is_rejected_with_its_line(cohort):
    said = Columns(named={"participant_id": Choice("visits.person"), "day": Choice("visits.day")}, units=UNITS)
    result = cohort(
        "key,glucose\nv1,95\nv7,96\nv2,97\n", said, visits=("key,person,day\nv1,a,0\nv2,a,365\nv3,b,0\n", "key", "")
    )
    assert result.rejected.select("source_row", "rule").rows() == [(3, "no_participant")]
    assert result.ledger.rows["labs.csv"]["rejected"] == 1
    assert result.ledger.rules["not_asked_for"] == {"not_referred_to": 1}


# --- the ledger ---------------------------------------------------------------------------------------------------


cells = st.sampled_from(["95", "96.5", "<70", ">400", "NA", "", "abc", "5 2", "99999", "-3", "1e2"])
rows = st.tuples(
    st.sampled_from(["a", "b", "001", ""]),
    st.sampled_from(["2020-01-01", "2021-06-30", "30.6.2021", ""]),
    cells,
    cells,
    st.sampled_from(["yes", "no", "", "perhaps"]),
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    table=st.lists(rows, min_size=1, max_size=12),
    duplicates=st.sampled_from(["reject", "mean", "first"]),
    censored=st.sampled_from(["half", "bounds", "drop"]),
)
def test_every_row_and_value_is_in_exactly_one_class(tmp_path_factory, table, duplicates, censored):
    path = tmp_path_factory.mktemp("labs") / "labs.csv"
    whole = [("a", "2020-01-01", "90", "9", "yes"), *table]
    path.write_text(
        "id,date,glucose,insulin,fasting\n" + "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in whole)
    )
    export = read_export(TableSpec("labs", (str(path),)))
    result = normalise(export, Columns(units=UNITS), Policy(duplicates=duplicates, censored=censored))
    assert adds_up(result.ledger)
    assert result.ledger.rows["labs.csv"]["read"] == len(whole)
    given_cells = [row[2] for row in whole if row[2] not in ("", "NA")]
    assert result.ledger.values["glucose"]["read"] == len(given_cells)
    used = sum(result.ledger.values["glucose"][key] for key in ("used",))
    assert result.visits["glucose_mg_dl"].count() <= used
    rejected_lines = set(result.rejected["source_row"])
    assert rejected_lines <= set(range(2, len(whole) + 2))


@settings(max_examples=25, derandomize=True, deadline=None)
@given(order=st.permutations(range(8)), delimiter=st.sampled_from([",", ";", "\t"]))
def test_row_order_and_delimiter_do_not_matter(tmp_path_factory, order, delimiter):
    lines = [f"p{n % 3}{delimiter}20{10 + n}-05-0{n + 1}{delimiter}{90 + n}{delimiter}<{n + 2}" for n in range(8)]

    def read(ordered):
        path = tmp_path_factory.mktemp("labs") / "labs.txt"
        path.write_text(delimiter.join(("id", "date", "glucose", "insulin")) + "\n" + "\n".join(ordered))
        return normalise(read_export(TableSpec("labs", (str(path),))), Columns(units=UNITS)).visits

    assert read([lines[n] for n in order]).equals(read(lines))


def test_a_table_without_rows_gives_no_visits(cohort):
    result = cohort("id,date,glucose\n")
    assert result.visits.height == 0
    assert result.ledger.rows["labs.csv"]["read"] == 0
    assert result.notes[0] == "The laboratory table holds a header and no rows."


def test_a_row_without_a_value_that_is_read_was_not_asked_for(cohort):
    result = cohort("id,date,glucose,note\na,2020-01-01,,seen\na,2021-01-01,95,\n")
    assert result.ledger.rows["labs.csv"]["not_asked_for"] == 1
    assert result.visits.height == 1


def test_a_ragged_row_is_rejected_whole(cohort):
    result = cohort("id,date,glucose\na,2020-01-01,95\nb,2020-01-01,95,extra\n")
    assert result.rejected.row(0, named=True)["raw_value"] == "b,2020-01-01,95,extra"
    assert result.ledger.rows["labs.csv"]["rejected"] == 1


def test_every_rule_leads_to_one_of_the_five_classes():
    assert {rule.outcome for rule in RULES.values()} <= set(OUTCOMES)
    assert all(name == rule.name and rule.reason for name, rule in RULES.items())
