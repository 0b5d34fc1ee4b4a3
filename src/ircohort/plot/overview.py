"""The cohort at a glance: HOMA-IR against glucose, and how the markers are distributed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ircohort import frames, glycaemia
from ircohort.plot import style
from ircohort.plot.individuals import flagged

_MOST_DOTS = 4000
"""Beyond this many visits dots hide each other, and hexagons coloured by count take their place."""
_MOST_PATHS = 30
_HIGHEST_GLUCOSE = 150.0
"""mg/dL: visits beyond are in established diabetes, far from any hidden window; the caption counts them."""
_NAMED_LINES = {
    "homa_ir": ("homa_ir_optimal", "homa_ir_early", "homa_ir_marked"),
    "tg_hdl_mg": ("tg_hdl_good", "tg_hdl_raised", "tg_hdl_marked"),
    "glucose_mg_dl": ("ada_glucose_prediabetes", "ada_glucose_diabetes"),
}
_LINE_SHARE, _LINE_INCHES = 0.025, 0.125
_AT_LIMIT = "drawn as half the limit, or above a limit as the limit"
_NOTE: dict[str, Any] = {"fontsize": 8, "color": style.QUIET_TEXT}


def plane(visits: Any, detection: Any = None) -> Figure:
    """Draw HOMA-IR against fasting glucose at every visit, and the fitted paths of flagged people.

    Parameters
    ----------
    visits
        VISITS with ``homa_ir`` and ``glucose_mg_dl`` (pandas or polars).
    detection
        A ``Detection``; where it is given, an arrow leads each flagged person (30 at most, the most probable) from
        the first to the last fitted insulin and glucose.

    Returns
    -------
    matplotlib.figure.Figure
        A figure of its own; without any visit that has both values, it says so in words.
    """
    table = frames.to_polars(visits)
    if not {"homa_ir", "glucose_mg_dl"} <= set(table.columns):
        return style.message_figure("No visit has both HOMA-IR and glucose.")
    at_limit = pl.any_horizontal(*style.beyond_limit(table, "homa_ir")).alias("at_limit")
    points = table.select("participant_id", "homa_ir", "glucose_mg_dl", at_limit)
    points = points.drop_nulls().filter(pl.col("homa_ir") > 0)
    points = points.sort("participant_id", "glucose_mg_dl", "homa_ir")
    if points.is_empty():
        return style.message_figure("No visit has both HOMA-IR and glucose.")
    paths, n_flagged = ([], 0) if detection is None else _paths(detection)
    with style.drawing():
        figure = Figure(figsize=(style.WIDTH, 5.2))
        x_limits, y_limits = _frame_of(points, paths)
        words = _plane_caption(points, x_limits, y_limits, len(paths), n_flagged)
        bottom = 0.11 + _LINE_SHARE * (words.count("\n") + 1)
        axes = figure.add_axes((0.09, bottom, 0.71, 0.93 - bottom))
        _draw_visits(axes, points, x_limits, y_limits)
        axes.set_xlim(*x_limits)
        style.plain_log_axis(axes, "y", *y_limits)
        _draw_limits(axes)
        for path in paths:
            _draw_path(axes, path)
        axes.set(xlabel="Fasting glucose (mg/dL)", ylabel="HOMA-IR")
        figure.text(0.09, 0.02, words, va="bottom", **_NOTE)
    return figure


def _paths(detection: Any) -> tuple[list[Any], int]:
    """Give (k, 2) arrays of fitted glucose and HOMA-IR for flagged people, most probable first, and their number."""
    people = flagged(frames.to_polars(detection.participants))
    order = people.sort("probability", "person", descending=[True, False], nulls_last=True)["participant_id"].to_list()
    curves = frames.to_polars(detection.curves).select("participant_id", "marker", "years", "fitted")
    halves = [curves.filter(pl.col("marker") == name).drop("marker") for name in ("insulin", "glucose")]
    joined = halves[0].join(halves[1], on=["participant_id", "years"], suffix="_glucose").drop_nulls()
    joined = joined.with_columns((pl.col("fitted") * pl.col("fitted_glucose") / 405).alias("homa_ir"))
    by_person = joined.sort("participant_id", "years").partition_by("participant_id", as_dict=True)
    found = [by_person[(key,)].select("fitted_glucose", "homa_ir").to_numpy() for key in order if (key,) in by_person]
    return [path for path in found if len(path) > 1][:_MOST_PATHS], len(order)


def _frame_of(points: pl.DataFrame, paths: list[Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Frame all paths, the cut-offs and nearly all visits: a few far values must not squash the rest."""

    def reach(column: str, place: int, most: float) -> list[float]:
        ends = [points[column].quantile(share, "nearest") for share in (0.002, 0.998)]
        ends = [min(end, most) for end in ends if end is not None]
        return [*ends, *(end for path in paths for end in (path[:, place].min(), path[:, place].max()))]

    glucose = style.padded(
        [*reach("glucose_mg_dl", 0, _HIGHEST_GLUCOSE), glycaemia.cut_off("ada_glucose_diabetes")], share=0.03
    )
    return glucose, style.padded([*reach("homa_ir", 1, math.inf), 1.0, 2.9], log=True, share=0.04)


