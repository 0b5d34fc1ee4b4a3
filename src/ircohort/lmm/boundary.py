"""Whether a fit is at the boundary of its parameters, and what that means in a physician's words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.likelihood import profile
from ircohort.lmm.search import lower_factor
from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]

INDISTINGUISHABLE = 1e-4
"""A direction is at the boundary if taking its variance away costs less log-likelihood than this.

Judged by the likelihood, not by the size of the variance, so that units and scaling do not matter.
"""


def describe_boundary(sums: ParticipantSums, scaling: Floats, L: Floats, names: tuple[str, ...], *, reml: bool) -> str:
    """Say in words which variance is zero or which correlation is one; an empty text if none is.

    Parameters
    ----------
    sums, L
        The data and the relative factor (q, q), in the scaled basis.
    scaling
        The random part of the scaling (q, q).
    names
        The random effects.
    reml
        Which likelihood.
    """
    here = profile(sums, L, reml=reml).log_likelihood

    def costs_nothing(covariance: Floats) -> bool:
        return here - profile(sums, lower_factor(covariance), reml=reml).log_likelihood < INDISTINGUISHABLE

    back = np.linalg.inv(scaling) @ L
    G = back @ back.T
    flat = [name for k, name in enumerate(names) if costs_nothing(_rescaled(scaling, _without(G, k)))]
    if len(flat) == len(names) and costs_nothing(np.zeros_like(G)):
        return "Beyond measurement variation, people do not differ: every between-person variance is estimated as zero."
    if flat:
        spread = " and ".join(_in_words(name) for name in flat)
        return f"Beyond measurement variation, people do not differ in {spread}: the variance is estimated as zero."
    values, vectors = np.linalg.eigh(L @ L.T)
    values[0] = 0.0
    if len(names) > 1 and costs_nothing((vectors * values) @ vectors.T):
        every = " and ".join(_in_words(name) for name in names)
        return (
            f"The differences between people in {every} cannot be told apart: one is estimated to follow exactly from "
            "the other (a correlation of 1 or -1)."
        )
    return ""


def _without(G: Floats, k: int) -> Floats:
    smaller = G.copy()
    smaller[k, :] = 0.0
    smaller[:, k] = 0.0
    return smaller


def _rescaled(scaling: Floats, G: Floats) -> Floats:
    scaled: Floats = scaling @ G @ scaling.T
    return scaled


def _in_words(name: str) -> str:
    return "their level" if name == "Intercept" else f"their change with {name}"
