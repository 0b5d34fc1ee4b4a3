"""Which visits enter detection, how a series is cut into segments, who cannot be judged, and steps of a cohort."""

import math
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import norm
from scipy.stats import t as student

from ircohort.detection import DetectSettings
from ircohort.detection.selection import Series, select_series
from ircohort.detection.steps import _normal_of_student, calendar_step
from ircohort.errors import ColumnError, UsageError
from ircohort.glycaemia import confirmed_episodes, confirmed_events

RULES = DetectSettings()
Cells = dict[str, list[float | str | bool | date | None]]


def person(name: str, values: Cells) -> pl.DataFrame:
    return pl.DataFrame({"participant_id": [name] * len(next(iter(values.values()))), **values}, strict=False)


def seen(n: int, **more: list[float | str | bool | date | None]) -> pl.DataFrame:
    """One person seen n times, a year apart, with normal glucose and insulin, and ``more``."""
    cells: Cells = {
        "years": [float(t) for t in range(n)],
        "insulin_uiu_ml": [8.0 + t / 10 for t in range(n)],
        "glucose_mg_dl": [90.0 + t / 10 for t in range(n)],
        "glycaemia": ["normal"] * n,
    }
    return person("x", {**cells, **more})


def glycaemia(letters: str) -> list[str | None]:
    words = {"n": "normal", "p": "prediabetes", "d": "diabetes", ".": None}
    return [words[letter] for letter in letters]


def cut(series: Series) -> list[list[float]]:
    """The times of each segment."""
    return series.readings.group_by("segment", maintain_order=True).agg("years")["years"].to_list()


def ends(series: Series) -> list[tuple[str, str]]:
    return series.segments.select("opened", "closed").rows()


def obstacle(table: pl.DataFrame, rules: DetectSettings = RULES) -> str | None:
    return select_series(table, rules).people["obstacle"].item()


# Which visits enter


def test_readings_are_logs_with_age_and_calendar_time() -> None:
    table = seen(3, age=[40.0, None, 42.0], visit_date=[date(2012, 1, 1), date(2012, 7, 2), None], tg_hdl_mg=[2.0] * 3)
    readings = select_series(table, RULES).readings
    assert readings.columns == [
        *("participant_id", "segment", "years", "age", "calendar"),
        *("insulin", "insulin_low", "insulin_high", "tg_hdl", "glucose"),
    ]
    assert readings["insulin"].to_list() == pytest.approx([math.log(8.0), math.log(8.1), math.log(8.2)])
    assert readings["glucose"][2] == pytest.approx(math.log(90.2))
    assert readings["tg_hdl"][0] == pytest.approx(math.log(2))
    assert readings["age"].to_list() == [40.0, 41.0, 42.0]  # what is not stated follows from the other visits
    assert readings["calendar"].to_list() == [2012.0, 2012.5, None]  # 2 July is day 183 of 366


def test_tg_hdl_is_computed_where_the_marker_was_not() -> None:
    table = seen(1, triglycerides_mg_dl=[120.0], hdl_mg_dl=[40.0])
    assert select_series(table, RULES).readings["tg_hdl"].item() == pytest.approx(math.log(3))


def test_glucose_beyond_one_point_two_times_the_cut_off_says_no_more() -> None:
    readings = select_series(seen(2, glucose_mg_dl=[119.0, 300.0]), RULES).readings
    assert readings["glucose"].to_list() == pytest.approx([math.log(119), math.log(120)])


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("ill", [None, True, False, None]),
        ("pregnant", [None, True, False, None]),
        ("glucose_lowering_drug", [None, True, False, None]),
        ("insulin_therapy", [None, True, False, None]),
        ("fasting", [None, False, True, None]),
    ],
)
def test_a_visit_with_a_reason_to_stay_out_is_set_aside_and_counted(flag: str, values: list[bool | None]) -> None:
    series = select_series(seen(4, **{flag: values}), RULES)
    assert cut(series) == [[0.0, 2.0, 3.0]]
    assert series.people.select("n_visits", "n_visits_used").row(0) == (4, 3)
    words = {"glucose_lowering_drug": "on a glucose-lowering drug", "insulin_therapy": "on insulin therapy"}
    words["fasting"] = "not fasting"
    assert f"1 visit was set aside: 1 {words.get(flag, flag)}." in series.notes


