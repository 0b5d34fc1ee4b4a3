"""Linear mixed models for repeated measurements of participants: numbers only, no drawing and no printing."""

from ircohort.lmm.bootstrap import Bootstrap, bootstrap, bootstrap_intervals, draw_weights, gls_bootstrap
from ircohort.lmm.cohort import CohortSums, Plan, prepare, sum_up
from ircohort.lmm.design import collinear_columns
from ircohort.lmm.fitting import fit, fit_sums
from ircohort.lmm.formula import TRANSFORMS, ModelFormula, parse_formula
from ircohort.lmm.ladder import fit_with_fallback
from ircohort.lmm.prediction import design_matrix, random_design_matrix
from ircohort.lmm.record import Fit

__all__ = [
    "TRANSFORMS",
    "Bootstrap",
    "CohortSums",
    "Fit",
    "ModelFormula",
    "Plan",
    "bootstrap",
    "bootstrap_intervals",
    "collinear_columns",
    "design_matrix",
    "draw_weights",
    "fit",
    "fit_sums",
    "fit_with_fallback",
    "gls_bootstrap",
    "parse_formula",
    "prepare",
    "random_design_matrix",
    "sum_up",
]
