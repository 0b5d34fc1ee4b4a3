"""Drawn courses are judged by the definition and nothing else; readings beyond a limit say what they can."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ircohort.detection.censoring import Limits, with_sites
from ircohort.detection.curves import Axes
from ircohort.detection.judging import (
    LEAST_STEPS,
    LEVELS,
    STEP_YEARS,
    Drawn,
    Ends,
    course,
    date_windows,
    ends_of,
    fitted_curve,
    grids,
    stage,
    window_draws,
    window_draws_beyond,
)
from ircohort.detection.noise_only import permuted
from ircohort.detection.population import Population, evidence, posteriors
from ircohort.detection.sums import Readings, make_sums
from ircohort.estimand import COURSES, HiddenWindow, course_of, find_windows

AXES = Axes(("insulin", "glucose"), (3, 3), np.array([2.0, np.log(95.0)]), np.array([0.5, 0.06]), 12.0)
RULE = HiddenWindow()


def random_courses(seed: int, follow_up: list[float], draws: int = 16) -> Drawn:
    rng = np.random.default_rng(seed)
    courses = rng.normal(0, 1, (AXES.size, len(follow_up), draws)) * np.array([1, 0.8, 0.6] * 2)[:, None, None]
    return Drawn(AXES, courses, np.array(follow_up))


def curves_of(drawn: Drawn, i: int, years: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log marker and glucose (draws, k) of one series, written out."""
    z = 2 * years / AXES.span_years - 1
    basis = np.stack([np.ones_like(z), z, (3 * z * z - 1) / 2])
    marker = AXES.mean[0] + AXES.sd[0] * drawn.courses[:3, i].T @ basis
    return marker, np.exp(AXES.mean[1] + AXES.sd[1] * drawn.courses[3:, i].T @ basis)


def from_curves(marker: list[float], glucose: list[float], follow_up: float, draws: int = 8) -> Drawn:
    """A series all draws of which go through these values at the beginning, the middle and the end."""
    basis = AXES.basis(np.array([0.0, follow_up / 2, follow_up]))
    parts = [(np.log(values) - AXES.mean[j]) / AXES.sd[j] for j, values in enumerate((marker, glucose))]
    one = np.concatenate([np.linalg.solve(basis, part) for part in parts])
    return Drawn(AXES, np.repeat(one[:, None, None], draws, axis=2), np.array([follow_up]))


FOLLOW_UPS = st.lists(st.one_of(st.just(2.0), st.floats(2.0, 12.0)), min_size=1, max_size=5)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), follow_up=FOLLOW_UPS)
def test_draws_are_judged_by_the_definition_and_nothing_else(seed: int, follow_up: list[float]) -> None:
    drawn = random_courses(seed, follow_up)
    present = window_draws(drawn, "insulin", RULE)
    for i, length in enumerate(follow_up):
        steps = max(LEAST_STEPS, int(np.ceil(length / STEP_YEARS - 1e-9)))
        years = np.linspace(0.0, length, steps + 1)
        np.testing.assert_array_equal(present[i], find_windows(years, *curves_of(drawn, i, years), RULE).present)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), follow_up=FOLLOW_UPS)
def test_the_grid_is_fine_enough(seed: int, follow_up: list[float]) -> None:
    """Against monthly curves few draws are judged otherwise, and no window is seen that is not there."""
    drawn = random_courses(seed, follow_up, 64)
    present, differ = window_draws(drawn, "insulin", RULE), 0
    for i, length in enumerate(follow_up):
        years = np.unique(np.append(np.linspace(0.0, length, 24 * 12 + 1), np.arange(0.0, length, 1 / 12)))
        differ += int((present[i] != find_windows(years, *curves_of(drawn, i, years), RULE).present).sum())
    assert differ <= 0.05 * present.size + 1


