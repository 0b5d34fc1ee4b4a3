"""The population of courses: its likelihood, the climb to it, and the draws made from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import multivariate_normal

import ircohort as ic
from ircohort.detection import DetectSettings, climbing, growth, recalibration
from ircohort.detection.cohort import evenly, fit_cohort
from ircohort.detection.curves import BEND, TREND, Axes
from ircohort.detection.population import (
    ABSENT_VARIANCE,
    LEAST_VARIANCE,
    NODE_WEIGHTS,
    NODES,
    Population,
    evidence,
    expect,
    inverse_root,
    log_likelihoods,
    memberships,
    posteriors,
    residual_covariance,
)
from ircohort.detection.posterior import draw_courses, draw_prior, make_noise
from ircohort.detection.selection import select_series
from ircohort.detection.sums import Readings, Sums, make_sums
from ircohort.estimand import HiddenWindow

SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "labs.csv"
AXES = Axes(("insulin", "glucose", "tg_hdl"), (3, 3, 2), np.array([2.0, 4.5, 0.7]), np.array([0.5, 0.06, 0.45]), 12.0)
RESIDUAL = np.array([[0.30, 0.05, 0.02], [0.05, 0.60, 0.0], [0.02, 0.0, 0.25]])


def covariance_of(rng: np.random.Generator, size: int, scale: float = 1.0) -> np.ndarray:
    root = rng.normal(0, 0.4, (size, size)) + 0.6 * np.eye(size)
    return scale * root @ root.T + 0.05 * np.eye(size)


def two_components(rng: np.random.Generator, d: int, residual: np.ndarray = RESIDUAL) -> Population:
    return Population(
        weights=np.array([0.7, 0.3]),
        centre=rng.normal(0, 0.5, (2, d)),
        tail=rng.normal(0, 0.3, (2, d)),
        covariance=np.stack([covariance_of(rng, d), covariance_of(rng, d, 0.5)]),
        residual=residual,
        straight=np.zeros(2, dtype=bool),
    )


def readings_with_gaps(rng: np.random.Generator, counts: list[int]) -> Readings:
    series = np.repeat(np.arange(len(counts)), counts)
    m = len(series)
    values = AXES.mean + AXES.sd * rng.normal(0, 1, (m, 3))
    values[rng.random((m, 3)) < 0.3] = np.nan
    values[np.isnan(values).all(axis=1), 1] = 4.5
    return Readings(series, rng.uniform(0, 12, m), values, np.ones(m))


def rows_of(readings: Readings, i: int, axes: Axes = AXES) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Design (r, d) and standardised values (r,) of what series ``i`` measured, one row per outcome and visit."""
    design, values, where = [], [], []
    for row in np.flatnonzero(readings.series == i):
        z = 2 * readings.years[row] / axes.span_years - 1
        polynomials = np.array([1.0, z, (3 * z * z - 1) / 2])
        for j in np.flatnonzero(np.isfinite(readings.values[row])):
            line = np.zeros(axes.size)
            begin = sum(axes.columns[:j])
            line[begin : begin + axes.columns[j]] = polynomials[: axes.columns[j]]
            design.append(line)
            values.append((readings.values[row, j] - axes.mean[j]) / axes.sd[j])
            where.append((int(row), int(j)))
    return np.array(design), np.array(values), where


