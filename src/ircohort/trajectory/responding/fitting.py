"""Fit a planned model with as much random part as the visits hold, and say what was left behind."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ircohort.errors import ModelError
from ircohort.lmm import Fit, fit, fit_with_fallback

GROUP = "participant_id"

FULL = "1 + since + response"
"""A level, a slope, and a change after the start beyond that slope, of each person's own."""

RANDOM_PARTS = ((FULL,), ("1 + since", "1 + response"))
"""Tried in this order before a random level alone; of those of equal size the more likely one is taken. That with a
slope may hold a spread that is one of slopes, so that it never tells of a spread of responses."""

IN_WORDS = {
    FULL: "level, slope and response",
    "1 + since": "level and slope",
    "1 + response": "level and response",
    "1": "level",
    "": "nothing (least squares, cluster-robust)",
}


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit that holds: ``random`` is its random part, ``left`` says what was left behind and why."""

    fit: Fit
    random: str
    left: tuple[str, ...]


def fit_planned(fixed: str, rows: pl.DataFrame) -> Fitted:
    """Fit ``fixed`` with the largest random part that is not singular.

    Raises
    ------
    ModelError
        If the fixed part cannot be fitted either.
    """
    left: list[str] = []
    for parts in RANDOM_PARTS:
        tried = [(part, attempt(fixed, part, rows)) for part in parts]
        sound = [(part, found) for part, found in tried if isinstance(found, Fit) and is_sound(found)]
        if sound:
            part, best = max(sound, key=lambda one: one[1].log_likelihood)
            return Fitted(best, part, tuple(left))
        left += [f"A random {IN_WORDS[part]} was left behind: {_why(found)}" for part, found in tried]
    last = fit_with_fallback(f"{fixed} + (1 | {GROUP})", rows)
    return Fitted(last, "" if last.engine == "ols" else "1", (*left, *last.messages))


def attempt(fixed: str, random: str, rows: pl.DataFrame) -> Fit | ModelError:
    """Fit one model, or give the reason why not."""
    try:
        return fit(f"{fixed} + ({random} | {GROUP})", rows)
    except ModelError as refusal:
        return refusal


def is_sound(found: Fit) -> bool:
    """Tell whether a fit has converged away from its boundary."""
    return found.converged and not found.at_boundary


def _why(found: Fit | ModelError) -> str:
    if isinstance(found, ModelError):
        return found.what
    return found.boundary_direction or "it did not converge."
