"""The results of each analyte: which rows hold one, and what its cell says, read once for each distinct cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import RefusedError
from ircohort.export import Export, TextColumn
from ircohort.normalisation.cells import Pairs, dialect_of, taken_by_pattern, value_cells
from ircohort.normalisation.columns import Recognised, Recognition, UnitSaid
from ircohort.normalisation.context import rejected_cells
from ircohort.normalisation.headers import own_header
from ircohort.normalisation.order import Rows
from ircohort.normalisation.readings import CellReader, Policy, Reading, as_frame
from ircohort.normalisation.rules import OUTCOMES, RULES
from ircohort.parallel import each

RULE = pl.Enum(list(RULES))
OUTCOME = pl.Enum(OUTCOMES)
_OUTCOME_OF_RULE = pl.Series([rule.outcome for rule in RULES.values()], dtype=OUTCOME)
_FLAG_RULES = {
    "not_fasting": ("fasting", False),
    "on_treatment": ("glucose_lowering_drug", True),
    "on_insulin": ("insulin_therapy", True),
    "pregnant": ("pregnant", True),
    "ill": ("ill", True),
}


@dataclass(frozen=True)
class Results:
    """All results of one analyte.

    ``column`` is the header that they stand under, ``table`` the joined table of it (empty: the laboratory table).
    ``found``: one row per result, in the order of rows: ``at`` (its position in the order), ``reading`` (its place in
    ``readings``), ``rule`` (what keeps it out, or null). ``readings``: one row per distinct cell, :data:`READING`
    with ``value_text`` and ``unit_text``. ``source_rows``: the row of its own table, for each result.
    """

    analyte: str
    column: str
    table: str
    found: pl.DataFrame
    readings: pl.DataFrame
    source_rows: pl.Series

    def of_readings(self, name: str) -> pl.Series:
        """Give each result what its reading says."""
        return self.readings[name].gather(self.found["reading"])

    def is_of_every_row(self, rows: Rows) -> bool:
        """Say whether there is a result at every position, so that nothing need be looked up by position."""
        return self.found.height == len(rows.order)

    @property
    def any_censored(self) -> bool:
        """Whether a used result lies beyond a limit."""
        return bool(self.readings["censored"].any()) and bool(
            self.readings["censored"].gather(self.used["reading"]).any()
        )

    @property
    def outcome(self) -> pl.Series:
        """The class of each result."""
        return outcome_of(self.found["rule"])

    @property
    def used(self) -> pl.DataFrame:
        """The results that are used."""
        return self.found.filter(self.outcome == "used") if self.found["rule"].count() else self.found

    def with_rules(self, rule: pl.Series) -> Results:
        """Give each result its rule."""
        return replace(self, found=self.found.with_columns(rule.cast(RULE).alias("rule")))


def outcome_of(rule: pl.Series) -> pl.Series:
    """Give the class that each rule leads to; no rule means used."""
    return _OUTCOME_OF_RULE.gather(rule.to_physical()).fill_null("used")


def read_results(export: Export, rows: Rows, recognition: Recognition, policy: Policy) -> list[Results]:
    """Read all cells of all analytes.

    Each distinct cell is read once, so that the work grows with what differs between cells, not with their number.
    """
    read = each(
        lambda column: _of_column(export, rows, recognition, column, policy), recognition.analytes, export.height
    )
    return [results for results in read if results.found.height]


def _of_column(export: Export, rows: Rows, recognition: Recognition, column: Recognised, policy: Policy) -> Results:
    cells = value_cells(export, recognition, column).at(rows.order)
    at, source_rows = _where(export, rows, column, cells)
    unit, units = _units(export, rows, column, at)
    pairs = Pairs(cells.at(at), unit, len(units))
    value_texts, unit_texts = cells.texts.gather(pairs.cell), units.gather(pairs.other)
    reader = CellReader(policy, dialect_of(export, column))
    read = [
        Reading(rule="unmatched_pattern") if cell is None else reader.read(column.name, cell, unit)
        for cell, unit in zip(taken_by_pattern(value_texts, column), unit_texts, strict=True)
    ]
    readings = as_frame(read).with_columns(value_texts.alias("value_text"), unit_texts.alias("unit_text"))
    found = pl.DataFrame({"at": at, "reading": pairs.codes, "rule": readings["rule"].gather(pairs.codes)})
    return Results(column.name, column.header, column.table, found, readings, source_rows)


def _where(export: Export, rows: Rows, column: Recognised, cells: TextColumn) -> tuple[pl.Series, pl.Series]:
    """Say at which positions a result of the column stands, and in which row of its own table."""
    there = cells.codes.is_not_null()
    if not column.table:
        at = there.arg_true() if not there.all() else pl.int_range(len(there), dtype=pl.UInt32, eager=True)
        return at, rows.order.gather(at)
    # What was measured once stands at the first row, in order of time, that leads to it.
    led = pl.DataFrame({"source": export.positions[column.table].gather(rows.order)}).with_row_index("at")
    led = led.filter(there & led["source"].is_not_null())
    _require_one_person(column, rows, led)
    first = led.unique("source", keep="first", maintain_order=True)
    return first["at"], first["source"]


def _require_one_person(column: Recognised, rows: Rows, led: pl.DataFrame) -> None:
    """Refuse a measurement that several participants lead to: the key does not tell them apart."""
    pairs = led.select("source", rows.context["person"].gather(led["at"]).alias("person")).unique()
    if pairs["source"].is_duplicated().any():
        raise RefusedError(
            f"Several participants lead to one row of the table {column.table}, from which {column.name} is read.",
            expected="A measurement belongs to one participant.",
            next_step=f"Join the table {column.table} by a key that tells participants apart.",
        )


def _units(export: Export, rows: Rows, column: Recognised, at: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Say which unit each result is stated in, as its place in a list of units; the first statement counts."""
    listed = pl.Series([column.unit or None], dtype=pl.String)
    code = pl.zeros(len(at), pl.UInt32, eager=True)
    for stated in reversed(column.varying):
        cells = unit_cells(export, rows, stated, column.table).at(at)
        words = cells.texts
        if stated.units:
            words = words.replace_strict(dict(stated.units), default=None, return_dtype=pl.String)
            cells = TextColumn(words, cells.codes).rewritten(words)
        code = pl.select(pl.coalesce(cells.codes + len(listed), code)).to_series()
        listed = listed.append(cells.texts)
    return code, listed