def noise_of(where: list[tuple[int, int]], residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Covariance of the errors: those of one visit go together, and a reading of lesser weight has a larger one."""
    return np.array([[residual[j, b] / weight[r] if r == s else 0.0 for s, b in where] for r, j in where])


def test_the_likelihood_is_that_of_the_readings_written_out() -> None:
    rng = np.random.default_rng(0)
    readings = readings_with_gaps(rng, [5, 3, 7, 1, 2])
    population = replace(two_components(rng, AXES.size), z_weights=rng.dirichlet(np.ones(len(NODES))))
    sums = make_sums(readings, 5, AXES)
    share, found = memberships(posteriors(population, evidence(sums, population.residual)))
    for i in range(5):
        design, values, where = rows_of(readings, i)
        noise = noise_of(where, RESIDUAL, readings.weight)
        parts = np.zeros((2, len(NODES)))
        for k in range(2):
            covariance = design @ population.covariance[k] @ design.T + noise
            for m, node in enumerate(NODES):
                mean = design @ (population.centre[k] + node * population.tail[k])
                density = multivariate_normal(mean, covariance).pdf(values)
                parts[k, m] = population.weights[k] * population.z_weights[m] * density
        assert found[i] == pytest.approx(np.log(parts.sum()), rel=1e-9)
        np.testing.assert_allclose(share[:, :, i], parts / parts.sum(), rtol=1e-8)


def test_a_reading_of_lesser_weight_counts_as_one_with_a_larger_error() -> None:
    rng = np.random.default_rng(1)
    readings = replace(readings_with_gaps(rng, [6, 4]), weight=rng.uniform(0.1, 1.0, 10))
    population = two_components(rng, AXES.size)
    parts = posteriors(population, evidence(make_sums(readings, 2, AXES), RESIDUAL))
    for i in range(2):
        design, values, where = rows_of(readings, i)
        gain = np.linalg.solve(noise_of(where, RESIDUAL, readings.weight), design)
        for k, part in enumerate(parts):
            precision = np.linalg.inv(population.covariance[k])
            covariance = np.linalg.inv(precision + design.T @ gain)
            np.testing.assert_allclose(part.root[:, :, i].T @ part.root[:, :, i], covariance, rtol=1e-8, atol=1e-12)
            mean = covariance @ (gain.T @ values + precision @ population.centre[k])
            np.testing.assert_allclose(part.centre[:, i], mean, rtol=1e-8, atol=1e-10)


def test_an_outcome_left_aside_is_as_if_it_had_not_been_measured() -> None:
    rng = np.random.default_rng(2)
    readings = readings_with_gaps(rng, [5, 3, 7])
    values = readings.values.copy()
    values[:, 2] = np.nan
    population = two_components(rng, AXES.size)
    aside = evidence(make_sums(readings, 3, AXES).without("tg_hdl"), RESIDUAL)
    never = evidence(make_sums(replace(readings, values=values), 3, AXES), RESIDUAL)
    for name in ("information", "score", "constant"):
        np.testing.assert_allclose(getattr(aside, name), getattr(never, name), rtol=1e-12, atol=1e-12)
    assert memberships(posteriors(population, aside))[1] == pytest.approx(
        memberships(posteriors(population, never))[1], rel=1e-12
    )


def test_the_inverse_root_is_that_of_numpy() -> None:
    rng = np.random.default_rng(3)
    stack = np.stack([covariance_of(rng, 5) for _ in range(4)], axis=-1)
    inverse, log_det = inverse_root(stack)
    for i in range(4):
        np.testing.assert_allclose(inverse[:, :, i], np.linalg.inv(np.linalg.cholesky(stack[:, :, i])), atol=1e-10)
        assert log_det[i] == pytest.approx(np.linalg.slogdet(stack[:, :, i])[1])


def test_the_tail_is_standardised_and_long_upwards() -> None:
    moments = [float(NODE_WEIGHTS @ NODES**k) for k in range(4)]
    assert moments[:3] == pytest.approx([1, 0, 1], abs=1e-12)
    assert moments[3] > 1.5  # a normal has 0, this lognormal before it is cut off 5.3


# The climb


def simulated(
    rng: np.random.Generator, population: Population, n: int, visits: int, axes: Axes = AXES
) -> tuple[Readings, np.ndarray]:
    """Draw people from the population, with readings at random times, a fifth of the first outcome missing."""
    k = rng.choice(population.components, n, p=population.weights)
    z = NODES[rng.choice(len(NODES), n, p=population.z_weights)]
    roots = np.linalg.cholesky(population.covariance)[k]
    normal = np.einsum("nab,nb->na", roots, rng.normal(size=(n, axes.size)))
    courses = population.centre[k] + z[:, None] * population.tail[k] + normal
    series = np.repeat(np.arange(n), visits)
    years = rng.uniform(0, axes.span_years, n * visits)
    basis = axes.basis(years)
    q = len(axes.outcomes)
    fitted = np.column_stack(
        [(basis[:, : axes.columns[j]] * courses[series][:, place]).sum(axis=1) for j, place in enumerate(axes.places)]
    )
    errors = rng.normal(size=(n * visits, q)) @ np.linalg.cholesky(population.residual).T
    values = axes.mean + axes.sd * (fitted + errors)
    values[rng.random(n * visits) < 0.2, 0] = np.nan
    return Readings(series, years, values, np.ones(n * visits)), k


@pytest.fixture(scope="module")
def drawn() -> tuple[Population, Sums]:
    rng = np.random.default_rng(4)
    population = two_components(rng, AXES.size)
    readings, _ = simulated(rng, population, 150, 6)
    return population, make_sums(readings, 150, AXES)


def normal_start(sums: Sums) -> Population:
    d, q = sums.axes.size, len(sums.axes.outcomes)
    return Population(
        np.ones(1), np.zeros((1, d)), np.zeros((1, d)), 0.5 * np.eye(d)[None], 0.4 * np.eye(q), np.zeros(1, dtype=bool)
    )


def climbed(at: Population, sums: Sums, weight: np.ndarray, pull: climbing.Pull) -> float:
    """The likelihood with the prior that the pull, the people added and the one without a tail amount to."""
    value = expect(at, sums, weight).log_likelihood
    if at.components > 1:
        value += climbing._PRIOR_WEIGHT * np.log(at.weights).sum()
    if np.isfinite(pull.z_people):
        value += pull.z_people * NODE_WEIGHTS @ np.log(at.z_weights)
    for tail, covariance in zip(at.tail, at.covariance, strict=True):
        value -= 0.5 * climbing._TAIL_PRIOR * np.linalg.slogdet(covariance)[1]
        value -= 0.5 * climbing._TAIL_PRIOR * tail @ np.linalg.solve(covariance, tail)
    for covariance in at.covariance[:1] if at.tied else at.covariance:
        value -= 0.5 * pull.people * np.linalg.slogdet(covariance)[1]
        value -= 0.5 * np.trace(np.linalg.solve(covariance, pull.people * pull.towards))
    return float(value)


def test_no_step_with_one_normal_component_lowers_what_it_climbs(drawn: tuple[Population, Sums]) -> None:
    sums, weight = drawn[1], np.random.default_rng(5).exponential(1.0, 150)
    nothing = climbing.Pull(np.eye(AXES.size), people=0.0)
    population, values = normal_start(sums), []
    for _ in range(40):
        values.append(climbed(population, sums, weight, nothing))
        after = climbing.better(population, sums, weight, None)
        assert after.log_likelihood == pytest.approx(expect(population, sums, weight).log_likelihood)
        population = after
    gains = np.diff(values)
    assert (gains > -1e-5).all()
    assert gains[0] > 1 > gains[-1]
    assert np.abs(population.tail).max() < 1e-12  # what begins without a tail stays so


@pytest.mark.parametrize(
    ("straight", "z_people", "tied"),
    [
        (np.array([False, False]), np.inf, False),
        (np.array([True, False]), np.inf, False),
        (np.array([False, False]), 3.0, False),
        (np.array([False, False]), np.inf, True),
        (np.array([True, True]), np.inf, True),
    ],
)
def test_no_step_of_a_mixture_with_tails_lowers_what_it_climbs(
    drawn: tuple[Population, Sums], straight: np.ndarray, z_people: float, tied: bool
) -> None:
    population, sums = drawn
    pull, ones = climbing.Pull(np.diag(np.linspace(0.2, 0.4, AXES.size)), z_people=z_people), np.ones(sums.n)
    at = replace(population, centre=population.centre + 0.3, residual=1.5 * population.residual)
    if tied:
        at = replace(at, covariance=np.repeat(at.covariance[:1], 2, axis=0), tied=True)
    at = replace(at, straight=straight).constrained(BEND)
    values = []
    for _ in range(25):
        values.append(climbed(at, sums, ones, pull))
        at = climbing.better(at, sums, ones, pull)
    gains = np.diff(values)
    assert gains[0] > 5
    # Where the bend is held at a fixed small variance, the pull on it is no part of what is climbed.
    assert gains.min() > -1e-4
    assert np.isfinite(z_people) != np.allclose(at.z_weights, NODE_WEIGHTS, rtol=1e-12)


def test_a_sharpened_population_keeps_means_and_covariances_and_spreads_the_trend_in_its_tail() -> None:
    population = two_components(np.random.default_rng(8), AXES.size)
    sharp = growth.sharpened(replace(population, tied=True))
    assert not sharp.tied
    assert np.array_equal(sharp.centre, population.centre)
    for k in range(2):
        before, after = (part.covariance[k] + np.outer(part.tail[k], part.tail[k]) for part in (population, sharp))
        assert after == pytest.approx(before)
        assert sharp.tail[k, TREND] ** 2 == pytest.approx(0.95 * after[TREND, TREND], rel=1e-2)
        assert sharp.tail[k, TREND] > 0
        assert np.linalg.eigvalsh(sharp.covariance[k]).min() > 0


def test_a_climb_finds_a_higher_point_than_as_many_plain_steps(drawn: tuple[Population, Sums]) -> None:
    sums = drawn[1]
    plain = normal_start(sums)
    for _ in range(30):
        plain = climbing.better(plain, sums, np.ones(sums.n), None)
    reached = climbing.climb(normal_start(sums), sums, 10)
    assert reached.log_likelihood > plain.log_likelihood - 0.01
    assert reached.log_likelihood == pytest.approx(expect(reached, sums, np.ones(sums.n)).log_likelihood)


def test_weights_count_series_as_copies_of_them_would(drawn: tuple[Population, Sums]) -> None:
    population, sums = drawn
    twice = sums.take(np.append(np.arange(sums.n), [0, 1, 1]))
    counts = np.ones(sums.n)
    counts[[0, 1]] = [2, 3]
    by_weight, by_copy = (
        climbing.better(population, part, weight, None) for part, weight in ((sums, counts), (twice, np.ones(twice.n)))
    )
    np.testing.assert_allclose(climbing._pack(by_weight), climbing._pack(by_copy), rtol=1e-8, atol=1e-10)


def test_a_population_survives_being_packed(drawn: tuple[Population, Sums]) -> None:
    population = replace(drawn[0], z_weights=np.random.default_rng(4).dirichlet(np.ones(len(NODES))))
    back = climbing._unpack(climbing._pack(population), population)
    for name in ("weights", "z_weights", "centre", "tail", "covariance", "residual"):
        np.testing.assert_allclose(getattr(back, name), getattr(population, name), rtol=1e-12, atol=1e-14)


def test_the_residual_covariance_is_found_although_outcomes_are_missing() -> None:
    rng = np.random.default_rng(6)
    truth = two_components(rng, AXES.size)
    readings, _ = simulated(rng, truth, 1500, 6)
    values = readings.values.copy()
    values[rng.random(len(values)) < 0.4, 1] = np.nan
    sums = make_sums(replace(readings, values=values), 1500, AXES)
    at = replace(truth, residual=np.diag([0.5, 0.5, 0.5]))
    for _ in range(40):
        found = expect(at, sums, np.ones(sums.n))
        at = replace(at, residual=residual_covariance(found, sums.seen, at.residual))
    np.testing.assert_allclose(at.residual, RESIDUAL, atol=0.03)


def test_a_climb_comes_back_to_the_population_the_data_were_drawn_from() -> None:
    rng = np.random.default_rng(7)
    axes = Axes(("insulin", "glucose"), (3, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    truth = Population(
        weights=np.array([0.6, 0.4]),
        centre=np.array([[-0.8, 0.0, 0.0, -0.5, 0.0], [0.9, 0.6, -0.2, 0.6, 0.2]]),
        tail=np.array([[0.0, 0.5, 0.1, 0.0, 0.0], [0.0, 0.1, 0.0, 0.0, 0.2]]),
        covariance=np.stack([np.diag([0.15, 0.05, 0.03, 0.2, 0.05])] * 2),
        residual=np.array([[0.2, 0.05], [0.05, 0.3]]),
        straight=np.zeros(2, dtype=bool),
    )
    readings, _ = simulated(rng, truth, 2500, 9, axes)
    sums = make_sums(readings, 2500, axes)
    found = climbing.climb(replace(truth, centre=truth.centre + 0.2, tail=0.5 * truth.tail), sums, 25)
    assert found.weights == pytest.approx(truth.weights, abs=0.05)
    np.testing.assert_allclose(found.centre, truth.centre, atol=0.08)
    np.testing.assert_allclose(found.tail[0], truth.tail[0], atol=0.1)
    np.testing.assert_allclose(found.residual, truth.residual, atol=0.02)
    np.testing.assert_allclose(found.covariance[0], truth.covariance[0], atol=0.06)
    # The population itself cannot be much likelier than what was found.
    assert found.log_likelihood > expect(truth, sums, np.ones(sums.n)).log_likelihood


def test_the_shape_of_the_tail_is_learned_where_it_is_no_lognormal() -> None:
    rng = np.random.default_rng(11)
    axes = Axes(("insulin", "glucose"), (2, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    rises = np.array([0, 0, 0.8, 0, 0, 0, 0.2, 0, 0])  # most people alike, one in five far above them
    truth = Population(
        weights=np.ones(1),
        centre=np.zeros((1, 4)),
        tail=np.array([[0.0, 0.6, 0.0, 0.0]]),
        covariance=np.diag([0.1, 0.01, 0.1, 0.02])[None],
        residual=0.1 * np.eye(2),
        straight=np.zeros(1, dtype=bool),
        z_weights=rises,
    )
    readings, _ = simulated(rng, truth, 1500, 8, axes)
    sums = make_sums(readings, 1500, axes)
    kept = climbing.climb(replace(truth, z_weights=NODE_WEIGHTS), sums, 20, pull=climbing.Pull(0.03 * np.eye(4)))
    learned = climbing.climb(kept, sums, 40, pull=climbing.Pull(0.03 * np.eye(4), z_people=5.0))
    np.testing.assert_allclose(kept.z_weights, NODE_WEIGHTS, rtol=1e-12)
    assert learned.log_likelihood > kept.log_likelihood + 50
    # Nobody is between the two groups, and one in five is in the upper one, wherever on the nodes it has come to lie.
    draws = draw_prior((learned,), make_noise(4, 4096, 1))[1, 0]
    low, high = truth.tail[0, 1] * NODES[[2, 6]]
    assert (draws > 0.5 * (low + high)).mean() == pytest.approx(0.2, abs=0.04)
    assert np.median(draws) == pytest.approx(low, abs=0.05)


def test_nobody_in_a_straight_component_bends_otherwise_than_its_mean(drawn: tuple[Population, Sums]) -> None:
    population, sums = drawn
    start = replace(population, straight=np.array([True, False]))
    after = climbing.climb(start, sums, 3, pull=climbing.Pull(0.3 * np.eye(AXES.size)))
    own = after.covariance[0].copy()
    assert own[BEND, BEND] == pytest.approx(ABSENT_VARIANCE, rel=1e-6)
    own[BEND, BEND] = 0.0
    np.testing.assert_allclose(own[BEND], 0.0, atol=1e-12)
    assert after.tail[0, BEND] == pytest.approx(0.0, abs=1e-12)
    assert after.covariance[1, BEND, BEND] > 10 * ABSENT_VARIANCE
    assert population.n_parameters - after.n_parameters == AXES.size + 1


def test_no_step_is_stretched_beyond_the_variances_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    # Readings without scatter: beyond these variances likelihoods are void, and such a step would be taken for a gain.
    axes = Axes(("insulin", "glucose"), (2, 3), np.array([2.2, 4.5]), np.array([0.3, 0.001]), 10.0)
    even = Population(
        weights=np.array([0.5, 0.5]),
        centre=np.array([[-0.6, -0.9, 0.0, 0.0, 0.0], [0.6, 0.9, 0.0, 0.0, 0.0]]),
        tail=np.zeros((2, 5)),
        covariance=np.stack([np.diag([0.15, 0.15, 1e-7, 1e-7, 1e-7])] * 2),
        residual=1e-6 * np.eye(2),
        straight=np.ones(2, dtype=bool),
    )
    least = []

    def recorded(population: Population, sums: Sums, weight: np.ndarray) -> object:
        least.append([np.linalg.eigvalsh(part).min() for part in (population.residual, population.covariance)])
        return expect(population, sums, weight)

    monkeypatch.setattr(climbing, "expect", recorded)
    readings, _ = simulated(np.random.default_rng(0), even, 450, 11, axes)
    found = growth.single(make_sums(readings, 450, axes))
    assert np.isfinite(found.log_likelihood)
    assert (np.min(least, axis=0) >= (LEAST_VARIANCE, climbing._LEAST_OF_COURSES)).all()


def test_in_an_upward_population_the_trend_spreads_in_the_tails_only(drawn: tuple[Population, Sums]) -> None:
    population, sums = drawn
    for straight in (population.straight, np.array([True, False])):
        start = replace(population, straight=straight, upward=True).constrained(BEND)
        after = climbing.climb(start, sums, 3, pull=climbing.Pull(0.3 * np.eye(AXES.size)))
        for own in after.covariance:
            others = np.delete(own[TREND], TREND)
            np.testing.assert_allclose(others, 0.0, atol=1e-12)
            assert own[TREND, TREND] == pytest.approx(ABSENT_VARIANCE, rel=1e-6)
        assert np.abs(after.tail[:, TREND]).max() > 0.05
        free = int((np.abs(np.stack([np.tril(own) for own in after.covariance])) > 1e-9).sum())
        fixed = 2 + straight.sum()  # variances that are held
        tails = 2 * AXES.size - straight.sum()
        assert after.n_parameters == free - fixed + tails + 2 * AXES.size + 2
    height = log_likelihoods(after, sums)
    assert height.shape == (sums.n,)
    assert height.sum() == pytest.approx(after.log_likelihood)


@pytest.mark.parametrize("straight", [False, True])
def test_the_components_of_a_tied_population_share_one_covariance(
    drawn: tuple[Population, Sums], straight: bool
) -> None:
    population, sums = drawn
    start = replace(population, straight=np.full(2, straight), tied=True).constrained(BEND)
    after = climbing.climb(start, sums, 3, pull=climbing.Pull(0.3 * np.eye(AXES.size)))
    np.testing.assert_array_equal(after.covariance[0], after.covariance[1])
    free = int((np.abs(np.tril(after.covariance[0])) > 1e-9).sum()) - straight  # a variance that is held
    tails = 2 * (AXES.size - straight)
    assert after.n_parameters == free + tails + 2 * AXES.size + 2
    shared, own = (
        climbing.climb(replace(after, tied=tied), sums, 10, pull=climbing.Pull(0.3 * np.eye(AXES.size)))
        for tied in (True, False)
    )
    assert own.log_likelihood > shared.log_likelihood
    assert not np.allclose(own.covariance[0], own.covariance[1])


def grown(sums: Sums, everyone: Sums | None = None, *, tied: bool = False) -> tuple[Population, ...]:
    return growth.grow(growth.single(sums), sums, 0, everyone, tied=tied)


@pytest.mark.parametrize("tied", [False, True])
def test_a_further_component_enters_only_where_the_data_ask_for_it(tied: bool) -> None:
    rng = np.random.default_rng(8)
    axes = Axes(("insulin", "glucose"), (2, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    one = Population(
        np.ones(1),
        np.zeros((1, 4)),
        np.zeros((1, 4)),
        np.diag([0.5, 0.1, 0.5, 0.1])[None],
        0.3 * np.eye(2),
        np.zeros(1, dtype=bool),
    )
    three = replace(
        one,
        weights=np.array([0.5, 0.3, 0.2]),
        centre=np.array([[-1.5, -0.3, 0, 0], [0, 1.2, 0, 0.8], [1.5, -1.2, 1, -0.8]]),
        tail=np.zeros((3, 4)),
        covariance=np.repeat(0.2 * one.covariance, 3, axis=0),
        straight=np.zeros(3, dtype=bool),
    )
    readings, cluster = simulated(rng, one, 300, 8, axes)
    plain = grown(make_sums(readings, 300, axes), tied=tied)
    assert plain[0].components == 1
    readings, cluster = simulated(rng, three, 300, 8, axes)
    sums = make_sums(readings, 300, axes)
    found = grown(sums, tied=tied)
    assert found[0].components >= 3
    assert [fit.criterion for fit in found] == sorted(fit.criterion for fit in found)
    assert found[-1].criterion <= found[0].criterion + growth.AS_GOOD
    # Who came from one cluster is told from who came from another.
    share, _ = memberships(posteriors(found[0], evidence(sums, found[0].residual)))
    likeliest = share.sum(axis=1).argmax(axis=0)
    crossed = np.array([[np.sum((likeliest == a) & (cluster == b)) for b in range(3)] for a in range(4)])
    assert crossed.max(axis=1).sum() > 270


@pytest.mark.parametrize(("larger", "tied"), [(1.0, True), (6.0, False)])
def test_components_share_a_covariance_unless_the_data_ask_for_their_own(larger: float, tied: bool) -> None:
    rng = np.random.default_rng(11)
    axes = Axes(("insulin", "glucose"), (2, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    two = Population(
        weights=np.array([0.6, 0.4]),
        centre=np.array([[-0.8, -0.3, 0, 0], [0.8, 0.8, 0.4, 0.4]]),
        tail=np.zeros((2, 4)),
        covariance=np.diag([0.2, 0.04, 0.2, 0.04]) * np.array([1.0, larger])[:, None, None],
        residual=0.3 * np.eye(2),
        straight=np.zeros(2, dtype=bool),
    )
    readings, _ = simulated(rng, two, 400, 8, axes)
    found = grown(make_sums(readings, 400, axes), tied=True)
    assert (found[0].components, found[0].tied) == (2, tied)
    assert (np.ptp(found[0].covariance, axis=0).max() == 0) == tied


def test_several_starts_take_small_cohorts_further_up_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = ic.markers(ic.read(SAMPLE).visits)
    cohort = fit_cohort(select_series(visits, DetectSettings()), DetectSettings(refits=0), 0)
    assert cohort is not None
    sums = cohort.sums.take(evenly(cohort.sums, cohort.sums.n))
    common = growth.single(sums)

    def heights(seeds: int) -> np.ndarray:
        return np.array([growth.grow(common, sums, seed, tied=True)[0].criterion for seed in range(seeds)])

    several = heights(3)
    monkeypatch.setattr(growth, "_MOST_STARTS", 1)
    once = heights(5)
    assert np.median(several) < once.min() + 2  # the lowest is the best
    assert np.median(once) > np.median(several) + growth.AS_GOOD
    assert several.max() < np.median(once)


def test_everyone_decides_how_many_components_there_are_where_a_part_cannot() -> None:
    rng = np.random.default_rng(10)
    axes = Axes(("insulin", "glucose"), (2, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    near = Population(
        weights=np.array([0.5, 0.3, 0.2]),
        centre=0.5 * np.array([[-1.5, -0.3, 0, 0], [0, 1.2, 0, 0.8], [1.5, -1.2, 1, -0.8]]),
        tail=np.zeros((3, 4)),
        covariance=np.repeat(np.diag([0.1, 0.02, 0.1, 0.02])[None], 3, axis=0),
        residual=0.3 * np.eye(2),
        straight=np.zeros(3, dtype=bool),
    )
    readings, _ = simulated(rng, near, 1500, 8, axes)
    everyone = make_sums(readings, 1500, axes)
    part = everyone.take(slice(0, 200))
    alone = grown(part)
    assert {fit.components for fit in alone} == {2}
    np.testing.assert_allclose(alone[0].z_weights, NODE_WEIGHTS, rtol=1e-12)
    found = grown(part, everyone)
    assert found[0].components == 3
    assert found[0].log_likelihood == pytest.approx(expect(found[0], everyone, np.ones(1500)).log_likelihood)
    assert not np.allclose(found[0].z_weights, NODE_WEIGHTS)


@pytest.mark.parametrize(
    ("apart", "noise", "cycles", "part_of_the_way", "in_the_end"),
    [(0.4, 1.0, 0, 1, 2), (0.6, 2.0, 16, 2, 1)],
    ids=["a second one that climbs slowly", "one whose shape is learned"],
)
def test_a_second_component_of_a_large_cohort_is_asked_for_at_the_end_of_the_climb(
    monkeypatch: pytest.MonkeyPatch, apart: float, noise: float, cycles: int, part_of_the_way: int, in_the_end: int
) -> None:
    monkeypatch.setattr(growth, "_FURTHER_CYCLES", cycles)
    rng = np.random.default_rng({0.4: 10, 0.6: 12}[apart])
    axes = Axes(("insulin", "glucose"), (2, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    truth = Population(
        weights=np.array([0.5, 0.3, 0.2]),
        centre=apart * np.array([[-1.5, -0.3, 0, 0], [0, 1.2, 0, 0.8], [1.5, -1.2, 1, -0.8]]),
        tail=np.zeros((3, 4)),
        covariance=np.repeat(np.diag([0.1, 0.02, 0.1, 0.02])[None], 3, axis=0),
        residual=noise * np.eye(2),
        straight=np.zeros(3, dtype=bool),
    )
    readings, _ = simulated(rng, truth, 1500, 8, axes)
    everyone = make_sums(readings, 1500, axes)
    part = everyone.take(slice(0, 300))
    common = growth.single(part)
    pull, free = growth.pull_of(common), growth.pull_of(common, growth._Z_PEOPLE)
    begun = [growth._start(common, part, k, [0, k]) for k in (1, 2)]
    short = [climbing.climb(climbing.climb(fit, part, 40, pull=pull), everyone, cycles, pull=pull) for fit in begun]
    assert min(short, key=lambda fit: fit.criterion).components == part_of_the_way
    long = [climbing.climb(fit, everyone, 48, pull=free) for fit in short]
    assert min(long, key=lambda fit: fit.criterion).components == in_the_end
    assert grown(part, everyone)[0].components == in_the_end


@pytest.mark.parametrize(
    ("apart", "rising", "noise", "kept"),
    [(1.5, 0.3, 0.3, [False]), (0.0, 0.5, 0.3, [False, True]), (0.3, 0.1, 2.0, [False, True])],
    ids=["two groups, clearly", "rises only, clearly", "hardly visible"],
)
def test_an_upward_population_stands_beside_others_where_readings_allow_it(
    apart: float, rising: float, noise: float, kept: list[bool]
) -> None:
    rng = np.random.default_rng(15)
    axes = Axes(("insulin", "glucose"), (2, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    truth = Population(
        weights=np.array([0.6, 0.4]),
        centre=apart * np.array([[0.0, -0.6, 0.5, 0.0], [0.0, 0.9, -0.5, 0.0]]),
        tail=np.array([[0.0, rising, 0.0, 0.0]] * 2),
        covariance=np.repeat(np.diag([0.5, 1e-4 + (0.3 * apart) ** 2, 0.5, 0.1])[None], 2, axis=0),
        residual=noise * np.eye(2),
        straight=np.zeros(2, dtype=bool),
    )
    readings, _ = simulated(rng, truth, 1200, 8, axes)
    everyone = make_sums(readings, 1200, axes)
    part = everyone.take(slice(0, 400))
    common = growth.single(part)
    found = growth.families(common, part, 0, everyone)
    assert [family[0].upward for family in found.kept] == kept
    small = growth.families(common, part, 0)
    ((alone, *_),) = small.kept
    np.testing.assert_array_equal(alone.covariance, grown(part, tied=True)[0].covariance)

    # Small cohorts do not learn the shape of z; others do, more freely where the readings choose.
    assert np.isinf(small.pull.z_people)
    np.testing.assert_allclose(alone.z_weights, NODE_WEIGHTS, rtol=1e-12)
    for family in found.kept:
        freer = climbing.climb(family[0], everyone, 48, pull=growth.pull_of(common, growth._Z_PEOPLE))
        held, free = (np.abs(fit.z_weights - NODE_WEIGHTS).sum() for fit in (family[0], freer))
        assert 0 < held <= free + 1e-3
        assert (held < 0.7 * free) == (len(kept) > 1)

    # Refits are shared out evenly over what is kept.
    again = growth.refits(found, everyone, 4, 3)
    assert [fit.upward for fit in again] == list(np.repeat(kept, 4 // len(kept)))
    assert len({round(fit.log_likelihood, 6) for fit in again}) == 4


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("bend_sd", "bends"), [(0.5, True), (0.0, False)])
def test_the_marker_bends_only_where_the_data_ask_for_it(bend_sd: float, bends: bool, tied: bool) -> None:
    rng = np.random.default_rng(9)
    axes = Axes(("insulin", "glucose"), (3, 2), np.array([2.0, 4.5]), np.array([0.5, 0.06]), 10.0)
    truth = Population(
        weights=np.array([0.6, 0.4]),
        centre=np.array([[-0.8, 0.0, 0.0, -0.5, 0.0], [0.9, 0.6, 0.0, 0.6, 0.2]]),
        tail=np.array([[0.0, 0.4, 0.0, 0.0, 0.0], [0.0, 0.1, 0.0, 0.0, 0.2]]),
        covariance=np.stack([np.diag([0.3, 0.1, bend_sd**2 + 1e-8, 0.3, 0.1])] * 2),
        residual=0.3 * np.eye(2),
        straight=np.zeros(2, dtype=bool),
    )
    readings, _ = simulated(rng, truth, 300, 9, axes)
    sums = make_sums(readings, 300, axes)
    found = grown(sums, tied=tied)
    assert (found[0].straight.all() != bends, found[0].tied) == (True, tied)

    # Learned again as rich as it is, but not from where it stands, it is as likely, if not from every start.
    pull = growth.pull_of(growth.single(sums))
    again = [growth.grow_alike(found[0], sums, pull, seed) for seed in (4, 5, 6)]
    assert {(one.components, one.tied) for one in again} == {(found[0].components, tied)}
    assert {one.straight.sum() for one in again} == {found[0].straight.sum()}
    assert max(one.log_likelihood for one in again) == pytest.approx(found[0].log_likelihood, abs=3.0)


def test_few_series_are_given_one_component(drawn: tuple[Population, Sums]) -> None:
    few = drawn[1].take(slice(0, 2 * growth.SERIES_PER_COMPONENT - 1))
    assert {fit.components for fit in grown(few)} == {1}


# Draws


def test_draws_have_the_moments_of_the_exact_conditional_normal() -> None:
    rng = np.random.default_rng(9)
    readings = readings_with_gaps(rng, [5, 3, 8])
    d = AXES.size
    population = Population(
        np.ones(1),
        rng.normal(0, 0.5, (1, d)),
        np.zeros((1, d)),
        covariance_of(rng, d)[None],
        RESIDUAL,
        np.zeros(1, dtype=bool),
    )
    courses = draw_courses((population,), make_sums(readings, 3, AXES), make_noise(d, 4096, 0))
    for i in range(3):
        design, values, where = rows_of(readings, i)
        covariance = design @ population.covariance[0] @ design.T + noise_of(where, RESIDUAL, readings.weight)
        gain = population.covariance[0] @ design.T @ np.linalg.inv(covariance)
        mean = population.centre[0] + gain @ (values - design @ population.centre[0])
        left = population.covariance[0] - gain @ design @ population.covariance[0]
        sd = np.sqrt(np.diag(left))
        np.testing.assert_allclose((courses[:, i].mean(axis=1) - mean) / sd, 0.0, atol=0.02)
        np.testing.assert_allclose(np.cov(courses[:, i]) / np.outer(sd, sd), left / np.outer(sd, sd), atol=0.03)


def test_draws_of_a_mixture_have_its_mean_and_those_before_any_reading_its_covariance() -> None:
    rng = np.random.default_rng(10)
    population = two_components(rng, AXES.size)
    noise = make_noise(AXES.size, 8192, 1)
    before = draw_prior((population,), noise)[:, 0]
    # z has variance 1, so that a tail adds t t' to the covariance within a component.
    within = sum(
        w * (c + np.outer(t, t))
        for w, c, t in zip(population.weights, population.covariance, population.tail, strict=True)
    )
    away = population.centre - population.mean
    covariance = within + (population.weights[:, None] * away).T @ away
    np.testing.assert_allclose(before.mean(axis=1), population.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(before), covariance, atol=0.06)
    readings = readings_with_gaps(rng, [6])
    sums = make_sums(readings, 1, AXES)
    parts = posteriors(population, evidence(sums, RESIDUAL))
    share = memberships(parts)[0][:, :, 0]
    mean = sum(
        share[k].sum() * part.centre[:, 0] + (share[k] @ NODES) * part.lean[:, 0] for k, part in enumerate(parts)
    )
    after = draw_courses((population,), sums, noise)[:, 0]
    np.testing.assert_allclose(after.mean(axis=1), mean, atol=0.03)


def test_each_population_gives_its_share_of_the_draws() -> None:
    rng = np.random.default_rng(11)
    one = two_components(rng, AXES.size)
    other = replace(one, centre=one.centre + 50.0)
    noise = make_noise(AXES.size, 256, 0)
    before = draw_prior((one, other), noise)[0, 0]
    assert (before[:128] < 25).all()
    assert (before[128:] > 25).all()
    assert [len(block) for block in noise.blocks(2)] == [128, 128]


def test_a_series_is_drawn_the_same_alone_and_among_others() -> None:
    rng = np.random.default_rng(12)
    population = two_components(rng, AXES.size)
    sums = make_sums(readings_with_gaps(rng, [5, 3, 7, 4]), 4, AXES)
    noise = make_noise(AXES.size, 128, 0)
    together = draw_courses((population,), sums, noise)
    alone = draw_courses((population,), sums.take(np.array([2])), noise)
    np.testing.assert_allclose(together[:, [2]], alone, rtol=1e-10, atol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(0, 8), min_size=1, max_size=3),
    when=st.floats(0.0, 12.0),
    measured=st.sampled_from([(0,), (1,), (0, 1), (0, 1, 2)]),
)
def test_a_visit_at_its_predicted_value_never_lowers_the_certainty_of_the_sign_of_the_slope(
    seed: int, counts: list[int], when: float, measured: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    d = AXES.size
    population = Population(
        np.ones(1),
        rng.normal(0, 1, (1, d)),
        np.zeros((1, d)),
        covariance_of(rng, d)[None],
        RESIDUAL,
        np.zeros(1, dtype=bool),
    )
    readings = readings_with_gaps(rng, counts)
    n, basis = len(counts), AXES.basis(np.array([when]))[0]
    before = posteriors(population, evidence(make_sums(readings, n, AXES), RESIDUAL))[0]
    predicted = np.full((n, 3), np.nan)
    for j in measured:
        place = AXES.places[j]
        predicted[:, j] = AXES.mean[j] + AXES.sd[j] * (basis[: AXES.columns[j]] @ before.centre[place])
    order = np.argsort(np.append(readings.series, np.arange(n)), kind="stable")
    more = Readings(
        np.append(readings.series, np.arange(n))[order],
        np.append(readings.years, np.full(n, when))[order],
        np.concatenate([readings.values, predicted])[order],
        np.ones(len(order)),
    )
    after = posteriors(population, evidence(make_sums(more, n, AXES), RESIDUAL))[0]
    change = AXES.basis(np.array([12.0]))[0] - AXES.basis(np.array([0.0]))[0]
    for direction in (np.eye(d)[TREND], np.concatenate([change, np.zeros(d - 3)])):
        certainty = [
            np.abs(direction @ part.centre) / np.sqrt(((part.root.transpose(2, 0, 1) @ direction) ** 2).sum(axis=1))
            for part in (before, after)
        ]
        assert (certainty[1] >= certainty[0] * (1 - 1e-9) - 1e-9).all()


# How far probabilities can be taken at their word


def test_the_curve_of_correction_is_that_of_logistic_regression() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(12)
    stated = rng.uniform(0.02, 0.98, 3000)
    true = rng.random(3000) < expit(-0.4 + 0.6 * logit(stated))
    found = recalibration._curve(stated, true)
    reference = sm.Logit(true.astype(float), sm.add_constant(logit(stated))).fit(disp=False).params
    assert (found.shift, found.slope) == pytest.approx(tuple(reference), abs=1e-4)
    assert found(np.array([0.5])).item() == pytest.approx(expit(found.shift))
    assert np.isnan(found(np.array([np.nan]))).all()


def test_a_correction_draws_nothing_away_from_the_middle_and_takes_windows_to_learn() -> None:
    rng = np.random.default_rng(13)
    stated = rng.uniform(0.2, 0.8, 3000)
    shy = rng.random(3000) < expit(2.0 * logit(stated))
    assert recalibration._curve(stated, shy).slope == 1.0
    few = np.zeros(3000, dtype=bool)
    few[:19] = True
    assert recalibration._curve(stated, few) == recalibration.NO_CORRECTION
    assert np.array_equal(recalibration.NO_CORRECTION(stated), stated)


def even_population() -> tuple[np.ndarray, Population]:
    """Give one normal component of lines, and its covariance."""
    spread = np.diag([0.8, 0.06, 0.8, 0.01, 0.8, 0.02])
    return spread, Population(
        weights=np.ones(1),
        centre=np.array([[0.0, 0.1, 0.0, 0.05, 0.0, 0.0]]),
        tail=np.zeros((1, 6)),
        covariance=spread[None],
        residual=RESIDUAL,
        straight=np.zeros(1, dtype=bool),
    )


def test_readings_of_a_population_that_spreads_upwards_only_are_taken_for_more_windows_than_they_hold() -> None:
    """The reason why small cohorts learn their correction from such a population too."""
    rng, every = np.random.default_rng(14), np.ones(400, dtype=bool)
    axes, (spread, even) = replace(AXES, columns=(2, 2, 2)), even_population()
    series, years = np.repeat(np.arange(400), 11), np.tile(np.linspace(0, 12, 11), 400)
    readings = Readings(series, years, rng.normal(0, 1, (len(series), 3)), np.ones(len(series)))
    pull, rule = climbing.Pull(0.3 * spread), HiddenWindow(0.25, 2.0, 100.0)

    def shift(*sources: Population) -> float:
        learned = recalibration.learn_correction(readings, every, axes, sources, learn, rule, 2 * len(sources), 3)
        return float(learned(np.array([0.5])).item())

    def learn(drawn: Sums) -> tuple[Population, ...]:
        return (growth.grow_alike(even, drawn, pull, 3),)

    assert shift(growth.sharpened(even)) < shift(even) - 0.02
    assert shift(growth.sharpened(even)) < shift(even, growth.sharpened(even))
    nothing = recalibration.learn_correction(readings, every, axes, (even,), learn, rule, 0, 3)
    assert nothing == recalibration.NO_CORRECTION


def test_series_that_cannot_be_judged_do_not_stand_for_those_that_can() -> None:
    """They hold no window and are said to hold none: counted, they would make any statement look right."""
    rng = np.random.default_rng(16)
    axes, (spread, even), rule = replace(AXES, columns=(2, 2, 2)), even_population(), HiddenWindow(0.25, 2.0, 100.0)
    pull, kinds = climbing.Pull(0.3 * spread), np.repeat([True, False], [300, 1200])
    series = np.concatenate([np.repeat(np.arange(300), 6), np.arange(300, 1500)])
    years = np.concatenate([np.tile(np.linspace(0, 10, 6), 300), np.zeros(1200)])
    readings = Readings(series, years, rng.normal(0, 1, (len(series), 3)), np.ones(len(series)))

    def learn(drawn: Sums) -> tuple[Population, ...]:
        return (growth.grow_alike(even, drawn, pull, 3),)

    def slope(judged: np.ndarray) -> float:
        return recalibration.learn_correction(readings, judged, axes, (even,), learn, rule, 4, 3).slope

    assert slope(kinds) < slope(np.ones(1500, dtype=bool)) - 0.05
    assert recalibration.learn_correction(readings, ~np.ones(1500, dtype=bool), axes, (even,), learn, rule, 4, 3) == (
        recalibration.NO_CORRECTION
    )
