"""What a normal glucose hides: scores against brute force, SciPy and statsmodels; who counts, and the edges."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import mannwhitneyu

from ircohort.errors import ColumnError, UsageError
from ircohort.frames import to_pandas
from ircohort.trajectory.alignment import EventRule
from ircohort.trajectory.foreseeing import foresee
from ircohort.trajectory.foreseeing.following import event_within, normal_visits
from ircohort.trajectory.foreseeing.scoring import (
    Sample,
    combined_auc,
    fit_logistic,
    left_out_exactly,
    left_out_nearly,
    score,
    weighted_auc,
)

CLASSES = {"n": "normal", "p": "prediabetes", "d": "diabetes", "?": None}


def course(letters: str, name: str = "x", **more: list[Any]) -> pl.DataFrame:
    """One person seen once a year, with these readings."""
    cells = {
        "participant_id": [name] * len(letters),
        "years": [float(t) for t in range(len(letters))],
        "glycaemia": [CLASSES[letter] for letter in letters],
        "glucose_mg_dl": [90.0] * len(letters),
        "insulin_uiu_ml": [6.0] * len(letters),
    }
    return pl.DataFrame({**cells, **more}, schema_overrides={"glycaemia": pl.String})


def cohort(n: int = 300, seed: int = 0, effect: float = 0.8) -> pl.DataFrame:
    """People whose glucose and insulin say when they reach prediabetes, in some visits."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(n):
        resistance, glucose = rng.normal(), rng.normal()
        onset = rng.exponential(6.0 * math.exp(-effect * resistance - 0.5 * glucose))
        years = np.arange(rng.integers(3, 9), dtype=float)
        parts.append(
            pl.DataFrame(
                {
                    "participant_id": f"{i:04d}",
                    "years": years,
                    "glycaemia": np.where(years >= onset, "prediabetes", "normal"),
                    "glucose_mg_dl": np.round(90 + 3 * glucose + rng.normal(0, 2, len(years))),
                    "insulin_uiu_ml": np.round(np.exp(2 + 0.4 * resistance + rng.normal(0, 0.2, len(years))), 1),
                    "spise": np.exp(2 - 0.3 * resistance + rng.normal(0, 0.1, len(years))),
                }
            )
        )
    return pl.concat(parts)


