"""Understand an export: columns, units, values, dates, duplicates, limits. Each rule has a name; nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ircohort.errors import RefusedError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export, FileRead
from ircohort.normalisation.assembly import assemble, number_visits
from ircohort.normalisation.columns import Choice, Columns, Recognition, recognise
from ircohort.normalisation.duplicates import settle
from ircohort.normalisation.labs import (
    ROW,
    has_time,
    long_columns,
    per_person_tables,
    read_rows,
    set_aside_rule,
    to_labs,
)
from ircohort.normalisation.ledger import Ledger, account
from ircohort.normalisation.readings import Policy, read_cells
from ircohort.normalisation.rules import RULES, Rule
from ircohort.schema import REJECTED
from ircohort.units import ANALYTES

__all__ = [
    "RULES",
    "Choice",
    "Columns",
    "Ledger",
    "Normalised",
    "Policy",
    "Recognition",
    "Rule",
    "normalise",
    "recognise",
]


FAR_RATIO, READINGS_TO_COMPARE = 5.0, 3
"""A value this many times the median of a participant's own values, of which there are this many, is pointed to. An
editorial choice: a decimal slip is 10, a mistaken unit 6 to 88, and a fasting value hardly ever varies so."""


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
        If a column or a unit is an open question; all questions are in one message.
    """
    said, policy = said or Columns(), policy or Policy()
    recognition = recognise(export, said)
    if recognition.questions:
        raise _all_questions(recognition)
    rows, bad_context = read_rows(export, recognition, said)
    rows = number_visits(rows)
    by_time = rows.sort("our:participant_id", "our:date", "our:offset", ROW, nulls_last=True)
    labs = to_labs(by_time, export, recognition, said)
    not_read = _not_read(export, recognition, said, labs)
    labs = labs.filter(pl.col("analyte").is_not_null())
    results = _judge(labs, rows, policy)
    persons = per_person_tables(export, recognition)
    age = recognition["age"]
    visits = assemble(
        rows,
        results,
        age_at_first_visit=age is not None and age.table in persons,
        constant=said.constant,
    )
    rejected = _rejected(export, rows, results, bad_context, recognition)
    return Normalised(
        visits,
        rejected,
        account(export, rows, results, bad_context, not_read),
        describe_columns(export, recognition, results),
        _notes(recognition, policy, results, rejected, visits),
        export.files,
        tuple(file.name for file in export.labs.files),
    )


def _all_questions(recognition: Recognition) -> RefusedError:
    if len(recognition.questions) == 1:
        return recognition.questions[0]
    return RefusedError(
        f"{len(recognition.questions)} questions are open.",
        expected="\n\n".join(str(question) for question in recognition.questions),
        next_step="\n`ircohort init` writes a configuration with a line for each.",
    )


