"""Joint models of two and three outcomes: against nlme, a dense likelihood, and what must hold of any fit.

reference/joint_data.csv and reference/joint_reference.csv are made by reference/joint_reference.R.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ircohort.errors import ColumnError, FormulaError, ModelError, UsageError
from ircohort.lmm.joint import JointFit, correlations, fit_joint, predict_joint
from ircohort.lmm.joint.parameters import lay_out, unpack
from ircohort.lmm.joint.search import Surface, search

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "joint_data.csv", infer_schema_length=None)
EXPECTED = pl.read_csv(REFERENCE / "joint_reference.csv", infer_schema_length=None)
SLOPE = "y{} ~ years + age + (1 + years | participant_id)"
TWO = {"first": SLOPE.format(1), "second": SLOPE.format(2)}
LEVEL = {"first": "y1 ~ years + (1 | participant_id)", "second": "y2 ~ years + (1 | participant_id)"}


def data(name: str) -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name)


def cohort(seed: int = 0, people: int = 25, visits: int = 4, level: float = 0.6, noise: float = 0.3) -> pl.DataFrame:
    """Two outcomes whose levels (correlation 0.7) and readings in one draw (0.5) go together; no slopes."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), visits)
    u = level * random.normal(size=(people, 2)) @ np.array([[1.0, 0.7], [0.0, np.sqrt(0.51)]])
    e = noise * random.normal(size=(len(person), 2)) @ np.array([[1.0, 0.5], [0.0, np.sqrt(0.75)]])
    years = np.round(random.uniform(0, 6, len(person)), 2)
    y = 2 + 0.1 * years[:, None] + u[person] + e
    ids = [f"p{k:03d}" for k in person]
    return pl.DataFrame({"participant_id": ids, "years": years, "y1": y[:, 0], "y2": y[:, 1]})


def without(frame: pl.DataFrame, outcome: str, where) -> pl.DataFrame:
    return frame.with_columns(pl.when(where).then(None).otherwise(pl.col(outcome)).alias(outcome))


# --- a dense likelihood, written from the definition -------------------------------------------------------------


class Dense:
    """Everything from V_i = Z_i G Z_i' + R_i of each person, in natural units, for ``y ~ terms + (effects | id)``."""

    def __init__(self, frame, responses, terms, effects):
        frame = frame.with_row_index("at").with_columns(one=pl.lit(1.0))
        K = len(responses)
        self.people = {}
        for (person,), rows in frame.sort("participant_id").group_by("participant_id", maintain_order=True):
            have = [(row, k) for row in rows.iter_rows(named=True) for k in range(K) if row[responses[k]] is not None]
            y = np.array([row[responses[k]] for row, k in have])
            X = np.array([self.spread(row, k, K, terms) for row, k in have])
            Z = np.array([self.spread(row, k, K, effects) for row, k in have])
            draw, which = np.array([row["at"] for row, _ in have]), np.array([k for _, k in have])
            self.people[person] = (y, X, Z, np.equal.outer(draw, draw), which)

    @staticmethod
    def spread(row, k, K, names):
        columns = np.zeros((K, len(names)))
        columns[k] = [row[name] for name in names]
        return columns.ravel()

    def log_likelihood(self, G, R, reml):
        normal, right, squares, log_determinant, n = 0.0, 0.0, 0.0, 0.0, 0
        for y, X, Z, same, which in self.people.values():
            V = Z @ G @ Z.T + np.where(same, R[np.ix_(which, which)], 0.0)
            W = np.linalg.inv(V)
            normal, right, squares = normal + X.T @ W @ X, right + X.T @ W @ y, squares + y @ W @ y
            log_determinant, n = log_determinant + np.linalg.slogdet(V)[1], n + len(y)
        self.covariance = np.linalg.inv(normal)
        self.coefficients = self.covariance @ right
        if reml:
            n, log_determinant = n - len(right), log_determinant + np.linalg.slogdet(normal)[1]
        return -0.5 * (n * np.log(2 * np.pi) + log_determinant + squares - right @ self.coefficients)

    def predict(self, person, x, z, G, R):
        y, X, Z, same, which = self.people[person]
        V = Z @ G @ Z.T + np.where(same, R[np.ix_(which, which)], 0.0)
        pull = np.linalg.solve(V, Z @ G @ z)
        by_b = x - X.T @ pull
        fitted = x @ self.coefficients + pull @ (y - X @ self.coefficients)
        return fitted, np.sqrt(z @ G @ z - pull @ Z @ G @ z + by_b @ self.covariance @ by_b)