def test_rows_without_a_time_do_not_enter() -> None:
    table = seen(4, years=[0.0, None, math.inf, 3.0])
    assert cut(select_series(table, RULES)) == [[0.0, 3.0]]


def test_visits_under_eighteen_do_not_enter_and_those_after_do() -> None:
    series = select_series(seen(6, age=[15.5, 16.5, 17.5, 18.5, 19.5, 20.5]), RULES)
    assert cut(series) == [[3.0, 4.0, 5.0]]
    assert series.people.select("adult", "age_first", "obstacle").row(0) == (True, 18.5, None)
    assert any("3 visits at an age under 18" in note for note in series.notes)


def test_whose_age_is_nowhere_recorded_is_taken_as_an_adult_and_that_is_said_once() -> None:
    series = select_series(pl.concat([seen(4), seen(4).with_columns(participant_id=pl.lit("y"))]), RULES)
    assert series.people["adult"].all()
    assert sum("No age is recorded" in note for note in series.notes) == 1
    known = seen(4, age=[40.0, 41.0, 42.0, 43.0])
    assert not select_series(known, RULES).notes


# Where a series is cut

CUTS = {
    "no event": ("nnpnnp", [[0, 1, 2, 3, 4, 5]], [("start_of_follow_up", "end_of_follow_up")]),
    "the event ends it": ("nnppnp", [[0, 1, 2, 3]], [("start_of_follow_up", "prediabetes")]),
    "diabetes ends it": ("nndpp", [[0, 1, 2, 3]], [("start_of_follow_up", "diabetes")]),
    "a visit that cannot judge does not confirm": ("np.pn", [[0, 1, 2, 3]], [("start_of_follow_up", "prediabetes")]),
    "one normal visit is no recovery": ("nppnpn", [[0, 1, 2]], [("start_of_follow_up", "prediabetes")]),
    "two are": (
        "nppnnn",
        [[0, 1, 2], [3, 4, 5]],
        [("start_of_follow_up", "prediabetes"), ("start_of_follow_up", "end_of_follow_up")],
    ),
    "what lies before recovery stays out": (
        "nppnp.n.nn",
        [[0, 1, 2], [6, 7, 8, 9]],
        [("start_of_follow_up", "prediabetes"), ("start_of_follow_up", "end_of_follow_up")],
    ),
    "a relapse ends it again": (
        "ppnnddnnpp",
        [[0, 1], [2, 3, 4, 5], [6, 7, 8, 9]],
        [
            ("start_of_follow_up", "prediabetes"),
            ("start_of_follow_up", "diabetes"),
            ("start_of_follow_up", "prediabetes"),
        ],
    ),
}


@pytest.mark.parametrize("case", CUTS)
def test_a_confirmed_event_ends_a_segment_and_confirmed_recovery_begins_another(case: str) -> None:
    letters, times, opened_closed = CUTS[case]
    series = select_series(seen(len(letters), glycaemia=glycaemia(letters)), RULES)
    assert cut(series) == times
    assert ends(series) == opened_closed
    assert series.segments["segment"].to_list() == list(range(len(times)))


def test_normal_glucose_under_a_drug_is_no_recovery() -> None:
    letters = "nppnnnn"
    drug = [None, None, None, True, True, False, False]
    assert cut(select_series(seen(7, glycaemia=glycaemia(letters), glucose_lowering_drug=drug), RULES)) == [
        [0, 1, 2],
        [5, 6],
    ]
    unsaid = [None, None, None, True, None, None, None]  # as at the visit before: still under it
    assert cut(select_series(seen(7, glycaemia=glycaemia(letters), glucose_lowering_drug=unsaid), RULES)) == [[0, 1, 2]]
    between = [None, None, None, False, True, False, False]
    assert cut(select_series(seen(7, glycaemia=glycaemia(letters), glucose_lowering_drug=between), RULES)) == [
        [0, 1, 2],
        [5, 6],
    ]


