"""From rows to results: one row per result (LABS), with the participant, the time and the flags of its row."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ircohort.errors import ColumnError, RefusedError
from ircohort.export import SOURCE_FILE, SOURCE_ROW, Export
from ircohort.normalisation.columns import ALIASES, FLAGS, TEXTS, TIMES, Columns, Recognised, Recognition
from ircohort.normalisation.readings import read_dates, read_number
from ircohort.normalisation.rules import RULES
from ircohort.units import ANALYTES, fold

ROW = "row"
CONTEXT = ("participant_id", "date", "offset", "sex", "age", *FLAGS, *TEXTS)

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
        One row per laboratory row: ``row`` (position), ``source_file``, ``source_row``, CONTEXT, the positions of
        joined rows, kept columns as ``keep:<name>``, and all original columns.
    rejected
        The cells of the context that could not be read (:data:`REJECTED_COLUMNS`).
    """
    rows = export.rows.with_row_index(ROW)
    rejected: list[pl.DataFrame] = []

    def text(name: str) -> pl.Series:
        column = recognition[name]
        return rows[column.header] if column else pl.Series([None] * rows.height, dtype=pl.String)

    def checked(name: str, answers: pl.Series, rule: str) -> pl.Series:
        column = recognition[name]
        if column is not None:
            rejected.append(_bad_cells(rows, column.header, answers, rule))
        return answers

    date = checked("visit_date", _dates(text("visit_date"), said, recognition["visit_date"]), "unreadable_date")
    scale = {"day": 1 / DAYS_PER_YEAR, "year": 1.0}
    offsets = {name: checked(name, _numbers(text(name)), "unreadable_date") * scale[name] for name in scale}
    born = _dates(text("birth_date"), said, recognition["birth_date"])
    context = {
        "participant_id": text("participant_id"),
        "date": date,
        "offset": offsets["day"].zip_with(offsets["day"].is_not_null(), offsets["year"]),
        "sex": checked("sex", _sex(text("sex"), recognition["sex"]), "unreadable_context"),
        "age": _age(
            checked("age", _plausible_age(_numbers(text("age"))), "unreadable_context"),
            date,
            checked("birth_date", born, "unreadable_date"),
            checked("birth_year", _numbers(text("birth_year")), "unreadable_context"),
        ),
        **{name: checked(name, _flag(text(name), recognition[name]), "unreadable_context") for name in FLAGS},
        **{name: text(name) for name in TEXTS},
        **{f"keep:{header.rsplit('.', 1)[-1]}": rows[header] for header in said.keep},
    }
    read = rows.with_columns(series.alias(f"our:{name}") for name, series in context.items())
    return read, pl.concat(rejected) if rejected else _no_rejected()


def _no_rejected() -> pl.DataFrame:
    types = (pl.String, pl.Int64, pl.String, pl.String, pl.String)
    return pl.DataFrame(schema=dict(zip(REJECTED_COLUMNS, types, strict=True)))


def _bad_cells(rows: pl.DataFrame, header: str, answers: pl.Series, rule: str) -> pl.DataFrame:
    """List cells that hold something and gave no answer."""
    return (
        rows.with_columns(answers.is_null().alias("#bad"))
        .filter(pl.col("#bad") & pl.col(header).is_not_null())
        .select(
            SOURCE_FILE,
            SOURCE_ROW,
            pl.lit(header).alias("column"),
            pl.col(header).alias("raw_value"),
            pl.lit(rule).alias("rule"),
        )
    )


def _numbers(texts: pl.Series) -> pl.Series:
    return texts.map_elements(read_number, return_dtype=pl.Float64, skip_nulls=True)


def _dates(texts: pl.Series, said: Columns, column: Recognised | None) -> pl.Series:
    dates = read_dates(texts, said.date_format)
    if column is not None and texts.count() and not dates.count():
        raise ColumnError(
            f"No cell of the column {column.header} is a date of the form {said.date_format}.",
            expected="ircohort does not guess whether 03/04 is in March or in April.",
            next_step='State the form: --date-format "%d/%m/%Y", or in the configuration: '
            '[columns] date_format = "%d/%m/%Y"',
        )
    return dates


def _plausible_age(ages: pl.Series) -> pl.Series:
    return pl.select(pl.when(ages.is_between(0, 120)).then(ages)).to_series()


def _age(age: pl.Series, date: pl.Series, born: pl.Series, birth_year: pl.Series) -> pl.Series:
    """Take the age as stated, else from the date of birth, else from the middle of the year of birth."""
    by_date = (date - born).dt.total_days() / DAYS_PER_YEAR
    by_year = date.dt.year() + (date.dt.ordinal_day() - 1) / DAYS_PER_YEAR - birth_year - 0.5
    return pl.select(pl.coalesce(age, by_date, by_year)).to_series()


