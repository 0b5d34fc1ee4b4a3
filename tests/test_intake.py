import gzip
import io
import zipfile

import polars as pl
import pytest

from ircohort.errors import ColumnError, ConfigurationError, FileError, RefusedError, UsageError
from ircohort.export import TableSpec
from ircohort.intake import read_export, read_table
from ircohort.intake.files import opened

TEXT = "id,date,glucose (mg/dL)\n001,2020-01-01,95\n002,2020-01-02,\n"


def spec(*paths, **said):
    return TableSpec("labs", tuple(map(str, paths)), **said)


def written(directory, content, name="labs.csv"):
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_cell_is_text_and_identifiers_stay_as_written(tmp_path):
    table = read_table(spec(written(tmp_path, TEXT)))
    assert table.frame["id"].to_list() == ["001", "002"]
    assert table.frame["glucose (mg/dL)"].to_list() == ["95", None]
    assert table.places["source_row"].to_list() == [2, 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", TEXT.replace(",", "\t").encode()),
        ("a.csv", TEXT.replace(",", ";").encode()),
        ("a.csv", TEXT.replace("\n", "\r\n").encode()),
        ("a.csv", TEXT.replace("\n", "\r").encode()),
        ("a.csv", b"\xef\xbb\xbf" + TEXT.encode()),
        ("a.csv", TEXT.encode("utf-16")),
        ("a.csv.gz", gzip.compress(TEXT.encode())),
        ("a.csv", TEXT.rstrip("\n").encode()),
    ],
    ids=["tabs", "semicolons", "crlf", "cr", "bom", "utf16", "gzip", "no last newline"],
)
def test_the_dialect_does_not_matter(tmp_path, name, content):
    plain = read_table(spec(written(tmp_path, TEXT, "plain.csv"))).frame
    assert read_table(spec(written(tmp_path, content, name))).frame.equals(plain)


def test_a_zip_of_one_file_and_a_parquet_file_are_read(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labs.csv", TEXT)
    assert read_table(spec(written(tmp_path, buffer.getvalue(), "labs.zip"))).frame.height == 2
    pl.DataFrame({"id": ["001"], "glucose": [95.5]}).write_parquet(tmp_path / "labs.parquet")
    table = read_table(spec(tmp_path / "labs.parquet"))
    assert (table.places["source_row"][0], table.frame.row(0)) == (1, ("001", "95.5"))


def test_lines_are_counted_through_empty_lines_and_quoted_line_breaks(tmp_path):
    text = '\n\nid,note\n1,"two\nlines"\n\n2,plain\n'
    table = read_table(spec(written(tmp_path, text)))
    assert table.places["source_row"].to_list() == [4, 7]
    assert table.frame["note"][0] == "two\nlines"


def test_a_row_with_too_many_or_too_few_cells_is_kept_apart_with_its_line(tmp_path):
    table = read_table(spec(written(tmp_path, "id,glucose\n1,95\n2,96,97\n3\n4,98\n")))
    assert table.frame["id"].to_list() == ["1", "4"]
    assert [(row.source_row, row.cells) for row in table.malformed] == [(3, 3), (4, 1)]
    assert table.files[0].rows == 4


def test_missing_tokens_are_a_setting(tmp_path):
    path = written(tmp_path, "id,glucose\n1,NA\n2,n.d.\n")
    assert read_table(spec(path)).frame["glucose"].to_list() == [None, "n.d."]
    assert read_table(spec(path, missing=("", "n.d."))).frame["glucose"].to_list() == ["NA", None]


def test_a_directory_and_a_glob_are_read_in_order_of_name(tmp_path):
    for name, person in (("b.csv", "2"), ("a.csv", "1"), ("notes.md", "9")):
        written(tmp_path, f"id,glucose\n{person},95\n", name)
    for given in (tmp_path, tmp_path / "*.csv"):
        table = read_table(spec(given))
        assert table.frame["id"].to_list() == ["1", "2"]
        assert table.places["source_file"].to_list() == ["a.csv", "b.csv"]


def test_files_of_one_table_share_their_columns(tmp_path):
    written(tmp_path, "id,glucose\n1,95\n", "a.csv")
    written(tmp_path, "glucose,id\n96,2\n", "b.csv")
    assert read_table(spec(tmp_path)).frame["id"].to_list() == ["1", "2"]
    written(tmp_path, "id,insulin\n1,95\n", "c.csv")
    with pytest.raises(RefusedError, match=r"c\.csv and a\.csv"):
        read_table(spec(tmp_path))


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="There is no file"):
        read_table(spec(tmp_path / "absent.csv"))


def test_an_unknown_format_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match="format"):
        read_table(spec(written(tmp_path, b"PK", "labs.docx")))


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_a_file_error(tmp_path, content):
    with pytest.raises(FileError, match="is empty"):
        read_table(spec(written(tmp_path, content)))


def test_a_header_without_rows_is_an_empty_table(tmp_path):
    assert read_table(spec(written(tmp_path, "id,glucose\n"))).frame.height == 0


def test_a_repeated_header_is_refused(tmp_path):
    with pytest.raises(ColumnError, match="'glucose' more than once"):
        read_table(spec(written(tmp_path, "id,glucose,glucose\n1,2,3\n")))


