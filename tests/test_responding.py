"""The response to an intervention: against lme4, known truth, regression to the mean, and honest refusals."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.lmm import contrasts
from ircohort.simulation import Design, Weight, simulate
from ircohort.trajectory.alignment import Comparison
from ircohort.trajectory.record import OUTCOMES
from ircohort.trajectory.responding import ResponseSettings, intervention_response
from ircohort.trajectory.responding.beyond import beyond_comparison
from ircohort.trajectory.responding.recovery import first_of_two, recovery_of

REFERENCE = Path(__file__).parent / "reference"
HALF_YEARLY = (-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
YEARLY = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
HOMA = ResponseSettings(outcomes=("homa_ir",), n_refits=0)
WITHOUT_OWN = ResponseSettings(outcomes=("homa_ir",), n_refits=0, own_readings=0)


def cohort(
    seed=1, people=60, control=0, times=HALF_YEARLY, before=0.03, early=-0.3, late=0.05, sd=(0.4, 0.05, 0.0), **more
):
    """Log HOMA-IR falls by ``early`` over half a year at time zero, which is 10 on the axis ``years``.

    ``noise``: of the readings; ``loss``: of BMI over that half year; ``per_bmi``: what a unit does to log HOMA-IR.
    """
    random = np.random.default_rng(seed)
    n, m = people + control, len(times)
    t = np.array(times) + random.uniform(-0.02, 0.0, (n, m))
    treated = (np.arange(n) < people)[:, None]
    u = random.normal(size=(n, 3)) * sd
    fall = np.clip(t / 0.5, 0, 1)
    lost = treated * fall * more.get("loss", 0.0) * random.gamma(4.0, 0.25, (n, 1))
    course = treated * (early * fall + late * np.maximum(t - 0.5, 0)) + ~treated * before * np.maximum(t, 0)
    own = u[:, :1] + u[:, 1:2] * t + treated * u[:, 2:] * fall
    noise = random.normal(0, more.get("noise", 0.15), (n, m))
    y = 0.7 + before * np.minimum(t, 0) + course + own - more.get("per_bmi", 0.0) * lost + noise
    bmi = 30 + random.normal(0, 3, (n, 1)) - lost + random.normal(0, 0.2, (n, m))
    return (
        pl.DataFrame(
            {
                "participant_id": np.repeat([f"p{k:03d}" for k in range(n)], m),
                "years": (t + 10).ravel(),
                "age": (55 + t + random.uniform(-5, 5, (n, 1))).ravel(),
                "programme": np.repeat(np.where(treated.ravel(), 10.0, np.nan), m),
                "homa_ir": np.exp(y).ravel(),
                "bmi": bmi.ravel(),
            }
        )
        .with_columns(pl.col("programme").fill_nan(None))
        .drop([] if "loss" in more else "bmi")
    )


def one(table, **key):
    return table.filter(**key).row(0, named=True)


# --- against lme4 -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    rows = pl.read_csv(REFERENCE / "responding_reference.csv").rows()
    return {quantity: (value, error) for quantity, value, error in rows}


@pytest.fixture(scope="module")
def data():
    table = pl.read_csv(REFERENCE / "responding_data.csv", schema_overrides={"intervened": pl.String})
    return table.with_columns(pl.col("intervened") == "true")


def on_log_scale(row):
    return np.log1p(row["estimate"] / 100)


@pytest.mark.parametrize("how", ["own_term", "as_others"])
def test_slopes_changes_and_spread_are_those_of_lme4(reference, data, how):
    visits = data.filter("intervened").with_columns(years=pl.col("since") + 10, programme=pl.lit(10.0))
    settings = ResponseSettings(outcomes=("homa_ir",), n_refits=0, own_readings=1 if how == "own_term" else 0)
    found = intervention_response(visits, "programme", settings)
    slopes = found.slopes.filter(reading_before=how)
    for row in slopes.iter_rows(named=True):
        if (key := f"{how}:{row['quantity']}") in reference:
            assert on_log_scale(row) == pytest.approx(reference[key][0], abs=2e-6)
    for quantity, key in (("change", "change_2"), ("change_beyond_slope_before", "beyond_2")):
        total = one(found.totals, quantity=quantity, years=2.0, reading_before=how)
        assert on_log_scale(total) == pytest.approx(reference[f"{how}:{key}"][0], abs=2e-6)
    table = contrasts(found.fits["homa_ir"], {"early": {"response": 2.0, "before": -1.0}})
    assert table["standard_error"].item() == pytest.approx(reference[f"{how}:early_against_before"][1], rel=2e-4)
    if how == "own_term":
        spread = one(found.spread, reading_before=how)
        assert np.log1p(spread["sd"] / 100) == pytest.approx(reference["spread:sd"][0], rel=2e-3)
        assert spread["p_value"] == pytest.approx(reference["spread:p_value"][0], rel=2e-3)
        assert not spread["told_from_zero"]
        assert spread["share_improving"] is None


def test_differences_in_differences_are_those_of_lme4(reference, data):
    found = beyond_comparison(data, OUTCOMES["homa_ir"], HOMA, own=True)
    for quantity in ("slope_before", "slope_early", "slope_late", "early_against_before", "late_against_early"):
        row = one(found, quantity=quantity)
        value, error = reference[f"beyond:{quantity}"]
        assert on_log_scale(row) == pytest.approx(value, abs=2e-6)
        half = (np.log1p(row["high"] / 100) - np.log1p(row["low"] / 100)) / 2
        assert 1.96 * error * 0.999 < half < 1.96 * error * 1.05  # quantiles of t, not of the normal
    total = one(found, quantity="change_beyond_slope_before", years=2.0)
    assert on_log_scale(total) == pytest.approx(reference["beyond:beyond_2"][0], abs=2e-6)


# --- known truth ------------------------------------------------------------------------------------------------


def test_the_truth_lies_within_the_intervals_and_late_differs_from_early():
    found = intervention_response(cohort(seed=5, people=150), "programme", HOMA)
    truth = {"slope_before": 0.03, "slope_early": -0.6, "slope_late": 0.05, "late_against_early": 0.65}
    for quantity, value in truth.items():
        row = one(found.slopes, quantity=quantity, reading_before="own_term")
        assert row["low"] < 100 * np.expm1(value) < row["high"]
        assert row["high"] - row["low"] < 40
    row = one(found.totals, quantity="change", years=2.0, reading_before="own_term")
    assert row["low"] < 100 * np.expm1(-0.3 + 0.05 * 1.5) < row["high"]
    assert one(found.totals, quantity="change", years=5.0, reading_before="own_term")["reason"].startswith(
        "fewer than 10"
    )


def test_a_spread_is_found_where_people_differ_and_shares_follow_from_it():
    visits = cohort(seed=2, people=80, sd=(0.4, 0.05, 0.3), early=-0.2, before=0.0)
    settings = ResponseSettings(outcomes=("homa_ir",), n_refits=40, own_readings=0)
    row = one(intervention_response(visits, "programme", settings).spread)
    assert row["told_from_zero"]
    assert row["low"] < 100 * np.expm1(0.3) < row["high"]
    assert row["improving_low"] < 0.7475 < row["improving_high"]  # the normal distribution at 0.2 / 0.3
    assert row["share_improving"] + row["share_worsening"] == pytest.approx(1)


def test_a_spread_that_the_visits_do_not_hold_is_refused_and_the_changes_are_not():
    found = intervention_response(cohort(times=(-1.0, 0.3, 0.5)), "programme", WITHOUT_OWN)
    row = one(found.spread)
    assert row["status"] == "not_shown"
    assert row["sd"] is None
    assert "random" in row["reason"]
    assert one(found.totals, quantity="change", years=0.5)["high"] < 0


def test_no_spread_is_claimed_where_everybody_responds_alike():
    row = one(intervention_response(cohort(seed=3), "programme", HOMA).spread, reading_before="own_term")
    assert row["p_value"] > 0.05
    assert not row["told_from_zero"]
    assert row["share_improving"] is None


def chosen_by_a_high_reading():
    """Nothing ever changes; who reads high at time zero begins."""
    visits = cohort(seed=7, people=500, before=0.0, early=0.0, late=0.0, sd=(0.3, 0.0, 0.0), noise=0.25)
    screening = visits.sort("participant_id", "years").filter(pl.col("years") <= 10).group_by("participant_id").last()
    high = screening.filter(pl.col("homa_ir") > 2.7)
    return visits.join(high, on="participant_id", how="semi")


def test_regression_to_the_mean_passes_for_a_response_unless_the_reading_has_a_term_of_its_own():
    found = intervention_response(chosen_by_a_high_reading(), "programme", HOMA)
    naive, own = (
        one(found.totals, quantity="change", years=0.5, reading_before=how) for how in ("as_others", "own_term")
    )
    assert naive["high"] < 0
    assert own["low"] < 0 < own["high"]
    assert not one(found.spread, reading_before="own_term")["told_from_zero"]
    assert any("may be regression to the mean" in note for note in found.notes)


def test_what_goes_with_weight_is_told_from_what_does_not():
    visits = cohort(seed=4, people=80, early=-0.1, late=0.0, loss=2.0, per_bmi=0.1)
    settings = ResponseSettings(outcomes=("homa_ir",), n_refits=40, own_readings=0)
    row = one(intervention_response(visits, "programme", settings).weight, years=0.5)
    assert row["change_low"] < 100 * np.expm1(-0.3) < row["change_high"]
    assert row["at_same_bmi_low"] < 100 * np.expm1(-0.1) < row["at_same_bmi_high"]
    assert row["per_bmi_low"] < 100 * np.expm1(0.1) < row["per_bmi_high"]
    assert row["share_with_weight_low"] < 2 / 3 < row["share_with_weight_high"]


def test_a_change_that_both_groups_share_is_not_the_interventions():
    visits = cohort(seed=6, people=50, control=50)
    shared = visits.with_columns(pl.col("homa_ir") * pl.when(pl.col("years") > 10).then(0.8).otherwise(1.0))
    settings = ResponseSettings(
        outcomes=("homa_ir",),
        n_refits=0,
        own_readings=0,
        comparison=Comparison("matched", age_caliper_years=20.0, unmatched="kept"),
    )
    before, after = (intervention_response(v, "programme", settings) for v in (visits, shared))
    key = {"quantity": "change", "years": 0.5}
    assert one(after.totals, **key)["estimate"] < one(before.totals, **key)["estimate"] - 10
    assert (
        one(after.beyond_comparison, **key)["low"] < 100 * np.expm1(-0.3) < one(after.beyond_comparison, **key)["high"]
    )
    assert set(after.spread["group"]) == {"intervention", "comparison"}
    assert after.counts["comparison"] > 10


def staged(visits):
    state = pl.when(pl.col("homa_ir") >= 1.9).then(pl.lit("compensated")).otherwise(pl.lit("sensitive"))
    return visits.with_columns(state.alias("state"))


def test_stages_respond_alike_where_they_do_and_the_smallest_are_named():
    found = intervention_response(staged(cohort(seed=8, people=70)), "programme", HOMA)
    assert one(found.stages, stage="prediabetes")["status"] == "too_few"
    for stage in ("sensitive", "compensated"):
        row = one(found.stages, stage=stage)
        assert row["low"] < 100 * np.expm1(-0.3) < row["high"]
    assert found.stages["n_participants"].sum() == 70
    assert found.stage_tests["p_value"].item() > 0.05
    assert any("too few" in note.lower() and "diabetes" in note for note in found.notes)


def test_stages_that_respond_differently_are_told_apart():
    visits = cohort(seed=9, people=60, early=-0.05)
    worse = visits.filter(pl.col("years") <= 10).group_by("participant_id").agg(level=pl.col("homa_ir").log().mean())
    table = visits.join(worse, on="participant_id")
    helped = pl.when((pl.col("level") > 0.6) & (pl.col("years") > 10.4)).then(0.6).otherwise(1.0)
    state = pl.when(pl.col("level") > 0.6).then(pl.lit("compensated")).otherwise(pl.lit("sensitive"))
    found = intervention_response(table.with_columns(pl.col("homa_ir") * helped, state=state), "programme", HOMA)
    assert found.stage_tests["p_value"].item() < 1e-6
    assert one(found.stages, stage="compensated")["high"] < one(found.stages, stage="sensitive")["low"]


# --- what the design cannot show --------------------------------------------------------------------------------


def test_yearly_visits_tell_no_early_slope_and_say_why():
    found = intervention_response(cohort(times=YEARLY, people=50), "programme", HOMA)
    for quantity in ("slope_early", "slope_late", "early_against_before", "late_against_early"):
        row = one(found.slopes, quantity=quantity, reading_before="own_term")
        assert row["status"] == "not_shown"
        assert row["estimate"] is None
        assert "cannot be told apart" in row["reason"]
    change = one(found.totals, quantity="change", years=1.0, reading_before="own_term")
    assert change["low"] < 100 * np.expm1(-0.275) < change["high"]
    after = one(found.slopes, quantity="slope_after", reading_before="own_term")
    assert after["low"] < 100 * np.expm1(0.05) < after["high"]
    assert any("an early and a late change cannot be told apart" in note for note in found.notes)


def test_one_reading_before_tells_no_slope_before_and_leaves_regression_to_the_mean_in():
    found = intervention_response(cohort(times=(0.0, 0.25, 0.5, 1.0, 2.0)), "programme", HOMA)
    row = one(found.slopes, quantity="slope_before")
    assert row["reading_before"] == "as_others"
    assert row["status"] == "not_shown"
    assert "two readings before the start" in row["reason"]
    assert one(found.totals, quantity="change", years=0.5)["status"] == "estimated"
    assert any("regression to the mean stays in" in note for note in found.notes)


def test_visits_that_end_early_tell_nothing_of_later():
    found = intervention_response(cohort(times=(-2.0, -1.0, -0.5, 0.0, 0.1, 0.25, 0.5)), "programme", HOMA)
    assert one(found.slopes, quantity="slope_early")["status"] == "estimated"
    assert "after the early phase" in one(found.slopes, quantity="slope_late")["reason"]
    assert one(found.totals, quantity="change", years=1.0)["estimate"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.with_columns(programme=pl.lit(None, dtype=pl.Float64)),
        lambda v: v.filter(participant_id="p001"),
        lambda v: v.filter(pl.col("years") < 10),
        lambda v: v.filter(pl.col("years") > 10),
        lambda v: v.with_columns(homa_ir=pl.lit(None, dtype=pl.Float64)),
        lambda v: v.clear(),
    ],
    ids=["no intervention", "one person", "all before", "all after", "nothing measured", "no visits"],
)
def test_what_cannot_be_answered_is_refused_in_words(change):
    with pytest.raises(ModelError) as refusal:
        intervention_response(change(cohort()), "programme", HOMA)
    assert "p001" not in str(refusal.value)


def test_a_column_that_is_no_time_and_settings_without_meaning_are_refused():
    with pytest.raises(ColumnError):
        intervention_response(cohort(), "absent", HOMA)
    with pytest.raises(UsageError):
        intervention_response(cohort(control=5), "programme", ResponseSettings(comparison=Comparison("last_visit")))
    for wrong in (
        {"early_years": 0.0}, {"at_years": ()}, {"outcomes": ("weight",)}, {"covariance": "CR9"}, {"n_refits": 1.5},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            ResponseSettings(**wrong)


def test_visits_while_ill_or_pregnant_do_not_enter():
    visits = cohort()
    ill = visits.with_columns(ill=pl.col("years").is_between(10.2, 10.3))
    spoilt = ill.with_columns(pl.col("homa_ir") * pl.when("ill").then(50.0).otherwise(1.0))
    without = intervention_response(visits.filter(~ill["ill"]), "programme", WITHOUT_OWN)
    found = intervention_response(spoilt, "programme", WITHOUT_OWN)
    assert found.totals.equals(without.totals)
    assert found.counts["visits_unusual"] == ill["ill"].sum()


# --- recovery and relapse ---------------------------------------------------------------------------------------


def test_recovery_is_the_first_of_two_and_one_alone_does_not_count():
    visits = pl.DataFrame(
        {
            "participant_id": [*"aaaa", *"bbb", *"cc", "d"],
            "stage": ["compensated"] * 10,
            "since": [0.5, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 1.0],
            "hit": [True, False, True, True, False, True, False, True, True, True],
        }
    )
    assert first_of_two(visits).select("participant_id", "low", "high").rows() == [
        ("a", 1.0, 2.0),
        ("b", 3.0, float("inf")),
        ("c", 0.0, 1.0),
    ]


def test_shares_of_recovery_and_relapse_at_common_visits_are_plain_proportions():
    # Visits of all at the same times, all followed: the nonparametric estimate at a visit is the share of people.
    ranks = [[1, 0, 0, 0, 0]] * 12 + [[1, 1, 0, 0, 1]] * 4 + [[1, 0, 0, 1, 1]] * 6 + [[1, 1, 1, 1, 1]] * 8
    judged = pl.DataFrame(
        [(f"p{k:02d}", float(t), rank) for k, row in enumerate(ranks) for t, rank in enumerate(row)],
        schema=["participant_id", "since", "rank"],
        orient="row",
    )
    start = judged.filter(since=0).select("participant_id", pl.lit("compensated").alias("stage"), "rank")
    settings = ResponseSettings(at_years=(1.0, 2.0), n_refits=50)
    table = pl.DataFrame(recovery_of(judged, start, settings, 0))
    shares = table.filter(stage="any").select("kind", "years", "n_participants", "n_events", "share").rows()
    assert shares[0] == ("recovery", 1.0, 30, 22, pytest.approx(18 / 30))
    assert shares[1] == ("recovery", 2.0, 30, 22, pytest.approx(22 / 30))
    relapse = one(table, kind="relapse", stage="any", years=2.0)
    assert (relapse["n_participants"], relapse["n_events"]) == (22, 6)
    # Four of the 22 are known to be free of it for one year only: their last visit is worse, and unconfirmed.
    assert relapse["share"] == pytest.approx(6 / 18)
    assert relapse["low"] <= relapse["share"] <= relapse["high"]


def test_lost_and_regained_weight_of_the_simulation_shows_as_response_and_return():
    """True courses: insulin falls with weight, comes back with it, and stays down in those who keep it off."""
    weight = Weight(
        share_losing=1.0, share_regaining=0.5, loss_mean=0.12, begins_low=4.0, begins_high=4.0, years_kept=1.0
    )
    design = Design(n_participants=80, n_visits=22, years_between_visits=1 / 3, share_visits_missed=0.0, weight=weight)
    cohort = simulate(design, seed=2)
    visits = cohort.truth_visits.join(cohort.traits.select("participant_id", "weight"), on="participant_id")
    noise = np.random.default_rng(1).normal(0, 0.1, visits.height)
    visits = visits.with_columns(pl.col("insulin_uiu_ml") * np.exp(noise), programme=pl.lit(4.0))
    settings = ResponseSettings(outcomes=("insulin_uiu_ml",), n_refits=0, own_readings=0)
    for kept, returns in (("lost and kept", False), ("lost and regained", True)):
        found = intervention_response(visits.filter(weight=kept), "programme", settings)
        assert one(found.totals, quantity="change", years=0.5)["high"] < -8
        late = one(found.slopes, quantity="slope_late")
        assert (late["low"] > 3) == returns


# --- the same answer for the same people ------------------------------------------------------------------------


def test_dates_and_numbers_rows_in_any_order_and_pandas_give_the_same():
    visits = staged(cohort(people=40, loss=1.0))
    settings = ResponseSettings(outcomes=("homa_ir",), n_refits=25, own_readings=0)
    plain = intervention_response(visits, "programme", settings)
    shuffled = intervention_response(visits.sample(fraction=1.0, shuffle=True, seed=3), "programme", settings)
    for name in ("slopes", "totals", "spread", "weight", "stages", "stage_tests", "recovery", "support"):
        assert getattr(plain, name).equals(getattr(shuffled, name)), name
    assert plain.notes == shuffled.notes
    begun = date(2001, 1, 1)
    dated = visits.with_columns(
        visit_date=pl.Series([begun + timedelta(days=round(365.25 * x)) for x in visits["years"]]),
        programme=pl.lit(begun + timedelta(days=3652)),
    )
    by_date = intervention_response(dated.to_pandas(), "programme", settings)
    assert isinstance(by_date.totals, pd.DataFrame)
    assert isinstance(by_date.fits["homa_ir"].fixed, pd.DataFrame)
    given = by_date.totals["estimate"].to_numpy()
    assert given == pytest.approx(plain.totals["estimate"].to_numpy(), abs=1.0, nan_ok=True)


def test_cluster_robust_intervals_are_close_to_those_of_a_model_that_holds():
    visits = cohort(seed=11, people=60)
    widths = []
    for covariance in ("model", "CR2"):
        settings = ResponseSettings(outcomes=("homa_ir",), n_refits=0, own_readings=0, covariance=covariance)
        row = one(intervention_response(visits, "programme", settings).slopes, quantity="slope_early")
        widths.append(row["high"] - row["low"])
    assert widths[0] != widths[1]
    assert widths[1] == pytest.approx(widths[0], rel=0.25)
