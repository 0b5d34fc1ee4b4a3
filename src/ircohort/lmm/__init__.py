"""Linear mixed models for repeated measurements of participants: numbers only, no drawing."""

from ircohort.lmm.censored import CensoredFit, fit_censored
from ircohort.lmm.checks.diagnostics import Diagnostics, diagnostics
from ircohort.lmm.checks.visit_residuals import residuals
from ircohort.lmm.cohort import CohortSums, Plan, prepare, sum_up
from ircohort.lmm.design import collinear_columns
from ircohort.lmm.fitting import fit, fit_sums
from ircohort.lmm.formula import TRANSFORMS, ModelFormula, parse_formula
from ircohort.lmm.inference.bootstrap import (
    Bootstrap,
    bootstrap,
    bootstrap_intervals,
    draw_weights,
    gls_bootstrap,
)
from ircohort.lmm.inference.comparison import (
    InformationCriteria,
    LikelihoodRatioTest,
    information_criteria,
    likelihood_ratio_test,
)
from ircohort.lmm.inference.contrasts import band, contrasts, percent_per_unit
from ircohort.lmm.inference.explained import RSquared, icc, r_squared
from ircohort.lmm.inference.freedom import satterthwaite
from ircohort.lmm.inference.profiling import profile_intervals
from ircohort.lmm.inference.robust import robust_covariance
from ircohort.lmm.inference.wald import term_tests, wald_test
from ircohort.lmm.joint import JointFit, correlations, fit_joint, predict_joint
from ircohort.lmm.ladder import fit_with_fallback
from ircohort.lmm.prediction.posterior import Posterior, posterior, random_effects
from ircohort.lmm.prediction.predicting import predict
from ircohort.lmm.prediction.rows import design_matrix, random_design_matrix
from ircohort.lmm.record import Fit

__all__ = [
    "TRANSFORMS",
    "Bootstrap",
    "CensoredFit",
    "CohortSums",
    "Diagnostics",
    "Fit",
    "InformationCriteria",
    "JointFit",
    "LikelihoodRatioTest",
    "ModelFormula",
    "Plan",
    "Posterior",
    "RSquared",
    "band",
    "bootstrap",
    "bootstrap_intervals",
    "collinear_columns",
    "contrasts",
    "correlations",
    "design_matrix",
    "diagnostics",
    "draw_weights",
    "fit",
    "fit_censored",
    "fit_joint",
    "fit_sums",
    "fit_with_fallback",
    "gls_bootstrap",
    "icc",
    "information_criteria",
    "likelihood_ratio_test",
    "parse_formula",
    "percent_per_unit",
    "posterior",
    "predict",
    "predict_joint",
    "prepare",
    "profile_intervals",
    "r_squared",
    "random_design_matrix",
    "random_effects",
    "residuals",
    "robust_covariance",
    "satterthwaite",
    "sum_up",
    "term_tests",
    "wald_test",
]
