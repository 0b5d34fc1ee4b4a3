"""When detection sees a window, had it looked at every visit, and how long that is before prediabetes.

The detector is called once for each landmark, on what had been seen by then; nothing later enters, in the fit of the
cohort neither. A person is detected at the first landmark at which the probability reaches the threshold; the time is
that of the last visit seen by then, and it lies after the last visit before that landmark (interval-censored).

``detection_time``: one row per threshold and ``counted_from``, of all people with a true window over their follow-up:
``entry`` (the first visit), ``opening`` (the true start of the window) and ``truth`` (the first month at which the true
course held a window; a time before it is negative). ``n_true``, ``n_detected``, ``share_never`` with interval;
``median_years`` (people never detected count as later than all others; null where these are more than half) with
interval, ``median_after_years`` (by the visit before), ``median_detected_years`` (of the detected alone).

``lead``: one row per threshold and ``event``, of all people with a true window whose event comes after their first
visit: ``true_glucose`` (true fasting glucose first reaches the cut-off) and ``confirmed`` (readings confirm
prediabetes or diabetes). ``n_events``, ``n_before`` (detected before it), ``share_before`` with interval,
``median_lead_years`` (of these) with interval.

``alarms``: one row per threshold and ``look`` (``once`` at the end of follow-up; ``every_visit``): ``n_false`` (flagged
while the true course so far holds no window), ``person_years`` (of people without a window so far, up to the flag),
``per_100_person_years`` with exact or bootstrap interval, whichever is wider.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from ircohort.evaluation.comparing import among, triple
from ircohort.evaluation.ranking import Bools
from ircohort.evaluation.record import THRESHOLDS
from ircohort.evaluation.resampling import Floats, Resampling, Triple, percentiles, poisson_rate, ratio, resampling_of

LOOK_FROM_VISITS = 3
"""The first landmark: fewer visits are never judged."""

_TYPES = {
    "detection_time": (("threshold", "counted_from", "n_true", "n_detected"), ("share_never", "median_years"), 2),
    "lead": (("threshold", "event", "n_events", "n_before"), ("share_before", "median_lead_years"), 0),
    "alarms": (("threshold", "look", "n_false", "person_years"), ("per_100_person_years",), 0),
}


def _schema(table: str) -> dict[str, Any]:
    first, triples, _ = _TYPES[table]
    kinds: dict[str, Any] = {}
    for name in first:
        text = name in ("counted_from", "event", "look")
        kinds[name] = pl.String if text else pl.Int64 if name.startswith("n_") else pl.Float64
    kinds |= {f"{name}{end}": pl.Float64 for name in triples for end in ("", "_low", "_high")}
    if table == "detection_time":
        kinds |= dict.fromkeys(("median_after_years", "median_detected_years"), pl.Float64)
    return kinds


def no_times(table: str) -> pl.DataFrame:
    """Give a table of this module without rows."""
    return pl.DataFrame(schema=_schema(table))


def seen_at(
    visits: pl.DataFrame, landmarks: Sequence[float], find: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Ask the detector at each landmark, and keep when each person was first flagged.

    Parameters
    ----------
    visits
        VISITS of one cohort.
    landmarks
        Increasing years; visits at or before each are seen.
    find
        The detector: from VISITS to ``participant_id`` and ``probability``.

    Returns
    -------
    polars.DataFrame
        One row per participant and threshold that was reached: ``participant_id``, ``threshold``, ``by_years`` (the
        last visit seen at the first landmark that flags), ``after_years`` (the last visit seen at the landmark before;
        null at the first one).
    """
    flags: dict[float, list[pl.DataFrame]] = {threshold: [] for threshold in THRESHOLDS}
    before = pl.DataFrame(schema={"participant_id": pl.String, "after_years": pl.Float64})
    for landmark in landmarks:
        seen = visits.filter(pl.col("years") <= landmark)
        last = seen.group_by("participant_id", maintain_order=True).agg(pl.col("years").max().alias("by_years"))
        placed = find(seen).join(last, on="participant_id").join(before, on="participant_id", how="left")
        for threshold, found in flags.items():
            found.append(placed.filter(pl.col("probability") >= threshold).with_columns(threshold=threshold))
        before = last.rename({"by_years": "after_years"})
    columns = ["participant_id", "threshold", "by_years", "after_years"]
    kinds = {"participant_id": pl.String, **dict.fromkeys(columns[1:], pl.Float64)}
    rows = [pl.DataFrame(schema=kinds), *(table.select(columns) for found in flags.values() for table in found)]
    return pl.concat(rows).unique(["participant_id", "threshold"], keep="first", maintain_order=True).sort(columns[:2])


def _known(people: pl.DataFrame, name: str) -> Floats:
    """Take a column of times (n,), infinite where there is none."""
    return people[name].cast(pl.Float64).fill_null(np.inf).to_numpy()


def _share(part: Bools, whole: Bools, resampling: Resampling) -> Triple:
    drawn = resampling.totals(np.stack([part & whole, whole], axis=1).astype(float))
    return ratio(int((part & whole).sum()), int(whole.sum()), (drawn[:, 0], drawn[:, 1]))