def dense(name: str) -> tuple[dict[str, str], Dense]:
    outcomes = ["y1", "y2", "y3"] if name == "three_missing" else ["y1", "y2"]
    formulas = {outcome: SLOPE.format(outcome[1]) for outcome in outcomes}
    return formulas, Dense(data(name), outcomes, ["one", "years", "age"], ["one", "years"])


# --- against nlme and the dense likelihood -----------------------------------------------------------------------

DATASETS = ("two_complete", "two_missing", "three_missing")


@pytest.fixture(scope="module", params=list(product(DATASETS, (True, False))), ids=str)
def fitted(request) -> tuple[str, JointFit]:
    name, reml = request.param
    return name, fit_joint(dense(name)[0], data(name), reml=reml)


def by_nlme(name: str, reml: bool, quantity: str) -> dict[str, float]:
    rows = EXPECTED.filter(dataset=name, reml=reml, quantity=quantity).with_columns(pl.col("term").fill_null(""))
    return dict(rows.select("term", "value").iter_rows())


def in_nlme(name: tuple[str, str]) -> str:
    return f"outcome{name[0]}" + ("" if name[1] == "Intercept" else f":{name[1]}")


# nlme ends its search within some 1e-9 of the log-likelihood; estimates are known to the root of that.


def test_the_log_likelihood_is_that_of_nlme(fitted):
    name, fit = fitted
    assert fit.converged
    assert not fit.at_boundary
    assert fit.log_likelihood == pytest.approx(by_nlme(name, fit.reml, "log_likelihood")[""], rel=1e-9)


def test_fixed_effects_are_those_of_nlme(fitted):
    name, fit = fitted
    estimate, error = (by_nlme(name, fit.reml, quantity) for quantity in ("estimate", "standard_error"))
    for row in fit.fixed.iter_rows(named=True):
        term = in_nlme((row["outcome"], row["term"]))
        assert abs(row["estimate"] - estimate[term]) < 1e-4 * error[term]
        assert row["standard_error"] == pytest.approx(error[term], rel=1e-4)


def test_variances_and_residual_correlations_are_those_of_nlme(fitted):
    name, fit = fitted
    G, sds = by_nlme(name, fit.reml, "covariance"), by_nlme(name, fit.reml, "residual_sd")
    sizes = np.sqrt(np.diagonal(fit.random_covariance))
    for (j, a), (k, b) in product(enumerate(fit.random_names), repeat=2):
        apart = fit.random_covariance[j, k] - G[f"{in_nlme(a)} {in_nlme(b)}"]
        assert abs(apart) < 1e-4 * sizes[j] * sizes[k]
    for pair, r in by_nlme(name, fit.reml, "residual_correlation").items():
        first, second = pair.split()
        row = fit.residual.filter(outcome=first, outcome_2=second)
        assert row["correlation"].item() == pytest.approx(r, abs=1e-4)
        assert row["covariance"].item() == pytest.approx(r * sds[first] * sds[second], rel=1e-3)


def test_the_likelihood_of_sums_is_the_dense_one(fitted):
    name, fit = fitted
    _, by_hand = dense(name)
    there = by_hand.log_likelihood(fit.random_covariance, fit.residual_covariance, fit.reml)
    assert fit.log_likelihood == pytest.approx(there, rel=1e-12, abs=1e-8)
    assert fit.coefficients == pytest.approx(by_hand.coefficients, rel=1e-8, abs=1e-9)
    assert fit.fixed_covariance == pytest.approx(by_hand.covariance, rel=1e-8, abs=1e-10)


