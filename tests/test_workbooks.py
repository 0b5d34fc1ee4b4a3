"""Workbooks and SAS transport files, made here cell by cell, become rows of text."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyreadstat
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ircohort.errors import ColumnError, FileError, IrcohortError, UsageError
from ircohort.export import RawTable, TableSpec
from ircohort.intake import read_table
from ircohort.intake.transport import SAS_ZERO

DAY, MINUTE = "yyyy-mm-dd", "yyyy-mm-dd hh:mm"
Place = tuple[int, int]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., RawTable]:
    """Read the bytes of a file as a table."""

    def table_of(content: bytes, name: str = "labs.xlsx", **said: Any) -> RawTable:
        (tmp_path / name).write_bytes(content)
        return read_table(TableSpec("labs", (str(tmp_path / name),), **said))

    return table_of


def refusal(error: type[IrcohortError], read: Callable[..., RawTable], *args: Any, **said: Any) -> IrcohortError:
    with pytest.raises(error) as raised:
        read(*args, **said)
    return raised.value


def rows(table: RawTable) -> list[tuple[str | None, ...]]:
    return table.frame.rows()


def lines(table: RawTable) -> list[int]:
    return table.places["source_row"].to_list()


# --- .xlsx ---


def xlsx(cells: Mapping[Place, Any], sheets: Mapping[str, Mapping[Place, Any]] | None = None, **options: Any) -> bytes:
    """Write a workbook: a cell is a value, or a value with its number format."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"created": dt.datetime(2020, 1, 1)})  # the same bytes whenever it is written
        for title, filled in {"labs": cells, **(sheets or {})}.items():
            sheet = book.add_worksheet(title)
            for (row, column), cell in filled.items():
                value, form = cell if isinstance(cell, tuple) else (cell, None)
                sheet.write(row, column, value, book.add_format({"num_format": form}) if form else None)
    return out.getvalue()


def table(*rows: Sequence[Any], at: Place = (0, 0)) -> dict[Place, Any]:
    return {
        (at[0] + i, at[1] + j): cell for i, row in enumerate(rows) for j, cell in enumerate(row) if cell is not None
    }


def with_sheet(xml: str, content: bytes = b"") -> bytes:
    """Replace the rows of the first sheet by hand-written ones."""
    start = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    return changed(
        content or xlsx({(0, 0): "a"}),
        "xl/worksheets/sheet1.xml",
        lambda _: f"{start}{xml}</sheetData></worksheet>".encode(),
    )


