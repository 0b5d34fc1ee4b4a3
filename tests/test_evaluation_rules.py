"""Simple rules against scipy, statsmodels, and counts by brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import kendalltau

from ircohort.evaluation import GATES, RULES, apply_rules
from ircohort.evaluation.rules import readings_of
from ircohort.evaluation.trend import EXACT_UP_TO, rising_trend


def person(
    name: str, insulin: list[float | None], glucose: list[float | None] | None = None, **more: object
) -> pl.DataFrame:
    n = len(insulin)
    columns = {"participant_id": [name] * n, "years": [float(year) for year in range(n)], "insulin_uiu_ml": insulin}
    kinds = {"insulin_uiu_ml": pl.Float64, "glucose_mg_dl": pl.Float64}
    return pl.DataFrame(columns | {"glucose_mg_dl": glucose or [90.0] * n} | more, schema_overrides=kinds)


def flagged(rule: str, table: pl.DataFrame) -> dict[str, bool]:
    found = apply_rules(table)
    return dict(found.select("participant_id", f"{rule}_flagged").iter_rows())


def test_the_last_reading_must_be_more_than_a_quarter_above_the_first() -> None:
    table = pl.concat([person("at", [8.0, 5.0, 10.0]), person("above", [8.0, 10.1]), person("one", [None, 9.0])])
    assert flagged("last_against_first", table) == {"at": False, "above": True, "one": False}
    assert apply_rules(table)["last_against_first"].to_list()[:2] == pytest.approx([np.log(10.1 / 8), np.log(1.25)])
    assert apply_rules(table)["last_against_first"].to_list()[2] is None


def test_the_reference_change_is_the_published_one() -> None:
    # Of insulin at a within-person CV of 28.8 %, one-sided 95 %: +93 % (science of the project, section 3).
    table = pl.concat([person("below", [10.0, 19.2]), person("above", [10.0, 19.4])])
    assert flagged("reference_change", table) == {"below": False, "above": True}


def test_the_line_of_homa_ir_must_be_crossed_upwards() -> None:
    up, down, stays = [7.0, 10.0], [10.0, 7.0], [9.0, 12.0]  # at 90 mg/dL the line is 8.55 uIU/mL
    table = pl.concat([person("up", up), person("down", down), person("stays", stays)])
    assert flagged("crossing_1_9", table) == {"down": False, "stays": False, "up": True}
    ratings = dict(apply_rules(table).select("participant_id", "crossing_1_9").iter_rows())
    assert ratings["up"] > 0 > max(ratings["down"], ratings["stays"])


def test_the_slope_test_is_least_squares_with_a_pooled_residual_sd() -> None:
    generator = np.random.default_rng(1)
    names = [f"p{i:02d}" for i in range(30)]
    table = pl.concat([person(name, list(np.exp(generator.normal(2, 0.3, 6)))) for name in names])
    insulin = np.log(table["insulin_uiu_ml"].to_numpy()).reshape(30, 6)
    # One regression with an intercept and a slope for everybody has the pooled residual variance.
    intercepts, slopes = np.kron(np.eye(30), np.ones((6, 1))), np.kron(np.eye(30), np.arange(6.0)[:, None])
    fit = sm.OLS(insulin.ravel(), np.hstack([intercepts, slopes])).fit()
    found = apply_rules(table)
    assert found["ols_slope"].to_numpy() == pytest.approx(fit.tvalues[30:])
    one_sided = np.where(fit.tvalues[30:] > 0, fit.pvalues[30:] / 2, 1 - fit.pvalues[30:] / 2)
    assert found["ols_slope_flagged"].to_list() == (one_sided < 0.05).tolist()
    assert 0 < found["ols_slope_flagged"].sum() < 10


# -- Mann-Kendall -----------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=5, max_size=7))
def test_the_trend_with_ties_equals_a_count_over_all_orders(values: list[int]) -> None:
    def statistic(row: tuple[int, ...]) -> int:
        return sum(np.sign(row[j] - row[i]) for i in range(len(row)) for j in range(i + 1, len(row)))

    every = [statistic(order) for order in permutations(values)]
    score, p = rising_trend(np.array([values], dtype=float))
    observed = statistic(tuple(values))
    assert p[0] == pytest.approx(np.mean([value >= observed for value in every]))
    sd = np.std(every)
    assert score[0] == pytest.approx(observed / sd if sd > 0 else 0.0)


@pytest.mark.parametrize("n", [8, 20, 35])
def test_the_trend_without_ties_is_that_of_scipy(n: int) -> None:
    generator = np.random.default_rng(n)
    rows = generator.normal(size=(20, n)) + 0.05 * np.arange(n)
    p = rising_trend(rows)[1]
    expected = [kendalltau(np.arange(n), row, method="exact", alternative="greater").pvalue for row in rows]
    assert p == pytest.approx(expected, rel=1e-9)


def test_beyond_the_exact_range_the_normal_distribution_is_close() -> None:
    n = EXACT_UP_TO + 10
    rows = np.random.default_rng(2).normal(size=(50, n)) + 0.02 * np.arange(n)
    exact = [kendalltau(np.arange(n), row, method="exact", alternative="greater").pvalue for row in rows]
    assert rising_trend(rows)[1] == pytest.approx(exact, abs=0.002)


def test_four_readings_are_too_few_for_a_trend() -> None:
    table = pl.concat([person("four", [5.0, 6.0, 7.0, 8.0]), person("five", [5.0, 6.0, 7.0, 8.0, 9.0])])
    assert flagged("mann_kendall", table) == {"five": True, "four": False}
    assert apply_rules(table).filter(pl.col("participant_id") == "four")["mann_kendall"].item() is None


def test_a_missing_reading_is_passed_over() -> None:
    with_gap = person("a", [5.0, None, 6.0, 7.0, None, 8.0, 9.0])
    assert flagged("mann_kendall", with_gap) == {"a": True}


# -- gates ------------------------------------------------------------------------------------------------------------


def gates(glucose: list[float | None]) -> tuple[bool, bool]:
    return (
        apply_rules(person("a", [6.0] * len(glucose), glucose))
        .select("gate_all_readings", "gate_fitted_glucose")
        .row(0)
    )


def test_one_high_reading_closes_the_gate_of_all_readings_only() -> None:
    assert gates([90.0, 101.0, 90.0, 91.0]) == (False, True)
    assert gates([90.0, 99.0, 90.0, 91.0]) == (True, True)


def test_the_fitted_gate_looks_at_the_last_visit() -> None:
    rising, falling = [92.0, 95.0, 97.0, 99.0, 99.5, 104.0], [104.0, 99.0, 97.0, 95.0, 93.0, 92.0]
    assert gates(rising)[1] is False
    assert gates(falling)[1] is True


def test_the_fitted_gate_is_the_line_of_least_squares() -> None:
    generator = np.random.default_rng(7)
    names = [f"p{i:02d}" for i in range(40)]
    levels = generator.normal(98, 3, 40)
    tables = [
        person(name, [6.0] * 5, list(level * np.exp(generator.normal(0, 0.05, 5))))
        for name, level in zip(names, levels, strict=True)
    ]
    # Readings in the prediabetic range end a series; by WHO's higher cut-off none of these does.
    found = apply_rules(pl.concat(tables).with_columns(glycaemia=pl.lit("normal")))["gate_fitted_glucose"].to_list()
    expected = [
        np.polyval(np.polyfit(range(5), np.log(table["glucose_mg_dl"].to_numpy()), 1), 4) < np.log(100)
        for table in tables
    ]
    assert found == expected
    assert 5 < sum(expected) < 35


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort() -> pl.DataFrame:
    generator = np.random.default_rng(4)
    tables = [
        person(
            f"p{i:02d}", list(np.exp(generator.normal(2, 0.3, 7)).round(1)), list(generator.normal(97, 5, 7).round())
        )
        for i in range(25)
    ]
    return pl.concat(tables).with_columns(bmi=pl.Series(generator.normal(26, 3, 175)))


def test_neither_the_order_of_rows_nor_names_matter(cohort: pl.DataFrame) -> None:
    found = apply_rules(cohort)
    assert apply_rules(cohort.sample(fraction=1.0, shuffle=True, seed=1)).equals(found)
    renamed = apply_rules(cohort.with_columns(participant_id="x" + pl.col("participant_id").str.reverse()))
    back = renamed.with_columns(pl.col("participant_id").str.tail(3).str.reverse()).sort("participant_id")
    assert_frame_equal(back, found, rel_tol=1e-12)  # the pooled SD is summed in the order of names


@pytest.mark.parametrize("rule", [name for name in RULES if name not in ("latest_homa_ir", "crossing_1_9")])
def test_the_unit_of_insulin_does_not_matter_to_a_rule_on_change(rule: str, cohort: pl.DataFrame) -> None:
    doubled = apply_rules(cohort.with_columns(pl.col("insulin_uiu_ml") * 2))
    assert doubled[rule].to_numpy() == pytest.approx(apply_rules(cohort)[rule].to_numpy(), nan_ok=True)


def test_pandas_gives_what_polars_gives(cohort: pl.DataFrame) -> None:
    assert apply_rules(cohort.to_pandas()).equals(apply_rules(cohort))


def test_a_reading_below_the_detection_limit_counts_as_half_of_it() -> None:
    table = person("a", [2.0, 9.0, 8.0]).with_columns(
        insulin_uiu_ml_lower=pl.Series([0.0, None, None]), insulin_uiu_ml_upper=pl.Series([4.0, None, None])
    )
    assert np.exp(readings_of(table).insulin) == pytest.approx([2.0, 9.0, 8.0])


def test_nobody_and_people_without_insulin_are_defined() -> None:
    nobody = apply_rules(person("a", [6.0]).head(0))
    assert nobody.height == 0
    bare = apply_rules(person("a", [None, None, None]))
    assert bare["last_against_first"].to_list() == [None]
    assert not any(bare[f"{rule}_flagged"].item() for rule in RULES if f"{rule}_flagged" in bare.columns)
    assert set(bare.columns) >= {f"gate_{gate}" for gate in GATES}
