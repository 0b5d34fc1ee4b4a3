"""Read exports as they are: every cell as text, every row with its file and line, other tables joined by key.

Nothing is interpreted here but how a file is written (its encoding mark, delimiter, header line) and the tokens that
stand for a missing cell. What a column means is decided in normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ircohort.export import Export, RawTable, TableSpec
from ircohort.intake.files import STANDARD_INPUT, SUFFIXES, find, short_names, size_of
from ircohort.intake.gathering import gather
from ircohort.intake.joining import join

__all__ = ["STANDARD_INPUT", "SUFFIXES", "read_export", "read_table"]


def read_export(
    labs: TableSpec, joined: Sequence[TableSpec] = (), on_progress: Callable[[int, int], None] | None = None
) -> Export:
    """Read the laboratory files and join the other tables to them.

    Parameters
    ----------
    labs
        The laboratory table: files, globs, directories, or ``-`` for standard input.
    joined
        The other tables. A row without a partner is kept, with nulls.
    on_progress
        Called as reading goes on with the number of bytes read and of all bytes, where that is known.

    Raises
    ------
    UsageError
        If a file is not there, or is of a format that is not read.
    FileError
        If a file cannot be read or decoded.
    RefusedError
        If headers repeat or differ between files, or a key is missing or not unique.
    """
    specs = (labs, *joined)
    paths = {spec.name: find(spec) for spec in specs}
    listed = [path for found in paths.values() for path in found]
    names = short_names(listed)
    tell = _counter(sum(map(size_of, listed)), on_progress)
    tables = {spec.name: gather(spec, paths[spec.name], names, tell) for spec in specs}
    return join(tables.pop(labs.name), tables)


def _counter(whole: int, on_progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    read = 0

    def tell(size: int) -> None:
        nonlocal read
        read += size
        if on_progress and size:
            on_progress(min(read, whole), whole)

    return tell


def read_table(spec: TableSpec) -> RawTable:
    """Read all files of one table, which must share one header."""
    paths = find(spec)
    return gather(spec, paths, short_names(paths), lambda _: None)
