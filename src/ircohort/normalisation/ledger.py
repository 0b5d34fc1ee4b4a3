"""The account of every row and every value, asserted to add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ircohort.errors import IrcohortError
from ircohort.export import SOURCE_FILE, Export
from ircohort.normalisation.labs import ROW
from ircohort.normalisation.rules import OUTCOMES, RULES

Counts = dict[str, int]

_KEPT_FIRST = ("used", "merged", "set_aside", "rejected")


class LedgerError(IrcohortError):
    """The account does not add up: a fault of ircohort, not of the data."""


@dataclass(frozen=True)
class Ledger:
    """What became of every row (by file) and every value (by analyte), and how often each rule spoke.

    In each account ``read`` is the sum of ``used``, ``rejected``, ``merged``, ``set_aside`` and ``not_asked_for``.
    ``rules`` counts values, or rows where a rule concerns whole rows; ``not_read`` counts the cells of columns
    (or tests) that ircohort does not read, by name; ``censored`` counts the used cells beyond a limit, by analyte.
    """

    rows: Mapping[str, Counts]
    values: Mapping[str, Counts]
    rules: Mapping[str, Counts]
    not_read: Counts
    censored: Counts

    def as_dict(self) -> dict[str, dict[str, Counts] | Counts]:
        """Give the account as plain dictionaries, for the manifest."""
        return {
            "rows": dict(self.rows),
            "values": dict(self.values),
            "rules": dict(self.rules),
            "not_read": self.not_read,
            "censored": self.censored,
        }


def row_outcomes(rows: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """Put each laboratory row in one class.

    A row is used if one of its values is, else merged, set aside or rejected by the best that became of its values;
    without a participant it is rejected, and without a value that is read it was not asked for.
    """
    own = results.filter(pl.col("table") == "")
    best = own.group_by(ROW).agg(
        pl.col("outcome").replace_strict({name: n for n, name in enumerate(_KEPT_FIRST)}).min()
    )
    named = best.with_columns(pl.col("outcome").replace_strict(dict(enumerate(_KEPT_FIRST)), return_dtype=pl.String))
    no_participant = pl.col("our:participant_id").is_null()
    return rows.join(named, on=ROW, how="left", maintain_order="left").select(
        ROW,
        SOURCE_FILE,
        pl.when(no_participant)
        .then(pl.lit("rejected"))
        .otherwise(pl.col("outcome").fill_null("not_asked_for"))
        .alias("outcome"),
    )


def account(
    export: Export, rows: pl.DataFrame, results: pl.DataFrame, bad_context: pl.DataFrame, not_read: Counts
) -> Ledger:
    """Count everything, and refuse to go on if it does not add up.

    Raises
    ------
    LedgerError
        If a row or a value is in no class, or in two.
    """
    outcomes = row_outcomes(rows, results)
    by_file = {
        file.name: _counts(
            outcomes.filter(pl.col(SOURCE_FILE) == file.name)["outcome"], rejected=_ragged(export, file.name)
        )
        for file in export.labs.files
    }
    for name, table in export.joined.items():
        pointed_to = table.places[export.positions[name].drop_nulls().unique().to_list()]
        for file in table.files:
            held, used = (
                places.filter(pl.col(SOURCE_FILE) == file.name).height for places in (table.places, pointed_to)
            )
            ragged = sum(row.source_file == file.name for row in table.malformed)
            by_file[file.name] = _full(used=used, rejected=ragged, not_asked_for=held - used)
    by_analyte = {
        str(analyte): _counts(group["outcome"])
        for (analyte,), group in results.sort("analyte").group_by(["analyte"], maintain_order=True)
    }
    _assert_whole(by_file, {file.name: file.rows for file in export.files})
    _assert_whole(by_analyte, dict(results["analyte"].value_counts().iter_rows()))
    censored = results.filter((pl.col("outcome") == "used") & pl.col("censored"))
    return Ledger(
        by_file,
        by_analyte,
        _rules(pl.concat([results["rule"], bad_context["rule"]]), outcomes, by_file, export),
        dict(sorted(not_read.items())),
        dict(sorted(censored["analyte"].value_counts().iter_rows())),
    )


def _ragged(export: Export, name: str) -> int:
    return sum(row.source_file == name for row in export.labs.malformed)


def _full(**counts: int) -> Counts:
    whole = {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}
    return {"read": sum(whole.values()), **whole}


def _counts(outcomes: pl.Series, *, rejected: int = 0) -> Counts:
    counted = dict(outcomes.value_counts().iter_rows())
    counted["rejected"] = counted.get("rejected", 0) + rejected
    return _full(**counted)


def _assert_whole(account: Mapping[str, Counts], expected: Mapping[str, int]) -> None:
    for name, counts in account.items():
        if counts["read"] != expected[name]:
            raise LedgerError(f"The ledger of {name} does not add up: {counts['read']} of {expected[name]}.")


def _rules(
    rules: pl.Series, outcomes: pl.DataFrame, by_file: Mapping[str, Counts], export: Export
) -> dict[str, Counts]:
    """Count how often each rule spoke, by the class it leads to."""
    spoken = dict(rules.drop_nulls().value_counts().iter_rows())
    spoken["ragged_row"] = len(export.labs.malformed) + sum(len(table.malformed) for table in export.joined.values())
    spoken["no_value"] = outcomes.filter(pl.col("outcome") == "not_asked_for").height
    joined = [file.name for table in export.joined.values() for file in table.files]
    spoken["not_referred_to"] = sum(by_file[name]["not_asked_for"] for name in joined)
    return {
        outcome: {name: spoken[name] for name in sorted(spoken) if spoken[name] and RULES[name].outcome == outcome}
        for outcome in OUTCOMES[1:]
    }
