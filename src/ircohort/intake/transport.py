"""SAS transport files (NHANES) as text: numbers in their shortest form, dates by the format of their variable."""

from __future__ import annotations

import codecs
import datetime as dt
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from ircohort.errors import ColumnError, FileError
from ircohort.export import TableSpec
from ircohort.intake.delimited import Piece, header_of, pieces_of_rows
from ircohort.intake.workbooks import clock, moment, number

RECORD_BYTES = 80
SAS_ORIGIN = dt.datetime(1960, 1, 1)

SAS_ZERO = 16.0**-65
"""5.397605346934028e-79, the smallest normalised number of the IBM form in which transport files hold numbers.

Zeros of NHANES and other public files appear as this number (https://github.com/pandas-dev/pandas/issues/30051,
https://github.com/pandas-dev/pandas/issues/50670). No measurement is of that size.
"""

SAS_DATES = re.compile(
    r"[BE]8601DA|IS8601DA|DATE|NLDATE|(?:DDMMYY|MMDDYY|YYMMDD)[BCDNPS]?|WORDDATE|WORDDATX|WEEKDATE|WEEKDATX|NENGO"
    r"|JULIAN|JULDAY|PDJUL[GI]|MONYY|YYMON|(?:MMYY|YYMM|YYQ)[CDNPS]?|YYQR[CDNPS]?|YYWEEK[UVW]|WEEK[UVW]|YEAR|QTRR?"
    r"|MONTH|MONNAME|WEEKDAY|DOWNAME|DAY"
)
"""Formats of a count of days since 1960-01-01, whatever part of the date they show."""
SAS_DATETIMES = re.compile(
    r"[BE]8601D[NTXZ]|IS8601D[NTZ]|DATETIME|DATEAMPM|MDYAMPM|NLDATM|DTDATE|DTMONYY|DTWKDATX|DTYEAR|DTYYQC"
)
"""Formats of a count of seconds since 1960-01-01."""
SAS_TIMES = re.compile(r"[BE]8601TM|IS8601TM|TIME|TIMEAMPM|NLTIME|TOD|HHMM|HOUR|MMSS")
"""Formats of a count of seconds since midnight."""

_SAS_MEMBERS = (b"HEADER RECORD*******MEMBER  HEADER", b"HEADER RECORD*******MEMBV8  HEADER")
_SAS_ROWS = re.compile(rb"HEADER RECORD\*{7}OBSV8   HEADER RECORD!{7}\s*(\d+)")


def transport_pieces(stream: IO[bytes], name: str, spec: TableSpec) -> Iterator[Piece]:
    """Read a SAS transport file of version 5 or 8 piece by piece; the first piece has no rows.

    Rows are numbered from 1. Missing numbers (``.``, ``._``, ``.A`` to ``.Z``) are empty cells.

    Raises
    ------
    FileError
        If the file is damaged or cut off, holds several tables, or its text is not of the encoding.
    ColumnError
        If two variables have one name.
    """
    content = stream.read()
    _refuse_other_than_one_table(content, name)
    columns, formats = _transported(content, name, spec.encoding, spec.name)
    _refuse_lost_rows(content, name, max(map(len, columns.values()), default=0))
    texts = [_sas_texts(values, formats.get(column)) for column, values in columns.items()]
    header = header_of([column.strip() for column in columns], name, 1)
    yield from pieces_of_rows(enumerate(zip(*texts, strict=True), start=1), header, name)


def _refuse_other_than_one_table(content: bytes, name: str) -> None:
    """Refuse what the reader would not: it takes the header of a second table for rows, and drops half a row."""
    starts = [at for member in _SAS_MEMBERS for at in _places(content, member) if at % RECORD_BYTES == 0]
    if len(starts) > 1:
        raise FileError(
            f"{name} holds {len(starts)} tables.",
            expected="A transport file of one table is read.",
            next_step="Write each table to a file of its own.",
        )
    if not starts or len(content) % RECORD_BYTES:
        raise _not_transport(name)


def _places(content: bytes, text: bytes) -> Iterator[int]:
    at = content.find(text)
    while at >= 0:
        yield at
        at = content.find(text, at + 1)


def _not_transport(name: str) -> FileError:
    return FileError(
        f"{name} is not a whole SAS transport file.",
        expected="Version 5 or 8, as the XPORT engine or %LOC2XPT writes it, in records of 80 bytes; not PROC CPORT.",
        next_step="Copy the file anew, or save the table as CSV.",
    )


def _refuse_lost_rows(content: bytes, name: str, rows: int) -> None:
    """Compare with the count of rows that SAS states in version 8."""
    stated = _SAS_ROWS.search(content)
    if stated and int(stated[1]) > rows:
        raise _not_transport(name)


def _transported(
    content: bytes, name: str, encoding: str, table: str
) -> tuple[Mapping[str, Sequence[str | float | None]], Mapping[str, str | None]]:
    """Give the columns of a transport file, numbers as they are stored, and the formats of its variables."""
    import pyreadstat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # given where a name repeats, and pyreadstat makes up another
            columns, about = pyreadstat.read_xport(
                io.BytesIO(content),
                encoding=codecs.lookup(encoding).name if encoding else None,
                disable_datetime_conversion=True,
                output_format="dict",
            )
    except UserWarning as error:
        raise ColumnError(f"{name} names a column more than once.", next_step="Rename one of them.") from error
    except (UnicodeError, LookupError) as error:
        raise FileError(
            f"{name} holds text that is not {encoding or 'UTF-8'}.",
            next_step=f'State its encoding in the configuration: [tables.{table}] encoding = "latin-1"',
        ) from error
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, ValueError, TypeError, OverflowError) as error:
        raise _not_transport(name) from error
    if None in columns:  # a name that could not be decoded
        raise _not_transport(name)
    return columns, about.original_variable_types


def _sas_texts(values: Sequence[str | float | None], written: str | None) -> list[str]:
    kind = re.sub(r"\d*\.?\d*$", "", (written or "").upper())
    return [_sas_text(value, kind) for value in values]


def _sas_text(value: str | float | None, kind: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value.rstrip()
    try:
        if SAS_DATES.fullmatch(kind):
            return moment(SAS_ORIGIN + dt.timedelta(days=value // 1))
        if SAS_DATETIMES.fullmatch(kind):
            return moment(SAS_ORIGIN + dt.timedelta(seconds=value))
        if SAS_TIMES.fullmatch(kind):
            return clock(dt.timedelta(seconds=value))
    except OverflowError:  # beyond the years 1 to 9999: the number as it is stored
        pass
    return "0" if abs(value) == SAS_ZERO else number(value)
