"""The numbers of the report, gathered in one frozen record and not yet formatted.

Identifiers and calendar dates enter the record only where they are asked for: what is not in it cannot reach the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from ircohort import frames, glycaemia
from ircohort.report.movement import Movement, gather_movement
from ircohort.schema import COURSES, STAGES, VERDICTS

CLASSES = ("read", "used", "rejected", "merged", "set_aside", "not_asked_for")
"""The columns of the ledger; the first is the sum of the others."""

_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; what is not known is None."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Window:
    """A dated window of one person, in years since the first visit; the dates only where they are asked for."""

    start: float | None
    end: float | None
    years: float | None
    opened_by: str | None
    closed_by: str | None
    start_date: date | None
    end_date: date | None


@dataclass(frozen=True)
class Person:
    """A flagged person; ``number`` is the place among the flagged rows of the table of participants, from 1.

    ``without_tg_hdl`` and ``beyond_expected`` are probabilities too: by insulin and glucose alone, and of a rise beyond
    the expected course; None where they are not given.
    """

    number: int
    participant_id: str | None
    marker: str | None
    probability: float | None
    without_tg_hdl: float | None
    beyond_expected: float | None
    rise_pct: Estimate
    windows: tuple[Window, ...]
    stage: str | None


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    part: int
    whole: int


@dataclass(frozen=True)
class Individuals:
    """What was found person by person.

    ``verdicts`` counts people by verdict, ``reasons`` by verdict and reason; ``courses`` and ``stages`` count
    assessable people and the flagged among them. ``later`` are the flagged among assessable people who went on to
    confirmed prediabetes after their first visit (None where glycaemia was not judged).
    """

    n_people: int
    n_visits: int
    n_assessable: int
    n_flagged: int
    verdicts: Mapping[str, int]
    flagged: tuple[Person, ...]
    expected_false: Estimate
    later: Share | None
    reasons: tuple[tuple[str, str, int], ...]
    courses: Mapping[str, Share]
    stages: Mapping[str, Share]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """The hidden window of the cohort; years, negative before the event. A null end lies beyond the data.

    ``event`` with what dates it, in words. ``lead_censored``: one of the two onsets lies beyond the data, so that the
    lead is at least that long. ``variants``: name and window (years, whether a lower bound) of each other choice.
    """

    marker: str
    event: str
    onset: Estimate
    onset_status: str
    window: Estimate
    window_status: str
    lead: Estimate
    lead_censored: bool
    n_refits: int
    n_refits_without_onset: int
    counts: Mapping[str, int]
    variants: tuple[tuple[str, float, bool], ...]
    notes: tuple[str, ...]

    @property
    def firm(self) -> bool:
        """The interval of the window excludes that there is none."""
        return bool(self.window.low)


@dataclass(frozen=True)
class Model:
    """One fitted model: who entered, and how the fit ended."""

    outcome: str
    participants: int | None
    visits: int | None
    converged: bool
    at_boundary: bool
    boundary_direction: str


@dataclass(frozen=True)
class Population:
    """How one marker changes over the people of the individual model, in % per year."""

    marker: str
    participants: int | None
    visits: int | None
    slope_pct: float | None
    slope_sd_pct: Estimate
    residual_cv_pct: float | None
    identifiable: bool
    note: str


@dataclass(frozen=True)
class Account:
    """One line of the ledger; ``counts`` has the keys of :data:`CLASSES`."""

    name: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Facts:
    """All that the page says."""

    individuals: Individuals
    movement: Movement
    course: Course | None
    models: tuple[Model, ...]
    population: tuple[Population, ...]
    rows: tuple[Account, ...]
    values: tuple[Account, ...]
    rules: tuple[tuple[str, str, int], ...]
    input_notes: tuple[str, ...]
    warnings: tuple[str, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    identifiers: bool


def gather(analysis: Any, *, identifiers: bool = False) -> Facts:
    """Gather the numbers of the report from a whole analysis.

    Parameters
    ----------
    analysis
        An ``Analysis``: ``cohort``, ``visits``, ``states``, ``detection``, ``trajectory`` (or None), ``settings``,
        ``warnings`` and ``versions`` are read.
    identifiers
        Whether participants' identifiers and calendar dates enter the record.

    Returns
    -------
    Facts
        Numbers as they are; nothing is rounded.
    """
    ledger = _plain(analysis.cohort.ledger)
    trajectory = analysis.trajectory
    return Facts(
        individuals=_individuals(analysis.detection, frames.to_polars(analysis.visits), identifiers=identifiers),
        movement=gather_movement(analysis.states),
        course=None if trajectory is None else _course(trajectory),
        models=() if trajectory is None else tuple(_model(name, fit) for name, fit in trajectory.fits.items()),
        population=_population(frames.to_polars(analysis.detection.population)),
        rows=_accounts(ledger["rows"]),
        values=_accounts(ledger["values"]),
        rules=_rules(ledger["rules"]),
        input_notes=tuple(analysis.cohort.notes),
        warnings=tuple(analysis.warnings),
        settings=_plain(analysis.settings),
        versions=dict(analysis.versions),
        identifiers=identifiers,
    )


def person_numbers(participants: Any) -> dict[str, int]:
    """Give each flagged participant a number, from 1 in the order of the table.

    Examples
    --------
    >>> person_numbers(pl.DataFrame({"participant_id": ["a", "b"], "verdict": ["not_shown", "hidden_window"]}))
    {'b': 1}
    """
    flagged = frames.to_polars(participants).filter(pl.col("verdict") == "hidden_window")
    return {person: number for number, person in enumerate(flagged["participant_id"].to_list(), start=1)}


def _plain(record: Any) -> dict[str, Any]:
    """Give a record as dictionaries; ledger and settings know how, and a dictionary is one already."""
    return dict(record.as_dict() if hasattr(record, "as_dict") else record)


def _individuals(detection: Any, visits: pl.DataFrame, *, identifiers: bool) -> Individuals:
    people = frames.to_polars(detection.participants)
    counted = dict(people["verdict"].cast(pl.String).value_counts().iter_rows())
    false = (detection.expected_false, detection.expected_false_low, detection.expected_false_high)
    return Individuals(
        n_people=people.height,
        n_visits=visits.height,
        n_assessable=people.height - counted.get("not_assessable", 0),
        n_flagged=counted.get("hidden_window", 0),
        verdicts={verdict: counted.get(verdict, 0) for verdict in VERDICTS},
        flagged=_flagged(people, frames.to_polars(detection.windows), visits, identifiers=identifiers),
        expected_false=Estimate(*false),
        later=_flagged_later(people, visits),
        reasons=_reasons(people),
        courses=_counted(people, "course", COURSES),
        stages=_counted(people, "stage", STAGES),
        notes=tuple(detection.notes),
    )


def _reasons(people: pl.DataFrame) -> tuple[tuple[str, str, int], ...]:
    """Give (verdict, reason, people) in the order of the verdicts, the most frequent reason first."""
    stated = people.select(pl.col("verdict").cast(pl.String), pl.col("reason").cast(pl.String))
    stated = stated.with_columns(pl.col("reason").replace("", None).fill_null("no reason stated"))
    counted = stated.group_by("verdict", "reason").len("people").sort("people", "reason", descending=[True, False])
    return tuple(row for verdict in VERDICTS for row in counted.filter(pl.col("verdict") == verdict).iter_rows())


def _counted(people: pl.DataFrame, column: str, words: tuple[str, ...]) -> dict[str, Share]:
    """Count people by a word, and the flagged among them; words that nobody has are left out."""
    named = people.select(pl.col(column).cast(pl.String), (pl.col("verdict") == "hidden_window").alias("flagged"))
    parts = {word: named.filter(pl.col(column) == word)["flagged"] for word in words}
    return {word: Share(int(part.sum()), part.len()) for word, part in parts.items() if part.len()}


def _flagged_later(people: pl.DataFrame, visits: pl.DataFrame) -> Share | None:
    if not {"glycaemia", "glycaemia_by"} <= set(visits.columns) or visits["glycaemia"].null_count() == visits.height:
        return None
    later = glycaemia.confirmed_events(visits).filter(~pl.col("prevalent"))["participant_id"].to_list()
    group = people.filter((pl.col("verdict") != "not_assessable") & pl.col("participant_id").is_in(later))
    return Share(group.filter(pl.col("verdict") == "hidden_window").height, group.height)


def _flagged(
    people: pl.DataFrame, windows: pl.DataFrame, visits: pl.DataFrame, *, identifiers: bool
) -> tuple[Person, ...]:
    numbers = person_numbers(people)
    first_days = _first_days(visits, list(numbers)) if identifiers else {}
    rows = people.filter(pl.col("verdict") == "hidden_window").to_dicts()
    by_person: dict[str, list[dict[str, Any]]] = {}
    for window in windows.sort("participant_id", "window_start", nulls_last=True).to_dicts():
        by_person.setdefault(window["participant_id"], []).append(window)
    return tuple(
        Person(
            number=numbers[row["participant_id"]],
            participant_id=row["participant_id"] if identifiers else None,
            marker=row.get("marker"),
            probability=row.get("probability"),
            without_tg_hdl=row.get("probability_without_tg_hdl"),
            beyond_expected=row.get("probability_beyond_expected"),
            rise_pct=_estimate(row, "rise_pct"),
            windows=tuple(
                _window(window, first_days.get(row["participant_id"]))
                for window in by_person.get(row["participant_id"], [])
            ),
            stage=row.get("stage"),
        )
        for row in rows
    )


def _first_days(visits: pl.DataFrame, people: list[str]) -> dict[str, date]:
    """Give the day on which each person's axis ``years`` is zero, as far as dates are known."""
    if "visit_date" not in visits.columns:
        return {}
    known = visits.filter(pl.col("participant_id").is_in(people)).drop_nulls(["visit_date", "years"])
    known = known.with_columns(pl.col("visit_date").cast(pl.Date))
    known = known.sort("participant_id", "years").unique("participant_id", keep="first", maintain_order=True)
    rows = known.select("participant_id", "visit_date", "years").iter_rows()
    return {person: day - timedelta(days=round(years * _DAYS_PER_YEAR)) for person, day, years in rows}