def sample(n: int = 300, seed: int = 0, effect: float = 1.0) -> Sample:
    rng = np.random.default_rng(seed)
    person = np.sort(rng.integers(0, n // 2, n))
    fold = np.sort(rng.integers(0, 10, n))
    glucose, marker = np.round(rng.normal(90, 4, n)), rng.normal(2, 0.5, n)
    chance = 1 / (1 + np.exp(1.5 - 0.2 * (glucose - 90) - effect * (marker - 2)))
    weight = 1.0 / rng.integers(1, 5, n)
    return Sample(rng.random(n) < chance, person, fold, weight, glucose, marker)


# -- scores against others ---------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0.01, 3)), min_size=2, max_size=25))
def test_the_auc_counts_pairs_by_their_weights_and_ties_by_half(rows: list[tuple[int, bool, float]]) -> None:
    won = total = 0.0
    for a, event_a, weight_a in rows:
        for b, event_b, weight_b in rows:
            if event_a and not event_b:
                won += weight_a * weight_b * (1.0 if a > b else 0.5 if a == b else 0.0)
                total += weight_a * weight_b
    found = weighted_auc(*(np.array(part) for part in zip(*rows, strict=True)))  # type: ignore[arg-type]
    assert found == pytest.approx(won / total) if total else math.isnan(found)


def test_the_auc_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(1)
    values, event = np.round(rng.normal(size=500), 1), rng.random(500) < 0.3
    there = mannwhitneyu(values[event], values[~event]).statistic / (event.sum() * (~event).sum())
    assert weighted_auc(np.unique(values, return_inverse=True)[1], event, np.ones(500)) == pytest.approx(
        there, rel=1e-12
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_logistic_model_is_that_of_statsmodels(seed: int) -> None:
    data = sample(seed=seed)
    model = sm.GLM(data.event.astype(float), data.columns.T, sm.families.Binomial(), var_weights=data.weight)
    there = model.fit(tol=1e-12, maxiter=200).params
    assert fit_logistic(data, data.weight) == pytest.approx(there, abs=1e-7)
    elsewhere = fit_logistic(data, data.weight, np.array([0.3, -0.2, 0.4]))
    assert elsewhere == pytest.approx(there, abs=1e-7)


def test_each_fold_is_scored_by_the_model_of_the_others() -> None:
    data = sample(seed=3)
    beta = fit_logistic(data, data.weight)
    exact = left_out_exactly(data, data.weight, beta)
    for place, part in enumerate(np.unique(data.fold)):
        rest = data.fold != part
        model = sm.GLM(
            data.event[rest].astype(float),
            data.columns.T[rest],
            sm.families.Binomial(),
            var_weights=data.weight[rest],
        )
        assert exact[place] == pytest.approx(model.fit(tol=1e-12, maxiter=200).params, abs=1e-7)


@pytest.mark.parametrize("n", [150, 1000])
def test_one_step_leaves_a_fold_out_nearly_as_a_refit_does(n: int) -> None:
    differences = []
    for seed in range(8):
        data = sample(n, seed)
        beta = fit_logistic(data, data.weight)
        exact, near = (left(data, data.weight, beta) for left in (left_out_exactly, left_out_nearly))
        assert np.abs(near - exact).max() < 0.3 * np.abs(exact - beta).max()
        differences.append(combined_auc(data, data.weight, exact) - combined_auc(data, data.weight, near))
    assert np.abs(differences).max() < 0.3 / n


def test_a_useless_marker_brings_no_gain() -> None:
    gains, apparent = [], []
    for seed in range(60):
        data = sample(120, seed, effect=0.0)
        (_, glucose, both), beta = score(data)
        naive = combined_auc(data, data.weight, np.tile(beta, (len(data.starts), 1)))
        gains.append(both - glucose)
        apparent.append(naive - glucose)
    assert np.mean(apparent) > 0.004
    assert np.mean(gains) < 2 * np.std(gains) / math.sqrt(60)


def test_a_marker_that_tells_brings_the_gain_that_a_million_would() -> None:
    large = sample(60_000, 0)
    (_, glucose, both), _ = score(large)
    small = [score(sample(800, seed))[0] for seed in range(20)]
    assert np.mean([one[2] - one[1] for one in small]) == pytest.approx(both - glucose, abs=0.01)


# -- who counts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "lag", "expected"),
    [
        ("nnpp", 1.0, [False, True]),
        ("npnn", 1.0, [False, False, None]),  # a single reading is no event; nothing is seen after the last visit
        ("nnp", 1.0, [False, None]),  # the last reading may be an event, which then is there at its time
        ("nnp", 0.5, [False, False]),
        ("np", 1.0, [None]),
        ("ppnn", 1.0, []),  # nothing was seen before the event
        ("n?pp", 2.0, [True]),
        ("n?pp", 1.0, [False]),
    ],
)
def test_what_is_known_so_many_years_later(letters: str, lag: float, expected: list[bool | None]) -> None:
    table = normal_visits(course(letters), EventRule(), ["insulin_uiu_ml"])
    assert table.select(event=event_within(lag))["event"].to_list() == expected


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.lists(st.text("npd?", min_size=1, max_size=7), min_size=1, max_size=4), st.integers(1, 4))
def test_who_counts_is_what_is_counted_by_hand(words: list[str], lag: int) -> None:
    table = pl.concat(course(word, f"{i}") for i, word in enumerate(words))
    expected: dict[tuple[str, float], bool | None] = {}
    for i, word in enumerate(words):
        judged = [t for t, letter in enumerate(word) if letter != "?"]
        high = [t for t in judged if word[t] in "pd"]
        events = [t for t, u in pairwise(judged) if t in high and u in high]
        event = events[0] if events else None
        if event is not None and event == judged[0]:
            continue
        for t in judged:
            if word[t] != "n" or (event is not None and t > event):
                continue
            waiting = bool(high) and judged[-1] in high
            free = event is None and (judged[-1] > t + lag or (judged[-1] == t + lag and not waiting))
            expected[f"{i}", float(t)] = event <= t + lag if event is not None else False if free else None
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=1)
    rows = normal_visits(shuffled, EventRule(), ["insulin_uiu_ml"]).with_columns(event_within(lag).alias("event"))
    assert {
        (name, t): event for name, t, event in rows.select("participant_id", "years", "event").iter_rows()
    } == expected


def test_treated_or_unfasted_visits_do_not_read_normal() -> None:
    table = course("nnnn", fasting=[True, False, None, None], glucose_lowering_drug=[None, None, True, False])
    assert normal_visits(table, EventRule(), ["insulin_uiu_ml"])["years"].to_list() == [0.0, 3.0]


def test_rows_of_one_time_are_one_visit() -> None:
    twice = pl.concat([course("nn"), course("np", insulin_uiu_ml=[24.0, 6.0])])
    found = normal_visits(twice, EventRule(), ["insulin_uiu_ml"])
    assert found["years"].to_list() == [0.0]
    assert found["log insulin_uiu_ml"].item() == pytest.approx(math.log(12.0))


def test_the_table_is_that_of_brute_force() -> None:
    table = cohort(150)
    row = foresee(table, markers=["insulin_uiu_ml"], lags=[2], n_refits=0).row(0, named=True)
    visits = normal_visits(table, EventRule(), ["insulin_uiu_ml"]).with_columns(event_within(2.0).alias("event"))
    used = visits.drop_nulls("event")
    assert (row["n_visits"], row["n_unknown"]) == (used.height, visits.height - used.height)
    assert row["n_participants"] == used["participant_id"].n_unique()
    own = dict(used["participant_id"].value_counts().iter_rows())
    lists = [used[name].to_list() for name in ("participant_id", "event", "log insulin_uiu_ml")]
    won = total = 0.0
    for name_a, event_a, a in zip(*lists, strict=True):
        for name_b, event_b, b in zip(*lists, strict=True):
            if event_a and not event_b:
                pair = 1.0 / own[name_a] / own[name_b]
                won, total = won + pair * (1.0 if a > b else 0.5 if a == b else 0.0), total + pair
    assert row["auc"] == pytest.approx(won / total, rel=1e-12)


