"""What became of people after a landmark, by what was said of them up to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ircohort import frames
from ircohort.plot import style

_EVENT = {"prediabetes": "prediabetes or diabetes", "diabetes": "diabetes"}


class _Look:
    """How a group is drawn, and what it is called."""

    def __init__(self, words: str, colour: str, line: Any) -> None:
        self.words, self.colour, self.line = words, colour, line


_LOOKS: Mapping[str, _Look] = MappingProxyType(
    {
        "hidden_window": _Look("hidden window", style.CASES, "-"),
        "possible": _Look("possible", "#8C6BB1", (0, (5, 1.5))),
        "not_shown": _Look("not shown", style.COMPARISON, "-"),
        "not_assessable": _Look("not assessable", style.FAINT, (0, (1.5, 1.5))),
    }
)
_LINE_INCHES = 0.2
_FEWEST_DRAWN = 5  # people; the curve of fewer shows single persons, and nothing of the group


def after_landmark(landmark: Any) -> Figure:
    """Draw the share still free of the event by verdict, with bands, and below it how many are known to be.

    Parameters
    ----------
    landmark
        A ``Landmark``: ``curves``, ``groups``, ``at_risk``, ``at`` and ``settings`` are read (pandas or polars).

    Returns
    -------
    matplotlib.figure.Figure
        A figure of its own; where nobody was followed, it says so in words. Groups of fewer than five people are
        counted, not drawn.
    """
    curves, groups = frames.to_polars(landmark.curves), frames.to_polars(landmark.groups).filter(pl.col("n") > 0)
    if groups.is_empty():
        return style.message_figure("Nobody was free of the event at the landmark and seen afterwards.")
    names = groups["group"].to_list()
    curves = curves.join(groups.filter(pl.col("n") >= _FEWEST_DRAWN), on="group", how="semi")
    with style.drawing():
        below = _LINE_INCHES * (len(names) + 1) + 0.72
        height = 3.1 + below + _LINE_INCHES * len(names)
        figure = Figure(figsize=(style.WIDTH, height))
        axes = figure.add_axes((0.215, below / height, 0.765, 3.0 / height))
        for name in names:
            _draw_curve(axes, curves.filter(pl.col("group") == name), _LOOKS[name], _label(groups, name))
        _finish(axes, curves, landmark)
        _write_numbers(axes, frames.to_polars(landmark.at_risk), names)
    return figure


def _label(groups: pl.DataFrame, name: str) -> str:
    row = groups.row(by_predicate=pl.col("group") == name, named=True)
    events = "event" if row["n_events"] == 1 else "events"
    people = "person" if row["n"] == 1 else "people"
    few = "; too few to draw" if row["n"] < _FEWEST_DRAWN else ""
    return f"{_LOOKS[name].words} ({row['n']} {people}, {row['n_events']} {events}{few})"


def _draw_curve(axes: Axes, curve: pl.DataFrame, look: _Look, label: str) -> None:
    curve = curve.drop_nulls(["event_free"]).sort("years")
    years = curve["years"].to_numpy()
    low, high = (curve[name].to_numpy() for name in ("low", "high"))
    axes.fill_between(years, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=2)
    axes.plot(years, curve["event_free"].to_numpy(), color=look.colour, linestyle=look.line, linewidth=1.7, label=label)


def _finish(axes: Axes, curves: pl.DataFrame, landmark: Any) -> None:
    lowest = style.finite(curves["low"].min()) or 0.0  # type: ignore[arg-type]
    axes.set_ylim(0.0 if lowest < 0.5 else 0.5, 1.02)
    axes.set_xlim(0.0, max(float(curves["years"].max() or 1.0), 1.0))  # type: ignore[arg-type]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
    axes.set_ylabel(f"Free of confirmed\n{_EVENT[landmark.settings.event]}")
    axes.set_xlabel(f"Years after the landmark ({landmark.at:g} years after the first visit)")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.015, 1.0), borderaxespad=0.0, frameon=False, fontsize=8.5)


def _write_numbers(axes: Axes, at_risk: pl.DataFrame, names: list[str]) -> None:
    """Write under the axis, at each of its ticks, how many are known to be free of the event."""
    last = axes.get_xlim()[1]
    ticks = [int(tick) for tick in axes.get_xticks() if 0 <= tick <= last]
    top = -0.2
    line = _LINE_INCHES / 3.0
    left = -0.035
    axes.text(left, top, "known free", transform=axes.transAxes, ha="right", fontsize=8, color=style.QUIET_TEXT)
    for place, name in enumerate(names, start=1):
        look, height = _LOOKS[name], top - line * place
        axes.text(left, height, look.words, transform=axes.transAxes, ha="right", fontsize=8, color=look.colour)
        known = dict(at_risk.filter(pl.col("group") == name).select("years", "n").iter_rows())
        for tick in ticks:
            axes.text(
                tick, height, str(known.get(tick, 0)), transform=axes.get_xaxis_transform(), ha="center", fontsize=8
            )
