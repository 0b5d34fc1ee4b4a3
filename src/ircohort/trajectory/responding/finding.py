"""From visits with a stated intervention to what followed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from ircohort.errors import FormulaError, ModelError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm import Fit
from ircohort.schema import VISITS, require
from ircohort.trajectory.alignment import Alignment, align_to_intervention
from ircohort.trajectory.record import OUTCOMES, Outcome
from ircohort.trajectory.responding.beyond import beyond_comparison, spread_plan
from ircohort.trajectory.responding.fitting import IN_WORDS, Fitted, fit_planned
from ircohort.trajectory.responding.layout import Plan, lay_out
from ircohort.trajectory.responding.narrative import (
    general_notes,
    outcome_notes,
    recovery_notes,
    spread_notes,
    stage_notes,
    weight_notes,
)
from ircohort.trajectory.responding.quantities import ESTIMATES, estimate, slopes_of, totals_of
from ircohort.trajectory.responding.record import OWN_TERM, InterventionResponse, ResponseSettings
from ircohort.trajectory.responding.recovery import RECOVERY, recovery_of
from ircohort.trajectory.responding.spread import SPREAD, spread_of
from ircohort.trajectory.responding.stages import STAGE_TESTS, STAGES, by_stage, judged_states, stage_at_start
from ircohort.trajectory.responding.weight import WEIGHT, weight_of

SUPPORT = {
    "outcome": pl.String,
    "reading_before": pl.String,
    **dict.fromkeys(("n_participants", "n_visits", "n_both_sides", "n_slope_before", "n_early", "n_late"), pl.Int64),
    "random_part": pl.String,
}

_UNRELIABLE = ("ill", "pregnant")
_DRUGS = ("glucose_lowering_drug", "insulin_therapy")


@dataclass(eq=False)
class _Gathered:
    """Rows of all tables as they come, outcome by outcome."""

    slopes: list[pl.DataFrame] = field(default_factory=list)
    totals: list[pl.DataFrame] = field(default_factory=list)
    beyond: list[pl.DataFrame] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in ("spread", "weight", "stages", "stage_tests", "support")}
    )
    fits: dict[str, Fit] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def intervention_response(
    visits: Any, intervention: str, settings: ResponseSettings | None = None, *, seed: int = 0
) -> InterventionResponse:
    """Describe what followed a stated intervention, early and late, and how far people differ in it.

    For each outcome a linear mixed model on the years since the start: a slope before, a slope from the start to
    ``early_years``, and one after; random level, slope, and change by ``early_years`` beyond that slope, as far as the
    visits hold them. Where fewer than ``min_people`` people have a reading in the early phase, as with yearly visits,
    an early and a late slope are refused, and the model bends at the usual time of the first reading after the start
    instead. Visits not fasting, ill or pregnant are left out.

    Parameters
    ----------
    visits
        VISITS with outcomes, and ``state`` (or ``glycaemia``) for stages, recovery and relapse; pandas or polars.
    intervention
        A column with one date, or one time on the axis ``years``, per participant; null for people without.
    settings
        Phases, outcomes, comparison group.
    seed
        Of the bootstrap. A comparison group is drawn by the seed of its own.

    Returns
    -------
    InterventionResponse
        The record; an outcome that cannot be fitted is left out, and a note says why.

    Raises
    ------
    ColumnError
        If the column of the intervention is absent, is neither date nor number, or differs within a participant.
    ModelError
        If nobody has an intervention, or no outcome can be fitted.

    Source
    ------
    Segments before and after an intervention: Wagner 2002, J Clin Pharm Ther 27:299,
    doi:10.1046/j.1365-2710.2002.00430.x. Regression to the mean: Barnett 2005, Int J Epidemiol 34:215,
    doi:10.1093/ije/dyh299. Relapse with regained weight: Beavers 2014.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.tile(np.array([-2.0, -1.5, -1.0, -0.5, 0.25, 0.5, 1.0, 2.0]), 40)
    >>> person = np.repeat(np.arange(40), 8)
    >>> glucose = 100.0 + person % 7 + t - 6.0 * np.clip(2 * t, 0, 1) + np.sin(7.0 * np.arange(320))
    >>> visits = pl.DataFrame({"participant_id": person.astype(str), "years": t + 2, "programme": 2.0,
    ...                        "glucose_mg_dl": glucose})
    >>> found = intervention_response(visits, "programme", ResponseSettings(outcomes=("glucose_mg_dl",), n_refits=0))
    >>> change = found.totals.filter(quantity="change", years=0.5, reading_before="own_term")
    >>> change["estimate"].round(0).item()
    -6.0
    """
    chosen = settings or ResponseSettings()
    kind = kind_of(visits)
    usual, unusual = _usual(require(to_polars(visits), VISITS))
    aligned = align_to_intervention(usual, intervention)
    counts = {**aligned.counts, "visits_unusual": unusual}
    if not counts["intervention"]:
        raise ModelError(
            "Nobody has a dated intervention.", expected=f"A date or time in column {intervention}, for some people."
        )
    table = _table(aligned, chosen)
    judged = judged_states(aligned.visits)
    at_start = None if judged is None else stage_at_start(judged)
    against = _comparison_table(usual, intervention, chosen, counts)
    gathered = _Gathered()
    for name in chosen.outcomes:
        _follow(OUTCOMES[name], table, against, at_start, chosen, seed, gathered)
    if not gathered.fits:
        raise ModelError(
            "No outcome can be modelled on the time since the intervention.", expected=" ".join(gathered.refusals)
        )
    recovery = [] if judged is None or at_start is None else recovery_of(judged, at_start, chosen, seed)
    notes = [*general_notes(counts, chosen, treated=_treated(aligned.visits), staged=judged is not None)]
    notes += [*gathered.notes, *_closing_notes(gathered, recovery, at_start, counts)]
    return _record(gathered, recovery, counts, chosen, tuple(dict.fromkeys(notes)), kind)


def _usual(visits: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Leave out visits that do not show the usual state of a person."""
    aside = [pl.col(name).cast(pl.Boolean).fill_null(False) for name in _UNRELIABLE if name in visits.columns]
    if "fasting" in visits.columns:
        aside.append(~pl.col("fasting").cast(pl.Boolean).fill_null(True))
    kept = visits.filter(~pl.any_horizontal(pl.lit(False), *aside))
    return kept, visits.height - kept.height


