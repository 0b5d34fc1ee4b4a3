"""Predictions and random effects, against lme4, Henderson's equations and conditional normal distributions.

reference/prediction_reference.csv is made by reference/prediction_reference.R.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.lmm import design_matrix, fit, random_design_matrix
from ircohort.lmm.prediction.posterior import doubt, posterior, random_effects, terms_of_fit
from ircohort.lmm.prediction.predicting import predict

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "lmm_data.csv", schema_overrides={"years": pl.Float64})
LME4 = pl.read_csv(REFERENCE / "prediction_reference.csv", infer_schema_length=None)
COVARIATES = "y ~ years * progressor + age + (1 + years | participant_id)"
CASES = [(dataset, formula) for dataset, formula in LME4.select("dataset", "formula").unique().sort(pl.all()).rows()]


def data(name: str = "unbalanced") -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name).drop("dataset")


@pytest.fixture(scope="module")
def fitted():
    return fit(COVARIATES, data())


def henderson(found, visits: pl.DataFrame):
    """Solve the mixed model equations of all people at once: solution, and C, the inverse of their matrix."""
    X, Z = design_matrix(found, visits), random_design_matrix(found, visits)
    parts = visits.with_row_index().group_by("participant_id", maintain_order=True).agg("index")["index"].to_list()
    wide = block_diag(*(Z[part] for part in parts))
    W = np.hstack([X, wide])
    matrix = W.T @ W / found.residual_variance
    p = X.shape[1]
    matrix[p:, p:] += np.kron(np.eye(len(parts)), np.linalg.inv(found.random_covariance))
    C = np.linalg.inv(matrix)
    return C @ W.T @ visits["y"].to_numpy() / found.residual_variance, C, W


# --- against lme4 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "formula"), CASES)
def test_modes_and_their_sds_are_those_of_lme4(dataset, formula):
    theirs = LME4.filter(dataset=dataset, formula=formula).with_columns(
        effect=pl.col("term").str.replace("(Intercept)", "Intercept", literal=True)
    )
    ours = random_effects(fit(formula, data(dataset)))
    for column, quantity in (("mode", "mode"), ("sd", "mode_sd")):
        both = theirs.filter(quantity=quantity).join(ours, on=["participant_id", "effect"], maintain_order="left")
        assert both.height == theirs.filter(quantity=quantity).height
        np.testing.assert_allclose(both[column], both["value"], atol=1e-6)


@pytest.mark.parametrize(("dataset", "formula"), CASES)
def test_predictions_are_those_of_lme4(dataset, formula):
    visits = data(dataset)
    found = fit(formula, visits)
    ahead = visits.unique("participant_id", keep="first", maintain_order=True).head(6).with_columns(years=9.0)
    nobody = ahead.with_columns(participant_id=pl.lit("nobody"))
    for quantity, answer in {
        "personal_at_9": predict(found, ahead),
        "population_at_9": predict(found, ahead, personal=False),
        "stranger_at_9": predict(found, nobody),
    }.items():
        theirs = LME4.filter(dataset=dataset, formula=formula, quantity=quantity)["value"]
        np.testing.assert_allclose(answer["estimate"], theirs, atol=1e-6)


# --- against dense matrices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula",
    [
        COVARIATES,
        "y ~ years + (1 | participant_id)",
        "y ~ years + age + (1 + years || participant_id)",
        "y ~ poly(years, 2) + (poly(years, 2) | participant_id)",
    ],
)
def test_personal_curves_and_errors_solve_the_equations_of_henderson(formula):
    visits = data()
    found = fit(formula, visits)
    solution, C, W = henderson(found, visits)
    answer = predict(found, visits, variances="known")
    np.testing.assert_allclose(answer["estimate"], W @ solution, atol=1e-8)
    np.testing.assert_allclose(answer["standard_error"], np.sqrt(np.einsum("ij,jk,ik->i", W, C, W)), atol=1e-8)
    known = posterior(found)
    p, q = len(found.coefficients), len(found.random_names)
    np.testing.assert_allclose(known.modes.ravel(), solution[p:], atol=1e-8)
    blocks = np.stack([C[k : k + q, k : k + q] for k in range(p, len(C), q)])
    np.testing.assert_allclose(known.prediction_error, blocks, atol=1e-8)


def test_a_new_persons_history_gives_the_conditional_normal_distribution(fitted):
    visits = data().filter(pl.col("participant_id").is_in(["u05", "u07", "u01"]))
    others = fit(COVARIATES, data().filter(~pl.col("participant_id").is_in(["u05", "u07", "u01"])))
    ahead = visits.unique("participant_id", maintain_order=True).with_columns(years=pl.lit(8.5))
    answer = predict(others, ahead, history=visits, variances="known")
    G, s2, b = others.random_covariance, others.residual_variance, others.coefficients
    for row in range(ahead.height):
        own = visits.filter(pl.col("participant_id") == ahead["participant_id"][row])
        X, Z = design_matrix(others, own), random_design_matrix(others, own)
        x, z = design_matrix(others, ahead)[row], random_design_matrix(others, ahead)[row]
        V = Z @ G @ Z.T + s2 * np.eye(len(Z))
        pull = np.linalg.solve(V, Z @ G @ z)
        expected = x @ b + pull @ (own["y"].to_numpy() - X @ b)
        # The history did not inform b, which is independent of it.
        left = x - pull @ X
        variance = z @ G @ z - pull @ Z @ G @ z + left @ others.fixed_covariance @ left
        assert answer["estimate"][row] == pytest.approx(expected, abs=1e-8)
        assert answer["standard_error"][row] == pytest.approx(np.sqrt(variance), abs=1e-8)
    assert answer["known_person"].all()


def test_what_estimating_g_adds_is_the_delta_method_on_g():
    visits = data()
    found = fit("y ~ years + (1 + years | participant_id)", visits)
    X, Z = design_matrix(found, visits), random_design_matrix(found, visits)
    y, s2, G = visits["y"].to_numpy(), found.residual_variance, found.random_covariance
    residual = y - X @ found.coefficients
    parts = visits.with_row_index().group_by("participant_id", maintain_order=True).agg("index")["index"].to_list()

    def covariance(part, theta):
        a, b, c, s = theta
        return Z[part] @ np.array([[a, b], [b, c]]) @ Z[part].T + s * np.eye(len(part))

    theta = np.array([G[0, 0], G[0, 1], G[1, 1], s2])
    units = np.eye(4)
    information = np.zeros((4, 4))
    for part in parts:
        inverse = np.linalg.inv(covariance(part, theta))
        changes = [inverse @ covariance(part, unit) for unit in units]
        information += 0.5 * np.array([[np.trace(one @ two) for two in changes] for one in changes])
    information[3, 3] -= 0.5 * X.shape[1] / s2**2  # n - p visits tell of s2, not n
    spread = np.linalg.inv(information)
    who = 4
    part, z = parts[who], np.array([1.0, 8.0])

    def mode(theta):
        a, b, c, _ = theta
        weights = z @ np.array([[a, b], [b, c]]) @ Z[part].T @ np.linalg.inv(covariance(part, theta))
        return weights, weights @ residual[part]

    step = 1e-6
    differences = [(mode(theta + step * unit), mode(theta - step * unit)) for unit in units]
    by_theta = np.array([(up[1] - down[1]) / (2 * step) for up, down in differences])
    by_reading = np.array([(up[0] - down[0]) / (2 * step) for up, down in differences])
    V = covariance(part, theta)
    expected = by_theta @ spread @ by_theta + np.trace(by_reading @ V @ by_reading.T @ spread)
    row = visits[part[:1]].with_columns(years=8.0)
    with_it, without = (predict(found, row, variances=kind)["standard_error"][0] for kind in ("estimated", "known"))
    assert with_it**2 - without**2 == pytest.approx(expected, rel=1e-5)  # finite differences


def test_the_covariance_given_the_fixed_effects_is_that_of_bayes(fitted):
    visits = data()
    known = posterior(fitted, participants=["u05", "u01"])
    for k, who in enumerate(["u05", "u01"]):
        Z = random_design_matrix(fitted, visits.filter(pl.col("participant_id") == who))
        expected = np.linalg.inv(np.linalg.inv(fitted.random_covariance) + Z.T @ Z / fitted.residual_variance)
        np.testing.assert_allclose(known.covariance[k], expected, atol=1e-10)
    assert known.participant_ids.to_list() == ["u05", "u01"]


# --- what is predicted ------------------------------------------------------------------------------------------


def test_a_new_reading_adds_the_residual_variance(fitted):
    curve, reading = (predict(fitted, data(), target=target)["standard_error"] for target in ("curve", "reading"))
    np.testing.assert_allclose(reading**2 - curve**2, fitted.residual_variance)


def test_the_mean_of_the_population_has_the_error_of_the_fixed_effects(fitted):
    X = design_matrix(fitted, data())
    answer = predict(fitted, data().drop("participant_id"), personal=False)
    np.testing.assert_allclose(answer["estimate"], X @ fitted.coefficients)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", X, fitted.fixed_covariance, X))
    np.testing.assert_allclose(answer["standard_error"], expected)
    assert not answer["known_person"].any()


def test_a_stranger_and_any_reading_of_the_population_have_the_variation_of_people(fitted):
    visits = data().with_columns(participant_id=pl.lit("nobody"))
    Z = random_design_matrix(fitted, visits)
    mean = predict(fitted, visits, personal=False)["standard_error"] ** 2
    stranger = predict(fitted, visits)
    between = np.einsum("ij,jk,ik->i", Z, fitted.random_covariance, Z)
    np.testing.assert_allclose(stranger["standard_error"] ** 2, mean + between)
    reading = predict(fitted, visits, personal=False, target="reading")["standard_error"] ** 2
    np.testing.assert_allclose(reading, mean + between + fitted.residual_variance)
    assert not stranger["known_person"].any()


def test_the_interval_widens_with_its_level_and_is_normal(fitted):
    answer = predict(fitted, data(), level=0.8)
    half = 1.2815515655446004 * answer["standard_error"]  # R: qnorm(0.9)
    np.testing.assert_allclose(answer["high"], answer["estimate"] + half)
    np.testing.assert_allclose(answer["low"], answer["estimate"] - half)


def test_a_visit_of_history_narrows_the_prior_and_more_visits_narrow_it_further(fitted):
    visits = data().filter(pl.col("participant_id") == "u05").with_columns(participant_id=pl.lit("new"))
    errors = [predict(fitted, visits[:1], history=visits.head(k))["standard_error"][0] for k in range(len(visits) + 1)]
    known = predict(fitted, visits[:1], history=visits.head(0))["known_person"][0]
    assert known is False
    assert all(earlier > later for earlier, later in pairwise(errors))


def test_a_logarithm_is_taken_back_to_medians():
    visits = data().with_columns(homa_ir=pl.col("y").exp())
    found = fit("log(homa_ir) ~ years + (1 + years | participant_id)", visits)
    plain, natural = predict(found, visits), predict(found, visits, exponentiate=True)
    for name in ("estimate", "low", "high"):
        np.testing.assert_allclose(natural[name], np.exp(plain[name]))
    assert natural["standard_error"].equals(plain["standard_error"])
    again = predict(fit("y ~ years + (1 + years | participant_id)", visits), visits)
    np.testing.assert_allclose(plain["estimate"], again["estimate"], atol=1e-7)


def test_a_response_that_remembers_its_mean_remembers_that_of_the_fit():
    visits = data()
    plain, scaled = (fit(f"{y} ~ years + (1 | participant_id)", visits) for y in ("y", "center(y)"))
    new = visits.filter(pl.col("participant_id") == "u05").with_columns(participant_id=pl.lit("new"))
    first, second = (predict(found, new, history=new)["estimate"] for found in (plain, scaled))
    np.testing.assert_allclose(first - visits["y"].mean(), second, atol=1e-8)


# --- rows, people and refusals ----------------------------------------------------------------------------------


def test_rows_keep_their_order_and_columns_and_gaps_stay_in_place(fitted):
    visits = data().with_columns(note=pl.lit("kept")).sample(fraction=1, shuffle=True, seed=1)
    whole = predict(fitted, visits)
    gaps = visits.with_columns(
        age=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("age"),
        participant_id=pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise("participant_id"),
        years=pl.when(pl.int_range(pl.len()) == 7).then(float("nan")).otherwise("years"),
    )
    answer = predict(fitted, gaps)
    assert answer.columns == [*visits.columns, "estimate", "standard_error", "low", "high", "known_person"]
    for name in ("estimate", "standard_error", "low", "high"):
        assert np.flatnonzero(answer[name].is_null()).tolist() == [3, 5, 7]
    rest = ~answer["estimate"].is_null()
    assert answer["estimate"].filter(rest).to_list() == whole["estimate"].filter(rest).to_list()
    assert predict(fitted, gaps, personal=False)["estimate"][5] is not None


def test_a_pandas_frame_gives_a_pandas_frame_and_integers_survive_a_gap():
    visits = data().with_columns(participant_id=pl.col("participant_id").str.slice(1).cast(pl.Int64))
    found = fit("y ~ years + (1 | participant_id)", visits)
    frame = visits.head(4).to_pandas()
    frame["participant_id"] = [1.0, np.nan, 1.5, 999.0]
    answer = predict(found, frame)
    assert isinstance(answer, pd.DataFrame)
    assert answer["known_person"].tolist() == [True, False, False, False]
    assert answer["estimate"].isna().tolist() == [False, True, False, False]


def test_an_empty_table_gives_an_empty_table(fitted):
    assert predict(fitted, data().head(0)).height == 0
    assert predict(fitted, data().head(0), history=data().head(0)).height == 0
    assert random_effects(fitted, participants=[]).height == 0


def test_one_visit_in_the_fit_is_enough_for_a_personal_curve():
    visits = data()
    visits = visits.filter((pl.col("participant_id") != "u05") | pl.col("participant_id").is_first_distinct())
    found = fit(COVARIATES, visits)
    solution, _, W = henderson(found, visits)
    answer = predict(found, visits, variances="known")
    np.testing.assert_allclose(answer["estimate"], W @ solution, atol=1e-8)
    assert answer.filter(participant_id="u05")["known_person"].to_list() == [True]


def test_without_differences_between_people_all_have_the_curve_of_the_population():
    visits = data("nobody_differs").with_columns(y=pl.col("y") - pl.col("y").mean().over("participant_id"))
    found = fit("y ~ years + (1 | participant_id)", visits)
    assert found.at_boundary
    table = random_effects(found)
    assert (table["mode"].abs() < 1e-12).all()
    assert (table["sd"] < 1e-10).all()
    np.testing.assert_allclose(predict(found, visits)["estimate"], predict(found, visits, personal=False)["estimate"])
    # What was estimated as zero is left at zero: an addition for it makes intervals far too wide where it is so.
    errors = predict(found, visits)["standard_error"] / predict(found, visits, variances="known")["standard_error"]
    np.testing.assert_allclose(errors, 1.0)


def test_participants_come_in_the_order_asked_for(fitted):
    table = random_effects(fitted, participants=["u09", "u02"])
    assert table["participant_id"].to_list() == ["u09", "u09", "u02", "u02"]
    assert table["effect"].to_list() == ["Intercept", "years"] * 2
    assert (table["prediction_error_sd"] > table["sd"]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"level": 95}, UsageError, "level is 95"),
        ({"target": "mean"}, UsageError, '"curve" or "reading"'),
        ({"new_people": "drop"}, UsageError, '"population" or "refuse"'),
        ({"variances": "none"}, UsageError, '"estimated" or "known"'),
        ({"exponentiate": True}, ModelError, "not a logarithm"),
        ({"personal": False, "history": data()}, UsageError, "personal=True"),
        ({"history": data()}, UsageError, "36 people of the history were in the fit"),
        ({"history": data().drop("y")}, ColumnError, "no column y"),
        ({"history": data().drop("participant_id")}, ColumnError, "no column participant_id"),
    ],
)
def test_what_cannot_be_meant_is_refused(fitted, arguments, error, words):
    with pytest.raises(error, match=words):
        predict(fitted, data(), **arguments)


def test_people_and_columns_that_do_not_fit_are_refused(fitted):
    strangers = data().with_columns(participant_id=pl.lit("nobody"))
    with pytest.raises(UsageError, match="1 people of the table are not in the fit"):
        predict(fitted, strangers, new_people="refuse")
    assert predict(fitted, strangers, new_people="refuse", personal=False).height == strangers.height
    assert predict(fitted, strangers, new_people="refuse", history=strangers).height == strangers.height
    with pytest.raises(ColumnError, match="personal=False"):
        predict(fitted, data().drop("participant_id"))
    with pytest.raises(ColumnError, match="already has a column low"):
        predict(fitted, data().with_columns(low=0.0))
    with pytest.raises(ColumnError, match="Nobody would be found"):
        predict(fitted, data().with_columns(participant_id=pl.lit(1)))
    with pytest.raises(UsageError, match="2 of the participants asked for"):
        random_effects(fitted, participants=["u01", "x", "y"])


# --- properties -------------------------------------------------------------------------------------------------


@settings(max_examples=10, derandomize=True, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 100), st.floats(-50, 50))
def test_the_unit_of_time_and_the_order_of_rows_do_not_matter(seed, unit, start):
    visits = data()
    changed = visits.with_columns(years=pl.col("years") * unit + start).sample(fraction=1, shuffle=True, seed=seed)
    formula = "y ~ years + age + (1 + years | participant_id)"
    one, two = fit(formula, visits), fit(formula, changed)
    first = predict(one, visits, history=visits.head(0)).sort("participant_id", "y")
    second = predict(two, changed).sort("participant_id", "y")
    for name in ("estimate", "standard_error"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)


def test_intervals_of_personal_curves_hold_the_true_one_in_95_of_100_people():
    random = np.random.default_rng(5)
    inside = {"known": [], "estimated": []}
    for _ in range(60):
        people, times = 50, np.arange(4.0)
        u = random.multivariate_normal([0, 0], [[0.25, 0.015], [0.015, 0.01]], people)
        curve = (1 + u[:, :1] + (0.1 + u[:, 1:]) * times).ravel()
        visits = pl.DataFrame(
            {"participant_id": np.repeat(np.arange(people), 4), "years": np.tile(times, people), "curve": curve}
        ).with_columns(y=curve + random.normal(0, 0.3, len(curve)))
        found = fit("y ~ years + (1 + years | participant_id)", visits)
        for kind, shares in inside.items():
            answer = predict(found, visits, variances=kind)
            shares.append(answer["curve"].is_between(answer["low"], answer["high"]).mean())
    # 12,000 curves; the standard error of the share, over cohorts, is 0.004.
    assert np.mean(inside["known"]) < np.mean(inside["estimated"])
    assert 0.935 < np.mean(inside["estimated"]) < 0.965


# --- at the boundary --------------------------------------------------------------------------------------------


def flat_cohort(seed: int, slope: float = 0.0, people: int = 30) -> pl.DataFrame:
    """People who differ in level, and by ``slope`` in change, at five visits."""
    random = np.random.default_rng(seed)
    person, years = np.repeat(np.arange(people), 5), np.tile(np.arange(5.0), people)
    curve = 2 + random.normal(size=people)[person] + slope * random.normal(size=people)[person] * years
    y = curve + random.normal(size=len(years))
    return pl.DataFrame({"participant_id": person, "years": years, "curve": curve, "y": y})


def test_a_variance_estimated_as_zero_adds_nothing_to_personal_intervals():
    for seed in range(20):
        rows = flat_cohort(seed)
        larger = fit("y ~ years + (1 + years || participant_id)", rows)
        if larger.at_boundary:
            break
    level = fit("y ~ years + (1 | participant_id)", rows)
    wide, narrow = (predict(one, rows)["standard_error"].to_numpy() for one in (larger, level))
    np.testing.assert_allclose(wide, narrow, rtol=1e-3)
    alike = rows.with_columns(pl.col("y") - pl.col("y").mean().over("participant_id"))
    nobody = fit("y ~ years + (1 | participant_id)", alike)
    assert nobody.at_boundary
    assert not doubt(nobody, terms_of_fit(nobody, np.arange(30))).any()


@pytest.mark.parametrize(("slope", "ahead"), [(0.0, 0.0), (0.0, 3.0), (0.4, 0.0), (0.4, 3.0)])
def test_personal_intervals_hold_near_and_far_from_the_boundary(slope, ahead):
    shares = []
    for seed in range(40):
        rows = flat_cohort(seed, slope, people=50)
        found = fit("y ~ years + (1 + years | participant_id)", rows)
        then = rows.with_columns(pl.col("years") + ahead)
        change = rows.group_by("participant_id").agg(gain=(pl.col("curve").last() - pl.col("curve").first()) / 4)
        true = rows.join(change, on="participant_id", maintain_order="left")
        true = true["curve"] + ahead * true["gain"]
        table = predict(found, then)
        shares.append(((table["low"] <= true) & (true <= table["high"])).mean())
    assert 0.93 < np.mean(shares) < 0.97


def test_a_posterior_is_shown_without_its_arrays(fitted):
    assert repr(posterior(fitted)).startswith(f"Conditional modes of {fitted.participants} people: Intercept, years.")
