"""The model of a cohort: its axes, the populations it is averaged over, and the sums of its series."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.detection.censoring import Limits, with_sites
from ircohort.detection.climbing import Pull
from ircohort.detection.curves import Axes
from ircohort.detection.growth import families, grow, grow_alike, refit, refits, sharpened, single
from ircohort.detection.noise_only import permuted
from ircohort.detection.population import Population
from ircohort.detection.recalibration import NO_CORRECTION, Correction, learn_correction
from ircohort.detection.selection import Series
from ircohort.detection.settings import DetectSettings
from ircohort.detection.spread import USUAL_SD, SlopeSpread, slope_spread
from ircohort.detection.sums import Readings, Sums, make_sums
from ircohort.parallel import on_one_blas_thread

Bools = NDArray[np.bool_]

MARKERS = ("insulin", "tg_hdl")
OUTCOMES = ("insulin", "glucose", "tg_hdl")

SMALL_UP_TO = 10_000
"""Series up to which a cohort is learned from as a small one is: populations are grown from all of them, and so is what
is learned from drawn cohorts. Cohorts of 5,000 had worse probabilities when they were learned from as larger ones."""

GROW_FROM = 4000
"""Of larger cohorts this many series, evenly spread over the readings, are what populations are grown from. For
speed."""

CLEARLY_VISIBLE = 3.0
"""Standard errors that the square of the usual SD of slopes must be worth in so many series, or a large cohort is
learned from more of them: learned from 4,000, 50,000 people with six yearly visits were ranked worse than by a slope
test."""

SERIES_FOR_A_BEND = 700
"""With fewer series that can be judged the marker's course is a straight line: in cohorts of 300 and 500, to estimate
how markers bend cost more calibration than to leave it out; in cohorts of 1,000 it did not."""

CORRECTION_COHORTS, FEWEST_CORRECTION_COHORTS, CORRECTION_SERIES = 6, 2, 24_000
"""Cohorts that are drawn to learn how far probabilities can be taken at their word: as many as hold so many series."""

OPEN_CORRECTION_COHORTS = 12
"""The same where readings leave the kind of population open: there what one such cohort teaches and what the next does
differ most."""

READINGS_FOR_A_BEND = 5
"""Where half of the series that can be judged have fewer readings of the marker, courses are straight lines."""


@dataclass(frozen=True)
class Cohort:
    """The model of a cohort.

    ``keys``: one row per series, ``participant_id`` and ``segment``, in the order of ``sums``; ``judged`` which of them
    (n,) can be judged by each marker. ``populations`` that the posterior is averaged over, the best first. ``spread``
    of the slopes of each marker; ``n_people`` and ``n_readings`` by outcome. ``refitted`` whether doubt about the
    population is among ``populations``. ``readings`` as they entered, ``limits`` those beyond a limit; ``correction``
    of stated probabilities.
    """

    keys: pl.DataFrame
    judged: dict[str, Bools]
    sums: Sums
    populations: tuple[Population, ...]
    spread: dict[str, SlopeSpread]
    n_people: dict[str, int]
    n_readings: dict[str, int]
    refitted: bool
    readings: Readings
    limits: Limits
    correction: Correction

    @property
    def axes(self) -> Axes:
        """The axes of the model."""
        return self.sums.axes

    @property
    def straight(self) -> bool:
        """Whether the course of the marker is a straight line, for want of series or of readings."""
        return self.axes.columns[0] == 2


def outcomes_of(readings: pl.DataFrame, judge_from: int) -> tuple[str, ...]:
    """Name the outcomes that a series of enough people holds twice or more, the marker first.

    None where no model can be fitted. Insulin of which every reading lies beyond a limit is not one.
    """
    counts = readings.group_by("participant_id", "segment").agg(
        pl.any_horizontal(pl.col("insulin", "insulin_low").is_not_null()).sum().alias("insulin"),
        pl.col("tg_hdl", "glucose").is_not_null().sum(),
    )
    people = {name: counts.filter(pl.col(name) > 1)["participant_id"].n_unique() for name in OUTCOMES}
    exact = [name for name in OUTCOMES if readings[name].null_count() < readings.height]
    enough = [name for name in exact if people[name] >= judge_from]
    if "glucose" not in enough or len(enough) == 1:
        return ()
    return tuple(enough) if "insulin" in enough else ("tg_hdl", "glucose")


def fit_cohort(series: Series, settings: DetectSettings, seed: int) -> Cohort | None:
    """Fit the populations of a cohort; None where too few series hold a marker and glucose."""
    outcomes = outcomes_of(series.readings, settings.judge_from)
    if not outcomes:
        return None
    table = _with_outcomes(series.readings, outcomes)
    keys = table.select("participant_id", "segment").unique(maintain_order=True)
    readings = readings_of(table, outcomes)
    limits = limits_of(table, outcomes)
    judged = _judged(series.segments, keys)
    fitted = fit_readings(readings, outcomes, judged, settings, seed, limits)
    known = {name: pl.col(name).is_not_null() for name in outcomes}
    if "insulin" in known:
        known["insulin"] |= pl.col("insulin_low").is_not_null()
    return Cohort(
        keys=keys,
        judged=judged,
        sums=fitted.sums,
        populations=fitted.populations,
        spread=fitted.spread,
        n_people={name: table.filter(rows)["participant_id"].n_unique() for name, rows in known.items()},
        n_readings={name: table.filter(rows).height for name, rows in known.items()},
        refitted=fitted.refitted,
        readings=readings,
        limits=limits,
        correction=fitted.correction,
    )


def _judged(segments: pl.DataFrame, keys: pl.DataFrame) -> dict[str, Bools]:
    """Say which of the series ``keys`` (n,) can be judged by each marker."""
    marker = pl.when(pl.col("obstacle").is_null()).then("marker").alias("judged_by")
    by = keys.join(segments.with_columns(marker), on=keys.columns, how="left", maintain_order="left")["judged_by"]
    return {name: (by == name).fill_null(value=False).to_numpy() for name in MARKERS}


def _with_outcomes(readings: pl.DataFrame, outcomes: tuple[str, ...]) -> pl.DataFrame:
    """Keep series in which a marker was measured, and number them."""
    markers = [name for name in outcomes if name != "glucose"]
    if "insulin" in markers:
        markers.append("insulin_low")
    there = pl.any_horizontal(pl.col(*markers).is_not_null()).any().over("participant_id", "segment")
    kept = readings.filter(there)
    return kept.with_columns(pl.struct("participant_id", "segment").rle_id().alias("series"))


def readings_of(table: pl.DataFrame, outcomes: tuple[str, ...]) -> Readings:
    """Give the numbered readings as arrays; time runs from the beginning of the series."""
    since = (pl.col("years") - pl.col("years").min().over("series")).alias("since")
    values = table.select(*outcomes).to_numpy().astype(float)
    years = table.select(since).to_series().to_numpy()
    return Readings(table["series"].to_numpy().astype(np.intp), years, values, np.ones(table.height))


def limits_of(table: pl.DataFrame, outcomes: tuple[str, ...]) -> Limits:
    """Give the bounds of readings of insulin beyond a limit of detection, none where insulin is no outcome."""
    rows = np.flatnonzero((table["insulin_low"].is_not_null() & ("insulin" in outcomes)).to_numpy())
    low, high = (table[name].to_numpy()[rows].astype(float) for name in ("insulin_low", "insulin_high"))
    return Limits(rows, low, high)


@dataclass(frozen=True)
class Fitted:
    """What a cohort's readings give: see :class:`Cohort`."""

    sums: Sums
    populations: tuple[Population, ...]
    spread: dict[str, SlopeSpread]
    refitted: bool
    correction: Correction = NO_CORRECTION