def test_no_step_aside_has_a_higher_dense_likelihood(fitted):
    name, fit = fitted
    _, by_hand = dense(name)
    random = np.random.default_rng(3)
    for _ in range(4):
        aside = 0.02 * random.normal(size=fit.random_covariance.shape) + np.eye(len(fit.random_covariance))
        beside = 0.02 * random.normal(size=fit.residual_covariance.shape) + np.eye(len(fit.residual_covariance))
        G, R = aside @ fit.random_covariance @ aside.T, beside @ fit.residual_covariance @ beside.T
        assert by_hand.log_likelihood(G, R, fit.reml) < fit.log_likelihood


def test_the_gradient_is_that_of_finite_differences(fitted):
    _, fit = fitted
    K = len(fit.outcomes)
    layouts = [fit.parameters, lay_out(fit.sums.of_random, K, no_person=frozenset(), no_row=frozenset({(0, 1)}))]
    for parameters in layouts:
        surface = Surface(fit.sums, parameters, fit.reml, np.full(parameters.size, -np.inf))
        theta = 0.3 * np.random.default_rng(4).normal(size=parameters.size) + 0.5 * parameters.diagonal
        _, slope = surface.height_and_slope(theta)
        steps = 1e-5 * np.eye(parameters.size)
        apart = [(surface.height(theta + step) - surface.height(theta - step)) / 2e-5 for step in steps]
        assert slope == pytest.approx(np.array(apart), abs=1e-6 * np.abs(slope).max())


def test_personal_curves_are_the_dense_conditional_expectations(fitted):
    name, fit = fitted
    _, by_hand = dense(name)
    by_hand.log_likelihood(fit.random_covariance, fit.residual_covariance, fit.reml)
    new = pl.DataFrame({"participant_id": ["p002", "p050"], "years": [3.5, 9.0], "age": [50.0, 41.0]})
    for row in predict_joint(fit, new).iter_rows(named=True):
        k, at = fit.outcomes.index(row["outcome"]), new.with_columns(one=pl.lit(1.0)).row(row["row"], named=True)
        x = Dense.spread(at, k, len(fit.outcomes), ["one", "years", "age"])
        z = Dense.spread(at, k, len(fit.outcomes), ["one", "years"])
        expected, sd = by_hand.predict(row["participant_id"], x, z, fit.random_covariance, fit.residual_covariance)
        assert row["estimate"] == pytest.approx(expected, rel=1e-8)
        assert row["standard_error"] == pytest.approx(sd, rel=1e-7)
        assert row["high"] - row["estimate"] == pytest.approx(1.959963984540054 * sd, rel=1e-7)


# --- correlations ------------------------------------------------------------------------------------------------


def test_the_interval_of_a_correlation_comes_from_the_curvature_of_the_dense_likelihood():
    frame = without(cohort(), "y2", pl.col("years") < 1)
    fit = fit_joint(LEVEL, frame)
    by_hand = Dense(frame, ["y1", "y2"], ["one", "years"], ["one"])

    # Another parametrisation, (log sds, Fisher's z) of G and of R: curvature by second differences.
    def height(v):
        def covariance(a, b, z):
            product_of_sds = np.exp(a + b) * np.tanh(z)
            return np.array([[np.exp(2 * a), product_of_sds], [product_of_sds, np.exp(2 * b)]])

        return by_hand.log_likelihood(covariance(*v[:3]), covariance(*v[3:]), True)

    def start(S):
        sds = np.sqrt(np.diagonal(S))
        return [*np.log(sds), np.arctanh(S[0, 1] / sds[0] / sds[1])]

    at, h = np.array(start(fit.random_covariance) + start(fit.residual_covariance)), 1e-3 * np.eye(6)
    H = [
        [(height(at + a + b) - height(at + a - b) - height(at - a + b) + height(at - a - b)) / 4e-6 for b in h]
        for a in h
    ]
    errors = np.sqrt(np.diagonal(np.linalg.inv(-np.array(H))))
    table = correlations(fit)
    assert table["part"].to_list() == ["people", "draw"]
    assert table["standard_error_z"].to_numpy() == pytest.approx(errors[[2, 5]], rel=1e-4)
    assert np.arctanh(table["correlation"].to_numpy()) == pytest.approx(at[[2, 5]], rel=1e-9)
    low = np.tanh(at[[2, 5]] - 1.959963984540054 * errors[[2, 5]])
    assert table["low"].to_numpy() == pytest.approx(low, abs=1e-4)
    assert table["note"].null_count() == table.height


