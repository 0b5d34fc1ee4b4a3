"""The engine: boundaries, weights, sums in pieces, refits, fallback, and how a fit shows itself.

What is held against: the fit of replicated or resampled rows, dense matrices, and statsmodels.
"""

from __future__ import annotations

import pickle
import re
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircohort.errors import ColumnError, FormulaError, ModelError, UsageError
from ircohort.lmm import (
    bootstrap,
    bootstrap_intervals,
    design_matrix,
    draw_weights,
    fit,
    fit_sums,
    fit_with_fallback,
    prepare,
    sum_up,
)
from ircohort.lmm.likelihood import changes_with, information, profile, profile_with_slope
from ircohort.lmm.search import maximise
from ircohort.lmm.sums import Scaling, participant_sums

SLOPE = "y ~ years + x + (1 + years | participant_id)"


def cohort(seed: int = 0, people: int = 40, level: float = 0.6, slope: float = 0.15, most: int = 7) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), random.integers(2, most + 1, people))
    years = random.uniform(0, 6, len(person))
    lines = random.normal(size=(people, 2)) * (level, slope)
    x = random.normal(size=len(person))
    y = 1 + 0.1 * years + 0.2 * x + lines[person, 0] + lines[person, 1] * years + random.normal(0, 0.4, len(person))
    site = np.where(person % 3 == 0, "north", "south")
    return pl.DataFrame({"participant_id": person, "years": years, "x": x, "y": y, "site": site})


def same(one, other, rel=1e-8):
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-10)
    assert one.coefficients == pytest.approx(other.coefficients, rel=rel)
    assert one.fixed_covariance == pytest.approx(other.fixed_covariance, rel=rel)
    assert one.random_covariance == pytest.approx(other.random_covariance, rel=1e-6, abs=1e-9)
    assert one.residual_variance == pytest.approx(other.residual_variance, rel=rel)


# --- the optimum ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reml", [True, False])
def test_both_engines_come_to_the_same_place(reml):
    frame = cohort(3)
    same(fit(SLOPE, frame, reml=reml), fit(SLOPE, frame, reml=reml, engine="statsmodels"), rel=1e-6)


def test_an_unknown_engine_is_refused():
    with pytest.raises(UsageError, match="no engine"):
        fit(SLOPE, cohort(), engine="lme4")


def test_sixty_cohorts_without_differences_between_people_all_converge_and_most_are_at_the_boundary():
    fits = [fit("y ~ years + (1 + years | participant_id)", cohort(seed, level=0, slope=0)) for seed in range(60)]
    assert all(each.converged for each in fits)
    assert 25 <= sum(each.at_boundary for each in fits) < 60
    for each in fits:
        assert np.linalg.eigvalsh(each.random_covariance)[0] >= -1e-12


@pytest.mark.parametrize("q", range(1, 10))
@pytest.mark.parametrize("diagonal", [False, True])
def test_one_to_nine_random_effects_reach_a_point_that_no_step_improves(q, diagonal):
    random = np.random.default_rng(q)
    people, visits = 60, 14
    Z = np.column_stack([np.ones(people * visits), random.normal(size=(people * visits, 8))])[:, :q]
    effects = random.normal(size=(people, q)) * np.where(np.arange(q) % 3 == 2, 0.0, 0.7)
    y = (Z * np.repeat(effects, visits, axis=0)).sum(axis=1) + random.normal(size=len(Z))
    X = Z[:, :3]
    scaling = Scaling(np.eye(X.shape[1]), np.eye(q), np.zeros(X.shape[1]))
    sums = participant_sums(y, X, Z, np.arange(0, len(y), visits), scaling)
    found = maximise(sums, np.eye(q), reml=True, diagonal=diagonal)
    assert found.settled
    here = profile(sums, found.L, reml=True).log_likelihood
    G = found.L @ found.L.T
    for _ in range(200):
        step = random.normal(size=(q, q)) * 10.0 ** random.uniform(-5, -1)
        moved = (
            np.diag(np.abs(np.diagonal(found.L) + np.diagonal(step)))
            if diagonal
            else np.linalg.cholesky((found.L + step) @ (found.L + step).T + 1e-14 * np.eye(q))
        )
        assert profile(sums, moved, reml=True).log_likelihood <= here + 1e-9
    values, vectors = np.linalg.eigh(G)
    assert values[0] >= -1e-12
    assert vectors.shape == (q, q)


def test_a_start_at_zero_variance_does_not_stay_there():
    frame = cohort(1)
    good = fit(SLOPE, frame)
    found = maximise(good.sums, np.zeros((2, 2)), reml=True, diagonal=False)
    assert found.at.profile.log_likelihood == pytest.approx(
        profile(good.sums, good.relative_factor, reml=True).log_likelihood, abs=1e-9
    )


