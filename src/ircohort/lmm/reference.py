"""The reference engine: statsmodels' MixedLM, walked through a ladder of optimisers, what it says kept."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.design import Design
from ircohort.lmm.likelihood import profile
from ircohort.lmm.search import lower_factor, maximise
from ircohort.lmm.sums import ParticipantSums, scaling_of

Floats = NDArray[np.float64]

OPTIMISERS = ("lbfgs", "bfgs", "powell", "nm")
"""In the order tried. lbfgs is the quickest; at a zero variance it may fail, and powell and nm do not."""

OPTIMISERS_DIAGONAL = ("lbfgs", "bfgs")
"""Those that keep fixed covariances fixed (documentation of MixedLM.fit, argument ``free``)."""

AGREEMENT = 1e-4
"""Largest difference in log-likelihood between two optimisers at a converged fit."""

_START_SIZES = (1.0, 0.3, 0.1, 0.03)
_INWARDS = 1e-6
# statsmodels says this wherever a variance is below 0.01, whatever its unit. Whether a fit is at the boundary is judged
# in boundary.py instead.
_FALSE_ALARM = "may be on the boundary"


@dataclass(frozen=True, eq=False)
class Rung:
    """What one optimiser left: the relative factor L (q, q), or None if it failed; and what it said."""

    L: Floats | None
    messages: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scaled:
    """The arrays of a design in its own basis."""

    y: Floats
    X: Floats
    Z: Floats


def climb_ladder(
    design: Design, sums: ParticipantSums, *, reml: bool, diagonal: bool
) -> tuple[Floats, bool, tuple[str, ...]]:
    """Let statsmodels' optimisers climb in turn, until one is met by a search of our own from elsewhere.

    Returns
    -------
    tuple
        The relative factor (q, q), whether two routes met at the highest point, and what was said on the way.
    """
    scaling = scaling_of(design.y, design.X, design.Z, diagonal=diagonal)
    whole = np.column_stack([design.Z, design.X, design.y]) @ scaling.inverse
    scaled = Scaled(whole[:, -1], whole[:, sums.q : -1], whole[:, : sums.q])
    messages: list[str] = []

    def height(L: Floats) -> float:
        return profile(sums, L, reml=reml).log_likelihood

    def route(L: Floats) -> Floats:
        return maximise(sums, L, reml=reml, diagonal=diagonal).L

    starts = sorted((size * np.eye(sums.q) for size in _START_SIZES), key=lambda L: -height(L))
    # The second opinion comes first, because it is quick: another optimiser, another way to compute the likelihood.
    found = [route(starts[0])]
    # The engine starts elsewhere, so that it has to find its own way to the same place.
    start = np.eye(sums.q)
    for optimiser in OPTIMISERS_DIAGONAL if diagonal else OPTIMISERS:
        rung = climb_rung(scaled, design.starts, optimiser, start, reml=reml, diagonal=diagonal)
        messages.extend(rung.messages)
        if rung.L is None:
            continue
        found.append(route(rung.L))
        start = max(found, key=height)
        short = height(start) - height(rung.L)
        if short > AGREEMENT:
            messages.append(f"{optimiser}: stopped {short:.3g} below the log-likelihood of the optimum")
        if _agree([height(L) for L in found]):
            return start, True, tuple(messages)
    messages.append("The optimisers disagreed, and further starts were tried")
    found.extend(route(L) for L in starts[1:])
    return max(found, key=height), _agree([height(L) for L in found]), tuple(messages)


def _agree(heights: list[float]) -> bool:
    """Tell whether two routes came to the highest point."""
    return len(heights) > 1 and max(heights) - sorted(heights)[-2] <= AGREEMENT


def climb_rung(
    scaled: Scaled, starts: NDArray[np.int64], optimiser: str, L: Floats, *, reml: bool, diagonal: bool
) -> Rung:
    """Let statsmodels fit the scaled design with one optimiser, from the relative factor ``L``."""
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams  # heavy, and only fits need it

    p, q = scaled.X.shape[1], scaled.Z.shape[1]
    groups = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(scaled.y))))
    free = MixedLMParams.from_components(np.ones(p), np.eye(q)) if diagonal else None
    # statsmodels factors the start, which must be inside the boundary.
    start = MixedLMParams.from_components(np.zeros(p), L @ L.T + _INWARDS * np.eye(q))
    with warnings.catch_warnings(record=True) as heard, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            model = MixedLM(scaled.y, scaled.X, groups, exog_re=scaled.Z)
            result = model.fit(start_params=start, reml=reml, method=optimiser, free=free)
            covariance = np.atleast_2d(np.asarray(result.cov_re_unscaled, dtype=float))
        except (np.linalg.LinAlgError, ValueError, ArithmeticError) as error:
            return Rung(None, (*_texts(heard, optimiser), f"{optimiser}: {error}"))
    if not np.isfinite(covariance).all():
        return Rung(None, (*_texts(heard, optimiser), f"{optimiser}: the covariance is not finite"))
    return Rung(lower_factor(covariance), _texts(heard, optimiser))


def _texts(heard: list[warnings.WarningMessage], optimiser: str) -> tuple[str, ...]:
    texts = dict.fromkeys(" ".join(str(warning.message).split()) for warning in heard)
    return tuple(f"{optimiser}: {text}" for text in texts if _FALSE_ALARM not in text)
