"""Detection from visits to tables: what must not matter does not, and edge cases have an answer."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ircohort.detection import Detection, DetectSettings, detect, growth
from ircohort.detection import cohort as model
from ircohort.detection.cohort import fit_cohort
from ircohort.detection.population import expect
from ircohort.detection.selection import select_series
from ircohort.detection.spread import USUAL_SD, slope_spread
from ircohort.errors import ColumnError
from ircohort.schema import PARTICIPANTS, VERDICTS, WINDOWS

FAST = DetectSettings(draws=128, refits=0, noise_check=False, judge_from=250, expected_from=1_000)
FULL = replace(FAST, refits=2)
N = FAST.judge_from + 10


def cohort(n: int = N, visits: int = 9, seed: int = 1, slope_sd: float = 0.05, rise: float = 0.02) -> pl.DataFrame:
    """People with straight log insulin and normal, flat glucose, read with the variation of one person's readings."""
    rng = np.random.default_rng(seed)
    person, years = np.repeat(np.arange(n), visits), np.tile(np.arange(visits, dtype=float), n)
    level, slope = rng.normal(2.0, 0.5, n), rng.normal(rise, slope_sd, n)
    glucose, x = rng.normal(90.0, 4.0, n), rng.normal(0.7, 0.4, n)
    return pl.DataFrame(
        {
            "participant_id": [f"{i:03d}" for i in person],
            "years": years,
            "age": 40.0 + years,
            "glucose_mg_dl": glucose[person] * np.exp(rng.normal(0, 0.05, person.size)),
            "insulin_uiu_ml": np.exp(level[person] + slope[person] * years + rng.normal(0, 0.26, person.size)),
            "tg_hdl_mg": np.exp(x[person] + 0.5 * slope[person] * years + rng.normal(0, 0.21, person.size)),
            "glycaemia": "normal",
            "state": "sensitive",
        }
    )


def with_gaps(visits: pl.DataFrame, seed: int = 7) -> pl.DataFrame:
    """Visits at other times and some of them missed, some insulin and TG:HDL not measured."""
    rng = np.random.default_rng(seed)
    late, missed, no_insulin, no_lipids = rng.random((4, visits.height))
    return visits.with_columns(
        years=pl.when(pl.col("years") > 0).then(pl.col("years") + 0.4 * pl.Series(late - 0.5)).otherwise(0.0),
        insulin_uiu_ml=pl.when(pl.Series(no_insulin > 0.1)).then("insulin_uiu_ml"),
        tg_hdl_mg=pl.when(pl.Series(no_lipids > 0.2)).then("tg_hdl_mg"),
    ).filter(pl.Series(missed > 0.15) | (pl.col("years") == 0))


def one_person(name: str, years: list[float], insulin: list[float], glucose: list[float]) -> pl.DataFrame:
    columns = {"years": years, "insulin_uiu_ml": insulin, "glucose_mg_dl": glucose}
    return pl.DataFrame({"participant_id": [name] * len(years), **columns, "glycaemia": ["normal"] * len(years)})


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Two components at most, and few cohorts to correct by: how they are chosen has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "MAX_COMPONENTS", 2)
        patch.setattr(model, "CORRECTION_COHORTS", 2)
        patch.setattr(model, "OPEN_CORRECTION_COHORTS", 2)
        yield


@pytest.fixture(scope="module")
def visits() -> pl.DataFrame:
    return cohort()


@pytest.fixture(scope="module")
def found(visits: pl.DataFrame) -> Detection:
    return detect(visits, FAST, seed=3)


@pytest.fixture(scope="module")
def gaps() -> pl.DataFrame:
    return with_gaps(cohort(visits=7))


@pytest.fixture(scope="module")
def found_in_gaps(gaps: pl.DataFrame) -> Detection:
    return detect(gaps, FULL, seed=3)


# The tables


def test_every_participant_stands_once_with_the_columns_of_the_contract(visits: pl.DataFrame, found: Detection) -> None:
    people = found.participants
    assert people["participant_id"].to_list() == sorted(set(visits["participant_id"]))
    for table, contract in ((people, PARTICIPANTS), (found.windows, WINDOWS)):
        assert tuple(table.columns) == contract.names
        assert [table.schema[column.name] for column in contract.columns] == [c.dtype for c in contract.columns]
    assert set(people["verdict"]) <= set(VERDICTS)
    assert people["reason"].null_count() == 0
    assert people["last_state"].to_list() == ["sensitive"] * people.height


