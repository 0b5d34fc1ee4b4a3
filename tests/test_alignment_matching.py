"""Comparison people matched to cases: against brute force, and against the rules of a risk set read from the visits."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircohort.chance import shuffled
from ircohort.errors import ColumnError
from ircohort.trajectory.alignment import Comparison, EventRule, align_to_event, find_events
from ircohort.trajectory.alignment.matching import match

SINGLE = EventRule(dated="single")
DAY_ONE = date(2000, 1, 1)

# --- greedy matching itself -------------------------------------------------------------------------------------

# Quarters, so that distances are exact and ties are frequent.
quarters = st.integers(0, 16).map(lambda k: k / 4)
sexes = st.sampled_from(["female", "male", None])
calendars = st.one_of(st.none(), st.integers(0, 12).map(lambda k: k / 4))
cases = st.lists(st.tuples(quarters, st.one_of(st.none(), quarters), sexes, calendars), min_size=1, max_size=6)
pool = st.lists(
    st.tuples(sexes, calendars, st.one_of(st.none(), quarters), st.sets(quarters, min_size=1, max_size=4), quarters),
    min_size=1,
    max_size=9,
)
calipers = st.sampled_from([None, 0.0, 0.5, 2.0])
comparisons = st.builds(
    Comparison,
    anchor=st.just("matched"),
    per_case=st.integers(1, 3),
    age_caliper_years=calipers,
    time_caliper_years=calipers,
    seed=st.integers(0, 5),
)


def tables(cases, pool):
    """The three tables of ``match``: cases c0, c1, ...; those who may serve, of whom the first has the name of c0."""
    index = [(f"c{k}", *case) for k, case in enumerate(cases)]
    named = [("c0" if k == 0 else f"p{k}", *person) for k, person in enumerate(pool)]
    people = [(who, min(at), max(at), event, begin, sex) for who, sex, begin, event, at, _ in named]
    visits = [(who, time, age + time) for who, *_, at, age in named for time in sorted(at)]
    return (
        pl.DataFrame(
            index,
            orient="row",
            schema={"participant_id": pl.String, "years": pl.Float64, "age": pl.Float64, "sex": pl.String}
            | {"calendar": pl.Float64},
        ),
        pl.DataFrame(
            people,
            orient="row",
            schema={"participant_id": pl.String, "first": pl.Float64, "last": pl.Float64, "event_years": pl.Float64}
            | {"calendar_at_zero": pl.Float64, "sex": pl.String},
        ),
        pl.DataFrame(
            visits, orient="row", schema={"participant_id": pl.String, "years": pl.Float64, "age": pl.Float64}
        ),
    )


def distance(case, person, visit, chosen: Comparison) -> float | None:
    """How far a visit is from a case; None where it cannot serve."""
    date = visit["years"]
    if chosen.time_caliper_years is not None:
        both = case["calendar"] is not None and person["calendar_at_zero"] is not None
        date = case["calendar"] - person["calendar_at_zero"] if both else case["years"]
    event = np.inf if person["event_years"] is None else person["event_years"]
    if person["participant_id"] == case["participant_id"] or person["sex"] != case["sex"]:
        return None
    if not person["first"] <= date <= person["last"] or date >= event or visit["years"] >= event:
        return None
    total = 0.0
    if chosen.age_caliper_years is not None:
        if case["age"] is None or abs(visit["age"] - case["age"]) > chosen.age_caliper_years:
            return None
        total += abs(visit["age"] - case["age"]) / chosen.age_caliper_years if chosen.age_caliper_years else 0.0
    if chosen.time_caliper_years is not None:
        if abs(visit["years"] - date) > chosen.time_caliper_years:
            return None
        total += abs(visit["years"] - date) / chosen.time_caliper_years if chosen.time_caliper_years else 0.0
    return total


def brute_force(index, people, visits, chosen: Comparison):
    """Rounds over the cases; everybody not yet taken is looked at, with every visit."""

    def ranks(purpose, names):
        return dict(zip(names, shuffled(purpose, chosen.seed, names), strict=True))

    case_rank = ranks("case", sorted(index["participant_id"]))
    rank = ranks("match", sorted(people["participant_id"]))
    taken, found = set(), []
    for _ in range(chosen.per_case):
        for case in sorted(index.to_dicts(), key=lambda case: case_rank[case["participant_id"]]):
            possible = []
            for person in people.to_dicts():
                name = person["participant_id"]
                for visit in visits.filter(participant_id=name).to_dicts():
                    far = distance(case, person, visit, chosen)
                    if name not in taken and far is not None:
                        possible.append((far, rank[name], visit["years"], name))
            if possible:
                _, _, years, name = min(possible)
                taken.add(name)
                found.append((case["participant_id"], name, years))
    return sorted(found)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(cases, pool, comparisons, st.integers(0, 9))
def test_matching_finds_whom_the_brute_force_finds_in_any_row_order(cases, pool, chosen, seed):
    index, people, visits = tables(cases, pool)
    mixed = [table.sample(fraction=1, shuffle=True, seed=seed) for table in (index, people, visits)]
    assert match(*mixed, chosen).rows() == brute_force(index, people, visits, chosen)


# --- the rules of a risk set, read from the visits --------------------------------------------------------------


def cohort(count: int, seed: int, *, dates: bool = True) -> pl.DataFrame:
    """People of both sexes, 40 to 50 at entry, who entered over five years and may have an event by one reading."""
    random = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        entry, age, sex = int(random.integers(0, 1800)), random.uniform(40, 50), random.choice(["female", "male"])
        days = np.unique(np.r_[0, random.integers(1, 3600, random.integers(0, 9))])
        event = random.uniform(0, 7000)
        for day in days.tolist():
            worse = random.choice(["prediabetes", "diabetes"]) if day >= event else "normal"
            glycaemia = None if random.random() < 0.1 else worse
            when = DAY_ONE + timedelta(days=entry + day)
            rows.append((f"p{k:03d}", day / 365.25, when, age + day / 365.25, str(sex), glycaemia))
    schema = {"participant_id": pl.String, "years": pl.Float64, "visit_date": pl.Date, "age": pl.Float64}
    table = pl.DataFrame(rows, schema=schema | {"sex": pl.String, "glycaemia": pl.String}, orient="row")
    return table if dates else table.drop("visit_date")


def zero_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per series: whose, of which case, which group, the time of year 0."""
    zero = (pl.col("years") - pl.col("years_to_event")).median().alias("zero")
    return rows.group_by("participant_id", "match_id", "progressor").agg(zero)


