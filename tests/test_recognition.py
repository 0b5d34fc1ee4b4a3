"""What is recognised by its name and what is not, and what a cell of the context says."""

import polars as pl
import pytest

import ircohort
from ircohort.errors import ColumnError, RefusedError, UnitError
from ircohort.export import TableSpec
from ircohort.intake import read_export
from ircohort.normalisation import RULES, Choice, Columns, UnitSaid, recognise
from ircohort.normalisation.context import ContextReader
from ircohort.normalisation.readings import Policy

LONG = {"long": {"test": "test", "value": "value"}}
LONG_WITH_UNITS = {"long": {"test": "test", "value": "value", "unit": "unit"}}
GLUCOSE = {"units": {"glucose": "mg/dL"}}


@pytest.fixture
def labs(tmp_path):
    def write(text, name="labs.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def known(labs):
    """Recognise the columns of a text: what each name is, and the open questions."""

    def find(text, said=None, **tables):
        specs = [
            TableSpec(name, (labs(content, f"{name}.csv"),), key=key, via=key)
            for name, (content, key) in tables.items()
        ]
        recognition = recognise(read_export(TableSpec("labs", (labs(text),)), specs), said or Columns())
        return {column.name: column for column in recognition.columns}, [str(one) for one in recognition.questions]

    return find


@pytest.fixture
def context(labs):
    """Read what belongs to the rows."""

    def read(text, said=None):
        export, said = read_export(TableSpec("labs", (labs(text),)), []), said or Columns()
        return ContextReader(export, recognise(export, said), said, Policy()).read()[0].context

    return read


def of_header(known, header):
    return set(known(f'id,date,"{header}"\na,2020-01-01,1\n')[0]) - {"participant_id", "visit_date"}


# --- a bracket is a unit, or part of the name ------------------------------------------------------------------------

OTHER_TESTS = [
    "Glucose (urine)",
    "Glucose (2h)",
    "Glucose (CSF)",
    "Glucose [Mass/volume]",
    "Glucose (urine) (mg/dL)",
    "Glucose (mg/dL) (2h)",
    "HDL (kg)",
    "Insulin (PM)",
    "Insulin (pm)",
    "Insulin PM",
    "Insulin pM",
    "insulin_pm",
    "INS_PM",
    "Glucose_MM",
    "glucose [MM]",
    "C-Peptide PM",
    "c_peptide_nm",
    "C-Peptide (NM)",
    "HDL mm",
]


@pytest.mark.parametrize("header", OTHER_TESTS)
def test_a_header_that_says_more_than_its_analyte_and_unit_is_not_recognised(known, header):
    assert of_header(known, header) == set()


@pytest.mark.parametrize("test", OTHER_TESTS)
@pytest.mark.parametrize("config", [LONG, LONG_WITH_UNITS])
def test_a_test_that_says_more_than_its_analyte_and_unit_is_not_recognised(labs, test, config):
    cohort = ircohort.read(labs(f'id,date,test,value,unit\na,2020-01-01,"{test}",95,mg/dL\n'), config=config)
    assert cohort.visits.height == 0
    assert cohort.ledger.values == {} or not any(counts["used"] for counts in cohort.ledger.values.values())


def test_other_tests_do_not_flow_into_the_one_that_is_recognised(labs):
    tests = {"Glucose": 95, "Glucose (urine)": 1, "Glucose (2h)": 140, "Glucose (CSF)": 60}
    rows = "".join(f"a,2020-01-01,{test},{value},mg/dL\n" for test, value in tests.items())
    cohort = ircohort.read(labs("id,date,test,value,unit\n" + rows), config=LONG_WITH_UNITS)
    assert cohort.visits["glucose_mg_dl"].to_list() == [95.0]
    assert cohort.ledger.values["glucose"]["read"] == 1


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("Glucose (fasting) (mg/dL)", "glucose", "mg/dL"),
        ("Glucose (Plasma) [mmol/L]", "glucose", "mmol/L"),
        ("Insulin (serum), (pmol/L)", "insulin", "pmol/L"),
        ("HDL (cholesterol) (mg/dL)", "hdl", "mg/dL"),
        ("Insulin (pM)", "insulin", "pmol/L"),
        ("Glucose [mM]", "glucose", "mmol/L"),
        ("C-Peptide ( nM )", "c_peptide", "nmol/L"),
        ("insulin_pmol", "insulin", "pmol/L"),
        ("GLUCOSE_MMOL_L", "glucose", "mmol/L"),
    ],
)
def test_a_bracket_that_makes_a_listed_spelling_or_a_unit_is_recognised(known, header, name, unit):
    columns, questions = known(f'id,date,"{header}"\na,2020-01-01,5\n')
    assert (columns[name].header, columns[name].unit, questions) == (header, unit, [])