def _judge(labs: pl.DataFrame, rows: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Give each result its rule (null where it is used) and its outcome."""
    context = rows.drop(SOURCE_FILE, SOURCE_ROW)
    labs = labs.join(context, on=ROW, how="left", maintain_order="left")
    labs = read_cells(labs, policy)
    no_participant = pl.when(pl.col("our:participant_id").is_null()).then(pl.lit("no_participant"))
    labs = labs.with_columns(pl.coalesce(no_participant, pl.col("rule"), set_aside_rule()).alias("rule"))
    labs = labs.with_columns(pl.col("our:participant_id").alias("person"))
    results = settle(labs.drop(pl.selectors.starts_with("our:")), policy)
    outcome = pl.col("rule").replace_strict(
        {name: rule.outcome for name, rule in RULES.items()}, return_dtype=pl.String
    )
    return results.with_columns(outcome.fill_null("used").alias("outcome"))


def _rejected(
    export: Export, rows: pl.DataFrame, results: pl.DataFrame, bad_context: pl.DataFrame, recognition: Recognition
) -> pl.DataFrame:
    """List everything that was rejected, by file and line."""
    participant = recognition["participant_id"]
    values = results.filter((pl.col("outcome") == "rejected") & (pl.col("rule") != "no_participant")).select(
        SOURCE_FILE, SOURCE_ROW, "column", pl.col("value_text").alias("raw_value"), "rule"
    )
    nobody = rows.filter(pl.col("our:participant_id").is_null()).select(
        SOURCE_FILE,
        SOURCE_ROW,
        pl.lit(participant.header if participant else None).alias("column"),
        pl.lit(None, dtype=pl.String).alias("raw_value"),
        pl.lit("no_participant").alias("rule"),
    )
    ragged = pl.DataFrame(
        [
            (row.source_file, row.source_row, None, row.text, "ragged_row")
            for table in (export.labs, *export.joined.values())
            for row in table.malformed
        ],
        schema=values.schema,
        orient="row",
    )
    reason = pl.col("rule").replace_strict({name: rule.reason for name, rule in RULES.items()}, return_dtype=pl.String)
    together = pl.concat([values, bad_context, nobody, ragged]).with_columns(reason.alias("reason"))
    return together.sort(SOURCE_FILE, SOURCE_ROW, "column", nulls_last=True, maintain_order=True).select(REJECTED.names)


def _not_read(export: Export, recognition: Recognition, said: Columns, labs: pl.DataFrame) -> dict[str, int]:
    """Count the cells of laboratory columns, or the rows of tests, that are not read, by name."""
    if said.long:
        unread = labs.filter(pl.col("analyte").is_null()).select(ROW)
        tests = long_columns(export, said)["test"].gather(unread[ROW])
        return dict(tests.fill_null("(no test name)").value_counts().iter_rows())
    read = {column.header for column in recognition.columns} | set(said.keep)
    return {header: export.rows[header].count() for header in export.labs.headers if header not in read}


def describe_columns(export: Export, recognition: Recognition, results: pl.DataFrame | None = None) -> pl.DataFrame:
    """Say of every column what it was read as, and what its cells hold.

    Returns
    -------
    polars.DataFrame
        ``column``, ``recognised_as``, ``rule``, ``unit``, ``unit_from``, and the counts ``numbers``, ``censored``,
        ``missing``, ``unreadable`` (null for columns that hold no results, or before values are read).
    """
    described = []
    for column in recognition.columns:
        cells = export.rows[column.header]
        answer = {
            "column": column.header,
            "recognised_as": column.name,
            "rule": column.rule,
            "unit": column.unit or None,
            "unit_from": column.unit_from or None,
            "missing": cells.null_count(),
        }
        if results is not None and column.name in ANALYTES:
            answer |= _cell_counts(results.filter(pl.col("column") == column.header))
        described.append(answer)
    kinds = {"numbers": pl.Int64, "censored": pl.Int64, "missing": pl.Int64, "unreadable": pl.Int64}
    texts = dict.fromkeys(("column", "recognised_as", "rule", "unit", "unit_from"), pl.String)
    return pl.DataFrame(described, schema={**texts, **kinds})


def _cell_counts(results: pl.DataFrame) -> dict[str, int]:
    unreadable = results.filter(pl.col("rule").is_in(["unreadable_value", "unknown_unit"])).height
    censored = results.filter(pl.col("value_text").str.contains(r"^\s*[<>≤≥]")).height
    return {"numbers": results.height - unreadable - censored, "censored": censored, "unreadable": unreadable}


def _notes(
    recognition: Recognition, policy: Policy, results: pl.DataFrame, rejected: pl.DataFrame, visits: pl.DataFrame
) -> tuple[str, ...]:
    notes = []
    if recognition["fasting"] is None:
        notes.append("No column says who had fasted: all results were taken as fasting.")
    if not has_time(recognition):
        notes.append("No column gives the time of a visit: markers were computed, detection and trajectories need one.")
    elif without := visits["years"].null_count():
        notes.append(f"{without} visits have no time; they have markers, but enter no detection and no trajectory.")
    if (results["unit"] == "pmol/L").any():
        notes.append(f"Insulin in pmol/L was divided by {policy.insulin_factor} to give uIU/mL.")
    if results.filter(pl.col("outcome") == "used")["censored"].any():
        said = {"half": "half the limit (a value above a limit: the limit)", "bounds": "no value, only its bounds"}
        notes.append(f"A censored cell was given {said[policy.censored]}; its bounds stand beside it.")
    reasons = rejected["reason"].value_counts(name="n").sort("n", "reason", descending=[True, False])
    counted = [f"rejected.csv, {count} of its lines: {reason}." for reason, count in reasons.iter_rows()]
    absent = [
        f"There is no {ANALYTES[name].label} in these data."
        for name in ("glucose", "insulin", "triglycerides", "hdl")
        if not visits[ANALYTES[name].column].count()
    ]
    return (*notes, *_far_from_their_own(results), *counted, *absent)


def _far_from_their_own(results: pl.DataFrame) -> list[str]:
    """Point to accepted values far from the other values of the same participant: typing errors, mostly."""
    used = results.filter((pl.col("outcome") == "used") & pl.col("value").is_not_null())
    own = pl.col("value").median().over("person", "analyte")
    enough = pl.len().over("person", "analyte") >= READINGS_TO_COMPARE
    ratio = pl.col("value") / own
    place = [SOURCE_FILE, SOURCE_ROW, "column"]
    far = used.filter(enough & ((ratio >= FAR_RATIO) | (ratio <= 1 / FAR_RATIO))).select(place).sort(place)
    if far.is_empty():
        return []
    places = [f"{file}, line {row}, {column}" for file, row, column in far.rows()]
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return [
        f"Accepted, but at least {FAR_RATIO:g} times as high or as low as the participant's median; look whether they "
        f"are typing errors: {'; '.join(places[:5])}{more}."
    ]
