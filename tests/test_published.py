"""Published numbers, each held against a second transcript, and cohorts set beside them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ircohort.errors import ColumnError, UsageError
from ircohort.trajectory.comparing import COMPARED, compare_cohort, compare_with
from ircohort.trajectory.comparing.own import COUNTERPARTS
from ircohort.trajectory.comparing.studies import dated_targets
from ircohort.trajectory.published import COLUMNS, PUBLISHED, STUDIES, targets
from ircohort.trajectory.record import OUTCOMES
from ircohort.trajectory.specifications import fit_specification, slope_between, turning_point

# --- the table --------------------------------------------------------------------------------------------------

TRANSCRIPT = {
    "sagesaka-2018": [27392, 5.3, 4781, 1061, 101.5, 94.5, 24.0, 22.7, 7.32, 8.34, 91.8, 89.6, 22.6, 22.1, 8.44, 8.82],
    "tabak-2009": [6538, 505, 9.7, 801, 10989, -3, 5.79, 7.40, -3, 7.60, 11.90, -5, 86.7, -4, -3, 85.0, 92.6, 62.4],
    "hulman-2017": [120, 867, 0.22, 0.27, 0.33, -7],
    "ikehara-2015": [0.12, 0.04],
    "faerch-2013": [15826, 14.2, 55, 148, 71, 30.9],
    "malmstrom-2018": [296428, 28244, 8.1, 90, 86, 98, 88, 106, 90],
    "heianza-2012": [1722, 9.5, 193, 5.69, 5.27, 0.09, 5.90, 0.3, 0.63],
    "heianza-2015": [1553, 191, 24.4, 23.2],
    "ohn-2016": [4106, 1093, 498, 5.1, 7.9, 8.2, 10.0, 10.1, 7.4, 6.9, 11.7, 8.4, 3.0],
    "mason-2007": [40, 4.5],
    "xiang-2006": [10],
    "hwang-2018": [370, 16.1, 39.6, 1.01, 3.69],
    "weir-2004": [4.5, 5.0, 5.0, 6.5],
    "beavers-2014": [138, -10.2, -3.3, -9.9],
    "goran-2001": [-32, 30, -27, 93.5, 97.0, 14.3, 18.6],
    "nhanes-2017": [10.4, 2.43, 11.7, 2.77, 8.9, 2.21, 7.5, 1.77, 8.7, 2.07],
    "bao-1996": [1606, 0.23, 0.36, 9, 58, 11, 8, 9, 7, 3, -4],
    "nguyen-2010": [5.54, 2.85],
}


def test_every_number_is_that_of_a_second_transcript():
    assert {study: targets(study)["value"].to_list() for study in STUDIES} == TRANSCRIPT


def test_every_interval_is_that_of_a_second_transcript():
    intervals = PUBLISHED.filter(pl.col("low").is_not_null()).select("study", "value", "low", "high").rows()
    assert intervals == [
        ("hulman-2017", 0.22, 0.02, 0.42),
        ("hulman-2017", 0.27, 0.06, 0.48),
        ("hulman-2017", 0.33, 0.21, 0.46),
        ("heianza-2012", 5.69, 5.5, 5.88),
        ("heianza-2012", 5.27, 5.25, 5.28),
        ("heianza-2012", 5.9, 5.84, 5.96),
    ]
    assert PUBLISHED["high"].null_count() == PUBLISHED["low"].null_count()


@pytest.mark.parametrize(
    ("study", "event", "outcome", "group", "years", "value"),
    [
        ("sagesaka-2018", "diabetes", "glucose_mg_dl", "cases", -10, 101.5),
        ("sagesaka-2018", "prediabetes", "glucose_mg_dl", "comparison", -10, 89.6),
        ("sagesaka-2018", "diabetes", "bmi", "comparison", -10, 22.7),
        ("sagesaka-2018", "prediabetes", "bmi", "cases", -10, 22.6),
        ("sagesaka-2018", "diabetes", "spise", "cases", -10, 7.32),
        ("sagesaka-2018", "prediabetes", "spise", "comparison", -10, 8.82),
        ("tabak-2009", "diabetes", "glucose_mmol_l", "cases", 0, 7.4),
        ("tabak-2009", "diabetes", "homa2_b_pct", "cases", -3, 92.6),
        ("malmstrom-2018", "diabetes", "glucose_mg_dl", "comparison", -25, 86),
        ("heianza-2012", "diabetes", "hba1c_pct", "cases", -1, 5.9),
    ],
)
def test_a_mean_stands_at_its_event_group_and_year(study, event, outcome, group, years, value):
    row = targets(study).filter(event=event, outcome=outcome, group=group, years_to_event=float(years), kind="mean")
    assert row["value"].item() == value


def test_no_number_is_from_memory_and_every_row_says_what_it_is():
    assert set(PUBLISHED["evidence"]) == {"V", "R"}
    assert set(PUBLISHED.filter(evidence="R")["study"]) == {"nhanes-2017"}
    for name in ("study", "source", "population", "unit", "group", "value", "kind"):
        assert PUBLISHED[name].null_count() == 0
    assert tuple(PUBLISHED.columns) == COLUMNS
    assert PUBLISHED.select(pl.exclude("note", "value", "low", "high")).is_duplicated().sum() == 0


def test_times_lie_before_the_event_they_count_to():
    timed = PUBLISHED.filter(pl.col("years_to_event").is_not_null())
    assert timed["event"].null_count() == 0
    assert timed["years_to_event"].max() == 0
    slopes = PUBLISHED.filter(pl.col("years_from").is_not_null())
    assert (slopes["years_from"] < slopes["years_to_event"]).all()
    knots = PUBLISHED.filter(pl.col("kind").is_in(["knot", "turning_point"]))
    assert (knots["value"] == knots["years_to_event"]).all()


def test_each_study_has_one_source():
    assert PUBLISHED.select("study", "doi", "source").unique().height == len(STUDIES)
    assert PUBLISHED["doi"].drop_nulls().str.starts_with("10.").all()


def test_an_unknown_study_is_refused_with_those_that_are_known():
    with pytest.raises(UsageError) as refusal:
        targets("sagesaka-2019")
    assert all(study in str(refusal.value) for study in STUDIES)


# --- beside a cohort --------------------------------------------------------------------------------------------


@cache
def cohort(seed=1, cases=40, others=40, years=10):
    """Yearly visits; glucose of the cases is 104.3 mg/dL three years before and 133.3 at the event."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(cases + others), years + 1)
    t = np.tile(np.arange(-years, 1.0), cases + others)
    case = person < cases
    level = random.normal(0, 1, cases + others)[person]
    noise = random.normal(0, 1, (6, len(t)))
    after = np.clip(t + 3, 0, None)
    return pl.DataFrame(
        {
            "participant_id": person,
            "years_to_event": t,
            "progressor": case,
            "glucose_mg_dl": np.where(case, 104.3 + 0.5 * (t + 3) + 27.5 / 9 * after**2, 94.0) + 2 * level + noise[0],
            "bmi": np.where(case, 24.0, 22.7) + level + 0.3 * noise[1],
            "spise": np.where(case, 7.3 - 0.05 * t, 8.3) - 0.5 * level + 0.2 * noise[2],
            "hba1c_pct": np.where(case, 5.99 + 0.09 * t, 5.3) + 0.1 * level + 0.05 * noise[3],
            "homa_ir": np.exp(np.where(case, 0.5 + 0.2 * np.clip(t + 5, 0, None), 0.3) + 0.2 * level + 0.1 * noise[4]),
            "homa_b_pct": np.where(case, 100 - 1.2 * (t + 6) ** 2, 90.0) + 5 * level + 3 * noise[5],
        }
    )


