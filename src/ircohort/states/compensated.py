"""Time in the compensated state: how long glucose stays normal while the marker is raised, and how that ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort import frames, schema
from ircohort.chance import exponentials
from ircohort.errors import ColumnError, UsageError
from ircohort.states.competing import Incidence, estimate, incidence_by
from ircohort.turnbull import Turnbull, event_free, turnbull

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

EXITS = ("prediabetes", "recovery")
"""How a spell ends, where it was seen to end; ``prediabetes`` or beyond."""

QUARTILES = (0.25, 0.5, 0.75)
_LOW, _HIGH = 0.025, 0.975
_DIGITS = 9
"""Decimals of a duration (years): differences of times that are equal shall be equal."""
_LEVELS = {"sensitive": 0, "compensated": 1, "prediabetes": 2, "diabetes": 2}
_ASIDE = ("ill", "pregnant")
_TREATED = ("glucose_lowering_drug", "insulin_therapy")


@dataclass(frozen=True)
class CompensatedTime:
    """How long first spells in the compensated state last, and how they end. Intervals are of 95 %.

    ``spells``: one row per person whose first spell was seen to begin, sorted: ``participant_id``; ``entry_low``,
    ``entry_high`` (it began between these ``years``), ``exit_low``, ``exit_high`` (it ended between these; the latter
    null where it was not seen to end), ``exit`` (``prediabetes``, ``recovery``, ``end_of_follow_up``),
    ``duration_low`` = exit_low - entry_high and ``duration_high`` = exit_high - entry_low (years).

    ``quartiles`` of the duration, whatever the end (Turnbull): ``share`` (0.25, 0.5, 0.75 of the spells have ended),
    ``years`` with ``low`` and ``high``, ``years_from`` and ``years_to``: between which the estimate leaves it open;
    null where it lies beyond the data.

    ``incidence``: one row per ``exit`` (``any`` by Turnbull, then each kind by the competing estimate) and whole
    ``years`` since entry: ``share`` that has ended so by then, with ``low`` and ``high``; ``at_least`` and ``at_most``:
    what the place of the mass within its intervals leaves open; null beyond the data.

    ``counts``: ``participants`` (with a state at some time), ``spells``, by end ``prediabetes``, ``recovery``,
    ``end_of_follow_up``; left out are ``open_at_start`` (compensated from the first state on), ``from_above`` (came
    from prediabetes or diabetes), ``never_compensated``.

    ``gap``: by how much, at most, the mean log-likelihood of the estimates could be higher. ``notes``: sentences.
    """

    spells: Any
    quartiles: Any
    incidence: Any
    counts: Mapping[str, int]
    confirmed: bool
    gap: float
    notes: tuple[str, ...]


def compensated_time(visits: Any, *, confirmed: bool = True, n_refits: int = 200, seed: int = 0) -> CompensatedTime:
    """Estimate how long the compensated state lasts, from states seen at visits only.

    The first spell of each person counts if it was seen to begin: the state before it was ``sensitive``. Entry lies
    between the last visit that showed ``sensitive`` and the first of the spell; exit between the last visit that
    showed ``compensated`` and the first of the next state: prediabetes or beyond, or recovery to ``sensitive``. The
    duration therefore lies in an interval, whose distribution is estimated without a form (Turnbull). A spell that was
    not seen to end lasted longer than was seen. As competing risks, each kind of end has its own masses, estimated
    together.

    Two limits. The spells are those that were **seen**: one that begins and ends between two visits is not there, nor,
    confirmed, one too short for two. Durations are those of spells long enough; visits further apart see longer ones.
    And entry and exit are taken as one interval of the duration, as if each length in it would have been seen in this
    interval alike; a length near its middle would more often. Both matter less where visits are close. The intervals
    do not hold what this costs, and are too narrow where visits are far apart for the duration, most of all for the
    first quartile: a duration below two or three gaps between visits is settled by the visits, not by the people.

    Parameters
    ----------
    visits
        VISITS with ``state`` (see :func:`ircohort.markers`), pandas or polars. Visits not fasting, ill or pregnant show
        no state; nor do those on a glucose-lowering drug or insulin whose glucose is normal. Of several rows of one
        time the worst state counts.
    confirmed
        A state counts from the first of two visits in a row that show it (prediabetes and diabetes are one); a single
        one that differs is passed over. The last visit, which nothing can confirm, neither ends a spell nor prolongs
        it. Otherwise a single visit begins and ends spells: insulin varies by a quarter
        from draw to draw, and spells are then cut into pieces.
    n_refits
        Weightings of the people from which the intervals come (the Bayesian bootstrap, with exponential weights from
        a hash of seed and identifier); 0: no intervals.
    seed
        Of the weights.

    Returns
    -------
    CompensatedTime
        Tables of the kind of ``visits``; without any spell the estimates have no rows.

    Raises
    ------
    ColumnError
        If there is no state, or it holds other words than its own.
    UsageError
        If the number of refits is below 0.

    Source
    ------
    Turnbull 1976, J R Stat Soc B 38:290, doi:10.1111/j.2517-6161.1976.tb01597.x; entry and exit both censored:
    De Gruttola and Lagakos 1989, Biometrics 45:1, doi:10.2307/2532030; competing risks: see :mod:`competing`.

    Examples
    --------
    >>> states = {"s": "sensitive", "c": "compensated", "p": "prediabetes"}
    >>> people = {"a": "ssccpp", "b": "sscsccc"}
    >>> visits = pl.DataFrame([{"participant_id": name, "years": float(t), "state": states[letter]}
    ...                        for name, word in people.items() for t, letter in enumerate(word)])
    >>> compensated_time(visits, n_refits=0).spells.select("exit", "duration_low", "duration_high").rows()
    [('prediabetes', 1.0, 3.0), ('end_of_follow_up', 1.0, None)]
    >>> compensated_time(visits, confirmed=False, n_refits=0).spells.select("exit", "duration_low").rows()
    [('prediabetes', 1.0), ('recovery', 0.0)]
    """
    if n_refits < 0:
        raise UsageError(f"n_refits is {n_refits}.", expected="Expected is 0 or more.")
    back: Callable[[pl.DataFrame], Any] = frames.kind_of(visits)
    followed = _follow(_levels(frames.to_polars(visits)), confirmed)
    spells, counts = _spells(followed)
    low, high, kind = _intervals(spells)
    weights = exponentials("compensated", seed, spells["participant_id"].to_list(), n_refits)
    fits = _fits(low, high, kind, weights) if len(low) else []
    return CompensatedTime(
        spells=back(spells),
        quartiles=back(_quartiles(fits)),
        incidence=back(_incidence(fits)),
        counts=counts,
        confirmed=confirmed,
        gap=max((max(any_end.gap, ends.gap) for any_end, ends in fits[:1]), default=0.0),
        notes=_notes(counts, confirmed),
    )


def _levels(visits: pl.DataFrame) -> pl.DataFrame:
    """Give one row per person and time that shows a state: 0 sensitive, 1 compensated, 2 beyond."""
    table = schema.require(visits, schema.VISITS, "state")
    unknown = set(table["state"].drop_nulls()) - set(schema.STATES)
    if unknown:
        raise ColumnError("The column state holds other words than its own.", expected=f"Its words: {schema.STATES}.")
    level = pl.col("state").replace_strict(_LEVELS, default=None, return_dtype=pl.Int8)
    aside, treated = (
        pl.any_horizontal(pl.lit(False), *(pl.col(name).cast(pl.Boolean).fill_null(False) for name in names))
        for names in ([n for n in _ASIDE if n in table.columns], [n for n in _TREATED if n in table.columns])
    )
    if "fasting" in table.columns:
        aside = aside | ~pl.col("fasting").cast(pl.Boolean).fill_null(True)
    shown = pl.when(~aside & ~(treated & (level < _LEVELS["prediabetes"]))).then(level)
    dated = table.filter(pl.col("years").is_finite()).select("participant_id", "years", shown.alias("level"))
    return dated.drop_nulls("level").group_by("participant_id", "years").max().sort("participant_id", "years")


def _follow(levels: pl.DataFrame, confirmed: bool) -> pl.DataFrame:
    """Add the state that counts at each visit, and whether it can prolong a spell; number the stretches of a state."""
    agrees = pl.col("level") == pl.col("level").shift(-1).over("participant_id") if confirmed else pl.lit(True)
    settled = pl.when(agrees).then("level").forward_fill().over("participant_id")
    # The last visit cannot be confirmed. Were it to prolong a spell that goes on, and not to end one that does not,
    # only the former would be heard, and durations come out too long.
    heard = (pl.col("years") < pl.col("years").max().over("participant_id")) | pl.lit(not confirmed)
    return levels.with_columns(settled.alias("settled"), heard.alias("heard")).with_columns(
        pl.col("settled").rle_id().over("participant_id").alias("stretch")
    )


def _spells(followed: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Give the first compensated stretch of each person, if it was seen to begin, and count the others."""
    stretches = followed.group_by("participant_id", "stretch", maintain_order=True).agg(
        pl.col("settled").first(), pl.col("years").first().alias("begin")
    )
    around = stretches.with_columns(
        pl.col("settled").shift(1).over("participant_id").alias("before"),
        pl.col("settled").shift(-1).over("participant_id").alias("after"),
        pl.col("begin").shift(-1).over("participant_id").alias("exit_high"),
    )
    first = around.filter(pl.col("settled") == 1).group_by("participant_id", maintain_order=True).first()
    seen = first.filter(pl.col("before") == 0).rename({"begin": "entry_high"})
    times = followed.join(seen.select("participant_id", "entry_high", "exit_high"), on="participant_id")
    sensitive = (pl.col("level") == 0) & (pl.col("years") < pl.col("entry_high"))
    inside = (pl.col("years") >= pl.col("entry_high")) & (pl.col("years") < pl.col("exit_high")).fill_null(True)
    ends = times.group_by("participant_id").agg(
        pl.col("years").filter(sensitive).max().alias("entry_low"),
        pl.col("years").filter(inside & (pl.col("level") == 1) & pl.col("heard")).max().alias("exit_low"),
    )
    exit_kind = pl.col("after").replace_strict({2: EXITS[0], 0: EXITS[1]}, default=None, return_dtype=pl.String)
    spells = seen.join(ends, on="participant_id").select(
        "participant_id",
        "entry_low",
        "entry_high",
        "exit_low",
        "exit_high",
        exit_kind.fill_null("end_of_follow_up").alias("exit"),
        (pl.col("exit_low") - pl.col("entry_high")).round(_DIGITS).alias("duration_low"),
        (pl.col("exit_high") - pl.col("entry_low")).round(_DIGITS).alias("duration_high"),
    )
    people = followed["participant_id"].n_unique()
    by_end = {name: spells.filter(pl.col("exit") == name).height for name in (*EXITS, "end_of_follow_up")}
    counts = {
        "participants": people,
        "spells": spells.height,
        **by_end,
        "open_at_start": first["before"].null_count(),
        "from_above": first.filter(pl.col("before") == 2).height,
        "never_compensated": people - first.height,
    }
    return spells.sort("participant_id"), counts


