"""Compare models of the same visits: likelihood-ratio test and information criteria."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.lmm.design import COLLINEAR
from ircohort.lmm.inference.weighting import require_likelihood
from ircohort.lmm.prediction.rows import design_matrix, random_design_matrix
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit

Floats = NDArray[np.float64]

SAME = 1e-7
"""Sums of the same visits, relative to their size, differ by rounding in two bases: by less than this."""

ROUNDING = 1e-9
"""A statistic below this share of the log-likelihood is zero."""

SHORTFALL = 1e-3
"""The larger model cannot have the lower log-likelihood; beyond this, its search did not reach the optimum."""


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """A test of a model within a larger one.

    Attributes
    ----------
    smaller, larger
        The two formulas.
    statistic
        Twice the difference in log-likelihood, at least 0.
    degrees_of_freedom
        Parameters that the larger model has beyond the smaller.
    p_value
        Probability of a statistic this large or larger under the smaller model.
    reference
        The distribution that the p-value is from, in words.
    mixture
        The same in numbers: pairs of degrees of freedom and weight.
    reml
        Whether the likelihoods are restricted.
    notes
        Sentences on what limits the p-value; empty if nothing does.
    """

    smaller: str
    larger: str
    statistic: float
    degrees_of_freedom: int
    p_value: float
    reference: str
    mixture: tuple[tuple[int, float], ...]
    reml: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class InformationCriteria:
    """Log-likelihood, number of parameters, and what the two say together.

    Attributes
    ----------
    log_likelihood
        Restricted where ``reml``.
    parameters
        Fixed effects, variances and covariances of the random effects, and the residual variance.
    aic
        2 ``parameters`` - 2 ``log_likelihood``.
    bic
        log(``visits``) ``parameters`` - 2 ``log_likelihood``, as lme4 gives it.
    bic_participants
        The same with the number of participants, who are the independent units.
    visits, participants
        The two numbers; with frequency weights, of what the weights stand for.
    reml
        Whether the likelihood is restricted; then the criteria compare only models with the same fixed columns.
    """

    log_likelihood: float
    parameters: int
    aic: float
    bic: float
    bic_participants: float
    visits: int
    participants: int
    reml: bool


def information_criteria(fit: Fit) -> InformationCriteria:
    """Give AIC and BIC of a fit.

    Raises
    ------
    ModelError
        If the fit has sampling weights: a pseudo-likelihood has no such criteria.

    Source
    ------
    Akaike 1974, IEEE Trans Automat Contr 19:716, doi:10.1109/TAC.1974.1100705; Schwarz 1978, Ann Stat 6:461,
    doi:10.1214/aos/1176344136.

    Examples
    --------
    >>> import polars as pl
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> found = information_criteria(fit("homa_ir ~ years + (1 | participant_id)", visits))
    >>> found.parameters, found.visits, found.participants
    (4, 9, 3)
    """
    require_fit(fit, "information_criteria")
    require_likelihood(fit, "AIC and BIC")
    weights = fit.sums.multiplicity
    visits, participants = round(float(weights @ fit.sums.visits)), round(float(weights.sum()))
    k = len(fit.fixed_names) + _random_parameters(fit) + 1
    deviance = -2.0 * fit.log_likelihood
    return InformationCriteria(
        log_likelihood=fit.log_likelihood,
        parameters=k,
        aic=deviance + 2.0 * k,
        bic=deviance + float(np.log(visits)) * k,
        bic_participants=deviance + float(np.log(participants)) * k,
        visits=visits,
        participants=participants,
        reml=fit.reml,
    )


def likelihood_ratio_test(smaller: Fit, larger: Fit) -> LikelihoodRatioTest:
    """Test a model within a larger model of the same visits.

    One more random effect puts its variance at the boundary of what is possible, zero, under the smaller model. The
    reference is then an equal mixture of chi-squared distributions with all the additional parameters and with one
    fewer (for q - 1 against q correlated random effects: q - 1 and q degrees of freedom). Two or more further random
    effects have no such simple mixture: chi-squared with all the additional parameters gives an upper bound.

    Parameters
    ----------
    smaller, larger
        Fits of the same visits and response, both by maximum likelihood, or both by REML with the same fixed columns.

    Raises
    ------
    ModelError
        If the likelihoods do not compare: other visits, other weights, sampling weights, REML with other fixed
        columns, or models of which the one is not, as far as can be told, within the other.

    Source
    ------
    Self and Liang 1987, J Am Stat Assoc 82:605, doi:10.1080/01621459.1987.10478472; Stram and Lee 1994, Biometrics
    50:1171, doi:10.2307/2533455.

    Examples
    --------
    >>> import polars as pl
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 4 + ["b"] * 4 + ["c"] * 4, "years": [0.0, 1.0, 2.0, 3.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 1.7, 2.0, 2.1, 2.5, 3.1, 1.5, 1.4, 1.7, 1.6]})
    >>> level = fit("homa_ir ~ years + (1 | participant_id)", visits)
    >>> slope = fit("homa_ir ~ years + (1 + years | participant_id)", visits)
    >>> likelihood_ratio_test(level, slope).reference
    'half chi-squared(1), half chi-squared(2)'
    """
    for fit in (smaller, larger):
        require_fit(fit, "likelihood_ratio_test")
    _check_comparable(smaller, larger)
    _check_nested(smaller, larger)
    more = _parameters(larger) - _parameters(smaller)
    if more < 1:
        raise ModelError(
            "The two models have the same parameters.",
            expected=f"Smaller: {smaller.formula}. Larger: {larger.formula}.",
        )
    gain = larger.log_likelihood - smaller.log_likelihood
    if gain < -SHORTFALL:
        raise ModelError(
            f"The larger model has the lower log-likelihood, by {-gain:.3g}.",
            expected="It holds the smaller one, so its search did not reach the optimum.",
            next_step=f"Look at the messages of the fit of {larger.formula}.",
        )
    # Two searches that came to the same point differ by rounding, which is no evidence.
    rounding = ROUNDING * (1.0 + abs(larger.log_likelihood))
    statistic = 2.0 * gain if 2.0 * gain > rounding else 0.0
    added = len(effects_of(larger)) - len(effects_of(smaller))
    mixture = ((more - 1, 0.5), (more, 0.5)) if added == 1 else ((more, 1.0),)
    return LikelihoodRatioTest(
        smaller=smaller.formula,
        larger=larger.formula,
        statistic=statistic,
        degrees_of_freedom=more,
        p_value=_tail(statistic, mixture),
        reference=_in_words(mixture) + (" (an upper bound)" if added > 1 else ""),
        mixture=mixture,
        reml=larger.reml,
        notes=_notes(smaller, larger, added),
    )


def effects_of(fit: Fit) -> tuple[str, ...]:
    """Name the random effects; none in a fit by least squares, which has its formula but not its random part."""
    return () if fit.engine == "ols" else fit.random_names


def _random_parameters(fit: Fit) -> int:
    """Count the variances and covariances of the random effects."""
    q = len(effects_of(fit))
    return q if fit.basis.formula.diagonal else q * (q + 1) // 2


def _parameters(fit: Fit) -> int:
    return len(fit.fixed_names) + _random_parameters(fit)


def _tail(statistic: float, mixture: tuple[tuple[int, float], ...]) -> float:
    """Give the upper tail; chi-squared with 0 degrees of freedom is always 0."""
    return sum(w * (float(chi2.sf(statistic, df)) if df else float(statistic <= 0)) for df, w in mixture)


def _in_words(mixture: tuple[tuple[int, float], ...]) -> str:
    half = "half " if len(mixture) > 1 else ""
    return ", ".join(f"{half}chi-squared({df})" for df, _ in mixture)


def _notes(smaller: Fit, larger: Fit, added: int) -> tuple[str, ...]:
    notes = []
    if added > 1:
        notes.append(f"{added} variances are at the boundary under the smaller model; the p-value is an upper bound.")
    if smaller.at_boundary:
        notes.append("The smaller model is itself at the boundary of its variances; the p-value is approximate.")
    notes.extend(
        f"The search of the {which} model did not converge."
        for which, fit in (("smaller", smaller), ("larger", larger))
        if not fit.converged
    )
    return tuple(notes)


def _check_comparable(smaller: Fit, larger: Fit) -> None:
    for fit in (smaller, larger):
        require_likelihood(fit, "Likelihood-ratio tests")
    if smaller.reml != larger.reml:
        raise ModelError(
            "One model was fitted by REML and the other by maximum likelihood.",
            next_step="Refit both with reml=False.",
        )
    if larger.reml and sorted(smaller.fixed_names) != sorted(larger.fixed_names):
        raise ModelError(
            "Restricted likelihoods compare only between models with the same fixed columns.",
            expected=f"Smaller: {', '.join(smaller.fixed_names)}. Larger: {', '.join(larger.fixed_names)}.",
            next_step="Refit both with reml=False.",
        )
    different = _difference(smaller, larger)
    if different:
        raise ModelError(
            f"The two models were not fitted to the same {different}.",
            expected=f"Smaller: {smaller.participants} participants, {smaller.visits} visits. "
            f"Larger: {larger.participants} participants, {larger.visits} visits.",
            next_step="Fit both to the rows that are complete for both, and to the same response.",
        )


def _difference(a: Fit, b: Fit) -> str:
    """Name what differs in the data of two fits, as far as their sums can tell; empty if nothing does."""
    if not a.participant_ids.equals(b.participant_ids):
        return "participants"
    if not np.array_equal(a.sums.visits, b.sums.visits):
        return "visits"
    if not np.allclose(a.sums.multiplicity, b.sums.multiplicity, rtol=SAME, atol=0):
        return "weights"
    here, there = _natural_sums(a), _natural_sums(b)
    if not _same(here[""], there[""]):
        return "response"
    # The products of a column with the response differ where a visit was exchanged for another.
    shared = [name for name in a.fixed_names if name in there]
    return "" if all(_same(here[name], there[name]) for name in shared) else "visits"


def _same(a: Floats, b: Floats) -> bool:
    return bool(np.abs(a - b).max() <= SAME * max(float(np.abs(a).max()), float(np.abs(b).max())))


def _natural_sums(fit: Fit) -> dict[str, Floats]:
    """Take y'y of each participant, under an empty name, and x'y for each fixed column, out of the scaled basis."""
    S, offset, sums = fit.scaling.fixed, fit.scaling.offset, fit.sums
    shift = S @ offset
    Xy = (sums.Xy + sums.XX @ shift) @ S
    yy = sums.yy + (2.0 * sums.Xy + sums.XX @ shift) @ shift
    return {"": yy, **dict(zip(fit.fixed_names, Xy.T, strict=True))}


def _check_nested(smaller: Fit, larger: Fit) -> None:
    outside = _columns_outside(smaller, larger, "fixed")
    if outside:
        raise _not_nested(smaller, larger, f"The fixed part of the larger does not hold {', '.join(outside)}.")
    outside = _columns_outside(smaller, larger, "random")
    if outside:
        raise _not_nested(smaller, larger, f"The random part of the larger does not hold {', '.join(outside)}.")
    wider = not smaller.basis.formula.diagonal and len(effects_of(smaller)) > 1
    if larger.basis.formula.diagonal and wider:
        raise _not_nested(smaller, larger, "The smaller has correlations of random effects, and the larger has none.")


def _not_nested(smaller: Fit, larger: Fit, why: str) -> ModelError:
    return ModelError(
        f"{smaller.formula} is not, as far as can be told, within {larger.formula}.",
        expected=why,
        next_step="Compare models that are not nested by information_criteria.",
    )


def _columns_outside(smaller: Fit, larger: Fit, part: str) -> list[str]:
    """Name the columns of the smaller model that are no columns of the larger, nor combinations of them."""
    names, others = (fit.fixed_names if part == "fixed" else effects_of(fit) for fit in (smaller, larger))
    unnamed = [name for name in names if name not in others]
    rows = larger.rows
    # Uncorrelated random effects do not turn into others of the same kind by a change of basis.
    if not unnamed or not others or rows is None or (part == "random" and larger.basis.formula.diagonal):
        return unnamed
    build = design_matrix if part == "fixed" else random_design_matrix
    # The larger model's rows may lack a variable that only the smaller one names; then the names have to do.
    try:
        inner, outer = build(smaller, rows), build(larger, rows)
    except (ColumnError, UsageError):
        return unnamed
    return _outside(inner, outer, names)


def _outside(inner: Floats, outer: Floats, names: tuple[str, ...]) -> list[str]:
    Q, _ = np.linalg.qr(outer)
    apart = np.linalg.norm(inner - Q @ (Q.T @ inner), axis=0)
    lengths = np.linalg.norm(inner, axis=0)
    return [name for name, rest, length in zip(names, apart, lengths, strict=True) if not rest <= COLLINEAR * length]