def test_a_bracket_of_a_listed_spelling_is_no_unit(known):
    columns, questions = known('id,date,"Glucose (fasting)"\na,2020-01-01,95\n')
    assert columns["glucose"].unit == ""
    assert "glucose has no stated unit" in questions[0]


def test_a_fasting_test_beside_a_plain_one_is_a_question(labs):
    text = "id,date,test,value,unit\na,2020-01-01,Glucose,95,mg/dL\na,2020-01-01,Glucose (fasting),94,mg/dL\n"
    with pytest.raises(ColumnError, match="2 tests could be glucose"):
        ircohort.read(labs(text), config=LONG_WITH_UNITS)


def test_another_test_is_read_by_the_word_of_the_user(labs):
    text = "id,date,test,value,unit\na,2020-01-01,Glucose (bedside),95,mg/dL\n"
    config = {**LONG_WITH_UNITS, "columns": {"glucose": ["Glucose (bedside)"]}}
    assert ircohort.read(labs(text), config=config).visits["glucose_mg_dl"].to_list() == [95.0]


def test_a_named_column_whose_bracket_is_no_unit_is_asked_for_its_unit(labs):
    with pytest.raises(UnitError, match="glucose has no stated unit"):
        ircohort.read(
            labs("id,date,Glucose (bedside)\na,2020-01-01,95\n"), config={"columns": {"glucose": "Glucose (bedside)"}}
        )


@pytest.mark.parametrize("header", ["Insulin (ng/ml)", "Insulin (uUI/dL)", "Insulin [mg / dll]"])
def test_a_bracket_that_looks_like_a_unit_and_is_none_is_a_question(known, header):
    columns, questions = known(f'id,date,"Glucose (mg/dL)","{header}"\na,2020-01-01,95,5\n')
    assert "insulin" not in columns
    asked = (
        [] if "liter2" in header else [f"The column {header} states a unit that ircohort does not read for insulin."]
    )
    assert [question.split("\n")[0] for question in questions] == asked


def test_a_column_of_a_strange_unit_is_no_question_once_it_is_named_or_kept(known):
    text = 'id,date,"Glucose (mg/dL)","Insulin (ng/ml)"\na,2020-01-01,95,5\n'
    assert known(text, Columns(keep=("Insulin (ng/ml)",)))[1] == []
    header = Choice("Insulin (ng/ml)")
    columns, questions = known(text, Columns(named={"insulin": header}, units={"insulin": UnitSaid("uIU/mL")}))
    assert (columns["insulin"].unit, questions) == ("uIU/mL", [])


@pytest.mark.parametrize("header", ["Glucose (2h, mmol/L)", "Glucose (serum/plasma)", "Sugar (mg/dll)"])
def test_a_bracket_of_another_test_or_name_is_no_question(known, header):
    assert known(f'id,date,"Insulin (uIU/mL)","{header}"\na,2020-01-01,5,95\n')[1] == []


@pytest.mark.parametrize("unit", ["µE/ml", "mE/L", "µIE/ml", "mIE/l"])
def test_units_of_german_laboratories_are_read(known, unit):
    assert known(f'id,date,"Insulin ({unit})"\na,2020-01-01,5\n')[0]["insulin"].unit == "uIU/mL"


LONG_COLUMNS = "id,date,test,value,unit\n"


def results(unit, n, first=0):
    return "".join(f"p{k},2020-01-01,Insulin,{5 + k % 3},{unit}\n" for k in range(first, first + n))


def test_a_unit_that_most_rows_state_and_is_not_read_is_a_question(labs):
    text = LONG_COLUMNS + results("mX/l", 30) + results("77.5", 2, 30) + results("uIU/mL", 9, 32)
    with pytest.raises(UnitError) as asked:
        ircohort.read(labs(text), config=LONG_WITH_UNITS)
    said = str(asked.value)
    assert "32 of 41 results of insulin state no unit that ircohort reads: 30 state mX/l." in said
    assert '[units] insulin = { column = "unit", units = { "mX/l" = "uIU/mL", "uIU/mL" = "uIU/mL" } }' in said
    assert "77.5" not in said
    meant = {
        **LONG_WITH_UNITS,
        "units": {"insulin": {"column": "unit", "units": {"mX/l": "uIU/mL", "uIU/mL": "uIU/mL"}}},
    }
    assert ircohort.read(labs(text), config=meant).visits["insulin_uiu_ml"].count() == 39


