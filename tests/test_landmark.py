"""Flags up to a landmark against what came after: against R, against known truth, and at the edges."""

from __future__ import annotations

import math
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ircohort.chance import exponentials
from ircohort.detection import DetectSettings
from ircohort.errors import ColumnError, UsageError
from ircohort.evaluation import visits_of
from ircohort.frames import to_pandas
from ircohort.plot.landmark import after_landmark
from ircohort.plot.saving import to_svg
from ircohort.prognosis import LandmarkSettings, follow, landmark
from ircohort.prognosis.judging import Status, auc, brier, concordance, status_at
from ircohort.prognosis.models import bounds
from ircohort.prognosis.people import stand_at
from ircohort.prognosis.resampling import curve_with_band, interval
from ircohort.prognosis.weibull import _data, _height, _slopes, fit_weibull, profile_interval, risk
from ircohort.schema import VERDICTS
from ircohort.simulation import DESIGNS, simulate
from ircohort.turnbull import event_free, innermost, turnbull
from wanted import want, want_program

REFERENCE = Path(__file__).parent / "reference"
QUICK = LandmarkSettings(
    resamples=40, detection=DetectSettings(refits=0, recalibrate=False, noise_check=False, judge_from=250)
)


def table(path):
    return pl.read_csv(path, infer_schema_length=None, schema_overrides={"term": pl.String})


DATA, SAID = table(REFERENCE / "landmark_data.csv"), table(REFERENCE / "landmark_reference.csv")


def reference_intervals(dataset):
    rows = DATA.filter(dataset=dataset)
    return rows, *bounds(rows)


def reference_fit(dataset, model):
    rows, low, high = reference_intervals(dataset)
    terms = [] if model == "1" else model.split(" + ")
    X = rows.select(terms).to_numpy().astype(float) if terms else np.empty((rows.height, 0))
    return fit_weibull(low, high, X), low, high, X


def said(dataset, model, quantity):
    return SAID.filter(dataset=dataset, model=model, quantity=quantity)["value"].to_list()


# -- against R ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "model"),
    SAID.filter(pl.col("model") != "turnbull").select("dataset", "model").unique(maintain_order=True).rows(),
)
def test_weibull_hazards_are_those_of_survreg(dataset, model):
    fit, low, high, X = reference_fit(dataset, model)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(said(dataset, model, "log_likelihood")[0], rel=1e-9)
    assert math.exp(fit.log_shape) == pytest.approx(said(dataset, model, "shape")[0], rel=1e-5)
    assert fit.intercept == pytest.approx(said(dataset, model, "intercept")[0], rel=1e-5)
    assert fit.coefficients.tolist() == pytest.approx(said(dataset, model, "log_hazard_ratio"), rel=1e-5, abs=1e-6)
    # Profile intervals are not Wald's, but near them where the likelihood is near a parabola.
    for place, error in enumerate(said(dataset, model, "standard_error")):
        bottom, top = profile_interval(fit, low, high, X, place)
        assert (top - bottom) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("dataset", ["grid", "grid_missed"])
def test_turnbull_curves_are_those_of_survfit(dataset):
    _, low, high = reference_intervals(dataset)
    read = event_free(turnbull(low, high), np.arange(1.0, 8.0))
    assert read.tolist() == pytest.approx(said(dataset, "turnbull", "event_free"), abs=2e-5)  # survfit stops early


