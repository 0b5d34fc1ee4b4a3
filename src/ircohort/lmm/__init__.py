"""Linear mixed models for repeated measurements of participants: numbers only, no drawing and no printing."""

from ircohort.lmm.bootstrap import draw_weights, gls_bootstrap
from ircohort.lmm.design import collinear_columns
from ircohort.lmm.fitting import fit
from ircohort.lmm.formula import TRANSFORMS, ModelFormula, parse_formula
from ircohort.lmm.prediction import design_matrix, random_design_matrix
from ircohort.lmm.record import Fit

__all__ = [
    "TRANSFORMS",
    "Fit",
    "ModelFormula",
    "collinear_columns",
    "design_matrix",
    "draw_weights",
    "fit",
    "gls_bootstrap",
    "parse_formula",
    "random_design_matrix",
]
