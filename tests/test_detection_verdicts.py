"""From probabilities to verdicts, reasons, windows, and how many flags are expected to be false."""

import math
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircohort.detection import DetectSettings
from ircohort.detection.expected import ExpectedChange, expected_change
from ircohort.detection.false_flags import expected_false
from ircohort.detection.verdict import SERIAL, STEP, decide, windows_table
from ircohort.errors import UsageError
from ircohort.schema import WINDOWS

RULES = DetectSettings()
RISES = "insulin rises by 25 % or more while fitted glucose stays normal"


def judged(**values: object) -> pl.DataFrame:
    row = {
        "participant_id": "a",
        "marker": "insulin",
        "obstacle": None,
        "probability": 0.9,
        "prior": 0.3,
        "rising": 0.95,
        "glucose_leaves": 0.5,
        "n_segments": 1,
        "judged_years": 10.0,
        "measured_years": 10.0,
        **values,
    }
    types = {"marker": pl.String, "obstacle": pl.String, "probability": pl.Float64, "prior": pl.Float64}
    return pl.DataFrame([row], schema_overrides=types | {"rising": pl.Float64})


TRUTH_TABLE = [
    ({}, (), "hidden_window", RISES),
    ({"probability": 0.8}, (), "hidden_window", RISES),
    ({"probability": 0.79}, (), "possible", f"probably {RISES}, not surely enough to flag"),
    ({"probability": 0.5}, (), "possible", f"probably {RISES}, not surely enough to flag"),
    (
        {"probability": 0.49, "prior": None},
        (),
        "not_shown",
        "insulin probably rises, but fitted glucose does not stay normal meanwhile",
    ),
    (
        {"probability": 0.49, "glucose_leaves": 0.49},
        (),
        "not_shown",
        "insulin probably rises, but not surely enough while fitted glucose stays normal",
    ),
    (
        {"probability": 0.49, "rising": 0.49},
        (),
        "not_shown",
        "a rise of insulin by 25 % or more was not shown",
    ),
    (
        {"probability": 0.1, "prior": None, "rising": 0.2},
        (),
        "not_shown",
        "a rise of insulin by 25 % or more was not shown",
    ),
    (
        {"prior": 0.9},
        (),
        "possible",
        f"{RISES}, but the own readings do not raise the probability above the cohort's",
    ),
    ({}, (SERIAL,), "possible", f"{RISES}, but {SERIAL}"),
    ({"measured_years": 5.0}, (), "hidden_window", RISES),
    ({"measured_years": 4.9}, (), "possible", f"{RISES}, but insulin was read over 4.9 of 10.0 years only"),
    ({}, (SERIAL, STEP), "possible", f"{RISES}, but {SERIAL}; {STEP}"),
    (
        {"obstacle": "no dated visits", "probability": None, "prior": None, "rising": None},
        (),
        "not_assessable",
        "no dated visits",
    ),
    ({"obstacle": "under 18", "marker": None, "probability": None}, (SERIAL,), "not_assessable", "under 18"),
    (
        {"marker": "tg_hdl"},
        (),
        "hidden_window",
        f"{RISES.replace('insulin', 'TG:HDL')}; judged by TG:HDL, as insulin was never measured",
    ),
    ({"n_segments": 2}, (), "hidden_window", f"{RISES}; judged in separate series"),
]


@pytest.mark.parametrize(("values", "held", "verdict", "reason"), TRUTH_TABLE)
def test_a_verdict_and_its_reason_follow_from_what_was_found(
    values: dict[str, object], held: tuple[str, ...], verdict: str, reason: str
) -> None:
    row = decide(judged(**values), RULES, {"insulin": held, "tg_hdl": ()}).row(0, named=True)
    assert (row["verdict"], row["reason"]) == (verdict, reason)


def test_what_holds_one_marker_back_does_not_hold_the_other() -> None:
    rows = pl.concat([judged(), judged(participant_id="b", marker="tg_hdl")])
    verdicts = decide(rows, RULES, {"insulin": (SERIAL,), "tg_hdl": ()})["verdict"].to_list()
    assert verdicts == ["possible", "hidden_window"]