def test_the_reference_of_survival_is_made_again(tmp_path):
    rscript = want_program("Rscript")
    found = subprocess.run([rscript, "-e", "library(survival)"], capture_output=True, check=False)
    want(found.returncode == 0, "the R package survival")
    shutil.copy(REFERENCE / "landmark_reference.R", tmp_path)
    subprocess.run([rscript, "landmark_reference.R"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "landmark_data.csv").read_text() == (REFERENCE / "landmark_data.csv").read_text()
    made = table(tmp_path / "landmark_reference.csv")
    keys = ["dataset", "model", "quantity", "term"]
    assert made.select(keys).equals(SAID.select(keys))
    assert made["value"].to_list() == pytest.approx(SAID["value"].to_list(), rel=1e-4, abs=1e-6)


# -- Turnbull ----------------------------------------------------------------------------------------------------------

INTERVALS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.booleans()), min_size=1, max_size=40).map(
    lambda rows: (
        np.array([float(low) for low, _, _ in rows]),
        np.array([math.inf if lost else float(low + width) for low, width, lost in rows]),
    )
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(INTERVALS)
def test_no_mass_can_be_moved_to_make_the_intervals_likelier(rows):
    low, high = rows
    found = turnbull(low, high)
    covers = (low[:, None] <= found.left) & (found.right <= high[:, None])
    inside = covers @ found.mass
    assert found.mass.min() >= 0
    assert found.mass.sum() == pytest.approx(1.0)
    # Kuhn and Tucker: the derivative is n where there is mass, and nowhere above it.
    derivative = (covers / inside[:, None]).sum(axis=0)
    assert derivative.max() <= len(low) * (1 + 1e-6)
    assert np.abs(derivative[found.mass > 1e-4] / len(low) - 1).max() <= 1e-3


def test_turnbull_reaches_the_height_that_a_general_search_reaches():
    rng = np.random.default_rng(4)
    low = np.round(rng.uniform(0, 6, 25), 1)
    high = np.where(rng.random(25) < 0.3, np.inf, low + np.round(rng.uniform(0.5, 3, 25), 1))
    found = turnbull(low, high)
    covers = ((low[:, None] <= found.left) & (found.right <= high[:, None])).astype(float)

    def depth(free):
        mass = np.exp(free - free.max())
        return -np.log(covers @ (mass / mass.sum())).sum()

    best = min(minimize(depth, rng.normal(size=len(found.mass))).fun for _ in range(3))
    assert found.log_likelihood == pytest.approx(-best, abs=1e-3)
    assert found.log_likelihood >= -best - 1e-8


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=2, max_size=40))
def test_on_one_grid_of_visits_turnbull_is_kaplan_meier(rows):
    visit, seen = np.array([v for v, _ in rows], float), np.array([s for _, s in rows])
    low, high = np.where(seen, visit - 1, visit), np.where(seen, visit, np.inf)
    survival, expected = 1.0, {}
    for year in range(1, 9):
        at_risk, events = (low >= year - 1).sum() - ((low == year - 1) & ~seen).sum(), (high == year).sum()
        survival *= 1 - events / at_risk if at_risk else 1.0
        expected[year] = survival
    known = [year for year in expected if year <= (visit.max() if seen[visit.argmax()] else low.max())]
    read = event_free(turnbull(low, high), np.array(known, float))
    assert read.tolist() == pytest.approx([expected[year] for year in known], abs=1e-6)


def test_whole_number_weights_are_people_that_often():
    _, low, high = reference_intervals("ragged")
    times = np.random.default_rng(0).integers(1, 4, len(low))
    weighted = turnbull(low, high, times.astype(float))
    repeated = turnbull(np.repeat(low, times), np.repeat(high, times))
    ends = np.arange(0.5, 7.5, 0.5)
    assert event_free(weighted, ends).tolist() == pytest.approx(event_free(repeated, ends).tolist(), abs=1e-6)


def test_an_interval_that_ends_where_another_begins_does_not_share_its_mass():
    left, right = innermost(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert (left.tolist(), right.tolist()) == ([0.0, 1.0], [1.0, 2.0])


def test_beyond_the_last_visit_nothing_is_known_unless_nobody_is_left():
    open_end = turnbull(np.array([0.0, 2.0]), np.array([1.0, np.inf]))
    closed = turnbull(np.array([0.0, 2.0]), np.array([1.0, 3.0]))
    assert np.isnan(event_free(open_end, np.array([2.5]))[0])
    assert event_free(closed, np.array([5.0]))[0] == pytest.approx(0.0)


def test_a_band_without_events_is_the_exact_binomial_one():
    low, high = np.full(30, 4.0), np.full(30, np.inf)
    curve = curve_with_band(low, high, exponentials("landmark", 0, [str(i) for i in range(30)], 40))
    assert curve.event_free.tolist() == [1.0, 1.0]
    assert curve.low.tolist() == pytest.approx([1.0, 0.025 ** (1 / 30)])
    assert curve.high.tolist() == [1.0, 1.0]


# -- Weibull -----------------------------------------------------------------------------------------------------------


def test_gradient_and_hessian_are_the_derivatives_of_the_log_likelihood():
    rows, low, high = reference_intervals("ragged")
    data = _data(low, high, rows.select("score", "glucose").to_numpy() / 50, np.linspace(0.5, 2, len(low)))
    theta, step = np.array([-2.5, 0.4, -0.2, 0.2]), 1e-5
    gradient, hessian = _slopes(theta, data)
    for place, move in enumerate(step * np.eye(4)):
        rise = (_height(theta + move, data) - _height(theta - move, data)) / (2 * step)
        bend = (_slopes(theta + move, data)[0] - _slopes(theta - move, data)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(rise, rel=1e-6, abs=1e-5)
        assert hessian[place].tolist() == pytest.approx(bend.tolist(), rel=1e-5, abs=1e-4)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(0.05, 50), st.floats(-100, 100), st.floats(0.01, 100))
def test_units_of_time_and_covariates_do_not_change_what_is_found(years, shift, factor):
    fit, low, high, X = reference_fit("ragged", "score + glucose")
    other = fit_weibull(years * low, years * high, shift + factor * X)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-6)
    assert (other.coefficients * factor).tolist() == pytest.approx(fit.coefficients.tolist(), rel=1e-4)
    assert risk(other, shift + factor * X[:3], 2 * years).tolist() == pytest.approx(
        risk(fit, X[:3], 2.0).tolist(), rel=1e-4
    )


