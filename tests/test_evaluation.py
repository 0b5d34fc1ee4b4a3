"""Detection held against simulated truth: the arithmetic of it, with stub detectors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from statsmodels.stats.proportion import proportion_confint

from ircohort.detection import DetectSettings
from ircohort.errors import ColumnError, UsageError
from ircohort.evaluation import (
    CALIBRATION_EDGES,
    GATES,
    RATES,
    RULES,
    THRESHOLDS,
    area_under_curve,
    compare,
    evaluate,
    pattern_of,
    precision_at_top,
    visits_of,
    wilson,
)
from ircohort.evaluation.resampling import poisson_rate, resampling_of
from ircohort.intake import TableSpec, read_export
from ircohort.normalisation import normalise
from ircohort.schema import VISITS, require
from ircohort.simulation import DESIGNS, Design, simulate, with_values

SMALL = Design(n_participants=40)


def people(*pairs: tuple[bool | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"hidden_window": [truth for truth, _ in pairs], "probability": [stated for _, stated in pairs]},
        schema={"hidden_window": pl.Boolean, "probability": pl.Float64},
    )


def slope_detector(visits: pl.DataFrame) -> pl.DataFrame:
    """Rate people by the correlation of insulin with time: crude, but better than chance."""
    return visits.group_by("participant_id", maintain_order=True).agg(
        ((pl.corr("years", "insulin_uiu_ml").fill_nan(None) + 1) / 2).clip(0, 1).alias("probability")
    )


# -- the two by two table ---------------------------------------------------------------------------------------------


def test_rates_equal_a_table_counted_by_hand() -> None:
    # At 0.8: 3 true positives, 1 false positive, 2 false negatives, 4 true negatives; one cannot be assessed.
    found = compare(
        people(
            (True, 0.9),
            (True, 0.8),
            (True, 0.95),
            (False, 0.85),
            (True, 0.6),
            (True, 0.1),
            (False, 0.5),
            (False, 0.3),
            (False, 0.2),
            (False, 0.0),
            (True, None),
        )
    )
    at = {row["rate"]: row for row in found.rates.filter(pl.col("threshold") == 0.8).to_dicts()}
    expected = {"sensitivity": 3 / 5, "specificity": 4 / 5, "ppv": 3 / 4, "npv": 4 / 6, "fdr": 1 / 4}
    expected["share_of_all_true"] = 3 / 6  # one true window is not assessable
    assert {rate: row["estimate"] for rate, row in at.items()} == pytest.approx(expected)
    assert {rate: row["n"] for rate, row in at.items()} == {
        "sensitivity": 5,
        "specificity": 5,
        "ppv": 4,
        "npv": 6,
        "fdr": 4,
        "share_of_all_true": 6,
    }
    for row in at.values():
        low, high = proportion_confint(round(row["estimate"] * row["n"]), row["n"], method="wilson")
        assert row["low"] <= low + 1e-12  # never narrower than if people were independent
        assert row["high"] >= high - 1e-12
    counts = found.counts.filter(pl.col("threshold") == 0.8).row(0, named=True)
    assert (counts["n_flagged"], counts["false_positive"]) == (4, 1)
    assert counts["expected_false"] == pytest.approx(0.1 + 0.2 + 0.05 + 0.15)
    lower = found.counts.filter(pl.col("threshold") == 0.5).row(0, named=True)
    assert (lower["true_positive"], lower["false_positive"], lower["false_negative"], lower["true_negative"]) == (
        4,
        2,
        1,
        3,
    )
    summary = found.summary.row(0, named=True)
    assert (summary["n_participants"], summary["n_assessable"]) == (11, 10)
    assert (summary["n_true"], summary["n_true_assessable"], summary["prevalence"]) == (6, 5, 0.5)


def test_wilson_agrees_with_published_intervals() -> None:
    # Newcombe 1998, Stat Med 17:857, table I, method 3 (score, no continuity correction).
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, n), interval in published.items():
        assert wilson(successes, n)[1:] == pytest.approx(interval, abs=5e-5)


@settings(derandomize=True, deadline=None)
@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_an_interval_holds_its_share(n: int, share: float) -> None:
    estimate, low, high = wilson(round(share * n), n)
    assert 0 <= low <= estimate + 1e-12
    assert estimate - 1e-12 <= high <= 1


def test_a_rate_of_nobody_is_null() -> None:
    found = compare(people((False, 0.1), (False, 0.2)))
    at = {row["rate"]: row for row in found.rates.filter(pl.col("threshold") == 0.8).to_dicts()}
    for rate in ("sensitivity", "ppv", "fdr"):
        assert (at[rate]["estimate"], at[rate]["low"], at[rate]["high"], at[rate]["n"]) == (None, None, None, 0)
    assert at["specificity"]["estimate"] == 1.0
    assert found.summary.select("auc", "auc_low", "auc_high").row(0) == (None, None, None)


def test_where_nobody_is_assessable_all_is_defined() -> None:
    found = compare(people((True, None), (False, None)))
    assert found.summary["n_assessable"].item() == 0
    assert found.summary["prevalence"].item() is None
    assert found.counts["n_flagged"].to_list() == [0, 0]
    of_all = pl.col("rate") == "share_of_all_true"
    assert found.rates.filter(~of_all)["estimate"].null_count() == len(THRESHOLDS) * (len(RATES) - 1)
    assert found.rates.filter(of_all).select("estimate", "n").unique().row(0) == (0.0, 1)
    assert found.summary.select("auc", "auc_low", "auc_high").row(0) == (None, None, None)
    assert found.calibration["n"].sum() == 0
    detect = found.rules.filter(rule="detect")
    assert detect["n_rated"].to_list() == [0, 0]
    assert detect.select("n_flagged", "sensitivity", "specificity", "auc").null_count().sum_horizontal().item() == 8


def test_a_table_that_lacks_the_truth_is_refused() -> None:
    with pytest.raises(ColumnError, match="no column hidden_window"):
        compare(people((True, 0.5)).drop("hidden_window"))
    with pytest.raises(UsageError, match="truth of somebody"):
        compare(people((True, 0.5), (None, 0.5)))


def test_cohorts_in_which_detection_judges_nobody_are_counted_with_the_reason() -> None:
    found = evaluate(SMALL, cohorts=2, seed=1)
    assert found.notes[-1].startswith("In 2 of 2 cohorts nobody was judged: that takes 400 people with two readings")
    own = evaluate(
        SMALL, detector=lambda visits: visits.select("participant_id").unique().with_columns(probability=None)
    )
    assert not any("nobody was judged" in note for note in own.notes)


def test_nobody_at_all_is_defined_too() -> None:
    assert compare(people()).summary["n_participants"].item() == 0


# -- ranking ----------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_area_equals_a_count_over_all_pairs(rows: list[tuple[bool, int, int]]) -> None:
    truth, stated, weights = (np.array(values) for values in zip(*rows, strict=True))
    won = pairs = 0.0
    for case, rating, times in rows:
        for other, other_rating, other_times in rows:
            if case and not other:
                pairs += times * other_times
                won += times * other_times * ((rating > other_rating) + 0.5 * (rating == other_rating))
    area = area_under_curve(truth, stated / 5, weights.astype(float))
    assert area == (pytest.approx(won / pairs) if pairs else None)


def test_the_interval_of_the_area_has_its_coverage_and_its_seed() -> None:
    # Two normals one SD apart: the true area is Phi(1 / sqrt 2) = 0.760.
    expected = 0.5 * math.erfc(-0.5)
    generator, held = np.random.default_rng(1), 0
    for seed in range(30):
        truth = np.arange(160) < 60
        stated = 1 / (1 + np.exp(-generator.normal(size=160) - truth))
        table = pl.DataFrame({"hidden_window": truth, "probability": stated})
        low, high = compare(table, seed=seed).summary.select("auc_low", "auc_high").row(0)
        held += low <= expected <= high
    assert held >= 25  # of 30; with coverage 0.95 fewer has probability 0.003
    assert compare(table, seed=3).summary.equals(compare(table, seed=3).summary)
    assert not compare(table, seed=3).summary.equals(compare(table, seed=4).summary)


# -- calibration ------------------------------------------------------------------------------------------------------


def test_each_probability_falls_in_one_bin() -> None:
    stated = [0.0, 0.05, 0.049, 0.5, 0.8, 0.79, 1.0]
    found = compare(people(*((True, value) for value in stated))).calibration
    assert found["n"].sum() == len(stated)
    rows = {row["bin_low"]: row for row in found.to_dicts()}
    assert (rows[0.0]["n"], rows[0.05]["n"], rows[0.5]["n"], rows[0.7]["n"], rows[0.8]["n"], rows[0.9]["n"]) == (
        2,
        1,
        1,
        1,
        1,
        1,
    )
    assert rows[0.0]["stated"] == pytest.approx(0.0245)
    assert rows[0.1]["stated"] is None
    assert found.height == len(CALIBRATION_EDGES) - 1


def test_an_honest_detector_looks_honest() -> None:
    generator = np.random.default_rng(5)
    stated = generator.beta(0.7, 1.2, 20_000)
    table = pl.DataFrame({"hidden_window": generator.uniform(size=20_000) < stated, "probability": stated})
    found = compare(table)
    assert (found.calibration["observed"] - found.calibration["stated"]).abs().max() < 0.04
    for row in found.counts.to_dicts():
        assert row["expected_false"] == pytest.approx(row["false_positive"], abs=4.5 * math.sqrt(row["false_positive"]))


def test_calibration_in_the_large_is_the_sum_of_probabilities_against_a_count() -> None:
    found = compare(people((True, 0.9), (False, 0.8), (True, 0.6), (False, 0.1), (True, None)))
    rows = {row["limit"]: row for row in found.calibration_above.to_dicts()}
    assert (rows[0.0]["n"], rows[0.5]["n"], rows[0.8]["n"], rows[0.95]["n"]) == (4, 3, 2, 0)
    assert rows[0.0]["stated"] == pytest.approx(2.4 / 4)
    assert rows[0.8]["difference"] == pytest.approx(0.5 - 0.85)
    assert (rows[0.8]["expected_false"], rows[0.8]["observed_false"]) == (pytest.approx(0.3), 1)
    assert rows[0.95]["difference"] is None
    for limit in (0.0, 0.5, 0.8):
        row = rows[limit]
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]


# -- intervals over cohorts -------------------------------------------------------------------------------------------


def clustered(cohorts: int, each: int, *, alike: bool) -> pl.DataFrame:
    """Flag everybody; where cohorts are alike half of each is right, else all of one and none of the next."""
    number = np.repeat(np.arange(cohorts), each)
    truth = (np.tile(np.arange(each), cohorts) % 2 == 0) if alike else number % 2 == 0
    return pl.DataFrame({"cohort": number, "hidden_window": truth, "probability": 0.9})


def ppv_width(table: pl.DataFrame) -> float:
    row = compare(table).rates.filter((pl.col("rate") == "ppv") & (pl.col("threshold") == 0.8)).row(0, named=True)
    assert row["estimate"] == 0.5
    return row["high"] - row["low"]


@pytest.mark.parametrize("cohorts", [4, 20])
def test_what_differs_from_cohort_to_cohort_widens_the_interval(cohorts: int) -> None:
    alone = wilson(cohorts * 25, cohorts * 50)
    width = alone[2] - alone[1]
    assert ppv_width(clustered(cohorts, 50, alike=False)) > 3 * width
    assert ppv_width(clustered(cohorts, 50, alike=True)) < 1.6 * width


def test_it_is_said_what_is_resampled() -> None:
    said = [compare(clustered(cohorts, 6, alike=True)).intervals_over for cohorts in (1, 3, 12)]
    assert said == ["people", "cohorts and people", "cohorts"]
    assert any("One cohort" in note for note in compare(clustered(1, 6, alike=True)).notes)


def test_the_mean_of_the_resamples_is_the_estimate() -> None:
    generator = np.random.default_rng(3)
    columns = generator.random((90, 2))
    for cohorts in (1, 3, 15):
        sample = resampling_of(np.sort(generator.integers(cohorts, size=90)), 1)
        totals = sample.totals(columns)
        assert totals.mean(axis=0) == pytest.approx(columns.sum(axis=0), rel=0.02)


def test_an_exact_poisson_interval_is_the_one_of_the_tables() -> None:
    # Garwood's limits of a count: 0 -> 0 to 3.689, 5 -> 1.623 to 11.668, 20 -> 12.217 to 30.888.
    for count, interval in {0: (0, 3.689), 5: (1.623, 11.668), 20: (12.217, 30.888)}.items():
        assert poisson_rate(count, 1.0)[1:] == pytest.approx(interval, abs=1e-3)


# -- among the highest rated ------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=9), st.integers(1, 9))
def test_the_top_of_a_rating_is_the_mean_over_all_ways_to_break_ties(rows: list[tuple[bool, int]], count: int) -> None:
    truth, rating = (np.array(values) for values in zip(*rows, strict=True))
    taken = min(count, truth.size)
    best = np.sort(rating)[::-1][taken - 1]
    sure, edge = rating > best, rating == best
    expected = (truth[sure].sum() + (taken - sure.sum()) * truth[edge].mean()) / taken
    found = precision_at_top(truth, rating.astype(float), taken / truth.size)
    assert found == (pytest.approx(expected) if truth.any() else None)


# -- cohorts ----------------------------------------------------------------------------------------------------------


def test_visits_of_a_cohort_keep_the_contract() -> None:
    simulated = simulate(DESIGNS["clinic"], seed=4)
    visits = require(visits_of(simulated), VISITS, "homa_ir", "tg_hdl_mg", "state", "glycaemia")
    assert visits.height == simulated.labs.height
    row = visits.row(0, named=True)
    assert row["homa_ir"] == pytest.approx(row["glucose_mg_dl"] * row["insulin_uiu_ml"] / 405)
    normal = visits.select((pl.col("glucose_mg_dl") < 100) == (pl.col("glycaemia") == "normal")).to_series()
    assert normal.all()


@pytest.mark.parametrize("units", ["us", "si"])
def test_visits_made_directly_equal_the_export_read_from_a_file(units: str, tmp_path: Path) -> None:
    simulated = simulate(replace(DESIGNS["clinic"], n_participants=100, units=units), seed=4)
    simulated.labs.write_csv(tmp_path / "labs.csv")
    read = normalise(read_export(TableSpec("labs", (str(tmp_path / "labs.csv"),))))
    assert read.rejected.height == 0
    names = [name for name in read.visits.columns if read.visits[name].null_count() < read.visits.height]
    assert {"glucose_mg_dl", "insulin_uiu_ml", "years", "age", "glycaemia"} <= set(names)
    assert_frame_equal(read.visits.select(names), visits_of(simulated, units=units).select(names), rel_tol=1e-12)


def test_a_cohort_in_si_units_is_classified_in_them() -> None:
    design = replace(DESIGNS["clinic"], n_participants=50, units="si")
    simulated = simulate(design, seed=4)
    visits = visits_of(simulated, units="si")
    expected = simulated.labs["Glucose (mmol/L)"] < 5.6
    assert (visits["glycaemia"] == "normal").equals(expected.rename("glycaemia"))
    us = visits_of(simulate(replace(design, units="us"), seed=4))
    assert visits["homa_ir"].mean() == pytest.approx(us["homa_ir"].mean(), rel=0.01)


def test_a_detector_that_knows_the_truth_is_perfect() -> None:
    design = replace(DESIGNS["clinic"], n_participants=60)
    seen: list[pl.DataFrame] = []

    def collect(visits: pl.DataFrame) -> pl.DataFrame:
        seen.append(visits)
        return visits.select("participant_id").unique().with_columns(probability=0.5)

    truth = evaluate(design, detector=collect, cohorts=2, seed=1).people
    answers = iter(truth.partition_by("cohort"))

    def oracle(visits: pl.DataFrame) -> pl.DataFrame:
        return next(answers).select("participant_id", pl.col("hidden_window").cast(pl.Float64).alias("probability"))

    found = evaluate(design, detector=oracle, cohorts=2, seed=1)
    assert found.summary.select("n_cohorts", "n_participants", "auc").row(0) == (2, 120, 1.0)
    assert found.rates.filter(pl.col("rate") != "fdr")["estimate"].to_list() == [1.0] * 10
    assert found.rates.filter(pl.col("rate") == "fdr")["estimate"].to_list() == [0.0] * 2
    assert not seen[0].equals(seen[1])


def test_a_crude_detector_ranks_better_than_chance() -> None:
    found = evaluate(replace(DESIGNS["clinic"], n_participants=300), detector=slope_detector, seed=2)
    assert found.summary["auc_low"].item() > 0.55


def test_people_whom_the_detector_leaves_out_are_not_assessable() -> None:
    def half(visits: pl.DataFrame) -> pl.DataFrame:
        names = visits["participant_id"].unique().sort().head(20)
        return pl.DataFrame({"participant_id": names, "probability": [0.7] * 20})

    summary = evaluate(SMALL, detector=half).summary
    assert summary.select("n_participants", "n_assessable").row(0) == (40, 20)


def test_a_detector_may_answer_in_pandas() -> None:
    def answer(visits: pl.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"participant_id": visits["participant_id"].unique().to_list(), "probability": 0.2})

    assert evaluate(SMALL, detector=answer).summary["n_assessable"].item() == 40


def test_the_same_seed_gives_the_same_evaluation() -> None:
    one, again, other = (evaluate(SMALL, detector=slope_detector, seed=seed) for seed in (1, 1, 2))
    for table in ("people", "summary", "counts", "rates", "calibration", "calibration_above", "rules", "alarms"):
        assert getattr(one, table).equals(getattr(again, table))
    assert not one.people.equals(other.people)


def test_faults_of_a_detector_are_refused() -> None:
    def named(*names: str, probability: float = 0.5) -> pl.DataFrame:
        return pl.DataFrame({"participant_id": names, "probability": [probability] * len(names)})

    with pytest.raises(UsageError, match="gave a participant twice"):
        evaluate(SMALL, detector=lambda visits: named("P0001", "P0001"))
    with pytest.raises(UsageError, match="outside 0 to 1"):
        evaluate(SMALL, detector=lambda visits: named("P0001", probability=1.2))
    with pytest.raises(ColumnError, match="no column probability"):
        evaluate(SMALL, detector=lambda visits: named("P0001").drop("probability"))


@pytest.mark.parametrize("change", [{"cohorts": 0}, {"cohorts": 1.5}, {"seed": -1}])
def test_a_number_that_cannot_be_meant_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="whole number from"):
        evaluate(SMALL, detector=slope_detector, **change)


def test_without_a_detector_the_one_of_ircohort_is_held_against_the_truth() -> None:
    found = evaluate(Design(n_participants=30, n_visits=8, kappa_median=0.03), seed=1)
    assert found.summary["n_participants"].item() == 30
    assert found.people["probability"].drop_nulls().is_between(0, 1).all()


# -- the visits of real people ----------------------------------------------------------------------------------------


def real(**columns: list[object]) -> pl.DataFrame:
    table = {"participant_id": ["b", "a", "a", "a", "b"], "years": [3.0, 2.0, 0.5, 1.25, 4.0]}
    measured = {"glucose_mg_dl": [90.0, 90.0, 91.0, 92.0, 93.0], "insulin_uiu_ml": [8.0, 9.0, 7.0, None, 8.0]}
    return pl.DataFrame(table | measured | columns)


def test_a_pattern_holds_times_since_the_first_visit_and_what_was_measured() -> None:
    pattern = pattern_of(real())
    assert pattern.n_visits.tolist() == [3, 2]
    assert pattern.years == pytest.approx([0, 0.75, 1.5, 0, 1], abs=1 / 365)
    assert pattern.insulin.tolist() == [True, False, True, True, True]
    assert not pattern.lipids.any()


def test_visits_that_detection_sets_aside_are_not_in_the_pattern() -> None:
    pattern = pattern_of(real(ill=[True, False, True, False, False]))
    assert pattern.n_visits.tolist() == [2, 1]
    assert pattern.years[0] == 0.0  # time runs from the first visit that counts
    assert pattern_of(real(years=[3.0, None, 0.5, 1.25, 4.0])).n_visits.tolist() == [2, 2]


def test_a_table_without_any_visit_that_counts_has_no_pattern() -> None:
    with pytest.raises(UsageError, match="no pattern"):
        pattern_of(real(pregnant=[True] * 5))


def test_people_are_seen_when_those_of_the_user_were() -> None:
    seen: list[pl.DataFrame] = []

    def look(visits: pl.DataFrame) -> pl.DataFrame:
        seen.append(visits)
        return slope_detector(visits)

    found = evaluate(visits=real().to_pandas(), detector=look, seed=1)
    assert found.summary["n_participants"].item() == 2  # as many as have a pattern
    evaluate(replace(DESIGNS["clinic"], n_participants=60, until_diabetes=False), visits=real(), detector=look, seed=1)
    gaps = seen[1].sort("participant_id", "years").group_by("participant_id").agg(pl.col("years").round(2))
    assert set(map(tuple, gaps["years"])) == {(0.0, 0.75, 1.5), (0.0, 1.0)}
    assert seen[1].filter(pl.col("years").round(2) == 0.75)["insulin_uiu_ml"].null_count() > 0


def test_traits_of_a_design_reach_the_detector() -> None:
    traits = {"n_participants": 60, "readings.insulin_limit": 4.0, "assay.share_changed": 0.5}
    design = with_values(DESIGNS["clinic"], traits)
    visits = visits_of(simulate(design, seed=3))
    censored = visits.filter(pl.col("insulin_uiu_ml_upper").is_not_null())
    assert censored.height > 0
    assert censored["insulin_uiu_ml"].to_list() == [2.0] * censored.height
    assert visits["assay"].n_unique() == 2


def test_the_truth_follows_the_definition_in_the_settings() -> None:
    design = replace(DESIGNS["clinic"], n_participants=200)
    strict = evaluate(design, detector=slope_detector, settings=DetectSettings(min_rise=1.0), seed=1)
    usual = evaluate(design, detector=slope_detector, seed=1)
    assert strict.summary["n_true"].item() < usual.summary["n_true"].item()


def test_with_ten_cohorts_whole_cohorts_are_resampled_and_all_rules_stand_beside_detection() -> None:
    found = evaluate(SMALL, detector=slope_detector, cohorts=10, seed=1)
    assert found.intervals_over == "cohorts"
    assert found.rules.height == len(THRESHOLDS) + len(RULES) * len(GATES)
    assert found.rules["n"].n_unique() == 1
    assert found.rules["auc"].is_not_null().all()
    flags = found.rules.filter(pl.col("n_flagged").is_not_null())
    assert (flags["ppv"] + flags["fdr"]).drop_nulls().to_list() == pytest.approx(
        [1.0] * flags["ppv"].drop_nulls().len()
    )
    assert (flags["ppv_low"] <= flags["ppv"]).all()