def test_the_reason_names_the_rise_that_was_asked_for() -> None:
    reason = decide(judged(), DetectSettings(min_rise=0.4), {})["reason"].item()
    assert reason.startswith("insulin rises by 40 % or more")


SERIES = {
    "participant_id": "a",
    "segment": 0,
    "marker": "insulin",
    "probability": 0.9,
    **dict(zip(("window_start_low", "window_start", "window_start_high"), (0.0, 0.5, 3.0), strict=True)),
    **dict(zip(("window_end_low", "window_end", "window_end_high"), (5.0, 7.5, 8.0), strict=True)),
    "opens_late": 0.2,
    "crosses": 0.1,
    "falls_back": 0.1,
    "opened": "start_of_follow_up",
    "closed": "end_of_follow_up",
}

ENDS = [
    ({}, "start_of_follow_up", "end_of_follow_up"),
    ({"opens_late": 0.5}, "onset", "end_of_follow_up"),
    ({"opened": "break_in_series"}, "break_in_series", "end_of_follow_up"),
    ({"opened": "break_in_series", "opens_late": 0.9}, "onset", "end_of_follow_up"),
    ({"closed": "break_in_series"}, "start_of_follow_up", "break_in_series"),
    ({"crosses": 0.6}, "start_of_follow_up", "prediabetes"),
    ({"falls_back": 0.6}, "start_of_follow_up", "recovery"),
    ({"closed": "prediabetes", "crosses": 0.9}, "start_of_follow_up", "prediabetes"),
    ({"closed": "diabetes", "falls_back": 0.9}, "start_of_follow_up", "diabetes"),
]


@pytest.mark.parametrize(("values", "opened", "closed"), ENDS)
def test_a_window_says_how_it_opened_and_closed_and_has_an_interval_only_where_that_was_seen(
    values: dict[str, object], opened: str, closed: str
) -> None:
    rows = decide(judged(), RULES, {})
    table = windows_table(rows, pl.DataFrame([SERIES | values]), RULES)
    assert tuple(table.columns) == WINDOWS.names
    window = table.row(0, named=True)
    assert (window["opened_by"], window["closed_by"]) == (opened, closed)
    assert window["window_years"] == pytest.approx(7.0)
    seen_opening = opened == "onset"
    assert (window["window_start_low"] is not None) == (window["window_start_high"] is not None) == seen_opening
    seen_closing = closed in ("prediabetes", "diabetes", "recovery")
    assert (window["window_end_low"] is not None) == (window["window_end_high"] is not None) == seen_closing


def test_only_series_with_a_window_of_people_who_have_one_are_shown() -> None:
    rows = decide(pl.concat([judged(), judged(participant_id="b", probability=0.2, prior=None)]), RULES, {})
    series = pl.DataFrame(
        [SERIES, SERIES | {"segment": 1, "probability": 0.1}, SERIES | {"segment": 2}, SERIES | {"participant_id": "b"}]
    )
    assert windows_table(rows, series, RULES)["participant_id"].to_list() == ["a", "a"]


# How many flags are expected to be false


