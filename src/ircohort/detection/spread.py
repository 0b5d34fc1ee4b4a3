"""Two questions to ask of a cohort before anybody in it is judged.

Do people's slopes differ at all (the profile interval of the SD of slopes)? And do the readings scatter independently
around each person's line (otherwise a slow swing looks like a rise)?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import gammaincinv

Floats = NDArray[np.float64]
_DROP = 2 * float(gammaincinv(0.5, 0.95))
_LEAST_SPREAD = 1e-9
_ALIKE = 1e-6  # SD of the log readings of a whole cohort, below which they differ by rounding only
USUAL_SD = {"insulin": 0.012, "tg_hdl": 0.0075}
"""SD of slopes of each log marker per year in simulated people at large."""

LEAST_VISIBLE = 1.0
"""Standard errors that the square of the usual SD must be worth. Where it is one, only every sixth cohort tells such an
SD from zero, by luck, and takes its square for more than twice as large.

Source: Gelman and Carlin 2014, Perspect Psychol Sci 9:641, doi:10.1177/1745691614551642.
"""

SERIAL_LIMIT = 0.02
"""Lag-one correlation beyond the model's from which flags are lowered; a choice, not a measured limit."""


@dataclass(frozen=True)
class SlopeSpread:
    """The marker's slopes in one normal population, on the scale of the outcome per year.

    ``sd`` with its 95 % profile interval ``low`` to ``high``; ``mean`` slope; ``residual_sd`` of one reading;
    ``visible`` how many standard errors the square of the usual SD would be; ``serial`` lag-one correlation of
    neighbouring readings beyond what the model expects, with its standard error ``serial_se``; both NaN where no two
    readings neighbour.
    """

    sd: float
    low: float
    high: float
    mean: float
    residual_sd: float
    visible: float
    serial: float
    serial_se: float

    @property
    def identifiable(self) -> bool:
        """Whether the interval of the SD of slopes leaves out zero."""
        return self.low > 0

    @property
    def obstacle(self) -> str | None:
        """Why nobody can be judged by a marker whose slopes spread so, or None."""
        if not self.identifiable:
            return "the spread of slopes between people cannot be told from zero in this cohort"
        if self.visible < LEAST_VISIBLE:
            return "so few people and visits do not show how much slopes differ between people"
        return None

    @property
    def serially_correlated(self) -> bool:
        """Whether the lag-one correlation lies beyond the limit, and clearly so."""
        return self.serial - 1.96 * self.serial_se > SERIAL_LIMIT


@dataclass(frozen=True)
class _Lines:
    """Sums per person of one outcome: ``count``, ``t``, ``tt``, ``y``, ``ty``, ``yy``, each (n,)."""

    count: Floats
    t: Floats
    tt: Floats
    y: Floats
    ty: Floats
    yy: Floats


def _sums(person: NDArray[np.intp], t: Floats, y: Floats) -> _Lines:
    n = int(person[-1]) + 1
    weights = (np.ones_like(t), t, t * t, y, t * y, y * y)
    return _Lines(*(np.bincount(person, weights=w, minlength=n).astype(float) for w in weights))


def _whitened(lines: _Lines, values: Floats, slope_sd: float) -> tuple[Floats, ...]:
    """Root of the lines' covariance, residual variance, and the inverse (a, b, d) of I + L'Z'ZL / s2 with its log det.

    ``values`` are the log SD of the levels, the angle that sets their correlation with the slopes, and the log
    residual SD; with the angle, an SD of exactly zero is an inner point.
    """
    level, variance = np.exp(values[0]), np.exp(2 * values[2])
    across, own = slope_sd * np.sin(values[1]), slope_sd * np.cos(values[1])
    first_t = level * lines.count + across * lines.t
    a = 1 + (level * first_t + across * (level * lines.t + across * lines.tt)) / variance
    b = own * (level * lines.t + across * lines.tt) / variance
    d = 1 + own * own * lines.tt / variance
    det = a * d - b * b
    return np.array([level, across, own]), np.asarray(variance), d / det, -b / det, a / det, np.log(det)


def _deviance(lines: _Lines, values: Floats, slope_sd: float) -> tuple[float, Floats]:
    """-2 log likelihood with the mean line at its best, and that mean line (2,)."""
    (level, across, own), variance, a, b, d, log_det = _whitened(lines, values, slope_sd)
    design = np.array([[lines.count, lines.t, lines.y], [lines.t, lines.tt, lines.ty], [lines.y, lines.ty, lines.yy]])
    left = np.stack([level * design[0] + across * design[1], own * design[1]])  # (2, 3, n)
    inner = np.stack([a * left[0] + b * left[1], b * left[0] + d * left[1]])
    total = (design.sum(axis=2) - (left[:, :, None] * inner[:, None]).sum(axis=(0, 3)) / variance) / variance
    mean = np.linalg.solve(total[:2, :2] + 1e-12 * np.eye(2), total[:2, 2])
    fit = total[2, 2] - total[:2, 2] @ mean
    return float(fit + log_det.sum() + lines.count.sum() * np.log(2 * np.pi * variance)), mean


