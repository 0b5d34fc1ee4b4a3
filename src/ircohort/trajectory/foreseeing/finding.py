"""From a table of visits to how well markers foresee an event while glycaemia reads normal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import exponentials, uniforms
from ircohort.errors import ColumnError, UsageError
from ircohort.frames import kind_of, to_polars
from ircohort.schema import VISITS, require
from ircohort.trajectory.alignment import EventRule
from ircohort.trajectory.foreseeing.following import event_within, normal_visits
from ircohort.trajectory.foreseeing.scoring import Sample, score, score_again
from ircohort.trajectory.landmarks import interval

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

MARKERS = ("insulin_uiu_ml", "homa_ir", "tg_hdl_mg", "spise")
"""What is asked about where nothing is named."""

LAGS = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0)
"""Years ahead."""

FALLING = frozenset({"spise", "mcauley", "quicki", "hdl_mg_dl", "c_peptide_insulin_ratio"})
"""Markers that fall as resistance grows; they are reversed."""

FEWEST = 10
"""People with the event, and without it, below which nothing is said of a lag."""

FOLDS = 10

_COLUMNS = {
    "lag_years": pl.Float64(),
    "marker": pl.String(),
    **dict.fromkeys(("n_participants", "n_events", "n_free", "n_visits", "n_unknown"), pl.Int64()),
    **dict.fromkeys(("auc", "auc_low", "auc_high", "auc_glucose", "auc_both"), pl.Float64()),
    **dict.fromkeys(("gain", "gain_low", "gain_high"), pl.Float64()),
    "note": pl.String(),
}


def foresee(
    visits: Any,
    rule: EventRule | None = None,
    *,
    markers: Sequence[str] | None = None,
    lags: Sequence[float] = LAGS,
    n_refits: int = 200,
    seed: int = 0,
) -> Any:
    """Say how well each marker tells, while glycaemia reads normal, who will have the event within k years.

    Every visit counts at which glycaemia reads normal, of a person not yet with the event, and of whom it is known
    whether the event had come k years later: it had, or the person was judged at or after that time without it. Visits
    of people lost before are left out and counted. (An event is known however soon the person leaves after it, so
    that among the visits that count early events are too many where people leave early.) The visits of one person at
    one lag share a total weight of 1, in the AUC and in the model, so that nobody counts for more by coming more often.

    The AUC is the probability that of two visits, drawn by these weights, one followed by the event and one not, the
    former has the higher marker; ties count half. ``auc_both`` is that of a logistic model of glucose and log marker,
    cross-validated: each of ten parts of the people, parted by a hash, is scored by the model fitted to the other
    nine. A useless marker thus brings no gain, or a small loss.

    Parameters
    ----------
    visits
        VISITS with ``glucose_mg_dl``, pandas or polars, and what the rule needs. Visits on a glucose-lowering drug or
        insulin, pregnant, ill, or not fasting do not read normal; they still date the event.
    rule
        What the event is, by default confirmed prediabetes by either reading. Glycaemia reads normal by the quantity
        that the rule names.
    markers
        Columns of numbers above 0, others are missing; None: those of :data:`MARKERS` that are there. Markers in
        :data:`FALLING` are reversed: more resistant is higher.
    lags
        k, years.
    n_refits
        Weightings of the people from which the 95 % intervals come (the Bayesian bootstrap, with exponential weights
        from a hash of seed and identifier); 0: no intervals. The model is fitted again, and cross-validated, in each.
    seed
        Of weights and parts.

    Returns
    -------
    frame
        Of the kind given, one row per lag and marker: ``lag_years``; ``marker``; ``n_participants`` and ``n_visits``
        that count; ``n_events`` and ``n_free``: people with a visit that the event followed within the lag, and with
        one that it did not (some have both); ``n_unknown``: visits left out because it is not known what followed;
        ``auc`` of the marker; ``auc_glucose`` and ``auc_both`` on the same visits; ``gain`` = ``auc_both`` -
        ``auc_glucose``; the intervals ``auc_low``, ``auc_high``, ``gain_low``, ``gain_high``; ``note``: why something
        is null. All scores are null with fewer than ten people with the event, or without it.

    Raises
    ------
    ColumnError
        If there is no glucose, none of the markers, or a marker that was named is absent or holds no numbers.
    UsageError
        If a lag or the number of refits cannot be meant.

    Source
    ------
    AUC as a probability: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747. Bayesian bootstrap: Rubin 1981,
    doi:10.1214/aos/1176345338.

    Examples
    --------
    >>> people = [(f"{i:02d}", 4.0 + i % 20 / 5) for i in range(60)]
    >>> visits = pl.DataFrame([
    ...     {"participant_id": name, "years": t, "glucose_mg_dl": 90.0 + i % 3 + (15.0 if t and insulin > 6 else 0.0),
    ...      "insulin_uiu_ml": insulin, "glycaemia": "prediabetes" if t and insulin > 6 else "normal"}
    ...     for i, (name, insulin) in enumerate(people) for t in (0.0, 2.0, 4.0)])
    >>> found = foresee(visits, lags=[2], n_refits=0)
    >>> found.select("marker", "n_participants", "n_events", "n_visits", "n_unknown", "auc").row(0)
    ('insulin_uiu_ml', 60, 27, 93, 33, 1.0)
    """
    _require_settings(lags, n_refits)
    chosen, given = rule or EventRule(), to_polars(visits)
    names = _markers(given, markers)
    table = normal_visits(require(given, VISITS, "glucose_mg_dl", *names), chosen, names)
    people = table["participant_id"].unique().sort()
    ids = people.to_list()
    table = table.with_columns(
        table["participant_id"].replace_strict(people, pl.Series(range(len(ids))), return_dtype=pl.Int64)
        if len(ids)
        else pl.lit(0, pl.Int64).alias("participant_id")
    ).rename({"participant_id": "person"})
    folds = np.floor(uniforms("foresee part", seed, ids)[:, 0] * FOLDS).astype(np.intp)
    weights = exponentials("foresee", seed, ids, n_refits) if n_refits else np.empty((0, len(ids)))
    rows = [_row(table, name, float(lag), folds, weights) for lag in lags for name in names]
    return kind_of(visits)(pl.DataFrame(rows, schema=_COLUMNS))


def _require_settings(lags: Sequence[float], n_refits: int) -> None:
    if not len(lags) or not all(math.isfinite(lag) and lag > 0 for lag in lags):
        raise UsageError("The lags cannot be used.", expected="Expected are numbers of years above 0.")
    if n_refits < 0:
        raise UsageError(f"n_refits is {n_refits}.", expected="Expected is 0 or more.")


def _markers(table: pl.DataFrame, named: Sequence[str] | None) -> list[str]:
    names = [name for name in MARKERS if name in table.columns] if named is None else list(dict.fromkeys(named))
    if not names:
        raise ColumnError(
            "The table of visits has none of the markers.",
            expected=f"One of: {', '.join(MARKERS)}.",
            next_step="Add them with ircohort.markers(visits), or name others.",
        )
    for name in names:
        if name in table.columns and not table[name].dtype.is_numeric() and table[name].null_count() < table.height:
            raise ColumnError(f"The column {name} holds no numbers.", next_step="Name a column that was measured.")
    return names


def _row(table: pl.DataFrame, marker: str, lag: float, folds: Indices, weights: Floats) -> dict[str, object]:
    measured = table.filter(pl.col(f"log {marker}").is_not_null()).with_columns(event_within(lag).alias("event"))
    used = measured.filter(pl.col("event").is_not_null())
    n_events, n_free = (used.filter(pl.col("event") == came)["person"].n_unique() for came in (True, False))
    row: dict[str, object] = {
        "lag_years": lag,
        "marker": marker,
        "n_participants": used["person"].n_unique(),
        "n_events": n_events,
        "n_free": n_free,
        "n_visits": used.height,
        "n_unknown": measured.height - used.height,
    }
    if min(n_events, n_free) < FEWEST:
        kind = "with" if n_events < FEWEST else "without"
        return row | {"note": f"Fewer than {FEWEST} people {kind} the event: nothing is said."}
    return row | _scores(_sample(used, marker, folds), weights)


def _sample(used: pl.DataFrame, marker: str, folds: Indices) -> Sample:
    shared = used.with_columns((1.0 / pl.len().over("person")).alias("weight"))
    person = shared["person"].to_numpy().astype(np.intp)
    order = np.argsort(folds[person], kind="stable")
    sign = -1.0 if marker in FALLING else 1.0
    return Sample(
        event=shared["event"].to_numpy()[order],
        person=person[order],
        fold=folds[person][order],
        weight=shared["weight"].to_numpy()[order],
        glucose=shared["glucose_mg_dl"].to_numpy()[order],
        marker=sign * shared[f"log {marker}"].to_numpy()[order],
    )


def _scores(sample: Sample, weights: Floats) -> dict[str, object]:
    (marker, glucose, both), beta = score(sample)
    drawn = score_again(sample, beta, weights)
    low, high = interval(drawn[:, 0])
    scores: dict[str, object] = {"auc": marker, "auc_low": low, "auc_high": high, "auc_glucose": glucose}
    if math.isnan(both):
        note = "The model of both has no maximum: the two do not vary apart, or separate the groups."
        return scores | {"note": note}
    gain_low, gain_high = interval(drawn[:, 2] - drawn[:, 1])
    gain = {"auc_both": both, "gain": both - glucose, "gain_low": gain_low, "gain_high": gain_high}
    return scores | gain