def flagged_series(shares: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = [f"{i:05d}" for i in range(len(shares))]
    flagged = pl.DataFrame({"participant_id": names, "probability": shares.mean(axis=1)})
    return flagged, flagged.with_columns(pl.Series("by_population", shares.tolist()))


def test_without_flags_nothing_is_expected() -> None:
    flagged, series = flagged_series(np.array([[0.9, 0.8]]))
    nothing = expected_false(flagged.head(0), series)
    assert (nothing.expected, nothing.low, nothing.high) == (None, None, None)


@pytest.mark.parametrize("n", [1, 3, 60])
def test_the_interval_is_that_of_simulated_flags(n: int) -> None:
    rng = np.random.default_rng(n)
    shares = np.clip(rng.uniform(0.75, 1.0, (n, 8)) - rng.uniform(0, 0.1, 8), 0, 1)
    found = expected_false(*flagged_series(shares))
    assert found.expected == pytest.approx((1 - shares.mean(axis=1)).sum())
    which = rng.integers(0, 8, 100_000)
    counts = np.zeros(100_000)
    for row in shares:
        counts += rng.random(100_000) > row[which]
    low, high = np.quantile(counts, [0.025, 0.975])
    assert found.low is not None
    assert found.high is not None
    # The interval always holds the expectation itself, also where most counts lie to one side of it.
    assert abs(found.low - min(low, found.expected)) <= 1
    assert abs(found.high - max(high, found.expected)) <= 1


def test_of_many_flags_the_interval_is_that_of_a_normal() -> None:
    shares = np.full((3000, 4), 0.9)
    found = expected_false(*flagged_series(shares))
    assert found.expected == pytest.approx(300)
    assert found.low == pytest.approx(300 - 1.96 * np.sqrt(270), abs=1)
    assert found.high == pytest.approx(300 + 1.96 * np.sqrt(270), abs=1)


def test_of_a_person_judged_in_two_series_the_flag_is_false_where_neither_holds() -> None:
    series = pl.DataFrame({"participant_id": ["a", "a"], "by_population": [[0.6, 0.6], [0.7, 0.7]]})
    flagged = pl.DataFrame({"participant_id": ["a"], "probability": [1 - 0.4 * 0.3]})
    found = expected_false(flagged, series)
    assert found.expected == pytest.approx(0.12)
    assert (found.low, found.high) == (0.0, 1.0)


# The course that is expected at an age and sex


def test_the_expected_change_is_that_of_statsmodels() -> None:
    import pandas as pd
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(2)
    n, visits = 150, 7
    age, woman = rng.uniform(30, 70, n), rng.integers(0, 2, n)
    # The old have higher levels, and rise more slowly: only the second may enter.
    slope = 0.05 - 0.001 * (age - 50) + 0.02 * woman + rng.normal(0, 0.03, n)
    level = 2.0 + 0.03 * (age - 50) - 0.2 * woman + rng.normal(0, 0.4, n)
    series, since = np.repeat(np.arange(n), visits), np.tile(np.arange(float(visits)), n)
    table = pl.DataFrame(
        {
            "series": series,
            "since": since,
            "insulin": level[series] + slope[series] * since + rng.normal(0, 0.2, n * visits),
            "insulin_low": pl.Series([None] * n * visits, dtype=pl.Float64),
            "insulin_high": pl.Series([None] * n * visits, dtype=pl.Float64),
            "age_first": age[series],
            "sex": [("male", "female")[w] for w in woman[series]],
        }
    )
    found = expected_change(table, "insulin")
    assert found is not None
    assert found.terms == ("age_first", "woman")
    frame = pd.DataFrame(
        {
            "series": series,
            "since": since,
            "y": table["insulin"].to_numpy(),
            "age": age[series] - age.mean(),
            "woman": woman[series] - woman.mean(),
        }
    )
    model = smf.mixedlm("y ~ since * (age + woman)", frame, groups="series", re_formula="~since")
    with warnings.catch_warnings():  # it takes a slope SD of 0.03 for the boundary
        warnings.simplefilter("ignore")
        effects = model.fit(method="lbfgs").fe_params
    per_year = (
        effects["since"] + effects["since:age"] * (age - age.mean()) + effects["since:woman"] * (woman - woman.mean())
    )
    np.testing.assert_allclose(found.per_year, per_year, atol=2e-4)
    assert np.polyfit(age, found.per_year, 1)[0] == pytest.approx(-0.001, abs=8e-4)


def drawn_readings(n: int = 60, visits: int = 5) -> pl.DataFrame:
    """Draw readings of log insulin that rise by 0.04 a year, ages that differ and two sexes."""
    rng = np.random.default_rng(3)
    series, since = np.repeat(np.arange(n), visits), np.tile(np.arange(float(visits)), n)
    y = 2 + 0.04 * since + rng.normal(0, 0.3, n)[series] + rng.normal(0, 0.03, n)[series] * since
    return pl.DataFrame(
        {
            "series": series,
            "since": since,
            "insulin": y + rng.normal(0, 0.2, n * visits),
            "insulin_low": pl.Series([None] * n * visits, dtype=pl.Float64),
            "insulin_high": pl.Series([None] * n * visits, dtype=pl.Float64),
            "age_first": rng.uniform(30, 70, n)[series],
            "sex": np.array(["male", "female"])[rng.integers(0, 2, n)][series],
        }
    )


def expected_of(readings: pl.DataFrame) -> ExpectedChange:
    found = expected_change(readings, "insulin")
    assert found is not None
    return found


def test_what_is_not_known_of_most_or_is_the_same_for_all_leaves_the_expected_course() -> None:
    unknown = drawn_readings().with_columns(age_first=pl.lit(50.0), sex=pl.when(pl.col("series") > 30).then("sex"))
    found = expected_of(unknown)
    assert (found.terms, found.unknown) == ((), {"age_first": 0, "woman": 31})
    assert np.ptp(found.per_year) == 0
    assert found.per_year[0] == pytest.approx(0.04, abs=0.02)


def test_few_of_unknown_sex_are_taken_for_average_and_the_others_keep_theirs() -> None:
    table = drawn_readings()
    found = expected_of(table.with_columns(sex=pl.when(pl.col("series") > 0).then("sex")))
    assert (found.terms, found.unknown) == (("age_first", "woman"), {"age_first": 0, "woman": 1})
    np.testing.assert_allclose(found.per_year[1:], expected_of(table).per_year[1:], atol=5e-3)
    people = table.group_by("series", maintain_order=True).first()
    age, woman = people["age_first"].to_numpy(), (people["sex"] == "female").to_numpy().astype(float)
    terms = np.column_stack([np.ones(60), age - age.mean(), woman - woman[1:].mean()])
    effects, *_ = np.linalg.lstsq(terms[1:], found.per_year[1:])
    assert found.per_year[0] == pytest.approx(terms[0, :2] @ effects[:2])


def test_readings_beyond_a_limit_count_for_the_expected_course() -> None:
    table = drawn_readings(300)
    low = pl.col("insulin") < 1.9
    limited = table.with_columns(
        insulin=pl.when(~low).then("insulin"),
        insulin_low=pl.when(low).then(-math.inf),
        insulin_high=pl.when(low).then(1.9),
    )
    assert 0.2 < limited["insulin"].null_count() / limited.height < 0.5
    rise = expected_of(table).per_year.mean()
    assert expected_of(limited).per_year.mean() == pytest.approx(rise, abs=0.003)
    without = limited.with_columns(pl.lit(None, dtype=pl.Float64).alias("insulin_low"))
    assert expected_of(without).per_year.mean() < rise - 0.006  # left out, the rise looks slower


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_rise", 0.0),
        ("min_years", -1.0),
        ("glucose_cut_off_mg_dl", 5.6),
        ("flag_from", 1.1),
        ("possible_from", 0.9),
        ("min_visits", 1),
        ("course_from", 0.5),
        ("draws", 3),
        ("refits", 65),
        ("learn_up_to", 99),
        ("refit_up_to", -1),
        ("whole_up_to", -1),
        ("expected_from", 0),
        ("censored", "ignore"),
        ("noise_check", "no"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(name: str, value: float | str) -> None:
    with pytest.raises(UsageError, match=name):
        DetectSettings(**{name: value})  # type: ignore[arg-type]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(probability=st.floats(0, 1), prior=st.floats(0, 1), held=st.booleans(), segments=st.integers(1, 3))
def test_nobody_is_flagged_who_is_not_sure_raised_and_free(
    probability: float, prior: float, held: bool, segments: int
) -> None:
    row = judged(probability=probability, prior=prior, n_segments=segments)
    verdict = decide(row, RULES, {"insulin": (SERIAL,) if held else ()})["verdict"].item()
    assert (verdict == "hidden_window") == (probability >= 0.8 and probability > prior and not held)
    assert (verdict == "not_shown") == (probability < 0.5)
