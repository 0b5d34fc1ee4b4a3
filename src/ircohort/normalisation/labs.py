"""From rows to results: one row per result (LABS), with the participant, the time and the flags of its row."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ircohort.errors import ColumnError, RefusedError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export
from ircohort.normalisation.columns import (
    ALIASES,
    FLAGS,
    TEXTS,
    TIMES,
    Columns,
    Recognised,
    Recognition,
    kept_name,
    only_unit,
    split_unit,
)
from ircohort.normalisation.readings import read_dates, read_number
from ircohort.normalisation.rules import RULES
from ircohort.units import ANALYTES, fold

ROW = "row"
_YES = ("yes", "y", "true", "t", "1")
_NO = ("no", "n", "false", "f", "0")
_SEXES: Mapping[str, tuple[str, ...]] = {
    "female": ("f", "female", "w", "woman", "women", "girl"),
    "male": ("m", "male", "man", "men", "boy"),
}
DAYS_PER_YEAR = 365.25

REJECTED_COLUMNS = [SOURCE_FILE, SOURCE_ROW, "column", "raw_value", "rule"]


def read_rows(export: Export, recognition: Recognition, said: Columns) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read what belongs to a row: participant, time, sex, age, flags, kept columns.

    Returns
    -------
    rows
        One row per laboratory row: ``row`` (position), ``source_file``, ``source_row``, and what was read of its
        context as ``our:<name>``, kept columns as ``our:keep:<name>``. No column of the file itself, whose names
        could be any.
    rejected
        The cells of the context that could not be read (:data:`REJECTED_COLUMNS`).
    """
    rejected: list[pl.DataFrame] = []

    def text(name: str) -> pl.Series:
        column = recognition[name]
        return export.rows[column.header] if column else pl.Series([None] * export.rows.height, dtype=pl.String)

    def checked(name: str, answers: pl.Series, rule: str) -> pl.Series:
        column = recognition[name]
        if column is not None:
            rejected.append(_bad_cells(export, column, answers, rule))
        return answers

    date = checked("visit_date", read_dates(text("visit_date"), said.date_format), "unreadable_date")
    day = checked("day", _offsets(text("day"), 1 / DAYS_PER_YEAR), "unreadable_date")
    year = checked("year", _offsets(text("year"), 1.0), "unreadable_date")
    stated_age = checked("age", _plausible_age(_numbers(text("age"))), "unreadable_context")
    born, birth_year = read_dates(text("birth_date"), said.date_format), _numbers(text("birth_year"))
    by_birth_date = (date - born).dt.total_days() / DAYS_PER_YEAR
    by_birth_year = _years_since_the_middle_of(birth_year, date)
    checked("birth_date", _credible(born, by_birth_date), "unreadable_context")
    checked("birth_year", _credible(birth_year, by_birth_year), "unreadable_context")
    context = {
        "participant_id": text("participant_id"),
        "date": date,
        "offset": day.zip_with(day.is_not_null(), year),
        "sex": checked("sex", _sex(text("sex"), recognition["sex"]), "unreadable_context"),
        "stated_age": stated_age,
        "age_by_birth": pl.select(
            pl.coalesce(_plausible_age(by_birth_date), _plausible_age(by_birth_year))
        ).to_series(),
        **{name: checked(name, _flag(text(name), recognition[name]), "unreadable_context") for name in FLAGS},
        **{name: text(name) for name in TEXTS},
        **{f"keep:{kept_name(header)}": export.rows[header] for header in said.keep},
    }
    rows = export.labs.places.with_row_index(ROW)
    rows = rows.with_columns(series.alias(f"our:{name}") for name, series in context.items())
    return rows, pl.concat([_no_rejected(), *rejected])


def _no_rejected() -> pl.DataFrame:
    types = (pl.String, pl.Int64, pl.String, pl.String, pl.String)
    return pl.DataFrame(schema=dict(zip(REJECTED_COLUMNS, types, strict=True)))


