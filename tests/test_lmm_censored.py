"""Mixed models of readings known by bounds, against brute-force integration and dense matrices."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.integrate import dblquad, quad
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import multivariate_normal, norm

from ircohort.errors import ColumnError, FormulaError, ModelError, UsageError
from ircohort.lmm import fit
from ircohort.lmm.censored import fit_censored
from ircohort.lmm.censored.climb import Layout
from ircohort.lmm.censored.expectation import Cohort, Parameters, Rows, expect, score
from ircohort.lmm.censored.quadrature import place_nodes, rule_for
from ircohort.lmm.censored.truncated import truncated_moments
from ircohort.lmm.likelihood import conditional_modes
from ircohort.lmm.sums import ParticipantSums

LEVEL = "log(insulin) ~ years + male + (1 | participant_id)"
SLOPE = "log(insulin) ~ years + male + (1 + years | participant_id)"
INFINITE = np.inf


def clinic(n=60, v=4, seed=0, share=0.25, sds=(0.5, 0.08), s=0.3):
    """Visits of n people; the lowest ``share`` of the readings lies below one limit of detection."""
    r = np.random.default_rng(seed)
    person, years = np.repeat(np.arange(n), v), np.tile(np.arange(v, dtype=float), n)
    male = np.repeat(r.integers(0, 2, n), v).astype(float)
    u = r.normal(size=(n, 2)) * sds
    y = 2 + 0.05 * years + 0.2 * male + u[person, 0] + u[person, 1] * years + r.normal(0, s, n * v)
    limit = float(np.exp(np.quantile(y, share)))
    frame = pl.DataFrame({"participant_id": person, "years": years, "male": male, "true": np.exp(y)})
    below = pl.col("true") < limit
    return frame.with_columns(
        insulin=pl.when(~below).then("true"),
        low=pl.when(below).then(0.0),
        high=pl.when(below).then(limit),
        half=pl.when(below).then(limit / 2).otherwise("true"),
    ).with_columns(pl.format("p{}", pl.col("participant_id").cast(pl.String).str.zfill(4)).alias("participant_id"))


def fitted(formula, frame, **settings):
    return fit_censored(formula, frame, lower="low", upper="high", **settings)


class Person:
    """One participant as dense arrays, and as a cohort of one."""

    def __init__(self, n_censored, q, seed=0, n_exact=3, ends="both"):
        r = np.random.default_rng(seed)
        self.X, self.Z = r.normal(size=(n_exact + n_censored, 2)), r.normal(size=(n_exact + n_censored, q))
        self.y, self.exact = r.normal(size=n_exact), np.arange(n_exact + n_censored) < n_exact
        self.low = r.normal(-1, 0.5, n_censored)
        self.high = self.low + 0.5 + r.exponential(size=n_censored)
        if ends == "below":
            self.low[:] = -INFINITE
        self.at = Parameters(np.array([0.3, -0.2]), np.tril(r.normal(size=(q, q))), 0.7)
        one, cross = self.exact, []
        for taken, y in ((one, self.y), (np.ones_like(one), np.zeros(len(one)))):
            columns = np.column_stack([self.Z[taken], self.X[taken], y])
            cross.append(ParticipantSums(np.array([taken.sum()]), (columns.T @ columns)[None], q))
        rows = Rows(self.X[~one], self.Z[~one], self.low, self.high, np.zeros(n_censored, dtype=np.int64))
        self.cohort = Cohort(*cross, rows)

    def expect(self, points):
        people = np.arange(len(self.low) > 1)
        rule = rule_for(len(self.at.A), points, people, ("a",), 0)
        return expect(self.cohort, self.at, place_nodes(self.cohort, self.at, people, rule))

    def given_exact(self):
        """Log-density of the exact readings, and mean and covariance of the censored ones and u given these."""
        one = self.exact
        G = self.at.A @ self.at.A.T
        V = self.Z @ G @ self.Z.T + self.at.s**2 * np.eye(len(one))
        middle = self.X @ self.at.b
        to = np.linalg.solve(V[np.ix_(one, one)], V[np.ix_(one, ~one)]).T
        density = multivariate_normal(middle[one], V[np.ix_(one, one)]).logpdf(self.y) if one.any() else 0.0
        return density, middle[~one] + to @ (self.y - middle[one]), V[np.ix_(~one, ~one)] - to @ V[np.ix_(one, ~one)]


def brute_moments(mean, V, low, high, points=80):
    """Probability of a box, and mean and mean square within it, by Gauss-Legendre over the box, tail to 9 SD."""
    spread = np.sqrt(np.diagonal(V))
    low, high = np.maximum(low, mean - 9 * spread), np.minimum(high, mean + 9 * spread)
    x, w = np.polynomial.legendre.leggauss(points)
    axes = [(a + b) / 2 + (b - a) / 2 * x for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(mean))
    weights = np.prod(np.meshgrid(*[(b - a) / 2 * w for a, b in zip(low, high, strict=True)], indexing="ij"), axis=0)
    mass = multivariate_normal(mean, V).pdf(grid) * weights.ravel()
    return mass.sum(), mass @ grid / mass.sum(), mass @ grid**2 / mass.sum()


@pytest.mark.parametrize(
    ("low", "high"),
    [(-INFINITE, 0.3), (0.4, INFINITE), (-1.0, 2.0), (3.0, 3.5), (-6.0, -5.0), (-INFINITE, -6.0), (1.0, 1.001)],
)
def test_moments_of_a_truncated_normal_are_those_of_its_density(low, high):
    a, b = max(low, -40), min(high, 40)
    area, mean, square = (
        quad(lambda z, k=k: z**k * norm.pdf(z), a, b, epsabs=0, epsrel=1e-12, points=[-7, -3, 0, 3])[0]
        for k in range(3)
    )
    found = truncated_moments(np.array([low]), np.array([high]))
    assert np.isclose(found.log_probability[0], np.log(area), rtol=1e-9)
    assert np.isclose(found.mean[0], mean / area, rtol=1e-7)
    assert np.isclose(found.square[0], square / area, rtol=1e-7)


def test_moments_hold_out_in_the_tail_and_in_very_narrow_bounds():
    low, high = np.array([-INFINITE, 1.0, 30.0]), np.array([-40.0, 1.0 + 1e-9, 31.0])
    found = truncated_moments(low, high)
    assert np.isfinite(found.log_probability).all()
    assert np.allclose(found.mean, [-40.02, 1.0, 30.03], atol=0.01)
    assert (found.square - found.mean**2 > -1e-6).all()


@pytest.mark.parametrize("ends", ["both", "below"])
@pytest.mark.parametrize("n_exact", [0, 3])
def test_one_censored_visit_is_exact(ends, n_exact):
    person = Person(1, 2, ends=ends, n_exact=n_exact)
    density, mean, V = person.given_exact()
    low, high = max(person.low[0], mean[0] - 12 * V[0, 0] ** 0.5), person.high[0]
    area, first, second = (
        quad(lambda y, k=k: y**k * norm.pdf(y, mean[0], V[0, 0] ** 0.5), low, high, epsabs=0, epsrel=1e-11)[0]
        for k in range(3)
    )
    found = person.expect(5)
    assert np.isclose(found.log_likelihood[0], density + np.log(area), atol=1e-10)
    assert np.isclose(found.y[0], first / area, atol=1e-10)
    assert np.isclose(found.yy[0], second / area, atol=1e-10)


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("ends", ["both", "below"])
def test_two_censored_visits_agree_with_adaptive_integration_to_a_millionth(q, ends):
    person = Person(2, q, ends=ends)
    density, mean, V = person.given_exact()
    low = np.maximum(person.low, mean - 9 * np.sqrt(np.diagonal(V)))
    whole = multivariate_normal(mean, V)

    def integral(power):
        return dblquad(
            lambda b, a: a**power * whole.pdf((a, b)), low[0], person.high[0], low[1], person.high[1], epsrel=1e-8
        )[0]

    found = person.expect({1: 41, 2: 25}[q])
    assert np.isclose(found.log_likelihood[0], density + np.log(integral(0)), atol=1e-6)
    assert np.isclose(found.y[0], integral(1) / integral(0), atol=1e-6)
    assert np.isclose(found.yy[0], integral(2) / integral(0), atol=1e-6)


@pytest.mark.parametrize(("q", "points", "error"), [(1, 41, 1e-6), (2, 25, 1e-5), (2, 41, 1e-7), (3, 1024, 2e-3)])
def test_three_censored_visits_agree_with_integration_over_the_box(q, points, error):
    for seed in range(4):
        person = Person(3, q, seed=seed, ends="both" if seed % 2 else "below", n_exact=seed)
        density, mean, V = person.given_exact()
        area, first, second = brute_moments(mean, V, person.low, person.high)
        found = person.expect(points)
        assert np.isclose(found.log_likelihood[0], density + np.log(area), atol=error)
        assert np.allclose(found.y, first, atol=error)
        assert np.allclose(found.yy, second, atol=5 * error)


def test_expectations_of_random_effects_follow_those_of_the_readings():
    person = Person(3, 2)
    found = person.expect(41)
    G, V = person.at.A @ person.at.A.T, person.at.s**2 * np.eye(6)
    full = np.concatenate([person.y, found.y]) - person.X @ person.at.b
    u = G @ person.Z.T @ np.linalg.solve(person.Z @ G @ person.Z.T + V, full)
    assert np.allclose(person.at.A @ found.v[0], u, atol=1e-7)


def test_the_likelihood_is_that_of_dense_matrices_and_normal_boxes():
    frame = clinic(n=12, v=4, share=0.3)
    result = fitted(SLOPE, frame, points=41)
    total, b = 0.0, result.coefficients
    for _, visits in frame.group_by("participant_id", maintain_order=True):
        X = np.column_stack([np.ones(4), visits["years"], visits["male"]])
        Z = X[:, :2]
        V = Z @ result.random_covariance @ Z.T + result.residual_variance * np.eye(4)
        one = visits["insulin"].is_not_null().to_numpy()
        y, high = np.log(visits["insulin"].to_numpy()[one]), np.log(visits["high"].to_numpy()[~one])
        if one.any():
            total += multivariate_normal((X @ b)[one], V[np.ix_(one, one)]).logpdf(y)
        if not one.all():
            to = np.linalg.solve(V[np.ix_(one, one)], V[np.ix_(one, ~one)]).T
            mean, left = (X @ b)[~one] + to @ (y - (X @ b)[one]), V[np.ix_(~one, ~one)] - to @ V[np.ix_(one, ~one)]
            total += multivariate_normal(mean, left, seed=1, abseps=1e-9, releps=1e-9).logcdf(high)
    assert result.converged
    assert np.isclose(result.log_likelihood, total, atol=2e-5)
    assert result.integration_error < 1e-5


@pytest.mark.parametrize("q", [1, 2, 3])
def test_the_score_is_the_slope_of_the_likelihood(q):
    person = Person(3, q, seed=2)
    people, layout = np.arange(1), Layout(2, q, False)
    rule = rule_for(q, {1: 15, 2: 9, 3: 64}[q], people, ("a",), 0)
    nodes = place_nodes(person.cohort, person.at, people, rule)
    x = layout.pack(person.at, last=np.log(person.at.s))

    def height(x):
        return expect(person.cohort, layout.unpack(x), nodes).log_likelihood.sum()

    slope = score(person.cohort, person.at, expect(person.cohort, person.at, nodes))
    differences = [(height(x + d) - height(x - d)) / 2e-5 for d in 1e-5 * np.eye(len(x))]
    # Even with few nodes: the slope belongs to the sum over the nodes, not only to its limit.
    assert np.allclose(layout.pack(slope, last=slope.s), differences, rtol=1e-6, atol=1e-7)


def test_estimates_and_standard_errors_are_those_of_a_brute_force_likelihood():
    frame = clinic(n=25, v=4, sds=(0.5, 0.0), share=0.3)
    X = np.column_stack([np.ones(100), frame["years"], frame["male"]])
    y, high = np.log(frame["true"].to_numpy()), np.log(frame["high"].fill_null(1.0).to_numpy())
    censored = frame["insulin"].is_null().to_numpy()
    t = np.linspace(-7, 7, 561)

    def loss(x):
        middle = (X @ x[:3])[:, None] + np.exp(x[3]) * t
        s = np.exp(x[4])
        seen = np.where(censored[:, None], log_ndtr((high[:, None] - middle) / s), norm.logpdf(y[:, None], middle, s))
        each = seen.reshape(25, 4, -1).sum(axis=1) + norm.logpdf(t)
        return -np.log(np.exp(each).sum(axis=1) * (t[1] - t[0])).sum()

    best = minimize(loss, [2, 0, 0, -1, -1], method="BFGS", options={"gtol": 1e-5})
    steps = 1e-3 * np.eye(5)
    curvature = np.array(
        [
            [(loss(best.x + a + b) - loss(best.x + a - b) - loss(best.x - a + b) + loss(best.x - a - b)) / 4e-6
             for a in steps] for b in steps
        ]
    )  # fmt: skip
    errors = np.sqrt(np.diagonal(np.linalg.inv(curvature)))[:3]
    result = fitted(LEVEL, frame)
    assert np.allclose(result.coefficients, best.x[:3], atol=1e-5)
    assert np.isclose(result.random_covariance[0, 0] ** 0.5, np.exp(best.x[3]), atol=1e-5)
    assert np.isclose(result.residual_variance**0.5, np.exp(best.x[4]), atol=1e-5)
    assert np.isclose(result.log_likelihood, -best.fun, atol=1e-6)
    assert np.allclose(result.fixed["standard_error"], errors, rtol=1e-4)


@pytest.mark.parametrize("formula", [LEVEL, SLOPE, SLOPE.replace("years |", "years ||")])
def test_without_a_censored_visit_it_is_the_fit_of_full_maximum_likelihood(formula):
    frame = clinic().with_columns(insulin="true", low=pl.lit(None), high=pl.lit(None))
    result, plain = fitted(formula, frame), fit(formula, frame, reml=False)
    assert result.converged
    assert np.isclose(result.log_likelihood, plain.log_likelihood, atol=1e-8)
    assert np.allclose(result.coefficients, plain.coefficients, atol=1e-6)
    assert np.allclose(result.random_covariance, plain.random_covariance, atol=1e-5)
    assert np.isclose(result.residual_variance, plain.residual_variance, atol=1e-6)
    assert np.allclose(result.people[:, 1:].to_numpy(), plain.people[:, 1:].to_numpy(), atol=1e-5)
    # Observed information, against expected information of the fixed effects alone.
    assert np.allclose(result.fixed["standard_error"], plain.fixed["standard_error"], rtol=0.05)


def test_narrow_bounds_come_to_the_fit_of_the_readings():
    frame = clinic()
    tight = frame.with_columns(low=pl.col("true") * (1 - 1e-6), high=pl.col("true") * (1 + 1e-6))
    result, plain = fitted(LEVEL, tight), fit(LEVEL.replace("insulin", "true"), frame, reml=False)
    assert result.censored["both"] == result.visits
    assert np.allclose(result.coefficients, plain.coefficients, atol=1e-5)
    assert np.isclose(result.residual_variance, plain.residual_variance, rtol=1e-4)


def test_equal_bounds_are_an_exact_reading():
    frame = clinic().with_columns(insulin=pl.lit(99.0), low="true", high="true")
    result, plain = fitted(LEVEL, frame), fit(LEVEL.replace("insulin", "true"), frame, reml=False)
    assert result.censored["visits"] == 0
    assert np.isclose(result.log_likelihood, plain.log_likelihood, atol=1e-8)


def test_bounds_without_ends_are_a_missing_reading():
    frame = clinic()
    gone = frame.with_columns(low=pl.when(pl.col("low").is_not_null()).then(-INFINITE), high=pl.lit(None))
    result, plain = fitted(LEVEL, gone), fit(LEVEL, gone, reml=False)
    assert result.visits == plain.visits
    assert result.dropped == plain.dropped
    assert np.isclose(result.log_likelihood, plain.log_likelihood, atol=1e-8)


def test_rows_without_reading_and_bounds_are_dropped_and_counted():
    frame = clinic()
    holes = pl.int_range(pl.len()) % 10 == 0
    empty = frame.with_columns(pl.when(~holes).then(name).alias(name) for name in ("insulin", "low", "high"))
    result = fitted(LEVEL, empty)
    assert result.dropped["insulin"]["visits"] == 24
    assert result.visits == 216
    assert np.isclose(result.log_likelihood, fitted(LEVEL, empty.filter(~holes)).log_likelihood, atol=1e-9)


def test_a_value_beside_bounds_does_not_count():
    frame = clinic()
    null, half = fitted(LEVEL, frame), fitted(LEVEL.replace("insulin", "half"), frame)
    assert np.array_equal(null.coefficients, half.coefficients)
    assert null.log_likelihood == half.log_likelihood


def test_the_order_of_rows_and_the_kind_of_frame_do_not_matter():
    frame = clinic(n=40)
    one, other = fitted(SLOPE, frame), fitted(SLOPE, frame.sample(fraction=1.0, shuffle=True, seed=3).to_pandas())
    assert np.array_equal(one.coefficients, other.coefficients)
    assert one.log_likelihood == other.log_likelihood
    assert isinstance(one.fixed, pl.DataFrame)
    assert all(isinstance(table, pd.DataFrame) for table in (other.fixed, other.random, other.people))


def test_another_unit_shifts_the_level_and_nothing_else():
    frame = clinic(n=40)
    other = frame.with_columns(pl.col("insulin", "low", "high") * 6.0)
    one, six = fitted(SLOPE, frame), fitted(SLOPE, other)
    assert np.allclose(six.coefficients - one.coefficients, [np.log(6), 0, 0], atol=1e-6)
    assert np.isclose(one.log_likelihood, six.log_likelihood, atol=1e-6)
    natural = [fitted(LEVEL.replace("log(insulin)", "insulin"), table) for table in (frame, other)]
    exact = natural[0].visits - natural[0].censored["visits"]
    assert np.allclose(natural[1].coefficients, 6 * natural[0].coefficients, rtol=1e-5)
    assert np.isclose(natural[0].log_likelihood - natural[1].log_likelihood, exact * np.log(6), atol=1e-6)


def test_readings_above_a_limit_mirror_those_below_one():
    frame = clinic(n=40)
    mirrored = frame.with_columns(
        pl.col("insulin") ** -1.0, low=1 / pl.col("high"), high=pl.lit(None, dtype=pl.Float64)
    )
    one, other = fitted(LEVEL, frame), fitted(LEVEL, mirrored)
    assert (one.censored["above"], one.censored["below"]) == (other.censored["below"], other.censored["above"])
    assert np.allclose(one.coefficients, -other.coefficients, atol=1e-6)


def test_the_sums_with_expectations_give_the_conditional_means_of_the_random_effects():
    result = fitted(SLOPE, clinic(n=40), points=41)
    scaled = result.scaling.fixed @ (result.coefficients - result.scaling.offset)
    modes = conditional_modes(result.sums, result.relative_factor, scaled) @ np.linalg.inv(result.scaling.random).T
    assert np.allclose(modes, result.people[:, 1:].to_numpy(), atol=1e-6)


def test_a_participant_with_every_visit_censored_stays_in_the_fit():
    result = fitted(SLOPE, clinic(share=0.4))
    assert result.converged
    assert result.censored["participants_throughout"] > 0
    assert result.participants == 60
    assert np.isfinite(result.people[:, 1:].to_numpy()).all()


def test_a_reading_far_beyond_its_bound_is_borne():
    frame = clinic().with_columns(high=pl.when(pl.int_range(pl.len()) < 3).then(1e-6).otherwise("high"))
    result = fitted(SLOPE, frame)
    assert result.converged
    assert np.isfinite(result.log_likelihood)


def test_more_points_make_the_stated_error_smaller():
    coarse, fine = (fitted(SLOPE, clinic(), points=points) for points in (9, 25))
    assert fine.integration_error < 1e-4 < coarse.integration_error
    assert abs(coarse.log_likelihood - fine.log_likelihood) < 2 * coarse.integration_error


def test_three_random_effects_are_integrated_by_a_seeded_sobol_set():
    formula = "log(insulin) ~ years + (1 + poly(years, degree=2) | participant_id)"
    frame = clinic(n=40, v=6)
    one, again, other = (fitted(formula, frame, points=256, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.coefficients, again.coefficients)
    assert one.coefficients[0] != other.coefficients[0]
    assert (np.abs(one.coefficients - other.coefficients) < 0.05 * one.fixed["standard_error"].to_numpy()).all()
    assert one.integration_error < 0.05


def test_without_differences_between_people_it_is_tobit_regression_at_the_boundary():
    frame = clinic(sds=(0.0, 0.0), seed=0)
    X = np.column_stack([np.ones(240), frame["years"], frame["male"]])
    one = frame["insulin"].is_not_null().to_numpy()
    y = np.log(frame["insulin"].fill_null(frame["high"]).to_numpy())

    def loss(x):
        away = (y - X @ x[:3]) / np.exp(x[3])
        return -(norm.logpdf(away[one]).sum() - one.sum() * x[3] + norm.logcdf(away[~one]).sum())

    tobit, result = minimize(loss, [2, 0, 0, -1], method="BFGS"), fitted(LEVEL, frame)
    assert result.converged
    assert result.boundary_direction.endswith("every between-person variance is estimated as zero.")
    assert np.isclose(result.log_likelihood, -tobit.fun, atol=1e-7)
    assert np.allclose(result.coefficients, tobit.x[:3], atol=1e-5)
    assert np.isclose(result.residual_variance, np.exp(2 * tobit.x[3]), atol=1e-5)
    assert (result.people["Intercept"].abs() < 1e-6).all()


@pytest.mark.parametrize(
    ("sds", "words"), [((0.0, 0.0), "people"), ((0.5, 0.0), "their change with years"), ((0.0, 0.2), "their level")]
)
def test_a_variance_of_zero_is_named_as_the_boundary(sds, words):
    at_boundary = [fitted(SLOPE.replace("years |", "years ||"), clinic(n=40, sds=sds, seed=seed)) for seed in range(4)]
    named = [one.boundary_direction for one in at_boundary if one.at_boundary]
    assert any(words in sentence for sentence in named)
    assert all(one.converged for one in at_boundary)


def test_a_correlation_of_one_is_named_as_the_boundary():
    frame = clinic(sds=(0.0, 0.0), seed=5)
    assert "cannot be told apart" in fitted(SLOPE, frame).boundary_direction


def test_a_group_wholly_below_the_limit_is_not_called_converged():
    below = pl.col("male") == 1
    frame = clinic().with_columns(
        low=pl.when(below).then(0.0).otherwise("low"), high=pl.when(below).then(5.0).otherwise("high")
    )
    result = fitted(LEVEL, frame)
    assert not result.converged
    assert "no finite estimate" in result.messages[0]
    assert result.fixed["standard_error"][2] > 10


def test_readings_in_classes_need_no_exact_one():
    classes = (pl.col("true") / 2).floor() * 2
    frame = clinic(n=100).with_columns(low=classes, high=classes + 2)
    result, plain = fitted(LEVEL, frame), fit(LEVEL.replace("insulin", "true"), frame, reml=False)
    assert result.converged
    # Classes of 2 uIU/mL tell less than readings; what they tell is not another thing.
    assert (np.abs(result.coefficients - plain.coefficients) < plain.fixed["standard_error"].to_numpy()).all()


@pytest.mark.parametrize(
    ("low", "high"), [(None, 3.0), (0.0, 3.0), (3.0, None), (None, pl.col("true") + 1), (pl.col("true") / 2, None)]
)
def test_bounds_on_one_side_only_and_no_reading_are_refused(low, high):
    frame = clinic().with_columns(low=pl.lit(low) if low is None else low, high=pl.lit(high) if high is None else high)
    with pytest.raises(ModelError, match="hold no scale"):
        fitted(LEVEL, frame)


def test_restricted_likelihood_is_refused_with_the_reason():
    with pytest.raises(UsageError, match=r"restricted maximum likelihood(.|\n)*no closed form"):
        fitted(LEVEL, clinic(), reml=True)


def test_crossed_bounds_are_refused_without_a_value():
    frame = clinic().with_columns(low=pl.when(pl.col("low").is_not_null()).then(77.25))
    with pytest.raises(UsageError, match=r"In 60 visits low lies above high") as refusal:
        fitted(LEVEL, frame)
    assert "77" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"high": pl.lit(0.0)}, ModelError, "no finite value"),
        ({"low": pl.lit(INFINITE), "high": pl.lit(None)}, ModelError, "low has no finite value"),
        ({"insulin": pl.lit(-1.0)}, ModelError, "insulin has no finite value"),
        ({"low": pl.lit("a")}, ColumnError, "Column low holds String"),
        ({"insulin": pl.lit(None), "low": pl.lit(None), "high": pl.lit(None)}, ModelError, "No visit is complete"),
    ],
)
def test_readings_and_bounds_that_cannot_be_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        fitted(LEVEL, clinic().with_columns(**change))


@pytest.mark.parametrize(
    ("formula", "error", "words"),
    [
        (LEVEL.replace("log", "scale"), FormulaError, "cannot carry bounds"),
        (LEVEL.replace("male", "insulin"), FormulaError, "also a term"),
        (LEVEL.replace("male", "height"), ColumnError, "height"),
        (LEVEL.replace("insulin", "c_peptide"), ColumnError, "c_peptide"),
        (LEVEL.replace("male", "male + male:years + years:male:male"), ModelError, "told apart"),
    ],
)
def test_formulas_that_cannot_be_fitted_are_refused(formula, error, words):
    frame = clinic() if "told" not in words else clinic().with_columns(male=pl.lit(1.0))
    with pytest.raises(error, match=words):
        fitted(formula, frame)


@pytest.mark.parametrize(("points", "formula"), [(3, LEVEL), (100, LEVEL.replace("(1", "(poly(years, degree=3)"))])
def test_points_that_cannot_be_used_are_refused(points, formula):
    with pytest.raises(UsageError, match="cannot use"):
        fitted(formula, clinic(v=6), points=points)


def test_bounds_leave_no_bias_where_half_the_limit_does():
    frames = [clinic(n=300, sds=(0.5, 0.0), seed=seed) for seed in range(3)]
    truth = np.array([2.0, 0.05, 0.2])
    bounds = [fitted(LEVEL, frame) for frame in frames]
    half = [fit(LEVEL.replace("insulin", "half"), frame, reml=False) for frame in frames]

    def off(fits):
        b = np.mean([one.coefficients for one in fits], axis=0)
        errors = np.mean([one.fixed["standard_error"].to_numpy() for one in fits], axis=0) / np.sqrt(len(fits))
        return np.abs(b - truth) / errors

    assert (off(bounds) < 3).all()
    assert off(half)[0] > 3
    assert np.isclose(np.mean([one.residual_variance for one in bounds]), 0.3**2, rtol=0.05)
    assert np.mean([one.residual_variance for one in half]) > 1.3 * 0.3**2


def test_a_censored_fit_is_shown_in_a_few_lines():
    found = fitted(LEVEL, clinic())
    lines = repr(found).splitlines()
    assert lines[0].endswith("60 participants, 240 visits, 60 of them known by bounds only")
    assert lines[1] == LEVEL
    assert any(line.startswith("people: Intercept") for line in lines)
    assert len(lines) < 20
    assert found._repr_html_().count("<table") == 2