def risk_set_violations(visits, rows, chosen: Comparison, *, dates: bool) -> Counter:
    """Read anew from the visits what each matched pair must fulfil, and count what it does not."""
    events = {row["participant_id"]: row for row in find_events(visits, SINGLE).to_dicts()}
    of = {who: own.sort("years").to_dicts() for (who,), own in visits.group_by("participant_id")}
    wrong: Counter = Counter()
    for pair in zero_rows(rows).filter(~pl.col("progressor")).to_dicts():
        who, case = pair["participant_id"], pair["match_id"]
        case_time = events[case]["event_years"]
        at_event = next(visit for visit in of[case] if visit["years"] == case_time)
        at_zero = next(visit for visit in of[who] if abs(visit["years"] - pair["zero"]) < 1e-9)
        date = case_time
        if dates:
            date = (at_event["visit_date"] - of[who][0]["visit_date"]).days / 365.25
        event = events[who]["event_years"]
        wrong["self"] += who == case
        wrong["sex"] += at_zero["sex"] != at_event["sex"]
        wrong["age"] += abs(at_zero["age"] - at_event["age"]) > chosen.age_caliper_years + 1e-6
        wrong["time"] += abs(at_zero["years"] - date) > chosen.time_caliper_years + 1e-6
        wrong["not observed"] += not -1e-6 <= date <= of[who][-1]["years"] + 1e-6
        wrong["not free"] += event is not None and event <= max(date, at_zero["years"])
        wrong["future case"] += event is not None and not chosen.future_cases
        between = [visit for visit in of[who] if at_zero["years"] < visit["years"] and visit["glycaemia"] is not None]
        wrong["selected for being free"] += event is not None and not any(v["years"] < event for v in between)
        wrong["unjudged"] += at_zero["glycaemia"] is None
        wrong["first visit"] += at_zero["years"] == 0
    return wrong