def test_spise_is_reversed() -> None:
    table = cohort(200)
    either = table.with_columns(one_over=1.0 / pl.col("spise"))
    found = foresee(either, markers=["spise", "one_over"], lags=[3], n_refits=0)
    assert found["auc"][0] > 0.6
    assert found["auc"][0] == pytest.approx(found["auc"][1], rel=1e-12)
    assert found["auc_both"][0] == pytest.approx(found["auc_both"][1], abs=1e-9)


# -- intervals ---------------------------------------------------------------------------------------------------------


def test_neither_order_nor_kind_nor_names_of_others_matter() -> None:
    table = cohort(120)
    found = foresee(table, lags=[1, 3], n_refits=30, seed=4)
    assert found["marker"].to_list() == ["insulin_uiu_ml", "spise"] * 2
    assert_frame_equal(
        foresee(table.sample(fraction=1.0, shuffle=True, seed=2), lags=[1, 3], n_refits=30, seed=4), found
    )
    pandas = foresee(to_pandas(table), lags=[1, 3], n_refits=30, seed=4)
    assert_frame_equal(pl.from_pandas(pandas).cast(dict(found.schema)), found)
    assert not found.equals(foresee(table, lags=[1, 3], n_refits=30, seed=5))
    within = found.filter(pl.col("auc_low").is_not_null())
    assert within.height == 4
    assert within.select((pl.col("auc_low") < pl.col("auc")) & (pl.col("auc") < pl.col("auc_high"))).to_series().all()


def test_intervals_are_as_wide_as_cohorts_differ() -> None:
    found = [foresee(cohort(120, seed), markers=["insulin_uiu_ml"], lags=[3], n_refits=40) for seed in range(10)]
    rows = pl.concat(found)
    for name, column in (("auc", "auc"), ("gain", "gain")):
        half = (rows[f"{name}_high"] - rows[f"{name}_low"]).mean() / (2 * 1.96)  # type: ignore[operator]
        assert 0.55 < half / rows[column].std() < 1.8  # type: ignore[operator]


# -- edges -------------------------------------------------------------------------------------------------------------


def test_with_fewer_than_ten_events_nothing_is_said() -> None:
    table = pl.concat([course("npp", f"{i}") for i in range(9)] + [course("nnn", f"f{i}") for i in range(20)])
    row = foresee(table, lags=[1], n_refits=5).row(0, named=True)
    assert (row["n_events"], row["n_free"], row["auc"], row["gain"]) == (9, 20, None, None)
    assert row["note"].startswith("Fewer than 10 people with the event")
    more = pl.concat([table, course("npp", "late")])
    assert foresee(more, lags=[1], n_refits=5)["auc"].item() == 0.5


def test_what_does_not_vary_or_separates_has_no_model_of_both() -> None:
    same = pl.concat([course("npp", f"{i}") for i in range(15)] + [course("nnn", f"f{i}") for i in range(15)])
    row = foresee(same, lags=[1], n_refits=40).row(0, named=True)
    assert (row["auc"], row["auc_low"], row["auc_glucose"], row["auc_both"], row["gain"]) == (0.5, 0.5, 0.5, None, None)
    assert "no maximum" in row["note"]


def test_nobody_gives_counts_of_none() -> None:
    row = foresee(course("n").clear(), lags=[2]).row(0, named=True)
    assert (row["n_participants"], row["n_unknown"], row["auc"]) == (0, 0, None)


def test_missing_markers_leave_out_their_visits_only() -> None:
    table = cohort(100).with_columns(tg_hdl_mg=pl.when(pl.col("years") > 0).then(1.5))
    found = foresee(table, markers=["insulin_uiu_ml", "tg_hdl_mg"], lags=[2], n_refits=0)
    assert found["n_visits"][0] > found["n_visits"][1] > 0


def test_a_fitted_event_works_too() -> None:
    found = foresee(cohort(80), EventRule(dated="fitted", n_draws=0), markers=["spise"], lags=[2], n_refits=0)
    assert found["n_visits"].item() > 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"lags": []}, UsageError, "lags"),
        ({"lags": [0.0]}, UsageError, "lags"),
        ({"lags": [math.nan]}, UsageError, "lags"),
        ({"n_refits": -1}, UsageError, "n_refits"),
        ({"markers": ["waist_cm"]}, ColumnError, "waist_cm"),
        ({"markers": ["glycaemia"]}, ColumnError, "no numbers"),
        ({"markers": []}, ColumnError, "none of the markers"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        foresee(course("nn"), **change)


def test_without_glucose_nothing_reads_normal() -> None:
    with pytest.raises(ColumnError, match="glucose_mg_dl"):
        foresee(course("nn").drop("glucose_mg_dl"))