def changed(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w") as target:
        for each in source.namelist():
            target.writestr(each, change(source.read(each)) if each == part else source.read(each))
    return out.getvalue()


@pytest.mark.parametrize("name", ["labs.xlsx", "labs.xlsm", "LABS.XLSX"])
def test_text_stays_as_it_is_written(read, name):
    texts = ["001", "a b", "5,2", "<0.5", "µmol/L", "line\nbreak", "true", "_x0041_", "=A1", "1e3"]
    content = xlsx(table(["id"], *([text] for text in texts)), strings_to_formulas=False)
    assert rows(read(content, name)) == [(text,) for text in texts]


def test_numbers_are_written_in_the_shortest_way(read):
    numbers = {93.0: "93", 5.2: "5.2", 0.1: "0.1", -3: "-3", 0: "0", 1234567890: "1234567890", 15.6: "15.6"}
    assert rows(read(xlsx(table(["x"], *([number] for number in numbers))))) == [(text,) for text in numbers.values()]


@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_is_read_as_the_same_number(read, number):
    xml = f'<row r="1"><c r="A1" t="str"><v>x</v></c></row><row r="2"><c r="A2"><v>{number!r}</v></c></row>'
    assert float(rows(read(with_sheet(xml)))[0][0]) == number


def test_dates_are_iso_with_a_time_of_day_where_there_is_one(read):
    moment = dt.datetime(2020, 1, 31, 8, 30)
    cells = [["date"], [(dt.date(2020, 1, 31), DAY)], [(moment, MINUTE)], [(dt.time(8, 30), "hh:mm")]]
    assert rows(read(xlsx(table(*cells)))) == [("2020-01-31",), ("2020-01-31T08:30:00",), ("08:30:00",)]


def test_a_duration_may_be_longer_than_a_day(read):
    cells = [["fasted"], [(1.5, "[h]:mm")], [(8.25 / 24, "[h]:mm:ss")]]
    assert rows(read(xlsx(table(*cells)))) == [("36:00:00",), ("08:15:00",)]


def test_every_second_of_a_day_is_kept(read):
    moments = [dt.datetime(2020, 1, 31) + dt.timedelta(seconds=second) for second in range(1, 86400, 61)]
    cells = rows(read(xlsx(table(["t"], *([(moment, f"{DAY} hh:mm:ss")] for moment in moments)))))
    assert cells == [(moment.isoformat(),) for moment in moments]


def test_dates_of_the_1904_system_are_the_same_dates(read):
    assert rows(read(xlsx(table(["d"], [(dt.date(2020, 1, 31), DAY)]), date_1904=True))) == [("2020-01-31",)]


@pytest.mark.parametrize(
    "form", ['0 "mg/dL"', '0.0\\ "mmol/L"', "0.0 \\m\\g", "[$-409]0.0", "[Red]0.0", '0" years"', "#,##0.0_d", "@"]
)
def test_a_number_is_no_date_because_its_format_holds_letters(read, form):
    assert rows(read(xlsx(table(["x"], [(93.5, form)])))) == [("93.5",)]


def test_truth_values_are_words_of_lower_case(read):
    assert rows(read(xlsx(table(["x", "y"], [True, False])))) == [("true", "false")]


def test_error_cells_keep_their_text_and_are_not_taken_for_empty_ones(read):
    xml = (
        '<row r="1"><c r="A1" t="str"><v>x</v></c><c r="B1" t="str"><v>y</v></c></row>'
        '<row r="2"><c r="A2" s="0" t="e"><f>NA()</f><v>#N/A</v></c><c t="e" r="B2"><v>#DIV/0!</v></c></row>'
        "<row r='3'><c r='A3' t='e'><v>#FIELD!</v></c><c r='B3'/></row>"
    )
    assert rows(read(with_sheet(xml))) == [("#N/A", "#DIV/0!"), ("#FIELD!", None)]


def test_a_formula_gives_its_result(read):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "x")
        for row, (formula, result) in enumerate({"=1+1": 2, '="a"': "a", "=NA()": "#N/A"}.items(), start=1):
            sheet.write_formula(row, 0, formula, None, result)
    assert rows(read(out.getvalue())) == [("2",), ("a",), ("#N/A",)]


def test_a_formula_that_was_never_calculated_is_not_taken_for_an_empty_cell(read):
    xml = (
        '<row r="1"><c r="A1" t="str"><v>x</v></c><c r="B1" t="str"><v>y</v></c><c r="C1" t="str"><v>z</v></c></row>'
        '<row r="2"><c r="A2"><f>Q2*2</f><v></v></c><c r="B2" t="str"><f>""</f><v></v></c><c r="C2"><f>Q2</f></c></row>'
        '<row r="3"><c r="A3"><f>Q3</f><v>4</v></c><c r="B3"><f t="shared" si="0"/><v/></c></row>'
    )
    assert rows(read(with_sheet(xml))) == [("=Q2*2", None, "=Q2"), ("4", "=", None)]


def test_rows_and_cells_need_no_number_and_no_order(read):
    xml = (
        '<row><c t="inlineStr"><is><t>x</t></is></c><c t="str"><v>y</v></c></row>'
        '<row r="4"><c r="B4"><v>2</v></c><c r="A4"><v>1</v></c></row><row r="3"><c><v>3</v></c></row>'
    )
    sheet = read(with_sheet(xml))
    assert (rows(sheet), lines(sheet)) == ([("1", "2"), ("3", None)], [4, 3])


