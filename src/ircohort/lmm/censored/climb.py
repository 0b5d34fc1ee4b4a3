"""The maximum of the observed-data likelihood: a quasi-Newton climb, then Newton steps that also give the information.

Nodes are held while a climb lasts, so that slope and likelihood belong together, and laid anew after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ircohort.lmm.censored.expectation import Cohort, Expected, Nodes, Parameters, expect, score

Floats = NDArray[np.float64]

Place = Callable[[Parameters], Nodes]

_SETTLED = 1e-10
_STEPS, _HALVINGS, _CLIMBS = 12, 12, 3
_SHIFT = 1e-4
_FLAT = 1e-7
"""Information below this share of the largest is none. A share of every direction among the fixed effects is far above
it, because the scaled columns have mean square one."""
_LEANS = 1e-3
_MOVED = 1e-3


@dataclass(frozen=True, eq=False)
class Layout:
    """How parameters stand in one vector: ``b`` (p,), the free elements of ``A`` (q, q), log ``s``."""

    p: int
    q: int
    diagonal: bool

    @property
    def _elements(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, columns = np.diag_indices(self.q) if self.diagonal else np.tril_indices(self.q)
        return rows, columns

    def pack(self, at: Parameters, *, last: float) -> Floats:
        """Give the vector, with ``last`` for the residual SD."""
        return np.concatenate([at.b, at.A[self._elements], [last]])

    def unpack(self, x: Floats) -> Parameters:
        """Give the parameters of a vector."""
        A = np.zeros((self.q, self.q))
        A[self._elements] = x[self.p : -1]
        return Parameters(x[: self.p], A, float(np.exp(x[-1])))


@dataclass(frozen=True, eq=False)
class Summit:
    """Where a climb came to: parameters, expectations there, the observed ``information``, and what is said of it."""

    at: Parameters
    found: Expected
    nodes: Nodes
    information: Floats
    settled: bool
    evaluations: int
    messages: tuple[str, ...]


class _Surface:
    """The log-likelihood over fixed nodes, with its slope; counts its evaluations."""

    def __init__(self, cohort: Cohort, layout: Layout) -> None:
        self.cohort, self.layout, self.evaluations = cohort, layout, 0

    def expect(self, x: Floats, nodes: Nodes) -> Expected:
        self.evaluations += 1
        return expect(self.cohort, self.layout.unpack(x), nodes)

    def value(self, x: Floats, nodes: Nodes) -> tuple[float, Floats]:
        found = self.expect(x, nodes)
        slope = score(self.cohort, self.layout.unpack(x), found)
        return float(found.log_likelihood.sum()), self.layout.pack(slope, last=slope.s)

    def curvature(self, x: Floats, nodes: Nodes) -> Floats:
        """Give the second derivatives by central differences of the slope."""
        shifts = _SHIFT * np.eye(len(x))
        rows = [(self.value(x + d, nodes)[1] - self.value(x - d, nodes)[1]) / (2 * _SHIFT) for d in shifts]
        H = np.array(rows)
        return 0.5 * (H + H.T)


def climb(cohort: Cohort, start: Parameters, place: Place, *, diagonal: bool, first_guess: Cohort) -> Summit:
    """Climb from ``start``.

    ``place`` lays the nodes for some parameters. ``first_guess`` is a cohort without censored visits that is alike,
    whose curvature the climb begins with.
    """
    layout = Layout(len(start.b), len(start.A), diagonal)
    surface = _Surface(cohort, layout)
    x = layout.pack(start, last=float(np.log(start.s)))
    none = Nodes(np.empty(0, dtype=np.int64), np.empty((layout.q, 0, 1)), np.empty((0, 1)))
    guess = _inverse_guess(_Surface(first_guess, layout).curvature(x, none))
    for _ in range(_CLIMBS):
        nodes = place(layout.unpack(x))
        before, x = x, _quasi_newton(surface, x, nodes, guess)
        if np.abs(x - before).max() < _MOVED:
            break
    return _settle(surface, x, place)


def _quasi_newton(surface: _Surface, x: Floats, nodes: Nodes, guess: Floats) -> Floats:
    def loss(x: Floats) -> tuple[float, Floats]:
        # A long step of the line search may leave the range of numbers; it is then taken back.
        with np.errstate(all="ignore"):
            value, slope = surface.value(x, nodes)
        return -value, -slope

    gtol = 1e-5 * float(surface.cohort.every.visits.sum())
    found = minimize(loss, x, jac=True, method="BFGS", options={"gtol": gtol, "hess_inv0": guess, "maxiter": 200})
    better = np.isfinite(found.fun) and found.fun <= loss(x)[0]
    return np.asarray(found.x if better else x)


def _inverse_guess(curvature: Floats) -> Floats:
    """Give the inverse of minus the curvature, with every direction made to fall."""
    values, vectors = np.linalg.eigh(-curvature)
    inverse = (vectors / np.maximum(np.abs(values), 1e-3 * np.abs(values).max())) @ vectors.T
    return np.asarray(0.5 * (inverse + inverse.T))


def _settle(surface: _Surface, x: Floats, place: Place) -> Summit:
    """Take Newton steps until the next one promises nothing; the curvature is kept while steps are small."""
    layout = surface.layout
    H: Floats | None = None
    settled = False
    for _ in range(_STEPS):
        nodes = place(layout.unpack(x))
        value, slope = surface.value(x, nodes)
        H = surface.curvature(x, nodes) if H is None else H
        values, vectors = np.linalg.eigh(-H)
        inverse = np.where(np.abs(values) > _FLAT * values[-1], 1.0 / np.abs(values), 0.0)
        step = (vectors * inverse) @ vectors.T @ slope
        settled = float(slope @ step) < _SETTLED
        if settled:
            break
        x = _along(surface, x, step, value, nodes)
        H = H if np.abs(step).max() < _MOVED else None
    nodes = place(layout.unpack(x))
    information = -(surface.curvature(x, nodes) if H is None else H)
    messages = _doubts(information, layout, settled)
    return Summit(
        layout.unpack(x), surface.expect(x, nodes), nodes, information, not messages, surface.evaluations, messages
    )


def _doubts(information: Floats, layout: Layout, settled: bool) -> tuple[str, ...]:
    """Say why this may be no maximum; an empty tuple if it is one."""
    doubts = [] if settled else ["The climb ended before the log-likelihood was stationary."]
    values, vectors = np.linalg.eigh(information)
    if values[0] < -_FLAT * values[-1]:
        doubts.append("The log-likelihood still grows in one direction.")
    flat = values <= _FLAT * values[-1]
    # A random effect without variance leaves directions flat in which nothing but its own covariances moves.
    others = np.r_[0 : layout.p, -1]
    if np.abs(vectors[others][:, flat]).max(initial=0.0) > _LEANS:
        doubts.append("Some fixed effect, or the residual variance, has no finite estimate: bounds do not hold it.")
    return tuple(doubts)


def _along(surface: _Surface, x: Floats, step: Floats, value: float, nodes: Nodes) -> Floats:
    """Go the step, or the largest of its halves that is not downhill."""
    for halving in range(_HALVINGS):
        moved: Floats = x + step * 0.5**halving
        if surface.value(moved, nodes)[0] >= value - 1e-9 * abs(value):
            return moved
    return x


def covariance_of_fixed(information: Floats, p: int) -> Floats:
    """Give the covariance (p, p) of the first p parameters, very large where the data tell nothing of them.

    Flat directions in which none of the p moves are left out.
    """
    values, vectors = np.linalg.eigh(information)
    without = (values <= _FLAT * values[-1]) & (np.abs(vectors[:p]).max(axis=0) <= _LEANS)
    inverse = np.where(without, 0.0, 1.0 / np.maximum(values, np.finfo(float).eps * values[-1]))
    covariance: Floats = (vectors * inverse) @ vectors.T
    return covariance[:p, :p]