def test_correlations_are_between_every_effect_of_one_outcome_and_every_effect_of_another():
    table = correlations(fit_joint(dense("three_missing")[0], data("three_missing")))
    assert table.filter(part="people").height == 12
    assert table.filter(part="draw").height == 3
    assert (table["outcome"] != table["outcome_2"]).all()


# --- what must hold of any fit -----------------------------------------------------------------------------------


def test_the_order_of_rows_does_not_matter():
    frame = data("two_missing")
    here, there = fit_joint(TWO, frame), fit_joint(TWO, frame.sample(fraction=1.0, shuffle=True, seed=5))
    assert np.array_equal(here.coefficients, there.coefficients)
    assert np.array_equal(here.random_covariance, there.random_covariance)
    assert here.people.equals(there.people)


def test_units_do_not_matter():
    frame = data("two_missing")
    months = frame.with_columns(y2=pl.col("y2") * 1000 + 7, years=pl.col("years") * 12)
    here, there = fit_joint(TWO, frame), fit_joint(TWO, months)
    errors = np.sqrt(np.diagonal(here.fixed_covariance))
    change = np.array([1, 1 / 12, 1, 1000, 1000 / 12, 1000])
    moved = there.coefficients / change - [0, 0, 0, 7e-3, 0, 0]
    assert moved == pytest.approx(here.coefficients, abs=1e-6 * errors.min())
    both = [correlations(fit)["correlation"].to_numpy() for fit in (here, there)]
    assert both[0] == pytest.approx(both[1], abs=1e-6)
    observations = here.observations["second"]
    # Under REML the likelihood counts X'X too: three coefficients of the second outcome, two slopes in months.
    shift = -(observations - 3) * np.log(1000) - 2 * np.log(12)
    assert there.log_likelihood == pytest.approx(here.log_likelihood + shift, rel=1e-10)


def test_the_order_of_outcomes_does_not_matter():
    frame = data("two_missing")
    here, there = fit_joint(TWO, frame), fit_joint(dict(reversed(TWO.items())), frame)
    assert there.log_likelihood == pytest.approx(here.log_likelihood, rel=1e-12)
    assert there.residual_covariance == pytest.approx(here.residual_covariance[::-1, ::-1], rel=1e-6)


def test_a_missing_covariate_takes_only_the_outcomes_that_use_it():
    frame = cohort().with_columns(x=pl.col("years") ** 2)
    formulas = {**LEVEL, "second": "y2 ~ x + (1 | participant_id)"}
    gap = pl.col("years") > 5
    here = fit_joint(formulas, without(frame, "x", gap))
    there = fit_joint(formulas, without(frame, "y2", gap))
    gaps = frame.filter(gap).height
    assert here.log_likelihood == pytest.approx(there.log_likelihood, rel=1e-12)
    assert here.observations == {"first": 100, "second": 100 - gaps}
    assert here.patterns.rows() == [(True, True, 100 - gaps), (True, False, gaps)]
    assert here.dropped["first"] == {}
    assert here.dropped["second"]["x"]["visits"] == gaps
    assert here.dropped["second"]["any"]["visits"] == gaps


def test_rows_without_any_outcome_are_counted_and_change_nothing():
    frame = cohort()
    empty = frame.head(3).with_columns(y1=pl.lit(None, pl.Float64), y2=pl.lit(None, pl.Float64))
    here = fit_joint(LEVEL, pl.concat([frame, empty]))
    assert (here.visits, here.unused_visits) == (100, 3)
    assert here.log_likelihood == pytest.approx(fit_joint(LEVEL, frame).log_likelihood, rel=1e-12)