def test_the_expected_information_is_the_mean_of_the_observed_curvature():
    # By its definition: the variance of the score at the true parameters, over simulated responses.
    random = np.random.default_rng(2)
    people, visits = 50, 5
    X = np.column_stack([np.ones(people * visits), np.tile(np.arange(float(visits)), people)])
    scaling = Scaling(np.eye(2), np.eye(2), np.zeros(2))
    L = np.array([[0.8, 0.0], [0.1, 0.4]])
    rows, columns = np.tril_indices(2)
    starts = np.arange(0, len(X), visits)
    scores, expected = [], 0.0
    for _ in range(3000):
        effects = np.repeat(random.normal(size=(people, 2)) @ L.T, visits, axis=0)
        y = (X * effects).sum(axis=1) + random.normal(size=len(X))
        at = profile_with_slope(participant_sums(y, X, X, starts, scaling), L, reml=False)
        scores.append((2 * at.by_product @ L)[rows, columns])
        expected = information(at, changes_with(L, rows, columns))
    assert np.cov(np.array(scores).T) == pytest.approx(expected, rel=0.12, abs=1.5)


@pytest.mark.parametrize("formula", [SLOPE, "y ~ years + (1 | participant_id)"])
def test_readings_that_the_random_part_explains_exactly_are_refused(formula):
    frame = cohort(1, most=9)
    line = pl.col("participant_id") * 0.3 + (
        pl.col("participant_id") % 3 * pl.col("years") if "1 +" in formula else 0.0
    )
    exact = frame.with_columns(line.alias("y"))
    plan = prepare(formula, frame)
    for attempt in (
        lambda: fit(formula, exact),
        lambda: fit_sums(sum_up(plan, exact)),
        lambda: fit_sums(sum_up(plan, frame.with_columns(pl.lit(2.0).alias("y")))),
    ):
        with pytest.raises(ModelError, match="exactly"):
            attempt()


@pytest.mark.parametrize("ratio", [1e-2, 1e-3, 1e-4])
def test_people_who_differ_much_more_than_readings_scatter_are_no_reason_not_to_converge(ratio):
    for seed in range(10):
        frame = cohort(seed, people=25)
        random = np.random.default_rng(seed)
        noise = ratio * random.normal(size=frame.height)
        lines = random.normal(size=(25, 2))[frame["participant_id"].to_numpy()]
        y = lines[:, 0] + lines[:, 1] * frame["years"].to_numpy() + noise
        result = fit("y ~ years + (1 + years | participant_id)", frame.with_columns(pl.Series("y", y)))
        assert result.converged
        assert result.residual_variance == pytest.approx(ratio**2, rel=0.6)


def test_more_random_effects_than_visits_could_show_are_refused():
    with pytest.raises(ModelError, match="10 effects"):
        fit("y ~ years + (1 + bs(years, df=9) | participant_id)", cohort())


def test_texts_that_are_no_categories_and_levels_that_a_fit_has_not_seen_are_refused():
    frame = cohort(people=130).with_columns(pl.col("participant_id").cast(pl.String).alias("name"))
    with pytest.raises(FormulaError, match="130 different values"):
        fit("y ~ name + (1 | participant_id)", frame)
    coded = frame.with_columns((pl.col("participant_id") % 3).alias("k"))
    with pytest.raises(ColumnError, match="has not seen"):
        sum_up(prepare("y ~ C(k) + (1 | participant_id)", coded), coded.with_columns(pl.lit(7).alias("k")))


def test_the_formula_comes_first():
    with pytest.raises(UsageError, match="formula comes first"):
        fit(cohort(), SLOPE)


def test_rows_beyond_a_spline_are_empty_and_take_no_other_row_with_them():
    result = fit("y ~ bs(years, df=4) + (1 | participant_id)", cohort())
    rows = design_matrix(result, pl.DataFrame({"years": [1.0, 99.0, 2.0]}))
    assert np.isnan(rows).any(axis=1).tolist() == [False, True, False]


# --- weights ----------------------------------------------------------------------------------------------------


def weighted_cohort():
    frame = cohort(5)
    weights = pl.DataFrame({"participant_id": range(40), "weight": np.random.default_rng(1).integers(1, 4, 40)})
    return frame.join(weights, on="participant_id")