def test_the_first_row_that_is_not_empty_is_the_header(read):
    blanks = {(0, 0): ("", DAY), (1, 1): "  ", (9, 9): ("", DAY)}
    sheet = read(xlsx({**blanks, **table(["id", "glucose"], ["001", 93], at=(4, 0))}))
    assert (sheet.headers, rows(sheet), lines(sheet)) == (("id", "glucose"), [("001", "93")], [6])


def test_empty_columns_before_the_table_are_columns_without_a_name(read):
    sheet = read(xlsx(table(["id", "glucose"], ["001", 93], at=(3, 2))))
    assert sheet.headers == ("column 1", "column 2", "id", "glucose")
    assert (rows(sheet), lines(sheet)) == ([(None, None, "001", "93")], [5])


def test_a_column_without_a_name_within_the_header_is_kept(read):
    sheet = read(xlsx(table(["id ", None, "x"], ["1", "note", "2"])))
    assert (sheet.headers, rows(sheet)) == (("id", "column 2", "x"), [("1", "note", "2")])


def test_empty_rows_are_left_out_and_counted(read):
    sheet = read(xlsx(table(["id"], ["1"], [None], [None], ["2"], [" "], ["3"])))
    assert (rows(sheet), lines(sheet), sheet.malformed) == ([("1",), ("2",), ("3",)], [2, 5, 7], ())


def test_missing_cells_at_the_end_of_a_row_are_empty_cells(read):
    sheet = read(xlsx(table(["id", "x", "y"], ["1"], ["2", None, "b"])))
    assert (rows(sheet), sheet.malformed) == ([("1", None, None), ("2", None, "b")], ())


def test_a_cell_beyond_the_header_makes_a_row_malformed(read):
    sheet = read(xlsx(table(["id", "x"], ["1", 2, None, 4], ["2", 3, " "], ["3", 4])))
    assert [(row.source_row, row.text, row.cells, row.expected) for row in sheet.malformed] == [(2, "1,2,,4", 4, 2)]
    assert (rows(sheet), lines(sheet)) == ([("2", "3"), ("3", "4")], [3, 4])


def test_a_long_sheet_comes_in_pieces(read, monkeypatch):
    monkeypatch.setattr("ircohort.intake.delimited.ROWS_AT_A_TIME", 3)
    sheet = read(xlsx(table(["id"], *([number] for number in range(10)))))
    assert (rows(sheet), lines(sheet)) == ([(str(number),) for number in range(10)], list(range(2, 12)))


def test_a_header_alone_is_a_table_without_rows(read):
    assert read(xlsx(table(["id", "x"]))).frame.shape == (0, 2)


def test_the_only_sheet_with_cells_needs_no_name(read):
    assert rows(read(xlsx({}, {"data": table(["id"], ["1"]), "notes": {}}))) == [("1",)]


def test_several_sheets_with_cells_are_a_question(read):
    error = refusal(ColumnError, read, xlsx(table(["id"]), {'old "labs"': table(["id"]), "empty": {}}))
    assert error.exit_code == 3
    assert error.expected == """Its sheets: 'labs', 'old "labs"'."""
    assert '[tables.labs] sheet = "labs"' in error.next_step


def test_the_stated_sheet_is_read(read):
    sheet = read(xlsx(table(["id"], ["1"]), {"other": table(["x"], ["2"])}), sheet="other")
    assert (sheet.headers, rows(sheet)) == (("x",), [("2",)])


def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(read):
    error = refusal(ColumnError, read, xlsx(table(["id"], ["secret"])), sheet="results")
    assert "has no sheet 'results'" in str(error)
    assert "'labs'" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("sheets", "stated"), [({}, ""), ({"b": {}}, ""), ({"b": {(0, 0): "id"}}, "labs")], ids=["one", "two", "stated"]
)
def test_a_workbook_without_cells_is_empty(read, sheets, stated):
    assert "is empty" in refusal(FileError, read, xlsx({}, sheets), sheet=stated).what


