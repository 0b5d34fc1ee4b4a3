"""Detection against simulated truth: what a flag is worth, beside simple rules, and what more visits would buy.

Reference: ``docs/evaluation.md``.
"""

from __future__ import annotations

from ircohort.evaluation.cohorts import pattern_of, visits_of
from ircohort.evaluation.evaluating import DEFAULT_DESIGN, compare, evaluate
from ircohort.evaluation.ranking import area_under_curve, precision_at_top
from ircohort.evaluation.record import CALIBRATION_EDGES, CALIBRATION_LIMITS, RATES, THRESHOLDS, Evaluation
from ircohort.evaluation.resampling import wilson
from ircohort.evaluation.rules import GATES, RULES, apply_rules
from ircohort.evaluation.schedules import schedules

__all__ = [
    "CALIBRATION_EDGES",
    "CALIBRATION_LIMITS",
    "DEFAULT_DESIGN",
    "GATES",
    "RATES",
    "RULES",
    "THRESHOLDS",
    "Evaluation",
    "apply_rules",
    "area_under_curve",
    "compare",
    "evaluate",
    "pattern_of",
    "precision_at_top",
    "schedules",
    "visits_of",
    "wilson",
]
