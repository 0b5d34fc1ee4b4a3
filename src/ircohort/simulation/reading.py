"""What is measured at a visit, and what the laboratory makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import Floats, normals, uniforms
from ircohort.simulation.design import Design
from ircohort.simulation.schedule import Schedule
from ircohort.units import conversion


@dataclass(frozen=True)
class Reported:
    """A column of the export: its header, what stands in it, in which unit, and to how many decimals."""

    header: str
    column: str
    analyte: str
    unit: str
    digits: int


EXPORTS: Mapping[str, tuple[Reported, ...]] = MappingProxyType(
    {
        "us": (
            Reported("Glucose (mg/dL)", "glucose_mg_dl", "glucose", "mg/dL", 0),
            Reported("Insulin (uIU/mL)", "insulin_uiu_ml", "insulin", "uIU/mL", 1),
            Reported("Triglycerides (mg/dL)", "triglycerides_mg_dl", "triglycerides", "mg/dL", 0),
            Reported("HDL (mg/dL)", "hdl_mg_dl", "hdl", "mg/dL", 0),
            Reported("BMI (kg/m2)", "bmi", "bmi", "kg/m2", 1),
        ),
        "si": (
            Reported("Glucose (mmol/L)", "glucose_mg_dl", "glucose", "mmol/L", 1),
            Reported("Insulin (pmol/L)", "insulin_uiu_ml", "insulin", "pmol/L", 0),
            Reported("Triglycerides (mmol/L)", "triglycerides_mg_dl", "triglycerides", "mmol/L", 2),
            Reported("HDL (mmol/L)", "hdl_mg_dl", "hdl", "mmol/L", 2),
            Reported("BMI (kg/m2)", "bmi", "bmi", "kg/m2", 1),
        ),
    }
)
"""How a laboratory reports: the measured columns of ``labs``, by units."""

MEASURED = ("glucose_mg_dl", "insulin_uiu_ml", "triglycerides_mg_dl", "hdl_mg_dl", "bmi")
_GLUCOSE, _INSULIN, _BMI = 0, 1, 4
_ASSAYS = ("A", "B")


@dataclass(frozen=True)
class Assays:
    """Change of the insulin assay: ``changes`` (n,) years since each person's first visit, infinite without."""

    changes: Floats

    def new(self, schedule: Schedule) -> NDArray[np.bool_]:
        """(m,) whether a visit was measured by the new assay."""
        return schedule.years >= self.changes[schedule.person]


def draw_assays(design: Design, schedule: Schedule, first_day: NDArray[np.datetime64], *, seed: int) -> Assays:
    """Draw when the assay changes: a time within each person's planned visits, and the date common to all."""
    given = design.assay
    changes = np.full(len(schedule.participants), np.inf)
    if given.share_changed > 0:
        drawn = uniforms("assay", seed, schedule.participants, 2)
        own = drawn[:, 1] * schedule.planned.max(axis=1)
        changes = np.where(drawn[:, 0] < given.share_changed, own, changes)
    if given.cohort_date is not None:
        year = int(given.cohort_date)
        days = np.rint((given.cohort_date - year) * 365.25).astype(np.int64)
        at = np.datetime64(f"{year:04d}-01-01") + days
        changes = np.minimum(changes, (at - first_day).astype(np.int64) / 365.25)
    return Assays(changes)


def measure(
    true: pl.DataFrame, schedule: Schedule, design: Design, assays: Assays | None = None, *, seed: int
) -> pl.DataFrame:
    """Measure each visit with the within-person variation of the design: ``true`` with readings, not yet rounded."""
    sd = (design.glucose_log_sd, design.insulin_log_sd, design.triglycerides_log_sd, design.hdl_log_sd)
    errors = draw_errors(schedule, design, seed=seed)
    readings = {
        name: true[name].to_numpy() * np.exp(each * errors[:, j])
        for j, (name, each) in enumerate(zip(MEASURED, (*sd, design.bmi_log_sd), strict=True))
    }
    given = design.readings
    if given.share_not_fasting > 0:
        fed = not_fasting(schedule, design, seed=seed)
        readings["glucose_mg_dl"][fed] *= given.not_fasting_glucose_factor
        readings["insulin_uiu_ml"][fed] *= given.not_fasting_insulin_factor
    if assays is not None and design.assay.present:
        readings["insulin_uiu_ml"][assays.new(schedule)] *= design.assay.factor
    taken = {
        "glucose_mg_dl": schedule.glucose,
        "insulin_uiu_ml": schedule.insulin,
        "triglycerides_mg_dl": schedule.lipids,
        "hdl_mg_dl": schedule.lipids,
    }
    blank = [pl.when(pl.Series(measured)).then(pl.col(name)).alias(name) for name, measured in taken.items()]
    return true.with_columns(**readings).with_columns(blank)


