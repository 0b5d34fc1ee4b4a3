"""Why people are not seen any more, and from when they are treated: by what was read, or by their true state."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import Floats, uniforms
from ircohort.glycaemia import CUT_OFFS
from ircohort.simulation.design import Design
from ircohort.simulation.pattern import DAYS_PER_YEAR
from ircohort.simulation.schedule import Schedule

# The state at which the hazard of leaving is the rate of the design.
USUAL_GLUCOSE_MG_DL, USUAL_INSULIN_UIU_ML = 95.0, 6.0


def stays(true: pl.DataFrame, schedule: Schedule, design: Design, *, seed: int) -> NDArray[np.bool_]:
    """Say which visits (m,) take place if people may leave before each, by their true state at the one before."""
    given = design.drop_out
    glucose, insulin = true["glucose_mg_dl"].to_numpy(), true["insulin_uiu_ml"].to_numpy()
    hazard = given.rate * np.exp(
        given.log_per_10_mg_dl * (glucose - USUAL_GLUCOSE_MG_DL) / 10
        + given.log_per_doubling * np.log2(insulin / USUAL_INSULIN_UIU_ML)
    )
    drawn = uniforms("drop-out", seed, schedule.participants, schedule.planned.shape[1])
    first = np.diff(schedule.person, prepend=-1) > 0
    gap, before = np.diff(schedule.years, prepend=0.0), np.roll(hazard, 1)
    chance = np.where(first, 0.0, -np.expm1(-before * np.where(first, 0.0, gap)))
    leaves = drawn[schedule.person, schedule.number] < chance
    gone = pl.DataFrame({"person": schedule.person, "leaves": leaves})
    stayed: NDArray[np.bool_] = gone.select(pl.col("leaves").cum_sum().over("person") == 0).to_series().to_numpy()
    return stayed


def confirms(glucose_mg_dl: pl.Series, person: NDArray[np.int64], what: str) -> pl.Series:
    """Say which visits (m,) confirm ``prediabetes`` or ``diabetes``: this reading and the one before are as high."""
    cut_off = float(CUT_OFFS[f"ada_glucose_{what}"].value)
    visits = pl.DataFrame({"person": person, "high": glucose_mg_dl.round() >= cut_off})
    # A visit without glucose neither confirms nor breaks.
    before = pl.col("high").shift(1).forward_fill().fill_null(False)
    return visits.select((pl.col("high").fill_null(False) & before).over("person")).to_series()


def until_confirmed(glucose_mg_dl: pl.Series, person: NDArray[np.int64], what: str) -> NDArray[np.bool_]:
    """Say which visits (m,) take place if follow-up ends with the visit that confirms."""
    visits = pl.DataFrame({"person": person, "confirms": confirms(glucose_mg_dl, person, what)})
    before = pl.col("confirms").cum_sum().over("person") - pl.col("confirms").cast(pl.Int64)
    kept: NDArray[np.bool_] = visits.select(before == 0).to_series().to_numpy()
    return kept


def confirmed_from(glucose_mg_dl: pl.Series, schedule: Schedule, design: Design, *, seed: int) -> Floats:
    """Give the day after the visit from which each person (n,) is treated, in years since the first; or infinity."""
    given = design.treatment
    drawn = uniforms("treatment", seed, schedule.participants, 1)[:, 0]
    begins = np.full(len(schedule.participants), np.inf)
    for what, share in (("prediabetes", given.share_from_prediabetes), ("diabetes", given.share_from_diabetes)):
        at = confirms(glucose_mg_dl, schedule.person, what).to_numpy()
        first = np.full(begins.size, np.inf)
        np.minimum.at(first, schedule.person[at], schedule.years[at] + 1 / DAYS_PER_YEAR)
        begins = np.where(drawn < share, np.minimum(begins, first), begins)
    return begins
