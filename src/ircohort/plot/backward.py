"""The hidden window of a cohort, on time that runs backward from the event."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ircohort import frames
from ircohort.plot import style

_GLUCOSE = "glucose_mg_dl"
_GROUPS = ("cases", "comparison")
_COLOURS = {"cases": style.CASES, "comparison": style.COMPARISON}
_LIGHT: dict[str, Any] = {"fontsize": 8.5, "color": style.QUIET_TEXT}


@dataclass(frozen=True)
class _Span:
    """Where the window is drawn: years to the event, and the words for its length."""

    start: float
    end: float
    words: str


def hidden_window(trajectory: Any) -> Figure:
    """Draw the hidden window: insulin marker and glucose by years before the event.

    Two panels share the axis of time. Cases are drawn solid, the comparison group dashed, each with its 95 %
    interval; the normal range of fasting glucose is green, the hidden window yellow across both panels. The dot on
    the bar is the onset of the marker with its interval. Below stand the people who have a visit in that year.

    Parameters
    ----------
    trajectory
        A ``Trajectory``: ``curves``, ``onset`` and ``people_by_year`` are read (pandas or polars), and ``counts``.
        HOMA-IR is drawn, or TG:HDL where HOMA-IR was not fitted.

    Returns
    -------
    matplotlib.figure.Figure
        A figure of its own; where neither marker was fitted, it says so in words.
    """
    curves = frames.to_polars(trajectory.curves).filter(pl.col("group").is_in(_GROUPS))
    fitted = set(curves.drop_nulls("fitted")["outcome"].to_list())
    marker = next((name for name in ("homa_ir", "tg_hdl_mg") if name in fitted), None)
    if marker is None:
        return style.message_figure("No insulin marker could be modelled, so there is no hidden window to show.")
    curves = curves.filter(pl.col("outcome").is_in([marker, _GLUCOSE])).sort("outcome", "group", "years_to_event")
    onset = _row(frames.to_polars(trajectory.onset), marker)
    span = _span(onset, curves["years_to_event"].min(), curves["years_to_event"].max())
    event = trajectory.settings.event
    names = {"cases": f"Later {event}", "comparison": f"No {event}"}
    with style.drawing():
        figure = Figure(figsize=(style.WIDTH, 6.2))
        upper = figure.add_axes((0.105, 0.545, 0.715, 0.365))
        lower = figure.add_axes((0.105, 0.205, 0.715, 0.315), sharex=upper)
        counts = figure.add_axes((0.105, 0.02, 0.715, 0.085), sharex=upper)
        _draw_marker(upper, curves.filter(pl.col("outcome") == marker), marker)
        cut_off = style.glucose_cut_off(trajectory.settings)
        _draw_glucose(lower, curves.filter(pl.col("outcome") == _GLUCOSE), cut_off)
        _label_groups(upper, curves.filter(pl.col("outcome") == marker), dict(trajectory.counts), names)
        _finish_time_axis(upper, lower, curves, trajectory.settings)
        _draw_onset(upper, onset)
        _draw_span(upper, lower, span)
        _write_counts(counts, frames.to_polars(trajectory.people_by_year), _years_shown(curves), names)
    return figure


def _row(onset: pl.DataFrame, marker: str) -> dict[str, Any]:
    rows = onset.filter(pl.col("outcome") == marker).to_dicts()
    return rows[0] if rows else {}


def _span(onset: dict[str, Any], first: Any, last: Any) -> _Span | None:
    """Place the window: from the onset, or from the first supported year, for as long as it is known to last."""
    status = onset.get("hidden_window_status") or "none"
    if status == "none":
        return None
    dated = style.finite(onset.get("onset_years")) if onset.get("onset_status") == "dated" else None
    start = float(first) if dated is None else dated
    length = style.finite(onset.get("hidden_window_years"))
    end = float(last) if length is None or status == "open_at_event" else min(start + length, float(last))
    words = "" if length is None else f"{'at least ' if status == 'at_least' else ''}{style.number(length)} years"
    between = style.interval(onset.get("hidden_window_low"), onset.get("hidden_window_high"))
    tail = ", still open at year 0" if status == "open_at_event" else ""
    return _Span(start, end, f"Hidden window: {words}{f' (95 % interval {between})' if between else ''}{tail}")


def _draw_curves(axes: Axes, curves: pl.DataFrame) -> None:
    for group in _GROUPS:
        rows = curves.filter(pl.col("group") == group)
        low, high = (rows[name].cast(pl.Float64).to_numpy() for name in ("fitted_low", "fitted_high"))
        axes.fill_between(rows["years_to_event"].to_numpy(), low, high, color=_COLOURS[group], alpha=0.18, linewidth=0)
    sns.lineplot(
        data=frames.to_pandas(curves.drop_nulls("fitted")),
        x="years_to_event",
        y="fitted",
        hue="group",
        hue_order=_GROUPS,
        palette=_COLOURS,
        style="group",
        style_order=_GROUPS,
        dashes={"cases": "", "comparison": (4, 2)},
        linewidth=2,
        estimator=None,
        errorbar=None,
        legend=False,
        ax=axes,
    )
    axes.set_xlabel("")


def _draw_marker(axes: Axes, curves: pl.DataFrame, marker: str) -> None:
    _draw_curves(axes, curves)
    low, high = style.padded(_heights(curves), log=True)
    room_for_onset = (high / low) ** 0.25
    style.plain_log_axis(axes, "y", low / room_for_onset, high)
    axes.set_ylabel(style.MARKER_LABELS[marker])


def _draw_glucose(axes: Axes, curves: pl.DataFrame, cut_off: float) -> None:
    axes.set_ylabel("Fasting glucose (mg/dL)")
    if curves.drop_nulls("fitted").is_empty():
        axes.text(0.5, 0.5, "glucose could not be modelled", transform=axes.transAxes, ha="center", **_LIGHT)
        axes.yaxis.set_major_locator(NullLocator())
        return
    _draw_curves(axes, curves)
    axes.set_ylabel("Fasting glucose (mg/dL)")
    bottom, top = style.padded([*_heights(curves), cut_off], share=0.08)
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    axes.axhspan(bottom, cut_off, color=style.NORMAL, zorder=-3, linewidth=0)
    axes.axhline(cut_off, color=style.CUT_OFF, linewidth=0.9, zorder=-1)
    axes.text(
        1.02,
        cut_off,
        f"{cut_off:g} mg/dL:\nnormal below",
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=8.5,
        color="#33633F",
    )


def _heights(curves: pl.DataFrame) -> list[float | None]:
    return [value for name in ("fitted", "fitted_low", "fitted_high") for value in curves[name].to_list()]


def _label_groups(axes: Axes, curves: pl.DataFrame, counts: dict[str, int], names: dict[str, str]) -> None:
    """Write each group's name at the end of its line, moved apart where two lines end close together."""
    ends = curves.drop_nulls("fitted").group_by("group", maintain_order=True).agg(pl.col("fitted").last())
    heights = {row["group"]: _share_of_axis(axes, row["fitted"]) for row in ends.to_dicts()}
    if len(heights) == 2:
        gap, least = heights["cases"] - heights["comparison"], 0.2
        push = max(least - abs(gap), 0) / 2 * (1 if gap >= 0 else -1)
        heights = {"cases": heights["cases"] + push, "comparison": heights["comparison"] - push}
    for group, height in heights.items():
        people = counts.get(group)
        words = names[group] if people is None else f"{names[group]}\n{people:,} people"
        axes.text(1.02, height, words, transform=axes.transAxes, va="center", fontsize=9, color=_COLOURS[group])


