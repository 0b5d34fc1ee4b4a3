"""The findings in sentences: what was found, what was not, and what the design cannot show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ircohort.trajectory.responding.fitting import FULL, IN_WORDS, Fitted
from ircohort.trajectory.responding.layout import Plan
from ircohort.trajectory.responding.quantities import ESTIMATED
from ircohort.trajectory.responding.record import AS_OTHERS, ResponseSettings

Rows = Sequence[Mapping[str, Any]]

SPEAKS = 0.05
"""At a p-value below this a sentence says that a change was seen."""


def general_notes(
    counts: Mapping[str, int], settings: ResponseSettings, *, treated: int, staged: bool
) -> tuple[str, ...]:
    """Say who entered, and what no analysis of these people can show."""
    notes = [f"{counts['intervention']} people have a stated intervention."]
    if counts.get("intervention_undated"):
        notes.append(f"The interventions of {counts['intervention_undated']} more cannot be set in time.")
    if counts["visits_unusual"]:
        notes.append(f"{counts['visits_unusual']} visits not fasting, ill or pregnant were left out.")
    if treated:
        notes.append(
            f"{treated} people are recorded on a glucose-lowering drug or insulin after the start; their readings "
            "count as they are: what the drug does is part of the response, and a recovery may be the drug's."
        )
    if not staged:
        notes.append("Visits have neither state nor glycaemia: stages, recovery and relapse are not given.")
    if settings.comparison is None:
        notes.append(
            "There is no comparison group: what would have happened without the intervention is not known, and a "
            "change of slope may be ageing, season, another assay, or the end of a chance high reading."
        )
    else:
        notes.append(
            "The comparison group was not drawn by lot: people who choose an intervention, or are chosen for one, may "
            "differ in ways that were not recorded."
        )
    if settings.own_readings:
        notes.append(
            "A term for the last readings before the start takes their height out; it does not undo that, where the "
            "first high reading led to the intervention, the readings before it had to be low."
        )
    return (
        *notes,
        "People who came back for later visits may be those who responded; later years rest on them.",
    )


def outcome_notes(plan: Plan, fitted: Fitted, slopes: pl.DataFrame, totals: pl.DataFrame) -> list[str]:
    """Say how one outcome went after the start, in the headline and with the other treatment of the reading before."""
    notes = [_of_change(plan, totals)]
    if not plan.early:
        notes.append(f"{_title(plan)}: {plan.absent['early']}; slopes are those from {plan.bend:.1f} years on.")
    notes += [f"{_title(plan)}: {plan.absent[name]}." for name in ("before", "later") if name in plan.absent]
    bends = {row["quantity"]: row for row in _headline(plan, slopes) if row["status"] == ESTIMATED}
    if "early_against_before" in bends:
        notes.append(f"{_title(plan)}: the early slope {_differs(bends['early_against_before'], 'that before')}")
    if "late_against_early" in bends:
        notes.append(f"{_title(plan)}: the late slope {_differs(bends['late_against_early'], 'the early one')}")
    notes += _of_selection(plan, totals)
    if fitted.random != FULL:
        notes.append(f"{_title(plan)}: the visits hold no more than {IN_WORDS[fitted.random]} of each person's own.")
    return [*notes, *(f"{_title(plan)}: {sentence}" for sentence in fitted.left)]


def _title(plan: Plan) -> str:
    return plan.outcome.label[0].upper() + plan.outcome.label[1:]


def _headline(plan: Plan, table: pl.DataFrame) -> Rows:
    own = (pl.col("outcome") == plan.outcome.column) & (pl.col("reading_before") == plan.reading_before)
    return table.filter(own).rows(named=True)


def _of_change(plan: Plan, totals: pl.DataFrame) -> str:
    row = next(r for r in _headline(plan, totals) if r["quantity"] == "change" and r["years"] == plan.bend)
    said = f"{_title(plan)} changed by {_numbers(row)} by {plan.bend:.2g} years after the start"
    return f"{said}." if row["p_value"] < SPEAKS else f"{said}, which cannot be told from no change."


def _differs(row: Mapping[str, Any], other: str) -> str:
    return f"{'differs' if row['p_value'] < SPEAKS else 'cannot be told apart'} from {other}, by {_numbers(row)}."


def _numbers(row: Mapping[str, Any]) -> str:
    return f"{row['estimate']:.3g} {row['unit']} (95 % interval {row['low']:.3g} to {row['high']:.3g})"


def _of_selection(plan: Plan, totals: pl.DataFrame) -> list[str]:
    """Set the change with a term for the readings before beside that without."""
    if not plan.own:
        return [
            f"{_title(plan)}: the readings before the start enter as all others. Where the intervention was chosen for "
            "a high reading, part of the change is regression to the mean."
        ]
    change = totals.filter((pl.col("outcome") == plan.outcome.column) & (pl.col("quantity") == "change"))
    other = change.filter((pl.col("reading_before") == AS_OTHERS) & (pl.col("status") == ESTIMATED))
    if other.is_empty():
        return []
    row = other.row(0, named=True)
    return [
        f"{_title(plan)}: with the last readings before the start taken as all others, the change by "
        f"{row['years']:.2g} years would be {_numbers(row)}; the difference may be regression to the mean."
    ]


def spread_notes(rows: Rows) -> list[str]:
    """Say whether responses differ between people."""
    notes = []
    for row in rows:
        title = f"{row['label'][0].upper()}{row['label'][1:]}"
        where = " in the comparison group" if row["group"] == "comparison" else ""
        if row["status"] != ESTIMATED:
            notes.append(f"{title}: the spread of responses{where} is not given: {row['reason']}.")
        elif row["told_from_zero"]:
            notes.append(
                f"{title}: people differ{where} in their change beyond their own slope, with an SD of {row['sd']:.3g} "
                f"{row['unit']} (p = {row['p_value']:.2g}). Lasting shifts of any cause count as such, and "
                "curved courses, too; the spread in a comparison group shows how much."
            )
        else:
            notes.append(
                f"{title}: differences between people's responses{where} cannot be told from none "
                f"(p = {row['p_value']:.2g}); that is no sign that all respond alike."
            )
    return notes


def weight_notes(rows: Rows) -> list[str]:
    """Say how much of the first change goes with weight."""
    first = {row["outcome"]: row for row in reversed(rows) if row["share_with_weight"] is not None}
    notes = [_of_weight(row) for row in reversed(list(first.values()))]
    if notes:
        notes.append("What goes with BMI need not be due to it: what changes weight may change the marker by itself.")
    return notes


def _of_weight(row: Mapping[str, Any]) -> str:
    title = f"{row['label'][0].upper()}{row['label'][1:]}"
    share, low, high = (row[f"share_with_weight{end}"] for end in ("", "_low", "_high"))
    limits = "" if low is None else f" (95 % interval {round(100 * low)} to {round(100 * high)})"
    return f"{title}: {round(100 * share)} %{limits} of the change by {row['years']:.2g} years goes with BMI."


def stage_notes(stages: pl.DataFrame, tests: pl.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """Say whether the stages respond differently, and which were too few."""
    notes = [
        f"{labels[row['outcome']][0].upper()}{labels[row['outcome']][1:]}: the change by stage at the start "
        + ("differs" if row["p_value"] < SPEAKS else "cannot be told apart")
        + f" (p = {row['p_value']:.2g})."
        for row in tests.iter_rows(named=True)
        if row["p_value"] is not None
    ]
    if notes:
        notes.append(
            "The stage is read off the last visit before the start: who was there by chance moves back to the middle, "
            "and without a term for that reading the worse stages seem to gain more."
        )
    few = stages.filter(pl.col("status") == "too_few").group_by("stage", maintain_order=True).len()["stage"].to_list()
    if few:
        notes.append(f"Too few people start in these stages to say anything of them: {', '.join(few)}.")
    return notes


def recovery_notes(rows: Rows, unknown: int) -> list[str]:
    """Say how many recovered, and of them relapsed."""
    notes = []
    words = {"recovery": ("not in the best state at the start", "recovered"), "relapse": ("who recovered", "relapsed")}
    for kind, (whom, verb) in words.items():
        told = [row for row in rows if row["kind"] == kind and row["stage"] == "any" and row["share"] is not None]
        since = "the start" if kind == "recovery" else "recovery was first seen"
        notes += [
            f"Of people {whom}, {100 * row['share']:.0f} % {verb} by year {row['years']:g} after {since}."
            for row in told
        ]
        if not told:
            notes.append(f"How many people {whom} {verb} is not given: too few were followed.")
    notes.append(
        "A recovery is seen by two successive visits; near a cut-off two lucky readings are enough, and people who "
        "were chosen by one high reading recover without any cause."
    )
    if unknown:
        notes.append(f"{unknown} people have no judged visit at or before the start, so that their stage is not known.")
    return notes
