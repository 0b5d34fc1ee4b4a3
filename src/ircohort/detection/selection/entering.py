"""Which visits enter, and what each of them says, on the log scale of the model."""

from __future__ import annotations

import math

import polars as pl

from ircohort import schema
from ircohort.detection.settings import DetectSettings
from ircohort.errors import ColumnError, UsageError
from ircohort.glycaemia import cut_off

ADULT_AGE = 18.0
"""Insulin rises and falls again in puberty (Goran and Gower 2001, doi:10.2337/diabetes.50.11.2444)."""

GLUCOSE_CAP = 1.2
"""Glucose enters the model as at most this many times the cut-off (120 mg/dL): beyond it, a reading says nothing more
about when glucose left the normal range, and a steep climb into diabetes would bend the course before it."""

ASIDE = {
    "ill": "ill",
    "pregnant": "pregnant",
    "glucose_lowering_drug": "on a glucose-lowering drug",
    "insulin_therapy": "on insulin therapy",
    "fasting": "not fasting",
}
"""The flags of a visit that keep it out, and how they are called."""

READINGS = ("insulin", "insulin_low", "insulin_high", "tg_hdl", "glucose")

_INSULIN = "insulin_uiu_ml"
_BOUNDS = (f"{_INSULIN}_lower", f"{_INSULIN}_upper")
_COLUMNS = (
    *("participant_id", "visit_date", "years", "age", "sex", "glucose_mg_dl", _INSULIN, "triglycerides_mg_dl"),
    *("hdl_mg_dl", *ASIDE, "assay", "specimen", "glycaemia", "tg_hdl_mg", "state"),
)


def prepare_visits(visits: pl.DataFrame, settings: DetectSettings) -> tuple[pl.DataFrame, list[str]]:
    """Say of each visit what it measured and whether it enters; give sentences about the table too.

    Added are the readings (natural logs), ``n_censored`` (1 where insulin lay beyond a limit), ``insulin_known``,
    ``calendar`` (date as years), ``aside``, ``child``, ``dated``, ``usable``; ``age`` is filled in from other visits.
    Sorted by participant and time; rows of one time by what they say, so that their order in the table does not matter.
    """
    table, notes = _classified(_needed(visits))
    table = _with_insulin(table, settings.censored)
    ratio = pl.coalesce("tg_hdl_mg", pl.col("triglycerides_mg_dl") / pl.col("hdl_mg_dl"))
    cap = GLUCOSE_CAP * settings.glucose_cut_off_mg_dl
    aside = [pl.col(name).fill_null(False) for name in ASIDE if name != "fasting"]
    years, date = pl.col("years"), pl.col("visit_date")
    table = table.with_columns(
        _positive_log(ratio).alias("tg_hdl"),
        _positive_log(pl.col("glucose_mg_dl").clip(upper_bound=cap)).alias("glucose"),
        pl.any_horizontal(*aside, ~pl.col("fasting").fill_null(True)).alias("aside"),
        years.is_finite().fill_null(False).alias("dated"),
        pl.coalesce("age", (pl.col("age") - years).median().over("participant_id") + years).alias("age"),
        (date.dt.year() + (date.dt.ordinal_day() - 1) / (365 + date.dt.is_leap_year())).alias("calendar"),
    )
    child = (pl.col("age") < ADULT_AGE).fill_null(False)
    table = table.with_columns(child.alias("child"), (pl.col("dated") & ~pl.col("aside") & ~child).alias("usable"))
    ties = ("visit_date", *READINGS, "assay", "specimen", "usable", "state", "glycaemia", "age")
    order = ["participant_id", "years", *ties]
    return table.sort(order), notes + _said_of_ages(table)


def _needed(visits: pl.DataFrame) -> pl.DataFrame:
    """Give the columns that selection looks at, absent ones as nulls."""
    whole = schema.require(visits, schema.VISITS)
    known = schema.Table("visits", tuple(schema.VISITS[name] for name in _COLUMNS))
    table = schema.arrange(whole.select(name for name in (*_COLUMNS, *_BOUNDS) if name in whole.columns), known)
    for name in _BOUNDS:
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.Float64).alias(name))
        elif table[name].null_count() < table.height and not table[name].dtype.is_numeric():
            raise ColumnError(
                f"Column {name} of the table of visits holds {table[name].dtype}.",
                expected="Expected is Float64.",
                next_step="Convert it first.",
            )
    return table