def replicated(frame, counts):
    """Write each participant as often as they count, as people of their own."""
    parts = [
        frame.filter(pl.col("participant_id") == person).with_columns(
            pl.lit(1000 * (copy + 1) + person).alias("participant_id")
        )
        for person, count in counts
        for copy in range(int(count))
    ]
    return pl.concat(parts)


@pytest.mark.parametrize("reml", [True, False])
def test_frequency_weights_are_exact_replication(reml):
    frame = weighted_cohort()
    counts = frame.group_by("participant_id").agg(pl.col("weight").first()).sort("participant_id").rows()
    ours = fit(SLOPE, frame, reml=reml, weights="weight", weights_kind="frequency")
    same(ours, fit(SLOPE, replicated(frame, counts), reml=reml))
    assert (ours.participants, ours.weights_kind) == (40, "frequency")


def test_sampling_weights_give_the_same_estimates_robust_errors_and_no_likelihood():
    frame = weighted_cohort()
    ours = fit(SLOPE, frame, reml=False, weights="weight", weights_kind="sampling")
    replicate = fit(SLOPE, frame, reml=False, weights="weight", weights_kind="frequency")
    assert ours.coefficients == pytest.approx(replicate.coefficients, rel=1e-7)
    assert np.isnan(ours.log_likelihood)
    scaled = fit(
        SLOPE, frame.with_columns(pl.col("weight") * 2.5), reml=False, weights="weight", weights_kind="sampling"
    )
    assert scaled.fixed_covariance == pytest.approx(ours.fixed_covariance, rel=1e-7)
    assert ours.fixed_covariance == pytest.approx(dense_sandwich(ours, frame), rel=1e-6)


def dense_sandwich(result, frame):
    n = result.participants
    bread, scores = np.zeros((3, 3)), []
    weights = frame.group_by("participant_id").agg(pl.col("weight").first()).sort("participant_id")["weight"]
    for person, weight in zip(range(n), weights / weights.mean(), strict=True):
        rows = frame.filter(pl.col("participant_id") == person)
        X = np.column_stack([np.ones(rows.height), rows["years"], rows["x"]])
        Z = X[:, :2]
        V = Z @ result.random_covariance @ Z.T + result.residual_variance * np.eye(rows.height)
        inverse = weight * np.linalg.inv(V)
        bread += X.T @ inverse @ X
        scores.append(X.T @ inverse @ (rows["y"].to_numpy() - X @ result.coefficients))
    meat = sum(np.outer(score, score) for score in scores) * n / (n - 1)
    return np.linalg.inv(bread) @ meat @ np.linalg.inv(bread)


@pytest.mark.parametrize(
    ("weight", "kind", "said"),
    [
        (pl.lit(1.5), "frequency", "whole number"),
        (pl.lit(0.0), "sampling", "above zero"),
        (pl.col("years"), "sampling", "varies within"),
        (pl.lit(1.0), "importance", "weights_kind"),
        (pl.lit(1.0), "", "weights_kind"),
    ],
)
def test_weights_that_cannot_be_are_refused(weight, kind, said):
    with pytest.raises((ModelError, UsageError), match=said):
        fit(SLOPE, cohort().with_columns(weight.alias("w")), weights="w", weights_kind=kind)


def test_weights_of_text_or_for_the_reference_engine_are_refused():
    with pytest.raises(ColumnError, match="text"):
        fit(SLOPE, cohort(), weights="site", weights_kind="sampling")
    with pytest.raises(UsageError, match="no weights"):
        fit(SLOPE, weighted_cohort(), weights="weight", weights_kind="frequency", engine="statsmodels")


# --- sums in pieces ---------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=5, unique=True), st.integers(0, 3))
def test_sums_of_pieces_give_the_fit_of_all_rows(cuts, seed):
    frame = cohort(seed).sample(fraction=1, shuffle=True, seed=seed)
    formula = "y ~ bs(years, df=4) + x * site + (1 + years | participant_id)"
    plan = prepare(formula, frame)
    ends = [0, *sorted(min(cut, frame.height - 1) for cut in cuts), frame.height]
    pieces = [sum_up(plan, frame[low:high]) for low, high in pairwise(ends) if high > low]
    same(fit_sums(reduce(add, pieces)), fit(formula, frame))
    same(fit_sums(reduce(add, reversed(pieces))), fit(formula, frame))


def test_pieces_count_what_they_drop_and_must_share_a_plan():
    frame = cohort(2).with_columns(pl.when(pl.int_range(pl.len()) % 10 > 0).then("x").alias("x"))
    plan = prepare(SLOPE, frame)
    together = sum_up(plan, frame[:50]) + sum_up(plan, frame[50:])
    assert together.dropped["any"]["visits"] == fit(SLOPE, frame).dropped["any"]["visits"]
    with pytest.raises(UsageError, match="two plans"):
        together + sum_up(prepare(SLOPE, frame[:90]), frame)
    assert fit_sums(together).rows is None