@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), follow_up=FOLLOW_UPS)
def test_a_series_is_judged_the_same_alone_and_among_others(seed: int, follow_up: list[float]) -> None:
    drawn = random_courses(seed, follow_up)
    per_year = np.linspace(0.0, 0.02, len(follow_up))
    together = window_draws_beyond(drawn, "insulin", RULE, per_year)
    assert together[1] is not None
    np.testing.assert_array_equal(together[0], window_draws(drawn, "insulin", RULE))
    turns = np.zeros((2, len(follow_up)))
    dated = date_windows(drawn, "insulin", RULE)
    went = course(drawn, "insulin", ends_of(drawn, "insulin"), RULE, 0.9, turns)
    for i in range(len(follow_up)):
        one = drawn.take(np.array([i]))
        present, beyond = window_draws_beyond(one, "insulin", RULE, per_year[[i]])
        np.testing.assert_array_equal(present[0], together[0][i])
        assert beyond is not None
        np.testing.assert_array_equal(beyond[0], together[1][i])
        alone = date_windows(one, "insulin", RULE)
        for name in ("log_rise", "start", "end", "opens_late", "crosses", "falls_back"):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(dated, name)[i], rtol=1e-12)
        assert course(one, "insulin", ends_of(one, "insulin"), RULE, 0.9, turns[:, [i]]) == [went[i]]


def test_the_expected_course_is_taken_off_before_judging() -> None:
    drawn = from_curves([6.0, 7.0, 8.2], [90.0, 90.0, 90.0], 8.0)
    risen = np.log(8.2 / 6.0)
    needed = (risen - np.log(1.25)) / 8
    for expected, holds in ((0.0, True), (0.999 * needed, True), (1.001 * needed, False), (risen / 8, False)):
        present, beyond = window_draws_beyond(drawn, "insulin", RULE, np.array([expected]))
        assert present.all()
        assert beyond is not None
        assert (beyond == holds).all()
    assert window_draws_beyond(drawn, "insulin", RULE, None)[1] is None


@pytest.mark.parametrize(
    ("follow_up", "expected"), [(2.0, True), (2.0 - 1e-10, True), (1.99, False), (0.5, False), (2.1, True), (2.9, True)]
)
def test_a_rise_over_two_years_takes_two_years(follow_up: float, expected: bool) -> None:
    drawn = from_curves([6.0, 8.0, 10.0], [90.0, 90.0, 90.0], follow_up)
    assert (window_draws(drawn, "insulin", RULE) == expected).all()


def test_every_series_has_one_grid_whose_lag_covers_the_least_years() -> None:
    follow_up = np.array([0.0, 1.0, 2.0, 2.2, 5.0, 5.1, 11.99, 12.0])
    seen = np.zeros(len(follow_up), dtype=int)
    for who, grid in grids(follow_up, 2.0):
        seen[who] += 1
        np.testing.assert_allclose(grid.years[-1], follow_up[who])
        step = grid.years[1] - grid.years[0]
        assert (step <= STEP_YEARS + 1e-9).all()
        long_enough = follow_up[who] >= 2
        assert (grid.lag * step[long_enough] >= 2 - 1e-6).all()
        assert ((grid.lag - 1) * step[long_enough] < 2).all()
        assert (grid.partner == np.arange(len(grid.years)) - grid.lag).all()
    assert (seen == 1).all()


def test_windows_are_dated_where_the_definition_dates_them() -> None:
    drawn = random_courses(3, [9.0, 6.0, 12.0, 2.0], 200)
    dated = date_windows(drawn, "insulin", RULE)
    for i, length in enumerate(drawn.follow_up):
        years = np.linspace(0.0, length, max(LEAST_STEPS, round(length / STEP_YEARS)) + 1)
        marker, glucose = curves_of(drawn, i, years)
        found = find_windows(years, marker, glucose, RULE)
        own = found.present
        for name, values in (("log_rise", found.log_rise), ("start", found.start), ("end", found.end)):
            np.testing.assert_allclose(getattr(dated, name)[i], np.quantile(values[own], LEVELS), rtol=1e-9, atol=1e-9)
        assert dated.opens_late[i] == pytest.approx((found.start[own] > 0).mean())
        crosses = found.run_end[own] < length - 1e-9
        assert dated.crosses[i] == pytest.approx(crosses.mean())
        at_end = marker[own, np.searchsorted(years, found.end[own] - 1e-9)]
        back = (at_end - marker[own, -1] >= 0.5 * found.log_rise[own]) & ~crosses
        assert dated.falls_back[i] == pytest.approx(back.mean())


def test_a_series_without_a_window_has_no_dates() -> None:
    dated = date_windows(from_curves([6.0, 6.0, 6.0], [90.0, 90.0, 90.0], 8.0), "insulin", RULE)
    assert all(np.isnan(getattr(dated, name)).all() for name in ("log_rise", "start", "end", "crosses"))


