import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircohort.estimand import HiddenWindow, find_windows, partners, search_windows


def largest_rise(years, marker, glucose, rule):
    """The definition, word by word: over all pairs of times."""
    rises = [
        marker[j] - marker[i]
        for i in range(len(years))
        for j in range(i, len(years))
        if years[j] - years[i] >= rule.min_years - 1e-9 and (glucose[i : j + 1] < rule.glucose_cut_off_mg_dl).all()
    ]
    return max(rises, default=-np.inf)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 25), lag=st.sampled_from([0.5, 2.0, 4.0]))
def test_the_function_is_the_definition(seed, steps, lag):
    rng = np.random.default_rng(seed)
    years = np.cumsum(rng.uniform(0.1, 1.0, steps))
    marker = np.cumsum(rng.normal(0, 0.15, (20, steps)), axis=1)
    glucose = 96 + np.cumsum(rng.normal(0, 2, (20, steps)), axis=1)
    rule = HiddenWindow(min_years=lag)
    found = find_windows(years, marker, glucose, rule)
    expected = np.array([largest_rise(years, *curve, rule) for curve in zip(marker, glucose, strict=True)])
    present = expected >= np.log(1.25) - 1e-12
    assert (found.present == present).all()
    assert found.log_rise[present] == pytest.approx(expected[present])


def test_rises_are_the_same_whether_they_are_dated_or_not_and_in_32_bits():
    rng = np.random.default_rng(3)
    years = np.linspace(0.0, 9.0, 37)
    marker = np.cumsum(rng.normal(0, 0.08, (37, 4000)), axis=0)
    normal = np.cumsum(rng.normal(0, 1.5, (37, 4000)), axis=0) < rng.uniform(-2, 12, 4000)
    partner, least = partners(years, 2.0), np.log(1.25)
    dated = search_windows(marker, normal, partner, least)
    assert 0 < dated.present.mean() < 1
    assert 0 < normal.all(axis=0).mean() < 1
    assert (search_windows(marker, normal, partner, least, dated=False).present == dated.present).all()
    short = search_windows(marker.astype(np.float32), normal, partner, least, dated=False)
    clear = np.abs(dated.log_rise - least) > 1e-4
    assert (short.present == dated.present)[clear].all()
    rises = marker[dated.end, np.arange(4000)] - marker[dated.start, np.arange(4000)]
    assert rises[dated.present] == pytest.approx(dated.log_rise[dated.present])


def test_a_rise_of_less_than_two_years_is_no_window():
    years = np.array([0.0, 0.5, 1.0, 1.5])
    assert not find_windows(years, np.log([[5.0, 7.0, 9.0, 11.0]]), np.full((1, 4), 90.0)).present[0]


def test_exactly_a_quarter_over_exactly_two_years_is_one():
    assert find_windows(np.array([0.0, 2.0]), np.log([[8.0, 10.0]]), np.full((1, 2), 90.0)).present[0]


def test_glucose_at_the_cut_off_breaks_the_stretch():
    years = np.arange(5.0)
    insulin = np.log([[6.0, 7.0, 8.0, 9.0, 10.0]])
    assert not find_windows(years, insulin, np.array([[90.0, 95.0, 100.0, 95.0, 90.0]])).present[0]


def test_missing_curve_values_break_the_stretch():
    years = np.arange(4.0)
    insulin = np.log([[6.0, np.nan, 8.0, 9.0]])
    assert not find_windows(years, insulin, np.full((1, 4), 90.0)).present[0]


def test_the_stretch_of_normal_glucose_is_dated():
    years = np.arange(7.0)
    insulin = np.log([[9.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0]])
    glucose = np.array([[105.0, 95.0, 95.0, 95.0, 95.0, 95.0, 105.0]])
    found = find_windows(years, insulin, glucose)
    assert (found.start[0], found.end[0], found.run_start[0], found.run_end[0]) == (1.0, 4.0, 1.0, 5.0)


def test_prediabetes_need_not_follow():
    assert find_windows(np.arange(4.0), np.log([[6.0, 7.0, 8.0, 9.0]]), np.full((1, 4), 80.0)).present[0]
