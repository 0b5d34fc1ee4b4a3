"""The person's usual fasting glucose, its mixed model, and whether an event by readings is borne out by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ircohort.errors import FormulaError, ModelError
from ircohort.frames import to_polars
from ircohort.lmm import Fit, fit, predict
from ircohort.schema import VISITS, require
from ircohort.trajectory.alignment.clocks import ROUNDING
from ircohort.trajectory.alignment.rules import EventRule

_UNUSUAL = ("glucose_lowering_drug", "insulin_therapy", "pregnant", "ill")


@dataclass(frozen=True)
class StillBelow:
    """What became of events that readings dated.

    Attributes
    ----------
    n_events
        Events seen to begin (not prevalent).
    n_followed
        Of these, how many have glucose at or after the time asked about.
    n_below
        Of these, how many have a fitted glucose below the cut-off at that time.
    """

    n_events: int
    n_followed: int
    n_below: int

    @property
    def share(self) -> float | None:
        """``n_below`` over ``n_followed``; None where nobody was followed."""
        return self.n_below / self.n_followed if self.n_followed else None


def is_usual(visits: pl.DataFrame) -> pl.Expr:
    """Tell which visits are dated and have a fasting glucose that is the person's usual one.

    Not usual are readings while on a glucose-lowering drug or insulin, pregnant or ill, and those not fasting.
    """
    stated = [pl.col(name).cast(pl.Boolean).fill_null(False) for name in _UNUSUAL if name in visits.columns]
    if "fasting" in visits.columns:
        stated.append(~pl.col("fasting").cast(pl.Boolean).fill_null(True))
    there = pl.col("years").is_not_null() & (pl.col("glucose_mg_dl") > 0).fill_null(False)
    return there & ~pl.any_horizontal(pl.lit(False), *stated)


def glucose_until(visits: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Give ``participant_id``, ``years`` and the usual glucose of everyone, of people in ``ends`` up to ``until``."""
    kept = usual_glucose(visits).join(ends, on="participant_id", how="left")
    return kept.filter(pl.col("until").is_null() | (pl.col("years") <= pl.col("until"))).drop("until")


def usual_glucose(visits: pl.DataFrame) -> pl.DataFrame:
    """Give what the model needs of the visits that tell the usual glucose, and none of the caller's other columns."""
    return visits.filter(is_usual(visits)).select("participant_id", "years", "glucose_mg_dl")


def fit_glucose(visits: pl.DataFrame, spline_df: int) -> Fit:
    """Fit log glucose on a natural spline in ``years`` with random level and slope.

    The spline gets fewer degrees of freedom where the times of visits cannot tell so many; ``formula`` of the fit
    says how many it has.

    Raises
    ------
    ModelError
        If not even a straight line can be fitted.
    """
    table = visits.sort("participant_id", "years", "glucose_mg_dl")
    for df in range(min(spline_df, max(table["years"].n_unique() - 1, 1)), 0, -1):
        time = f"cr(years, df={df})" if df > 1 else "years"
        try:
            return fit(f"log(glucose_mg_dl) ~ {time} + (1 + years | participant_id)", table)
        except (ModelError, FormulaError) as error:
            refusal = error
    raise ModelError(
        "The glucose of these people cannot be fitted, so that its crossing dates nothing.",
        expected=" ".join(str(refusal).split()),
        next_step="Date events by readings, or bring more visits per person.",
    ) from refusal


def share_still_below(
    visits: Any,
    events: Any,
    rule: EventRule | None = None,
    *,
    years_after: float = 1.0,
    cut_off_mg_dl: float | None = None,
) -> StillBelow:
    """Count the events by readings after which the fitted glucose still lies below the cut-off.

    One high reading, or two, can be made by noise: then the person's glucose has not arrived where the event says it
    has. The model is that of :func:`crossing.find_crossings`, people with an event fitted up to their first visit at
    or after the time asked about.

    Parameters
    ----------
    visits
        VISITS with ``glucose_mg_dl``, pandas or polars.
    events
        From :func:`events.find_events`, dated by readings; prevalent ones do not count, nor those of people not
        followed so far without treatment.
    rule
        By which they were found; its ``spline_df`` is that of the model.
    years_after
        Time after the event, years.
    cut_off_mg_dl
        Of fasting glucose; None: that of the rule, by default 100 mg/dL.

    Raises
    ------
    ModelError
        If somebody was followed, and glucose cannot be fitted.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3, "years": [0.0, 1.0, 2.0], "glucose_mg_dl": [90.0, 99, 98]})
    >>> nothing = pl.DataFrame({"participant_id": ["a"], "event_years": [None], "prevalent": [False]})
    >>> share_still_below(visits, nothing)
    StillBelow(n_events=0, n_followed=0, n_below=0)
    """
    table, asked_rule = require(to_polars(visits), VISITS, "glucose_mg_dl"), rule or EventRule()
    own = to_polars(events).filter(pl.col("event_years").is_not_null() & ~pl.col("prevalent"))
    asked = own.select("participant_id", years=pl.col("event_years").cast(pl.Float64) + years_after)
    seen = (
        usual_glucose(table)
        .join(asked.rename({"years": "asked"}), on="participant_id")
        .filter(pl.col("years") >= pl.col("asked") - ROUNDING)
    )
    reached = seen.group_by("participant_id").agg(pl.col("years").min().alias("until"))
    followed = asked.join(reached, on="participant_id").sort("participant_id")
    if followed.is_empty():
        return StillBelow(own.height, 0, 0)
    record = fit_glucose(glucose_until(table, reached), asked_rule.spline_df)
    limit = np.log(asked_rule.glucose_cut_off if cut_off_mg_dl is None else cut_off_mg_dl)
    fitted = predict(record, followed.select("participant_id", "years"), variances="known")
    return StillBelow(own.height, followed.height, int((fitted["estimate"] < limit).sum()))