def _draw_visits(axes: Axes, points: pl.DataFrame, x: tuple[float, float], y: tuple[float, float]) -> None:
    if points.height > _MOST_DOTS:
        axes.hexbin(
            points["glucose_mg_dl"].to_numpy(),
            points["homa_ir"].to_numpy(),
            yscale="log",
            gridsize=max(10, round((x[1] - x[0]) / 2)),  # two mg/dL wide: whole numbers fall evenly into them
            mincnt=1,
            bins="log",
            cmap=sns.light_palette("#5F6B76", as_cmap=True),
            extent=(*x, math.log10(y[0]), math.log10(y[1])),
            linewidths=0,
        )
        return
    sns.scatterplot(
        data=frames.to_pandas(points),
        x="glucose_mg_dl",
        y="homa_ir",
        color="#7C8894",
        alpha=0.35,
        s=9,
        linewidth=0,
        ax=axes,
        rasterized=True,
    )


def _draw_limits(axes: Axes) -> None:
    right, top = axes.get_yaxis_transform(), axes.get_xaxis_transform()
    line: dict[str, Any] = {"color": style.FAINT, "linewidth": 0.7, "zorder": 1}
    for name in _NAMED_LINES["homa_ir"]:
        limit = glycaemia.CUT_OFFS[name]
        axes.axhline(float(limit.value), **line)
        words = textwrap.fill(f"{limit.value} {limit.meaning}", 20)
        axes.text(1.015, float(limit.value), words, transform=right, va="center", **_NOTE)
    for name in _NAMED_LINES["glucose_mg_dl"]:
        limit = glycaemia.CUT_OFFS[name]
        axes.axvline(float(limit.value), **line)
        axes.text(float(limit.value), 1.015, f"{limit.value} {limit.meaning}", transform=top, ha="center", **_NOTE)


def _draw_path(axes: Axes, path: Any) -> None:
    axes.plot(path[:, 0], path[:, 1], color=style.CASES, linewidth=1.1, alpha=0.85, zorder=3)
    axes.annotate(
        "",
        path[-1],
        path[-2],
        zorder=3,
        arrowprops={"arrowstyle": "-|>", "color": style.CASES, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0},
    )


def _plane_caption(
    points: pl.DataFrame, x_limits: tuple[float, float], y_limits: tuple[float, float], n_paths: int, n_flagged: int
) -> str:
    inside = pl.col("glucose_mg_dl").is_between(*x_limits) & pl.col("homa_ir").is_between(*y_limits)
    outside = points.height - points.filter(inside).height
    kind = "Hexagons" if points.height > _MOST_DOTS else "Dots"
    words = f"{kind}: {_people_and_visits(points)}"
    words += f", {outside:,} of them outside the frame." if outside else "."
    words += _at_limits(int(points["at_limit"].sum()))
    if n_paths:
        words += f" Arrows: fitted paths of {n_paths:,} of {n_flagged:,} flagged people, first visit to last."
    return textwrap.fill(words, 105)


def _people_and_visits(rows: pl.DataFrame) -> str:
    people = rows["participant_id"].n_unique()
    return f"{_counted(people, 'person', 'people')}, {_counted(rows.height, 'visit', 'visits')}"


