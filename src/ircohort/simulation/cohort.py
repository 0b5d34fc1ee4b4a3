"""A cohort with known truth: people followed by the model, seen at visits, measured with error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import Floats
from ircohort.errors import UsageError
from ircohort.estimand import HiddenWindow, course_of
from ircohort.simulation.bends import Bend
from ircohort.simulation.design import SAMPLE_SEED, Design
from ircohort.simulation.leaving import confirmed_from, stays, until_confirmed
from ircohort.simulation.pattern import VisitPattern
from ircohort.simulation.people import Drawn, draw_people, identifiers
from ircohort.simulation.physiology import Course, People, bmi_at, evolve
from ircohort.simulation.reading import Assays, draw_assays, measure, report
from ircohort.simulation.schedule import Schedule, plan_visits
from ircohort.simulation.truth import findings, traits_of, true_visits, usual_lipids, windows_of, with_states

_BLOCK = 4096  # people simulated at once: bounds the memory, has no bearing on any number


@dataclass(frozen=True)
class Simulated:
    """A simulated cohort.

    ``labs``: one row per visit, an export as an analyst gets it: ``participant_id``, ``visit_date``, ``sex``, ``age``
    (completed years), ``assay`` and ``glucose_lowering_drug`` where the design has them recorded, and the columns of
    :data:`EXPORTS`, rounded as a laboratory does, null where not measured. With a detection limit insulin is text.

    ``truth``: one row per participant: ``participant_id``, ``n_visits``, ``follow_up_years``, ``hidden_window`` (the
    noise-free monthly course up to the last visit holds one), ``window_start_years`` and ``window_end_years`` (since
    the first visit, null where there is none), ``rise_pct`` of insulin between them, ``years_to_glucose_100`` (first
    month at 100 mg/dL or more, null if none), ``kappa_per_year``, and true glucose and insulin at the first and last
    visit; to the decimals of :data:`TRUTH_DIGITS`.

    ``truth_visits``: one row per visit, unrounded: ``participant_id``, ``visit_date``, ``years``, true
    ``glucose_mg_dl``, ``insulin_uiu_ml``, ``triglycerides_mg_dl``, ``hdl_mg_dl``, ``bmi``, ``sensitivity``
    (mL/uIU per day), ``beta`` (uIU/mL); ``state`` by true glucose and HOMA-IR (``sensitive``, ``compensated``,
    ``prediabetes``, ``diabetes``); ``in_window``, ``pubertal``, ``treated``.

    ``traits``: one row per participant: ``sex``, ``age_at_entry``, ``decliner`` (``stable``, ``slow``, ``fast``),
    ``beta_cells`` (``failing``, ``usual``, ``robust``), ``puberty_from_age``, ``puberty_to_age`` (null without
    puberty), ``weight`` (``as it comes``, ``lost and kept``, ``lost and regained``), ``weight_lost_pct`` at the lowest,
    ``assay_change_years``, ``treated_from_years`` (null if not within the follow-up), ``dropped_out`` (left between
    visits), and ``course`` of true insulin over the follow-up (:func:`ircohort.estimand.course_of`, swings of the least
    rise of a window): ``steady``, ``rising``, ``falling``, ``recovered``, ``relapsed``.
    """

    labs: pl.DataFrame
    truth: pl.DataFrame
    truth_visits: pl.DataFrame
    traits: pl.DataFrame


@dataclass(frozen=True)
class TrueCourses:
    """The noise-free monthly courses of ``n`` people, to judge what was said of them.

    ``participants`` (n,); ``years`` (k,) since the first visit; ``follow_up_years`` (n,) to the last visit;
    ``glucose_mg_dl``, ``insulin_uiu_ml``, ``tg_hdl_mg``, ``bmi`` (n, k). The courses go on after the last visit.
    """

    participants: tuple[str, ...]
    years: Floats
    follow_up_years: Floats
    glucose_mg_dl: Floats
    insulin_uiu_ml: Floats
    tg_hdl_mg: Floats
    bmi: Floats


@dataclass(frozen=True)
class _Followed:
    """People as they went, the visits that took place, true and measured values at them."""

    drawn: Drawn
    people: People
    course: Course
    schedule: Schedule
    true: pl.DataFrame
    read: pl.DataFrame
    assays: Assays
    left: NDArray[np.bool_]
    treated_from: Floats

    @property
    def treated(self) -> NDArray[np.bool_]:
        """(m,) whether a person is on treatment at a visit."""
        on: NDArray[np.bool_] = self.schedule.years >= self.treated_from[self.schedule.person]
        return on


def simulate(
    design: Design,
    *,
    seed: int = SAMPLE_SEED,
    definition: HiddenWindow | None = None,
    pattern: VisitPattern | None = None,
) -> Simulated:
    """Simulate a cohort whose hidden windows come from physiology.

    Parameters
    ----------
    design
        Who is seen when; :data:`DESIGNS` names some.
    seed
        A whole number from 0. A person depends on it and on the own name only: ``P0001`` is the same in a cohort of
        ten and of a thousand, and has the same course under another schedule of visits. A trait that is switched on
        leaves all numbers as they were that it has no bearing on.
    definition
        What counts as a hidden window in ``truth``.
    pattern
        The visits of other people, to be taken instead of those that the design plans; missed visits, missing insulin
        and drop-out of the design do not apply then. Follow-up that ends with diabetes does.

    Returns
    -------
    Simulated
        Tables in the order of participant and visit.

    Raises
    ------
    UsageError
        If the seed is not a whole number from 0.

    Examples
    --------
    >>> cohort = simulate(Design(n_participants=3, n_visits=4, share_visits_missed=0.0), seed=1)
    >>> cohort.labs.height, cohort.truth["participant_id"].to_list()
    (12, ['P0001', 'P0002', 'P0003'])
    """
    _require_seed(seed)
    names = identifiers(design.n_participants)
    rule = definition or HiddenWindow()
    blocks = [
        _tables(_follow(design, names[first : first + _BLOCK], seed, pattern), design, rule)
        for first in range(0, len(names), _BLOCK)
    ]
    return Simulated(
        labs=pl.concat([block.labs for block in blocks]),
        truth=pl.concat([block.truth for block in blocks]),
        truth_visits=pl.concat([block.truth_visits for block in blocks]),
        traits=pl.concat([block.traits for block in blocks]),
    )


def true_courses(
    design: Design,
    *,
    seed: int = SAMPLE_SEED,
    participants: Sequence[str] | None = None,
    pattern: VisitPattern | None = None,
) -> TrueCourses:
    """Give the noise-free monthly courses of the people of :func:`simulate`.

    Parameters
    ----------
    design, seed, pattern
        As given to :func:`simulate`.
    participants
        Whose courses; default: everyone's. A year takes about 400 bytes a person.

    Raises
    ------
    UsageError
        If the seed is not a whole number from 0, or a participant is not of the cohort.

    Examples
    --------
    >>> courses = true_courses(Design(n_participants=3, n_visits=2), seed=1, participants=["P0002"])
    >>> courses.participants, courses.insulin_uiu_ml.shape
    (('P0002',), (1, 14))
    """
    _require_seed(seed)
    everyone = identifiers(design.n_participants)
    names = everyone if participants is None else tuple(participants)
    if not names or not set(names) <= set(everyone):
        raise UsageError("Courses are asked for of nobody, or of somebody who is not of the cohort.")
    followed = _follow(design, names, seed, pattern)
    people, course, everybody = followed.people, followed.course, np.arange(len(names))
    months = course.years.size
    triglycerides, hdl = usual_lipids(design.population, people, everybody, course.sensitivity)
    return TrueCourses(
        participants=names,
        years=course.years,
        follow_up_years=followed.schedule.last,
        glucose_mg_dl=course.glucose,
        insulin_uiu_ml=course.insulin,
        tg_hdl_mg=triglycerides / hdl,
        bmi=bmi_at(people, np.repeat(everybody, months), np.tile(course.years, len(names))).reshape(-1, months),
    )


def _require_seed(seed: Any) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"The seed is {seed!r}.", expected="Expected is a whole number from 0.")


def _follow(design: Design, names: tuple[str, ...], seed: int, pattern: VisitPattern | None) -> _Followed:
    """Follow people to the end of their visits; who is treated has a first life that shows from when."""
    drawn = draw_people(design, names, seed=seed)
    untreated = np.full(len(names), np.inf)
    followed = _visit(design, drawn, drawn.people, untreated, names, seed, pattern)
    if not design.treatment.present:
        return followed
    begins = confirmed_from(followed.read["glucose_mg_dl"], followed.schedule, design, seed=seed)
    given = design.treatment
    knots = np.where(np.isfinite(begins), begins, 0.0)[:, None] + np.array([0.0, given.years_until_full])
    gain = np.where(np.isfinite(begins), np.log(given.sensitivity_factor), 0.0)[:, None] * np.array([0.0, 1.0])
    people = replace(drawn.people, bends=(*drawn.people.bends, Bend(knots, gain)))
    return _visit(design, drawn, people, begins, names, seed, pattern)


def _visit(
    design: Design,
    drawn: Drawn,
    people: People,
    treated_from: Floats,
    names: tuple[str, ...],
    seed: int,
    pattern: VisitPattern | None,
) -> _Followed:
    schedule = plan_visits(design, names, drawn.entry, seed=seed, pattern=pattern)
    course = evolve(people, float(schedule.planned.max()))
    true = true_visits(people, course, schedule, design.population)
    assays = draw_assays(design, schedule, drawn.entry.first_day, seed=seed)
    read = measure(true, schedule, design, assays, seed=seed)
    stayed = np.ones(schedule.person.size, dtype=bool)
    if pattern is None and design.drop_out.rate > 0:
        stayed = stays(true, schedule, design, seed=seed)
    otherwise = np.ones_like(stayed)
    if design.until_diabetes:
        otherwise = until_confirmed(read["glucose_mg_dl"], schedule.person, "diabetes")
    # Both masks cut visits off at the end: who has fewer for leaving than otherwise has left.
    left = np.bincount(schedule.person, stayed, len(names)) < np.bincount(schedule.person, otherwise, len(names))
    kept = stayed & otherwise
    schedule, true, read = schedule.only(kept), true.filter(pl.Series(kept)), read.filter(pl.Series(kept))
    return _Followed(drawn, people, course, schedule, true, read, assays, left, treated_from)


def _tables(followed: _Followed, design: Design, rule: HiddenWindow) -> Simulated:
    schedule, course, treated = followed.schedule, followed.course, followed.treated
    windows = windows_of(course, schedule.last, rule)
    seen = course.years <= schedule.last[:, None] + 1e-9
    courses = course_of(np.where(seen, np.log(course.insulin), np.nan).T, float(np.log1p(rule.min_rise)))
    return Simulated(
        labs=report(followed.read, schedule, design, followed.assays, treated),
        truth=findings(course, windows, schedule, followed.true, followed.people.kappa, rule),
        truth_visits=with_states(followed.true, windows, schedule, followed.drawn, treated),
        traits=traits_of(
            followed.drawn, schedule, courses, followed.assays.changes, followed.treated_from, followed.left
        ),
    )