def draw_errors(schedule: Schedule, design: Design, *, seed: int) -> Floats:
    """Draw the standardised errors (m, 5) of the readings, in the order of :data:`MEASURED`.

    A share of the variance, of all but BMI, may last from visit to visit and fade by its half-life; the errors of
    insulin and glucose of one draw may be correlated.
    """
    names, kinds, n_visits = schedule.participants, len(MEASURED), schedule.planned.shape[1]
    white = normals("readings", seed, names, kinds * n_visits).reshape(-1, n_visits, kinds)
    errors = white[schedule.person, schedule.number]
    given = design.readings
    if given.serial_share > 0:
        lasting = _lasting(schedule, given.serial_half_life_years, seed)[schedule.person, schedule.number]
        mixed = np.sqrt(1 - given.serial_share) * errors[:, :_BMI] + np.sqrt(given.serial_share) * lasting
        errors = np.column_stack([mixed, errors[:, _BMI]])
    if given.draw_correlation != 0:
        own = np.sqrt(1 - given.draw_correlation**2)
        errors[:, _INSULIN] = given.draw_correlation * errors[:, _GLUCOSE] + own * errors[:, _INSULIN]
    return errors


def _lasting(schedule: Schedule, half_life: float, seed: int) -> Floats:
    """Draw (n, v, 4) numbers of variance 1, each the one before faded by its half-life, and renewed."""
    n_visits = schedule.planned.shape[1]
    fresh = normals("serial", seed, schedule.participants, _BMI * n_visits).reshape(-1, n_visits, _BMI)
    kept = 0.5 ** (np.diff(schedule.planned, axis=1) / half_life)
    for j in range(1, n_visits):
        fade = kept[:, j - 1, None]
        fresh[:, j] = fade * fresh[:, j - 1] + np.sqrt(1 - fade**2) * fresh[:, j]
    return fresh


def not_fasting(schedule: Schedule, design: Design, *, seed: int) -> NDArray[np.bool_]:
    """Say which visits (m,) were drawn after a meal."""
    drawn = uniforms("fasting", seed, schedule.participants, schedule.planned.shape[1])
    return drawn[schedule.person, schedule.number] < design.readings.share_not_fasting


def report(
    read: pl.DataFrame,
    schedule: Schedule,
    design: Design,
    assays: Assays | None = None,
    treated: NDArray[np.bool_] | None = None,
) -> pl.DataFrame:
    """Report readings as a laboratory does, as ``Simulated.labs``."""
    context = [
        pl.Series("sex", np.where(schedule.woman, "female", "male")[schedule.person], dtype=pl.String),
        pl.Series("age", np.floor(schedule.age).astype(np.int64)),
    ]
    if assays is not None and design.assay.present and design.assay.recorded:
        context.append(pl.Series("assay", np.array(_ASSAYS)[assays.new(schedule).astype(int)], dtype=pl.String))
    if treated is not None and design.treatment.present and design.treatment.recorded:
        context.append(pl.Series("glucose_lowering_drug", np.where(treated, "yes", "no"), dtype=pl.String))
    limits = {"insulin": design.readings.insulin_limit}
    columns = [_report(read[row.column], row, limits.get(row.analyte)) for row in EXPORTS[design.units]]
    return read.select("participant_id", "visit_date", *context, *columns)


def _report(canonical: pl.Series, row: Reported, limit: float | None) -> pl.Series:
    """Write values as a laboratory does; none is reported as zero, and what is below a limit as less than it."""
    scale = float(conversion(row.analyte, row.unit).apply(Decimal(1)))
    values = _rounded((canonical / scale).alias(row.header), row.digits)
    if limit is None:
        return values
    bound = _rounded(pl.Series([limit / scale]), row.digits).cast(pl.String).item()
    below = canonical < limit
    return (
        values.to_frame()
        .select(pl.when(below).then(pl.lit(f"<{bound}")).otherwise(values.cast(pl.String)).alias(row.header))
        .to_series()
    )


def _rounded(values: pl.Series, digits: int) -> pl.Series:
    rounded = values.round(digits).clip(lower_bound=10.0**-digits)
    return rounded.cast(pl.Int64) if digits == 0 else rounded
