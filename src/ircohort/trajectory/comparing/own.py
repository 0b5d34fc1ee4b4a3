"""The cohort's own number for a published one, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

from ircohort.errors import ModelError
from ircohort.frames import to_polars
from ircohort.trajectory.alignment import GROUPS
from ircohort.trajectory.record import OUTCOMES
from ircohort.trajectory.specifications.curves import at_time, slope_between, turning_point
from ircohort.trajectory.specifications.record import BACKWARD, SpecificationFit
from ircohort.units import conversion

LEVELS = ("mean", "slope")
"""Kinds of numbers in the unit of the outcome; the others are years."""

_SHAPE = ("knot", "turning_point")
_HOMA2 = "a HOMA2 level; ircohort computes HOMA1, so that only the times at which curves turn compare"


@dataclass(frozen=True)
class Counterpart:
    """The own outcome that stands beside a published one, the kinds of numbers that compare, and own to published."""

    outcome: str
    kinds: tuple[str, ...] = (*LEVELS, *_SHAPE)
    scale: float = 1.0
    why_not: str = ""


COUNTERPARTS: Mapping[str, Counterpart] = MappingProxyType(
    {
        **{name: Counterpart(name) for name in ("glucose_mg_dl", "bmi", "spise", "hba1c_pct")},
        "glucose_mmol_l": Counterpart("glucose_mg_dl", scale=1.0 / float(conversion("glucose", "mmol/L").scale)),
        # HOMA-IR rises where sensitivity falls: a bend is at the same time, the highest point is not.
        "homa2_s_pct": Counterpart("homa_ir", ("knot",), why_not=_HOMA2),
        "homa2_b_pct": Counterpart("homa_b_pct", _SHAPE, why_not=_HOMA2),
    }
)
"""By the outcome of the published table. What is not here is not measured or not modelled by ircohort."""


@dataclass(frozen=True)
class Own:
    """A number with its 95 % interval, or why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def times(self, scale: float) -> Own:
        """Give the number in another unit."""
        value, low, high = (None if end is None else end * scale for end in (self.value, self.low, self.high))
        return Own(value, low, high, self.reason)


Fits = Mapping[str, Mapping[str, SpecificationFit]]
"""By event and own outcome."""


def own_number(row: Mapping[str, Any], fits: Fits, refusals: Mapping[tuple[str, str], str]) -> Own:
    """Find the own number for one published row, in its unit."""
    reason = why_incomparable(row)
    if reason:
        return Own(reason=reason)
    counterpart, event = COUNTERPARTS[row["outcome"]], row["event"]
    if event not in fits:
        return Own(reason=f"no visits aligned on {event} were given")
    if counterpart.outcome not in fits[event]:
        label = OUTCOMES[counterpart.outcome].label
        unfitted = f"{label} was not fitted on the time to {event}"
        return Own(reason=refusals.get((event, counterpart.outcome), unfitted))
    found = fits[event][counterpart.outcome]
    if found.specification.axis != BACKWARD:
        return Own(reason="the fit does not run backwards from the event")
    own = _READ[row["kind"]](row, found)
    return own.times(counterpart.scale) if row["kind"] in LEVELS else own


def why_incomparable(row: Mapping[str, Any]) -> str:
    """Say why no cohort has a counterpart of a published number; empty if one may."""
    counterpart = COUNTERPARTS.get(row["outcome"])
    if counterpart is None:
        return "not modelled by ircohort"
    if row["group"] not in (*GROUPS, "difference"):
        return "by ethnic origin or another division that the cohort's groups do not have"
    if row["kind"] not in counterpart.kinds:
        return counterpart.why_not or f"a number of the kind {row['kind']} is not computed"
    return ""


def _mean(row: Mapping[str, Any], found: SpecificationFit) -> Own:
    if row["group"] == "difference":
        table = to_polars(found.differences).filter(pl.col("measure") == "difference").rename({"estimate": "fitted"})
    else:
        table = to_polars(found.curves).filter(pl.col("group") == row["group"])
    here = at_time(table, row[BACKWARD])
    if here.is_empty():
        times = found.layout.times()
        return Own(reason=f"the fitted curves of {found.outcome.label} reach from {times[0]:g} to {times[-1]:g} years")
    return Own(*here.select("fitted", "low", "high").row(0))


def _slope(row: Mapping[str, Any], found: SpecificationFit) -> Own:
    try:
        slope = slope_between(found, row["years_from"], row[BACKWARD], group=row["group"])
    except ModelError as error:
        return Own(reason=in_one_line(error))
    return Own(*to_polars(slope).row(0))


def _knot(row: Mapping[str, Any], found: SpecificationFit) -> Own:
    here = to_polars(found.knots).filter(pl.col("published") == row[BACKWARD])
    if here.is_empty():
        return Own(reason="the fit has no such knot; the specification tabak has")
    years, status = here[BACKWARD].item(), here["status"].item()
    if status == "held":
        return Own(reason="the knot was held, not estimated")
    if status == "at_edge":
        return Own(reason=f"the likelihood is highest at the edge of the years searched, {years:g}")
    return Own(years, here["low"].item(), here["high"].item())


def _turn(row: Mapping[str, Any], found: SpecificationFit) -> Own:
    turn = turning_point(found, group=row["group"])
    if turn.years is None:
        edge = "earliest year, and falls" if turn.status == "at_start" else "event, and rises until then"
        return Own(reason=f"the curve is highest at the {edge}")
    return Own(turn.years, turn.low, turn.high)


_READ = {"mean": _mean, "slope": _slope, "knot": _knot, "turning_point": _turn}


def in_one_line(error: Exception) -> str:
    """Put what an error says on one line."""
    return " ".join(str(error).split())