def _intervals(spells: pl.DataFrame) -> tuple[Floats, Floats, Indices]:
    kinds = {name: place for place, name in enumerate(EXITS)}
    kind = spells["exit"].replace_strict(kinds, default=-1, return_dtype=pl.Int64)
    high = spells["duration_high"].fill_null(float("inf"))
    return spells["duration_low"].to_numpy(), high.to_numpy(), kind.to_numpy().astype(np.intp)


_Fits = list[tuple[Turnbull, Incidence]]


def _fits(low: Floats, high: Floats, kind: Indices, weights: Floats) -> _Fits:
    """Give the two estimates, and again with each row of weights."""
    ends = estimate(low, high, kind)
    again = [(turnbull(low, high, row), estimate(low, high, kind, row, ends)) for row in weights]
    return [(turnbull(low, high), ends), *again]


def _quantile(found: Turnbull, share: float) -> tuple[float, float, float]:
    """Time by which a share has ended, straight within its interval, and the ends of this; inf beyond the data."""
    reached = np.cumsum(found.mass)
    place = int(np.searchsorted(reached, share - 1e-9))
    left, right = float(found.left[place]), float(found.right[place])
    if np.isinf(right):
        return np.inf, left, np.inf
    within = (share - (reached[place] - found.mass[place])) / found.mass[place]
    return left + float(np.clip(within, 0.0, 1.0)) * (right - left), left, right