def permuted_cohort(cohort: Cohort, settings: DetectSettings, seed: int) -> Cohort:
    """Fit the same cohort with the visits of each series dealt out anew over its dates."""
    dealt, limits = permuted(cohort.readings, cohort.limits, seed)
    fitted = fit_readings(dealt, cohort.axes.outcomes, cohort.judged, settings, seed, limits)
    return replace(
        cohort,
        sums=fitted.sums,
        populations=fitted.populations,
        spread=fitted.spread,
        refitted=False,
        readings=dealt,
        limits=limits,
        correction=NO_CORRECTION,
    )


@on_one_blas_thread
def fit_readings(
    readings: Readings,
    outcomes: tuple[str, ...],
    judged: dict[str, Bools],
    settings: DetectSettings,
    seed: int,
    limits: Limits,
) -> Fitted:
    """Fit the populations to the readings of series, of which those ``judged`` can be judged by a marker.

    Where too little is known of how the slopes of each of these differ, nobody will be judged, and one component is
    fitted without looking for more.
    """
    markers, leading = [name for name, who in judged.items() if who.any()], judged[outcomes[0]]
    n = len(leading)
    quick = n > settings.refit_up_to
    spread = _spreads(readings, outcomes, n, GROW_FROM if quick else settings.learn_up_to)
    if quick and settings.learn_up_to > GROW_FROM:
        quick = all(found.visible >= CLEARLY_VISIBLE for name, found in spread.items() if name in markers)
        spread = spread if quick else _spreads(readings, outcomes, n, settings.learn_up_to)
    axes = _axes(readings, outcomes, leading)
    sums = make_sums(readings, n, axes)
    if limits.rows.size:
        readings = with_sites(readings, limits, sums, single(sums.take(evenly(sums, GROW_FROM))))
        sums = make_sums(readings, n, axes)
    order = evenly(sums, GROW_FROM if quick else settings.learn_up_to)
    everyone = sums.take(order)
    large = everyone.n > SMALL_UP_TO
    part = sums.take(evenly(sums, GROW_FROM)) if large else everyone
    common = single(part)
    if all(found.obstacle for name, found in spread.items() if name in markers):
        return Fitted(sums, (common,), spread, False)
    if quick:
        return Fitted(sums, grow(common, part, seed)[:1], spread, False)
    grown = families(common, part, seed, everyone if large else None)
    best = tuple(family[0] for family in grown.kept)
    if not settings.refits:
        return Fitted(sums, best, spread, False)
    populations = refits(grown, everyone, settings.refits, seed)
    if not settings.recalibrate:
        return Fitted(sums, populations, spread, True)
    learner = _Learner(best, large, grown.pull, seed)
    correction = learn_correction(
        readings.take(order),
        leading[order],
        axes,
        learner.sources,
        learner,
        settings.definition,
        learner.cohorts(everyone.n),
        seed,
    )
    return Fitted(sums, populations, spread, True, correction)


