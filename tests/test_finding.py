"""The cohort finding from inside: refits against rows drawn again, bands, who is seen when, other choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ircohort.errors import ModelError, UsageError
from ircohort.lmm import draw_weights
from ircohort.trajectory import ModelSettings, foresee, hidden_window
from ircohort.trajectory.landmarks import simultaneous_limits
from ircohort.trajectory.measuring import measure
from ircohort.trajectory.refitting import _again, curves_of, is_redone
from ircohort.trajectory.sensitivity import MAIN, VARIANTS
from ircohort.trajectory.tables import curve_table, onset_row
from test_trajectory import cohort, row

QUICK = ModelSettings(n_refits=30, sensitivity=False)
TWO = replace(QUICK, outcomes=("homa_ir", "glucose_mg_dl"))


def test_refits_from_sums_are_those_of_the_drawn_rows():
    # With a straight line there are no knots to hold; the variances of the model of both groups are, which moves
    # curves by far less than the draw does.
    settings = replace(TWO, spline_df=1, n_refits=4, by_time_seen=False)
    visits = cohort(cases=40, others=60, visits=8)
    found = measure(visits, settings, seed=3)
    ids = visits["participant_id"].unique().sort()
    weights = draw_weights(len(ids), 4, 3)
    sums, failed = curves_of(visits, found.table, found.models, settings, 3)
    assert failed == 0
    for number, counts in enumerate(weights, 1):
        rows = _again(visits, ids, counts, found.models, settings, 3)
        for name, curves in sums.items():
            scale = curves.spread[0].mean() / np.sqrt(40)  # about the standard error of a curve
            np.testing.assert_allclose(curves.cases[number], rows[name].cases[0], atol=0.1 * scale)
            np.testing.assert_allclose(curves.comparison[number], rows[name].comparison[0], atol=0.1 * scale)
            np.testing.assert_allclose(curves.spread[number], rows[name].spread[0], rtol=1e-5)


def test_simultaneous_limits_hold_the_share_of_whole_curves_that_they_say():
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.standard_normal((4001, 12)), axis=1) * np.array([1.0] * 6 + [5.0] * 6)
    walks[0] = 0.0
    low, high = simultaneous_limits(walks)
    inside = ((walks[1:] >= low) & (walks[1:] <= high)).all(axis=1).mean()
    assert inside == pytest.approx(0.95, abs=0.002)
    pointwise = np.quantile(walks[1:], 0.975, axis=0)
    assert (high > pointwise).all()
    assert np.isnan(simultaneous_limits(walks[:2])).all()


def test_a_band_of_the_curves_is_wider_than_the_limits_at_each_time():
    found = hidden_window(cohort(), replace(TWO, n_refits=200), seed=2).curves
    width = found["fitted_high"] - found["fitted_low"]
    band = found["fitted_high_simultaneous"] - found["fitted_low_simultaneous"]
    assert (band > width).mean() > 0.95
    excess = found.filter(group="excess", outcome="glucose_mg_dl")
    cases, others = (
        found.filter(group=group, outcome="glucose_mg_dl")["fitted"].to_numpy() for group in ("cases", "comparison")
    )
    np.testing.assert_allclose(excess["fitted"].to_numpy(), cases - others)


def seen_when(seed=1, people=400):
    """Cases who rise fast reach the event soon and are seen for a few years before it only; others are all alike."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        case = person % 2 == 0
        fast = person % 4 == 0
        years = 4 if case and fast else 9
        slope = (0.16 if fast else 0.04) if case else 0.0
        level = 0.4 * rng.standard_normal()
        for k in range(years + 1):
            t = k - years
            rows.append((f"p{person:04d}", float(k), 0.6 + level + slope * t + 0.25 * rng.standard_normal(), case, t))
    table = pl.DataFrame(rows, schema=["participant_id", "years", "log", "case", "t"], orient="row")
    readings = table.with_columns(
        homa_ir=pl.col("log").exp(),
        glycaemia=pl.when(pl.col("case") & (pl.col("t") >= 0)).then(pl.lit("prediabetes")).otherwise(pl.lit("normal")),
    )
    confirming = readings.filter(pl.col("glycaemia") == "prediabetes").with_columns(pl.col("years") + 1)
    return pl.concat([readings, confirming]).drop("log", "case", "t")