def test_visits_that_do_not_enter_do_not_judge_an_event_or_a_recovery() -> None:
    table = seen(6, glycaemia=glycaemia("nppnnn"), ill=[None, None, True, None, True, None])
    assert cut(select_series(table, RULES)) == [[0, 1, 3, 5]]


@pytest.mark.parametrize("kind", ["assay", "specimen"])
def test_a_change_of_assay_or_specimen_begins_a_new_segment_and_all_are_kept(kind: str) -> None:
    table = seen(8, **{kind: ["old", None, "old", "new", "new", None, "new", "old"]})
    series = select_series(table, RULES)
    assert cut(series) == [[0, 1, 2], [3, 4, 5, 6], [7]]
    assert ends(series) == [
        ("start_of_follow_up", "break_in_series"),
        ("break_in_series", "break_in_series"),
        ("break_in_series", "end_of_follow_up"),
    ]
    assert series.segments["obstacle"].to_list() == [None, None, "only 1 visit with insulin"]
    assert any("1 participant a new series begins where the assay or specimen changed" in note for note in series.notes)


def test_an_event_confirmed_across_a_break_closes_both_parts() -> None:
    table = seen(5, glycaemia=glycaemia("nnnpp"), assay=["old"] * 4 + ["new"])
    assert ends(select_series(table, RULES)) == [
        ("start_of_follow_up", "prediabetes"),
        ("break_in_series", "prediabetes"),
    ]


def test_an_event_that_only_hba1c_shows_closes_the_segment_before_it() -> None:
    readings = {"insulin_uiu_ml": [8.0, 8.0, 9.0, None, None], "glucose_mg_dl": [90.0, 91.0, 92.0, None, None]}
    series = select_series(seen(5, glycaemia=glycaemia("nnnpp"), **readings), RULES)
    assert cut(series) == [[0, 1, 2]]
    assert ends(series) == [("start_of_follow_up", "prediabetes")]


def test_recovery_with_another_assay_opens_as_follow_up_does() -> None:
    table = seen(6, glycaemia=glycaemia("nppnnn"), assay=["old"] * 3 + ["new"] * 3)
    assert [opened for opened, _ in ends(select_series(table, RULES))] == ["start_of_follow_up", "start_of_follow_up"]


def test_glycaemia_is_read_off_glucose_where_there_is_none() -> None:
    glucose = [90.0, 92.0, 95.0, 104.0, 106.0, 110.0]
    read = select_series(seen(6, glucose_mg_dl=glucose, glycaemia=glycaemia("nnnppp")), RULES)
    unread = select_series(seen(6, glucose_mg_dl=glucose).drop("glycaemia"), RULES)
    assert_frame_equal(unread.readings, read.readings)
    assert "read off glucose" in unread.notes[0]


# Censored insulin

BOUNDS: Cells = {
    "insulin_uiu_ml": [8.0, 1.0, 300.0, 2.0, 3.0],
    "insulin_uiu_ml_lower": [None, 0.0, 300.0, 2.0, 2.0],
    "insulin_uiu_ml_upper": [None, 2.0, None, 2.0, 4.0],
}
MADE_OF = {
    "interval": [math.log(8), None, None, math.log(2), None],
    "half_limit": [math.log(8), math.log(1), math.log(300), math.log(2), math.log(3)],
    "drop": [math.log(8), None, None, math.log(2), None],
}


@pytest.mark.parametrize("censored", MADE_OF)
@pytest.mark.parametrize("read_by", ["half", "bounds"])
def test_a_censored_reading_is_what_the_setting_says_whatever_the_column_holds(censored: str, read_by: str) -> None:
    column = BOUNDS["insulin_uiu_ml"] if read_by == "half" else [8.0, None, None, 2.0, None]
    series = select_series(seen(5, **{**BOUNDS, "insulin_uiu_ml": column}), replace(RULES, censored=censored))
    readings = series.readings
    assert readings["insulin"].to_list() == pytest.approx(MADE_OF[censored])
    interval = censored == "interval"
    low = [None, -math.inf, math.log(300), None, math.log(2)] if interval else [None] * 5
    high = [None, math.log(2), math.inf, None, math.log(4)] if interval else [None] * 5
    assert readings["insulin_low"].to_list() == pytest.approx(low)
    assert readings["insulin_high"].to_list() == pytest.approx(high)
    n_insulin = 2 if censored == "drop" else 5
    assert series.segments.select("n_insulin", "n_censored").row(0) == (n_insulin, 3)
    assert any("3 readings of insulin beyond a limit" in note for note in series.notes)


