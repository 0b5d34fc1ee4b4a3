"""Who is flagged, who is not, who cannot be judged, and whether the numbers behind it are right."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import multivariate_normal

from ircohort.detection import Detection, DetectSettings, detect
from ircohort.detection import population as pop
from ircohort.detection.growth import SINGLE_START, split
from ircohort.detection.judging import direction, stage, windows_of
from ircohort.detection.posterior import draw_lines, fit_marker, hashed_uniforms, make_noise
from ircohort.detection.series import select_series
from ircohort.detection.spread import slope_spread
from ircohort.detection.sums import make_sums
from ircohort.errors import ColumnError, UsageError
from ircohort.estimand import HiddenWindow, find_windows
from ircohort.schema import PARTICIPANTS, VERDICTS, WINDOWS

FAST = DetectSettings(draws=128, refits=4)


def cohort(n: int = 120, visits: int = 11, seed: int = 1, slope_sd: float = 0.04, rise: float = 0.03) -> pl.DataFrame:
    """People with straight log insulin and normal, flat glucose, read with the variation of science.md 3."""
    rng = np.random.default_rng(seed)
    person, years = np.repeat(np.arange(n), visits), np.tile(np.arange(visits, dtype=float), n)
    level, slope = rng.normal(2.0, 0.5, n), rng.normal(rise, slope_sd, n)
    glucose = rng.normal(90.0, 4.0, n)
    x = rng.normal(0.7, 0.4, n)
    return pl.DataFrame(
        {
            "participant_id": [f"{i:03d}" for i in person],
            "years": years,
            "age": 40.0 + years,
            "glucose_mg_dl": glucose[person] * np.exp(rng.normal(0, 0.05, person.size)),
            "insulin_uiu_ml": np.exp(level[person] + slope[person] * years + rng.normal(0, 0.26, person.size)),
            "tg_hdl_mg": np.exp(x[person] + 0.5 * slope[person] * years + rng.normal(0, 0.21, person.size)),
            "glycaemia": "normal",
            "glycaemia_by": "glucose",
            "state": "sensitive",
        }
    )


@pytest.fixture(scope="module")
def visits() -> pl.DataFrame:
    return cohort()


@pytest.fixture(scope="module")
def found(visits: pl.DataFrame) -> Detection:
    return detect(visits, FAST, seed=3)


def person(name: str, values: dict[str, list[float | str | bool | None]]) -> pl.DataFrame:
    return pl.DataFrame({"participant_id": [name] * len(next(iter(values.values()))), **values}, strict=False)


def reason(visits: pl.DataFrame, name: str) -> tuple[str, str]:
    row = detect(visits, FAST).participants.filter(pl.col("participant_id") == name)
    return row["verdict"].item(), row["reason"].item()


# The tables


def test_every_participant_stands_once_with_the_columns_of_the_contract(visits: pl.DataFrame, found: Detection) -> None:
    people = found.participants
    assert people["participant_id"].to_list() == sorted(set(visits["participant_id"]))
    assert tuple(people.columns) == PARTICIPANTS.names
    assert tuple(found.windows.columns) == WINDOWS.names
    for table, columns in ((people, PARTICIPANTS.columns), (found.windows, WINDOWS.columns)):
        assert [table.schema[column.name] for column in columns] == [column.dtype for column in columns]
    assert set(people["verdict"]) <= set(VERDICTS)
    assert people["reason"].null_count() == 0
    assert people["last_state"].to_list() == ["sensitive"] * people.height


def test_a_verdict_follows_from_the_probability(found: Detection) -> None:
    people = found.participants
    assert people.filter(pl.col("verdict") == "hidden_window")["probability"].min() >= 0.8
    assert people.filter(pl.col("verdict") == "not_shown")["probability"].max() < 0.5
    assert found.n_flagged == people.filter(pl.col("verdict") == "hidden_window").height > 5
    flagged = people.filter(pl.col("verdict") == "hidden_window")["probability"]
    assert found.expected_false == pytest.approx((1 - flagged).sum())


def test_a_window_is_given_for_each_flagged_or_possible_person_and_lies_in_the_follow_up(found: Detection) -> None:
    shown = found.participants.filter(pl.col("verdict").is_in(["hidden_window", "possible"]))
    windows = found.windows
    assert windows["participant_id"].to_list() == shown["participant_id"].to_list()
    assert (windows["window_start"] >= 0).all()
    assert (windows["window_end"] <= 10).all()
    assert (windows["window_years"] >= 2).all()
    assert (windows["window_start_low"] <= windows["window_start"]).all()
    assert (windows["window_end"] <= windows["window_end_high"]).all()
    assert set(windows["opened_by"]) == {"start_of_follow_up"}
    assert set(windows["closed_by"]) == {"end_of_follow_up"}
    assert (shown["rise_pct"] >= 25).all()
    assert (shown["rise_pct_low"] <= shown["rise_pct"]).all()


def test_curves_are_in_natural_units_within_their_intervals(found: Detection) -> None:
    curves = found.curves
    assert set(curves["marker"]) == {"insulin", "tg_hdl", "glucose"}
    assert ((curves["fitted_low"] <= curves["fitted"]) & (curves["fitted"] <= curves["fitted_high"])).all()
    middle = dict(curves.group_by("marker").agg(pl.col("fitted").median()).iter_rows())
    assert 6 < middle["insulin"] < 12
    assert 1.5 < middle["tg_hdl"] < 3.5
    assert 85 < middle["glucose"] < 95


def test_the_population_is_told_per_marker(found: Detection) -> None:
    population = found.population
    assert population["marker"].to_list() == ["insulin", "tg_hdl"]
    insulin = population.row(0, named=True)
    assert insulin["slope_sd_low"] < 100 * np.expm1(0.04) < insulin["slope_sd_high"]
    assert insulin["residual_cv_pct"] == pytest.approx(100 * np.sqrt(np.expm1(0.26**2)), abs=1.5)
    assert insulin["identifiable"]


def test_homa_ir_changes_by_insulin_and_glucose_together(found: Detection) -> None:
    people = found.participants.drop_nulls("probability")
    expected = people["insulin_pct_per_year"].median() + 100 * people["glucose_mg_dl_per_year"].median() / 90
    assert people["homa_ir_pct_per_year"].median() == pytest.approx(expected, abs=0.3)


# Reproducible, and indifferent to what must not matter


def test_the_order_of_the_rows_does_not_matter(visits: pl.DataFrame, found: Detection) -> None:
    shuffled = detect(visits.sample(fraction=1.0, shuffle=True, seed=5), FAST, seed=3)
    assert_frame_equal(shuffled.participants, found.participants, check_exact=True)
    assert_frame_equal(shuffled.curves, found.curves, check_exact=True)


def test_pandas_in_gives_pandas_out(visits: pl.DataFrame) -> None:
    few = visits.filter(pl.col("participant_id") < "005")
    got = detect(few.to_pandas(), FAST)
    assert all(isinstance(table, pd.DataFrame) for table in (got.participants, got.windows, got.curves, got.population))


def test_draws_of_a_person_do_not_depend_on_who_else_is_drawn(visits: pl.DataFrame) -> None:
    table = visits.sort("participant_id", "years")
    names = table["participant_id"].unique(maintain_order=True)
    index = table["participant_id"].rle_id().to_numpy().astype(np.intp)
    outcomes = np.log(table.select("insulin_uiu_ml", "glucose_mg_dl").to_numpy())
    fit = fit_marker("insulin", tuple(names), index, table["years"].to_numpy(), outcomes, FAST, 0)
    noise = make_noise(128, 0)
    together = draw_lines(fit, np.arange(5), noise)
    alone = draw_lines(fit, np.array([3]), noise)
    np.testing.assert_allclose(together[:, 3], alone[:, 0], rtol=1e-12)


def test_weights_come_from_seed_and_name() -> None:
    assert hashed_uniforms(1, "a", 20).tolist() == hashed_uniforms(1, "a", 20).tolist()
    assert hashed_uniforms(1, "a", 1) != hashed_uniforms(2, "a", 1)
    assert hashed_uniforms(1, "a", 1) != hashed_uniforms(1, "b", 1)
    many = np.concatenate([hashed_uniforms(0, str(i), 4) for i in range(500)])
    assert 0 < many.min() < many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.02)


# Who is not flagged


def test_nobody_is_flagged_where_slopes_do_not_differ() -> None:
    same = cohort(n=80, slope_sd=0.0, seed=2)
    got = detect(same, FAST)
    assert set(got.participants["verdict"]) == {"not_assessable"}
    assert got.participants["probability"].null_count() == 80
    assert "the spread of slopes between people cannot be told from zero" in got.participants["reason"][0]
    assert got.n_flagged == 0
    assert got.expected_false is None
    assert any(note.startswith("Nobody is judged by insulin") for note in got.notes)


def test_a_flat_person_is_not_flagged_in_a_cohort_of_risers() -> None:
    base = cohort(n=100, seed=4)
    rng = np.random.default_rng(0)
    flat = person(
        "flat",
        {
            "years": list(range(11)),
            "insulin_uiu_ml": (8.0 * np.exp(rng.normal(0, 0.1, 11))).tolist(),
            "glucose_mg_dl": [90.0] * 11,
        },
    ).with_columns(pl.lit("normal").alias("glycaemia"))
    got = detect(pl.concat([base, flat], how="diagonal_relaxed"), FAST).participants
    row = got.filter(pl.col("participant_id") == "flat").row(0, named=True)
    assert row["verdict"] == "not_shown"
    assert row["probability"] < 0.4


def test_a_rise_while_glucose_is_high_is_no_window() -> None:
    base = cohort(n=100, seed=4)
    risen = person(
        "high",
        {
            "years": list(range(11)),
            "insulin_uiu_ml": [6.0 * np.exp(0.1 * t) for t in range(11)],
            "glucose_mg_dl": [112.0 + t for t in range(11)],
        },
    ).with_columns(pl.lit("normal").alias("glycaemia"))  # so that the readings are not cut at an event
    verdict, why = reason(pl.concat([base, risen], how="diagonal_relaxed"), "high")
    assert (verdict, why) == ("not_shown", "insulin rises, but fitted glucose does not stay normal meanwhile")


def test_serially_correlated_readings_lower_every_flag_to_possible() -> None:
    table = cohort(n=150, seed=6, slope_sd=0.02).sort("participant_id", "years")
    rng = np.random.default_rng(1)
    drift = rng.normal(0, 0.35, (150, 11))
    for j in range(1, 11):
        drift[:, j] = 0.7 * drift[:, j - 1] + np.sqrt(1 - 0.49) * drift[:, j]
    table = table.with_columns(pl.col("insulin_uiu_ml") * pl.Series(np.exp(drift.ravel())))
    got = detect(table, FAST)
    assert got.n_flagged == 0
    assert any("Neighbouring readings of insulin go together" in note for note in got.notes)
    sure = got.participants.filter(pl.col("probability") >= 0.8)
    assert sure.height > 0
    assert set(sure["verdict"]) == {"possible"}


# Who cannot be judged, and why

LONG = {"insulin_uiu_ml": [8.0, 9.0, 8.5, 9.5, 9.0], "glucose_mg_dl": [90.0, 91.0, 92.0, 93.0, 94.0]}
UNFIT: dict[str, tuple[pl.DataFrame, str]] = {
    "no dates": (person("x", {"years": [None] * 5, **LONG}), "no dated visits"),
    "two visits": (
        person("x", {"years": [0.0, 4.0], "insulin_uiu_ml": [8.0, 9.0], "glucose_mg_dl": [90.0, 91.0]}),
        "only 2 visits with insulin",
    ),
    "short": (person("x", {"years": [0.0, 0.4, 0.8, 1.2, 1.6], **LONG}), "follow-up shorter than 2 years"),
    "child": (person("x", {"years": [0.0, 1.0, 2.0, 3.0, 4.0], "age": [9.0, 10, 11, 12, 13], **LONG}), "under 18"),
    "no marker": (
        person("x", {"years": [0.0, 1.0, 2.0, 3.0, 4.0], "glucose_mg_dl": LONG["glucose_mg_dl"]}),
        "no fasting insulin, and no TG:HDL",
    ),
    "no glucose": (
        person("x", {"years": [0.0, 1.0, 2.0, 3.0, 4.0], "insulin_uiu_ml": LONG["insulin_uiu_ml"]}),
        "no visits with glucose",
    ),
    "treated": (
        person("x", {"years": [0.0, 1.0, 2.0, 3.0, 4.0], "glucose_lowering_drug": [True] * 5, **LONG}),
        "every dated visit was set aside (on a glucose-lowering drug)",
    ),
    "insulin once, TG:HDL often": (
        person(
            "x",
            {
                "years": [0.0, 1.0, 2.0, 3.0, 4.0],
                "insulin_uiu_ml": [8.0, None, None, None, None],
                "tg_hdl_mg": [1.0, 1.2, 1.4, 1.6, 1.8],
                "glucose_mg_dl": LONG["glucose_mg_dl"],
            },
        ),
        "only 1 visit with insulin",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_who_cannot_be_judged_hears_why(case: str) -> None:
    table, expected = UNFIT[case]
    row = detect(table, FAST).participants.row(0, named=True)
    assert (row["verdict"], row["reason"], row["probability"]) == ("not_assessable", expected, None)


def test_a_cohort_of_three_is_too_small_to_learn_from() -> None:
    got = detect(cohort(n=3), FAST)
    assert set(got.participants["verdict"]) == {"not_assessable"}
    assert got.participants["reason"][0].startswith("fewer than 20 people")
    assert got.population["identifiable"].to_list() == [False, False]


def test_no_rows_give_empty_tables() -> None:
    got = detect(pl.DataFrame(schema={"participant_id": pl.String, "years": pl.Float64}), FAST)
    assert got.participants.height == got.windows.height == got.curves.height == got.n_flagged == 0
    assert tuple(got.participants.columns) == PARTICIPANTS.names


def test_people_without_any_spread_in_their_readings_are_refused_without_a_crash() -> None:
    rows = [person(f"{i:02d}", {"years": [0.0, 1.0, 2.0, 3.0, 4.0], **LONG}) for i in range(30)]
    assert set(detect(pl.concat(rows), FAST).participants["verdict"]) == {"not_assessable"}


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(ColumnError, match="years"):
        detect(pl.DataFrame({"participant_id": ["a"]}))


# Which visits enter


def test_visits_after_those_that_confirm_do_not_enter() -> None:
    table = person(
        "x",
        {
            "years": [float(t) for t in range(7)],
            "insulin_uiu_ml": [8.0] * 7,
            "glucose_mg_dl": [90.0, 92.0, 95.0, 104.0, 106.0, 110.0, 112.0],
            "glycaemia": ["normal"] * 3 + ["prediabetes"] * 4,
            "glycaemia_by": ["glucose"] * 7,
        },
    )
    series = select_series(table, FAST)
    assert series.readings["years"].to_list() == [0, 1, 2, 3, 4]
    assert series.people["event"].item() == "prediabetes"
    unread = select_series(table.drop("glycaemia"), FAST)
    assert_frame_equal(unread.readings, series.readings)
    assert "read off glucose" in unread.notes[0]


def test_an_ill_visit_is_set_aside_and_counted() -> None:
    table = person(
        "x", {"years": [0.0, 1.0, 2.0], "insulin_uiu_ml": [8.0, 30.0, 9.0], "glucose_mg_dl": [90.0, 99.0, 91.0]}
    )
    series = select_series(table.with_columns(pl.Series("ill", [False, True, None])), FAST)
    assert series.readings["years"].to_list() == [0.0, 2.0]
    assert series.notes[-1].startswith("1 visits were set aside")


@pytest.mark.parametrize("kind", ["assay", "specimen"])
def test_a_change_of_assay_or_specimen_breaks_the_series_and_the_longest_part_is_judged(kind: str) -> None:
    table = person(
        "x",
        {
            "years": [float(t) for t in range(8)],
            "insulin_uiu_ml": [8.0, 8.0, 8.0, 12.0, 12.0, 12.0, 12.0, 12.0],
            "glucose_mg_dl": [90.0] * 8,
            kind: ["old", None, "old", "new", "new", None, "new", "new"],
        },
    )
    series = select_series(table, FAST)
    assert series.readings["years"].to_list() == [3, 4, 5, 6, 7]
    assert series.people["broken_before"].item()
    assert not series.people["broken_after"].item()


def test_a_window_that_begins_at_a_break_says_so() -> None:
    base = cohort(n=100, seed=4)
    risen = person(
        "broken",
        {
            "years": [float(t) for t in range(14)],
            "insulin_uiu_ml": [5.0] * 3 + [8.0 * np.exp(0.11 * t) for t in range(11)],
            "glucose_mg_dl": [90.0] * 14,
            "assay": ["old"] * 3 + ["new"] * 11,
        },
    ).with_columns(pl.lit("normal").alias("glycaemia"))
    got = detect(pl.concat([base, risen], how="diagonal_relaxed"), FAST)
    row = got.participants.filter(pl.col("participant_id") == "broken").row(0, named=True)
    window = got.windows.filter(pl.col("participant_id") == "broken").row(0, named=True)
    assert row["verdict"] == "hidden_window"
    assert row["n_visits_used"] == 11
    assert row["reason"].endswith("the assay or specimen changed, the longest part was judged")
    assert (window["opened_by"], window["closed_by"]) == ("break_in_series", "end_of_follow_up")
    assert window["window_start"] == pytest.approx(3.0)


def test_tg_hdl_is_judged_where_insulin_was_never_measured_and_says_so() -> None:
    got = detect(cohort(n=100, seed=8, slope_sd=0.08).drop("insulin_uiu_ml"), FAST)
    judged = got.participants.drop_nulls("probability")
    assert judged.height == 100
    assert set(judged["marker"]) == {"tg_hdl"}
    assert judged["reason"].str.ends_with("judged by TG:HDL, as insulin was never measured").all()
    assert judged["insulin_pct_per_year"].null_count() == judged["stage"].null_count() == 100
    assert set(got.curves["marker"]) == {"tg_hdl", "glucose"}


def test_the_rise_beyond_the_expected_course_takes_three_hundred_people(found: Detection) -> None:
    assert found.participants["probability_beyond_expected"].null_count() == found.participants.height
    allowed = detect(cohort(), replace(FAST, expected_from=100), seed=3).participants.drop_nulls("probability")
    assert allowed["probability_beyond_expected"].null_count() == 0
    assert (allowed["probability_beyond_expected"] <= allowed["probability"]).mean() > 0.95  # the mean course rises


# The parts against something independent


def test_the_likelihood_is_that_of_the_readings_written_out() -> None:
    rng = np.random.default_rng(0)
    person_index = np.repeat(np.arange(4), [5, 3, 6, 1])
    years = np.sort(rng.uniform(0, 10, person_index.size))
    outcomes = rng.normal(0, 1, (person_index.size, 2))
    outcomes[[1, 6], 0] = np.nan
    outcomes[[3, 9], 1] = np.nan
    sums = make_sums(person_index, 4, years, outcomes)
    population = split(split(SINGLE_START, 0, 1.0), 1, -1.0)
    population = replace(
        population, level_on_slope=np.array([0.3, -0.4]), residual_root=np.array([[0.5, 0], [0.2, 0.4]])
    )
    got = pop.membership(population, pop.posteriors(population, sums))[1]
    residual = population.residual_root @ population.residual_root.T
    t, y = (years - sums.centre) / sums.unit, (outcomes - sums.mean) / sums.sd
    for i in range(4):
        rows = np.flatnonzero(person_index == i)
        design = np.vstack([np.kron(np.eye(2), [1.0, t[row]]) for row in rows])
        seen = np.isfinite(y[rows]).ravel()
        density = 0.0
        for weight, mean, root in zip(population.weights, population.means, population.roots, strict=True):
            covariance = design @ root @ root.T @ design.T + np.kron(np.eye(len(rows)), residual)
            normal = multivariate_normal((design @ mean)[seen], covariance[np.ix_(seen, seen)])
            density += weight * normal.pdf(y[rows].ravel()[seen])
        assert got[i] == pytest.approx(np.log(density), rel=1e-9)


def test_the_gradient_of_the_likelihood_is_its_slope() -> None:
    table = cohort(n=30, visits=5)
    index = table["participant_id"].rle_id().to_numpy().astype(np.intp)
    outcomes = np.log(table.select("insulin_uiu_ml", "glucose_mg_dl").to_numpy())
    outcomes[::4, 0], outcomes[1::5, 1] = np.nan, np.nan
    sums = make_sums(index, 30, table["years"].to_numpy(), outcomes)
    start = split(split(SINGLE_START, 0, 1.0), 1, 1.0)
    at = pop._pack(start) + np.random.default_rng(1).normal(0, 0.05, pop._pack(start).size)
    weight = np.random.default_rng(2).exponential(1, 30)

    def value(vector: np.ndarray) -> float:
        return pop._objective(vector, start.shape, sums, weight)[0]

    numeric = [(value(at + step) - value(at - step)) / 2e-5 for step in 1e-5 * np.eye(at.size)]
    np.testing.assert_allclose(pop._objective(at, start.shape, sums, weight)[1], numeric, rtol=1e-5, atol=1e-4)


def test_the_spread_of_slopes_agrees_with_statsmodels_by_maximum_likelihood() -> None:
    import statsmodels.formula.api as smf

    table = cohort(n=60, visits=8, seed=9)
    index = table["participant_id"].rle_id().to_numpy().astype(np.intp)
    y, years = np.log(table["insulin_uiu_ml"].to_numpy()), table["years"].to_numpy()
    got = slope_spread(index, years, y)
    frame = pd.DataFrame({"y": y, "t": years - years.mean(), "g": index})
    with warnings.catch_warnings():  # it takes a slope SD of 0.04 for the boundary
        warnings.simplefilter("ignore")
        fit = smf.mixedlm("y ~ t", frame, groups="g", re_formula="~t").fit(reml=False, method="lbfgs")
    assert got.sd == pytest.approx(np.sqrt(fit.cov_re.iloc[1, 1]), rel=2e-3)
    assert got.mean == pytest.approx(fit.fe_params["t"], abs=1e-5)
    assert got.residual_sd == pytest.approx(np.sqrt(fit.scale), rel=1e-3)


def test_independent_readings_pass_the_check_for_serial_correlation() -> None:
    table = cohort(n=200, seed=10)
    index = table["participant_id"].rle_id().to_numpy().astype(np.intp)
    got = slope_spread(index, table["years"].to_numpy(), np.log(table["insulin_uiu_ml"].to_numpy()))
    assert abs(got.serial) < 3 * got.serial_se
    assert not got.serially_correlated


LINES = st.lists(
    st.tuples(st.floats(1, 3), st.floats(-0.3, 0.3), st.floats(4.35, 4.75), st.floats(-0.03, 0.03)),
    min_size=1,
    max_size=8,
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(lines=LINES, span=st.floats(2.0, 20.0))
def test_drawn_lines_are_judged_by_the_definition_and_nothing_else(
    lines: list[tuple[float, float, float, float]], span: float
) -> None:
    drawn, years, rule = np.array(lines).T, np.linspace(1.0, 1.0 + span, 41), HiddenWindow()
    marker = drawn[0][:, None] + drawn[1][:, None] * years
    glucose = np.exp(drawn[2][:, None] + drawn[3][:, None] * years)
    share, windows = windows_of(drawn, years, rule)
    assert share == find_windows(years, marker, glucose, rule).present.mean()
    assert (windows.log_rise[windows.present] >= np.log(1.25) - 1e-9).all()


@pytest.mark.parametrize("factor", [0.1, 6.945])
def test_the_unit_of_insulin_does_not_matter(factor: float) -> None:
    table = cohort(n=25, visits=6, seed=3, slope_sd=0.15)
    rules = DetectSettings(draws=64, refits=0)
    scaled = detect(table.with_columns(pl.col("insulin_uiu_ml") * factor), rules).participants["probability"]
    given_unit = detect(table, rules).participants["probability"]
    assert scaled.null_count() == given_unit.null_count()
    assert np.abs((scaled - given_unit).drop_nulls().to_numpy()).max(initial=0.0) <= 2 / 64


def test_course_and_stage_ask_for_certainty() -> None:
    slopes = np.array([[0.1] * 95 + [-0.1] * 5, [-0.1] * 95 + [0.1] * 5, [0.1] * 60 + [-0.1] * 40])
    assert direction(slopes, 0.9) == ["rising", "falling", "steady"]
    lines = np.zeros((4, 3, 100))
    lines[2] = np.log(90.0)
    lines[1] = np.array([[0.05], [-0.05], [0.05]])
    lines[3] = np.array([[0.0], [0.005], [0.02]])
    zero, ten = np.zeros(3), np.full(3, 10.0)
    # insulin up, glucose flat; insulin down, glucose up but normal; glucose beyond the cut-off at the end
    assert stage(lines, zero, ten, 0.9, 100.0) == ["compensating", "failing", None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_rise", 0.0),
        ("min_years", -1.0),
        ("flag_from", 1.1),
        ("possible_from", 0.9),
        ("min_visits", 1),
        ("draws", 3),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        DetectSettings(**{name: value})
