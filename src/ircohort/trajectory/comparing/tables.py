"""Fit a cohort as a study was, and lay its numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ircohort.errors import FormulaError, ModelError, UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.trajectory.alignment.rules import EVENTS
from ircohort.trajectory.comparing.own import COUNTERPARTS, Fits, in_one_line, own_number, why_incomparable
from ircohort.trajectory.comparing.studies import StudyDesign, dated_targets, design_of
from ircohort.trajectory.published import targets
from ircohort.trajectory.specifications.fitting import COVARIATES, fit_specification
from ircohort.trajectory.specifications.record import BACKWARD, SpecificationFit

_DESCRIBES = "Cases are chosen by what happened later: both sides describe, and neither predicts."
_WHO = "The populations and laboratories differ; a difference is no test of either side."

TABLE_SCHEMA: Mapping[str, Any] = {
    **dict.fromkeys(("event", "outcome", "own_outcome", "kind", "group", "unit"), pl.String),
    **dict.fromkeys((BACKWARD, "published", "published_low", "published_high"), pl.Float64),
    **dict.fromkeys(("own", "own_low", "own_high", "difference"), pl.Float64),
    **dict.fromkeys(("evidence", "reason"), pl.String),
}


@dataclass(frozen=True, eq=False)
class ComparisonWithStudy:
    """A study beside a cohort.

    Attributes
    ----------
    study, doi, source
        The study.
    table
        A row for each published number that has a time or a turn: ``event``, ``outcome``, ``own_outcome`` (what
        stands beside it), ``kind``, ``group`` (``difference``: cases minus comparison), ``unit``,
        ``years_to_event``, ``published``, ``published_low``, ``published_high``, ``own``, ``own_low``, ``own_high``
        (95 %), ``difference`` (own minus published), ``evidence`` of the published number, and ``reason``: why
        ``own`` is null.
    notes
        What differs in design, and what was left out, as sentences.
    """

    study: str
    doi: str
    source: str
    table: Any
    notes: tuple[str, ...]


def compare_cohort(
    study: str,
    aligned: Mapping[str, Any],
    *,
    covariates: Sequence[str] = COVARIATES,
    adjust_bmi: bool = False,
    own_terms: Sequence[str] | None = None,
    covariance: str = "model",
    min_people_per_year: int = 10,
) -> ComparisonWithStudy:
    """Fit the specification that is after a study, and set the cohort beside it.

    Parameters
    ----------
    study
        A name of :data:`COMPARED`, such as ``sagesaka-2018``.
    aligned
        For each event (``prediabetes``, ``diabetes``) the visits that :func:`ircohort.align` set on the time to it.
    covariates, adjust_bmi, own_terms, covariance, min_people_per_year
        As for :func:`fit_specification`.

    Returns
    -------
    ComparisonWithStudy
        What the data do not hold has a reason instead of a number.

    Raises
    ------
    UsageError
        If there is no such study or event.
    """
    design = design_of(study)
    _require_events(aligned)
    fits: dict[str, list[SpecificationFit]] = {event: [] for event in aligned}
    refusals: dict[tuple[str, str], str] = {}
    tables = {event: to_polars(visits) for event, visits in aligned.items()}
    for event, outcome in _wanted(study, aligned):
        if outcome not in tables[event].columns:
            refusals[event, outcome] = f"the visits have no column {outcome}"
            continue
        try:
            found = fit_specification(
                tables[event],
                outcome,
                design.specification,
                covariates=covariates,
                adjust_bmi=adjust_bmi,
                own_terms=own_terms,
                covariance=covariance,
                simultaneous=False,
                min_people_per_year=min_people_per_year,
            )
        except (ModelError, FormulaError) as error:
            refusals[event, outcome] = in_one_line(error)
        else:
            fits[event].append(found)
    return _compared(study, fits, refusals, kind=kind_of(next(iter(aligned.values()), pl.DataFrame())))


def compare_with(
    study: str,
    fits: Mapping[str, Sequence[SpecificationFit]],
    *,
    refusals: Mapping[tuple[str, str], str] | None = None,
) -> ComparisonWithStudy:
    """Set fitted specifications beside a study.

    Parameters
    ----------
    study
        A name of :data:`COMPARED`.
    fits
        For each event that the visits were aligned on (``prediabetes``, ``diabetes``) one fit per outcome, by any
        specification; knots need ``tabak``.
    refusals
        Why there is no fit of an event and outcome.

    Returns
    -------
    ComparisonWithStudy
        See there.

    Raises
    ------
    UsageError
        If there is no such study or event.

    Examples
    --------
    >>> compare_with("sagesaka-2018", {}).table.select("published", "own", "reason").row(0)
    (101.5, None, 'no visits aligned on diabetes were given')
    """
    _require_events(fits)
    frames = [found.curves for given in fits.values() for found in given]
    return _compared(study, fits, refusals or {}, kind=kind_of(frames[0] if frames else pl.DataFrame()))


def _compared(
    study: str,
    fits: Mapping[str, Sequence[SpecificationFit]],
    refusals: Mapping[tuple[str, str], str],
    *,
    kind: Callable[[pl.DataFrame], Any],
) -> ComparisonWithStudy:
    design = design_of(study)
    by_outcome = {event: {found.outcome.column: found for found in given} for event, given in fits.items()}
    rows = [_beside(row, by_outcome, refusals) for row in dated_targets(study).iter_rows(named=True)]
    published = targets(study)
    notes = [*design.differs, *_own_notes(by_outcome, design), _DESCRIBES, _WHO]
    return ComparisonWithStudy(
        study=study,
        doi=published["doi"].item(0) or "",
        source=published["source"].item(0),
        table=kind(pl.DataFrame(rows, schema=TABLE_SCHEMA)),
        notes=tuple(notes),
    )


def _require_events(given: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - set(EVENTS))
    if unknown:
        raise UsageError(f"There is no event {unknown[0]!r}.", expected=f"Known are: {', '.join(EVENTS)}.")


def _wanted(study: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the events and own outcomes of which a study has numbers that compare."""
    rows = dated_targets(study).iter_rows(named=True)
    pairs = [(row["event"], COUNTERPARTS[row["outcome"]].outcome) for row in rows if not why_incomparable(row)]
    return [pair for pair in dict.fromkeys(pairs) if pair[0] in given]


