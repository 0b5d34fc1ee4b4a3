"""The courses of flagged people, one small panel each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator

from ircohort import frames
from ircohort.plot import style

_COLUMNS_ACROSS = 3
_BACKGROUND_PEOPLE = 40
_GAP = 1.5  # times the wider of the steps on either side
_READING = {"insulin": "insulin_uiu_ml", "tg_hdl": "tg_hdl_mg", "glucose": "glucose_mg_dl"}
_LABEL = {"insulin": "Insulin\n(uIU/mL)", "tg_hdl": "TG:HDL\n(mg/mg)", "glucose": "Glucose\n(mg/dL)"}
_BEYOND = ("v", "^")
_BEYOND_WORDS = "\nOpen triangles: readings beyond a limit of detection, at the limit."
_CAPTION = (
    "Dots: readings. Lines and bands: fitted course with 95 % interval, each series by itself. Yellow: dated windows.\n"
    "Grey: fitted courses of other people. Green line: glucose cut-off."
)


@dataclass(frozen=True)
class _Tables:
    """What all panels draw from.

    ``limits`` of the axis by quantity; ``cut_off`` of glucose in mg/dL; ``others`` the grey (k, 2) lines by marker.
    """

    curves: pl.DataFrame
    windows: pl.DataFrame
    readings: pl.DataFrame
    limits: Mapping[str, tuple[float, float]]
    cut_off: float
    others: Mapping[str, list[Any]]


def trajectories(
    detection: Any, visits: Any, *, labels: Mapping[str, str] | None = None, max_people: int = 12
) -> Figure:
    """Draw the flagged people with the highest probabilities: readings, fitted courses and windows.

    Parameters
    ----------
    detection
        A ``Detection``: ``participants``, ``windows`` and ``curves`` are read (pandas or polars).
    visits
        VISITS, for the readings.
    labels
        What to write over a participant's panel, by ``participant_id``. Without it, ``Person 3`` is the third row of
        ``participants`` with the verdict ``hidden_window``: the same number as in the report.
    max_people
        How many panels at most.

    Returns
    -------
    matplotlib.figure.Figure
        A figure of its own; where nobody is flagged, or could be judged, it says so in words.
    """
    participants = frames.to_polars(detection.participants)
    people = flagged(participants)
    if participants["probability"].null_count() == participants.height:
        return style.message_figure("Nobody could be judged: the reasons stand beside the verdicts.")
    if people.is_empty():
        return style.message_figure("Nobody was flagged: no course shows a hidden window with enough probability.")
    shown = people.sort("probability", "person", descending=[True, False], nulls_last=True).head(max_people)
    tables = _gather(detection, frames.to_polars(visits), people, shown["participant_id"].to_list())
    rows = math.ceil(shown.height / _COLUMNS_ACROSS)
    with style.drawing():
        figure = Figure(figsize=(style.WIDTH, 1.95 * rows + 0.95))
        height = figure.get_figheight()
        grid = figure.add_gridspec(rows, _COLUMNS_ACROSS, hspace=0.28, wspace=0.2)
        grid.update(left=0.1, right=0.985, top=1 - 0.3 / height, bottom=0.95 / height)
        for place, person in enumerate(shown.to_dicts()):
            row, column = divmod(place, _COLUMNS_ACROSS)
            panels = _draw_person(figure, grid[row, column], person, tables)
            panels[0].set_title(_title(person, labels), loc="left", pad=3)
            lowest = place + _COLUMNS_ACROSS >= shown.height
            _label_axes(*panels, person["marker"] or "insulin", first=column == 0, last=lowest)
        drawn = tables.readings.filter(pl.col("participant_id").is_in(shown["participant_id"].to_list()))
        beyond = any(_marks(drawn, column)["mark"].is_in(_BEYOND).any() for column in _READING.values())
        caption = _CAPTION + (_BEYOND_WORDS if beyond else "")
        figure.text(0.1, 0.1 / height, caption, fontsize=7.5, color=style.QUIET_TEXT, va="bottom")
    return figure


def _gather(detection: Any, readings: pl.DataFrame, people: pl.DataFrame, ids: list[str]) -> _Tables:
    curves = frames.to_polars(detection.curves)
    unflagged = curves.filter(~pl.col("participant_id").is_in(people["participant_id"].to_list()))
    limits = {quantity: _limits(quantity, curves, readings, ids) for quantity in ("insulin", "tg_hdl")}
    cut_off = style.glucose_cut_off(detection.settings)
    limits["glucose"] = _limits("glucose", curves, readings, ids, cut_off)
    return _Tables(curves, frames.to_polars(detection.windows), readings, limits, cut_off, _background(unflagged))


def _draw_person(figure: Figure, cell: SubplotSpec, person: Mapping[str, Any], tables: _Tables) -> tuple[Axes, Axes]:
    halves = cell.subgridspec(2, 1, hspace=0.1, height_ratios=[1.2, 1])
    upper = figure.add_subplot(halves[0])
    lower = figure.add_subplot(halves[1], sharex=upper)
    of_person, marker = pl.col("participant_id") == person["participant_id"], person["marker"] or "insulin"
    upper.add_collection(_grey_lines(tables.others.get(marker, [])))
    for axes, quantity in ((upper, marker), (lower, "glucose")):
        curves, readings = tables.curves.filter(of_person), tables.readings.filter(of_person)
        _draw_course(axes, quantity, curves, readings, tables.limits[quantity])
        _shade(axes, tables.windows.filter(of_person))
    lower.axhline(tables.cut_off, color=style.CUT_OFF, linewidth=0.9, zorder=1)
    return upper, lower


def flagged(participants: pl.DataFrame) -> pl.DataFrame:
    """Give the rows with the verdict ``hidden_window`` in their order, numbered from 1 in the column ``person``."""
    return participants.filter(pl.col("verdict") == "hidden_window").with_row_index("person", offset=1)


def _title(person: Mapping[str, Any], labels: Mapping[str, str] | None) -> str:
    name = (labels or {}).get(person["participant_id"], f"Person {person['person']}")
    probability = style.finite(person["probability"])
    if probability is None:
        return name
    return f"{name}: probability {'>0.99' if probability > 0.99 else style.number(probability, 2)}"


def _limits(
    quantity: str, curves: pl.DataFrame, readings: pl.DataFrame, ids: list[str], *lines: float
) -> tuple[float, float]:
    """Give one pair of limits for all panels of a quantity, so that people can be compared."""
    among = pl.col("participant_id").is_in(ids)
    fitted = curves.filter(among & (pl.col("marker") == quantity))
    values = [value for name in ("fitted", "fitted_low", "fitted_high") for value in fitted[name].to_list()]
    values += lines
    values += _marks(readings.filter(among), _READING[quantity])["value"].to_list()
    return style.padded(values, log=quantity != "glucose")


def _background(curves: pl.DataFrame) -> dict[str, list[Any]]:
    """Choose, for each marker, up to 40 people evenly spread by the level they end at."""
    lines: dict[str, list[Any]] = {}
    for marker in ("insulin", "tg_hdl"):
        rows = curves.filter(pl.col("marker") == marker).drop_nulls(["years", "fitted"])
        rows = rows.sort("participant_id", "years")
        ends = rows.group_by("participant_id", maintain_order=True).agg(pl.col("fitted").last())
        order = ends.sort("fitted", "participant_id")["participant_id"].to_list()
        step = max(1, math.ceil(len(order) / _BACKGROUND_PEOPLE))
        chosen = rows.filter(pl.col("participant_id").is_in(order[::step]))
        lines[marker] = [
            series.select("years", "fitted").to_numpy()
            for part in chosen.partition_by("participant_id", maintain_order=True)
            for series in _series(part)
        ]
    return lines


def _grey_lines(lines: list[Any]) -> LineCollection:
    # Drawn as pixels: a dozen panels of forty lines would make the SVG ten times as large.
    return LineCollection(lines, colors="#D9D9D9", linewidths=0.6, zorder=0, rasterized=True)


def _draw_course(
    axes: Axes, quantity: str, curves: pl.DataFrame, readings: pl.DataFrame, limits: tuple[float, float]
) -> None:
    colour = style.COMPARISON if quantity == "glucose" else style.CASES
    for fitted in _series(curves.filter(pl.col("marker") == quantity).drop_nulls("fitted").sort("years")):
        low, high = (fitted[name].cast(pl.Float64).to_numpy() for name in ("fitted_low", "fitted_high"))
        axes.fill_between(fitted["years"].to_numpy(), low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
        axes.plot(fitted["years"].to_numpy(), fitted["fitted"].to_numpy(), color=colour, linewidth=1.6, zorder=3)
    marks = _marks(readings, _READING[quantity])
    dots = frames.to_pandas(marks.filter(pl.col("mark") == "o"))
    sns.scatterplot(data=dots, x="years", y="value", color=style.INK, s=11, linewidth=0, ax=axes, zorder=4)
    for mark in _BEYOND:
        places = marks.filter(pl.col("mark") == mark)
        look: dict[str, Any] = {"marker": mark, "s": 16, "facecolors": "none", "edgecolors": style.INK}
        if places.height:
            axes.scatter(places["years"].to_numpy(), places["value"].to_numpy(), linewidths=0.8, zorder=4, **look)
    if quantity == "glucose":
        axes.set_ylim(*limits)
    else:
        style.plain_log_axis(axes, "y", *limits)


def _marks(readings: pl.DataFrame, column: str) -> pl.DataFrame:
    """Give ``years``, ``value`` and ``mark`` of each reading: a dot, or beyond a limit a triangle that stands at it."""
    if column not in readings.columns:
        return pl.DataFrame(schema={"years": pl.Float64, "value": pl.Float64, "mark": pl.String})
    below, above = style.beyond_limit(readings, column)
    value = readings[column].cast(pl.Float64)
    if below.any() or above.any():
        lower, upper = (readings[f"{column}{end}"].cast(pl.Float64) for end in ("_lower", "_upper"))
        value = pl.select(pl.when(below).then(upper).when(above).then(lower).otherwise(value)).to_series()
    mark = pl.select(pl.when(below).then(pl.lit("v")).when(above).then(pl.lit("^")).otherwise(pl.lit("o"))).to_series()
    marks = pl.DataFrame({"years": readings["years"], "value": value, "mark": mark}).drop_nulls()
    return marks.sort("years", "value", "mark")


def _series(fitted: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut a fitted course where its times leave a gap: within a series they are evenly spaced."""
    step, widest_beside = pl.col("step"), pl.max_horizontal(pl.col("step").shift(1), pl.col("step").shift(-1))
    steps = fitted.with_columns(pl.col("years").diff().alias("step"))
    series = (step > _GAP * widest_beside).fill_null(False).cum_sum().alias("series")
    return steps.with_columns(series).partition_by("series", maintain_order=True)


def _shade(axes: Axes, windows: pl.DataFrame) -> None:
    for window in windows.drop_nulls(["window_start", "window_end"]).sort("window_start").to_dicts():
        axes.axvspan(window["window_start"], window["window_end"], color=style.WINDOW, zorder=-1, linewidth=0)


def _label_axes(upper: Axes, lower: Axes, marker: str, *, first: bool, last: bool) -> None:
    upper.set(xlabel="", ylabel=_LABEL[marker] if first else "")
    lower.set(xlabel="Years since first visit" if last else "", ylabel=_LABEL["glucose"] if first else "")
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)
        axes.yaxis.label.set_fontsize(8)
        axes.xaxis.label.set_fontsize(8.5)
    upper.tick_params(labelbottom=False)
    lower.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if marker == "tg_hdl" and not first:
        upper.text(0.02, 0.96, "TG:HDL", transform=upper.transAxes, va="top", fontsize=7.5, color=style.QUIET_TEXT)
