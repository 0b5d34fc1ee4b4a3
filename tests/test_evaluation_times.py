"""When a window is seen: detection repeated over the visits, against answers counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ircohort.estimand import HiddenWindow, find_windows
from ircohort.evaluation import evaluate
from ircohort.evaluation.timing import alarms, detection_times, leads, seen_at, weighted_median
from ircohort.evaluation.truth import completed_at
from ircohort.simulation import DESIGNS, Design, simulate, true_courses

VISITS = pl.DataFrame(
    {"participant_id": ["a"] * 4 + ["b"] * 3 + ["c"] * 4, "years": [0.0, 1, 2, 3, 0, 1.1, 2.1, 0, 0.9, 2, 3.1]}
)


def ask(answers: dict[str, list[float | None]], asked: list[float]) -> object:
    """Answer each look from a list by name, and keep what was the latest visit shown."""

    def find(visits: pl.DataFrame) -> pl.DataFrame:
        look = len(asked)
        asked.append(visits["years"].max())
        rows = [(name, stated[look]) for name, stated in answers.items()]
        return pl.DataFrame(rows, schema={"participant_id": pl.String, "probability": pl.Float64}, orient="row")

    return find


def test_a_person_is_seen_at_the_first_look_that_flags() -> None:
    asked: list[float] = []
    answers = {"a": [0.1, 0.6, 0.9], "b": [0.9, 0.9, 0.9], "c": [None, 0.4, 0.7]}
    found = seen_at(VISITS, [1.5, 2.5, 3.5], ask(answers, asked))
    assert asked == [1.1, 2.1, 3.1]  # nothing later was shown
    assert found.rows() == [
        ("a", 0.5, 2.0, 1.0),
        ("a", 0.8, 3.0, 2.0),
        ("b", 0.5, 1.1, None),
        ("b", 0.8, 1.1, None),
        ("c", 0.5, 3.1, 2.0),
    ]


PEOPLE = pl.DataFrame(
    {
        "cohort": [0] * 6,
        "participant_id": list("abcdef"),
        "hidden_window": [True, True, True, True, False, False],
        "probability": [0.9, 0.9, 0.6, 0.1, 0.9, 0.1],
        "follow_up_years": [10.0, 8.0, 10.0, 10.0, 10.0, 6.0],
        "window_start_years": [1.0, 0.0, 2.0, 0.0, None, None],
        "window_true_years": [4.0, 5.0, 6.0, 7.0, None, None],
        "years_to_glucose_100": [9.0, 3.0, None, 0.0, None, None],
        "years_to_confirmed": [10.0, None, None, None, None, 5.0],
        "by_0.5": [5.0, 3.0, 9.0, None, 7.0, None],
        "after_0.5": [4.0, None, 8.0, None, 6.0, None],
        "by_0.8": [6.0, 8.0, None, None, 8.0, None],
        "after_0.8": [5.0, 7.0, None, None, 7.0, None],
    }
)


def row(table: pl.DataFrame, threshold: float, **where: str) -> dict[str, float]:
    for name, value in where.items():
        table = table.filter(pl.col(name) == value)
    return table.filter(pl.col("threshold") == threshold).row(0, named=True)


def test_time_to_detection_counts_the_never_detected_as_later_than_all() -> None:
    found = detection_times(PEOPLE, 1)
    entry = row(found, 0.5, counted_from="entry")
    assert (entry["n_true"], entry["n_detected"], entry["share_never"]) == (4, 3, 0.25)
    assert (entry["median_years"], entry["median_after_years"], entry["median_detected_years"]) == (5.0, 4.0, 5.0)
    truth = row(found, 0.5, counted_from="truth")
    assert truth["median_years"] == 1.0  # delays 1, -2, 3 and never
    opening = row(found, 0.8, counted_from="opening")
    assert (opening["median_years"], opening["median_detected_years"]) == (8.0, 5.0)  # 5, 8, never, never
    assert opening["median_years_high"] is None  # beyond what was followed
    assert entry["share_never_low"] <= 0.25 <= entry["share_never_high"]


def test_a_median_that_lies_beyond_follow_up_is_null() -> None:
    late = PEOPLE.with_columns(pl.lit(None, pl.Float64).alias("by_0.5"), pl.lit(None, pl.Float64).alias("after_0.5"))
    assert row(detection_times(late, 1), 0.5, counted_from="entry")["median_years"] is None
    nobody = detection_times(PEOPLE.filter(~pl.col("hidden_window")), 1)
    assert row(nobody, 0.5, counted_from="entry")["share_never"] is None


def test_the_lead_is_of_events_after_entry() -> None:
    found = leads(PEOPLE, 1)
    glucose = row(found, 0.5, event="true_glucose")
    # Of a (9 years) and b (3 years); d was above from the start. Seen at 5 and at 3: only a before it.
    assert (glucose["n_events"], glucose["n_before"], glucose["median_lead_years"]) == (2, 1, 4.0)
    confirmed = row(found, 0.8, event="confirmed")
    assert (confirmed["n_events"], confirmed["share_before"], confirmed["median_lead_years"]) == (1, 1.0, 4.0)


def test_false_alarms_are_counted_on_the_time_in_which_they_were_possible() -> None:
    found = alarms(PEOPLE, 1, over_time=True)
    once = row(found, 0.8, look="once")
    assert (once["n_false"], once["person_years"]) == (1, 16.0)  # e of e and f
    assert once["per_100_person_years"] == pytest.approx(100 / 16)
    every = row(found, 0.5, look="every_visit")
    # Too early: b (3, true from 5); never true: e (7). Time: a 4, b 3, c 6, d 7, e 7, f 6.
    assert (every["n_false"], every["person_years"]) == (2, 33.0)
    assert every["per_100_person_years_low"] < every["per_100_person_years"] < every["per_100_person_years_high"]
    assert alarms(PEOPLE, 1, over_time=False)["look"].unique().to_list() == ["once"]


def test_the_weighted_median_is_that_of_repeated_values() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        values, weights = generator.integers(0, 9, 7).astype(float), generator.integers(0, 4, 7)
        repeated = np.sort(np.repeat(values, weights))
        expected = repeated[(repeated.size - 1) // 2] if repeated.size else np.nan
        assert weighted_median(values, weights.astype(float)) == pytest.approx(expected, nan_ok=True)


def test_a_course_holds_a_window_from_the_first_month_at_which_it_does() -> None:
    design = replace(DESIGNS["clinic"], n_participants=60)
    courses, rule = true_courses(design, seed=5), HiddenWindow()
    found = completed_at(courses, rule)
    truth = simulate(design, seed=5).truth["hidden_window"].to_numpy()
    assert (np.isfinite(found) == truth).all()
    for i in range(60):
        months = [k for k in range(courses.years.size) if courses.years[k] <= courses.follow_up_years[i] + 1e-9]
        held = [
            bool(
                find_windows(
                    courses.years[: k + 1],
                    np.log(courses.insulin_uiu_ml[i : i + 1, : k + 1]),
                    courses.glucose_mg_dl[i : i + 1, : k + 1],
                ).present[0]
            )
            for k in months[::6]
        ]
        first = next((k for k, there in zip(months[::6], held, strict=True) if there), None)
        if first is None:
            assert np.isnan(found[i]) or found[i] > courses.years[months[::6][-1]] - 1e-9
        else:
            assert courses.years[max(first - 6, 0)] < found[i] <= courses.years[first] + 1e-9


def test_detection_over_time_sees_the_visits_so_far_and_no_more() -> None:
    shown: list[tuple[float, int]] = []

    def late(visits: pl.DataFrame) -> pl.DataFrame:
        """Flag whoever has six visits, so that the sixth is when they are seen."""
        shown.append((visits["years"].max(), visits.height))
        counted = visits.group_by("participant_id").len()
        return counted.select("participant_id", probability=pl.when(pl.col("len") >= 6).then(0.9).otherwise(0.1))

    design = Design(n_participants=30, n_visits=8, share_visits_missed=0.0)
    found = evaluate(design, detector=late, seed=1, over_time=True, rules=False)
    assert len(shown) == 1 + 6  # everything once, then after the third to the eighth visit
    assert [height for _, height in shown[1:]] == [30 * k for k in range(3, 9)]
    years = found.people["by_0.8"].to_numpy()
    assert np.abs(years - 5).max() < 0.11
    assert np.abs(found.people["after_0.8"].to_numpy() - 4).max() < 0.11
    assert found.rules["rule"].unique().to_list() == ["detect"]


def test_over_time_with_a_pattern_looks_at_whole_years() -> None:
    table = pl.DataFrame(
        {
            "participant_id": ["a"] * 4,
            "years": [0.0, 0.5, 1.5, 4.2],
            "insulin_uiu_ml": [6.0] * 4,
            "glucose_mg_dl": [90.0] * 4,
        }
    )
    looks: list[int] = []

    def never(visits: pl.DataFrame) -> pl.DataFrame:
        looks.append(visits.height)
        return visits.select("participant_id").unique().with_columns(probability=0.0)

    found = evaluate(Design(n_participants=3), visits=table, detector=never, seed=1, over_time=True)
    assert looks == [12, 6, 9, 9, 9, 12]
    assert found.detection_time["n_detected"].to_list() == [0] * 6