def _classified(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    if not table.height or table["glycaemia"].null_count() < table.height:
        return table, []
    glucose = pl.col("glucose_mg_dl")
    by_glucose = (
        pl.when(glucose >= cut_off("ada_glucose_diabetes"))
        .then(pl.lit("diabetes"))
        .when(glucose >= cut_off("ada_glucose_prediabetes"))
        .then(pl.lit("prediabetes"))
        .when(glucose.is_not_null())
        .then(pl.lit("normal"))
    )
    note = "The visits have no glycaemia: it was read off glucose in mg/dL, and HbA1c was not looked at."
    return table.with_columns(by_glucose.alias("glycaemia")), [note]


def _positive_log(value: pl.Expr) -> pl.Expr:
    return pl.when((value > 0) & value.is_finite()).then(value).log()


def _with_insulin(table: pl.DataFrame, censored: str) -> pl.DataFrame:
    """Add insulin as a value or as the bounds between which it lies.

    Where there are bounds they count, whatever the column itself holds by the policy under which it was read; equal
    bounds are a value. A lower bound of nothing is none.
    """
    table = table.with_columns(pl.col(_BOUNDS).cast(pl.Float64))
    low, high = (pl.col(name).fill_nan(None) for name in _BOUNDS)
    if (crossed := table.select((low > high).sum()).item()) > 0:
        raise UsageError(
            f"In {crossed} visits {_BOUNDS[0]} lies above {_BOUNDS[1]}.",
            expected="The first bound is the lower one.",
            next_step="Exchange the two columns, or correct these visits.",
        )
    equal = (low == high).fill_null(False)
    is_censored = ~equal & ((low > 0).fill_null(False) | ((high > 0) & high.is_finite()).fill_null(False))
    exact = _positive_log(pl.when(equal).then(low).when(~is_censored).then(_INSULIN))
    bounds = {
        "insulin_low": pl.when(low > 0).then(low.log()).otherwise(-math.inf),
        "insulin_high": pl.when(high > 0).then(high.log()).otherwise(math.inf),
    }
    as_interval = is_censored & pl.lit(censored == "interval")
    # Half of <x is x / 2; of >x there is no half, and x stands, as in the visits that normalisation writes.
    half = _positive_log(
        pl.when(high.is_finite().fill_null(False)).then((low.fill_null(0.0) + high) / 2).otherwise(low)
    )
    as_half = is_censored & pl.lit(censored == "half_limit")
    return table.with_columns(
        pl.when(as_half).then(half).otherwise(exact).alias("insulin"),
        *(pl.when(as_interval).then(bound).alias(name) for name, bound in bounds.items()),
        is_censored.cast(pl.Int64).alias("n_censored"),
        (is_censored | exact.is_not_null()).alias("insulin_known"),
    )


def _said_of_ages(table: pl.DataFrame) -> list[str]:
    if table.height and table["age"].null_count() == table.height:
        return ["No age is recorded: everyone is taken as an adult."]
    children = int((table["child"] & table["dated"] & ~table["aside"]).sum())
    if not children:
        return []
    visits = "1 visit" if children == 1 else f"{children} visits"
    return [f"{visits} at an age under 18 did not enter: insulin rises and falls again in puberty."]


def said_of_visits(table: pl.DataFrame, settings: DetectSettings) -> list[str]:
    """Say how many visits were set aside, and how many readings lay beyond a limit and what was made of them."""
    notes = []
    if aside := int(table["aside"].sum()):
        stated = {words: int((table[name] == (name != "fasting")).sum()) for name, words in ASIDE.items()}
        listed = ", ".join(f"{count} {words}" for words, count in stated.items() if count)
        notes.append(f"{aside} {_visits(aside)} set aside: {listed}.")
    if beyond := int(table.filter("usable")["n_censored"].sum()):
        made = {
            "interval": "entered as the interval in which they lie",
            "half_limit": "entered as half of the limit below which they lie (or as the limit above which)",
            "drop": "did not enter",
        }
        readings = "reading" if beyond == 1 else "readings"
        notes.append(f"{beyond} {readings} of insulin beyond a limit of detection {made[settings.censored]}.")
    if repeated := _repeated(table):
        whose = "1 participant" if repeated == 1 else f"{repeated} participants"
        notes.append(
            f"In {whose} several visits bear the same time: they count as one visit, but each of their readings "
            "enters. Where rows were repeated by mistake, remove them: probabilities would be too sure."
        )
    limit = cut_off("ada_glucose_prediabetes")
    if settings.glucose_cut_off_mg_dl != limit:
        notes.append(
            f"Visits enter up to confirmed prediabetes as glycaemia says it (fasting glucose from {limit:g} mg/dL, or "
            f"HbA1c), although a window asks for glucose below {settings.glucose_cut_off_mg_dl:g} mg/dL."
        )
    return notes


def _repeated(table: pl.DataFrame) -> int:
    """Count the participants with several visits of one time that enter."""
    time = ("participant_id", "years")
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in time)
    return table.filter("usable").filter(again)["participant_id"].n_unique()


def _visits(count: int) -> str:
    return "visit was" if count == 1 else "visits were"