def test_a_verdict_follows_from_the_probability(found: Detection) -> None:
    people = found.participants
    flagged = people.filter(pl.col("verdict") == "hidden_window")["probability"]
    assert flagged.min() >= 0.8
    assert people.filter(pl.col("verdict") == "possible")["probability"].min() >= 0.5
    assert people.filter(pl.col("verdict") == "not_shown")["probability"].max() < 0.5
    assert found.n_flagged == len(flagged) > 5
    assert found.expected_false == pytest.approx((1 - flagged).sum())
    assert found.expected_false_low is not None
    assert found.expected_false_high is not None
    assert found.expected_false_low <= found.expected_false <= found.expected_false_high <= found.n_flagged


def test_a_window_is_given_for_each_flagged_or_possible_person_and_lies_in_the_follow_up(found: Detection) -> None:
    shown = found.participants.filter(pl.col("verdict").is_in(["hidden_window", "possible"]))
    windows = found.windows
    assert windows["participant_id"].to_list() == shown["participant_id"].to_list()
    assert windows["probability"].to_list() == shown["probability"].to_list()
    assert (windows["window_start"] >= 0).all()
    assert (windows["window_end"] <= 8).all()
    assert windows["window_years"].to_list() == pytest.approx(
        (windows["window_end"] - windows["window_start"]).to_list()
    )
    assert (windows["window_years"] >= 1.75).all()  # medians of start and end, each from windows of two years or more
    seen = windows.drop_nulls("window_start_low")
    assert (seen["window_start_low"] <= seen["window_start"]).all()
    assert set(windows["closed_by"]) <= {"end_of_follow_up", "prediabetes", "recovery"}
    assert (shown["rise_pct"] >= 25).all()
    assert ((shown["rise_pct_low"] <= shown["rise_pct"]) & (shown["rise_pct"] <= shown["rise_pct_high"])).all()
    assert (
        found.participants.filter(pl.col("verdict") == "not_shown")["rise_pct"].null_count()
        == (found.participants["verdict"] == "not_shown").sum()
    )


def test_curves_are_in_natural_units_within_their_intervals_over_the_own_follow_up(found: Detection) -> None:
    curves = found.curves
    assert set(curves["marker"]) == {"insulin", "tg_hdl", "glucose"}
    assert ((curves["fitted_low"] <= curves["fitted"]) & (curves["fitted"] <= curves["fitted_high"])).all()
    middle = dict(curves.group_by("marker").agg(pl.col("fitted").median()).iter_rows())
    assert 6 < middle["insulin"] < 12
    assert 1.5 < middle["tg_hdl"] < 3.5
    assert 85 < middle["glucose"] < 95
    assert (curves["years"].min(), curves["years"].max()) == (0.0, 8.0)
    keys = curves.select("participant_id", "marker", "years")
    assert keys.equals(keys.sort(keys.columns)) and keys.is_unique().all()  # noqa: PT018


def test_the_population_is_told_per_marker(found: Detection) -> None:
    assert found.population["marker"].to_list() == ["insulin", "tg_hdl"]
    insulin = found.population.row(0, named=True)
    assert insulin["slope_sd_low"] < 100 * np.expm1(0.05) < insulin["slope_sd_high"]
    assert insulin["residual_cv_pct"] == pytest.approx(100 * np.sqrt(np.expm1(0.26**2)), abs=2)
    assert (insulin["n_participants"], insulin["n_visits"], insulin["identifiable"]) == (N, 9 * N, True)


def test_homa_ir_changes_by_insulin_and_glucose_together(found: Detection) -> None:
    people = found.participants.drop_nulls("probability")
    expected = people["insulin_pct_per_year"] + 100 * people["glucose_mg_dl_per_year"] / 90
    assert (people["homa_ir_pct_per_year"] - expected).abs().max() < 0.5


def test_fitted_changes_follow_those_of_each_persons_own_line(visits: pl.DataFrame, found: Detection) -> None:
    lines = visits.group_by("participant_id", maintain_order=True).agg(
        pl.cov("years", pl.col("insulin_uiu_ml").log()) / pl.col("years").var()
    )
    own, fitted = lines["years"].to_numpy(), np.log1p(found.participants["insulin_pct_per_year"].to_numpy() / 100)
    # Reliability of a slope: 0.05^2 / (0.05^2 + 0.26^2 / 60) = 0.69; TG:HDL adds to it.
    slope, _ = np.polyfit(own, fitted, 1)
    assert 0.6 < slope < 0.9
    assert np.corrcoef(own, fitted)[0, 1] > 0.9
    assert fitted.mean() == pytest.approx(own.mean(), abs=0.003)


# Reproducible, and indifferent to what must not matter