@pytest.mark.parametrize("name", ["labs.xlsb", "labs.ods", "labs.numbers"])
def test_other_forms_of_workbooks_are_not_read(read, name):
    error = refusal(UsageError, read, xlsx(table(["id"], ["1"])), name)
    assert error.exit_code == 2
    assert error.next_step.startswith("Save the table as CSV")


@pytest.mark.parametrize(
    "start",
    [b"", b"id,glucose\n1,93\n", b"<html><table><tr><td>id", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"],
)
@pytest.mark.parametrize("name", ["labs.xlsx", "labs.xls"])
def test_what_is_no_workbook_is_refused(read, start, name):
    error = refusal(FileError, read, start * 300, name)
    assert error.exit_code == 6
    assert "is not a workbook that can be read" in error.what


@pytest.mark.parametrize(
    "xml",
    [
        '<row r="1"><c r="A0"><v>1</v></c></row><row r="0"><c><v>1</v></c></row>',
        '<row r="1"><c r="1"><v>1</v></c></row>',
        '<row r="1"><c r="A1" t="s"><v>99</v></c></row>',
        '<row r="1"><c r="A1" t="n"><v>secret</v></c></row>',
        '<row r="1"><c r="A1"><v>1',
        '<row r="x"><c><v>1</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="99999999999"><c><v>1</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="AAAAAAA2"><v>1</v></c></row>',
    ],
)
def test_a_sheet_of_nonsense_is_refused(read, xml):
    error = refusal(FileError, read, with_sheet(xml))
    assert "is not a workbook that can be read" in error.what
    assert "secret" not in str(error)


def test_a_stray_cell_in_the_last_corner_is_a_malformed_row(read):
    sheet = read(xlsx({**table(["id"], ["1"]), (1048575, 16383): "x"}))
    assert (rows(sheet), [row.source_row for row in sheet.malformed]) == ([("1",)], [1048576])


def test_what_a_sheet_says_of_its_size_does_not_count(read):
    def small(xml):
        return xml.replace(b'<dimension ref="A1:B3"/>', b'<dimension ref="A1"/>')

    content = changed(xlsx(table(["id", "x"], ["1", 2], ["3", 4])), "xl/worksheets/sheet1.xml", small)
    assert rows(read(content)) == [("1", "2"), ("3", "4")]


# --- compound files: .xls, and what is protected by a password ---


def entry(name: str, kind: int, begin: int, size: int, child: int = -1, right: int = -1) -> bytes:
    text = name.encode("utf-16-le").ljust(64, b"\0")
    links = struct.pack("<HBBiii", 2 * len(name) + 2, kind, 1, -1, right, child)
    return text + links + bytes(36) + struct.pack("<iQ", begin, size)


def sectors(table: Sequence[int], entries: bytes, *bodies: bytes, short: int = 0) -> bytes:
    """Write a compound file ([MS-CFB]): its table of sectors, its directory, and what is in it."""
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    header += bytes(10) + struct.pack("<8i", 1, 1, 0, 4096, 2 if short else -2, short, -2, 0)
    header += struct.pack("<109i", 0, *[-1] * 108)
    table = [-3, -2, *table]
    return (
        header + struct.pack("<128i", *table, *[-1] * (128 - len(table))) + entries.ljust(512, b"\0") + b"".join(bodies)
    )


def compound(**streams: bytes) -> bytes:
    """Write a compound file of streams that are not short."""
    table, bodies, entries = [], [], entry("Root Entry", 5, -2, 0, child=1)
    for number, (name, body) in enumerate(streams.items(), start=1):
        begin, size = 2 + len(table), -(-max(len(body), 4096) // 512)
        table += [*range(begin + 1, begin + size), -2]
        bodies.append(body.ljust(size * 512, b"\0"))
        entries += entry(name, 2, begin, size * 512, right=number + 1 if number < len(streams) else -1)
    return sectors(table, entries, *bodies)


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def xls_stream(*cells: bytes, protected: bool = False, since_1904: bool = False) -> bytes:
    """Write a workbook of one sheet as records ([MS-XLS]); its second format of cells is that of a date."""
    head = record(0x0809, struct.pack("<HHHHII", 0x0600, 5, 0, 1997, 0, 6))
    head += record(0x002F, bytes(54)) if protected else b""
    head += record(0x0042, struct.pack("<H", 1200)) + record(0x0022, struct.pack("<H", since_1904))
    head += b"".join(record(0x00E0, struct.pack("<HH", 0, form) + bytes(16)) for form in (0, 14))
    sheet = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x10, 0, 1997, 0, 6)) + b"".join(cells) + record(0x000A)
    title = b"labs"
    place = len(head) + 4 + 8 + len(title) + 4
    return head + record(0x0085, struct.pack("<IHBB", place, 0, len(title), 0) + title) + record(0x000A) + sheet


