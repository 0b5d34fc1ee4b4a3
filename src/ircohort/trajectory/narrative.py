"""What a reader must know about a cohort finding, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ircohort.lmm import Fit
from ircohort.trajectory.alignment import StillBelow, count_people_by_year
from ircohort.trajectory.measuring import Measured
from ircohort.trajectory.record import OUTCOMES, ModelSettings, Outcome
from ircohort.trajectory.refitting import is_redone

_ANCHORS: Mapping[str, str] = {
    "last_visit": "everyone without an event, anchored at the last visit: at year 0 they have been followed longest",
    "random_visit": "everyone without an event, at a visit drawn at random",
    "matched": "people matched to the cases by age, sex and calendar time, still free of the event then",
}


def notes_of(found: Measured, still_below: StillBelow | None, settings: ModelSettings) -> tuple[str, ...]:
    """Give the caveats of the design, how few people the earliest years rest on, and what went wrong."""
    own = [
        sentence
        for model in found.models.values()
        for sentence in (*model.notes, *outcome_notes(model.outcome, model.fit))
    ]
    earliest = {name: model.earliest for name, model in found.models.items()}
    return (
        f"Cases are chosen by what happened later: the curves describe people on their way to {settings.event}, they "
        "do not predict who will have it.",
        "The glucose of future cases is itself raised within its normal range for years: normal is not flat, and "
        "which marker differs first depends on its noise as much as on its course.",
        *_selection_notes(still_below, settings),
        "Raised means a difference of level from the comparison group, not a rise within people.",
        f"The comparison group is {_ANCHORS[settings.comparison]}.",
        "Early years rest on few people; the model extends everybody else back along straight lines of their own, so "
        "that a curve is not the mean of those seen then.",
        "Curves are those of people with the cases' mean age at the event and share of men, growing older along them.",
        *_refit_notes(found, settings),
        *_support_notes(earliest, found.table),
        *_exclusion_notes(found.aligned.counts, settings),
        *found.refusals,
        *own,
    )


def assay_notes(visits: pl.DataFrame) -> tuple[str, ...]:
    """Say where readings of more than one assay, or specimen, are taken for alike."""
    several = [
        f"{count} {words}"
        for name, words in (("assay", "insulin assays"), ("specimen", "kinds of specimen"))
        if name in visits.columns and (count := visits[name].drop_nulls().n_unique()) > 1
    ]
    if not several:
        return ()
    return (
        f"Readings of {' and '.join(several)} are taken for alike: a change during follow-up moves the curves and the "
        "onset as a course would. Detection cuts series there; here, give the visits of one at a time, and compare.",
    )


def _selection_notes(still_below: StillBelow | None, settings: ModelSettings) -> tuple[str, ...]:
    """Say how the readings that date events were dealt with, and how many of the events fitted glucose denies."""
    if not settings.rule.by_readings:
        return (
            "Events are dated by each person's fitted glucose, so that no reading is selected for its value; the date "
            "is as uncertain as that line.",
        )
    dealt = {
        "own_terms": "Each has a term of its own, so that the curves near the event are extrapolated from the readings "
        "before them; a small bias remains (in simulation the cases' glucose is 0.5 mg/dL too low at the event).",
        "kept": "They were kept as if they were like others: glucose is too high at the event and too low before it.",
        "dropped": "They were dropped, so that the curves near the event are extrapolated.",
    }[settings.selected_readings]
    words = (
        "The reading that dates an event and the judged readings next to it are selected for their glucose by the "
        f"definition of the event. {dealt}",
    )
    if still_below is None or still_below.share is None:
        return words
    return (
        *words,
        f"Of {still_below.n_followed} events that were followed for another year, {still_below.n_below} "
        f"({100 * still_below.share:.0f} %) have a fitted glucose below the cut-off then: noise made them, or they "
        "receded.",
    )


def _refit_notes(found: Measured, settings: ModelSettings) -> tuple[str, ...]:
    if not settings.n_refits:
        return ()
    what = (
        "aligns, matches and fits them anew; the supported years and the standard person are held"
        if is_redone(settings)
        else "estimates the curves and the SD between people anew; the other variance parameters, spline knots, "
        "supported years and the standard person are held, which intervals do not allow for. Alignment is each "
        "person's own and stays what it is"
    )
    failed = f" {found.n_failed} refits could not be made and are left out." if found.n_failed else ""
    return (f"The bootstrap draws participants and {what}.{failed}",)


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
