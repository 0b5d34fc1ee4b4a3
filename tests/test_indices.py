import math

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircohort.errors import ColumnError, UsageError
from ircohort.indices import MARKERS, markers

# Worked example, each number computed by hand from the published formula.
EXAMPLE = {
    "glucose_mg_dl": 95.0,
    "insulin_uiu_ml": 10.0,
    "triglycerides_mg_dl": 120.0,
    "hdl_mg_dl": 50.0,
    "bmi": 27.0,
    "c_peptide_ng_ml": 2.0,
}
EXPECTED = {
    "homa_ir": 2.3457,
    "homa_b_pct": 112.5,
    "quicki": 0.3358,
    "tg_hdl_mg": 2.400,
    "tyg": 8.648,
    "spise": 5.774,
    "mets_ir": 39.593,
    "mcauley": 6.627,
    "c_peptide_insulin_ratio": 11.038,
}


def visit(**cells):
    return pl.DataFrame({"participant_id": ["a"], "years": [0.0], **{name: [value] for name, value in cells.items()}})


def only(**cells):
    return markers(visit(**cells)).row(0, named=True)


@pytest.mark.parametrize("column", list(EXPECTED))
def test_the_worked_example(column):
    assert only(**EXAMPLE)[column] == pytest.approx(EXPECTED[column], rel=1.5e-4)


def test_every_marker_has_a_worked_example_a_unit_and_a_doi():
    assert set(MARKERS) == set(EXPECTED)
    assert all(marker.unit and marker.doi.startswith("10.") and marker.source for marker in MARKERS.values())


def test_homa_ir_is_not_18_times_too_large():
    # Two public packages divide mg/dL by 22.5.
    assert only(**EXAMPLE)["homa_ir"] < 3


def test_quicki_uses_decimal_logarithms():
    # With natural logarithms (as in three public packages) the example gives 0.1458.
    assert only(**EXAMPLE)["quicki"] == pytest.approx(1 / (math.log10(10) + math.log10(95)))


def test_mcauley_takes_triglycerides_in_mmol():
    # Fed with mg/dL (as in a CRAN package) the example gives 1.65; the cut-off of Ascaso 2003 is 5.8.
    assert only(**EXAMPLE)["mcauley"] > 5.8


def test_tyg_halves_inside_the_logarithm():
    # The other form in print, ln(TG x glucose) / 2, gives 4.671.
    assert only(**EXAMPLE)["tyg"] == pytest.approx(4.671 * 2 - math.log(2), abs=2e-3)


def test_tg_hdl_is_the_mg_ratio():
    # The mmol/L ratio of the example is 1.048; 3.0 in mg/dL is 1.31 in mmol/L, not 1.8 as one abstract prints.
    assert only(**EXAMPLE)["tg_hdl_mg"] * 38.67 / 88.57 == pytest.approx(1.048, abs=1e-3)


@pytest.mark.parametrize("glucose", [63.0, 50.0])
def test_homa_b_is_null_at_and_below_its_pole(glucose):
    found = only(**{**EXAMPLE, "glucose_mg_dl": glucose})
    assert found["homa_b_pct"] is None
    assert found["homa_ir"] is not None


def test_a_missing_input_gives_a_missing_marker_and_no_other():
    found = only(**{**EXAMPLE, "insulin_uiu_ml": None})
    by_insulin = {"homa_ir", "homa_b_pct", "quicki", "mcauley", "c_peptide_insulin_ratio"}
    assert {name for name in MARKERS if found[name] is None} == by_insulin


def test_an_absent_column_is_like_a_missing_one_and_is_not_added():
    found = markers(visit(triglycerides_mg_dl=120.0, hdl_mg_dl=50.0))
    assert "insulin_uiu_ml" not in found.columns
    assert found["tg_hdl_mg"].item() == 2.4
    assert found["homa_ir"].item() is None


def test_values_outside_the_domain_of_a_logarithm_give_null():
    found = only(glucose_mg_dl=95.0, insulin_uiu_ml=0.0, triglycerides_mg_dl=0.0, hdl_mg_dl=1.0, bmi=27.0)
    assert found["quicki"] is None
    assert found["tyg"] is None
    assert found["mets_ir"] is None
    assert found["homa_ir"] == 0.0


@pytest.mark.parametrize(
    ("glucose", "insulin", "state"),
    [
        (95.0, 8.0, "sensitive"),
        (95.0, 8.1, "compensated"),
        (100.0, 30.0, "prediabetes"),
        (130.0, None, "diabetes"),
        (95.0, None, "unknown"),
        (None, 10.0, "unknown"),
    ],
)
def test_the_state_of_a_visit(glucose, insulin, state):
    row = pl.DataFrame(
        {"participant_id": ["a"], "years": [0.0], "glucose_mg_dl": [glucose], "insulin_uiu_ml": [insulin]},
        schema_overrides={"glucose_mg_dl": pl.Float64, "insulin_uiu_ml": pl.Float64},
    )
    assert markers(row)["state"].item() == state