def _at_limits(visits: int) -> str:
    """Say where values stand that were beyond a limit of detection; nothing where none was."""
    words = f" At {_counted(visits, 'visit', 'visits')} a reading lies beyond a limit of detection: {_AT_LIMIT}."
    return words if visits else ""


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def distributions(visits: Any) -> Figure:
    """Draw how each marker is distributed over people, at each person's first visit that has it.

    Parameters
    ----------
    visits
        VISITS with any of the markers (pandas or polars); a marker without a value is left out.

    Returns
    -------
    matplotlib.figure.Figure
        A figure of its own: one panel a marker, with the cut-offs that exist as lines, and the number of people
        (each counted once) and of all their visits with the marker. Without any marker, it says so in words.
    """
    table = frames.to_polars(visits)
    found = {
        name: table.select("participant_id", "years", pl.col(name).cast(pl.Float64)).drop_nulls(name)
        for name in style.MARKER_LABELS
        if name in table.columns
    }
    found = {name: rows for name, rows in found.items() if not rows.is_empty()}
    if not found:
        return style.message_figure("No visit has a marker.")
    across = min(3, len(found))
    down = math.ceil(len(found) / across)
    with style.drawing():
        beyond = any((table[name].is_not_null() & (below | above)).any() for name, below, above in _limits_of(table))
        words = _named_lines(found, beyond=beyond)
        below_panels = 0.5 + _LINE_INCHES * (words.count("\n") + 1)
        height = 1.95 * down - 0.15 + below_panels
        figure = Figure(figsize=(style.WIDTH, height))
        panels = figure.subplots(down, across, squeeze=False)
        figure.subplots_adjust(
            left=0.085, right=0.985, top=1 - 0.42 / height, bottom=below_panels / height, hspace=0.72, wspace=0.22
        )
        for axes, (name, rows) in zip(panels.flat, found.items(), strict=False):
            _draw_distribution(axes, name, rows)
        for axes in panels.flat[len(found) :]:
            axes.set_visible(False)
        for axes in panels[:, 0]:
            axes.set_ylabel("People")
        figure.text(0.085, 0.1 / height, words, va="bottom", fontsize=7.5, color=style.QUIET_TEXT)
    return figure


def _draw_distribution(axes: Axes, name: str, rows: pl.DataFrame) -> None:
    first = rows.sort("participant_id", "years", name, nulls_last=True).unique("participant_id", keep="first")
    values = first.sort("participant_id")[name]
    log = name in style.LOG_MARKERS and float(values.min()) > 0  # type: ignore[arg-type]
    sns.histplot(
        x=values.to_numpy(),
        bins=_edges(values.to_numpy(), log=log),
        color="#6C8EAD",
        edgecolor="white",
        linewidth=0.4,
        alpha=1,
        ax=axes,
    )
    if log:
        style.plain_log_axis(axes, "x", *style.padded(values.to_list(), log=True, share=0.05))
    axes.set(xlabel="", ylabel="")
    axes.tick_params(labelsize=8)
    axes.set_title(style.MARKER_LABELS[name], loc="left", pad=13, fontweight="bold")
    axes.text(0, 1.03, _people_and_visits(rows), transform=axes.transAxes, fontsize=7.5, color=style.QUIET_TEXT)
    left, right = axes.get_xlim()
    for place, key in enumerate(_NAMED_LINES.get(name, ())):
        limit = float(glycaemia.CUT_OFFS[key].value)
        if left < limit < right:
            axes.add_line(
                Line2D(
                    [limit, limit],
                    [0, 1],
                    transform=axes.get_xaxis_transform(),
                    color=style.CASES,
                    linewidth=1,
                    linestyle=("-", "--", ":")[place],
                )
            )


def _edges(values: Any, *, log: bool) -> Any:
    """Give the edges of 12 to 30 bins of equal width on the axis that is drawn."""
    low, high = style.padded(values.tolist(), log=log, share=0.0)
    count = int(np.clip(round(2 * len(values) ** (1 / 3)), 12, 30))
    return np.geomspace(low, high, count + 1) if log else np.linspace(low, high, count + 1)


def _limits_of(table: pl.DataFrame) -> Iterator[tuple[str, pl.Series, pl.Series]]:
    """Give each measurement that is there, and which of its readings lie below and above a limit of detection."""
    for name in ("glucose_mg_dl", "insulin_uiu_ml", "triglycerides_mg_dl", "hdl_mg_dl", "c_peptide_ng_ml"):
        if name in table.columns:
            yield name, *style.beyond_limit(table, name)


def _named_lines(found: dict[str, pl.DataFrame], *, beyond: bool) -> str:
    """Name the lines below the panels: between the bars there is no room for words."""
    lines = [
        "Each person counts once, at the first visit with the marker. Lines are bands of literature, not diagnoses."
    ]
    for name in found:
        rows = [glycaemia.CUT_OFFS[key] for key in _NAMED_LINES.get(name, ())]
        if rows:
            stated = ", ".join(f"{row.value} {row.meaning}" for row in rows)
            lines.append(f"{style.MARKER_LABELS[name]}: {stated} (solid, dashed, dotted).")
    if beyond:
        lines.append(f"Readings beyond a limit of detection are {_AT_LIMIT}.")
    return "\n".join(lines)
