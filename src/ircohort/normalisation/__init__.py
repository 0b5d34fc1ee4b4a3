"""Understand an export: columns, units, values, dates, duplicates, limits. Each rule has a name; nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ircohort.errors import RefusedError
from ircohort.export import Export, FileRead
from ircohort.normalisation.assembly import assemble
from ircohort.normalisation.columns import Choice, Columns, Recognition, UnitSaid
from ircohort.normalisation.context import REJECTED_COLUMNS, ContextReader, rejected_cells
from ircohort.normalisation.contradictions import contradictions
from ircohort.normalisation.duplicates import settle
from ircohort.normalisation.ledger import Ledger, account
from ircohort.normalisation.notes import describe_columns, far_from_their_own, notes
from ircohort.normalisation.order import Rows, with_draws
from ircohort.normalisation.readings import Policy
from ircohort.normalisation.recognition import recognise
from ircohort.normalisation.results import (
    Results,
    flags_of_draws,
    read_results,
    rejected_results,
    rows_with_results,
    with_row_rules,
)
from ircohort.normalisation.rules import RULES, Rule
from ircohort.normalisation.unread import unread_units
from ircohort.parallel import each, side_by_side
from ircohort.schema import REJECTED

__all__ = [
    "RULES",
    "Choice",
    "Columns",
    "Ledger",
    "Normalised",
    "Policy",
    "Recognition",
    "Rule",
    "UnitSaid",
    "describe_columns",
    "normalise",
    "recognise",
]


@dataclass(frozen=True)
class Normalised:
    """Clean visits, and the account of everything else.

    ``visits`` is VISITS without markers; ``rejected`` is REJECTED, each bad cell with its line and reason; ``ledger``
    counts every row and value; ``columns`` says of every column what it was read as; ``notes`` are sentences for the
    reader; ``files`` is what was read, with SHA-256, and ``lab_files`` the names of those that hold laboratory rows.
    """

    visits: Any
    rejected: Any
    ledger: Ledger
    columns: Any
    notes: tuple[str, ...]
    files: tuple[FileRead, ...]
    lab_files: tuple[str, ...]


def normalise(export: Export, said: Columns | None = None, policy: Policy | None = None) -> Normalised:
    """Turn an export into visits.

    Parameters
    ----------
    export
        What :func:`ircohort.intake.read_export` gave.
    said
        What the user says of columns and units.
    policy
        How to judge duplicates, censored cells and glycaemia.

    Returns
    -------
    Normalised
        With polars frames.

    Raises
    ------
    RefusedError
        If a column or a unit is an open question, or the values contradict a stated unit; all questions are in one
        message.
    """
    said, policy = said or Columns(), policy or Policy()
    recognition = recognise(export, said)
    _refuse(recognition.questions)
    rows, bad_context = ContextReader(export, recognition, said, policy).read()
    read = read_results(export, rows, recognition, policy)
    contradicted, (rows, results) = side_by_side(
        export.height,
        lambda: dict(contradictions(read, rows, export, recognition, policy)),
        lambda: _settled(read, rows, policy),
    )
    unread = unread_units(read, recognition, said)
    _refuse([*unread, *(asked for analyte, asked in contradicted.items() if analyte not in policy.trust_units)])
    of_persons = _age_is_of_persons(export, recognition, rows)
    visits, ledger, far = side_by_side(
        export.height,
        lambda: assemble(rows, results, age_at_first_visit=of_persons, constant=said.constant),
        lambda: account(export, recognition, rows, results, bad_context),
        lambda: far_from_their_own(results, rows, export),
    )
    rejected = _rejected(export, recognition, rows, results, bad_context)
    trusted = [f"{question.what} {question.expected} It was trusted." for question in contradicted.values()]
    return Normalised(
        visits,
        rejected,
        ledger,
        describe_columns(export, recognition, results),
        (*notes(export, recognition, said, policy, results, rejected, visits), *far, *trusted),
        export.files,
        tuple(file.name for file in export.labs.files),
    )


def _settled(read: Sequence[Results], rows: Rows, policy: Policy) -> tuple[Rows, list[Results]]:
    """Give every result its rule, and every row the draw that it is of."""
    flags = flags_of_draws(rows)
    ruled = each(lambda one: with_row_rules(one, rows, flags), read, len(rows.order))
    if policy.draw_window_days:
        rows = with_draws(rows, rows_with_results(ruled, rows), policy.draw_window_days)
    return rows, each(lambda one: settle(one, rows, policy), ruled, len(rows.order))


def _refuse(questions: Sequence[RefusedError]) -> None:
    if len(questions) == 1:
        raise questions[0]
    if questions:
        raise RefusedError(
            f"{len(questions)} questions are open.",
            expected="\n\n".join(str(question) for question in questions),
            next_step="\n`ircohort init` writes a configuration that lists them.",
        )


def _age_is_of_persons(export: Export, recognition: Recognition, rows: Rows) -> bool:
    """Say whether the age stands in a table with one row per participant, and so holds at the first visit."""
    age = recognition["age"]
    if age is None or not age.table:
        return False
    led = export.positions[age.table].gather(rows.order).head(rows.n_known)
    pairs = pl.DataFrame({"person": rows.context["person"].head(rows.n_known), "row": led}).drop_nulls().unique()
    return not pairs["person"].is_duplicated().any()


def _rejected(
    export: Export, recognition: Recognition, rows: Rows, results: Sequence[Results], bad_context: pl.DataFrame
) -> pl.DataFrame:
    """List everything that was rejected, by file and line."""
    participant = recognition["participant_id"]
    header = participant.header if participant else None
    places = export.labs.places.select(pl.all().gather(rows.order.slice(rows.n_known)))
    nobody = rejected_cells(places, header, None, "no_participant")
    told = bad_context.filter((pl.col("column") == header) & (pl.col("rule") == "unmatched_pattern"))
    nobody = nobody.join(told, on=["source_file", "source_row"], how="anti", maintain_order="left")
    ragged = pl.DataFrame(
        [
            (row.source_file, row.source_row, None, row.text, "ragged_row")
            for table in (export.labs, *export.joined.values())
            for row in table.malformed
        ],
        schema=bad_context.schema,
        orient="row",
    )
    reason = pl.col("rule").replace_strict({name: rule.reason for name, rule in RULES.items()}, return_dtype=pl.String)
    parts = [
        part.select(REJECTED_COLUMNS) for part in (*rejected_results(results, export), bad_context, nobody, ragged)
    ]
    together = pl.concat(parts).with_columns(reason.alias("reason"))
    in_file = ["source_file", "source_row", "column", "rule"]
    return together.sort(in_file, nulls_last=True, maintain_order=True).select(REJECTED.names)