def test_bytes_of_another_encoding_are_refused_with_the_line_and_the_way_out(tmp_path):
    path = written(tmp_path, "id,note\n1,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(FileError, match=r"line 2") as refusal:
        read_table(spec(path))
    assert "encoding" in refusal.value.next_step
    assert read_table(spec(path, encoding="latin-1")).frame["note"][0] == "caf\u00e9"
    with pytest.raises(ConfigurationError, match="no encoding"):
        read_table(spec(path, encoding="latin-99"))


def test_an_open_quotation_mark_is_refused_with_its_line(tmp_path):
    with pytest.raises(FileError, match="at line 3"):
        read_table(spec(written(tmp_path, 'id,note\n1,a\n2,"open\n3,b\n')))


@pytest.mark.parametrize(("name", "content"), [("a.csv.gz", b"no"), ("a.zip", b"no"), ("a.parquet", b"no")])
def test_a_damaged_container_is_a_file_error(tmp_path, name, content):
    with pytest.raises(FileError):
        read_table(spec(written(tmp_path, content, name)))


def joined(tmp_path, visits, labs="key,glucose\nv1,95\nv2,96\nv9,97\n", **said):
    people = TableSpec("visits", (str(written(tmp_path, visits, "visits.csv")),), key="key", **said)
    return read_export(spec(written(tmp_path, labs)), [people])


def test_rows_without_a_partner_are_kept_with_nulls(tmp_path):
    export = joined(tmp_path, "key,person\nv2,b\nv1,a\nv3,c\n")
    assert export.columns["key"].text().to_list() == ["v1", "v2", "v9"]
    assert export.columns["visits.person"].text().to_list() == ["a", "b", None]
    assert export.positions["visits"].to_list() == [1, 0, None]


def test_a_key_that_is_not_unique_is_refused_with_its_lines(tmp_path):
    with pytest.raises(RefusedError, match=r"line 2 of .*, and line 4 of ") as refusal:
        joined(tmp_path, "key,person\nv1,a\nv2,b\nv1,c\n")
    assert "v1" not in str(refusal.value)


def test_a_key_column_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ColumnError, match="no column 'key'"):
        joined(tmp_path, "visit,person\nv1,a\n")
    with pytest.raises(ColumnError, match="leads to the table"):
        joined(tmp_path, "key,person\nv1,a\n", via="absent")


def test_null_keys_do_not_join_each_other(tmp_path):
    rows = joined(tmp_path, "key,person\n,nobody\nv1,a\n", labs="key,glucose\n,95\nv1,96\n").columns
    assert rows["visits.person"].text().to_list() == [None, "a"]


def test_joined_tables_may_be_listed_in_any_order(tmp_path):
    labs = spec(written(tmp_path, "key,glucose\nv1,95\n"))
    visits = TableSpec("visits", (str(written(tmp_path, "key,person\nv1,a\n", "v.csv")),), key="key")
    people = TableSpec("people", (str(written(tmp_path, "id,sex\na,f\n", "p.csv")),), key="id", via="visits.person")
    for order in ((visits, people), (people, visits)):
        assert read_export(labs, order).columns["people.sex"].text().to_list() == ["f"]


def test_files_of_one_name_in_two_directories_are_told_apart(tmp_path):
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
    labs = spec(written(tmp_path / "x", "key,glucose\nv1,95\n"))
    visits = TableSpec("visits", (str(written(tmp_path / "y", "key,person\nv1,a\n")),), key="key")
    assert [file.name for file in read_export(labs, [visits]).files] == ["x/labs.csv", "y/labs.csv"]


def test_a_file_that_is_named_twice_is_refused(tmp_path):
    path = written(tmp_path, TEXT)
    for given in ((path, path), (path, tmp_path / "*.csv")):
        with pytest.raises(UsageError, match="named twice"):
            read_table(spec(*given))


def test_a_first_line_that_holds_data_is_refused_without_showing_it(tmp_path):
    with pytest.raises(ColumnError, match="holds data, not column names") as refusal:
        read_table(spec(written(tmp_path, "SECRET,2020-01-01,95.5\nb,2020-01-01,96.5\n")))
    assert "SECRET" not in str(refusal.value)


def test_a_header_of_any_name_is_only_a_header(tmp_path):
    names = ["source_file", "source_row", "row", "visit", "outcome", "our:sex", "#", "table", "at"]
    table = read_table(spec(written(tmp_path, ",".join(names) + "\n" + ",".join("123456789") + "\n")))
    assert table.frame.row(0) == tuple("123456789")


def test_a_joined_column_does_not_take_the_place_of_a_laboratory_column(tmp_path):
    with pytest.raises(ColumnError, match=r"visits\.person"):
        joined(tmp_path, "key,person\nv1,a\n", labs="key,visits.person\nv1,z\n")


@pytest.mark.parametrize("said", [{"delimiter": ";;"}, {"encoding": "undefined"}, {"encoding": "a\0"}])
def test_a_dialect_that_cannot_be_is_refused(tmp_path, said):
    with pytest.raises(ConfigurationError):
        read_table(spec(written(tmp_path, TEXT), **said))


def test_times_of_a_parquet_file_are_written_as_dates_are(tmp_path):
    moment = pl.Series("date", ["2020-01-31T08:30:00"]).str.to_datetime()
    pl.DataFrame({"date": moment, "spent": pl.Series([5], dtype=pl.Duration)}).write_parquet(tmp_path / "a.parquet")
    assert read_table(spec(tmp_path / "a.parquet")).frame.row(0) == ("2020-01-31T08:30:00", "5")


def test_only_what_cannot_be_unpacked_is_called_damaged(tmp_path):
    path = tmp_path / "labs.csv.gz"
    path.write_bytes(gzip.compress(b"id,glucose\na,95\n"))
    with pytest.raises(ValueError, match="a fault of a later step"), opened(str(path), lambda _: None):
        raise ValueError("a fault of a later step")