def test_outcomes_without_a_name_have_that_of_their_response():
    fit = fit_joint(
        ["y1 ~ 1 + (1 | participant_id)", "log(y2 + 9) ~ 1 + (1 | participant_id)".replace(" + 9", "")], cohort()
    )
    assert fit.outcomes == ("y1", "log(y2)")
    assert fit.people.columns == ["participant_id", "y1:Intercept", "log(y2):Intercept"]


def test_a_pandas_table_gives_pandas_tables():
    frame = cohort().to_pandas()
    fit = fit_joint(LEVEL, frame)
    tables = (fit.fixed, fit.random, fit.residual, fit.people, fit.patterns)
    assert all(isinstance(table, pd.DataFrame) for table in (*tables, correlations(fit), predict_joint(fit, frame)))


def test_splines_keep_their_knots_in_prediction():
    frame = cohort()
    formulas = {name: text.replace("years", "bs(years, df=4)") for name, text in LEVEL.items()}
    fit = fit_joint(formulas, frame)
    everyone, few = predict_joint(fit, frame), predict_joint(fit, frame.head(2))
    assert few["estimate"].to_list() == pytest.approx(
        everyone.filter(pl.col("row") < 2)["estimate"].to_list(), rel=1e-12
    )


# --- people and outcomes that are not all there ------------------------------------------------------------------


def test_who_never_had_an_outcome_is_judged_from_the_other():
    frame = without(cohort(people=60), "y2", pl.col("participant_id") < "p030")
    fit = fit_joint(LEVEL, frame)
    missing = fit.people.filter(pl.col("participant_id") < "p030")
    assert fit.participants == 60
    assert np.corrcoef(missing["first:Intercept"], missing["second:Intercept"])[0, 1] > 0.99
    curves = predict_joint(fit, frame.with_columns(years=pl.lit(2.0))).filter(outcome="second")
    had = curves["participant_id"] >= "p030"
    assert curves.filter(~had)["standard_error"].min() > curves.filter(had)["standard_error"].max()


def test_outcomes_never_in_one_visit_have_no_residual_correlation():
    frame = cohort(people=40, visits=8).with_columns(turn=pl.int_range(pl.len()) % 2)
    frame = without(without(frame, "y1", pl.col("turn") == 0), "y2", pl.col("turn") == 1)
    fit = fit_joint(LEVEL, frame)
    assert fit.converged
    assert fit.held == (
        "No visit has both first and second: the correlation of their measurement variation is not known, and was held "
        "at zero.",
    )
    assert fit.residual_covariance[0, 1] == 0
    assert fit.residual["correlation"].null_count() == 3
    table = correlations(fit)
    assert table.filter(part="people")["low"].item() > 0
    assert table.filter(part="draw").select("correlation", "note").row(0) == (
        None,
        "held at zero: the two outcomes were never observed together",
    )


def test_outcomes_never_in_one_person_are_two_separate_models():
    frame = cohort(people=40)
    frame = without(without(frame, "y1", pl.col("participant_id") < "p020"), "y2", pl.col("participant_id") >= "p020")
    fit = fit_joint(LEVEL, frame)
    assert fit.converged
    assert len(fit.held) == 2
    assert fit.random_covariance[0, 1] == 0
    both = Dense(frame, ["y1", "y2"], ["one", "years"], ["one"])
    assert fit.log_likelihood == pytest.approx(
        both.log_likelihood(fit.random_covariance, fit.residual_covariance, True), rel=1e-12
    )
    assert correlations(fit)["correlation"].null_count() == 2
    assert fit.random["correlation"].null_count() == 3


def test_of_three_outcomes_one_pair_may_never_be_in_one_visit():
    frame = data("three_missing").with_columns(turn=pl.int_range(pl.len()) % 2)
    apart = without(without(frame, "y1", pl.col("turn") == 0), "y3", pl.col("turn") == 1)
    formulas, _ = dense("three_missing")
    fit = fit_joint(formulas, apart)
    by_hand = Dense(apart, list(formulas), ["one", "years", "age"], ["one", "years"])
    there = by_hand.log_likelihood(fit.random_covariance, fit.residual_covariance, True)
    assert fit.converged
    assert len(fit.held) == 1
    assert np.argwhere(fit.residual_covariance == 0).tolist() == [[0, 2], [2, 0]]
    assert fit.log_likelihood == pytest.approx(there, rel=1e-11)