@cache
def fitted(outcome, name):
    return fit_specification(cohort(), outcome, name, simultaneous=False)


def row_of(compared, **where):
    return compared.table.filter(**where).row(0, named=True)


@pytest.fixture(scope="module")
def beside_tabak():
    return compare_cohort("tabak-2009", {"diabetes": cohort()})


def test_own_means_and_differences_stand_beside_the_published_ones():
    visits = cohort()
    compared = compare_cohort("sagesaka-2018", {"diabetes": visits})
    for outcome in ("glucose_mg_dl", "bmi", "spise"):
        found = fitted(outcome, "sagesaka")
        for group in ("cases", "comparison"):
            row = row_of(compared, event="diabetes", outcome=outcome, group=group)
            drawn = found.curves.filter(group=group, years_to_event=-10.0).row(0, named=True)
            assert (row["own"], row["own_low"], row["own_high"]) == (drawn["fitted"], drawn["low"], drawn["high"])
            assert row["difference"] == pytest.approx(row["own"] - row["published"])
            assert (row["reason"], row["evidence"], row["own_outcome"]) == (None, "V", outcome)
        row = row_of(compared, event="diabetes", outcome=outcome, group="difference")
        drawn = found.differences.filter(years_to_event=-10.0).row(0, named=True)
        assert (row["own"], row["own_low"], row["own_high"]) == (drawn["estimate"], drawn["low"], drawn["high"])
    assert row_of(compared, event="diabetes", outcome="bmi", group="difference")["published"] == pytest.approx(1.3)
    assert row_of(compared, event="diabetes", outcome="bmi", group="cases")["own"] == pytest.approx(24, abs=0.6)
    assert compared.doi == "10.1210/js.2018-00071"
    absent = compared.table.filter(event="prediabetes")
    assert absent["own"].null_count() == absent.height == 9
    assert absent["reason"].unique().to_list() == ["no visits aligned on prediabetes were given"]


