"""Intervals from random weights on the people (the Bayesian bootstrap, Rubin 1981, doi:10.1214/aos/1176345338).

Exponential weights keep everybody in, so that no group is emptied by chance. The weights of a person come from the
seed and the identifier; who else is in the table does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ircohort.prognosis.judging import Status, auc, brier, concordance
from ircohort.prognosis.models import COMPARED, Cases, Fitted
from ircohort.prognosis.weibull import Weibull, fit_weibull, risk
from ircohort.turnbull import event_free, turnbull

Floats = NDArray[np.float64]

_ENDS = (0.025, 0.975)


def interval(values: Floats) -> tuple[float | None, float | None]:
    """2.5 % and 97.5 % points of the values that are defined; None where half of them are not."""
    defined = values[np.isfinite(values)]
    if len(defined) * 2 <= len(values):
        return None, None
    low, high = np.quantile(defined, _ENDS)
    return float(low), float(high)


@dataclass(frozen=True)
class Curve:
    """Turnbull's estimate at the ends of its intervals (m,), with a 95 % band."""

    years: Floats
    event_free: Floats
    low: Floats
    high: Floats


def curve_with_band(low: Floats, high: Floats, weights: Floats) -> Curve:
    """Estimate the share free of the event, with a band from weights (count, n).

    Where no event has been seen yet the weights cannot say how many might have been: the lower end is then the exact
    binomial one, 0.025^(1/n), n being those known to be free.
    """
    found = turnbull(low, high)
    ends = np.unique(np.concatenate([[0.0], found.left, found.right[np.isfinite(found.right)]]))
    estimate = event_free(found, ends)
    drawn = np.stack([event_free(turnbull(low, high, row), ends) for row in weights])
    bottom, top = np.quantile(drawn, _ENDS, axis=0)
    known = np.maximum((low >= ends[:, None]).sum(axis=1), 1)
    exact = np.where(ends > 0, 0.025 ** (1.0 / known), 1.0)
    bottom = np.where(estimate >= 1.0 - 1e-9, np.minimum(bottom, exact), bottom)
    # The band of a share that only falls only falls.
    return Curve(ends, estimate, np.minimum.accumulate(bottom), np.minimum.accumulate(np.maximum(top, estimate)))


@dataclass(frozen=True)
class Scores:
    """How each model did, by name, as judged on the people it was fitted to and as resampled (count,).

    ``concordance`` and its ``optimism``; ``auc``, ``brier`` by model and horizon.
    """

    concordance: Mapping[str, float]
    resampled: Mapping[str, Floats]
    optimism: Mapping[str, float]
    auc: Mapping[tuple[str, float], tuple[float, Floats]]
    brier: Mapping[tuple[str, float], tuple[float, Floats]]


def score_models(models: Mapping[str, Fitted], cases: Cases, statuses: tuple[Status, ...], weights: Floats) -> Scores:
    """Judge every converged model on its own people, and again on each resample after refitting it there."""
    even = np.ones(len(cases.low))
    said, drawn, optimism = {}, {}, {}
    ranked: dict[tuple[str, float], tuple[float, Floats]] = {}
    squared: dict[tuple[str, float], tuple[float, Floats]] = {}
    for name, model in models.items():
        if not model.fit.converged:
            continue
        refits = [fit_weibull(cases.low, cases.high, model.X, row, model.fit) for row in weights]
        here = [_concordance(fit, model, cases, row) for fit, row in zip(refits, weights, strict=True)]
        back = [_concordance(fit, model, cases, even) for fit in refits]
        said[name], drawn[name] = _concordance(model.fit, model, cases, even), np.array(here)
        optimism[name] = float(np.mean(np.subtract(here, back))) if here else float("nan")
        for status in statuses:
            key = name, status.years
            ranked[key], squared[key] = _at_horizon(model, refits, status, weights)
    return Scores(said, drawn, optimism, ranked, squared)


def _concordance(fit: Weibull, model: Fitted, cases: Cases, weights: Floats) -> float:
    return concordance(cases.low, cases.high, model.X @ fit.coefficients, weights)


def _at_horizon(
    model: Fitted, refits: list[Weibull], status: Status, weights: Floats
) -> tuple[tuple[float, Floats], tuple[float, Floats]]:
    even, own = np.ones(len(model.X)), risk(model.fit, model.X, status.years)
    drawn = [risk(fit, model.X, status.years) for fit in refits]
    aucs = np.array([auc(status, one, row) for one, row in zip(drawn, weights, strict=True)])
    briers = np.array([brier(status, one, row) for one, row in zip(drawn, weights, strict=True)])
    return (auc(status, own, even), aucs), (brier(status, own, even), briers)


def difference_rows(scores: Scores) -> list[dict[str, object]]:
    """Rows of ``differences``: how much better one model ranks than another, over the same resamples."""
    rows: list[dict[str, object]] = []
    for model, against in COMPARED:
        if model in scores.concordance and against in scores.concordance:
            low, high = interval(scores.resampled[model] - scores.resampled[against])
            rows.append(
                {
                    "model": model,
                    "against": against,
                    "difference": scores.concordance[model] - scores.concordance[against],
                    "low": low,
                    "high": high,
                    "optimism": scores.optimism[model] - scores.optimism[against],
                }
            )
    return rows