def _window(row: Mapping[str, Any], first_day: date | None) -> Window:
    def on(years: float | None) -> date | None:
        return None if first_day is None or years is None else first_day + timedelta(days=round(years * _DAYS_PER_YEAR))

    start, end = row["window_start"], row["window_end"]
    return Window(start, end, row["window_years"], row["opened_by"], row["closed_by"], on(start), on(end))


def _estimate(row: Mapping[str, Any], name: str, *, ends: str = "") -> Estimate:
    """Read ``name`` and its interval; the ends are ``name_low`` and ``name_high`` unless ``ends`` names them."""
    stem = ends or name
    return Estimate(row.get(name), row.get(f"{stem}_low"), row.get(f"{stem}_high"))


def _course(trajectory: Any) -> Course | None:
    """Take the first insulin marker that was fitted: HOMA-IR, else TG:HDL."""
    rows = {row["outcome"]: row for row in frames.to_polars(trajectory.onset).to_dicts()}
    marker = next((name for name in ("homa_ir", "tg_hdl_mg") if name in rows), None)
    if marker is None:
        return None
    row = rows[marker]
    return Course(
        marker=marker,
        event=trajectory.settings.event_label,
        onset=_estimate(row, "onset_years", ends="onset"),
        onset_status=row["onset_status"] or "none",
        window=_estimate(row, "hidden_window_years", ends="hidden_window"),
        window_status=row["hidden_window_status"] or "none",
        lead=_estimate(row, "lead_years", ends="lead"),
        lead_censored=any(rows[each]["onset_status"] != "dated" for each in (marker, "glucose_mg_dl") if each in rows),
        n_refits=row["n_refits"] or 0,
        n_refits_without_onset=row["n_refits_without_onset"] or 0,
        counts=dict(trajectory.counts),
        variants=_variants(frames.to_polars(trajectory.sensitivity), marker),
        notes=tuple(trajectory.notes),
    )