@pytest.mark.parametrize("unit", ["id", "unit"])
def test_what_stands_in_a_wrong_column_of_units_is_not_shown(labs, unit):
    text = LONG_COLUMNS + "".join(f"who{k},2020-01-01,Insulin,5,of who{k}\n" for k in range(15))
    long = {"test": "test", "value": "value", "unit": unit}
    with pytest.raises(UnitError) as asked:
        ircohort.read(labs(text), config={"long": long, "columns": {"participant_id": "id"}})
    assert "15 of 15 results of insulin state no unit that ircohort reads." in str(asked.value)
    assert "who" not in str(asked.value)


def test_a_unit_that_some_rows_state_and_is_not_read_rejects_them(labs):
    found = ircohort.read(labs(LONG_COLUMNS + results("mX/l", 20) + results("uIU/mL", 30, 20)), config=LONG_WITH_UNITS)
    assert found.rejected["rule"].to_list() == ["unknown_unit"] * 20


def test_one_date_that_is_read_does_not_answer_for_those_that_are_not(known):
    rows = "".join(f"p{k},{13 + k}.05.2020,95\n" for k in range(12))
    questions = known('id,date,"Glucose (mg/dL)"\na,2020-01-01,95\n' + rows)[1]
    assert questions[0].startswith("Only 1 of 13 cells of the column date are dates of the form %Y-%m-%d.")
    assert "--date-format '%Y-%m-%d' --date-format '%d.%m.%Y'" in questions[0]
    assert not known('id,date,"Glucose (mg/dL)"\na,2020-01-01,95\n' + rows, Columns(date_format=("%d.%m.%Y",)))[1]


# --- a bracket of the context ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["Age (months)", "Age (days)", "Age [mo]", "Hours fasting (days)", "Fasting hours (min)", "Age (mother)"],
)
def test_an_age_or_hours_of_another_unit_are_not_recognised(known, header):
    assert of_header(known, header) == set()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Age (years)", "age"),
        ("AGE [Yrs]", "age"),
        ("age (y)", "age"),
        ("Age (at visit)", "age"),
        ("Fasting hours (h)", "fasting_hours"),
        ("Hours since exercise [hrs]", "hours_since_exercise"),
        ("Fasting (Y/N)", "fasting"),
        ("Pregnant (0/1)", "pregnant"),
        ("Ill [yes / no]", "ill"),
        ("Sex (M/F)", "sex"),
        ("Gender (female/male)", "sex"),
        ("DOB (dd.mm.yyyy)", "birth_date"),
    ],
)
def test_a_bracket_that_only_says_how_cells_are_written_is_recognised(known, header, name):
    assert of_header(known, header) == {name}


@pytest.mark.parametrize(
    "header", ["Fasting (0=yes)", "Fasting (M/F)", "Sex (0/1)", "Sex (partner)", "Pregnant (weeks)", "ID (sample)"]
)
def test_a_bracket_that_says_more_is_not_dropped(known, header):
    assert of_header(known, header) == set()


@pytest.mark.parametrize("form", ["YYYY-MM-DD", "yyyymmdd", "DD/MM/YYYY", "m/d/yy"])
def test_a_form_of_dates_may_stand_in_the_header(known, form):
    columns, _ = known(f"id,Date ({form}),glucose (mg/dL)\na,2020-01-01,95\n")
    assert columns["visit_date"].header == f"Date ({form})"


@pytest.mark.parametrize("form", ["MM-YYYY", "d", "YYYY-DD-MM", "of birth of the mother"])
def test_a_form_that_dates_are_not_read_by_is_not_recognised(known, form):
    assert "visit_date" not in known(f"id,Date ({form}),glucose (mg/dL)\na,2020-01-01,95\n")[0]


# --- what a flag says ------------------------------------------------------------------------------------------------


def flags_of(context, name, *cells):
    rows = "".join(f"p{n:02},{cell},95\n" for n, cell in enumerate(cells))
    return context(f"id,{name},glucose (mg/dL)\n{rows}")


def test_the_f_of_a_fasting_column_is_not_read_as_false(context):
    read = flags_of(context, "fasting", "F", "T", "Y", "no", "TRUE", "False")
    assert read["fasting"].to_list() == [None, None, True, False, True, False]


