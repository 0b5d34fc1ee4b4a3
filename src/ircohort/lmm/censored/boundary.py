"""Whether a fit with censored readings is at the boundary of its parameters, judged by the observed likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.boundary import INDISTINGUISHABLE
from ircohort.lmm.censored.climb import Summit
from ircohort.lmm.censored.expectation import Cohort, Parameters, expect
from ircohort.lmm.search import lower_factor

Floats = NDArray[np.float64]


def describe_boundary(cohort: Cohort, summit: Summit, scaling: Floats, names: tuple[str, ...]) -> str:
    """Say in words which variance is zero or which correlation is one; an empty text if none is.

    A direction is at the boundary if taking its variance away, with all else as it is, costs less log-likelihood
    than :data:`ircohort.lmm.boundary.INDISTINGUISHABLE`. ``scaling`` (q, q) leads from the effects ``names`` to the
    basis of the cohort.
    """
    at = summit.at
    here = float(summit.found.log_likelihood.sum())

    def costs_nothing(covariance: Floats) -> bool:
        without = Parameters(at.b, lower_factor(covariance), at.s)
        return here - float(expect(cohort, without, summit.nodes).log_likelihood.sum()) < INDISTINGUISHABLE

    back = np.linalg.inv(scaling) @ at.A
    keeps = [np.diag([float(j != k) for j in range(len(names))]) for k in range(len(names))]
    flat = [
        name
        for name, keep in zip(names, keeps, strict=True)
        if costs_nothing(scaling @ keep @ back @ back.T @ keep @ scaling.T)
    ]
    if len(flat) == len(names) and costs_nothing(np.zeros_like(at.A)):
        return "Beyond measurement variation, people do not differ: every between-person variance is estimated as zero."
    if flat:
        spread = " and ".join(_in_words(name) for name in flat)
        return f"Beyond measurement variation, people do not differ in {spread}: the variance is estimated as zero."
    values, vectors = np.linalg.eigh(at.A @ at.A.T)
    values[0] = 0.0
    if len(names) > 1 and costs_nothing((vectors * values) @ vectors.T):
        every = " and ".join(_in_words(name) for name in names)
        return (
            f"The differences between people in {every} cannot be told apart: one is estimated to follow exactly from "
            "the other (a correlation of 1 or -1)."
        )
    return ""


def _in_words(name: str) -> str:
    return "their level" if name == "Intercept" else f"their change with {name}"