def xls(*cells: bytes, **said: bool) -> bytes:
    return compound(Workbook=xls_stream(*cells, **said))


def short_xls(*cells: bytes, links: Mapping[int, int] | None = None) -> bytes:
    """Write a workbook as a short stream, in sectors of 64 bytes, with another table of them if one is given."""
    stream = xls_stream(*cells)
    count = -(-len(stream) // 64)
    table = {**{sector: sector + 1 for sector in range(count - 1)}, count - 1: -2, **(links or {})}
    root = entry("Root Entry", 5, 3, count * 64, child=1) + entry("Workbook", 2, 0, len(stream))
    size = -(-count * 64 // 512)
    small = struct.pack("<128i", *table.values(), *[-1] * (128 - count))
    return sectors([-2, *range(4, 3 + size), -2], root, small, stream.ljust(size * 512, b"\0"), short=1)


def xls_text(row: int, column: int, text: str) -> bytes:
    return record(0x0204, struct.pack("<HHHHB", row, column, 0, len(text), 0) + text.encode("latin-1"))


def xls_number(row: int, column: int, number: float, form: int = 0) -> bytes:
    return record(0x0203, struct.pack("<HHHd", row, column, form, number))


def xls_error(row: int, column: int, code: int) -> bytes:
    return record(0x0205, struct.pack("<HHHBB", row, column, 0, code, 1))


def xls_truth(row: int, column: int, value: bool) -> bytes:
    return record(0x0205, struct.pack("<HHHBB", row, column, 0, value, 0))


def test_an_xls_is_read_with_its_error_cells(read):
    divided = record(0x0006, struct.pack("<HHH", 6, 2, 0) + b"\x02\0\x07\0\0\0\xff\xff" + bytes(8))
    content = xls(
        *(xls_text(2, column, name) for column, name in enumerate(["id", "x", "y"])),
        *(xls_text(4, 0, "001"), xls_number(4, 1, 93.0), xls_number(4, 2, 5.2)),
        *(xls_text(5, 0, " b "), xls_error(5, 1, 0x2A), xls_truth(5, 2, True)),
        *(xls_error(6, 0, 0x2B), divided),
    )
    sheet = read(content, "labs.xls")
    assert rows(sheet) == [("001", "93", "5.2"), ("b", "#N/A", "true"), ("#ERROR!", None, "#DIV/0!")]
    assert (sheet.headers, lines(sheet)) == (("id", "x", "y"), [5, 6, 7])


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (43861.0, "2020-01-31"),
        (43861 + 8.5 / 24, "2020-01-31T08:30:00"),
        (43861 + 1 / 86400, "2020-01-31T00:00:01"),
        (8.5 / 24, "08:30:00"),
        (1e9, "1000000000"),
    ],
)
def test_dates_of_an_xls_are_iso(read, stored, text):
    assert rows(read(xls(xls_text(0, 0, "d"), xls_number(1, 0, stored, form=1)), "labs.xls")) == [(text,)]


def test_dates_of_an_xls_of_the_1904_system_are_the_same_dates(read):
    content = xls(xls_text(0, 0, "d"), xls_number(1, 0, 43861.0 - 1462, form=1), since_1904=True)
    assert rows(read(content, "labs.xls")) == [("2020-01-31",)]


