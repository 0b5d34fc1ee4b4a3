"""What is said of the input: the table of columns, and sentences for the reader. No values, only places and counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export
from ircohort.normalisation.cells import cells_of, value_cells
from ircohort.normalisation.columns import Columns, Recognised, Recognition
from ircohort.normalisation.order import Rows, runs
from ircohort.normalisation.readings import Policy, date_shares, read_dates
from ircohort.normalisation.recognition import counts_of
from ircohort.normalisation.results import Results, counts_of_readings
from ircohort.parallel import each
from ircohort.schema import FAR_RATIO, READINGS_TO_COMPARE
from ircohort.units import ANALYTES

DESCRIBED = pl.Schema(
    {
        **dict.fromkeys(("column", "recognised_as", "rule", "unit", "unit_from"), pl.String()),
        **dict.fromkeys(("numbers", "censored", "missing", "unreadable"), pl.Int64()),
    }
)

COLUMNS_NAMED = 4
"""Columns of rejected cells that are named; of more, how many there are."""

LONG_GAP_YEARS, AGE_AT_ODDS_YEARS = 20, 2
"""Between neighbouring visits of a participant: more years than which make their dates doubtful, and how much the time
by age and the time by date may differ (ages may be in whole years)."""


def describe_columns(export: Export, recognition: Recognition, results: Sequence[Results] = ()) -> pl.DataFrame:
    """Say of every column what it was read as, and what its cells hold; columns that are not read follow last.

    Returns
    -------
    polars.DataFrame
        ``column`` (in a long table with the tests), ``recognised_as`` (null: not read), ``rule``, ``unit``,
        ``unit_from``, and the counts ``numbers``, ``censored``, ``missing``, ``unreadable`` (null for columns that hold
        no results, or before values are read).
    """
    read_as = {one.analyte: one for one in results}
    described: list[dict[str, object]] = []
    for column in recognition.columns:
        cells = value_cells(export, recognition, column) if column.name in ANALYTES else export.columns[column.header]
        described.append(
            {
                "column": f"{column.header}: {', '.join(column.tests)}" if column.tests else column.header,
                "recognised_as": column.name,
                "rule": column.rule,
                "unit": _units(column, read_as.get(column.name)),
                "unit_from": column.unit_from or None,
                "missing": None if column.tests else cells.codes.null_count(),
                **(_cell_counts(read_as[column.name]) if column.name in read_as else {}),
            }
        )
    named = {column.header for column in recognition.columns}
    roles = {header: f"{role} of a long table" for role, header in recognition.long.items()}
    roles |= {header: f"key of {table}" for header, table in recognition.keys.items()}
    roles |= dict.fromkeys(recognition.kept, "kept")
    for header, cells in export.columns.items():
        if header not in named:
            role = roles.get(header, "units" if header in recognition.read else None)
            described.append({"column": header, "recognised_as": role, "missing": cells.codes.null_count()})
    return pl.DataFrame(described, schema=DESCRIBED)


def _units(column: Recognised, results: Results | None) -> str | None:
    """Name the unit of a column; where it varies by row, those that were met."""
    if not column.varying:
        return column.unit or None
    return ", ".join(results.readings["unit"].unique().drop_nulls().sort()) if results else "by row"


def _cell_counts(results: Results) -> dict[str, int]:
    readings = results.readings.with_columns(counts_of_readings(results).alias("n"))
    unreadable = readings["rule"].is_in(["unreadable_value", "unknown_unit", "unmatched_pattern"]).fill_null(False)
    counted = {
        "unreadable": readings.filter(unreadable),
        "censored": readings.filter(readings["censored"] & ~unreadable),
        "numbers": readings.filter(~readings["censored"] & ~unreadable),
    }
    return {name: int(rows["n"].sum()) for name, rows in counted.items()}


def notes(
    export: Export,
    recognition: Recognition,
    said: Columns,
    policy: Policy,
    results: Sequence[Results],
    rejected: pl.DataFrame,
    visits: pl.DataFrame,
) -> Iterator[str]:
    """Say in sentences what the reader should know of the input."""
    if not export.height:
        yield "The laboratory table holds a header and no rows."
    if recognition.layout:
        yield f"The laboratory table was read as {recognition.layout}."
    if recognition["fasting"] is None and recognition["fasting_hours"] is None:
        yield (
            "No column says who had fasted: all results were taken as fasting. If one does, name it: --column "
            'fasting="HEADER"'
        )
    if not recognition.has_time:
        yield (
            "No column gives the time of a visit: markers were computed, detection and trajectories need one. Name it: "
            '--column visit_date="HEADER"'
        )
    elif without := visits["years"].null_count():
        yield f"{_visits(without)} no time: markers, but no part in detection and trajectories."
    yield from _forms_of_dates(export, recognition, said, rejected)
    yield from _long_gaps(visits)
    if any((one.readings["unit"] == "pmol/L").any() for one in results if one.analyte == "insulin"):
        yield f"Insulin in pmol/L was divided by {policy.insulin_factor} to give uIU/mL."
    if any(one.any_censored for one in results):
        half = "half the limit (a value above a limit: the limit)"
        given = {"half": half, "bounds": "no value"}[policy.censored]
        yield f"A censored cell was given {given}; its bounds stand beside it, for analyses that take an interval."
    if recent := int(visits["recent_exercise"].sum()):
        yield f"At {recent} of {visits.height} visits there was exercise within 72 hours, which lowers insulin."
    yield from _rejections(rejected)
    for name in ("glucose", "insulin", "triglycerides", "hdl"):
        if not visits[ANALYTES[name].column].count():
            yield f"These data hold no {ANALYTES[name].label}."


def _rejections(rejected: pl.DataFrame) -> Iterator[str]:
    """Say how many cells were rejected, of which columns and why, and where each is listed."""
    columns = pl.col("column").fill_null("whole rows").unique().sort()
    by_reason = rejected.group_by("reason").agg(pl.len().alias("n"), columns.alias("columns"))
    for reason, n, named in by_reason.sort("n", "reason", descending=[True, False]).iter_rows():
        what = ", ".join(named) if len(named) <= COLUMNS_NAMED else f"{len(named)} columns"
        yield f"{n} {'cell' if n == 1 else 'cells'} rejected ({what}): {reason}."
    if rejected.height:
        yield "`ircohort run` lists every rejected cell in rejected.csv."


def _long_gaps(visits: pl.DataFrame) -> Iterator[str]:
    """Point to visits decades apart, or at odds with the age: placeholder dates, mostly."""
    who = pl.col("participant_id")
    since, aged = pl.col("years").diff(), pl.col("age").diff()
    far, at_odds = since > LONG_GAP_YEARS, (since - aged).abs() > AGE_AT_ODDS_YEARS
    long, odd = visits.select(
        who.filter((who == who.shift()) & apart).n_unique().alias(name)
        for name, apart in {"long": far, "odd": at_odds}.items()
    ).row(0)
    if long:
        yield (
            f"Visits of {_people(long)} lie more than {LONG_GAP_YEARS} years apart: make sure that no date is a "
            "placeholder, such as 1900-01-01; one such date makes a course of decades."
        )
    if odd:
        yield (
            f"Age and date contradict each other in {_people(odd)}: from one visit to the next they differ by more "
            f"than {AGE_AT_ODDS_YEARS} years. Look at both."
        )


def _people(n: int) -> str:
    return "1 participant" if n == 1 else f"{n} participants"


def _visits(n: int) -> str:
    return "1 visit has" if n == 1 else f"{n} visits have"


def _forms_of_dates(export: Export, recognition: Recognition, said: Columns, rejected: pl.DataFrame) -> Iterator[str]:
    """Say in which forms dates are written, where some were not of the stated one."""
    column = recognition["visit_date"]
    if column is None or not (rejected["rule"] == "unreadable_date").any():
        return
    cells = cells_of(export, column)
    unread = read_dates(cells.texts, said.date_format)["date"].is_null()
    counts = counts_of(cells.codes, len(cells.texts))
    shares = date_shares(cells.texts.filter(unread), counts.filter(unread))
    n, whole = int(counts.filter(unread).sum()), int(counts.sum())
    forms = "; ".join(f"{form} would read {count}" for form, count in shares.items())
    yield (
        f"{column.header}: {n} of {whole} cells {'is' if n == 1 else 'are'} no date of the form "
        + " or ".join(said.date_format)
        + (f". Of these, {forms}; --date-format may be given more than once, " if forms else "")
        + ("and [columns] date_format be a list." if forms else ".")
    )


def far_from_their_own(results: Sequence[Results], rows: Rows, export: Export) -> list[str]:
    """Point to accepted values far from the other values of the same participant: typing errors, mostly."""
    if not rows.n_known:
        return []
    starts = runs(rows.context["person"])
    far = [
        place
        for places in each(lambda one: _far(one, rows, starts, export), results, export.height)
        for place in places
    ]
    if not far:
        return []
    listed = [f"{file}, line {row}, {column}" for file, row, column in sorted(far)]
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return [
        f"Accepted, but at least {FAR_RATIO:g} times as high or as low as the participant's median; look whether they "
        f"are typing errors: {'; '.join(listed[:5])}{more}."
    ]


def _far(one: Results, rows: Rows, starts: NDArray[np.int64], export: Export) -> list[tuple[str, int, str]]:
    used = one.used
    possible = one.readings["value"].drop_nulls()
    if possible.is_empty() or possible.max() < FAR_RATIO * possible.min():  # type: ignore[operator]
        return []
    value = one.readings["value"].gather(used["reading"])
    by_row = value.to_numpy()
    if used.height < len(rows.order):
        by_row = np.full(len(rows.order), np.nan)
        by_row[used["at"].to_numpy()] = value.to_numpy()
    # Only people whose highest value is so many times their lowest can have one so far from their median.
    complete = used.height == len(rows.order) and not value.null_count()
    highest, lowest = (np.maximum, np.minimum) if complete else (np.fmax, np.fmin)
    spread = highest.reduceat(by_row, starts) >= FAR_RATIO * lowest.reduceat(by_row, starts)
    if not spread.any():
        return []
    suspected = pl.Series(np.repeat(spread, np.diff(np.append(starts, len(by_row)))))
    person = rows.context["person"]
    table = pl.DataFrame({"value": by_row, "person": person}).with_row_index("at").filter(suspected)
    table = table.filter(pl.col("value").is_not_nan())
    ratio = pl.col("value") / pl.col("value").median().over("person")
    enough = pl.len().over("person") >= READINGS_TO_COMPARE
    far = table.filter(enough & ((ratio >= FAR_RATIO) | (ratio <= 1 / FAR_RATIO)))
    if far.is_empty():
        return []
    source = pl.DataFrame({"at": one.found["at"].cast(pl.UInt32), "source": one.source_rows})
    at = far.join(source, on="at", how="left", maintain_order="left")["source"]
    places = (export.joined[one.table] if one.table else export.labs).places.select(pl.all().gather(at))
    return [(str(file), row, one.column) for file, row in places.select(SOURCE_FILE, SOURCE_ROW).iter_rows()]
