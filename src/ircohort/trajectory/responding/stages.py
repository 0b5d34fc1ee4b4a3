"""The response by the stage in which people start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from ircohort.errors import ModelError
from ircohort.lmm import collinear_columns, contrasts, wald_test
from ircohort.schema import GLYCAEMIA
from ircohort.trajectory.responding.fitting import GROUP, fit_planned
from ircohort.trajectory.responding.layout import LEVEL, Plan
from ircohort.trajectory.responding.quantities import ESTIMATED, UNSUPPORTED, as_shown, unit_of
from ircohort.trajectory.responding.record import ResponseSettings

STAGE_RANKS = {"sensitive": 0, "compensated": 1, "prediabetes": 2, "diabetes": 3}
"""From the best to the worst."""

STAGES = {
    "outcome": pl.String,
    "stage": pl.String,
    "n_participants": pl.Int64,
    "years": pl.Float64,
    "estimate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "unit": pl.String,
    "status": pl.String,
    "reason": pl.String,
}
STAGE_TESTS = {
    "outcome": pl.String,
    "F": pl.Float64,
    "df1": pl.Float64,
    "df2": pl.Float64,
    "p_value": pl.Float64,
}

TOO_FEW = "too_few"


def judged_states(aligned: pl.DataFrame) -> pl.DataFrame | None:
    """Give the rank of the state at each visit that shows one, the worse of two at one time; None without states."""
    ranks = {**STAGE_RANKS, GLYCAEMIA[0]: 0}
    column = next((name for name in ("state", "glycaemia") if name in aligned.columns), None)
    if column is None:
        return None
    rank = pl.col(column).cast(pl.String).replace_strict(ranks, default=None, return_dtype=pl.Int64)
    return (
        aligned.select("participant_id", pl.col("years_since_intervention").alias("since"), rank.alias("rank"))
        .drop_nulls()
        .group_by("participant_id", "since")
        .agg(pl.col("rank").max())
        .sort("participant_id", "since")
    )


def stage_at_start(judged: pl.DataFrame) -> pl.DataFrame:
    """Give each participant's stage at the last judged visit at or before the start.

    Parameters
    ----------
    judged
        ``participant_id``, ``since``, ``rank`` (of :data:`STAGE_RANKS`); one row per person and time.

    Examples
    --------
    >>> stage_at_start(pl.DataFrame({"participant_id": ["a"] * 3, "since": [-1.0, 0.0, 1.0], "rank": [0, 1, 0]})).rows()
    [('a', 'compensated', 1)]
    """
    names = {rank: name for name, rank in STAGE_RANKS.items()}
    last = judged.filter(pl.col("since") <= 0).sort(GROUP, "since").group_by(GROUP, maintain_order=True).last()
    stage = pl.col("rank").replace_strict(names, return_dtype=pl.String)
    return last.select(GROUP, stage.alias("stage"), "rank")


def by_stage(
    plan: Plan, at_start: pl.DataFrame, settings: ResponseSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Give the change by the end of the early phase for each stage, the test that all are alike, and notes.

    Every stage has a level, slopes and a reading before of its own, because the reading that says the stage is
    selected by it; random effects and measurement variation are shared.
    """
    rows = plan.rows.join(at_start, on=GROUP, maintain_order="left")
    sizes = _people(rows)
    base = {"outcome": plan.outcome.column, "years": plan.bend, "unit": unit_of(plan.outcome)}
    enough = [name for name in STAGE_RANKS if sizes.get(name, 0) >= settings.min_people]
    listed = {
        name: dict.fromkeys(STAGES)
        | base
        | {"stage": name, "n_participants": sizes.get(name, 0), "status": TOO_FEW}
        | {"reason": f"fewer than {settings.min_people} people with readings on both sides of the start"}
        for name in STAGE_RANKS
    }
    if not enough:
        return list(listed.values()), [], []
    rows = rows.filter(pl.col("stage").is_in(enough))
    rows, fixed, dropped = _fixed(plan, rows, enough)
    notes = [f"By stage, {plan.outcome.label}: {', '.join(dropped)} cannot be told apart."] if dropped else []
    lacking = [name for name in enough if f"response_{name}" in dropped]
    try:
        if lacking:
            raise ModelError(f"The visits show no change after the start in {', '.join(lacking)}.")
        found = fit_planned(fixed, rows).fit
    except ModelError as refusal:
        for name in enough:
            listed[name] |= {"status": UNSUPPORTED, "reason": f"it cannot be fitted: {refusal.what}"}
        return list(listed.values()), [], notes
    terms = {name: {f"response_{name}": 1.0} for name in enough}
    for row in contrasts(found, terms, covariance=settings.covariance).iter_rows(named=True):
        numbers = {key: as_shown(plan.outcome, row[key]) for key in ("estimate", "low", "high")}
        listed[row["contrast"]] |= numbers | {"status": ESTIMATED, "reason": ""}
    if len(enough) < 2:
        return list(listed.values()), [], notes
    against = {name: {f"response_{name}": 1.0, f"response_{enough[0]}": -1.0} for name in enough[1:]}
    test = wald_test(found, against, covariance=settings.covariance).row(0, named=True)
    tested = {"outcome": plan.outcome.column} | {name: test[name] for name in ("F", "df1", "df2", "p_value")}
    return list(listed.values()), [tested], notes


def _people(rows: pl.DataFrame) -> dict[str, int]:
    since = pl.col("since")
    both = rows.group_by(GROUP).agg(pl.col("stage").first(), ((since <= 0).any() & (since > 0).any()).alias("both"))
    return dict(both.filter("both").group_by("stage").len().iter_rows())


def _fixed(plan: Plan, rows: pl.DataFrame, stages: Sequence[str]) -> tuple[pl.DataFrame, str, list[str]]:
    """Write each term once per stage, and leave out those that the visits cannot tell apart."""
    member = {name: (pl.col("stage") == name).cast(pl.Float64) for name in stages}
    levels = [member[name].alias(f"level_{name}") for name in stages[1:]]
    own = [(pl.col(term) * member[name]).alias(f"{term}_{name}") for term in plan.terms for name in stages]
    wide = rows.with_columns(*levels, *own)
    terms = [f"level_{name}" for name in stages[1:]] + [f"{term}_{name}" for term in plan.terms for name in stages]
    dependent = set(collinear_columns(f"{plan.outcome.response} ~ {' + '.join(terms)} + {LEVEL}", wide))
    kept = [name for name in terms if name not in dependent]
    return wide, f"{plan.outcome.response} ~ {' + '.join(kept)}", [name for name in terms if name in dependent]
