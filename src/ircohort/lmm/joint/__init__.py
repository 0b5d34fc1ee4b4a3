"""Two or three outcomes in one mixed model: random effects and residuals correlated across outcomes."""

from ircohort.lmm.joint.fitting import fit_joint
from ircohort.lmm.joint.inference import correlations
from ircohort.lmm.joint.prediction import predict_joint
from ircohort.lmm.joint.record import JointFit

__all__ = ["JointFit", "correlations", "fit_joint", "predict_joint"]
