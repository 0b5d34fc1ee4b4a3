"""Whether a joint fit is at the boundary of its parameters, in a physician's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.boundary import INDISTINGUISHABLE
from ircohort.lmm.joint.likelihood import solve
from ircohort.lmm.joint.sums import JointSums

Floats = NDArray[np.float64]

NOBODY_DIFFERS = (
    "Beyond measurement variation, people do not differ: every between-person variance is estimated as zero."
)

_PARTAKES = 0.1
_PAIR = 2
_SAME = 1e-5


@dataclass(frozen=True)
class Boundary:
    """The positions of the effects whose variance is estimated as zero, and the boundary in words (or empty)."""

    flat: tuple[int, ...]
    sentence: str


def find_boundary(
    sums: JointSums, G: Floats, R: Floats, to_natural: Floats, names: Sequence[tuple[str, str]], *, reml: bool
) -> Boundary:
    """Find which variances are zero, or else which differences between people follow from one another.

    Parameters
    ----------
    sums, R
        The data and the residual covariance (K, K), in the scaled basis.
    G, to_natural
        The covariance of the random effects (q, q) in the natural basis, and the matrix (q, q) that leads there from
        the scaled basis.
    names
        Outcome and effect of each random effect.
    reml
        Which likelihood.
    """
    to_scaled = np.linalg.inv(to_natural)

    def height(covariance: Floats) -> float:
        return solve(sums, _root(to_scaled @ covariance @ to_scaled.T), R, reml=reml).log_likelihood

    here = height(G)

    def costs_nothing(covariance: Floats) -> bool:
        return here - height(covariance) < INDISTINGUISHABLE

    flat = tuple(k for k in range(len(names)) if costs_nothing(_without(G, k)))
    if len(flat) == len(names) and costs_nothing(np.zeros_like(G)):
        return Boundary(flat, NOBODY_DIFFERS)
    if flat:
        spread = _join([_in_words(*names[k]) for k in flat])
        return Boundary(
            flat, f"Beyond measurement variation, people do not differ in {spread}: the variance is estimated as zero."
        )
    sds = np.sqrt(np.diagonal(G))
    values, vectors = np.linalg.eigh(G / np.outer(sds, sds))
    values[0] = 0.0
    if costs_nothing(np.outer(sds, sds) * ((vectors * values) @ vectors.T)):
        partake = np.abs(vectors[:, 0]) > _PARTAKES
        return Boundary((), _follows([_in_words(*name) for name, has in zip(names, partake, strict=True) if has]))
    return Boundary((), "")


def _follows(effects: Sequence[str]) -> str:
    pair = len(effects) == _PAIR
    return (
        f"The differences between people in {_join(effects)} cannot be told apart: one is estimated to follow exactly "
        f"from the other{' (a correlation of 1 or -1)' if pair else 's'}."
    )


def describe_residuals(R: Floats, outcomes: Sequence[str]) -> str:
    """Say whether the measurement variation of one outcome follows from the others; empty if not."""
    sds = np.sqrt(np.diagonal(R))
    values, vectors = np.linalg.eigh(R / np.outer(sds, sds))
    if values[0] > _SAME:
        return ""
    involved = [name for name, load in zip(outcomes, vectors[:, 0], strict=True) if abs(load) > _PARTAKES]
    return (
        f"Within a draw, the measurement variation of {_join(involved)} cannot be told apart: one is estimated to "
        "follow exactly from the other."
    )


def _without(G: Floats, k: int) -> Floats:
    smaller = G.copy()
    smaller[k, :] = 0.0
    smaller[:, k] = 0.0
    return smaller


def _root(G: Floats) -> Floats:
    """Give a factor L with L L' = G, which may be singular."""
    values, vectors = np.linalg.eigh(0.5 * (G + G.T))
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _in_words(outcome: str, effect: str) -> str:
    return f"their level of {outcome}" if effect == "Intercept" else f"their change of {outcome} with {effect}"


def _join(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