def unit_cells(export: Export, rows: Rows, stated: UnitSaid, table: str) -> TextColumn:
    """Give what decides the unit, row by row in their order: a column, the file, or the calendar year."""
    if stated.by == "column":
        return export.columns[stated.column].at(rows.order)
    if stated.by == "file":
        names = (export.joined[table] if table else export.labs).places["source_file"]
        source = export.positions[table].gather(rows.order) if table else rows.order
        return TextColumn(names.dtype.categories, names.to_physical()).at(source)  # type: ignore[attr-defined]
    years = rows.context["date"].dt.year().cast(pl.String)
    return TextColumn(years, pl.int_range(len(years), eager=True)).rewritten(years)


def flags_of_draws(rows: Rows) -> pl.DataFrame:
    """Give the flags of each row; one that a row does not state is that of its draw, where any yes counts."""
    names = [flag for flag, _ in _FLAG_RULES.values()]
    own = rows.context.select(pl.col(name) for name in rows.context.columns if name.partition(":")[2] in names)
    own = rows.context.select(pl.col(name) for name in names if name in rows.context.columns).hstack(own)
    if not own.width or rows.n_visits == len(rows.order):
        return own
    of_draw = [(pl.col(flag).min() if flag == "fasting" else pl.col(flag).max()).over("visit") for flag in own.columns]
    return own.with_columns(rows.visit.alias("visit")).select(
        pl.coalesce(pl.col(flag), whole).alias(flag) for flag, whole in zip(own.columns, of_draw, strict=True)
    )


def with_row_rules(results: Results, rows: Rows, flags: pl.DataFrame) -> Results:
    """Keep out what belongs to nobody, and what the flags of its draw set aside."""
    concerned = {
        name: (flag, wanted)
        for name, (flag, wanted) in _FLAG_RULES.items()
        if flag in flags.columns and results.analyte in (RULES[name].analytes or (results.analyte,))
    }
    if not concerned and rows.n_known == len(rows.order):
        return results
    unread = [f"unreadable_flag:{flag}" for flag, _ in concerned.values() if f"unreadable_flag:{flag}" in flags.columns]
    stated = flags.select(pl.col({*unread, *(flag for flag, _ in concerned.values())}).gather(results.found["at"]))
    rules = pl.coalesce(
        pl.when(pl.col("at") >= rows.n_known).then(pl.lit("no_participant", dtype=RULE)),
        "rule",
        *(pl.when(pl.col(flag) == wanted).then(pl.lit(name, dtype=RULE)) for name, (flag, wanted) in concerned.items()),
        *(pl.when(pl.col(name)).then(pl.lit("unreadable_flag", dtype=RULE)) for name in unread),
    )
    return results.with_rules(results.found.hstack(stated).select(rules.alias("rule")).to_series())


def rows_with_results(results: Iterable[Results], rows: Rows) -> NDArray[np.bool_]:
    """Say which rows, in their order, hold a result that no rule keeps out."""
    holds = np.zeros(len(rows.order), dtype=bool)
    for one in results:
        holds[one.used["at"].to_numpy()] = True
    return holds


def rejected_results(results: Iterable[Results], export: Export) -> Iterator[pl.DataFrame]:
    """List every result that was rejected, where it stands; rows of nobody are listed once, as rows."""
    for one in results:
        bad = (one.outcome == "rejected") & (one.found["rule"] != "no_participant").fill_null(False)
        if bad.any():
            table = export.joined[one.table] if one.table else export.labs
            source_rows = one.source_rows.filter(bad)
            as_written = table.columns[own_header(one.column, one.table)].at(source_rows).text()
            cells = rejected_cells(table.places.select(pl.all().gather(source_rows)), one.column, as_written, "")
            yield cells.with_columns(one.found["rule"].filter(bad).cast(pl.String))


def counts_of_readings(results: Results) -> pl.Series:
    """Count how many results say what each reading says."""
    counts = np.bincount(results.found["reading"].to_numpy(), minlength=results.readings.height)
    return pl.Series(counts, dtype=pl.Int64)