def test_the_profile_falls_to_the_limit_at_both_ends():
    fit, low, high, X = reference_fit("grid", "score")
    for end in profile_interval(fit, low, high, X, 0):
        # Holding the coefficient is fitting the others with a known part of the hazard, here by a general search.
        def depth(theta, end=end):
            hazard = theta[0] + end * X[:, 0]
            H = [np.exp(hazard + np.exp(theta[1]) * np.log(np.where(t > 0, t, 1.0))) * (t > 0) for t in (low, high)]
            return -np.log(np.exp(-H[0]) - np.where(np.isfinite(high), np.exp(-H[1]), 0.0)).sum()

        with np.errstate(over="ignore", divide="ignore"):
            held = -minimize(depth, [fit.intercept, fit.log_shape], method="Nelder-Mead", tol=1e-10).fun
        assert 2 * (fit.log_likelihood - held) == pytest.approx(3.841459, abs=1e-3)


def test_a_group_without_events_has_an_interval_open_downwards():
    flag = np.repeat([0.0, 1.0], 40)
    low = np.where(flag == 1, 6.0, np.tile([0.0, 1.0, 2.0, 3.0], 20))
    high = np.where((flag == 1) | (np.arange(80) % 5 == 0), np.inf, low + 1)
    fit = fit_weibull(low, high, flag[:, None])
    bottom, top = profile_interval(fit, low, high, flag[:, None], 0)
    assert not fit.converged
    assert bottom == -math.inf
    assert -5 < top < 0


def simulated_intervals(rng, n, hazard_ratio):
    flag = (rng.random(n) < 0.3).astype(float)
    event = rng.exponential(1 / (0.15 * hazard_ratio**flag))
    visits = np.cumsum(rng.uniform(0.8, 1.2, (n, 6)), axis=1)
    place = (visits < event[:, None]).sum(axis=1)
    edges = np.column_stack([np.zeros(n), visits, np.full(n, np.inf)])
    return edges[np.arange(n), place], edges[np.arange(n), place + 1], flag


@pytest.mark.parametrize("hazard_ratio", [1.0, 2.0])
def test_intervals_hold_the_true_hazard_ratio_as_often_as_they_say(hazard_ratio):
    rng, held, runs = np.random.default_rng(8), 0, 120
    for _ in range(runs):
        low, high, flag = simulated_intervals(rng, 150, hazard_ratio)
        bottom, top = profile_interval(fit_weibull(low, high, flag[:, None]), low, high, flag[:, None], 0)
        held += bottom <= math.log(hazard_ratio) <= top
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs) <= held / runs <= 0.95 + 3 * math.sqrt(0.95 * 0.05 / runs)


# -- ranking and predicting --------------------------------------------------------------------------------------------


def test_concordance_counts_the_pairs_whose_order_is_certain():
    rng, n = np.random.default_rng(1), 150
    low = rng.integers(0, 6, n).astype(float)
    high = np.where(rng.random(n) < 0.4, np.inf, low + rng.integers(1, 3, n))
    score, weights = rng.integers(0, 5, n).astype(float), rng.uniform(0.5, 2, n)
    pairs = [(i, j) for i in range(n) for j in range(n) if high[i] <= low[j]]
    worth = {(i, j): 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0 for i, j in pairs}
    expected = sum(weights[i] * weights[j] * worth[i, j] for i, j in pairs) / sum(
        weights[i] * weights[j] for i, j in pairs
    )
    assert concordance(low, high, score, weights) == pytest.approx(expected)


