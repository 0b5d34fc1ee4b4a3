"""The account of every row and every value, asserted to add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ircohort.errors import IrcohortError
from ircohort.export import SOURCE_FILE, Export
from ircohort.normalisation.cells import value_cells
from ircohort.normalisation.columns import Recognition
from ircohort.normalisation.order import Rows
from ircohort.normalisation.results import OUTCOME, Results, outcome_of
from ircohort.normalisation.rules import OUTCOMES, RULES

Counts = dict[str, int]

_BEST_FIRST = pl.Series(["used", "merged", "set_aside", "rejected", "not_asked_for"], dtype=OUTCOME)
_PLACE = {outcome: place for place, outcome in enumerate(_BEST_FIRST.to_list())}


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


def row_outcomes(rows: Rows, results: Sequence[Results]) -> pl.Series:
    """Put each laboratory row, in the order of rows, in one class.

    A row is used if one of its values is, else merged, set aside or rejected by the best that became of its values;
    without a participant it is rejected, and without a value that is read it was not asked for.
    """
    best = np.full(len(rows.order), _PLACE["not_asked_for"], dtype=np.uint8)
    place_of = pl.Series([_PLACE[outcome] for outcome in OUTCOMES], dtype=pl.UInt8)
    for one in results:
        if one.table:
            continue
        ruled = one.found.filter(pl.col("rule").is_not_null()) if one.found["rule"].count() else one.found.clear()
        best[one.found["at"].to_numpy() if ruled.is_empty() else one.used["at"].to_numpy()] = _PLACE["used"]
        at = ruled["at"].to_numpy()
        best[at] = np.minimum(best[at], place_of.gather(outcome_of(ruled["rule"]).to_physical()).to_numpy())
    best[rows.n_known :] = _PLACE["rejected"]
    return _BEST_FIRST.gather(best)


def account(
    export: Export, recognition: Recognition, rows: Rows, results: Sequence[Results], bad_context: pl.DataFrame
) -> Ledger:
    """Count everything, and refuse to go on if it does not add up.

    Raises
    ------
    LedgerError
        If a row or a value is in no class, or in two.
    """
    outcomes = row_outcomes(rows, results)
    by_file = {**_of_lab_files(export, rows, outcomes), **_of_joined_files(export)}
    spoken = {one.analyte: _counted(one.found["rule"].drop_nulls()) for one in results}
    by_analyte = {
        one.analyte: _full(**_classes(spoken[one.analyte], used=one.found["rule"].null_count()))
        for one in sorted(results, key=lambda one: one.analyte)
    }
    _assert_whole(by_file, {file.name: file.rows for file in export.files})
    _assert_whole(by_analyte, _cells(export, recognition, results))
    together = _counted(bad_context["rule"])
    for counts in spoken.values():
        together = _plus(together, **counts)
    not_read = cells_not_read(export, recognition)
    censored = {
        one.analyte: int(one.readings["censored"].gather(one.used["reading"]).sum())
        for one in results
        if one.any_censored
    }
    return Ledger(
        by_file,
        by_analyte,
        _rules(together, outcomes, by_file, export),
        dict(sorted(not_read.items())),
        {name: n for name, n in sorted(censored.items()) if n},
    )


def _classes(spoken: Counts, *, used: int) -> Counts:
    classes = {"used": used}
    for rule, n in spoken.items():
        classes = _plus(classes, **{RULES[rule].outcome: n})
    return classes


def _cells(export: Export, recognition: Recognition, results: Sequence[Results]) -> Counts:
    """Count the cells of each analyte in the export itself; of a joined table, the rows that are pointed to."""
    cells = {}
    for one in results:
        column = recognition[one.analyte]
        if column is None or one.table:
            cells[one.analyte] = one.source_rows.n_unique()
        else:
            cells[one.analyte] = value_cells(export, recognition, column).codes.count()
    return cells


def cells_not_read(export: Export, recognition: Recognition) -> Counts:
    """Count the cells of laboratory columns, or the rows of tests, that are not read, by name."""
    if recognition.long:
        read = {test for column in recognition.analytes for test in column.tests}
        value = export.columns[recognition.long["value"]].codes
        tests = export.columns[recognition.long["test"]].text().filter(value.is_not_null())
        return {test: n for test, n in _counted(tests.fill_null("(no test name)")).items() if test not in read}
    return {
        header: column.codes.count() for header, column in export.labs.columns.items() if header not in recognition.read
    }


def _of_lab_files(export: Export, rows: Rows, outcomes: pl.Series) -> dict[str, Counts]:
    files = export.labs.places[SOURCE_FILE]
    if len(export.labs.files) == 1:
        counts = {export.labs.files[0].name: _counted(outcomes)}
    else:
        each = pl.DataFrame({"file": files.gather(rows.order), "outcome": outcomes}).group_by("file", "outcome").len()
        counts = {file.name: {} for file in export.labs.files}
        for file, outcome, n in each.iter_rows():
            counts[file][outcome] = n
    return {name: _full(**_plus(found, rejected=_ragged(export, name))) for name, found in counts.items()}


def _of_joined_files(export: Export) -> dict[str, Counts]:
    by_file = {}
    for name, table in export.joined.items():
        pointed_to = table.places.select(pl.all().gather(export.positions[name].drop_nulls().unique()))
        for file in table.files:
            held, used = (
                places.filter(pl.col(SOURCE_FILE) == file.name).height for places in (table.places, pointed_to)
            )
            ragged = sum(row.source_file == file.name for row in table.malformed)
            by_file[file.name] = _full(used=used, rejected=ragged, not_asked_for=held - used)
    return by_file


def _ragged(export: Export, name: str) -> int:
    return sum(row.source_file == name for row in export.labs.malformed)


def _counted(names: pl.Series) -> Counts:
    return {str(name): n for name, n in names.alias("name").value_counts(name="n").iter_rows()}


def _plus(counts: Counts, **more: int) -> Counts:
    return counts | {name: counts.get(name, 0) + n for name, n in more.items()}


def _full(**counts: int) -> Counts:
    whole = {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}
    return {"read": sum(whole.values()), **whole}


def _assert_whole(account: Mapping[str, Counts], expected: Mapping[str, int]) -> None:
    for name, counts in account.items():
        if counts["read"] != expected[name]:
            raise LedgerError(f"The ledger of {name} does not add up: {counts['read']} of {expected[name]}.")


def _rules(spoken: Counts, outcomes: pl.Series, by_file: Mapping[str, Counts], export: Export) -> dict[str, Counts]:
    """Count how often each rule spoke, by the class it leads to."""
    spoken["ragged_row"] = len(export.labs.malformed) + sum(len(table.malformed) for table in export.joined.values())
    spoken["no_value"] = int((outcomes == "not_asked_for").sum())
    joined = [file.name for table in export.joined.values() for file in table.files]
    spoken["not_referred_to"] = sum(by_file[name]["not_asked_for"] for name in joined)
    return {
        outcome: {name: spoken[name] for name in sorted(spoken) if spoken[name] and RULES[name].outcome == outcome}
        for outcome in OUTCOMES[1:]
    }