def test_own_glucose_is_set_beside_in_mmol_per_l(beside_tabak):
    found = fitted("glucose_mg_dl", "tabak")
    for years, mmol in ((-3.0, 5.79), (0.0, 7.40)):
        row = row_of(beside_tabak, outcome="glucose_mmol_l", kind="mean", years_to_event=years)
        assert (row["unit"], row["own_outcome"], row["published"]) == ("mmol/L", "glucose_mg_dl", mmol)
        assert row["own"] == pytest.approx(mmol, abs=0.1)  # 104.3 and 133.3 mg/dL
        drawn = found.curves.filter(group="cases", years_to_event=years).row(0, named=True)
        for own, name in (("own", "fitted"), ("own_low", "low"), ("own_high", "high")):
            assert row[own] == pytest.approx(drawn[name] / 18.016, rel=1e-9)


def test_own_knots_stand_beside_in_years_whatever_the_unit(beside_tabak):
    for outcome, own, years in (("glucose_mmol_l", "glucose_mg_dl", -3.0), ("homa2_s_pct", "homa_ir", -5.0)):
        row = row_of(beside_tabak, outcome=outcome, kind="knot")
        knot = fitted(own, "tabak").knots.row(0, named=True)
        assert (row["own"], row["own_low"], row["own_high"]) == (knot["years_to_event"], knot["low"], knot["high"])
        assert row["own"] == pytest.approx(years, abs=0.5)
        assert (row["unit"], row["published"], row["own_outcome"]) == ("years", years, own)


def test_levels_of_homa2_and_two_hour_glucose_stand_alone_with_the_reason(beside_tabak):
    levels = beside_tabak.table.filter(pl.col("outcome").str.starts_with("homa2"), kind="mean")
    assert levels["own"].null_count() == levels.height == 4
    assert levels["reason"].str.contains("HOMA1").all()
    two_hours = beside_tabak.table.filter(outcome="two_hour_glucose_mmol_l")
    assert two_hours["reason"].unique().to_list() == ["not modelled by ircohort"]
    assert two_hours["own_outcome"].null_count() == two_hours.height == 3


def test_every_row_has_a_number_or_a_reason_and_never_both():
    few = cohort(cases=12, others=12)
    for study, design in COMPARED.items():
        compared = compare_cohort(study, dict.fromkeys(design.events, few))
        table = compared.table
        assert table.height == dated_targets(study).height > 0
        assert (table["own"].is_null() == table["reason"].is_not_null()).all()
        assert (table["difference"].is_null() == table["own"].is_null()).all()
        assert table["own"].null_count() < table.height
        assert all(sentence in compared.notes for sentence in design.differs)
        assert any("neither predicts" in note for note in compared.notes)


