"""What a reader must know about a cohort finding, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ircohort.lmm import Fit
from ircohort.trajectory.alignment import Alignment, count_people_by_year
from ircohort.trajectory.record import OUTCOMES, ModelSettings, Outcome


def general_notes(
    aligned: Alignment, settings: ModelSettings, earliest: Mapping[str, int], table: pl.DataFrame
) -> tuple[str, ...]:
    """Give the caveats of the design, and how few people the earliest years rest on."""
    return (
        f"Cases are chosen by what happened later: the curves describe people on their way to {settings.event}, they "
        "do not predict who will have it.",
        "The glucose of future cases is itself raised within its normal range for years: normal is not flat, and "
        "which marker differs first depends on its noise as much as on its course.",
        "The reading that dates an event and the judged reading before it are selected for their glucose by the "
        "definition of the event. Each has a term of its own, so that the curves near the event are extrapolated from "
        "the readings before them; a small bias remains (in simulation glucose is 0.7 mg/dL too low).",
        "Raised means a difference of level from the comparison group, not a rise within people.",
        "The comparison group is everyone without a confirmed event, anchored at the last visit; single readings "
        "beyond the cut-off, not confirmed by the next, stay in it.",
        "Early years rest on few people; the model extends everybody else back along straight lines of their own, so "
        "that a curve is not the mean of those seen then.",
        "Curves are those of people with the cases' mean age at the event and share of men, growing older along them.",
        "The bootstrap draws participants; it holds variance parameters, spline knots and the supported years at "
        "their estimates, and its intervals do not hold the uncertainty of these.",
        *_support_notes(earliest, table),
        *_exclusion_notes(aligned.counts, settings),
    )


def outcome_notes(outcome: Outcome, record: Fit) -> tuple[str, ...]:
    """Say where the fit of one outcome is not an ordinary optimum."""
    notes = []
    if not record.converged:
        notes.append(f"The model of {outcome.label} did not converge: its curves and dates are not to be relied on.")
    if record.at_boundary:
        notes.append(f"The model of {outcome.label} is at its boundary. {record.boundary_direction}")
    return tuple(notes)


def _support_notes(earliest: Mapping[str, int], table: pl.DataFrame) -> tuple[str, ...]:
    """Say on how few people the earliest year of each outcome rests."""
    supports = []
    for name, year in earliest.items():
        counts = count_people_by_year(table.filter(pl.col(name).is_not_null()))
        people = dict(counts.filter(pl.col("years_to_event") == year).select("group", "n_participants").iter_rows())
        supports.append(f"{OUTCOMES[name].label} {abs(year)} years ({people['cases']} and {people['comparison']})")
    return (f"Followed back, with the cases and others seen in that year: {'; '.join(supports)}.",)


def _exclusion_notes(counts: Mapping[str, int], settings: ModelSettings) -> tuple[str, ...]:
    words = {
        "prevalent": f"had {settings.event} at the first visit that could judge it",
        "never_judged": "had no visit that could judge glycaemia",
        "no_dated_visit": "had no dated visit",
    }
    return tuple(f"Left out: {counts[name]} people who {text}." for name, text in words.items() if counts[name])
