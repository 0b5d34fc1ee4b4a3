"""What more visits, or more years, would buy: the same people seen by other schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from ircohort.detection import DetectSettings
from ircohort.errors import UsageError
from ircohort.evaluation.evaluating import DEFAULT_DESIGN, Detector, evaluate
from ircohort.evaluation.record import THRESHOLDS, Evaluation
from ircohort.simulation import DESIGNS, SAMPLE_SEED, Design

VISITS_PER_YEAR = (0.5, 1.0, 2.0)
YEARS = (6.0, 10.0, 16.0)
"""The usual grid; even, so that a visit every second year fits in."""

_RATES = ("ppv", "sensitivity", "share_of_all_true")


def schedule_schema() -> dict[str, Any]:
    """Give the columns of :func:`schedules`."""
    measures = ("prevalence", "auc", *(f"{rate}_{threshold:g}" for threshold in THRESHOLDS for rate in _RATES))
    counts = ("n_visits", "n_participants", "n_assessable", "n_true", *(f"n_flagged_{at:g}" for at in THRESHOLDS))
    return {
        "visits_per_year": pl.Float64,
        "years": pl.Float64,
        **dict.fromkeys(counts, pl.Int64),
        **{f"{name}{end}": pl.Float64 for name in measures for end in ("", "_low", "_high")},
    }


def schedules(
    design: Design | None = None,
    *,
    visits_per_year: Sequence[float] = VISITS_PER_YEAR,
    years: Sequence[float] = YEARS,
    detector: Detector | None = None,
    settings: DetectSettings | None = None,
    cohorts: int = 1,
    seed: int = SAMPLE_SEED,
    on_cell: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Evaluate detection under every combination of visits per year and years of follow-up.

    The same people, with the same courses, are seen under each schedule. A longer follow-up holds more windows: a
    window is looked for in the whole of it.

    Parameters
    ----------
    design
        Whose physiology; its own schedule is replaced. Default as for :func:`evaluate`.
    visits_per_year, years
        The grid; 0.5 is a visit every second year. The first and the last visit are ``years`` apart.
    detector, settings, cohorts, seed
        As for :func:`evaluate`.
    on_cell
        Told what is next, in words.

    Returns
    -------
    polars.DataFrame
        One row per schedule: ``visits_per_year``, ``years``, ``n_visits`` planned, ``n_participants``,
        ``n_assessable``, ``n_true``; ``prevalence`` and ``auc`` among the assessable; for each threshold (0.5, 0.8)
        ``n_flagged_<t>``, ``ppv_<t>``, ``sensitivity_<t>`` and ``share_of_all_true_<t>`` (flagged of all true
        windows, the not assessable included); each share with ``_low`` and ``_high``.

    Raises
    ------
    UsageError
        If years and visits per year do not make a whole number of intervals, or a number is out of range.

    Examples
    --------
    >>> def never(visits):
    ...     return visits.select("participant_id").unique().with_columns(probability=0.1)
    >>> table = schedules(Design(n_participants=10), visits_per_year=[1], years=[2, 4], detector=never, seed=1)
    >>> table.select("n_visits", "n_flagged_0.8").rows()
    [(3, 0), (5, 0)]
    """
    base = design or DESIGNS[DEFAULT_DESIGN]
    rows = []
    for often in visits_per_year:
        for long in years:
            if on_cell:
                on_cell(f"{often:g} {'visit' if often == 1 else 'visits'} a year for {long:g} years")
            plan = seen_by(base, often, long)
            found = evaluate(plan, detector=detector, settings=settings, cohorts=cohorts, seed=seed, rules=False)
            rows.append(
                {"visits_per_year": float(often), "years": float(long), "n_visits": plan.n_visits, **_row(found)}
            )
    return pl.DataFrame(rows, schema=schedule_schema())


def seen_by(design: Design, visits_per_year: float, years: float) -> Design:
    """Give a design another schedule; the jitter of visits keeps its share of the time between them."""
    intervals = years * visits_per_year if visits_per_year > 0 else 0
    if abs(intervals - round(intervals)) > 1e-9 or round(intervals) < 1:
        raise UsageError(
            f"{visits_per_year:g} visits a year do not fit into {years:g} years.",
            expected="Expected are years that hold a whole number of intervals, as 0.5 a year in 10 years.",
        )
    spacing = 1 / visits_per_year
    jitter = design.visit_jitter_years / design.years_between_visits * spacing
    return replace(design, n_visits=round(intervals) + 1, years_between_visits=spacing, visit_jitter_years=jitter)


def _row(found: Evaluation) -> dict[str, Any]:
    summary = found.summary.row(0, named=True)
    row = {name: summary[name] for name in summary if name in schedule_schema()}
    for count in found.counts.iter_rows(named=True):
        row[f"n_flagged_{count['threshold']:g}"] = count["n_flagged"]
    for rate in found.rates.filter(pl.col("rate").is_in(_RATES)).iter_rows(named=True):
        name = f"{rate['rate']}_{rate['threshold']:g}"
        row |= {name: rate["estimate"], f"{name}_low": rate["low"], f"{name}_high": rate["high"]}
    return row
