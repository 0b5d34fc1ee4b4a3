"""Profile-likelihood intervals of fixed effects, standard deviations and correlations.

One parameter is held, all others are optimised, and the held value is moved until the deviance has risen by the
quantile of chi-squared(1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError, UsageError
from ircohort.frames import kind_of
from ircohort.lmm.inference.comparison import effects_of
from ircohort.lmm.inference.held import Chart, chart_correlation, chart_residual, chart_sd, descend, valley
from ircohort.lmm.inference.weighting import require_likelihood
from ircohort.lmm.level import normal_quantile
from ircohort.lmm.likelihood import profile
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit
from ircohort.lmm.search import lower_factor, maximise
from ircohort.lmm.sums import ParticipantSums

Floats = NDArray[np.float64]

PRECISION = 1e-4
"""A limit is found when the signed root of the deviance is this close to the normal quantile."""

BETTER = 1e-3
"""A profile that finds the deviance lower than at the estimates by more than this says so."""

_ZERO_COSTS, _TRACE = 1e-6, 1e-8
_STEPS, _FARTHER, _COLLAPSED = 60, 3.0, 1e-10


def profile_intervals(fit: Fit, *, level: float = 0.95, parameters: str | Sequence[str] | None = None) -> Any:
    """Give profile-likelihood intervals, as lme4's ``confint(fit, method = "profile")``.

    The likelihood is the full one: of a REML fit, the maximum likelihood refit is profiled, as lme4 does, and its
    estimates stand in the table. A limit that the likelihood does not reach is the end of what is possible (0 for a
    standard deviation, -1 or 1 for a correlation), and is marked.

    Parameters
    ----------
    fit
        A fitted model.
    level
        Between 0 and 1.
    parameters
        Names as in the column ``parameter``, or ``"fixed"`` or ``"random"`` (which has the residual with it); by
        default all.

    Returns
    -------
    data frame
        One row per parameter: ``parameter`` (the fixed effect; ``sd(effect)``, ``correlation(effect, effect)``,
        ``sd(Residual)``), ``estimate`` (maximum likelihood; null for a correlation with a variance of zero), ``low``,
        ``high`` (null if not found), ``low_at_limit``, ``high_at_limit``, and ``note``, empty or a sentence.
        Fixed effects and standard deviations are in the unit of the response per unit of the column.

    Raises
    ------
    UsageError
        If the level is not between 0 and 1, or a parameter is not one of the model.
    ModelError
        If the fit has sampling weights, or is by least squares: neither leaves a likelihood to profile.

    Source
    ------
    Bates et al. 2015, J Stat Softw 67(1), doi:10.18637/jss.v067.i01, section 5.1; Venzon and Moolgavkar 1988,
    Appl Stat 37:87, doi:10.2307/2347496.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> found = profile_intervals(fit("homa_ir ~ years + (1 | participant_id)", visits))
    >>> found["parameter"].to_list()
    ['Intercept', 'years', 'sd(Intercept)', 'sd(Residual)']
    >>> (found["low"] < found["estimate"]).all() and (found["estimate"] < found["high"]).all()
    True
    """
    require_fit(fit, "profile_intervals")
    require_likelihood(fit, "Profile intervals")
    quantile = normal_quantile(level)
    if not effects_of(fit):
        raise ModelError(
            "A fit by least squares has no random part, and so no likelihood to profile.",
            next_step="Use its cluster-robust intervals.",
        )
    chosen = _chosen(_parameters_of(fit), parameters)
    best = _maximum_likelihood(fit)
    rows = [_row(fit, best, one, quantile) for one in chosen]
    schema = {"parameter": pl.String, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    schema |= {"low_at_limit": pl.Boolean, "high_at_limit": pl.Boolean, "note": pl.String}
    return kind_of(fit.fixed)(pl.DataFrame(rows, schema=schema, orient="row"))


@dataclass(frozen=True)
class _Parameter:
    """A parameter: its name, the part it is of (``fixed``, ``sd``, ``correlation``, ``residual``), its effects."""

    name: str
    part: str
    effects: tuple[int, ...] = ()


def _parameters_of(fit: Fit) -> list[_Parameter]:
    names, q = fit.random_names, len(fit.random_names)
    pairs = [] if fit.basis.formula.diagonal else [(j, k) for k in range(q) for j in range(k)]
    return [
        *(_Parameter(name, "fixed", (j,)) for j, name in enumerate(fit.fixed_names)),
        *(_Parameter(f"sd({name})", "sd", (j,)) for j, name in enumerate(names)),
        *(_Parameter(f"correlation({names[j]}, {names[k]})", "correlation", (j, k)) for j, k in pairs),
        _Parameter("sd(Residual)", "residual"),
    ]


def _chosen(every: list[_Parameter], parameters: str | Sequence[str] | None) -> list[_Parameter]:
    if parameters is None:
        return every
    if isinstance(parameters, str) and parameters in ("fixed", "random"):
        return [one for one in every if (one.part == "fixed") == (parameters == "fixed")]
    wanted = [parameters] if isinstance(parameters, str) else list(parameters)
    known = {one.name: one for one in every}
    strange = [str(name) for name in wanted if name not in known]
    if strange:
        raise UsageError(
            f"The model has no parameter {', '.join(strange)}.", expected=f"Its parameters are: {', '.join(known)}."
        )
    return [known[name] for name in wanted]


@dataclass(frozen=True, eq=False)
class _Optimum:
    """The maximum likelihood estimates in the basis of the sums: deviance, L and G (q, q), log of s, b (p,)."""

    deviance: float
    L: Floats
    G: Floats
    log_s: float
    coefficients: Floats
    covariance: Floats


def _maximum_likelihood(fit: Fit) -> _Optimum:
    diagonal = fit.basis.formula.diagonal
    best = _climbed(fit.sums, fit.relative_factor, diagonal)
    to_natural = fit.scaling.to_random
    for j in range(len(best.L)):
        natural = to_natural @ best.L @ best.L.T @ to_natural.T
        natural[j, :] = natural[:, j] = 0.0
        without = _optimum(fit.sums, lower_factor(fit.scaling.random @ natural @ fit.scaling.random.T))
        # A variance that may as well be zero is zero, so that its correlations are known to be undefined. And where
        # there is one optimum with a variance and one without, a single search may have come to the lower.
        near_zero = without if without.deviance - best.deviance < _ZERO_COSTS else None
        best = near_zero or min(best, _climbed(fit.sums, without.L, diagonal), key=lambda one: one.deviance)
    return best


def _climbed(sums: ParticipantSums, start: Floats, diagonal: bool) -> _Optimum:
    # From a mere trace of a variance the first step of a search overshoots; from zero it looks before it leaves.
    whole = np.where(np.abs(start) < _TRACE, 0.0, start)
    return _optimum(sums, maximise(sums, whole, reml=False, diagonal=diagonal).L)


def _optimum(sums: ParticipantSums, L: Floats) -> _Optimum:
    found = profile(sums, L, reml=False)
    s2 = found.residual_variance
    covariance = s2 * found.covariance_over_variance
    return _Optimum(-2.0 * found.log_likelihood, L, s2 * L @ L.T, 0.5 * np.log(s2), found.coefficients, covariance)


# --- the way along one parameter ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Path:
    """The deviance along x, a parameter or a function of it, all others at their best.

    ``at`` takes x and what it gave at another x (or None), and gives the deviance, its slope, and what helps it on.
    ``value`` turns x into the parameter; ``ends`` is where x must end.
    """

    centre: float
    error: float
    ends: tuple[float, float]
    at: Callable[[float, Any], tuple[float, float, Any]]
    value: Callable[[float], float]
    defined: bool = True


def _path(fit: Fit, best: _Optimum, parameter: _Parameter) -> _Path:
    to_natural = fit.scaling.to_random
    sums, diagonal = fit.sums, fit.basis.formula.diagonal
    if parameter.part == "fixed":
        return _fixed_path(fit, best, parameter.effects[0])
    if parameter.part == "sd":
        chart = chart_sd(sums, to_natural, best.G, best.log_s, parameter.effects[0], diagonal=diagonal)
        return _chart_path(chart, (0.0, np.inf), float)
    if parameter.part == "residual":
        return _chart_path(chart_residual(sums, best.G, best.log_s, diagonal=diagonal), (-np.inf, np.inf), np.exp)
    j, k = parameter.effects
    chart = chart_correlation(sums, to_natural, best.G, best.log_s, (j, k))
    return _chart_path(chart, (-np.pi / 2, np.pi / 2), np.sin)


def _chart_path(chart: Chart, ends: tuple[float, float], value: Callable[[float], float]) -> _Path:
    units, tangent, error = valley(chart)
    sized, centre = replace(chart, units=units), float(chart.start[chart.held])

    def at(x: float, direction: Any) -> tuple[float, float, Any]:
        trial = chart.start + (tangent if direction is None else direction) * (x - centre)
        trial[chart.held] = x
        found = descend(sized, trial)
        return found.deviance, found.slope, (found.point - chart.start) / (x - centre) if x != centre else None

    defined = not chart.turned or min(chart.start[0], chart.start[2]) > 0
    return _Path(centre, error, ends, at, value, defined)


def _fixed_path(fit: Fit, best: _Optimum, j: int) -> _Path:
    h, offset = fit.scaling.to_fixed[j], float(fit.scaling.offset[j])
    diagonal = fit.basis.formula.diagonal

    def at(x: float, start: Any) -> tuple[float, float, Any]:
        found = maximise(_with_fixed(fit, j, x), best.L if start is None else start, reml=False, diagonal=diagonal)
        # What the rest of the model would make of the effect, and how exactly, says how the deviance goes on.
        around = profile(fit.sums, found.L, reml=False)
        spread = float(h @ around.covariance_over_variance @ h) * found.at.profile.residual_variance
        slope = 2.0 * (x - offset - float(h @ around.coefficients)) / spread
        return -2.0 * found.at.profile.log_likelihood, slope, found.L

    centre, error = offset + float(h @ best.coefficients), float(np.sqrt(h @ best.covariance @ h))
    return _Path(centre, error, (-np.inf, np.inf), at, float)


def _with_fixed(fit: Fit, j: int, value: float) -> ParticipantSums:
    """Give the sums of the model in which fixed effect ``j`` is known: y less its share, and X without its column."""
    sums, S = fit.sums, fit.scaling.fixed
    Q, _ = np.linalg.qr(np.column_stack([np.delete(S, j, axis=1), S[:, j]]))
    apart = Q[:, -1]
    q, m = sums.q, sums.cross.shape[1]
    change = np.zeros((m, m - 1))
    change[:q, :q] = np.eye(q)
    change[q:-1, q:-1] = Q[:, :-1]
    change[q:-1, -1] = -(value - fit.scaling.offset[j]) * float(apart @ S[:, j]) * apart
    change[-1, -1] = 1.0
    return ParticipantSums(sums.visits, change.T @ sums.cross @ change, q, sums.weights)


# --- limits -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Limit:
    """One limit: its value, whether it is the end of what is possible, and how far below the fit the deviance was."""

    value: float | None
    at_limit: bool
    better: float


def _row(fit: Fit, best: _Optimum, parameter: _Parameter, quantile: float) -> tuple[Any, ...]:
    path = _path(fit, best, parameter)
    low, high = (_limit(path, best.deviance, quantile, side) for side in (-1, 1))
    estimate = float(path.value(path.centre)) if path.defined else None
    return (parameter.name, estimate, low.value, high.value, low.at_limit, high.at_limit, _note(parameter, low, high))


def _note(parameter: _Parameter, low: _Limit, high: _Limit) -> str:
    notes = []
    if parameter.part == "sd" and low.at_limit:
        notes.append("Zero is not ruled out.")
    elif low.at_limit and high.at_limit:
        notes.append("No correlation is ruled out.")
    elif low.at_limit or high.at_limit:
        notes.append(f"A correlation of {-1 if low.at_limit else 1} is not ruled out.")
    if low.value is None or high.value is None:
        notes.append("A limit was not found.")
    if max(low.better, high.better) > BETTER:
        notes.append("The profile found a higher likelihood than that of the estimates, which are not the optimum.")
    return " ".join(notes)


def _limit(path: _Path, lowest: float, quantile: float, side: int) -> _Limit:
    """Move x to one side until the root of the rise in deviance is the quantile."""
    # All is measured outwards from the estimate; the limit is beyond ``near`` and within ``far``.
    end = path.ends[side > 0]
    reach = side * (end - path.centre)
    near, far, d, better = 0.0, np.inf, min(quantile * path.error, reach), 0.0
    memory: Any = None
    for _ in range(_STEPS):
        x = end if d >= reach else path.centre + side * d
        deviance, slope, memory = path.at(x, memory)
        root = float(np.sqrt(max(deviance - lowest, 0.0)))
        better = max(better, lowest - deviance)
        if abs(root - quantile) < PRECISION or far - near < _COLLAPSED * path.error:
            return _Limit(float(path.value(x)), False, better)
        if root < quantile and d >= reach:
            return _Limit(float(path.value(end)), True, better)
        near, far = (d, far) if root < quantile else (near, d)
        d = _next_distance(d, quantile - root, side * slope / (2.0 * root) if root else 0.0, near, far, reach)
    return _Limit(None, False, better)


def _next_distance(d: float, missing: float, slope: float, near: float, far: float, reach: float) -> float:
    """Take a Newton step for the root of the rise, not past three times the distance, nor out of the bracket."""
    proposed = d + missing / slope if slope > 0 else _FARTHER * d
    if np.isfinite(far):
        return proposed if near < proposed < far else 0.5 * (near + far)
    return min(max(proposed, near), _FARTHER * d, reach)