def test_the_order_of_the_rows_does_not_matter(gaps: pl.DataFrame, found_in_gaps: Detection) -> None:
    shuffled = detect(gaps.sample(fraction=1.0, shuffle=True, seed=5), FULL, seed=3)
    for name in ("participants", "windows", "curves", "population"):
        assert_frame_equal(getattr(shuffled, name), getattr(found_in_gaps, name), check_exact=True)
    assert shuffled.notes == found_in_gaps.notes


def test_names_of_participants_do_not_matter(gaps: pl.DataFrame, found_in_gaps: Detection) -> None:
    names = sorted(set(gaps["participant_id"]))
    other = dict(zip(names, np.random.default_rng(0).permutation([f"X{name}" for name in names]), strict=True))
    renamed = detect(gaps.with_columns(pl.col("participant_id").replace_strict(other)), FULL, seed=3)
    for one, two in ((renamed.participants, found_in_gaps.participants), (renamed.windows, found_in_gaps.windows)):
        expected = two.with_columns(pl.col("participant_id").replace_strict(other)).sort("participant_id")
        assert_frame_equal(one, expected, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("factor", [6.945, 0.01])
def test_the_unit_of_insulin_does_not_matter(visits: pl.DataFrame, found: Detection, factor: float) -> None:
    scaled = detect(visits.with_columns(pl.col("insulin_uiu_ml") * factor), FAST, seed=3)
    # A draw at the very edge of the definition may fall otherwise by rounding.
    one, two = (part.participants["probability"].to_numpy() for part in (scaled, found))
    assert np.abs(one - two).max() <= 1 / FAST.draws + 1e-9
    assert (np.abs(one - two) < 1e-9).mean() > 0.95
    changes = [part.participants["insulin_pct_per_year"].to_numpy() for part in (scaled, found)]
    np.testing.assert_allclose(*changes, rtol=1e-5, atol=1e-5)


def test_a_seed_gives_the_same_again_and_another_seed_nearly_so(visits: pl.DataFrame, found: Detection) -> None:
    again, other = (detect(visits, FAST, seed=seed).participants for seed in (3, 4))
    assert_frame_equal(again, found.participants, check_exact=True)
    change = (other["probability"] - found.participants["probability"]).abs()
    assert 0 < change.mean() < 0.1


def test_pandas_in_gives_pandas_out(visits: pl.DataFrame) -> None:
    few = visits.filter(pl.col("participant_id") < "005")
    got = detect(few.to_pandas(), FAST)
    assert all(isinstance(table, pd.DataFrame) for table in (got.participants, got.windows, got.curves, got.population))


def test_a_very_large_cohort_is_judged_by_one_population_fitted_to_a_small_part_of_it(
    visits: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "GROW_FROM", 150)
    monkeypatch.setattr(model, "CLEARLY_VISIBLE", 0.0)
    series = select_series(visits, FAST)
    fitted = fit_cohort(series, replace(FAST, refit_up_to=N - 1), 0)
    assert fitted is not None
    assert fitted.sums.n == fitted.keys.height == N
    assert (fitted.refitted, len(fitted.populations)) == (False, 1)
    assert fitted.spread["insulin"].low < 0.05 < fitted.spread["insulin"].high
    # Log likelihoods are sums over those it was fitted to.
    everyone = expect(fitted.populations[0], fitted.sums, np.ones(N)).log_likelihood
    assert fitted.populations[0].log_likelihood == pytest.approx(everyone * 150 / N, rel=0.1)


def test_a_very_large_cohort_is_told_that_its_population_is_taken_for_known_and_makes_fewer_draws(
    visits: pl.DataFrame, found: Detection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "GROW_FROM", N - 2)
    monkeypatch.setattr(model, "CLEARLY_VISIBLE", 0.0)
    quick = detect(visits, replace(FAST, refit_up_to=N - 1), seed=3)
    assert sum("is taken for known" in note for note in quick.notes) == 1
    assert not any("is taken for known" in note for note in found.notes)
    shares = [detection.participants["probability"].drop_nulls().to_numpy() for detection in (quick, found)]
    assert all(share.size > N / 2 for share in shares)
    np.testing.assert_array_equal(64 * shares[0] % 1, 0.0)
    np.testing.assert_array_equal(128 * shares[1] % 1, 0.0)
    assert (64 * shares[1] % 1).any()


def test_a_large_cohort_is_judged_by_populations_learned_and_refitted_on_a_large_part_of_it(
    visits: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "GROW_FROM", 150)
    monkeypatch.setattr(model, "SMALL_UP_TO", 150)
    series, rules = select_series(visits, FAST), replace(FAST, refits=4)
    part, whole = (fit_cohort(series, replace(rules, learn_up_to=most), 0) for most in (N - 1, N))
    assert part is not None
    assert whole is not None
    assert part.sums.n == part.keys.height == N
    assert (part.refitted, len(part.populations)) == (True, 4)
    # One series less changes little.
    assert part.spread["insulin"].visible == pytest.approx(whole.spread["insulin"].visible, rel=0.05)
    likelihoods = [expect(fitted.populations[0], fitted.sums, np.ones(N)).log_likelihood for fitted in (part, whole)]
    assert likelihoods[0] == pytest.approx(likelihoods[1], abs=20)
    assert likelihoods[0] != likelihoods[1]


def test_so_is_a_very_large_one_whose_small_part_shows_too_little_of_how_slopes_differ(
    visits: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "GROW_FROM", 150)
    monkeypatch.setattr(model, "SMALL_UP_TO", 150)
    series, rules = select_series(visits, FAST), replace(FAST, refits=4, learn_up_to=N - 1)
    large, very_large = (fit_cohort(series, replace(rules, refit_up_to=most), 0) for most in (N, N - 1))
    assert large is not None
    assert very_large is not None
    assert large.spread["insulin"].visible < model.CLEARLY_VISIBLE
    assert very_large.refitted
    assert very_large.spread == large.spread
    for mine, other in zip(very_large.populations, large.populations, strict=True):
        np.testing.assert_array_equal(mine.centre, other.centre)


def test_populations_grown_from_a_part_climb_on_with_everybody(
    visits: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "GROW_FROM", 150)
    monkeypatch.setattr(model, "SMALL_UP_TO", 150)
    monkeypatch.setattr(model, "CLEARLY_VISIBLE", 0.0)
    series, rules = select_series(visits, FAST), replace(FAST, refits=0)
    grown, settled = (fit_cohort(series, replace(rules, refit_up_to=most), 0) for most in (N - 1, N))
    assert grown is not None
    assert settled is not None
    grown_from_150, learned_from_all = (
        expect(fitted.populations[0], fitted.sums, np.ones(N)).log_likelihood for fitted in (grown, settled)
    )
    assert learned_from_all > grown_from_150
    assert settled.populations[0].log_likelihood == pytest.approx(learned_from_all, rel=1e-9)


def test_where_readings_do_not_tell_how_slopes_spread_two_kinds_of_population_share_the_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visits = cohort(slope_sd=0.04)
    small = detect(visits, FAST, seed=3)
    monkeypatch.setattr(model, "GROW_FROM", 150)
    monkeypatch.setattr(model, "SMALL_UP_TO", 150)
    series = select_series(visits, FULL)
    shares = {0: [False, True], 1: [False], 2: [False, True], 3: [False, False, True]}
    for refits, upward in shares.items():
        fitted = fit_cohort(series, replace(FULL, refits=refits, recalibrate=False), 0)
        assert fitted is not None
        assert [population.upward for population in fitted.populations] == upward
    both = detect(visits, FULL, seed=3)
    assert any("both kinds of population are averaged over" in note for note in both.notes)
    assert not any("both kinds" in note for note in small.notes)
    pair = both.participants["probability"].to_numpy(), small.participants["probability"].to_numpy()
    assert np.corrcoef(*pair)[0, 1] > 0.9


# Single people in a cohort


@pytest.fixture(scope="module")
def single_people() -> dict[str, tuple[dict[str, object], pl.DataFrame]]:
    """The row and the windows of each of some people with a known course, all in one cohort."""
    years, wiggle = [float(t) for t in range(9)], np.exp(np.random.default_rng(0).normal(0, 0.1, 9))
    steep = [6.0 * np.exp(0.12 * t) * w for t, w in enumerate(wiggle)]
    people = [
        one_person("flat", years, list(8.0 * wiggle), [90.0] * 9),
        one_person("risen", years, steep, [90.0] * 9),
        one_person("risen later", [30.0 + t for t in years], steep, [90.0] * 9),
        one_person("high", years, steep, [112.0 + t for t in range(9)]),
        one_person("broken", [t - 3.0 for t in range(12)], [3.0] * 3 + steep, [90.0] * 12).with_columns(
            assay=pl.Series(["old"] * 3 + ["new"] * 9)
        ),
    ]
    found = detect(pl.concat([cohort(seed=4), *people], how="diagonal_relaxed"), FAST)
    return {
        name: (rows.row(0, named=True), found.windows.filter(pl.col("participant_id") == name))
        for (name,), rows in found.participants.group_by("participant_id")
        if not str(name).isdigit()
    }


Single = dict[str, tuple[dict[str, object], pl.DataFrame]]


def test_a_flat_person_is_not_flagged_and_a_riser_is(single_people: Single) -> None:
    flat, _ = single_people["flat"]
    assert flat["verdict"] == "not_shown"
    assert flat["probability"] < 0.4  # type: ignore[operator]
    risen, windows = single_people["risen"]
    assert (risen["verdict"], risen["course"], risen["stage"]) == ("hidden_window", "rising", "compensating")
    assert risen["rise_pct_low"] < 100 * np.expm1(0.96) < risen["rise_pct_high"]  # type: ignore[operator]
    assert (windows["opened_by"].item(), windows["closed_by"].item()) == ("start_of_follow_up", "end_of_follow_up")


def test_a_rise_while_glucose_is_high_is_no_window(single_people: Single) -> None:
    row, windows = single_people["high"]
    assert row["verdict"] == "not_shown"
    assert row["reason"] == "insulin probably rises, but fitted glucose does not stay normal meanwhile"
    assert windows.height == 0


def test_the_axis_of_years_may_begin_anywhere(single_people: Single) -> None:
    (one, windows), (two, later) = single_people["risen"], single_people["risen later"]
    assert one["probability"] == pytest.approx(two["probability"], abs=1e-9)
    for name in ("window_start", "window_end"):
        assert later[name].item() == pytest.approx(windows[name].item() + 30.0)


def test_a_recorded_change_of_assay_is_spanned_by_no_window(single_people: Single) -> None:
    row, windows = single_people["broken"]
    assert row["verdict"] == "hidden_window"
    assert str(row["reason"]).endswith("; judged in separate series")
    assert windows["opened_by"].to_list() == ["break_in_series"]
    assert windows["window_start"].min() >= 0.0  # type: ignore[operator]


# Edge cases


def test_no_rows_give_empty_tables() -> None:
    got = detect(pl.DataFrame(schema={"participant_id": pl.String, "years": pl.Float64}), FAST)
    assert got.participants.height == got.windows.height == got.curves.height == got.n_flagged == 0
    assert tuple(got.participants.columns) == PARTICIPANTS.names
    assert (got.expected_false, got.flagged_by_noise) == (None, None)


@pytest.mark.parametrize(("n", "visits"), [(1, 1), (1, 9), (5, 9), (FAST.judge_from - 1, 4)])
def test_a_cohort_too_small_to_learn_from_is_refused_in_words(n: int, visits: int) -> None:
    got = detect(cohort(n=n, visits=visits), DetectSettings(draws=128, refits=2, judge_from=250))
    assert set(got.participants["verdict"]) == {"not_assessable"}
    assert got.participants["probability"].null_count() == n
    expected = "only 1 visit with insulin" if visits == 1 else f"fewer than {FAST.judge_from} people have two readings"
    assert got.participants["reason"].str.starts_with(expected).all()
    assert got.population["identifiable"].to_list() == [False, False]
    assert (got.n_flagged, got.expected_false) == (0, None)


def test_people_are_counted_not_the_series_into_which_their_assay_cuts_them() -> None:
    changed = cohort(n=FAST.judge_from - 1).with_columns(
        assay=pl.when(pl.col("years") < 4).then(pl.lit("old")).otherwise(pl.lit("new"))
    )
    got = detect(changed, FAST)
    assert set(got.participants["verdict"]) == {"not_assessable"}
    assert got.participants["reason"].str.starts_with(f"fewer than {FAST.judge_from} people have two readings").all()


def test_a_cohort_that_shows_a_spread_of_slopes_by_luck_is_refused_in_words() -> None:
    """Four visits of 260 people: an SD that reads so large may be half of that, or less."""
    got = detect(cohort(visits=4, slope_sd=0.12), FAST)
    insulin = got.population.row(by_predicate=pl.col("marker") == "insulin", named=True)
    assert insulin["identifiable"]
    assert insulin["note"] == "so few people and visits do not show how much slopes differ between people"
    assert set(got.participants["reason"]) == {insulin["note"]}
    assert set(got.participants["verdict"]) == {"not_assessable"}
    assert any(note.startswith(f"Nobody is judged by insulin: {insulin['note']}. Markers") for note in got.notes)


def test_a_population_is_learned_only_where_somebody_is_judged_by_it() -> None:
    """Insulin does not tell people apart here, TG:HDL does: that matters to those whose insulin was never measured."""
    slopes = pl.Series(np.repeat(np.random.default_rng(4).normal(0.0, 0.05, N), 12))
    same = cohort(visits=12, slope_sd=0.0).with_columns(pl.col("tg_hdl_mg") * (slopes * pl.col("years")).exp())
    some = same.with_columns(
        pl.when(pl.col("participant_id") >= "005").then("insulin_uiu_ml").alias("insulin_uiu_ml"),
    )
    everybody, others = detect(same, FAST), detect(some, FAST)
    for got in (everybody, others):
        assert got.population.select("marker", "identifiable").rows() == [("insulin", False), ("tg_hdl", True)]
    assert set(everybody.participants["verdict"]) == {"not_assessable"}
    learned = (fit_cohort(select_series(visits, FULL), FULL, 0) for visits in (same, some))
    assert [fitted is not None and fitted.refitted for fitted in learned] == [False, True]
    assert others.participants.drop_nulls("probability")["participant_id"].to_list() == [f"{i:03d}" for i in range(5)]


def test_one_visit_each_says_so_of_everybody() -> None:
    got = detect(cohort(visits=1), FAST).participants
    assert set(got["reason"]) == {"only 1 visit with insulin"}


def test_nothing_but_nulls_is_not_assessable() -> None:
    nothing = cohort(n=70, visits=3).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("glucose_mg_dl", "insulin_uiu_ml", "tg_hdl_mg")
    )
    assert set(detect(nothing, FAST).participants["verdict"]) == {"not_assessable"}