def _bad_cells(export: Export, column: Recognised, answers: pl.Series, rule: str) -> pl.DataFrame:
    """List cells that hold something and gave no answer, each once, where it stands."""
    cells = export.rows[column.header]
    bad = cells.is_not_null() & answers.is_null()
    listed = export.labs.places.with_columns(cells.alias("raw_value")).filter(bad)
    if column.table:
        at = export.positions[column.table].filter(bad).unique(maintain_order=True)
        table = export.joined[column.table]
        own = column.header.removeprefix(f"{column.table}.")
        listed = table.places.with_columns(table.frame[own].alias("raw_value"))[at.to_list()]
    return listed.select(
        SOURCE_FILE, SOURCE_ROW, pl.lit(column.header).alias("column"), "raw_value", pl.lit(rule).alias("rule")
    )


def _numbers(texts: pl.Series) -> pl.Series:
    return texts.map_elements(read_number, return_dtype=pl.Float64, skip_nulls=True)


def _plausible_age(ages: pl.Series) -> pl.Series:
    return pl.select(pl.when(ages.is_between(0, 120)).then(ages)).to_series()


def _credible(birth: pl.Series, ages: pl.Series) -> pl.Series:
    """Pass a birth that was read and does not give an age that nobody has; null for any other."""
    credible = birth.is_not_null() & (ages.is_null() | ages.is_between(0, 120))
    return pl.select(pl.when(credible).then(pl.lit(True))).to_series()


def _offsets(texts: pl.Series, scale: float) -> pl.Series:
    """Read offsets from some day in years; nobody is followed for longer than a life."""
    years = _numbers(texts) * scale
    return pl.select(pl.when(years.is_between(-200, 200)).then(years)).to_series()


def _years_since_the_middle_of(birth_year: pl.Series, date: pl.Series) -> pl.Series:
    return date.dt.year() + (date.dt.ordinal_day() - 1) / DAYS_PER_YEAR - birth_year - 0.5


def _sex(texts: pl.Series, column: Recognised | None) -> pl.Series:
    said = column.values if column else {}
    table = {fold(word): sex for spelled in (_SEXES, said) for sex, words in spelled.items() for word in words}
    return texts.map_elements(lambda text: table.get(fold(text)), return_dtype=pl.String, skip_nulls=True)


def _flag(texts: pl.Series, column: Recognised | None) -> pl.Series:
    """Read yes and no. Where the user listed what one of them looks like, everything else is the other."""
    said = column.values if column else {}
    listed = {text: answer == "yes" for answer, words in said.items() for text in words}
    words = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
    others = {frozenset({"yes"}): False, frozenset({"no"}): True}.get(frozenset(said))

    def answer(text: str) -> bool | None:
        return listed.get(text, others) if said else words.get(fold(text))

    return texts.map_elements(answer, return_dtype=pl.Boolean, skip_nulls=True)


def per_person_tables(export: Export, recognition: Recognition) -> set[str]:
    """Find joined tables keyed by the participant: their measurements were taken once."""
    participant = recognition["participant_id"]
    header = participant.header if participant else ""
    return {
        name
        for name, table in export.joined.items()
        if header in ((table.spec.via or table.spec.key), f"{name}.{table.spec.key}")
    }


def to_labs(rows: pl.DataFrame, export: Export, recognition: Recognition, said: Columns) -> pl.DataFrame:
    """Give one row per result that is there.

    Parameters
    ----------
    rows
        Laboratory rows in order of time: what is measured once stands at the first of them.

    Returns
    -------
    polars.DataFrame
        ``row``, ``table`` (empty for the laboratory table), ``source_file``, ``source_row``, ``column``,
        ``analyte`` (null where the test is not read), ``value_text``, ``unit_text``.
    """
    parts = [_wide(rows, column, export) for column in recognition.analytes if column.header in export.rows.columns]
    if said.long:
        parts.append(_long(rows, export, said))
    return pl.concat([part.filter(pl.col("value_text").is_not_null()) for part in parts])


def _wide(rows: pl.DataFrame, column: Recognised, export: Export) -> pl.DataFrame:
    own = rows.select(ROW, SOURCE_FILE, SOURCE_ROW)
    if column.table:
        position = export.positions[column.table].gather(rows[ROW])
        own = own.with_columns(position.alias("at")).filter(pl.col("at").is_not_null())
        own = own.unique("at", keep="first", maintain_order=True)
        places = export.joined[column.table].places
        own = own.with_columns(places[name].gather(own["at"]) for name in (SOURCE_FILE, SOURCE_ROW))
    return own.select(
        ROW,
        pl.lit(column.table).alias("table"),
        SOURCE_FILE,
        SOURCE_ROW,
        pl.lit(column.header).alias("column"),
        pl.lit(column.name).alias("analyte"),
        export.rows[column.header].gather(own[ROW]).alias("value_text"),
        pl.lit(column.unit).alias("unit_text"),
    )