def _table(aligned: Alignment, settings: ResponseSettings) -> pl.DataFrame:
    """Give the columns that models need, in an order that does not depend on that of the caller."""
    wanted = [name for name in dict.fromkeys((*settings.outcomes, "bmi")) if name in aligned.visits.columns]
    table = aligned.visits.select(
        pl.col("participant_id"), pl.col("years_since_intervention").alias("since"), "intervened", *wanted
    )
    return table.sort("intervened", "participant_id", "since", *wanted)


def _comparison_table(
    visits: pl.DataFrame, intervention: str, settings: ResponseSettings, counts: dict[str, int]
) -> pl.DataFrame | None:
    if settings.comparison is None:
        return None
    aligned = align_to_intervention(visits, intervention, settings.comparison)
    counts.update({name: count for name, count in aligned.counts.items() if name not in counts or name == "comparison"})
    return _table(aligned, settings)


def _treated(aligned: pl.DataFrame) -> int:
    on = [pl.col(name).cast(pl.Boolean).fill_null(False) for name in _DRUGS if name in aligned.columns]
    treated = aligned.filter((pl.col("years_since_intervention") > 0) & pl.any_horizontal(pl.lit(False), *on))
    return treated["participant_id"].n_unique()


def _follow(
    outcome: Outcome,
    table: pl.DataFrame,
    against: pl.DataFrame | None,
    at_start: pl.DataFrame | None,
    settings: ResponseSettings,
    seed: int,
    gathered: _Gathered,
) -> None:
    """Answer every question for one outcome."""
    if outcome.column not in table.columns or table[outcome.column].null_count() == table.height:
        gathered.refusals.append(f"{outcome.label} was not measured.")
        gathered.notes.append(f"{outcome.label} was left out: it was not measured.")
        return
    planned = _plans(outcome, table, settings, gathered)
    if not planned:
        return
    for plan, fitted in planned:
        slopes = estimate(fitted.fit, plan, slopes_of(plan), settings.covariance)
        gathered.slopes.append(slopes)
        gathered.totals.append(estimate(fitted.fit, plan, totals_of(plan, settings), settings.covariance))
        support = {name: plan.counts[name] for name in SUPPORT if name.startswith("n_")}
        key = {"outcome": outcome.column, "reading_before": plan.reading_before}
        gathered.rows["support"].append({**key, **support, "random_part": IN_WORDS[fitted.random]})
        shares = plan is planned[0][0]
        gathered.rows["spread"].append(spread_of(plan, "intervention", settings, seed, shares=shares))
    headline, fitted = planned[0]
    gathered.fits[outcome.column] = fitted.fit
    slopes, totals = pl.concat(gathered.slopes), pl.concat(gathered.totals)
    gathered.notes += outcome_notes(headline, fitted, slopes, totals)
    if outcome.column != "bmi":
        gathered.rows["weight"] += weight_of(headline, settings, seed)
    if at_start is not None:
        stages, tests, notes = by_stage(headline, at_start, settings)
        gathered.rows["stages"] += stages
        gathered.rows["stage_tests"] += tests
        gathered.notes += notes
    if against is not None:
        _set_against(headline, against, settings, seed, gathered)


