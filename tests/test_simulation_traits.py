"""What may happen to simulated people and their readings, each switched on alone, and what is said of it."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import ircohort as ic
from ircohort.cli import exit_code
from ircohort.errors import UsageError
from ircohort.estimand import COURSES, HiddenWindow, course_of, find_windows
from ircohort.simulation import (
    DESIGNS,
    Assay,
    BetaCells,
    Decliners,
    Design,
    DropOut,
    Effect,
    Population,
    Puberty,
    Readings,
    Treatment,
    VisitPattern,
    Weight,
    listed,
    read_value,
    simulate,
    true_courses,
    with_values,
)
from ircohort.simulation.bends import Bend, bend_at
from ircohort.simulation.parameter import Checked
from ircohort.simulation.people import draw_people, identifiers
from ircohort.simulation.reading import MEASURED, draw_errors
from ircohort.simulation.schedule import plan_visits

PLAIN = Design(
    n_participants=300, visit_jitter_years=0.0, share_visits_missed=0.0, share_insulin_missing=0.0, kappa_median=0.02
)
INSULIN, GLUCOSE = "Insulin (uIU/mL)", "Glucose (mg/dL)"


def first_row(table: pl.DataFrame, name: str) -> dict[str, object]:
    return table.filter(pl.col("participant_id") == name).row(0, named=True)


# -- a trait has a bearing on nothing else -----------------------------------------------------------------------------

TRAITS = {
    "decliners": Decliners(share_stable=0.3, share_fast=0.3),
    "beta_cells": BetaCells(share_failing=0.3, share_robust=0.3),
    "weight": Weight(share_losing=0.5),
    "treatment": Treatment(share_from_prediabetes=0.4, share_from_diabetes=0.8),
    "assay": Assay(share_changed=0.5),
    "readings": Readings(share_not_fasting=0.02),
    "drop_out": DropOut(rate=0.1),
}


@pytest.mark.parametrize("name", sorted(TRAITS))
def test_who_does_not_have_a_trait_is_as_without_it(name: str) -> None:
    design = replace(DESIGNS["clinic"], n_participants=200, until_diabetes=False)
    without, having = simulate(design, seed=3), simulate(replace(design, **{name: TRAITS[name]}), seed=3)
    marked = having.traits.select(
        "participant_id",
        has=(pl.col("decliner") != "slow")
        | (pl.col("beta_cells") != "usual")
        | (pl.col("weight") != "as it comes")
        | pl.col("treated_from_years").is_not_null()
        | pl.col("assay_change_years").is_not_null()
        | pl.col("dropped_out"),
    )
    if name == "readings":  # whose trait belongs to a draw
        changed = (having.labs[GLUCOSE] != without.labs[GLUCOSE]).mean()
        assert 0 < changed < 0.05
        same = having.labs.filter(having.labs[GLUCOSE] == without.labs[GLUCOSE])
        assert_frame_equal(
            same.drop(INSULIN), without.labs.filter(having.labs[GLUCOSE] == without.labs[GLUCOSE]).drop(INSULIN)
        )
        return
    others = marked.filter(~pl.col("has"))["participant_id"]
    assert 10 < others.len() < 190
    for table in ("labs", "truth", "truth_visits"):
        rows = [
            getattr(each, table).filter(pl.col("participant_id").is_in(others.implode())) for each in (without, having)
        ]
        assert_frame_equal(rows[0], rows[1].select(rows[0].columns), rel_tol=1e-12)


def test_all_traits_at_once_depend_on_seed_and_name_only() -> None:
    design = replace(DESIGNS["clinic"], **TRAITS, puberty=Puberty(present=True), age_low=10.0)
    few, many = (simulate(replace(design, n_participants=n), seed=7) for n in (10, 400))
    for table in ("labs", "truth", "truth_visits", "traits"):
        kept = getattr(many, table).filter(pl.col("participant_id").is_in(list(identifiers(10))))
        assert_frame_equal(getattr(few, table), kept, rel_tol=1e-12)


# -- decliners and beta cells ------------------------------------------------------------------------------------------


def test_decliners_are_as_frequent_as_stated_and_stable_ones_lose_nothing() -> None:
    design = replace(PLAIN, n_participants=3000, n_visits=2, decliners=Decliners(share_stable=0.5, share_fast=0.1))
    cohort = simulate(design, seed=4)
    joined = cohort.truth.join(cohort.traits, on="participant_id")
    share = dict(joined["decliner"].value_counts(normalize=True).iter_rows())
    assert share["stable"] == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 3000))
    assert share["fast"] == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 3000))
    median = dict(joined.group_by("decliner").agg(pl.col("kappa_per_year").median()).iter_rows())
    assert joined.filter(pl.col("decliner") == "stable")["kappa_per_year"].max() == 0
    assert median["slow"] == pytest.approx(0.02, rel=0.15)
    assert median["fast"] == pytest.approx(0.08, rel=0.25)


def test_beta_cells_that_fail_bring_high_glucose_and_robust_ones_keep_it_low() -> None:
    kinds = {
        "failing": BetaCells(share_failing=1.0),
        "usual": BetaCells(),
        "robust": BetaCells(share_robust=1.0),
    }
    last = {}
    for name, kind in kinds.items():
        cohort = simulate(replace(PLAIN, n_visits=16, kappa_median=0.05, beta_cells=kind), seed=4)
        assert cohort.traits["beta_cells"].unique().to_list() == [name]
        last[name] = cohort.truth["glucose_last_mg_dl"]
    assert (last["failing"] >= last["usual"] - 0.01).all()
    assert (last["usual"] >= last["robust"] - 0.01).all()
    assert last["failing"].mean() - last["robust"].mean() > 20


# -- puberty -----------------------------------------------------------------------------------------------------------


def test_sensitivity_falls_by_the_stated_share_in_puberty_and_comes_back() -> None:
    # Goran & Gower 2001: SI -32 % over two years, fasting glucose 93.5 -> 97.0 mg/dL, insulin up.
    design = replace(
        PLAIN,
        n_participants=400,
        n_visits=13,
        kappa_median=0.0,
        age_low=8.0,
        age_high=8.0,
        puberty=Puberty(present=True),
    )
    courses = true_courses(design, seed=2)
    flat = true_courses(replace(design, puberty=Puberty()), seed=2)
    traits = simulate(design, seed=2).traits
    begins = traits["puberty_from_age"].to_numpy() - 8
    ends = traits["puberty_to_age"].to_numpy() - 8
    assert traits["puberty_from_age"].min() > 6
    before, deepest, after = (np.rint(12 * at).astype(int) for at in (begins - 0.1, begins + 2.5, ends + 0.9))
    rows = np.flatnonzero((before >= 0) & (after < courses.years.size))
    assert rows.size > 300

    def at(what: np.ndarray, month: np.ndarray) -> np.ndarray:
        return what[rows, month[rows]]

    np.testing.assert_allclose(at(courses.insulin_uiu_ml, before), at(flat.insulin_uiu_ml, before), rtol=1e-9)
    rise = at(courses.insulin_uiu_ml, deepest) / at(flat.insulin_uiu_ml, deepest)
    assert 1.2 < np.median(rise) < 1 / 0.68
    higher = at(courses.glucose_mg_dl, deepest) - at(flat.glucose_mg_dl, deepest)
    assert np.median(higher) == pytest.approx(97.0 - 93.5, abs=1.5)
    assert (higher > 30).mean() < 0.02
    back = at(courses.insulin_uiu_ml, after) / at(flat.insulin_uiu_ml, after)
    assert np.median(back) == pytest.approx(1.0, abs=0.08)


def test_puberty_is_over_for_adults_and_marked_at_visits() -> None:
    young = simulate(replace(PLAIN, age_low=9.0, age_high=12.0, puberty=Puberty(present=True)), seed=1)
    adult = replace(PLAIN, puberty=Puberty(present=True))
    assert young.truth_visits["pubertal"].mean() > 0.4
    assert not simulate(adult, seed=1).truth_visits["pubertal"].any()
    assert_frame_equal(simulate(adult, seed=1).labs, simulate(PLAIN, seed=1).labs)


def test_someone_who_enters_in_mid_puberty_goes_on_as_if_watched_from_childhood() -> None:
    child = replace(PLAIN, age_low=8.0, age_high=8.0, n_visits=13, puberty=Puberty(present=True))
    before = {"years_before_entry_low": 5.0, "years_before_entry_high": 5.0}
    youth = replace(child, age_low=13.0, age_high=13.0, n_visits=8, **before)
    watched, joined = (true_courses(each, seed=5) for each in (child, youth))
    for name in ("glucose_mg_dl", "insulin_uiu_ml", "bmi"):
        np.testing.assert_allclose(getattr(joined, name)[:, :84], getattr(watched, name)[:, 60:144], rtol=1e-9)


# -- weight ------------------------------------------------------------------------------------------------------------


def test_lost_weight_raises_sensitivity_by_the_exponent_and_regained_weight_takes_it_back() -> None:
    given = Weight(share_losing=1.0, begins_low=1.0, begins_high=1.0, loss_mean=0.1, loss_sd=0.0, years_kept=1.5)
    flat = simulate(PLAIN, seed=6).truth_visits
    for regaining, afterwards in ((0.0, 0.9), (1.0, 1.0)):
        lost = simulate(replace(PLAIN, weight=replace(given, share_regaining=regaining)), seed=6)
        ratio = (lost.truth_visits["bmi"] / flat["bmi"]).to_numpy().reshape(300, -1)
        gained = (lost.truth_visits["sensitivity"] / flat["sensitivity"]).to_numpy().reshape(300, -1)
        np.testing.assert_allclose(ratio[:, :2], 1.0, rtol=1e-9)
        np.testing.assert_allclose(ratio[:, 2], 0.9, rtol=1e-9)
        np.testing.assert_allclose(ratio[:, -1], afterwards, rtol=1e-9)
        np.testing.assert_allclose(gained, ratio**-1.9, rtol=1e-9)
        assert lost.traits["weight_lost_pct"].unique().to_list() == [10.0]


def test_a_deep_loss_of_weight_is_a_recovery_and_its_regain_a_relapse() -> None:
    given = Weight(share_losing=1.0, loss_mean=0.2, loss_sd=0.0, years_kept=2.0)
    design = replace(PLAIN, n_visits=16, kappa_median=0.0)
    kept = simulate(replace(design, weight=replace(given, share_regaining=0.0)), seed=6).traits["course"]
    back = simulate(replace(design, weight=replace(given, share_regaining=1.0)), seed=6).traits["course"]
    assert (kept == "falling").mean() > 0.95
    assert (back == "relapsed").mean() > 0.95
    assert (simulate(design, seed=6).traits["course"] == "steady").all()
    fast = replace(design, kappa_median=0.06, kappa_log_sd=0.2, weight=replace(given, begins_low=6.0, begins_high=6.0))
    found = simulate(replace(fast, weight=replace(fast.weight, share_regaining=0.0)), seed=6).traits["course"]
    assert found.is_in(["recovered", "relapsed"]).mean() > 0.5


# -- treatment ---------------------------------------------------------------------------------------------------------


def test_treatment_begins_the_day_after_the_confirming_visit_and_helps_from_then_on() -> None:
    design = replace(PLAIN, kappa_median=0.06, n_visits=14)
    given = Treatment(share_from_diabetes=1.0, sensitivity_factor=1.5)
    plain, treated = simulate(design, seed=8), simulate(replace(design, treatment=given), seed=8)
    high = (pl.col(GLUCOSE) >= 126).over("participant_id")
    visits = plain.labs.with_columns(
        plain.truth_visits["years"], confirms=(high & high.shift(1)).over("participant_id")
    )
    first = visits.filter("confirms").group_by("participant_id", maintain_order=True).agg(pl.col("years").min())
    last = treated.truth.select("participant_id", "follow_up_years")
    expected = first.join(last, on="participant_id").filter(pl.col("years") < pl.col("follow_up_years"))
    found = treated.traits.filter(pl.col("treated_from_years").is_not_null())
    assert found["participant_id"].to_list() == expected["participant_id"].to_list()
    assert found.height > 30
    np.testing.assert_allclose(found["treated_from_years"], expected["years"] + 1 / 365.25, atol=6e-4)
    assert ((treated.labs["glucose_lowering_drug"] == "yes") == treated.truth_visits["treated"]).all()
    on = treated.truth_visits["treated"]
    assert_frame_equal(
        plain.truth_visits.filter(~on).drop("in_window"), treated.truth_visits.filter(~on).drop("in_window")
    )
    gained = treated.truth_visits.filter(on)["sensitivity"] / plain.truth_visits.filter(on)["sensitivity"]
    np.testing.assert_allclose(gained, 1.5, rtol=1e-9)
    assert (treated.truth_visits.filter(on)["glucose_mg_dl"] < plain.truth_visits.filter(on)["glucose_mg_dl"]).all()


def test_treatment_may_go_unrecorded_and_is_read_by_ircohort_where_it_is(tmp_path) -> None:
    design = replace(PLAIN, kappa_median=0.06, treatment=Treatment(share_from_diabetes=1.0, share_from_prediabetes=0.5))
    silent = simulate(replace(design, treatment=replace(design.treatment, recorded=False)), seed=8)
    assert "glucose_lowering_drug" not in silent.labs.columns
    cohort = simulate(design, seed=8)
    assert_frame_equal(silent.labs, cohort.labs.drop("glucose_lowering_drug"))
    cohort.labs.write_csv(tmp_path / "labs.csv")
    visits = ic.read(tmp_path / "labs.csv").visits
    assert visits["glucose_lowering_drug"].sum() == cohort.truth_visits["treated"].sum() > 0


# -- assay -------------------------------------------------------------------------------------------------------------


def test_a_change_of_assay_changes_insulin_by_its_factor_and_nothing_else() -> None:
    plain = simulate(PLAIN, seed=9)
    everyone = simulate(replace(PLAIN, assay=Assay(cohort_date=2011.0, factor=1.5)), seed=9)
    new = everyone.labs["assay"] == "B"
    after = everyone.labs.select(pl.col("visit_date") >= pl.date(2011, 1, 1)).to_series()
    assert (new == after).all()
    ratio = everyone.labs[INSULIN] / plain.labs[INSULIN]
    enough = plain.labs[INSULIN] > 3  # where rounding to 0.1 is small
    np.testing.assert_allclose(ratio.filter(new & enough), 1.5, rtol=0.04)
    assert (ratio.filter(~new) == 1).all()
    assert_frame_equal(everyone.truth, plain.truth)
    assert_frame_equal(everyone.labs.drop("assay", INSULIN), plain.labs.drop(INSULIN))


def test_some_change_their_assay_each_at_a_time_of_their_own() -> None:
    cohort = simulate(replace(PLAIN, n_participants=1000, assay=Assay(share_changed=0.4, recorded=False)), seed=9)
    changes = cohort.traits["assay_change_years"]
    assert "assay" not in cohort.labs.columns
    assert changes.is_not_null().mean() == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 1000))
    assert changes.std() == pytest.approx(11 / math.sqrt(12), rel=0.1)


# -- readings ----------------------------------------------------------------------------------------------------------


def errors_of(design: Design, seed: int) -> np.ndarray:
    names = identifiers(design.n_participants)
    schedule = plan_visits(design, names, draw_people(design, names, seed=seed).entry, seed=seed)
    return draw_errors(schedule, design, seed=seed).reshape(design.n_participants, -1, len(MEASURED))


def test_serial_correlation_fades_by_its_half_life_and_leaves_the_variance() -> None:
    given = Readings(serial_share=0.6, serial_half_life_years=2.0)
    errors = errors_of(replace(PLAIN, n_participants=4000, n_visits=6, readings=given), 3)
    room = 4.5 / math.sqrt(4000)
    for lag in range(1, 5):
        for analyte in range(4):
            found = np.corrcoef(errors[:, 0, analyte], errors[:, lag, analyte])[0, 1]
            assert found == pytest.approx(0.6 * 0.5 ** (lag / 2), abs=room)
    assert np.abs(errors.std(axis=0) - 1).max() < room
    assert abs(np.corrcoef(errors[:, 0, 4], errors[:, 1, 4])[0, 1]) < room


def test_the_errors_of_one_draw_are_correlated_as_stated() -> None:
    errors = errors_of(
        replace(PLAIN, n_participants=1000, readings=Readings(draw_correlation=0.3, serial_share=0.4)), 3
    )
    flat = errors.reshape(-1, len(MEASURED))
    room = 4.5 / math.sqrt(4000)
    assert np.corrcoef(flat[:, 0], flat[:, 1])[0, 1] == pytest.approx(0.3, abs=room)
    assert flat[:, 1].std() == pytest.approx(1.0, abs=room)
    assert abs(np.corrcoef(flat[:, 1], flat[:, 2])[0, 1]) < room


def test_draws_after_a_meal_are_as_frequent_as_stated() -> None:
    given = Readings(share_not_fasting=0.03, not_fasting_glucose_factor=1.4, not_fasting_insulin_factor=5.0)
    plain, fed = simulate(PLAIN, seed=2).labs, simulate(replace(PLAIN, readings=given), seed=2).labs
    meal = fed[GLUCOSE] > 1.3 * plain[GLUCOSE]
    assert meal.mean() == pytest.approx(0.03, abs=4 * math.sqrt(0.03 / 3600))
    np.testing.assert_allclose((fed[INSULIN] / plain[INSULIN]).filter(meal), 5.0, rtol=0.1)
    assert (fed.filter(~meal)[INSULIN] == plain.filter(~meal)[INSULIN]).all()


@pytest.mark.parametrize(("units", "written"), [("us", "<3.0"), ("si", "<18")])
def test_insulin_below_the_limit_is_written_as_less_than_it(units: str, written: str, tmp_path) -> None:
    design = replace(PLAIN, units=units, readings=Readings(insulin_limit=3.0))
    labs, plain = simulate(design, seed=2).labs, simulate(replace(design, readings=Readings()), seed=2).labs
    header = next(name for name in labs.columns if name.startswith("Insulin"))
    below = labs[header] == written
    assert 0.02 < below.mean() < 0.5
    assert (labs.filter(~below)[header].cast(pl.Float64) == plain.filter(~below)[header].cast(pl.Float64)).all()
    labs.write_csv(tmp_path / "labs.csv")
    visits = ic.read(tmp_path / "labs.csv").visits
    assert visits["insulin_uiu_ml_upper"].is_not_null().sum() == below.sum()


# -- drop-out ----------------------------------------------------------------------------------------------------------


def test_people_leave_at_the_stated_rate() -> None:
    cohort = simulate(replace(PLAIN, n_participants=4000, n_visits=11, drop_out=DropOut(rate=0.1)), seed=5)
    years = cohort.truth["follow_up_years"]
    for year in (1, 5, 9):
        expected = math.exp(-0.1 * year)
        assert (years >= year - 0.01).mean() == pytest.approx(
            expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000)
        )
    assert (cohort.traits["dropped_out"] == (years < 9.9)).all()


def test_the_sick_leave_sooner_when_leaving_depends_on_glucose() -> None:
    given = DropOut(rate=0.05, log_per_10_mg_dl=1.5)
    design = replace(PLAIN, n_participants=1500, kappa_median=0.05)
    cohort = simulate(replace(design, drop_out=given), seed=5)
    everyone = simulate(design, seed=5).truth
    left = cohort.traits["dropped_out"]
    assert everyone.filter(left)["glucose_last_mg_dl"].mean() > everyone.filter(~left)["glucose_last_mg_dl"].mean() + 3


# -- the truth ---------------------------------------------------------------------------------------------------------


def test_the_truth_is_that_of_the_courses_that_are_given_out() -> None:
    design = replace(DESIGNS["clinic"], n_participants=150, **TRAITS)
    cohort = simulate(design, seed=12)
    courses = true_courses(design, seed=12)
    seen = courses.years <= courses.follow_up_years[:, None] + 1e-9
    log_insulin = np.where(seen, np.log(courses.insulin_uiu_ml), np.nan)
    windows = find_windows(courses.years, log_insulin, np.where(seen, courses.glucose_mg_dl, np.nan), HiddenWindow())
    assert windows.present.tolist() == cohort.truth["hidden_window"].to_list()
    assert [COURSES[row] for row in course_of(log_insulin.T, math.log(1.25))] == cohort.traits["course"].to_list()
    some = true_courses(design, seed=12, participants=["P0007", "P0003"])
    np.testing.assert_allclose(some.tg_hdl_mg[1], courses.tg_hdl_mg[2][: some.years.size], rtol=1e-12)
    first = cohort.truth_visits.group_by("participant_id", maintain_order=True).first()
    ratio = first["triglycerides_mg_dl"] / first["hdl_mg_dl"]
    np.testing.assert_allclose(ratio, courses.tg_hdl_mg[:, 0], rtol=1e-9)
    np.testing.assert_allclose(first["bmi"], courses.bmi[:, 0], rtol=1e-9)


def test_visits_within_a_window_are_marked() -> None:
    cohort = simulate(replace(DESIGNS["clinic"], n_participants=200), seed=12)
    joined = cohort.truth_visits.join(cohort.truth, on="participant_id", maintain_order="left")
    inside = pl.col("years").is_between(pl.col("window_start_years") - 5e-4, pl.col("window_end_years") + 5e-4)
    expected = joined.select(inside.fill_null(False)).to_series()
    assert (expected == cohort.truth_visits["in_window"]).all()
    marked = cohort.truth_visits.filter("in_window")
    assert marked["glucose_mg_dl"].max() < 100
    assert set(marked["state"]) <= {"sensitive", "compensated"}


def swings_of(values: list[float], least: float) -> list[int]:
    """Find the swings by brute force: from each turning point on, the first time it has gone the other way far."""
    swings: list[int] = []
    start = 0
    for j in range(1, len(values) + 1):
        stretch = values[start:j]
        up, down = values[j - 1] - min(stretch), max(stretch) - values[j - 1]
        if up >= least - 1e-12 and (not swings or swings[-1] < 0):
            swings.append(1)
            start = j - 1
        elif down >= least - 1e-12 and (not swings or swings[-1] > 0):
            swings.append(-1)
            start = j - 1
    return swings


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=14))
def test_a_course_is_named_by_its_last_swing(steps: list[int]) -> None:
    values = [step / 10 for step in steps]
    swings = swings_of(values, 0.3)
    expected = (
        "steady"
        if not swings
        else {(1, False): "rising", (-1, False): "falling", (-1, True): "recovered", (1, True): "relapsed"}[
            swings[-1], len(swings) > 1
        ]
    )
    found = course_of(np.array([[*values, np.nan, np.nan]]).T, 0.3)
    assert COURSES[found[0]] == expected
    mirrored = course_of(-np.array([values]).T, 0.3)
    mirror = {"rising": "falling", "falling": "rising", "recovered": "relapsed", "relapsed": "recovered"}
    assert COURSES[mirrored[0]] == mirror.get(expected, expected)


# -- visits of other people --------------------------------------------------------------------------------------------


def pattern() -> VisitPattern:
    return VisitPattern(
        n_visits=[3, 1, 2],
        years=[5.0, 6.5, 9.0, 2.0, 0.0, 0.7],
        glucose=[True, False, True, True, True, True],
        insulin=[True, True, False, True, False, True],
        lipids=[False, True, True, True, True, False],
    )


def test_simulated_people_come_when_the_people_of_the_pattern_came() -> None:
    design = replace(
        PLAIN, n_participants=3000, share_visits_missed=0.5, share_insulin_missing=0.5, drop_out=DropOut(rate=1.0)
    )
    cohort = simulate(design, seed=1, pattern=pattern())
    labs = cohort.labs.with_columns(cohort.truth_visits["years"])
    times = labs.group_by("participant_id", maintain_order=True).agg(
        pl.col("years").round(1), *(pl.col(name).is_not_null() for name in (GLUCOSE, INSULIN, "HDL (mg/dL)"))
    )
    kinds = times.drop("participant_id").rows()
    expected = [
        ([0.0, 1.5, 4.0], [True, False, True], [True, True, False], [False, True, True]),
        ([0.0], [True], [True], [True]),
        ([0.0, 0.7], [True, True], [False, True], [True, False]),
    ]
    for kind in expected:
        share = sum(row == kind for row in kinds) / 3000
        assert share == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 3000))
    assert all(row in expected for row in kinds)
    assert not cohort.traits["dropped_out"].any()
    assert cohort.labs["BMI (kg/m2)"].null_count() == 0


def test_a_person_has_the_same_course_under_a_pattern() -> None:
    planned, as_others = (true_courses(PLAIN, seed=1, pattern=each) for each in (None, pattern()))
    months = as_others.years.size
    np.testing.assert_allclose(planned.insulin_uiu_ml[:, :months], as_others.insulin_uiu_ml, rtol=1e-12)
    few = simulate(replace(PLAIN, n_participants=20), seed=1, pattern=pattern())
    many = simulate(PLAIN, seed=1, pattern=pattern())
    kept = many.labs.filter(pl.col("participant_id").is_in(list(identifiers(20))))
    assert_frame_equal(few.labs, kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_visits": [3, 1]}, "6 entries of years"),
        ({"n_visits": []}, "no people"),
        ({"n_visits": [0, 4, 2]}, "no people, or a number"),
        ({"years": [5.0, 6.5, math.nan, 2.0, 0.0, 0.7]}, "has no time"),
        ({"years": [5.0, 5.001, 6.0, 2.0, 0.0, 0.7]}, "do not follow each other"),
        ({"years": [5.0, 4.0, 6.0, 2.0, 0.0, 0.7]}, "do not follow each other"),
        ({"years": [5.0, 6.0, 70.0, 2.0, 0.0, 0.7]}, "more than 60 years"),
        ({"insulin": [True]}, "1 entries of insulin"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        VisitPattern(**{each.name: getattr(pattern(), each.name) for each in fields(VisitPattern)} | change)


# -- parameters --------------------------------------------------------------------------------------------------------


def test_every_parameter_is_listed_with_its_value_range_and_meaning() -> None:
    parameters = list(listed(Design()))
    names = [each.name for each in parameters]
    assert len(set(names)) == len(names)
    assert all(each.meaning and each.expected for each in parameters)
    assert with_values(Design(), {each.name: each.value for each in parameters}) == Design()


def test_every_parameter_refuses_what_it_is_not() -> None:
    for each in listed(Design()):
        with pytest.raises(UsageError, match=each.name.rpartition(".")[2]):
            with_values(Design(), {each.name: "nonsense"})


def test_parameters_that_belong_together_are_changed_together() -> None:
    changed = with_values(
        Design(), {"age_low": 70, "age_high": 80, "weight.begins_low": 9.0, "weight.begins_high": 12.0}
    )
    assert (changed.age_low, changed.weight.begins_high) == (70, 12.0)


@pytest.mark.parametrize(
    ("name", "hint"), [("puberty.dept", "puberty.depth"), ("puberty", "puberty.present"), ("n_visit", "n_visits")]
)
def test_a_name_that_is_not_known_is_answered_with_those_near_it(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_value(Design(), name, "1")
    assert hint in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Decliners, {"share_stable": 0.6, "share_fast": 0.5}),
        (BetaCells, {"share_failing": 0.6, "share_robust": 0.5}),
        (Weight, {"begins_low": 6.0, "begins_high": 5.0}),
        (Treatment, {"share_from_prediabetes": 0.5, "share_from_diabetes": 0.4}),
    ],
)
def test_traits_that_contradict_themselves_are_refused(kind: type, change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=list(change)[-1]):
        kind(**change)


# -- populations -------------------------------------------------------------------------------------------------------


def test_age_and_sex_move_levels_as_stated() -> None:
    given = Population(set_point=Effect(women=-4.0, per_year=0.2), hdl=Effect(women=0.2, per_year_women=0.01))
    names = identifiers(200)
    design = replace(PLAIN, population=given, kappa_median=0.0)
    drawn, plain = (draw_people(each, names, seed=1) for each in (design, replace(design, population=Population())))
    woman, years = drawn.entry.woman, drawn.entry.age - 50
    np.testing.assert_allclose(drawn.people.set_point - plain.people.set_point, -4.0 * woman + 0.2 * years, atol=1e-9)
    moved = drawn.people.hdl_offset - plain.people.hdl_offset
    np.testing.assert_allclose(moved, woman * (0.2 + 0.01 * years), atol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(at=st.floats(-3, 20), knots=st.lists(st.floats(0.1, 3), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_a_bend_is_a_line_between_its_knots(at: float, knots: list[float], seed: int) -> None:
    years = np.cumsum(knots)
    levels = np.random.default_rng(seed).normal(size=years.size)
    found = bend_at(Bend(years[None, :], levels[None, :]), np.array([[at]]))
    assert found.item() == pytest.approx(np.interp(at, years, levels), abs=1e-9)


def test_the_presets_are_near_what_they_were_fitted_to() -> None:
    # NHANES 2017-18, fasting subsample without diabetes: geometric mean of insulin exp(2.09) in women of 40 to 59,
    # mean glucose 108.0 in men of 60 and more, r(ln insulin, ln BMI) 0.62; all figures: benchmarks/presets.md.
    labs = simulate(replace(DESIGNS["us"], n_participants=6000), seed=3).labs.filter(pl.col(GLUCOSE) < 126)
    women = labs.filter((pl.col("sex") == "female") & pl.col("age").is_between(40, 59))
    men = labs.filter((pl.col("sex") == "male") & (pl.col("age") >= 60))
    assert women[INSULIN].log().mean() == pytest.approx(2.09, abs=math.log(1.15))
    assert men[GLUCOSE].mean() == pytest.approx(108.0, abs=2.0)
    assert women["BMI (kg/m2)"].mean() == pytest.approx(29.1, abs=0.7)
    related = np.corrcoef(labs[INSULIN].log(), labs["BMI (kg/m2)"].log())[0, 1]
    assert related == pytest.approx(0.62, abs=0.1)
    followed = simulate(replace(DESIGNS["japan"], n_participants=3000), seed=3)
    assert followed.truth["follow_up_years"].mean() == pytest.approx(5.3, abs=0.3)
    assert followed.labs["BMI (kg/m2)"].median() == pytest.approx(22.5, abs=0.5)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_same_cohort_as_the_library(tmp_path, capfd) -> None:
    out = tmp_path / "cohort"
    options = ["--participants", "30", "--set", "weight.share_losing=0.5", "--set", "readings.insulin_limit=3"]
    arguments = ["simulate", "--design", "clinic", "--seed", "5", *options, "-o", str(out)]
    assert exit_code([*arguments, "--details"]) == 0
    design = replace(
        DESIGNS["clinic"],
        n_participants=30,
        weight=Weight(share_losing=0.5),
        readings=Readings(insulin_limit=3),
    )
    expected = simulate(design, seed=5)
    for name in ("labs", "truth", "traits", "truth_visits"):
        table = getattr(expected, name)
        assert_frame_equal(pl.read_csv(out / f"{name}.csv", schema=table.schema), table)
    assert "traits.csv" in capfd.readouterr().err
    assert exit_code(arguments) == 2
    plain = tmp_path / "plain"
    assert exit_code(["simulate", "--participants", "3", "-o", str(plain), "--quiet"]) == 0
    assert sorted(file.name for file in plain.iterdir()) == ["labs.csv", "truth.csv"]


def test_the_list_shows_every_parameter_of_the_chosen_design(capfd) -> None:
    assert exit_code(["simulate", "--design", "us", "--set", "puberty.present=yes", "--list"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition("=")[0] for line in lines] == [each.name for each in listed(Design())]
    assert any(line.startswith("puberty.present=yes ") for line in lines)
    assert any(line.startswith("n_participants=20000 ") for line in lines)
    assert any(line.startswith("readings.insulin_limit=none ") for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "puberty.dept=1"], "puberty.depth"),
        (["--set", "puberty.depth=2"], "from 0 to 0.9"),
        (["--set", "puberty.present=perhaps"], "True or False"),
        (["--set", "puberty"], "NAME=VALUE"),
        (["--design", "moon"], "Known are"),
    ],
)
def test_a_parameter_that_cannot_be_meant_exits_with_2(options: list[str], message: str, tmp_path, capfd) -> None:
    assert exit_code(["simulate", *options, "-o", str(tmp_path / "out")]) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_an_output_directory_nothing_is_made(capfd) -> None:
    assert exit_code(["simulate"]) == 2
    assert "-o" in capfd.readouterr().err


def test_the_commands_of_the_page_on_simulation_run(tmp_path, monkeypatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "simulation.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert commands
    monkeypatch.chdir(tmp_path)
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "ircohort"
        assert exit_code(arguments) == 0, command


def test_the_page_on_simulation_names_every_trait() -> None:
    page = (Path(__file__).parents[1] / "docs" / "simulation.md").read_text(encoding="utf-8")
    for each in fields(Design):
        if isinstance(getattr(Design(), each.name), Checked) and each.name != "population":
            assert f"\n| `{each.name}` |" in page, each.name
