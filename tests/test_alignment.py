"""Time axes of a cohort: events against brute force, who enters and when, fitted crossings against known truth."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ircohort.chance import uniforms
from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.glycaemia import with_glycaemia
from ircohort.lmm import predict
from ircohort.trajectory.alignment import (
    Comparison,
    EventRule,
    StillBelow,
    align,
    align_from_start,
    align_on_age,
    align_to_event,
    align_to_intervention,
    count_people_by_year,
    find_events,
    share_still_below,
    supported_years,
)
from ircohort.trajectory.alignment.crossing import _courses, _draw_curves, first_crossing
from ircohort.trajectory.alignment.glucose import fit_glucose

LETTERS = {"n": "normal", "p": "prediabetes", "d": "diabetes", "-": None}
DAY_ONE = date(2000, 1, 1)
QUICK = settings(max_examples=30, derandomize=True, deadline=None)
MORE = settings(QUICK, max_examples=70)

Courses = dict[str, list[tuple[float | None, str]]]


def table_of(courses: Courses) -> pl.DataFrame:
    """Visits in the order given; ``keep`` numbers the rows."""
    rows = [(who, time, LETTERS[letter]) for who, course in courses.items() for time, letter in course]
    schema = {"participant_id": pl.String, "years": pl.Float64, "glycaemia": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(keep=pl.int_range(pl.len()))


def yearly(**letters: str) -> pl.DataFrame:
    return table_of({who: [(float(k), letter) for k, letter in enumerate(word)] for who, word in letters.items()})


# Times on a grid of quarters, so that ties and gaps of exactly a year are frequent and sums are exact.
times = st.one_of(st.integers(0, 24).map(lambda k: k / 4), st.none())
courses = st.dictionaries(
    st.sampled_from("abcdef"),
    st.lists(st.tuples(times, st.sampled_from("nnppd--")), min_size=1, max_size=8),
    min_size=1,
)
rules = st.builds(EventRule, to=st.sampled_from(["prediabetes", "diabetes"]), dated=st.just("single")) | st.builds(
    EventRule,
    to=st.sampled_from(["prediabetes", "diabetes"]),
    longest_gap_years=st.sampled_from([None, 0.25, 1.0, 3.0]),
)


def judged_of(course) -> list[tuple[float, int]]:
    """Each time that judges, with the worst class there."""
    worst: dict[float, int] = {}
    for time, letter in course:
        if time is not None and letter != "-":
            worst[time] = max(worst.get(time, 0), "npd".index(letter))
    return sorted(worst.items())


def event_of(course, rule: EventRule) -> tuple[float, float | None] | None:
    """The event, and the last time free of it before; by walking along the visits."""
    judged, high = judged_of(course), 1 if rule.to == "prediabetes" else 2
    for k, (time, level) in enumerate(judged):
        if level < high:
            continue
        if rule.dated == "confirmed":
            if k + 1 == len(judged) or judged[k + 1][1] < high:
                continue
            if rule.longest_gap_years is not None and judged[k + 1][0] - time > rule.longest_gap_years:
                continue
        return time, max((earlier for earlier, below in judged[:k] if below < high), default=None)
    return None


# --- events by readings -----------------------------------------------------------------------------------------


@QUICK
@given(courses, rules, st.integers(0, 9))
def test_events_by_readings_are_those_found_by_walking_along_the_visits(people, rule, seed):
    found = find_events(table_of(people).sample(fraction=1, shuffle=True, seed=seed), rule)
    assert found["participant_id"].to_list() == sorted(people)
    for row in found.iter_rows(named=True):
        course = people[row["participant_id"]]
        event = event_of(course, rule)
        assert (row["event_years"], row["event_low"]) == (event or (None, None))
        assert row["event_high"] == row["event_years"]
        assert row["prevalent"] == (event is not None and event[1] is None)
        assert row["judged"] == bool(judged_of(course))
        assert row["last_years"] == max((time for time, _ in course if time is not None), default=None)


def test_a_gap_too_long_confirms_nothing_but_the_next_pair_may():
    visits = table_of({"a": [(0.0, "n"), (2.0, "p"), (5.0, "p"), (6.0, "p")]})
    assert find_events(visits, EventRule(longest_gap_years=3.0))["event_years"].item() == 2.0
    assert find_events(visits, EventRule(longest_gap_years=2.9))["event_years"].item() == 5.0
    assert find_events(visits, EventRule(longest_gap_years=0.9))["event_years"].item() is None


def test_an_event_by_one_quantity_ignores_the_other_and_trusts_the_class_it_decided():
    visits = with_glycaemia(
        pl.DataFrame(
            {
                "participant_id": ["a"] * 3,
                "years": [0.0, 1.0, 2.0],
                "glucose_mg_dl": [95.0, 97.0, 104.0],
                "hba1c_pct": [5.2, 5.9, 6.6],
            }
        )
    )

    def dates(rule: EventRule) -> tuple[float | None, str | None]:
        return find_events(visits, rule).select("event_years", "event_by").row(0)

    assert dates(EventRule(dated="single")) == (1.0, "hba1c")
    assert dates(EventRule(dated="single", by="glucose")) == (2.0, "glucose")
    assert dates(EventRule(dated="single", by="glucose", criteria="who")) == (None, None)
    assert dates(EventRule(dated="single", by="hba1c", to="diabetes")) == (2.0, "hba1c")
    # 5.55 mmol/L was reported and is prediabetes; 99.99 mg/dL, the same in other units, is not.
    reported = pl.DataFrame(
        {
            "participant_id": ["a"] * 2,
            "years": [0.0, 1.0],
            "glucose_mg_dl": [90.0, 99.99],
            "glycaemia": ["normal", "prediabetes"],
            "glycaemia_by": ["glucose"] * 2,
        }
    )
    assert find_events(reported, EventRule(dated="single", by="glucose"))["event_years"].item() == 1.0
    with pytest.raises(ColumnError, match="hba1c_pct"):
        find_events(reported, EventRule(by="hba1c"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "insulin"},
        {"by": "insulin"},
        {"dated": "guessed"},
        {"criteria": "idf"},
        {"longest_gap_years": 0.0},
        {"longest_gap_years": float("nan")},
        {"longest_gap_years": 2.0, "dated": "single"},
        {"cut_off_mg_dl": 100.0},
        {"dated": "fitted", "by": "hba1c"},
        {"criteria": "who", "by": "hba1c"},
        {"spline_df": 0},
        {"n_draws": True},
        {"seed": -1},
    ],
)
def test_rules_without_meaning_are_refused(wrong):
    with pytest.raises(UsageError):
        EventRule(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"anchor": "first"}, {"per_case": 0}, {"age_caliper_years": -1.0}, {"unmatched": "x"}, {"future_cases": 1}],
)
def test_comparisons_without_meaning_are_refused(wrong):
    with pytest.raises(UsageError):
        Comparison(**wrong)


def test_the_cut_off_of_fitted_glucose_follows_the_criteria():
    assert EventRule(dated="fitted", criteria="who").glucose_cut_off == 110.0
    assert EventRule(dated="fitted", to="diabetes").glucose_cut_off == 126.0
    assert EventRule(dated="fitted", cut_off_mg_dl=103.0).glucose_cut_off == 103.0


# --- backwards from the event -----------------------------------------------------------------------------------


@MORE
@given(courses, rules, st.booleans(), st.integers(0, 9))
def test_each_visit_of_the_backward_axis_is_where_the_brute_force_puts_it(people, rule, keep_after, seed):
    visits = table_of(people).sample(fraction=1, shuffle=True, seed=seed)
    aligned = align_to_event(visits, rule, keep_visit_after=keep_after)
    expected = {}
    for who, course in people.items():
        event, judged = event_of(course, rule), [time for time, _ in judged_of(course)]
        if not judged or (event is not None and event[1] is None):
            continue
        zero = max(time for time, _ in course if time is not None) if event is None else event[0]
        before = max((time for time in judged if time < zero), default=None)
        after = min((time for time in judged if time > zero), default=None)
        end = after if keep_after and event and after is not None else zero
        own = visits.filter(pl.col("participant_id") == who, pl.col("years") <= end)
        case = event is not None
        for keep, time in own.select("keep", "years").iter_rows():
            flags = (case and time == zero, case and time == before, case and time == after)
            expected[keep] = (time - zero, case, *flags)
    table = aligned.visits
    assert table["keep"].to_list() == [row for row in visits["keep"] if row in expected]
    columns = ("years_to_event", "progressor", "at_event", "before_event", "after_event")
    assert dict(zip(table["keep"], table.select(columns).rows(), strict=True)) == expected
    left_out = ("prevalent", "never_judged", "no_dated_visit")
    assert sum(aligned.counts[name] for name in ("cases", "comparison", *left_out)) == len(people)
    assert aligned.counts["visits_used"] == table.height


def test_the_readings_next_to_an_event_are_judged_ones():
    visits = yearly(a="nn-p-pn")
    rows = align_to_event(visits, keep_visit_after=True).visits
    assert rows["years"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    flags = ("before_event", "at_event", "after_event")
    assert [rows.filter(flag)["years"].to_list() for flag in flags] == [[1.0], [3.0], [5.0]]


@QUICK
@given(courses, rules, st.integers(0, 3))
def test_a_random_visit_judges_is_not_the_first_and_is_the_same_for_any_row_order(people, rule, seed):
    chosen = Comparison("random_visit", seed=seed)
    aligned = align_to_event(table_of(people), rule, chosen)
    others = aligned.visits.filter(~pl.col("progressor"))
    free = 0
    for who, course in people.items():
        rows = others.filter(participant_id=who)
        judged = [time for time, _ in judged_of(course)]
        first = min((time for time, _ in course if time is not None), default=None)
        eligible = {time for time in judged if time > first}
        free += bool(judged) and event_of(course, rule) is None
        if not rows.height:
            assert event_of(course, rule) is not None or not eligible
            continue
        (zero,) = set(rows["years"] - rows["years_to_event"])
        assert zero in eligible
        assert rows.height == sum(time is not None and time <= zero for time, _ in course)
    assert aligned.counts["comparison"] + aligned.counts["no_eligible_visit"] == free
    shuffled = table_of(people).sample(fraction=1, shuffle=True, seed=seed)
    again = align_to_event(shuffled, rule, chosen)
    assert again.visits.sort("keep").equals(aligned.visits.sort("keep"))
    assert again.counts == aligned.counts


def test_random_visits_are_drawn_with_equal_chances_and_by_the_seed():
    visits = pl.DataFrame({"participant_id": [f"p{k}" for k in range(2000)]}).join(
        pl.DataFrame({"years": [0.0, 1.0, 2.0, 3.0, 4.0]}), how="cross"
    )
    visits = visits.with_columns(glycaemia=pl.lit("normal"))

    def zeros(seed: int) -> np.ndarray:
        rows = align(visits, comparison=Comparison("random_visit", seed=seed)).filter(years_to_event=0.0)
        return rows.sort("participant_id")["years"].to_numpy()

    drawn = zeros(0)
    counts = np.bincount(drawn.astype(int), minlength=5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.001
    assert stats.chi2_contingency(np.histogram2d(drawn, zeros(1), 4)[0]).pvalue > 0.001


def test_numbers_of_a_person_are_uniform_and_belong_to_the_name():
    drawn = uniforms("purpose", 3, [f"p{k}" for k in range(500)], 20)
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 0.001
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.15
    assert (uniforms("purpose", 3, ["p7"], 20)[0] == drawn[7]).all()
    assert (uniforms("purpose", 4, ["p7"], 20)[0] != drawn[7]).all()
    assert uniforms("purpose", 3, [], 2).shape == (0, 2)


@QUICK
@given(courses, rules, st.permutations("uvwxyz"))
def test_names_do_not_change_who_is_counted(people, rule, names):
    renamed = {names["abcdef".index(who)]: course for who, course in people.items()}
    first, second = (align_to_event(table_of(who), rule) for who in (people, renamed))
    assert first.counts == second.counts
    assert count_people_by_year(first.visits).equals(count_people_by_year(second.visits))


@pytest.mark.parametrize("anchor", ["last_visit", "random_visit", "matched"])
@pytest.mark.parametrize("rule", [EventRule(), EventRule(dated="fitted", n_draws=20)])
def test_unknown_columns_change_nothing_and_are_kept(anchor, rule):
    visits = simulated(40, seed=3)[0].with_columns(age=50 + pl.col("years"), sex=pl.lit("female"))
    names = ["until", "asked", "first", "last", "zero", "after", "index", "served", "judged_visit", "prevalent"]
    names += ["event_years", "age_at_zero", "reached", "again", "t", "group", "rank", "len", "start", "match_id"]
    crowded = visits.with_columns(pl.lit("x").alias(name) for name in names)
    plain = align_on_age(visits, rule, Comparison(anchor))
    other = align_on_age(crowded, rule, Comparison(anchor))
    assert other.counts == plain.counts
    assert other.visits.select(plain.visits.columns).equals(plain.visits)
    assert (other.visits["until"] == "x").all()
    assert share_still_below(crowded, find_events(visits)) == share_still_below(visits, find_events(visits))


def test_frames_of_pandas_give_frames_of_pandas_with_the_same_rows():
    visits = simulated(40, seed=3)[0].with_columns(age=50 + pl.col("years"), sex=pl.lit("female"))
    pandas = visits.to_pandas()
    for comparison in (None, Comparison("random_visit"), Comparison("matched")):
        ours, theirs = (align(frame, comparison=comparison) for frame in (visits, pandas))
        assert isinstance(theirs, pd.DataFrame)
        assert pl.from_pandas(theirs).equals(ours)
    events = find_events(pandas)
    assert isinstance(events, pd.DataFrame)
    assert pl.from_pandas(events).equals(find_events(visits))
    assert share_still_below(pandas, events) == share_still_below(visits, find_events(visits))


# --- age --------------------------------------------------------------------------------------------------------


@QUICK
@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.tuples(
            st.integers(7000, 25000),
            st.integers(0, 3000),
            st.lists(st.tuples(st.integers(0, 4000), st.booleans()), min_size=1, max_size=5),
        ),
        min_size=1,
    )
)
def test_ages_agree_with_dates_also_at_visits_without_age(people):
    rows = []
    for who, (age_at_entry, entry, visits) in people.items():
        for days, aged in visits:
            when = DAY_ONE + timedelta(days=entry + days)
            rows.append((who, days / 365.25, when, (age_at_entry + days) / 365.25 if aged else None, "normal"))
    schema = ["participant_id", "years", "visit_date", "age", "glycaemia"]
    visits = pl.DataFrame(rows, schema=schema, orient="row", infer_schema_length=None)
    aligned = align_on_age(visits)
    known = {who for who, (_, _, own) in people.items() if any(aged for _, aged in own)}
    assert set(aligned.visits["participant_id"]) == known
    assert aligned.counts["no_age"] == len(people) - len(known)
    assert aligned.counts["comparison"] == len(known)
    for row in aligned.visits.iter_rows(named=True):
        age_at_entry, entry, _ = people[row["participant_id"]]
        born = DAY_ONE + timedelta(days=entry - age_at_entry)
        assert row["age"] == pytest.approx((row["visit_date"] - born).days / 365.25)


def test_ages_in_completed_years_grow_evenly_and_a_mistyped_one_moves_nobody():
    stated = pl.Series([50.0, 51.0, 151.0, 52.0, 54.0])
    visits = yearly(a="nnnnn").with_columns(age=stated, years=pl.col("years") * 0.9)
    ages = align_on_age(visits).visits["age"]
    assert np.allclose(ages.diff().drop_nulls(), 0.9)
    assert ages.item(0) == pytest.approx(50.1)  # the median of 50, 50.1, 149.2, 49.3 and 50.4


# --- forward from the start -------------------------------------------------------------------------------------


@QUICK
@given(courses, rules, st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([None, 1.0, 2.5]))
def test_a_landmark_knows_nobody_after_it_and_names_groups_by_what_comes(people, rule, landmark, horizon):
    aligned = align_from_start(table_of(people), rule, landmark_years=landmark, horizon_years=horizon)
    rows = aligned.visits
    expected = {}
    for who, course in people.items():
        judged, event = [time for time, _ in judged_of(course)], event_of(course, rule)
        start = min((time for time, _ in course if time is not None), default=0.0)
        if not judged or judged[0] - start > landmark or (event and (event[1] is None or event[0] - start <= landmark)):
            continue
        end = landmark + horizon if horizon else np.inf
        if event and event[0] - start <= end:
            expected[who] = True
        elif judged[-1] - start > landmark and (horizon is None or judged[-1] - start >= end):
            expected[who] = False
        if who in expected:
            early = [time - start for time, _ in course if time is not None and time - start <= landmark]
            assert sorted(rows.filter(participant_id=who)["years_from_start"]) == sorted(early)
    assert dict(rows.select("participant_id", "progressor").unique().iter_rows()) == expected
    assert (aligned.counts["cases"], aligned.counts["comparison"]) == (
        sum(expected.values()),
        len(expected) - sum(expected.values()),
    )
    people_counts = {name: n for name, n in aligned.counts.items() if not name.startswith("visits")}
    assert sum(people_counts.values()) == len(people)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("inf"), float("nan"), "1"])
def test_a_landmark_is_a_time_above_zero(wrong):
    with pytest.raises(UsageError, match="landmark_years"):
        align_from_start(yearly(a="nn"), landmark_years=wrong)
    with pytest.raises(UsageError, match="horizon_years"):
        align_from_start(yearly(a="nn"), landmark_years=1.0, horizon_years=wrong)


# --- interventions ----------------------------------------------------------------------------------------------


def dated_visits_of(count: int) -> pl.DataFrame:
    """Half-yearly visits of people who entered on different days; the odd ones have a programme at their own time."""
    rows = []
    for k in range(count):
        entry = DAY_ONE + timedelta(days=37 * k)
        programme = entry + timedelta(days=400 + 11 * k) if k % 2 else None
        rows += [
            (f"p{k:02d}", days / 365.25, entry + timedelta(days=days), 50 + days / 365.25, programme)
            for days in range(0, 1200, 180)
        ]
    schema = {"participant_id": pl.String, "years": pl.Float64, "visit_date": pl.Date, "age": pl.Float64}
    return pl.DataFrame(rows, schema=schema | {"programme": pl.Date}, orient="row")


def test_time_since_an_intervention_agrees_with_dates_and_with_years():
    visits = dated_visits_of(6)
    aligned = align_to_intervention(visits, "programme")
    since = (aligned.visits["visit_date"] - aligned.visits["programme"]).dt.total_days() / 365.25
    assert np.allclose(aligned.visits["years_since_intervention"], since)
    assert aligned.visits["intervened"].all()
    assert (aligned.counts["intervention"], aligned.counts["without_intervention"]) == (3, 3)
    entered = pl.col("visit_date").min().over("participant_id")
    as_years = visits.with_columns(programme=(pl.col("programme") - entered).dt.total_days() / 365.25)
    assert np.allclose(align_to_intervention(as_years, "programme").visits["years_since_intervention"], since)
    undated = align_to_intervention(visits.drop("visit_date"), "programme")
    assert (undated.counts["intervention_undated"], undated.visits.height) == (3, 0)


@pytest.mark.parametrize("comparison", [Comparison("random_visit"), Comparison("matched", per_case=2)])
def test_people_without_the_intervention_keep_visits_on_both_sides_and_enter_once(comparison):
    aligned = align_to_intervention(dated_visits_of(20), "programme", comparison)
    rows = aligned.visits
    assert rows.select("participant_id", "years").is_unique().all()
    assert rows.filter(~pl.col("intervened"))["programme"].null_count() == (~rows["intervened"]).sum()
    spans = (
        rows.filter(~pl.col("intervened"))
        .group_by("participant_id")
        .agg(low=pl.col("years_since_intervention").min(), high=pl.col("years_since_intervention").max())
    )
    assert aligned.counts["comparison"] == spans.height > 0
    assert (spans["low"] < 0).all()
    assert (spans["high"] > 0).all()


def test_interventions_that_cannot_be_used_are_refused():
    visits = dated_visits_of(4)
    with pytest.raises(ColumnError, match="no column diet"):
        align_to_intervention(visits, "diet")
    with pytest.raises(ColumnError, match="holds String"):
        align_to_intervention(visits.with_columns(programme=pl.lit("spring")), "programme")
    with pytest.raises(ColumnError, match="differs between visits of 4 participants"):
        align_to_intervention(visits.with_columns(programme="years"), "programme")
    for wrong in (Comparison(), Comparison("matched", future_cases=True)):
        with pytest.raises(UsageError):
            align_to_intervention(visits, "programme", wrong)
    nobody = align_to_intervention(visits.with_columns(programme=pl.lit(None)), "programme")
    assert (nobody.visits.height, nobody.counts["intervention"]) == (0, 0)


# --- counting ---------------------------------------------------------------------------------------------------


@QUICK
@given(courses, rules)
def test_person_years_are_the_spans_of_people_cut_at_half_years(people, rule):
    rows = align_to_event(table_of(people), rule).visits
    table = count_people_by_year(rows)
    expected: dict[tuple[int, str], list] = {}
    for (_, case), own in rows.group_by("participant_id", "progressor"):
        low, high = own["years_to_event"].min(), own["years_to_event"].max()
        for year in range(-30, 2):
            here = own.filter((pl.col("years_to_event") >= year - 0.5) & (pl.col("years_to_event") < year + 0.5)).height
            within = max(0.0, min(high, year + 0.5) - max(low, year - 0.5))
            if here or within:
                entry = expected.setdefault((year, "cases" if case else "comparison"), [0, 0, 0.0])
                for place, more in enumerate((here > 0, here, within)):
                    entry[place] += more
    assert {(year, group): rest for year, group, *rest in table.rows()} == expected
    assert table.equals(count_people_by_year(rows.reverse()))


def test_support_needs_people_at_visits_and_not_only_time_between_them():
    words = {"a": "n", "b": "n", "c": "p", "d": "p"}
    visits = table_of({who: [(0.0, "n"), (1.0, "n"), (3.0, word), (4.0, word)] for who, word in words.items()})
    aligned = align_to_event(visits, EventRule(dated="single")).visits
    assert count_people_by_year(aligned).filter(years_to_event=-1, group="cases")["person_years"].item() == 2.0
    assert supported_years(aligned, 2) == 0
    assert supported_years(aligned, 3) is None


# --- edges ------------------------------------------------------------------------------------------------------

ANCHORS = [Comparison(), Comparison("random_visit"), Comparison("matched", age_caliper_years=None)]


@pytest.mark.parametrize("comparison", ANCHORS, ids=lambda comparison: comparison.anchor)
@pytest.mark.parametrize(
    ("visits", "cases", "prevalent"),
    [
        (yearly(a="nn").head(0), 0, 0),
        (yearly(a="nnn", b="npn"), 0, 0),
        (yearly(a="pp", b="ppp", c="dd"), 0, 3),
        (yearly(a="nnpp"), 1, 0),
        (yearly(a="n"), 0, 0),
        (yearly(a="p", b="n"), 0, 0),
        (yearly(a="---", b="--"), 0, 0),
        (table_of({"a": [(None, "n"), (None, "p")]}), 0, 0),
        (table_of({"a": [(1.0, "n"), (1.0, "p"), (1.0, "p"), (2.0, "n")]}), 0, 0),
    ],
)
def test_small_and_empty_cohorts_have_a_defined_answer(visits, cases, prevalent, comparison):
    aligned = align_to_event(visits, comparison=comparison)
    assert (aligned.counts["cases"], aligned.counts["prevalent"]) == (
        cases if comparison.anchor != "matched" else 0,
        prevalent,
    )
    assert aligned.visits.columns[: visits.width] == visits.columns
    assert count_people_by_year(aligned.visits)["n_visits"].sum() == aligned.visits.height
    assert align_on_age(visits, comparison=comparison).visits.height == 0
    assert align_from_start(visits, landmark_years=1.0).counts["cases"] == cases


def test_a_column_of_nothing_is_no_reading_at_all():
    visits = yearly(a="nn").with_columns(glycaemia=pl.lit(None))
    assert align_to_event(visits).counts["never_judged"] == 1
    assert align(visits.to_pandas()).shape[0] == 0


def test_rows_of_one_time_enter_together_and_are_judged_by_the_worst():
    visits = table_of({"a": [(0.0, "n"), (1.0, "n"), (1.0, "p"), (2.0, "p"), (2.0, "n")]})
    aligned = align_to_event(visits).visits
    assert aligned["years_to_event"].to_list() == [-1.0, 0.0, 0.0]
    assert aligned["at_event"].to_list() == [False, True, True]


# --- fitted glucose ---------------------------------------------------------------------------------------------


def simulated(
    count: int, seed: int, *, rise: float = 0.008, spread: float = 0.008, noise: float = 0.04
) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """People whose log glucose is a straight line, seen about yearly for up to 9 years; visits, levels and slopes."""
    random = np.random.default_rng(seed)
    level, slope = random.normal(np.log(94), 0.05, count), random.normal(rise, spread, count)
    person = np.repeat(np.arange(count), 10)
    t = np.tile(np.arange(10.0), count) + np.where(np.tile(np.arange(10), count) > 0, random.uniform(-0.4, 0.4), 0.0)
    seen = t <= random.uniform(2, 10, count)[person]
    noisy = np.exp(level[person] + slope[person] * t + random.normal(0, noise, len(t)))
    visits = pl.DataFrame({"participant_id": [f"p{k:04d}" for k in person], "years": t, "glucose_mg_dl": noisy})
    return with_glycaemia(visits.filter(seen)), level, slope


LINE = EventRule(dated="fitted", by="glucose", spline_df=1, n_draws=200)


@pytest.fixture(scope="module")
def crossed():
    visits, level, slope = simulated(400, seed=11)
    return visits, level, slope, find_events(visits, LINE)


def first_at(limit: float, level: float, slope: float, last: float) -> float:
    """When a straight line first is at the limit between 0 and ``last``; minus infinity at 0, infinity not at all."""
    if level >= limit:
        return -np.inf
    at = (limit - level) / slope if slope > 0 else np.inf
    return at if at <= last else np.inf


def test_intervals_of_fitted_crossings_cover_the_true_ones_as_often_as_they_say():
    visits, level, slope = simulated(400, seed=200, rise=0.03, spread=0.01, noise=0.03)
    covered: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for row in find_events(visits, LINE).filter(pl.col("event_years").is_not_null()).iter_rows(named=True):
        k = int(row["participant_id"][1:])
        true = first_at(np.log(100), level[k], slope[k], row["last_years"])
        low = -np.inf if row["event_low"] is None else row["event_low"]
        high = np.inf if row["event_high"] is None else row["event_high"]
        assert low <= row["event_years"] <= high
        covered[int(np.isinf(low)) + int(np.isinf(high))].append(low <= true <= high)
    # An interval with both ends leaves out 2.5 % at either; one that is open at an end, only at the other.
    for open_ends, nominal in ((0, 0.95), (1, 0.975)):
        hits = covered[open_ends]
        assert len(hits) > 100
        assert stats.binomtest(sum(hits), len(hits), nominal).pvalue > 0.005


def test_fitted_crossings_lie_near_the_true_ones_without_bias(crossed):
    _, level, slope, events = crossed
    late = events.filter(~pl.col("prevalent") & pl.col("event_years").is_not_null())
    k = late["participant_id"].str.slice(1).cast(pl.Int64).to_numpy()
    at_crossing = level[k] + slope[k] * late["event_years"].to_numpy()
    # The true log glucose at the fitted crossing: its error has the posterior SD of a line, about half a reading's.
    assert abs(at_crossing.mean() - np.log(100)) < 4 * at_crossing.std() / np.sqrt(len(k))
    assert at_crossing.std() < 0.04


@pytest.mark.parametrize("spline_df", [1, 4])
def test_at_a_fitted_event_the_prediction_for_the_person_is_the_cut_off(crossed, spline_df):
    visits = crossed[0]
    rule = EventRule(dated="fitted", by="glucose", spline_df=spline_df, n_draws=0)
    events, confirmed = find_events(visits, rule), find_events(visits, EventRule(by="glucose"))
    assert events["event_low"].null_count() == events.height
    # The visits of the model, found anew: up to the reading after the one that dates the confirmed event.
    ahead = visits.join(confirmed.select("participant_id", "event_years"), on="participant_id")
    later = pl.col("years").filter(pl.col("years") > pl.col("event_years")).min().over("participant_id")
    used = ahead.filter(pl.col("event_years").is_null() | (pl.col("years") <= later))
    late = events.filter(~pl.col("prevalent") & pl.col("event_years").is_not_null())
    record = fit_glucose(used.select("participant_id", "years", "glucose_mg_dl"), spline_df)
    fitted = predict(record, late.select("participant_id", years="event_years"), variances="known")["estimate"]
    assert late.height > 50
    assert np.allclose(fitted, np.log(100), atol=1e-8 if spline_df == 1 else 1e-4)
    ends = used.group_by("participant_id").agg(end=pl.col("years").max()).join(events, on="participant_id")
    assert (ends["end"] == ends["last_years"]).all()
    # Nobody without an event was fitted at or above the cut-off at any visit that the model used.
    below = used.join(events.filter(pl.col("event_years").is_null()), on="participant_id", how="semi")
    assert predict(record, below, variances="known")["estimate"].max() < np.log(100) + 1e-9


def test_fitted_events_do_not_depend_on_the_order_of_rows_and_only_intervals_on_the_seed(crossed):
    visits, *_, events = crossed
    again = find_events(visits.sample(fraction=1, shuffle=True, seed=2), LINE)
    assert again.equals(events)
    other = find_events(visits, EventRule(dated="fitted", by="glucose", spline_df=1, n_draws=200, seed=1))
    assert other["event_years"].equals(events["event_years"])
    assert not other["event_low"].equals(events["event_low"])


def test_a_fitted_event_lies_between_visits_and_marks_none_of_them(crossed):
    visits, *_, events = crossed
    aligned = align_to_event(visits, LINE, keep_visit_after=True, events=events)
    rows = aligned.visits
    assert not rows.select(pl.any_horizontal("at_event", "before_event", "after_event").any()).item()
    ends = rows.filter("progressor").group_by("participant_id").agg(pl.col("years_to_event").sort().tail(2))
    last = np.array([times for times in ends["years_to_event"] if len(times) == 2])
    assert (last[:, 0] < 0).all()
    kept = align_to_event(visits, LINE, events=events)
    assert kept.visits["years_to_event"].max() <= 0
    assert kept.counts["cases"] == events.filter(~pl.col("prevalent"))["event_years"].count()


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.lists(st.integers(-8, 8).map(lambda k: k / 8), min_size=2, max_size=8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_first_crossing_is_the_first_of_a_dense_grid(values, one, two):
    grid, curve, limit = np.arange(float(len(values))), np.array(values), 0.3
    first, last = sorted((one * grid[-1], two * grid[-1]))
    found = first_crossing(grid, curve[None], np.array([first]), np.array([last]), limit)[0]
    dense = np.union1d(np.linspace(first, last, 4001), np.r_[grid[(grid >= first) & (grid <= last)]])
    high = np.interp(dense, grid, curve) >= limit
    if high[0]:
        assert found == -np.inf
    elif not high.any():
        assert found == np.inf
    else:
        assert found == pytest.approx(dense[np.argmax(high)], abs=0.01)


def test_drawn_curves_have_the_standard_deviation_of_the_prediction():
    visits = simulated(12, seed=6)[0].select("participant_id", "years", "glucose_mg_dl")
    record = fit_glucose(visits, 1)
    courses = _courses(record, visits)
    rule = EventRule(dated="fitted", n_draws=4000)
    drawn = _draw_curves(courses, np.arange(len(courses.people)), rule)[:, :, 0]
    rows = pl.DataFrame({"participant_id": courses.people, "years": [float(courses.grid[0])] * len(courses.people)})
    expected = predict(record, rows)
    assert np.allclose(drawn.mean(axis=1), expected["estimate"], atol=4 * drawn.std() / np.sqrt(4000))
    assert np.allclose(drawn.std(axis=1), expected["standard_error"], rtol=0.06)


def test_readings_that_are_not_usual_do_not_enter_the_fit(crossed):
    visits = crossed[0].head(400)
    marks = {"glucose_lowering_drug": True, "insulin_therapy": True, "pregnant": True, "ill": True, "fasting": False}
    plain = find_events(visits, LINE)
    for name, value in marks.items():
        odd = visits.filter(pl.col("years") > 0).with_columns(
            years=pl.col("years") + 0.01, glucose_mg_dl=pl.lit(300.0), glycaemia=pl.lit(None), glycaemia_by=pl.lit(None)
        )
        marked = pl.concat(
            [visits.with_columns(pl.lit(None).alias(name)), odd.with_columns(pl.lit(value).alias(name))],
            how="vertical_relaxed",
        )
        rule = EventRule(dated="fitted", spline_df=1, n_draws=200)
        assert find_events(marked, rule).equals(plain), name


def test_fitted_events_without_enough_glucose_are_refused_or_absent():
    none = yearly(a="nn", b="pp").with_columns(glucose_mg_dl=pl.lit(None, dtype=pl.Float64))
    events = find_events(none, EventRule(dated="fitted"))
    assert events["event_years"].null_count() == 2
    assert not events["judged"].any()
    assert align_to_event(none, EventRule(dated="fitted")).counts["never_judged"] == 2
    for few in (yearly(a="nn"), yearly(a="n", b="n")):
        with pytest.raises(ModelError, match="cannot be fitted"):
            find_events(few.with_columns(glucose_mg_dl=95.0 + pl.col("keep")), EventRule(dated="fitted"))
    with pytest.raises(ColumnError, match="glucose_mg_dl"):
        find_events(yearly(a="nn"), EventRule(dated="fitted"))


def test_events_made_by_noise_are_still_below_a_year_later_and_true_ones_are_not():
    random = np.random.default_rng(5)
    people, t = np.repeat(np.arange(150), 9), np.tile(np.arange(9.0), 150)
    rising = people < 50
    glucose = np.where(rising, 88 * np.exp(0.05 * t), 93.0) * np.exp(random.normal(0, 0.04, len(t)))
    visits = pl.DataFrame({"participant_id": [f"p{k}" for k in people], "years": t, "glucose_mg_dl": glucose})
    visits = with_glycaemia(visits).with_columns(rising=rising)
    single = EventRule(dated="single")

    def share(rows: pl.DataFrame) -> StillBelow:
        events = find_events(visits, single)
        return share_still_below(visits, events.join(rows, on="participant_id", how="semi"), single)

    true, noise = share(visits.filter("rising")), share(visits.filter(~pl.col("rising")))
    assert true.n_followed > 30
    assert noise.n_followed > 20
    assert true.share < 0.2
    assert noise.share > 0.8
    everybody = share(visits)
    assert everybody.n_events == true.n_events + noise.n_events
    assert share_still_below(visits, find_events(visits, single), single, cut_off_mg_dl=300.0).share == 1.0
    late = share_still_below(visits, find_events(visits, single), single, years_after=50.0)
    assert (late.n_followed, late.share) == (0, None)