@pytest.mark.parametrize("censored", MADE_OF)
@pytest.mark.parametrize("times", [2, 3])
def test_more_than_half_of_insulin_censored_cannot_be_judged(censored: str, times: int) -> None:
    n = 2 * times - 1 if times == 3 else 4
    table = seen(
        n,
        insulin_uiu_ml_lower=[None] + [0.0] * times + [None] * (n - times - 1),
        insulin_uiu_ml_upper=[None] + [2.0] * times + [None] * (n - times - 1),
    )
    expected = "more than half of insulin beyond the limit of detection" if times > n / 2 else None
    rules = replace(RULES, censored=censored, min_visits=2)
    assert obstacle(table, rules) == expected


def test_a_visit_with_nothing_but_a_dropped_reading_does_not_enter_but_is_counted_as_censored() -> None:
    table = seen(
        5,
        glucose_mg_dl=[90.0, None, None, None, 90.0],
        insulin_uiu_ml_lower=[None, 0.0, 0.0, 0.0, None],
        insulin_uiu_ml_upper=[None, 2.0, 2.0, 2.0, None],
    )
    series = select_series(table, replace(RULES, censored="drop"))
    assert cut(series) == [[0, 4]]
    assert series.segments.select("n_visits_used", "n_insulin", "n_censored").row(0) == (2, 2, 3)
    assert obstacle(table, replace(RULES, censored="drop")) == "more than half of insulin beyond the limit of detection"


def test_bounds_that_are_crossed_are_refused_by_name_and_number() -> None:
    table = seen(2, insulin_uiu_ml_lower=[3.0, None], insulin_uiu_ml_upper=[2.0, None])
    with pytest.raises(UsageError, match="In 1 visits insulin_uiu_ml_lower lies above insulin_uiu_ml_upper"):
        select_series(table, RULES)


def test_bounds_that_are_no_numbers_are_refused_by_name() -> None:
    with pytest.raises(ColumnError, match="insulin_uiu_ml_upper"):
        select_series(seen(2, insulin_uiu_ml_upper=["<2", None]), RULES)
    without = select_series(seen(2), RULES)
    nothing = seen(2).with_columns(insulin_uiu_ml_upper=pl.lit(None, pl.String))  # pandas does not know its type
    assert_frame_equal(select_series(nothing, RULES).readings, without.readings)


# Who cannot be judged, and why

