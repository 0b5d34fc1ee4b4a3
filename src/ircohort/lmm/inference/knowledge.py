"""How well the fixed effects are known: their covariance, of the model or robust, with its degrees of freedom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ircohort.errors import UsageError
from ircohort.lmm.inference.freedom import contrast_freedom, contrast_rows, variance_information
from ircohort.lmm.inference.robust import KINDS, Sandwich, hotelling_freedom, robust_freedom, sandwich
from ircohort.lmm.inference.weighting import require_model_covariance
from ircohort.lmm.record import Fit

Floats = NDArray[np.float64]

COVARIANCES = ("model", *KINDS)
FREEDOMS = ("satterthwaite", "normal")


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What is known of the fixed effects: estimates (p,), covariance (p, p), and degrees of freedom.

    ``working`` (p, p) is the covariance of the working model, up to a factor: of full rank whatever the participants.
    ``freedom`` takes contrasts (k, p) and gives (k,); ``joint`` takes contrasts of full rank k and their squared
    distance from zero, and gives F and its denominator degrees of freedom.
    """

    estimates: Floats
    covariance: Floats
    working: Floats
    freedom: Callable[[Floats], Floats]
    joint: Callable[[Floats, float], tuple[float, float]]
    method: str

    def errors(self, C: Floats) -> Floats:
        """Give the standard errors of contrasts (k, p): (k,)."""
        found: Floats = np.sqrt(np.maximum(np.einsum("kp,pr,kr->k", C, self.covariance, C), 0.0))
        return found


Judged = tuple[Callable[[Floats], Floats], Callable[[Floats, float], tuple[float, float]], str]
"""The fields ``freedom``, ``joint`` and ``method`` of :class:`Knowledge`."""


def knowledge_of(fit: Fit, covariance: str, freedom: str) -> Knowledge:
    """Put together what a covariance and a kind of degrees of freedom (see :data:`COVARIANCES`) say of a fit."""
    for name, given, known in (("covariance", covariance, COVARIANCES), ("freedom", freedom, FREEDOMS)):
        if given not in known:
            raise UsageError(f"There is no {name} {given!r}.", expected=f"One of {', '.join(known)}.")
    if covariance == "model":
        require_model_covariance(fit)
        judged = _normal() if freedom == "normal" else _from_model(fit)
        return Knowledge(fit.coefficients, fit.fixed_covariance, fit.fixed_covariance, *judged)
    found = sandwich(fit, covariance)
    working = found.to_scaled @ found.M @ found.to_scaled.T
    judged = _normal() if freedom == "normal" else _from_sandwich(found, covariance)
    return Knowledge(fit.coefficients, found.covariance, working, *judged)


def _normal() -> Judged:
    infinite = float("inf")
    return lambda C: np.full(len(C), infinite), lambda C, squares: (squares / len(C), infinite), "normal"


def _from_model(fit: Fit) -> Judged:
    information, matrix = variance_information(fit), fit.fixed_covariance

    def freedom(C: Floats) -> Floats:
        return contrast_freedom(information, matrix, C)

    def fai_cornelius(C: Floats, squares: float) -> tuple[float, float]:
        axes = np.linalg.eigh(C @ matrix @ C.T)[1].T @ C
        return squares / len(C), _pooled(freedom(axes))

    return freedom, fai_cornelius, information.method


def _from_sandwich(found: Sandwich, covariance: str) -> Judged:
    def hotelling(C: Floats, squares: float) -> tuple[float, float]:
        wishart = hotelling_freedom(found, C)
        left = wishart - len(C) + 1
        return squares / len(C) * left / wishart, left

    return lambda C: robust_freedom(found, C), hotelling, f"Satterthwaite of {covariance}"


def _pooled(freedoms: Floats) -> float:
    """Give the denominator degrees of freedom of a sum of squared independent t statistics, as lmerTest does."""
    q = len(freedoms)
    if q == 1 or np.ptp(freedoms) < 1e-8:
        return float(freedoms.mean())
    if (freedoms <= 2).any():
        return 2.0
    expected = float((freedoms / (freedoms - 2)).sum())
    return 2 * expected / (expected - q)


def named_rows(
    fit: Fit, C: ArrayLike | Mapping[str, Mapping[str, float]], names: Sequence[str] | None
) -> tuple[Floats, list[str]]:
    """Give contrasts as an array (k, p) with their names, refusing a term that the fit does not have."""
    if isinstance(C, Mapping):
        unknown = sorted({term for weights in C.values() for term in weights} - set(fit.fixed_names))
        if unknown:
            raise UsageError(
                f"The fit has no fixed effect {unknown[0]}.", expected=f"It has: {', '.join(fit.fixed_names)}."
            )
        rows = [[float(weights.get(name, 0.0)) for name in fit.fixed_names] for weights in C.values()]
        found, labels = contrast_rows(fit, np.reshape(rows, (len(C), -1))), list(C)
    else:
        found = contrast_rows(fit, C)
        labels = [f"contrast {k + 1}" for k in range(len(found))] if names is None else list(names)
    if len(labels) != len(found):
        raise UsageError(f"There are {len(labels)} names for {len(found)} contrasts.")
    return found, labels