def _beside(row: Mapping[str, Any], fits: Fits, refusals: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """Lay out one published number and its own counterpart."""
    own, counterpart = own_number(row, fits, refusals), COUNTERPARTS.get(row["outcome"])
    return {
        **{name: row[name] for name in ("event", "outcome", "kind", "group", "unit", BACKWARD, "evidence")},
        "own_outcome": None if counterpart is None else counterpart.outcome,
        "published": row["value"],
        "published_low": row["low"],
        "published_high": row["high"],
        "own": own.value,
        "own_low": own.low,
        "own_high": own.high,
        "difference": None if own.value is None else own.value - row["value"],
        "reason": own.reason,
    }


def _own_notes(fits: Mapping[str, Mapping[str, SpecificationFit]], design: StudyDesign) -> list[str]:
    """Say how the own numbers were made, and what limits them; a sentence that many fits share is said once."""
    every = [found for by_outcome in fits.values() for found in by_outcome.values()]
    if not every:
        return []
    models = dict.fromkeys(f"{found.specification.label}; {found.specification.source}" for found in every)
    notes = [f"Own numbers are by {' and '.join(models)}."]
    if any(found.specification.name != design.specification for found in every):
        notes.append(f"The specification after this study is {design.specification}.")
    if any(found.bmi_adjusted for found in every):
        notes.append("Own numbers are adjusted for BMI at the visit; the published ones are not known to be.")
    shared = [found.notes[1:] for found in every]
    return [*notes, *dict.fromkeys(sentence for sentences in shared for sentence in sentences)]