def test_concordance_is_undefined_where_no_order_is_certain():
    assert math.isnan(concordance(np.zeros(3), np.full(3, np.inf), np.arange(3.0), np.ones(3)))


def test_who_is_left_open_at_a_horizon_counts_by_turnbulls_chance():
    # Half of those seen at 1 have the event by 2, so that somebody lost at 1 has it with one half.
    low, high = np.array([1.0, 1.0, 2.0, 2.0, 1.0]), np.array([2.0, 2.0, np.inf, np.inf, np.inf])
    status = status_at(low, high, 2.0)
    assert status.chance.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0, 0.5])
    assert (status.n_event, status.n_free, status.n_unknown) == (2, 2, 1)


def test_auc_and_brier_are_the_textbook_ones_where_everything_is_known():
    status = Status(2.0, np.array([1.0, 1.0, 0.0, 0.0]), 2, 2, 0)
    score = np.array([0.9, 0.3, 0.3, 0.1])
    assert auc(status, score, np.ones(4)) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert brier(status, score, np.ones(4)) == pytest.approx((0.01 + 0.49 + 0.09 + 0.01) / 4)


def test_resampling_weights_belong_to_the_person():
    some, more = exponentials("landmark", 3, ["b"], 40), exponentials("landmark", 3, ["a", "b"], 50)
    assert (some[:, 0] == more[:40, 1]).all()
    assert exponentials("landmark", 0, [str(i) for i in range(400)], 40).mean() == pytest.approx(1.0, abs=0.03)


def test_an_interval_is_not_given_where_most_resamples_have_no_value():
    assert interval(np.array([np.nan, np.nan, 1.0])) == (None, None)


# -- who stands where --------------------------------------------------------------------------------------------------

SEQUENCES = {
    "stays": "NNN NNN",
    "later": "NNN NAA",
    "first": "NNN ANA",
    "waits_yes": "NNA AN",
    "waits_no": "NNA NN",
    "waits_no_once": "NNA N",
    "before": "NAA AA",
    "lost": "NNN",
    "once": "NNN N",
    "high": "NNA NN",
    "at_end": "NNN NNA",
}


def visits_by_hand(sequences=SEQUENCES):
    rows = []
    for person, text in sequences.items():
        for year, letter in enumerate(text.replace(" ", "")):
            glucose = {"N": 90.0, "A": 105.0, "D": 130.0, "?": None}[letter]
            rows.append((person, float(year), glucose, 8.0, 24.0))
    columns = ["participant_id", "years", "glucose_mg_dl", "insulin_uiu_ml", "bmi"]
    return pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)


def detection_by_hand(visits, verdict="not_shown", probability=0.2, fitted=94.0, **others):
    ids = visits["participant_id"].unique(maintain_order=True).to_list()
    curves = {"participant_id": ids, "marker": ["glucose"] * len(ids), "years": [2.0] * len(ids)}
    return SimpleNamespace(
        participants=pl.DataFrame(
            {"participant_id": ids, "verdict": [verdict] * len(ids), "probability": [probability] * len(ids)},
            schema_overrides={"participant_id": pl.String, "verdict": pl.String, "probability": pl.Float64},
        ),
        curves=pl.DataFrame(
            {**curves, "fitted": [others.get(name, fitted) for name in ids]},
            schema_overrides={"participant_id": pl.String, "marker": pl.String, "fitted": pl.Float64},
        ),
    )


def standing_of(visits, at=2.0, rules=QUICK, **others):
    people = stand_at(visits, at, detection_by_hand(visits, **others), rules)
    return {row["participant_id"]: row for row in people.to_dicts()}


def test_an_event_lies_between_the_last_visit_before_it_and_its_first():
    people = standing_of(visits_by_hand())
    assert (people["later"]["low"], people["later"]["high"]) == (1.0, 2.0)


