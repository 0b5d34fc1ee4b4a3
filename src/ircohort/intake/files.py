"""Which files are meant, what they are called in messages, and their bytes: opened, unpacked and hashed."""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO

from ircohort.errors import FileError, UsageError
from ircohort.export import TableSpec

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".xls")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", *WORKBOOK_SUFFIXES, ".xpt")
STANDARD_INPUT = "-"

Tell = Callable[[int], None]
"""Is told of each number of bytes as they are read."""

_DAMAGED = (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)
"""What gzip and zipfile raise on a file that is damaged, encrypted, or packed in a way that Python does not know."""


def find(spec: TableSpec) -> list[str]:
    """Find the files of a table: files, globs, directories, or ``-``, in an order that depends on nothing else.

    Raises
    ------
    UsageError
        If none is named, or one is not there.
    """
    if not spec.files:
        raise UsageError(f"No file was given for the table {spec.name!r}.")
    paths: list[str] = []
    for given in spec.files:
        found = _expand(given) if given else []
        if not found:
            raise UsageError(
                f"There is no file {given} (table {spec.name}).",
                next_step="Check the path; a path in a configuration is relative to the configuration.",
            )
        paths += found
    return paths


def _expand(given: str) -> list[str]:
    path = Path(given)
    if given == STANDARD_INPUT or path.is_file():
        return [given]
    if path.is_dir():
        visible = [entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")]
        return sorted(str(entry) for entry in visible if format_of(entry.name) in SUFFIXES)
    return sorted(entry for entry in glob.glob(given) if Path(entry).is_file())


def format_of(name: str) -> str:
    """Give the suffix that tells the format, inside ``.gz`` and ``.zip``; standard input is text.

    Examples
    --------
    >>> format_of("labs.CSV.gz"), format_of("labs.xlsx")
    ('.csv', '.xlsx')
    """
    path = PurePath(name)
    if path.suffix.lower() == ".gz":
        return PurePath(path.stem).suffix.lower()
    return ".csv" if name == STANDARD_INPUT or path.suffix.lower() == ".zip" else path.suffix.lower()


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Name files by what tells them apart, so that results do not depend on where they lie."""
    whole = {path: path if path == STANDARD_INPUT else os.path.realpath(path) for path in paths}
    if len(set(whole.values())) < len(paths):
        twice = next(path for path in paths if [whole[other] for other in paths].count(whole[path]) > 1)
        raise UsageError(f"{twice} is named twice.", next_step="Name each file once; a glob may name it already.")
    real = [PurePath(os.path.abspath(path)) for path in paths if path != STANDARD_INPUT]
    root = os.path.commonpath([path.parent for path in real]) if real else ""
    return {
        path: "<stdin>" if path == STANDARD_INPUT else PurePath(os.path.relpath(path, root or None)).as_posix()
        for path in paths
    }


def size_of(path: str) -> int:
    """Give the size of a file in bytes; standard input has none that is known."""
    return 0 if path == STANDARD_INPUT else Path(path).stat().st_size


@dataclass
class Opened:
    """The bytes of one file, unpacked, and the SHA-256 of what lies on the disk."""

    stream: IO[bytes] | io.BufferedIOBase | io.RawIOBase
    digest: Callable[[], str]


@dataclass
class _Hashed(io.RawIOBase):
    """Hash what is read, and tell how much it was."""

    raw: IO[bytes]
    tell_bytes: Tell
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self.raw.read(size)
        self.sha256.update(chunk)
        self.tell_bytes(len(chunk))
        return chunk

    def digest(self) -> str:
        while self.read(1 << 20):  # what follows the end of a packed file
            pass
        return self.sha256.hexdigest()


@dataclass
class _Unpacked(io.RawIOBase):
    """What a packed file holds; damage is told as such, wherever in the file it lies."""

    inner: IO[bytes] | gzip.GzipFile
    path: str

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with _unpacking(self.path):
            return self.inner.read(size)


@contextmanager
def _unpacking(path: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise FileError(
            f"{path} could not be unpacked.", next_step="Unpack it first, and look whether it is whole."
        ) from error


@contextmanager
def opened(path: str, tell: Tell) -> Iterator[Opened]:
    """Open a file for reading; ``.gz``, and ``.zip`` of one file, are unpacked as they are read.

    Raises
    ------
    FileError
        If it cannot be read or unpacked.
    UsageError
        If a zip holds more or fewer files than one.
    """
    packed = PurePath(path).suffix.lower()
    try:
        with sys.stdin.buffer if path == STANDARD_INPUT else Path(path).open("rb") as raw:
            if packed == ".zip":
                with _unpacking(path):
                    archive = zipfile.ZipFile(raw)
                    member = archive.open(_only_member(archive, path))
                yield Opened(_Unpacked(member, path), lambda: _digest_of_file(path, tell))
            else:
                hashed = _Hashed(raw, tell)
                unpacked = _Unpacked(gzip.GzipFile(fileobj=hashed), path) if packed == ".gz" else hashed
                yield Opened(unpacked, hashed.digest)
    except OSError as error:
        raise FileError(f"{path} could not be read: {error.strerror}.") from error


def _only_member(archive: zipfile.ZipFile, path: str) -> str:
    members = [member for member in archive.namelist() if not member.endswith("/")]
    if len(members) != 1:
        raise UsageError(f"{path} holds {len(members)} files.", expected="A zip of one file is read.")
    return members[0]


def _digest_of_file(path: str, tell: Tell) -> str:
    with Path(path).open("rb") as raw:
        tell(size_of(path))
        return hashlib.file_digest(raw, "sha256").hexdigest()
