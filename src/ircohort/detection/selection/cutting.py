"""Where a participant's series is cut: at confirmed events, and at changes of assay or specimen."""

from __future__ import annotations

import polars as pl

from ircohort.detection.selection.entering import READINGS
from ircohort.glycaemia import confirmed_episodes


def find_episodes(table: pl.DataFrame) -> pl.DataFrame:
    """Find confirmed events and recoveries: judged by the visits that enter, treatment taken from all."""
    glycaemia = pl.when("usable").then("glycaemia")
    return confirmed_episodes(table.filter("dated").with_columns(glycaemia))


def cut_segments(table: pl.DataFrame, episodes: pl.DataFrame) -> pl.DataFrame:
    """Give the visits of each ``segment`` (0, 1, ...), and which of them ``enters``.

    A stretch with one assay and one specimen, up to and including the visits that confirm an event, is a segment: left
    out, those visits would make glucose look flatter than it was. None follows them until glucose is confirmed
    normal again. What a visit does not state of assay and specimen continues the one before. A visit whose
    insulin was dropped as censored counts as recorded, but does not enter by that.
    """
    usable = table.filter("usable").with_columns(
        pl.col(name).forward_fill().backward_fill().over("participant_id") for name in ("assay", "specimen")
    )
    within = _between_events(usable, episodes)
    within = within.with_columns(pl.any_horizontal(pl.col(READINGS).is_not_null()).alias("enters"))
    return _numbered(within.filter(pl.col("enters") | (pl.col("n_censored") > 0)))


def _between_events(usable: pl.DataFrame, episodes: pl.DataFrame) -> pl.DataFrame:
    """Keep the visits outside the time from a confirmed event to recovery; ``era`` counts the recoveries before."""
    era, outside = pl.lit(0, pl.Int64), pl.lit(True)
    ends = ("confirmed_years", "recovered_years")
    for one in episodes.partition_by("episode", maintain_order=True):
        number = one["episode"][0]
        here = one.select("participant_id", *(pl.col(name).alias(f"{name}_{number}") for name in ends))
        usable = usable.join(here, on="participant_id", how="left", maintain_order="left")
        confirmed, recovered = (pl.col(f"{name}_{number}") for name in ends)
        again = (pl.col("years") >= recovered).fill_null(False)
        outside &= again | ~(pl.col("years") > confirmed).fill_null(False)
        era += again.cast(pl.Int64)
    return usable.with_columns(era.alias("era")).filter(outside)


def _numbered(seen: pl.DataFrame) -> pl.DataFrame:
    """Count through the segments of each participant: one begins ``after_recovery`` or ``after_break``."""

    def turns(*names: str) -> pl.Expr:
        return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in names)

    new_person = turns("participant_id")
    new_era = ~new_person & turns("era")
    broken = ~new_person & ~new_era & turns("assay", "specimen")
    return seen.with_columns(
        (new_era | broken).cast(pl.Int64).cum_sum().alias("segment"),
        new_era.alias("after_recovery"),
        broken.alias("after_break"),
    ).with_columns(pl.col("segment") - pl.col("segment").first().over("participant_id"))


def with_ends(segments: pl.DataFrame, episodes: pl.DataFrame) -> pl.DataFrame:
    """Say how each segment ``opened`` and ``closed``, in the words of the contract.

    A segment that begins once glucose is normal again begins with the follow-up of a new series. An event closes the
    last segment before it, and one that reaches its date where the assay changed before it was confirmed.
    """
    events = episodes.rename({"episode": "era"}).select("participant_id", "era", "event_years", "event")
    joined = segments.join(events, on=["participant_id", "era"], how="left", maintain_order="left")
    before_break = pl.col("after_break").shift(-1).over("participant_id").fill_null(False)
    by_event = pl.col("event").is_not_null() & (~before_break | (pl.col("last") >= pl.col("event_years")))
    return joined.with_columns(
        _break_or("start_of_follow_up", pl.col("after_break")).alias("opened"),
        pl.when(by_event).then("event").otherwise(_break_or("end_of_follow_up", before_break)).alias("closed"),
    )


def _break_or(otherwise: str, broken: pl.Expr) -> pl.Expr:
    return pl.when(broken).then(pl.lit("break_in_series")).otherwise(pl.lit(otherwise))
