"""The optimum of the joint likelihood: a quasi-Newton climb, then Newton steps, then a look for ways further up."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ircohort.lmm.joint.likelihood import slopes, solve
from ircohort.lmm.joint.parameters import Parameters, gather_slopes, lay_out, unpack
from ircohort.lmm.joint.sums import JointSums, single

Floats = NDArray[np.float64]

SMALLEST = -11.0
"""The least logarithm of a residual standard deviation, over that around the fixed part alone, in a separate fit."""

LEAST_SHARE = -6.5
"""The least logarithm of the share of an outcome's residual standard deviation that the other outcomes do not explain.

There a correlation is within 3e-6 of 1 or -1, and the covariance can still be inverted with digits to spare.
"""

UNBOUNDED = 1.0
"""A log-likelihood that rises at the least share by more than this for each unit of its logarithm rises for ever."""

_MOST_STEPS = 2000
_ESCAPES = 8
_NEWTON_STEPS, _SHIFT, _LARGEST_STEP, _SETTLED = 6, 1e-4, 0.3, 1e-9
_NULL = 1e-7
_GAIN = 1e-5
_ESCAPE_STEPS = (1.0, 0.3, 0.1, 0.03, 0.01)
_LEAST_START = 0.1
_OUT_OF_REACH = -1e12


@dataclass(eq=False)
class Surface:
    """The log-likelihood as a function of theta (t,), none below ``floor`` (t,), with a count of its evaluations."""

    sums: JointSums
    parameters: Parameters
    reml: bool
    floor: Floats
    evaluations: int = field(default=0)

    def height_and_slope(self, theta: Floats) -> tuple[float, Floats]:
        """Give the log-likelihood and its derivative (t,)."""
        self.evaluations += 1
        L, C = unpack(self.parameters, theta)
        # A residual covariance too near to singular is a step too far, to be taken back.
        with np.errstate(all="ignore"):
            try:
                solution = solve(self.sums, L, C @ C.T, reml=self.reml)
            except np.linalg.LinAlgError:
                return _OUT_OF_REACH, np.zeros_like(theta)
        if not np.isfinite(solution.log_likelihood):
            return _OUT_OF_REACH, np.zeros_like(theta)
        by = slopes(self.sums, L, solution, reml=self.reml)
        return solution.log_likelihood, gather_slopes(self.parameters, C, by)

    def height(self, theta: Floats) -> float:
        """Give the log-likelihood."""
        return self.height_and_slope(theta)[0]


@dataclass(frozen=True, eq=False)
class Peak:
    """Where a search ended: theta (t,), the observed information there (t, t), and whether it is an optimum.

    Elements at their floor have no information. ``unbounded`` tells whether the log-likelihood rises without end there.
    """

    theta: Floats
    information: Floats
    converged: bool
    unbounded: bool
    messages: tuple[str, ...]


def climb_alone(sums: JointSums, outcome: int, *, reml: bool) -> tuple[Floats, float, int]:
    """Fit one outcome by itself: its L (q_k, q_k), residual standard deviation, and the evaluations it took."""
    alone = single(sums, outcome)
    parameters = lay_out(alone.of_random, 1, no_person=frozenset(), no_row=frozenset())
    surface = Surface(alone, parameters, reml, _floor(parameters, SMALLEST))
    start = np.where(parameters.diagonal, 0.5, 0.0)
    L, C = unpack(parameters, _climb(surface, start))
    return L, float(C[0, 0]), surface.evaluations


def _floor(parameters: Parameters, least: float | Floats) -> Floats:
    floor = np.full(parameters.size, -np.inf)
    floor[parameters.logarithms] = least
    return floor


def start_at(parameters: Parameters, alone: list[tuple[Floats, float, int]]) -> tuple[Floats, Floats]:
    """Give theta with the separate fits on the diagonal blocks, and its floor.

    A variance that a separate fit has at zero starts above it: at zero its derivative vanishes, optimum or not.
    """
    split = len(parameters.L_at[0])
    blocks = np.zeros((len(parameters.random_order),) * 2)
    at = 0
    for k in parameters.outcome_order:
        L = alone[k][0]
        blocks[at : at + len(L), at : at + len(L)] = L * np.where(np.diag(L) < 0, -1.0, 1.0)
        at += len(L)
    np.fill_diagonal(blocks, np.maximum(np.diag(blocks), _LEAST_START))
    theta = np.zeros(parameters.size)
    theta[:split] = blocks[parameters.L_at]
    theta[parameters.logarithms] = [np.log(alone[k][1]) for k in parameters.outcome_order]
    return theta, _floor(parameters, theta[parameters.logarithms] + LEAST_SHARE)


def search(surface: Surface, start: Floats) -> Peak:
    """Climb from ``start``; where the curvature shows a way up, as at a variance of zero that wants to grow, go on."""
    messages: list[str] = []
    theta = _climb(surface, start)
    for _ in range(_ESCAPES):
        information = _curvature(surface, theta)
        theta, moved = _settle(surface, theta, information)
        if moved:
            information = _curvature(surface, theta)
        further = _escape(surface, theta, information)
        if further is None:
            break
        messages.append("The climb stopped at a saddle and went on from there")
        theta = _climb(surface, further)
    slope = surface.height_and_slope(theta)[1]
    at_floor = _at_floor(surface, theta, slope)
    gain = 0.5 * float(slope @ _newton_step(np.where(at_floor, 0.0, slope), information))
    converged = gain < _GAIN and _escape(surface, theta, information) is None
    if not converged:
        messages.append(f"The search ended where the log-likelihood could still rise by about {gain:.3g}")
    unbounded = bool((slope[at_floor] < -UNBOUNDED).any())
    return Peak(theta, information, converged, unbounded, tuple(messages))


def _climb(surface: Surface, start: Floats) -> Floats:
    size = float(surface.sums.observations.sum())

    def loss(theta: Floats) -> tuple[float, Floats]:
        height, slope = surface.height_and_slope(theta)
        return -height / size, -slope / size

    bounds = [(least, None) for least in surface.floor]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": _MOST_STEPS, "maxfun": _MOST_STEPS, "maxcor": 30}
    found = minimize(loss, start, method="L-BFGS-B", jac=True, bounds=bounds, options=options)
    theta: Floats = found.x
    return theta


def _at_floor(surface: Surface, theta: Floats, slope: Floats) -> NDArray[np.bool_]:
    """Tell which elements are kept up by their floor, (t,)."""
    return (theta <= surface.floor + _SHIFT) & (slope < 0)


def _curvature(surface: Surface, theta: Floats) -> Floats:
    """Give the observed information by central differences of the slope, (t, t); zero for elements at the floor."""
    free = ~_at_floor(surface, theta, surface.height_and_slope(theta)[1])
    information = np.zeros((len(theta), len(theta)))
    for at in np.flatnonzero(free):
        shift = np.where(np.arange(len(theta)) == at, _SHIFT, 0.0)
        below, above = (surface.height_and_slope(theta + sign * shift)[1] for sign in (-1.0, 1.0))
        information[at] = (below - above) / (2 * _SHIFT)
    information[:, ~free] = 0.0
    return 0.5 * (information + information.T)


def _newton_step(slope: Floats, information: Floats) -> Floats:
    """Give the step to the optimum in the directions of upward curvature, (t,)."""
    values, vectors = np.linalg.eigh(information)
    known = values > _NULL * max(values[-1], 0.0)
    step: Floats = vectors[:, known] @ ((vectors[:, known].T @ slope) / values[known])
    return step


def _settle(surface: Surface, theta: Floats, information: Floats) -> tuple[Floats, bool]:
    """Step to the optimum as far as rounding lets it be known; a climb by the likelihood alone knows it to the root."""
    moved = False
    height, slope = surface.height_and_slope(theta)
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(np.where(_at_floor(surface, theta, slope), 0.0, slope), information)
        if np.abs(step).max() > _LARGEST_STEP:
            break
        further = np.maximum(theta + step, surface.floor)
        higher, flatter = surface.height_and_slope(further)
        if higher < height - _SETTLED or np.linalg.norm(flatter) >= np.linalg.norm(slope):
            break
        moved = moved or bool(np.abs(step).max() > _SHIFT)
        theta, height, slope = further, higher, flatter
    return theta, moved


def _escape(surface: Surface, theta: Floats, information: Floats) -> Floats | None:
    """Go along the direction in which the likelihood curves upwards, if it leads up by more than is left to gain."""
    values, vectors = np.linalg.eigh(information)
    if values[0] >= -_NULL * max(values[-1], 1.0):
        return None
    height = surface.height(theta)
    for size in _ESCAPE_STEPS:
        both = [np.maximum(theta + sign * size * vectors[:, 0], surface.floor) for sign in (1.0, -1.0)]
        best = max(both, key=surface.height)
        if surface.height(best) > height + _GAIN:
            return best
    return None