def _visible(lines: _Lines, variance: float, slope_sd: float) -> float:
    """Square of an SD of slopes by its standard error, from the lines of those whose visits lie apart."""
    spread = lines.tt - lines.t**2 / lines.count
    own = variance / spread[spread > _LEAST_SPREAD]
    return float(slope_sd**2 * np.sqrt(np.sum(0.5 / (slope_sd**2 + own) ** 2)))


def _best(lines: _Lines, slope_sd: float, start: Floats) -> tuple[float, Floats]:
    def objective(values: Floats) -> float:
        return _deviance(lines, np.clip(values, -8, 8), slope_sd)[0] / visits

    visits = float(lines.count.sum())
    found = minimize(objective, start, method="BFGS", options={"gtol": 1e-7})
    return float(found.fun) * visits, np.clip(found.x, -8, 8)


NO_SPREAD = SlopeSpread(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.nan, np.nan)
"""That of readings which are all alike."""


def slope_spread(person: NDArray[np.intp], years: Floats, outcome: Floats, usual_sd: float) -> SlopeSpread:
    """Estimate how much people's slopes of one outcome differ, with a profile-likelihood interval.

    Parameters
    ----------
    person
        (m,) index of the person, non-decreasing.
    years, outcome
        (m,) time and reading, sorted by time within the person; no NaN.
    usual_sd
        SD of slopes per year that is to be visible.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> person, years = np.repeat(np.arange(200), 8), np.tile(np.arange(8.0), 200)
    >>> slopes = np.repeat(rng.normal(0, 0.1, 200), 8)
    >>> found = slope_spread(person, years, slopes * years + rng.normal(0, 0.2, 1600), usual_sd=0.1)
    >>> found.low < 0.1 < found.high
    True
    """
    if outcome.std() < _ALIKE:
        return NO_SPREAD
    centre, unit, scale = years.mean(), max(float(years.std()), 0.25), float(outcome.std())
    t, y = (years - centre) / unit, (outcome - outcome.mean()) / scale
    lines = _sums(person, t, y)
    start = np.array([np.log(0.8), 0.0, np.log(0.5)])

    def profile(slope_sd: float) -> float:
        return _best(lines, slope_sd, start)[0]

    found = minimize_scalar(profile, bounds=(0.0, 1.5), method="bounded", options={"xatol": 1e-4})
    peak = float(found.x) if found.fun < profile(0.0) else 0.0
    lowest, values = _best(lines, peak, start)

    def above(slope_sd: float) -> float:
        return profile(slope_sd) - lowest - _DROP

    low = 0.0 if above(0.0) <= 0 else float(brentq(above, 0.0, peak, xtol=1e-4))
    far = max(2 * peak, 0.05)
    while above(far) <= 0 and far < 1e3:
        far *= 2
    high = float(brentq(above, peak, far, xtol=1e-4)) if far < 1e3 else np.inf
    mean = _deviance(lines, values, peak)[1]
    serial, error = _serial(lines, values, peak, mean, person, t, y)
    per_year = scale / unit
    return SlopeSpread(
        peak * per_year,
        low * per_year,
        high * per_year,
        float(mean[1]) * per_year,
        float(np.exp(values[2])) * scale,
        _visible(lines, float(np.exp(2 * values[2])), usual_sd / per_year),
        serial,
        error,
    )


def _serial(
    lines: _Lines,
    values: Floats,
    slope_sd: float,
    mean: Floats,
    person: NDArray[np.intp],
    t: Floats,
    y: Floats,
) -> tuple[float, float]:
    """Lag-one correlation of residuals around each fitted line, less what the model expects, and its standard error.

    The residuals of a fitted line are correlated even where the readings are not: by -z M z' for neighbours, M being
    the covariance of the line given the readings. Only the rest is evidence. The error comes from people, not visits.
    """
    (level, across, own), variance, a, b, d, _ = _whitened(lines, values, slope_sd)
    root = np.array([[level, 0.0], [across, own]])
    covariance = np.einsum("ab,bcn,dc->adn", root, np.array([[a, b], [b, d]]), root)
    score = np.stack(
        [lines.y - mean[0] * lines.count - mean[1] * lines.t, lines.ty - mean[0] * lines.t - mean[1] * lines.tt]
    )
    line = mean[:, None] + np.einsum("abn,bn->an", covariance, score) / variance
    rest = y - line[0, person] - line[1, person] * t
    pair = np.flatnonzero(person[1:] == person[:-1])
    if len(pair) == 0:
        return np.nan, np.nan
    who, z, after = person[pair], np.stack([np.ones(len(pair)), t[pair]]), np.stack([np.ones(len(pair)), t[pair + 1]])
    expected = -np.einsum("am,abm,bm->m", z, covariance[:, :, who], after)
    excess = np.bincount(who, weights=rest[pair] * rest[pair + 1] - expected, minlength=len(lines.count))
    whole = float(variance) * len(pair)
    return float(excess.sum()) / whole, float(np.sqrt((excess**2).sum())) / whole
