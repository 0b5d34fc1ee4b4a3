"""The rules of normalisation by name: what each does with a row or a value, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

OUTCOMES = ("used", "rejected", "merged", "set_aside", "not_asked_for")
"""The five classes of the ledger; every row and every value is in exactly one."""


@dataclass(frozen=True)
class Rule:
    """One rule: its name, the class it puts a value in, what it says, and the analytes it concerns (all if empty)."""

    name: str
    outcome: str
    reason: str
    analytes: tuple[str, ...] = ()


_BLOOD = ("glucose", "insulin", "triglycerides", "hdl", "c_peptide")

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Rule("ragged_row", "rejected", "the row has another number of cells than the header"),
            Rule("no_participant", "rejected", "no participant identifier: empty, or the key led to no row"),
            Rule("unmatched_pattern", "rejected", "the cell is not of the pattern stated for its column"),
            Rule("unreadable_date", "rejected", "the date, day or year is not of the stated form"),
            Rule("ambiguous_date", "rejected", "two of the stated forms read different days"),
            Rule("future_date", "rejected", "the date lies after the last day that a visit can have"),
            Rule("before_birth", "rejected", "the date of the visit lies before the birth of the participant"),
            Rule("unreadable_value", "rejected", "not a number, nor a number with < or > before it"),
            Rule("implausible_value", "rejected", "outside what a living person can show in the stated unit"),
            Rule("unreadable_context", "rejected", "not one of the values that this context column may hold"),
            Rule("unknown_unit", "rejected", "the row states no unit, or one that is not read for this analyte"),
            Rule(
                "conflicting_duplicate", "rejected", "another value of the same participant, time and analyte differs"
            ),
            Rule("later_duplicate", "rejected", "an earlier line holds the value of the same participant and time"),
            Rule(
                "identical_duplicate", "merged", "the same participant, time, analyte and value stand on another line"
            ),
            Rule("averaged_duplicate", "merged", "averaged with the other values of the same participant and time"),
            Rule(
                "not_fasting",
                "set_aside",
                "the draw is stated as not fasting",
                ("glucose", "insulin", "triglycerides", "c_peptide"),
            ),
            Rule(
                "on_treatment", "set_aside", "on a glucose-lowering drug", ("glucose", "insulin", "hba1c", "c_peptide")
            ),
            Rule("on_insulin", "set_aside", "on insulin therapy", ("glucose", "insulin", "hba1c", "c_peptide")),
            Rule("pregnant", "set_aside", "pregnant at the draw", (*_BLOOD, "hba1c", "bmi", "waist")),
            Rule("ill", "set_aside", "acutely ill at the draw", _BLOOD),
            Rule("unreadable_flag", "set_aside", "a flag of the draw could not be read"),
            Rule("later_in_window", "set_aside", "an earlier day of the same draw holds a value of the same analyte"),
            Rule("dropped_censored", "set_aside", "below or above a limit of detection, dropped by the policy"),
            Rule("no_value", "not_asked_for", "the row holds none of the analytes that are read"),
            Rule("not_referred_to", "not_asked_for", "no laboratory row leads to this row of a joined table"),
        )
    }
)
