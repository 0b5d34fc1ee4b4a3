"""The mixed model: formulas, fits against lme4, nlme and a dense likelihood, boundaries, refusals, bootstrap.

reference/lmm_data.csv and reference/lmm_reference.csv are made by reference/lme4_reference.R.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from ircohort.errors import ColumnError, FormulaError, ModelError, UsageError
from ircohort.lmm import (
    collinear_columns,
    design_matrix,
    draw_weights,
    fit,
    gls_bootstrap,
    parse_formula,
    random_design_matrix,
)
from ircohort.lmm.likelihood import profile, profile_with_slope
from ircohort.lmm.reference import Rung
from ircohort.lmm.search import maximise
from ircohort.lmm.sums import Scaling, participant_sums

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "lmm_data.csv", schema_overrides={"years": pl.Float64})
EXPECTED = pl.read_csv(REFERENCE / "lmm_reference.csv", infer_schema_length=None, schema_overrides={"reml": pl.String})
SLOPE = "y ~ years + (1 + years | participant_id)"


def data(name: str) -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name)


def small_cohort(seed: int = 0, people: int = 12, visits: int = 5, level: float = 0.5, slope: float = 0.1):
    random = np.random.default_rng(seed)
    years = np.tile(np.arange(float(visits)), people)
    person = np.repeat(np.arange(people), visits)
    y = 1 + 0.1 * years + level * random.normal(size=people)[person] + random.normal(0, 0.3, people * visits)
    y = y + slope * random.normal(size=people)[person] * years
    others = {name: random.normal(size=len(y)) for name in "xzw"}
    return pl.DataFrame({"participant_id": [f"p{k:02d}" for k in person], "years": years, "y": y, **others})


def unscaled(p: int, q: int) -> Scaling:
    return Scaling(np.eye(p), np.eye(q), np.zeros(p))


# --- formulas ---------------------------------------------------------------------------------------------------


def test_a_formula_is_split_into_response_fixed_and_random():
    parsed = parse_formula("log(homa_ir) ~ bs(years, df=3) * progressor + age + sex + (1 + years | participant_id)")
    assert (parsed.response, parsed.fixed) == ("log(homa_ir)", "bs(years, df=3) * progressor + age + sex")
    assert (parsed.random, parsed.group, parsed.diagonal) == ("1 + years", "participant_id", False)
    assert parsed.variables == ("age", "homa_ir", "progressor", "sex", "years")


@pytest.mark.parametrize(
    ("text", "fixed", "random", "diagonal"),
    [
        ("y ~ (1 | g)", "1", "1", False),
        ("y ~ (1 + t || g) + t", "t", "1 + t", True),
        ("y ~ 0 + a + (0 + t | g) + a:b", "0 + a + a:b", "0 + t", False),
        ("y ~ a + (1|g) - 1", "a - 1", "1", False),
        ("y ~ C(sex, levels=['f', 'm']) +\n (1 | g)", "C(sex, levels=['f', 'm'])", "1", False),
    ],
)
def test_the_random_part_may_stand_anywhere_in_the_sum(text, fixed, random, diagonal):
    parsed = parse_formula(text)
    assert (parsed.fixed, parsed.random, parsed.diagonal) == (fixed, random, diagonal)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("y ~ x.__class__ + (1 | g)", "`.__class__`"),
        ("y ~ __import__('os').system('x') + (1 | g)", "`.system`"),
        ("y ~ __import__('os') + (1 | g)", "`__import__`"),
        ("y ~ exp(x) + (1 | g)", "`exp`"),
        ("y ~ log(open(x)) + (1 | g)", "`open`"),
        ("y ~ I(x) + (1 | g)", "`I`"),
        ("y ~ Q('x') + (1 | g)", "`Q`"),
        ("y ~ x[0] + (1 | g)", "square brackets"),
        ("y ~ [x] + (1 | g)", "a list"),
        ("y ~ 'text' + (1 | g)", "a text"),
        ("y ~ `a b` + (1 | g)", "'`'"),
        ("y ~ {x} + (1 | g)", "'{'"),
        ("y ~ x @ z + (1 | g)", "'@'"),
        ("y ~ x ^ z + (1 | g)", "'^'"),
        ("y ~ bs(x, df=n) + (1 | g)", "`n`"),
        ("y ~ bs(x, **z) + (1 | g)", "`**`"),
        ("y ~ bs(*x) + (1 | g)", "`*` before"),
        ("y ~ 9 ** 9 ** 9 + (1 | g)", "a power"),
        ("y ~ x ** 1000000 + (1 | g)", "a power"),
        ("y ~ (x if x else x) + (1 | g)", "`if`"),
        ("y ~ (x and x) + (1 | g)", "`and`"),
        ("y ~ log(x | g) + (1 | g)", "2 random parts"),
        ("y ~ x", "no random part"),
        ("y ~ x | g", "without brackets"),
        ("y ~ x * (1 | g)", "must be added"),
        ("y ~ x - (1 | g)", "must be added"),
        ("y ~ (x + (1 | g))", "must be added"),
        ("y ~ (1 | g) + (1 | h)", "2 random parts"),
        ("y ~ (1 | g/h)", "not a column name"),
        ("y ~ (1 | g) + lambda: 0", "the word lambda"),
        ("yield ~ x + (1 | g)", "the word yield"),
        ("y ~ x + (1 | g))", "cannot be read"),
        ("y ~ x ~ (1 | g)", "one ~"),
        ("(1 | g)", "one ~"),
        ("y - z ~ (1 | g)", "must be one column"),
        ("y ~ " + "x + " * 300 + "(1 | g)", "longer"),
    ],
)
def test_anything_else_in_a_formula_is_refused_by_name(text, named):
    with pytest.raises(FormulaError, match=re.escape(named)) as refused:
        parse_formula(text)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("y ~ x + -z + (1 | g)", "a sign before a term"),
        ("y ~ - - x + (1 | g)", "a sign before a term"),
        ("y ~ 1/x + (1 | g)", "a number beside"),
        ("y ~ x/12 + (1 | g)", "a number beside"),
        ("y ~ 2*x + (1 | g)", "a number beside"),
        ("y ~ 5 + x + (1 | g)", "a number other than 0 and 1"),
        ("y ~ x + x**2 + (1 | g)", "a power of one column"),
    ],
)
def test_what_a_formula_would_take_otherwise_than_it_looks_is_refused(formula, said):
    with pytest.raises(FormulaError, match=said):
        parse_formula(formula)


@pytest.mark.parametrize("fixed", ["-1 + x", "0 + x", "x - 1", "(x + z)**2", "log(2*x) + poly(-x, 2)", "x*z - x:z"])
def test_intercepts_brackets_and_arithmetic_in_transforms_are_read(fixed):
    assert parse_formula(f"y ~ {fixed} + (1 | g)").fixed == fixed


def test_a_refused_formula_is_never_evaluated(monkeypatch):
    monkeypatch.setattr("ircohort.lmm.fitting.build_design", lambda *_: pytest.fail("formulaic was reached"))
    with pytest.raises(FormulaError):
        fit("y ~ exp(years) + (1 | participant_id)", small_cohort())


# --- against lme4 and nlme --------------------------------------------------------------------------------------


def lme4_name(term: str) -> str:
    return term.replace("Intercept", "(Intercept)")


@pytest.mark.parametrize(
    ("formula", "dataset", "reml"),
    EXPECTED.select("formula", "dataset", "reml").unique().sort("formula", "dataset", "reml").rows(),
)
def test_a_fit_equals_that_of_lme4_and_nlme(formula, dataset, reml):
    ours = fit(formula, data(dataset), reml=reml == "TRUE")
    rows = EXPECTED.filter(pl.col("formula") == formula, pl.col("dataset") == dataset, pl.col("reml") == reml)
    lme4 = rows.filter(pl.col("engine") == "lme4")

    def theirs(quantity: str, table: pl.DataFrame = lme4) -> dict[str, float]:
        return dict(table.filter(pl.col("quantity") == quantity).select("term", "value").iter_rows())

    assert ours.converged
    # 1e-6 relative is the promise; never below by more.
    assert ours.log_likelihood == pytest.approx(next(iter(theirs("log_likelihood").values())), rel=1e-6)
    assert ours.at_boundary == bool(next(iter(theirs("singular").values())))
    errors = theirs("standard_error")
    for estimates in (theirs("estimate"), theirs("estimate", rows.filter(pl.col("engine") == "nlme"))):
        for term, estimate, error in ours.fixed.select("term", "estimate", "standard_error").iter_rows():
            if estimates:
                assert estimate == pytest.approx(estimates[lme4_name(term)], abs=1e-4 * errors[lme4_name(term)])
            assert error == pytest.approx(errors[lme4_name(term)], rel=1e-3)
    modes = theirs("mode_of_level")
    people = dict(ours.people.select("participant_id", "Intercept").iter_rows())
    for person, mode in modes.items():
        assert people[person] == pytest.approx(mode, abs=1e-3)


def test_variances_equal_those_of_lme4():
    ours = fit(SLOPE, data("unbalanced"))
    rows = EXPECTED.filter(formula=SLOPE, dataset="unbalanced", reml="TRUE", engine="lme4", quantity="covariance")
    expected = dict(rows.select("term", "value").iter_rows())
    random = {(a, b): c for a, b, c in ours.random.select("effect", "effect_2", "covariance").iter_rows()}
    assert random["Intercept", None] == pytest.approx(expected["(Intercept) NA participant_id"], rel=1e-3)
    assert random["years", None] == pytest.approx(expected["years NA participant_id"], rel=1e-3)
    assert random["Intercept", "years"] == pytest.approx(expected["(Intercept) years participant_id"], rel=1e-2)
    assert random["Residual", None] == pytest.approx(expected["NA NA Residual"], rel=1e-4)


# --- against a dense likelihood ---------------------------------------------------------------------------------


def dense_log_likelihood(parameters, frame, beta):
    level, slope, covariance, residual = parameters
    G = np.array([[level, covariance], [covariance, slope]])
    if residual <= 0 or np.linalg.eigvalsh(G)[0] < 0:
        return -np.inf
    total = 0.0
    for _, rows in frame.group_by("participant_id", maintain_order=True):
        Z = np.column_stack([np.ones(rows.height), rows["years"].to_numpy()])
        V = Z @ G @ Z.T + residual * np.eye(rows.height)
        total += multivariate_normal(Z @ beta, V).logpdf(rows["y"].to_numpy())
    return total


def test_full_likelihood_is_the_maximum_of_the_dense_normal_density():
    frame = small_cohort(3)
    ours = fit(SLOPE, frame, reml=False)
    G, s2 = ours.random_covariance, ours.residual_variance
    start = np.array([G[0, 0], G[1, 1], G[0, 1], s2])
    here = dense_log_likelihood(start, frame, ours.coefficients)
    assert ours.log_likelihood == pytest.approx(here, rel=1e-10)

    def loss(theta):
        return -dense_log_likelihood(theta[:4], frame, theta[4:])

    better = minimize(loss, np.r_[start * 1.1, ours.coefficients], method="Nelder-Mead", options={"maxiter": 600})
    assert -better.fun <= here + 1e-6


# --- invariance -------------------------------------------------------------------------------------------------


@settings(max_examples=8, derandomize=True, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3), shift=st.floats(-2000, 2000))
def test_rescaling_time_rescales_the_estimates_and_nothing_else(seed, factor, shift):
    frame = small_cohort(seed)
    ours = fit(SLOPE, frame, reml=False)
    other = fit(SLOPE, frame.with_columns(pl.col("years") * factor + shift), reml=False)
    assert other.log_likelihood == pytest.approx(ours.log_likelihood, abs=1e-5)
    assert other.at_boundary == ours.at_boundary
    assert other.coefficients[1] * factor == pytest.approx(ours.coefficients[1], rel=1e-4, abs=1e-6)


@settings(max_examples=8, derandomize=True, deadline=None)
@given(seed=st.integers(0, 1000))
def test_row_order_does_not_change_a_bit_and_names_do_not_change_the_numbers(seed):
    frame = small_cohort(seed)
    ours = fit(SLOPE, frame)
    shuffled = fit(SLOPE, frame.sample(fraction=1, shuffle=True, seed=seed))
    assert shuffled.coefficients.tobytes() == ours.coefficients.tobytes()
    assert shuffled.people.equals(ours.people)
    renamed = fit(SLOPE, frame.with_columns("q" + pl.col("participant_id").str.reverse()))
    assert renamed.log_likelihood == pytest.approx(ours.log_likelihood, abs=1e-6)
    assert renamed.coefficients == pytest.approx(ours.coefficients, abs=1e-5)


# --- boundary and refusals --------------------------------------------------------------------------------------


def test_zero_variance_between_people_converges_and_is_called_the_boundary():
    fits = [fit(SLOPE, small_cohort(seed, level=0, slope=0, people=20)) for seed in range(12)]
    assert all(each.converged for each in fits)
    for each in fits:
        smallest = np.linalg.eigvalsh(each.relative_factor @ each.relative_factor.T)[0]
        assert each.at_boundary == (smallest < 1e-3)
        assert bool(each.boundary_direction) == each.at_boundary


def test_the_boundary_is_told_in_words():
    nobody = fit("y ~ years + age + (1 | participant_id)", data("nobody_differs"))
    assert nobody.at_boundary
    assert nobody.boundary_direction.startswith("Beyond measurement variation, people do not differ")
    flat = fit("y ~ years + (1 + years || participant_id)", data("flat_slopes"))
    assert "do not differ in their change with years" in flat.boundary_direction
    locked = fit(SLOPE, small_cohort(2, level=0, slope=0, people=30))
    assert locked.at_boundary
    assert fit(SLOPE, data("balanced")).boundary_direction == ""


def test_what_the_engine_says_is_kept_as_messages_not_warned():
    fits = [reference(small_cohort(seed, level=0, slope=0, people=20)) for seed in range(6)]
    assert any("lbfgs: Random effects covariance is singular" in each.messages for each in fits)
    assert reference(data("balanced")).messages == ()


def reference(frame):
    return fit(SLOPE, frame, engine="statsmodels")


@dataclass
class Stayed:
    L: np.ndarray


class Engine:
    """Stands in for statsmodels: each optimiser leaves what is written here, or fails."""

    def __init__(self, monkeypatch, **left):
        self.tried = []

        def rung(scaled, starts, optimiser, L, **_):
            self.tried.append(optimiser)
            return Rung(left.get(optimiser), (f"{optimiser}: said something",))

        monkeypatch.setattr("ircohort.lmm.reference.climb_rung", rung)


def test_an_optimiser_that_fails_is_followed_by_the_next(monkeypatch):
    expected = fit(SLOPE, data("balanced"))
    engine = Engine(monkeypatch, powell=np.eye(2))
    result = reference(data("balanced"))
    assert engine.tried == ["lbfgs", "bfgs", "powell"]
    assert result.converged
    assert result.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-7)
    assert result.messages[:2] == ("lbfgs: said something", "bfgs: said something")
    assert "powell: stopped" in result.messages[-1]


def test_an_engine_that_fails_altogether_is_told_and_the_optimum_still_has_to_be_met_twice(monkeypatch):
    expected = fit(SLOPE, data("balanced"))
    Engine(monkeypatch)
    result = reference(data("balanced"))
    assert result.converged
    assert result.messages[-1] == "The optimisers disagreed, and further starts were tried"
    assert result.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-7)
    monkeypatch.setattr("ircohort.lmm.reference.maximise", lambda sums, L, **_: Stayed(L))
    assert not reference(data("balanced")).converged


def test_an_error_of_statsmodels_becomes_a_message(monkeypatch):
    def broken(*_, **__):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("statsmodels.regression.mixed_linear_model.MixedLM", broken)
    messages = reference(data("balanced")).messages
    assert messages[:2] == ("lbfgs: Singular matrix", "bfgs: Singular matrix")


def one(**columns):
    return small_cohort().with_columns(**columns)


@pytest.mark.parametrize(
    ("frame", "formula", "said"),
    [
        (small_cohort(people=1), SLOPE, "one participant"),
        (small_cohort(visits=1), "y ~ 1 + (1 | participant_id)", "No participant has more visits"),
        (small_cohort(visits=2), SLOPE, "No participant has more visits"),
        (one(x=pl.lit(1.0)), "y ~ x + (1 | participant_id)", "x cannot be told apart"),
        (one(x=pl.col("years") * 12), "y ~ years + x + (1 | participant_id)", "x cannot be told apart"),
        (one(x=pl.lit(2.0)), "y ~ years + (1 + x | participant_id)", "random part, x cannot be told apart"),
        (one(x=pl.col("participant_id").str.slice(1).cast(pl.Float64)), "y ~ years + (1 + x | participant_id)", "vary"),
        (one(y=pl.lit(1.0)), SLOPE, "same value"),
        (one(y=pl.col("years") * 2 + 1), SLOPE, "exactly"),
        (one(y=pl.lit(None, dtype=pl.Float64)), SLOPE, "No visit is complete"),
        (small_cohort().head(0), SLOPE, "No visit is complete"),
        (small_cohort(people=2, visits=3), "y ~ poly(years, 2) + x + z + w + (1 | participant_id)", "more visits"),
        (one(x=pl.lit(np.inf)), "y ~ x + (1 | participant_id)", "infinite"),
        (one(y=pl.col("years")), "log(y) ~ years + (1 | participant_id)", "not a finite number"),
    ],
)
def test_what_data_cannot_show_is_a_clear_refusal(frame, formula, said):
    with pytest.raises(ModelError) as refused:
        fit(formula, frame)
    assert said in str(refused.value)
    assert refused.value.exit_code == 4


def test_columns_that_are_absent_or_of_another_type_are_refused():
    with pytest.raises(ColumnError, match="names bmi"):
        fit("y ~ bmi + (1 | participant_id)", small_cohort())
    with pytest.raises(ColumnError, match="holds Date"):
        fit("y ~ d + (1 | participant_id)", one(d=pl.date(2020, 1, 1)))
    with pytest.raises(FormulaError, match="cannot be evaluated"):
        fit("y ~ bs(years, 3, 3, 3, 3, 3, 3, 3, 3) + (1 | participant_id)", small_cohort())
    with pytest.raises(FormulaError, match="at least one column"):
        fit("y ~ years + (0 | participant_id)", small_cohort())
    with pytest.raises(FormulaError, match="not one numeric column"):
        fit("participant_id ~ years + (1 | participant_id)", small_cohort())


def test_missing_values_are_dropped_and_counted_by_variable_people_and_visits_apart():
    frame = small_cohort().with_columns(
        age=pl.when(pl.col("participant_id") != "p03").then(50.0 + pl.col("years").sin() * pl.col("y")),
        y=pl.when(pl.col("years") + (pl.col("participant_id") == "p00") < 5).then("y"),
    )
    result = fit("y ~ years + age + (1 | participant_id)", frame)
    assert result.dropped["age"] == {"visits": 5, "participants": 1, "participants_lost": 1}
    assert result.dropped["y"] == {"visits": 1, "participants": 1, "participants_lost": 0}
    assert result.dropped["any"] == {"visits": 6, "participants": 2, "participants_lost": 1}
    assert (result.participants, result.visits) == (11, 54)
    assert fit(SLOPE, small_cohort()).dropped == {}


def test_nan_in_polars_is_missing_too():
    frame = small_cohort().with_columns(y=pl.when(pl.col("years") > 3).then(float("nan")).otherwise("y"))
    assert fit(SLOPE, frame).visits == 48


# --- the record -------------------------------------------------------------------------------------------------


def test_tables_are_of_the_kind_given():
    frame = small_cohort()
    assert isinstance(fit(SLOPE, frame).fixed, pl.DataFrame)
    pandas = fit(SLOPE, frame.to_pandas())
    assert all(isinstance(table, pd.DataFrame) for table in (pandas.fixed, pandas.random, pandas.people))
    assert pandas.coefficients.tobytes() == fit(SLOPE, frame).coefficients.tobytes()


def test_random_table_holds_sds_covariances_and_correlations():
    table = fit(SLOPE, data("balanced")).random
    assert table["effect"].to_list() == ["Intercept", "years", "Intercept", "Residual"]
    level, slope, both, residual = table.iter_rows(named=True)
    assert both["correlation"] == pytest.approx(both["covariance"] / (level["sd"] * slope["sd"]))
    assert residual["covariance"] == pytest.approx(residual["sd"] ** 2)
    diagonal = fit("y ~ years + (1 + years || participant_id)", data("balanced"))
    assert diagonal.random["effect"].to_list() == ["Intercept", "years", "Residual"]
    assert diagonal.random_covariance[0, 1] == 0


def test_new_rows_of_a_spline_use_the_knots_of_the_fit():
    frame = data("unbalanced").with_columns(
        sex=pl.when(pl.col("progressor") == 1).then(pl.lit("m")).otherwise(pl.lit("f"))
    )
    result = fit("y ~ cr(years, df=3) * sex + poly(age, 2) + (1 | participant_id)", frame)
    matrix = design_matrix(result, frame)
    assert matrix.shape == (frame.height, len(result.fixed_names))
    assert design_matrix(result, frame[[5, 9]]) == pytest.approx(matrix[[5, 9]])
    gaps = frame[[5, 9]].with_columns(age=pl.Series([None, 40.0]))
    assert np.isnan(design_matrix(result, gaps)[0]).all()
    assert np.isfinite(design_matrix(result, gaps)[1]).all()
    assert random_design_matrix(result, frame[[5]]) == pytest.approx(np.ones((1, 1)))
    with pytest.raises(ColumnError, match="has not seen"):
        design_matrix(result, frame[[5]].with_columns(sex=pl.lit("x")))


def test_collinear_columns_are_named_in_order():
    frame = one(months=pl.col("years") * 12, site=pl.lit(3.0))
    assert collinear_columns("y ~ years + months + site + (1 | participant_id)", frame) == ("months", "site")


# --- bootstrap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", [SLOPE, "y ~ years * progressor + age + (1 + years || participant_id)"])
def test_weights_of_one_give_the_fit_back(formula):
    result = fit(formula, data("unbalanced"))
    assert gls_bootstrap(result, np.ones((1, result.participants)))[0] == pytest.approx(result.coefficients, abs=1e-8)


def test_integer_weights_equal_gls_on_the_replicated_rows():
    frame = data("unbalanced")
    result = fit("y ~ years + age + (1 + years | participant_id)", frame)
    weights = draw_weights(result.participants, 5, seed=11)
    refits = gls_bootstrap(result, weights)
    for refit, weight in zip(refits, weights, strict=True):
        A, b = np.zeros((3, 3)), np.zeros(3)
        for person, times in zip(result.participant_ids, weight, strict=True):
            rows = frame.filter(pl.col("participant_id") == person)
            X, y = design_matrix(result, rows), rows["y"].to_numpy()
            Z = random_design_matrix(result, rows)
            V = Z @ result.random_covariance @ Z.T + result.residual_variance * np.eye(len(y))
            for _ in range(times):
                A += X.T @ np.linalg.solve(V, X)
                b += X.T @ np.linalg.solve(V, y)
        assert refit == pytest.approx(np.linalg.solve(A, b), rel=1e-7)


def test_the_same_participants_are_drawn_for_fits_that_lack_some():
    frame = data("unbalanced")
    ids = frame["participant_id"].unique().sort().to_list()
    weights = draw_weights(len(ids), 3, seed=4)
    fewer = fit(SLOPE, frame.filter(pl.col("participant_id") != ids[0]))
    assert gls_bootstrap(fewer, weights, participant_ids=ids) == pytest.approx(gls_bootstrap(fewer, weights[:, 1:]))
    with pytest.raises(UsageError, match="weights"):
        gls_bootstrap(fewer, weights)


def test_a_refit_that_loses_a_term_is_nan():
    result = fit("y ~ years * progressor + (1 | participant_id)", data("balanced"))
    groups = data("balanced").group_by("participant_id").agg(pl.col("progressor").first()).sort("participant_id")
    nobody = (groups["progressor"] == 0).to_numpy().astype(float)[None, :]
    assert np.isnan(gls_bootstrap(result, nobody)).all()


def test_weights_are_reproducible_and_nested():
    assert (draw_weights(9, 5, seed=1) == draw_weights(9, 20, seed=1)[:5]).all()
    assert (draw_weights(9, 5, seed=1).sum(axis=1) == 9).all()
    assert draw_weights(9, 0, seed=1).shape == (0, 9)


def test_bootstrap_spread_is_near_the_standard_error():
    result = fit(SLOPE, small_cohort(5, people=150))
    spread = gls_bootstrap(result, draw_weights(150, 600, seed=2)).std(axis=0)
    assert spread == pytest.approx(result.fixed["standard_error"].to_numpy(), rel=0.25)


def slope_at(sums, L, *, reml):
    """Give the derivative of the likelihood by each element of L."""
    return 2 * profile_with_slope(sums, L, reml=reml).by_product @ L


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("q", [1, 2, 3])
def test_the_slope_of_the_profiled_likelihood_is_that_of_finite_differences(q, reml):
    rng = np.random.default_rng(q)
    starts = np.arange(0, 60, 5)
    X = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
    Z = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])[:, :q]
    sums = participant_sums(rng.normal(size=60), X, Z, starts, unscaled(3, q))
    L = np.tril(rng.normal(size=(q, q)))
    slope = slope_at(sums, L, reml=reml)
    for i, j in zip(*np.tril_indices(q), strict=True):
        shift = np.zeros((q, q))
        shift[i, j] = 1e-6
        ends = [profile(sums, L + sign * shift, reml=reml).log_likelihood for sign in (1, -1)]
        assert slope[i, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_an_optimum_is_found_to_the_precision_of_the_numbers():
    rng = np.random.default_rng(5)
    starts = np.arange(0, 600, 6)
    X = np.column_stack([np.ones(600), np.tile(np.arange(6.0), 100)])
    lines = np.repeat(rng.normal(size=(100, 2)), 6, axis=0)
    y = lines[:, 0] + 0.5 * lines[:, 1] * X[:, 1] + rng.normal(size=600)
    sums = participant_sums(y, X, X, starts, unscaled(2, 2))
    found = [maximise(sums, size * np.eye(2), reml=True, diagonal=False).L for size in (0.1, 1.0, 3.0)]
    assert np.abs(slope_at(sums, found[0], reml=True)[np.tril_indices(2)]).max() < 1e-8
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=1e-10, atol=1e-12)
