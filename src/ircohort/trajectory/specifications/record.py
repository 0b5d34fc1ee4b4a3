"""What is modelled, by which models, and the record that a fitted one leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ircohort.errors import UsageError
from ircohort.trajectory.record import OUTCOMES, Outcome

if TYPE_CHECKING:
    from ircohort.lmm import Fit
    from ircohort.trajectory.specifications.layout import Layout

BACKWARD, FORWARD = "years_to_event", "years_from_start"
"""The time axes: zero at the event and negative before; zero at the first visit and positive after."""

TIME = "visit_time"
"""The column of a visit's time in random parts. It is that of the axis, but for a visit after the event that has a term
of its own: curves end at the event, and take that visit as at zero."""

SELECTED = ("before_event", "at_event", "after_event")
"""The flags of alignment for readings that were selected for their value, where readings date the event."""


@dataclass(frozen=True)
class Bends:
    """How the cases' line bends: by ``(t - knot)_+ ** power`` at each knot, in years to the event.

    ``published`` are the knots of the source, from the earliest; the search for the best ones starts there.
    """

    power: int
    published: tuple[float, ...]


@dataclass(frozen=True)
class Specification:
    """A model of two groups in time.

    Attributes
    ----------
    name, label
        Its key, and what it is in words.
    axis
        ``years_to_event`` or ``years_from_start``.
    fixed
        The fixed part in time and ``case`` (1 for cases, else 0), in the formula language of :mod:`ircohort.lmm`.
    random
        The random part.
    yearly
        Whether each whole year (``lag``) has a mean of its own, instead of a curve.
    earliest
        The first year that is used, or None.
    own_terms
        Flags that get terms of their own unless the caller says otherwise, where readings date the event.
    bends
        For each outcome how the cases' line bends; empty where it does not.
    source, doi
        Where the model is from.
    """

    name: str
    label: str
    axis: str
    fixed: str
    random: str
    yearly: bool = False
    earliest: int | None = None
    own_terms: tuple[str, ...] = ()
    bends: Mapping[str, Bends] = field(default_factory=dict)
    source: str = ""
    doi: str = ""


_LEVEL = "(1 | participant_id)"
_SLOPE = f"(1 + {TIME} | participant_id)"
_QUADRATIC, _STEEPER, _RISE_AND_FALL = Bends(2, (-3.0,)), Bends(1, (-5.0,)), Bends(1, (-4.0, -3.0))

TABAK_BENDS: Mapping[str, Bends] = MappingProxyType(
    {
        "glucose_mg_dl": _QUADRATIC,
        "hba1c_pct": _QUADRATIC,
        "homa_b_pct": _RISE_AND_FALL,
        **dict.fromkeys(("insulin_uiu_ml", "homa_ir", "tg_hdl_mg", "spise", "bmi"), _STEEPER),
    }
)
"""The bends of Tabak 2009: of glucose, of insulin sensitivity and of beta-cell function. HbA1c bends as glucose does;
BMI and the markers of insulin resistance as sensitivity does, which is a choice made here."""

SPECIFICATIONS: Mapping[str, Specification] = MappingProxyType(
    {
        row.name: row
        for row in (
            Specification(
                "spline",
                "a natural spline of three degrees of freedom for each group",
                BACKWARD,
                "cr(years_to_event, df=3) * case",
                _SLOPE,
                own_terms=SELECTED,
                source="the default of ircohort",
            ),
            Specification(
                "sagesaka",
                "a mean for each year and group, random level",
                BACKWARD,
                "C(lag) * case",
                _LEVEL,
                yearly=True,
                earliest=-10,
                source="after Sagesaka 2018, J Endocr Soc 2:476",
                doi="10.1210/js.2018-00071",
            ),
            Specification(
                "tabak",
                "a line for the comparison group, a line that bends for the cases",
                BACKWARD,
                "years_to_event * case",
                _SLOPE,
                earliest=-13,
                bends=TABAK_BENDS,
                source="after Tabak 2009, Lancet 373:2215",
                doi="10.1016/S0140-6736(09)60619-X",
            ),
            Specification(
                "hulman",
                "a cubic for each group",
                BACKWARD,
                "poly(years_to_event, degree=3) * case",
                _SLOPE,
                source="after Hulman 2017, Diabetologia 60:1252",
                doi="10.1007/s00125-017-4275-6",
            ),
            Specification(
                "landmark",
                "forward to a landmark: a natural spline for each group of people by what came after it",
                FORWARD,
                "cr(years_from_start, df=3) * case",
                _SLOPE,
                source="the landmark form of the default",
            ),
        )
    }
)
"""Every specification, by name."""


@dataclass(frozen=True, eq=False)
class SpecificationFit:
    """A specification fitted to one outcome. Tables are of the kind of frame that was given.

    Attributes
    ----------
    outcome, specification
        What was modelled, and how.
    curves
        ``group`` (``cases``, ``comparison``), the time axis of the specification (years), ``fitted``, ``low``,
        ``high`` (95 %, pointwise), ``low_simultaneous``, ``high_simultaneous`` (over the whole curve), ``unit``. Of
        a log outcome geometric means.
    differences
        Cases minus comparison: the time axis, ``measure`` (``difference`` in ``unit``; for log outcomes also
        ``ratio``), ``estimate`` and the same limits. The limits of a difference of geometric means are those of the
        delta method.
    knots
        ``knot`` (from the earliest), ``years_to_event``, ``low``, ``high`` (profile likelihood, 95 %; null beyond the
        years searched), ``status`` (``chosen``, ``at_edge`` of the years searched, ``held``), ``published`` (the year
        of the source), ``p_value`` (whether the cases bend at all, at one unknown year; null where held). No rows
        for a specification without bends.
    profile
        For each knot and each year searched ``deviance``: twice the log-likelihood below the best.
    people_by_year
        ``group``, the time axis in whole years, ``n_participants``, ``n_visits``, of the visits that were fitted.
    fit
        By restricted maximum likelihood, with the knots taken as known.
    aic, bic
        Of the fit by maximum likelihood, knots that were chosen counted as parameters; ``bic`` by participants. They
        compare specifications of the same visits (``fit.visits``).
    bmi_adjusted
        Whether BMI at the visit is a covariate.
    covariance
        Of the intervals: ``model``, or ``CR2``, cluster-robust.
    notes
        What a reader must know, as sentences.
    """

    outcome: Outcome
    specification: Specification
    curves: Any
    differences: Any
    knots: Any
    profile: Any
    people_by_year: Any
    fit: Fit
    aic: float
    bic: float
    bmi_adjusted: bool
    covariance: str
    notes: tuple[str, ...]
    layout: Layout = field(repr=False)


def find_specification(specification: str | Specification) -> Specification:
    """Give a specification by its name, or as it is.

    Examples
    --------
    >>> find_specification("hulman").label
    'a cubic for each group'
    """
    if isinstance(specification, Specification):
        return specification
    if specification not in SPECIFICATIONS:
        raise UsageError(
            f"There is no specification {specification!r}.", expected=f"Known are: {', '.join(SPECIFICATIONS)}."
        )
    return SPECIFICATIONS[specification]


def find_outcome(outcome: str) -> Outcome:
    """Give what is known of an outcome by its column.

    Examples
    --------
    >>> find_outcome("homa_ir").response
    'log(homa_ir)'
    """
    if outcome not in OUTCOMES:
        raise UsageError(f"There is no outcome {outcome!r}.", expected=f"Known are: {', '.join(OUTCOMES)}.")
    return OUTCOMES[outcome]