def test_t_and_f_are_true_and_false_of_other_flags(context):
    assert flags_of(context, "pregnant", "T", "f", "yes")["pregnant"].to_list() == [True, False, True]


def test_codes_written_as_decimals_are_read(context):
    assert flags_of(context, "ill", "1.0", "0.0", "1", "0")["ill"].to_list() == [True, False, True, False]


def test_a_cell_whose_punctuation_says_something_is_not_read(context):
    read = flags_of(context, "ill", "-1", "1?", "Y?", "(no)", " yes ", "10")
    assert read["ill"].to_list() == [None, None, None, None, True, None]


def test_a_code_of_sex_with_a_sign_is_not_read(context):
    read = context("SEQN,RIAGENDR,LBXGLU\n1,-1,95\n2,1,95\n3,2.0,95\n4,m?,95\n5,Female,95\n")
    assert read["sex"].to_list() == [None, "male", "female", None, "female"]


def test_words_of_the_user_are_compared_as_written_but_for_case_and_decimals(labs):
    config = {**GLUCOSE, "columns": {"ill": {"column": "code", "yes": ["1"]}}}
    cohort = ircohort.read(labs("id,code,glucose\na,1.0,95\nb,-1,95\nc,2,95\n"), config=config)
    assert cohort.visits["ill"].to_list() == [True, False, False]


def test_rows_whose_flag_cannot_be_read_are_pointed_out(context):
    read = context("id,fasting,ill,glucose (mg/dL)\na,yes,no,95\nb,?,no,95\nc,yes,perhaps,95\nd,,,95\n")
    assert read["unreadable_flag:fasting"].to_list() == [False, True, False, False]
    assert read["unreadable_flag:ill"].to_list() == [False, False, True, False]


def test_where_all_flags_are_read_none_is_pointed_out(context):
    read = flags_of(context, "fasting", "yes", "")
    assert not [name for name in read.columns if name.startswith("unreadable_flag")]


def test_hours_that_cannot_be_read_are_an_unreadable_flag(context):
    read = context("id,fasting,fasting_hours,glucose (mg/dL)\na,yes,overnight,95\nb,yes,12,95\nc,yes,-3,95\nd,x,,95\n")
    assert read["unreadable_flag:fasting"].to_list() == [True, False, True, True]


def test_an_exercise_that_cannot_be_read_keeps_no_value_out(context):
    read = context("id,hours_since_exercise,glucose (mg/dL)\na,long,95\nb,12,95\n")
    assert not [name for name in read.columns if name.startswith("unreadable_flag")]


def test_a_value_whose_flag_cannot_be_read_is_set_aside_where_the_flag_concerns_it(labs):
    text = "id,fasting,glucose,hdl\na,yes,95,50\nb,?,96,51\nc,,97,52\n"
    cohort = ircohort.read(labs(text), config={"units": {"glucose": "mg/dL", "hdl": "mg/dL"}})
    assert cohort.visits.select("glucose_mg_dl", "hdl_mg_dl").rows() == [(95.0, 50.0), (None, 51.0), (97.0, 52.0)]
    assert cohort.ledger.rules["set_aside"] == {"unreadable_flag": 1}


def test_the_rule_of_unreadable_flags_sets_aside():
    rule = RULES["unreadable_flag"]
    assert (rule.outcome, rule.reason) == ("set_aside", "a flag of the draw could not be read")
    assert list(RULES).index("unreadable_flag") == list(RULES).index("ill") + 1


def test_a_flag_of_which_no_cell_is_read_is_a_question(labs):
    text = "id,Fasting,glucose\na,F,95\nb,NF,96\nc,F,97\n"
    with pytest.raises(ColumnError, match="No cell of the column Fasting can be read as yes or no") as refusal:
        ircohort.read(labs(text), config=GLUCOSE)
    assert refusal.value.exit_code == 3
    assert refusal.value.expected == "Its cells are: F, NF."
    assert 'fasting = { column = "Fasting", yes = ["F"], no = ["NF"] }' in refusal.value.next_step
    said = {"columns": {"fasting": {"column": "Fasting", "yes": ["F"], "no": ["NF"]}}}
    assert ircohort.read(labs(text), config=GLUCOSE | said).visits["fasting"].to_list() == [True, False, True]


