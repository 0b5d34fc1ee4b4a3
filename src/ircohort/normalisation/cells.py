"""The cells of a column that is read, as its pattern takes them, and the results among the rows of a long table."""

from __future__ import annotations

import polars as pl

from ircohort.export import Export, TextColumn
from ircohort.normalisation.columns import Recognised, Recognition
from ircohort.normalisation.readings import Dialect


def dialect_of(export: Export, column: Recognised) -> Dialect:
    """Give the dialect of the table that a column stands in."""
    spec = export.joined[column.table].spec if column.table else export.labs.spec
    return Dialect(spec.decimal or ".", spec.thousands)


def taken_by_pattern(texts: pl.Series, column: Recognised) -> pl.Series:
    """Give what the pattern of a column takes out of cells; null where a cell is not of it."""
    return texts.str.extract(f"^(?:{column.pattern})$", 1) if column.pattern else texts


def cells_of(export: Export, column: Recognised) -> TextColumn:
    """Give the cells of a column of the context, each as what its pattern takes out of it."""
    cells = export.columns[column.header]
    return cells.rewritten(taken_by_pattern(cells.texts, column)) if column.pattern else cells


def value_cells(export: Export, recognition: Recognition, column: Recognised) -> TextColumn:
    """Give the cells that hold the values of an analyte, null in other rows; signs stand before them."""
    cells = export.columns[column.header]
    if not column.tests:
        return cells
    tests = export.columns[recognition.long["test"]]
    concerned = tests.of(tests.texts.is_in(list(column.tests)))
    cells = TextColumn(cells.texts, cells.codes.set(~concerned.fill_null(False), None))
    if "sign" not in recognition.long:
        return cells
    signs = export.columns[recognition.long["sign"]]
    sign = pl.Series([_sign(recognition.signs.get(text, text)) for text in signs.texts], dtype=pl.String)
    pairs = Pairs(cells, signs.codes.fill_null(len(sign)), len(sign) + 1)
    texts = sign.append(pl.Series([""], dtype=pl.String)).gather(pairs.other) + cells.texts.gather(pairs.cell)
    return TextColumn(texts, pairs.codes).rewritten(texts)


def _sign(text: str) -> str:
    """Give a sign as it stands before a number; anything else keeps its number from being read."""
    known = {"": "", "=": "", "0": "", **dict.fromkeys(("<", "<=", "≤"), "<"), **dict.fromkeys((">", ">=", "≥"), ">")}
    return known.get(text, "? ")


class Pairs:
    """The distinct pairs of a cell and another code.

    ``codes``: the pair of each row; ``cell`` and ``other``: the two codes of each pair.
    """

    def __init__(self, cells: TextColumn, other: pl.Series, n_others: int) -> None:
        if n_others == 1:
            self.codes = cells.codes
            self.cell = pl.int_range(len(cells.texts), eager=True)
            self.other = pl.zeros(len(cells.texts), pl.Int64, eager=True)
            return
        together = cells.codes.cast(pl.UInt64) * n_others + other.cast(pl.UInt64)
        known = together.drop_nulls().unique().sort()
        numbered = pl.DataFrame({"pair": together}).join(
            pl.DataFrame({"pair": known}).with_row_index("code"), on="pair", how="left", maintain_order="left"
        )
        self.codes, self.cell, self.other = numbered["code"], known // n_others, known % n_others
