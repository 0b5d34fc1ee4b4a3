"""Which readings of an outcome models see."""

from __future__ import annotations

import polars as pl

from ircohort.schema import FAR_RATIO, READINGS_TO_COMPARE
from ircohort.trajectory.record import Outcome


def measured(aligned: pl.DataFrame, outcome: Outcome) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Take the visits at which an outcome was measured; say how many readings were left out as slips."""
    value = pl.col(outcome.column).cast(pl.Float64)
    found = aligned.filter(value.is_finite() & ((value > 0) if outcome.log else True))
    if not outcome.slips or found.is_empty():
        return found, ()
    ratio = value / value.median().over("participant_id")
    enough = value.len().over("participant_id") >= READINGS_TO_COMPARE
    kept = found.filter(~(enough & ((ratio >= FAR_RATIO) | (ratio <= 1 / FAR_RATIO))))
    if not (n := found.height - kept.height):
        return found, ()
    readings = "1 reading, at least" if n == 1 else f"{n} readings, each at least"
    return kept, (
        f"Left out of the model of {outcome.label}: {readings} {FAR_RATIO:g} times as high or as low as the median of "
        "the participant's own. Look for typing errors.",
    )