@pytest.mark.parametrize(
    ("marker", "glucose", "shares"),
    [
        ([6.0, 8.0, 10.0], [90.0, 90.0, 90.0], (0.0, 0.0, 0.0)),
        ([6.0, 8.0, 10.0], [88.0, 95.0, 112.0], (0.0, 1.0, 0.0)),
        ([6.0, 10.0, 6.2], [90.0, 90.0, 90.0], (0.0, 0.0, 1.0)),
        ([9.0, 6.0, 10.0], [90.0, 90.0, 90.0], (1.0, 0.0, 0.0)),
        ([6.0, 7.5, 10.0], [106.0, 95.0, 90.0], (1.0, 0.0, 0.0)),
    ],
)
def test_how_a_window_opens_and_closes_is_read_off_the_draws(
    marker: list[float], glucose: list[float], shares: tuple[float, float, float]
) -> None:
    dated = date_windows(from_curves(marker, glucose, 10.0), "insulin", RULE)
    assert (dated.opens_late[0], dated.crosses[0], dated.falls_back[0]) == shares


@pytest.mark.parametrize("seed", range(3))
def test_a_course_that_turns_is_that_of_most_draws(seed: int) -> None:
    follow_up = [12.0, 9.0, 5.0, 3.0, 2.0] * 8
    drawn = random_courses(seed, follow_up, 64)
    ends = ends_of(drawn, "insulin")
    words = course(drawn, "insulin", ends, RULE, 0.9, np.zeros((2, len(follow_up))))
    for i, length in enumerate(follow_up):
        marker, _ = curves_of(drawn, i, np.linspace(0.0, length, 400))
        went = course_of(marker.T, np.log(1.25))
        share = {name: (went == COURSES.index(name)).mean() for name in ("recovered", "relapsed")}
        if words[i] in share:
            assert share[words[i]] > 0.4  # on a fine grid: on the one used it is at least half
        else:
            assert max(share.values()) < 0.6
            up = (marker[:, -1] > marker[:, 0]).mean()
            assert words[i] == ("rising" if up >= 0.9 else "falling" if 1 - up >= 0.9 else "steady")


def test_a_valley_is_relapsed_and_a_hill_recovered() -> None:
    flat = [90.0, 90.0, 90.0]
    for marker, word in (([10.0, 6.0, 10.0], "relapsed"), ([6.0, 10.0, 6.0], "recovered"), ([8.0, 8.5, 8.0], "steady")):
        drawn = from_curves(marker, flat, 10.0)
        assert course(drawn, "insulin", ends_of(drawn, "insulin"), RULE, 0.9, np.zeros((2, 1))) == [word]
        # What the excursions from a line say counts too.
        assert course(drawn, "insulin", ends_of(drawn, "insulin"), RULE, 0.9, np.array([[0.6], [0.1]])) == ["recovered"]


def test_the_stage_asks_for_certainty_and_for_normal_glucose_at_the_end() -> None:
    """HOMA-%B = 360 I / (G - 63), written out for each draw."""
    rng = np.random.default_rng(0)
    n, draws = 40, 200
    change = rng.normal(0, 0.3, (n, 1)) + rng.normal(0, 0.1, (n, draws))
    first = rng.normal(90, 5, (n, 1)) + rng.normal(0, 1, (n, draws))
    last = first + rng.normal(2, 6, (n, 1)) + rng.normal(0, 1, (n, draws))
    insulin = 8.0
    beta = [360 * i / (g - 63) for i, g in ((insulin, first), (insulin * np.exp(change), last))]
    words = stage(Ends(change, np.log(last / first), first, last), 0.9, 100.0)
    assert {"compensating", "failing", None} == set(words)
    for i, word in enumerate(words):
        normal = np.median(last[i]) < 100
        up = ((change[i] > 0) & (beta[1][i] > beta[0][i])).mean() >= 0.9
        down = ((beta[1][i] < beta[0][i]) & (last[i] > first[i])).mean() >= 0.9
        assert word == ("compensating" if normal and up else "failing" if normal and down else None)


def test_where_beta_cell_function_is_not_defined_there_is_no_stage() -> None:
    low = np.full((1, 10), 60.0)
    assert stage(Ends(np.full((1, 10), 0.5), np.zeros((1, 10)), low, low), 0.9, 100.0) == [None]