@settings(max_examples=20, derandomize=True, deadline=None)
@given(
    st.integers(0, 10_000),
    st.booleans(),
    st.builds(
        Comparison,
        anchor=st.just("matched"),
        per_case=st.integers(1, 3),
        age_caliper_years=st.sampled_from([1.0, 3.0]),
        time_caliper_years=st.sampled_from([0.5, 2.0]),
        future_cases=st.booleans(),
        unmatched=st.sampled_from(["left_out", "kept"]),
        seed=st.integers(0, 3),
    ),
)
def test_matched_people_are_at_risk_alike_and_taken_once_and_no_visit_enters_twice(seed, dates, chosen):
    visits = cohort(50, seed, dates=dates).with_row_index("keep")
    aligned = align_to_event(visits, SINGLE, chosen)
    rows, counts = aligned.visits, aligned.counts
    assert rows["keep"].is_unique().all()
    assert (rows["years_to_event"] <= 0).all()
    events = find_events(visits, SINGLE)
    incident = events.filter(pl.col("event_years").is_not_null() & ~pl.col("prevalent"))

    series = zero_rows(rows)
    serving = series.filter(~pl.col("progressor"))
    assert serving["participant_id"].is_unique().all()
    assert serving.height == counts["comparison"]
    assert serving.is_empty() or serving["match_id"].value_counts()["count"].max() <= chosen.per_case
    assert not sum(risk_set_violations(visits, rows, chosen, dates=dates).values())

    # A case that served before has no visit from then: at one time nobody is both.
    both = rows.filter("progressor").join(serving, on="participant_id", suffix="_served")
    assert (both["years"] > both["zero"]).all()
    assert both.is_empty() or chosen.future_cases
    # No visit after the event enters, in either role.
    own = rows.join(incident.select("participant_id", "event_years"), on="participant_id")
    assert (own["years"] <= own["event_years"]).all()

    of_cases = series.filter("progressor")
    unmatched = incident.height - of_cases["match_id"].count()
    assert counts["cases_unmatched"] == unmatched
    assert counts["cases"] == of_cases.height == incident.height - (unmatched if chosen.unmatched == "left_out" else 0)
    assert set(serving["match_id"]) == set(of_cases["match_id"].drop_nulls())
    never = events.filter(pl.col("event_years").is_null() & pl.col("judged")).height
    assert never == counts["not_chosen"] + serving.join(incident, on="participant_id", how="anti").height


def test_the_cohorts_of_that_test_do_have_matches_and_future_cases_among_them():
    counts, served = Counter(), 0
    for seed in range(20):
        visits = cohort(50, seed)
        aligned = align_to_event(visits, SINGLE, Comparison("matched", per_case=2, future_cases=True))
        counts.update(aligned.counts)
        serving = aligned.visits.filter(~pl.col("progressor"))["participant_id"].unique()
        served += find_events(visits, SINGLE).filter(pl.col("participant_id").is_in(serving))["event_years"].count()
    assert min(counts[name] for name in ("cases", "comparison", "cases_unmatched", "cases_with_fewer")) > 10
    assert served > 10