@pytest.mark.parametrize(
    "held", [{(0, 2)}, {(0, 1)}, {(1, 2)}, {(0, 1), (1, 2)}, {(0, 2), (1, 2)}, {(0, 1), (0, 2), (1, 2)}]
)
def test_held_covariances_are_zero_and_no_others(held):
    of = np.array([0, 0, 1, 2, 2])
    parameters = lay_out(of, 3, no_person=frozenset(held), no_row=frozenset(held))
    L, C = unpack(parameters, np.random.default_rng(1).normal(size=parameters.size))
    for covariance, label in ((L @ L.T, of), (C @ C.T, np.arange(3))):
        for j, k in product(range(len(label)), repeat=2):
            pair = (min(label[j], label[k]), max(label[j], label[k]))
            assert (abs(covariance[j, k]) < 1e-12) == (pair in held)


# --- boundaries --------------------------------------------------------------------------------------------------


def test_a_variance_of_zero_is_recognised_and_said():
    random = np.random.default_rng(8)
    frame = cohort(people=30).with_columns(y2=pl.Series(random.normal(size=120)))
    flat = frame.with_columns(y2=pl.col("y2") - pl.col("y2").mean().over("participant_id"))
    fit = fit_joint({"first": LEVEL["first"], "second": "y2 ~ 1 + (1 | participant_id)"}, flat)
    assert (fit.converged, fit.at_boundary) == (True, True)
    assert fit.without_variance == (("second", "Intercept"),)
    assert fit.boundary_direction == (
        "Beyond measurement variation, people do not differ in their level of second: the variance is estimated as "
        "zero."
    )
    row = correlations(fit).filter(part="people")
    assert row.select("correlation", "low", "note").row(0) == (None, None, "a variance is estimated as zero")
    assert correlations(fit).filter(part="draw")["low"].null_count() == 0
    assert fit.random["correlation"].null_count() == 3


def test_nobody_differs():
    random = np.random.default_rng(8)
    frame = cohort(people=30).with_columns(y1=pl.Series(random.normal(size=120)), y2=pl.Series(random.normal(size=120)))
    centred = frame.with_columns(pl.col("y1", "y2") - pl.col("y1", "y2").mean().over("participant_id"))
    fit = fit_joint({name: text.replace("years", "1", 1) for name, text in LEVEL.items()}, centred)
    assert fit.converged
    assert fit.boundary_direction == (
        "Beyond measurement variation, people do not differ: every between-person variance is estimated as zero."
    )


def test_levels_that_follow_from_each_other_are_recognised():
    frame = cohort(people=30)
    level = pl.col("y1").mean().over("participant_id")
    noise = pl.Series(np.random.default_rng(2).normal(size=120))
    frame = frame.with_columns(y2=2 * level + 0.01 * (noise - noise.mean()))
    fit = fit_joint(LEVEL, frame)
    assert fit.converged
    assert fit.boundary_direction == (
        "The differences between people in their level of first and their level of second cannot be told apart: one is "
        "estimated to follow exactly from the other (a correlation of 1 or -1)."
    )
    assert correlations(fit).filter(part="people")["note"].item() == "the correlation is at its limit"


def test_a_residual_correlation_at_its_limit_is_recognised():
    # One visit has both outcomes, and says nothing but the sign of the correlation.
    frame = cohort(people=40, visits=8).with_columns(turn=pl.int_range(pl.len()))
    frame = without(frame, "y1", (pl.col("turn") % 2 == 0) & (pl.col("turn") > 0))
    fit = fit_joint(LEVEL, without(frame, "y2", pl.col("turn") % 2 == 1))
    assert fit.converged
    assert fit.boundary_direction == (
        "Within a draw, the measurement variation of first and second cannot be told apart: one is estimated to follow "
        "exactly from the other."
    )
    table = correlations(fit)
    assert table.filter(part="draw")["note"].item() == "the correlation is at its limit"
    assert table.filter(part="people")["low"].item() > 0
    assert table.filter(part="people")["note"].item() == "the fit is at a boundary, which the interval takes as given"