def test_curves_are_means_of_peoples_own_lines_whoever_is_seen_when():
    # Half of the cases rise by 0.16 a year and half by 0.04: their mean line is 0.1 a year, also at -9 years, where
    # only the slow are seen.
    settings = replace(QUICK, outcomes=("homa_ir",), spline_df=1, n_refits=0)
    fitted = {}
    for by_time_seen in (True, False):
        course = measure(seen_when(), replace(settings, by_time_seen=by_time_seen), 0).courses["homa_ir"]
        fitted[by_time_seen] = course.curves.cases[0]
    assert fitted[True][0] == pytest.approx(0.6 - 0.9, abs=0.06)
    assert fitted[False][0] > fitted[True][0] + 0.1


def test_readings_selected_for_their_value_have_terms_of_their_own_or_are_kept_or_dropped():
    visits = cohort(cases=40, others=60)
    jumps = visits.with_columns(
        # The readings that date and confirm an event are 20 mg/dL higher than the courses they come from.
        glucose_mg_dl=pl.col("glucose_mg_dl") + 20.0 * (pl.col("glycaemia") == "prediabetes")
    )
    at_event = {}
    for readings in ("own_terms", "kept", "dropped"):
        settings = replace(TWO, selected_readings=readings, n_refits=0)
        found = hidden_window(jumps, settings)
        here = (pl.col("outcome") == "glucose_mg_dl") & (pl.col("group") == "cases") & (pl.col("years_to_event") == 0)
        at_event[readings] = found.curves.row(by_predicate=here, named=True)["fitted"]
        own = {"at_event", "before_event", "after_event"}
        assert own <= set(found.fixed["term"]) if readings == "own_terms" else not own & set(found.fixed["term"])
    assert at_event["own_terms"] == pytest.approx(102, abs=1.5)
    assert at_event["dropped"] == pytest.approx(102, abs=1.5)
    assert at_event["kept"] > 106


def test_an_onset_is_claimed_only_where_the_refits_agree():
    clear = hidden_window(cohort(), replace(TWO, n_refits=100), seed=1)
    assert row(clear, "homa_ir")["onset_claimed"] is True
    faint = hidden_window(cohort(cases=15, others=25, gap=lambda t: 0.15 + 0 * t), replace(TWO, n_refits=100), seed=1)
    assert row(faint, "homa_ir")["onset_claimed"] is False
    assert row(hidden_window(cohort(), replace(TWO, n_refits=0)), "homa_ir")["onset_claimed"] is None


def test_what_is_first_detectable_comes_nearer_to_the_event_with_fewer_people_and_the_onset_does_not():
    many, few = (
        row(hidden_window(cohort(cases=n, others=2 * n, seed=3), replace(TWO, n_refits=150), seed=1), "homa_ir")
        for n in (250, 40)
    )
    assert many["detectable_years"] < few["detectable_years"] - 0.5
    assert abs(many["onset_years"] - few["onset_years"]) < 1.2


def test_an_outcome_that_falls_with_resistance_is_raised_when_it_is_low():
    visits = cohort().with_columns(spise=10.0 - 2.0 * pl.col("homa_ir").log())
    found = hidden_window(visits, replace(QUICK, outcomes=("homa_ir", "spise", "glucose_mg_dl"), n_refits=0))
    homa, spise = row(found, "homa_ir"), row(found, "spise")
    assert spise["onset_years"] == pytest.approx(homa["onset_years"], abs=1e-6)
    assert spise["hidden_window_years"] == pytest.approx(homa["hidden_window_years"], abs=1e-6)