def test_visits_of_one_time_all_count() -> None:
    table = cohort()
    tied = table.with_columns((pl.col("years") // 2) * 2)
    got = detect(tied, FAST)
    assert got.participants["n_visits_used"].to_list() == [9] * N
    assert got.participants["probability"].null_count() == 0
    assert_frame_equal(detect(tied.reverse(), FAST).participants, got.participants, check_exact=True)


def test_everybody_with_the_same_readings_is_refused_without_a_crash() -> None:
    same = cohort().with_columns(
        insulin_uiu_ml=8.0 + pl.col("years") / 100, glucose_mg_dl=pl.lit(90.0), tg_hdl_mg=pl.lit(2.0)
    )
    got = detect(same, FAST)
    assert set(got.participants["verdict"]) <= {"not_assessable", "not_shown"}
    assert got.n_flagged == 0


def test_two_exact_slopes_are_judged_without_a_crash() -> None:
    n, visits = 450, 11
    slope = np.where(np.random.default_rng(0).random((n, 1)) < 0.5, 0.0, 0.08)
    exact = pl.DataFrame(
        {
            "participant_id": np.repeat([f"{i:03d}" for i in range(n)], visits),
            "years": np.tile(np.arange(float(visits)), n),
            "insulin_uiu_ml": (7 * np.exp(slope * np.arange(visits))).ravel(),
            "glucose_mg_dl": 90.0,
            "tg_hdl_mg": 1.5,
        }
    )
    stated = detect(exact, FULL, seed=0).participants["probability"].to_numpy()
    assert (np.abs(stated - (slope > 0).ravel()) < 0.01).all()


def test_insulin_that_never_changes_is_refused() -> None:
    got = detect(cohort().with_columns(insulin_uiu_ml=pl.lit(6.0)), FAST).participants
    assert set(got["reason"]) == {"the spread of slopes between people cannot be told from zero in this cohort"}


def test_insulin_of_which_every_reading_lies_beyond_a_limit_is_refused() -> None:
    beyond = cohort().with_columns(
        insulin_uiu_ml_lower=pl.lit(0.0), insulin_uiu_ml_upper=pl.lit(25.0), insulin_uiu_ml=pl.lit(None, pl.Float64)
    )
    for censored in ("interval", "drop"):
        got = detect(beyond, replace(FAST, censored=censored)).participants
        assert set(got["reason"]) == {"more than half of insulin beyond the limit of detection"}


def test_limits_of_insulin_count_for_nothing_where_too_few_have_insulin_to_model_it() -> None:
    table = cohort(visits=12)
    few, low = pl.col("participant_id") < "040", pl.col("insulin_uiu_ml") < 5.0
    beyond = pl.when(few & low)
    exact = table.with_columns(insulin_uiu_ml=pl.when(few & ~low).then("insulin_uiu_ml"))
    bounds = table.select(insulin_uiu_ml_lower=beyond.then(0.0), insulin_uiu_ml_upper=beyond.then(5.0))
    bounded = pl.concat([exact, bounds], how="horizontal")
    assert bounded["insulin_uiu_ml_upper"].count() > 20
    without, found = (detect(each, FAST).participants.filter(~few) for each in (exact, bounded))
    assert without["probability"].null_count() == 0
    assert_frame_equal(found, without, check_exact=True)


def test_who_has_more_rows_than_times_has_as_many_visits_as_times(visits: pl.DataFrame) -> None:
    twice = one_person("twice", [0.0, 0.0, 3.0], [5.0, 6.0, 9.0], [88.0, 89.0, 90.0])
    got = detect(pl.concat([visits, twice], how="diagonal"), FAST)
    row = got.participants.filter(participant_id="twice").row(0, named=True)
    assert row["reason"] == "only 2 visits with insulin"
    assert any(note.startswith("In 1 participant several visits bear the same time") for note in got.notes)


def test_a_visit_whose_only_reading_was_dropped_does_not_begin_the_follow_up(visits: pl.DataFrame) -> None:
    early = pl.DataFrame({"participant_id": ["000"], "years": [-6.0], "insulin_uiu_ml_upper": [2.0]})
    rules, columns = replace(FAST, censored="drop"), ("probability", "span_years", "insulin_pct_per_year")
    without, found = (
        detect(table, rules).participants.filter(participant_id="000").select(columns)
        for table in (visits, pl.concat([visits, early], how="diagonal"))
    )
    assert_frame_equal(found, without, check_exact=True)


def test_a_window_under_another_cut_off_than_that_of_the_events_is_noted(visits: pl.DataFrame) -> None:
    notes = detect(visits, replace(FAST, glucose_cut_off_mg_dl=110.0)).notes
    assert sum("Visits enter up to confirmed prediabetes as glycaemia says it" in note for note in notes) == 1


def test_a_person_whose_insulin_was_read_early_only_is_not_flagged(visits: pl.DataFrame) -> None:
    years = [float(year) for year in range(12)]
    steep = one_person("steep", years, [4.0, 7.0, 12.0, 20.0] + [None] * 8, [88.0] * 12)  # type: ignore[list-item]
    row = detect(pl.concat([visits, steep], how="diagonal"), FAST).participants.filter(participant_id="steep")
    assert row["probability"].item() > 0.8
    assert row["verdict"].item() == "possible"
    assert "insulin was read over 3.0 of 11.0 years only" in row["reason"].item()


def test_glucose_that_never_changes_is_no_obstacle() -> None:
    got = detect(cohort().with_columns(glucose_mg_dl=pl.lit(90.0)), FAST)
    assert got.n_flagged > 5
    assert got.participants["glucose_mg_dl_per_year"].abs().max() < 0.1


def test_follow_up_of_exactly_two_years_can_hold_a_window() -> None:
    table = cohort(slope_sd=0.2, visits=9).with_columns(pl.col("years") / 4)
    steep = table.with_columns(pl.col("insulin_uiu_ml") ** 0.25)  # readings that scatter less
    got = detect(steep, FAST).participants
    assert got["span_years"].unique().to_list() == [2.0]
    assert got["probability"].null_count() == 0
    assert got["probability"].max() > 0.8
    shorter = detect(steep.with_columns(pl.col("years") * 0.999), FAST).participants
    assert set(shorter["reason"]) == {"follow-up shorter than 2 years"}


def test_without_tg_hdl_insulin_and_glucose_are_judged_alone(found: Detection) -> None:
    got = detect(cohort().drop("tg_hdl_mg"), FAST, seed=3)
    assert got.participants["probability_without_tg_hdl"].null_count() == N
    assert got.participants["tg_hdl_pct_per_year"].null_count() == N
    assert set(got.curves["marker"]) == {"insulin", "glucose"}
    beside = found.participants.drop_nulls("probability_without_tg_hdl")
    assert beside.height == found.participants["probability"].count()
    alone = got.participants.join(beside, on="participant_id")
    gap = (alone["probability"] - alone["probability_without_tg_hdl_right"]).abs()
    assert gap.mean() < 0.1


def test_tg_hdl_is_judged_where_insulin_was_never_measured_and_says_so() -> None:
    got = detect(cohort(visits=12, seed=8, slope_sd=0.12).drop("insulin_uiu_ml"), FAST)
    judged = got.participants.drop_nulls("probability")
    assert judged.height == N
    assert set(judged["marker"]) == {"tg_hdl"}
    assert judged["reason"].str.ends_with("judged by TG:HDL, as insulin was never measured").all()
    assert judged["insulin_pct_per_year"].null_count() == judged["stage"].null_count() == N
    assert set(got.curves["marker"]) == {"tg_hdl", "glucose"}
    assert got.n_flagged > 0


def test_the_rise_beyond_the_expected_course_takes_people_enough(found: Detection) -> None:
    assert found.participants["probability_beyond_expected"].null_count() == N
    assert DetectSettings().expected_from == 300
    assert any("takes 1000 people or more" in note for note in found.notes)
    either = pl.when(pl.col("participant_id") < "150").then(pl.lit("female")).otherwise(pl.lit("male"))
    sex = pl.when(pl.col("participant_id") > "000").then(either)
    told = detect(cohort().with_columns(sex=sex, age=pl.lit(None, pl.Float64)), replace(FAST, expected_from=N), seed=3)
    assert "The expected course of insulin takes no account of age: it is not known of enough people." in told.notes
    assert "In 1 series sex is not known: the average is expected of insulin there." in told.notes
    allowed = told.participants
    assert allowed["probability_beyond_expected"].null_count() == 0
    assert (allowed["probability_beyond_expected"] <= allowed["probability"]).mean() > 0.95  # the mean course rises


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(ColumnError, match="years"):
        detect(pl.DataFrame({"participant_id": ["a"]}))


# The spread of slopes


def test_the_spread_of_slopes_agrees_with_statsmodels_by_maximum_likelihood() -> None:
    import warnings

    import statsmodels.formula.api as smf

    table = cohort(n=60, visits=8, seed=9)
    index = table["participant_id"].rle_id().to_numpy().astype(np.intp)
    y, years = np.log(table["insulin_uiu_ml"].to_numpy()), table["years"].to_numpy()
    got = slope_spread(index, years, y, USUAL_SD["insulin"])
    frame = pd.DataFrame({"y": y, "t": years - years.mean(), "g": index})
    with warnings.catch_warnings():  # it takes a slope SD of 0.05 for the boundary
        warnings.simplefilter("ignore")
        fit = smf.mixedlm("y ~ t", frame, groups="g", re_formula="~t").fit(reml=False, method="lbfgs")
    assert got.sd == pytest.approx(np.sqrt(fit.cov_re.iloc[1, 1]), rel=2e-3)
    assert got.mean == pytest.approx(fit.fe_params["t"], abs=1e-5)
    assert got.residual_sd == pytest.approx(np.sqrt(fit.scale), rel=1e-3)


def test_readings_that_differ_by_rounding_only_have_no_spread_of_slopes() -> None:
    got = slope_spread(np.repeat(np.arange(9), 5), np.tile(np.arange(5.0), 9), 2 + 1e-15 * np.arange(45.0) ** 2, 0.01)
    assert (got.sd, got.identifiable, got.serially_correlated) == (0.0, False, False)


def test_the_spread_of_slopes_is_measured_on_as_many_series_as_populations_are_learned_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "GROW_FROM", N // 4)
    table = cohort(n=2 * N, slope_sd=0.08)
    widths = []
    for most in (2 * N, N // 2):
        found = detect(table, replace(FAST, learn_up_to=most, recalibrate=False)).population.filter(marker="insulin")
        widths.append((found["slope_sd_high"] - found["slope_sd_low"]).item())
    assert 1.5 * widths[0] < widths[1]


def test_how_visible_the_usual_spread_of_slopes_is_agrees_with_how_its_estimate_scatters() -> None:
    """Squared SDs of slopes, by moments, of cohorts that have the usual one."""
    rng, n, years, usual = np.random.default_rng(15), 400, np.arange(9.0), USUAL_SD["insulin"]
    person, t = np.repeat(np.arange(n), 9), np.tile(years, n)
    centred = years - years.mean()
    squares = []
    for _ in range(300):
        slope = rng.normal(0.0, usual, n)
        y = slope[person] * t + rng.normal(0.0, 0.26, n * 9)
        fitted = y.reshape(n, 9) @ centred / (centred @ centred)
        squares.append(fitted.var(ddof=1) - 0.26**2 / (centred @ centred))
    once = np.append(person, n)  # one more with a single visit, who says nothing
    got = slope_spread(once.astype(np.intp), np.append(t, 0.0), np.append(y, 0.0), usual)
    assert got.visible == pytest.approx(usual**2 / np.std(squares), rel=0.15)


def test_independent_readings_pass_the_check_for_serial_correlation() -> None:
    table = cohort(n=200, seed=10)
    index = table["participant_id"].rle_id().to_numpy().astype(np.intp)
    got = slope_spread(
        index, table["years"].to_numpy(), np.log(table["insulin_uiu_ml"].to_numpy()), USUAL_SD["insulin"]
    )
    assert abs(got.serial) < 3 * got.serial_se
    assert not got.serially_correlated