@dataclass(frozen=True)
class _Learner:
    """How populations are learned from drawn cohorts: as the best of each family were learned from the real one.

    Small cohorts have one start here, where the real one has several; large ones begin where these stand, for speed.
    """

    best: tuple[Population, ...]
    large: bool
    pull: Pull
    seed: int

    @property
    def sources(self) -> tuple[Population, ...]:
        """What cohorts are drawn from: small ones leave open how evenly slopes spread."""
        return self.best if self.large else (*self.best, *map(sharpened, self.best))

    def cohorts(self, n: int) -> int:
        """How many cohorts of ``n`` series are drawn."""
        if len(self.best) > 1:
            return OPEN_CORRECTION_COHORTS
        return int(np.clip(CORRECTION_SERIES // n, FEWEST_CORRECTION_COHORTS, CORRECTION_COHORTS))

    def __call__(self, drawn: Sums) -> tuple[Population, ...]:
        if self.large:
            return tuple(refit(like, drawn, np.ones(drawn.n), self.pull) for like in self.best)
        return tuple(grow_alike(like, drawn, self.pull, self.seed) for like in self.best)


def _axes(readings: Readings, outcomes: tuple[str, ...], judged: Bools) -> Axes:
    counts = np.bincount(readings.series[np.isfinite(readings.values[:, 0])], minlength=len(judged))[judged]
    bends = counts.size > 0 and np.median(counts) >= READINGS_FOR_A_BEND
    bending = {"glucose": bends, outcomes[0]: bends and counts.size >= SERIES_FOR_A_BEND}
    columns = tuple(3 if bending.get(name) else 2 for name in outcomes)
    # Rounded, so that the order in which readings were added leaves no trace: any scale does.
    mean, sd = np.nanmean(readings.values, axis=0).round(10), np.nanstd(readings.values, axis=0).round(10)
    return Axes(outcomes, columns, mean, np.maximum(sd, 1e-3), max(float(readings.years.max()), 0.25))


def evenly(sums: Sums, most: int) -> NDArray[np.intp]:
    """Give at most so many series in an order of their readings, so that names and rows play no part."""
    return _thinned(sums.in_order(), most)


def _thinned(order: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Take at most so many, evenly spread."""
    return order[np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(np.intp)]


def _spreads(readings: Readings, outcomes: tuple[str, ...], n: int, most: int) -> dict[str, SlopeSpread]:
    """Measure how slopes of each marker spread, over at most so many of the ``n`` series, evenly spread."""
    return {name: _spread_of(readings, outcomes, name, n, most) for name in MARKERS if name in outcomes}


def _spread_of(readings: Readings, outcomes: tuple[str, ...], marker: str, n: int, most: int) -> SlopeSpread:
    outcome = outcomes.index(marker)
    has = np.isfinite(readings.values[:, outcome])
    if n > most:
        total = np.bincount(readings.series[has], weights=readings.values[has, outcome], minlength=n)
        order = np.lexsort((np.bincount(readings.series[has], minlength=n), total))
        chosen = np.zeros(n, dtype=bool)
        chosen[_thinned(order, most)] = True
        has &= chosen[readings.series]
    _, series = np.unique(readings.series[has], return_inverse=True)
    return slope_spread(series.astype(np.intp), readings.years[has], readings.values[has, outcome], USUAL_SD[marker])
