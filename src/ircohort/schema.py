"""The tables that pass between rooms: names, types, meaning, unit and plausible range of every column."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ircohort.errors import ColumnError

GLYCAEMIA = ("normal", "prediabetes", "diabetes")
STATES = ("sensitive", "compensated", "prediabetes", "diabetes", "unknown")
VERDICTS = ("hidden_window", "possible", "not_shown", "not_assessable")
COURSES = ("rising", "falling", "recovered", "relapsed", "steady")
STAGES = ("compensating", "failing")

FAR_RATIO, READINGS_TO_COMPARE = 5.0, 3
"""A value this many times the median of a participant's own values, of which there are this many, is pointed to. An
editorial choice: a decimal slip is 10, a mistaken unit 6 to 88, and a fasting value hardly ever varies so."""


@dataclass(frozen=True)
class Column:
    """One column of a table; ``low`` and ``high`` bound what a living person can show, not what is healthy."""

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the contract."""

    name: str
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in the order in which they are written."""
        return tuple(column.name for column in self.columns)


_TEXT, _FLOAT, _INT, _BOOL, _DATE = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean(), pl.Date()

_MARKERS = (
    Column("homa_ir", _FLOAT, "HOMA1-IR, insulin resistance", "1"),
    Column("homa_b_pct", _FLOAT, "HOMA1-%B, beta-cell function", "%"),
    Column("quicki", _FLOAT, "QUICKI, insulin sensitivity", "1"),
    Column("tg_hdl_mg", _FLOAT, "triglycerides over HDL cholesterol, both in mg/dL", "mg/mg"),
    Column("tyg", _FLOAT, "TyG, ln(TG x glucose / 2)", "1"),
    Column("spise", _FLOAT, "SPISE, insulin sensitivity", "1"),
    Column("mets_ir", _FLOAT, "METS-IR, insulin resistance", "1"),
    Column("mcauley", _FLOAT, "McAuley index, insulin sensitivity", "mg/kg/min"),
    Column("c_peptide_insulin_ratio", _FLOAT, "C-peptide over insulin in moles, insulin clearance", "mol/mol"),
)

COMPUTED = (*(marker.name for marker in _MARKERS), "state")
"""Columns of VISITS that are computed from the others."""

# The ranges are limits of data entry, wide on purpose: a value outside them is a typing error or another unit, not
# a patient. They are an editorial choice, not reference intervals.
VISITS = Table(
    "visits",
    (
        Column("participant_id", _TEXT, "participant, as written", required=True),
        Column("visit_date", _DATE, "calendar date of the visit"),
        Column("years", _FLOAT, "years since the participant's first visit", "years", required=True),
        Column("age", _FLOAT, "age at the visit", "years", 0, 120),
        Column("sex", _TEXT, "female or male"),
        Column("glucose_mg_dl", _FLOAT, "fasting plasma glucose", "mg/dL", 20, 1000),
        Column("insulin_uiu_ml", _FLOAT, "fasting insulin", "uIU/mL", 0.05, 1000),
        Column("triglycerides_mg_dl", _FLOAT, "triglycerides", "mg/dL", 5, 10000),
        Column("hdl_mg_dl", _FLOAT, "HDL cholesterol", "mg/dL", 2, 250),
        Column("hba1c_pct", _FLOAT, "HbA1c, NGSP", "%", 2.5, 20),
        Column("bmi", _FLOAT, "body mass index", "kg/m2", 8, 120),
        Column("waist_cm", _FLOAT, "waist circumference", "cm", 30, 300),
        Column("c_peptide_ng_ml", _FLOAT, "C-peptide", "ng/mL", 0.01, 50),
        Column("fasting", _BOOL, "the draw was fasting"),
        Column("glucose_lowering_drug", _BOOL, "on a glucose-lowering drug"),
        Column("insulin_therapy", _BOOL, "on insulin therapy"),
        Column("pregnant", _BOOL, "pregnant at the visit"),
        Column("ill", _BOOL, "acutely ill at the visit"),
        Column("recent_exercise", _BOOL, "exercise within the 72 hours before the draw"),
        Column("assay", _TEXT, "insulin assay"),
        Column("specimen", _TEXT, "specimen, as serum or plasma"),
        Column("site", _TEXT, "laboratory or site"),
        Column("glycaemia", _TEXT, "normal, prediabetes or diabetes, by the reading as reported"),
        Column("glycaemia_by", _TEXT, "glucose or hba1c: which reading decided"),
        *_MARKERS,
        Column("state", _TEXT, "sensitive, compensated, prediabetes, diabetes or unknown"),
    ),
)


def _estimate(name: str, meaning: str, unit: str) -> tuple[Column, Column, Column]:
    return (
        Column(name, _FLOAT, meaning, unit),
        Column(f"{name}_low", _FLOAT, f"{meaning}, lower end of the 95 % interval", unit),
        Column(f"{name}_high", _FLOAT, f"{meaning}, upper end of the 95 % interval", unit),
    )


PARTICIPANTS = Table(
    "participants",
    (
        Column("participant_id", _TEXT, "participant, as written", required=True),
        Column("n_visits", _INT, "visits of the participant"),
        Column("n_visits_used", _INT, "visits that entered detection"),
        Column("span_years", _FLOAT, "time from the first to the last visit used", "years"),
        Column("verdict", _TEXT, "hidden_window, possible, not_shown or not_assessable"),
        Column("reason", _TEXT, "why, in words"),
        Column("marker", _TEXT, "insulin or tg_hdl: the marker judged"),
        Column("probability", _FLOAT, "posterior probability of a hidden window", "1"),
        Column(
            "probability_beyond_expected",
            _FLOAT,
            "the same, beyond the course expected at that age and sex",
            "1",
        ),
        *_estimate("rise_pct", "rise of the marker in the best-supported window", "%"),
        *_estimate("insulin_pct_per_year", "yearly change of insulin", "% per year"),
        *_estimate("homa_ir_pct_per_year", "yearly change of HOMA-IR", "% per year"),
        *_estimate("tg_hdl_pct_per_year", "yearly change of TG:HDL", "% per year"),
        *_estimate("glucose_mg_dl_per_year", "yearly change of glucose", "mg/dL per year"),
        Column("course", _TEXT, "rising, falling, recovered, relapsed or steady"),
        Column("stage", _TEXT, "compensating or failing"),
        Column("last_state", _TEXT, "state at the last visit that shows one"),
        Column("probability_without_tg_hdl", _FLOAT, "posterior probability by insulin and glucose alone", "1"),
    ),
)

WINDOWS = Table(
    "windows",
    (
        Column("participant_id", _TEXT, "participant, as written", required=True),
        Column("marker", _TEXT, "insulin or tg_hdl"),
        *_estimate("window_start", "start of the window, on the axis `years`", "years"),
        *_estimate("window_end", "end of the window, on the axis `years`", "years"),
        Column("window_years", _FLOAT, "length of the window", "years"),
        Column("opened_by", _TEXT, "onset, start_of_follow_up or break_in_series"),
        Column("closed_by", _TEXT, "prediabetes, diabetes, recovery, end_of_follow_up or break_in_series"),
        Column("probability", _FLOAT, "posterior probability of a hidden window", "1"),
    ),
)

REJECTED = Table(
    "rejected",
    (
        Column("source_file", _TEXT, "file of the cell"),
        Column("source_row", _INT, "line of the cell"),
        Column("column", _TEXT, "header of the column"),
        Column("raw_value", _TEXT, "the cell, as written"),
        Column("rule", _TEXT, "name of the rule that rejected it"),
        Column("reason", _TEXT, "what the rule says"),
    ),
)


def require(frame: pl.DataFrame, table: Table, *names: str) -> pl.DataFrame:
    """Check that ``frame`` has the required columns of ``table`` (and ``names``) with their types; give it back.

    Integer columns pass for float ones and are cast, so that a hand-made frame need not write ``95.0``; a column
    without any value passes for any type, because pandas does not know the type of nothing.
    Unknown columns are left as they are.

    Raises
    ------
    ColumnError
        If a column is missing or holds another type.

    Examples
    --------
    >>> require(pl.DataFrame({"participant_id": ["a"], "years": [0]}), VISITS).schema["years"]
    Float64
    """
    needed = {column.name for column in table.columns if column.required} | set(names)
    missing = sorted(needed - set(frame.columns))
    if missing:
        raise ColumnError(
            f"The table of {table.name} has no column {', '.join(missing)}.",
            expected=f"It has: {', '.join(frame.columns)}.",
            next_step="Rename the columns to the names of the contract, or read the file with ircohort.read.",
        )
    casts = []
    for column in table.columns:
        found = frame.schema.get(column.name)
        if found is None or found == column.dtype:
            continue
        empty = frame[column.name].null_count() == frame.height
        if empty or (found.is_numeric() and column.dtype.is_numeric()):
            casts.append(pl.col(column.name).cast(column.dtype))
        elif column.dtype == pl.Date and found.is_temporal():
            casts.append(pl.col(column.name).cast(pl.Date))
        elif column.dtype == pl.String and found in (pl.Categorical, pl.Enum):
            casts.append(pl.col(column.name).cast(pl.String))
        else:
            raise ColumnError(
                f"Column {column.name} of the table of {table.name} holds {found}.",
                expected=f"Expected is {column.dtype}.",
                next_step="Convert it first; identifiers stay text, so that 001 stays 001.",
            )
    if "participant_id" in frame.columns and frame["participant_id"].null_count():
        raise ColumnError(
            f"The table of {table.name} has rows without a participant.", next_step="Leave them out, or name them."
        )
    return frame.with_columns(casts) if casts else frame


def arrange(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Give ``frame`` the columns of ``table`` in their order (absent ones as nulls), unknown columns after them."""
    known = [
        pl.col(column.name) if column.name in frame.columns else pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in table.columns
    ]
    others = [name for name in frame.columns if name not in table.names]
    return frame.select(*known, *others)
