"""What the report says of states over time: transitions, person-years, who came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ircohort import frames


@dataclass(frozen=True)
class StateTime:
    """Time in one state: ``share`` of the whole follow-up, None where there is none."""

    state: str
    person_years: float
    share: float | None
    people: int
    visits: int


@dataclass(frozen=True)
class Transition:
    """Steps from one state to another at the next visit that shows one; of ``followed`` steps so many ``settled``."""

    before: str
    after: str
    times: int
    people: int
    settled: int
    followed: int


@dataclass(frozen=True)
class Recovery:
    """People who reached a state, or one beyond it, and what became of them; two visits in a row each time."""

    state: str
    reached: int
    recovered: int
    relapsed: int


@dataclass(frozen=True)
class Movement:
    """How the states of the cohort follow each other."""

    time: tuple[StateTime, ...]
    transitions: tuple[Transition, ...]
    recovery: tuple[Recovery, ...]
    notes: tuple[str, ...]


def gather_movement(states: Any) -> Movement:
    """Gather it from a ``States``; steps that lead nowhere are left out, as are states that nobody was in."""
    years = frames.to_polars(states.person_years).filter(pl.col("n_visits") > 0).to_dicts()
    steps = frames.to_polars(states.transitions).filter(pl.col("change") != "same").to_dicts()
    returns = frames.to_polars(states.recovery).filter(pl.col("reached") > 0).to_dicts()
    whole = sum(row["person_years"] for row in years)
    return Movement(
        tuple(
            StateTime(
                row["state"],
                row["person_years"],
                row["person_years"] / whole if whole else None,
                row["n_participants"],
                row["n_visits"],
            )
            for row in years
        ),
        tuple(
            Transition(
                *(row[name] for name in ("from_state", "to_state", "n", "n_participants", "n_settled", "n_followed"))
            )
            for row in steps
        ),
        tuple(Recovery(row["state"], row["reached"], row["recovered"], row["relapsed"]) for row in returns),
        tuple(states.notes),
    )
