"""Cohorts in which nobody, or somebody known, has a hidden window; changes of assay, puberty, regained weight."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ircohort.detection import Detection, DetectSettings, detect
from ircohort.detection import cohort as model
from ircohort.evaluation import visits_of
from ircohort.simulation import DESIGNS, Assay, Design, Puberty, Simulated, Weight, simulate

FAST = DetectSettings(draws=128, refits=0, noise_check=False, judge_from=250)
CLINIC = replace(DESIGNS["clinic"], n_participants=300)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "CORRECTION_COHORTS", 2)
        yield


def judged(design: Design, seed: int = 1, settings: DetectSettings = FAST) -> tuple[Simulated, Detection]:
    simulated = simulate(design, seed=seed)
    return simulated, detect(visits_of(simulated, units=design.units), settings, seed=seed)


@pytest.fixture(scope="module")
def clinic() -> tuple[Simulated, Detection]:
    whole = DetectSettings(draws=128, refits=4)
    return judged(replace(CLINIC, n_participants=500), settings=whole)


def test_who_has_a_window_ranks_above_who_has_none(clinic: tuple[Simulated, Detection]) -> None:
    simulated, found = clinic
    people = found.participants.join(simulated.truth.select("participant_id", "hidden_window"), on="participant_id")
    seen = people.drop_nulls("probability")
    with_one, without = (
        seen.filter(pl.col("hidden_window") == truth)["probability"].to_numpy() for truth in (True, False)
    )
    assert (with_one[:, None] > without).mean() > 0.75
    assert seen["probability"].mean() == pytest.approx(seen["hidden_window"].mean(), abs=0.06)
    flagged = people.filter(pl.col("verdict") == "hidden_window")
    assert flagged.height > 10
    assert flagged["hidden_window"].mean() > 0.8


def test_noise_only_flags_next_to_nobody_and_is_said_to_be_no_estimate_of_false_flags(
    clinic: tuple[Simulated, Detection],
) -> None:
    _, found = clinic
    assert found.flagged_by_noise == 0
    assert any(
        "at random, nobody would be judged" in note and "That is no estimate of false flags" in note
        for note in found.notes
    )
    assert found.n_flagged > 10


def test_the_share_of_flagged_people_without_an_event_is_told(clinic: tuple[Simulated, Detection]) -> None:
    notes = [note for note in clinic[1].notes if "in whom no event was confirmed" in note]
    assert len(notes) == 1
    assert "are flagged too" in notes[0]


@pytest.mark.parametrize(("seed", "refused"), [(2, True), (3, False), (17, False)])
def test_permuted_visits_bring_nobody_to_a_flag(seed: int, refused: bool) -> None:
    """Each person's visits dealt out anew over the own dates; where that is judged at all, by its own readings."""
    visits = visits_of(simulate(CLINIC, seed=seed), units="us").sort("participant_id", "years")
    chance = pl.Series(np.random.default_rng(seed).random(visits.height))
    kept = ["participant_id", "years"]
    dealt = visits.with_columns(chance.alias("chance")).sort("participant_id", "chance").drop("chance", "years")
    permuted = pl.concat([visits.select(kept), dealt.drop("participant_id")], how="horizontal")
    found = detect(permuted, FAST, seed=seed)
    assert (found.participants["probability"].count() == 0) == refused
    assert found.participants.filter(pl.col("probability") >= 0.8).height == 0


@pytest.mark.parametrize(("seed", "refused"), [(3, True), (4, True), (8, False)])
def test_in_a_cohort_that_loses_no_sensitivity_nobody_comes_to_a_flag(seed: int, refused: bool) -> None:
    simulated, found = judged(replace(CLINIC, kappa_median=0.0), seed)
    assert not simulated.truth["hidden_window"].any()
    assert (found.participants["probability"].count() == 0) == refused
    assert found.participants.filter(pl.col("probability") >= 0.8).height == 0
    assert found.n_flagged == 0


def test_no_window_spans_a_recorded_change_of_assay() -> None:
    design = replace(CLINIC, n_participants=400, assay=Assay(share_changed=1.0, factor=1.5))
    simulated, found = judged(design, 5)
    change = simulated.traits.select("participant_id", "assay_change_years").drop_nulls()
    windows = found.windows.join(change, on="participant_id")
    assert windows.height > 5
    spans = (windows["window_start"] < windows["assay_change_years"]) & (
        windows["window_end"] > windows["assay_change_years"]
    )
    assert not spans.any()
    assert "break_in_series" in set(windows["opened_by"]) | set(windows["closed_by"])


