"""What an evaluation gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

THRESHOLDS = (0.5, 0.8)
"""Probabilities from which a person counts as flagged: ``possible`` and ``hidden_window``."""

CALIBRATION_EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Bins of the stated probability; each includes its lower edge, the last both."""

CALIBRATION_LIMITS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Probabilities from which stated and observed are compared in the large; 0 takes in all assessable people."""

CELLS = ("true_positive", "false_positive", "false_negative", "true_negative", "true_not_assessed", "rest")
"""What a person is at a threshold; ``rest``: not assessable and without a window."""

RATES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "sensitivity": (("true_positive",), ("true_positive", "false_negative")),
        "specificity": (("true_negative",), ("true_negative", "false_positive")),
        "ppv": (("true_positive",), ("true_positive", "false_positive")),
        "npv": (("true_negative",), ("true_negative", "false_negative")),
        "fdr": (("false_positive",), ("true_positive", "false_positive")),
        "share_of_all_true": (("true_positive",), ("true_positive", "false_negative", "true_not_assessed")),
    }
)
"""Each rate as counts over counts: what is summed above and below the line. All but the last are of the assessable."""


@dataclass(frozen=True)
class Evaluation:
    """How a detector did on simulated cohorts. Shares are 0 to 1; null where nobody can be counted.

    ``people``: one row per participant: ``cohort`` (from 0), ``participant_id``, ``hidden_window`` (the truth, within
    the series that can be judged; of who has none, within those there are), ``probability`` (stated; null where not
    assessable), and what else is known of the truth, ``hidden_window_planned`` over the whole follow-up among it.

    ``summary``: one row: ``n_cohorts``, ``n_participants``, ``n_assessable``, ``n_true`` (a true window),
    ``n_true_planned`` (over the whole follow-up; null where that is not known), ``n_true_assessable``; among the
    assessable ``prevalence`` and ``auc``, each with ``_low`` and ``_high``.

    ``counts``: one row per threshold: ``threshold``, ``n_flagged``, ``true_positive``, ``false_positive``,
    ``false_negative``, ``true_negative``, ``true_not_assessed`` (a true window, not assessable), ``expected_false``
    (sum of 1 - probability over the flagged).

    ``rates``: one row per threshold and rate of :data:`RATES`: ``threshold``, ``rate``, ``estimate``, ``low``,
    ``high``, ``n`` (below the line).

    ``calibration``: one row per bin: ``bin_low``, ``bin_high``, ``n``, ``stated`` (mean probability), ``observed``
    (share with a true window), ``observed_low``, ``observed_high``.

    ``calibration_above``: one row per limit of :data:`CALIBRATION_LIMITS`: ``limit``, ``n`` at or above it, ``stated``,
    ``observed``, ``difference`` (observed less stated; below zero is over-confident), ``difference_low``,
    ``difference_high``, ``expected_false``, ``observed_false``.

    ``rules``: one row per rule and gate (:data:`ircohort.evaluation.RULES`, :data:`~ircohort.evaluation.GATES`) and
    per threshold of the detector (``rule`` = ``detect``, ``gate`` = ``from 0.5`` and the like), all on the same people:
    the assessable, or everyone where nobody is. ``n``, ``n_rated`` (whom the rule can rate), ``n_flagged``;
    ``sensitivity``, ``specificity``, ``ppv``, ``npv``, ``fdr``, ``auc``, ``ppv_top_2pct``, ``ppv_top_5pct``,
    ``ppv_top_prevalence``, each with ``_low`` and ``_high``. Who cannot be rated or does not pass the gate is not
    flagged and is ranked lowest.

    ``detection_time``, ``lead``, ``alarms``: see :mod:`ircohort.evaluation.timing`; without rows, but for the alarms of
    one look at the end, where detection was not repeated over the years.

    ``intervals_over``: what the bootstrap draws (``people``, ``cohorts and people`` or ``cohorts``). Intervals are
    95 %; those of shares and rates are the wider, on each side, of the bootstrap's and of Wilson's or the exact
    Poisson interval. ``notes``: sentences for the reader.
    """

    people: pl.DataFrame
    summary: pl.DataFrame
    counts: pl.DataFrame
    rates: pl.DataFrame
    calibration: pl.DataFrame
    calibration_above: pl.DataFrame
    rules: pl.DataFrame
    detection_time: pl.DataFrame
    lead: pl.DataFrame
    alarms: pl.DataFrame
    intervals_over: str
    notes: tuple[str, ...]