def test_an_outcome_computed_from_another_is_refused():
    frame = cohort(people=30)
    extra = pl.Series(np.repeat(np.random.default_rng(2).normal(size=30), 4))
    with pytest.raises(ModelError, match="the readings of first and second follow exactly from one another"):
        fit_joint(LEVEL, frame.with_columns(y2=2 * pl.col("y1") + extra))


@pytest.mark.parametrize("seed", range(6))
def test_small_cohorts_without_differences_converge(seed):
    fit = fit_joint(dense("two_complete")[0], cohort(seed, people=12, level=0.0).with_columns(age=pl.col("y1") ** 2))
    assert fit.converged
    assert fit.at_boundary


def test_a_search_from_a_saddle_goes_on_to_the_optimum():
    # Where L is zero its derivative vanishes, although people differ.
    fit = fit_joint(LEVEL, cohort())
    surface = Surface(fit.sums, fit.parameters, fit.reml, np.where(fit.parameters.logarithms, -7.0, -np.inf))
    peak = search(surface, np.zeros(fit.parameters.size))
    assert peak.converged
    assert set(peak.messages) == {"The climb stopped at a saddle and went on from there"}
    assert surface.height(peak.theta) == pytest.approx(surface.height(fit.theta), abs=1e-8)


def test_a_residual_covariance_that_cannot_be_inverted_is_out_of_reach():
    fit = fit_joint(LEVEL, cohort())
    surface = Surface(fit.sums, fit.parameters, fit.reml, np.full(fit.parameters.size, -np.inf))
    assert surface.height(np.where(fit.parameters.logarithms, -400.0, fit.theta)) < fit.log_likelihood - 1e9


# --- refusals ----------------------------------------------------------------------------------------------------


def test_one_participant_is_refused():
    with pytest.raises(ModelError, match="The model of second has one participant"):
        fit_joint(LEVEL, without(cohort(), "y2", pl.col("participant_id") > "p000"))


def test_a_collinear_column_is_named():
    frame = cohort().with_columns(months=pl.col("years") * 12)
    with pytest.raises(ModelError, match="In the fixed part of second, months cannot be told apart"):
        fit_joint({**LEVEL, "second": "y2 ~ years + months + (1 | participant_id)"}, frame)


def test_more_than_nine_random_effects_are_refused():
    text = "y{} ~ 1 + (1 + bs(years, df=4) | participant_id)"
    with pytest.raises(ModelError, match="10 random effects together"):
        fit_joint([text.format(1), text.format(2)], cohort(visits=12))


def test_one_visit_each_is_refused():
    with pytest.raises(ModelError, match="No participant has more visits with first"):
        fit_joint(LEVEL, cohort(visits=1))


def test_a_slope_that_nobody_can_show_is_refused():
    frame = cohort().with_columns(years=pl.col("years").mean().over("participant_id"))
    formulas = {name: text.replace("(1 |", "(1 + years |") for name, text in LEVEL.items()}
    with pytest.raises(ModelError, match="Within no participant do the terms of the random part of first"):
        fit_joint(formulas, frame)


def test_a_constant_outcome_is_refused():
    with pytest.raises(ModelError, match="second has the same value at every visit"):
        fit_joint(LEVEL, cohort().with_columns(y2=pl.lit(1.0)))


@pytest.mark.parametrize("y2", [pl.col("years") * 3 + 1, pl.col("years") + pl.col("participant_id").rank("dense") % 7])
def test_an_outcome_without_residual_variation_is_refused(y2):
    with pytest.raises(ModelError, match="The model explains second exactly"):
        fit_joint(LEVEL, cohort().with_columns(y2=y2))