def test_an_unrecorded_step_of_the_whole_cohort_is_reported_and_nobody_flagged() -> None:
    assay = Assay(cohort_date=2010.5, factor=1.3, recorded=False)
    design = replace(CLINIC, assay=assay, first_year_low=2000, first_year_high=2008)
    _, found = judged(design, 6)
    assert found.n_flagged == 0
    (note,) = [note for note in found.notes if "of the whole cohort step by" in note]
    size, date = note.split("step by ")[1].split(" % in ")
    assert 20 < float(size) < 40
    assert 2009.9 < float(date.split(",")[0]) < 2011.1
    held = found.participants.filter(pl.col("probability") >= 0.8)
    assert set(held["verdict"]) <= {"possible"}


def test_puberty_is_not_assessable() -> None:
    children = replace(CLINIC, n_visits=8, age_low=9.0, age_high=10.5, puberty=Puberty(present=True))
    _, found = judged(children, 7)
    assert set(found.participants["verdict"]) == {"not_assessable"}
    assert found.participants["reason"].str.contains("under 18").all()


def test_regained_weight_is_relapsed_for_most_who_had_lost_much() -> None:
    weight = Weight(
        share_losing=0.5,
        share_regaining=1.0,
        loss_mean=0.35,
        loss_sd=0.02,
        begins_low=2.0,
        begins_high=3.0,
        years_kept=4.0,
    )
    simulated, found = judged(replace(CLINIC, kappa_median=0.008, weight=weight), 8)
    people = found.participants.join(simulated.traits, on="participant_id", suffix="_true").drop_nulls("course")
    deep = people.filter((pl.col("weight_lost_pct") > 30) & (pl.col("course_true") == "relapsed"))
    assert deep.height > 50
    assert (deep["course"] == "relapsed").mean() > 0.5
    steady = people.filter(pl.col("course_true") == "steady")
    assert steady["course"].is_in(["relapsed", "recovered"]).mean() < 0.1


def test_readings_below_a_limit_are_taken_as_the_setting_says() -> None:
    """Three ways with the same readings; whoever has more than half of them beyond the limit is judged by none."""
    visits = visits_of(simulate(replace(CLINIC, n_participants=380, n_visits=11), seed=9), units="us")
    limit, below = 4.5, pl.col("insulin_uiu_ml") < 4.5
    bounded = visits.with_columns(
        insulin_uiu_ml_lower=pl.when(below).then(0.0),
        insulin_uiu_ml_upper=pl.when(below).then(limit),
        insulin_uiu_ml=pl.when(~below).then("insulin_uiu_ml"),
    )
    beyond = visits.group_by("participant_id").agg(below.mean().alias("share"), below.sum().alias("n_beyond"))
    exact = detect(visits, FAST, seed=9).participants.select("participant_id", exact="probability")
    away, refused = {}, {}
    for censored in ("interval", "half_limit", "drop"):
        found = detect(bounded, replace(FAST, censored=censored), seed=9)
        assert sum("beyond a limit of detection" in note for note in found.notes) == 1
        people = found.participants.join(beyond, on="participant_id").join(exact, on="participant_id")
        mostly = pl.col("reason").str.starts_with("more than half of insulin beyond the limit of detection")
        unbroken = visits.group_by("participant_id").agg((pl.col("glycaemia") == "normal").all().alias("normal"))
        whole = people.join(unbroken.filter("normal"), on="participant_id").sort("participant_id")
        refused[censored] = whole.filter(mostly)["participant_id"].to_list()
        assert refused[censored] == whole.filter(pl.col("share") > 0.5)["participant_id"].to_list()
        seen = people.filter(pl.col("n_beyond").is_between(1, 3)).drop_nulls(["probability", "exact"])
        away[censored] = (seen["probability"] - seen["exact"]).abs().mean()
        assert seen.height > 30
    assert len(refused["interval"]) > 3
    assert refused["interval"] == refused["half_limit"] == refused["drop"]
    # The interval is all that was lost; who drops these readings, or makes them up, is further away.
    assert 0 < away["interval"] < 0.15
    assert away["interval"] < away["drop"]