def test_the_cut_off_of_the_compensated_state_is_a_setting():
    assert markers(visit(**EXAMPLE), cut_offs={"homa_ir_early": 2.5})["state"].item() == "sensitive"
    with pytest.raises(UsageError, match="homa_ir_soon"):
        markers(visit(**EXAMPLE), cut_offs={"homa_ir_soon": 2.5})


def test_a_censored_insulin_gives_an_interval_of_homa_ir():
    found = only(**EXAMPLE, insulin_uiu_ml_lower=0.0, insulin_uiu_ml_upper=20.0)
    assert (found["homa_ir_lower"], found["homa_ir_upper"]) == (0.0, pytest.approx(95 * 20 / 405))


def test_a_censored_hdl_turns_the_interval_round():
    found = only(**EXAMPLE, hdl_mg_dl_lower=100.0, hdl_mg_dl_upper=None)
    assert found["tg_hdl_mg_upper"] == pytest.approx(1.2)
    assert found["tg_hdl_mg_lower"] == 0.0  # an HDL without an upper bound


def test_pandas_comes_back_as_pandas_with_rows_and_unknown_columns_in_place():
    table = visit(**EXAMPLE).vstack(visit(**EXAMPLE)).with_columns(pl.Series("note", ["b", "a"])).to_pandas()
    found = markers(table.set_index(pd.Index([7, 3])))
    assert isinstance(found, pd.DataFrame)
    assert found["note"].tolist() == ["b", "a"]


def test_a_pandas_column_without_any_value_passes_for_its_type():
    table = visit(**EXAMPLE).with_columns(pl.lit(None, dtype=pl.Boolean).alias("fasting")).to_pandas()
    assert markers(markers(table))["homa_ir"].tolist() == markers(table)["homa_ir"].tolist()


def test_the_glycaemia_that_was_decided_from_the_report_is_kept():
    assert markers(visit(**EXAMPLE, glycaemia="prediabetes"))["state"].item() == "prediabetes"


def test_text_in_a_number_column_is_refused_by_name():
    with pytest.raises(ColumnError, match="glucose_mg_dl"):
        markers(visit(glucose_mg_dl="95"))


def test_a_table_without_participants_is_refused():
    with pytest.raises(ColumnError, match="participant_id"):
        markers(pl.DataFrame({"years": [0.0]}))


def test_an_empty_table_stays_empty():
    assert markers(visit(**EXAMPLE).clear()).height == 0


plausible = st.floats(1.5, 900)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(glucose=plausible, insulin=plausible, tg=plausible, hdl=plausible, bmi=st.floats(10, 80))
def test_the_formulas_hold_for_any_plausible_values(glucose, insulin, tg, hdl, bmi):
    found = only(glucose_mg_dl=glucose, insulin_uiu_ml=insulin, triglycerides_mg_dl=tg, hdl_mg_dl=hdl, bmi=bmi)
    assert found["homa_ir"] == pytest.approx(glucose * insulin / 405)
    assert found["tg_hdl_mg"] == pytest.approx(tg / hdl)
    assert found["spise"] == pytest.approx(600 * hdl**0.185 / (tg**0.2 * bmi**1.338))
    assert found["mets_ir"] == pytest.approx(math.log(2 * glucose + tg) * bmi / math.log(hdl))
    assert found["mcauley"] == pytest.approx(math.exp(2.63 - 0.28 * math.log(insulin) - 0.31 * math.log(tg / 88.57)))
    if glucose > 63:
        assert found["homa_b_pct"] == pytest.approx(360 * insulin / (glucose - 63))


def test_cut_offs_of_glycaemia_act_where_it_is_decided_here():
    assert (
        markers(visit(glucose_mg_dl=104.0), cut_offs={"ada_glucose_prediabetes": 110})["glycaemia"].item() == "normal"
    )


@pytest.mark.parametrize(
    "cells",
    [{"glycaemia": "Diabetes"}, {"participant_id": None}, {"glucose_mg_dl": "95"}],
)
def test_a_table_that_cannot_be_meant_is_refused(cells):
    with pytest.raises(ColumnError):
        markers(visit(**EXAMPLE).with_columns(pl.lit(value).alias(name) for name, value in cells.items()))


def test_negative_and_nan_readings_give_no_marker():
    assert only(**{**EXAMPLE, "glucose_mg_dl": -50.0})["homa_ir"] is None
    assert only(**{**EXAMPLE, "glucose_mg_dl": float("nan")})["homa_ir"] is None


def test_a_pandas_column_of_several_types_is_refused_without_showing_it():
    table = pd.DataFrame({"participant_id": ["a", 7], "years": [0.0, 1.0], "glucose_mg_dl": [95.0, "SECRET"]})
    with pytest.raises(ColumnError) as refusal:
        markers(table)
    assert "SECRET" not in str(refusal.value)


def test_what_is_no_table_is_refused():
    for thing in (None, 5, [1], pl.LazyFrame({"a": [1]})):
        with pytest.raises(UsageError, match="was given as"):
            markers(thing)


def test_bounds_without_their_other_end_are_no_interval():
    assert "homa_ir_lower" not in markers(visit(**EXAMPLE, insulin_uiu_ml_lower=1.0)).columns
