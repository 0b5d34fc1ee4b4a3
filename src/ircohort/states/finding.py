"""From a table of visits with states to what a cohort did over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ircohort import frames, schema
from ircohort.errors import ColumnError, UsageError
from ircohort.states.persistence import contrast_ends, persist, pick_ends, track
from ircohort.states.secretion import split_rise
from ircohort.states.transitions import count_recoveries, count_transitions, follow, sum_years

_UNRELIABLE = ("ill", "pregnant")


@dataclass(frozen=True)
class States:
    """What a cohort did over time; intervals are of 95 %.

    ``visits``: one row per dated visit: ``participant_id``, ``years``, ``state``, ``from_state`` (at the last visit
    before that showed one), ``change`` (``worse``, ``better``, ``same``; null at the first), ``years_in_state``.

    ``transitions``: one row per pair of states at visits that follow each other: ``from_state``, ``to_state``,
    ``change``, ``n``, ``n_participants``, ``n_followed`` (with another visit after), ``n_settled`` (of those, with the
    same state at it), ``years_between`` (median).

    ``person_years``: one row per state: ``state``, ``person_years``, ``n_visits``, ``n_participants``. They sum to the
    follow-up of the cohort.

    ``recovery``: one row for ``compensated``, ``prediabetes``, ``diabetes`` (each: or beyond): ``reached``
    (participants with two visits in a row there), ``recovered`` (then two in a row below it, untreated), ``relapsed``
    (then reached again), ``years_to_recovery`` (median of those who recovered).

    ``persistence``: for the ``top`` and the ``bottom`` ``quarter`` of the marker: ``n_participants`` measured twice far
    enough apart, ``n_first`` there at the first, ``n_both`` at the last too, ``share_staying`` = n_both / n_first with
    ``share_low``, ``share_high``, and ``years_between`` (median).

    ``contrasts``: at the last visit, those always in the top quarter against those always in the bottom one:
    ``measure``, ``n_top``, ``n_bottom``, ``mean_top``, ``mean_bottom``, ``difference``, ``difference_low``,
    ``difference_high``, in the unit of the column.

    ``tracking``: rank correlation of the first visit with later ones: ``pairs`` (``first_to_last``,
    ``first_to_year_1``, ...), ``years_between`` (median), ``n_participants``, ``spearman``, ``spearman_low``,
    ``spearman_high``.

    ``secretion``: yearly change within participants of ``insulin``, of ``c_peptide`` (secretion) and of their molar
    ``ratio`` (clearance): ``outcome``, ``n_participants``, ``n_visits``, ``pct_per_year``, ``low``, ``high``.

    ``notes``: sentences.
    """

    visits: Any
    transitions: Any
    person_years: Any
    recovery: Any
    persistence: Any
    contrasts: Any
    tracking: Any
    secretion: Any
    marker: str
    min_years_apart: float
    notes: tuple[str, ...]


def describe_states(
    visits: Any,
    *,
    marker: str = "insulin_uiu_ml",
    min_years_apart: float = 5.0,
    longest_gap_years: float | None = None,
    within: Sequence[str] = (),
) -> States:
    """Describe how the states of a cohort follow each other, and who stays high.

    Visits during illness or pregnancy, and those not fasting, show no state. A visit counts for half of the time to the
    one before and half of the time to the one after: where a state changed between two visits, the middle is as often
    too early as too late. Ranks of a censored reading are those of half its limit.

    Parameters
    ----------
    visits
        VISITS with ``state`` (see :func:`ircohort.markers`), pandas or polars.
    marker
        Column whose persistence is described.
    min_years_apart
        Years from the first to the last measurement below which a participant says nothing of persistence.
    longest_gap_years
        A visit speaks for at most half of this on either side; the rest of a longer gap is time in an unknown state.
        None: for all of it.
    within
        Columns, such as ``sex``, within whose groups quarters of the marker are formed.

    Returns
    -------
    States
        Tables of the kind of ``visits``.

    Raises
    ------
    ColumnError
        If there is no state, or another column is missing or holds another type.
    UsageError
        If a number of years is not above 0.

    Source
    ------
    Persistence in the top and bottom quarter: Bao 1996, Circulation 93:54.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 3, "years": [0.0, 1.0, 3.0], "insulin_uiu_ml": [5.0, 9.0, 6.0],
    ...                        "state": ["sensitive", "compensated", "sensitive"]})
    >>> found = describe_states(visits)
    >>> found.transitions.select("from_state", "to_state", "change", "n").rows()
    [('sensitive', 'compensated', 'worse', 1), ('compensated', 'sensitive', 'better', 1)]
    >>> found.person_years.filter(pl.col("person_years") > 0).select("state", "person_years").rows()
    [('sensitive', 1.5), ('compensated', 1.5)]
    """
    for name, value in {"min_years_apart": min_years_apart, "longest_gap_years": longest_gap_years}.items():
        if value is not None and not value > 0:
            raise UsageError(f"{name} cannot be used.", expected="Expected is a number of years above 0.")
    table, notes = _prepare(frames.to_polars(visits), marker, within)
    back: Callable[[pl.DataFrame], Any] = frames.kind_of(visits)
    followed = follow(table, longest_gap_years)
    ends = pick_ends(table, min_years_apart, within)
    if ends.is_empty():
        notes.append(f"Nobody has {marker} at two visits {min_years_apart:g} years apart: persistence is not given.")
    return States(
        visits=back(followed.select("participant_id", "years", "state", "from_state", "change", "years_in_state")),
        transitions=back(count_transitions(followed)),
        person_years=back(sum_years(followed)),
        recovery=back(count_recoveries(table)),
        persistence=back(persist(ends)),
        contrasts=back(contrast_ends(ends, table)),
        tracking=back(track(ends, table)),
        secretion=back(split_rise(table)),
        marker=marker,
        min_years_apart=min_years_apart,
        notes=tuple(notes),
    )


def _prepare(visits: pl.DataFrame, marker: str, within: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Keep dated visits in order, without a state or fasting values where they cannot be relied on."""
    if "state" not in visits.columns:
        raise ColumnError(
            "The table of visits has no column state.", next_step="Add the states with ircohort.markers(visits)."
        )
    table = schema.arrange(schema.require(visits, schema.VISITS, "state", marker, *within), schema.VISITS)
    if not table[marker].dtype.is_numeric():
        raise ColumnError(f"The column {marker} holds no numbers.", next_step="Name a column that was measured.")
    unknown = set(table["state"].drop_nulls()) - set(schema.STATES)
    if unknown:
        raise ColumnError("The column state holds other words than its own.", expected=f"Its words: {schema.STATES}.")
    aside = [pl.col(name).fill_null(False) for name in _UNRELIABLE]
    unreliable = pl.any_horizontal(*aside, ~pl.col("fasting").fill_null(True))
    bounds = [f"{marker}_{end}" for end in ("lower", "upper")]
    dated = table.filter(pl.col("years").is_finite())
    by_limit = (
        pl.coalesce(
            *(pl.col(name).cast(pl.Float64, strict=False) for name in reversed(bounds) if name in dated.columns),
            pl.lit(None),
        )
        / 2
    )
    dated = dated.with_columns(
        unreliable.alias("unreliable"), pl.coalesce(pl.col(marker).cast(pl.Float64), by_limit).alias("value")
    ).with_columns(
        pl.when("unreliable").then(pl.lit("unknown")).otherwise(pl.col("state").fill_null("unknown")).alias("state"),
        pl.when(~pl.col("unreliable")).then("glycaemia").alias("glycaemia"),
        pl.when(~pl.col("unreliable") & pl.col("value").is_finite()).then("value").alias("value"),
    )
    notes = []
    if count := int(dated["unreliable"].sum()):
        which = (
            "1 visit not fasting, ill or pregnant shows"
            if count == 1
            else f"{count} visits not fasting, ill or pregnant show"
        )
        notes.append(f"{which} no state.")
    if undated := table.height - dated.height:
        which = "1 visit without a time was" if undated == 1 else f"{undated} visits without a time were"
        notes.append(f"{which} left out.")
    return dated.sort("participant_id", "years", "state", "value", "glycaemia"), notes
