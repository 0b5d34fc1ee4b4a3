"""What the command line writes: messages to standard error, data to files or standard output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ircohort.cli.options import FORMATS
from ircohort.errors import FileError, UsageError

BYTES_OF_A_LONG_READ = 1 << 26
"""A read of 64 MB takes about a second."""


def say(text: str, quiet: bool = False) -> None:
    """Tell the user something, on standard error."""
    if not quiet:
        click.echo(text, err=True)


@contextlib.contextmanager
def progress(stages: Sequence[str], quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show on a terminal, on standard error, which of the stages is under way."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=len(stages), file=sys.stderr, item_show_func=lambda stage: stage or "") as bar:
        bar.render_progress()

        def tell(stage: str) -> None:
            bar.update(stages.index(stage) - bar.pos, stage)
            bar.render_progress()

        yield tell
        bar.update(len(stages) - bar.pos)


@contextlib.contextmanager
def reading_bar(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show on a terminal, on standard error, how much of the input has been read; a short read needs none."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar = click.progressbar(length=1, label="reading", file=sys.stderr)

    def tell(read: int, whole: int) -> None:
        if whole >= BYTES_OF_A_LONG_READ:
            bar.length = whole
            bar.update(read - bar.pos)

    yield tell
    if bar.pos:
        bar.render_finish()


def columns_text(columns: Any) -> str:
    """Lay out what is known of columns; an empty cell says that it does not apply."""
    named = columns.rename({name: name.replace("_", " ") for name in columns.columns})
    recognised = columns["recognised_as"].fill_null("not read").alias("recognised as")
    return table_text(named.with_columns(recognised))


def table_text(frame: Any) -> str:
    """Lay out a small table for a terminal."""
    rows = [frame.columns, *([("" if cell is None else str(cell)) for cell in row] for row in frame.iter_rows())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(frame.columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def check_file(out: str, form: str | None = None, inputs: Iterable[str] = ()) -> None:
    """Refuse a name that no table can be written to, before work begins.

    Raises
    ------
    UsageError
        If it names a directory or one of the inputs, or promises another form than is written.
    """
    if out == "-":
        return
    target = Path(out)
    if not target.name or out.endswith("/") or target.is_dir():
        raise UsageError(
            f"{out!r} is not the name of a file.", next_step="Name a file with -o, or - for standard output."
        )
    if any(Path(given).exists() and target.exists() and target.samefile(given) for given in inputs):
        raise UsageError(f"{out} is an input.", next_step="Choose another name with -o; inputs are never written to.")
    if form is None and target.suffix not in ("", ".txt", ".html", ".toml", *(f".{known}" for known in FORMATS)):
        raise UsageError(
            f"{out} is of a form that is not written.",
            expected=f"Written are {', '.join(FORMATS)}; --format names one.",
        )


def write_bytes(content: bytes, out: str) -> None:
    """Write to a file, or to standard output for ``-``; a file is there whole or not at all."""
    target = Path(out)
    if out == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    elif target.exists() and not target.is_file():  # a pipe or a device is written to, not replaced
        target.write_bytes(content)
    else:
        _write_whole(content, target)


def _write_whole(content: bytes, target: Path) -> None:
    beside = target.with_name(f".{target.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(target)
    except OSError as error:
        raise FileError(f"{target} could not be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def write_frame(frame: Any, out: str, form: str | None) -> None:
    """Write a table in the stated form, else by the name of the file, else as CSV."""
    from ircohort.frames import without_formulas

    suffix = Path(out).suffix.removeprefix(".")
    chosen = form or (suffix if suffix in FORMATS else "csv")
    buffer = io.BytesIO()
    {"csv": without_formulas(frame).write_csv, "parquet": frame.write_parquet, "json": frame.write_json}[chosen](buffer)
    write_bytes(buffer.getvalue(), out)
