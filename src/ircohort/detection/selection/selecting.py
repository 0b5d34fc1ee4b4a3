"""From a table of visits to the series that a model is fitted to, and a word about everyone in it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ircohort.detection.selection.cutting import cut_segments, find_episodes, with_ends
from ircohort.detection.selection.entering import ASIDE, READINGS, prepare_visits, said_of_visits
from ircohort.detection.selection.obstacles import best_segments, person_obstacle, segment_obstacle
from ircohort.detection.settings import DetectSettings


@dataclass(frozen=True)
class Series:
    """The judged visits of each participant, cut into segments that are series of their own.

    ``readings``: one row per visit used, sorted by participant and time: ``participant_id``, ``segment`` (0, 1, ...
    within the participant), ``years``, ``age`` (null where unknown), ``calendar`` (date as years, null without one),
    ``insulin``, ``insulin_low``, ``insulin_high``, ``tg_hdl``, ``glucose`` (natural logs, null where not measured). A
    reading of insulin beyond a limit has the two bounds (infinite where open) and no value.

    ``segments``: one row per segment: ``n_visits_used``, ``n_insulin`` (times with a reading that enters),
    ``n_censored`` (readings, of all that were recorded), ``n_tg_hdl``, ``n_glucose``, ``first`` and ``last`` visit that
    enters, ``span_insulin`` and ``span_tg_hdl`` (all four in years), ``opened``, ``closed`` (words of WINDOWS),
    ``marker`` to judge by, ``obstacle`` (why it cannot be judged, or null).

    ``people``: one row per participant, sorted: ``n_visits``, ``n_visits_used``, ``span_years`` (first to last visit
    used), ``n_segments``, ``marker`` to judge by, ``age_first`` (at the first visit used), ``sex``, ``adult`` (some
    visit is not known to be under 18), ``last_state``, ``obstacle`` (null where some segment can be judged).

    ``notes``: sentences.
    """

    readings: pl.DataFrame
    segments: pl.DataFrame
    people: pl.DataFrame
    notes: tuple[str, ...]


def select_series(visits: pl.DataFrame, settings: DetectSettings) -> Series:
    """Choose the visits that enter detection, cut them into segments, and say who cannot be judged, and why.

    Visits that were not fasting, under 18, during illness or pregnancy, or on a glucose-lowering drug do not enter; nor
    do those after a confirmed event, until glucose is confirmed normal again without treatment. A change of assay or
    specimen begins a new segment.

    Raises
    ------
    ColumnError
        If a required column is missing or holds another type.
    UsageError
        If a lower bound of insulin lies above the upper one.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 4, "years": [0.0, 1.0, 2.0, 3.0],
    ...                        "assay": ["x", "x", "y", None],
    ...                        "insulin_uiu_ml": [8.0, 9.0, 12.0, 11.0], "glucose_mg_dl": [90.0, 91.0, 90.0, 92.0]})
    >>> select_series(visits, DetectSettings()).segments.select("segment", "first", "last", "opened").rows()
    [(0, 0.0, 1.0, 'start_of_follow_up'), (1, 2.0, 3.0, 'break_in_series')]
    """
    table, notes = prepare_visits(visits, settings)
    # Until the end people go by number, in the order of their names: joins and groups of numbers are twice as fast.
    names = table["participant_id"].unique(maintain_order=True)
    table = table.with_columns(pl.col("participant_id").rle_id())
    episodes = find_episodes(table)
    kept = cut_segments(table, episodes)
    people = _everyone(table)
    segments = with_ends(_segments(kept), episodes).join(
        people.select("participant_id", "marker"), on="participant_id", how="left", maintain_order="left"
    )
    segments = segments.with_columns(segment_obstacle(settings).alias("obstacle"))
    used = kept.filter("enters")
    for more in (_used(used), best_segments(segments)):
        people = people.join(more, on="participant_id", how="left", maintain_order="left")
    people = people.with_columns(
        pl.col("n_visits_used", "n_segments").fill_null(0), person_obstacle().alias("obstacle")
    )
    notes += [*said_of_visits(table, settings), *_said_of_segments(segments)]
    tables = (used.select(_READINGS), segments.select(_SEGMENTS), people.select(_PEOPLE))
    named = [frame.with_columns(names.gather(frame["participant_id"]).alias("participant_id")) for frame in tables]
    return Series(named[0], named[1], named[2], tuple(notes))


_READINGS = ("participant_id", "segment", "years", "age", "calendar", *READINGS)
_SEGMENTS = (
    *("participant_id", "segment", "n_visits_used", "n_insulin", "n_censored", "n_tg_hdl", "n_glucose"),
    *("first", "last", "span_insulin", "span_tg_hdl", "opened", "closed", "marker", "obstacle"),
)
_PEOPLE = (
    *("participant_id", "n_visits", "n_visits_used", "span_years", "n_segments", "marker", "age_first", "sex", "adult"),
    *("last_state", "obstacle"),
)


def _everyone(table: pl.DataFrame) -> pl.DataFrame:
    """Say of each participant what the whole table holds, the marker to judge by among it."""
    dated_aside = pl.col("dated") & pl.col("aside")
    flags = [(pl.col(name) if name != "fasting" else ~pl.col(name)).fill_null(False) for name in ASIDE]
    known_state = pl.col("state").is_not_null() & (pl.col("state") != "unknown")
    sexes = pl.col("sex").drop_nulls().unique(maintain_order=True)
    return table.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_visits"),
        pl.col("dated").any().alias("any_dated"),
        pl.col("usable").any().alias("any_usable"),
        (pl.col("dated") & ~pl.col("aside") & pl.col("child")).any().alias("any_child"),
        (~pl.col("child")).any().alias("adult"),
        dated_aside.sum().cast(pl.Int64).alias("n_aside"),
        *((dated_aside & flag).any().alias(f"any_{name}") for name, flag in zip(ASIDE, flags, strict=True)),
        pl.when(pl.col("insulin_known").any())
        .then(pl.lit("insulin"))
        .when(pl.col("tg_hdl").is_not_null().any())
        .then(pl.lit("tg_hdl"))
        .alias("marker"),
        pl.when(sexes.len() == 1).then(sexes.first()).alias("sex"),
        pl.col("state").filter(known_state).last().alias("last_state"),
    )


def _used(used: pl.DataFrame) -> pl.DataFrame:
    """Count and span the visits that are used, over all segments of a participant."""
    return used.group_by("participant_id", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n_visits_used"),
        (pl.col("years").last() - pl.col("years").first()).alias("span_years"),
        pl.col("age").drop_nulls().first().alias("age_first"),
    )


def _segments(kept: pl.DataFrame) -> pl.DataFrame:
    """Count and span what each segment holds."""
    known = {
        "insulin": pl.any_horizontal(pl.col("insulin", "insulin_low").is_not_null()),
        "tg_hdl": pl.col("tg_hdl").is_not_null(),
        "glucose": pl.col("glucose").is_not_null(),
    }
    spans = {name: pl.col("years").filter(known[name]) for name in ("insulin", "tg_hdl")}
    return kept.group_by("participant_id", "segment", maintain_order=True).agg(
        pl.col("enters").sum().cast(pl.Int64).alias("n_visits_used"),
        *(pl.col("years").filter(there).n_unique().cast(pl.Int64).alias(f"n_{name}") for name, there in known.items()),
        pl.col("n_censored").sum(),
        pl.col("insulin_known").sum().cast(pl.Int64).alias("n_insulin_recorded"),
        pl.col("years").filter("enters").first().alias("first"),
        pl.col("years").filter("enters").last().alias("last"),
        *((years.last() - years.first()).alias(f"span_{name}") for name, years in spans.items()),
        *(pl.col(name).first() for name in ("era", "after_recovery", "after_break")),
    )


def _said_of_segments(segments: pl.DataFrame) -> list[str]:
    """Say in how many people a series begins anew, and why."""
    notes = []
    for column, reason in (
        ("after_recovery", "glucose was confirmed normal again after a confirmed event"),
        ("after_break", "the assay or specimen changed"),
    ):
        if people := segments.filter(column)["participant_id"].n_unique():
            whose = "1 participant" if people == 1 else f"{people} participants"
            notes.append(f"In {whose} a new series begins where {reason}.")
    return notes
