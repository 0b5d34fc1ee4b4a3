"""The mixed model against lme4, on published experiments and on random designs.

reference/textbook_reference.R makes the tables of reference/textbook/, cites the experiments, and writes what lme4 says
of them; random_designs.py makes the designs, and reference/random_designs.R writes what lme4 says of these.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ircohort.lmm import design_matrix, fit, random_design_matrix
from random_designs import random_designs

REFERENCE = Path(__file__).parent / "reference"
KEY = ["dataset", "model", "reml"]

LIKELIHOOD = 1e-6
"""How far below lme4's log-likelihood, relative to it, a fit may end."""

AGREEMENT = 1e-7
"""How far above it a fit may end, relative to it, to count as the same optimum: a search that stops a millionth short
has its fixed effects some thousandths of a standard error away."""

SHARE_OF_ERROR = 1e-4
"""How far from lme4's a fixed effect may be, in its standard errors, where the likelihoods agree."""


def answers(name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    fits, estimates = (
        pl.read_csv(REFERENCE / f"{name}_{kind}.csv", infer_schema_length=None) for kind in ("fits", "estimates")
    )
    return fits, estimates


TEXTBOOK, TEXTBOOK_ESTIMATES = answers("textbook")
RANDOM, RANDOM_ESTIMATES = answers("random_designs")
DESIGNS = list(random_designs(RANDOM.height))
PAIRS = list(zip(DESIGNS, RANDOM.rows(named=True), strict=True))


def textbook(name: str) -> pl.DataFrame:
    return pl.read_csv(REFERENCE / "textbook" / f"{name}.csv")


def name_in_r(term: str) -> str:
    plain = re.sub(r"\[T\.([^]]*)\]", r"\1", term).replace("Intercept", "(Intercept)")
    return re.sub(r"=(\d+)\)", r" = \1)", re.sub(r"\[(\w+)\]", r"\1", plain))


def agree(ours, lme4) -> bool:
    return ours.log_likelihood - lme4["log_likelihood"] <= AGREEMENT * abs(lme4["log_likelihood"])


def of(lme4, estimates: pl.DataFrame, quantity: str) -> pl.DataFrame:
    return estimates.filter(quantity=quantity, **{name: lme4[name] for name in KEY})


def dense_log_likelihood(ours) -> float:
    """Compute the log-likelihood at the estimates from one covariance matrix per participant."""
    groups = ours.rows[ours.basis.formula.group].rle_id().to_numpy()
    X, Z = design_matrix(ours, ours.rows), random_design_matrix(ours, ours.rows)
    y = ours.rows["y"].to_numpy() - X @ ours.coefficients
    total, information = 0.0, np.zeros((X.shape[1],) * 2)
    for person in range(groups[-1] + 1):
        at = groups == person
        V = Z[at] @ ours.random_covariance @ Z[at].T + ours.residual_variance * np.eye(at.sum())
        total += y[at] @ np.linalg.solve(V, y[at]) + np.linalg.slogdet(V)[1]
        information += X[at].T @ np.linalg.solve(V, X[at])
    freedom = len(y) - (X.shape[1] if ours.reml else 0)
    fixed = np.linalg.slogdet(information)[1] if ours.reml else 0.0
    return -0.5 * (total + fixed + freedom * np.log(2 * np.pi))


def check_fit(ours, lme4, estimates: pl.DataFrame) -> None:
    assert ours.converged
    assert ours.visits == lme4["visits"]
    assert ours.log_likelihood >= lme4["log_likelihood"] - LIKELIHOOD * abs(lme4["log_likelihood"])
    # The coefficients of a natural spline depend on its basis, and that of R is another.
    if agree(ours, lme4) and "cr(" not in lme4["formula"]:
        theirs = of(lme4, estimates, "fixed")
        assert [name_in_r(name) for name in ours.fixed_names] == theirs["term"].to_list()
        apart = (ours.coefficients - theirs["value"].to_numpy()) / theirs["standard_error"].to_numpy()
        assert np.abs(apart).max() < SHARE_OF_ERROR
        errors = np.sqrt(np.diagonal(ours.fixed_covariance))
        assert errors == pytest.approx(theirs["standard_error"].to_numpy(), rel=1e-4)
    if not agree(ours, lme4):  # then it is lme4 that stopped short, and not the likelihood that is wrong
        assert ours.log_likelihood == pytest.approx(dense_log_likelihood(ours), rel=1e-9)


def named(row) -> str:
    return "-".join(str(row[name]) for name in KEY)


@pytest.mark.parametrize("lme4", TEXTBOOK.rows(named=True), ids=named)
def test_a_textbook_model_is_fitted_as_well_as_by_lme4(lme4):
    ours = fit(lme4["formula"], textbook(lme4["dataset"]), reml=lme4["reml"] == 1)
    check_fit(ours, lme4, TEXTBOOK_ESTIMATES)
    assert agree(ours, lme4)  # lme4 was asked three times over, and found the optimum of every one of these
    assert ours.at_boundary == (lme4["singular"] == 1)
    largest = np.diagonal(ours.random_covariance).max() + ours.residual_variance
    variances = of(lme4, TEXTBOOK_ESTIMATES, "covariance").filter(pl.col("term").str.ends_with(" NA"))["value"]
    expected = [*np.diagonal(ours.random_covariance), ours.residual_variance]
    assert variances.to_list() == pytest.approx(expected, rel=2e-3, abs=1e-6 * largest)


@pytest.mark.parametrize(("design", "lme4"), PAIRS, ids=[design.name for design in DESIGNS])
def test_a_random_design_is_fitted_as_well_as_by_lme4_or_better(design, lme4):
    assert (design.name, design.formula) == (lme4["dataset"], lme4["formula"])
    assert design.frame["y"].sum() == pytest.approx(lme4["sum_of_y"], rel=1e-12)  # the table that lme4 was given
    check_fit(fit(design.formula, design.frame, reml=design.reml), lme4, RANDOM_ESTIMATES)


def test_the_random_designs_hold_the_awkward_ones():
    spreads = {design.spread for design in DESIGNS}
    assert {"nobody differs", "no slopes", "correlation one", "tiny"} <= spreads
    assert {each.formula.count("||") for each in DESIGNS} == {0, 1}
    visits = [each.frame.group_by("id").len()["len"] for each in DESIGNS]
    assert any((counts == 1).any() for counts in visits)
    assert any(each.frame["years"].min() > 2000 for each in DESIGNS)
    assert any("years + x + w |" in each.formula for each in DESIGNS)
    assert {each.reml for each in DESIGNS} == {True, False}


def test_most_random_designs_have_the_optimum_of_lme4_and_so_are_compared_in_full():
    fits = [(fit(design.formula, design.frame, reml=design.reml), lme4) for design, lme4 in PAIRS[:20]]
    assert sum(agree(ours, lme4) for ours, lme4 in fits) >= 15


def test_lme4_by_its_defaults_stops_short_of_some_optima_that_are_found_here():
    short = RANDOM.filter(
        (pl.col("log_likelihood") - pl.col("by_default")) > LIKELIHOOD * pl.col("log_likelihood").abs()
    )
    assert short.height >= 10  # so that a log-likelihood above lme4's is no sign of a fault