def _share_of_axis(axes: Axes, value: float) -> float:
    display = axes.transData.transform((0.0, value))
    return float(axes.transAxes.inverted().transform(display)[1])


def _draw_onset(axes: Axes, onset: dict[str, Any]) -> None:
    """Mark the onset below the curves: a dot with its interval, or the words that it lies before all that is seen."""
    across, height, status = axes.get_xaxis_transform(), 0.07, onset.get("onset_status")
    where = style.finite(onset.get("onset_years"))
    if status == "before_support":
        words = "raised from the earliest year shown, or before"
        axes.text(0.02, height, words, transform=axes.transAxes, va="center", fontsize=8.5)
    if where is None or status != "dated":
        return
    low, high = (style.finite(onset.get(f"onset_{side}")) for side in ("low", "high"))
    left, right = where, where
    if onset.get("n_refits"):  # an end that is not known lies beyond the edge of the data
        edges = axes.get_xlim()
        left, right = edges[0] if low is None else low, edges[1] if high is None else high
        axes.plot([left, right], [height, height], transform=across, color=style.INK, linewidth=1.4)
    axes.plot([where], [height], transform=across, color=style.INK, marker="o", markersize=5)
    between = style.interval(None if high is None else -high, None if low is None else -low)
    if onset.get("n_refits"):
        between = between or "interval beyond the data"
    words = f"raised from {style.number(-where)} years before{f' ({between})' if between else ''}"
    middle = min(max(_share_of_width(axes, where), 0.32), 0.68)  # the words stay inside, whatever the onset
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}
    axes.text(middle, height + 0.075, words, transform=axes.transAxes, ha="center", va="center", fontsize=8.5, bbox=box)


