"""The settings of an alignment: what an event is, and whom cases are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ircohort.errors import UsageError
from ircohort.glycaemia import CRITERIA, cut_off

EVENTS = ("prediabetes", "diabetes")
QUANTITIES = ("glucose", "hba1c", "either")
DATINGS = ("confirmed", "single", "fitted")
COMPARISONS = ("last_visit", "random_visit", "matched")
UNMATCHED = ("left_out", "kept")


@dataclass(frozen=True)
class EventRule:
    """What counts as the event, and what dates it.

    Attributes
    ----------
    to
        ``prediabetes`` (or worse) or ``diabetes``.
    by
        ``glucose``, ``hba1c``, or ``either``: the worse of the two readings of a visit, as ``glycaemia`` says.
    dated
        ``confirmed``: the first of two readings, in successive visits that can judge, both at or beyond the class.
        ``single``: the first such reading, which noise alone can make. ``fitted``: the time at which the person's
        fitted fasting glucose reaches the cut-off.
    longest_gap_years
        How far apart the two readings of a confirmed event may lie; None: any time.
    cut_off_mg_dl
        For ``fitted``: the cut-off of fasting glucose; None: that of ``criteria`` for ``to``, by ADA 100 or 126 mg/dL,
        by WHO 110 or 126 mg/dL.
    criteria
        By which a reading is classified again where its class is not stated: ``ada`` or ``who``.
    spline_df
        For ``fitted``: degrees of freedom of the natural spline in time; fewer where the visits cannot tell so many.
    n_draws
        For ``fitted``: draws from each person's posterior, for the interval; 0: no interval.
    seed
        Of these draws.

    Raises
    ------
    UsageError
        If a setting has no meaning, or none beside the others.

    Examples
    --------
    >>> EventRule(dated="fitted").glucose_cut_off, EventRule(to="diabetes").glucose_cut_off
    (100.0, 126.0)
    """

    to: str = "prediabetes"
    by: str = "either"
    dated: str = "confirmed"
    longest_gap_years: float | None = None
    cut_off_mg_dl: float | None = None
    criteria: str = "ada"
    spline_df: int = 4
    n_draws: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        if self.to not in EVENTS:
            raise UsageError(f"There is no event {self.to!r}.", expected=f"Known are: {', '.join(EVENTS)}.")
        _require_choices(self, {"by": QUANTITIES, "dated": DATINGS, "criteria": CRITERIA})
        _require_numbers(self, _EVENT_LIMITS)
        if self.longest_gap_years is not None and self.dated != "confirmed":
            raise UsageError(
                f"longest_gap_years is given for an event whose dated is {self.dated!r}.",
                expected="Only a confirmed event has two readings that lie apart.",
            )
        if self.cut_off_mg_dl is not None and self.dated != "fitted":
            raise UsageError(
                f"cut_off_mg_dl is given for an event whose dated is {self.dated!r}.",
                expected="It is where fitted glucose crosses; readings are classified by the named cut-offs.",
                next_step='Set dated="fitted", or give other named cut-offs where glycaemia is decided.',
            )
        if self.by == "hba1c":
            self._require_hba1c_can_date()

    def _require_hba1c_can_date(self) -> None:
        if self.dated == "fitted":
            raise UsageError(
                "An event by HbA1c cannot be dated by fitted glucose.", expected='by="glucose" or "either".'
            )
        if self.criteria == "who":
            raise UsageError(
                "An event by HbA1c cannot be seen to begin by WHO criteria.",
                expected="By WHO an HbA1c below diabetes judges nothing, so that nobody is seen free before it.",
                next_step='Take criteria="ada", or by="glucose" or "either".',
            )

    @property
    def glucose_cut_off(self) -> float:
        """The fasting glucose (mg/dL) that is the event."""
        return self.cut_off_mg_dl if self.cut_off_mg_dl is not None else cut_off(f"{self.criteria}_glucose_{self.to}")

    @property
    def by_readings(self) -> bool:
        """Whether readings date the event, so that those next to it were selected for their value."""
        return self.dated != "fitted"


@dataclass(frozen=True)
class Comparison:
    """Whom cases are compared with, and which time of theirs is year 0.

    Attributes
    ----------
    anchor
        ``last_visit``: everyone without an event, at the last visit; they are then the oldest and the longest
        observed at year 0. ``random_visit``: everyone without an event, at a visit drawn at random from those that
        judge glycaemia and are not the first. ``matched``: people drawn for each case from those still event-free
        and under observation at its date, at a visit about then.
    per_case
        For ``matched``: how many people are sought for each case.
    age_caliper_years, time_caliper_years
        How far age, and calendar time, of the comparison person at the visit may lie from those of the case at the
        event; None: not matched on. Where either has no dates, time is the follow-up so far.
    future_cases
        Whether somebody who becomes a case later may serve before. Their visits up to the matched one are then
        comparison, later ones those of a case. By default they may not: a person would be in both groups, and the
        groups more alike. The price: the comparison group is then people who stay free for as long as they are seen.
    unmatched
        What becomes of cases for whom nobody is found: ``left_out`` or ``kept``.
    seed
        Of the hash by which visits are drawn, ties broken and the order of cases found.

    Raises
    ------
    UsageError
        If a setting has no meaning.

    Examples
    --------
    >>> Comparison("matched", per_case=2).age_caliper_years
    2.0
    """

    anchor: str = "last_visit"
    per_case: int = 1
    age_caliper_years: float | None = 2.0
    time_caliper_years: float | None = 2.0
    future_cases: bool = False
    unmatched: str = "left_out"
    seed: int = 0

    def __post_init__(self) -> None:
        _require_choices(self, {"anchor": COMPARISONS, "unmatched": UNMATCHED})
        _require_numbers(self, _COMPARISON_LIMITS)
        if not isinstance(self.future_cases, bool):
            raise UsageError("The setting future_cases is neither true nor false.")


_Limits = Mapping[str, tuple[type, float, float]]

_EVENT_LIMITS: _Limits = MappingProxyType(
    {
        "longest_gap_years": (float, 1e-6, 100.0),
        "cut_off_mg_dl": (float, 20.0, 1000.0),
        "spline_df": (int, 1, 10),
        "n_draws": (int, 0, 100_000),
        "seed": (int, 0, 2**63),
    }
)

_COMPARISON_LIMITS: _Limits = MappingProxyType(
    {
        "per_case": (int, 1, 1000),
        "age_caliper_years": (float, 0.0, 120.0),
        "time_caliper_years": (float, 0.0, 120.0),
        "seed": (int, 0, 2**63),
    }
)

_MAY_BE_NONE = ("longest_gap_years", "cut_off_mg_dl", "age_caliper_years", "time_caliper_years")


def _require_choices(settings: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    for name, known in choices.items():
        value = getattr(settings, name)
        if value not in known:
            raise UsageError(f"The setting {name} is {value!r}.", expected=f"Known are: {', '.join(known)}.")


def _require_numbers(settings: Any, limits: _Limits) -> None:
    for name, (kind, low, high) in limits.items():
        value = getattr(settings, name)
        if value is None and name in _MAY_BE_NONE:
            continue
        numeric = isinstance(value, int | float if kind is float else int) and not isinstance(value, bool)
        if not numeric or not low <= value <= high:
            words = "a number" if kind is float else "a whole number"
            raise UsageError(
                f"The setting {name} is {value!r}.", expected=f"It is {words} between {low:g} and {high:g}."
            )
