"""The truth that probabilities are held against: windows within the series that were judged."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ircohort.detection import DetectSettings
from ircohort.detection.selection import select_series
from ircohort.estimand import HiddenWindow, find_windows
from ircohort.evaluation import compare, evaluate
from ircohort.evaluation.cohorts import Cohort, draw_cohort
from ircohort.evaluation.truth import Stretches, judged_stretches
from ircohort.simulation import DESIGNS, Design, true_courses, with_values

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SEED = 3
BROKEN = with_values(
    DESIGNS["clinic"],
    {
        "n_participants": 250,
        "n_visits": 16,
        "until_diabetes": False,
        "assay.share_changed": 0.5,
        "treatment.share_from_diabetes": 0.5,
        "weight.share_losing": 0.5,
    },
)


@pytest.fixture(scope="module")
def broken() -> Cohort:
    return draw_cohort(BROKEN, seed=SEED, pattern=None, settings=DetectSettings(), over_time=True)


def by_hand(design: Design, visits: pl.DataFrame, marker: str = "insulin_uiu_ml") -> dict[str, bool]:
    """Judge every series of everyone on a course that is cut out for it."""
    courses, settings = true_courses(design, seed=SEED), DetectSettings()
    segments = select_series(visits, settings).segments
    able = set(segments.filter(pl.col("obstacle").is_null())["participant_id"])
    found = dict.fromkeys(courses.participants, False)
    for row in segments.iter_rows(named=True):
        name = row["participant_id"]
        if name in able and row["obstacle"] is not None:
            continue
        i = courses.participants.index(name)
        rows = np.flatnonzero((courses.years >= row["first"] - 1e-9) & (courses.years <= row["last"] + 1e-9))
        if rows.size:
            values = getattr(courses, marker)[i, rows]
            own = (courses.years[rows], np.log(values), courses.glucose_mg_dl[i, rows])
            found[name] |= bool(find_windows(*own).present[0])
    return found


def test_the_truth_is_a_window_within_one_of_the_series_that_are_judged(broken: Cohort) -> None:
    expected = by_hand(BROKEN, broken.visits)
    assert dict(broken.truth.select("participant_id", "hidden_window").rows()) == expected
    assert select_series(broken.visits, DetectSettings()).segments["segment"].max() > 0
    assert 0 < sum(expected.values()) < broken.truth["hidden_window_planned"].sum()


def test_where_insulin_was_never_measured_the_truth_is_a_rise_of_tg_hdl() -> None:
    design = replace(DESIGNS["clinic"], n_participants=150, n_visits=13, share_insulin_missing=1.0)
    drawn = draw_cohort(design, seed=SEED, pattern=None, settings=DetectSettings(), over_time=True)
    expected = by_hand(design, drawn.visits, "tg_hdl_mg")
    assert dict(drawn.truth.select("participant_id", "hidden_window").rows()) == expected
    assert (drawn.truth["window_true_years"].is_not_null() == drawn.truth["hidden_window"]).all()
    assert 10 < sum(expected.values()) < drawn.truth["hidden_window_planned"].sum()


def test_a_window_within_a_series_is_one_of_the_whole_follow_up(broken: Cohort) -> None:
    assert broken.truth.filter(pl.col("hidden_window") & ~pl.col("hidden_window_planned")).height == 0


def test_only_true_windows_have_times_and_these_lie_in_follow_up(broken: Cohort) -> None:
    table = broken.truth
    for name in ("window_start_years", "window_true_years"):
        assert (table[name].is_not_null() == table["hidden_window"]).all()
    true = table.filter("hidden_window")
    assert (true["window_true_years"] <= true["follow_up_years"] + 1e-9).all()
    assert (true["window_true_years"] >= HiddenWindow().min_years - 1e-9).all()


def test_times_are_the_only_difference_that_looking_over_time_makes(broken: Cohort) -> None:
    once = draw_cohort(BROKEN, seed=SEED, pattern=None, settings=DetectSettings())
    assert once.truth["window_true_years"].null_count() == once.truth.height
    names = ["participant_id", "hidden_window", "hidden_window_planned", "window_start_years"]
    assert once.truth.select(names).equals(broken.truth.select(names))


def test_a_series_that_ends_with_two_high_readings_ends_the_truth_with_it() -> None:
    visits = pl.DataFrame(
        {
            "participant_id": ["a"] * 6,
            "years": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            "insulin_uiu_ml": [6.0] * 6,
            "glucose_mg_dl": [90.0, 91.0, 92.0, 101.0, 101.0, 90.0],
            "glycaemia": ["normal"] * 3 + ["prediabetes"] * 2 + ["normal"],
        }
    )
    found = judged_stretches(visits, DetectSettings(), pl.Series(["b", "a"]))
    assert (found.person.tolist(), found.first.tolist(), found.last.tolist()) == ([1], [0.0], [4.0])


def test_of_a_person_without_a_series_that_can_be_judged_all_series_count() -> None:
    visits = pl.DataFrame(
        {
            "participant_id": ["a", "a"],
            "years": [0.0, 6.0],
            "insulin_uiu_ml": [6.0, 9.0],
            "glucose_mg_dl": [90.0, 91.0],
        }
    )
    found = judged_stretches(visits, DetectSettings(), pl.Series(["a"]))
    assert found.last.tolist() == [6.0]


def test_series_of_some_people_are_numbered_by_their_place_among_them() -> None:
    judged_by = np.array([True, True, False, False])
    everyone = Stretches(np.array([0, 2, 2, 3]), np.arange(4.0), np.arange(4.0) + 9, judged_by)
    some = everyone.among(np.array([1, 2, 3]))
    assert (some.person.tolist(), some.first.tolist()) == ([1, 1, 2], [1.0, 2.0, 3.0])
    assert some.by_tg_hdl.tolist() == [True, False, False]
    assert everyone.among(np.array([1])).person.size == 0


def test_windows_over_the_whole_follow_up_are_counted_beside_those_that_were_judged() -> None:
    design = replace(DESIGNS["clinic"], n_participants=200)

    def never(visits: pl.DataFrame) -> pl.DataFrame:
        return visits.select("participant_id").unique().with_columns(probability=0.0)

    found = evaluate(design, detector=never, seed=1, rules=False)
    counts = found.summary.select("n_true", "n_true_planned").row(0)
    assert counts == (found.people["hidden_window"].sum(), found.people["hidden_window_planned"].sum())
    assert counts[0] < counts[1]
    unknown = compare(found.people.drop("hidden_window_planned")).summary["n_true_planned"]
    assert unknown.to_list() == [None]


def test_the_table_of_the_oracle_says_of_every_stretch_what_the_one_definition_says() -> None:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import oracle
    finally:
        sys.path.remove(str(BENCHMARKS))
    courses = true_courses(replace(DESIGNS["clinic"], n_participants=80, n_visits=9), seed=2)
    # Glucose is shaken so that stretches of normal glucose begin and end anywhere.
    shaken = courses.glucose_mg_dl + np.random.default_rng(1).normal(0, 3, courses.glucose_mg_dl.shape)
    insulin, years, rule = np.log(courses.insulin_uiu_ml), courses.years, HiddenWindow()
    held = 0
    for glucose in (courses.glucose_mg_dl, shaken, np.full_like(shaken, 90.0)):
        opened = oracle.last_openings(years, insulin, glucose, rule)
        for first in range(0, years.size, 7):
            for last in range(first, years.size, 5):
                part = slice(first, last + 1)
                expected = find_windows(years[part], insulin[:, part], glucose[:, part], rule).present
                assert ((opened[last] >= first) == expected).all()
                held += int(expected.sum())
    assert held > 1000
