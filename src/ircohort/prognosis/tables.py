"""From estimates to the tables of the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.prognosis.judging import Status
from ircohort.prognosis.models import bounds
from ircohort.prognosis.record import Landmark
from ircohort.prognosis.resampling import Scores, curve_with_band, interval
from ircohort.schema import VERDICTS

Floats = NDArray[np.float64]

_F, _I, _T, _B = pl.Float64(), pl.Int64(), pl.String(), pl.Boolean()

MODELS_SCHEMA = {
    "model": _T,
    "n": _I,
    "n_events": _I,
    "log_likelihood": _F,
    "shape": _F,
    "against": _T,
    "likelihood_ratio": _F,
    "df": _I,
    "p_value": _F,
    "concordance": _F,
    "concordance_low": _F,
    "concordance_high": _F,
    "optimism": _F,
    "converged": _B,
    "note": _T,
}
COEFFICIENTS_SCHEMA = {"model": _T, "term": _T, "per": _T, "hazard_ratio": _F, "low": _F, "high": _F}
DIFFERENCES_SCHEMA = {"model": _T, "against": _T, "difference": _F, "low": _F, "high": _F, "optimism": _F}
HORIZONS_SCHEMA = {
    "model": _T,
    "years": _F,
    "n_event": _I,
    "n_free": _I,
    "n_unknown": _I,
    "auc": _F,
    "auc_low": _F,
    "auc_high": _F,
    "brier": _F,
    "brier_low": _F,
    "brier_high": _F,
    "brier_skill": _F,
}
_GROUPS_SCHEMA = {
    "group": _T,
    "n": _I,
    "n_events": _I,
    "n_by_last_reading": _I,
    "n_pending": _I,
    "median_followed_years": _F,
}
_CURVES_SCHEMA = {"group": _T, "years": _F, "event_free": _F, "low": _F, "high": _F}
_AT_RISK_SCHEMA = {"group": _T, "years": _I, "n": _I}

_MOST_UNKNOWN = 0.5
"""Share of the people of whom the visits may leave open whether the event came by a horizon."""


def groups(followed: pl.DataFrame) -> pl.DataFrame:
    """Count the people followed by verdict; a verdict that nobody has stands there with none."""
    rows = []
    for name in VERDICTS:
        own = followed.filter(pl.col("verdict") == name)
        until = own.select(pl.coalesce("high", "low")).to_series()
        by_reading = own.filter(pl.col("normal_by") == "last_reading").height
        rows.append((name, own.height, own["high"].count(), by_reading, own["pending"].sum(), until.median()))
    return pl.DataFrame(rows, schema=_GROUPS_SCHEMA, orient="row")


def curves(followed: pl.DataFrame, weights: Mapping[str, Floats]) -> pl.DataFrame:
    """Turnbull's curves by verdict; a verdict that nobody has brings no rows."""
    parts = [pl.DataFrame(schema=_CURVES_SCHEMA)]
    for name in VERDICTS:
        own = followed.filter(pl.col("verdict") == name)
        if own.height:
            curve = curve_with_band(*bounds(own), weights[name])
            columns = {"years": curve.years, "event_free": curve.event_free, "low": curve.low, "high": curve.high}
            parts.append(pl.DataFrame({"group": [name] * len(curve.years), **columns}, schema=_CURVES_SCHEMA))
    return pl.concat(parts).with_columns(pl.selectors.float().fill_nan(None))


def at_risk(followed: pl.DataFrame) -> pl.DataFrame:
    """Count by verdict and whole year who is still known to be free of the event."""
    last = int(followed["low"].max() or 0)  # type: ignore[arg-type]
    rows = [
        (name, year, followed.filter((pl.col("verdict") == name) & (pl.col("low") >= year)).height)
        for name in VERDICTS
        for year in range(last + 1)
    ]
    return pl.DataFrame(rows, schema=_AT_RISK_SCHEMA, orient="row")


def reached(status: Status, min_events: int) -> bool:
    """Say whether follow-up allows a horizon: events and people without one, and most people's state known."""
    total = status.n_event + status.n_free + status.n_unknown
    enough = min(status.n_event, status.n_free) >= min_events
    return enough and status.n_unknown <= _MOST_UNKNOWN * total and bool(np.isfinite(status.chance).all())


def concordance_cells(scores: Scores, name: str) -> dict[str, object]:
    """Cells of ``models`` that say how well a model ranks; empty for one without covariates."""
    if name not in scores.concordance or name == "no_covariates":
        return {}
    low, high = interval(scores.resampled[name])
    said, optimism = scores.concordance[name], scores.optimism[name]
    return {
        "concordance": _known(said),
        "concordance_low": low,
        "concordance_high": high,
        "optimism": _known(optimism),
    }


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def horizon_rows(scores: Scores, statuses: tuple[Status, ...]) -> list[dict[str, object]]:
    """Rows of ``horizons``: AUC and Brier score by model; a model without covariates ranks nobody."""
    rows: list[dict[str, object]] = []
    for status in statuses:
        nothing = scores.brier.get(("no_covariates", status.years))
        for name in scores.concordance:
            key = name, status.years
            score, drawn = scores.brier[key]
            auc, auc_drawn = scores.auc[key]
            rows.append(
                {
                    "model": name,
                    "years": status.years,
                    "n_event": status.n_event,
                    "n_free": status.n_free,
                    "n_unknown": status.n_unknown,
                    **(_triple("auc", auc, auc_drawn) if name != "no_covariates" else {}),
                    **_triple("brier", score, drawn),
                    "brier_skill": 1.0 - score / nothing[0] if nothing else None,
                }
            )
    return rows


def _triple(name: str, value: float, drawn: Floats) -> dict[str, float | None]:
    low, high = interval(drawn)
    return {name: _known(value), f"{name}_low": low, f"{name}_high": high}


def handed_back(found: Landmark, notes: tuple[str, ...], back: Callable[[pl.DataFrame], Any]) -> Landmark:
    """Give the record its notes, and its frames the caller's kind."""
    names = ("people", "groups", "curves", "at_risk", "models", "coefficients", "differences", "horizons")
    frames = {name: back(getattr(found, name)) for name in names}
    return replace(found, notes=notes, **frames)
