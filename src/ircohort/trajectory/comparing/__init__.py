"""A cohort's own numbers beside the published ones, with what differs in design, in words.

A published number stands alone where the cohort does not support the same year and outcome, or where the two are not
the same quantity; the reason stands beside it. No test of agreement is made: another population, another laboratory.
"""

from ircohort.trajectory.comparing.studies import COMPARED, StudyDesign, design_of
from ircohort.trajectory.comparing.tables import ComparisonWithStudy, compare_cohort, compare_with

__all__ = ["COMPARED", "ComparisonWithStudy", "StudyDesign", "compare_cohort", "compare_with", "design_of"]
