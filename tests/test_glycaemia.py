from decimal import Decimal

import polars as pl
import pytest

from ircohort.errors import UsageError
from ircohort.glycaemia import CUT_OFFS, class_of_reading, confirmed_events, cut_off, with_glycaemia


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("99.6", "mg/dL", "normal"),
        ("100", "mg/dL", "prediabetes"),
        ("125.9", "mg/dL", "prediabetes"),
        ("126", "mg/dL", "diabetes"),
        ("5.54", "mmol/L", "normal"),
        ("5.55", "mmol/L", "prediabetes"),
        ("5.6", "mmol/L", "prediabetes"),
        ("6.94", "mmol/L", "prediabetes"),
        ("6.95", "mmol/L", "diabetes"),
        ("7.0", "mmol/L", "diabetes"),
    ],
)
def test_glucose_is_classified_in_the_unit_of_its_report(value, unit, expected):
    assert class_of_reading("glucose", Decimal(value), unit) == expected


def test_the_same_person_is_not_reclassified_by_conversion():
    # 100 mg/dL is 5.551 mmol/L and 126 mg/dL is 6.994: converted and compared unrounded, both would drop a class.
    assert class_of_reading("glucose", Decimal(100), "mg/dL") == "prediabetes"
    assert class_of_reading("glucose", Decimal(126), "mg/dL") == "diabetes"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("5.64", "NGSP %", "normal"),
        ("5.65", "NGSP %", "prediabetes"),
        ("6.4", "NGSP %", "prediabetes"),
        ("6.5", "NGSP %", "diabetes"),
        ("38.4", "mmol/mol", "normal"),
        ("39", "mmol/mol", "prediabetes"),
        ("47.5", "mmol/mol", "diabetes"),
    ],
)
def test_hba1c_is_rounded_half_up_to_the_precision_of_the_cut_off(value, unit, expected):
    assert class_of_reading("hba1c", Decimal(value), unit) == expected


def test_by_who_glucose_is_normal_to_110_and_hba1c_knows_no_prediabetes():
    assert class_of_reading("glucose", Decimal(109), "mg/dL", criteria="who") == "normal"
    assert class_of_reading("glucose", Decimal("6.1"), "mmol/L", criteria="who") == "prediabetes"
    assert class_of_reading("hba1c", Decimal("6.2"), "NGSP %", criteria="who") is None
    assert class_of_reading("hba1c", Decimal("6.5"), "NGSP %", criteria="who") == "diabetes"


def test_a_cut_off_can_be_overridden_by_name():
    override = {"ada_glucose_prediabetes": 95.0}
    assert class_of_reading("glucose", Decimal(96), "mg/dL", overrides=override) == "prediabetes"
    with pytest.raises(UsageError, match="no cut-off named"):
        cut_off("homa_ir_wrong")


def test_every_cut_off_names_its_source():
    assert all(row.source for row in CUT_OFFS.values())
    assert {float(CUT_OFFS[f"homa_ir_{name}"].value) for name in ("optimal", "early", "marked")} == {1.0, 1.9, 2.9}
    assert {float(CUT_OFFS[f"tg_hdl_{name}"].value) for name in ("good", "raised", "marked")} == {1.5, 2.0, 3.0}


def test_the_worse_of_glucose_and_hba1c_decides():
    visits = pl.DataFrame({"glucose_mg_dl": [99.0, 110.0, None, None], "hba1c_pct": [5.8, 6.6, 5.0, None]})
    decided = with_glycaemia(visits)
    assert decided["glycaemia"].to_list() == ["prediabetes", "diabetes", "normal", None]
    assert decided["glycaemia_by"].to_list() == ["hba1c", "hba1c", "hba1c", None]


def visits_of(*classes, years=None):
    n = len(classes)
    return pl.DataFrame(
        {
            "participant_id": ["a"] * n,
            "years": [float(year) for year in (years or range(n))],
            "glycaemia": list(classes),
            "glycaemia_by": ["glucose"] * n,
        },
        schema_overrides={"glycaemia": pl.String},
    )


def test_a_single_abnormal_reading_is_no_event():
    assert confirmed_events(visits_of("normal", "prediabetes", "normal", "prediabetes")).is_empty()


def test_an_event_is_dated_by_the_first_of_the_two_readings():
    event = confirmed_events(visits_of("normal", "prediabetes", "diabetes", "normal")).row(0, named=True)
    assert (event["event_years"], event["confirmed_years"], event["prevalent"]) == (1.0, 2.0, False)


def test_a_visit_that_cannot_judge_neither_confirms_nor_refutes():
    event = confirmed_events(visits_of("normal", "prediabetes", None, "prediabetes")).row(0, named=True)
    assert (event["event_years"], event["confirmed_years"]) == (1.0, 3.0)


def test_two_rows_of_one_time_do_not_confirm_each_other():
    assert confirmed_events(visits_of("normal", "prediabetes", "prediabetes", "normal", years=[0, 1, 1, 2])).is_empty()


def test_prevalent_dysglycaemia_is_marked():
    assert confirmed_events(visits_of("prediabetes", "prediabetes"))["prevalent"].item()


def test_diabetes_is_confirmed_by_diabetes_only():
    visits = visits_of("normal", "diabetes", "prediabetes", "diabetes", "diabetes")
    assert confirmed_events(visits, to="diabetes")["event_years"].item() == 3.0
    assert confirmed_events(visits, to="prediabetes")["event_years"].item() == 1.0


def test_events_do_not_depend_on_row_order():
    visits = visits_of("normal", "prediabetes", "prediabetes", "diabetes")
    assert confirmed_events(visits.sample(fraction=1, shuffle=True, seed=3)).equals(confirmed_events(visits))


def test_an_unknown_event_is_refused():
    with pytest.raises(UsageError):
        confirmed_events(visits_of("normal"), to="obesity")
