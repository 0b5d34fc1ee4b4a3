"""How well the fixed effects are known: their covariance, of the model or robust, with its degrees of freedom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ircohort.errors import UsageError
from ircohort.lmm.inference.freedom import contrast_freedom, contrast_rows, variance_information
from ircohort.lmm.inference.robust import KINDS, Sandwich, hotelling_freedom, robust_freedom, sandwich
from ircohort.lmm.inference.weighting import require_model_covariance
from ircohort.lmm.record import Fit

if TYPE_CHECKING:
    from ircohort.lmm.censored.record import CensoredFit
    from ircohort.lmm.joint.record import JointFit

Floats = NDArray[np.float64]

COVARIANCES = ("model", *KINDS)
FREEDOMS = ("satterthwaite", "normal")

Named = Mapping[str, Mapping[str, float]] | Mapping[str, Mapping[tuple[str, str], float]]
"""For each contrast by name the weights of fixed effects; these by name, or of several outcomes by outcome and name."""


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


def knowledge_of(fit: Fit | CensoredFit | JointFit, covariance: str, freedom: str | None) -> Knowledge:
    """Put together what a covariance and a kind of degrees of freedom (see :data:`COVARIANCES`) say of a fit.

    Of a fit by least squares the covariance is CR1. Fits with bounds and of several outcomes have the observed
    information of all parameters, and normal limits.
    """
    for name, given, known in (("covariance", covariance, COVARIANCES), ("freedom", freedom, (*FREEDOMS, None))):
        if given not in known:
            raise UsageError(f"There is no {name} {given!r}.", expected=f"One of {', '.join(filter(None, known))}.")
    if not isinstance(fit, Fit):
        _require_plain(fit, covariance, freedom)
        return Knowledge(fit.coefficients, fit.fixed_covariance, fit.fixed_covariance, *_normal())
    if fit.engine == "ols" and covariance == "model":
        covariance = "CR1"
    if covariance == "model":
        require_model_covariance(fit)
        judged = _normal() if freedom == "normal" else _from_model(fit)
        return Knowledge(fit.coefficients, fit.fixed_covariance, fit.fixed_covariance, *judged)
    found = sandwich(fit, covariance)
    working = found.to_scaled @ found.M @ found.to_scaled.T
    judged = _normal() if freedom == "normal" else _from_sandwich(found, covariance)
    return Knowledge(fit.coefficients, found.covariance, working, *judged)


def _require_plain(fit: CensoredFit | JointFit, covariance: str, freedom: str | None) -> None:
    """Refuse what a fit with bounds, or of several outcomes, cannot say of its fixed effects."""
    asked = [f'covariance="{covariance}"'] * (covariance != "model") + [f'freedom="{freedom}"'] * (
        freedom not in (None, "normal")
    )
    if asked:
        raise UsageError(
            f"A {type(fit).__name__} has no {asked[0]}.",
            expected='It has the covariance of the observed information and normal limits: covariance="model", '
            'freedom="normal", which are its default.',
        )


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
    fit: Fit | CensoredFit | JointFit,
    C: ArrayLike | Named,
    names: Sequence[str] | None,
) -> tuple[Floats, list[str]]:
    """Give contrasts as an array (k, p) with their names, refusing a term that the fit does not have."""
    if isinstance(C, Mapping):
        _require_weights(C)
        unknown = sorted({str(term) for weights in C.values() for term in weights if term not in fit.fixed_names})
        if unknown:
            known = ", ".join(str(name) for name in fit.fixed_names)
            raise UsageError(f"The fit has no fixed effect {unknown[0]}.", expected=f"It has: {known}.")
        each: list[dict[Any, float]] = [dict(weights) for weights in C.values()]
        rows = [[float(weights.get(name, 0.0)) for name in fit.fixed_names] for weights in each]
        found, labels = contrast_rows(fit, np.reshape(rows, (len(C), -1))), list(C)
    else:
        found = contrast_rows(fit, C)
        labels = [f"contrast {k + 1}" for k in range(len(found))] if names is None else list(names)
    if len(labels) != len(found):
        raise UsageError(f"There are {len(labels)} names for {len(found)} contrasts.")
    return found, labels


def _require_weights(C: Named) -> None:
    """Refuse contrasts by name that do not say which terms count how much."""
    for name, weights in C.items():
        numbers = isinstance(weights, Mapping) and all(
            isinstance(one, int | float | np.number) for one in weights.values()
        )
        if not numbers:
            raise UsageError(
                f"The contrast {name!r} is given as {type(weights).__name__}.",
                expected='Weights of terms, such as {"years": 1, "years:case": 1}.',
            )
