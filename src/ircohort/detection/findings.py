"""What the posterior says of each series: one row of numbers each, and fitted curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.detection.cohort import Cohort
from ircohort.detection.judging import (
    STEP_YEARS,
    Dated,
    Drawn,
    Ends,
    course,
    date_windows,
    ends_of,
    fitted_curve,
    quantiles,
    stage,
    window_draws,
    window_draws_beyond,
)
from ircohort.detection.posterior import Noise, draw_courses, draw_prior, make_noise
from ircohort.detection.settings import DetectSettings
from ircohort.detection.turning import turn_shares
from ircohort.parallel import each

Floats = NDArray[np.float64]

DRAWS_AT_ONCE = 1 << 18
"""Draws of all series of a block together: smaller blocks leave threads waiting for one another."""

TURNS_AT_ONCE = 8192
"""Series in which turns are looked for at once."""

SUFFIXES = ("_low", "", "_high")
KEY = ("participant_id", "segment")

CURVE_SCHEMA = {
    "participant_id": pl.String,
    "marker": pl.String,
    "years": pl.Float64,
    "fitted": pl.Float64,
    "fitted_low": pl.Float64,
    "fitted_high": pl.Float64,
}


@dataclass(frozen=True)
class Judged:
    """Rows about the series judged by one marker: ``series`` (one row each), ``curves``."""

    series: pl.DataFrame
    curves: pl.DataFrame


@dataclass(frozen=True)
class Judge:
    """All that judging takes, besides the series: see the functions of :mod:`judging`.

    ``expected`` change of the log marker per year of each series of the cohort, None where not asked for; ``prior``
    probability of somebody without readings, by length of follow-up in steps of a quarter of a year; ``turns`` (2, n)
    probability that the marker of each series of the cohort rose and fell back, and that it fell and rose again;
    ``whole`` whether curves, and the probability without TG:HDL, are given of everybody judged.
    """

    cohort: Cohort
    marker: str
    settings: DetectSettings
    noise: Noise
    expected: Floats | None
    whole: bool
    prior: Floats
    turns: Floats

    def __call__(self, segments: pl.DataFrame) -> Judged:
        """Judge a block of series, rows of ``Series.segments`` with ``place``, their row in the cohort."""
        place, rule = segments["place"].to_numpy(), self.settings.definition
        drawn = self.drawn(place, segments, without=None)
        expected = None if self.expected is None else self.expected[place]
        present, beyond = window_draws_beyond(drawn, self.marker, rule, expected)
        probability = self.cohort.correction(present.mean(axis=1))
        ends = ends_of(drawn, self.marker)
        columns: dict[str, object] = {
            **{name: segments[name] for name in KEY},
            "probability": probability,
            "probability_beyond_expected": self._beyond(beyond, len(place)),
            **self._rising(ends),
            "course": course(drawn, self.marker, ends, rule, self.settings.course_from, self.turns[:, place]),
            "stage": self._stage(ends),
            **self._changes(drawn, ends),
            **self._dated(drawn, segments, probability),
            "probability_without_tg_hdl": self._without_tg_hdl(place, segments, probability),
            "prior": self.prior[_length(drawn.follow_up)],
            "by_population": self._by_population(present),
        }
        types = {"course": pl.String(), "stage": pl.String(), "by_population": pl.List(pl.Float64)}
        rows = pl.DataFrame(columns, schema_overrides=types).with_columns(pl.selectors.float().fill_nan(None))
        shown = self._shown(probability)
        return Judged(rows, self._curves(drawn.take(shown), segments[shown]))

    def drawn(self, place: NDArray[np.intp], segments: pl.DataFrame, without: str | None) -> Drawn:
        """Draw the courses of some series, one outcome left aside if asked for."""
        sums = self.cohort.sums.take(place)
        courses = draw_courses(self.cohort.populations, sums if without is None else sums.without(without), self.noise)
        return Drawn(self.cohort.axes, courses, (segments["last"] - segments["first"]).to_numpy())

    def _possible(self, probability: Floats) -> NDArray[np.intp]:
        """Say whose windows are dated: two series together may make a window possible that neither does alone."""
        return np.flatnonzero(probability >= 0.5 * self.settings.possible_from)

    def _shown(self, probability: Floats) -> NDArray[np.intp]:
        """Say for whom everything is given that takes time or room: in large cohorts where a window is possible."""
        return np.arange(len(probability)) if self.whole else self._possible(probability)

    def _beyond(self, beyond: NDArray[np.bool_] | None, n: int) -> Floats:
        return np.full(n, np.nan) if beyond is None else self.cohort.correction(beyond.mean(axis=1))

    def _rising(self, ends: Ends) -> dict[str, Floats]:
        """How probably the marker ends higher by as much as a window must rise; glucose beyond its limit then."""
        rule = self.settings.definition
        rises = ends.marker >= np.log1p(rule.min_rise)
        high = np.maximum(ends.first_mg_dl, ends.last_mg_dl) >= rule.glucose_cut_off_mg_dl
        leaves = (rises & high).sum(axis=1) / np.maximum(rises.sum(axis=1), 1)
        return {"rising": self.cohort.correction(rises.mean(axis=1)), "glucose_leaves": leaves}

    def _stage(self, ends: Ends) -> list[str | None]:
        if self.marker != "insulin":
            return [None] * len(ends.marker)
        return stage(ends, self.settings.course_from, self.settings.glucose_cut_off_mg_dl)

    def _changes(self, drawn: Drawn, ends: Ends) -> dict[str, Floats]:
        """Yearly changes over the follow-up: of the markers in %, of glucose in mg/dL."""
        follow_up = drawn.follow_up[:, None]
        logs = {self.marker: ends.marker}
        if self.marker == "insulin":
            logs["homa_ir"] = ends.marker + ends.glucose
            if "tg_hdl" in self.cohort.axes.outcomes:
                logs["tg_hdl"] = ends_of(drawn, "tg_hdl").marker
        changes = {f"{name}_pct_per_year": 100 * np.expm1(change / follow_up) for name, change in logs.items()}
        changes["glucose_mg_dl_per_year"] = (ends.last_mg_dl - ends.first_mg_dl) / follow_up
        return {name: part for key, values in changes.items() for name, part in _triple(key, quantiles(values).T)}

    def _dated(self, drawn: Drawn, segments: pl.DataFrame, probability: Floats) -> dict[str, Floats]:
        """Date windows only where one is at least possible; NaN elsewhere."""
        rows = self._possible(probability)
        dated = date_windows(drawn.take(rows), self.marker, self.settings.definition)
        found = _dated_columns(dated, segments["first"].to_numpy()[rows])
        return {name: _spread_out(values, rows, len(probability)) for name, values in found}

    def _without_tg_hdl(self, place: NDArray[np.intp], segments: pl.DataFrame, probability: Floats) -> Floats:
        """Judge by insulin and glucose alone, in large cohorts only where a window is at least possible; else NaN."""
        rows = self._shown(probability)
        if self.marker != "insulin" or "tg_hdl" not in self.cohort.axes.outcomes or not len(rows):
            return np.full(len(place), np.nan)
        alone = self.drawn(place[rows], segments[rows], without="tg_hdl")
        present = window_draws(alone, self.marker, self.settings.definition)
        return _spread_out(self.cohort.correction(present.mean(axis=1)), rows, len(place))

    def _by_population(self, present: NDArray[np.bool_]) -> pl.Series:
        """Give the probability under each population."""
        blocks = self.noise.blocks(len(self.cohort.populations))
        shares = np.column_stack([present[:, block].mean(axis=1) for block in blocks])
        return pl.Series(self.cohort.correction(shares)).arr.to_list()

    def _curves(self, drawn: Drawn, segments: pl.DataFrame) -> pl.DataFrame:
        parts = [pl.DataFrame(schema=CURVE_SCHEMA)]
        for outcome in self.cohort.axes.outcomes if segments.height else ():
            measured = segments[f"n_{outcome}"].to_numpy() >= self.settings.min_visits
            who = np.flatnonzero(measured)
            if not who.size:
                continue
            years, fitted = fitted_curve(drawn.take(who), outcome)
            own = segments[who]
            columns = {
                "participant_id": own["participant_id"].gather(np.repeat(np.arange(who.size), len(years))),
                "marker": [outcome] * years.size,
                "years": (years + own["first"].to_numpy()).T.ravel(),
                **{name: fitted[i].T.ravel() for i, name in enumerate(("fitted_low", "fitted", "fitted_high"))},
            }
            parts.append(pl.DataFrame(columns).select(*CURVE_SCHEMA))
        return pl.concat(parts)


def _spread_out(values: Floats, rows: NDArray[np.intp], n: int) -> Floats:
    """Give the values (k, ...) of some of ``n`` rows a place for each row, NaN for the others."""
    spread = np.full((n, *values.shape[1:]), np.nan)
    spread[rows] = values
    return spread


def _length(follow_up: Floats) -> NDArray[np.intp]:
    return np.maximum(np.round(follow_up / STEP_YEARS), 1).astype(np.intp)


def prior_shares(cohort: Cohort, marker: str, longest: float, settings: DetectSettings, noise: Noise) -> Floats:
    """Give the probability for somebody of the cohort without readings, by length of follow-up in steps."""
    courses = draw_prior(cohort.populations, noise)
    lengths = np.arange(int(_length(np.array([longest]))[0]) + 1) * STEP_YEARS
    shares = [
        window_draws(Drawn(cohort.axes, courses, np.array([length])), marker, settings.definition).mean()
        for length in lengths[1:]
    ]
    return cohort.correction(np.array([0.0, *shares]))


def _turns(cohort: Cohort, marker: str, settings: DetectSettings) -> Floats:
    readings = cohort.readings
    values = readings.values[:, cohort.axes.outcomes.index(marker)]
    has = np.isfinite(values)
    least = float(np.log1p(settings.min_rise))
    series, values = readings.series[has], values[has]
    same = series[1:] == series[:-1]
    # Of neighbouring readings: around lines, those who turn would count as scatter.
    scatter = float(np.sqrt(0.5 * np.mean(np.diff(values)[same] ** 2)))
    years, n = readings.years[has], cohort.keys.height

    def turned(first: int) -> Floats:
        some = slice(*np.searchsorted(series, (first, first + TURNS_AT_ONCE)))
        count = min(TURNS_AT_ONCE, n - first)
        return np.stack(turn_shares(series[some] - first, years[some], values[some], count, scatter, least))

    return np.concatenate(each(turned, range(0, n, TURNS_AT_ONCE), len(series)), axis=1)


def _triple(name: str, values: Floats) -> list[tuple[str, Floats]]:
    return [(f"{name}{suffix}", values[..., i]) for i, suffix in enumerate(SUFFIXES)]


def _dated_columns(dated: Dated, first: Floats) -> list[tuple[str, Floats]]:
    return [
        *_triple("rise_pct", 100 * np.expm1(dated.log_rise)),
        *_triple("window_start", dated.start + first[:, None]),
        *_triple("window_end", dated.end + first[:, None]),
        ("opens_late", dated.opens_late),
        ("crosses", dated.crosses),
        ("falls_back", dated.falls_back),
    ]


def judge_series(
    segments: pl.DataFrame, cohort: Cohort, marker: str, settings: DetectSettings, expected: Floats | None, seed: int
) -> Judged:
    """Judge the series of ``segments`` by one marker, block by block."""
    draws = settings.draws if cohort.keys.height <= settings.refit_up_to else max(64, settings.draws // 4)
    noise = make_noise(cohort.axes.size, draws, seed)
    longest = float((segments["last"] - segments["first"]).max())  # type: ignore[arg-type]
    prior = prior_shares(cohort, marker, longest, settings, noise)
    turns = _turns(cohort, marker, settings)
    judge = Judge(cohort, marker, settings, noise, expected, cohort.keys.height <= settings.whole_up_to, prior, turns)
    # Series of one length share a grid: side by side, they are judged at once.
    segments = segments.sort(pl.col("last") - pl.col("first"), *KEY)
    size = max(1, DRAWS_AT_ONCE // draws)
    blocks = [segments[begin : begin + size] for begin in range(0, segments.height, size)]
    parts = each(judge, blocks, segments.height * draws)
    return Judged(pl.concat([part.series for part in parts]), pl.concat([part.curves for part in parts]))