def test_more_fixed_effects_than_visits_are_refused():
    frame = without(cohort(), "y2", pl.int_range(pl.len()) > 4)
    with pytest.raises(ModelError, match="The model of second has 5 fixed effects and 5 visits"):
        fit_joint({**LEVEL, "second": "y2 ~ poly(years, degree=4) + (1 | participant_id)"}, frame)


def test_an_infinite_value_and_an_absent_column_are_refused():
    with pytest.raises(ModelError, match="Column y1 holds infinite values"):
        fit_joint(LEVEL, cohort().with_columns(y1=pl.lit(np.inf)))
    with pytest.raises(ColumnError, match="names y3"):
        fit_joint({**LEVEL, "third": "y3 ~ 1 + (1 | participant_id)"}, cohort())


@pytest.mark.parametrize(
    ("formulas", "error", "message"),
    [
        (LEVEL["first"], UsageError, "asked for 1 outcomes"),
        ([LEVEL["first"]], UsageError, "asked for 1 outcomes"),
        ([LEVEL["first"]] * 4, UsageError, "asked for 4 outcomes"),
        ({"visits": LEVEL["first"], "second": LEVEL["second"]}, UsageError, "cannot be named visits"),
        ([LEVEL["first"]] * 2, UsageError, "Two outcomes have the same name"),
        ([LEVEL["first"], "y2 ~ 1 + (1 + years || participant_id)"], FormulaError, "without correlation"),
        ([LEVEL["first"], "y2 ~ 1 + (1 | site)"], FormulaError, "grouped by participant_id and site"),
    ],
)
def test_formulas_that_cannot_be_joined_are_refused(formulas, error, message):
    with pytest.raises(error, match=message):
        fit_joint(formulas, cohort())


def test_prediction_refuses_strangers_and_leaves_gaps_empty():
    fit = fit_joint(LEVEL, cohort())
    with pytest.raises(UsageError, match="1 rows belong to nobody in the fit"):
        predict_joint(fit, pl.DataFrame({"participant_id": ["p001", "x"], "years": [1.0, 1.0]}))
    with pytest.raises(ColumnError, match="no column participant_id"):
        predict_joint(fit, pl.DataFrame({"years": [1.0]}))
    table = predict_joint(fit, pl.DataFrame({"participant_id": ["p001", "p001"], "years": [1.0, None]}))
    assert table["estimate"].is_null().to_list() == [False, True, False, True]
    assert table["standard_error"].is_null().to_list() == [False, True, False, True]
    nobody = predict_joint(fit, pl.DataFrame({"participant_id": ["p001", None], "years": [1.0, 1.0]}))
    assert nobody["estimate"].is_null().to_list() == [False, True, False, True]


def test_intervals_of_curves_and_correlations_have_the_level_asked_for():
    fit, rows = fit_joint(LEVEL, cohort()), cohort().head(3)
    for ask, middle in (
        (lambda **how: predict_joint(fit, rows, **how), lambda x: x),
        (lambda **how: correlations(fit, **how), np.arctanh),
    ):
        wide, narrow = (middle(ask(level=level).select("low", "high").to_numpy()) for level in (0.99, 0.5))
        ratio = np.ptp(wide, axis=1) / np.ptp(narrow, axis=1)
        expected = 2.5758293035489004 / 0.6744897501960817  # R: qnorm(c(0.995, 0.75))
        np.testing.assert_allclose(ratio, expected, rtol=1e-9)
        with pytest.raises(UsageError, match="The level is 95"):
            ask(level=95)


def test_a_joint_fit_is_shown_in_a_few_lines():
    found = fit_joint(LEVEL, without(cohort(), "y1", pl.col("years") > 5))
    lines = repr(found).splitlines()
    assert "Joint linear mixed model of first and second" in lines[0]
    assert any(line.startswith("second: years") for line in lines)
    assert any(line.startswith("residual, second") for line in lines)
    assert any(line.startswith("first: visits left out for a missing value") for line in lines)
    assert len(lines) < 30
    assert found._repr_html_().count("<table") == 3