def test_the_last_visit_only_confirms():
    people = standing_of(visits_by_hand())
    assert (people["stays"]["low"], people["stays"]["high"]) == (2.0, None)
    assert (people["at_end"]["low"], people["at_end"]["high"]) == (2.0, None)
    assert people["first"]["low"] == 2.0
    assert people["once"]["standing"] == people["lost"]["standing"] == "not_followed"


def test_an_abnormal_class_that_waits_at_the_landmark_is_settled_by_the_next_visit():
    people = standing_of(visits_by_hand())
    assert (people["waits_yes"]["low"], people["waits_yes"]["high"]) == (0.0, 1.0)
    assert (people["waits_no"]["low"], people["waits_no"]["high"]) == (1.0, None)
    assert (people["waits_no_once"]["low"], people["waits_no_once"]["high"]) == (1.0, None)
    assert people["waits_yes"]["pending"]
    assert not people["stays"]["pending"]


def test_whoever_has_the_event_or_no_normal_fitted_glucose_by_then_is_not_followed():
    people = standing_of(visits_by_hand(), high=101.0)
    assert people["before"]["standing"] == "event_by_landmark"
    assert people["high"]["standing"] == "not_normal"
    assert people["before"]["low"] is people["high"]["low"] is None


def test_without_a_fitted_course_the_last_reading_decides():
    visits = visits_by_hand({"low": "NAN NN", "high": "NNA NN", "none": "??? NN"})
    people = standing_of(visits, fitted=None)
    assert [people[name]["standing"] for name in ("low", "high", "none")] == [
        "followed",
        "not_normal",
        "glucose_unknown",
    ]
    assert people["low"]["normal_by"] == "last_reading"


def test_diabetes_can_be_the_event():
    visits = visits_by_hand({"a": "NNN AAD DN"})
    people = standing_of(visits, rules=replace(QUICK, event="diabetes"))
    assert (people["a"]["low"], people["a"]["high"]) == (2.0, 3.0)


def test_visits_on_treatment_or_during_illness_judge_nothing():
    visits = visits_by_hand({"a": "NNN NAA NN"}).with_columns(ill=pl.col("years") == 4.0)
    assert standing_of(visits)["a"]["high"] is None


# -- the whole ---------------------------------------------------------------------------------------------------------

CLINIC = replace(DESIGNS["clinic"], n_participants=350, n_visits=14)
AT = 8.5


@pytest.fixture(scope="module")
def clinic():
    return visits_of(simulate(CLINIC, seed=3))


@pytest.fixture(scope="module")
def found(clinic):
    return landmark(clinic, AT, QUICK, seed=1)


def test_normal_glucose_is_told_by_fitted_courses_also_where_detection_would_keep_few(clinic, found):
    few = replace(QUICK, detection=replace(QUICK.detection, whole_up_to=0))
    people = landmark(clinic, AT, few, seed=1).people
    assert (people["normal_by"] == "fitted").sum() > 100
    assert people.equals(found.people)


def with_later_visits_changed(visits):
    later = pl.col("years") > AT
    return (
        visits.filter(~later | (pl.col("years") < AT + 4))
        .with_columns(
            pl.when(later).then(pl.col(name) * 3).otherwise(pl.col(name)).alias(name)
            for name in ("insulin_uiu_ml", "triglycerides_mg_dl", "bmi", "homa_ir", "tg_hdl_mg")
        )
        .with_columns(
            pl.when(later).then(pl.lit("diabetes")).otherwise("glycaemia").alias("glycaemia"),
            pl.when(later).then(200.0).otherwise("glucose_mg_dl").alias("glucose_mg_dl"),
        )
    )


def test_nothing_after_the_landmark_reaches_what_was_said_at_it(clinic, found):
    other = landmark(with_later_visits_changed(clinic), AT, QUICK, seed=1)
    assert other.detection.participants.equals(found.detection.participants)
    assert other.detection.curves.equals(found.detection.curves)
    assert other.detection.population.equals(found.detection.population)
    at_it = [name for name in found.people.columns if name not in ("standing", "low", "high")]
    assert other.people.select(at_it).equals(found.people.select(at_it))
    before = ["event_by_landmark", "glucose_unknown", "not_normal"]
    assert {name: other.counts[name] for name in before} == {name: found.counts[name] for name in before}
    assert other.people["high"].count() > found.people["high"].count()