def _share_of_width(axes: Axes, years: float) -> float:
    left, right = axes.get_xlim()
    return (years - left) / (right - left)


def _draw_span(upper: Axes, lower: Axes, span: _Span | None) -> None:
    if span is None:
        words = "No hidden window could be dated"
        upper.text(0.5, 1.085, words, transform=upper.transAxes, ha="center", fontsize=10, fontweight="bold")
        return
    for axes, alpha in ((upper, 0.75), (lower, 0.55)):  # thinner where the green of the normal range shows through
        axes.axvspan(span.start, span.end, color=style.WINDOW, zorder=-2, linewidth=0, alpha=alpha)
        for end in (span.start, span.end):  # the edges hold where the colour is lost, in grey print
            axes.axvline(end, color=style.INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    across = upper.get_xaxis_transform()
    arrow = {"arrowstyle": "<|-|>", "color": style.INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    ends = (span.start, 1.045), (span.end, 1.045)
    upper.annotate("", *ends, xycoords=across, textcoords=across, arrowprops=arrow, annotation_clip=False)
    _write_span(upper, span)


def _write_span(axes: Axes, span: _Span) -> None:
    """Write the length over the window, moved inwards where the words would leave the figure."""
    points = TextPath((0, 0), span.words, prop=FontProperties(weight="bold", size=10)).get_extents().width
    half = points / 72 / (axes.get_position().width * style.WIDTH) / 2
    middle = _share_of_width(axes, (span.start + span.end) / 2)
    middle = min(max(middle, half - 0.13), 1.24 - half)
    axes.text(middle, 1.085, span.words, transform=axes.transAxes, ha="center", fontsize=10, fontweight="bold")


def _years_shown(curves: pl.DataFrame) -> list[int]:
    """Whole years for the ticks and the counts: each, or every second one where there are more than nine."""
    years = curves["years_to_event"].cast(pl.Float64).to_numpy()
    first, last = math.ceil(years.min() - 1e-9), math.floor(years.max() + 1e-9)
    return [year for year in range(first, last + 1) if last - first <= 8 or year % 2 == 0]


def _finish_time_axis(upper: Axes, axes: Axes, curves: pl.DataFrame, settings: Any) -> None:
    upper.tick_params(axis="x", labelbottom=False)
    axes.set_xlim(*style.padded(curves["years_to_event"].to_list(), share=0.025))
    axes.xaxis.set_major_locator(FixedLocator(_years_shown(curves)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda year, _: style.number(abs(year), 0)))
    words = f"Years before {settings.event_label} (comparison group: before {settings.anchor_label})"
    axes.set_xlabel(words, visible=True)


def _write_counts(axes: Axes, people: pl.DataFrame, years: list[int], names: dict[str, str]) -> None:
    """Write how many people have a visit in each year shown, as survival curves have it."""
    axes.set_ylim(0, 1)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.patch.set_visible(False)
    axes.text(-0.03, 0.5, "People\nwith a\nvisit", transform=axes.transAxes, ha="right", va="center", **_LIGHT)
    for group, height in zip(_GROUPS, (0.78, 0.22), strict=True):
        seen = people.filter(pl.col("group") == group)
        known = dict(zip(seen["years_to_event"].to_list(), seen["n_participants"].to_list(), strict=True))
        for year in years:
            words = f"{known.get(year) or 0:,}"
            axes.text(year, height, words, ha="center", va="center", fontsize=8.5, color=_COLOURS[group])
        whom: dict[str, Any] = {"transform": axes.transAxes, "va": "center", "fontsize": 8.5, "color": _COLOURS[group]}
        axes.text(1.02, height, names[group].lower(), **whom)
