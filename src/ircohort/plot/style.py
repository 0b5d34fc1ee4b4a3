"""How every figure looks: letters, colours, ticks, and the words for numbers on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import matplotlib.style
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ircohort import glycaemia

WIDTH = 7.5
"""Inches: 1,200 pixels in the PNG, and a full column of A4."""

CASES, COMPARISON = "#C04A12", "#1F5F99"
"""Vermilion and blue, told apart in every kind of colour vision; the line styles do it in grey."""

WINDOW, NORMAL, INK, FAINT = "#FBE7B5", "#E3F0E6", "#222222", "#8A8A8A"
QUIET_TEXT, CUT_OFF = "#555555", "#4C7F5C"

MARKER_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "homa_ir": "HOMA-IR",
        "tg_hdl_mg": "TG:HDL (mg/mg)",
        "tyg": "TyG",
        "quicki": "QUICKI",
        "homa_b_pct": "HOMA-%B (%)",
        "spise": "SPISE",
        "mets_ir": "METS-IR",
        "mcauley": "McAuley (mg/kg/min)",
    }
)
LOG_MARKERS = frozenset({"homa_ir", "tg_hdl_mg", "homa_b_pct"})
"""Markers that spread by factors: their axis is logarithmic."""

_OWN: Mapping[str, object] = MappingProxyType(
    {
        "font.family": ["DejaVu Sans"],  # comes with matplotlib, so every machine draws the same letters
        "font.size": 9.5,
        "axes.labelsize": 9.5,
        "axes.titlesize": 9.5,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "axes.edgecolor": "#777777",
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": "#777777",
        "ytick.color": "#777777",
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "xtick.major.size": 3.5,
        "ytick.major.size": 3.5,
        "svg.fonttype": "path",
        "svg.hashsalt": "ircohort",
        "path.simplify": True,
    }
)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with the style of the project from matplotlib's own defaults; the caller's settings come back after."""
    look = {**sns.axes_style("ticks"), **sns.plotting_context("paper"), **_OWN}
    with matplotlib.style.context(["default", look]):
        yield


def message_figure(message: str) -> Figure:
    """Give a figure that says in words why there is no picture."""
    with drawing():
        figure = Figure(figsize=(WIDTH, 2.2))
        figure.text(0.5, 0.5, message, ha="center", va="center", fontsize=10.5, color=QUIET_TEXT, wrap=True)
    return figure


def number(value: float, digits: int = 1) -> str:
    """Write a number for a label, with a true minus sign.

    Examples
    --------
    >>> number(-8.04), number(2.0, 0)
    ('−8.0', '2')
    """
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None) -> str:
    """Write an interval for a label; an end that is not known is left open; nothing is written where both are unknown.

    Examples
    --------
    >>> interval(4.31, 7.08), interval(4.31, None), interval(None, None)
    ('4.3–7.1', '4.3 or more', '')
    """
    bottom, top = finite(low), finite(high)
    if bottom is not None and top is not None:
        return f"{number(bottom)}–{number(top)}"
    if bottom is not None:
        return f"{number(bottom)} or more"
    return f"{number(top)} or less" if top is not None else ""


def glucose_cut_off(settings: Any) -> float:
    """Give the glucose (mg/dL) from which a record's settings say that it is not normal; by default the ADA's.

    Examples
    --------
    >>> glucose_cut_off(None)
    100.0
    """
    return float(getattr(settings, "glucose_cut_off_mg_dl", glycaemia.cut_off("ada_glucose_prediabetes")))


def beyond_limit(rows: pl.DataFrame, column: str) -> tuple[pl.Series, pl.Series]:
    """Say which rows hold less than a limit of detection, and which hold more, by the bounds beside a column.

    Equal bounds are a value, and a lower bound of nothing is none.
    """
    bounds = [f"{column}_lower", f"{column}_upper"]
    if not set(bounds) <= set(rows.columns):
        neither = pl.repeat(False, rows.height, eager=True)
        return neither, neither
    lower, upper = (pl.col(name).cast(pl.Float64).fill_nan(None) for name in bounds)
    below = (upper.is_finite() & lower.ne_missing(upper)).fill_null(False)
    above = ((lower > 0) & ~upper.is_finite().fill_null(False)).fill_null(False)
    said = rows.select(below=below, above=above)
    return said["below"], said["above"]


def finite(value: float | None) -> float | None:
    """Give a number, or None for null, NaN and infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def plain_log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Make an axis logarithmic from ``low`` to ``high``, with ticks that read as plain numbers."""
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def log_ticks(low: float, high: float) -> list[float]:
    """Choose round numbers for a logarithmic axis: the coarsest set that leaves three or more.

    An axis too short for any of these has the ticks of a linear one.

    Examples
    --------
    >>> log_ticks(0.4, 12), log_ticks(1.2, 3.1)
    ([0.5, 1.0, 2.0, 5.0, 10.0], [1.5, 2.0, 2.5, 3.0])
    >>> log_ticks(50.5, 60.2)
    [52.0, 54.0, 56.0, 58.0, 60.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks
    linear = [float(f"{tick:.9g}") for tick in MaxNLocator(5).tick_values(low, high)]
    return [tick for tick in linear if low <= tick <= high]


def padded(values: Iterable[float | None], *, log: bool = False, share: float = 0.06) -> tuple[float, float]:
    """Give the limits of an axis that holds all known values with a margin; (0.5, 2) if there is none.

    Examples
    --------
    >>> padded([90.0, None, 110.0], share=0.1)
    (88.0, 112.0)
    """
    known = [number for number in map(finite, values) if number is not None and (not log or number > 0)]
    if not known:
        return 0.5, 2.0
    low, high = min(known), max(known)
    if log:
        margin = (high / low) ** share if high > low else 1.2
        return low / margin, high * margin
    reach = share * (high - low) if high > low else max(abs(high) * share, 1.0)
    return low - reach, high + reach
