"""Residuals and diagnostics of a mixed model, against lme4, dense matrices and simulated errors.

reference/prediction_reference.csv is made by reference/prediction_reference.R.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.linalg import block_diag
from scipy.stats import chi2, kurtosis, norm, skew

from ircohort.errors import ColumnError, UsageError
from ircohort.lmm import design_matrix, fit, random_design_matrix
from ircohort.lmm.checks.diagnostics import diagnostics
from ircohort.lmm.checks.visit_residuals import RESIDUAL_COLUMNS, residuals
from ircohort.lmm.prediction.posterior import posterior

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "lmm_data.csv", schema_overrides={"years": pl.Float64})
LME4 = pl.read_csv(REFERENCE / "prediction_reference.csv", infer_schema_length=None)
CASES = LME4.select("dataset", "formula").unique().sort(pl.all()).rows()
SLOPE = "y ~ years + (1 + years | participant_id)"
COVARIATES = "y ~ years * progressor + age + (1 + years | participant_id)"


def data(name: str = "unbalanced") -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name).drop("dataset")


def simulated(seed: int, *, people: int = 60, visits: int = 8, rho: float = 0.0, slope: float = 0.1, shape=None):
    """Draw people with a level and a slope, and errors of SD 0.3 that are AR(1) from visit to visit."""
    random = np.random.default_rng(seed)
    e = random.normal(size=(people, visits)) if shape is None else shape(random, (people, visits))
    for visit in range(1, visits):
        e[:, visit] = rho * e[:, visit - 1] + np.sqrt(1 - rho**2) * e[:, visit]
    years = np.arange(float(visits))
    curve = 3 + random.normal(0, 0.5, (people, 1)) + random.normal(0.2, slope, (people, 1)) * years
    ids = [f"p{k:02d}" for k in range(people)]
    return pl.DataFrame(
        {
            "participant_id": np.repeat(ids, visits),
            "years": np.tile(years, people),
            "curve": curve.ravel(),
            "y": (curve + 0.3 * e).ravel(),
        }
    )


@pytest.fixture(scope="module")
def fitted():
    return fit(COVARIATES, data())


class Dense:
    """The same model with matrices over all rows, which are sorted by participant and years."""

    def __init__(self, found, visits: pl.DataFrame):
        self.visits = visits.sort("participant_id", "years")
        self.X = design_matrix(found, self.visits)
        Z = random_design_matrix(found, self.visits)
        indexed = self.visits.with_row_index()
        self.parts = indexed.group_by("participant_id", maintain_order=True).agg("index")["index"].to_list()
        self.blocks = [Z[part] for part in self.parts]
        self.s2, self.G = found.residual_variance, found.random_covariance
        self.V = self.covariance(self.G, self.s2)
        self.inverse = np.linalg.inv(self.V)
        self.y = self.visits["y"].to_numpy()
        XV = self.X.T @ self.inverse
        self.P = self.inverse - XV.T @ np.linalg.solve(XV @ self.X, XV)
        self.marginal = self.y - self.X @ found.coefficients
        self.neighbours = block_diag(*(np.eye(len(p), k=1) + np.eye(len(p), k=-1) for p in self.parts))

    def covariance(self, G, s2, rho=0.0):
        ar1 = (rho ** np.abs(np.subtract.outer(np.arange(len(Z)), np.arange(len(Z)))) for Z in self.blocks)
        return block_diag(*(Z @ G @ Z.T + s2 * R for Z, R in zip(self.blocks, ar1, strict=True)))

    def restricted_log_likelihood(self, rho):
        inverse = np.linalg.inv(self.covariance(self.G, self.s2, rho))
        A = self.X.T @ inverse @ self.X
        r = self.y - self.X @ np.linalg.solve(A, self.X.T @ inverse @ self.y)
        return 0.5 * (np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(A)[1] - r @ inverse @ r)


# --- residuals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "formula"), CASES)
def test_residuals_are_those_of_lme4(dataset, formula):
    visits = data(dataset)
    table = residuals(fit(formula, visits))
    first = visits.filter(pl.col("participant_id").is_first_distinct()).head(6)
    ours = first.join(table, on=["participant_id", "years"], maintain_order="left")
    for quantity, column in (("residual", "residual"), ("standardised", "standardised_residual")):
        theirs = LME4.filter(dataset=dataset, formula=formula, quantity=f"{quantity}_of_first_row")["value"]
        np.testing.assert_allclose(ours[column], theirs, atol=1e-6)


@pytest.mark.parametrize("formula", [COVARIATES, "y ~ age + years + (1 | participant_id)"])
def test_every_residual_is_that_of_dense_matrices(formula):
    found = fit(formula, data())
    dense, table = Dense(found, data()), residuals(found)
    assert table["years"].equals(dense.visits["years"])
    np.testing.assert_allclose(table["fitted_population"], dense.X @ found.coefficients, atol=1e-9)
    conditional = dense.s2 * dense.inverse @ dense.marginal
    np.testing.assert_allclose(table["residual"], conditional, atol=1e-9)
    np.testing.assert_allclose(table["fitted_personal"], dense.y - conditional, atol=1e-9)
    sds = dense.s2 * np.sqrt(np.diagonal(dense.P))
    np.testing.assert_allclose(table["standardised_residual"], conditional / sds, atol=1e-8)
    white = np.linalg.solve(np.linalg.cholesky(dense.V), dense.marginal)
    np.testing.assert_allclose(table["whitened_residual"], white, atol=1e-8)


def test_residuals_stand_beside_the_variables_of_the_model_in_the_kind_of_frame_given():
    visits = data().sample(fraction=1, shuffle=True, seed=3)
    table = residuals(fit(SLOPE, visits.to_pandas()))
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["participant_id", "y", "years", *RESIDUAL_COLUMNS]
    assert pl.from_pandas(table).equals(residuals(fit(SLOPE, data())))


def test_the_table_that_was_fitted_can_be_given_and_no_other(fitted):
    without = replace(fitted, rows=None)
    with pytest.raises(UsageError, match="does not hold the rows"):
        residuals(without)
    gaps = data().with_columns(y=pl.when(pl.int_range(pl.len()) > 3).then("y"))
    with pytest.raises(UsageError, match="158 complete visits"):
        residuals(without, gaps)
    extended = pl.concat([data(), data().head(2).with_columns(y=None), data().head(2).with_columns(age=None)])
    assert residuals(without, extended).equals(residuals(fitted))


def test_columns_and_times_that_do_not_fit_are_refused(fitted):
    visits = data().rename({"age": "residual"})
    with pytest.raises(ColumnError, match="already has a column residual"):
        residuals(fit("y ~ residual + (1 | participant_id)", visits))
    with pytest.raises(UsageError, match="time is 'site'"):
        diagnostics(fitted, time="site")


def test_the_time_is_found_in_the_random_part_or_else_where_people_change(fitted):
    assert diagnostics(fitted).time == "years"
    assert diagnostics(fit("y ~ age + years + (1 | participant_id)", data())).time == "years"
    assert diagnostics(fit("y ~ age + (1 | participant_id)", data())).time == ""
    assert diagnostics(fitted, time="age").time == "age"


# --- serial correlation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "visits"),
    [
        (COVARIATES, data()),
        ("y ~ years + (1 + years || participant_id)", data()),
        ("y ~ years + (1 | participant_id)", data("balanced")),
    ],
)
def test_the_score_test_is_that_of_dense_matrices(formula, visits):
    found = fit(formula, visits)
    dense = Dense(found, visits)
    step = 1e-4
    up, down = (dense.restricted_log_likelihood(sign * step) for sign in (1, -1))
    score = (up - down) / (2 * step)
    q = len(dense.G)
    units = [np.eye(q)[[j]].T @ np.eye(q)[[k]] for j in range(q) for k in range(j + 1) if j == k or "||" not in formula]
    changes = [dense.s2 * dense.neighbours, np.eye(len(dense.y))]
    changes += [block_diag(*(Z @ (E + E.T) @ Z.T for Z in dense.blocks)) for E in units]
    through = [dense.inverse @ change for change in changes]
    information = 0.5 * np.array([[np.sum(one * two.T) for two in through] for one in through])
    own, shared, rest = information[0, 0], information[0, 1:], information[1:, 1:]
    efficient = own - shared @ np.linalg.solve(rest, shared)
    test = diagnostics(found).tests.row(1, named=True)
    assert test["statistic"] == pytest.approx(score**2 / efficient, rel=1e-5)
    assert test["estimate"] == pytest.approx(score / efficient, rel=1e-5)
    assert test["p_value"] == pytest.approx(chi2.sf(test["statistic"], 1))


def test_independent_errors_are_seldom_called_serial_and_serial_ones_are_found():
    p_values = np.array([diagnostics(fit(SLOPE, simulated(seed))).tests["p_value"].to_list() for seed in range(100)])
    # Of 100 tests at 5 %, eleven or more have a probability of 1 %.
    assert (p_values < 0.05).sum(axis=0).max() <= 10
    estimates = []
    for seed in range(10):
        test = diagnostics(fit(SLOPE, simulated(seed, rho=0.3, visits=12))).tests.row(1, named=True)
        estimates.append(test["estimate"])
        assert test["p_value"] < 0.01
    assert np.mean(estimates) == pytest.approx(0.3, abs=0.06)


def test_the_boundary_does_not_stop_the_score_test():
    fits = [fit(SLOPE, simulated(seed, slope=0.0)) for seed in range(20)]
    on_it = [diagnostics(found).tests["p_value"][1] for found in fits if found.at_boundary]
    assert len(on_it) >= 5
    assert np.mean(np.array(on_it) < 0.05) < 0.3
    assert diagnostics(fit(SLOPE, simulated(1, slope=0.0, rho=0.4, visits=12))).tests["p_value"][1] < 1e-4


def test_frequency_weights_count_as_so_many_people_in_the_tests():
    visits = data().with_columns(times=pl.col("participant_id").str.slice(1).cast(pl.Int64) % 3 + 1)
    copies = pl.concat(
        visits.filter(pl.col("times") > k).with_columns(participant_id=pl.col("participant_id") + f"_{k}")
        for k in range(3)
    )
    weighted = diagnostics(fit(SLOPE, visits, weights="times", weights_kind="frequency")).tests
    copied = diagnostics(fit(SLOPE, copies)).tests
    np.testing.assert_allclose(weighted["statistic"], copied["statistic"], rtol=1e-6)
    np.testing.assert_allclose(weighted["estimate"], copied["estimate"], rtol=1e-6)


def test_with_sampling_weights_there_is_no_test():
    visits = data().with_columns(times=pl.col("participant_id").str.slice(1).cast(pl.Int64) % 3 + 1)
    found = diagnostics(fit(SLOPE, visits, weights="times", weights_kind="sampling"))
    assert found.tests["p_value"].to_list() == [None, None]
    assert "cannot be judged" in found.notes[-2]


def test_lags_and_semivariogram_are_sums_over_pairs(fitted):
    table, found = residuals(fitted), diagnostics(fitted)
    pairs = [
        (j - i, own["years"][j] - own["years"][i], own["whitened_residual"][i], own["whitened_residual"][j])
        for own in table.partition_by("participant_id", maintain_order=True)
        for i, j in combinations(range(own.height), 2)
    ]
    total = (table["whitened_residual"] ** 2).mean()
    for lag, count, _, apart, correlation in found.lags.iter_rows():
        here = [pair for pair in pairs if pair[0] == lag]
        assert count == len(here)
        assert apart == pytest.approx(np.mean([pair[1] for pair in here]))
        assert correlation == pytest.approx(np.mean([pair[2] * pair[3] for pair in here]) / total)
    assert found.semivariogram["pairs"].sum() == len(pairs)
    for low, high, count, semivariance in found.semivariogram.iter_rows():
        here = [0.5 * (a - b) ** 2 for _, apart, a, b in pairs if low < apart <= high + 1e-12]
        assert count == len(here)
        assert semivariance == pytest.approx(np.mean(here))


def test_serial_errors_show_in_lags_and_semivariogram():
    found = diagnostics(fit("y ~ years + (1 | participant_id)", simulated(2, rho=0.6, slope=0.0)))
    assert found.lags["correlation"][0] > 0.3
    assert found.semivariogram["semivariance"][0] < 0.7


# --- shape, spread and influence --------------------------------------------------------------------------------


def test_moments_and_quantiles_are_those_of_scipy(fitted):
    white, found = residuals(fitted)["whitened_residual"].to_numpy(), diagnostics(fitted)
    first = found.normality.row(0, named=True)
    assert first["n"] == len(white)
    assert first["skewness"] == pytest.approx(skew(white))
    assert first["excess_kurtosis"] == pytest.approx(kurtosis(white))
    quantiles = found.quantiles.filter(quantity="whitened_residual")
    np.testing.assert_allclose(quantiles["normal"], norm.ppf(quantiles["probability"]))
    np.testing.assert_allclose(quantiles["observed"], np.quantile(white, quantiles["probability"]))


def test_modes_are_held_against_the_sd_that_modes_should_have(fitted):
    known = posterior(fitted)
    expected = np.diagonal(fitted.random_covariance - known.prediction_error, axis1=1, axis2=2)
    found = diagnostics(fitted).normality.filter(pl.col("quantity") != "whitened_residual")
    z = known.modes / np.sqrt(expected)
    np.testing.assert_allclose(found["sd"], z.std(axis=0, ddof=1))
    np.testing.assert_allclose(found["skewness"], skew(z))


def test_a_skewed_outcome_is_told_and_its_logarithm_is_not():
    visits = simulated(4).with_columns(homa_ir=pl.col("y").exp())
    natural = diagnostics(fit("homa_ir ~ years + (1 + years | participant_id)", visits))
    logarithm = diagnostics(fit("log(homa_ir) ~ years + (1 + years | participant_id)", visits))
    assert "logarithm" in natural.notes[0]
    assert natural.tests["p_value"][0] < 0.01
    assert natural.spread["sd"][4] > 2 * natural.spread["sd"][0]
    assert "even that out" in natural.notes[-3]
    assert "about normally" in logarithm.notes[0]
    assert "even that out" not in logarithm.notes[-3]


def test_heavy_tails_are_told():
    visits = simulated(5, shape=lambda random, size: random.standard_t(3, size))
    note = diagnostics(fit(SLOPE, visits)).notes[0]
    assert "more extreme values" in note
    assert "logarithm" not in note


def test_the_spread_test_takes_people_as_units(fitted):
    table = residuals(fitted)
    square = table["standardised_residual"] ** 2
    away = table["fitted_personal"] - table["fitted_personal"].mean()
    score = table.select("participant_id", score=away * (square - square.mean()))
    by_person = score.group_by("participant_id").sum()["score"]
    statistic = by_person.sum() ** 2 / (by_person**2).sum()
    assert diagnostics(fitted).tests["statistic"][0] == pytest.approx(statistic)


def test_influence_is_what_generalised_least_squares_does_without_the_participant(fitted):
    dense, found = Dense(fitted, data()), diagnostics(fitted).influence
    ids = data()["participant_id"].unique().sort()
    assert found["cooks_distance"].is_sorted(descending=True)
    for k in (0, 7, 18):
        keep = np.setdiff1d(np.arange(len(dense.y)), dense.parts[k])
        X, inverse = dense.X[keep], dense.inverse[np.ix_(keep, keep)]
        b = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ dense.y[keep])
        moved = b - fitted.coefficients
        row = found.filter(pl.col("participant_id") == ids[k]).row(0, named=True)
        distance = moved @ np.linalg.solve(fitted.fixed_covariance, moved) / len(b)
        assert row["cooks_distance"] == pytest.approx(distance, rel=1e-8)
        shifts = moved / np.sqrt(np.diagonal(fitted.fixed_covariance))
        assert row["term"] == fitted.fixed_names[int(np.abs(shifts).argmax())]
        assert row["shift"] == pytest.approx(shifts[np.abs(shifts).argmax()], rel=1e-8)


def test_a_participant_without_whom_a_term_is_lost_comes_first():
    visits = data().with_columns(only=(pl.col("participant_id") == "u05").cast(pl.Int64))
    found = diagnostics(fit("y ~ years + only + (1 | participant_id)", visits))
    assert found.influence.row(0) == ("u05", 7, None, None, None)
    assert found.notes[-1] == "Without any one of 1 participants a term of the model cannot be estimated."


def test_notes_name_nobody_and_say_what_was_found(fitted):
    notes = diagnostics(fitted).notes
    assert len(notes) == 6
    assert not any(who in note for note in notes for who in data()["participant_id"].unique())
    assert notes[0].startswith("The readings scatter about normally")
    assert "score test for AR(1)" in notes[4]


def test_people_who_do_not_differ_leave_nothing_to_judge_of_their_differences():
    visits = data("nobody_differs").with_columns(y=pl.col("y") - pl.col("y").mean().over("participant_id"))
    found = diagnostics(fit("y ~ years + (1 | participant_id)", visits))
    assert found.normality.row(1) == ("Intercept", 0, None, None, None, None)
    assert "no variation to judge" in found.notes[1]


def test_two_visits_each_tell_nothing_of_serial_correlation_beside_a_slope():
    visits = simulated(6, visits=2)
    extra = simulated(7, visits=3, people=1).with_columns(participant_id=pl.lit("extra"))
    found = diagnostics(fit("y ~ years + (1 | participant_id)", visits))
    assert found.tests["p_value"][1] is None
    assert "cannot be judged" in found.notes[-2]
    assert diagnostics(fit("y ~ years + (1 | participant_id)", pl.concat([visits, extra]))).lags.height == 2


def test_with_frequency_weights_one_of_those_who_are_alike_is_left_out():
    rows = data().with_columns(w=1 + pl.col("participant_id").rank("dense").cast(pl.Int64) % 3)
    weighted = fit(SLOPE, rows, weights="w", weights_kind="frequency")
    copies = pl.concat(
        rows.filter(pl.col("w") > k).with_columns(
            pl.format("{} {}", "participant_id", pl.lit(k)).alias("participant_id")
        )
        for k in range(3)
    )
    each = diagnostics(fit(SLOPE, copies)).influence.filter(pl.col("participant_id").str.ends_with(" 0"))
    each = each.with_columns(pl.col("participant_id").str.strip_suffix(" 0")).sort("participant_id")
    ours = diagnostics(weighted).influence.sort("participant_id")
    np.testing.assert_allclose(ours["cooks_distance"], each["cooks_distance"], rtol=1e-5)
    np.testing.assert_allclose(ours["shift"], each["shift"], rtol=1e-5)


def test_a_logarithm_is_not_advised_where_there_is_one():
    rows = simulated(3, shape=lambda random, size: random.exponential(size=size) ** 2)
    rows = rows.with_columns(reading=pl.col("y").exp())
    plain, logged = (
        " ".join(diagnostics(fit(f"{response} ~ years + (1 | participant_id)", rows)).notes)
        for response in ("y", "log(reading)")
    )
    assert "a logarithm of the response" in plain
    assert "a logarithm of the response" not in logged


def test_diagnostics_are_shown_as_their_sentences(fitted):
    found = diagnostics(fitted)
    assert repr(found).splitlines()[:-1] == list(found.notes)
    assert found._repr_html_().count("<p>") == len(found.notes) + 1
