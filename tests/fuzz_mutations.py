"""Cases of the corpus, and what can be done to their files, options and configuration.

A case is made of its seed alone, and of the corpus as it stands. Each mutation has a seed of its own, so that any of
them can be left out.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import math
import random
import re
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from fuzz_values import (
    BYTES,
    CANARY_PERSON,
    CANARY_VALUE,
    DATE_FORMS,
    ENCODING_NAMES,
    ENCODINGS,
    HEADERS,
    KEYS,
    NAMES,
    ODD_PATHS,
    PATTERNS,
    TABLES,
    TOKENS,
    TOML_VALUES,
    UNITS,
)
from ircohort.units import ANALYTES

CORPUS = Path(__file__).parent / "corpus"

# --- a case ---------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """What is run: files by their path, and the arguments; ``log`` says what was done to it."""

    name: str
    command: str
    inputs: list[str]
    options: list[str]
    config: str | None
    stdin: str | None
    files: dict[str, bytes]
    form: str = "csv"
    log: list[str] = field(default_factory=list)
    headers: frozenset[bytes] = frozenset()

    @property
    def arguments(self) -> list[str]:
        config = ["--config", self.config] if self.config else []
        out = {"markers": ["-o", f"out.{self.form}"], "init": ["-o", "out.toml"]}.get(self.command, [])
        return [self.command, *self.inputs, *self.options, *config, *out]

    def data(self) -> list[str]:
        """List the files that hold tables."""
        return sorted(path for path in self.files if path != self.config)


def corpus() -> list[Case]:
    """Read the corpus into memory."""
    cases = []
    for path in sorted(CORPUS.glob("*/case.toml")):
        said = tomllib.loads(path.read_text("utf-8"))
        files = {
            file.relative_to(path.parent).as_posix(): file.read_bytes()
            for file in sorted(path.parent.rglob("*"))
            if file.is_file() and file != path
        }
        inputs, config = list(said["inputs"]), said.get("config")
        options = [*said.get("options", []), *said.get("answer", [])]
        if "answer_config" in said:
            files["answer.toml"], config = said["answer_config"].encode(), "answer.toml"
        cases.append(Case(path.parent.name, "markers", inputs, options, config, said.get("stdin"), files))
    return cases


def case_of(seed: int, cases: list[Case], only: Iterable[int] | None = None) -> tuple[Case, int]:
    """Make the case of a seed, with all of its mutations or ``only`` some; and say how many it has."""
    source = random.Random(seed)
    made = source.choice(cases)
    command = source.choices(["markers", "check", "init"], [75, 17, 8])[0]
    form = source.choices(["csv", "parquet", "json"], [70, 20, 10])[0]
    case = Case(made.name, command, [*made.inputs], [*made.options], made.config, made.stdin, dict(made.files), form)
    if source.random() < 0.5:
        plant(case, source)
    case.headers = frozenset(map(first_line, case.files.values()))
    count = source.choices([0, 1, 2, 3, 4, 6], [2, 40, 26, 16, 10, 6])[0]
    for number in range(count) if only is None else only:
        own = random.Random(f"{seed}:{number}")
        kind = own.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
        done = kind(case, own)
        case.log.append(f"{number}: {kind.__name__}{f' ({done})' if done else ': nothing to do'}")
    return case, count


_NOT_A_RESULT = re.compile(
    r"id|key|date|day|year|birth|concept|code|loinc|seq|visit|person|patient|age|code", re.IGNORECASE
)
_NUMBER = re.compile(rb"[<>]?\d+([.,]\d+)?")


def plant(case: Case, source: random.Random) -> None:
    """Put the canaries where results and identifiers stand, in comma-separated files."""
    for path in case.data():
        lines = case.files[path].split(b"\n")
        if not path.endswith(".csv") or len(lines) < 3 or b'"' in case.files[path] or b"," not in lines[0]:
            continue
        header = lines[0].decode("latin-1").split(",")
        number = source.randrange(1, len(lines) - 1)
        cells = lines[number].split(b",")
        if len(cells) != len(header):
            continue
        for place, name in enumerate(header):
            if _NUMBER.fullmatch(cells[place].strip()) and not _NOT_A_RESULT.search(name):
                cells[place] = CANARY_VALUE.encode()
            elif name in ("id", "participant_id"):
                cells[place] = CANARY_PERSON.encode()
        lines[number] = b",".join(cells)
        case.files[path] = b"\n".join(lines)


def first_line(content: bytes) -> bytes:
    return next((line for line in re.split(rb"[\r\n]+", content) if line.strip()), b"")


# --- mutations of bytes ---------------------------------------------------------------------------------------------


def _pick(case: Case, source: random.Random, keep: Callable[[str], bool] = lambda _: True) -> str | None:
    paths = [path for path in case.data() if keep(path)]
    return source.choice(paths) if paths else None


def _spot(content: bytes, source: random.Random) -> int:
    """Choose a place, more often near the ends."""
    size = len(content)
    return min(
        size,
        source.choice(
            [source.randint(0, size), source.randint(0, min(size, 64)), max(0, size - source.randint(0, 64))]
        ),
    )


def _flip(content: bytes, source: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(source.choice([1, 1, 2, 8]) if changed else 0):
        changed[min(_spot(content, source), len(changed) - 1)] ^= 1 << source.randrange(8)
    return bytes(changed)


def _truncate(content: bytes, source: random.Random) -> bytes:
    return content[: _spot(content, source)]


def _cut(content: bytes, source: random.Random) -> bytes:
    start = _spot(content, source)
    return content[:start] + content[start + source.choice([1, 2, 7, 64, 500]) :]


def _repeat(content: bytes, source: random.Random) -> bytes:
    start = _spot(content, source)
    part = content[start : start + source.choice([1, 2, 16, 200])]
    return content[:start] + part * source.choice([2, 3, 50]) + content[start:]


def _insert(content: bytes, source: random.Random) -> bytes:
    start = _spot(content, source)
    return content[:start] + source.choice(BYTES) + content[start:]


def _overwrite(content: bytes, source: random.Random) -> bytes:
    start, size = _spot(content, source), source.choice([1, 4, 16, 100])
    return (
        content[:start] + source.choice([bytes(size), b"\xff" * size, source.randbytes(size)]) + content[start + size :]
    )


def _begin(content: bytes, source: random.Random) -> bytes:
    return source.choice(BYTES) + content


def _empty(content: bytes, source: random.Random) -> bytes:
    return source.choice(
        [b"", b"\n", b"\r\n\r\n", b" ", b'"', b'""', b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b",", b",,,\n"]
    )


BYTE_CHANGES = (_flip, _flip, _truncate, _cut, _repeat, _insert, _insert, _overwrite, _begin, _empty)


def change_bytes(case: Case, source: random.Random) -> str:
    """Damage the bytes of a file."""
    path = _pick(case, source)
    if path is None:
        return ""
    change = source.choice(BYTE_CHANGES)
    case.files[path] = change(case.files[path], source)
    return f"{path}, {change.__name__}"


def change_encoding(case: Case, source: random.Random) -> str:
    """Write a text file in another encoding, or with other line ends."""
    path = _pick(case, source, _is_text)
    if path is None:
        return ""
    text = case.files[path].decode("utf-8", "replace")
    end = source.choice(["\n", "\r", "\r\n", "\n\n", "\u2028", "\x85"])
    encoding = source.choice(ENCODINGS)
    case.files[path] = text.replace("\r\n", "\n").replace("\n", end).encode(encoding, "replace")
    return f"{path}, {encoding}, {end!r}"


# --- mutations of containers ----------------------------------------------------------------------------------------


def _is_text(path: str) -> bool:
    return path.endswith((".csv", ".tsv", ".txt", ".tab"))


def change_container(case: Case, source: random.Random) -> str:
    """Pack a file, or change what is inside a packed one; workbooks are packed files too."""
    path = _pick(case, source, lambda path: path.endswith((".gz", ".zip", ".xlsx"))) or _pick(case, source)
    if path is None:
        return ""
    content = case.files[path]
    suffix = PurePosixPath(path).suffix
    if suffix == ".gz":
        with contextlib.suppress(OSError, EOFError, zlib.error):
            content = gzip.decompress(content)
        case.files[path] = _packed(source.choice(BYTE_CHANGES)(content, source)) + source.choice(
            [b"", b"", b"\0", b"x"]
        )
        return f"{path}, inside"
    if suffix in (".zip", ".xlsx"):
        case.files[path] = _changed_zip(content, source)
        return f"{path}, a member"
    name, packed = source.choice(
        [
            (f"{path}.gz", _packed(content)),
            (f"{path}.gz", _packed(content) * 2),
            (f"{path}.gz", _packed(content)[:-5]),
            (f"{path}.gz", content),
            (f"{path}.zip", _zip({"a.csv": content})),
            (f"{path}.zip", _zip({"a.csv": content, "b.csv": content})),
            (f"{path}.zip", _zip({"d/": b"", "d/a.xlsx": content})),
            (f"{path}.zip", _zip({})),
            (f"{path}.zip", _zip({"a.csv": content + b"\n" * 3_000_000})),
            (f"{path}.zip", _marked(_zip({"a.csv": content}), 6, source.choice([1, 64]))),
            (f"{path}.zip", _marked(_zip({"a.csv": content}), 8, source.choice([1, 9, 14, 98]))),
        ]
    )
    _rename(case, path, name)
    case.files[name] = packed
    return f"{path} packed as {name}"


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 1)  # of 1980, not of now
    return buffer.getvalue()


def _marked(packed: bytes, at: int, value: int) -> bytes:
    """Change flags (6) or method (8) of the first member, where it stands and in the directory."""
    changed = bytearray(packed)
    changed[at] = value
    directory = packed.rfind(b"PK\x01\x02")
    changed[directory + at + 2] = value
    return bytes(changed)


def _changed_zip(content: bytes, source: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # whatever a damaged archive makes zipfile say
        return _flip(content, source)
    if not members:
        return content
    name = source.choice(sorted(members))
    sheets = [member for member in sorted(members) if "sheet" in member.lower() or "strings" in member.lower()]
    if sheets and source.random() < 0.7:
        name = source.choice(sheets)
    act = source.choice(["bytes", "bytes", "cell", "cell", "drop", "again", "rename", "empty"])
    if act == "bytes":
        members[name] = source.choice(BYTE_CHANGES)(members[name], source)
    elif act == "cell":
        members[name] = _changed_xml(members[name], source)
    elif act == "drop":
        del members[name]
    elif act == "again":
        members[f"{name}.2"] = members[name]
    elif act == "rename":
        members[name.swapcase()] = members.pop(name)
    else:
        members[name] = b""
    return _zip(members)


_XML_CELL = re.compile(rb">([^<>]{1,40})<|\"([^\"<>]{1,30})\"")


def _changed_xml(content: bytes, source: random.Random) -> bytes:
    """Put something else between two tags, or into an attribute."""
    found = list(_XML_CELL.finditer(content))
    if not found:
        return _flip(content, source)
    match = source.choice(found)
    start, end = match.span(1) if match[1] is not None else match.span(2)
    token = source.choice(
        [*TOKENS[:90], "1048577", "XFE99999", "A1:XFD1048576", "-1", "s", "e", "d", "inlineStr", "#N/A", "#DIV/0!"]
    )
    return content[:start] + token.encode("utf-8", "replace") + content[end:]


def change_suffix(case: Case, source: random.Random) -> str:
    """Call a file something that it is not."""
    path = _pick(case, source)
    if path is None:
        return ""
    suffixes = [
        ".csv",
        ".tsv",
        ".txt",
        ".parquet",
        ".xlsx",
        ".xls",
        ".xlsb",
        ".ods",
        ".xpt",
        ".gz",
        ".zip",
        ".csv.gz",
        ".parquet.gz",
        "",
        ".CSV",
        ".dat",
    ]
    name = f"{PurePosixPath(path).parent / PurePosixPath(path).name.split('.')[0]}{source.choice(suffixes)}"
    _rename(case, path, name)
    return f"{path} as {name}"


def _rename(case: Case, path: str, name: str) -> None:
    """Move a file, and what names it."""
    case.files[name] = case.files.pop(path)
    case.inputs = [name if given == path else given for given in case.inputs]
    case.options = [option.replace(f"={path}", f"={name}") for option in case.options]
    case.stdin = name if case.stdin == path else case.stdin
    if case.config and case.config in case.files:
        case.files[case.config] = case.files[case.config].replace(f'"{path}"'.encode(), f'"{name}"'.encode())


def change_to_parquet(case: Case, source: random.Random) -> str:
    """Write a table as Parquet, with some of its columns of another type."""
    path = _pick(case, source, lambda path: path.endswith(".csv"))
    if path is None:
        return ""
    try:
        rows = [row for row in csv.reader(io.StringIO(case.files[path].decode("utf-8", "replace"))) if row]
    except csv.Error:
        return ""
    if not rows:
        return ""
    header = [cell or str(place) for place, cell in enumerate(rows[0])]
    lines = [row for row in rows[1:] if len(row) == len(header)]
    columns = {}
    for place, name in enumerate(header):
        texts = [row[place] or None for row in lines]
        columns[name] = _typed(name, texts, source)
    buffer = io.BytesIO()
    pl.DataFrame(list(columns.values())).write_parquet(buffer)
    name = path.removesuffix(".csv") + ".parquet"
    _rename(case, path, name)
    case.files[name] = (
        buffer.getvalue() if source.random() < 0.8 else source.choice(BYTE_CHANGES)(buffer.getvalue(), source)
    )
    return f"{path}, " + ", ".join(str(column.dtype) for column in columns.values())


TYPES: tuple[pl.DataType | type[pl.DataType], ...] = (
    pl.Float64, pl.Float32, pl.Int64, pl.Int8, pl.UInt64, pl.Date, pl.Datetime("us"),
    pl.Datetime("ns", "Europe/Rome"), pl.Datetime("ms", "UTC"), pl.Duration, pl.Time, pl.Boolean, pl.Categorical,
    pl.Decimal(20, 4), pl.Binary, pl.Null, pl.List(pl.String), pl.Int128, pl.Enum(["a", "b"]),
)  # fmt: skip


def _typed(name: str, texts: list[str | None], source: random.Random) -> pl.Series:
    series = pl.Series(name, texts, dtype=pl.String)
    if source.random() < 0.6:
        return series
    kind = source.choice(TYPES)
    with contextlib.suppress(Exception):
        if kind in (pl.Float64, pl.Float32) and source.random() < 0.3 and len(texts):
            odd = [source.choice([math.nan, math.inf, -math.inf, 0.1 + 0.2, 1e300, -0.0]), *([95.0] * (len(texts) - 1))]
            return pl.Series(name, odd, dtype=kind)
        if kind == pl.List(pl.String):
            return pl.Series(name, [[text] for text in texts], dtype=kind)
        return series.cast(kind, strict=False)
    return series


# --- mutations of tables --------------------------------------------------------------------------------------------


def change_lines(case: Case, source: random.Random) -> str:
    """Drop, repeat, swap or add lines."""
    path = _pick(case, source, _is_text)
    if path is None:
        return ""
    lines = case.files[path].split(b"\n")
    at, other = source.randrange(len(lines)), source.randrange(len(lines))
    act = source.choice(["drop", "repeat", "swap", "first", "shuffle", "blank", "junk", "many", "last"])
    if act == "drop":
        del lines[at]
    elif act == "repeat":
        lines.insert(other, lines[at])
    elif act == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif act == "first":
        lines = lines[1:]
    elif act == "shuffle":
        source.shuffle(lines)
    elif act == "blank":
        lines.insert(at, source.choice([b"", b" ", b",", b",,,,,,", b"\r", b"\t", b'""', b'" "']))
    elif act == "junk":
        lines.insert(at, source.choice(TOKENS).encode("utf-8", "replace"))
    elif act == "many":
        lines[at:at] = [lines[at]] * source.choice([10, 100, 1500])
    else:
        lines = [line for line in lines if line]
    case.files[path] = b"\n".join(lines)
    return f"{path}, {act}, {at}, {other}"


def change_cells(case: Case, source: random.Random) -> str:
    """Replace, drop, swap or add cells, or whole columns."""
    path = _pick(case, source, _is_text)
    if path is None:
        return ""
    mark = next((mark for mark in (b",", b";", b"\t", b"|") if mark in first_line(case.files[path])), b",")
    rows = [line.split(mark) for line in case.files[path].split(b"\n")]
    act = source.choice(
        [
            _token,
            _token,
            _token,
            _tokens,
            _drop,
            _extra,
            _swap,
            _drop_column,
            _copy_column,
            _swap_columns,
            _header,
            _header,
            _wide,
            _marks,
        ]
    )
    told = act(rows, source)
    if act is _marks:
        mark = source.choice([b",", b";", b"\t", b"|", b":", b" ", b"^", b"\0"])
    case.files[path] = b"\n".join(mark.join(row) for row in rows)
    return f"{path}, {act.__name__}{told or ''}"


Rows = list[list[bytes]]


def _place(rows: Rows, source: random.Random, first: int = 1) -> tuple[int, int]:
    filled = [number for number, row in enumerate(rows) if number >= first and row != [b""]] or [0]
    number = source.choice(filled)
    return number, source.randrange(len(rows[number]))


def _encoded(source: random.Random) -> bytes:
    token = source.choice(TOKENS)
    if source.random() < 0.2:
        token += source.choice(TOKENS[:120])
    return token.encode("utf-8", "replace")


def _token(rows: Rows, source: random.Random) -> str:
    number, place = _place(rows, source)
    rows[number][place] = _encoded(source)
    return f" {number}, {place}"


def _tokens(rows: Rows, source: random.Random) -> None:
    """Fill a column."""
    _, place = _place(rows, source)
    token = _encoded(source)
    for row in rows[1:]:
        if place < len(row) and row != [b""]:
            row[place] = token if source.random() < 0.7 else _encoded(source)


def _drop(rows: Rows, source: random.Random) -> None:
    number, place = _place(rows, source, 0)
    del rows[number][place]


def _extra(rows: Rows, source: random.Random) -> None:
    number, place = _place(rows, source, 0)
    rows[number].insert(place, _encoded(source))


def _swap(rows: Rows, source: random.Random) -> None:
    (one, at), (other, there) = _place(rows, source), _place(rows, source)
    rows[one][at], rows[other][there] = rows[other][there], rows[one][at]


def _drop_column(rows: Rows, source: random.Random) -> None:
    place = source.randrange(len(rows[0]))
    for row in rows:
        del row[place : place + 1]


def _copy_column(rows: Rows, source: random.Random) -> None:
    place, header = source.randrange(len(rows[0])), source.choice(HEADERS).encode()
    for number, row in enumerate(rows):
        if place < len(row) and row != [b""]:
            row.append(row[place] if number else header)


def _swap_columns(rows: Rows, source: random.Random) -> None:
    one, other = source.randrange(len(rows[0])), source.randrange(len(rows[0]))
    for row in rows:
        if max(one, other) < len(row):
            row[one], row[other] = row[other], row[one]


def _header(rows: Rows, source: random.Random) -> str:
    place = source.randrange(len(rows[0]))
    new = source.choice([*HEADERS, *HEADERS, *TOKENS])
    rows[0][place] = new.encode("utf-8", "replace")
    return f" {place} {new[:30]!r}"


def _wide(rows: Rows, source: random.Random) -> None:
    """Add very many columns."""
    n = source.choice([30, 30, 30, 300, 10000 if source.random() < 0.03 else 100])
    for number, row in enumerate(rows):
        if row != [b""]:
            row += [b"c%d" % place if number == 0 else b"5" for place in range(n)]


def _marks(rows: Rows, source: random.Random) -> None:
    """Take another delimiter."""


# --- mutations of what is said ---------------------------------------------------------------------------------------


def _headers_of(case: Case) -> list[str]:
    """List the headers of the files, as a user would name them."""
    listed = [line.decode("utf-8", "replace").strip("\ufeff") for line in map(first_line, case.files.values())]
    return [cell.strip().strip('"')[:60] for line in listed for cell in re.split("[,;\t|]", line[:2000])] or ["x"]


def _option(case: Case, source: random.Random) -> list[str]:
    header = lambda: source.choice([*_headers_of(case), *HEADERS, source.choice(TOKENS)])  # noqa: E731
    token = source.choice(TOKENS).replace("\0", "") or "x"
    pools: list[list[str]] = [
        ["--unit", f"{source.choice(list(ANALYTES))}={source.choice([*UNITS, token])}"],
        ["--column", f"{source.choice(NAMES)}={header()}"],
        ["--column", f"{source.choice([token, 'keep', 'date_format', 'constant'])}={header()}"],
        ["--date-format", source.choice([*DATE_FORMS, token])],
        ["--encoding", source.choice([*ENCODING_NAMES, token])],
        ["--decimal", source.choice([".", ",", ",", token])],
        ["--thousands", source.choice([".", ",", " ", "'", "\xa0", "", token])],
        [
            "--table",
            f"{source.choice([*TABLES, token])}={source.choice([*case.files, 'absent.csv', '.', '*'])}",
        ],
        ["--key", f"{source.choice([*TABLES, token])}={header()}"],
        ["--seed", source.choice(["0", "7", "-1", "1e3", "99999999999999999999", token])],
        ["--config", source.choice([*case.files, ".", "absent.toml"])],
        ["--quiet"],
        [
            source.choice(
                ["--format", "--unknown", "--overwrite", "--unit", "-h", "--version", "--", "-", "", "\udcff", token]
            )
        ],
        ["--format", source.choice(["csv", "json", "parquet", "xlsx"])],
    ]
    return [word.replace("\0", "") for word in source.choice(pools)]


def change_options(case: Case, source: random.Random) -> str:
    """Add, drop, repeat or change an option or an input."""
    act = source.choice(["add", "add", "add", "drop", "repeat", "value", "input"])
    if act == "add" or not case.options:
        case.options += _option(case, source)
    elif act == "drop":
        del case.options[source.randrange(len(case.options))]
    elif act == "repeat":
        case.options += case.options[:2]
    elif act == "value":
        place = source.randrange(len(case.options))
        name, equals, _ = case.options[place].partition("=")
        case.options[place] = (
            f"{name}{equals}{source.choice(TOKENS)}".replace("\0", "") if equals else _option(case, source)[-1]
        )
    if act == "input":
        case.inputs = source.choice(
            [
                case.inputs * 2,
                [],
                ["."],
                ["*"],
                ["**"],
                ["[", *case.inputs],
                ["absent.csv"],
                ["-"],
                [*case.inputs, *case.data()],
                [""],
                ["x" * 300],
            ]
        )
    return f"{act}: {[word[:60] for word in case.options]} {[word[:40] for word in case.inputs]}"


def change_configuration(case: Case, source: random.Random) -> str:
    """Change, add or drop a line of the configuration, or give a case one."""
    if not case.config or case.config not in case.files:
        case.config = "fuzz.toml"
        case.files[case.config] = b"config = 1\n"
    text = case.files[case.config].decode("utf-8", "replace")
    act = source.choice(
        [_new_key, _new_key, _new_key, _new_value, _new_value, _drop_line, _repeat_line, _junk_in_text, _inner]
    )
    changed, told = act(case, text, source)
    case.files[case.config] = (
        changed.encode("utf-8", "surrogatepass") if source.random() < 0.97 else changed.encode("utf-16")
    )
    return f"{act.__name__}, {told[:120]!r}"


def _value(case: Case, key: str, source: random.Random) -> str:
    """Choose a value for a key: mostly of its kind, sometimes anything."""
    if source.random() < 0.3:
        return source.choice(TOML_VALUES)
    header = _quoted(source.choice([*_headers_of(case), source.choice(HEADERS)]))
    pattern, unit = _quoted(source.choice(PATTERNS)), _quoted(source.choice(UNITS))
    token = _quoted(source.choice(TOKENS[:100]))
    if key in ("encoding", "date_format", "delimiter", "files"):
        return {
            "encoding": _quoted(source.choice(ENCODING_NAMES)),
            "date_format": source.choice(
                [
                    _quoted(source.choice(DATE_FORMS)),
                    f"[{_quoted(source.choice(DATE_FORMS))}, {_quoted(source.choice(DATE_FORMS))}]",
                ]
            ),
            "delimiter": token,
            "files": f"[{', '.join(map(_quoted, source.choices([*case.data(), *ODD_PATHS], k=2)))}]",
        }[key]
    forms = [
        header,
        f"{{ column = {header}, pattern = {pattern} }}",
        f"{{ column = {header}, yes = [{token}] }}",
        f"{{ column = {header}, female = [{token}], male = [{token}] }}",
        f"{{ pattern = {pattern} }}",
        f"[{header}, {token}]",
        unit,
        f"{{ column = {header}, units = {{ {token} = {unit} }} }}",
        f"{{ column = {header} }}",
        f"{{ file = {{ {_quoted(source.choice([*case.data(), 'x']))} = {unit} }} }}",
        f'{{ year = {{ "2020" = {unit}, "2021" = {unit} }} }}',
        source.choice(TOML_VALUES),
        token,
    ]
    return source.choice(forms)


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(letter):04x}" if ord(letter) < 32 or letter in '"\\\x7f' else letter for letter in text)
    return f'"{escaped}"'


def _new_key(case: Case, text: str, source: random.Random) -> tuple[str, str]:
    section = source.choice(list(KEYS))
    key = source.choice(KEYS[section])
    line = f"{key} = {_value(case, key, source)}"
    if f"[{section}]" in text:
        same = re.compile(rf"(?m)^{re.escape(key)} *=.*$")
        if same.search(text):
            return same.sub(lambda _: line, text, count=1), line
        return text.replace(f"[{section}]", f"[{section}]\n{line}", 1), line
    if not section:
        return f"{line}\n{text}", line
    return f"{text}\n[{section}]\n{line}\n", f"[{section}] {line}"


def _new_value(case: Case, text: str, source: random.Random) -> tuple[str, str]:
    lines = text.split("\n")
    places = [place for place, line in enumerate(lines) if "=" in line and not line.startswith("config")]
    if not places:
        return _new_key(case, text, source)
    place = source.choice(places)
    key = lines[place].partition("=")[0].strip()
    lines[place] = f"{key} = {_value(case, key, source)}"
    return "\n".join(lines), lines[place]


def _drop_line(case: Case, text: str, source: random.Random) -> tuple[str, str]:
    lines = text.split("\n")
    dropped = lines.pop(source.randrange(len(lines)))
    return "\n".join(lines), dropped


def _repeat_line(case: Case, text: str, source: random.Random) -> tuple[str, str]:
    lines = text.split("\n")
    lines.insert(source.randrange(len(lines)), source.choice(lines))
    return "\n".join(lines), ""


def _junk_in_text(case: Case, text: str, source: random.Random) -> tuple[str, str]:
    at = source.randint(0, len(text))
    token = source.choice(
        [*TOKENS[:150], "[", "]", "{", "}", "[x]\n", "\nx=1\n", "\n[[tables]]\n", "\n[tables]\nlabs = 1\n", "#"]
    )
    return text[:at] + token + text[at + source.choice([0, 0, 1, 5]) :], token


def _inner(case: Case, text: str, source: random.Random) -> tuple[str, str]:
    """Change one quoted text."""
    found = list(re.finditer(r'"[^"\n]*"', text))
    if not found:
        return _new_key(case, text, source)
    match = source.choice(found)
    new = _quoted(source.choice([*_headers_of(case), *UNITS, *PATTERNS, *DATE_FORMS, *TOKENS[:120]]))
    return text[: match.start()] + new + text[match.end() :], new


MUTATIONS: dict[Callable[[Case, random.Random], str], int] = {
    change_bytes: 12,
    change_encoding: 5,
    change_container: 8,
    change_suffix: 4,
    change_to_parquet: 5,
    change_lines: 12,
    change_cells: 34,
    change_options: 12,
    change_configuration: 18,
}
