"""A fit for data that do not carry the model asked for: simpler random parts in turn, and it says which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ircohort.errors import ModelError
from ircohort.lmm.fitting import fit, fit_without_random
from ircohort.lmm.formula import ModelFormula, parse_formula
from ircohort.lmm.record import Fit


def fit_with_fallback(formula: str, frame: Any, *, reml: bool = True) -> Fit:
    """Fit a model; where its random part is singular, cannot be identified or does not converge, fit a simpler one.

    The ladder: the random part as asked for, a random intercept, ordinary least squares with the cluster-robust
    covariance CR1. Choosing a model by its fit makes its intervals a little too narrow, which no interval shows.

    Parameters
    ----------
    formula, frame, reml
        As for :func:`ircohort.lmm.fit`.

    Returns
    -------
    Fit
        ``formula`` is that of the rung that held, and ``messages`` say what was left behind and why. On the last
        rung ``engine`` is ``ols``, and ``random_covariance`` is zero.

    Raises
    ------
    ModelError
        If the fixed part cannot be fitted either.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> visits = pl.DataFrame({"participant_id": np.repeat(np.arange(30), 4), "years": np.tile(np.arange(4.0), 30),
    ...                        "y": np.random.default_rng(4).normal(size=120)})
    >>> result = fit_with_fallback("y ~ years + (1 + years | participant_id)", visits)
    >>> result.engine, len(result.messages)
    ('ols', 2)
    """
    asked = parse_formula(formula)
    said: list[str] = []
    for text in dict.fromkeys((asked.text, _with_random_intercept(asked))):
        try:
            result = fit(text, frame, reml=reml)
        except ModelError as error:
            said.append(f"{text} could not be fitted: {error.what}")
            continue
        if result.converged and not result.at_boundary:
            return replace(result, messages=(*said, *result.messages))
        said.append(f"{text} was left behind: {result.boundary_direction or 'it did not converge.'}")
    return replace(fit_without_random(_with_random_intercept(asked), frame, reml=reml), messages=tuple(said))


def _with_random_intercept(formula: ModelFormula) -> str:
    return f"{formula.response} ~ {formula.fixed} + (1 | {formula.group})"
