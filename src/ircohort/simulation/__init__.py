"""Cohorts with known truth: falling insulin sensitivity, a beta cell that compensates, then fails, seen at visits.

Nothing about a hidden window is drawn in. Reference: ``docs/simulation.md``.
"""

from __future__ import annotations

from ircohort.simulation.cohort import EXPORTS, TRUTH_DIGITS, Simulated, simulate
from ircohort.simulation.design import DESIGNS, SAMPLE_SEED, Design

__all__ = ["DESIGNS", "EXPORTS", "SAMPLE_SEED", "TRUTH_DIGITS", "Design", "Simulated", "simulate"]
