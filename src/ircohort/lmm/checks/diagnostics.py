"""Does a fit hold: shape, spread and serial correlation of its residuals, and who moves the estimates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtri

from ircohort.frames import kind_of
from ircohort.lmm.checks.serial import SerialTest, correlation_by_lag, score_test, semivariogram
from ircohort.lmm.checks.visit_residuals import FittedRows, fitted_rows
from ircohort.lmm.likelihood import profile
from ircohort.lmm.prediction.posterior import (
    known_ids,
    person_terms,
    scaled_coefficients,
    scaled_covariance,
    terms_of_fit,
)
from ircohort.lmm.record import Fit
from ircohort.lmm.require import require_fit
from ircohort.lmm.summary import diagnostics_text, lines_html

Floats = NDArray[np.float64]

QUANTILES = 99
FIFTHS = 5
SMALL_P = 0.05
SKEW, HEAVY_TAILS = 0.5, 1.0
"""Skewness and excess kurtosis beyond which a shape is called other than normal, whatever the number of visits."""

SPREAD_RATIO = 1.5
"""Ratio of the standard deviations in the highest and lowest fifth beyond which the spread is called uneven."""

MOVES = 1.0
"""Standard errors by which one participant may move an estimate before the notes say so."""

_PEOPLE_AT_ONCE = 20_000
_NO_VARIANCE = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class Diagnostics:
    """How well a fit holds, as tables of the kind of frame of the fit. Rows count once, whatever their weight.

    Attributes
    ----------
    time
        The column by which a person's visits were put in order; empty if there was none.
    normality
        ``quantity`` (``whitened_residual``, then each random effect as its mode over the SD that modes should have),
        ``n``, ``mean``, ``sd``, ``skewness``, ``excess_kurtosis``. All should be near 0, 1, 0 and 0.
    quantiles
        ``quantity``, ``probability``, ``normal``, ``observed``: for a normal quantile plot.
    spread
        Fifths of the visits by personal fitted value: ``fitted_from``, ``fitted_to``, ``visits``, ``sd`` of the
        standardised residuals (about 1 if the spread is even).
    lags, semivariogram
        Of the whitened residuals: see ``ircohort.lmm.checks.serial``. Times apart in the unit of ``time``.
    tests
        ``test``, ``statistic`` (chi-squared, one degree of freedom), ``p_value``, ``estimate``, ``estimate_of``; null
        where there is nothing to tell by.
    influence
        One row per participant, the most influential first: the grouping column, ``visits``, ``cooks_distance``,
        ``term`` that moves most when the participant is left out, and ``shift`` of it in standard errors. Null, and
        first, where a term cannot be estimated without the participant. G and s2 are held. With frequency weights,
        one of the participants who are alike is left out.
    notes
        The findings in sentences.
    """

    time: str
    normality: Any = field(repr=False)
    quantiles: Any = field(repr=False)
    spread: Any = field(repr=False)
    lags: Any = field(repr=False)
    semivariogram: Any = field(repr=False)
    tests: Any = field(repr=False)
    influence: Any = field(repr=False)
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """Give the findings, one a line."""
        return diagnostics_text(self)

    def _repr_html_(self) -> str:
        return lines_html(diagnostics_text(self))


def diagnostics(fit: Fit, frame: Any = None, *, time: str | None = None) -> Diagnostics:
    """Examine a fit: normality, even spread, serial correlation, influence.

    The test of even spread is a score test of squared standardised residuals against the personal fitted value, with
    people as the units of the variance; the test of serial correlation a score test for AR(1) errors by visit.
    Neither is made with sampling weights, under which there is no likelihood.

    Parameters
    ----------
    fit, frame, time
        As for :func:`ircohort.lmm.residuals`.

    Raises
    ------
    UsageError
        As for :func:`ircohort.lmm.residuals`.

    Source
    ------
    Spread: Breusch and Pagan 1979, Econometrica 47:1287, doi:10.2307/1911963. Serial correlation: Chi and Reinsel
    1989, Journal of the American Statistical Association 84:452. Influence: Cook 1977, Technometrics 19:15,
    doi:10.2307/1268249, with a participant in the place of a row.

    Examples
    --------
    >>> from ircohort.lmm import fit
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "years": [0.0, 1.0, 2.0] * 3,
    ...                        "homa_ir": [1.0, 1.2, 1.3, 2.0, 2.1, 2.5, 1.5, 1.4, 1.7]})
    >>> found = diagnostics(fit("log(homa_ir) ~ years + (1 | participant_id)", visits), visits)
    >>> found.time, found.tests["test"].to_list()
    ('years', ['even spread', 'no serial correlation'])
    """
    require_fit(fit, "diagnostics")
    rows = fitted_rows(fit, frame, time)
    shapes = {"whitened_residual": rows.whitened, **_standardised_modes(fit)}
    normality, spread = _moments(shapes), _spread(rows)
    serial, tests = _tests(fit, rows)
    influence = _influence(fit)
    logged = fit.basis.formula.response.replace(" ", "").startswith("log(")
    notes = (
        *_note_shapes(normality, logged=logged),
        _note_spread(spread, tests, logged=logged),
        _note_serial(serial, tests, rows.time),
        _note_influence(influence),
    )
    kind = kind_of(fit.fixed)
    return Diagnostics(
        time=rows.time,
        normality=kind(normality),
        quantiles=kind(_quantiles(shapes)),
        spread=kind(spread),
        lags=kind(correlation_by_lag(rows.visits, rows.whitened)),
        semivariogram=kind(semivariogram(rows.visits, rows.whitened)),
        tests=kind(tests),
        influence=kind(influence),
        notes=notes,
    )


def _standardised_modes(fit: Fit) -> dict[str, Floats]:
    """Give the modes over the SD that they should have, which is less than that of the effects."""
    terms = terms_of_fit(fit, np.arange(fit.participants))
    A = profile(fit.sums, fit.relative_factor, reml=fit.reml).covariance_over_variance
    L, back = fit.relative_factor, fit.scaling.to_random
    unexplained = terms.spread + terms.carry.transpose(0, 2, 1) @ A @ terms.carry
    variance = np.diagonal(back @ (L @ L.T - unexplained) @ back.T, axis1=1, axis2=2) * fit.residual_variance
    largest = fit.residual_variance * np.diagonal(back @ L @ L.T @ back.T)
    modes = terms.modes @ back.T
    found = {}
    for k, name in enumerate(fit.random_names):
        some = variance[:, k] > max(_NO_VARIANCE * float(largest[k]), 0.0)
        found[name] = modes[some, k] / np.sqrt(variance[some, k])
    return found


def _moments(shapes: dict[str, Floats]) -> pl.DataFrame:
    rows = []
    for name, values in shapes.items():
        n, mean, sd = len(values), None, None
        skewness = kurtosis = None
        if n > 1:
            mean, sd = float(values.mean()), float(values.std(ddof=1))
            z = (values - mean) / values.std() if sd > 0 else None
            skewness, kurtosis = (None, None) if z is None else (float((z**3).mean()), float((z**4).mean()) - 3)
        rows.append((name, n, mean, sd, skewness, kurtosis))
    floats = dict.fromkeys(("mean", "sd", "skewness", "excess_kurtosis"), pl.Float64)
    return pl.DataFrame(rows, schema={"quantity": pl.String, "n": pl.Int64, **floats}, orient="row")


def _quantiles(shapes: dict[str, Floats]) -> pl.DataFrame:
    probability = np.arange(1, QUANTILES + 1) / (QUANTILES + 1)
    tables = [
        pl.DataFrame(
            {"probability": probability, "normal": ndtri(probability), "observed": np.quantile(values, probability)}
        ).insert_column(0, pl.Series("quantity", [name] * QUANTILES))
        for name, values in shapes.items()
        if len(values) > 1
    ]
    return pl.concat(tables)


def _spread(rows: FittedRows) -> pl.DataFrame:
    order = np.argsort(rows.personal, kind="stable")
    parts = [part for part in np.array_split(order, FIFTHS) if len(part)]
    return pl.DataFrame(
        {
            "fitted_from": [rows.personal[part[0]] for part in parts],
            "fitted_to": [rows.personal[part[-1]] for part in parts],
            "visits": [len(part) for part in parts],
            "sd": [_root_mean_square(rows.standardised[part]) for part in parts],
        },
        schema_overrides={"sd": pl.Float64},
    )


def _root_mean_square(values: Floats) -> float | None:
    kept = values[~np.isnan(values)]
    return float(np.sqrt(np.mean(kept**2))) if len(kept) else None


def _tests(fit: Fit, rows: FittedRows) -> tuple[SerialTest, pl.DataFrame]:
    weights, s = fit.sums.multiplicity, np.sqrt(fit.residual_variance)
    visits = rows.visits
    serial = score_test(
        visits, fit.relative_factor, rows.residual / s, rows.fixed, weights, diagonal=fit.basis.formula.diagonal
    )
    spread, slope = _spread_test(rows, weights)
    if fit.weights_kind == "sampling":
        serial, spread = SerialTest(serial.pairs, None, None), None
    found = (
        ("even spread", spread, slope, "change of the SD per unit of fitted value, in %"),
        ("no serial correlation", serial.statistic, serial.correlation, "correlation of successive errors, one step"),
    )
    names = ("test", "statistic", "p_value", "estimate", "estimate_of")
    values = [
        (name, value, None if value is None else float(chdtrc(1, value)), None if value is None else estimate, what)
        for name, value, estimate, what in found
    ]
    schema = {name: pl.String if name in ("test", "estimate_of") else pl.Float64 for name in names}
    return serial, pl.DataFrame(values, schema=schema, orient="row")


def _spread_test(rows: FittedRows, weights: Floats) -> tuple[float | None, float | None]:
    """Relate squared standardised residuals to the fitted value, people being independent and visits not."""
    there = ~np.isnan(rows.standardised)
    person, square, fitted = rows.visits.person[there], rows.standardised[there] ** 2, rows.personal[there]
    each = weights[person]
    if not len(fitted):
        return None, None
    away = fitted - np.average(fitted, weights=each)
    size = float(np.sum(each * away**2))
    scores = np.bincount(person, away * (square - np.average(square, weights=each)), minlength=len(weights))
    variance = float(weights @ scores**2)
    if variance <= 0 or size <= _NO_VARIANCE * float(np.sum(each * fitted**2)):
        return None, None
    slope = float(weights @ scores) / size / float(np.average(square, weights=each))
    # Half the relative change of the variance is that of the standard deviation.
    return float(weights @ scores) ** 2 / variance, 100 * 0.5 * slope


def _influence(fit: Fit) -> pl.DataFrame:
    sums, p = fit.sums, len(fit.coefficients)
    # Of people who are alike one is left out; somebody who stands for others takes them along.
    leaving = sums.multiplicity if fit.weights_kind == "sampling" else np.ones(fit.participants)
    b, covariance = scaled_coefficients(fit), scaled_covariance(fit)
    total = np.linalg.inv(profile(fit.sums, fit.relative_factor, reml=fit.reml).covariance_over_variance)
    inverse = np.linalg.inv(covariance)
    errors, to_fixed = np.sqrt(np.diagonal(fit.fixed_covariance)), fit.scaling.to_fixed
    distance, shift = np.full(fit.participants, np.nan), np.full((fit.participants, p), np.nan)
    for first in range(0, fit.participants, _PEOPLE_AT_ONCE):
        part = slice(first, first + _PEOPLE_AT_ONCE)
        ZX, each = sums.ZX[part], leaving[part]
        terms = person_terms(fit.relative_factor, sums.ZZ[part], ZX, sums.Zy[part] - ZX @ b)
        A = sums.XX[part] - terms.carry @ ZX
        score = sums.Xy[part] - sums.XX[part] @ b - np.einsum("iqp,iq->ip", ZX, terms.modes)
        without = total - each[:, None, None] * A
        values = np.linalg.eigvalsh(without)
        sound = values[:, 0] > _NO_VARIANCE * values[:, -1]
        moved = np.full((len(ZX), p), np.nan)
        moved[sound] = -np.linalg.solve(without[sound], (each[:, None] * score)[sound][:, :, None])[:, :, 0]
        distance[part] = np.einsum("ij,ij->i", moved @ inverse, moved) / p
        shift[part] = moved @ to_fixed.T / errors
    most = np.argmax(np.abs(np.nan_to_num(shift)), axis=1)
    table = pl.DataFrame(
        {
            fit.basis.formula.group: known_ids(fit),
            "visits": sums.visits,
            "cooks_distance": distance,
            "term": np.array(fit.fixed_names)[most],
            "shift": shift[np.arange(len(most)), most],
        }
    ).with_columns(pl.col("cooks_distance", "shift").fill_nan(None))
    table = table.with_columns(term=pl.when(pl.col("shift").is_not_null()).then(pl.col("term")))
    order = ["cooks_distance", fit.basis.formula.group]
    return table.sort(order, descending=[True, False], nulls_last=False)


def _note_shapes(normality: pl.DataFrame, *, logged: bool) -> tuple[str, ...]:
    notes = []
    for name, n, _, _, skewness, kurtosis in normality.iter_rows():
        effect = "level" if name == "Intercept" else name
        what = "The readings" if name == "whitened_residual" else f"Differences between people in {effect}"
        if skewness is None:
            notes.append(f"{what} show no variation to judge (n = {n}).")
        elif abs(skewness) > SKEW or kurtosis > HEAVY_TAILS:
            side = ("further upwards" if skewness > 0 else "further downwards") if abs(skewness) > SKEW else ""
            tails = "with more extreme values" if kurtosis > HEAVY_TAILS else ""
            advice = "; a logarithm of the response often helps" if skewness > SKEW and not logged else ""
            notes.append(
                f"{what} scatter {' and '.join(filter(None, (side, tails)))} than a normal distribution "
                f"(skewness {skewness:.2f}, excess kurtosis {kurtosis:.2f}): intervals for single people may be too "
                f"narrow{advice}."
            )
        else:
            notes.append(f"{what} scatter about normally (skewness {skewness:.2f}, excess kurtosis {kurtosis:.2f}).")
    return tuple(notes)


def _note_spread(spread: pl.DataFrame, tests: pl.DataFrame, *, logged: bool) -> str:
    low, high, p = spread["sd"][0], spread["sd"][-1], tests["p_value"][0]
    if not low or not high:
        return "Whether readings scatter alike at low and high values cannot be judged."
    finding = (
        f"Where fitted values are highest, readings scatter {high / low:.2f} times as much around a person's curve as "
        "where they are lowest"
    )
    uneven = max(high / low, low / high) > SPREAD_RATIO and (p is None or p < SMALL_P)
    advice = "; a logarithm of the response may even that out" if uneven and high > low and not logged else ""
    return f"{finding}{'' if p is None else f' (p = {p:.2g} for no trend)'}{advice}."


def _note_serial(serial: SerialTest, tests: pl.DataFrame, time: str) -> str:
    p = tests["p_value"][1]
    order = f"by {time}" if time else "in the order of the table"
    if p is None or serial.correlation is None:
        return f"Whether errors of successive visits ({order}) resemble each other cannot be judged from these data."
    if p >= SMALL_P:
        return f"Errors of successive visits ({order}) show no clear resemblance (score test for AR(1), p = {p:.2g})."
    alike = "resemble" if serial.correlation > 0 else "oppose"
    return (
        f"Errors of successive visits ({order}) {alike} each other (correlation about {serial.correlation:.2f}, score "
        f"test for AR(1), p = {p:.2g}): the curves of people bend more than the random part lets them, and intervals "
        "may be too narrow; consider a more flexible random part or cluster-robust errors."
    )


def _note_influence(influence: pl.DataFrame) -> str:
    lost = influence["cooks_distance"].null_count()
    if lost:
        return f"Without any one of {lost} participants a term of the model cannot be estimated."
    top = influence.row(0, named=True)
    size = abs(top["shift"])
    finding = f"Leaving out the most influential participant would move {top['term']} by {size:.2f} standard errors"
    return f"{finding}; look at this participant's readings." if size > MOVES else f"{finding}."
