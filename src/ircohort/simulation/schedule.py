"""When people are seen, and what is measured then."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.chance import Floats, uniforms
from ircohort.simulation.design import Design
from ircohort.simulation.pattern import DAYS_PER_YEAR, VisitPattern
from ircohort.simulation.people import Entry


@dataclass(frozen=True)
class Schedule:
    """The visits that took place: ``m`` of them, of ``n`` people, by person and time.

    ``participants`` (n,) identifiers; ``woman`` (n,); ``planned`` (n, v) years since the first visit of all planned
    visits, the last one repeated where a person has fewer; ``person`` (m,) row of the person; ``number`` (m,) which
    of the planned visits; ``years`` (m,) since the first visit, a whole number of days; ``date`` (m,); ``age`` (m,) in
    years; ``glucose``, ``insulin``, ``lipids`` (m,) whether measured.
    """

    participants: tuple[str, ...]
    woman: NDArray[np.bool_]
    planned: Floats
    person: NDArray[np.int64]
    number: NDArray[np.int64]
    years: Floats
    date: NDArray[np.datetime64]
    age: Floats
    glucose: NDArray[np.bool_]
    insulin: NDArray[np.bool_]
    lipids: NDArray[np.bool_]

    @property
    def last(self) -> Floats:
        """(n,) years from each person's first to last visit."""
        follow_up = np.zeros(len(self.participants))
        np.maximum.at(follow_up, self.person, self.years)
        return follow_up

    def only(self, kept: NDArray[np.bool_]) -> Schedule:
        """Give the schedule with some of its visits (m,)."""
        names = ("person", "number", "years", "date", "age", "glucose", "insulin", "lipids")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})


def plan_visits(
    design: Design, participants: tuple[str, ...], entry: Entry, *, seed: int, pattern: VisitPattern | None = None
) -> Schedule:
    """Give the visits that take place, as the design plans them or as a pattern of visits has them."""
    if pattern is not None:
        return _as_in(pattern, participants, entry, seed)
    n, v = len(participants), design.n_visits
    chances = uniforms("visits", seed, participants, 2 * v).reshape(n, v, 2)
    planned = np.arange(v) * design.years_between_visits
    moved = np.where(planned > 0, design.visit_jitter_years * (2 * chances[:, :, 0] - 1), 0.0)
    days = np.rint((planned + moved) * DAYS_PER_YEAR).astype(np.int64)
    # The first visit is never missed.
    takes_place = (planned == 0) | (chances[:, :, 1] >= design.share_visits_missed)
    schedule = _schedule(participants, entry, days, takes_place)
    drawn = uniforms("insulin", seed, participants, v)[schedule.person, schedule.number]
    return replace(schedule, insulin=drawn >= design.share_insulin_missing)


def _as_in(pattern: VisitPattern, participants: tuple[str, ...], entry: Entry, seed: int) -> Schedule:
    assigned = pattern.assigned(participants, seed=seed)
    numbers = np.arange(pattern.most_visits)
    takes_place = numbers < pattern.n_visits[assigned][:, None]
    row = pattern.offsets[assigned][:, None] + np.minimum(numbers, pattern.n_visits[assigned][:, None] - 1)
    schedule = _schedule(participants, entry, pattern.days[row], takes_place)
    seen = row[takes_place]
    return replace(schedule, glucose=pattern.glucose[seen], insulin=pattern.insulin[seen], lipids=pattern.lipids[seen])


def _schedule(
    participants: tuple[str, ...], entry: Entry, days: NDArray[np.int64], takes_place: NDArray[np.bool_]
) -> Schedule:
    person, number = np.nonzero(takes_place)
    years = days[person, number] / DAYS_PER_YEAR
    everything = np.ones(person.size, dtype=bool)
    return Schedule(
        participants=participants,
        woman=entry.woman,
        planned=days / DAYS_PER_YEAR,
        person=person,
        number=number,
        years=years,
        date=entry.first_day[person] + days[person, number],
        age=entry.age[person] + years,
        glucose=everything,
        insulin=everything,
        lipids=everything,
    )
