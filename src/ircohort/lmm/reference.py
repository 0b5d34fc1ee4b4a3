"""The engine of this version: statsmodels' MixedLM, walked through a ladder of optimisers, what it says kept."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.sums import Scaled

Floats = NDArray[np.float64]

OPTIMISERS = ("lbfgs", "bfgs", "powell", "nm")
"""In the order tried. lbfgs is the quickest; at a zero variance it may fail, and powell and nm do not."""

OPTIMISERS_DIAGONAL = ("lbfgs", "bfgs")
"""Those that keep fixed covariances fixed (documentation of MixedLM.fit, argument ``free``)."""

_INWARDS = 1e-6
# statsmodels says this wherever a variance is below 0.01, whatever its unit. Whether a fit is at the boundary is judged
# in boundary.py instead.
_FALSE_ALARM = "may be on the boundary"


@dataclass(frozen=True, eq=False)
class Rung:
    """What one optimiser left: the relative factor L (q, q), or None if it failed; and what it said."""

    L: Floats | None
    messages: tuple[str, ...]


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


def lower_factor(covariance: Floats) -> Floats:
    """Give the lower triangular L with L L' = ``covariance`` (q, q), which may be singular."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    R: Floats = np.asarray(np.linalg.qr((vectors * np.sqrt(np.clip(values, 0, None))).T, mode="r"), dtype=float)
    L: Floats = R.T * np.where(np.diagonal(R) < 0, -1.0, 1.0)
    return L


def _texts(heard: list[warnings.WarningMessage], optimiser: str) -> tuple[str, ...]:
    texts = dict.fromkeys(" ".join(str(warning.message).split()) for warning in heard)
    return tuple(f"{optimiser}: {text}" for text in texts if _FALSE_ALARM not in text)