@pytest.mark.parametrize(
    "cells", [list("abcdefg"), ["98765.4321", "12.5"], ["seen by the night shift", "F"], ["p-17-02"]]
)
def test_cells_of_a_flag_that_are_no_codes_are_not_shown(labs, cells):
    rows = "".join(f"p{n},{cell},95\n" for n, cell in enumerate(cells))
    with pytest.raises(ColumnError, match="No cell of the column fasting") as refusal:
        ircohort.read(labs("id,fasting,glucose\n" + rows), config=GLUCOSE)
    assert refusal.value.expected == ""


def test_identifiers_are_not_shown_as_codes_of_a_flag(labs):
    with pytest.raises(ColumnError, match="No cell of the column id") as refusal:
        ircohort.read(
            labs("id,glucose\nAnna,95\nBert,96\n"), config={**GLUCOSE, "columns": {"ill": "id", "participant_id": "id"}}
        )
    assert "Anna" not in str(refusal.value)


def test_an_empty_flag_asks_nothing(labs):
    assert ircohort.read(labs("id,fasting,glucose\na,,95\n"), config=GLUCOSE).visits["glucose_mg_dl"].to_list() == [
        95.0
    ]


# --- a day of the calendar -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["id,year,month,day,glucose", "id,Day,Month,x,glucose", "id,x,Year,DAY,glucose"])
def test_a_day_beside_a_month_or_a_year_is_a_question(labs, header):
    with pytest.raises(ColumnError, match="a day of the calendar") as refusal:
        ircohort.read(labs(f"{header}\na,2020,3,14,95\n"), config=GLUCOSE)
    assert refusal.value.exit_code == 3
    assert "--column day=" in refusal.value.next_step


def test_a_day_that_is_named_is_an_offset_whatever_stands_beside_it(labs):
    cohort = ircohort.read(
        labs("id,year,day,glucose\na,1,0,95\na,1,365.25,96\n"), config={**GLUCOSE, "columns": {"day": "day"}}
    )
    assert cohort.visits["years"].to_list() == [0.0, 1.0]


@pytest.mark.parametrize("header", ["id,year,study_day,glucose", "id,season,day,glucose"])
def test_a_study_day_is_no_question(labs, header):
    assert ircohort.read(labs(f"{header}\na,2020,14,95\n"), config=GLUCOSE).visits.height == 1


# --- kept columns ----------------------------------------------------------------------------------------------------


def test_a_kept_column_keeps_the_dots_of_its_own_header(labs):
    text = "id,date,Vit. D,a.b,glucose\na,2020-01-01,30,x,95\n"
    cohort = ircohort.read(labs(text), config={**GLUCOSE, "columns": {"keep": ["Vit. D", "a.b"]}})
    assert cohort.visits.columns[-2:] == ["Vit. D", "a.b"]
    assert cohort.visits.select("Vit. D", "a.b").rows() == [("30", "x")]


def test_a_kept_column_of_a_joined_table_loses_the_name_of_its_table_only(labs):
    people = labs("id,Vit. D,people.note\na,30,n\n", "people.csv")
    config = {
        **GLUCOSE,
        "tables": {"people": {"files": [people], "key": "id"}},
        "columns": {"keep": ["people.Vit. D", "people.people.note"]},
    }
    cohort = ircohort.read(labs("id,date,glucose\na,2020-01-01,95\n"), config=config)
    assert cohort.visits.columns[-2:] == ["Vit. D", "people.note"]


def test_a_dotted_header_may_end_as_a_column_of_visits_does(labs):
    config = {**GLUCOSE, "columns": {"keep": ["partner.sex"]}}
    cohort = ircohort.read(labs("id,partner.sex,glucose\na,F,95\n"), config=config)
    assert cohort.visits["partner.sex"].to_list() == ["F"]


def test_a_kept_column_is_no_candidate(labs):
    text = "id,date,glucose,FPG\na,2020-01-01,95,3\n"
    cohort = ircohort.read(labs(text), config={**GLUCOSE, "columns": {"keep": ["FPG"]}})
    assert cohort.visits.select("glucose_mg_dl", "FPG").rows() == [(95.0, "3")]
    assert cohort.columns.filter(pl.col("recognised_as") == "glucose")["column"].to_list() == ["glucose"]


def test_two_columns_of_one_name_cannot_be_kept(labs):
    people = labs("id,note\na,n\n", "people.csv")
    config = {
        **GLUCOSE,
        "tables": {"people": {"files": [people], "key": "id"}},
        "columns": {"keep": ["note", "people.note"]},
    }
    with pytest.raises(RefusedError, match="cannot be kept"):
        ircohort.read(labs("id,note,glucose\na,x,95\n"), config=config)
