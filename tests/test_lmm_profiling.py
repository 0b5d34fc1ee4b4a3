"""Profile-likelihood intervals, against lme4 and against a likelihood of dense matrices.

reference/profile_reference.csv is made by reference/profile_reference.R from reference/lmm_data.csv.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.optimize import approx_fprime, minimize, minimize_scalar
from scipy.stats import norm

from ircohort.errors import ModelError, UsageError
from ircohort.lmm import design_matrix, fit, random_design_matrix
from ircohort.lmm.inference import profiling
from ircohort.lmm.inference.held import chart_correlation, chart_residual, chart_sd, evaluate
from ircohort.lmm.inference.profiling import profile_intervals

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "lmm_data.csv", schema_overrides={"years": pl.Float64})
EXPECTED = pl.read_csv(
    REFERENCE / "profile_reference.csv", infer_schema_length=None, schema_overrides={"reml": pl.String}
).filter(pl.col("quantity").is_in(["low", "high"]))
CASES = list(EXPECTED.select("dataset", "formula").unique(maintain_order=True).iter_rows())
SLOPE = "y ~ years + (1 + years | participant_id)"

STUCK = "sd_(Intercept)|participant_id"
"""On flat slopes lme4's search for this one sticks at correlations of 1: at its limits the likelihood is higher than it
finds (the roots of the rise are 0.73 and 1.82, not 1.96), and its other optimisers give other limits."""


def data(name: str) -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name)


def ours(term: str) -> str:
    plain = term.replace("(Intercept)", "Intercept").removesuffix("|participant_id")
    if plain.startswith("cor_"):
        return "correlation({1}, {0})".format(*plain[4:].split("."))
    return "sd(Residual)" if plain == "sigma" else f"sd({plain[3:]})" if plain.startswith("sd_") else plain


def row_of(table: pl.DataFrame, parameter: str) -> dict:
    return table.row(by_predicate=pl.col("parameter") == parameter, named=True)


@pytest.mark.parametrize(("dataset", "formula"), CASES)
def test_intervals_are_those_of_lme4(dataset, formula):
    found = profile_intervals(fit(formula, data(dataset), reml=False))
    wanted = EXPECTED.filter((pl.col("dataset") == dataset) & (pl.col("formula") == formula))
    wanted = wanted.pivot("quantity", index="term", values="value")
    assert found.height == wanted.height
    for term, low, high in wanted.select("term", "low", "high").iter_rows():
        if dataset == "flat_slopes" and "(1 + years |" in formula and term == STUCK:
            continue
        row = row_of(found, ours(term))
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-3 * (high - low)), term
        ends = {"sd": {0.0}, "correlation": {-1.0, 1.0}}.get(row["parameter"].split("(")[0], set())
        assert (row["low_at_limit"], row["high_at_limit"]) == (low in ends, high in ends)


# --- against dense matrices --------------------------------------------------------------------------------------


class Dense:
    """-2 log-likelihood from one covariance matrix per participant; s, standard deviations and arc sines given."""

    def __init__(self, found):
        groups = found.rows[found.basis.formula.group]
        X, Z = design_matrix(found, found.rows), random_design_matrix(found, found.rows)
        y = found.rows["y"].to_numpy()
        self.people = [(X[at], Z[at], y[at]) for at in (np.flatnonzero(groups == one) for one in groups.unique())]

    def __call__(self, G, s, held=None):
        p = self.people[0][0].shape[1]
        A, b, rest = np.zeros((p, p)), np.zeros(p), 0.0
        for X, Z, y in self.people:
            V = Z @ G @ Z.T + s**2 * np.eye(len(y))
            inverse = np.linalg.inv(V)
            A, b = A + X.T @ inverse @ X, b + X.T @ inverse @ y
            rest += y @ inverse @ y + np.linalg.slogdet(2 * np.pi * V)[1]
        estimate = np.linalg.solve(A, b)
        miss = 0.0
        if held is not None:
            miss = (held[1] - estimate[held[0]]) ** 2 / np.linalg.inv(A)[held[0], held[0]]
        return rest - b @ estimate + miss


def two_by_two(sd_1, sd_2, angle):
    off = sd_1 * sd_2 * np.sin(angle)
    return np.array([[sd_1**2, off], [off, sd_2**2]])


def lowest(function, starts):
    return min(minimize(function, start, method="BFGS", options={"gtol": 1e-3}).fun for start in starts)


def test_where_lme4_sticks_the_rise_is_the_quantile():
    found = fit(SLOPE, data("flat_slopes"), reml=False)
    dense = Dense(found)
    row = row_of(profile_intervals(found, parameters="sd(Intercept)"), "sd(Intercept)")
    for limit in (row["low"], row["high"]):

        def held(rest, limit=limit):
            return dense(two_by_two(limit, rest[0], rest[1]), np.exp(rest[2]))

        rise = lowest(held, [(0.03, angle, -1.0) for angle in (-1.2, 1.2)]) + 2 * found.log_likelihood
        assert np.sqrt(rise) == pytest.approx(norm.ppf(0.975), abs=1e-3)


def test_at_every_limit_a_dense_likelihood_has_risen_by_the_quantile():
    found = fit("y ~ years + (1 + years | participant_id)", data("unbalanced")[:90], reml=False)
    dense, table = Dense(found), profile_intervals(found, level=0.9)
    forms = {
        "sd(Intercept)": lambda x, r: dense(two_by_two(x, r[0], r[1]), np.exp(r[2])),
        "sd(years)": lambda x, r: dense(two_by_two(r[0], x, r[1]), np.exp(r[2])),
        "correlation(Intercept, years)": lambda x, r: dense(two_by_two(r[0], r[1], np.arcsin(x)), np.exp(r[2])),
        "sd(Residual)": lambda x, r: dense(two_by_two(*r), x),
        "years": lambda x, r: dense(two_by_two(*r[:3]), np.exp(r[3]), held=(1, x)),
    }
    starts = {
        "correlation(Intercept, years)": (0.4, 0.1, -1.3),
        "sd(Residual)": (0.4, 0.1, 0.0),
        "years": (0.4, 0.1, 0.0, -1.3),
        "sd(Intercept)": (0.1, 0.0, -1.3),
        "sd(years)": (0.4, 0.0, -1.3),
    }
    for name, form in forms.items():
        row = row_of(table, name)
        for limit in (row["low"], row["high"]):
            rise = lowest(lambda r, form=form, x=limit: form(x, r), [starts[name]]) + 2 * found.log_likelihood
            assert np.sqrt(rise) == pytest.approx(norm.ppf(0.95), abs=1e-3), name


def three_effects(seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(30), 6)
    years, x = np.tile(np.arange(6.0), 30), random.normal(size=180)
    u = random.multivariate_normal(np.zeros(3), [[0.3, 0.02, 0.05], [0.02, 0.02, 0.0], [0.05, 0.0, 0.1]], size=30)
    y = 1 + 0.1 * years + u[person, 0] + u[person, 1] * years + u[person, 2] * x + random.normal(0, 0.3, 180)
    return pl.DataFrame({"participant_id": person, "years": years, "x": x, "y": y})


@pytest.mark.parametrize("formula", ["y ~ years + (1 + years + x | participant_id)", "y ~ (1 + x || participant_id)"])
def test_slopes_along_all_coordinates_are_those_of_differences(formula):
    found = fit(formula, three_effects(1), reml=False)
    back, diagonal = np.linalg.inv(found.scaling.random), found.basis.formula.diagonal
    G = found.residual_variance * found.relative_factor @ found.relative_factor.T
    log_s = 0.5 * np.log(found.residual_variance)
    charts = [chart_residual(found.sums, G, log_s, diagonal=diagonal)]
    charts += [chart_sd(found.sums, back, G, log_s, j, diagonal=diagonal) for j in range(len(G))]
    charts += [] if diagonal else [chart_correlation(found.sums, back, G, log_s, (j, 2)) for j in range(2)]
    for chart in charts:
        assert evaluate(chart, chart.start)[0] == pytest.approx(-2 * found.log_likelihood, rel=1e-10)
        at = chart.start + 0.05
        numbers = approx_fprime(at, lambda moved, chart=chart: evaluate(chart, moved)[0], 1e-7)
        assert evaluate(chart, at)[1] == pytest.approx(numbers, rel=1e-4, abs=1e-3)


def test_three_correlated_effects_rise_by_the_quantile_with_every_parameter():
    found = fit("y ~ years + (1 + years + x | participant_id)", three_effects(2), reml=False)
    dense, table = Dense(found), profile_intervals(found, parameters=["correlation(Intercept, x)", "sd(x)"])
    sds, R = np.sqrt(np.diagonal(found.random_covariance)), np.linalg.cholesky(found.random_covariance)
    assert row_of(table, "sd(x)")["estimate"] == pytest.approx(sds[2], rel=1e-5)
    row = row_of(table, "sd(x)")

    def with_sd(rest, x):
        L = np.zeros((3, 3))
        L[np.tril_indices(3)] = rest[:6]
        G = L @ L.T
        scale = np.array([1, 1, x / np.sqrt(G[2, 2])])
        return dense(G * np.outer(scale, scale), np.exp(rest[6]))

    start = [*R[np.tril_indices(3)], np.log(found.residual_variance) / 2]
    gone = minimize(with_sd, start, args=(row["high"],), method="BFGS")
    assert np.sqrt(gone.fun + 2 * found.log_likelihood) == pytest.approx(norm.ppf(0.975), abs=2e-3)


def test_a_variance_of_zero_leaves_the_residual_its_own_interval():
    # lme4 is a little off here, for its search starts from a variance of zero and stays there.
    found = fit("y ~ years + age + (1 | participant_id)", data("nobody_differs"), reml=False)
    dense = Dense(found)
    row = row_of(profile_intervals(found, parameters="random"), "sd(Residual)")
    for limit in (row["low"], row["high"]):
        best = minimize_scalar(lambda sd, s=limit: dense(np.array([[sd**2]]), s), bounds=(0, 0.5), method="bounded")
        assert np.sqrt(best.fun + 2 * found.log_likelihood) == pytest.approx(norm.ppf(0.975), abs=1e-3)


# --- what is promised --------------------------------------------------------------------------------------------


def test_a_restricted_fit_is_profiled_by_its_full_likelihood():
    both = [profile_intervals(fit(SLOPE, data("unbalanced"), reml=reml)) for reml in (True, False)]
    for name in ("estimate", "low", "high"):
        assert both[0][name].to_list() == pytest.approx(both[1][name].to_list(), rel=1e-4)


def test_limits_beyond_the_data_are_marked_and_said():
    found = profile_intervals(fit(SLOPE, data("flat_slopes")))
    slope, correlation = row_of(found, "sd(years)"), row_of(found, "correlation(Intercept, years)")
    assert (slope["low"], slope["low_at_limit"], slope["high_at_limit"]) == (0.0, True, False)
    assert slope["note"] == "Zero is not ruled out."
    assert (correlation["low"], correlation["high"]) == (-1.0, 1.0)
    assert correlation["note"] == "No correlation is ruled out."
    assert row_of(found, "years")["note"] == ""


def test_a_correlation_with_a_variance_of_zero_has_no_estimate():
    # The same balanced times for all, and the slope of each person taken away: nobody's slope differs.
    apart = pl.col("years") - pl.col("years").mean()
    slope = (apart * pl.col("y")).sum() / (apart**2).sum()
    rows = three_effects(3).with_columns(y=pl.col("y") - (apart * slope).over("participant_id"), x=apart)
    found = profile_intervals(fit("y ~ 1 + (1 + x | participant_id)", rows))
    assert row_of(found, "sd(x)")["estimate"] == 0.0
    assert row_of(found, "correlation(Intercept, x)")["estimate"] is None
    assert row_of(found, "correlation(Intercept, x)")["note"] == "No correlation is ruled out."


def test_a_correlation_that_may_be_one_is_said_on_its_side():
    random = np.random.default_rng(4)
    person, years = np.repeat(np.arange(15), 5), np.tile(np.arange(5.0), 15)
    level = random.normal(size=15)[person]
    rows = pl.DataFrame({"participant_id": person, "years": years})
    for sign in (1, -1):
        y = level * (1 + sign * 0.3 * years) + np.random.default_rng(5).normal(0, 0.3, 75)
        found = profile_intervals(fit(SLOPE, rows.with_columns(y=pl.Series(y))), parameters="random")
        row = row_of(found, "correlation(Intercept, years)")
        assert (row["low_at_limit"], row["high_at_limit"]) == (sign < 0, sign > 0)
        assert row["note"] == f"A correlation of {sign} is not ruled out."
        assert abs(row["low"] if sign > 0 else row["high"]) < 1


def test_estimates_that_are_not_the_optimum_are_said(monkeypatch):
    monkeypatch.setattr(profiling, "_climbed", lambda sums, start, diagonal: profiling._optimum(sums, 0.7 * start))
    found = profile_intervals(fit(SLOPE, data("balanced"), reml=False), parameters="years")
    assert "higher likelihood" in found["note"][0]


def test_a_limit_that_is_not_found_is_null_and_said(monkeypatch):
    monkeypatch.setattr(profiling, "_STEPS", 1)
    found = profile_intervals(fit(SLOPE, data("balanced")), parameters="sd(years)")
    assert found.row(0)[2:4] == (None, None)
    assert found["note"][0] == "A limit was not found."


def test_a_trace_of_a_variance_is_no_obstacle():
    found = fit("y ~ years + (1 + years || participant_id)", data("flat_slopes"), reml=False)
    traced = replace(found, relative_factor=np.diag([found.relative_factor[0, 0], 4e-26]))
    both = [profile_intervals(one, parameters="random") for one in (found, traced)]
    assert both[0]["high"].to_list() == pytest.approx(both[1]["high"].to_list(), rel=1e-4)


def test_time_in_months_gives_the_same_intervals_in_months():
    rows = data("balanced").with_columns(months=12 * pl.col("years"))
    years = profile_intervals(fit(SLOPE, rows))
    months = profile_intervals(fit("y ~ months + (1 + months | participant_id)", rows))
    for name in ("low", "high"):
        for k, parameter in enumerate(years["parameter"]):
            per = 12 if parameter in ("years", "sd(years)") else 1
            assert months[name][k] * per == pytest.approx(years[name][k], rel=1e-4, abs=1e-6)


def test_frequency_weights_are_replicates():
    rows = data("unbalanced").with_columns(w=1 + pl.col("progressor"))
    again = rows.filter(pl.col("progressor") == 1).with_columns(participant_id=pl.col("participant_id") + "again")
    weighted = profile_intervals(fit(SLOPE, rows, weights="w", weights_kind="frequency"))
    copied = profile_intervals(fit(SLOPE, pl.concat([rows, again])))
    for name in ("estimate", "low", "high"):
        assert weighted[name].to_list() == pytest.approx(copied[name].to_list(), rel=1e-6)


def test_a_higher_level_is_wider():
    found = fit("y ~ 1 + (1 | participant_id)", data("balanced"))
    narrow, wide = (profile_intervals(found, level=level) for level in (0.8, 0.99))
    assert (wide["low"] < narrow["low"]).all()
    assert (wide["high"] > narrow["high"]).all()


def test_parameters_are_chosen_by_name_or_by_part():
    found = fit(SLOPE, data("balanced").to_pandas())
    table = profile_intervals(found, parameters="fixed")
    assert isinstance(table, pd.DataFrame)
    assert table["parameter"].tolist() == ["Intercept", "years"]
    random = ["sd(Intercept)", "sd(years)", "correlation(Intercept, years)", "sd(Residual)"]
    assert profile_intervals(found, parameters="random")["parameter"].tolist() == random
    assert profile_intervals(found, parameters=["years"])["parameter"].tolist() == ["years"]
    with pytest.raises(UsageError, match=r"no parameter sd\(age\)"):
        profile_intervals(found, parameters=["years", "sd(age)"])


def test_what_cannot_be_profiled_is_refused():
    rows = data("balanced").with_columns(w=1.0 + pl.col("progressor"))
    found = fit(SLOPE, rows)
    with pytest.raises(UsageError, match="The level is 95"):
        profile_intervals(found, level=95)
    with pytest.raises(ModelError, match="no random part"):
        profile_intervals(replace(found, engine="ols"))
    with pytest.raises(ModelError, match="pseudo-likelihood"):
        profile_intervals(fit(SLOPE, rows, weights="w", weights_kind="sampling"))