def _plans(
    outcome: Outcome, table: pl.DataFrame, settings: ResponseSettings, gathered: _Gathered
) -> list[tuple[Plan, Fitted]]:
    """Plan and fit with a term for the readings before, which is the headline where it can be had, and without."""
    planned = []
    for own in (True, False) if settings.own_readings else (False,):
        try:
            plan = lay_out(table, outcome, settings, own=own)
            planned.append((plan, fit_planned(plan.fixed, plan.rows)))
        except (ModelError, FormulaError) as refusal:
            gathered.notes.append(f"{outcome.label}{', ' + OWN_TERM if own else ''}: {' '.join(str(refusal).split())}")
            gathered.refusals.append(f"{outcome.label}: {' '.join(str(refusal).split())}")
    return planned


def _set_against(
    headline: Plan, against: pl.DataFrame, settings: ResponseSettings, seed: int, gathered: _Gathered
) -> None:
    outcome = headline.outcome
    for own in (True, False) if headline.own else (False,):
        try:
            gathered.beyond.append(beyond_comparison(against, outcome, settings, own=own))
        except (ModelError, FormulaError) as refusal:
            words = " ".join(str(refusal).split())
            gathered.notes.append(f"{outcome.label} could not be set against the comparison group: {words}")
    try:
        plan = spread_plan(against, headline, settings)
    except (ModelError, FormulaError):
        return  # the same lack has just been said of the comparison group
    gathered.rows["spread"].append(spread_of(plan, "comparison", settings, seed))


def _closing_notes(
    gathered: _Gathered, recovery: list[dict[str, Any]], at_start: pl.DataFrame | None, counts: dict[str, int]
) -> list[str]:
    labels = {name: OUTCOMES[name].label for name in gathered.fits}
    headline = {name: [r for r in gathered.rows["spread"] if r["outcome"] == name] for name in labels}
    spread = [row for rows in headline.values() for row in rows if row["reading_before"] == rows[0]["reading_before"]]
    notes = spread_notes([row | {"label": labels[row["outcome"]]} for row in spread])
    notes += weight_notes([row | {"label": labels[row["outcome"]]} for row in gathered.rows["weight"]])
    if at_start is None:
        return notes
    stages = pl.DataFrame(gathered.rows["stages"], schema=STAGES)
    notes += stage_notes(stages, pl.DataFrame(gathered.rows["stage_tests"], schema=STAGE_TESTS), labels)
    return notes + recovery_notes(recovery, counts["intervention"] - at_start.height)


def _record(
    gathered: _Gathered,
    recovery: list[dict[str, Any]],
    counts: dict[str, int],
    settings: ResponseSettings,
    notes: tuple[str, ...],
    kind: Callable[[pl.DataFrame], Any],
) -> InterventionResponse:
    empty = pl.DataFrame(schema=ESTIMATES)
    rows = gathered.rows
    return InterventionResponse(
        slopes=kind(pl.concat([empty, *gathered.slopes]).drop("years")),
        totals=kind(pl.concat([empty, *gathered.totals])),
        beyond_comparison=kind(pl.concat([empty, *gathered.beyond])),
        spread=kind(pl.DataFrame(rows["spread"], schema=SPREAD)),
        weight=kind(pl.DataFrame(rows["weight"], schema=WEIGHT)),
        stages=kind(pl.DataFrame(rows["stages"], schema=STAGES)),
        stage_tests=kind(pl.DataFrame(rows["stage_tests"], schema=STAGE_TESTS)),
        recovery=kind(pl.DataFrame(recovery, schema=RECOVERY)),
        support=kind(pl.DataFrame(rows["support"], schema=SUPPORT)),
        fits={name: _of_kind(found, kind) for name, found in gathered.fits.items()},
        counts=counts,
        settings=settings,
        notes=notes,
    )


def _of_kind(found: Fit, kind: Callable[[pl.DataFrame], Any]) -> Fit:
    return replace(found, fixed=kind(found.fixed), random=kind(found.random), people=kind(found.people))
