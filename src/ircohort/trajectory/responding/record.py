"""The settings of a response to an intervention, and the record it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ircohort.errors import UsageError
from ircohort.trajectory.alignment import Comparison
from ircohort.trajectory.record import OUTCOMES

if TYPE_CHECKING:
    from ircohort.lmm import Fit

RESPONDING = tuple(name for name in OUTCOMES if name != "homa_b_pct")
"""Outcomes whose response can be asked for: those of which one knows whether more is better or worse."""

OWN_TERM, AS_OTHERS = "own_term", "as_others"
"""Whether the readings just before the intervention have a term of their own."""


@dataclass(frozen=True)
class ResponseSettings:
    """How a response is looked for. The numbers without a source are editorial choices.

    Attributes
    ----------
    early_years
        Where the early phase ends, years after the start.
    at_years
        Years after the start at which total changes and shares of recovery are given.
    outcomes
        Of :data:`RESPONDING`; those that were not measured are left out with a note.
    own_readings
        How many of the last readings at or before the start get a term of their own in the headline; 0: none. An
        intervention that was chosen for a high reading is followed by lower ones whatever it does, and such a term
        keeps the reading out of the slope before and of the level that changes are counted from.
    comparison
        Whom the changes are set against; None: nobody. Its anchor is ``random_visit`` or ``matched``.
    min_people
        People that a phase, a year or a stage needs.
    covariance
        Of intervals and tests: ``model``, or ``CR2``, cluster-robust.
    n_refits
        Bootstrap refits, for shares; 0: no intervals of shares.

    Raises
    ------
    UsageError
        If a setting has no meaning.

    Examples
    --------
    >>> ResponseSettings(early_years=0.25).at_years
    (1.0, 2.0, 5.0)
    """

    early_years: float = 0.5
    at_years: tuple[float, ...] = (1.0, 2.0, 5.0)
    outcomes: tuple[str, ...] = ("insulin_uiu_ml", "homa_ir", "tg_hdl_mg", "glucose_mg_dl", "bmi")
    own_readings: int = 1
    comparison: Comparison | None = None
    min_people: int = 10
    covariance: str = "model"
    n_refits: int = 200

    def __post_init__(self) -> None:
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, type(low)) or not low <= value <= high:
                raise UsageError(f"The setting {name} is {value!r}.", expected=f"It lies between {low} and {high}.")
        if not self.at_years or not all(0 < year <= 60 for year in self.at_years):
            raise UsageError("The setting at_years is not usable.", expected="Years between 0 and 60, one or more.")
        unknown = [name for name in self.outcomes if name not in RESPONDING]
        if unknown or not self.outcomes:
            raise UsageError(
                f"The setting outcomes is {self.outcomes!r}.", expected=f"One or more of: {', '.join(RESPONDING)}."
            )
        if self.covariance not in ("model", "CR2"):
            raise UsageError(f"The setting covariance is {self.covariance!r}.", expected="model or CR2.")


_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("early_years", 0.02, 10.0),
    ("own_readings", 0, 10),
    ("min_people", 2, 1_000_000),
    ("n_refits", 0, 100_000),
)


@dataclass(frozen=True, eq=False)
class InterventionResponse:
    """What followed an intervention. Tables are of the kind of frame that was given; intervals are of 95 %.

    Changes of log outcomes are in %: 100 (exp(b) - 1). A difference of two such slopes is that of the logarithms, so
    the % by which the yearly ratio differs. ``status`` is ``estimated``; else the estimate is null, and ``reason`` says
    why.

    Attributes
    ----------
    slopes
        ``outcome``, ``quantity`` (``slope_before``, ``slope_early``, ``slope_late``; ``slope_after``: from the first
        visits after the start on, where an early phase was not seen; ``early_against_before``, ``late_against_early``,
        ``late_against_before``), ``reading_before`` (``own_term`` or ``as_others``: how the last readings before the
        start entered), ``estimate``, ``low``, ``high``, ``p_value`` (of zero), ``unit`` (per year), ``status``,
        ``reason``.
    totals
        The same for ``quantity`` ``change`` (since the start) and ``change_beyond_slope_before`` (beyond what the slope
        before would have led to), at ``years``.
    beyond_comparison
        Both again, each minus that of the comparison group: ``early_against_before`` is then the difference in
        differences. No rows without a comparison group.
    spread
        ``outcome``, ``group`` (``intervention``, ``comparison``), ``reading_before``, ``years`` (by which the response
        is counted), ``sd`` with ``low`` and ``high`` (profile likelihood) between people of the change beyond their own
        slope, in ``unit`` (log outcomes: 100 (exp(SD) - 1)), ``p_value`` (likelihood ratio against no spread),
        ``told_from_zero``, ``share_improving`` with ``improving_low``, ``improving_high`` and ``share_worsening``: of
        people whose true change beyond their own slope is for the better or the worse, if it is normally distributed;
        null where it cannot be told; ``status``, ``reason``.
    weight
        ``outcome``, ``years``, ``change``, ``change_low``, ``change_high`` and ``at_same_bmi``, ``at_same_bmi_low``,
        ``at_same_bmi_high`` in ``unit``; ``per_bmi``, ``per_bmi_low``, ``per_bmi_high`` (change of the outcome per
        kg/m2); ``share_with_weight`` with limits (of the change, on the scale of the model; null where the change
        itself cannot be told from none); ``n_participants``, ``status``, ``reason``.
    stages
        ``outcome``, ``stage`` (at the last judged visit at or before the start), ``n_participants``, ``years``,
        ``estimate``, ``low``, ``high`` (change since the start by then), ``unit``, ``status``, ``reason``.
    stage_tests
        ``outcome``, ``F``, ``df1``, ``df2``, ``p_value``: whether the stages' responses differ.
    recovery
        ``kind`` (``recovery``, ``relapse``), ``stage`` at the start (``any``: all beyond the best), ``years`` (since
        the start; for relapse since recovery was first seen), ``n_participants``, ``n_events``, ``share``, ``low``,
        ``high`` (bootstrap), ``status``, ``reason``.
    support
        ``outcome``, ``reading_before``, ``n_participants``, ``n_visits``, and people with readings in each phase:
        ``n_both_sides``, ``n_slope_before``, ``n_early``, ``n_late``; ``random_part``: what may differ between people
        in the model that held.
    fits
        outcome -> Fit of the headline.
    counts
        People and visits, as the alignment counts them, and ``visits_unusual``, which are left out.
    settings
        As used.
    notes
        What was found, what was not, and what the design cannot show, as sentences.
    """

    slopes: Any
    totals: Any
    beyond_comparison: Any
    spread: Any
    weight: Any
    stages: Any
    stage_tests: Any
    recovery: Any
    support: Any
    fits: Mapping[str, Fit]
    counts: Mapping[str, int]
    settings: ResponseSettings
    notes: tuple[str, ...]