def _variants(sensitivity: pl.DataFrame, marker: str) -> tuple[tuple[str, float, bool], ...]:
    """Give the window of each choice that was made otherwise; the first row is the finding itself."""
    rows = sensitivity.filter(pl.col("outcome") == marker).drop_nulls("hidden_window_years").to_dicts()[1:]
    return tuple(
        (row["variant"], row["hidden_window_years"], row["hidden_window_status"] == "at_least") for row in rows
    )


def _model(outcome: str, fit: Any) -> Model:
    return Model(
        outcome, fit.participants, fit.visits, bool(fit.converged), bool(fit.at_boundary), fit.boundary_direction
    )


def _population(table: pl.DataFrame) -> tuple[Population, ...]:
    return tuple(
        Population(
            marker=row["marker"],
            participants=row["n_participants"],
            visits=row["n_visits"],
            slope_pct=row["slope_mean_pct_per_year"],
            slope_sd_pct=_estimate(row, "slope_sd_pct_per_year", ends="slope_sd"),
            residual_cv_pct=row["residual_cv_pct"],
            identifiable=bool(row["identifiable"]),
            note=row["note"] or "",
        )
        for row in table.to_dicts()
    )


def _accounts(table: Mapping[str, Mapping[str, int]]) -> tuple[Account, ...]:
    return tuple(Account(name, {key: counts[key] for key in CLASSES}) for name, counts in table.items())


def _rules(rules: Mapping[str, Mapping[str, int]]) -> tuple[tuple[str, str, int], ...]:
    """Give (class, rule, count), the most frequent first within rejected, set aside, merged and not asked for."""
    order = ("rejected", "set_aside", "merged", "not_asked_for")
    return tuple(
        (outcome, rule, count)
        for outcome in order
        for rule, count in sorted(rules.get(outcome, {}).items(), key=lambda item: (-item[1], item[0]))
    )