def test_a_row_of_an_xls_with_a_cell_beyond_the_header_is_malformed(read):
    sheet = read(xls(xls_text(0, 0, "id"), xls_text(2, 0, "1"), xls_text(2, 255, "x")), "labs.xls")
    assert [(row.source_row, row.cells) for row in sheet.malformed] == [(3, 256)]


def test_a_workbook_is_known_by_its_bytes_whatever_its_name(read):
    assert rows(read(xls(xls_text(0, 0, "id"), xls_text(1, 0, "1")), "labs.xlsx")) == [("1",)]
    assert rows(read(xlsx(table(["id"], ["1"])), "labs.xls")) == [("1",)]


@pytest.mark.parametrize("name", ["labs.xls", "labs.xlsx"])
@pytest.mark.parametrize("kind", ["xls", "xlsx"])
def test_what_is_protected_by_a_password_is_refused_as_such(read, name, kind):
    packed = compound(EncryptionInfo=b"x", EncryptedPackage=b"x")
    content = packed if kind == "xlsx" else xls(xls_text(0, 0, "id"), protected=True)
    error = refusal(FileError, read, content, name)
    assert error.what == f"{name} is protected by a password."
    assert "without a password" in error.next_step


def test_a_compound_file_of_another_kind_is_refused(read):
    assert "is not a workbook" in refusal(FileError, read, compound(WordDocument=b"x"), "labs.xls").what


def test_an_xls_whose_sectors_run_in_a_circle_is_refused(read):
    content = bytearray(xls(xls_text(0, 0, "id")))
    content[512 + 4 * 3 : 512 + 4 * 4] = struct.pack("<I", 2)
    assert "is not a workbook" in refusal(FileError, read, bytes(content), "labs.xls").what


def test_an_xls_of_short_sectors_is_read_and_refused_where_they_run_in_a_circle(read):
    cells = xls_text(0, 0, "id"), xls_text(1, 0, "1")
    assert rows(read(short_xls(*cells), "labs.xls")) == [("1",)]
    error = refusal(FileError, read, short_xls(*cells, links={2: 1}), "labs.xls")
    assert "is not a workbook" in error.what


# --- SAS transport ---


def xpt(path: Path, frame: pl.DataFrame, version: int = 5, **formats: str) -> bytes:
    pyreadstat.write_xport(frame, path / "made.xpt", file_format_version=version, variable_format=formats)
    return (path / "made.xpt").read_bytes()


def with_numbers(content: bytes, *stored: str) -> bytes:
    """Put numbers, in hexadecimal as they are stored, in the place of the first ones."""
    begin = content.index(b"HEADER RECORD*******OBS ") + 80
    body = b"".join(map(bytes.fromhex, stored))
    return content[:begin] + body + content[begin + len(body) :]


@pytest.mark.parametrize("version", [5, 8])
def test_a_transport_file_is_read_as_text(read, tmp_path, version):
    frame = pl.DataFrame({"SEQN": [93.0, 5.2, None], "TXT": ["001", "a  b  ", ""]})
    sheet = read(xpt(tmp_path, frame, version), "labs.xpt")
    assert (sheet.headers, rows(sheet)) == (("SEQN", "TXT"), [("93", "001"), ("5.2", "a  b"), (None, None)])
    assert lines(sheet) == [1, 2, 3]