def _quartiles(fits: _Fits) -> pl.DataFrame:
    rows = []
    for share in QUARTILES if fits else ():
        read = np.array([_quantile(found, share) for found, _ in fits])
        low, high = _interval(read[1:, 0])
        rows.append((share, _finite(read[0, 0]), low, high, _finite(read[0, 1]), _finite(read[0, 2])))
    names = ("share", "years", "low", "high", "years_from", "years_to")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")


def _incidence(fits: _Fits) -> pl.DataFrame:
    rows = []
    if fits:
        ends = np.concatenate([fits[0][0].left, fits[0][0].right])
        years = np.arange(1.0, np.floor(ends[np.isfinite(ends)].max()) + 1.0)
        for kind, name in enumerate(("any", *EXITS), start=-1):
            read = np.array([_share(fit, kind, years) for fit in fits])
            for place, year in enumerate(years):
                low, high = _interval(read[1:, 0, place])
                share, least, most = (_finite(float(value)) for value in read[0, :, place])
                rows.append((name, year, share, *((low, high) if share is not None else (None, None)), least, most))
    names = ("years", "share", "low", "high", "at_least", "at_most")
    return pl.DataFrame(rows, schema={"exit": pl.String, **dict.fromkeys(names, pl.Float64)}, orient="row")