UNFIT: dict[str, tuple[pl.DataFrame, str]] = {
    "no dates": (seen(5, years=[None] * 5), "no dated visits"),
    "two visits": (seen(2), "only 2 visits with insulin"),
    "insulin once": (seen(5, insulin_uiu_ml=[8.0] + [None] * 4, tg_hdl_mg=[1.5] * 5), "only 1 visit with insulin"),
    "short": (seen(5, years=[0.0, 0.4, 0.8, 1.2, 1.6]), "follow-up shorter than 2 years"),
    "child": (seen(5, age=[9.0, 10.0, 11.0, 12.0, 13.0]), "under 18"),
    "young": (seen(5, age=[15.0, 16.0, 17.0, 18.0, 19.0]), "under 18 at first, then only 2 visits with insulin"),
    "no marker": (seen(5, insulin_uiu_ml=[None] * 5), "no fasting insulin, and no TG:HDL"),
    "no glucose": (seen(5, glucose_mg_dl=[None] * 5), "no visits with glucose"),
    "pregnant": (seen(3, pregnant=[True] * 3), "every dated visit was set aside (pregnant)"),
    "mostly pregnant": (
        seen(4, pregnant=[False, True, True, None]),
        "only 2 visits with insulin; 2 visits were set aside (pregnant)",
    ),
    "treated": (
        seen(4, glucose_lowering_drug=[True] * 4, fasting=[False, None, None, None]),
        "every dated visit was set aside (on a glucose-lowering drug, not fasting)",
    ),
    "insulin only where it does not count": (
        seen(4, insulin_uiu_ml=[8.0, None, None, None], fasting=[False, True, True, True]),
        "no visits with insulin; 1 visit was set aside (not fasting)",
    ),
    "nothing measured where it counts": (
        seen(3, insulin_uiu_ml=[8.0, None, None], glucose_mg_dl=[90.0, None, None], ill=[True, None, None]),
        "no visits with insulin; 1 visit was set aside (ill)",
    ),
    "event": (seen(6, glycaemia=glycaemia("ppdddd")), "only 2 visits with insulin up to confirmed prediabetes"),
    "assay": (
        seen(6, assay=["a", "a", "b", "b", "c", "c"]),
        "only 2 visits with insulin in the longest series with one assay and specimen",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_who_cannot_be_judged_hears_why(case: str) -> None:
    table, expected = UNFIT[case]
    assert obstacle(table) == expected


def test_a_person_can_be_judged_where_one_segment_can() -> None:
    series = select_series(seen(9, assay=["a"] * 2 + ["b"] * 5 + ["c"] * 2), RULES)
    assert series.people.select("obstacle", "n_segments", "n_visits_used", "span_years").row(0) == (None, 3, 9, 8.0)


def test_tg_hdl_is_the_marker_only_where_insulin_was_never_measured() -> None:
    tg_hdl: list[float | str | bool | date | None] = [1.5] * 4
    never = select_series(seen(4, insulin_uiu_ml=[None] * 4, tg_hdl_mg=tg_hdl), RULES)
    assert never.people.select("marker", "obstacle").row(0) == ("tg_hdl", None)
    once = select_series(seen(4, insulin_uiu_ml=[8.0, None, None, None], tg_hdl_mg=tg_hdl), RULES)
    assert once.people["marker"].item() == "insulin"
    below = seen(4, insulin_uiu_ml=[None] * 4, tg_hdl_mg=tg_hdl, insulin_uiu_ml_upper=[2.0, None, None, None])
    assert select_series(below, RULES).people["marker"].item() == "insulin"


def test_sexes_that_contradict_each_other_are_none() -> None:
    assert select_series(seen(3, sex=["female", None, "female"]), RULES).people["sex"].item() == "female"
    assert select_series(seen(3, sex=["female", None, "male"]), RULES).people["sex"].item() is None


def test_no_rows_give_empty_tables_with_the_same_columns() -> None:
    empty = select_series(pl.DataFrame(schema={"participant_id": pl.String, "years": pl.Float64}), RULES)
    full = select_series(seen(4, age=[40.0] * 4, visit_date=[date(2012, 1, 1)] * 4, sex=["male"] * 4), RULES)
    for name in ("readings", "segments", "people"):
        assert getattr(empty, name).height == 0
        assert getattr(empty, name).schema == getattr(full, name).schema
    assert empty.notes == ()


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(ColumnError, match="years"):
        select_series(pl.DataFrame({"participant_id": ["a"]}), RULES)


@pytest.mark.parametrize("value", ["half", "", None])
def test_a_way_with_censored_readings_that_is_not_known_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="censored"):
        DetectSettings(censored=value)


# Against a plain account of the rules, visit by visit

VISIT = st.tuples(
    st.sampled_from("nnnppd."),
    st.sampled_from([None, None, None, True, False]),  # drug
    st.sampled_from([None, None, None, True]),  # ill
    st.sampled_from([None, "a", "a", "b"]),  # assay
    st.booleans(),  # measured at all
)


def told_plainly(visits: list[tuple[str, bool | None, bool | None, str | None, bool]]) -> list[tuple[int, int]]:
    """Give (time, segment) of each visit used, by walking through the visits one by one."""
    drug_now, treated = False, []
    for _, drug, *_ in visits:
        drug_now = drug_now if drug is None else drug
        treated.append(drug_now)
    usable = [t for t, (_, drug, ill, *_) in enumerate(visits) if not drug and not ill]
    judging = [t for t in usable if visits[t][0] != "."]
    after = dict(pairwise(judging))
    in_event, open_until, eras, era = False, None, {}, 0
    for t in range(len(visits)):
        following = after.get(t)
        if following is not None and t in judging:
            high, high_next = visits[t][0] in "pd", visits[following][0] in "pd"
            if not in_event and high and high_next:
                in_event, open_until = True, following
            elif in_event and not high and not high_next and not any(treated[t : following + 1]):
                in_event, era = False, era + 1
        if t in usable and (not in_event or (open_until is not None and t <= open_until)):
            eras[t] = era
    assays, known = {}, [visits[t][3] for t in usable if visits[t][3] is not None]
    current = known[0] if known else ""
    for t in usable:
        current = visits[t][3] or current
        assays[t] = current
    used = [t for t in eras if visits[t][4]]
    segments, number = [], 0
    for i, t in enumerate(used):
        if i and (eras[t], assays[t]) != (eras[used[i - 1]], assays[used[i - 1]]):
            number += 1
        segments.append((t, number))
    return segments


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.lists(VISIT, min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_segments_are_those_of_the_rules_told_plainly(visits, random) -> None:  # type: ignore[no-untyped-def]
    letters, drug, ill, assay, measured = zip(*visits, strict=True)
    table = seen(
        len(visits),
        glycaemia=glycaemia("".join(letters)),
        glucose_lowering_drug=list(drug),
        ill=list(ill),
        assay=list(assay),
        insulin_uiu_ml=[8.0 if there else None for there in measured],
        glucose_mg_dl=[None] * len(visits),
    ).with_columns(pl.col("glucose_lowering_drug", "ill").cast(pl.Boolean), pl.col("assay").cast(pl.String))
    # Glycaemia in no row is read off glucose, of which there is none; a stranger makes that case go away.
    stranger = seen(1, years=[0.0]).with_columns(participant_id=pl.lit("a stranger"))
    shuffled = pl.concat([table, stranger], how="diagonal_relaxed")
    order = list(range(shuffled.height))
    random.shuffle(order)
    readings = select_series(shuffled[order], RULES).readings.filter(pl.col("participant_id") == "x")
    assert readings.select(pl.col("years").cast(pl.Int64), "segment").rows() == told_plainly(visits)


def crowd(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    size = n * 8
    words = np.array(["normal", "normal", "normal", "prediabetes", "diabetes", None], dtype=object)
    below = rng.random(size) < 0.2
    return pl.DataFrame(
        {
            "participant_id": [f"{i:03d}" for i in np.repeat(np.arange(n), 8)],
            "years": rng.integers(0, 10, size).astype(float),
            "age": rng.integers(14, 40, size).astype(float),
            "insulin_uiu_ml": np.exp(rng.normal(2, 0.5, size)),
            "insulin_uiu_ml_lower": [0.0 if one else None for one in below],
            "insulin_uiu_ml_upper": [2.0 if one else None for one in below],
            "glucose_mg_dl": rng.normal(95, 8, size),
            "tg_hdl_mg": np.exp(rng.normal(0.5, 0.5, size)),
            "glycaemia": list(rng.choice(words, size)),
            "fasting": list(rng.choice(np.array([True, True, False, None], dtype=object), size)),
            "assay": list(rng.choice(np.array(["a", "a", "a", "b", None], dtype=object), size)),
        }
    )


def test_neither_the_order_of_the_rows_nor_the_names_matter() -> None:
    table = crowd(60, 0)
    series = select_series(table, RULES)
    shuffled = select_series(table.sample(fraction=1.0, shuffle=True, seed=3), RULES)
    names = {f"{i:03d}": f"{(37 * i) % 60:03d}" for i in range(60)}
    renamed = select_series(table.with_columns(pl.col("participant_id").replace_strict(names)), RULES)
    for part in ("readings", "segments", "people"):
        frame: pl.DataFrame = getattr(series, part)
        assert_frame_equal(getattr(shuffled, part), frame, check_exact=True)
        order = [name for name in ("participant_id", "segment", "years") if name in frame.columns]
        back = frame.with_columns(pl.col("participant_id").replace_strict(names)).sort(order, maintain_order=True)
        assert_frame_equal(getattr(renamed, part), back, check_exact=True)
    assert shuffled.notes == series.notes == renamed.notes


def test_the_first_episode_is_the_confirmed_event() -> None:
    table = crowd(200, 1)
    first = confirmed_episodes(table).filter(pl.col("episode") == 0)
    events = confirmed_events(table.with_columns(glycaemia_by=pl.lit("glucose")))
    assert first.height > 50
    assert_frame_equal(
        first.select("participant_id", "event_years", "confirmed_years"),
        events.select("participant_id", "event_years", "confirmed_years"),
    )
    assert (first["recovered_years"].drop_nulls().len()) > 0
    assert confirmed_episodes(table, to="diabetes").height < confirmed_episodes(table).height
    with pytest.raises(UsageError, match="no event"):
        confirmed_episodes(table, to="normal")


# A step of the whole cohort at one calendar date


def readings(
    rng: np.random.Generator, n: int = 300, k: int = 11, *, entry: float = 10.0, memory: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """People with lines of log insulin, an SD of 26 % from draw to draw, entering over so many years."""
    person_index = np.repeat(np.arange(n), k)
    years = np.tile(np.arange(float(k)), n) + rng.uniform(0, 0.2, n * k)
    scatter = rng.normal(0, 0.26, (n, k))
    for j in range(1, k):
        scatter[:, j] = memory * scatter[:, j - 1] + np.sqrt(1 - memory**2) * scatter[:, j]
    level, slope = rng.normal(2.0, 0.5, n), rng.normal(0.01, 0.02, n)
    y = level[person_index] + slope[person_index] * years + scatter.ravel()
    return person_index, years, rng.uniform(2000, 2000 + entry, n)[person_index] + years, y


def test_a_step_of_ten_per_cent_in_everyone_is_mostly_reported_with_its_date_and_size() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(20):
        index, years, calendar, y = readings(rng)
        step = calendar_step(index, years, calendar, y + np.log(1.1) * (calendar >= 2010.3))
        assert step is not None
        found.append(step)
    reported = [step for step in found if step.reported]
    assert len(reported) >= 14  # 0.9 in a run of 60; with that, fewer than 14 of 20 have a probability of 0.002
    assert np.median([abs(step.date - 2010.3) for step in reported]) < 0.5
    assert np.mean([step.size for step in found]) == pytest.approx(0.1, abs=0.02)
    assert np.mean([step.size_low <= 0.1 <= step.size_high for step in found]) >= 0.8


def test_without_a_step_no_more_is_found_than_the_level_allows() -> None:
    rng = np.random.default_rng(2)
    found = [calendar_step(*readings(rng, 60, 8, memory=0.5 * (i % 2), entry=0.5 + 3 * (i % 3))) for i in range(200)]
    p_values = np.array([step.p_value for step in found if step is not None])
    assert len(p_values) == 200
    assert np.mean(p_values < 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert sum(step.reported for step in found if step is not None) <= 1  # 0.2 expected; more than 1: probability 0.02
    assert np.mean(p_values < 0.5) > 0.3  # nor is it a test that cannot find anything


@pytest.mark.parametrize("entry", [0.5, 10.0])
def test_a_cohort_that_rises_ever_faster_makes_no_step(entry: float) -> None:
    rng = np.random.default_rng(3)
    for n in (300, 4000):
        index, years, calendar, y = readings(rng, n, entry=entry)
        step = calendar_step(index, years, calendar, y + 0.5 * np.expm1(years / 4) / np.expm1(2.5))
        assert step is not None
        assert not step.reported
        assert step.separable == (entry > 1)


def test_where_all_entered_together_a_step_is_found_but_said_not_to_be_separable() -> None:
    rng = np.random.default_rng(4)
    index, years, _, y = readings(rng, 400)
    step = calendar_step(index, years, 2000.0 + years, y + np.log(1.2) * (years >= 5.5))
    assert step is not None
    assert (step.reported, step.separable) == (True, False)
    assert step.size == pytest.approx(0.2, abs=0.06)


def test_a_step_that_freer_curves_leave_nothing_of_is_not_bounded_and_not_reported() -> None:
    rng = np.random.default_rng(3)
    index, years = np.repeat(np.arange(300), 5), np.tile(np.arange(5.0), 300)  # all on the same five dates
    step = calendar_step(index, years, 2000.0 + years, rng.normal(2, 0.5, 300)[index] + rng.normal(0, 0.2, 1500))
    assert step is not None
    assert np.isnan(step.size_high)
    assert not step.reported


def test_the_score_is_that_of_the_regression_written_out() -> None:
    """With slopes of no variance it is ordinary least squares within persons, with the variance taken between them."""
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    index, years, calendar, _ = readings(rng, 120, 6)
    y = rng.normal(0, 0.26, len(index)) + rng.normal(0, 0.3, 120)[index]
    step = calendar_step(index, years, calendar, y, n_dates=7)
    assert step is not None
    unit_t, unit_c = ((values - np.ptp(values) / 2 - values.min()) / np.ptp(values) for values in (years, calendar))
    persons = (index[:, None] == np.arange(120)).astype(float)
    curves = [unit_t**k for k in range(1, 5)] + [unit_c**k for k in range(2, 5)]
    fit = sm.OLS(y, np.column_stack([calendar >= step.date, *curves, persons])).fit()
    assert step.size == pytest.approx(np.expm1(fit.params[0]), rel=1e-6)
    robust = fit.get_robustcov_results("cluster", groups=index, use_correction=False)
    error = (np.log1p(step.size_high) - np.log1p(step.size_low)) / 2 / 1.959964
    assert error == pytest.approx(robust.bse[0], rel=0.03)  # centred scores, n - 1


def test_steps_do_not_depend_on_the_order_of_the_rows_and_not_on_the_unit() -> None:
    rng = np.random.default_rng(6)
    index, years, calendar, y = readings(rng, 80)
    step = calendar_step(index, years, calendar, y)
    shuffle = rng.permutation(len(y))
    assert calendar_step(index[shuffle], years[shuffle], calendar[shuffle], y[shuffle]) == step
    scaled = calendar_step(index, years, calendar, y + np.log(6.0))
    assert step is not None
    assert scaled is not None
    assert scaled.z == pytest.approx(step.z, rel=1e-6)


def test_without_dates_or_people_there_is_no_date_to_try() -> None:
    rng = np.random.default_rng(7)
    index, years, calendar, y = readings(rng, 20)
    assert calendar_step(index, years, calendar, y) is None
    index, years, calendar, y = readings(rng, 100)
    assert calendar_step(index, years, np.full(len(y), np.nan), y) is None
    assert calendar_step(index[:0], years[:0], calendar[:0], y[:0]) is None
    assert calendar_step(index, years, np.full(len(y), 2010.0), y) is None
    assert calendar_step(np.arange(len(y)), years, calendar, y) is None  # one reading each
    assert calendar_step(index, years, calendar, np.full(len(y), 2.0)) is None  # without scatter


def test_a_score_beyond_all_tables_still_finds_its_date() -> None:
    rng = np.random.default_rng(8)
    index, years, calendar, y = readings(rng, 6000)
    step = calendar_step(index, years, calendar, y + np.log(2.0) * (calendar >= 2010.3))
    assert step is not None
    assert step.z > 38  # where the tail of a normal is 0 in double precision
    assert step.p_value < 1e-300
    assert step.date == pytest.approx(2010.3, abs=0.3)
    assert step.size == pytest.approx(1.0, abs=0.2)


def test_scores_on_the_scale_of_a_normal_have_the_tail_of_students_t() -> None:
    t, freedom = np.array([-4.0, 0.0, 1.0, 2.0, 5.0]), np.array([29.0, 29.0, 29.0, 60.0, 100.0])
    expected = norm.isf(student.sf(np.abs(t), freedom)) * np.sign(t)
    np.testing.assert_allclose(_normal_of_student(t, freedom), expected, atol=2e-3)