def weighted_median(values: Floats, weights: Floats) -> float:
    """Give the least value that half of the weight does not exceed; NaN without weight.

    Examples
    --------
    >>> weighted_median(np.array([3.0, 1.0, np.inf]), np.array([1.0, 1.0, 1.0]))
    3.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    if not reached.size or reached[-1] <= 0:
        return float("nan")
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _median(values: Floats, chosen: Bools, resampling: Resampling) -> Triple:
    """Median of some people with its bootstrap interval; what is infinite is null."""
    if not chosen.any():
        return None, None, None
    own = values[chosen]
    drawn = np.array([weighted_median(own, weights) for weights in among(resampling, chosen).weights()])
    ends = (weighted_median(own, np.ones(own.size)), *percentiles(drawn))
    middle, low, high = (None if end is None or not np.isfinite(end) else float(end) for end in ends)
    return middle, low, high


def detection_times(people: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Give ``detection_time`` from people with ``by_<threshold>`` and ``after_<threshold>`` (null: never)."""
    true = people["hidden_window"].to_numpy().astype(bool)
    resampling = resampling_of(people["cohort"].to_numpy(), seed)
    starts = {"entry": np.zeros(true.size)}
    starts |= {name: _known(people, column) for name, column in _STARTS.items()}
    rows = []
    for threshold in THRESHOLDS:
        by, after = _known(people, f"by_{threshold}"), _known(people, f"after_{threshold}")
        detected = true & np.isfinite(by)
        never = _share(~np.isfinite(by), true, resampling)
        after = np.where(np.isfinite(by) & ~np.isfinite(after), 0.0, after)  # flagged at the first look
        for name, start in starts.items():
            delay = np.where(true, by - np.where(true, start, 0.0), np.inf)
            earliest = np.where(true, after - np.where(true, start, 0.0), np.inf)
            rows.append(
                {
                    "threshold": threshold,
                    "counted_from": name,
                    "n_true": int(true.sum()),
                    "n_detected": int(detected.sum()),
                    **triple("share_never", never),
                    **triple("median_years", _median(delay, true, resampling)),
                    "median_after_years": _median(earliest, true, resampling)[0],
                    "median_detected_years": _median(delay, detected, resampling)[0],
                }
            )
    return pl.DataFrame(rows, schema=_schema("detection_time"))


_STARTS = {"opening": "window_start_years", "truth": "window_true_years"}
_EVENTS = {"true_glucose": "years_to_glucose_100", "confirmed": "years_to_confirmed"}


def leads(people: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Give ``lead`` from the same people."""
    true = people["hidden_window"].to_numpy().astype(bool)
    resampling = resampling_of(people["cohort"].to_numpy(), seed)
    rows = []
    for threshold in THRESHOLDS:
        by = _known(people, f"by_{threshold}")
        for name, column in _EVENTS.items():
            event = _known(people, column)
            concerned = true & np.isfinite(event) & (event > 0)
            before = concerned & (by < event)
            ahead = np.where(before, np.where(before, event, 0.0) - np.where(before, by, 0.0), np.inf)
            rows.append(
                {
                    "threshold": threshold,
                    "event": name,
                    "n_events": int(concerned.sum()),
                    "n_before": int(before.sum()),
                    **triple("share_before", _share(before, concerned, resampling)),
                    **triple("median_lead_years", _median(ahead, before, resampling)),
                }
            )
    return pl.DataFrame(rows, schema=_schema("lead"))


def alarms(people: pl.DataFrame, seed: int, *, over_time: bool) -> pl.DataFrame:
    """Give ``alarms``; those at every visit need ``by_<threshold>``."""
    resampling = resampling_of(people["cohort"].to_numpy(), seed)
    ends = people["follow_up_years"].cast(pl.Float64).to_numpy()
    since = _known(people, "window_true_years")
    stated = people["probability"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    rows = []
    for threshold in THRESHOLDS:
        without = ~people["hidden_window"].to_numpy().astype(bool) & np.isfinite(stated)
        looks = {"once": (without & (stated >= threshold), np.where(without, ends, 0.0))}
        if over_time:
            by = _known(people, f"by_{threshold}")
            looks["every_visit"] = (by < since - 1e-9, np.minimum(np.minimum(by, since), ends))
        for look, (false, time) in looks.items():
            drawn = resampling.totals(np.stack([false, time], axis=1).astype(float))
            rate = ratio(int(false.sum()), float(time.sum()), (drawn[:, 0], drawn[:, 1]), poisson_rate)
            scaled = [None if value is None else 100 * value for value in rate]
            rows.append(
                {
                    "threshold": threshold,
                    "look": look,
                    "n_false": int(false.sum()),
                    "person_years": float(time.sum()),
                    **triple("per_100_person_years", (scaled[0], scaled[1], scaled[2])),
                }
            )
    return pl.DataFrame(rows, schema=_schema("alarms"))
