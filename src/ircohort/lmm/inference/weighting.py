"""What a fit with sampling weights cannot give."""

from __future__ import annotations

from ircohort.errors import ModelError, UsageError
from ircohort.lmm.record import Fit


def require_likelihood(fit: Fit, wanted: str) -> None:
    """Refuse what needs a likelihood where there is only a pseudo-likelihood."""
    if fit.weights_kind == "sampling":
        raise ModelError(
            f"{wanted} need a likelihood; with sampling weights there is only a pseudo-likelihood.",
            next_step="Use the cluster-robust covariance, or fit without weights.",
        )


def require_model_covariance(fit: Fit) -> None:
    """Refuse what rests on the model's own covariance where the likelihood is only a pseudo-likelihood."""
    if fit.weights_kind == "sampling":
        raise UsageError(
            "The fit has sampling weights, and its likelihood is only a pseudo-likelihood.",
            expected="Only the cluster-robust covariance (CR0, CR1 or CR2) holds for such a fit.",
            next_step='Ask for covariance="CR2".',
        )
