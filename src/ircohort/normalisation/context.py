"""What belongs to a row and not to a result: participant, time, sex, age, flags, texts; and the order of all rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import polars as pl

from ircohort.errors import ColumnError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export, TextColumn
from ircohort.normalisation.cells import cells_of, dialect_of
from ircohort.normalisation.columns import Columns, Recognised, Recognition
from ircohort.normalisation.headers import FLAGS, TEXTS, own_header
from ircohort.normalisation.order import DAYS_PER_YEAR, Rows, in_order
from ircohort.normalisation.readings import Policy, read_dates, read_numbers

HOURS_FASTED = 8.0
"""Hours without calories from which a draw is fasting (American Diabetes Association, doi:10.2337/dc24-S002)."""
HOURS_AFTER_EXERCISE = 72.0
"""Hours for which a bout of exercise may raise insulin sensitivity: gone by 48 to 72 h (Ross 2003, Magkos 2008)."""

_YES = ("yes", "y", "true", "t", "1", "ja", "oui", "sí", "si")
_NO = ("no", "n", "false", "f", "0", "nein", "non")
_NOT_OF_FASTING = ("t", "f")
"""In a column of fasting, F stands for fasting as often as for false."""
CODES_SHOWN = 6
"""A column of more different cells than this holds no codes, and none of its cells is shown."""
_CODE = re.compile(r"[0-9]|(?=.{1,12}$)[^\W\d_]+(?:[ -][^\W\d_]+)*")
_SEXES = {
    "female": ("f", "female", "w", "woman", "women", "girl", "weiblich", "femme", "mujer"),
    "male": ("m", "male", "man", "men", "boy", "männlich", "homme", "hombre"),
}
SEX = pl.Enum(["female", "male"])

REJECTED_COLUMNS = [SOURCE_FILE, SOURCE_ROW, "column", "raw_value", "rule"]
REJECTED_TYPES = pl.Schema(
    dict(zip(REJECTED_COLUMNS, (pl.String(), pl.Int64(), pl.String(), pl.String(), pl.String()), strict=True))
)


class ContextReader:
    """Reads the columns of the context, and keeps the cells that could not be read."""

    def __init__(self, export: Export, recognition: Recognition, said: Columns, policy: Policy) -> None:
        self.export, self.recognition, self.said, self.policy = export, recognition, said, policy
        self.bad: list[pl.DataFrame] = []

    def read(self) -> tuple[Rows, pl.DataFrame]:
        """Read what belongs to the rows.

        Returns
        -------
        rows
            The rows in their order.
        rejected
            The cells of the context that could not be read (:data:`REJECTED_COLUMNS`).
        """
        participant = self._text("participant_id")
        if participant is None:
            raise ColumnError("No column is recognised as the participant identifier.")
        rows = in_order(participant, self._context())
        # A cell from which two of our names are taken is listed once.
        return rows, pl.concat([pl.DataFrame(schema=REJECTED_TYPES), *self.bad]).unique(maintain_order=True)

    def _context(self) -> dict[str, pl.Series]:
        context = self._times()
        context |= self._ages(context.get("date"))
        if (sex := self.recognition["sex"]) is not None:
            context["sex"] = self._answers(sex, _sexes(self._cells(sex).texts, sex))
        context |= self._flags()
        for name in TEXTS:
            if (text := self._text(name)) is not None:
                context[name] = text.text()
        kept = {header: own_header(header, self.export.table_of(header)) for header in self.said.keep}
        return context | {f"keep:{name}": self.export.columns[header].text() for header, name in kept.items()}

    def _cells(self, column: Recognised) -> TextColumn:
        return cells_of(self.export, column)

    def _text(self, name: str) -> TextColumn | None:
        """Read a column of text; a cell that is not of its pattern is kept apart."""
        column = self.recognition[name]
        if column is None:
            return None
        cells = self._cells(column)
        if column.pattern:
            self._reject(column, _missing_now(self.export.columns[column.header], cells), "unmatched_pattern")
        return cells

    def _answers(self, column: Recognised, answers: pl.Series, rule: str = "unreadable_context") -> pl.Series:
        """Give each row the answer for its cell; a cell that says something and has no answer is kept apart."""
        cells = self._cells(column)
        if column.pattern:
            self._text(column.name)
        if answers.null_count():
            self._reject(column, cells.of(answers.is_null()).fill_null(False), rule)
        return cells.of(answers)

    def _numbers(self, column: Recognised) -> pl.Series:
        return read_numbers(self._cells(column).texts, dialect_of(self.export, column))

    def _times(self) -> dict[str, pl.Series]:
        if (column := self.recognition["visit_date"]) is not None:
            return {"date": self._visit_dates(column)}
        for name, per_year in (("day", DAYS_PER_YEAR), ("year", 1.0)):
            if (column := self.recognition[name]) is not None:
                years = self._numbers(column) / per_year
                within_a_life = years.set(~years.is_between(-200, 200), None)
                return {"offset": self._answers(column, within_a_life, "unreadable_date")}
        return {}

    def _visit_dates(self, column: Recognised) -> pl.Series:
        cells = self._cells(column)
        read = read_dates(cells.texts, self.said.date_format)
        future = (read["date"] > (self.policy.as_of or date.today())).fill_null(False)
        for rule, concerned in (
            ("ambiguous_date", read["ambiguous"]),
            ("future_date", future),
            ("unreadable_date", read["date"].is_null() & ~read["ambiguous"]),
        ):
            if concerned.any():
                self._reject(column, cells.of(concerned).fill_null(False), rule)
        if column.pattern:
            self._text(column.name)
        return cells.of(read["date"].set(future, None))

    def _ages(self, dates: pl.Series | None) -> dict[str, pl.Series]:
        """Read the stated age, and the age by birth; a visit before birth loses its date."""
        context: dict[str, pl.Series] = {}
        if (age := self.recognition["age"]) is not None:
            stated = self._numbers(age)
            context["stated_age"] = self._answers(age, stated.set(~stated.is_between(0, 120), None))
        by_birth = []
        for name in ("birth_date", "birth_year"):
            if (column := self.recognition[name]) is not None and dates is not None:
                ages, dates = self._age_by_birth(column, dates)
                by_birth.append(ages)
        if by_birth and dates is not None:
            context |= {"age_by_birth": pl.select(pl.coalesce(*by_birth)).to_series(), "date": dates}
        return context

    def _age_by_birth(self, column: Recognised, dates: pl.Series) -> tuple[pl.Series, pl.Series]:
        if column.name == "birth_date":
            born = self._answers(column, read_dates(self._cells(column).texts, self.said.date_format)["date"])
            ages, before = (dates - born).dt.total_days() / DAYS_PER_YEAR, dates < born
        else:
            born = self._answers(column, self._numbers(column))
            ages = dates.dt.year() + (dates.dt.ordinal_day() - 1) / DAYS_PER_YEAR - born - 0.5
            before = dates.dt.year() < born
        before = before.fill_null(False)
        self._reject(column, (ages > 120).fill_null(False), "unreadable_context")
        visit_date = self.recognition["visit_date"]
        if visit_date is not None and before.any():
            self._reject(visit_date, before, "before_birth")
            dates = dates.set(before, None)
        return ages.set(~ages.is_between(-0.5, 120) | before, None).clip(lower_bound=0.0), dates

    def _flags(self) -> dict[str, pl.Series]:
        """Read the flags; ``unreadable_flag:<flag>`` says in which rows one states what cannot be read."""
        flags: dict[str, pl.Series] = {}
        unreadable: dict[str, pl.Series] = {}
        for name in FLAGS:
            if (column := self.recognition[name]) is not None:
                flags[name] = self._answers(column, _yes_or_no(self._cells(column).texts, column))
                unreadable[name] = self._unreadable(column, flags[name])
        if (column := self.recognition["fasting_hours"]) is not None:
            long_enough = self._answers(column, self._hours(column) >= HOURS_FASTED)
            by_flag = flags.get("fasting", pl.Series([None] * len(long_enough), dtype=pl.Boolean))
            flags["fasting"] = pl.select(pl.min_horizontal(by_flag, long_enough)).to_series()
            by_hours = self._unreadable(column, long_enough)
            unreadable["fasting"] = by_hours | unreadable["fasting"] if "fasting" in unreadable else by_hours
        if (column := self.recognition["hours_since_exercise"]) is not None:
            flags["recent_exercise"] = self._answers(column, self._hours(column) < HOURS_AFTER_EXERCISE)
        return flags | {f"unreadable_flag:{name}": rows for name, rows in unreadable.items() if rows.any()}

    def _unreadable(self, column: Recognised, answers: pl.Series) -> pl.Series:
        """Say in which rows the column states something, and no answer came of it."""
        return self.export.columns[column.header].codes.is_not_null() & answers.is_null()

    def _hours(self, column: Recognised) -> pl.Series:
        hours = self._numbers(column)
        return hours.set(hours < 0, None)

    def _reject(self, column: Recognised, bad: pl.Series, rule: str) -> None:
        """Keep cells apart, each once, where it stands."""
        if not bad.any():
            return
        cells = self.export.columns[column.header]
        at = bad.arg_true()
        places = self.export.labs.places
        if column.table:
            at = self.export.positions[column.table].gather(at).unique(maintain_order=True)
            table = self.export.joined[column.table]
            places, cells = table.places, table.columns[column.header.removeprefix(f"{column.table}.")]
        self.bad.append(rejected_cells(places.select(pl.all().gather(at)), column.header, cells.at(at).text(), rule))


def rejected_cells(places: pl.DataFrame, column: str | None, raw: pl.Series | None, rule: str) -> pl.DataFrame:
    """Lay out rejected cells as :data:`REJECTED_COLUMNS`."""
    return places.select(
        pl.col(SOURCE_FILE).cast(pl.String),
        pl.col(SOURCE_ROW).cast(pl.Int64),
        pl.lit(column, dtype=pl.String).alias("column"),
        (pl.lit(None, dtype=pl.String) if raw is None else pl.lit(raw)).alias("raw_value"),
        pl.lit(rule).alias("rule"),
    )


def _missing_now(before: TextColumn, after: TextColumn) -> pl.Series:
    return before.codes.is_not_null() & after.codes.is_null()


def _sexes(texts: pl.Series, column: Recognised) -> pl.Series:
    words = {
        _word(word): sex for spelled in (_SEXES, column.values) for sex, listed in spelled.items() for word in listed
    }
    return pl.Series([words.get(_word(text)) for text in texts], dtype=SEX)


def _word(text: str) -> str:
    """Give a cell as it is compared: its case does not count, its punctuation does; a code may be written as 1.0."""
    return re.sub(r"^([0-9]+)\.0$", r"\1", text.strip().lower())


def _yes_or_no(texts: pl.Series, column: Recognised) -> pl.Series:
    """Read yes and no. Where the user listed what one of them looks like, everything else is the other."""
    said = column.values
    words = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
    if column.name == "fasting":
        words = {word: answer for word, answer in words.items() if word not in _NOT_OF_FASTING}
    if said:
        words = {_word(text): answer == "yes" for answer, listed in said.items() for text in listed}
    others = {frozenset({"yes"}): False, frozenset({"no"}): True}.get(frozenset(said))
    return pl.Series([words.get(_word(text), others) for text in texts], dtype=pl.Boolean)


def unreadable_flags(export: Export, recognition: Recognition) -> Iterator[ColumnError]:
    """Ask what the words of a flag mean where none of them can be read."""
    participant = recognition["participant_id"]
    for name in FLAGS:
        column = recognition[name]
        if column is None:
            continue
        texts = cells_of(export, column).texts
        if not len(texts) or _yes_or_no(texts, column).count():
            continue
        are_codes = len(texts) <= CODES_SHOWN and all(_CODE.fullmatch(text) for text in texts)
        shown = are_codes and not (participant and participant.header == column.header)
        example = texts.to_list()[:2] if shown else ["TEXT"]
        meant = ", ".join(f'{word} = ["{text}"]' for word, text in zip(("yes", "no"), example, strict=False))
        yield ColumnError(
            f"No cell of the column {column.header} can be read as yes or no ({name}).",
            expected=f"Its cells are: {', '.join(texts)}." if shown else "",
            next_step="Say in the configuration what they mean, for example: "
            f'[columns] {name} = {{ column = "{column.header}", {meant} }}',
        )
