"""Excursions from a line: who fell and rose again."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from ircohort.detection.turning import (
    EDGES,
    EXCURSION_SD,
    FEWEST,
    LEVEL_SD,
    SLOPE_SD,
    TURNING,
    turn_shares,
)

LEAST = float(np.log(1.25))


def shares_written_out(years: np.ndarray, y: np.ndarray, scatter: float) -> tuple[float, float]:
    """The same, with the covariance of the readings of one person under each pair of times."""
    line = np.column_stack([np.ones_like(years), years])
    rest = y - y.mean()
    prior = np.diag([LEVEL_SD, SLOPE_SD, EXCURSION_SD]) ** 2
    pairs = [(a, b) for a in EDGES for b in EDGES if a < b]
    weights, up_down, down_up = [], [], []
    noise = scatter**2 * np.eye(len(y))
    weights.append(
        (1 - TURNING) * multivariate_normal(np.zeros(len(y)), line @ prior[:2, :2] @ line.T + noise).pdf(rest)
    )
    for begin, end in pairs:
        away = np.clip(years - begin * years[-1], 0, 1) - np.clip(years - end * years[-1], 0, 1)
        design = np.column_stack([line, away])
        covariance = design @ prior @ design.T + noise
        weights.append(TURNING / len(pairs) * multivariate_normal(np.zeros(len(y)), covariance).pdf(rest))
        gain = prior @ design.T @ np.linalg.inv(covariance)
        height, variance = (gain @ rest)[2], (prior - gain @ design @ prior)[2, 2]
        up_down.append(norm.sf(LEAST, height, np.sqrt(variance)))
        down_up.append(norm.cdf(-LEAST, height, np.sqrt(variance)))
    share = np.array(weights[1:]) / np.sum(weights)
    return float(share @ up_down), float(share @ down_up)


def test_shares_are_those_of_the_readings_written_out() -> None:
    rng = np.random.default_rng(0)
    counts = [5, 8, 12]
    series = np.repeat(np.arange(3), counts)
    years = np.concatenate([np.append(0.0, np.sort(rng.uniform(0, 12, count - 1))) for count in counts])
    y = 2 + rng.normal(0, 0.4, 25)
    got = turn_shares(series, years, y, 3, 0.26, LEAST)
    for i in range(3):
        own = series == i
        assert (got[0][i], got[1][i]) == pytest.approx(shares_written_out(years[own], y[own], 0.26), rel=1e-6)


def people(n: int, shape: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    series, years = np.repeat(np.arange(n), 12), np.tile(np.arange(12.0), n)
    slope = rng.normal(0.0, 0.02, n)[series]
    return series, years, 2 + slope * years + np.tile(shape, n) + rng.normal(0, 0.26, 12 * n)


def test_a_deep_valley_is_mostly_seen_and_a_line_is_mostly_none() -> None:
    valley = np.where((np.arange(12) > 3) & (np.arange(12) < 8), -0.8, 0.0)
    up_down, down_up = turn_shares(*people(400, valley, 1), 400, 0.26, LEAST)
    assert (down_up >= 0.5).mean() > 0.8
    assert (up_down >= 0.5).mean() < 0.05
    assert (np.array(turn_shares(*people(400, -valley, 1), 400, 0.26, LEAST))[0] >= 0.5).mean() > 0.8
    straight = np.array(turn_shares(*people(400, np.zeros(12), 2), 400, 0.26, LEAST))
    assert (straight >= 0.5).mean() < 0.03


def test_too_few_readings_show_no_turn() -> None:
    count = FEWEST - 1
    y = np.array([2.0, 0.5, 0.5, 2.0])[:count]
    got = turn_shares(np.zeros(count, dtype=np.intp), np.arange(count, dtype=float), y, 2, 0.26, LEAST)
    assert np.array(got).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_adding_to_all_readings_changes_nothing() -> None:
    series, years, y = people(5, np.zeros(12), 3)
    one, two = (np.array(turn_shares(series, years, y + more, 5, 0.26, LEAST)) for more in (0.0, 5.0))
    np.testing.assert_allclose(one, two, rtol=1e-9)
