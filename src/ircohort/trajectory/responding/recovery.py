"""Who came to a better state after the start, and who fell back: known only to lie between two visits."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.lmm import draw_weights
from ircohort.trajectory.responding.fitting import GROUP
from ircohort.trajectory.responding.quantities import ESTIMATED
from ircohort.trajectory.responding.record import ResponseSettings
from ircohort.trajectory.responding.spread import FEWEST_REFITS
from ircohort.trajectory.responding.stages import STAGE_RANKS, TOO_FEW
from ircohort.turnbull import event_free, turnbull

Floats = NDArray[np.float64]

RECOVERY = {
    "kind": pl.String,
    "stage": pl.String,
    "years": pl.Float64,
    "n_participants": pl.Int64,
    "n_events": pl.Int64,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "status": pl.String,
    "reason": pl.String,
}
NOT_FOLLOWED = "not_followed"

ANY = "any"


def recovery_of(
    judged: pl.DataFrame, at_start: pl.DataFrame, settings: ResponseSettings, seed: int
) -> list[dict[str, Any]]:
    """Give the shares that recover, and of those the shares that relapse, rows of :data:`RECOVERY`.

    Recovery is the first of two successive judged visits after the start in a better state than that at the start;
    relapse, of those who recovered, the first of two in that state or a worse one. Both happened at an unknown time
    between the visit before and that visit.

    Parameters
    ----------
    judged
        ``participant_id``, ``since``, ``rank``; one row per person and time.
    at_start
        As :func:`ircohort.trajectory.responding.stages.stage_at_start` gives it.
    """
    ill = at_start.filter(pl.col("rank") > 0).rename({"rank": "rank_at_start"})
    after = judged.filter(pl.col("since") > 0).join(ill, on=GROUP).sort(GROUP, "since")
    recoveries = first_of_two(after.with_columns(hit=pl.col("rank") < pl.col("rank_at_start")))
    seen = recoveries.filter(pl.col("high").is_finite()).select(GROUP, recovered="high")
    later = after.join(seen, on=GROUP, maintain_order="left").filter(pl.col("since") > pl.col("recovered"))
    since_then = later.with_columns(
        since=pl.col("since") - pl.col("recovered"), hit=pl.col("rank") >= pl.col("rank_at_start")
    )
    kinds = {"recovery": recoveries, "relapse": first_of_two(since_then)}
    return [
        row
        for kind, times in kinds.items()
        for stage in (ANY, *list(STAGE_RANKS)[1:])
        for row in _shares(kind, stage, times.filter((pl.col("stage") == stage) | (stage == ANY)), settings, seed)
    ]


def first_of_two(visits: pl.DataFrame) -> pl.DataFrame:
    """Bound the time of the first of two successive visits with ``hit``, from time zero of ``since``.

    Parameters
    ----------
    visits
        ``participant_id``, ``since`` (above 0, increasing within a person), ``stage``, ``hit``.

    Returns
    -------
    polars.DataFrame
        ``participant_id``, ``stage``, ``low`` (visit before, or 0), ``high`` (the first of the two; infinite if there
        is none: ``low`` is then the last visit without ``hit``). People of whom nothing is known (no visit without
        ``hit``, and none confirmed) are left out.

    Examples
    --------
    >>> first_of_two(pl.DataFrame({"participant_id": ["a"] * 3, "stage": ["diabetes"] * 3, "since": [1.0, 2.0, 3.0],
    ...                            "hit": [False, True, True]})).rows()
    [('a', 'diabetes', 1.0, 2.0)]
    """
    confirmed = pl.col("hit") & pl.col("hit").shift(-1).over(GROUP)
    marked = visits.with_columns(
        confirmed.fill_null(False).alias("confirmed"),
        pl.col("since").shift(1).over(GROUP).fill_null(0.0).alias("visit_before"),
    )
    first = pl.col("since").filter("confirmed").min()
    bounds = marked.group_by(GROUP, "stage", maintain_order=True).agg(
        pl.when(first.is_not_null())
        .then(pl.col("visit_before").filter("confirmed").first())
        .otherwise(pl.col("since").filter(~pl.col("hit")).max())
        .alias("low"),
        first.fill_null(float("inf")).alias("high"),
    )
    return bounds.filter(pl.col("low").is_not_null()).sort(GROUP)


def _shares(kind: str, stage: str, times: pl.DataFrame, settings: ResponseSettings, seed: int) -> list[dict[str, Any]]:
    events = int(times["high"].is_finite().sum())
    base = {"kind": kind, "stage": stage, "n_participants": times.height, "n_events": events}
    years = np.array(sorted(set(settings.at_years)))
    empty = dict.fromkeys(RECOVERY) | base
    if times.height < settings.min_people:
        reason = f"fewer than {settings.min_people} people"
        return [empty | {"years": float(year), "status": TOO_FEW, "reason": reason} for year in years]
    low, high = times["low"].to_numpy(), times["high"].to_numpy()
    share = _share_by(low, high, None, years)
    limits = _limits(low, high, years, settings, seed) if events else _limits_without_events(low, years)
    reason = "nobody of these was followed for so long"
    return [
        empty | {"years": float(year), "status": NOT_FOLLOWED, "reason": reason}
        if np.isnan(share[k])
        else empty
        | {"years": float(year), "share": float(share[k]), "low": limits[0][k], "high": limits[1][k]}
        | {"status": ESTIMATED, "reason": ""}
        for k, year in enumerate(years)
    ]


def _share_by(low: Floats, high: Floats, weights: Floats | None, years: Floats) -> Floats:
    return np.asarray(1.0 - event_free(turnbull(low, high, weights), years))


def _limits(
    low: Floats, high: Floats, years: Floats, settings: ResponseSettings, seed: int
) -> tuple[list[float | None], list[float | None]]:
    """Draw people again, and take percentiles of their shares; refits that say nothing of a year are left out."""
    drawn = [
        _share_by(low[weights > 0], high[weights > 0], weights[weights > 0].astype(float), years)
        for weights in draw_weights(len(low), settings.n_refits, seed)
    ]
    found = np.array(drawn).reshape(len(drawn), len(years))
    ends = [_percentiles(column[np.isfinite(column)]) for column in found.T]
    return [end[0] for end in ends], [end[1] for end in ends]


def _percentiles(values: Floats) -> tuple[float | None, float | None]:
    if len(values) < FEWEST_REFITS:
        return None, None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _limits_without_events(low: Floats, years: Floats) -> tuple[list[float | None], list[float | None]]:
    """Give the exact binomial upper limit for none among those followed so long; drawing again would say 0 to 0."""
    followed = [int((low >= year).sum()) for year in years]
    return [0.0] * len(years), [1.0 - 0.025 ** (1.0 / n) if n else None for n in followed]
