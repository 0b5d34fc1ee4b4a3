"""The settings of the cohort model, the outcomes it follows, and the record it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ircohort.errors import UsageError
from ircohort.trajectory.alignment.rules import Comparison, EventRule

if TYPE_CHECKING:
    from ircohort.lmm import Fit
    from ircohort.trajectory.alignment import StillBelow

ONSET_STATUSES = ("dated", "before_support", "none")
WINDOW_STATUSES = ("closed", "open_at_event", "at_least", "none")
SELECTED_READINGS = ("own_terms", "kept", "dropped")


@dataclass(frozen=True)
class Outcome:
    """A measurement whose course is modelled: its column, whether on the log scale, its unit, its name in words.

    ``possible`` bounds the mean of a group of living people, widely; an editorial choice. ``raised`` is 1 where more
    of it means more insulin resistance or disease, -1 where less does. Where ``slips``, a reading
    :data:`~ircohort.schema.FAR_RATIO` times as high or as low as the person's own median is left out of models: where
    logs are not taken, a single one can hide how people differ.
    """

    column: str
    log: bool
    unit: str
    label: str
    possible: tuple[float, float]
    raised: int = 1
    slips: bool = False

    @property
    def response(self) -> str:
        """The left side of the model formula."""
        return f"log({self.column})" if self.log else self.column


OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        row.column: row
        for row in (
            Outcome("insulin_uiu_ml", True, "uIU/mL", "fasting insulin", (0.2, 400.0)),
            Outcome("homa_ir", True, "1", "HOMA-IR", (0.05, 100.0)),
            Outcome("homa_b_pct", False, "%", "HOMA-%B", (1.0, 2000.0)),
            Outcome("tg_hdl_mg", True, "mg/mg", "TG:HDL", (0.05, 100.0)),
            Outcome("spise", False, "1", "SPISE", (0.5, 25.0), raised=-1),
            Outcome("glucose_mg_dl", False, "mg/dL", "fasting glucose", (50.0, 400.0), slips=True),
            Outcome("hba1c_pct", False, "NGSP %", "HbA1c", (3.0, 20.0), slips=True),
            Outcome("bmi", False, "kg/m2", "BMI", (12.0, 80.0), slips=True),
        )
    }
)
"""What can be modelled, in this order."""

GLUCOSE = "glucose_mg_dl"
"""The outcome that closes the window; the others may open it."""


@dataclass(frozen=True)
class ModelSettings:
    """How the cohort finding is made. Each field is a setting that manifest and report print.

    Attributes
    ----------
    event
        ``prediabetes`` or ``diabetes``.
    event_by
        ``glucose``, ``hba1c``, or ``either``: the worse of the two.
    event_dated
        ``confirmed`` by the next judged visit and dated by the first of the two readings; ``single`` readings; or
        ``fitted``: where the person's fitted glucose reaches the cut-off.
    longest_gap_years
        Years between the two readings of a confirmed event, at most; None: any.
    comparison
        Year 0 of people without an event: ``last_visit``, ``random_visit``, or that of a case they are ``matched`` to
        by age, sex and calendar time.
    per_case
        People matched to each case.
    selected_readings
        Readings selected for their value by a reading-based event (of the event and the judged ones before and after
        it): ``own_terms`` in the model, ``kept`` as if they were like others, or ``dropped``.
    outcomes
        Columns that are modelled. Glucose among them, or there is no window.
    adjust_bmi
        Whether BMI at the visit is a covariate: what excess weight explains is then taken off the difference.
    by_time_seen
        Whether level and slope of each group may depend on when a person is seen: those who reach the event fast are
        seen for a few years before it only. Curves are then means of people's own lines (a pattern-mixture model) and
        rest on changes within people; without it they mix these with differences between people seen at different
        times.
    spline_df
        Degrees of freedom of the natural spline in time, for each group.
    onset_sd
        Size of the difference, in between-person SDs, that counts as raised.
    glucose_cut_off_mg_dl
        Fitted glucose (mg/dL) at which the hidden window closes.
    n_refits
        Bootstrap refits.
    sensitivity
        Whether the cohort is measured again with other choices, one at a time.
    sensitivity_refits
        Bootstrap refits of each variant in the table of sensitivity; with 0 it holds estimates only.
    min_people_per_year
        People that each group needs in a year before the event for the year to be supported.
    grid_per_year
        Points of the curves per year.
    """

    event: str = "prediabetes"
    event_by: str = "either"
    event_dated: str = "confirmed"
    longest_gap_years: float | None = None
    comparison: str = "last_visit"
    per_case: int = 1
    selected_readings: str = "own_terms"
    outcomes: tuple[str, ...] = ("homa_ir", "tg_hdl_mg", GLUCOSE)
    adjust_bmi: bool = False
    by_time_seen: bool = True
    spline_df: int = 3
    onset_sd: float = 0.25
    glucose_cut_off_mg_dl: float = 100.0
    n_refits: int = 200
    sensitivity: bool = True
    sensitivity_refits: int = 0
    min_people_per_year: int = 10
    grid_per_year: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcomes", tuple(self.outcomes))
        unknown = [name for name in self.outcomes if name not in OUTCOMES]
        if unknown or not self.outcomes:
            raise UsageError(
                f"There is no outcome {unknown[0]!r}." if unknown else "No outcome is named.",
                expected=f"Known are: {', '.join(OUTCOMES)}.",
            )
        if self.selected_readings not in SELECTED_READINGS:
            raise UsageError(
                f"The setting selected_readings is {self.selected_readings!r}.",
                expected=f"Known are: {', '.join(SELECTED_READINGS)}.",
            )
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"The setting {name} is {value}.", expected=f"It lies between {low} and {high}.")
        _ = self.rule, self.anchor(0)

    @property
    def rule(self) -> EventRule:
        """What counts as the event."""
        cut_off = self.glucose_cut_off_mg_dl if self.event_dated == "fitted" and self.event == "prediabetes" else None
        return EventRule(
            to=self.event,
            by=self.event_by,
            dated=self.event_dated,
            longest_gap_years=self.longest_gap_years,
            cut_off_mg_dl=cut_off,
            n_draws=0,
        )

    @property
    def event_label(self) -> str:
        """The event, and what dates it, in words."""
        return {
            "confirmed": f"confirmed {self.event}",
            "single": f"the first reading of {self.event}",
            "fitted": f"{self.event} by fitted glucose",
        }[self.event_dated]

    @property
    def anchor_label(self) -> str:
        """Year 0 of the comparison group, in words."""
        return {
            "last_visit": "its last visit",
            "random_visit": "a visit drawn at random",
            "matched": "the visit matched to a case",
        }[self.comparison]

    def anchor(self, seed: int) -> Comparison:
        """Whom cases are compared with; ``seed`` of the draws."""
        return Comparison(self.comparison, per_case=self.per_case, seed=seed)


_LIMITS = (
    ("spline_df", 1, 10),
    ("onset_sd", 1e-6, 10.0),
    ("glucose_cut_off_mg_dl", 20.0, 1000.0),
    ("n_refits", 0, 100_000),
    ("sensitivity_refits", 0, 100_000),
    ("min_people_per_year", 2, 1_000_000),
    ("grid_per_year", 1, 366),
)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Cases against the comparison group on time to the event. Tables are of the kind of frame that was given.

    Attributes
    ----------
    curves
        ``outcome``, ``group``, ``years_to_event`` (zero at the event, negative before), ``fitted``, ``fitted_low``,
        ``fitted_high`` (95 %, pointwise), ``fitted_low_simultaneous``, ``fitted_high_simultaneous`` (95 %, over the
        whole curve), ``unit``. The groups ``cases``, ``comparison`` and ``excess``, the first minus the second, are
        in natural units (for log outcomes geometric means); ``difference`` is in between-person SDs.
    onset
        One row per outcome fitted. ``onset_years`` is the edge of the data where ``onset_status`` is
        ``before_support``, null where it is ``none``. ``onset_claimed``: there is one in the estimate and in 97.5 % of
        the refits (null without refits); else the cohort does not show that the marker is raised at all.
        ``detectable_years`` is not an onset: the earliest time from which, at this number of people, the simultaneous
        limits of the difference leave out zero; null where they do not at the event. ``hidden_window_years`` is a
        lower bound where the status is ``at_least``. An interval end that is null lies beyond the edge of the data.
        Window and lead are null for glucose; the lead is null where both onsets are censored, and a bound where one
        is.
    sensitivity
        The same onset and window when one choice is made otherwise: ``variant``, ``outcome``, ``n_cases``,
        ``n_comparison``, ``onset_years``, ``onset_status``, ``hidden_window_years``, ``hidden_window_low``,
        ``hidden_window_high``, ``hidden_window_status``, ``note`` (why there are no numbers). The first variant is
        the finding itself.
    people_by_year
        ``years_to_event`` (whole years), ``group``, ``n_participants``, ``n_visits``, ``person_years``.
    fixed, random
        The tables of all fits, with ``outcome`` first.
    fits
        outcome -> Fit.
    counts
        People: ``cases``, ``comparison``, ``prevalent``, ``never_judged``, ``no_dated_visit``. Visits:
        ``visits_used``, ``visits_undated``, ``visits_after_event``.
    still_below
        Of events dated by readings, how many have a fitted glucose below the cut-off a year later; else None.
    settings
        As used.
    notes
        What a reader must know, as sentences.
    """

    curves: Any
    onset: Any
    sensitivity: Any
    people_by_year: Any
    fixed: Any
    random: Any
    fits: Mapping[str, Fit]
    counts: Mapping[str, int]
    still_below: StillBelow | None
    settings: ModelSettings
    notes: tuple[str, ...]