def test_a_fitted_curve_is_the_middle_of_the_draws_in_natural_units() -> None:
    drawn = random_courses(5, [7.0, 3.0], 501)
    years, fitted = fitted_curve(drawn, "glucose")
    for i in range(2):
        _, glucose = curves_of(drawn, i, years[:, i])
        np.testing.assert_allclose(fitted[:, :, i], np.quantile(glucose, LEVELS, axis=0), rtol=1e-3)
        np.testing.assert_allclose(years[[0, -1], i], [0.0, drawn.follow_up[i]])


# Readings beyond a limit of detection

ONE = Population(
    weights=np.ones(1),
    centre=np.array([[0.1, 0.2, -0.1, 0.0, 0.3, 0.0]]),
    tail=np.zeros((1, 6)),
    covariance=(np.diag([0.8, 0.2, 0.1, 0.8, 0.2, 0.1]) + 0.02)[None],
    residual=np.array([[0.3, 0.06], [0.06, 0.5]]),
    straight=np.zeros(1, dtype=bool),
)


def censored_person(low: float, high: float) -> tuple[Readings, Limits]:
    """Six visits, the insulin of one of them between two bounds on the standardised scale."""
    years = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    insulin = np.array([-0.2, 0.3, np.nan, 0.1, 0.6, 0.4])
    values = AXES.mean + AXES.sd * np.column_stack([insulin, [0.1, 0.0, 0.2, 0.3, 0.1, 0.4]])
    bounds = [np.array([AXES.mean[0] + AXES.sd[0] * bound]) for bound in (low, high)]
    readings = Readings(np.zeros(6, dtype=np.intp), years, values, np.ones(6))
    return readings, Limits(np.array([2]), *bounds)


def course_given(readings: Readings) -> tuple[np.ndarray, np.ndarray]:
    part = posteriors(ONE, evidence(make_sums(readings, 1, AXES), ONE.residual))[0]
    return part.centre[:, 0], part.root[:, :, 0].T @ part.root[:, :, 0]


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 0.0), (-np.inf, -1.5), (0.9, np.inf), (-0.4, 0.2)])
def test_one_reading_beyond_a_limit_gives_the_moments_of_the_exact_posterior(low: float, high: float) -> None:
    """By integration: the course given an exact reading, averaged over where within the bounds that reading lies."""
    readings, limits = censored_person(low, high)
    before = make_sums(readings, 1, AXES)
    centre, covariance = course_given(readings)
    line = np.concatenate([AXES.basis(np.array([4.0]))[0], np.zeros(3)])
    mean, variance = line @ centre, line @ covariance @ line + ONE.residual[0, 0]
    mass = norm.cdf(high, mean, np.sqrt(variance)) - norm.cdf(low, mean, np.sqrt(variance))
    far = (max(low, mean - 9), min(high, mean + 9))
    first, second = (quad(lambda y, k=k: y**k * norm.pdf(y, mean, np.sqrt(variance)), *far)[0] / mass for k in (1, 2))
    gain = covariance @ line / variance
    exact_mean = centre + gain * (first - mean)
    exact = covariance - np.outer(gain, gain) * (variance - (second - first**2))
    got_mean, got = course_given(with_sites(readings, limits, before, ONE))
    np.testing.assert_allclose(got_mean, exact_mean, atol=2e-6)
    np.testing.assert_allclose(got, exact, atol=2e-6)


def test_several_limits_in_one_person_come_near_the_exact_posterior() -> None:
    """Two of six readings below a limit: by importance sampling of the courses."""
    readings, _ = censored_person(-np.inf, 0.0)
    values = readings.values.copy()
    values[4, 0] = np.nan
    readings = Readings(readings.series, readings.years, values, readings.weight)
    limit = AXES.mean[0] - 0.3 * AXES.sd[0]
    limits = Limits(np.array([2, 4]), np.full(2, -np.inf), np.full(2, limit))
    centre, covariance = course_given(readings)
    drawn = np.random.default_rng(0).multivariate_normal(centre, covariance, 200_000)
    at = drawn[:, :3] @ AXES.basis(np.array([4.0, 8.0])).T
    weight = norm.cdf((-0.3 - at) / np.sqrt(ONE.residual[0, 0])).prod(axis=1)
    exact = np.average(drawn, axis=0, weights=weight)
    got, _ = course_given(with_sites(readings, limits, make_sums(readings, 1, AXES), ONE))
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((got - exact) / sd, 0.0, atol=0.08)
    moved = (exact - centre) / sd
    assert np.abs(moved).max() > 0.4


