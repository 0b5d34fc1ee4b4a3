"""From numbers about each person to the tables of the contract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort import schema
from ircohort.detection.judging import (
    Findings,
    curves,
    direction,
    glucose_change,
    grid,
    in_blocks,
    judge,
    quantiles,
    stage,
    windows_of,
)
from ircohort.detection.posterior import MarkerFit, Noise, draw_lines, draw_prior
from ircohort.detection.settings import DetectSettings

Floats = NDArray[np.float64]

_BLOCK = 512  # people whose draws are held at once
_SUFFIXES = ("_low", "", "_high")
_NAMES = {"insulin": "insulin", "tg_hdl": "TG:HDL"}

CURVE_SCHEMA = {
    "participant_id": pl.String,
    "marker": pl.String,
    "years": pl.Float64,
    "fitted": pl.Float64,
    "fitted_low": pl.Float64,
    "fitted_high": pl.Float64,
}


@dataclass(frozen=True)
class Judged:
    """Rows about the people judged by one marker: ``people`` (one row each), ``curves``."""

    people: pl.DataFrame
    curves: pl.DataFrame


def _triple(name: str, values: Floats) -> dict[str, Floats]:
    return {f"{name}{suffix}": values[..., i] for i, suffix in enumerate(_SUFFIXES)}


def _index(fit: MarkerFit, ids: pl.Series) -> NDArray[np.intp]:
    """Where each of ``ids`` stands in the fit, whose people are sorted by the same order; -1 where absent."""
    place = {name: i for i, name in enumerate(fit.ids)}
    return np.array([place.get(name, -1) for name in ids], dtype=np.intp)


def _curve_rows(ids: list[str], marker: str, lines: Floats, outcome: int, first: Floats, last: Floats) -> pl.DataFrame:
    years, fitted = curves(lines, outcome, first, last)
    columns = {
        "participant_id": np.repeat(np.array(ids, dtype=object), years.shape[1]),
        "marker": [marker] * years.size,
        "years": years.ravel(),
        "fitted": fitted[1].ravel(),
        "fitted_low": fitted[0].ravel(),
        "fitted_high": fitted[2].ravel(),
    }
    return pl.DataFrame(columns, schema=CURVE_SCHEMA)


def judge_people(
    people: pl.DataFrame, fits: dict[str, MarkerFit], marker: str, settings: DetectSettings, noise: Noise
) -> Judged:
    """Judge the people of ``people`` (rows of ``Series.people`` without an obstacle) by one marker, block by block."""
    blocks = [_judge_block(people[block], fits, marker, settings, noise) for block in in_blocks(people.height, _BLOCK)]
    return Judged(pl.concat([block.people for block in blocks]), pl.concat([block.curves for block in blocks]))


def _judge_block(
    people: pl.DataFrame, fits: dict[str, MarkerFit], marker: str, settings: DetectSettings, noise: Noise
) -> Judged:
    fit, ids = fits[marker], people["participant_id"].to_list()
    first, last = people["first"].to_numpy(), people["last"].to_numpy()
    lines = draw_lines(fit, _index(fit, people["participant_id"]), noise)
    expected = fit.mean_slope if len(fit.ids) >= settings.expected_from else None
    findings = judge(lines, first, last, settings.definition, expected)
    changes = {
        f"{marker}_pct_per_year": quantiles(100 * np.expm1(lines[1])),
        "glucose_mg_dl_per_year": quantiles(glucose_change(lines, first, last)),
    }
    if marker == "insulin":
        changes["homa_ir_pct_per_year"] = quantiles(100 * np.expm1(lines[1] + lines[3]))
    columns: dict[str, object] = {
        "participant_id": ids,
        **_finding_columns(findings),
        **{name: part for key, values in changes.items() for name, part in _triple(key, values.T).items()},
        "prior": _prior(fit, findings, first, last, settings, noise),
        "course": direction(lines[1], settings.course_from),
        "stage": (
            stage(lines, first, last, settings.course_from, settings.glucose_cut_off_mg_dl)
            if marker == "insulin"
            else [None] * len(ids)
        ),
    }
    rows = pl.DataFrame(
        columns, schema_overrides={"participant_id": pl.String, "course": pl.String, "stage": pl.String}
    )
    shown = [
        _curve_rows(ids, marker, lines, 0, first, last),
        _curve_rows(ids, "glucose", lines, 1, first, last),
    ]
    if marker == "insulin":
        beside, more = _beside(people, fits, settings, noise)
        rows = rows.join(beside, on="participant_id", how="left", maintain_order="left")
        shown.append(more)
    else:
        empty = [pl.lit(None, pl.Float64).alias(f"insulin_pct_per_year{suffix}") for suffix in _SUFFIXES]
        empty += [pl.lit(None, pl.Float64).alias(f"homa_ir_pct_per_year{suffix}") for suffix in _SUFFIXES]
        rows = rows.with_columns(empty)
    return Judged(rows.select(sorted(rows.columns)).with_columns(pl.selectors.float().fill_nan(None)), pl.concat(shown))


def _beside(
    people: pl.DataFrame, fits: dict[str, MarkerFit], settings: DetectSettings, noise: Noise
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """TG:HDL of people who are judged by insulin, where it was measured often enough."""
    name = "tg_hdl_pct_per_year"
    some = people.filter(pl.col("n_tg_hdl") >= settings.min_visits) if "tg_hdl" in fits else people.head(0)
    ids = some["participant_id"].to_list()
    values, shown = np.empty((3, 0)), pl.DataFrame(schema=CURVE_SCHEMA)
    if ids:
        fit = fits["tg_hdl"]
        lines = draw_lines(fit, _index(fit, some["participant_id"]), noise)
        values = quantiles(100 * np.expm1(lines[1]))
        shown = _curve_rows(ids, "tg_hdl", lines, 0, some["first"].to_numpy(), some["last"].to_numpy())
    frame = pl.DataFrame(
        {"participant_id": ids, **_triple(name, values.T)}, schema_overrides={"participant_id": pl.String}
    )
    return frame, shown


def _finding_columns(findings: Findings) -> dict[str, Floats]:
    return {
        "probability": findings.probability,
        "probability_beyond_expected": findings.beyond,
        "rising": findings.rising,
        "step": findings.step,
        **_triple("rise_pct", 100 * np.expm1(findings.log_rise)),
        **_triple("window_start", findings.start),
        **_triple("window_end", findings.end),
    }


def _prior(
    fit: MarkerFit, findings: Findings, first: Floats, last: Floats, settings: DetectSettings, noise: Noise
) -> Floats:
    """Probability for somebody of the cohort with the same follow-up but no readings; asked for would-be flags only."""
    prior = np.full(len(first), np.nan)
    drawn = draw_prior(fit, noise)
    for i in np.flatnonzero(findings.probability >= settings.flag_from):
        prior[i] = windows_of(drawn, grid(first[i], last[i]), settings.definition)[0]
    return prior


def decide(rows: pl.DataFrame, settings: DetectSettings, lowered: dict[str, bool]) -> pl.DataFrame:
    """Add ``verdict`` and ``reason``; ``lowered`` says for which markers the readings are serially correlated."""
    probability, name = pl.col("probability"), pl.col("marker").replace_strict(_NAMES)
    serial = pl.col("marker").is_in([marker for marker, is_so in lowered.items() if is_so])
    own = probability > pl.col("prior")
    sure = probability >= settings.flag_from
    flagged = sure & own & ~serial
    rise = f"{100 * settings.min_rise:g} %"
    while_normal = pl.format("{} rises by {} or more while fitted glucose stays normal", name, pl.lit(rise))
    reason = (
        pl.when(pl.col("obstacle").is_not_null())
        .then("obstacle")
        .when(flagged)
        .then(while_normal)
        .when(sure & ~own)
        .then(pl.format("{}, but the own readings do not raise the probability above the cohort's", while_normal))
        .when(sure)
        .then(
            pl.format("{}, but neighbouring readings go together in this cohort, which imitates a rise", while_normal)
        )
        .when(probability >= settings.possible_from)
        .then(pl.format("probably {}, not surely enough to flag", while_normal))
        .when(pl.col("rising") >= settings.possible_from)
        .then(pl.format("{} rises, but fitted glucose does not stay normal meanwhile", name))
        .otherwise(pl.format("a rise of {} by {} or more was not shown", name, pl.lit(rise)))
    )
    parts = [
        (pl.col("marker") == "tg_hdl", "; judged by TG:HDL, as insulin was never measured"),
        (
            pl.col("broken_before") | pl.col("broken_after"),
            "; the assay or specimen changed, the longest part was judged",
        ),
    ]
    additions = [
        pl.when(condition & pl.col("obstacle").is_null()).then(pl.lit(words)).otherwise(pl.lit(""))
        for condition, words in parts
    ]
    verdict = (
        pl.when(pl.col("obstacle").is_not_null())
        .then(pl.lit("not_assessable"))
        .when(flagged)
        .then(pl.lit("hidden_window"))
        .when(probability >= settings.possible_from)
        .then(pl.lit("possible"))
        .otherwise(pl.lit("not_shown"))
    )
    return rows.with_columns(verdict.alias("verdict"), pl.concat_str(reason, *additions).alias("reason"))


def participants_table(rows: pl.DataFrame) -> pl.DataFrame:
    """PARTICIPANTS: the rise is given where a window is at least possible."""
    shown = pl.col("verdict").is_in(["hidden_window", "possible"])
    rise = [pl.when(shown).then(pl.col(f"rise_pct{suffix}")).alias(f"rise_pct{suffix}") for suffix in _SUFFIXES]
    table = schema.arrange(rows.with_columns(rise), schema.PARTICIPANTS)
    return table.select(schema.PARTICIPANTS.names)


_CUT_OFF = ("end_of_follow_up", "break_in_series")


def windows_table(rows: pl.DataFrame) -> pl.DataFrame:
    """WINDOWS: one row for each participant whose window is at least possible."""
    half = pl.col("step") / 2 + 1e-9
    at_start = pl.col("window_start") <= pl.col("first") + half
    at_end = pl.col("window_end") >= pl.col("last") - half
    opened = (
        pl.when(~at_start)
        .then(pl.lit("onset"))
        .when("broken_before")
        .then(pl.lit("break_in_series"))
        .otherwise(pl.lit("start_of_follow_up"))
    )
    closed = (
        pl.when(pl.col("event").is_not_null() & ~(at_end & pl.col("broken_after")))
        .then("event")
        .when(~at_end)
        .then(pl.lit("prediabetes"))
        .when("broken_after")
        .then(pl.lit("break_in_series"))
        .otherwise(pl.lit("end_of_follow_up"))
    )
    table = rows.filter(pl.col("verdict").is_in(["hidden_window", "possible"])).with_columns(
        (pl.col("window_end") - pl.col("window_start")).alias("window_years"),
        opened.alias("opened_by"),
        closed.alias("closed_by"),
    )
    # Where the data end, a window was cut off, not seen to open or close: there is no interval to give.
    cut = {"window_start": pl.col("opened_by") != "onset", "window_end": pl.col("closed_by").is_in(_CUT_OFF)}
    table = table.with_columns(
        pl.when(~where).then(pl.col(f"{end}{side}")).alias(f"{end}{side}")
        for end, where in cut.items()
        for side in ("_low", "_high")
    )
    return schema.arrange(table, schema.WINDOWS).select(schema.WINDOWS.names)