def _long(rows: pl.DataFrame, export: Export, said: Columns) -> pl.DataFrame:
    """Read a table with a test, a value and a unit in each row; a test is known by its spelling, or by your word."""
    columns = long_columns(export, said)
    tests = columns["test"].unique(maintain_order=True).drop_nulls().to_list()
    names = {test: _analyte_of(test, said) for test in tests}
    units = {test: split_unit(test, ANALYTES[name])[1] for test, name in names.items() if name}
    stated = {name: said.units.get(name) or only_unit(name) or None for name in ANALYTES}
    if "unit" not in columns:
        _refuse_unitless({name for test, name in names.items() if name and not units[test]}, stated)
    cells = rows.select(
        ROW, SOURCE_FILE, SOURCE_ROW, *(series.gather(rows[ROW]).alias(f"#{role}") for role, series in columns.items())
    )
    analyte = pl.col("#test").replace_strict(names, default=None, return_dtype=pl.String)
    own_unit = pl.col("#unit") if "unit" in columns else pl.lit(None, dtype=pl.String)
    in_name = pl.col("#test").replace_strict(
        {test: unit or None for test, unit in units.items()}, default=None, return_dtype=pl.String
    )
    return cells.select(
        ROW,
        pl.lit("").alias("table"),
        SOURCE_FILE,
        SOURCE_ROW,
        pl.lit(said.long["value"]).alias("column"),
        analyte.alias("analyte"),
        pl.col("#value").alias("value_text"),
        pl.coalesce(analyte.replace_strict(stated, default=None, return_dtype=pl.String), own_unit, in_name).alias(
            "unit_text"
        ),
    )


def long_columns(export: Export, said: Columns) -> dict[str, pl.Series]:
    """Give the test, value and unit columns of a long table by their role."""
    for role in ("test", "value", *(["unit"] if "unit" in said.long else [])):
        if said.long.get(role, "") not in export.rows.columns:
            raise ColumnError(
                f"The long table has no column for its {role}.",
                expected=f"There are: {', '.join(export.rows.columns)}.",
                next_step='State [long] test = "HEADER", value = "HEADER", and unit = "HEADER" where there is one.',
            )
    return {role: export.rows[header] for role, header in said.long.items()}


def _analyte_of(test: str, said: Columns) -> str | None:
    """Name the analyte of a test: the one whose name in ``[columns]`` it is, else by its spelling."""
    named = [name for name in ANALYTES if name in said.named and said.named[name].header == test]
    spelled = [name for name in ANALYTES if fold(split_unit(test, ANALYTES[name])[0]) in ALIASES[name]]
    return next(iter((*named, *spelled)), None)


def _refuse_unitless(analytes: set[str], stated: Mapping[str, str | None]) -> None:
    unknown = sorted(name for name in analytes if not stated[name])
    if unknown:
        raise RefusedError(
            f"The long table states no unit for {', '.join(unknown)}.",
            next_step='Name its unit column: [long] unit = "HEADER", or state --unit '
            f"{unknown[0]}={ANALYTES[unknown[0]].unit!r}.",
        )


def set_aside_rule() -> pl.Expr:
    """Name the rule by which the flags of a row keep a result out, if one does."""
    flags = {
        "not_fasting": ~pl.col("our:fasting"),
        "on_treatment": pl.col("our:glucose_lowering_drug"),
        "pregnant": pl.col("our:pregnant"),
        "ill": pl.col("our:ill"),
    }
    rule = pl.lit(None, dtype=pl.String)
    for name, flag in flags.items():
        concerned = flag.fill_null(False) & pl.col("analyte").is_in(RULES[name].analytes)
        rule = pl.when(rule.is_null() & concerned).then(pl.lit(name)).otherwise(rule)
    return rule


def has_time(recognition: Recognition) -> bool:
    """Say whether visits have a time at all."""
    return any(recognition[name] is not None for name in TIMES)