def test_pieces_may_come_from_other_processes():
    frame = cohort(2)
    plan = prepare(SLOPE, frame)
    there = pickle.loads(pickle.dumps(sum_up(pickle.loads(pickle.dumps(plan)), frame[60:])))
    same(fit_sums(sum_up(plan, frame[:60]) + there), fit(SLOPE, frame))


def test_participants_of_another_type_or_weight_in_another_piece_are_refused():
    frame = weighted_cohort()
    plan = prepare(SLOPE, frame, weights="weight", weights_kind="frequency")
    first = sum_up(plan, frame[:70])
    with pytest.raises(ColumnError, match="in one piece"):
        first + sum_up(plan, frame[70:].with_columns(pl.col("participant_id").cast(pl.String)))
    with pytest.raises(ModelError, match="another weight"):
        first + sum_up(plan, frame.with_columns(pl.col("weight") + 1))
    narrow = sum_up(plan, frame[70:].with_columns(pl.col("participant_id").cast(pl.Int16)))
    same(fit_sums(first + narrow), fit(SLOPE, frame, weights="weight", weights_kind="frequency"))


def test_weights_go_with_the_pieces():
    frame = weighted_cohort()
    plan = prepare(SLOPE, frame, weights="weight", weights_kind="frequency")
    pieces = sum_up(plan, frame[:70]) + sum_up(plan, frame[70:])
    same(fit_sums(pieces), fit(SLOPE, frame, weights="weight", weights_kind="frequency"))


def test_a_piece_with_a_level_that_the_plan_has_not_seen_is_refused():
    frame = cohort()
    plan = prepare("y ~ site + (1 | participant_id)", frame)
    with pytest.raises(ColumnError, match="has not seen"):
        sum_up(plan, frame.with_columns(pl.lit("west").alias("site")))


# --- refits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_refit_is_the_fit_of_the_resampled_rows(seed):
    frame = cohort(seed)
    result = fit(SLOPE, frame)
    refits = bootstrap(result, n_refits=4, seed=seed)
    for k, weights in enumerate(draw_weights(40, 4, seed)):
        again = fit(SLOPE, replicated(frame, enumerate(weights)))
        assert refits.coefficients[k] == pytest.approx(again.coefficients, rel=1e-5)
        assert refits.standard_errors[k] == pytest.approx(again.fixed["standard_error"].to_numpy(), rel=1e-4)
        assert refits.random_covariance[k] == pytest.approx(again.random_covariance, rel=1e-3, abs=1e-5)
        assert refits.residual_variance[k] == pytest.approx(again.residual_variance, rel=1e-4)


def test_refits_that_fail_or_end_at_the_boundary_are_kept_and_counted():
    rare = cohort(1).with_columns((pl.col("participant_id") == 0).cast(pl.Float64).alias("rare"))
    refits = bootstrap(fit("y ~ years + rare + (1 | participant_id)", rare), n_refits=60, seed=2)
    lost = ~np.isfinite(refits.coefficients).all(axis=1)
    assert refits.failed == lost.sum() == (draw_weights(40, 60, 2)[:, 0] == 0).sum()
    assert refits.not_converged == 0
    flat = bootstrap(fit("y ~ years + (1 | participant_id)", cohort(4, level=0, slope=0)), n_refits=30)
    assert 0 < flat.at_boundary <= 30


def test_refits_do_not_depend_on_how_many_there_are_and_tell_their_progress():
    result, told = fit(SLOPE, cohort(6)), []
    many = bootstrap(result, n_refits=40, seed=9, on_progress=lambda done, of: told.append((done, of)))
    few = bootstrap(result, n_refits=7, seed=9)
    assert (few.coefficients == many.coefficients[:7]).all()
    assert told[-1] == (40, 40)


@pytest.mark.parametrize("kind", ["percentile", "studentized"])
def test_bootstrap_intervals_are_near_the_normal_ones_in_a_large_normal_cohort(kind):
    result = fit(SLOPE, cohort(7, people=300))
    got = bootstrap_intervals(result, bootstrap(result, n_refits=400, seed=1), kind=kind)
    assert (got["high"] - got["low"]).to_numpy() == pytest.approx(
        (result.fixed["high"] - result.fixed["low"]).to_numpy(), rel=0.2
    )
    assert got["low"].to_numpy() == pytest.approx(result.fixed["low"].to_numpy(), abs=0.05)


