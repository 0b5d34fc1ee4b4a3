"""Comparison people for each case, without replacement, from those at risk at the time of its event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.chance import shuffled
from ircohort.trajectory.alignment.clocks import ROUNDING
from ircohort.trajectory.alignment.rules import Comparison

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Those who could serve: n people, and their m eligible visits sorted by sex and age.

    Of people ``ids``, ``first``, ``last``, ``event`` (infinite without one) in years of their own follow-up,
    ``calendar`` (of their year zero, NaN without dates), ``rank`` (n,). Of visits ``person``, ``sex`` (a code),
    ``age``, ``years`` (m,).
    """

    ids: list[str]
    first: Floats
    last: Floats
    event: Floats
    calendar: Floats
    rank: Ints
    person: Ints
    sex: Ints
    age: Floats
    years: Floats


@dataclass(frozen=True, eq=False)
class _Case:
    """A case at its event; ``own`` is its place in the pool, -1 where it is not in it."""

    name: str
    own: int
    sex: int
    age: float
    years: float
    calendar: float


def match(cases: pl.DataFrame, people: pl.DataFrame, visits: pl.DataFrame, settings: Comparison) -> pl.DataFrame:
    """Find ``per_case`` people for each case.

    A person can serve a case if, at the date of its event (on the calendar where both have dates, else by follow-up so
    far), they are under observation and free of the event, and have an eligible visit within the calipers, of the
    same sex (unknown is matched with unknown). The nearest is taken: the distance is the sum of the differences of
    age and of time, each over its caliper. Ties go to the lower of two ranks made by a hash of seed and identifier.
    Nobody is taken twice. Cases choose in rounds, one person each, in an order that is such a hash, too: greedy
    nearest-neighbour matching, which does not depend on rows, and is not the assignment of least total distance.

    Parameters
    ----------
    cases
        ``participant_id``, ``years`` (of the event), ``age``, ``sex``, ``calendar`` (at the event), null where unknown.
    people
        ``participant_id``, ``first``, ``last``, ``event_years`` (null for none), ``calendar_at_zero``, ``sex`` of all
        who may serve.
    visits
        ``participant_id``, ``years``, ``age``: their eligible visits.
    settings
        Calipers and seed.

    Returns
    -------
    polars.DataFrame
        ``match_id`` (the case), ``participant_id`` and ``zero`` (years of the visit that is year 0), sorted.

    Source
    ------
    Risk sets: Lubin and Gail 1984, Biometrics 40:63, doi:10.2307/2530744. Greedy matching: Austin 2014, Statistics in
    Medicine 33:1057, doi:10.1002/sim.6004.
    """
    codes = _sex_codes(cases, people)
    pool = _pool(people, visits, codes, settings)
    queue = _queue(cases, pool, codes, settings)
    free = np.ones(len(pool.ids), dtype=bool)
    found: list[tuple[str, str, float]] = []
    for _ in range(settings.per_case):
        served = []
        for case in queue:
            visit = _nearest(case, pool, free, settings)
            if visit is not None:
                person = int(pool.person[visit])
                free[person] = False
                found.append((case.name, pool.ids[person], float(pool.years[visit])))
                served.append(case)
        queue = served  # whoever finds nobody now will not find anybody among fewer
    schema = {"match_id": pl.String, "participant_id": pl.String, "zero": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row").sort("match_id", "participant_id")


def _sex_codes(cases: pl.DataFrame, people: pl.DataFrame) -> dict[str | None, int]:
    known = pl.concat([cases["sex"], people["sex"]]).unique().sort(nulls_last=True)
    return {name: code for code, name in enumerate(known.to_list())}


def _pool(people: pl.DataFrame, visits: pl.DataFrame, codes: dict[str | None, int], settings: Comparison) -> Pool:
    ordered = people.sort("participant_id")
    ids = ordered["participant_id"].to_list()
    place = {name: k for k, name in enumerate(ids)}
    person = np.array([place[name] for name in visits["participant_id"]], dtype=np.int64)
    sex_of = np.array([codes[name] for name in ordered["sex"]], dtype=np.int64)
    age, years = visits["age"].cast(pl.Float64).to_numpy(), visits["years"].to_numpy()
    if settings.age_caliper_years is None:
        age = np.zeros(len(age))
    order = np.lexsort((years, person, age, sex_of[person]))
    order = order[~np.isnan(age[order])]
    return Pool(
        ids=ids,
        first=ordered["first"].to_numpy(),
        last=ordered["last"].to_numpy(),
        event=ordered["event_years"].fill_null(np.inf).to_numpy(),
        calendar=ordered["calendar_at_zero"].cast(pl.Float64).to_numpy(),
        rank=shuffled("match", settings.seed, ids),
        person=person[order],
        sex=sex_of[person[order]],
        age=age[order],
        years=years[order],
    )


def _queue(cases: pl.DataFrame, pool: Pool, codes: dict[str | None, int], settings: Comparison) -> list[_Case]:
    """Give the cases in the order in which they choose; without those whose age is needed and not known."""
    ordered = cases.sort("participant_id")
    ranks = shuffled("case", settings.seed, ordered["participant_id"].to_list())
    own = {name: place for place, name in enumerate(pool.ids)}
    known = ordered.with_columns(age=pl.lit(0.0)) if settings.age_caliper_years is None else ordered
    rows = known.with_columns(pl.col("calendar").fill_null(float("nan")), rank=ranks).sort("rank").drop_nulls("age")
    return [
        _Case(name, own.get(name, -1), codes[sex], age, years, calendar)
        for name, sex, age, years, calendar in rows.select("participant_id", "sex", "age", "years", "calendar").rows()
    ]


def _nearest(case: _Case, pool: Pool, free: NDArray[np.bool_], settings: Comparison) -> int | None:
    """Find the eligible visit nearest to a case; None if there is none."""
    near = _of_like_age(case, pool, settings.age_caliper_years)
    near = near[free[pool.person[near]]]
    date = _event_date(case, pool, near, settings.time_caliper_years)
    possible = _at_risk(case, pool, near, date) & _within(pool.years[near] - date, settings.time_caliper_years)
    if not possible.any():
        return None
    near, date = near[possible], date[possible]
    distance = _over(pool.age[near] - case.age, settings.age_caliper_years)
    distance = distance + _over(pool.years[near] - date, settings.time_caliper_years)
    return int(near[np.lexsort((pool.years[near], pool.rank[pool.person[near]], distance))[0]])


def _of_like_age(case: _Case, pool: Pool, caliper: float | None) -> Ints:
    """Give the visits of people of the same sex whose age is within the caliper."""
    low, high = (int(end) for end in np.searchsorted(pool.sex, [case.sex, case.sex + 1]))
    places = np.arange(low, high)
    if caliper is None:
        return places
    ages = pool.age[low:high]
    ends = np.searchsorted(ages, case.age - caliper - ROUNDING), np.searchsorted(ages, case.age + caliper + ROUNDING)
    return places[ends[0] : ends[1]]


def _event_date(case: _Case, pool: Pool, visits: Ints, caliper: float | None) -> Floats:
    """Put the event of the case on the clocks of those whose visits these are; unmatched time is that of the visit.

    Without dates of both, the clocks are taken to start together.
    """
    if caliper is None:
        return pool.years[visits]
    on_calendar: Floats = case.calendar - pool.calendar[pool.person[visits]]
    return np.where(np.isnan(on_calendar), case.years, on_calendar)


def _at_risk(case: _Case, pool: Pool, visits: Ints, date: Floats) -> NDArray[np.bool_]:
    """Tell who is somebody else, under observation and free of the event, then and at the visit."""
    person = pool.person[visits]
    observed = (pool.first[person] <= date + ROUNDING) & (date <= pool.last[person] + ROUNDING)
    free_of_event = np.maximum(date, pool.years[visits]) < pool.event[person] - ROUNDING
    at_risk: NDArray[np.bool_] = observed & free_of_event & (person != case.own)
    return at_risk


def _within(difference: Floats, caliper: float | None) -> NDArray[np.bool_]:
    return np.abs(difference) <= (np.inf if caliper is None else caliper + ROUNDING)


def _over(difference: Floats, caliper: float | None) -> Floats:
    """Give a difference over its caliper; of no weight where it is not matched on, or has to be zero."""
    return np.abs(difference) / caliper if caliper else np.zeros_like(difference)
