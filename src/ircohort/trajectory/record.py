"""The settings of the cohort model, the outcomes it follows, and the record it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ircohort.errors import UsageError

if TYPE_CHECKING:
    from ircohort.lmm import Fit

EVENTS = ("prediabetes", "diabetes")
ONSET_STATUSES = ("dated", "before_support", "none")
WINDOW_STATUSES = ("closed", "open_at_event", "at_least", "none")


@dataclass(frozen=True)
class Outcome:
    """A measurement whose course is modelled: its column, whether on the log scale, its unit, its name in words.

    ``possible`` bounds the mean of a group of living people, widely; an editorial choice.
    """

    column: str
    log: bool
    unit: str
    label: str
    possible: tuple[float, float]

    @property
    def response(self) -> str:
        """The left side of the model formula."""
        return f"log({self.column})" if self.log else self.column


OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        row.column: row
        for row in (
            Outcome("homa_ir", True, "1", "HOMA-IR", (0.05, 100.0)),
            Outcome("tg_hdl_mg", True, "mg/mg", "TG:HDL", (0.05, 100.0)),
            Outcome("glucose_mg_dl", False, "mg/dL", "fasting glucose", (50.0, 400.0)),
        )
    }
)
"""What is modelled, in this order. Glucose closes the window; the others open it."""

GLUCOSE = "glucose_mg_dl"


@dataclass(frozen=True)
class ModelSettings:
    """How the cohort finding is made. Each field is a setting that manifest and report print.

    Attributes
    ----------
    event
        ``prediabetes`` or ``diabetes``, confirmed, dated by its first reading.
    spline_df
        Degrees of freedom of the natural spline in time, for each group.
    onset_sd
        Size of the difference, in between-person SDs, that counts as raised.
    glucose_cut_off_mg_dl
        Fitted glucose (mg/dL) at which the hidden window closes.
    n_refits
        Bootstrap refits.
    min_people_per_year
        People that each group needs in a year before the event for the year to be supported.
    grid_per_year
        Points of the curves per year.
    """

    event: str = "prediabetes"
    spline_df: int = 3
    onset_sd: float = 0.25
    glucose_cut_off_mg_dl: float = 100.0
    n_refits: int = 200
    min_people_per_year: int = 10
    grid_per_year: int = 10

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise UsageError(f"There is no event {self.event!r}.", expected=f"Known are: {', '.join(EVENTS)}.")
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"The setting {name} is {value}.", expected=f"It lies between {low} and {high}.")


_LIMITS = (
    ("spline_df", 1, 10),
    ("onset_sd", 1e-6, 10.0),
    ("glucose_cut_off_mg_dl", 20.0, 1000.0),
    ("n_refits", 0, 100_000),
    ("min_people_per_year", 2, 1_000_000),
    ("grid_per_year", 1, 366),
)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Cases against the comparison group on time to the event. Tables are of the kind of frame that was given.

    Attributes
    ----------
    curves
        ``outcome``, ``group`` (``cases``, ``comparison``, ``difference``), ``years_to_event`` (zero at the event,
        negative before), ``fitted``, ``fitted_low``, ``fitted_high``, ``unit``. Groups in natural units (for log
        outcomes the geometric mean), the difference in between-person SDs.
    onset
        One row per outcome fitted. ``onset_years`` is the edge of the data where ``onset_status`` is
        ``before_support``, null where it is ``none``. ``hidden_window_years`` is a lower bound where the status is
        ``at_least``. An interval end that is null lies beyond the edge of the data. Window and lead are null for
        glucose; the lead is null where both onsets are censored, and a bound where one is.
    people_by_year
        ``years_to_event`` (whole years), ``group``, ``n_participants``, ``n_visits``.
    fixed, random
        The tables of all fits, with ``outcome`` first.
    fits
        outcome -> Fit.
    counts
        People: ``cases``, ``comparison``, ``prevalent``, ``never_judged``, ``no_dated_visit``. Visits:
        ``visits_used``, ``visits_undated``, ``visits_after_event``.
    settings
        As used.
    notes
        What a reader must know, as sentences.
    """

    curves: Any
    onset: Any
    people_by_year: Any
    fixed: Any
    random: Any
    fits: Mapping[str, Fit]
    counts: Mapping[str, int]
    settings: ModelSettings
    notes: tuple[str, ...]
