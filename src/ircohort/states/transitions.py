"""How states follow each other, and for how long."""

from __future__ import annotations

import polars as pl

from ircohort.glycaemia import confirmed_episodes
from ircohort.schema import STATES

_KNOWN = STATES[:-1]
"""From the best to the worst."""


def _rank(state: str) -> pl.Expr:
    ranks = {name: rank for rank, name in enumerate(_KNOWN)}
    return pl.col(state).replace_strict(ranks, default=None, return_dtype=pl.Int8)


def follow(table: pl.DataFrame, longest_gap_years: float | None) -> pl.DataFrame:
    """Add to each visit the state before and after it, the change, and the time it speaks for.

    ``years_in_state`` is half of the time to the visit before and half of that to the one after, each at most half of
    the longest gap; ``years_unknown`` what a longer gap leaves.
    """
    known = pl.when(pl.col("state") != "unknown").then("state")
    years_known = pl.when(pl.col("state") != "unknown").then("years")
    most = longest_gap_years / 2 if longest_gap_years is not None else float("inf")
    before, after = (pl.col("years").diff(step).abs().over("participant_id").fill_null(0.0) / 2 for step in (1, -1))
    followed = table.with_columns(
        known.forward_fill().shift(1).over("participant_id").alias("from_state"),
        years_known.forward_fill().shift(1).over("participant_id").alias("from_years"),
        known.backward_fill().shift(-1).over("participant_id").alias("next_state"),
        (before.clip(upper_bound=most) + after.clip(upper_bound=most)).alias("years_in_state"),
        ((before - most).clip(lower_bound=0.0) + (after - most).clip(lower_bound=0.0)).alias("years_unknown"),
    )
    step = _rank("state") - _rank("from_state")
    change = (
        pl.when(step > 0)
        .then(pl.lit("worse"))
        .when(step < 0)
        .then(pl.lit("better"))
        .when(step == 0)
        .then(pl.lit("same"))
    )
    return followed.with_columns(change.alias("change"))


def count_transitions(followed: pl.DataFrame) -> pl.DataFrame:
    """Count each pair of states at known visits that follow each other, from the best to the worst."""
    pairs = followed.drop_nulls("change").with_columns(_rank("from_state").alias("from"), _rank("state").alias("to"))
    return (
        pairs.group_by("from", "to", maintain_order=True)
        .agg(
            pl.col("from_state").first(),
            pl.col("state").first().alias("to_state"),
            pl.col("change").first(),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("participant_id").n_unique().cast(pl.Int64).alias("n_participants"),
            pl.col("next_state").count().cast(pl.Int64).alias("n_followed"),
            (pl.col("next_state") == pl.col("state")).sum().cast(pl.Int64).alias("n_settled"),
            (pl.col("years") - pl.col("from_years")).median().alias("years_between"),
        )
        .sort("from", "to")
        .drop("from", "to")
    )


def sum_years(followed: pl.DataFrame) -> pl.DataFrame:
    """Sum the time in each state, the unknown among them."""
    sums = followed.group_by("state", maintain_order=True).agg(
        pl.col("years_in_state").sum().alias("person_years"),
        pl.len().cast(pl.Int64).alias("n_visits"),
        pl.col("participant_id").n_unique().cast(pl.Int64).alias("n_participants"),
    )
    every = pl.DataFrame({"state": STATES}, schema={"state": pl.String})
    left_over = pl.when(pl.col("state") == "unknown").then(float(followed["years_unknown"].sum())).otherwise(0.0)
    return every.join(sums, on="state", how="left", maintain_order="left").with_columns(
        pl.col("person_years").fill_null(0.0) + left_over, pl.col("n_visits", "n_participants").fill_null(0)
    )


def count_recoveries(table: pl.DataFrame) -> pl.DataFrame:
    """Count who reached a state (or beyond) at two visits in a row, came back for two, and reached it again."""
    # confirmed_episodes is told in the words of glycaemia whether a state was reached: prediabetes says that it was.
    beyond = _rank("state") >= STATES.index("compensated")
    compensated = pl.when(beyond).then(pl.lit("prediabetes")).when(~beyond).then(pl.lit("normal"))
    of_state = table["state"].replace_strict({"prediabetes": "prediabetes", "diabetes": "diabetes"}, default=None)
    no_glycaemia = table["glycaemia"].null_count() == table.height
    normal = pl.when(pl.col("state").is_in(["sensitive", "compensated"])).then(pl.lit("normal"))
    glycaemia = pl.coalesce(of_state, normal) if no_glycaemia else pl.col("glycaemia")
    told = {"compensated": (compensated, "prediabetes"), "prediabetes": (glycaemia, "prediabetes")}
    told["diabetes"] = (glycaemia, "diabetes")
    return pl.concat(
        _recoveries(confirmed_episodes(table.with_columns(said.cast(pl.String).alias("glycaemia")), to=to), state)
        for state, (said, to) in told.items()
    )


def _recoveries(episodes: pl.DataFrame, state: str) -> pl.DataFrame:
    first = episodes.filter(pl.col("episode") == 0)
    recovered = first.drop_nulls("recovered_years")
    return pl.DataFrame(
        {
            "state": [state],
            "reached": [first.height],
            "recovered": [recovered.height],
            "relapsed": [episodes.filter(pl.col("episode") == 1).height],
            "years_to_recovery": [(recovered["recovered_years"] - recovered["event_years"]).median()],
        },
        schema_overrides={"years_to_recovery": pl.Float64},
    )
