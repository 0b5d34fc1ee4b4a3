"""The response set against a comparison group: differences, and differences in differences."""

from __future__ import annotations

import polars as pl

from ircohort.trajectory.record import Outcome
from ircohort.trajectory.responding.fitting import fit_planned
from ircohort.trajectory.responding.layout import Plan, lay_out
from ircohort.trajectory.responding.quantities import estimate, slopes_of, totals_of
from ircohort.trajectory.responding.record import ResponseSettings

SUFFIX = "_case"


def beyond_comparison(table: pl.DataFrame, outcome: Outcome, settings: ResponseSettings, *, own: bool) -> pl.DataFrame:
    """Estimate slopes and changes of the intervention group minus those of the comparison group.

    One model of both groups, in which every phase has a term for the difference. Random parts and measurement
    variation are shared; matched sets are not modelled.

    Raises
    ------
    ModelError
        If a group is missing, or the visits of one do not hold the model.
    """
    plan = lay_out(table, outcome, settings, own=own)
    case = pl.col("intervened").cast(pl.Float64)
    rows = plan.rows.with_columns(case.alias("case"), *((pl.col(t) * case).alias(f"{t}{SUFFIX}") for t in plan.terms))
    terms = [*plan.terms, "case", *(f"{term}{SUFFIX}" for term in plan.terms)]
    found = fit_planned(f"{outcome.response} ~ {' + '.join(terms)}", rows).fit
    quantities = [*slopes_of(plan), *totals_of(plan, settings)]
    return estimate(found, plan, quantities, settings.covariance, suffix=SUFFIX)


def spread_plan(table: pl.DataFrame, plan: Plan, settings: ResponseSettings) -> Plan:
    """Lay out the comparison group by itself, as a plan of the intervention group was."""
    return lay_out(table.filter(~pl.col("intervened")), plan.outcome, settings, own=plan.own)
