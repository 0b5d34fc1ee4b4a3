"""Inference on fixed effects: degrees of freedom, robust covariance, contrasts, bands, joint tests.

reference/satterthwaite_reference.csv is made by reference/satterthwaite_reference.R: lmerTest's algorithm on lme4.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from scipy.stats import f as fisher
from scipy.stats import f_oneway
from scipy.stats import t as student

from ircohort import lmm
from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.lmm import bootstrap, fit, fit_censored, fit_joint, fit_with_fallback, predict
from ircohort.lmm.design import build_design
from ircohort.lmm.formula import parse_formula
from ircohort.lmm.inference.contrasts import band, contrasts, percent_per_unit
from ircohort.lmm.inference.freedom import satterthwaite, variance_information
from ircohort.lmm.inference.robust import hotelling_freedom, robust_covariance, robust_freedom, sandwich
from ircohort.lmm.inference.simultaneous import simultaneous_quantile
from ircohort.lmm.inference.wald import term_tests, wald_test

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "lmm_data.csv", schema_overrides={"years": pl.Float64})
EXPECTED = pl.read_csv(
    REFERENCE / "satterthwaite_reference.csv", infer_schema_length=None, schema_overrides={"reml": pl.String}
)
SLOPE = "y ~ years + (1 + years | participant_id)"
COVARIATES = "y ~ years * progressor + age + (1 + years | participant_id)"
INFINITE = float("inf")


def data(name: str) -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name)


def cohort(seed: int, visits: list[int], *, groups: int = 1, slope: float = 0.1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(len(visits)), visits)
    years = np.concatenate([np.arange(float(k)) for k in visits])
    level, change = 0.5 * random.normal(size=len(visits)), slope * random.normal(size=len(visits))
    y = 1 + 0.1 * years + level[person] + change[person] * years + random.normal(0, 0.3, len(person))
    group = [f"g{k % groups}" for k in person]
    return pl.DataFrame({"participant_id": [f"p{k:02d}" for k in person], "years": years, "y": y, "group": group})


@pytest.fixture(scope="module")
def unbalanced():
    return fit(COVARIATES, data("unbalanced"))


# --- degrees of freedom -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "formula", "reml"), EXPECTED.select("dataset", "formula", "reml").unique(maintain_order=True).rows()
)
def test_degrees_of_freedom_and_f_are_those_of_lmertest(dataset, formula, reml):
    here = (pl.col("dataset") == dataset) & (pl.col("formula") == formula) & (pl.col("reml") == reml)
    expected = EXPECTED.filter(here)
    result = fit(formula, data(dataset), reml=reml == "TRUE")
    df = expected.filter(pl.col("quantity") == "df")["value"].to_numpy()
    identity = np.eye(len(df))
    # lme4 is differentiated by differences there, exactly here.
    np.testing.assert_allclose(satterthwaite(result, identity), df, rtol=5e-6)
    test = wald_test(result, identity[1:])
    for quantity in ("F", "df2"):
        np.testing.assert_allclose(
            test[quantity].item(), expected.filter(pl.col("quantity") == quantity)["value"].item(), rtol=5e-6
        )
    assert (variance_information(result).null_directions > 0) == expected["singular"].any()


def test_in_a_balanced_design_each_person_counts_once():
    result = fit(SLOPE, cohort(1, [6] * 15))
    np.testing.assert_allclose(satterthwaite(result, np.eye(2)), [14, 14], rtol=1e-6)


def test_with_a_random_level_only_the_slope_has_the_degrees_of_freedom_within_people():
    result = fit("y ~ years + (1 | participant_id)", cohort(1, [6] * 15))
    np.testing.assert_allclose(satterthwaite(result, [0, 1]), [15 * 5 - 1], rtol=1e-6)


def test_degrees_of_freedom_with_three_random_effects_are_those_of_a_dense_computation():
    formula = "y ~ years + group + (1 + years + x | participant_id)"
    frame = cohort(3, [4, 5, 6, 7] * 5, groups=2, slope=0.3)
    x = np.random.default_rng(4).normal(size=len(frame))
    extra = 0.6 * np.random.default_rng(5).normal(size=20)
    people = frame["participant_id"].rank("dense").to_numpy() - 1
    frame = frame.with_columns(x=x, y=frame["y"] + extra[people] * x)
    result = fit(formula, frame)
    assert not result.at_boundary
    rows, columns = np.tril_indices(3)
    at = np.append(result.random_covariance[rows, columns], result.residual_variance)
    dense = Dense(result, frame)

    def spread(parameters):
        G = np.zeros((3, 3))
        G[rows, columns] = G[columns, rows] = parameters[:-1]
        return dense.with_covariance(G, parameters[-1])

    C = np.eye(3)
    covariance, _ = spread(at)
    steps = np.diag(
        3e-4 * np.append(np.sqrt(np.outer(*[np.diag(result.random_covariance)] * 2))[rows, columns], at[-1])
    )
    lengths = np.diag(steps)
    slopes = [(spread(at + s)[0] - spread(at - s)[0]) / (2 * s.sum()) for s in steps]
    H = np.array(
        [
            [
                spread(at + s + u)[1] - spread(at + s - u)[1] - spread(at - s + u)[1] + spread(at - s - u)[1]
                for u in steps
            ]
            for s in steps
        ]
    ) / (4 * np.outer(lengths, lengths))
    gradient = np.array([np.diag(C @ slope @ C.T) for slope in slopes])
    expected = np.diag(covariance) ** 2 / np.einsum("tk,tu,uk->k", gradient, np.linalg.inv(H), gradient)
    np.testing.assert_allclose(satterthwaite(result, C), expected, rtol=1e-3)  # second differences


def test_at_the_boundary_the_result_says_what_was_taken_out():
    result = fit("y ~ years + age + (1 | participant_id)", data("nobody_differs"))
    table = contrasts(result, [0, 1, 0])
    assert table["df_method"].item() == "Satterthwaite, one direction without variance taken out"
    assert table["df"].item() == pytest.approx(len(data("nobody_differs")) - 3)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(unit=st.sampled_from([1e-3, 1 / 365.25, 12.0, 1e4]), start=st.floats(-20, 20), seed=st.integers(0, 5))
def test_the_unit_and_the_origin_of_time_do_not_change_the_inference_on_a_slope(unit, start, seed):
    frame = cohort(seed, [3, 4, 5, 6] * 4)
    moved = frame.with_columns(years=pl.col("years") * unit + start * unit)
    one, other = fit(SLOPE, frame), fit(SLOPE, moved)
    for kind in ("model", "CR2"):
        here, there = contrasts(one, [0, 1], covariance=kind), contrasts(other, [0, 1], covariance=kind)
        for name in ("df", "t", "p_value"):
            np.testing.assert_allclose(here[name].item(), there[name].item(), rtol=1e-9)


# --- robust covariance ------------------------------------------------------------------------------------------


class Dense:
    """The textbook formulas with every matrix written out."""

    def __init__(self, result, frame):
        design = build_design(parse_formula(result.formula), frame)
        self.X, self.Z, self.y = design.X, design.Z, design.y
        ends = np.append(design.starts[1:], len(design.y))
        self.people = [slice(a, b) for a, b in zip(design.starts, ends, strict=True)]
        self.V = self.variance(result.random_covariance, result.residual_variance)

    def variance(self, G, s2):
        return block_diag(*[s2 * np.eye(i.stop - i.start) + self.Z[i] @ G @ self.Z[i].T for i in self.people])

    def with_covariance(self, G, s2):
        V = self.variance(G, s2)
        XW = np.linalg.solve(V, self.X).T
        M = np.linalg.inv(XW @ self.X)
        r = self.y - self.X @ (M @ XW @ self.y)
        return M, np.linalg.slogdet(V)[1] - np.linalg.slogdet(M)[1] + r @ np.linalg.solve(V, r)

    def robust(self, kind, weights=None):
        """Give the covariance and, for each participant, the coefficients of its share of the estimates, (n, N, p)."""
        w = np.ones(len(self.people)) if weights is None else weights
        W = block_diag(*[one * np.linalg.inv(self.V[i, i]) for one, i in zip(w, self.people, strict=True)])
        M = np.linalg.inv(self.X.T @ W @ self.X)
        left = np.eye(len(self.y)) - self.X @ M @ self.X.T @ W
        spread, residual = left @ self.V @ left.T, left @ self.y
        shares, meat = [], np.zeros_like(M)
        for i in self.people:
            root = np.linalg.cholesky(self.V[i, i]).T
            A = (
                root.T @ inverse_root(root @ spread[i, i] @ root.T) @ root
                if kind == "CR2"
                else np.eye(i.stop - i.start)
            )
            score = self.X[i].T @ W[i, i] @ A @ residual[i]
            meat += np.outer(score, score)
            shares.append(left[i].T @ A.T @ W[i, i] @ self.X[i] @ M)
        n = len(self.people)
        return M @ meat @ M * (n / (n - 1) if kind == "CR1" else 1), np.array(shares)

    def freedom(self, shares, C):
        P = shares @ C.T
        root = np.linalg.cholesky(np.linalg.inv(np.einsum("iak,ab,ibl->kl", P, self.V, P)))
        G = np.einsum("iak,ab,jbl->ijkl", P @ root, self.V, P @ root, optimize=True)
        variance = np.einsum("ijss,ijtt->st", G, G) + np.einsum("ijst,ijts->st", G, G)
        return len(C) * (len(C) + 1) / variance.sum()


def inverse_root(S):
    values, vectors = np.linalg.eigh(S)
    kept = values > 1e-10 * values[-1]
    return (vectors[:, kept] * values[kept] ** -0.5) @ vectors[:, kept].T


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2"])
@pytest.mark.parametrize("weighted", [False, True])
def test_robust_covariance_and_its_degrees_of_freedom_are_those_of_the_written_out_formulas(kind, weighted):
    frame = data("unbalanced").filter(pl.col("participant_id") < "u20")
    weights = np.random.default_rng(1).integers(1, 6, size=frame["participant_id"].n_unique()) / 2.0
    position = frame["participant_id"].rank("dense").to_numpy() - 1
    frame = frame.with_columns(w=weights[position])
    kwargs = {"weights": "w", "weights_kind": "sampling"} if weighted else {}
    result = fit(COVARIATES, frame, **kwargs)
    dense = Dense(result, frame)
    covariance, shares = dense.robust(kind, weights if weighted else None)
    np.testing.assert_allclose(robust_covariance(result, kind), covariance, rtol=1e-9)
    identity = np.eye(5)
    expected = [dense.freedom(shares, row[None, :]) for row in identity]
    np.testing.assert_allclose(robust_freedom(sandwich(result, kind), identity), expected, rtol=1e-9)
    joint = identity[[1, 4]]
    assert hotelling_freedom(sandwich(result, kind), joint) == pytest.approx(dense.freedom(shares, joint), rel=1e-9)


def test_a_column_of_one_participants_own_is_handled():
    frame = cohort(2, [4] * 10).with_columns(own=(pl.col("participant_id") == "p03").cast(pl.Float64))
    result = fit("y ~ years + own + (1 | participant_id)", frame)
    covariance, _ = Dense(result, frame).robust("CR2")
    np.testing.assert_allclose(robust_covariance(result, "CR2"), covariance, rtol=1e-7, atol=1e-12)


def test_without_differences_between_people_the_robust_covariance_is_that_of_least_squares_by_clusters():
    frame = data("nobody_differs")
    result = fit("y ~ years + age + (1 | participant_id)", frame)
    X = np.column_stack([np.ones(len(frame)), frame["years"], frame["age"]])
    groups = frame["participant_id"].rank("dense").to_numpy().astype(int)
    clustered = {"groups": groups, "use_correction": False}
    expected = sm.OLS(frame["y"].to_numpy(), X).fit(cov_type="cluster", cov_kwds=clustered).cov_params()
    np.testing.assert_allclose(robust_covariance(result, "CR0"), expected, rtol=1e-8)


@pytest.mark.parametrize("covariance", ["model", "CR1", "CR2"])
def test_frequency_weights_are_replicated_participants(covariance):
    frame = cohort(5, [3, 4, 5] * 5)
    times = {f"p{k:02d}": 1 + k % 3 for k in range(15)}
    weighted = frame.with_columns(w=pl.col("participant_id").replace_strict(times, return_dtype=pl.Float64))
    copies = [
        frame.filter(pl.col("participant_id").is_in([name for name, count in times.items() if count > k])).with_columns(
            participant_id=pl.col("participant_id") + f"-{k}"
        )
        for k in range(3)
    ]
    one = fit(SLOPE, weighted, weights="w", weights_kind="frequency")
    other = fit(SLOPE, pl.concat(copies))
    for test in (
        lambda of: contrasts(of, np.eye(2), covariance=covariance),
        lambda of: wald_test(of, np.eye(2), covariance=covariance),
    ):
        here, there = (test(of).select(pl.selectors.float()).to_numpy() for of in (one, other))
        np.testing.assert_allclose(here, there, rtol=1e-6)


def test_sampling_weights_admit_only_a_robust_covariance():
    frame = cohort(5, [3, 4, 5] * 5).with_columns(w=pl.lit(2.5))
    result = fit(SLOPE, frame, weights="w", weights_kind="sampling")
    for refused in (
        lambda: contrasts(result, [0, 1]),
        lambda: satterthwaite(result, [0, 1]),
        lambda: term_tests(result),
    ):
        with pytest.raises(UsageError, match="cluster-robust"):
            refused()
    plain = fit(SLOPE, frame)
    here, there = (contrasts(of, [0, 1], covariance="CR2")["high"].item() for of in (result, plain))
    assert here == pytest.approx(there, rel=1e-6)


# --- contrasts --------------------------------------------------------------------------------------------------


def test_a_contrast_is_estimate_standard_error_and_students_t(unbalanced):
    table = contrasts(unbalanced, {"slope of progressors": {"years": 1, "years:progressor": 1}}, level=0.9)
    c = np.array([0, 1.0, 0, 0, 1]) if unbalanced.fixed_names[4] == "years:progressor" else None
    estimate, error = c @ unbalanced.coefficients, np.sqrt(c @ unbalanced.fixed_covariance @ c)
    df = satterthwaite(unbalanced, c).item()
    half = student.ppf(0.95, df) * error
    expected = [estimate, error, df, estimate - half, estimate + half, estimate / error]
    found = table.select("estimate", "standard_error", "df", "low", "high", "t").row(0)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert table["p_value"].item() == pytest.approx(2 * student.sf(abs(estimate / error), df), rel=1e-9)
    assert table["contrast"].to_list() == ["slope of progressors"]


def test_normal_limits_are_those_of_the_table_of_fixed_effects(unbalanced):
    table = contrasts(unbalanced, np.eye(5), names=unbalanced.fixed_names, freedom="normal")
    for name in ("estimate", "standard_error", "low", "high", "p_value"):
        np.testing.assert_allclose(table[name], unbalanced.fixed[name], rtol=1e-10)
    assert table["df"].is_infinite().all()


def test_a_contrast_without_variance_has_limits_but_no_test(unbalanced):
    table = contrasts(unbalanced, np.zeros((1, 5)), simultaneous=True)
    assert table.select("estimate", "low", "high", "high_simultaneous").row(0) == (0, 0, 0, 0)
    assert table.select("df", "t", "p_value").row(0) == (None, None, None)


# Levels by R: mvtnorm::pmvt(rep(-c, k), rep(c, k), df, corr = R, algorithm = GenzBretz(maxpts = 3e5, abseps = 1e-5)),
# version 1.1.3; R is 0.6^abs(outer(1:4, 1:4, "-")), diag(6), and 0.3 + 0.7 * diag(8).
@pytest.mark.parametrize(
    ("correlation", "df", "c", "level"),
    [
        (0.6 ** abs(np.subtract.outer(range(4), range(4))), INFINITE, 2.4417, 0.950061),
        (0.6 ** abs(np.subtract.outer(range(4), range(4))), 10, 2.8915, 0.950071),
        (0.6 ** abs(np.subtract.outer(range(4), range(4))), 3, 4.538, 0.950030),
        (np.eye(6), 15, 2.995, 0.950109),
        (0.3 + 0.7 * np.eye(8), 20, 2.975, 0.949569),
        (0.3 + 0.7 * np.eye(8), 20, 3.705, 0.989902),
    ],
)
def test_simultaneous_quantiles_are_those_of_the_multivariate_t(correlation, df, c, level):
    quantile, error = simultaneous_quantile(np.linalg.cholesky(correlation), freedom=df, level=level)
    assert error < 0.0025
    assert quantile == pytest.approx(c, abs=0.004)  # four standard errors


def test_one_contrast_said_twice_is_one_contrast(unbalanced):
    table = contrasts(unbalanced, [[0, 1, 0, 0, 0], [0, -2, 0, 0, 0]], simultaneous=True)
    np.testing.assert_allclose(table["high_simultaneous"], table["high"], rtol=1e-9)


def test_simultaneous_limits_lie_between_pointwise_and_scheffe(unbalanced):
    times = pl.DataFrame({"years": np.linspace(0, 6, 13), "progressor": 1, "age": 50.0})
    table = band(unbalanced, times)
    half, wide = table["high"] - table["estimate"], table["high_simultaneous"] - table["estimate"]
    assert (wide > half).all()
    df = table["df"].to_numpy()
    scheffe = np.sqrt(2 * fisher.ppf(0.95, 2, df.min())) * table["standard_error"].to_numpy()
    assert (wide.to_numpy() < 1.001 * scheffe).all()
    assert table.equals(band(unbalanced, times))


def test_simultaneous_limits_cover_every_contrast_at_once():
    random = np.random.default_rng(8)
    A = random.normal(size=(6, 3))
    A /= np.linalg.norm(A, axis=1, keepdims=True)
    quantile, _ = simultaneous_quantile(A, freedom=9, level=0.9)
    t = random.normal(size=(200_000, 3)) @ A.T / np.sqrt(random.chisquare(9, size=200_000) / 9)[:, None]
    assert (np.abs(t).max(axis=1) < quantile).mean() == pytest.approx(0.9, abs=0.003)  # 4.5 SE


# --- bands ------------------------------------------------------------------------------------------------------


def test_a_band_is_the_contrast_of_each_row_and_keeps_the_table(unbalanced):
    frame = pl.DataFrame({"label": ["a", "b", "c"], "years": [0.0, None, 4.0], "progressor": [0, 1, 1], "age": 50.0})
    table = band(unbalanced, frame)
    assert table.columns[:4] == frame.columns
    assert table.row(1)[4:] == (None,) * 7
    expected = contrasts(unbalanced, [[1, 0, 0, 50, 0], [1, 4, 1, 50, 4]], simultaneous=True)
    for name in ("estimate", "standard_error", "df", "low", "high_simultaneous"):
        np.testing.assert_allclose(table[name].drop_nulls(), expected[name], rtol=1e-9)


def test_the_difference_of_two_groups_is_zero_where_they_are_the_same(unbalanced):
    frame = pd.DataFrame({"years": [0.0, 3.0], "progressor": [1, 1], "age": [50.0, 50.0]})
    table = band(unbalanced, frame, minus=frame.assign(years=0.0), covariance="CR1")
    assert isinstance(table, pd.DataFrame)
    assert table.loc[0, ["estimate", "low", "high_simultaneous"]].tolist() == [0, 0, 0]
    assert np.isnan(table.loc[0, "df"])
    assert table.loc[1, "estimate"] == pytest.approx(3 * (unbalanced.coefficients[[1, 4]].sum()))


def test_a_band_of_no_rows_is_empty(unbalanced):
    table = band(unbalanced, pl.DataFrame({"years": [], "progressor": [], "age": []}))
    assert table.height == 0
    assert "high_simultaneous" in table.columns


def test_a_log_outcome_can_be_read_as_ratio_and_as_percent_a_year():
    frame = data("balanced").with_columns(homa=pl.col("y").exp())
    result = fit("log(homa) ~ years + (1 + years | participant_id)", frame)
    late, early = pl.DataFrame({"years": [10.0]}), pl.DataFrame({"years": [0.0]})
    plain, ratio = band(result, late, minus=early), band(result, late, minus=early, exponentiate=True)
    change = percent_per_unit(result, "years", units=10)
    for name, there in (("estimate", "percent"), ("low", "low"), ("high", "high")):
        assert ratio[name].item() == pytest.approx(np.exp(plain[name].item()))
        assert change[there].item() == pytest.approx(100 * (ratio[name].item() - 1))
    assert change["df"].item() == pytest.approx(19, rel=1e-6)


# --- joint tests ------------------------------------------------------------------------------------------------


def test_groups_in_a_balanced_design_are_compared_as_their_peoples_means_would_be():
    frame = cohort(6, [5] * 18, groups=3, slope=0.0)
    result = fit("y ~ group + years + (1 | participant_id)", frame)
    assert not result.at_boundary
    means = frame.group_by("participant_id", "group", maintain_order=True).agg(pl.col("y").mean())
    F, p_value = f_oneway(*[part["y"] for _, part in means.group_by("group", maintain_order=True)])
    table = term_tests(result)
    assert table["term"].to_list() == ["group", "years"]
    np.testing.assert_allclose(table.select("F", "df1", "df2", "p_value").row(0), [F, 2, 15, p_value], rtol=1e-6)
    slope = contrasts(result, {"years": {"years": 1}})
    np.testing.assert_allclose(table["F"][1], slope["t"].item() ** 2, rtol=1e-9)
    np.testing.assert_allclose(table["p_value"][1], slope["p_value"].item(), rtol=1e-9)


def test_contrasts_that_repeat_others_are_not_counted_and_units_do_not_matter(unbalanced):
    C = np.eye(5)[[1, 4]]
    one = wald_test(unbalanced, C, covariance="CR2")
    other = wald_test(unbalanced, np.vstack([C * [[1e-6], [1e6]], C.sum(axis=0)]), covariance="CR2")
    np.testing.assert_allclose(one.row(0)[:4], other.row(0)[:4], rtol=1e-6)


def test_a_normal_joint_test_is_a_chi_square(unbalanced):
    C = np.eye(5)[[1, 4]]
    b, V = C @ unbalanced.coefficients, C @ unbalanced.fixed_covariance @ C.T
    test = wald_test(unbalanced, C, freedom="normal")
    assert test["F"].item() == pytest.approx(b @ np.linalg.solve(V, b) / 2)
    assert test["p_value"].item() == pytest.approx(fisher.sf(test["F"].item(), 2, 1e12), rel=1e-6)


def test_a_robust_joint_test_in_a_balanced_design_is_hotellings_t2_of_peoples_own_curves():
    frame = cohort(7, [6] * 9).with_columns(square=pl.col("years") ** 2)
    result = fit("y ~ years + square + (1 | participant_id)", frame)
    X = np.vander(np.arange(6.0), 3, increasing=True)
    own = np.linalg.lstsq(X, frame["y"].to_numpy().reshape(9, 6).T)[0][1:]
    T2 = own.mean(axis=1) @ np.linalg.solve(np.cov(own) / 9, own.mean(axis=1))
    expected = [T2 * (9 - 2) / (2 * (9 - 1)), 2, 9 - 2]
    test = wald_test(result, np.eye(3)[1:], covariance="CR1")
    np.testing.assert_allclose(test.select("F", "df1", "df2").row(0), expected, rtol=1e-7)
    assert test["p_value"].item() == pytest.approx(fisher.sf(*expected), rel=1e-6)


def test_too_few_people_for_a_robust_joint_test_give_no_answer():
    frame = cohort(7, [6] * 3).with_columns(x=pl.col("years") ** 2, z=pl.col("years") ** 3)
    result = fit("y ~ years + x + z + (1 | participant_id)", frame)
    assert wald_test(result, np.eye(4)[1:], covariance="CR1")["p_value"].item() is None
    frame = cohort(7, [4] * 7)
    person = frame["participant_id"].rank("dense").to_numpy() - 1
    # Each contrast rests on one person, nearly.
    near = {name: np.where(person == k, 9.0, np.where(person == 4, 0.1, 0.0)) for k, name in enumerate("abcd")}
    result = fit("y ~ a + b + c + d + (1 | participant_id)", frame.with_columns(**near))
    test = wald_test(result, np.eye(5)[1:], covariance="CR2")
    assert test.select("F", "df1", "df2").row(0) == (None, 4, None)


def test_a_joint_test_with_hardly_any_people_has_two_degrees_of_freedom():
    result = fit("y ~ group + years + (1 | participant_id)", cohort(4, [5] * 3, groups=2, slope=0.0))
    assert wald_test(result, np.eye(3)[1:])["df2"].item() == 2


def test_a_model_of_the_mean_only_has_no_terms_to_test():
    assert term_tests(fit("y ~ 1 + (1 | participant_id)", cohort(1, [4] * 8))).height == 0


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda of: contrasts(of, [[1, 0]]), "5 finite columns"),
        (lambda of: contrasts(of, np.full((1, 5), np.nan)), "missing or infinite"),
        (lambda of: contrasts(of, {"a": {"weight": 1}}), "no fixed effect weight"),
        (lambda of: contrasts(of, np.eye(5), names=["a"]), "1 names for 5"),
        (lambda of: contrasts(of, np.eye(5), covariance="HC3"), "HC3"),
        (lambda of: contrasts(of, np.eye(5), freedom="kenward"), "kenward"),
        (lambda of: contrasts(of, np.eye(5), level=95), "level is 95"),
        (lambda of: robust_covariance(of, "CR3"), "CR3"),
        (lambda of: wald_test(of, np.zeros((1, 5))), "zero throughout"),
        (lambda of: band(of, data("unbalanced"), minus=data("balanced")), "row for row"),
    ],
)
def test_what_cannot_be_meant_is_refused(unbalanced, ask, named):
    with pytest.raises(UsageError, match=named):
        ask(unbalanced)


def test_a_band_does_not_overwrite_a_column(unbalanced):
    with pytest.raises(ColumnError, match="already has a column low"):
        band(unbalanced, data("unbalanced").with_columns(low=0))


def test_percentages_are_refused_of_what_is_not_a_logarithm_or_has_no_unit(unbalanced):
    with pytest.raises(ModelError, match="not a logarithm"):
        percent_per_unit(unbalanced, "years")
    with pytest.raises(ModelError, match="not a logarithm"):
        band(unbalanced, data("unbalanced"), exponentiate=True)
    frame = data("balanced").with_columns(homa=pl.col("y").exp())
    curve = fit("log(homa) ~ bs(years, df=3) + (1 | participant_id)", frame)
    for term in ("Intercept", "bs(years, df=3)[1]"):
        with pytest.raises(UsageError, match="no change per unit"):
            percent_per_unit(curve, term)
    with pytest.raises(UsageError, match="no fixed effect"):
        percent_per_unit(curve, "age")


# --- what each function takes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bounded():
    rows = cohort(3, [4] * 30)
    below = pl.col("y") < 1.0
    rows = rows.with_columns(low=pl.lit(None, pl.Float64), high=pl.when(below).then(1.0), positive=pl.col("y").exp())
    rows = rows.with_columns(high_positive=pl.col("high").exp())
    plain = fit_censored("y ~ years + (1 | participant_id)", rows, lower="low", upper="high")
    logged = fit_censored("log(positive) ~ years + (1 | participant_id)", rows, lower="low", upper="high_positive")
    return plain, logged


@pytest.fixture(scope="module")
def joint():
    rows = cohort(3, [4] * 30).with_columns(other=pl.col("y") ** 2 + pl.col("years").sin())
    lines = "years + (1 | participant_id)"
    return fit_joint({"first": f"y ~ {lines}", "second": f"other ~ {lines}"}, rows)


def test_fits_with_bounds_or_of_several_outcomes_are_refused_by_name(bounded, joint):
    frame = pl.DataFrame({"participant_id": ["p00"], "years": [1.0]})
    functions = {
        "bootstrap": lambda one: bootstrap(one, n_refits=2),
        "bootstrap_intervals": lambda one: lmm.bootstrap_intervals(one, None),
        "gls_bootstrap": lambda one: lmm.gls_bootstrap(one, np.ones((1, 30))),
        "predict": lambda one: predict(one, frame),
        "likelihood_ratio_test": lambda one: lmm.likelihood_ratio_test(one, one),
        "satterthwaite": lambda one: satterthwaite(one, np.eye(2)),
        "icc": lambda one: lmm.icc(one, frame),
    }
    names = "posterior random_effects r_squared profile_intervals information_criteria residuals diagnostics"
    names = f"{names} robust_covariance term_tests"
    functions |= {name: getattr(lmm, name) for name in names.split()}
    for name, call in functions.items():
        for other, maker in ((bounded[0], "fit_censored"), (joint, "fit_joint"), (frame, "")):
            with pytest.raises(UsageError, match=rf"^{name} was given a {type(other).__name__}") as refusal:
                call(other)
            assert maker in refusal.value.next_step
    for name in ("correlations", "predict_joint"):
        with pytest.raises(UsageError, match=f"^{name} was given a CensoredFit"):
            getattr(lmm, name)(bounded[0], *([frame] if name == "predict_joint" else []))


def test_a_fit_with_bounds_has_normal_limits_from_its_observed_information(bounded):
    plain, logged = bounded
    found = contrasts(plain, {"after 2": {"Intercept": 1, "years": 2}})
    x = np.array([1.0, 2.0])
    assert found["standard_error"].item() == pytest.approx(np.sqrt(x @ plain.fixed_covariance @ x))
    assert found["df"].item() == INFINITE
    assert found["df_method"].item() == "normal"
    rows = pl.DataFrame({"years": [2.0]})
    assert band(plain, rows)["low"].item() == pytest.approx(found["low"].item())
    assert wald_test(plain, x)["F"].item() == pytest.approx(found["t"].item() ** 2)
    slope = logged.fixed.filter(pl.col("term") == "years")
    assert percent_per_unit(logged, "years")["low"].item() == pytest.approx(100 * (np.exp(slope["low"].item()) - 1))


def test_a_fit_of_several_outcomes_compares_their_terms(joint):
    found = contrasts(joint, {"difference": {("first", "years"): 1, ("second", "years"): -1}})
    x = np.array([0.0, 1.0, 0.0, -1.0])
    assert found["estimate"].item() == pytest.approx(x @ joint.coefficients)
    assert found["standard_error"].item() == pytest.approx(np.sqrt(x @ joint.fixed_covariance @ x))
    assert wald_test(joint, x)["df2"].item() == INFINITE
    with pytest.raises(UsageError, match="no fixed effect years"):
        contrasts(joint, {"one": {"years": 1}})
    with pytest.raises(UsageError, match="band was given a JointFit"):
        band(joint, pl.DataFrame({"years": [2.0]}))


@pytest.mark.parametrize("settings", [{"covariance": "CR2"}, {"freedom": "satterthwaite"}])
def test_what_only_a_mixed_model_fit_has_is_refused_by_name(settings, bounded, joint):
    for one in (bounded[0], joint):
        with pytest.raises(UsageError, match=next(iter(settings.values()))):
            contrasts(one, np.eye(len(one.coefficients)), **settings)


def test_a_text_is_no_contrast(unbalanced):
    with pytest.raises(UsageError, match="given as str"):
        contrasts(unbalanced, "years")
    with pytest.raises(UsageError, match="given as str"):
        contrasts(unbalanced, {"slope": "years"})


# --- least squares ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def least_squares():
    random = np.random.default_rng(1)
    x = np.repeat(random.normal(size=12) ** 3, 4)
    y = random.normal(size=48) * (1 + 2 * abs(x))
    years = np.tile(np.arange(4.0), 12)
    rows = pl.DataFrame({"participant_id": np.repeat(np.arange(12), 4), "years": years, "x": x, "y": y})
    found = fit_with_fallback("y ~ years + x + (1 + years | participant_id)", rows)
    assert found.engine == "ols"
    return found, rows


def test_least_squares_has_the_degrees_of_freedom_of_its_robust_covariance(least_squares):
    found, _ = least_squares
    model, robust = (contrasts(found, np.eye(3), covariance=kind) for kind in ("model", "CR1"))
    assert model.equals(robust)
    assert (model["df"] <= 12).all()
    np.testing.assert_allclose(model["standard_error"], np.sqrt(np.diagonal(found.fixed_covariance)))
    assert term_tests(found).equals(term_tests(found, covariance="CR1"))
    with pytest.raises(UsageError, match="satterthwaite was given a fit by ordinary least squares"):
        satterthwaite(found, np.eye(3))


def test_refits_of_least_squares_are_least_squares(least_squares):
    found, rows = least_squares
    refits = bootstrap(found, n_refits=3, seed=5)
    assert not refits.random_covariance.any()
    assert refits.at_boundary == refits.not_converged == 0
    drawn = lmm.draw_weights(12, 3, 5)[1]
    again = pl.concat(
        rows.filter(pl.col("participant_id") == k).with_columns(participant_id=pl.lit(f"{k} {copy}"))
        for k, often in enumerate(drawn)
        for copy in range(often)
    )
    X = again.select(pl.lit(1.0).alias("one"), "years", "x").to_numpy()
    ols = sm.OLS(again["y"].to_numpy(), X).fit()
    np.testing.assert_allclose(refits.coefficients[1], ols.params, rtol=1e-8)
    scores = X * ols.resid[:, None]
    people = [scores[again["participant_id"].to_numpy() == one].sum(axis=0) for one in again["participant_id"].unique()]
    bread = np.linalg.inv(X.T @ X)
    by_hand = 12 / 11 * bread @ np.array(people).T @ np.array(people) @ bread
    np.testing.assert_allclose(refits.standard_errors[1], np.sqrt(np.diagonal(by_hand)), rtol=1e-8)


def test_a_personal_curve_of_least_squares_is_that_of_the_population(least_squares):
    found, rows = least_squares
    personal, mean = (predict(found, rows, personal=choice).drop("known_person") for choice in (True, False))
    np.testing.assert_allclose(personal.to_numpy(), mean.to_numpy())


# --- logarithms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["log(2*positive)", "log(positive + 1)", "log(positive*positive)"])
def test_only_the_logarithm_of_a_column_is_taken_back(response):
    rows = cohort(5, [4] * 20).with_columns(positive=pl.col("y").exp())
    found = fit(f"{response} ~ years + (1 | participant_id)", rows)
    for call in (
        lambda: percent_per_unit(found, "years"),
        lambda: predict(found, rows, exponentiate=True),
        lambda: band(found, rows, exponentiate=True),
    ):
        with pytest.raises(ModelError, match="not the log of a column"):
            call()
    spaced = fit("log( positive ) ~ years + (1 | participant_id)", rows)
    assert percent_per_unit(spaced, "years").height == 1


def test_changes_by_name_are_contrasts_on_the_scale_of_percent():
    rows = cohort(5, [4] * 20, groups=2).with_columns(positive=pl.col("y").exp())
    found = fit("log(positive) ~ years * group + (1 | participant_id)", rows)
    changes = {"g0": {"years": 1}, "g1": {"years": 1, "years:group[T.g1]": 1}}
    table = percent_per_unit(found, changes, units=5)
    fivefold = contrasts(found, {name: {term: 5 * w for term, w in one.items()} for name, one in changes.items()})
    assert table["term"].to_list() == ["g0", "g1"]
    np.testing.assert_allclose(table["high"], 100 * (np.exp(fivefold["high"]) - 1))
    np.testing.assert_allclose(table["percent"][0], percent_per_unit(found, "years", units=5)["percent"].item())
    with pytest.raises(UsageError, match="Intercept is no change"):
        percent_per_unit(found, {"level": {"Intercept": 1}})


# --- refits -----------------------------------------------------------------------------------------------------


def test_refits_are_shown_in_two_lines_and_their_progress_only_if_asked_for(unbalanced, capfd):
    quiet = bootstrap(unbalanced, n_refits=3)
    assert "".join(capfd.readouterr()) == ""
    loud = bootstrap(unbalanced, n_refits=3, progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "refits" in captured.err
    np.testing.assert_array_equal(quiet.coefficients, loud.coefficients)
    assert repr(quiet).startswith("Bootstrap: 3 refits (seed 0); 0 failed")
