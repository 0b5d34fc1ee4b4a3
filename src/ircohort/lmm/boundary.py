"""Whether a fit is at the boundary of its parameters, and what that means in a physician's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INDISTINGUISHABLE = 1e-4
"""A direction is at the boundary if taking its variance away costs less log-likelihood than this.

Judged by the likelihood, not by the size of the variance, so that units and scaling do not matter.
"""

NOBODY_DIFFERS = (
    "Beyond measurement variation, people do not differ: every between-person variance is estimated as zero."
)

PARTAKES = 0.1
"""An effect has part in a null direction that weighs it by more than this, in standard deviations."""


@dataclass(frozen=True)
class Boundary:
    """The places of the effects whose variance is estimated as zero, and the boundary in words; empty if there is none.

    With a correlation of one no single variance is zero.
    """

    flat: tuple[int, ...]
    sentence: str


def find_boundary(
    G: Floats, here: float, scaling: Floats, effects: Sequence[str], log_likelihood: Callable[[Floats], float]
) -> Boundary:
    """Find which variances are zero, or else which differences between people follow from one another.

    Parameters
    ----------
    G
        The covariance of the random effects (q, q), in the scaled basis.
    here
        The log-likelihood at it.
    scaling
        What leads from the effects to the scaled basis (q, q).
    effects
        Each effect in words, as ``their level``.
    log_likelihood
        At a covariance in the scaled basis, all else being as it is, or its best.
    """

    def costs_nothing(covariance: Floats) -> bool:
        return here - log_likelihood(covariance) < INDISTINGUISHABLE

    natural = np.linalg.solve(scaling, np.linalg.solve(scaling, G).T)
    flat = tuple(k for k in range(len(G)) if costs_nothing(scaling @ _without(natural, k) @ scaling.T))
    if len(flat) == len(G) and costs_nothing(np.zeros_like(G)):
        return Boundary(flat, NOBODY_DIFFERS)
    if flat:
        spread = enumerated([effects[k] for k in flat])
        return Boundary(
            flat, f"Beyond measurement variation, people do not differ in {spread}: the variance is estimated as zero."
        )
    values, vectors = np.linalg.eigh(G)
    values[0] = 0.0
    if len(G) == 1 or not costs_nothing((vectors * values) @ vectors.T):
        return Boundary((), "")
    weights = np.abs(scaling.T @ vectors[:, 0]) * np.sqrt(np.diagonal(natural))
    partakes = weights > PARTAKES * np.linalg.norm(weights)
    return Boundary((), _follows([effect for effect, does in zip(effects, partakes, strict=True) if does]))


def in_words(effect: str, outcome: str = "") -> str:
    """Say an effect in words; of which outcome, if there are several.

    Examples
    --------
    >>> in_words("years"), in_words("Intercept", "glucose")
    ('their change with years', 'their level of glucose')
    """
    of = f" of {outcome}" if outcome else ""
    return f"their level{of}" if effect == "Intercept" else f"their change{of} with {effect}"


def _follows(effects: Sequence[str]) -> str:
    others = " (a correlation of 1 or -1)" if len(effects) <= 2 else "s"
    return (
        f"The differences between people in {enumerated(effects)} cannot be told apart: one is estimated to follow "
        f"exactly from the other{others}."
    )


def _without(G: Floats, k: int) -> Floats:
    smaller = G.copy()
    smaller[k, :] = 0.0
    smaller[:, k] = 0.0
    return smaller


def enumerated(words: Sequence[str]) -> str:
    """Join words by commas, the last by *and*."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
