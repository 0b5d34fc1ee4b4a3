"""The cohort finding: alignment, landmarks against brute force, known truth, and honest refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.trajectory import ModelSettings, align, hidden_window
from ircohort.trajectory.alignment import count_people_by_year, supported_years
from ircohort.trajectory.landmarks import find_onsets, find_windows, interval, leads
from ircohort.trajectory.measuring import measure
from ircohort.trajectory.modelling import require_possible
from ircohort.trajectory.narrative import assay_notes, outcome_notes
from ircohort.trajectory.readings import measured
from ircohort.trajectory.record import OUTCOMES

FEW = ModelSettings(n_refits=100, sensitivity=False)


def cohort(seed=1, cases=60, others=140, visits=11, sd=0.5, noise=0.25, gap=lambda t: 0.15 * (t + 6)):
    """Yearly visits. The cases' log HOMA-IR exceeds the others' by gap(t), their glucose is 102 + t.

    Who is a case is written into ``glycaemia``, so that no reading is selected for its noise.
    """
    random = np.random.default_rng(seed)
    people = cases + others
    person = np.repeat(np.arange(people), visits)
    t = np.tile(np.arange(1.0 - visits, 1.0), people)
    case = person < cases
    level = sd * random.normal(size=people)
    slope = 0.02 * random.normal(size=people)
    glucose_level = 4 * random.normal(size=people)
    age = random.uniform(40, 60, people)[person] + t
    log_homa = 0.5 + 0.01 * t + case * gap(t) + level[person] + slope[person] * t + random.normal(0, noise, len(t))
    glucose = np.where(case, 102 + t, 90.0) + glucose_level[person] * (1 + t / 20) + random.normal(0, 3, len(t))
    aligned = pl.DataFrame(
        {
            "participant_id": [f"p{k:03d}" for k in person],
            "years": t + visits - 1,
            "age": age,
            "sex": np.where(person % 2, "male", "female"),
            "homa_ir": np.exp(log_homa),
            "glucose_mg_dl": glucose,
            "glycaemia": np.where(case & (t >= 0), "prediabetes", "normal"),
        }
    )
    confirming = aligned.filter(pl.col("glycaemia") == "prediabetes").with_columns(pl.col("years") + 1)
    return pl.concat([aligned, confirming])


# --- alignment --------------------------------------------------------------------------------------------------


def people(**glycaemia: str) -> pl.DataFrame:
    """Yearly visits from letters: n normal, p prediabetes, d diabetes, - not judged."""
    names = {"n": "normal", "p": "prediabetes", "d": "diabetes", "-": None}
    rows = [(who, float(k), names[letter]) for who, letters in glycaemia.items() for k, letter in enumerate(letters)]
    return pl.DataFrame(rows, schema=["participant_id", "years", "glycaemia"], orient="row").with_columns(
        keep=pl.int_range(pl.len())
    )


def test_a_case_is_dated_by_the_first_of_two_readings_and_later_visits_are_dropped():
    aligned = align(people(a="nnpnppn"))
    assert aligned["years_to_event"].to_list() == [-4, -3, -2, -1, 0]
    assert aligned["progressor"].all()
    assert aligned["at_event"].to_list() == [False] * 4 + [True]
    assert aligned["before_event"].to_list() == [False] * 3 + [True, False]


def test_the_visit_before_the_event_is_the_last_that_was_judged():
    assert align(people(a="nn-pp"))["before_event"].to_list() == [False, True, False, False]


def test_people_without_a_confirmed_event_are_anchored_at_their_last_visit():
    aligned = align(people(b="npn-"))
    assert aligned["years_to_event"].to_list() == [-3, -2, -1, 0]
    assert not aligned.select(pl.any_horizontal("progressor", "at_event", "before_event").any()).item()


def test_prevalent_and_unjudged_people_and_undated_visits_are_left_out():
    visits = people(a="ppn", b="-pp", c="--", d="nn").with_columns(
        years=pl.when(pl.col("keep") == 9).then(None).otherwise("years")
    )
    assert align(visits)["participant_id"].unique().to_list() == ["d"]
    assert align(visits).height == 1
    assert align(people(a="ppdd"), to="diabetes")["years_to_event"].to_list() == [-2, -1, 0]


def test_rows_keep_their_order_their_columns_and_their_kind():
    visits = people(a="nnpp", b="nn")
    shuffled = visits.sample(fraction=1, shuffle=True, seed=3)
    aligned = align(shuffled)
    assert aligned["keep"].to_list() == [row for row in shuffled["keep"] if row != 3]
    assert aligned.columns[:4] == visits.columns
    assert isinstance(align(visits.to_pandas()), pd.DataFrame)
    assert align(align(visits)).columns == aligned.columns


def test_no_rows_align_to_no_rows():
    assert align(people(a="nn").head(0)).height == 0


def test_alignment_needs_glycaemia_and_a_known_event():
    with pytest.raises(ColumnError, match="glycaemia"):
        align(people(a="nn").drop("glycaemia"))
    with pytest.raises(UsageError, match="no event"):
        align(people(a="nn"), to="insulin")


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.text("npd-", min_size=1, max_size=7), min_size=1), st.integers(0, 9)
)
def test_nobody_is_case_and_comparison_and_no_visit_after_the_event_enters(letters, seed):
    visits = people(**letters).sample(fraction=1, shuffle=True, seed=seed)
    aligned = align(visits)
    assert aligned.is_empty() or aligned["years_to_event"].max() == 0
    for (who,), rows in aligned.group_by("participant_id"):
        assert rows["progressor"].n_unique() == 1
        assert (rows["years"] - rows["years_to_event"]).n_unique() == 1
        course = letters[who]
        judged = [(k, letter) for k, letter in enumerate(course) if letter != "-"]
        events = [k for (k, one), (_, two) in pairwise(judged) if one in "pd" and two in "pd"]
        assert rows["progressor"].item(0) == bool(events)
        assert rows.height == (events[0] + 1 if events else len(course))


def test_people_are_counted_by_nearest_year_and_support_has_no_holes():
    aligned = align(people(a="nnnpp", b="nnpp", c="nnnnnn", d="nn"))
    counts = count_people_by_year(aligned)
    assert counts.filter(years_to_event=-2, group="cases")["n_participants"].item() == 2
    assert (supported_years(aligned, 1), supported_years(aligned, 2), supported_years(aligned, 3)) == (-3, -1, None)


# --- landmarks --------------------------------------------------------------------------------------------------

curves = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=8)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(curves)
def test_onset_is_the_earliest_time_from_which_the_curve_stays_raised(values):
    times, curve = np.arange(1.0 - len(values), 1.0), np.array(values)
    onset = find_onsets(times, curve, 0.25)[0]
    dense = np.linspace(times[0], 0, 4001)
    raised = np.interp(dense, times, curve) >= 0.25
    stays = np.logical_and.accumulate(raised[::-1])[::-1]
    if not stays[-1]:
        assert onset == np.inf
    elif stays.all():
        assert onset == -np.inf
    else:
        assert onset == pytest.approx(dense[np.argmax(stays)], abs=0.01)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(curves, st.floats(-9, 1))
def test_window_lasts_from_onset_until_glucose_first_reaches_the_cut_off(values, onset):
    times, glucose = np.arange(1.0 - len(values), 1.0), 100 + 10 * np.array(values)
    found = find_windows(times, np.array([onset if onset < 0 else np.inf]), glucose[None, :], 100.0)
    start = max(onset, times[0]) if onset < 0 else 0.0
    dense = np.union1d(np.linspace(start, 0, 4001), times[times >= start])
    reached = np.interp(dense, times, glucose) >= 100
    expected = (dense[np.argmax(reached)] if reached.any() else 0.0) - start
    assert found.years[0] == pytest.approx(0.0 if onset >= 0 else expected, abs=0.01)


def test_curves_with_nan_have_no_landmark():
    times = np.array([-1.0, 0.0])
    assert np.isnan(find_onsets(times, np.array([[np.nan, 1.0]]), 0.25)).all()
    assert np.isnan(find_windows(times, np.array([-1.0]), np.array([[np.nan, 1.0]]), 100).years).all()


def test_leads_of_two_censored_onsets_are_unknown():
    marker = np.array([-5.0, -np.inf, -np.inf, np.inf, -5.0])
    glucose = np.array([-2.0, -2.0, -np.inf, -np.inf, np.inf])
    np.testing.assert_equal(leads(marker, glucose), [3.0, np.inf, np.nan, np.nan, np.inf])


def test_intervals_count_draws_beyond_the_edge():
    draws = np.r_[np.full(3, -np.inf), np.linspace(-5, -1, 94), np.full(3, np.inf)]
    assert interval(draws) == (None, None)
    low, high = interval(np.r_[draws[:1], draws[3:-3], draws[-1:]])
    assert low == pytest.approx(-5, abs=0.1)
    assert high == pytest.approx(-1, abs=0.1)
    assert interval(np.r_[draws[3:-3], [np.nan] * 6]) == (None, None)
    assert interval(np.array([])) == (None, None)


# --- the whole finding ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return hidden_window(cohort(), FEW, seed=5)


def row(trajectory, outcome):
    return trajectory.onset.row(by_predicate=pl.col("outcome") == outcome, named=True)


def test_a_known_onset_and_a_known_window_lie_in_their_intervals(found):
    # The gap 0.15 (t + 6) is 0.25 between-person SDs, sqrt(0.5^2 + (0.02 t)^2), at -5.15 years; glucose 102 + t is 100
    # at -2 years.
    homa = row(found, "homa_ir")
    assert (homa["onset_status"], homa["hidden_window_status"]) == ("dated", "closed")
    assert homa["onset_low"] < -5.15 < homa["onset_high"]
    assert homa["hidden_window_low"] < 3.15 < homa["hidden_window_high"]
    assert homa["onset_years"] == pytest.approx(-5.15, abs=0.7)


def test_glucose_raised_throughout_is_dated_before_the_supported_years(found):
    glucose = row(found, "glucose_mg_dl")  # at least 0.5 SD at -10 years
    assert (glucose["onset_status"], glucose["onset_years"]) == ("before_support", -10.0)
    assert glucose["hidden_window_status"] is None
    assert row(found, "homa_ir")["lead_years"] == pytest.approx(-10 - row(found, "homa_ir")["onset_years"])


def test_curves_are_in_natural_units_and_the_difference_in_sds(found):
    def at(outcome, group, year):
        here = (pl.col("outcome") == outcome) & (pl.col("group") == group) & (pl.col("years_to_event") == year)
        return found.curves.row(by_predicate=here, named=True)

    assert at("glucose_mg_dl", "cases", -5.0)["fitted"] == pytest.approx(97, abs=1.5)
    assert at("glucose_mg_dl", "comparison", -5.0)["unit"] == "mg/dL"
    assert at("homa_ir", "comparison", -10.0)["fitted"] == pytest.approx(np.exp(0.4), rel=0.2)
    ratio = at("homa_ir", "cases", 0.0)["fitted"] / at("homa_ir", "comparison", 0.0)["fitted"]
    difference = at("homa_ir", "difference", 0.0)
    assert np.log(ratio) / difference["fitted"] == pytest.approx(0.5, abs=0.07)
    assert difference["fitted_low"] < 1.8 < difference["fitted_high"]
    assert difference["unit"] == "SD"


def test_an_absent_outcome_is_left_out_with_a_note(found):
    assert set(found.fits) == {"homa_ir", "glucose_mg_dl"}
    assert any("TG:HDL was left out" in note for note in found.notes)
    assert set(found.fixed["outcome"]) == set(found.random["outcome"]) == set(found.fits)


def test_assays_and_specimens_that_are_taken_for_alike_are_named(found):
    assert not any("taken for alike" in note for note in found.notes)
    one = pl.DataFrame({"assay": ["A", None, "A"], "specimen": [None] * 3})
    assert assay_notes(one) == ()
    (note,) = assay_notes(one.with_columns(assay=pl.Series(["A", None, "B"]), specimen=pl.Series(["s", "p", "p"])))
    assert note.startswith("Readings of 2 insulin assays and 2 kinds of specimen are taken for alike")


def test_counts_and_notes_say_who_is_in_and_what_holds(found):
    assert found.counts["cases"] == 60
    assert found.counts["comparison"] == 140
    assert found.counts["visits_after_event"] == 0  # the one reading after the event has a term of its own
    text = " ".join(found.notes)
    for words in (
        "chosen by what happened later",
        "normal is not flat",
        "Followed back, with the cases and others seen in that year: HOMA-IR",
        "are held",
    ):
        assert words in text


def test_row_order_and_kind_of_frame_do_not_change_the_numbers(found):
    other = hidden_window(cohort().sample(fraction=1, shuffle=True, seed=8).to_pandas(), FEW, seed=5)
    assert isinstance(other.curves, pd.DataFrame)
    assert isinstance(other.fits["homa_ir"].fixed, pd.DataFrame)
    assert pl.from_pandas(other.curves).equals(found.curves)
    assert pl.from_pandas(other.onset).equals(found.onset)
    assert other.notes == found.notes


def test_no_difference_gives_no_window():
    flat = hidden_window(cohort(seed=4, gap=lambda t: 0 * t - 0.05), replace(FEW, n_refits=40))
    homa = row(flat, "homa_ir")
    assert (homa["onset_status"], homa["onset_years"]) == ("none", None)
    assert (homa["hidden_window_status"], homa["hidden_window_years"]) == ("none", 0.0)
    assert homa["n_refits_without_onset"] > 20
    assert homa["onset_high"] is None


def test_covariates_that_are_constant_or_unknown_are_left_out_and_named():
    visits = cohort(cases=30, others=40, visits=6).with_columns(
        sex=pl.lit("female"), age=pl.when(pl.col("years") < 1).then("age")
    )
    result = hidden_window(visits, replace(FEW, n_refits=0))
    terms = set(result.fixed["term"])
    assert "male" not in terms
    assert "age" not in terms
    assert any("male does not vary" in note for note in result.notes)
    assert any("Age is known at too few visits" in note for note in result.notes)
    assert row(result, "homa_ir")["onset_low"] is None
    assert result.curves["fitted_low"].null_count() == result.curves.height


def test_an_outcome_in_which_people_do_not_differ_is_left_out():
    # Ups and downs that leave everyone's level and slope the same.
    zigzag = pl.Series([0.0, 1.0, -2.0, 1.0, 0.0, 0.0, 0.0])
    visits = cohort(cases=30, others=40, visits=6)
    visits = visits.with_columns(homa_ir=zigzag.gather(visits["years"].cast(pl.Int64)).exp())
    result = hidden_window(visits, replace(FEW, n_refits=5, spline_df=1))
    assert "homa_ir" not in result.fits
    assert any("HOMA-IR was left out: people do not differ" in note for note in result.notes)


def test_without_glucose_there_is_neither_window_nor_lead():
    result = hidden_window(cohort(cases=30, others=40, visits=6).drop("glucose_mg_dl"), replace(FEW, n_refits=5))
    homa = row(result, "homa_ir")
    assert (homa["hidden_window_years"], homa["hidden_window_status"], homa["lead_years"]) == (None, "none", None)


def test_a_model_that_did_not_converge_is_not_to_be_relied_on(found):
    (note,) = outcome_notes(OUTCOMES["homa_ir"], replace(found.fits["homa_ir"], converged=False))
    assert "did not converge" in note


def test_a_cohort_without_cases_is_a_refusal_that_says_why():
    with pytest.raises(ModelError, match="No outcome can be modelled") as refused:
        hidden_window(cohort(cases=0, others=30, visits=4))
    assert refused.value.exit_code == 4
    assert "HOMA-IR was left out" in str(refused.value)
    with pytest.raises(ModelError):
        hidden_window(cohort().head(0))


@pytest.mark.parametrize("wrong", [{"event": "x"}, {"spline_df": 0}, {"n_refits": -1}, {"onset_sd": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong)) if "event" not in wrong else "no event"):
        ModelSettings(**wrong)


@pytest.mark.parametrize("place", [3, 700, 1500, 2190])
def test_a_slip_of_the_decimal_mark_does_not_hide_the_window(place):
    visits, once = cohort().with_row_index("row"), replace(FEW, n_refits=0)
    there, glucose = pl.col("row") == place, pl.col("glucose_mg_dl")
    slipped = hidden_window(visits.with_columns(pl.when(there).then(glucose * 10).otherwise(glucose)), once)
    without = hidden_window(visits.with_columns(pl.when(~there).then(glucose)), once)
    assert_frame_equal(slipped.onset, without.onset)
    assert any("1 reading, at least 5 times" in note for note in slipped.notes)
    assert not any("typing errors" in note for note in without.notes)


def test_two_readings_that_differ_tell_of_no_slip():
    aligned = pl.DataFrame({"participant_id": ["a", "a"], "glucose_mg_dl": [90.0, 900.0]})
    assert measured(aligned, OUTCOMES["glucose_mg_dl"])[0].height == 2
    assert measured(pl.concat([aligned, aligned[:1]]), OUTCOMES["glucose_mg_dl"])[0].height == 2


def test_a_curve_that_no_group_of_people_has_is_refused_with_a_hint():
    model = measure(cohort(cases=30, others=40), replace(FEW, n_refits=0), 0).models["glucose_mg_dl"]
    require_possible(model)
    bent = replace(model, fit=replace(model.fit, coefficients=model.fit.coefficients - 60.0))
    with pytest.raises(ModelError, match="typing errors among the readings"):
        require_possible(bent)
