"""Detection held against simulated truth: the order in which it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from ircohort.detection import DetectSettings, detect
from ircohort.errors import UsageError
from ircohort.evaluation.cohorts import Cohort, cohort_seed, draw_cohort, pattern_of
from ircohort.evaluation.comparing import calibration, calibration_above, counts_and_rates, in_order, sample_of, summary
from ircohort.evaluation.record import THRESHOLDS, Evaluation
from ircohort.evaluation.rules import apply_rules
from ircohort.evaluation.side_by_side import compare_rules
from ircohort.evaluation.timing import LOOK_FROM_VISITS, alarms, detection_times, leads, no_times, seen_at
from ircohort.frames import to_polars
from ircohort.schema import PARTICIPANTS, require
from ircohort.simulation import DESIGNS, SAMPLE_SEED, Design, VisitPattern

DEFAULT_DESIGN = "population"
"""Whose physiology is simulated where none is named: people at large, whose sensitivity is lost as slowly as published
cohorts need. With people at risk (``clinic``) more have a window, and every flag is worth more."""

MOST_LANDMARKS = 24
"""Looks at a cohort with the visits of real people, at whole years; beyond so many, at every second, third, ..."""

Detector = Callable[[pl.DataFrame], Any]


def evaluate(
    design: Design | None = None,
    *,
    visits: Any = None,
    detector: Detector | None = None,
    settings: DetectSettings | None = None,
    cohorts: int = 1,
    seed: int = SAMPLE_SEED,
    rules: bool = True,
    over_time: bool = False,
) -> Evaluation:
    """Simulate cohorts, let a detector judge them, and compare with the truth.

    Parameters
    ----------
    design
        Whose physiology, and who is seen when. Default: :data:`DEFAULT_DESIGN`, with as many people as have a pattern
        where ``visits`` are given. What comes out depends on it: try several.
    visits
        VISITS (pandas or polars) of your own. Simulated people then come at the times at which yours came, and have
        measured what yours had (:func:`ircohort.evaluation.pattern_of`); nothing else of them is used.
    detector
        Takes VISITS with markers (polars) and gives a table of participants with ``participant_id`` and
        ``probability`` (null or no row: not assessable). Default: :func:`ircohort.detection.detect`.
    settings
        Of detection; the truth is judged by the same definition of a window, within the series that they let in.
        ``noise_check`` is left out: nothing here depends on it.
    cohorts
        How many cohorts to simulate, each with a seed of its own.
    seed
        A whole number from 0.
    rules
        Whether the simple rules are applied to the same people.
    over_time
        Whether detection is repeated at every planned visit (whole year of the pattern) on the visits so far, for the
        time to detection. Takes as many detections.

    Returns
    -------
    Evaluation
        Tables over all cohorts.

    Raises
    ------
    UsageError
        If ``cohorts`` or ``seed`` is out of range, if no visit of ``visits`` counts, or if the detector names a
        participant twice or gives a probability outside 0 to 1.

    Examples
    --------
    >>> def always(visits):
    ...     return visits.select("participant_id").unique().with_columns(probability=0.6)
    >>> found = evaluate(Design(n_participants=20), detector=always, seed=1)
    >>> found.counts.select("threshold", "n_flagged").rows()
    [(0.5, 20), (0.8, 0)]
    """
    _require_whole("number of cohorts", cohorts, 1)
    _require_whole("seed", seed, 0)
    given = settings or DetectSettings()
    pattern = None if visits is None else pattern_of(visits, given)
    usual = DESIGNS[DEFAULT_DESIGN]
    plan = design or (usual if pattern is None else replace(usual, n_participants=pattern.n_people))
    trial = Trial(plan, pattern, given, detector, rules, over_time)
    parts = [trial.judge(cohort_seed(seed, number), number) for number in range(cohorts)]
    people = pl.concat([part.people for part in parts])
    rated = pl.concat([part.rated for part in parts if part.rated is not None]) if rules else None
    found = assemble(people, rated, seed=seed, over_time=over_time)
    return found if detector else replace(found, notes=(*found.notes, *_of_refusals(people, given)))


def _of_refusals(people: pl.DataFrame, settings: DetectSettings) -> list[str]:
    """Say in how many cohorts detection judged nobody, and what it asks for."""
    judged = people.group_by("cohort").agg(pl.col("probability").is_not_null().any())["probability"]
    if judged.all():
        return []
    return [f"In {(~judged).sum()} of {len(judged)} cohorts nobody was judged: that takes {settings.asks_for}."]


def _require_whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise UsageError(f"The {name} is {value!r}.", expected=f"Expected is a whole number from {lowest}.")


@dataclass(frozen=True)
class Judged:
    """A judged cohort: ``people`` with truth, probability and times; ``rated`` by the simple rules, in their order."""

    people: pl.DataFrame
    rated: pl.DataFrame | None


@dataclass(frozen=True)
class Trial:
    """What is done to every cohort."""

    design: Design
    pattern: VisitPattern | None
    settings: DetectSettings
    detector: Detector | None
    rules: bool
    over_time: bool

    def judge(self, seed: int, number: int) -> Judged:
        """Simulate and judge one cohort."""
        cohort = draw_cohort(
            self.design,
            seed=seed,
            pattern=self.pattern,
            settings=self.settings,
            over_time=self.over_time,
        )
        ask = partial(self._stated, seed=seed)
        people = cohort.truth.join(ask(cohort.visits), on="participant_id", how="left", maintain_order="left")
        if self.over_time:
            people = _with_times(people, seen_at(cohort.visits, self._landmarks(cohort), ask))
        number_of = pl.lit(number, dtype=pl.Int64).alias("cohort")
        first = ["cohort", "participant_id", "hidden_window", "probability"]
        people = people.with_columns(number_of).select(*first, pl.exclude(first)).sort("participant_id")
        rated = None
        if self.rules:
            applied = apply_rules(cohort.visits, self.settings)
            rated = people.select("participant_id").join(
                applied, on="participant_id", how="left", maintain_order="left"
            )
        return Judged(people, rated)

    def _stated(self, visits: pl.DataFrame, *, seed: int) -> pl.DataFrame:
        found = (
            detect(visits, replace(self.settings, noise_check=False), seed=seed).participants
            if self.detector is None
            else self.detector(visits)
        )
        stated = require(to_polars(found), PARTICIPANTS, "probability").select("participant_id", "probability")
        if stated["participant_id"].is_duplicated().any():
            raise UsageError("The detector gave a participant twice.", expected="Expected is one row per participant.")
        return stated

    def _landmarks(self, cohort: Cohort) -> Sequence[float]:
        """Years at which the cohort is looked at: after each planned visit, or at whole years of the pattern."""
        if self.pattern is None:
            spacing = self.design.years_between_visits
            return [(k + 0.5) * spacing for k in range(LOOK_FROM_VISITS - 1, self.design.n_visits)]
        years = int(np.ceil(cohort.truth["follow_up_years"].max() or 0.0))  # type: ignore[arg-type]
        step = -(-years // MOST_LANDMARKS)
        return [float(year) for year in range(max(step, 1), years + 1, max(step, 1))]


def _with_times(people: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    for threshold in THRESHOLDS:
        times = seen.filter(pl.col("threshold") == threshold).select(
            "participant_id",
            pl.col("by_years").alias(f"by_{threshold}"),
            pl.col("after_years").alias(f"after_{threshold}"),
        )
        people = people.join(times, on="participant_id", how="left", maintain_order="left")
    return people


def compare(people: Any, *, seed: int = SAMPLE_SEED) -> Evaluation:
    """Compare stated probabilities with the truth.

    Parameters
    ----------
    people
        One row per person (pandas or polars): ``hidden_window`` (the truth), ``probability`` (null: not assessable),
        and, where there are several, ``cohort`` (whole numbers). Further columns stay.
    seed
        Of the bootstrap.

    Raises
    ------
    ColumnError
        If ``hidden_window`` or ``probability`` is missing.
    UsageError
        If a probability is not within 0 and 1, or somebody has no truth.

    Examples
    --------
    >>> people = pl.DataFrame({"hidden_window": [True, True, False, False], "probability": [0.9, 0.6, 0.7, 0.1]})
    >>> compare(people).summary["auc"].item()
    0.75
    """
    return assemble(in_order(to_polars(people)), None, seed=seed, over_time=False)


_TIMED = ("cohort", "follow_up_years", "window_true_years")
_PLANNED = "hidden_window_planned"


def assemble(people: pl.DataFrame, rated: pl.DataFrame | None, *, seed: int, over_time: bool) -> Evaluation:
    """Make the tables from judged people, sorted by cohort and name, and what the rules say of them."""
    sample = sample_of(people, seed)
    counts, rates = counts_and_rates(sample)
    compared = compare_rules(sample, rated)
    auc = compared.select("auc", "auc_low", "auc_high").row(0) if sample.assessable.any() else (None, None, None)
    timed = set(_TIMED) <= set(people.columns)
    planned = int(people[_PLANNED].sum()) if _PLANNED in people.columns else None
    return Evaluation(
        people=people,
        summary=summary(sample, auc, planned),
        counts=counts,
        rates=rates,
        calibration=calibration(sample),
        calibration_above=calibration_above(sample),
        rules=compared,
        detection_time=detection_times(people, seed) if over_time else no_times("detection_time"),
        lead=leads(people, seed) if over_time else no_times("lead"),
        alarms=alarms(people, seed, over_time=over_time) if timed else no_times("alarms"),
        intervals_over=sample.resampling.of,
        notes=_notes(sample.resampling.n_cohorts, int(counts["n_flagged"][-1])),
    )


def _notes(n_cohorts: int, n_flagged: int) -> tuple[str, ...]:
    notes = ["Everything here depends on the physiology that was simulated: another design gives other numbers."]
    if n_cohorts == 1:
        notes.append("One cohort was simulated: the intervals do not show what differs from cohort to cohort.")
    if n_flagged < FEW_FLAGGED:
        notes.append(
            f"Fewer than {FEW_FLAGGED} people were flagged from {THRESHOLDS[-1]:g}: what is said of them is uncertain."
        )
    return tuple(notes)


FEW_FLAGGED = 200
"""Fewer flagged people than this leave an interval of 0.05 or more to either side of a PPV of 0.85."""