def _sex(texts: pl.Series, column: Recognised | None) -> pl.Series:
    spelled = {**_SEXES, **(column.values if column else {})}
    table = {fold(word): sex for sex, words in spelled.items() for word in words}
    return texts.map_elements(lambda text: table.get(fold(text)), return_dtype=pl.String, skip_nulls=True)


def _flag(texts: pl.Series, column: Recognised | None) -> pl.Series:
    """Read yes and no. Where the user listed only what means yes, everything else means no."""
    said = column.values if column else {}
    if "yes" in said:
        others = "no" not in said
        table = {**dict.fromkeys(said["yes"], True), **dict.fromkeys(said.get("no", ()), False)}
        answer = lambda text: table.get(text, False if others else None)  # noqa: E731 -- one of two small rules
    else:
        words = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
        answer = lambda text: words.get(fold(text))  # noqa: E731 -- the other
    return texts.map_elements(answer, return_dtype=pl.Boolean, skip_nulls=True)


def per_person_tables(export: Export, recognition: Recognition) -> set[str]:
    """Find joined tables keyed by the participant: their measurements were taken once."""
    participant = recognition["participant_id"]
    header = participant.header if participant else ""
    return {name for name, table in export.joined.items() if (table.spec.via or table.spec.key) == header}


def to_labs(rows: pl.DataFrame, export: Export, recognition: Recognition, said: Columns) -> pl.DataFrame:
    """Give one row per result that is there.

    Returns
    -------
    polars.DataFrame
        ``row``, ``table`` (empty for the laboratory table), ``source_file``, ``source_row``, ``column``,
        ``analyte`` (null where the test is not read), ``value_text``, ``unit_text``.
    """
    parts = [_wide(rows, column, export) for column in recognition.analytes]
    if said.long:
        parts.append(_long(rows, said))
    return pl.concat(parts) if parts else _wide(rows.clear(), Recognised("glucose", ROW, ""), export)


def _wide(rows: pl.DataFrame, column: Recognised, export: Export) -> pl.DataFrame:
    source = [pl.col(SOURCE_FILE), pl.col(SOURCE_ROW)]
    if column.table:
        joined = export.joined[column.table].frame
        position = f"{column.table}.#"
        rows = rows.filter(pl.col(position).is_not_null()).unique(position, keep="first", maintain_order=True)
        at = rows[position]
        source = [pl.lit(joined[name].gather(at)).alias(name) for name in (SOURCE_FILE, SOURCE_ROW)]
    return rows.select(
        ROW,
        pl.lit(column.table).alias("table"),
        *source,
        pl.lit(column.header).alias("column"),
        pl.lit(column.name).alias("analyte"),
        pl.col(column.header).cast(pl.String).alias("value_text"),
        pl.lit(column.unit).alias("unit_text"),
    ).filter(pl.col("value_text").is_not_null())


def _long(rows: pl.DataFrame, said: Columns) -> pl.DataFrame:
    """Read a table with a test, a value and a unit in each row; a test is known by its spelling."""
    for role in ("test", "value"):
        if said.long.get(role, "") not in rows.columns:
            raise ColumnError(
                f"The long table has no column for its {role}.",
                expected='State [long] test = "HEADER", value = "HEADER", and unit = "HEADER" where there is one.',
            )
    spelled = {word: name for name in ANALYTES for word in ALIASES[name]}
    tests = rows[said.long["test"]].unique(maintain_order=True).drop_nulls().to_list()
    names = {test: spelled.get(fold(test)) for test in tests}
    unit_header = said.long.get("unit", "")
    own_unit = pl.col(unit_header) if unit_header else pl.lit(None, dtype=pl.String)
    analyte = pl.col(said.long["test"]).replace_strict(names, default=None, return_dtype=pl.String)
    stated = analyte.replace_strict(dict(said.units), default=None, return_dtype=pl.String)
    _refuse_unitless(set(names.values()) - {None}, said, unit_header)
    return rows.select(
        ROW,
        pl.lit("").alias("table"),
        SOURCE_FILE,
        SOURCE_ROW,
        pl.lit(said.long["value"]).alias("column"),
        analyte.alias("analyte"),
        pl.col(said.long["value"]).alias("value_text"),
        pl.coalesce(stated, own_unit).alias("unit_text"),
    ).filter(pl.col("value_text").is_not_null())


def _refuse_unitless(analytes: set[str | None], said: Columns, unit_header: str) -> None:
    unknown = sorted(name for name in analytes if name and name not in said.units)
    if unknown and not unit_header:
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