def test_the_turning_point_of_beta_cell_function_stands_beside():
    compared = compare_cohort("hulman-2017", {"diabetes": cohort()})
    row = row_of(compared, outcome="homa2_b_pct")
    turn = turning_point(fitted("homa_b_pct", "hulman"))
    assert (row["own"], row["own_low"], row["own_high"]) == (turn.years, turn.low, turn.high)
    assert row["own"] == pytest.approx(-6, abs=0.5)
    assert row["difference"] == pytest.approx(row["own"] + 7)
    others = compared.table.filter(pl.col("outcome") != "homa2_b_pct")
    assert others["own"].null_count() == others.height == 2
    reasons = set(others["reason"])
    assert reasons == {
        "not modelled by ircohort",
        "by ethnic origin or another division that the cohort's groups do not have",
    }


@pytest.mark.parametrize(("sign", "reason"), [(1, "at the event, and rises"), (-1, "at the earliest year, and falls")])
def test_a_curve_without_a_turn_has_a_reason(sign, reason):
    visits = cohort().with_columns(homa_b_pct=100 + sign * 5 * pl.col("years_to_event") + pl.col("bmi"))
    found = fit_specification(visits, "homa_b_pct", "hulman", simultaneous=False)
    assert reason in row_of(compare_with("hulman-2017", {"diabetes": [found]}), outcome="homa2_b_pct")["reason"]


def test_a_slope_stands_beside_in_its_unit_per_year():
    visits = cohort()
    row = row_of(compare_cohort("heianza-2012", {"diabetes": visits}), kind="slope")
    slope = slope_between(fitted("hba1c_pct", "sagesaka"), -3, -1)
    assert (row["own"], row["own_low"], row["own_high"]) == slope.row(0)
    assert row["own"] == pytest.approx(0.09, abs=0.02)
    assert row["unit"] == "% per year"


def test_years_that_the_cohort_does_not_reach_have_a_reason():
    compared = compare_cohort("sagesaka-2018", {"diabetes": cohort(years=6)})
    row = row_of(compared, event="diabetes", outcome="bmi", group="cases")
    assert row["own"] is None
    assert row["reason"] == "the fitted curves of BMI reach from -6 to 0 years"
    row = row_of(compare_cohort("heianza-2012", {"diabetes": cohort(years=2)}), kind="slope")
    assert row["reason"] == "The curves reach from -2 to 0 years only."


def test_outcomes_that_are_absent_or_too_few_have_a_reason():
    visits = cohort().drop("spise").with_columns(bmi=pl.when(pl.col("participant_id") < 5).then("bmi"))
    compared = compare_cohort("sagesaka-2018", {"diabetes": visits})
    reason = {o: row_of(compared, event="diabetes", outcome=o)["reason"] for o in ("spise", "bmi", "glucose_mg_dl")}
    assert reason["spise"] == "the visits have no column spise"
    assert reason["bmi"] == "BMI was measured in one of the two groups only."
    assert reason["glucose_mg_dl"] is None
    few = compare_cohort("sagesaka-2018", {"diabetes": cohort(cases=5, others=5)}).table.filter(event="diabetes")
    assert few["reason"].str.starts_with("Fewer than 10 cases").all()


