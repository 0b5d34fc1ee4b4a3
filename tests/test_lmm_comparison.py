"""Likelihood-ratio tests, information criteria, R2 and ICC.

reference/profile_reference.csv is made by reference/profile_reference.R from reference/lmm_data.csv.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import chi2

from ircohort.errors import ColumnError, ModelError
from ircohort.lmm import design_matrix, fit, random_design_matrix
from ircohort.lmm.inference.comparison import information_criteria, likelihood_ratio_test
from ircohort.lmm.inference.explained import icc, r_squared

REFERENCE = Path(__file__).parent / "reference"
DATA = pl.read_csv(REFERENCE / "lmm_data.csv", schema_overrides={"years": pl.Float64})
EXPECTED = pl.read_csv(
    REFERENCE / "profile_reference.csv", infer_schema_length=None, schema_overrides={"reml": pl.String}
)
LEVEL = "y ~ years + (1 | participant_id)"
SLOPE = "y ~ years + (1 + years | participant_id)"
UNCORRELATED = "y ~ years + (1 + years || participant_id)"


def data(name: str = "unbalanced") -> pl.DataFrame:
    return DATA.filter(pl.col("dataset") == name)


def expected(quantity: str) -> list[dict]:
    return EXPECTED.filter(pl.col("quantity") == quantity).to_dicts()


# --- likelihood-ratio test ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", expected("likelihood_ratio"), ids=lambda row: f"{row['dataset']}-{row['reml']}")
def test_the_statistic_is_that_of_lme4(row):
    rows, reml = data(row["dataset"]), row["reml"] == "TRUE"
    found = likelihood_ratio_test(fit(row["term"], rows, reml=reml), fit(row["formula"], rows, reml=reml))
    assert found.statistic == pytest.approx(row["value"], abs=1e-8)  # a difference of values of twelve digits
    assert found.reml == reml


@pytest.mark.parametrize(
    ("smaller", "larger", "mixture"),
    [
        (LEVEL, "y ~ years + age + (1 | participant_id)", ((1, 1.0),)),
        (LEVEL, "y ~ years * progressor + age + (1 | participant_id)", ((3, 1.0),)),
        (LEVEL, SLOPE, ((1, 0.5), (2, 0.5))),
        (LEVEL, UNCORRELATED, ((0, 0.5), (1, 0.5))),
        (UNCORRELATED, SLOPE, ((1, 1.0),)),
        (LEVEL, "y ~ years + age + (1 + years | participant_id)", ((2, 0.5), (3, 0.5))),
        (SLOPE, "y ~ years + (1 + years + x | participant_id)", ((2, 0.5), (3, 0.5))),
        (UNCORRELATED, "y ~ years + (1 + years + x || participant_id)", ((0, 0.5), (1, 0.5))),
        (LEVEL, "y ~ years + (1 + years + x | participant_id)", ((5, 1.0),)),
    ],
)
def test_one_more_variance_has_half_its_weight_on_zero(smaller, larger, mixture):
    rows = data().with_columns(x=pl.Series(np.random.default_rng(1).normal(size=data().height)))
    found = likelihood_ratio_test(fit(smaller, rows, reml=False), fit(larger, rows, reml=False))
    assert found.mixture == mixture
    assert found.degrees_of_freedom == mixture[-1][0]
    tail = sum(w * (chi2.sf(found.statistic, df) if df else found.statistic <= 0) for df, w in mixture)
    assert found.p_value == pytest.approx(tail, rel=1e-12)
    assert ("upper bound" in found.reference) == (larger.count("x") == 1 and smaller == LEVEL)


def test_the_p_value_is_the_share_of_a_half_space_of_normal_draws():
    # Self and Liang: under the smaller model the statistic is the squared length of the projection of a standard
    # normal vector on the parameters that are possible: here a variance not below zero, and a free covariance.
    found = likelihood_ratio_test(fit(LEVEL, data("flat_slopes")), fit(SLOPE, data("flat_slopes")))
    draws = np.random.default_rng(3).normal(size=(400_000, 2))
    lengths = np.maximum(draws[:, 0], 0) ** 2 + draws[:, 1] ** 2
    assert found.p_value == pytest.approx((lengths >= found.statistic).mean(), abs=4e-3)


def test_a_statistic_of_zero_has_a_p_value_of_one():
    rows = data("nobody_differs")
    smaller = fit("y ~ years + age + (1 | participant_id)", rows, reml=False)
    larger = fit("y ~ years + age + (1 + years || participant_id)", rows, reml=False)
    at_zero = likelihood_ratio_test(smaller, replace(larger, log_likelihood=smaller.log_likelihood))
    assert (at_zero.statistic, at_zero.p_value) == (0.0, 1.0)
    assert at_zero.notes == (
        "The smaller model is itself at the boundary of its variances; the p-value is approximate.",
    )


def test_least_squares_is_the_model_without_differences_between_people():
    level = fit(LEVEL, data(), reml=False)
    X, y = design_matrix(level, level.rows), level.rows["y"].to_numpy()
    squares = float(((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2).sum())
    none = replace(level, engine="ols", log_likelihood=-0.5 * len(y) * (np.log(2 * np.pi * squares / len(y)) + 1))
    found = likelihood_ratio_test(none, level)
    assert found.mixture == ((0, 0.5), (1, 0.5))
    assert found.p_value == pytest.approx(0.5 * chi2.sf(found.statistic, 1))
    assert information_criteria(none).parameters == 3


def test_columns_within_the_span_of_others_are_nested():
    curved = fit("y ~ bs(years, df=4) + (1 + years | participant_id)", data(), reml=False)
    straight = fit(SLOPE, data(), reml=False)
    assert likelihood_ratio_test(straight, curved).mixture == ((3, 1.0),)
    # Without the rows, a column is known by its name only.
    with pytest.raises(ModelError, match="not, as far as can be told, within"):
        likelihood_ratio_test(straight, replace(curved, rows=None))


def test_columns_that_the_rows_of_the_larger_model_do_not_have_cannot_be_told():
    rows = data().with_columns(months=12 * pl.col("years"))
    straight = fit("y ~ months + (1 | participant_id)", rows, reml=False)
    with pytest.raises(ModelError, match="does not hold months"):
        likelihood_ratio_test(straight, fit("y ~ years * age + (1 | participant_id)", rows, reml=False))


def test_models_that_are_not_nested_are_refused():
    rows = data()
    pairs = [
        ("y ~ age + (1 | participant_id)", LEVEL),
        (SLOPE, LEVEL),
        (SLOPE, UNCORRELATED),
        ("y ~ years + (1 | participant_id)", "y ~ years + (0 + years | participant_id)"),
        ("y ~ cr(years, df=3) + (1 | participant_id)", "y ~ cr(years, df=4) + (1 | participant_id)"),
    ]
    for smaller, larger in pairs:
        with pytest.raises(ModelError, match="information_criteria"):
            likelihood_ratio_test(fit(smaller, rows, reml=False), fit(larger, rows, reml=False))


def test_a_model_against_itself_is_refused():
    with pytest.raises(ModelError, match="the same parameters"):
        likelihood_ratio_test(fit(SLOPE, data()), fit(SLOPE, data()))


def test_restricted_likelihoods_with_other_fixed_columns_are_refused():
    older = fit("y ~ years + age + (1 | participant_id)", data())
    with pytest.raises(ModelError, match="reml=False"):
        likelihood_ratio_test(fit(LEVEL, data()), older)
    with pytest.raises(ModelError, match="One model was fitted by REML"):
        likelihood_ratio_test(fit(LEVEL, data(), reml=False), older)


def test_fits_of_other_data_are_refused():
    rows = data()
    smaller = fit(LEVEL, rows, reml=False)
    nudged = pl.when(pl.int_range(pl.len()) == 5)
    others = {
        "participants": rows.filter(pl.col("participant_id") != rows["participant_id"][0]),
        "visits": rows[1:],
        "response": rows.with_columns(nudged.then(pl.col("y") + 1e-3).otherwise(pl.col("y")).alias("y")),
    }
    for what, other in others.items():
        with pytest.raises(ModelError, match=f"the same {what}"):
            likelihood_ratio_test(smaller, fit(SLOPE, other, reml=False))
    moved = rows.with_columns(nudged.then(pl.col("years") + 0.01).otherwise(pl.col("years")).alias("years"))
    with pytest.raises(ModelError, match="the same visits"):
        likelihood_ratio_test(smaller, fit(SLOPE, moved, reml=False))
    twice = rows.with_columns(w=pl.lit(2))
    with pytest.raises(ModelError, match="the same weights"):
        likelihood_ratio_test(smaller, fit(SLOPE, twice, reml=False, weights="w", weights_kind="frequency"))


def test_a_larger_model_below_the_smaller_is_not_believed():
    smaller, larger = fit(LEVEL, data(), reml=False), fit(SLOPE, data(), reml=False)
    with pytest.raises(ModelError, match="did not reach the optimum"):
        likelihood_ratio_test(smaller, replace(larger, log_likelihood=smaller.log_likelihood - 1))
    unsure = likelihood_ratio_test(replace(smaller, converged=False), larger)
    assert unsure.notes == ("The search of the smaller model did not converge.",)


# --- information criteria ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", ["AIC", "BIC", "parameters"])
def test_information_criteria_are_those_of_lme4(quantity):
    for row in expected(quantity):
        found = information_criteria(fit(row["formula"], data(row["dataset"]), reml=row["reml"] == "TRUE"))
        assert getattr(found, quantity.lower()) == pytest.approx(row["value"], abs=1e-8), row


def test_bic_by_participants_counts_people():
    found = information_criteria(fit(LEVEL, data()))
    assert (found.participants, found.visits) == (36, 162)
    assert found.bic - found.bic_participants == pytest.approx(found.parameters * np.log(162 / 36))


def test_sampling_weights_leave_no_likelihood_to_compare():
    rows = data().with_columns(w=1.0 + pl.col("progressor"))
    level, slope = (fit(text, rows, reml=False, weights="w", weights_kind="sampling") for text in (LEVEL, SLOPE))
    for ask in (lambda: information_criteria(level), lambda: likelihood_ratio_test(level, slope)):
        with pytest.raises(ModelError, match="pseudo-likelihood"):
            ask()


def replicated() -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = data().with_columns(w=1 + pl.col("progressor"))
    again = rows.filter(pl.col("progressor") == 1).with_columns(participant_id=pl.col("participant_id") + "again")
    return rows, pl.concat([rows, again])


def test_frequency_weights_count_as_replicates():
    rows, twice = replicated()
    weighted, copied = fit(SLOPE, rows, weights="w", weights_kind="frequency"), fit(SLOPE, twice)
    one, other = information_criteria(weighted), information_criteria(copied)
    assert (one.visits, one.participants) == (other.visits, other.participants)
    assert (one.aic, one.bic, one.bic_participants) == pytest.approx((other.aic, other.bic, other.bic_participants))
    assert list(vars(r_squared(weighted)).values()) == pytest.approx(list(vars(r_squared(copied)).values()))
    assert icc(weighted) == pytest.approx(icc(copied))


# --- R2 and ICC --------------------------------------------------------------------------------------------------


def test_r_squared_and_icc_are_those_written_out_in_r():
    for quantity in ("marginal", "conditional", "icc", "icc_first_row"):
        for row in expected(quantity):
            rows = data(row["dataset"])
            found = fit(row["formula"], rows, reml=row["reml"] == "TRUE")
            value = {
                "marginal": lambda found=found: r_squared(found).marginal,
                "conditional": lambda found=found: r_squared(found).conditional,
                "icc": lambda found=found: icc(found),
                "icc_first_row": lambda found=found, rows=rows: icc(found, rows[:1])["icc"][0],
            }[quantity]()
            # lme4 stops its search where the likelihood is flat to some 1e-9, and shares are known to the root of that.
            assert value == pytest.approx(row["value"], abs=2e-5), row


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ years * progressor + age + (1 + years | participant_id)",
        "y ~ bs(years, df=3) + (1 + years || participant_id)",
        "y ~ 0 + years + (1 | participant_id)",
        "y ~ 0 + age + (0 + years | participant_id)",
    ],
)
def test_the_sums_give_what_the_rows_give(formula):
    found = fit(formula, data())
    shares = r_squared(found)
    X, Z = design_matrix(found, found.rows), random_design_matrix(found, found.rows)
    fixed = np.var(X @ found.coefficients, ddof=1)
    random = np.mean([z @ found.random_covariance @ z for z in Z])
    total = fixed + random + found.residual_variance
    assert shares.marginal == pytest.approx(fixed / total, rel=1e-9)
    assert shares.conditional == pytest.approx((fixed + random) / total, rel=1e-9)
    assert icc(found) == pytest.approx(random / (random + found.residual_variance), rel=1e-9)


def test_without_intercept_and_rows_the_variance_of_the_fixed_part_is_not_known():
    bare = replace(fit("y ~ 0 + age + (0 + years | participant_id)", data()), rows=None)
    with pytest.raises(ModelError, match="no intercept"):
        r_squared(bare)
    assert 0 < icc(bare) < 1


def test_icc_follows_the_covariates_and_keeps_the_kind_of_frame():
    found = fit(SLOPE, data())
    at = pd.DataFrame({"years": [0.0, 5.0, None], "label": ["a", "b", "c"]})
    given = icc(found, at)
    assert list(given.columns) == ["years", "label", "icc"]
    for years, share in zip(at["years"][:2], given["icc"][:2], strict=True):
        between = np.array([1, years]) @ found.random_covariance @ np.array([1, years])
        assert share == pytest.approx(between / (between + found.residual_variance))
    assert given["icc"].isna().tolist() == [False, False, True]


def test_the_icc_of_a_random_intercept_is_the_same_everywhere():
    found = fit(LEVEL, data())
    assert icc(found, data())["icc"].to_list() == pytest.approx([icc(found)] * data().height)


def test_the_icc_does_not_overwrite_a_column():
    with pytest.raises(ColumnError, match="already has a column icc"):
        icc(fit(LEVEL, data()), data().with_columns(icc=0))


@pytest.mark.parametrize("seed", range(12))
def test_a_variance_that_is_estimated_as_zero_has_a_p_value_of_one(seed):
    random = np.random.default_rng(seed)
    person, years = np.repeat(np.arange(20), 4), np.tile(np.arange(4.0), 20)
    y = 2 + 0.3 * years + random.normal(size=20)[person] + 0.5 * random.normal(size=80)
    rows = pl.DataFrame({"participant_id": person, "years": years, "y": y})
    larger = fit(UNCORRELATED, rows)
    test = likelihood_ratio_test(fit(LEVEL, rows), larger)
    if larger.at_boundary:
        assert (test.statistic, test.p_value) == (0.0, 1.0)
    else:
        assert 0 < test.p_value < 0.5
