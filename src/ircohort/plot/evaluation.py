"""What a flag is worth, and what more visits or years would buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, PercentFormatter

from ircohort import frames
from ircohort.plot import style

RULE_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "detect": "ircohort",
        "last_against_first": "last > first by 25 %",
        "ols_slope": "slope test, p < 0.05",
        "reference_change": "reference change value",
        "mann_kendall": "Mann–Kendall, p < 0.05",
        "crossing_1_9": "HOMA-IR crosses 1.9",
    }
)
"""How the rules that flag are called on a figure."""

_GATE_LABELS = {
    "none": "simple rules whatever glucose is",
    "all_readings": "simple rules where all glucose is normal",
    "fitted_glucose": "simple rules where fitted glucose is normal",
}
_SMALL: dict[str, Any] = {"fontsize": 8, "color": style.QUIET_TEXT}
_LEAST_SHOWN = 20  # people in a bin below which its share says nothing
_GATE_SHOWN = "fitted_glucose"


def detection_quality(evaluation: Any, *, gate: str = _GATE_SHOWN) -> Figure:
    """Draw how far stated probabilities can be believed, and what flags of several rules are worth.

    Parameters
    ----------
    evaluation
        An ``Evaluation``: ``calibration``, ``rules`` and ``summary`` are read (pandas or polars).
    gate
        Behind which gate the simple rules are shown.

    Returns
    -------
    matplotlib.figure.Figure
        Left, the observed share of true windows by stated probability, with 95 % intervals; bins of fewer than 20
        people are left out. Right, for each rule that flags, the share of its flags that are right, and the share of
        true windows that it flags. Where nobody is assessable, it says so in words.
    """
    summary = frames.to_polars(evaluation.summary).row(0, named=True)
    if not summary["n_assessable"]:
        return style.message_figure("Nobody could be assessed, so there is nothing to hold against the truth.")
    bins = frames.to_polars(evaluation.calibration).filter(pl.col("n") >= _LEAST_SHOWN)
    rules = _rules_shown(frames.to_polars(evaluation.rules), gate)
    with style.drawing():
        figure = Figure(figsize=(style.WIDTH, max(3.9, 0.4 * rules.height + 1.4)))
        left = figure.add_axes((0.105, 0.235, 0.335, 0.645))
        right = figure.add_axes((0.69, 0.235, 0.275, 0.645))
        _draw_calibration(left, bins, summary["prevalence"])
        _draw_rules(right, rules, summary["prevalence"])
        _title(left, "Stated and observed")
        _title(right, "What a flag is worth", offset=-0.84)
        people = f"{summary['n_assessable']:,} of {summary['n_participants']:,} simulated people assessable"
        figure.text(0.105, 0.015, f"{people}; 95 % intervals; {_GATE_LABELS.get(gate, gate)}", **_SMALL)
    return figure


def _title(axes: Axes, words: str, offset: float = 0.0) -> None:
    axes.text(offset, 1.04, words, transform=axes.transAxes, fontweight="bold", fontsize=10)


def _rules_shown(rules: pl.DataFrame, gate: str) -> pl.DataFrame:
    """Choose the rules that flag, detection first, and say how each is called."""
    detect = (pl.col("rule") == "detect").fill_null(False)
    chosen = rules.filter(pl.col("n_flagged").is_not_null() & (detect | (pl.col("gate") == gate)))
    return chosen.with_columns(
        (
            pl.col("rule").replace_strict(dict(RULE_LABELS), default=pl.col("rule"))
            + pl.when(detect).then(pl.lit(", ") + pl.col("gate")).otherwise(pl.lit(""))
        ).alias("label")
    ).sort(detect, descending=True, maintain_order=True)


def _shares(axes: Axes, which: str, low: float = 0.0, high: float = 1.0) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1.0]))


def _draw_calibration(axes: Axes, bins: pl.DataFrame, prevalence: float) -> None:
    axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(prevalence, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.text(1.0, prevalence + 0.012, _everyone(prevalence), ha="right", va="bottom", **_SMALL)
    x, y = bins["stated"].to_numpy(), bins["observed"].to_numpy()
    axes.vlines(x, bins["observed_low"].to_numpy(), bins["observed_high"].to_numpy(), color=style.CASES, linewidth=1.4)
    dots = frames.to_pandas(bins.select("stated", "observed"))
    sns.scatterplot(data=dots, x="stated", y="observed", color=style.CASES, s=26, linewidth=0, ax=axes, zorder=3)
    for count, across, high in zip(bins["n"], x, bins["observed_high"], strict=True):
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7, "color": style.QUIET_TEXT}
        axes.text(across, high + 0.015, f"{count:,}", **look, bbox={"facecolor": "white", "linewidth": 0, "pad": 0.6})
    if not y.size:
        axes.text(0.5, 0.5, f"no bin of {_LEAST_SHOWN} people", ha="center", **_SMALL)
    _shares(axes, "x", -0.02, 1.02)
    _shares(axes, "y", 0.0, 1.06)
    axes.set_xlabel("Stated probability (number: people)")
    axes.set_ylabel("Share with a true window")


def _everyone(prevalence: float) -> str:
    return f"all: {prevalence:.0%}".replace("%", " %")


def _draw_rules(axes: Axes, rules: pl.DataFrame, prevalence: float) -> None:
    places = range(rules.height)
    kinds = (
        ("ppv", style.CASES, "o", -0.14, "flags that are right"),
        ("sensitivity", style.COMPARISON, "D", 0.14, "true windows flagged"),
    )
    for measure, colour, marker, shift, words in kinds:
        rows = [
            (place + shift, *row)
            for place, row in zip(
                places, rules.select(measure, f"{measure}_low", f"{measure}_high").iter_rows(), strict=True
            )
            if row[0] is not None
        ]
        heights = [row[0] for row in rows]
        axes.hlines(heights, [row[2] for row in rows], [row[3] for row in rows], color=colour, linewidth=1.4)
        look: dict[str, Any] = {"linestyle": "", "marker": marker, "markersize": 4.5, "color": colour, "label": words}
        axes.plot([row[1] for row in rows], heights, **look)
    for place, flagged in zip(places, rules["n_flagged"], strict=True):
        if not flagged:
            axes.text(0.02, place - 0.14, "nobody flagged", va="center", **_SMALL)
    axes.axvline(prevalence, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.text(prevalence, 1.01, _everyone(prevalence), transform=axes.get_xaxis_transform(), ha="center", **_SMALL)
    axes.set_xlabel("Share of flags, or of true windows")
    axes.set_ylim(rules.height - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(list(places)))
    labels = [f"{label}\n{count:,} flagged" for label, count in rules.select("label", "n_flagged").iter_rows()]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda place, _: labels[round(place)]))
    axes.tick_params(axis="y", length=0, labelsize=8)
    _shares(axes, "x")
    axes.legend(
        loc="upper right",
        bbox_to_anchor=(1.06, -0.15),
        ncols=2,
        frameon=False,
        fontsize=8,
        handletextpad=0.1,
        columnspacing=1.2,
    )


_PANELS = (
    ("share_of_all_true_0.8", "True windows flagged", "of all true windows, from 0.8"),
    ("ppv_0.8", "Flags that are right", "of the flagged, from 0.8"),
    ("auc", "Ranking", "area under the curve"),
)
_MARKERS = ("o", "s", "D", "^", "v", "P")


def schedules(table: Any) -> Figure:
    """Draw what more visits, or more years, would buy.

    Parameters
    ----------
    table
        As from ``ircohort.evaluation.schedules`` (pandas or polars).

    Returns
    -------
    matplotlib.figure.Figure
        Three panels by years of follow-up, a line for each number of visits per year: the share of all true windows
        that is flagged, the share of flags that are right, and the area under the curve; with 95 % intervals. Where
        nobody is flagged a share of the flags does not exist, and its dot is missing.
    """
    rows = frames.to_polars(table).sort("visits_per_year", "years")
    if rows.is_empty():
        return style.message_figure("There is no schedule to show.")
    often = rows["visits_per_year"].unique().sort().to_list()
    colours = dict(zip(often, sns.color_palette("viridis", len(often) + 1).as_hex(), strict=False))
    with style.drawing():
        figure = Figure(figsize=(style.WIDTH, 3.4))
        panels = [figure.add_axes((0.075 + 0.325 * j, 0.31, 0.25, 0.53)) for j in range(len(_PANELS))]
        for axes, (measure, title, below) in zip(panels, _PANELS, strict=True):
            _draw_measure(axes, rows, measure, colours)
            axes.text(0.0, 1.13, title, transform=axes.transAxes, fontweight="bold", fontsize=10)
            axes.text(0.0, 1.05, below, transform=axes.transAxes, **_SMALL)
        _explain(figure, panels[0], often)
        figure.text(0.075, 0.03, "95 % intervals", **_SMALL)
    return figure


def _draw_measure(axes: Axes, rows: pl.DataFrame, measure: str, colours: Mapping[float, str]) -> None:
    years = rows["years"].unique().sort().to_list()
    step = min((after - before for before, after in pairwise(years)), default=1.0)
    for j, (often, colour) in enumerate(colours.items()):
        chosen = rows.filter(pl.col("visits_per_year") == often).drop_nulls(measure)
        if chosen.is_empty():
            continue
        shift = (j - (len(colours) - 1) / 2) * step * 0.08  # so that intervals stand side by side
        x = chosen["years"].to_numpy() + shift
        low, high = (chosen[f"{measure}{end}"].to_numpy() for end in ("_low", "_high"))
        axes.vlines(x, low, high, color=colour, linewidth=1.2)
        look: dict[str, Any] = {
            "marker": _MARKERS[j % len(_MARKERS)],
            "markersize": 4.5,
            "linewidth": 1.4,
            "label": _visits(often),
        }
        axes.plot(x, chosen[measure].to_numpy(), color=colour, **look)
    if measure == "auc":
        least = [low for low in rows["auc_low"].to_list() if low is not None]
        axes.set_ylim(min([0.5, *least]), 1.01)
        axes.yaxis.set_major_locator(FixedLocator([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]))
    else:
        _shares(axes, "y", high=1.02)
    axes.set_xlim(min(years) - 0.35 * step, max(years) + 0.35 * step)
    axes.xaxis.set_major_locator(FixedLocator(years))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda year, _: f"{year:g}"))
    axes.set_xlabel("Years of follow-up")


def _visits(often: float) -> str:
    if often >= 1:
        return "yearly" if often == 1 else f"{often:g} a year"
    return f"every {1 / often:g} years"


def _explain(figure: Figure, axes: Axes, often: Sequence[float]) -> None:
    """Set one legend below all panels, with every schedule, drawn or not."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        ncols=min(6, len(often)),
        frameon=False,
        fontsize=8.5,
        title="Planned visits",
        title_fontsize=8.5,
        bbox_to_anchor=(0.5, 0.015),
    )