def test_rows_in_another_order_and_as_pandas_give_the_same(clinic, found):
    other = landmark(to_pandas(clinic.sample(fraction=1.0, shuffle=True, seed=2)), AT, QUICK, seed=1)
    for name in ("people", "groups", "curves", "at_risk", "models", "coefficients", "differences", "horizons"):
        assert type(getattr(other, name)).__module__.startswith("pandas"), name
        assert to_pandas(getattr(found, name)).equals(getattr(other, name)), name


def test_everybody_seen_by_the_landmark_stands_somewhere(clinic, found):
    assert sum(found.counts.values()) == found.people.height == clinic["participant_id"].n_unique()
    assert found.groups["group"].to_list() == list(VERDICTS)
    assert found.groups["n"].sum() == found.counts["followed"]
    assert found.groups["n_events"].sum() == found.people["high"].count()


def test_curves_begin_at_one_and_only_fall_within_their_bands(found):
    for (_,), curve in found.curves.group_by("group"):
        assert curve["event_free"][0] == curve["low"][0] == 1.0
        assert (curve["event_free"].diff().drop_nulls() <= 1e-9).all()
        assert ((curve["low"] <= curve["event_free"] + 1e-9) & (curve["event_free"] <= curve["high"] + 1e-9)).all()


def test_all_models_but_that_of_verdicts_see_the_same_people(found):
    models = found.models.filter(pl.col("model") != "verdict")
    assert models["n"].n_unique() == models["n_events"].n_unique() == 1
    nested = models.filter(pl.col("likelihood_ratio").is_not_null())
    heights = dict(models.select("model", "log_likelihood").iter_rows())
    for row in nested.to_dicts():
        gained = 2 * (heights[row["model"]] - heights[row["against"]])
        assert row["likelihood_ratio"] == pytest.approx(gained, abs=1e-9)


def test_latest_glucose_ranks_a_simulated_clinic_better_than_chance(found):
    row = found.models.row(by_predicate=pl.col("model") == "latest_glucose", named=True)
    assert row["concordance_low"] > 0.5
    assert found.coefficients.filter(model="latest_glucose")["low"].item() > 1.0


@pytest.fixture(scope="module")
def crowd():
    """A larger clinic whose flags are made by hand: only what follows is of interest."""
    return visits_of(simulate(replace(CLINIC, n_participants=600), seed=4))


def flags_by(visits, score, share_flagged=0.2):
    """A detection whose probability rises with the rank of a score, and flags the highest."""
    rank = (
        visits.filter(pl.col("years") <= AT).group_by("participant_id").agg(score.alias("score")).sort("participant_id")
    )
    share = (pl.col("score").rank("ordinal") / pl.len()).alias("probability")
    people = rank.with_columns(share).with_columns(
        pl.when(pl.col("probability") > 1 - share_flagged)
        .then(pl.lit("hidden_window"))
        .otherwise(pl.lit("not_shown"))
        .alias("verdict")
    )
    curves = pl.DataFrame(
        schema={"participant_id": pl.String, "marker": pl.String, "years": pl.Float64, "fitted": pl.Float64}
    )
    return SimpleNamespace(participants=people, curves=curves)


def test_a_flag_that_knows_the_future_is_found_to_mean_something(crowd):
    fate = crowd.group_by("participant_id").agg(pl.col("glucose_mg_dl").last().alias("fate"))
    visits = crowd.join(fate, on="participant_id")
    seen = follow(visits, AT, flags_by(visits, pl.col("fate").first(), share_flagged=0.6), QUICK)
    flag = seen.coefficients.filter(model="flag").row(0, named=True)
    assert flag["low"] > 2
    row = seen.models.row(by_predicate=pl.col("model") == "flag", named=True)
    assert row["p_value"] < 1e-6


def test_a_flag_drawn_by_lot_is_found_to_mean_nothing(crowd):
    people = stand_at(crowd, AT, flags_by(crowd, pl.col("bmi").first()), QUICK).filter(standing="followed")
    low, high = bounds(people)
    rng, held, runs = np.random.default_rng(5), 0, 120
    for _ in range(runs):
        flag = rng.permutation(people["flag"].to_numpy())[:, None]
        bottom, top = profile_interval(fit_weibull(low, high, flag), low, high, flag, 0)
        held += bottom <= 0 <= top
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs) <= held / runs <= 0.95 + 3 * math.sqrt(0.95 * 0.05 / runs)


