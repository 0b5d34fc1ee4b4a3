"""From numbers about each series to a verdict about each participant, and the tables of the contract."""

from __future__ import annotations

import polars as pl

from ircohort import schema
from ircohort.detection.findings import KEY, SUFFIXES
from ircohort.detection.settings import DetectSettings

_NAMES = {"insulin": "insulin", "tg_hdl": "TG:HDL"}
_EVENTS = ("prediabetes", "diabetes")
_CUT_OFF = ("end_of_follow_up", "break_in_series", "start_of_follow_up")

LEAST_MEASURED = 0.5
"""Share of the years judged that readings of the marker span, below which nobody is flagged: the rest is the course
that the cohort, glucose and the other marker suggest. A choice."""

SERIAL = "neighbouring readings go together in this cohort, which imitates a rise"
STEP = "readings of the whole cohort step at one date, as at a change of assay"

_FLOATS = (
    *("probability", "probability_beyond_expected", "probability_without_tg_hdl", "prior"),
    *("rising", "glucose_leaves"),
    *(f"{name}{suffix}" for name in ("rise_pct", "window_start", "window_end") for suffix in SUFFIXES),
    *("opens_late", "crosses", "falls_back"),
)


def with_numbers(segments: pl.DataFrame, parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Join what was found of the judged series to all of them."""
    joined = segments
    if parts:
        found = pl.concat(parts, how="diagonal")
        joined = joined.join(found, on=KEY, how="left", maintain_order="left")
    changes = [f"{name}{s}" for name in _CHANGES for s in SUFFIXES]
    types = dict.fromkeys((*_FLOATS, *changes), pl.Float64()) | {
        "course": pl.String(),
        "stage": pl.String(),
        "by_population": pl.List(pl.Float64),
    }
    return joined.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in types.items() if name not in joined.columns
    )


_CHANGES = ("insulin_pct_per_year", "homa_ir_pct_per_year", "tg_hdl_pct_per_year", "glucose_mg_dl_per_year")


def people_of(people: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Gather each participant's series.

    A window in any of them counts: probabilities of separate series are joined as independent. Yearly changes, course
    and stage are those of the longest judged series, the rise that of the series with the highest probability.
    """
    judged = series.filter(pl.col("probability").is_not_null())
    span = pl.col("last") - pl.col("first")
    measured = pl.when(pl.col("marker") == "insulin").then("span_insulin").otherwise("span_tg_hdl")
    surest = {"judged_years": span, "measured_years": measured}
    main = judged.sort(["participant_id", "segment"]).select(
        "participant_id",
        *(pl.col(f"{name}{s}") for name in _CHANGES for s in SUFFIXES),
        *("course", "stage"),
        span.alias("span"),
    )
    main = main.sort(["participant_id", "span"], descending=[False, True], maintain_order=True).unique(
        "participant_id", keep="first", maintain_order=True
    )
    joined = judged.group_by("participant_id", maintain_order=True).agg(
        *(
            pl.when(pl.col(name).is_not_null().any()).then(1 - (1 - pl.col(name)).product()).alias(name)
            for name in ("probability", "probability_beyond_expected", "probability_without_tg_hdl", "prior")
        ),
        pl.col("rising", "glucose_leaves").sort_by("rising").last(),
        *(pl.col(f"rise_pct{suffix}").sort_by("probability").last() for suffix in SUFFIXES),
        *(years.sort_by("probability").last().alias(name) for name, years in surest.items()),
        pl.len().alias("n_judged"),
    )
    event = series.group_by("participant_id", maintain_order=True).agg(
        pl.col("closed").is_in(_EVENTS).any().alias("event")
    )
    result = people
    for more in (joined, main.drop("span"), event):
        result = result.join(more, on="participant_id", how="left", maintain_order="left")
    return result


def decide(rows: pl.DataFrame, settings: DetectSettings, lowered: dict[str, tuple[str, ...]]) -> pl.DataFrame:
    """Add ``verdict`` and ``reason``; ``lowered`` gives the reasons not to flag by a marker in this cohort."""
    probability, name = pl.col("probability"), pl.col("marker").replace_strict(_NAMES)
    reasons = {marker: "; ".join(why) for marker, why in lowered.items() if why}
    held = pl.col("marker").replace_strict(reasons, default=None, return_dtype=pl.String)
    own = (probability > pl.col("prior")).fill_null(False)
    sure = probability >= settings.flag_from
    measured, judged = pl.col("measured_years"), pl.col("judged_years")
    followed = (measured >= LEAST_MEASURED * judged).fill_null(False)
    flagged = sure & own & followed & held.is_null()
    rise = f"{100 * settings.min_rise:g} %"
    while_normal = pl.format("{} rises by {} or more while fitted glucose stays normal", name, pl.lit(rise))
    reason = (
        pl.when(pl.col("obstacle").is_not_null())
        .then("obstacle")
        .when(flagged)
        .then(while_normal)
        .when(sure & ~own)
        .then(pl.format("{}, but the own readings do not raise the probability above the cohort's", while_normal))
        .when(sure & ~followed)
        .then(
            pl.format(
                "{}, but {} was read over {} of {} years only", while_normal, name, measured.round(1), judged.round(1)
            )
        )
        .when(sure)
        .then(pl.format("{}, but {}", while_normal, held))
        .when(probability >= settings.possible_from)
        .then(pl.format("probably {}, not surely enough to flag", while_normal))
        .otherwise(_why_not(name, rise, settings.possible_from))
    )
    parts = [
        (pl.col("marker") == "tg_hdl", "; judged by TG:HDL, as insulin was never measured"),
        (pl.col("n_segments") > 1, "; judged in separate series"),
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


def _why_not(name: pl.Expr, rise: str, possible_from: float) -> pl.Expr:
    """Say why a window is not even possible."""
    rises, leaves = (pl.col(column) >= possible_from for column in ("rising", "glucose_leaves"))
    return (
        pl.when(rises & leaves)
        .then(pl.format("{} probably rises, but fitted glucose does not stay normal meanwhile", name))
        .when(rises)
        .then(pl.format("{} probably rises, but not surely enough while fitted glucose stays normal", name))
        .otherwise(pl.format("a rise of {} by {} or more was not shown", name, pl.lit(rise)))
    )


def participants_table(rows: pl.DataFrame) -> pl.DataFrame:
    """PARTICIPANTS: the rise is given where a window is at least possible."""
    shown = pl.col("verdict").is_in(["hidden_window", "possible"])
    hidden = [pl.when(shown).then(pl.col(f"rise_pct{suffix}")).alias(f"rise_pct{suffix}") for suffix in SUFFIXES]
    return schema.arrange(rows.with_columns(hidden), schema.PARTICIPANTS).select(schema.PARTICIPANTS.names)


def windows_table(rows: pl.DataFrame, series: pl.DataFrame, settings: DetectSettings) -> pl.DataFrame:
    """WINDOWS: one row for each series in which a window is at least possible."""
    shown = rows.filter(pl.col("verdict").is_in(["hidden_window", "possible"])).select("participant_id", "marker")
    best = pl.col("probability") == pl.col("probability").max().over("participant_id")
    table = (
        series.drop("marker")
        .join(shown, on="participant_id", maintain_order="left")
        .filter(((pl.col("probability") >= settings.possible_from) | best) & pl.col("window_start").is_not_null())
    )
    opened = pl.when(pl.col("opens_late") >= 0.5).then(pl.lit("onset")).otherwise("opened")
    closed = (
        pl.when(pl.col("closed").is_in(_EVENTS))
        .then("closed")
        .when(pl.col("crosses") >= 0.5)
        .then(pl.lit("prediabetes"))
        .when(pl.col("falls_back") >= 0.5)
        .then(pl.lit("recovery"))
        .otherwise("closed")
    )
    table = table.with_columns(
        (pl.col("window_end") - pl.col("window_start")).alias("window_years"),
        opened.alias("opened_by"),
        closed.alias("closed_by"),
    )
    # Where the data end, a window was cut off, not seen to open or close: there is no interval to give.
    cut = {"window_start": pl.col("opened_by").is_in(_CUT_OFF), "window_end": pl.col("closed_by").is_in(_CUT_OFF)}
    table = table.with_columns(
        pl.when(~where).then(pl.col(f"{end}{side}")).alias(f"{end}{side}")
        for end, where in cut.items()
        for side in ("_low", "_high")
    )
    return schema.arrange(table, schema.WINDOWS).select(schema.WINDOWS.names)
