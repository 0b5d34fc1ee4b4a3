"""Units that rows state and that are not read: where most rows of an analyte do, that is a question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import polars as pl

from ircohort.errors import UnitError
from ircohort.normalisation.columns import Columns, Recognition, UnitSaid
from ircohort.normalisation.recognition import LEAST_FOR_QUESTION
from ircohort.normalisation.results import Results, counts_of_readings
from ircohort.units import ANALYTES, conversion, fold

UNITS_SHOWN, LONGEST_UNIT = 6, 20
"""Up to how many spellings a question shows of units that are not read, and how long a text may be that is one."""


def unread_units(results: Iterable[Results], recognition: Recognition, said: Columns) -> Iterator[UnitError]:
    """Ask for the unit of an analyte of which most results state one that is not read, unless the user said it all."""
    for one in results:
        column, stated = recognition[one.analyte], said.units.get(one.analyte, UnitSaid())
        counted = pl.DataFrame({"word": one.readings["unit_text"], "n": counts_of_readings(one)})
        unread = (one.readings["rule"] == "unknown_unit").fill_null(False)
        n, whole = int(counted.filter(unread)["n"].sum()), int(counted["n"].sum())
        if column is None or (stated.by and stated.units) or n < LEAST_FOR_QUESTION or n <= whole / 2:
            continue
        by = next((way.column for way in column.varying if way.by == "column" and not way.units), "UNIT")
        words = _shown(_by_count(counted.filter(unread)), by, recognition)
        listed = "; ".join(f"{count} state {word}" for word, count in words)
        analyte = ANALYTES[one.analyte]
        meant = {word: analyte.unit for word, _ in words or [("...", 0)]}
        # A map says all, so that what is read already has to stand in it too.
        read = [word for word, _ in _by_count(counted.filter(~unread)) if fold(word) in analyte.spellings]
        meant |= {word: conversion(one.analyte, word).unit for word in read}
        units = ", ".join(f'{json.dumps(word, ensure_ascii=False)} = "{unit}"' for word, unit in meant.items())
        yield UnitError(
            f"{n} of {whole} results of {one.analyte} state no unit that ircohort reads"
            + (f": {listed}." if listed else "."),
            expected=f"Read are: {', '.join(entry.unit for entry in analyte.conversions)}.",
            next_step=f"Say what they mean, for example if it is {analyte.unit}: [units] {one.analyte} = "
            f"{{ column = {json.dumps(by, ensure_ascii=False)}, units = {{ {units} }} }}",
        )


def _by_count(counted: pl.DataFrame) -> list[tuple[str, int]]:
    """Give the words and how often each stands, the most frequent first."""
    together = counted.drop_nulls("word").group_by("word").agg(pl.col("n").sum())
    return together.sort("n", "word", descending=[True, False]).rows()


def _shown(words: list[tuple[str, int]], header: str, recognition: Recognition) -> list[tuple[str, int]]:
    """Keep the words that can be shown: those of a wrong column are values or identifiers, which no message shows."""
    participant = recognition["participant_id"]
    if len(words) > UNITS_SHOWN or (participant and participant.header == header):
        return []
    return [(word, count) for word, count in words if len(word) <= LONGEST_UNIT and re.search(r"[^\W\d_]|%", word)]