@pytest.mark.parametrize("dates", [True, False])
def test_a_case_goes_without_only_if_nobody_is_left_who_could_serve(dates):
    chosen = Comparison("matched", per_case=2, age_caliper_years=1.0, time_caliper_years=1.0)
    for seed in range(8):
        visits = cohort(60, seed, dates=dates)
        rows = align_to_event(visits, SINGLE, chosen).visits
        events = find_events(visits, SINGLE).filter(~pl.col("prevalent") & pl.col("judged"))
        found = Counter(zero_rows(rows).filter(~pl.col("progressor"))["match_id"])
        left = events.filter(pl.col("event_years").is_null() & ~pl.col("participant_id").is_in(rows["participant_id"]))
        for case in events.filter(pl.col("event_years").is_not_null()).to_dicts():
            if found[case["participant_id"]] == chosen.per_case:
                continue
            own = visits.filter(participant_id=case["participant_id"], years=case["event_years"]).row(0, named=True)
            for who in left["participant_id"]:
                theirs = visits.filter(participant_id=who).sort("years").to_dicts()
                date = (
                    (own["visit_date"] - theirs[0]["visit_date"]).days / 365.25 if dates else float(case["event_years"])
                )
                for visit in theirs[1:]:
                    assert not (
                        0 <= date <= theirs[-1]["years"]
                        and visit["glycaemia"] is not None
                        and visit["sex"] == own["sex"]
                        and abs(visit["age"] - own["age"]) <= 1
                        and abs(visit["years"] - date) <= 1
                    )


@pytest.mark.parametrize("future_cases", [True, False])
def test_the_order_of_rows_and_columns_does_not_change_a_match(future_cases):
    visits = cohort(60, 4).with_row_index("keep")
    chosen = Comparison("matched", per_case=2, future_cases=future_cases)
    plain = align_to_event(visits, SINGLE, chosen)
    mixed = visits.select(reversed(visits.columns)).sample(fraction=1, shuffle=True, seed=1)
    other = align_to_event(mixed, SINGLE, chosen)
    assert other.counts == plain.counts
    assert other.visits.select(plain.visits.columns).sort("keep").equals(plain.visits)
    assert other.visits["keep"].to_list() == [row for row in mixed["keep"] if row in set(plain.visits["keep"])]


def test_matching_on_age_without_any_age_is_refused_and_without_cases_is_not():
    visits = cohort(40, 1)
    for without in (visits.drop("age"), visits.with_columns(age=pl.lit(None))):
        with pytest.raises(ColumnError, match="age"):
            align_to_event(without, SINGLE, Comparison("matched"))
    free = visits.with_columns(glycaemia=pl.lit("normal")).drop("age")
    assert align_to_event(free, SINGLE, Comparison("matched")).counts["comparison"] == 0
    unaged = align_to_event(visits.drop("age"), SINGLE, Comparison("matched", age_caliper_years=None))
    assert unaged.counts["comparison"] > 0


def test_matching_takes_away_the_difference_in_age_that_last_visits_have():
    ages = np.random.default_rng(3).uniform(40, 60, 200)
    rows = [
        (f"p{k:03d}", float(t), ages[k] + t, "female", "prediabetes" if k % 4 == 0 and t >= 2 else "normal")
        for k in range(200)
        for t in range(9)
    ]
    visits = pl.DataFrame(rows, schema=["participant_id", "years", "age", "sex", "glycaemia"], orient="row")

    def gap(chosen: Comparison) -> float:
        at_zero = align_to_event(visits, SINGLE, chosen).visits.filter(years_to_event=0.0)
        age = dict(at_zero.group_by("progressor").agg(pl.col("age").mean()).iter_rows())
        return age[False] - age[True]

    # Entry ages differ between the groups by what chance gave; cases are taken at 2 years, the others at 8.
    by_chance = ages[np.arange(200) % 4 > 0].mean() - ages[::4].mean()
    assert gap(Comparison()) == pytest.approx(by_chance + 6)
    assert abs(gap(Comparison("matched"))) < 0.2