def test_cutting_follow_up_short_does_not_bias_the_curve(crowd):
    detection = flags_by(crowd, pl.col("bmi").first())
    curves = []
    for until in (99.0, AT + 4.0):
        people = stand_at(crowd.filter(pl.col("years") <= until), AT, detection, QUICK).filter(standing="followed")
        curves.append(event_free(turnbull(*bounds(people)), np.array([0.75, 1.75])))
    assert curves[0].tolist() == pytest.approx(curves[1].tolist(), abs=0.01)


# -- the edges ---------------------------------------------------------------------------------------------------------


def test_probabilities_that_cancel_to_nothing_do_not_turn_the_search_astray():
    """Two people of small weight lie where no mass is wanted: differences of sums gave one of them less than none."""
    first = [0] * 7 + [1, 2, 3, 3, 4, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11]
    beyond = [1, 2, 3, 4, 5, 6, 7, 12, 12, 9, 12, 8, 12, 12, 10, 11, 12, 12, 12, 12, 12, 12]
    weights = [2.32, 0.5, 1.02, 3.4, 0.64, 1.33, 0.69, 3.69, 6.81, 0.03, 1.09]
    weights += [0.11, 1.76, 0.81, 0.27, 0.07, 11.83, 4.66, 165.36, 7.37, 22.18, 19.23]
    high = np.where(np.array(beyond) < 12, np.array(beyond) - 0.5, np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = turnbull(np.array(first, dtype=float), high, np.array(weights))
    assert len(found.mass) == 12
    assert found.mass.min() >= 0
    assert found.mass.sum() == pytest.approx(1)
    assert found.gap < 1e-10


def test_no_rows_give_empty_tables():
    seen = landmark(visits_by_hand({}).cast({"participant_id": pl.String, "years": pl.Float64}), 2.0, QUICK)
    assert seen.groups["n"].to_list() == [0, 0, 0, 0]
    assert seen.curves.is_empty()
    assert seen.models.is_empty()
    assert seen.baseline_gap is None


def test_one_person_is_followed_without_a_model():
    seen = landmark(visits_by_hand({"a": "NNN NNN"}), 2.0, QUICK)
    assert seen.groups.filter(group="not_assessable")["n"].item() == 1
    assert any("nobody who was followed has a probability" in note for note in seen.notes)


def test_without_events_no_model_is_fitted_and_the_curve_stays_at_one():
    visits = visits_by_hand({f"p{i:02d}": "NNN NNNN" for i in range(40)})
    seen = follow(visits, 2.0, detection_by_hand(visits), QUICK)
    assert seen.models.is_empty()
    assert seen.curves["event_free"].unique().to_list() == [1.0]
    assert seen.curves["low"].min() == pytest.approx(0.025 ** (1 / 40))
    assert any("it takes 10 events among the assessable, and there are 0" in note for note in seen.notes)


def two_groups(in_group, in_others):
    texts = {f"f{i:02d}": text for i, text in enumerate(in_group)} | {f"n{i:02d}": t for i, t in enumerate(in_others)}
    visits = visits_by_hand(texts).with_columns(bmi=24 + pl.col("participant_id").str.slice(1).cast(pl.Float64) / 10)
    detection = detection_by_hand(visits)
    flagged = pl.col("participant_id").str.starts_with("f")
    detection.participants = detection.participants.with_columns(
        verdict=pl.when(flagged).then(pl.lit("hidden_window")).otherwise(pl.lit("not_shown")),
        probability=pl.when(flagged).then(0.9).otherwise(0.1),
    )
    return visits, detection


MIXED = ["NNN AAA", "NNN NNNN", "NNN NAA", "NNN NNAA", "NNN NNNN"]


def test_a_flagged_group_without_events_has_an_open_interval_and_says_so():
    visits, detection = two_groups(["NNN NNNNN"] * 30, MIXED * 10)
    seen = follow(visits, 2.0, detection, QUICK)
    row = seen.coefficients.filter(model="verdict").row(0, named=True)
    assert row["hazard_ratio"] is None
    assert row["low"] is None
    assert 0 < row["high"] < 1
    assert not seen.models.filter(model="verdict")["converged"].item()
    assert any("has no maximum" in note for note in seen.notes)


def test_covariates_that_are_the_same_in_everybody_or_unknown_are_left_out():
    visits, detection = two_groups(MIXED * 8, MIXED * 8)
    seen = follow(visits.drop("insulin_uiu_ml"), 2.0, detection, QUICK)
    note = next(note for note in seen.notes if note.startswith("Left out"))
    assert "fitted glucose (the same in everybody)" in note
    assert "the latest HOMA-IR (known of too few)" in note
    assert seen.models.filter(model="latest_homa_ir").is_empty()
    assert seen.coefficients.filter(model="flag_adjusted")["term"].to_list() == ["flag", "bmi"]
    # Both groups are alike.
    assert seen.coefficients.filter(model="flag")["hazard_ratio"].item() == pytest.approx(1.0, abs=1e-4)


def test_a_large_cohort_is_not_refitted_and_says_so():
    visits, detection = two_groups(MIXED * 8, MIXED * 8)
    seen = follow(visits, 2.0, detection, replace(QUICK, resample_up_to=10))
    assert seen.models["concordance_low"].null_count() == seen.models.height
    assert seen.models["concordance"].count() > 0
    assert any("Concordance has no intervals" in note for note in seen.notes)


def test_horizons_beyond_follow_up_are_not_judged_and_named():
    visits, detection = two_groups(MIXED * 8, MIXED * 8)
    seen = follow(visits, 2.0, detection, replace(QUICK, horizons=(2.0, 9.0)))
    assert seen.horizons["years"].unique().to_list() == [2.0]
    assert any("at 9 years after the landmark" in note for note in seen.notes)
    assert seen.horizons.filter(model="no_covariates")["brier_skill"].item() == 0.0


@pytest.mark.parametrize("at", [0, -1.0, math.nan, math.inf, True, "5"])
def test_a_landmark_that_is_no_time_is_refused(at):
    with pytest.raises(UsageError, match="landmark"):
        landmark(visits_by_hand(), at)


@pytest.mark.parametrize(
    "wrong",
    [{"event": "obesity"}, {"horizons": (0.0,)}, {"min_events": 1}, {"resamples": 3}, {"resample_up_to": -1}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        LandmarkSettings(**wrong)


def test_a_table_without_times_is_refused():
    with pytest.raises(ColumnError, match="years"):
        landmark(visits_by_hand().drop("years"), 2.0)


def test_the_cut_off_of_detection_is_that_of_being_normal():
    visits = visits_by_hand({"a": "NNN NNN"})
    strict = replace(QUICK, detection=DetectSettings(glucose_cut_off_mg_dl=92.0))
    assert standing_of(visits, rules=strict)["a"]["standing"] == "not_normal"


# -- the figure --------------------------------------------------------------------------------------------------------


def texts_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_figure_shows_each_group_with_its_numbers():
    visits, detection = two_groups(MIXED * 4, MIXED * 6)
    seen = follow(visits, 2.0, detection, QUICK)
    figure = after_landmark(seen)
    axes = figure.axes[0]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["hidden window (20 people, 12 events)", "not shown (30 people, 18 events)"]
    assert {"known free", "hidden window", "not shown", "20", "30"} <= set(texts_of(figure))
    drawn = dict(zip(words, axes.get_lines(), strict=True))
    curve = seen.curves.filter(group="not_shown").drop_nulls("event_free")
    assert drawn[words[1]].get_ydata().tolist() == curve["event_free"].to_list()
    assert to_svg(figure) == to_svg(after_landmark(seen))


@pytest.mark.parametrize(("others", "drawn"), [(MIXED * 2, 1), (MIXED[:3], 0)])
def test_the_figure_counts_groups_of_fewer_than_five_people_without_a_curve(others, drawn):
    visits, detection = two_groups(MIXED[:1], others)
    figure = after_landmark(follow(visits, 2.0, detection, QUICK))
    axes = figure.axes[0]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words[0].startswith("hidden window (1 person, ")
    assert words[0].endswith("; too few to draw)")
    assert sum(line.get_xdata().size > 0 for line in axes.get_lines()) == drawn
    assert {"known free", "1", str(len(others))} <= set(texts_of(figure))
    figure.canvas.draw()


def test_the_figure_says_in_words_that_nobody_was_followed():
    visits = visits_by_hand({"a": "NNN"})
    figure = after_landmark(follow(visits, 2.0, detection_by_hand(visits), QUICK))
    assert "Nobody was free of the event" in figure.texts[0].get_text()