def test_a_limit_far_above_everything_measured_says_next_to_nothing() -> None:
    readings, limits = censored_person(-np.inf, 12.0)
    centre, covariance = course_given(readings)
    got, left = course_given(with_sites(readings, limits, make_sums(readings, 1, AXES), ONE))
    np.testing.assert_allclose(got, centre, atol=1e-3)
    np.testing.assert_allclose(left, covariance, rtol=0.01, atol=1e-3)


def test_the_readings_as_they_were_measured_stay_untouched_by_sites() -> None:
    readings, limits = censored_person(-np.inf, 0.0)
    more = with_sites(readings, limits, make_sums(readings, 1, AXES), ONE)
    assert len(more.series) == 7
    kept = more.weight == 1
    np.testing.assert_array_equal(more.values[kept], readings.values)
    site = more.values[~kept][0]
    assert np.isfinite(site[0])
    assert np.isnan(site[1])
    assert 0 < more.weight[~kept][0] < 1


def test_readings_of_one_draw_share_their_errors() -> None:
    """A high glucose of the same draw makes a high insulin count for less: against the conditional normal."""
    years, values = np.array([0.0, 5.0]), AXES.mean + AXES.sd * np.array([[0.0, 0.0], [1.0, 1.0]])
    got, _ = course_given(Readings(np.zeros(2, dtype=np.intp), years, values, np.ones(2)))
    basis = AXES.basis(years)
    design = np.kron(np.eye(2), basis)
    covariance = design @ ONE.covariance[0] @ design.T + np.kron(ONE.residual, np.eye(2))
    seen = np.array([0.0, 1.0, 0.0, 1.0]) - design @ ONE.centre[0]
    exact = ONE.centre[0] + ONE.covariance[0] @ design.T @ np.linalg.solve(covariance, seen)
    np.testing.assert_allclose(got, exact, rtol=1e-9, atol=1e-12)


# Noise only

NO_LIMITS = Limits(np.zeros(0, dtype=np.intp), np.zeros(0), np.zeros(0))


def test_dealing_visits_out_anew_keeps_each_visit_whole_and_each_person_apart() -> None:
    rng = np.random.default_rng(0)
    series = np.repeat(np.arange(30), 7)
    values = rng.normal(size=(210, 2))
    rows = rng.choice(210, 40, replace=False)
    rows.sort()
    values[rows, 0] = np.nan
    limits = Limits(rows, np.full(40, -np.inf), rng.normal(size=40))
    readings = Readings(series, np.tile(np.arange(7.0), 30), values, np.ones(210))

    def visits(what: Readings, bounds: Limits, i: int) -> list[tuple[float, ...]]:
        high = np.full(210, np.nan)
        high[bounds.rows] = bounds.high
        own = series == i
        return sorted(map(tuple, np.nan_to_num(np.column_stack([what.values, high])[own], nan=-99.0)))

    dealt, moved = permuted(readings, limits, 3)
    np.testing.assert_array_equal(dealt.years, readings.years)
    assert np.isnan(dealt.values[moved.rows, 0]).all()
    assert (np.diff(moved.rows) > 0).all()
    for i in range(30):
        assert visits(dealt, moved, i) == visits(readings, limits, i)
    changed = (dealt.values[:, 1] != readings.values[:, 1]).mean()
    assert 0.75 < changed < 0.95  # one in seven stays where it was
    again, _ = permuted(readings, limits, 4)
    assert (again.values[:, 1] != dealt.values[:, 1]).any()


def test_names_play_no_part_in_how_visits_are_dealt_out() -> None:
    rng = np.random.default_rng(1)
    values, years = rng.normal(size=(20, 5, 2)), np.tile(np.arange(5.0), 20)
    series = np.repeat(np.arange(20), 5)
    other = rng.permutation(20)
    one, two = (
        permuted(Readings(series, years, part.reshape(-1, 2), np.ones(100)), NO_LIMITS, 3)[0].values.reshape(20, 5, 2)
        for part in (values, values[other])
    )
    np.testing.assert_array_equal(one[other], two)
