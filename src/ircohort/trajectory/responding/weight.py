"""How much of a response goes with weight: the change since the start, as it is and at the same BMI."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from ircohort.errors import ModelError
from ircohort.lmm import Fit, contrasts, draw_weights, fit_with_fallback, gls_bootstrap
from ircohort.trajectory.responding.fitting import GROUP, Fitted, attempt, fit_planned
from ircohort.trajectory.responding.layout import Plan, people_near
from ircohort.trajectory.responding.quantities import (
    ESTIMATED,
    UNSUPPORTED,
    Quantity,
    as_shown,
    totals_of,
    unit_of,
)
from ircohort.trajectory.responding.record import ResponseSettings
from ircohort.trajectory.responding.spread import FEWEST_REFITS

_LIMITED = ("change", "at_same_bmi", "per_bmi", "share_with_weight")

WEIGHT = {
    "outcome": pl.String,
    "years": pl.Float64,
    **{f"{name}{end}": pl.Float64 for name in _LIMITED for end in ("", "_low", "_high")},
    "unit": pl.String,
    "n_participants": pl.Int64,
    "status": pl.String,
    "reason": pl.String,
}
"""Columns of the table of weight."""


def weight_of(plan: Plan, settings: ResponseSettings, seed: int) -> list[dict[str, Any]]:
    """Give the changes of one outcome with and without BMI as covariate, rows of :data:`WEIGHT`.

    BMI enters as its difference from the last one at or before the start, at the visits at which both were measured;
    both models are fitted to these, with one random part.
    """
    narrowed = _with_bmi_change(plan, settings)
    known = narrowed.rows[GROUP].n_unique()
    base: dict[str, Any] = dict.fromkeys(WEIGHT) | {
        "outcome": plan.outcome.column,
        "unit": unit_of(plan.outcome),
        "n_participants": known,
        "status": UNSUPPORTED,
    }
    if known < settings.min_people:
        return [base | {"reason": f"fewer than {settings.min_people} people have BMI before and after the start"}]
    try:
        plain = fit_planned(narrowed.fixed, narrowed.rows)
        adjusted = _adjusted(narrowed, plain)
    except ModelError as refusal:
        return [base | {"reason": f"it cannot be fitted at the visits with BMI: {refusal.what}"}]
    weights = draw_weights(known, settings.n_refits, seed)
    return [
        base | _row(narrowed, quantity, plain.fit, adjusted, weights, settings)
        for quantity in totals_of(narrowed, settings)
        if quantity.name == "change" and quantity.weights is not None
    ]


def _with_bmi_change(plan: Plan, settings: ResponseSettings) -> Plan:
    if "bmi" not in plan.rows.columns:
        return replace(plan, rows=plan.rows.clear())
    last = pl.when((pl.col("since") <= 0) & pl.col("bmi").is_not_null()).then("since")
    at_start = pl.col("bmi").filter(last.is_not_null() & (last == last.max())).first()
    rows = plan.rows.with_columns((pl.col("bmi") - at_start.over(GROUP)).alias("bmi_change"))
    kept = rows.filter(pl.col("bmi_change").is_not_null())
    return replace(plan, rows=kept, near=people_near(kept, settings))


def _adjusted(plan: Plan, plain: Fitted) -> Fit:
    found = attempt(f"{plan.fixed} + bmi_change", plain.random or "1", plan.rows)
    if isinstance(found, Fit) and found.converged:
        return found
    return fit_with_fallback(f"{plan.fixed} + bmi_change + (1 | {GROUP})", plan.rows)


def _row(
    plan: Plan, quantity: Quantity, plain: Fit, adjusted: Fit, weights: Any, settings: ResponseSettings
) -> dict[str, Any]:
    change = dict(quantity.weights or {})
    row: dict[str, Any] = {"years": quantity.years, "status": ESTIMATED, "reason": ""}
    of_plain = contrasts(plain, {"change": change}, covariance=settings.covariance).row(0, named=True)
    rest = contrasts(adjusted, {"change": change, "bmi": {"bmi_change": 1.0}}, covariance=settings.covariance)
    at_same, per_bmi = rest.iter_rows(named=True)
    for name, found in (("change", of_plain), ("at_same_bmi", at_same), ("per_bmi", per_bmi)):
        for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            row[f"{name}{end}"] = as_shown(plan.outcome, found[key])
    if of_plain["low"] * of_plain["high"] <= 0:
        return row | {"reason": "a change that cannot be told from none has no share that goes with weight"}
    row["share_with_weight"] = 1.0 - at_same["estimate"] / of_plain["estimate"]
    return row | _limits_of_share(plain, adjusted, change, weights, plan)


def _limits_of_share(plain: Fit, adjusted: Fit, change: dict[str, float], weights: Any, plan: Plan) -> dict[str, float]:
    """Bootstrap the share: the same people drawn for both models, variances held."""
    if len(weights) < FEWEST_REFITS:
        return {}
    ids = plan.rows[GROUP].unique().sort().to_list()
    drawn = []
    for found in (plain, adjusted):
        row = np.array([change.get(name, 0.0) for name in found.fixed_names])
        drawn.append(gls_bootstrap(found, weights, participant_ids=ids) @ row)
    shares = 1.0 - drawn[1] / drawn[0]
    shares = shares[np.isfinite(shares)]
    if len(shares) < FEWEST_REFITS:
        return {}
    low, high = np.quantile(shares, [0.025, 0.975])
    return {"share_with_weight_low": float(low), "share_with_weight_high": float(high)}