def test_a_fit_of_another_kind_has_a_reason():
    visits = cohort().with_columns(years_from_start=pl.col("years_to_event") + 10)
    forward = fit_specification(visits, "glucose_mg_dl", "landmark", simultaneous=False)
    held = fit_specification(visits, "homa_ir", "tabak", knots=(-5,), simultaneous=False)
    cubic = fit_specification(visits, "homa_b_pct", "hulman", simultaneous=False)
    compared = compare_with("tabak-2009", {"diabetes": [forward, held, cubic]})
    reasons = {
        outcome: row_of(compared, outcome=outcome, kind="knot")["reason"]
        for outcome in ("glucose_mmol_l", "homa2_s_pct", "homa2_b_pct")
    }
    assert reasons == {
        "glucose_mmol_l": "the fit does not run backwards from the event",
        "homa2_s_pct": "the knot was held, not estimated",
        "homa2_b_pct": "the fit has no such knot; the specification tabak has",
    }
    assert "The specification after this study is tabak." in compared.notes
    assert not compare_with("tabak-2009", {"diabetes": []}).table["own"].count()
    unfitted = row_of(compare_with("sagesaka-2018", {"diabetes": [held]}), outcome="bmi", event="diabetes")["reason"]
    assert unfitted == "BMI was not fitted on the time to diabetes"


def test_a_knot_at_the_edge_of_the_search_is_no_number():
    visits = cohort().with_columns(glucose_mg_dl=95 + pl.col("bmi") + 40 * (pl.col("years_to_event") + 0.9).clip(0))
    compared = compare_cohort("tabak-2009", {"diabetes": visits})
    assert "at the edge of the years searched, -1" in row_of(compared, outcome="glucose_mmol_l", kind="knot")["reason"]


def test_settings_reach_the_fits_and_the_notes():
    visits = cohort(cases=20, others=20)
    plain = compare_cohort("malmstrom-2018", {"diabetes": visits})
    adjusted = compare_cohort("malmstrom-2018", {"diabetes": visits}, adjust_bmi=True, covariance="CR2")
    where = {"years_to_event": -10.0, "group": "cases"}
    assert row_of(plain, **where)["own"] == pytest.approx(row_of(adjusted, **where)["own"], abs=3)
    assert row_of(plain, **where)["own_low"] != row_of(adjusted, **where)["own_low"]
    assert any("adjusted for BMI" in note for note in adjusted.notes)
    assert not any("adjusted for BMI" in note for note in plain.notes)
    assert (
        row_of(plain, years_to_event=-25.0)["reason"]
        == "the fitted curves of fasting glucose reach from -10 to 0 years"
    )


def test_pandas_gives_pandas_with_the_same_numbers():
    visits = cohort(cases=15, others=15)
    polars = compare_cohort("heianza-2012", {"diabetes": visits}).table
    pandas = compare_cohort("heianza-2012", {"diabetes": visits.to_pandas()}).table
    assert isinstance(pandas, pd.DataFrame)
    assert list(pandas.columns) == polars.columns
    assert pandas["own"].to_numpy() == pytest.approx(polars["own"].to_numpy(), rel=1e-12, nan_ok=True)
    found = fit_specification(visits.to_pandas(), "hba1c_pct", "sagesaka", simultaneous=False)
    assert isinstance(compare_with("heianza-2012", {"diabetes": [found]}).table, pd.DataFrame)


def test_unknown_studies_and_events_are_refused_with_those_that_are_known():
    for study, why in (("sagesaka", "is not known"), ("bao-1996", "has no course in time")):
        with pytest.raises(UsageError, match=why) as refusal:
            compare_with(study, {})
        assert str(refusal.value).split(": ")[-1] == f"{', '.join(COMPARED)}."
    for compare in (compare_cohort, compare_with):
        with pytest.raises(UsageError, match=r"no event 'death'[\s\S]*prediabetes, diabetes"):
            compare("tabak-2009", {"death": []})


def test_a_misspelt_covariate_is_an_error_and_no_reason():
    with pytest.raises(ColumnError, match="agee"):
        compare_cohort("sagesaka-2018", {"diabetes": cohort()}, covariates=("agee",))


def test_the_events_of_a_study_are_those_of_its_numbers():
    for study, design in COMPARED.items():
        assert set(design.events) == set(dated_targets(study)["event"])


def test_every_counterpart_is_modelled_and_stands_in_the_table():
    outcomes = set(pl.concat([dated_targets(study) for study in COMPARED])["outcome"])
    assert set(COUNTERPARTS) <= outcomes
    assert {counterpart.outcome for counterpart in COUNTERPARTS.values()} <= set(OUTCOMES)
