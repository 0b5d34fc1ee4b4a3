"""A simulated cohort: its physiology, its visits, its readings and its truth."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.integrate import solve_ivp

from ircohort.chance import normals, uniforms
from ircohort.errors import UsageError
from ircohort.estimand import HiddenWindow
from ircohort.glycaemia import confirmed_events, with_glycaemia
from ircohort.simulation import DESIGNS, EXPORTS, SAMPLE_SEED, TRUTH_DIGITS, Design, simulate
from ircohort.simulation.leaving import until_confirmed
from ircohort.simulation.people import draw_people, identifiers
from ircohort.simulation.physiology import (
    GLUCOSE_EFFECTIVENESS,
    GLUCOSE_PRODUCTION,
    People,
    evolve,
    secretion,
    steady_beta,
    steady_glucose,
)
from ircohort.simulation.reading import measure, report
from ircohort.simulation.schedule import plan_visits
from ircohort.simulation.truth import true_visits
from ircohort.units import conversion

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
CLEAN = Design(n_participants=60, visit_jitter_years=0.0, share_visits_missed=0.0, share_insulin_missing=0.0)


def people_of(**values: float) -> People:
    """Give one person with stated parameters; the others are those of the median person."""
    median = {
        "bmi": 22.3,
        "sensitivity": 1.55,
        "set_point": 90.5,
        "toxic_level": 122.0,
        "kappa": 0.03,
        "capacity": 36.0,
        "triglycerides_offset": 0.0,
        "hdl_offset": 0.0,
    } | values
    beta = steady_beta(np.array([median["sensitivity"]]), np.array([median["set_point"]]))
    return People(beta=beta, **{name: np.array([value]) for name, value in median.items()})


# -- physiology -------------------------------------------------------------------------------------------------------


def test_the_published_fixed_point_is_at_rest() -> None:
    # Topp 2000, doi:10.1006/jtbi.2000.2150: at beta = 300 mg the model rests at G = 100, I = 10.
    r0, eg0, si, sigma, alpha, k, d0, r1, r2 = 864, 1.44, 0.72, 43.2, 20_000, 432, 0.06, 0.84e-3, 2.4e-6
    glucose = steady_glucose(np.array([si]), np.array([300 * sigma / k]), np.array([80.0])).item()
    insulin = 300 * sigma / k * secretion(np.array(glucose)).item()
    assert (glucose, insulin) == pytest.approx((100.0, 10.0), abs=1e-9)
    assert r0 - (eg0 + si * insulin) * glucose == pytest.approx(0, abs=1e-9)
    assert 300 * sigma * glucose**2 / (alpha + glucose**2) - k * insulin == pytest.approx(0, abs=1e-9)
    assert (-d0 + r1 * glucose - r2 * glucose**2) * 300 == pytest.approx(0, abs=1e-9)


def test_a_person_without_beta_cells_rests_at_600() -> None:
    assert steady_glucose(np.array([0.72]), np.array([0.0]), np.array([100.0])).item() == pytest.approx(600.0)


def test_the_steady_state_holds_at_every_visit_to_1e_9() -> None:
    visits = simulate(replace(DESIGNS["clinic"], n_participants=300, n_visits=26), seed=3).truth_visits
    glucose, insulin, sensitivity, beta = (
        visits[name].to_numpy() for name in ("glucose_mg_dl", "insulin_uiu_ml", "sensitivity", "beta")
    )
    imbalance = GLUCOSE_PRODUCTION - (GLUCOSE_EFFECTIVENESS + sensitivity * insulin) * glucose
    assert np.abs(imbalance).max() < 1e-9
    np.testing.assert_allclose(insulin, beta * glucose**2 / (20_000 + glucose**2), rtol=1e-12)
    assert glucose.max() > 300  # failure is among them


@settings(derandomize=True, deadline=None)
@given(
    glucose=st.floats(70, 550),
    sensitivity=st.floats(0.02, 6),
    start=st.floats(40, 600),
)
def test_newton_finds_the_glucose_from_any_start(glucose: float, sensitivity: float, start: float) -> None:
    beta = steady_beta(np.array([sensitivity]), np.array([glucose]))
    assert steady_glucose(np.array([sensitivity]), beta, np.array([start])).item() == pytest.approx(glucose, abs=1e-7)


def growth(glucose: float, beta: float, capacity: float, set_point: float, toxic_level: float) -> float:
    """Write the slow equation out once more, in plain arithmetic."""
    drive = 0.05 * (glucose - set_point) * (toxic_level - glucose) / (toxic_level - set_point)
    if glucose > toxic_level:
        drive *= 3
    drive = min(1.0, max(-0.8, drive))
    if drive > 0:
        drive *= 1 - beta / capacity
    return drive - 0.008 * beta / capacity


def bisect_glucose(sensitivity: float, beta: float) -> float:
    """Solve for glucose by bisection instead of Newton."""
    low, high = 1.0, 600.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        balance = 864 - (1.44 + sensitivity * beta * middle**2 / (20_000 + middle**2)) * middle
        low, high = (middle, high) if balance > 0 else (low, middle)
    return low


@pytest.mark.parametrize(("kappa", "capacity"), [(0.0, 36.0), (0.03, 60.0), (0.1, 20.0)])
def test_the_course_equals_a_plain_calculation_month_by_month(kappa: float, capacity: float) -> None:
    course = evolve(people_of(kappa=kappa, capacity=capacity), 12.0)
    log_beta = math.log((864 / 90.5 - 1.44) / (1.55 * 90.5**2 / (20_000 + 90.5**2)))
    expected = []
    for month in range(145):
        years = month / 12
        glucose = bisect_glucose(1.55 * math.exp(-kappa * years), math.exp(log_beta))
        expected.append(glucose)
        left = capacity * math.exp(-0.008 * years)
        log_beta += growth(glucose, math.exp(log_beta), left, 90.5, 122.0) / 12
    np.testing.assert_allclose(course.glucose[0], expected, rtol=1e-9)
    if kappa == 0.1:
        assert course.glucose[0, -1] > 200


def test_months_are_short_enough() -> None:
    person = people_of(kappa=0.03, capacity=60.0)

    def slope(years: float, log_beta: np.ndarray) -> list[float]:
        glucose = bisect_glucose(1.55 * math.exp(-0.03 * years), math.exp(log_beta[0]))
        return [growth(glucose, math.exp(log_beta[0]), 60.0 * math.exp(-0.008 * years), 90.5, 122.0)]

    solved = solve_ivp(slope, (0, 12), np.log(person.beta), rtol=1e-8, atol=1e-10).y[0, -1]
    assert evolve(person, 12.0).log_beta[0, -1] == pytest.approx(solved, abs=2e-3)  # 0.2 % of insulin


def test_lost_sensitivity_raises_insulin_and_hardly_glucose_until_the_reserve_is_used_up() -> None:
    reserve = evolve(people_of(kappa=0.05, capacity=120.0), 12.0)
    none = evolve(people_of(kappa=0.05, capacity=20.0), 12.0)
    assert reserve.insulin[0, -1] / reserve.insulin[0, 0] > 1.6
    assert reserve.glucose[0, -1] < 100 < none.glucose[0, -1]


# -- no window is drawn in --------------------------------------------------------------------------------------------


def test_without_loss_of_sensitivity_there_is_no_true_window() -> None:
    truth = simulate(Design(n_participants=2000, n_visits=16, kappa_median=0.0), seed=5).truth
    assert truth["hidden_window"].sum() == 0
    assert truth["kappa_per_year"].max() == 0
    assert truth.select("window_start_years", "window_end_years", "rise_pct").null_count().row(0) == (2000, 2000, 2000)


def test_windows_become_more_frequent_with_faster_loss() -> None:
    shares = [
        simulate(Design(n_participants=400, kappa_median=kappa), seed=5).truth["hidden_window"].mean()
        for kappa in (0.005, 0.012, 0.03)
    ]
    assert shares[0] < shares[1] < shares[2]


def test_the_truth_equals_a_search_over_all_pairs_of_months() -> None:
    design = replace(DESIGNS["clinic"], n_participants=80)
    cohort = simulate(design, seed=11)
    truth, names = cohort.truth, identifiers(80)
    course = evolve(draw_people(design, names, seed=11).people, 12.0)
    last = cohort.truth_visits.group_by("participant_id", maintain_order=True).agg(pl.col("years").max())["years"]
    for i, row in enumerate(truth.to_dicts()):
        months = [j for j in range(course.years.size) if course.years[j] <= last[i] + 1e-9]
        best = (0.0, None, None)
        for a in months:
            for b in months[a:]:
                if course.glucose[i, b] >= 100:
                    break
                rise = 100 * (course.insulin[i, b] / course.insulin[i, a] - 1)
                if b - a >= 24 and rise > best[0]:
                    best = (rise, a / 12, b / 12)
        assert row["hidden_window"] == (best[0] >= 25)
        if row["hidden_window"]:
            found = (row["rise_pct"], row["window_start_years"], row["window_end_years"])
            assert found == pytest.approx(best, abs=6e-3)
        high = [j / 12 for j in months if course.glucose[i, j] >= 100]
        assert row["years_to_glucose_100"] == (pytest.approx(high[0], abs=6e-4) if high else None)
        assert row["follow_up_years"] == pytest.approx(last[i], abs=6e-4)
    assert 10 < truth["hidden_window"].sum() < 70


def test_the_definition_of_a_window_is_a_setting() -> None:
    strict = simulate(CLEAN, seed=1, definition=HiddenWindow(min_rise=0.6)).truth
    lax = simulate(CLEAN, seed=1, definition=HiddenWindow(min_rise=0.05)).truth
    assert strict["hidden_window"].sum() < lax["hidden_window"].sum()


# -- against published trajectories ------------------------------------------------------------------------------------

# Mean glucose, BMI and SPISE ten years before the event, cases and others: by an independent implementation of the
# same model (12,000 people, 25 years, annual). Sagesaka 2018 (PMC5932476) found 101.5 / 94.5, 24.0 / 22.7, 7.32 / 8.34
# before diabetes and 91.8 / 89.6, 22.6 / 22.1, 8.44 / 8.82 before prediabetes.
TEN_YEARS_BEFORE = {
    ("diabetes", 1): ((99.8, 91.7), (24.5, 22.8), (7.14, 8.23)),
    ("prediabetes", 1): ((90.7, 87.5), (22.9, 22.6), (8.13, 8.39)),
    ("diabetes", 2): ((99.9, 91.8), (24.5, 22.8), (7.15, 8.22)),
    ("prediabetes", 2): ((93.1, 89.5), (23.3, 22.6), (7.85, 8.37)),
}


def test_the_cohort_repeats_the_trajectories_it_was_built_for() -> None:
    design = replace(CLEAN, n_participants=12_000, n_visits=26)
    labs = simulate(design, seed=1).labs
    glucose, triglycerides, hdl, bmi = (
        labs[header].to_numpy().reshape(-1, 26)
        for header in ("Glucose (mg/dL)", "Triglycerides (mg/dL)", "HDL (mg/dL)", "BMI (kg/m2)")
    )
    spise = 600 * hdl**0.185 / (triglycerides**0.2 * bmi**1.338)
    generator = np.random.default_rng(1)
    for (event, readings), expected in TEN_YEARS_BEFORE.items():
        high = glucose >= {"prediabetes": 100, "diabetes": 126}[event]
        reached = high[:, :-1] & high[:, 1:] if readings == 2 else high
        at = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
        cases, others = np.flatnonzero(at >= 10), np.flatnonzero(at < 0)
        pseudo = generator.choice(at[cases], others.size)
        for values, pair, room in zip((glucose, bmi, spise), expected, (0.7, 0.25, 0.15), strict=True):
            found = (values[cases, at[cases] - 10].mean(), values[others, pseudo - 10].mean())
            assert found == pytest.approx(pair, abs=room), (event, readings)


# -- persons, seeds, schedules ----------------------------------------------------------------------------------------


def test_a_person_does_not_depend_on_the_size_of_the_cohort() -> None:
    few, many = (simulate(replace(DESIGNS["clinic"], n_participants=n), seed=7) for n in (10, 1000))
    first = identifiers(10)
    for table in ("labs", "truth", "truth_visits"):
        kept = getattr(many, table).filter(pl.col("participant_id").is_in(first))
        assert_frame_equal(getattr(few, table), kept, rel_tol=1e-12)


def test_blocks_of_people_join_without_a_seam() -> None:
    design = Design(n_participants=4100, n_visits=2)
    names = identifiers(4100)
    truth = simulate(design, seed=2).truth
    assert truth["participant_id"].to_list() == list(names)
    tail = draw_people(design, names[-10:], seed=2).people
    np.testing.assert_allclose(truth["kappa_per_year"].tail(10), tail.kappa, atol=6e-6)


def test_the_same_seed_gives_the_same_cohort_and_another_seed_another() -> None:
    one, again, other = (simulate(CLEAN, seed=seed) for seed in (1, 1, 2))
    assert one.labs.equals(again.labs)
    assert one.truth.equals(again.truth)
    assert not one.labs.equals(other.labs)


def test_more_visits_leave_the_first_ones_as_they_were() -> None:
    short, long = (simulate(replace(CLEAN, n_visits=n), seed=4).labs for n in (6, 12))
    kept = long.with_columns(pl.int_range(pl.len()).over("participant_id").alias("number")).filter(pl.col("number") < 6)
    assert short.equals(kept.drop("number"))


def test_one_course_can_be_seen_under_two_schedules() -> None:
    names = identifiers(20)
    yearly, twice = CLEAN, replace(CLEAN, n_visits=23, years_between_visits=0.5)
    drawn = draw_people(CLEAN, names, seed=9)
    people = drawn.people
    course = evolve(people, 11.1)
    seen = []
    for design in (yearly, twice):
        schedule = plan_visits(design, names, drawn.entry, seed=9)
        true = true_visits(people, course, schedule, design.population)
        seen.append(true)
        labs = report(measure(true, schedule, design, seed=9), schedule, design)
        assert labs.height == 20 * design.n_visits
    both = seen[0].join(seen[1], on=["participant_id", "visit_date"], suffix="_twice")
    assert both.height == 20 * 12
    np.testing.assert_allclose(both["glucose_mg_dl"], both["glucose_mg_dl_twice"], rtol=1e-12)


def test_a_process_that_had_gone_on_before_entry_goes_on_as_if_it_had_been_watched() -> None:
    # 60 months of the one are entry to the other; the visits of both lie in the same months.
    whole = Design(n_participants=40, n_visits=11, visit_jitter_years=0.0, share_visits_missed=0.0, kappa_median=0.05)
    later = replace(whole, n_visits=6, years_before_entry_low=5.0, years_before_entry_high=5.0)
    watched, joined = (
        evolve(draw_people(design, identifiers(40), seed=3).people, design.n_visits - 1) for design in (whole, later)
    )
    np.testing.assert_allclose(joined.glucose, watched.glucose[:, 60:], rtol=1e-9)
    np.testing.assert_allclose(joined.insulin, watched.insulin[:, 60:], rtol=1e-9)
    np.testing.assert_allclose(joined.sensitivity, watched.sensitivity[:, 60:], rtol=1e-9)


def test_follow_up_ends_with_the_visit_that_confirms_diabetes() -> None:
    glucose = pl.Series([130.0, 125.4, 126.0, 125.6, 90.0, 130.0, 90.0, 130.0])
    person = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert until_confirmed(glucose, person, "diabetes").tolist() == [True] * 4 + [False] * 2 + [True] * 2


def test_a_visit_without_glucose_neither_confirms_diabetes_nor_stands_between() -> None:
    glucose = pl.Series([130.0, None, 128.0, 90.0, None, 130.0])
    person = np.array([0, 0, 0, 0, 1, 1])
    assert until_confirmed(glucose, person, "diabetes").tolist() == [True] * 3 + [False] + [True] * 2


def test_nobody_of_the_clinic_is_seen_after_confirmed_diabetes() -> None:
    labs = simulate(replace(DESIGNS["clinic"], n_participants=300), seed=2).labs
    high = (pl.col("Glucose (mg/dL)") >= 126).over("participant_id")
    confirmed = (high & high.shift(1)).over("participant_id")
    last = pl.int_range(pl.len()).over("participant_id") == pl.len().over("participant_id") - 1
    assert labs.select((confirmed & ~last).any()).item() is False
    assert labs.select(confirmed.any()).item() is True


def test_visits_keep_their_order_and_the_first_is_never_missed() -> None:
    design = Design(n_participants=300, visit_jitter_years=0.49, share_visits_missed=0.4)
    cohort = simulate(design, seed=6)
    visits = cohort.truth_visits
    gaps = visits.select(pl.col("years").diff().over("participant_id")).drop_nulls()["years"]
    assert gaps.min() > 0
    assert visits.group_by("participant_id").agg(pl.col("years").min())["years"].max() == 0
    share = visits.filter(pl.col("years") > 0).height / (300 * 11)
    assert share == pytest.approx(0.6, abs=4 * math.sqrt(0.6 * 0.4 / 3300))
    days = visits.select((pl.col("visit_date") - pl.col("visit_date").first().over("participant_id")).dt.total_days())
    np.testing.assert_allclose(days.to_series() / 365.25, visits["years"], rtol=1e-12)


def test_a_cohort_seen_once_has_no_window() -> None:
    truth = simulate(Design(n_participants=5, share_visits_missed=1.0), seed=1).truth
    assert truth["n_visits"].to_list() == [1] * 5
    assert truth["follow_up_years"].to_list() == [0.0] * 5
    assert not truth["hidden_window"].any()


def test_entry_is_drawn_from_the_stated_ranges() -> None:
    labs = simulate(Design(n_participants=2000, n_visits=1, share_women=0.3), seed=8).labs
    assert labs["age"].min() >= 35
    assert labs["age"].max() <= 59
    assert labs["age"].mean() == pytest.approx(47.0, abs=0.7)
    assert (labs["sex"] == "female").mean() == pytest.approx(0.3, abs=0.04)
    assert set(labs["visit_date"].dt.year().unique()) == {2004, 2005, 2006}


# -- readings ---------------------------------------------------------------------------------------------------------


def test_readings_vary_around_the_truth_as_designed() -> None:
    design = replace(CLEAN, n_participants=2000, units="us")
    cohort = simulate(design, seed=13)
    expected = {
        "glucose": (design.glucose_log_sd, 1.0),
        "insulin": (design.insulin_log_sd, 0.1),
        "triglycerides": (design.triglycerides_log_sd, 1.0),
        "hdl": (design.hdl_log_sd, 1.0),
        "bmi": (design.bmi_log_sd, 0.1),
    }
    errors = {}
    for row in EXPORTS["us"]:
        true = cohort.truth_visits[row.column].to_numpy()
        read = cohort.labs[row.header].to_numpy()
        kept = true > 20 * expected[row.analyte][1]  # where rounding to whole units is small beside the variation
        errors[row.analyte] = np.log(read / true)
        error = errors[row.analyte][kept]
        sd, unit = expected[row.analyte]
        rounded = np.mean((unit / true[kept]) ** 2) / 12
        monte_carlo = sd / math.sqrt(2 * error.size)
        assert error.std() == pytest.approx(math.sqrt(sd**2 + rounded), abs=4.5 * monte_carlo)
        assert error.mean() == pytest.approx(0, abs=4.5 * sd / math.sqrt(error.size) + 2e-4)
    correlations = np.corrcoef(list(errors.values()))[np.triu_indices(5, 1)]
    assert np.abs(correlations).max() < 4.5 / math.sqrt(24_000)


def test_us_and_si_units_tell_the_same() -> None:
    us, si = (simulate(replace(DESIGNS["clinic"], n_participants=200, units=units), seed=3) for units in ("us", "si"))
    assert us.truth.equals(si.truth)
    for one, other in zip(EXPORTS["us"], EXPORTS["si"], strict=True):
        factor = float(conversion(other.analyte, other.unit).apply(Decimal(1)))
        room = 0.5 * 10.0**-one.digits + 0.5 * factor * 10.0**-other.digits + 1e-9
        above_floor = us.labs[one.header].drop_nulls().to_numpy() > 1
        difference = us.labs[one.header].drop_nulls() - factor * si.labs[other.header].drop_nulls()
        assert np.abs(difference.to_numpy()[above_floor]).max() <= room
        assert us.labs[one.header].is_null().equals(si.labs[other.header].is_null())


def test_an_export_looks_as_a_laboratory_writes_it() -> None:
    labs = simulate(DESIGNS["clinic"]).labs
    assert labs.columns == [
        "participant_id",
        "visit_date",
        "sex",
        "age",
        "Glucose (mg/dL)",
        "Insulin (uIU/mL)",
        "Triglycerides (mg/dL)",
        "HDL (mg/dL)",
        "BMI (kg/m2)",
    ]
    assert labs["Insulin (uIU/mL)"].null_count() / labs.height == pytest.approx(0.03, abs=0.01)
    assert labs.drop("Insulin (uIU/mL)").null_count().sum_horizontal().item() == 0
    text = labs.head(40).write_csv()
    for line in text.splitlines()[1:]:
        insulin, bmi = line.split(",")[5], line.split(",")[8]
        assert insulin == "" or len(insulin.partition(".")[2]) == 1
        assert len(bmi.partition(".")[2]) == 1
    assert labs.select(pl.col(labs.columns[4:]).min() > 0).row(0) == (True,) * 5


# -- the sample -------------------------------------------------------------------------------------------------------


def events(seed: int, design: Design) -> pl.DataFrame:
    cohort = simulate(design, seed=seed)
    glucose = cohort.labs["Glucose (mg/dL)"].cast(pl.Float64).alias("glucose_mg_dl")
    return confirmed_events(with_glycaemia(cohort.truth_visits.select("participant_id", "years").with_columns(glucose)))


@pytest.mark.parametrize("seed", [SAMPLE_SEED, 1, 2])
def test_enough_people_of_the_clinic_progress_to_confirmed_prediabetes(seed: int) -> None:
    assert events(seed, DESIGNS["clinic"]).filter(~pl.col("prevalent")).height >= 120


@pytest.mark.parametrize("name", ["labs", "truth"])
def test_the_sample_can_be_made_again(name: str) -> None:
    made = getattr(simulate(DESIGNS["clinic"], seed=SAMPLE_SEED), name)
    written = pl.read_csv(SAMPLE / f"{name}.csv", schema=made.schema)
    assert written.height == made.height
    digits = {row.header: row.digits for row in EXPORTS["us"]} | dict(TRUTH_DIGITS)
    for column in made.columns:
        if column not in digits:
            assert written[column].equals(made[column]), column
            continue
        # Mathematical libraries differ in the last bit, so a value on the edge of rounding may fall to either side.
        assert written[column].is_null().equals(made[column].is_null()), column
        difference = (written[column] - made[column]).abs().max()
        assert difference <= 1.001 * 10.0 ** -digits[column], column


# -- refusals and streams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_participants": 0}, "n_participants = 0"),
        ({"n_participants": 2.0}, "whole number"),
        ({"n_visits": True}, "n_visits = True"),
        ({"n_visits": 100}, "follow-up of at most 60 years"),
        ({"years_between_visits": 0.0}, "years_between_visits = 0.0"),
        ({"years_between_visits": math.nan}, "years_between_visits = nan"),
        ({"visit_jitter_years": 0.5}, "visits keep order"),
        ({"visit_jitter_years": -0.1}, "visit_jitter_years = -0.1"),
        ({"share_visits_missed": 1.1}, "a number from 0 to 1"),
        ({"share_insulin_missing": "some"}, "share_insulin_missing = 'some'"),
        ({"age_low": 50.0, "age_high": 40.0}, "age_low = 50.0"),
        ({"kappa_median": 0.2}, "a number from 0 to 0.12"),
        ({"kappa_log_sd": -1.0}, "kappa_log_sd = -1.0"),
        ({"insulin_log_sd": 1.5}, "insulin_log_sd = 1.5"),
        ({"first_year_low": 2010, "first_year_high": 2005}, "first_year_high = 2005"),
        ({"units": "imperial"}, "one of us, si"),
    ],
)
def test_a_design_that_cannot_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Design(**change)
    assert message in str(refusal.value)


def test_every_number_of_a_design_is_checked() -> None:
    for field in fields(Design):
        with pytest.raises(UsageError, match=field.name):
            Design(**{field.name: None})


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_a_seed_that_is_not_a_whole_number_is_refused(seed: object) -> None:
    with pytest.raises(UsageError, match="whole number from 0"):
        simulate(CLEAN, seed=seed)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**64), few=st.integers(1, 20), more=st.integers(0, 20))
def test_a_longer_stream_begins_with_the_shorter_one(seed: int, few: int, more: int) -> None:
    short = uniforms("test", seed, ["a", "b"], few)
    long = uniforms("test", seed, ["b"], few + more)
    assert (short[1] == long[0, :few]).all()
    assert ((short > 0) & (short < 1)).all()


def test_streams_of_people_and_purposes_are_standard_normal_and_unrelated() -> None:
    names = identifiers(5000)
    z = np.column_stack([normals("one", 1, names, 2), normals("two", 1, names, 1), normals("one", 2, names, 1)])
    assert np.abs(z.mean(axis=0)).max() < 4.5 / math.sqrt(5000)
    assert np.abs(z.std(axis=0) - 1).max() < 4.5 / math.sqrt(10_000)
    assert np.abs(np.corrcoef(z.T)[np.triu_indices(4, 1)]).max() < 4.5 / math.sqrt(5000)


def test_the_truth_is_written_to_the_stated_decimals() -> None:
    truth = simulate(replace(CLEAN, n_participants=20), seed=1).truth
    for name, digits in TRUTH_DIGITS.items():
        assert truth[name].equals(truth[name].round(digits)), name
