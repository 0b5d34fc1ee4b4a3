"""Make the files of the corpus that an editor cannot write: encodings, line ends, packed and binary forms.

Run as ``python tests/corpus/make.py``; it needs XlsxWriter and pyreadstat. All values are invented.
"""

from __future__ import annotations

import datetime
import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import polars as pl
import pyreadstat
import xlsxwriter

HERE = Path(__file__).parent

TEXT = "id,date,glucose (mg/dL),insulin (uIU/mL)\n001,2020-01-01,91,9\n002,2020-01-01,95,n/a\n002,2020-07-01,high,12\n"
FRENCH = "id,date,insulin (µIU/mL),site\na,2020-01-01,9,Orléans\nb,2020-01-01,10.5,Genève\n"
ASCII_HEADER = "id,date,insulin (uIU/mL),site\na,2020-01-01,9.25,Paris\nb,2020-01-01,9.5,Orléans\n"
EPOCH = datetime.datetime(2020, 1, 1)


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def workbook(sheets: dict[str, list[list[object]]], first_row: int = 0) -> bytes:
    """Write each sheet from a given row on (counted from 0)."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_numbers": False}) as book:
        book.set_properties({"created": EPOCH})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for down, row in enumerate(rows, start=first_row):
                for across, cell in enumerate(row):
                    if isinstance(cell, datetime.date):
                        sheet.write_datetime(down, across, datetime.datetime.combine(cell, datetime.time()), day)
                    elif cell is not None:
                        sheet.write(down, across, cell)
    return buffer.getvalue()


def write_parquet(path: Path) -> None:
    dates = [datetime.date(2020, 1, 1), datetime.date(2020, 1, 1), datetime.date(2020, 7, 1)]
    pl.DataFrame(
        {
            "id": ["001", "002", "002"],
            "date": dates,
            "glucose (mg/dL)": [91.5, 95.25, 101.0],
            "insulin (uIU/mL)": pl.Series([9, None, 12000], dtype=pl.Int32),
        }
    ).write_parquet(path)


def write_transport(path: Path) -> None:
    frame = pd.DataFrame(
        {
            "SEQN": [93708.0, 93711.0, 93717.0],
            "RIAGENDR": [2.0, 1.0, 1.0],
            "RIDAGEYR": [66.0, 56.0, 22.0],
            "LBXGLU": [122.0, 107.0, 9500.5],
            "LBDGLUSI": [6.75, 5.9375, 5.0],
            "LBXIN": [12.5, None, 8.0],
            "LBXGH": [6.5, 5.25, 5.5],
        }
    )
    pyreadstat.write_xport(frame, path, table_name="GLU", file_format_version=5)
    content = bytearray(path.read_bytes())
    for at in (144, 160, 464, 480):  # the header holds the moment of writing
        content[at : at + 16] = b"01JAN20:00:00:00"
    path.write_bytes(content)


def make() -> None:
    day = datetime.date
    header = ["id", "date", "glucose (mg/dL)", "insulin (uIU/mL)"]
    rows = [
        ["001", day(2020, 1, 1), 91, 9.5],
        ["002", day(2020, 1, 1), 95, None],
        ["002", day(2020, 7, 1), "high", 12],
    ]
    two = {"Results": [header[:3], *(row[:3] for row in rows[:2])], "Key": [["code", "meaning"], [1, "x"]], "Empty": []}
    files = {
        "1-gzip-is-unpacked/labs.csv.gz": gzipped(TEXT.encode()),
        "1-a-zip-of-one-file-is-unpacked/labs.zip": zipped("labs.csv", TEXT.encode()),
        "1-a-damaged-gzip-is-a-file-error/labs.csv.gz": gzipped(TEXT.encode())[:-30],
        "1-a-workbook-may-begin-with-empty-rows/labs.xlsx": workbook({"Results": [header, *rows]}, first_row=3),
        "1-a-workbook-of-two-sheets-is-a-question/labs.xlsx": workbook(two),
        "1-latin-1-is-read-where-it-is-stated/labs.csv": FRENCH.encode("latin-1"),
        "1-latin-1-that-is-not-stated-is-a-file-error/labs.csv": ASCII_HEADER.encode("latin-1"),
        "1-utf-16-with-a-mark-is-read/labs.csv": b"\xff\xfe" + FRENCH.encode("utf-16-le"),
        "1-cr-may-end-lines/labs.csv": TEXT.replace("\n", "\r").encode(),
        "1-crlf-may-end-lines/labs.csv": TEXT.replace("\n", "\r\n").encode(),
    }
    for name, content in files.items():
        (HERE / name).write_bytes(content)
    write_parquet(HERE / "1-parquet-is-read" / "labs.parquet")
    write_transport(HERE / "1-sas-transport-is-read-by-nhanes-names" / "GLU.xpt")


if __name__ == "__main__":
    make()