def test_intervals_ask_for_a_kind_and_a_level_and_weights_cannot_be_resampled():
    result = fit(SLOPE, cohort())
    refits = bootstrap(result, n_refits=1)
    assert bootstrap_intervals(result, refits)["low"].to_list() == [None] * 3
    for wrong in ({"kind": "bca"}, {"level": 95}):
        with pytest.raises(UsageError, match="kind"):
            bootstrap_intervals(result, refits, **wrong)
    with pytest.raises(UsageError, match="weights"):
        bootstrap(fit(SLOPE, weighted_cohort(), weights="weight", weights_kind="frequency"))


# --- fallback ---------------------------------------------------------------------------------------------------


def test_a_sound_model_stays_as_it_is():
    frame = cohort()
    assert fit_with_fallback(SLOPE, frame).messages == ()
    same(fit_with_fallback(SLOPE, frame), fit(SLOPE, frame))


def test_a_slope_without_variation_leaves_an_intercept_and_says_so():
    result = fit_with_fallback("y ~ years + (1 + years | participant_id)", cohort(0, slope=0.0))
    assert result.formula == "y ~ years + (1 | participant_id)"
    assert result.messages[0].startswith("y ~ years + (1 + years | participant_id) was left behind")


def test_one_visit_each_leaves_least_squares_with_robust_errors():
    import statsmodels.formula.api as smf

    frame = cohort().group_by("participant_id", maintain_order=True).first()
    result = fit_with_fallback("y ~ years + x + (1 + years | participant_id)", frame)
    theirs = smf.ols("y ~ years + x", frame.to_pandas()).fit(
        cov_type="cluster", cov_kwds={"groups": frame["participant_id"].to_numpy(), "use_correction": False}
    )
    assert result.engine == "ols"
    assert len(result.messages) == 2
    assert result.coefficients == pytest.approx(theirs.params.to_numpy(), rel=1e-8)
    assert result.fixed_covariance == pytest.approx(theirs.cov_params().to_numpy() * 40 / 39, rel=1e-8)


# --- what is shown ----------------------------------------------------------------------------------------------


def test_a_fit_shows_itself_in_a_few_lines_and_in_a_notebook():
    gaps = cohort().with_columns(pl.when(pl.col("x") < 1).then("x").alias("x"))
    text = repr(fit(SLOPE, gaps))
    assert "restricted maximum likelihood: " in text
    assert re.search(r"Visits left out for a missing value: (\d+) \(x \1\)", text)
    assert "people: years" in text
    assert max(map(len, text.split("\n"))) < 130
    html = fit("y ~ x + (1 | participant_id)", cohort())._repr_html_()
    assert html.count("<table") == 2
    assert html.count("text-align: left") == 2 + 2 + 2
    assert "y ~ x + (1 | participant_id)" in html


def test_the_boundary_and_the_last_rung_are_shown_in_words():
    flat = cohort(7, level=0, slope=0)
    assert "At the boundary. Beyond measurement variation" in repr(fit("y ~ years + (1 | participant_id)", flat))
    assert "Ordinary least squares" in repr(fit_with_fallback("y ~ years + (1 | participant_id)", flat))


def test_a_small_fit_points_to_intervals_with_degrees_of_freedom():
    for frame in (cohort(people=49), cohort(people=50)):
        result = fit(SLOPE, frame)
        assert ("degrees of freedom" in repr(result)) == (result.participants < 50)


def test_sampling_weights_are_shown_as_what_they_are():
    text = repr(fit(SLOPE, weighted_cohort(), weights="weight", weights_kind="sampling"))
    assert text.startswith("Linear mixed model, pseudo-likelihood with sampling weights, cluster-robust covariance: ")
    assert "Log-likelihood" not in text


def test_participants_who_are_lost_to_a_gap_are_counted_in_what_is_shown():
    first = cohort()["participant_id"].min()
    gaps = cohort().with_columns(pl.when(pl.col("participant_id") != first).then("x").alias("x"))
    assert "participants without any other visit: 1." in repr(fit(SLOPE, gaps))


def test_each_correlation_stands_in_the_column_of_its_effect():
    lines = repr(fit("y ~ years + x + (1 + years + x | participant_id)", cohort(people=60))).split("\n")
    level, slope, other = (
        next(line for line in lines if line.startswith(f"people: {name}")) for name in ("Intercept", "years", "x")
    )
    assert [len(line.split()) for line in (level, slope, other)] == [3, 4, 5]
    assert len(slope) == other.index(other.split()[-2]) + len(other.split()[-2])
    assert "correlations" not in repr(fit("y ~ years + (1 + years || participant_id)", cohort()))
