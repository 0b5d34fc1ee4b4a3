"""Simulated cohorts as a detector sees them, with the truth beside them; and the visits of the user's own people."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from hashlib import shake_256
from typing import Any

import polars as pl

from ircohort import frames
from ircohort.detection import DetectSettings
from ircohort.detection.selection.entering import prepare_visits
from ircohort.errors import UsageError
from ircohort.evaluation.truth import judged_stretches, truth_within
from ircohort.glycaemia import class_of_reading, confirmed_events
from ircohort.indices import markers
from ircohort.simulation import EXPORTS, Design, Simulated, VisitPattern, simulate
from ircohort.units import conversion

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Cohort:
    """A simulated cohort: ``visits`` as a detector sees them, and ``truth``, one row per participant.

    ``truth`` has ``participant_id``, ``hidden_window`` (within the series that can be judged, see
    :mod:`ircohort.evaluation.truth`), ``hidden_window_planned`` (over the whole follow-up), ``follow_up_years``,
    ``window_start_years``, ``window_true_years`` (first month at which a series so far held a window),
    ``years_to_glucose_100`` and ``years_to_confirmed`` (the first of the two visits that confirm dysglycaemia); years
    since the first visit.
    """

    visits: pl.DataFrame
    truth: pl.DataFrame


def cohort_seed(seed: int, number: int) -> int:
    """Give each cohort a seed that no other evaluation is likely to use."""
    return int.from_bytes(shake_256(f"cohort:{seed}:{number}".encode()).digest(4), "little")


def draw_cohort(
    design: Design, *, seed: int, pattern: VisitPattern | None, settings: DetectSettings, over_time: bool = False
) -> Cohort:
    """Simulate a cohort.

    ``over_time`` asks for ``window_true_years`` too, which takes the monthly courses; else it is null.
    """
    rule = settings.definition
    simulated = simulate(design, seed=seed, definition=rule, pattern=pattern)
    visits = visits_of(simulated, units=design.units)
    stretches = judged_stretches(visits, settings, simulated.truth["participant_id"])
    held = truth_within(
        simulated.truth, stretches, design, seed=seed, pattern=pattern, definition=rule, over_time=over_time
    )
    confirmed = confirmed_events(visits).select("participant_id", pl.col("event_years").alias("years_to_confirmed"))
    truth = simulated.truth.select(
        "participant_id",
        pl.Series("hidden_window", held.present),
        pl.col("hidden_window").alias("hidden_window_planned"),
        "follow_up_years",
        pl.Series("window_start_years", held.start).fill_nan(None),
        "years_to_glucose_100",
        pl.Series("window_true_years", held.completed).fill_nan(None),
    )
    return Cohort(visits, truth.join(confirmed, on="participant_id", how="left", maintain_order="left"))


def visits_of(simulated: Simulated, *, units: str = "us") -> pl.DataFrame:
    """Turn a simulated export into VISITS with markers, without the detours of reading a file.

    Parameters
    ----------
    simulated
        A cohort.
    units
        The units of its design.

    Returns
    -------
    polars.DataFrame
        One row per visit: identifier, date, ``years`` since the first visit, age, sex, the measured columns in
        canonical units (insulin below a detection limit as half of it, with its bounds), assay and drug where they are
        recorded, glycaemia by the reading as reported, markers and state.

    Examples
    --------
    >>> visits_of(simulate(Design(n_participants=4, n_visits=1), seed=1)).select("glycaemia", "homa_ir").shape
    (4, 2)
    """
    labs, reported = simulated.labs, EXPORTS[units]
    glucose = next(row for row in reported if row.analyte == "glucose")
    classes = {
        value: None if value is None else class_of_reading("glucose", Decimal(str(value)), glucose.unit)
        for value in labs[glucose.header].unique()
    }
    context = []
    if "assay" in labs.columns:
        context.append(pl.col("assay"))
    if "glucose_lowering_drug" in labs.columns:
        context.append(pl.col("glucose_lowering_drug") == "yes")
    glycaemia = pl.col(glucose.header).replace_strict(classes, return_dtype=pl.String)
    visits = labs.select(
        "participant_id",
        "visit_date",
        simulated.truth_visits["years"],
        pl.col("age").cast(pl.Float64),
        "sex",
        *(expression for row in reported for expression in _canonical(labs, row)),
        *context,
        glycaemia.alias("glycaemia"),
        pl.when(glycaemia.is_not_null()).then(pl.lit("glucose")).alias("glycaemia_by"),
    )
    table: pl.DataFrame = markers(visits)
    return table


def _canonical(labs: pl.DataFrame, row: Any) -> list[pl.Expr]:
    """Give a column of the export in its canonical unit; one with a detection limit as value and bounds."""
    factor, written = float(conversion(row.analyte, row.unit).apply(Decimal(1))), pl.col(row.header)
    if labs.schema[row.header] != pl.String:
        return [(written * factor).cast(pl.Float64).alias(row.column)]
    below = written.str.starts_with("<")
    number = written.str.strip_prefix("<").cast(pl.Float64) * factor
    return [
        pl.when(below).then(number / 2).otherwise(number).alias(row.column),
        pl.when(below).then(0.0).alias(f"{row.column}_lower"),
        pl.when(below).then(number).alias(f"{row.column}_upper"),
    ]


def pattern_of(visits: Any, settings: DetectSettings | None = None) -> VisitPattern:
    """Take from a table of visits when each person came, and what was measured then.

    Visits that detection sets aside (not fasting, ill, pregnant, on a glucose-lowering drug, under 18) do not count,
    nor do those without a time or without glucose, insulin and lipids. Visits after a confirmed event count: simulated
    people have events of their own. Times run from a person's first visit that counts, in whole days.

    Parameters
    ----------
    visits
        VISITS (pandas or polars).
    settings
        Of detection.

    Raises
    ------
    UsageError
        If no visit counts.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a", "a", "b"], "years": [1.0, 2.5, 0.0],
    ...                        "insulin_uiu_ml": [8.0, None, 9.0], "glucose_mg_dl": [90.0, 91.0, 92.0]})
    >>> pattern = pattern_of(visits)
    >>> pattern.n_visits.tolist(), pattern.insulin.tolist()
    ([2, 1], [True, False, True])
    """
    prepared, _ = prepare_visits(frames.to_polars(visits), settings or DetectSettings())
    measured = [
        pl.col("glucose").is_not_null().alias("glucose"),
        pl.col("insulin_known").alias("insulin"),
        pl.col("tg_hdl").is_not_null().alias("lipids"),
    ]
    seen = (
        prepared.filter("usable")
        .select("participant_id", "years", *measured)
        .filter(pl.any_horizontal("glucose", "insulin", "lipids"))
        .with_columns((pl.col("years") - pl.col("years").min().over("participant_id")) * DAYS_PER_YEAR)
        .group_by("participant_id", pl.col("years").round().cast(pl.Int64).alias("day"))
        .agg(pl.col("glucose", "insulin", "lipids").any())
        .sort("participant_id", "day")
    )
    if seen.is_empty():
        raise UsageError(
            "The visits have no pattern to simulate: none has a time and a fasting reading.",
            next_step="`ircohort check` shows what was recognised.",
        )
    counts = seen.group_by("participant_id", maintain_order=True).len()["len"].to_numpy()
    flags = {name: seen[name].to_numpy() for name in ("glucose", "insulin", "lipids")}
    return VisitPattern(counts, seen["day"].to_numpy() / DAYS_PER_YEAR, **flags)
