"""How far the responses of people differ, and whether that can be told from no difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from ircohort.errors import ModelError
from ircohort.lmm import Fit, bootstrap, fit, likelihood_ratio_test, profile_intervals
from ircohort.trajectory.responding.fitting import FULL, GROUP
from ircohort.trajectory.responding.layout import Plan
from ircohort.trajectory.responding.quantities import ESTIMATED, UNSUPPORTED, as_shown, unit_of
from ircohort.trajectory.responding.record import ResponseSettings

Floats = NDArray[np.float64]

SPREAD = {
    "outcome": pl.String,
    "group": pl.String,
    "reading_before": pl.String,
    "years": pl.Float64,
    "sd": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "unit": pl.String,
    "p_value": pl.Float64,
    "told_from_zero": pl.Boolean,
    "share_improving": pl.Float64,
    "improving_low": pl.Float64,
    "improving_high": pl.Float64,
    "share_worsening": pl.Float64,
    "status": pl.String,
    "reason": pl.String,
}
"""Columns of the table of spreads."""

DOUBTFUL = 0.05
FEWEST_REFITS = 20
"""Of fewer refits no percentile is taken."""


def spread_of(plan: Plan, group: str, settings: ResponseSettings, seed: int, *, shares: bool = True) -> dict[str, Any]:
    """Measure the spread of the change beyond the own slope, as one row of :data:`SPREAD`.

    The SD is that of the random response beside a random level and slope; the test is that of the likelihood ratio
    against level and slope alone, whose reference is the mixture that belongs to a variance of zero. Readings that have
    a term of their own are left out: among people chosen by them, who has the lower level has the higher chance part in
    them, which a term for their mean does not take out, and which would pass for a spread of responses.
    """
    row: dict[str, Any] = dict.fromkeys(SPREAD)
    row |= {"outcome": plan.outcome.column, "group": group, "reading_before": plan.reading_before}
    row |= {"years": plan.bend, "unit": unit_of(plan.outcome)}
    plan = _without_selected(plan)
    try:
        larger, p_value = _tested(plan)
        limits = profile_intervals(larger, parameters=["sd(response)"]).row(0, named=True)
    except ModelError as refusal:
        return row | {"status": UNSUPPORTED, "reason": f"the visits do not hold it: {refusal.what}"}
    told = p_value < DOUBTFUL
    sd = float(np.sqrt(larger.random_covariance[-1, -1]))
    shown = (as_shown(plan.outcome, value) for value in (sd, limits["low"], limits["high"]))
    row |= dict(zip(("sd", "low", "high"), shown, strict=True))
    row |= {"p_value": p_value, "told_from_zero": told, "status": ESTIMATED, "reason": limits["note"]}
    if not told:
        return row | {"reason": "no spread can be told from none, so that shares are not given"}
    if not shares:
        return row | {"reason": "shares are given for the headline"}
    if "before" not in plan.terms:
        return row | {"reason": f"shares are not given: {plan.absent['before']}"}
    return row | _shares(larger, plan, settings, seed)


def _tested(plan: Plan) -> tuple[Fit, float]:
    """Fit level, slope and response, and test the last.

    Raises
    ------
    ModelError
        If the visits do not hold the model, or a search did not end.
    """
    random = ("1 + since", FULL)
    smaller, larger = (fit(f"{plan.fixed} + ({part} | {GROUP})", plan.rows) for part in random)
    if not (smaller.converged and larger.converged):
        raise ModelError("The model did not converge.")
    return larger, likelihood_ratio_test(smaller, larger).p_value


def _without_selected(plan: Plan) -> Plan:
    if not plan.own:
        return plan
    terms = tuple(name for name in plan.terms if name != "reading_before")
    return replace(plan, rows=plan.rows.filter(pl.col("reading_before") == 0), terms=terms)


def _shares(found: Fit, plan: Plan, settings: ResponseSettings, seed: int) -> dict[str, Any]:
    """Give the shares of true changes beyond the own slope for the better, and for the worse."""
    mean = _mean_beyond(found, plan)
    sd = np.sqrt(found.random_covariance[-1, -1])
    # What is raised by resistance improves by going down.
    sign = -plan.outcome.raised
    improving = float(ndtr(sign * mean(found.coefficients[None, :])[0] / sd))
    shares = {"share_improving": improving, "share_worsening": 1.0 - improving}
    if settings.n_refits < FEWEST_REFITS:
        return shares
    refits = bootstrap(found, n_refits=settings.n_refits, seed=seed)
    means, sds = mean(refits.coefficients), np.sqrt(refits.random_covariance[:, -1, -1])
    kept = np.isfinite(means) & np.isfinite(sds) & (sds > 0)
    if kept.sum() < FEWEST_REFITS:
        return shares
    low, high = np.quantile(ndtr(sign * means[kept] / sds[kept]), [0.025, 0.975])
    return shares | {"improving_low": float(low), "improving_high": float(high)}


def _mean_beyond(found: Fit, plan: Plan) -> Callable[[Floats], Floats]:
    """Give the function from coefficients (k, p) to the mean change beyond the slope before (k,)."""
    weights = {"response": 1.0, "before": -plan.bend}
    row = np.array([weights.get(name, 0.0) for name in found.fixed_names])
    return lambda coefficients: coefficients @ row
