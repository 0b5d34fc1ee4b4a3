"""Cohorts with known truth: falling insulin sensitivity, a beta cell that compensates, then fails, seen at visits.

Nothing about a hidden window is drawn in. Reference: ``docs/simulation.md``.
"""

from __future__ import annotations

from ircohort.simulation.cohort import Simulated, TrueCourses, simulate, true_courses
from ircohort.simulation.design import DESIGNS, SAMPLE_SEED, Design
from ircohort.simulation.parameter import Parameter, listed, read_value, with_values
from ircohort.simulation.pattern import VisitPattern
from ircohort.simulation.population import Effect, Population
from ircohort.simulation.reading import EXPORTS
from ircohort.simulation.traits import Assay, BetaCells, Decliners, DropOut, Puberty, Readings, Treatment, Weight
from ircohort.simulation.truth import TRAIT_DIGITS, TRUTH_DIGITS

__all__ = [
    "DESIGNS",
    "EXPORTS",
    "SAMPLE_SEED",
    "TRAIT_DIGITS",
    "TRUTH_DIGITS",
    "Assay",
    "BetaCells",
    "Decliners",
    "Design",
    "DropOut",
    "Effect",
    "Parameter",
    "Population",
    "Puberty",
    "Readings",
    "Simulated",
    "Treatment",
    "TrueCourses",
    "VisitPattern",
    "Weight",
    "listed",
    "read_value",
    "simulate",
    "true_courses",
    "with_values",
]