def _share(fit: tuple[Turnbull, Incidence], kind: int, years: Floats) -> tuple[Floats, Floats, Floats]:
    found, ends = fit
    if kind >= 0:
        return incidence_by(ends, kind, years)
    straight = 1.0 - event_free(found, years)
    t = years[:, None]
    least, most = ((part * found.mass).sum(axis=1) for part in (found.right <= t, found.left < t))
    hidden = np.isnan(straight)
    return straight, np.where(hidden, np.nan, least), np.where(hidden, np.nan, most)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _interval(draws: Floats) -> tuple[float | None, float | None]:
    """Percentile interval of draws of which some lie beyond the data (inf); those not known (NaN) are left out."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return None, None
    low, high = float(np.quantile(known, _LOW, method="lower")), float(np.quantile(known, _HIGH, method="higher"))
    return _finite(low), _finite(high)


def _notes(counts: Mapping[str, int], confirmed: bool) -> tuple[str, ...]:
    visits = "two visits in a row" if confirmed else "a visit"
    notes = [f"Durations are those of spells that were seen at {visits}; shorter ones are not among them."]
    if counts["open_at_start"]:
        notes.append(f"{counts['open_at_start']} people were compensated from the first state on: left out.")
    if counts["from_above"]:
        notes.append(f"{counts['from_above']} people became compensated from prediabetes or diabetes: left out.")
    if not counts["spells"]:
        notes.append("Nobody was seen to become compensated: no duration is given.")
    return tuple(notes)