@pytest.mark.parametrize(
    ("form", "stored", "text"),
    [
        ("DATE9.", 21945.0, "2020-01-31"),
        ("MMDDYY10.", 21945.0, "2020-01-31"),
        ("YYMMDD10.", 21945.0, "2020-01-31"),
        ("DDMMYYP10.", 21945.0, "2020-01-31"),
        ("E8601DA10.", 21945.0, "2020-01-31"),
        ("MONYY7.", 21945.0, "2020-01-31"),
        ("DATE9.", -1.0, "1959-12-31"),
        ("DATE9.", 1e8, "100000000"),
        ("DATETIME20.", 21945 * 86400.0 + 30600, "2020-01-31T08:30:00"),
        ("DATETIME20.", 21945 * 86400.0, "2020-01-31"),
        ("E8601DT19.", 21945 * 86400.0 + 1, "2020-01-31T00:00:01"),
        ("TIME8.", 30600.0, "08:30:00"),
        ("TIME8.", 129600.0, "36:00:00"),
        ("HHMM5.", -30600.5, "-08:30:00.500000"),
        ("BEST12.", 21945.0, "21945"),
        ("8.2", 5.25, "5.25"),
        (None, 21945.0, "21945"),
    ],
)
def test_dates_of_a_transport_file_are_iso(read, tmp_path, form, stored, text):
    content = xpt(tmp_path, pl.DataFrame({"D": [stored, None]}), **({"D": form} if form else {}))
    assert rows(read(content, "labs.xpt")) == [(text,), (None,)]


def test_all_missing_numbers_of_sas_are_empty_and_zeros_are_zero(read, tmp_path):
    content = xpt(tmp_path, pl.DataFrame({"X": [1.0] * 6}))
    stored = [".", "_", "A", "Z"]
    content = with_numbers(
        content, *(f"{ord(letter):02x}" + "00" * 7 for letter in stored), "0010" + "00" * 6, "00" * 8
    )
    assert rows(read(content, "labs.xpt")) == [(None,)] * 4 + [("0",)] * 2
    assert SAS_ZERO == 5.397605346934028e-79


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_numbers_of_a_transport_file_are_the_numbers_that_it_holds(read, tmp_path, numbers):
    content = xpt(tmp_path, pl.DataFrame({"X": numbers}))
    held = pyreadstat.read_xport(io.BytesIO(content), output_format="dict")[0]["X"]
    texts = [row[0] for row in rows(read(content, "labs.xpt"))]
    assert [float(text) for text in texts] == [0 if abs(number) == SAS_ZERO else number for number in held]


def test_text_of_another_encoding_is_refused_until_the_encoding_is_stated(read, tmp_path):
    content = xpt(tmp_path, pl.DataFrame({"T": ["xyz"]})).replace(b"xyz", "xéz".encode("latin-1"))
    error = refusal(FileError, read, content, "labs.xpt")
    assert "not UTF-8" in error.what
    assert "[tables.labs] encoding = " in error.next_step
    assert "x" not in str(error).replace("labs.xpt", "").replace("text", "")
    assert rows(read(content, "labs.xpt", encoding="latin-1")) == [("xéz",)]
    assert "not klingon" in refusal(FileError, read, content, "labs.xpt", encoding="klingon").what


@pytest.mark.parametrize("version", [5, 8])
@pytest.mark.parametrize("length", [0, 79, 80, 240, 400, 720, -1, -79])
def test_a_transport_file_that_was_cut_off_is_refused(read, tmp_path, version, length):
    content = xpt(tmp_path, pl.DataFrame({"X": [float(number) for number in range(100)]}), version)
    assert "is not a whole SAS transport file" in refusal(FileError, read, content[:length], "labs.xpt").what


def test_rows_that_the_file_counts_and_does_not_hold_are_missed(read, tmp_path):
    content = xpt(tmp_path, pl.DataFrame({"X": [float(number) for number in range(100)]}), 8)
    assert read(content, "labs.xpt").frame.height == 100
    assert "is not a whole SAS transport file" in refusal(FileError, read, content[:-80], "labs.xpt").what


def test_a_transport_file_of_several_tables_is_refused(read, tmp_path):
    content = xpt(tmp_path, pl.DataFrame({"X": [1.0]}))
    assert "holds 2 tables" in refusal(FileError, read, content + content[240:], "labs.xpt").what


def test_a_transport_file_without_rows_has_its_header(read, tmp_path):
    sheet = read(xpt(tmp_path, pl.DataFrame({"X": [1.0]}).clear()), "labs.xpt")
    assert (sheet.headers, rows(sheet)) == (("X",), [])


