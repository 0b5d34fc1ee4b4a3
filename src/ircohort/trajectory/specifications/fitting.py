"""Fit a specification to one outcome, and say what a reader must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import polars as pl

from ircohort.errors import UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm import Fit, fit, information_criteria
from ircohort.trajectory.specifications.bends import (
    KNOT_SCHEMA,
    PROFILE_SCHEMA,
    Found,
    find_knots,
    fit_bent,
    hold_knots,
)
from ircohort.trajectory.specifications.curves import curves_of, differences_of, require_possible
from ircohort.trajectory.specifications.layout import Layout, lay_out, people_by_year, reads_selected
from ircohort.trajectory.specifications.record import (
    BACKWARD,
    Bends,
    Specification,
    SpecificationFit,
    find_outcome,
    find_specification,
)

COVARIATES = ("age", "sex")
"""At the visit; of age, that at the visit and not at the event."""

DOUBTFUL = 0.05
"""At a p-value of a bend above this, the notes say that the knots may date nothing."""


def fit_specification(
    aligned: Any,
    outcome: str,
    specification: str | Specification = "spline",
    *,
    covariates: Sequence[str] = COVARIATES,
    adjust_bmi: bool = False,
    own_terms: Sequence[str] | None = None,
    knots: Sequence[float] | None = None,
    knot_step: float = 0.25,
    covariance: str = "model",
    simultaneous: bool = True,
    min_people_per_year: int = 10,
) -> SpecificationFit:
    """Fit one outcome of aligned visits by one specification.

    Parameters
    ----------
    aligned
        As :func:`ircohort.align` gives it, for ``landmark`` as :func:`ircohort.trajectory.alignment.align_from_start`
        does: ``participant_id``, ``years_to_event`` or ``years_from_start``, ``progressor``, the outcome and the
        covariates; pandas or polars. Visits without the outcome are left out.
    outcome
        A column of :data:`ircohort.trajectory.record.OUTCOMES`. Insulin, HOMA-IR and TG:HDL are modelled on the log
        scale.
    specification
        A name of :data:`SPECIFICATIONS`, or one of one's own.
    covariates
        Columns, at the visit; numbers or words. Age and sex are left out, with a note, where they are known at fewer
        than nine visits in ten.
    adjust_bmi
        Whether BMI at the visit is a covariate too. What excess weight explains is then taken off the difference.
    own_terms
        Columns that are true at readings selected for their value, zero along the curves. By default, where readings
        date the event, ``spline`` takes ``before_event``, ``at_event`` and ``after_event``, as far as they are there;
        the published models had none. A visit after the event enters only by such a term.
    knots
        Knots to hold, in years to the event, from the earliest; by default they are searched.
    knot_step
        Of the search, years.
    covariance
        Of the intervals: ``model``, or ``CR2``, cluster-robust.
    simultaneous
        Whether to compute limits that hold over whole curves, which takes a second or so; else they are null.
    min_people_per_year
        People that each group needs in a year for the curves to reach it, without a hole from time zero.

    Returns
    -------
    SpecificationFit
        Curves are those of people with the cases' mean covariates, growing older along them.

    Raises
    ------
    UsageError
        If there is no such outcome or specification, or the number of knots is wrong.
    ColumnError
        If a column is absent.
    ModelError
        If the data do not hold the model; the sentence says why.

    Source
    ------
    Sagesaka 2018, J Endocr Soc 2:476, doi:10.1210/js.2018-00071; Tabak 2009, Lancet 373:2215,
    doi:10.1016/S0140-6736(09)60619-X; Hulman 2017, Diabetologia 60:1252, doi:10.1007/s00125-017-4275-6. Only the
    abstracts say how these were modelled: the specifications are after them, not copies.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.tile(np.arange(-5.0, 1.0), 40)
    >>> person = np.repeat(np.arange(40), 6)
    >>> glucose = 90 + person % 7 + (person < 20) * (t + 6) + np.sin(7.0 * np.arange(240))
    >>> aligned = pl.DataFrame({"participant_id": person, "years_to_event": t, "progressor": person < 20,
    ...                         "glucose_mg_dl": glucose})
    >>> found = fit_specification(aligned, "glucose_mg_dl", "sagesaka")
    >>> found.differences.filter(pl.col("years_to_event") == -3)["estimate"].round(1).item()
    3.0
    """
    if not 0.0 < knot_step <= 1.0:
        raise UsageError(f"The step of the knots is {knot_step:g} years.", expected="Above 0 and up to 1.")
    if min_people_per_year < 1:
        raise UsageError(f"min_people_per_year is {min_people_per_year}.", expected="1 or more.")
    kind = kind_of(aligned)
    chosen, measured = find_specification(specification), find_outcome(outcome)
    layout = lay_out(
        to_polars(aligned),
        measured,
        chosen,
        covariates=covariates,
        adjust_bmi=adjust_bmi,
        own_terms=own_terms,
        min_people=min_people_per_year,
    )
    searched = _knots(layout, knots, knot_step)
    layout = layout.bent_at(searched.knots) if searched.knots else layout
    record = fit_bent(layout, searched.knots, reml=True) if searched.knots else fit(layout.formula, layout.rows)
    curves = curves_of(layout, record, covariance=covariance, simultaneous=simultaneous)
    require_possible(layout, curves)
    aic, bic = _criteria(searched, free=knots is None)
    return SpecificationFit(
        outcome=measured,
        specification=chosen,
        curves=kind(curves),
        differences=kind(differences_of(layout, record, covariance=covariance, simultaneous=simultaneous)),
        knots=kind(searched.table),
        profile=kind(searched.profile),
        people_by_year=kind(people_by_year(layout.rows, chosen.axis)),
        fit=replace(record, fixed=kind(record.fixed), random=kind(record.random), people=kind(record.people)),
        aic=aic,
        bic=bic,
        bmi_adjusted=adjust_bmi,
        covariance=covariance,
        notes=_notes(layout, record, searched, covariance),
        layout=layout,
    )


def _knots(layout: Layout, given: Sequence[float] | None, step: float) -> Found:
    bends = layout.specification.bends.get(layout.outcome.column)
    if bends is None:
        if given:
            raise UsageError(f"The specification {layout.specification.name} has no knots for {layout.outcome.label}.")
        record = fit(layout.formula, layout.rows, reml=False)
        return Found((), record, pl.DataFrame(schema=KNOT_SCHEMA), pl.DataFrame(schema=PROFILE_SCHEMA))
    if given is None:
        return find_knots(layout, bends.published, step)
    _check_knots(given, bends, layout)
    return hold_knots(layout, tuple(float(knot) for knot in given), bends.published)


def _check_knots(given: Sequence[float], bends: Bends, layout: Layout) -> None:
    expected = len(bends.published)
    ordered = all(a < b for a, b in pairwise(given))
    if len(given) != expected or not ordered or not all(layout.first < knot < 0 for knot in given):
        raise UsageError(
            f"The knots of {layout.outcome.label} are {list(given)}.",
            expected=f"{expected} of them between {layout.first} years and the event, from the earliest.",
        )


def _criteria(searched: Found, *, free: bool) -> tuple[float, float]:
    """Give AIC and BIC by participants; a knot that was chosen is a parameter."""
    found = information_criteria(searched.fit)
    more = len(searched.knots) if free else 0
    per_parameter = (found.bic_participants + 2 * found.log_likelihood) / found.parameters
    return found.aic + 2.0 * more, found.bic_participants + per_parameter * more


def _notes(layout: Layout, record: Fit, searched: Found, covariance: str) -> tuple[str, ...]:
    label, chosen = layout.outcome.label, layout.specification
    notes = [f"{label}: {chosen.label}; {chosen.source}.", *layout.notes, _of_person(layout), *_of_fit(layout, record)]
    if chosen.axis == BACKWARD:
        notes.append(f"Years before {layout.first} rest on fewer people than asked for, or lie outside the model.")
    else:
        notes.append(
            "Groups are formed by what happened after the landmark, of which none of the visits that entered can tell."
        )
    if chosen.random.startswith("(1 |") and covariance == "model":
        notes.append(
            "A random level alone takes two visits of a person as equally alike however far apart they are; where "
            "people drift apart, intervals of changes are too narrow and those of single years may be too wide, which "
            'covariance="CR2" mends.'
        )
    return (*notes, *_of_selection(layout), *_of_knots(searched, label))


def _of_person(layout: Layout) -> str:
    if not layout.covariates:
        return "No covariate entered the model; the groups may differ in age."
    names = ", ".join("sex" if name == "male" else name for name in layout.covariates)
    ageing = ", growing older along the curve" if "age" in layout.covariates else ""
    return f"Adjusted for {names} at the visit. Curves are those of people with the cases' mean covariates{ageing}."


def _of_fit(layout: Layout, record: Fit) -> list[str]:
    notes = []
    if not record.converged:
        notes.append(f"The model of {layout.outcome.label} did not converge and is not to be relied on.")
    if record.at_boundary:
        notes.append(f"The model of {layout.outcome.label} is at its boundary. {record.boundary_direction}")
    if layout.outcome.column == "spise" and "bmi" in layout.covariates:
        notes.append("BMI is part of the formula of SPISE; adjusted for it, the rest is triglycerides and HDL.")
    return notes


def _of_selection(layout: Layout) -> list[str]:
    if layout.specification.axis != BACKWARD:
        return []
    if reads_selected(layout.rows) is False:
        return ["Events are dated by fitted glucose, for which no single reading was selected."]
    if layout.own_terms:
        return [f"The readings marked by {' and '.join(layout.own_terms)} have terms of their own, zero along curves."]
    return [
        "The readings by which events are found have no terms of their own: where readings date the event, glucose is "
        "too high at the event and too low before it."
    ]


def _of_knots(searched: Found, label: str) -> list[str]:
    if searched.table.is_empty():
        return []
    if (searched.table["status"] == "held").all():
        return ["The knots were held, not chosen."]
    notes = ["Curves and differences take the knots as known; their intervals do not hold that they were chosen."]
    p_value = float(searched.table["p_value"].item(0))
    if p_value > DOUBTFUL:
        notes.append(
            f"Nothing shows that the line of the cases' {label} bends at all (p = {p_value:.2f} or less): the knots "
            "may date nothing."
        )
    if (searched.table["status"] == "at_edge").any():
        notes.append("A knot lies at the edge of the years that were searched; the bend may lie beyond.")
    return notes
