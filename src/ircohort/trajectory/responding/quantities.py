"""Slopes and total changes read off a fit of phases, each with its reason where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import expm1

import polars as pl

from ircohort.lmm import Fit, contrasts
from ircohort.trajectory.record import Outcome
from ircohort.trajectory.responding.layout import LATENESS, Plan
from ircohort.trajectory.responding.record import ResponseSettings

ESTIMATES = {
    "outcome": pl.String,
    "quantity": pl.String,
    "years": pl.Float64,
    "reading_before": pl.String,
    "estimate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "unit": pl.String,
    "status": pl.String,
    "reason": pl.String,
}
"""Columns of the tables of slopes and of totals; slopes are without ``years``."""

ESTIMATED, UNSUPPORTED = "estimated", "not_shown"


@dataclass(frozen=True)
class Quantity:
    """A combination of terms: ``weights`` by term, or None and the reason why not."""

    name: str
    years: float | None
    weights: Mapping[str, float] | None
    reason: str = ""


def slopes_of(plan: Plan) -> list[Quantity]:
    """List the slopes and their differences."""
    early = {"response": 1.0 / plan.bend}
    before, later = {"before": 1.0}, {"later": 1.0}
    asked: list[tuple[str, Mapping[str, float], tuple[str, ...]]] = [
        ("slope_before", before, ()),
        ("slope_early", early, ("early",)),
        ("slope_late", later, ("early",)),
        ("early_against_before", early | {"before": -1.0}, ("early",)),
        ("late_against_early", later | {"response": -1.0 / plan.bend}, ("early",)),
        ("late_against_before", later | {"before": -1.0}, ("early",)),
    ]
    if not plan.early:
        asked.append(("slope_after", later, ()))
    return [Quantity(name, None, *_possible(plan, weights, needs)) for name, weights, needs in asked]


def totals_of(plan: Plan, settings: ResponseSettings) -> list[Quantity]:
    """List the changes since the start, at the end of the early phase (or by the first visits) and at each year."""
    listed: list[Quantity] = []
    for year in sorted({plan.bend, *settings.at_years}):
        weights, reason = _change_by(plan, year, settings.min_people)
        listed.append(Quantity("change", year, weights, reason))
        beyond = None if weights is None else {**weights, "before": -year}
        possible = (None, reason) if beyond is None else _possible(plan, beyond, ())
        listed.append(Quantity("change_beyond_slope_before", year, *possible))
    return listed


def _change_by(plan: Plan, year: float, least: int) -> tuple[Mapping[str, float] | None, str]:
    if year != plan.bend and plan.near.get(year, 0) < least:
        return (
            None,
            f"fewer than {least} people have a reading within half a year of it ({plan.near.get(year, 0)} have)",
        )
    if year * LATENESS < plan.bend and not plan.early:
        return None, "it lies before the usual time of the first reading after the start"
    if year > plan.bend * LATENESS and "later" not in plan.terms:
        return None, plan.absent["later"]
    weights = {"response": min(year / plan.bend, 1.0)}
    if year > plan.bend and "later" in plan.terms:
        weights["later"] = year - plan.bend
    return weights, ""


def _possible(plan: Plan, weights: Mapping[str, float], needs: Sequence[str]) -> tuple[Mapping[str, float] | None, str]:
    """Give the weights back if the model has all their terms, else the reason why not."""
    lacking = [name for name in (*needs, *weights) if name in plan.absent]
    return (None, plan.absent[lacking[0]]) if lacking else (weights, "")


def estimate(
    found: Fit, plan: Plan, quantities: Sequence[Quantity], covariance: str, *, suffix: str = ""
) -> pl.DataFrame:
    """Estimate quantities from a fit; ``suffix`` names the terms of the difference between groups.

    Returns
    -------
    polars.DataFrame
        Columns :data:`ESTIMATES`.
    """
    named = {str(k): q.weights for k, q in enumerate(quantities) if q.weights is not None}
    terms = {key: {f"{name}{suffix}": weight for name, weight in weights.items()} for key, weights in named.items()}
    table = contrasts(found, terms, covariance=covariance) if terms else None
    rows = iter([] if table is None else table.iter_rows(named=True))
    return pl.DataFrame(
        [_row(plan, quantity, next(rows) if quantity.weights is not None else None) for quantity in quantities],
        schema=ESTIMATES,
        orient="row",
    )


def _row(plan: Plan, quantity: Quantity, found: Mapping[str, float] | None) -> tuple[object, ...]:
    unit = unit_of(plan.outcome) + (" per year" if quantity.years is None else "")
    key = (plan.outcome.column, quantity.name, quantity.years, plan.reading_before)
    if found is None:
        return (*key, None, None, None, None, unit, UNSUPPORTED, quantity.reason)
    shown = (as_shown(plan.outcome, found[name]) for name in ("estimate", "low", "high"))
    return (*key, *shown, found["p_value"], unit, ESTIMATED, "")


def unit_of(outcome: Outcome) -> str:
    """Name the unit of a change: % of a log outcome, else that of the outcome."""
    return "%" if outcome.log else outcome.unit


def as_shown(outcome: Outcome, value: float | None) -> float | None:
    """Turn a change on the scale of the model into % for a log outcome.

    Examples
    --------
    >>> from ircohort.trajectory.record import OUTCOMES
    >>> as_shown(OUTCOMES["homa_ir"], 0.0), as_shown(OUTCOMES["glucose_mg_dl"], -0.1)
    (0.0, -0.1)
    """
    return value if value is None or not outcome.log else expm1(value) * 100.0