def test_every_other_choice_is_measured_and_a_choice_that_cannot_be_made_says_why():
    visits = cohort(cases=40, others=80).drop("age")
    found = hidden_window(visits, replace(TWO, sensitivity=True, n_refits=0)).sensitivity
    assert found["variant"].unique(maintain_order=True).to_list() == [
        MAIN, *(name for name in VARIANTS if name != "event by glucose alone")
    ]  # fmt: skip
    main = found.filter(variant=MAIN, outcome="homa_ir").row(0, named=True)
    assert (main["n_cases"], main["n_comparison"], main["onset_status"]) == (40, 80, "dated")
    for refused in ("matched comparison group", "adjusted for BMI"):
        (why,) = found.filter(variant=refused)["note"].to_list()
        assert "age" in why or "BMI" in why
    kept = found.filter(variant="selected readings kept", outcome="homa_ir").row(0, named=True)
    assert kept["onset_years"] == pytest.approx(main["onset_years"], abs=1.0)


def test_matched_people_and_fitted_events_are_found_anew_in_every_refit():
    for choice in ({"comparison": "matched"}, {"event_dated": "fitted"}):
        settings = replace(TWO, n_refits=3, spline_df=1, **choice)
        assert is_redone(settings)
        found = measure(cohort(cases=30, others=60, visits=7), settings, seed=1)
        course = found.courses["homa_ir"]
        assert len(course.onsets) == 4 - found.n_failed
        assert len({round(float(curve[0]), 9) for curve in course.curves.cases}) == len(course.curves.cases)
    assert not is_redone(ModelSettings())


def test_tables_without_refits_have_no_limits():
    found = measure(cohort(cases=30, others=40, visits=6), replace(TWO, n_refits=0), 0)
    table = curve_table(found.courses["homa_ir"])
    assert table["fitted_low"].null_count() == table["fitted_low_simultaneous"].null_count() == table.height
    assert onset_row(found.courses["homa_ir"], None, TWO)["detectable_years"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcomes": ("cholesterol",)},
        {"outcomes": ()},
        {"selected_readings": "x"},
        {"comparison": "x"},
        {"event_by": 1},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        ModelSettings(**wrong)


def test_bmi_is_not_adjusted_for_itself_and_not_where_it_is_unknown():
    visits = cohort(cases=40, others=60, visits=6).with_columns(bmi=25.0 + pl.col("homa_ir"))
    found = hidden_window(visits, replace(QUICK, outcomes=("homa_ir", "bmi"), adjust_bmi=True, n_refits=0))
    terms = found.fixed.group_by("outcome").agg("term")
    adjusted = {name for name, own in terms.iter_rows() if "bmi" in own}
    assert adjusted == {"homa_ir"}
    with pytest.raises(ModelError, match="BMI is known at too few"):
        hidden_window(visits.drop("bmi"), replace(QUICK, outcomes=("homa_ir",), adjust_bmi=True))


def test_columns_of_the_caller_and_values_without_end_change_nothing():
    visits = cohort(cases=30, others=40, visits=7)
    settings = replace(TWO, n_refits=0)
    own = visits.with_columns(pl.lit("x").alias(name) for name in ("seen", "mean", "male", "stated"))
    assert hidden_window(own, settings).curves.equals(hidden_window(visits, settings).curves)
    first = pl.col("years") == 0
    lost = visits.with_columns(homa_ir=pl.when(~first).then("homa_ir"))
    for value in (float("inf"), float("nan")):
        endless = visits.with_columns(homa_ir=pl.when(first).then(value).otherwise("homa_ir"))
        assert hidden_window(endless, settings).curves.equals(hidden_window(lost, settings).curves)
        assert foresee(endless, lags=(2,), n_refits=0).equals(foresee(lost, lags=(2,), n_refits=0))