def test_two_variables_of_one_name_are_refused(read, tmp_path):
    content = xpt(tmp_path, pl.DataFrame({"GLU": [1.0], "INS": [2.0]})).replace(b"INS     ", b"GLU     ")
    assert "names a column more than once" in refusal(ColumnError, read, content, "labs.xpt").what


# --- damage ---


def samples(path: Path) -> dict[str, bytes]:
    """Make one file of each kind, with every kind of cell that its form knows."""
    cells = xls_text(0, 0, "id"), xls_text(0, 1, "x"), xls_text(1, 0, "1"), xls_number(1, 1, 5.2), xls_error(2, 1, 42)
    moment = (dt.datetime(2020, 1, 31, 8), MINUTE)
    frame = pl.DataFrame({"X": [1.0, 2.0], "T": ["a", "b"]})
    return {
        "packed.xlsx": xlsx(table(["id", "x"], ["1", 2.5], ["2", moment])),
        "stored.xlsx": changed(xlsx(table(["id", "x"], ["1", 2.5], ["2", moment])), "", bytes),
        "long.xls": xls(*cells, xls_number(3, 1, 43861.0, form=1)),
        "short.xls": short_xls(*cells),
        "five.xpt": xpt(path, frame, X="DATE9."),
        "eight.xpt": xpt(path, frame, 8, X="DATE9."),
    }


SAMPLES = ["packed.xlsx", "stored.xlsx", "long.xls", "short.xls", "five.xpt", "eight.xpt"]


def read_or_refused(read: Callable[..., RawTable], content: bytes, name: str) -> None:
    with contextlib.suppress(IrcohortError):
        read(content, name)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_that_was_cut_off_is_read_or_refused(read, tmp_path, name):
    content = samples(tmp_path)[name]
    for length in range(0, len(content), len(content) // 60):
        read_or_refused(read, content[:length], name)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_is_read_or_refused(read, tmp_path, name, seed):
    content = samples(tmp_path)[name]
    told = [at for at in range(len(content)) if any(content[max(at - 8, 0) : at + 8])]  # not the empty room
    source = random.Random(seed)
    for _ in range(60):
        damaged = bytearray(content)
        for at in source.choices(told, k=source.randint(1, 4)):
            damaged[at] = source.choice([0, 1, 0x7F, 0xFF, source.randrange(256)])
        read_or_refused(read, bytes(damaged), name)


def test_damage_inside_a_packed_workbook_is_read_or_refused(read):
    content = xlsx(table(["id", "x"], ["1", 2.5], ["2", (dt.datetime(2020, 1, 31, 8), MINUTE)]))
    source = random.Random(0)

    def damage(part):
        at = source.randrange(len(part))
        return part[:at] + bytes([source.choice(b'<>/"= 09AZt') if source.random() < 0.7 else 0xFF]) + part[at + 1 :]

    for _ in range(60):
        for part in ("worksheets/sheet1", "sharedStrings", "styles", "workbook"):
            read_or_refused(read, changed(content, f"xl/{part}.xml", damage), "labs.xlsx")


@pytest.mark.parametrize(
    ("name", "library"), [("packed.xlsx", "openpyxl"), ("long.xls", "xlrd"), ("five.xpt", "pyreadstat")]
)
def test_a_library_is_loaded_only_where_it_is_needed_and_pandas_never(tmp_path, name, library):
    (tmp_path / name).write_bytes(samples(tmp_path)[name])
    program = (
        "import sys\n"
        "from ircohort.export import TableSpec\n"
        "from ircohort.intake import read_table\n"
        "readers = {'openpyxl', 'xlrd', 'pyreadstat'}\n"
        "assert not readers & set(sys.modules)\n"
        "assert read_table(TableSpec('labs', (sys.argv[1],))).frame.height\n"
        "print(*sorted((readers | {'pandas'}) & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / name)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == [library]
